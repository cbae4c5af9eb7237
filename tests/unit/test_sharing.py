"""Between hospitals: vectors that add up, and rounds of shares through the commands."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import feasibility as fz
from feasibility.commands.sharing import app
from feasibility.disclosure.policy import POLICIES, Policy
from feasibility.disclosure.release import Release
from feasibility.errors import FeasibilityError
from feasibility.pooling.parts import count_part
from feasibility.pooling.vectors import ProtectedVector, add_vectors, expected_error, protected_vector

runner = CliRunner()
SEED = "NCT06642025"
WAIVED = ("E1", "E2", "E3", "E5", "E6")  # half of the trial asks the same questions, sooner
TRIAL = ["--trial", SEED, *(word for clause in WAIVED for word in ("--waive", clause))]
SITES = ("East", "North", "West")
COUNTS = ["n_entering", "n_excluded", "n_confirmed", "n_undetermined", "n_remaining"]


def call(*arguments):
    result = runner.invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return " ".join(result.stdout.split())


@pytest.fixture(scope="module")
def cohorts():
    from feasibility.trials.aml_registry import synthetic_registry

    registry = synthetic_registry(360, seed=2).observed
    return {site: registry.iloc[i::3] for i, site in enumerate(SITES)}


@pytest.fixture(scope="module")
def protocol():
    return fz.load_trial(SEED).without(*WAIVED)


@pytest.fixture(scope="module")
def tables(cohorts, protocol):
    return {site: count_part(cohort, protocol, part=site) for site, cohort in cohorts.items()}


@pytest.fixture(scope="module")
def folder(tables, tmp_path_factory):
    place = tmp_path_factory.mktemp("sharing")
    for site, table in tables.items():
        table.save(place / f"{site}.parquet")
    return place


@pytest.fixture(scope="module")
def vectors(tables, protocol):
    return [protected_vector(t, protocol, site, header=t.header)[0] for site, t in tables.items()]


@pytest.fixture(scope="module")
def truth(cohorts, protocol):
    return fz.attrition(fz.screen(pd.concat(cohorts.values()), protocol))


def test_the_sum_is_the_sum_and_adds_up(vectors, truth):
    pooled = add_vectors(vectors)
    funnel = pooled.funnel()
    assert pooled.sites == SITES
    assert (funnel[COUNTS] == sum(v.funnel()[COUNTS] for v in vectors)).all(axis=None)
    assert (funnel.n_remaining == funnel.n_entering - funnel.n_excluded).all()
    assert (funnel.n_remaining == funnel.n_confirmed + funnel.n_undetermined).all()
    assert (funnel.n_entering.iloc[1:].to_numpy() == funnel.n_remaining.iloc[:-1].to_numpy()).all()
    assert funnel.n_entering.iloc[0] == pooled.n_patients
    for count in pooled.counts:
        assert count % 5 == 0
    errors = (funnel[COUNTS] - truth[COUNTS]).to_numpy()
    assert 0 < np.abs(errors).max() <= 3 * 15


def test_the_expected_error_is_that_of_rounding():
    """By drawing: numbers rounded by five hospitals, and geometric noise."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, 10_000, (200_000, 5))
    rounded = 5 * np.round(true / 5)
    assert (rounded - true).sum(axis=1).std() == pytest.approx(expected_error(POLICIES["nhs"], 5), rel=0.02)
    assert round(expected_error(POLICIES["nhs"], 5), 1) == 3.2
    noise = rng.geometric(1 - math.exp(-1), (200_000, 2)) @ [1, -1]
    assert noise.std() == pytest.approx(expected_error(Policy("dp", 1, 8, epsilon=1.0), 1), rel=0.02)
    assert expected_error(Policy("dp", 1, 8, epsilon=1.0), 1) == pytest.approx(1.357, abs=1e-3)


def test_sums_of_sums_keep_count_of_the_roundings(vectors):
    first, second, third = vectors
    nested = add_vectors([add_vectors([first, second]), third])
    assert nested == add_vectors(vectors)
    assert nested.roundings == 3
    assert nested.expected_error == pytest.approx(math.sqrt(3) * math.sqrt(2))


def test_a_vector_is_what_the_release_shows_and_nothing_else(tables, protocol, vectors):
    release = Release.collect(
        tables["East"], protocol, scenarios=(), grids={}, tables=("funnel", "only-reason", "bounds")
    )  # fmt: skip
    mine = ProtectedVector.of(json.loads(release.to_json()), "East")
    assert mine.counts == vectors[0].counts
    assert mine.funnel().equals(vectors[0].funnel())
    pd.testing.assert_frame_equal(mine.funnel()[COUNTS], release.core.attrition()[COUNTS])
    said = vectors[0].to_dict()["header"]
    assert not {"absent", "file", "part", "parts", "route"} & set(said)


def test_days_of_single_patients_stay_at_home(tables, protocol):
    table = tables["East"]
    header = table.header | {
        "index": {"policy": "after_event", "stated": {"days": 7}, "days": ["2024-01-03", "2025-02-01"]}
    }
    made = protected_vector(table, protocol, "East", header=header)[0]
    assert "2024-01-03" not in json.dumps(made.to_dict())
    assert made.header["index"]["policy"] == "after_event"


