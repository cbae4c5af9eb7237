"""Small populations whose every status is known, and the protected table of what a release would tell about them.

Nothing here screens, counts or decides with the package: statuses are compared by hand, so that the true number under
any change is an independent answer. A value is (lo, hi), the bounds it is known between.
"""

from __future__ import annotations

import math

import numpy as np

from feasibility.disclosure.plan import Change
from feasibility.disclosure.policy import Policy
from feasibility.disclosure.queries import changed_queries, funnel_queries, reason_queries
from feasibility.disclosure.table import ProtectedTable
from feasibility.patterns import CriterionLabel

FAILS, UNKNOWN, PASSES = 0, 1, 2
ANY = (-math.inf, math.inf)
EXACT = Policy("exact", base=1, threshold=1)
IDS = ("I1", "I2", "I3", "E1")
DEFAULTS = {"min_a": 2, "max_b": 2, "min_c": 2, "which": "first"}
OWNERS = {"min_a": ("I1", "I3"), "max_b": ("I2",), "min_c": ("I2",), "which": ("E1",)}
GRIDS = {"min_a": (0, 1, 3), "max_b": (1, 3), "min_c": (1,)}


def at_least(value, limit) -> int:
    return PASSES if value[0] >= limit else FAILS if value[1] < limit else UNKNOWN


def at_most(value, limit) -> int:
    return PASSES if value[1] <= limit else FAILS if value[0] > limit else UNKNOWN


def status(patient: dict, criterion: str, settings: dict) -> int:
    """I1 and I3 share a threshold, I2 has two, E1 has a reading."""
    s = DEFAULTS | settings
    if criterion == "I1":
        return at_least(patient["x"], s["min_a"])
    if criterion == "I2":
        return min(at_most(patient["y"], s["max_b"]), at_least(patient["z"], s["min_c"]))
    if criterion == "I3":
        return at_least(patient["w"], s["min_a"])
    return patient["first"] if s["which"] == "first" else patient["second"]


def truth(patients, off=(), settings=None, upto: int = len(IDS)) -> tuple[int, int]:
    """(possible, confirmed) after the first ``upto`` criteria, counted patient by patient."""
    possible = confirmed = 0
    for patient in patients:
        got = [status(patient, key, settings or {}) for key in IDS[:upto] if key not in off]
        possible += FAILS not in got
        confirmed += all(one == PASSES for one in got)
    return possible, confirmed


def change(name: str, table: str, settings: dict, waived=(), ids=IDS) -> Change:
    columns = []
    for key in ids:
        moved = {k: v for k, v in settings.items() if key in OWNERS[k] and v != DEFAULTS[k]}
        if key not in waived:
            columns.append(f"{key}|{','.join(f'{k}={v}' for k, v in moved.items())}" if moved else key)
    return Change(name, table, tuple(columns), settings, tuple(waived))


def grid_changes(grids=GRIDS, ids=IDS) -> list[Change]:
    return [change(f"{k}={v:g}", "curves", {k: v}, ids=ids) for k, values in grids.items() for v in values]


def protected(patients, scenarios=(), policy=EXACT, round_to=None, grids=GRIDS, tables=None, ids=IDS) -> ProtectedTable:
    """The table of a release of these patients: funnel, bounds, only-reason, curves and scenarios.

    ``round_to`` rounds the groups' counts (a function of the true ones); groups left empty are not told of.
    """
    changes = (*grid_changes(grids, ids), *scenarios)
    queries = [*funnel_queries(ids), *reason_queries(ids)]
    for one in changes:
        queries += changed_queries(one.name, one.columns, one.table)
    queries = tuple(q for q in queries if tables is None or q.table in tables)
    groups: dict[tuple, int] = {}
    for patient in patients:
        answers = tuple(_counts(patient, query) for query in queries)
        groups[answers] = groups.get(answers, 0) + 1
    members = np.array(list(groups), dtype=bool).reshape(len(groups), len(queries))
    n = np.array(list(groups.values()), dtype=np.int64)
    if round_to is not None:
        n = np.array([round_to(int(one)) for one in n], dtype=np.int64)
        members, n = members[n > 0], n[n > 0]
    labels = tuple(CriterionLabel(key, "inclusion", f"rule_{key.lower()}", f"text of {key}") for key in ids)
    scales = {
        k: {"unit": "g/L", "protocol": DEFAULTS[k], "criteria": [o for o in OWNERS[k] if o in ids]} for k in grids
    }
    return ProtectedTable(labels, policy, queries, members, n, changes, scales)


def _counts(patient, query) -> bool:
    def got(column):
        key, _, told = column.partition("|")
        return status(patient, key, {k: _value(v) for k, _, v in (p.partition("=") for p in told.split(",") if told)})

    return (
        all(got(c) == PASSES for c in query.passes)
        and all(got(c) != FAILS for c in query.stays)
        and all(got(c) == FAILS for c in query.fails)
        and all(got(c) == UNKNOWN for c in query.unknown)
    )


def _value(text: str):
    return text if text.isalpha() else float(text)
