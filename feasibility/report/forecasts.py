"""The report's sections on what the data cannot say and on enrolment, as plain values; both are optional."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd

from feasibility.figures.style import count, title_case


@dataclass(frozen=True)
class Line:
    """A row of a small table: what, and the numbers as they are printed."""

    label: str
    cells: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class MissingSection:
    """What is unknown, what filling it in would settle, and estimates by name. Nothing here is a patient."""

    ledger: pd.DataFrame = field(repr=False)
    information: pd.DataFrame | None = field(repr=False)
    estimates: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    n_undetermined: int = 0


@dataclass(frozen=True, eq=False)
class EnrollmentSection:
    """Arrivals a month, the forecast, and every assumption behind it."""

    arrivals: pd.DataFrame = field(repr=False)
    fan: pd.DataFrame = field(repr=False)
    probabilities: pd.DataFrame = field(repr=False)
    summaries: tuple[Line, ...] = ()
    rates: tuple[Line, ...] = ()
    assumptions: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    target: int = 0
    goal: str = ""


def missing_section(screening, cohort, imputations=None, *, most: int = 3, progress=None) -> MissingSection:
    """The section on missing data of one screening; with ``imputations`` also the estimates."""
    from feasibility.missing.estimands import in_extract, in_source
    from feasibility.missing.information import value_of_information
    from feasibility.missing.ledger import missing_ledger

    ledger = missing_ledger(screening, cohort).criteria
    undetermined = int((screening.status == "undetermined").sum())
    worth = value_of_information(screening, cohort, imputations, most, progress=progress) if undetermined else None
    source = imputations if undetermined else screening
    estimates, notes = (), ()
    if source is not None:
        found = (in_extract(source), in_source(source))
        estimates = tuple(estimate_line(one) for one in found)
        notes = tuple(one.note for one in found)
    return MissingSection(ledger, worth, estimates, notes, undetermined)


def estimate_line(one) -> Line:
    """An estimand in printed numbers: middle, 80 % and 95 % intervals, bounds."""
    share = one.unit == "share"
    middle = one.estimate if not hasattr(one, "estimate_possible") else (one.estimate + one.estimate_possible) / 2
    what = {
        "in_extract": "Eligible in this table, on its day",
        "in_source": "Share eligible where these patients come from",
    }[one.name]
    shown = [_number(middle, share)] + [f"{_number(a, share)} to {_number(b, share)}"
                                        for a, b in (one.interval_80, one.interval_95, one.bounds)]  # fmt: skip
    return Line(what, tuple(shown), one.name)


def _number(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else count(round(value))


def enrollment_section(found) -> EnrollmentSection:
    """The section on enrolment of what ``enrollment_of`` returned."""
    first = next(iter(found.forecasts.values()))
    summaries = tuple(
        Line(title_case(name), tuple(_month(made.when(p), made.months) for p in (0.5, 0.8, 0.9)), made.summary())
        for name, made in found.forecasts.items()
    )
    rates = tuple(
        Line(title_case(name), (f"{r.estimate:.2f}", *(f"{a:.2f} to {b:.2f}"
                                                       for a, b in (r.interval_80, r.interval_95))))
        for name, r in found.per_month.items()
    )  # fmt: skip
    assumed = tuple(
        Line(str(name), (row.kind, _plain(row.value), "" if row.low == row.high else
                         f"{_plain(row.low)} to {_plain(row.high)}".removeprefix(" to "), row.unit), str(row.source))
        for name, row in found.assumptions.iterrows()
    )  # fmt: skip
    notes = (*found.notes, *(n for made in found.forecasts.values() for n in made.notes))
    return EnrollmentSection(
        found.arrivals.table, first.fan(), first.probabilities(), summaries, rates, assumed,
        tuple(dict.fromkeys(notes)), first.plan.target, first.plan.goal,
    )  # fmt: skip


def _plain(value) -> str:
    if isinstance(value, str):
        return value
    number = float(value)
    if math.isnan(number):
        return ""
    if math.isinf(number):
        return "no limit"
    return count(int(number)) if number == int(number) else f"{number:.3g}"


def _month(value: float, months: int) -> str:
    return f"month {value:.0f}" if value <= months else f"later than month {months}"
