"""FHIR resources as canonical events: one SQL statement per event table, run inside DuckDB."""

from __future__ import annotations

from feasibility.sources.events import TABLES
from feasibility.sources.fhir_sql import COLUMN_SYSTEM, EVENT_SYSTEM, create, select
from feasibility.sources.fhir_types import LEFT_OUT
from feasibility.sources.vocabulary import rows

_NKDA = "('716186003', '409137002')"


def kept(kind: str) -> str:
    """The resources of a type that are facts, with their running number ``rid`` and patient ``pid``."""
    who = "patient" if kind == "AllergyIntolerance" else "subject"
    test = ""
    if kind in LEFT_OUT:
        path, bad = LEFT_OUT[kind]
        test = f" AND coalesce({path}, '') NOT IN ({', '.join(repr(b) for b in bad)})"
    if kind == "MedicationRequest":
        test += " AND coalesce(intent, '') NOT IN ('proposal', 'plan') AND NOT coalesce(doNotPerform, false)"
    return (
        f"(SELECT rowid AS rid, fz_id({who}.reference) AS pid, coalesce(id, 'line' || rowid) AS rkey, * "
        f"FROM raw_{kind} WHERE resourceType = '{kind}'{test})"
    )


def patients(duck, have: set[str]) -> None:
    """Patient, with the end of the last encounter as last visit."""
    visits = "SELECT NULL AS pid, NULL AS last_visit WHERE false"
    if "Encounter" in have:
        visits = "SELECT pid, max(coalesce(stop_last, start_last)) AS last_visit FROM observed GROUP BY pid"
    create(
        duck,
        "patients",
        {
            "row_id": "p.rowid", "pid": "p.id", "birth_date": "fz_day(birthDate)",
            "birth_date_last": "fz_last(birthDate)",
            "sex": "CASE gender WHEN 'unknown' THEN NULL ELSE gender END", "death_date": "fz_day(deceasedDateTime)",
            "death_date_last": "fz_last(deceasedDateTime)", "last_visit": "v.last_visit",
            "region": "coalesce(address[1].state, address[1].city)", "site_id": "fz_id(managingOrganization.reference)",
        },
        f"raw_Patient p LEFT JOIN ({visits}) v ON v.pid = p.id WHERE p.resourceType = 'Patient' ORDER BY p.rowid",
    )  # fmt: skip


def observed(duck) -> None:
    """Encounter.period; an encounter without an end was one day as far as anyone knows."""
    create(
        duck,
        "observed",
        {
            "row_id": "rid", "pid": "pid", "start": 'fz_day(period."start")', "start_last": 'fz_last(period."start")',
            "stop": 'fz_day(coalesce(period."end", period."start"))',
            "stop_last": 'fz_last(coalesce(period."end", period."start"))',
        },
        f"{kept('Encounter')} WHERE period.\"start\" IS NOT NULL OR period.\"end\" IS NOT NULL",
    )  # fmt: skip


def diagnoses(duck) -> None:
    """Condition: onset, else the day it was recorded; text gets the severity, dx_status says if only suspected."""
    start = 'coalesce(onsetDateTime, onsetPeriod."start", recordedDate)'
    create(
        duck,
        "diagnoses",
        {
            "row_id": "rid", "fact_id": "'Condition/' || rkey", "pid": "pid", "dx_date": f"fz_day({start})",
            "dx_date_last": f"fz_last({start})", "system": "fz_system(c.system)", "code": "c.code",
            "text": "fz_text(code) || coalesce('; ' || fz_text(severity), '')",
            "type": "category[1].coding[1].code",
            "dx_status": "CASE WHEN verificationStatus.coding[1].code IN ('unconfirmed', 'provisional', "
            "'differential') THEN verificationStatus.coding[1].code ELSE clinicalStatus.coding[1].code END",
        },
        f"(SELECT *, unnest(fz_codings(code)) AS c FROM {kept('Condition')})",
    )  # fmt: skip


def procedures(duck) -> None:
    """Procedure; one that lasted counts from the day it began."""
    day = 'coalesce(performedDateTime, performedPeriod."start", performedPeriod."end")'
    create(
        duck,
        "procedures",
        {
            "row_id": "rid", "fact_id": "'Procedure/' || rkey", "pid": "pid", "date": f"fz_day({day})",
            "date_last": f"fz_last({day})", "system": "fz_system(c.system)", "code": "c.code", "text": "fz_text(code)",
        },
        f"(SELECT *, unnest(fz_codings(code)) AS c FROM {kept('Procedure')})",
    )  # fmt: skip


