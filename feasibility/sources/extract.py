"""A hospital's extract as canonical event tables, whatever format it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feasibility.errors import CohortError, did_you_mean
from feasibility.sources.events import TABLES


@dataclass(frozen=True)
class Extract:
    """The event tables of one hospital, as Ibis tables, and what was noticed while they were read.

    ``tables`` maps the names of ``feasibility.sources.events.TABLES`` to Ibis tables with their physical columns; a
    table the source does not have is absent, and its columns become unknown, never "no". ``quality`` holds one dict
    per kind of problem: column (``table.column``), file_column, kind, reason, n, rows (line numbers). ``facts`` is
    whatever else the source knows: files, their line counts, ignored columns.
    """

    tables: Mapping[str, Any]
    source: str
    quality: list[dict] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name, table in self.tables.items():
            if name not in TABLES:
                raise CohortError(f"{self.source}: no event table is called {name!r}.{did_you_mean(name, TABLES)}")
            need = TABLES[name].physical()
            lacking = [c for c in need if c not in table.columns]
            if lacking:
                raise CohortError(f"{self.source}: event table {name!r} lacks the column(s) {', '.join(lacking)}.")
        if "patients" not in self.tables:
            raise CohortError(f"{self.source}: there is no table of patients.")

    def __contains__(self, name: str) -> bool:
        return name in self.tables

    def __repr__(self) -> str:
        return f"Extract({self.source!r}, tables: {', '.join(self.tables)})"


def event(column: str, file_column: str, kind: str, reason: str, n: int, rows=()) -> dict:
    """One entry of ``Extract.quality``, in the shape the quality report of a cohort reads."""
    return {
        "column": column,
        "file_column": file_column,
        "kind": kind,
        "reason": reason,
        "n": int(n),
        "rows": [int(r) for r in list(rows)[:100]],
    }
