"""Tests that are reactive or not: hepatitis, HIV, pregnancy; and what a diagnosis adds to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.cohort import windows
from feasibility.cohort.event_rows import CONFLICTING, DATE_IMPRECISE, DATE_MISSING, STALE, Rows, folded
from feasibility.cohort.once import dated_events, ever, latest
from feasibility.cohort.parse import MISSING, NOT_TESTED
from feasibility.cohort.words import NO, YES, absent, fold

WEAK = ("弱阳性", "weakly_positive", "weak_positive", "weakly_reactive", "schwach_positiv", "low_positive", "1+",
        "2+", "3+",
        "4+", "阳性(+)", "阳性_(+)", "已检出")  # fmt: skip
DOUBTFUL = ("±", "+/-", "+-", "indeterminate", "borderline", "equivocal", "grenzwertig", "可疑", "不确定", "弱反应性",
            "grey_zone",
            "gray_zone", "灰区")  # fmt: skip
NEGATIVE_MARKS = ("-", "–", "—", "阴性(-)", "阴性_(-)", "－")
HCG_NEGATIVE_BELOW = 5.0
"""mIU/mL; clinical specification, I6."""
MILLI = ("miu/ml", "iu/l", "u/l", "mu/ml", "[iu]/l", "m[iu]/ml")

ANY_DETECTED = ("hcv_rna_detected", "hiv_viraemic")
TESTS = ("hbsag", "anti_hbc", "anti_hcv", "hcv_rna_detected", "hiv", "hiv_viraemic", "months_since_hav_igm_positive",
         "pregnancy_test")  # fmt: skip


@dataclass
class Picked:
    """The latest test of each row in its window: +1 reactive, -1 not, 0 doubtful, NaN none; its age; why unknown."""

    sign: np.ndarray
    days: np.ndarray
    status: np.ndarray


def build_serology(rows: Rows) -> None:
    """Fill the columns that hold the answer of a test."""
    results = _results(rows)
    if results is not None:
        for name, column in (("hbsag", "hbsag"), ("anti_hbc", "anti_hbc"), ("anti_hcv", "anti_hcv"),
                             ("hcv_rna_detected", "hcv_rna_detected")):  # fmt: skip
            if name in rows.columns:
                _put(rows, name, _latest(rows, results, name, rows.setting(column, "window_days", 180)))
        if "hiv_viraemic" in rows.columns:
            _put(rows, "hiv_viraemic", _latest(rows, results, "hiv_viraemic", 365))
        if "pregnancy_test" in rows.columns:
            _pregnancy_test(
                rows, _latest(rows, results, "pregnancy_test", rows.setting("pregnancy_test", "window_days", 90))
            )
        if "months_since_hav_igm_positive" in rows.columns:
            _hepatitis_a(rows, results)
    _hiv(rows, results)
    _pregnant(rows)


def _results(rows: Rows) -> pd.DataFrame | None:
    """Every test of these items on or before the index date, with its sign; doubtful ones are 0."""
    items = {n: [rows.columns[n].codelist] for n in TESTS if n in rows.columns and rows.columns[n].codelist}
    if "hiv" in items and "hiv_viraemic" not in items:
        items["hiv_viraemic"] = ["hiv_rna"]
    if not rows.has("labs") or not items:
        return None
    source = rows.matched("labs", items, ("local_name",))
    if source is None:
        return None
    keep = [
        "pid",
        "row_id",
        "item",
        "date",
        "date_last",
        "value_text",
        "value_num",
        "comparator",
        "unit",
        "ref_high",
        "flag",
    ]
    tests = rows.fetch(source.select(*keep), "date", undated=True)
    tests["sign"] = _signs(tests)
    unread = tests["sign"].isna()
    for name, n in tests.loc[unread, "item"].value_counts().items():
        rows.note(name, "quarantined", "cannot be read as reactive or not", n)
    return tests


def _signs(tests: pd.DataFrame) -> np.ndarray:
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
    rna = known & np.isin(item, ANY_DETECTED)
    by_number[rna] = np.where(below | (value <= 0), -1.0, 1.0)[rna]
    unit = folded(tests["unit"])
    hcg = known & (item == "pregnancy_test") & unit.isin(MILLI).to_numpy()
    by_number[hcg] = np.where(value < HCG_NEGATIVE_BELOW, -1.0, 1.0)[hcg]
    by_number[hcg & below & (value <= HCG_NEGATIVE_BELOW)] = -1.0
    nameless = known & (item == "pregnancy_test") & ~hcg
    by_number[nameless & np.isnan(limit)] = np.nan
    return np.where(np.isnan(by_text), by_number, by_text)


def _word(text: str) -> float:
    word = fold(text)
    if word in DOUBTFUL or any(d in word for d in ("±", "+/-", "可疑")):
        return 0.0
    if word in ("0", "1"):  # a number, not a word
        return np.nan
    if word in WEAK or word in YES:
        return 1.0
    if word in NEGATIVE_MARKS or word in NO:
        return -1.0
    if absent(word):
        return np.nan
    for parts, sign in ((("阴", "negative", "non-reactive", "nonreactive", "not_detected", "未检出"), -1.0),
                        (("阳", "positive", "reactive", "detected", "检出"), 1.0)):  # fmt: skip
        if any(part in word for part in parts):
            return sign
    return np.nan


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


def _put(rows: Rows, name: str, picked: Picked) -> None:
    unknown = np.isnan(picked.sign) | (picked.sign == 0)
    rows.put_plain(name, picked.sign == 1, unknown, picked.status)


def _pregnancy_test(rows: Rows, picked: Picked) -> None:
    unknown = np.isnan(picked.sign) | (picked.sign == 0)
    texts = np.where(unknown, None, np.where(picked.sign == 1, "positive", "negative"))
    rows.put_plain("pregnancy_test", texts, unknown, picked.status)
    rows.put("days_since_pregnancy_test", np.where(unknown, np.nan, picked.days), None, picked.status)


def _hepatitis_a(rows: Rows, results: pd.DataFrame) -> None:
    """Months since the last reactive IgM; never, if the latest test is not reactive and at most 6 months old."""
    name = "months_since_hav_igm_positive"
    mine = results[(results["item"] == name) & results["surely"]]
    reactive = mine[mine["sign"] == 1]
    low, high = (windows.months_since(latest(rows, reactive, end), rows.index) for end in ("last", "first"))
    negative = windows.months_since(latest(rows, mine[mine["sign"] == -1], "first"), rows.index)
    never = np.isnan(low) & (negative <= rows.setting(name, "validity_months", 6))
    stale = np.isnan(low) & ~never & ~np.isnan(negative)
    rows.put(name, np.where(never, np.inf, low), np.where(never, np.inf, high), np.where(stale, STALE, NOT_TESTED))


def _hiv(rows: Rows, results: pd.DataFrame | None) -> None:
    """Confirmed by a diagnosis or by RNA ever detected; excluded by a non-reactive test of the last 12 months."""
    if "hiv" not in rows.columns or (results is None and not rows.has("diagnoses")):
        return
    diagnosed = np.zeros(rows.n, dtype=bool)
    events = dated_events(rows, "diagnoses", {"hiv": ["hiv"]})
    maybe = np.zeros(rows.n, dtype=bool)
    if events is not None:
        diagnosed, maybe, _ = ever(rows, events)
    test = Picked(np.full(rows.n, np.nan), np.full(rows.n, np.nan), np.full(rows.n, MISSING, dtype="uint8"))
    if results is not None:
        rna = results[(results["item"] == "hiv_viraemic") & (results["sign"] == 1) & results["surely"]]
        diagnosed[rna["row"].to_numpy().astype("int64")] = True
        months = int(rows.setting("hiv", "validity_months", 12))
        longest = (rows.index - windows.months_before(rows.index, months)).astype("int64")
        test = _latest(rows, results, "hiv", int(longest.max(initial=366)))
        late = test.days > longest
        test.sign[late], test.status[late] = np.nan, STALE
    negative = (test.sign == -1) & ~maybe
    status = np.where((test.sign == 1) | maybe, CONFLICTING, test.status)
    rows.put_plain("hiv", diagnosed, ~diagnosed & ~negative, status)


def _pregnant(rows: Rows) -> None:
    """A pregnancy coded in the last 280 days, unless a later test is negative; tests are added by the fills."""
    if "pregnant" not in rows.columns or not rows.has("diagnoses"):
        return
    events = dated_events(rows, "diagnoses", {"pregnant": ["pregnancy"]})
    yes = np.zeros(rows.n, dtype=bool)
    if events is not None:
        last = latest(rows, events[events["open"] == 0], "first")
        days = windows.days_since(last, rows.index)
        yes = days <= 280
        if "days_since_pregnancy_test" in rows.built:
            test = rows.built["days_since_pregnancy_test"].lo
            negative = rows.built["pregnancy_test"].plain == "negative"
            yes &= ~(negative & (test < days))
    rows.put_plain("pregnant", yes, ~yes)
