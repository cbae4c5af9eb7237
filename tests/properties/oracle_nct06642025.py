"""A second, independent reading of NCT06642025: one patient at a time, in plain Python, from the specification.

``oracle(criterion_id, row, **settings)`` says whether the criterion *as worded* is met: True, False or None (unknown).
``row`` maps column names to cells: None is unknown, a tuple ``(lo, hi)`` a value known only between bounds, infinity
"never". Written without sight of ``feasibility/trials/nct06642025.py`` and without pandas, numpy or the package, so
that a mistake in one is not a mistake in the other.
"""

INF = float("inf")
REMISSION = {"CR_MRDneg", "CR", "CRh", "CRi"}


# Three-valued logic -----------------------------------------------------------------------------------------------


def both(*values):
    """AND: one False decides, else one unknown."""
    if any(v is False for v in values):
        return False
    return None if any(v is None for v in values) else True


def either(*values):
    """OR: one True decides, else one unknown."""
    if any(v is True for v in values):
        return True
    return None if any(v is None for v in values) else False


def negate(value):
    return None if value is None else not value


def compare(cell, holds):
    """A monotone comparison: decided only where both ends of the value agree."""
    if cell is None:
        return None
    if isinstance(cell, tuple):
        low, high = (holds(end) for end in cell)
        return low if low == high else None
    return holds(cell)


def above(cell, limit):
    return compare(cell, lambda v: v > limit)


def at_least(cell, limit):
    return compare(cell, lambda v: v >= limit)


def below(cell, limit):
    return compare(cell, lambda v: v < limit)


def at_most(cell, limit):
    return compare(cell, lambda v: v <= limit)


def one_of(cell, codes):
    return None if cell is None else cell in codes


def current(age, lookback, value):
    """A finding counts only while its age is known to lie in the look-back; a stale one says nothing."""
    return value if at_most(age, lookback) is True else None


# I1 ---------------------------------------------------------------------------------------------------------------


def i1_1(row, include_apl=False, include_mpal=False):
    accepted = {"aml_non_apl"} | ({"apl"} if include_apl else set()) | ({"mpal"} if include_mpal else set())
    return one_of(row["aml_subtype"], accepted)


def _responses(floor):
    """The responses that count as a response under a reading of "no response"."""
    return {
        "no_cr_cri": REMISSION,
        "mlfs_is_response": REMISSION | {"MLFS"},
        "literal_no_response": REMISSION | {"MLFS", "PR"},
    }[floor]


def route_1(row, min_induction_courses=2, induction_intensity="intensive_or_ven_hma", response_floor="no_cr_cri"):
    """Primary refractory."""
    courses = {
        "intensive_or_ven_hma": "n_induction_courses",
        "intensive_only": "n_induction_courses_intensive",
        "any": "n_induction_courses_any",
    }[induction_intensity]
    no_response = negate(row["cr_ever"])
    if response_floor != "no_cr_cri":
        no_response = both(no_response, negate(one_of(row["best_response_induction"], _responses(response_floor))))
    return both(at_least(row[courses], min_induction_courses), no_response)


MONTHS = {
    ("cr_date", "latest"): "months_from_cr_to_relapse",
    ("cr_date", "first"): "months_from_first_cr_to_first_relapse",
    ("cr_date", "any"): "shortest_months_from_cr_to_relapse",
    ("end_of_consolidation", "latest"): "months_from_consolidation_to_relapse",
    ("end_of_consolidation", "first"): "months_from_first_consolidation_to_first_relapse",
    ("end_of_consolidation", "any"): "shortest_months_from_consolidation_to_relapse",
}


def _route_2_parts(row, early_relapse_months, consolidation, relapse_anchor, which_relapse):
    early = at_most(row[MONTHS[relapse_anchor, which_relapse]], early_relapse_months)
    relapsed = at_least(row["n_relapses"], 1)
    rest = {
        "received_before_relapse": lambda: at_least(row["n_consolidation_courses"], 1),
        "documented_failure": lambda: both(at_least(row["n_consolidation_courses"], 1), row["consolidation_failed"]),
        "ignore": lambda: True,
        "independent_or": lambda: True,
    }[consolidation]()
    return early, both(relapsed, rest)


def route_2(
    row,
    early_relapse_months=12,
    consolidation="received_before_relapse",
    relapse_anchor="cr_date",
    which_relapse="latest",
):
    """Relapse within 12 months of remission, despite consolidation."""
    early, rest = _route_2_parts(row, early_relapse_months, consolidation, relapse_anchor, which_relapse)
    answer = both(early, rest)
    if consolidation == "independent_or":
        # Failure of consolidation means relapse in spite of it (specification, key finding of I1).
        answer = either(answer, both(at_least(row["n_relapses"], 1), row["consolidation_failed"]))
    return answer


