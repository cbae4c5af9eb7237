"""Patterns: each combination of statuses over the criteria, with the number of patients who have it.

The funnel in any order, what each criterion costs, overlaps and bounds are functions of this table alone.
A pattern table is as confidential as the patients: with two dozen criteria most patients of a small hospital are
alone in their pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, ProtocolError, did_you_mean
from feasibility.pattern_files import STRATUM, read_file, write_file
from feasibility.pattern_headers import UNKNOWN_AS_FAIL, check_alike, check_answers, check_parts

WORD = 64


@dataclass(frozen=True)
class CriterionLabel:
    """What a table of counts says about a criterion or clause."""

    id: str
    kind: str
    name: str
    reason: str

    @property
    def clause(self) -> str:
        return self.id.split(".")[0]


@dataclass(frozen=True, eq=False)
class PatternTable:
    """Status patterns and their counts.

    ``failed`` and ``unknown`` have one row a pattern and one 64-bit word per 64 criteria; bit ``i`` of the row belongs
    to criterion ``i``. ``n`` counts patients. ``strata`` (optional) has one row a pattern: site, month, ...
    """

    labels: tuple[CriterionLabel, ...]
    failed: np.ndarray
    unknown: np.ndarray
    n: np.ndarray
    header: Mapping[str, Any] = field(default_factory=dict)
    strata: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.n)

    @property
    def ids(self) -> list[str]:
        return [label.id for label in self.labels]

    @property
    def n_patients(self) -> int:
        return int(self.n.sum())

    def position(self, name: str) -> int:
        """Position of a criterion, by its id or name."""
        for i, label in enumerate(self.labels):
            if name in (label.id, label.name):
                return i
        known = [x for label in self.labels for x in (label.id, label.name)]
        raise ProtocolError(f"No criterion {name!r} was screened.{did_you_mean(name, known)}")

    def bits(self, words: np.ndarray, i: int) -> np.ndarray:
        """Bit ``i`` of every pattern, as booleans."""
        return (words[:, i // WORD] >> np.uint64(i % WORD)).astype(np.uint8) & 1 == 1

    def fails(self, i: int) -> np.ndarray:
        return self.bits(self.failed, i)

    def unknowns(self, i: int) -> np.ndarray:
        return self.bits(self.unknown, i)

    @property
    def n_failed(self) -> np.ndarray:
        """How many criteria each pattern fails."""
        return np.bitwise_count(self.failed).sum(axis=1, dtype=np.int64)

    @property
    def n_unknown(self) -> np.ndarray:
        """How many criteria are unknown in each pattern."""
        return np.bitwise_count(self.unknown).sum(axis=1, dtype=np.int64)

    def count(self, which: np.ndarray) -> int:
        return int(self.n[which].sum())

    @property
    def n_confirmed(self) -> int:
        """Patients of whom everything is known and met."""
        return self.count((self.n_failed == 0) & (self.n_unknown == 0))

    @property
    def n_possible(self) -> int:
        """Patients who fail nothing."""
        return self.count(self.n_failed == 0)

    def to_frame(self) -> pd.DataFrame:
        """The tidy view: one nullable-boolean column per criterion (True = satisfied), the strata, and ``n``."""
        columns = {}
        for i, label in enumerate(self.labels):
            columns[label.id] = pd.arrays.BooleanArray(~self.fails(i), self.unknowns(i))
        frame = pd.DataFrame(columns, index=range(len(self)))
        if self.strata is not None:
            frame = pd.concat([self.strata.reset_index(drop=True), frame], axis=1)
        return frame.assign(n=self.n)

    def keep(self, names: Iterable[str]) -> PatternTable:
        """Only the named criteria, in that order: the others waived."""
        chosen = [self.position(name) for name in names]
        failed = pack([self.fails(i) for i in chosen], len(self))
        unknown = pack([self.unknowns(i) for i in chosen], len(self))
        return count(tuple(self.labels[i] for i in chosen), failed, unknown, self.strata, self.n, self.header)

    def without(self, *names: str) -> PatternTable:
        """The table with criteria waived."""
        gone = {self.position(name) for name in names}
        return self.keep(label.id for i, label in enumerate(self.labels) if i not in gone)

    def by_clause(self) -> PatternTable:
        """Clauses instead of criteria: failed if any part fails, else unknown if any part is unknown."""
        clauses: dict[str, list[int]] = {}
        for i, label in enumerate(self.labels):
            clauses.setdefault(label.clause, []).append(i)
        labels, failed, unknown = [], [], []
        for clause, parts in clauses.items():
            fails = np.logical_or.reduce([self.fails(i) for i in parts])
            failed.append(fails)
            unknown.append(np.logical_or.reduce([self.unknowns(i) for i in parts]) & ~fails)
            first = self.labels[parts[0]]
            name = first.name if len(parts) == 1 else ", ".join(self.labels[i].name for i in parts)
            words = dict(self.header.get("clauses", {})).get(clause) or first.reason
            labels.append(CriterionLabel(clause, first.kind, name, words))
        return count(tuple(labels), pack(failed, len(self)), pack(unknown, len(self)), self.strata, self.n, self.header)

    def stratum(self, **values) -> PatternTable:
        """The patients of one stratum, for example ``stratum(site_id="A")``; a missing stratum value is ``None``."""
        which = np.ones(len(self), dtype=bool)
        for name, value in values.items():
            column = self._stratum_column(name)
            which &= (column.isna() if value is None else (column == value).fillna(False)).to_numpy(dtype=bool)
        strata = None if self.strata is None else self.strata[which].reset_index(drop=True)
        return replace(self, failed=self.failed[which], unknown=self.unknown[which], n=self.n[which], strata=strata)

    def _stratum_column(self, name: str) -> pd.Series:
        if self.strata is None or name not in self.strata:
            known = [] if self.strata is None else list(self.strata.columns)
            raise FeasibilityError(f"The patterns were not counted by {name!r}.{did_you_mean(name, known)}")
        return self.strata[name]

    def unknown_as_fail(self) -> PatternTable:
        """Two-valued: what is unknown counts as failed, and the header says so; only the confirmed stay possible."""
        header = dict(self.header) | {"answers": UNKNOWN_AS_FAIL}
        nothing = np.zeros_like(self.unknown)
        return count(self.labels, self.failed | self.unknown, nothing, self.strata, self.n, header)

    def share_alone(self, fewer_than: int = 2) -> float:
        """The share of patients whose pattern fewer than so many have; as it stands, that nobody else has."""
        return float(self.n[self.n < fewer_than].sum() / self.n_patients) if self.n_patients else 0.0

    def save(self, path: str | Path) -> None:
        """Write the table as Parquet with a header and checksums. INTERNAL: as good as patient-level data."""
        columns: dict[str, Any] = {"n": self.n}
        for w in range(self.failed.shape[1]):
            columns |= {f"failed_{w}": self.failed[:, w], f"unknown_{w}": self.unknown[:, w]}
        if self.strata is not None:
            columns |= {STRATUM + name: self.strata[name] for name in self.strata}
        write_file(path, columns, {**self.header, "labels": [asdict(x) for x in self.labels]})

    @classmethod
    def load(cls, path: str | Path) -> PatternTable:
        """Read a pattern file; a truncated, edited or foreign one is refused with the reason."""
        arrow, header = read_file(path)
        labels = tuple(CriterionLabel(**x) for x in header.pop("labels"))
        words = max(1, -(-len(labels) // WORD))
        strata = {
            name.removeprefix(STRATUM): arrow[name].to_pandas()
            for name in arrow.column_names
            if name.startswith(STRATUM)
        }
        return cls(
            labels=labels,
            failed=np.stack([arrow[f"failed_{w}"].to_numpy() for w in range(words)], axis=1),
            unknown=np.stack([arrow[f"unknown_{w}"].to_numpy() for w in range(words)], axis=1),
            n=arrow["n"].to_numpy().astype(np.int64),
            header=header,
            strata=pd.DataFrame(strata) if strata else None,
        )


def pack(masks: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Boolean masks, one per criterion, as rows of 64-bit words."""
    words = np.zeros((rows, max(1, -(-len(masks) // WORD))), dtype=np.uint64)
    for i, mask in enumerate(masks):
        words[:, i // WORD] |= mask.astype(np.uint64) << np.uint64(i % WORD)
    return words


def count(labels, failed, unknown, strata=None, weights=None, header=None) -> PatternTable:
    """Count equal rows of packed statuses (and equal strata) into a pattern table."""
    words = failed.shape[1]
    if strata is None and weights is None and len(labels) <= WORD // 2:
        # Both statuses fit one word: sorting one key is several times faster than sorting two.
        both, n = np.unique(failed[:, 0] | (unknown[:, 0] << np.uint64(WORD // 2)), return_counts=True)
        low = np.uint64(2 ** (WORD // 2) - 1)
        rows = np.stack([both & low, both >> np.uint64(WORD // 2)], axis=1)
        return PatternTable(tuple(labels), rows[:, :1], rows[:, 1:], n.astype(np.int64), dict(header or {}))
    keys, first = [*failed.T, *unknown.T], None
    if strata is not None and len(strata.columns):
        groups = strata.groupby(list(strata.columns), dropna=False, sort=True).ngroup().to_numpy()
        first = np.unique(groups, return_index=True)[1]
        keys = [groups.astype(np.uint64), *keys]
    rows, n = _count_rows(keys, weights)
    kept = None
    if first is not None:
        kept = strata.iloc[first[rows[:, 0].astype(np.int64)]].reset_index(drop=True)
        rows = rows[:, 1:]
    return PatternTable(tuple(labels), rows[:, :words], rows[:, words:], n, dict(header or {}), kept)


def _count_rows(keys: list[np.ndarray], weights) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows over the key columns, in sorted order, and how many patients each has."""
    order = np.lexsort(keys[::-1])
    rows = np.stack([key[order] for key in keys], axis=1)
    if not len(rows):
        return rows, np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)])
    if weights is None:
        n = np.diff(np.r_[starts, len(rows)])
    else:
        n = np.add.reduceat(np.asarray(weights)[order], starts)
    return rows[starts], n.astype(np.int64)


def pool(tables: Iterable[PatternTable], *, names: Sequence[str] = (), answers: str = "") -> PatternTable:
    """Add up the pattern tables of parts of one hospital's patients: the same as screening them together.

    ``names`` says what each table is called in messages. A patient who is in two parts counts twice: nothing in the
    counts can tell. ``answers="unknown_as_fail"`` adds three-valued tables to two-valued ones (OHDSI masks) by
    counting what is unknown as failed, and labels the result so.

    Raises FeasibilityError if a table occurs twice, or if they differ: in the protocol (saying which criterion and
    how), the build settings, code lists or index dates, the strata, or the kind of answers.

    >>> table = PatternTable((CriterionLabel("I1", "inclusion", "adult", "18 or older"),),
    ...                      pack([np.array([False, True])], 2), pack([np.zeros(2, bool)], 2), np.array([7, 2]))
    >>> pool([table, replace(table, n=np.array([1, 1]))]).n.tolist()
    [8, 3]
    """
    tables = list(tables)
    if not tables:
        raise FeasibilityError("There is nothing to pool.")
    names = list(names) or [f"table {i + 1}" for i in range(len(tables))]
    parts = check_parts([t.header for t in tables], [id(t) for t in tables], names)
    kinds = check_answers([t.header for t in tables], names, answers)
    if answers == UNKNOWN_AS_FAIL:
        tables = [t if kind == answers else t.unknown_as_fail() for t, kind in zip(tables, kinds, strict=True)]
    first = tables[0]
    for i, j in combinations(range(len(tables)), 2):
        check_alike(tables[i], tables[j], (names[i], names[j]))
    tables = [t if t.ids == first.ids else t.keep(first.ids) for t in tables]
    strata = None if first.strata is None else pd.concat([t.strata for t in tables], ignore_index=True)
    header = {k: v for k, v in first.header.items() if k not in ("file", "part", "route")} | {"parts": parts}
    for name in ("absent", "matched"):
        header |= {name: {k: v for t in tables for k, v in (t.header.get(name) or {}).items()}}
    return count(
        first.labels,
        np.concatenate([t.failed for t in tables]),
        np.concatenate([t.unknown for t in tables]),
        strata,
        np.concatenate([t.n for t in tables]),
        header,
    )
