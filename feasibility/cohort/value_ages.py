"""How old the values of a cohort are at the index date, and what a shorter look-back would cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.fills import by_rule

QUARTILES = {"minimum": 0.0, "q1": 0.25, "median": 0.5, "q3": 0.75, "maximum": 1.0}
TIGHTER = {"days": (7, 14, 28, 56), "months": (1, 3, 6, 12)}
"""Look-backs one might choose instead, in the unit a column's age is counted in."""
_WIDTHS = {"days": (1, 2, 7, 14, 28, 91, 182, 364), "months": (1, 2, 3, 6, 12, 24, 60)}
_MAX_BINS = 24


def value_ages(report) -> pd.DataFrame:
    """One row a dated column: how many values have an age, how many are too old, the window, and a summary."""
    rows = {}
    for name in _dated(report):
        column, ages = report.table[name], finite_ages(report, name)
        never = int(np.isinf(report.cohort[column.companion].to_numpy(dtype=float, na_value=np.nan)).sum())
        stale = int(report.columns.loc[name].get("stale", 0))
        if len(ages) or never or stale:
            summary = np.quantile(ages, list(QUARTILES.values())) if len(ages) else np.full(len(QUARTILES), np.nan)
            rows[name] = {
                "unit": column.dated, "n_known": len(ages), "n_never": never, "n_stale": stale,
                "window": window(report, name), **dict(zip(QUARTILES, summary.round(6).tolist(), strict=True)),
            }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis("column")


def age_bins(report) -> pd.DataFrame:
    """Counts of ages in equal bins, right end included and the first one's left: columns column, left, right, n."""
    parts = []
    for name in _dated(report):
        ages = finite_ages(report, name)
        if len(ages):
            last = np.nanmax([ages.max(), window(report, name), 1])
            widths = _WIDTHS[report.table[name].dated]
            width = next((w for w in widths if last <= w * _MAX_BINS), widths[-1])
            edges = np.arange(int(np.ceil(last / width)) + 1) * float(width)
            # A look-back includes its last day, so a bin that ends on it must as well.
            n = np.bincount(np.maximum(np.ceil(ages / width).astype(int) - 1, 0), minlength=len(edges) - 1)
            parts.append(pd.DataFrame({"column": name, "left": edges[:-1], "right": edges[1:], "n": n}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["column", "left", "right", "n"])


def tighter_windows(report) -> pd.DataFrame:
    """What shorter look-backs would cost: columns column, unit, window, n_lost, share_lost (of values with an age)."""
    rows = []
    for name in _dated(report):
        ages, unit, now = finite_ages(report, name), report.table[name].dated, window(report, name)
        for shorter in TIGHTER[unit] if len(ages) else ():
            if not shorter >= now:
                lost = int((ages > shorter).sum())
                rows.append((name, unit, shorter, lost, lost / len(ages)))
    return pd.DataFrame(rows, columns=["column", "unit", "window", "n_lost", "share_lost"])


def finite_ages(report, name: str) -> np.ndarray:
    """The ages of one column's known values, without those a rule filled; between bounds, the older bound."""
    cohort, companion = report.cohort, report.table[name].companion
    older = companion + UPPER if companion + UPPER in cohort else companion
    found = cohort[name].notna().to_numpy() & ~by_rule(cohort, report.table[name])
    ages = cohort[older].to_numpy(dtype=float, na_value=np.nan)[found]
    return ages[np.isfinite(ages)]


def window(report, name: str) -> float:
    """The look-back a column was built with, in the unit of its age; NaN where there is none."""
    column = report.table[name]
    key = f"window_{column.dated}"
    stated = report.settings.get(f"{name}.{key}", column.settings.get(key))
    return float(stated) if isinstance(stated, (int, float)) and np.isfinite(stated) else np.nan


def _dated(report) -> list[str]:
    return [n for n in report.present if report.table[n].companion in report.cohort.columns]
