"""The tables of the report as Markdown, each from the protected numbers of a document."""

from __future__ import annotations

from feasibility.disclosure.release import NOISY
from feasibility.sponsor import views
from feasibility.sponsor.document import Count, SponsorDocument
from feasibility.sponsor.wording import BREAK, Md, code, escape, join, table


def shown(document: SponsorDocument, number: Count | None) -> str:
    """A protected number as printed, or a dash where the release leaves it out.

    Raises TypeError for anything but a protected number.
    """
    if number is None:
        return document.words.plain("word.none")
    if not isinstance(number, Count):
        raise TypeError(f"Only protected numbers are printed in the report, got {type(number).__name__}.")
    return str(number)


def keys(document: SponsorDocument) -> Md:
    """The answer in three numbers."""
    t = document.words.t
    parts = [(t("summary.patients"), document.n_patients), (t("summary.possible"), document.n_possible)]
    if document.n_confirmed is not None:
        parts.append((t("summary.confirmed"), document.n_confirmed))
    heads = [h for h, _ in parts]
    return table(heads, [[shown(document, n) for _, n in parts]], [10] * len(parts), align="c" * len(parts))


def facts(document: SponsorDocument) -> Md:
    """What stands on the first page about the report."""
    t, brand = document.words.t, document.branding
    rows = [
        (t("facts.trial"), _trial(document)),
        (t("facts.sponsor"), brand.sponsor),
        (t("facts.site"), brand.site),
        (t("facts.contact"), brand.contact),
        (t("facts.source"), document.source_words),
        (t("facts.dated"), document.words.date(document.dated)),
    ]
    return table([t("facts.head_fact"), t("facts.head_value")], [r for r in rows if r[1]], [22, 78])


def _trial(document: SponsorDocument) -> Md:
    words, protocol = document.words, document.protocol
    return join([protocol.id, words.title(protocol.title)], words.t("word.colon"))


def funnel(document: SponsorDocument) -> Md:
    """Patients left after each criterion."""
    t, words = document.words.t, document.words
    steps = views.funnel(document)
    bounds = bool(steps) and steps[0].confirmed is not None
    heads = [t("head.criterion"), t("head.name"), t("head.excluded"), t("head.possible")]
    heads += [t("head.confirmed"), t("head.undetermined")] if bounds else []
    blank = [""] * (len(heads) - 4)
    rows = [["", Md(f"**{t('funnel.all_row')}**"), "", Md(f"**{escape(document.n_patients)}**"), *blank]]
    last = ""
    for step in steps:
        if step.kind != last:
            rows.append(["", Md(f"**{t('kind.' + step.kind + '_long')}**"), "", "", *blank])
            last = step.kind
        row = [step.id, words.name(step.criterion), shown(document, step.excluded), shown(document, step.remaining)]
        rows.append(row + ([shown(document, step.confirmed), shown(document, step.undetermined)] if bounds else []))
    widths = [11, 37, 14, 12, 13, 14] if bounds else [12, 52, 18, 18]
    return table(
        heads,
        rows,
        widths,
        align="ll" + "r" * (len(heads) - 2),
        caption=t("funnel.table" if bounds else "funnel.table_plain"),
    )


def strata(document: SponsorDocument) -> Md:
    """Patients by site or another group."""
    t = document.words.t
    rows = [[name.replace("=", ": "), *(shown(document, n) for n in numbers)] for name, *numbers in
            views.strata(document)]  # fmt: skip
    heads = [t("head.stratum"), t("head.all"), t("head.possible"), t("head.confirmed")]
    return table(heads, rows, [40, 20, 20, 20], align="lrrr", caption=t("funnel.strata_table"))


def clause(document: SponsorDocument, one: views.Clause) -> Md:
    """One clause: its criteria with reading, data, limits and counts, and the parts no data decides."""
    words, t = document.words, document.words.t
    rows = [
        [
            _two(cost.id, words.name(cost.criterion)),
            words.reading(cost.criterion),
            _data(document, cost.criterion),
            _counts(document, cost),
        ]
        for cost in one.costs
    ]
    heads = [t("head.criterion"), t("head.reading"), t("head.data"), t("head.patients")]
    widths = [18, 36, 30, 16]
    if not any(row[-1] for row in rows):
        heads, rows, widths = heads[:-1], [row[:-1] for row in rows], [20, 44, 36]
    return table(heads, rows, widths)


