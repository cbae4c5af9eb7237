"""What a release asks: the protocol, the changes shown beside it, the strata; fixed before patients are seen."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from feasibility.disclosure.queries import (
    Query,
    changed_queries,
    failing_queries,
    funnel_queries,
    overlap_queries,
    reason_queries,
    stratum_queries,
)
from feasibility.errors import FeasibilityError, ProtocolError
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario

STEPS = (0.5, 0.75, 0.9, 1.1, 1.25, 1.5)
"""Where no grid is declared: these parts of the protocol's own threshold."""
CHANGE = Protocol | Scenario | Mapping


@dataclass(frozen=True)
class Change:
    """One changed protocol of a release: ``columns`` are the statuses in force, ``setting`` and ``value`` those of a
    curve's point (else empty), ``words`` what it changes."""

    name: str
    table: str
    columns: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    waived: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True, eq=False)
class Plan:
    """The questions of a release, as a function of the protocol alone.

    ``extended`` is the protocol with every changed criterion beside the original one, so that one screening answers
    everything; ``changes`` are the curves' points and the scenarios. ``more_strata`` are not shown: an earlier release
    asked for them, and the audit needs them.
    """

    protocol: Protocol
    changes: tuple[Change, ...]
    variants: Mapping[str, Any]
    strata: tuple[str, ...] = ()
    more_strata: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        scenarios: Iterable[CHANGE] | Mapping[str, CHANGE] | None = None,
        grids: Mapping[str, Iterable[float]] | None = None,
        strata: Iterable[str] = (),
    ) -> Plan:
        """The plan of a release: ``scenarios`` and ``grids`` default to those the protocol declares.

        A curve keeps the values of its grid that relax the protocol; a tighter one belongs among the scenarios. Where
        the protocol declares no grids, a few parts of its own thresholds are taken: never values seen in the data.

        Raises ProtocolError for a name that the protocol does not have, FeasibilityError for two scenarios of one name.
        """
        grids = _grids(protocol) if grids is None else {k: tuple(v) for k, v in grids.items()}
        scenarios = _declared(protocol) if scenarios is None else scenarios
        changes, variants = [], {}
        for name, values in grids.items():
            setting = protocol.setting(name)
            if not setting.direction:
                raise ProtocolError(f"{name!r} is a {setting.kind}; a curve needs a threshold called min_* or max_*.")
            now = protocol.settings[name]
            looser = sorted({setting.check(v) for v in values if (v - now) * setting.direction > 0})
            for value in looser:
                changed = protocol.with_thresholds(**{name: value})
                one = _change(protocol, changed, f"{name}={value:g}", "curves", variants)
                changes.append(replace(one, settings={name: value}))
        for name, change in _named(scenarios):
            changes.append(_change(protocol, _applied(protocol, change), name, "scenarios", variants))
        return cls(protocol, tuple(changes), variants, (strata,) if isinstance(strata, str) else tuple(strata))

    @property
    def extended(self) -> Protocol:
        """The protocol whose screening answers every query: its criteria, then the changed ones."""
        extra = [replace(c, id=key, name=key) for key, c in self.variants.items()]
        return Protocol(
            self.protocol.id, self.protocol.title, (*self.protocol.assessable, *extra), columns=self.protocol.columns
        )

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The thresholds and readings behind each column of statuses."""
        own = {c.id: dict(c.values) for c in self.protocol.assessable}
        return own | {key: dict(c.values) for key, c in self.variants.items()}

    def beside(self, earlier: Iterable) -> tuple[Plan, tuple]:
        """(the plan that also answers what earlier releases asked, those releases in the names of this plan).

        Raises FeasibilityError for an earlier release with a criterion that this protocol does not have.
        """
        variants, renamed, strata = dict(self.variants), [], []
        mine = {c.id: c for c in self.protocol.all_criteria if c.assessable}
        now = {c.id: c for c in self.protocol.assessable}
        for release in earlier:
            names = {}
            for column, settings in release.settings.items():
                key = column.split("|")[0]
                if key not in mine or set(settings) != set(mine[key].values):
                    raise FeasibilityError(
                        f"The release of {release.date} in the ledger shows {column!r}, which {self.protocol.id} does"
                        " not have now, so what both together give away cannot be checked. Release with the protocol"
                        " file of that release, or under another date."
                    )
                criterion = mine[key].with_thresholds(**settings)
                if key in now and criterion.values == now[key].values:
                    names[column] = key
                    continue
                told = {k: v for k, v in criterion.values.items() if key not in now or v != now[key].values[k]}
                same = [name for name, c in variants.items() if name.split("|")[0] == key and c.values == settings]
                names[column] = (
                    same[0] if same else f"{key}|{','.join(f'{k}={v}' for k, v in told.items()) or 'waived'}"
                )
                variants[names[column]] = criterion
            flags = {c for q in release.queries for c in q.columns if c not in release.settings}
            strata += [flag.split("=")[0] for flag in sorted(flags)]
            renamed.append(release.renamed(names))
        more = tuple(name for name in dict.fromkeys(strata) if name not in self.strata)
        return replace(self, variants=variants, more_strata=more), tuple(renamed)

    @property
    def ids(self) -> list[str]:
        return [c.id for c in self.protocol.assessable]

    @property
    def columns(self) -> list[str]:
        """The extended statuses' names, strata apart."""
        return [*self.ids, *self.variants]

    def core(self, tables: Iterable[str]) -> list[Query]:
        """The queries of the named tables of the core."""
        queries = [*funnel_queries(self.ids), *reason_queries(self.ids)]
        for change in self.changes:
            queries += changed_queries(change.name, change.columns, change.table)
        return [q for q in queries if q.table in tables]

    def second(self, tables: Iterable[str], flags: Iterable[str]) -> list[Query]:
        """The queries whose counts are rounded one by one."""
        queries = [*failing_queries(self.ids), *overlap_queries(self.ids), *stratum_queries(list(flags), self.ids)]
        return [q for q in queries if q.table in tables]


