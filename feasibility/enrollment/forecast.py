"""The forecast: how many patients by when, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.enrollment.plan import Plan
from feasibility.enrollment.progress import Progress
from feasibility.enrollment.simulate import months_to, reached, simulate, worlds
from feasibility.errors import FeasibilityError

DRAWS, SEED = 10_000, 20240901
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


@dataclass(frozen=True)
class Forecast:
    """Simulated trials of one plan: one row a trial in every array.

    ``times`` holds the month at which each reaches the target (infinity: not within ``months``), ``counts`` the
    patients at the goal by the end of each month 0, 1, ..., ``by_site`` those by the last month at each site. Months
    count from the trial's start, or from today where the plan is under way. Enrolment is shown as if it went on after
    the target. ``notes`` says what a reader should know.
    """

    plan: Plan
    months: int
    seed: int
    times: np.ndarray
    counts: np.ndarray
    by_site: np.ndarray
    reached: int = 0
    notes: tuple[str, ...] = ()

    @property
    def draws(self) -> int:
        return len(self.times)

    def months_to_target(self, levels: Iterable[float] = LEVELS) -> pd.Series:
        """Quantiles of the month the target is reached; infinity means later than the forecast looks."""
        levels = list(levels)
        _shares(levels, "levels")
        return pd.Series(_quantile(self.times, levels), index=pd.Index(levels, name="quantile"), name="months")

    def when(self, probability: float = 0.8) -> float:
        """The first month by which the target is reached with this probability; infinity if none."""
        return float(self.months_to_target([probability]).iloc[0])

    def probability_by(self, month: float) -> float:
        """The probability that the target is reached by a month."""
        if not np.isscalar(month) or np.isnan(month) or not 0 <= month <= self.months:
            raise FeasibilityError(f"The forecast looks at months 0 to {self.months}, not at {month!r}.")
        return float((self.times <= month).mean())

    def probabilities(self, months: Iterable[float] | None = None) -> pd.DataFrame:
        """The probability of the target by each month, with its Monte Carlo standard error ``se``."""
        months = range(self.months + 1) if months is None else list(months)
        p = np.array([self.probability_by(m) for m in months])
        index = pd.Index(list(months), name="month")
        return pd.DataFrame({"probability": p, "se": np.sqrt(p * (1 - p) / self.draws)}, index=index)

    def enrolled_by(self, month: int) -> np.ndarray:
        """Patients at the goal by a whole month, one number a simulated trial."""
        if month != int(month) or not 0 <= month <= self.months:
            raise FeasibilityError(f"enrolled_by needs a whole month from 0 to {self.months}, got {month!r}.")
        return self.counts[:, int(month)]

    def interval(self, month: int, level: float = 0.8) -> tuple[int, int]:
        """The central interval of the patients by a whole month; it holds at least ``level``, for counts are whole."""
        _shares([level], "level")
        low, high = _quantile(self.enrolled_by(month), [(1 - level) / 2, (1 + level) / 2])
        return int(low), int(high)

    def fan(self) -> pd.DataFrame:
        """Patients by each month: mean, median, and the ends of the 80 % and 95 % bands. ``attrs`` has the target."""
        names = {"low_95": 0.025, "low_80": 0.1, "median": 0.5, "high_80": 0.9, "high_95": 0.975}
        rows = np.array([_quantile(column, list(names.values())) for column in self.counts.T])
        table = pd.DataFrame(rows, columns=list(names), index=pd.RangeIndex(self.months + 1, name="month"))
        table.insert(0, "mean", self.counts.mean(axis=0))
        table.attrs |= {"target": self.plan.target, "goal": self.plan.goal}
        return table

    def site_contributions(self) -> pd.DataFrame:
        """What each site adds by the last month: mean, 80 % interval, share of all, probability of nobody at all."""
        rows = {}
        total = max(self.by_site.sum(), 1)
        for site, column in zip(self.plan.sites, self.by_site.T, strict=True):
            low, high = _quantile(column, [0.1, 0.9])
            rows[site.name] = (
                column.mean(),
                low,
                high,
                column.sum() / total,
                (column == 0).mean(),
                site.likely_opening,
            )
        names = ["mean", "low_80", "high_80", "share", "probability_none", "opens"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("site")
        table.attrs |= {"months": self.months, "goal": self.plan.goal}
        return table

    def summary(self) -> str:
        """The forecast in two sentences."""
        low, median, high = (_month(v, self.months) for v in self.months_to_target([0.1, 0.5, 0.9]))
        first, last = self.interval(self.months, 0.8)
        return (
            f"{self.plan.target} patients {self.plan.goal} after {median} months (80 % interval {low} to {high}),"
            f" with probability {self.probability_by(self.months):.2f} within {self.months} months."
            f" By then {first} to {last} (80 %)."
        )


def forecast(
    plan: Plan, months: int = 60, *, draws: int = DRAWS, seed: int = SEED, progress: Progress | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Forecast:  # fmt: skip
    """Simulate a plan for ``months`` months and say how many patients reach its goal by when.

    ``progress`` is what a running trial has enrolled so far; months then count from today. ``on_progress(done, draws)``
    is called after every chunk of simulated trials. The same seed gives the same numbers, and plans that share sites
    and steps share their random numbers.

    Arrivals are Poisson given the rates (Poisson-gamma model: Anisimov and Fedorov 2007). Raises FeasibilityError for
    months, draws or a seed that are not whole positive numbers.

    >>> from feasibility.enrollment.sites import Site
    >>> made = forecast(Plan([Site("Hefei", arrivals=6, months=24)], target=9), months=120, draws=2000)
    >>> made.interval(12, 0.8)
    (1, 6)
    >>> 32 < made.when(0.5) < 36
    True
    """
    months = whole(months, "months")
    draws, seed = whole(draws, "draws"), whole(seed, "seed", least=0)
    already = progress.at_goal(plan) if progress else 0
    left = plan.target - already
    times, counts, by_site = [], [], []
    for world in worlds(plan, months, draws, seed, progress):
        n = len(world.common.imputation)
        draw, site, time = reached(plan, simulate(plan, world, months, seed, progress), n, dosed=already)
        inside = time <= months
        draw, site, time = draw[inside], site[inside], time[inside]
        times.append(months_to(draw, time, left, n, months))
        cell = np.bincount(draw * (months + 1) + np.ceil(time).astype(np.int64), minlength=n * (months + 1))
        counts.append(already + np.cumsum(cell.reshape(n, months + 1), axis=1, dtype=np.int64))
        at = site >= 0
        cell = np.bincount(draw[at] * len(plan.sites) + site[at], minlength=n * len(plan.sites))
        by_site.append(cell.reshape(n, len(plan.sites)))
        if on_progress:
            on_progress(min(world.first + n, draws), draws)
    return Forecast(plan, months, seed, np.concatenate(times), np.concatenate(counts), np.concatenate(by_site), already,
                    _notes(plan, already))  # fmt: skip


def _notes(plan: Plan, already: int) -> tuple[str, ...]:
    notes = []
    if already >= plan.target:
        notes.append(f"The target of {plan.target} patients is already met ({already}).")
    empty = [s for s in plan.sites if s.has_data and not any(s.arrivals)]
    for site in empty[:3]:
        rest = "the prior alone" if len(plan.sites) == 1 else "the prior and the other sites"
        notes.append(f"{site.name}: no eligible patient in {site.months:g} months, so its rate rests on {rest}.")
    if len(empty) > 3:
        notes.append(f"{len(empty) - 3} more sites saw no eligible patient.")
    seen = sum(s.has_data for s in plan.sites)
    if plan.prior is None and 1 < len(plan.sites) and seen < 10:
        notes.append(
            f"Only {seen} of {len(plan.sites)} sites have data: what sites share is uncertain, and counted so."
        )
    return tuple(notes)


def whole(value, what: str, least: int = 1) -> int:
    """A whole number of at least ``least``, or an error."""
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or value % 1 or value < least:
        raise FeasibilityError(f"{what} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def _shares(values, what) -> None:
    for value in values:
        if not 0 < value < 1:
            raise FeasibilityError(f"{what} must lie between 0 and 1, got {value!r}.")


def _quantile(values, levels) -> np.ndarray:
    """Quantiles that are values themselves, so that infinity stays infinity and counts stay whole."""
    return np.quantile(values, levels, method="inverted_cdf")


def _month(value: float, most: int) -> str:
    return f"more than {most}" if np.isinf(value) else f"{value:.0f}"
