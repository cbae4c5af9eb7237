"""The protected table: with base 1 it is the exact analysis; with any base it adds up and hides small groups."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.disclosure.noise import every_group, geometric, noisy_counts, noisy_queries
from feasibility.disclosure.plan import Plan
from feasibility.disclosure.policy import POLICIES, Policy
from feasibility.disclosure.protect import protect
from feasibility.disclosure.release import Release
from feasibility.protocol.loading import trial_module

EXACT = Policy("exact", base=1, threshold=1)
WIDER = fz.Scenario("Wider", {"min_platelets": 20, "max_age": 75})
NO_E7 = fz.Scenario("No E7", waive=("E7",))
GRIDS = {"min_platelets": (10, 20, 25), "max_creatinine": (200, 300)}


@pytest.fixture(scope="module")
def protocol():
    return fz.load_trial("NCT06642025")


@pytest.fixture(scope="module")
def cohort():
    return trial_module("NCT06642025").synthetic(1500, seed=4, index_date="2025-06-30").observed


@pytest.fixture(scope="module")
def exact(cohort, protocol):
    return Release.collect(cohort, protocol, EXACT, scenarios=[WIDER, NO_E7], grids=GRIDS, strata=["site_id"])


@pytest.fixture(scope="module")
def nhs(cohort, protocol):
    return Release.collect(cohort, protocol, scenarios=[WIDER, NO_E7], grids=GRIDS, strata=["site_id"])


def test_with_base_1_the_funnel_is_the_exact_one(exact, cohort, protocol):
    expected = fz.attrition(fz.screen(cohort, protocol))
    pd.testing.assert_frame_equal(exact.core.attrition(), expected, check_dtype=False)


def test_with_base_1_the_reasons_are_the_exact_ones(exact, cohort, protocol):
    expected = fz.impact(fz.screen(cohort, protocol))
    columns = ["kind", "name", "n_only_reason", "n_only_unknown", "gain_confirmed", "gain_possible"]
    pd.testing.assert_frame_equal(exact.core.only_reason(), expected[columns], check_dtype=False)


def test_with_base_1_scenarios_and_curves_are_fresh_screenings(exact, cohort, protocol):
    for change in (WIDER, NO_E7):
        patterns = fz.screen(cohort, change.apply(protocol)).patterns()
        row = exact.core.scenarios().loc[change.name]
        assert (row.n_confirmed, row.n_possible) == (patterns.n_confirmed, patterns.n_possible)
    for name, table in exact.core.curves().items():
        assert list(table.index) == sorted([*GRIDS[name], protocol.settings[name]])
        for value, row in table.iterrows():
            patterns = fz.screen(cohort, protocol.with_thresholds(**{name: value})).patterns()
            assert (row.n_confirmed, row.n_possible) == (patterns.n_confirmed, patterns.n_possible), (name, value)


def test_with_base_1_the_second_block_is_exact(exact, cohort, protocol):
    expected = fz.impact(fz.screen(cohort, protocol))
    assert exact.margins["failing"].frame[["n_failing", "n_unknown"]].fillna(0).astype(int).to_numpy().tolist() == (
        expected[["n_failing", "n_unknown"]].to_numpy().tolist()
    )
    sites = cohort.groupby("site_id").size()
    assert {k.removeprefix("site_id="): int(n) for k, n in exact.margins["strata"].frame["n_patients"].items()} == (
        sites.to_dict()
    )


def test_every_core_number_is_a_multiple_of_the_base_and_near_the_truth(nhs, exact):
    for made, true in zip(
        (nhs.core.attrition(), nhs.core.only_reason()), (exact.core.attrition(), exact.core.only_reason()), strict=True
    ):
        numbers = made.select_dtypes("number")
        assert (numbers.to_numpy() % 5 == 0).all()
        assert np.abs(numbers.to_numpy() - true[numbers.columns].to_numpy()).max() <= 15
    assert abs(nhs.core.n_patients - 1500) <= 2


def test_a_group_of_no_protected_patients_is_not_listed(nhs):
    assert (nhs.core.n > 0).all()
    assert all(group["n"] for group in json.loads(nhs.to_json())["groups"])


def test_first_failing_and_first_unknown_are_read_from_the_memberships(exact):
    core = exact.core
    funnel = core.attrition()
    excluded = np.bincount(core.first_failing[core.first_failing >= 0], core.n[core.first_failing >= 0], len(funnel))
    assert excluded.tolist() == funnel.n_excluded.tolist()
    open_ = (core.first_failing < 0) & (core.first_unknown >= 0)
    assert core.n[open_].sum() == funnel.n_undetermined.iloc[-1]


def test_the_published_vectors_of_small_count_rounding():
    """Three criteria, groups only1, only2, only3, rest1, rest2, eligible: 3, 7, 2, 40, 1, 47."""
    groups = np.array([3, 7, 2, 40, 1, 47])
    only1, only2, only3, rest1, rest2, eligible = np.eye(6, dtype=bool)
    margins = np.stack([only1 | rest1, only2 | rest2, only3, eligible, only1, only2, only3,
                        only2 | rest2 | only3 | eligible, only3 | eligible], axis=1)  # fmt: skip
    for base, threshold, small in ((5, None, 5), (11, 11, 11)):
        made = protect(groups, margins, base, threshold)
        assert abs(made.sum() - 100) <= base / 2
        assert not ((made > 0) & (made < small)).any()
    assert protect(groups, margins, 11, 11)[[3, 5]].tolist() == [40, 47], "large groups stay exact in small-cell mode"


@pytest.mark.parametrize(("name", "n", "shown"), [("nhs", 5, "<8"), ("nhs", 10, "10"), ("cms", 0, "<11"),
                                                  ("omop", 1200, "1,200")])  # fmt: skip
def test_small_counts_are_printed_as_less_than_the_threshold(name, n, shown):
    assert POLICIES[name].shown(n) == shown


def test_margins_below_the_threshold_are_not_in_the_released_file(nhs):
    for rows in json.loads(nhs.to_json())["margins"].values():
        for row in rows:
            for key, value in row.items():
                assert not key.startswith("n_") or value is None or (value >= 8 and value % 5 == 0)


def test_the_same_release_gives_the_same_bytes(nhs, cohort, protocol):
    again = Release.collect(cohort, protocol, scenarios=[WIDER, NO_E7], grids=GRIDS, strata=["site_id"])
    assert again.to_json() == nhs.to_json()
    assert again.fingerprint == nhs.fingerprint


def test_a_curve_keeps_looser_values_only(protocol):
    plan = Plan.of(protocol, (), {"min_platelets": (10, 30, 50)})
    assert [change.settings["min_platelets"] for change in plan.changes] == [10]


def test_without_declared_grids_parts_of_the_thresholds_are_taken(protocol):
    from dataclasses import replace

    plan = Plan.of(replace(protocol, grids={}), ())
    values = [c.settings["min_hemoglobin"] for c in plan.changes if "min_hemoglobin" in c.settings]
    assert values == [30, 45, 54]


def test_a_waived_criterion_takes_its_grid_and_its_scenario_along(protocol):
    plan = Plan.of(protocol.without("E7"))
    assert not any("min_washout" in change.settings for change in plan.changes)
    assert "Shorter washout after transplantation" not in [change.name for change in plan.changes]


def test_noise_is_geometric_and_its_groups_are_fixed_beforehand():
    ids = ["A", "B", "C"]
    every = every_group(ids, noisy_queries(ids))
    assert len(every) == len(np.unique(every, axis=0)) == 2 * 3 - 1 + 2
    draw = geometric(1.0, np.random.default_rng(3).random)
    drawn = np.array([draw() for _ in range(40_000)])
    assert abs(drawn.mean()) < 0.03
    assert drawn.std() == pytest.approx(1.357, abs=0.03), "closed form"
    assert (np.abs(drawn) > 5).mean() == pytest.approx(0.0036, abs=0.0012), "closed form"
    counts = noisy_counts(every, every[[0, 4]], np.array([7, 9]), 1.0, draw=lambda: 0)
    assert counts[[0, 4]].tolist() == [7, 9]
    assert counts.sum() == 16


def test_a_noisy_release_adds_up_and_says_its_price(cohort, protocol):
    release = Release.collect(cohort, protocol, "dp")
    funnel = release.core.attrition()
    assert (funnel.n_remaining == funnel.n_entering - funnel.n_excluded).all()
    assert abs(release.core.n_patients - 1500) < 100
    assert "epsilon = 1" in release.promise
    assert not release.margins
