"""Where the block engine reads patients from: pandas columns as they lie in memory, or a prepared cohort."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER, Range
from feasibility.engine.compact import NotCompactError, Tri
from feasibility.engine.packed import Labels, Masked, Sliced, SlicedCode, SlicedRange, pack
from feasibility.engine.pandas_engine import hand_out
from feasibility.engine.texts import Texts

INFINITE = np.inf


class Pandas:
    """A cohort of nullable pandas columns, read block by block without converting them."""

    block = 1 << 16
    """Rows a block: its columns stay in the processor's cache from one criterion to the next."""

    def __init__(self, cohort: pd.DataFrame, names: Iterable[str]):
        self.cohort, self.names, self.n = cohort, list(names), len(cohort)
        self._held: dict = {}

    def has(self, name: str) -> bool:
        return name in self.cohort.columns

    def columns(self, names: Iterable[str], block: slice) -> dict:
        """The named columns of one block, as criteria see them."""
        made = {}
        for name in names:
            if name not in self._held:
                self._held[name] = self._hold(name)
            made[name] = self._held[name](block)
        return made

    def part(self, positions) -> Pandas:
        return Pandas(self.cohort.iloc[positions], self.names)

    def rows(self, where) -> dict:
        return hand_out(self.cohort.iloc[where], [n for n in self.names if self.has(n)])

    def _hold(self, name: str):
        array = self.cohort[name].array
        if isinstance(array.dtype, pd.StringDtype) and array.dtype.storage == "python":
            return Texts(array).block
        if str(array.dtype) == "boolean":
            return partial(_flags, *_buffers(array))
        if str(array.dtype) not in ("Float64", "Int64"):
            raise NotCompactError(f"{name} has dtype {array.dtype}")
        if name + UPPER in self.cohort.columns:
            return partial(_bounds, name, _buffers(array), _buffers(self.cohort[name + UPPER].array))
        return partial(_numbers, name, *_buffers(array))


class Prepared:
    """A prepared cohort (``feasibility.cohort.prepared``), read block by block."""

    block = 1 << 18

    def __init__(self, cohort, names: Iterable[str]):
        self.cohort, self.names, self.n = cohort, list(names), cohort.n
        self._shared: dict = {}

    def has(self, name: str) -> bool:
        return name in self.cohort

    def columns(self, names: Iterable[str], block: slice) -> dict:
        return {name: self._column(name, block) for name in names}

    def part(self, positions) -> Prepared:
        return Prepared(self.cohort.take(positions), self.names)

    def rows(self, where) -> dict:
        names = [n for n in self.names if self.has(n)]
        return hand_out(self.cohort.frame(where, names, ids=False), names)

    def _column(self, name: str, block: slice):
        one = self.cohort[name]
        if name not in self._shared:
            self._shared[name] = {text: i for i, text in enumerate(one.words)} if one.kind == "code" else {}
        shared = self._shared[name]
        at = slice(block.start // 8, -(-block.stop // 8))
        known, *planes = (plane[at] for plane in one.planes)
        if one.kind == "flag":
            return Tri(known, planes[0])
        if one.kind == "code":
            return SlicedCode(planes, known, shared)
        if one.kind == "float":
            lower = Masked(one.lower[block], known, name)
            return lower if one.upper is None else Range(lower, Masked(one.upper[block], known, name))
        if one.upper is None:
            return Sliced(planes, known, one.lower[block], one.table, shared, name)
        half = len(planes) // 2
        return SlicedRange(
            Sliced(planes[:half], known, one.lower[block], one.table, shared, name),
            Sliced(planes[half:], known, one.upper[block], one.table, shared, name),
        )


def _buffers(array) -> tuple[np.ndarray, np.ndarray]:
    """The values and the missing mask of a nullable column as they lie; pandas has no public way without a copy."""
    return array._data, array._mask


def _numbers(name: str, values, missing, block: slice) -> Masked:
    return Masked(values[block], pack(~missing[block]), name)


def _flags(values, missing, block: slice) -> Tri:
    yes, known = pack(values[block] > missing[block]), pack(~missing[block])
    return Tri(yes, known ^ yes)


def _bounds(name: str, lower, upper, block: slice) -> Range:
    return bounded(name, *(part[block] for part in (*lower, *upper)))


def bounded(name: str, low, no_low, high, no_high) -> Range:
    """Bounds beside their missing masks as a Range; one missing end becomes an infinite one."""
    known = pack(~(no_low & no_high))
    return Range(
        Masked(np.where(no_low, -INFINITE, low), known, name), Masked(np.where(no_high, INFINITE, high), known, name)
    )


def labels(codes: np.ndarray, words: Iterable[str], known=None) -> Labels:
    """Whole-number codes (negative where unknown, or ``known`` says where not) as a column."""
    known = pack(codes >= 0) if known is None else known
    return Labels(codes, known, {text: i for i, text in enumerate(words)})
