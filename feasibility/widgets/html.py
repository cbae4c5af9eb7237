"""What the panel writes: headline, funnel and notes as light HTML, replaced as a whole at each change."""

from __future__ import annotations

from html import escape

from feasibility.figures.style import count, share, title_case
from feasibility.report import words
from feasibility.widgets.state import PanelState

INTERNAL = "Internal: not checked for disclosure"
KEYS = "".join(
    f'<span class="fz-legend"><span class="fz-key fz-{key}"></span>{name}</span>'
    for key, name in (("sure", "confirmed"), ("open", "undetermined"), ("out", "excluded here"), ("tick", "protocol"))
)


def heading(state: PanelState) -> str:
    """Which trial, how many patients, and that this page is internal."""
    made_up = (
        f'<span class="fz-synthetic">{words.synthetic(n, state.n_patients)}</span>' if (n := synthetic(state)) else ""
    )
    return (
        f'<div class="fz-top"><span class="fz-trial">{escape(state.base.id)}</span>'
        f'<span class="fz-title">{escape(state.base.title)}</span>'
        f'<span class="fz-n">{words.patients(state.n_patients)}</span>{made_up}'
        f'<span class="fz-internal">{INTERNAL}</span></div>'
    )


def synthetic(state: PanelState) -> int:
    """How many of the rows are marked as made by a generator."""
    return state.what_if.patients.n_true("synthetic")


def headline(state: PanelState) -> str:
    """The two counts and their differences to the protocol."""
    now, change, then = state.counts, state.difference, state.protocol_counts
    return (
        '<div class="fz-counts" role="status" aria-live="polite" aria-atomic="true">'
        + _card("confirmed", "Confirmed", "everything known and met", now.n_confirmed, change.n_confirmed,
                then.n_confirmed, state.n_patients)
        + _card("possible", "Possible", "nothing known to fail", now.n_possible, change.n_possible,
                then.n_possible, state.n_patients)
        + "</div>"
    )  # fmt: skip


def _card(key: str, name: str, meaning: str, now: int, change: int, then: int, whole: int) -> str:
    return (
        f'<div class="fz-card fz-{key}"><div class="fz-name">{name}<span class="fz-meaning">{meaning}</span></div>'
        f'<div class="fz-line"><span class="fz-big" data-count="n_{key}" data-value="{now}">{count(now)}</span>'
        f' <span class="fz-share">{share(now, whole)} of all</span>'
        f' <span class="fz-diff {_sign(change)}" data-difference="{change}">{difference(change)}'
        f'<span class="fz-then"> · protocol {count(then)}</span></span></div></div>'
    )


def difference(change: int) -> str:
    """
    >>> difference(1200), difference(-3), difference(0)
    ('+1,200', '−3', 'no change')
    """
    return "no change" if not change else f"{'+' if change > 0 else '−'}{count(abs(change))}"


def short(change: int) -> str:
    """A difference in a narrow column: in thousands from ten thousand on.

    >>> short(-9999), short(238520), short(-2_400_000)
    ('−9,999', '+239k', '−2.4M')
    """
    if abs(change) < 10_000:
        return difference(change)
    size = abs(change)
    words = f"{size / 1e6:.1f}M" if size >= 999_500 else f"{size / 1e3:.0f}k"
    return f"{'+' if change > 0 else '−'}{words}"


def _sign(change: int) -> str:
    return "fz-more" if change > 0 else "fz-less" if change < 0 else "fz-same"


def changes(state: PanelState) -> str:
    """What differs from the protocol, in a place that is always as high as two lines."""
    found = state.changes()
    if not found:
        return '<div class="fz-changes fz-none">As in the protocol: nothing is changed.</div>'
    items = " · ".join(f"<span>{escape(one)}</span>" for one in found)
    return f'<div class="fz-changes fz-some"><b>{len(found)} changed:</b> {items}</div>'


