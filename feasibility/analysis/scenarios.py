"""Scenarios side by side: what each changes, in words and in patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from feasibility.analysis.curve import opened
from feasibility.analysis.reconcile import same
from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario

COLUMNS = ["n_confirmed", "n_possible", "gain_confirmed", "gain_possible", "changes"]
BASE = "as in the protocol"
Change = Protocol | Scenario | Mapping


def compare(changes: Iterable[Change] | Mapping[str, Change], cohort, protocol: Protocol | None = None, **options):
    """Scenarios in one table, against the protocol.

    ``changes`` are scenarios, changed protocols or mappings of thresholds and readings, or a dict that names them.
    Index ``scenario``, the protocol first; columns n_confirmed, n_possible, gain_confirmed, gain_possible (patients
    more, or with a minus fewer, than in the protocol) and changes (in words). ``cohort`` is a patient table, or a
    ``WhatIf`` (then without ``protocol``); ``options`` are those of ``WhatIf``.

    Raises ProtocolError for a change that does not fit the protocol, FeasibilityError where two have one name.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> protocol = Protocol("demo", "Demo", [platelets])
    >>> table = compare([Scenario("wider", {"min_platelets": 20})], cohort, protocol)
    >>> table[["gain_possible", "changes"]].values.tolist()
    [[0, ''], [1, 'min_platelets 30 → 20']]
    """
    named = _named(changes)
    what_if, _ = opened(cohort, protocol, "", options)
    base = what_if.counts()
    rows = {BASE: (*base, 0, 0, "")}
    for name, change in named.items():
        changed = what_if.changed(change)
        counts = what_if.counts(changed)
        gained = counts.n_confirmed - base.n_confirmed, counts.n_possible - base.n_possible
        rows[name] = (*counts, *gained, "; ".join(in_words(what_if.protocol, changed)) or "none")
    return _table(rows, "scenario")


def waterfall(change: Change, cohort, protocol: Protocol | None = None, **options) -> pd.DataFrame:
    """One scenario taken apart: its changes made one after the other, and what each adds.

    Index ``step``: the protocol, then each change in words, in the order of the protocol's criteria; the last row has
    all of them. Columns n_confirmed and n_possible after the step, gain_confirmed and gain_possible by it. The gains
    add up; how much each step gets of them depends on the order, because a patient may need several changes.

    Raises ProtocolError for a change that does not fit the protocol.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "age")
    ... def age(age_years, *, min_age=18, max_age=70):
    ...     return (age_years >= min_age) & (age_years <= max_age)
    >>> cohort = pd.DataFrame({"age_years": pd.array([17, 30, 80], dtype="Int64")})
    >>> waterfall({"min_age": 16, "max_age": 90}, cohort, Protocol("demo", "Demo", [age]))["gain_possible"].to_dict()
    {'as in the protocol': 0, 'min_age 18 → 16': 1, 'max_age 70 → 90': 1}
    """
    what_if, _ = opened(cohort, protocol, "", options)
    target = what_if.changed(change)
    last = what_if.counts()
    rows = {BASE: (*last, 0, 0)}
    for words, stage in _stages(what_if.protocol, target):
        counts = what_if.counts(stage)
        rows[words] = (*counts, counts.n_confirmed - last.n_confirmed, counts.n_possible - last.n_possible)
        last = counts
    same("the steps end at the scenario", list(last), list(what_if.counts(target)))
    return _table(rows, "step")


def in_words(old: Protocol, new: Protocol) -> list[str]:
    """What a changed protocol changes, one short phrase each, in the order of the protocol's criteria.

    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "x > 1")
    ... def high(x, *, min_x=1):
    ...     return x > min_x
    >>> protocol = Protocol("demo", "Demo", [high])
    >>> in_words(protocol, protocol.with_thresholds(min_x=2)), in_words(protocol, protocol.without("I1"))
    (['min_x 1 → 2'], ['I1 high waived'])
    """
    return [words for words, _ in _stages(old, new)]


def _stages(old: Protocol, new: Protocol) -> list[tuple[str, Protocol]]:
    """Each single change in words, with the protocol after it and all before it."""
    stages, now = [], old
    theirs = {c.id: c for c in new.assessable}
    mine = {c.id: c for c in old.assessable}
    done: set[str] = set()
    for key, criterion in mine.items():
        if key not in theirs:
            now = _replaced(now, key, None)
            stages.append((f"{key} {criterion.name} waived", now))
            continue
        other = theirs[key]
        if other.function is not criterion.function or other.kind != criterion.kind:
            now = _replaced(now, key, other)
            stages.append((f"{key} {criterion.name} rewritten", now))
            continue
        for setting in criterion.settings:
            before, after = criterion.values[setting.name], other.values[setting.name]
            if before != after and setting.name not in done:
                done.add(setting.name)
                now = now.with_thresholds(**{setting.name: after})
                unit = f" {setting.unit}" if setting.unit else ""
                stages.append((f"{setting.name} {_value(before)} → {_value(after)}{unit}", now))
    for key, criterion in theirs.items():
        if key not in mine:
            now = _replaced(now, key, criterion)
            stages.append((f"{key} {criterion.name} added", now))
    return stages


def _replaced(protocol: Protocol, key: str, criterion) -> Protocol:
    """A plain protocol with one criterion left out, exchanged or added."""
    criteria = [criterion if c.id == key else c for c in protocol.criteria]
    if criterion is not None and all(c.id != key for c in protocol.assessable):
        criteria = [c for c in protocol.criteria if c.id != key] + [criterion]
    return Protocol(protocol.id, protocol.title, [c for c in criteria if c is not None], columns=protocol.columns)


def _value(value) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _named(changes) -> dict[str, Change]:
    if isinstance(changes, (str, Scenario, Protocol)):
        raise FeasibilityError("compare needs a list of scenarios, or a dict that names them.")
    if isinstance(changes, Mapping):
        named = dict(changes)
        if not all(isinstance(c, (Protocol, Scenario, Mapping)) for c in named.values()):
            raise FeasibilityError("compare needs a list of scenarios, or a dict that names them; put [...] around it.")
    else:
        named = {}
        for i, change in enumerate(changes):
            name = change.name if isinstance(change, Scenario) else f"scenario {i + 1}"
            if name in named:
                raise FeasibilityError(f"Two scenarios are called {name!r}; give each its own name.")
            named[name] = change
    if not named:
        raise FeasibilityError("There is no scenario to compare.")
    if BASE in named:
        raise FeasibilityError(f"A scenario cannot be called {BASE!r}: that is the first row.")
    return named


def _table(rows: dict, name: str) -> pd.DataFrame:
    width = len(next(iter(rows.values())))
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS[:width]).rename_axis(name)
