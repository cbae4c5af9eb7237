"""Columns of general medicine that many trials read. Disease-specific columns live beside their trials."""

from __future__ import annotations

from feasibility.cohort.declared import BuildStep, Measured, Words
from feasibility.cohort.exposure import build_exposure
from feasibility.cohort.function import build_function
from feasibility.cohort.infections import build_infections
from feasibility.cohort.reproduction import build_reproduction
from feasibility.cohort.schema import CohortTable, Column, Fill

INF = float("inf")
PER_LITRE = {"10*3/uL": 1, "K/uL": 1, "G/L": 1, "Gpt/L": 1, "/uL": 0.001, "/mm3": 0.001, "10*4/uL": 10, "万/uL": 10}
NEGATIVE_POSITIVE = {"neg": "negative", "pos": "positive", "阴性": "negative", "阳性": "positive"}
OBSERVED = "no record in a patient observed in the 12 months before the index date means it did not happen"
JUST_SYNCOPE = "^$|^syncope$|^syncope_and_collapse$|^晕厥$"
ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4}
SPEC = "clinical specification, section 2"
ENZYME = Measured(unit="U/L", units={"ukat/L": 60.0}, hard=(1, 20000))
BILIRUBIN = {"unit": "umol/L", "units": {"mg/dL": 17.104, "mg/L": 1.7104}}
TOTAL_BILIRUBIN = Measured(**BILIRUBIN, hard=(0.5, 1200))
DIRECT_BILIRUBIN = Measured(**BILIRUBIN, hard=(0, 1200))
CREATININE = Measured(unit="umol/L", units={"mg/dL": 88.42, "mg/L": 8.842}, hard=(10, 2500))
VIRUS_DNA = Measured(
    unit="[IU]/mL", hard=(0, 1e11),
    # Assay specific: 5.0 to 5.8 copies an international unit (clinical specification, 0.1).
    units={"IU/mL": 1, "copies/mL": (1 / 5.8, 1 / 5.0), "cp/mL": (1 / 5.8, 1 / 5.0)},
    log10={log + unit: base for log in ("log10 ", "log ", "lg ") for unit, base in (
        ("IU/mL", "IU/mL"), ("[IU]/mL", "IU/mL"), ("copies/mL", "copies/mL"), ("cp/mL", "copies/mL"))}
    | {"{Log_IU}/mL": "IU/mL", "{Log_copies}/mL": "copies/mL", "{Log}IU/mL": "IU/mL", "{Log}copies/mL": "copies/mL",
       "log10(IU/mL)": "IU/mL", "log(IU/mL)": "IU/mL", "lg(IU/mL)": "IU/mL", "log10(copies/mL)": "copies/mL"},
    log10_codes={"48398-2": "IU/mL", "3048505": "IU/mL"},
)  # fmt: skip
ANY_RNA = Measured(positive_from=0)
HCG = Measured(unit="m[IU]/mL", units={"mIU/mL": 1, "IU/L": 1, "[IU]/L": 1, "U/L": 1, "mU/mL": 1}, positive_from=5.0)


def lab(name, doc, **more):
    """A latest-value laboratory column: 14 days unless the run says otherwise, worst value of a tied day."""
    settings = {"window_days": 90, "ties": "worst"} | more.pop("settings", {})
    return Column(
        name=name, dtype="Float64", doc=doc, dated="days", events="labs", statistic="latest", settings=settings,
        window="latest valid value within window_days before the index date; the criterion's look-back narrows it",
        source=more.pop("source", SPEC), **more,
    )  # fmt: skip


def since(name, doc, unit="mo", **more):
    """Time since the last event of a kind, closed world: inf when it never happened to an observed patient."""
    statistic = "days_since" if unit == "d" else "months_since"
    return Column(name=name, dtype="Float64", unit=unit, doc=doc, hard=(0, INF), absence="closed", why=OBSERVED,
                  statistic=statistic, **more)  # fmt: skip