def funnel(state: PanelState) -> str:
    """The funnel by clause, with the end of each bar under the protocol marked."""
    now, then = state.funnel, state.protocol_funnel
    n = max(state.n_patients, 1)
    rows = [_row("", "All patients", n, 0, n, n, n, first=True)]
    for clause in state.order:
        name = ", ".join(title_case(one.name) for one in state.clauses[clause])
        if clause not in now.index:
            rows.append(f'<tr class="fz-off">{_head(clause, name)}<td colspan="5">switched off</td></tr>')
            continue
        row, old = now.loc[clause], then.loc[clause]
        rows.append(_row(clause, name, n, row.n_excluded, row.n_confirmed, row.n_remaining, old.n_remaining))
    wide = max(58.0, 7.3 * len(count(n - 1)) + 8)
    note = ""
    if state.base.not_assessable:
        listed = ", ".join(f"{one.id} {title_case(one.name)}" for one in state.base.not_assessable)
        note = f'<p class="fz-note">Not decided by data and not counted here: {escape(listed)}.</p>'
    return (
        f'<table class="fz-funnel"><caption><b>Who is left after each clause</b>{KEYS}</caption>'
        f'<colgroup><col class="fz-c1"><col><col style="width:{wide + 6:.0f}px"><col style="width:{wide:.0f}px">'
        f'<col style="width:{wide:.0f}px"><col class="fz-c5"></colgroup><thead><tr>'
        '<th scope="col">Clause</th><td></td>'
        '<th scope="col">Excluded</th><th scope="col">Confirmed</th><th scope="col">Possible</th><td></td>'
        "</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{note}"
    )


def _row(clause, name, n, excluded, confirmed, remaining, old_remaining, *, first=False) -> str:
    def width(part):
        return f"width:{100 * part / n:.2f}%"

    if first:
        bar = f'<span class="fz-all" style="{width(n)}"></span>'
        numbers = f"<td></td><td></td><td><b>{count(n)}</b></td><td></td>"
    else:
        tick = f'<span class="fz-was" style="left:{100 * old_remaining / n:.2f}%"></span>'
        bar = (
            f'<span class="fz-sure" style="{width(confirmed)}"></span>'
            f'<span class="fz-open" style="{width(remaining - confirmed)}"></span>'
            f'<span class="fz-out" style="{width(excluded)}"></span>{tick if old_remaining != remaining else ""}'
        )
        lost = f"−{count(excluded)}" if excluded else "0"
        numbers = (
            f'<td class="{"fz-lost" if excluded else "fz-zero"}">{lost}</td>'
            f"<td>{count(confirmed)}</td><td>{count(remaining)}</td>{_small(remaining - old_remaining)}"
        )
    return (
        f'<tr data-clause="{escape(clause)}">{_head(clause, name)}'
        f'<td><div class="fz-bar" aria-hidden="true">{bar}</div></td>{numbers}</tr>'
    )


def _head(clause: str, name: str) -> str:
    return f'<th scope="row" title="{escape(name)}"><div><b>{escape(clause)}</b> {escape(name)}</div></th>'


def _small(change: int) -> str:
    return f'<td class="fz-small {_sign(change)}">{short(change)}</td>' if change else "<td></td>"


def criterion(state: PanelState, one) -> str:
    """Under a criterion's switch: the registered words, our reading, and how many it concerns."""
    failing, unknown = state.failing(one.id)
    reading = f'<p class="fz-reading">Our reading: {escape(one.reading)}</p>' if one.reading else ""
    text = f"“{one.text}”" if state.base.verbatim else f"{one.text} ({words.SUMMARY})"
    return (
        f'<p class="fz-fails"><b>{count(failing)}</b> fail it, <b>{count(unknown)}</b> unknown</p>'
        f'<p class="fz-words">{escape(text)}</p>{reading}'
    )


def clause_name(state: PanelState, clause: str) -> str:
    """A clause in words, by the names of its criteria."""
    return f"{clause} {', '.join(title_case(one.name) for one in state.clauses[clause])}"


def clause_title(state: PanelState, clause: str, opened: bool) -> str:
    """The line that opens and closes a clause; plain text, with what is changed inside."""
    parts = state.clauses[clause]
    names = ", ".join(title_case(one.name) for one in parts)
    mine = {s for one in parts for s in one.values}
    changed = sum(name in mine for name in state.values)
    off = sum(one.id in state.off for one in parts)
    marks = [f"{changed} changed"] if changed else []
    marks += ["off" if off == len(parts) else f"{off} off"] if off else []
    title = f"{'▾' if opened else '▸'} {clause}\u2002{names}"
    return f"{title}\u2002● {', '.join(marks)}" if marks else title


def said(text: str, kind: str = "done") -> str:
    """A line that says what happened, or what was wrong."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="fz-said fz-{kind}" role="{role}">{escape(text)}</p>' if text else ""
