"""Which reasons come together: the commonest combinations of failed criteria."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from feasibility.figures import layout, style

KEY = (
    ("shapley", "excluded by one criterion alone"),
    ("failing", "excluded by several together: waiving one would not bring them back"),
)


def plot_overlap(
    overlap: pd.DataFrame,
    ax: Axes | None = None,
    *,
    top: int = 15,
    names: Mapping[str, str] | pd.Series | None = None,
    total: int | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the commonest combinations of reasons: one column of dots each, its number of patients above.

    ``overlap`` has one row per combination: the index is a tuple of criterion ids, or a text of ids joined by "+", ","
    or "&"; column ``n`` counts the patients excluded for exactly these reasons. ``names`` maps ids to short names, in
    the order the criteria should stand in (``attrition["name"]`` fits). ``total`` is the number of patients excluded,
    to say how many the drawing covers. Both default to what ``overlaps()`` keeps in ``overlap.attrs``.
    The returned Axes holds the bars and the dots as ``ax.child_axes``.
    """
    table = layout.need(overlap, ("n",), "plot_overlap")
    combos = [(_ids(key), int(n)) for key, n in zip(table.index, table["n"], strict=True)]
    combos = sorted((c for c in combos if c[1] > 0), key=lambda c: -c[1])[:top]
    shown = {i for ids, _ in combos for i in ids}
    names = dict(overlap.attrs.get("names", {}) if names is None else names)
    total = overlap.attrs.get("total") if total is None else total
    order = [i for i in names if i in shown] + [
        i for i in dict.fromkeys(i for ids, _ in combos for i in ids) if i not in names
    ]
    rows = layout.stack(
        [layout.label_row(i, str(i), style.title_case(names.get(i, "")), width=170) for i in order], pitch=16
    )

    covered = sum(n for _, n in combos)
    whole = total if total is not None else int(table["n"].sum())
    if title is None:
        title = (
            f"The {len(combos)} commonest combinations of reasons cover {style.share(covered, whole)} "
            f"of the {style.count(whole)} patients excluded"
        )
    note = style.wrap("patients excluded for exactly these reasons", 62, size=style.SMALL)
    # Without names the labels are narrow; the note beside the bars still needs its room.
    left = max(rows.left, 72.0)
    lines = style.wrap(title, layout.WIDTH - 20, size=11, bold=True) if title else []
    bars_high, gap = 90.0, 8.0
    body = bars_high + gap + rows.height
    digits = max((style.text_width(style.count(n), size=style.SMALL) for _, n in combos), default=10)
    wide = layout.WIDTH - left - 12 if ax is None else layout.points_wide(ax)
    pitch = min(max(digits + 6, 20.0), wide / max(len(combos), 1))
    upright = digits + 6 > pitch  # numbers too wide for their column stand upright
    head = 10 + (digits if upright else style.SMALL)
    key_high = 8 + layout.key_lines(KEY) * (layout.LINE + 1)
    ax = layout.canvas(ax, body=body, left=left + 4, right=8, top=head + key_high + 8 + 15 * len(lines))
    layout.key(ax, KEY, left=left, up=head + key_high - 6)
    layout.headline(ax, "\n".join(lines), left=left, up=head + key_high + 4)
    ax.set_xlim(0, 1)

    across = pitch * len(combos) / layout.points_wide(ax)
    upper = layout.bare(ax.inset_axes([0, 1 - bars_high / body, across, bars_high / body]), bars_high)
    lower = layout.bare(ax.inset_axes([0, 0, across, rows.height / body]), rows.height)
    upper.set_ylim(0, max((n for _, n in combos), default=1))
    for panel in (upper, lower):
        panel.set_xlim(-0.5, len(combos) - 0.5)
    layout.labels(lower, rows)
    place = {row.key: y for row, y in rows.bars()}
    for i, (_, y) in enumerate(rows.bars()):
        if i % 2 == 0:
            lower.axhspan(y - 8, y + 8, color="#f3f5f7", linewidth=0, zorder=0)
    for x, (ids, n) in enumerate(combos):
        single = len(ids) == 1
        kwargs = style.look("shapley" if single else "failing")
        upper.bar(x, n, width=0.62, label="only reason" if single else "together", **kwargs)
        upper.annotate(
            style.count(n), (x, n), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom",
            rotation=90 if upright else 0, parse_math=False,
            fontproperties=style.font(size=style.SMALL), color=style.INK,
            annotation_clip=False,
        )  # fmt: skip
        ys = sorted(place[i] for i in ids)
        lower.scatter([x] * len(order), [place[i] for i in order], s=9, color=style.RULE, linewidth=0, zorder=1)
        lower.plot([x, x], [ys[0], ys[-1]], color=style.INK, linewidth=1.4, zorder=2)
        lower.scatter([x] * len(ys), ys, s=26, color=style.VERMILLION if single else style.INK, linewidth=0, zorder=3)
    ax.text(
        -left, -bars_high / 2, "\n".join(note),
        transform=layout.at(ax, 0, 1), va="center", parse_math=False,
        fontproperties=style.font(size=style.SMALL), color=style.MUTED,
    )  # fmt: skip
    return ax


def _ids(key) -> tuple[str, ...]:
    if isinstance(key, str):
        return tuple(part for part in re.split(r"\s*[+,&;]\s*", key) if part)
    return tuple(str(part) for part in key)
