"""An amended protocol against the one before: who moves in and out, and by which criterion, as counts."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from feasibility.analysis.bitmaps import total
from feasibility.analysis.curve import opened
from feasibility.analysis.reconcile import same
from feasibility.analysis.scenarios import in_words
from feasibility.protocol.protocol import Protocol

STATUSES = ["eligible", "undetermined", "ineligible"]


@dataclass(frozen=True, eq=False)
class Amendment:
    """What an amendment moves.

    statuses
        patients by status under the old protocol (rows) and the new one (columns); adds up to the cohort.
    criteria
        one row a criterion that differs, see ``amendment``.
    changes
        each change in words.
    """

    statuses: pd.DataFrame
    criteria: pd.DataFrame
    changes: tuple[str, ...]

    @property
    def n_moved_in(self) -> int:
        """Patients who failed something under the old protocol and fail nothing under the new one."""
        return int(self.statuses.loc["ineligible", ["eligible", "undetermined"]].sum())

    @property
    def n_moved_out(self) -> int:
        """Patients who failed nothing under the old protocol and fail something under the new one."""
        return int(self.statuses.loc[["eligible", "undetermined"], "ineligible"].sum())


def amendment(cohort, old: Protocol, new: Protocol | None = None, **options) -> Amendment:
    """Compare two versions of a protocol on the same patients.

    ``criteria`` of the result has one row a criterion that was changed, added or removed, and the columns kind, name,
    change; n_failing_old, n_failing_new; n_moved_out (patients possible before whom it now excludes), n_moved_out_only
    (it alone), n_moved_in (patients possible now whom it excluded before), n_moved_in_only (it alone);
    n_became_unknown and n_became_known (its answer for all patients). A patient moved by two criteria counts for both.
    Criteria are matched by their id; the order of criteria does not matter.

    ``cohort`` is a patient table, or a ``WhatIf`` of the old protocol (then ``amendment(what_if, new)``); ``options``
    are those of ``WhatIf``. Raises ScreeningError where the cohort lacks a column that the new version reads.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> old = Protocol("demo", "Demo", [platelets])
    >>> found = amendment(cohort, old, old.with_thresholds(min_platelets=20))
    >>> found.n_moved_in, found.criteria.loc["I1", "n_moved_in_only"].item()
    (1, 1)
    """
    what_if, _ = opened(cohort, old if new is not None else None, "", options)
    old, new = what_if.protocol, new if new is not None else old
    everyone = what_if.everyone
    versions = []
    for protocol in (old, new):
        failed_any, unknown_any, by_id = ~everyone & everyone, ~everyone & everyone, {}
        for criterion in protocol.assessable:
            by_id[criterion.id] = (criterion, *what_if.bits(criterion))
            failed_any = failed_any | by_id[criterion.id][1]
            unknown_any = unknown_any | by_id[criterion.id][2]
        eligible = everyone & ~failed_any & ~unknown_any
        undetermined = everyone & ~failed_any & ~eligible
        versions.append((by_id, {"eligible": eligible, "undetermined": undetermined, "ineligible": failed_any}))
    (before, was), (after, will) = versions
    statuses = pd.DataFrame([[total(was[a] & will[b]) for b in STATUSES] for a in STATUSES], STATUSES, STATUSES)
    statuses = statuses.rename_axis(index="old", columns="new")
    same("every patient has a status under both versions", statuses.to_numpy().sum(), what_if.n_patients)
    rows = {}
    nothing = ~everyone & everyone
    for key in dict.fromkeys([*before, *after]):
        mine, theirs = before.get(key), after.get(key)
        change = _change(mine, theirs)
        if not change:
            continue
        shown = (theirs or mine)[0]
        failed, unknown = mine[1:] if mine else (nothing, nothing)
        fails, unclear = theirs[1:] if theirs else (nothing, nothing)
        # A reason to move out is a failure that was none before, whoever else has one; to move in, one that went.
        others_new = _other_failures(after, key, nothing) & ~_other_failures(before, key, nothing)
        leaving = ~was["ineligible"] & will["ineligible"] & fails
        joining = was["ineligible"] & ~will["ineligible"] & failed
        rows[key] = (
            shown.kind, shown.name, change, total(failed), total(fails), total(leaving), total(leaving & ~others_new),
            total(joining), total(joining & ~_other_failures(before, key, nothing)),
            total(unclear & ~unknown), total(unknown & ~unclear),
        )  # fmt: skip
    names = ["kind", "name", "change", "n_failing_old", "n_failing_new", "n_moved_out", "n_moved_out_only",
             "n_moved_in", "n_moved_in_only", "n_became_unknown", "n_became_known"]  # fmt: skip
    criteria = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("criterion")
    return Amendment(statuses, criteria, tuple(in_words(old, new)))


def _other_failures(version: dict, key: str, nothing):
    failed = nothing
    for other, (_, fails, _) in version.items():
        if other != key:
            failed = failed | fails
    return failed


def _change(mine, theirs) -> str:
    if mine is None or theirs is None:
        return "added" if mine is None else "removed"
    old, new = mine[0], theirs[0]
    if old.function is not new.function or old.kind != new.kind:
        return "rewritten"
    return "changed" if old.values != new.values else ""
