"""The flow diagram that papers and protocols use: boxes for who goes on, side boxes for who does not and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from feasibility.figures import layout, style
from feasibility.figures.attrition import COLUMNS

_WIDTH = layout.WIDTH - 12
_MAIN = 210.0
_SIDE_X = 240.0
_SIDE = _WIDTH - _SIDE_X
_LEAD = 12.0
_PAD = 7.0
_MARK = 26.0


@dataclass(frozen=True)
class Line:
    """One line of a box: a clause at the left, a text, a number at the right."""

    text: str
    bold: bool = False
    clause: str = ""
    number: str = ""
    indent: float = 0.0


@dataclass(frozen=True)
class Box:
    """A box in points from the top left corner of the diagram."""

    x: float
    y: float
    width: float
    lines: tuple[Line, ...]
    face: str = style.PAPER
    edge: str = style.INK

    @property
    def bottom(self) -> float:
        return self.y + len(self.lines) * _LEAD + 2 * _PAD

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def clause_of(criterion: str) -> str:
    """The clause a criterion belongs to: the part of its id before the first point.

    >>> clause_of("E3.2"), clause_of("I4")
    ('E3', 'I4')
    """
    return str(criterion).split(".")[0]


def plot_flow(
    attrition: pd.DataFrame,
    ax: Axes | None = None,
    *,
    clause_names: Mapping[str, str] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a CONSORT-style flow: all patients, those excluded with reasons by clause, and who is left.

    Each patient is counted once, at the first criterion that excludes them, so the reasons add up to the patients
    excluded. Nobody is excluded because something is unknown: those patients go on, and the last two boxes tell them
    apart. ``clause_names`` gives a short name per clause; without it the criteria's names are listed.
    """
    table = layout.need(attrition, COLUMNS, "plot_flow")
    first, last = table.iloc[0], table.iloc[-1]
    boxes = [Box(0, 0, _MAIN, _people("All patients in the table", first.n_entering))]
    sides = []
    for _, block in table.groupby((table["kind"] != table["kind"].shift()).cumsum(), sort=False):
        side = Box(
            _SIDE_X, boxes[-1].bottom + 14, _SIDE, _reasons(block, clause_names or {}), face="#fdf6f1", edge="#d58a55"
        )
        end = block.iloc[-1]
        left = _people(f"Left after the {end.kind} criteria", end.n_remaining, end.n_confirmed, end.n_undetermined)
        sides.append(side)
        boxes.append(Box(0, side.bottom + 14, _MAIN, left))
    y = boxes[-1].bottom + 34
    unknown = "nothing against, something unknown; with the confirmed they make up the possible patients"
    finals = [
        Box(
            0,
            y,
            _MAIN,
            _final("Confirmed", last.n_confirmed, "everything known, nothing against", _MAIN),
            "#e9f1f7",
            style.BLUE,
        ),
        Box(_SIDE_X, y, _SIDE, _final("Undetermined", last.n_undetermined, unknown, _SIDE), style.PAPER, "#3f87b5"),
    ]
    if title is None:
        title = (
            f"Of {style.count(first.n_entering)} patients, {style.count(last.n_remaining)} are possible, "
            f"{style.count(last.n_confirmed)} of them confirmed"
        )
    heading = style.wrap(title, _WIDTH - 12, size=11, bold=True) if title else []
    body = max(box.bottom for box in finals) + 4
    ax = layout.canvas(ax, body=body, left=6, right=6, top=12 + 16 * len(heading), bottom=8)
    ax.set_xlim(0, _WIDTH)
    layout.headline(ax, "\n".join(heading), left=0, up=8)
    for box in (*boxes, *sides, *finals):
        _draw(ax, box)
    for above, below in zip(boxes, boxes[1:], strict=False):
        _arrow(ax, (above.middle, above.bottom), (below.middle, below.y))
    for side in sides:
        _arrow(ax, (boxes[0].middle, side.y + 14), (side.x, side.y + 14))
    fork = finals[0].y - 17
    ax.plot([finals[0].middle, finals[1].middle], [fork, fork], color=style.INK, linewidth=0.9)
    _arrow(ax, (boxes[-1].middle, boxes[-1].bottom), (finals[0].middle, finals[0].y))
    _arrow(ax, (finals[1].middle, fork), (finals[1].middle, finals[1].y))
    return ax


def _wrapped(text: str, width: float) -> list[Line]:
    return [Line(line) for line in style.wrap(text, width - 2 * _PAD)]


def _people(text: str, n, confirmed=None, undetermined=None) -> tuple[Line, ...]:
    lines = [*_wrapped(text, _MAIN), Line(f"n = {style.count(n)}", bold=True)]
    if confirmed is not None:
        lines += [Line(f"{style.count(confirmed)} confirmed so far"), Line(f"{style.count(undetermined)} undetermined")]
    return tuple(lines)


def _final(text: str, n, why: str, width: float) -> tuple[Line, ...]:
    return (Line(text), Line(f"n = {style.count(n)}", bold=True), *_wrapped(why, width))


def _reasons(block: pd.DataFrame, clause_names: Mapping[str, str]) -> tuple[Line, ...]:
    kind = block["kind"].iloc[0]
    verb = "an inclusion criterion is not met" if kind == "inclusion" else "an exclusion criterion applies"
    lines = [*_wrapped(f"Excluded: {verb}", _SIDE), Line(f"n = {style.count(block['n_excluded'].sum())}", bold=True)]
    for clause, part in block.groupby([clause_of(i) for i in block.index], sort=False):
        number = style.count(part["n_excluded"].sum())
        room = _SIDE - 2 * _PAD - _MARK - style.text_width(number, bold=True) - 10
        first, *rest = style.wrap(_clause_text(clause, part, clause_names), room)
        lines.append(Line(first, clause=clause, number=number, indent=_MARK))
        lines += [Line(line, indent=_MARK) for line in rest]
    return tuple(lines)


def _clause_text(clause: str, part: pd.DataFrame, clause_names: Mapping[str, str]) -> str:
    if clause in clause_names:
        return str(clause_names[clause])
    if len(part) == 1:
        return style.title_case(part["name"].iloc[0])
    # A no-break space keeps each number with its reason; reasons nobody fell to are left out where others are given.
    named = list(zip(map(style.title_case, part["name"]), part["n_excluded"], strict=True))
    return ", ".join(f"{name}\u00a0{style.count(n)}" for name, n in named if n) or ", ".join(name for name, _ in named)


def _draw(ax: Axes, box: Box) -> None:
    ax.add_patch(
        Rectangle((box.x, box.y), box.width, box.bottom - box.y, facecolor=box.face, edgecolor=box.edge, linewidth=0.9,
                  clip_on=False)
    )  # fmt: skip
    for i, line in enumerate(box.lines):
        y = box.y + _PAD + (i + 0.5) * _LEAD + 0.36 * style.SIZE
        pieces = (
            (box.x + _PAD, line.clause, "left", True),
            (box.x + _PAD + line.indent, line.text, "left", line.bold),
            (box.x + box.width - _PAD, line.number, "right", True),
        )
        for x, text, ha, bold in pieces:
            if text:
                ax.text(
                    x,
                    y,
                    text,
                    ha=ha,
                    va="baseline",
                    color=style.INK,
                    parse_math=False,
                    fontproperties=style.font(bold=bold),
                )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=style.INK, linewidth=0.9, shrinkA=0,
                        shrinkB=0)
    )  # fmt: skip
