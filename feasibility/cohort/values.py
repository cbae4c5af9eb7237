"""What a cohort may hold: the last look before it is screened, since a wrong value decides as firmly as a right one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.schema import CohortTable
from feasibility.errors import CohortError

BLOCK = 1 << 16
"""Patients looked at together, so that they stay in the processor's cache."""
MOST = 64
"""Strings up to which a column of codes is told apart by reference."""
ADVICE = "read_cohort(file) and as_cohort(frame) set such values aside and count them."


def check_values(cohort: pd.DataFrame, columns: CohortTable | None) -> None:
    """Refuse NaN that is not NA, bounds the wrong way round, and values outside a column's declaration.

    ``cohort`` has nullable columns; those not declared are checked for NaN and bounds only. Raises CohortError with the
    column and the number of patients, never with a value.
    """
    for name in cohort.columns:
        declared = columns[name] if columns is not None and name in columns else None
        if pd.api.types.is_numeric_dtype(cohort[name].dtype) and cohort[name].dtype != "boolean":
            _check_numbers(cohort, name, declared)
        elif declared is not None and declared.values:
            codes = _distinct(cohort[name])
            unknown = [c for c in codes if c not in declared.values]
            if unknown:
                n = int(cohort[name].isin(unknown).fillna(False).sum())
                refuse(
                    name, n, f"a code that is not declared ({len(unknown)} codes; known: {', '.join(declared.values)})"
                )


def _check_numbers(cohort: pd.DataFrame, name: str, declared) -> None:
    column = cohort[name]
    if name + UPPER not in cohort.columns and _fine(column, declared):
        return
    missing = column.isna().to_numpy()
    values = column.to_numpy(dtype=float, na_value=0.0)
    nan = np.isnan(values)
    if nan.any():
        refuse(name, int(nan.sum()), "NaN that is not <NA>, which compares as False")
    if name + UPPER in cohort.columns:
        upper = cohort[name + UPPER].to_numpy(dtype=float, na_value=np.inf)
        reversed_ = ~missing & (values > upper)
        if reversed_.any():
            refuse(name, int(reversed_.sum()), "a lower bound above the upper one")
    if declared is None or missing.all():
        return
    if declared.dtype == "Int64" and column.dtype != "Int64":
        fractional = ~missing & np.isfinite(values) & (values != np.floor(values))
        if fractional.any():
            refuse(name, int(fractional.sum()), "a fraction where whole numbers are declared")
    if declared.hard is not None:
        low, high = declared.hard
        outside = ~missing & ((values < low) | (values > high))
        if outside.any():
            refuse(name, int(outside.sum()), f"a value outside {low:g} to {high:g}, which is impossible")


def _fine(column: pd.Series, declared) -> bool:
    """Whether a quick look at the numbers as they lie finds nothing to refuse."""
    array = column.array
    if not hasattr(array, "_mask") or (declared is not None and declared.dtype == "Int64" and column.dtype != "Int64"):
        return False
    low, high = (-np.inf, np.inf) if declared is None or declared.hard is None else declared.hard
    for start in range(0, len(array), BLOCK):
        values = array._data[start : start + BLOCK]  # pandas has no public way without a copy
        fine = values >= low  # NaN is not
        fine &= values <= high
        fine |= array._mask[start : start + BLOCK]
        if not fine.all():
            return False
    return True


def _distinct(column: pd.Series) -> list:
    """The distinct codes of a column; few strings referred to by many patients are told apart by reference."""
    objects = np.ascontiguousarray(column.array.to_numpy(dtype=object))
    references = np.frombuffer(objects, dtype=np.intp) if len(objects) else np.zeros(0, dtype=np.intp)
    left, found = references, []
    while len(left):
        if len(found) > MOST:
            return list(pd.unique(column.dropna()))
        found.append(objects[int((references == left[0]).argmax())])
        left = left[left != left[0]]
    return sorted({text for text in found if isinstance(text, str)})


def refuse(name: str, n: int, what: str) -> None:
    raise CohortError(f"Column {name!r}: {n:,} patients have {what}. {ADVICE}")
