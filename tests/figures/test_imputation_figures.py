"""Imputation figures: what is drawn is what the tables say, and the three estimates never share an axis."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from feasibility.errors import FeasibilityError
from feasibility.figures.imputation import plot_departure, plot_estimates, plot_observed_imputed


@pytest.fixture
def distributions():
    rows = [("platelets_10e9_l", "", 0.0, 50.0, 0.6, 0.3), ("platelets_10e9_l", "", 50.0, 100.0, 0.4, 0.7)]
    rows += [("months_since_mi", "", 0.0, 12.0, 0.1, 0.2), ("months_since_mi", "never", np.nan, np.nan, 0.9, 0.8)]
    rows += [("gvhd_active", w, np.nan, np.nan, a, b) for w, a, b in (("no", 0.8, 0.75), ("yes", 0.2, 0.25))]
    return pd.DataFrame(rows, columns=["column", "label", "left", "right", "share_known", "share_imputed"])


@dataclass
class Stub:
    """What delta_curve returns, as far as a figure needs it."""

    table: pd.DataFrame
    kind: str = "delta"
    of: str = "cd3_10e9_l"
    unit: str = "0.34 (one residual standard deviation)"
    neutral: float = 0.0
    bounds: tuple = (40, 680)
    tips: dict = field(default_factory=lambda: {460: -0.3})

    def tipping_point(self, target):
        return self.tips.get(target)


@pytest.fixture
def departure():
    table = pd.DataFrame(
        {
            "estimate": [270, 400, 480, 530, 546],
            "low_95": [260, 390, 470, 520, 530],
            "high_95": [280, 410, 490, 540, 560],
        },
        index=pd.Index([-np.inf, -1.0, 0.0, 1.0, np.inf], name="delta"),
    )
    return Stub(table)


@pytest.fixture
def estimates():
    index = pd.Index(["in_extract", "in_source", "per_month"], name="estimand")
    return pd.DataFrame(
        {"unit": ["patients", "share", "patients a month"], "estimate": [249, 0.166, 0.27], "low_80": [241, 0.15, 0.15],
         "high_80": [255, 0.18, 0.41], "low_95": [236, 0.146, 0.1], "high_95": [259, 0.186, 0.52],
         "low_bound": [19, 0.013, np.nan], "high_bound": [360, 0.24, np.nan]}, index=index,
    )  # fmt: skip


def test_known_and_imputed_stand_in_one_panel_a_column(distributions, readable):
    axes = plot_observed_imputed(distributions)
    assert len(axes) == 3
    first = axes[0]
    bars = [p.get_height() for p in first.patches if p.get_label() != "imputed" and hasattr(p, "get_height")]
    assert {0.6, 0.4} <= {round(h, 6) for h in bars}
    steps = next(p for p in first.patches if p.get_label() == "imputed")
    np.testing.assert_allclose(steps.get_data().values, [0.3, 0.7])
    assert "never" in [t.get_text() for t in axes[1].get_xticklabels()]
    readable(axes[0])


def test_a_departure_shows_curve_bounds_extremes_and_tipping_point(departure, all_texts, readable):
    ax = plot_departure(departure, target=460)
    (curve,) = [line for line in ax.get_lines() if line.get_label() == "estimate"]
    np.testing.assert_allclose(curve.get_xydata(), [[-1, 400], [0, 480], [1, 530]])
    levels = {line.get_label(): line.get_ydata()[0] for line in ax.get_lines()}
    assert (levels["confirmed"], levels["possible"], levels["target"]) == (40, 680, 460)
    (tip,) = [line for line in ax.get_lines() if line.get_label() == "tipping point"]
    assert tuple(tip.get_xydata()[0]) == (-0.3, 460)
    texts = " ".join(all_texts(ax))
    assert "tips at -0.3" in texts
    assert "all\nlowest" in [t.get_text() for t in ax.get_xticklabels()]
    readable(ax)


def test_a_target_no_shift_reaches_is_said(departure, all_texts):
    assert any("no shift takes it there" in t for t in all_texts(plot_departure(departure, target=700)))


def test_odds_are_drawn_on_doublings(departure):
    table = departure.table.set_axis([0.0, 0.5, 1.0, 2.0, np.inf])
    ax = plot_departure(Stub(table, kind="odds", neutral=1.0, of="every criterion"))
    (curve,) = [line for line in ax.get_lines() if line.get_label() == "estimate"]
    np.testing.assert_allclose(curve.get_xdata(), [-1, 0, 1])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x 0.5", "x 1", "x 2", "all\nfail", "all\npass"]


def test_three_estimates_are_three_rows_with_scales_of_their_own(estimates, all_texts, readable):
    axes = plot_estimates(estimates)
    assert len({ax.get_xlim() for ax in axes}) == 3
    for ax, (name, row) in zip(axes, estimates.iterrows(), strict=True):
        ends = {line.get_label(): tuple(line.get_xdata()) for line in ax.get_lines()}
        assert ends["95 %"] == (row.low_95, row.high_95)
        assert ends["80 %"] == (row.low_80, row.high_80)
        assert ("bound" in ends) == (name != "per_month")
        assert name in all_texts(ax)
    readable(axes[0])


def test_figures_refuse_other_tables(estimates, distributions):
    with pytest.raises(FeasibilityError, match="plot_estimates: the table has no column 'unit'"):
        plot_estimates(estimates.drop(columns="unit"))
    with pytest.raises(FeasibilityError, match="plot_observed_imputed: the table has no column 'share_known'"):
        plot_observed_imputed(distributions.drop(columns="share_known"))
    with pytest.raises(FeasibilityError, match="what delta_curve or untested_odds returns is needed, got DataFrame"):
        plot_departure(estimates)
