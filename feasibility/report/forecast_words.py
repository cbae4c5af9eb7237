"""The figures of the sections on unknowns and enrolment, in words for those who do not see them."""

from __future__ import annotations

import pandas as pd

from feasibility.figures.style import count, title_case


def ledger_alt(section) -> str:
    """The figure of unknowns by criterion, in words."""
    worst = section.ledger.sort_values("n_blocking", ascending=False, kind="stable").head(3)
    named = "; ".join(f"{title_case(row['name'])} {count(row.n_blocking)}" for _, row in worst.iterrows())
    return f"Bars of patients who pass, are unknown and fail, by criterion. Most patients kept open: {named}."


def information_alt(section) -> str:
    """The figure of the value of information, in words."""
    best = section.information.iloc[0]
    settled = best.n_settled_surely if pd.isna(best.n_settled_expected) else round(best.n_settled_expected)
    return (
        f"Dots of the patients settled by filling in columns. The best single one is {best['columns'][0]}:"
        f" {count(settled)} of {count(section.n_undetermined)} undetermined patients."
    )


def arrivals_alt(section) -> str:
    """The figure of arrivals, in words."""
    table = section.arrivals
    return (
        f"Bars of newly eligible patients by period over {table.exposure_months.sum():.0f} months:"
        f" {count(table.n_confirmed.sum())} confirmed, {count(table.n_possible.sum())} possible."
    )


def fan_alt(section) -> str:
    """The fan chart, in words."""
    last = section.fan.iloc[-1]
    return (
        f"Patients {section.goal} over {section.fan.index[-1]} months: by then {count(last.low_80)} to"
        f" {count(last.high_80)} with 80 % probability; the target is {count(section.target)}."
    )
