"""Numbers as people type them: decimal commas, thousands, "<20", "50-55", "> 89", "1.2×10^3", a unit after the number.

Parsing is done on distinct texts and knows no column; what a bound or a unit means for a column is decided in
``settle``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feasibility.cohort.words import NEVER, NOT_DETECTED, absent, fold, tidy

KNOWN, MISSING, NOT_TESTED, UNREADABLE, AMBIGUOUS, OUT_OF_RANGE, UNIT_UNKNOWN, AFTER_INDEX, CONFLICTING = range(9)
DATE_MISSING, DATE_IMPRECISE, BEFORE_LIMIT = 9, 10, 11
REASONS = {
    MISSING: ("missing", "no value"),
    NOT_TESTED: ("not_tested", "not tested"),
    UNREADABLE: ("unreadable", "cannot be read as a value of this column"),
    AMBIGUOUS: ("unreadable", "ambiguous: decimal or thousands mark, day or month; state it in the mapping"),
    OUT_OF_RANGE: ("out_of_range", "impossible value, outside the declared range"),
    UNIT_UNKNOWN: ("unit_unknown", "the unit is missing or does not fit"),
    AFTER_INDEX: ("after_index", "dated after the index date: never read"),
    CONFLICTING: ("conflicting", "two cells contradict each other"),
    DATE_MISSING: ("date_missing", "the date it depends on is missing"),
    DATE_IMPRECISE: ("date_imprecise", "the date is too imprecise"),
    BEFORE_LIMIT: ("out_of_range", "a date before 1900-01-02: a placeholder, not a date"),
}
"""Status code -> (reason of the unknown cell, what the log says)."""

CENSORED, RANGE, OPEN_LOW, OPEN_HIGH, NOT_FOUND, COMMA, THOUSANDS, MARKED = (1 << i for i in range(8))

_OPERATORS = {
    "<": "<", "﹤": "<", "<=": "<=", "=<": "<=", "≤": "<=", "≦": "<=", "⩽": "<=", ">": ">", "﹥": ">", ">=": ">=",
    "=>": ">=", "≥": ">=", "≧": ">=", "⩾": ">=", "=": "=", "小于": "<", "低于": "<", "大于": ">", "高于": ">",
    "less than": "<", "below": "<", "under": "<", "kleiner": "<", "unter": "<", "more than": ">", "above": ">",
    "over": ">", "größer": ">", "über": ">", "at least": ">=", "mindestens": ">=", "at most": "<=", "höchstens": "<=",
}  # fmt: skip
_OP = "|".join(re.escape(op) for op in sorted(_OPERATORS, key=len, reverse=True))
_NUM = r"(?:\d[\d.,'’]*(?: \d{3}(?!\d))*|[.,]\d+)(?:[eE][+-]?\d+)?"
_CELL = re.compile(
    rf"(?P<op>{_OP})?\s*(?P<sign>[+-])?\s*(?P<num>{_NUM})(?:\s*(?:-|–|—|~|～|to|bis|至|到|\.\.)\s*(?P<num2>{_NUM}))?"
    r"\s*(?P<plus>\+|and over|and older|及以上|以上)?(?P<rest>.*)",
    re.IGNORECASE,
)
_POWER = re.compile(r"^\s*[x×*·]\s*10\s*(?:\^|\*\*|\*|E)?\s*([+-]?\d{1,2})(?!\d)\s*(.*)$", re.IGNORECASE)
_LAB_FLAG = re.compile(r"(?:\s*[↑↓*!]+|\s*\((?:H|L|HH|LL|\+|N)\)|(?:^|\s)(?:HH|LL|H|L))\s*$")
_PREFIX = re.compile(r"^(?:ecog|nyha|who|ps|kps|karnofsky|class|klasse|stadium|grade|grad|°)[\s:=_.-]*", re.IGNORECASE)
PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_THOUSAND_DOT = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_THOUSAND_COMMA = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_COMMA_DECIMAL = r"^[+-]?\d+,\d+$"


@dataclass
class Numbers:
    """Bounds, status, flags and the text after the number, one entry per text; exact where ``lo == hi``."""

    lo: np.ndarray
    hi: np.ndarray
    status: np.ndarray
    flags: np.ndarray
    rest: np.ndarray

    @classmethod
    def empty(cls, n: int) -> Numbers:
        return cls(
            np.full(n, np.nan), np.full(n, np.nan), np.full(n, MISSING, "uint8"), np.zeros(n, "uint16"),
            np.full(n, "", dtype=object),
        )  # fmt: skip

    def take(self, codes: np.ndarray) -> Numbers:
        """One entry per row; a code of -1 is an empty cell."""
        return Numbers(
            np.append(self.lo, np.nan)[codes], np.append(self.hi, np.nan)[codes],
            np.append(self.status, np.uint8(MISSING))[codes], np.append(self.flags, np.uint16(0))[codes],
            np.append(self.rest, "")[codes],
        )  # fmt: skip

    def rows(self, codes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(status, lower, upper) of every row; one array serves as both bounds where all values are exact."""
        if codes is None:
            return self.status, self.lo, self.hi
        status, lo = np.append(self.status, np.uint8(MISSING))[codes], np.append(self.lo, np.nan)[codes]
        exact = np.array_equal(self.lo, self.hi, equal_nan=True)
        return status, lo, lo if exact else np.append(self.hi, np.nan)[codes]


