"""OMOP CDM to canonical events, on a CDM of three persons that is checked by eye."""

from __future__ import annotations

import datetime as dt

import duckdb
import ibis
import pytest
from postgres.tiny_cdm import ddl, everything, write_folder

from feasibility.sources.events import TABLES
from feasibility.sources.omop import omop
from feasibility.sources.omop_cdm import CDM

ANCESTORS = {"ancestors": [138379]}


@pytest.fixture(scope="module")
def extract(tmp_path_factory):
    return omop(write_folder(tmp_path_factory.mktemp("omop") / "cdm"), ANCESTORS)


def rows(extract, name, *columns, **where):
    found = extract.tables[name].to_pyarrow().to_pylist()
    found = [r for r in found if all(r[k] == v for k, v in where.items())]
    return sorted((tuple(r[c] for c in columns) if len(columns) > 1 else r[columns[0]] for r in found), key=repr)


def noted(extract, kind):
    return [(e["column"], e["n"]) for e in extract.quality if e["kind"] == kind]


def test_every_table_has_the_canonical_columns_and_types(extract):
    for name, table in extract.tables.items():
        schema = {c: str(t).removeprefix("!") for c, t in table.schema().items()}
        assert schema == TABLES[name].physical(), name


def test_patients(extract):
    day = dt.date
    assert rows(extract, "patients", "pid", "birth_date", "birth_date_last", "sex", "death_date", "last_visit") == [
        ("1", day(1960, 2, 29), day(1960, 2, 29), "male", day(2025, 5, 1), day(2025, 4, 3)),
        ("2", day(1971, 5, 1), day(1971, 5, 31), "female", None, day(2025, 2, 1)),
        ("3", day(1980, 1, 1), day(1980, 12, 31), "女", None, None),
    ]
    assert rows(extract, "patients", "region", "site_id", pid="1") == [("Anhui", "北院")]


def test_a_diagnosis_is_one_fact_with_a_row_for_each_coding(extract):
    assert rows(extract, "diagnoses", "system", "code", fact_id="condition_occurrence:31") == [
        ("icd10", "C92.00"), ("omop", "138379"), ("omop", "140352"), ("snomed", "91861009"),
    ]  # fmt: skip
    assert rows(extract, "diagnoses", "type", "dx_status", fact_id="condition_occurrence:31", system="icd10") == [
        ("primary", "active")
    ]


def test_an_unmapped_diagnosis_keeps_the_words_of_the_source_and_is_counted(extract):
    assert rows(extract, "diagnoses", "system", "code", "text", fact_id="condition_occurrence:32") == [
        ("local", "C92.000", "C92.000")
    ]
    assert ("diagnoses.code", 2) in noted(extract, "unmapped")


def test_what_the_doctor_wrote_is_the_text(extract):
    assert rows(extract, "diagnoses", "code", "text", fact_id="condition_occurrence:34") == [("C92.00", "sustained VT")]
    assert set(rows(extract, "diagnoses", "text", fact_id="condition_occurrence:31")) == {"Acute myeloid leukemia"}


def test_the_mapping_says_which_codes_the_source_values_are(tmp_path):
    stated = {"source_vocabulary": {"condition_occurrence": "icd10"}}
    found = omop(write_folder(tmp_path / "cdm"), stated)
    assert rows(found, "diagnoses", "code", fact_id="condition_occurrence:32", system="icd10") == ["C92.000"]
    assert rows(found, "diagnoses", "code", fact_id="condition_occurrence:33", system="icd10") == ["I21.9"]


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("measurement:41", (6.1, None, "g/dL", 12.0, 16.0, None)),  # the unit's concept, not the source's spelling
        ("measurement:42", (5.0, "<", "U/L", None, 40.0, None)),  # comparator by concept
        ("measurement:43", (None, None, None, None, None, "negative")),  # 9189
        ("measurement:44", (20.0, ">", "Gpt/l", None, None, None)),  # sign in value_source_value, unit unmapped
        ("measurement:45", (None, None, None, None, None, "1")),  # LOINC answer of ECOG
        ("observation:53", (None, None, None, None, None, "LA26683-5")),
    ],
)
def test_labs(extract, fact, expected):
    columns = ("value_num", "comparator", "unit", "ref_low", "ref_high", "value_text")
    assert set(rows(extract, "labs", *columns, fact_id=fact)) == {expected}


def test_statements_without_a_value_are_diagnoses_and_questions_are_labs(extract):
    assert rows(extract, "diagnoses", "code", fact_id="observation:51", system="snomed") == ["399211009"]
    assert rows(extract, "labs", "code", fact_id="observation:53", system="loinc") == ["82810-3"]
    assert not rows(extract, "labs", "code", fact_id="observation:51")


def test_performance_echo_and_allergies_come_from_their_concepts(extract):
    assert rows(extract, "performance", "pid", "scale", "score") == [("1", "ECOG", "1")]
    assert rows(extract, "echo", "pid", "lvef", "date") == [("1", 55.0, dt.date(2025, 4, 2))]
    assert rows(extract, "allergies", "pid", "agent", "status") == [("2", "penicillin", "active")]