def _route_3_parts(row, early_relapse_months, min_salvage_courses, response_floor):
    # The readings of the anchor and of the relapse that counts are readings of route 2 (r2.anchor, r2.relapse).
    late = above(row["months_from_cr_to_relapse"], early_relapse_months)
    resists = both(
        at_least(row["n_relapses"], 1),
        at_least(row["n_salvage_courses"], min_salvage_courses),
        negate(one_of(row["best_response_salvage"], _responses(response_floor))),
    )
    return late, resists


def route_3(row, early_relapse_months=12, min_salvage_courses=1, response_floor="no_cr_cri"):
    """Later relapse that resists salvage."""
    return both(*_route_3_parts(row, early_relapse_months, min_salvage_courses, response_floor))


def route_4(row, min_relapses=2):
    """Two or more relapses."""
    return at_least(row["n_relapses"], min_relapses)


def route_5(row, extramedullary="persistent", max_days_since_em_active=56):
    """Extramedullary leukaemia."""
    if extramedullary == "off":
        return False
    if extramedullary == "ever":
        return row["em_ever"]
    active = current(row["days_since_em_active"], max_days_since_em_active, row["em_active"])
    return active if extramedullary == "active_any" else both(active, at_least(row["n_prior_courses"], 1))


def i1_2(
    row,
    min_induction_courses=2,
    induction_intensity="intensive_or_ven_hma",
    response_floor="no_cr_cri",
    early_relapse_months=12,
    consolidation="received_before_relapse",
    relapse_anchor="cr_date",
    which_relapse="latest",
    min_salvage_courses=1,
    min_relapses=2,
    extramedullary="persistent",
    max_days_since_em_active=56,
):
    early, early_rest = _route_2_parts(row, early_relapse_months, consolidation, relapse_anchor, which_relapse)
    late, late_rest = _route_3_parts(row, early_relapse_months, min_salvage_courses, response_floor)
    # The relapse was early or it was late: who qualifies either way qualifies, even if it is unknown which.
    either_way = None in (early, late) and both(early_rest, late_rest) is True
    return either(
        route_1(row, min_induction_courses, induction_intensity, response_floor),
        route_2(row, early_relapse_months, consolidation, relapse_anchor, which_relapse),
        route_3(row, early_relapse_months, min_salvage_courses, response_floor),
        either_way,
        route_4(row, min_relapses),
        route_5(row, extramedullary, max_days_since_em_active),
    )


def i1_3(row, require_active=True, mrd_counts_active=False):
    if not require_active:
        return True
    active = {"primary_refractory", "relapsed", "active"} | ({"mrd_only"} if mrd_counts_active else set())
    return one_of(row["disease_status"], active)


# I2 to I6 ---------------------------------------------------------------------------------------------------------


def i2(row, antigen_cutoff="as_reported", min_ex02_percent=20, max_days_since_ex02_positive=INF):
    if antigen_cutoff == "as_reported":
        positive = row["ex02_positive"]
    else:
        positive = at_least(row["ex02_percent"], min_ex02_percent)
    return current(row["days_since_ex02_positive"], max_days_since_ex02_positive, positive)


def i3(row, max_ecog=2, max_days_since_ecog=28):
    return current(row["days_since_ecog"], max_days_since_ecog, at_most(row["ecog"], max_ecog))


def i4(row, min_age=18, max_age=70, age_upper="completed_years"):
    oldest = row["age_years"] if age_upper == "completed_years" else row["age_exact_years"]
    return both(at_least(row["age_years"], min_age), at_most(oldest, max_age))


def i5_1(
    row,
    min_hemoglobin=60,
    max_days_since_hemoglobin=14,
    transfusion_rule="ignored",
    min_transfusion_free_days=7,
):
    enough = current(
        row["days_since_hemoglobin_g_l"], max_days_since_hemoglobin, above(row["hemoglobin_g_l"], min_hemoglobin)
    )
    if transfusion_rule == "ignored":
        return enough
    return both(enough, at_least(row["days_since_rbc_transfusion"], min_transfusion_free_days))


def i5_2(row, min_cd3=0.5, max_days_since_cd3=14):
    return current(row["days_since_cd3_10e9_l"], max_days_since_cd3, above(row["cd3_10e9_l"], min_cd3))


