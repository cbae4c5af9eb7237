"""Enrolment figures: what is drawn is what the table says, and it fits on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from feasibility.errors import FeasibilityError
from feasibility.figures.enrollment import (
    BAND_80,
    BAND_95,
    plot_fan,
    plot_rate_tornado,
    plot_site_contributions,
    plot_success,
)


@pytest.fixture
def fan():
    m = np.arange(37)
    table = pd.DataFrame(
        {"low_95": m // 9, "low_80": m // 6, "median": m // 4, "high_80": m // 3, "high_95": m // 2},
        index=pd.RangeIndex(37, name="month"),
    )
    table.attrs = {"target": 9, "goal": "infused"}
    return table


@pytest.fixture
def tornado():
    table = pd.DataFrame(
        {"low_value": [0.5, 0.9], "high_value": [0.9, 0.99], "probability_low": [0.2, 0.48],
         "probability_high": [0.7, 0.52], "months_low": [np.inf, 50], "months_high": [40, 48], "span": [0.5, 0.04]},
        index=pd.Index(["consent", "ex02_antigen"], name="assumption"),
    )  # fmt: skip
    table.attrs = {"probability": 0.5, "by": 48}
    return table


def inside(ax):
    """No text leaves the picture."""
    figure = ax.get_figure()
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    page = figure.bbox
    for text in figure.findobj(lambda a: hasattr(a, "get_text") and a.get_text()):
        box = text.get_window_extent(renderer)
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, text.get_text()  # noqa: PT018
        assert box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, text.get_text()  # noqa: PT018


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def test_the_fan_draws_bands_median_and_target(fan):
    ax = plot_fan(fan)
    assert lines(ax, "median")[0].get_ydata().tolist() == fan["median"].tolist()
    assert set(lines(ax, "target")[0].get_ydata()) == {9}
    bands = {c.get_label(): c for c in ax.collections}
    wide, narrow = (bands[k].get_paths()[0].get_extents() for k in ("95 %", "80 %"))
    assert (wide.y1, narrow.y1) == (18, 12)
    assert ax.get_xlabel() == "months"
    assert ax.get_ylim()[1] > 18
    inside(ax)


def test_the_bands_differ_in_grey(fan):
    light, dark = (np.dot(to_rgb(b["facecolor"]), (0.3, 0.59, 0.11)) for b in (BAND_95, BAND_80))
    assert 1 - 0.03 > light > dark + 0.12


def test_success_over_time_marks_when_each_level_is_reached():
    months = np.arange(61)
    table = pd.DataFrame({"probability": months / 66, "se": 0.0}, index=pd.Index(months, name="month"))
    ax = plot_success(table)
    marks = {(float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in lines(ax, "reached")}
    assert marks == {(33.0, 0.5), (53.0, 0.8), (60.0, 0.9)}
    inside(ax)


def test_success_by_sites_has_one_dash_a_month_and_names_each():
    grid = pd.DataFrame({12: [0.0, 0.1, 0.4], 24: [0.2, 0.7, 0.99], 36: [0.5, 0.95, 1.0]},
                        index=pd.Index([10, 20, 30], name="sites"))  # fmt: skip
    ax = plot_success(grid)
    drawn = [line for line in ax.lines if line.get_label() in ("12", "24", "36")]
    assert [line.get_ydata().tolist() for line in drawn] == [grid[c].tolist() for c in grid]
    assert len({str(line.get_linestyle()) + str(line._unscaled_dash_pattern) for line in drawn}) == 3
    names = {t.get_text() for t in ax.texts}
    assert {"by month 12", "by month 24", "by month 36"} <= names
    inside(ax)


def test_contributions_are_sorted_and_hold_their_intervals():
    table = pd.DataFrame(
        {"mean": [2.0, 11.5], "low_80": [0, 5], "high_80": [5, 19], "share": [0.15, 0.85]},
        index=pd.Index(["new site", "Wuhan Union Hospital, haematology department"], name="site"),
    ).assign(probability_none=[0.2, 0.0])
    ax = plot_site_contributions(table)
    assert [p.get_width() for p in ax.patches if p.get_width() in (2.0, 11.5)] == [11.5, 2.0]
    assert [list(line.get_xdata()) for line in lines(ax, "80 %")] == [[5, 19], [0, 5]]
    assert "13.5 expected" in ax.texts[-1].get_text() or any("13.5 expected" in t.get_text() for t in ax.texts)
    inside(ax)
    assert "1 sites not shown" in " ".join(t.get_text() for t in plot_site_contributions(table, top=1).texts)


def test_the_tornado_runs_from_the_base_to_both_ends(tornado):
    ax = plot_rate_tornado(tornado)
    spans = sorted(
        (round(p.get_x(), 3), round(p.get_x() + p.get_width(), 3)) for p in ax.patches if p.get_height() < 20
    )
    assert {(0.2, 0.5), (0.5, 0.7), (0.48, 0.5), (0.5, 0.52)} <= set(spans)
    texts = [t.get_text() for t in ax.texts]
    assert "later … 40" in texts
    assert "0.5 … 0.9" in texts
    assert "Consent matters most for the target by month 48: 20\xa0% to 70\xa0%" in texts
    inside(ax)
    still = plot_rate_tornado(tornado.assign(span=0.0, probability_low=0.0, probability_high=0.0))
    assert any("No assumption alone moves" in t.get_text() for t in still.texts)


def test_wrong_tables_are_refused(fan, tornado):
    with pytest.raises(FeasibilityError, match="plot_fan: the table has no column 'median'"):
        plot_fan(fan.drop(columns="median"))
    with pytest.raises(FeasibilityError, match="Forecast.probabilities.. or success_by_sites"):
        plot_success(fan)
    with pytest.raises(FeasibilityError, match="from 1 to 5 lines"):
        plot_success(pd.DataFrame(0.5, index=pd.Index([1, 2], name="sites"), columns=range(6)))
    with pytest.raises(FeasibilityError, match="no column 'probability_none'"):
        plot_site_contributions(pd.DataFrame({"mean": [1], "low_80": [0], "high_80": [2], "share": [1]}))
    with pytest.raises(FeasibilityError, match="no rows"):
        plot_rate_tornado(tornado.iloc[:0])
