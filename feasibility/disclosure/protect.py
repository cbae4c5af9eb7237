"""Controlled rounding of disjoint patient groups, so that everything shown adds up and no small group is given away.

The groups are the patients with the same answer to every query of the core. Their counts are rounded down to a
multiple of the base; then as many are raised by one base as bring the total nearest, chosen so that the queries' counts
are repaired best: the idea of small-count rounding (Langsrud and Heldal 2018, R package SmallCountRounding).
"""

from __future__ import annotations

import numpy as np

from feasibility.disclosure.policy import Policy

CHUNK = 250_000
"""Patterns whose answers are held at a time."""
SWAPS = 200
"""Exchanges of a raised for an unraised group that are tried at most."""


def groups_of(bound, failed: np.ndarray, unknown: np.ndarray, n: np.ndarray):
    """(answers, counts): the distinct rows of answers to the bound queries (bool, groups x queries), and patients.

    Works through the patterns a chunk at a time, so that memory does not grow with them.
    """
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
