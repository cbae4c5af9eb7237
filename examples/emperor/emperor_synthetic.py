"""A small seeded heart failure clinic for the trial file beside it: what is true, and what the records hold.

No real patient and no claim about any: every number below is ours, chosen so that patients of all kinds occur and
nearly every criterion costs somebody. Patient k is the same whatever the number of patients.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from emperor_reduced import columns

from feasibility.cohort.schema import DTYPES

SEED = 5
SAMPLE = Path(__file__).with_name("emperor_cohort.csv")
SAMPLE_PATIENTS = 200

HOLES = {
    "country": 0.02,
    "months_since_hf_diagnosis": 0.05,
    "nyha_class": 0.10,
    "lvef_pct": 0.06,
    "nt_probnp_pg_ml": 0.15,
    "af_ever": 0.08,
    "months_since_hf_stay": 0.06,
    "days_since_hf_drug_change": 0.05,
    "sbp_mmhg": 0.04,
    "symptomatic_hypotension": 0.05,
    "ast_x_uln": 0.06,
    "alt_x_uln": 0.05,
    "alp_x_uln": 0.10,
    "egfr_ml_min": 0.04,
    "months_since_sglt2_inhibitor": 0.03,
    "bmi_kg_m2": 0.07,
    "sglt2_hypersensitivity": 0.06,
}
"""Share of patients without the value. NT-proBNP is ordered for the sick, so it is missing more often in class I."""

UNIFORMS = (
    "site_id sex young heart_failure hf_duration af paroxysmal hf_stay hf_stay_when drug_change "
    "drug_change_when iv mi mi_when surgery surgery_when stroke stroke_when transplant listed dialysis ketoacidosis "
    "sglt2 sglt2_when allergy pregnant symptoms nyha_age lvef_read lvef_age nt_probnp_age ecg_age sbp_age liver_age "
    "egfr_age bmi_age"
).split()
NORMALS = "age nyha lvef nt_probnp sbp ast alt alp egfr bmi".split()


def synthetic(n: int = 300, seed: int = SEED) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cohort as recorded, with holes, and the truth behind it: both one row a patient, the trial's columns.

    >>> cohort, truth = synthetic(5)
    >>> cohort.shape == truth.shape, cohort.index[0]
    (True, 'H0001')
    """
    streams = [np.random.default_rng([seed, k]) for k in range(3)]
    u = dict(zip(UNIFORMS, streams[0].random((n, len(UNIFORMS))).T, strict=True))
    z = dict(zip(NORMALS, streams[1].standard_normal((n, len(NORMALS))).T, strict=True))
    values = {**_person(u, z), **_heart(u, z), **_history(u), **_measurements(u, z)}
    values["pregnant"] = (values["sex"] == "female") & (values["age_years"] < 45) & (u["pregnant"] < 0.20)
    records = _frame({name: values[name] for name in columns if name in values}, n)
    # In truth every value is today's; the records have it from an earlier day, or not at all.
    today = {c.companion: 0.0 for c in columns.columns if c.companion in records}
    truth = records.assign(**{name: pd.array([age] * n, dtype="Float64") for name, age in today.items()})
    return _with_holes(records, streams[2].random((n, len(HOLES)))), truth


def _person(u, z):
    young = u["young"] < 0.04
    age = np.where(young, 16 + 8 * u["young"] / 0.04, np.clip(67 + 12 * z["age"], 25, 97))
    return {
        "synthetic": np.ones(len(age), dtype=bool),
        "site_id": _choose(u["site_id"], {"North": 0.5, "South": 0.3, "Kyoto": 0.2}),
        "country": np.where(u["site_id"] < 0.8, "DE", "JP"),
        "age_years": np.floor(age),
        "sex": np.where(u["sex"] < 0.28, "female", "male"),
    }


def _heart(u, z):
    failing = u["heart_failure"] < 0.97
    lvef = np.where(failing, np.clip(33 + 8 * z["lvef"], 10, 62), np.clip(55 + 5 * z["lvef"], 42, 70))
    severity = 0.05 * (33 - lvef) + z["nyha"]
    stay = _when(u["hf_stay"], 0.50 + 0.006 * (33 - lvef), np.round(36 * u["hf_stay_when"] ** 1.5, 1))
    af = u["af"] < 0.36
    change = _when(u["drug_change"], 0.85, np.floor(240 * u["drug_change_when"] ** 1.4))
    return {
        "heart_failure": failing,
        "months_since_hf_diagnosis": np.where(failing, np.round(90 * u["hf_duration"] ** 1.8, 1), np.nan),
        "nyha_class": np.select([severity < -0.8, severity < 0.9, severity < 2.6], [1, 2, 3], 4),
        "months_since_nyha_class": np.round(7 * u["nyha_age"] ** 2, 1),
        # Read to half a percent, to the nearest five, or to the percent.
        "lvef_pct": np.select(
            [u["lvef_read"] < 0.2, u["lvef_read"] < 0.5],
            [np.round(2 * lvef) / 2, 5 * np.round(lvef / 5)],
            np.round(lvef),
        ),
        "months_since_lvef_pct": np.round(8 * u["lvef_age"] ** 2, 1),
        "nt_probnp_pg_ml": np.round(
            1500 * np.exp(0.035 * (33 - lvef) + 0.4 * af + 0.35 * z["nyha"] + 0.8 * z["nt_probnp"])
        ),
        "days_since_nt_probnp_pg_ml": np.floor(110 * u["nt_probnp_age"] ** 3),
        "af_ever": af,
        "af_on_ecg": af & (u["paroxysmal"] < 0.65),
        "days_since_af_on_ecg": np.floor(90 * u["ecg_age"]),
        "months_since_hf_stay": stay,
        "days_since_hf_drug_change": change,
        "days_since_iv_hf_therapy": _when(u["iv"], np.where(stay < 2, 0.6, 0.05), np.floor(25 * u["iv"] / 0.6)),
    }


