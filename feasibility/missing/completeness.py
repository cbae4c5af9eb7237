"""How much of each column is known, over time and by site."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.bounded import UPPER
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.missing.ledger import asked_of

PERIODS = {"month": "%Y-%m", "quarter": "", "year": "%Y"}
COUNTS = ["n", "n_not_applicable", "n_known", "n_unknown"]
UNKNOWN = "unknown"
MARK = "synthetic"
"""Says of a row that it is no real patient; nothing that is recorded."""
AGES = ("days_since_", "months_since_")


def completeness(
    cohort: pd.DataFrame, columns=None, by: Iterable[str] = ("site_id",), time: str | None = None
) -> pd.DataFrame:
    """The share of patients with a known value, by column, site and time: where did recording begin, and where not?

    ``columns`` are names, or the declared table (``protocol.columns``), which also says to whom a column applies;
    by default every column of the cohort with the declarations of the installed trials. ``by`` are columns of the
    cohort; those it lacks of the default are left out. ``time`` is "month", "quarter" or "year" of the index date, or
    a column that holds a date or a period.

    One row a column and group: column, the ``by`` columns, period (with ``time``), n, n_not_applicable, n_known,
    n_unknown (patients; the last three add up to n) and share: known among those to whom the column applies, NaN
    where there is none. A bounded value counts as known; the age of a value is left out where it is known with it.

    Raises FeasibilityError for a column the cohort lacks, naming the nearest, and for a time it does not have.

    >>> import pandas as pd
    >>> cohort = pd.DataFrame({"site_id": ["A", "A", "B"], "ecog": pd.array([1, None, 2], dtype="Int64")})
    >>> completeness(cohort, ["ecog"])[["site_id", "n_known", "n", "share"]].values.tolist()
    [['A', 1, 2, 0.5], ['B', 1, 1, 1.0]]
    """
    if not isinstance(cohort, pd.DataFrame) or not len(cohort):
        raise FeasibilityError("completeness needs a cohort with at least one patient.")
    names, table = _named(cohort, columns)
    groups = {name: _labels(cohort, name) for name in _by(cohort, by)}
    if time is not None:
        groups["period"] = _periods(cohort, time)
    names = [name for name in names if name not in groups]
    if not names:
        raise FeasibilityError("completeness: no column is left to look at besides those it groups by.")
    keys = pd.DataFrame(groups, index=range(len(cohort)))
    parts = []
    for name in names:
        known = cohort[name].notna().to_numpy()
        if name + UPPER in cohort:
            known = known | cohort[name + UPPER].notna().to_numpy()
        asked = known | asked_of(cohort, name, table)
        flags = keys.assign(n=1, n_not_applicable=~asked, n_known=known, n_unknown=asked & ~known)
        if groups:
            part = flags.groupby(list(groups), sort=True)[COUNTS].sum().reset_index()
        else:
            part = flags[COUNTS].sum().to_frame().T
        part.insert(0, "column", name)
        parts.append(part)
    found = pd.concat(parts, ignore_index=True).astype(dict.fromkeys(COUNTS, "int64"))
    same("known, unknown and not applicable", found[COUNTS[1:]].sum(axis=1), found["n"])
    same("groups of patients", found.groupby("column")["n"].sum(), np.full(len(names), len(cohort)))
    applies = (found["n"] - found["n_not_applicable"]).to_numpy(dtype=float)
    found["share"] = np.divide(found["n_known"], applies, out=np.full(len(found), np.nan), where=applies > 0)
    return found


def _named(cohort: pd.DataFrame, columns) -> tuple[list[str], object]:
    from feasibility.cohort.read import installed_columns
    from feasibility.cohort.schema import CohortTable

    if isinstance(columns, CohortTable):
        return _without_ages(cohort, [n for n in columns if n in cohort and n != MARK]), columns
    declared = installed_columns()
    if columns is None:
        return _without_ages(cohort, [n for n in cohort.columns if not n.endswith(UPPER) and n != MARK]), declared
    columns = [columns] if isinstance(columns, str) else list(columns)
    for name in columns:
        _known_name(cohort, name)
    return columns, declared


def _without_ages(cohort: pd.DataFrame, names: list[str]) -> list[str]:
    """Without the ages that are known exactly where their value is."""
    kept = []
    for name in names:
        base = next((name.removeprefix(a) for a in AGES if name.startswith(a)), "")
        if base not in cohort or not (cohort[name].notna() == cohort[base].notna()).all():
            kept.append(name)
    return kept


def _known_name(cohort: pd.DataFrame, name: str) -> None:
    if name not in cohort.columns:
        raise FeasibilityError(f"The cohort has no column {name!r}.{did_you_mean(name, cohort.columns)}")


def _by(cohort: pd.DataFrame, by) -> list[str]:
    by = [by] if isinstance(by, str) else list(by)
    if by == ["site_id"] and "site_id" not in cohort:
        return []
    for name in by:
        _known_name(cohort, name)
    return by


def _labels(cohort: pd.DataFrame, name: str) -> np.ndarray:
    return cohort[name].astype(object).where(cohort[name].notna(), UNKNOWN).astype(str).to_numpy()


def _periods(cohort: pd.DataFrame, time: str) -> np.ndarray:
    if time not in PERIODS:
        if time not in cohort.columns:
            known = [*PERIODS, *cohort.columns]
            raise FeasibilityError(
                f"time is {time!r}: it is 'month', 'quarter' or 'year' of the index date, or a column of the"
                f" cohort.{did_you_mean(time, known)}"
            )
        return _labels(cohort, time)
    if "index_date" in (cohort.index.names or ()):
        dates = pd.Series(pd.to_datetime(cohort.index.get_level_values("index_date")))
    elif "index_date" in cohort:
        dates = pd.Series(pd.to_datetime(cohort["index_date"].to_numpy()))
    else:
        raise FeasibilityError(
            f"time is {time!r}, but the cohort has no index_date, neither in its index nor as a column. Build it with"
            " index dates, or name a column that holds the period."
        )
    if time == "quarter":
        return dates.dt.to_period("Q").astype(str).where(dates.notna(), UNKNOWN).to_numpy()
    return dates.dt.strftime(PERIODS[time]).fillna(UNKNOWN).to_numpy()
