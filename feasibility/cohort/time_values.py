"""Ages and times out of dates: since an event, between two events, since birth; and what is shared by all columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

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
    REASONS,
    UNREADABLE,
    Numbers,
)
from feasibility.cohort.raw import Log, RawTable
from feasibility.cohort.schema import STRING, Column
from feasibility.cohort.settle import Unit, settle_numbers
from feasibility.errors import CohortError


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


class TimeReader:
    """Reads columns that come from dates, at one index date or one per row."""

    def __init__(self, table: RawTable, mapping: Mapping, index, log: Log):
        self.table, self.mapping, self.index, self.log = table, mapping, index, log
        self.n = len(table.lines)

    def _missing(self, entry: ColumnOptions) -> frozenset[str]:
        return frozenset(self.mapping.file.missing) | frozenset(entry.missing)

    def _noter(self, column: Column, file_column: str, codes=None):
        return lambda kind, reason, mask: self.log.note(column.name, file_column, kind, reason, mask, codes)

    def _dates(
        self, column: Column, entry: ColumnOptions, name: str, never: bool = False
    ) -> tuple[dt.Dates, np.ndarray]:
        if self.index is None:
            raise CohortError(
                f"{self.table.source}: column {column.name!r} is to be made from the dates in {name!r}, but "
                'no index date is known. Give index_date="2025-06-30", or [file] index_date in the mapping '
                "(a date or a file column)."
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
