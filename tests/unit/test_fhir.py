"""FHIR R4 resources to canonical events, each on a literal resource."""

from __future__ import annotations

import datetime as dt
import gzip
import json

import pytest

from feasibility.sources.events import TABLES
from feasibility.sources.fhir import fhir

LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
ICD10, RXNORM = "http://hl7.org/fhir/sid/icd-10-cm", "http://www.nlm.nih.gov/research/umls/rxnorm"
PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-02"}
HB = {"coding": [{"system": LOINC, "code": "718-7", "display": "Hemoglobin"}], "text": "Hb"}


def concept(system, code, display="", **more):
    return {"coding": [{"system": system, "code": code, "display": display}], **more}


def status(code):
    return {"coding": [{"code": code}]}


def resource(kind, key, **fields):
    who = "patient" if kind == "AllergyIntolerance" else "subject"
    return {"resourceType": kind, "id": key, who: {"reference": "Patient/p1"}, **fields}


def observation(key, code=HB, **fields):
    return resource("Observation", key, **{"status": "final", "code": code, "effectiveDateTime": "2025-06-20"} | fields)


def quantity(value, unit, **more):
    return {"value": value, "unit": unit, "code": unit, "system": UCUM, **more}


def write(folder, *resources, patient=PATIENT):
    folder.mkdir(exist_ok=True)
    by_kind = {}
    for item in ([patient] if patient else []) + list(resources):
        by_kind.setdefault(item["resourceType"], []).append(json.dumps(item, ensure_ascii=False))
    for kind, lines in by_kind.items():
        (folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def rows(extract, name, *columns):
    found = extract.tables[name].to_pyarrow().to_pylist()
    return sorted((tuple(r[c] for c in columns) if len(columns) > 1 else r[columns[0]] for r in found), key=repr)


def noted(extract, kind):
    return {(e["file_column"], e["reason"]): e["n"] for e in extract.quality if e["kind"] == kind}


def test_every_table_has_the_canonical_columns_and_types(tmp_path):
    extract = fhir(
        write(
            tmp_path / "x",
            observation("o", valueQuantity=quantity(1, "g/L")),
            resource("Condition", "c", code=concept(ICD10, "C92.0")),
            resource("Procedure", "q", code=concept(SNOMED, "1")),
            resource("MedicationRequest", "m", medicationCodeableConcept=concept(RXNORM, "8640")),
            resource("AllergyIntolerance", "a", code=concept(SNOMED, "2")),
            resource("Encounter", "e", period={"start": "2025-01-01"}),
        )
    )
    assert set(extract.tables) == {
        "patients", "labs", "diagnoses", "procedures", "medications", "allergies", "observed",
    }  # fmt: skip
    for name, table in extract.tables.items():
        assert {c: str(t).removeprefix("!") for c, t in table.schema().items()} == TABLES[name].physical(), name


def test_patient(tmp_path):
    person = PATIENT | {
        "deceasedDateTime": "2025-06-01T10:00:00+08:00",
        "address": [{"state": "Anhui"}],
        "managingOrganization": {"reference": "Organization/ah"},
    }
    visit = resource("Encounter", "e", status="finished", period={"start": "2025-01-01", "end": "2025-01-09T00:00:00Z"})
    extract = fhir(write(tmp_path / "x", visit, patient=person))
    day = dt.date
    columns = ("pid", "birth_date", "birth_date_last", "sex", "death_date", "last_visit", "region", "site_id")
    assert rows(extract, "patients", *columns) == [
        ("p1", day(1960, 2, 1), day(1960, 2, 29), "female", day(2025, 6, 1), day(2025, 1, 9), "Anhui", "ah")
    ]
    assert rows(extract, "observed", "start", "stop") == [(day(2025, 1, 1), day(2025, 1, 9))]


def test_dead_without_a_day_is_counted(tmp_path):
    extract = fhir(write(tmp_path / "x", patient=PATIENT | {"deceasedBoolean": True}))
    assert noted(extract, "undated") == {("Patient.deceasedBoolean", "date_missing"): 1}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"valueQuantity": quantity(61, "g/L")}, (61.0, None, None, "g/L")),
        ({"valueQuantity": {"value": 61, "unit": "g/L"}}, (61.0, None, None, "g/L")),
        ({"valueQuantity": quantity(5, "U/L", comparator="<")}, (5.0, "<", None, "U/L")),
        ({"valueCodeableConcept": concept(SNOMED, "260385009", "Negative (qualifier value)")},
         (None, None, "negative", None)),
        ({"valueCodeableConcept": {"text": "弱阳性"}}, (None, None, "弱阳性", None)),
        ({"valueString": "<20"}, (None, None, "<20", None)),
        ({"valueInteger": 3}, (3.0, None, None, None)),
        ({"valueBoolean": True}, (None, None, "true", None)),
        ({"valueRange": {"low": {"value": 50}, "high": {"value": 55}}}, (None, None, "50-55", None)),
        ({"interpretation": [concept("x", "POS")]}, (None, None, "positive", None)),
        ({"dataAbsentReason": concept("x", "not-performed")}, (None, None, None, None)),
    ],
)  # fmt: skip
def test_values(tmp_path, fields, expected):
    extract = fhir(write(tmp_path / "x", observation("o", **fields)))
    assert rows(extract, "labs", "value_num", "comparator", "value_text", "unit") == [expected]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([{"low": quantity(10, "g/L"), "high": quantity(40, "g/L")}], (10.0, 40.0)),
        ([{"high": {"value": 40}}], (None, 40.0)),
        ([{"text": "9--50"}], (9.0, 50.0)),
        ([{"text": "<40"}], (None, 40.0)),
        ([{"high": {"value": 40}}, {"high": {"value": 80}, "type": concept("x", "treatment")}], (None, 40.0)),
        ([{"high": {"value": 40}}, {"high": {"value": 50}}], (None, None)),  # two normal ranges: men, women
        ([{"high": quantity(4, "g/dL")}], (None, None)),  # in another unit than the value
    ],
)
def test_reference_ranges(tmp_path, ranges, expected):
    item = observation("o", valueQuantity=quantity(61, "g/L"), referenceRange=ranges)
    assert rows(fhir(write(tmp_path / "x", item)), "labs", "ref_low", "ref_high") == [expected]