def diagnosed(name, doc, codelist, **more):
    """Whether something was ever diagnosed, closed world."""
    return _flag(name, doc, events="diagnoses", codelist=codelist, statistic="ever", **more)


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
         soft=(30, 180), codelist="hemoglobin", lower_is_worse=True),
    lab("platelets_10e9_l", "Platelet count.", unit="10*9/L", units=PER_LITRE, hard=(0, 3000), soft=(1, 1000),
         codelist="platelets", lower_is_worse=True),
    lab("lymphocytes_10e9_l", "Absolute lymphocyte count.", unit="10*9/L", units=PER_LITRE, hard=(0, 500),
         codelist="lymphocytes", lower_is_worse=True),
    since("days_since_rbc_transfusion", "Days since the last red-cell transfusion.", unit="d",
          events="transfusions, procedures", codelist="rbc_transfusion"),
    since("days_since_platelet_transfusion", "Days since the last platelet transfusion.", unit="d",
          events="transfusions, procedures", codelist="platelet_transfusion"),
)  # fmt: skip

CHEMISTRY = (
    lab("ast_x_uln", "Aspartate aminotransferase over the upper limit of its own report.", unit="1", hard=(0, 2000),
         upper_limit=True, codelist="ast", measured=ENZYME, settings={"uln_fallback": "none"}),
    lab("alt_x_uln", "Alanine aminotransferase over the upper limit of its own report.", unit="1", hard=(0, 2000),
         upper_limit=True, codelist="alt", measured=ENZYME, settings={"uln_fallback": "none"}),
    lab("bilirubin_x_uln", "Total bilirubin over the upper limit of its own report.", unit="1", hard=(0, 120),
         upper_limit=True, codelist="bilirubin_total", measured=TOTAL_BILIRUBIN, settings={"uln_fallback": "none"}),
    lab("bilirubin_direct_x_uln", "Direct bilirubin over the upper limit of its own report.", unit="1",
         hard=(0, 500), upper_limit=True, codelist="bilirubin_direct", measured=DIRECT_BILIRUBIN,
        settings={"uln_fallback": "none"}),
    lab("creatinine_umol_l", "Serum creatinine.", unit="umol/L", units={"mg/dL": 88.42}, hard=(10, 2500),
         soft=(20, 1500), codelist="creatinine", measured=CREATININE),
    Column(name="creatinine_earlier_umol_l", dtype="Float64", unit="umol/L", units={"mg/dL": 88.42}, hard=(10, 2500),
           doc="Latest serum creatinine at least 90 days before the latest one.", events="labs",
           settings={"apart_days": 90}, statistic="earlier", of="creatinine_umol_l"),
    diagnosed("gilbert", "Gilbert's syndrome.", "gilbert"),
)  # fmt: skip

REPRODUCTION = (
    Column(
        name="pregnancy_test", dtype="string", values=("negative", "positive"), codes=NEGATIVE_POSITIVE, dated="days",
        asked_if=("childbearing_potential", True),
        doc="Latest pregnancy test (quantitative hCG below 5 mIU/mL is negative).", events="labs", codelist="hcg",
        statistic="reactive", measured=HCG, settings={"window_days": 90},
        window="latest within window_days", source=SPEC,
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
          events="diagnoses, labs", codelist="pregnancy", settings={"test_window_days": 14, "coded_days": 280}, fills=(
              Fill(False, lambda c: ~c["childbearing_potential"], "no childbearing potential",
                   ("childbearing_potential",)),
              Fill(True, lambda c, d: (c["pregnancy_test"] == "positive") & (c["days_since_pregnancy_test"] <= d),
                   "a positive test in the last days (test_window_days)",
                   ("pregnancy_test", "days_since_pregnancy_test"), takes="test_window_days"),
              Fill(False, lambda c, d: (c["pregnancy_test"] == "negative") & (c["days_since_pregnancy_test"] <= d),
                   "a negative test in the last days (test_window_days)",
                   ("pregnancy_test", "days_since_pregnancy_test"), takes="test_window_days"),
          )),
    _flag("lactating", "Breast-feeding at the index date.", "structural",
          "a man, or a woman past childbearing, is not", events="repro, diagnoses", fills=(
              Fill(False, lambda c: ~c["childbearing_potential"], "no childbearing potential",
                   ("childbearing_potential",)),)),
)  # fmt: skip

