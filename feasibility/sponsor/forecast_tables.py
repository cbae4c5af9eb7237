"""The tables on enrollment: arrivals, when the target is reached, and what the forecast assumes."""

from __future__ import annotations

import numpy as np

from feasibility.enrollment.assumptions import CAR_T_STEPS
from feasibility.enrollment.steps import Step, mean_rate
from feasibility.sponsor import views
from feasibility.sponsor.document import SponsorDocument
from feasibility.sponsor.tables import shown
from feasibility.sponsor.wording import Md, table


def arrivals(document: SponsorDocument) -> Md:
    """Newly eligible patients per period."""
    t = document.words.t
    rows = [[when, *(shown(document, n) for n in both)] for when, *both in views.arrivals(document)]
    heads = [t("head.quarter"), t("head.newly_confirmed"), t("head.newly_possible")]
    return table(heads, rows, [40, 30, 30], align="lrr")


def months_to_target(document: SponsorDocument) -> Md:
    """When the target is reached, with which chance."""
    t, forecast = document.words.t, document.forecast
    rows = [[f"{p:.0%}", month_text(document, forecast.when(p))] for p in (0.1, 0.5, 0.8, 0.9)]
    return table([t("head.chance"), t("head.month_reached")], rows, [50, 50], align="ll",
                 caption=t("enrollment.result"))  # fmt: skip


def month_text(document: SponsorDocument, months: float) -> Md:
    if np.isinf(months):
        return document.words.t("enrollment.never", months=str(document.forecast.months))
    return document.words.t("enrollment.month_value", n=f"{np.ceil(months - 1e-9):.0f}")


def steps(document: SponsorDocument) -> Md:
    """The losses a forecast assumes."""
    t = document.words.t
    plan = document.forecast.plan
    rows = [[step_name(document, s), share_of(s), step_source(document, s)] for s in plan.steps_to(plan.goal)]
    heads = [t("head.step"), t("head.share"), t("head.source")]
    return table(heads, rows, [36, 22, 42], caption=t("enrollment.steps"))


def step_name(document: SponsorDocument, step: Step) -> str:
    words = document.words
    if words.has(f"steps.{step.name}"):
        return words.plain(f"steps.{step.name}")
    for one in document.protocol.not_assessable:
        if one.name == step.name:
            return words.name(one)
    return step.name.replace("_", " ")


def step_source(document: SponsorDocument, step: Step) -> str:
    words = document.words
    shipped = {s.name: s.source for s in CAR_T_STEPS}
    if shipped.get(step.name) == step.source or step.name == "eligible_in_registry":
        return words.plain(f"step_sources.{step.name}")
    return words.source(step.name, step.source)


def share_of(step: Step) -> str:
    """The share who pass, with its 90 % range."""
    rate = step.rate
    mean = f"{100 * mean_rate(rate):.0f}%"
    if isinstance(rate, float):
        return mean
    ends = [b.interval() for b in (rate if isinstance(rate, tuple) else (rate,))]
    return f"{mean} ({100 * min(e[0] for e in ends):.0f}–{100 * max(e[1] for e in ends):.0f}%)"


def sites(document: SponsorDocument) -> Md:
    """The sites of a plan and their rates."""
    t, plan = document.words.t, document.forecast.plan
    rows = []
    for site in plan.sites:
        first, last = site.earliest_opening, site.latest_opening
        key = "enrollment.opens_one" if first == last else "enrollment.opens"
        rows.append([site.name, t(key, first=f"{first:g}", last=f"{last:g}"), _rate(document, site)])
    return table([t("head.site"), t("head.opens"), t("head.rate_month")], rows, [40, 25, 35],
                 caption=t("enrollment.sites"))  # fmt: skip


def _rate(document: SponsorDocument, site) -> Md:
    t, plan = document.words.t, document.forecast.plan
    if site.rate is not None:
        return t("enrollment.rate_known", mean=f"{site.rate:.2g}")
    if site.has_data:
        seen = ", ".join(str(document.count(n)) for n in dict.fromkeys(site.arrivals))
        return t("enrollment.rate_data", n=seen, months=f"{site.months:g}")
    prior = site.prior or plan.prior
    if prior is None:
        return t("enrollment.rate_shared")
    low, high = prior.interval(0.9)
    return t("enrollment.rate_prior", mean=f"{prior.mean:.2g}", low=f"{low:.2g}", high=f"{high:.2g}")
