"""The what-if panel in a real browser, by keyboard: the numbers on the screen are those of a fresh screening."""

from __future__ import annotations

import tomllib

import pytest
from helpers import ROOT

import feasibility as fz


@pytest.fixture(scope="module")
def protocol():
    return fz.load_trial("NCT06642025")


@pytest.fixture(scope="module")
def cohort(protocol):
    return fz.read_cohort(ROOT / "synthetic_data" / "registry_sample.csv", protocol.columns)


@pytest.fixture(params=["voila", "lab"])
def shown(request, page):
    """The page with the panel on it, in Voilà and in JupyterLab."""
    page.goto(request.getfixturevalue(request.param))
    if request.param == "lab":
        page.get_by_text("| Idle").wait_for()  # before that, Shift+Enter is lost without an error
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
    page.locator("[data-count=n_possible]").wait_for()
    page.where = request.param
    return page


def on_screen(page) -> tuple[int, ...]:
    return tuple(
        int(page.locator(f"[data-count={n}]").get_attribute("data-value")) for n in ("n_confirmed", "n_possible")
    )


def expect(page, cohort, changed):
    """Wait for the fresh screening's numbers; fail with both where they do not come."""
    patterns = fz.screen(cohort, changed).patterns()
    want = (patterns.n_confirmed, patterns.n_possible)
    selector = f"[data-count=n_confirmed][data-value='{want[0]}']"
    try:
        page.locator(selector).wait_for(timeout=10_000)
        page.locator(f"[data-count=n_possible][data-value='{want[1]}']").wait_for(timeout=10_000)
    except Exception:  # noqa: BLE001 - Playwright's own timeout says less than the two pairs
        assert on_screen(page) == want
        raise


def setting(page, label: str):
    return page.locator(".fz-setting").filter(has=page.get_by_label(label))


def open_clause(page, clause: str):
    page.get_by_role("button", name=f"▸ {clause}\u2002").press("Enter")
    page.get_by_role("button", name=f"▾ {clause}\u2002").wait_for()


def test_by_keyboard_the_numbers_are_those_of_a_fresh_screening(shown, cohort, protocol, shots):
    page = shown
    expect(page, cohort, protocol)
    page.get_by_text("Internal: not checked for disclosure").wait_for()
    page.screenshot(path=shots / f"{page.where}_1_start.png")

    open_clause(page, "I5")
    page.get_by_label("Minimum platelets").focus()
    page.keyboard.press("Tab")  # from the number to its slider
    assert page.evaluate("document.activeElement.className").startswith("noUi-handle")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    field = page.get_by_label("Minimum platelets")
    page.wait_for_function("x => x.value === '22'", arg=field.element_handle())
    changed = protocol.with_thresholds(min_platelets=22)
    expect(page, cohort, changed)
    assert "fz-changed" in setting(page, "Minimum platelets").get_attribute("class")

    page.get_by_label("Transfusion rule").focus()
    for key in ("Space", "ArrowDown", "Enter"):  # JupyterLab keeps the arrows of a closed menu for itself
        page.keyboard.press(key)
    changed = changed.with_thresholds(transfusion_rule="transfusion_free")
    expect(page, cohort, changed)

    open_clause(page, "E7")
    page.get_by_label("E7 Transplant not settled").press("Space")
    changed = changed.without("E7")
    expect(page, cohort, changed)
    page.get_by_text("E7 Transplant not settled: switched off").wait_for()
    page.screenshot(path=shots / f"{page.where}_2_changed.png")

    page.get_by_role("button", name="Order").press("Enter")
    page.get_by_role("button", name="Largest loss first").press("Enter")
    page.wait_for_function("document.querySelector('.fz-funnel tbody tr:nth-child(2)').dataset.clause === 'I5'")
    row = fz.attrition(fz.screen(cohort, changed), order=["I5"], level="clause").iloc[0]
    cells = page.locator(".fz-funnel tbody tr:nth-child(2) td").all_inner_texts()
    assert cells[1:4] == [f"−{row.n_excluded}", str(row.n_confirmed), str(row.n_remaining)]
    page.screenshot(path=shots / f"{page.where}_3_order.png")

    setting(page, "Minimum platelets").get_by_role("button").press("Enter")
    expect(page, cohort, changed.with_thresholds(min_platelets=30))
    page.get_by_role("button", name="Reset all").press("Enter")
    expect(page, cohort, protocol)


def test_scenario_and_code(shown, cohort, protocol, workspace, shots):
    page = shown
    open_clause(page, "I3")
    field = page.get_by_label("Maximum ECOG")
    field.fill("3")
    field.press("Enter")
    expect(page, cohort, protocol.with_thresholds(max_ecog=3))
    page.get_by_role("button", name="Copy as code").press("Enter")
    text = page.get_by_label("Python", exact=True)
    page.wait_for_function("x => x.value.includes('max_ecog=3')", arg=text.element_handle())
    assert text.input_value() == "changed = protocol.with_thresholds(max_ecog=3)"
    page.get_by_role("button", name="Save as scenario").press("Enter")
    page.get_by_label("Name", exact=True).fill(f"From {page.where}")
    page.get_by_role("button", name="Save file").press("Enter")
    page.get_by_text(f"Saved as from_{page.where}.toml").wait_for()
    page.screenshot(path=shots / f"{page.where}_4_scenario.png")
    saved = tomllib.loads((workspace / f"from_{page.where}.toml").read_text(encoding="utf-8"))
    assert saved == {"name": f"From {page.where}", "trial": "NCT06642025", "thresholds": {"max_ecog": 3}}


def test_a_wrong_number_is_said_and_taken_back(shown, cohort, protocol):
    page = shown
    open_clause(page, "I3")
    field = page.get_by_label("Maximum ECOG")
    field.fill("2.5")
    field.press("Enter")
    page.get_by_role("alert").get_by_text("must be a whole number").wait_for()
    page.wait_for_function("x => x.value === '2'", arg=field.element_handle())
    expect(page, cohort, protocol)


WATCH = """() => {
  const place = () => {
    const box = document.querySelector("table.fz-funnel")?.getBoundingClientRect();
    return box ? [box.x, box.y, box.width, box.height].map(Math.round).join() : "gone";
  };
  window.frames_seen = 0;
  window.places = new Set();
  const look = () => { window.places.add(place()); window.frames_seen += 1; requestAnimationFrame(look); };
  look();
}"""


def test_nothing_moves_on_the_page_while_a_slider_is_dragged(shown):
    """No flicker: in every frame the funnel is where it was, and never gone."""
    page = shown
    open_clause(page, "I5")
    box = setting(page, "Minimum hemoglobin").locator(".noUi-handle").bounding_box()
    page.evaluate(WATCH)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 40):
        page.mouse.move(box["x"] + step, box["y"] + box["height"] / 2)
    page.mouse.up()
    page.get_by_text("1 changed:").wait_for()
    assert page.evaluate("window.frames_seen") > 5
    assert len(page.evaluate("[...window.places]")) == 1


def test_every_control_has_a_name(shown):
    """Each field, menu, switch and button says what it is to a screen reader."""
    page = shown
    buttons = page.locator(".fz-panel button.fz-clause")
    for i in range(buttons.count()):
        buttons.nth(i).press("Enter")
    page.get_by_label("Minimum washout").wait_for()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('.fz-panel :is(input, select, textarea, button)')]
        .filter(e => e.getClientRects().length)
        .filter(e => !(e.innerText || [...(e.labels || [])].map(l => l.innerText).join('') || e.title).trim())
        .map(e => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator(".fz-panel .fz-setting").count() >= 62