HEART = (
    diagnosed("heart_failure", "Heart failure ever diagnosed.", "heart_failure"),
    Column(name="nyha_class", dtype="Int64", asked_if=("heart_failure", True), hard=(1, 4), dated="months",
           events="performance", source=SPEC, doc="Latest NYHA class; II-III reads as 3.", codes=ROMAN,
           range_reads="max"),
    Column(name="nyha_class_worst", dtype="Int64", asked_if=("heart_failure", True), hard=(1, 4),
           events="performance", doc="Worst NYHA class ever.", codes=ROMAN, range_reads="max"),
    since("months_since_mi", "Calendar months since the last myocardial infarction.", events="diagnoses",
          codelist="acute_mi", lists={"include_type2": "acute_mi_type2"}, settings={"include_type2": True}),
    since("months_since_cabg", "Calendar months since the last coronary artery bypass surgery.",
          events="procedures, diagnoses", codelist="cabg"),
    since("months_since_ventricular_arrhythmia", "Calendar months since the last significant ventricular arrhythmia.",
          events="diagnoses", codelist="ventricular_arrhythmia", settings={"count_pvc_and_nsvt": False},
          words=Words(ignored="non-?_?sustained|nsvt|非持续|pvc|室性早搏", unless="count_pvc_and_nsvt")),
    since("months_since_unexplained_syncope", "Calendar months since the last syncope without explanation.",
          events="diagnoses", codelist="syncope",
          words=Words(only=f"{JUST_SYNCOPE}|unexplained|unknown|不明|unclear", open=JUST_SYNCOPE)),
    diagnosed("nonischemic_cardiomyopathy", "Non-ischaemic cardiomyopathy ever diagnosed.",
              "nonischemic_cardiomyopathy"),
    _flag("nonischemic_cardiomyopathy_severe", "That cardiomyopathy was recorded as severe.", "open",
          asked_if=("nonischemic_cardiomyopathy", True),
          events="diagnoses", statistic="in_words", codelist="nonischemic_cardiomyopathy",
          words=Words(yes="severe|重度|严重|schwer", no="mild|moderate|轻度|中度|leicht|not_severe|non-severe")),
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
    since("months_since_hepatitis_a", "Calendar months since hepatitis A was last diagnosed.", events="diagnoses",
          codelist="hepatitis_a"),
    Column(
        name="months_since_hav_igm_positive", dtype="Float64", unit="mo", hard=(0, INF), absence="closed",
        doc="Calendar months since the last reactive hepatitis A IgM; never after a non-reactive one within 6 months.",
        why="never tested and a recent ALT at most 2 x ULN: hepatitis A would show", events="labs", codelist="hav_igm",
        statistic="months_since_reactive",
        settings={"closed_world": True, "validity_months": 6}, source="clinical specification, E1",
        fills=(Fill(INF, lambda c: (c["alt_x_uln"] <= 2) & (c["days_since_alt_x_uln"] <= 14),
                    "never tested, ALT of the last 14 days at most 2 x ULN", ("alt_x_uln", "days_since_alt_x_uln"),
                    setting="closed_world"),),
    ),
    _flag("hbsag", "Hepatitis B surface antigen is reactive.", "open", events="labs", codelist="hbsag",
          statistic="reactive", settings={"window_days": 180}),
    _flag("anti_hbc", "Antibody to hepatitis B core is reactive.", "structural",
          "not tested after a negative surface antigen", events="labs", codelist="anti_hbc", statistic="reactive",
          settings={"window_days": 180, "negative_after_hbsag": True}, fills=(
              Fill(False, lambda c: ~c["hbsag"],
                   "anti-HBc untested after a negative HBsAg reads negative (occult infection not excluded)",
                   ("hbsag",), setting="negative_after_hbsag"),)),
    Column(
        name="hbv_dna_iu_ml", dtype="Float64", unit="[IU]/mL", units={"IU/mL": 1}, hard=(0, 1e11), events="labs",
        statistic="latest", measured=VIRUS_DNA,
        absence="structural", why="not measured when the serology is negative", codelist="hbv_dna",
        doc="Hepatitis B virus DNA; below the assay's limit reads 0.", below_limit="zero",
        settings={"window_days": 90}, source="clinical specification, E1 and 9.8",
        fills=(Fill(0.0, lambda c: ~c["hbsag"] & ~c["anti_hbc"], "HBsAg and anti-HBc negative: no DNA expected",
                    ("hbsag", "anti_hbc")),),
    ),
    _flag("anti_hcv", "Antibody to hepatitis C is reactive.", "open", events="labs", codelist="anti_hcv",
          statistic="reactive", settings={"window_days": 180}),
    _flag("hcv_rna_detected", "Hepatitis C RNA is detectable.", "structural", "not measured when anti-HCV is negative",
          events="labs", codelist="hcv_rna", statistic="reactive", measured=ANY_RNA, settings={"window_days": 90},
          fills=(Fill(False, lambda c: ~c["anti_hcv"], "anti-HCV negative: no RNA expected", ("anti_hcv",)),)),
    _flag("hiv", "Confirmed HIV infection; a reactive, unconfirmed test is unknown.", "open",
          events="labs, diagnoses", codelist="hiv", statistic="confirmed",
          lists={"labs": "hiv_rna", "diagnoses": "hiv"}, measured=ANY_RNA, settings={"validity_months": 12}),
    _flag("hiv_viraemic", "HIV RNA is detectable.", "structural", "not measured without an infection", events="labs",
          codelist="hiv_rna", statistic="reactive", measured=ANY_RNA, settings={"window_days": 365},
          fills=(Fill(False, lambda c: ~c["hiv"], "no HIV infection", ("hiv",)),)),
    _flag("viral_infection_controlled", "The viral hepatitis or HIV infection is documented as controlled.", "open",
          events="diagnoses", statistic="in_words", codelist="hepatitis_b",
          lists={"hepatitis A": "hepatitis_a", "hepatitis C": "hepatitis_c", "HIV": "hiv"},
          words=Words(both=None, yes="controlled|控制",
                      no="not_controlled|uncontrolled|not_under_control|未控制|控制不佳|控制不良")),
    Column(name="active_infection", dtype="boolean", dated="days", events="infections", source=SPEC,
           doc="An active infection at the latest assessment.",
           settings={"window_days": 28, "iv_proxy_proves_presence": True}),
    _flag("infection_severe", "That infection is severe (CTCAE grade 3 or more).", "open",
          asked_if=("active_infection", True), events="infections"),
    _flag("infection_controlled", "That infection is under control.", "open",
          asked_if=("active_infection", True), events="infections"),
    diagnosed("aids_history", "AIDS ever diagnosed.", "aids"),
)  # fmt: skip

