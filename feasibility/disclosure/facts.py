"""What a published number tells an attacker: the counts it could stand for, as an interval of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from feasibility.errors import FeasibilityError, ReconciliationError

FREE = np.iinfo(np.int64).max
"""The upper end of "any number"."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What an attacker knows: the patients in ``members`` are at least ``lo`` and at most ``hi``.

    ``members`` is a sparse matrix of zeros and ones, facts x columns, a column being one possible membership of a
    patient; ``names`` and ``tables`` say where each number is published.

    >>> both = exact("funnel", ["entering", "remaining"], [[True, True], [False, True]], [100, 97])
    >>> both.lo.tolist(), len(both)
    ([100, 97], 2)
    """

    members: Any
    lo: np.ndarray
    hi: np.ndarray
    names: tuple[str, ...]
    tables: tuple[str, ...]

    def __post_init__(self):
        if not (self.members.shape[0] == len(self.lo) == len(self.hi) == len(self.names) == len(self.tables)):
            raise ReconciliationError("Facts: a row of members, a lower and an upper end, a name and a table each.")

    def __len__(self) -> int:
        return len(self.names)

    def without(self, *tables: str) -> Facts:
        """The facts left when tables are not published."""
        kept = np.flatnonzero([t not in tables for t in self.tables])
        names, named = (tuple(x[i] for i in kept) for x in (self.names, self.tables))
        return Facts(self.members[kept], self.lo[kept], self.hi[kept], names, named)


def together(facts: Iterable[Facts]) -> Facts:
    """Several sets of facts about the same columns as one."""
    from scipy.sparse import vstack

    facts = list(facts)
    return Facts(
        vstack([f.members for f in facts]).tocsr(),
        np.concatenate([f.lo for f in facts]),
        np.concatenate([f.hi for f in facts]),
        tuple(name for f in facts for name in f.names),
        tuple(table for f in facts for table in f.tables),
    )


def made(table: str, names: Sequence[str], members, intervals) -> Facts:
    """Facts of one table: ``intervals`` is (lo, hi), each one number a name."""
    lo, hi = (np.atleast_1d(np.asarray(x, dtype=np.int64)) for x in intervals)
    return Facts(sparse(members), lo, hi, tuple(names), (table,) * len(names))


def sparse(members):
    """A boolean matrix as a sparse one of zeros and ones."""
    from scipy.sparse import csr_array, issparse

    if issparse(members):
        return members.tocsr()
    return csr_array(np.atleast_2d(np.asarray(members, dtype=bool)), dtype=np.int64)


def exact(table: str, names: Sequence[str], members, counts) -> Facts:
    """Numbers published as they are."""
    return made(table, names, members, (counts, counts))


def known_total(n: int, columns: int) -> Facts:
    """The attacker knows how many patients there are in all."""
    return exact("known", ["all patients"], np.ones((1, columns), dtype=bool), [n])


def cell_interval(n, policy) -> tuple[np.ndarray, np.ndarray]:
    """The true counts that a protected count of one group can stand for, by the policy.

    A group that is not published at all counts as 0. Under differential privacy a count excludes nothing.

    >>> from types import SimpleNamespace
    >>> nhs = SimpleNamespace(base=5, threshold=8, every_cell=True, epsilon=None)
    >>> [x.tolist() for x in cell_interval([0, 5, 40], nhs)]
    [[0, 1, 36], [4, 9, 44]]
    >>> cms = SimpleNamespace(base=11, threshold=11, every_cell=False, epsilon=None)
    >>> [x.tolist() for x in cell_interval([0, 11, 40], cms)]
    [[0, 1, 40], [10, 11, 40]]
    """
    n = np.atleast_1d(np.asarray(n, dtype=np.int64))
    if policy.epsilon is not None:
        return np.zeros_like(n), np.full_like(n, FREE)
    base, k = policy.base, policy.threshold
    lo, hi = np.maximum(n - base + 1, 0), n + base - 1
    wrong = n % base != 0 if policy.every_cell else (n > 0) & (n < k) & (n % base != 0)
    if (wrong | (n < 0)).any():
        raise ReconciliationError(
            f"{n[wrong | (n < 0)][0]} is no protected count: the base is {base}, the threshold {k}."
        )
    if policy.every_cell:
        return lo, hi
    # A count from the threshold up may be itself; a multiple of the base may also stand for a small group.
    small = (n % base == 0) & (np.maximum(lo, 1) < k)
    itself = (n >= k) | (n == 0)
    lo = np.where(small, np.where(itself, np.minimum(np.maximum(lo, n > 0), n), np.maximum(lo, n > 0)), n)
    hi = np.where(small, np.where(itself, np.maximum(np.minimum(hi, k - 1), n), np.minimum(hi, k - 1)), n)
    return lo, hi


def margin_interval(n, policy) -> tuple[np.ndarray, np.ndarray]:
    """The true counts that a number rounded by itself to the nearest multiple of the base, halves up, can stand for.

    None (or NaN) is a number printed as "<13": it stands for all counts below the policy's ``margin_threshold``.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> [x.tolist() for x in margin_interval([None, 20], POLICIES["nhs"])]
    [[0, 18], [12, 22]]
    """
    values = np.array([np.nan if v is None else v for v in np.atleast_1d(np.asarray(n, dtype=object))], dtype=float)
    hidden = np.isnan(values)
    if policy.epsilon is not None:
        return np.zeros(len(values), dtype=np.int64), np.full(len(values), FREE)
    base = policy.base
    shown = np.where(hidden, 0, values).astype(np.int64)
    if ((shown % base != 0) | (shown < 0) | (~hidden & (shown != values))).any():
        raise ReconciliationError(f"A rounded number is not a multiple of {base}.")
    lo = np.where(hidden, 0, np.maximum(shown - base // 2, 0))
    return lo, np.where(hidden, policy.margin_threshold - 1, shown + (base - 1) // 2)


def consistent(shown, model: Callable[[int], float], counts: Iterable[int], decimals: int) -> tuple[int, int]:
    """The smallest and the largest count whose model output rounds to the published one.

    ``shown`` is the published text or number, ``decimals`` how many it has, ``model`` turns a count into the output.
    Ties may have been rounded either way. Raises FeasibilityError if no count fits.

    >>> consistent("66.7", lambda n: 100 * n / 3, range(4), 1)
    (2, 2)
    """
    value, half = Decimal(str(shown)), Decimal(1).scaleb(-decimals) / 2
    near = half + Decimal("1e-9")
    fits = [n for n in counts if abs(Decimal(repr(float(model(n)))) - value) <= near]
    if not fits:
        raise FeasibilityError(
            f"No count gives {shown} with {decimals} decimals: another model, or other counts to try."
        )
    return min(fits), max(fits)


def percentage(shown, base: int, decimals: int) -> tuple[int, int]:
    """The counts of a known base that a published percentage can stand for.

    >>> percentage("3.0", 997, 1)
    (30, 30)
    >>> percentage("3", 997, 0)
    (25, 34)
    """
    if base < 1:
        raise FeasibilityError(f"A percentage needs a base of at least 1 patient, got {base}.")
    return consistent(shown, lambda n: 100 * n / base, range(base + 1), decimals)
