"""Columns of general medicine that many trials read. Disease-specific columns live beside their trials."""

from __future__ import annotations

from feasibility.cohort.schema import CohortTable, Column, Fill

INF = float("inf")
PER_LITRE = {"10*3/uL": 1, "K/uL": 1, "G/L": 1, "Gpt/L": 1, "/uL": 0.001, "/mm3": 0.001, "10*4/uL": 10, "万/uL": 10}
NEGATIVE_POSITIVE = {"neg": "negative", "pos": "positive", "阴性": "negative", "阳性": "positive"}
OBSERVED = "no record in a patient observed in the 12 months before the index date means it did not happen"
ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4}
SPEC = "clinical specification, section 2"


def lab(name, doc, **more):
    """A latest-value laboratory column: 14 days unless the run says otherwise, worst value of a tied day."""
    settings = {"window_days": 90, "ties": "worst"} | more.pop("settings", {})
    return Column(
        name=name, dtype="Float64", doc=doc, dated="days", events="labs", settings=settings,
        window="latest valid value within window_days before the index date; the criterion's look-back narrows it",
        source=more.pop("source", SPEC), **more,
    )  # fmt: skip


def _ever(name, doc, unit="mo", **more):
    """Time since the last event of a kind, closed world: inf when it never happened to an observed patient."""
    return Column(name=name, dtype="Float64", unit=unit, doc=doc, hard=(0, INF), absence="closed", why=OBSERVED, **more)


def _flag(name, doc, absence="closed", why=OBSERVED, **more):
    why = "" if absence == "open" else why
    return Column(name=name, dtype="boolean", doc=doc, absence=absence, why=why, **more)


DEMOGRAPHICS = (
    Column(name="synthetic", dtype="boolean", doc="The row was made by a generator and is no patient."),
    Column(name="site_id", dtype="string", doc="The hospital or department the patient belongs to.", stratum=True),
    Column(
        name="age_years", dtype="Int64", unit="a", hard=(0, 120), soft=(0, 100),
        doc="Completed years of age at the index date.", events="patients",
        settings={"leap_day_birthday": "28 February in common years"}, decimal_reads="floor",
        window="at the index date", source=SPEC,
    ),
    Column(
        name="age_exact_years", dtype="Float64", unit="a", hard=(0, 121),
        doc="Age with its fraction of a year; whole on a birthday.", events="patients", window="at the index date",
    ),
    Column(
        name="sex", dtype="string", values=("female", "male", "other"), events="patients",
        codes={"f": "female", "w": "female", "2": "female", "女": "female", "weiblich": "female",
               "m": "male", "1": "male", "男": "male", "männlich": "male"},
        doc="Recorded sex.", stratum=True, source=SPEC,
    ),
    Column(
        name="ecog", dtype="Int64", hard=(0, 4), dated="days", events="performance",
        doc="Latest ECOG performance status; a range such as 0-1 reads as its maximum, 5 (dead) is an error.",
        settings={"window_days": 90, "from_kps": True}, window="latest within window_days", source=SPEC,
        range_reads="max",
    ),
)  # fmt: skip

BLOOD = (
    lab("hemoglobin_g_l", "Haemoglobin.", unit="g/L", units={"g/dL": 10, "mmol/L": 16.114}, hard=(10, 250),
         soft=(30, 180), codelist="hemoglobin"),
    lab("platelets_10e9_l", "Platelet count.", unit="10*9/L", units=PER_LITRE, hard=(0, 3000), soft=(1, 1000),
         codelist="platelets"),
    lab("lymphocytes_10e9_l", "Absolute lymphocyte count.", unit="10*9/L", units=PER_LITRE, hard=(0, 500),
         codelist="lymphocytes"),
    _ever("days_since_rbc_transfusion", "Days since the last red-cell transfusion.", unit="d",
          events="transfusions"),
    _ever("days_since_platelet_transfusion", "Days since the last platelet transfusion.", unit="d",
          events="transfusions"),
)  # fmt: skip