STEROIDS = {
    "mg/d prednisolone": 1, "mg/d methylprednisolone": 1.25, "mg/d dexamethasone": 6.667, "mg/d betamethasone": 6.667,
    "mg/d hydrocortisone": 0.25, "mg/d cortisone": 0.2, "mg/d triamcinolone": 1.25, "mg/d deflazacort": 0.833,
    "mg/d prednisone": 1,
}  # fmt: skip
NONE_WITHOUT_ORDER = "an observed patient without an order takes none"


def _dose(name, doc, **settings):
    return Column(name=name, dtype="Float64", unit="mg/d", units=STEROIDS, hard=(0, 2000), soft=(0, 200), doc=doc,
                  absence="closed", why=NONE_WITHOUT_ORDER, events="medications", codelist="steroids",
                  settings={"other_disease_only": True, "physiologic_replacement_mg": 7.5} | settings)  # fmt: skip


def _exposure(name, doc, **settings):
    return Column(name=name, dtype="Int64", unit="d", hard=(0, 40000), doc=doc, absence="closed",
                  why=NONE_WITHOUT_ORDER, events="medications", codelist="immunosuppressants",
                  settings={"bridge_gap_days": 7, "other_disease_only": True} | settings)  # fmt: skip


IMMUNOSUPPRESSION = (
    _exposure("nonsteroid_is_days", "Days on a non-steroid immunosuppressant for another disease, if current."),
    _exposure("nonsteroid_is_days_ever", "Longest course ever of a non-steroid immunosuppressant, other disease."),
    _exposure("steroid_days", "Days on a systemic steroid for another disease, if current.",
              physiologic_replacement_mg=7.5),
    _exposure("steroid_days_ever", "Longest course ever of a systemic steroid for another disease.",
              physiologic_replacement_mg=7.5),
    _dose("steroid_mg_day_mean", "Mean prednisone-equivalent dose over the days of the last 28 with exposure."),
    _dose("steroid_mg_day_current", "Prednisone-equivalent dose on the index date."),
    _dose("steroid_mg_day_max", "Highest prednisone-equivalent dose in the last 28 days."),
    _dose("steroid_mg_day_max_ever", "Highest prednisone-equivalent dose ever, long-term courses.",
          bridge_gap_days=7),
)  # fmt: skip

STEPS = (
    BuildStep("assessments", build_function), BuildStep("infections", build_infections),
    BuildStep("reproduction", build_reproduction), BuildStep("medication", build_exposure),
)  # fmt: skip

GENERAL = CohortTable((*DEMOGRAPHICS, *BLOOD, *CHEMISTRY, *REPRODUCTION, *HEART, *INFECTION, *IMMUNOSUPPRESSION), STEPS)
"""Every column of general medicine."""
