"""Enrollment forecasts: patients over time, the chance of the target, what each site adds, which assumption matters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from feasibility.errors import FeasibilityError
from feasibility.figures import attrition, layout, style
from feasibility.figures.curve import _framed, _label

BAND_95 = {"facecolor": "#e3edf5", "edgecolor": "#8fb3cf"}
BAND_80 = {"facecolor": "#a9c9e1", "edgecolor": "#5f92b8"}
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (1, 2.5)))
LEVELS = (0.5, 0.8, 0.9)
NAMED_AT = 0.63


def plot_fan(fan: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the patients over the months: median, 80 % and 95 % bands, and the target as a line.

    ``fan`` is the table of ``Forecast.fan()``; its target is taken from there. Enrolment is drawn as if it went on.
    """
    bands = ("low_95", "low_80", "median", "high_80", "high_95")
    table = layout.need(fan, bands, "plot_fan")
    target, goal = table.attrs.get("target"), table.attrs.get("goal", "enrolled")
    x = table.index.to_numpy(dtype=float)
    last = table.iloc[-1]
    if title is None:
        title = (
            f"After {x[-1]:g} months {style.count(last.low_80)} to {style.count(last.high_80)} patients {goal} (80 %)"
        )
    line = {"facecolor": style.INK, "edgecolor": style.INK}
    key = ((line, "median"), (BAND_80, "80 % of simulated trials"), (BAND_95, "95 %"))
    ax = _framed(ax, title, height=220.0, key=key)
    for low, high, look, label in (("low_95", "high_95", BAND_95, "95 %"), ("low_80", "high_80", BAND_80, "80 %")):
        ax.fill_between(x, table[low], table[high], step="post", linewidth=0.7, label=label, **look)
    ax.plot(x, table["median"], color=style.INK, linewidth=1.6, label="median", drawstyle="steps-post")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0, max(float(table["high_95"].max()), float(target or 0), 1.0) * 1.08)
    if target is not None:
        ax.axhline(target, color=style.VERMILLION, linewidth=1.2, linestyle=DASHES[1], label="target", zorder=4)
        _say(ax, f"target {style.count(target)}", xy=(x[0], target), xytext=(5, 3))
    _label(ax, "months", f"patients {goal}")
    ax.xaxis.set_major_locator(_months(x))
    return ax


def plot_success(success: pd.DataFrame, ax: Axes | None = None, *, levels=LEVELS, title: str | None = None) -> Axes:
    """Draw the probability that the target is reached, against the months or against the number of sites.

    ``success`` is the table of ``Forecast.probabilities()`` (index ``month``), or that of ``success_by_sites`` (index
    ``sites``, one line a month). Thin lines mark the ``levels``; each line carries its name. At most
    five lines can be told apart in black and white.
    """
    fits = isinstance(success, pd.DataFrame) and success.index.name in ("month", "sites")
    if not fits or (success.index.name == "month" and "probability" not in success):
        raise FeasibilityError("plot_success: the table of Forecast.probabilities() or success_by_sites() is needed.")
    over_time = success.index.name == "month"
    lines = {"probability": success["probability"]} if over_time else dict(success.items())
    if not lines or len(lines) > len(DASHES) or len(success) < 2:
        raise FeasibilityError(
            f"plot_success: from 1 to {len(DASHES)} lines of at least two points, got {len(lines)} of {len(success)}."
        )
    x = success.index.to_numpy(dtype=float)
    if title is None:
        title = _success_title(success, over_time)
    ax = _framed(ax, title, height=210.0, right=22.0 if over_time else 78.0)
    for level in levels:
        ax.axhline(level, color=style.MUTED, linewidth=0.6, linestyle=(0, (1, 2)), label=f"level {level:g}", zorder=1)
    ends = []
    for (name, p), dash in zip(lines.items(), DASHES, strict=False):
        y = p.to_numpy(dtype=float)
        marker = {} if len(x) > 30 else {"marker": "o", "markersize": 2.5}
        color = style.BLUE if over_time else style.INK
        ax.plot(x, y, color=color, linewidth=1.5, linestyle=dash, label=str(name), **marker)
        if over_time or not y.min() < NAMED_AT < y.max():
            ends.append([y[-1], f"by month {name}"])
        else:
            at = np.interp(NAMED_AT, y, x)
            ax.annotate(f"by month {name}", xy=(at, NAMED_AT), xytext=(-5, 0), textcoords="offset points", ha="right",
                        va="center", color=style.INK, fontproperties=style.font(size=style.SMALL), zorder=5,
                        bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 1.0, "alpha": 0.85})  # fmt: skip
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0, 1.02)
    if over_time:
        y = lines["probability"].to_numpy(dtype=float)
        for level in levels:
            if (y >= level).any():
                at = x[np.argmax(y >= level)]
                ax.plot([at], [level], "o", color=style.VERMILLION, markersize=4, label="reached", zorder=5)
                # A rising curve leaves room to its right below, and to its left above.
                left = (at - x[0]) > 0.7 * (x[-1] - x[0])
                text = f"{level:.0%}: month {at:g}".replace("%", "\u00a0%")
                place = {"xytext": (-6, 4), "ha": "right"} if left else {"xytext": (7, -4), "va": "top"}
                _say(ax, text, xy=(at, level), **place)
    else:
        for y, text in _apart(ends, 0.055):
            ax.annotate(text, xy=(1, y), xycoords=("axes fraction", "data"), xytext=(5, 0), va="center",
                        textcoords="offset points", color=style.INK, annotation_clip=False,
                        fontproperties=style.font(size=style.SMALL))  # fmt: skip
    _label(ax, "months" if over_time else "number of sites", "probability of the target")
    ax.yaxis.set_major_locator(FixedLocator(np.linspace(0, 1, 6)))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol="\u00a0%"))
    ax.xaxis.set_major_locator(_months(x) if over_time else MaxNLocator(8, integer=True))
    return ax


