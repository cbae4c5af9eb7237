"""A table that already has one row per patient becomes a cohort: read, checked, converted, and everything counted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.column_values import ColumnReader
from feasibility.cohort.files import from_frame, open_table
from feasibility.cohort.fills import apply_fills
from feasibility.cohort.mapping import ColumnOptions, load_mapping, parse_index_date
from feasibility.cohort.mapping import Mapping as CheckedMapping
from feasibility.cohort.parse import DATE_MISSING, KNOWN, MISSING, NOT_TESTED, REASONS
from feasibility.cohort.raw import BuildRecord, Log, RawTable
from feasibility.cohort.rows import patient_rows
from feasibility.cohort.schema import STRING, CohortTable
from feasibility.errors import CohortError, ReadError, did_you_mean


def read_cohort(
    path: str | Path,
    columns: CohortTable | None = None,
    *,
    mapping: str | Path | Mapping | None = None,
    index_date: str | dt.date | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> pd.DataFrame:
    """Read a file with one row per patient: CSV, TSV, Parquet, Excel, SPSS, Stata or SAS.

    Parameters
    ----------
    path : the file; ``.arrow`` is a prepared cohort (``write_cohort``), taken as it is.
    columns : the declared columns to look for; by default those of every installed trial.
    mapping : a TOML file (or a dict) that says which file column is which, in which unit and with which codes. File
        columns named like declared ones are used without it.
    index_date : the date at which patients are screened, or the file column that holds it; wins over the mapping.
        Needed only where dates are turned into ages and times.
    settings : build settings (``column.setting``) other than the declared defaults.
    progress : called with (stage, share done) while reading.

    Returns
    -------
    DataFrame indexed by (patient_id, index_date) with the declared columns that could be read, in the dtypes Float64,
    Int64, boolean and string[python]; a value known only between bounds fills ``x`` and ``x__upper``.
    ``attrs["feasibility"]`` holds the source, the row counts and every event: what was set aside, converted,
    inferred or filled, with line numbers and reasons.

    Raises
    ------
    ReadError
        For a file that cannot be read as such a table. Nothing is dropped silently.
    CohortError
        For a mapping or setting that does not fit the declarations.
    """
    if Path(path).suffix == ".arrow":
        return _prepared(Path(path), mapping, index_date, settings)
    columns = installed_columns() if columns is None else columns
    checked = load_mapping(mapping, columns)
    report = progress or (lambda stage, share: None)
    plan = _Plan(columns, checked, index_date, str(Path(path).name))
    table = open_table(path, checked.file, plan.wanted, report)
    return _build(table, plan, settings, report)


def _prepared(path: Path, mapping, index_date, settings) -> pd.DataFrame:
    """A prepared cohort as pandas holds it: it was read and settled when it was written."""
    from feasibility.cohort.prepared import open_prepared

    if mapping is not None or index_date is not None or settings:
        raise CohortError(
            f"{path.name} is a prepared cohort: mapping, index date and settings were applied when it was written."
        )
    return open_prepared(path).frame()


def as_cohort(
    frame: pd.DataFrame,
    columns: CohortTable | None = None,
    *,
    mapping: str | Path | Mapping | None = None,
    index_date: str | dt.date | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The same as ``read_cohort`` for a DataFrame in memory; rows are numbered from 1 in messages.

    >>> from feasibility.cohort.common import GENERAL
    >>> cells = {"age_years": [64.7, None], "hemoglobin_g_l": ["<80", "7,5 g/dL"]}
    >>> frame = pd.DataFrame({"patient_id": ["A", "B"], **cells})
    >>> as_cohort(frame, GENERAL).reset_index(drop=True)[["age_years", "hemoglobin_g_l", "hemoglobin_g_l__upper"]]
       age_years  hemoglobin_g_l  hemoglobin_g_l__upper
    0         64            10.0                   80.0
    1       <NA>            75.0                   75.0
    """
    columns = installed_columns() if columns is None else columns
    checked = load_mapping(mapping, columns)
    plan = _Plan(columns, checked, index_date, "the table")
    return _build(from_frame(frame, "the table", plan.wanted), plan, settings, lambda stage, share: None)


def installed_columns() -> CohortTable:
    """The columns of every trial found through the entry-point group ``feasibility.trials``."""
    table = CohortTable(())
    for point in entry_points(group="feasibility.trials"):
        module = point.load()
        if getattr(module, "columns", None) is not None:
            table = table | module.columns
    if not len(table):
        raise CohortError("No columns are declared: no installed trial was found. Give columns=.")
    return table


