"""The figures of the report, labelled in its language, from the protected numbers of a document."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from feasibility.errors import FeasibilityError
from feasibility.figures import attrition, flow, layout, style
from feasibility.figures.curve import _framed, _label
from feasibility.figures.enrollment import BAND_80, BAND_95, DASHES
from feasibility.sponsor import views
from feasibility.sponsor.document import Count, SponsorDocument
from feasibility.sponsor.tables import known_share

PANEL = (112.0, 66.0)
ACROSS = 4
DPI = 200


def answer(document: SponsorDocument) -> Axes:
    """Confirmed and undetermined patients, as written and with each changed protocol."""
    p = document.words.plain
    bars = [(p("picture.as_written"), document.n_confirmed, document.n_possible)]
    bars += [(one.name, one.confirmed, one.possible) for one in views.scenarios(document)]
    rows = layout.stack([layout.label_row(i, "", name, width=190) for i, (name, _, _) in enumerate(bars)])
    bounds = all(confirmed is not None for _, confirmed, _ in bars)
    heads = [(58, p("picture.confirmed"), style.BLUE)] if bounds else []
    heads.append((120 if bounds else 58, p("picture.possible"), style.INK))
    key = (("confirmed", p("picture.confirmed")), ("undetermined", p("picture.undetermined")))
    ax = attrition.start(None, rows, title="", key=key if bounds else (), right=heads[-1][0])
    layout.column_heads(ax, heads)
    ax.set_xlim(0, max(max(b[2].drawn for b in bars), 1) * 1.004)
    for (_, confirmed, possible), (_, y) in zip(bars, rows.bars(), strict=True):
        sure = min(confirmed.drawn, possible.drawn) if bounds else 0
        parts = [("confirmed", sure)] if bounds else []
        layout.bars(ax, y, [*parts, ("undetermined", possible.drawn - sure)])
        if bounds:
            layout.note(ax, str(confirmed), x=1, dx=58, y=y, ha="right", color=style.BLUE)
        layout.note(ax, str(possible), x=1, dx=heads[-1][0], y=y, ha="right", bold=True)
    return ax


def flow_diagram(document: SponsorDocument) -> Axes:
    """The flow diagram papers use: boxes for who goes on, side boxes for who does not and why."""
    p, funnel = document.words.plain, views.funnel(document)
    box = flow.Box
    boxes = [box(0, 0, flow._MAIN, _people(document, p("picture.all"), document.n_patients))]
    sides = []
    for kind, steps in _blocks(funnel):
        lines = _reasons(document, kind, steps)
        side = box(flow._SIDE_X, boxes[-1].bottom + 14, flow._SIDE, lines, face="#fdf6f1", edge="#d58a55")
        sides.append(side)
        left = _people(document, p(f"picture.left_{kind}"), steps[-1].remaining)
        boxes.append(box(0, side.bottom + 14, flow._MAIN, left))
    y = boxes[-1].bottom + 34
    if document.n_confirmed is None:
        finals = []
    else:
        finals = [
            box(0, y, flow._MAIN, _final(document, "confirmed", document.n_confirmed, flow._MAIN), "#e9f1f7",
                style.BLUE),
            box(flow._SIDE_X, y, flow._SIDE, _final(document, "undetermined", document.n_undetermined, flow._SIDE),
                style.PAPER, "#3f87b5"),
        ]  # fmt: skip
    body = max(one.bottom for one in (*boxes, *finals)) + 4
    ax = layout.canvas(None, body=body, left=6, right=6, top=8, bottom=8)
    ax.set_xlim(0, flow._WIDTH)
    for one in (*boxes, *sides, *finals):
        flow._draw(ax, one)
    for above, below in zip(boxes, boxes[1:], strict=False):
        flow._arrow(ax, (above.middle, above.bottom), (below.middle, below.y))
    for side in sides:
        flow._arrow(ax, (boxes[0].middle, side.y + 14), (side.x, side.y + 14))
    if finals:
        fork = finals[0].y - 17
        ax.plot([finals[0].middle, finals[1].middle], [fork, fork], color=style.INK, linewidth=0.9)
        flow._arrow(ax, (boxes[-1].middle, boxes[-1].bottom), (finals[0].middle, finals[0].y))
        flow._arrow(ax, (finals[1].middle, fork), (finals[1].middle, finals[1].y))
    return ax


def _blocks(steps):
    """Runs of criteria of one kind."""
    start = 0
    for i in range(1, len(steps) + 1):
        if i == len(steps) or steps[i].kind != steps[start].kind:
            yield steps[start].kind, steps[start:i]
            start = i


def _people(document, text: str, n: Count) -> tuple:
    lines = flow._wrapped(text, flow._MAIN)
    return (*lines, flow.Line(document.words.plain("picture.n", n=n), bold=True))


def _final(document, key: str, n: Count, width: float) -> tuple:
    p = document.words.plain
    head = flow.Line(p(f"picture.{key}_box"))
    return (head, flow.Line(p("picture.n", n=n), bold=True), *flow._wrapped(p(f"picture.{key}_why"), width))


def _reasons(document, kind: str, steps) -> tuple:
    p, words = document.words.plain, document.words
    total = document.count(sum(s.excluded.value for s in steps))
    lines = [*flow._wrapped(p(f"picture.excluded_{kind}"), flow._SIDE), flow.Line(p("picture.n", n=total), bold=True)]
    clauses: dict[str, list] = {}
    for step in steps:
        clauses.setdefault(step.criterion.clause, []).append(step)
    for clause, mine in clauses.items():
        number = str(document.count(sum(s.excluded.value for s in mine)))
        name = words.clause(clause) or words.plain("word.comma").join(words.name(s.criterion) for s in mine)
        room = flow._SIDE - 2 * flow._PAD - flow._MARK - style.text_width(number, bold=True) - 10
        first, *rest = style.wrap(name, room)
        lines.append(flow.Line(first, clause=clause, number=number, indent=flow._MARK))
        lines += [flow.Line(line, indent=flow._MARK) for line in rest]
    return tuple(lines)


def known(document: SponsorDocument) -> Axes:
    """Share of patients for whom each criterion can be decided."""
    words, whole = document.words, document.n_patients
    costs = [c for c in views.costs(document).values() if c.unknown is not None]
    rows = layout.stack([layout.label_row(c.id, c.id, words.name(c.criterion), width=190) for c in costs], pitch=14.0)
    key = (("known", words.plain("picture.known")), ("unknown", words.plain("picture.unknown")))
    ax = attrition.start(None, rows, title="", key=key, right=46)
    ax.set_xlim(0, max(whole.drawn, 1) * 1.004)
    for c, (_, y) in zip(costs, rows.bars(), strict=True):
        unknown = min(c.unknown.drawn, whole.drawn)
        layout.bars(ax, y, [("known", whole.drawn - unknown), ("unknown", unknown)])
        layout.note(ax, known_share(c.unknown, whole), x=1, dx=46, y=y, ha="right")
    return ax


def thresholds(document: SponsorDocument) -> Axes:
    """Every threshold's few points, small, on one scale of patients."""
    words, curves = document.words, views.curves(document)
    across = min(ACROSS, len(curves))
    down = -(-len(curves) // across)
    names = {n: style.wrap(str(views.setting_name(document, n)).strip("`"), PANEL[0] - 2, size=style.SMALL, bold=True)
             for n in curves}  # fmt: skip
    lines = max(len(x) for x in names.values())
    width, height = PANEL[0] + 26, PANEL[1] + 36 + 9.5 * lines
    own = {"facecolor": style.VERMILLION, "edgecolor": style.VERMILLION}
    key = [("undetermined", words.plain("picture.undetermined")), (own, words.plain("picture.protocol"))]
    if document.n_confirmed is not None:
        key.insert(0, ("confirmed", words.plain("picture.confirmed")))
    host = _framed(None, "", height=down * height, left=6, right=6, bottom=4, width=across * width, key=key)
    layout.bare(host, 1.0)
    most = max([1, *(document.count(n).drawn for c in curves.values() for n in c.n_possible)])
    for i, (name, curve) in enumerate(curves.items()):
        row, column = divmod(i, across)
        place = [(column + 24 / width) / across, 1 - (row + 1 - 26 / height) / down, PANEL[0] * 0.94 / width / across,
                 PANEL[1] / height / down]  # fmt: skip
        _panel(document, host.inset_axes(place), names[name], curve, most, first=column == 0)
    return host


def _panel(document, ax: Axes, title: list[str], curve, most: float, *, first: bool) -> None:
    x = curve.index.to_numpy(dtype=float)
    possible = np.array([document.count(n).drawn for n in curve.n_possible], dtype=float)
    at = np.arange(len(x), dtype=float)
    style.soften(ax.bar(at, possible, width=0.62, label="possible", **style.look("undetermined")).patches)
    if document.n_confirmed is not None:
        confirmed = [document.count(n).drawn for n in curve.n_confirmed]
        ax.bar(at, confirmed, width=0.62, label="confirmed", **style.look("confirmed"))
    own = int(np.flatnonzero(x == float(curve.attrs["protocol"]))[0])
    ax.axvline(at[own], color=style.VERMILLION, linewidth=1.1, zorder=4, label="protocol", linestyle=(0, (3, 1.5)))
    ax.set_xlim(-0.6, max(len(x), 3) - 0.4)
    ax.set_ylim(0, most * 1.08)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(style.MUTED)
        ax.spines[side].set_linewidth(0.6)
    unit = views.quantity(document, 2.0, curve.attrs["unit"]).replace("2", "", 1).strip()
    small = style.font(size=style.SMALL)
    ticks = [document.words.number(v) for v in x]
    crowded = sum(style.text_width(t, size=style.SMALL) + 6 for t in ticks) > 0.94 * PANEL[0]
    ax.set_xticks(at, ticks, fontproperties=style.font(size=style.SMALL - 1.5) if crowded else small)
    ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: style.count(v)))
    ax.tick_params(length=2, width=0.6, color=style.MUTED, labelcolor=style.INK, labelleft=first)
    for text in ax.get_yticklabels():
        text.set_fontproperties(small)
    ax.set_xlabel(unit, fontproperties=small, color=style.MUTED, labelpad=1, parse_math=False)
    ax.set_title("\n".join(title), loc="left", x=-0.02, pad=4, fontproperties=style.font(size=style.SMALL, bold=True),
                 color=style.INK, parse_math=False)  # fmt: skip