def _grids(protocol: Protocol) -> dict[str, tuple[float, ...]]:
    if protocol.grids:
        return {name: values for name, values in protocol.grids.items() if name in protocol.settings}
    grids = {}
    for criterion in protocol.assessable:
        for setting in criterion.settings:
            now = criterion.values[setting.name]
            if not setting.direction or not math.isfinite(now) or not now:
                continue
            grids[setting.name] = tuple(_neat(now * part, setting.whole) for part in STEPS)
    return grids


def _declared(protocol: Protocol) -> list[Scenario]:
    """The protocol's own scenarios, without those that touch a criterion which is waived here."""
    known = set(protocol.settings)
    return [s for s in protocol.scenarios if set(s.thresholds) | set(s.readings) <= known]


def _neat(value: float, whole: bool) -> float:
    return round(value) if whole else float(f"{value:.3g}")


def _named(scenarios) -> list[tuple[str, CHANGE]]:
    if isinstance(scenarios, Mapping):
        return [(str(name), change) for name, change in scenarios.items()]
    named = []
    for i, change in enumerate(scenarios):
        name = change.name if isinstance(change, Scenario) else f"scenario {i + 1}"
        if name in {n for n, _ in named}:
            raise FeasibilityError(f"Two scenarios are called {name!r}; give each its own name.")
        named.append((name, change))
    return named


def _applied(protocol: Protocol, change: CHANGE) -> Protocol:
    if isinstance(change, Protocol):
        return change
    return change.apply(protocol) if isinstance(change, Scenario) else protocol.with_thresholds(**change)


def _change(protocol: Protocol, changed: Protocol, name: str, table: str, variants: dict) -> Change:
    """The change as columns of statuses; a criterion that differs becomes a variant."""
    mine = {c.id: c for c in protocol.assessable}
    columns, settings, words = [], {}, []
    for criterion in changed.assessable:
        original = mine.get(criterion.id)
        if criterion == original:
            columns.append(criterion.id)
            continue
        moved = {} if original is None else {k: v for k, v in criterion.values.items() if original.values.get(k) != v}
        known = original is not None and criterion.function is original.function
        told = ",".join(f"{k}={v}" for k, v in moved.items()) if known else _short(criterion.signature())
        key = f"{criterion.id}|{told}"
        variants[key] = criterion
        columns.append(key)
        for k, v in moved.items():
            if k not in settings:
                settings[k] = v
                unit = original.setting(k).unit if known else ""
                words.append(f"{k} {_said(original.values[k])} → {_said(v)}{' ' + unit if unit else ''}")
        if not known:
            words.append(f"{criterion.id} {criterion.name} {'added' if original is None else 'rewritten'}")
    waived = tuple(key for key in mine if key not in {c.id for c in changed.assessable})
    words += [f"{key} {mine[key].name} waived" for key in waived]
    return Change(name, table, tuple(columns), settings, waived, "; ".join(words))


def _said(value) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _short(signature) -> str:
    return hashlib.sha256(repr(signature).encode()).hexdigest()[:8]
