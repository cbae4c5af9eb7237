"""Queries: each number of a release as a yes or no for every patient.

A query joins simple conditions on the statuses of named columns: a criterion, a criterion with another threshold
(``I5.1|min_hemoglobin=70``), or a flag (``site_id=A``, held as "failed").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feasibility.patterns import WORD

TABLES = ("funnel", "only-reason", "bounds", "scenarios", "curves", "failing", "overlaps", "strata")
"""Named tables of a release, the one kept longest first."""
CORE = ("funnel", "only-reason", "bounds", "scenarios", "curves")


@dataclass(frozen=True)
class Query:
    """The patients who pass all of ``passes``, fail none of ``stays``, fail all of ``fails``, and of whom all of
    ``unknown`` are unknown. Each is a tuple of column names; ``table`` is the named table that shows the count.
    """

    name: str
    table: str
    passes: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def bind(self, columns: Sequence[str]) -> BoundQuery:
        """The query over statuses whose columns stand in this order."""
        place = {name: i for i, name in enumerate(columns)}
        words = max(1, -(-len(columns) // WORD))
        masks = []
        for names in (self.passes, self.stays, self.fails, self.unknown):
            mask = [0] * words
            for name in names:
                mask[place[name] // WORD] |= 1 << (place[name] % WORD)
            masks.append(np.array(mask, dtype=np.uint64))
        return BoundQuery(self, *masks)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.passes, *self.stays, *self.fails, *self.unknown)))

    def to_dict(self) -> dict:
        """Plain values, for the released file and the ledger."""
        lists = {key: list(getattr(self, key)) for key in ("passes", "stays", "fails", "unknown") if getattr(self, key)}
        return {"name": self.name, "table": self.table, **lists}

    @classmethod
    def from_dict(cls, values: dict) -> Query:
        lists = {key: tuple(values.get(key, ())) for key in ("passes", "stays", "fails", "unknown")}
        return cls(values["name"], values["table"], **lists)


@dataclass(frozen=True, eq=False)
class BoundQuery:
    """A query ready for packed statuses."""

    query: Query
    passes: np.ndarray
    stays: np.ndarray
    fails: np.ndarray
    unknown: np.ndarray

    def members(self, failed: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """One boolean a row of packed words (rows x words, 64 columns a word)."""
        inside = np.ones(len(failed), dtype=bool)
        for w in range(failed.shape[1]):
            f, u = failed[:, w], unknown[:, w]
            never = self.passes[w] | self.stays[w]
            if never:
                inside &= (f & never) == 0
            if self.passes[w]:
                inside &= (u & self.passes[w]) == 0
            if self.fails[w]:
                inside &= (f & self.fails[w]) == self.fails[w]
            if self.unknown[w]:
                inside &= (u & self.unknown[w]) == self.unknown[w]
        return inside


def members(queries: Sequence[Query], columns: Sequence[str], failed: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Boolean matrix, rows of packed statuses x queries."""
    table = np.zeros((len(failed), len(queries)), dtype=bool)
    for j, query in enumerate(queries):
        table[:, j] = query.bind(columns).members(failed, unknown)
    return table


def funnel_queries(ids: Sequence[str]) -> list[Query]:
    """The funnel: who is excluded at each criterion, who remains, who is confirmed so far."""
    queries = []
    for i, key in enumerate(ids):
        queries += [
            Query(f"excluded:{key}", "funnel", stays=tuple(ids[:i]), fails=(key,)),
            Query(f"remaining:{key}", "funnel", stays=tuple(ids[: i + 1])),
            Query(f"confirmed:{key}", "bounds", passes=tuple(ids[: i + 1])),
        ]
    return queries


def reason_queries(ids: Sequence[str]) -> list[Query]:
    """What each criterion alone costs: its only failure, its only unknown, and the gain if it were waived."""
    queries = []
    for key in ids:
        others = tuple(other for other in ids if other != key)
        queries += [
            Query(f"only_reason:{key}", "only-reason", fails=(key,), passes=others),
            Query(f"only_unknown:{key}", "only-reason", unknown=(key,), passes=others),
            Query(f"gain_possible:{key}", "only-reason", fails=(key,), stays=others),
        ]
    return queries


def changed_queries(name: str, columns: Sequence[str], table: str) -> list[Query]:
    """Who is possible and who is confirmed with other criteria in force."""
    return [
        Query(f"possible@{name}", table, stays=tuple(columns)),
        Query(f"confirmed@{name}", table, passes=tuple(columns)),
    ]


def failing_queries(ids: Sequence[str]) -> list[Query]:
    """Who fails each criterion, and of whom it is unknown, whatever else holds."""
    return [
        one
        for key in ids
        for one in (
            Query(f"failing:{key}", "failing", fails=(key,)),
            Query(f"unknown:{key}", "failing", unknown=(key,)),
        )
    ]


def overlap_queries(ids: Sequence[str]) -> list[Query]:
    """Who fails both of each pair of criteria."""
    return [
        Query(f"both:{a}&{b}", "overlaps", fails=(a, b)) for i, a in enumerate(ids) for b in ids[i + 1 :]
    ]  # fmt: skip


def stratum_queries(flags: Sequence[str], ids: Sequence[str]) -> list[Query]:
    """The patients, the possible and the confirmed of each stratum."""
    return [
        one
        for flag in flags
        for one in (
            Query(f"patients:{flag}", "strata", fails=(flag,)),
            Query(f"possible:{flag}", "strata", fails=(flag,), stays=tuple(ids)),
            Query(f"confirmed:{flag}", "strata", fails=(flag,), passes=tuple(ids)),
        )
    ]
