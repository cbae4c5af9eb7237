"""FHIR R4, as bundles or a bulk export, as canonical event tables."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from feasibility.cohort.made_up import marked
from feasibility.errors import ReadError
from feasibility.sources.extract import Extract, event

_IN_MEMORY = 1 << 30
"""Exports larger than this (packed size) are kept in a temporary database file."""
_MEDICATION = ("MedicationRequest", "MedicationAdministration", "MedicationStatement")
_EXPECTED = ("Condition", "Observation", "MedicationRequest", "Procedure", "AllergyIntolerance", "Encounter")


def fhir(
    source: str | Path,
    mapping: Mapping | str | Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Extract:
    """The event tables of a FHIR R4 export.

    Read are Patient, Condition, Observation (with components), MedicationRequest, MedicationAdministration,
    MedicationStatement, Medication, Procedure, AllergyIntolerance and Encounter. What is entered in error, refuted,
    cancelled or not done is left out and counted in ``quality``; a type that is absent makes its columns unknown.

    Parameters
    ----------
    source:
        A file or folder of bulk NDJSON (``.ndjson``, ``.jsonl``) or bundles (``.json``), packed with .gz or not.
    mapping:
        A dict or TOML file with any of: ``systems`` (address of a local code system to icd10, loinc, ...), ``timezone``
        (times are converted to this zone before their day is taken; without it the day is the one written).
    progress:
        Called with what is being read and the fraction done.

    Raises
    ------
    ReadError
        If no Patient is found, a file is cut off, packed badly or no JSON, or a setting is unknown.
    """
    import ibis

    from feasibility.sources import fhir_sql
    from feasibility.sources.fhir_files import find, load
    from feasibility.sources.fhir_types import EVENT_TABLES
    from feasibility.sources.vocabulary import check_system, read_mapping

    settings = read_mapping(mapping, ("systems", "timezone"))
    systems = {a: check_system(s, "systems") for a, s in settings.get("systems", {}).items()}
    progress = progress or (lambda stage, fraction: None)
    path = Path(source)
    folder = Path(tempfile.mkdtemp(prefix="feasibility-fhir-"))
    try:
        found = find(path, folder, progress)
        if "Patient" not in found.files:
            others = ", ".join(sorted({*found.files, *found.ignored})) or "nothing"
            raise ReadError(f"{path.name}: there is no Patient resource, so nobody can be screened. It has: {others}.")
        con = ibis.duckdb.connect(folder / "extract.duckdb" if found.size > _IN_MEMORY else ":memory:")
        duck = con.con
        fhir_sql.define(duck, systems, settings.get("timezone", ""))
        counts = {}
        for done, (kind, files) in enumerate(found.files.items()):
            progress(kind, 0.4 + 0.4 * done / len(found.files))
            counts[kind] = load(duck, kind, files, found.quality)
        for kind in _EXPECTED:
            if kind not in counts:
                found.quality.append(event(EVENT_TABLES[kind], kind, "table_absent", "missing", 0))
        progress("events", 0.8)
        names = _events(duck, set(counts), found.quality)
        _count(duck, counts, names, found.quality)
        told = {"synthetic": True} if marked(path) or _all_are_tests(duck) else {}
        for kind in counts:
            duck.execute(f"DROP TABLE raw_{kind}")
        tables = {name: con.table(name) for name in names}
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for leftover in folder.glob("*.ndjson"):
        leftover.unlink()
    weakref.finalize(con, shutil.rmtree, folder, True)
    progress("done", 1.0)
    facts = {"resources": counts, "ignored_resources": dict(found.ignored)} | told
    return Extract(tables, f"FHIR {path.name}", found.quality, facts)


def _events(duck, have: set[str], quality: list[dict]) -> list[str]:
    """Create the event tables the resources allow; their names."""
    from feasibility.sources import fhir_rows
    from feasibility.sources.drug_names import add_ingredients
    from feasibility.sources.fhir_drugs import medications

    names = ["patients"]
    for kind, name, make in (
        ("Encounter", "observed", fhir_rows.observed),
        ("Condition", "diagnoses", fhir_rows.diagnoses),
        ("Procedure", "procedures", fhir_rows.procedures),
        ("AllergyIntolerance", "allergies", fhir_rows.allergies),
        ("Observation", "labs", fhir_rows.labs),
    ):
        if kind in have:
            make(duck)
            names.append(name)
    fhir_rows.patients(duck, have)
    if have & set(_MEDICATION):
        medications(duck, have)
        add_ingredients(duck)
        names.append("medications")
    if "Observation" in have:
        for name in ("performance", "echo"):
            fhir_rows.routed(duck, name)
            if duck.execute(f"SELECT count(*) FROM {name}").fetchone()[0]:
                names.append(name)
        for name in fhir_rows.local_names(duck):
            rows = fhir_rows.local_events(duck, name)
            verb = (
                f"INSERT INTO {name}" if name in names or name in ("performance", "echo") else f"CREATE TABLE {name} AS"
            )
            duck.execute(f"{verb} {rows}")
            if name not in names:
                names.append(name)
        duck.execute("DROP VIEW obs_")
    return names


def _all_are_tests(duck) -> bool:
    """Whether every Patient is tagged as test data."""
    tagged = "len(list_filter(meta.tag, t -> t.code = 'HTEST' AND t.system LIKE '%v3-ActReason')) > 0"
    n, n_tagged = duck.execute(f"SELECT count(*), count(*) FILTER ({tagged}) FROM raw_Patient").fetchone()
    return 0 < n == n_tagged


def _count(duck, counts: dict[str, int], names: list[str], quality: list[dict]) -> None:
    """What was left out and what could not be told, counted."""
    from feasibility.sources.fhir_types import EVENT_TABLES, LEFT_OUT

    def note(column: str, file_column: str, kind: str, reason: str, sql: str) -> None:
        n = duck.execute(sql).fetchone()[0]
        if n:
            quality.append(event(column, file_column, kind, reason, n))

    for kind, (path, bad) in LEFT_OUT.items():
        if kind not in counts:
            continue
        where, table = f"{kind}.{path.split('.')[0]}", EVENT_TABLES[kind]
        for status in bad:
            note(table, where, "left_out", status, f"SELECT count(*) FROM raw_{kind} WHERE {path} = '{status}'")
        who = "patient" if kind == "AllergyIntolerance" else "subject"
        note(f"{table}.pid", f"{kind}.{who}", "no_patient", "missing",
             f"SELECT count(*) FROM raw_{kind} WHERE resourceType IS NOT NULL AND "
             f"fz_id({who}.reference) IS NULL")  # fmt: skip
    if "MedicationRequest" in counts:
        note("medications", "MedicationRequest.intent", "left_out", "proposal, plan or do not perform",
             "SELECT count(*) FROM raw_MedicationRequest "
             "WHERE intent IN ('proposal', 'plan') OR doNotPerform")  # fmt: skip
        note("medications.dose", "MedicationRequest.dosageInstruction", "unit_unknown", "dose without a unit",
             "SELECT count(*) FROM raw_MedicationRequest WHERE "
             "dosageInstruction[1].doseAndRate[1].doseQuantity.value IS NOT NULL AND "
             "fz_unit(dosageInstruction[1].doseAndRate[1].doseQuantity) IS NULL")  # fmt: skip
    if "Condition" in counts:
        note("diagnoses.dx_status", "Condition.verificationStatus", "unconfirmed", "kept, dx_status says so",
             "SELECT count(*) FROM raw_Condition WHERE verificationStatus.coding[1].code IN "
             "('unconfirmed', 'provisional', 'differential')")  # fmt: skip
        note("diagnoses.dx_date", "Condition.recordedDate", "date_recorded", "onset missing, day of recording used",
             "SELECT count(*) FROM raw_Condition WHERE onsetDateTime IS NULL AND onsetPeriod.\"start\" IS NULL AND "
             "recordedDate IS NOT NULL")  # fmt: skip
    note("patients.death_date", "Patient.deceasedBoolean", "undated", "date_missing",
         "SELECT count(*) FROM raw_Patient WHERE deceasedBoolean AND deceasedDateTime IS NULL")  # fmt: skip
    for table, date in (("diagnoses", "dx_date"), ("labs", "date"), ("medications", "start"), ("procedures", "date")):
        if table not in names:
            continue
        note(f"{table}.{date}", "", "undated", "date_missing",
             f"SELECT count(DISTINCT fact_id) FROM {table} WHERE {date} IS NULL")  # fmt: skip
        local = duck.execute(f"SELECT count(*) FROM {table} WHERE system = 'local' OR code IS NULL").fetchone()[0]
        if local:
            note(f"{table}.code", "", "unmapped", "no known code system",
                 f"SELECT count(*) FROM (SELECT fact_id FROM {table} GROUP BY fact_id HAVING bool_and(system = 'local' "
                 "OR code IS NULL))")  # fmt: skip
    if "labs" in names:
        note("labs.ref_high", "Observation.referenceRange", "ambiguous", "several normal ranges or another unit",
             "SELECT count(*) FROM raw_Observation WHERE len(referenceRange) > 1 OR (len(referenceRange) = 1 AND "
             "coalesce(referenceRange[1].high.code, referenceRange[1].low.code) != valueQuantity.code)")  # fmt: skip
