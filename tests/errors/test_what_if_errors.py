"""What a beginner does wrong with sweeps, curves and scenarios, and what the message tells them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import feasibility as fz
from feasibility.analysis.batch import batch
from feasibility.analysis.curve import curve
from feasibility.analysis.scenarios import compare
from feasibility.analysis.sweep import surface, sweep
from feasibility.analysis.tornado import tornado
from feasibility.analysis.what_if import WhatIf
from feasibility.commands.what_if import app, parse_range
from feasibility.protocol.scenario import Scenario
from feasibility.trials.aml_registry import synthetic_registry


@pytest.fixture(scope="module")
def trial():
    return fz.load_trial("NCT06642025")


@pytest.fixture(scope="module")
def cohort():
    return synthetic_registry(200, seed=1).observed


@pytest.fixture(scope="module")
def what_if(cohort, trial):
    return WhatIf(cohort, trial, check=False)


def test_unknown_threshold(cohort, trial, what_if):
    for call in (
        lambda: sweep(cohort, trial, min_hemoglobine=[60]),
        lambda: curve(what_if, "min_hemoglobine"),
        lambda: what_if.counts({"min_hemoglobine": 60}),
        lambda: batch(what_if, [{"min_hemoglobine": 60}]),
    ):
        with pytest.raises(fz.ProtocolError, match=r"no threshold or reading 'min_hemoglobine'.*'min_hemoglobin'"):
            call()


def test_a_waived_criterions_threshold(cohort, trial):
    with pytest.raises(fz.ProtocolError, match=r"belongs to I5.1 \(hemoglobin\), which is waived"):
        sweep(cohort, trial.without("I5.1"), min_hemoglobin=[60])


@pytest.mark.parametrize("empty", [[], range(100, 40, 5)])
def test_empty_range(cohort, trial, empty):
    with pytest.raises(fz.FeasibilityError, match=r"range of min_hemoglobin is empty"):
        sweep(cohort, trial, min_hemoglobin=empty)


def test_more_than_two(cohort, trial):
    with pytest.raises(fz.FeasibilityError, match=r"one or two thresholds.*got 3 \(min_age, max_age, max_ecog\)"):
        sweep(cohort, trial, min_age=[18], max_age=[70], max_ecog=[1])
    with pytest.raises(fz.FeasibilityError, match="got 0"):
        sweep(cohort, trial)
    with pytest.raises(fz.FeasibilityError, match="surface needs two thresholds, got 1"):
        surface(cohort, trial, min_age=[18])


def test_one_value_instead_of_several(cohort, trial):
    with pytest.raises(fz.FeasibilityError, match=r"min_hemoglobin needs several values.*got 60"):
        sweep(cohort, trial, min_hemoglobin=60)
    with pytest.raises(fz.FeasibilityError, match=r"liver_combination needs several values.*got 'any'"):
        sweep(cohort, trial, liver_combination="any")


def test_another_unit(cohort, trial):
    # 6 to 9 g/dL instead of 60 to 90 g/L
    with pytest.raises(
        fz.FeasibilityError,
        match=r"Every value of min_hemoglobin \(6 to 9\).*hemoglobin_g_l.*10 to 250 g/L",
    ):
        sweep(cohort, trial, min_hemoglobin=[6, 7, 8, 9])
    with pytest.raises(fz.FeasibilityError, match="is the range in another unit"):
        surface(cohort, trial, min_hemoglobin=[6, 7], min_platelets=[20, 30])
    assert len(sweep(cohort, trial, min_hemoglobin=[6, 60])) == 2


def test_a_reading_that_does_not_exist(cohort, trial, what_if):
    with pytest.raises(fz.FeasibilityError, match=r"'liver_combination' cannot be 'anny'.*'any'"):
        sweep(cohort, trial, liver_combination=["any", "anny"])
    with pytest.raises(fz.ProtocolError, match=r"cannot be 'anny'"):
        batch(what_if, [{"liver_combination": "anny"}])


def test_text_for_a_number(cohort, trial, what_if):
    with pytest.raises(fz.ProtocolError, match=r"'min_hemoglobin'.*needs a number in g/L, got '60'"):
        sweep(cohort, trial, min_hemoglobin=["60"])
    with pytest.raises(fz.ProtocolError, match=r"counts, so 1.5 must be a whole number"):
        sweep(cohort, trial, max_ecog=[1.5])
    with pytest.raises(fz.ProtocolError, match=r"needs a number"):
        batch(what_if, [{"min_hemoglobin": [60, 70]}])


def test_a_curve_or_surface_of_a_reading(cohort, trial, what_if):
    with pytest.raises(fz.FeasibilityError, match=r"'liver_combination' is a reading.*use sweep"):
        curve(what_if, "liver_combination")
    with pytest.raises(fz.FeasibilityError, match=r"is a reading"):
        surface(cohort, trial, liver_combination=["any"], max_ast=[3])


def test_forgotten_protocol(cohort, trial, what_if):
    with pytest.raises(fz.FeasibilityError, match="A protocol is needed as second argument"):
        curve(cohort, "min_hemoglobin")
    with pytest.raises(fz.FeasibilityError, match="A protocol is needed"):
        sweep(cohort, min_hemoglobin=[60])
    with pytest.raises(fz.FeasibilityError, match="has its protocol already"):
        curve(what_if, trial, "min_hemoglobin")


def test_a_threshold_that_cannot_be_followed(cohort, trial):
    @fz.inclusion("X1", "looked up")
    def looked_up(hemoglobin_g_l, *, min_hb: float = 60):
        return hemoglobin_g_l > {60: 60.0, 70: 75.0}[min_hb]

    protocol = trial.adding(looked_up)
    with pytest.raises(fz.FeasibilityError, match=r"'min_hb' of X1 cannot be followed exactly.*Use sweep"):
        curve(cohort, protocol, "min_hb", check=False)
    assert len(sweep(cohort, protocol, min_hb=[60, 70], check=False)) == 2


def test_scenarios(cohort, trial, what_if):
    with pytest.raises(fz.FeasibilityError, match="no scenario to compare"):
        compare([], what_if)
    with pytest.raises(fz.FeasibilityError, match="Two scenarios are called 'a'"):
        compare([Scenario("a"), Scenario("a")], what_if)
    with pytest.raises(fz.FeasibilityError, match="needs a list"):
        compare(Scenario("a"), what_if)
    with pytest.raises(fz.FeasibilityError, match=r"put \[...\] around it"):
        compare({"min_platelets": 20}, what_if)
    with pytest.raises(fz.ProtocolError, match=r"'liver_combination' belongs under \[readings\]"):
        batch(what_if, [Scenario("a", {"liver_combination": "any"})])
    with pytest.raises(fz.ProtocolError, match="written for NCT0, not for NCT06642025"):
        batch(what_if, [Scenario("a", trial="NCT0")])
    with pytest.raises(fz.ProtocolError, match=r"no criterion 'E77'"):
        batch(what_if, [Scenario("a", waive=("E77",))])
    with pytest.raises(fz.FeasibilityError, match="no scenario to evaluate"):
        batch(what_if, [])
    with pytest.raises(fz.FeasibilityError, match="A change is a Protocol, a Scenario or a mapping"):
        what_if.counts(["min_platelets"])
    with pytest.raises(fz.FeasibilityError, match="A change is"):
        batch(what_if, [3])


def test_a_screening_of_something_else(cohort, trial):
    screening = fz.screen(cohort.head(10), trial, check=False)
    with pytest.raises(fz.ScreeningError, match="made of another cohort or protocol"):
        WhatIf(cohort, trial, screening=screening)


def test_a_reading_that_reads_an_absent_column(cohort, trial):
    lacking = cohort.drop(columns="anti_hbc")
    what_if = WhatIf(lacking, trial, check=False)
    with pytest.raises(fz.ScreeningError, match=r"E1.2 \(hepatitis_b\) needs the column 'anti_hbc'"):
        what_if.counts({"hepatitis_b_rule": "hbsag_or_anti_hbc"})
    assert tornado(what_if).loc["hepatitis_b_rule", "without_data"] == "hbsag_or_anti_hbc"


def test_build_settings(what_if):
    with pytest.raises(fz.FeasibilityError, match="'column.setting', and rebuild"):
        tornado(what_if, build={"em_active.window_days": [90]})
    with pytest.raises(fz.FeasibilityError, match="no build setting. Those of 'em_active': window_days"):
        tornado(what_if, build={"em_active.window": [90]}, rebuild=lambda *a: None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_age", "needs name=from:to:step"), ("min_age=", "needs name=from:to:step"),
        ("min_age=70:18", "range of min_age is empty"), ("min_age=18:70:0", "is empty"),
        ("min_age=a:b", "three numbers"), ("min_age=0:1:1e-9", "values; 10,000 at most"),
    ],
)  # fmt: skip
def test_a_range_on_the_command_line(text, message):
    with pytest.raises(fz.FeasibilityError, match=message):
        parse_range(text)


def test_ranges_on_the_command_line():
    assert parse_range("min_cd3=0.1:0.5:0.1") == ("min_cd3", [0.1, 0.2, 0.3, 0.4, 0.5])
    assert parse_range("any_severity=true,false") == ("any_severity", [True, False])


def test_a_scenario_file_with_a_typo(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('name = "a"\n[tresholds]\nmin_platelets = 20\n')
    result = CliRunner().invoke(app, ["compare", "none.csv", "--trial", "NCT06642025", "--scenario", str(file)])
    assert isinstance(result.exception, fz.ProtocolError)
    assert "Did you mean 'thresholds'" in str(result.exception)


def test_the_commands_print_numbers(tmp_path, cohort):
    table = tmp_path / "cohort.csv"
    fz.write_cohort(cohort, table)
    scenario = tmp_path / "wide.toml"
    scenario.write_text('name = "wide"\nwaive = ["E7"]\n[thresholds]\nmin_platelets = 20\n')
    common = [str(table), "--trial", "NCT06642025"]
    done = CliRunner().invoke(app, ["sweep", *common, "--vary", "min_platelets=10:50:20", "--json"])
    assert done.exit_code == 0, done.exception
    assert '"min_platelets": 30' in done.stdout
    picture, numbers = tmp_path / "c.png", tmp_path / "c.csv"
    done = CliRunner().invoke(
        app, ["sweep", *common, "--vary", "min_platelets", "--exact", "--figure", str(picture), "-o", str(numbers)]
    )
    assert done.exit_code == 0, done.exception
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "n_possible_above" in numbers.read_text()
    done = CliRunner().invoke(app, ["compare", *common, "--scenario", str(scenario)])
    assert done.exit_code == 0, done.exception
    assert "as in the protocol" in done.stdout
