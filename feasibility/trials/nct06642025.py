"""NCT06642025: EX02 CAR-T cells in relapsed or refractory acute myeloid leukaemia (Hefei, early phase 1, N = 9).

Each criterion quotes the registered text; its docstring is our reading of it. Where the wording leaves a choice, the
choice is a reading (a named parameter) with the default argued here. Sources: the clinical specification of this
project and the Chinese relapsed/refractory AML guideline list as quoted by the sibling trial NCT06347458.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Annotated, Literal

from feasibility.kleene import is_in, only_if, when
from feasibility.protocol.criterion import Beta, exclusion, inclusion, not_assessable
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario
from feasibility.trials.aml import AML_COLUMNS, REMISSION

ResponseFloor = Literal["no_cr_cri", "literal_no_response", "mlfs_is_response"]
ControlledScope = Literal["other_infections", "all"]

# --- I1 disease ------------------------------------------------------------------------------------------------


@inclusion("I1.1", "patients diagnosed with acute myeloid leukemia (AML)")
def aml(aml_subtype, *, include_apl: bool = False, include_mpal: bool = False):
    """AML by WHO/ICC, not promyelocytic: the guideline the clause names is titled "(not APL)"."""
    other = ((aml_subtype == "apl") & include_apl) | ((aml_subtype == "mpal") & include_mpal)
    return (aml_subtype == "aml_non_apl") | other


def no_response(best_response, *, response_floor):
    """Nothing that counts as a response: by default only CR, CRh and CRi do (ELN 2017); literally, MLFS and PR too."""
    more = {"no_cr_cri": (), "literal_no_response": ("MLFS", "PR"), "mlfs_is_response": ("MLFS",)}
    return ~is_in(best_response, (*REMISSION, *more[response_floor]))


def refractory_route_1(n_courses, cr_ever, best_response_induction, *, min_induction_courses, response_floor):
    """Two induction courses and never a remission; under the default floor the remission history alone decides."""
    enough = n_courses >= min_induction_courses
    if response_floor == "no_cr_cri":
        return enough & ~cr_ever
    return enough & ~cr_ever & no_response(best_response_induction, response_floor=response_floor)


def consolidated(n_consolidation_courses, consolidation_failed, *, consolidation):
    """ "Failure of consolidation therapy": consolidation given and the relapse came all the same."""
    if consolidation == "documented_failure":
        return (n_consolidation_courses >= 1) & consolidation_failed
    return n_consolidation_courses >= 1


def refractory_routes_2_and_3(
    early, late, relapsed, consolidated, consolidation_failed, salvage_failed, *, consolidation
):
    """Relapse within 12 months despite consolidation, or later and resistant to salvage.

    A case split: when the time to relapse is unknown, a patient who was consolidated *and* resisted salvage still
    satisfies one of the two routes, whichever it is. Counting from the end of consolidation changes nothing in that:
    consolidation ends after remission, so a relapse that is not early is late.
    """
    if consolidation == "ignore":
        return relapsed & (early | salvage_failed)
    if consolidation == "independent_or":
        return relapsed & (early | consolidation_failed | salvage_failed)
    return relapsed & ((early & consolidated) | (late & salvage_failed) | (consolidated & salvage_failed))


def refractory_route_5(em_active, days_since_em_active, em_ever, n_prior_courses, *, extramedullary, max_days):
    """Extramedullary leukaemia; "persistent" in the guideline, so after at least one systemic course."""
    if extramedullary == "off":
        return em_ever & False
    if extramedullary == "ever":
        return em_ever
    active = only_if(days_since_em_active <= max_days, em_active)
    return active & (n_prior_courses >= 1) if extramedullary == "persistent" else active


@inclusion(
    "I1.2",
    "meeting the diagnostic criteria for refractory AML are eligible, including: initial treatment cases with no "
    "response after two courses of standard therapy; relapse within 12 months after achieving complete remission (CR) "
    "and failure of consolidation therapy; relapse after 12 months with no response to conventional chemotherapy; two "
    "or more relapses; and presence of extramedullary leukemia.",
)
def refractory(
    n_induction_courses, n_induction_courses_intensive, n_induction_courses_any, cr_ever, best_response_induction,
    n_relapses, n_consolidation_courses, consolidation_failed,
    months_from_cr_to_relapse, months_from_first_cr_to_first_relapse, shortest_months_from_cr_to_relapse,
    months_from_consolidation_to_relapse, months_from_first_consolidation_to_first_relapse,
    shortest_months_from_consolidation_to_relapse,
    n_salvage_courses, best_response_salvage, em_active, days_since_em_active, em_ever, n_prior_courses,
    *,
    min_induction_courses: int = 2,
    induction_intensity: Literal["intensive_or_ven_hma", "intensive_only", "any"] = "intensive_or_ven_hma",
    response_floor: ResponseFloor = "no_cr_cri",
    early_relapse_months: Annotated[float, "mo"] = 12,
    consolidation: Literal[
        "received_before_relapse", "ignore", "documented_failure", "independent_or"
    ] = "received_before_relapse",
    relapse_anchor: Literal["cr_date", "end_of_consolidation"] = "cr_date",
    which_relapse: Literal["latest", "any", "first"] = "latest",
    min_salvage_courses: Annotated[int, "", "ours"] = 1,
    min_relapses: int = 2,
    extramedullary: Literal["persistent", "active_any", "ever", "off"] = "persistent",
    max_days_since_em_active: Annotated[float, "d"] = 56,
):  # fmt: skip
    """Any one of the guideline's five routes; the list is an OR (our reading, after the sibling trials' wording).

    1 primary refractory, 2 relapse within 12 months of remission despite consolidation, 3 later relapse that resists
    salvage, 4 two or more relapses, 5 persistent extramedullary disease. "Within 12 months" includes the last day.
    ``relapse_anchor`` and ``which_relapse`` are readings of route 2; route 3 counts from the last remission.
    """
    n_courses = {
        "intensive_or_ven_hma": n_induction_courses,
        "intensive_only": n_induction_courses_intensive,
        "any": n_induction_courses_any,
    }[induction_intensity]
    months = {
        ("cr_date", "latest"): months_from_cr_to_relapse,
        ("cr_date", "first"): months_from_first_cr_to_first_relapse,
        ("cr_date", "any"): shortest_months_from_cr_to_relapse,
        ("end_of_consolidation", "latest"): months_from_consolidation_to_relapse,
        ("end_of_consolidation", "first"): months_from_first_consolidation_to_first_relapse,
        ("end_of_consolidation", "any"): shortest_months_from_consolidation_to_relapse,
    }[relapse_anchor, which_relapse]
    route_1 = refractory_route_1(
        n_courses, cr_ever, best_response_induction,
        min_induction_courses=min_induction_courses, response_floor=response_floor,
    )  # fmt: skip
    salvage_failed = (n_salvage_courses >= min_salvage_courses) & no_response(
        best_response_salvage, response_floor=response_floor
    )
    routes_2_and_3 = refractory_routes_2_and_3(
        months <= early_relapse_months, months_from_cr_to_relapse > early_relapse_months, n_relapses >= 1,
        consolidated(n_consolidation_courses, consolidation_failed, consolidation=consolidation),
        consolidation_failed, salvage_failed, consolidation=consolidation,
    )  # fmt: skip
    route_4 = n_relapses >= min_relapses
    route_5 = refractory_route_5(
        em_active, days_since_em_active, em_ever, n_prior_courses,
        extramedullary=extramedullary, max_days=max_days_since_em_active,
    )  # fmt: skip
    return route_1 | routes_2_and_3 | route_4 | route_5


@inclusion("I1.3", "meeting the diagnostic criteria for refractory AML")
def active_leukemia(disease_status, *, require_active: bool = True, mrd_counts_active: bool = False):
    """Our addition: not in remission now. Clause I2 asks for leukaemic cells that carry the antigen, so they must be
    there."""
    active = is_in(disease_status, ("primary_refractory", "relapsed", "active"))
    if not require_active:
        return active | True
    return active | ((disease_status == "mrd_only") & mrd_counts_active)


ex02_antigen = not_assessable(
    "I2", "ex02_antigen", "inclusion",
    "Peripheral blood, bone marrow, or extramedullary lesion specimens showing leukemia cells with positive surface "
    "expression of EX02;",
    rate=Beta(8, 2),
    source="CD33 87.8 %, CD123 78.9 %, CLL-1 86.5 % of adult AML; sensitivity 0.40 to 0.95",
)  # fmt: skip


@inclusion("I2", "leukemia cells with positive surface expression of EX02")
def ex02_measured(
    ex02_positive, ex02_percent, days_since_ex02_positive,
    *,
    antigen_cutoff: Literal["as_reported", "percent"] = "as_reported",
    min_ex02_percent: Annotated[float, "%", "ours"] = 20,
    max_days_since_ex02_positive: Annotated[float, "d"] = math.inf,
):  # fmt: skip
    """Optional, for a site that measures the antigen: ``protocol.adding(ex02_measured)`` replaces the assumption.

    The text states no cut-off; sibling trials ask for 20 % or 50 % of blasts.
    """
    positive = ex02_positive if antigen_cutoff == "as_reported" else ex02_percent >= min_ex02_percent
    return only_if(days_since_ex02_positive <= max_days_since_ex02_positive, positive)


# --- I3 to I7 --------------------------------------------------------------------------------------------------


@inclusion("I3", "ECOG performance status score of 0-2;")
def ecog_performance(ecog, days_since_ecog, *, max_ecog: int = 2, max_days_since_ecog: Annotated[float, "d"] = 28):
    """Latest score of the last 28 days, both ends of 0 to 2 included."""
    return only_if(days_since_ecog <= max_days_since_ecog, ecog <= max_ecog)


@inclusion("I4", "Age ≥18 and ≤70 years, any gender;")
def age(
    age_years, age_exact_years, *,
    min_age: Annotated[float, "a"] = 18,
    max_age: Annotated[float, "a"] = 70,
    age_upper: Literal["completed_years", "exact_birthday"] = "completed_years",
):  # fmt: skip
    """Completed years, both inclusive: eligible until the day before the 71st birthday."""
    upper = age_years if age_upper == "completed_years" else age_exact_years
    return (age_years >= min_age) & (upper <= max_age)


def free_of_transfusion(mask, days_since_transfusion, *, transfusion_rule, min_days):
    """A transfusion-free interval is not in the text; the reading adds one."""
    return mask if transfusion_rule == "ignored" else mask & (days_since_transfusion >= min_days)


@inclusion("I5.1", "hemoglobin > 60g/L")
def hemoglobin(
    hemoglobin_g_l, days_since_hemoglobin_g_l, days_since_rbc_transfusion, *,
    min_hemoglobin: Annotated[float, "g/L"] = 60,
    max_days_since_hemoglobin: Annotated[float, "d"] = 14,
    transfusion_rule: Literal["ignored", "transfusion_free"] = "ignored",
    min_transfusion_free_days: Annotated[float, "d", "ours"] = 7,
):  # fmt: skip
    """Strictly above, latest value of the last 14 days; a transfusion before it is not held against it."""
    enough = only_if(days_since_hemoglobin_g_l <= max_days_since_hemoglobin, hemoglobin_g_l > min_hemoglobin)
    return free_of_transfusion(
        enough, days_since_rbc_transfusion, transfusion_rule=transfusion_rule, min_days=min_transfusion_free_days
    )


@inclusion("I5.2", "normal T lymphocyte count (CD3+) > 0.5×10^9/L")
def t_lymphocytes(
    cd3_10e9_l, days_since_cd3_10e9_l, *,
    min_cd3: Annotated[float, "10*9/L"] = 0.5,
    max_days_since_cd3: Annotated[float, "d"] = 14,
):  # fmt: skip
    """Strictly above, latest value of the last 14 days; "normal" read as the CD3+ count itself.

    Where it was not measured, lymphocytes at or below 0.5 already decide it, unless more than 5 % of the blood cells
    are blasts, which analysers count among them.
    """
    return only_if(days_since_cd3_10e9_l <= max_days_since_cd3, cd3_10e9_l > min_cd3)


@inclusion("I5.3", "platelet count > 30×10^9/L;")
def platelets(
    platelets_10e9_l, days_since_platelets_10e9_l, days_since_platelet_transfusion, *,
    min_platelets: Annotated[float, "10*9/L"] = 30,
    max_days_since_platelets: Annotated[float, "d"] = 14,
    transfusion_rule: Literal["ignored", "transfusion_free"] = "ignored",
    min_transfusion_free_days: Annotated[float, "d", "ours"] = 7,
):  # fmt: skip
    """Strictly above, latest value of the last 14 days; a transfusion before it is not held against it."""
    enough = only_if(days_since_platelets_10e9_l <= max_days_since_platelets, platelets_10e9_l > min_platelets)
    return free_of_transfusion(
        enough, days_since_platelet_transfusion, transfusion_rule=transfusion_rule, min_days=min_transfusion_free_days
    )


@inclusion("I6.1", "Negative pregnancy test for women of childbearing potential before the start of the trial")
def pregnancy_test_negative(
    childbearing_potential, pregnancy_test, days_since_pregnancy_test, *,
    max_days_since_pregnancy_test: Annotated[float, "d"] = 14,
):  # fmt: skip
    """Asked of women of childbearing potential only; everyone else satisfies it."""
    negative = only_if(days_since_pregnancy_test <= max_days_since_pregnancy_test, pregnancy_test == "negative")
    return ~childbearing_potential | negative


contraception = not_assessable(
    "I6.2", "contraception", "inclusion",
    "agreement to use effective contraception measures during the trial until the final follow-up; male participants "
    "of reproductive potential agreeing to use effective contraception measures during the trial until the final "
    "follow-up;",
    rate=Beta(98, 2), source="recalled from practice; agreement is nearly universal after counselling",
)  # fmt: skip

consent = not_assessable(
    "I7", "consent", "inclusion",
    "Voluntary participation in this clinical study: after fully understanding the study content, voluntary signing of "
    "the informed consent form, and commitment to complete all trial procedures and activities.",
    rate=Beta(7, 3),
    source='"not interested" 23 % of AML/MDS screen failures; "declining" 22 % in an LMIC centre\'s 15 trials',
)  # fmt: skip

# --- E1 infection ----------------------------------------------------------------------------------------------


def uncontrolled(infection, controlled, *, controlled_scope):
    """ "Not yet controlled" governs only the other infections by default: an active hepatitis excludes as such."""
    return infection & ~controlled if controlled_scope == "all" else infection


@exclusion("E1.1", "Active hepatitis A")
def hepatitis_a(
    months_since_hav_igm_positive, months_since_hepatitis_a, viral_infection_controlled, *,
    min_months_since_hepatitis_a: Annotated[float, "mo", "ours"] = 6,
    controlled_scope: ControlledScope = "other_infections",
):  # fmt: skip
    """Reactive IgM or a diagnosis in the last 6 months; total antibody means immunity and is not read."""
    by_test = months_since_hav_igm_positive <= min_months_since_hepatitis_a
    active = by_test | (months_since_hepatitis_a <= min_months_since_hepatitis_a)
    return uncontrolled(active, viral_infection_controlled, controlled_scope=controlled_scope)


@exclusion("E1.2", "Active hepatitis A, B")
def hepatitis_b(
    hbv_dna_iu_ml, hbsag, anti_hbc, viral_infection_controlled, *,
    hepatitis_b_rule: Literal["dna", "hbsag", "hbsag_or_anti_hbc"] = "dna",
    max_hbv_dna: Annotated[float, "[IU]/mL", "ours"] = 20,
    controlled_scope: ControlledScope = "other_infections",
):  # fmt: skip
    """DNA at or above 20 IU/mL, whatever the serology; a carrier without DNA is not active. Not measured because HBsAg
    and anti-HBc are negative reads as none.

    Chinese CAR-T trials also use 200 (``max_hbv_dna=200``) or 2,000 IU/mL, or ask for the antigen or antibody instead
    of the DNA.
    """
    serology = {"hbsag": hbsag, "hbsag_or_anti_hbc": hbsag | anti_hbc}
    active = hbv_dna_iu_ml >= max_hbv_dna if hepatitis_b_rule == "dna" else serology[hepatitis_b_rule]
    return uncontrolled(active, viral_infection_controlled, controlled_scope=controlled_scope)


@exclusion("E1.3", "Active hepatitis A, B, C")
def hepatitis_c(
    hcv_rna_detected, anti_hcv, viral_infection_controlled, *,
    hepatitis_c_rule: Literal["rna", "antibody"] = "rna",
    controlled_scope: ControlledScope = "other_infections",
):  # fmt: skip
    """Detectable RNA; antibody alone may be a cured infection, so without RNA it is unknown."""
    active = hcv_rna_detected if hepatitis_c_rule == "rna" else anti_hcv
    return uncontrolled(active, viral_infection_controlled, controlled_scope=controlled_scope)


@exclusion("E1.4", "HIV infection")
def hiv_infection(
    hiv, hiv_viraemic, viral_infection_controlled, *,
    hiv_rule: Literal["any", "viraemic_only"] = "any",
    controlled_scope: ControlledScope = "other_infections",
):  # fmt: skip
    """Any confirmed HIV infection, treated or not."""
    active = hiv if hiv_rule == "any" else hiv_viraemic
    return uncontrolled(active, viral_infection_controlled, controlled_scope=controlled_scope)


@exclusion("E1.5", "other severe active infections that are not yet controlled;")
def severe_infection(
    active_infection, days_since_active_infection, infection_severe, infection_controlled, *,
    max_days_since_active_infection: Annotated[float, "d"] = 7,
):  # fmt: skip
    """Active, severe (CTCAE grade 3 or more) and not controlled at an assessment of the last 7 days."""
    return only_if(
        days_since_active_infection <= max_days_since_active_infection,
        active_infection & infection_severe & ~infection_controlled,
    )


# --- E2 immunosuppression --------------------------------------------------------------------------------------


@exclusion("E2.1", "History of acquired immune deficiency syndrome (AIDS)")
def aids(aids_history):
    """AIDS ever; no time limit is stated."""
    return aids_history


@exclusion(
    "E2.2",
    "long-term use of immunosuppressants due to other diseases (including steroids, equivalent to prednisone "
    ">15mg/day);",
)
def long_term_immunosuppression(
    nonsteroid_is_days, nonsteroid_is_days_ever, steroid_days, steroid_days_ever,
    steroid_mg_day_mean, steroid_mg_day_current, steroid_mg_day_max, steroid_mg_day_max_ever,
    *,
    max_prednisone: Annotated[float, "mg/d"] = 15,
    max_immunosuppression_days: Annotated[float, "d", "ours"] = 28,
    immunosuppression_timing: Literal["current", "ever"] = "current",
    dose_statistic: Literal["mean", "current", "max"] = "mean",
    dose_scope: Literal["steroids_only", "all"] = "steroids_only",
):  # fmt: skip
    """A non-steroid agent at any dose, or steroids strictly above 15 mg/day prednisone, for 28 days or more.

    For diseases other than the leukaemia and its transplant. The dose limit is read as a limit on steroids; under
    ``dose_scope="all"`` other agents, which have no prednisone equivalent, do not count. "Ever" goes by the highest
    dose on record, whatever ``dose_statistic``.
    """
    doses = {"mean": steroid_mg_day_mean, "current": steroid_mg_day_current, "max": steroid_mg_day_max}
    ever = immunosuppression_timing == "ever"
    dose = steroid_mg_day_max_ever if ever else doses[dose_statistic]
    long_steroid = (steroid_days_ever if ever else steroid_days) >= max_immunosuppression_days
    steroid = long_steroid & (dose > max_prednisone)
    other = (nonsteroid_is_days_ever if ever else nonsteroid_is_days) >= max_immunosuppression_days
    return steroid | other if dose_scope == "steroids_only" else steroid


# --- E3 heart --------------------------------------------------------------------------------------------------


@exclusion("E3.1", "New York Heart Association (NYHA) class III or IV heart failure")
def heart_failure_nyha(
    heart_failure, nyha_class, months_since_nyha_class, nyha_class_worst, *,
    max_nyha_class: int = 2,
    max_months_since_nyha_class: Annotated[float, "mo"] = 12,
    nyha_window: Literal["latest", "ever"] = "latest",
):  # fmt: skip
    """Heart failure with the latest class of the last 12 months above II; without heart failure it does not apply."""
    latest = only_if(months_since_nyha_class <= max_months_since_nyha_class, nyha_class > max_nyha_class)
    return heart_failure & (latest if nyha_window == "latest" else nyha_class_worst > max_nyha_class)


@exclusion("E3.2", "Myocardial infarction or coronary artery bypass surgery within the six months prior to enrollment")
def infarction_or_bypass(
    months_since_mi, months_since_cabg, *, min_months_since_mi_or_cabg: Annotated[float, "mo"] = 6
):
    """Calendar months back from the index date, the day exactly six months before included; stents are not listed."""
    recent_mi = months_since_mi <= min_months_since_mi_or_cabg
    return recent_mi | (months_since_cabg <= min_months_since_mi_or_cabg)


@exclusion("E3.3", "Clinically significant ventricular arrhythmia or unexplained syncope")
def arrhythmia_or_syncope(
    months_since_ventricular_arrhythmia, months_since_unexplained_syncope, *,
    arrhythmia_window: Literal["ever", "12_months", "6_months"] = "ever",
):  # fmt: skip
    """Ever, since the text sets no window: sustained VT, VF, torsades, device shock; syncope without a cause."""
    if arrhythmia_window == "ever":
        return (months_since_ventricular_arrhythmia < math.inf) | (months_since_unexplained_syncope < math.inf)
    months = {"12_months": 12, "6_months": 6}[arrhythmia_window]
    return (months_since_ventricular_arrhythmia <= months) | (months_since_unexplained_syncope <= months)


@exclusion("E3.4", "History of severe non-ischemic cardiomyopathy")
def cardiomyopathy(
    nonischemic_cardiomyopathy, nonischemic_cardiomyopathy_severe, lvef_lowest_ever_pct, *,
    any_severity: bool = False,
    min_lvef_ever: Annotated[float, "%", "ours"] = 35,
):  # fmt: skip
    """Ever, and severe: recorded so, or an ejection fraction at or below 35 % on record."""
    severe = nonischemic_cardiomyopathy_severe | (lvef_lowest_ever_pct <= min_lvef_ever)
    return nonischemic_cardiomyopathy if any_severity else nonischemic_cardiomyopathy & severe


@exclusion(
    "E3.5",
    "History of cardiac dysfunction (left ventricular ejection fraction <45%) within 8 weeks before enrollment;",
)
def low_ejection_fraction(
    lvef_min_pct, days_since_lvef_min_pct, lvef_latest_pct, days_since_lvef_latest_pct, *,
    min_lvef: Annotated[float, "%"] = 45,
    max_days_since_lvef: Annotated[float, "d", "protocol"] = 56,
    lvef_statistic: Literal["min", "latest"] = "min",
):  # fmt: skip
    """Strictly below 45 % at any measurement of the last 56 days; no echocardiogram in that time is unknown."""
    lowest = only_if(days_since_lvef_min_pct <= max_days_since_lvef, lvef_min_pct < min_lvef)
    latest = only_if(days_since_lvef_latest_pct <= max_days_since_lvef, lvef_latest_pct < min_lvef)
    return lowest if lvef_statistic == "min" else latest


# --- E4 to E8 --------------------------------------------------------------------------------------------------


@exclusion("E4.1", "Pregnant or lactating women")
def pregnancy(childbearing_potential, pregnant):
    """Pregnant at the index date; the same fact as the test of I6. Unknown where childbearing potential is unknown."""
    return childbearing_potential & pregnant


@exclusion("E4.2", "lactating women")
def lactation(childbearing_potential, lactating):
    """Breast-feeding at the index date."""
    return childbearing_potential & lactating


unwilling_contraception = not_assessable(
    "E4.3", "unwilling_contraception", "exclusion",
    "participants (both male and female) unwilling to use contraception;",
    rate=Beta(98, 2), source="the same fact as I6.2, counted once", same_as="contraception",
)  # fmt: skip


@exclusion(
    "E5.1",
    "aspartate aminotransferase (AST) and alanine aminotransferase (ALT) levels exceeding 3 times the upper limit of "
    "normal, bilirubin exceeding 3 times the upper limit of normal",
)
def liver(
    ast_x_uln, days_since_ast_x_uln, alt_x_uln, days_since_alt_x_uln,
    bilirubin_x_uln, days_since_bilirubin_x_uln, bilirubin_direct_x_uln, days_since_bilirubin_direct_x_uln, gilbert,
    *,
    max_ast: Annotated[float, "x ULN"] = 3,
    max_alt: Annotated[float, "x ULN"] = 3,
    max_bilirubin: Annotated[float, "x ULN"] = 3,
    max_days_since_liver: Annotated[float, "d"] = 14,
    liver_combination: Literal["any", "ast_and_alt", "hepatic_all"] = "any",
    gilbert_direct: bool = False,
):  # fmt: skip
    """Any of the three strictly above 3 x ULN excludes (the safety reading, and how sibling trials write it).

    ``ast_and_alt`` takes "AST and ALT" literally, ``hepatic_all`` joins bilirubin to them as well.
    """
    ast = only_if(days_since_ast_x_uln <= max_days_since_liver, ast_x_uln > max_ast)
    alt = only_if(days_since_alt_x_uln <= max_days_since_liver, alt_x_uln > max_alt)
    bili = only_if(days_since_bilirubin_x_uln <= max_days_since_liver, bilirubin_x_uln > max_bilirubin)
    if gilbert_direct:
        recent = days_since_bilirubin_direct_x_uln <= max_days_since_liver
        bili = when(gilbert, only_if(recent, bilirubin_direct_x_uln > max_bilirubin), bili)
    if liver_combination == "any":
        return ast | alt | bili
    return (ast & alt) | bili if liver_combination == "ast_and_alt" else ast & alt & bili


@exclusion("E5.2", "serum creatinine ≥ 178 μmol/L (decompensated phase);")
def kidney(
    creatinine_umol_l, days_since_creatinine_umol_l, creatinine_earlier_umol_l, *,
    max_creatinine: Annotated[float, "umol/L"] = 178,
    max_days_since_creatinine: Annotated[float, "d"] = 14,
    creatinine_cause: Literal["any_cause", "chronic_only"] = "any_cause",
):  # fmt: skip
    """178 itself excludes. "Decompensated phase" names the Chinese stage of chronic failure that begins there;
    whatever the cause by default, or with an earlier value as high at least 90 days before."""
    raised = only_if(days_since_creatinine_umol_l <= max_days_since_creatinine, creatinine_umol_l >= max_creatinine)
    return raised if creatinine_cause == "any_cause" else raised & (creatinine_earlier_umol_l >= max_creatinine)


@exclusion("E6", "History of severe allergic reactions to any drugs planned for use in this study;")
def planned_drug_allergy(severe_allergy, severe_allergy_class, *, allergy_match: Literal["agent", "class"] = "agent"):
    """Anaphylaxis, SJS/TEN or CTCAE grade 3 or more to fludarabine, cyclophosphamide, the premedication or DMSO."""
    return severe_allergy if allergy_match == "agent" else severe_allergy | severe_allergy_class


@exclusion(
    "E7",
    "Recipients of hematopoietic stem cell transplantation must have discontinued immunosuppressants for at least 6 "
    "weeks before enrollment and have no signs of graft-versus-host disease;",
)
def transplant_not_settled(
    hsct, days_since_immunosuppressant, gvhd_active, days_since_gvhd_active, gvhd_significant, gvhd_ever, *,
    transplant_reading: Literal[
        "requirement_violated", "literal_exclusion", "inclusion_style"
    ] = "requirement_violated",
    min_washout: Annotated[float, "d"] = 42,
    gvhd_rule: Literal["any_active", "grade_ge2_or_mod_severe", "ever"] = "any_active",
    max_days_since_gvhd: Annotated[float, "d"] = 28,
):  # fmt: skip
    """Worded as a requirement among the exclusions: transplant recipients who do not meet it are excluded.

    Stopped exactly 42 days before is settled. "literal_exclusion" excludes those who meet the requirement and is kept
    only to show what the wording says; "inclusion_style" is the default seen as an inclusion, with the same counts.
    """
    recent = days_since_gvhd_active <= max_days_since_gvhd
    signs = {"any_active": only_if(recent, gvhd_active), "grade_ge2_or_mod_severe": only_if(recent, gvhd_significant)}
    gvhd = gvhd_ever if gvhd_rule == "ever" else signs[gvhd_rule]
    violated = (days_since_immunosuppressant < min_washout) | gvhd
    return hsct & ~violated if transplant_reading == "literal_exclusion" else hsct & violated


investigator = not_assessable(
    "E8", "investigator", "exclusion",
    "Other conditions deemed unsuitable for participation in this trial by the investigator.",
    rate=Beta(38, 2), source="our assumption: 5 % (0.9 to 11.6 %) judged unsuitable; never inferred from data",
)  # fmt: skip

columns = AML_COLUMNS


def synthetic(n: int, **settings):
    """A synthetic registry for this trial, its truth and what is observed; see ``synthetic_registry``."""
    from feasibility.trials.aml_registry import synthetic_registry

    return synthetic_registry(n, **settings)


def synthetic_events(registry, folder, layout: str = "native"):
    """The same registry as a hospital would hold it: dated events in a folder; see ``aml_events``."""
    from feasibility.trials import aml_events_fhir, aml_events_native, aml_events_omop

    write = {"native": aml_events_native.write_native, "omop": aml_events_omop.write_omop,
             "fhir": aml_events_fhir.write_fhir}  # fmt: skip
    return write[layout](registry, folder)


protocol = Protocol(
    id="NCT06642025",
    title="EX02 CAR-T Cells for Relapsed and Refractory Acute Myeloid Leukemia",
    criteria=(
        aml, refractory, active_leukemia, ex02_antigen, ecog_performance, age, hemoglobin, t_lymphocytes, platelets,
        pregnancy_test_negative, contraception, consent,
        hepatitis_a, hepatitis_b, hepatitis_c, hiv_infection, severe_infection, aids, long_term_immunosuppression,
        heart_failure_nyha, infarction_or_bypass, arrhythmia_or_syncope, cardiomyopathy, low_ejection_fraction,
        pregnancy, lactation, unwilling_contraception, liver, kidney, planned_drug_allergy, transplant_not_settled,
        investigator,
    ),
    eligibility_text=files("feasibility.trials").joinpath("nct06642025.txt").read_text(encoding="utf-8"),
    columns=columns,
    source="Registered text as of 21 August 2025",
    grids={
        "max_ecog": (3,), "max_age": (72, 75, 80), "min_hemoglobin": (50, 40), "min_cd3": (0.4, 0.3, 0.2, 0.1),
        "min_platelets": (25, 20, 10), "max_hbv_dna": (200, 2_000), "min_months_since_mi_or_cabg": (3,),
        "min_lvef": (40, 35), "max_bilirubin": (4, 5), "max_creatinine": (200, 250, 300), "min_washout": (28, 14),
    },
    scenarios=(
        Scenario("Lower blood counts", {"min_platelets": 20, "min_cd3": 0.3, "min_hemoglobin": 50}),
        Scenario("Older and frailer patients", {"max_age": 75, "max_ecog": 3}),
        Scenario("Lower blood counts, older and frailer patients",
                 {"min_platelets": 20, "min_cd3": 0.3, "min_hemoglobin": 50, "max_age": 75, "max_ecog": 3}),
        Scenario("Shorter washout after transplantation", {"min_washout": 28}),
    ),
)  # fmt: skip