def _two(mark: str, name: str) -> Md:
    return Md(f"**{escape(mark)}**{BREAK}{escape(name)}")


def _data(document: SponsorDocument, criterion) -> Md:
    limits = views.limits(document, criterion)
    names = document.words.joined(code(c) for c in views.columns(document, criterion))
    return join([*limits, names], BREAK)


def _counts(document: SponsorDocument, cost: views.Cost) -> Md:
    t = document.words.t
    parts = [("fails", cost.failing), ("unknown", cost.unknown), ("only_reason", cost.only_reason)]
    colon = t("word.colon")
    return join([Md(f"{t('head.' + key)}{colon}{escape(n)}") for key, n in parts if n is not None], BREAK)


def assumed(document: SponsorDocument, one) -> Md:
    """A clause that no data decides, in a sentence."""
    words = document.words
    if one.same_as:
        source = words.t("clauses.same_as", other=words.name(_named(document, one.same_as)))
    else:
        source = words.source(one.name, one.source)
    low, high = one.rate.interval()
    values = {k: f"{100 * v:.0f}%" for k, v in (("share", one.rate.mean), ("low", low), ("high", high))}
    return words.t("clauses.assumed_row", **values, source=Md(escape(source).rstrip(".。\\ ")))


def _named(document: SponsorDocument, name: str):
    return next(c for c in document.protocol.all_criteria if c.name == name)


def known(document: SponsorDocument) -> Md:
    """Share of patients for whom each criterion can be decided."""
    t, whole = document.words.t, document.n_patients
    rows = []
    for cost in views.costs(document).values():
        if cost.unknown is not None:
            rows.append([cost.id, document.words.name(cost.criterion), shown(document, cost.unknown),
                         known_share(cost.unknown, whole)])  # fmt: skip
    heads = [t("head.criterion"), t("head.name"), t("head.unknown"), t("head.known_share")]
    return table(heads, rows, [12, 52, 18, 18], align="llrr", caption=t("known.table"))


def known_share(unknown: Count, whole: Count) -> str:
    """The share that is known, from the rounded number that is not.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> nhs = POLICIES["nhs"]
    >>> [known_share(Count(n, nhs), Count(400, nhs)) for n in (100, 5, 400)]
    ['75%', '>98%', '<2%']
    """
    if whole.small or not whole.value:
        return "–"
    if unknown.small:
        return f">{100 - int(unknown.share(whole).strip('<%'))}%"
    left = Count(max(whole.value - unknown.value, 0), whole.policy)
    return left.share(whole)


def thresholds(document: SponsorDocument) -> Md:
    """The coarse grids, one row a threshold."""
    words, t = document.words, document.words.t
    bounds = document.n_confirmed is not None
    rows = []
    for name, curve in views.curves(document).items():
        unit, own = curve.attrs["unit"], curve.attrs["protocol"]
        said = []
        for value, row in curve.iterrows():
            n = {"possible": document.count(row.n_possible), "confirmed": document.count(row.n_confirmed)}
            key = "thresholds.curve_item" if bounds else "thresholds.curve_item_no_bounds"
            item = words.t(key, value=views.quantity(document, value, ""), **n)
            said.append(Md(f"**{item}**") if value == own else item)
        rows.append([views.setting_name(document, name), views.quantity(document, own, unit),
                     join(said, t("word.semicolon"))])  # fmt: skip
    heads = [t("head.threshold"), t("head.protocol_value"), t("head.values")]
    return table(heads, rows, [30, 16, 54], caption=t("thresholds.table"))


def scenarios(document: SponsorDocument) -> Md:
    """Patients under each changed protocol, the one as written first."""
    t, found = document.words.t, views.scenarios(document)
    bounds = document.n_confirmed is not None and all(one.confirmed is not None for one in found)
    heads = [t("head.scenario"), t("head.changes"), t("head.possible"), t("head.more_possible")]
    heads += [t("head.confirmed"), t("head.more_confirmed")] if bounds else []
    none = document.words.plain("word.none")
    first = [document.words.plain("picture.as_written"), none, str(document.n_possible), none]
    rows = [first + ([str(document.n_confirmed), none] if bounds else [])]
    for one in found:
        row = [one.name, join(one.said, BREAK), shown(document, one.possible), _more(one.gain_possible)]
        rows.append(row + ([shown(document, one.confirmed), _more(one.gain_confirmed)] if bounds else []))
    widths = [22, 38, 10, 10, 10, 10] if bounds else [28, 42, 15, 15]
    return table(heads, rows, widths, align="ll" + "r" * (len(heads) - 2), caption=t("thresholds.scenarios_table"))


