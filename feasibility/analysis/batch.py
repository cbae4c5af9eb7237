"""Thousands of scenarios at once: each patient is settled once per criterion, then patients are counted in words."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.analysis.answers import BLOCK
from feasibility.analysis.axis import RAILS, Axis, Steps
from feasibility.analysis.bitmaps import total
from feasibility.analysis.plan import Plan
from feasibility.analysis.steps import statuses
from feasibility.analysis.what_if import WhatIf
from feasibility.engine.compact import NotCompactError

SMALL = 4_096
"""Groups of fewer patients are counted together."""
WORDS = 128
"""Words of 64 patients handled at a time, so that the bitmaps stay in the processor's cache."""


def batch(what_if: WhatIf, changes: Iterable | pd.DataFrame) -> pd.DataFrame:
    """The counts of many scenarios: columns n_confirmed, n_possible, one row each.

    ``changes`` are scenarios, mappings of thresholds and readings, protocols or None, or a DataFrame with a column a
    threshold or reading and a row a scenario. The index is the DataFrame's, or the scenarios' names where all have
    one, else 0, 1, 2, ... Every count is that of a fresh screening.

    Raises ProtocolError for an unknown name or a value of the wrong kind, FeasibilityError where nothing is asked.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> from feasibility.protocol.protocol import Protocol
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> what_if = WhatIf(cohort, Protocol("demo", "Demo", [platelets]))
    >>> batch(what_if, pd.DataFrame({"min_platelets": [20, 30, 40]}))["n_possible"].tolist()
    [3, 2, 1]
    """
    plan = Plan(what_if, changes)
    counts = {rail: np.zeros(len(plan), dtype=np.int64) for rail in RAILS}
    if plan.settled.any():
        touched = sorted(plan.touched, key=lambda c: -total(what_if.bits(c)[0]))
        asked = [(c, *plan.variants(c)) for c in touched]
        dims, rest = _settle(what_if, asked)
        which = [one[1] for one in asked]
        counts["possible"] = _count([d["possible"] for d in dims], which, np.ones(len(rest), dtype=bool))
        counts["confirmed"] = _count([d["confirmed"] for d in dims], which, rest)
    for row, protocol in plan.others.items():
        counts["confirmed"][row], counts["possible"][row] = what_if.counts(protocol)
    columns = {"n_confirmed": counts["confirmed"], "n_possible": counts["possible"]}
    return pd.DataFrame(columns, index=plan.index)


def _settle(what_if: WhatIf, asked: list) -> tuple[list[dict[str, Axis]], np.ndarray]:
    """One axis per touched criterion and rail, for the patients whom some scenario may leave in.

    Also, for each of these patients, whether all the other criteria are known to be satisfied.
    """
    ids = frozenset(one[0].id for one in asked)
    rows, rest = what_if.rest(ids)
    followed = [_followed(what_if, criterion, names, variants, ids) for criterion, _, names, variants in asked]
    places = np.arange(len(rows))
    blocks = [
        _settle_block(what_if, asked, followed, rows[part], rest[part], places[part])
        for part in (slice(start, start + BLOCK) for start in range(0, max(1, len(rows)), BLOCK))
    ]
    dims = [{rail: Axis.joined([block[0][d][rail] for block in blocks]) for rail in RAILS} for d in range(len(asked))]
    return dims, np.concatenate([block[1] for block in blocks])


def _settle_block(what_if: WhatIf, asked, followed, rows, rest, places) -> tuple[list[dict[str, Axis]], np.ndarray]:
    dims: list[dict[str, Axis]] = []
    for (criterion, _, names, variants), steps in zip(asked, followed, strict=True):
        if steps is not None:
            dims.append(_on_variants(steps, variants, rows, places))
        else:
            dims.append(_one_by_one(what_if, criterion, names, variants, rows))
        alive = np.flatnonzero(dims[-1]["possible"].start | dims[-1]["possible"].moves)
        if len(alive) < 0.9 * len(rows):
            rows, rest, places = rows[alive], rest[alive], places[alive]
            dims = [{rail: axis.take(alive) for rail, axis in one.items()} for one in dims]
    return dims, rest


def _followed(
    what_if: WhatIf, criterion, names: list[str], variants: list, ids
) -> tuple[Steps, bool, np.ndarray] | None:
    """The step functions of the one threshold in which variants differ, whether they are those of all patients, and
    where the variants lie on them; None where they differ otherwise."""
    if len(names) != 1 or len(variants) < 4 or criterion.setting(names[0]).is_reading:
        return None
    try:
        steps, where = what_if.steps_of_rest(criterion, names[0], ids)
    except (NotCompactError, AttributeError, TypeError, ValueError, KeyError):
        return None
    grid = np.array([v[0] for v in variants if v is not None], dtype=float)
    return steps, not isinstance(where, slice), steps.places_on(grid)


