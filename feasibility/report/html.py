"""The report as one HTML file that needs nothing else: no network, no script, no font, no image file."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup, escape

from feasibility.figures import plot_attrition, plot_flow, plot_impact
from feasibility.figures.style import count, share, title_case, whole_number
from feasibility.report import forecast_words as alt
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
        "signed": words.signed,
        "nonzero": lambda n: count(n) if n else "–",
        "whole": whole_number,
    }
    env.filters |= {"name": name, "breakable": breakable, "prose": prose}
    env.filters |= {"because": because}
    env.globals |= {
        "patients": words.patients, "css": css, "words": words, "paragraphs": paragraphs,
        "running_footer": running_footer, "quantity": words.quantity,
    }  # fmt: skip
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


def because(causes, top: int = 3) -> Markup:
    """Why something is unknown: patients by the record that keeps it so, the column's name small."""
    lines = []
    for one in causes[:top]:
        what = words.short(one.meaning)
        label = Markup("{} <small>{}</small>").format(what, name(one.column)) if what else name(one.column)
        lines.append(Markup("{}: {}").format(label, words.parts(one)) if one.column else escape(words.parts(one)))
    rest = words.causes_left(causes, top)
    return Markup("; ").join([*lines, *([f"{count(rest)} for other reasons"] if rest else [])])


def running_footer(*parts: str) -> Markup:
    """Print rules that repeat up to three texts, and the page number, at the foot of every page."""
    boxes = zip(("left", "center", "right"), parts, strict=False)
    rules = [f"@bottom-{side} {{ content: {_css_text(text)}{PAGE_NUMBER if side == 'right' else ''}; }}"
             for side, text in boxes]  # fmt: skip
    return Markup("@page { " + " ".join(rules) + " }")


PAGE_NUMBER = ' " · page " counter(page) " of " counter(pages)'


def _css_text(text: str) -> str:
    plain = (c if c.isascii() and (c.isalnum() or c in " .,:()") else f"\\{ord(c):x} " for c in str(text))
    return f'"{"".join(plain)}"'


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
    if report.unknowns is not None:
        figures |= _unknown_figures(report.unknowns)
    if report.enrollment is not None:
        figures |= _enrollment_figures(report.enrollment)
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
            funnel=funnel_rows(report),
            page_facts=page_facts(report),
        )
    )


def _unknown_figures(section) -> dict[str, Markup]:
    from feasibility.figures.missing import plot_information, plot_ledger

    figures = {"ledger": inline_svg(plot_ledger(section.ledger, title=""), "ledger", alt.ledger_alt(section))}
    if section.information is not None:
        axes = plot_information(section.information, title="")
        figures["information"] = inline_svg(axes, "information", alt.information_alt(section))
    return figures


def _enrollment_figures(section) -> dict[str, Markup]:
    from feasibility.figures.arrivals import plot_arrivals
    from feasibility.figures.enrollment import plot_fan

    return {
        "arrivals": inline_svg(plot_arrivals(section.arrivals, title=""), "arrivals", alt.arrivals_alt(section)),
        "fan": inline_svg(plot_fan(section.fan, title=""), "fan", alt.fan_alt(section)),
    }


def merged_settings(report: ReportData) -> list[dict]:
    """One row per threshold or reading, with all the criteria that use it; changed ones first, then ours."""
    rows: dict[str, dict] = {}
    for setting in report.settings:
        row = rows.setdefault(setting.name, {"setting": setting, "criteria": []})
        row["criteria"].append(setting.criterion)
    return sorted(rows.values(), key=lambda row: (not row["setting"].changed, not row["setting"].ours))


def funnel_rows(report: ReportData) -> list[dict]:
    """The rows of the funnel table, waived criteria where they would stand."""
    rows: list[dict] = []
    for key, row in report.attrition.iterrows():
        rows += [{"id": w.id, "name": w.name, "waived": True} for w in report.waived_rows if w.before == key]
        rows.append({"id": key, "waived": False, **row})
    return rows + [{"id": w.id, "name": w.name, "waived": True} for w in report.waived_rows if not w.before]


def page_facts(report: ReportData) -> list[str]:
    """What the head of the page says about it."""
    return [fact for fact in (
        f"Trial {report.trial_id}",
        report.fingerprint and f"protocol {report.fingerprint[:8]}",
        report.version and f"software {report.version}",
        report.sponsor and f"sponsor: {report.sponsor}",
        report.site and f"site: {report.site}",
        report.contact and f"contact: {report.contact}",
        report.index_date and f"patients as of {report.index_date}",
        report.source and f"from {report.source}",
        f"report of {report.generated_on}",
    ) if fact]  # fmt: skip


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
