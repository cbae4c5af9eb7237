"""Figures of arrivals, spells, how they end and what snapshots miss: what is drawn is what the table says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from feasibility.errors import FeasibilityError
from feasibility.figures.arrivals import plot_arrivals, plot_cumulative_incidence, plot_snapshots, plot_spells


@pytest.fixture
def arrived():
    periods = pd.period_range("2023-07", periods=24, freq="M", name="period")
    table = pd.DataFrame({"exposure_months": [0.5, *[1.0] * 23], "n_confirmed": np.arange(24) % 5,
                          "n_possible": 3 + np.arange(24) % 7}, index=periods)  # fmt: skip
    table.attrs |= {"stock": {"confirmed": 7, "possible": 140}, "by": "month"}
    return table


@pytest.fixture
def spell_table():
    ends = ["lost", "death", "transplant", "another trial", "censored", "moved away"]
    return pd.DataFrame(
        {
            "level": ["possible", "confirmed"] * 6,
            "patient_id": np.repeat([f"P{i}" for i in range(6)], 2),
            "start": pd.date_range("2024-01-01", periods=12, freq="10D"),
            "end": pd.date_range("2024-03-01", periods=12, freq="12D"),
            "ended": np.repeat(ends, 2),
        }
    )


@pytest.fixture
def incidence():
    table = pd.DataFrame({"lost": [0, 0.3, 0.6], "lost_se": [0, 0.1, 0.1], "death": [0, 0.1, 0.1],
                          "death_se": [0, 0.05, np.nan]}, index=pd.Index([0, 14, 90], name="days"))  # fmt: skip
    table = table.assign(still_eligible=1 - table.lost - table.death, n_at_risk=[10, 10, 5])
    table.attrs["level"] = "possible"
    return table


@pytest.fixture
def bias():
    return pd.DataFrame(
        {"n_spells": [0, 200], "n_seen": [0, 150], "n_missed": [0, 50], "share_missed_expected": [np.nan, 0.36],
         "mean_spell_months": [np.nan, 1.04], "n_disagree": [0, 0]},
        index=pd.Index(["confirmed", "possible"], name="level"),
    )  # fmt: skip


def heights(ax, name):
    return [p.get_height() for c in ax.containers if c.get_label() == name for p in c.patches]


def test_arrivals_are_drawn_with_the_stock_on_a_scale_of_its_own(arrived, all_texts):
    ax = plot_arrivals(arrived)
    assert heights(ax, "confirmed") == arrived.n_confirmed.tolist()
    assert heights(ax, "possible") == arrived.n_possible.tolist()
    assert ax.get_ylim()[1] < 20
    (stock,) = ax.child_axes
    assert heights(stock, "confirmed") + heights(stock, "possible") == [7, 140]
    written = all_texts(ax)
    assert "2023-07*" in written
    assert "month (* seen in part)" in written
    assert any("46 patients became eligible for certain" in " ".join(t.split()) for t in written)


def test_arrivals_without_stock_have_one_panel(arrived):
    arrived.attrs.clear()
    assert plot_arrivals(arrived).child_axes == []


def test_spells_are_drawn_to_their_days_and_ends(spell_table, all_texts):
    ax = plot_spells(spell_table)
    drawn = {c.get_label(): [p.get_width() for p in c.patches] for c in ax.containers}
    days = (spell_table.end - spell_table.start).dt.days
    for level in ("possible", "confirmed"):
        assert drawn[level] == pytest.approx(days[spell_table.level == level].tolist())
    marks = {line.get_label(): len(line.get_xdata()) for line in ax.lines}
    assert marks == dict.fromkeys(["lost", "death", "transplant", "another trial", "censored", "moved away"], 2)
    written = all_texts(ax)
    assert any("internal: one line a patient" in " ".join(t.split()) for t in written)
    assert not any(t.startswith("P0") for t in written)
    few = plot_spells(spell_table, limit=2)
    assert sum(len(c.patches) for c in few.containers) == 4
    assert any("2 of 6 patients" in " ".join(t.split()) for t in all_texts(few))


def test_ways_out_are_stacked_to_the_shares(incidence, all_texts):
    ax = plot_cumulative_incidence(incidence)
    tops = {c.get_label(): c.get_paths()[0].vertices[:, 1].max() for c in ax.collections}
    assert tops == {"lost": pytest.approx(0.6), "death": pytest.approx(0.7)}
    (line,) = [one for one in ax.lines if one.get_label() == "any way"]
    assert list(line.get_ydata()) == pytest.approx([0, 0.4, 0.7])
    assert any("Half of the possible spells end within 90 days" in " ".join(t.split()) for t in all_texts(ax))
    slow = incidence.iloc[:2]
    assert any("40" in t and "spells end within 14 days" in " ".join(t.split()) for t in all_texts(
        plot_cumulative_incidence(slow)))  # fmt: skip


def test_snapshots_show_seen_missed_and_expected(bias, all_texts):
    ax = plot_snapshots(bias)
    widths = [p.get_width() for c in ax.containers for p in c.patches]
    assert widths == [0, 0, 0.75, 0.25]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_label() == "expected"] == [pytest.approx(0.64)]
    written = all_texts(ax)
    assert any("miss up to 25" in " ".join(t.split()) for t in written)
    assert {"150", "50", "1.0", "–"} <= set(written)
    assert any("miss no spell" in t for t in all_texts(plot_snapshots(bias.assign(n_missed=0))))


def test_nothing_overlaps(arrived, spell_table, incidence, bias, readable):
    readable(plot_arrivals(arrived))
    readable(plot_arrivals(arrived.assign(n_possible=arrived.n_possible * 12345)))
    readable(plot_spells(spell_table))
    readable(plot_cumulative_incidence(incidence))
    readable(plot_snapshots(bias))


def test_own_axes_and_titles(arrived, incidence, all_texts):
    ax = Figure(figsize=(9, 5)).add_axes((0.3, 0.2, 0.6, 0.6))
    assert plot_arrivals(arrived, ax) is ax
    assert not any("became eligible" in t for t in all_texts(plot_arrivals(arrived, title="")))
    assert "My words" in all_texts(plot_cumulative_incidence(incidence, title="My words"))


def test_wrong_tables_are_named(arrived, spell_table, incidence, bias):
    with pytest.raises(FeasibilityError, match="plot_arrivals: the table has no column 'n_possible'"):
        plot_arrivals(arrived.drop(columns="n_possible"))
    arrived.attrs["stock"] = {"confirmed": 1}
    with pytest.raises(FeasibilityError, match="the stock lacks 'possible'"):
        plot_arrivals(arrived)
    with pytest.raises(FeasibilityError, match="plot_spells: the table has no rows"):
        plot_spells(spell_table.head(0))
    with pytest.raises(FeasibilityError, match="limit is 0; draw at least one patient"):
        plot_spells(spell_table, limit=0)
    with pytest.raises(FeasibilityError, match="no spell has ended, so there is nothing to stack"):
        plot_cumulative_incidence(incidence[["still_eligible", "n_at_risk"]])
    with pytest.raises(FeasibilityError, match="plot_snapshots: the table has no column 'n_seen'"):
        plot_snapshots(bias.drop(columns="n_seen"))
