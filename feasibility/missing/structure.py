"""What an imputation may put where: the records of a patient table, their holes, and who may lend a value.

A record is a value with its upper bound and its age: all of it comes from one donor, so that a value and its age agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from feasibility.analysis.call_list import AGES
from feasibility.analysis.screened import statuses, unknowns
from feasibility.bounded import UPPER, as_range

ALL, VALUE, AGE = 0, 1, 2
"""What a hole lacks: the whole record, only the value (its age is known), or only the age."""
PROBES = 400


@dataclass(frozen=True, eq=False)
class Record:
    """A column with its bound and its age, for the patients at work on.

    ``holes`` are their rows to impute, ``lacks`` what each hole lacks, ``lo`` and ``hi`` the bounds within which its
    value is known to lie. ``donors`` marks who may lend a record. ``read`` says that a criterion reads it; others only
    help to predict. ``asked_if`` and ``fills`` are the declared structural rules.
    """

    column: str
    parts: tuple[str, ...]
    ages: tuple[str, ...]
    values: pd.api.extensions.ExtensionArray = field(repr=False)
    known: np.ndarray = field(repr=False)
    holes: np.ndarray = field(repr=False)
    lacks: np.ndarray = field(repr=False)
    lo: np.ndarray = field(repr=False)
    hi: np.ndarray = field(repr=False)
    donors: np.ndarray = field(repr=False)
    read: bool
    asked_if: tuple | None = None
    fills: tuple = ()
    limit: float = np.inf
    hard: tuple[float, float] | None = None
    dtype: str = "Float64"

    @property
    def numeric(self) -> bool:
        return self.dtype in ("Float64", "Int64")


@dataclass(frozen=True)
class Rule:
    """A declared fill with its build settings in force: what a missing value is where ``when`` holds."""

    value: object
    age: object
    when: Callable[[View], pd.Series]
    reads: tuple[str, ...]
    optional: tuple[str, ...]


class View:
    """Columns as a declared fill reads them: plain, or ranges where bounds exist; unknown where the table has none."""

    def __init__(self, frame: pd.DataFrame):
        self._frame = frame

    def __getitem__(self, name: str):
        if name not in self._frame:
            return pd.Series(pd.NA, index=self._frame.index, dtype="Float64")
        upper = self._frame[name + UPPER] if name + UPPER in self._frame else None
        return as_range(self._frame[name], upper)


def holds(rule: Rule, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Where the condition of a fill is known to hold, and where it is unknown."""
    mask = rule.when(View(frame)).astype("boolean")
    return mask.fillna(False).to_numpy(dtype=bool), mask.isna().to_numpy()


def companions(names, columns) -> dict[str, str]:
    """Each column to the column that holds its age: as declared, or by its name."""
    declared = {} if columns is None else {c.name: c.companion for c in columns.columns if c.companion}
    found = {x: age for x, age in declared.items() if x in names and age in names}
    for name in names:
        base = next((name.removeprefix(a) for a in AGES if name.startswith(a)), "")
        if base and base in names and base not in found:
            found[base] = name
    return found


def look_backs(cohort: pd.DataFrame, screening, ages: Mapping[str, str]) -> dict[str, float]:
    """The oldest a record may be for every criterion that reads it; found by asking the criteria themselves.

    A record of a few real patients is given every kind of value, just inside and just outside each look-back in force:
    where the answer changes, that look-back is its.
    """
    limits: dict[str, float] = {}
    for i, criterion in enumerate(screening.protocol.assessable):
        lookbacks = {float(criterion.values[s.name]) for s in criterion.settings if s.is_lookback}
        rows = np.flatnonzero(unknowns(screening, i))[:PROBES]
        if not lookbacks or not len(rows):
            continue
        some = cohort.iloc[np.concatenate([rows, np.arange(min(len(cohort), PROBES))])]
        for name, age in ages.items():
            if name not in criterion.reads or age not in criterion.reads:
                continue
            for limit in sorted(x for x in lookbacks if np.isfinite(x)):
                if limit < limits.get(name, np.inf) and _ends_at(criterion, some, name, age, limit):
                    limits[name] = limit
                    break
    return limits


