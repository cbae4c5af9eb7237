"""Is the forecast honest? Simulation-based calibration: truth drawn from the prior, forecasts ranked against it.

The truth is simulated here patient by patient, with code of its own, so that the forecast does not check itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from feasibility.enrollment.forecast import SEED, _quantile, forecast, whole
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import MEAN_OF_SITES, SHAPE_OF_SITES
from feasibility.enrollment.progress import Progress
from feasibility.errors import FeasibilityError
from feasibility.protocol.criterion import Beta

BINS = 20
LEVELS = (0.8, 0.95)


class Numbers(NamedTuple):
    """What a forecast says of one month and of the target: one number a simulated trial (``times`` may be None)."""

    counts: np.ndarray
    times: np.ndarray | None


def calibrate(
    plan: Plan, month: int, *, horizon: int | None = None, after: int = 0, runs: int = 1_000, draws: int = 199,
    seed: int = SEED, forecaster: Callable[..., Numbers] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Draw a truth from the plan's prior, let a registry see it, forecast, and compare; ``runs`` times.

    Sites with ``months`` get arrivals drawn from their true rate (those given are ignored). With ``after``, the trial
    has run so many months and what its sites enrolled enters the forecast, whose months then count from there. Index
    ``quantity`` (enrolled by ``month``, a count; months to target, continuous up to ``horizon``, default ``month``);
    columns pit_chi2_p (uniform randomised PIT, 20 bins),
    bins_outside (of the 20, outside the 99 % band for all together), cover_80 and cover_95 (of ``runs``), their 99 %
    bounds low_80 ... high_95, and calibrated. Counts may cover more often than the level: they are whole numbers.

    Talts et al. 2018; the prior must be proper. Raises FeasibilityError for Jeffreys' prior, imputed counts or stock.
    """
    runs, draws = whole(runs, "runs", 20), whole(draws, "draws", 19)
    _check(plan)
    forecaster, horizon = forecaster or _own, max(month, horizon or month)
    rng = np.random.default_rng([seed, 77])
    pits: dict[str, list] = {}
    covered: dict[str, list] = {}
    for run in range(runs):
        filled, true = _truth(plan, rng)
        times, sites = true_trial(plan, true, after + horizon, rng)
        past = sites[times <= after]
        so_far = {s.name: int((past == i).sum()) for i, s in enumerate(plan.sites)}
        so_far = Progress(after, so_far) if after else None
        said = forecaster(filled, month, horizon, draws, int(rng.integers(2**31)) + run, so_far)
        pairs = {"enrolled": (said.counts, int((times <= after + month).sum()))}
        if said.times is not None:
            reached = max(times[plan.target - 1] - after, 0) if len(times) >= plan.target else np.inf
            pairs["months to target"] = (said.times, reached)
        for name, (values, truth) in pairs.items():
            pits.setdefault(name, []).append(randomised_pit(values, truth, rng.random()))
            tails = _quantile(values, [q for level in LEVELS for q in ((1 - level) / 2, (1 + level) / 2)])
            hit = [tails[2 * k] <= truth <= tails[2 * k + 1] for k in range(len(LEVELS))]
            covered.setdefault(name, []).append(hit)
    rows = {name: _row(np.array(pits[name]), np.array(covered[name]), runs) for name in pits}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")
    table.attrs |= {"runs": runs, "draws": draws, "month": month, "pit": {k: np.array(v) for k, v in pits.items()}}
    return table


def randomised_pit(values: np.ndarray, truth: float, u: float) -> float:
    """Where the truth ranks among forecast draws, ties broken by ``u``: uniform if truth and draws are alike.

    Czado, Gneiting and Held 2009.

    >>> randomised_pit(np.array([1, 2, 3]), 2, 0.5)
    0.5
    """
    values = np.asarray(values)
    return float(((values < truth).sum() + u * ((values == truth).sum() + 1)) / (len(values) + 1))


def rates_per_site(plan: Plan, month: int, horizon: int, draws: int, seed: int, so_far=None) -> Numbers:
    """A wrong forecast, on purpose: every site draws shared rates for itself. The checks must refuse it."""
    total = np.zeros(draws, int)
    for i, site in enumerate(plan.sites):
        alone = replace(plan, sites=[site], competing=_here(plan, site.name))
        made = forecast(alone, month, draws=draws, seed=seed + 1 + i * 7919)
        total += made.enrolled_by(month)
    return Numbers(total, None)


def _here(plan: Plan, site: str):
    return [replace(c, sites=()) for c in plan.competing if site in c.sites or not c.sites]