def allergies(duck) -> None:
    """AllergyIntolerance; "no known (drug) allergy" becomes status NKDA."""
    day = "coalesce(onsetDateTime, recordedDate)"
    create(
        duck,
        "allergies",
        {
            "row_id": "rid", "pid": "pid", "date": f"fz_day({day})", "date_last": f"fz_last({day})",
            "agent": f"CASE WHEN code.coding[1].code IN {_NKDA} THEN NULL ELSE fz_text(code) END",
            "severity": "coalesce(CASE WHEN list_contains(list_transform(reaction, lambda r: r.severity), 'severe') "
            "THEN 'severe' WHEN list_contains(list_transform(reaction, lambda r: r.severity), 'moderate') THEN "
            "'moderate' ELSE reaction[1].severity END, criticality)",
            "status": f"CASE WHEN code.coding[1].code IN {_NKDA} THEN 'NKDA' ELSE "
            "coalesce(clinicalStatus.coding[1].code, 'active') END",
        },
        f"{kept('AllergyIntolerance')} ORDER BY rid",
    )  # fmt: skip


_PICKED = ("code, valueQuantity, valueCodeableConcept, valueString, valueInteger, valueBoolean, valueDateTime, "
           "valueRange, interpretation, referenceRange")  # fmt: skip
_LAB_FACTS = f"""(
  SELECT *, list_distinct(list_transform(list_filter(referenceRange, lambda r: r.type IS NULL OR r.type.coding IS NULL
             OR list_contains(list_transform(r.type.coding, lambda c: c.code), 'normal')),
             lambda r: {{'low': r.low.value, 'high': r.high.value, 'code': coalesce(r.high.code, r.low.code),
                         'text': r.text}})) AS ranges
  FROM (
    SELECT rid * 1024 AS n, 'Observation/' || rkey AS fact, pid, first_day, last_day, issued, specimen, {_PICKED}
    FROM obs_ WHERE len(component) IS NULL OR len(component) = 0 OR valueQuantity IS NOT NULL
      OR valueCodeableConcept IS NOT NULL OR valueString IS NOT NULL OR valueInteger IS NOT NULL
    UNION ALL
    SELECT rid * 1024 + least(k, 1023), 'Observation/' || rkey || '#' || k, pid, first_day, last_day, issued, specimen,
      {", ".join("c." + name for name in _PICKED.split(", "))}
    FROM (SELECT rid, rkey, pid, first_day, last_day, issued, specimen, unnest(component) AS c,
                 generate_subscripts(component, 1) AS k FROM obs_ WHERE len(component) > 0)
  ))"""
_NUMBER = r"([0-9]+(?:[.][0-9]+)?)"


def labs(duck) -> None:
    """Observation and its components; a range of its own type, unit or more than one normal range is not used."""
    begin, end = 'effectivePeriod."start"', 'effectivePeriod."end"'
    duck.execute(
        f"CREATE OR REPLACE VIEW obs_ AS SELECT *, "
        f"coalesce(effectiveDateTime, effectiveInstant, {begin}, {end}) AS first_day, "
        f"coalesce(effectiveDateTime, effectiveInstant, {end}, {begin}) AS last_day "
        f"FROM {kept('Observation')} WHERE coalesce(code.coding[1].system, '') != '{EVENT_SYSTEM}'"
    )
    one = "CASE WHEN len(ranges) = 1 THEN ranges[1] END"
    low = f"coalesce(r.low, try_cast(nullif(regexp_extract(r.text, '^\\s*{_NUMBER}\\s*[-–—~]+', 1), '') AS DOUBLE))"
    high = (
        f"coalesce(r.high, try_cast(nullif(regexp_extract(r.text, '^\\s*(?:{_NUMBER}\\s*[-–—~]+|<=?|≤)\\s*{_NUMBER}', "
        "2), '') AS DOUBLE))"
    )
    same = "(r.code IS NULL OR valueQuantity.code IS NULL OR r.code = valueQuantity.code)"
    sign = "interpretation[1].coding[1].code"
    facts = {
        "row_id": "n", "fact_id": "fact", "pid": "pid", "date": "fz_day(first_day)", "date_last": "fz_last(last_day)",
        "report_date": "fz_day(issued)", "report_date_last": "fz_last(issued)", "local_name": "fz_text(code)",
        "value_text": "coalesce(fz_answer(valueCodeableConcept), valueString, CASE valueBoolean WHEN true THEN 'true' "
        "WHEN false THEN 'false' END, fz_number(valueRange.low.value) || '-' || fz_number(valueRange.high.value), "
        f"CASE WHEN valueQuantity.value IS NULL THEN CASE {sign} WHEN 'POS' THEN 'positive' WHEN 'NEG' THEN "
        "'negative' END END)",
        "value_num": "coalesce(valueQuantity.value, valueInteger)",
        "comparator": "CASE WHEN valueQuantity.comparator IN ('<', '<=', '>', '>=') THEN valueQuantity.comparator END",
        "unit": "fz_unit(valueQuantity)", "ref_low": f"CASE WHEN {same} THEN {low} END",
        "ref_high": f"CASE WHEN {same} THEN {high} END", "flag": sign, "specimen": "specimen.display",
        "codings": "fz_codings(code)",
    }  # fmt: skip
    # Only plain columns pass through the unnest: carrying the nested ones through it took three times as long.
    plain = ", ".join(f"{sql} AS {name}" for name, sql in facts.items())
    source = f"(SELECT {plain} FROM (SELECT *, {one} AS r FROM {_LAB_FACTS}))"
    facts = {name: name for name in facts if name != "codings"}
    create(
        duck, "labs", facts | {"system": "fz_system(c.system)", "code": "c.code"},
        f"(SELECT * EXCLUDE (codings), unnest(codings) AS c FROM {source})",
    )  # fmt: skip


