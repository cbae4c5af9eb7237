"""Differential privacy, for those who ask for it: noise added once to every group of a list fixed beforehand.

Groups are disjoint, so the whole release costs one epsilon (parallel composition). The noise is two-sided geometric
(Ghosh, Roughgarden and Sundararajan 2009), from the operating system's randomness: no seed can undo it, and making the
same report again means keeping the released file, not drawing anew.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable

import numpy as np

from feasibility.disclosure.queries import Query, funnel_queries, reason_queries
from feasibility.errors import ReconciliationError
from feasibility.patterns import pack


def noisy_queries(ids: list[str]) -> list[Query]:
    """What a noisy release shows: the funnel, the last bound, and what each criterion alone costs."""
    funnel = [q for q in funnel_queries(ids) if q.table == "funnel"]
    last = [q for q in funnel_queries(ids) if q.name == f"confirmed:{ids[-1]}"]
    return [*funnel, *last, *(q for q in reason_queries(ids) if q.name.startswith("gain_possible"))]


def every_group(ids: list[str], queries: list[Query]) -> np.ndarray:
    """Answers (bool, groups x queries) of every group there can be: first failing criterion, alone or not, and none."""
    n = len(ids)
    fails = [{i} for i in range(n)] + [{i, n - 1} for i in range(n - 1)] + [set(), set()]
    unknowns: list[set] = [set()] * (len(fails) - 1) + [{n - 1}]
    failed, unknown = (
        pack([np.array([i in one for one in sets]) for i in range(n)], len(fails)) for sets in (fails, unknowns)
    )
    return np.stack([q.bind(ids).members(failed, unknown) for q in queries], axis=1)


def noisy_counts(every: np.ndarray, answers: np.ndarray, n: np.ndarray, epsilon: float, draw=None) -> np.ndarray:
    """Counts of every possible group with noise: ``answers`` and ``n`` are those of the occupied ones."""
    place = {row.tobytes(): i for i, row in enumerate(every)}
    counts = np.zeros(len(every), dtype=np.int64)
    for row, count in zip(answers, n, strict=True):
        if row.tobytes() not in place:
            raise ReconciliationError("A group of patients is not in the list fixed beforehand.")
        counts[place[row.tobytes()]] += count
    draw = draw or geometric(epsilon)
    return counts + np.array([draw() for _ in counts], dtype=np.int64)


def geometric(epsilon: float, uniform: Callable[[], float] | None = None) -> Callable[[], int]:
    """A draw of two-sided geometric noise: P(x) falls by e to the -epsilon a step. SD 1.36 at epsilon 1."""
    uniform = uniform or (lambda: (secrets.randbits(53) + 0.5) / 2**53)

    def one() -> int:
        return math.floor(math.log(uniform()) / -epsilon)

    return lambda: one() - one()
