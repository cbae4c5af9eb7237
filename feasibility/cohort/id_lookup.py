"""Where a patient stands among those of a cohort, for millions of event rows, without moving their ids to Python.

The database turns an id into 64 bits, and an array finds the position. Two patients with the same bits are noticed, and
the caller then takes the slow way; an id of nobody is taken for a patient with a probability of n / 2**64.
"""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa

SPREAD = np.uint64(0x9E3779B97F4A7C15)
EMPTY = np.uint64(2**64 - 1)
BLOCK = 1 << 16
"""Hashes looked up at once: what is computed on the way should stay in the processor's cache."""


@functools.lru_cache(maxsize=1)
def _hash():
    import ibis
    import ibis.expr.datatypes as dt

    @ibis.udf.scalar.builtin(name="hash", signature=((dt.string,), dt.uint64))
    def database_hash(text): ...

    return database_hash


def hashed(ids):
    """An Ibis text column as 64 bits; embedded DuckDB only."""
    return _hash()(ids)


class IdLookup:
    """Positions among ``ids`` of the hashes of other ids; ``unique`` says whether all ids have hashes of their own.

    A table of four to eight cells an id holds one id a cell; those that find theirs taken go into a further, smaller
    table, and so on. No two hashes have the same product with an odd number: its upper bits choose the cell, and the
    cell holds the lower ones beside the id's number. So a look-up compares all bits, and reads one cell.
    """

    def __init__(self, backend, ids: np.ndarray):
        import ibis

        table = ibis.memtable(pa.table({"i": np.arange(len(ids)), "pid": pa.array(ids, pa.string())}))
        got = backend.to_pyarrow(table.select("i", h=hashed(table["pid"])))
        hashes = np.empty(len(ids), dtype="uint64")
        hashes[got["i"].to_numpy()] = got["h"].to_numpy()
        self.tables: list[tuple[np.ndarray, np.ndarray]] = []
        self.unique = True
        left = np.arange(len(ids), dtype="int32")
        while len(left) and self.unique:
            bits = max(4, int(np.ceil(np.log2(len(left)))) + 2)
            cells = np.full(1 << bits, EMPTY)
            product = _product(hashes[left], len(self.tables))
            at = _cell(product, bits)
            mine = (product << np.uint64(bits)) | np.arange(len(left), dtype="uint64")
            cells[at] = mine
            taken = np.flatnonzero(cells[at] != mine)
            self.unique = not bool(((cells[at[taken]] ^ mine[taken]) >> np.uint64(bits) == 0).any())
            self.tables.append((cells, left))
            left = left[taken]

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """The position of every hash, -1 for that of nobody; rows of one patient in a row are looked up once."""
        if not len(hashes):
            return np.zeros(0, dtype="int32")
        new = np.empty(len(hashes), dtype=bool)
        new[0] = True
        np.not_equal(hashes[1:], hashes[:-1], out=new[1:])
        if 2 * np.count_nonzero(new) > len(hashes):
            return self._find(hashes)
        runs = np.flatnonzero(new)
        return np.repeat(self._find(hashes[runs]), np.diff(runs, append=len(hashes)))

    def _find(self, hashes: np.ndarray) -> np.ndarray:
        result = np.full(len(hashes), -1, dtype="int32")
        if not self.tables:
            return result
        for start in range(0, len(hashes), BLOCK):
            result[start : start + BLOCK] = self._among(hashes[start : start + BLOCK], 0)
        for level in range(1, len(self.tables)):
            left = np.flatnonzero(result < 0)
            result[left] = self._among(hashes[left], level)
        return result

    def _among(self, hashes: np.ndarray, level: int) -> np.ndarray:
        """Their positions by the table of one level, -1 for those that are not in it."""
        cells, people = self.tables[level]
        bits = len(cells).bit_length() - 1
        product = _product(hashes, level)
        entry = cells[_cell(product, bits)]
        # What differs between the two is the number alone if all other bits are equal; no number is that of an empty
        # cell, as there are more cells than ids.
        np.bitwise_xor(entry, np.left_shift(product, np.uint64(bits), out=product), out=entry)
        known = entry < np.uint64(len(people))
        if level:
            entry = people[np.where(known, entry, np.uint64(0)).view("int64")]
        return np.where(known, entry.astype("int32"), np.int32(-1))


def _product(hashes: np.ndarray, level: int) -> np.ndarray:
    """The bits of each id for the table of a level: times another odd factor a level."""
    return hashes * (SPREAD + np.uint64(2 * level))


def _cell(product: np.ndarray, bits: int) -> np.ndarray:
    return (product >> np.uint64(64 - bits)).view("int64")
