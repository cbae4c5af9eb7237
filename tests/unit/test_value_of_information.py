"""What filling in columns would settle: patients whose answer can be read off by eye."""

import numpy as np
import pandas as pd
import pytest
from helpers import frame

import feasibility as fz
from feasibility.cohort.schema import CohortTable, Column
from feasibility.missing.cells import cells_of
from feasibility.missing.information import value_of_information
from feasibility.missing.settling import smallest, union


def sure(table):
    return {names: int(n) for names, n in zip(table["columns"], table["n_settled_surely"], strict=True)}


def voi(cohort, *criteria, columns=None, **options):
    screening = fz.screen(cohort, fz.Protocol("demo", "Demo", list(criteria), columns=columns), check=False,
                          missing_columns="unknown")  # fmt: skip
    return value_of_information(screening, cohort, **{"top": 100} | options)


@fz.inclusion("I1", "platelets of the last 14 days")
def platelets(plt, days_since_plt, *, min_plt: float = 30, max_days: float = 14):
    """Recent and above."""
    return fz.kleene.only_if(days_since_plt <= max_days, plt > min_plt)


@fz.inclusion("I2", "both high")
def both(x, y, *, min_x: float = 30):
    """Two values."""
    return (x > min_x) & y


@fz.inclusion("I3", "ecog")
def ecog_low(ecog, *, max_ecog: int = 2):
    """Score."""
    return ecog <= max_ecog


class Given:
    """Imputations written down in the test."""

    def __init__(self, rows, *tables):
        self.rows, self.tables, self.m = np.array(rows), tables, len(tables)
        self.observed = tables[0]

    def completed(self, k):
        return self.tables[k]


def test_a_patient_with_two_unknown_criteria_needs_both_columns():
    cohort = frame(
        # one hole, the other, both, none
        plt=("Float64", None, 50, None, 50), days_since_plt=("Float64", None, 1, None, 1),
        ecog=("Int64", 1, None, None, 1),
    )  # fmt: skip
    table = voi(cohort, platelets, ecog_low)
    assert sure(table[table.method == "exact"]) == {("plt",): 1, ("ecog",): 1, ("plt", "ecog"): 3}
    assert table.attrs["n_undetermined"] == 3
    assert table[["n_settled_expected", "n_gain_expected"]].isna().all().all()


def test_a_record_is_its_value_its_age_and_its_bound_and_an_old_one_is_a_hole():
    cohort = frame(
        # too old, undated, age without a value, fresh
        plt=("Float64", 50, 50, None, 50), days_since_plt=("Float64", 60, None, 3, 14),
    )  # fmt: skip
    assert sure(voi(cohort, platelets, most=1)) == {("plt",): 3}


def test_a_value_between_bounds_can_only_turn_out_between_them():
    # 20 to 50: above 30 the second value would still be needed; 40 to 50 leaves only that; 10 to 20 has failed.
    cohort = frame(x=("Float64", 20, 40, 10), y=("boolean", None, None, None))
    cohort.insert(1, "x__upper", pd.array([50, 50, 20], dtype="Float64"))
    table = voi(cohort, both)
    assert sure(table[table.method == "exact"]) == {("y",): 1, ("x",): 0, ("x", "y"): 2}


def test_a_column_that_would_not_apply_settles_only_with_what_it_hangs_on():
    @fz.exclusion("E1", "graft against host")
    def gvhd_alone(gvhd):
        """Asked of everybody, although only transplanted patients can answer."""
        return gvhd

    @fz.exclusion("E2", "transplant with it")
    def with_transplant(hsct, gvhd):
        """As it should be."""
        return hsct & gvhd

    columns = CohortTable([
        Column(name="hsct", dtype="boolean", doc="Transplant."),
        Column(name="gvhd", dtype="boolean", doc="GvHD.", asked_if=("hsct", True)),
    ])  # fmt: skip
    cohort = frame(hsct=("boolean", True, False, None), gvhd=("boolean", None, None, None))
    # Of the first it is asked; of the second not, so nothing settles it; of the third nobody knows.
    assert sure(voi(cohort, gvhd_alone, columns=columns, most=1)) == {("gvhd",): 1}
    table = voi(cohort, with_transplant, columns=columns)
    # The second patient is decided as it is. {"gvhd"} settles the first.
    assert sure(table[table.method == "exact"]) == {("gvhd",): 1, ("hsct",): 0, ("hsct", "gvhd"): 2}


def test_nothing_can_settle_a_patient_to_whom_the_only_hole_does_not_apply():
    @fz.exclusion("E1", "graft against host")
    def gvhd_alone(gvhd):
        """Asked of everybody."""
        return gvhd

    columns = CohortTable([
        Column(name="hsct", dtype="boolean", doc="Transplant."),
        Column(name="gvhd", dtype="boolean", doc="GvHD.", asked_if=("hsct", True)),
    ])  # fmt: skip
    table = voi(frame(hsct=("boolean", False), gvhd=("boolean", None)), gvhd_alone, columns=columns)
    assert not len(table)
    assert table.attrs["n_undetermined"] == 1


def test_either_of_two_columns_is_not_both():
    @fz.inclusion("I1", "either")
    def either(a, b):
        """One yes is enough."""
        return a | b

    cohort = frame(a=("boolean", None, None), b=("boolean", None, False))
    table = voi(cohort, either)
    assert sure(table[table.method == "exact"]) == {("a",): 1, ("b",): 0, ("a", "b"): 2}


