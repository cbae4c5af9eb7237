"""From a screening to the plain values of a report."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata

import numpy as np
import pandas as pd

from feasibility.analysis.attrition import attrition
from feasibility.analysis.impact import impact
from feasibility.figures.style import share, title_case
from feasibility.report import words
from feasibility.report.data import (
    AssumedRow,
    ClauseRow,
    CriterionRow,
    MissingColumn,
    QualityEvent,
    ReportData,
    SettingRow,
)
from feasibility.screening import Screening


def build_report(
    screening: Screening,
    cohort: pd.DataFrame | None = None,
    *,
    generated_on: str,
    title: str | None = None,
    source: str = "",
    site: str = "",
    sponsor: str = "",
) -> ReportData:
    """Everything a report on one screening says.

    ``cohort`` is the table that was screened; with it the report says which columns are empty and what was done to the
    values on reading. ``generated_on`` is the date to print: nothing here reads a clock. ``source`` names the file.
    """
    protocol = screening.protocol
    built = dict(cohort.attrs.get("feasibility", {})) if cohort is not None else {}
    patterns = screening.patterns()
    costs = impact(screening)
    criteria = {
        c.id: _criterion(c, costs.loc[c.id], patterns.n_patients, screening, cohort) for c in protocol.assessable
    }
    return ReportData(
        title=title or f"Feasibility of {protocol.id}: {protocol.title}",
        trial_id=protocol.id,
        generated_on=str(generated_on),
        n_patients=patterns.n_patients,
        n_confirmed=patterns.n_confirmed,
        n_possible=patterns.n_possible,
        attrition=attrition(screening),
        attrition_by_clause=attrition(screening, level="clause"),
        impact=costs,
        clauses=tuple(_clauses(screening, criteria)),
        index_date=_index_date(cohort, built),
        build_settings=tuple(_build_settings(protocol, built)),
        site=site,
        sponsor=sponsor,
        source=source,
        columns_read=len(protocol.reads),
        missing_columns=tuple(
            MissingColumn(name, tuple(ids), _meaning(protocol, name)) for name, ids in screening.missing_columns.items()
        ),
        quality=tuple(
            QualityEvent(str(e.get("column", "")), words.event(str(e["kind"])), str(e["reason"]), int(e["n"]))
            for e in built.get("events", ())
        ),
        provenance=_provenance(screening, cohort, built, source),
    )


def _index_date(cohort, built: dict) -> str:
    """The day of screening, or the first and last where patients have their own."""
    if cohort is not None and "index_date" in (cohort.index.names or ()):
        days = pd.DatetimeIndex(cohort.index.get_level_values("index_date")).dropna()
        if len(days):
            first, last = days.min().date().isoformat(), days.max().date().isoformat()
            return first if first == last else f"{first} to {last}"
    return str(built.get("index_date") or "")


def _build_settings(protocol, built: dict):
    """How the columns this trial reads were made: windows, statistics, limits."""
    defaults = protocol.columns.settings() if protocol.columns is not None else {}
    for name, value in {**defaults, **built.get("settings", {})}.items():
        column = name.split(".")[0]
        if column in protocol.reads:
            used_by = ", ".join(protocol.reads[column])
            yield SettingRow(name, used_by, "build setting", value, defaults.get(name, value))


def _meaning(protocol, name: str) -> str:
    return protocol.columns[name].doc if protocol.columns is not None and name in protocol.columns else ""


def _criterion(criterion, costs, n_patients: int, screening: Screening, cohort) -> CriterionRow:
    failing, unknown = int(costs.n_failing), int(costs.n_unknown)
    return CriterionRow(
        id=criterion.id,
        name=criterion.name,
        text=criterion.text,
        reading=criterion.reading,
        n_pass=n_patients - failing - unknown,
        n_fail=failing,
        n_unknown=unknown,
        columns=tuple(criterion.reads),
        settings=tuple(
            SettingRow(
                name=s.name, criterion=criterion.id, kind=s.kind, value=criterion.values[s.name], protocol=s.default,
                unit=s.unit, choices=", ".join(words.raw(c) for c in s.choices),
            )
            for s in criterion.settings
        ),
        why_unknown=_why(criterion, unknown, screening, cohort),
    )  # fmt: skip


def _why(criterion, unknown: int, screening: Screening, cohort) -> str:
    """Why a criterion is unknown: columns the file lacks, else the column most often empty in those very patients."""
    if not unknown:
        return ""
    absent = [c for c in criterion.reads if c in screening.missing_columns]
    if absent:
        more = f" and {len(absent) - 2} more" if len(absent) > 2 else ""
        return f"the file lacks {', '.join(absent[:2])}{more}"
    if cohort is None:
        return ""
    where = screening.passes[criterion.id].isna().to_numpy()
    holes = {c: cohort[c].isna().to_numpy()[where].mean() for c in criterion.reads if c in cohort.columns}
    worst = max(holes, key=holes.get, default="")
    if not worst or holes[worst] < 0.1:
        return "values too old or not precise enough"
    return f"{worst} is empty" + ("" if holes[worst] > 0.995 else f" in {share(holes[worst], 1)} of them")


def _clauses(screening: Screening, criteria: dict[str, CriterionRow]):
    protocol = screening.protocol
    coverage = protocol.coverage()
    counts = impact(screening, level="clause")
    n_patients = screening.n_patients
    for clause, row in coverage.iterrows():
        mine = tuple(criteria[i] for i in _ids(row.criteria))
        assumed = tuple(_assumed(protocol[i]) for i in _ids(row.not_assessable))
        failing = unknown = passing = 0
        if mine:
            key = clause if clause in counts.index else mine[0].id.split(".")[0]
            failing, unknown = int(counts.loc[key].n_failing), int(counts.loc[key].n_unknown)
            passing = n_patients - failing - unknown
        yield ClauseRow(
            id=clause, kind=row.kind, text=row.text, status=row.status, criteria=mine, assumed=assumed,
            waived=tuple(_ids(row.waived)), waived_names=tuple(_waived_names(protocol, row.waived)), n_pass=passing, n_fail=failing, n_unknown=unknown,
            why_unknown=_clause_why(mine, n_patients),
        )  # fmt: skip


def _waived_names(protocol, ids: str):
    names = {c.id: c.name for c in protocol.all_criteria}
    return (names[i] for i in _ids(ids))


def _clause_why(criteria: tuple[CriterionRow, ...], n_patients: int) -> str:
    """The criterion most often unknown in a clause, with its reason."""
    rows = sorted((c for c in criteria if c.n_unknown), key=lambda c: -c.n_unknown)
    if not rows:
        return ""
    if len(criteria) == 1:
        return rows[0].why_unknown
    return f"{title_case(rows[0].name)} {share(rows[0].n_unknown, n_patients)}: {rows[0].why_unknown}"


def _assumed(one) -> AssumedRow:
    low, high = one.rate.interval()
    return AssumedRow(
        id=one.id, name=one.name, kind=one.kind, text=one.text, mean=one.rate.mean, low=low, high=high,
        source=one.source, same_as=one.same_as,
    )  # fmt: skip


def _ids(text: str) -> list[str]:
    return [part for part in str(text).split(", ") if part]


def _provenance(screening: Screening, cohort, built: dict, source: str) -> dict[str, str]:
    protocol = screening.protocol
    facts = {
        "Trial": f"{protocol.id}, {protocol.title}",
        "Registered text": protocol.source,
        "Protocol fingerprint": protocol.fingerprint(),
        "Patient table": source,
        "Patient table fingerprint": _data_fingerprint(cohort),
        "Build settings fingerprint": built.get("build_fingerprint") or screening.header.get("build"),
        "Patients and criteria": f"{screening.n_patients:,} patients, {len(protocol)} assessable criteria, "
        f"{len(protocol.not_assessable)} not assessable, {len(protocol.waived)} waived",
        "Software": f"trial-feasibility {screening.header.get('version', '')}, Python {platform.python_version()}, "
        f"pandas {pd.__version__}, numpy {np.__version__}, matplotlib {metadata.version('matplotlib')}",
    }
    return {label: str(text) for label, text in facts.items() if text}


def _data_fingerprint(cohort) -> str:
    """A short hash of every cell and patient: another table, another fingerprint."""
    if cohort is None:
        return ""
    digest = hashlib.sha256("|".join(map(str, cohort.columns)).encode())
    digest.update(pd.util.hash_pandas_object(cohort, index=True).to_numpy().tobytes())
    return digest.hexdigest()[:16]
