# ruff: noqa: E501
"""A CDM of three persons, small enough to check by eye, as CSV text; loaded into any database by plain SQL."""

from __future__ import annotations

import csv
import io
from pathlib import Path

TABLES = {
    "person": """person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,birth_datetime,gender_source_value,location_id,care_site_id
1,8507,1960,2,29,1960-02-29 00:00:00,M,7,3
2,8532,1971,5,,,F,,
3,0,1980,,,,女,,
""",
    "death": "person_id,death_date\n1,2025-05-01\n",
    "location": "location_id,state\n7,Anhui\n",
    "care_site": "care_site_id,care_site_name\n3,北院\n",
    "observation_period": """observation_period_id,person_id,observation_period_start_date,observation_period_end_date
11,1,2020-01-01,2025-05-01
12,2,2021-01-01,2025-06-30
""",
    "visit_occurrence": """visit_occurrence_id,person_id,visit_start_date,visit_end_date
21,1,2025-04-01,2025-04-03
22,2,2025-02-01,
""",
    "condition_occurrence": """condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_source_value,condition_source_concept_id,condition_status_concept_id,condition_status_source_value
31,1,140352,2024-01-05,C92.0,45533000,32902,active
32,2,0,2024-03-01,C92.000,0,0,suspected
33,2,312327,2019-07-01,I21.9,0,32908,
34,2,0,2020-01-01,sustained VT,45533000,0,
""",
    "measurement": """measurement_id,person_id,measurement_concept_id,measurement_date,operator_concept_id,value_as_number,value_as_concept_id,unit_concept_id,range_low,range_high,measurement_source_value,measurement_source_concept_id,unit_source_value,value_source_value
41,1,3000963,2025-04-01,0,6.1,0,8713,12,16,718-7,3000963,g/dl,6.1
42,1,3006923,2025-04-01,4171756,5,0,8645,,40,ALT,0,U/L,<5
43,2,3019510,2025-02-01,0,,9189,0,,,HBsAg,0,,neg
44,2,0,2025-02-01,0,20,0,0,,,XYZ,0,Gpt/l,>20
45,1,3040826,2025-04-01,0,,45770001,0,,,ECOG,0,,
46,1,3028437,2025-04-02,0,55,0,8554,,,LVEF,0,%,55
""",
    "observation": """observation_id,person_id,observation_concept_id,observation_date,value_as_number,value_as_string,value_as_concept_id,unit_concept_id,observation_source_value,observation_source_concept_id,unit_source_value,value_source_value,observation_event_id
51,1,4163874,2024-06-01,,,0,0,hx,0,,,
52,2,439224,2023-01-01,,,0,0,pen,0,,,
53,2,4217975,2025-01-02,,LA26683-5,0,0,82810-3,0,,,
54,1,0,2024-02-20,,2024-03,0,0,feasibility:responses.never,0,,,1
55,1,0,2024-02-20,,CR,0,0,feasibility:responses.response_eln,0,,,1
56,1,0,2024-02-20,2.5,,0,0,feasibility:responses.bm_blast_pct,0,,,1
57,1,0,2024-02-20,,false,0,0,feasibility:responses.emd_flag,0,,,1
58,1,0,2024-02-20,1,,0,0,feasibility:responses.course_no,0,,,1
59,1,0,2024-05-01,,allogeneic,0,0,feasibility:transplants.type,0,,,2
60,1,0,2024-05-01,,2024-11,0,0,feasibility:transplants.is_stop_date,0,,,2
""",
    "drug_exposure": """drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_exposure_end_date,drug_type_concept_id,quantity,days_supply,sig,route_concept_id,drug_source_value,drug_source_concept_id,route_source_value,dose_unit_source_value
71,1,40224805,2025-03-01,2025-03-10,32818,40,10,,0,312615,0,po,
72,2,1518254,2025-01-01,2025-01-04,32838,24,4,,0,H02AB02,0,iv,mg
73,2,0,2025-01-01,,0,,,bid,0,草药,0,,
""",
    "drug_strength": """drug_concept_id,ingredient_concept_id,amount_value,amount_unit_concept_id
40224805,1551099,5,8576
""",
    "procedure_occurrence": """procedure_occurrence_id,person_id,procedure_concept_id,procedure_date,procedure_source_value,procedure_source_concept_id
81,1,4120445,2024-05-01,41.05,2003560
""",
    "concept": """concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,concept_code
140352,Acute myeloid leukemia,Condition,SNOMED,Disorder,91861009
138379,Leukemia of myeloid lineage,Condition,SNOMED,Disorder,188732008
45533000,"Acute myeloblastic leukemia, not having achieved remission",Condition,ICD10CM,5-char,C92.00
312327,Acute myocardial infarction,Condition,SNOMED,Disorder,57054005
3000963,Hemoglobin [Mass/volume] in Blood,Measurement,LOINC,Lab Test,718-7
3006923,Alanine aminotransferase,Measurement,LOINC,Lab Test,1742-6
3019510,Hepatitis B virus surface Ag,Measurement,LOINC,Lab Test,5196-1
3040826,ECOG Performance Status score,Measurement,LOINC,Survey,89247-1
3028437,Left ventricular Ejection fraction,Measurement,LOINC,Clinical,10230-1
45770001,Restricted in physically strenuous activity,Meas Value,LOINC,Answer,LA9623-5
4163874,History of myocardial infarction,Observation,SNOMED,Context-dependent,399211009
439224,Allergy to penicillin,Observation,SNOMED,Disorder,91936005
4217975,Pregnancy status,Observation,LOINC,Survey,82810-3
40224805,prednisone 5 MG Oral Tablet,Drug,RxNorm,Clinical Drug,312615
1551099,prednisone,Drug,RxNorm,Ingredient,8640
1518254,dexamethasone,Drug,RxNorm,Ingredient,3264
21602735,prednisone; oral,Drug,ATC,ATC 5th,H02AB07
4120445,Allogeneic transplant,Procedure,SNOMED,Procedure,234336002
2003560,Allogeneic hematopoietic stem cell transplant,Procedure,ICD9Proc,4-dig,41.05
""",
    "concept_ancestor": """ancestor_concept_id,descendant_concept_id
140352,140352
138379,140352
21602735,40224805
""",
}
"""CDM table to CSV text."""


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(TABLES[name])))


