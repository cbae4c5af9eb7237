"""Whether a cohort built from the registry's events is the registry's, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events import RegistryEvents

TOLERANCE = 1e-9
"""Relative: units are converted back and forth."""
EXCUSED = ("unknown", "contains", "may_be_unknown")


def unexplained(events: RegistryEvents, cohort: pd.DataFrame, cannot: Iterable[str] = ()) -> pd.DataFrame:
    """The cells of a cohort that neither equal the registry's nor are explained by the ledger: none, it is hoped.

    ``cohort`` is indexed by (patient_id, index_date) and has the declared fills applied; ``cannot`` names columns that
    the format does not carry: they may be unknown or bounds that hold the truth, and texts are not compared. One row a
    cell: patient_id, column, problem ("lost": unknown without a reason; "different": a wrong value), value, upper,
    expected, truth, outcome.
    """
    from feasibility.cohort.fills import apply_fills

    ids = events.patient_ids
    built = cohort.set_axis(cohort.index.get_level_values(0)).reindex(ids)
    filled = apply_fills(events.expected(), AML_COLUMNS, AML_COLUMNS.settings()).reset_index(drop=True)
    truth = events.registry.truth.reset_index(drop=True)
    noted = dict(tuple(events.ledger.groupby("column")[["row", "outcome"]]))
    found = [
        _column(name, built.reset_index(drop=True), filled, truth[name], noted.get(name), name in set(cannot))
        for name in AML_COLUMNS
        if name in built
    ]
    result = pd.concat(found, ignore_index=True)
    result.insert(0, "patient_id", ids[result.pop("row").to_numpy(int)])
    return result


def _column(name, built, filled, truth, noted, excused: bool) -> pd.DataFrame:
    outcome = np.full(len(built), "", dtype=object)
    if noted is not None:
        outcome[noted["row"].to_numpy(int)] = noted["outcome"].to_numpy()
    low, high = _ends(built, name)
    want_low, want_high = _ends(filled, name)
    true, _ = _ends({name: truth}, name)
    missing, blank, undefined = pd.isna(low), pd.isna(want_low), pd.isna(true)
    same = _equal(low, want_low) & _equal(high, want_high)
    holds = undefined | (_at_most(low, true) & _at_most(true, high))
    # Bounds may be narrower than the ledger's, never wider: a format may know the day where another knows the month.
    narrower = (outcome == "bounds") & _at_most(want_low, low) & _at_most(high, want_high)
    allowed = excused | (outcome == "contains") | narrower | blank
    different = ~missing & ~same & ~(allowed & holds) & (outcome != "any")
    lost = missing & ~blank & ~np.isin(outcome, [*EXCUSED, "any"]) & (not excused)
    if excused and AML_COLUMNS[name].dtype == "string":
        different[:] = False
    rows = np.flatnonzero(different | lost)
    columns = {"value": low, "upper": high, "expected": want_low, "truth": true, "outcome": outcome}
    return pd.DataFrame(
        {"row": rows, "column": name, "problem": np.where(lost[rows], "lost", "different")}
        | {k: pd.Series(v[rows], dtype=object) for k, v in columns.items()}
    )


def _ends(frame, name: str) -> tuple[np.ndarray, np.ndarray]:
    def values(series):
        if series.dtype == "string":
            return series.to_numpy(object)
        return series.to_numpy(float, na_value=np.nan)

    low = values(frame[name])
    return low, values(frame[name + UPPER]) if name + UPPER in frame else low


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "f":
        return np.array([x is y or (not pd.isna(x) and not pd.isna(y) and x == y) for x, y in zip(a, b, strict=True)])
    with np.errstate(invalid="ignore"):
        return (a == b) | (np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), np.abs(b)))


def _at_most(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "f":
        return _equal(a, b)
    return (a <= b) | _equal(a, b)
