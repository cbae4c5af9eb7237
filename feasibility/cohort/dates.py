"""Dates as people type them: ISO, German, Chinese, spreadsheets; partial dates become their first and last day."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feasibility.cohort.parse import AMBIGUOUS, BEFORE_LIMIT, KNOWN, MISSING, NOT_TESTED, UNREADABLE
from feasibility.cohort.words import NEVER, absent, fold, tidy

EARLIEST = np.datetime64("1900-01-02", "D")
"""Earlier dates are what spreadsheets and registries write for "no date"."""
NEVER_DATE = np.datetime64("0001-01-01", "D")
"""Stands for the word never among parsed dates."""
_EXCEL_ZERO = np.datetime64("1899-12-30", "D")

_NAMES = (
    ("jan", "januar", "january", "jän", "jänner"), ("feb", "februar", "february"),
    ("mar", "mär", "mrz", "märz", "march"), ("apr", "april"), ("may", "mai"), ("jun", "juni", "june"),
    ("jul", "juli", "july"), ("aug", "august"), ("sep", "sept", "september"), ("oct", "okt", "october", "oktober"),
    ("nov", "november"), ("dec", "dez", "december", "dezember"),
)  # fmt: skip
_MONTHS = {name: i + 1 for i, names in enumerate(_NAMES) for name in names}
_TIME = r"(?:[T\s]\s*\d{1,2}:?\d{2}.*)?"
_YMD = re.compile(rf"(\d{{4}})\s*[-/.年]\s*(\d{{1,2}})\s*[-/.月]\s*(\d{{1,2}})\s*日?{_TIME}")
_COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(?:\d{4,6})?")
_YM = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*月?")
_MY = re.compile(r"(\d{1,2})\s*[-/.]\s*(\d{4})")
_Y = re.compile(r"((?:18|19|20|21|99)\d{2})\s*年?")
_DMY_DOT = re.compile(rf"(\d{{1,2}})\.\s?(\d{{1,2}})\.\s?(\d{{4}}){_TIME}")
_TWO_ORDERS = re.compile(rf"(\d{{1,2}})[-/](\d{{1,2}})[-/](\d{{4}}){_TIME}")
_NAMED = re.compile(rf"(\d{{1,2}})?[.\s-]*([^\W\d_]{{3,9}})\.?[\s-]*(\d{{4}}){_TIME}")
_NAMED_US = re.compile(rf"([^\W\d_]{{3,9}})\.?\s+(\d{{1,2}}),?\s+(\d{{4}}){_TIME}")
_SERIAL = re.compile(r"(\d{5})(?:\.\d+)?")


@dataclass
class Dates:
    """First and last possible day, and a status, one entry per text; ``NEVER_DATE`` for the word never."""

    first: np.ndarray
    last: np.ndarray
    status: np.ndarray

    def take(self, codes: np.ndarray) -> Dates:
        nat = np.datetime64("NaT", "D")
        return Dates(
            np.append(self.first, nat)[codes], np.append(self.last, nat)[codes],
            np.append(self.status, np.uint8(MISSING))[codes],
        )  # fmt: skip


def empty_dates(n: int) -> Dates:
    return Dates(np.full(n, "NaT", "datetime64[D]"), np.full(n, "NaT", "datetime64[D]"), np.full(n, MISSING, "uint8"))


def from_days(days: np.ndarray) -> Dates:
    """Dates that arrive as dates."""
    result = empty_dates(len(days))
    known = ~np.isnat(days)
    result.first[known] = result.last[known] = days[known]
    result.status[known] = np.where(days[known] < EARLIEST, BEFORE_LIMIT, KNOWN)
    _clear(result)
    return result


def from_serials(values: np.ndarray, missing: frozenset[str] = frozenset()) -> Dates:
    """Numbers that arrive as numbers: spreadsheet days since 1899-12-30, or years where they look like years."""
    whole = [str(int(v)) if v == v and abs(v) < 1e9 else "" for v in values]
    return parse_dates(pa.array(whole, pa.string()), order="excel", missing=missing)


def parse_dates(texts: pa.Array, *, order: str = "", never: bool = False, missing: frozenset[str] = frozenset()):
    """Read distinct date texts; ``order`` ("dmy", "mdy", "excel") is the stated way, "" decides by the evidence.

    >>> d = parse_dates(pa.array(["2025-06-30", "30.06.2025", "2024-12", "2025年6月", "31/01/2024"]))
    >>> d.first.astype(str).tolist()
    ['2025-06-30', '2025-06-30', '2024-12-01', '2025-06-01', '2024-01-31']
    >>> d.last.astype(str).tolist()[2]
    '2024-12-31'
    """
    result = empty_dates(len(texts))
    done = _iso(texts, result) if not missing else np.zeros(len(texts), dtype=bool)
    rest = np.flatnonzero(~done)
    others = texts.take(pa.array(rest))
    cells = others.to_pylist()
    order = order or _evident_order(cells, others)
    for i, text in zip(rest, cells, strict=True):
        if text is None:
            continue
        word = fold(text)
        if not word or word in missing or absent(word):
            result.status[i] = NOT_TESTED if absent(word) == "not_tested" and word not in missing else MISSING
        elif never and word in NEVER:
            result.first[i] = result.last[i] = NEVER_DATE
            result.status[i] = KNOWN
        else:
            result.status[i] = _one(tidy(text), order, result, i)
    _clear(result)
    return result


def _iso(texts: pa.Array, result: Dates) -> np.ndarray:
    """Read what is plainly an ISO date, all at once; returns where."""
    plain = pc.fill_null(pc.match_substring_regex(texts, r"^(?:19|20)\d{2}-[01]\d-[0-3]\d$"), False)
    plain = plain.to_numpy(zero_copy_only=False)
    if not plain.any():
        return plain
    days = pc.strptime(texts.filter(pa.array(plain)), format="%Y-%m-%d", unit="s", error_is_null=True)
    days = days.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    result.first[plain] = result.last[plain] = days
    # strptime takes 30 February for 2 March: a date counts only if it is written the same way again.
    same = days.astype(str) == np.array(texts.filter(pa.array(plain)).to_pylist(), dtype=str)
    result.status[plain] = np.where(~same, UNREADABLE, np.where(days < EARLIEST, BEFORE_LIMIT, KNOWN))
    return plain


def _clear(result: Dates) -> None:
    unknown = result.status != KNOWN
    result.first[unknown] = result.last[unknown] = np.datetime64("NaT", "D")


def _evident_order(cells, texts: pa.Array) -> str:
    """Day or month first, decided only by a part above 12; a column of five-digit numbers is spreadsheet serials."""
    if not len(texts):
        return ""
    if pc.any(pc.match_substring_regex(texts, r"^\d{1,2}[-/]\d{1,2}[-/]\d{4}")).as_py():
        pairs = [m for m in (_TWO_ORDERS.fullmatch(tidy(c)) for c in cells if c) if m]
        day_first = any(int(m[1]) > 12 for m in pairs)
        month_first = any(int(m[2]) > 12 for m in pairs)
        return "" if day_first == month_first else "dmy" if day_first else "mdy"
    filled = [c for c in cells if c and not absent(fold(c))]
    serials = [c for c in filled if _SERIAL.fullmatch(c) and 10000 <= float(c) < 80000]
    return "excel" if serials and len(serials) >= 0.5 * len(filled) else ""


def _one(text: str, order: str, result: Dates, i: int) -> int:
    if match := _YMD.fullmatch(text) or _COMPACT.fullmatch(text):
        return _set(result, i, match[1], match[2], match[3])
    if match := _DMY_DOT.fullmatch(text):
        return _set(result, i, match[3], match[2], match[1])
    if match := _TWO_ORDERS.fullmatch(text):
        if order not in ("dmy", "mdy"):
            one, two = int(match[1]), int(match[2])
            if one == two:
                return _set(result, i, match[3], match[1], match[2])
            if not (one > 12) ^ (two > 12):
                return AMBIGUOUS
            day_first = one > 12
        else:
            day_first = order == "dmy"
        day, month = (match[1], match[2]) if day_first else (match[2], match[1])
        return _set(result, i, match[3], month, day)
    if match := _NAMED_US.fullmatch(text):
        month = _MONTHS.get(match[1].casefold())
        return _set(result, i, match[3], month, match[2]) if month else UNREADABLE
    if match := _NAMED.fullmatch(text):
        month = _MONTHS.get(match[2].casefold())
        return _set(result, i, match[3], month, match[1]) if month else UNREADABLE
    if order == "excel" and (match := _SERIAL.fullmatch(text)):
        return _keep(result, i, _EXCEL_ZERO + int(match[1]), _EXCEL_ZERO + int(match[1]))
    if match := _YM.fullmatch(text):
        return _set(result, i, match[1], match[2], None)
    if match := _MY.fullmatch(text):
        return _set(result, i, match[2], match[1], None)
    if match := _Y.fullmatch(text):
        return _set(result, i, match[1], None, None)
    return UNREADABLE


def _set(result: Dates, i: int, year, month, day) -> int:
    try:
        year = int(year)
        first_month = int(month) if month is not None else 1
        last_month = int(month) if month is not None else 12
        first = dt.date(year, first_month, int(day) if day is not None else 1)
        last = dt.date(year, last_month, int(day) if day is not None else calendar.monthrange(year, last_month)[1])
    except ValueError:
        return UNREADABLE
    return _keep(result, i, np.datetime64(first, "D"), np.datetime64(last, "D"))


def _keep(result: Dates, i: int, first, last) -> int:
    if last < EARLIEST:
        return BEFORE_LIMIT
    result.first[i], result.last[i] = first, last
    return KNOWN
