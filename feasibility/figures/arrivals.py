"""Newly eligible patients over time: arrivals with the stock apart, spells, how they end, and what snapshots miss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures import attrition, curve, layout, style

ARRIVAL_COLUMNS = ("exposure_months", "n_confirmed", "n_possible")
SPELL_COLUMNS = ("level", "patient_id", "start", "end", "ended")
SNAPSHOT_COLUMNS = ("n_spells", "n_seen", "n_missed", "share_missed_expected", "mean_spell_months", "n_disagree")
LEVELS = ("confirmed", "possible")

_POSSIBLE = {"facecolor": style.PAPER, "edgecolor": "#3f87b5", "hatch": "/////", "linewidth": 0.8}
_CONFIRMED = {"facecolor": style.BLUE, "edgecolor": style.BLUE, "linewidth": 0.6}
_KEY = ((_CONFIRMED, "confirmed: everything known and met"), (_POSSIBLE, "possible: nothing against"))
_ENDS = {"death": "X", "transplant": "D", "another trial": "^"}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def plot_arrivals(arrivals: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw newly eligible patients per period, and the stock at opening apart at the left with a scale of its own.

    ``arrivals`` is ``Arrivals.table``. The wide hatched bar is the possible, the narrow solid one the confirmed; each
    patient counts at each level in the period in which that level was first reached, so the narrow one can be taller.
    A period seen in part is marked with a star. ``title=""`` leaves the heading out.
    """
    table = layout.need(arrivals, ARRIVAL_COLUMNS, "plot_arrivals")
    stock = table.attrs.get("stock")
    for level in LEVELS:
        if stock and level not in stock:
            raise FeasibilityError(f"plot_arrivals: the stock lacks {level!r}.{did_you_mean(level, stock)}")
    by = table.attrs.get("by", "month")
    if title is None:
        title = _arrivals_title(table, stock)
    ax = curve._framed(ax, title, height=190.0, key=_KEY, left=150.0 if stock else curve.SIDE, bottom=46.0)
    x = np.arange(len(table))
    _pair_of_bars(ax, x, table)
    ax.set_xlim(-0.6, len(table) - 0.4)
    part = table["exposure_months"].to_numpy() < 0.999 * _MONTHS.get(by, 1)
    names = [f"{p}{'*' if cut else ''}" for p, cut in zip(table.index, part, strict=True)]
    shown = np.arange(0, len(table), max(1, -(-len(table) // 8)))
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: names[int(round(v))] if 0 <= round(v) < len(names) else ""))
    curve._label(ax, f"{by}{' (* seen in part)' if part.any() else ''}", f"newly eligible a {by}")
    if stock:
        _stock(ax, stock)
    return ax


def plot_spells(spells: pd.DataFrame, ax: Axes | None = None, *, limit: int = 60, title: str | None = None) -> Axes:
    """Draw one line a patient: when possible, when confirmed, and how each spell ended. Internal: it shows patients.

    ``spells`` is the table of the same name. At most ``limit`` patients are drawn, spread evenly over the order of
    their first day; ids are not written.
    """
    table = layout.need(spells, SPELL_COLUMNS, "plot_spells")
    if limit < 1:
        raise FeasibilityError(f"plot_spells: limit is {limit}; draw at least one patient.")
    firsts = table.groupby("patient_id")["start"].min().sort_values(kind="stable")
    chosen = firsts.index[np.unique(np.linspace(0, len(firsts) - 1, min(limit, len(firsts))).astype(int))]
    part = table[table["patient_id"].isin(chosen)]
    row = pd.Series(np.arange(len(chosen)), index=chosen)
    if title is None:
        shown = f"{style.count(len(chosen))} of {style.count(len(firsts))} patients"
        title = f"When {shown} could have joined (internal: one line a patient)"
    words = [w for w in ("lost", *_ENDS, "censored") if w in set(part["ended"])]
    words += sorted(set(part["ended"]) - set(words))
    ax = curve._framed(ax, title, height=max(90.0, 5.5 * len(chosen)), left=28.0, bottom=48.0, key=_KEY)
    for level, look, height in (("possible", _POSSIBLE, 0.8), ("confirmed", _CONFIRMED, 0.44)):
        one = part[part["level"] == level]
        left = date2num(one["start"].to_numpy())
        made = ax.barh(row[one["patient_id"]].to_numpy(), date2num(one["end"].to_numpy()) - left, left=left,
                       height=height, label=level, **look)  # fmt: skip
        style.soften(made.patches)
    handles = []
    for word in words:
        one = part[part["ended"] == word].drop_duplicates(["patient_id", "end"])
        marker = {"lost": "|", "censored": ">"}.get(word, _ENDS.get(word, "s"))
        filled = marker in ("X", "D", "^", "s")
        look = {"marker": marker, "markersize": 4.2, "color": style.INK if marker == "|" else style.VERMILLION,
                "markerfacecolor": style.VERMILLION if filled else style.PAPER, "linestyle": "none"}  # fmt: skip
        ax.plot(date2num(one["end"].to_numpy()), row[one["patient_id"]].to_numpy(), label=word, zorder=5, **look)
        handles.append(Line2D([], [], label=word, **look))
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    curve._label(ax, "", "", grid=False)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(AutoDateLocator(maxticks=8))
    ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=layout.at(ax, 0.5, 0),
              ncols=len(handles), frameon=False, prop=style.font(size=style.SMALL), borderpad=0, handletextpad=0.2,
              borderaxespad=2.9)  # fmt: skip
    return ax


