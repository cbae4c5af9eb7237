"""A prepared cohort: bare arrays that screening reads as they lie, kept in an Arrow file that opens instantly.

Numbers with few distinct values become ranks in their sorted values (-1 for unknown), so a comparison with a threshold
is one with a whole number, and exact. Other numbers stay float64 with NaN for unknown. A yes/no column is two bytes,
known-true and known-false; codes are small whole numbers. ``inf`` ("never") is a value. Beside them lie the same ranks,
codes and flags as bitmaps, one a binary digit: screening reads only these (``feasibility.engine.packed``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.raw import BuildRecord
from feasibility.cohort.schema import DTYPES, STRING, CohortTable
from feasibility.cohort.values import check_values
from feasibility.errors import CohortError, did_you_mean

FORMAT = "feasibility prepared cohort 2"
RANKS = 120_000
"""Distinct values up to which a number is kept as a rank."""
EXACT = 2.0**53
KNOWN = "__known"
NO = "__no"
BITS = "__bits"


@dataclass(frozen=True, eq=False)
class Stored:
    """One column as it lies in memory.

    ``kind`` is rank, float, flag or code. ``lower`` holds ranks, floats, known-true bytes or codes; ``upper``
    the upper bounds of a bounded column, else None; ``other`` the known mask of floats or the known-false rail of
    flags; ``table`` the sorted values of ranks; ``words`` the texts of codes. ``dtype`` is the cohort's. ``planes`` are
    bitmaps: where it is known (flags: known-true, then known-false), then the inverted digits of ranks (lower ends,
    then upper ends) or codes, the lowest digit first.
    """

    kind: str
    dtype: str
    lower: np.ndarray
    upper: np.ndarray | None = None
    other: np.ndarray | None = None
    table: np.ndarray | None = None
    words: tuple[str, ...] = ()
    planes: tuple[np.ndarray, ...] = ()

    def take(self, where) -> Stored:
        """Some rows of it."""
        arrays = (None if a is None else a[where] for a in (self.lower, self.upper, self.other))
        return _sliced(Stored(self.kind, self.dtype, *arrays, self.table, self.words))


@dataclass(frozen=True, eq=False)
class PreparedCohort:
    """A cohort as bare arrays, by column name; made by ``prepare`` or ``open_prepared``.

    ``record`` is what ``cohort.attrs["feasibility"]`` held; ``repeated`` counts the rows of patients that occur more
    than once. ``guarded`` remembers which criteria were seen not to be decided by a hole of this very cohort, and
    ``on_blocks`` which ones agree with pandas on it, so that screening again need not look again; ``asked`` the last
    protocols.
    """

    stored: Mapping[str, Stored] = field(repr=False)
    n: int
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ids: Any = field(default=None, repr=False)
    repeated: int = 0
    guarded: set = field(default_factory=set, repr=False)
    on_blocks: dict = field(default_factory=dict, repr=False)
    asked: dict = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Stored:
        try:
            return self.stored[name]
        except KeyError:
            raise CohortError(f"The prepared cohort has no column {name!r}.{did_you_mean(name, self.stored)}") from None

    def __contains__(self, name) -> bool:
        return name in self.stored

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def columns(self) -> list[str]:
        """The physical column names, upper bounds included."""
        return [p for name, one in self.stored.items() for p in (name, name + UPPER)[: 1 + (one.upper is not None)]]

    def index(self, where=slice(None)) -> pd.MultiIndex:
        ids, days = self.ids
        ids = pd.array(ids[where] if isinstance(where, slice) else ids.take(where), dtype=STRING)
        return pd.MultiIndex.from_arrays(
            [ids, pd.DatetimeIndex(days[where].astype("datetime64[us]"))], names=["patient_id", "index_date"]
        )

    def frame(self, where=slice(None), names=None, *, ids: bool = True) -> pd.DataFrame:
        """The cohort (or some rows and columns of it) as pandas holds it; ``where`` is a slice or positions.

        ``ids=False`` numbers the rows instead, which saves making a text for each patient.
        """
        data = {}
        for name in self.stored if names is None else names:
            one = self[name]
            data[name] = _pandas(one, one.lower, where)
            if one.upper is not None:
                data[name + UPPER] = _pandas(one, one.upper, where)
        n = len(range(*where.indices(self.n))) if isinstance(where, slice) else len(where)
        frame = pd.DataFrame(data, index=self.index(where) if ids else pd.RangeIndex(n))
        frame.attrs["feasibility"] = BuildRecord(self.record)
        return frame

    def take(self, where) -> PreparedCohort:
        """Some rows, a slice or positions, as a prepared cohort of their own, without their ids."""
        stored = {name: one.take(where) for name, one in self.stored.items()}
        n = len(range(*where.indices(self.n))) if isinstance(where, slice) else len(where)
        return PreparedCohort(stored, n, self.record)

    @property
    def nbytes(self) -> int:
        """Bytes a patient's columns take, all together; ``nbytes_screened`` of them are what screening reads."""
        arrays = (a for one in self.stored.values() for a in (one.lower, one.upper, one.other) if a is not None)
        return sum(a.nbytes for a in arrays) + self.nbytes_screened

    @property
    def nbytes_screened(self) -> int:
        """Bytes of the bitmaps, and of the floats that have none."""
        return sum(p.nbytes for one in self.stored.values() for p in one.planes) + sum(
            a.nbytes for one in self.stored.values() if one.kind == "float" for a in (one.lower, one.upper)
            if a is not None
        )  # fmt: skip