def test_components_are_facts_of_their_own(tmp_path):
    parts = [
        {"code": concept(LOINC, "8480-6", "Systolic"), "valueQuantity": quantity(120, "mm[Hg]")},
        {"code": concept(LOINC, "8462-4", "Diastolic"), "valueQuantity": quantity(80, "mm[Hg]")},
    ]
    extract = fhir(write(tmp_path / "x", observation("bp", concept(LOINC, "85354-9"), component=parts)))
    assert rows(extract, "labs", "fact_id", "code", "value_num") == [
        ("Observation/bp#1", "8480-6", 120.0), ("Observation/bp#2", "8462-4", 80.0),
    ]  # fmt: skip


def test_each_coding_is_a_row_of_one_fact_and_text_alone_is_local(tmp_path):
    code = {"coding": [{"system": LOINC, "code": "718-7"}, {"system": "urn:his", "code": "HGB"}], "text": "血红蛋白"}
    extract = fhir(write(tmp_path / "x", observation("o", code), observation("t", {"text": "白细胞"})))
    assert rows(extract, "labs", "fact_id", "system", "code", "local_name") == [
        ("Observation/o", "local", "HGB", "血红蛋白"), ("Observation/o", "loinc", "718-7", "血红蛋白"),
        ("Observation/t", "local", "白细胞", "白细胞"),
    ]  # fmt: skip
    assert noted(extract, "unmapped") == {("", "no known code system"): 1}
    mapped = fhir(tmp_path / "x", {"systems": {"urn:his": "atc"}})
    assert ("Observation/o", "atc") in rows(mapped, "labs", "fact_id", "system")


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({"effectiveDateTime": "2025"}, "2025-01-01", "2025-12-31"),
        ({"effectiveDateTime": "2024-02"}, "2024-02-01", "2024-02-29"),
        ({"effectiveDateTime": "2025-06-20T23:30:00+08:00"}, "2025-06-20", "2025-06-20"),
        ({"effectiveDateTime": None, "effectivePeriod": {"start": "2025-06-20", "end": "2025-06-22"}}, "2025-06-20",
         "2025-06-22"),
        ({"effectiveDateTime": None, "effectiveInstant": "2025-06-20T01:00:00Z"}, "2025-06-20", "2025-06-20"),
        ({"effectiveDateTime": None, "issued": "2025-06-20T01:00:00Z"}, "None", "None"),  # the report is no substitute
        ({"effectiveDateTime": "20.06.2025"}, "None", "None"),
    ],
)  # fmt: skip
def test_days(tmp_path, given, first, last):
    extract = fhir(write(tmp_path / "x", observation("o", **given)))
    assert [tuple(map(str, r)) for r in rows(extract, "labs", "date", "date_last")] == [(first, last)]