def _on_variants(followed: tuple[Steps, bool, np.ndarray], variants: list, rows, within) -> dict[str, Axis]:
    steps, of_all, places = followed
    n = len(variants) - (variants[-1] is None)
    axes = {rail: getattr(steps, rail).take(rows if of_all else within).mapped(places, n) for rail in RAILS}
    if n < len(variants):  # waived comes last: everybody satisfies it there
        for rail, axis in axes.items():
            last = axis.start.copy()
            for slot in axis.slots:
                last ^= slot < n
            slots = [np.where(slot == n, n + 1, slot) for slot in axis.slots]
            axes[rail] = Axis(axis.start, [*slots, np.where(last, n + 1, n).astype(places.dtype)], n + 1)
    return axes


def _one_by_one(what_if: WhatIf, criterion, names: list[str], variants: list, rows) -> dict[str, Axis]:
    """The same by evaluating every variant (None: waived)."""
    everyone = np.ones(len(rows), dtype=bool)
    before = dict.fromkeys(RAILS, np.zeros(len(rows), dtype=bool))
    turns: dict[str, list] = {rail: [] for rail in RAILS}
    for j, values in enumerate(variants):
        if values is None:
            states = (everyone, everyone)
        else:
            variant = criterion.with_thresholds(**dict(zip(names, values, strict=True)))
            states = _states(what_if, variant, rows, everyone)
        for rail, now in zip(RAILS, states, strict=True):
            turned = np.flatnonzero(now != before[rail])
            turns[rail].append((turned, np.full(len(turned), j)))
            before[rail] = now
    return {rail: Axis.of(turns[rail], len(rows), len(variants)) for rail in RAILS}


def _states(what_if: WhatIf, criterion, rows, everyone):
    """Possible and confirmed under one variant, on compact columns or else by the reference."""
    try:
        return statuses([criterion], {criterion.id: what_if.columns(criterion, rows)}, everyone)
    except (NotCompactError, AttributeError, TypeError, ValueError):
        failed, unknown = what_if.reference(criterion, rows)
        return ~failed, ~(failed | unknown)


def _count(axes: list[Axis], which: list[np.ndarray], base: np.ndarray) -> np.ndarray:
    """How many patients say yes on every axis (``base``: of these), for each scenario.

    Patients are sorted by the axes on which they turn at all; the others do not matter to them.
    """
    if not axes:  # nothing differs from the protocol
        return np.full(1, base.sum())
    counts = np.zeros(len(which[0]), dtype=np.int64)
    kind = np.zeros(len(base), dtype=np.uint16 if len(axes) <= 16 else np.int64)  # short numbers sort much faster
    never = ~base
    for d, axis in enumerate(axes):
        moves = axis.moves
        never |= ~moves & ~axis.start
        kind |= moves.astype(kind.dtype) << kind.dtype.type(min(d, 62))
    left = np.flatnonzero(~never)
    if not len(left):
        return counts
    order = left[np.argsort(kind[left], kind="stable")]
    kinds, starts = np.unique(kind[order], return_index=True)
    small, together = [], 0
    for one, rows in zip(kinds.tolist(), np.split(order, starts[1:]), strict=True):
        moving = [d for d in range(len(axes)) if one >> min(d, 62) & 1]
        if not moving:
            counts += len(rows)
        elif len(moving) == 1:
            counts += axes[moving[0]].take(rows).numbers()[which[moving[0]]]
        elif len(rows) < SMALL:
            small.append(rows)
            together |= one
        else:
            counts += _count_words(axes, which, moving, rows)
    if small:
        moving = [d for d in range(len(axes)) if together >> min(d, 62) & 1]
        counts += _count_words(axes, which, moving, np.concatenate(small))
    return counts


def _count_words(axes, which, moving: list[int], rows: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(which[0]), dtype=np.int64)
    scratch = np.empty((max(axes[d].size for d in moving) + 1, WORDS), dtype=np.uint64)
    for start in range(0, len(rows), WORDS * 64):
        part = rows[start : start + WORDS * 64]
        both = None
        for d in moving:
            yes = axes[d].take(part).bitmaps(scratch)[which[d]]
            both = yes if both is None else np.bitwise_and(both, yes, out=both)
        counts += np.bitwise_count(both).sum(axis=1, dtype=np.int64)
    return counts
