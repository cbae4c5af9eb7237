"""Event tables in a database that are not of the canonical layout are refused by name; those that are, are shaped."""

from __future__ import annotations

import datetime as dt

import ibis
import pytest

import feasibility as fz
from feasibility.errors import ReadError
from feasibility.sources.database import read_events

PEOPLE = "CREATE TABLE patients AS SELECT 1 AS row_id, 7 AS PID, DATE '1960-02-29' AS birth_date, 'M' AS sex"
LABS = "CREATE TABLE results AS SELECT 5 AS row_id, '7' AS pid, DATE '2025-06-01' AS date, 'loinc' AS system, " \
       "'718-7' AS code, 90.0 AS value_num, 'g/L' AS unit"  # fmt: skip
NONE = {"absent": ["diagnoses", "courses"]}


@pytest.fixture
def con():
    made = ibis.duckdb.connect()
    made.raw_sql(PEOPLE)
    made.raw_sql(LABS)
    return made


def test_tables_are_shaped_and_build(con):
    extract = read_events(con, tables={"labs": "results"}, **NONE)
    (row,) = extract.tables["labs"].to_pyarrow().to_pylist()
    assert (row["pid"], row["date_last"], row["fact_id"], row["report_date"]) == (
        "7",
        dt.date(2025, 6, 1),
        "labs:5",
        None,
    )
    assert extract.tables["patients"].pid.to_pyarrow().to_pylist() == ["7"]
    columns = fz.load_trial("NCT06642025").columns.select(["age_years", "hemoglobin_g_l"])
    cohort = fz.build_cohort(extract, fz.as_of("2025-06-30"), columns)
    assert cohort.iloc[0].tolist() == [65, 90.0, 29.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"there is no table labs in the default schema. Say with tables= which it is"),
        ({"tables": {"labs": "result"}}, "table 'labs' is said to be 'result', which is not there"),
        ({"tables": {"lab": "results"}}, "no event table is called 'lab'. Did you mean 'labs'"),
    ],
)
def test_which_table_is_which(con, given, message):
    with pytest.raises(ReadError, match=message):
        read_events(con, **given, **NONE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER TABLE results RENAME pid TO patient", "table 'labs' has no column 'pid'"),
        ("ALTER TABLE results DROP row_id", "table 'labs' has no column 'row_id'"),
        ("ALTER TABLE results ALTER date TYPE VARCHAR", "labs.date is string in the database, not date"),
        ("ALTER TABLE results ALTER value_num TYPE VARCHAR", "labs.value_num is string in the database, not float64"),
    ],
)
def test_columns_that_do_not_fit(con, change, message):
    con.raw_sql(change)
    with pytest.raises(ReadError, match=message):
        read_events(con, tables={"labs": "results"}, **NONE)
