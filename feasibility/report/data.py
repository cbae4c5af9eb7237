"""What a report says, as plain values: nothing here computes, so that a template only has to lay it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from feasibility.report.forecasts import EnrollmentSection, MissingSection


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
    origin: str = "protocol"

    @property
    def changed(self) -> bool:
        return self.value != self.protocol

    @property
    def ours(self) -> bool:
        """The registered text leaves it open: the number or reading is ours."""
        return self.origin == "ours"


@dataclass(frozen=True)
class CauseRow:
    """A column that keeps something unknown: patients by how it does. No column where it takes several together."""

    column: str
    meaning: str
    parts: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ReadingRow:
    """One reading other than the one in force, and the counts under it."""

    name: str
    criteria: tuple[str, ...]
    value: Any
    in_force: Any
    n_confirmed: int
    n_possible: int
    more_confirmed: int
    more_possible: int
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class WaivedRow:
    """A criterion left out, and the one of the funnel it would stand before ("" for the end)."""

    id: str
    name: str
    before: str = ""


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
    causes: tuple[CauseRow, ...] = ()


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
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClauseRow:
    """One clause of the registered text with everything that belongs to it.

    ``status`` is "assessable", "partly", "not assessable", "waived" or "added"; the counts are patients, over the
    clause as a whole: excluded if one of its criteria excludes, else unknown if one is unknown.
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
    causes: tuple[CauseRow, ...] = ()

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
    ``provenance`` is printed as it is, label and value. ``unknown_criteria`` counts the undetermined by how many of
    their criteria are unknown; ``assumed_together`` is the joint rate of what no table can tell: mean, and the ends of
    its 90 % range. ``as_written`` has the confirmed and possible of the unchanged protocol, if this run changes it.
    ``built`` is True where the tool itself made the columns from records. ``why_sample`` is the number of patients
    behind the causes of unknowns where not all were looked at. ``unknowns`` and ``enrollment`` are sections that are
    left out where nothing was computed for them.
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
    contact: str = ""
    fingerprint: str = ""
    version: str = ""
    n_synthetic: int = 0
    verbatim: bool = True
    unknown_criteria: Mapping[str, int] = field(default_factory=dict)
    assumed_together: tuple[float, float, float] | None = None
    as_written: tuple[int, int] | None = None
    waived_rows: tuple[WaivedRow, ...] = ()
    readings: tuple[ReadingRow, ...] = ()
    built: bool = False
    why_sample: int = 0
    unknowns: MissingSection | None = None
    enrollment: EnrollmentSection | None = None

    @property
    def assumed(self) -> tuple[AssumedRow, ...]:
        """What the data cannot decide, over all clauses."""
        return tuple(row for clause in self.clauses for row in clause.assumed)

    @property
    def assumed_once(self) -> tuple[AssumedRow, ...]:
        """The same, each fact once: what states the same fact as another is named beside it."""
        rows = self.assumed
        names = {row.name for row in rows}
        return tuple(
            replace(row, also=tuple(r.id for r in rows if r.same_as == row.name))
            for row in rows
            if row.same_as not in names
        )

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
    def added(self) -> tuple[str, ...]:
        """Ids of criteria that the protocol as written does not have."""
        return tuple(clause.id for clause in self.clauses if clause.status == "added")

    @property
    def is_variant(self) -> bool:
        """Whether this run is of another protocol than the one written."""
        return bool(self.waived or self.added or any(s.changed for s in self.settings))

    @property
    def distinct_settings(self) -> tuple[SettingRow, ...]:
        """Every threshold and reading once."""
        return tuple({s.name: s for s in self.settings}.values())

    @property
    def unknown_for_all(self) -> tuple[CriterionRow, ...]:
        """Criteria that the data could decide for nobody."""
        return tuple(row for row in self.criteria if row.n_unknown == self.n_patients)
