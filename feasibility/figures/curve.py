"""One threshold as a curve, all of them as small multiples, two as a map of equal enrolment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures import layout, style

COUNTS = ("n_confirmed", "n_possible")
SIDE = 62.0
PANEL = (118.0, 66.0)


def plot_curve(
    curve: pd.DataFrame, ax: Axes | None = None, *, limits: tuple[float, float] | None = None, title: str | None = None
) -> Axes:
    """Draw how many patients are confirmed and possible at every value of a threshold.

    ``curve`` is the table of the same name (or a sweep over one threshold, drawn as points joined by steps). The
    protocol's own value is marked with its counts. Between the two lines are the undetermined. ``limits`` is the range
    shown, in the threshold's unit; by default the part where the counts change most.
    """
    table = layout.need(curve, COUNTS, "plot_curve")
    x = table.index.to_numpy(dtype=float)
    own = _own(table)
    low, high = limits or _limits(table, own)
    name, unit = table.index.name or "threshold", table.attrs.get("unit", "")
    if title is None:
        title = _curve_title(table, own, name, unit)
    key = (("confirmed", "confirmed"), ("undetermined", "undetermined: possible, not confirmed"))
    ax = _framed(ax, title, height=210.0, key=key)
    steps_x, confirmed, possible = _stairs(table, x, low, high)
    band = ax.fill_between(steps_x, confirmed, possible, label="undetermined", linewidth=0, **_area("undetermined"))
    style.soften([band])
    ax.plot(steps_x, possible, color=style.INK, linewidth=1.1, label="possible")
    ax.plot(steps_x, confirmed, color=style.BLUE, linewidth=1.4, label="confirmed")
    ax.set_xlim(low, high)
    ax.set_ylim(0, max(1.0, float(np.max(possible, initial=1))) * 1.08)
    if own is not None and low <= own <= high:
        _mark(ax, own, table.loc[own], unit, low, high)
    _label(ax, f"{name}{', ' + unit if unit else ''}", "patients")
    return ax


def plot_surface(
    surface: pd.DataFrame, ax: Axes | None = None, *, count: str = "n_possible", own: tuple[float, float] | None = None,
    title: str | None = None,
) -> Axes:  # fmt: skip
    """Draw the counts over two thresholds as a heat map with lines of equal enrolment.

    ``surface`` is the table of the same name (or a sweep over two thresholds). ``count`` is "n_possible" or
    "n_confirmed"; ``own`` marks the protocol's pair of values.
    """
    table = layout.need(surface, COUNTS, "plot_surface")
    if count not in COUNTS:
        raise FeasibilityError(f"plot_surface: count is {count!r}.{did_you_mean(count, COUNTS)}")
    if table.index.nlevels != 2:
        raise FeasibilityError("plot_surface: a sweep over two thresholds is needed; plot_curve draws one.")
    grid = table[count].unstack().sort_index(axis=0).sort_index(axis=1)
    if not all(pd.api.types.is_numeric_dtype(i) for i in (grid.index, grid.columns)):
        raise FeasibilityError("plot_surface: both must be thresholds (numbers), not readings.")
    if min(grid.shape) < 2:
        raise FeasibilityError("plot_surface: at least two values of each threshold are needed.")
    first, second = table.index.names
    word = "confirmed" if count == "n_confirmed" else "possible"
    if title is None:
        title = f"{word.capitalize()} patients over {second} and {first}"
    ax = _framed(ax, title, height=300.0, right=64.0)
    x, y = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float)
    values = grid.to_numpy(dtype=float)
    mesh = ax.pcolormesh(x, y, values, cmap="Blues", shading="nearest", vmin=0, rasterized=True)
    low, high = values.min(), values.max()
    if high > low:
        levels = [v for v in MaxNLocator(7, integer=True).tick_values(low, high) if low < v < high]
        if levels:
            lines = ax.contour(x, y, values, levels=levels, colors=style.INK, linewidths=0.7)
            for text in ax.clabel(lines, fmt=lambda v: style.count(v), inline=True, fontsize=style.SMALL):
                text.set_fontproperties(style.font(size=style.SMALL))
                text.set_bbox({"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.75})
    if own is not None:
        ax.plot([own[1]], [own[0]], "o", markersize=7, markerfacecolor=style.PAPER, markeredgecolor=style.VERMILLION,
                markeredgewidth=1.8, label="protocol", zorder=5, clip_on=False)  # fmt: skip
        ax.annotate("○ as in the protocol", xy=(1, 1), xycoords="axes fraction", xytext=(0, 3), ha="right", va="bottom",
                    textcoords="offset points", color=style.VERMILLION, annotation_clip=False,
                    fontproperties=style.font(size=style.SMALL, bold=True))  # fmt: skip
    bar = ax.get_figure().colorbar(mesh, cax=ax.inset_axes([1.03, 0.0, 0.03, 1.0]))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, width=0.6, color=style.MUTED)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: style.count(v)))
    for text in bar.ax.get_yticklabels():
        text.set_fontproperties(style.font(size=style.SMALL))
    _label(ax, second, first, grid=False)
    return ax


def plot_small_multiples(
    curves: pd.DataFrame, *, columns: int = 4, top: int | None = None, title: str | None = None
) -> Axes:
    """Draw every threshold's curve small, all on one scale of patients: which ones matter.

    ``curves`` is the table of the same name, its order kept. Each panel starts at zero patients, shows the possible
    (line over a light area) and confirmed (dark area), and marks the protocol's value. ``top`` keeps the first so many.
    The returned Axes holds one panel a threshold as ``ax.child_axes``.
    """
    table = layout.need(curves, (*COUNTS, "in_force"), "plot_small_multiples")
    if table.index.nlevels != 2:
        raise FeasibilityError("plot_small_multiples: the table of curves() is needed, with index (threshold, value).")
    names = list(dict.fromkeys(table.index.get_level_values(0)))[:top]
    across = max(1, min(columns, len(names)))
    down = -(-len(names) // across)
    width, height = PANEL[0] + 36, PANEL[1] + 48
    if title is None:
        title = "How many patients each threshold admits, everything else as in the protocol"
    own = {"facecolor": style.VERMILLION, "edgecolor": style.VERMILLION}
    light = {name: style.LOOKS["undetermined"][name] for name in ("facecolor", "edgecolor")}
    key = (("confirmed", "confirmed"), (light, "undetermined"), (own, "the protocol's value"))
    host = _framed(None, title, height=down * height, left=6, right=6, bottom=8, width=across * width, key=key)
    layout.bare(host, 1.0)
    most = max(1.0, float(table["n_possible"].max()))
    for i, name in enumerate(names):
        part = table.loc[name]
        row, column = divmod(i, across)
        box = [(column + 34 / width) / across, 1 - (row + 1 - 20 / height) / down, PANEL[0] / width / across,
               PANEL[1] / height / down]  # fmt: skip
        _panel(host.inset_axes(box), name, part, most, first=column == 0)
    return host


def _panel(ax: Axes, name: str, part: pd.DataFrame, most: float, *, first: bool) -> None:
    x = part.index.to_numpy(dtype=float)
    light = style.LOOKS["undetermined"]["facecolor"]
    for counts, color, label in ((part.n_possible, light, "undetermined"), (part.n_confirmed, style.BLUE, "confirmed")):
        ax.fill_between(x, 0, counts, step="post", color=color, linewidth=0, label=label)
    ax.plot(x, part.n_possible, color=style.INK, linewidth=1.0, label="possible", drawstyle="steps-post")
    for value in part.index[part["in_force"].astype(bool)]:
        ax.axvline(value, color=style.VERMILLION, linewidth=1.2, label="protocol", clip_on=False)
    ax.set_xlim(x.min(), x.max() if x.max() > x.min() else x.min() + 1)
    ax.set_ylim(0, most * 1.05)
    _label(ax, "", "", nbins=3)
    whole = bool((x == np.rint(x)).all())
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=whole))
    if not first:
        ax.set_yticklabels([])
    unit = str(part["unit"].iloc[0]) if "unit" in part else ""
    lines = style.wrap(f"{name}{f' ({unit})' if unit else ''}", PANEL[0], size=style.SMALL, bold=True, lines=2)
    ax.annotate("\n".join(lines), xy=(0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
                va="bottom", fontproperties=style.font(size=style.SMALL, bold=True), color=style.INK, parse_math=False,
                annotation_clip=False)  # fmt: skip


def _own(table: pd.DataFrame) -> float | None:
    if "in_force" not in table.columns or not table["in_force"].any():
        return None
    return float(table.index[table["in_force"].astype(bool)][0])


def _limits(table: pd.DataFrame, own: float | None) -> tuple[float, float]:
    """The stretch in which the middle 96 % of all changes lie, and the protocol's value."""
    x = table.index.to_numpy(dtype=float)
    finite = np.isfinite(x)
    if not finite.any():
        return 0.0, 1.0
    at = table["n_possible"].to_numpy(dtype=float)
    above = table["n_possible_above"].to_numpy(dtype=float) if "n_possible_above" in table else at
    moved = (np.abs(above - at) + np.abs(at - np.concatenate([at[:1], above[:-1]])))[finite]
    x = x[finite]
    if moved.sum():
        shares = np.cumsum(moved) / moved.sum()
        x = x[[np.searchsorted(shares, 0.02), min(np.searchsorted(shares, 0.98), len(x) - 1)]]
    low, high = min(x), max(x)
    if own is not None and np.isfinite(own):
        low, high = min(low, own), max(high, own)
    margin = 0.04 * (high - low) or max(1.0, abs(high) * 0.1)
    return low - margin, high + margin


