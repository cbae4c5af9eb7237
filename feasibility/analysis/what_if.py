"""Screen once, then ask "what if" as often as you like: only what a change touches is evaluated again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from feasibility.analysis.answers import Answers, key_of
from feasibility.analysis.attrition import at_level, reconcile_attrition
from feasibility.analysis.bitmaps import total, unpacked
from feasibility.analysis.reconcile import labelled
from feasibility.errors import FeasibilityError
from feasibility.patterns import WORD, CriterionLabel, PatternTable, pack
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario
from feasibility.screening import Screening, screen


class Counts(NamedTuple):
    """Patients of whom everything is known and met, and patients who fail nothing."""

    n_confirmed: int
    n_possible: int


class WhatIf(Answers):
    """A screened cohort that answers changed protocols at once, and exactly as a fresh screening would.

    It keeps, for every criterion, who fails it and for whom it is unknown. A change (other thresholds or readings,
    waived, added or edited criteria) evaluates only the criteria whose answer it can alter, on bare numpy columns
    where the criterion allows it; each such criterion is first compared with the screening, on every patient (under
    other readings, with pandas on a sample).

    ``cohort`` has one row a patient, in pandas or prepared (``fz.prepare``, ``fz.open_prepared``; never turned into
    pandas as a whole, and what is kept of its screening numbers the rows instead of naming the patients).
    ``missing_columns``, ``check`` and ``progress`` are those of ``screen``; ``screening`` reuses one already made of
    this cohort and protocol. The cohort must not be changed meanwhile.
    A change is a ``Protocol``, a ``Scenario``, a mapping of thresholds and readings, or None for the protocol itself.

    Raises ScreeningError as ``screen`` does, ProtocolError for a change that does not fit the protocol.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> what_if = WhatIf(cohort, Protocol("demo", "Demo", [platelets]))
    >>> what_if.counts({"min_platelets": 20})
    Counts(n_confirmed=2, n_possible=3)
    """

    def changed(self, change: Protocol | Scenario | Mapping | None = None) -> Protocol:
        """The protocol that a change stands for."""
        if change is None:
            return self.protocol
        if isinstance(change, Protocol):
            return change
        if isinstance(change, Scenario):
            return change.apply(self.protocol)
        if isinstance(change, Mapping):
            return self.protocol.with_thresholds(**change)
        raise FeasibilityError(
            f"A change is a Protocol, a Scenario or a mapping of thresholds, got {type(change).__name__}."
        )

    def counts(self, change: Protocol | Scenario | Mapping | None = None) -> Counts:
        """How many patients are confirmed and how many possible under a change."""
        if change is None:
            return self._counts
        inside, sure = self._left(self.changed(change).assessable)
        return Counts(total(sure), total(inside))

    @cached_property
    def _counts(self) -> Counts:
        return self.counts(self.protocol)

    def attrition(self, change=None, order: Iterable[str] | None = None, *, level: str = "criterion") -> pd.DataFrame:
        """The funnel under a change, over all patients: the same table as ``attrition`` of a fresh screening."""
        protocol = self.changed(change)
        criteria = protocol.assessable
        empty = np.zeros((0, max(1, -(-len(criteria) // WORD))), dtype=np.uint64)
        labels = tuple(CriterionLabel(c.id, c.kind, c.name, c.text) for c in criteria)
        table = at_level(PatternTable(labels, empty, empty, np.zeros(0, int), {"clauses": protocol.clauses()}), level)
        if order is not None:
            first = list(dict.fromkeys(table.ids[table.position(name)] for name in order))
            table = table.keep([*first, *(i for i in table.ids if i not in first)])
        inside, sure, rows = self.everyone, self.everyone, []
        entering = self._n
        for label in table.labels:
            for criterion in criteria:
                if label.id == (criterion.clause if level == "clause" else criterion.id):
                    failed, unknown = self.bits(criterion)
                    inside = inside & ~failed
                    sure = sure & ~(failed | unknown)
            remaining, confirmed = total(inside), total(sure)
            rows.append((label.reason, entering, entering - remaining, remaining - confirmed, confirmed, remaining))
            entering = remaining
        names = ("reason", "n_entering", "n_excluded", "n_undetermined", "n_confirmed", "n_remaining")
        columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
        funnel = labelled(table, columns)
        reconcile_attrition(funnel, self._n)
        return funnel

    def screen(self, change=None) -> Screening:
        """The full screening under a change, every analysis of which equals that of a fresh one."""
        protocol = self.changed(change)
        old = {key_of(c): i for i, c in enumerate(self.protocol.assessable)}
        criteria = protocol.assessable
        base = self.screening
        if [old.get(key_of(c), i) for i, c in enumerate(criteria)] == list(range(len(old))):
            failed, unknown = base.failed.copy(), base.unknown.copy()
            fresh = [i for i, c in enumerate(criteria) if key_of(c) not in old]
            for i in fresh:
                w, bit = i // WORD, np.uint64(i % WORD)
                for words, bits in zip((failed, unknown), self.bits(criteria[i]), strict=True):
                    words[:, w] &= ~(np.uint64(1) << bit)
                    words[:, w] |= unpacked(bits, self._n).astype(np.uint64) << bit
        else:
            both = [tuple(unpacked(b, self._n) for b in self.bits(c)) for c in criteria]
            failed, unknown = (pack([pair[k] for pair in both], self._n) for k in (0, 1))
        # A screening of nobody under the changed protocol brings labels, header and absent columns.
        frame = screen(self.patients.rows(slice(0, 1)), protocol, missing_columns=self.missing_columns, check=False)
        strata = base.strata
        return Screening(
            protocol, base.index, frame.labels, failed, unknown, frame.missing_columns, strata,
            frame.header | {"build": base.header.get("build")},
        )  # fmt: skip
