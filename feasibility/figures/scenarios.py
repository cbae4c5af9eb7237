"""Scenarios: how a change adds up step by step, and how far interpretation alone moves the number."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from feasibility.figures import attrition, layout, style

_KEY = (("confirmed", "confirmed"), ("undetermined", "undetermined: possible, not confirmed"))


def plot_waterfall(waterfall: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the steps of one scenario, or several scenarios: the counts of each row and what it gains.

    ``waterfall`` is the table of the same name, or that of ``compare``. Each bar is split into confirmed and
    undetermined patients; the outline shows what the step adds to the possible, or takes from them.
    """
    table = layout.need(waterfall, ("n_confirmed", "n_possible", "gain_confirmed", "gain_possible"), "plot_waterfall")
    steps = table.index.name == "step"
    rows = layout.stack([layout.label_row(key, "", str(key), width=190) for key in table.index])
    base, last = table.iloc[0], table.iloc[-1]
    if title is None:
        title = (
            f"From {style.count(base.n_possible)} to {style.count(last.n_possible)} possible patients, "
            f"from {style.count(base.n_confirmed)} to {style.count(last.n_confirmed)} confirmed"
            if steps
            else "Possible and confirmed patients under each scenario"
        )
    heads = [(54, "confirmed", style.BLUE), (106, "possible", style.INK), (160, "± possible", style.VERMILLION)]
    key = (*_KEY, ("failing", "lost by the step" if steps else "fewer than in the protocol"))
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0])
    layout.column_heads(ax, heads)
    before = table["n_possible"].shift(1) if steps else table["n_possible"] * 0 + base.n_possible
    ax.set_xlim(0, max(float(table["n_possible"].max()), 1.0) * 1.004)
    for row, y in rows.bars():
        record = table.loc[row.key]
        lost = max(0.0, float(before.loc[row.key]) - float(record.n_possible)) if row.key != table.index[0] else 0.0
        undetermined = float(record.n_possible - record.n_confirmed)
        segments = [("confirmed", float(record.n_confirmed)), ("undetermined", undetermined), ("failing", lost)]
        layout.bars(ax, y, segments)
        layout.note(ax, style.count(record.n_confirmed), x=1, dx=heads[0][0], y=y, ha="right", color=style.BLUE)
        layout.note(ax, style.count(record.n_possible), x=1, dx=heads[1][0], y=y, ha="right")
        if row.key != table.index[0]:
            gain = signed(record.gain_possible)
            layout.note(ax, gain, x=1, dx=heads[2][0], y=y, ha="right", color=style.VERMILLION)
    return ax


def plot_tornado(
    tornado: pd.DataFrame, ax: Axes | None = None, *, top: int | None = 15, title: str | None = None
) -> Axes:
    """Draw how far each reading moves the number of possible patients, the widest first.

    ``tornado`` is the table of the same name. Each bar runs from the fewest to the most possible patients over the
    choices of one reading; the vertical line is the protocol as it stands. ``top`` keeps the widest so many readings,
    and "all together" always. Readings that change nothing are left out.
    """
    needed = ("value", "low_choice", "high_choice", "n_possible_low", "n_possible_high", "span")
    table = layout.need(tornado, needed, "plot_tornado")
    together = table.loc[table.index == "all together"]
    moving = table.loc[(table["span"] > 0) & (table.index != "all together")].head(top)
    shown = pd.concat([moving, together])
    if shown.empty:
        shown = table.head(1)
    base = tornado.attrs.get("n_possible")
    rows = layout.stack([layout.label_row(key, "", str(key), width=150) for key in shown.index], pitch=26.0)
    low, high = float(shown["n_possible_low"].min()), float(shown["n_possible_high"].max())
    if title is None:
        title = (
            f"Interpretation alone moves the possible patients between {style.count(low)} and {style.count(high)}"
            if together.size and high > low
            else "How far each reading moves the possible patients"
        )
    heads = [(54, "fewest", style.VERMILLION), (106, "most", style.BLUE)]
    key = (
        ({"facecolor": "#f3c9a6", "edgecolor": style.VERMILLION}, "fewer than in the protocol"),
        ({"facecolor": "#dcebf6", "edgecolor": style.BLUE}, "more than in the protocol"),
    )
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0])
    layout.column_heads(ax, heads)
    margin = 0.02 * max(1.0, high - low)
    ax.set_xlim(low - margin, high + margin)
    for row, y in rows.bars():
        record = shown.loc[row.key]
        fewest, most = float(record.n_possible_low), float(record.n_possible_high)
        middle = min(max(float(base), fewest), most) if base is not None else fewest
        for label, start, end, look in (("fewer", fewest, middle, key[0][0]), ("more", middle, most, key[1][0])):
            made = layout.bars(ax, y - 4, [(look, end - start)], left=start)
            made[0].set_label(label)
        if row.key != "all together":
            choices = f"{record.low_choice} … {record.high_choice}"
            ax.annotate(choices, xy=(0, y + 8), xycoords=("axes fraction", "data"), xytext=(2, 0), va="center",
                        textcoords="offset points", color=style.MUTED, parse_math=False,
                        fontproperties=style.font(size=style.SMALL - 0.5), annotation_clip=False)  # fmt: skip
        layout.note(ax, style.count(fewest), x=1, dx=heads[0][0], y=y, ha="right", color=style.VERMILLION)
        layout.note(ax, style.count(most), x=1, dx=heads[1][0], y=y, ha="right", color=style.BLUE)
    if base is not None:
        ax.axvline(float(base), color=style.INK, linewidth=1.0, label="protocol")
    return ax


def signed(n) -> str:
    """A gain with its sign: +12, −3, 0."""
    return f"+{style.count(n)}" if n > 0 else f"−{style.count(-n)}" if n < 0 else "0"
