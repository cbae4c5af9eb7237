"""How the values of each column are distributed, against the range in which they usually lie."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feasibility.figures import layout, style

ACROSS = 4
CELL = (150.0, 88.0)


def plot_distributions(
    histograms: pd.DataFrame,
    usual: Mapping[str, tuple[float, float]] | None = None,
    bounded: Mapping[str, int] | None = None,
) -> list[Axes]:
    """Draw a small histogram per column; the shaded band is the usual range.

    ``histograms`` has the columns column, left, right and n, as ``QualityReport.histograms()`` gives them; a bin as
    wide as 0 is a single value. ``bounded`` is how many values of a column are known only between bounds: not drawn,
    written beside the name. Returns one Axes per column, on one figure.
    """
    layout.need(histograms, ("column", "left", "right", "n"), "plot_distributions")
    names = list(dict.fromkeys(histograms["column"]))
    down = -(-len(names) // ACROSS)
    width, height = ACROSS * CELL[0], down * CELL[1]
    figure = Figure(figsize=(width / 72, height / 72), dpi=100, facecolor=style.PAPER)
    FigureCanvasAgg(figure)
    made = []
    for i, name in enumerate(names):
        x, y = i % ACROSS * CELL[0] + 6, height - (i // ACROSS + 1) * CELL[1] + 20
        box = (x / width, y / height, (CELL[0] - 14) / width, (CELL[1] - 52) / height)
        ax = figure.add_axes(box, axes_class=layout.PictureAxes)
        n = int((bounded or {}).get(name, 0))
        _one(ax, name, histograms[histograms["column"] == name], (usual or {}).get(name), n)
        made.append(ax)
    return made


def _one(ax: Axes, name: str, bins: pd.DataFrame, usual, n_bounded: int) -> None:
    low, high = float(bins["left"].min()), float(bins["right"].max())
    single = low == high
    # Around a single value the axis has no scale: a narrow bar in the middle, and the value below it.
    pad = (abs(low) or 1.0) if single else (high - low) * 0.02
    ax.set_xlim(low - pad, high + pad)
    if usual is not None:
        left, right = max(usual[0], low - pad), min(usual[1], high + pad)
        if left < right:
            ax.axvspan(left, right, color="#eef3f7", zorder=0, linewidth=0)
    ax.bar(
        bins["left"], bins["n"], width=0.12 * pad if single else bins["right"] - bins["left"],
        align="center" if single else "edge", facecolor=style.BLUE, edgecolor=style.PAPER, linewidth=0.4, zorder=2,
    )  # fmt: skip
    ax.set_yticks([])
    ticks, sides = ([low], ("center",)) if single else ([low, high], ("left", "right"))
    ax.set_xticks(ticks, [f"{tick:,.4g}" for tick in ticks])
    for label, side in zip(ax.get_xticklabels(), sides, strict=True):
        label.set(ha=side, fontproperties=style.font(size=style.SMALL), color=style.MUTED)
    ax.tick_params(length=0, pad=2)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(style.RULE)
    ax.set_title(
        "\n".join(style.wrap(name, CELL[0] - 18, size=style.SMALL, lines=1)), loc="left",
        pad=13 if n_bounded else 3, parse_math=False, fontproperties=style.font(size=style.SMALL, bold=True),
        color=style.INK,
    )  # fmt: skip
    if n_bounded:
        ax.text(
            0, 3, f"{style.count(n_bounded)} between bounds", transform=layout.at(ax, 0, 1), ha="left", va="bottom",
            color=style.MUTED, clip_on=False, parse_math=False, fontproperties=style.font(size=style.SMALL),
        )  # fmt: skip


def plot_known_by(share: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the share of patients with a known value, one row a column, one column a site or month.

    ``share`` is what ``QualityReport.known_by("site_id")`` or ``known_over_time()`` gives: values 0 to 1, NaN where the
    column applies to nobody. Darker is more complete; the number stands in every cell, so nothing depends on the shade.
    """
    layout.need(share, (), "plot_known_by")
    rows = layout.stack([layout.label_row(key, "", str(key), width=190) for key in share.index], pitch=15.0)
    cell = 46.0
    body, right = rows.height, 10.0
    if ax is None:
        # As wide as the other figures, so that text is as large when a page scales them alike.
        width = max(layout.WIDTH, rows.left + cell * share.shape[1] + right)
        top, bottom = 48.0, 8.0
        figure = Figure(figsize=(width / 72, (body + top + bottom) / 72), dpi=100, facecolor=style.PAPER)
        FigureCanvasAgg(figure)
        total = body + top + bottom
        left = rows.left
        box = (left / width, bottom / total, cell * share.shape[1] / width, body / total)
        ax = figure.add_axes(box, axes_class=layout.PictureAxes)
    layout.bare(ax, body)
    ax.set_xlim(0, share.shape[1])
    layout.labels(ax, rows)
    for row, y in rows.bars():
        for j, value in enumerate(share.loc[row.key]):
            if pd.isna(value):
                layout.note(ax, "–", x=(j + 0.5) / share.shape[1], y=y, ha="center", color=style.MUTED)
                continue
            ax.barh(y, 0.96, left=j + 0.02, height=12, facecolor=style.BLUE, alpha=0.08 + 0.72 * float(value))
            ink = style.PAPER if value > 0.6 else style.INK
            text = f"{style.whole_number(100 * value)}%"
            layout.note(ax, text, x=(j + 0.5) / share.shape[1], y=y, ha="center", color=ink, size=style.SMALL)
    for j, name in enumerate(share.columns):
        text = style.wrap(str(name), cell - 4, size=style.SMALL, lines=2)
        layout.column_heads(ax, [(0.0, "\n".join(text), style.INK)], x=(j + 0.98) / share.shape[1])
    layout.headline(ax, "Share of patients with a known value" if title is None else title, left=rows.left, up=30)
    return ax
