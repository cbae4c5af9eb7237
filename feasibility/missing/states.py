"""Patients as states of one criterion: what each of its records says, in as few combinations as occur."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from feasibility.analysis.call_list import Record, records
from feasibility.analysis.screened import statuses
from feasibility.bounded import UPPER
from feasibility.missing.cells import NA, Cells, cells_of

PROBES = 4_000
SEED = 20240901
NO, YES, PERHAPS = 0, 1, 2
"""Whether the question of a record arises (``asked_if``)."""


def owners(protocol, columns) -> dict[str, str]:
    """The record each column belongs to: the age of a value belongs to the value, for every criterion."""
    aged = {r.age: r.column for c in protocol.assessable for r in records(c, columns) if r.age}
    return {name: aged.get(name, name) for name in protocol.reads}


@dataclass(frozen=True)
class States:
    """How one criterion sees patients.

    A state is a row of codes: for each column the criterion reads the cells of its lower and upper end (twice the same
    where it is no bounded value, -1 where missing), then for each record whether its question arises.
    """

    criterion: object
    cells: dict[str, Cells]
    known: tuple[Record, ...]
    bounded: frozenset[str]
    asked_if: dict[int, tuple[str, object]]
    exact: bool
    _choices: dict = field(default_factory=dict, repr=False)

    @cached_property
    def at(self) -> dict[str, int]:
        """Where a column's two codes stand."""
        return {name: 2 * i for i, name in enumerate(self.cells)}

    def encode(self, cohort: pd.DataFrame) -> np.ndarray:
        """The state of each patient."""
        n, base = len(cohort), 2 * len(self.cells)
        rows = np.full((n, base + len(self.known)), YES, dtype=np.int16)
        for name, cells in self.cells.items():
            low = high = cells.code(cohort[name]) if name in cohort else np.full(n, NA, dtype=np.int16)
            if name in self.bounded and name + UPPER in cohort:
                high = cells.code(cohort[name + UPPER])
                # One end alone is a limit: everything below it, or above.
                only = (low == NA) & (high != NA), (high == NA) & (low != NA)
                low, high = np.where(only[0], 0, low), np.where(only[1], cells.of(np.inf), high)
            rows[:, self.at[name]], rows[:, self.at[name] + 1] = low, high
        for j, (name, value) in self.asked_if.items():
            if name not in self.cells and name in cohort:
                hole, yes = cohort[name].isna(), (cohort[name] == value).fillna(False)
                rows[:, base + j] = np.select([hole.to_numpy(), yes.to_numpy(dtype=bool)], [PERHAPS, YES], NO)
        return rows

    def verdicts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(failed, unknown) in each state."""
        columns = {}
        for name, cells in self.cells.items():
            columns[name] = cells.array(rows[:, self.at[name]])
            if name in self.bounded:
                columns[name + UPPER] = cells.array(rows[:, self.at[name] + 1])
        return statuses(self.criterion, pd.DataFrame(columns))

    def places(self, j: int) -> list[int]:
        """Where the codes of record ``j`` stand: value, then age."""
        names = [self.known[j].column, *([self.known[j].age] if self.known[j].age else [])]
        return [p for name in names for p in (self.at[name], self.at[name] + 1)]

    def asked(self, rows: np.ndarray, j: int) -> np.ndarray:
        """Whether the question of record ``j`` arises in each state."""
        name, value = self.asked_if.get(j, (None, None))
        if name not in self.cells:
            return rows[:, 2 * len(self.cells) + j]
        cells = self.cells[name]
        code = int(cells.code(pd.Series(pd.array([value], dtype=cells.dtype)))[0])
        low, high = rows[:, self.at[name]], rows[:, self.at[name] + 1]
        sure, possible = (low == code) & (high == code), (low == NA) | ((low <= code) & (code <= high))
        return np.select([sure, possible], [YES, PERHAPS], NO)

    def forget_spent(self, rows: np.ndarray) -> np.ndarray:
        """The states with every record that says no more than a missing one (too old, undated) set to missing."""
        rows = rows.copy()
        for j, record in enumerate(self.known):
            if not record.age:
                continue
            places = self.places(j)
            says, inverse = distinct(rows[:, places])
            for i, said in enumerate(says):
                if (said != NA).any() and self._spent(rows, j, said):
                    rows[np.ix_(inverse == i, places)] = NA
        return rows

    def _spent(self, rows: np.ndarray, j: int, said: np.ndarray) -> bool:
        """Whether it makes no difference to erase this record, whatever the others say."""
        others = self._others(rows)
        with_, without = others.copy(), others.copy()
        with_[:, self.places(j)], without[:, self.places(j)] = said, NA
        return all((a == b).all() for a, b in zip(self.verdicts(with_), self.verdicts(without), strict=True))

    def _others(self, rows: np.ndarray) -> np.ndarray:
        """The states that occur, and states drawn at random (all of them, where there are few)."""
        sizes = [len(c.values) + 1 for c in self.cells.values()]
        if np.prod(sizes, dtype=float) <= PROBES:
            grid = np.meshgrid(*[np.arange(NA, s - 1) for s in sizes], indexing="ij")
            drawn = np.stack(grid, axis=-1).reshape(-1, len(sizes))
        else:
            drawn = np.random.default_rng(SEED).integers(NA, np.array(sizes) - 1, (PROBES, len(sizes)))
        made = np.full((len(drawn), rows.shape[1]), YES, dtype=np.int16)
        made[:, : 2 * len(sizes)] = np.repeat(drawn, 2, axis=1)
        occurring = distinct(rows)[0]
        return np.concatenate([occurring[:PROBES], made])

    def choices(self, j: int, said: tuple[int, ...], asked: int) -> list[tuple[int, ...]]:
        """Every way record ``j`` can turn out once it is looked up; the record as it is where nothing is to be got.

        A missing record gets any possible value, of today; a bounded one any value between its ends; of one whose
        value or age alone is missing, that part. A record whose question does not arise stays missing.
        """
        if (j, said, asked) in self._choices:
            return self._choices[j, said, asked]
        names = [self.known[j].column, *([self.known[j].age] if self.known[j].age else [])]
        hole = all(c == NA for c in said)
        parts: list[list[tuple[int, int]]] = []
        for k, name in enumerate(names):
            low, high = said[2 * k], said[2 * k + 1]
            cells = self.cells[name]
            if hole and k:
                codes = [int(cells.of(0.0))]
            elif low == NA:
                codes = list(cells.possible)
            else:
                codes = [c for c in range(low, high + 1) if c in (low, high) or c in cells.possible]
            parts.append([(c, c) for c in codes])
        found = [()]
        for part in parts:
            found = [(*start, *end) for start in found for end in part]
        if said[0] == NA and asked != YES:
            found = [said] if asked == NO else [*found, said]
        self._choices[j, said, asked] = found
        return found

    def open(self, rows: np.ndarray, j: int) -> np.ndarray:
        """Where there is something to be got from record ``j``."""
        said = rows[:, self.places(j)]
        hole = (said == NA).any(axis=1) | (said[:, ::2] != said[:, 1::2]).any(axis=1)
        return hole & ((said[:, 0] != NA) | (self.asked(rows, j) != NO))

    def expand(self, rows: np.ndarray, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Every way record ``j`` can turn out in each state: (which state it came from, the new states)."""
        places = self.places(j)
        keys, inverse = distinct(np.column_stack([rows[:, places], self.asked(rows, j)]))
        options = [np.array(self.choices(j, tuple(int(c) for c in k[:-1]), int(k[-1])), dtype=np.int16) for k in keys]
        origin = np.concatenate([np.repeat(np.flatnonzero(inverse == i), len(o)) for i, o in enumerate(options)])
        said = np.concatenate([np.tile(o, ((inverse == i).sum(), 1)) for i, o in enumerate(options)])
        made = rows[origin]
        made[:, places] = said
        return origin, made

    def fill(self, rows: np.ndarray, j: int, found: np.ndarray) -> np.ndarray:
        """The states with record ``j`` looked up, as ``found`` (states of the same patients, completed) has it."""
        places, rows = self.places(j), rows.copy()
        said, new = rows[:, places], found[:, places]
        hole = (said == NA).all(axis=1)
        missing = hole & (new[:, 0] != NA)
        able = self.open(rows, j) & (~hole | missing)
        for k in range(0, len(places), 2):
            take = able & ((said[:, k] == NA) | (said[:, k] != said[:, k + 1])) & (new[:, k] != NA)
            rows[np.ix_(take, places[k : k + 2])] = new[np.ix_(take, [k, k + 1])]
        if len(places) > 2:
            rows[np.ix_(missing, places[2:])] = int(self.cells[self.known[j].age].of(0.0))
        return rows


def states_of(criterion, cohort: pd.DataFrame, columns) -> States:
    """How a criterion sees the patients of a cohort; ``columns`` is the declared table, or None."""
    cells, exact = cells_of(criterion, cohort, columns)
    known = tuple(records(criterion, cohort.columns))
    asked = {}
    for j, record in enumerate(known):
        declared = columns[record.column] if columns is not None and record.column in columns else None
        if declared is not None and declared.asked_if is not None and declared.asked_if[0] in cohort:
            asked[j] = declared.asked_if
    bounded = frozenset(name for name in cells if name + UPPER in cohort)
    return States(criterion, cells, known, bounded, asked, exact)


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the distinct rows, which of them each row is), for rows of small whole numbers."""
    key = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        column = column.astype(np.int64)
        width = int(column.max(initial=NA)) + 2
        if int(key.max(initial=0)) * width > 2**61:
            key = pd.factorize(key)[0].astype(np.int64)
        key = key * width + column - NA
    inverse, seen = pd.factorize(key)
    first = np.zeros(len(seen), dtype=np.int64)
    first[inverse[::-1]] = np.arange(len(rows))[::-1]
    return rows[first], inverse
