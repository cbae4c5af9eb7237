"""The commands counts, pool and rule-masks as they are called, and what a pattern file says of itself."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import feasibility as fz
from feasibility.cohort.codelists import hashes
from feasibility.commands.pooling import app
from feasibility.errors import CohortError, FeasibilityError, ScreeningError
from feasibility.patterns import PatternTable
from feasibility.pooling.ohdsi import read_rule_masks
from feasibility.pooling.parts import count_part

runner = CliRunner()
SEED = "NCT06642025"
WAIVED = ("E1", "E2", "E3", "E5", "E6")  # half of the trial asks the same questions, sooner
TRIAL = ["--trial", SEED, *(word for clause in WAIVED for word in ("--waive", clause))]


def call(*arguments):
    result = runner.invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return " ".join(result.stdout.split())


@pytest.fixture(scope="module")
def registry():
    from feasibility.trials.aml_registry import synthetic_registry

    return synthetic_registry(120, seed=2).observed


@pytest.fixture(scope="module")
def folder(registry, tmp_path_factory):
    """A hospital's table in two parts, as they may come, and their pattern files."""
    place = tmp_path_factory.mktemp("pooling")
    fz.write_cohort(registry, place / "all.parquet")
    fz.write_cohort(registry.iloc[:50], place / "east.csv")
    fz.write_cohort(registry.iloc[50:], place / "west.parquet")
    for name in ("east.csv", "west.parquet"):
        output = place / f"counts_{name.split('.')[0]}.parquet"
        call("counts", place / name, *TRIAL, "--internal", "-o", output)
    return place


