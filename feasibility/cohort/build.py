"""A hospital's events become the cohort table at an index date: a row per patient, nothing read that lies after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.bounded import UPPER
from feasibility.cohort import windows
from feasibility.cohort.allergies import build_allergies
from feasibility.cohort.event_rows import BUILD_REASONS, CONFLICTING, DATE_IMPRECISE, Rows, positions, to_frame
from feasibility.cohort.exposure import build_exposure
from feasibility.cohort.fills import apply_fills
from feasibility.cohort.function import build_function
from feasibility.cohort.index_dates import IndexDates
from feasibility.cohort.once import build_once
from feasibility.cohort.parse import MISSING
from feasibility.cohort.raw import BuildRecord
from feasibility.cohort.read import installed_columns
from feasibility.cohort.schema import DTYPES, STRING, BuildStep, CohortTable
from feasibility.cohort.serology import build_serology
from feasibility.cohort.window_events import build_labs
from feasibility.cohort.words import fold
from feasibility.errors import CohortError, did_you_mean

STEPS = (
    BuildStep("laboratory", build_labs),
    BuildStep("serology", build_serology),
    BuildStep("diagnoses", build_once),
    BuildStep("allergies", build_allergies),
    BuildStep("function", build_function),
    BuildStep("medication", build_exposure),
)
"""The steps of general medicine; those of a disease are declared beside its columns."""


def build_cohort(
    extract,
    index: IndexDates,
    columns: CohortTable | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
    *,
    codelists: Iterable[str] = (),
) -> pd.DataFrame:
    """One row per patient and index date, made from the events on or before that date.

    Parameters
    ----------
    extract : what ``read_extract``, ``omop`` or ``fhir`` returned.
    index : when patients are screened, for example ``as_of("2025-06-30")``.
    columns : the declared columns to build; by default those of every installed trial.
    settings : build settings (``column.setting``) other than the declared defaults.
    progress : called with (stage, share done).
    codelists : folders with further code lists.

    Returns
    -------
    DataFrame indexed by (patient_id, index_date), as ``read_cohort`` returns it. A column whose event table the extract
    lacks is unknown for everyone. ``attrs["feasibility"]`` holds the settings, every conversion and every value set
    aside, and per column how many cells are unknown for which reason.

    Raises
    ------
    CohortError
        For a setting that is not declared, or an index that yields nobody.
    """
    columns = installed_columns() if columns is None else columns
    in_force = _settings(columns, settings)
    report = progress or (lambda stage, share: None)
    report("patients", 0.0)
    ids, days, left_out = index.pairs(extract)
    if not len(ids):
        raise CohortError(f"{extract.source}: no patient has an index date by {index.policy} ({dict(index.stated)}).")
    rows = Rows(extract, ids, days, columns, in_force, codelists)
    for reason, n in left_out.items():
        rows.note("", "left_out", reason, n)
    try:
        _people(rows)
        steps = (*STEPS, *columns.steps)
        for i, step in enumerate(steps):
            report(step.name, (i + 1) / (len(steps) + 2))
            step.run(rows)
    finally:
        rows.close()
    report("fills", 0.95)
    frame = _frame(rows)
    record = {
        "source": extract.source,
        "n_rows": len(frame),
        "n_patients": len(rows.people),
        "index_policy": index.policy,
        "tables": sorted(extract.tables),
        "columns_absent": [n for n in columns if n not in rows.built],
        "columns_ignored": [],
        "events": [*extract.quality, *rows.log],
        "settings": in_force,
        "build_fingerprint": columns.fingerprint(in_force),
    }
    frame.attrs["feasibility"] = BuildRecord(record)
    frame = apply_fills(frame, columns, in_force)
    unknown = {n: _reasons(frame[n], rows.built.get(n)) for n in frame if not n.endswith(UPPER)}
    facts = frame.attrs["feasibility"] | {"unknown": {n: r for n, r in unknown.items() if r}}
    frame.attrs["feasibility"] = BuildRecord(facts)
    physical = [n for name in columns for n in (name, name + UPPER) if n in frame.columns]
    report("done", 1.0)
    return frame[physical]


def _settings(columns: CohortTable, settings) -> dict[str, Any]:
    declared = columns.settings()
    for name in settings or {}:
        if name not in declared:
            raise CohortError(f"No build setting {name!r} is declared.{did_you_mean(name, declared)}")
    return declared | dict(settings or {})


def _frame(rows: Rows) -> pd.DataFrame:
    """The declared columns in their dtypes; one that could not be built is unknown for everyone."""
    data = {}
    for column in rows.columns.columns:
        if column.name in rows.built:
            data |= rows.built[column.name].arrays(column, False)
        else:
            data[column.name] = pd.array([pd.NA] * rows.n, dtype=DTYPES[column.dtype])
    index = pd.MultiIndex.from_arrays(
        [pd.array(rows.ids.tolist(), dtype=STRING), pd.DatetimeIndex(rows.index.astype("datetime64[us]"))],
        names=["patient_id", "index_date"],
    )
    return pd.DataFrame(data, index=index)


def _reasons(cells: pd.Series, built) -> dict[str, int]:
    unknown = cells.isna().to_numpy()
    if not unknown.any():
        return {}
    if built is None:
        return {"missing": int(unknown.sum())}
    result: dict[str, int] = {}
    for code, n in enumerate(np.bincount(built.status[unknown]).tolist()):
        if n:
            reason = BUILD_REASONS.get(code, BUILD_REASONS[MISSING])[0]
            result[reason] = result.get(reason, 0) + n
    return result


def _people(rows: Rows) -> None:
    """Age, sex and site; a patient listed twice with different facts has none of them."""
    table = rows.extract.tables["patients"]
    got = to_frame(
        table.select("pid", "birth_date", "birth_date_last", "sex", "site_id").filter(table.pid.notnull()).to_pyarrow()
    )
    got["person"] = positions(pa.array(got["pid"], pa.string()), rows.people)
    got = got[got["person"] >= 0]
    firsts = {}
    for name in ("birth_date", "birth_date_last", "sex", "site_id"):
        values = got.loc[got[name].notna(), ["person", name]]
        values = values[~values.duplicated()] if values["person"].duplicated().any() else values
        twice = values["person"].duplicated(keep=False)
        one = values[~twice].set_index("person")[name].reindex(range(len(rows.people)))
        clash = np.zeros(len(rows.people), dtype=bool)
        clash[values.loc[twice, "person"].to_numpy()] = True
        rows.note(name, "quarantined", "a patient listed twice with different facts", int(clash.sum()))
        firsts[name] = one.to_numpy()[rows.person], clash[rows.person]
    born, clash = firsts["birth_date"]
    born, last = (firsts[n][0].astype("datetime64[D]") for n in ("birth_date", "birth_date_last"))
    late = born > rows.index
    last = np.where(last > rows.index, rows.index, last)
    status = np.where(clash, CONFLICTING, np.where(late, DATE_IMPRECISE, MISSING))
    for name, count in (("age_years", windows.completed_years), ("age_exact_years", windows.exact_years)):
        low, high = count(last, rows.index), count(born, rows.index)
        impossible = late | (low < 0) | (high > 120)
        rows.note(name, "quarantined", "impossible date of birth", int((impossible & ~np.isnan(low)).sum()))
        rows.put(name, np.where(impossible, np.nan, low), np.where(impossible, np.nan, high), status)
    _coded(rows, "sex", *firsts["sex"])
    site, clash = firsts["site_id"]
    rows.put_plain("site_id", site, pd.isna(site), np.where(clash, CONFLICTING, MISSING))


def _coded(rows: Rows, name: str, texts: np.ndarray, clash: np.ndarray) -> None:
    if name not in rows.columns:
        return
    column = rows.columns[name]
    codes = {fold(k): v for k, v in column.codes.items()} | {fold(v): v for v in column.values}
    values = pd.Series(texts).map(lambda t: codes.get(fold(str(t))), na_action="ignore").to_numpy(dtype=object)
    unread = ~pd.isna(texts) & pd.isna(values)
    rows.note(name, "quarantined", "no code of this column", int(unread.sum()))
    rows.put_plain(name, values, pd.isna(values), np.where(clash, CONFLICTING, MISSING))
