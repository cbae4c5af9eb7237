"""NCT03057977: EMPEROR-Reduced, empagliflozin in chronic heart failure with reduced ejection fraction.

A trial file as somebody outside this project would write it: its own columns, its own criteria, nothing of the
package's own trials. Load it by its path, or install the folder and load it as "NCT03057977".

Which text is quoted: ``ELIGIBILITY`` below is this project's own summary, in our words. It is neither the registry's
wording nor that of a publication, and it must be replaced by the registered text before anybody relies on the
quotations (then every criterion's quotation is checked against it, as it is checked against the summary now). The
summary was made from
[T] the table "Inclusion/exclusion criteria" of PMC7434820 (Table 1), for every clause but those that follow;
[R] the registered text as clinicaltrialexchange.com shows it for NCT03057977, for Japan (I1) and consent (I7);
[L] the sponsor's listing at centerwatch.com (no. 149507), for the body mass index (E9) and the six months of I3.
[R] says that further criteria apply, which are not public there: this is no complete protocol.

Docstrings are our reading of each clause. The public texts give no look-back for laboratory values and vital signs
(they were measured at the screening visit), so every ``max_days_since_*`` here is our assumption.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from feasibility.cohort.common import GENERAL
from feasibility.cohort.schema import CohortTable, Column
from feasibility.kleene import at_least_k_of, only_if, when
from feasibility.protocol.criterion import Beta, exclusion, inclusion, not_assessable
from feasibility.protocol.protocol import Protocol

ELIGIBILITY = """\
Inclusion Criteria:

1. Age of 18 years or more at screening; in Japan, of 20 years or more.
2. Chronic heart failure, present for 3 months or longer, in NYHA class II, III or IV.
3. Left ventricular ejection fraction (EF) reduced to 40% or lower, obtained within 6 months.
4. NT-proBNP raised, the limit depending on EF and on atrial fibrillation or flutter (AF):
   EF 36% to 40%: 2500 pg/mL or more without AF, 5000 pg/mL or more with AF;
   EF 31% to 35%: 1000 pg/mL or more without AF, 2000 pg/mL or more with AF;
   EF 30% or lower: 600 pg/mL or more without AF, 1200 pg/mL or more with AF;
   EF 40% or lower and in hospital for heart failure within 12 months: as for EF 30% or lower.
5. Heart failure drugs at doses that suit the guidelines, unchanged for 1 week or longer.
6. Devices (defibrillator, resynchronisation) used as the guidelines advise.
7. Written informed consent.

Exclusion Criteria:

1. In the last 90 days: myocardial infarction; bypass or other major cardiovascular surgery; stroke or TIA.
2. A transplanted heart, or a place on the waiting list for one.
3. Acutely decompensated heart failure.
4. Systolic blood pressure of 180 mmHg or more; or of 100 mmHg or less, or hypotension with symptoms.
5. Signs of liver disease.
6. eGFR below 20 mL/min/1.73 m2, or dialysis.
7. Ketoacidosis at any time.
8. An SGLT2 inhibitor, now or at any time before.
9. Body mass index above 45 kg/m2.
10. Enrolment in a study of another investigational drug or device.
11. Hypersensitivity to empagliflozin or another SGLT2 inhibitor.
12. Women who are pregnant, or who plan a pregnancy.
"""

# --- the patient table -------------------------------------------------------------------------------------------

INF = float("inf")
OBSERVED = "no record in a patient observed in the 12 months before the index date means it did not happen"
OURS = "our declaration"


def _measured(name, doc, unit, hard, *, dated="days", events="labs", **more):
    """The latest value, whatever its age: the criterion's look-back says how old it may be."""
    return Column(name=name, dtype="Float64", doc=doc, unit=unit, hard=hard, dated=dated, events=events,
                  window="latest before the index date", source=OURS, **more)  # fmt: skip


def _since(name, doc, unit="d", **more):
    """Time since the last event of a kind; never (inf) where none is on record."""
    return Column(name=name, dtype="Float64", doc=doc, unit=unit, hard=(0, INF), absence="closed", why=OBSERVED,
                  source=OURS, **more)  # fmt: skip


def _ever(name, doc, **more):
    return Column(name=name, dtype="boolean", doc=doc, absence="closed", why=OBSERVED, source=OURS, **more)


