"""The funnel side by side for several groups of patients, and who is lost along it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from feasibility.errors import FeasibilityError
from feasibility.figures import attrition as funnel
from feasibility.figures import layout, style


def plot_attrition_by(
    attrition_by: pd.DataFrame, ax: Axes | None = None, *, per_row: int = 4, title: str | None = None
) -> Axes:
    """Draw one small funnel per stratum (site, year, ...), each as a share of its own patients.

    ``attrition_by`` is an attrition table whose index has two levels: stratum, criterion. All strata have the same
    criteria in the same order. The number beside each bar is how many patients are still possible.
    The returned Axes holds the panels as ``ax.child_axes``, in the strata's order.
    """
    table = layout.need(attrition_by, ("kind", "name", "n_entering", "n_confirmed", "n_remaining"), "plot_attrition_by")
    if table.index.nlevels != 2:
        raise FeasibilityError("plot_attrition_by: the table's index needs two levels: stratum, criterion.")
    strata = list(dict.fromkeys(table.index.get_level_values(0)))
    funnels = {stratum: table.xs(stratum, level=0) for stratum in strata}
    first = funnels[strata[0]]
    rows = layout.stack(
        [layout.label_row(None, "", "All patients"), *funnel.criterion_rows(first, width=140)], pitch=15
    )

    per_row = min(per_row, len(strata))
    bands = math.ceil(len(strata) / per_row)
    head = 60.0
    band = rows.height + head
    body = bands * band
    if title is None:
        whole = sum(int(f.iloc[-1].n_remaining) for f in funnels.values())
        title = f"{style.count(whole)} possible patients, by {table.index.names[0] or 'group'}"
    ax = _board(ax, rows, body, title)
    wide = layout.points_wide(ax)
    number = 8 + max(style.text_width(style.count(f["n_entering"].max()), size=style.SMALL) for f in funnels.values())
    pitch = wide / per_row
    for i, stratum in enumerate(strata):
        across, down = i % per_row, i // per_row
        box = [
            across * pitch / wide,
            1 - (down * band + head + rows.height) / body,
            max(pitch - number - 10, 20) / wide,
            rows.height / body,
        ]
        panel = layout.bare(ax.inset_axes(box), rows.height)
        if across == 0:
            layout.labels(panel, rows)
        _panel(panel, funnels[stratum], rows, str(stratum), number, pitch)
    return ax


def _board(ax, rows, body, title):
    key = funnel.KEY[:2]
    lines = style.wrap(title, layout.WIDTH - 20, size=11, bold=True) if title else []
    top = 24 + len(lines) * 15 + 6
    ax = layout.canvas(ax, body=body, left=rows.left + 4, right=4, top=top)
    layout.key(ax, key, left=rows.left, up=10)
    layout.headline(ax, "\n".join(lines), left=rows.left, up=22)
    return ax


def _panel(panel: Axes, table: pd.DataFrame, rows: layout.Rows, name: str, number: float, pitch: float) -> None:
    whole = float(table.iloc[0].n_entering)
    scale = whole or 1.0
    panel.set_xlim(0, 1.01)
    place = layout.at(panel, 0, 1)
    name = "\n".join(style.wrap(name, pitch - 12, bold=True, lines=2))
    last = table.iloc[-1]
    shares = f"{style.share(last.n_remaining, whole)} possible\n{style.share(last.n_confirmed, whole)} confirmed"
    for up, text, font, color in (
        (25, name, style.font(bold=True), style.INK),
        (5, shares, style.font(size=6.5), style.MUTED),
    ):
        panel.text(
            0,
            up,
            text,
            transform=place,
            parse_math=False,
            fontproperties=font,
            color=color,
            va="bottom",
            linespacing=1.1,
        )
    for row, y in rows.bars():
        if row.key is None:
            layout.bars(panel, y, [("cohort", 1.0 if whole else 0.0)], height=8)
            remaining = whole
        else:
            record = table.loc[row.key]
            remaining = record.n_remaining
            known = float(record.n_confirmed) / scale
            layout.bars(panel, y, [("confirmed", known), ("undetermined", float(remaining) / scale - known)], height=8)
        layout.note(panel, style.count(remaining), x=1, dx=number, y=y, ha="right", size=style.SMALL)


def _wide(tidy: pd.DataFrame) -> pd.DataFrame:
    """Steps by variables; of two categories only one is shown, since they mirror each other."""
    columns = {}
    for variable, part in layout.need(tidy, ("smd_from_all",), "plot_demographics").groupby(level=1, sort=False):
        levels = list(dict.fromkeys(part.index.get_level_values(2)))
        for level in levels[:1] if len(levels) == 2 else levels:
            name = style.column_title(variable)
            name = name if level == "mean" else f"{name}: {level}"
            columns[name] = part.xs(level, level=2)["smd_from_all"].droplevel(1)
    steps = list(dict.fromkeys(tidy.index.get_level_values(0)))
    return pd.DataFrame(columns).reindex(steps)


def plot_demographics(
    demographics: pd.DataFrame,
    ax: Axes | None = None,
    *,
    limit: float = 0.1,
    names: dict | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how the patients left after each step differ from the whole table.

    ``demographics`` has one row per step of the funnel (in order) and one column per variable, holding the standardised
    difference between the patients left after that step and all patients: 0 means alike, beyond ±0.1 (``limit``) is
    usually called a difference. NaN where it cannot be computed. The tidy table of ``demographics()`` (index criterion,
    variable, level) is taken as well. ``names`` gives a short name for a step.
    """
    table = layout.need(demographics, (), "plot_demographics")
    if isinstance(table.index, pd.MultiIndex):
        table = _wide(table)
    table = table.astype(float)
    names = names or {}
    rows = layout.stack(
        [layout.label_row(key, str(key), style.title_case(names.get(key, "")), width=150) for key in table.index],
        pitch=14,
    )
    if title is None:
        final = table.iloc[-1].abs()
        far = [str(c) for c in table.columns[final > limit]]
        title = (
            f"Patients left at the end differ from all patients in: {', '.join(far)}"
            if far
            else "Patients left at the end resemble all patients"
        )
    lines = style.wrap(title, layout.WIDTH - 20, size=11, bold=True) if title else []
    ax = layout.canvas(ax, body=rows.height, left=rows.left + 4, right=8, top=52 + len(lines) * 15, bottom=34)
    layout.headline(ax, "\n".join(lines), left=rows.left, up=42)
    layout.labels(ax, rows)
    reach = max(float(np.nanmax(table.abs().to_numpy(), initial=0.0)), 2.5 * limit) * 1.1
    pitch = 1 / table.shape[1]
    inner = 0.86 * pitch
    wide = layout.points_wide(ax) * pitch
    for i, column in enumerate(table.columns):
        panel = layout.bare(ax.inset_axes([i * pitch, 0, inner, 1]), rows.height)
        panel.set_xlim(-reach, reach)
        panel.axvspan(-limit, limit, color="#eef1f4", linewidth=0)
        panel.axvline(0, color=style.MUTED, linewidth=0.6)
        values = table[column].to_numpy()
        ys = np.array([y for _, y in rows.bars()])
        panel.plot(values, ys, color=style.RULE, linewidth=1, zorder=1)
        far = np.abs(values) > limit
        panel.scatter(
            values[~far], ys[~far], s=14, facecolor=style.PAPER, edgecolor=style.BLUE, linewidth=0.9, zorder=2
        )
        panel.scatter(values[far], ys[far], s=18, color=style.VERMILLION, linewidth=0, zorder=2)
        head = style.wrap(str(column), wide * 0.92, bold=True, lines=2)
        panel.text(
            0, 6, "\n".join(head), transform=layout.at(panel, 0.5, 1), ha="center", va="bottom", color=style.INK,
            parse_math=False, fontproperties=style.font(bold=True), linespacing=1.1,
        )  # fmt: skip
        for value, text in ((-limit, f"−{limit:g}"), (limit, f"+{limit:g}")):
            panel.annotate(
                text, (value, rows.height), xytext=(0, -4), textcoords="offset points", annotation_clip=False, va="top",
                ha="right" if value < 0 else "left", parse_math=False,
                fontproperties=style.font(size=6.5), color=style.MUTED,
            )  # fmt: skip
    ax.text(
        0, -22, f"standardised difference from all patients; grey band: within ±{limit:g}, usually called alike",
        transform=layout.at(ax, 0, 0), parse_math=False,
        fontproperties=style.font(size=style.SMALL), color=style.MUTED, va="center",
    )  # fmt: skip
    return ax
