"""The report as one HTML file that needs nothing else: no network, no script, no font, no image file."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from feasibility.figures import plot_attrition, plot_flow, plot_impact
from feasibility.figures.style import count, share, title_case
from feasibility.report import words
from feasibility.report.data import ReportData
from feasibility.report.svg import inline_svg


@cache
def environment() -> jinja2.Environment:
    """The templates of this package, escaping everything that is not marked as HTML."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("feasibility", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "count": count,
        "share": share,
        "title_case": title_case,
        "value": words.value,
        "unit": words.unit,
        "raw": words.raw,
    }
    env.filters |= {"name": name, "breakable": breakable, "prose": prose}
    env.globals |= {"patients": words.patients, "css": css, "words": words, "paragraphs": paragraphs}
    return env


@cache
def css() -> Markup:
    """The style sheet shared by all pages."""
    return Markup(files("feasibility.report").joinpath("report.css").read_text(encoding="utf-8"))


def breakable(text: str) -> Markup:
    """Text whose long_names may break after an underscore.

    >>> str(breakable("days_since <x>"))
    'days_<wbr>since &lt;x&gt;'
    """
    return Markup(str(escape(text)).replace("_", "_<wbr>"))


def name(text: str) -> Markup:
    """The name of a column or setting."""
    return Markup("<code>{}</code>").format(breakable(text))


def prose(text: str) -> Markup:
    """A docstring's sentence, with what stands in backquotes set as a name."""
    parts = re.split(r"``([^`]+)``", str(text))
    return Markup("").join(name(part) if i % 2 else escape(part) for i, part in enumerate(parts))


def paragraphs(text: str) -> list[str]:
    """A docstring's paragraphs, each on one line."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def render_html(report: ReportData) -> str:
    """The report as one self-contained HTML page; the same report gives the same bytes."""
    figures = {
        "funnel": inline_svg(plot_attrition(report.attrition, title=""), "funnel", words.funnel_alt(report)),
        "flow": inline_svg(plot_flow(report.attrition, title=""), "flow", words.flow_alt(report)),
        "impact": inline_svg(plot_impact(report.impact, title=""), "impact", words.impact_alt(report.impact)),
    }
    impact = report.impact.sort_values(["shapley", "n_failing"], ascending=False, kind="stable")
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            figures=figures,
            impact=impact,
            missing=folded_columns(report),
            settings=merged_settings(report),
            costliest=words.costliest(report),
            unknowns=words.largest_unknowns(report),
        )
    )


def merged_settings(report: ReportData) -> list[dict]:
    """One row per threshold or reading, with all the criteria that use it; changed ones first."""
    rows: dict[str, dict] = {}
    for setting in report.settings:
        row = rows.setdefault(setting.name, {"setting": setting, "criteria": []})
        row["criteria"].append(setting.criterion)
    return sorted(rows.values(), key=lambda row: not row["setting"].changed)


def folded_columns(report: ReportData) -> list[dict]:
    """The missing columns, with a value's date told along with the value."""
    absent = {one.column for one in report.missing_columns}
    companions = {f"{unit}_since_{column}": column for column in absent for unit in ("days", "months")}
    return [
        {
            "column": one.column,
            "criteria": one.criteria,
            "dated": any(c in absent for c, of in companions.items() if of == one.column),
        }
        for one in report.missing_columns
        if one.column not in companions
    ]
