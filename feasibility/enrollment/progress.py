"""What a running trial has taught: enrolled patients update the rates, the assumptions and the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from feasibility.enrollment.draws import Common, draw_common, draw_site_rates, site_prior, stream
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.sites import _number
from feasibility.errors import FeasibilityError, did_you_mean

CANDIDATES = 20
ENOUGH = 50


@dataclass(frozen=True)
class Progress:
    """How far a trial is: ``enrolled`` patients in its first ``months`` months, in all or by site name.

    They are counted ``at`` a milestone (default: the plan's goal), without those from the opening stock. ``reached`` is
    how many are at the goal already (default: ``enrolled``, if counted there), ``waiting`` how many are on the way.
    Where doses must lie apart, the next one is taken to be possible today.

    >>> Progress(10, 3).total
    3
    """

    months: float
    enrolled: int | Mapping[str, int]
    at: str = ""
    reached: int | None = None
    waiting: int = 0

    def __post_init__(self):
        if not _number(self.months) or self.months == 0:
            raise FeasibilityError(f"Progress: months must be above 0, got {self.months!r}.")
        each = self.enrolled.values() if isinstance(self.enrolled, Mapping) else [self.enrolled]
        for value in (*each, self.waiting, 0 if self.reached is None else self.reached):
            if not _number(value) or value % 1:
                raise FeasibilityError(f"Progress: patients must be whole numbers of 0 or more, got {value!r}.")

    @property
    def total(self) -> int:
        return sum(self.enrolled.values()) if isinstance(self.enrolled, Mapping) else self.enrolled

    def at_goal(self, plan: Plan) -> int:
        """Patients at the goal today."""
        if self.reached is not None:
            return self.reached
        if (self.at or plan.goal) != plan.goal:
            raise FeasibilityError(f"Progress is counted at {self.at!r}: say how many have reached {plan.goal!r} too.")
        return self.total


def conditioned(plan: Plan, progress: Progress, first: int, n: int, months: float, seed: int, chunk: int):
    """Common factors and site rates given the progress: (Common, rates).

    Candidates for the common factors are drawn as without it, weighed by how well they explain the enrolled patients,
    and drawn again by weight; site rates then follow from their Gamma, updated by the site's own patients. With a total
    only, the rates are weighed together with the factors.
    """
    _check(plan, progress)
    tried = max(CANDIDATES * n, 4000)
    common = draw_common(plan, first, tried, months, seed, chunk)
    passing = common.passing(plan.steps_to(progress.at or plan.goal))
    exposures = np.array([_exposure(plan, i, common, progress) for i in range(len(plan.sites))]) * passing
    by_site = _by_site(plan, progress)
    if by_site is None:
        rates = draw_site_rates(plan, common, seed, chunk)
        chosen = _choose(_log_poisson(progress.total, (rates * exposures).sum(axis=0)), n, seed, chunk)
        return common.take(chosen), rates[:, chosen]
    weight = np.zeros(tried)
    for i, site in enumerate(plan.sites):
        m = by_site.get(site.name, 0)
        if site.rate is not None:
            weight += _log_poisson(m, site.rate * exposures[i])
        else:
            weight += _log_marginal(plan, site, common, m, exposures[i])
    chosen = _choose(weight, n, seed, chunk)
    common, exposures = common.take(chosen), exposures[:, chosen]
    seen = {s.name: (by_site.get(s.name, 0), exposures[i]) for i, s in enumerate(plan.sites)}
    return common, draw_site_rates(plan, common, seed, chunk, seen)


def _by_site(plan: Plan, progress: Progress):
    if isinstance(progress.enrolled, Mapping):
        return progress.enrolled
    return {plan.sites[0].name: progress.enrolled} if len(plan.sites) == 1 else None


def _check(plan: Plan, progress: Progress) -> None:
    at = progress.at or plan.goal
    names = [s.name for s in plan.sites]
    for name in progress.enrolled if isinstance(progress.enrolled, Mapping) else ():
        if name not in names:
            raise FeasibilityError(f"Progress: the plan has no site {name!r}.{did_you_mean(name, names)}")
    slotted = plan.slots and plan.slots.gap > 0 and plan.slots.before in [s.reaches for s in plan.steps_to(at)]
    if slotted and progress.total:
        raise FeasibilityError(
            f"Progress at {at!r} is held back by the places before {plan.slots.before!r}: which hides the arrivals;"
            " count the patients at an earlier milestone (at=...)."
        )


def _exposure(plan: Plan, i: int, common: Common, progress: Progress) -> np.ndarray:
    """Months of full work of a site so far, up to where its patients can have reached the milestone."""
    from feasibility.enrollment.simulate import factor

    until = progress.months - sum(s.months for s in plan.steps_to(progress.at or plan.goal))
    if until <= 0:
        return np.zeros(len(common.imputation))
    cells = int(np.ceil(until * 12)) + 1
    total, d = np.zeros(len(common.imputation)), np.arange(len(common.imputation))
    simple = not (plan.calendar or plan.calendar_sd or plan.competing or plan.sites[i].ramp_up)
    if simple:
        end = min(until, plan.sites[i].closes)
        return common.attractiveness * np.clip(end - common.opens[i], 0, None)
    for middle in (np.arange(cells) + 0.5) * until / cells:
        total += factor(plan, i, common, np.full(len(d), middle), d)
    return total * until / cells


def _log_poisson(m, mean) -> np.ndarray:
    from scipy.special import xlogy

    return xlogy(m, mean) - mean


def _log_marginal(plan: Plan, site, common: Common, m: int, exposure) -> np.ndarray:
    """The negative binomial probability of ``m`` patients at a site, up to what is the same for all candidates."""
    from scipy.special import gammaln, xlogy

    a, b = site_prior(plan, site, common)
    if site.has_data:
        a = a + np.asarray(site.arrivals)[common.imputation % len(site.arrivals)]
        b = b + site.months
    return gammaln(a + m) - gammaln(a) + a * np.log(b / (b + exposure)) + xlogy(m, exposure / (b + exposure))


def _choose(log_weight: np.ndarray, n: int, seed: int, chunk: int) -> np.ndarray:
    """Candidates drawn by weight (systematic resampling), refused where too few carry it all."""
    if not np.isfinite(log_weight).any():
        raise FeasibilityError("Progress: the plan makes these patients impossible; check opening months and rates.")
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    if 1 / (weight**2).sum() < ENOUGH:
        raise FeasibilityError(
            "Progress is so far from the plan that too few simulated trials agree with it; check the numbers,"
            " give the patients by site and the true opening months, or widen the assumptions."
        )
    rng = stream(seed, chunk, "resampling")
    at = (np.arange(n) + rng.random()) / n
    chosen = np.minimum(np.searchsorted(np.cumsum(weight), at), len(weight) - 1)
    return rng.permutation(chosen)
