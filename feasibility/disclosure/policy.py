"""Policies: to which base small counts are rounded, and which counts are never shown as a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from feasibility.errors import FeasibilityError, did_you_mean


@dataclass(frozen=True)
class Policy:
    """How a release is protected.

    ``base``: protected counts are multiples of it. ``threshold``: groups of 1 to ``threshold`` - 1 patients are small,
    and a shown count below it reads "<8". ``every_cell``: every group is rounded, else only the small ones (0 or the
    threshold), which needs the ledger of earlier releases. ``min_width``: a small group whose count can be narrowed to
    fewer whole numbers is given away. ``epsilon``: differential privacy instead of rounding, its price for the whole
    release. ``seconds``: the time the audit may take; what it has not finished counts as refused.

    >>> Policy("ours", base=10, threshold=10).shown(5), Policy("ours", base=10, threshold=10).shown(20)
    ('<10', '20')
    """

    name: str
    base: int
    threshold: int
    every_cell: bool = True
    min_width: int = 3
    epsilon: float | None = None
    seconds: float = 60.0

    def __post_init__(self):
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.base, self.threshold))
        if not whole or self.base < 1 or self.threshold < 1:
            raise FeasibilityError(
                f"Policy {self.name!r}: base ({self.base!r}) and threshold ({self.threshold!r}) are whole numbers of at"
                " least 1."
            )
        if not self.every_cell and self.base != self.threshold:
            raise FeasibilityError(
                f"Policy {self.name!r} rounds small groups to 0 or the threshold, so base ({self.base}) and threshold"
                f" ({self.threshold}) must be the same."
            )
        if self.epsilon is not None and not self.epsilon > 0:
            raise FeasibilityError(f"Policy {self.name!r}: epsilon must be positive, got {self.epsilon!r}.")

    @property
    def margin_error(self) -> int:
        """How far a number rounded by itself (the second block) can lie from the truth."""
        return self.base // 2

    @property
    def margin_threshold(self) -> int:
        """The smallest true count that is shown in the second block; smaller ones read "<13".

        Higher than ``threshold``: where the core shows that a group is not empty, "<8" beside it would say 1 to 7.

        >>> {name: policy.margin_threshold for name, policy in POLICIES.items() if policy.epsilon is None}
        {'nhs': 13, 'cms': 17, 'omop': 8}
        """
        if self.threshold == 1:
            return 1
        least = -(-(self.threshold + self.base) // self.base) * self.base
        return least - self.base // 2

    @property
    def cell_error(self) -> int:
        """How far the protected count of one group can lie from the truth."""
        return self.base - 1

    def shown(self, n: int) -> str:
        """A protected count as it is printed: "<8" below the threshold, thousands apart.

        >>> POLICIES["nhs"].shown(0), POLICIES["nhs"].shown(1250)
        ('<8', '1,250')
        """
        return f"<{self.threshold}" if n < self.threshold and self.threshold > 1 else f"{int(n):,}"

    def rounded(self, n: int) -> int:
        """A count rounded by itself to the nearest multiple of the base, halves up.

        >>> [POLICIES["nhs"].rounded(n) for n in (0, 2, 3, 97)]
        [0, 0, 5, 95]
        """
        return (2 * int(n) + self.base) // (2 * self.base) * self.base


POLICIES: Mapping[str, Policy] = MappingProxyType({
    "nhs": Policy("nhs", base=5, threshold=8),
    "cms": Policy("cms", base=11, threshold=11, every_cell=False),
    "omop": Policy("omop", base=5, threshold=5, every_cell=False),
    "dp": Policy("dp", base=1, threshold=8, epsilon=1.0),
})  # fmt: skip


def policy_of(policy: Policy | str) -> Policy:
    """A policy by its name, or one's own.

    Raises FeasibilityError for an unknown name.
    """
    if isinstance(policy, Policy):
        return policy
    if policy not in POLICIES:
        raise FeasibilityError(f"There is no disclosure policy {policy!r}.{did_you_mean(policy, POLICIES)}")
    return POLICIES[policy]