def fan(document: SponsorDocument) -> Axes:
    """Patients over the months of the forecast: median, bands and target."""
    from feasibility.sponsor.sentences import Sentences

    p, goal = document.words.plain, Sentences(document).goal()
    table, target = document.forecast.fan(), document.forecast.plan.target
    x = table.index.to_numpy(dtype=float)
    line = {"facecolor": style.INK, "edgecolor": style.INK}
    key = ((line, p("picture.median")), (BAND_80, p("picture.band_80")), (BAND_95, p("picture.band_95")))
    ax = _framed(None, "", height=190.0, key=key)
    for low, high, look in (("low_95", "high_95", BAND_95), ("low_80", "high_80", BAND_80)):
        ax.fill_between(x, table[low], table[high], step="post", linewidth=0.7, **look)
    ax.plot(x, table["median"], color=style.INK, linewidth=1.6, drawstyle="steps-post", label="median")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(0, max(float(table["high_95"].max()), float(target)) * 1.08)
    ax.axhline(target, color=style.VERMILLION, linewidth=1.2, linestyle=DASHES[1], label="target", zorder=4)
    ax.annotate(p("picture.target", n=target), xy=(x[0], target), xytext=(5, 3), textcoords="offset points",
                color=style.VERMILLION, va="bottom", zorder=6, parse_math=False,
                fontproperties=style.font(size=style.SMALL, bold=True))  # fmt: skip
    _label(ax, p("picture.months"), p("picture.patients_goal", goal=goal))
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1.2, 2.4, 6, 10], integer=True))
    return ax


