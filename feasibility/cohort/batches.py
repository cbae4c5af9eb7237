"""A cohort in Parquet files, batch by batch: for tables larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.schema import CohortTable
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
                self.files.append(pq.ParquetFile(file, memory_map=True))
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
        return next((kind for kind, test in tests.items() if test(text)), ""), str(type_)

    def batches(self, names, ids: bool = False) -> Iterator:
        """(checked Arrow table of the physical columns, share of rows done); with ``ids`` also the patient ids."""
        wanted = self.physical(names)
        extra = ["patient_id"] if ids and "patient_id" in self.columns else []
        done = 0
        for file in self.files:
            for batch in file.iter_batches(batch_size=MOST, columns=[*wanted, *extra], use_threads=True):
                import pyarrow as pa

                table = pa.Table.from_batches([batch])
                self._check(table.select(wanted))
                done += table.num_rows
                yield table, done / self.n

    def _check(self, table) -> None:
        """The same refusals as ``check_values``, on Arrow columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in table.column_names:
            base = name.removesuffix(UPPER)
            declared = self._declared[base] if self._declared is not None and base in self._declared else None
            column = table[name]
            numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
            if numeric and declared is not None and declared.hard is not None:
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
                codes = {c for c in pc.unique(column).to_pylist() if c is not None}
                unknown = codes - set(declared.values)
                if unknown:
                    n = int(pd.Series(column.to_pylist(), dtype=object).isin(unknown).sum())
                    refuse(name, n, f"a code that is not declared (known: {', '.join(declared.values)})")


def repeated(hashes: list[np.ndarray]) -> int:
    """How many rows belong to patients that occur more than once, from hashes of their ids."""
    every = np.sort(np.concatenate(hashes)) if hashes else np.zeros(0, dtype=np.uint64)
    same = every[1:] == every[:-1]
    return int((np.r_[same, False] | np.r_[False, same]).sum())
