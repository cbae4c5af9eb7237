"""The sentences of a report: what the numbers mean, in words for readers who are not analysts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from feasibility.figures.style import count, share, title_case
from feasibility.report.data import CauseRow, ReportData, SettingRow

CONFIRMED = (
    "Everything the data can decide is known: all inclusion criteria are met and no exclusion criterion applies."
)
POSSIBLE = (
    "Nothing known excludes them, but something may still be unknown. Includes the confirmed. An upper limit, not an"
    " estimate; poorer records raise it."
)
UNKNOWN = "Unknown: the record is missing, too old or not precise enough to decide. It never counts as a yes or a no."
SUMMARY = "A summary in our words, not the registered text."
SYNTHETIC = "Synthetic data: nobody on this page is a patient."
PAGE = "A count on one day, not a rate per month; whether patients are alive and reachable is as the file has it."


def patients(n) -> str:
    """
    >>> patients(1), patients(1234)
    ('1 patient', '1,234 patients')
    """
    return f"{count(n)} patient{'' if n == 1 else 's'}"


def synthetic(n: int, n_patients: int) -> str:
    """What the banner says of rows that a generator made.

    >>> synthetic(3, 5)
    'Synthetic rows: 3 of the 5 on this page are no patients.'
    """
    return (
        SYNTHETIC
        if n >= n_patients
        else f"Synthetic rows: {count(n)} of the {count(n_patients)} on this page are no patients."
    )


def signed(n) -> str:
    """A difference as a person would write it.

    >>> signed(6), signed(-1200), signed(0)
    ('+6', '−1,200', '±0')
    """
    return "±0" if n == 0 else f"{'+' if n > 0 else '−'}{count(abs(n))}"


def joined(parts: Sequence[str]) -> str:
    """
    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    parts = list(parts)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def costliest(report: ReportData, top: int = 3) -> list[str]:
    """The criteria that cost most patients, as sentences; by their fair share of the patients excluded."""
    excluded = report.n_patients - report.n_possible
    table = report.impact.sort_values(["shapley", "n_failing"], ascending=False, kind="stable")
    return [
        f"{title_case(row['name'])} ({key}): {patients(row.n_failing)} excluded by it, {share(row.shapley, excluded)} "
        f"of the loss; waived alone: {_gain(row.gain_confirmed)} confirmed, {_gain(row.gain_possible)} possible."
        for key, row in table[table["n_failing"] > 0].head(top).iterrows()
    ]


def _gain(n) -> str:
    return f"+{count(n)}" if n else "0"


def largest_unknowns(report: ReportData, top: int = 3) -> list[str]:
    """The criteria most often unknown, as sentences."""
    rows = sorted((r for r in report.criteria if r.n_unknown), key=lambda r: -r.n_unknown)[:top]
    return [
        f"{title_case(r.name)} ({r.id}): unknown for {count(r.n_unknown)} of {count(report.n_patients)} patients"
        f" ({share(r.n_unknown, report.n_patients)}){'; ' + why(r.causes, top=2) if r.causes else ''}."
        for r in rows
    ]


def only_one(report: ReportData) -> str:
    """How many of the excluded one criterion alone keeps out."""
    excluded = report.n_patients - report.n_possible
    if not excluded:
        return "Nobody is excluded."
    n = int(report.impact["gain_possible"].sum())
    return (
        f"{count(n)} of the {count(excluded)} excluded ({share(n, excluded)}) fail exactly one criterion; the others "
        "would stay out if just one were waived."
    )


def unknown_criteria(report: ReportData) -> str:
    """Of the undetermined, how many have one, two, three or more criteria unknown."""
    undetermined = report.n_possible - report.n_confirmed
    if not undetermined or not report.unknown_criteria:
        return ""
    parts = [f"{count(n)} {'has' if n == 1 else 'have'} {label}" for label, n in report.unknown_criteria.items() if n]
    return (
        f"Of the {count(undetermined)} undetermined (possible, not confirmed), {joined(parts)} "
        f"{'criterion' if list(report.unknown_criteria)[-1] == '1' else 'criteria'} unknown."
    )


def assumed_together(report: ReportData) -> str:
    """The joint assumed rate, once."""
    if report.assumed_together is None:
        return ""
    mean, low, high = (f"{100 * x + 1e-9:.0f}" for x in report.assumed_together)
    return f"together about {mean} % ({low} to {high} %) of patients are assumed to pass them"


def why(causes: Sequence[CauseRow], top: int = 3) -> str:
    """Why something is unknown: patients by the record that keeps it so.

    >>> row = CauseRow("cd3_10e9_l", "CD3+ T lymphocytes, absolute.", ((546, "not recorded"), (313, "too old")))
    >>> why([row])
    'CD3+ T lymphocytes: 546 not recorded, 313 too old (cd3_10e9_l)'
    """
    lines = []
    for one in causes[:top]:
        what = short(one.meaning) or one.column
        lines.append(f"{what}: {parts(one)}" if what else parts(one))
        if one.column and what != one.column:
            lines[-1] += f" ({one.column})"
    rest = causes_left(causes, top)
    return "; ".join(lines + ([f"{count(rest)} for other reasons"] if rest else []))


def parts(cause: CauseRow) -> str:
    """
    >>> parts(CauseRow("x", "", ((5, "not recorded"), (1200, "too old"))))
    '5 not recorded, 1,200 too old'
    """
    return ", ".join(f"{count(n)} {text}" if text != "several values together" else f"{count(n)} need {text}"
                     for n, text in cause.parts)  # fmt: skip


def causes_left(causes: Sequence[CauseRow], top: int) -> int:
    """Patients under causes beyond the first so many."""
    return sum(n for one in causes[top:] for n, _ in one.parts)


