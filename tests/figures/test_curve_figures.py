"""Curves, maps, waterfalls and tornados: what is drawn is what the table says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from feasibility.errors import FeasibilityError
from feasibility.figures.curve import plot_curve, plot_small_multiples, plot_surface
from feasibility.figures.scenarios import plot_tornado, plot_waterfall


@pytest.fixture
def curve_table():
    counts = np.array([[40, 90, 40, 90], [40, 90, 30, 70], [30, 70, 30, 70], [30, 70, 10, 25], [10, 25, 5, 20]])
    names = ["n_confirmed", "n_possible", "n_confirmed_above", "n_possible_above"]
    table = pd.DataFrame(counts, columns=names, index=pd.Index([-np.inf, 10, 30, 50, 80], name="min_platelets"))
    table["in_force"] = table.index == 30
    table.attrs["unit"] = "10*9/L"
    return table


@pytest.fixture
def surface_table():
    index = pd.MultiIndex.from_product([[10.0, 20.0, 30.0], [1.0, 2.0]], names=["min_platelets", "min_cd3"])
    return pd.DataFrame({"n_confirmed": range(6, 0, -1), "n_possible": range(60, 0, -10)}, index=index)


@pytest.fixture
def curves_table():
    index = pd.MultiIndex.from_tuples(
        [("max_age", 60.0), ("max_age", 70.0), ("max_days_since_a_very_long_name_of_a_laboratory_value", 1.0),
         ("max_days_since_a_very_long_name_of_a_laboratory_value", 2.0), ("min_x", 5.0)],
        names=["threshold", "value"],
    )  # fmt: skip
    return pd.DataFrame(
        {"n_confirmed": [1, 2, 3, 4, 2], "n_possible": [10, 20, 19, 20, 20], "unit": ["a", "a", "d", "d", ""],
         "in_force": [False, True, False, True, True], "criterion": list("aabbc")}, index=index,
    )  # fmt: skip


@pytest.fixture
def steps_table():
    index = pd.Index(["as in the protocol", "max_age 70 → 60 a", "E7 transplant_not_settled waived"], name="step")
    return pd.DataFrame(
        {"n_confirmed": [62, 51, 58], "n_possible": [1140, 977, 1090], "gain_confirmed": [0, -11, 7],
         "gain_possible": [0, -163, 113]}, index=index,
    )  # fmt: skip


@pytest.fixture
def tornado_table():
    index = pd.Index(["hepatitis_b_rule", "consolidation", "include_mpal", "all together"], name="setting")
    table = pd.DataFrame(
        {"value": ["dna", "received", False, ""], "low_choice": ["hbsag", "documented", False, "low"],
         "high_choice": ["dna", "ignore", False, "high"], "n_possible_low": [793, 1025, 1140, 259],
         "n_possible_high": [1140, 1175, 1140, 1416], "span": [347, 150, 0, 1157]}, index=index,
    )  # fmt: skip
    table.attrs["n_possible"] = 1140
    return table


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


def test_a_curve_steps_where_its_table_does(curve_table, all_texts, readable):
    ax = plot_curve(curve_table, limits=(0, 100))
    for label, name in (("possible", "n_possible"), ("confirmed", "n_confirmed")):
        (line,) = lines(ax, label)
        x, y = line.get_data()
        assert y[0] == curve_table[name].iloc[0]
        assert y[-1] == curve_table[name + "_above"].iloc[-1]
        for value in (10, 30, 50, 80):
            assert curve_table.loc[value, name] in y[x == value]
            assert y[x == value][-1] == curve_table.loc[value, name + "_above"]
    (own,) = lines(ax, "protocol")
    assert own.get_xdata()[0] == 30
    assert any("70 possible" in t and "30 confirmed" in t for t in all_texts(ax))
    assert "min_platelets, 10*9/L" in all_texts(ax)
    readable(ax)


def test_a_curve_finds_its_own_limits_and_shows_the_protocol(curve_table):
    low, high = plot_curve(curve_table).get_xlim()
    assert low <= 10 < 80 <= high
    alone = curve_table.iloc[:1].assign(in_force=False)
    plot_curve(alone)


def test_a_sweep_is_drawn_as_well(curve_table):
    sweep = curve_table[["n_confirmed", "n_possible"]].iloc[1:]
    (line,) = lines(plot_curve(sweep), "possible")
    assert line.get_ydata().tolist() == sweep["n_possible"].tolist()


def test_a_surface_has_its_numbers_and_lines_of_equal_enrolment(surface_table, all_texts, readable):
    ax = plot_surface(surface_table, own=(20, 1))
    mesh = next(c for c in ax.collections if c.get_array() is not None and len(np.ravel(c.get_array())) == 6)
    assert np.ravel(mesh.get_array()).tolist() == surface_table["n_possible"].tolist()
    (own,) = lines(ax, "protocol")
    assert own.get_xydata().tolist() == [[1, 20]]
    assert ax.get_xlabel() == "min_cd3"
    assert ax.get_ylabel() == "min_platelets"
    assert "Possible patients over min_cd3 and min_platelets" in all_texts(ax)
    readable(plot_surface(surface_table, count="n_confirmed"))
    plot_surface(surface_table.assign(n_possible=7))


def test_wrong_tables_are_refused(surface_table, curve_table, curves_table):
    with pytest.raises(FeasibilityError, match="sweep over two thresholds is needed"):
        plot_surface(curve_table)
    with pytest.raises(FeasibilityError, match=r"count is 'n_posible'.*n_possible"):
        plot_surface(surface_table, count="n_posible")
    words = surface_table.rename(index={10.0: "any", 20.0: "all", 30.0: "none"}, level=0)
    with pytest.raises(FeasibilityError, match="not readings"):
        plot_surface(words)
    with pytest.raises(FeasibilityError, match="at least two values"):
        plot_surface(surface_table.iloc[:2])
    with pytest.raises(FeasibilityError, match="index \\(threshold, value\\)"):
        plot_small_multiples(curve_table)
    with pytest.raises(FeasibilityError, match="no column 'n_possible'"):
        plot_curve(curve_table.drop(columns="n_possible"))


def test_small_multiples_share_one_scale(curves_table, readable, all_texts):
    host = plot_small_multiples(curves_table)
    assert len(host.child_axes) == 3
    assert len({panel.get_ylim() for panel in host.child_axes}) == 1
    for panel, (_, part) in zip(host.child_axes, curves_table.groupby(level=0, sort=False), strict=True):
        (line,) = lines(panel, "possible")
        assert line.get_ydata().tolist() == part["n_possible"].tolist()
        (own,) = lines(panel, "protocol")
        assert own.get_xdata()[0] == part.index[part["in_force"]][0][1]
    assert "max_age (a)" in all_texts(host)
    assert len(plot_small_multiples(curves_table, top=2, columns=1).child_axes) == 2


def test_a_waterfall_shows_what_each_step_leaves_and_takes(steps_table, bar_lengths, all_texts, readable):
    ax = plot_waterfall(steps_table)
    assert bar_lengths(ax, "confirmed") == [62, 51, 58]
    assert bar_lengths(ax, "undetermined") == [1078, 926, 1032]
    assert bar_lengths(ax, "failing") == [0, 163, 0]
    assert {"−163", "+113", "1,090"} <= set(all_texts(ax))
    assert "From 1,140 to 1,090 possible patients, from 62 to 58 confirmed" in all_texts(ax)
    readable(ax)


def test_scenarios_are_measured_against_the_protocol(steps_table, bar_lengths):
    ax = plot_waterfall(steps_table.rename_axis("scenario"))
    assert bar_lengths(ax, "failing") == [0, 163, 50]


def test_a_tornado_spreads_around_the_protocol(tornado_table, bar_lengths, all_texts, readable):
    ax = plot_tornado(tornado_table)
    assert bar_lengths(ax, "fewer") == [347, 115, 881]
    assert bar_lengths(ax, "more") == [0, 35, 276]
    assert "include_mpal" not in all_texts(ax)
    assert "Interpretation alone moves the possible patients between 259 and 1,416" in all_texts(ax)
    (own,) = lines(ax, "protocol")
    assert own.get_xdata()[0] == 1140
    readable(ax)
    assert bar_lengths(plot_tornado(tornado_table, top=1), "fewer") == [347, 881]
