"""The cohort behind a screening, for analyses that look at values again."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER, as_range
from feasibility.errors import FeasibilityError, ScreeningError

DTYPES = {"Float64": "Float64", "Int64": "Int64", "boolean": "boolean", "string": pd.StringDtype("python")}


def screened_cohort(cohort, screening) -> pd.DataFrame:
    """The cohort with every column the screening used; columns it did without are unknown for everyone here too.

    Raises FeasibilityError if these are not the patients that were screened.
    """
    if not hasattr(screening, "protocol"):
        raise FeasibilityError(
            f"A Screening is needed, made by screen(cohort, protocol), got {type(screening).__name__}:"
            " counts alone do not say by how much a patient missed."
        )
    if not isinstance(cohort, pd.DataFrame):
        raise FeasibilityError(f"The cohort must be a pandas DataFrame, got {type(cohort).__name__}.")
    index = cohort.index
    if isinstance(index, pd.MultiIndex) and "patient_id" in index.names:
        index = index.get_level_values("patient_id")
    if not index.equals(screening.index):
        raise FeasibilityError(
            f"The cohort ({len(cohort):,} rows) does not hold the {len(screening.index):,} patients that were screened,"
            " in the same order. Hand over the very table that screen() was given."
        )
    gone = {
        name: pd.array([pd.NA] * len(cohort), dtype=dtype_of(screening, name)) for name in screening.missing_columns
    }
    return cohort.assign(**gone) if gone else cohort


def dtype_of(screening, name: str):
    """The dtype of a column that the cohort lacks."""
    columns = screening.protocol.columns
    return DTYPES[columns[name].dtype] if columns is not None and name in columns else "boolean"


def fails(screening, i: int) -> np.ndarray:
    """Who fails criterion ``i``."""
    return _bit(screening.failed, i)


def unknowns(screening, i: int) -> np.ndarray:
    """For whom criterion ``i`` is unknown."""
    return _bit(screening.unknown, i)


def counted(words: np.ndarray) -> np.ndarray:
    """How many criteria are marked for each patient."""
    return np.bitwise_count(words).sum(axis=1, dtype=np.int64)


def _bit(words: np.ndarray, i: int) -> np.ndarray:
    return (words[:, i // 64] >> np.uint64(i % 64)).astype(np.uint8) & 1 == 1


def statuses(criterion, cohort: pd.DataFrame, **values) -> tuple[np.ndarray, np.ndarray]:
    """(failed, unknown) of one criterion for each row; ``values`` replace thresholds, one number or one a row."""
    n = len(cohort)
    nothing = pd.Series(pd.array([pd.NA] * n, dtype="boolean"))
    columns = dict.fromkeys(criterion.columns, nothing)
    for name in criterion.reads:
        plain = {c: pd.Series(cohort[c].array) for c in (name, name + UPPER) if c in cohort.columns}
        columns[name] = as_range(plain[name], plain.get(name + UPPER))
    met = criterion.evaluate(columns, **values)
    if not isinstance(met, pd.Series) or str(met.dtype) != "boolean" or len(met) != n:
        raise ScreeningError(f"Criterion {criterion.id} ({criterion.name}) did not answer once for each patient.")
    hole = met.isna().to_numpy()
    yes = met.to_numpy(dtype=bool, na_value=False)
    return (~yes & ~hole if criterion.kind == "inclusion" else yes), hole
