"""Where things stand on a figure: everything is measured in points, so that nothing overlaps whatever its length.

A figure is a list of rows under a heading. Rows take the height their labels need, the figure takes the height of its
rows, and columns of numbers stand to the right of the bars, aligned, instead of inside bars too short to hold them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib import transforms
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures import style

WIDTH = 540.0
LINE = 11.5
GAP = 6.0

# Height of a line of text over its font size in matplotlib, before line spacing.
_LINE_FACTOR = 1.16


class PictureAxes(Axes):
    """Axes that a notebook shows as a picture, although its figure is unknown to pyplot."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=144, facecolor=style.PAPER)
        return buffer.getvalue()


@dataclass(frozen=True)
class Row:
    """One row: its index in the table (None for a heading), an id and a wrapped text."""

    key: object
    mark: str
    lines: tuple[str, ...]
    heading: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows with the y of their middles and their heights, in points below the top."""

    rows: tuple[Row, ...]
    middles: tuple[float, ...]
    height: float
    mark_width: float
    text_width: float

    @property
    def left(self) -> float:
        """Room the labels need left of the bars."""
        return self.mark_width + self.text_width + 2 * GAP

    def bars(self) -> list[tuple[Row, float]]:
        """The rows that carry a bar, with their y."""
        return [(row, y) for row, y in zip(self.rows, self.middles, strict=True) if not row.heading]


def need(table, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The table, if it has the columns a figure needs."""
    if not isinstance(table, pd.DataFrame):
        raise FeasibilityError(f"{what}: a table (DataFrame) is needed, got {type(table).__name__}.")
    for column in columns:
        if column not in table.columns:
            raise FeasibilityError(
                f"{what}: the table has no column {column!r}.{did_you_mean(column, map(str, table.columns))}"
            )
    if len(table) == 0:
        raise FeasibilityError(f"{what}: the table has no rows, so there is nothing to draw.")
    return table


def label_row(key, mark: str, text: str, *, width: float = 170, lines: int = 3) -> Row:
    """A row with an id and a text wrapped to ``width`` points."""
    return Row(key, mark, tuple(style.wrap(text, width, lines=lines)))


def heading_row(text: str) -> Row:
    """A row with a small heading and no bar."""
    return Row(None, "", (text,), heading=True)


def stack(rows: Sequence[Row], *, pitch: float = 17.0) -> Rows:
    """Place rows under each other, each as high as its label needs."""
    middles, y = [], 0.0
    for i, row in enumerate(rows):
        height = max(pitch, len(row.lines) * LINE + 5)
        if row.heading and i:
            y += 5
        middles.append(y + height / 2)
        y += height
    bars = [r for r in rows if not r.heading]
    mark = max((style.text_width(r.mark, bold=True) for r in bars), default=0)
    text = max((style.text_width(line) for r in bars for line in r.lines), default=0)
    heads = max((style.text_width(r.lines[0], bold=True) for r in rows if r.heading), default=0)
    return Rows(tuple(rows), tuple(middles), y, mark, max(text, heads - mark))


def canvas(ax: Axes | None, *, body: float, left: float, right: float, top: float, bottom: float = 14) -> Axes:
    """An empty Axes whose y axis counts points downwards; on a figure of its own unless ``ax`` is given."""
    if ax is None:
        width = max(WIDTH, left + right + 160)
        height = body + top + bottom
        figure = Figure(figsize=(width / 72, height / 72), dpi=100, facecolor=style.PAPER)
        FigureCanvasAgg(figure)
        box = (left / width, bottom / height, (width - left - right) / width, body / height)
        ax = figure.add_axes(box, axes_class=PictureAxes)
    return bare(ax, body)


def bare(ax: Axes, body: float) -> Axes:
    """Remove frame and ticks: rows carry their own labels and numbers."""
    ax.set_ylim(body, 0)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_facecolor("none")
    return ax


def points_wide(ax: Axes) -> float:
    """Width of the Axes in points."""
    return ax.get_window_extent().width / ax.get_figure().dpi * 72


def at(ax: Axes, fx: float, fy: float) -> transforms.Transform:
    """A transform that counts points right and up from a place given as a fraction of the Axes."""
    return (
        transforms.Affine2D().scale(1 / 72)
        + ax.get_figure().dpi_scale_trans
        + transforms.ScaledTranslation(fx, fy, ax.transAxes)
    )


