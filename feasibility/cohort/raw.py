"""A file before anything is understood: its columns as distinct values and codes, its line numbers, and the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feasibility.cohort.units import widen
from feasibility.errors import ReadError

FIRST_ROWS = 20
"""How many line numbers an event keeps."""
LONGEST_EXACT = 2**53


@dataclass(frozen=True)
class Raw:
    """One file column. ``kind`` says what ``values`` holds: "text" (pyarrow strings), "number", "flag" or "date".

    ``codes`` points from each row to its value, -1 where the cell is empty; parsing is done once per distinct value.
    """

    name: str
    kind: str
    values: Any
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: np.ndarray) -> Raw:
        return Raw(self.name, self.kind, self.values, self.codes[rows])

    def texts(self) -> list[str]:
        """The distinct values as text, as a person would have typed them."""
        if self.kind == "text":
            return self.values.to_pylist()
        if self.kind == "flag":
            return ["yes" if v else "no" for v in self.values]
        if self.kind == "date":
            return [str(v) for v in self.values]
        return [str(int(v)) if float(v).is_integer() else repr(float(v)) if v == v else "" for v in self.values]

    def as_text(self) -> Raw:
        """The same as text, once per distinct value."""
        if self.kind == "text":
            return self
        raw = self
        if self.kind == "number":
            rows = np.append(self.values, np.nan)[self.codes]
            distinct, codes = np.unique(rows, return_inverse=True)
            raw = Raw(self.name, "number", distinct, np.where(np.isnan(rows), -1, codes).astype("int32"))
        texts = [None if t == "NaT" else t for t in raw.texts()]
        return Raw(self.name, "text", pa.array(texts, pa.string()), raw.codes)

    def blank(self) -> np.ndarray:
        """Rows whose cell is empty."""
        empty = self.codes < 0
        if self.kind == "text" and len(self.values):
            empty |= np.append(pc.equal(self.values, "").fill_null(True).to_numpy(zero_copy_only=False), True)[
                self.codes
            ]
        return empty


@dataclass
class RawTable:
    """The columns of a file, the line number of each row, and what was noticed while reading."""

    source: str
    columns: dict[str, Raw]
    lines: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)
    events: list[dict] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)

    def note(self, kind: str, reason: str, rows: Sequence[int], *, file_column: str = "", n: int | None = None) -> None:
        """An event about lines of the file rather than about a value of one column."""
        rows = list(rows)
        if rows or n:
            self.events.append(
                {
                    "column": "",
                    "file_column": file_column,
                    "kind": kind,
                    "reason": reason,
                    "n": len(rows) if n is None else int(n),
                    "rows": [int(r) for r in rows[:FIRST_ROWS]],
                }
            )


def encode_text(name: str, array) -> Raw:
    """Strings (pyarrow, maybe dictionary-encoded already) to distinct trimmed values and codes."""
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(array.type) else array
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.string()).dictionary_encode()
    values = pc.utf8_trim_whitespace(array.dictionary.cast(pa.string()))
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype("int32", copy=False)
    return Raw(name, "text", values, codes)


def encode_numbers(name: str, values: np.ndarray, missing: np.ndarray | None = None) -> Raw:
    """Numbers stay as they are, one value a row: most are distinct anyway."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        values = widen(values)
        missing = np.isnan(values) if missing is None else missing | np.isnan(values)
    else:
        values = values.astype("float64")
    codes = np.arange(len(values), dtype="int32")
    if missing is not None and missing.any():
        codes[missing] = -1
        values = np.where(missing, np.nan, values)
    return Raw(name, "number", values, codes)


def encode_dates(name: str, values: np.ndarray) -> Raw:
    days = values.astype("datetime64[D]")
    distinct, codes = np.unique(days, return_inverse=True)
    codes = codes.astype("int32")
    codes[np.isnat(days)] = -1
    return Raw(name, "date", distinct, codes)


def encode_flags(name: str, values: np.ndarray, missing: np.ndarray) -> Raw:
    return Raw(name, "flag", np.array([False, True]), np.where(missing, -1, values.astype("int32")).astype("int32"))


