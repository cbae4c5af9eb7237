"""Patients' step functions in a form that counts fast: yes or no at first, and the places where that turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.analysis.bitmaps import packed
from feasibility.analysis.steps import Piece

RAILS = ("possible", "confirmed")


class Axis:
    """One answer of every patient along ``size`` ascending places: yes or no at the first, and where it turns.

    ``slots`` hold one turn a patient each, ``size`` where there is none; two equal turns of a patient undo each other.
    """

    __slots__ = ("start", "slots", "size", "_code")

    def __init__(self, start: np.ndarray, slots: list[np.ndarray], size: int):
        self.start, self.slots, self.size, self._code = start, slots, size, None

    @classmethod
    def of(cls, turns: Iterable[tuple[np.ndarray, np.ndarray]], n: int, size: int) -> Axis:
        """From (patients, places) of turns; a patient nowhere mentioned is a no throughout."""
        axis = cls(np.zeros(n, dtype=bool), [], size)
        for rows, places in turns:
            first = places == 0
            axis.start[rows[first]] ^= True
            axis._put(rows[~first], places[~first], n)
        return axis

    def _put(self, rows, places, n: int) -> None:
        k = 0
        while len(rows):
            if k == len(self.slots):
                self.slots.append(np.full(n, self.size, dtype=_whole(self.size)))
            slot = self.slots[k]
            free = slot[rows] == self.size
            slot[rows[free]] = places[free]
            rows, places, k = rows[~free], places[~free], k + 1

    @classmethod
    def joined(cls, parts: Sequence[Axis]) -> Axis:
        """The patients of several axes after each other."""
        size = parts[0].size
        slots = [
            np.concatenate(
                [p.slots[k] if k < len(p.slots) else np.full(len(p.start), size, _whole(size)) for p in parts]
            )
            for k in range(max(len(p.slots) for p in parts))
        ]
        return cls(np.concatenate([p.start for p in parts]), slots, size)

    def take(self, rows) -> Axis:
        return Axis(self.start[rows], [slot[rows] for slot in self.slots], self.size)

    def mapped(self, places: np.ndarray, size: int) -> Axis:
        """The same answers along other places: ``places`` says where each of the old ones now lies (``size``: off)."""
        start, slots = self.start, []
        for slot in self.slots:
            new = places[slot]
            first = new == 0
            start = start ^ first
            new[first] = size
            slots.append(new)
        return Axis(start, slots, size)

    @property
    def moves(self) -> np.ndarray:
        """Patients whose answer depends on the place."""
        moving = np.zeros(len(self.start), dtype=bool)
        for slot in self.slots:
            moving |= slot < self.size
        return moving

    def signed(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Every turn as (place of each patient, +1 or -1)."""
        turns, yes = [(np.where(self.start, 0, self.size), np.ones(len(self.start)))], self.start
        for slot in self._ascending():
            turns.append((slot, np.where(yes, -1.0, 1.0)))
            yes = yes ^ (slot < self.size)
        return turns

    def numbers(self, rows=None) -> np.ndarray:
        """How many patients (or how many of some rows) say yes at each place."""
        if len(self.slots) > 1:
            return self._numbers_of_many(rows)
        if self._code is None:  # the place of the only turn and the answer before it, in one number
            place = self.slots[0] if self.slots else np.full(len(self.start), self.size, dtype=_whole(self.size))
            self._code = place * place.dtype.type(2) + self.start
        code = self._code if rows is None else self._code[rows]
        change = np.bincount(code, minlength=2 * self.size + 2).reshape(-1, 2)
        yes = change[:, 1].sum()
        change = change[:-1, 0] - change[:-1, 1]
        change[0] += yes
        return np.cumsum(change)

    def _numbers_of_many(self, rows) -> np.ndarray:
        axis = self if rows is None else self.take(rows)
        yes = axis.start
        change = np.zeros(axis.size + 1, dtype=np.int64)
        change[0] = np.count_nonzero(yes)
        for slot in axis._ascending():
            both = np.bincount(slot * np.int32(2) + yes, minlength=2 * axis.size + 2).reshape(-1, 2)
            change += both[:, 0] - both[:, 1]
            yes = yes ^ (slot < axis.size)
        return np.cumsum(change[:-1])

    def _ascending(self) -> list[np.ndarray]:
        return list(np.sort(np.stack(self.slots), axis=0)) if len(self.slots) > 1 else self.slots

    def bitmaps(self, scratch: np.ndarray) -> np.ndarray:
        """For each place, the packed yes of these patients, at most 64 for each column of ``scratch``."""
        words = -(-len(self.start) // 64)
        table = scratch.reshape(-1)[: (self.size + 1) * words]
        table[:] = 0
        place = np.arange(len(self.start))
        bit = np.uint64(1) << (place % 64).astype(np.uint64)
        for k, slot in enumerate(self.slots):
            at = slot.astype(np.intp) * words + place // 64
            if k == 0:  # each patient's bit once: adding is setting
                np.add.at(table, at, bit)
            else:
                np.bitwise_xor.at(table, at, bit)
        table = table.reshape(self.size + 1, words)
        table[0] ^= packed(self.start)
        return _running_xor(table[:-1])


def _running_xor(table: np.ndarray) -> np.ndarray:
    """Each row combined with all above it, in place: within stretches of 32 rows, then from stretch to stretch."""
    whole = len(table) // 32 * 32
    stretches = table[:whole].reshape(-1, 32, table.shape[1])
    for j in range(1, 32):
        stretches[:, j] ^= stretches[:, j - 1]
    for i in range(1, len(stretches)):
        stretches[i] ^= stretches[i - 1, -1]
    for i in range(max(1, whole), len(table)):
        table[i] ^= table[i - 1]
    return table


def _whole(size: int):
    return np.int16 if size < 2**14 else np.int32


@dataclass(frozen=True, eq=False)
class Steps:
    """The exact step functions of patients over a threshold.

    Places along the axes are the ``values`` at which some patient turns, ``above`` saying "just above it"; the first
    place is minus infinity.
    """

    values: np.ndarray
    above: np.ndarray
    possible: Axis
    confirmed: Axis

    @classmethod
    def of(cls, blocks: Sequence[Sequence[Piece]]) -> Steps:
        """From the pieces of consecutive blocks of patients."""
        found, offset = [], 0
        for pieces in blocks:
            found += [(offset + rows, *rest) for rows, *rest in _turned(pieces)]
            offset += len(pieces[0].possible)
        starts = np.concatenate([[-np.inf], *(values for _, values, _, _ in found)])
        position, distinct = pd.factorize(starts, sort=True)
        above = np.concatenate([[False], *(np.full(len(values), flag) for _, values, flag, _ in found)])
        code = position * 2 + above
        used = np.zeros(2 * len(distinct), dtype=bool)
        used[code] = True
        place = np.cumsum(used) - 1
        splits = np.cumsum([1, *(len(values) for _, values, _, _ in found)])[:-1]
        places = np.split(place[code], splits)[1:] if found else []
        size = int(used.sum())
        axes = [
            Axis.of([(rows[m[k]], at[m[k]]) for (rows, _, _, m), at in zip(found, places, strict=True)], offset, size)
            for k in range(len(RAILS))
        ]
        kept = np.flatnonzero(used)
        return cls(distinct[kept // 2], kept % 2 == 1, *axes)

    @property
    def nbytes(self) -> int:
        arrays = [self.values, self.above]
        for axis in (self.possible, self.confirmed):
            arrays += [axis.start, *axis.slots]
        return sum(a.nbytes for a in arrays)

    def numbers(self, rows=None, sure=None) -> np.ndarray:
        """The confirmed and the possible number at each place (two columns), of some patients; ``sure``: those of
        them who are known to satisfy everything else."""
        known = rows if rows is None or sure is None else rows[sure]
        return np.stack([self.confirmed.numbers(known), self.possible.numbers(rows)], axis=1)

    def places_on(self, grid: np.ndarray) -> np.ndarray:
        """For ``Axis.mapped``: where each place lies on an ascending grid."""
        left, right = (np.searchsorted(grid, self.values, side) for side in ("left", "right"))
        return np.append(np.where(self.above, right, left), len(grid)).astype(_whole(len(grid)))

    def place_at(self, values: np.ndarray) -> np.ndarray:
        """The place that holds at each of some values."""
        last = np.searchsorted(self.values, values, side="right") - 1
        return last - (self.above[last] & (self.values[last] == values))


def _turned(pieces: Sequence[Piece]):
    """Where patients' answers turn: (patients, values, above, (turned possible, turned confirmed))."""
    before = {rail: np.zeros(len(pieces[0].possible), dtype=bool) for rail in RAILS}
    for piece in pieces:
        turned = []
        for rail in RAILS:
            turn = getattr(piece, rail) != before[rail]
            if piece.valid is not None:
                turn &= piece.valid
            before[rail] = before[rail] ^ turn
            turned.append(turn)
        rows = np.flatnonzero(turned[0] | turned[1])
        if len(rows):
            values = piece.start[rows] if np.ndim(piece.start) else np.full(len(rows), piece.start)
            yield rows, values, piece.above, tuple(t[rows] for t in turned)