def is_missing_number(values: np.ndarray, missing: frozenset[str]) -> np.ndarray:
    """Where a number is one of the stated missing codes, compared by value: 999.0 is "999"."""
    wanted = []
    for word in missing:
        try:
            wanted.append(float(word.replace(",", ".")))
        except ValueError:
            continue
    return np.isin(values, wanted) if wanted else np.zeros(len(values), dtype=bool)


def from_floats(values: np.ndarray, missing: frozenset[str], never: bool) -> Numbers:
    """Numbers that arrive as numbers; infinity is a value only where "never" is."""
    values = np.asarray(values, dtype="float64")
    result = Numbers.empty(len(values))
    known = ~np.isnan(values) & ~is_missing_number(values, missing)
    result.lo[known] = result.hi[known] = values[known]
    result.status[known] = KNOWN
    wrong = np.isneginf(values) | (np.isposinf(values) & (not never))
    result.status[wrong & known] = UNREADABLE
    return result


def parse_numbers(
    texts: pa.Array, *, decimal: str = "", never: bool = False, missing: frozenset[str] = frozenset(), marks=None
) -> Numbers:
    """Read distinct texts; ``decimal`` is the stated decimal mark ("" if none), ``missing`` the stated missing codes.

    ``marks`` are words with a number of their own: ``{"ii": 2}``.

    >>> n = parse_numbers(pa.array(["7,1", "<20", "50–55", "＞500", "1.2×10^3", "NA"]))
    >>> n.lo.tolist(), n.hi.tolist()
    ([7.1, -inf, 50.0, 500.0, 1.2, nan], [7.1, 20.0, 55.0, inf, 1.2, nan])
    """
    result = Numbers.empty(len(texts))
    if not len(texts):
        return result
    comma, thousands = decimal_mark(texts, decimal)
    done = _fast(texts, result, PLAIN, exclude=_THOUSAND_DOT if comma else "", comma=False)
    if comma:
        done |= _fast(texts, result, _COMMA_DECIMAL, exclude="", comma=True)
    if missing and done.any():
        stated = done & is_missing_number(result.lo, missing)
        result.lo[stated] = result.hi[stated] = np.nan
        result.status[stated] = MISSING
    rest = np.flatnonzero(~done)
    for i, text in zip(rest, texts.take(pa.array(rest)).to_pylist(), strict=True):
        if text is not None:
            _read_one(text, i, result, comma, thousands, never, missing, marks or {})
    return result


def decimal_mark(texts: pa.Array, stated: str) -> tuple[bool, bool]:
    """(is the comma the decimal mark, may the other mark be taken for thousands), from the statement or the evidence.

    "7,1" and "12,50" show a decimal comma, "7.1" a decimal point; "1,234" shows neither.
    """

    def seen(pattern: str, but: str) -> bool:
        hits = pc.and_(pc.match_substring_regex(texts, pattern), pc.invert(pc.match_substring_regex(texts, but)))
        return bool(pc.any(hits).as_py())

    commas = seen(_COMMA_DECIMAL, _THOUSAND_COMMA)
    points = seen(r"^[+-]?\d*\.\d+$", _THOUSAND_DOT)
    comma = stated == "," or (not stated and commas and not points)
    other_is_decimal = points if comma else commas
    # Without a statement or evidence a lone "1,234" stays ambiguous.
    return comma, not other_is_decimal and (bool(stated) or comma or points)


def _fast(texts, result: Numbers, pattern: str, exclude: str, comma: bool) -> np.ndarray:
    hit = pc.match_substring_regex(texts, pattern)
    if exclude:
        hit = pc.and_(hit, pc.invert(pc.match_substring_regex(texts, exclude)))
    mask = pc.fill_null(hit, False).to_numpy(zero_copy_only=False)
    if mask.any():
        chosen = texts.filter(pa.array(mask))
        if comma:
            chosen = pc.replace_substring(chosen, ",", ".")
        # Arrow refuses a leading plus.
        values = pc.utf8_ltrim(chosen, "+").cast(pa.float64()).to_numpy(zero_copy_only=False)
        result.lo[mask] = result.hi[mask] = values
        result.status[mask] = np.where(np.isfinite(values), KNOWN, UNREADABLE)
        if comma:
            result.flags[mask] |= COMMA
    return mask


