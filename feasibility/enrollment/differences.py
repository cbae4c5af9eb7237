"""What a change is worth in months, and which assumption matters most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from feasibility.enrollment.draws import draw_common
from feasibility.enrollment.forecast import DRAWS, SEED, _quantile, _shares, whole
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.simulate import months_to, reached, simulate, worlds
from feasibility.errors import FeasibilityError

BASE = "as planned"
UNFINISHED = 0.025
"""Beyond this share of trials in which neither plan reaches its target in time, a difference has no interval."""


def compare_plans(
    plan: Plan, others: Mapping[str, Plan], months: int = 120, *, by: int | None = None, level: float = 0.8,
    draws: int = DRAWS, seed: int = SEED,
) -> pd.DataFrame:  # fmt: skip
    """Plans side by side, each against the first in the same simulated world.

    The patients who come under both plans are the same ones: a site whose registry shows 8 instead of 6 eligible
    patients keeps its 6 and gains a separate stream of 2, with the uncertainty of 2. Index ``plan``; columns median,
    low and high (months to the target), probability (by month ``by``, default ``months``), sooner (median months saved
    against the first row; with a minus, later), sooner_low and sooner_high (its own ``level`` interval) and unfinished
    (share of trials in which neither plan gets there within ``months``; above 0.025 no interval: look further).

    >>> from feasibility.enrollment.sites import Site
    >>> now, wider = (Plan([Site("Hefei", arrivals=n, months=24)], 9) for n in (6, 8))
    >>> table = compare_plans(now, {"platelets > 20": wider}, 360, draws=2000)
    >>> table["sooner"].tolist()[0], bool(table["sooner"].iloc[1] > 3)
    (0.0, True)
    """
    months = whole(months, "months")
    by = months if by is None else by
    _shares([level], "level")
    if not others or BASE in others:
        raise FeasibilityError(f"compare_plans needs at least one other plan, under a name other than {BASE!r}.")
    plans = {BASE: plan, **others}
    times = dict(zip(plans, _paired_times(list(plans.values()), months, draws, seed), strict=True))
    tails = [(1 - level) / 2, (1 + level) / 2]
    rows = {}
    for name, its in times.items():
        low, median, high = _quantile(its, [tails[0], 0.5, tails[1]])
        both = np.isinf(times[BASE]) & np.isinf(its)
        saved = times[BASE][~both] - its[~both]
        sooner = [np.nan] * 3
        if both.mean() <= UNFINISHED or name == BASE:
            sooner = [0.0] * 3 if name == BASE else _quantile(saved, [tails[0], 0.5, tails[1]])
        rows[name] = (median, low, high, (its <= by).mean(), sooner[1], sooner[0], sooner[2], both.mean())
    names = ["median", "low", "high", "probability", "sooner", "sooner_low", "sooner_high", "unfinished"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("plan")
    table.attrs |= {"target": plan.target, "goal": plan.goal, "months": months, "by": by, "level": level}
    return table


def difference_in_words(table: pd.DataFrame, name: str) -> str:
    """One row of ``compare_plans`` as a sentence.

    >>> table = pd.DataFrame({"median": [44.2, 31.1], "sooner": [0, 12.9], "sooner_low": [0, 8.0],
    ...                       "sooner_high": [0, 19.4]}, index=["as planned", "platelets > 20"])
    >>> table.attrs = {"target": 9, "goal": "infused", "months": 120, "level": 0.8}
    >>> difference_in_words(table, "platelets > 20")
    'platelets > 20: 9 patients infused in 31 instead of 44 months, 8 to 19 months sooner (80 % interval).'
    """
    if name not in table.index:
        raise FeasibilityError(f"No plan {name!r} in the table. Known: {', '.join(map(str, table.index))}.")
    row, base, what = table.loc[name], table.iloc[0], table.attrs

    def month(value):
        return f"more than {what['months']}" if np.isinf(value) else f"{value:.0f}"

    text = f"{name}: {what['target']} patients {what['goal']} in {month(row['median'])} instead of"
    text += f" {month(base['median'])} months"
    if np.isnan(row["sooner"]):
        return f"{text}; too many simulated trials do not end within {what['months']} months for a difference."
    low, high, word = row["sooner_low"], row["sooner_high"], "sooner"
    if high <= 0:
        low, high, word = -high, -low, "later"
    elif low < 0:
        return f"{text}, between {-low:.0f} months later and {high:.0f} sooner ({100 * what['level']:.0f} % interval)."
    return f"{text}, {low:.0f} to {high:.0f} months {word} ({100 * what['level']:.0f} % interval)."


def rate_tornado(
    plan: Plan, by: int, *, months: int | None = None, draws: int = 4_000, seed: int = SEED
) -> pd.DataFrame:
    """Which assumption matters: each at its 10 % and 90 % quantile in turn, all others uncertain as they are.

    One at a time (not partial rank correlation), on the same random numbers. Index ``assumption``, the widest first;
    columns low_value and high_value (of the assumption), probability_low and probability_high (of the target by month
    ``by``), months_low and months_high (median months to the target, within ``months``, default three times ``by``),
    and span (of the probability). ``attrs`` has both numbers for the plan as it is.
    """
    by = whole(by, "by")
    months = 3 * by if months is None else whole(months, "months")
    cases: dict[str, list] = {}
    common = draw_common(plan, 0, 20_000, 12, seed, 0)
    passed = {s.name: common.rates[s.name] for s in plan.steps_to(plan.goal)}
    passed |= {c.name: share for c, share in zip(plan.competing, common.shares, strict=True)}
    for name, values in passed.items():
        if np.ptp(values) > 0:
            ends = _quantile(values, [0.1, 0.9])
            cases[name] = [(float(v), plan.with_rates(**{name: float(v)}), None) for v in ends]
    totals = np.concatenate([w.rates.sum(axis=0) for w in worlds(plan, 12, draws, seed)])
    if np.ptp(totals) > 0:
        cases[f"patients a month ({plan.counts})"] = [
            (float(v), plan, lambda rates, _, v=v: rates * (v / np.maximum(rates.sum(axis=0), 1e-300)))
            for v in _quantile(totals, [0.1, 0.9])
        ]
    if plan.attractiveness_sd:
        calm = replace(plan, attractiveness_sd=0)
        cases["attractiveness"] = [
            (float(v), calm, lambda rates, _, v=v: rates * v) for v in _quantile(common.attractiveness, [0.1, 0.9])
        ]
    if any(isinstance(s.opens, tuple) for s in plan.sites):
        cases["opening month (mean)"] = []
        for opens in np.quantile(common.opens, [0.1, 0.9], axis=1):
            sites = [replace(s, opens=float(month)) for s, month in zip(plan.sites, opens, strict=True)]
            cases["opening month (mean)"].append((float(opens.mean()), replace(plan, sites=sites), None))
    if not cases:
        raise FeasibilityError("Nothing in this plan is uncertain, so there is no assumption to vary.")
    rows = {}
    for name, ends in cases.items():
        found = [_answer(case, by, months, draws, seed, scale) for _, case, scale in ends]
        (p_low, m_low), (p_high, m_high) = found
        rows[name] = (ends[0][0], ends[1][0], p_low, p_high, m_low, m_high, abs(p_high - p_low))
    names = ["low_value", "high_value", "probability_low", "probability_high", "months_low", "months_high", "span"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("assumption")
    table = table.sort_values("span", ascending=False, kind="stable")
    p, median = _answer(plan, by, months, draws, seed, None)
    table.attrs |= {"probability": p, "median": median, "by": by, "target": plan.target, "goal": plan.goal}
    return table


def _answer(plan: Plan, by: int, months: int, draws: int, seed: int, scale) -> tuple[float, float]:
    times = []
    for world in worlds(plan, months, draws, seed, scale=scale):
        n = len(world.common.imputation)
        draw, _, time = reached(plan, simulate(plan, world, months, seed), n)
        times.append(months_to(draw, time, plan.target, n, months))
    times = np.concatenate(times)
    return float((times <= by).mean()), float(_quantile(times, [0.5])[0])


def _paired_times(plans: list[Plan], months: int, draws: int, seed: int) -> list[np.ndarray]:
    """Months to target of several plans whose arrivals are thinned from the same ones."""
    out: list[list] = [[] for _ in plans]
    for together in zip(*(worlds(p, months, draws, seed) for p in plans), strict=True):
        top: dict[str, np.ndarray] = {}
        for plan, world in zip(plans, together, strict=True):
            for site, ceiling in zip(plan.sites, world.ceilings, strict=True):
                top[site.name] = np.maximum(top.get(site.name, 0.0), ceiling)
        for times, plan, world in zip(out, plans, together, strict=True):
            shared = replace(world, ceilings=np.array([top[s.name] for s in plan.sites]))
            n = len(world.common.imputation)
            draw, _, time = reached(plan, simulate(plan, shared, months, seed), n)
            times.append(months_to(draw, time, plan.target, n, months))
    return [np.concatenate(t) for t in out]