def test_a_time_zone_moves_the_day_only_when_it_is_asked_for(tmp_path):
    folder = write(tmp_path / "x", observation("o", effectiveDateTime="2025-06-20T23:30:00Z"))
    assert rows(fhir(folder), "labs", "date") == [dt.date(2025, 6, 20)]
    assert rows(fhir(folder, {"timezone": "Asia/Shanghai"}), "labs", "date") == [dt.date(2025, 6, 21)]


def test_what_was_cancelled_refuted_or_entered_in_error_is_left_out_and_counted(tmp_path):
    extract = fhir(
        write(
            tmp_path / "x",
            observation("a", status="cancelled"), observation("b", status="entered-in-error"), observation("c"),
            resource("Condition", "d", verificationStatus=status("refuted"), code=concept(ICD10, "C92.0")),
            resource("Condition", "e", verificationStatus=status("provisional"), code=concept(ICD10, "I21")),
            resource("Condition", "f", clinicalStatus=status("remission"), code=concept(ICD10, "C92.01")),
            resource("Procedure", "g", status="not-done", code=concept(SNOMED, "1")),
            resource("MedicationRequest", "h", intent="proposal", medicationCodeableConcept=concept(RXNORM, "1")),
            resource("AllergyIntolerance", "i", verificationStatus=status("refuted"), code=concept(SNOMED, "1")),
            resource("Encounter", "j", status="planned", period={"start": "2026-01-01"}),
        )
    )  # fmt: skip
    assert rows(extract, "labs", "fact_id") == ["Observation/c"]
    assert rows(extract, "diagnoses", "code", "dx_status") == [
        ("C92.01", "remission"), ("I21", "provisional"),
    ]  # fmt: skip
    for name in ("procedures", "medications", "allergies", "observed"):
        assert rows(extract, name, "pid") == [], name
    assert noted(extract, "left_out") == {
        ("Observation.status", "cancelled"): 1,
        ("Observation.status", "entered-in-error"): 1,
        ("Condition.verificationStatus", "refuted"): 1,
        ("Procedure.status", "not-done"): 1,
        ("MedicationRequest.intent", "proposal, plan or do not perform"): 1,
        ("AllergyIntolerance.verificationStatus", "refuted"): 1,
        ("Encounter.status", "planned"): 1,
    }
    assert noted(extract, "unconfirmed") == {("Condition.verificationStatus", "kept, dx_status says so"): 1}


def test_condition_dates_and_severity(tmp_path):
    extract = fhir(
        write(
            tmp_path / "x",
            resource("Condition", "a", code=concept(ICD10, "A", "x"), onsetDateTime="2020-05",
                     recordedDate="2021-01-01"),
            resource("Condition", "b", code=concept(ICD10, "B", "y"), recordedDate="2021-01-01",
                     severity=concept(SNOMED, "24484000", "Severe")),
        )
    )  # fmt: skip
    assert rows(extract, "diagnoses", "code", "dx_date", "dx_date_last", "text") == [
        ("A", dt.date(2020, 5, 1), dt.date(2020, 5, 31), "x"),
        ("B", dt.date(2021, 1, 1), dt.date(2021, 1, 1), "y; Severe"),
    ]
    assert noted(extract, "date_recorded") == {("Condition.recordedDate", "onset missing, day of recording used"): 1}


def dosage(frequency, period, unit, **more):
    rate = [{"doseQuantity": {"value": 10, "unit": "mg"}}]
    return {
        "timing": {"repeat": {"frequency": frequency, "period": period, "periodUnit": unit, **more}},
        "doseAndRate": rate,
        "asNeededBoolean": False,
        "route": {"text": "oral"},
    }


@pytest.mark.parametrize(
    ("timing", "freq"),
    [((1, 1, "d"), "qd"), ((2, 1, "d"), "bid"), ((4, 1, "d"), "qid"), ((1, 8, "h"), "q8h"), ((1, 2, "d"), "qod"),
     ((1, 1, "wk"), "qw"), ((3, 1, "wk"), "3/1wk")],
)  # fmt: skip
def test_frequencies(tmp_path, timing, freq):
    drug = concept(RXNORM, "8640", "prednisone")
    item = resource("MedicationRequest", "m", medicationCodeableConcept=drug, dosageInstruction=[dosage(*timing)])
    extract = fhir(write(tmp_path / "x", item))
    columns = ("freq", "dose", "unit", "route", "prn", "generic", "status")
    assert rows(extract, "medications", *columns) == [(freq, 10.0, "mg", "oral", False, "prednisone", "ordered")]


