"""The declared rules by which missing cells get a value; every filled cell is counted with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER, Range, as_range
from feasibility.cohort.raw import BuildRecord
from feasibility.cohort.schema import DTYPES, CohortTable, Column, Fill


class _View:
    """The cohort as a fill sees it: one rail of bounded columns, or ranges."""

    def __init__(self, cohort: pd.DataFrame, rail: str, optional: tuple[str, ...] = ()):
        self._cohort, self._rail, self._optional = cohort, rail, optional

    def __getitem__(self, name: str):
        if name not in self._cohort and name in self._optional:
            return pd.Series(pd.NA, index=self._cohort.index, dtype="Float64")
        column = self._cohort[name]
        if name + UPPER not in self._cohort:
            return column
        upper = self._cohort[name + UPPER]
        return {"lower": column, "upper": upper}[self._rail] if self._rail != "both" else as_range(column, upper)


def apply_fills(
    cohort: pd.DataFrame,
    columns: CohortTable,
    settings: Mapping[str, Any] | None = None,
    *,
    set_aside: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Fill missing cells by the rules the columns declare, in the order of declaration.

    A rule applies if its setting (``column.setting``) is on and every column it reads is there; the column then exists,
    whether or not any patient is filled. A cell is filled only where it is missing and the rule's condition is known to
    hold. ``set_aside`` masks, per column, the cells that held something which could not be used: they say that somebody
    was tested, so no rule for the untested may fill them. A value computed from bounded columns is bounded; it
    must not fall when a column it reads rises.

    Returns the filled cohort, a new frame if anything was filled; ``attrs["feasibility"]["events"]`` gains one event of
    kind "filled" per rule that filled something.
    """
    settings = columns.settings() | dict(settings or {})
    # Rules are evaluated on a plain index: aligning on patient ids would be slow and could repeat rows.
    index, plain = cohort.index, cohort.reset_index(drop=True)
    events = []
    for column in columns.columns:
        for fill in column.fills:
            if fill.setting and not settings.get(f"{column.name}.{fill.setting}", False):
                continue
            if all(name in plain or name in fill.optional for name in fill.reads):
                if column.name not in plain:
                    plain = _created(plain, column)
                taken = (settings[f"{column.name}.{fill.takes}"],) if fill.takes else ()
                plain, n = _apply(plain, column, fill, taken, (set_aside or {}).get(column.name))
                if n:
                    events.append(
                        {
                            "column": column.name,
                            "file_column": "",
                            "kind": "filled",
                            "reason": fill.why,
                            "n": n,
                            "rows": [],
                        }
                    )
    if not events and len(plain.columns) == len(cohort.columns):
        return cohort
    plain.index = index
    facts = dict(cohort.attrs.get("feasibility", {}))
    plain.attrs = dict(cohort.attrs) | {
        "feasibility": BuildRecord(facts | {"events": [*facts.get("events", []), *events]})
    }
    return plain


def by_rule(cohort: pd.DataFrame, column: Column) -> np.ndarray:
    """Where a value is what a rule of a fixed age says (no graft, no disease of the graft): nobody measured it."""
    result = np.zeros(len(cohort), dtype=bool)
    for fill in column.fills:
        if fill.age is None or callable(fill.age) or callable(fill.value) or column.companion not in cohort:
            continue
        if all(name in cohort or name in fill.optional for name in fill.reads) and not fill.takes:
            holds = fill.when(_View(cohort, "both", fill.optional)).astype("boolean").fillna(False)
            same = (cohort[column.name] == fill.value) & (cohort[column.companion] == fill.age)
            result |= (holds & same.astype("boolean").fillna(False)).to_numpy(dtype=bool)
    return result


def _created(cohort: pd.DataFrame, column: Column) -> pd.DataFrame:
    """The cohort with an empty column: which columns there are must not depend on which patients there are."""
    made = {column.name: pd.Series(pd.NA, index=cohort.index, dtype=DTYPES[column.dtype])}
    if column.companion and column.companion not in cohort and any(f.age is not None for f in column.fills):
        made[column.companion] = pd.Series(pd.NA, index=cohort.index, dtype="Float64")
    return cohort.assign(**made)


def _apply(cohort: pd.DataFrame, column: Column, fill: Fill, taken: tuple, aside=None) -> tuple[pd.DataFrame, int]:
    missing = cohort[column.name].isna()
    if aside is not None:
        missing &= ~aside
    if not missing.any():
        return cohort, 0
    holds = fill.when(_View(cohort, "both", fill.optional), *taken)
    # An unknown condition fills nothing.
    fills = (missing & holds.astype("boolean").fillna(False)).to_numpy(dtype=bool)
    if not fills.any():
        return cohort, 0
    lower, upper = _corners(cohort, fill.value, fill.optional)
    if isinstance(lower, pd.Series):
        fills &= lower.notna().to_numpy()
        if not fills.any():
            return cohort, 0
    cohort = cohort.copy(deep=False)  # columns are replaced whole, never written into
    _put(cohort, column, fills, lower, upper)
    if fill.age is not None and column.companion:
        try:
            low, high = _corners(cohort, fill.age, fill.optional)
        except KeyError:  # the age it would take is not in this cohort: unknown
            low = high = pd.NA
        _put(cohort, Column(name=column.companion, dtype="Float64", doc=""), fills, low, high)
    return cohort, int(fills.sum())


def _corners(cohort: pd.DataFrame, value, optional=()):
    """Lower and upper value: a function is evaluated on the lower and on the upper bounds of what it reads."""
    if not callable(value):
        return value, value
    ends = [_ends(value(_View(cohort, rail, optional))) for rail in ("lower", "upper")]
    return _least(ends[0][0], ends[1][0]), _most(ends[0][1], ends[1][1])


def _ends(value):
    return (value.lo, value.hi) if isinstance(value, Range) else (value, value)


def _least(a, b):
    return a.where(a <= b, b) if isinstance(a, pd.Series) else min(a, b)


def _most(a, b):
    return a.where(a >= b, b) if isinstance(a, pd.Series) else max(a, b)


def _put(cohort: pd.DataFrame, column: Column, rows: np.ndarray, lower, upper) -> None:
    dtype = DTYPES[column.dtype]
    if column.name not in cohort:
        cohort[column.name] = pd.Series(pd.NA, index=cohort.index, dtype=dtype)
    low, high = _at(lower, rows, dtype), _at(upper, rows, dtype)
    bounded = column.numeric and bool((low != high).fillna(True).any())
    name = column.name + UPPER
    if bounded and name not in cohort:
        # Beside the column itself; exact values have both ends equal.
        cohort.insert(cohort.columns.get_loc(column.name) + 1, name, cohort[column.name].copy())
    target = cohort[column.name].copy()
    target[rows] = low.array
    cohort[column.name] = target
    if name in cohort:
        target = cohort[name].copy()
        target[rows] = high.array
        cohort[name] = target


def _at(value, rows: np.ndarray, dtype) -> pd.Series:
    if isinstance(value, pd.Series):
        return value[rows].astype(dtype).reset_index(drop=True)
    return pd.Series([value] * int(rows.sum()), dtype=dtype)
