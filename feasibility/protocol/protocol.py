"""A protocol: the ordered criteria of a trial, with the thresholds and readings in force."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from feasibility.errors import ProtocolError, did_you_mean
from feasibility.protocol.clauses import normalise, split_clauses
from feasibility.protocol.criterion import Beta, Criterion, NotAssessable


@dataclass(frozen=True)
class Protocol:
    """Criteria in protocol order; every change returns a new protocol.

    ``eligibility_text`` is the registered text: each criterion must quote it verbatim and each of its clauses must be
    covered. ``verbatim`` is False where that text is a summary because the registered one could not be had; every page
    says so. ``columns`` is the patient table the trial declares; the protocol carries it and never looks inside.
    ``grids`` (a threshold's name and its values) and ``scenarios`` are what a released report shows beside the
    protocol: declared here, never taken from the data.
    """

    id: str
    title: str
    criteria: tuple[Criterion | NotAssessable, ...]
    eligibility_text: str = ""
    columns: Any = None
    source: str = ""
    verbatim: bool = True
    waived: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    grids: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    scenarios: tuple[Any, ...] = ()
    _all: tuple[Criterion | NotAssessable, ...] = field(default=(), repr=False)

    def __post_init__(self):
        object.__setattr__(self, "criteria", tuple(self.criteria))
        object.__setattr__(self, "_all", self._all or self.criteria)
        _check_unique(self)
        if self.eligibility_text:
            _check_quotations(self)

    def __iter__(self) -> Iterator[Criterion]:
        """The assessable criteria in order."""
        return iter(self.assessable)

    def __len__(self) -> int:
        return len(self.assessable)

    def __getitem__(self, name: str) -> Criterion | NotAssessable:
        """A criterion by its id ("I5.1") or its name ("hemoglobin")."""
        for one in self.criteria:
            if name in (one.id, one.name):
                return one
        if any(name in (one.id, one.name) for one in self._all):
            raise ProtocolError(f"Criterion {name!r} is waived in this protocol.")
        known = [n for c in self.criteria for n in (c.id, c.name)]
        raise ProtocolError(f"{self.id} has no criterion {name!r}.{did_you_mean(name, known)}")

    @property
    def assessable(self) -> tuple[Criterion, ...]:
        return tuple(c for c in self.criteria if c.assessable)

    @property
    def not_assessable(self) -> tuple[NotAssessable, ...]:
        return tuple(c for c in self.criteria if not c.assessable)

    @property
    def all_criteria(self) -> tuple[Criterion | NotAssessable, ...]:
        """Every criterion of the trial, the waived ones included."""
        return self._all

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """Every cohort column that can change an answer under the readings in force, with the criteria it serves."""
        columns: dict[str, tuple[str, ...]] = {}
        for criterion in self.assessable:
            for column in criterion.reads:
                columns[column] = (*columns.get(column, ()), criterion.id)
        return columns

    @property
    def settings(self) -> dict[str, Any]:
        """Every threshold and reading with the value in force."""
        return {name: value for c in self.assessable for name, value in c.values.items()}

    def setting(self, name: str):
        """The declaration of a threshold or reading, by its flat name."""
        for criterion in self.assessable:
            for one in criterion.settings:
                if one.name == name:
                    return one
        waived = [c for c in self._all if c.assessable and any(s.name == name for s in c.settings)]
        if waived:
            raise ProtocolError(f"{name!r} belongs to {waived[0].id} ({waived[0].name}), which is waived.")
        raise ProtocolError(
            f"{self.id} has no threshold or reading {name!r}.{did_you_mean(name, self.settings, show_all_up_to=0)}"
        )

    def with_thresholds(self, **values) -> Protocol:
        """The protocol with other thresholds or readings, by their flat names.

        Raises ProtocolError for an unknown name (with the nearest known one) or a value of the wrong kind.
        """
        for name, value in values.items():
            self.setting(name).check(value)

        def change(one):
            mine = {s.name: values[s.name] for s in getattr(one, "settings", ()) if s.name in values}
            return one.with_thresholds(**mine) if mine else one

        return replace(self, criteria=tuple(map(change, self.criteria)), _all=tuple(map(change, self._all)))

    def with_rates(self, **rates) -> Protocol:
        """The protocol with other assumed rates of what no table can tell, by name: a Beta, or a pair (a, b).

        Clauses that state the same fact share the rate. Raises ProtocolError for an unknown name or no such rate.
        """
        names = {c.name: c for c in self.not_assessable}
        for name, rate in rates.items():
            if name not in names:
                raise ProtocolError(f"{self.id} assumes no rate called {name!r}.{did_you_mean(name, names)}")
            if names[name].same_as in names:
                raise ProtocolError(f"{name!r} states the same fact as {names[name].same_as!r}; change that rate.")
            if not isinstance(rate, Beta) and (not isinstance(rate, (list, tuple)) or len(rate) != 2):
                raise ProtocolError(f"Rate {name!r} is a Beta or a pair (a, b) of positive numbers, got {rate!r}.")
        made = {name: rate if isinstance(rate, Beta) else Beta(*rate) for name, rate in rates.items()}

        def change(one):
            fact = getattr(one, "same_as", "") or one.name
            if one.assessable or fact not in made:
                return one
            return replace(one, rate=made[fact], source=f"changed in this run; by the protocol file: {one.source}")

        return replace(self, criteria=tuple(map(change, self.criteria)), _all=tuple(map(change, self._all)))

    def without(self, *names: str) -> Protocol:
        """The protocol with criteria waived, by id, by name, or a whole clause ("E7"). They stay listed as waived."""
        gone = []
        for name in names:
            whole = [c for c in self.criteria if c.clause == name]
            gone += whole or [self[name]]
        ids = {c.id for c in gone}
        return replace(
            self,
            criteria=tuple(c for c in self.criteria if c.id not in ids),
            waived=(*self.waived, *(c.id for c in gone if c.id not in self.waived)),
        )

    def adding(self, *criteria: Criterion | NotAssessable) -> Protocol:
        """The protocol with further criteria at the end; their text need not stand in the registered one.

        A criterion whose id is that of a not-assessable clause takes its place: the data can decide it after all.
        """
        ids = {c.id for c in criteria if c.assessable}
        kept = tuple(c for c in self.criteria if c.assessable or c.id not in ids)
        replaced = {
            c.id: c for c in criteria if len(kept) < len(self.criteria) and c.id in {k.id for k in self.criteria}
        }
        if replaced:
            ordered = tuple(replaced.get(c.id, c) if not c.assessable else c for c in self.criteria)
            extra = tuple(c for c in criteria if c.id not in replaced)
        else:
            ordered, extra = self.criteria, criteria
        return replace(
            self,
            criteria=(*ordered, *extra),
            added=(*self.added, *(c.id for c in criteria)),
            _all=(*(replaced.get(c.id, c) for c in self._all), *extra),
        )

    def reordered(self, *names: str) -> Protocol:
        """The protocol with the named criteria (or clauses) first, in that order; the rest keep theirs."""
        first: list = []
        for name in names:
            whole = [c for c in self.criteria if c.clause == name]
            first += [c for c in (whole or [self[name]]) if c not in first]
        return replace(self, criteria=(*first, *(c for c in self.criteria if c not in first)))

    def thresholds(self) -> pd.DataFrame:
        """One row a threshold or reading: its criteria, value in force, protocol's value, unit, choices."""
        rows: dict[str, dict] = {}
        for criterion in self.assessable:
            for s in criterion.settings:
                value = criterion.values[s.name]
                row = rows.setdefault(
                    s.name,
                    {"setting": s.name, "criterion": criterion.id, "name": criterion.name, "kind": s.kind,
                     "value": value, "protocol": s.default, "unit": s.unit, "origin": s.origin,
                     "choices": ", ".join(map(str, s.choices)), "changed": value != s.default},
                )  # fmt: skip
                if criterion.id not in row["criterion"].split(", "):
                    row["criterion"] += f", {criterion.id}"
        names = ["setting", "criterion", "name", "kind", "value", "protocol", "unit", "origin", "choices", "changed"]
        return pd.DataFrame(list(rows.values()), columns=names).set_index("setting")

    def clauses(self) -> dict[str, str]:
        """Clause id to the registered words; without a registered text, the criteria's own texts joined."""
        if self.eligibility_text:
            return split_clauses(self.eligibility_text)
        texts: dict[str, list[str]] = {}
        for one in self._all:
            texts.setdefault(one.clause, []).append(one.text)
        return {clause: " · ".join(dict.fromkeys(parts)) for clause, parts in texts.items()}

    def coverage(self) -> pd.DataFrame:
        """One row a clause of the registered text: who decides it, and what no data decides.

        ``status`` is assessable, partly (some part is not assessable), not assessable, waived, or missing.
        """
        rows = []
        for clause, words in self.clauses().items():
            mine = [c for c in self._all if c.clause == clause and c.id not in self.added]
            active = [c for c in self.criteria if c.clause == clause and c.id not in self.added]
            deciding = [c.id for c in active if c.assessable]
            assumed = [c.id for c in active if not c.assessable]
            rows.append(
                {
                    "clause": clause,
                    "kind": {"I": "inclusion", "E": "exclusion"}[clause[0]],
                    "text": words,
                    "criteria": ", ".join(deciding),
                    "not_assessable": ", ".join(assumed),
                    "waived": ", ".join(c.id for c in mine if c.id in self.waived),
                    "status": _status(mine, deciding, assumed),
                }
            )
        for one in (c for c in self.criteria if c.id in self.added):
            rows.append(
                {"clause": one.id, "kind": one.kind, "text": one.text, "waived": "", "status": "added",
                 "criteria": one.id if one.assessable else "", "not_assessable": "" if one.assessable else one.id}
            )  # fmt: skip
        return pd.DataFrame(rows).set_index("clause")

    def fingerprint(self) -> str:
        """A short hash that changes with any criterion, its code, a threshold, a reading or an assumed rate.

        The order of criteria does not change it: it does not change who is eligible.
        """
        parts = sorted(
            c.signature() if c.assessable else [c.id, c.kind, c.name, c.text, [c.rate.a, c.rate.b], c.same_as]
            for c in self.criteria
        )
        text = json.dumps([self.id, parts], sort_keys=True, default=str, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _status(mine, deciding, assumed) -> str:
    if not mine:
        return "missing"
    if deciding:
        return "partly" if assumed else "assessable"
    return "not assessable" if assumed else "waived"


def _check_unique(protocol: Protocol) -> None:
    for what in ("id", "name"):
        seen: dict[str, str] = {}
        for one in protocol.criteria:
            key = getattr(one, what)
            if key in seen:
                raise ProtocolError(f"{protocol.id}: two criteria have the {what} {key!r} ({seen[key]} and {one.id}).")
            seen[key] = one.id
    owner: dict[str, Any] = {}
    for criterion in protocol.assessable:
        for s in criterion.settings:
            same = replace(s, criterion="")
            if s.name in owner and owner[s.name][0] != same:
                raise ProtocolError(
                    f"{protocol.id}: {s.name!r} is declared differently by {owner[s.name][1]} and {criterion.id};"
                    " one name means one threshold in a protocol."
                )
            owner[s.name] = (same, criterion.id)


def _check_quotations(protocol: Protocol) -> None:
    clauses = split_clauses(protocol.eligibility_text)
    for one in protocol._all:
        if one.id in protocol.added:
            continue
        words = normalise(one.text)
        if one.clause not in clauses:
            raise ProtocolError(
                f"{protocol.id}: {one.id} belongs to no clause of the registered text."
                f"{did_you_mean(one.clause, clauses)}"
            )
        if not words or words not in clauses[one.clause]:
            raise ProtocolError(
                f"{protocol.id}: the text of {one.id} ({one.name}) is not in clause {one.clause} as registered:"
                f" {one.text[:80]!r}"
            )
    missing = _uncovered(clauses, protocol._all)
    if missing:
        raise ProtocolError(
            f"{protocol.id}: no criterion covers {', '.join(missing)};"
            " add one, or not_assessable(...) where the data cannot say."
        )


def _uncovered(clauses: Iterable[str], criteria) -> list[str]:
    covered = {c.clause for c in criteria}
    return [clause for clause in clauses if clause not in covered]
