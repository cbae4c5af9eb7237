"""What each criterion costs: how many it excludes, its fair share of the loss, and what waiving it would bring."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures import attrition, layout, style

COLUMNS = ("kind", "name", "n_failing", "gain_confirmed", "gain_possible", "shapley")

#: Ways to order the rows; each is a list of columns, largest first.
SORTS = {
    "gain": ["gain_possible", "gain_confirmed", "shapley"],
    "shapley": ["shapley", "gain_possible"],
    "failing": ["n_failing", "shapley"],
    "protocol": [],
}

# Room in points for a panel's two columns of numbers.
_COLUMNS = 94.0

KEY = (
    ("shapley", "its fair share of the loss"),
    ("failing", "the rest it excludes, charged to other criteria"),
    ("confirmed", "gain in confirmed if waived"),
    ("undetermined", "gain in possible if waived"),
)


def plot_impact(
    impact: pd.DataFrame,
    ax: Axes | None = None,
    *,
    sort: str = "shapley",
    top: int | None = None,
    labels: str = "name",
    title: str | None = None,
) -> Axes:
    """Draw what each criterion costs (left) and what waiving it alone would bring back (right).

    Left: patients failing it; the dark part is its Shapley share, in which a patient who fails k criteria counts 1/k
    for each, so that the shares add up to everybody excluded. Right: patients gained if only this criterion were
    waived, as confirmed and as possible. The two sides have their own scales, hence the numbers.

    ``sort`` is "shapley", "gain", "failing" or "protocol"; ``top`` keeps the first so many rows.
    The returned Axes holds the two panels as ``ax.child_axes``.
    """
    table = layout.need(impact, (*COLUMNS, labels), "plot_impact")
    if sort not in SORTS:
        raise FeasibilityError(f"plot_impact: cannot sort by {sort!r}.{did_you_mean(sort, SORTS)}")
    if SORTS[sort]:
        table = table.sort_values(SORTS[sort], ascending=False, kind="stable")
    table = table.head(top) if top else table
    rows = layout.stack(
        attrition.criterion_rows(table, labels=labels, headings=sort == "protocol", width=150), pitch=20.0
    )
    if title is None:
        title = _title(table)
    host = attrition.start(ax, rows, title=title, key=KEY, right=_COLUMNS, heads=26)
    host.set_xlim(0, 1)

    # Two panels side by side; the number columns of the left one stand in the gap between them.
    gap = (_COLUMNS + 14) / layout.points_wide(host)
    half = (1 - gap) / 2
    left = layout.bare(host.inset_axes([0.0, 0.0, half, 1.0]), rows.height)
    right = layout.bare(host.inset_axes([half + gap, 0.0, half, 1.0]), rows.height)
    left.set_xlim(0, max(float(table["n_failing"].max()), 1.0) * 1.01)
    right.set_xlim(0, max(float(table["gain_possible"].max()), float(table["gain_confirmed"].max()), 1.0) * 1.01)
    layout.column_heads(left, [(46, "excluded\nby it", style.INK), (_COLUMNS, "share of\nthe loss", style.VERMILLION)])
    layout.column_heads(right, [(46, "confirmed\nif waived", style.BLUE), (_COLUMNS, "possible\nif waived", style.INK)])
    for row, y in rows.bars():
        record = table.loc[row.key]
        charged = float(record.shapley)
        layout.bars(left, y, [("shapley", charged), ("failing", max(float(record.n_failing) - charged, 0.0))])
        layout.bars(right, y - 3, [("confirmed", float(record.gain_confirmed))], height=5)
        layout.bars(right, y + 3, [("undetermined", float(record.gain_possible))], height=5)
        layout.note(left, style.count(record.n_failing), x=1, dx=46, y=y, ha="right")
        layout.note(
            left, style.count(style.whole_number(charged)), x=1, dx=_COLUMNS, y=y, ha="right", color=style.VERMILLION
        )
        layout.note(right, _plus(record.gain_confirmed), x=1, dx=46, y=y, ha="right", color=style.BLUE)
        layout.note(right, _plus(record.gain_possible), x=1, dx=_COLUMNS, y=y, ha="right")
    return host


def _plus(n) -> str:
    return f"+{style.count(n)}" if n else "0"


def _title(table: pd.DataFrame) -> str:
    best = table.sort_values(SORTS["gain"], ascending=False, kind="stable").iloc[0]
    if not best.gain_possible:
        return "Waiving any one criterion alone would bring no patient back"
    return (
        f"Waiving {best.name} alone ({style.title_case(best['name'])}) would bring back the most: "
        f"{style.count(best.gain_possible)} possible, {style.count(best.gain_confirmed)} confirmed"
    )
