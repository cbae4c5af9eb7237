"""Which values of a column a criterion can tell apart: the cells between the limits it compares the column with."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER

NA = -1
"""The code of a missing value."""
OBSERVED = 100
"""How many values in use stand for a column whose limits a criterion does not show."""


@dataclass(frozen=True)
class Cells:
    """The values of one column as few codes: all values of a cell give a criterion the same answer.

    ``values`` holds one value of each cell, ``possible`` the codes of the cells that a new value can fall into (inside
    the declared range, among the declared codes). Numbers are coded in their order: ``above`` counts the limits that a
    value reaches, ``beyond`` those it exceeds.
    """

    dtype: object
    values: tuple
    possible: tuple[int, ...]
    above: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    beyond: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    text: Mapping[str, int] = field(default_factory=dict, repr=False)

    def code(self, column: pd.Series) -> np.ndarray:
        """The cell of each value; -1 where it is missing."""
        hole = column.isna().to_numpy()
        if self.text:
            codes = column.map(lambda v: self.text.get(v, self.text[""]), na_action="ignore")
            return np.where(hole, NA, codes.to_numpy(dtype=float, na_value=NA)).astype(np.int16)
        if isinstance(self.dtype, pd.BooleanDtype):
            return np.where(hole, NA, column.to_numpy(dtype=np.int16, na_value=NA)).astype(np.int16)
        number = column.to_numpy(dtype=float, na_value=np.nan)
        return np.where(hole, NA, self.of(number)).astype(np.int16)

    def of(self, number) -> np.ndarray:
        """The cell of plain numbers."""
        return np.searchsorted(self.above, number, "right") + np.searchsorted(self.beyond, number, "left")

    def array(self, codes: np.ndarray):
        """Values with these codes, in the column's own dtype."""
        dense = [self.values[c] if c != NA else pd.NA for c in range(NA, len(self.values))]
        return pd.array(dense, dtype=self.dtype).take(codes.astype(np.int64) + 1)


def cells_of(criterion, cohort: pd.DataFrame, columns) -> tuple[dict[str, Cells], bool]:
    """The cells of every column a criterion reads, and whether they are exact.

    They are where the criterion compares its columns with numbers and codes only. One that compares columns with each
    other, or hides how it compares, is judged on values that occur and values around its thresholds instead.
    """
    traced = {name: _Column(cohort[name].dtype) for name in criterion.reads}
    everything = dict.fromkeys(criterion.columns, _Column(None)) | traced
    try:
        answer = criterion.evaluate(everything)
        exact = isinstance(answer, _Mask)
    except Exception:  # noqa: BLE001 - a user's function may do anything; then values that occur stand for the cells
        exact = False
    found = {}
    for name, seen in traced.items():
        declared = columns[name] if columns is not None and name in columns else None
        near = () if exact else _occurring(criterion, cohort, name)
        found[name] = _cells(cohort[name].dtype, seen, near, declared)
    return found, exact