def test_a_taper_is_a_row_for_each_instruction(tmp_path):
    steps = [
        dosage(1, 1, "d", boundsPeriod={"start": "2025-06-01", "end": "2025-06-05"}),
        dosage(2, 1, "d", boundsPeriod={"start": "2025-06-06"}),
    ]
    drug = concept(RXNORM, "8640", "prednisone")
    item = resource("MedicationRequest", "m", medicationCodeableConcept=drug, dosageInstruction=steps)
    extract = fhir(write(tmp_path / "x", item))
    assert rows(extract, "medications", "fact_id", "start", "stop", "freq") == [
        ("MedicationRequest/m#2", dt.date(2025, 6, 6), None, "bid"),
        ("MedicationRequest/m", dt.date(2025, 6, 1), dt.date(2025, 6, 5), "qd"),
    ]


@pytest.mark.parametrize(
    ("request_", "stop"),
    [
        ({"expectedSupplyDuration": {"value": 2, "code": "wk"}}, "2025-06-14"),
        ({"expectedSupplyDuration": {"value": 5, "code": "d"}, "numberOfRepeatsAllowed": 0}, "2025-06-05"),
        ({"expectedSupplyDuration": {"value": 5, "code": "d"}, "numberOfRepeatsAllowed": 2}, "None"),
        ({}, "None"),
    ],
)
def test_a_supply_without_repeats_ends(tmp_path, request_, stop):
    drug = concept(RXNORM, "8640")
    item = resource(
        "MedicationRequest", "m", medicationCodeableConcept=drug, authoredOn="2025-06-01T08:00:00+08:00",
        dispenseRequest=request_,
    )  # fmt: skip
    assert str(rows(fhir(write(tmp_path / "x", item)), "medications", "stop")[0]) == stop


def test_a_dose_without_a_unit_is_tablets_and_not_known(tmp_path):
    rate = {"doseAndRate": [{"doseQuantity": {"value": 2}}]}
    drug = concept(RXNORM, "312615", "prednisone 5 MG Oral Tablet")
    item = resource("MedicationRequest", "m", medicationCodeableConcept=drug, dosageInstruction=[rate])
    extract = fhir(write(tmp_path / "x", item))
    assert set(rows(extract, "medications", "dose", "unit")) == {(None, None)}
    assert noted(extract, "unit_unknown") == {("MedicationRequest.dosageInstruction", "dose without a unit"): 1}


def test_a_drug_may_be_a_reference_and_its_reason_too(tmp_path):
    known = {"resourceType": "Medication", "id": "d1", "code": concept(RXNORM, "8640", "prednisone")}
    inside = {"resourceType": "Medication", "id": "in", "code": concept(RXNORM, "3264", "dexamethasone")}
    given = {"effectivePeriod": {"start": "2025-06-01", "end": "2025-06-03"}, "dosage": {"dose": quantity(4, "mg")}}
    extract = fhir(
        write(
            tmp_path / "x",
            known,
            resource("Condition", "c1", code={"text": "GVHD"}),
            resource("MedicationRequest", "m", medicationReference={"reference": "Medication/d1"},
                     reasonReference=[{"reference": "Condition/c1"}]),
            resource("MedicationAdministration", "n", medicationReference={"reference": "#in"}, contained=[inside],
                     status="completed", **given),
        )
    )  # fmt: skip
    columns = ("code", "generic", "indication", "status", "dose", "stop")
    assert rows(extract, "medications", *columns) == [
        ("3264", "dexamethasone", None, "administered", 4.0, dt.date(2025, 6, 3)),
        ("8640", "prednisone", "GVHD", "ordered", None, None),
    ]


def test_allergies(tmp_path):
    extract = fhir(
        write(
            tmp_path / "x",
            resource("AllergyIntolerance", "a", code={"text": "DMSO"}, clinicalStatus=status("active"),
                     reaction=[{"severity": "mild"}, {"severity": "severe"}], recordedDate="2020-01-01"),
            resource("AllergyIntolerance", "b", code=concept(SNOMED, "716186003", "No known allergy")),
            resource("AllergyIntolerance", "c", code={"text": "nuts"}, criticality="high"),
        )
    )  # fmt: skip
    assert rows(extract, "allergies", "agent", "severity", "status") == [
        ("DMSO", "severe", "active"), ("nuts", "high", "active"), (None, None, "NKDA"),
    ]  # fmt: skip