def encode_series(name: str, series: pd.Series, source: str) -> Raw:
    """A column of a DataFrame, of whatever dtype pandas gave it."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        series = series.astype(object)
        dtype = series.dtype
    missing = series.isna().to_numpy()
    if pd.api.types.is_bool_dtype(dtype) and not pd.api.types.is_object_dtype(dtype):
        return encode_flags(name, series.fillna(False).to_numpy(dtype=bool), missing)
    if pd.api.types.is_datetime64_any_dtype(dtype):
        # The local calendar day counts, so the time zone is dropped, not converted.
        local = series.dt.tz_localize(None) if getattr(dtype, "tz", None) is not None else series
        return encode_dates(name, local.to_numpy(dtype="datetime64[ns]"))
    if pd.api.types.is_complex_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        raise ReadError(f"{source}: column {name!r} is of type {dtype}; give numbers, text, yes/no or dates.")
    if pd.api.types.is_numeric_dtype(dtype):
        if str(dtype).lower().startswith("float32"):
            return encode_numbers(name, series.to_numpy(dtype="float32", na_value=np.nan), missing)
        if pd.api.types.is_integer_dtype(dtype) and _long([] if missing.all() else [series.min(), series.max()]):
            return encode_objects(name, series.to_numpy(dtype=object), missing)
        return encode_numbers(name, series.to_numpy(dtype="float64", na_value=np.nan), missing)
    return encode_objects(name, series.to_numpy(dtype=object), missing)


def encode_objects(name: str, values: np.ndarray, missing: np.ndarray) -> Raw:
    """Cells of mixed kinds, as a spreadsheet has them: each becomes the text a person would have typed."""
    position: dict[tuple, int] = {}
    texts: list[str] = []
    codes = np.full(len(values), -1, dtype="int32")
    for i in np.flatnonzero(~missing):
        value = values[i]
        key = (type(value), value)
        code = position.get(key)
        if code is None:
            code = position[key] = len(texts)
            texts.append(_typed(value))
        codes[i] = code
    return Raw(name, "text", pc.utf8_trim_whitespace(pa.array(texts, pa.string())), codes)


def _typed(value) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, np.floating | np.integer):
        value = float(str(value)) if isinstance(value, np.floating) else int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if hasattr(value, "isoformat"):
        return value.isoformat()[:10]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def encode_arrow(name: str, array: pa.ChunkedArray, source: str) -> Raw:
    """A Parquet column."""
    kind = array.type
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
        array, kind = array.cast(kind.value_type), kind.value_type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return encode_text(name, array)
    if pa.types.is_null(kind):
        return Raw(name, "text", pa.array([], pa.string()), np.full(len(array), -1, dtype="int32"))
    missing = array.is_null().to_numpy().astype(bool)
    if pa.types.is_boolean(kind):
        return encode_flags(name, array.fill_null(False).to_numpy().astype(bool), missing)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return encode_dates(name, _local_days(array))
    if pa.types.is_decimal(kind) or (pa.types.is_integer(kind) and _long(_ends(array))):
        return encode_text(name, array.cast(pa.string()))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        filled = array.fill_null(0) if pa.types.is_integer(kind) else array
        return encode_numbers(name, filled.to_numpy(), missing)
    raise ReadError(f"{source}: column {name!r} holds {kind}; one plain value per patient is needed.")


def _ends(array: pa.ChunkedArray) -> list[int]:
    return [v for v in pc.min_max(array).as_py().values() if v is not None]


def _long(values) -> bool:
    """Whether whole numbers (identifiers, mostly) have more digits than a float keeps: they stay text."""
    return any(abs(int(v)) >= LONGEST_EXACT for v in values)


def _local_days(array: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.local_timestamp(array)
    return array.to_pandas().to_numpy().astype("datetime64[D]")


class BuildRecord(dict):
    """What ``cohort.attrs["feasibility"]`` holds: a plain dict that is never changed once the cohort is made.

    pandas copies attrs deeply each time a column is taken; thousands of line numbers would make that slow.
    """

    def __deepcopy__(self, memo) -> BuildRecord:
        return self


class Log:
    """Collects what happened to one declared column, with line numbers: nothing is set aside or changed silently."""

    def __init__(self, lines: np.ndarray):
        self.lines = lines
        self.events: list[dict] = []

    def note(self, column: str, file_column: str, kind: str, reason: str, mask, codes=None) -> None:
        """Record the rows where ``mask`` holds; with ``codes`` the mask is per distinct value."""
        if not mask.any():
            return
        if codes is not None:
            mask = np.append(mask, False)[codes]  # code -1 is the appended False
        n = int(mask.sum())
        if n:
            rows = [int(r) for r in self.lines[np.flatnonzero(mask)[:FIRST_ROWS]]]
            self.events.append(
                {"column": column, "file_column": file_column, "kind": kind, "reason": reason, "n": n, "rows": rows}
            )
