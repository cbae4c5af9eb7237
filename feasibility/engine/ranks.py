"""Numbers as ranks in their sorted values: a comparison with a threshold is one with a whole number, and exact.

Unknown is -1. Read as signed it is below every cut, read as unsigned above every one, so neither rail needs a mask.
"""

from __future__ import annotations

import operator as op

import numpy as np

from feasibility.bounded import Range
from feasibility.engine.compact import Code, Nothing, Num, Tri, _Column, is_number

SIDE = {op.gt: ("right", True), op.le: ("right", False), op.ge: ("left", True), op.lt: ("left", False)}


class Rank(_Column):
    """``codes`` are ranks (-1 unknown), ``above`` the same bytes unsigned, ``table`` the sorted values."""

    __slots__ = ("codes", "above", "table", "cuts", "name")
    __hash__ = None

    def __init__(self, codes, above, table, cuts, name=""):
        self.codes, self.above, self.table, self.cuts, self.name = codes, above, table, cuts, name

    @classmethod
    def of(cls, codes: np.ndarray, table: np.ndarray, name: str = "") -> Rank:
        return cls(codes, codes.view(f"u{codes.itemsize}"), table, {}, name)

    def take(self, where) -> Rank:
        return Rank(self.codes[where], self.above[where], self.table, self.cuts, self.name)

    @property
    def values(self) -> np.ndarray:
        """The numbers themselves, NaN where unknown."""
        return np.append(self.table, np.nan)[self.codes]

    def cut(self, value, side: str) -> int:
        """How many of the sorted values are below ``value`` (left), or not above it (right)."""
        key = (value, side)
        found = self.cuts.get(key)
        if found is None:
            found = self.cuts[key] = int(np.searchsorted(self.table, value, side=side))
        return found

    def _compare(self, other, how):
        if not is_number(other):
            return NotImplemented if isinstance(other, (Nothing, Range)) else how(Num(self.values, self.name), other)
        if other != other:
            return Tri(False, False)
        side, upwards = SIDE[how]
        cut = self.cut(other, side)
        high, low = self.codes >= cut, self.above < cut
        return Tri(high, low) if upwards else Tri(low, high)

    def __lt__(self, other):
        return self._compare(other, op.lt)

    def __le__(self, other):
        return self._compare(other, op.le)

    def __gt__(self, other):
        return self._compare(other, op.gt)

    def __ge__(self, other):
        return self._compare(other, op.ge)

    def __eq__(self, other):
        if not is_number(other):
            return NotImplemented if isinstance(other, (Nothing, Range)) else Num(self.values, self.name) == other
        if other != other:
            return Tri(False, False)
        first, last = self.cut(other, "left"), self.cut(other, "right")
        known = self.codes >= 0
        if first == last:
            return Tri(False, known)
        yes = self.codes == first
        return Tri(yes, known ^ yes)

    def __ne__(self, other):
        answer = self.__eq__(other)
        return answer if answer is NotImplemented else ~answer

    def _arithmetic(self, other, how):
        other = Num(other.values) if isinstance(other, Rank) else other
        return how(Num(self.values, self.name), other)

    def __add__(self, other):
        return self._arithmetic(other, op.add)

    def __sub__(self, other):
        return self._arithmetic(other, op.sub)

    def __rsub__(self, other):
        return other - Num(self.values, self.name)

    def __mul__(self, other):
        return self._arithmetic(other, op.mul)

    def __neg__(self):
        return -Num(self.values, self.name)

    __radd__, __rmul__ = __add__, __mul__


class RankRange(Range):
    """A bounded column whose two ends are ranks in one table: two comparisons instead of four."""

    __slots__ = ()
    __hash__ = None

    def take(self, where) -> RankRange:
        return RankRange(self.lo.take(where), self.hi.take(where))

    def _decided(self, other, how):
        if not is_number(other):
            return NotImplemented
        if other != other:
            return Tri(False, False)
        side, upwards = SIDE[how]
        cut = self.lo.cut(other, side)
        # Above the cut for sure where the lower end is, below it for sure where the upper end is.
        high, low = self.lo.codes >= cut, self.hi.above < cut
        return Tri(high, low) if upwards else Tri(low, high)

    def __gt__(self, other):
        answer = self._decided(other, op.gt)
        return Range.__gt__(self, other) if answer is NotImplemented else answer

    def __ge__(self, other):
        answer = self._decided(other, op.ge)
        return Range.__ge__(self, other) if answer is NotImplemented else answer

    def __lt__(self, other):
        answer = self._decided(other, op.lt)
        return Range.__lt__(self, other) if answer is NotImplemented else answer

    def __le__(self, other):
        answer = self._decided(other, op.le)
        return Range.__le__(self, other) if answer is NotImplemented else answer


class KnownNum(Num):
    """Floats whose known mask lies beside them: the second rail of a comparison needs no second look at the floats."""

    __slots__ = ("known",)
    __hash__ = None

    def __init__(self, values, known, name=""):
        super().__init__(values, name)
        self.known = known

    def take(self, where) -> KnownNum:
        return KnownNum(self.values[where], self.known[where], self.name)

    def _compare(self, other, how):
        if not is_number(other) or other != other:
            return super()._compare(other, how)
        yes = how(self.values, other)
        return Tri(yes, self.known > yes)


def column_of(stored, name: str):
    """A stored column (``feasibility.cohort.prepared.Stored``) as criteria see it."""
    if stored.kind == "flag":
        return Tri(stored.lower, stored.other)
    if stored.kind == "code":
        return Code(stored.lower, stored.lower >= 0, {text: i for i, text in enumerate(stored.words)})
    if stored.kind == "rank":
        lower = Rank.of(stored.lower, stored.table, name)
        if stored.upper is None:
            return lower
        upper = Rank.of(stored.upper, stored.table, name)
        return RankRange(lower, upper)
    if stored.upper is not None:
        return Range(Num(stored.lower, name), Num(stored.upper, name))
    return KnownNum(stored.lower, stored.other, name)
