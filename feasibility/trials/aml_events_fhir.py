"""The synthetic registry's events as FHIR R4 bulk NDJSON, one file a resource type.

What FHIR has no resource for in this detail (responses, courses, transplant details, infections ...) travels as local
observations: the code is the table in the system ``urn:feasibility:event``, one component a column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

import numpy as np

from feasibility.cohort.made_up import TAG, mark
from feasibility.trials.aml_events import Problems, RegistryEvents
from feasibility.trials.aml_events_native import CANNOT as CANNOT_NATIVE
from feasibility.trials.aml_events_native import LAYOUT, as_events, native_table
from feasibility.trials.aml_events_omop import LVEF, SCALES
from feasibility.trials.aml_registry import Registry

EVENT_SYSTEM, COLUMN_SYSTEM = "urn:feasibility:event", "urn:feasibility:column"
LOINC, ICD10, ICD9 = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.104"
ATC, RXNORM = "http://www.whocc.no/atc", "http://www.nlm.nih.gov/research/umls/rxnorm"
STATUS = "http://terminology.hl7.org/CodeSystem/"
NKDA = {"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}], "text": "No known allergy"}
REPEAT = {"qd": (1, 1, "d"), "bid": (2, 1, "d"), "qod": (1, 2, "d"), "qw": (1, 1, "wk")}
AS_OBSERVATIONS = ("courses", "responses", "transplants", "infections", "flow", "repro", "transfusions")

CANNOT: Mapping[str, str] = dict(CANNOT_NATIVE) | {"site_id": "a FHIR id has no spaces: main-campus"}
"""Columns this format does not carry, and why; "reviewed" allergy lists are written as no known allergy."""


def write_fhir(registry: Registry | RegistryEvents, folder: str | Path, problems: Problems | None = None):
    """Write one NDJSON file per resource type; returns the ``RegistryEvents`` with ledger and counts."""
    events = as_events(registry, problems)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark(folder)
    for name, resources in (
        ("Patient", _patients(events)),
        ("Encounter", _encounters(events)),
        ("Condition", _conditions(events)),
        ("Procedure", _procedures(events)),
        ("MedicationRequest", _medications(events)),
        ("AllergyIntolerance", _allergies(events)),
        ("Observation", _observations(events)),
    ):
        with open(folder / f"{name}.ndjson", "w", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(name, resources))
    return events


def _lines(name: str, resources: Iterable[dict]) -> Iterator[str]:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    for number, resource in zip(count(1), resources, strict=False):
        yield encode({"resourceType": name, "id": f"{name.lower()}-{number}"} | resource) + "\n"


def _rows(events: RegistryEvents, name: str) -> Iterator[dict]:
    """The rows of a table, without what is blank."""
    columns = native_table(events, name)
    names = list(columns)
    values = [_plain(columns[k]) for k in names]
    for row in zip(*values, strict=True):
        yield {k: v for k, v in zip(names, row, strict=True) if v is not None}


def _plain(values: np.ndarray) -> list:
    if values.dtype.kind != "f":
        return values.tolist()
    return [None if v != v else int(v) if v == int(v) else v for v in values.tolist()]


def _who(row: dict, key: str = "subject") -> dict:
    return {key: {"reference": f"Patient/{row['pid']}"}}


def _coded(text: str | None, *codings: tuple[str, str | None]) -> dict:
    coding = [{"system": system, "code": code} for system, code in codings if code]
    return ({"coding": coding} if coding else {}) | ({"text": text} if text else {})


def _status(system: str, code: str) -> dict:
    return {"coding": [{"system": STATUS + system, "code": code}]}


def _patients(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "patients"):
        yield {
            "id": row["pid"], "meta": {"tag": [TAG]}, "gender": "male" if row["sex"] in ("M", "男") else "female",
            "birthDate": row["birth_date"], "address": [{"state": row["region"]}],
            "managingOrganization": {"reference": f"Organization/{row['site_id'].replace(' ', '-')}"},
        }  # fmt: skip


def _encounters(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "patients"):
        yield {
            "status": "finished", "class": {"system": STATUS + "v3-ActCode", "code": "AMB"}, **_who(row),
            "period": {"start": row["last_visit"], "end": row["last_visit"]},
        }  # fmt: skip


def _conditions(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "diagnoses"):
        yield {
            "clinicalStatus": _status("condition-clinical", "active"),
            "verificationStatus": _status("condition-ver-status", "confirmed"),
            "code": _coded(row.get("text"), (ICD10, row["icd10"])), **_who(row), "onsetDateTime": row["dx_date"],
        }  # fmt: skip


def _procedures(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "procedures"):
        yield {
            "status": "completed", "code": _coded(row.get("text"), (ICD9, row["code"])), **_who(row),
            "performedDateTime": row["date"],
        }  # fmt: skip


def _medications(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "medications"):
        frequency, period, unit = REPEAT[row["freq"]]
        bounds = {"start": row["order_start"], "end": row["order_stop"]}
        repeat = {"boundsPeriod": bounds, "frequency": frequency, "period": period, "periodUnit": unit}
        dosage = {
            "timing": {"repeat": repeat},
            "asNeededBoolean": row["prn"] == "1", "route": {"text": row["route"]},
        }  # fmt: skip
        if "dose" in row:
            dosage["doseAndRate"] = [{"doseQuantity": {"value": row["dose"], "unit": row["unit"]}}]
        yield {
            "status": "active", "intent": "order", **_who(row), "authoredOn": row["order_start"],
            "medicationCodeableConcept": _coded(row["generic"], (ATC, row.get("atc")), (RXNORM, row.get("rxnorm"))),
            "dosageInstruction": [dosage],
        } | ({"reasonCode": [{"text": row["indication"]}]} if "indication" in row else {})  # fmt: skip


def _allergies(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "allergies"):
        severity = row.get("severity")
        reaction = {"manifestation": [{"text": "reaction"}], "severity": severity}
        yield {
            "clinicalStatus": _status("allergyintolerance-clinical", "active"),
            "verificationStatus": _status("allergyintolerance-verification", "confirmed"),
            "code": {"text": row["agent"]} if "agent" in row else NKDA, **_who(row, "patient"),
            "recordedDate": row["date"],
        } | ({"reaction": [reaction]} if severity else {})  # fmt: skip


def _observations(events: RegistryEvents) -> Iterator[dict]:
    yield from _labs(events)
    for row in _rows(events, "performance"):
        score = row["score"]
        value = {"valueInteger": int(score)} if score.isdigit() else {"valueString": score}
        yield _observation(row, _coded(row["scale"], (LOINC, SCALES[row["scale"]])), row["date"]) | value
    for row in _rows(events, "echo"):
        code = _coded(row.get("method"), (LOINC, LVEF))
        yield _observation(row, code, row["date"]) | {"valueQuantity": {"value": row["lvef"], "unit": "%"}}
    for name in AS_OBSERVATIONS:
        yield from _local(events, name)


def _observation(row: dict, code: dict, date: str | None) -> dict:
    return {"status": "final", "code": code, **_who(row)} | ({"effectiveDateTime": date} if date else {})


def _labs(events: RegistryEvents) -> Iterator[dict]:
    for row in _rows(events, "labs"):
        code = _coded(row["local_name"], (LOINC, row.get("loinc")), ("urn:lis", row["local_code"]))
        # An instant, which has a time and a zone; the registry knows the day.
        issued = f"{row['report_datetime']}T00:00:00Z" if "report_datetime" in row else None
        resource = _observation(row, code, row["sample_datetime"]) | ({"issued": issued} if issued else {})
        if "value_num" in row:
            quantity = {"value": row["value_num"]} | ({"unit": row["unit"]} if "unit" in row else {})
            quantity |= {"comparator": row["comparator"]} if "comparator" in row else {}
            resource["valueQuantity"] = quantity
        else:
            resource["valueCodeableConcept"] = {"text": row["value_text"]}
        if "ref_high" in row:
            resource["referenceRange"] = [{"high": {"value": row["ref_high"], "unit": row["unit"]}}]
        resource["specimen"] = {"display": row["specimen"]}
        yield resource


def _local(events: RegistryEvents, name: str) -> Iterator[dict]:
    key = {"courses": "start", "responses": "assess_date"}.get(name, "date")
    columns = [column for column in LAYOUT[name][1:] if column != key]
    code = {"coding": [{"system": EVENT_SYSTEM, "code": name}]}
    labels = {k: {"coding": [{"system": COLUMN_SYSTEM, "code": k}]} for k in (*columns, "is_ongoing")}
    for row in _rows(events, name):
        if row.get("is_stop_date") == "ongoing":
            row |= {"is_stop_date": None, "is_ongoing": "true"}
        component = [
            {"code": label} | ({"valueString": v} if isinstance(v, str) else {"valueQuantity": {"value": v}})
            for k, label in labels.items()
            if (v := row.get(k)) is not None
        ]
        yield _observation(row, code, row.get(key)) | ({"component": component} if component else {})
