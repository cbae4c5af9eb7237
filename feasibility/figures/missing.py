"""What the data cannot say: the ledger, what filling in would settle, and whether the tested are like the untested."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from feasibility.figures import attrition, layout, style

LEDGER_COLUMNS = ("kind", "name", "n_passing", "n_failing", "n_unknown", "n_blocking")
INFORMATION_COLUMNS = (
    "size", "method", "columns", "n_settled_surely", "n_settled_expected", "n_gain_expected",
)  # fmt: skip
TESTED_COLUMNS = ("tested", "untested", "smd", "smd_low", "smd_high", "says")

_LEDGER_KEY = (
    ("known", "passes"), ("unknown", "unknown"), ("excluded", "fails"),
)  # fmt: skip
#: Filled, open and pointed: the three numbers differ in shape, not in colour alone.
_MARKS = {
    "n_settled_surely": ("settled surely, whatever the values", "o", style.INK, style.INK),
    "n_settled_expected": ("settled as expected", "o", style.PAPER, style.BLUE),
    "n_gain_expected": ("of these confirmed", "^", style.VERMILLION, style.VERMILLION),
}
_NUMBERS = {1: "One column", 2: "Two columns", 3: "Three columns"}
WIDEST_SMD = 1.0


def plot_ledger(ledger, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw for each criterion how many patients pass, fail, and are unknown.

    ``ledger`` is ``MissingLedger.criteria``. The last number counts the unknown patients who fail nothing else: those
    for whom the hole matters. ``title=""`` leaves the heading out.
    """
    table = layout.need(ledger, LEDGER_COLUMNS, "plot_ledger")
    rows = layout.stack(attrition.criterion_rows(table))
    if title is None:
        worst = table.sort_values("n_blocking", ascending=False, kind="stable").iloc[0]
        title = (
            f"{style.title_case(worst['name'])} keeps the most patients undetermined: {style.count(worst.n_blocking)}"
            if worst.n_blocking
            else "Nobody is kept undetermined by a hole in the data"
        )
    heads = [
        (44, "passes", style.BLUE), (88, "unknown", style.INK), (132, "fails", style.VERMILLION),
        (204, "unknown,\nnothing failed", style.INK),
    ]  # fmt: skip
    ax = attrition.start(ax, rows, title=title, key=_LEDGER_KEY, right=heads[-1][0], heads=26)
    layout.column_heads(ax, heads)
    whole = table[["n_passing", "n_unknown", "n_failing"]].sum(axis=1).max()
    ax.set_xlim(0, max(float(whole), 1.0) * 1.004)
    for row, y in rows.bars():
        record = table.loc[row.key]
        parts = [("known", record.n_passing), ("unknown", record.n_unknown), ("excluded", record.n_failing)]
        layout.bars(ax, y, [(look, float(n)) for look, n in parts])
        numbers = (record.n_passing, record.n_unknown, record.n_failing, record.n_blocking)
        for (dx, _, color), n in zip(heads, numbers, strict=True):
            layout.note(ax, style.count(n), x=1, dx=dx, y=y, ha="right", color=color if n else style.MUTED)
    return ax


