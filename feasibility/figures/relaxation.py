"""What giving way would bring: the best sets of criteria to waive, and the front of waiving and loosening."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures import attrition, layout, style

GAINS = ("gain_confirmed", "confirmed_low", "confirmed_high", "gain_possible", "possible_low", "possible_high")
RELAXATION_COLUMNS = ("waived", "names", *GAINS, "corrected", "first_share")
PARETO_COLUMNS = ("n_waived", "n_steps", "waived", "loosened", *GAINS, "front")
OBJECTIVES = ("possible", "confirmed")

_CORRECTED = {"facecolor": style.VERMILLION, "edgecolor": style.VERMILLION}
KEY = (
    ("confirmed", "confirmed gained"),
    ("undetermined", "possible gained"),
    ({"facecolor": style.INK, "edgecolor": style.INK}, "interval: what another table could show"),
)


def plot_relaxations(
    relaxations: pd.DataFrame, ax: Axes | None = None, *, objective: str | None = None, title: str | None = None
) -> Axes:
    """Draw the best sets of criteria to waive together: patients gained, with intervals.

    Each row is a set. The upper bar is the gain in confirmed, the lower in possible patients; the black lines are
    their intervals, which say what another extract could show; the red diamond is the gain without the winner's
    curse; the last column says in what share of resamples the set ranks first.

    ``relaxations`` is the table of the same name, ``objective`` ("possible" or "confirmed") what it was searched by,
    known from the table unless it was rebuilt. ``title=""`` leaves the heading out.
    """
    table = layout.need(relaxations, RELAXATION_COLUMNS, "plot_relaxations")
    objective = objective or table.attrs.get("objective", "possible")
    if objective not in OBJECTIVES:
        raise FeasibilityError(f"plot_relaxations: objective is {objective!r}.{did_you_mean(objective, OBJECTIVES)}")
    rows = layout.stack([_set_row(key, row) for key, row in table.iterrows()], pitch=24.0)
    title = _relaxation_title(table, objective) if title is None else title
    heads = [
        (50, "confirmed", style.BLUE), (98, "possible", style.INK), (152, "corrected", style.VERMILLION),
        (190, "first", style.MUTED),
    ]  # fmt: skip
    key = (*KEY, (_CORRECTED, f"corrected for choosing the best ({objective})"))
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0])
    layout.column_heads(ax, heads)
    ax.set_xlim(0, _widest(table))
    for row, y in rows.bars():
        record = table.loc[row.key]
        _pair(ax, record, y)
        below = y - 4.5 if objective == "confirmed" else y + 4.5
        if not math.isnan(record.corrected):
            ax.plot([record.corrected], [below], marker="D", markersize=4.2, color=style.VERMILLION, linestyle="none",
                    markeredgecolor=style.PAPER, markeredgewidth=0.6, label="corrected", zorder=6)  # fmt: skip
        numbers = [
            (_plus(record.gain_confirmed), style.BLUE), (_plus(record.gain_possible), style.INK),
            ("–" if math.isnan(record.corrected) else f"+{record.corrected:,.0f}", style.VERMILLION),
            ("–" if math.isnan(record.first_share) else style.share(record.first_share, 1), style.MUTED),
        ]  # fmt: skip
        for (dx, _, _), (text, color) in zip(heads, numbers, strict=True):
            layout.note(ax, text, x=1, dx=dx, y=y, ha="right", color=color)
    return ax


def plot_pareto(pareto: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the front of giving way: each row gives way more than those above it in its block, and gains more.

    Blocks by the number of criteria waived, in them rows by steps of loosening; bars are patients gained, confirmed
    above possible, with intervals. The number in bold is the count by which the row is on the front.
    ``pareto`` is the table of the same name.
    """
    table = layout.need(pareto, PARETO_COLUMNS, "plot_pareto").reset_index(drop=True)
    rows: list = []
    last = None
    for key, row in table.iterrows():
        if row.n_waived != last:
            last = row.n_waived
            rows.append(layout.heading_row(_block(int(last))))
        rows.append(layout.label_row(key, "", _changes(row), width=225))
    placed = layout.stack(rows, pitch=22.0)
    title = _pareto_title(table) if title is None else title
    heads = [(50, "confirmed", style.BLUE), (104, "possible", style.INK)]
    ax = attrition.start(ax, placed, title=title, key=KEY, right=heads[-1][0])
    layout.column_heads(ax, heads)
    ax.set_xlim(0, _widest(table))
    for row, y in placed.bars():
        record = table.loc[row.key]
        _pair(ax, record, y)
        for (dx, name, color), n in zip(heads, (record.gain_confirmed, record.gain_possible), strict=True):
            on = record.front in (name, "both")
            layout.note(ax, _plus(n), x=1, dx=dx, y=y, ha="right", color=color if on else style.MUTED, bold=on)
    return ax


def _set_row(key, row) -> layout.Row:
    words = " + ".join(style.title_case(name) for name in row["names"].split(" + "))
    return layout.label_row(key, " + ".join(row.waived), words, width=150)


def _pair(ax: Axes, record, y: float) -> None:
    """Both gains of a row as thin bars with their intervals."""
    for look, name, at in (("confirmed", "confirmed", y - 4.5), ("undetermined", "possible", y + 4.5)):
        layout.bars(ax, at, [(look, float(record[f"gain_{name}"]))], height=7)
        low, high = float(record[f"{name}_low"]), float(record[f"{name}_high"])
        # White under black, so that the line is seen on a dark bar.
        for width, color, label in ((2.6, style.PAPER, None), (1.1, style.INK, f"{name} interval")):
            ax.plot([low, high], [at, at], color=color, linewidth=width, solid_capstyle="butt", label=label, zorder=5)


def _widest(table: pd.DataFrame) -> float:
    return max(float(table[["confirmed_high", "possible_high"]].max().max()), 1.0) * 1.02


def _block(n: int) -> str:
    return "Nothing waived, thresholds loosened" if not n else f"{n} {'criterion' if n == 1 else 'criteria'} waived"


def _changes(row) -> str:
    loosened = [f"{name}\u00a0=\u00a0{value:g}" for name, value in dict(row.loosened).items()]
    return ", ".join([*(f"without\u00a0{w}" for w in row.waived), *loosened])


def _plus(n) -> str:
    return f"+{style.count(n)}" if n else "0"


def _relaxation_title(table: pd.DataFrame, objective: str) -> str:
    best = table.iloc[0]
    gain = style.count(best[f"gain_{objective}"])
    text = f"Waiving {' + '.join(best.waived)} would bring the most {objective} patients: +{gain}"
    if best.first_share < 0.5:
        text += f", but it ranks first in only {style.share(best.first_share, 1)} of resamples"
    return text


def _pareto_title(table: pd.DataFrame) -> str:
    most = table.sort_values("gain_possible", kind="stable").iloc[-1]
    return f"Giving way step by step: up to {style.count(most.gain_possible)} more possible patients"
