"""From events to cohort, from cohort to what is missing, from events to a forecast, on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
from helpers import ROOT

import feasibility as fz

SEED = ["--trial", "NCT06642025"]
PERIOD = ["--from", "2025-01-01", "--to", "2025-06-30"]


def feasibility(*arguments):
    command = [sys.executable, "-W", "error", "-m", "feasibility", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    done = feasibility("synthetic", "--patients", 120, "--seed", 3, "--events", "native", "-o", folder / "events")
    assert done.returncode == 0, done.stderr
    assert (folder / "events" / "labs.csv").exists()
    return folder


def test_build_writes_the_cohort_and_its_quality_page(hospital):
    cohort, page = hospital / "cohort.parquet", hospital / "quality.html"
    done = feasibility(
        "build", hospital / "events", *SEED, "--index-date", "2025-06-30", "-o", cohort, "--quality", page,
        "--set", "hemoglobin_g_l.window_days=30",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PATIENT-LEVEL" in done.stdout
    again = fz.read_cohort(cohort, fz.load_trial("NCT06642025").columns)
    facts = again.attrs["feasibility"]
    assert facts["settings"]["hemoglobin_g_l.window_days"] == 30
    assert any(e["kind"] == "converted" for e in facts["events"])
    assert "stale" in facts["unknown"]["hemoglobin_g_l"]
    assert "<svg" in page.read_text(encoding="utf-8")


def test_build_refuses_a_setting_that_is_not_there(hospital):
    where = [*SEED, "--index-date", "2025-06-30", "-o", hospital / "no.parquet"]
    done = feasibility("build", hospital / "events", *where, "--set", "hemoglobin_g_l.windw_days=30")
    assert done.returncode == 2
    assert "Did you mean 'hemoglobin_g_l.window_days'" in done.stderr
    done = feasibility("build", hospital / "events", *where, "--set", "window")
    assert done.returncode == 2
    assert "--set needs column.setting=value" in done.stderr
    done = feasibility("build", hospital / "events", *where, "--format", "nativ")
    assert done.returncode == 2
    assert "Did you mean 'native'" in done.stderr


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("missing") / "small.csv"
    table = pd.read_csv(ROOT / "synthetic_data" / "registry_sample.csv", dtype=str, keep_default_na=False)
    table.head(80).to_csv(path, index=False)
    return path


def test_missing_says_what_is_unknown_and_what_would_settle(sample):
    numbers = json.loads(feasibility("missing", sample, *SEED, "--imputations", 0, "--most", 1, "--json").stdout)
    assert numbers["n_confirmed"] <= numbers["n_possible"]
    assert "estimates" not in numbers
    for row in numbers["criteria"]:
        assert row["n_passing"] + row["n_failing"] + row["n_unknown"] == 80
    assert all(r["n_settled_expected"] is None for r in numbers["information"])
    text = feasibility("missing", sample, *SEED, "--imputations", 0, "--most", 1)
    assert text.returncode == 0, text.stderr
    assert "Whatever is assumed: between" in text.stdout


def test_missing_estimates_between_the_bounds():
    whole = ROOT / "synthetic_data" / "registry_sample.csv"
    done = feasibility("missing", whole, *SEED, "--most", 1, "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    inside = next(r for r in numbers["estimates"] if r["estimand"] == "in_extract")
    assert numbers["n_confirmed"] <= inside["low_95"] <= inside["high_95"] <= numbers["n_possible"]
    assert (inside["low_bound"], inside["high_bound"]) == (numbers["n_confirmed"], numbers["n_possible"])


def test_enroll_from_events(hospital, tmp_path):
    picture = tmp_path / "fan.png"
    done = feasibility(
        "enroll", hospital / "events", *SEED, *PERIOD, "--imputations", 0, "--target", 3, "--figure", picture
    )
    assert done.returncode == 0, done.stderr
    assert "Everything the forecast assumes" in done.stdout
    assert "no interval joins the two" in done.stdout.replace("\n", " ")
    assert picture.stat().st_size > 10_000


def test_enroll_with_a_plan_file(hospital, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[plan]\ntarget = 12\ngoal = "enrolled"\n[rates]\nconsent = [8, 2]\n'
        '[[site]]\nname = "Hefei"\narrivals = 6\nmonths = 24\nopens = [0, 2, 6]\n'
        '[[site]]\nname = "others"\nprior = [1.2, 12]\ncopies = 3\n[slots]\ngap = 1\nbefore = "enrolled"\n',
        encoding="utf-8",
    )
    done = feasibility("enroll", hospital / "events", *SEED, *PERIOD, "--imputations", 0, "--plan", plan, "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    names = {row["name"]: row for row in numbers["assumptions"]}
    assert names["consent"]["value"] == 0.8
    assert names["target"]["value"] == 12
    assert set(numbers["forecasts"]) == {"as planned"}  # every site states its own rate
    assert set(numbers["per_month"]) == {"confirmed only", "all possible"}


def test_a_plan_file_whose_site_rests_on_the_registry(hospital, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text("[plan]\ntarget = 3\n", encoding="utf-8")
    done = feasibility("enroll", hospital / "events", *SEED, *PERIOD, "--imputations", 0, "--plan", plan, "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["forecasts"]) == {"confirmed only", "all possible"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plan]\ntarget = 9\n[[site]]\nnam = 'x'\n", "'nam' is not known. Did you mean 'name'"),
        ("[plan]\ngoal = 'infused'\n", r"\[plan\] needs target"),
        ("[plan]\ntarget = 9\nprior = 3\n", r"prior is \[shape, months\]"),
        ("[plan\n", "is no TOML file"),
        ("[plan]\ntarget = 9\n[rates]\nconsnt = [1, 1]\n[[site]]\nname='a'\nrate=1\n", "no rate 'consnt'.*'consent'"),
        ("[plan]\ntarget = 9\n[[site]]\nrate = 1\n", "missing 1 required positional argument: 'name'"),
    ],
)
def test_a_plan_file_that_is_none(text, message, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(fz.FeasibilityError, match=message):
        fz.load_plan(path, fz.load_trial("NCT06642025"))
    with pytest.raises(fz.FeasibilityError, match="there is no such plan file"):
        fz.load_plan(tmp_path / "none.toml", fz.load_trial("NCT06642025"))


def test_the_report_has_both_sections_when_they_are_asked_for(hospital, sample):
    page = hospital / "report.html"
    done = feasibility(
        "worksheet", sample, *SEED, "-o", page, "--imputations", 0, "--events", hospital / "events", *PERIOD
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "What the data cannot say, and what it costs" in text
    assert "How many would enrol, and when" in text
    assert "Everything the forecast assumes" in text
    without = feasibility("worksheet", sample, *SEED, "-o", page, "--imputations", 0)
    assert without.returncode == 0, without.stderr
    assert "How many would enrol" not in page.read_text(encoding="utf-8")
    done = feasibility("worksheet", sample, *SEED, "-o", page, "--events", hospital / "events")
    assert done.returncode == 2
    assert "--events needs --from and --to" in done.stderr


def test_a_hospital_too_small_to_impute_gets_both_bounds_and_the_reason(tmp_path):
    assert feasibility("synthetic", "--patients", 12, "--events", "native", "-o", tmp_path / "few").returncode == 0
    done = feasibility("enroll", tmp_path / "few", *SEED, *PERIOD, "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert set(numbers["forecasts"]) == {"confirmed only", "all possible"}
    assert any("could not be imputed" in note for note in numbers["notes"])
