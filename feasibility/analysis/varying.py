"""A threshold that may differ from patient to patient, and that notes where an answer can change.

A criterion is run with it in place of a number. Compared with a column, it notes for every patient the value of the
threshold at which this very comparison changes; between those values the criterion cannot change its answer, however
often it uses the threshold, multiplied or not, and in whatever direction. Compared with a plain number (``if
max_age > 65``) it notes where the function would take another branch.
"""

from __future__ import annotations

import operator as op
from collections.abc import Callable

import numpy as np

from feasibility.engine.compact import OPPOSITE, NotCompactError, Nothing, Num, Tri, differs, is_number

_FIRST, _LAST = -np.inf, np.inf
_FLIP = np.int64(0x7FFF_FFFF_FFFF_FFFF)


class Log:
    """What a threshold was compared with: ``changes`` (one array a comparison), ``cuts`` (plain numbers), and the
    cohort ``columns`` it was compared with as it stands (``turned``: something else was made of it as well)."""

    def __init__(self):
        self.changes: list[np.ndarray] = []
        self.cuts: list[float] = []
        self.columns: set[str] = set()
        self.turned = False
        self._seen: set[int] = set()

    def note(self, threshold: Varying, target, name: str = "") -> None:
        if threshold.turn is not None:
            self.turned = True
            self.changes += solve(threshold, target)
            return
        self.columns.add(name)
        if id(target) not in self._seen:
            self._seen.add(id(target))
            self.changes.append(target)


class Varying:
    """The threshold: ``values`` (a number, or one per row), or what arithmetic has made of it.

    ``turn`` maps the threshold to what is compared (None: itself); it never falls (``sign`` +1) or never rises (-1).
    ``like`` is one number on the same side of every plain ``if`` as all the values: it decides those.
    """

    __slots__ = ("values", "log", "turn", "sign", "by_row", "like")
    __hash__ = None
    __array_ufunc__ = None

    def __init__(self, values, log: Log | None = None, turn: Callable | None = None, sign=1.0, by_row=False, like=None):
        self.values, self.log, self.turn, self.sign, self.by_row = values, log, turn, sign, by_row
        self.like = values if like is None and np.ndim(values) == 0 else like

    def now(self):
        if self.turn is None:
            return self.values
        with np.errstate(all="ignore"):
            return self.turn(self.values)

    def compare(self, other, how):
        if isinstance(other, Nothing):
            return other
        if isinstance(other, Num) or (is_number(other) and self.by_row):
            target = other.values if isinstance(other, Num) else other
        elif is_number(other):
            return self._branch(float(other), how)
        elif isinstance(other, Varying) or other is None or isinstance(other, (str, Tri)):
            raise NotCompactError(f"the threshold is compared with {type(other).__name__}")
        else:
            return NotImplemented
        if self.log is not None:
            self.log.note(self, target, getattr(other, "name", ""))
        now = self.now()
        return Tri(how(now, target), OPPOSITE[how](now, target))

    def _branch(self, number: float, how) -> bool:
        if self.like is None:
            raise NotCompactError("a branch on a threshold that differs between patients")
        if self.log is not None:
            found = [np.array([number])] if self.turn is None else solve(self, np.array([number]))
            self.log.cuts += [float(x[0]) for x in found if not np.isnan(x[0])]
        return bool(how(self.like if self.turn is None else self.turn(self.like), number))

    def __lt__(self, other):
        return self.compare(other, op.lt)

    def __le__(self, other):
        return self.compare(other, op.le)

    def __gt__(self, other):
        return self.compare(other, op.gt)

    def __ge__(self, other):
        return self.compare(other, op.ge)

    def __eq__(self, other):
        return self.compare(other, op.eq)

    def __ne__(self, other):
        return self.compare(other, differs)

    def __bool__(self):
        return self._branch(0.0, differs)

    def _then(self, other, how, sign=1.0):
        if isinstance(other, Nothing):
            return other
        before = self.turn or (lambda t: t)
        if isinstance(other, Num):
            other = other.values
        elif not is_number(other) or not np.isfinite(other):
            raise NotCompactError(f"arithmetic between the threshold and {other!r}")
        by_row = self.by_row or bool(np.ndim(other))
        return Varying(self.values, self.log, lambda t: how(before(t), other), self.sign * sign, by_row, self.like)

    def __add__(self, other):
        return self._then(other, op.add)

    def __sub__(self, other):
        return self._then(other, op.sub)

    def __rsub__(self, other):
        return self._then(other, lambda a, b: b - a, -1.0)

    def __mul__(self, other):
        factor = other.values if isinstance(other, Num) else other
        if is_number(factor) and factor == 0:
            raise NotCompactError("the threshold is multiplied by 0")
        return self._then(other, op.mul, np.sign(factor) if not isinstance(factor, Nothing) else 1.0)

    def __neg__(self):
        return self * -1.0

    __radd__, __rmul__ = __add__, __mul__


def solve(threshold: Varying, target) -> list[np.ndarray]:
    """The exact values at which ``turn(threshold)`` reaches and leaves the target, row by row (NaN: never).

    Found by bisection over the floating-point numbers themselves, so rounding in the criterion's own arithmetic is
    reproduced to the last bit.
    """
    rows = max([np.size(target), np.size(threshold.sign), np.size(threshold.turn(0.0))])
    goal = np.broadcast_to(threshold.sign * np.asarray(target, dtype=float), (rows,))

    def turned(t):
        with np.errstate(all="ignore"):
            return threshold.sign * threshold.turn(t)

    reach = _first(lambda t: turned(t) >= goal, rows)
    leave = _first(lambda t: turned(t) > goal, rows) - 1
    last = _order(np.array([_LAST]))[0]
    first = _order(np.array([_FIRST]))[0]
    unknown = np.isnan(goal) | (np.sign(threshold.sign) == 0)
    return [
        np.where(unknown | (reach > last), np.nan, _number(np.minimum(reach, last))),
        np.where(unknown | (leave < first) | (leave >= last), np.nan, _number(np.clip(leave, first, last))),
    ]


def _first(holds, rows: int) -> np.ndarray:
    """Per row the smallest number (as its order) for which a condition that stays true once true holds."""
    low = np.full(rows, _order(np.array([_FIRST]))[0])
    high = np.full(rows, _order(np.array([_LAST]))[0] + 1)
    for _ in range(65):
        middle = (low & high) + ((low ^ high) >> 1)
        yes = holds(_number(middle)) & (low < high)
        high = np.where(yes, middle, high)
        low = np.where(yes | (low >= high), low, middle + 1)
    return low


def _order(x: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of the floating-point numbers, neighbours differing by one."""
    bits = x.view(np.int64)
    return bits ^ ((bits >> 63) & _FLIP)


def _number(order: np.ndarray) -> np.ndarray:
    return (order ^ ((order >> 63) & _FLIP)).view(np.float64)