def plot_information(information: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the sets of columns that would settle the most undetermined patients if they were filled in.

    ``information`` is the table of ``value_of_information``: blocks by the number of columns, the best first; a full
    dot for the patients settled surely, an open one for those settled as expected, a triangle for those confirmed.
    """
    table = layout.need(information, INFORMATION_COLUMNS, "plot_information").reset_index(drop=True)
    rows: list = []
    last = None
    for key, row in table.iterrows():
        block = _block(row)
        if block != last:
            rows.append(layout.heading_row(block))
            last = block
        words = f"all {row['size']} columns" if row.method == "all" else " + ".join(row["columns"])
        rows.append(layout.label_row(key, "", words, width=235))
    placed = layout.stack(rows, pitch=16.0)
    shown = [name for name in _MARKS if table[name].notna().any()]
    n = table.attrs.get("n_undetermined")
    title = _information_title(table, shown, n) if title is None else title
    colors = {"n_settled_surely": style.INK, "n_settled_expected": style.BLUE, "n_gain_expected": style.VERMILLION}
    words = {"n_settled_surely": "surely", "n_settled_expected": "expected", "n_gain_expected": "confirmed"}
    heads = [(46.0 + 52 * i, words[name], colors[name]) for i, name in enumerate(shown)]
    # The key is of marks, not of bars, so its room is kept by an empty one.
    blank = {"facecolor": "none", "edgecolor": "none"}
    entries = [(blank, _MARKS[name][0]) for name in shown]
    ax = attrition.start(ax, placed, title=title, key=entries, right=heads[-1][0])
    _mark_key(ax, entries, shown, left=placed.left)
    layout.column_heads(ax, heads)
    most = float(table[shown].astype(float).max().max())
    ax.set_xlim(-0.02 * max(most, 1.0), max(most, 1.0) * 1.03)
    for row, y in placed.bars():
        record = table.loc[row.key]
        ax.plot([0, most], [y, y], color=style.RULE, linewidth=0.5, zorder=1)
        for name in reversed(shown):
            if not pd.isna(record[name]):
                _mark(ax, name, float(record[name]), y)
        for (dx, _, color), name in zip(heads, shown, strict=True):
            text = "–" if pd.isna(record[name]) else style.count(style.whole_number(record[name]))
            layout.note(ax, text, x=1, dx=dx, y=y, ha="right", color=color)
    return ax


def plot_tested(tested: pd.DataFrame, ax: Axes | None = None, *, most: int = 25, title: str | None = None) -> Axes:
    """Draw how patients with a value differ from those without: standardised differences with 95 % intervals.

    ``tested`` is the table of ``tested_versus_untested``; the ``most`` largest differences are drawn, the largest
    first. A full dot differs, an open one cannot be told apart (or is alike); the band is a difference of 0.1 either
    way, usually called balanced; an arrow head says that an interval goes on.
    """
    table = layout.need(tested, TESTED_COLUMNS, "plot_tested")
    drawn = table[table[["smd", "smd_low", "smd_high"]].notna().all(axis=1)]
    order = drawn["smd"].abs().sort_values(ascending=False, kind="stable").index
    told = drawn.loc[order, "says"] == "differs"
    drawn = drawn.loc[[*order[told], *order[~told]][:most]]
    layout.need(drawn, TESTED_COLUMNS, "plot_tested")
    rows = layout.stack(
        [layout.label_row(key, "", _variable(*key), width=235, lines=2) for key in drawn.index], pitch=15.0
    )
    if title is None:
        name, n = table.attrs.get("column", "the column"), int((table["says"] == "differs").sum())
        title = f"Patients with {name} known differ from those without it in {n} of {len(table)} comparisons"
    heads = [(48, "tested", style.BLUE), (98, "untested", style.INK), (138, "SMD", style.INK)]
    # Marks stand for themselves in the key.
    blank = {"facecolor": "none", "edgecolor": "none"}
    entries = [(blank, "differs"), (blank, "alike, or cannot be told apart")]
    entries.append(({"facecolor": "#e4e8ec", "edgecolor": "#e4e8ec"}, "within 0.1"))
    ax = attrition.start(ax, rows, title=title, key=entries, right=heads[-1][0])
    _dot_key(ax, entries, left=rows.left)
    layout.column_heads(ax, heads)
    edge = min(WIDEST_SMD, float(drawn[["smd_low", "smd_high"]].abs().max().max())) * 1.04
    edge = max(edge, float(drawn["smd"].abs().max()) * 1.04, 0.2)
    ax.set_xlim(-edge, edge)
    ax.axvspan(-0.1, 0.1, color="#e4e8ec", linewidth=0, zorder=0)
    ax.axvline(0, color=style.MUTED, linewidth=0.7, zorder=1)
    for row, y in rows.bars():
        record = drawn.loc[row.key]
        _interval(ax, float(record.smd_low), float(record.smd_high), y, edge)
        fill = style.INK if record.says == "differs" else style.PAPER
        ax.plot([record.smd], [y], marker="o", markersize=4.6, linestyle="none", markerfacecolor=fill,
                markeredgecolor=style.INK, markeredgewidth=0.9, zorder=6, label=str(record.says))  # fmt: skip
        share = row.key[1] != "mean"
        for (dx, _, color), value in zip(heads[:2], (record.tested, record.untested), strict=True):
            text = style.share(value, 1) if share else f"{value:,.3g}"
            layout.note(ax, text, x=1, dx=dx, y=y, ha="right", color=color)
        layout.note(ax, f"{record.smd:+.2f}".replace("-", "−"), x=1, dx=heads[2][0], y=y, ha="right")
    return ax


def _block(row) -> str:
    if row.method == "all":
        return "Everything"
    words = _NUMBERS.get(int(row["size"]), f"{row['size']} columns")
    return words if row.method == "exact" else f"{words} (greedy: one more column at a time)"


def _information_title(table: pd.DataFrame, shown: list[str], n) -> str:
    sets = table[table.method != "all"]
    if not len(sets):
        return "Nobody is undetermined"
    size = 1 if (sets["size"] == 1).any() else int(sets["size"].iloc[0])
    best = sets[sets["size"] == size].iloc[0]
    name = "n_settled_expected" if "n_settled_expected" in shown else "n_settled_surely"
    of = f" of {style.count(n)} undetermined patients" if n is not None else " patients"
    word = "surely " if name == "n_settled_surely" else "be expected to "
    count = style.count(style.whole_number(best[name]))
    return f"Filling in {' + '.join(best['columns'])} alone would {word}settle {count}{of}"


def _mark(ax: Axes, name: str, x: float, y: float) -> None:
    _, marker, fill, edge = _MARKS[name]
    size, over = (6.6, 3) if name == "n_settled_expected" else (4.4, 4)
    ax.plot([x], [y], marker=marker, markersize=size, linestyle="none", markerfacecolor=fill, markeredgecolor=edge,
            markeredgewidth=1.1, label=name, zorder=over, clip_on=False)  # fmt: skip


def _key_marks(ax: Axes, entries, marks, *, left: float) -> None:
    """Marks where ``layout.key`` left room for swatches."""
    lines = layout.key_lines(entries)
    up = 14 + lines * (layout.LINE + 1) + 8 - 6
    x, line = 0.0, 0
    for (_, text), options in zip(entries, marks, strict=False):
        size = 29 + style.text_width(text, size=style.SMALL)
        if x and x + size > layout.WIDTH:
            x, line = 0.0, line + 1
        place = layout.at(ax, 0, 1)
        mark = Line2D([x - left + 6], [up - line * (layout.LINE + 1)], transform=place, clip_on=False, **options)
        ax.add_artist(mark)
        x += size


def _mark_key(ax: Axes, entries, shown, *, left: float) -> None:
    marks = []
    for name in shown:
        _, marker, fill, edge = _MARKS[name]
        marks.append({"marker": marker, "markersize": 6 if name == "n_settled_expected" else 4.4, "linestyle": "none",
                      "markerfacecolor": fill, "markeredgecolor": edge, "markeredgewidth": 1.1})  # fmt: skip
    _key_marks(ax, entries, marks, left=left)


def _dot_key(ax: Axes, entries, *, left: float) -> None:
    marks = [
        {"marker": "o", "markersize": 4.6, "linestyle": "none", "markerfacecolor": fill, "markeredgecolor": style.INK}
        for fill in (style.INK, style.PAPER)
    ]
    _key_marks(ax, entries, marks, left=left)


def _interval(ax: Axes, low: float, high: float, y: float, edge: float) -> None:
    ends = max(low, -edge), min(high, edge)
    ax.plot(ends, [y, y], color=style.INK, linewidth=1.0, solid_capstyle="butt", zorder=4, label="interval")
    for value, end, marker in ((low, -edge, "<"), (high, edge, ">")):
        if abs(value) > edge and math.copysign(1, value) == math.copysign(1, end):
            ax.plot([end], [y], marker=marker, markersize=4, color=style.INK, linestyle="none", clip_on=False, zorder=5)


def _variable(name: str, level: str) -> str:
    words = {"mean": "", "yes": "", "fails": ": fails it", "never": ": never"}
    return f"{name}{words.get(level, f': {level}')}"
