"""The undetermined patients of a screening, completed many times over."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from feasibility.analysis.screened import statuses, unknowns
from feasibility.bounded import UPPER
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.missing.features import pool
from feasibility.missing.plan import Plan
from feasibility.missing.structure import AGE, VALUE

STACKED = 200_000
"""Completed rows judged at a time."""


@dataclass(frozen=True, eq=False)
class Imputations:
    """The undetermined patients, completed ``m`` times over.

    ``rows`` are their positions in the cohort, ``observed`` their rows as screened. ``open`` names the columns that
    could not be imputed, with the reason: they stay unknown, and every estimate carries the bounds that follow.
    ``n_fit`` patients were fitted on, ``sampled`` if they are a simple random sample of everyone. ``trace`` holds, by
    column, the mean and the standard deviation of the imputed values after each cycle of each chain.
    """

    screening: object = field(repr=False)
    rows: np.ndarray = field(repr=False)
    observed: pd.DataFrame = field(repr=False)
    m: int
    method: str
    cycles: int
    seed: int
    n_fit: int
    sampled: bool
    open: dict[str, str]
    trace: dict[str, np.ndarray] = field(repr=False)
    look_backs: dict[str, float] = field(repr=False)
    _plan: Plan = field(repr=False)
    _places: dict[str, np.ndarray] = field(repr=False)
    _target: dict[str, tuple[np.ndarray, np.ndarray]] = field(repr=False)

    def completed(self, k: int) -> pd.DataFrame:
        """The undetermined patients' rows with the holes of imputation ``k`` (0 to m - 1) filled; dtypes as they were.

        A column that did not apply to a patient (``asked_if``) stays empty for that patient, and so do the columns in
        ``open``.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 0 <= k < self.m:
            raise FeasibilityError(f"There are {self.m} imputations, numbered 0 to {self.m - 1}; got {k!r}.")
        made = self.observed.copy()
        for name in self._places:
            for part, (where, values) in self.imputed(name, int(k)).items():
                column = made[part].array.copy()
                column[where] = values
                made[part] = column
        return made

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that were imputed."""
        return tuple(self._places)

    def imputed(self, column: str, k: int) -> dict[str, tuple[np.ndarray, pd.api.extensions.ExtensionArray]]:
        """What imputation ``k`` put where, for each physical part of a column: positions in ``rows``, and values.

        Raises FeasibilityError for a column that was not imputed.
        """
        record = self._plan.variables[self._variable(column)].record
        return {part: self._filled(column, part, np.array([k]))[2:] for part in (*record.parts, *record.ages)}

    def _filled(self, column: str, part: str, ks: np.ndarray):
        """The record, its holes that lack this part, where these patients are, and the values of each imputation."""
        record = self._plan.variables[self._variable(column)].record
        at, hole = self._target[column]
        mine = record.lacks[hole] != (AGE if part in record.parts else VALUE)
        at, hole = at[mine], hole[mine]
        values = self._pool(column, part).take(self._places[column][ks][:, mine].ravel())
        if record.numeric and part in record.parts:
            lo, hi = record.lo[hole], record.hi[hole]
            if (np.isfinite(lo) | np.isfinite(hi)).any():
                number = pd.Series(values)
                values = number.clip(np.tile(lo, len(ks)), np.tile(hi, len(ks))).astype(number.dtype).array
        return record, hole, at, values

    def _variable(self, column: str) -> int:
        if column not in self._places:
            if column in self.open:
                raise FeasibilityError(f"Column {column!r} could not be imputed: it has {self.open[column]}.")
            raise FeasibilityError(f"No column {column!r} was imputed.{did_you_mean(column, self._places)}")
        return self._plan.place(column)

    @cached_property
    def _pools(self) -> dict:
        return {}

    def _pool(self, column: str, part: str):
        if part not in self._pools:
            record = self._plan.variables[self._variable(column)].record
            self._pools[part] = pool(record, self._plan.frame, part)
        return self._pools[part]

    @cached_property
    def n_confirmed(self) -> int:
        """Patients eligible for certain."""
        return int((self.screening.status == "eligible").sum())

    @cached_property
    def verdicts(self) -> tuple[np.ndarray, np.ndarray]:
        """Who fails, and for whom something stays unknown, in each completed data set: (m, criteria, patients) bits.

        Only verdicts that were unknown are asked again; one that was known stays. The second is everywhere False
        unless something could not be imputed.
        """
        criteria = self.screening.protocol.assessable
        failed = np.zeros((self.m, len(criteria), len(self.rows)), dtype=bool)
        unknown = np.zeros_like(failed)
        for i, criterion in enumerate(criteria):
            at = np.flatnonzero(unknowns(self.screening, i)[self.rows])
            if not len(at):
                continue
            step = max(1, STACKED // len(at))
            for start in range(0, self.m, step):
                ks = np.arange(start, min(start + step, self.m))
                no, hole = statuses(criterion, self.stacked(criterion.reads, at, ks))
                failed[start : start + len(ks), i, at] = (no & ~hole).reshape(len(ks), -1)
                unknown[start : start + len(ks), i, at] = hole.reshape(len(ks), -1)
        return failed, unknown

    def stacked(self, columns, at: np.ndarray, ks: np.ndarray) -> pd.DataFrame:
        """Some columns of some patients (positions in ``rows``), completed by the imputations ``ks`` in turn."""
        names = [c for n in columns for c in (n, n + UPPER) if c in self.observed.columns]
        place = np.full(len(self.rows), -1)
        place[at] = np.arange(len(at))
        made = {}
        for name in names:
            owner = self._owner(name)
            array = self.observed[name].array.take(np.tile(at, len(ks)))
            if owner is not None:
                _, _, where, values = self._filled(owner, name, ks)
                here = place[where] >= 0
                target = (np.arange(len(ks))[:, None] * len(at) + place[where][here]).ravel()
                array[target] = values.take(np.flatnonzero(np.tile(here, len(ks))))
            made[name] = array
        return pd.DataFrame(made)

    def _owner(self, part: str) -> str | None:
        """The imputed column that a physical column belongs to."""
        for name in self._places:
            record = self._plan.variables[self._plan.place(name)].record
            if part in record.parts or part in record.ages:
                return name
        return None

    @cached_property
    def counts(self) -> pd.DataFrame:
        """One row an imputation: n_confirmed and n_possible of the completed data (equal if all could be imputed)."""
        failed, unknown = self.verdicts
        out, open_ = failed.any(axis=1), unknown.any(axis=1)
        possible = self.n_confirmed + (~out).sum(axis=1)
        return pd.DataFrame({"n_confirmed": possible - (~out & open_).sum(axis=1), "n_possible": possible})