def prepare(cohort: pd.DataFrame, columns: CohortTable | None = None) -> PreparedCohort:
    """The cohort as bare arrays, checked once, for screening and what-ifs at the speed of memory.

    Raises
    ------
    CohortError
        For a column that is not nullable, or values that no cohort may hold (``check_values``).

    >>> import pandas as pd
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 30, None], dtype="Float64")})
    >>> prepare(cohort)["platelets_10e9_l"].lower.tolist()
    [1, 0, -1]
    """
    check_values(cohort, columns)
    stored = {}
    for name in cohort.columns:
        if name.endswith(UPPER) and name.removesuffix(UPPER) in cohort.columns:
            continue
        upper = cohort[name + UPPER] if name + UPPER in cohort.columns else None
        stored[name] = _sliced(_store(name, cohort[name], upper))
    ids = _ids(cohort.index)
    twice = int(pd.Series(ids[0]).duplicated(keep=False).sum())
    return PreparedCohort(stored, len(cohort), dict(cohort.attrs.get("feasibility", {})), ids, twice)


def prepare_files(path: str | Path, columns: CohortTable | None = None) -> PreparedCohort:
    """As ``prepare``, of a Parquet file or a folder of them, column by column: they need not fit in memory as pandas.

    Raises
    ------
    CohortError
        As ``prepare`` does, and where there is no Parquet file or their columns differ.
    """
    from feasibility.cohort.batches import ParquetCohort

    source = ParquetCohort(path, columns)
    names = [n for n in source if n not in ("patient_id", "index_date") and n.removesuffix(UPPER) in (n, *source)]
    stored = {}
    for name in names:
        if not (name.endswith(UPPER) and name.removesuffix(UPPER) in names):
            part = source.whole([name])
            check_values(part, columns)
            stored[name] = _sliced(_store(name, part[name], part.get(name + UPPER)))
    if "patient_id" not in source:
        ids, twice = np.arange(source.n).astype(str).astype(object), 0
    else:
        ids = _Texts(source.text("patient_id"))
        twice = int(pd.Series(pd.util.hash_array(np.asarray(ids._array))).duplicated(keep=False).sum())
    days = np.full(source.n, np.datetime64("NaT", "us"))
    if "index_date" in source:
        days = source.text("index_date").to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return PreparedCohort(stored, source.n, {}, (ids, days), twice)