CHEMISTRY = (
    lab("ast_x_uln", "Aspartate aminotransferase over the upper limit of its own report.", unit="1", hard=(0, 2000),
         upper_limit=True, codelist="ast", settings={"uln_fallback": "none"}),
    lab("alt_x_uln", "Alanine aminotransferase over the upper limit of its own report.", unit="1", hard=(0, 2000),
         upper_limit=True, codelist="alt", settings={"uln_fallback": "none"}),
    lab("bilirubin_x_uln", "Total bilirubin over the upper limit of its own report.", unit="1", hard=(0, 120),
         upper_limit=True, codelist="bilirubin_total", settings={"uln_fallback": "none"}),
    lab("bilirubin_direct_x_uln", "Direct bilirubin over the upper limit of its own report.", unit="1",
         hard=(0, 500), upper_limit=True, codelist="bilirubin_direct", settings={"uln_fallback": "none"}),
    lab("creatinine_umol_l", "Serum creatinine.", unit="umol/L", units={"mg/dL": 88.42}, hard=(10, 2500),
         soft=(20, 1500), codelist="creatinine"),
    Column(name="creatinine_earlier_umol_l", dtype="Float64", unit="umol/L", units={"mg/dL": 88.42}, hard=(10, 2500),
           doc="Latest serum creatinine at least 90 days before the latest one.", events="labs",
           settings={"apart_days": 90}, codelist="creatinine"),
    _flag("gilbert", "Gilbert's syndrome.", events="diagnoses", codelist="gilbert"),
)  # fmt: skip

REPRODUCTION = (
    Column(
        name="pregnancy_test", dtype="string", values=("negative", "positive"), codes=NEGATIVE_POSITIVE, dated="days",
        asked_if=("childbearing_potential", True),
        doc="Latest pregnancy test (quantitative hCG below 5 mIU/mL is negative).", events="labs", codelist="hcg",
        settings={"window_days": 90}, window="latest within window_days", source=SPEC,
    ),
    Column(
        name="childbearing_potential", dtype="boolean", absence="structural", events="repro", source=SPEC + ", 9.10",
        doc="A woman who is neither post-menopausal nor sterilised.", why="a man has none",
        settings={"age_proxy": True},
        fills=(
            Fill(False, lambda c: c["sex"] == "male", "a man has no childbearing potential", ("sex",)),
            Fill(True, lambda c: (c["sex"] == "female") & (c["age_years"] >= 18) & (c["age_years"] <= 49),
                 "no recorded status: a woman of 18 to 49 counts as of childbearing potential", ("sex", "age_years"),
                 setting="age_proxy"),
            Fill(False, lambda c: (c["sex"] == "female") & (c["age_years"] >= 55),
                 "no recorded status: a woman of 55 or more counts as post-menopausal", ("sex", "age_years"),
                 setting="age_proxy"),
        ),
    ),
    _flag("pregnant", "Pregnant at the index date.", "structural", "a man, or a woman past childbearing, is not",
          events="diagnoses, labs", codelist="pregnancy", settings={"test_window_days": 14}, fills=(
              Fill(False, lambda c: ~c["childbearing_potential"], "no childbearing potential",
                   ("childbearing_potential",)),
              Fill(True, lambda c: (c["pregnancy_test"] == "positive") & (c["days_since_pregnancy_test"] <= 14),
                   "a positive test in the last 14 days", ("pregnancy_test", "days_since_pregnancy_test")),
              Fill(False, lambda c: (c["pregnancy_test"] == "negative") & (c["days_since_pregnancy_test"] <= 14),
                   "a negative test in the last 14 days", ("pregnancy_test", "days_since_pregnancy_test")),
          )),
    _flag("lactating", "Breast-feeding at the index date.", "structural",
          "a man, or a woman past childbearing, is not", events="repro, diagnoses", fills=(
              Fill(False, lambda c: ~c["childbearing_potential"], "no childbearing potential",
                   ("childbearing_potential",)),)),
)  # fmt: skip