HEART_FAILURE = (
    Column(name="country", dtype="string", doc="Country of the site, ISO 3166 (JP, DE, CN).", stratum=True,
           codes={"Japan": "JP", "日本": "JP"}, source=OURS),
    Column(name="months_since_hf_diagnosis", dtype="Float64", unit="mo", hard=(0, 1200), events="diagnoses",
           doc="Calendar months since heart failure was first diagnosed; blank without heart failure, not 'never'.",
           source=OURS),
    _measured("lvef_pct", "Latest left ventricular ejection fraction, any method.", "%", (5, 90), dated="months",
              units={"1": 100}, soft=(10, 75), events="echo"),
    _measured("nt_probnp_pg_ml", "N-terminal pro-B-type natriuretic peptide.", "pg/mL", (0, 350_000),
              units={"ng/L": 1, "pmol/L": 8.457, "ng/mL": 1000}, soft=(5, 35_000)),
    _ever("af_ever", "Atrial fibrillation or flutter ever diagnosed.", events="diagnoses"),
    Column(name="af_on_ecg", dtype="boolean", dated="days", events="ecg", source=OURS,
           doc="Atrial fibrillation or flutter on the latest electrocardiogram."),
    _since("months_since_hf_stay", "Calendar months since discharge from the last hospital stay for heart failure.",
           unit="mo", events="encounters"),
    _since("days_since_hf_drug_change", "Days since the last change of a heart failure drug or its dose.",
           events="medications"),
    _since("days_since_iv_hf_therapy", "Days since the last intravenous diuretic, vasodilator or inotrope.",
           events="medications"),
)  # fmt: skip

EVENTS = (
    _since("days_since_mi", "Days since the last myocardial infarction.", events="diagnoses"),
    _since("days_since_cv_surgery", "Days since bypass or other major cardiovascular surgery.", events="procedures"),
    _since("days_since_stroke_or_tia", "Days since the last stroke or transient ischaemic attack.",
           events="diagnoses"),
    _ever("heart_transplant", "A heart was transplanted.", events="procedures"),
    _ever("heart_transplant_listed", "On the waiting list for a heart.", events="procedures"),
    _ever("dialysis", "On chronic dialysis.", events="procedures"),
    _ever("ketoacidosis_ever", "Ketoacidosis ever diagnosed.", events="diagnoses"),
    _since("months_since_sglt2_inhibitor", "Calendar months since an SGLT2 inhibitor was last taken; 0 while it is.",
           unit="mo", events="medications"),
    Column(name="sglt2_hypersensitivity", dtype="boolean", absence="closed", events="allergies", source=OURS,
           why="an allergy list that has any row or 'reviewed' is complete",
           doc="Hypersensitivity to an SGLT2 inhibitor."),
)  # fmt: skip

STATE = (
    _measured("sbp_mmhg", "Systolic blood pressure, seated.", "mm[Hg]", (40, 300), units={"mmHg": 1, "kPa": 7.50062},
              soft=(70, 220), events="vitals"),
    Column(name="symptomatic_hypotension", dtype="boolean", events="diagnoses", source=OURS,
           doc="Low blood pressure with symptoms is documented as present, or as absent."),
    _measured("egfr_ml_min", "Estimated glomerular filtration rate (CKD-EPI).", "mL/min/{1.73_m2}", (0, 200),
              units={"mL/min/1.73 m2": 1}),
    _measured("bmi_kg_m2", "Body mass index.", "kg/m2", (8, 120), soft=(14, 60), events="vitals"),
    _measured("alp_x_uln", "Alkaline phosphatase over the upper limit of its own report.", "1", (0, 100),
              upper_limit=True),
)  # fmt: skip

columns = (
    GENERAL.select([
        "synthetic", "site_id", "age_years", "sex", "heart_failure", "nyha_class", "ast_x_uln", "alt_x_uln",
        "childbearing_potential", "pregnancy_test", "pregnant",
    ])
    | CohortTable((*HEART_FAILURE, *EVENTS, *STATE))
)  # fmt: skip
"""General columns that mean exactly the same here, and the trial's own."""

# --- inclusion ---------------------------------------------------------------------------------------------------


@inclusion("I1", "Age of 18 years or more at screening; in Japan, of 20 years or more.")
def age(
    age_years, country, *, min_age: Annotated[float, "a"] = 18, min_age_japan: Annotated[float, "a"] = 20
):  # fmt: skip
    """Completed years; at 20 or more the country does not matter, so an unknown one does no harm."""
    return when(country == "JP", age_years >= min_age_japan, age_years >= min_age)


