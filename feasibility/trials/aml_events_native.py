"""The synthetic registry's events as a hospital's folder of CSV files (clinical specification, section 9.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.cohort.made_up import mark
from feasibility.trials.aml_events import Problems, RegistryEvents, registry_events
from feasibility.trials.aml_registry import Registry

LAYOUT: Mapping[str, tuple[str, ...]] = {
    name: ("pid", *columns.split())
    for name, columns in {
        "patients": "birth_date sex death_date last_visit region site_id",
        "diagnoses": "dx_date icd10 text type dx_status",
        "labs": "sample_datetime report_datetime local_code local_name loinc value_text value_num comparator unit "
        "ref_low ref_high flag specimen",
        "medications": "order_start order_stop atc rxnorm generic dose unit freq route prn indication status",
        "procedures": "date code text",
        "courses": "course_no phase start stop intensity",
        "responses": "assess_date course_no phase regimen response_eln bm_blast_pct mrd emd_flag",
        "transplants": "date type donor conditioning is_stop_date agvhd_max cgvhd gvhd_status gvhd_date",
        "echo": "date lvef method",
        "performance": "date scale score",
        "infections": "date active severity controlled",
        "allergies": "date agent severity status",
        "flow": "antigen pct specimen date",
        "repro": "date menopause sterilised lactating",
        "transfusions": "date product",
    }.items()
}
"""The files and their columns; ``site_id`` of the patients is ours, the rest is the specification's."""

NAMES = {
    "labs": {"sample_datetime": "date", "report_datetime": "report_date"},
    "medications": {"order_start": "start", "order_stop": "stop"},
    "diagnoses": {"icd10": "code"},
}
BLURRED = {"diagnoses": "dx_date", "procedures": "date", "responses": "assess_date"}
"""The date of a table that may be known to the month only."""
FLAGS = frozenset(("active", "controlled", "emd_flag", "menopause", "sterilised", "lactating", "course_no"))

CANNOT: Mapping[str, str] = {
    "consolidation_failed": "a failure is recorded, its absence is not",
    "ex02_positive": "tested for the trial only",
    "ex02_percent": "tested for the trial only",
    "days_since_ex02_positive": "tested for the trial only",
}
"""Columns of the patient table that this format does not carry, and why."""


def write_native(registry: Registry | RegistryEvents, folder: str | Path, problems: Problems | None = None):
    """Write one CSV file per subject; returns the ``RegistryEvents`` with the ledger and the counts of each problem.

    SYNTHETIC.txt says that nobody in them is a patient. UTF-8, ISO dates, a month where only the month is known, blank
    where nothing is recorded.
    """
    events = as_events(registry, problems)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark(folder)
    for name, columns in LAYOUT.items():
        write_table(folder / f"{name}.csv", native_table(events, name), columns)
    return events


def as_events(registry: Registry | RegistryEvents, problems: Problems | None) -> RegistryEvents:
    """The events themselves, or those of the registry."""
    return registry if isinstance(registry, RegistryEvents) else registry_events(registry, problems)


def native_table(events: RegistryEvents, name: str) -> dict[str, np.ndarray]:
    """One table as texts and numbers, in the columns of the layout; None where nothing is recorded."""
    table = events.tables.get(name)
    if table is None:
        return {column: np.empty(0, dtype=object) for column in LAYOUT[name]}
    month = table["month_only"].to_numpy(bool) if "month_only" in table else None
    columns: dict[str, np.ndarray] = {"pid": events.patient_ids[table["row"].to_numpy()]}
    for column in LAYOUT[name][1:]:
        source = NAMES.get(name, {}).get(column, column)
        if column == "course_no" and name == "responses":
            columns[column] = course_numbers(events)
        elif column == "flag":
            columns[column] = np.where(table["value_num"] > table["ref_high"], "H", None)
        elif source not in table:
            columns[column] = np.full(len(table), None, dtype=object)
        else:
            columns[column] = as_text(table[source], month if BLURRED.get(name) == source else None)
        if column in FLAGS and columns[column].dtype.kind == "f":
            columns[column] = whole(columns[column])
    if name == "transplants":
        ongoing = table["is_ongoing"].to_numpy(bool)
        columns["is_stop_date"] = np.where(ongoing, "ongoing", columns["is_stop_date"])
    return columns


def as_text(series: pd.Series, month_only: np.ndarray | None = None) -> np.ndarray:
    """Dates as ISO texts, texts with None for blank, yes and no as 1 and 0, numbers as they are."""
    values = series.to_numpy()
    if values.dtype.kind == "M":
        return iso(values, month_only)
    if values.dtype.kind == "b":
        return np.where(values, "1", "0").astype(object)
    if values.dtype.kind == "f":
        return values
    texts = values.astype(object)
    return np.where(pd.isna(texts) | (texts == ""), None, texts)


def whole(values: np.ndarray) -> np.ndarray:
    """Whole numbers as texts, None for NaN."""
    known = np.isfinite(values)
    texts = np.full(len(values), None, dtype=object)
    texts[known] = values[known].astype(np.int64).astype(str)
    return texts


def iso(dates: np.ndarray, month_only: np.ndarray | None = None) -> np.ndarray:
    """ISO dates, or months; None for no date. One text a distinct day, so a million rows take no time."""
    days = dates.astype("M8[D]")
    known = ~np.isnat(days)
    texts = np.full(len(days), None, dtype=object)
    if not known.any():
        return texts
    first = days[known].min()
    span = np.arange(first, days[known].max() + 1)
    at = (days - first).astype("int64")
    texts[known] = np.datetime_as_string(span).astype(object)[at[known]]
    if month_only is not None:
        rough = known & month_only
        texts[rough] = np.datetime_as_string(span, unit="M").astype(object)[at[rough]]
    return texts


def course_numbers(events: RegistryEvents) -> np.ndarray:
    """The course that each response follows: the last one begun by then; blank where no course is recorded."""
    responses, courses = events.tables["responses"], events.tables["courses"]
    rows, dates = responses["row"].to_numpy(), responses["day"].to_numpy().astype("M8[D]")
    known = ~np.isnat(dates)
    days, starts = dates.astype("int64"), courses["start"].to_numpy().astype("M8[D]").astype("int64")
    scale = 10**6
    keys = courses["row"].to_numpy() * scale + starts
    at = np.searchsorted(keys, rows * scale + np.where(known, days, 0), side="right") - 1
    found = known & (at >= 0)
    found &= courses["row"].to_numpy()[at.clip(0)] == rows
    return whole(np.where(found, courses["course_no"].to_numpy()[at.clip(0)], np.nan))


def write_table(path: Path, columns: Mapping[str, np.ndarray], names: tuple[str, ...], delimiter: str = ",") -> None:
    """One CSV file, by Arrow: half a million rows in a second."""
    import pyarrow as pa
    from pyarrow import csv

    arrays = []
    for name in names:
        values = columns[name]
        if values.dtype.kind == "f":
            arrays.append(pa.array(values, mask=np.isnan(values)))
        elif values.dtype.kind in "iu":
            arrays.append(pa.array(values))
        else:
            arrays.append(pa.array(values, type=pa.string(), from_pandas=True))
    table = pa.table(arrays, names=list(names))
    with open(path, "wb") as file:
        file.write((delimiter.join(names) + "\n").encode())
        options = csv.WriteOptions(include_header=False, quoting_style="needed", delimiter=delimiter)
        csv.write_csv(table, file, options)
