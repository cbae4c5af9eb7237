"""The figures of the quality page draw what their tables say."""

from __future__ import annotations

import pandas as pd
import pytest

from feasibility.errors import FeasibilityError
from feasibility.figures import style
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


def test_a_single_value_is_one_bar_at_that_value():
    table = pd.DataFrame({"column": ["ecog"], "left": [2.0], "right": [2.0], "n": [40]})
    (ax,) = plot_distributions(table, bounded={"ecog": 1200})
    (bar,) = ax.containers[0].patches
    assert bar.get_x() + bar.get_width() / 2 == pytest.approx(2.0)
    assert 0 < bar.get_width() < (ax.get_xlim()[1] - ax.get_xlim()[0]) / 4
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2"]
    assert [t.get_text() for t in ax.texts] == ["1,200 between bounds"]


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


def test_a_reason_looks_alike_whatever_other_reasons_a_figure_has():
    def looks(*reasons):
        ax = plot_completeness(pd.DataFrame({"known": [5]} | {r: [1] for r in reasons}, index=["ecog"]))
        bars = {c.get_label(): c.patches[0] for c in ax.containers}
        return {r: (bars[r].get_facecolor(), bars[r].get_hatch()) for r in reasons}

    every = looks(*style.REASONS)
    assert len(set(every.values())) == len(style.REASONS)
    for some in (("stale",), ("conflicting", "stale", "missing"), ("not in file", "another reason", "unit unknown")):
        found = looks(*some)
        assert {r: found[r] for r in some if r in every} == {r: every[r] for r in some if r in every}
        assert len(set(found.values())) == len(some)


@pytest.mark.parametrize("draw", [plot_distributions, plot_known_by])
def test_an_empty_table_says_so(draw):
    with pytest.raises(FeasibilityError, match=draw.__name__):
        draw(BINS.head(0))
