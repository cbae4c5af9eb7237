"""What-if answers that can be read off by eye."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility import exclusion, inclusion
from feasibility.analysis.amendment import amendment
from feasibility.analysis.batch import batch
from feasibility.analysis.curve import curve, curve_at, curves
from feasibility.analysis.scenarios import compare, in_words, waterfall
from feasibility.analysis.sweep import surface, sweep
from feasibility.analysis.tornado import tornado
from feasibility.analysis.what_if import WhatIf
from feasibility.cohort.schema import DTYPES
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario


def cohort_of(**columns):
    return pd.DataFrame({n: pd.array(list(v[1:]), dtype=DTYPES[v[0]]) for n, v in columns.items()})


def one(criterion):
    return Protocol("ONE", "One criterion", [criterion])


@inclusion("I1", "above")
def above(x, *, min_x: float = 3):
    return x > min_x


@inclusion("I1", "at least")
def at_least(x, *, min_x: float = 3):
    return x >= min_x


@inclusion("I3", "another")
def above_too(x, *, min_other: float = 3):
    return x > min_other


X = cohort_of(x=("Float64", 1, 3, 3, 5, None))


def test_strict_and_inclusive_are_told_apart():
    strict, inclusive = curve(X, one(above), "min_x"), curve(X, one(at_least), "min_x")
    assert strict.index.tolist() == inclusive.index.tolist() == [-math.inf, 1, 3, 5]
    assert strict["n_possible"].tolist() == [5, 4, 2, 1]
    assert strict["n_possible_above"].tolist() == [5, 4, 2, 1]
    assert inclusive["n_possible"].tolist() == [5, 5, 4, 2]
    assert inclusive["n_possible_above"].tolist() == [5, 4, 2, 1]
    assert strict["n_confirmed"].tolist() == [4, 3, 1, 0]
    assert strict["in_force"].tolist() == [False, False, True, False]


def test_the_value_in_force_is_a_row_even_where_nothing_changes():
    table = curve(X, one(above).with_thresholds(min_x=4), "min_x")
    assert table.loc[4.0].tolist() == [1, 2, 1, 2, True]
    assert (table.dtypes[:4] == np.int64).all()
    assert table["in_force"].dtype == bool
    assert table.index.name == "min_x"


def test_reading_a_curve_between_its_rows():
    table = curve(X, one(at_least), "min_x")
    assert curve_at(table, [-100, 1, 2, 3, np.nextafter(3, 4), 5, 6])["n_confirmed"].tolist() == [4, 4, 3, 3, 1, 1, 0]


def test_a_bounded_value_has_two_steps():
    cohort = cohort_of(x=("Float64", 2), x__upper=("Float64", 4))
    table = curve(cohort, one(above), "min_x")
    assert table["n_confirmed"].to_dict() == {-math.inf: 1, 2: 0, 3: 0, 4: 0}
    assert table["n_possible"].to_dict() == {-math.inf: 1, 2: 1, 3: 1, 4: 0}


def test_never_is_beyond_every_number():
    @exclusion("E1", "recently")
    def recent(months_since, *, min_months: float = 6):
        return months_since <= min_months

    cohort = cohort_of(months_since=("Float64", 3, math.inf))
    table = curve(cohort, one(recent), "min_months")
    assert table["n_possible"].to_dict() == {-math.inf: 2, 3: 1, 6: 1, math.inf: 0}


def test_a_multiplied_threshold_keeps_the_rounding_of_the_criterion():
    @inclusion("I1", "0.1 times")
    def tenth(x, *, min_x: float = 3):
        return x > 0.1 * min_x

    cohort = cohort_of(x=("Float64", 0.3))
    table = curve(cohort, one(tenth), "min_x")
    step = table.index[table["n_possible_above"].diff() < 0][0]
    for value in (np.nextafter(step, -9), step, np.nextafter(step, 9), 3.0):
        expected = int(0.3 > 0.1 * value)
        assert curve_at(table, [value])["n_possible"].item() == expected


def test_a_criterion_may_branch_on_its_threshold():
    @inclusion("I1", "no limit from 100 on")
    def limited(x, *, max_x: float = 4):
        return x <= max_x if max_x < 100 else (x > -1)

    table = curve(X, one(limited), "max_x")
    assert curve_at(table, [0, 1, 4, np.nextafter(100, 0), 100, 1000])["n_confirmed"].tolist() == [0, 1, 3, 4, 4, 4]
    cohort = cohort_of(x=("Float64", 1000))
    assert curve_at(curve(cohort, one(limited), "max_x"), [99.5, 100, 1000])["n_confirmed"].tolist() == [0, 1, 1]


def test_a_threshold_shared_by_two_criteria():
    @inclusion("I2", "y as well")
    def y_above(y, *, min_x: float = 3):
        return y > min_x

    cohort = cohort_of(x=("Float64", 1, 5), y=("Float64", 9, 2))
    table = curve(cohort, Protocol("T", "t", [above, y_above]), "min_x")
    assert table["n_possible"].to_dict() == {-math.inf: 2, 1: 1, 2: 0, 3: 0}


def test_a_criterion_only_pandas_can_run_is_swept_all_the_same():
    @inclusion("I1", "between")
    def between(x, *, min_x: float = 2):
        return x.gt(min_x)

    assert sweep(X, one(between), min_x=[0, 1, 3])["n_confirmed"].tolist() == [4, 3, 1]
    with pytest.raises(fz.FeasibilityError, match=r"'min_x' of I1 cannot be followed exactly.*Use sweep"):
        curve(X, one(between), "min_x")


def test_a_sweep_keeps_the_order_it_was_asked_in():
    assert sweep(X, one(above), min_x=[5, 1, 5, 3]).index.tolist() == [5, 1, 3]


@inclusion("I1", "both ends")
def age(age_years, *, min_age: int = 18, max_age: int = 70, exact: bool = False):
    upper = age_years < max_age if exact else age_years <= max_age
    return (age_years >= min_age) & upper


@inclusion("I2", "above")
def platelets(platelets_10e9_l, *, min_platelets: float = 30):
    return platelets_10e9_l > min_platelets


PEOPLE = cohort_of(
    age_years=("Int64", 16, 17, 30, 70, 80, None, 40, 17),
    platelets_10e9_l=("Float64", 50, 20, None, 31, 50, 40, 25, 50),
)
TWO = Protocol("TWO", "Two criteria", [age, platelets])


def test_a_surface_within_one_criterion_and_across_two():
    within = surface(PEOPLE, TWO, min_age=[16, 18], max_age=[60, 90])
    assert within.index.names == ["min_age", "max_age"]
    assert within["n_possible"].tolist() == [4, 6, 2, 4]
    across = surface(PEOPLE, TWO, min_age=[16, 18], min_platelets=[20, 30])
    assert across["n_possible"].tolist() == [6, 5, 4, 3]
    assert across["n_confirmed"].tolist() == [4, 3, 2, 1]


def test_a_reading_and_a_threshold_swept_together():
    table = sweep(PEOPLE, TWO, exact=[False, True], max_age=[70, 71])
    assert table["n_possible"].tolist() == [3, 3, 2, 3]


def test_counts_and_funnel_of_a_change():
    what_if = WhatIf(PEOPLE, TWO)
    assert what_if.counts() == (1, 3)
    assert what_if.counts({"min_age": 17}) == (2, 4)
    assert what_if.counts(TWO.without("I2")) == (3, 4)
    funnel = what_if.attrition({"min_age": 17}, order=["I2"])
    assert funnel.index.tolist() == ["I2", "I1"]
    assert funnel["n_remaining"].tolist() == [6, 4]


def test_an_added_criterion_is_evaluated_once_and_checked():
    @exclusion("E1", "old")
    def old(age_years, *, max_ok: int = 60):
        return age_years > max_ok

    what_if = WhatIf(PEOPLE, TWO)
    assert what_if.counts(TWO.adding(old)) == (0, 2)
    assert what_if.counts(TWO.adding(old).with_thresholds(max_ok=75)) == (1, 3)


def test_an_added_criterion_in_which_a_hole_decides_is_refused():
    @exclusion("E1", "leaky")
    def leaky(age_years, *, limit: int = 60):
        return getattr(age_years > limit, "fill" + "na")(False)

    with pytest.raises(fz.ScreeningError, match="missing it still answers"):
        WhatIf(PEOPLE, TWO).counts(TWO.adding(leaky))


def test_a_batch_takes_a_table_or_scenarios():
    what_if = WhatIf(PEOPLE, TWO)
    table = pd.DataFrame({"min_age": [16, 17, 18], "min_platelets": [10, 20, 60]}, index=list("abc"))
    assert batch(what_if, table)["n_possible"].to_dict() == {"a": 7, "b": 5, "c": 1}
    named = [Scenario("younger", {"min_age": 16}), Scenario("no platelets", waive=("I2",))]
    assert batch(what_if, named)["n_possible"].to_dict() == {"younger": 5, "no platelets": 4}
    assert batch(what_if, [None, {"min_age": 16}, TWO.without("I1")])["n_possible"].tolist() == [3, 5, 6]


def test_many_values_and_a_waived_criterion_in_one_batch():
    what_if = WhatIf(PEOPLE, TWO)
    changes = [Scenario(f"{v}", {"min_platelets": v}) for v in range(15, 60, 5)] + [Scenario("none", waive=("I2",))]
    for change, (confirmed, possible) in zip(changes, batch(what_if, changes).to_numpy(), strict=True):
        assert (confirmed, possible) == tuple(what_if.counts(change))


def test_comparison_with_the_protocol():
    table = compare(
        [Scenario("younger", {"min_age": 16}), Scenario("bare", readings={"exact": True}, waive=("I2",))], PEOPLE, TWO
    )
    assert table.index.tolist() == ["as in the protocol", "younger", "bare"]
    assert table["n_possible"].tolist() == [3, 5, 3]
    assert table["gain_possible"].tolist() == [0, 2, 0]
    assert table["gain_confirmed"].tolist() == [0, 2, 1]
    assert table["changes"].tolist() == ["", "min_age 18 → 16", "exact False → True; I2 platelets waived"]


def test_a_waterfall_adds_up():
    table = waterfall(Scenario("wide", {"min_age": 16, "min_platelets": 10}), PEOPLE, TWO)
    assert table.index.tolist() == ["as in the protocol", "min_age 18 → 16", "min_platelets 30 → 10"]
    assert table["n_possible"].tolist() == [3, 5, 7]
    assert table["gain_possible"].tolist() == [0, 2, 2]
    assert table["gain_confirmed"].sum() == table["n_confirmed"].iloc[-1] - table["n_confirmed"].iloc[0]


def test_words_for_edited_and_added_criteria():
    @inclusion("I2", "edited")
    def platelets_edited(platelets_10e9_l, *, min_platelets: float = 30):
        return platelets_10e9_l >= min_platelets

    edited = Protocol("TWO", "v2", [platelets_edited, above])
    assert in_words(TWO, edited) == ["I1 age rewritten", "I2 platelets rewritten"]
    assert in_words(TWO, TWO.adding(above_too)) == ["I3 above_too added"]


def test_an_amendment_says_who_moves_and_why():
    found = amendment(PEOPLE, TWO, TWO.with_thresholds(min_age=17, min_platelets=31))
    assert found.statuses.to_numpy().sum() == 8
    assert (found.n_moved_in, found.n_moved_out) == (1, 1)
    assert found.criteria["change"].to_dict() == {"I1": "changed", "I2": "changed"}
    assert found.criteria.loc["I1", ["n_moved_in", "n_moved_in_only", "n_moved_out"]].tolist() == [1, 1, 0]
    assert found.criteria.loc["I2", ["n_moved_in", "n_moved_out", "n_moved_out_only"]].tolist() == [0, 1, 1]
    assert found.changes == ("min_age 18 → 17", "min_platelets 30 → 31")


def test_an_amendment_that_adds_and_removes():
    @exclusion("E1", "old")
    def old(age_years, *, max_ok: int = 60):
        return age_years > max_ok

    found = amendment(WhatIf(PEOPLE, TWO), TWO.without("I2").adding(old))
    assert found.criteria["change"].to_dict() == {"I2": "removed", "E1": "added"}
    assert found.criteria.loc["E1", "n_moved_out"] == 1
    assert found.criteria.loc["I2", "n_moved_in"] == 1
    assert found.criteria.loc["I2", "n_failing_new"] == 0


def test_an_amendment_that_changes_nothing():
    found = amendment(PEOPLE, TWO, TWO)
    assert found.criteria.empty
    assert found.n_moved_in == found.n_moved_out == 0
    assert found.changes == ()


def test_a_tornado_over_readings_and_build_settings():
    table = tornado(PEOPLE, TWO)
    assert table.loc["exact", ["low_choice", "high_choice"]].tolist() == [True, False]
    assert table.loc["exact", ["n_possible_low", "n_possible_high", "span"]].tolist() == [2, 3, 1]
    assert table.attrs["n_possible"] == 3
    assert table.index[-1] == "all together"

    def rebuild(column, setting, value):
        assert (column, setting) == ("platelets_10e9_l", "statistic")
        return PEOPLE.assign(platelets_10e9_l=PEOPLE.platelets_10e9_l + (20 if value == "max" else 0))

    built = tornado(PEOPLE, TWO, build={"platelets_10e9_l.statistic": ["latest", "max"]}, rebuild=rebuild)
    row = built.loc["platelets_10e9_l.statistic"]
    assert (row.kind, row.n_possible_low, row.n_possible_high) == ("build setting", 3, 4)


def test_small_multiples_leave_out_what_changes_nothing():
    table = curves(PEOPLE, TWO, points=5)
    assert set(table.index.get_level_values("threshold")) == {"min_age", "max_age", "min_platelets"}
    assert table.groupby(level=0)["in_force"].sum().eq(1).all()
    for (name, value), row in table.iterrows():
        assert (row.n_confirmed, row.n_possible) == WhatIf(PEOPLE, TWO).counts({name: value})


def test_missing_columns_may_be_unknown():
    lacking = PEOPLE.drop(columns="platelets_10e9_l")
    assert WhatIf(lacking, TWO, missing_columns="unknown").counts({"min_platelets": 1}) == (0, 4)
    assert sweep(lacking, TWO, missing_columns="unknown", min_platelets=[1, 2])["n_possible"].tolist() == [4, 4]


def test_what_is_kept_can_be_given_back():
    what_if = WhatIf(PEOPLE, TWO).prepare()
    before = what_if.counts({"min_age": 17})
    what_if.forget()
    assert what_if.counts({"min_age": 17}) == before


def test_more_than_64_criteria():
    many = []
    for i in range(70):

        def criterion(x, *, min_x: float = 3):
            return x > min_x

        criterion.__name__ = f"c{i}"
        many.append(inclusion(f"I{i + 1}", "many")(criterion))
    protocol = Protocol("MANY", "Many", many)
    what_if = WhatIf(X, protocol)
    assert what_if.counts({"min_x": 0}) == (4, 5)
    assert batch(what_if, [{"min_x": v} for v in range(6)])["n_possible"].tolist() == [5, 4, 4, 2, 2, 1]
    assert curve(what_if, "min_x")["n_possible"].tolist() == [5, 4, 2, 1]
    assert np.array_equal(what_if.screen({"min_x": 0}).failed, fz.screen(X, protocol.with_thresholds(min_x=0)).failed)