@inclusion("I2.1", "Chronic heart failure, present for 3 months or longer")
def chronic_heart_failure(
    heart_failure, months_since_hf_diagnosis, *, min_hf_months: Annotated[float, "mo"] = 3
):  # fmt: skip
    """First diagnosed at least three calendar months before the index date, the day itself included."""
    return heart_failure & (months_since_hf_diagnosis >= min_hf_months)


@inclusion("I2.2", "in NYHA class II, III or IV.")
def symptoms(
    nyha_class, months_since_nyha_class, *,
    min_nyha_class: int = 2, max_nyha_class: int = 4, max_months_since_nyha_class: Annotated[float, "mo"] = 6,
):  # fmt: skip
    """The latest class, not older than six months (our assumption)."""
    inside = (nyha_class >= min_nyha_class) & (nyha_class <= max_nyha_class)
    return only_if(months_since_nyha_class <= max_months_since_nyha_class, inside)


@inclusion("I3", "Left ventricular ejection fraction (EF) reduced to 40% or lower, obtained within 6 months.")
def ejection_fraction(
    lvef_pct, months_since_lvef_pct, *,
    max_lvef: Annotated[float, "%"] = 40, max_months_since_lvef: Annotated[float, "mo"] = 6,
):  # fmt: skip
    """The latest measurement, 40 % included; an older one says nothing about today."""
    return only_if(months_since_lvef_pct <= max_months_since_lvef, lvef_pct <= max_lvef)


def up_to_band(lvef, recent, *, top, fractional_lvef):
    """An ejection fraction of this band or a lower one. The bands are whole percents, so 35.5 lies in a gap."""
    return only_if(recent, lvef <= top if fractional_lvef == "upper_band" else lvef < top + 1)


def reaches(nt_probnp, af, *, minimum, factor):
    """At or above the limit, which atrial fibrillation multiplies; decided without the rhythm where both agree."""
    return when(af, nt_probnp >= factor * minimum, nt_probnp >= minimum)


@inclusion("I4", "NT-proBNP raised, the limit depending on EF and on atrial fibrillation or flutter (AF):")
def nt_probnp(
    nt_probnp_pg_ml, days_since_nt_probnp_pg_ml, lvef_pct, months_since_lvef_pct, af_ever, af_on_ecg,
    months_since_hf_stay,
    *,
    min_nt_probnp_high: Annotated[float, "pg/mL"] = 2500,
    min_nt_probnp_mid: Annotated[float, "pg/mL"] = 1000,
    min_nt_probnp_low: Annotated[float, "pg/mL"] = 600,
    min_af_factor: Annotated[float, "x"] = 2,
    max_lvef_mid_band: Annotated[float, "%"] = 35,
    max_lvef_low_band: Annotated[float, "%"] = 30,
    max_hf_stay_months: Annotated[float, "mo"] = 12,
    af_means: Literal["history", "rhythm"] = "history",
    fractional_lvef: Literal["upper_band", "lower_band"] = "upper_band",
    max_days_since_nt_probnp: Annotated[float, "d"] = 90,
    max_months_since_lvef: Annotated[float, "mo"] = 6,
):  # fmt: skip
    """A ladder: who reaches the limit of a higher band needs no lower one, so only what matters must be known.

    Above 40 % only I3 decides: the highest limit goes on, and a recent hospital stay still lowers it. "With AF" is
    read as AF ever (the text asks for no electrocardiogram, and the higher limit is the cautious one) or, as a
    reading, AF on the latest electrocardiogram, whatever its age. An EF between two bands (35.5 %) counts as the
    upper one, the stricter limit. A stay exactly twelve months ago counts.
    """
    recent = months_since_lvef_pct <= max_months_since_lvef
    low = up_to_band(lvef_pct, recent, top=max_lvef_low_band, fractional_lvef=fractional_lvef)
    mid = up_to_band(lvef_pct, recent, top=max_lvef_mid_band, fractional_lvef=fractional_lvef)
    af = af_ever if af_means == "history" else af_on_ecg
    raised = ladder(
        nt_probnp_pg_ml, af, low | (months_since_hf_stay <= max_hf_stay_months), mid, factor=min_af_factor,
        low_limit=min_nt_probnp_low, mid_limit=min_nt_probnp_mid, high_limit=min_nt_probnp_high,
    )  # fmt: skip
    return only_if(days_since_nt_probnp_pg_ml <= max_days_since_nt_probnp, raised)