def write_prepared(cohort: pd.DataFrame | PreparedCohort, path: str | Path, columns: CohortTable | None = None) -> Path:
    """Write a prepared cohort (.arrow): Arrow IPC, uncompressed, so that it is mapped and not read. Patient-level."""
    import pyarrow as pa

    ready = cohort if isinstance(cohort, PreparedCohort) else prepare(cohort, columns)
    ids, days = ready.ids
    ids = np.array([str(i) for i in ids], dtype=object) if isinstance(ids, np.ndarray) else ids
    fields = {"patient_id": pa.array(ids, pa.large_string()), "index_date": pa.array(days.astype("datetime64[D]"))}
    layout = {}
    for name, one in ready.stored.items():
        layout[name] = {"kind": one.kind, "dtype": one.dtype, "words": list(one.words)}
        if one.table is not None:
            layout[name]["table"] = base64.b64encode(np.ascontiguousarray(one.table, "<f8").tobytes()).decode()
        suffix = KNOWN if one.kind == "float" else NO
        for key, array in ((name, one.lower), (name + UPPER, one.upper), (name + suffix, one.other)):
            if array is not None:
                fields[key] = pa.array(array.view(np.uint8) if array.dtype == bool else array)
        for i, plane in enumerate(one.planes):
            fields[f"{name}{BITS}{i}"] = pa.BooleanArray.from_buffers(pa.bool_(), ready.n, [None, pa.py_buffer(plane)])
        layout[name]["planes"] = len(one.planes)
    notes = {"format": FORMAT, "layout": layout, "record": ready.record, "repeated": ready.repeated}
    table = pa.table(fields).replace_schema_metadata({"feasibility": json.dumps(notes, default=str)})
    path = Path(path)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(ready.n, 1))
    return path


def open_prepared(path: str | Path) -> PreparedCohort:
    """Map a prepared cohort into memory; nothing is read before it is asked for.

    Raises
    ------
    CohortError
        For a file that is cut off, or no prepared cohort.
    """
    import pyarrow as pa

    path = Path(path)
    try:
        batches = pa.ipc.open_file(pa.memory_map(str(path)))
        notes = json.loads(batches.schema.metadata[b"feasibility"])
        batch = batches.get_batch(0)
    except FileNotFoundError:
        raise CohortError(f"{path}: there is no such file.") from None
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise CohortError(
            f"{path.name} is no whole prepared cohort, perhaps cut off ({str(error).splitlines()[0][:80]}). "
            "Write it again: feasibility build ... --output cohort.arrow."
        ) from None
    if notes.get("format") != FORMAT:
        raise CohortError(f"{path.name} was prepared by another version ({notes.get('format')}); write it again.")

    def array(name):
        return batch.column(name).to_numpy() if name in batch.schema.names else None

    stored = {}
    for name, one in notes["layout"].items():
        lower, upper = array(name), array(name + UPPER)
        other = array(name + (KNOWN if one["kind"] == "float" else NO))
        table = np.frombuffer(base64.b64decode(one["table"]), "<f8") if "table" in one else None
        if one["kind"] == "flag":
            lower = lower.view(bool)
        other = None if other is None else other.view(bool)
        planes = tuple(_plane(batch.column(f"{name}{BITS}{i}")) for i in range(one["planes"]))
        stored[name] = Stored(one["kind"], one["dtype"], lower, upper, other, table, tuple(one["words"]), planes)
    ids = _Texts(batch.column("patient_id")), batch.column("index_date").to_numpy(zero_copy_only=False)
    return PreparedCohort(stored, batch.num_rows, notes["record"], ids, notes["repeated"])


