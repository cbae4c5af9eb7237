"""The sentences of a report: what the numbers mean, in words for readers who are not analysts."""

from __future__ import annotations

import pandas as pd

from feasibility.figures.style import count, share, title_case
from feasibility.report.data import ReportData

CONFIRMED = "Everything the data can decide is known, and every criterion is satisfied."
POSSIBLE = "No criterion is known to fail, but something may still be unknown. Includes the confirmed."
UNKNOWN = "Unknown: the record is missing, too old or not precise enough to decide. It never counts as a yes or a no."


def patients(n) -> str:
    """
    >>> patients(1), patients(1234)
    ('1 patient', '1,234 patients')
    """
    return f"{count(n)} patient{'' if n == 1 else 's'}"


def costliest(report: ReportData, top: int = 3) -> list[str]:
    """The criteria that cost most patients, as sentences; by their fair share of the patients excluded."""
    excluded = report.n_patients - report.n_possible
    table = report.impact.sort_values(["shapley", "n_failing"], ascending=False, kind="stable")
    lines = []
    for key, row in table[table["n_failing"] > 0].head(top).iterrows():
        back = (
            f"waived alone it would bring back {count(row.gain_possible)} possible"
            if row.gain_possible
            else "waived alone it would bring nobody back"
        )
        lines.append(
            f"{title_case(row['name'])} ({key}): {patients(row.n_failing)} fail it, and it accounts for "
            f"{share(row.shapley, excluded)} of all exclusions; {back}."
        )
    return lines


def largest_unknowns(report: ReportData, top: int = 3) -> list[str]:
    """The criteria most often unknown, as sentences."""
    rows = sorted((r for r in report.criteria if r.n_unknown), key=lambda r: -r.n_unknown)[:top]
    return [
        f"{title_case(r.name)} ({r.id}): unknown for {count(r.n_unknown)} of {count(report.n_patients)} patients"
        f" ({share(r.n_unknown, report.n_patients)}){'; ' + r.why_unknown if r.why_unknown else ''}."
        for r in rows
    ]


def funnel_alt(report: ReportData) -> str:
    """The funnel figure in words."""
    table = report.attrition
    biggest = table.sort_values("n_excluded", ascending=False, kind="stable").head(3)
    losses = ", ".join(f"{i} {title_case(r['name'])} {count(r.n_excluded)}" for i, r in biggest.iterrows())
    return (
        f"Bar chart of the {len(table)} criteria in protocol order. {patients(report.n_patients)} enter; "
        f"{count(report.n_possible)} are possible at the end, of whom {count(report.n_confirmed)} are confirmed. "
        f"Largest losses: {losses}. All numbers are in the table below."
    )


def flow_alt(report: ReportData) -> str:
    """The flow diagram in words."""
    return (
        f"Flow diagram: {patients(report.n_patients)}, {count(report.n_patients - report.n_possible)} excluded with "
        f"reasons by clause, {count(report.n_confirmed)} confirmed, "
        f"{count(report.n_possible - report.n_confirmed)} undetermined."
    )


def impact_alt(impact: pd.DataFrame) -> str:
    """The impact figure in words."""
    best = impact.sort_values("gain_possible", ascending=False, kind="stable").iloc[0]
    return (
        "Bar charts, one row per criterion: on the left patients failing it and its share of the loss, on the right "
        f"patients gained by waiving it alone. Largest gain: {best.name} {title_case(best['name'])}, "
        f"{count(best.gain_possible)} possible. All numbers are in the table below."
    )


def value(setting_value) -> str:
    """A threshold or reading as a person would write it.

    >>> value(60.0), value(False), value("ast_and_alt"), value(float("inf"))
    ('60', 'no', 'ast and alt', 'no limit')
    """
    if isinstance(setting_value, bool):
        return "yes" if setting_value else "no"
    if isinstance(setting_value, (int, float)):
        return "no limit" if setting_value == float("inf") else f"{setting_value:,.10g}"
    return str(setting_value).replace("_", " ")


def raw(setting_value) -> str:
    """A threshold or reading as it is typed: readings keep their underscores.

    >>> raw("ast_and_alt"), raw(60.0)
    ('ast_and_alt', '60')
    """
    return setting_value if isinstance(setting_value, str) else value(setting_value)


EVENTS = {
    "quarantined": "set aside as unknown",
    "converted": "converted to the declared unit",
    "inferred_unit": "unit inferred from the value",
    "censored": "known only as a limit",
    "range": "given as a range",
    "recoded": "words and codes recognised",
    "partial_date": "dates without a day or month",
    "filled": "filled by a declared rule",
}


def event(kind: str) -> str:
    """What was done to values, in words.

    >>> event("quarantined"), event("row_rejected")
    ('set aside as unknown', 'row rejected')
    """
    return EVENTS.get(kind, kind.replace("_", " "))


UNITS = {"a": "years", "d": "days", "mo": "months", "wk": "weeks", "%": "%", "1": "", "{score}": ""}


def unit(text: str) -> str:
    """A UCUM unit as a person would write it."""
    return UNITS.get(text, text.replace("10*9/L", "×10⁹/L").replace("umol", "µmol").replace("[IU]", "IU"))
