"""From a screening to the plain values of a report."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from importlib import metadata

import numpy as np
import pandas as pd

from feasibility.analysis.attrition import attrition
from feasibility.analysis.impact import impact
from feasibility.analysis.why_unknown import ABSENT, why_unknown
from feasibility.report import words
from feasibility.report.alternatives import counts_as_written, other_readings, together
from feasibility.report.data import (
    AssumedRow,
    CauseRow,
    ClauseRow,
    CriterionRow,
    MissingColumn,
    QualityEvent,
    ReportData,
    SettingRow,
    WaivedRow,
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
    contact: str = "",
    source_sha256: str = "",
    unknowns=None,
    enrollment=None,
) -> ReportData:
    """Everything a report on one screening says.

    ``cohort`` is the table that was screened; with it the report says why values are unknown, what was done to them on
    reading, how other readings would count, and, for a changed protocol, how the one as written would.
    ``unknowns`` (``missing_section``) and ``enrollment`` (``enrollment_section``) are further sections, left out where
    not given. ``generated_on`` is the date to print: nothing here reads a clock. ``source`` names the file and
    ``source_sha256`` is the hash of its bytes.
    """
    protocol = screening.protocol
    built = dict(cohort.attrs.get("feasibility", {})) if cohort is not None else {}
    patterns = screening.patterns()
    costs = impact(screening)
    causes, why_sample = _causes(screening, cohort)
    criteria = {
        c.id: _criterion(c, costs.loc[c.id], patterns.n_patients, causes["criterion"].get(c.id, ()))
        for c in protocol.assessable
    }
    report = ReportData(
        title=title or f"Feasibility of {protocol.id}: {protocol.title}",
        trial_id=protocol.id,
        generated_on=str(generated_on),
        n_patients=patterns.n_patients,
        n_confirmed=patterns.n_confirmed,
        n_possible=patterns.n_possible,
        attrition=attrition(screening),
        attrition_by_clause=attrition(screening, level="clause"),
        impact=costs,
        clauses=tuple(_clauses(screening, criteria, causes["clause"])),
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
        provenance=_provenance(screening, cohort, built, source, source_sha256),
        contact=contact,
        fingerprint=protocol.fingerprint(),
        version=str(screening.header.get("version", "")),
        n_synthetic=_synthetic(cohort),
        verbatim=protocol.verbatim,
        unknown_criteria=_unknown_criteria(patterns),
        waived_rows=tuple(_waived_rows(protocol)),
        readings=other_readings(screening, cohort),
        built=bool(built.get("built_from")),
        why_sample=why_sample,
        unknowns=unknowns,
        enrollment=enrollment,
    )
    rates = {c.id: c.rate for c in protocol.not_assessable}
    report = replace(report, assumed_together=together(report.assumed_once, rates))
    if report.is_variant:
        report = replace(report, title=f"{report.title} (variant)")
        if cohort is not None:
            report = replace(report, as_written=counts_as_written(screening, cohort))
    return report


def _synthetic(cohort) -> int:
    """How many rows a generator made."""
    if cohort is None or "synthetic" not in cohort.columns:
        return 0
    return int(cohort["synthetic"].fillna(False).astype(bool).sum())


def _unknown_criteria(patterns) -> dict[str, int]:
    """The undetermined by how many of their criteria are unknown."""
    undetermined = (patterns.n_failed == 0) & (patterns.n_unknown > 0)
    counts = {
        str(k): patterns.count(undetermined & (patterns.n_unknown == k)) for k in (1, 2, 3)
    } | {"4 or more": patterns.count(undetermined & (patterns.n_unknown > 3))}  # fmt: skip
    return {label: n for label, n in counts.items() if n}


def _waived_rows(protocol):
    """Waived criteria the data could decide, each with the criterion of the funnel it would stand before."""
    kept = {c.id for c in protocol.assessable}
    every = [c for c in protocol.all_criteria if c.assessable]
    for i, one in enumerate(every):
        if one.id in protocol.waived:
            yield WaivedRow(one.id, one.name, next((c.id for c in every[i + 1 :] if c.id in kept), ""))


def _causes(screening: Screening, cohort) -> tuple[dict[str, dict[str, tuple[CauseRow, ...]]], int]:
    """Why each criterion and clause is unknown, and of how many patients these counts are (0: of all)."""
    protocol = screening.protocol
    rows: dict[str, dict[str, dict[str, list]]] = {"criterion": {}, "clause": {}}
    sample = 0
    if cohort is not None:
        table = why_unknown(screening, cohort)
        sample = int(table.attrs["sample"])
        for line in table.itertuples(index=False):
            rows[line.level].setdefault(line.id, {}).setdefault(line.column, []).append((int(line.n), line.cause))
    else:
        for name, ids in screening.missing_columns.items():
            for i in ids:
                n = int(screening.passes[i].isna().sum())
                rows["criterion"].setdefault(i, {name: [(n, ABSENT)]})
    return {
        level: {
            key: tuple(CauseRow(c, _meaning(protocol, c), tuple(parts)) for c, parts in columns.items())
            for key, columns in of.items()
        }
        for level, of in rows.items()
    }, sample


def _index_date(cohort, built: dict) -> str:
    """The day of screening, or the first and last where patients have their own."""
    if cohort is not None and "index_date" in (cohort.index.names or ()):
        days = pd.DatetimeIndex(cohort.index.get_level_values("index_date")).dropna()
        if len(days):
            first, last = days.min().date().isoformat(), days.max().date().isoformat()
            return first if first == last else f"{first} to {last}"
    return str(built.get("index_date") or "")


def _build_settings(protocol, built: dict):
    """How the columns this trial reads were made (windows, statistics, limits), or of ready-made ones what was changed.

    What is declared for a column says nothing of how a hospital made it, so only a table built here shows it.
    """
    defaults = protocol.columns.settings() if protocol.columns is not None else {}
    for name, value in {**defaults, **built.get("settings", {})}.items():
        column = name.split(".")[0]
        default = defaults.get(name, value)
        if column in protocol.reads and (built.get("built_from") or value != default):
            used_by = ", ".join(protocol.reads[column])
            yield SettingRow(name, used_by, "build setting", value, default)


def _meaning(protocol, name: str) -> str:
    return protocol.columns[name].doc if protocol.columns is not None and name in protocol.columns else ""


def _criterion(criterion, costs, n_patients: int, causes) -> CriterionRow:
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
                unit=s.unit, choices=", ".join(words.raw(c) for c in s.choices if c != criterion.values[s.name]),
                origin=s.origin,
            )
            for s in criterion.settings
        ),
        causes=causes,
    )  # fmt: skip


def _clauses(screening: Screening, criteria: dict[str, CriterionRow], causes):
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
            waived=tuple(_ids(row.waived)),
            waived_names=tuple(_waived_names(protocol, row.waived)), n_pass=passing, n_fail=failing, n_unknown=unknown,
            causes=causes.get(mine[0].id.split(".")[0], ()) if mine else (),
        )  # fmt: skip


def _waived_names(protocol, ids: str):
    names = {c.id: c.name for c in protocol.all_criteria}
    return (names[i] for i in _ids(ids))


def _assumed(one) -> AssumedRow:
    low, high = one.rate.interval()
    return AssumedRow(
        id=one.id, name=one.name, kind=one.kind, text=one.text, mean=one.rate.mean, low=low, high=high,
        source=one.source, same_as=one.same_as,
    )  # fmt: skip


def _ids(text: str) -> list[str]:
    return [part for part in str(text).split(", ") if part]


def _provenance(screening: Screening, cohort, built: dict, source: str, sha256: str) -> dict[str, str]:
    protocol = screening.protocol
    facts = {
        "Trial": f"{protocol.id}, {protocol.title}",
        "Registered text" if protocol.verbatim else "Source of the summary": protocol.source,
        "Wording": "" if protocol.verbatim else words.SUMMARY,
        "Protocol fingerprint": protocol.fingerprint(),
        "Patient table": source,
        "Synthetic rows": f"{_synthetic(cohort):,} of {screening.n_patients:,}: made by a generator, not patients"
        if _synthetic(cohort)
        else "",
        "SHA-256 of the file": sha256,
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
