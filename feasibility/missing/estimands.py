"""Three questions, three answers, three names: how many in this extract, how many a month, what share elsewhere.

Source: Rubin, Multiple Imputation for Nonresponse in Surveys (1987), 3.1, for the check; Clopper and Pearson (1934).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, ReconciliationError
from feasibility.missing.imputations import Imputations
from feasibility.missing.impute import M
from feasibility.missing.intervals import by_sites, clopper_pearson, pooled, rubin, site_of_each

COLUMNS = ("estimand", "unit", "estimate", "low_80", "high_80", "low_95", "high_95", "low_bound", "high_bound")


@dataclass(frozen=True)
class InExtract:
    """Eligible patients in this table, at its date. No sampling error: only what is unknown.

    ``counts`` and ``counts_possible`` are the eligible patients of each completed data set; they differ only where
    ``open`` names columns that could not be imputed, and then ``estimate`` to ``estimate_possible`` is no interval but
    what these columns leave open. ``rubin_95`` is the usual formula with no variance within, as a check.
    """

    n_patients: int
    n_confirmed: int
    n_possible: int
    estimate: float
    estimate_possible: float
    interval_80: tuple[float, float]
    interval_95: tuple[float, float]
    rubin_95: tuple[float, float]
    counts: tuple[int, ...] = field(default=(), repr=False)
    counts_possible: tuple[int, ...] = field(default=(), repr=False)
    open: tuple[str, ...] = ()
    name: str = "in_extract"
    unit: str = "patients"

    @property
    def bounds(self) -> tuple[int, int]:
        """Confirmed and possible: what holds whatever is assumed about the unknown."""
        return self.n_confirmed, self.n_possible

    @property
    def note(self) -> str:
        """What the numbers rest on, in a sentence."""
        if not self.counts:
            return "Nothing is unknown: the count is exact for this extract."
        says = "If untested patients are like tested ones with the same values in the other columns."
        if self.open:
            says += f" {', '.join(self.open)} could not be imputed: the interval carries the bounds that leaves."
        return says


@dataclass(frozen=True)
class InSource:
    """The share eligible in the population the extract came from: sampling error and the unknown together.

    For scaling to other hospitals. It may leave the bounds of the extract, which are about other patients, and
    ``leaves_bounds`` says whether it does. ``by_sites`` is the number of sites that were resampled, 0 if patients were.
    """

    n_patients: int
    estimate: float
    interval_80: tuple[float, float]
    interval_95: tuple[float, float]
    bounds: tuple[float, float]
    by_sites: int = 0
    open: tuple[str, ...] = ()
    name: str = "in_source"
    unit: str = "share"

    @property
    def leaves_bounds(self) -> bool:
        """Whether the 95 % interval reaches outside confirmed / N to possible / N."""
        return self.interval_95[0] < self.bounds[0] or self.interval_95[1] > self.bounds[1]

    @property
    def note(self) -> str:
        """What the numbers rest on, in a sentence."""
        says = "About the population the extract came from, as far as the extract is a fair sample of it."
        if self.leaves_bounds:
            says += " The interval leaves the bounds of the extract, as it may: those count these patients only."
        if self.by_sites:
            says += f" {self.by_sites} sites were resampled, not patients."
            if self.by_sites < 10:
                says += " With fewer than ten sites that is too narrow rather than too wide."
        return says


@dataclass(frozen=True)
class PerMonth:
    """Newly eligible patients a month: the rate behind a forecast, with chance and the unknown together."""

    exposure: float
    arrivals: tuple[int, ...] = field(repr=False)
    estimate: float
    interval_80: tuple[float, float]
    interval_95: tuple[float, float]
    name: str = "per_month"
    unit: str = "patients a month"

    def draws(self, size: int, seed: int) -> np.ndarray:
        """Rates a month drawn from the pooled distribution, for a projection."""
        rng = np.random.default_rng(seed)
        a = rng.choice(np.asarray(self.arrivals, dtype=float), size)
        return rng.gamma(a + 0.5) / self.exposure

    @property
    def note(self) -> str:
        """What the numbers rest on, in a sentence."""
        return f"Over {self.exposure:g} months of observation; arrivals at a constant rate."


def in_extract(imputations) -> InExtract:
    """How many patients of this very table are eligible.

    The mean of the ``m`` counts; from 39 imputations the 95 % interval is their smallest and largest, the 80 % interval
    the 4th and 36th (in general the ranks (m+1)/40 and (m+1)/10 from either end, and never narrower). Every count lies
    within [confirmed, possible], which is checked. Also takes a Screening in which nothing is unknown.

    Raises ReconciliationError if a count leaves the bounds (a defect), FeasibilityError for fewer than 39 imputations.
    """
    if not isinstance(imputations, Imputations):
        n, known = _nothing_unknown(imputations, "in_extract")
        pair = (float(known), float(known))
        return InExtract(n, known, known, float(known), float(known), pair, pair, pair)
    _enough(imputations, "in_extract")
    low, high = imputations.n_confirmed, imputations.n_confirmed + len(imputations.rows)
    counts = imputations.counts
    check_within(counts["n_confirmed"], counts["n_possible"], low, high)
    sure, maybe = (np.sort(counts[c].to_numpy()) for c in ("n_confirmed", "n_possible"))
    m = imputations.m
    outer, inner = max(int((m + 1) * 0.025), 1), max(int((m + 1) * 0.1), 1)
    return InExtract(
        n_patients=len(imputations.screening.index), n_confirmed=low, n_possible=high,
        estimate=float(sure.mean()), estimate_possible=float(maybe.mean()),
        interval_80=(float(sure[inner - 1]), float(maybe[m - inner])),
        interval_95=(float(sure[outer - 1]), float(maybe[m - outer])),
        rubin_95=rubin(sure, maybe, low, high),
        counts=tuple(map(int, counts["n_confirmed"])), counts_possible=tuple(map(int, counts["n_possible"])),
        open=_open(imputations),
    )  # fmt: skip


def check_within(sure, maybe, low: int, high: int) -> None:
    """Every completed count lies between the confirmed and the possible, or something is wrong with this package."""
    sure, maybe = np.asarray(sure), np.asarray(maybe)
    if (sure < low).any() or (maybe > high).any() or (sure > maybe).any():
        raise ReconciliationError(
            f"Completed counts from {sure.min()} to {maybe.max()} leave the bounds,"
            f" {low} confirmed and {high} possible."
        )


def in_source(imputations, *, sites: str | None = "site_id", seed: int = 1) -> InSource:
    """What share of the population behind the extract is eligible, to scale to other hospitals.

    Per imputation p ~ Beta(C + 1/2, N - C + 1/2), pooled over the imputations; where the screening has at least two
    of ``sites`` (a stratum; None to ignore them), sites are the unit and are resampled, each time with such a draw.
    Where nothing is unknown, and there is one site, Clopper-Pearson. Columns that could not be imputed count as not
    eligible for the lower end and as eligible for the upper one.

    Raises FeasibilityError for an unknown stratum and for fewer than 39 imputations.
    """
    if not isinstance(imputations, Imputations):
        n, known = _nothing_unknown(imputations, "in_source")
        screening, m = imputations, 1
        sure = maybe = np.array([known])
        undetermined, bounds, open_ = np.empty(0, dtype=int), (known / n, known / n), ()
        eligible = [np.empty((1, 0), dtype=bool)] * 2
    else:
        _enough(imputations, "in_source")
        screening, m, n = imputations.screening, imputations.m, len(imputations.screening.index)
        undetermined, open_ = imputations.rows, _open(imputations)
        bounds = (imputations.n_confirmed / n, (imputations.n_confirmed + len(undetermined)) / n)
        sure, maybe = (imputations.counts[c].to_numpy() for c in ("n_confirmed", "n_possible"))
        failed, unknown = (one.any(axis=1) for one in imputations.verdicts)
        eligible = [~failed & ~unknown, ~failed]
    groups = site_of_each(screening, sites)
    if groups is not None:
        draws = [by_sites(screening, groups, undetermined, one, m, seed) for one in eligible]
        ends = [tuple(float(np.quantile(d, q)) for d, q in zip(draws, pair, strict=True)) for pair in _ENDS]
    elif not len(undetermined):
        ends = [clopper_pearson(int(sure[0]), n, level) for level in (0.8, 0.95)]
    else:
        from scipy.stats import beta

        ends = [
            tuple(pooled(lambda x, c: beta.cdf(x, c + 0.5, n - c + 0.5), c, q, 0.0, 1.0)
                  for c, q in zip((sure, maybe), pair, strict=True))
            for pair in _ENDS
        ]  # fmt: skip
    middle = (sure.mean() + maybe.mean()) / 2 / n
    return InSource(n, float(middle), *ends, bounds, 0 if groups is None else int(groups.max()) + 1, open_)


_ENDS = ((0.1, 0.9), (0.025, 0.975))


def per_month(arrivals_per_imputation, exposure: float) -> PerMonth:
    """How many patients become eligible a month, from the arrivals counted in each imputation.

    ``arrivals_per_imputation`` has one whole number an imputation (one number alone if nothing is unknown),
    ``exposure`` the months over which they were counted. Per imputation rate ~ Gamma(A + 1/2, exposure), the posterior
    under Jeffreys' prior, pooled over the imputations.

    Raises FeasibilityError for arrivals that are no counts and for an exposure that is not positive.

    >>> rate = per_month([6], 24)
    >>> [round(x, 4) for x in (rate.estimate, *rate.interval_95)]
    [0.2708, 0.1043, 0.5153]
    """
    from scipy.stats import gamma

    found = np.atleast_1d(np.asarray(arrivals_per_imputation, dtype=float))
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or (found < 0).any() or (found % 1).any():
        raise FeasibilityError(
            "per_month: arrivals_per_imputation are whole numbers of patients, not negative, one an imputation;"
            f" got {arrivals_per_imputation!r}."
        )
    if not np.isfinite(exposure) or exposure <= 0:
        raise FeasibilityError(f"per_month: exposure is the months of observation, above 0; got {exposure!r}.")
    top = (found.max() + 50 + 20 * np.sqrt(found.max() + 1)) / exposure
    ends = [
        tuple(pooled(lambda x, a: gamma.cdf(x, a + 0.5, scale=1 / exposure), found, q, 0.0, top) for q in pair)
        for pair in _ENDS
    ]
    return PerMonth(float(exposure), tuple(map(int, found)), float((found + 0.5).mean() / exposure), *ends)


def estimates(*results) -> pd.DataFrame:
    """The results as a table, one named row each: estimate, 80 and 95 % intervals, and bounds where there are any.

    Raises FeasibilityError for something that is none of the three estimands.
    """
    rows = []
    for one in results:
        if not isinstance(one, (InExtract, InSource, PerMonth)):
            raise FeasibilityError(
                f"estimates() takes what in_extract, per_month and in_source return, not {type(one).__name__}."
            )
        bounds = getattr(one, "bounds", (np.nan, np.nan))
        middle = one.estimate
        if isinstance(one, InExtract):
            middle = (one.estimate + one.estimate_possible) / 2
        rows.append((one.name, one.unit, middle, *one.interval_80, *one.interval_95, *bounds))
    return pd.DataFrame(rows, columns=COLUMNS).set_index("estimand")


def _nothing_unknown(screening, what: str) -> tuple[int, int]:
    if not hasattr(screening, "status"):
        raise FeasibilityError(
            f"{what}: the result of impute() is needed, or a Screening without unknowns;"
            f" got {type(screening).__name__}."
        )
    status = screening.status
    n = int((status == "undetermined").sum())
    if n:
        raise FeasibilityError(
            f"{what}: {n:,} patients are undetermined. Impute first: {what}(impute(cohort, screening))."
        )
    return len(status), int((status == "eligible").sum())


def _enough(imputations: Imputations, what: str) -> None:
    if imputations.m < M:
        raise FeasibilityError(
            f"{what}: {imputations.m} imputations cannot give a 95 % interval, {M} are needed: impute(..., m={M})."
        )


def _open(imputations: Imputations) -> tuple[str, ...]:
    left = imputations.verdicts[1].any()
    return tuple(imputations.open) or ("some values",) if left else ()
