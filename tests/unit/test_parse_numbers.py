"""Numbers as people type them."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feasibility.cohort.parse import AMBIGUOUS, KNOWN, MISSING, NOT_TESTED, UNREADABLE, parse_numbers, to_float

INF = math.inf


def one(text, **options):
    numbers = parse_numbers(pa.array([text]), **options)
    return numbers.lo[0], numbers.hi[0], numbers.status[0], numbers.rest[0]


@pytest.mark.parametrize(
    ("text", "lo", "hi", "rest"),
    [
        ("60", 60, 60, ""), ("60.0", 60, 60, ""), (".5", 0.5, 0.5, ""), ("+7", 7, 7, ""), ("-3", -3, -3, ""),
        ("1e3", 1000, 1000, ""), ("６０．５", 60.5, 60.5, ""), ("7,1", 7.1, 7.1, ""), ("0,125", 0.125, 0.125, ""),
        ("1,234.5", 1234.5, 1234.5, ""), ("1.234,5", 1234.5, 1234.5, ""), ("1 234 567", 1234567, 1234567, ""),
        ("1,234,567", 1234567, 1234567, ""), ("1'234'567", 1234567, 1234567, ""),
        ("<20", -INF, 20, ""), ("< 20", -INF, 20, ""), ("＜20", -INF, 20, ""), ("≤20", -INF, 20, ""),
        ("<=20", -INF, 20, ""),
        ("＞500", 500, INF, ""), (">=500", 500, INF, ""), ("≥ 500", 500, INF, ""), ("大于500", 500, INF, ""),
        ("more than 500", 500, INF, ""), ("unter 5", -INF, 5, ""), ("90+", 90, INF, ""), (">89", 89, INF, ""),
        ("50-55", 50, 55, ""), ("50–55", 50, 55, ""), ("50 - 55", 50, 55, ""), ("50 bis 55", 50, 55, ""),
        ("50～55", 50, 55, ""),
        ("12.1 g/dL", 12.1, 12.1, "g/dL"), ("65岁", 65, 65, "岁"), ("5.3×10^9/L", 5.3, 5.3, "x10^9/L"),
        ("5.3×10⁹/L", 5.3, 5.3, "x10^9/L"), ("60 L", 60, 60, ""), ("60 ↓", 60, 60, ""), ("60*", 60, 60, ""),
        ("60 (H)", 60, 60, ""), ("60 g/L H", 60, 60, "g/L"), ("ECOG 1", 1, 1, ""), ("2级", 2, 2, ""), ("1分", 1, 1, ""),
        ("=5", 5, 5, ""),
    ],
)  # fmt: skip
def test_readable_numbers(text, lo, hi, rest):
    got = one(text)
    assert got[2] == KNOWN
    assert got[:2] == (lo, hi)
    assert got[3].replace("×", "x") == rest


@pytest.mark.parametrize(
    "text",
    ["abc", "1.2.3", "2024-05", "2025-06-30"[:7], "55-50", "--5", "<", "12,34,5", "1,23.4", "inf", "<5-6", "-1-5"],
)
def test_what_is_no_number_is_unreadable(text):
    assert one(text)[2] == UNREADABLE


@pytest.mark.parametrize(
    "text", ["", "NA", "n/a", "None", "NULL", ".", "-", "unknown", "k.A.", "keine Angabe", "未知", "不详"]
)
def test_missing_words(text):
    assert one(text)[2] == MISSING


@pytest.mark.parametrize("text", ["not done", "未查", "未做", "nicht erhoben", "ND"])
def test_not_tested_is_its_own_reason(text):
    assert one(text)[2] == NOT_TESTED


def test_stated_missing_codes_are_compared_by_value():
    numbers = parse_numbers(pa.array(["-1", "999", "999.0", "1999", "-1.0"]), missing=frozenset({"-1", "999"}))
    assert (numbers.status == MISSING).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("text", ["never", "Nie", "从未", "inf", "∞"])
def test_never_is_infinite_only_where_it_can_be(text):
    assert one(text, never=True)[:3] == (INF, INF, KNOWN)
    assert one(text)[2] != KNOWN


def test_a_lone_group_of_three_is_ambiguous_without_evidence():
    assert one("1,234")[2] == AMBIGUOUS
    assert one("1,234", decimal=".")[0] == 1234
    assert one("1,234", decimal=",")[0] == 1.234
    assert one("1.234", decimal=",")[0] == 1234
    assert one("1.234")[0] == 1.234


def test_the_column_is_the_evidence():
    comma = parse_numbers(pa.array(["7,1", "1,234", "12"]))
    assert comma.lo.tolist() == [7.1, 1.234, 12]
    point = parse_numbers(pa.array(["7.1", "1,234"]))
    assert point.lo.tolist() == [7.1, 1234]
    mixed = parse_numbers(pa.array(["7.1", "7,2", "1,234"]))
    assert mixed.lo.tolist()[:2] == [7.1, 7.2]
    assert mixed.status[2] == AMBIGUOUS


def test_a_stated_comma_does_not_make_a_thousand_of_a_point_in_a_mixed_column():
    numbers = parse_numbers(pa.array(["7,1", "7.2", "1.234"]), decimal=",")
    assert numbers.lo.tolist()[:2] == [7.1, 7.2]
    assert numbers.status[2] == AMBIGUOUS


def test_roman_scores_and_their_ranges():
    marks = {"i": 1, "ii": 2, "iii": 3, "iv": 4}
    numbers = parse_numbers(pa.array(["II", "II-III", "NYHA IV", "iii级", "V"]), marks=marks)
    assert numbers.lo.tolist()[:4] == [2, 2, 4, 3]
    assert numbers.hi.tolist()[:4] == [2, 3, 4, 3]
    assert numbers.status[4] == UNREADABLE


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float_comes_back_exactly(values):
    assert parse_numbers(pa.array([repr(v) for v in values])).lo.tolist() == values


@given(st.integers(0, 10**12), st.integers(0, 99))
def test_grouped_and_plain_numbers_agree(whole, cents):
    english, german = f"{whole:,}.{cents:02d}", f"{whole:,}".replace(",", ".") + f",{cents:02d}"
    expected = float(f"{whole}.{cents:02d}")
    assert to_float(english, comma=False, thousands=True) == expected
    assert to_float(german, comma=True, thousands=True) == expected


@given(st.text(max_size=12))
def test_no_text_breaks_the_parser(text):
    numbers = parse_numbers(pa.array([text.strip()]))
    assert numbers.status[0] != KNOWN or not np.isnan(numbers.lo[0])
