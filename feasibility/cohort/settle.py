"""What a parsed number means for its column: units, bounds, whole numbers, impossible values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feasibility.cohort.parse import (
    CENSORED,
    KNOWN,
    NOT_FOUND,
    OPEN_HIGH,
    OPEN_LOW,
    OUT_OF_RANGE,
    RANGE,
    UNIT_UNKNOWN,
    UNREADABLE,
    Numbers,
    split_power,
)
from feasibility.cohort.schema import Column
from feasibility.cohort.units import infer_factor, snap, unit_factor

LONGEST = {"days": 45_000.0, "months": 1_500.0}
"""A lifetime: upper bound of a time known only to be longer than x, as infinity would mean that it never happened."""
_TIME_NAME = re.compile(r"(days|months)_(since|from)_")

Note = Callable[[str, str, np.ndarray], None]


def is_time(column: Column) -> bool:
    """Whether the column counts the time since or between events, so that "never" is one of its values."""
    return column.dtype == "Float64" and bool(_TIME_NAME.search(column.name))


@dataclass(frozen=True)
class Unit:
    """How the unit of a file column is known: stated for all, per cell, inferred per value, or not needed."""

    stated: str = ""
    infer: bool = False
    among: tuple[str, ...] = ()
    per_cell: np.ndarray | None = None
    ratio: bool = False


def settle_numbers(column: Column, numbers: Numbers, unit: Unit, note: Note) -> Numbers:
    """Convert, apply the bounds' meaning and set impossible values aside; works on distinct values or on rows.

    ``note(kind, reason, mask)`` is called for everything that was converted, inferred, bounded or set aside.
    """
    factors = np.ones(len(numbers.lo)) if unit.ratio else _factors(column, numbers, unit, note)
    known = numbers.status == KNOWN
    change = known & (factors != 1)
    for rail in (numbers.lo, numbers.hi):
        rail[change] = snap(rail[change] * factors[change])
    _not_found(column, numbers, note)
    _ranges(column, numbers, note)
    _open_ends(column, numbers, note)
    if column.dtype == "Int64":
        _whole(column, numbers, note)
    _impossible(column, numbers, note)
    unknown = numbers.status != KNOWN
    numbers.lo[unknown] = numbers.hi[unknown] = np.nan
    return numbers


def _factors(column: Column, numbers: Numbers, unit: Unit, note: Note) -> np.ndarray:
    """The factor of every entry: the unit in the cell itself wins, then the unit column, then the stated unit."""
    known = numbers.status == KNOWN
    factors = np.full(len(numbers.lo), np.nan)
    default = 1.0
    if unit.stated:
        default = unit_factor(column, unit.stated)
        if default != 1:
            note("converted", f"{unit.stated} -> {column.unit}", known & (numbers.rest == "") & _blank(unit.per_cell))
    behind = _behind(column, numbers, known, factors, note)
    open_ = known & ~behind & (numbers.status == KNOWN)
    if unit.per_cell is not None:
        for text in {t for t in unit.per_cell[open_] if t}:
            factor = unit_factor(column, text)
            here = open_ & (unit.per_cell == text)
            if factor is None:
                numbers.status[here] = UNIT_UNKNOWN
                note("quarantined", f"unit {text!r} does not fit", here)
            else:
                factors[here] = factor
                if factor != 1:
                    note("converted", f"{text} -> {column.unit}", here)
        open_ &= unit.per_cell == ""
        if not unit.stated and not unit.infer:
            numbers.status[open_] = UNIT_UNKNOWN
            note("quarantined", "no unit in the unit column", open_)
            open_ &= False
    if unit.infer:
        _infer(column, numbers, factors, open_, unit.among, note)
    else:
        factors[open_] = default
    factors[np.isnan(factors)] = 1.0
    return factors


def _blank(per_cell) -> np.ndarray | bool:
    return True if per_cell is None else per_cell == ""


def _behind(column: Column, numbers: Numbers, known, factors, note: Note) -> np.ndarray:
    """Units written behind the number: "12.1 g/dL", "35×10^9/L", "1.2×10^3", "65岁"."""
    with_rest = known & (numbers.rest != "")
    behind = np.zeros(len(known), dtype=bool)
    for text in set(numbers.rest[with_rest]):
        here = with_rest & (numbers.rest == text)
        factor = unit_factor(column, text)
        if factor is None and (power := split_power(text)):
            factor = unit_factor(column, power[1]) if power[1] else None
            if factor is not None:
                factor *= power[0]
            elif not power[1]:  # a bare power: the unit is still to be found
                for rail in (numbers.lo, numbers.hi):
                    rail[here] = snap(rail[here] * power[0])
                continue
        if factor is None:
            numbers.status[here] = UNIT_UNKNOWN
            note("quarantined", "text behind the number is no unit of this column", here)
            continue
        factors[here] = factor
        behind |= here
        if factor != 1:
            note("converted", f"{text} -> {column.unit}", here)
    return behind


def _infer(column: Column, numbers: Numbers, factors, open_, among, note: Note) -> None:
    point = np.where(np.isfinite(numbers.hi), numbers.hi, numbers.lo)
    factors[open_] = infer_factor(column, point[open_], among)
    missed = open_ & np.isnan(factors)
    numbers.status[missed] = UNIT_UNKNOWN
    note("quarantined", "no unit stated, and not exactly one accepted unit makes the value plausible", missed)
    names = {float(f): name for name, f in reversed(column.units.items())}
    names |= {unit_factor(column, name): name for name in among} | {1.0: column.unit}
    for factor in sorted(set(factors[open_ & ~missed])):
        here = open_ & (factors == factor)
        note("inferred_unit", f"{names[factor]} -> {column.unit}", here)


def _not_found(column: Column, numbers: Numbers, note: Note) -> None:
    found_none = (numbers.flags & NOT_FOUND).astype(bool)
    if not found_none.any():
        return
    if column.below_limit == "zero":
        numbers.lo[found_none] = numbers.hi[found_none] = 0.0
        numbers.status[found_none] = KNOWN
        note("recoded", "not detected reads 0", found_none)
    else:
        note("recoded", "not detected: no limit given, so unknown", found_none)


def _ranges(column: Column, numbers: Numbers, note: Note) -> None:
    ranges = (numbers.status == KNOWN) & (numbers.flags & RANGE).astype(bool)
    if not ranges.any():
        return
    if column.range_reads == "max":
        numbers.lo[ranges] = numbers.hi[ranges]
    elif column.range_reads == "min":
        numbers.hi[ranges] = numbers.lo[ranges]
    note("range", "a range keeps both ends" if column.range_reads == "both" else
         f"a range reads as its {'highest' if column.range_reads == 'max' else 'lowest'} value", ranges)  # fmt: skip


def _open_ends(column: Column, numbers: Numbers, note: Note) -> None:
    censored = (numbers.status == KNOWN) & (numbers.flags & CENSORED).astype(bool)
    if not censored.any():
        return
    if column.range_reads == "max":  # a score: ">= 2" could be any of the worse ones
        numbers.status[censored] = UNREADABLE
        note("quarantined", "a score given only as a limit", censored)
        return
    low, high = column.hard or (0.0 if column.unit else -math.inf, math.inf)
    if is_time(column) and high == math.inf:
        high = LONGEST[_TIME_NAME.search(column.name)[1]]
    below = censored & np.isneginf(numbers.lo)
    above = censored & np.isposinf(numbers.hi)
    if column.below_limit == "zero" and below.any():
        numbers.lo[below] = numbers.hi[below] = 0.0
        note("censored", "below the limit of detection reads 0", below)
        below &= False
        censored &= numbers.hi != 0
    whole = column.dtype == "Int64"
    open_high = below & (numbers.flags & OPEN_HIGH).astype(bool)
    numbers.hi[open_high] = _step(numbers.hi[open_high], -1, whole)
    open_low = above & (numbers.flags & OPEN_LOW).astype(bool)
    numbers.lo[open_low] = _step(numbers.lo[open_low], 1, whole)
    numbers.lo[below] = np.minimum(low, numbers.hi[below]) if math.isinf(low) else low
    numbers.hi[above] = np.maximum(high, numbers.lo[above]) if is_time(column) else high
    note("censored", "known only to lie beyond a limit: kept as bounds", below | above)


def _step(values: np.ndarray, direction: int, whole: bool) -> np.ndarray:
    """The next value in a direction: "< 20" is at most the number just below 20, or 19 where values are whole."""
    if whole:
        return np.ceil(values) - 1 if direction < 0 else np.floor(values) + 1
    return np.nextafter(values, direction * np.inf)


def _whole(column: Column, numbers: Numbers, note: Note) -> None:
    known = numbers.status == KNOWN
    lo_part, hi_part = known & (numbers.lo != np.floor(numbers.lo)), known & (numbers.hi != np.floor(numbers.hi))
    part = lo_part | hi_part
    if not part.any():
        return
    if column.decimal_reads == "floor":
        numbers.lo[part], numbers.hi[part] = np.floor(numbers.lo[part]), np.floor(numbers.hi[part])
        note("recoded", "a decimal reads as the completed whole number", part)
    else:
        numbers.status[part] = UNREADABLE
        note("quarantined", "not a whole number", part)


def _impossible(column: Column, numbers: Numbers, note: Note) -> None:
    known = numbers.status == KNOWN
    if not is_time(column):
        infinite = known & (np.isinf(numbers.lo) & np.isinf(numbers.hi))
        numbers.status[infinite] = UNREADABLE
        note("quarantined", "infinite", infinite)
        known &= ~infinite
    low, high = column.hard or (-math.inf, math.inf)
    outside = known & ((numbers.hi < low) | (numbers.lo > high) | (numbers.lo > numbers.hi))
    numbers.status[outside] = OUT_OF_RANGE
    note("quarantined", f"impossible, outside {low:g} to {high:g} {column.unit}".rstrip(), outside)
    inside = known & ~outside
    # A range that is partly impossible keeps its possible part.
    numbers.lo[inside] = np.maximum(numbers.lo[inside], low)
    numbers.hi[inside] = np.minimum(numbers.hi[inside], high)
