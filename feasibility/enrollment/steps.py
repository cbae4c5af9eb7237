"""What patients must get through: steps with their losses, competing trials, and places that come one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feasibility.enrollment.sites import _number
from feasibility.errors import FeasibilityError
from feasibility.protocol.criterion import Beta

Rate = Beta | float | Sequence[Beta]


@dataclass(frozen=True)
class Step:
    """One loss on the way: the share who pass, drawn once per simulated trial and the same at every site.

    ``rate`` is a Beta, a number from 0 to 1 taken as known, or a list of Betas, one an imputation. ``reaches`` names
    the milestone of those who pass ("consented", "infused"), ``months`` the time the step takes. ``clause`` is the
    protocol's clause it stands for. Raises FeasibilityError for a rate outside 0 to 1 or negative months.

    >>> Step("consent", Beta(7, 3), reaches="consented").mean
    0.7
    """

    name: str
    rate: Rate
    source: str = ""
    reaches: str = ""
    months: float = 0
    clause: str = ""

    def __post_init__(self):
        object.__setattr__(self, "rate", _rate(self.rate, f"Step {self.name!r}"))
        if not _number(self.months):
            raise FeasibilityError(f"Step {self.name!r}: months must be 0 or more, got {self.months!r}.")

    @property
    def mean(self) -> float:
        return mean_rate(self.rate)


@dataclass(frozen=True)
class Competing:
    """Another trial that takes a share of the patients between two months; drawn once per simulated trial.

    ``sites`` names the sites it runs at; empty for all. Raises FeasibilityError for a share outside 0 to 1.

    >>> Competing("menin inhibitor", Beta(2, 8), start=6).name
    'menin inhibitor'
    """

    name: str
    share: Rate
    start: float = 0
    end: float = math.inf
    sites: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self):
        object.__setattr__(self, "share", _rate(self.share, f"Competing trial {self.name!r}"))
        object.__setattr__(self, "sites", tuple(self.sites))
        if not _number(self.start) or not _number(self.end, infinite=True) or self.end <= self.start:
            raise FeasibilityError(f"Competing trial {self.name!r}: start must be 0 or more and before end.")


@dataclass(frozen=True)
class Slots:
    """Places that come one at a time, such as doses that must lie ``gap`` months apart.

    Patients wait in order of arrival, at most ``max_wait`` months (0: nobody waits), and lose eligibility while they
    wait with the half-life ``half_life`` (4 to 6 months in relapsed AML). The gap holds before the milestone ``before``
    for the first ``patients`` (None: for all), over all sites together.

    >>> Slots(gap=1, half_life=5).before
    'infused'
    """

    gap: float
    max_wait: float = math.inf
    half_life: float = math.inf
    before: str = "infused"
    patients: int | None = None

    def __post_init__(self):
        for what in ("gap", "max_wait", "half_life"):
            if not _number(getattr(self, what), infinite=what != "gap"):
                raise FeasibilityError(f"Slots: {what} must be 0 or more months, got {getattr(self, what)!r}.")
        if self.half_life == 0:
            raise FeasibilityError("Slots: half_life must be above 0; max_wait=0 says that nobody waits.")


def mean_rate(rate) -> float:
    """The mean of a rate, whatever its form."""
    if isinstance(rate, tuple):
        return sum(b.mean for b in rate) / len(rate)
    return rate.mean if isinstance(rate, Beta) else float(rate)


def _rate(rate, where) -> Rate:
    if isinstance(rate, Beta):
        return rate
    if isinstance(rate, Sequence) and not isinstance(rate, str) and rate and all(isinstance(r, Beta) for r in rate):
        return tuple(rate)
    if _number(rate) and rate <= 1:
        return float(rate)
    raise FeasibilityError(f"{where}: the rate must be a Beta(a, b) or a number from 0 to 1, got {rate!r}.")


def named_rates(rates: Mapping | None) -> dict:
    """Rates as given by a user: Betas, pairs (a, b) as a file holds them, or numbers."""
    out = {}
    for name, rate in (rates or {}).items():
        pair = isinstance(rate, (list, tuple)) and len(rate) == 2 and not any(isinstance(r, Beta) for r in rate)
        out[name] = Beta(*rate) if pair else rate
    return out