def plot_cumulative_incidence(incidence: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw what becomes of patients after they become eligible: the shares gone each way, stacked, and those left.

    ``incidence`` is the table of ``cumulative_incidence``.
    """
    table = layout.need(incidence, ("still_eligible", "n_at_risk"), "plot_cumulative_incidence")
    ways = [c for c in table.columns if c + "_se" in table.columns]
    if not ways:
        raise FeasibilityError("plot_cumulative_incidence: no spell has ended, so there is nothing to stack.")
    ways = sorted(ways, key=lambda w: -table[w].iloc[-1])
    looks = {w: {k: v for k, v in style.REASON_LOOKS[(i + 2) % 8].items()} for i, w in enumerate(ways)}
    if title is None:
        half = table.index[table["still_eligible"] <= 0.5]
        level = table.attrs.get("level", "")
        title = f"Half of the {level} spells end within {half[0]} days" if len(half) else (
            f"{style.share(1 - table['still_eligible'].iloc[-1], 1)} of the {level} spells end"
            f" within {table.index[-1]} days"
        )  # fmt: skip
    key = [(look, _sentence(way)) for way, look in looks.items()] + [
        ({"facecolor": style.PAPER, "edgecolor": style.MUTED}, "still eligible")
    ]
    ax = curve._framed(ax, title, height=190.0, key=key)
    x, base = table.index.to_numpy(dtype=float), np.zeros(len(table))
    for way in ways:
        top = base + table[way].to_numpy()
        area = ax.fill_between(x, base, top, step="post", label=way, linewidth=0.5, **looks[way])
        style.soften([area])
        base = top
    ax.plot(x, base, color=style.INK, linewidth=1.2, drawstyle="steps-post", label="any way")
    ax.set_xlim(0, x.max() if x.max() else 1)
    ax.set_ylim(0, 1)
    curve._label(ax, "days since becoming eligible", "share of spells")
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f}\u00a0%"))
    return ax


def plot_snapshots(bias: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw what share of eligibility spells monthly index dates see and miss, with the share theory expects missed.

    ``bias`` is the table of ``snapshot_bias``; the diamond stands where the missed part would begin if spells had
    exponential lengths of the same mean.
    """
    table = layout.need(bias, SNAPSHOT_COLUMNS, "plot_snapshots")
    rows = layout.stack([layout.label_row(level, "", f"{level} spells", width=120) for level in table.index], pitch=26)
    if title is None:
        worst = (table["n_missed"] / table["n_spells"].where(table["n_spells"] > 0)).max()
        title = f"Monthly index dates miss up to {style.share(worst, 1)} of the spells" if worst > 0 else (
            "Monthly index dates miss no spell"
        )  # fmt: skip
    key = (
        (_CONFIRMED, "seen by a monthly date"), (_POSSIBLE, "missed"),
        ({"facecolor": style.VERMILLION, "edgecolor": style.VERMILLION}, "expected from the mean length"),
    )  # fmt: skip
    heads = [(40, "seen", style.BLUE), (84, "missed", style.INK), (162, "mean months", style.MUTED)]
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0])
    layout.column_heads(ax, heads)
    ax.set_xlim(0, 1)
    for row, y in rows.bars():
        record = table.loc[row.key]
        n = max(int(record.n_spells), 1)
        layout.bars(ax, y, [(_CONFIRMED, record.n_seen / n), (_POSSIBLE, record.n_missed / n)], height=12)
        if not np.isnan(record.share_missed_expected):
            ax.plot([1 - record.share_missed_expected], [y], marker="D", markersize=5, color=style.VERMILLION,
                    markeredgecolor=style.PAPER, linestyle="none", label="expected", zorder=6)  # fmt: skip
        mean = "–" if np.isnan(record.mean_spell_months) else f"{record.mean_spell_months:.1f}"
        texts = (style.count(record.n_seen), style.count(record.n_missed), mean)
        for (dx, _, color), text in zip(heads, texts, strict=True):
            layout.note(ax, text, x=1, dx=dx, y=y, ha="right", color=color)
    return ax


def _pair_of_bars(ax: Axes, x: Sequence[float], table: pd.DataFrame) -> None:
    for name, look, width in (("possible", _POSSIBLE, 0.84), ("confirmed", _CONFIRMED, 0.42)):
        heights = table[f"n_{name}"].to_numpy(dtype=float)
        made = ax.bar(x, heights, width=width, label=name, **look)
        for patch, height in zip(made.patches, heights, strict=True):
            if not height:
                patch.set_linewidth(0)
        style.soften(made.patches)
    top = float(table[["n_confirmed", "n_possible"]].max(axis=None))
    ax.set_ylim(0, max(top, 1.0) * 1.1)


def _stock(ax: Axes, stock) -> None:
    wide = layout.points_wide(ax)
    left = ax.inset_axes([-104 / wide, 0, 48 / wide, 1])
    _pair_of_bars(left, [0], pd.DataFrame({f"n_{level}": [stock[level]] for level in LEVELS}))
    left.set_xlim(-0.7, 0.7)
    curve._label(left, "at opening", "stock at opening", nbins=4)
    left.set_xticks([])


def _sentence(way: str) -> str:
    return {"lost": "lost: a criterion turned"}.get(way, way)


def _arrivals_title(table: pd.DataFrame, stock) -> str:
    months = f"{table['exposure_months'].sum():.1f}".removesuffix(".0")
    confirmed, possible = (style.count(table[f"n_{level}"].sum()) for level in LEVELS)
    text = f"In {months} months {confirmed} patients became eligible for certain, {possible} possibly"
    if stock:
        text += f"; the stock at opening was {style.count(stock['confirmed'])} and {style.count(stock['possible'])}"
    return text
