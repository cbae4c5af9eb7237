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
from feasibility.cohort.codelists import hashes
from feasibility.cohort.event_rows import BUILD_REASONS, CONFLICTING, DATE_IMPRECISE, Rows, each, positions
from feasibility.cohort.fills import apply_fills
from feasibility.cohort.index_dates import IndexDates, days_of
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
)
"""What is made from the declarations alone; every other step is declared beside the columns it fills."""


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
    index = index.for_columns(columns, in_force)
    ids, days, left_out = index.pairs(extract)
    if not len(ids):
        why = "".join(f"; {n:,} {reason}" for reason, n in left_out.items() if n)
        raise CohortError(f"{extract.source}: nobody is left to screen by {index}{why}.")
    rows = Rows(extract, ids, days, columns, in_force, codelists)
    for reason, n in left_out.items():
        rows.note("", "left_out", reason, n)
    try:
        if extract.facts.get("synthetic"):  # of any other extract nobody says that its patients are real, or not
            rows.put_plain("synthetic", np.ones(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool))
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
        "index_stated": index.record,
        "built_from": f"{extract.source}, {index}",
        "tables": sorted(extract.tables),
        "columns_absent": [n for n in columns if n not in rows.built],
        "columns_ignored": [],
        "events": [*extract.quality, *rows.log],
        "settings": in_force,
        "build_fingerprint": columns.fingerprint(in_force),
        "code_lists": hashes(columns, codelists),
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
            data[column.name] = pd.array([pd.NA], dtype=DTYPES[column.dtype]).repeat(rows.n)
    return pd.DataFrame(data, index=_index(rows), copy=False)


def _index(rows: Rows) -> pd.MultiIndex:
    """(patient_id, index_date) from what is known of the rows: sorted by patient, each patient once in ``people``."""
    days = rows.index.astype("datetime64[D]")
    first = days.min() if rows.n else np.datetime64(0, "D")
    place = (days - first).astype("int64")
    used = np.zeros(int(place.max(initial=-1)) + 1, dtype=bool)
    used[place] = True
    dates = (first + np.flatnonzero(used).astype("timedelta64[D]")).astype("datetime64[us]")
    levels = [pd.Index(pd.array(rows.people, dtype=STRING)), pd.DatetimeIndex(dates)]
    codes = [rows.person, (np.cumsum(used) - 1)[place]]
    return pd.MultiIndex(levels=levels, codes=codes, names=["patient_id", "index_date"], verify_integrity=False)


def _reasons(cells: pd.Series, built) -> dict[str, int]:
    unknown = cells.isna().to_numpy()
    if not unknown.any():
        return {}
    if built is None:
        return {"missing": int(unknown.sum())}
    left, result = int(np.count_nonzero(unknown)), {}
    for code in sorted(BUILD_REASONS):  # a count per code is quicker than a histogram of a million bytes
        n = int(np.count_nonzero(unknown & (built.status == code)))
        left -= n
        if n:
            reason = BUILD_REASONS[code][0]
            result[reason] = result.get(reason, 0) + n
    if left:
        reason = BUILD_REASONS[MISSING][0]
        result[reason] = result.get(reason, 0) + left
    return result


def _people(rows: Rows) -> None:
    """Age, sex and site; a patient listed twice with different facts has none of them."""
    wanted = {"birth_date": ("age_years", "age_exact_years"), "birth_date_last": ("age_years", "age_exact_years"),
              "sex": ("sex",), "site_id": ("site_id",)}  # fmt: skip
    wanted = [name for name, columns in wanted.items() if rows.wants(*columns)]
    if not wanted:
        return
    table = rows.extract.tables["patients"]
    got = table.filter(table.pid.notnull()).select("pid", *wanted).to_pyarrow()
    person = positions(got["pid"], rows.people)
    firsts = {name: _one_fact(rows, name, got[name], person) for name in wanted}
    if "birth_date" in firsts:
        _age(rows, firsts)
    if "sex" in firsts:
        _coded(rows, "sex", *firsts["sex"])
    if "site_id" in firsts:
        site, clash = firsts["site_id"]
        rows.put_plain("site_id", site, pd.isna(site), np.where(clash, CONFLICTING, MISSING))


def _one_fact(rows: Rows, name: str, column: pa.ChunkedArray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per row, the one fact its patient is listed with, and whether there are several."""
    column = column.combine_chunks()
    use = column.is_valid().to_numpy(zero_copy_only=False) & (person >= 0)
    date = pa.types.is_date(column.type)
    values = days_of(column) if date else column.to_numpy(zero_copy_only=False)
    person, values = person[use], values[use]
    one = np.full(len(rows.people), np.datetime64("NaT") if date else None, dtype="datetime64[D]" if date else object)
    clash = np.zeros(len(rows.people), dtype=bool)
    one[person] = values
    clash[person[one[person] != values]] = True
    one[clash] = np.datetime64("NaT") if date else None
    rows.note(name, "quarantined", "a patient listed twice with different facts", int(clash.sum()))
    return (one, clash) if rows.n == len(rows.people) else (one[rows.person], clash[rows.person])


def _age(rows: Rows, firsts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    born, clash = firsts["birth_date"]
    last = firsts["birth_date_last"][0]
    late = born > rows.index
    last = np.where(last > rows.index, rows.index, last)
    status = np.where(clash, CONFLICTING, np.where(late, DATE_IMPRECISE, MISSING))
    leap_day = rows.setting("age_years", "leap_day_birthday", windows.LEAP_DAY)
    low = high = windows.exact_years(last, rows.index, leap_day)
    if not np.array_equal(born, last, equal_nan=True):
        high = windows.exact_years(born, rows.index, leap_day)
    for name, count in (("age_years", np.floor), ("age_exact_years", np.asarray)):
        wrong = late | (low < 0) | (count(high) > 120)
        rows.note(name, "quarantined", "impossible date of birth", int((wrong & ~np.isnan(low)).sum()))
        rows.put(name, np.where(wrong, np.nan, count(low)), np.where(wrong, np.nan, count(high)), status)


def _coded(rows: Rows, name: str, texts: np.ndarray, clash: np.ndarray) -> None:
    if name not in rows.columns:
        return
    column = rows.columns[name]
    codes = {fold(k): v for k, v in column.codes.items()} | {fold(v): v for v in column.values}
    values = each(pd.Series(texts, dtype=object), lambda t: codes.get(fold(str(t)))).to_numpy(dtype=object)
    unread = ~pd.isna(texts) & pd.isna(values)
    rows.note(name, "quarantined", "no code of this column", int(unread.sum()))
    rows.put_plain(name, values, pd.isna(values), np.where(clash, CONFLICTING, MISSING))
