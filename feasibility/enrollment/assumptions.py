"""Every assumption of a plan in one table, and the plan a protocol leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from feasibility.enrollment.draws import JEFFREYS, shares_a_prior
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import common_prior
from feasibility.enrollment.sites import Site
from feasibility.enrollment.steps import Step, mean_rate, named_rates
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.protocol.criterion import Beta
from feasibility.protocol.protocol import Protocol

COLUMNS = ["kind", "value", "low", "high", "unit", "source", "used"]

CAR_T_STEPS = (
    Step("leukapheresis", Beta(19, 1), "our assumption: 95 % (82 to 99.9 %) collected", reaches="leukapheresed"),
    Step("still_eligible_after_waiting", Beta(16, 4),
         "pre-screened patients expire with a half-life of 4 to 6 months; 6 weeks to the product leave 0.80"),
    Step("manufacturing", Beta(29.5, 3.5), "tisagenlecleucel: product failed in 3 of 32 (Jeffreys)", reaches="infused"),
    Step("dlt_evaluable", Beta(19, 1), "our assumption: 95 % of the infused complete 28 days", reaches="evaluable"),
)  # fmt: skip
"""From enrolled to evaluable in a CAR-T trial; together 0.68 (0.49 to 0.83) of the enrolled are infused, in line with
the 0.60 to 0.85 to plan with in acute myeloid leukemia."""


def plan_from_protocol(
    protocol: Protocol, sites: Site | Iterable[Site], target: int, *, goal: str = "infused",
    steps: Iterable[Step] = CAR_T_STEPS, eligible_share=None, rates: Mapping | None = None, **settings,
) -> Plan:  # fmt: skip
    """The plan for a protocol: what its not-assessable clauses cost, then the steps of the treatment.

    Each clause that no data decides becomes a step with its rate; clauses that state the same fact (``same_as``) become
    one. Consent comes first and reaches "consented", the last of them reaches "enrolled"; ``steps`` go on from there.
    Where the sites' rates count patients before screening, ``eligible_share`` is the share the registry finds eligible:
    a Beta, or a list of Betas, one an imputation. ``rates`` overrides rates by name ({"consent": Beta(8, 2)} or
    {"consent": (8, 2)}); ``settings`` are those of ``Plan``.

    Raises FeasibilityError for a rate no step has, and for the name of a clause that another one already counts.
    """
    made = []
    if eligible_share is not None:
        settings = {"counts": "in the registry", **settings}
        made.append(Step("eligible_in_registry", eligible_share, "this registry: eligible of screened", "eligible"))
    made += clause_steps(protocol)
    made += steps
    overrides = named_rates(rates)
    for clause in protocol.not_assessable:
        if clause.name in overrides and clause.name not in [s.name for s in made]:
            raise FeasibilityError(
                f"{clause.name!r} states the same fact as {_fact(protocol, clause)!r}, counted once; set that rate."
            )
    known = [s.name for s in made] + [c.name for c in settings.get("competing", ())]
    for name in overrides:
        if name not in known:
            raise FeasibilityError(f"The plan has no rate {name!r}.{did_you_mean(name, known)}")
    plan = Plan(sites, target, made, goal, **settings)
    return plan.with_rates(**overrides) if overrides else plan


def clause_steps(protocol: Protocol) -> list[Step]:
    """The not-assessable clauses as steps, one a fact, consent first.

    >>> from feasibility.protocol.criterion import not_assessable
    >>> rate = dict(rate=Beta(98, 2), source="practice")
    >>> twice = [not_assessable("I6", "contraception", "inclusion", "uses it", **rate),
    ...          not_assessable("E4", "unwilling", "exclusion", "will not", same_as="contraception", **rate)]
    >>> [(s.name, s.clause) for s in clause_steps(Protocol("demo", "Demo", twice))]
    [('contraception', 'I6, E4')]
    """
    facts: dict[str, list] = {}
    for clause in protocol.not_assessable:
        facts.setdefault(_fact(protocol, clause), []).append(clause)
    for decided in protocol.assessable:  # a criterion of the user's own may decide the fact by data after all
        facts.pop(decided.name, None)
    ordered = sorted(facts.values(), key=lambda same: same[0].name != "consent")
    steps = []
    for i, same in enumerate(ordered):
        # A clause that points at another leaves the rate and the source to it.
        first = next((c for c in same if not c.same_as), same[0])
        reaches = "enrolled" if i == len(ordered) - 1 else "consented" if first.name == "consent" else ""
        steps.append(Step(first.name, first.rate, first.source, reaches, clause=", ".join(c.id for c in same)))
    return steps


def _fact(protocol: Protocol, clause) -> str:
    """The name under which a fact is counted, following ``same_as`` as far as it goes."""
    by_name = {c.name: c for c in protocol.all_criteria if not c.assessable}
    seen = set()
    while clause.same_as and clause.same_as not in seen:
        seen.add(clause.same_as)
        if clause.same_as not in by_name:
            return clause.same_as
        clause = by_name[clause.same_as]
    return min(seen) if clause.same_as else clause.name


def assumptions(plan: Plan) -> pd.DataFrame:
    """Everything a forecast of this plan assumes, one row each.

    Index ``name``; columns kind (data, assumed rate, prior, plan), value, low and high (95 %; the same as the value
    where it is taken as known), unit, source and used (between which milestones, or at which sites).

    >>> table = assumptions(Plan([Site("Hefei", 6, 24)], 9, [Step("consent", Beta(7, 3), "interviews", "in")]))
    >>> float(table.loc["consent", "value"]), table.loc["consent", "source"]
    (0.7, 'interviews')
    """
    rows: list[tuple] = [
        ("target", "plan", plan.target, plan.target, plan.target, "patients", plan.replacement, plan.goal),
        *_site_rows(plan),
    ]
    last = plan.counts
    for step in plan.steps_to(plan.goal):
        used = f"{last} to {step.reaches or 'next step'}" + (f"; clause {step.clause}" if step.clause else "")
        rows.append((step.name, "assumed rate", *_rate_row(step.rate), "share who pass", step.source, used))
        if step.months:
            rows.append((f"{step.name}, time", "plan", *[step.months] * 3, "months", step.source, used))
        last = step.reaches or last
    for one in plan.competing:
        where = ", ".join(one.sites) or "all sites"
        used = f"{where}, months {one.start:g} to {'the end' if np.isinf(one.end) else format(one.end, 'g')}"
        rows.append((one.name, "assumed rate", *_rate_row(one.share), "share lost", one.source, used))
    rows += _limits(plan)
    table = pd.DataFrame(rows, columns=["name", *COLUMNS]).set_index("name")
    return table.astype({c: float for c in ("value", "low", "high")})


def _site_rows(plan: Plan) -> Iterable[tuple]:
    unit = f"{plan.counts} a month"
    if shares_a_prior(plan):
        known = [s for s in plan.sites if s.has_data and s.prior is None]
        rng = np.random.default_rng(0)
        counts = [float(np.mean(s.arrivals)) for s in known]
        shape, months = common_prior(counts, [s.months for s in known], *rng.random((2, 4000)))
        source = f"estimated from {len(known)} sites with data; weak prior ours"
        for name, values, of in (
            ("mean over sites", shape / months, unit),
            ("shape between sites", shape, "Gamma shape"),
        ):
            low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
            yield name, "prior", middle, low, high, of, source, "sites without a prior of their own"
    alike: dict[tuple, list[Site]] = {}
    for site in plan.sites:
        key = (site.name,) if site.has_data else (site.prior, site.rate, plan.prior)
        alike.setdefault(key, []).append(site)
    for sites in alike.values():
        name = f"rate at {sites[0].name}" + (f" and {len(sites) - 1} others like it" if len(sites) > 1 else "")
        yield name, *_rate_of(plan, sites[0], unit), _openings(sites)
        stock = [np.mean(s.stock) for s in sites]
        if any(stock):
            low, high = (sum(map(end, (s.stock for s in sites))) for end in (min, max))
            name = f"stock at {sites[0].name}"
            yield name, "data", sum(stock), low, high, "patients on opening day", "registry", "beside arrivals"


def _rate_of(plan: Plan, site: Site, unit: str) -> tuple:
    if site.rate is not None:
        return "assumed rate", site.rate, site.rate, site.rate, unit, "taken as known"
    prior = site.prior or plan.prior or (None if shares_a_prior(plan) else JEFFREYS)
    if site.has_data:
        seen = f"{np.mean(site.arrivals):g} in {site.months:g} months"
        seen += f" (mean of {len(site.arrivals)} imputations)" if len(site.arrivals) > 1 else ""
        if prior is None:
            rate = np.mean(site.arrivals) / site.months
            return "data", rate, np.nan, np.nan, unit, f"{seen}; shrunk towards the other sites"
        made = [prior.update(n, site.months) for n in site.arrivals]
        low, high = min(g.interval()[0] for g in made), max(g.interval()[1] for g in made)
        return "data", float(np.mean([g.mean for g in made])), low, high, unit, f"{seen}; prior {prior}"
    if prior is None:
        return "prior", np.nan, np.nan, np.nan, unit, "like the other sites (prior predictive)"
    return "prior", prior.mean, *prior.interval(), unit, prior.source or f"prior {prior}"


def _openings(sites: list[Site]) -> str:
    first, last = min(s.earliest_opening for s in sites), max(s.latest_opening for s in sites)
    text = f"opens in month {first:g}" if first == last else f"opens in months {first:g} to {last:g}"
    ramp = max(s.ramp_up for s in sites)
    return text + (f", full speed {ramp:g} months later" if ramp else "")


def _limits(plan: Plan) -> Iterable[tuple]:
    common = "all sites, drawn once per simulated trial"
    if plan.queued:
        slots = plan.slots
        first = f"the first {slots.patients} patients" if slots.patients else "all patients"
        yield "gap between places", "plan", *[slots.gap] * 3, "months", "plan", f"before {slots.before}, {first}"
        yield "longest wait", "plan", *[slots.max_wait] * 3, "months", "plan", f"before {slots.before}"
        yield (
            "eligibility while waiting, half-life",
            "plan",
            *[slots.half_life] * 3,
            "months",
            "plan",
            "waiting patients",
        )
    for start, factor in plan.calendar:
        yield f"calendar from month {start:g}", "plan", *[factor] * 3, "factor on rates", "plan", "all sites"
    for name, sd in (("calendar effect of each year", plan.calendar_sd), ("attractiveness", plan.attractiveness_sd)):
        if sd:
            low, high = (float(np.exp(z * sd - sd * sd / 2)) for z in (-1.96, 1.96))
            yield name, "assumed rate", 1.0, low, high, "factor on rates", f"SD of its logarithm {sd:g}", common
    if any(any(s.stock) for s in plan.sites):
        yield "stock approached", "plan", *[plan.stock_rate] * 3, "a month", "plan", "opening stock"
        yield (
            "stock loses eligibility, half-life",
            "plan",
            *[plan.stock_half_life] * 3,
            "months",
            "plan",
            "opening stock",
        )


def _rate_row(rate) -> tuple[float, float, float]:
    if isinstance(rate, float):
        return rate, rate, rate
    betas = rate if isinstance(rate, tuple) else (rate,)
    return mean_rate(rate), min(b.interval(0.95)[0] for b in betas), max(b.interval(0.95)[1] for b in betas)
