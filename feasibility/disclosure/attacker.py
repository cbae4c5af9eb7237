"""The attacker at work: for each small group, the counts that everything published leaves possible."""

from __future__ import annotations

import numpy as np

from feasibility.disclosure.facts import FREE, Facts
from feasibility.disclosure.solver import NEAR, Clock, Solver

TRIES = 8
"""How often another solution is sought where one is not in whole numbers."""
NEARBY = 1_000
"""How many columns with patients, and how many without, are tried first."""
WHOLE = 4_000
"""Columns up to which all of them are searched in whole numbers."""
CONFIRM = 2.0
"""Seconds a whole-number search for one group may take."""


class Attacker:
    """Small groups against facts; equal columns, facts and groups are held once."""

    def __init__(self, facts: Facts, wanted: np.ndarray, n: np.ndarray, policy):
        from scipy.sparse import vstack

        first, self.place = _distinct(wanted)
        keep, of_column = _distinct(vstack([facts.members, wanted[first]]).T.tocsr())
        self.n = np.bincount(of_column, weights=n, minlength=len(keep)).astype(np.int64)
        self.wanted = wanted[first][:, keep]
        rows, of_fact = _distinct(facts.members)
        self.lo, self.hi, self.tables = _tightest(facts, of_fact, len(rows))
        self.rows = facts.members[rows][:, keep]
        self.policy = policy
        most = int(max(self.n.sum(), self.lo.max(initial=0))) + 10 * policy.threshold
        problem = (self.rows, self.lo, self.hi, self.wanted, self.n, most, Clock(policy.seconds))
        self.near = Solver(*problem, columns=_simplest(self.rows, self.n))
        self.full = self.near if len(self.n) <= len(self.near.free) else Solver(*problem)
        self.now = self.seen_lo = self.seen_hi = self.wanted @ self.n
        self.out_lo, self.out_hi = np.zeros_like(self.now), np.full_like(self.now, most)

    def interval(self, j: int) -> tuple[int, int]:
        """Counts not ruled out: proven reachable for a safe group, else proven bounds."""
        if self._safe(j):
            return int(self.seen_lo[j]), int(self.seen_hi[j])
        return int(self.out_lo[j]), int(self.out_hi[j])

    def settle(self, j: int) -> tuple[str, tuple[str, ...]]:
        """(verdict, tables to blame) of one group."""
        k, width, now = self.policy.threshold, self.policy.min_width, self.now[j]
        # Empty or not small: that must be possible, and as many counts as the policy wants.
        for goals in ((0, width - 1), (max(k, now + width - 1),)):
            for asked in (self._near, self._try):
                for count in goals:
                    if not self._safe(j):
                        asked(j, count)
            if self._safe(j):
                return "safe", ()
        blame = [*self._bound(j, True), *self._bound(j, False)]
        if self._leaks(j):
            return "leaks", tuple(dict.fromkeys(blame))
        for largest in (True, False):
            self._whole_end(j, largest)
        for count in (max(k, now + width - 1), 0, now + 1, now - 1):
            if not self._safe(j) and not self._leaks(j) and self.out_lo[j] <= count <= self.out_hi[j]:
                self._try(j, count, whole=True)
        if self._safe(j):
            return "safe", ()
        if self._leaks(j):
            return "leaks", tuple(dict.fromkeys(blame))
        return "unfinished", tuple(dict.fromkeys(t for pair in self.tables for t in pair))

    def _safe(self, j: int) -> bool:
        """Whole-number solutions of this group lie far enough apart."""
        lo, hi = self.seen_lo[j], self.seen_hi[j]
        return bool(hi - lo + 1 >= self.policy.min_width and (lo == 0 or hi >= self.policy.threshold))

    def _leaks(self, j: int) -> bool:
        lo, hi = self.out_lo[j], self.out_hi[j]
        return bool(hi - lo + 1 < self.policy.min_width or (lo >= 1 and hi < self.policy.threshold))

    def _whole_end(self, j: int, largest: bool) -> None:
        """Draw one end in to where whole numbers reach it."""
        out, step = (self.out_hi, -1) if largest else (self.out_lo, 1)
        while not self._safe(j) and not self._leaks(j):
            possible = self._try(j, out[j])
            if possible is None:
                possible = self._try(j, out[j], whole=True)
            if possible is not False:
                return
            out[j] += step

    def _near(self, j: int, count: int, whole: bool = False) -> bool | None:
        """Is a solution with this count found among the simplest columns? Keeps what it shows about every group."""
        if self.seen_lo[j] <= count <= self.seen_hi[j]:
            return True
        return self._asked(self.near, j, count, whole)

    def _try(self, j: int, count: int, whole: bool = False) -> bool | None:
        """Is a solution with this count possible (None: not known)?"""
        found = self._near(j, count, whole)
        if found is False and self.full is not self.near:
            small_enough = not whole or len(self.n) <= WHOLE
            return self._asked(self.full, j, count, whole) if small_enough else None
        return found

    def _asked(self, solver: Solver, j: int, count: int, whole: bool) -> bool | None:
        rng = np.random.default_rng(0)
        for again in range(1 if whole else TRIES):
            weights = 1 + rng.random(len(self.n)) if again else None
            found = solver.reach_whole(j, count, CONFIRM) if whole else solver.reach(j, count, weights)
            if not isinstance(found, np.ndarray):
                return found
            if self._learn(found):
                return True
        return None

    def _bound(self, j: int, largest: bool) -> list[str]:
        """Compute one end; the tables whose numbers give it."""
        found = self.full.bound(j, largest)
        if found is None:
            return []
        value, weights = found
        if largest:
            self.out_hi[j] = min(self.out_hi[j], int(np.floor(value + NEAR)))
        else:
            self.out_lo[j] = max(self.out_lo[j], int(np.ceil(value - NEAR)))
        upper = weights > 0 if largest else weights < 0
        return [self.tables[r][int(upper[r])] for r in np.flatnonzero(np.abs(weights) > NEAR)]

    def _learn(self, solution: np.ndarray) -> bool:
        """Keep what a solution proves possible, if it is in whole numbers and fits every fact."""
        x = np.rint(solution).astype(np.int64)
        counts = self.rows @ x
        if (x < 0).any() or (counts < self.lo).any() or (counts > self.hi).any():
            return False
        got = self.wanted @ x
        self.seen_lo, self.seen_hi = np.minimum(self.seen_lo, got), np.maximum(self.seen_hi, got)
        return True


