"""A small release and its documents, made once a test process."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pandas as pd

import feasibility as fz
from feasibility.disclosure.parts import protected_arrivals, unknown_by_column
from feasibility.disclosure.plan import Plan
from feasibility.disclosure.policy import POLICIES
from feasibility.disclosure.release import Release, extended_of, protected_core, rounded_margins
from feasibility.disclosure.table import RoundedMargin
from feasibility.enrollment.assumptions import plan_from_protocol
from feasibility.protocol.criterion import Beta
from feasibility.sponsor.document import SponsorDocument

TABLES = ("funnel", "only-reason", "bounds", "scenarios", "curves", "failing")
DATED = "2026-01-31"


@cache
def trial():
    return fz.load_trial("NCT06642025")


@cache
def cohort(n: int = 600):
    from feasibility.trials.nct06642025 import synthetic

    return synthetic(n, seed=7).observed


@cache
def release() -> Release:
    """A release of synthetic patients, protected but not attacked: the audit is tested elsewhere and takes its time."""
    plan = Plan.of(trial())
    extended = extended_of(cohort(), plan, "unknown", None)
    core, _ = protected_core(plan, extended, POLICIES["nhs"], TABLES)
    margins = rounded_margins(plan, extended, POLICIES["nhs"], TABLES)
    margins["columns"] = RoundedMargin.of("columns", unknown_by_column(cohort(), trial()), POLICIES["nhs"])
    quarters = pd.PeriodIndex(["2024Q3", "2024Q4", "2025Q1"], freq="Q")
    arrived = pd.DataFrame({"n_confirmed": [12, 4, 1], "n_possible": [31, 24, 3]}, index=quarters)
    margins["arrivals"] = protected_arrivals(arrived, POLICIES["nhs"])
    return Release(trial(), POLICIES["nhs"], core, margins)


@cache
def forecast():
    site = fz.Site("Example Hospital", prior=fz.Gamma(49.4, 18.456), opens=(0, 2, 6))
    plan = plan_from_protocol(trial(), site, 9, eligible_share=Beta(32.5, 168.5))
    return fz.forecast(plan, months=48, draws=500, seed=3)


@cache
def document(language: str = "en", **changes) -> SponsorDocument:
    settings = {"forecast": forecast(), "dated": DATED, "synthetic": True, "source_words": SOURCE[language]}
    return SponsorDocument.of(release(), trial(), language=language, **(settings | changes))


@cache
def bare(language: str = "en") -> SponsorDocument:
    """A document whose release holds the funnel alone, everything else left out."""
    full = release()
    kept = [i for i, query in enumerate(full.core.queries) if query.table == "funnel"]
    core = replace(full.core, queries=tuple(full.core.queries[i] for i in kept), members=full.core.members[:, kept])
    dropped = dict.fromkeys(("bounds", "only-reason", "scenarios", "curves", "failing"), "it gives a small group away")
    made = replace(full, core=replace(core, changes=(), scales={}), margins={}, dropped=dropped)
    return SponsorDocument.of(made, trial(), language=language, dated=DATED)


SOURCE = {"en": "A synthetic registry", "zh": "合成登记库"}
