"""Many changes sorted out by criterion: which variants of it are asked for, and which scenario takes which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario


class Plan:
    """The scenarios of a batch, by threshold and reading.

    ``values`` maps each touched setting to one value a scenario, ``waived`` each waived criterion's id to a mask.
    ``others`` are the scenarios that go beyond settings and waiving (added, edited criteria), as protocols.
    """

    def __init__(self, what_if, changes):
        self.protocol: Protocol = what_if.protocol
        self._settings = {s.name: s for c in self.protocol.assessable for s in c.settings}
        self.values: dict[str, list] = {}
        self.waived: dict[str, np.ndarray] = {}
        self.others: dict[int, Protocol] = {}
        if isinstance(changes, pd.DataFrame):
            self.index = changes.index
            self._ask(len(changes))
            for name in changes.columns:
                self.values[name] = self._checked(name, changes[name].tolist())
        else:
            changes = list(changes)
            self._ask(len(changes))
            names = [getattr(c, "name", None) for c in changes]
            self.index = pd.RangeIndex(len(changes)) if None in names else pd.Index(names, name="scenario")
            for row, change in enumerate(changes):
                self._take(what_if, row, change)
            for name, given in self.values.items():
                asked = self._checked(name, list(given.values()))
                column = [self.protocol.settings[name]] * len(changes)
                for row, value in zip(given, asked, strict=True):
                    column[row] = value
                self.values[name] = column
        self.settled = np.ones(len(self.index), dtype=bool)
        self.settled[list(self.others)] = False
        self.touched = [
            c for c in self.protocol.assessable
            if c.id in self.waived or any(s.name in self.values for s in c.settings)
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self.index)

    @staticmethod
    def _ask(n: int) -> None:
        if not n:
            raise FeasibilityError("There is no scenario to evaluate.")

    def _checked(self, name: str, values: list) -> list:
        setting = self._settings.get(name) or self.protocol.setting(name)
        return [setting.check(v) for v in values]

    def _take(self, what_if, row: int, change) -> None:
        waive = ()
        if isinstance(change, Scenario):
            if (change.trial or self.protocol.id) != self.protocol.id or self._misplaced(change):
                change.apply(self.protocol)  # says what is wrong with it
            mapping, waive = dict(change.thresholds) | dict(change.readings), change.waive
        elif isinstance(change, Protocol):
            same = _as_settings(self.protocol, change)
            if same is None:
                self.others[row] = change
                return
            mapping, waive = same
        elif change is None or isinstance(change, Mapping):
            mapping = change or {}
        else:
            what_if.changed(change)  # says what a change is
        for name, value in mapping.items():
            self.values.setdefault(name, {})[row] = value
        if waive:
            kept = {c.id for c in self.protocol.without(*waive).assessable}
            for criterion in self.protocol.assessable:
                if criterion.id not in kept:
                    self.waived.setdefault(criterion.id, np.zeros(len(self.index), dtype=bool))[row] = True

    def _misplaced(self, change: Scenario) -> bool:
        return any(
            name not in self._settings or self._settings[name].is_reading != reading
            for names, reading in ((change.thresholds, False), (change.readings, True))
            for name in names
        )

    def variants(self, criterion) -> tuple[np.ndarray, list[str], list]:
        """The touched settings of a criterion, their distinct values in ascending order, and each scenario's own.

        None stands last where some scenario waives the criterion.
        """
        names = [s.name for s in criterion.settings if s.name in self.values]
        code, distinct = np.zeros(len(self), dtype=np.int64), [()]
        for name in names:
            values = self.values[name]
            order = sorted(set(values), key=lambda v: str(v) if isinstance(v, (str, bool)) else v)
            rank = {v: i for i, v in enumerate(order)}
            code = code * len(order) + np.array([rank[v] for v in values])
            found, code = np.unique(code, return_inverse=True)
            distinct = [(*distinct[f // len(order)], order[f % len(order)]) for f in found]
        waived = self.waived.get(criterion.id)
        if waived is None:
            return code, names, distinct
        return np.where(waived, len(distinct), code), names, [*distinct, None]


def _as_settings(base: Protocol, other: Protocol) -> tuple[dict, tuple] | None:
    """What a protocol changes in the settings of another and waives; None where it does more."""
    mine = {c.id: c for c in base.assessable}
    theirs = {c.id: c for c in other.assessable}
    values: dict = {}
    for key, criterion in theirs.items():
        if key not in mine or criterion.function is not mine[key].function or criterion.kind != mine[key].kind:
            return None
        old = mine[key].values
        for name, value in criterion.values.items():
            if value != old[name] and values.setdefault(name, value) != value:
                return None
    shared = {n: v for c in theirs.values() for n, v in c.values.items()}
    if any(shared[name] != value for name, value in values.items()):
        return None
    return values, tuple(key for key in mine if key not in theirs)
