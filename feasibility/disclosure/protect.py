"""Controlled rounding of disjoint patient groups, so that everything shown adds up and no small group is given away.

The groups are the patients with the same answer to every query of the core. Their counts are rounded down to a
multiple of the base; then as many are raised by one base as bring the total nearest, chosen so that the queries' counts
are repaired best: the idea of small-count rounding (Langsrud and Heldal 2018, R package SmallCountRounding).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feasibility.disclosure.policy import Policy
from feasibility.disclosure.queries import Query
from feasibility.patterns import WORD, count

CHUNK = 250_000
"""Patterns whose answers are held at a time."""
SWAPS = 200
"""Exchanges of a raised for an unraised group that are tried at most."""


def groups_of(bound, failed: np.ndarray, unknown: np.ndarray, n: np.ndarray):
    """(answers, counts): the distinct rows of answers to the bound queries (bool, groups x queries), and patients.

    Works through the patterns a chunk at a time, so that memory does not grow with them.
    """
    if len(n) > CHUNK // 10:  # many patterns that differ in what no query asks: fewer rows to answer for
        fewer = count((), failed, unknown, None, n)
        failed, unknown, n = fewer.failed, fewer.unknown, fewer.n
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(n), CHUNK):
        part = slice(start, start + CHUNK)
        answers = np.zeros((len(n[part]), len(bound)), dtype=bool)
        for j, query in enumerate(bound):
            answers[:, j] = query.members(failed[part], unknown[part])
        found.append(_distinct(np.packbits(answers, axis=1), n[part]))
    if not found:
        return np.zeros((0, len(bound)), dtype=bool), np.zeros(0, dtype=np.int64)
    packed, counts = _distinct(np.concatenate([p for p, _ in found]), np.concatenate([c for _, c in found]))
    return np.unpackbits(packed, axis=1, count=len(bound)).astype(bool), counts


def collapsed(ids: Sequence[str], queries: Sequence[Query], failed: np.ndarray, unknown: np.ndarray, n: np.ndarray):
    """(failed, unknown, n) of fewer patterns with the same answers to the queries of the core.

    Whoever fails two criteria, one of which no change touches, counts for the funnel alone: only the first failing and
    the first unknown criterion before it matter. ``ids`` are the criteria, the first columns of the packed words. Past
    64 criteria nothing is collapsed.
    """
    k = len(ids)
    if not 1 < k <= WORD:
        return failed, unknown, n
    changed = [set(ids) - set(q.columns) for q in queries if q.table in ("scenarios", "curves")]
    touched = set().union(*changed)
    fixed = [i for i, key in enumerate(ids) if key not in touched]
    if not fixed:
        return failed, unknown, n
    one, every = np.uint64(1), np.uint64(2**k - 1)
    untouched = np.uint64(sum(1 << i for i in fixed))
    f, u = failed[:, 0] & every, unknown[:, 0] & every
    far = (np.bitwise_count(f) >= 2) & ((f & untouched) != 0)
    f, u, counts = f[far], u[far], n[far]
    before = (f & (~f + one)) - one
    u &= before
    first = np.bitwise_count(before).astype(np.int64)
    doubt = np.where(u != 0, np.bitwise_count((u & (~u + one)) - one), k).astype(np.int64)
    found = np.zeros(k * (k + 1), dtype=np.int64)
    np.add.at(found, first * (k + 1) + doubt, counts)
    occupied = np.flatnonzero(found)
    first, doubt = occupied // (k + 1), occupied % (k + 1)
    # A second failure beside the first, so that one of the two is never touched.
    second = np.where([i in fixed for i in first], k - 1, fixed[-1])
    rows = np.zeros((2, len(occupied), failed.shape[1]), dtype=np.uint64)
    rows[0, :, 0] = (one << first.astype(np.uint64)) | (one << second.astype(np.uint64))
    rows[1, :, 0] = np.where(doubt < k, one << np.minimum(doubt, k - 1).astype(np.uint64), np.uint64(0))
    near = ~far
    return (
        np.concatenate([failed[near], rows[0]]),
        np.concatenate([_fewer_unknowns(failed[near], unknown[near], every, untouched), rows[1]]),
        np.concatenate([n[near], found[occupied]]),
    )


def _fewer_unknowns(failed: np.ndarray, unknown: np.ndarray, every, untouched) -> np.ndarray:
    """With two unknowns, one in a criterion that no change touches, nobody is confirmed anywhere: the first matters.

    The last untouched criterion stands for all the others.
    """
    one, last = np.uint64(1), np.uint64(1 << (int(untouched).bit_length() - 1))
    u = unknown[:, 0] & every
    first = u & (~u + one)
    plain = (np.bitwise_count(u) >= 2) & ((u & untouched) != 0) & ((failed[:, 0] & last) == 0) & (first != last)
    fewer = unknown.copy()
    fewer[plain] = 0
    fewer[plain, 0] = first[plain] | last
    return fewer


def _distinct(packed: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of bytes in their order, and the sum of ``n`` over each."""
    width = packed.shape[1]
    if not width:
        return packed[:1], np.array([n.sum()], dtype=np.int64)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, width))).ravel()
    rows, inverse = np.unique(keys, return_inverse=True)
    counts = np.zeros(len(rows), dtype=np.int64)
    np.add.at(counts, inverse, n)
    return rows.view(np.uint8).reshape(len(rows), width), counts


