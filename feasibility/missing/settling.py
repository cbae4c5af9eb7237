"""What it takes to decide one criterion: the smallest sets of records, whatever they say or as imputed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from feasibility.missing.states import States

UNDECIDED, FAILS, PASSES = 0, 1, 2
ROWS = 200_000

Family = tuple[int, ...]
"""Sets of records that each suffice and none of which holds another; a set is a whole number with a bit a record."""


def smallest(sets: Iterable[int], most: int | None = None) -> Family:
    """The sets that hold no other one, in order; those above ``most`` records left out.

    >>> smallest([0b11, 0b01, 0b100, 0b110])
    (1, 4)
    """
    kept: list[int] = []
    for one in sorted(set(sets), key=lambda s: (s.bit_count(), s)):
        if (most is None or one.bit_count() <= most) and not any(one & k == k for k in kept):
            kept.append(one)
    return tuple(kept)


def union(families: Iterable[Family], most: int) -> Family:
    """The smallest sets that satisfy one set of every family: what decides several criteria at once.

    >>> union([(1, 2), (2, 4)], 2)
    (2, 5)
    """
    found: Family = (0,)
    for family in sorted(families, key=len):
        found = smallest((a | b for a in found for b in family), most)
        if not found:
            break
    return found


def settles(states: States, rows: np.ndarray, chosen: Iterable[int]) -> np.ndarray:
    """Which states the records ``chosen`` decide whatever they turn out to say."""
    decided = np.ones(len(rows), dtype=bool)
    step = max(1, ROWS // 64)
    for start in range(0, len(rows), step):
        decided[start : start + step] = _settles(states, rows[start : start + step], list(chosen))
    return decided


def _settles(states: States, rows: np.ndarray, chosen: list[int]) -> np.ndarray:
    """One record after the other takes every value; what is decided is followed no further."""
    origin, left = np.arange(len(rows)), rows
    for step in (None, *chosen):
        if step is not None and len(left):
            came, left = states.expand(left, step)
            origin = origin[came]
        if len(left):
            open_ = states.verdicts(left)[1]
            origin, left = origin[open_], left[open_]
    decided = np.ones(len(rows), dtype=bool)
    decided[origin] = False
    return decided


def sure_sets(states: States, rows: np.ndarray, most: int) -> list[list[tuple[int, ...]]]:
    """For each state the smallest sets of records (positions) that decide the criterion whatever they say."""
    found: list[list[tuple[int, ...]]] = [[] for _ in rows]
    for chosen, at in _candidates(states, rows, found, most):
        for i in at[settles(states, rows[at], chosen)]:
            found[i].append(chosen)
    return found


def outcomes(states: States, rows: np.ndarray, filled: np.ndarray, most: int) -> tuple[np.ndarray, list]:
    """As ``sure_sets``, for records that say what ``filled`` has: the outcome of each row, and the smallest sets."""
    found: list[list[tuple[int, ...]]] = [[] for _ in rows]
    outcome = np.full(len(rows), UNDECIDED)
    for chosen, at in _candidates(states, rows, found, most):
        verdict = verdict_of(states, rows[at], filled[at], chosen)
        for i, v in zip(at[verdict != UNDECIDED], verdict[verdict != UNDECIDED], strict=True):
            found[i].append(chosen)
            outcome[i] = v
    return outcome, found


def verdict_of(states: States, rows: np.ndarray, filled: np.ndarray, chosen: Iterable[int]) -> np.ndarray:
    """What becomes of the criterion once the records ``chosen`` are filled."""
    made = rows
    for j in chosen:
        made = states.fill(made, j, filled)
    failed, unknown = states.verdicts(made)
    return np.select([unknown, failed], [UNDECIDED, FAILS], PASSES)


def _candidates(states: States, rows: np.ndarray, found: list, most: int):
    """Sets of open records, small ones first, each with the states for which no part of it suffices already."""
    open_ = np.stack([states.open(rows, j) for j in range(len(states.known))], axis=1)
    for size in range(1, min(most, len(states.known)) + 1):
        for chosen in combinations(range(len(states.known)), size):
            at = np.flatnonzero(open_[:, chosen].all(axis=1))
            held = [any(set(small) <= set(chosen) for small in found[i]) for i in at]
            at = at[~np.array(held, dtype=bool)] if len(at) else at
            if len(at):
                yield chosen, at
