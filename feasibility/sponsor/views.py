"""What each section of the report shows, from the protected numbers of a document."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from feasibility.engine.trace import Trace
from feasibility.figures.style import title_case
from feasibility.protocol.criterion import Criterion, NotAssessable
from feasibility.report.words import unit
from feasibility.sponsor.document import Count, SponsorDocument
from feasibility.sponsor.wording import Md, code


@dataclass(frozen=True)
class Step:
    """One criterion of the funnel; ``confirmed`` and ``undetermined`` are None where the bounds were dropped."""

    criterion: Criterion
    entering: Count
    excluded: Count
    remaining: Count
    confirmed: Count | None
    undetermined: Count | None

    @property
    def id(self) -> str:
        return self.criterion.id

    @property
    def kind(self) -> str:
        return self.criterion.kind


@dataclass(frozen=True)
class Cost:
    """What one criterion costs; each number is None where the release leaves it out."""

    criterion: Criterion
    failing: Count | None
    unknown: Count | None
    only_reason: Count | None
    only_unknown: Count | None
    gain_confirmed: Count | None
    gain_possible: Count | None

    @property
    def id(self) -> str:
        return self.criterion.id


@dataclass(frozen=True)
class Change:
    """A scenario: its name, what it changes, and the counts under it."""

    name: str
    said: tuple[str, ...]
    confirmed: Count | None
    possible: Count
    gain_confirmed: Count | None
    gain_possible: Count


@dataclass(frozen=True)
class Clause:
    """One clause of the registered text with who decides it."""

    id: str
    kind: str
    text: str
    name: str
    costs: tuple[Cost, ...]
    assumed: tuple[NotAssessable, ...]


def funnel(document: SponsorDocument) -> list[Step]:
    """The funnel in the protocol's order."""
    n = document.count
    return [
        Step(
            document.protocol[key],
            n(row["n_entering"]),
            n(row["n_excluded"]),
            n(row["n_remaining"]),
            n(row["n_confirmed"]) if "n_confirmed" in row else None,
            n(row["n_undetermined"]) if "n_undetermined" in row else None,
        )
        for key, row in document.core.attrition().iterrows()
    ]


def costs(document: SponsorDocument) -> dict[str, Cost]:
    """What each criterion costs, by its id, in the protocol's order."""
    core, failing = document.core, document.margin("failing")

    def margin(key: str, column: str) -> Count | None:
        return document.rounded(failing.loc[key, column]) if failing is not None and key in failing.index else None

    def counted(*names: str) -> Count | None:
        return document.count(sum(map(core.count, names))) if all(map(core.has, names)) else None

    return {
        c.id: Cost(
            c,
            margin(c.id, "n_failing"),
            margin(c.id, "n_unknown"),
            counted(f"only_reason:{c.id}"),
            counted(f"only_unknown:{c.id}"),
            counted(f"only_reason:{c.id}", f"only_unknown:{c.id}"),
            counted(f"gain_possible:{c.id}"),
        )
        for c in document.protocol.assessable
    }


def knows_costs(document: SponsorDocument) -> bool:
    """Whether the release says what a criterion alone costs, or how many fail it."""
    return any(c.gain_possible is not None or c.failing is not None for c in costs(document).values())


def costliest(document: SponsorDocument, top: int = 3) -> list[Cost]:
    """The criteria that keep most patients out: by what waiving each alone would add, then by who fails it."""
    key = lambda c: tuple(-(x.drawn if x else 0) for x in (c.gain_possible, c.failing, c.gain_confirmed))  # noqa: E731
    return [c for c in sorted(costs(document).values(), key=key) if any(key(c))][:top]


def most_unknown(document: SponsorDocument, top: int = 3) -> list[Cost]:
    """The criteria most often unknown, of those with a printable number."""
    rows = [c for c in costs(document).values() if c.unknown is not None and not c.unknown.small]
    return sorted(rows, key=lambda c: -c.unknown.value)[:top]


def deciding(document: SponsorDocument, top: int = 3) -> list[Cost]:
    """The criteria that alone keep most patients undetermined."""
    rows = [c for c in costs(document).values() if c.only_unknown is not None and not c.only_unknown.small]
    return sorted(rows, key=lambda c: -c.only_unknown.value)[:top]


def scenarios(document: SponsorDocument) -> list[Change]:
    """The scenarios of the release."""
    n, words = document.count, document.words
    changes = {c.name: c for c in document.core.changes if c.table == "scenarios"}
    bounds = document.n_confirmed is not None
    return [
        Change(
            words.trial.get("scenarios", {}).get(str(name), str(name)),
            tuple(_said(document, changes[name])),
            n(row["n_confirmed"]) if bounds and "n_confirmed" in row else None,
            n(row["n_possible"]),
            n(row["gain_confirmed"]) if bounds and "gain_confirmed" in row else None,
            n(row["gain_possible"]),
        )
        for name, row in document.core.scenarios().iterrows()
    ]


def best_scenario(document: SponsorDocument) -> Change | None:
    """The scenario that adds most patients, if it adds a printable number."""
    rows = [s for s in scenarios(document) if not s.gain_possible.small]
    return max(rows, key=lambda s: (s.gain_possible.value, s.confirmed.value if s.confirmed else 0), default=None)