class _Plan:
    """Which file columns are read for what."""

    def __init__(self, columns: CohortTable, mapping: CheckedMapping, index_date, source: str):
        self.columns, self.mapping, self.source = columns, mapping, source
        stated = index_date if index_date is not None else mapping.file.index_date
        self.index_day = parse_index_date(stated) if stated is not None else None
        self.index_column = str(stated) if stated is not None and self.index_day is None else ""
        self.entries: dict[str, ColumnOptions] = {}

    def wanted(self, names: list[str]) -> set[str]:
        """The file columns to read; every column the mapping names must be there."""
        file, have = self.mapping.file, set(names)
        if file.patient_id not in have:
            raise ReadError(
                f"{self.source}: there is no column {file.patient_id!r} that says which patient a row is about."
                f'{did_you_mean(file.patient_id, names)} State [file] patient_id = "..." in the mapping.'
            )
        if not self.index_column and self.index_day is None and "index_date" in have:
            self.index_column = "index_date"
        used = {file.patient_id}
        for name, key in ((self.index_column, "index_date"), (file.order_by, "order_by")):
            if name and name not in have:
                raise ReadError(
                    f"{self.source}: {key} is {name!r}, which is neither a date nor a column of the file."
                    f"{did_you_mean(name, names)}"
                )
            used |= {name} - {""}
        for name, entry in self.mapping.columns.items():
            self.entries[name] = entry = self._complete(name, entry, have)
            for needed in entry.file_columns():
                if needed not in have:
                    raise ReadError(
                        f"{self.source}: {self.mapping.where}, [columns.{name}] reads file column {needed!r}, which is "
                        f"not there.{did_you_mean(needed, names)}"
                    )
            used |= set(entry.file_columns())
        for name in self.columns:
            if name not in self.entries and name in have:
                self.entries[name] = ColumnOptions(name, from_=name)
            used |= {n for n in (name, name + UPPER) if n in have and name in self.entries}
        return used

    def _complete(self, name: str, entry: ColumnOptions, have: set[str]) -> ColumnOptions:
        if entry.from_ or entry.constant is not None or entry.birth_date or entry.birth_year or entry.from_date:
            return entry
        if entry.date and not self.columns[name].dated:
            return entry
        if name in have:
            return replace(entry, from_=name)
        raise CohortError(
            f"{self.mapping.where}, [columns.{name}]: it is not said where the value comes from: give from, constant, "
            "or, for ages and times, dates."
        )


def _build(table: RawTable, plan: _Plan, settings, progress) -> pd.DataFrame:
    columns = plan.columns
    in_force = _settings(columns, settings, table.attrs)
    progress("patients", 0.3)
    ids, index, table = patient_rows(table, plan)
    log = Log(table.lines)
    data, statuses = _read_columns(table, plan, index, log, progress)
    rows = np.broadcast_to(index, len(ids)) if index is not None else np.full(len(ids), "NaT", "datetime64[D]")
    frame = pd.DataFrame(
        data,
        index=pd.MultiIndex.from_arrays(
            [pd.array(ids, dtype=STRING), pd.DatetimeIndex(rows.astype("datetime64[us]"))],
            names=["patient_id", "index_date"],
        ),
    )
    used = {plan.mapping.file.patient_id, plan.index_column, plan.mapping.file.order_by}
    used |= {n for e in plan.entries.values() for n in e.file_columns()} | set(frame.columns)
    names = table.facts.pop("file_columns", [])
    record = {
        "source": table.source,
        "n_rows": len(frame),
        "n_patients": int(pd.Series(ids).nunique()),
        "n_rows_rejected": table.facts.pop("n_rows_rejected", 0),
        **table.facts,
        "columns_absent": [n for n in columns if n not in frame.columns],
        "columns_ignored": [n for n in names if n not in used],
        "events": [*table.events, *log.events],
        "settings": in_force,
        "build_fingerprint": columns.fingerprint(in_force),
    }
    progress("fills", 0.95)
    written = _written(table.attrs, in_force)
    record |= {key: written[key] for key in CARRIED if key in written}
    # What the extract had no table for is a column of the written file, without a value.
    absent_there = set(written.get("columns_absent", ()))
    record["columns_absent"] = [n for n in columns if n not in frame.columns or n in absent_there]
    if len(frame) == written.get("n_rows"):
        record["events"] = [*written.get("events", ()), *record["events"]]
    frame.attrs["feasibility"] = BuildRecord(record)
    if not written:
        frame = apply_fills(frame, columns, in_force, set_aside=_set_aside(statuses))
    unknown = _as_written(_unknown(frame, statuses), written.get("unknown", {}))
    frame.attrs["feasibility"] = BuildRecord(frame.attrs["feasibility"] | {"unknown": unknown})
    progress("done", 1.0)
    physical = [n for name in columns for n in (name, name + UPPER) if n in frame.columns]
    return frame[physical]


