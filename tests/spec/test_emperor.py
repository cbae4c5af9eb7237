"""A second trial, outside the package: NCT03057977 (EMPEROR-Reduced), its columns and its synthetic cohort.

The oracle is two-valued and reads like the clause; a missing or stale cell stands for every value it could have, and
the verdict is decided where all of them agree. It knows nothing of three-valued logic, so it checks that too.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "emperor"
TRIAL = fz.load_trial(FOLDER / "emperor_reduced.py")
NEVER = float("inf")


@pytest.fixture(scope="module")
def synthetic():
    """The generator beside the trial file, imported as its user would from that folder."""
    ours = ("emperor_synthetic", "emperor_reduced")
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("emperor_synthetic")
    finally:
        sys.path.remove(str(FOLDER))
        for name in ours:
            sys.modules.pop(name, None)


# --- the oracle ---------------------------------------------------------------------------------------------------


def nt_probnp_limit(lvef, af, months_since_stay):
    limit = 600 if lvef <= 30 or months_since_stay <= 12 else 1000 if lvef <= 35 else 2500
    return 2 * limit if af else limit


MEANS = {
    "I1": ("age_years country", lambda age, country: age >= (20 if country == "JP" else 18)),
    "I2.1": ("heart_failure months_since_hf_diagnosis", lambda hf, months: hf and months >= 3),
    "I2.2": ("nyha_class", lambda nyha: nyha in (2, 3, 4)),
    "I3": ("lvef_pct", lambda lvef: lvef <= 40),
    "I4": ("nt_probnp_pg_ml lvef_pct af_ever months_since_hf_stay",
           lambda nt, lvef, af, stay: nt >= nt_probnp_limit(lvef, af, stay)),
    "I5.1": ("days_since_hf_drug_change", lambda days: days >= 7),
    "E1.1": ("days_since_mi", lambda days: days <= 90),
    "E1.2": ("days_since_cv_surgery", lambda days: days <= 90),
    "E1.3": ("days_since_stroke_or_tia", lambda days: days <= 90),
    "E2": ("heart_transplant heart_transplant_listed", lambda done, listed: done or listed),
    "E3": ("days_since_iv_hf_therapy", lambda days: days < 7),
    "E4.1": ("sbp_mmhg", lambda sbp: sbp >= 180),
    "E4.2": ("sbp_mmhg symptomatic_hypotension", lambda sbp, symptoms: symptoms or sbp <= 100),
    "E5": ("ast_x_uln alt_x_uln alp_x_uln", lambda *enzymes: max(enzymes) > 3),
    "E6": ("egfr_ml_min dialysis", lambda egfr, dialysis: dialysis or egfr < 20),
    "E7": ("ketoacidosis_ever", lambda ever: ever),
    "E8": ("months_since_sglt2_inhibitor", lambda months: months != NEVER),
    "E9": ("bmi_kg_m2", lambda bmi: bmi > 45),
    "E11": ("sglt2_hypersensitivity", lambda allergic: allergic),
    "E12.1": ("pregnant", lambda pregnant: pregnant),
}  # fmt: skip
LOOK_BACK = {
    "nyha_class": ("months_since_nyha_class", 6), "lvef_pct": ("months_since_lvef_pct", 6),
    "nt_probnp_pg_ml": ("days_since_nt_probnp_pg_ml", 90), "sbp_mmhg": ("days_since_sbp_mmhg", 90),
    "ast_x_uln": ("days_since_ast_x_uln", 90), "alt_x_uln": ("days_since_alt_x_uln", 90),
    "alp_x_uln": ("days_since_alp_x_uln", 90), "egfr_ml_min": ("days_since_egfr_ml_min", 90),
    "bmi_kg_m2": ("days_since_bmi_kg_m2", 365),
}  # fmt: skip
COULD_BE = {
    "age_years": (17, 19, 20), "country": ("JP", "DE"), "months_since_hf_diagnosis": (0, 3), "nyha_class": (1, 2, 4),
    "lvef_pct": (10, 30, 30.5, 35, 35.5, 40, 41, 70),
    "nt_probnp_pg_ml": (0, 599, 600, 999, 1000, 1199, 1200, 1999, 2000, 2499, 2500, 4999, 5000, 90_000),
    "months_since_hf_stay": (0, 12, 12.1, NEVER), "months_since_sglt2_inhibitor": (0, 60, NEVER),
    "sbp_mmhg": (60, 100, 101, 180), "egfr_ml_min": (19, 20), "bmi_kg_m2": (45, 45.1),
    "ast_x_uln": (3, 3.1), "alt_x_uln": (3, 3.1), "alp_x_uln": (3, 3.1),
}  # fmt: skip


def could_be(name, cell):
    """Every value that matters and that the cell could stand for."""
    if cell is None:
        return COULD_BE.get(name, (True, False) if TRIAL.columns[name].dtype == "boolean" else (0, 7, 90, 91, NEVER))
    if isinstance(cell, tuple):
        return {*cell, *(v for v in COULD_BE[name] if cell[0] <= v <= cell[1])}
    return (cell,)


def oracle(criterion_id, patient):
    names, meaning = MEANS[criterion_id]
    cells = []
    for name in names.split():
        cell = patient[name]
        if name in LOOK_BACK:
            age, longest = patient[LOOK_BACK[name][0]], LOOK_BACK[name][1]
            cell = cell if age is not None and age <= longest else None
        cells.append(could_be(name, cell))
    answers = {bool(meaning(*values)) for values in itertools.product(*cells)}
    return answers.pop() if len(answers) == 1 else None


# --- patients -----------------------------------------------------------------------------------------------------

# A man of 67, EF 28 %, sinus rhythm, no hospital stay, who satisfies everything.
ELIGIBLE = {
    "age_years": 67, "country": "DE", "heart_failure": True, "months_since_hf_diagnosis": 30.0,
    "nyha_class": 2, "months_since_nyha_class": 1.0, "lvef_pct": 28.0, "months_since_lvef_pct": 2.0,
    "nt_probnp_pg_ml": 1900.0, "days_since_nt_probnp_pg_ml": 10.0, "af_ever": False, "af_on_ecg": False,
    "months_since_hf_stay": NEVER, "days_since_hf_drug_change": 60.0, "days_since_iv_hf_therapy": NEVER,
    "days_since_mi": 2000.0, "days_since_cv_surgery": NEVER, "days_since_stroke_or_tia": NEVER,
    "heart_transplant": False, "heart_transplant_listed": False, "dialysis": False, "ketoacidosis_ever": False,
    "months_since_sglt2_inhibitor": NEVER, "sglt2_hypersensitivity": False,
    "sbp_mmhg": 122.0, "days_since_sbp_mmhg": 0.0, "symptomatic_hypotension": False,
    "ast_x_uln": 0.6, "days_since_ast_x_uln": 10.0, "alt_x_uln": 0.6, "days_since_alt_x_uln": 10.0,
    "alp_x_uln": 0.6, "days_since_alp_x_uln": 10.0, "egfr_ml_min": 62.0, "days_since_egfr_ml_min": 10.0,
    "bmi_kg_m2": 28.0, "days_since_bmi_kg_m2": 30.0, "pregnant": False,
}  # fmt: skip


def cohort_of(patients):
    """One row a patient; a tuple is a value between two bounds."""
    frame = {}
    for name in patients[0]:
        ends = [p[name] if isinstance(p[name], tuple) else (p[name], p[name]) for p in patients]
        frame[name] = pd.array([low for low, _ in ends], dtype=DTYPES[TRIAL.columns[name].dtype])
        if any(isinstance(p[name], tuple) for p in patients):
            frame[name + UPPER] = pd.array([high for _, high in ends], dtype=DTYPES[TRIAL.columns[name].dtype])
    return pd.DataFrame(frame, index=pd.RangeIndex(len(patients), name="patient_id"))


def plain(mask):
    return [None if answer is pd.NA else bool(answer) for answer in mask]


def met(criterion_id, cells, **settings):
    assert set(cells) <= set(ELIGIBLE), "no such column"
    patient = ELIGIBLE | cells
    answer = plain(TRIAL[criterion_id].with_thresholds(**settings).met(cohort_of([patient])))[0]
    if not settings:
        assert oracle(criterion_id, patient) is answer, "the oracle disagrees with the mask"
    return answer


def nt(value, lvef, af=False, stay=NEVER, **more):
    return {"nt_probnp_pg_ml": value, "lvef_pct": lvef, "af_ever": af, "months_since_hf_stay": stay, **more}


# --- truth tables -------------------------------------------------------------------------------------------------

NT_PROBNP = {
    "36 to 40 %, at the limit": (nt(2500, 40), True),
    "36 to 40 %, one below": (nt(2499, 36), False),
    "36 to 40 % with AF, at the doubled limit": (nt(5000, 36, af=True), True),
    "36 to 40 % with AF, one below": (nt(4999, 40, af=True), False),
    "31 to 35 %, at the limit": (nt(1000, 35), True),
    "31 to 35 %, one below": (nt(999, 31), False),
    "31 to 35 % with AF, at the doubled limit": (nt(2000, 31, af=True), True),
    "31 to 35 % with AF, one below": (nt(1999, 35, af=True), False),
    "30 % or lower, at the limit": (nt(600, 30), True),
    "30 % or lower, one below": (nt(599, 12), False),
    "30 % or lower with AF, at the doubled limit": (nt(1200, 30, af=True), True),
    "30 % or lower with AF, one below": (nt(1199, 12, af=True), False),
    "a hospital stay takes 40 % to the lowest limit": (nt(600, 40, stay=3), True),
    "a stay exactly twelve months ago counts": (nt(600, 40, stay=12), True),
    "a stay longer ago does not": (nt(600, 40, stay=12.1), False),
    "a stay with AF": (nt(1199, 38, af=True, stay=0), False),
    "a stay with AF, at the doubled limit": (nt(1200, 38, af=True, stay=0), True),
    "above 40 % the highest limit goes on": (nt(2500, 55), True),
    # unknown, and it matters
    "band unknown, between the limits": (nt(1500, None), None),
    "rhythm unknown, between the limit and its double": (nt(1000, 28, af=None), None),
    "stay unknown, between the lowest and the band's limit": (nt(800, 38, stay=None), None),
    "NT-proBNP unknown": (nt(None, 28), None),
    "an old NT-proBNP says nothing": (nt(9000, 28, days_since_nt_probnp_pg_ml=91.0), None),
    "on the last day of the look-back it does": (nt(9000, 28, days_since_nt_probnp_pg_ml=90.0), True),
    "an NT-proBNP of unknown age": (nt(9000, 28, days_since_nt_probnp_pg_ml=None), None),
    "an old echocardiogram leaves the band unknown": (nt(1500, 28, months_since_lvef_pct=6.1), None),
    # unknown, and it does not matter
    "band unknown, enough for every band": (nt(2500, None), True),
    "band unknown, enough for none": (nt(599, None), False),
    "band unknown, a hospital stay decides": (nt(600, None, stay=1), True),
    "an old echocardiogram, enough for every band": (nt(2500, 28, months_since_lvef_pct=7.0), True),
    "rhythm unknown, enough with AF": (nt(1200, 28, af=None), True),
    "rhythm unknown, not enough without": (nt(599, 28, af=None), False),
    "stay unknown, the band alone is enough": (nt(1000, 33, stay=None), True),
    "stay unknown, the lowest band has the same limit": (nt(600, 30, stay=None), True),
    "stay unknown, below the lowest limit": (nt(599, 38, stay=None), False),
    "band, rhythm and stay unknown, enough for all": (nt(5000, None, af=None, stay=None), True),
    "band, rhythm and stay unknown, enough for none": (nt(599, None, af=None, stay=None), False),
    "band, rhythm and stay unknown, between": (nt(4999, None, af=None, stay=None), None),
    # bounds
    "NT-proBNP above the assay's range": (nt((35_000, NEVER), 40, af=True), True),
    "NT-proBNP below the assay's range": (nt((0, 50), 28), False),
    "NT-proBNP between, both ends enough": (nt((1000, 1500), 33), True),
    "NT-proBNP between, the ends disagree": (nt((900, 1500), 33), None),
    "NT-proBNP between, the ends disagree with AF only": (nt((1000, 1999), 33, af=True), False),
    "EF 30-35, enough for both bands": (nt(1000, (30, 35)), True),
    "EF 30-35, enough for the lower band only": (nt(999, (30, 35)), None),
    "EF 31-35 lies in one band": (nt(999, (31, 35)), False),
    "EF 30-35 after a stay": (nt(600, (30, 35), stay=2), True),
    "EF below 30": (nt(600, (5, 30)), True),
    # readings and thresholds
    "between two bands the stricter limit": (nt(1000, 35.5), False),
    "between two bands, read as the lower": (nt(1000, 35.5), True, {"fractional_lvef": "lower_band"}),
    "36 % is the upper band in both readings": (nt(1000, 36), False, {"fractional_lvef": "lower_band"}),
    "AF in the past, sinus rhythm now": (nt(600, 28, af=True), False),
    "AF in the past, sinus rhythm now, by rhythm": (nt(600, 28, af=True), True, {"af_means": "rhythm"}),
    "the factor lowered": (nt(900, 28, af=True), True, {"min_af_factor": 1.5}),
    "the factor multiplies every limit": (nt(3749, 38, af=True), False, {"min_af_factor": 1.5}),
    "a limit lowered is lowered with AF too": (nt(4000, 38, af=True), True, {"min_nt_probnp_high": 2000}),
    "a wider lowest band": (nt(600, 32), True, {"max_lvef_low_band": 32}),
    "a stay of the last two years": (nt(600, 38, stay=20), True, {"max_hf_stay_months": 24}),
}  # fmt: skip

OTHERS = {
    "I1 18": ("I1", {"age_years": 18}, True),
    "I1 17": ("I1", {"age_years": 17}, False),
    "I1 19 in Japan": ("I1", {"age_years": 19, "country": "JP"}, False),
    "I1 20 in Japan": ("I1", {"age_years": 20, "country": "JP"}, True),
    "I1 19, country unknown": ("I1", {"age_years": 19, "country": None}, None),
    "I1 20, country unknown": ("I1", {"age_years": 20, "country": None}, True),
    "I1 17, country unknown": ("I1", {"age_years": 17, "country": None}, False),
    "I2.1 three months": ("I2.1", {"months_since_hf_diagnosis": 3.0}, True),
    "I2.1 less": ("I2.1", {"months_since_hf_diagnosis": 2.9}, False),
    "I2.1 no heart failure": ("I2.1", {"heart_failure": False, "months_since_hf_diagnosis": None}, False),
    "I2.1 date unknown": ("I2.1", {"months_since_hf_diagnosis": None}, None),
    "I2.2 class I": ("I2.2", {"nyha_class": 1}, False),
    "I2.2 class IV": ("I2.2", {"nyha_class": 4}, True),
    "I2.2 old": ("I2.2", {"months_since_nyha_class": 6.5}, None),
    "I3 40 %": ("I3", {"lvef_pct": 40.0}, True),
    "I3 40.5 %": ("I3", {"lvef_pct": 40.5}, False),
    "I3 35-40 %": ("I3", {"lvef_pct": (35.0, 40.0)}, True),
    "I3 40-45 %": ("I3", {"lvef_pct": (40.0, 45.0)}, None),
    "I3 six months old": ("I3", {"months_since_lvef_pct": 6.0}, True),
    "I3 older": ("I3", {"months_since_lvef_pct": 6.1}, None),
    "I5.1 a week": ("I5.1", {"days_since_hf_drug_change": 7.0}, True),
    "I5.1 six days": ("I5.1", {"days_since_hf_drug_change": 6.0}, False),
    "I5.1 never changed": ("I5.1", {"days_since_hf_drug_change": NEVER}, True),
    "E1.1 day 90": ("E1.1", {"days_since_mi": 90.0}, True),
    "E1.1 day 91": ("E1.1", {"days_since_mi": 91.0}, False),
    "E1.2 day 90": ("E1.2", {"days_since_cv_surgery": 90.0}, True),
    "E1.2 never": ("E1.2", {"days_since_cv_surgery": NEVER}, False),
    "E1.3 unknown": ("E1.3", {"days_since_stroke_or_tia": None}, None),
    "E2 listed": ("E2", {"heart_transplant_listed": True}, True),
    "E2 listed, the rest unknown": ("E2", {"heart_transplant_listed": True, "heart_transplant": None}, True),
    "E3 six days": ("E3", {"days_since_iv_hf_therapy": 6.0}, True),
    "E3 a week": ("E3", {"days_since_iv_hf_therapy": 7.0}, False),
    "E4.1 180": ("E4.1", {"sbp_mmhg": 180.0}, True),
    "E4.1 179": ("E4.1", {"sbp_mmhg": 179.0}, False),
    "E4.1 old": ("E4.1", {"days_since_sbp_mmhg": 91.0}, None),
    "E4.2 100": ("E4.2", {"sbp_mmhg": 100.0}, True),
    "E4.2 101": ("E4.2", {"sbp_mmhg": 101.0}, False),
    "E4.2 symptoms, no pressure": ("E4.2", {"sbp_mmhg": None, "symptomatic_hypotension": True}, True),
    "E4.2 100, symptoms unknown": ("E4.2", {"sbp_mmhg": 100.0, "symptomatic_hypotension": None}, True),
    "E4.2 101, symptoms unknown": ("E4.2", {"symptomatic_hypotension": None}, None),
    "E4.2 95-105": ("E4.2", {"sbp_mmhg": (95.0, 105.0)}, None),
    "E5 all at 3 x ULN": ("E5", {"ast_x_uln": 3.0, "alt_x_uln": 3.0, "alp_x_uln": 3.0}, False),
    "E5 one above, another unknown": ("E5", {"ast_x_uln": 3.1, "alp_x_uln": None}, True),
    "E5 one unknown": ("E5", {"alp_x_uln": None}, None),
    "E5 one raised allowed": ("E5", {"ast_x_uln": 3.1}, False, {"max_raised_enzymes": 1}),
    "E5 one raised allowed, two are": ("E5", {"ast_x_uln": 4.0, "alt_x_uln": 4.0}, True, {"max_raised_enzymes": 1}),
    "E6 20": ("E6", {"egfr_ml_min": 20.0}, False),
    "E6 19": ("E6", {"egfr_ml_min": 19.0}, True),
    "E6 dialysis, eGFR unknown": ("E6", {"dialysis": True, "egfr_ml_min": None}, True),
    "E7 ever": ("E7", {"ketoacidosis_ever": True}, True),
    "E8 now": ("E8", {"months_since_sglt2_inhibitor": 0.0}, True),
    "E8 ten years ago": ("E8", {"months_since_sglt2_inhibitor": 120.0}, True),
    "E8 never": ("E8", {}, False),
    "E8 washed out": ("E8", {"months_since_sglt2_inhibitor": 3.0}, False, {"min_sglt2_free_months": 3}),
    "E8 not washed out": ("E8", {"months_since_sglt2_inhibitor": 2.9}, True, {"min_sglt2_free_months": 3}),
    "E9 45": ("E9", {"bmi_kg_m2": 45.0}, False),
    "E9 above": ("E9", {"bmi_kg_m2": 45.1}, True),
    "E11 allergic": ("E11", {"sglt2_hypersensitivity": True}, True),
    "E12.1 pregnant": ("E12.1", {"pregnant": True}, True),
}


@pytest.mark.parametrize("row", NT_PROBNP.values(), ids=NT_PROBNP.keys())
def test_nt_probnp(row):
    cells, expected, settings = (*row, {})[:3]
    assert met("I4", cells, **settings) is expected


@pytest.mark.parametrize("row", OTHERS.values(), ids=OTHERS.keys())
def test_every_other_criterion(row):
    criterion_id, cells, expected, settings = (*row, {})[:4]
    assert met(criterion_id, cells, **settings) is expected


def test_the_eligible_patient_is_eligible_and_each_criterion_has_an_oracle():
    assert fz.screen(cohort_of([ELIGIBLE]), TRIAL).status.tolist() == ["eligible"]
    assert set(MEANS) == {c.id for c in TRIAL}
    assert {c.id for c in TRIAL} == {"I4", *(row[0] for row in OTHERS.values())}


# --- random patients against the oracle ---------------------------------------------------------------------------


def random_patients(n, seed):
    """Patients at and around every limit of the clause, with holes, stale values and bounds."""
    rng = np.random.default_rng(seed)

    def one(name, hole=0.2):
        return None if rng.random() < hole else float(rng.choice(COULD_BE[name]))

    def perhaps_bounded(name):
        low = one(name)
        if low is None or rng.random() < 0.7:
            return low
        return (low, max(low, float(rng.choice(COULD_BE[name]))))

    for _ in range(n):
        af = None if rng.random() < 0.2 else bool(rng.random() < 0.5)
        yield ELIGIBLE | nt(
            perhaps_bounded("nt_probnp_pg_ml"), perhaps_bounded("lvef_pct"), af, one("months_since_hf_stay"),
            days_since_nt_probnp_pg_ml=[0.0, 90.0, 91.0, None][rng.choice(4, p=[0.6, 0.3, 0.05, 0.05])],
            months_since_lvef_pct=[0.0, 6.0, 6.1, None][rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])],
        )  # fmt: skip


def test_the_band_criterion_row_by_row_on_random_patients():
    patients = list(random_patients(3_000, seed=7))
    expected = [oracle("I4", p) for p in patients]
    assert plain(TRIAL["I4"].met(cohort_of(patients))) == expected
    # All three answers occur often, so that agreement means something.
    assert min(expected.count(answer) for answer in (True, False, None)) > 300


def rows_of(cohort):
    return [
        {name: None if cell is pd.NA else cell for name, cell in zip(cohort, row, strict=True)}
        for row in cohort.itertuples(index=False)
    ]


def test_every_criterion_and_the_funnel_row_by_row_on_the_synthetic_cohort(synthetic):
    cohort, _ = synthetic.synthetic(2_000)
    screening = fz.screen(cohort, TRIAL)
    patients = rows_of(cohort)
    verdicts = {c.id: [oracle(c.id, p) for p in patients] for c in TRIAL}
    for criterion in TRIAL:
        want = verdicts[criterion.id]
        if criterion.kind == "exclusion":
            want = [None if answer is None else not answer for answer in want]
        assert plain(screening.passes[criterion.id]) == want, criterion.id
        verdicts[criterion.id] = want
    funnel = fz.attrition(screening)
    inside = list(range(len(patients)))
    for criterion in TRIAL:
        row, passes = funnel.loc[criterion.id], verdicts[criterion.id]
        out = [i for i in inside if passes[i] is False]
        assert (row.n_entering, row.n_excluded) == (len(inside), len(out)), criterion.id
        inside = [i for i in inside if passes[i] is not False]
    sure = [i for i in inside if all(v[i] for v in verdicts.values())]
    assert (row.n_remaining, row.n_confirmed) == (len(inside), len(sure))


# --- the synthetic cohort -----------------------------------------------------------------------------------------


FUNNEL = {"I1": 299, "I2.1": 248, "I2.2": 193, "I3": 175, "I4": 147, "E12.1": 77}


def test_the_default_cohort_has_these_counts(synthetic):
    cohort, truth = synthetic.synthetic()
    funnel = fz.attrition(fz.screen(cohort, TRIAL))
    assert funnel.loc[list(FUNNEL), "n_remaining"].to_dict() == FUNNEL
    statuses = fz.screen(cohort, TRIAL).status.value_counts().to_dict()
    assert statuses == {"ineligible": 223, "undetermined": 52, "eligible": 25}
    assert fz.screen(truth, TRIAL).status.value_counts().to_dict() == {"ineligible": 236, "eligible": 64}
    assert (fz.impact(fz.screen(cohort, TRIAL)).n_failing > 0).all(), "every criterion costs somebody"


def test_what_is_recorded_never_contradicts_the_truth(synthetic):
    cohort, truth = synthetic.synthetic(2_000)
    recorded, true = fz.screen(cohort, TRIAL), fz.screen(truth, TRIAL)
    assert true.passes.notna().all(axis=None), "in truth everything is known"
    for criterion in recorded.passes:
        known = recorded.passes[criterion].notna()
        assert (recorded.passes[criterion] == true.passes[criterion])[known].all(), criterion
    assert cohort.isna().sum().sum() > truth.isna().sum().sum()


def test_patients_stay_the_same_whatever_their_number(synthetic):
    few, _ = synthetic.synthetic(50)
    many, _ = synthetic.synthetic(400)
    pd.testing.assert_frame_equal(few, many.iloc[:50])
    other, _ = synthetic.synthetic(50, seed=6)
    assert not other.equals(few)


def test_the_cohort_is_as_declared(synthetic):
    cohort, truth = synthetic.synthetic(2_000)
    for frame in (cohort, truth):
        TRIAL.columns.schema(list(frame)).validate(frame)
    assert set(TRIAL.reads) <= set(cohort)
    assert not np.isinf(truth["months_since_hf_diagnosis"].dropna()).any(), "never diagnosed is blank, not never"


def test_its_doctests(synthetic):
    assert doctest.testmod(synthetic).failed == 0


def test_the_shipped_sample_is_the_generator_s(synthetic, tmp_path):
    synthetic.write_sample(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == synthetic.SAMPLE.read_bytes()
    text = pd.read_csv(synthetic.SAMPLE, dtype=str, keep_default_na=False).set_index("patient_id")
    cohort, _ = synthetic.synthetic(synthetic.SAMPLE_PATIENTS)
    assert list(text) == list(cohort)
    for name in text:
        dtype = TRIAL.columns[name].dtype
        words = {"": None, "never": NEVER, **({"yes": True, "no": False} if dtype == "boolean" else {})}
        number = float if dtype in ("Float64", "Int64") else str
        read = pd.array([words[w] if w in words else number(w) for w in text[name]], dtype=DTYPES[dtype])
        pd.testing.assert_extension_array_equal(read, cohort[name].array)


def test_the_shipped_sample_is_read_by_its_declarations_alone(synthetic):
    read = fz.read_cohort(synthetic.SAMPLE, TRIAL.columns)
    cohort, _ = synthetic.synthetic(synthetic.SAMPLE_PATIENTS)
    for name in cohort:
        pd.testing.assert_extension_array_equal(read[name].array, cohort[name].array)
    assert fz.screen(read, TRIAL).status.tolist() == fz.screen(cohort, TRIAL).status.tolist()


# --- the trial file -----------------------------------------------------------------------------------------------


def test_thresholds_relax_in_the_direction_their_names_say(synthetic):
    cohort, _ = synthetic.synthetic(600)
    before = fz.screen(cohort, TRIAL, check=False).passes
    gained = set()
    for name, value in TRIAL.settings.items():
        setting = TRIAL.setting(name)
        if not setting.direction or name == "max_raised_enzymes":
            continue
        relaxed = 3 if value == NEVER else value * (1.3 if setting.direction > 0 else 0.7)
        if setting.whole:
            relaxed = value + setting.direction
        after = fz.screen(cohort, TRIAL.with_thresholds(**{name: relaxed}), check=False).passes
        lost = before.fillna(False) & ~after.fillna(False)
        assert not lost.any(axis=None), name
        gained |= {name} if (after.fillna(False) & ~before.fillna(False)).any(axis=None) else set()
    assert {"min_nt_probnp_low", "min_af_factor", "max_lvef_low_band", "max_hf_stay_months", "max_lvef"} <= gained


def test_one_limit_serves_three_criteria():
    changed = TRIAL.with_thresholds(min_event_free_days=30)
    assert [changed[c].values["min_event_free_days"] for c in ("E1.1", "E1.2", "E1.3")] == [30, 30, 30]
    both = TRIAL.with_thresholds(max_months_since_lvef=12)
    assert {both[c].values["max_months_since_lvef"] for c in ("I3", "I4")} == {12}


def test_every_clause_is_covered_and_every_assumption_says_so():
    coverage = TRIAL.coverage()
    assert list(coverage.index) == [*(f"I{i}" for i in range(1, 8)), *(f"E{i}" for i in range(1, 13))]
    assert set(coverage.status) <= {"assessable", "partly", "not assessable"}
    assert {c.id for c in TRIAL.not_assessable} == {"I5.2", "I6", "I7", "E10", "E12.2"}
    assert all(c.source.startswith("our assumption") for c in TRIAL.not_assessable)
    assert "not the registered text" in TRIAL.source


def test_the_trial_shares_nothing_with_the_package_s_trials():
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert not [m for m in modules if m.startswith("feasibility.trials")], file.name


def test_criteria_are_at_most_six_lines():
    for criterion in TRIAL:
        body = ast.parse(inspect.getsource(criterion.function)).body[0].body[1:]
        assert len(body) <= 6, criterion.id
