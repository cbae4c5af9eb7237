"""What the panel knows, without any widget: the changes made, the protocol they stand for, and its counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feasibility.analysis.bitmaps import total
from feasibility.analysis.what_if import Counts, WhatIf
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.protocol.criterion import Criterion
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario
from feasibility.widgets.controls import Control, controls_of

SORTS = ("protocol", "largest loss")


class PanelState:
    """The changes made to a protocol, and what they come to.

    ``values`` holds the thresholds and readings that differ from the protocol given, ``off`` the ids of criteria that
    are switched off, ``order`` the clauses in the order of the funnel. Everything else follows from these three.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> state = PanelState(WhatIf(cohort, Protocol("demo", "Demo", [platelets])))
    >>> state.set("min_platelets", 20)
    >>> state.counts, state.difference
    (Counts(n_confirmed=2, n_possible=3), Counts(n_confirmed=1, n_possible=1))
    >>> print(state.code())
    changed = protocol.with_thresholds(min_platelets=20)
    """

    def __init__(self, what_if: WhatIf):
        self.what_if = what_if
        self.base = what_if.protocol
        self.controls: dict[str, Control] = controls_of(what_if)
        self.values: dict[str, Any] = {}
        self.off: set[str] = set()
        self.clauses: dict[str, tuple[Criterion, ...]] = {}
        for one in self.base.assessable:
            self.clauses[one.clause] = (*self.clauses.get(one.clause, ()), one)
        self.order: list[str] = list(self.clauses)
        self._funnels: dict[tuple, pd.DataFrame] = {}
        self._now: pd.DataFrame | None = None

    # --- changing ----------------------------------------------------------------------------------------------

    def set(self, name: str, value) -> None:
        """Change a threshold or reading; the protocol's own value takes the change back.

        Raises FeasibilityError for an unknown name, a value of the wrong kind, and a reading for which the cohort
        lacks a column; nothing has changed then.
        """
        checked = self.control(name).check(value)
        before = dict(self.values)
        self.values.pop(name, None)
        if checked != self.controls[name].value:
            self.values[name] = checked
        self._changed(lambda: setattr(self, "values", before))

    def switch(self, criterion: str, on: bool) -> None:
        """Switch a criterion off or on again, by id or name."""
        one = self.base[criterion]
        if not one.assessable:
            raise FeasibilityError(f"{one.id} ({one.name}) is not decided by data, so there is nothing to switch off.")
        before = set(self.off)
        (self.off.discard if on else self.off.add)(one.id)
        self._changed(lambda: setattr(self, "off", before))

    def move(self, clause: str, by: int) -> None:
        """Move a clause up (negative) or down in the funnel; the ends hold it."""
        self._known(clause)
        there = min(max(self.order.index(clause) + by, 0), len(self.order) - 1)
        self.order.remove(clause)
        self.order.insert(there, clause)
        self._now = None

    def sort(self, how: str) -> None:
        """Put the funnel in the protocol's order, or the clause that most patients fail first."""
        if how not in SORTS:
            raise FeasibilityError(f"The funnel cannot be sorted by {how!r}.{did_you_mean(how, SORTS)}")
        self.order = list(self.clauses)
        if how == "largest loss":
            self.order.sort(key=lambda clause: -self.failing(clause)[0])
        self._now = None

    def reset(self) -> None:
        """Back to the protocol, its order included."""
        self.values, self.off, self.order = {}, set(), list(self.clauses)
        self._now = None

    # --- reading -----------------------------------------------------------------------------------------------

    def control(self, name: str) -> Control:
        if name not in self.controls:
            raise FeasibilityError(f"The panel has no setting {name!r}.{did_you_mean(name, self.controls)}")
        return self.controls[name]

    def value(self, name: str):
        """The value in force."""
        return self.values.get(name, self.control(name).value)

    def is_on(self, criterion: str) -> bool:
        return self.base[criterion].id not in self.off

    @property
    def protocol(self) -> Protocol:
        """The protocol under the changes made."""
        changed = self.base.with_thresholds(**self.values) if self.values else self.base
        return changed.without(*self._waived()) if self.off else changed

    @property
    def n_patients(self) -> int:
        return self.what_if.n_patients

    @property
    def counts(self) -> Counts:
        """Confirmed and possible patients now."""
        return _end(self.funnel, self.n_patients)

    @property
    def protocol_counts(self) -> Counts:
        """Confirmed and possible patients under the protocol given."""
        return _end(self.protocol_funnel, self.n_patients)

    @property
    def difference(self) -> Counts:
        now, then = self.counts, self.protocol_counts
        return Counts(now.n_confirmed - then.n_confirmed, now.n_possible - then.n_possible)

    @property
    def funnel(self) -> pd.DataFrame:
        """The attrition table by clause, in the chosen order, of the clauses that are not switched off."""
        if self._now is None:
            self._now = self._attrition(self.protocol)
        return self._now

    @property
    def protocol_funnel(self) -> pd.DataFrame:
        """The same for the protocol given, in the same order."""
        key = tuple(self.order)
        if key not in self._funnels:
            self._funnels = {key: self._attrition(self.base)}
        return self._funnels[key]

    def failing(self, name: str) -> tuple[int, int]:
        """Patients who fail a criterion or clause whatever else they fail, and those for whom it is unknown."""
        parts = self.clauses.get(name) or (self.base[name],)
        mine = {s for one in parts for s in one.values}
        changed = {k: v for k, v in self.values.items() if k in mine}
        failed = unknown = np.zeros(1, dtype=np.uint8)
        for one in parts:
            own = {k: v for k, v in changed.items() if k in one.values}
            fails, holes = self.what_if.bits(one.with_thresholds(**own) if own else one)
            failed, unknown = failed | fails, unknown | holes
        return total(failed), total(unknown & ~failed)

    def changes(self) -> list[str]:
        """What differs from the protocol, in words."""
        words = [f"{c.label}: {c.words(c.value)} → {c.words(self.values[c.name])}" + (f" {c.unit}" if c.unit else "")
                 for c in self.controls.values() if c.name in self.values]  # fmt: skip
        return words + [f"{one.id} {_title(one.name)}: switched off" for one in self._off()]

    def scenario(self, name: str = "") -> Scenario:
        """The changes as a scenario: applied to the protocol given, it is the protocol now."""
        readings = {k: v for k, v in self.values.items() if self.controls[k].setting.is_reading}
        return Scenario(
            name=name.strip() or "From the panel",
            thresholds={k: v for k, v in self.values.items() if k not in readings},
            readings=readings, waive=self._waived(), trial=self.base.id,
        )  # fmt: skip

    def save(self, name: str, folder: str | Path = ".") -> Path:
        """Write the changes as a scenario file named after ``name``; an existing file is never overwritten."""
        slug = re.sub(r"\W+", "_", name.strip().lower()).strip("_")[:80]
        if not slug:
            raise FeasibilityError("Give the scenario a name first: its file is named after it.")
        path = Path(folder) / f"{slug}.toml"
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(self.scenario(name).to_toml())
        except FileExistsError:
            raise FeasibilityError(f"There is a {path.name} already; choose another name.") from None
        except OSError as error:
            raise FeasibilityError(f"{path.name} cannot be written to {folder}: {error.strerror}.") from None
        return path

    def code(self) -> str:
        """The changes as Python, to paste into a notebook that has ``protocol`` (and ``cohort``)."""
        calls = ""
        if self.values:
            calls += f".with_thresholds({', '.join(f'{k}={_literal(v)}' for k, v in self.values.items())})"
        if self.off:
            calls += f".without({', '.join(repr(w) for w in self._waived())})"
        lines = [f"changed = protocol{calls}"]
        if self.order != list(self.clauses):
            order = [c for c in self.order if c in set(self.funnel.index)]
            lines.append(f'fz.attrition(fz.screen(cohort, changed), order={order!r}, level="clause")')
        return "\n".join(lines)

    # --- inside ------------------------------------------------------------------------------------------------

    def _attrition(self, protocol: Protocol) -> pd.DataFrame:
        on = {c.clause for c in protocol.assessable}
        if not on:
            return pd.DataFrame(columns=["n_entering", "n_excluded", "n_undetermined", "n_confirmed", "n_remaining"])
        return self.what_if.attrition(protocol, order=[c for c in self.order if c in on], level="clause")

    def _changed(self, undo) -> None:
        self._now = None
        try:
            self._now = self._attrition(self.protocol)
        except FeasibilityError:
            undo()
            raise

    def _off(self) -> Iterable[Criterion]:
        return [one for one in self.base.assessable if one.id in self.off]

    def _waived(self) -> tuple[str, ...]:
        """Words for ``without`` that waive exactly these: an id that is a clause of several would take them all."""
        shared = [c.clause for c in self.base.criteria]
        return tuple(c.name if c.id == c.clause and shared.count(c.id) > 1 else c.id for c in self._off())

    def _known(self, clause: str) -> None:
        if clause not in self.clauses:
            raise FeasibilityError(f"The funnel has no clause {clause!r}.{did_you_mean(clause, self.clauses)}")


def _end(funnel: pd.DataFrame, n: int) -> Counts:
    if funnel.empty:
        return Counts(n, n)
    last = funnel.iloc[-1]
    return Counts(int(last.n_confirmed), int(last.n_remaining))


def _literal(value) -> str:
    return 'float("inf")' if value == float("inf") else repr(value)


def _title(name: str) -> str:
    from feasibility.figures.style import title_case

    return title_case(name)
