"""The figures of missing data draw what their tables say, and everything on them can be read."""

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.errors import FeasibilityError
from feasibility.figures.completeness_map import plot_completeness_by
from feasibility.figures.missing import plot_information, plot_ledger, plot_tested
from feasibility.missing import tested as tested_module
from feasibility.missing.information import value_of_information
from feasibility.missing.ledger import missing_ledger
from feasibility.protocol.loading import trial_module


@pytest.fixture(scope="module")
def registry():
    cohort = trial_module("NCT06642025").synthetic(300, seed=3).observed
    return fz.screen(cohort, fz.load_trial("NCT06642025")), cohort


LEDGER = pd.DataFrame(
    {"kind": ["inclusion", "exclusion"], "name": ["adult", "pregnant"], "n_passing": [5, 9], "n_failing": [3, 0],
     "n_unknown": [2, 1], "n_blocking": [1, 0]},
    index=pd.Index(["I1", "E1"], name="criterion"),
)  # fmt: skip
INFORMATION = pd.DataFrame(
    {"size": [1, 1, 2, 2], "method": ["exact", "exact", "exact", "all"],
     "columns": [("ecog",), ("cd3",), ("ecog", "cd3"), ("ecog", "cd3")], "n_settled_surely": [3, 1, 8, 8],
     "n_settled_expected": pd.array([4.5, 3.0, 8.0, 8.0], dtype="Float64"),
     "n_gain_expected": pd.array([2.0, 0.5, 4.0, 4.0], dtype="Float64")},
)  # fmt: skip
MAP = pd.DataFrame(
    {"column": ["ecog"] * 4 + ["cd3"] * 4, "site_id": ["A", "A", "B", "B"] * 2, "period": ["2024-01", "2024-02"] * 4,
     "n": [10] * 8, "n_not_applicable": [0] * 8, "n_known": [10, 5, 0, 1, 2, 3, 4, 0],
     "n_unknown": [0, 5, 10, 9, 8, 7, 6, 0], "share": [1.0, 0.5, 0.0, 0.996, 0.002, 0.3, 0.4, np.nan]},
)  # fmt: skip
TESTED = pd.DataFrame(
    {"tested": [0.5, 30.0, 0.1], "untested": [0.2, 31.0, 0.1], "smd": [0.7, -0.05, 0.3], "smd_low": [0.3, -0.1, -2.5],
     "smd_high": [0.9, 0.02, 3.0], "says": ["differs", "alike", "cannot be told"]},
    index=pd.MultiIndex.from_tuples([("sick", "yes"), ("age_years", "mean"), ("rare", "yes")]),
)  # fmt: skip


def test_the_ledger_has_a_bar_of_three_parts(readable, bar_lengths, all_texts):
    ax = plot_ledger(LEDGER)
    assert bar_lengths(ax, "known") == [5, 9]
    assert bar_lengths(ax, "unknown") == [2, 1]
    assert bar_lengths(ax, "excluded") == [3, 0]
    assert "Adult keeps the most patients undetermined: 1" in all_texts(ax)
    assert "Nobody is kept undetermined by a hole in the data" in all_texts(plot_ledger(LEDGER.assign(n_blocking=0)))
    readable(ax)


def marks(ax, label):
    return [float(line.get_xdata()[0]) for line in ax.lines if line.get_label() == label]


def test_information_has_three_marks_a_set(readable, all_texts):
    ax = plot_information(INFORMATION)
    assert marks(ax, "n_settled_surely") == [3, 1, 8, 8]
    assert marks(ax, "n_settled_expected") == [4.5, 3, 8, 8]
    assert marks(ax, "n_gain_expected") == [2, 0.5, 4, 4]
    shapes = {line.get_label(): (line.get_marker(), line.get_markerfacecolor()) for line in ax.lines}
    assert len({shapes[n] for n in ("n_settled_surely", "n_settled_expected", "n_gain_expected")}) == 3
    texts = all_texts(ax)
    assert {"ecog + cd3", "all 2 columns", "One column", "Two columns", "Everything"} <= set(texts)
    readable(ax)
    alone = plot_information(INFORMATION.assign(n_settled_expected=pd.NA, n_gain_expected=pd.NA))
    assert not marks(alone, "n_settled_expected")
    assert "Filling in ecog alone would surely settle 3 patients" in all_texts(alone)


def test_the_map_has_a_number_in_every_cell_and_never_a_false_hundred(readable, all_texts):
    ax = plot_completeness_by(MAP)
    texts = all_texts(ax)
    assert sorted(t for t in texts if t in ("100", "50", "0", ">99", "<1", "30", "40", "–")) == sorted(
        ["100", "50", "0", ">99", "<1", "30", "40", "–"]
    )
    assert {"A", "B", "2024\n01", "ecog", "cd3"} <= set(texts)
    assert len(ax.containers) == 7
    readable(ax)


def test_a_map_of_many_months_widens_instead_of_overlapping(readable):
    months = [f"{y}-{m:02}" for y in (2023, 2024) for m in range(1, 13)]
    names = ("shortest_months_from_consolidation_to_relapse", "b")
    cells = [(c, s, p, 3, 3, 1.0) for c in names for s in ("north", "a long name") for p in months]
    table = pd.DataFrame(cells, columns=["column", "site_id", "period", "n", "n_known", "share"])
    readable(plot_completeness_by(table))
    readable(plot_completeness_by(table[table.period == "2023-01"].drop(columns="period")))


def test_tested_shows_the_differences_first_and_cuts_long_intervals(readable, all_texts):
    ax = plot_tested(TESTED)
    dots = [(line.get_label(), float(line.get_xdata()[0])) for line in ax.lines if line.get_label() in set(TESTED.says)]
    assert dots == [("differs", 0.7), ("cannot be told", 0.3), ("alike", -0.05)]
    ends = [line.get_xdata() for line in ax.lines if line.get_label() == "interval"]
    low, high = ax.get_xlim()
    assert (ends[1][0], ends[1][1]) == (low, high)
    assert {"sick", "rare", "age_years", "50\xa0%", "+0.70"} <= set(all_texts(ax))
    readable(ax)


def test_real_tables_can_be_read(registry, readable):
    screening, cohort = registry
    readable(plot_ledger(missing_ledger(screening, cohort).criteria))
    readable(plot_information(value_of_information(screening, cohort, most=2)))
    readable(plot_tested(tested_module.tested_versus_untested(cohort, "cd3_10e9_l", screening)))


@pytest.mark.parametrize("draw", [plot_ledger, plot_information, plot_completeness_by, plot_tested])
def test_a_table_of_something_else_says_what_is_missing(draw):
    with pytest.raises(FeasibilityError, match=f"{draw.__name__}: the table has no column"):
        draw(pd.DataFrame({"x": [1]}))
    with pytest.raises(FeasibilityError, match=f"{draw.__name__}: a table"):
        draw([1, 2])
