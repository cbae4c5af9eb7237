"""How many of our patients could join this trial, which criteria cost us the rest, what if a threshold moved?

The public names load on first use, so that ``import feasibility`` stays quick.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_WHERE = {
    "screening": ("screen", "Screening"),
    "counting": ("count_patterns",),
    "patterns": ("PatternTable", "pool"),
    "kleene": ("is_in", "when", "only_if", "at_least_k_of"),
    "bounded": ("Range",),
    "errors": (
        "FeasibilityError", "CohortError", "ReadError", "ProtocolError", "ScreeningError", "ReconciliationError",
    ),
    "cohort.schema": ("BuildStep", "Column", "CohortTable", "Fill"),
    "cohort.declared": ("Measured", "Words"),
    "cohort.read": ("read_cohort", "as_cohort"),
    "cohort.write": ("write_cohort",),
    "cohort.prepared": ("prepare", "prepare_files", "open_prepared", "PreparedCohort"),
    "sources.native": ("read_extract",),
    "sources.omop": ("omop",),
    "sources.fhir": ("fhir",),
    "sources.extract": ("Extract",),
    "sources.database": ("read_events",),
    "sources.spark": ("build_on_spark", "SparkCohort"),
    "sources.fhir_sample": ("validate_sample",),
    "cohort.lab_units": ("unit_counts",),
    "cohort.site_check": ("site_check",),
    "figures.ages": ("plot_value_ages",),
    "missing.ledger": ("missing_ledger", "MissingLedger"),
    "missing.information": ("value_of_information",),
    "missing.completeness": ("completeness",),
    "missing.tested": ("tested_versus_untested",),
    "missing.worst_case": ("worst_best_case",),
    "missing.impute": ("impute", "Imputations"),
    "missing.mnar": ("delta_curve", "untested_odds", "tipping_point"),
    "missing.diagnostics": ("imputation_summary", "observed_and_imputed", "chain_trace", "r_hat"),
    "figures.imputation": ("plot_observed_imputed", "plot_departure", "plot_estimates"),
    "missing.estimands": ("in_extract", "in_source", "per_month", "estimates"),
    "figures.missing": ("plot_ledger", "plot_information", "plot_tested"),
    "figures.completeness_map": ("plot_completeness_by",),
    "enrollment.dated": ("screen_dates", "dated_statuses", "DatedScreening"),
    "enrollment.spells": ("spells",),
    "enrollment.exits": ("exits", "observation", "cumulative_incidence", "half_life"),
    "enrollment.arrivals": ("arrivals", "Arrivals"),
    "enrollment.arrival_bounds": ("arrivals_bounds", "arrivals_imputed"),
    "enrollment.snapshots": ("snapshot_missed_share", "snapshot_bias"),
    "enrollment.posterior": ("Gamma", "JEFFREYS", "ADMIRAL_LIKE", "CARTITUDE_4_LIKE"),
    "enrollment.sites": ("Site", "copies"),
    "enrollment.steps": ("Step", "Competing", "Slots"),
    "enrollment.plan": ("Plan",),
    "enrollment.progress": ("Progress",),
    "enrollment.forecast": ("forecast", "Forecast"),
    "enrollment.answers": (
        "success_by_sites", "smallest_number_of_sites", "closure_rule", "start_up", "futility", "planner_answers",
    ),
    "enrollment.differences": ("compare_plans", "difference_in_words", "rate_tornado"),
    "enrollment.assumptions": ("plan_from_protocol", "assumptions"),
    "enrollment.calibration": ("calibrate",),
    "enrollment.backtest": ("backtest", "backtest_summary"),
    "enrollment.settled": ("settle_dates",),
    "figures.enrollment": ("plot_fan", "plot_success", "plot_site_contributions", "plot_rate_tornado"),
    "enrollment.route": ("enrollment_of", "Enrollment"),
    "enrollment.plan_file": ("load_plan",),
    "figures.arrivals": ("plot_arrivals", "plot_spells", "plot_cumulative_incidence", "plot_snapshots"),
    "cohort.build": ("build_cohort",),
    "cohort.index_dates": ("as_of", "after_event", "monthly", "at_changes"),
    "protocol.criterion": ("inclusion", "exclusion", "not_assessable", "Beta", "Criterion", "NotAssessable"),
    "protocol.protocol": ("Protocol",),
    "protocol.scenario": ("Scenario",),
    "protocol.loading": ("load_trial", "installed_trials"),
    "analysis.attrition": ("attrition",),
    "analysis.impact": ("impact", "overlaps"),
    "analysis.demographics": ("demographics",),
    "analysis.assessability": ("assessability",),
    "analysis.what_if": ("WhatIf", "Counts"),
    "analysis.batch": ("batch",),
    "analysis.sweep": ("sweep", "surface"),
    "analysis.curve": ("curve", "curve_at", "curves"),
    "analysis.scenarios": ("compare", "waterfall"),
    "analysis.amendment": ("amendment", "Amendment"),
    "analysis.tornado": ("tornado",),
    "figures.curve": ("plot_curve", "plot_surface", "plot_small_multiples"),
    "figures.scenarios": ("plot_waterfall", "plot_tornado"),
    "widgets": ("what_if_panel",),
    "analysis.relaxation": ("relaxations",),
    "analysis.pareto": ("pareto",),
    "analysis.near_miss": ("near_misses",),
    "analysis.call_list": ("call_list",),
    "figures.relaxation": ("plot_relaxations", "plot_pareto"),
    "cohort.quality": ("quality_report", "QualityReport"),
    "figures.distributions": ("plot_distributions", "plot_known_by"),
    "disclosure.release": ("Release",),
    "disclosure.policy": ("Policy",),
    "disclosure.ledger": ("Ledger",),
    "disclosure.table": ("ProtectedTable", "RoundedMargin"),
    "disclosure.parts": ("protected_arrivals",),
    "pooling.parts": ("count_part",),
    "pooling.vectors": ("ProtectedVector", "add_vectors", "protected_vector"),
    "pooling.ohdsi": ("read_rule_masks",),
    "sponsor.report": ("sponsor_report",),
    "sponsor.document": ("SponsorDocument",),
    "sponsor.render": ("write_documents",),
    "sponsor.branding": ("load_branding",),
    "interactive.page": ("interactive_fragment",),
    "figures": (
        "plot_attrition", "plot_impact", "plot_flow", "plot_overlap", "plot_completeness", "plot_attrition_by",
        "plot_assessability", "plot_demographics",
    ),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str):
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(f"feasibility.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'feasibility' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