def _simplest(rows, n: np.ndarray) -> np.ndarray:
    """Columns among which most ways out are found: those that few numbers tell about, and some that have patients."""
    told = np.asarray(rows.sum(axis=0)).ravel()
    order = np.argsort(told, kind="stable")
    held, empty = order[n[order] > 0], order[n[order] == 0]
    return np.sort(np.r_[held[:NEARBY], empty[:NEARBY]])


def _tightest(facts: Facts, of_fact: np.ndarray, rows: int):
    """Facts about the same columns as one: (lo, hi, the tables that give the one and the other)."""
    lo, hi = np.zeros(rows, dtype=np.int64), np.full(rows, FREE)
    tables = [["", ""] for _ in range(rows)]
    for i, r in enumerate(of_fact):
        if facts.lo[i] > lo[r] or not tables[r][0]:
            lo[r], tables[r][0] = facts.lo[i], facts.tables[i]
        if facts.hi[i] < hi[r] or not tables[r][1]:
            hi[r], tables[r][1] = facts.hi[i], facts.tables[i]
    return lo, hi, tables


def _distinct(rows) -> tuple[np.ndarray, np.ndarray]:
    """First place of every distinct row of a sparse matrix, and which of them each row is.

    Rows are told apart by two 64-bit sums of random numbers, one a column.
    """
    weights = np.random.default_rng(0).integers(0, 2**64, (2, rows.shape[1]), dtype=np.uint64)
    ones = rows.astype(np.uint64)
    keys = np.stack([ones @ weights[0], ones @ weights[1]], axis=1)
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, which.ravel()
