"""Columns whose comparisons answer in packed bits, eight patients a byte.

The masks are ``Tri``, as on bare arrays, but a rail is a packed bitmap, so ``&``, ``|`` and ``~`` touch an eighth of
the memory. Where a column is kept as one bitmap for each binary digit of its rank ("vertical" or bit-sliced storage,
after Li and Patel, BitWeaving, SIGMOD 2013), a comparison with a threshold is one bit operation a digit, and exact.
"""

from __future__ import annotations

import operator as op

import numpy as np

from feasibility.bounded import Range
from feasibility.engine.compact import EXACT, NotCompactError, Nothing, Num, Tri, _Column, is_number
from feasibility.engine.ranks import SIDE


def pack(mask: np.ndarray) -> np.ndarray:
    """A boolean mask as bytes of eight patients, the first one in the lowest bit."""
    return np.packbits(mask, bitorder="little")


def unpack(bits: np.ndarray, n: int) -> np.ndarray:
    return np.unpackbits(bits, count=n, bitorder="little").view(bool)


class PackedNum(Num):
    """Numbers that a comparison has to look at, NaN where unknown."""

    __slots__ = ()
    __hash__ = None

    def _compare(self, other, how):
        answer = super()._compare(_plain(other), how)
        return answer if answer is NotImplemented else Tri(*map(_packed, (answer.yes, answer.no)))

    def _arithmetic(self, other, how):
        made = super()._arithmetic(_plain(other), how)
        return made if made is NotImplemented else PackedNum(made.values, made.name)


class Masked(_Column):
    """Numbers beside a packed bitmap of where they are known (None: everywhere); elsewhere they mean nothing."""

    __slots__ = ("raw", "known", "name")
    __hash__ = None

    def __init__(self, raw, known, name=""):
        self.raw, self.known, self.name = raw, known, name

    def numbers(self) -> PackedNum:
        """The numbers with NaN where unknown, for arithmetic and for comparing two columns."""
        values = self.raw.astype("float64")
        if self.raw.dtype.kind in "iu" and len(values) and np.abs(values).max() >= EXACT:
            raise NotCompactError(f"{self.name} holds whole numbers too large for float64")
        if self.known is not None:
            values[~unpack(self.known, len(values))] = np.nan
        return PackedNum(values, self.name)

    def _compare(self, other, how):
        if isinstance(other, (Nothing, Range)):
            return NotImplemented
        if not is_number(other) or other != other:
            return how(self.numbers(), other)
        yes = pack(how(self.raw, other))
        if self.known is None:
            return Tri(yes, ~yes)
        yes &= self.known
        return Tri(yes, self.known ^ yes)

    def __lt__(self, other):
        return self._compare(other, op.lt)

    def __le__(self, other):
        return self._compare(other, op.le)

    def __gt__(self, other):
        return self._compare(other, op.gt)

    def __ge__(self, other):
        return self._compare(other, op.ge)

    def __eq__(self, other):
        return self._compare(other, op.eq)

    def __ne__(self, other):
        return self._compare(other, op.ne)

    def __add__(self, other):
        return self.numbers() + other

    def __sub__(self, other):
        return self.numbers() - other

    def __rsub__(self, other):
        return other - self.numbers()

    def __mul__(self, other):
        return self.numbers() * other

    def __neg__(self):
        return -self.numbers()

    __radd__, __rmul__ = __add__, __mul__


