"""The attrition funnel: how many patients enter, fall and remain at each criterion, unknowns kept apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.analysis.bits import first_bit
from feasibility.analysis.reconcile import labelled, patterns_of, same
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.patterns import PatternTable

LEVELS = ("criterion", "clause")
COUNTS = ("n_entering", "n_excluded", "n_undetermined", "n_confirmed", "n_remaining")


def attrition(result, order: Iterable[str] | None = None, *, level: str = "criterion", by: str = "") -> pd.DataFrame:
    """The funnel of a screening (or of its pattern table), in protocol order or any other.

    One row a criterion (or, with ``level="clause"``, a clause) and the columns kind, name, reason, n_entering,
    n_excluded, n_undetermined, n_confirmed, n_remaining, all in patients. A patient leaves at the first criterion
    that is known to fail; an unknown never excludes. ``n_confirmed`` of a row satisfy everything up to it for sure,
    ``n_undetermined`` have failed nothing but have an unknown so far.
    ``order`` lists ids or names to put first; the rest follow in their order. ``by`` names a stratum (site_id, sex):
    the result then has the index (stratum, criterion), and its rows add up to the whole.
    """
    if by:
        return _by_stratum(result, order, level, by)
    patterns = at_level(patterns_of(result), level)
    first = list(dict.fromkeys(patterns.position(name) for name in order or ()))
    return _funnel(patterns, [*first, *(i for i in range(len(patterns.labels)) if i not in first)])


def at_level(patterns: PatternTable, level: str) -> PatternTable:
    """The pattern table by criterion or by clause."""
    if level not in LEVELS:
        raise FeasibilityError(f"level is {level!r}.{did_you_mean(level, LEVELS)}")
    return patterns.by_clause() if level == "clause" else patterns


def _funnel(patterns: PatternTable, order: list[int]) -> pd.DataFrame:
    """The funnel with the criteria in this order: each pattern falls at its first failure, whatever comes later."""
    n, k = patterns.n, len(order)
    ranks = [0] * k
    for rank, i in enumerate(order):
        ranks[i] = rank
    fall = np.bincount(first_bit(patterns.failed, ranks), weights=n, minlength=k + 1)[:k]
    open_ = np.bincount(first_bit(patterns.failed | patterns.unknown, ranks), weights=n, minlength=k + 1)[:k]
    excluded, unsure = np.rint(fall).astype(np.int64), np.rint(open_.cumsum()).astype(np.int64)
    remaining = patterns.n_patients - excluded.cumsum()
    rows = {
        "n_entering": remaining + excluded, "n_excluded": excluded, "n_undetermined": unsure - excluded.cumsum(),
        "n_confirmed": patterns.n_patients - unsure, "n_remaining": remaining,
    }  # fmt: skip
    nobody = np.zeros((0, patterns.failed.shape[1]), dtype=np.uint64)
    ordered = PatternTable(tuple(patterns.labels[i] for i in order), nobody, nobody, np.zeros(0, dtype=np.int64))
    table = labelled(ordered, {"reason": [x.reason for x in ordered.labels], **{c: rows[c] for c in COUNTS}})
    reconcile_attrition(table, patterns.n_patients)
    return table


def reconcile_attrition(table: pd.DataFrame, n_patients: int) -> None:
    """Check every identity of a funnel; a violation is a ReconciliationError."""
    if table.empty:
        return
    same("n_remaining = n_entering - n_excluded", table.n_remaining, table.n_entering - table.n_excluded)
    same("n_remaining = n_confirmed + n_undetermined", table.n_remaining, table.n_confirmed + table.n_undetermined)
    same("the first n_entering is the cohort", table.n_entering.iloc[0], n_patients)
    same("each row enters with what the one above left", table.n_entering.iloc[1:], table.n_remaining.iloc[:-1])


def _by_stratum(result, order, level, by) -> pd.DataFrame:
    patterns = result if isinstance(result, PatternTable) else result.patterns(by=by)
    values = patterns._stratum_column(by)
    parts = {}
    for value in values.drop_duplicates():
        key = "unknown" if pd.isna(value) else value
        parts[key] = attrition(patterns.stratum(**{by: None if pd.isna(value) else value}), order, level=level)
    table = pd.concat(parts, names=[by, "criterion"])
    whole = attrition(patterns, order, level=level)
    summed = table.groupby(level="criterion", sort=False)[list(COUNTS)].sum().reindex(whole.index)
    for name in COUNTS:
        same(f"strata of {by} add up in {name}", summed[name], whole[name])
    return table