CARRIED = ("built_from", "index_policy", "index_stated", "tables", "code_lists")
"""What a cohort built from events still says of itself after it was written and read again."""


def _written(attrs, settings: dict) -> dict:
    """The record of a cohort whose fills were done already, with these very settings; empty for any other table."""
    written = attrs.get("feasibility") if isinstance(attrs, dict) else None
    return written if written and _written_settings(attrs) == settings else {}


def _written_settings(attrs) -> dict:
    """The build settings in a file's notes; JSON has made lists of their tuples."""
    written = (attrs.get("feasibility") or {}).get("settings", {}) if isinstance(attrs, dict) else {}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in written.items()}


def _as_written(unknown: dict[str, dict[str, int]], written: dict) -> dict[str, dict[str, int]]:
    """The reasons the written record gives for as many unknown cells; a file itself can only say "missing"."""
    return {
        name: written[name] if sum(written.get(name, {}).values()) == sum(reasons.values()) else reasons
        for name, reasons in unknown.items()
    }


def _set_aside(statuses: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The cells that held something unusable: unlike an empty cell, they say that somebody looked."""
    empty = (KNOWN, MISSING, NOT_TESTED, DATE_MISSING)
    return {name: ~np.isin(status, empty) for name, status in statuses.items()}


def _settings(columns: CohortTable, given, attrs: dict) -> dict[str, Any]:
    """Declared defaults, then those a written cohort was built with, then those given."""
    known = columns.settings()
    for name in given or {}:
        if name not in known:
            raise CohortError(f"There is no build setting {name!r}.{did_you_mean(name, known)}")
    written = _written_settings(attrs)
    return known | {k: v for k, v in written.items() if k in known} | dict(given or {})


def _read_columns(table: RawTable, plan: _Plan, index, log: Log, progress) -> tuple[dict, dict]:
    reader = ColumnReader(table, plan.mapping, index, log)
    values = {}
    order = [n for n in plan.columns if n in plan.entries]
    for i, name in enumerate(order):
        progress(name, 0.35 + 0.6 * i / max(len(order), 1))
        column, entry = plan.columns[name], plan.entries[name]
        values[name] = read = reader.read(column, entry)
        upper = name + UPPER
        if upper in table.columns and entry.from_ == name:
            _other_end(reader, column, read, upper)
        if column.companion and column.companion not in plan.entries:
            age = reader.read_companion(column, plan.columns[column.companion], entry, read)
            if age is not None:
                values[column.companion] = age
    for name in order:  # ages read from their own file column
        companion = plan.columns[name].companion
        if companion in plan.entries and companion in values:
            reader.hide_later(plan.columns[name], values[name], values[companion])
    data = {}
    for name in plan.columns:
        if name in values:
            data |= values[name].arrays(plan.columns[name], name + UPPER in table.columns)
    return data, {name: read.status for name, read in values.items()}


def _unknown(frame: pd.DataFrame, statuses: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Per column, how many cells are unknown for each reason, after fills; cells of created columns are missing."""
    result: dict[str, dict[str, int]] = {}
    for name in frame.columns:
        unknown = frame[name].isna().to_numpy()
        if name.endswith(UPPER) or not unknown.any():
            continue
        counts = np.bincount(statuses[name][unknown]) if name in statuses else np.array([0, unknown.sum()])
        reasons = result.setdefault(name, {})
        for code, n in enumerate(counts.tolist()):
            if n:
                reason = REASONS.get(code, REASONS[MISSING])[0]
                reasons[reason] = reasons.get(reason, 0) + n
    return result


def _other_end(reader: ColumnReader, column, read, upper: str) -> None:
    """``x__upper`` of a written cohort: the upper bound, where ``x`` holds the lower one."""
    high = reader.read(column, ColumnOptions(column.name, from_=upper, unit=column.unit))
    both = (read.status == KNOWN) & (high.status == KNOWN)
    read.hi = np.where(both, np.maximum(high.hi, read.lo), read.hi)