def test_counts_explains_why_it_wants_internal(folder, tmp_path):
    with pytest.raises(
        FeasibilityError, match=r"as confidential as the patients.*here \d+\.\d%.*Say that you know with --"
    ):
        call("counts", folder / "east.csv", *TRIAL, "-o", tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()
    with pytest.raises(FeasibilityError, match="as confidential as the patients"):
        call("pool", folder / "counts_east.parquet", folder / "counts_west.parquet")


def test_counts_prints_the_share_alone(folder, registry, tmp_path):
    printed = call("counts", folder / "all.parquet", *TRIAL, "--internal", "-o", tmp_path / "x.parquet")
    rows = fz.screen(registry, fz.load_trial(SEED).without(*WAIVED)).passes.astype(object)
    rows = rows.where(rows.notna(), "?").astype(str).agg("|".join, axis=1)
    alone = (rows.map(rows.value_counts()) == 1).mean()
    few = (rows.map(rows.value_counts()) < 11).mean()
    assert f"{alone:.1%} of the patients are alone in their pattern; {few:.1%} have fewer than ten others" in printed
    assert "Synthetic data: these are not patients." in printed
    assert "must not leave the hospital" in printed


def test_counts_and_pool_give_the_funnel_of_the_whole(folder, registry, tmp_path):
    files = folder / "counts_east.parquet", folder / "counts_west.parquet"
    numbers = json.loads(runner.invoke(app, ["pool", *map(str, files), "--internal", "--json"]).stdout)
    funnel = fz.attrition(fz.screen(registry, fz.load_trial(SEED).without(*WAIVED)))
    assert [row["n_remaining"] for row in numbers["attrition"]] == funnel.n_remaining.tolist()
    assert [row["n_confirmed"] for row in numbers["attrition"]] == funnel.n_confirmed.tolist()
    assert numbers["n_patients"] == 120
    printed = call("pool", *files, "--internal", "-o", tmp_path / "pooled.parquet")
    assert f"{funnel.n_remaining.iloc[-1]} possible at most" in printed
    assert "A patient who is in two of the parts counts twice" in printed
    assert PatternTable.load(tmp_path / "pooled.parquet").n_patients == 120
    with pytest.raises(FeasibilityError, match="counts_east.parquet is given twice"):
        call("pool", files[0], files[0], "--internal")
    labelled = call("pool", *files, "--internal", "--answers", "unknown_as_fail")
    assert "Unknown counts as failed" in labelled


def test_counts_by_a_stratum_splits_the_funnel(folder, registry, tmp_path):
    call("counts", folder / "all.parquet", *TRIAL, "--internal", "-o", tmp_path / "x.parquet", "--by", "sex")
    numbers = json.loads(
        runner.invoke(app, ["pool", str(tmp_path / "x.parquet"), "--internal", "--by", "sex", "--json"]).stdout
    )
    entering = {r["sex"]: r["n_entering"] for r in numbers["attrition"] if r["criterion"] == "I1.1"}
    assert entering == registry["sex"].fillna("unknown").value_counts().to_dict()


def test_another_threshold_is_named(folder, tmp_path):
    output = tmp_path / "strict.parquet"
    call("counts", folder / "west.parquet", *TRIAL, "--internal", "-o", output, "--set", "min_hemoglobin=70")
    with pytest.raises(
        FeasibilityError, match="threshold min_hemoglobin is 60 in counts_east.parquet against 70 in stri"
    ):
        call("pool", folder / "counts_east.parquet", output, "--internal")


def test_missing_columns_point_to_the_option_and_are_said(folder, tmp_path):
    table = pd.read_csv(folder / "east.csv", dtype=str, keep_default_na=False).drop(columns="hemoglobin_g_l")
    table.to_csv(tmp_path / "less.csv", index=False)
    arguments = ["counts", tmp_path / "less.csv", *TRIAL, "--internal", "-o", tmp_path / "x.parquet"]
    with pytest.raises(ScreeningError, match="--missing-columns unknown"):
        call(*arguments)
    assert "for want of a column: hemoglobin_g_l" in call(*arguments, "--missing-columns", "unknown")


def test_a_folder_of_parquet_files_is_counted_like_the_table(folder, registry, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for i in range(2):
        fz.write_cohort(registry.iloc[i::2], parts / f"{i}.parquet")
    protocol = fz.load_trial(SEED).without(*WAIVED)
    counted, whole = count_part(parts, protocol), count_part(registry, protocol)
    pd.testing.assert_frame_equal(counted.to_frame(), whole.to_frame())
    assert counted.header["index"] == whole.header["index"]
    assert counted.header["synthetic"] is whole.header["synthetic"] is True
    with pytest.raises(CohortError, match="a folder is counted batch by batch, and not by sex"):
        count_part(parts, protocol, by=["sex"])
    with pytest.raises(CohortError, match="a mapping and an index date are for single tables"):
        count_part(parts, protocol, index_date="2025-06-30")


def test_a_cohort_built_from_events_says_how(tmp_path):
    """Built in memory, written and read, streamed: one and the same build, code lists and index rule."""
    from feasibility.trials.aml_registry import synthetic_registry

    protocol = fz.load_trial(SEED).without(*WAIVED, "I1", "I3", "E4", "E7")
    registry = synthetic_registry(20, seed=4)
    from feasibility.trials.nct06642025 import synthetic_events

    synthetic_events(registry, tmp_path / "events", "native")
    cohort = fz.build_cohort(fz.read_extract(tmp_path / "events"), fz.as_of("2025-06-30"))
    for name in ("c.parquet", "c.arrow"):
        fz.write_cohort(cohort, tmp_path / name)
    (tmp_path / "folder").mkdir()
    fz.write_cohort(cohort, tmp_path / "folder" / "c.parquet")
    sources = [cohort, tmp_path / "c.parquet", tmp_path / "c.arrow", tmp_path / "folder"]
    headers = [count_part(source, protocol).header for source in sources]
    headers.append(count_part(tmp_path / "c.parquet", protocol, by=["sex"]).header)
    for what in ("fingerprint", "build", "build_settings", "code_lists", "index", "synthetic"):
        assert all(json.dumps(h[what]) == json.dumps(headers[0][what]) for h in headers), what
    assert headers[0]["build"] is not None
    assert headers[0]["index"]["policy"] == "as_of"
    assert headers[0]["index"]["stated"]["date"] == "2025-06-30"
    assert headers[0]["code_lists"] == hashes(protocol.columns)
    assert len(headers[0]["code_lists"]) > 20


def test_a_local_code_list_changes_its_hash(tmp_path):
    columns = fz.load_trial(SEED).columns
    (tmp_path / "hemoglobin.add.csv").write_text("system,code,term,source,certainty\nlocal,Hb-X,Hb,ours,D\n")
    shipped, local = hashes(columns), hashes(columns, [tmp_path])
    assert {k for k in shipped if shipped[k] != local[k]} == {"hemoglobin"}


# OHDSI ------------------------------------------------------------------------------------------------------------

RULES = pd.DataFrame({"cohort_definition_id": 7, "rule_sequence": [0, 1, 2], "name": ["adult", "Hb", "platelets"]})
# Rules are met by: 40 all; 10 adult and Hb; -5 adult and platelets; 3 Hb only; -5 none.
ROWS = pd.DataFrame(
    {
        "cohort_definition_id": 7,
        "mode_id": 1,
        "inclusion_rule_mask": [7, 3, 5, 2, 0],
        "person_count": [40, 10, -5, 3, -5],
    }
)


def test_the_funnel_of_masks_by_hand():
    funnel = read_rule_masks(ROWS, RULES).funnel()
    assert funnel.n_entering_low.tolist() == [55, 51, 50]
    assert funnel.n_entering_high.tolist() == [61, 54, 50]
    assert funnel.n_excluded_low.tolist() == [4, 1, 10]
    assert funnel.n_excluded_high.tolist() == [7, 4, 10]
    assert funnel.n_remaining_low.tolist() == [51, 50, 40]
    assert funnel.n_remaining_high.tolist() == [54, 50, 40]


def test_masks_take_the_best_event_and_the_chosen_cohort(tmp_path):
    events = ROWS.assign(mode_id=0, person_count=900)
    other = ROWS.assign(cohort_definition_id=8, person_count=1)
    both = pd.concat([events, other, ROWS])
    camel = both.rename(columns=lambda n: n.split("_")[0] + "".join(w.title() for w in n.split("_")[1:]))
    camel.to_csv(tmp_path / "result.csv", index=False)
    RULES.rename(columns=str.upper).to_csv(tmp_path / "rules.csv", index=False)
    masks = read_rule_masks(tmp_path / "result.csv", tmp_path / "rules.csv", cohort=7)
    pd.testing.assert_frame_equal(masks.funnel(), read_rule_masks(ROWS, RULES).funnel())
    old = read_rule_masks(ROWS.drop(columns="mode_id"), RULES, best_event=True)
    assert old.n_people == (55, 61)


def test_sixty_three_rules_fit():
    rules = pd.DataFrame({"rule_sequence": range(63), "name": [f"r{i}" for i in range(63)]})
    rows = pd.DataFrame({"inclusion_rule_mask": [2**63 - 1, 2**62, 0], "person_count": [5, 3, 2], "mode_id": 1})
    funnel = read_rule_masks(rows, rules).funnel()
    assert funnel.n_remaining_low.iloc[-1] == 5
    assert funnel.n_excluded_low.iloc[0] == 5


def test_masks_become_a_labelled_two_valued_table():
    rows = ROWS.assign(person_count=[40, 10, 4, 3, 2])
    labels = [fz.inclusion(f"I{i + 1}", name)(_criterion(name)) for i, name in enumerate(("a", "h", "p"))]
    protocol = fz.Protocol("P", "P", labels)
    cohort = pd.DataFrame({n: pd.array([True], dtype="boolean") for n in ("a", "h", "p")})
    like = count_part(cohort, protocol)
    table = read_rule_masks(rows, RULES).patterns(like, {"I1": "adult", "I2": "Hb", "I3": "platelets"})
    assert (table.n_confirmed, table.n_possible, table.n_patients) == (40, 40, 59)
    assert fz.attrition(table).n_remaining.tolist() == [54, 50, 40]
    assert table.header["answers"] == "unknown_as_fail"
    assert table.header["matched"]["I2"] == "Hb"
    pooled = fz.pool([like, table], answers="unknown_as_fail")
    assert pooled.n_confirmed == 41


def _criterion(name):
    def made(x):
        return x

    namespace: dict = {}
    exec(f"def {name}_ok({name}):\n    return {name}", namespace)
    return namespace[f"{name}_ok"]


def test_the_command_prints_ranges(tmp_path):
    ROWS.to_csv(tmp_path / "result.csv", index=False)
    RULES.to_csv(tmp_path / "rules.csv", index=False)
    printed = call("rule-masks", tmp_path / "result.csv", tmp_path / "rules.csv")
    assert "55 to 61 people at their best event, unknown as failed" in printed
    assert "51 to 54" in printed
    assert "lower bound of who could join. 2 small counts are censored; -5 stands for 1 to 4." in printed
    numbers = json.loads(
        runner.invoke(app, ["rule-masks", str(tmp_path / "result.csv"), str(tmp_path / "rules.csv"), "--json"]).stdout
    )
    assert (numbers["answers"], numbers["n_people_low"], numbers["n_censored"]) == ("unknown_as_fail", 55, 2)


def test_unknown_as_fail_is_filling_the_holes(registry):
    screening = fz.screen(registry, fz.load_trial(SEED).without(*WAIVED))
    table = screening.patterns().unknown_as_fail()
    assert table.n_confirmed == table.n_possible == int(screening.passes.fillna(False).all(axis=1).sum())
    assert np.asarray(table.n_unknown).sum() == 0