def i5_3(
    row,
    min_platelets=30,
    max_days_since_platelets=14,
    transfusion_rule="ignored",
    min_transfusion_free_days=7,
):
    enough = current(
        row["days_since_platelets_10e9_l"], max_days_since_platelets, above(row["platelets_10e9_l"], min_platelets)
    )
    if transfusion_rule == "ignored":
        return enough
    return both(enough, at_least(row["days_since_platelet_transfusion"], min_transfusion_free_days))


def i6_1(row, max_days_since_pregnancy_test=14):
    negative = current(
        row["days_since_pregnancy_test"], max_days_since_pregnancy_test, one_of(row["pregnancy_test"], {"negative"})
    )
    return either(negate(row["childbearing_potential"]), negative)


# E1 ---------------------------------------------------------------------------------------------------------------


def _uncontrolled(active, row, controlled_scope):
    """ "Not yet controlled" qualifies the other infections only, unless the reading extends it to the viruses."""
    if controlled_scope == "other_infections":
        return active
    return both(active, negate(row["viral_infection_controlled"]))


def e1_1(row, min_months_since_hepatitis_a=6, controlled_scope="other_infections"):
    active = either(
        at_most(row["months_since_hav_igm_positive"], min_months_since_hepatitis_a),
        at_most(row["months_since_hepatitis_a"], min_months_since_hepatitis_a),
    )
    return _uncontrolled(active, row, controlled_scope)


def e1_2(row, hepatitis_b_rule="dna", max_hbv_dna=20, controlled_scope="other_infections"):
    if hepatitis_b_rule == "dna":
        active = at_least(row["hbv_dna_iu_ml"], max_hbv_dna)
    elif hepatitis_b_rule == "hbsag":
        active = row["hbsag"]
    else:
        active = either(row["hbsag"], row["anti_hbc"])
    return _uncontrolled(active, row, controlled_scope)


def e1_3(row, hepatitis_c_rule="rna", controlled_scope="other_infections"):
    active = row["hcv_rna_detected"] if hepatitis_c_rule == "rna" else row["anti_hcv"]
    return _uncontrolled(active, row, controlled_scope)


def e1_4(row, hiv_rule="any", controlled_scope="other_infections"):
    infected = row["hiv"] if hiv_rule == "any" else row["hiv_viraemic"]
    return _uncontrolled(infected, row, controlled_scope)


def e1_5(row, max_days_since_active_infection=7):
    # Severity and control belong to the same assessment, so a stale one says nothing about them either.
    finding = both(row["active_infection"], row["infection_severe"], negate(row["infection_controlled"]))
    return current(row["days_since_active_infection"], max_days_since_active_infection, finding)


# E2 ---------------------------------------------------------------------------------------------------------------


def e2_1(row):
    return row["aids_history"]


def e2_2(
    row,
    max_prednisone=15,
    max_immunosuppression_days=28,
    immunosuppression_timing="current",
    dose_statistic="mean",
    dose_scope="steroids_only",
):
    if immunosuppression_timing == "ever":
        agent_days, steroid_days = row["nonsteroid_is_days_ever"], row["steroid_days_ever"]
        dose = row["steroid_mg_day_max_ever"]
    else:
        agent_days, steroid_days = row["nonsteroid_is_days"], row["steroid_days"]
        dose = row[f"steroid_mg_day_{dose_statistic}"]
    steroids = both(at_least(steroid_days, max_immunosuppression_days), above(dose, max_prednisone))
    if dose_scope == "all":
        return steroids
    return either(at_least(agent_days, max_immunosuppression_days), steroids)


# E3 ---------------------------------------------------------------------------------------------------------------


def e3_1(row, max_nyha_class=2, max_months_since_nyha_class=12, nyha_window="latest"):
    if nyha_window == "ever":
        severe = above(row["nyha_class_worst"], max_nyha_class)
    else:
        severe = current(
            row["months_since_nyha_class"], max_months_since_nyha_class, above(row["nyha_class"], max_nyha_class)
        )
    return both(row["heart_failure"], severe)


def e3_2(row, min_months_since_mi_or_cabg=6):
    return either(
        at_most(row["months_since_mi"], min_months_since_mi_or_cabg),
        at_most(row["months_since_cabg"], min_months_since_mi_or_cabg),
    )


def e3_3(row, arrhythmia_window="ever"):
    def happened(cell):
        if arrhythmia_window == "ever":
            return below(cell, INF)
        return at_most(cell, {"12_months": 12, "6_months": 6}[arrhythmia_window])

    return either(
        happened(row["months_since_ventricular_arrhythmia"]), happened(row["months_since_unexplained_syncope"])
    )