def plot_site_contributions(
    contributions: pd.DataFrame, ax: Axes | None = None, *, top: int | None = 20, title: str | None = None
) -> Axes:
    """Draw what each site is expected to add, with its 80 % interval, the largest first.

    ``contributions`` is the table of ``Forecast.site_contributions()``; sites beyond ``top`` are left out and counted.
    """
    table = layout.need(
        contributions, ("mean", "low_80", "high_80", "share", "probability_none"), "plot_site_contributions"
    )
    shown = table.sort_values("mean", ascending=False, kind="stable").head(top)
    months, goal = table.attrs.get("months"), table.attrs.get("goal", "enrolled")
    rows = layout.stack([layout.label_row(site, "", str(site), width=150) for site in shown.index])
    if title is None:
        when = f" in {months} months" if months else ""
        title = f"Patients {goal}{when} by site: {table['mean'].sum():.1f} expected"
        if len(shown) < len(table):
            title += f"; {len(table) - len(shown)} sites not shown"
    heads = [
        (42, "mean", style.BLUE),
        (96, "80 %", style.INK),
        (150, "of all", style.INK),
        (214, "nobody\nat all", style.INK),
    ]
    line = {"facecolor": style.INK, "edgecolor": style.INK}
    bar = {"facecolor": "#a9c9e1", "edgecolor": style.BLUE}
    key = ((bar, "expected patients"), (line, "80 % interval"))
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0], heads=24)
    layout.column_heads(ax, heads)
    ax.set_xlim(0, max(float(shown["high_80"].max()), float(shown["mean"].max()), 1.0) * 1.03)
    for row, y in rows.bars():
        record = shown.loc[row.key]
        made = layout.bars(ax, y, [(bar, float(record["mean"]))])
        made[0].set_label("expected")
        low, high = float(record.low_80), float(record.high_80)
        ax.plot([low, high], [y, y], color=style.INK, linewidth=1.2, marker="|", markersize=6, label="80 %")
        texts = (f"{record['mean']:.1f}", f"{low:.0f}–{high:.0f}", style.share(record["share"], 1),
                 style.share(record.probability_none, 1))  # fmt: skip
        for (dx, _, color), text in zip(heads, texts, strict=True):
            layout.note(ax, text, x=1, dx=dx, y=y, ha="right", color=color)
    return ax


