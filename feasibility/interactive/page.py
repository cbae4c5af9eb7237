"""The interactive part of a sponsor's page: one piece of HTML with its style, script and protected numbers inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from feasibility.disclosure.plan import Change
from feasibility.disclosure.table import ProtectedTable
from feasibility.interactive.chart import chart, library
from feasibility.interactive.columns import Slider
from feasibility.interactive.knowledge import Knowledge, knowledge_of
from feasibility.interactive.ranges import funnel_ranges, ranges
from feasibility.interactive.texts import (
    between,
    name_of,
    number_of,
    rounding_of,
    strings_of,
    threshold_of,
    unit_of,
)

IN_SCRIPT = (
    "range", "wide", "narrow", "exact", "at_protocol", "looser", "stricter", "changed", "switched_off", "left_out",
    "table_caption", "state_protocol", "state_changed", "announce",
)  # fmt: skip
"""The texts that the script changes while the page is used."""


def interactive_fragment(
    core: ProtectedTable, *, language: str = "en", strings: Mapping[str, Any] | None = None
) -> str:
    """Sliders, switches and a chart over a protected table, as HTML to put into a page.

    Everything is inside: no file, no server and no network is needed, and without JavaScript the released numbers stand
    there as tables. Only the protected groups' counts are in it. ``strings`` replaces the texts of ``language`` ("en"
    or "zh"), all or some; the tables ``names`` and ``units`` in them translate criteria, thresholds and units. The same
    table gives the same text.

    Raises FeasibilityError for an unknown language or text, a text with other braces than the original, and where
    Bokeh is not installed.
    """
    known, texts = knowledge_of(core), strings_of(language, strings)
    sliders = [_slider(one, known, texts) for one in known.sliders]
    return _template().render(
        s=texts,
        language=language,
        css=_part("panel.css"),
        script=_part("panel.js"),
        library=Markup(library()),
        fill=lambda key, **values: texts[key].format(**values),
        shown=core.policy.shown,
        rounding=rounding_of(core.policy, texts),
        n_patients=known.n_patients,
        sliders=sliders,
        criteria=_criteria(core, known, texts),
        answers=dict(zip(("possible", "confirmed"), _pair(core, known, texts), strict=True)),
        singles=_singles(core, known, sliders, texts),
        facts=_json(_facts(core, known, sliders, texts)),
        chart=_json(chart(len(known.labels), known.n_patients, texts["axis"])),
    )


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("feasibility", "interactive")
    env = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return env.get_template("panel.html")


def _part(name: str) -> Markup:
    return Markup(files("feasibility.interactive").joinpath(name).read_text(encoding="utf-8"))


def _json(values) -> Markup:
    """Plain values for a script element, in which "<" could end it."""
    return Markup(json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def _pair(core: ProtectedTable, known: Knowledge, texts, off=(), thresholds=None) -> tuple[str, str]:
    now = ranges(known, off, thresholds)
    possible = between(core.policy, now.possible_low, now.possible_high, texts)
    return possible, between(core.policy, now.confirmed_low, now.confirmed_high, texts)


def _slider(slider: Slider, known: Knowledge, texts) -> dict:
    """What the page says of a slider; ``places`` are those of its values among all values of this threshold."""
    every = sorted({v for c in known.columns for k, v in c.settings if k == slider.name} | set(slider.values))
    ticks, unit = [number_of(v, texts) for v in slider.values], unit_of(slider.unit, texts)
    return {
        "slider": slider,
        "name": slider.name,
        "label": threshold_of(slider.name, texts),
        "owners": ", ".join(known.labels[i].id for i in slider.criteria),
        "unit": unit,
        "ticks": ticks,
        "texts": [f"{tick} {unit}".strip() for tick in ticks],
        "last": max(len(ticks) - 1, 1),
        "protocol": slider.values.index(slider.protocol),
        "places": {v: k for k, v in enumerate(every)},
    }


def _criteria(core: ProtectedTable, known: Knowledge, texts) -> list[dict]:
    return [
        {
            "id": label.id,
            "name": name_of(label.name, texts),
            "reason": label.reason,
            "remaining": between(core.policy, row.remaining_low, row.remaining_high, texts),
            "confirmed": between(core.policy, row.confirmed_low, row.confirmed_high, texts),
        }
        for label, row in zip(known.labels, funnel_ranges(known).itertuples(), strict=True)
    ]


def _singles(core: ProtectedTable, known: Knowledge, sliders: list[dict], texts) -> list[dict]:
    """The released single changes as tables: what a reader without JavaScript has."""
    waived = [
        ([f"{x.id} {name_of(x.name, texts)}"], _pair(core, known, texts, [x.id]), False)
        for x in core.labels
        if core.has(f"gain_possible:{x.id}")
    ]
    moved = [
        ([one["label"], text], _pair(core, known, texts, (), {one["name"]: value}), value == one["slider"].protocol)
        for one in sliders
        for value, text in zip(one["slider"].values, one["texts"], strict=True)
    ]
    words = {change.name: _words(change, core, known, sliders, texts) for change in core.changes}
    shown = core.policy.shown
    compared = [
        ([name, words[name]], (shown(one.n_possible), shown(one.n_confirmed)), False)
        for name, one in core.scenarios().iterrows()
    ]
    tables = (
        ("waive_caption", ("criterion",), waived),
        ("threshold_caption", ("threshold", "value"), moved),
        ("scenario_caption", ("scenario", "changes"), compared),
    )
    return [
        {
            "caption": texts[caption],
            "heads": [texts[head] for head in heads],
            "rows": [dict(zip(("heads", "numbers", "own"), row, strict=True)) for row in rows],
        }
        for caption, heads, rows in tables
        if rows
    ]


def _words(change: Change, core: ProtectedTable, known: Knowledge, sliders: list[dict], texts) -> str:
    """What a scenario changes, in the page's own names where it only moves sliders and leaves criteria out."""
    by_name = {one["name"]: one for one in sliders}
    moved = {column.partition("|")[0] for column in change.columns if "|" in column}
    told = {known.labels[i].id for name in change.settings if name in by_name for i in known.slider[name].criteria}
    if any(name not in by_name for name in change.settings) or not moved <= told:
        return change.words
    parts = []
    for name, value in change.settings.items():
        one = by_name[name]
        before = one["ticks"][one["protocol"]]
        parts.append(f"{one['label']} {before} → {number_of(value, texts)} {one['unit']}".strip())
    names = {label.id: f"{label.id} {name_of(label.name, texts)}" for label in core.labels}
    return "; ".join([*parts, *(f"{names[key]}: {texts['left_out']}" for key in change.waived)])


def _facts(core: ProtectedTable, known: Knowledge, sliders: list[dict], texts) -> dict:
    """What the script computes with: protected counts, and which columns, clauses and texts belong to them."""
    number = {one["name"]: k for k, one in enumerate(sliders)}
    return {
        "small": {"below": core.policy.threshold if core.policy.threshold > 1 else 0, "text": core.policy.shown(0)},
        "criteria": [{"id": label.id, "name": name_of(label.name, texts)} for label in known.labels],
        "sliders": [
            {
                "name": one["name"],
                "direction": one["slider"].direction,
                "protocol": one["protocol"],
                "scale": [one["places"][v] for v in one["slider"].values],
                "texts": one["texts"],
                "criteria": one["slider"].criteria,
            }
            for one in sliders
        ],
        "columns": [
            [column.criterion, {str(number[k]): sliders[number[k]]["places"][v] for k, v in column.settings}]
            for column in known.columns
        ],
        "clauses": [[clause.fails, clause.doubts] for clause in known.clauses],
        "groups": [[group.n, group.passes, group.stays, group.clauses] for group in known.groups],
        "words": {key: texts[key] for key in IN_SCRIPT},
    }
