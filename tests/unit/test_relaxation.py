"""Relaxations and the Pareto front against numbers counted by hand, the anchors of B7, and a simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.analysis.gains import gain_interval, relative_gain
from feasibility.analysis.pareto import pareto
from feasibility.analysis.relaxation import relaxations
from feasibility.patterns import CriterionLabel, PatternTable, count, pack

from ..conftest import frame


def table_of(*patterns):
    """(ids failed, ids unknown, n) over criteria A to F."""
    ids = "ABCDEF"
    failed = [np.array([i in f for f, _, _ in patterns]) for i in ids]
    unknown = [np.array([i in u for _, u, _ in patterns]) for i in ids]
    labels = tuple(CriterionLabel(i, "inclusion", f"criterion_{i.lower()}", i) for i in ids)
    return PatternTable(
        labels, pack(failed, len(patterns)), pack(unknown, len(patterns)), np.array([n for *_, n in patterns])
    )


def test_anchor_the_gain_of_14():
    low, high = gain_interval([0, 14])
    assert low == pytest.approx([0, 7.65], abs=0.005)
    assert high == pytest.approx([3.69, 23.49], abs=0.005)


def test_anchor_14_gained_on_40():
    share, low, high = relative_gain(14, 40)
    assert share == pytest.approx(0.35)
    assert (low, high) == (pytest.approx(0.176, abs=0.0005), pytest.approx(0.657, abs=0.0005))
    assert (low / (1 + low), high / (1 + high)) == (pytest.approx(0.1496, abs=5e-5), pytest.approx(0.3965, abs=5e-5))


def test_a_gain_on_nobody_has_no_share():
    share, low, high = relative_gain([3, 0], [0, 10])
    assert np.isnan(share[0])
    assert np.isnan(low[0])
    assert high[0] == np.inf
    assert (share[1], low[1]) == (0, 0)
    assert 0 < high[1] < 1


def test_greedy_would_miss_the_best_pair():
    table = table_of(("A", "", 5), ("B", "", 1), ("CD", "", 20), ("", "", 7))
    assert relaxations(table, 1).waived.iloc[0] == ("A",)
    best = relaxations(table, 2)
    assert best.waived.tolist()[:2] == [("C", "D"), ("A", "B")]
    assert best.gain_possible.tolist()[:2] == [20, 6]
    assert best.needs_all.tolist()[:2] == [20, 0]
    assert best["names"].iloc[0] == "criterion_c + criterion_d"
    assert best.percent.iloc[0] == pytest.approx(100 * 20 / 7)


def test_a_member_that_adds_nobody_is_not_waived():
    table = table_of(("A", "", 5), ("BCD", "", 9), ("", "", 1))
    assert relaxations(table, 2).waived.tolist() == [("A",)]
    assert relaxations(table, 3).waived.tolist() == [("B", "C", "D"), ("A",)]
    assert relaxations(table, 4).waived.iloc[0] == ("A", "B", "C", "D")


def test_confirmed_counts_the_unknown_too():
    table = table_of(("A", "", 2), ("A", "B", 6), ("", "C", 3), ("", "", 1))
    by = relaxations(table, 2, objective="confirmed")
    assert by.waived.iloc[0] == ("A", "B")
    assert by[["gain_confirmed", "gain_possible"]].iloc[0].tolist() == [8, 8]
    assert by.waived.iloc[1] == ("A", "C")
    assert by[["gain_confirmed", "gain_possible"]].iloc[1].tolist() == [5, 8]
    assert by.attrs["objective"] == "confirmed"


def test_kept_criteria_are_never_waived():
    table = table_of(("A", "", 9), ("AB", "", 9), ("C", "", 2), ("", "", 1))
    assert relaxations(table, 2, keep=["criterion_a"]).waived.tolist() == [("C",)]


def test_nothing_to_gain_is_an_empty_table():
    found = relaxations(table_of(("", "", 4)), 2)
    assert len(found) == 0
    assert {"waived", "gain_possible", "corrected", "remark"} <= set(found.columns)


def test_by_clause(toy_cohort, toy_protocol):
    screening = fz.screen(toy_cohort, toy_protocol)
    by_clause = relaxations(screening, 2, level="clause")
    again = relaxations(screening, 2)  # one criterion a clause here
    assert by_clause.waived.tolist() == again.waived.tolist()
    assert by_clause.gain_possible.tolist() == again.gain_possible.tolist()


def test_per_month_and_no_resamples():
    table = table_of(("A", "", 14), ("", "", 40))
    found = relaxations(table, 1, months=7, resamples=0).iloc[0]
    assert (found.per_month, found.percent) == (pytest.approx(2.0), pytest.approx(35.0))
    assert found.per_month_low == pytest.approx(7.65 / 7, abs=0.001)
    assert np.isnan(found.corrected)
    assert np.isnan(found.first_share)
    assert found.remark == ""


def test_sets_that_cannot_be_told_apart_say_so():
    table = table_of(("A", "", 10), ("B", "", 9), ("C", "", 9), ("D", "", 1), ("", "", 40))
    found = relaxations(table, 1)
    assert found.first_share.iloc[0] < 0.5
    assert "cannot be told apart from" in found.remark.iloc[0]
    assert "B (first in" in found.remark.iloc[0]
    assert found.remark.iloc[1] == "cannot be told apart from A"
    assert found.remark.iloc[3] == ""
    sure = relaxations(table_of(("A", "", 500), ("B", "", 9), ("", "", 40)), 1)
    assert sure.first_share.iloc[0] == 1
    assert set(sure.remark) == {""}


def test_the_same_seed_gives_the_same_table():
    table = table_of(("A", "", 10), ("B", "", 9), ("AC", "", 3), ("", "", 40))
    pd.testing.assert_frame_equal(relaxations(table, 2, seed=5), relaxations(table, 2, seed=5))


@pytest.mark.parametrize(("drop", "n"), [(1, 200), (2, 200), (1, 2_000)])
def test_the_correction_removes_most_of_the_winners_curse(drop, n):
    rng = np.random.default_rng(7)
    rates = np.linspace(0.05, 0.20, 15)
    labels = tuple(CriterionLabel(f"I{i}", "inclusion", f"c{i}", "") for i in range(15))
    place = {label.id: i for i, label in enumerate(labels)}
    shown, corrected, true = [], [], []
    for _ in range(150):
        fails = rng.random((n, 15)) < rates
        words = pack(list(fails.T), n)
        best = relaxations(count(labels, words, np.zeros_like(words)), drop, 1).iloc[0]
        without = np.ones(15, dtype=bool)
        without[[place[w] for w in best.waived]] = False
        shown.append(best.gain_possible)
        corrected.append(best.corrected)
        true.append(n * (np.prod(1 - rates[without]) - np.prod(1 - rates)))
    curse = np.mean(shown) - np.mean(true)
    left = np.mean(corrected) - np.mean(true)
    assert curse > 2  # statistics.md A9: 3.5, 5.9 and 7.0
    assert abs(left) < 0.35 * curse


@fz.exclusion("E5", "AST and ALT above 3 x ULN")
def liver(ast_x_uln, alt_x_uln, *, max_ast: float = 3, max_alt: float = 3):
    """Either."""
    return (ast_x_uln > max_ast) | (alt_x_uln > max_alt)


@fz.inclusion("I4", "age up to 70")
def age(age_years, *, max_age: int = 70, max_days_since_age: float = 14):
    """Completed years."""
    return age_years <= max_age


def test_two_thresholds_of_one_criterion_help_only_together():
    cohort = frame(
        ast_x_uln=("Float64", 1, 4, 4, 1, 9, None),
        alt_x_uln=("Float64", 1, 1, 4, 4, 9, 4),
        age_years=("Int64", 50, 50, 50, 50, 50, 72),
    )
    screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [liver, age]))
    found = pareto(screening, cohort, loosen={"max_ast": [5], "max_alt": [5], "max_age": [75]})
    rows = {(row.waived, tuple(sorted(row.loosened.items()))): row for row in found.itertuples()}
    assert rows[(), (("max_alt", 5), ("max_ast", 5))].gain_possible == 3
    everything = rows[(), (("max_age", 75), ("max_alt", 5), ("max_ast", 5))]
    assert (everything.gain_possible, everything.gain_confirmed) == (4, 3)
    assert (rows[("E5",), ()].gain_possible, rows[("E5",), ()].front) == (4, "both")
    assert rows[("E5",), ()].n_possible == 5
    assert ((), (("max_age", 75),)) not in rows  # gains nobody alone


def test_the_front_of_waiving_only_is_the_best_of_each_size():
    table = table_of(("A", "", 5), ("B", "", 1), ("CD", "", 20), ("", "E", 9), ("", "", 7))
    found = pareto(table, changes=3)
    possible = found[found.front.isin(["possible", "both"])]
    assert possible.gain_possible.tolist() == [relaxations(table, k).gain_possible.iloc[0] for k in (1, 2, 3)]
    confirmed = found[found.front.isin(["confirmed", "both"])]
    sizes = [relaxations(table, k, objective="confirmed").gain_confirmed.iloc[0] for k in (1, 2, 3)]
    assert confirmed.gain_confirmed.tolist() == sizes
    assert (found.corrected_possible.notna() == found.front.isin(["possible", "both"])).all()
    assert (found.corrected_possible.dropna() <= found.gain_possible[found.corrected_possible.notna()]).all()


def test_waiving_can_be_ruled_out():
    cohort = frame(ast_x_uln=("Float64", 1, 4), alt_x_uln=("Float64", 1, 1), age_years=("Int64", 50, 50))
    screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [liver, age]))
    found = pareto(screening, cohort, loosen={"max_ast": 5}, waive=False, resamples=0)
    assert found[["n_waived", "n_steps", "gain_possible"]].values.tolist() == [[0, 1, 1]]
