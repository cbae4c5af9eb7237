"""The exact best sets of criteria to waive, found among the sets that stand between patients and the trial.

A patient is gained by waiving a set S where everything that blocks the patient is in S. So the gain of S is the sum of
the counts of all *blocking sets* inside S, and nothing else about the patients matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from feasibility.errors import FeasibilityError
from feasibility.patterns import PatternTable, count

ALL_SUBSETS = 20
"""Up to so many criteria in play every subset is looked at."""
BRANCH_SIZE = 4
"""Beyond that, sets of up to so many criteria are searched by branching."""
FEW = 5_000
CELLS = 4_000_000
"""Numbers held at a time while searching."""


@dataclass(frozen=True, eq=False)
class Blocking:
    """Blocking sets: ``sets[i]`` (positions of criteria, ascending) is all that keeps ``n[i]`` patients out."""

    sets: list[tuple[int, ...]]
    n: np.ndarray


@dataclass(frozen=True, eq=False)
class Best:
    """The best sets in the extract and in every resample.

    ``waived`` are the best sets, as positions of criteria. ``ranked`` (ranks, columns) says which candidate, by its
    number, takes which rank in which column of the weights, ``gains`` with which gain; ``raw`` are the gains of all
    candidates in the extract.
    """

    waived: list[tuple[int, ...]]
    raw: np.ndarray
    ranked: np.ndarray
    gains: np.ndarray


def blocking(patterns: PatternTable, blocked: np.ndarray, size: int, kept: Sequence[int] = ()) -> Blocking:
    """The sets of at most ``size`` criteria that alone keep patients out; sets with a kept criterion never open.

    ``blocked`` are packed words: failed (for possible patients) or failed and unknown together (for confirmed).
    """
    how_many = np.bitwise_count(blocked).sum(axis=1, dtype=np.int64)
    near = (how_many > 0) & (how_many <= size)
    for i in kept:
        near &= ~patterns.bits(blocked, i)
    rows = blocked[near]
    table = count(patterns.labels, rows, np.zeros_like(rows), weights=patterns.n[near])
    bits = np.unpackbits(table.failed.astype("<u8").view(np.uint8), axis=1, bitorder="little")[
        :, : len(patterns.labels)
    ]
    where, position = np.nonzero(bits)
    ends = np.searchsorted(where, np.arange(1, len(table) + 1))
    starts = np.r_[0, ends[:-1]] if len(ends) else ends
    return Blocking([tuple(position[a:b].tolist()) for a, b in zip(starts, ends, strict=True)], table.n)


def best_sets(blocks: Blocking, weights: np.ndarray, size: int, top: int, tie: Blocking) -> Best:
    """The ``top`` best sets of at most ``size`` criteria in which every member counts, for each column of weights.

    ``weights`` is (blocking sets, columns), the first column the extract itself. Every member counts where S is the
    union of blocking sets inside it. Equal gains in the extract are ordered by fewer criteria, then by the gain in
    ``tie``, then by the order of the protocol.
    """
    in_play = sorted({i for one in blocks.sets for i in one})
    place = {criterion: i for i, criterion in enumerate(in_play)}
    sets = [tuple(place[c] for c in one) for one in blocks.sets]
    tied = [i for i, one in enumerate(tie.sets) if place.keys() >= set(one)]
    tie_sets, tie_n = [tuple(place[c] for c in tie.sets[i]) for i in tied], tie.n[tied]
    size = min(size, len(in_play))
    if not in_play:
        nothing = np.zeros((0, weights.shape[1]), dtype=np.int64)
        return Best([], nothing[:, 0], nothing, nothing)
    if size <= BRANCH_SIZE:
        found = _branch(sets, weights, size, top, len(in_play))
        inside = [_inside(one, sets, len(in_play)) for one in found]
        counts = [_unions(one, rows, sets, len(in_play)) for one, rows in zip(found, inside, strict=True)]
        found = [one[ok] for one, ok in zip(found, counts, strict=True)]
        inside = [rows[ok] for rows, ok in zip(inside, counts, strict=True)]
        beside = np.concatenate([_inside(one, tie_sets, len(in_play)) @ tie_n for one in found])
        rows = _stacked(inside)
        first = np.cumsum([0, *(len(one) for one in found)])
        sizes = np.repeat(np.arange(1, len(found) + 1), np.diff(first))

        def candidate(i):
            j = int(np.searchsorted(first, i, side="right")) - 1
            return found[j][i - first[j]].tolist()

        best = _rank(lambda a, b: rows @ weights[:, a:b], (sizes, beside), weights.shape[1], top)
    elif len(in_play) <= ALL_SUBSETS:
        masks = _union_masks(sets, size, len(in_play))
        masks = masks[np.lexsort([-_mirrored(masks, len(in_play)), np.bitwise_count(masks)])]
        sizes, beside = np.bitwise_count(masks), _zeta(tie_sets, tie_n, len(in_play))[masks]

        def candidate(i):
            return [c for c in range(len(in_play)) if masks[i] >> c & 1]

        def gains(a, b):
            return np.stack([_zeta(sets, weights[:, c], len(in_play))[masks] for c in range(a, b)], axis=1)

        best = _rank(gains, (sizes, beside), weights.shape[1], top)
    else:
        raise FeasibilityError(
            f"{len(in_play)} criteria are in play; beyond {ALL_SUBSETS} the exact search goes up to drop={BRANCH_SIZE},"
            f' got drop={size}. Ask for fewer, name criteria to keep (keep=[...]), or use level="clause".'
        )
    return Best([tuple(in_play[c] for c in candidate(i)) for i in best[1][:, 0]], *best)


def _rank(gains: Callable, ties: tuple, columns: int, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw gains, and for each column the candidates of the first ranks with their gains.

    ``ties`` are the size of each candidate and its gain by the other count, which orders equals in the extract. In
    resamples equals keep the order of size and protocol: what the extract says must not choose there, or the luck of
    the best would look smaller than it is.
    """
    sizes, beside = ties
    n = len(sizes)
    top, step = min(top, n), max(1, CELLS // n)
    raw, keys = None, []
    for a in range(0, columns, step):
        block = np.asarray(gains(a, min(columns, a + step)), dtype=np.int64)
        raw = block[:, 0].copy() if raw is None else raw
        key = block * n + np.arange(n - 1, -1, -1)[:, None]
        keys.append(np.sort(np.partition(key, n - top, axis=0)[n - top :], axis=0)[::-1])
    key = np.concatenate(keys, axis=1)
    ranked = n - 1 - key % n
    ranked[:, 0] = np.lexsort([-beside, sizes, -raw])[:top]
    return raw, ranked, key // n


def _branch(sets, weights, size: int, top: int, p: int) -> list[np.ndarray]:
    """Every set of at most ``size`` of ``p`` criteria that can take one of the first ranks in some column.

    A blocking set inside S gives each of its members an equal part of its patients, so the gain of S is at most the
    sum of its members' shares. A branch whose shares, with the largest ones still to come, stay below what is already
    reached in every column is cut. The result has one array (sets, j) for each size j.
    """
    share = _members(sets, p, [1 / len(one) for one in sets for _ in one]).T @ weights
    order = np.argsort(-share[:, 0], kind="stable")
    share = share[order]
    rest = _largest_sums(share, size)
    # With few sets looking at all of them takes less time than telling which to leave out.
    few = sum(comb(p, j) for j in range(1, size + 1)) <= FEW
    reached = np.zeros(1) if few else _reached(order, sets, weights, size, top, p) - 1e-6
    share, rest = (share[:, :1], rest[..., :1]) if few else (share, rest)
    frontier = np.arange(p)[:, None]
    found = []
    for j in range(1, size + 1):
        good, opened = [], []
        step = max(1, CELLS // (4 * weights.shape[1]))
        for a in range(0, len(frontier), step):
            part = frontier[a : a + step]
            bound = share[part[:, 0]]
            for i in range(1, j):
                bound = bound + share[part[:, i]]
            good.append((bound >= reached).any(axis=1))
            if j < size:
                opened.append((bound + rest[part[:, -1] + 1, size - j] >= reached).any(axis=1))
        found.append(np.sort(order[frontier[np.concatenate(good)]], axis=1) if len(frontier) else frontier)
        if j < size:
            frontier = _children(frontier[np.concatenate(opened)] if len(frontier) else frontier, p)
    return [one[np.lexsort(one.T[::-1])] for one in found]


def _largest_sums(share: np.ndarray, size: int) -> np.ndarray:
    """``[i, j]``: the sum of the ``j`` largest shares from row ``i`` on, in each column."""
    p, columns = share.shape
    sums = np.zeros((p + 1, size + 1, columns))
    best = np.zeros((size, columns))
    for i in range(p - 1, -1, -1):
        best = np.sort(np.concatenate([best, share[i : i + 1]]), axis=0)[:0:-1]
        sums[i, 1:] = np.cumsum(best, axis=0)
        best = best[::-1]
    return sums


def _reached(order, sets, weights, size: int, top: int, p: int) -> np.ndarray:
    """In each column, a gain that ``top`` sets surely reach: the search among the criteria with the largest shares."""
    gains = []
    for j in range(1, size + 1):
        chosen = np.sort(np.array(list(combinations(order[:10].tolist(), j)), dtype=np.int64).reshape(-1, j), axis=1)
        rows = _inside(chosen, sets, p)
        gains.append((rows @ weights)[_unions(chosen, rows, sets, p)])
    gains = np.concatenate(gains)
    if len(gains) < top:
        return np.zeros(weights.shape[1])
    return np.partition(gains, len(gains) - top, axis=0)[len(gains) - top]


def _children(parents: np.ndarray, p: int) -> np.ndarray:
    """Every set of ``parents`` with one more, later criterion."""
    more = p - 1 - parents[:, -1]
    last = np.arange(more.sum()) - np.repeat(np.cumsum(more) - more, more) + np.repeat(parents[:, -1] + 1, more)
    return np.column_stack([np.repeat(parents, more, axis=0), last])


def _inside(chosen: np.ndarray, sets, p: int):
    """Sparse (candidates, blocking sets): which blocking sets lie inside each candidate of one size."""
    from scipy.sparse import csr_matrix

    base = p + 1
    rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for j in range(1, chosen.shape[1] + 1):
        mine = np.array([i for i, one in enumerate(sets) if len(one) == j], dtype=np.int64)
        if not len(mine) or not len(chosen):
            continue
        powers = base ** np.arange(j)[::-1]
        keys = (np.array([sets[i] for i in mine]) + 1) @ powers
        by_key = np.argsort(keys)
        keys, mine = keys[by_key], mine[by_key]
        for places in combinations(range(chosen.shape[1]), j):
            key = (chosen[:, places] + 1) @ powers
            at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            hit = np.flatnonzero(keys[at] == key)
            rows.append(hit)
            columns.append(mine[at[hit]])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    return csr_matrix((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(chosen), len(sets)))


def _unions(chosen: np.ndarray, inside, sets, p: int) -> np.ndarray:
    """Whether every member of each candidate is in some blocking set inside it: then none could be kept for free."""
    return np.diff((inside @ _members(sets, p)).indptr) == chosen.shape[1]


def _members(sets, p: int, values=None):
    """Sparse (blocking sets, criteria): which criteria are in which set."""
    from scipy.sparse import csr_matrix

    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    members = [i for one in sets for i in one]
    values = np.ones(len(rows), dtype=np.int64) if values is None else values
    return csr_matrix((values, (rows, members)), shape=(len(sets), p))


def _stacked(parts):
    from scipy.sparse import vstack

    return vstack(parts, format="csr")


def _zeta(sets, n, p: int) -> np.ndarray:
    """The gain of every one of the 2^p subsets, by adding one criterion at a time."""
    f = np.zeros(2**p, dtype=np.int64)
    np.add.at(f, [sum(1 << i for i in one) for one in sets], n)
    for i in range(p):
        view = f.reshape(-1, 2, 1 << i)
        view[:, 1] += view[:, 0]
    return f


def _union_masks(sets, size: int, p: int) -> np.ndarray:
    """The subsets of at most ``size`` criteria that are unions of blocking sets, as bit masks."""
    union = np.zeros(2**p, dtype=np.int64)
    masks = [sum(1 << i for i in one) for one in sets]
    union[masks] = masks
    for i in range(p):
        view = union.reshape(-1, 2, 1 << i)
        view[:, 1] |= view[:, 0]
    every = np.arange(2**p)
    return every[(union == every) & (every > 0) & (np.bitwise_count(every) <= size)]


def _mirrored(masks: np.ndarray, p: int) -> np.ndarray:
    """Bit masks read from the other end: the larger, the earlier in the order of the protocol."""
    return sum(((masks >> i) & 1) << (p - 1 - i) for i in range(p))
