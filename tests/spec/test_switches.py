"""Every switch that the clinical specification names has a counterpart here, with the specified default.

A switch is a threshold or reading of a criterion (``protocol.settings``), a build setting of a column
(``protocol.columns.settings()``), or, for the antigen, a setting of the optional criterion.
"""

from dataclasses import dataclass

import pytest

from .patients import NEVER, WITH_ANTIGEN

READINGS = WITH_ANTIGEN.settings
BUILD = WITH_ANTIGEN.columns.settings()


@dataclass(frozen=True)
class Counterpart:
    """Where a switch lives, its default there, and the other values that the specification lists."""

    name: str
    default: object
    others: tuple = ()


def reading(name, default, *others):
    return Counterpart(name, default, others)


SWITCHES = {
    "i1.include_apl": reading("include_apl", False, True),
    "i1.include_mpal": reading("include_mpal", False, True),
    "i1.require_active": reading("require_active", True, False),
    "i1.mrd_counts_active": reading("mrd_counts_active", False, True),
    "r1.response_floor": reading("response_floor", "no_cr_cri", "literal_no_response", "mlfs_is_response"),
    "r1.intensity": reading("induction_intensity", "intensive_or_ven_hma", "intensive_only", "any"),
    "r2.consolidation": reading(
        "consolidation", "received_before_relapse", "ignore", "documented_failure", "independent_or"
    ),
    "r2.anchor": reading("relapse_anchor", "cr_date", "end_of_consolidation"),
    "r2.relapse": reading("which_relapse", "latest", "any", "first"),
    "r3.min_salvage": reading("min_salvage_courses", 1, 2),
    "r4 extramedullary-only relapse": reading("n_relapses.count_extramedullary_only", True),
    "r4 molecular relapse": reading("n_relapses.count_molecular", False),
    "r5.reading": reading("extramedullary", "persistent", "active_any", "ever", "off"),
    "r5.sites": reading("em_active.sites", "all including CNS"),
    "r5 nodes, liver and spleen": reading("em_active.nodes_liver_spleen", False),
    "r5 assessed within": reading("max_days_since_em_active", 56, 28),
    "i2.cutoff_pct": reading("antigen_cutoff", "as_reported", "percent"),
    "i2.cutoff_pct, the share": reading("min_ex02_percent", 20, 50),
    "i2.validity_days": reading("max_days_since_ex02_positive", NEVER, 90),
    "i3.lookback": reading("max_days_since_ecog", 28, 14),
    "i4.upper": reading("age_upper", "completed_years", "exact_birthday"),
    "i4 birthday on 29 February": reading("age_years.leap_day_birthday", "28 February in common years"),
    "i5.transfusion_free_days, whether": reading("transfusion_rule", "ignored", "transfusion_free"),
    "i5.transfusion_free_days, how many": reading("min_transfusion_free_days", 7, 3),
    "i5 leukaemic CD3 gate": reading("cd3_10e9_l.leukaemic_cd3_gate", "ignored"),
    "i5 CD3 from the percentage": reading("cd3_10e9_l.derive_from_percent", True),
    "i5 CD3 bounded by lymphocytes": reading("cd3_10e9_l.bound_by_lymphocytes", True),
    "i6.test_days": reading("max_days_since_pregnancy_test", 14, 7, 28),
    "i6.proxy": reading("childbearing_potential.age_proxy", True),
    "e1.controlled_scope": reading("controlled_scope", "other_infections", "all"),
    "e1.hav_cw": reading("months_since_hav_igm_positive.closed_world", True),
    "e1.hbv": reading("hepatitis_b_rule", "dna", "hbsag", "hbsag_or_anti_hbc"),
    "e1.hbv, dna_ge_200 and dna_ge_2000": reading("max_hbv_dna", 20, 200, 2000),
    "e1 occult hepatitis B": reading("anti_hbc.negative_after_hbsag", True),
    "e1.hcv": reading("hepatitis_c_rule", "rna", "antibody"),
    "e1.hiv": reading("hiv_rule", "any", "viraemic_only"),
    "e1 infection assessed within": reading("max_days_since_active_infection", 7, 14),
    "e1 validity of antigen": reading("hbsag.window_days", 180),
    "e1 validity of antibody": reading("anti_hcv.window_days", 180),
    "e1 validity of DNA": reading("hbv_dna_iu_ml.window_days", 90),
    "e1 validity of RNA": reading("hcv_rna_detected.window_days", 90),
    "e1 validity of HIV": reading("hiv.validity_months", 12),
    "e1 validity of hepatitis A": reading("months_since_hav_igm_positive.validity_months", 6),
    "e2.long_term_days": reading("max_immunosuppression_days", 28, 14, 30, 90),
    "e2 bridged gaps": reading("steroid_days.bridge_gap_days", 7),
    "e2.timing": reading("immunosuppression_timing", "current", "ever"),
    "e2.dose_stat": reading("dose_statistic", "mean", "current", "max"),
    "e2.dose_scope": reading("dose_scope", "steroids_only", "all"),
    "e2 indication": reading("steroid_days.other_disease_only", True),
    "e2 physiologic replacement": reading("steroid_mg_day_mean.physiologic_replacement_mg", 7.5),
    "e3a.window": reading("nyha_window", "latest", "ever"),
    "e3a.window, how long": reading("max_months_since_nyha_class", 12, 6),
    "e3b.type2": reading("months_since_mi.include_type2", True),
    "e3c.window": reading("arrhythmia_window", "ever", "12_months", "6_months"),
    "e3c extrasystoles": reading("months_since_ventricular_arrhythmia.count_pvc_and_nsvt", False),
    "e3d.any_nicm": reading("any_severity", False, True),
    "e3e.stat": reading("lvef_statistic", "min", "latest"),
    "e3e.carry_forward": reading("lvef_min_pct.carry_forward", False),
    "e5.combination": reading("liver_combination", "any", "ast_and_alt", "hepatic_all"),
    "e5.creatinine": reading("creatinine_cause", "any_cause", "chronic_only"),
    "e5.gilbert_direct": reading("gilbert_direct", False, True),
    "e5 fallback limit": reading("ast_x_uln.uln_fallback", "none"),
    "e6 match": reading("allergy_match", "agent", "class"),
    "e7.reading": reading("transplant_reading", "requirement_violated", "literal_exclusion", "inclusion_style"),
    "e7.steroid_floor": reading("days_since_immunosuppressant.steroid_floor_mg", 7.5),
    "e7.gvhd": reading("gvhd_rule", "any_active", "grade_ge2_or_mod_severe", "ever"),
    "e7 assessed within": reading("max_days_since_gvhd", 28, 14),
    "lab look-back": reading("max_days_since_hemoglobin", 14, 7, 28, NEVER),
    "lab ties": reading("hemoglobin_g_l.ties", "worst"),
}