def _said(document: SponsorDocument, change):
    """What a scenario changes, in words."""
    words, protocol = document.words, document.protocol
    for name, value in change.settings.items():
        setting = protocol.setting(name)
        now = protocol.settings[name]
        if setting.is_reading:
            yield words.t("scenario.reading", name=code(name), now=code(now), new=code(value))
            continue
        yield words.t("scenario.threshold", name=setting_name(document, name), now=quantity(document, now, ""),
                      new=quantity(document, value, setting.unit))  # fmt: skip
    for key in change.waived:
        yield words.t("scenario.waived", id=key, name=words.name(protocol[key]))


def setting_name(document: SponsorDocument, name: str) -> str | Md:
    """A threshold in words: the trial's own, else "lower limit of ..." from its flat name."""
    own = document.words.setting(name)
    if own:
        return own
    side, _, thing = name.partition("_")
    if side in ("min", "max") and document.language == "en":
        thing = title_case(thing)
        thing = thing if thing[1:2].isupper() or thing[1:2].isdigit() else thing[:1].lower() + thing[1:]
        return document.words.plain(f"setting.{side}", thing=thing)
    return code(name)


UNIT_KEYS = {"a": "year", "d": "day", "mo": "month", "wk": "week"}


def quantity(document: SponsorDocument, value, unit_code: str) -> str:
    """A threshold with its unit, in the report's language."""
    words = document.words
    number = words.number(value)
    if not unit_code or math.isinf(value):
        return number
    if unit_code in UNIT_KEYS:
        key = f"unit.{UNIT_KEYS[unit_code]}" + ("" if value == 1 else "s")
        return words.plain(key, n=number)
    if unit_code == "%":
        return f"{number}%"
    if unit_code == "mg/d":
        return words.plain("unit.mg_day", n=number)
    return f"{number} {unit(unit_code)}"


def clauses(document: SponsorDocument) -> list[Clause]:
    """Every clause of the registered text, then criteria that were added."""
    cost, protocol = costs(document), document.protocol
    rows = []
    for key, row in protocol.coverage().iterrows():
        deciding = tuple(cost[i] for i in _ids(row.criteria) if i in cost)
        assumed = tuple(protocol[i] for i in _ids(row.not_assessable))
        rows.append(Clause(key, row.kind, row.text, document.words.clause(key), deciding, assumed))
    return rows


def _ids(text: str) -> list[str]:
    return [part for part in str(text).split(", ") if part]


def limits(document: SponsorDocument, criterion: Criterion) -> list:
    """The thresholds and look-backs in force, in words; readings that differ from the protocol file's."""
    words, said = document.words, []
    for s in criterion.settings:
        value = criterion.values[s.name]
        if s.is_reading:
            if value != s.default:
                said.append(words.t("clause.reading_changed", name=code(s.name), value=code(value)))
            continue
        if not _in_use(criterion, s):
            continue
        told = quantity(document, value, s.unit)
        if s.is_lookback:
            said.append(words.t("clause.lookback", value=told))
        else:
            key = "clause.limit" if s.origin == "protocol" else "clause.limit_ours"
            said.append(words.t(key, name=setting_name(document, s.name), value=told))
    return said


def _in_use(criterion: Criterion, setting) -> bool:
    """Whether a threshold matters under the readings in force: those of another reading are not shown."""
    stand_ins = {c: Trace({c}) for c in criterion.columns}
    try:
        return setting.name in criterion.evaluate(stand_ins, **{setting.name: Trace({setting.name})}).columns
    except Exception:  # noqa: BLE001 - a user's function may do anything; then every threshold is shown
        return True


def columns(document: SponsorDocument, criterion: Criterion) -> list[str]:
    """The columns a criterion reads; the age of a value goes without saying."""
    names = list(criterion.reads)
    ages = {f"{u}_since_{n}" for n in names for u in ("days", "months")}
    return [n for n in names if n not in ages]


@dataclass(frozen=True)
class ColumnRow:
    """How much of a column is unknown; the known would narrow a small unknown down, and are not released."""

    name: str
    title: str
    unknown: Count
    set_aside: Count | None
    criteria: tuple[str, ...]


def data_quality(document: SponsorDocument) -> list[ColumnRow]:
    """The columns of the rounded table "columns", in its order."""
    table, n = document.margin("columns"), document.rounded
    if table is None:
        return []
    reads = document.protocol.reads
    ages = {f"{unit}_since_{name}" for name in table.index for unit in ("days", "months")}  # known where the value is
    table = table[~table.index.isin(ages)]
    return [
        ColumnRow(str(name), document.words.column(name), n(row["n_unknown"]),
                  n(row["n_set_aside"]) if "n_set_aside" in table else None, tuple(reads.get(name, ())))
        for name, row in table.iterrows()
    ]  # fmt: skip


def arrivals(document: SponsorDocument) -> list[tuple[str, Count, Count]]:
    """Newly confirmed and newly possible patients per quarter or year, from the protected table "arrivals"."""
    table = document.margin("arrivals")
    if table is None:
        return []
    return [
        (str(when), document.count(row.n_confirmed), document.count(row.n_possible)) for when, row in table.iterrows()
    ]


def strata(document: SponsorDocument) -> list[tuple[str, Count, Count, Count]]:
    """Patients, possible and confirmed of each stratum."""
    table, n = document.margin("strata"), document.rounded
    if table is None:
        return []
    return [(str(key), n(r.n_patients), n(r.n_possible), n(r.n_confirmed)) for key, r in table.iterrows()]


def curves(document: SponsorDocument) -> dict[str, pd.DataFrame]:
    """The coarse grids, the thresholds that matter most first."""
    made = document.core.curves()
    return dict(sorted(made.items(), key=lambda kv: -int(kv[1].n_possible.max() - kv[1].n_possible.min())))
