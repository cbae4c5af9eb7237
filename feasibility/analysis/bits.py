"""Sums over the bits of many patterns at once: sixteen criteria are looked up together, none is taken out alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PART = 16
"""Criteria that are looked up together."""


def sums_by_bit(words: np.ndarray, weights: np.ndarray, bits: int) -> np.ndarray:
    """For each of the first ``bits`` bits the sum of the weights of the rows that have it set (float64).

    >>> sums_by_bit(np.array([[3], [2]], dtype=np.uint64), np.array([10, 5]), 2).tolist()
    [10.0, 15.0]
    """
    found = np.zeros(bits)
    for start, part in _parts(words, bits):
        sums = np.bincount(part, weights=weights, minlength=1 << PART)
        for bit in range(start, min(start + PART, bits)):
            found[bit] = sums.reshape(-1, 2, 1 << bit - start)[:, 1].sum()
    return found


def first_bit(words: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """For each row the lowest rank among its set bits, ``len(ranks)`` where none is set; bit i has rank ``ranks[i]``.

    >>> first_bit(np.array([[3], [2], [0]], dtype=np.uint64), [1, 0]).tolist()
    [0, 0, 2]
    """
    bits = len(ranks)
    found = np.full(len(words), bits, dtype=np.int16)
    for start, part in _parts(words, bits):
        lowest = np.full(1 << PART, bits, dtype=np.int16)
        for bit in range(start, min(start + PART, bits)):
            half = lowest.reshape(-1, 2, 1 << bit - start)[:, 1]
            np.minimum(half, ranks[bit], out=half)
        np.minimum(found, lowest[part], out=found)
    return found


def _parts(words: np.ndarray, bits: int):
    """(first bit, the sixteen bits from it on of every row), for as many as hold ``bits`` bits."""
    parts = np.ascontiguousarray(words).view(np.uint16)
    for i in range(-(-bits // PART)):
        yield PART * i, parts[:, i]
