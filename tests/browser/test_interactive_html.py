"""The interactive part in a real browser, offline: what it shows is what Python computes from the same table."""

from __future__ import annotations

import random

import pytest
from helpers import ROOT

import feasibility as fz
from feasibility.disclosure.plan import Plan
from feasibility.disclosure.policy import POLICIES
from feasibility.disclosure.queries import CORE
from feasibility.disclosure.release import extended_of, protected_core
from feasibility.interactive.knowledge import knowledge_of
from feasibility.interactive.page import interactive_fragment
from feasibility.interactive.ranges import COLUMNS, funnel_ranges, ranges


@pytest.fixture(scope="module")
def core():
    protocol = fz.load_trial("NCT06642025")
    cohort = fz.read_cohort(ROOT / "synthetic_data" / "registry_sample.csv", protocol.columns)
    plan = Plan.of(protocol)  # what a release protects, without the minutes of the attack on it
    return protected_core(plan, extended_of(cohort, plan, "error", None), POLICIES["nhs"], CORE)[0]


@pytest.fixture(scope="module")
def known(core):
    return knowledge_of(core)


@pytest.fixture(scope="module")
def document(core, tmp_path_factory):
    """A page with the fragment in it, for each language."""
    folder = tmp_path_factory.mktemp("interactive")
    for language in ("en", "zh"):
        fragment = interactive_fragment(core, language=language)
        (folder / f"{language}.html").write_text(
            f'<!doctype html><html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width='
            f'device-width"><title>Report</title><style>body{{font-family:sans-serif;max-width:60rem;margin:auto;padding:'
            f"1rem}}</style><body><h1>Report</h1>{fragment}</body></html>",
            encoding="utf-8",
        )
    return folder


@pytest.fixture
def opened(chromium, document):
    """Open the page without a network; fails if anything but the file itself was asked for or went wrong."""
    contexts, asked, wrong = [], [], []

    def go(language="en", width=1200, **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.route(
            "**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort()
        )
        context.set_offline(True)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto((document / f"{language}.html").as_uri())
        if options.get("java_script_enabled", True):
            page.locator("[data-ready=yes]").wait_for(timeout=60_000)
        return page

    yield go
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.endswith(".html")] == []
    assert len(asked) == len(contexts)
    assert wrong == []


def between(low: int, high: int) -> str:
    ends = ["<8" if n < 8 else f"{n:,}" for n in (low, high)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def expect(page, known, off=(), thresholds=None):
    want = ranges(known, off, thresholds)
    shown = {key: page.locator(f"[data-answer={key}]").inner_text() for key in ("possible", "confirmed")}
    assert shown == {
        "possible": between(want.possible_low, want.possible_high),
        "confirmed": between(want.confirmed_low, want.confirmed_high),
    }
    cells = page.locator("[data-row]").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')].map(c => c.innerText))"
    )
    rows = funnel_ranges(known, off, thresholds).itertuples()
    assert cells == [
        [between(r.remaining_low, r.remaining_high), between(r.confirmed_low, r.confirmed_high)] for r in rows
    ]
    return shown


def test_by_keyboard_the_ranges_are_those_of_python(opened, known, shots):
    page = opened()
    start = expect(page, known)
    assert page.locator("[role=status]").inner_text() == ""  # nothing is read out before something was changed
    page.screenshot(path=shots / "interactive_start.png", full_page=True)

    slider = page.get_by_label("Minimum platelets")
    slider.focus()
    assert slider.get_attribute("aria-valuetext") == "30 ×10⁹/L, as in the protocol"
    page.keyboard.press("ArrowLeft")
    one = expect(page, known, thresholds={"min_platelets": 25})
    assert one != start
    assert slider.get_attribute("aria-valuetext") == "25 ×10⁹/L, looser than the protocol (30 ×10⁹/L)"
    assert page.locator("[data-why]").inner_text().startswith("A single change")
    page.keyboard.press("Home")
    expect(page, known, thresholds={"min_platelets": 10})

    switch = page.get_by_label("I5.2 T lymphocytes", exact=True)
    switch.focus()
    page.keyboard.press("Space")
    both = expect(page, known, ["I5.2"], {"min_platelets": 10})
    assert " to " in both["possible"]
    assert page.locator("[data-why]").inner_text().startswith("The release counts every change by itself")
    assert page.get_by_label("Minimum CD3").is_disabled()
    said = f"Possible: {both['possible']}. Confirmed: {both['confirmed']}."
    page.locator("[role=status]").filter(has_text=said).wait_for(state="attached")
    page.screenshot(path=shots / "interactive_changed.png", full_page=True)

    page.get_by_role("button", name="Back to the protocol").press("Enter")
    assert expect(page, known) == start
    assert slider.input_value() == "3"
    assert switch.is_checked()
    assert page.get_by_role("button", name="Back to the protocol").is_disabled()
    assert page.evaluate("document.activeElement.type") == "range"


