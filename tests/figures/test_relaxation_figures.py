"""Figures of relaxations and of the front: what is drawn is what the table says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from feasibility.errors import FeasibilityError
from feasibility.figures.relaxation import plot_pareto, plot_relaxations


@pytest.fixture
def relaxed():
    table = pd.DataFrame(
        {
            "waived": [("I5.2", "I5.3"), ("I5.3", "E1.5"), ("I4",)],
            "names": ["t_lymphocytes + platelets", "platelets + severe_infection", "age"],
            "gain_confirmed": [68, 15, 0],
            "confirmed_low": [52.8, 8.4, 0.0],
            "confirmed_high": [86.2, 24.7, 3.7],
            "gain_possible": [1435, 356, 43],
            "possible_low": [1395.1, 320.0, 31.1],
            "possible_high": [1477.9, 395.0, 57.9],
            "corrected": [1425.8, 350.2, np.nan],
            "first_share": [0.42, 0.31, 0.0],
        },
        index=pd.RangeIndex(1, 4, name="rank"),
    )
    table.attrs["objective"] = "possible"
    return table


@pytest.fixture
def front():
    return pd.DataFrame(
        {
            "n_waived": [0, 0, 1, 2],
            "n_steps": [1, 3, 1, 0],
            "waived": [(), (), ("I5.2",), ("I5.2", "I5.3")],
            "loosened": [{"min_cd3": 0.3}, {"min_platelets": 10, "max_age": 75}, {"min_platelets": 20}, {}],
            "gain_confirmed": [12, 26, 42, 68],
            "confirmed_low": [6.2, 17.0, 30.3, 52.8],
            "confirmed_high": [21.0, 38.1, 56.8, 86.2],
            "gain_possible": [75, 307, 240, 435],
            "possible_low": [59.0, 273.6, 210.6, 395.1],
            "possible_high": [94.0, 343.3, 272.4, 477.9],
            "front": ["confirmed", "both", "confirmed", "both"],
        }
    )


def lines(ax, label):
    return [tuple(line.get_xdata()) for line in ax.lines if line.get_label() == label]


@pytest.mark.parametrize("kind", ["relaxed", "front"])
def test_bars_and_intervals_are_the_numbers(kind, request, bar_lengths):
    table = request.getfixturevalue(kind)
    ax = plot_relaxations(table) if kind == "relaxed" else plot_pareto(table)
    assert bar_lengths(ax, "confirmed") == table.gain_confirmed.tolist()
    assert bar_lengths(ax, "undetermined") == table.gain_possible.tolist()
    for name in ("confirmed", "possible"):
        assert lines(ax, f"{name} interval") == list(zip(table[f"{name}_low"], table[f"{name}_high"], strict=True))
    assert ax.get_xlim()[1] >= table.possible_high.max()


def test_corrected_gains_are_marked_on_the_bar_searched_by(relaxed):
    ax = plot_relaxations(relaxed)
    marks = [line for line in ax.lines if line.get_label() == "corrected"]
    assert [m.get_xdata()[0] for m in marks] == [1425.8, 350.2]
    by_confirmed = plot_relaxations(relaxed, objective="confirmed")
    other = [line for line in by_confirmed.lines if line.get_label() == "corrected"]
    assert marks[0].get_ydata()[0] - other[0].get_ydata()[0] == pytest.approx(9)


def test_numbers_and_names_are_written(relaxed, front, all_texts):
    written = all_texts(plot_relaxations(relaxed))
    for text in ("I5.2 + I5.3", "+1,435", "+68", "+1,426", "42\u00a0%", "0\u00a0%", "–", "0"):
        assert text in written
    assert any("ranks first in only 42" in " ".join(t.split()) for t in written)
    assert "T lymphocytes + Platelets" in written
    written = all_texts(plot_pareto(front))
    assert "Nothing waived, thresholds loosened" in written
    assert "1 criterion waived" in written
    assert "2 criteria waived" in written
    assert "+435" in written
    assert any("min_platelets\u00a0=\u00a010" in t for t in written)


def test_the_count_by_which_a_row_is_on_the_front_is_bold(front):
    ax = plot_pareto(front)
    weight = {t.get_text(): t.get_fontweight() for t in ax.texts if t.get_text().startswith("+")}
    assert (weight["+12"], weight["+75"]) == ("bold", "normal")
    assert (weight["+26"], weight["+307"]) == ("bold", "bold")


def test_nothing_overlaps(relaxed, front, readable):
    readable(plot_relaxations(relaxed))
    readable(plot_relaxations(relaxed, objective="confirmed"))
    readable(plot_pareto(front))
    long = relaxed.assign(
        waived=[("I5.2", "I5.3", "E1.5", "E3.5")] * 3,
        names=["a_very_long_name_of_a_criterion + another_very_long_name + 心功能不全史 + a_fourth_one_as_well"] * 3,
    )
    readable(plot_relaxations(long))
    many = front.assign(loosened=[{f"min_threshold_number_{i}": 12.5 for i in range(4)}] * 4)
    readable(plot_pareto(many))


def test_title_and_own_axes(relaxed, front, all_texts):
    assert not any("would bring the most" in t for t in all_texts(plot_relaxations(relaxed, title="")))
    assert any("up to 435 more possible" in t for t in all_texts(plot_pareto(front)))
    ax = Figure(figsize=(9, 9)).add_axes((0.4, 0.1, 0.3, 0.7))
    assert plot_pareto(front, ax) is ax


def test_wrong_tables_are_named(relaxed, front):
    with pytest.raises(FeasibilityError, match="plot_relaxations: the table has no column 'corrected'"):
        plot_relaxations(relaxed.drop(columns="corrected"))
    with pytest.raises(FeasibilityError, match="no rows"):
        plot_relaxations(relaxed.head(0))
    with pytest.raises(FeasibilityError, match="Did you mean 'possible'"):
        plot_relaxations(relaxed, objective="posible")
    with pytest.raises(FeasibilityError, match="plot_pareto: the table has no column 'front'"):
        plot_pareto(front.drop(columns="front"))
