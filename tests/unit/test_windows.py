"""Dates as numbers, against dateutil's calendar arithmetic as the independent oracle."""

import datetime as dt

import numpy as np
import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import example, given
from hypothesis import strategies as st

from feasibility.cohort import windows

days = st.dates(dt.date(1904, 1, 1), dt.date(2096, 12, 31))
months = st.integers(0, 130)


@given(days, st.integers(-400, 400))
@example(dt.date(2024, 8, 31), -6)
def test_add_months_is_relativedelta(day, n):
    assert windows.add_months(day, n) == np.datetime64(day + relativedelta(months=n))


@given(days, st.integers(0, 4000), months)
@example(dt.date(2025, 3, 31), 31, 1)
@example(dt.date(2025, 6, 30), 182, 6)
def test_months_since_is_at_most_n_exactly_from_index_minus_n_months(index, back, n):
    date = index - dt.timedelta(days=back)
    inside = date >= index - relativedelta(months=n)
    assert (windows.months_since(date, index) <= n) == inside


@given(days, st.integers(0, 4000), months)
@example(dt.date(2023, 8, 31), 366, 12)
@example(dt.date(2024, 2, 29), 366, 12)
def test_months_from_to_is_at_most_n_exactly_up_to_start_plus_n_months(start, later, n):
    end = start + dt.timedelta(days=later)
    inside = end <= start + relativedelta(months=n)
    assert (windows.months_from_to(start, end) <= n) == inside


@given(days, st.integers(0, 40_000))
@example(dt.date(2008, 2, 29), 17 * 365 + 4)
def test_completed_years_is_relativedelta(birth, later):
    index = birth + dt.timedelta(days=later)
    expected = relativedelta(index, birth).years
    # relativedelta lets a 29 February birthday wait for 1 March; the clinical rule is 28 February.
    if (birth.month, birth.day) == (2, 29) and (index.month, index.day) == (2, 28):
        expected = index.year - birth.year
    assert windows.completed_years(birth, index) == expected
    exact = windows.exact_years(birth, index)
    assert np.floor(exact) == expected
    assert (exact == expected) == (birth + relativedelta(years=expected) == index)


@given(days, st.integers(0, 3000), st.integers(0, 3000))
def test_an_earlier_date_is_never_fewer_months_ago(index, a, b):
    a, b = sorted((a, b))
    late, early = index - dt.timedelta(days=a), index - dt.timedelta(days=b)
    assert windows.months_since(late, index) <= windows.months_since(early, index)


def test_days_since_counts_days_and_knows_missing_and_later_dates():
    got = windows.days_since(["2025-05-05", "NaT", "2025-07-01"], "2025-06-30")
    assert got[0] == 56
    assert np.isnan(got[1])
    assert got[2] == -1


@pytest.mark.parametrize(
    ("birth", "age"), [("1954-06-30", 71), ("1954-07-01", 70), ("2007-06-30", 18), ("2007-07-01", 17)]
)
def test_ages_of_the_specification(birth, age):
    assert windows.completed_years(birth, "2025-06-30") == age


def test_one_index_date_a_row():
    got = windows.months_since(["2025-01-31", "2025-01-31"], ["2025-02-28", "NaT"])
    assert got[0] == pytest.approx(28 / 31)
    assert np.isnan(got[1])


def test_a_million_dates_take_well_under_two_seconds():
    import time

    dates = np.datetime64("2000-01-01") + np.arange(1_000_000) % 9000
    start = time.perf_counter()
    windows.months_since(dates, "2025-06-30")
    assert time.perf_counter() - start < 2
