"""One declared column from the raw cells of a file: numbers, yes/no, codes, ages and times from dates."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa

from feasibility.cohort.codes import read_codes, read_flags
from feasibility.cohort.mapping import ColumnOptions
from feasibility.cohort.parse import (
    AFTER_INDEX,
    AMBIGUOUS,
    KNOWN,
    MISSING,
    OUT_OF_RANGE,
    REASONS,
    UNREADABLE,
    Numbers,
    from_floats,
    parse_numbers,
)
from feasibility.cohort.raw import Raw
from feasibility.cohort.schema import Column
from feasibility.cohort.settle import Unit, is_time, settle_numbers
from feasibility.cohort.time_values import TimeReader, Values
from feasibility.cohort.units import accepted_units, snap, unit_factor
from feasibility.cohort.words import fold
from feasibility.errors import CohortError

_HEADER_UNIT = re.compile(r"[\(\[（]\s*([^()\[\]（）]+?)\s*[\)\]）]\s*$")


class ColumnReader(TimeReader):
    """Reads declared columns out of one raw table at one index date (or one per row)."""

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
        if entry.constant is not None:
            why = f"the mapping states {entry.constant!r} for every patient"
            self.log.note(entry.name, "", "stated", why, np.ones(self.n, dtype=bool))
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
            unit = companion.name.split("_")[0]
            why = f"the mapping states that every value is {stated:g} {unit} old"
            self.log.note(companion.name, "", "stated", why, known)
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
                    f'unit = "{column.unit}" or another accepted one ({accepted_units(column)}), unit_column = the '
                    'column that holds it, or unit = "infer" (or a list of units to choose from, row by row).'
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