def test_expected_numbers_are_means_over_the_imputations():
    cohort = frame(
        plt=("Float64", None, 50, None), days_since_plt=("Float64", None, 1, None), ecog=("Int64", 1, None, None)
    )
    one = frame(plt=("Float64", 50, 50, 10), days_since_plt=("Float64", 0, 1, 0), ecog=("Int64", 1, 1, 1))
    two = frame(plt=("Float64", 10, 50, 90), days_since_plt=("Float64", 0, 1, 0), ecog=("Int64", 1, 4, 1))
    table = voi(cohort, platelets, ecog_low, imputations=Given([0, 1, 2], one, two))
    numbers = {c: (s, e, g) for _, m, c, s, e, g in table.astype(object).to_numpy() if m == "exact"}
    # plt: P0 settled in both; P2 fails in the first, stays unknown (ecog) in the second.
    assert numbers[("plt",)] == (1, 1.5, 0.5)
    assert numbers[("ecog",)] == (1, 1.0, 0.5)
    assert numbers[("plt", "ecog")] == (3, 3.0, 1.5)
    assert table["columns"].iloc[0] == ("plt",)
    by_gain = voi(cohort, platelets, ecog_low, imputations=Given([0, 1, 2], one, two), objective="gain", most=1)
    assert by_gain.attrs["objective"] == "gain"


def test_what_no_imputation_fills_is_named_and_counts_only_where_any_value_settles():
    cohort = frame(plt=("Float64", None, 50), days_since_plt=("Float64", None, 1), ecog=("Int64", 1, 1))
    nothing = Given([0], cohort.iloc[:1], cohort.iloc[:1])
    table = voi(cohort, platelets, ecog_low, imputations=nothing, most=1)
    assert table.attrs["not_imputed"] == ["plt"]
    two = frame(plt=("Float64", None, 50), days_since_plt=("Float64", None, 1), ecog=("Int64", None, 1))
    both_open = voi(two, platelets, ecog_low, imputations=Given([0], two.iloc[:1]), most=2)
    assert both_open.attrs["not_imputed"] == ["plt", "ecog"]
    assert table.iloc[0][["n_settled_surely", "n_settled_expected", "n_gain_expected"]].tolist() == [1, 1.0, 0.0]


def test_the_search_can_be_restricted_and_absent_columns_take_part():
    cohort = frame(ecog=("Int64", 1, None))
    table = voi(cohort, platelets, ecog_low, columns=None, most=2)
    assert ("plt", "ecog") in sure(table)
    screening = fz.screen(cohort, fz.Protocol("d", "D", [platelets, ecog_low]), missing_columns="unknown")
    only = value_of_information(screening, cohort, columns=["plt"])
    assert [c for c in only["columns"]] == [("plt",), ("plt",)]


def test_a_criterion_that_compares_two_columns_is_judged_on_values_that_occur_and_named():
    @fz.inclusion("I1", "fell")
    def fell(now, before):
        """Compares columns."""
        return now < before

    cohort = frame(now=("Float64", None, 1, 9), before=("Float64", 5, None, 5))
    table = voi(cohort, fell)
    assert table.attrs["approximate"] == ["I1"]
    assert sure(table[table.method == "exact"]) == {("now",): 1, ("before",): 1, ("now", "before"): 2}


@pytest.mark.parametrize(
    ("value", "cell"), [(-5, 0), (9.99, 0), (10, 1), (10.01, 2), (29, 2), (30, 2), (30.5, 3), (np.inf, 3)]
)
def test_cells_are_what_the_criterion_tells_apart(value, cell):
    @fz.inclusion("I1", "not ten and not above thirty")
    def strange(x, *, limit: float = 30, other: float = 10):
        """Several limits."""
        return (x != other) & (2 * x + 1 <= 2 * limit + 1)

    cells, exact = cells_of(strange, frame(x=("Float64", 1.0)), None)
    assert exact
    assert cells["x"].code(pd.Series([value, None], dtype="Float64")).tolist() == [cell, -1]
    assert cells["x"].code(pd.Series(list(cells["x"].values), dtype="Float64")).tolist() == [0, 1, 2, 3]


def test_values_outside_the_declared_range_or_list_are_not_possible():
    table = CohortTable([
        Column(name="ecog", dtype="Int64", doc="Score.", hard=(0, 4)),
        Column(name="status", dtype="string", doc="Response.", values=("CR", "PR")),
    ])  # fmt: skip

    @fz.inclusion("I1", "score and response")
    def odd(ecog, status, *, low: int = 0, high: int = 4):
        """Limits at the ends of the range."""
        return (ecog >= low) & (ecog <= high) & fz.is_in(status, ("CR", "PR", "XX"))

    cohort = frame(ecog=("Int64", 1), status=("string", "CR"))
    cells, _ = cells_of(odd, cohort, table)
    assert cells["ecog"].possible == (1,)
    assert 0 <= cells["ecog"].values[1] <= 4
    assert {cells["status"].values[i] for i in cells["status"].possible} == {"CR", "PR"}
    # Where every possible value passes, one column surely settles with a pass, and nothing else is needed.
    holes = frame(ecog=("Int64", None), status=("string", "CR"))
    assert sure(voi(holes, odd, columns=table, most=1)) == {("ecog",): 1}


def test_families_of_sets():
    assert smallest([0b111, 0b011, 0b100]) == (0b100, 0b011)
    assert smallest([0b111], most=2) == ()
    assert union([(0b01, 0b10), (0b01, 0b100)], 3) == (0b001, 0b110)
    assert union([(0b1,), (0b10,), (0b100,)], 2) == ()
