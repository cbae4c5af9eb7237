"""Sweeps: the counts at chosen values of one or two thresholds or readings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.analysis.axis import RAILS
from feasibility.analysis.batch import batch
from feasibility.analysis.curve import (
    UNFOLLOWED,
    compared_with,
    followed,
    joint_steps,
    opened,
    owners_of,
    steps_of,
    threshold,
)
from feasibility.analysis.steps import cells, statuses
from feasibility.analysis.varying import Varying
from feasibility.analysis.what_if import WhatIf
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.protocol.protocol import Protocol

COLUMNS = ["n_confirmed", "n_possible"]
OPTIONS = ("missing_columns", "check", "progress", "screening")


def sweep(cohort, protocol: Protocol | None = None, **values: Iterable) -> pd.DataFrame:
    """The counts at chosen values of one or two thresholds or readings, everything else as in the protocol.

    Index: the threshold (two: every pair of values); columns n_confirmed, n_possible, in patients. Values are in the
    threshold's own unit, as ``protocol.thresholds()`` shows it. ``cohort`` is a patient table, or a ``WhatIf`` (then
    without ``protocol``). The options of ``WhatIf`` (missing_columns, check, progress) are passed on.

    Raises ProtocolError for an unknown name or reading, FeasibilityError for an empty range, more than two names, a
    single value instead of a list, and for a range that lies wholly outside what the compared columns can hold, which
    means another unit.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> sweep(cohort, Protocol("demo", "Demo", [platelets]), min_platelets=range(20, 41, 10))["n_possible"].tolist()
    [3, 2, 1]
    """
    options = {name: values.pop(name) for name in OPTIONS if name in values}
    known = cohort.protocol if isinstance(cohort, WhatIf) else protocol
    asked = _checked(known, values)
    what_if, _ = opened(cohort, protocol, "", options)
    for name, chosen in asked.items():
        _check_unit(what_if, name, chosen)
    numbers = [n for n in asked if not what_if.protocol.setting(n).is_reading]
    if len(asked) == len(numbers):
        try:
            return _line(what_if, *asked.items()) if len(asked) == 1 else _plane(what_if, *asked.items())
        except (FeasibilityError, *UNFOLLOWED):
            pass  # a criterion whose threshold cannot be followed is evaluated value by value
    names = list(asked)
    index = _index(names, list(asked.values()))
    rows = [dict(zip(names, key if len(names) == 2 else (key,), strict=True)) for key in index]
    return batch(what_if, rows).set_axis(index)


def surface(cohort, protocol: Protocol | None = None, **values: Iterable) -> pd.DataFrame:
    """The counts over a grid of two thresholds, exact at every point, for about the price of one screening.

    As ``sweep`` over two thresholds: index (first, second), columns n_confirmed, n_possible.
    ``["n_possible"].unstack()`` is the grid, ``plot_surface`` its picture.

    Raises FeasibilityError for any other number of names, and as ``sweep`` does.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "age")
    ... def age(age_years, *, min_age=18, max_age=70):
    ...     return (age_years >= min_age) & (age_years <= max_age)
    >>> cohort = pd.DataFrame({"age_years": pd.array([17, 30, 80], dtype="Int64")})
    >>> grid = surface(cohort, Protocol("demo", "Demo", [age]), min_age=[16, 18], max_age=[70, 90])
    >>> grid["n_possible"].unstack().to_numpy().tolist()
    [[2, 3], [1, 2]]
    """
    names = [n for n in values if n not in OPTIONS]
    if len(names) != 2:
        raise FeasibilityError(f"surface needs two thresholds, got {len(names)}: surface(..., min_a=[..], max_b=[..]).")
    known = cohort.protocol if isinstance(cohort, WhatIf) else protocol
    if isinstance(known, Protocol):
        for name in names:
            threshold(known, name)
    return sweep(cohort, protocol, **values)


def _checked(protocol, values: dict) -> dict[str, list]:
    """Each name with its distinct values as the criterion wants them."""
    if not isinstance(protocol, Protocol):
        raise FeasibilityError(f"A protocol is needed as second argument, got {type(protocol).__name__}.")
    if not 1 <= len(values) <= 2:
        raise FeasibilityError(
            f"sweep takes one or two thresholds or readings, got {len(values)}"
            f"{' (' + ', '.join(values) + ')' if values else ''}. For more, give scenarios to WhatIf and batch."
        )
    checked = {}
    for name, given in values.items():
        setting = protocol.setting(name)
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise FeasibilityError(f"{name} needs several values, such as {name}=[{given!r}, ...], got {given!r}.")
        given = given.tolist() if hasattr(given, "tolist") else list(given)
        if not given:
            raise FeasibilityError(f"The range of {name} is empty. A range counts up: range(40, 101, 5).")
        if setting.is_reading:
            for value in given:
                if value not in setting.choices and isinstance(value, str):
                    hint = did_you_mean(value, map(str, setting.choices), show_all_up_to=0)
                    choices = ", ".join(map(repr, setting.choices))
                    raise FeasibilityError(f"Reading {name!r} cannot be {value!r}. Choices: {choices}.{hint}")
        checked[name] = list(dict.fromkeys(setting.check(v) for v in given))
    return checked


def _check_unit(what_if: WhatIf, name: str, values: list) -> None:
    """Refuse a range that no patient's value could ever meet: it is in another unit."""
    setting, declared = what_if.protocol.setting(name), what_if.protocol.columns
    if setting.is_reading or declared is None:
        return
    compared = [c for c in sorted(compared_with(what_if, name)) if c in declared]
    ranges = [(c, *declared[c].hard) for c in compared if declared[c].hard]
    if not ranges or any(low <= v <= high for _, low, high in ranges for v in values):
        return
    column, low, high = ranges[0]
    unit = f" {setting.unit}" if setting.unit else ""
    raise FeasibilityError(
        f"Every value of {name} ({min(values):g} to {max(values):g}) lies outside what {column} can hold"
        f" ({low:g} to {high:g}{unit}). The threshold is {what_if.protocol.settings[name]:g}{unit} in the protocol:"
        " is the range in another unit?"
    )


