"""Patterns, funnel, impact and overlaps against numbers read off by eye or counted by plain pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.errors import ReconciliationError
from feasibility.patterns import PatternTable


def test_status_of_each_patient(toy_cohort, toy_protocol):
    status = fz.screen(toy_cohort, toy_protocol).status
    assert status.tolist() == [
        "eligible", "ineligible", "ineligible", "undetermined", "ineligible", "ineligible", "undetermined",
        "undetermined",
    ]  # fmt: skip
    assert status.index.tolist() == toy_cohort.index.tolist()


def test_passes_says_satisfied_for_exclusions_too(toy_cohort, toy_protocol):
    passes = fz.screen(toy_cohort, toy_protocol).passes
    assert (passes.dtypes == "boolean").all()
    assert passes["E1"].tolist() == [True, True, True, True, False, False, pd.NA, pd.NA]


def test_the_funnel_by_hand(toy_cohort, toy_protocol):
    funnel = fz.attrition(fz.screen(toy_cohort, toy_protocol))
    assert list(funnel.columns) == [
        "kind", "name", "reason", "n_entering", "n_excluded", "n_undetermined", "n_confirmed", "n_remaining",
    ]  # fmt: skip
    assert funnel.loc["I1", "n_entering":].tolist() == [8, 2, 2, 4, 6]
    assert funnel.loc["I2", "n_entering":].tolist() == [6, 1, 3, 2, 5]
    assert funnel.loc["E1", "n_entering":].tolist() == [5, 1, 3, 1, 4]


def test_another_order_ends_with_the_same_patients(toy_cohort, toy_protocol):
    screening = fz.screen(toy_cohort, toy_protocol)
    funnel = fz.attrition(screening, order=["pregnant_now", "I2"])
    assert funnel.index.tolist() == ["E1", "I2", "I1"]
    assert funnel.iloc[0]["n_entering":].tolist() == [8, 2, 2, 4, 6]
    assert funnel.iloc[-1][["n_confirmed", "n_remaining"]].tolist() == [1, 4]


def test_impact_by_hand(toy_cohort, toy_protocol):
    costs = fz.impact(fz.screen(toy_cohort, toy_protocol))
    assert costs.loc["I1", "n_failing":"gain_possible"].tolist() == [2, 2, 1, 1, 2, 1]
    assert costs.loc["I2", "n_failing":"gain_possible"].tolist() == [2, 2, 1, 0, 1, 1]
    assert costs.loc["E1", "n_failing":"gain_possible"].tolist() == [2, 2, 0, 1, 1, 1]
    assert costs.shapley.tolist() == pytest.approx([1 + 1 / 3, 1 + 1 / 3, 1 + 1 / 3])


def test_overlaps_are_the_ineligible_by_their_exact_reasons(toy_cohort, toy_protocol):
    table = fz.overlaps(fz.screen(toy_cohort, toy_protocol))
    assert dict(zip(table.index, table.n, strict=True)) == {
        ("I1",): 1, ("I2",): 1, ("E1",): 1, ("I1", "I2", "E1"): 1,
    }  # fmt: skip
    assert fz.overlaps(fz.screen(toy_cohort, toy_protocol), top=1).n.tolist() == [1]


def test_patterns_keep_and_waive(toy_cohort, toy_protocol):
    screening = fz.screen(toy_cohort, toy_protocol)
    patterns = screening.patterns()
    assert patterns.n_patients == 8
    assert (patterns.n_confirmed, patterns.n_possible) == (1, 4)
    waived, again = patterns.without("E1"), fz.screen(toy_cohort, toy_protocol.without("E1")).patterns()
    assert (waived.n_confirmed, waived.n_possible) == (again.n_confirmed, again.n_possible) == (2, 5)
    tidy = patterns.to_frame()
    assert list(tidy.columns) == ["I1", "I2", "E1", "n"]
    assert tidy.n.sum() == 8


def test_strata_add_up(toy_cohort, toy_protocol):
    cohort = toy_cohort.assign(site=pd.array(list("aabbabb") + [None], dtype=pd.StringDtype("python")))
    screening = fz.screen(cohort, toy_protocol, strata=["site"])
    table = fz.attrition(screening, by="site")
    assert table.index.names == ["site", "criterion"]
    assert set(table.index.get_level_values("site")) == {"a", "b", "unknown"}
    assert table.xs("I1", level="criterion").n_entering.to_dict() == {"a": 3, "b": 4, "unknown": 1}


def test_pattern_file_comes_back_and_refuses_an_edited_one(tmp_path, toy_cohort, toy_protocol):
    patterns = fz.screen(toy_cohort, toy_protocol).patterns()
    path = tmp_path / "patterns.parquet"
    patterns.save(path)
    again = PatternTable.load(path)
    pd.testing.assert_frame_equal(again.to_frame(), patterns.to_frame())
    assert fz.impact(again).equals(fz.impact(patterns))
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    changed = table.set_column(0, "n", pa.array(np.r_[99, patterns.n[1:]]))
    pq.write_table(changed, path)
    with pytest.raises(fz.FeasibilityError, match="changed after it was written"):
        PatternTable.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(fz.FeasibilityError, match="not a readable pattern file"):
        PatternTable.load(path)


def test_pooling_refuses_another_protocol(toy_cohort, toy_protocol):
    one = fz.screen(toy_cohort, toy_protocol).patterns()
    other = fz.screen(toy_cohort, toy_protocol.with_thresholds(min_platelets=20)).patterns()
    with pytest.raises(fz.FeasibilityError, match="Criterion I2 differs"):
        fz.pool([one, other])


def test_a_funnel_that_does_not_add_up_is_an_error(toy_cohort, toy_protocol):
    from feasibility.analysis.attrition import reconcile_attrition

    funnel = fz.attrition(fz.screen(toy_cohort, toy_protocol))
    reconcile_attrition(funnel, 8)
    for name in ("n_excluded", "n_confirmed", "n_remaining", "n_entering"):
        broken = funnel.copy()
        broken.iloc[1, broken.columns.get_loc(name)] += 1
        with pytest.raises(ReconciliationError):
            reconcile_attrition(broken, 8)


def test_demographics_of_those_lost(toy_cohort, toy_protocol):
    cohort = toy_cohort.assign(sex=pd.array(["female", "male"] * 4, dtype=pd.StringDtype("python")))
    table = fz.demographics(fz.screen(cohort, toy_protocol), cohort)
    row = table.loc["I1", "sex", "female"]
    # I1 excludes P1 and P5, both men; P0, P2, P3, P4, P6, P7 stay, four of them women.
    assert row[["n_excluded", "n_remaining", "excluded"]].tolist() == [2, 6, 0.0]
    assert row["remaining"] == pytest.approx(4 / 6)
    assert row["smd"] == pytest.approx(-(4 / 6) / np.sqrt((4 / 6) * (2 / 6) / 2))
    ages = table.loc["I2", "age_years", "mean"]  # P2 (40) goes; P0 30, P4 50, P6 60 stay, P3 and P7 have no age
    assert ages[["n_excluded", "n_remaining", "unknown_remaining"]].tolist() == [1, 3, 2]
    assert ages["remaining"] == pytest.approx(140 / 3)
