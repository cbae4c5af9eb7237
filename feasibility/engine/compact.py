"""Columns as bare numpy arrays, for criteria that are asked the same question many times.

The same criterion functions run on them, many times faster than on nullable pandas columns. pandas stays the
reference: ``WhatIf`` compares both on every patient before it trusts a criterion here, and goes back to pandas where
a criterion uses something these columns do not offer.
"""

from __future__ import annotations

import operator as op

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER, Range

EXACT = 2.0**53
"""Whole numbers below this size are exact as float64; one of this size may have been rounded to it."""


class NotCompactError(TypeError):
    """A criterion or column uses something that only pandas can do."""


def differs(a, b):
    return (a < b) | (a > b)  # NaN is neither: an unknown value differs from nothing


OPPOSITE = {op.lt: op.ge, op.ge: op.lt, op.gt: op.le, op.le: op.gt, op.eq: differs, differs: op.eq}


def _both(a, b):
    if a is False or b is False:
        return False
    return b if a is True else a if b is True else a & b


def _either(a, b):
    if a is True or b is True:
        return True
    return b if a is False else a if b is False else a | b


def is_number(value) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating, np.bool_))


class _Column:
    __slots__ = ()
    __hash__ = None
    __array_ufunc__ = None  # so that numpy scalars leave the comparison to us

    def __bool__(self):
        raise ValueError("The truth value of a column is ambiguous: use &, | and ~ with brackets.")


class Tri(_Column):
    """A three-valued mask on two rails: where it is known to hold, and where it is known not to.

    A rail is a boolean array, or False (nowhere) or True (everywhere).
    """

    __slots__ = ("yes", "no")
    __hash__ = None

    def __init__(self, yes, no):
        self.yes, self.no = yes, no

    def unknown(self):
        return pd.NA

    def _other(self, other) -> Tri:
        if isinstance(other, Tri):
            return other
        if other is pd.NA or other is None:
            return Tri(False, False)
        if isinstance(other, (bool, np.bool_)):
            return Tri(bool(other), not other)
        raise NotCompactError(f"a mask cannot be combined with {type(other).__name__}")

    def __and__(self, other):
        other = self._other(other)
        return Tri(_both(self.yes, other.yes), _either(self.no, other.no))

    def __or__(self, other):
        other = self._other(other)
        return Tri(_either(self.yes, other.yes), _both(self.no, other.no))

    def __xor__(self, other):
        return self != other

    def __invert__(self):
        return Tri(self.no, self.yes)

    def __eq__(self, other):
        other = self._other(other)
        same = _either(_both(self.yes, other.yes), _both(self.no, other.no))
        return Tri(same, _either(_both(self.yes, other.no), _both(self.no, other.yes)))

    def __ne__(self, other):
        return ~(self == other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def take(self, where) -> Tri:
        return Tri(self.yes[where], self.no[where])

    def rails(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Both rails as boolean arrays of ``n`` rows."""
        return tuple(np.full(n, r) if isinstance(r, bool) or r.ndim == 0 else r for r in (self.yes, self.no))


class Nothing(Tri):
    """A column that the readings in force do not read: unknown, whatever it is compared with."""

    __slots__ = ()
    __hash__ = None

    def __init__(self):
        super().__init__(False, False)

    def take(self, _) -> Nothing:
        return self

    def _unknown(self, *_):
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _unknown


class Num(_Column):
    """Numbers as float64, NaN where unknown; ``name`` is the cohort column."""

    __slots__ = ("values", "name")
    __hash__ = None

    def __init__(self, values, name=""):
        self.values, self.name = values, name

    def take(self, where) -> Num:
        return Num(self.values[where], self.name)

    def _compare(self, other, how):
        if isinstance(other, (Nothing, Range)) or hasattr(other, "compare"):
            return NotImplemented  # the other side knows what to do
        other = other.values if isinstance(other, Num) else other
        if not isinstance(other, np.ndarray) and not is_number(other):
            raise NotCompactError(f"a number cannot be compared with {type(other).__name__}")
        return Tri(how(self.values, other), OPPOSITE[how](self.values, other))

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
        return self._compare(other, differs)

    def _arithmetic(self, other, how):
        if isinstance(other, Nothing) or hasattr(other, "compare"):
            return NotImplemented
        other = other.values if isinstance(other, Num) else other
        if not isinstance(other, np.ndarray) and not is_number(other):
            raise NotCompactError(f"no arithmetic between a number and {type(other).__name__}")
        with np.errstate(all="ignore"):
            return Num(how(self.values, other), self.name)

    def __add__(self, other):
        return self._arithmetic(other, op.add)

    def __sub__(self, other):
        return self._arithmetic(other, op.sub)

    def __rsub__(self, other):
        return self._arithmetic(other, lambda a, b: b - a)

    def __mul__(self, other):
        return self._arithmetic(other, op.mul)

    def __neg__(self):
        return Num(-self.values, self.name)

    __radd__, __rmul__ = __add__, __mul__


class Code(_Column):
    """Coded text as whole numbers, -1 where unknown."""

    __slots__ = ("codes", "known", "number_of")
    __hash__ = None

    def __init__(self, codes, known, number_of):
        self.codes, self.known, self.number_of = codes, known, number_of

    def take(self, where) -> Code:
        return Code(self.codes[where], self.known[where], self.number_of)

    def __eq__(self, other):
        if not isinstance(other, str):
            raise NotCompactError(f"a code cannot be compared with {type(other).__name__}")
        yes = self.codes == self.number_of.get(other, -2)
        return Tri(yes, self.known ^ yes)

    def __ne__(self, other):
        return ~(self == other)


def compact(cohort: pd.DataFrame, name: str):
    """A cohort column as these classes hold it, a bounded one as the Range that criteria see."""
    lower = _one(cohort[name], name)
    if name + UPPER not in cohort.columns:
        return lower
    upper = _one(cohort[name + UPPER], name)
    lo, hi = lower.values, upper.values
    return Range(
        Num(np.where(np.isnan(lo) & ~np.isnan(hi), -np.inf, lo), name),
        Num(np.where(np.isnan(hi) & ~np.isnan(lo), np.inf, hi), name),
    )


def _one(column: pd.Series, name: str):
    dtype = str(column.dtype)
    if dtype in ("Float64", "Int64"):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        if dtype == "Int64" and len(values) and np.nanmax(np.abs(values), initial=0.0) >= EXACT:
            raise NotCompactError(f"{name} holds whole numbers too large for float64")
        return Num(values, name)
    if dtype == "boolean":
        yes = column.to_numpy(dtype=bool, na_value=False)
        return Tri(yes, ~yes & column.notna().to_numpy())
    if isinstance(column.dtype, pd.StringDtype) and column.dtype.storage == "python":
        codes, distinct = pd.factorize(column)
        small = np.int16 if len(distinct) < 32_000 else np.int64
        codes = codes.astype(small)
        return Code(codes, codes >= 0, {str(text): i for i, text in enumerate(distinct)})
    raise NotCompactError(f"{name} has dtype {dtype}")


def take(column, where):
    """Some rows of a compact column; ``where`` is a slice or an array of positions."""
    if isinstance(column, Range):
        return Range(column.lo.take(where), column.hi.take(where))
    return column.take(where)
