"""The boundary vectors of the clinical specification (section 1.1), as a hospital would write them, read and screened.

Units, dates and censored values go through ``as_cohort``; the index date is 2025-06-30.
"""

import pandas as pd
import pytest

import feasibility

from .patients import ELIGIBLE_PATIENT, PROTOCOL, cohort_of

INDEX = "2025-06-30"


def answer(criterion_id: str, cells: dict, mapping: dict):
    """Whether the criterion is met for one patient whose cells are read by the mapping: True, False or None."""
    frame = pd.DataFrame({"pid": ["P1"]} | {name: [value] for name, value in cells.items()})
    cohort = feasibility.as_cohort(
        frame, PROTOCOL.columns, mapping={"file": {"patient_id": "pid"}, "columns": mapping}, index_date=INDEX
    )
    met = PROTOCOL[criterion_id].met(cohort).iloc[0]
    return None if met is pd.NA else bool(met)


def lab(name: str, **more) -> dict:
    return {name: {"from": "value", "unit_column": "unit", "date": "day"} | more}


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("60", "g/L", False), ("6.0", "g/dL", False), ("3.7234", "mmol/L", False), ("60.0001", "g/L", True)],
)
def test_hemoglobin(value, unit, expected):
    cells = {"value": value, "unit": unit, "day": "2025-06-28"}
    assert answer("I5.1", cells, lab("hemoglobin_g_l")) is expected


@pytest.mark.parametrize(("cd3", "alc", "expected"), [
    ("500", None, False), ("501", None, True), (None, "0.48", False), (None, "1.2", None),
])  # fmt: skip
def test_t_lymphocytes(cd3, alc, expected):
    cells = {"cd3": cd3, "alc": alc, "blasts": None, "day": "2025-06-28"}
    mapping = {
        "cd3_10e9_l": {"from": "cd3", "unit": "/uL", "date": "day"},
        "lymphocytes_10e9_l": {"from": "alc", "unit": "10*9/L", "date": "day"},
        "pb_blast_percent": {"from": "blasts", "unit": "%", "date": "day"},
    }
    assert answer("I5.2", cells, mapping) is expected


def test_t_lymphocytes_are_not_bounded_by_lymphocytes_that_include_blasts():
    cells = {"cd3": None, "alc": "0.48", "blasts": "6", "day": "2025-06-28"}
    mapping = {
        "cd3_10e9_l": {"from": "cd3", "unit": "/uL", "date": "day"},
        "lymphocytes_10e9_l": {"from": "alc", "unit": "10*9/L", "date": "day"},
        "pb_blast_percent": {"from": "blasts", "unit": "%", "date": "day"},
    }
    assert answer("I5.2", cells, mapping) is None


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("30", "10*9/L", False), ("30.1", "10*9/L", True), ("31000", "/uL", True), ("<10", "10*9/L", False)],
)
def test_platelets(value, unit, expected):
    cells = {"value": value, "unit": unit, "day": "2025-06-28"}
    assert answer("I5.3", cells, lab("platelets_10e9_l")) is expected


@pytest.mark.parametrize(("born", "expected"), [
    ("1954-06-30", False), ("1954-07-01", True), ("2007-06-30", True), ("2007-07-01", False),
])  # fmt: skip
def test_age(born, expected):
    assert answer("I4", {"born": born}, {"age_years": {"birth_date": "born"}}) is expected


# The other routes are shut: one course led to the remission, one relapse, no extramedullary disease.
ONE_RELAPSE = {"n_induction_courses": 1, "cr_ever": True, "n_relapses": 1, "em_active": False,
               "days_since_em_active": 3.0, "n_prior_courses": 3, "n_consolidation_courses": 2}  # fmt: skip
RELAPSE = {"months_from_cr_to_relapse": {"from_date": "cr", "to_date": "relapse"}}


@pytest.mark.parametrize(("relapse", "salvage", "response", "expected"), [
    ("2024-08-31", 0, None, True),  # route 2: within 12 months, consolidated
    ("2024-09-01", 0, None, False),  # route 3 needs salvage
    ("2024-09-01", 1, "NR", True),
    ("2024-09-01", 1, "CR", False),
])  # fmt: skip
def test_relapse_within_12_months(relapse, salvage, response, expected):
    cells = ONE_RELAPSE | {
        "cr": "2023-08-31", "relapse": relapse, "n_salvage_courses": salvage, "best_response_salvage": response,
    }  # fmt: skip
    assert answer("I1.2", cells, RELAPSE) is expected


@pytest.mark.parametrize(("consolidations", "expected"), [(2, True), (0, False)])
def test_relapse_at_exactly_12_months_is_not_route_3(consolidations, expected):
    cells = ONE_RELAPSE | {
        "cr": "2023-08-31", "relapse": "2024-08-31", "n_salvage_courses": 1, "best_response_salvage": "NR",
        "n_consolidation_courses": consolidations,
    }  # fmt: skip
    assert answer("I1.2", cells, RELAPSE) is expected