# What the protocol itself says: a limit that differs from the registered text is a mistake, not a reading.
LIMITS = {
    "min_induction_courses": 2, "early_relapse_months": 12, "min_relapses": 2, "max_ecog": 2, "min_age": 18,
    "max_age": 70, "min_hemoglobin": 60, "min_cd3": 0.5, "min_platelets": 30, "min_months_since_hepatitis_a": 6,
    "max_prednisone": 15, "max_nyha_class": 2, "min_months_since_mi_or_cabg": 6, "min_lvef_ever": 35, "min_lvef": 45,
    "max_days_since_lvef": 56, "max_ast": 3, "max_alt": 3, "max_bilirubin": 3, "max_creatinine": 178,
    "min_washout": 42, "max_days_since_cd3": 14, "max_days_since_platelets": 14, "max_days_since_liver": 14,
    "max_days_since_creatinine": 14,
}  # fmt: skip


@pytest.mark.parametrize("switch", SWITCHES)
def test_switch_exists_with_its_default(switch):
    counterpart = SWITCHES[switch]
    known = READINGS | BUILD
    assert counterpart.name in known, f"{switch} has no counterpart"
    assert known[counterpart.name] == counterpart.default


@pytest.mark.parametrize("switch", [s for s, c in SWITCHES.items() if c.name in READINGS])
def test_every_listed_value_can_be_chosen(switch):
    counterpart = SWITCHES[switch]
    for value in counterpart.others:
        assert WITH_ANTIGEN.with_thresholds(**{counterpart.name: value}).settings[counterpart.name] == value
    choices = WITH_ANTIGEN.setting(counterpart.name).choices
    assert not choices or set(choices) == {counterpart.default, *counterpart.others}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_those_of_the_text(name):
    assert READINGS[name] == LIMITS[name]


def test_no_setting_is_unaccounted_for():
    assert set(READINGS) == set(LIMITS) | {c.name for c in SWITCHES.values() if c.name in READINGS}
