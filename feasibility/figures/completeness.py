"""How much of the table is known: by column, and by clause of the protocol."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from feasibility.figures import attrition, layout, style

NOT_ASKED = "not applicable"


def plot_completeness(
    completeness: pd.DataFrame, ax: Axes | None = None, *, sort: bool = False, title: str | None = None
) -> Axes:
    """Draw for each column of the patient table how many values are known, and why the others are not.

    ``completeness`` has one row per column of the patient table, a count ``known``, and one column of counts per reason
    a value is unknown ("not recorded", "too old", "out of range", ...). Patients in a column "not applicable" are drawn
    apart and are no part of the share known. ``sort=True`` puts the emptiest column first.
    """
    table = layout.need(completeness, ("known",), "plot_completeness").fillna(0)
    every = [c for c in table.columns if c not in ("known", NOT_ASKED)]
    reasons = [c for c in every if table[c].sum() > 0]
    looks = {reason: {"linewidth": 0.6, **look} for reason, look in style.reason_looks(every).items()}
    total = table[["known", *reasons]].sum(axis=1)
    if NOT_ASKED in table and table[NOT_ASKED].sum() > 0:
        looks[NOT_ASKED] = {"linewidth": 0.6, "facecolor": "#ffffff", "edgecolor": style.RULE}
        reasons.append(NOT_ASKED)
    if sort:
        order = (table["known"] / total.where(total > 0)).sort_values(kind="stable").index
        table, total = table.loc[order], total.loc[order]
    drawn = table[["known", *reasons]].sum(axis=1)
    rows = layout.stack([layout.label_row(key, "", str(key), width=190) for key in table.index], pitch=15.0)
    if title is None:
        full = int((table["known"] == total).sum())
        title = f"{style.count(full)} of {style.count(len(table))} columns are known for every patient"
    key = [("known", "known"), *((looks[r], str(r)) for r in reasons)]
    heads = [(44, "known", style.BLUE), (100, "unknown", style.INK)]
    ax = attrition.start(ax, rows, title=title, key=key, right=heads[-1][0])
    layout.column_heads(ax, heads)
    ax.set_xlim(0, 1.004)
    for row, y in rows.bars():
        record, whole = table.loc[row.key], float(total.loc[row.key])
        scale = float(drawn.loc[row.key]) or 1.0
        segments = [("known", record["known"] / scale), *((looks[r], record[r] / scale) for r in reasons)]
        for container, name in zip(layout.bars(ax, y, segments, height=9), ["known", *reasons], strict=True):
            container.set_label(str(name))
        unknown = whole - record["known"]
        layout.note(ax, style.share(record["known"], whole), x=1, dx=heads[0][0], y=y, ha="right", color=style.BLUE)
        layout.note(ax, style.count(unknown), x=1, dx=heads[1][0], y=y, ha="right")
    return ax


SAYS = {"yes": "yes", "partly": "partly", "no": "no"}

_ASSESSABILITY_KEY = (
    ("known", "decided by the data"),
    ("unknown", "unknown for these patients"),
    ("not assessable", "a patient table cannot tell"),
)


def plot_assessability(matrix: pd.DataFrame, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw every clause of the protocol with what the data can say about it.

    ``matrix`` has one row per clause: ``kind``, ``name`` (a short label or the clause's text), ``assessable`` ("yes",
    "partly" or "no"), ``n_known`` and ``n_unknown`` (patients; both 0 where ``assessable`` is "no").
    """
    table = layout.need(matrix, ("kind", "name", "assessable", "n_known", "n_unknown"), "plot_assessability")
    rows = layout.stack(attrition.criterion_rows(table, width=210))
    if title is None:
        says = table["assessable"].value_counts()
        title = (
            f"Of {len(table)} clauses the data can assess {says.get('yes', 0)} in full, "
            f"{says.get('partly', 0)} in part and {says.get('no', 0)} not at all"
        )
    heads = [(46, "assessable", style.INK), (96, "unknown", style.INK)]
    ax = attrition.start(ax, rows, title=title, key=_ASSESSABILITY_KEY, right=heads[-1][0])
    layout.column_heads(ax, heads)
    ax.set_xlim(0, 1.004)
    for row, y in rows.bars():
        record = table.loc[row.key]
        says = str(record.assessable)
        if says == "no":
            layout.bars(ax, y, [("not assessable", 1.0)])
            unknown = "–"
        else:
            whole = float(record.n_known + record.n_unknown)
            known = float(record.n_known) / (whole or 1.0)
            layout.bars(ax, y, [("known", known), ("unknown", 1 - known if whole else 0.0)])
            unknown = style.share(record.n_unknown, whole)
        layout.note(ax, SAYS.get(says, says), x=1, dx=heads[0][0], y=y, ha="right", bold=says == "no")
        layout.note(ax, unknown, x=1, dx=heads[1][0], y=y, ha="right")
    return ax