def ladder(nt_probnp, af, low, mid, *, factor, low_limit, mid_limit, high_limit):
    """The highest limit is enough for everybody, a lower one only for those on its rung."""
    lowest = low & reaches(nt_probnp, af, minimum=low_limit, factor=factor)
    middle = mid & reaches(nt_probnp, af, minimum=mid_limit, factor=factor)
    return lowest | middle | reaches(nt_probnp, af, minimum=high_limit, factor=factor)


@inclusion("I5.1", "unchanged for 1 week or longer.")
def stable_medication(days_since_hf_drug_change, *, min_stable_days: Annotated[float, "d"] = 7):
    """No heart failure drug started, stopped or changed in dose; a change exactly a week ago is settled."""
    return days_since_hf_drug_change >= min_stable_days


guideline_doses = not_assessable(
    "I5.2", "guideline_doses", "inclusion", "Heart failure drugs at doses that suit the guidelines",
    rate=Beta(18, 2), source="our assumption: 90 %; tolerated doses are a judgement, no table states the reason",
)  # fmt: skip

guideline_devices = not_assessable(
    "I6", "guideline_devices", "inclusion", "Devices (defibrillator, resynchronisation) used as the guidelines advise.",
    rate=Beta(19, 1), source="our assumption: 95 %; needs the electrocardiogram and the patient's refusal",
)  # fmt: skip

consent = not_assessable(
    "I7", "consent", "inclusion", "Written informed consent.",
    rate=Beta(6, 4), source="our assumption: 60 % of those asked",
)  # fmt: skip

# --- exclusion ---------------------------------------------------------------------------------------------------


@exclusion("E1.1", "In the last 90 days: myocardial infarction")
def recent_infarction(days_since_mi, *, min_event_free_days: Annotated[float, "d"] = 90):
    """The ninetieth day is still excluded; the three kinds of event share one limit."""
    return days_since_mi <= min_event_free_days


@exclusion("E1.2", "bypass or other major cardiovascular surgery")
def recent_surgery(days_since_cv_surgery, *, min_event_free_days: Annotated[float, "d"] = 90):
    """The ninetieth day is still excluded; stents are no surgery."""
    return days_since_cv_surgery <= min_event_free_days


@exclusion("E1.3", "stroke or TIA.")
def recent_stroke(days_since_stroke_or_tia, *, min_event_free_days: Annotated[float, "d"] = 90):
    """The ninetieth day is still excluded."""
    return days_since_stroke_or_tia <= min_event_free_days


@exclusion("E2", "A transplanted heart, or a place on the waiting list for one.")
def transplant(heart_transplant, heart_transplant_listed):
    """Either; no time limit is stated."""
    return heart_transplant | heart_transplant_listed


@exclusion("E3", "Acutely decompensated heart failure.")
def decompensated(days_since_iv_hf_therapy, *, min_compensated_days: Annotated[float, "d"] = 7):
    """Our proxy: intravenous diuretic, vasodilator or inotrope within the last week (our assumption)."""
    return days_since_iv_hf_therapy < min_compensated_days


@exclusion("E4.1", "Systolic blood pressure of 180 mmHg or more")
def hypertension(
    sbp_mmhg, days_since_sbp_mmhg, *,
    max_sbp: Annotated[float, "mm[Hg]"] = 180, max_days_since_sbp: Annotated[float, "d"] = 90,
):  # fmt: skip
    """180 itself excludes."""
    return only_if(days_since_sbp_mmhg <= max_days_since_sbp, sbp_mmhg >= max_sbp)


@exclusion("E4.2", "or of 100 mmHg or less, or hypotension with symptoms.")
def hypotension(
    sbp_mmhg, days_since_sbp_mmhg, symptomatic_hypotension, *,
    min_sbp: Annotated[float, "mm[Hg]"] = 100, max_days_since_sbp: Annotated[float, "d"] = 90,
):  # fmt: skip
    """100 itself excludes; symptoms exclude at any pressure."""
    return symptomatic_hypotension | only_if(days_since_sbp_mmhg <= max_days_since_sbp, sbp_mmhg <= min_sbp)


