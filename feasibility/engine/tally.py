"""Counting equal codes: sorted part by part beside the evaluation of the next part, then added up."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd

MERGE_AT = 4_000_000
"""Codes that may wait before they are added up."""
MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without pattern: 2**64 over the golden ratio."""
WAITING = 2
"""Parts that may wait to be sorted."""


class Tally:
    """Adds up codes handed over part by part; a second thread sorts (numpy lets go of the interpreter meanwhile)."""

    def __init__(self, criteria: int):
        self._criteria = criteria
        self._sorter = ThreadPoolExecutor(1)
        self._waiting: list[Future] = []
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def __enter__(self) -> Tally:
        return self

    def __exit__(self, *_) -> None:
        self._sorter.shutdown(cancel_futures=True)

    def add(self, codes: np.ndarray) -> None:
        """Count these as well; ``codes`` is used up."""
        self._waiting.append(self._sorter.submit(self._count, codes))
        while len(self._waiting) > WAITING:
            self._waiting.pop(0).result()

    def _count(self, codes: np.ndarray) -> None:
        self._found.append(count_codes(codes))
        if sum(len(n) for _, n in self._found) > MERGE_AT:
            self._found = [add_up(self._found, self._criteria)]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """(distinct codes, how often each was there)."""
        for future in self._waiting:
            future.result()
        return add_up(self._found, self._criteria)


def count_codes(codes: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows and how many patients each has; ``codes`` is used up (sorted where it lies).

    One word a patient is sorted (fast where numpy sorts with SIMD); several are sorted by a hash of them.
    """
    if codes.shape[1] == 1:
        keys = codes[:, 0]
        if weights is None:
            keys.sort()
        else:
            order = np.argsort(keys)
            keys, weights = keys[order], weights[order]
        starts = _starts(keys)
        n = np.diff(np.append(starts, len(keys))) if weights is None else np.add.reduceat(weights, starts)
        return keys[starts][:, None], n
    together = _brought_together(codes)
    if together is None:
        return _numbered(codes, weights)
    codes, order, differ = together
    starts = np.concatenate([np.zeros(min(1, len(codes)), dtype=np.intp), np.flatnonzero(differ) + 1])
    n = np.diff(np.append(starts, len(codes))) if weights is None else np.add.reduceat(weights[order], starts)
    return codes[starts], n


def _brought_together(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The rows with equal ones side by side, where each was, and which differ from the one before (from the second).

    None where two that differ share a hash, which is rare.

    A row's place stands in the lower bits beside its hash, so that one plain sort gives the order as well.
    """
    place = np.uint64(max(1, (len(codes) - 1).bit_length()))
    hashes = codes[:, 0] * MIX
    for word in codes.T[1:]:
        hashes ^= hashes >> np.uint64(32)
        hashes += word
        hashes *= MIX
    hashes >>= place
    hashes <<= place
    hashes |= np.arange(len(codes), dtype=np.uint64)
    hashes.sort()
    order = (hashes & ((np.uint64(1) << place) - np.uint64(1))).astype(np.intp)
    hashes >>= place
    codes = codes.take(order, axis=0)  # several times faster than codes[order]
    differ = codes[1:, 0] != codes[:-1, 0]
    for word in codes.T[1:]:
        differ |= word[1:] != word[:-1]
    return None if (differ & (hashes[1:] == hashes[:-1])).any() else (codes, order, differ)


def _numbered(codes: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The same, the rows numbered word by word."""
    ids = pd.factorize(codes[:, 0])[0]
    for word in codes.T[1:]:
        more, distinct = pd.factorize(word)
        ids = pd.factorize(ids * np.int64(len(distinct)) + more)[0]
    n = np.bincount(ids, weights=weights).astype(np.int64)
    first = np.empty(len(n), dtype=np.int64)
    first[ids[::-1]] = np.arange(len(ids) - 1, -1, -1)
    return codes[first], n


def add_up(found: list[tuple[np.ndarray, np.ndarray]], criteria: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of several parts as one."""
    if len(found) == 1:
        return found[0]
    codes, n = (np.concatenate(parts) for parts in zip(*found, strict=True))
    spare = 64 - 2 * criteria
    if spare < 8:
        return count_codes(codes, n)
    # The lower part of a count goes into the bits that the code leaves free, so that one plain sort brings equal codes
    # together and keeps their counts beside them; the rest of a large count, which few codes have, is added after.
    second, mask = np.uint64(8 * -(-criteria // 8)), np.uint64((1 << criteria) - 1)
    spare, n = np.uint64(spare), n.astype(np.uint64)
    dense = codes[:, 0] >> second
    dense <<= np.uint64(criteria)
    dense |= codes[:, 0] & mask
    large = np.flatnonzero(n >> spare)
    rest, more = dense[large], n[large] >> spare << spare
    dense <<= spare
    dense |= n & ((np.uint64(1) << spare) - np.uint64(1))
    dense.sort()
    n = dense & ((np.uint64(1) << spare) - np.uint64(1))
    dense >>= spare
    starts = _starts(dense)
    n = np.add.reduceat(n, starts).astype(np.int64)
    dense = dense[starts]
    np.add.at(n, np.searchsorted(dense, rest), more.astype(np.int64))
    return ((dense >> np.uint64(criteria) << second) | (dense & mask))[:, None], n


def _starts(keys: np.ndarray) -> np.ndarray:
    """Where each run of equal keys begins."""
    return np.concatenate([np.zeros(min(1, len(keys)), dtype=np.intp), np.flatnonzero(keys[1:] != keys[:-1]) + 1])