def _history(u):
    return {
        "days_since_mi": _when(u["mi"], 0.40, np.floor(3000 * u["mi_when"] ** 1.5)),
        "days_since_cv_surgery": _when(u["surgery"], 0.22, np.floor(3000 * u["surgery_when"] ** 1.5)),
        "days_since_stroke_or_tia": _when(u["stroke"], 0.12, np.floor(2500 * u["stroke_when"] ** 1.5)),
        "heart_transplant": u["transplant"] < 0.01,
        "heart_transplant_listed": u["listed"] < 0.02,
        "dialysis": u["dialysis"] < 0.015,
        "ketoacidosis_ever": u["ketoacidosis"] < 0.015,
        "months_since_sglt2_inhibitor": _when(u["sglt2"], 0.15, np.round(np.maximum(0, 30 * u["sglt2_when"] - 15), 1)),
        "sglt2_hypersensitivity": u["allergy"] < 0.015,
    }


def _measurements(u, z):
    liver_age = np.floor(100 * u["liver_age"] ** 3)
    sbp = np.round(126 + 21 * z["sbp"])
    return {
        "sbp_mmhg": np.clip(sbp, 70, 230),
        "days_since_sbp_mmhg": np.floor(100 * u["sbp_age"] ** 3),
        "symptomatic_hypotension": u["symptoms"] < np.where(sbp < 105, 0.25, 0.01),
        "ast_x_uln": np.round(0.6 * np.exp(0.75 * z["ast"]), 2),
        "days_since_ast_x_uln": liver_age,
        "alt_x_uln": np.round(0.6 * np.exp(0.6 * z["ast"] + 0.45 * z["alt"]), 2),
        "days_since_alt_x_uln": liver_age,
        "alp_x_uln": np.round(0.7 * np.exp(0.4 * z["alp"]), 2),
        "days_since_alp_x_uln": liver_age,
        "egfr_ml_min": np.clip(np.round(60 + 21 * z["egfr"] - 0.3 * z["age"]), 5, 130),
        "days_since_egfr_ml_min": np.floor(100 * u["egfr_age"] ** 3),
        "bmi_kg_m2": np.round(27.5 * np.exp(0.21 * z["bmi"]), 1),
        "days_since_bmi_kg_m2": np.floor(400 * u["bmi_age"] ** 3),
    }


def _when(u, share, time):
    """The time for that share of patients, never (inf) for the others."""
    return np.where(u < share, time, np.inf)


def _choose(u, shares):
    return np.array(list(shares))[np.searchsorted(np.cumsum(list(shares.values()))[:-1], u, side="right")]


def _frame(values, n) -> pd.DataFrame:
    index = pd.Index([f"H{k:04d}" for k in range(1, n + 1)], name="patient_id")
    return pd.DataFrame({k: _typed(v, columns[k].dtype) for k, v in values.items()}, index=index)


def _typed(values, dtype):
    if dtype == "Float64":
        return pd.arrays.FloatingArray(values.astype(float), np.isnan(values.astype(float)))
    if dtype == "Int64":
        return pd.arrays.IntegerArray(values.astype(np.int64), np.zeros(len(values), dtype=bool))
    return pd.array(values.tolist(), dtype=DTYPES[dtype])


def _with_holes(records, u) -> pd.DataFrame:
    cohort = records.copy()
    for (name, rate), draw in zip(HOLES.items(), u.T, strict=True):
        if name == "nt_probnp_pg_ml":
            rate = np.where(records["nyha_class"] == 1, 2 * rate, 0.8 * rate)
        gone = [name, columns[name].companion] if columns[name].companion else [name]
        cohort.loc[draw < rate, gone] = pd.NA
    return cohort


def write_sample(path: Path = SAMPLE, n: int = SAMPLE_PATIENTS) -> None:
    """The file for people: the word never where it never happened, blank where nothing is recorded, yes and no."""
    cohort, _ = synthetic(n)
    cohort.map(_word).to_csv(path, encoding="utf-8", lineterminator="\n")


def _word(value) -> str:
    if value is pd.NA:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return "never" if np.isinf(value) else f"{value:g}"


if __name__ == "__main__":
    write_sample()