def arrivals(document: SponsorDocument) -> Axes:
    """Newly confirmed and newly possible patients per period."""
    p, rows = document.words.plain, views.arrivals(document)
    places = layout.stack([layout.label_row(i, "", when, width=120) for i, (when, *_) in enumerate(rows)])
    heads = [(58, p("picture.confirmed"), style.BLUE), (120, p("picture.possible"), style.INK)]
    key = (("confirmed", p("picture.confirmed")), ("undetermined", p("picture.undetermined")))
    ax = attrition.start(None, places, title="", key=key, right=120)
    layout.column_heads(ax, heads)
    ax.set_xlim(0, max(max(most.drawn for *_, most in rows), 1) * 1.004)
    for (_, sure, most), (_, y) in zip(rows, places.bars(), strict=True):
        inner = min(sure.drawn, most.drawn)
        layout.bars(ax, y, [("confirmed", inner), ("undetermined", most.drawn - inner)])
        layout.note(ax, str(sure), x=1, dx=58, y=y, ha="right", color=style.BLUE)
        layout.note(ax, str(most), x=1, dx=120, y=y, ha="right", bold=True)
    return ax


PICTURES: dict[str, Callable[[SponsorDocument], Axes]] = {
    "answer": answer,
    "flow": flow_diagram,
    "known": known,
    "thresholds": thresholds,
    "fan": fan,
    "arrivals": arrivals,
}


def draw(document: SponsorDocument, name: str, kind: str) -> bytes:
    """One figure as SVG (letters as outlines, so that no font is needed) or PNG; the same document, the same bytes."""
    if name not in PICTURES:
        raise FeasibilityError(f"The report has no figure {name!r}.")
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "path", "font.family": list(style.families())}):
        ax = PICTURES[name](document)
        buffer = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        ax.figure.savefig(buffer, format=kind, dpi=DPI, facecolor=style.PAPER, metadata=metadata)
    return buffer.getvalue()
