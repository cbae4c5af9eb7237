"""The boundary vectors of the clinical specification (section 1.1), from a hospital's raw events to the verdict.

Each vector is a small folder in the native layout; the index date is 2025-06-30.
"""

from pathlib import Path

import pandas as pd
import pytest

import feasibility
from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.sources.native import read_extract

from .patients import PROTOCOL

INDEX = "2025-06-30"
HEADERS = {
    "patients": "pid,birth_date,sex,death_date,last_visit,region",
    "diagnoses": "pid,dx_date,icd10,text,type,dx_status",
    "labs": "pid,sample_datetime,report_datetime,local_code,local_name,loinc,value_text,value_num,comparator,unit,"
    "ref_low,ref_high,flag,specimen",
    "medications": "pid,order_start,order_stop,atc,rxnorm,generic,dose,unit,freq,route,prn,indication,status",
    "procedures": "pid,date,code,text",
    "courses": "pid,course_no,phase,start,stop,intensity",
    "responses": "pid,assess_date,course_no,phase,regimen,response_eln,bm_blast_pct,mrd,emd_flag",
    "transplants": "pid,date,type,donor,conditioning,is_stop_date,agvhd_max,cgvhd,gvhd_status,gvhd_date",
    "echo": "pid,date,lvef,method",
    "performance": "pid,date,scale,score",
    "infections": "pid,date,active,severity,controlled",
    "allergies": "pid,date,agent,severity,status",
    "repro": "pid,date,menopause,sterilised,lactating",
    "transfusions": "pid,date,product",
}
PATIENT = ["P1,1980-01-01,M,,2025-06-25,Anhui"]