def test_the_script_and_python_agree_on_every_step_of_many_states(opened, known):
    page, draw = opened(), random.Random(7)
    for _ in range(60):
        off = [draw.random() < 0.15 for _ in known.labels]
        at = [
            draw.randrange(len(s.values)) if draw.random() < 0.4 else s.values.index(s.protocol) for s in known.sliders
        ]
        got = page.evaluate("([off, at]) => document.querySelector('[data-fz-interactive]').funnel(off, at)", [off, at])
        want = funnel_ranges(
            known,
            [label.id for label, gone in zip(known.labels, off, strict=True) if gone],
            {s.name: s.values[i] for s, i in zip(known.sliders, at, strict=True)},
        )
        assert got == want[list(COLUMNS)].to_numpy().tolist()


def test_the_chart_is_drawn_with_the_numbers_of_the_state(opened, known):
    page = opened()
    data = """() => { const models = Bokeh.documents[0]; const d = models.get_model_by_name('fz-ranges').data;
        return Object.fromEntries(Object.entries(d).map(([k, v]) => [k, [...v]])); }"""
    page.get_by_label("I5.3 Platelets", exact=True).uncheck()
    page.get_by_label("I5.1 Hemoglobin", exact=True).uncheck()
    drawn, want = page.evaluate(data), funnel_ranges(known, ["I5.1", "I5.3"])
    assert drawn["low"] == want.remaining_low.tolist()
    assert drawn["high"] == want.remaining_high.tolist()
    assert drawn["text"][-1] == between(want.remaining_low.iloc[-1], want.remaining_high.iloc[-1])
    assert any(a < b for a, b in zip(drawn["low"], drawn["high"], strict=True))
    assert page.locator(".fzi-chart").get_by_text("I5.1 Hemoglobin, left out").count()
    assert page.locator(".fzi-chart svg rect, .fzi-chart svg path").count() > 50


def test_without_javascript_the_released_numbers_stand_there(opened, core):
    page = opened(java_script_enabled=False)
    assert page.locator("noscript p").inner_text().startswith("The sliders and switches need JavaScript")
    assert page.locator("noscript p").bounding_box()["height"] > 10
    assert not page.locator(".fzi-live").is_visible()
    funnel = core.attrition()
    last = page.locator("[data-row]").last
    assert last.is_visible()
    assert last.locator("td").all_inner_texts() == [
        between(n, n) for n in (funnel.n_remaining.iloc[-1], funnel.n_confirmed.iloc[-1])
    ]
    tables = page.locator(".fzi-singles table")
    assert tables.count() == 3
    gains = core.only_reason()
    rows = tables.nth(0).locator("tbody tr")
    assert [row.locator("td").nth(0).inner_text() for row in rows.all()] == [
        between(core.n_possible + gain, core.n_possible + gain) for gain in gains.gain_possible
    ]
    assert tables.nth(0).locator("tbody tr").first.is_visible()
    points = [between(row.n_possible, row.n_possible) for table in core.curves().values() for row in table.itertuples()]
    assert [row.locator("td").nth(1).inner_text() for row in tables.nth(1).locator("tbody tr").all()] == points


@pytest.mark.parametrize(("language", "width"), [("en", 400), ("zh", 1200), ("zh", 400)])
def test_nothing_is_wider_than_the_page(opened, shots, language, width):
    page = opened(language, width)
    page.locator("[data-switch='5']").uncheck()
    page.screenshot(path=shots / f"interactive_{language}_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name_and_every_table_heads(opened):
    page = opened()
    for control in page.locator("input, button").all():
        assert control.evaluate("x => (x.labels?.[0] ?? x).innerText.trim()")
    for table in page.locator("table").all():
        assert table.locator("caption").count() == 1
        assert table.locator("thead th[scope=col]").count() >= 3
        assert table.locator("tbody th[scope=row]").count() == table.locator("tbody tr").count()
    assert page.locator(".fzi-chart[role=img]").get_attribute("aria-label")