def _stairs(table: pd.DataFrame, x: np.ndarray, low: float, high: float):
    """Corner points of both step functions between two values."""
    below = table.columns.intersection(["n_confirmed_above", "n_possible_above"])
    if len(below) < 2:
        order = np.argsort(x)
        return x[order], table["n_confirmed"].to_numpy()[order], table["n_possible"].to_numpy()[order]
    shown = np.flatnonzero((x >= low) & (x <= high))
    before = max(int(np.searchsorted(x, low)) - 1, 0)
    xs, lines = [low], [[table["n_confirmed_above"].iloc[before]], [table["n_possible_above"].iloc[before]]]
    for i in shown:
        xs += [x[i]] * 3
        for line, name in zip(lines, COUNTS, strict=True):
            line += [line[-1], table[name].iloc[i], table[name + "_above"].iloc[i]]
    xs.append(high)
    return np.array(xs), *(np.array([*line, line[-1]]) for line in lines)


def _mark(ax: Axes, own: float, record, unit: str, low: float, high: float) -> None:
    ax.axvline(own, color=style.VERMILLION, linewidth=1.2, label="protocol", zorder=4)
    left = (own - low) / (high - low) > 0.6
    text = (
        f"protocol: {own:g}{' ' + unit if unit else ''}\n{style.count(record.n_possible)} possible\n"
        f"{style.count(record.n_confirmed)} confirmed"
    )
    ax.annotate(text, xy=(own, 1), xycoords=("data", "axes fraction"), xytext=(-6 if left else 6, -4), va="top",
                textcoords="offset points", ha="right" if left else "left", color=style.VERMILLION, zorder=6,
                fontproperties=style.font(size=style.SMALL, bold=True), parse_math=False,
                bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 1.5, "alpha": 0.85})  # fmt: skip


