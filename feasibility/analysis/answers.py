"""Who fails each criterion, and for whom it is unknown, whatever its thresholds and readings: kept, or made anew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from feasibility.analysis.axis import Steps
from feasibility.analysis.bitmaps import packed, unpacked
from feasibility.analysis.patients import patients_of
from feasibility.analysis.steps import follow
from feasibility.engine.compact import NotCompactError, Nothing, take
from feasibility.errors import ScreeningError
from feasibility.patterns import WORD
from feasibility.protocol.criterion import Criterion
from feasibility.protocol.protocol import Protocol
from feasibility.screening import Screening, screen

BLOCK = 1 << 16
SAMPLE = 2_000
CACHE_BYTES = 256 * 2**20
STEPS_BYTES = 2**30
FEW = 4
"""Where the patients who matter to a question are fewer than one in so many, only they are followed."""


class Answers:
    """The answers of a screened cohort to each criterion, as packed masks; what ``WhatIf`` and the analyses build on.

    ``everyone`` is the packed mask of all patients. Nothing here depends on the order in which questions are asked.
    """

    def __init__(
        self,
        cohort,
        protocol: Protocol,
        *,
        screening: Screening | None = None,
        missing_columns: str = "error",
        check: bool = True,
        progress: Callable[[str, float], None] | None = None,
    ):
        self.patients = patients_of(cohort)
        if screening is None:
            screening = self.patients.screen(protocol, missing_columns=missing_columns, check=check, progress=progress)
        elif screening.n_patients != self.patients.n or screening.protocol.fingerprint() != protocol.fingerprint():
            raise ScreeningError("The screening was made of another cohort or protocol; leave it out to make it anew.")
        self.cohort, self.protocol, self.screening = cohort, protocol, screening
        self.missing_columns = missing_columns
        self._n = self.patients.n
        self.everyone = packed(np.ones(self._n, dtype=bool))
        self._compact: dict[str, Any] = {}
        self._trust: dict[tuple, bool] = {}
        self._known: OrderedDict = OrderedDict()
        self._rest: OrderedDict[frozenset, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._steps: OrderedDict[tuple, Steps] = OrderedDict()
        self._base: dict = {}
        self._own: dict[int, tuple] = {}
        for i, criterion in enumerate(protocol.assessable):
            bit = np.uint64(1 << i % WORD)
            self._own[id(criterion)] = self._base[key_of(criterion)] = tuple(
                packed(words[:, i // WORD] & bit != 0) for words in (screening.failed, screening.unknown)
            )

    @property
    def n_patients(self) -> int:
        return self._n

    def prepare(self):
        """Get everything ready that a first move of each threshold would otherwise wait for."""
        for criterion in self.protocol.assessable:
            if criterion.settings:
                self._trusted(criterion)
        return self

    def forget(self) -> None:
        """Give back the memory of questions already asked (they are kept up to about a gigabyte and a half)."""
        self._known.clear()
        self._rest.clear()
        self._steps.clear()

    def bits(self, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
        """Who fails a criterion and for whom it is unknown, as packed masks."""
        own = self._own.get(id(criterion))  # the protocol holds these, so their identity is theirs alone
        if own is not None:
            return own
        key = key_of(criterion)
        if key in self._base:
            return self._base[key]
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        answer = self._evaluate(criterion) if self._trusted(criterion) else None
        self._known[key] = answer or self._reference(criterion)
        while len(self._known) > 8 and sum(f.nbytes + u.nbytes for f, u in self._known.values()) > CACHE_BYTES:
            self._known.popitem(last=False)
        return self._known[key]

    def rest(self, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Patients who fail none of the criteria but those named (by id): their positions, and who satisfies all."""
        names = frozenset(names)
        if names not in self._rest:
            inside, sure = self._left([c for c in self.protocol.assessable if c.id not in names])
            rows = np.flatnonzero(unpacked(inside, self._n))
            self._rest[names] = rows, unpacked(sure, self._n)[rows]
            while len(self._rest) > 1 and sum(9 * len(rows) for rows, _ in self._rest.values()) > CACHE_BYTES:
                self._rest.popitem(last=False)
        return self._rest[names]

    def _left(self, criteria: Iterable[Criterion]) -> tuple[np.ndarray, np.ndarray]:
        """Who fails none of these criteria, and who is known to satisfy all."""
        failed, unknown = ~self.everyone, np.zeros_like(self.everyone)
        for criterion in criteria:
            fails, unclear = self.bits(criterion)
            failed |= fails
            unknown |= unclear
        np.invert(failed, out=failed)
        return failed, failed & ~unknown

    def columns(self, criterion: Criterion, rows=None) -> dict:
        """The compact columns a criterion reads, of all patients or of some rows."""
        if not self._trusted(criterion):
            raise NotCompactError(f"Criterion {criterion.id} ({criterion.name}) runs on pandas only")
        return self._columns(criterion, rows)

    def steps(self, criterion: Criterion, name: str) -> Steps:
        """Every patient's step function of one threshold in one criterion, kept for the next question."""
        others = frozenset((n, v) for n, v in criterion.values.items() if n != name)
        return self._followed((criterion.function, criterion.kind, name, others), criterion, name, None)

    def steps_of_rest(self, criterion: Criterion, name: str, names: Iterable[str]) -> tuple[Steps, np.ndarray | slice]:
        """The same for the patients of ``rest(names)``, and where these stand among those followed: only they are,
        where they are few, for the others change no count."""
        rows, _ = self.rest(names)
        others = frozenset((n, v) for n, v in criterion.values.items() if n != name)
        key = criterion.function, criterion.kind, name, others
        if key in self._steps or not len(rows) or FEW * len(rows) > self._n:
            return self._followed(key, criterion, name, None), rows
        return self._followed((*key, frozenset(names)), criterion, name, rows), slice(None)

    def _followed(self, key: tuple, criterion: Criterion, name: str, rows: np.ndarray | None) -> Steps:
        if key not in self._steps:
            columns, n = self.columns(criterion), self._n if rows is None else len(rows)
            blocks = []
            for start in range(0, max(1, n), BLOCK):
                block = slice(start, min(start + BLOCK, n))
                where = block if rows is None else rows[block]
                part = {criterion.id: {n: take(column, where) for n, column in columns.items()}}
                everyone = np.ones(block.stop - start, dtype=bool)
                blocks.append(list(follow([criterion], part, name, criterion.values[name], everyone)))
            self._steps[key] = Steps.of(blocks)
            while len(self._steps) > 1 and sum(s.nbytes for s in self._steps.values()) > STEPS_BYTES:
                self._steps.popitem(last=False)
        self._steps.move_to_end(key)
        return self._steps[key]

    def _columns(self, criterion: Criterion, rows=None) -> dict:
        handed = {}
        for name in criterion.columns:
            if name in self.patients:
                if name not in self._compact:
                    self._compact[name] = self.patients.compact(name)
                handed[name] = self._compact[name] if rows is None else take(self._compact[name], rows)
            elif name in criterion.reads and self.missing_columns == "error":
                self._refuse(criterion)
            else:
                handed[name] = Nothing()
        return handed

    def _refuse(self, criterion: Criterion) -> None:
        """The error that says which column is missing."""
        screen(self.patients.rows(slice(0, 1)), _alone(criterion, self.protocol), check=False)

    def _evaluate(self, criterion: Criterion) -> tuple[np.ndarray, np.ndarray] | None:
        """The packed answer on compact columns, block by block; None where it takes pandas after all."""
        try:
            if self.missing_columns == "error" and any(n not in self.patients for n in criterion.reads):
                self._refuse(criterion)
            straight = self.patients.bitmaps(criterion)
            if straight is not None:
                return straight
            failed, unknown = np.empty(self._n, dtype=bool), np.empty(self._n, dtype=bool)
            columns = self._columns(criterion)
            for start in range(0, self._n, BLOCK):
                block = slice(start, min(start + BLOCK, self._n))
                met = criterion.evaluate({name: take(column, block) for name, column in columns.items()})
                yes, no = met.rails(block.stop - start)
                failed[block] = no if criterion.kind == "inclusion" else yes
                np.logical_not(yes | no, out=unknown[block])
        except (NotCompactError, AttributeError, TypeError, ValueError):
            return None
        return packed(failed), packed(unknown)

    def reference(self, criterion: Criterion, rows=None) -> tuple[np.ndarray, np.ndarray]:
        """Who fails a criterion and for whom it is unknown, by a screening of its own, of all patients or some rows."""
        known = any(c.function is criterion.function for c in self.protocol.assessable)
        cohort = self.patients.rows(slice(None) if rows is None else rows, criterion.columns)
        if not len(cohort):
            return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
        alone = _alone(criterion, self.protocol)
        found = screen(cohort, alone, missing_columns=self.missing_columns, check=not known)
        return found.failed[:, 0] != 0, found.unknown[:, 0] != 0

    def _reference(self, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
        return tuple(packed(mask) for mask in self.reference(criterion))

    def _trusted(self, criterion: Criterion) -> bool:
        """Whether compact columns give the reference's answer for this function with these readings.

        With the readings in force they are compared with the screening, on every patient; with other readings, on a
        sample, with pandas.
        """
        readings = frozenset((s.name, criterion.values[s.name]) for s in criterion.settings if s.is_reading)
        key = criterion.function, readings
        if key not in self._trust:
            same = [c for c in self.protocol.assessable if c.function is criterion.function]
            known = same[0].with_thresholds(**dict(readings)) if same else criterion
            base = self._base.get(key_of(known))
            criterion = criterion if base is None else known
            got = self._evaluate(criterion)
            if got is None:
                self._trust[key] = False
            elif base is not None:
                self._trust[key] = all(np.array_equal(a, b) for a, b in zip(got, base, strict=True))
            else:
                rows = np.unique(np.linspace(0, self._n - 1, min(self._n, SAMPLE)).astype(int))
                expected = self.reference(criterion, rows)
                masks = (unpacked(bits, self._n)[rows] for bits in got)
                self._trust[key] = all(np.array_equal(a, b) for a, b in zip(masks, expected, strict=True))
        return self._trust[key]


def key_of(criterion: Criterion):
    return criterion.function, criterion.kind, frozenset(criterion.values.items())


def _alone(criterion: Criterion, protocol: Protocol) -> Protocol:
    return Protocol(protocol.id, protocol.title, [criterion], columns=protocol.columns)
