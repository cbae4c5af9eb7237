"""The exact curve of one threshold: every value at which the number of patients changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from feasibility.analysis.axis import Steps
from feasibility.analysis.reconcile import same
from feasibility.analysis.steps import compared, follow
from feasibility.analysis.what_if import WhatIf
from feasibility.engine.compact import NotCompactError
from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol

UNFOLLOWED = (NotCompactError, AttributeError, TypeError, ValueError, KeyError)
"""What a criterion raises that does with a threshold what cannot be followed."""
COLUMNS = ("n_confirmed", "n_possible", "n_confirmed_above", "n_possible_above")


def curve(cohort, protocol: Protocol | None = None, name: str = "", **options) -> pd.DataFrame:
    """The number of patients as an exact step function of one threshold.

    One row for every value at which the confirmed or the possible number changes, ascending. ``n_confirmed`` and
    ``n_possible`` hold *at* that very value, ``n_confirmed_above`` and ``n_possible_above`` for every value between it
    and the next row's. So "strictly above 60" and "60 or more" are told apart: the one changes at its value, the other
    just above it. The first row is minus infinity: what holds below all changes. The row marked ``in_force`` is the
    protocol's own value, whether or not something changes there. ``curve_at`` reads any value from the table.

    Works for every threshold of every criterion: used twice, multiplied, shared by several criteria, compared with
    bounded values, in either direction or in none (``early_relapse_months``), and for look-backs, where a longer one
    makes values known: confirmed patients then never get fewer, possible ones may.

    ``cohort`` is a patient table, or a ``WhatIf`` (then without ``protocol``), which saves the screening.
    ``options`` are those of ``WhatIf``. ``.attrs`` carries the unit and the name.

    Raises ProtocolError for an unknown name, FeasibilityError for a reading (use ``sweep``), and where a criterion
    does with its threshold what cannot be followed (rounding it, looking it up); ``sweep`` takes any criterion.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, None], dtype="Float64")})
    >>> curve(cohort, Protocol("demo", "Demo", [platelets]), "min_platelets")["n_possible"].to_dict()
    {-inf: 3, 25.0: 2, 30.0: 2, 31.0: 1}
    """
    what_if, name = opened(cohort, protocol, name, options)
    setting = threshold(what_if.protocol, name)
    steps, counts = steps_of(what_if, name)
    value = what_if.protocol.settings[name]
    own = float(value) if isinstance(value, (int, float)) else np.nan
    values, counts = _both_sides(steps, counts, own)
    if not np.isnan(own):
        same("the curve meets the screening", counts[values == own][0, :2], what_if.counts())
    columns = {column: counts[:, i] for i, column in enumerate(COLUMNS)}
    table = pd.DataFrame(columns | {"in_force": values == own}, index=pd.Index(values, name=name))
    table.attrs |= {"unit": setting.unit, "trial": what_if.protocol.id}
    return table


def curve_at(table: pd.DataFrame, values: Iterable[float]) -> pd.DataFrame:
    """Read a curve at any values: index value, columns n_confirmed, n_possible.

    >>> table = pd.DataFrame([[3, 5, 3, 5], [3, 5, 1, 4]], index=[-float("inf"), 60.0], columns=list(COLUMNS))
    >>> curve_at(table, [59, 60, 61])["n_confirmed"].tolist()
    [3, 3, 1]
    """
    values = [float(v) for v in values]
    return pd.DataFrame(_at(table, values), index=pd.Index(values, name=table.index.name), columns=list(COLUMNS[:2]))


def curves(cohort, protocol: Protocol | None = None, names: Sequence[str] | None = None, *, points: int = 41,
           **options) -> pd.DataFrame:  # fmt: skip
    """All thresholds side by side, each over a sensible range: which ones matter.

    Index (threshold, value); columns n_confirmed, n_possible (exact at that value, everything else as in the
    protocol), in_force, unit, criterion. The range runs over the middle 96 % of the values that patients who satisfy
    everything else have, but at least from half to one and a half times the protocol's value and at most from a third
    to three times, in ``points`` even steps; it always includes the protocol's value. ``names`` picks thresholds; by
    default all whose range changes the possible or the confirmed number, the most consequential first. Thresholds that
    cannot be followed (see ``curve``) are left out and listed in ``.attrs["left_out"]``.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 25, 40], dtype="Float64")})
    >>> curves(cohort, Protocol("demo", "Demo", [platelets]), points=3)["n_possible"].tolist()
    [3, 2, 0]
    """
    what_if, _ = opened(cohort, protocol, "", options)
    settings = {s.name: (s, c) for c in what_if.protocol.assessable for s in reversed(c.settings) if not s.is_reading}
    chosen = list(settings) if names is None else [threshold(what_if.protocol, n).name for n in names]
    parts, left_out = {}, []
    for name in chosen:
        setting, criterion = settings[name]
        value = what_if.protocol.settings[name]
        try:
            steps, counts = steps_of(what_if, name)
        except FeasibilityError:
            left_out.append(name)
            continue
        grid = _range(_turning_values(steps, counts), value, points, whole=setting.whole)
        part = pd.DataFrame(counts[steps.place_at(grid)], index=pd.Index(grid, name="value"), columns=list(COLUMNS[:2]))
        parts[name] = part.assign(in_force=part.index == value, unit=setting.unit, criterion=criterion.id)
    spread = {n: max(np.ptp(t.n_possible), np.ptp(t.n_confirmed)) for n, t in parts.items()}
    if names is None:
        parts = {n: parts[n] for n in sorted(parts, key=lambda n: -spread[n]) if spread[n]}
    if not parts:
        raise FeasibilityError("No threshold changes a count, so there are no curves to show.")
    table = pd.concat(parts, names=["threshold"])
    table.attrs |= {"left_out": left_out, "trial": what_if.protocol.id}
    return table


def opened(cohort, protocol, name, options) -> tuple[WhatIf, str]:
    """The WhatIf behind ``f(cohort, protocol, name)`` or ``f(what_if, name)``."""
    if isinstance(cohort, WhatIf):
        if isinstance(protocol, Protocol):
            raise FeasibilityError("A WhatIf has its protocol already: leave the second argument out.")
        return cohort, name or protocol or ""
    if not isinstance(protocol, Protocol):
        raise FeasibilityError(f"A protocol is needed as second argument, got {type(protocol).__name__}.")
    return WhatIf(cohort, protocol, **options), name


def threshold(protocol: Protocol, name: str):
    """The declaration of a threshold; an error for a reading or an unknown name."""
    setting = protocol.setting(name)
    if setting.is_reading:
        choices = ", ".join(map(repr, setting.choices))
        raise FeasibilityError(f"{name!r} is a reading (one of {choices}), not a number: use sweep(..., {name}=[...]).")
    return setting


def owners_of(protocol: Protocol, *names: str) -> list:
    """The criteria that read any of these settings."""
    return [c for c in protocol.assessable if any(s.name in names for s in c.settings)]


def steps_of(what_if: WhatIf, name: str) -> tuple[Steps, np.ndarray]:
    """The step functions of a threshold, and the confirmed and possible numbers at each of their places."""
    owners = owners_of(what_if.protocol, name)
    rows, rest = what_if.rest([c.id for c in owners])
    if len(owners) == 1:
        steps, where = followed(what_if, name, owners[0], [owners[0].id])
        known = np.flatnonzero(rest) if isinstance(where, slice) else rows[rest]
        confirmed, possible = steps.confirmed.numbers(known), steps.possible.numbers(where)
        return steps, np.stack([confirmed, possible], axis=1)
    steps = joint_steps(what_if, name, owners, rows, rest)
    return steps, steps.numbers()


def followed(what_if: WhatIf, name: str, criterion, names) -> tuple[Steps, np.ndarray | slice]:
    """The step functions in the one criterion that owns a threshold, and where ``rest(names)`` stand among them."""
    return _made(name, [criterion], lambda: what_if.steps_of_rest(criterion, name, names))


def joint_steps(what_if: WhatIf, name: str, owners, rows, rest) -> Steps:
    """The step functions of some patients over all criteria that share a threshold; ``rest`` satisfy the others."""
    value = what_if.protocol.settings[name]

    def make():
        columns = {c.id: what_if.columns(c, rows) for c in owners}
        return Steps.of([list(follow(owners, columns, name, value, rest))])

    return _made(name, owners, make)


def _made(name: str, owners, make):
    try:
        return make()
    except UNFOLLOWED as error:
        ids = ", ".join(c.id for c in owners)
        raise FeasibilityError(
            f"Threshold {name!r} of {ids} cannot be followed exactly: {error}."
            f" Use sweep(cohort, protocol, {name}=[...]) with the values you want."
        ) from None


def compared_with(what_if: WhatIf, name: str) -> set[str]:
    """The cohort columns a threshold is compared with as it stands; empty where that is not known."""
    owners = owners_of(what_if.protocol, name)
    value = what_if.protocol.settings[name]
    nobody = np.zeros(0, dtype=int)
    try:
        log = compared(owners, {c.id: what_if.columns(c, nobody) for c in owners}, name, float(value))
    except UNFOLLOWED:
        return set()
    return set() if log.turned else log.columns


def _turning_values(steps: Steps, counts: np.ndarray) -> np.ndarray:
    """The finite values at which patients turn, each as often as patients do (up to a thousand in all)."""
    moved = np.abs(np.diff(counts[:, 1], prepend=counts[0, 1]))
    finite = np.isfinite(steps.values)
    moved, values = moved[finite], steps.values[finite]
    if not moved.sum():
        return values
    shares = np.cumsum(moved) / moved.sum()
    return values[np.searchsorted(shares, np.linspace(0, 1, 1001)[1:-1])]


def _range(found: np.ndarray, value, points: int, whole: bool) -> np.ndarray:
    """Even steps over the middle of the values patients have, near the protocol's own, which is always among them."""
    own = [float(value)] if isinstance(value, (int, float)) and np.isfinite(value) else []
    low, high = np.quantile(found, [0.02, 0.98]) if len(found) else (own or [0.0]) * 2
    if own and own[0] > 0:
        low, high = min(max(low, own[0] / 3), own[0] / 2), max(min(high, own[0] * 3), own[0] * 1.5)
    low, high = min([low, *own]), max([high, *own])
    grid = np.linspace(low, high, max(2, points))
    return np.unique([*(np.rint(grid) if whole else grid), *own])


def _both_sides(steps: Steps, counts: np.ndarray, own: float) -> tuple[np.ndarray, np.ndarray]:
    """Values with the counts at and just above each: where a count changes, at minus infinity and at ``own``."""
    entering = np.concatenate([counts[:1], counts[:-1]])
    change = (counts != entering).any(axis=1)
    change[0] = True
    values = np.unique(steps.values[change])
    if not np.isnan(own):
        values = np.union1d(values, [own])
    last = np.searchsorted(steps.values, values, side="right") - 1
    return values, np.concatenate([counts[steps.place_at(values)], counts[last]], axis=1)


def _at(table: pd.DataFrame, values) -> np.ndarray:
    row = np.searchsorted(table.index.to_numpy(), np.asarray(values, dtype=float), side="right") - 1
    exact = table.index.to_numpy()[row] == np.asarray(values, dtype=float)
    at, above = table[list(COLUMNS[:2])].to_numpy(), table[list(COLUMNS[2:4])].to_numpy()
    return np.where(exact[:, None], at[row], above[row])
