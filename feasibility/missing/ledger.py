"""The missing-data ledger: what is known, failed and unknown, and why, by criterion and by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import labelled, same
from feasibility.analysis.screened import fails, screened_cohort, unknowns
from feasibility.analysis.why_unknown import (
    ABSENT,
    AT_LEAST,
    AT_MOST,
    BETWEEN,
    MISSING,
    OLD,
    SEVERAL,
    UNDATED,
    _causes,
)  # fmt: skip
from feasibility.bounded import UPPER
from feasibility.missing.states import distinct, states_of

BOUNDED = "only bounds known"
CAUSES = (MISSING, ABSENT, OLD, UNDATED, BOUNDED, SEVERAL)
REASONS = (
    "not in file", "missing", "not tested", "stale", "unreadable", "unit unknown", "out of range", "date missing",
    "date imprecise", "after index", "conflicting", "reason not kept",
)  # fmt: skip


@dataclass(frozen=True)
class MissingLedger:
    """What the data cannot say.

    ``criteria``: index criterion; kind, name, n_passing, n_failing, n_unknown, n_blocking (unknown, of the patients
    who fail nothing), then the unknown patients by cause: not recorded, not in the file, too old, without a date, only
    bounds known, several values together. Every unknown patient counts once, under the commonest cause that applies.

    ``columns``: index column; criteria (that read it), known, bounded (of the known), not applicable, n_unknown, then
    the unknown cells by the reason kept when the table was built or read: missing, stale, unit unknown, out of range,
    date missing, date imprecise, not tested, conflicting, ... Reasons that nobody has are left out.

    ``causes``: criterion, column, cause, n: which column each cause is about.
    """

    criteria: pd.DataFrame
    columns: pd.DataFrame
    causes: pd.DataFrame
    n_patients: int


def missing_ledger(screening, cohort: pd.DataFrame) -> MissingLedger:
    """For each criterion and each column, how many patients are known, failed and unknown, and for what reason.

    ``cohort`` is the table that was screened. All counts are patients, exact at any size, and add up: passing, failing
    and unknown to everyone, causes to the unknown of a criterion, known, not applicable and reasons to everyone.
    A column is a cause as in ``why_unknown``: only where knowing it could decide. The reasons of a column are those
    its cells were given when the cohort was built or read (a table made by hand keeps none: all its empty cells are
    missing); they say nothing about which criterion a cell serves. A file's value that is there but too old for a
    criterion is known in ``columns`` and too old in ``criteria``.

    Raises FeasibilityError for a cohort that was not the one screened, ReconciliationError should rows not add up.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, 10, None], dtype="Float64")})
    >>> ledger = missing_ledger(fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets])), cohort)
    >>> ledger.criteria.loc["I1", ["n_passing", "n_failing", "n_unknown", "not recorded"]].tolist()
    [1, 1, 1, 1]
    """
    facts = dict(cohort.attrs.get("feasibility", {})) if isinstance(cohort, pd.DataFrame) else {}
    cohort = screened_cohort(cohort, screening)
    patterns = screening.patterns()
    n, possible = screening.n_patients, ~screening.failed.any(axis=1)
    counts: dict[str, list[int]] = {c: [] for c in ("n_passing", "n_failing", "n_unknown", "n_blocking", *CAUSES)}
    lines = []
    for i, criterion in enumerate(screening.protocol.assessable):
        failed, unknown = fails(screening, i), unknowns(screening, i)
        numbers = (~failed & ~unknown, failed, unknown, unknown & possible)
        for name, mask in zip(counts, numbers, strict=False):
            counts[name].append(int(mask.sum()))
        found = _by_cause(criterion, cohort, unknown, screening)
        lines += [(criterion.id, *key, size) for key, size in found.items()]
        for cause in CAUSES:
            counts[cause].append(sum(size for (_, c), size in found.items() if c == cause))
    criteria = labelled(patterns, counts)
    whole = criteria[["n_passing", "n_failing", "n_unknown"]].sum(axis=1)
    same("passing, failing and unknown", whole, np.full(len(criteria), n))
    same("unknown by cause", criteria[list(CAUSES)].sum(axis=1), criteria["n_unknown"])
    same(
        "unknown as in the patterns",
        criteria["n_unknown"],
        [patterns.count(patterns.unknowns(i)) for i in range(len(criteria))],
    )
    criteria = criteria.drop(columns=[c for c in CAUSES if not criteria[c].any()])
    causes = pd.DataFrame(lines, columns=["criterion", "column", "cause", "n"])
    return MissingLedger(criteria, _columns(screening, cohort, facts), causes, n)


def _by_cause(criterion, cohort: pd.DataFrame, unknown: np.ndarray, screening) -> dict[tuple[str, str], int]:
    """(column, cause) to patients, each counted once: judged on one patient of each kind, so exact at any size."""
    if not unknown.any():
        return {}
    states = states_of(criterion, cohort, screening.protocol.columns)
    some = cohort.iloc[np.flatnonzero(unknown)]
    kinds, kind = distinct(np.column_stack([states.encode(some), _bounds(states, some)]))
    first = np.zeros(len(kinds), dtype=int)
    first[kind[::-1]] = np.arange(len(kind))[::-1]
    size = np.bincount(kind, minlength=len(kinds))
    masks = _causes(criterion, some.iloc[first], np.ones(len(first), dtype=bool), screening)
    merged: dict[tuple[str, str], np.ndarray] = {}
    for (column, cause), mask in masks.items():
        key = (column, BOUNDED if cause in (AT_MOST, AT_LEAST, BETWEEN) else cause)
        merged[key] = merged[key] | mask if key in merged else mask
    left, found = np.ones(len(first), dtype=bool), {}
    while left.any():
        reach = {key: int(size[mask & left].sum()) for key, mask in merged.items() if (mask & left).any()}
        best = max(reach, key=lambda k: (k[1] != SEVERAL, reach[k]), default=("", SEVERAL))
        mask = merged.pop(best, left) & left
        found[best] = found.get(best, 0) + int(size[mask].sum())
        left &= ~mask
    return found


def _bounds(states, some: pd.DataFrame) -> np.ndarray:
    """Whether a bounded value is one: both ends can lie in one cell, yet differ."""
    wide = [(some[name] != some[name + UPPER]).fillna(True).to_numpy(dtype=np.int16) for name in sorted(states.bounded)]
    return np.column_stack([np.zeros(len(some), dtype=np.int16), *wide])


def _columns(screening, cohort: pd.DataFrame, facts: dict) -> pd.DataFrame:
    kept = facts.get("unknown", {}) if facts.get("n_rows", len(cohort)) == len(cohort) else None
    rows = {name: _column(screening, cohort, name, ids, kept) for name, ids in screening.protocol.reads.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("column")
    reasons = list(REASONS)
    same(
        "known, not applicable and unknown",
        table[["known", "not applicable", "n_unknown"]].sum(axis=1),
        np.full(len(table), len(cohort)),
    )
    same("unknown cells by reason", table[reasons].sum(axis=1), table["n_unknown"])
    return table.drop(columns=[r for r in reasons if not table[r].any()])


def _column(screening, cohort: pd.DataFrame, name: str, ids, kept: dict | None) -> dict:
    empty, wide = cohort[name].isna(), np.zeros(len(cohort), dtype=bool)
    if name + UPPER in cohort:
        upper = cohort[name + UPPER]
        wide = (cohort[name] != upper).fillna(True).to_numpy(dtype=bool)
        empty = empty & upper.isna()
    known = ~empty.to_numpy()
    asked = asked_of(cohort, name, screening.protocol.columns)
    n_unknown = int((~known & asked).sum())
    reasons = dict.fromkeys(REASONS, 0)
    if name in screening.missing_columns:
        reasons["not in file"] = n_unknown
    elif kept is None:
        reasons["reason not kept"] = n_unknown
    else:
        left = n_unknown
        for reason, count in kept.get(name, {}).items():
            # Cells that do not apply were counted as missing when the table was read.
            word = str(reason).replace("_", " ")
            if word in reasons and word != "missing":
                reasons[word] = min(int(count), left)
                left -= reasons[word]
        reasons["missing"] = left
    return {
        "criteria": ", ".join(ids), "known": int(known.sum()), "bounded": int((known & wide).sum()),
        "not applicable": int((~known & ~asked).sum()), "n_unknown": n_unknown, **reasons,
    }  # fmt: skip


def asked_of(cohort: pd.DataFrame, name: str, columns) -> np.ndarray:
    """Where the question of a column arises, as far as known (``Column.asked_if``)."""
    declared = columns[name].asked_if if columns is not None and name in columns else None
    if declared is None or declared[0] not in cohort:
        return np.ones(len(cohort), dtype=bool)
    return (cohort[declared[0]] == declared[1]).fillna(True).to_numpy(dtype=bool)
