"""The figure of ages draws what the report's tables say."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from feasibility.errors import FeasibilityError
from feasibility.figures.ages import plot_value_ages

AGES = pd.DataFrame(
    {
        "unit": ["days", "months", "days"],
        "n_known": [10, 4, 0],
        "n_never": [0, 0, 0],
        "n_stale": [3, 0, 8],
        "window": [90.0, float("nan"), 56.0],
    },
    index=pd.Index(["hemoglobin_g_l", "nyha_class", "lvef_latest_pct"], name="column"),
)
BINS = pd.DataFrame(
    {
        "column": ["hemoglobin_g_l"] * 3 + ["nyha_class"] * 2,
        "left": [0.0, 30.0, 60.0, 0.0, 6.0],
        "right": [30.0, 60.0, 90.0, 6.0, 12.0],
        "n": [6, 4, 0, 1, 3],
    }
)
SHORTER = pd.DataFrame(
    {
        "column": ["hemoglobin_g_l"] * 4 + ["nyha_class"],
        "unit": ["days"] * 4 + ["months"],
        "window": [7, 14, 28, 56, 1],
        "n_lost": [8, 5, 4, 0, 4],
    }
)


def report(ages=AGES):
    return SimpleNamespace(ages=lambda: ages, age_bins=lambda: BINS, tighter_windows=lambda: SHORTER)


def test_a_panel_a_column_with_bars_a_line_and_the_losses():
    axes = plot_value_ages(report())
    assert len(axes) == 2  # nothing to draw for a column without an age
    assert [p.get_height() for p in axes[0].containers[0].patches] == [6, 4, 0]
    assert [list(line.get_xdata()) for line in axes[0].lines] == [[90.0, 90.0]]
    assert axes[1].lines[:] == []
    texts = [[t.get_text().replace("\xa0", " ") for t in ax.texts] for ax in axes]
    assert texts[0] == ["hemoglobin_g_l", "10 with an age, 3 too old", "7 d loses 80 %, 14 d 50 %, 28 d 40 %"]
    assert texts[1] == ["nyha_class", "4 with an age", "1 mo loses 100 %"]
    assert [t.get_text() for t in axes[0].get_xticklabels()] == ["0", "look-back 90 d"]
    assert axes[0].figure is axes[1].figure


def test_the_line_stands_within_the_panel_and_nothing_is_cut_off():
    axes = plot_value_ages(report())
    figure = axes[0].figure
    figure.canvas.draw()
    whole = figure.bbox
    for ax in axes:
        assert ax.get_xlim()[1] >= 90 or not ax.lines
        for text in [*ax.texts, *ax.get_xticklabels()]:
            box = text.get_window_extent()
            assert box.x0 >= whole.x0 - 1
            assert box.x1 <= whole.x1 + 1
            assert box.y0 >= whole.y0 - 1
            assert box.y1 <= whole.y1 + 1


def test_chosen_columns_and_a_wrong_one():
    (ax,) = plot_value_ages(report(), ["nyha_class"])
    assert ax.texts[0].get_text() == "nyha_class"
    with pytest.raises(FeasibilityError, match="no value of column 'nyha_clas' has an age. Did you mean 'nyha_class'"):
        plot_value_ages(report(), ["nyha_clas"])


def test_nothing_to_draw_is_said():
    with pytest.raises(FeasibilityError, match="plot_value_ages: no column has a value with an age"):
        plot_value_ages(report(AGES.tail(1)))
