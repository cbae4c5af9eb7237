"""A cohort to a file that ``read_cohort`` reads back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from feasibility.cohort.words import absent, fold
from feasibility.errors import CohortError


def write_cohort(cohort: pd.DataFrame, path: str | Path) -> Path:
    """Write a cohort as CSV (for people) or Parquet (keeps types and provenance); the suffix decides.

    In CSV a time that never began is the word ``never``, booleans are yes and no, and unknown is blank.

    Raises
    ------
    CohortError
        For another suffix, a table that is no cohort, or a text that CSV could not give back (Parquet can).
    """
    path = Path(path)
    if list(cohort.index.names) != ["patient_id", "index_date"]:
        raise CohortError("write_cohort needs a cohort: a table whose index is (patient_id, index_date).")
    suffix = path.suffix.lower()
    frame = cohort.reset_index()
    if frame["index_date"].isna().all():
        frame = frame.drop(columns="index_date")
    if suffix in (".parquet", ".pq"):
        frame.attrs = dict(cohort.attrs)
        frame.to_parquet(path, index=False)
        return path
    if suffix not in (".csv", ".tsv"):
        raise CohortError(f"{path.name}: write a cohort as .csv, .tsv or .parquet.")
    columns = {name: _as_text(name, frame[name], path.name) for name in frame.columns}
    with path.open("wb") as stream:
        pacsv.write_csv(
            pa.table(columns),
            stream,
            pacsv.WriteOptions(
                delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed", quoting_header="needed"
            ),
        )
    return path


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
