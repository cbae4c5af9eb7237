"""The fixed list of disjoint patient groups behind the funnel and the only-reason table: a function of the protocol.

Two patients with the same first failing criterion, the same first unknown before it, and the same answer to "is there
anything else against?" count alike in every number of the funnel, its bounds and the only-reason table. The list holds
every such group there can be, in a fixed order, so that its length tells nothing about the patients.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feasibility.errors import ReconciliationError
from feasibility.patterns import CriterionLabel, PatternTable, pack

ALONE, ALONE_BUT_UNKNOWN, WITH_OTHERS = range(3)
"""Nothing else against; nothing else failed, but something later is unknown; something later fails as well."""


@functools.lru_cache(maxsize=8)
def groups(n: int) -> tuple[tuple[int, int, int], ...]:
    """(first failing, first unknown before it, what else) of every possible group of ``n`` criteria; -1 for none.

    Who fails nothing: ``what else`` says whether something after the first unknown is unknown as well. Who fails: an
    unknown counts only before the first failing criterion, ``what else`` says what is after it or, where nothing
    else fails, also whether anything is unknown at all.

    >>> len(groups(2)), len(groups(24))
    (9, 647)
    """
    found = [(-1, -1, ALONE)]
    for first in range(n):
        found.append((-1, first, ALONE))
        if first < n - 1:
            found.append((-1, first, ALONE_BUT_UNKNOWN))
    for fails in range(n):
        later = fails < n - 1
        for unknown in (-1, *range(fails)):
            kinds = [ALONE] if unknown < 0 else [ALONE_BUT_UNKNOWN]
            kinds += [ALONE_BUT_UNKNOWN] if unknown < 0 and later else []
            found += [(fails, unknown, kind) for kind in (*kinds, *([WITH_OTHERS] if later else []))]
    return tuple(found)


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """How many patients are in each group of the fixed list: exact and internal until protected.

    ``n`` has one count a group (int64), in the order of ``groups(len(labels))``.
    """

    labels: tuple[CriterionLabel, ...]
    n: np.ndarray
    header: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, patterns: PatternTable) -> GroupCounts:
        """The patients of a pattern table, by group."""
        k = len(patterns.labels)
        place = {group: i for i, group in enumerate(groups(k))}
        fails = _matrix(patterns.fails, k, len(patterns))
        unknown = _matrix(patterns.unknowns, k, len(patterns))
        first = np.where(fails.any(axis=1), fails.argmax(axis=1), k) if k else np.zeros(len(patterns), dtype=int)
        before = unknown & (np.arange(k) < first[:, None])
        start = np.where(before.any(axis=1), before.argmax(axis=1), -1) if k else np.full(len(patterns), -1)
        several = np.where(first < k, unknown.sum(axis=1) > 0, unknown.sum(axis=1) > 1)
        kind = np.where(several, ALONE_BUT_UNKNOWN, ALONE)
        kind = np.where(fails.sum(axis=1) > 1, WITH_OTHERS, kind)
        counts = np.zeros(len(place), dtype=np.int64)
        rows = zip(np.where(first < k, first, -1).tolist(), start.tolist(), kind.tolist(), strict=True)
        np.add.at(counts, [place[row] for row in rows], patterns.n)
        if counts.sum() != patterns.n.sum():
            raise ReconciliationError("The groups do not hold all patients.")
        return cls(patterns.labels, counts, dict(patterns.header))

    def patterns(self) -> PatternTable:
        """One pattern that stands for each group: right for the funnel in this order and the only-reason table alone.

        What comes after the first failure is made up, so failing counts, overlaps, other orders and scenarios of this
        table mean nothing; ``header["only"]`` says so.
        """
        k = len(self.labels)
        fails, unknown = np.zeros((2, len(self.n), k), dtype=bool)
        for row, (first, start, kind) in enumerate(groups(k)):
            if first >= 0:
                fails[row, first] = True
            if start >= 0:
                unknown[row, start] = True
            if kind == WITH_OTHERS:
                fails[row, -1] = True
            elif kind == ALONE_BUT_UNKNOWN and (first < 0 or start < 0):
                unknown[row, -1] = True
        packed = (pack(list(m.T), len(self.n)) for m in (fails, unknown))
        header = {**self.header, "only": ["funnel", "only-reason", "bounds"]}
        return PatternTable(self.labels, *packed, np.asarray(self.n, dtype=np.int64), header)


def _matrix(bits, k: int, rows: int) -> np.ndarray:
    return np.stack([bits(i) for i in range(k)], axis=1) if k else np.zeros((rows, 0), dtype=bool)
