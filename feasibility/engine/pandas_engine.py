"""The reference: criteria evaluated on whole pandas columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from feasibility.bounded import UPPER, as_range
from feasibility.errors import ScreeningError, did_you_mean

NULLABLE = ("Float64", "Int64", "boolean")


def hand_out(cohort: pd.DataFrame, names: Iterable[str]) -> dict:
    """The named columns as criteria see them: Series with one shared RangeIndex, or a Range where bounds exist.

    One shared index, because pandas would otherwise widen ``a & b`` to the union of two different ones.
    """
    index = pd.RangeIndex(len(cohort))
    columns = {}
    for name in names:
        lower = _aligned(cohort, name, index)
        upper = _aligned(cohort, name + UPPER, index) if name + UPPER in cohort.columns else None
        columns[name] = as_range(lower, upper)
    return columns


def _aligned(cohort: pd.DataFrame, name: str, index: pd.RangeIndex) -> pd.Series:
    return pd.Series(cohort[name].array, index=index, name=name, copy=False)


def evaluate(criterion, cohort: pd.DataFrame) -> pd.Series:
    """Whether the criterion as worded is met, with the cohort's own index."""
    reads = criterion.reads
    missing = [c for c in reads if c not in cohort.columns]
    if missing:
        raise ScreeningError(missing_column_message(criterion, missing[0], cohort.columns))
    mask = evaluate_on(criterion, hand_out(cohort, reads), len(cohort))
    return mask.set_axis(cohort.index)


def evaluate_on(criterion, columns: Mapping, n: int, **overrides) -> pd.Series:
    """The criterion's three-valued mask over handed-out columns; refuses an answer that is not one per patient.

    A column that the readings in force do not read may be absent; the function sees it as unknown throughout.
    """
    where = f"Criterion {criterion.id} ({criterion.name})"
    unread = [c for c in criterion.columns if c not in columns]
    if unread:
        nothing = pd.Series(pd.array([pd.NA] * n, dtype="boolean"))
        columns = {**columns, **dict.fromkeys(unread, nothing)}
    try:
        mask = criterion.evaluate(columns, **overrides)
    except ValueError as error:
        if "truth value" in str(error):
            raise ScreeningError(
                f"{where} asks Python for the truth value of a column ('if', 'and', 'or' or 18 <= x <= 70)."
                " Write (18 <= x) & (x <= 70), with &, | and ~."
            ) from None
        raise
    return check_mask(mask, n, where)


def check_mask(mask, n: int, where: str) -> pd.Series:
    """Guard (a): a nullable boolean Series with one answer for every patient."""
    if not isinstance(mask, pd.Series):
        raise ScreeningError(
            f"{where} returned {type(mask).__name__}, not a column of answers. Return a comparison of cohort columns."
        )
    dtype = str(mask.dtype)
    if dtype == "bool[pyarrow]":
        raise ScreeningError(
            f"{where} returned {dtype}: a text column of type 'str' or 'string' is not three-valued with & and |."
            " Read that column as string[python] (pd.StringDtype('python')), which read_cohort and as_cohort do."
        )
    if dtype != "boolean":
        raise ScreeningError(
            f"{where} returned a mask of dtype {dtype}; plain bool cannot say 'unknown'."
            " Compare nullable columns (Float64, Int64, boolean, string[python]) and do not convert the result."
        )
    if len(mask) != n or not mask.index.equals(pd.RangeIndex(n)):
        raise ScreeningError(
            f"{where} returned {len(mask)} answers for {n} patients. A criterion never drops or reorders rows."
        )
    return mask


def missing_column_message(criterion, column: str, known: Iterable[str]) -> str:
    return (
        f"Criterion {criterion.id} ({criterion.name}) needs the column {column!r}, which the cohort does not have."
        f"{did_you_mean(column, known, show_all_up_to=0)}"
        ' Use screen(..., missing_columns="unknown") to make it unknown for every patient.'
    )