def _ends_at(criterion, rows: pd.DataFrame, name: str, age: str, limit: float) -> bool:
    known = rows[name].dropna()
    if str(known.dtype) in ("Float64", "Int64"):
        numbers = [v for v in criterion.values.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
        tried = [*known.sort_values().iloc[[0, -1]].tolist()] if len(known) else []
        tried += [x for v in numbers if np.isfinite(v) for x in (max(0, int(v) - 1), int(v) + 1)]
    else:
        tried = [True, False] if str(known.dtype) == "boolean" else list(pd.unique(known))
    for value in tried:
        answers = []
        for old in (limit, limit + 1):
            parts = {c: pd.array([value] * len(rows), dtype=rows[c].dtype) for c in _parts(name, rows)}
            parts |= {c: pd.array([old] * len(rows), dtype=rows[c].dtype) for c in _parts(age, rows)}
            answers.append(statuses(criterion, rows.assign(**parts)))
        if any((a != b).any() for a, b in zip(*answers, strict=True)):
            return True
    return False


def _parts(name: str, frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(c for c in (name, name + UPPER) if c in frame.columns)


def records(cohort: pd.DataFrame, screening, rows: np.ndarray, fit: np.ndarray) -> list[Record]:
    """Every record of the working ``rows`` of the cohort; ``fit`` marks, among these, the rows that may be donors."""
    columns = screening.protocol.columns
    reads = set(screening.protocol.reads)
    frame = cohort.iloc[rows].reset_index(drop=True)
    ages = companions([c for c in frame.columns if not c.endswith(UPPER)], columns)
    limits = look_backs(cohort, screening, {x: a for x, a in ages.items() if a in reads})
    built = getattr(cohort, "attrs", {}).get("feasibility", {}).get("settings") or {}
    settings = ({} if columns is None else columns.settings()) | dict(built)
    made = []
    for name in frame.columns:
        if name.endswith(UPPER) or name in ages.values():
            continue
        declared = columns[name] if columns is not None and name in columns else None
        age = ages.get(name, "")
        read = name in reads or age in reads
        made.append(_record(frame, name, age if age in reads else "", declared, limits.get(name, np.inf), fit, read,
                            settings))  # fmt: skip
    return made


def _record(frame, name, age, declared, limit, fit, read, settings) -> Record:
    n = len(frame)
    parts, dtype = _parts(name, frame), str(frame[name].dtype)
    dtype = "string" if dtype.startswith("string") else dtype
    missing = frame[name].isna().to_numpy()
    lo, hi = np.full(n, -np.inf), np.full(n, np.inf)
    exact = ~missing
    if len(parts) > 1:
        low, high = (frame[c].to_numpy(dtype=float, na_value=np.nan) for c in parts)
        missing = np.isnan(low) & np.isnan(high)
        lo, hi = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
        exact = ~missing & (lo == hi)
    undated = old = np.zeros(n, dtype=bool)
    if age:
        days = frame[age].to_numpy(dtype=float, na_value=np.nan)
        undated, old = np.isnan(days), days > limit
    asked, pending_parent = _asked(frame, declared)
    fills = () if declared is None else _rules(frame, declared, settings)
    hole = (~exact | undated | old) & (asked | pending_parent)
    lacks = np.where(missing | old | (~exact & undated), ALL, np.where(exact, AGE, VALUE))
    lacks[missing & ~undated & ~old & bool(age)] = VALUE
    free = missing | old
    donors = _donors(frame, fit & exact & ~undated & ~old & asked, fills)
    holes = np.flatnonzero(hole)
    return Record(
        name, parts, _parts(age, frame) if age else (), frame[name].array, exact & ~old, holes, lacks[holes],
        np.where(free, -np.inf, lo)[holes], np.where(free, np.inf, hi)[holes], donors, read,
        declared.asked_if if declared is not None else None, fills, limit,
        declared.hard if declared is not None else None, dtype,
    )  # fmt: skip


def _rules(frame: pd.DataFrame, declared, settings) -> tuple[Rule, ...]:
    """The fills that give one value. Those that compute one have done so already where they can."""
    made = []
    for fill in declared.fills:
        on = not fill.setting or settings.get(f"{declared.name}.{fill.setting}", False)
        if on and not callable(fill.value) and all(c in frame for c in fill.reads):
            when = _second(fill.when, settings[f"{declared.name}.{fill.takes}"]) if fill.takes else fill.when
            made.append(Rule(fill.value, fill.age, when, fill.reads, fill.optional))
    return tuple(made)


def _second(when, value):
    return partial(lambda of, second, view: of(view, second), when, value)


def _asked(frame: pd.DataFrame, declared) -> tuple[np.ndarray, np.ndarray]:
    """Where the question is known to arise, and where that is unknown."""
    rule = declared.asked_if if declared is not None else None
    if rule is None or rule[0] not in frame:
        return np.ones(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
    mask = (frame[rule[0]] == rule[1]).astype("boolean")
    return mask.fillna(False).to_numpy(dtype=bool), mask.isna().to_numpy()


def _donors(frame: pd.DataFrame, able: np.ndarray, fills: tuple, least: int = 10) -> np.ndarray:
    """Patients with a value of their own. One that a rule implies says nothing about those to whom no rule applies."""
    implied, unsure = np.zeros(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
    for fill in fills:
        yes, open_ = holds(fill, frame)
        implied, unsure = implied | yes, unsure | open_
    measured = able & ~implied & ~unsure
    return measured if measured.sum() >= least else able & ~implied
