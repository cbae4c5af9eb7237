"""A cohort in Parquet files, batch by batch: for tables larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES, STRING, CohortTable
from feasibility.cohort.values import refuse
from feasibility.errors import CohortError

MOST = 1 << 20
"""Rows a batch at most, whatever the size of the file's row groups."""


class ParquetCohort:
    """One Parquet file, or a folder of them with the same columns; rows are patients.

    Raises
    ------
    CohortError
        Where there is no Parquet file, one is cut off, or their columns differ.
    """

    def __init__(self, path: str | Path, declared: CohortTable | None = None):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self._declared = Path(path), declared
        files = sorted(self.path.glob("*.parquet")) if self.path.is_dir() else [self.path]
        if not files:
            raise CohortError(f"{self.path}: there is no .parquet file in this folder.")
        self.files = []
        for file in files:
            try:
                one = pq.ParquetFile(file, memory_map=True)
                texts = [f.name for f in one.schema_arrow if pa.types.is_string(f.type) and f.name != "patient_id"]
                self.files.append(pq.ParquetFile(file, memory_map=True, read_dictionary=texts, metadata=one.metadata))
            except FileNotFoundError:
                raise CohortError(f"{file}: there is no such file.") from None
            except (pa.ArrowException, OSError) as error:
                raise CohortError(
                    f"{file.name}: not a whole Parquet file, perhaps cut off ({str(error).splitlines()[0][:80]})."
                ) from None
            first, this = self.files[0].schema_arrow, self.files[-1].schema_arrow
            if this.names != first.names or this.types != first.types:
                raise CohortError(f"{file.name} has other columns than {files[0].name}: they are not one table.")
        self.columns = list(self.files[0].schema_arrow.names)
        self.n = sum(file.metadata.num_rows for file in self.files)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def physical(self, names) -> list[str]:
        """The columns of these names that the files have, upper bounds included."""
        return [p for n in names for p in (n, n + UPPER) if p in self.columns]

    def kind(self, name: str) -> tuple[str, str]:
        """(dtype of a cohort, "null" where there is nothing but nulls, "" for another kind; the Arrow type)."""
        import pyarrow as pa

        type_ = self.files[0].schema_arrow.field(name).type
        text = type_.value_type if pa.types.is_dictionary(type_) else type_
        tests = {
            "null": pa.types.is_null, "boolean": pa.types.is_boolean, "Int64": pa.types.is_integer,
            "Float64": pa.types.is_floating, "string": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
        }  # fmt: skip
        return next((kind for kind, test in tests.items() if test(text)), ""), str(text)

    def batches(self, names, ids: bool = False) -> Iterator:
        """(checked Arrow table of the physical columns, share of rows done); with ``ids`` also the patient ids."""
        wanted = self.physical(names)
        extra = ["patient_id"] if ids and "patient_id" in self.columns else []
        ranges = self._ranges(wanted)
        done = 0
        for table in _ahead(self._tables([*wanted, *extra])):
            self._check(table.select(wanted), ranges)
            done += table.num_rows
            yield table, done / self.n

    def _tables(self, columns: list[str]) -> Iterator:
        import pyarrow as pa

        for file in self.files:
            for batch in file.iter_batches(batch_size=MOST, columns=columns, use_threads=True):
                yield pa.Table.from_batches([batch])

    def _ranges(self, names: list[str]) -> dict[str, tuple[float, float]]:
        """The least and the greatest value of the numbers whose files state them for every row group."""
        found: dict[str, list] = {}
        for file in self.files:
            metadata = file.metadata
            places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
            for name in names:
                for group in range(metadata.num_row_groups):
                    stated = metadata.row_group(group).column(places[name]).statistics
                    known = stated is not None and stated.has_min_max and isinstance(stated.min, (int, float))
                    empty = stated is not None and stated.has_null_count and stated.num_values == 0
                    if not empty:
                        found.setdefault(name, []).append((stated.min, stated.max) if known else None)
        return {
            name: (min(low for low, _ in ends), max(high for _, high in ends))
            for name, ends in found.items() if None not in ends
        }  # fmt: skip

    def whole(self, names) -> pd.DataFrame:
        """Some columns of all the patients, as a cohort holds them, the rows numbered."""
        return pd.DataFrame({name: self._series(name) for name in self.physical(names)}, copy=False)

    def text(self, name: str):
        """A text column as one Arrow array."""
        import pyarrow as pa

        return pa.chunked_array([c for file in self.files for c in file.read([name])[name].chunks]).combine_chunks()

    def _series(self, name: str):
        import pyarrow as pa
        import pyarrow.compute as pc

        kind, _ = self.kind(name)
        read = pa.chunked_array([c for file in self.files for c in file.read([name])[name].chunks])
        if kind in ("Float64", "Int64", "boolean"):
            return read.to_pandas(types_mapper=lambda _: DTYPES[kind]).array
        if kind == "null":
            return pd.array([pd.NA] * len(read), dtype="boolean")
        if not pa.types.is_dictionary(read.type):
            read = read.dictionary_encode()
        read = read.unify_dictionaries()
        words = np.array([*read.chunk(0).dictionary.to_pylist(), pd.NA], dtype=object)
        codes = [pc.fill_null(c.indices, -1).to_numpy(zero_copy_only=False) for c in read.chunks]
        return pd.array(words[np.concatenate(codes)], dtype=STRING)

    def _check(self, table, ranges: dict[str, tuple[float, float]]) -> None:
        """The same refusals as ``check_values``, on Arrow columns; ``ranges`` saves a look at those within bounds."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in table.column_names:
            base = name.removesuffix(UPPER)
            declared = self._declared[base] if self._declared is not None and base in self._declared else None
            column = table[name]
            numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
            stated = ranges.get(name)
            if (
                numeric
                and declared is not None
                and declared.hard is not None
                and not (stated and declared.hard[0] <= stated[0] and stated[1] <= declared.hard[1])
            ):
                low, high = declared.hard
                ends = pc.min_max(column).as_py()
                if ends["min"] is not None and (ends["min"] < low or ends["max"] > high):
                    values = column.to_numpy()
                    n = int(((values < low) | (values > high)).sum())
                    if n and not (name.endswith(UPPER) and np.isinf(values[values > high]).all()):
                        refuse(name, n, f"a value outside {low:g} to {high:g}, which is impossible")
            if numeric and name.endswith(UPPER) and base in table.column_names:
                n = int((table[base].to_numpy() > column.to_numpy()).sum())
                if n:
                    refuse(base, n, "a lower bound above the upper one")
            if declared is not None and declared.values and not numeric:
                declared_codes = {*declared.values, None}
                if pa.types.is_dictionary(column.type) and all(
                    set(chunk.dictionary.to_pylist()) <= declared_codes for chunk in column.chunks
                ):
                    continue
                unknown = set(pc.unique(column).to_pylist()) - declared_codes
                if unknown:
                    n = int(pd.Series(column.to_pylist(), dtype=object).isin(unknown).sum())
                    refuse(name, n, f"a code that is not declared (known: {', '.join(declared.values)})")


def _ahead(items: Iterator) -> Iterator:
    """The same items, each made by a second thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = reader.submit(next, items, None)
            yield item


def repeated(hashes: list[np.ndarray]) -> int:
    """How many rows belong to patients that occur more than once, from hashes of their ids."""
    every = np.sort(np.concatenate(hashes)) if hashes else np.zeros(0, dtype=np.uint64)
    same = every[1:] == every[:-1]
    return int((np.r_[same, False] | np.r_[False, same]).sum())
