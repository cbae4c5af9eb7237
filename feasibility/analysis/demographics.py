"""Who is lost at each step of the funnel: age, sex and site of those excluded against those who stay."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, did_you_mean

VARIABLES = ("age_years", "sex", "site_id")
COLUMNS = (
    "n_excluded", "n_remaining", "unknown_excluded", "unknown_remaining", "excluded", "remaining", "smd",
    "smd_from_all",
)  # fmt: skip


def demographics(screening, cohort: pd.DataFrame, variables: Iterable[str] | None = None) -> pd.DataFrame:
    """For each step of the funnel, the patients it excludes against those who remain.

    Index (criterion, variable, level); ``level`` is "mean" for a number and the category otherwise. Columns:
    n_excluded, n_remaining (patients with a known value), unknown_excluded, unknown_remaining (without one),
    excluded, remaining (mean, or share of the category, among the known), smd: the standardised difference,
    (excluded - remaining) over the root of the mean of both variances; above 0.1 in size is usually called
    imbalanced; smd_from_all: the same for those who remain after the step against the whole cohort. A step that
    excludes nobody, or everybody, has no difference (NaN).
    ``variables`` are cohort columns; by default age_years, sex and site_id where the cohort has them.
    """
    if variables is None:
        variables = [v for v in VARIABLES if v in cohort.columns]
    for name in variables:
        if name not in cohort.columns:
            raise FeasibilityError(f"The cohort has no column {name!r}.{did_you_mean(name, cohort.columns)}")
    if len(cohort) != screening.n_patients:
        raise FeasibilityError(f"The cohort has {len(cohort)} rows, but {screening.n_patients} patients were screened.")
    described = {name: _levels(cohort[name]) for name in variables}
    inside = np.ones(len(cohort), dtype=bool)
    rows = {}
    for i, label in enumerate(screening.labels):
        fails = (screening.failed[:, i // 64] >> np.uint64(i % 64)).astype(np.uint8) & 1 == 1
        out, inside = inside & fails, inside & ~fails
        for name, levels in described.items():
            for level, (values, known) in levels.items():
                rows[label.id, name, level] = _compare(values, known, out, inside)
    index = pd.MultiIndex.from_tuples(rows, names=["criterion", "variable", "level"])
    return pd.DataFrame(list(rows.values()), index=index, columns=list(COLUMNS))


def _levels(column: pd.Series) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each level of a variable as numbers, with a mask of where it is known."""
    known = column.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return {"mean": (column.to_numpy(dtype=float, na_value=np.nan), known)}
    codes, categories = pd.factorize(column, sort=True)
    return {str(c): ((codes == k).astype(float), known) for k, c in enumerate(categories)}


def _compare(values, known, out, stay):
    a, b = values[out & known], values[stay & known]
    counts = (len(a), len(b), int((out & ~known).sum()), int((stay & ~known).sum()))
    means = (a.mean() if len(a) else np.nan, b.mean() if len(b) else np.nan)
    return (*counts, *means, _smd(a, b), _smd(b, values[known]))


def _smd(a: np.ndarray, b: np.ndarray) -> float:
    """Standardised difference of two groups' means; NaN where a group is empty or neither varies."""
    if not len(a) or not len(b):
        return np.nan
    difference, spread = a.mean() - b.mean(), np.sqrt((a.var() + b.var()) / 2)
    return difference / spread if spread > 0 else (0.0 if difference == 0 else np.nan)
