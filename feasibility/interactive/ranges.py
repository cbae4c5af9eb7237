"""How many patients a changed protocol leaves: a range, from the protected groups alone.

A *state* is a set of criteria left out and a value for some thresholds. The release holds each change by itself, not
every combination, so the answer is a range:

- **lower end**: the groups that are certainly inside. A group is inside as far as a step of the funnel if, for every
  criterion up to there, the criterion is left out or the group is known to stay in at a setting that the state
  relaxes at least as much.
- **upper end**: the groups that are not certainly outside. A group is outside if one of its clauses ("fails here, or
  there") speaks only of criteria up to there that are in force, each at a setting that the state leaves as strict or
  makes stricter.

"Confirmed" is the same with "passes" for "stays in", and with clauses of not passing besides those of failing.

Why it is right. (1) Relaxing a threshold never loses a patient, and leaving a criterion out is the loosest setting
of all: what holds at one setting holds at all looser ones, and failures at all stricter ones. (2) A criterion's verdict
depends on its own settings only, so what is known of two criteria from two different released changes holds for both
together. (3) A patient is possible if nothing fails, confirmed if everything passes. Hence a state that is itself a
released change has a width of 0: every group either counts for it (inside) or contradicts it (a clause of just these
settings). The rules also use all there is: where neither holds, the group's answers allow both.

Zero width means equal to the released number, which is itself rounded: the range says nothing about that rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from feasibility.disclosure.table import ProtectedTable
from feasibility.errors import FeasibilityError, ProtocolError, did_you_mean
from feasibility.interactive.columns import Column, at_least_as_loose
from feasibility.interactive.knowledge import Knowledge, knowledge_of

COLUMNS = ("remaining_low", "remaining_high", "confirmed_low", "confirmed_high")


@dataclass(frozen=True)
class Range:
    """The least and the most protected patients who are possible and who are confirmed."""

    possible_low: int
    possible_high: int
    confirmed_low: int
    confirmed_high: int


def ranges(
    core: ProtectedTable | Knowledge, off: Iterable[str] = (), thresholds: Mapping[str, float] | None = None
) -> Range:
    """How many patients are possible and confirmed without some criteria and at other thresholds, as ranges.

    ``off`` are ids or names of criteria; ``thresholds`` maps a threshold's name to a value of its released grid.

    Raises ProtocolError for an unknown criterion or threshold, FeasibilityError for a value off the grid.
    """
    known = core if isinstance(core, Knowledge) else knowledge_of(core)
    if not known.labels:
        return Range(*(known.n_patients,) * 4)
    last = funnel_ranges(known, off, thresholds).iloc[-1]
    return Range(*(int(last[name]) for name in COLUMNS))


def funnel_ranges(
    core: ProtectedTable | Knowledge, off: Iterable[str] = (), thresholds: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The funnel of a state: index criterion; columns in_force, remaining_low, remaining_high, confirmed_low,
    confirmed_high, in protected patients left after each criterion.

    Raises as ``ranges`` does.
    """
    known = core if isinstance(core, Knowledge) else knowledge_of(core)
    waived, values = _state(known, off, thresholds or {})
    at_least, at_most = _against(known, waived, values)
    steps = len(known.labels)
    rows = [[0] * 4 for _ in range(steps)]
    holds = [all(at_most[j] for j in (*clause.fails, *clause.doubts)) for clause in known.clauses]
    for group in known.groups:
        inside = _first_gap(known, group.stays, at_least, waived, steps)
        sure = _first_gap(known, group.passes, at_least, waived, steps)
        outside = unsure = steps
        for c in group.clauses:
            if holds[c]:
                clause = known.clauses[c]
                step = max(known.columns[j].criterion for j in (*clause.fails, *clause.doubts))
                unsure = min(unsure, step)
                outside = outside if clause.doubts else min(outside, step)
        for k, row in enumerate(rows):
            _add(row, 0, group.n, inside > k, outside <= k)
            _add(row, 2, group.n, sure > k, unsure <= k)
    table = pd.DataFrame(rows, index=pd.Index([x.id for x in known.labels], name="criterion"), columns=list(COLUMNS))
    table.insert(0, "in_force", [i not in waived for i in range(steps)])
    return table


def _add(row: list[int], at: int, n: int, certain: bool, excluded: bool) -> None:
    """Count a group into the lower and the upper end; one with noise below zero lowers the lower end."""
    row[at] += n if certain else 0 if excluded else min(n, 0)
    row[at + 1] += 0 if excluded else n if certain else max(n, 0)


def _first_gap(known: Knowledge, columns, at_least, waived, steps: int) -> int:
    """The first criterion of which the group is not known to stay in (or pass) in this state."""
    covered = waived | {known.columns[j].criterion for j in columns if at_least[j]}
    return next((i for i in range(steps) if i not in covered), steps)


def _state(known: Knowledge, off, thresholds) -> tuple[set[int], dict[str, float]]:
    if isinstance(off, str):
        raise FeasibilityError(f"off is a list of criteria, got the text {off!r}; write [{off!r}].")
    names = {name: i for i, label in enumerate(known.labels) for name in (label.name, label.id)}
    waived = set()
    for name in off:
        if name not in names:
            raise ProtocolError(f"This release has no criterion {name!r}.{did_you_mean(name, names)}")
        waived.add(names[name])
    for name, value in thresholds.items():
        if name not in known.slider:
            raise ProtocolError(f"This release has no grid for a threshold {name!r}.{did_you_mean(name, known.slider)}")
        if value not in known.slider[name].values:
            grid = ", ".join(f"{v:g}" for v in known.slider[name].values)
            raise FeasibilityError(f"{value!r} is not on the released grid of {name!r}. Its values: {grid}.")
    return waived, {name: float(value) for name, value in thresholds.items()}


def _against(known: Knowledge, waived: set[int], values: dict[str, float]) -> tuple[list[bool], list[bool]]:
    """Of each column: is the state at least as loose as it, and at most as loose."""
    at_least, at_most = [], []
    for column in known.columns:
        state, setting = _setting(known, column, values), dict(column.settings)
        off = column.criterion in waived
        at_least.append(off or at_least_as_loose(state, setting, known.slider))
        at_most.append(not off and at_least_as_loose(setting, state, known.slider))
    return at_least, at_most


def _setting(known: Knowledge, column: Column, values: dict[str, float]) -> dict[str, float]:
    """The state's thresholds that this column's criterion reads."""
    return {name: v for name, v in values.items() if column.criterion in known.slider[name].criteria}