def e3_4(row, any_severity=False, min_lvef_ever=35):
    if any_severity:
        return row["nonischemic_cardiomyopathy"]
    severe = either(row["nonischemic_cardiomyopathy_severe"], at_most(row["lvef_lowest_ever_pct"], min_lvef_ever))
    return both(row["nonischemic_cardiomyopathy"], severe)


def e3_5(row, min_lvef=45, max_days_since_lvef=56, lvef_statistic="min"):
    value, age = {
        "min": ("lvef_min_pct", "days_since_lvef_min_pct"),
        "latest": ("lvef_latest_pct", "days_since_lvef_latest_pct"),
    }[lvef_statistic]
    return current(row[age], max_days_since_lvef, below(row[value], min_lvef))


# E4 to E7 ---------------------------------------------------------------------------------------------------------


def e4_1(row):
    return both(row["childbearing_potential"], row["pregnant"])


def e4_2(row):
    return both(row["childbearing_potential"], row["lactating"])


def e5_1(
    row,
    max_ast=3,
    max_alt=3,
    max_bilirubin=3,
    max_days_since_liver=14,
    liver_combination="any",
    gilbert_direct=False,
):
    def high(name, limit):
        return current(row[f"days_since_{name}"], max_days_since_liver, above(row[name], limit))

    ast, alt = high("ast_x_uln", max_ast), high("alt_x_uln", max_alt)
    bilirubin = high("bilirubin_x_uln", max_bilirubin)
    if gilbert_direct:
        direct = high("bilirubin_direct_x_uln", max_bilirubin)
        # Without knowing of Gilbert's syndrome the answer is known only where both bilirubins give the same.
        agree = bilirubin if bilirubin == direct else None
        bilirubin = {True: direct, False: bilirubin, None: agree}[row["gilbert"]]
    if liver_combination == "any":
        return either(ast, alt, bilirubin)
    if liver_combination == "ast_and_alt":
        return either(both(ast, alt), bilirubin)
    return both(ast, alt, bilirubin)


def e5_2(row, max_creatinine=178, max_days_since_creatinine=14, creatinine_cause="any_cause"):
    high = current(
        row["days_since_creatinine_umol_l"],
        max_days_since_creatinine,
        at_least(row["creatinine_umol_l"], max_creatinine),
    )
    if creatinine_cause == "any_cause":
        return high
    return both(high, at_least(row["creatinine_earlier_umol_l"], max_creatinine))


def e6(row, allergy_match="agent"):
    # A match by class is wider than one by agent: a reaction to the very drug counts under both.
    return (
        row["severe_allergy"]
        if allergy_match == "agent"
        else either(row["severe_allergy"], row["severe_allergy_class"])
    )


def e7(
    row,
    transplant_reading="requirement_violated",
    min_washout=42,
    gvhd_rule="any_active",
    max_days_since_gvhd=28,
):
    if gvhd_rule == "ever":
        signs = row["gvhd_ever"]
    else:
        finding = {"any_active": "gvhd_active", "grade_ge2_or_mod_severe": "gvhd_significant"}[gvhd_rule]
        signs = current(row["days_since_gvhd_active"], max_days_since_gvhd, row[finding])
    violated = either(below(row["days_since_immunosuppressant"], min_washout), signs)
    if transplant_reading == "literal_exclusion":
        return both(row["hsct"], negate(violated))
    return both(row["hsct"], violated)


ORACLE = {
    "I1.1": i1_1, "I1.2": i1_2, "I1.3": i1_3, "I2": i2, "I3": i3, "I4": i4, "I5.1": i5_1, "I5.2": i5_2, "I5.3": i5_3,
    "I6.1": i6_1, "E1.1": e1_1, "E1.2": e1_2, "E1.3": e1_3, "E1.4": e1_4, "E1.5": e1_5, "E2.1": e2_1, "E2.2": e2_2,
    "E3.1": e3_1, "E3.2": e3_2, "E3.3": e3_3, "E3.4": e3_4, "E3.5": e3_5, "E4.1": e4_1, "E4.2": e4_2, "E5.1": e5_1,
    "E5.2": e5_2, "E6": e6, "E7": e7,
}  # fmt: skip


def oracle(criterion_id: str, row: dict, **settings):
    """Whether the criterion as worded is met for one patient: True, False or None."""
    return ORACLE[criterion_id](row, **settings)