def test_doses_come_from_strength_or_from_the_stated_unit(extract):
    columns = ("generic", "dose", "unit", "freq", "status")
    assert set(rows(extract, "medications", *columns, pid="1")) == {("prednisone", 20.0, "mg", "qd", "administered")}
    assert set(rows(extract, "medications", *columns, fact_id="drug_exposure:72")) == {
        ("dexamethasone", 6.0, "mg", "qd", "ordered")
    }
    assert rows(extract, "medications", *columns, fact_id="drug_exposure:73") == [("草药", None, None, "bid", None)]
    assert rows(extract, "medications", "system", "code", pid="1") == [
        ("atc", "H02AB07"), ("local", "312615"), ("omop", "1551099"), ("omop", "40224805"), ("rxnorm", "312615"),
        ("rxnorm", "8640"),
    ]  # fmt: skip


def test_several_ingredients_are_several_facts_with_their_own_doses(tmp_path):
    folder = write_folder(tmp_path / "cdm")
    with (folder / "drug_strength.csv").open("a") as stream:
        stream.write("40224805,1518254,2,8576\n")
    found = omop(folder)
    columns = ("fact_id", "generic", "dose")
    assert rows(found, "medications", *columns, code="3264", pid="1") == [
        ("drug_exposure:71#1518254", "dexamethasone", 8.0)
    ]
    assert rows(found, "medications", *columns, code="8640") == [("drug_exposure:71#1551099", "prednisone", 20.0)]
    assert rows(found, "medications", *columns, code="40224805") == [
        ("drug_exposure:71", "prednisone 5 MG Oral Tablet", None)
    ]


def test_without_strengths_ancestors_give_the_ingredient(tmp_path):
    folder = write_folder(tmp_path / "cdm", without=("drug_strength",))
    with (folder / "concept_ancestor.csv").open("a") as stream:
        stream.write("1551099,40224805\n")
    found = omop(folder)
    assert rows(found, "medications", "generic", "dose", code="8640") == [("prednisone", None)]


def test_local_events_carry_what_the_cdm_has_no_table_for(extract):
    columns = ("pid", "assess_date", "course_no", "response_eln", "bm_blast_pct", "emd_flag")
    assert rows(extract, "responses", *columns) == [("1", dt.date(2024, 2, 20), 1, "CR", 2.5, False)]
    assert rows(extract, "transplants", "type", "is_stop_date", "is_stop_date_last") == [
        ("allogeneic", dt.date(2024, 11, 1), dt.date(2024, 11, 30))
    ]


def test_episodes_are_courses(tmp_path):
    folder = write_folder(tmp_path / "cdm")
    (folder / "episode.csv").write_text(
        "episode_id,person_id,episode_concept_id,episode_start_date,episode_end_date,episode_number,episode_source_value\n"
        "1,1,32531,2024-01-10,2024-01-17,1,induction\n2,1,32533,2024-01-10,,1,disease\n"
    )
    assert rows(omop(folder), "courses", "course_no", "phase", "start") == [(1, "induction", dt.date(2024, 1, 10))]


def test_observed_is_periods_and_visits(extract):
    assert rows(extract, "observed", "start", "stop", pid="2") == [
        (dt.date(2021, 1, 1), dt.date(2025, 6, 30)), (dt.date(2025, 2, 1), dt.date(2025, 2, 1)),
    ]  # fmt: skip


def test_row_ids_are_unique_within_a_table_but_for_the_codings_of_one_fact(extract):
    for name, table in extract.tables.items():
        found = table.to_pyarrow().to_pylist()
        key = ("row_id", "fact_id") if "fact_id" in table.columns else ("row_id",)
        whole = {tuple(r[k] for k in key) for r in found}
        assert len({k[0] for k in whole}) == len(whole), name


def test_folder_in_upper_case_duckdb_file_and_connection_give_the_same(extract, tmp_path):
    upper = omop(write_folder(tmp_path / "UP", upper=True), ANCESTORS)
    con = duckdb.connect(str(tmp_path / "cdm.duckdb"))
    for statement in ddl(CDM):
        con.execute(statement)
    con.close()
    file = omop(tmp_path / "cdm.duckdb", ANCESTORS)
    connection = omop(ibis.duckdb.connect(tmp_path / "cdm.duckdb", read_only=True), ANCESTORS)
    expected = everything(extract)
    assert everything(upper) == everything(file) == everything(connection) == expected


def test_parquet_and_gz(extract, tmp_path):
    folder = write_folder(tmp_path / "cdm")
    duck = duckdb.connect()
    for name in ("measurement", "person"):
        duck.execute(f"COPY (FROM '{folder / name}.csv') TO '{folder / name}.parquet' (FORMAT parquet)")
        (folder / f"{name}.csv").unlink()
    duck.execute(f"COPY (FROM '{folder}/observation.csv') TO '{folder}/observation.csv.gz' (FORMAT csv, HEADER)")
    (folder / "observation.csv").unlink()
    assert everything(omop(folder, ANCESTORS)) == everything(extract)


def test_an_absent_table_is_unknown_and_said(tmp_path):
    found = omop(write_folder(tmp_path / "cdm", without=("measurement", "observation", "concept")))
    assert "labs" not in found
    assert "allergies" not in found
    assert ("labs", 0) in noted(found, "table_absent")
    assert rows(found, "diagnoses", "system", "code", fact_id="condition_occurrence:31") == [
        ("local", "C92.0"), ("omop", "140352"),
    ]  # fmt: skip


def test_progress_is_reported(tmp_path):
    seen = []
    omop(write_folder(tmp_path / "cdm"), progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert seen[0][0] == "care_site.csv"
    assert seen[-1] == ("done", 1.0)
    assert [f for _, f in seen] == sorted(f for _, f in seen)