def _curve_title(table: pd.DataFrame, own: float | None, name: str, unit: str) -> str:
    if own is None:
        return f"Patients by {name}"
    most, least = int(table["n_possible"].max()), int(table["n_possible"].min())
    return (
        f"{name} at {own:g}{' ' + unit if unit else ''}: {style.count(table.loc[own, 'n_possible'])} possible;"
        f" from {style.count(least)} to {style.count(most)} over all its values"
    )


def _area(name: str) -> dict:
    look = style.LOOKS[name]
    return {"facecolor": look["facecolor"], "edgecolor": look["edgecolor"], "hatch": look.get("hatch")}


def _framed(
    ax: Axes | None, title: str, *, height: float, key: Sequence = (), left: float = SIDE, right: float = 18.0,
    bottom: float = 34.0, width: float | None = None,
) -> Axes:  # fmt: skip
    """Axes with room for tick labels, a key and the headline; on a figure of its own unless ``ax`` is given."""
    whole = (width + left + right) if width else layout.WIDTH
    if ax is not None:
        if title:
            ax.set_title(title, loc="left", fontproperties=style.font(size=11, bold=True), color=style.INK)
        return ax
    lines = style.wrap(title, whole - 20, size=11, bold=True) if title else []
    rows = layout.key_lines(key, whole - 20) if key else 0
    key_height = rows * (layout.LINE + 1) + (8 if rows else 0)
    top = 10 + key_height + len(lines) * 15 + (8 if lines else 0)
    figure = Figure(figsize=(whole / 72, (height + top + bottom) / 72), dpi=100, facecolor=style.PAPER)
    FigureCanvasAgg(figure)
    high = height + top + bottom
    box = (left / whole, bottom / high, (whole - left - right) / whole, height / high)
    ax = figure.add_axes(box, axes_class=layout.PictureAxes)
    if key:
        layout.key(ax, key, left=left - 8, up=6 + key_height - 6, width=whole - 20)
    layout.headline(ax, "\n".join(lines), left=left - 8, up=10 + key_height)
    return ax


def _label(ax: Axes, x: str, y: str, *, grid: bool = True, nbins: int = 6) -> None:
    ax.set_facecolor("none")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(style.MUTED)
        ax.spines[side].set_linewidth(0.6)
    ax.tick_params(length=2.5, width=0.6, color=style.MUTED, labelcolor=style.INK)
    if grid:
        ax.yaxis.set_major_locator(MaxNLocator(nbins, integer=True))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: style.count(v)))
        ax.grid(axis="y", color=style.RULE, linewidth=0.5)
        ax.set_axisbelow(True)
    ax.set_xlabel(x, fontproperties=style.font(), color=style.INK, parse_math=False)
    ax.set_ylabel(y, fontproperties=style.font(), color=style.INK, parse_math=False)
    for text in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        text.set_fontproperties(style.font(size=style.SMALL))
    ax.tick_params(labelsize=style.SMALL, labelfontfamily=list(style.families()))
