"""How old values are at the index date, against the look-back they were taken from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures import layout, style

ACROSS = 3
CELL = (180.0, 104.0)
_HEAD, _FOOT, _SIDE = 42.0, 17.0, 7.0
_SHORTER = 3
_SHORT = {"days": "d", "months": "mo"}


def plot_value_ages(report, columns: Sequence[str] | None = None) -> list[Axes]:
    """Draw for every dated column a histogram of the age of its values, the look-back as a dashed line.

    ``report`` is what ``quality_report`` returned; ``columns`` chooses some of its dated columns. Under each name
    stands how many are unknown because the latest value is too old, and what share of the values shorter look-backs
    would lose. Returns one Axes per column, on one figure; columns of which no value has an age are left out.
    """
    ages, bins, shorter = report.ages(), report.age_bins(), report.tighter_windows()
    names = [n for n in ages.index if ages.loc[n, "n_known"] > 0]
    for one in columns if columns is not None else ():
        if one not in names:
            raise FeasibilityError(f"plot_value_ages: no value of column {one!r} has an age.{did_you_mean(one, names)}")
    names = names if columns is None else list(columns)
    if not names:
        raise FeasibilityError("plot_value_ages: no column has a value with an age, so there is nothing to draw.")
    down = -(-len(names) // ACROSS)
    width, height = ACROSS * CELL[0], down * CELL[1]
    figure = Figure(figsize=(width / 72, height / 72), dpi=100, facecolor=style.PAPER)
    FigureCanvasAgg(figure)
    made = []
    for i, name in enumerate(names):
        x, y = i % ACROSS * CELL[0] + _SIDE, height - (i // ACROSS + 1) * CELL[1] + _FOOT
        box = (x / width, y / height, (CELL[0] - 2 * _SIDE) / width, (CELL[1] - _HEAD - _FOOT) / height)
        ax = figure.add_axes(box, axes_class=layout.PictureAxes)
        _one(ax, name, ages.loc[name], bins[bins["column"] == name], shorter[shorter["column"] == name])
        made.append(ax)
    return made


def _one(ax: Axes, name: str, facts: pd.Series, bins: pd.DataFrame, shorter: pd.DataFrame) -> None:
    unit, window = _SHORT[facts["unit"]], facts["window"]
    ax.bar(
        bins["left"], bins["n"], width=bins["right"] - bins["left"], align="edge", facecolor=style.BLUE,
        edgecolor=style.PAPER, linewidth=0.4, zorder=2,
    )  # fmt: skip
    high = float(bins["right"].max())
    ax.set_xlim(0, high * 1.02)
    ax.set_ylim(0, max(1.0, float(bins["n"].max())) * 1.05)
    ticks = {0.0: "0", high: f"{high:,.4g} {unit}"}
    if pd.notna(window):
        ax.axvline(window, color=style.VERMILLION, linewidth=1.2, linestyle=(0, (4, 2)), zorder=3)
        ticks = {0.0: "0", float(window): f"look-back {window:,.4g} {unit}"}
    ax.set_xticks(list(ticks), list(ticks.values()))
    end = "left" if max(ticks) < 0.45 * high else "right"
    for label, side in zip(ax.get_xticklabels(), ("left", end), strict=True):
        label.set(ha=side, fontproperties=style.font(size=style.SMALL), color=style.MUTED)
    ax.set_yticks([])
    ax.tick_params(length=0, pad=2)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(style.RULE)
    _head(ax, name, facts, shorter, unit)


def _head(ax: Axes, name: str, facts: pd.Series, shorter: pd.DataFrame, unit: str) -> None:
    wide = CELL[0] - 2 * _SIDE
    losses = [f"{w} {unit}{' loses' * (not k)} {style.share(n, facts['n_known'])}" for k, (w, n) in
              enumerate(shorter[["window", "n_lost"]].head(_SHORTER).itertuples(index=False))]  # fmt: skip
    counts = f"{style.count(facts['n_known'])} with an age"
    if facts["n_stale"]:
        counts += f", {style.count(facts['n_stale'])} too old"
    lines = [(style.wrap(name, wide, size=style.SMALL, lines=1)[0], True, style.INK), (counts, False, style.MUTED),
             (", ".join(losses), False, style.INK)]  # fmt: skip
    for k, (text, bold, color) in enumerate(lines):
        ax.text(
            0, 3 + (len(lines) - 1 - k) * 11, text, transform=layout.at(ax, 0, 1), ha="left", va="bottom", color=color,
            clip_on=False, parse_math=False, fontproperties=style.font(size=style.SMALL, bold=bold),
        )  # fmt: skip
