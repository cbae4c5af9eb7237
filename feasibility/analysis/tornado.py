"""How far interpretation alone moves the number: every reading of every ambiguous wording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from feasibility.analysis.curve import opened
from feasibility.analysis.what_if import Counts, WhatIf
from feasibility.errors import FeasibilityError, ScreeningError
from feasibility.protocol.protocol import Protocol

COLUMNS = [
    "kind", "belongs_to", "value", "low_choice", "high_choice", "n_possible_low", "n_possible_high",
    "n_confirmed_low", "n_confirmed_high", "span", "without_data",
]  # fmt: skip
TOGETHER = "all together"


def tornado(
    cohort,
    protocol: Protocol | None = None,
    *,
    build: Mapping[str, Iterable] | None = None,
    rebuild: Callable[[str, str, object], pd.DataFrame] | None = None,
    **options,
) -> pd.DataFrame:
    """The range of counts that interpretation alone spans, one row a reading, the widest first.

    Each reading takes each of its choices while everything else stays as in the protocol. Index ``setting``; columns
    kind ("reading" or "build setting"), belongs_to (criteria, or the column), value (in force), low_choice and
    high_choice (with the fewest and the most possible patients, ties by the confirmed), n_possible_low,
    n_possible_high, n_confirmed_low, n_confirmed_high (the smallest and largest over the choices), span (of the
    possible) and without_data (choices that read a column the cohort lacks, left out). The last row,
    "all together", sets every reading at its low and then at its high choice in one protocol: the range is reached,
    but where readings interact a rarer combination may reach further.

    ``build`` lists values for the build settings of columns ("em_active.window_days": [90, 180]);
    ``rebuild(column, setting, value)`` returns the cohort built with it. They stay out of "all together".

    ``cohort`` is a patient table, or a ``WhatIf`` (then without ``protocol``); ``options`` are those of ``WhatIf``.
    ``.attrs`` has the counts in force. Raises FeasibilityError if the protocol has no reading at all.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets of 30 or above")
    ... def platelets(platelets_10e9_l, *, strictly: bool = False):
    ...     return platelets_10e9_l > 30 if strictly else platelets_10e9_l >= 30
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 30, None], dtype="Float64")})
    >>> table = tornado(cohort, Protocol("demo", "Demo", [platelets]))
    >>> table.loc["strictly", ["n_possible_low", "n_possible_high"]].tolist()
    [2, 3]
    """
    what_if, _ = opened(cohort, protocol, "", options)
    protocol = what_if.protocol
    rows: dict[str, tuple] = {}
    ends: dict[str, dict] = {"low": {}, "high": {}}
    for name, setting, owners in _readings(protocol):
        found, absent = {}, []
        for choice in setting.choices:
            try:
                found[choice] = what_if.counts({name: choice})
            except ScreeningError:
                absent.append(str(choice))
        rows[name] = _row("reading", ", ".join(owners), protocol.settings[name], found, absent)
        ends["low"][name], ends["high"][name] = rows[name][3], rows[name][4]
    for key, values in (build or {}).items():
        rows[key] = _built(what_if, key, values, rebuild)
    if not rows:
        raise FeasibilityError(f"{protocol.id} has no reading to vary.")
    rows = dict(sorted(rows.items(), key=lambda item: (-item[1][9], -item[1][8])))
    if ends["low"]:
        both = {end: what_if.counts(choices) for end, choices in ends.items()}
        rows[TOGETHER] = _row("reading", "", "", both, [])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("setting")
    table = table.astype(dict.fromkeys(("value", "low_choice", "high_choice"), object))
    table.attrs |= what_if.counts()._asdict() | {"trial": protocol.id}
    return table


def _readings(protocol: Protocol):
    owners: dict[str, list[str]] = {}
    settings = {}
    for criterion in protocol.assessable:
        for setting in criterion.settings:
            if setting.is_reading:
                settings[setting.name] = setting
                owners.setdefault(setting.name, []).append(criterion.id)
    return [(name, setting, owners[name]) for name, setting in settings.items()]


def _built(what_if: WhatIf, key: str, values: Iterable, rebuild) -> tuple:
    column, dot, setting = key.partition(".")
    declared = what_if.protocol.columns
    if not dot or rebuild is None:
        raise FeasibilityError(f"{key!r}: write build settings as 'column.setting', and rebuild=... to build a cohort.")
    if declared is not None and (column not in declared or setting not in declared[column].settings):
        known = [] if column not in declared else list(declared[column].settings)
        raise FeasibilityError(f"{key!r} is no build setting. Those of {column!r}: {', '.join(known) or 'none'}.")
    force = None if declared is None else declared[column].settings[setting]
    found = {}
    for value in values:
        made = WhatIf(rebuild(column, setting, value), what_if.protocol, check=False,
                      missing_columns=what_if.missing_columns)  # fmt: skip
        found[value] = made.counts()
    if not found:
        raise FeasibilityError(f"{key!r}: no values are given.")
    return _row("build setting", column, force, found, [])


def _row(kind: str, belongs: str, value, found: dict[object, Counts], absent: list[str]) -> tuple:
    def rank(choice):
        return found[choice].n_possible, found[choice].n_confirmed, choice == value

    low = min(found, key=lambda c: (*rank(c)[:2], not rank(c)[2]))
    high = max(found, key=rank)
    possible = [c.n_possible for c in found.values()]
    confirmed = [c.n_confirmed for c in found.values()]
    span = max(possible) - min(possible)
    return (kind, belongs, value, low, high, min(possible), max(possible), min(confirmed), max(confirmed), span,
            ", ".join(absent))  # fmt: skip
