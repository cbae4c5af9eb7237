"""What a planner asks of a plan: how many sites, which to close, what a late start costs, when to stop hoping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from feasibility.enrollment.draws import draw_common, draw_site_rates
from feasibility.enrollment.forecast import DRAWS, SEED, Forecast, _shares, forecast, whole
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.simulate import reached, simulate, worlds
from feasibility.enrollment.sites import Site, copies
from feasibility.errors import FeasibilityError

MOST_SITES = 256
FEW = 50


def success_by_sites(
    plan: Plan, by: Iterable[int], sites: Iterable[int], like: Site | None = None, *, draws: int = DRAWS,
    seed: int = SEED,
) -> pd.DataFrame:  # fmt: skip
    """The probability of the target by each month with each number of sites: a grid, one row a number of sites.

    The plan's own sites come first, in order; beyond them, sites like ``like`` are added. All cells rest on the same
    simulated trials. Raises FeasibilityError where more sites are asked for than there are and ``like`` is not given.

    >>> from feasibility.enrollment.posterior import Gamma
    >>> typical = Site("typical", prior=Gamma(1.2, 12))
    >>> grid = success_by_sites(Plan(copies(typical, 2), 60), [12, 24], [25, 33], typical, draws=4000)
    >>> bool(grid.loc[33, 24] > 0.85 > grid.loc[25, 24])
    True
    """
    by, sites = [whole(m, "by") for m in by], [whole(s, "sites") for s in sites]
    if not by or not sites:
        raise FeasibilityError("success_by_sites needs at least one month and one number of sites.")
    plan = _with_sites(plan, max(sites), like)
    hits, done = np.zeros((len(sites), len(by))), 0
    for world in worlds(plan, max(by), draws, seed):
        n = len(world.common.imputation)
        events = simulate(plan, world, max(by), seed)
        done += n
        if plan.queued:
            for i, few in enumerate(sites):
                draw, _, time = reached(plan, events, n, few)
                hits[i] += [(np.bincount(draw[time <= m], minlength=n) >= plan.target).sum() for m in by]
            continue
        draw, site, time = reached(plan, events, n)
        for j, month in enumerate(by):
            at = time <= month
            cell = np.bincount(draw[at] * len(plan.sites) + site[at], minlength=n * len(plan.sites))
            enough = cell.reshape(n, len(plan.sites)).cumsum(axis=1) >= plan.target
            hits[:, j] += enough[:, np.array(sites) - 1].sum(axis=0)
    table = pd.DataFrame(hits / done, index=pd.Index(sites, name="sites"), columns=pd.Index(by, name="by month"))
    table.attrs |= {"target": plan.target, "goal": plan.goal, "draws": done}
    return table


def smallest_number_of_sites(
    plan: Plan, by: int, probabilities: Iterable[float] = (0.8, 0.9), like: Site | None = None, *,
    most: int = MOST_SITES, draws: int = DRAWS, seed: int = SEED,
) -> pd.DataFrame:  # fmt: skip
    """The smallest number of sites that reaches the target by a month with each probability.

    Index ``probability``; columns sites (NA where even ``most`` do not suffice), reached (its probability), se
    (Monte Carlo standard error), sites_low and sites_high (the answers two standard errors of simulation allow: more
    draws bring them together). The plan's own sites come first; without ``like``, further sites are copies of its last.
    """
    probabilities, most = list(probabilities), whole(most, "most")
    _shares(probabilities, "probabilities")
    like = like or plan.sites[-1]
    found: dict[int, float] = {}

    def ask(numbers):
        found.update(success_by_sites(plan, [by], numbers, like, draws=draws, seed=seed)[by].to_dict())

    size = min(most, max(8, len(plan.sites)))
    while size < most:  # a rough look first: simulating far too many sites costs time
        rough = float(success_by_sites(plan, [by], [size], like, draws=400, seed=seed).iloc[0, 0])
        if rough - 3 * _se(min(rough, 0.99), 400) > max(probabilities):
            break
        size = min(most, size + max(4, size // 3))
    ask([size] if plan.queued else range(1, size + 1))
    rows = {}
    for p in probabilities:
        bounds = []
        for off in (0, 2, -2):  # the answer, and what two standard errors either way make of it
            low, high = 0, size
            while high - low > 1:
                middle = (low + high) // 2
                if middle not in found:
                    ask([middle])
                enough = found[middle] + off * _se(found[middle], draws) >= p
                low, high = (low, middle) if enough else (middle, high)
            bounds.append(high if found[high] + off * _se(found[high], draws) >= p else pd.NA)
        sites = bounds[0]
        p_there = pd.NA if sites is pd.NA else found[sites]
        rows[p] = (sites, p_there, pd.NA if sites is pd.NA else _se(p_there, draws), *bounds[1:])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["sites", "reached", "se", "sites_low", "sites_high"])
    types = {"sites": "Int64", "reached": "Float64", "se": "Float64", "sites_low": "Int64", "sites_high": "Int64"}
    table = table.astype(types).rename_axis("probability")
    table.attrs |= {"target": plan.target, "goal": plan.goal, "by": by, "most": most}
    return table


def closure_rule(
    plan: Plan, months: Iterable[float] = (3, 6, 9, 12), good: float | None = None, *, draws: int = DRAWS,
    seed: int = SEED,
) -> pd.DataFrame:  # fmt: skip
    """The rule "close a site with nobody in x months of full work": how many it closes, and how many good ones.

    A site is good when it expects at least ``good`` patients at the goal a month (default: the mean over sites).
    Index ``months``; columns closed (share of all sites), good_closed (share of the good sites), poor_closed, and
    good_among_closed. Exact given the simulated rates: nobody in x months has probability exp(-rate x).
    """
    months = [float(m) for m in months]
    if not months or min(months) <= 0:
        raise FeasibilityError("closure_rule needs months above 0.")
    common = draw_common(plan, 0, whole(draws, "draws"), 12, seed, 0)
    rates = draw_site_rates(plan, common, seed, 0) * common.attractiveness * common.passing(plan.steps_to(plan.goal))
    good = float(rates.mean()) if good is None else good
    is_good = rates >= good
    rows = {}
    for x in months:
        none = np.exp(-rates * x)
        closed_good = none[is_good].sum() / max(none.sum(), 1e-300)
        rows[x] = (none.mean(), _mean(none[is_good]), _mean(none[~is_good]), closed_good)
    names = ["closed", "good_closed", "poor_closed", "good_among_closed"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("months")
    table.attrs |= {"good": good, "share_good": float(is_good.mean()), "goal": plan.goal}
    return table


def start_up(
    plan: Plan, by: int, late: Iterable[float] = (3, 6), *, months: int | None = None, draws: int = DRAWS,
    seed: int = SEED,
) -> pd.DataFrame:  # fmt: skip
    """What opening dates do: all at their earliest, likely and latest, as drawn, and every site so many months later.

    Index ``opening``; columns probability (of the target by month ``by``), median, low_80 and high_80 (months to the
    target, within ``months``, default twice ``by``). All rows share their random numbers.
    """
    by = whole(by, "by")
    months = 2 * by if months is None else whole(months, "months")
    cases: dict[str, Plan] = {"as planned": plan}
    if any(isinstance(s.opens, tuple) for s in plan.sites):
        for word in ("earliest", "likely", "latest"):
            cases[f"all at their {word}"] = _opening(plan, lambda s, w=word: getattr(s, f"{w}_opening"))
    for shift in late:
        cases[f"every site {shift:g} months later"] = replace(plan, sites=[s.later(shift) for s in plan.sites])
    rows = {}
    for name, case in cases.items():
        made = forecast(case, max(months, by), draws=draws, seed=seed)
        low, median, high = made.months_to_target([0.1, 0.5, 0.9])
        rows[name] = (made.probability_by(by), median, low, high)
    names = ["probability", "median", "low_80", "high_80"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("opening")


def futility(made: Forecast, after: int, by: int, threshold: float = 0.1) -> pd.DataFrame:
    """When to stop hoping: the probability of the target by month ``by``, given how many are there after ``after``.

    Index ``enrolled`` (patients at the goal by month ``after``, from none to the target); columns probability, se,
    share (how often it comes to that), futile (probability below ``threshold``; NA where fewer than 50 simulated trials
    say so). ``attrs`` has stop_at: futile with so many or fewer (-1: never).
    """
    _shares([threshold], "threshold")
    if not 0 <= after < by <= made.months:
        raise FeasibilityError(f"futility needs 0 <= after < by <= {made.months}, got after {after} and by {by}.")
    then, success = made.enrolled_by(after), made.times <= by
    rows = {}
    for m in range(made.plan.target + 1):
        mine = then >= m if m == made.plan.target else then == m
        n = int(mine.sum())
        p = float(success[mine].mean()) if n else np.nan
        futile = pd.NA if n < FEW else bool(p < threshold)
        rows[m] = (p, np.sqrt(p * (1 - p) / n) if n else np.nan, n / made.draws, futile)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["probability", "se", "share", "futile"])
    table = table.astype({"futile": "boolean"}).rename_axis("enrolled")
    stop = table.index[table["futile"].fillna(False)]
    table.attrs |= {"stop_at": int(stop.max()) if len(stop) else -1, "after": after, "by": by, "threshold": threshold}
    return table


def planner_answers(made: Forecast, by: Iterable[int] = (12, 24, 36, 48, 60)) -> pd.DataFrame:
    """The two usual questions in one table: the probability of the target by T, and T for a probability.

    Columns question, answer and se (of the probabilities).
    """
    rows = []
    for month in by:
        if month <= made.months:
            p = made.probability_by(month)
            rows.append((f"probability of {made.plan.target} {made.plan.goal} by month {month}", p,
                         np.sqrt(p * (1 - p) / made.draws)))  # fmt: skip
    rows += [(f"month by which the probability is {p:g}", made.when(p), np.nan) for p in (0.5, 0.8, 0.9)]
    return pd.DataFrame(rows, columns=["question", "answer", "se"])


def _with_sites(plan: Plan, n: int, like: Site | None) -> Plan:
    short = n - len(plan.sites)
    if short <= 0:
        return plan
    if like is None:
        raise FeasibilityError(
            f"The plan has {len(plan.sites)} sites, {n} are asked for: say what the others are like."
        )
    return plan.with_sites(*copies(replace(like, name=f"further {like.name}"), short))


def _opening(plan: Plan, when) -> Plan:
    return replace(plan, sites=[replace(s, opens=when(s)) for s in plan.sites])


def _se(p: float, draws: int) -> float:
    return float(np.sqrt(p * (1 - p) / draws))


def _mean(values) -> float:
    return float(values.mean()) if values.size else float("nan")
