"""A batch of Arrow columns, as the engine reads it: what streaming from Parquet hands over."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.engine.compact import NotCompactError, Nothing, Tri
from feasibility.engine.packed import Labels, Masked, pack, unpack
from feasibility.engine.pandas_engine import hand_out
from feasibility.engine.readers import bounded

STRING = pd.StringDtype("python")


class Batch:
    """One Arrow table of patients, read block by block as it lies."""

    block = 1 << 16

    def __init__(self, table, names: Iterable[str]):
        self.table, self.names, self.n = table, list(names), table.num_rows
        self._held: dict = {}
        self._has = frozenset(table.column_names)

    def has(self, name: str) -> bool:
        return name in self._has

    def columns(self, names: Iterable[str], block: slice) -> dict:
        made = {}
        for name in names:
            if name not in self._held:
                self._held[name] = self._hold(name)
            made[name] = self._held[name](block)
        return made

    def part(self, positions) -> Batch:
        import pyarrow as pa

        return Batch(self.table.take(pa.array(positions)), self.names)

    def rows(self, where) -> dict:
        return hand_out(self.frame(where), [n for n in self.names if self.has(n)])

    def frame(self, where) -> pd.DataFrame:
        """Some rows with nullable columns."""
        import pyarrow as pa

        part = self.table.slice(where.start, where.stop - where.start) if isinstance(where, slice) else None
        part = self.table.take(pa.array(where)) if part is None else part
        return pd.DataFrame({name: _pandas(part[name]) for name in part.column_names})

    def _hold(self, name: str):
        import pyarrow as pa

        column = _whole(self.table[name])
        kind = column.type
        if pa.types.is_null(kind):
            return lambda _: Nothing()
        if pa.types.is_boolean(kind):
            yes, known = _bits(column.buffers()[1], column), _known(column)
            yes &= known
            return partial(_cut_flags, yes, known ^ yes)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values, known = _values(column), _known(column)
            if not self.has(name + UPPER):
                return partial(_cut_numbers, name, values, known)
            upper = _whole(self.table[name + UPPER])
            ends = values, ~unpack(known, self.n), _values(upper), ~unpack(_known(upper), self.n)
            return partial(_cut_bounds, name, ends)
        if not pa.types.is_dictionary(kind):
            column = column.dictionary_encode()
        words = column.dictionary.to_pylist()
        if not all(isinstance(w, str) for w in words):
            raise NotCompactError(f"{name} has the Arrow type {kind}")
        codes = _values(column.indices)
        return partial(_cut_labels, codes, _known(column.indices), {text: i for i, text in enumerate(words)})


def _whole(column):
    """A column of one piece that begins where its buffers do."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    one = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(one, pa.ChunkedArray):
        one = one.chunk(0) if one.num_chunks else pa.array([], one.type)
    return pa.concat_arrays([one, one.slice(0, 0)]) if one.offset else one


def _bits(buffer, column) -> np.ndarray:
    """A copy of an Arrow bitmap."""
    return np.frombuffer(buffer, dtype=np.uint8)[: -(-len(column) // 8)].copy()


def _known(column) -> np.ndarray:
    """The bitmap of the cells that hold a value, NaN being none."""
    import pyarrow as pa

    validity = column.buffers()[0] if column.null_count else None
    n = len(column)
    known = np.full(-(-n // 8), 255, dtype=np.uint8) if validity is None else _bits(validity, column)
    if n % 8:
        known[-1] &= (1 << n % 8) - 1
    if pa.types.is_floating(column.type) and n:
        values = _values(column)
        if np.isnan(values.max()):
            known &= pack(values == values)
    return known


def _values(column) -> np.ndarray:
    """The numbers as they lie; where one is missing, anything."""
    if len(column) == 0:
        return np.zeros(0, dtype=column.type.to_pandas_dtype())
    return np.frombuffer(column.buffers()[1], dtype=column.type.to_pandas_dtype())[: len(column)]


def _at(block: slice) -> slice:
    return slice(block.start // 8, -(-block.stop // 8))


def _cut_flags(yes, no, block: slice) -> Tri:
    return Tri(yes[_at(block)], no[_at(block)])


def _cut_numbers(name: str, values, known, block: slice) -> Masked:
    return Masked(values[block], known[_at(block)], name)


def _cut_bounds(name: str, ends, block: slice):
    return bounded(name, *(one[block] for one in ends))


def _cut_labels(codes, known, number_of, block: slice) -> Labels:
    return Labels(codes[block], known[_at(block)], number_of)


def _pandas(column):
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return pd.array(column.to_pylist(), dtype="boolean")
    if pa.types.is_integer(kind):
        return pd.array(column.to_pylist(), dtype="Int64")
    if pa.types.is_floating(kind):
        values = column.to_numpy()
        missing = np.isnan(values)
        return pd.arrays.FloatingArray(np.where(missing, 1.0, values), missing)
    return pd.array(column.to_pylist(), dtype=STRING)