def write(folder: Path, **files: list[str]) -> Path:
    """A native extract: the header of every file, and the given lines."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, header in HEADERS.items():
        lines = files.get(name, PATIENT if name == "patients" else [])
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def built(folder: Path, **files: list[str]) -> pd.DataFrame:
    return build_cohort(read_extract(write(folder, **files)), as_of(INDEX), PROTOCOL.columns)


def answer(criterion_id: str, folder: Path, **files: list[str]):
    """Whether the criterion is met for the one patient: True, False or None."""
    met = PROTOCOL[criterion_id].met(built(folder, **files)).iloc[0]
    return None if met is pd.NA else bool(met)


def lab(name="", loinc="", value="", unit="", day="2025-06-28", high="", text="") -> str:
    comparator = ""
    if value.startswith("<"):
        comparator, value = "<", value[1:]
    return f"P1,{day},,,{name},{loinc},{text},{value},{comparator},{unit},,{high},,"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("60", "g/L", False), ("6.0", "g/dL", False), ("3.7234", "mmol/L", False), ("60.0001", "g/L", True)],
)
def test_hemoglobin(tmp_path, value, unit, expected):
    assert answer("I5.1", tmp_path, labs=[lab("血红蛋白 HGB", "718-7", value, unit)]) is expected


@pytest.mark.parametrize(("code", "value", "unit", "expected"), [
    ("8122-4", "500", "/uL", False), ("8122-4", "501", "/uL", True),
    ("731-0", "0.48", "10*9/L", False), ("731-0", "1.2", "10*9/L", None),
])  # fmt: skip
def test_t_lymphocytes(tmp_path, code, value, unit, expected):
    assert answer("I5.2", tmp_path, labs=[lab("", code, value, unit)]) is expected


def test_t_lymphocytes_are_not_bounded_by_lymphocytes_that_include_blasts(tmp_path):
    labs = [lab("", "731-0", "0.48", "10*9/L"), lab("", "26446-5", "6", "%")]
    assert answer("I5.2", tmp_path, labs=labs) is None


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("30", "10*9/L", False), ("30.1", "10*9/L", True), ("31000", "/uL", True), ("<10", "10*9/L", False)],
)
def test_platelets(tmp_path, value, unit, expected):
    assert answer("I5.3", tmp_path, labs=[lab("", "777-3", value, unit)]) is expected


@pytest.mark.parametrize(("born", "expected"), [
    ("1954-06-30", False), ("1954-07-01", True), ("2007-06-30", True), ("2007-07-01", False),
    ("1954", None), ("1953", False),
])  # fmt: skip
def test_age(tmp_path, born, expected):
    assert answer("I4", tmp_path, patients=[f"P1,{born},M,,,"]) is expected


COURSES = [
    "P1,1,induction,2023-07-01,2023-07-08,intensive",
    "P1,2,consolidation,2023-10-01,2023-10-05,intensive",
    "P1,3,consolidation,2023-12-01,2023-12-05,intensive",
]
NO_LESION = "P1,2025-06-20,,,,,,,0"  # route 5 is shut
REMISSION = "P1,2023-08-31,1,induction,DA,CR,2,,0"


@pytest.mark.parametrize(("relapse", "salvage", "expected"), [
    ("2024-08-31", None, True),  # route 2: within 12 months, consolidated
    ("2024-09-01", None, False),  # route 3 needs salvage
    ("2024-09-01", "NR", True),
    ("2024-09-01", "CR", False),
    ("2024-08", None, True),
])  # fmt: skip
def test_relapse_within_12_months(tmp_path, relapse, salvage, expected):
    responses, courses = [REMISSION, f"P1,{relapse},3,consolidation,,PD,30,,0", NO_LESION], list(COURSES)
    if salvage:
        courses.append("P1,4,salvage,2024-10-01,2024-10-06,intensive")
        responses.append(f"P1,2024-11-05,4,salvage,FLAG,{salvage},{30 if salvage == 'NR' else 2},,0")
    assert answer("I1.2", tmp_path, responses=responses, courses=courses) is expected


def test_relapse_columns(tmp_path):
    cohort = built(tmp_path, responses=[REMISSION, "P1,2024-08-31,3,consolidation,,PD,30,,0"], courses=COURSES)
    row = cohort.iloc[0]
    assert (row["n_relapses"], row["months_from_cr_to_relapse"], row["n_consolidation_courses"]) == (1, 12.0, 2)
    assert row["disease_status"] == "relapsed"
    assert row["cr_ever"]


@pytest.mark.parametrize(
    ("day", "expected"), [("2024-12-30", True), ("2024-12-29", False), ("2024-12", None), ("", None)]
)
def test_infarction(tmp_path, day, expected):
    assert answer("E3.2", tmp_path, diagnoses=[f"P1,{day},I21.0,,primary,"]) is expected


@pytest.mark.parametrize(
    ("last_visit", "expected"), [("2025-06-25", False), ("2024-06-29", None), ("2025-07-01", None)]
)
def test_no_record_means_never_only_for_an_observed_patient(tmp_path, last_visit, expected):
    assert answer("E3.2", tmp_path, patients=[f"P1,1980-01-01,M,,{last_visit},"]) is expected


@pytest.mark.parametrize(("value", "day", "expected"), [
    ("44.9", "2025-05-05", True), ("45", "2025-05-05", False), ("40", "2025-05-04", None),
])  # fmt: skip
def test_ejection_fraction(tmp_path, value, day, expected):
    assert answer("E3.5", tmp_path, echo=[f"P1,{day},{value},echo"]) is expected


@pytest.mark.parametrize(("stop", "expected"), [
    ("2025-05-19", False), ("2025-05-20", True), ("ongoing", True), ("2025-08-01", True), ("", None),
])  # fmt: skip
def test_immunosuppressant_stopped_before_the_index_date(tmp_path, stop, expected):
    transplants = [f"P1,2024-01-10,allo,sibling,BuCy,{stop},0,none,none,2025-06-20"]
    assert answer("E7", tmp_path, transplants=transplants) is expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("177.99", "umol/L", False), ("178", "umol/L", True), ("2.01", "mg/dL", False), ("2.02", "mg/dL", True)],
)
def test_creatinine(tmp_path, value, unit, expected):
    assert answer("E5.2", tmp_path, labs=[lab("", "2160-0", value, unit)]) is expected


def liver(ast: str) -> list[str]:
    return [lab("", "1920-8", ast, "U/L", high="40"), lab("", "1742-6", "20", "U/L", high="40"),
            lab("", "14631-6", "10", "umol/L", high="21")]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [("120", False), ("120.1", True)])
def test_transaminase_over_its_own_limit(tmp_path, value, expected):
    assert answer("E5.1", tmp_path, labs=liver(value)) is expected


def test_transaminase_without_its_limit_is_unknown(tmp_path):
    labs = [lab("", "1920-8", "30", "U/L"), *liver("1")[1:]]
    assert answer("E5.1", tmp_path, labs=labs) is None


@pytest.mark.parametrize(("dose", "days", "expected"), [
    ("12", "2025-05-02", False), ("12.1", "2025-05-02", True), ("12.1", "2025-06-10", False), ("", "2025-05-02", None),
])  # fmt: skip
def test_methylprednisolone_as_prednisone(tmp_path, dose, days, expected):
    order = f"P1,{days},2025-06-30,H02AB04,,methylprednisolone,{dose},mg,qd,po,,rheumatoid arthritis,ordered"
    assert answer("E2.2", tmp_path, medications=[order]) is expected


def test_steroids_every_other_day_count_half(tmp_path):
    order = "P1,2025-05-02,2025-06-30,H02AB07,,prednisone,30,mg,qod,po,,asthma,ordered"
    assert answer("E2.2", tmp_path, medications=[order]) is False


def test_hepatitis_c_antibody_without_rna(tmp_path):
    assert answer("E1.3", tmp_path, labs=[lab("", "13955-0", text="阳性")]) is None


@pytest.mark.parametrize(("hbsag", "anti_hbc", "dna", "expected"), [
    ("阴性", "阳性", None, None), ("阳性", "阳性", "<20", False), ("阴性", "阴性", None, False), ("阴性", None, None,
                                                                                      False),
    ("阳性", None, None, None), (None, None, None, None), ("阳性", None, "20", True),
])  # fmt: skip
def test_hepatitis_b_serology(tmp_path, hbsag, anti_hbc, dna, expected):
    labs = []
    for code, text in (("5196-1", hbsag), ("13952-7", anti_hbc)):
        labs += [lab("", code, text=text)] if text else []
    labs += [lab("", "42595-9", dna, "IU/mL")] if dna else []
    assert answer("E1.2", tmp_path, labs=labs) is expected


@pytest.mark.parametrize(("sex", "born", "expected"), [
    ("F", "1974-01-01", None), ("M", "1974-01-01", True), ("男", "1995-01-01", True), ("女", "1995-01-01", None),
    ("F", "1970-01-01", True),
])  # fmt: skip
def test_pregnancy_test_without_menopausal_status(tmp_path, sex, born, expected):
    assert answer("I6.1", tmp_path, patients=[f"P1,{born},{sex},,2025-06-01,"]) is expected


@pytest.mark.parametrize(("creatinine", "expected"), [("200", True), ("70", None)])
def test_missing_transaminase_in_the_whole_clause(tmp_path, creatinine, expected):
    labs = [*liver("20")[1:], lab("", "2160-0", creatinine, "umol/L")]
    clauses = feasibility.screen(built(tmp_path, labs=labs), PROTOCOL).patterns().by_clause().to_frame()
    passes = clauses["E5"].iloc[0]
    assert (None if passes is pd.NA else not passes) is expected
