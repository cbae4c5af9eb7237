"""Tests that are positive or not, as the columns declare them, and what a diagnosis adds to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.cohort import windows
from feasibility.cohort.event_rows import CONFLICTING, DATE_IMPRECISE, DATE_MISSING, STALE, Rows
from feasibility.cohort.once import dated_events, ever, latest
from feasibility.cohort.parse import MISSING, NOT_TESTED
from feasibility.cohort.schema import Column
from feasibility.cohort.units import unit_factor
from feasibility.cohort.words import NO, YES, absent, fold

WEAK = ("弱阳性", "weakly_positive", "weak_positive", "weakly_reactive", "schwach_positiv", "low_positive", "1+",
        "2+", "3+",
        "4+", "阳性(+)", "阳性_(+)", "已检出")  # fmt: skip
DOUBTFUL = ("±", "+/-", "+-", "indeterminate", "borderline", "equivocal", "grenzwertig", "可疑", "不确定", "弱反应性",
            "grey_zone",
            "gray_zone", "灰区")  # fmt: skip
DOUBT = re.compile("±|\\+/-|可疑|疑似|不确定|灰区|假阳|假阴|indetermin|undetermin|borderline|equivocal|inconclusive|"
                   "gr[ae]y[_-]zone|grenzwertig|fraglich|unbestimmt|presumptive|possibl|probabl|suspect|"
                   "fals[eh]?c?h?[_-]?(?:positiv|negativ|reac|reak)|(?:not|nicht)_negativ")  # fmt: skip
POSITIVE = re.compile("阳|检出|检测到|positiv|reactive|reaktiv|detect|nachweisbar")
NEGATIVE = re.compile("阴|negativ")
NEGATED = re.compile("(?:(?<![a-z])(?:not?|non|none|nicht|kein[a-z]*|without|ohne|un)[_-]*|"
                     "(?<![a-z])(?:not?|none|nicht|kein[a-z]*)_(?:longer|evidence_of|sign_of|clearly|mehr|virus|hiv|rna|dna|antibod(?:y|ies))_+|[未无非不][见]?)"
                     "(?:sero)?(?:阳性?|检出|检测到|反应性?|positiv[a-z]*|react[a-z]*|reakt[a-z]*|detect[a-z]*|"
                     "nachweisbar|nachgewiesen)")  # fmt: skip
"""A word for positive that is denied: not positive, non reactive, undetected."""
NEGATIVE_MARKS = ("-", "–", "—", "阴性(-)", "阴性_(-)", "－")
DEFAULT_WINDOW = 180
STATISTICS = ("reactive", "months_since_reactive", "confirmed")
CONFIRMING = " confirming"


@dataclass
class Picked:
    """The latest test of each row in its window: +1 reactive, -1 not, 0 doubtful, NaN none; its age; why unknown."""

    sign: np.ndarray
    days: np.ndarray
    status: np.ndarray


def build_serology(rows: Rows) -> None:
    """Fill the columns that are declared as the answer of a test."""
    wanted = [c for c in rows.columns.columns if c.statistic in STATISTICS]
    results = _results(rows, wanted)
    for column in wanted:
        if column.statistic == "confirmed":
            _confirmed(rows, column, results)
        elif results is not None and column.statistic == "reactive":
            _reactive(rows, column, results)
        elif results is not None:
            _months_since(rows, column, results)


def _reactive(rows: Rows, column: Column, results: pd.DataFrame) -> None:
    picked = _latest(rows, results, column.name, int(rows.setting(column.name, "window_days", DEFAULT_WINDOW)))
    unknown = np.isnan(picked.sign) | (picked.sign == 0)
    values = picked.sign == 1
    if column.dtype == "string":
        negative, positive = column.values
        values = np.where(unknown, None, np.where(values, positive, negative))
    rows.put_plain(column.name, values, unknown, picked.status)
    if column.companion:
        rows.put(column.companion, np.where(unknown, np.nan, picked.days), None, picked.status)


def _results(rows: Rows, wanted: list[Column]) -> pd.DataFrame | None:
    """Every test of these columns on or before the index date, with its sign; doubtful ones are 0."""
    items = {c.name: [c.codelist] for c in wanted}
    items |= {c.name + CONFIRMING: [c.lists["labs"]] for c in wanted if "labs" in c.lists}
    if not rows.has("labs") or not items:
        return None
    source = rows.matched("labs", items, ("local_name",))
    if source is None:
        return None
    keep = ["pid", "row_id", "item", "date", "date_last", "value_text", "value_num", "comparator", "unit", "ref_high",
            "flag"]  # fmt: skip
    tests = rows.fetch(source.select(*keep), "date", undated=True)
    tests["sign"] = _signs(tests, {c.name: c for c in wanted})
    unread = tests["sign"].isna()
    for name, n in tests.loc[unread, "item"].value_counts().items():
        rows.note(name.removesuffix(CONFIRMING), "quarantined", "cannot be read as reactive or not", n)
    return tests


def _signs(tests: pd.DataFrame, columns: dict[str, Column]) -> np.ndarray:
    words = {t: _word(t) for t in tests["value_text"].dropna().unique()}
    by_text = tests["value_text"].map(words).to_numpy(dtype="float64")
    value = tests["value_num"].to_numpy(dtype="float64")
    limit = tests["ref_high"].to_numpy(dtype="float64")
    below = tests["comparator"].map(lambda c: isinstance(c, str) and c.startswith("<")).to_numpy(dtype=bool)
    item = tests["item"].to_numpy()
    by_number = np.full(len(tests), np.nan)
    known = ~np.isnan(value)
    # An index over its cut-off is reactive; without a cut-off the number says nothing.
    with_limit = known & ~np.isnan(limit)
    by_number[with_limit] = np.where(value > limit, 1.0, -1.0)[with_limit]
    for name in tests["item"].unique():
        column = columns[name.removesuffix(CONFIRMING)]
        what = column.measured
        # What is measured of a confirmed disease is its confirming test.
        if (
            what is None
            or what.positive_from is None
            or (column.statistic == "confirmed" and not name.endswith(CONFIRMING))
        ):
            continue
        here = known & (item == name)
        if what.positive_from == 0:
            by_number[here] = np.where(below | (value <= 0), -1.0, 1.0)[here]
            continue
        table = Column(name=column.name, dtype="Float64", doc="", unit=what.unit, units=what.units)
        factor = {u: unit_factor(table, u) if u.strip() else None for u in set(tests["unit"].dropna())}
        factor = tests["unit"].map(factor).to_numpy(dtype="float64", na_value=np.nan)
        there = here & ~np.isnan(factor)
        converted = value * factor
        by_number[there] = np.where(converted < what.positive_from, -1.0, 1.0)[there]
        # Below a limit that is itself negative; below a higher one it may be either.
        by_number[there & below] = np.where(converted <= what.positive_from, -1.0, 0.0)[there & below]
    return np.where(np.isnan(by_text), by_number, by_text)


def _word(text: str) -> float:
    """+1 positive, -1 not, 0 in doubt, NaN no answer. Doubt goes first, and a negation before what it negates."""
    word = fold(text)
    if word in DOUBTFUL or DOUBT.search(word):
        return 0.0
    if word in ("0", "1"):  # a number, not a word
        return np.nan
    if word in WEAK or word in YES:
        return 1.0
    if word in NEGATIVE_MARKS or word in NO:
        return -1.0
    if absent(word):
        return np.nan
    rest, n_negated = NEGATED.subn("", word)
    says = {sign for pattern, sign in ((NEGATIVE, -1.0), (POSITIVE, 1.0)) if pattern.search(rest)}
    says |= {-1.0} if n_negated else set()
    if len(says) > 1:  # of several tests, or a result and what it is compared with
        return 0.0
    return says.pop() if says else np.nan


def _latest(rows: Rows, results: pd.DataFrame, item: str, window: int) -> Picked:
    """The latest test whose day is known and that can be read; of one day a reactive one, then a doubtful one."""
    mine = results[results["item"] == item]
    status = np.full(rows.n, MISSING, dtype="uint8")
    at = mine["row"].to_numpy().astype("int64")
    exact = (mine["first"] == mine["last"]).to_numpy() & mine["surely"].to_numpy()
    undated = mine["first"].isna().to_numpy()
    status[at[undated]] = DATE_MISSING
    status[at[~undated & ~exact]] = DATE_IMPRECISE
    usable = exact & mine["sign"].notna().to_numpy()
    mine, at = mine[usable], at[usable]
    days = (rows.index[at] - mine["first"].to_numpy().astype("datetime64[D]")).astype("int64")
    status[at[days > window]] = STALE
    inside = days <= window
    mine, at, days = mine[inside], at[inside], days[inside]
    rank = np.select([mine["sign"] == 1, mine["sign"] == 0], [2, 1], 0)
    order = np.lexsort((rank, -days, at))
    at, days, signs = at[order], days[order], mine["sign"].to_numpy()[order]
    final = np.r_[at[1:] != at[:-1], True] if len(at) else np.zeros(0, bool)
    sign, age = np.full(rows.n, np.nan), np.full(rows.n, np.nan)
    sign[at[final]], age[at[final]] = signs[final], days[final]
    status[sign == 0] = CONFLICTING
    return Picked(sign, age, status)


def _months_since(rows: Rows, column: Column, results: pd.DataFrame) -> None:
    """Months since the last positive test; never, if the latest is negative and at most validity_months old."""
    name = column.name
    mine = results[(results["item"] == name) & results["surely"]]
    reactive = mine[mine["sign"] == 1]
    low, high = (windows.months_since(latest(rows, reactive, end), rows.index) for end in ("last", "first"))
    negative = windows.months_since(latest(rows, mine[mine["sign"] == -1], "first"), rows.index)
    never = np.isnan(low) & (negative <= rows.setting(name, "validity_months", 6))
    stale = np.isnan(low) & ~never & ~np.isnan(negative)
    rows.put(name, np.where(never, np.inf, low), np.where(never, np.inf, high), np.where(stale, STALE, NOT_TESTED))


def _confirmed(rows: Rows, column: Column, results: pd.DataFrame | None) -> None:
    """Proved by a diagnosis or a confirming test ever; excluded by a negative test of the last validity_months."""
    if results is None and not rows.has("diagnoses"):
        return
    diagnosed, maybe = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
    if "diagnoses" in column.lists:
        events = dated_events(rows, "diagnoses", {column.name: [column.lists["diagnoses"]]})
        if events is not None:
            diagnosed, maybe, _ = ever(rows, events)
    test = Picked(np.full(rows.n, np.nan), np.full(rows.n, np.nan), np.full(rows.n, MISSING, dtype="uint8"))
    if results is not None:
        proof = results[(results["item"] == column.name + CONFIRMING) & (results["sign"] == 1) & results["surely"]]
        diagnosed[proof["row"].to_numpy().astype("int64")] = True
        months = int(rows.setting(column.name, "validity_months", 12))
        longest = (rows.index - windows.months_before(rows.index, months)).astype("int64")
        test = _latest(rows, results, column.name, int(longest.max(initial=366)))
        late = test.days > longest
        test.sign[late], test.status[late] = np.nan, STALE
    negative = (test.sign == -1) & ~maybe
    status = np.where((test.sign == 1) | maybe, CONFLICTING, test.status)
    rows.put_plain(column.name, diagnosed, ~diagnosed & ~negative, status)