def _index(names: list[str], values: list[list]) -> pd.Index:
    return pd.Index(values[0], name=names[0]) if len(names) == 1 else pd.MultiIndex.from_product(values, names=names)


def _line(what_if: WhatIf, swept) -> pd.DataFrame:
    name, values = swept
    steps, counts = steps_of(what_if, name)
    counts = counts[steps.place_at(np.array(values, dtype=float))]
    return pd.DataFrame(counts, index=_index([name], [values]), columns=COLUMNS)


def _plane(what_if: WhatIf, one, two) -> pd.DataFrame:
    grids = [np.unique(np.array(values, dtype=float)) for _, values in (one, two)]
    owners = [owners_of(what_if.protocol, name) for name, _ in (one, two)]
    shared = {c.id for c in owners[0]} & {c.id for c in owners[1]}
    counts = (_joint if shared else _apart)(what_if, one[0], two[0], owners, grids)
    rows, columns = (np.searchsorted(g, v) for g, (_, v) in zip(grids, (one, two), strict=True))
    made = {f"n_{rail}": counts[rail][np.ix_(rows, columns)].ravel() for rail in ("confirmed", "possible")}
    return pd.DataFrame(made, index=_index([one[0], two[0]], [one[1], two[1]]))


def _apart(what_if: WhatIf, first: str, second: str, owners, grids) -> dict[str, np.ndarray]:
    """Two thresholds of different criteria: patients fall on the grid where both have turned; sums do the rest."""
    ids = frozenset(c.id for both in owners for c in both)
    rows, rest = what_if.rest(ids)
    axes = []
    for name, owned, grid in zip((first, second), owners, grids, strict=True):
        if len(owned) == 1:
            steps, mine = followed(what_if, name, owned[0], ids)
        else:
            steps, mine = joint_steps(what_if, name, owned, rows, np.ones(len(rows), dtype=bool)), slice(None)
        places = steps.places_on(grid)
        axes.append({rail: getattr(steps, rail).take(mine).mapped(places, len(grid)) for rail in RAILS})
    a, b = (len(g) for g in grids)
    counts = {}
    for rail in RAILS:
        one, two = (axis[rail] if rail == "possible" else axis[rail].take(rest) for axis in axes)
        change = np.zeros((a + 1) * (b + 1))
        for places, sign in one.signed():
            for others, also in two.signed():
                at = places.astype(np.int64) * (b + 1) + others
                change += np.bincount(at, sign * also, len(change))
        change = change.reshape(a + 1, b + 1)[:a, :b]
        counts[rail] = np.rint(change.cumsum(axis=0).cumsum(axis=1)).astype(np.int64)
    return counts


def _joint(what_if: WhatIf, first: str, second: str, owners, grids) -> dict[str, np.ndarray]:
    """Two thresholds of one criterion: each patient's counts on the cells between what both are compared with."""
    criteria = list({c.id: c for both in owners for c in both}.values())
    rows, rest = what_if.rest(c.id for c in criteria)
    columns = {c.id: what_if.columns(c, rows) for c in criteria}
    points = cells(criteria, columns, (first, second), what_if.protocol.settings, len(rows))
    a, b = (len(g) for g in grids)
    ranks = [[np.searchsorted(g, p) for p in ps] for g, ps in zip(grids, points, strict=True)]
    change = {rail: np.zeros((a + 1) * (b + 1)) for rail in RAILS}
    above = [dict.fromkeys(RAILS, np.zeros(len(rows), dtype=np.int8))] * (len(points[1]) + 1)
    for i, one in enumerate(points[0]):
        line = [dict.fromkeys(RAILS, np.zeros(len(rows), dtype=np.int8))]
        for j, two in enumerate(points[1]):
            state = statuses(criteria, columns, rest, **{first: Varying(one), second: Varying(two)})
            line.append({rail: yes.astype(np.int8) for rail, yes in zip(RAILS, state, strict=True)})
            for rail in RAILS:
                step = line[j + 1][rail] - line[j][rail] - above[j + 1][rail] + above[j][rail]
                at = np.flatnonzero(step)
                place = ranks[0][i][at] * (b + 1) + ranks[1][j][at]
                change[rail] += np.bincount(place, step[at], len(change[rail]))
        above = line
    tables = {rail: change[rail].reshape(a + 1, b + 1)[:a, :b].cumsum(axis=0).cumsum(axis=1) for rail in RAILS}
    return {rail: np.rint(table).astype(np.int64) for rail, table in tables.items()}