def _read_one(text, i, result: Numbers, comma, thousands, never, missing, marks) -> None:
    clean = tidy(text)
    word = fold(text)
    if word in missing or absent(word):
        result.status[i] = NOT_TESTED if absent(word) == "not_tested" and word not in missing else MISSING
        return
    if never and word in NEVER:
        result.lo[i] = result.hi[i] = math.inf
        result.status[i] = KNOWN
        return
    if word in NOT_DETECTED:
        result.flags[i] |= NOT_FOUND
        return
    result.status[i] = UNREADABLE
    stripped = _PREFIX.sub("", clean)
    bare = stripped.removesuffix("级").removesuffix("分").strip()
    if _marked(bare, i, result, marks):
        return
    match = _CELL.fullmatch(bare)
    if match is None or (match["op"] and match["num2"]):
        return
    first = to_float(match["num"], comma, thousands)
    second = to_float(match["num2"], comma, thousands) if match["num2"] else first
    if first is None or second is None:
        result.status[i] = AMBIGUOUS
        return
    if math.isnan(first) or math.isnan(second):
        return
    if match["sign"] == "-":
        if match["num2"]:
            return
        first = second = -first
    if second < first:  # "2024-05" or "55-50": not a range
        return
    op = _OPERATORS[match["op"].lower()] if match["op"] else ">=" if match["plus"] else "="
    if match["op"] and match["plus"]:
        return
    result.rest[i] = _LAB_FLAG.sub("", match["rest"]).strip() if match["rest"] else ""
    result.status[i] = KNOWN
    _bound(i, result, op, first, second)
    if match["num2"]:
        result.flags[i] |= RANGE


def _bound(i, result: Numbers, op: str, first: float, second: float) -> None:
    result.lo[i] = -math.inf if op in ("<", "<=") else first
    result.hi[i] = math.inf if op in (">", ">=") else second
    if op != "=":
        result.flags[i] |= CENSORED | (OPEN_HIGH if op == "<" else OPEN_LOW if op == ">" else 0)


def _marked(text: str, i: int, result: Numbers, marks) -> bool:
    """Scores written as words or Roman numerals, alone or as a range: "II", "II-III"."""
    if not marks:
        return False
    parts = [marks.get(part.strip().casefold()) for part in re.split(r"\s*(?:[-–—/]|to|bis|至)\s*", text)]
    if None in parts or len(parts) > 2 or not all(isinstance(p, int | float) for p in parts):
        return False
    result.lo[i], result.hi[i] = min(parts), max(parts)
    result.status[i] = KNOWN
    result.flags[i] |= MARKED | (RANGE if len(parts) == 2 else 0)
    return True


def to_float(text: str, comma: bool, thousands: bool) -> float | None:
    """One number; None if its mark may be decimal or thousands, NaN if it is no number.

    >>> [to_float(t, comma, True) for t, comma in (("1,234.5", False), ("1.234,5", True), ("1'234", False))]
    [1234.5, 1234.5, 1234.0]
    >>> to_float("1,234", False, thousands=False) is None
    True
    """
    text = text.replace("’", "'").replace("'", " ")
    mark, other = (",", ".") if comma else (".", ",")
    if " " in text:
        if not re.fullmatch(r"\d{1,3}( \d{3})+([.,]\d+)?", text):
            return math.nan
        text = text.replace(" ", "")
    if "," in text and "." in text:
        # Both occur: the last one is the decimal mark, the other must group by three.
        mark, other = (",", ".") if text.rfind(",") > text.rfind(".") else (".", ",")
        if text.count(mark) > 1 or not re.fullmatch(rf"\d{{1,3}}(?:\{other}\d{{3}})+\{mark}\d*", text):
            return math.nan
    elif other in text:
        if text.count(other) == 1:
            if not re.fullmatch(rf"[1-9]\d{{0,2}}\{other}\d{{3}}", text):
                mark, other = other, mark  # cannot be thousands
            elif not thousands:
                return None
        elif not re.fullmatch(rf"\d{{1,3}}(?:\{other}\d{{3}})+", text):
            return math.nan
    elif text.count(mark) > 1:
        if not re.fullmatch(rf"\d{{1,3}}(?:\{mark}\d{{3}})+", text):
            return math.nan
        mark, other = other, mark
    try:
        return float(text.replace(other, "").replace(mark, "."))
    except ValueError:
        return math.nan


def split_power(rest: str) -> tuple[float, str] | None:
    """``x10^3 IU/mL`` after a number: the power and the unit behind it."""
    match = _POWER.match(rest)
    return (10.0 ** int(match[1]), match[2].strip()) if match else None
