"""A synthetic community hospital (clinosim) as events: what its tables only say by way of another table.

Run: python examples/clinosim_events.py FOLDER OUT [LAST_DAY], then read OUT with clinosim_events.toml. Written are

* ``patients.csv``: one row per person (the source has one per encounter). It gives an age in years and no birth date;
  the age is taken to be that of the last day of the extract, and written as the year of birth dates that gives it.
* ``diagnoses.csv``: a discharge diagnosis on the day of discharge (for a stay that goes on, the admission diagnosis on
  the day of admission), and every chronic condition on the day of the person's first encounter.
* ``observed.csv``: the encounters.

Laboratory results and procedures are copied as they are; the mapping names their columns. The prescriptions have no
date, so they are left out: what people take stays unknown, which is not "nothing".
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import duckdb


def events(folder: str | Path, out: str | Path, last_day: str = "2025-06-30") -> Path:
    """Write the event files and return their folder; a person described in two ways is an error."""
    folder, out = Path(folder), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    for name in ("patients", "encounters", "diagnoses"):
        file = next(folder.glob(f"{name}.csv*"))
        con.execute(f"CREATE VIEW {name} AS FROM read_csv('{file}', all_varchar = true)")
    con.execute(f"SET VARIABLE last_day = DATE '{last_day}'")
    con.execute(
        "CREATE TABLE persons AS SELECT DISTINCT patient_id, age::int AS age, sex, chronic_conditions FROM patients"
    )
    (twice,) = con.execute("SELECT count(*) - count(DISTINCT patient_id) FROM persons").fetchone()
    if twice:
        raise SystemExit(f"{twice} persons have rows that disagree on age, sex or conditions.")
    con.execute("""
        CREATE TABLE seen AS
        SELECT encounter_id, patient_id, admission_datetime::timestamp::date AS start,
               discharge_datetime::timestamp::date AS stop FROM encounters""")
    queries = {
        "patients": """
            SELECT p.patient_id AS pid, sex, concat(
                       (getvariable('last_day') - to_years(age + 1) + INTERVAL 1 DAY)::date, '/',
                       (getvariable('last_day') - to_years(age))::date) AS birth_date, death_date, last_visit
            FROM persons p
            LEFT JOIN (SELECT patient_id, max(start) AS last_visit FROM seen GROUP BY ALL) USING (patient_id)
            LEFT JOIN (SELECT d.patient_id, min(coalesce(stop, start)) AS death_date FROM diagnoses d
                       JOIN seen USING (encounter_id) WHERE deceased = 'True' GROUP BY ALL) USING (patient_id)
            ORDER BY pid""",
        "diagnoses": """
            SELECT d.patient_id AS pid, coalesce(stop, start) AS dx_date,
                   CASE WHEN stop IS NULL THEN admission_diagnosis_code ELSE discharge_diagnosis_code END AS icd10,
                   CASE WHEN stop IS NULL THEN admission_diagnosis_name ELSE discharge_diagnosis_name END AS text,
                   CASE WHEN stop IS NULL THEN 'admission' ELSE 'primary' END AS type
            FROM diagnoses d JOIN seen USING (encounter_id)
            UNION ALL
            SELECT patient_id, min(start), unnest(string_split(chronic_conditions, '|')), NULL, 'chronic'
            FROM persons JOIN seen USING (patient_id) WHERE chronic_conditions IS NOT NULL
            GROUP BY patient_id, chronic_conditions ORDER BY 1, 2, 3""",
        "observed": "SELECT patient_id AS pid, start, coalesce(stop, start) AS stop FROM seen ORDER BY encounter_id",
    }
    for name, query in queries.items():
        con.execute(f"COPY ({query}) TO '{out / (name + '.csv')}' (header, delimiter ',')")
    for name in ("lab_results.csv.gz", "procedures.csv"):
        shutil.copyfile(folder / name, out / name)
    return out


if __name__ == "__main__":
    events(*sys.argv[1:])
