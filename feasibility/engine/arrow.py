"""A batch of Arrow columns, as the engine reads it: what streaming from Parquet hands over."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER, Range
from feasibility.engine.compact import Code, NotCompactError, Num, Tri
from feasibility.engine.pandas_engine import hand_out

STRING = pd.StringDtype("python")


class Batch:
    """One Arrow table of patients."""

    def __init__(self, table, names: Iterable[str]):
        self.table, self.names, self.n = table, list(names), table.num_rows

    def has(self, name: str) -> bool:
        return name in self.table.column_names

    def column(self, name: str):
        lower = _compact(self.table[name], name)
        if not self.has(name + UPPER):
            return lower
        upper = _compact(self.table[name + UPPER], name)
        lo, hi = lower.values, upper.values
        return Range(
            Num(np.where(np.isnan(lo) & ~np.isnan(hi), -np.inf, lo), name),
            Num(np.where(np.isnan(hi) & ~np.isnan(lo), np.inf, hi), name),
        )

    def rows(self, where) -> dict:
        return hand_out(self.frame(where), [n for n in self.names if self.has(n)])

    def frame(self, where) -> pd.DataFrame:
        """Some rows with nullable columns."""
        import pyarrow as pa

        part = self.table.slice(where.start, where.stop - where.start) if isinstance(where, slice) else None
        part = self.table.take(pa.array(where)) if part is None else part
        return pd.DataFrame({name: _pandas(part[name]) for name in part.column_names})


def _compact(column, name: str):
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_boolean(kind):
        yes = pc.fill_null(column, False).to_numpy()
        return Tri(yes, pc.fill_null(pc.invert(column), False).to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Num(column.to_numpy().astype("float64", copy=False), name)
    if pa.types.is_null(kind):
        return Num(np.full(len(column), np.nan), name)
    if not pa.types.is_dictionary(kind):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], pa.string()).dictionary_encode()
    words = column.dictionary.to_pylist()
    if not all(isinstance(w, str) for w in words):
        raise NotCompactError(f"{name} has the Arrow type {kind}")
    codes = pc.fill_null(column.indices, -1).to_numpy()
    return Code(codes, codes >= 0, {text: i for i, text in enumerate(words)})


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
