"""Text columns in DuckDB become dates, numbers and truth values; every cell that cannot be read is counted.

What is plainly an ISO date or a number is cast by DuckDB. The distinct rest (few, in practice) is read in Python by the
same rules as a cohort file, and joined back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from feasibility.cohort import dates as dates_module
from feasibility.cohort.parse import (
    CENSORED,
    KNOWN,
    MISSING,
    NOT_FOUND,
    NOT_TESTED,
    OPEN_HIGH,
    OPEN_LOW,
    REASONS,
    UNREADABLE,
    parse_numbers,
)
from feasibility.cohort.words import NO, YES, absent, fold
from feasibility.sources.extract import event

ONGOING = ("ongoing", "continuing", "current", "持续", "继续", "使用中", "在用", "laufend")
INTERVAL = re.compile(r"\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2}")
_TRUE, _FALSE = YES | {"active"}, NO | {"inactive", "resolved"}


@dataclass
class Typer:
    """Builds the SQL expressions of one raw table's typed columns, and the joins they need."""

    con: object
    raw: str
    table: str
    decimal: str = ""
    date_format: str = ""
    joins: list[str] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)

    def text(self, column: str) -> str:
        return f"nullif(trim(r.{quoted(column)}), '')"

    def day(self, column: str, file_column: str) -> tuple[str, str]:
        """(first possible day, last possible day)."""
        bare = f"regexp_replace({self.text(column)}, '[T ]+[0-9]{{1,2}}:?[0-9]{{2}}.*$', '')"
        iso = f"regexp_full_match({bare}, '(19|20)[0-9]{{2}}-[01][0-9]-[0-3][0-9]')"
        plain = f"({iso} AND try_cast({bare} AS DATE) > DATE '1900-01-01')"
        texts, counts, rows = self._rest(bare, plain)
        if not texts:
            fast = f"CASE WHEN {plain} THEN try_cast({bare} AS DATE) END"
            return fast, fast
        parsed = _parse_days(texts, self.date_format)
        status = parsed.status.copy()
        status[[fold(t) in ONGOING for t in texts]] = MISSING
        self._note(column, file_column, status, counts, rows)
        key = self._join(bare, texts, {"first": _days(parsed.first), "last": _days(parsed.last)})
        case = f"CASE WHEN {plain} THEN try_cast({bare} AS DATE) ELSE {key}.%s END"
        return case % "first", case % "last"

    def number(self, column: str, file_column: str, *, faults: bool = True) -> dict[str, str]:
        """SQL of ``lo``, ``hi``, ``comparator`` and ``rest`` (the text behind the number)."""
        text = self.text(column)
        cast = f"try_cast({text} AS DOUBLE)"
        plain = f"regexp_full_match({text}, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?')"
        decimal = self.decimal
        if decimal == ",":
            plain = f"({plain} AND NOT contains({text}, '.'))"
        texts, counts, rows = self._rest(text, plain)
        if not texts:
            fast = f"CASE WHEN {plain} THEN {cast} END"
            return {"lo": fast, "hi": fast, "comparator": "NULL::VARCHAR", "rest": "NULL::VARCHAR"}
        if not decimal and self._any(f"{plain} AND contains({text}, '.')"):
            decimal = "."
        numbers = parse_numbers(pa.array([t.replace("--", "-") for t in texts], pa.string()), decimal=decimal)
        if faults:
            self._note(column, file_column, np.where(numbers.flags & NOT_FOUND, MISSING, numbers.status), counts, rows)
        known = numbers.status == KNOWN
        comparator = [
            _comparator(f, lo) if k and f & CENSORED else None
            for k, f, lo in zip(known, numbers.flags, numbers.lo, strict=True)
        ]  # fmt: skip
        key = self._join(
            text,
            texts,
            {
                "lo": _finite(numbers.lo),
                "hi": _finite(numbers.hi),
                "comparator": pa.array(comparator, pa.string()),
                "rest": pa.array([str(r) or None for r in numbers.rest], pa.string()),
            },
        )
        case = f"CASE WHEN {plain} THEN {cast} ELSE {key}.%s END"
        return {"lo": case % "lo", "hi": case % "hi", "comparator": f"{key}.comparator", "rest": f"{key}.rest"}

    def truth(self, column: str, file_column: str) -> str:
        text = self.text(column)
        texts, counts, rows = self._rest(text, "false")
        words = [fold(t) for t in texts]
        values = [True if w in _TRUE else False if w in _FALSE else None for w in words]
        kinds = {True: KNOWN, False: KNOWN}
        status = np.array(
            [kinds.get(v, MISSING if absent(w) else UNREADABLE) for v, w in zip(values, words, strict=True)]
        )
        self._note(column, file_column, status, counts, rows)
        return f"{self._join(text, texts, {'value': pa.array(values, pa.bool_())})}.value"

    # -- distinct texts -------------------------------------------------------------------------------------------
    def _rest(self, text: str, plain: str) -> tuple[list[str], np.ndarray, np.ndarray]:
        got = self.con.sql(
            f"SELECT t, count(*) AS n, min(row_id) AS first_row "
            f"FROM (SELECT {text} AS t, {plain} AS p, r.rowid + 2 AS row_id "
            f"FROM {self.raw} r) WHERE t IS NOT NULL AND NOT coalesce(p, false) GROUP BY t ORDER BY first_row"
        ).fetch_arrow_table()
        return got["t"].to_pylist(), got["n"].to_numpy(), got["first_row"].to_numpy()

    def _any(self, condition: str) -> bool:
        return bool(self.con.sql(f"SELECT coalesce(bool_or({condition}), false) FROM {self.raw} r").fetchone()[0])

    def _join(self, text: str, texts: list[str], columns: dict) -> str:
        key = f"m{len(self.joins)}"
        name = f"{self.raw}_{key}"
        self.con.register(name, pa.table({"t": pa.array(texts, pa.string())} | columns))
        self.joins.append(f"LEFT JOIN {name} {key} ON {key}.t = {text}")
        return key

    def _note(self, column: str, file_column: str, status, counts, rows) -> None:
        for code in np.unique(status):
            if code in (KNOWN, MISSING, NOT_TESTED):
                continue
            here = status == code
            self.events.append(
                event(f"{self.table}.{column}", file_column, "quarantined", REASONS[int(code)][1],
                      counts[here].sum(), rows[here][:20])
            )  # fmt: skip


