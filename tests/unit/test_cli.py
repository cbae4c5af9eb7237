"""The command line as its users call it: outputs, JSON, exit codes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
from helpers import ROOT

SAMPLE = ROOT / "synthetic_data" / "registry_sample.csv"
SEED = ["--trial", "NCT06642025"]


def feasibility(*arguments, cwd=ROOT):
    command = [sys.executable, "-W", "error", "-m", "feasibility", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "small.csv"
    pd.read_csv(SAMPLE, dtype=str, keep_default_na=False).head(60).to_csv(path, index=False)
    return path


def test_screen_prints_a_funnel_that_adds_up(small):
    done = feasibility("screen", small, *SEED, "--level", "clause")
    assert done.returncode == 0, done.stderr
    assert "60 patients" in done.stdout
    assert "Not decided by data, and not counted here: I2" in done.stdout


def test_json_holds_the_numbers(small):
    numbers = json.loads(feasibility("screen", small, *SEED, "--json").stdout)
    assert numbers["n_patients"] == 60
    rows = numbers["attrition"]
    assert rows[0]["n_entering"] == 60
    assert all(r["n_remaining"] == r["n_entering"] - r["n_excluded"] for r in rows)
    assert rows[-1]["n_remaining"] == numbers["n_possible"]
    assert rows[-1]["n_confirmed"] == numbers["n_confirmed"]


def test_thresholds_scenarios_and_waivers_change_the_count(small, tmp_path):
    base = json.loads(feasibility("screen", small, *SEED, "--json").stdout)
    wider = json.loads(
        feasibility("screen", small, *SEED, "--json", "--set", "min_platelets=10", "--waive", "E7").stdout
    )
    assert wider["n_possible"] > base["n_possible"]
    assert wider["fingerprint"] != base["fingerprint"]
    scenario = tmp_path / "s.toml"
    scenario.write_text('name = "s"\nwaive = ["E7"]\n[thresholds]\nmin_platelets = 10\n', encoding="utf-8")
    same = json.loads(feasibility("screen", small, *SEED, "--json", "--scenario", scenario).stdout)
    assert (same["n_possible"], same["fingerprint"]) == (wider["n_possible"], wider["fingerprint"])


def test_by_stratum(small):
    done = feasibility("screen", small, *SEED, "--by", "sex", "--level", "clause")
    assert done.returncode == 0, done.stderr
    assert "female" in done.stdout


def test_report_is_one_file_and_the_same_twice(small, tmp_path):
    pages = []
    for name in ("a.html", "b.html"):
        done = feasibility("worksheet", small, *SEED, "-o", tmp_path / name, "--date", "2025-07-01")
        assert done.returncode == 0, done.stderr
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert b"Internal: not checked for disclosure" in pages[0]


def test_patient_level_file_only_when_asked_for_and_says_so(small, tmp_path):
    path = tmp_path / "status.csv"
    done = feasibility("screen", small, *SEED, "--patient-status", path)
    assert "Patient-level file written" in done.stdout
    assert pd.read_csv(path).status.isin(["eligible", "undetermined", "ineligible"]).all()


def test_quality_dictionary_mapping_and_trials(small, tmp_path):
    assert "60 patients" in feasibility("quality", small, *SEED, "-o", tmp_path / "q.html").stdout
    assert (tmp_path / "q.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(feasibility("quality", small, *SEED, "--json").stdout)["n_patients"] == 60
    assert "hemoglobin_g_l" in feasibility("dictionary", *SEED).stdout
    assert feasibility("dictionary", *SEED, "-o", tmp_path / "d.html").returncode == 0
    assert "[columns." in feasibility("mapping", small, *SEED).stdout
    assert "NCT06642025" in feasibility("trials").stdout
    assert json.loads(feasibility("trials", "--json").stdout)[0]["criteria"] == 27


def test_synthetic_registry(tmp_path):
    path = tmp_path / "made" / "registry.csv"
    assert feasibility("synthetic", "-o", path, "-n", "30", "--seed", "5").returncode == 0
    assert len(pd.read_csv(path)) == 30


def test_build_from_events_then_screen(tmp_path):
    from feasibility.trials.aml_events_native import write_native
    from feasibility.trials.aml_registry import synthetic_registry

    write_native(synthetic_registry(80, seed=4), tmp_path / "extract")
    cohort = tmp_path / "cohort.parquet"
    done = feasibility("build", tmp_path / "extract", *SEED, "--index-date", "2025-06-30", "-o", cohort)
    assert done.returncode == 0, done.stderr
    assert "80 patients on 2025-06-30" in done.stdout
    assert "PATIENT-LEVEL" in done.stdout
    assert json.loads(feasibility("screen", cohort, *SEED, "--json").stdout)["n_patients"] == 80
    wrong = feasibility("build", tmp_path / "extract", *SEED, "--index-date", "2025-06-30", "-o", cohort, "-f", "ompo")
    assert wrong.returncode == 2
    assert "Did you mean 'omop'" in wrong.stderr


def test_a_trial_by_its_path():
    folder = ROOT / "examples" / "emperor"
    done = feasibility("screen", folder / "emperor_cohort.csv", "--trial", folder / "emperor_reduced.py", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trial"] == "NCT03057977"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["screen", "nothing.csv", *SEED], "There is no file 'nothing.csv'"),
        (["screen", SAMPLE, "--trial", "NCT0664202"], "No trial 'NCT0664202' is installed. Did you mean 'NCT06642025'"),
        (["screen", SAMPLE, *SEED, "--set", "min_platelet=3"], "Did you mean 'min_platelets'"),
        (["screen", SAMPLE, *SEED, "--set", "min_platelets"], "--set needs name=value"),
        (["screen", SAMPLE, *SEED, "--set", "min_platelets=low"], "needs a number"),
        (["screen", SAMPLE, *SEED, "--waive", "E9"], "no criterion 'E9'"),
        (["screen", SAMPLE, *SEED, "--by", "site"], "no stratum 'site'"),
        (["screen", SAMPLE, *SEED, "--missing-columns", "drop"], "'error' or 'unknown'"),
        (["screen", ROOT / "README.md", *SEED], "Error: "),
    ],
)
def test_bad_input_gets_one_clear_message_and_exit_code_2(arguments, message):
    done = feasibility(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
