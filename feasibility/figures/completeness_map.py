"""How complete each column is by site and over time: a map with a number in every cell."""

from __future__ import annotations

import pandas as pd
from matplotlib import transforms
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feasibility.figures import layout, style

COMPLETENESS_COLUMNS = ("column", "n", "n_known", "share")
CELL, GROUP_GAP = 27.0, 8.0


def plot_completeness_by(completeness: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the share of patients with a known value as a map: a row a column, a cell a site and period.

    ``completeness`` is the table of that name. Darker is more complete; the number of per cent stands in every cell,
    so nothing depends on the shade; a dash where the column applies to nobody.
    """
    table = layout.need(completeness, COMPLETENESS_COLUMNS, "plot_completeness_by")
    by = [c for c in table.columns[1 : list(table.columns).index("n")] if c != "period"]
    keys = [*by, *(["period"] if "period" in table else [])]
    labels = table[keys].astype(str).apply(tuple, axis=1) if keys else pd.Series([("all patients",)] * len(table))
    share = table.assign(group=labels.to_numpy()).pivot(index="column", columns="group", values="share")
    share = share.reindex(index=list(dict.fromkeys(table["column"])), columns=sorted(dict.fromkeys(labels)))
    over = "period" in table and bool(by)
    tops = [", ".join(g[:-1]) if over else ", ".join(g) for g in share.columns]
    lefts, x = [], 0.0
    for j, top in enumerate(tops):
        x += GROUP_GAP if over and j and top != tops[j - 1] else 0.0
        lefts.append(x)
        x += CELL if over or "period" in table else 2 * CELL
    rows = layout.stack([layout.label_row(key, "", str(key), width=245) for key in share.index], pitch=14.5)
    heads = 40 if over else 28
    title = "Share of patients with a known value, in per cent" if title is None else title
    body = _map_axes(ax, rows, x, heads + 30)
    wide = max(layout.points_wide(body), x)
    body.set_xlim(0, wide)
    layout.labels(body, rows)
    for row, y in rows.bars():
        for left, right, value in zip(lefts, [*lefts[1:], x], share.loc[row.key], strict=True):
            cell = (CELL if over or "period" in table else 2 * CELL) if right else CELL
            middle = (left + cell / 2) / wide
            if pd.isna(value):
                layout.note(body, "–", x=middle, y=y, ha="center", color=style.MUTED, size=style.SMALL)
                continue
            body.barh(y, cell - 1, left=left, height=12.5, facecolor=style.BLUE, alpha=0.03 + 0.52 * float(value))
            layout.note(body, _per_cent(value), x=middle, y=y, ha="center", color=style.INK, size=style.SMALL)
    _map_heads(body, share.columns, tops, lefts, wide, over, "period" in table)
    layout.headline(body, title, left=rows.left, up=heads + 6)
    return body


def _per_cent(value: float) -> str:
    """Whole per cent that never claim a false 0 or 100."""
    number = style.whole_number(100 * value)
    if number == 100 and value < 1:
        return ">99"
    return "<1" if number == 0 and value > 0 else str(number)


def _map_axes(ax: Axes | None, rows: layout.Rows, width: float, top: float) -> Axes:
    """Axes whose cells are in points: a narrow map keeps the usual width of a figure, a wide one widens it."""
    left = rows.left + 4
    if ax is not None or left + width + 4 <= layout.WIDTH:
        return layout.canvas(ax, body=rows.height, left=left, right=4, top=top)
    total, height = left + width + 8, rows.height + top + 14
    figure = Figure(figsize=(total / 72, height / 72), dpi=100, facecolor=style.PAPER)
    FigureCanvasAgg(figure)
    box = (left / total, 14 / height, (width + 4) / total, rows.height / height)
    return layout.bare(figure.add_axes(box, axes_class=layout.PictureAxes), rows.height)


def _map_heads(ax: Axes, groups, tops, lefts, wide: float, over: bool, period: bool) -> None:
    for j, (group, left) in enumerate(zip(groups, lefts, strict=True)):
        cell = CELL if period else 2 * CELL
        lines = _period_lines(group[-1]) if period else style.wrap(tops[j], cell - 4, size=6.5, bold=True, lines=3)
        ax.text(
            left + cell / 2, 3, "\n".join(lines), ha="center", va="bottom",
            transform=_above(ax), color=style.INK, clip_on=False, parse_math=False,
            fontproperties=style.font(size=6.5, bold=True), linespacing=1.05,
        )  # fmt: skip
        if over and (not j or tops[j] != tops[j - 1]):
            last = max(k for k in range(j, len(tops)) if tops[k] == tops[j])
            room = lefts[last] + CELL - left
            text = style.wrap(tops[j], room, size=style.SMALL, bold=True, lines=1)[0]
            ax.text(
                left, 24, text, ha="left", va="bottom", transform=_above(ax), color=style.INK, clip_on=False,
                parse_math=False, fontproperties=style.font(size=style.SMALL, bold=True),
            )  # fmt: skip


def _period_lines(period: str) -> list[str]:
    """A year over its month or quarter, so that cells can be narrow."""
    for mark in ("-", "Q"):
        year, found, rest = period.partition(mark)
        if found and len(year) == 4:
            return [year, f"Q{rest}" if mark == "Q" else rest]
    return [period]


def _above(ax: Axes):
    """x as in the data, y in points above the Axes."""
    return transforms.blended_transform_factory(ax.transData, layout.at(ax, 0, 1))
