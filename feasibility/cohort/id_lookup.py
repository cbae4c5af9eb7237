"""Where a patient stands among those of a cohort, for millions of event rows, without moving their ids to Python.

The database turns an id into 64 bits, and an array finds the position. Two patients with the same bits are noticed, and
the caller then takes the slow way; an id of nobody is taken for a patient with a probability of n / 2**64.
"""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa

SPREAD = np.uint64(0x9E3779B97F4A7C15)


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
    table, and so on.
    """

    def __init__(self, backend, ids: np.ndarray):
        import ibis

        table = ibis.memtable(pa.table({"i": np.arange(len(ids)), "pid": pa.array(ids, pa.string())}))
        got = backend.to_pyarrow(table.select("i", h=hashed(table["pid"])))
        self.hashes = np.empty(len(ids), dtype="uint64")
        self.hashes[got["i"].to_numpy()] = got["h"].to_numpy()
        self.tables: list[np.ndarray] = []
        self.unique = True
        left = np.arange(len(ids), dtype="int32")
        while len(left) and self.unique:
            cells = np.full(1 << max(4, int(np.ceil(np.log2(len(left)))) + 2), -1, dtype="int32")
            at = _cell(self.hashes[left], len(self.tables), cells)
            cells[at] = left
            taken = cells[at] != left
            self.unique = not bool((self.hashes[cells[at[taken]]] == self.hashes[left[taken]]).any())
            self.tables.append(cells)
            left = left[taken]

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """The position of every hash, -1 for that of nobody; rows of one patient in a row are looked up once."""
        if not len(hashes):
            return np.zeros(0, dtype="int32")
        new = np.empty(len(hashes), dtype=bool)
        new[0] = True
        np.not_equal(hashes[1:], hashes[:-1], out=new[1:])
        runs = np.flatnonzero(new)
        if 2 * len(runs) > len(hashes):
            return self._find(hashes)
        return np.repeat(self._find(hashes[runs]), np.diff(runs, append=len(hashes)))

    def _find(self, hashes: np.ndarray) -> np.ndarray:
        result = np.full(len(hashes), -1, dtype="int32")
        left = slice(None)
        for level, cells in enumerate(self.tables):
            mine = hashes[left]
            found = cells[_cell(mine, level, cells)]
            hit = (self.hashes[found] == mine) & (found >= 0)
            if level == 0:
                result = np.where(hit, found, np.int32(-1))
                left = np.flatnonzero(~hit)
            else:
                result[left[hit]] = found[hit]
                left = left[~hit]
            if not len(left):
                break
        return result


def _cell(hashes: np.ndarray, level: int, cells: np.ndarray) -> np.ndarray:
    """The cell of each hash in the table of a level: the upper bits of a product, with another odd factor a level."""
    bits = len(cells).bit_length() - 1
    return ((hashes * (SPREAD + np.uint64(2 * level))) >> np.uint64(64 - bits)).view("int64")
