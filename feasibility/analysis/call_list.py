"""Call lists: patients one answer away from a decision, and which record would bring it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.analysis.gains import mark_internal
from feasibility.analysis.reconcile import same
from feasibility.analysis.screened import counted, dtype_of, screened_cohort, statuses, unknowns
from feasibility.bounded import UPPER

AGES = ("days_since_", "months_since_")
COLUMNS = ["criterion", "name", "column", "also", "state", "settles"]
SETTLES = TOGETHER, PERHAPS, SURELY = ("with others", "perhaps", "surely")
STATES = ("missing", "too old", "inexact")


@dataclass(frozen=True)
class Record:
    """One thing to look up or measure: a column with its bound and its date."""

    column: str
    parts: tuple[str, ...] = field(default=())
    age: str = ""


def call_list(cohort: pd.DataFrame, screening, *, patient_level: bool = False) -> pd.DataFrame:
    """Patients who fail nothing and have exactly one unknown, by the column that would settle them.

    ``cohort`` is the table that was screened. By default counts only, index ``column``: criteria (ids), n_patients
    (whose one unknown hangs on this column), of whom n_surely (any value of it settles them), n_perhaps (some values
    do) and n_with_others (several columns are needed together); and n_missing, n_too_old, n_inexact: not recorded,
    recorded outside the look-back, or known only between bounds. A patient whom either of two columns would settle
    counts under both; the number of patients is in ``attrs["n_patients"]``.

    With ``patient_level=True`` one row a patient, marked as internal in its first column, which every file written
    from it keeps: criterion, name, column (the one to get first), also (others that could settle it instead, or, with
    settles "with others", are needed too), state (missing, too old, inexact), settles (surely, perhaps, with others).

    To settle is to decide either way: the value found may confirm the patient or exclude. Each column is tried with a
    fresh record of every kind of value (each code, true and false, far below and far above every limit), under the
    readings in force; a column the criterion does not read is never asked for.

    Raises FeasibilityError for a cohort that was not the one screened, and for counts without patients.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, None, None], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets]))
    >>> call_list(cohort, screening)[["n_patients", "n_surely"]].to_dict("index")
    {'platelets_10e9_l': {'n_patients': 2, 'n_surely': 2}}
    """
    cohort = screened_cohort(cohort, screening)
    near = (counted(screening.failed) == 0) & (counted(screening.unknown) == 1)
    parts, settled = [], []
    for i, criterion in enumerate(screening.protocol.assessable):
        rows = np.flatnonzero(near & unknowns(screening, i))
        if len(rows):
            table, options = _settling(criterion, cohort.iloc[rows], screening)
            parts.append(table.assign(criterion=criterion.id, name=criterion.name, row=rows))
            settled.append(options.assign(criterion=criterion.id, row=rows[options.row]))
    empty = pd.DataFrame({c: pd.Series(dtype=object) for c in COLUMNS} | {"row": pd.Series(dtype=int)})
    table = pd.concat(parts, ignore_index=True).sort_values("row") if parts else empty
    same("the call list is the patients with one unknown", len(table), int(near.sum()))
    if patient_level:
        patients = table.set_index(screening.index[table.row.astype(int)]).rename_axis("patient_id")
        return mark_internal(patients[COLUMNS], "Call list")
    return _by_column(settled, int(near.sum()))


def _by_column(settled: list[pd.DataFrame], n: int) -> pd.DataFrame:
    words = {f"n_{w.replace(' ', '_')}": ("settles", w) for w in SETTLES[::-1]}
    words |= {f"n_{w.replace(' ', '_')}": ("state", w) for w in STATES}
    names = ("n_patients", *words)
    if not settled:
        result = pd.DataFrame({"criteria": pd.Series(dtype=object)} | {c: pd.Series(dtype=int) for c in names})
    else:
        options = pd.concat(settled, ignore_index=True)
        options = options.assign(**{name: options[column] == word for name, (column, word) in words.items()})
        grouped = options.groupby("column", sort=False)
        result = grouped.agg(
            criteria=("criterion", lambda ids: ", ".join(dict.fromkeys(ids))),
            n_patients=("row", "nunique"),
            **{c: (c, "sum") for c in names[1:]},
        ).astype(dict.fromkeys(names, int))
        result = result.sort_values(["n_patients", "n_surely"], ascending=False, kind="stable")
    result = result.rename_axis("column")
    result.attrs["n_patients"] = n
    return result


def records(criterion, columns) -> list[Record]:
    """The columns a criterion reads, each with its bound and the column that says how old it is."""
    reads, found, ages = criterion.reads, [], {}
    for name in reads:
        base = next((name.removeprefix(a) for a in AGES if name.startswith(a)), "")
        if base in reads:
            ages[base] = name
    for name in reads:
        if name in ages.values():
            continue
        parts = tuple(c for c in (name, name + UPPER) if c in columns)
        found.append(Record(name, parts, ages.get(name, "")))
    return found


def _settling(criterion, rows: pd.DataFrame, screening) -> tuple[pd.DataFrame, pd.DataFrame]:
    """For each row the best record to get; and every (row, record) that could settle it."""
    known = records(criterion, rows.columns)
    rank = np.zeros((len(rows), len(known)), dtype=int)
    states = np.empty((len(rows), len(known)), dtype=object)
    for j, record in enumerate(known):
        states[:, j] = _state(rows, record)
        open_ = states[:, j] != ""
        if open_.any():
            rank[open_, j] = _settles(criterion, rows[open_], record, screening)
    order = np.argsort(-rank, axis=1, kind="stable")
    lines, options = [], []
    for r in range(len(rows)):
        able = [j for j in order[r] if rank[r, j]]
        # Nothing settles it alone: everything that is not known is needed, most likely together.
        wanted = able or [j for j in range(len(known)) if states[r, j]]
        words = [SETTLES[rank[r, j]] for j in wanted]
        if not wanted:
            lines.append(("", "", "", TOGETHER))
            continue
        lines.append(
            (known[wanted[0]].column, ", ".join(known[j].column for j in wanted[1:]), states[r, wanted[0]], words[0])
        )
        options += [(r, known[j].column, states[r, j], w) for j, w in zip(wanted, words, strict=True)]
    return (
        pd.DataFrame(lines, columns=["column", "also", "state", "settles"]),
        pd.DataFrame(options, columns=["row", "column", "state", "settles"]),
    )


def _state(rows: pd.DataFrame, record: Record) -> np.ndarray:
    """Why a record may not decide: missing, inexact, too old, or "" where there is nothing to get.

    A dated value counts as too old here whenever it has an age above 0; whether that matters, trying tells.
    """
    missing = rows[record.column].isna().to_numpy()
    state = np.where(missing, "missing", "").astype(object)
    if record.age:
        age = rows[record.age]
        state[~missing & age.isna().to_numpy()] = "missing"
        state[~missing & (age > 0).to_numpy(dtype=bool, na_value=False)] = "too old"
    if record.column + UPPER in record.parts:
        lower, upper = rows[record.column], rows[record.column + UPPER]
        only_upper = missing & upper.notna().to_numpy()
        state[(lower != upper).to_numpy(dtype=bool, na_value=False) | only_upper] = "inexact"
    return state


def _settles(criterion, rows: pd.DataFrame, record: Record, screening) -> np.ndarray:
    """2 where every fresh value of the record decides the criterion, 1 where some value does, else 0."""
    dtype = rows[record.column].dtype if record.column in rows else dtype_of(screening, record.column)
    decided = []
    for value in _values(criterion, record.column, dtype, rows, screening):
        fresh = {c: pd.array([value] * len(rows), dtype=rows[c].dtype) for c in record.parts}
        if record.age:
            fresh[record.age] = pd.array([0] * len(rows), dtype=rows[record.age].dtype)
        decided.append(~statuses(criterion, rows.assign(**fresh))[1])
    decided = np.stack(decided)
    return decided.any(axis=0).astype(int) + decided.all(axis=0)


def _values(criterion, name: str, dtype, rows: pd.DataFrame, screening) -> list:
    """Values of every kind the cell could hold."""
    if isinstance(dtype, pd.BooleanDtype):
        return [True, False]
    columns = screening.protocol.columns
    if isinstance(dtype, pd.StringDtype):
        declared = columns[name].values if columns is not None and name in columns else ()
        return sorted({*(declared or ()), *rows[name].dropna().unique(), "a value of no list"})
    limits = [v for v in criterion.values.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    finite = [abs(v) for v in limits if np.isfinite(v)]
    wide = 1000 * (1 + max(finite, default=0))
    values = [0, int(wide)] if name.startswith(AGES) or isinstance(dtype, pd.Int64Dtype) else [-wide, 0.0, wide]
    return values + ([np.inf] if name.startswith(AGES) and not isinstance(dtype, pd.Int64Dtype) else [])
