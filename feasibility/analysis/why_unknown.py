"""Why a criterion or clause is unknown: which record is missing, too old or inexact, counted over those patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from feasibility.analysis.call_list import AGES, Record, records
from feasibility.analysis.screened import fails, screened_cohort, statuses, unknowns
from feasibility.bounded import UPPER

MISSING, ABSENT, OLD, UNDATED = "not recorded", "not in the file", "too old", "without a date"
AT_MOST, AT_LEAST, BETWEEN = "only an upper limit", "only a lower limit", "known only between two limits"
SEVERAL = "several values together"
COLUMNS = ["level", "id", "column", "cause", "n"]
ROWS = 20_000
SEED = 20240901


def why_unknown(screening, cohort: pd.DataFrame) -> pd.DataFrame:
    """For each criterion and clause, the patients for whom it is unknown, by the record that keeps it so.

    Columns level ("criterion" or "clause"), id, column, cause and n, the commonest cause first. Every patient counts
    once in each id, under the commonest cause that applies, so the rows of an id add up to its unknown patients.

    A column is a cause only if knowing it could decide: a missing one where some value would, an old one (or one
    without a date) where a fresh record of it would and the record as it stands does not, a bounded one where one of
    its own ends would. A column that does not apply (``asked_if``) is no hole. Where no single column decides, the
    cause is "several values together". Counts are exact up to 20,000 patients; beyond, ``attrs["sample"]`` says of
    how many patients, drawn with a fixed seed, the counts are.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, None, None], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets]))
    >>> why_unknown(screening, cohort)[["id", "cause", "n"]].to_dict("records")[0]
    {'id': 'I1', 'cause': 'not recorded', 'n': 2}
    """
    cohort = screened_cohort(cohort, screening)
    chosen = np.arange(len(cohort))
    if len(cohort) > ROWS:
        chosen = np.sort(np.random.default_rng(SEED).choice(len(cohort), ROWS, replace=False))
    sample = cohort.iloc[chosen]
    lines: list[tuple] = []
    found: dict[str, dict] = {}
    clauses: dict[str, tuple[list, np.ndarray, np.ndarray]] = {}
    for i, criterion in enumerate(screening.protocol.assessable):
        open_ = unknowns(screening, i)[chosen]
        found[criterion.id] = _causes(criterion, sample, open_, screening)
        lines += _lines("criterion", criterion.id, found[criterion.id], open_)
        out = fails(screening, i)[chosen]
        ids, any_open, any_out = clauses.get(criterion.clause, ([], open_, out))
        clauses[criterion.clause] = ([*ids, criterion.id], any_open | open_, any_out | out)
    for clause, (ids, any_open, any_out) in clauses.items():
        union: dict[tuple[str, str], np.ndarray] = {}
        for key, mask in ((k, m) for one in ids for k, m in found[one].items()):
            union[key] = union[key] | mask if key in union else mask
        lines += _lines("clause", clause, union, any_open & ~any_out)
    table = pd.DataFrame(lines, columns=COLUMNS)
    table.attrs["sample"] = len(chosen) if len(chosen) < len(cohort) else 0
    return table


def _lines(level: str, id_: str, causes: Mapping[tuple, np.ndarray], rows: np.ndarray) -> Iterable[tuple]:
    """Each patient under the commonest cause that applies, then under the commonest of the rest, and so on."""
    left = rows.copy()
    waiting = dict(causes)
    while left.any():
        counts = {key: int((mask & left).sum()) for key, mask in waiting.items()}
        # Several values together says less than any one column, so it comes last.
        best = max(counts, key=lambda k: (k[1] != SEVERAL and counts[k] > 0, counts[k]), default=None)
        if best is None or not counts[best]:
            yield level, id_, "", SEVERAL, int(left.sum())
            return
        yield level, id_, *best, counts[best]
        left &= ~waiting.pop(best)


def _causes(criterion, cohort: pd.DataFrame, open_: np.ndarray, screening) -> dict[tuple[str, str], np.ndarray]:
    """(column, cause) to the patients it holds for, among those for whom the criterion is unknown."""
    at = np.flatnonzero(open_)
    if not len(at):
        return {}
    rows = cohort.iloc[at]
    found: dict[tuple[str, str], np.ndarray] = {}
    for record in records(criterion, rows.columns):
        if record.column not in rows.columns:
            continue
        lower = rows[record.column]
        upper = rows[record.column + UPPER] if record.column + UPPER in record.parts else lower
        empty = lower.isna().to_numpy() & upper.isna().to_numpy()
        values = _values(criterion, record.column, cohort, screening)
        cause = np.full(len(rows), "", dtype=object)
        holes = empty & _asked(rows, record.column, screening)
        gone = MISSING if record.column not in screening.missing_columns else ABSENT
        cause[_decides(criterion, rows, record, values, holes)] = gone
        if upper is not lower:
            _inexact(criterion, rows, record, lower, upper, cause)
        if record.age:
            _aged(criterion, rows, record, values, ~empty & (cause == ""), cause)
        for word in dict.fromkeys(cause[cause != ""]):
            undated = word == UNDATED and record.age in screening.missing_columns
            key = (record.age, ABSENT) if undated else (record.column, word)
            mask = np.zeros(len(cohort), dtype=bool)
            mask[at[cause == word]] = True
            found[key] = found[key] | mask if key in found else mask
    return found


def _asked(rows: pd.DataFrame, name: str, screening) -> np.ndarray:
    """Where the question arises, as far as known."""
    columns = screening.protocol.columns
    asked_if = columns[name].asked_if if columns is not None and name in columns else None
    if asked_if is None or asked_if[0] not in rows.columns:
        return np.ones(len(rows), dtype=bool)
    return (rows[asked_if[0]] == asked_if[1]).fillna(True).to_numpy(dtype=bool)


def _inexact(criterion, rows, record: Record, lower, upper, cause) -> None:
    """Mark the records of which one end, were it the value, would decide."""
    low, high = (x.to_numpy(dtype=float, na_value=np.nan) for x in (lower, upper))
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    wide = ~(lower.isna() & upper.isna()).to_numpy() & (low != high)
    far = max(_values_near(criterion), default=0.0)
    ends = (np.maximum(low, -far), np.minimum(high, far))
    decided = np.zeros(len(rows), dtype=bool)
    for end in ends:
        decided |= _decided(criterion, rows, record, end, wide)
    open_above, open_below = ~np.isfinite(high), low <= 0
    words = np.select([open_above, open_below], [AT_LEAST, AT_MOST], BETWEEN)
    cause[decided] = words[decided]


def _aged(criterion, rows, record: Record, values: list, known: np.ndarray, cause) -> None:
    """Mark the records that do not decide because of their age: the same value, fresh, would."""
    ages = rows[record.age].to_numpy(dtype=float, na_value=np.nan)
    where = known & ~(ages <= 0)
    old = np.zeros(len(rows), dtype=bool)
    for value in values:
        left = where & ~old
        if not left.any():
            break
        fresh = _decided(criterion, rows, record, value, left, age=0.0)
        old |= fresh & ~_decided(criterion, rows, record, value, fresh)
    cause[old] = np.where(np.isnan(ages[old]), UNDATED, OLD)


def _decides(criterion, rows, record: Record, values: list, where: np.ndarray) -> np.ndarray:
    """Where some value of a fresh record would decide."""
    found = np.zeros(len(rows), dtype=bool)
    for value in values:
        left = where & ~found
        if not left.any():
            break
        found |= _decided(criterion, rows, record, value, left, age=0.0)
    return found


def _decided(criterion, rows, record: Record, value, where: np.ndarray, age: float | None = None) -> np.ndarray:
    """Where the criterion is decided with ``value`` (one, or one a row) in the record's place."""
    result = np.zeros(len(rows), dtype=bool)
    at = np.flatnonzero(where)
    if not len(at):
        return result
    some = rows.iloc[at]
    filled = value[at] if isinstance(value, np.ndarray) else [value] * len(at)
    fresh = {c: pd.array(filled, dtype=some[c].dtype) for c in record.parts}
    if record.age and age is not None:
        fresh[record.age] = pd.array([age] * len(at), dtype=some[record.age].dtype)
    result[at] = ~statuses(criterion, some.assign(**fresh))[1]
    return result


