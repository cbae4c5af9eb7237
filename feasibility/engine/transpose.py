"""From one bitmap a criterion to one 64-bit word a patient: transposing bits, 64 by 64."""

from __future__ import annotations

import numpy as np

BITS = ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F))
BYTES = ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0x00000000FFFFFFFF))
PART = 1 << 11
"""Words of each bitmap handled at a time, so that all of them stay in the processor's cache."""


def transposed(planes: np.ndarray, out: np.ndarray) -> None:
    """The words of the patients, in their order, from 64 bitmaps.

    ``planes`` is (64, words), patient p being bit p % 64 of word p // 64; ``out`` holds 64 patients a word of it, and
    in bit i what bitmap i says. Six rounds of swapping blocks of 1, 2, ... 32 bits (Warren, Hacker's Delight, 7-3).
    """
    rows = out.reshape(-1, 64)
    for start in range(0, len(rows), PART):
        part = planes[:, start : start + PART].copy()
        by_bit = part.reshape(8, 8, -1)  # byte of a word, bit of the byte
        for round_, mask in BITS:
            _swap(by_bit.reshape(8, 4 // round_, 2, -1), round_, mask)
        for round_, mask in BYTES:
            _swap(part.reshape(1, 32 // round_, 2, -1), round_, mask)
        rows[start : start + PART] = part.T


def _swap(pairs: np.ndarray, by: int, mask: int) -> None:
    one, two, by = pairs[:, :, 0], pairs[:, :, 1], np.uint64(by)
    swap = one >> by
    swap ^= two
    swap &= np.uint64(mask)
    two ^= swap
    swap <<= by
    one ^= swap
