"""A value known only between bounds: "<10", "50-55", a partial date, a limit derived from another test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.kleene import unknown_like

UPPER = "__upper"
"""Suffix of the physical column that holds the upper bound of a bounded value."""


class Range:
    """Two columns of equal length, the lower and the upper bound of each patient's value, both ends included.

    A comparison is decided only where both ends agree; otherwise it is unknown. Either both ends of a row are
    missing (nothing is known) or none: a value known only to be at most 10 is ``Range(-inf, 10)``. Arithmetic is an
    error: a criterion that needs the sum or the ratio of two values reads a cohort column that holds it.

    >>> age = Range(pd.Series([17, 70, 50], dtype="Int64"), pd.Series([18, 71, 51], dtype="Int64"))
    >>> (age >= 18).tolist()
    [<NA>, True, True]
    """

    __slots__ = ("lo", "hi")
    __hash__ = None

    def __init__(self, lo, hi):
        self.lo, self.hi = lo, hi

    def __gt__(self, other):
        return _decide(self.lo > other, self.hi > other)

    def __ge__(self, other):
        return _decide(self.lo >= other, self.hi >= other)

    def __lt__(self, other):
        return _decide(self.hi < other, self.lo < other)

    def __le__(self, other):
        return _decide(self.hi <= other, self.lo <= other)

    def __eq__(self, other):
        # Equal for sure where both ends equal it, different for sure where it lies outside the bounds.
        sure = (self.lo == other) & (self.hi == other)
        possible = (self.lo <= other) & (self.hi >= other)
        return _decide(sure, possible)

    def __ne__(self, other):
        return ~(self == other)

    def __bool__(self):
        raise ValueError(
            "The truth value of a column is ambiguous: write (18 <= age) & (age <= 70), with & and brackets."
        )

    def _no_arithmetic(self, *_):
        raise TypeError(
            "Arithmetic on a bounded value is not defined: declare the result as a cohort column instead, "
            "and move constants to the other side of the comparison."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic
    __neg__ = __abs__ = _no_arithmetic


def _decide(sure, possible):
    """True where ``sure``, False where not ``possible``, unknown between: one expression on every engine."""
    return sure | (possible & unknown_like(possible))


def as_range(lower: pd.Series, upper: pd.Series | None):
    """The plain column where no upper bounds exist, a Range otherwise (one missing end becomes an infinite one)."""
    if upper is None:
        return lower
    lower, upper = lower.astype("Float64"), upper.astype("Float64")
    lo = lower.mask(lower.isna() & upper.notna(), -np.inf)
    hi = upper.mask(upper.isna() & lower.notna(), np.inf)
    return Range(lo, hi)
