"""What a hospital's extract gets wrong: each fault has its message or its line in the quality events, to the cohort."""

import json

import pandas as pd
import pytest

import feasibility as fz
from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.errors import ReadError
from feasibility.sources.fhir import fhir
from feasibility.sources.native import read_extract
from feasibility.sources.omop import omop
from feasibility.trials.aml import AML_COLUMNS

INDEX = "2025-06-30"
LABS = "pid,sample_datetime,loinc,local_name,value_num,unit,ref_high\n"
HB = "P1,2025-06-20,718-7,,80,g/L,\n"


@pytest.fixture
def folder(tmp_path):
    files = {
        "patients": "pid,birth_date,sex,last_visit\nP1,1980-01-01,F,2025-06-25\nP2,1970-01-01,M,2025-06-25\n",
        "diagnoses": "pid,dx_date,icd10\nP1,2024-01-01,C92.0\n",
        "labs": LABS + HB,
        "courses": "pid,course_no,phase,start,stop,intensity\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def built(extract) -> pd.DataFrame:
    return build_cohort(extract, as_of(INDEX), AML_COLUMNS)


def events(cohort) -> set:
    return {(e["column"], e["kind"], e["n"]) for e in cohort.attrs["feasibility"]["events"]}


def cell(cohort, name, patient="P1"):
    value = cohort.xs(patient, level="patient_id")[name].iloc[0]
    return None if value is pd.NA else value


def unknown(cohort, name):
    return cohort.attrs["feasibility"]["unknown"].get(name, {})


def test_a_file_cut_off_in_the_middle(folder):
    text = LABS + HB + "P2,2025-06-20,718-7,,90,g/L,\n" + "P2,2025-06-21,71"
    (folder / "labs.csv").write_text(text, encoding="utf-8")
    cohort = built(read_extract(folder))
    assert ("labs", "rejected_line", 1) in events(cohort)
    assert ("labs", "open_end", 1) in events(cohort)
    assert [cell(cohort, "hemoglobin_g_l", p) for p in ("P1", "P2")] == [80.0, 90.0]


def test_an_open_quotation_mark(folder):
    (folder / "labs.csv").write_text(LABS + HB * 3 + 'P1,2025-06-20,718-7,"血红,80,g/L,\n' + HB * 3, encoding="utf-8")
    with pytest.raises(ReadError, match="labs.csv: .*quotation mark is probably not closed"):
        read_extract(folder)


def test_a_wrong_delimiter(folder):
    with pytest.raises(ReadError, match="labs.csv"):
        read_extract(folder, {"tables": {"labs": {"delimiter": "|"}}})


def test_gbk(folder):
    text = LABS + "P1,2025-06-20,,血红蛋白 HGB,80,g/L,\n"
    (folder / "labs.csv").write_bytes(text.encode("gb18030"))
    extract = read_extract(folder)
    assert extract.facts["files"]["labs"]["encoding"] == "gb18030"
    assert cell(built(extract), "hemoglobin_g_l") == 80.0


@pytest.mark.parametrize(("value", "expected", "kind"), [("85", 85.0, "inferred_unit"), ("8.5", None, "quarantined")])
def test_labs_without_a_unit_column(folder, value, expected, kind):
    (folder / "labs.csv").write_text(
        f"pid,sample_datetime,loinc,value_num\nP1,2025-06-20,718-7,{value}\n", encoding="utf-8"
    )
    cohort = built(read_extract(folder))
    assert cell(cohort, "hemoglobin_g_l") == expected
    assert ("hemoglobin_g_l", kind, 1) in events(cohort)
    assert unknown(cohort, "hemoglobin_g_l").get("unit_unknown", 0) == (0 if expected else 1)


@pytest.mark.parametrize("value", ["-80", "0", "8000", "1e300", "inf", "nan"])
def test_negative_and_absurd_values(folder, value):
    (folder / "labs.csv").write_text(LABS + f"P1,2025-06-20,718-7,,{value},g/L,\n", encoding="utf-8")
    cohort = built(read_extract(folder))
    assert cell(cohort, "hemoglobin_g_l") is None
    quarantined = [e for e in cohort.attrs["feasibility"]["events"] if e["kind"] == "quarantined"]
    number = value.lstrip("-").replace(".", "").isdigit() or value == "1e300"
    assert [e["column"] for e in quarantined if e["n"] == 1][-1:] == ["hemoglobin_g_l"] or not number
    assert unknown(cohort, "hemoglobin_g_l") == ({"out_of_range": 1, "missing": 1} if number else {"missing": 2})


def test_two_patients_with_one_id(folder):
    text = "pid,birth_date,sex,last_visit\nP1,1980-01-01,F,2025-06-25\nP1,1950-01-01,F,2025-06-25\n"
    (folder / "patients.csv").write_text(text, encoding="utf-8")
    cohort = built(read_extract(folder))
    assert len(cohort) == 1
    assert {("patients", "duplicate_patient", 1), ("birth_date", "quarantined", 1)} <= events(cohort)
    assert (cell(cohort, "age_years"), cell(cohort, "sex")) == (None, "female")
    assert unknown(cohort, "age_years") == {"conflicting": 1}


def test_an_event_of_an_unknown_patient(folder):
    (folder / "labs.csv").write_text(LABS + HB + HB.replace("P1", "P9"), encoding="utf-8")
    cohort = built(read_extract(folder))
    assert ("labs", "unknown_patient", 1) in events(cohort)
    assert cohort.index.get_level_values("patient_id").tolist() == ["P1", "P2"]


@pytest.mark.parametrize("loinc", ["unmapped", "-", "0", "99999-9", "HGB"])
def test_a_code_that_is_none_or_on_no_list_leaves_the_local_name_to_decide(folder, loinc):
    (folder / "labs.csv").write_text(LABS + f"P1,2025-06-20,{loinc},血红蛋白 HGB,80,g/L,\n", encoding="utf-8")
    cohort = built(read_extract(folder))
    assert cell(cohort, "hemoglobin_g_l") == 80.0
    assert (("hemoglobin_g_l", "found_by_name", 1) in events(cohort)) == (loinc == "99999-9")


def test_a_code_that_is_known_is_never_overruled_by_a_name(folder):
    line = "P1,2025-06-20,8124-0,CD3+绝对计数,0.7,10*9/L,\n"
    (folder / "labs.csv").write_text(LABS + line, encoding="utf-8")
    assert cell(built(read_extract(folder)), "cd3_10e9_l") is None


def test_a_local_code_beside_an_unmapped_loinc_code(folder):
    text = "pid,sample_datetime,loinc,local_code,value_num,unit\nP1,2025-06-20,unmapped,HGB,80,g/L\n"
    (folder / "labs.csv").write_text(text, encoding="utf-8")
    assert cell(built(read_extract(folder)), "hemoglobin_g_l") == 80.0


def test_an_omop_folder_without_measurement(tmp_path):
    files = {
        "person": "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth\n1,8507,1980,1,1\n",
        "observation_period": "person_id,observation_period_start_date,observation_period_end_date\n"
        "1,2020-01-01,2025-06-30\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    cohort = built(omop(tmp_path))
    labs = [c.name for c in AML_COLUMNS.columns if c.statistic in ("latest", "reactive") and not c.fills]
    assert cohort[labs].isna().all(axis=None)
    assert cell(cohort, "age_years", "1") == 45
    said = {(e["column"], e["file_column"], e["kind"]) for e in cohort.attrs["feasibility"]["events"]}
    assert ("labs", "measurement", "table_absent") in said


def test_invalid_json_on_one_line(tmp_path):
    people = [{"resourceType": "Patient", "id": i, "birthDate": "1980-01-01", "gender": "male"} for i in ("a", "b")]
    lines = [json.dumps(people[0]), '{"resourceType": "Patient", "id": "x", ', json.dumps(people[1])]
    (tmp_path / "Patient.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    extract = fhir(tmp_path)
    cohort = build_cohort(extract, as_of(INDEX, observed_months=None), AML_COLUMNS)
    assert cohort.index.get_level_values("patient_id").tolist() == ["a", "b"]
    assert [(e["n"], e["rows"]) for e in extract.quality if "JSON" in e["reason"]] == [(1, [2])]


def test_dates_the_wrong_way_round():
    with pytest.raises(fz.CohortError, match="at_changes: the end 2025-01-01 is before the start 2025-06-30"):
        fz.at_changes("2025-06-30", "2025-01-01")


def test_a_folder_where_a_table_is_needed(tmp_path):
    with pytest.raises(fz.ReadError, match="is a folder; a table with one row a patient is needed.*feasibility build"):
        fz.read_cohort(tmp_path)
