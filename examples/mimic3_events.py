"""The MIMIC-III demo as an extract in the native layout: patients, diagnoses, procedures, labs, medications.

Run: python examples/mimic3_events.py FOLDER OUT, then read OUT with mimic3.toml. A mapping alone cannot do it, because
codes stand without a date in one table and the stay's dates in another, and a result's name in a third:

* Diagnosis and procedure codes are assigned for the whole stay when it ends, so they are dated to the discharge. An
  index date within a stay therefore does not see that stay's codes.
* The dictionary of laboratory items gives some items the LOINC code of another test (``WRONG_LOINC``), the absolute
  and the relative CD3 count exchanged among them. Blood gas analysers' values are left out: haemoglobin is wanted from
  the blood count (clinical specification, 3.1).
* MIMIC moves the birth of anyone older than 89 to 300 years before the first admission. All that is left is that they
  were 90 or more on that day, which is written as the interval of birth dates that gives 90 to 115 years.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

WRONG_LOINC = {
    "51244": "736-9",  # Lymphocytes, a share of leukocytes; the dictionary says 731-0, the absolute count
    "51148": "709-6",  # Blasts, a share of leukocytes; it says 708-8, a count
    "51176": "8124-0",  # CD3 cells, per cent; it says 8122-4, the absolute count
    "51130": "8122-4",  # Absolute CD3 count; it says 8124-0, the percentage
    "51266": "",  # Platelet smear, a word such as LOW; it says 778-1, a count
    "50855": "",  # Absolute haemoglobin, the word DONE; it says 718-7, a concentration
}
ROUTES = {
    "OU": "ophthalmic", "OD": "ophthalmic", "OS": "ophthalmic", "IH": "inhalation", "NEB": "inhalation",
    "NU": "nasal", "TP": "topical", "IT": "intrathecal",
}  # fmt: skip


def events(folder: str | Path, out: str | Path) -> Path:
    """Write the event files and return their folder."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    for name in ("patients", "admissions", "diagnoses_icd", "d_icd_diagnoses", "procedures_icd", "d_labitems",
                 "labevents", "prescriptions"):  # fmt: skip
        file = next(Path(folder).glob(f"{name}.csv*"))
        con.execute(f"CREATE VIEW {name} AS FROM read_csv('{file}', all_varchar = true)")
    con.execute("CREATE MACRO recode(value, pairs) AS coalesce(map_extract(pairs, value)[1], value)")
    queries = {
        "patients": """
            WITH stays AS (SELECT subject_id, min(admittime)::date AS first_day, max(dischtime)::date AS last_day
                           FROM admissions GROUP BY ALL)
            SELECT subject_id AS pid, gender AS sex, dod::date AS death_date, last_day AS last_visit,
                   CASE WHEN date_diff('year', dob::date, first_day) > 200
                        THEN concat((first_day - INTERVAL 116 YEAR + INTERVAL 1 DAY)::date, '/',
                                    (first_day - INTERVAL 90 YEAR)::date)
                        ELSE dob::date::varchar END AS birth_date
            FROM patients JOIN stays USING (subject_id) ORDER BY subject_id::int""",
        "diagnoses": """
            SELECT d.subject_id AS pid, dischtime::date AS dx_date, d.icd9_code AS icd9cm, long_title AS text,
                   CASE seq_num WHEN '1' THEN 'primary' ELSE 'secondary' END AS type
            FROM diagnoses_icd d JOIN admissions USING (hadm_id) LEFT JOIN d_icd_diagnoses n USING (icd9_code)
            ORDER BY d.row_id::int""",
        "procedures": """
            SELECT p.subject_id AS pid, dischtime::date AS date, icd9_code AS icd9proc
            FROM procedures_icd p JOIN admissions USING (hadm_id) ORDER BY p.row_id::int""",
        "labs": f"""
            SELECT subject_id AS pid, charttime AS sample_datetime, itemid AS local_code, label AS local_name,
                   coalesce(map_extract({_map(WRONG_LOINC)}, itemid)[1], loinc_code) AS loinc,
                   value AS value_text, valuenum AS value_num, valueuom AS unit, flag, fluid AS specimen
            FROM labevents l JOIN d_labitems USING (itemid)
            WHERE category <> 'Blood Gas' ORDER BY l.row_id::int""",
        "medications": f"""
            SELECT subject_id AS pid, startdate::date AS order_start, enddate::date AS order_stop, drug AS generic,
                   replace(dose_val_rx, ',', '') AS dose, recode(dose_unit_rx, {_map({"gm": "g"})}) AS unit,
                   recode(route, {_map(ROUTES)}) AS route, 'ordered' AS status
            FROM prescriptions ORDER BY row_id::int""",
    }
    for name, query in queries.items():
        con.execute(f"COPY ({query}) TO '{out / (name + '.csv')}' (header, delimiter ',')")
    return out


def _map(pairs: dict[str, str]) -> str:
    return f"map({list(pairs)}, {list(pairs.values())})"


if __name__ == "__main__":
    events(*sys.argv[1:])
