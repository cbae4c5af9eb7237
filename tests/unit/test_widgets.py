"""The what-if panel: its state without widgets, and the widgets without a browser."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Literal

import pytest
from helpers import ROOT, frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feasibility import (
    Beta,
    FeasibilityError,
    Protocol,
    ProtocolError,
    Scenario,
    attrition,
    exclusion,
    inclusion,
    load_trial,
    not_assessable,
    read_cohort,
    screen,
)
from feasibility.analysis.what_if import WhatIf
from feasibility.cohort.schema import CohortTable, Column
from feasibility.widgets import PanelState, what_if_panel
from feasibility.widgets.controls import controls_of, step_for


@inclusion("I1.1", "age of 18 years or more")
def adult(age_years, *, min_age: Annotated[int, "a"] = 18):
    """Completed years."""
    return age_years >= min_age


@inclusion("I1.2", "platelets <above> 30 & rising")
def platelets(
    platelets_10e9_l, *, min_platelets: Annotated[float, "10*9/L"] = 30, side: Literal["above", "from"] = "above"
):
    """Latest value."""
    return platelets_10e9_l > min_platelets if side == "above" else platelets_10e9_l >= min_platelets


@exclusion("E1", "pregnant women")
def pregnant_now(pregnant, lactating, *, with_lactation: bool = False):
    """At the index date."""
    return pregnant | lactating if with_lactation else pregnant


@exclusion("E2", "an event within a month")
def event(days_since_event, *, min_days_since_event: Annotated[float, "d"] = 30):
    """Never is long ago."""
    return days_since_event < min_days_since_event


consent = not_assessable("I2", "consent", "inclusion", "consent", rate=Beta(7, 3), source="assumed")
TOY = Protocol("TOY", "A <toy> trial", [adult, platelets, consent, pregnant_now, event])


def cohort():
    return frame(
        age_years=("Int64", 30, 17, 40, None, 50, 17, 60, 33),
        platelets_10e9_l=("Float64", 31, 31, 30, 31, None, 30, 100, 12),
        pregnant=("boolean", False, False, False, False, True, True, None, False),
        lactating=("boolean", True, False, False, False, False, False, False, False),
        days_since_event=("Float64", math.inf, 3, 40, 50, math.inf, 6, 31, None),
    )


@pytest.fixture
def state():
    return PanelState(WhatIf(cohort(), TOY))


def fresh(state):
    return screen(cohort(), state.protocol).patterns()


def test_it_begins_as_the_protocol(state):
    assert state.protocol.fingerprint() == TOY.fingerprint()
    assert tuple(state.counts) == (fresh(state).n_confirmed, fresh(state).n_possible) == (1, 3)
    assert tuple(state.difference) == (0, 0)
    assert state.changes() == []
    assert state.code() == "changed = protocol"


def test_a_threshold_a_reading_and_a_switch_move_the_counts(state):
    state.set("min_platelets", 20)
    state.set("with_lactation", True)
    state.switch("adult", False)
    assert (
        state.protocol.fingerprint()
        == TOY.with_thresholds(min_platelets=20, with_lactation=True).without("I1.1").fingerprint()
    )
    assert tuple(state.counts) == (fresh(state).n_confirmed, fresh(state).n_possible)
    assert state.changes() == [
        "Minimum platelets: 30 → 20 ×10⁹/L", "With lactation: no → yes", "I1.1 Adult: switched off",
    ]  # fmt: skip


def test_setting_the_protocols_value_takes_the_change_back(state):
    state.set("min_platelets", 20)
    state.set("min_platelets", 30.0)
    assert state.values == {}


def test_a_sliders_rounding_leaves_no_trace(state):
    state.set("min_platelets", 0.1 + 0.2)
    assert state.values == {"min_platelets": 0.3}
    state.set("min_platelets", 25.0)
    assert state.code() == "changed = protocol.with_thresholds(min_platelets=25)"


def test_reset_takes_everything_back(state):
    state.set("min_platelets", 20)
    state.switch("E1", False)
    state.move("E1", -1)
    state.reset()
    assert (state.values, state.off, state.order) == ({}, set(), ["I1", "E1", "E2"])
    assert state.protocol is TOY


def test_the_funnel_is_that_of_a_fresh_screening_in_the_chosen_order(state):
    state.set("min_age", 35)
    state.move("E2", -2)
    expected = attrition(screen(cohort(), state.protocol), order=["E2", "I1", "E1"], level="clause")
    assert state.order == ["E2", "I1", "E1"]
    assert state.funnel.equals(expected)
    state.sort("protocol")
    assert state.order == ["I1", "E1", "E2"]
    state.sort("largest loss")
    failing = [state.failing(clause)[0] for clause in state.order]
    assert failing == sorted(failing, reverse=True)


def test_the_order_changes_neither_counts_nor_scenario(state):
    before = state.counts
    state.move("I1", 5)
    assert state.order == ["E1", "E2", "I1"]
    assert state.counts == before
    assert "order=['E1', 'E2', 'I1']" in state.code()


def test_everybody_is_left_when_everything_is_switched_off(state):
    for one in TOY.assessable:
        state.switch(one.id, False)
    assert tuple(state.counts) == (8, 8)
    assert state.funnel.empty


def test_the_code_it_shows_makes_the_same_protocol(state):
    state.set("min_platelets", 20)
    state.set("side", "from")
    state.switch("E2", False)
    space = {"protocol": TOY}
    exec(state.code(), space)  # noqa: S102
    assert space["changed"].fingerprint() == state.protocol.fingerprint()


def test_the_scenario_it_saves_makes_the_same_protocol(state, tmp_path):
    state.set("min_platelets", 20.5)
    state.set("with_lactation", True)
    state.switch("event", False)
    path = state.save("Größere Spanne / 2", tmp_path)
    assert path.name == "größere_spanne_2.toml"
    read = Scenario.from_toml(path)
    assert read == state.scenario("Größere Spanne / 2")
    assert read.apply(TOY).fingerprint() == state.protocol.fingerprint()
    with pytest.raises(FeasibilityError, match="größere_spanne_2.toml already; choose another name"):
        state.save("größere spanne 2", tmp_path)
    with pytest.raises(FeasibilityError, match="Give the scenario a name"):
        state.save(" /../ ", tmp_path)
    with pytest.raises(FeasibilityError, match="cannot be written"):
        state.save("x", tmp_path / "absent")


def test_a_clause_id_that_covers_several_criteria_is_not_waived_by_it():
    @inclusion("E1.2", "lactating women")
    def not_lactating(lactating):
        return ~lactating

    state = PanelState(WhatIf(cohort(), TOY.adding(not_lactating)))
    state.switch("E1", False)
    assert [c.id for c in state.protocol.assessable] == ["I1.1", "I1.2", "E2", "E1.2"]
    assert "without('pregnant_now')" in state.code()


def test_wrong_settings_are_refused_and_change_nothing(state):
    state.set("min_platelets", 20)
    with pytest.raises(FeasibilityError, match="no setting 'min_platlets'. Did you mean 'min_platelets'"):
        state.set("min_platlets", 3)
    with pytest.raises(ProtocolError, match="must be a whole number"):
        state.set("min_age", 17.5)
    with pytest.raises(ProtocolError, match="cannot be 'under'"):
        state.set("side", "under")
    with pytest.raises(FeasibilityError, match="not decided by data"):
        state.switch("consent", False)
    with pytest.raises(FeasibilityError, match="no clause 'E9'"):
        state.move("E9", 1)
    with pytest.raises(FeasibilityError, match="sorted by 'loss'"):
        state.sort("loss")
    assert state.values == {"min_platelets": 20}


def test_a_reading_whose_column_is_absent_is_refused_and_changes_nothing():
    lean = cohort().drop(columns="lactating")
    state = PanelState(WhatIf(lean, TOY))
    with pytest.raises(FeasibilityError, match="lactating"):
        state.set("with_lactation", True)
    assert state.values == {}
    assert tuple(state.counts) == (1, 3)
    lenient = PanelState(WhatIf(lean, TOY, missing_columns="unknown"))
    lenient.set("with_lactation", True)
    assert lenient.counts.n_confirmed == 0


@pytest.fixture(scope="module")
def sample():
    protocol = load_trial("NCT06642025")
    return PanelState(WhatIf(read_cohort(ROOT / "synthetic_data" / "registry_sample.csv", protocol.columns), protocol))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_trial_equals_a_fresh_screening_after_any_moves(sample, data):
    sample.reset()
    for _ in range(data.draw(st.integers(1, 5))):
        control = sample.controls[data.draw(st.sampled_from(sorted(sample.controls)))]
        if control.setting.is_reading:
            value = data.draw(st.sampled_from(control.setting.choices))
        else:
            value = control.low + control.step * data.draw(
                st.integers(0, round((control.high - control.low) / control.step))
            )
        sample.set(control.name, int(value) if control.setting.whole else value)
    for one in data.draw(st.sets(st.sampled_from([c.id for c in sample.base.assessable]), max_size=3)):
        sample.switch(one, False)
    patterns = screen(sample.what_if.cohort, sample.protocol, check=False).patterns()
    assert tuple(sample.counts) == (patterns.n_confirmed, patterns.n_possible)
    assert sample.scenario().apply(sample.base).fingerprint() == sample.protocol.fingerprint()


def test_ranges_hold_the_protocols_value_and_come_back_to_it(sample):
    for control in sample.controls.values():
        if not control.setting.is_reading:
            assert control.low <= control.value <= control.high, control
            steps = (control.value - control.low) / control.step
            assert steps == pytest.approx(round(steps)), control
            assert 2 <= (control.high - control.low) / control.step <= 260, control
            assert control.low >= 0


def test_ranges_come_from_the_values_and_the_declared_limits():
    table = CohortTable([Column(name="x", dtype="Float64", doc="x", hard=(0, 100), soft=(10, 60))])

    @inclusion("I1", "x")
    def high(x, *, min_x=30, max_y: int = 3):
        return (x > min_x) | (x == max_y)

    values = [0, 5, 20, 40, 90, 100]
    controls = controls_of(WhatIf(frame(x=("Float64", *values)), Protocol("T", "T", [high], columns=table)))
    assert (controls["min_x"].low, controls["min_x"].high) == (10, 60)
    alone = controls_of(WhatIf(frame(x=("Float64", None, None)), Protocol("T", "T", [high], columns=table)))
    assert (alone["min_x"].low, alone["min_x"].high) == (10, 60)
    assert alone["max_y"].step == 1
    bare = controls_of(WhatIf(frame(x=("Float64", None, None)), Protocol("T", "T", [high])))
    assert (bare["min_x"].low, bare["min_x"].high) == (0, 60)


def test_steps_are_round():
    assert step_for(0, 100, 33.0) == 1
    assert step_for(0, 1, None) == 0.01
    assert step_for(0, 300, 7, whole=True) == 1


@pytest.mark.parametrize("text", ["plain", 'with "quotes" \\ and\nlines\t\x7f\x01', "中文 ü", ""])
def test_any_scenario_text_survives_its_file(text, tmp_path):
    scenario = Scenario(
        text or "x", {"min_a": 0.1, "max b": math.inf, "n": 3}, {"r": True, "s": text}, ("E1", text), "T", text
    )
    path = tmp_path / "s.toml"
    path.write_text(scenario.to_toml(), encoding="utf-8", newline="\n")
    assert Scenario.from_toml(path) == scenario


# --- the widgets, without a browser ------------------------------------------------------------------------------


@pytest.fixture
def panel(tmp_path):
    pytest.importorskip("ipywidgets", reason="the panel needs ipywidgets")
    made = what_if_panel(cohort(), TOY, folder=tmp_path)
    for box in made.clauses.values():
        box.button.value = True
    return made


def rows(panel):
    return {row.control.name: row for box in panel.clauses.values() for one in box.criteria for row in one.rows}


def test_moving_a_slider_moves_the_number_and_marks_the_change(panel):
    row = rows(panel)["min_platelets"]
    row.slider.value = 24.0
    assert panel.state.values == {"min_platelets": 24}
    assert row.field.value == 24
    assert 'data-count="n_possible" data-value="4"' in panel.headline.value
    assert "fz-changed" in row.box._dom_classes
    assert row.back.layout.visibility == "visible"
    assert "1 changed" in panel.clauses["I1"].button.description
    row.back.click()
    assert panel.state.values == {}
    assert row.slider.value == row.field.value == 30
    assert "fz-changed" not in row.box._dom_classes


def test_a_number_beyond_the_slider_can_be_typed(panel):
    row = rows(panel)["min_platelets"]
    row.field.value = 5000.0
    assert panel.state.values == {"min_platelets": 5000}
    assert row.slider.value == row.slider.max


def test_a_wrong_number_is_said_and_taken_back(panel):
    row = rows(panel)["min_age"]
    row.field.value = 17.5
    assert "must be a whole number" in panel.message.value
    assert 'role="alert"' in panel.message.value
    assert row.field.value == 18
    row.field.value = 20.0
    assert panel.message.value == ""


def test_a_switch_and_a_menu(panel):
    panel.clauses["E1"].criteria[0].switch.value = False
    assert panel.state.off == {"E1"}
    assert rows(panel)["with_lactation"].menu.disabled
    assert "switched off" in panel.funnel.value
    panel.reset.click()
    assert panel.clauses["E1"].criteria[0].switch.value
    menu = rows(panel)["with_lactation"].menu
    assert menu.options == (("no (protocol)", False), ("yes", True))
    menu.value = True
    assert panel.state.values == {"with_lactation": True}


def test_order_scenario_and_code(panel, tmp_path):
    order, scenario, _ = panel.drawers
    order.value = True
    scenario.value = True
    assert not order.value
    panel.order.value = "E2"
    panel.do(lambda: panel.state.move("E2", -1))
    assert [value for _, value in panel.order.options] == ["I1", "E2", "E1"]
    assert panel.order.value == "E2"
    rows(panel)["min_platelets"].slider.value = 24.0
    panel.name.value = "Lower"
    assert 'name = "Lower"' in panel.toml.value
    assert panel.code.value.startswith("changed = protocol.with_thresholds(min_platelets=24)")
    panel.save.click()
    assert "Saved as lower.toml" in panel.message.value
    assert (tmp_path / "lower.toml").read_text(encoding="utf-8") == panel.toml.value
    panel.save.click()
    assert "choose another name" in panel.message.value


def test_a_threshold_without_a_limit_is_written_in_words(tmp_path):
    pytest.importorskip("ipywidgets")

    @inclusion("I1", "x")
    def recent(x, days_since_x, *, max_days_since_x: Annotated[float, "d"] = math.inf):
        return (days_since_x <= max_days_since_x) & x

    table = frame(x=("boolean", True, True), days_since_x=("Float64", 10, 20))
    panel = what_if_panel(table, Protocol("T", "T", [recent]))
    panel.clauses["I1"].button.value = True
    row = rows(panel)["max_days_since_x"]
    assert row.field.value == "no limit"
    row.field.value = "15"
    assert panel.state.values == {"max_days_since_x": 15}
    row.field.value = "often"
    assert "needs a number or" in panel.message.value
    assert row.field.value == "15"
    row.field.value = "no limit"
    assert panel.state.values == {}


def test_it_says_that_it_is_internal_and_escapes_what_it_shows(panel):
    top = panel.widget.children[0].value
    assert "Internal: not checked for disclosure" in top
    assert "A &lt;toy&gt; trial" in top
    assert "platelets &lt;above&gt; 30 &amp; rising" in panel.clauses["I1"].criteria[1].words.value
    assert "I2 Consent" in panel.funnel.value


def test_settings_are_made_when_a_clause_is_opened():
    pytest.importorskip("ipywidgets")
    panel = what_if_panel(WhatIf(cohort(), TOY))
    assert panel.clauses["I1"].criteria == []
    panel.clauses["I1"].button.value = True
    assert len(panel.clauses["I1"].criteria) == 2
    assert panel.clauses["I1"].inside.layout.display == "flex"
    panel.clauses["I1"].button.value = False
    assert panel.clauses["I1"].inside.layout.display == "none"


def test_what_it_cannot_start_from():
    pytest.importorskip("ipywidgets")
    with pytest.raises(FeasibilityError, match="A protocol is needed as second argument"):
        what_if_panel(cohort())
    with pytest.raises(FeasibilityError, match="give nothing but it"):
        what_if_panel(WhatIf(cohort(), TOY), TOY)
    with pytest.raises(FeasibilityError, match="no criterion to move"):
        what_if_panel(cohort(), TOY.without("I1", "E1", "E2"))


def test_without_ipywidgets_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(FeasibilityError, match=r"pip install trial-feasibility\[notebook\]"):
        what_if_panel(cohort(), TOY)