def short(meaning: str, length: int = 64) -> str:
    """The first words of a column's declaration.

    >>> short("CD3+ T lymphocytes, absolute."), short("Latest pregnancy test (quantitative hCG).")
    ('CD3+ T lymphocytes', 'Latest pregnancy test')
    """
    text = re.split(r"[;,(]|\.(?:\s|$)", meaning)[0].strip()
    return text if len(text) <= length else text[:length].rsplit(" ", 1)[0] + " …"


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
        "Bar charts, one row per criterion: on the left patients excluded by it and its share of the loss, on the "
        f"right patients gained by waiving it alone. Largest gain: {best.name} {title_case(best['name'])}, "
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
        return "no limit" if abs(setting_value) == float("inf") else f"{setting_value:,.10g}"
    return str(setting_value).replace("_", " ")


def raw(setting_value) -> str:
    """A threshold or reading as it is typed: readings keep their underscores.

    >>> raw("ast_and_alt"), raw(60.0)
    ('ast_and_alt', '60')
    """
    return setting_value if isinstance(setting_value, str) else value(setting_value)


def quantity(setting_value, unit_code: str = "") -> str:
    """A value with its unit; readings as they are typed.

    >>> quantity(14, "d"), quantity(1, "mo"), quantity(float("inf"), "mo"), quantity(45, "%")
    ('14 days', '1 month', 'no limit', '45 %')
    """
    text = raw(setting_value)
    if not unit_code or text == "no limit" or isinstance(setting_value, (bool, str)):
        return text
    name = unit(unit_code)
    if setting_value == 1 and name in ("years", "days", "months", "weeks", "hours"):
        name = name[:-1]
    return f"{text} {name}".strip()


def changed(row: SettingRow) -> str:
    """What a changed threshold or reading changes.

    >>> changed(SettingRow("min_platelets", "I5.3", "threshold", 20, 30, "10*9/L"))
    'platelets: lower limit 20 instead of 30 ×10⁹/L'
    >>> changed(SettingRow("max_days_since_ecog", "I3", "look-back", 56, 28, "d"))
    'ECOG: at most 56 instead of 28 days old'
    >>> changed(SettingRow("liver_combination", "E5.1", "reading", "all", "any"))
    'liver combination: read as "all" instead of "any"'
    """
    now, before = value(row.value), quantity(row.protocol, row.unit)
    if row.kind == "build setting":
        return f"{row.name}: {now} instead of {before}"
    if row.kind == "reading":
        return f'{_thing(row.name)}: read as "{now}" instead of "{value(row.protocol)}"'
    if row.kind == "look-back":
        return f"{_thing(re.sub('^max_(days|months)_since_', '', row.name))}: at most {now} instead of {before} old"
    side = {"min": "lower limit ", "max": "upper limit "}.get(row.name[:3] if row.name[3:4] == "_" else "", "")
    return f"{_thing(re.sub('^(min|max)_', '', row.name))}: {side}{now} instead of {before}"


def _thing(name: str) -> str:
    text = title_case(name)
    return text if text[1:2].isupper() or text[1:2].isdigit() else text[:1].lower() + text[1:]


EVENTS = {
    "quarantined": "set aside as unknown",
    "converted": "converted to the declared unit",
    "inferred_unit": "unit inferred from the value",
    "censored": "known only as a limit",
    "range": "given as a range",
    "recoded": "words and codes recognised",
    "partial_date": "dates without a day or month",
    "filled": "filled by a declared rule",
    "stated": "stated by the mapping, not recorded",
}


def event(kind: str) -> str:
    """What was done to values, in words.

    >>> event("quarantined"), event("row_rejected")
    ('set aside as unknown', 'row rejected')
    """
    return EVENTS.get(kind, kind.replace("_", " "))


UNITS = {
    "a": "years", "d": "days", "mo": "months", "wk": "weeks", "h": "hours", "%": "%", "1": "", "mm[Hg]": "mmHg",
    "kg/m2": "kg/m²", "Cel": "°C", "{beats}/min": "beats/min", "mg/d": "mg/day", "x ULN": "× ULN",
}  # fmt: skip
_DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def unit(text: str) -> str:
    """A UCUM unit as a person would write it.

    >>> [unit(u) for u in ("10*9/L", "mL/min/{1.73_m2}", "mm[Hg]", "[IU]/mL", "umol/L", "{score}", "mo")]
    ['×10⁹/L', 'mL/min/1.73 m²', 'mmHg', 'IU/mL', 'µmol/L', '', 'months']
    """
    if text in UNITS:
        return UNITS[text]
    text = text.replace("{1.73_m2}", "1.73 m²").replace("[IU]", "IU")
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"10[*^](\d+)", lambda m: "×10" + m.group(1).translate(_DIGITS), text)
    return re.sub(r"\bu(?=(mol|g|L)\b)", "µ", text)


DTYPES = {"Float64": "number", "Int64": "whole number", "boolean": "yes or no", "string": "one of the codes"}


def dtype(text: str) -> str:
    """
    >>> dtype("Int64"), dtype("boolean")
    ('whole number', 'yes or no')
    """
    return DTYPES.get(text, text)


def limits(text: str) -> str:
    """A range of the data dictionary in words.

    >>> limits("0 to inf"), limits("18 to 120"), limits("-inf to inf")
    ('0 or more, no upper limit', '18 to 120', 'no limits')
    """
    low, _, high = text.partition(" to ")
    if low == "-inf":
        return "no limits" if high == "inf" else f"up to {high}"
    return f"{low} or more, no upper limit" if high == "inf" else text