def write_folder(folder: Path, without: tuple[str, ...] = (), upper: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in TABLES.items():
        if name not in without:
            (folder / f"{name.upper() if upper else name}.csv").write_text(text, encoding="utf-8")
    return folder


def ddl(types: dict[str, dict[str, str]], schema: str = "") -> list[str]:
    """CREATE TABLE and INSERT statements with CDM types; the same for DuckDB and PostgreSQL."""
    sql = {"key": "integer", "int64": "integer", "float64": "numeric", "date": "date", "string": "varchar(255)"}
    prefix = f"{schema}." if schema else ""
    result = [f"CREATE SCHEMA {schema}"] if schema else []
    for name in TABLES:
        table_rows = rows(name)
        columns = list(table_rows[0])
        kinds = {c: "timestamp" if c.endswith("datetime") else sql[types[name][c]] for c in columns}
        result.append(f"CREATE TABLE {prefix}{name} ({', '.join(f'{c} {kinds[c]}' for c in columns)})")
        for row in table_rows:
            values = ", ".join("NULL" if v == "" else "'" + v.replace("'", "''") + "'" for v in row.values())
            result.append(f"INSERT INTO {prefix}{name} VALUES ({values})")
    return result


def everything(extract) -> dict[str, list[tuple]]:
    """Every row of every event table, sorted, for comparing sources."""
    result = {}
    for name, table in extract.tables.items():
        arrow = table.to_pyarrow()
        result[name] = sorted((tuple(r.values()) for r in arrow.to_pylist()), key=repr)
    return result
