"""How each patient's status moves with one threshold: exact steps, whatever the criterion does with it.

The threshold is followed through the criteria that own it (see ``varying``). Each patient's status is a step
function of it, known after two evaluations for every comparison: at the value where the comparison changes, and just
above. No direction is assumed, so a threshold that enters twice, both ways, or in arithmetic is as exact as any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from feasibility.analysis.varying import Log, Varying
from feasibility.engine.compact import NotCompactError

LIMIT = 200
"""Regions between plain numbers a criterion may branch on."""


@dataclass
class Piece:
    """From ``start`` on (``above``: just above it) these patients are possible and confirmed; until the next piece.

    ``start`` is one number or one per patient; ``valid`` (None: all) marks the patients who have this piece.
    """

    start: float | np.ndarray
    above: bool
    valid: np.ndarray | None
    possible: np.ndarray
    confirmed: np.ndarray


def statuses(criteria: Sequence, columns: Mapping[str, dict], rest: np.ndarray, **setting):
    """Who is possible and who confirmed, given who is known to satisfy everything else (``rest``)."""
    possible, confirmed = None, rest
    for criterion in criteria:
        met = criterion.evaluate(columns[criterion.id], **_own(criterion, setting))
        yes, no = met.rails(len(rest))
        passes, fails = (yes, no) if criterion.kind == "inclusion" else (no, yes)
        possible = ~fails if possible is None else possible & ~fails
        confirmed = confirmed & passes
    return possible, confirmed


def compared(criteria: Sequence, columns: Mapping[str, dict], name: str, value: float) -> Log:
    """What the threshold is compared with in these criteria, when it has this value."""
    log = Log()
    for criterion in criteria:
        criterion.evaluate(columns[criterion.id], **_own(criterion, {name: Varying(value, log)}))
    return log


def _own(criterion, setting: dict) -> dict:
    return {s.name: setting[s.name] for s in criterion.settings if s.name in setting}


def follow(criteria: Sequence, columns: Mapping[str, dict], name: str, value, rest: np.ndarray) -> Iterator[Piece]:
    """The pieces of every patient's step function, in ascending order of the threshold.

    ``criteria`` own the threshold, ``columns`` maps each one's id to its compact columns, all of ``len(rest)`` rows.
    Raises NotCompactError if a criterion does something with the threshold that cannot be followed.
    """
    for low, high, log in _regions(criteria, columns, name, value):
        changes = log.changes
        if (low, high) != (-np.inf, np.inf):
            changes = [np.where((c >= low) & (c <= high), c, np.nan) for c in changes]
        changes = _sorted(changes)
        at_minus_infinity = any((c == -np.inf).any() for c in changes)
        first = np.nextafter(-np.inf, 0) if low == -np.inf and not at_minus_infinity else low
        like = first if value is None or not low <= float(value) <= high else float(value)
        state = lambda at: statuses(criteria, columns, rest, **{name: Varying(at, like=like)})  # noqa: E731,B023
        cut = low != -np.inf and low != high
        yield Piece(np.nextafter(low, -np.inf) if cut else low, cut, None, *state(first))
        if low == high:
            continue
        for change in changes:
            known = ~np.isnan(change)
            at = np.where(known, change, first)
            yield Piece(change, False, known, *state(at))
            further = known & (at < high)
            yield Piece(change, True, further, *state(np.where(further, np.nextafter(at, np.inf), first)))


def cells(criteria: Sequence, columns: Mapping[str, dict], names: tuple[str, str], values: Mapping, n: int):
    """For two thresholds of the same criteria: each patient's ascending points that touch every cell between changes.

    Two lists of arrays (patients), the first point minus infinity. Raises NotCompactError where a criterion compares
    the two with each other, or branches on one.
    """
    logs = Log(), Log()
    for criterion in criteria:
        at = {name: Varying(float(values[name]), log) for name, log in zip(names, logs, strict=True)}
        criterion.evaluate(columns[criterion.id], **_own(criterion, at))
    points = []
    for log in logs:
        if log.cuts:
            raise NotCompactError("a branch on a threshold")
        changes = _sorted(log.changes)
        infinite = any((c == -np.inf).any() for c in changes)
        line = [np.full(n, -np.inf if infinite else np.nextafter(-np.inf, 0))]
        for change in changes:
            for point in (change, np.nextafter(change, np.inf)):
                line.append(np.fmax(line[-1], point))  # NaN, and what comes a second time: nothing new
        points.append(line)
    return points


def _regions(criteria, columns, name, value):
    """Stretches of the threshold within which no plain ``if`` changes its mind, in ascending order."""
    waiting, done = [(-np.inf, np.inf)], []
    value = float(value) if isinstance(value, (int, float)) else 0.0
    while waiting:
        low, high = waiting.pop()
        log = compared(criteria, columns, name, value if low <= value <= high else (low if np.isfinite(low) else high))
        cuts = sorted({c for c in log.cuts if low <= c <= high})
        if low == high or not cuts:
            done.append((low, high, log))
            continue
        cut = cuts[0]
        parts = [(low, np.nextafter(cut, -np.inf)), (cut, cut), (np.nextafter(cut, np.inf), high)]
        waiting += [(a, b) for a, b in parts if low <= a <= b <= high]
        if len(waiting) + len(done) > LIMIT:
            raise NotCompactError(f"the criterion branches on {name} at more than {LIMIT} values")
    return sorted(done, key=lambda region: region[:2])


def _sorted(changes: list[np.ndarray]) -> list[np.ndarray]:
    """Each patient's changes in ascending order, each once; NaN where there is none."""
    if len(changes) < 2:
        return changes
    table = np.sort(np.stack(changes), axis=0)
    table[1:][table[1:] == table[:-1]] = np.nan
    return [row for row in table if not np.isnan(row).all()]