def _more(number: Count) -> str:
    return str(number) if number.small else f"+{number}"


def missing(document: SponsorDocument) -> Md:
    """The criteria that keep patients undetermined, those that alone decide most first."""
    t = document.words.t
    rows = [c for c in views.costs(document).values() if _printable(c.unknown) or _printable(c.only_unknown)]
    rows.sort(key=lambda c: tuple(-(n.drawn if n else 0) for n in (c.only_unknown, c.unknown)))
    heads = [t("head.criterion"), t("head.name"), t("head.column"), t("head.unknown"), t("head.only_unknown")]
    cells = [[c.id, document.words.name(c.criterion), _columns(document, c.criterion), shown(document, c.unknown),
              shown(document, c.only_unknown)] for c in rows]  # fmt: skip
    return table(heads, cells, [11, 28, 34, 12, 15], align="lllrr", caption=t("missing.table")) if cells else Md("")


def _columns(document: SponsorDocument, criterion) -> Md:
    names = views.columns(document, criterion)
    said = [document.words.column(n) or code(n) for n in names[:4]]
    return document.words.joined([*said, *(["…"] if len(names) > 4 else [])])


def _printable(number: Count | None) -> bool:
    return number is not None and not number.small


def quality(document: SponsorDocument) -> Md:
    """How much of each column is known."""
    t = document.words.t
    found = views.data_quality(document)
    aside = any(row.set_aside is not None for row in found)
    titled = any(row.title for row in found)
    heads = [t("head.column"), *([t("head.name_in_table")] if titled else []), t("head.used_by"),
             t("head.unknown"), t("head.on_record"), *([t("head.set_aside")] if aside else [])]  # fmt: skip
    rows = []
    for row in found:
        names = [row.title, code(row.name)] if titled else [code(row.name)]
        aside_n = [shown(document, row.set_aside)] if aside else []
        numbers = [shown(document, row.unknown), known_share(row.unknown, document.n_patients), *aside_n]
        rows.append([*names, document.words.joined(row.criteria), *numbers])
    widths = [*([27, 31] if titled else [52]), 12, 10, 13, *([11] if aside else [])]
    words = 3 if titled else 2
    return table(heads, rows, widths, align="l" * words + "r" * (len(heads) - words), caption=t("quality.table"))


def dropped(document: SponsorDocument) -> Md:
    """What was left out of the release, and why."""
    t = document.words.t
    rows = [[table_name(document, name), reason(document, why)] for name, why in document.release.dropped.items()]
    return table([t("head.table"), t("head.why")], rows, [40, 60], caption=t("methods.dropped_table"))


def table_name(document: SponsorDocument, name: str) -> str:
    return document.words.plain(f"tables.{name}") if document.words.has(f"tables.{name}") else name


def reason(document: SponsorDocument, why: str) -> str:
    """Why a table was left out, in the report's language."""
    return document.words.plain(f"reasons.{REASONS.get(str(why), 'leak')}")


REASONS = {
    "it gives a small group away": "leak",
    "its audit was not finished in time": "time",
    NOISY: "noise",
}


def provenance(document: SponsorDocument) -> Md:
    """The marks of protocol, preparation, software and released numbers; none is made from patients."""
    t, words, protocol = document.words.t, document.words, document.protocol
    rows = [
        (t("provenance.trial"), _trial(document)),
        (t("provenance.register"), words.register(protocol.source)),
        (t("provenance.protocol"), code(protocol.fingerprint())),
        (t("provenance.build"), code(document.build) if document.build else ""),
        (t("provenance.release"), code(document.release.fingerprint)),
        (t("provenance.policy"), policy_name(document)),
        (t("provenance.source"), document.source_words),
        (t("provenance.dated"), words.date(document.dated)),
        (t("provenance.software"), join(f"{name} {v}" for name, v in document.versions.items())),
    ]
    return table([t("head.item"), t("head.value")], [r for r in rows if r[1]], [28, 72], caption=t("provenance.table"))


def policy_name(document: SponsorDocument) -> str:
    name = document.policy.name
    return document.words.plain(f"policies.{name}") if document.words.has(f"policies.{name}") else name
