"""Events in memory: Arrow tables as pandas, and texts read once per distinct one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.cohort.index_dates import days_of
from feasibility.cohort.words import fold


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Arrow to pandas: dates as datetime64[s], texts as objects, truth values as objects with None."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_date(kind):
            columns[name] = days_of(column.combine_chunks()).astype("datetime64[s]")
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            filled = column.cast(pa.float64()) if column.null_count else column
            columns[name] = filled.to_numpy()
        else:
            columns[name] = pd.Series(_objects(column), dtype=object)
    return pd.DataFrame(columns)


def _objects(column: pa.ChunkedArray) -> np.ndarray:
    """Texts and truth values as objects, one object per distinct text."""
    if not pa.types.is_string(column.type):
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    coded = column.combine_chunks().dictionary_encode()
    distinct = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    return distinct[coded.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)]


def each(texts: pd.Series, what: Callable[[str], Any], blank: Any = None) -> pd.Series:
    """``what(text)`` for every text, computed once per distinct one; ``blank`` where there is none."""
    codes, distinct = pd.factorize(texts, use_na_sentinel=True)
    values = pd.Series([what(t) for t in distinct] + [blank], dtype=object)
    return pd.Series(values.to_numpy()[codes], index=texts.index, dtype=object)


def folded(texts: pd.Series) -> pd.Series:
    """Each text as words are compared; "" for none."""
    return each(texts, lambda t: fold(str(t)), "")