def test_the_commands_vector_and_combine(folder, vectors, tmp_path):
    for site in SITES:
        printed = call("vector", folder / f"{site}.parquet", *TRIAL, "--site", site, "-o", tmp_path / f"{site}.json")
        assert "protected (nhs)" in printed
        assert "Synthetic data" in printed
    assert ProtectedVector.load(tmp_path / "East.json").counts == vectors[0].counts
    files = [tmp_path / f"{site}.json" for site in SITES]
    printed = call("combine", *files, "-o", tmp_path / "sum.json")
    assert "3 hospitals: 360 patients, protected (nhs)" in printed
    assert "protected at each of 3 hospitals: expect an error of about 2.4 patients" in printed
    assert "A patient known to two of the hospitals counts twice" in printed
    assert ProtectedVector.load(tmp_path / "sum.json").counts == add_vectors(vectors).counts
    numbers = json.loads(runner.invoke(app, ["combine", *map(str, files), "--json"]).stdout)
    assert numbers["expected_error"] == 2.45
    assert [r["n_remaining"] for r in numbers["attrition"]] == add_vectors(vectors).funnel().n_remaining.tolist()
    with pytest.raises(FeasibilityError, match="East is in the sum already"):
        call("combine", files[0], files[0])


def test_the_command_vector_enters_the_ledger(folder, tmp_path):
    call("vector", folder / "East.parquet", *TRIAL, "--site", "East", "-o", tmp_path / "v.json",
         "--ledger", tmp_path / "ledger.json", "--date", "2025-07-01")  # fmt: skip
    entry = json.loads((tmp_path / "ledger.json").read_text())["entries"][0]
    assert (entry["cohort"], entry["index_date"], entry["date"]) == ("East", "2025-06-30", "2025-07-01")


def test_the_command_vector_takes_tables_and_released_files(cohorts, tables, protocol, vectors, tmp_path):
    fz.write_cohort(cohorts["East"], tmp_path / "east.csv")
    call("vector", tmp_path / "east.csv", *TRIAL, "--site", "East", "-o", tmp_path / "v.json")
    assert ProtectedVector.load(tmp_path / "v.json").counts == vectors[0].counts
    with pytest.raises(FeasibilityError, match="needs --trial; only a released file says its own"):
        call("vector", tmp_path / "east.csv", "--site", "East", "-o", tmp_path / "v.json")
    release = Release.collect(
        count_part(cohorts["East"], protocol), protocol, scenarios=(), grids={}, tables=("funnel",)
    )
    (tmp_path / "released.json").write_text(release.to_json())
    call("vector", tmp_path / "released.json", "--site", "East", "-o", tmp_path / "v2.json")
    assert ProtectedVector.load(tmp_path / "v2.json").n_patients == release.core.n_patients
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(FeasibilityError, match="broken.json: not a released file: no JSON, or cut off"):
        call("vector", tmp_path / "broken.json", "--site", "East", "-o", tmp_path / "v3.json")
    with pytest.raises(FeasibilityError, match="there is no such file"):
        call("vector", tmp_path / "absent.json", "--site", "East", "-o", tmp_path / "v3.json")


def test_a_round_of_shares_by_the_commands(folder, truth, tmp_path):
    for site in SITES:
        printed = call("share", folder / f"{site}.parquet", "--site", site, "--sites", ",".join(SITES), "--round",
                       "r 1", "-o", tmp_path)  # fmt: skip
        assert "One share alone is random" in printed
    for collector in "AB":
        files = sorted(tmp_path.glob(f"r-1_*_collector_{collector}.json"))
        assert len(files) == 3
        call("collect", *files, "--collector", collector, "-o", tmp_path / f"sum_{collector}.json")
    sums = tmp_path / "sum_A.json", tmp_path / "sum_B.json"
    printed = call("join", *sums, *TRIAL, "-o", tmp_path / "joined.json")
    assert "Counts were protected once: expect an error of about 1.4 patients" in printed
    made = ProtectedVector.load(tmp_path / "joined.json")
    assert made.sites == SITES
    assert made.roundings == 1
    # What is shown is the protected funnel of all, and protected: multiples of five, near the truth.
    assert all(n % 5 == 0 for n in made.counts)
    errors = (made.funnel()[COUNTS] - truth[COUNTS]).to_numpy()
    assert 0 < np.abs(errors).max() <= 20
    with pytest.raises(FeasibilityError, match="min_hemoglobin is 60 in the file against 70 in this protocol"):
        call("join", *sums, *TRIAL, "--set", "min_hemoglobin=70")
    with pytest.raises(FeasibilityError, match="is for collector A, this is collector B"):
        call("collect", *sorted(tmp_path.glob("r-1_*_A.json")), "--collector", "B", "-o", tmp_path / "x.json")
    with pytest.raises(FeasibilityError, match="at least 3 hospitals"):
        call("share", folder / "East.parquet", "--site", "East", "--sites", "East,West", "--round", "r")