@exclusion("E5", "Signs of liver disease.")
def liver(
    ast_x_uln, days_since_ast_x_uln, alt_x_uln, days_since_alt_x_uln, alp_x_uln, days_since_alp_x_uln, *,
    max_liver_enzyme: Annotated[float, "x ULN"] = 3,
    max_raised_enzymes: int = 0,
    max_days_since_liver: Annotated[float, "d"] = 90,
):  # fmt: skip
    """AST, ALT or alkaline phosphatase above 3 x ULN: our reading, after the wording of similar trials.

    ``max_raised_enzymes`` (0 to 2) is how many of the three an eligible patient may have raised.
    """
    ast = only_if(days_since_ast_x_uln <= max_days_since_liver, ast_x_uln > max_liver_enzyme)
    alt = only_if(days_since_alt_x_uln <= max_days_since_liver, alt_x_uln > max_liver_enzyme)
    alp = only_if(days_since_alp_x_uln <= max_days_since_liver, alp_x_uln > max_liver_enzyme)
    return at_least_k_of(max_raised_enzymes + 1, ast, alt, alp)


@exclusion("E6", "eGFR below 20 mL/min/1.73 m2, or dialysis.")
def kidney(
    egfr_ml_min, days_since_egfr_ml_min, dialysis, *,
    min_egfr: Annotated[float, "mL/min/{1.73_m2}"] = 20, max_days_since_egfr: Annotated[float, "d"] = 90,
):  # fmt: skip
    """Strictly below 20; dialysis excludes whatever the estimate says."""
    return dialysis | only_if(days_since_egfr_ml_min <= max_days_since_egfr, egfr_ml_min < min_egfr)


@exclusion("E7", "Ketoacidosis at any time.")
def ketoacidosis(ketoacidosis_ever):
    """Ever, of any cause."""
    return ketoacidosis_ever


@exclusion("E8", "An SGLT2 inhibitor, now or at any time before.")
def sglt2_inhibitor(months_since_sglt2_inhibitor, *, min_sglt2_free_months: Annotated[float, "mo"] = math.inf):
    """Ever taken excludes: the interval asked for is endless. 3 would be a washout of three months."""
    return months_since_sglt2_inhibitor < min_sglt2_free_months


@exclusion("E9", "Body mass index above 45 kg/m2.")
def obesity(
    bmi_kg_m2, days_since_bmi_kg_m2, *,
    max_bmi: Annotated[float, "kg/m2"] = 45, max_days_since_bmi: Annotated[float, "d"] = 365,
):  # fmt: skip
    """Strictly above 45; a weight of the last year will do (our assumption)."""
    return only_if(days_since_bmi_kg_m2 <= max_days_since_bmi, bmi_kg_m2 > max_bmi)


other_study = not_assessable(
    "E10", "other_study", "exclusion", "Enrolment in a study of another investigational drug or device.",
    rate=Beta(19, 1), source="our assumption: 5 % take part in another study",
)  # fmt: skip


@exclusion("E11", "Hypersensitivity to empagliflozin or another SGLT2 inhibitor.")
def hypersensitivity(sglt2_hypersensitivity):
    """Any recorded hypersensitivity to the class."""
    return sglt2_hypersensitivity


@exclusion("E12.1", "Women who are pregnant")
def pregnancy(pregnant):
    """Pregnant at the index date."""
    return pregnant


planned_pregnancy = not_assessable(
    "E12.2", "planned_pregnancy", "exclusion", "or who plan a pregnancy.",
    rate=Beta(199, 1), source="our assumption: 0.5 %; few patients are women of childbearing age",
)  # fmt: skip

protocol = Protocol(
    id="NCT03057977",
    title="EMPEROR-Reduced: Empagliflozin in Chronic Heart Failure with Reduced Ejection Fraction",
    criteria=(
        age, chronic_heart_failure, symptoms, ejection_fraction, nt_probnp, stable_medication, guideline_doses,
        guideline_devices, consent,
        recent_infarction, recent_surgery, recent_stroke, transplant, decompensated, hypertension, hypotension, liver,
        kidney, ketoacidosis, sglt2_inhibitor, obesity, other_study, hypersensitivity, pregnancy, planned_pregnancy,
    ),
    eligibility_text=ELIGIBILITY,
    columns=columns,
    source="Our summary of PMC7434820 Table 1, clinicaltrialexchange.com and centerwatch.com; not the registered text",
    verbatim=False,
)  # fmt: skip