def _plane(column) -> np.ndarray:
    return np.frombuffer(column.buffers()[1], dtype=np.uint8)[: -(-len(column) // 8)]


class _Texts:
    """Patient ids that stay in the file until somebody asks."""

    def __init__(self, array):
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, where) -> np.ndarray:
        return np.array(self._array[where].to_pylist(), dtype=object)

    def take(self, positions) -> np.ndarray:
        import pyarrow as pa

        return np.array(self._array.take(pa.array(positions)).to_pylist(), dtype=object)

    def __arrow_array__(self, type=None):  # noqa: A002
        return self._array if type is None else self._array.cast(type)


def _ids(index: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    if "patient_id" not in index.names:
        return np.array([str(i) for i in index], dtype=object), np.full(len(index), np.datetime64("NaT", "us"))
    ids = index.get_level_values("patient_id").to_numpy(dtype=object)
    if "index_date" not in index.names:
        return ids, np.full(len(index), np.datetime64("NaT", "us"))
    return ids, index.get_level_values("index_date").to_numpy().astype("datetime64[us]")


def _sliced(one: Stored) -> Stored:
    """With its bitmaps."""
    if one.kind == "flag":
        return replace(one, planes=(_pack(one.lower), _pack(one.other)))
    if one.kind == "float":
        return replace(one, planes=(_pack(one.other),))
    known = _pack(one.lower >= 0)
    values = len(one.words) if one.kind == "code" else len(one.table)
    ends = [one.lower] if one.upper is None else [one.lower, one.upper]
    return replace(one, planes=(known, *(plane for end in ends for plane in _digits(end, values))))


def _digits(codes: np.ndarray, values: int) -> list[np.ndarray]:
    """One inverted bitmap for each binary digit of the codes, the lowest first.

    Codes run from 0 to ``values - 1``; -1, unknown, has every digit set, and so a zero in every inverted bitmap.
    """
    whole = codes.view(f"u{codes.itemsize}")
    planes = [np.empty(-(-len(codes) // 8), dtype=np.uint8) for _ in range(int(values).bit_length())]
    for start in range(0, len(codes), 1 << 16):
        part, at = whole[start : start + (1 << 16)], slice(start // 8, start // 8 + (1 << 13))
        for i, plane in enumerate(planes):
            plane[at] = _pack((part & whole.dtype.type(1 << i)) == 0)
    return planes


def _pack(mask: np.ndarray) -> np.ndarray:
    return np.packbits(mask, bitorder="little")


def _store(name: str, column: pd.Series, upper: pd.Series | None) -> Stored:
    dtype = "string" if isinstance(column.dtype, pd.StringDtype) else str(column.dtype)
    if dtype not in DTYPES:
        raise CohortError(f"Column {name!r} has dtype {dtype}; a cohort has {', '.join(DTYPES)}.")
    missing = column.isna().to_numpy()
    if dtype == "boolean":
        yes = column.to_numpy(dtype=bool, na_value=False)
        return Stored("flag", dtype, yes, other=~yes & ~missing)
    if dtype == "string":
        codes, words = pd.factorize(column, sort=True)
        return Stored("code", dtype, codes.astype(_whole(len(words))), words=tuple(map(str, words)))
    lower = column.to_numpy(dtype="float64", na_value=np.nan)
    if dtype == "Int64" and np.abs(np.nan_to_num(lower, posinf=0.0)).max(initial=0.0) >= EXACT:
        raise CohortError(f"Column {name!r} holds whole numbers too large to be kept exactly (above 2**53).")
    if upper is None:
        return _numbers(dtype, [lower])
    high = upper.to_numpy(dtype="float64", na_value=np.nan)
    low = np.where(np.isnan(lower) & ~np.isnan(high), -np.inf, lower)
    return _numbers(dtype, [low, np.where(np.isnan(high) & ~np.isnan(lower), np.inf, high)])


def _numbers(dtype: str, rails: list[np.ndarray]) -> Stored:
    values = rails[0] if len(rails) == 1 else np.concatenate(rails)
    codes, table = pd.factorize(values)
    if len(table) > RANKS:
        return Stored("float", dtype, *rails, *([None] * (2 - len(rails))), ~np.isnan(rails[0]))
    order = np.argsort(table)
    small = _whole(len(table))
    rank = np.full(len(table) + 1, -1, dtype=small)  # the last one is for code -1, unknown
    rank[order] = np.arange(len(table), dtype=small)
    ranks = rank[codes].reshape(len(rails), -1)
    return Stored("rank", dtype, *ranks, *([None] * (2 - len(rails))), table=table[order])


def _whole(n: int):
    return np.int8 if n < 127 else np.int16 if n < 32_000 else np.int32


def _pandas(one: Stored, array: np.ndarray, where):
    values = array[where]
    if one.kind == "flag":
        return pd.arrays.BooleanArray(values.copy(), ~(values | one.other[where]))
    if one.kind == "code":
        words = np.array([*one.words, pd.NA], dtype=object)
        return pd.array(words[values], dtype=DTYPES[one.dtype])
    numbers = np.append(one.table, np.nan)[values] if one.kind == "rank" else values.copy()
    missing = np.isnan(numbers)
    if one.dtype == "Int64" and np.isfinite(numbers[~missing]).all():
        return pd.arrays.IntegerArray(np.where(missing, 1, numbers).astype("int64"), missing)
    return pd.arrays.FloatingArray(np.where(missing, 1.0, numbers), missing)