def _parse_days(texts: list[str], order: str) -> dates_module.Dates:
    """Dates of any kind; an ISO 8601 interval, 1934-05-06/1935-05-05, is some day from the one to the other."""
    spans = {i: t.split("/") for i, t in enumerate(texts) if INTERVAL.fullmatch(t)}
    begins = [spans[i][0] if i in spans else t for i, t in enumerate(texts)]
    result = dates_module.parse_dates(pa.array(begins, pa.string()), order=order)
    if spans:
        ends = dates_module.parse_dates(pa.array([end for _, end in spans.values()], pa.string()), order=order)
        for (i, _), last, status in zip(spans.items(), ends.last, ends.status, strict=True):
            sound = result.status[i] == KNOWN and status == KNOWN and result.first[i] <= last
            result.last[i], result.status[i] = last, KNOWN if sound else UNREADABLE
            if not sound:
                result.first[i] = result.last[i] = np.datetime64("NaT", "D")
    return result


def _comparator(flags: int, low: float) -> str:
    if np.isneginf(low):
        return "<" if flags & OPEN_HIGH else "<="
    return ">" if flags & OPEN_LOW else ">="


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _days(days: np.ndarray) -> pa.Array:
    return pa.array(days.astype("datetime64[s]").astype("datetime64[D]"), pa.date32(), from_pandas=True)


def _finite(values: np.ndarray) -> pa.Array:
    return pa.array(np.where(np.isfinite(values), values, np.nan), pa.float64(), from_pandas=True)
