"""The cohort built inside PostgreSQL is the one built from the same OMOP files, cell for cell, and counts the same."""

from __future__ import annotations

import duckdb
import pandas as pd
import pyarrow as pa

import feasibility as fz
from feasibility.sources.omop import omop
from feasibility.sources.omop_cdm import CDM
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events_omop import write_omop
from feasibility.trials.aml_registry import synthetic_registry

TYPES = {"date": "DATE", "float64": "DOUBLE PRECISION", "int64": "BIGINT", "string": 'TEXT COLLATE "en-x-icu"'}


def load(con, folder):
    """The CSV files as typed PostgreSQL tables, as a warehouse holds them: texts collated as words, not as bytes."""
    for path in sorted(folder.glob("*.csv")):
        name = path.stem
        declared = CDM.get(name, {})
        table = duckdb.sql(f"SELECT * FROM read_csv('{path}', all_varchar=true)").to_arrow_table()
        fields = {
            c: TYPES.get(str(declared.get(c, "string")).split(":")[0], TYPES["string"]) for c in table.column_names
        }
        with con.begin() as cursor:
            cursor.execute(f"CREATE TABLE {name} ({', '.join(f'{c} {t}' for c, t in fields.items())})")
            with cursor.copy(f"COPY {name} FROM STDIN WITH (FORMAT csv, HEADER true)") as copy:
                copy.write(path.read_bytes())


def test_postgres_builds_and_counts_what_files_do(postgres, tmp_path):
    write_omop(synthetic_registry(250, seed=23), tmp_path / "cdm")
    # A folder says beside its tables that nobody in it is real; a database has no such place.
    (tmp_path / "cdm" / "SYNTHETIC.txt").unlink(missing_ok=True)
    load(postgres, tmp_path / "cdm")
    index = fz.as_of("2025-06-30")
    here = fz.build_cohort(omop(postgres), index, AML_COLUMNS)
    there = fz.build_cohort(omop(tmp_path / "cdm"), index, AML_COLUMNS)
    pd.testing.assert_frame_equal(here, there)
    facts = [c.attrs["feasibility"] for c in (here, there)]
    assert facts[0]["unknown"] == facts[1]["unknown"]
    protocol = fz.load_trial("NCT06642025")
    postgres.create_table("cohort", pa.Table.from_pandas(here.reset_index()))
    counted = fz.count_patterns(postgres.table("cohort"), protocol)
    assert counted.header["route"] == "database (postgres)"
    reference = fz.screen(there, protocol).patterns()
    key = [*reference.ids, "n"]
    frames = [t.to_frame().sort_values(key).reset_index(drop=True) for t in (counted, reference)]
    pd.testing.assert_frame_equal(*frames)


KEYED = {
    "person": ["person_id,gender_concept_id,year_of_birth", "a1,8507,1960", "B2,8532,1970", "_c,8507,1980"],
    "measurement": [
        "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value",
        *(f",{pid},3000963,2025-06-01,{n},{name}" for n, (pid, name) in enumerate(
            (p, w) for p in ("a1", "B2", "_c") for w in ("hb", "HB", "Hb-1", "hb 2", "_hb", "é", "血红蛋白"))),
    ],
    "observation": [
        "observation_id,person_id,observation_concept_id,observation_date,value_as_number,value_as_string,"
        "observation_source_value,observation_event_id",
        "1,a1,0,2025-06-01,,HELD,feasibility:responses,1",
        "2,a1,0,2025-06-01,,cr,feasibility:responses.response_eln,1",
        "3,a1,0,2025-06-01,,PR,feasibility:responses.response_eln,1",
        "4,a1,0,2025-06-01,,2,feasibility:responses.course_no,1",
        "5,a1,0,2025-06-01,3,,feasibility:responses.regimen,1",
        "6,a1,0,2025-06-01,2.5,,feasibility:responses.phase,1",
        "7,a1,0,2025-06-01,,5 %,feasibility:responses.bm_blast_pct,1",
        "8,B2,0,2025-06-01,,-,feasibility:responses.course_no,2",
        "9,B2,0,2025-06-01,,1e40,feasibility:responses.course_no,2",
        "10,B2,0,2025-06-01,,.5,feasibility:responses.bm_blast_pct,2",
    ],
}  # fmt: skip


def test_keys_are_numbered_and_texts_read_whatever_the_collation(postgres, tmp_path):
    for name, lines in KEYED.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    load(postgres, tmp_path)
    here, there = (omop(source).tables for source in (postgres, tmp_path))
    for name in ("patients", "labs", "responses"):
        first, second = (t[name].to_pyarrow().sort_by("row_id").to_pylist() for t in (here, there))
        assert first == second, name
    assert len({r["row_id"] for r in there["labs"].to_pyarrow().to_pylist()}) == 21
    one, two = there["responses"].to_pyarrow().sort_by("row_id").to_pylist()
    assert (one["response_eln"], one["course_no"], one["regimen"], one["phase"]) == ("PR", 2, "3", "2.5")
    assert (one["bm_blast_pct"], two["course_no"], two["bm_blast_pct"]) == (None, None, 0.5)
