"""A cohort to a file that ``read_cohort`` reads back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from feasibility.cohort.schema import CohortTable
from feasibility.cohort.words import absent, fold
from feasibility.errors import CohortError

SET_ASIDE = "set aside"
"""What stands in a CSV cell that is unknown although a rule for empty cells would fill it: reading keeps it unknown."""


def write_cohort(cohort: pd.DataFrame, path: str | Path, columns: CohortTable | None = None) -> Path:
    """Write a cohort as CSV (for people), Parquet (keeps types and provenance) or .arrow; the suffix decides.

    A ``.arrow`` file is a prepared cohort (``fz.prepare``): it opens instantly and screens fastest, but is for this
    program alone and larger than Parquet, the format of exchange.

    In CSV a time that never began is the word ``never``, booleans are yes and no, and unknown is blank; a cell that was
    set aside on reading says so, since the rules for empty cells (``Column.fills`` of ``columns``, by default those of
    every installed trial) would otherwise fill it when the file is read again.

    Raises
    ------
    CohortError
        For another suffix, a table that is no cohort, or a text that CSV could not give back (Parquet can).
    """
    path = Path(path)
    if list(cohort.index.names) != ["patient_id", "index_date"]:
        raise CohortError("write_cohort needs a cohort: a table whose index is (patient_id, index_date).")
    suffix = path.suffix.lower()
    if suffix == ".arrow":
        from feasibility.cohort.prepared import write_prepared

        return write_prepared(cohort, path, columns)
    frame = cohort.reset_index()
    if frame["index_date"].isna().all():
        frame = frame.drop(columns="index_date")
    if suffix in (".parquet", ".pq"):
        frame.attrs = dict(cohort.attrs)
        frame.to_parquet(path, index=False)
        return path
    if suffix not in (".csv", ".tsv"):
        raise CohortError(f"{path.name}: write a cohort as .csv, .tsv, .parquet or .arrow.")
    keep = _kept_unknown(cohort, columns)
    texts = {name: _as_text(name, frame[name], path.name) for name in frame.columns}
    for name, rows in keep.items():
        texts[name] = pa.compute.if_else(pa.array(rows), SET_ASIDE, texts[name])
    with path.open("wb") as stream:
        pacsv.write_csv(
            pa.table(texts),
            stream,
            pacsv.WriteOptions(
                delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed", quoting_header="needed"
            ),
        )
    return path


def _kept_unknown(cohort: pd.DataFrame, columns: CohortTable | None) -> dict[str, np.ndarray]:
    """Per column, the unknown cells that a rule would fill on reading back."""
    from feasibility.cohort.fills import apply_fills

    if columns is None:
        from feasibility.cohort.read import installed_columns

        columns = installed_columns()
    present = CohortTable(columns[n] for n in columns if n in cohort.columns)
    settings = dict(cohort.attrs.get("feasibility", {})).get("settings", {})
    plain = cohort.reset_index(drop=True)
    plain.attrs = {}
    filled = apply_fills(plain, present, {k: v for k, v in settings.items() if k in present.settings()})
    changed = {n: (plain[n].isna() & filled[n].notna()).to_numpy() for n in plain.columns}
    return {name: rows for name, rows in changed.items() if rows.any()}


def _as_text(name: str, series: pd.Series, file: str) -> pa.Array:
    """The column as people read it; null is blank."""
    missing = series.isna().to_numpy()
    if pd.api.types.is_bool_dtype(series.dtype):
        return pa.array(np.where(series.fillna(False).to_numpy(dtype=bool), "yes", "no"), pa.string(), mask=missing)
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return pa.array(series.dt.strftime("%Y-%m-%d").to_numpy(dtype=object), pa.string(), mask=missing)
    if pd.api.types.is_integer_dtype(series.dtype):
        return pa.array(series.fillna(0).to_numpy(dtype="int64"), pa.int64(), mask=missing).cast(pa.string())
    if pd.api.types.is_float_dtype(series.dtype):
        values = series.to_numpy(dtype="float64", na_value=np.nan)
        text = pa.array(values, pa.float64(), mask=missing).cast(pa.string())
        if np.isposinf(values).any():
            text = pa.compute.if_else(pa.array(np.isposinf(values)), "never", text)
        return text
    texts = series.to_numpy(dtype=object)
    for text in {t for t in texts[~missing]}:
        if (
            not isinstance(text, str)
            or text != text.strip()
            or "\n" in text
            or (name != "patient_id" and absent(fold(text)))
        ):
            raise CohortError(
                f"{file}: column {name!r} holds a text that would read as blank or change in CSV; "
                "write .parquet instead."
            )
    return pa.array(texts, pa.string(), mask=missing)