@pytest.mark.parametrize(("day", "expected"), [("2024-12-30", True), ("2024-12-29", False), ("2024-12", None)])
def test_infarction(day, expected):
    mapping = {"months_since_mi": {"date": "mi"}, "months_since_cabg": {"constant": "never"}}
    assert answer("E3.2", {"mi": day}, mapping) is expected


@pytest.mark.parametrize(("value", "day", "expected"), [
    ("44.9", "2025-05-05", True), ("45", "2025-05-05", False), ("40", "2025-05-04", None),
])  # fmt: skip
def test_ejection_fraction(value, day, expected):
    mapping = {"lvef_min_pct": {"from": "lvef", "unit": "%", "date": "day"}}
    assert answer("E3.5", {"lvef": value, "day": day}, mapping) is expected


@pytest.mark.parametrize(("stop", "expected"), [("2025-05-19", False), ("2025-05-20", True)])
def test_immunosuppressant_stopped_before_the_index_date(stop, expected):
    cells = {"hsct": "yes", "gvhd_active": "no", "assessed": "2025-06-20", "stop": stop}
    mapping = {
        "days_since_immunosuppressant": {"date": "stop"},
        "gvhd_active": {"from": "gvhd_active", "date": "assessed"},
    }
    assert answer("E7", cells, mapping) is expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("177.99", "umol/L", False), ("178", "umol/L", True), ("2.01", "mg/dL", False), ("2.02", "mg/dL", True)],
)
def test_creatinine(value, unit, expected):
    cells = {"value": value, "unit": unit, "day": "2025-06-28"}
    assert answer("E5.2", cells, lab("creatinine_umol_l")) is expected


@pytest.mark.parametrize(("value", "expected"), [("120", False), ("120.1", True)])
def test_transaminase_over_its_own_limit(value, expected):
    cells = {"ast": value, "alt": "20", "bilirubin": "10", "uln": "40", "bili_uln": "21", "day": "2025-06-28"}
    mapping = {
        "ast_x_uln": {"from": "ast", "uln": "uln", "date": "day"},
        "alt_x_uln": {"from": "alt", "uln": "uln", "date": "day"},
        "bilirubin_x_uln": {"from": "bilirubin", "uln": "bili_uln", "date": "day"},
    }
    assert answer("E5.1", cells, mapping) is expected


@pytest.mark.parametrize(("value", "expected"), [("12", False), ("12.1", True)])
def test_methylprednisolone_as_prednisone(value, expected):
    cells = {"dose": value, "steroid_days": 60, "nonsteroid_is_days": 0}
    mapping = {"steroid_mg_day_mean": {"from": "dose", "unit": "mg/d methylprednisolone"}}
    assert answer("E2.2", cells, mapping) is expected


def test_hepatitis_c_antibody_without_rna():
    assert answer("E1.3", {"anti_hcv": "positive", "hcv_rna_detected": None}, {}) is None


@pytest.mark.parametrize(("hbsag", "anti_hbc", "dna", "expected"), [
    ("negative", "positive", None, None), ("positive", "positive", "<20", False), ("negative", "negative", None, False),
    ("negative", None, None, False), ("positive", None, None, None), (None, None, None, None),
])  # fmt: skip
def test_hepatitis_b_serology(hbsag, anti_hbc, dna, expected):
    cells = {"hbsag": hbsag, "anti_hbc": anti_hbc, "dna": dna}
    mapping = {"hbv_dna_iu_ml": {"from": "dna", "unit": "IU/mL"}}
    assert answer("E1.2", cells, mapping) is expected


@pytest.mark.parametrize(("sex", "age", "expected"), [
    ("female", 51, None), ("male", 51, True), ("male", 30, True), ("female", 30, None), ("female", 55, True),
])  # fmt: skip
def test_pregnancy_test_without_menopausal_status(sex, age, expected):
    cells = {"sex": sex, "age_years": age, "childbearing_potential": None, "pregnancy_test": None, "day": None}
    assert answer("I6.1", cells, {"pregnancy_test": {"from": "pregnancy_test", "date": "day"}}) is expected


@pytest.mark.parametrize(("creatinine", "expected"), [(200.0, True), (70.0, None)])
def test_missing_transaminase_in_the_whole_clause(creatinine, expected):
    patient = {"ast_x_uln": None, "days_since_ast_x_uln": None, "creatinine_umol_l": creatinine}
    clauses = feasibility.screen(cohort_of(patient), PROTOCOL).patterns().by_clause().to_frame()
    passes = clauses["E5"].iloc[0]
    assert (None if passes is pd.NA else not passes) is expected


def test_the_patient_of_the_last_vector_fails_nothing_else():
    assert ELIGIBLE_PATIENT["creatinine_umol_l"] == 70.0
    assert feasibility.screen(cohort_of({}), PROTOCOL).status.tolist() == ["eligible"]
