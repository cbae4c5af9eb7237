"""The funnel: who is left after each criterion, and what is known about them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from feasibility.figures import layout, style

COLUMNS = ("kind", "name", "n_entering", "n_excluded", "n_undetermined", "n_confirmed", "n_remaining")

KEY = (
    ("confirmed", "confirmed so far: everything known, nothing against"),
    ("undetermined", "undetermined: nothing against, something unknown"),
    ("excluded", "excluded at this step"),
)
_HEADINGS = {"inclusion": "Inclusion criteria, must be met", "exclusion": "Exclusion criteria, must not apply"}


def criterion_rows(table: pd.DataFrame, *, labels: str = "name", headings: bool = True, width: float = 170) -> list:
    """One row per criterion in the table's order, under headings for inclusion and exclusion.

    Headings are left out where a reordered protocol would need more than three of them.
    """
    kinds = table["kind"].astype(str).tolist() if "kind" in table.columns else [""] * len(table)
    changes = 1 + sum(a != b for a, b in zip(kinds, kinds[1:], strict=False))
    headings = headings and changes <= 3 and "kind" in table.columns
    rows, last = [], None
    for key, kind, text in zip(table.index, kinds, table[labels], strict=True):
        if headings and kind != last:
            rows.append(layout.heading_row(_HEADINGS.get(kind, kind)))
            last = kind
        shown = style.title_case(text) if labels == "name" else str(text)
        rows.append(layout.label_row(key, str(key), shown, width=width))
    return rows


def plot_attrition(
    attrition: pd.DataFrame, ax: Axes | None = None, *, labels: str = "name", title: str | None = None
) -> Axes:
    """Draw who is left after each criterion, in the protocol's order.

    The first bar is the whole cohort. Each later bar is split into patients confirmed so far, patients nothing has
    excluded but with something unknown, and (in outline) those excluded at this very step.

    ``attrition`` is the table of the same name. ``labels="reason"`` writes the protocol's words instead of short names.
    ``title=""`` leaves the heading out. Without ``ax`` a figure as high as its rows is made.
    """
    table = layout.need(attrition, (*COLUMNS, labels), "plot_attrition")
    first, last = table.iloc[0], table.iloc[-1]
    rows = layout.stack(
        [layout.label_row(None, "", "All patients in the table"), *criterion_rows(table, labels=labels)]
    )
    if title is None:
        title = (
            f"Of {style.count(first.n_entering)} patients, {style.count(last.n_confirmed)} are confirmed eligible "
            f"and {style.count(last.n_remaining)} are possible"
        )
    heads = [(52, "excluded", style.VERMILLION), (110, "confirmed\nso far", style.BLUE), (162, "possible", style.INK)]
    ax = start(ax, rows, title=title, key=KEY, right=heads[-1][0], heads=26)
    layout.column_heads(ax, heads)
    ax.set_xlim(0, max(float(first.n_entering), 1.0) * 1.004)  # room for the last outline

    top = rows.middles[0]
    layout.bars(ax, top, [("cohort", float(first.n_entering))])
    layout.note(ax, style.count(first.n_entering), x=1, dx=heads[-1][0], y=top, ha="right", bold=True)
    for row, y in rows.bars()[1:]:
        record = table.loc[row.key]
        layout.bars(
            ax,
            y,
            [
                ("confirmed", float(record.n_confirmed)),
                ("undetermined", float(record.n_undetermined)),
                ("excluded", float(record.n_excluded)),
            ],
        )
        lost = f"−{style.count(record.n_excluded)}" if record.n_excluded else "0"
        layout.note(
            ax, lost, x=1, dx=heads[0][0], y=y, ha="right", color=style.VERMILLION if record.n_excluded else style.MUTED
        )
        layout.note(ax, style.count(record.n_confirmed), x=1, dx=heads[1][0], y=y, ha="right", color=style.BLUE)
        layout.note(ax, style.count(record.n_remaining), x=1, dx=heads[2][0], y=y, ha="right")
    return ax


def start(ax: Axes | None, rows: layout.Rows, *, title: str, key=(), right: float, heads: float = 14):
    """Axes with labels, key and headline in place, and room for number columns."""
    lines = layout.key_lines(key) if key else 0
    key_height = lines * (layout.LINE + 1) + (8 if lines else 0)
    wrapped = style.wrap(title, layout.WIDTH - 20, size=11, bold=True) if title else []
    top = heads + 4 + key_height + len(wrapped) * 15 + (6 if wrapped else 0) + 4
    ax = layout.canvas(ax, body=rows.height, left=rows.left + 4, right=right + 6, top=top)
    layout.labels(ax, rows)
    if key:
        layout.key(ax, key, left=rows.left, up=heads + key_height - 6)
    layout.headline(ax, "\n".join(wrapped), left=rows.left, up=heads + 4 + key_height)
    return ax