def _values(criterion, name: str, cohort: pd.DataFrame, screening) -> list:
    """Values of every kind the cell could hold: all codes; far from and next to every limit; some that occur."""
    column = cohort[name]
    dtype = column.dtype
    if isinstance(dtype, pd.BooleanDtype):
        return [True, False]
    present = column.dropna().drop_duplicates().sort_values()
    if isinstance(dtype, pd.StringDtype):
        columns = screening.protocol.columns
        declared = columns[name].values if columns is not None and name in columns else ()
        return list(dict.fromkeys([*declared, *present.iloc[:24], "a value of no list"]))
    some = present.iloc[np.unique(np.linspace(0, len(present) - 1, 5).astype(int))] if len(present) else []
    near = _values_near(criterion)
    far = max(near)
    signed = [0.0, far] if name.startswith(AGES) else [-far, 0.0, far]
    pool = list(dict.fromkeys([*signed, *map(float, some), *near]))
    if isinstance(dtype, pd.Int64Dtype):
        return list(dict.fromkeys(int(v) for v in pool if np.isfinite(v)))
    return [*pool, np.inf] if name.startswith(AGES) else pool


def _values_near(criterion) -> list[float]:
    limits = [v for v in criterion.values.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    finite = [float(v) for v in limits if np.isfinite(v)]
    near = {x for v in finite for x in (v - 1, v, v + 1)}
    return [*sorted(near), 1000.0 * (2 + int(max(map(abs, finite), default=0.0)))]