class Sliced(Masked):
    """Ranks in the sorted ``table``, one inverted bitmap a binary digit, the lowest first; ``raw`` holds the ranks."""

    __slots__ = ("planes", "table", "cuts")
    __hash__ = None

    def __init__(self, planes, known, raw, table, cuts, name=""):
        super().__init__(raw, known, name)
        self.planes, self.table, self.cuts = planes, table, cuts

    def numbers(self) -> PackedNum:
        return PackedNum(np.append(self.table, np.nan)[self.raw], self.name)

    def cut(self, value, side: str) -> int:
        """How many of the sorted values are below ``value`` (left), or not above it (right)."""
        key = (value, side)
        found = self.cuts.get(key)
        if found is None:
            found = self.cuts[key] = int(np.searchsorted(self.table, value, side=side))
        return found

    def below(self, cut: int):
        """Where the rank is known and below ``cut``: from the lowest digit up, one operation each."""
        if cut <= 0:
            return False
        if cut >= len(self.table):
            return self.known
        found = None
        for i, plane in enumerate(self.planes):
            if cut >> i & 1:
                found = plane if found is None else found | plane
            elif found is not None:
                found = found & plane
        return found

    def split(self, cut: int) -> tuple:
        """Where the rank is known and at ``cut`` or above, and where it is known and below."""
        low = self.below(cut)
        if low is False:
            return self.known, False
        return (False, low) if low is self.known else (self.known ^ low, low)

    def _compare(self, other, how):
        if not is_number(other) or other != other:
            return super()._compare(other, how)
        side, upwards = SIDE[how]
        high, low = self.split(self.cut(other, side))
        return Tri(high, low) if upwards else Tri(low, high)

    def __eq__(self, other):
        if not is_number(other) or other != other:
            return super()._compare(other, op.eq)
        first, last = self.cut(other, "left"), self.cut(other, "right")
        if first == last:
            return Tri(False, self.known)
        yes = _equal(self.planes, first)
        return Tri(yes, self.known ^ yes)

    def __ne__(self, other):
        answer = self.__eq__(other)
        return answer if answer is NotImplemented else ~answer


class SlicedRange(Range):
    """A bounded column whose ends are ranks in one table, both known or neither: two comparisons instead of four."""

    __slots__ = ()
    __hash__ = None

    def _decided(self, other, how):
        if not is_number(other) or other != other:
            return getattr(Range, f"__{how.__name__}__")(self, other)
        side, upwards = SIDE[how]
        cut = self.lo.cut(other, side)
        # Above the cut for sure where the lower end is, below it for sure where the upper end is.
        high, low = self.lo.split(cut)[0], self.hi.below(cut)
        return Tri(high, low) if upwards else Tri(low, high)

    def __gt__(self, other):
        return self._decided(other, op.gt)

    def __ge__(self, other):
        return self._decided(other, op.ge)

    def __lt__(self, other):
        return self._decided(other, op.lt)

    def __le__(self, other):
        return self._decided(other, op.le)


class SlicedCode(_Column):
    """Coded text, one inverted bitmap for each binary digit of the code."""

    __slots__ = ("planes", "known", "number_of")
    __hash__ = None

    def __init__(self, planes, known, number_of):
        self.planes, self.known, self.number_of = planes, known, number_of

    def is_code(self, number):
        return _equal(self.planes, number)

    def __eq__(self, other):
        if not isinstance(other, str):
            raise NotCompactError(f"a code cannot be compared with {type(other).__name__}")
        number = self.number_of.get(other)
        if number is None:
            return Tri(False, self.known)
        yes = self.is_code(number)
        return Tri(yes, self.known ^ yes)

    def __ne__(self, other):
        return ~(self == other)


class Labels(SlicedCode):
    """Coded text as whole numbers, compared as they are; ``planes`` are the codes."""

    __slots__ = ()
    __hash__ = None

    def is_code(self, number):
        yes = pack(self.planes == number)
        return yes & self.known  # what stands where it is unknown means nothing


def _equal(planes, code: int) -> np.ndarray:
    """Where every digit agrees with the code."""
    zeros = ones = None
    for i, plane in enumerate(planes):
        if code >> i & 1:
            ones = plane if ones is None else ones | plane
        else:
            zeros = plane if zeros is None else zeros & plane
    # The highest code is kept for unknown, so that some digit is always zero.
    return zeros if ones is None else zeros & ~ones


def _plain(other):
    return other.numbers() if isinstance(other, Masked) else other


def _packed(rail):
    return pack(rail) if isinstance(rail, np.ndarray) and rail.ndim else bool(rail)
