"""Public FHIR exports, recounted with plain Python json that shares no code with us."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from feasibility.sources.fhir import fhir

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
KINDS = {
    "Condition": "diagnoses", "Observation": "labs", "Procedure": "procedures", "MedicationRequest": "medications",
    "AllergyIntolerance": "allergies", "Encounter": "observed", "Patient": "patients",
}  # fmt: skip


def resources(folder: Path):
    for path in sorted(folder.glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            if ".ndjson" in path.name:
                yield from (json.loads(line) for line in stream)
            else:
                yield from (entry["resource"] for entry in json.load(stream)["entry"])


@pytest.fixture(scope="module", params=["fhir_pysynthea_aml60", "fhir_synthea_r4_sof"])
def both(request):
    folder = DATA / request.param
    if not folder.exists():
        pytest.skip(f"the public data set {request.param} is not here")
    raw = {kind: [] for kind in KINDS}
    for item in resources(folder):
        if item["resourceType"] in raw:
            raw[item["resourceType"]].append(item)
    return fhir(folder), raw


def rows(extract, name):
    return extract.tables[name].to_pyarrow().to_pylist()


def of(item):
    return (item.get("subject") or item.get("patient"))["reference"].removeprefix("urn:uuid:")


def codings(item):
    concept = item.get("medicationCodeableConcept") or item["code"]
    return [c["code"] for c in concept["coding"]]


def test_patients(both):
    extract, raw = both
    ends = {}
    for item in raw["Encounter"]:
        ends.setdefault(of(item), []).append(item["period"]["end"][:10])
    expected = {
        p["id"]: (p["birthDate"], p["gender"], p.get("deceasedDateTime", "None")[:10], max(ends.get(p["id"], ["None"])))
        for p in raw["Patient"]
    }
    found = {
        r["pid"]: (str(r["birth_date"]), r["sex"], str(r["death_date"]), str(r["last_visit"]))
        for r in rows(extract, "patients")
    }
    assert found == expected
    assert {r["sex"] for r in rows(extract, "patients")} == {"male", "female"}


@pytest.mark.parametrize(
    ("kind", "day", "column"),
    [
        ("Condition", lambda r: r["onsetDateTime"], "dx_date"),
        ("Procedure", lambda r: r.get("performedDateTime") or r["performedPeriod"]["start"], "date"),
        ("MedicationRequest", lambda r: r["authoredOn"], "start"),
    ],
)
def test_coded_facts(both, kind, day, column):
    extract, raw = both
    expected = Counter((r["id"], of(r), day(r)[:10], code) for r in raw[kind] for code in codings(r))
    found = Counter(
        (r["fact_id"].split("/")[1], r["pid"], str(r[column]), r["code"])
        for r in rows(extract, KINDS[kind])
        if r["system"] != "local"  # the ingredient that we read off a product's name
    )
    assert found == expected


def test_labs(both):
    extract, raw = both
    expected = Counter()
    for item in raw["Observation"]:
        valued = any(k.startswith("value") for k in item)
        parts = [] if item.get("component") and not valued else [(item["id"], item)]
        parts += [(f"{item['id']}#{i}", part) for i, part in enumerate(item.get("component", ()), 1)]
        for key, part in parts:
            quantity = part.get("valueQuantity", {})
            for code in codings(part):
                fact = (
                    key,
                    of(item),
                    item["effectiveDateTime"][:10],
                    code,
                    quantity.get("value"),
                    quantity.get("unit"),
                )
                expected[fact] += 1
    found = Counter(
        (r["fact_id"].split("/")[1], r["pid"], str(r["date"]), r["code"], r["value_num"], r["unit"])
        for r in rows(extract, "labs")
    )
    assert found == expected


def test_limits_are_those_of_the_same_row_and_unit(both):
    extract, raw = both
    expected = {}
    for item in raw["Observation"]:
        for limits in item.get("referenceRange", ()):
            high, unit = limits["high"], item.get("valueQuantity", {}).get("code")
            expected[item["id"]] = high["value"] if unit in (None, high["code"]) else None
    found = {r["fact_id"].split("/")[1]: r["ref_high"] for r in rows(extract, "labs")}
    assert {key: found[key] for key in expected} == expected
    assert {key for key, value in found.items() if value is not None} <= set(expected)


def test_counts_and_what_was_noticed(both):
    extract, raw = both
    assert len(rows(extract, "observed")) == len(raw["Encounter"])
    assert len(rows(extract, "allergies")) == len(raw["AllergyIntolerance"])
    assert extract.facts["resources"] == {kind: len(items) for kind, items in raw.items()}
    assert {e["kind"] for e in extract.quality} <= {"ambiguous", "unit_unknown"}


def find(extract, table, fact):
    return next(r for r in rows(extract, table) if r["fact_id"] == fact)


def test_three_values_a_table_read_by_hand():
    folder = DATA / "fhir_pysynthea_aml60"
    if not folder.exists():
        pytest.skip("the public data set fhir_pysynthea_aml60 is not here")
    extract = fhir(folder)
    people = {r["pid"]: r for r in rows(extract, "patients")}
    first = people["7b39ed6e-d846-4995-aaa9-e2102bcbb875"]
    assert (str(first["birth_date"]), first["sex"], first["death_date"]) == ("1996-11-22", "female", None)
    second = people["f05051cc-1feb-4b34-92e3-21365043b1c9"]
    assert (str(second["birth_date"]), second["sex"], str(second["death_date"])) == ("1959-02-02", "male", "2010-04-19")
    lab = find(extract, "labs", "Observation/c4c4a5d2-1399-4c21-9e97-f226ce478336")
    assert (lab["code"], lab["value_num"], lab["unit"], str(lab["date"])) == ("8302-2", 59.2, "cm", "1996-12-13")
    dx = find(extract, "diagnoses", "Condition/6a74c6b1-88a1-4690-91d9-92376b501ca6")
    assert (dx["system"], dx["code"], str(dx["dx_date"]), dx["dx_status"]) == (
        "snomed", "314529007", "1996-11-22", "resolved",
    )  # fmt: skip
    drug = find(extract, "medications", "MedicationRequest/d1c7db56-de13-4116-9961-45f093fd309e")
    assert (drug["code"], drug["freq"], drug["dose"], str(drug["stop"])) == ("308192", "tid", None, "1999-02-23")
    as_needed = find(extract, "medications", "MedicationRequest/cf1100bf-7408-413c-89f0-e16b38999c19")
    assert (as_needed["prn"], as_needed["stop"], as_needed["status"]) == (True, None, "ordered")
    agents = [(r["agent"], r["status"], str(r["date"])) for r in rows(extract, "allergies")][:2]
    assert agents == [("Aspirin", "active", "1996-11-29"), ("Mold (organism)", "active", "1996-11-29")]
    aml = {r["pid"] for r in rows(extract, "diagnoses") if (r["system"], r["code"]) == ("snomed", "91861009")}
    assert len(aml) == 60
