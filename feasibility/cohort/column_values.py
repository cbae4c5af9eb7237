"""One declared column from the raw cells of a file: numbers, yes/no, codes, ages and times from dates."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.bounded import UPPER
from feasibility.cohort import dates as dt
from feasibility.cohort import windows
from feasibility.cohort.mapping import ColumnOptions, Mapping
from feasibility.cohort.parse import (
    AFTER_INDEX,
    AMBIGUOUS,
    CONFLICTING,
    DATE_MISSING,
    KNOWN,
    MISSING,
    OUT_OF_RANGE,
    REASONS,
    UNREADABLE,
    Numbers,
    from_floats,
    parse_numbers,
)
from feasibility.cohort.raw import Log, Raw, RawTable
from feasibility.cohort.schema import STRING, Column
from feasibility.cohort.settle import Unit, is_time, read_codes, read_flags, settle_numbers
from feasibility.cohort.units import accepted_units, snap, unit_factor
from feasibility.cohort.words import fold
from feasibility.errors import CohortError

_HEADER_UNIT = re.compile(r"[\(\[（]\s*([^()\[\]（）]+?)\s*[\)\]）]\s*$")


@dataclass
class Values:
    """A column as read: one status a row, and bounds (numbers), truth values or texts."""

    status: np.ndarray
    lo: np.ndarray | None = None
    hi: np.ndarray | None = None
    plain: np.ndarray | None = None

    def hide(self, rows: np.ndarray, status: int) -> None:
        """Make the known values of these rows unknown."""
        rows = rows & (self.status == KNOWN)
        self.status[rows] = status
        if self.lo is not None:
            self.lo[rows] = self.hi[rows] = np.nan

    def arrays(self, column: Column, force_upper: bool) -> dict[str, pd.api.extensions.ExtensionArray]:
        unknown = self.status != KNOWN
        if column.dtype == "boolean":
            return {column.name: pd.arrays.BooleanArray(self.plain & ~unknown, unknown)}
        if column.dtype == "string":
            texts = np.where(unknown, None, self.plain)
            return {column.name: pd.array(texts, dtype=STRING)}
        rails = {column.name: self.lo}
        if force_upper or (self.lo is not self.hi and bool((self.lo[~unknown] != self.hi[~unknown]).any())):
            rails[column.name + UPPER] = self.hi
        if column.dtype == "Int64":
            return {
                n: pd.arrays.IntegerArray(np.where(unknown, 0, v).astype("int64"), unknown.copy())
                for n, v in rails.items()
            }
        return {n: pd.arrays.FloatingArray(np.where(unknown, np.nan, v), unknown.copy()) for n, v in rails.items()}


class ColumnReader:
    """Reads declared columns out of one raw table at one index date (or one per row)."""

    def __init__(self, table: RawTable, mapping: Mapping, index, log: Log):
        self.table, self.mapping, self.index, self.log = table, mapping, index, log
        self.n = len(table.lines)

    # -- what a column is read from ---------------------------------------------------------------------------------
    def read(self, column: Column, entry: ColumnOptions | None) -> Values:
        entry = entry or ColumnOptions(column.name, from_=column.name)
        if entry.birth_date or entry.birth_year:
            return self._age(column, entry)
        if entry.from_date:
            return self._between(column, entry)
        if entry.date and is_time(column) and not column.dated:
            return self._since(column, entry, entry.date)
        raw = self._raw(entry)
        if raw.kind == "date" and column.name.startswith(("days_since_", "months_since_")):
            return self._since(column, entry, raw.name)
        values = self._plain(column, entry, raw)
        return self._blank(column, entry, raw.blank(), values)

    def read_companion(self, column: Column, companion: Column, entry: ColumnOptions, values: Values) -> Values | None:
        """The age of the values of ``column``; values dated after the index date become unknown."""
        if entry.date:
            age = self._since(companion, replace(entry, name=companion.name, blank=None), entry.date)
        elif isinstance(entry.days_since, str) or isinstance(entry.months_since, str):
            source = entry.days_since if isinstance(entry.days_since, str) else entry.months_since
            age = self.read(companion, ColumnOptions(companion.name, from_=source))
        elif entry.days_since is not None or entry.months_since is not None:
            stated = float(entry.days_since if entry.days_since is not None else entry.months_since)
            known = values.status == KNOWN
            number = np.where(known, stated, np.nan)
            return Values(values.status.copy(), number, number.copy())
        else:
            return None
        self.hide_later(column, values, age)
        return age

    def hide_later(self, column: Column, values: Values, age: Values) -> None:
        """Never read a value dated after the index date (its age is negative)."""
        later = (age.status == AFTER_INDEX) | (age.status == OUT_OF_RANGE)
        self.log.note(column.name, "", "quarantined", REASONS[AFTER_INDEX][1], later & (values.status == KNOWN))
        values.hide(later, AFTER_INDEX)

    def _raw(self, entry: ColumnOptions) -> Raw:
        if entry.constant is not None:
            text = pa.array(
                ["yes" if entry.constant is True else "no" if entry.constant is False else str(entry.constant)]
            )
            return Raw("constant", "text", text, np.zeros(self.n, dtype="int32"))
        return self.table.columns[entry.from_]

    def _missing(self, entry: ColumnOptions) -> frozenset[str]:
        return frozenset(self.mapping.file.missing) | frozenset(entry.missing)

    def _noter(self, column: Column, file_column: str, codes=None):
        return lambda kind, reason, mask: self.log.note(column.name, file_column, kind, reason, mask, codes)

    # -- numbers, yes/no, codes -------------------------------------------------------------------------------------
    def _plain(self, column: Column, entry: ColumnOptions, raw: Raw) -> Values:
        if column.dtype == "boolean":
            return self._flags(column, entry, raw)
        if column.dtype == "string":
            return self._codes(column, entry, raw)
        return self._numbers(column, entry, raw)

    def _flags(self, column: Column, entry: ColumnOptions, raw: Raw) -> Values:
        raw = raw.as_text()
        truth, status = read_flags(raw.texts(), column.codes | dict(entry.codes), self._missing(entry))
        self._noter(column, raw.name, raw.codes)("quarantined", "no word for yes or no", status == UNREADABLE)
        return Values(np.append(status, np.uint8(MISSING))[raw.codes], plain=np.append(truth, False)[raw.codes])

    def _codes(self, column: Column, entry: ColumnOptions, raw: Raw) -> Values:
        raw = raw.as_text()
        texts, status, spelled = read_codes(column, raw.texts(), entry.codes, self._missing(entry))
        note = self._noter(column, raw.name, raw.codes)
        note("quarantined", f"not one of {', '.join(column.values)}", status == UNREADABLE)
        note("recoded", "another spelling of a declared code", spelled & (status == KNOWN))
        return Values(np.append(status, np.uint8(MISSING))[raw.codes], plain=np.append(texts, None)[raw.codes])

    def _numbers(self, column: Column, entry: ColumnOptions, raw: Raw) -> Values:
        numbers, codes = self._parse(column, entry, raw)
        unit = self._unit(column, entry, raw)
        if entry.uln is not None:
            numbers = self._over_limit(column, entry, numbers.take(codes))
            unit, codes = Unit(ratio=True), None
        elif unit.per_cell is not None:
            numbers, codes = numbers.take(codes), None
        numbers = settle_numbers(column, numbers, unit, self._noter(column, raw.name, codes))
        return Values(*numbers.rows(codes))

    def _parse(self, column: Column, entry: ColumnOptions, raw: Raw) -> tuple[Numbers, np.ndarray]:
        missing, never = self._missing(entry), is_time(column)
        if raw.kind == "number" and not entry.codes:
            numbers, codes = from_floats(raw.values, missing, never), raw.codes
        else:
            raw = raw.as_text()
            marks = {
                str(k).casefold(): v
                for k, v in (column.codes | dict(entry.codes)).items()
                if isinstance(v, int | float) and not isinstance(v, bool)
            }
            unknown = {fold(k) for k, v in entry.codes.items() if v in ("", "unknown")}
            decimal = entry.decimal or self.mapping.file.decimal
            numbers = parse_numbers(raw.values, decimal=decimal, never=never, missing=missing | unknown, marks=marks)
            codes = raw.codes
        note = self._noter(column, raw.name, codes)
        for status in (UNREADABLE, AMBIGUOUS):
            note("quarantined", REASONS[status][1], numbers.status == status)
        return numbers, codes

    def _unit(self, column: Column, entry: ColumnOptions, raw: Raw) -> Unit:
        if entry.uln is not None or not column.unit:
            return Unit(ratio=True)
        per_cell = None
        if entry.unit_column:
            units = self.table.columns[entry.unit_column].as_text()
            per_cell = np.array([*[t or "" for t in units.texts()], ""], dtype=object)[units.codes]
        if entry.unit == "infer":
            return Unit(infer=True, per_cell=per_cell)
        if isinstance(entry.unit, list | tuple):
            for unit in entry.unit:
                self._check_unit(column, unit)
            return Unit(infer=True, among=tuple(entry.unit), per_cell=per_cell)
        stated = entry.unit
        if not stated and per_cell is None and raw.name != column.name:
            header = _HEADER_UNIT.search(raw.name)
            if header and unit_factor(column, header[1]) is not None:
                stated = header[1]
            elif column.units and entry.constant is None:
                raise CohortError(
                    f"{self.mapping.where}, [columns.{column.name}]: state the unit of file column {raw.name!r}: "
                    f'unit = "{column.unit}" or another accepted one ({accepted_units(column)}), unit_column = the column '
                    'that holds it, or unit = "infer" (or a list of units to choose from, row by row).'
                )
        if stated:
            self._check_unit(column, stated)
        return Unit(stated=stated, per_cell=per_cell)

    def _check_unit(self, column: Column, unit: str) -> None:
        if unit_factor(column, unit) is None:
            raise CohortError(
                f"{self.mapping.where}, [columns.{column.name}]: unit {unit!r} does not convert to {column.unit}. "
                f"Accepted: {accepted_units(column)}, and other units of the same kind."
            )

    def _over_limit(self, column: Column, entry: ColumnOptions, numbers: Numbers) -> Numbers:
        """The multiple of the upper limit of normal on the same row."""
        numbers.rest[:] = ""
        if isinstance(entry.uln, str):
            raw = self.table.columns[entry.uln]
            limits, codes = self._parse(column, ColumnOptions(entry.uln), raw)
            limits = limits.take(codes)
            exact = (limits.status == KNOWN) & (limits.lo == limits.hi) & (limits.lo > 0)
            limit = np.where(exact, limits.lo, np.nan)
        else:
            limit = np.full(len(numbers.lo), float(entry.uln))
        known = numbers.status == KNOWN
        without = known & np.isnan(limit)
        self.log.note(column.name, str(entry.uln), "quarantined", "no upper limit of normal on this row", without)
        numbers.status[without] = MISSING
        use = known & ~without
        for rail in (numbers.lo, numbers.hi):
            rail[use] = snap(rail[use] / limit[use])
        return numbers

    # -- dates ------------------------------------------------------------------------------------------------------
    def _dates(
        self, column: Column, entry: ColumnOptions, name: str, never: bool = False
    ) -> tuple[dt.Dates, np.ndarray]:
        if self.index is None:
            raise CohortError(
                f"{self.table.source}: column {column.name!r} is to be made from the dates in {name!r}, but no index date "
                'is known. Give index_date="2025-06-30", or [file] index_date in the mapping (a date or a file column).'
            )
        raw = self.table.columns[name]
        missing = self._missing(entry)
        if raw.kind == "date":
            dates = dt.from_days(raw.values)
        elif raw.kind == "number":
            raw = raw.as_text()
            dates = dt.parse_dates(raw.values, order="excel", missing=missing)
        else:
            order = entry.date_format or self.mapping.file.date_format
            dates = dt.parse_dates(raw.values, order=order, never=never, missing=missing)
        self._noter(column, name, raw.codes)(
            "quarantined", "cannot be read as a date", (dates.status == UNREADABLE) | (dates.status == AMBIGUOUS)
        )
        return dates, raw.codes

    def _since(self, column: Column, entry: ColumnOptions, name: str) -> Values:
        dates, codes = self._dates(column, entry, name, never=True)
        count = windows.days_since if column.name.startswith("days_since_") else windows.months_since
        values = self._counted(column, name, dates, codes, count)
        return self._blank(column, entry, self.table.columns[name].blank(), values)

    def _age(self, column: Column, entry: ColumnOptions) -> Values:
        name = entry.birth_date or entry.birth_year
        dates, codes = self._dates(column, entry, name)
        count = windows.completed_years if column.dtype == "Int64" else windows.exact_years
        return self._counted(column, name, dates, codes, count)

    def _counted(self, column: Column, name: str, dates: dt.Dates, codes, count) -> Values:
        """Numbers from dates to the index date: on distinct dates if there is one index date, else on rows."""
        index = self.index
        if index.ndim:
            dates, codes = dates.take(codes), None
        note = self._noter(column, name, codes)
        known = dates.status == KNOWN
        never = known & (dates.first == dt.NEVER_DATE)
        later = known & (dates.first > index)
        no_index = known & np.isnat(np.broadcast_to(index, known.shape))
        dates.status[later], dates.status[no_index] = AFTER_INDEX, DATE_MISSING
        note("quarantined", REASONS[AFTER_INDEX][1], later)
        note("quarantined", "no index date on this row", no_index)
        partial = known & ~later & (dates.first != dates.last)
        note("partial_date", "a partial date: both its first and its last day count", partial)
        # A partial date cannot lie after the index date, or it would not have been recorded by then.
        last = np.minimum(dates.last, index)
        lo = count(last, index)
        hi = lo.copy() if not partial.any() else count(dates.first, index)
        lo[never] = hi[never] = np.inf
        numbers = Numbers(lo, hi, dates.status, np.zeros(len(lo), "uint16"), np.full(len(lo), "", dtype=object))
        numbers = settle_numbers(column, numbers, Unit(ratio=True), note)
        return Values(*numbers.rows(codes))

    def _between(self, column: Column, entry: ColumnOptions) -> Values:
        start, codes = self._dates(column, entry, entry.from_date)
        start = start.take(codes)
        end, codes = self._dates(column, entry, entry.to_date, never=True)
        end = end.take(codes)
        status = np.where(start.status != KNOWN, start.status, end.status)
        known = status == KNOWN
        never = (end.status == KNOWN) & (end.first == dt.NEVER_DATE)
        later = known & ~never & ((end.first > self.index) | (start.first > self.index))
        status[later] = AFTER_INDEX
        status[never] = KNOWN
        lo = windows.months_from_to(start.last, end.first)
        hi = windows.months_from_to(start.first, np.minimum(end.last, self.index))
        wrong = known & ~never & ~later & (hi < 0)
        status[wrong] = CONFLICTING
        lo, hi = np.maximum(lo, 0), np.maximum(hi, 0)
        lo[never] = hi[never] = np.inf
        note = self._noter(column, f"{entry.from_date}, {entry.to_date}")
        note("quarantined", REASONS[AFTER_INDEX][1], later)
        note("quarantined", "the end is before the start", wrong)
        note("partial_date", "a partial date: both its first and its last day count", (status == KNOWN) & (lo != hi))
        hidden = status != KNOWN
        lo[hidden] = hi[hidden] = np.nan
        blank = self.table.columns[entry.to_date].blank()
        return self._blank(column, entry, blank, Values(status.astype("uint8"), lo, hi))

    # -- blanks that mean something ---------------------------------------------------------------------------------
    def _blank(self, column: Column, entry: ColumnOptions, blank: np.ndarray, values: Values) -> Values:
        """``blank = "never"``: only for patients with proof of observation in the 12 months before the index date."""
        if entry.blank is None:
            return values
        stated = ColumnOptions(column.name, constant=entry.blank)
        meant = self._plain(column, stated, self._raw(stated))
        if len(meant.status) and meant.status[0] != KNOWN:
            raise CohortError(
                f"{self.mapping.where}, [columns.{column.name}]: blank = {entry.blank!r} is no value of this column."
            )
        fill = blank & (values.status == MISSING) & self._observed(column, entry)
        self._noter(column, entry.from_ or entry.date or entry.to_date)(
            "filled", f"blank reads {entry.blank!r} for a patient observed in the 12 months before", fill
        )
        values.status[fill] = KNOWN
        if values.lo is not None:
            values.lo, values.hi = np.where(fill, meant.lo, values.lo), np.where(fill, meant.hi, values.hi)
        else:
            values.plain[fill] = meant.plain[fill]
        return values

    def _observed(self, column: Column, entry: ColumnOptions) -> np.ndarray:
        if isinstance(entry.observed, bool):
            return np.full(self.n, entry.observed)
        raw = self.table.columns[entry.observed]
        if raw.kind == "flag":
            return np.append(raw.values, False)[raw.codes]
        seen, codes = self._dates(column, ColumnOptions(column.name), entry.observed)
        seen = seen.take(codes)
        return (
            (seen.status == KNOWN) & (seen.first >= windows.months_before(self.index, 12)) & (seen.first <= self.index)
        )