def routed(duck, name: str) -> None:
    """performance or echo from the labs whose code says so; rows without a value are left out."""
    routes = [r for r in rows("routes") if r["table"] == name]
    label = " ".join(
        f"WHEN '{r['system']}|{r['code']}' THEN " + (f"'{r['label']}'" if r["label"] else "NULL") for r in routes
    )
    codes = ", ".join(f"('{r['system']}', '{r['code']}')" for r in routes)
    columns = {"row_id": "row_id", "pid": "pid", "date": "date", "date_last": "date_last"}
    key = f"CASE system || '|' || code {label} END"
    if name == "echo":
        columns |= {"lvef": "value_num", "method": key}
        value = "value_num"
    else:
        columns |= {"scale": key, "score": "coalesce(value_text, fz_number(value_num))"}
        value = columns["score"]
    create(duck, name, columns, f"labs WHERE (system, code) IN ({codes}) AND ({value}) IS NOT NULL ORDER BY row_id")


def local_events(duck, name: str) -> str:
    """SELECT of an event table that travels as local observations, one component a column."""
    spec = TABLES[name]
    columns = {"row_id": "min(rid)", "pid": "any_value(pid)"}
    for column in spec:
        if column.name == "pid":
            continue
        here = f"FILTER (c.code.coding[1].code = '{column.name}' AND c.code.coding[1].system = '{COLUMN_SYSTEM}')"
        text = f"any_value(coalesce(c.valueString, c.valueDateTime, fz_answer(c.valueCodeableConcept))) {here}"
        number = f"any_value(coalesce(c.valueQuantity.value, c.valueInteger, try_cast(c.valueString AS DOUBLE))) {here}"
        if column.dtype == "date":
            given = f"coalesce({text}, any_value(effectiveDateTime))" if column.name == spec.date else text
            columns |= {column.name: f"fz_day({given})", f"{column.name}_last": f"fz_last({given})"}
        elif column.dtype in ("float64", "int64"):
            columns[column.name] = number
        elif column.dtype == "boolean":
            columns[column.name] = f"any_value(coalesce(c.valueBoolean, try_cast(c.valueString AS BOOLEAN))) {here}"
        else:
            columns[column.name] = text
    test = f"code.coding[1].system = '{EVENT_SYSTEM}' AND code.coding[1].code = '{name}'"
    source = (
        "(SELECT rid, pid, effectiveDateTime, unnest(CASE WHEN len(component) > 0 THEN component ELSE [NULL] END) AS c "
        f"FROM {kept('Observation')} WHERE {test}) GROUP BY rid"
    )
    return select(name, columns, source)


def local_names(duck) -> list[str]:
    """The event tables that came as local observations."""
    found = duck.execute(
        f"SELECT DISTINCT code.coding[1].code FROM raw_Observation WHERE code.coding[1].system = '{EVENT_SYSTEM}'"
    ).fetchall()
    return sorted(name for (name,) in found if name in TABLES)
