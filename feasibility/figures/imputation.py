"""What imputation filled in, what follows if it was wrong, and three estimates that must not be mixed up."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feasibility.errors import FeasibilityError
from feasibility.figures import layout, style
from feasibility.figures.curve import _framed, _label

ACROSS = 3
CELL = (184.0, 104.0)
#: What each estimand answers, in the words of its row.
QUESTIONS = {
    "in_extract": "Eligible in this extract",
    "in_source": "Share eligible in the source population",
    "per_month": "Newly eligible a month",
}


def plot_observed_imputed(distributions: pd.DataFrame, *, title: str | None = None) -> list[Axes]:
    """Draw for each imputed column how the known and the imputed values are distributed.

    ``distributions`` is what ``observed_and_imputed`` gives: column, label, left, right, share_known, share_imputed.
    Known values are the filled bars, imputed ones the dark outline, so the two are told apart without colour. Returns
    one Axes a column, on one figure.
    """
    table = layout.need(
        distributions, ("column", "label", "left", "right", "share_known", "share_imputed"), "plot_observed_imputed"
    )
    names = list(dict.fromkeys(table["column"]))
    down, across = -(-len(names) // ACROSS), min(ACROSS, len(names))
    head = 46.0
    width, height = max(ACROSS * CELL[0], layout.WIDTH), down * CELL[1] + head
    figure = Figure(figsize=(width / 72, height / 72), dpi=100, facecolor=style.PAPER)
    FigureCanvasAgg(figure)
    made = []
    for i, name in enumerate(names):
        x, y = i % ACROSS * CELL[0] + 8, height - head - (i // ACROSS + 1) * CELL[1] + 30
        box = (x / width, y / height, (CELL[0] - 22) / width, (CELL[1] - 52) / height)
        ax = figure.add_axes(box, axes_class=layout.PictureAxes)
        _compare(ax, name, table[table["column"] == name])
        made.append(ax)
    host = made[0]
    known = {"facecolor": "#b9cfe0", "edgecolor": "#b9cfe0"}
    imputed = {"facecolor": style.PAPER, "edgecolor": style.INK}
    layout.key(host, ((known, "known"), (imputed, "imputed")), left=0, up=26, width=across * CELL[0])
    layout.headline(host, "Known and imputed values" if title is None else title, left=0, up=44)
    return made


def _compare(ax: Axes, name: str, bins: pd.DataFrame) -> None:
    numbers, words = bins[bins["left"].notna()], bins[bins["left"].isna()]
    if len(numbers):
        left, right = numbers["left"].to_numpy(float), numbers["right"].to_numpy(float)
        step = (right - left).mean()
        # "never" stands apart, to the right of the axis of numbers.
        at = right.max() + step * (3 + 3 * np.arange(len(words)))
        edges = np.append(left, right[-1])
        ticks = [(x, f"{x:,.0f}" if abs(x) >= 1000 else f"{x:,.3g}") for x in (left.min(), right.max())]
        if step == 1 and (left % 1 == 0.5).all():  # one bin a whole number
            ticks = [(left.min() + 0.5, f"{left.min() + 0.5:g}"), (right.max() - 0.5, f"{right.max() - 0.5:g}")]
    else:
        step, at, edges, ticks = 1.0, np.arange(len(words), dtype=float) * 1.4, np.empty(0), []
    if len(numbers):
        ax.bar(left, numbers["share_known"], width=right - left, align="edge", facecolor="#b9cfe0", linewidth=0,
               label="known")  # fmt: skip
        ax.stairs(numbers["share_imputed"], edges, color=style.INK, linewidth=1.1, label="imputed")
    width = step if not len(numbers) else 1.6 * step
    for x, (_, row) in zip(at, words.iterrows(), strict=True):
        ax.bar([x], [row["share_known"]], width=width, facecolor="#b9cfe0", linewidth=0, label="known")
        ax.stairs([row["share_imputed"]], [x - width / 2, x + width / 2], color=style.INK, linewidth=1.1,
                  label="imputed")  # fmt: skip
        ticks.append((x, _short(str(row["label"]), len(words))))
    ax.set_ylim(0, max(0.01, float(bins[["share_known", "share_imputed"]].to_numpy().max())) * 1.05)
    ax.set_yticks([])
    ax.set_xticks([x for x, _ in ticks], [text for _, text in ticks], parse_math=False)
    crowded = not len(numbers) and len(words) > 4
    for label in ax.get_xticklabels():
        label.set(fontproperties=style.font(size=style.SMALL - (1.5 if crowded else 0)), color=style.MUTED)
        if crowded:
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    if len(numbers):
        # Inwards, so that long numbers stay inside the panel; "never" beyond the right edge keeps its place.
        for label, side in zip(ax.get_xticklabels()[:2], ("left", "right"), strict=True):
            label.set(ha=side)
    ax.tick_params(length=0, pad=2)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(style.RULE)
    lines = style.wrap(name, CELL[0] - 26, size=style.SMALL, bold=True, lines=1)
    ax.set_title(lines[0], loc="left", pad=4, parse_math=False, color=style.INK,
                 fontproperties=style.font(size=style.SMALL, bold=True))  # fmt: skip


def _short(text: str, among: int) -> str:
    most = 12 if among <= 3 else 8
    return text if len(text) <= most else text[: most - 1] + "…"


def plot_departure(departure, ax: Axes | None = None, *, target: float | None = None, title: str | None = None) -> Axes:
    """Draw the eligible patients against how far untested patients differ from tested ones.

    ``departure`` is what ``delta_curve`` and ``untested_odds`` return. The bounds are the dashed lines, which no
    assumption leaves; the band is the 95 % range of the imputations; the vertical line marks "like the tested". With a
    ``target`` the tipping point is marked: the shift at which the estimate crosses it. Infinite shifts stand at the
    sides, marked "worst" and "best case" for what they do to the count.
    """
    if not hasattr(departure, "table") or not hasattr(departure, "tipping_point"):
        raise FeasibilityError(
            f"plot_departure: what delta_curve or untested_odds returns is needed, got {type(departure).__name__}."
        )
    table = layout.need(departure.table, ("estimate", "low_95", "high_95"), "plot_departure")
    odds = departure.kind == "odds"
    shift = table.index.to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        x = np.log2(shift) if odds else shift
    finite = x[np.isfinite(x)]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1.0, 1.0)
    gap = (high - low) * 0.12 or 1.0
    at = np.where(x == -np.inf, low - gap, np.where(x == np.inf, high + gap, x))
    inside = np.isfinite(x)
    if title is None:
        title = f"If untested patients are not like tested ones: {departure.of}"
    band = {"facecolor": "#dcebf6", "edgecolor": "#3f87b5"}
    key = ((band, "95 % range of the imputations"), ({"facecolor": style.BLUE, "edgecolor": style.BLUE}, "estimate"))
    ax = _framed(ax, title, height=210.0, key=key, right=70.0, bottom=40.0)
    ax.fill_between(at[inside], table["low_95"][inside], table["high_95"][inside], label="range", facecolor="#dcebf6",
                    edgecolor="#3f87b5", linewidth=0.5)  # fmt: skip
    ax.plot(at[inside], table["estimate"][inside], color=style.BLUE, linewidth=1.6, marker="o", markersize=3,
            label="estimate")  # fmt: skip
    for place, row in zip(at[~inside], table[~inside].itertuples(), strict=True):
        ax.errorbar([place], [row.estimate], yerr=[[row.estimate - row.low_95], [row.high_95 - row.estimate]], fmt="o",
                    markersize=4.5, color=style.BLUE, linewidth=1.1, capsize=3, label="extreme")  # fmt: skip
    for value, word, va in zip(departure.bounds, ("confirmed", "possible"), ("bottom", "top"), strict=True):
        ax.axhline(value, color=style.INK, linewidth=0.9, linestyle=(0, (5, 3)), label=word)
        ax.annotate(f"{style.count(value)}\n{word}", xy=(1, value), xycoords=("axes fraction", "data"), xytext=(5, 0),
                    textcoords="offset points", va=va, fontproperties=style.font(size=style.SMALL), color=style.INK,
                    annotation_clip=False)  # fmt: skip
    neutral = 0.0
    ax.axvline(neutral, color=style.MUTED, linewidth=0.9, linestyle=":", label="like the tested")
    ax.annotate("like the\ntested", xy=(neutral, 0.5), xycoords=("data", "axes fraction"), xytext=(4, -70),
                textcoords="offset points", fontproperties=style.font(size=style.SMALL), color=style.MUTED)  # fmt: skip
    if target is not None:
        _target(ax, departure, target, odds, low - gap, high + gap)
    ax.set_xlim(low - 1.5 * gap, high + 1.5 * gap)
    span = departure.bounds[1] - departure.bounds[0] or 1
    bottom, top = max(0.0, departure.bounds[0] - 0.08 * span), departure.bounds[1] + 0.08 * span
    ax.set_ylim(bottom, top)
    ticks = np.unique(finite) if odds else np.unique(np.rint(finite * 2) / 2)
    words = [f"x {2.0**t:g}" if odds else f"{t + 0.0:g}" for t in ticks]
    places = [*ticks]
    for edge, place, word in ((-np.inf, low - gap, "all\nlowest"), (np.inf, high + gap, "all\nhighest")):
        if edge in x:
            places.append(place)
            words.append(word if not odds else word.replace("lowest", "fail").replace("highest", "pass"))
    what = "odds of passing" if odds else f"shift of the imputed values; 1 = {departure.unit}"
    _label(ax, what, "eligible patients")
    ax.set_yticks([y for y in ax.get_yticks() if bottom <= y <= top])
    ax.set_xticks(places, words)
    for text in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        text.set_fontproperties(style.font(size=style.SMALL))
    return ax


def _target(ax: Axes, departure, target: float, odds: bool, low: float, high: float) -> None:
    ax.axhline(target, color=style.VERMILLION, linewidth=1.0, label="target")
    tip = departure.tipping_point(target)
    if tip is None:
        text = f"target {target:g}: no shift takes it there"
        where = low
    else:
        with np.errstate(divide="ignore"):
            where = float(np.clip(np.log2(tip) if odds else tip, low, high))
        ax.plot([where], [target], "D", markersize=6, markerfacecolor=style.PAPER, markeredgecolor=style.VERMILLION,
                markeredgewidth=1.6, zorder=6, label="tipping point")  # fmt: skip
        text = f"target {target:g}: tips at {'x ' if odds else ''}{tip:.2g}"
    right = where > (low + high) / 2
    ax.annotate(text, xy=(where, target), xytext=(-8 if right else 8, -6), textcoords="offset points", va="top",
                ha="right" if right else "left", color=style.VERMILLION, zorder=7,
                fontproperties=style.font(size=style.SMALL, bold=True),
                bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 1.2, "alpha": 0.85})  # fmt: skip


def plot_estimates(estimates: pd.DataFrame, *, title: str | None = None) -> list[Axes]:
    """Draw the three estimates as three separately named rows, each on a scale of its own.

    ``estimates`` is the table of the same name: index estimand, columns unit, estimate, low_80 to high_95, low_bound
    and high_bound. The thick line is the 80 %, the thin one the 95 % interval, the brackets are the bounds. One Axes a
    row, never a common scale: they answer different questions.
    """
    columns = ("unit", "estimate", "low_80", "high_80", "low_95", "high_95", "low_bound", "high_bound")
    table = layout.need(estimates, columns, "plot_estimates")
    pitch, head, left, right = 62.0, 62.0, 176.0, 128.0
    width, height = layout.WIDTH + 40, head + pitch * len(table)
    figure = Figure(figsize=(width / 72, height / 72), dpi=100, facecolor=style.PAPER)
    FigureCanvasAgg(figure)
    made = []
    for i, (name, row) in enumerate(table.iterrows()):
        bottom = height - head - (i + 1) * pitch + 30
        box = (left / width, bottom / height, (width - left - right) / width, (pitch - 36) / height)
        ax = figure.add_axes(box, axes_class=layout.PictureAxes)
        _interval(ax, str(name), row)
        made.append(ax)
    bar = {"facecolor": style.BLUE, "edgecolor": style.BLUE}
    key = (
        (bar, "80 % (thick) and 95 % (thin)"),
        ({"facecolor": style.PAPER, "edgecolor": style.INK}, "bounds of this extract"),
    )
    layout.key(made[0], key, left=left - 8, up=12, width=width - 20)
    words = "Three questions, three answers: not to be compared" if title is None else title
    layout.headline(made[0], words, left=left - 8, up=34)
    return made


def _interval(ax: Axes, name: str, row) -> None:
    ends = [row.low_95, row.high_95, *(b for b in (row.low_bound, row.high_bound) if pd.notna(b))]
    low, high = min(ends), max(ends)
    pad = (high - low) * 0.06 or max(abs(high), 1.0) * 0.1
    ax.set_xlim(low - pad, high + pad)
    ax.set_ylim(-1, 1)
    if pd.notna(row.low_bound):
        for x, inwards in ((row.low_bound, 1), (row.high_bound, -1)):
            lip = inwards * (high - low + pad) * 0.012
            ax.plot([x + lip, x, x, x + lip], [0.75, 0.75, -0.75, -0.75], color=style.INK, linewidth=1.0, label="bound",
                    clip_on=False)  # fmt: skip
    ax.plot([row.low_95, row.high_95], [0, 0], color=style.BLUE, linewidth=1.4, label="95 %", solid_capstyle="butt")
    ax.plot([row.low_80, row.high_80], [0, 0], color=style.BLUE, linewidth=5, label="80 %", solid_capstyle="butt")
    ax.plot([row.estimate], [0], "o", markersize=6, markerfacecolor=style.PAPER, markeredgecolor=style.BLUE,
            markeredgewidth=1.5, label="estimate", zorder=5)  # fmt: skip
    ax.set_yticks([])
    ax.set_facecolor("none")
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(style.RULE)
    share = row.unit == "share"
    ax.xaxis.set_major_locator(_few())
    ax.xaxis.set_major_formatter((lambda v, _: f"{100 * v:.3g} %") if share else (lambda v, _: f"{v:,.4g}"))
    ax.tick_params(length=2.5, width=0.6, color=style.MUTED, labelsize=style.SMALL,
                   labelfontfamily=list(style.families()))  # fmt: skip

    def shown(x):
        return f"{100 * x:.3g} %" if share else f"{x:,.0f}" if row.unit == "patients" else f"{x:.2g}"

    lines = "\n".join(style.wrap(QUESTIONS.get(name, name), 150, size=style.SIZE, lines=2))
    layout.note(ax, lines, x=0, y=0.35, dx=-168, bold=True)
    layout.note(ax, name, x=0, y=-1.15, dx=-168, size=style.SMALL, color=style.MUTED)
    layout.note(ax, shown(row.estimate), x=1, y=0.45, dx=12, bold=True, color=style.BLUE)
    layout.note(ax, f"95 %: {shown(row.low_95)} to {shown(row.high_95)}", x=1, y=-0.75, dx=12, size=style.SMALL)


def _few():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)