def test_performance_and_echo(tmp_path):
    extract = fhir(
        write(
            tmp_path / "x",
            observation(
                "a", concept(LOINC, "89247-1"), valueCodeableConcept=concept(LOINC, "LA9622-7", "Fully active")
            ),
            observation("b", concept(LOINC, "89247-1"), valueInteger=2),
            observation("c", concept(LOINC, "18043-0"), valueQuantity=quantity(55, "%")),
            observation("d", concept(LOINC, "88020-3"), valueCodeableConcept=concept(SNOMED, "421704003", "NYHA II")),
        )
    )
    assert rows(extract, "performance", "scale", "score") == [("ECOG", "0"), ("ECOG", "2"), ("NYHA", "II")]
    assert rows(extract, "echo", "lvef", "method") == [(55.0, "ultrasound")]


def test_local_events_carry_what_fhir_has_no_resource_for(tmp_path):
    def part(name, **value):
        return {"code": concept("urn:feasibility:column", name), **value}

    item = observation(
        "r", concept("urn:feasibility:event", "responses"), effectiveDateTime="2024-02",
        component=[part("response_eln", valueString="CR"), part("bm_blast_pct", valueQuantity={"value": 2.5}),
                   part("emd_flag", valueBoolean=False), part("course_no", valueInteger=1)],
    )  # fmt: skip
    other = observation("t", concept("urn:feasibility:event", "transplants"), component=[
        part("type", valueString="allogeneic"), part("is_stop_date", valueDateTime="2025-01")])  # fmt: skip
    extract = fhir(write(tmp_path / "x", item, other))
    columns = ("pid", "assess_date", "assess_date_last", "response_eln", "bm_blast_pct", "emd_flag", "course_no")
    assert rows(extract, "responses", *columns) == [
        ("p1", dt.date(2024, 2, 1), dt.date(2024, 2, 29), "CR", 2.5, False, 1)
    ]
    assert rows(extract, "transplants", "type", "date", "is_stop_date_last") == [
        ("allogeneic", dt.date(2025, 6, 20), dt.date(2025, 1, 31))
    ]
    assert rows(extract, "labs", "code") == []


@pytest.mark.parametrize(
    "reference", ["Patient/p1", "urn:uuid:p1", "http://server/fhir/Patient/p1", "Patient/p1/_history/3", "p1"]
)
def test_references(tmp_path, reference):
    item = observation("o") | {"subject": {"reference": reference}}
    assert rows(fhir(write(tmp_path / "x", item)), "labs", "pid") == ["p1"]


def bundle(*resources, url="urn:uuid:{}"):
    return {"resourceType": "Bundle", "type": "collection",
            "entry": [{"fullUrl": url.format(r["id"]), "resource": r} for r in resources]}  # fmt: skip


def test_bundles_ndjson_and_gz_give_the_same(tmp_path):
    items = [observation(f"o{i}", valueQuantity=quantity(i, "g/L")) for i in range(5)]
    plain = write(tmp_path / "plain", *items)
    forms = {"one": tmp_path / "one", "lines": tmp_path / "lines", "packed": tmp_path / "packed"}
    for folder in forms.values():
        folder.mkdir()
    (forms["one"] / "all.json").write_text(json.dumps(bundle(PATIENT, *items), indent=1))
    lines = "".join(json.dumps(r) + "\n" for r in [bundle(PATIENT), *items])
    (forms["lines"] / "mixed.ndjson").write_text(lines)
    (forms["packed"] / "b.json.gz").write_bytes(gzip.compress(json.dumps(bundle(PATIENT, *items)).encode()))
    columns = ("row_id", "fact_id", "pid", "date", "code", "value_num", "unit")
    expected = rows(fhir(plain), "labs", *columns)
    assert len(expected) == 5
    for name, folder in forms.items():
        assert rows(fhir(folder), "labs", *columns) == expected, name
    assert rows(fhir(forms["one"] / "all.json"), "labs", *columns) == expected


def test_a_bundle_may_refer_to_an_entry_by_its_address(tmp_path):
    whole = bundle(PATIENT, observation("o") | {"subject": {"reference": "urn:uuid:other"}})
    whole["entry"][0]["fullUrl"] = "urn:uuid:other"
    (tmp_path / "b.json").write_text(json.dumps(whole))
    assert rows(fhir(tmp_path), "labs", "pid") == ["p1"]


def test_progress_is_reported(tmp_path):
    seen = []
    fhir(write(tmp_path / "x", observation("o")), progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert [f for _, f in seen] == sorted(f for _, f in seen)
    assert seen[-1] == ("done", 1.0)
