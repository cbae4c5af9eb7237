"""What a report says, as plain values: nothing here computes, so that a template only has to lay it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class SettingRow:
    """A threshold or reading in force, with the protocol's own value."""

    name: str
    criterion: str
    kind: str
    value: Any
    protocol: Any
    unit: str = ""
    choices: str = ""

    @property
    def changed(self) -> bool:
        return self.value != self.protocol


@dataclass(frozen=True)
class CriterionRow:
    """A criterion the data can decide: the words it quotes, our reading, and how the patients fare."""

    id: str
    name: str
    text: str
    reading: str
    n_pass: int
    n_fail: int
    n_unknown: int
    columns: tuple[str, ...] = ()
    settings: tuple[SettingRow, ...] = ()
    why_unknown: str = ""


@dataclass(frozen=True)
class AssumedRow:
    """A part of the protocol no patient table can decide, with the rate at which patients are assumed to satisfy it."""

    id: str
    name: str
    kind: str
    text: str
    mean: float
    low: float
    high: float
    source: str
    same_as: str = ""


@dataclass(frozen=True)
class ClauseRow:
    """One clause of the registered text with everything that belongs to it.

    ``status`` is "assessable", "partly", "not assessable", "waived" or "added"; the counts are patients, over the
    clause as a whole: failed if one of its criteria failed, unknown if none failed and one is unknown.
    """

    id: str
    kind: str
    text: str
    status: str
    criteria: tuple[CriterionRow, ...] = ()
    assumed: tuple[AssumedRow, ...] = ()
    waived: tuple[str, ...] = ()
    waived_names: tuple[str, ...] = ()
    n_pass: int = 0
    n_fail: int = 0
    n_unknown: int = 0
    why_unknown: str = ""

    @property
    def says(self) -> str:
        """Whether this table can tell: yes, partly, no, or not in this file (unknown for every patient)."""
        if not self.criteria:
            return {"not assessable": "no", "missing": "no rule"}.get(self.status, self.status)
        silent = [c for c in self.criteria if c.n_pass + c.n_fail == 0 and c.n_unknown]
        if len(silent) == len(self.criteria):
            return "not in this file"
        return "partly" if silent or self.assumed or self.waived else "yes"


@dataclass(frozen=True)
class MissingColumn:
    """A column the file lacks, with the criteria that read it."""

    column: str
    criteria: tuple[str, ...]
    meaning: str = ""


@dataclass(frozen=True)
class QualityEvent:
    """Something done to, or found in, the values of one column: how often and why. Never a value, never a patient."""

    column: str
    kind: str
    reason: str
    n: int


@dataclass(frozen=True)
class ReportData:
    """Everything on the page. ``generated_on`` is given by the caller: a report knows no clock.

    ``attrition`` and ``impact`` are the tables of those names, by criterion; ``attrition_by_clause`` is by clause.
    ``provenance`` is printed as it is, label and value.
    """

    title: str
    trial_id: str
    generated_on: str
    n_patients: int
    n_confirmed: int
    n_possible: int
    attrition: pd.DataFrame
    attrition_by_clause: pd.DataFrame
    impact: pd.DataFrame
    clauses: tuple[ClauseRow, ...]
    index_date: str = ""
    site: str = ""
    sponsor: str = ""
    source: str = ""
    columns_read: int = 0
    missing_columns: tuple[MissingColumn, ...] = ()
    build_settings: tuple[SettingRow, ...] = ()
    quality: tuple[QualityEvent, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def assumed(self) -> tuple[AssumedRow, ...]:
        """What the data cannot decide, over all clauses."""
        return tuple(row for clause in self.clauses for row in clause.assumed)

    @property
    def criteria(self) -> tuple[CriterionRow, ...]:
        """The criteria the data can decide, over all clauses."""
        return tuple(row for clause in self.clauses for row in clause.criteria)

    @property
    def settings(self) -> tuple[SettingRow, ...]:
        """Every threshold and reading in force."""
        return tuple(setting for row in self.criteria for setting in row.settings)

    @property
    def changed(self) -> tuple[SettingRow, ...]:
        """Thresholds, readings and build settings that are not the defaults, each once."""
        return tuple({s.name: s for s in (*self.settings, *self.build_settings) if s.changed}.values())

    @property
    def waived(self) -> tuple[str, ...]:
        """Ids of criteria left out of this run."""
        return tuple(name for clause in self.clauses for name in clause.waived)

    @property
    def unknown_for_all(self) -> tuple[CriterionRow, ...]:
        """Criteria that the data could decide for nobody."""
        return tuple(row for row in self.criteria if row.n_unknown == self.n_patients)
