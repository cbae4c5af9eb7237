"""One row per person out of the tables of a synthetic community hospital (clinosim).

Run: python examples/clinosim_join.py FOLDER OUT.csv [INDEX_DATE]. ``patients.csv`` of that extract has one row per
encounter, so the persons are made distinct first; then come the latest laboratory values up to the index date with
their units and dates, and the last day on which anything was recorded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

LABS = ("Hb", "Plt", "Creatinine", "AST", "ALT")


def join(folder: str | Path, out: str | Path, index_date: str = "2025-06-30") -> Path:
    """Write the joined table and return its path; duplicates that disagree are an error."""
    con = duckdb.connect()
    con.execute(f"set variable folder = '{Path(folder)}'; set variable index = '{index_date}'::date")
    read = "read_csv(getvariable('folder') || '/{}', all_varchar = true)".format
    con.execute(f"""
        create table persons as
        select patient_id, any_value(age) as age, any_value(sex) as sex, any_value(chronic_conditions) as conditions,
               count(distinct (age, sex, chronic_conditions)) as versions
        from {read("patients.csv")} group by patient_id
    """)
    disagree = con.execute("select count(*) from persons where versions > 1").fetchone()[0]
    if disagree:
        raise SystemExit(f"{disagree} persons have rows that disagree on age, sex or conditions.")
    con.execute(f"""
        create table labs as
        select patient_id, lab_name, value, unit, result_datetime::timestamp as taken
        from {read("lab_results.csv.gz")} where result_datetime::date <= getvariable('index')
        qualify row_number() over (partition by patient_id, lab_name order by taken desc, value::double desc) = 1
    """)
    con.execute(f"""
        create table seen as
        select patient_id, max(admission_datetime::date) as last_visit
        from {read("encounters.csv.gz")} where admission_datetime::date <= getvariable('index') group by patient_id
    """)
    columns = ", ".join(
        f"max(value) filter (lab_name = '{lab}') as {lab}, max(unit) filter (lab_name = '{lab}') as {lab}_unit, "
        f"max(taken::date) filter (lab_name = '{lab}') as {lab}_date"
        for lab in LABS
    )
    con.execute(f"""
        copy (
            select persons.patient_id, age, sex, last_visit, conditions,
                   case when list_has_any(string_split(conditions, '|'), ['I50', 'I50.9']) then 'yes' end
                       as heart_failure,
                   labs.* exclude (patient_id)
            from persons left join seen using (patient_id)
            left join (select patient_id, {columns} from labs group by patient_id) as labs using (patient_id)
            order by patient_id
        ) to '{Path(out)}' (header, delimiter ',')
    """)
    return Path(out)


if __name__ == "__main__":
    join(*sys.argv[1:])
