"""The figures in words: captions, and alternative texts for who cannot see them."""

from __future__ import annotations

from feasibility.sponsor import views
from feasibility.sponsor.document import SponsorDocument
from feasibility.sponsor.sentences import Sentences
from feasibility.sponsor.tables import known_share


def alt(document: SponsorDocument, name: str) -> str:
    """The figure in words, for who cannot see it."""
    p, words = document.words.plain, document.words
    if name == "answer":
        none = p("word.none")
        rest = "".join(p("figure.answer_alt_row", name=s.name, possible=s.possible, confirmed=s.confirmed or none)
                       for s in views.scenarios(document))  # fmt: skip
        return p(
            "figure.answer_alt",
            possible=document.n_possible,
            confirmed=document.n_confirmed or none,
            rest=rest,
        )
    if name == "flow":
        values = {"patients": document.n_patients, "excluded": document.n_excluded, "possible": document.n_possible}
        if document.n_confirmed is None:
            return p("figure.flow_alt_no_bounds", **values)
        return p("figure.flow_alt", **values, confirmed=document.n_confirmed, undetermined=document.n_undetermined)
    if name == "known":
        rows = sorted((c for c in views.costs(document).values() if c.unknown), key=lambda c: -c.unknown.drawn)[:3]
        said = p("word.comma").join(f"{words.name(c.criterion)} {known_share(c.unknown, document.n_patients)}"
                                    for c in rows)  # fmt: skip
        return p("figure.known_alt", lowest=said)
    if name == "thresholds":
        first, curve = next(iter(views.curves(document).items()))
        return p(
            "figure.thresholds_alt",
            name=str(views.setting_name(document, first)).strip("`"),
            least=document.count(curve.n_possible.min()),
            most=document.count(curve.n_possible.max()),
        )
    if name == "fan":
        last, f = document.forecast.fan().iloc[-1], document.forecast
        return p("figure.fan_alt", months=f.months, low=f"{last.low_80:.0f}", high=f"{last.high_80:.0f}",
                 median=f"{last['median']:.0f}", target=f.plan.target, goal=Sentences(document).goal())  # fmt: skip
    rows = views.arrivals(document)
    return p("figure.arrivals_alt", n=len(rows), first=rows[0][0], last=rows[-1][0])


def caption(document: SponsorDocument, name: str) -> str:
    if name == "fan":
        return document.words.plain("figure.fan_caption", goal=Sentences(document).goal())
    return document.words.plain(f"figure.{name}_caption")
