"""A site: what is known of its patients a month, when it opens, and how fast it gets going."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from feasibility.enrollment.posterior import Gamma
from feasibility.errors import FeasibilityError

MIN_MONTHS = 3
"""Fewer observed months than this say too little about a rate to go without a proper prior."""


@dataclass(frozen=True)
class Site:
    """One site of a trial; times are in months from the trial's start, rates in patients a month.

    ``arrivals`` patients in ``months`` months is what its registry saw: one whole number, or a list with one number an
    imputation, whose spread is carried through. Without them the site is like other sites (the plan's prior), or as
    ``prior`` says; ``rate`` is a rate taken as known. ``opens`` is a month, or (earliest, likely, latest), drawn
    once per simulated trial. ``ramp_up`` months after opening the site works at full speed, rising evenly until then.
    ``stock`` eligible patients are there on opening day, apart from those who arrive later.

    Raises FeasibilityError for negative or absent numbers, arrivals without months, fewer than three observed months
    without a prior, and a closing before the opening.

    >>> Site("Hefei", arrivals=6, months=24, opens=(0, 2, 6)).likely_opening
    2
    """

    name: str
    arrivals: int | Sequence[int] | None = None
    months: float | None = None
    prior: Gamma | None = None
    rate: float | None = None
    opens: float | tuple[float, float, float] = 0
    ramp_up: float = 0
    closes: float = math.inf
    stock: int | Sequence[int] = 0

    def __post_init__(self):
        where = f"Site {self.name!r}"
        if not isinstance(self.name, str) or not self.name:
            raise FeasibilityError(f"A site needs a name, got {self.name!r}.")
        for what in ("arrivals", "stock"):
            value = getattr(self, what)
            if value is not None:
                object.__setattr__(self, what, _counts(value, f"{where}: {what}"))
        for what in ("months", "rate", "ramp_up", "closes"):
            value = getattr(self, what)
            if value is not None and not _number(value, infinite=what == "closes"):
                raise FeasibilityError(f"{where}: {what} must be 0 or more, got {value!r}.")
        if (self.arrivals is None) != (self.months is None):
            raise FeasibilityError(f"{where}: arrivals and the months they were seen in go together; one is missing.")
        if self.rate is not None and (self.arrivals is not None or self.prior is not None):
            raise FeasibilityError(f"{where}: a rate taken as known leaves no room for arrivals or a prior.")
        if self.prior is not None and not isinstance(self.prior, Gamma):
            raise FeasibilityError(f"{where}: prior must be a Gamma(shape, months), got {self.prior!r}.")
        if self.prior is not None and not self.prior.proper and not self.months:
            raise FeasibilityError(f"{where}: {self.prior} is no prior without observed months; give arrivals, months.")
        if self.months is not None and self.months < MIN_MONTHS and (self.prior is None or not self.prior.proper):
            raise FeasibilityError(
                f"{where}: {self.months:g} observed months are too few for a rate (at least {MIN_MONTHS});"
                " add months, or a prior such as Gamma(1.2, 12)."
            )
        self._check_opening(where)

    def _check_opening(self, where):
        opens = self.opens
        if isinstance(opens, (tuple, list)):
            if len(opens) != 3 or not all(_number(v) for v in opens) or list(opens) != sorted(opens):
                raise FeasibilityError(
                    f"{where}: opens must be a month or (earliest, likely, latest) in order, got {opens!r}."
                )
            object.__setattr__(self, "opens", tuple(opens))
        elif not _number(opens):
            raise FeasibilityError(f"{where}: opens must be a month of 0 or more, got {opens!r}.")
        if self.closes <= self.latest_opening:
            raise FeasibilityError(f"{where}: it closes in month {self.closes:g}, before it has opened.")

    @property
    def has_data(self) -> bool:
        return self.arrivals is not None

    @property
    def earliest_opening(self) -> float:
        return self.opens[0] if isinstance(self.opens, tuple) else self.opens

    @property
    def likely_opening(self) -> float:
        return self.opens[1] if isinstance(self.opens, tuple) else self.opens

    @property
    def latest_opening(self) -> float:
        return self.opens[2] if isinstance(self.opens, tuple) else self.opens

    def later(self, months: float) -> Site:
        """The same site opening ``months`` later (with a minus: earlier, not before the start)."""
        if isinstance(self.opens, tuple):
            return replace(self, opens=tuple(max(0, v + months) for v in self.opens))
        return replace(self, opens=max(0, self.opens + months))

    def draw_opening(self, u: np.ndarray) -> np.ndarray:
        """The month it opens in each simulated trial, from uniform draws."""
        if not isinstance(self.opens, tuple):
            return np.full(len(u), float(self.opens))
        low, likely, high = map(float, self.opens)
        if high == low:
            return np.full(len(u), low)
        cut = (likely - low) / (high - low)
        rising = low + np.sqrt(u * (high - low) * (likely - low))
        falling = high - np.sqrt((1 - u) * (high - low) * (high - likely))
        return np.where(u < cut, rising, falling)


def copies(site: Site, n: int) -> tuple[Site, ...]:
    """``n`` sites like this one, named "<name> 1", "<name> 2", ...

    >>> [s.name for s in copies(Site("clinic", prior=Gamma(1.2, 12)), 3)]
    ['clinic 1', 'clinic 2', 'clinic 3']
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise FeasibilityError(f"copies: at least one site is needed, got {n!r}.")
    return tuple(replace(site, name=f"{site.name} {i + 1}") for i in range(n))


def _counts(value, where) -> tuple[int, ...]:
    """One count, or one an imputation, as a tuple."""
    several = isinstance(value, (list, tuple, np.ndarray)) or hasattr(value, "tolist") and np.ndim(value) > 0
    values = tuple(np.asarray(value).tolist()) if several else (value,)
    if not values:
        raise FeasibilityError(f"{where}: the list is empty; give one whole number, or one an imputation.")
    for one in values:
        if not _number(one) or one != int(one):
            raise FeasibilityError(f"{where} must be whole numbers of 0 or more, got {one!r}.")
    return tuple(int(v) for v in values)


def _number(value, *, infinite: bool = False) -> bool:
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))
    return bool(good and value >= 0 and (infinite or math.isfinite(value)))