def note(
    ax: Axes,
    text: str,
    *,
    x: float,
    y: float,
    dx: float = 0,
    size: float = style.SIZE,
    bold: bool = False,
    color: str = style.INK,
    ha: str = "left",
):
    """A text at a fraction ``x`` of the Axes' width plus ``dx`` points, its lines centred on row height ``y``."""
    # Centred by baselines, not by ink, so that "age" and "Lab" stand on one line with their numbers.
    lines = text.count("\n")
    dy = -lines * size * 1.15 * _LINE_FACTOR / 2 - 0.36 * size
    return ax.annotate(
        text,
        xy=(x, y),
        xycoords=("axes fraction", "data"),
        xytext=(dx, dy),
        textcoords="offset points",
        ha=ha,
        va="baseline",
        color=color,
        parse_math=False,
        fontproperties=style.font(size=size, bold=bold),
        annotation_clip=False,
        linespacing=1.15,
    )


def labels(ax: Axes, rows: Rows) -> None:
    """Write ids and texts left of the bars."""
    for row, y in zip(rows.rows, rows.middles, strict=True):
        if row.heading:
            note(ax, row.lines[0], x=0, y=y, dx=-rows.left, size=style.SMALL, bold=True, color=style.MUTED)
            continue
        if row.mark:
            note(ax, row.mark, x=0, y=y, dx=-rows.left, bold=True)
        if any(row.lines):
            offset = rows.mark_width + GAP if rows.mark_width else 0
            note(ax, "\n".join(row.lines), x=0, y=y, dx=-rows.left + offset)


def headline(ax: Axes, text: str, *, left: float, up: float) -> None:
    """The figure's message, above everything, flush with the labels."""
    if text:
        ax.text(
            -left,
            up,
            text,
            transform=at(ax, 0, 1),
            ha="left",
            va="bottom",
            color=style.INK,
            clip_on=False,
            parse_math=False,
            fontproperties=style.font(size=11, bold=True),
            linespacing=1.2,
        )


def key(ax: Axes, entries: Sequence[tuple[str | dict, str]], *, left: float, up: float, width: float = WIDTH) -> int:
    """Say what each look means, in a line above the bars (more lines if needed); returns how many lines."""
    x, line = 0.0, 0
    place = at(ax, 0, 1)
    for name, text in entries:
        kwargs = style.look(name) if isinstance(name, str) else {"linewidth": 0.6, **name}
        size = 11 + 4 + style.text_width(text, size=style.SMALL) + 14
        if x and x + size > width:
            x, line = 0.0, line + 1
        y = up - line * (LINE + 1)
        swatch = Rectangle((x - left, y - 3.5), 11, 7, transform=place, clip_on=False, **kwargs)
        ax.add_artist(swatch)
        style.soften([swatch])
        ax.text(
            x - left + 15,
            y,
            text,
            transform=place,
            ha="left",
            va="center",
            color=style.MUTED,
            clip_on=False,
            parse_math=False,
            fontproperties=style.font(size=style.SMALL),
        )
        x += size
    return line + 1


def key_lines(entries: Sequence[tuple[str | dict, str]], width: float = WIDTH) -> int:
    """How many lines ``key`` will take."""
    x, line = 0.0, 0
    for _, text in entries:
        size = 29 + style.text_width(text, size=style.SMALL)
        if x and x + size > width:
            x, line = 0.0, line + 1
        x += size
    return line + 1


def column_heads(ax: Axes, heads: Sequence[tuple[float, str, str]], *, x: float = 1.0, up: float = 5) -> None:
    """Headings of number columns: right edge in points from the Axes' right side, text, colour."""
    for dx, text, color in heads:
        ax.text(
            dx,
            up,
            text,
            transform=at(ax, x, 1),
            ha="right",
            ma="right",
            va="bottom",
            color=color,
            clip_on=False,
            parse_math=False,
            fontproperties=style.font(size=style.SMALL, bold=True),
            linespacing=1.1,
        )


def bars(ax: Axes, y: float, segments: Sequence[tuple[str | dict, float]], *, height: float = 9.5, left: float = 0.0):
    """One row's bar, made of segments end to end; each segment is (look, length)."""
    made = []
    for name, length in segments:
        kwargs = style.look(name) if isinstance(name, str) else {"linewidth": 0.6, **name}
        if not length:
            kwargs["linewidth"] = 0  # the outline of an empty bar would show as a hair
        container = ax.barh(
            y, length, left=left, height=height, label=name if isinstance(name, str) else None, **kwargs
        )
        style.soften(container.patches)
        made.append(container)
        left += length
    return made