HEART = (
    _flag("heart_failure", "Heart failure ever diagnosed.", events="diagnoses", codelist="heart_failure"),
    Column(name="nyha_class", dtype="Int64", asked_if=("heart_failure", True), hard=(1, 4), dated="months",
           events="performance", source=SPEC, doc="Latest NYHA class; II-III reads as 3.", codes=ROMAN,
           range_reads="max"),
    Column(name="nyha_class_worst", dtype="Int64", asked_if=("heart_failure", True), hard=(1, 4),
           events="performance", doc="Worst NYHA class ever.", codes=ROMAN, range_reads="max"),
    _ever("months_since_mi", "Calendar months since the last myocardial infarction.", events="diagnoses",
          codelist="acute_mi", settings={"include_type2": True}),
    _ever("months_since_cabg", "Calendar months since the last coronary artery bypass surgery.",
          events="procedures", codelist="cabg"),
    _ever("months_since_ventricular_arrhythmia", "Calendar months since the last significant ventricular arrhythmia.",
          events="diagnoses", codelist="ventricular_arrhythmia", settings={"count_pvc_and_nsvt": False}),
    _ever("months_since_unexplained_syncope", "Calendar months since the last syncope without explanation.",
          events="diagnoses", codelist="syncope"),
    _flag("nonischemic_cardiomyopathy", "Non-ischaemic cardiomyopathy ever diagnosed.", events="diagnoses",
          codelist="nonischemic_cardiomyopathy"),
    _flag("nonischemic_cardiomyopathy_severe", "That cardiomyopathy was recorded as severe.", "open",
          asked_if=("nonischemic_cardiomyopathy", True),
          events="diagnoses"),
    Column(name="lvef_lowest_ever_pct", dtype="Float64", unit="%", hard=(5, 90), events="echo",
           doc="Lowest left ventricular ejection fraction on record.", units={"1": 100}, range_reads="min"),
    Column(name="lvef_min_pct", dtype="Float64", unit="%", units={"1": 100}, hard=(5, 90), soft=(15, 80), dated="days",
           doc="Lowest left ventricular ejection fraction in the window; its age is that of the latest measurement.",
           events="echo", settings={"window_days": 56, "carry_forward": False}, range_reads="min", source=SPEC),
    Column(name="lvef_latest_pct", dtype="Float64", unit="%", units={"1": 100}, hard=(5, 90), soft=(15, 80),
           dated="days", doc="Latest left ventricular ejection fraction.", events="echo",
           settings={"window_days": 56}, range_reads="min", source=SPEC),
)  # fmt: skip

INFECTION = (
    _ever("months_since_hepatitis_a", "Calendar months since hepatitis A was last diagnosed.", events="diagnoses",
          codelist="hepatitis_a"),
    Column(
        name="months_since_hav_igm_positive", dtype="Float64", unit="mo", hard=(0, INF), absence="closed",
        doc="Calendar months since the last reactive hepatitis A IgM; never after a non-reactive one within 6 months.",
        why="never tested and a recent ALT at most 2 x ULN: hepatitis A would show", events="labs", codelist="hav_igm",
        settings={"closed_world": True, "validity_months": 6}, source="clinical specification, E1",
        fills=(Fill(INF, lambda c: (c["alt_x_uln"] <= 2) & (c["days_since_alt_x_uln"] <= 14),
                    "never tested, ALT of the last 14 days at most 2 x ULN", ("alt_x_uln", "days_since_alt_x_uln"),
                    setting="closed_world"),),
    ),
    _flag("hbsag", "Hepatitis B surface antigen is reactive.", "open", events="labs", codelist="hbsag",
          settings={"window_days": 180}),
    _flag("anti_hbc", "Antibody to hepatitis B core is reactive.", "structural",
          "not tested after a negative surface antigen", events="labs", codelist="anti_hbc",
          settings={"window_days": 180, "negative_after_hbsag": True}, fills=(
              Fill(False, lambda c: ~c["hbsag"],
                   "anti-HBc untested after a negative HBsAg reads negative (occult infection not excluded)",
                   ("hbsag",), setting="negative_after_hbsag"),)),
    Column(
        name="hbv_dna_iu_ml", dtype="Float64", unit="[IU]/mL", units={"IU/mL": 1}, hard=(0, 1e11), events="labs",
        absence="structural", why="not measured when the serology is negative", codelist="hbv_dna",
        doc="Hepatitis B virus DNA; below the assay's limit reads 0.", below_limit="zero",
        settings={"window_days": 90}, source="clinical specification, E1 and 9.8",
        fills=(Fill(0.0, lambda c: ~c["hbsag"] & ~c["anti_hbc"], "HBsAg and anti-HBc negative: no DNA expected",
                    ("hbsag", "anti_hbc")),),
    ),
    _flag("anti_hcv", "Antibody to hepatitis C is reactive.", "open", events="labs", codelist="anti_hcv",
          settings={"window_days": 180}),
    _flag("hcv_rna_detected", "Hepatitis C RNA is detectable.", "structural", "not measured when anti-HCV is negative",
          events="labs", codelist="hcv_rna", settings={"window_days": 90},
          fills=(Fill(False, lambda c: ~c["anti_hcv"], "anti-HCV negative: no RNA expected", ("anti_hcv",)),)),
    _flag("hiv", "Confirmed HIV infection; a reactive, unconfirmed test is unknown.", "open",
          events="labs, diagnoses", codelist="hiv", settings={"validity_months": 12}),
    _flag("hiv_viraemic", "HIV RNA is detectable.", "structural", "not measured without an infection", events="labs",
          codelist="hiv_rna", fills=(Fill(False, lambda c: ~c["hiv"], "no HIV infection", ("hiv",)),)),
    _flag("viral_infection_controlled", "The viral hepatitis or HIV infection is documented as controlled.", "open"),
    Column(name="active_infection", dtype="boolean", dated="days", events="infections", source=SPEC,
           doc="An active infection at the latest assessment.",
           settings={"window_days": 28, "iv_proxy_proves_presence": True}),
    _flag("infection_severe", "That infection is severe (CTCAE grade 3 or more).", "open",
          asked_if=("active_infection", True), events="infections"),
    _flag("infection_controlled", "That infection is under control.", "open",
          asked_if=("active_infection", True), events="infections"),
    _flag("aids_history", "AIDS ever diagnosed.", events="diagnoses", codelist="aids"),
)  # fmt: skip