def _occurring(criterion, cohort: pd.DataFrame, name: str) -> list:
    present = cohort[name].dropna().drop_duplicates().sort_values()
    some = list(present.iloc[np.unique(np.linspace(0, max(len(present) - 1, 0), OBSERVED).astype(int))[: len(present)]])
    limits = [v for v in criterion.values.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if isinstance(cohort[name].dtype, (pd.StringDtype, pd.BooleanDtype)):
        return some
    if name + UPPER in cohort.columns:
        some += list(cohort[name + UPPER].dropna().drop_duplicates().iloc[:OBSERVED])
    return [float(v) for v in (*some, *limits) if not np.isnan(v)]


def _cells(dtype, seen: _Column, near, declared) -> Cells:
    if isinstance(dtype, pd.BooleanDtype):
        return Cells(dtype, (False, True), (0, 1))
    if isinstance(dtype, pd.StringDtype):
        named = list(dict.fromkeys([*sorted(seen.words), *near]))
        codes = tuple(declared.values) if declared is not None else ()
        rest = next((v for v in codes if v not in named), "a value of no list")
        text = {word: i for i, word in enumerate(named)} | {"": len(named)}
        possible = [i for i, word in enumerate((*named, rest)) if not codes or word in codes]
        return Cells(dtype, (*named, rest), tuple(possible), text=text)
    cuts = sorted(seen.cuts | {(float(v), side) for v in near for side in (0, 1)})
    hard = declared.hard if declared is not None and declared.hard is not None else (-np.inf, np.inf)
    whole = isinstance(dtype, pd.Int64Dtype)
    above, beyond = (np.array([k for k, s in cuts if s == side]) for side in (0, 1))
    cells = Cells(dtype, (), (), above, beyond)
    values, possible = [], []
    for i in range(len(cuts) + 1):
        value = _inside(cuts[i - 1] if i else None, cuts[i] if i < len(cuts) else None, whole)
        for candidate in (value, *hard):
            fits = not np.isnan(candidate) and cells.of(candidate) == i and hard[0] <= candidate <= hard[1]
            if fits and not (whole and not float(candidate).is_integer()):
                value = candidate
                possible.append(i)
                break
        # A cell that nothing can fall into is kept, so that codes stay in order; its value is never asked for.
        values.append(int(value) if whole and np.isfinite(value) else 0 if whole else float(np.nan_to_num(value)))
    return Cells(dtype, tuple(_plain(values, cells)), tuple(possible), above, beyond)


def _plain(values: list, cells: Cells) -> list:
    """Infinity survives; it stands for "never"."""
    infinite = int(cells.of(np.inf))
    if cells.above.size and cells.above[-1] == np.inf and not isinstance(cells.dtype, pd.Int64Dtype):
        values[infinite] = np.inf
    return values


def _inside(low, high, whole: bool) -> float:
    """A value between two cuts, NaN if there is none; a cut is (limit, 0 if the limit itself lies above it, else 1)."""
    if low is None and high is None:
        return 0.0
    if low is None:
        k, side = high
        below = k if side else (0.0 if k == np.inf else k - 1)
        return np.floor(below) if whole and np.isfinite(below) else below
    if low[1] == 0:
        return np.ceil(low[0]) if whole and np.isfinite(low[0]) else low[0]
    if whole:
        return np.floor(low[0]) + 1 if np.isfinite(low[0]) else np.nan
    if high is None or high[0] == np.inf:
        return low[0] + 1 if np.isfinite(low[0]) else np.nan
    return high[0] if high[1] else (low[0] + high[0]) / 2


class _UnclearError(Exception):
    """The criterion does more with a column than compare it with a number or a code."""


class _Mask:
    """A truth value that remembers nothing; what was compared is noted by the columns."""

    __hash__ = None

    def unknown(self):
        return _Mask()

    def _join(self, other):
        return _Mask()

    def __invert__(self):
        return _Mask()

    def __bool__(self):
        raise _UnclearError

    def _no(self, other):
        raise _UnclearError

    __and__ = __or__ = __rand__ = __ror__ = __xor__ = __rxor__ = _join
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _no
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _no


def _compare(name: str):
    def method(self, other):
        return self._note(name, other)

    return method


class _Column(_Mask):
    """A column that notes every limit it is compared with; ``scale`` and ``shift`` follow sums and products."""

    __hash__ = None

    def __init__(self, dtype, cuts=None, words=None, scale: float = 1.0, shift: float = 0.0):
        self.dtype, self.scale, self.shift = dtype, scale, shift
        self.cuts: set = set() if cuts is None else cuts
        self.words: set = set() if words is None else words

    def _note(self, op: str, other):
        if isinstance(other, str):
            if op not in ("eq", "ne"):
                raise _UnclearError
            self.words.add(other)
        elif isinstance(other, (int, float, np.number)):
            if isinstance(self.dtype, pd.BooleanDtype):
                if op not in ("eq", "ne"):
                    raise _UnclearError
                return _Mask()
            limit = (float(other) - self.shift) / self.scale
            if self.scale < 0:
                op = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}.get(op, op)
            self.cuts |= {(limit, side) for side in {"lt": (0,), "ge": (0,), "le": (1,), "gt": (1,)}.get(op, (0, 1))}
        else:
            raise _UnclearError
        return _Mask()

    __lt__, __le__, __gt__, __ge__, __eq__, __ne__ = map(_compare, ("lt", "le", "gt", "ge", "eq", "ne"))

    def _moved(self, op, other, *, turned: bool = False):
        if not isinstance(other, (int, float, np.number)) or isinstance(other, bool):
            raise _UnclearError
        zero, one = (op(other, x) if turned else op(x, other) for x in (self.shift, self.shift + self.scale))
        if one == zero:
            raise _UnclearError
        return _Column(self.dtype, self.cuts, self.words, one - zero, zero)

    def __add__(self, other):
        return self._moved(operator.add, other)

    def __sub__(self, other):
        return self._moved(operator.sub, other)

    def __rsub__(self, other):
        return self._moved(operator.sub, other, turned=True)

    def __mul__(self, other):
        return self._moved(operator.mul, other)

    __radd__, __rmul__ = __add__, __mul__
