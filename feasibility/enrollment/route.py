"""From a hospital's events to an enrolment forecast, in one call: what the command line and the report use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of, at_changes
from feasibility.enrollment.arrival_bounds import arrivals_imputed, site_counts
from feasibility.enrollment.arrivals import Arrivals, arrivals
from feasibility.enrollment.assumptions import assumptions, plan_from_protocol
from feasibility.enrollment.dated import DatedScreening, as_day, screen_dates
from feasibility.enrollment.exits import exits, observation
from feasibility.enrollment.forecast import Forecast, forecast
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.plan_file import load_plan
from feasibility.enrollment.settled import settle_dates
from feasibility.enrollment.sites import Site
from feasibility.errors import FeasibilityError, ReconciliationError
from feasibility.missing.estimands import per_month
from feasibility.missing.impute import impute
from feasibility.screening import screen

ESTIMATED, LEAST, MOST, PLANNED = "estimated", "confirmed only", "all possible", "as planned"
SETTLED = (
    "Undetermined dates were settled by imputation: each patient keeps one answer on all dates, with the share that is"
    " eligible of the undetermined on the last day."
)
BOUNDS = "Nothing was imputed: one forecast from confirmed arrivals, one from possible ones; no interval joins the two."

STATED = (
    "The forecast is of the plan as given: its sites state their own rates, and the arrivals counted here do not enter."
)


@dataclass(frozen=True, eq=False)
class Enrollment:
    """What one hospital's events say of enrolment.

    ``arrivals`` per month, ``per_month`` the rate with its interval by kind of count, ``forecasts`` by the same names
    (``estimated``, or ``confirmed only`` and ``all possible``), ``assumptions`` of the first plan, and ``notes``.
    """

    dated: DatedScreening
    arrivals: Arrivals
    per_month: dict
    plans: dict[str, Plan]
    forecasts: dict[str, Forecast]
    assumptions: pd.DataFrame
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict:
        """The numbers for a program."""
        table = self.arrivals.table.reset_index().astype({"period": str})
        return {
            "arrivals": json.loads(table.to_json(orient="records")),
            "totals": json.loads(self.arrivals.totals.reset_index().to_json(orient="records")),
            "per_month": {k: {"estimate": r.estimate, "low_95": r.interval_95[0], "high_95": r.interval_95[1]}
                          for k, r in self.per_month.items()},
            "forecasts": {k: {"months_to_target": json.loads(f.months_to_target().to_json()),
                              "probability_within": f.probability_by(f.months), "months": f.months}
                          for k, f in self.forecasts.items()},
            "assumptions": json.loads(self.assumptions.reset_index().to_json(orient="records")),
            "notes": list(self.notes),
        }  # fmt: skip


def enrollment_of(
    extract,
    protocol,
    start,
    end,
    *,
    target: int = 9,
    goal: str = "infused",
    plan_file: str | Path | None = None,
    months: int = 60,
    settings: Mapping | None = None,
    codelists=(),
    m: int = 39,
    seed: int = 1,
    records_from=None,
    missing_columns: str = "error",
    progress: Callable[[str, float], None] | None = None,
) -> Enrollment:
    """Arrivals between two days from event-driven dates, and the forecast of a plan that starts on the last.

    ``records_from`` is the day from which the hospital's records are complete; by default early enough that the longest
    window had passed by ``start`` (a note says so). If they begin later, the months until then are stock, not flow.

    With ``m`` imputations (fitted on the patients of the last day) the undetermined dates are settled and one forecast
    carries that uncertainty; with 0, or where nothing can be settled, there are two: from confirmed arrivals alone, and
    from all possible ones. ``plan_file`` is a TOML plan (``load_plan``); without it, one site with this registry's
    arrivals, the protocol's assumed rates and the steps of a CAR-T treatment.

    Raises what building, screening, imputing and planning raise.
    """
    dates = at_changes(start, end)
    cohort = build_cohort(extract, dates, protocol.columns, settings, progress, codelists=codelists)
    dated = screen_dates(cohort, protocol, dates, missing_columns=missing_columns, progress=progress)
    gone, seen = exits(extract), observation(extract)
    reach = np.timedelta64(int(dated.lookback_days or 0), "D")
    complete = as_day(records_from, dated.start - reach)
    more = {"exits": gone, "observation": seen, "data_start": complete}
    stratum = "site_id" if dated.strata is not None and dated.strata.get("site_id", pd.Series()).nunique() > 1 else None
    found = arrivals(dated, stratum=stratum, **more)
    undetermined = bool((dated.code == 1).any())
    notes, counts = [f"Records are taken to be complete from {complete}."], {}
    if m and undetermined:
        last = build_cohort(extract, as_of(end), protocol.columns, settings, progress, codelists=codelists)
        made, why = _imputed(last, protocol, m, seed, missing_columns, progress)
        notes += [why] if why else []
        if made is not None:
            settled = arrivals_imputed(dated, settle_dates(dated, made, seed=seed), stratum=stratum, **more)
            counts = {ESTIMATED: site_counts(settled)}
            notes.append(SETTLED)
    if not counts:
        kinds = {LEAST: "confirmed", MOST: "possible"} if undetermined else {ESTIMATED: "confirmed"}
        counts = {name: _counts(found, level) for name, level in kinds.items()}
        notes += [BOUNDS] if undetermined else []
    plans = {name: _plan(protocol, one, target, goal, plan_file) for name, one in counts.items()}
    if plan_file is not None and _alone(plan_file, protocol, plans):
        plans = {PLANNED: next(iter(plans.values()))}
        notes.append(STATED)
    rates = {
        name: per_month(_together([s["arrivals"] for s in one.values()]), max(s["months"] for s in one.values()))
        for name, one in counts.items()
    }
    made = {name: forecast(plan, months, seed=seed) for name, plan in plans.items()}
    return Enrollment(dated, found, rates, plans, made, assumptions(next(iter(plans.values()))), tuple(notes))


def _imputed(cohort, protocol, m: int, seed: int, missing_columns: str, progress):
    """(imputations of the patients of the last day or None, why there are none)."""
    screening = screen(cohort, protocol, missing_columns=missing_columns)
    if not (screening.status == "undetermined").any():
        return None, "Nobody is undetermined on the last day, so no share is known to settle earlier dates with."
    try:
        made = impute(cohort, screening, m=m, seed=seed, progress=progress)
    except ReconciliationError:
        raise
    except FeasibilityError as error:
        return None, f"The undetermined could not be imputed: {error}"
    if made.open:
        return None, f"The undetermined could not be imputed: {', '.join(made.open)} stay unknown."
    return made, ""


def _counts(found: Arrivals, level: str) -> dict[str, dict]:
    """Arrivals, months and opening stock of each site, as ``Site`` takes them."""
    return {
        str(name): {
            "arrivals": int(row[f"n_{level}"]),
            "months": float(row.exposure_months),
            "stock": int(row[f"pool_{level}"]),
        }
        for name, row in found.totals.iterrows()
    }


def _plan(protocol, counts: Mapping[str, Mapping], target: int, goal: str, plan_file) -> Plan:
    if plan_file is not None:
        return load_plan(plan_file, protocol, counts)
    sites = [Site(name if name != "all" else "this hospital", **one) for name, one in counts.items()]
    return plan_from_protocol(protocol, sites, target, goal=goal)


def _alone(plan_file, protocol, plans: Mapping[str, Plan]) -> bool:
    """Whether the plan file states all rates itself, so that what the registry saw changes nothing."""
    try:
        stated = load_plan(plan_file, protocol)
    except FeasibilityError:
        return False
    return all(plan == stated for plan in plans.values())


def _together(columns: list) -> list[int]:
    """Arrivals of all sites per imputation."""
    return [sum(one) for one in zip(*(c if isinstance(c, (list, tuple)) else [c] for c in columns), strict=True)]