def true_trial(plan: Plan, rates, months: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One trial with given site rates, patient by patient: the sorted months the goal is reached, and at which site."""
    passing = {s.name: _one(s.rate, rng) for s in plan.steps}
    lost = [_one(c.share, rng) for c in plan.competing]
    attractive = rng.lognormal(-(plan.attractiveness_sd**2) / 2, plan.attractiveness_sd)
    years = rng.lognormal(-(plan.calendar_sd**2) / 2, plan.calendar_sd, int(months // 12) + 1)
    waiting, done = [], []
    for place, (site, rate) in enumerate(zip(plan.sites, rates, strict=True)):
        opens = (
            rng.triangular(*site.opens) if isinstance(site.opens, tuple) and np.ptp(site.opens) else site.likely_opening
        )
        for year in range(int(months // 12) + 1):
            start, end = 12.0 * year, min(12.0 * year + 12, months)
            known = [f for s, f in plan.calendar]
            most = rate * attractive * years[year] * max([1.0, *known])
            for t in rng.uniform(start, end, rng.poisson(most * (end - start))):
                known = [f for s, f in plan.calendar if s <= t]
                share = (known[-1] if known else 1.0) / max([1.0, *(f for _, f in plan.calendar)])
                if t < opens or t >= site.closes or (site.ramp_up and rng.random() > (t - opens) / site.ramp_up):
                    continue
                if rng.random() > share:
                    continue
                here = [x for c, x in zip(plan.competing, lost, strict=True)
                        if c.start <= t < c.end and (not c.sites or site.name in c.sites)]  # fmt: skip
                if any(rng.random() < x for x in here):
                    continue
                at = _walk(plan, passing, t, rng)
                if at is not None:
                    (waiting if plan.queued else done).append((at, place))
    if plan.queued:
        done = _one_queue(plan, passing, sorted(waiting), rng)
    done = sorted(patient for patient in done if patient[0] <= months)
    return np.array([t for t, _ in done]), np.array([place for _, place in done], int)


def _walk(plan: Plan, passing, t: float, rng, after: str = ""):
    """The month a patient gets through the steps to the goal, or to the places; None if lost."""
    going = not after
    for step in plan.steps_to(plan.goal):
        if going:
            if rng.random() >= passing[step.name]:
                return None
            t += step.months
            if plan.queued and not after and step.reaches == plan.slots.before:
                return t
        going = going or step.reaches == after
    return t


def _one_queue(plan: Plan, passing, arrivals, rng) -> list[tuple]:
    free, doses, done = -np.inf, 0, []
    for t, place in arrivals:
        patience = plan.slots.max_wait
        if np.isfinite(plan.slots.half_life):
            patience = min(patience, rng.exponential(plan.slots.half_life / np.log(2)))
        start = max(t, free)
        if start > t + patience:
            continue
        doses += 1
        free = start + (plan.slots.gap if plan.slots.patients is None or doses < plan.slots.patients else 0)
        at = _walk(plan, passing, start, rng, after=plan.slots.before)
        if at is not None:
            done.append((at, place))
    return done


def _truth(plan: Plan, rng):
    """The plan as a registry would fill it in, and the true site rates."""
    mean, shape = (np.exp(np.log(m) + sd * rng.standard_normal()) for m, sd in (MEAN_OF_SITES, SHAPE_OF_SITES))
    sites, rates = [], []
    for site in plan.sites:
        prior = site.prior or plan.prior
        if site.rate is not None:
            rate = site.rate
        elif prior is not None:
            rate = rng.gamma(prior.shape, 1 / prior.months)
        else:
            rate = rng.gamma(shape, mean / shape)
        rates.append(rate)
        sites.append(replace(site, arrivals=int(rng.poisson(rate * site.months))) if site.has_data else site)
    return replace(plan, sites=sites), rates


def _own(plan: Plan, month: int, horizon: int, draws: int, seed: int, so_far=None) -> Numbers:
    made = forecast(plan, horizon, draws=draws, seed=seed, progress=so_far)
    return Numbers(made.enrolled_by(month), made.times)


def _one(rate, rng) -> float:
    return rng.beta(rate.a, rate.b) if isinstance(rate, Beta) else float(rate)


def _row(pit: np.ndarray, hits: np.ndarray, runs: int) -> dict:
    from scipy.stats import binom, chisquare

    observed = np.histogram(pit, bins=BINS, range=(0, 1))[0]
    tail = 0.01 / BINS / 2
    low, high = binom.ppf([tail, 1 - tail], runs, 1 / BINS)
    row = {
        "pit_chi2_p": float(chisquare(observed).pvalue),
        "bins_outside": int(((observed < low) | (observed > high)).sum()),
    }
    for level, count in zip(LEVELS, hits.sum(axis=0), strict=True):
        bounds = binom.ppf([0.005, 0.995], runs, level)
        name = f"{100 * level:.0f}"
        row |= {f"cover_{name}": int(count), f"low_{name}": int(bounds[0]), f"high_{name}": int(bounds[1])}
    fine = row["pit_chi2_p"] > 0.01 and row["bins_outside"] == 0
    enough = all(row[f"cover_{n}"] >= row[f"low_{n}"] for n in ("80", "95"))
    return row | {"calibrated": bool(fine and enough)}


def _check(plan: Plan) -> None:
    for site in plan.sites:
        prior = site.prior or plan.prior
        if (prior is not None and not prior.proper) or (prior is None and len(plan.sites) == 1 and site.rate is None):
            raise FeasibilityError(
                f"Site {site.name!r}: calibration draws the truth from the prior, which must be proper."
            )
        if any(site.stock) or plan.imputations > 1:
            raise FeasibilityError("calibrate takes no opening stock and no imputed counts.")
