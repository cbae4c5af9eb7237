"""The same CDM in a PostgreSQL server and as files gives the same event tables, row for row."""

from __future__ import annotations

import pytest
from postgres.tiny_cdm import ddl, everything, write_folder

from feasibility.errors import ReadError
from feasibility.sources.omop import omop
from feasibility.sources.omop_cdm import CDM

ANCESTORS = {"ancestors": [138379]}


def fill(con, statements):
    with con.begin() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_postgres_equals_files(postgres, tmp_path):
    fill(postgres, ddl(CDM))
    here = omop(postgres, ANCESTORS)
    there = omop(write_folder(tmp_path / "cdm"), ANCESTORS)
    assert everything(here) == everything(there)
    assert here.quality == there.quality
    assert here.source == "OMOP in postgres"


def test_a_schema_of_its_own_and_renamed_tables(postgres, tmp_path):
    fill(postgres, [*ddl(CDM, schema="cdm"), "ALTER TABLE cdm.person RENAME TO person_2025"])
    here = omop(postgres, {**ANCESTORS, "schema": "cdm", "tables": {"person": "person_2025"}})
    assert everything(here) == everything(omop(write_folder(tmp_path / "cdm"), ANCESTORS))


def test_no_person_in_the_default_schema(postgres):
    fill(postgres, ddl(CDM, schema="cdm"))
    with pytest.raises(ReadError, match="no table person in the default schema"):
        omop(postgres)


def test_text_instead_of_dates_is_refused_before_it_fails_half_way(postgres):
    fill(postgres, ["CREATE TABLE person (person_id int, gender_concept_id int, year_of_birth text)"])
    with pytest.raises(ReadError, match="person.year_of_birth is text in the database"):
        omop(postgres)


def test_repeated_keys_are_numbered_anew_the_same_way(postgres, tmp_path):
    twice = "INSERT INTO measurement SELECT * FROM measurement WHERE measurement_id = 41"
    change = "UPDATE measurement SET measurement_id = 42 WHERE measurement_id = 43"
    fill(postgres, [*ddl(CDM), twice, change])
    extract = omop(postgres)
    facts = extract.tables["labs"].fact_id.nunique().to_pyarrow().as_py()
    assert facts == 6 + 1 + 1  # six measurements, one of them twice, and the observation that is a question
    repeated = [e for e in extract.quality if e["kind"] == "key_repeated"]
    assert [(e["file_column"], e["n"]) for e in repeated] == [("measurement.measurement_id", 2)]