STEROIDS = {
    "mg/d prednisolone": 1, "mg/d methylprednisolone": 1.25, "mg/d dexamethasone": 6.667, "mg/d betamethasone": 6.667,
    "mg/d hydrocortisone": 0.25, "mg/d cortisone": 0.2, "mg/d triamcinolone": 1.25, "mg/d deflazacort": 0.833,
    "mg/d prednisone": 1,
}  # fmt: skip
NONE_WITHOUT_ORDER = "an observed patient without an order takes none"


def _dose(name, doc):
    return Column(name=name, dtype="Float64", unit="mg/d", units=STEROIDS, hard=(0, 2000), soft=(0, 200), doc=doc,
                  absence="closed", why=NONE_WITHOUT_ORDER, events="medications", codelist="steroids",
                  settings={"other_disease_only": True, "physiologic_replacement_mg": 7.5})  # fmt: skip


def _exposure(name, doc):
    return Column(name=name, dtype="Int64", unit="d", hard=(0, 40000), doc=doc, absence="closed",
                  why=NONE_WITHOUT_ORDER, events="medications", codelist="immunosuppressants",
                  settings={"bridge_gap_days": 7, "other_disease_only": True})  # fmt: skip


IMMUNOSUPPRESSION = (
    _exposure("nonsteroid_is_days", "Days on a non-steroid immunosuppressant for another disease, if current."),
    _exposure("nonsteroid_is_days_ever", "Longest course ever of a non-steroid immunosuppressant, other disease."),
    _exposure("steroid_days", "Days on a systemic steroid for another disease, if current."),
    _exposure("steroid_days_ever", "Longest course ever of a systemic steroid for another disease."),
    _dose("steroid_mg_day_mean", "Mean prednisone-equivalent dose over the days of the last 28 with exposure."),
    _dose("steroid_mg_day_current", "Prednisone-equivalent dose on the index date."),
    _dose("steroid_mg_day_max", "Highest prednisone-equivalent dose in the last 28 days."),
    _dose("steroid_mg_day_max_ever", "Highest prednisone-equivalent dose ever, long-term courses."),
)

GENERAL = CohortTable((*DEMOGRAPHICS, *BLOOD, *CHEMISTRY, *REPRODUCTION, *HEART, *INFECTION, *IMMUNOSUPPRESSION))
"""Every column of general medicine."""
