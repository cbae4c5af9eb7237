"""Simulated trials: patients arrive at sites, pass the steps, wait for a place, and are counted at the goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feasibility.enrollment.draws import Common, draw_common, draw_site_rates, stream
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.progress import Progress, conditioned

CHUNK = 2_000


@dataclass
class Events:
    """Patients who come as far as the places (or the goal) in a chunk of simulated trials, in no order."""

    draw: np.ndarray
    site: np.ndarray
    time: np.ndarray
    reaches: np.ndarray
    patience: np.ndarray | None


@dataclass
class World:
    """The factors and rates of a chunk, and a ceiling for the patients a month at each site, to be thinned.

    Patients arrive from month ``start`` on. Under way, that is before ``today`` by as long as the steps take: those who
    arrived since then cannot have been counted yet.
    """

    common: Common
    rates: np.ndarray
    ceilings: np.ndarray
    first: int
    chunk: int
    start: float
    today: float


def worlds(plan: Plan, months: float, draws: int, seed: int, progress: Progress | None = None, scale=None):
    """The chunks of simulated trials, one after the other; ``scale`` replaces the site rates by a function of them."""
    today = progress.months if progress else 0.0
    start = max(0.0, today - _time(plan.steps_to(progress.at or plan.goal))) if progress else 0.0
    for chunk, first in enumerate(range(0, draws, CHUNK)):
        n = min(CHUNK, draws - first)
        if progress is None:
            common = draw_common(plan, first, n, months, seed, chunk)
            rates = draw_site_rates(plan, common, seed, chunk)
        else:
            common, rates = conditioned(plan, progress, first, n, today + months, seed, chunk)
        if scale is not None:
            rates = scale(rates, common)
        top = common.attractiveness * common.years.max(axis=0) * max([1.0, *(f for _, f in plan.calendar)])
        yield World(common, rates, rates * top * common.passing(plan.steps_to(_gate(plan))), first, chunk, start, today)


def _time(steps) -> float:
    return sum(s.months for s in steps)


def _gate(plan: Plan) -> str:
    """The milestone up to which every patient is simulated."""
    return plan.slots.before if plan.queued else plan.goal


def simulate(plan: Plan, world: World, months: float, seed: int, progress: Progress | None = None) -> Events:
    """The patients of one chunk until ``months`` from today; their times count from today."""
    common = world.common
    to_gate, to_goal = plan.steps_to(_gate(plan)), plan.steps_to(plan.goal)
    at_gate, at_goal = common.passing(to_gate), common.passing(to_goal)
    span = world.today + months - world.start
    patient = plan.queued and np.isfinite(plan.slots.half_life)
    parts = []
    for i, site in enumerate(plan.sites):

        def names(what, site=site):
            return stream(seed, world.chunk, what, site.name)

        exponential, mark = names("arrivals"), names("marks")
        waits = names("patience") if patient else None
        for d, t, v, w in _proposals(world.ceilings[i] * span, exponential, mark, waits):
            ceiling = world.ceilings[i][d]
            t = world.start + t / ceiling
            x = world.rates[i][d] * factor(plan, i, common, t, d) / ceiling
            keep = v < x * at_gate[d]
            reaches = v[keep] < (x * at_goal[d])[keep]
            parts.append((d[keep], np.full(len(reaches), i), t[keep], reaches, w[keep] if patient else None))
        if any(site.stock):
            parts.append(_from_stock(plan, i, world, at_gate, at_goal, names("stock"), patient))
    if progress and progress.waiting:
        parts.append(_on_the_way(plan, world, progress, at_gate, at_goal, seed, patient))
    draw, place, time, reaches = (np.concatenate([p[k] for p in parts]) if parts else np.zeros(0) for k in range(4))
    patience = None
    if patient:
        patience = np.concatenate([p[4] for p in parts]) * plan.slots.half_life / np.log(2)
    return Events(draw.astype(np.int64), place.astype(np.int64), time + _time(to_gate) - world.today, reaches, patience)


def factor(plan: Plan, i: int, common: Common, t: np.ndarray, d) -> np.ndarray:
    """What a site's rate is multiplied by at times ``t`` in draws ``d``."""
    site, opens = plan.sites[i], common.opens[i][d]
    out = common.attractiveness[d] * (t >= opens)
    if site.ramp_up:
        out = out * np.clip((t - opens) / site.ramp_up, 0, 1)
    if np.isfinite(site.closes):
        out = out * (t < site.closes)
    if plan.calendar:
        starts, factors = (np.array(c, float) for c in zip(*plan.calendar, strict=True))
        at = np.searchsorted(starts, t, side="right")
        out = out * np.concatenate([[1.0], factors])[at]
    if plan.calendar_sd:
        out = out * common.years[np.minimum((t // 12).astype(int), len(common.years) - 1), d]
    for one, share in zip(plan.competing, common.shares, strict=True):
        if not one.sites or site.name in one.sites:
            out = out * (1 - share[d] * ((t >= one.start) & (t < one.end)))
    return out


def _proposals(mean: np.ndarray, exponential, mark, waits):
    """Blocks of (draw, time in units of the ceiling's rate, mark, patience) of patients before thinning."""
    n = len(mean)
    clock = np.zeros(n)
    left = float(mean.max(initial=0))
    while (clock < mean).any():
        rows = int(np.clip(left + 4 * np.sqrt(left) + 4, 4, max(4, 1_000_000 // n)))
        block = exponential.standard_exponential((rows, n))
        np.cumsum(block, axis=0, out=block)
        block += clock
        marks = mark.random((rows, n))
        row, d = np.nonzero(block < mean)
        wait = waits.standard_exponential((rows, n))[row, d] if waits is not None else np.zeros(len(d))
        yield d, block[row, d], marks[row, d], wait
        clock = block[-1]
        left = max(0.0, float((mean - clock).max()))


def _from_stock(plan: Plan, i: int, world: World, at_gate, at_goal, rng, patient: bool):
    """Patients who are there on opening day, enrolled before they lose eligibility or not at all."""
    site, common = plan.sites[i], world.common
    nu, mu = plan.stock_rate, np.log(2) / plan.stock_half_life
    found = nu / (nu + mu) if nu else 0.0
    u = rng.random((3, max(site.stock), len(common.imputation)))
    there = np.arange(max(site.stock))[:, None] < np.asarray(site.stock)[common.imputation % len(site.stock)]
    there &= (u[0] < found * at_gate) & (common.opens[i] >= world.today)
    row, d = np.nonzero(there)
    t = common.opens[i][d] - np.log1p(-u[1][row, d]) / (nu + mu)
    patience = -np.log1p(-u[2][row, d]) if patient else None
    return d, np.full(len(d), i), t, u[0][row, d] < found * at_goal[d], patience


def _on_the_way(plan: Plan, world: World, progress: Progress, at_gate, at_goal, seed: int, patient: bool):
    """Patients counted at an earlier milestone who have still to come through the steps after it."""
    done = plan.steps_to(progress.at or plan.goal)
    after = [s for s in plan.steps_to(_gate(plan)) if s not in done]
    u = stream(seed, world.chunk, "waiting").random((3, progress.waiting, len(at_gate)))
    row, d = np.nonzero(u[0] < world.common.passing(after))
    reaches = u[1][row, d] < at_goal[d] / np.maximum(at_gate[d], 1e-300)
    arrived = np.full(len(d), world.today - _time(done))
    return d, np.full(len(d), -1), arrived, reaches, -np.log1p(-u[2][row, d]) if patient else None


def reached(plan: Plan, events: Events, n: int, sites: int | None = None, dosed: int = 0):
    """Who reaches the goal and when: (draw, site, month), in no order; of the first ``sites`` if given.

    ``dosed`` patients have had their place before.
    """
    keep = np.ones(len(events.draw), bool) if sites is None else events.site < sites
    if not plan.queued:
        keep = keep & events.reaches
        draw, site, time = events.draw[keep], events.site[keep], events.time[keep]
        return draw, site, time
    order = np.flatnonzero(keep)
    order = order[np.lexsort((events.time[order], events.draw[order]))]
    draw, site, time = events.draw[order], events.site[order], events.time[order]
    patience = np.full(len(order), np.inf) if events.patience is None else events.patience[order]
    served = _queue(plan.slots, draw, time, np.minimum(patience, plan.slots.max_wait), n, dosed)
    later = _time(plan.steps_to(plan.goal)[len(plan.steps_to(plan.slots.before)) :])
    good = np.isfinite(served) & events.reaches[order]
    return draw[good], site[good], served[good] + later


def _queue(slots, draw, time, patience, n, dosed) -> np.ndarray:
    """The month each patient gets a place, or infinity; first come, first served, in all simulated trials at once."""
    counts = np.bincount(draw, minlength=n)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    served = np.full(len(draw), np.inf)
    free, doses = np.full(n, -np.inf), np.full(n, dosed)
    last_gapped = np.inf if slots.patients is None else slots.patients
    for rank in range(int(counts.max(initial=0))):
        d = np.flatnonzero(counts > rank)
        i = first[d] + rank
        start = np.maximum(time[i], free[d])
        good = start <= time[i] + patience[i]
        d, i, start = d[good], i[good], start[good]
        served[i] = start
        doses[d] += 1
        free[d] = start + np.where(doses[d] < last_gapped, slots.gap, 0.0)
    return served


def months_to(draw: np.ndarray, time: np.ndarray, target: int, n: int, months: float) -> np.ndarray:
    """The month of the ``target``-th patient in each simulated trial, infinity where it is later than ``months``."""
    if target <= 0:
        return np.zeros(n)
    span = max(float(time.max(initial=0.0)), months) + 1.0
    keys = np.sort(draw * span + time)
    counts = np.bincount(draw, minlength=n)
    enough = np.flatnonzero(counts >= target)
    out = np.full(n, np.inf)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    out[enough] = keys[first[enough] + target - 1] - enough * span
    out[out > months] = np.inf
    return out
