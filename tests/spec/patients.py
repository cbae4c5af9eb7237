"""A patient who satisfies every assessable criterion of NCT06642025; each row of a table changes a few cells."""

import pandas as pd
import pytest

import feasibility
from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES
from feasibility.trials import nct06642025

from ..properties.oracle_nct06642025 import oracle

PROTOCOL = feasibility.load_trial("NCT06642025")
WITH_ANTIGEN = PROTOCOL.adding(nct06642025.ex02_measured)
NEVER = float("inf")

# A woman of 40 whose acute myeloid leukaemia came back 6 months after remission, in spite of two consolidations.
ELIGIBLE_PATIENT = {
    "aml_subtype": "aml_non_apl",
    "disease_status": "relapsed",
    "n_induction_courses": 2,
    "n_induction_courses_intensive": 2,
    "n_induction_courses_any": 2,
    "cr_ever": True,
    "best_response_induction": "CR",
    "n_relapses": 1,
    "n_consolidation_courses": 2,
    "consolidation_failed": True,
    "months_from_cr_to_relapse": 6.0,
    "months_from_first_cr_to_first_relapse": 6.0,
    "shortest_months_from_cr_to_relapse": 6.0,
    "months_from_consolidation_to_relapse": 3.0,
    "months_from_first_consolidation_to_first_relapse": 3.0,
    "shortest_months_from_consolidation_to_relapse": 3.0,
    "n_salvage_courses": 0,
    "best_response_salvage": None,
    "n_prior_courses": 4,
    "em_active": False,
    "days_since_em_active": 5.0,
    "em_ever": False,
    "ex02_positive": True,
    "ex02_percent": 80.0,
    "days_since_ex02_positive": 10.0,
    "ecog": 1,
    "days_since_ecog": 3.0,
    "age_years": 40,
    "age_exact_years": 40.5,
    "hemoglobin_g_l": 85.0,
    "days_since_hemoglobin_g_l": 1.0,
    "days_since_rbc_transfusion": NEVER,
    "cd3_10e9_l": 0.9,
    "days_since_cd3_10e9_l": 4.0,
    "platelets_10e9_l": 55.0,
    "days_since_platelets_10e9_l": 1.0,
    "days_since_platelet_transfusion": NEVER,
    "childbearing_potential": True,
    "pregnancy_test": "negative",
    "days_since_pregnancy_test": 2.0,
    "pregnant": False,
    "lactating": False,
    "months_since_hav_igm_positive": NEVER,
    "months_since_hepatitis_a": NEVER,
    "hbv_dna_iu_ml": 0.0,
    "hbsag": False,
    "anti_hbc": False,
    "hcv_rna_detected": False,
    "anti_hcv": False,
    "hiv": False,
    "hiv_viraemic": False,
    "viral_infection_controlled": False,
    "active_infection": False,
    "days_since_active_infection": 1.0,
    "infection_severe": False,
    "infection_controlled": False,
    "aids_history": False,
    "nonsteroid_is_days": 0,
    "nonsteroid_is_days_ever": 0,
    "steroid_days": 0,
    "steroid_days_ever": 0,
    "steroid_mg_day_mean": 0.0,
    "steroid_mg_day_current": 0.0,
    "steroid_mg_day_max": 0.0,
    "steroid_mg_day_max_ever": 0.0,
    "heart_failure": False,
    "nyha_class": 1,
    "months_since_nyha_class": 2.0,
    "nyha_class_worst": 1,
    "months_since_mi": NEVER,
    "months_since_cabg": NEVER,
    "months_since_ventricular_arrhythmia": NEVER,
    "months_since_unexplained_syncope": NEVER,
    "nonischemic_cardiomyopathy": False,
    "nonischemic_cardiomyopathy_severe": False,
    "lvef_lowest_ever_pct": 60.0,
    "lvef_min_pct": 60.0,
    "days_since_lvef_min_pct": 20.0,
    "lvef_latest_pct": 60.0,
    "days_since_lvef_latest_pct": 20.0,
    "ast_x_uln": 0.8,
    "days_since_ast_x_uln": 1.0,
    "alt_x_uln": 0.8,
    "days_since_alt_x_uln": 1.0,
    "bilirubin_x_uln": 0.5,
    "days_since_bilirubin_x_uln": 1.0,
    "bilirubin_direct_x_uln": 0.5,
    "days_since_bilirubin_direct_x_uln": 1.0,
    "gilbert": False,
    "creatinine_umol_l": 70.0,
    "days_since_creatinine_umol_l": 1.0,
    "creatinine_earlier_umol_l": 70.0,
    "severe_allergy": False,
    "severe_allergy_class": False,
    "hsct": False,
    "days_since_immunosuppressant": NEVER,
    "gvhd_active": False,
    "days_since_gvhd_active": 0.0,
    "gvhd_significant": False,
    "gvhd_ever": False,
}


def cohort_of(*patients: dict) -> pd.DataFrame:
    """One row a patient: the eligible one with the given cells changed; a tuple is a value between two bounds."""
    rows = [ELIGIBLE_PATIENT | cells for cells in patients]
    frame = {}
    for name in rows[0]:
        dtype = DTYPES[WITH_ANTIGEN.columns[name].dtype]
        cells = [row[name] for row in rows]
        ends = [c if isinstance(c, tuple) else (c, c) for c in cells]
        frame[name] = pd.array([low for low, _ in ends], dtype=dtype)
        if any(isinstance(c, tuple) for c in cells):
            frame[name + UPPER] = pd.array([high for _, high in ends], dtype=dtype)
    return pd.DataFrame(frame, index=pd.Index([f"P{i + 1}" for i in range(len(rows))], name="patient_id"))


def met(criterion_id: str, cells: dict, **settings):
    """Whether the criterion as worded is met for the eligible patient with the given cells: True, False or None."""
    unknown = set(cells) - set(ELIGIBLE_PATIENT)
    assert not unknown, f"no such column: {unknown}"
    answer = WITH_ANTIGEN[criterion_id].with_thresholds(**settings).met(cohort_of(cells)).iloc[0]
    answer = None if answer is pd.NA else bool(answer)
    # The oracle answers the same rows, so that the tables check it too.
    row = {name: _closed(cell) for name, cell in (ELIGIBLE_PATIENT | cells).items()}
    assert oracle(criterion_id, row, **settings) is answer, "the oracle disagrees with the mask"
    return answer


def _closed(cell):
    """A value with one open end, ``(2, None)`` or ``(None, 2)``, as the oracle takes it."""
    if not isinstance(cell, tuple):
        return cell
    low, high = cell
    return (-NEVER if low is None else low, NEVER if high is None else high)


def table(rows: dict) -> list:
    """Rows ``{"what the row shows": (cells, expected)}`` or ``(cells, expected, settings)`` as pytest parameters."""
    return [pytest.param(row[0], row[1], row[2] if len(row) > 2 else {}, id=name) for name, row in rows.items()]
