"""What a hospital without haematology sends: no courses, birth dates that are only known between two days."""

from __future__ import annotations

import pandas as pd
import pytest

import feasibility as fz
from feasibility.errors import ReadError
from feasibility.trials.aml import AML_COLUMNS


def folder(tmp_path, births=("1970-01-01",), **more):
    files = {
        "patients": "pid,birth_date,sex\n" + "".join(f"P{i},{b},M\n" for i, b in enumerate(births)),
        "diagnoses": "pid,dx_date,icd10\nP0,2025-06-01,C92.0\n",
        "labs": "pid,sample_datetime,local_name,value_num,unit\nP0,2025-06-01,HGB,120,g/L\n",
    } | more
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


ABSENT = {"extract": {"absent": ["courses", "responses"]}}


def test_a_mandatory_table_may_be_absent_if_the_mapping_says_so(tmp_path):
    extract = fz.read_extract(folder(tmp_path), ABSENT)
    cohort = fz.build_cohort(extract, fz.as_of("2025-06-30"), AML_COLUMNS)
    assert cohort["n_prior_courses"].isna().all()
    assert cohort["n_relapses"].isna().all()
    assert cohort["aml_subtype"].tolist() == ["aml_non_apl"]


def test_without_that_statement_it_is_an_error_that_says_how(tmp_path):
    with pytest.raises(ReadError, match=r'courses \(or responses\).*absent = \["courses", "responses"\]'):
        fz.read_extract(folder(tmp_path))


def test_patients_can_never_be_absent(tmp_path):
    (folder(tmp_path) / "patients.csv").unlink()
    with pytest.raises(ReadError, match="patients"):
        fz.read_extract(tmp_path, {"extract": {"absent": ["patients", "courses"]}})


def test_a_table_said_to_be_absent_must_not_be_there(tmp_path):
    with pytest.raises(ReadError, match="'labs' is absent, but labs.csv is there"):
        fz.read_extract(folder(tmp_path), {"extract": {"absent": ["labs", "courses"]}})


def test_an_unknown_table_is_not_absent(tmp_path):
    with pytest.raises(ReadError, match="absent names a table 'course'.*courses"):
        fz.read_extract(folder(tmp_path), {"extract": {"absent": ["course"]}})


def ages(tmp_path, *births):
    extract = fz.read_extract(folder(tmp_path, births), ABSENT)
    cohort = fz.build_cohort(extract, fz.as_of("2025-06-30"), AML_COLUMNS)
    low, high = cohort["age_years"], cohort.get("age_years__upper", cohort["age_years"])
    return list(zip(low.tolist(), high.tolist(), strict=True)), extract.quality


def test_a_date_may_be_an_iso_interval(tmp_path):
    births = ("1934-07-01/1935-06-30", "1910-07-01/1935-06-30", "1953-06-30/1954-07-01", "1970-05", "1954-06-30")
    found, quality = ages(tmp_path, *births)
    assert found == [(90, 90), (90, 114), (70, 72), (55, 55), (71, 71)]
    assert [q for q in quality if q["kind"] == "quarantined"] == []


def test_an_interval_backwards_or_with_a_day_that_is_none_is_set_aside(tmp_path):
    found, quality = ages(tmp_path, "1935-06-30/1934-07-01", "1970-02-30/1970-03-02", "1970-01-01")
    assert found[2] == (55, 55)
    assert [a is pd.NA for a, _ in found[:2]] == [True, True]
    (noted,) = [q for q in quality if q["kind"] == "quarantined"]
    assert (noted["column"], noted["n"]) == ("patients.birth_date", 2)


def test_verdicts_on_an_interval_are_those_of_both_ends(tmp_path):
    births = ("1910-07-01/1935-06-30", "1953-06-30/1954-07-01", "1960-01-01/1961-01-01")
    extract = fz.read_extract(folder(tmp_path, births), ABSENT)
    protocol = fz.load_trial("NCT06642025")
    cohort = fz.build_cohort(extract, fz.as_of("2025-06-30"), protocol.columns)
    passes = fz.screen(cohort, protocol).passes["I4"]
    assert passes.tolist() == [False, pd.NA, True]