def plot_rate_tornado(
    tornado: pd.DataFrame, ax: Axes | None = None, *, top: int | None = 12, title: str | None = None
) -> Axes:
    """Draw how far each assumption alone moves the probability of the target, the widest first.

    ``tornado`` is the table of ``rate_tornado``: each bar runs from the assumption's 10 % to its 90 % quantile, with
    these values beneath its name; the vertical line is the plan with everything uncertain.
    """
    needed = ("low_value", "high_value", "probability_low", "probability_high", "months_low", "months_high", "span")
    table = layout.need(tornado, needed, "plot_rate_tornado").head(top)
    base, by = tornado.attrs.get("probability"), tornado.attrs.get("by")
    rows = layout.stack(
        [layout.label_row(key, "", style.title_case(key), width=150) for key in table.index], pitch=27.0
    )
    if title is None:
        when = f" by month {by}" if by else ""
        title = f"{style.title_case(table.index[0])} matters most for the target{when}: {_pair(table.iloc[0])}"
        if not table["span"].iloc[0] > 0:
            title = f"No assumption alone moves the target{when}"
    heads = [(58, "at its 10 %", style.VERMILLION), (126, "at its 90 %", style.BLUE), (208, "median months", style.INK)]
    key = (
        ({"facecolor": "#f3c9a6", "edgecolor": style.VERMILLION}, "at its 10 % quantile"),
        ({"facecolor": "#dcebf6", "edgecolor": style.BLUE, "hatch": "/////"}, "at its 90 % quantile"),
    )
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0])
    layout.column_heads(ax, heads)
    ends = table[["probability_low", "probability_high"]].to_numpy(dtype=float)
    margin = 0.03 * max(float(np.ptp(ends)), 0.02)
    small = style.font(size=style.SMALL - 0.5)
    ax.set_xlim(ends.min() - margin, ends.max() + margin)
    for row, y in rows.bars():
        record = table.loc[row.key]
        low, high = float(record.probability_low), float(record.probability_high)
        middle = (low + high) / 2 if base is None else float(base)
        for end, (look, label) in ((low, key[0]), (high, key[1])):
            made = layout.bars(ax, y - 4, [(look, abs(end - middle))], left=min(end, middle))
            made[0].set_label(label)
        ax.annotate(f"{_value(record.low_value)} … {_value(record.high_value)}", xy=(0, y + 9),
                    xycoords=("axes fraction", "data"), xytext=(2, 0), va="center", textcoords="offset points",
                    color=style.MUTED, fontproperties=small, annotation_clip=False)  # fmt: skip
        layout.note(ax, style.share(low, 1), x=1, dx=heads[0][0], y=y, ha="right", color=style.VERMILLION)
        layout.note(ax, style.share(high, 1), x=1, dx=heads[1][0], y=y, ha="right", color=style.BLUE)
        months = f"{_time(record.months_low)} … {_time(record.months_high)}"
        layout.note(ax, months, x=1, dx=heads[2][0], y=y, ha="right")
    if base is not None:
        ax.axvline(float(base), color=style.INK, linewidth=1.0, label="plan")
    return ax


def _success_title(success: pd.DataFrame, over_time: bool) -> str:
    if over_time:
        p, month = success["probability"].iloc[-1], success.index[-1]
        return f"The target is reached by month {month:g} with a probability of {style.share(p, 1)}"
    what = success.attrs
    tail = f" of {what['target']} patients {what['goal']}" if "target" in what else ""
    return f"Probability of the target{tail}, by the number of sites"


def _pair(record) -> str:
    return f"{style.share(record.probability_low, 1)} to {style.share(record.probability_high, 1)}"


def _value(value: float) -> str:
    return f"{value:.3g}"


def _time(value: float) -> str:
    return "later" if np.isinf(value) else f"{value:.0f}"


def _months(x: np.ndarray):
    """Ticks at whole years or halves, where the axis is long enough."""
    span = x[-1] - x[0]
    return MaxNLocator(8, steps=[1.2, 2.4, 6, 10] if span >= 12 else [1, 2, 5, 10], integer=True)


def _apart(ends: list, least: float) -> list:
    """Labels at the right end, from the top down, each moved down as far as it would cover the one above."""
    ordered = sorted(ends, reverse=True)
    for above, below in zip(ordered, ordered[1:], strict=False):
        below[0] = min(below[0], above[0] - least)
    return [(y, text) for y, text in ordered]


def _say(ax: Axes, text: str, *, xy, xytext, va: str = "bottom", ha: str = "left") -> None:
    ax.annotate(text, xy=xy, xytext=xytext, textcoords="offset points", color=style.VERMILLION, va=va, ha=ha, zorder=6,
                fontproperties=style.font(size=style.SMALL, bold=True), parse_math=False)  # fmt: skip
