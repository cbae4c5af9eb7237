"""The registry's events on disk: the native folder, OMOP tables and FHIR resources hold the same facts."""

import json

import numpy as np
import pandas as pd
import pytest

from feasibility.sources.fhir_sql import COLUMN_SYSTEM, EVENT_SYSTEM
from feasibility.sources.omop_labs import LOCAL
from feasibility.trials import aml_events_fhir, aml_events_native, aml_events_omop
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events import Problems
from feasibility.trials.aml_events_fhir import write_fhir
from feasibility.trials.aml_events_native import LAYOUT, write_native
from feasibility.trials.aml_events_omop import write_omop
from feasibility.trials.aml_registry import synthetic_registry

N = 1200

# Clinical specification, section 9.1, word for word (and the site of a patient, which is ours).
SPECIFIED = {
    "patients": "birth_date, sex, death_date, last_visit, region, site_id",
    "diagnoses": "dx_date, icd10, text, type, dx_status",
    "labs": "sample_datetime, report_datetime, local_code, local_name, loinc, value_text, value_num, comparator, unit, "
    "ref_low, ref_high, flag, specimen",
    "medications": "order_start, order_stop, atc, rxnorm, generic, dose, unit, freq, route, prn, indication, status",
    "procedures": "date, code, text",
    "courses": "course_no, phase, start, stop, intensity",
    "responses": "assess_date, course_no, phase, regimen, response_eln, bm_blast_pct, mrd, emd_flag",
    "transplants": "date, type, donor, conditioning, is_stop_date, agvhd_max, cgvhd, gvhd_status, gvhd_date",
    "echo": "date, lvef, method",
    "performance": "date, scale, score",
    "infections": "date, active, severity, controlled",
    "allergies": "date, agent, severity, status",
    "flow": "antigen, pct, specimen, date",
    "repro": "date, menopause, sterilised, lactating",
    "transfusions": "date, product",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    registry = synthetic_registry(N, seed=11)
    events = write_native(registry, folder / "native")
    write_omop(events, folder / "omop")
    write_fhir(events, folder / "fhir")
    return folder, events


def native(written, name):
    return pd.read_csv(written[0] / "native" / f"{name}.csv", dtype=str, keep_default_na=False)


def omop(written, name):
    return pd.read_csv(written[0] / "omop" / f"{name}.csv", low_memory=False)


def fhir(written, name):
    text = (written[0] / "fhir" / f"{name}.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", SPECIFIED)
def test_native_columns_are_those_of_the_specification(written, name):
    table = native(written, name)
    assert list(table) == ["pid", *SPECIFIED[name].split(", ")]
    assert len(table) == len(written[1].tables[name])


def test_native_folder_holds_the_layout_and_nothing_else(written):
    assert {p.name for p in (written[0] / "native").iterdir()} == {*(f"{name}.csv" for name in LAYOUT), "SYNTHETIC.txt"}
    assert set(LAYOUT) == set(SPECIFIED)


@pytest.mark.parametrize("name", SPECIFIED)
def test_native_dates_are_iso_or_months(written, name):
    table = native(written, name)
    for column in table:
        if "date" in column or column in ("last_visit", "start", "stop", "order_start", "order_stop"):
            words = table[column][table[column] != ""]
            if column == "is_stop_date":
                words = words[words != "ongoing"]
            rough = words[words.str.len() == 7]
            assert words.str.fullmatch(r"\d{4}-\d{2}(-\d{2})?").all(), column
            assert not len(rough) or (name, column) in aml_events_native.BLURRED.items()
    assert table["pid"].isin(written[1].patient_ids).all()


def test_native_blank_is_not_recorded(written):
    labs, transplants, responses = (native(written, k) for k in ("labs", "transplants", "responses"))
    assert ((labs["value_num"] == "") & (labs["value_text"] == "")).sum() == 0
    assert set(labs["comparator"]) == {"", "<"}
    assert set(labs["flag"]) == {"", "H"}
    assert "ongoing" in set(transplants["is_stop_date"])
    assert set(responses["emd_flag"]) == {"", "0", "1"}
    assert {"", "1"} < set(responses["course_no"])
    assert set(native(written, "infections")["active"]) == {"0", "1"}
    holes = written[1].registry.holes["courses"].to_numpy()
    hidden = responses["pid"].isin(written[1].patient_ids[holes])
    assert (responses["course_no"][hidden] == "").all()


def test_native_numbers_are_written_as_laboratories_do(written):
    labs = native(written, "labs")
    assert labs.loc[labs["unit"] == "g/L", "value_num"].str.fullmatch(r"\d+").all()
    assert labs["local_name"].str.contains("[一-鿿]").mean() > 0.5
    assert 0.25 < (labs["loinc"] == "").mean() < 0.35


def test_written_files_are_the_same_bytes_again(written, tmp_path):
    again = synthetic_registry(N, seed=11)
    write_native(again, tmp_path / "native")
    write_omop(again, tmp_path / "omop")
    write_fhir(again, tmp_path / "fhir")
    for file in written[0].rglob("*.*"):
        assert file.read_bytes() == (tmp_path / file.relative_to(written[0])).read_bytes(), file.name


def test_native_round_trip_through_duckdb(written):
    import duckdb

    for name, table in written[1].tables.items():
        path = str(written[0] / "native" / f"{name}.csv")
        assert duckdb.execute("SELECT count(*) FROM read_csv(?, all_varchar=true)", [path]).fetchone()[0] == len(table)


def test_omop_tables_have_keys_and_known_people(written):
    people = set(omop(written, "person")["person_id"])
    assert people == set(range(1, N + 1))
    for name in ("condition_occurrence", "drug_exposure", "measurement", "procedure_occurrence", "observation",
                 "observation_period", "visit_occurrence"):  # fmt: skip
        table = omop(written, name)
        assert table[f"{name}_id"].is_unique
        assert set(table["person_id"]) <= people
    concepts = omop(written, "concept")
    assert concepts["concept_id"].is_unique
    known = set(concepts["concept_id"]) | {0}
    for name, column in (("condition_occurrence", "condition"), ("drug_exposure", "drug"),
                         ("measurement", "measurement"), ("procedure_occurrence", "procedure")):  # fmt: skip
        table = omop(written, name)
        assert set(table[f"{column}_concept_id"]) <= known
        assert set(table[f"{column}_source_concept_id"]) <= known
    assert (omop(written, "measurement")["measurement_source_concept_id"] == 0).any()


def test_omop_carries_every_event(written):
    tables = written[1].tables
    assert len(omop(written, "condition_occurrence")) == len(tables["diagnoses"])
    assert len(omop(written, "procedure_occurrence")) == len(tables["procedures"])
    n = sum(len(tables[k]) for k in ("labs", "echo", "performance"))
    measured = omop(written, "measurement")
    assert len(measured) == n
    valued = measured["value_as_number"].notna() | measured["value_source_value"].notna()
    assert valued.all()
    positive = measured["value_source_value"].isin(["positive", "阳性", "阳性(+)", "+"])
    assert ((measured["value_as_concept_id"] == 9191) == positive).all()
    assert (measured.loc[measured["unit_source_value"] == "g/dL", "unit_concept_id"] == 8713).all()
    observed = omop(written, "observation")
    events = observed.groupby("observation_source_value").size()
    assert events["feasibility:transplants.type"] == len(tables["transplants"])
    assert events["feasibility:courses.phase"] == len(tables["courses"])
    assert observed["observation_source_value"].str.startswith(LOCAL).all()


def test_omop_dose_is_quantity_over_days(written):
    drugs, orders = omop(written, "drug_exposure"), written[1].tables["medications"]
    per_day = orders["dose"] * orders["freq"].map(aml_events_omop.PER_DAY)
    assert np.allclose(drugs["quantity"] / drugs["days_supply"], per_day, equal_nan=True, rtol=1e-12)
    assert (drugs["days_supply"] >= 1).all()
    standard = drugs.groupby("drug_source_value")["drug_concept_id"].first()
    assert standard["prednisone"] == 1551099
    assert standard["methylprednisolone"] == 1506270
    assert standard["methotrexate"] == 1305058


def test_fhir_carries_every_event(written):
    tables = written[1].tables
    for resource, name in (("Patient", "patients"), ("Condition", "diagnoses"), ("Procedure", "procedures"),
                           ("MedicationRequest", "medications"), ("AllergyIntolerance", "allergies")):  # fmt: skip
        assert len(fhir(written, resource)) == len(tables[name])
    observations = fhir(written, "Observation")
    coding = [o["code"]["coding"][0] for o in observations]
    local = pd.Series([c["code"] for c in coding if c["system"] == EVENT_SYSTEM]).value_counts()
    assert local.to_dict() == {k: len(tables[k]) for k in aml_events_fhir.AS_OBSERVATIONS}
    n = sum(len(tables[k]) for k in ("labs", "echo", "performance"))
    assert len(observations) == n + local.sum()
    systems = {c["code"]["coding"][0]["system"] for o in observations for c in o.get("component", [])}
    assert systems == {COLUMN_SYSTEM}
    assert len({o["id"] for o in observations}) == len(observations)


def test_fhir_keeps_months_units_and_limits(written):
    onsets = [c["onsetDateTime"] for c in fhir(written, "Condition")]
    assert any(len(d) == 7 for d in onsets)
    labs = [o for o in fhir(written, "Observation") if o["code"]["coding"][-1]["system"] == "urn:lis"]
    censored = [o for o in labs if o.get("valueQuantity", {}).get("comparator") == "<"]
    assert censored
    assert all(o["valueQuantity"]["unit"] in ("IU/mL", "copies/mL") for o in censored)
    assert any("referenceRange" in o for o in labs)
    assert all(("valueQuantity" in o) != ("valueCodeableConcept" in o) for o in labs)
    orders = fhir(written, "MedicationRequest")
    assert any("doseAndRate" not in o["dosageInstruction"][0] for o in orders)
    assert any("reasonCode" in o for o in orders)


def test_columns_a_format_cannot_carry_are_declared_columns():
    for module in (aml_events_native, aml_events_omop, aml_events_fhir):
        assert set(module.CANNOT) <= set(AML_COLUMNS)
        assert all(module.CANNOT.values())
    assert set(aml_events_native.CANNOT) < set(aml_events_omop.CANNOT)


def test_writers_take_a_registry_and_problems(tmp_path):
    registry = synthetic_registry(60, seed=1)
    for write in (write_native, write_omop, write_fhir):
        events = write(registry, tmp_path / write.__name__, Problems.none())
        assert not any(events.counts.values())
    one = synthetic_registry(1, seed=1)
    for write in (write_native, write_omop, write_fhir):
        write(one, tmp_path / "one" / write.__name__)