def protect(groups: np.ndarray, margins: np.ndarray, base: int, threshold: int | None = None) -> np.ndarray:
    """The protected counts of disjoint groups.

    Parameters
    ----------
    groups: patients in each group (int, one a group).
    margins: the queries each group counts for (bool, groups x queries).
    base: with ``threshold`` None, every group is rounded to a multiple of it.
    threshold: only groups of 1 to ``threshold`` - 1 are rounded, to 0 or ``base``; the others stay exact.

    The total lies within base / 2 of the true one where enough groups can be raised. The same groups give the same
    result. Source: design of small-count rounding (Langsrud and Heldal 2018); the exchanges at the end are ours.

    >>> import numpy as np
    >>> exact = np.array([3, 7, 2, 40, 1, 47])
    >>> rounded = protect(exact, np.eye(6, dtype=bool), base=5)
    >>> int(rounded.sum()), bool((abs(rounded - exact) < 5).all()), set((rounded % 5).tolist())
    (100, True, {0})
    """
    groups = np.asarray(groups, dtype=np.int64)
    free = groups % base != 0 if threshold is None else (groups > 0) & (groups < threshold)
    floor = np.where(free, groups // base * base if threshold is None else 0, groups)
    raises = int(np.clip(np.round((groups.sum() - floor.sum()) / base), 0, free.sum()))
    places = np.flatnonzero(free)
    if not len(places) or not raises:
        return floor
    answers, weights = np.unique(np.asarray(margins, dtype=bool), axis=1, return_counts=True)
    counts_for = np.hstack([answers[places], np.ones((len(places), 1), dtype=bool)]).astype(np.float64)
    weight = np.r_[weights, 1.0]
    error = np.r_[(groups - floor) @ answers, (groups - floor).sum()].astype(np.float64)
    raised = _greedy(counts_for, weight, error, groups[places] - floor[places], raises, base)
    _exchange(counts_for, weight, error, raised, base)
    floor[places[raised]] += base
    return floor


def _greedy(counts_for, weight, error, short, raises: int, base: int) -> np.ndarray:
    """Raise one group after the other, each time the one that repairs most; ``error`` is brought up to date."""
    cost = base * (counts_for @ weight)
    weighted = counts_for * weight
    raised = np.zeros(len(counts_for), dtype=bool)
    gain = 2 * (weighted @ error) - cost + 1e-9 * short
    for _ in range(raises):
        best = int(np.argmax(np.where(raised, -np.inf, gain)))
        raised[best] = True
        error -= base * counts_for[best]
        gain -= 2 * base * (weighted @ counts_for[best])
    return raised


def _exchange(counts_for, weight, error, raised, base: int) -> None:
    """Exchange a raised for an unraised group while that lowers the squared error of the counts."""
    weighted = counts_for * weight
    size = weighted.sum(axis=1)
    for _ in range(SWAPS):
        up, down = np.flatnonzero(~raised), np.flatnonzero(raised)
        if not len(up) or not len(down):
            return
        pull = 2 * (weighted @ error)
        # Raising a and lowering b changes the squared error by -base * (pull_a - pull_b) + base^2 * |a - b|^2.
        overlap = weighted[up] @ counts_for[down].T
        change = -base * (pull[up][:, None] - pull[down][None, :]) + base**2 * (
            size[up][:, None] + size[down][None, :] - 2 * overlap
        )
        a, b = np.unravel_index(int(np.argmin(change)), change.shape)
        if change[a, b] >= -1e-6:
            return
        raised[up[a]], raised[down[b]] = True, False
        error -= base * (counts_for[up[a]] - counts_for[down[b]])


def protected_counts(groups: np.ndarray, margins: np.ndarray, policy: Policy) -> np.ndarray:
    """``protect`` under a policy."""
    return protect(groups, margins, policy.base, None if policy.every_cell else policy.threshold)
