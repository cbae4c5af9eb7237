"""Dates as people type them."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feasibility.cohort.dates import NEVER_DATE, from_serials, parse_dates
from feasibility.cohort.parse import AMBIGUOUS, BEFORE_LIMIT, KNOWN, MISSING, UNREADABLE


def one(text, **options):
    dates = parse_dates(pa.array([text]), **options)
    return str(dates.first[0]), str(dates.last[0]), dates.status[0]


@pytest.mark.parametrize(
    "text",
    [
        "2025-06-03", "2025/06/03", "2025.6.3", "2025-06-03T10:20:00", "2025-06-03 10:20", "20250603", "20250603102000",
        "03.06.2025", "3.6.2025", "3. 6. 2025", "2025年6月3日", "２０２５年６月３日", "3 Jun 2025", "03-Jun-2025",
        "3. Juni 2025",
        "June 3, 2025",
    ],
)  # fmt: skip
def test_full_dates(text):
    assert one(text) == ("2025-06-03", "2025-06-03", KNOWN)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-02", "2024-02-01", "2024-02-29"), ("02/2024", "2024-02-01", "2024-02-29"),
        ("2024年2月", "2024-02-01", "2024-02-29"), ("Feb 2024", "2024-02-01", "2024-02-29"),
        ("2024", "2024-01-01", "2024-12-31"), ("2024年", "2024-01-01", "2024-12-31"),
    ],
)  # fmt: skip
def test_partial_dates_keep_both_ends(text, first, last):
    assert one(text) == (first, last, KNOWN)


@pytest.mark.parametrize(
    "text", ["2025-02-30", "31.04.2025", "soon", "2025-13-01", "32/32/2025", "12345678", "3 Foo 2025"]
)
def test_what_is_no_date_is_unreadable(text):
    assert one(text)[2] in (UNREADABLE, AMBIGUOUS)


def test_placeholders_are_no_dates():
    assert one("1900-01-01")[2] == BEFORE_LIMIT
    assert one("")[2] == one("unbekannt")[2] == MISSING
    assert parse_dates(pa.array(["never"]), never=True).first[0] == NEVER_DATE


def test_day_or_month_first_is_decided_by_evidence_only():
    assert one("03/06/2025")[2] == AMBIGUOUS
    assert one("03/06/2025", order="dmy")[0] == "2025-06-03"
    assert one("03/06/2025", order="mdy")[0] == "2025-03-06"
    assert parse_dates(pa.array(["03/06/2025", "31/01/2025"])).first.astype(str).tolist() == [
        "2025-06-03",
        "2025-01-31",
    ]
    assert parse_dates(pa.array(["03/06/2025", "01/31/2025"])).first.astype(str).tolist() == [
        "2025-03-06",
        "2025-01-31",
    ]
    both = parse_dates(pa.array(["03/06/2025", "01/31/2025", "31/01/2025"]))
    assert both.status.tolist() == [AMBIGUOUS, KNOWN, KNOWN]


def test_spreadsheet_serials():
    assert from_serials(np.array([45811.0, np.nan])).first.astype(str).tolist() == ["2025-06-03", "NaT"]
    assert parse_dates(pa.array(["45811", "45812"])).first.astype(str).tolist()[0] == "2025-06-03"
    assert one("45811", order="dmy")[2] == UNREADABLE


@given(st.dates(dt.date(1900, 1, 2), dt.date(2199, 12, 31)))
def test_every_way_to_write_a_date_reads_the_same(day):
    texts = [
        day.isoformat(),
        day.strftime("%d.%m.%Y"),
        day.strftime("%Y%m%d") if 1900 <= day.year < 2100 else day.isoformat(),
    ]
    texts.append(f"{day.year}年{day.month}月{day.day}日")
    assert set(parse_dates(pa.array(texts)).first.astype(str)) == {day.isoformat()}


@given(st.text(max_size=12))
def test_no_text_breaks_the_parser(text):
    dates = parse_dates(pa.array([text.strip()]))
    assert dates.status[0] != KNOWN or not np.isnat(dates.first[0])
