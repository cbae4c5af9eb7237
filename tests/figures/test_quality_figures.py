"""The figures of the quality page draw what their tables say."""

from __future__ import annotations

import pandas as pd
import pytest

from feasibility.errors import FeasibilityError
from feasibility.figures.completeness import plot_completeness
from feasibility.figures.distributions import plot_distributions, plot_known_by

BINS = pd.DataFrame(
    {
        "column": ["hemoglobin_g_l"] * 3 + ["platelets_10e9_l"] * 2,
        "left": [60.0, 80.0, 100.0, 0.0, 50.0],
        "right": [80.0, 100.0, 120.0, 50.0, 100.0],
        "n": [3, 5, 2, 7, 1],
    }
)


def test_a_histogram_per_column_with_bars_as_high_as_the_counts():
    axes = plot_distributions(BINS, {"hemoglobin_g_l": (70, 110)})
    assert [ax.get_title(loc="left") for ax in axes] == ["hemoglobin_g_l", "platelets_10e9_l"]
    bars = [[round(p.get_height()) for p in ax.containers[0].patches] for ax in axes]
    assert bars == [[3, 5, 2], [7, 1]]
    assert [p.get_x() for p in axes[0].containers[0].patches] == [60.0, 80.0, 100.0]
    assert axes[0].figure is axes[1].figure


def test_a_cell_per_column_and_site_with_its_number():
    share = pd.DataFrame({"A": [1.0, 0.25], "B": [0.5, 0.0]}, index=["ecog", "sex"])
    ax = plot_known_by(share)
    texts = [t.get_text() for t in ax.texts]
    assert {"100%", "25%", "50%", "0%"} <= set(texts)
    assert len(ax.containers) == share.size
    assert {"A", "B"} <= set(texts)


def test_a_reason_looks_alike_in_every_part_of_a_table():
    table = pd.DataFrame({"known": [5, 5], "missing": [3, 1], "stale": [2, 4]}, index=["ecog", "lvef"])
    table.insert(2, "not tested", [1, 0])

    def look(part):
        bars = next(c for c in plot_completeness(part).containers if c.get_label() == "stale")
        return bars.patches[0].get_facecolor(), bars.patches[0].get_hatch()

    assert look(table) == look(table.tail(1)) == look(table.head(1))


@pytest.mark.parametrize("draw", [plot_distributions, plot_known_by])
def test_an_empty_table_says_so(draw):
    with pytest.raises(FeasibilityError, match=draw.__name__):
        draw(BINS.head(0))
