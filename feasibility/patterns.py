"""Patterns: each combination of statuses over the criteria, with the number of patients who have it.

The funnel in any order, what each criterion costs, overlaps and bounds are functions of this table alone.
A pattern table is as confidential as the patients: with two dozen criteria most patients of a small hospital are
alone in their pattern.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, ProtocolError, did_you_mean

WORD = 64
FORMAT = "feasibility patterns 1"


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

    def save(self, path: str | Path) -> None:
        """Write the table as Parquet with a header and a checksum. Confidential: as good as patient-level data."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = {"n": self.n}
        for w in range(self.failed.shape[1]):
            table |= {f"failed_{w}": self.failed[:, w], f"unknown_{w}": self.unknown[:, w]}
        arrow = pa.table(table)
        if self.strata is not None:
            for name in self.strata:
                arrow = arrow.append_column(f"stratum:{name}", pa.array(self.strata[name]))
        header = {"format": FORMAT, "labels": [asdict(x) for x in self.labels], **self.header}
        header["checksum"] = _checksum(arrow, header)
        pq.write_table(arrow.replace_schema_metadata({"feasibility": json.dumps(header)}), path)

    @classmethod
    def load(cls, path: str | Path) -> PatternTable:
        """Read a pattern file; a truncated or edited one is refused."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            arrow = pq.read_table(path)
            header = json.loads(arrow.schema.metadata[b"feasibility"])
        except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
            raise FeasibilityError(f"{path}: not a readable pattern file ({error}).") from None
        arrow = arrow.replace_schema_metadata(None)
        expected = header.pop("checksum", None)
        if header.get("format") != FORMAT or expected != _checksum(arrow, header):
            raise FeasibilityError(f"{path}: the file was changed after it was written, or has another format.")
        labels = tuple(CriterionLabel(**x) for x in header.pop("labels"))
        header.pop("format")
        words = max(1, -(-len(labels) // WORD))
        strata = {c.split(":", 1)[1]: arrow[c].to_pandas() for c in arrow.column_names if c.startswith("stratum:")}
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


def pool(tables: Iterable[PatternTable]) -> PatternTable:
    """Add up the pattern tables of parts of one hospital's patients.

    Raises FeasibilityError if they were screened against different protocols, saying which criterion differs.
    """
    tables = list(tables)
    if not tables:
        raise FeasibilityError("There is nothing to pool.")
    first = tables[0]
    for other in tables[1:]:
        for a, b in zip(first.labels, other.labels, strict=False):
            if a != b:
                raise FeasibilityError(f"The tables come from different protocols: {a.id} ({a.name}) against {b.id}.")
        if len(first.labels) != len(other.labels):
            raise FeasibilityError("The tables come from different protocols: their numbers of criteria differ.")
        mine, theirs = (dict(t.header.get("criteria", {})) for t in (first, other))
        for key in mine:
            if theirs.get(key) != mine[key]:
                raise FeasibilityError(f"Criterion {key} differs between the tables (threshold, reading or code).")
        if first.header.get("build") != other.header.get("build"):
            raise FeasibilityError("The tables come from cohorts with different build settings.")
    strata = None
    if all(t.strata is not None for t in tables):
        strata = pd.concat([t.strata for t in tables], ignore_index=True)
    return count(
        first.labels,
        np.concatenate([t.failed for t in tables]),
        np.concatenate([t.unknown for t in tables]),
        strata,
        np.concatenate([t.n for t in tables]),
        first.header,
    )


def _checksum(arrow, header) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, default=str).encode())
    for name in sorted(arrow.column_names):
        column = arrow[name]
        text = name.startswith("stratum:")
        digest.update(name.encode())
        digest.update(json.dumps(column.to_pylist(), default=str).encode() if text else column.to_numpy().tobytes())
    return digest.hexdigest()
