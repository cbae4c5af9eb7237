"""Dates become numbers at the index date: days, calendar months and years, as protocols count them.

Every function takes arrays (or single values) of dates and returns ``float64`` with NaN where a date is missing. A
month is a calendar month with the end of the month clamped: one month before 31 March is 28 February. Months have a
direction, because it matters at month ends: "in the last 6 months" counts back from the index date, "within 12 months
after remission" counts forward from the remission.
"""

from __future__ import annotations

import numpy as np

from feasibility.errors import CohortError

DAY = "datetime64[D]"
MONTH = "datetime64[M]"
NO_DATE = np.datetime64("NaT", "D")
LEAP_DAY = "28 February in common years"
"""When who was born on 29 February turns a year older in a common year; the other answer is "1 March ..."."""


def to_days(dates) -> np.ndarray:
    """Dates of any kind (Series, timestamps, ISO text) as ``datetime64[D]``; the time of day is dropped."""
    array = np.asarray(dates)
    if array.dtype.kind == "O":
        array = np.array([str(d)[:10] if d is not None and d == d else "NaT" for d in array.ravel()]).reshape(
            array.shape
        )
    return array.astype(DAY)


def add_months(dates, months) -> np.ndarray:
    """The same day ``months`` calendar months later (earlier if negative), at most the last day of that month.

    >>> add_months("2024-08-31", -6)
    np.datetime64('2024-02-29')
    """
    dates = to_days(dates)
    month = dates.astype(MONTH)
    day = dates - month.astype(DAY)
    target = month + np.asarray(months, dtype="timedelta64[M]")
    last = (target + 1).astype(DAY) - target.astype(DAY) - np.timedelta64(1, "D")
    return target.astype(DAY) + np.minimum(day, last)


def days_since(dates, index) -> np.ndarray:
    """Days from each date to the index date; negative for a date after it.

    >>> days_since(["2025-06-16", "NaT"], "2025-06-30").tolist()
    [14.0, nan]
    """
    return _apply(lambda date, at: (at - date).astype("int64").astype("float64"), dates, index)


def months_since(dates, index) -> np.ndarray:
    """Calendar months counted back from the index date: whole months, and a fraction of the next one.

    ``months_since <= N`` exactly when the date is not before "index date minus N months".

    >>> months_since(["2024-12-30", "2024-12-29"], "2025-06-30").round(3).tolist()
    [6.0, 6.033]
    """

    def count(date, at):
        whole = (at.astype(MONTH) - date.astype(MONTH)).astype("int64")
        # The difference of the month numbers is one too many when the day of the month is not reached.
        whole -= add_months(at, -whole) < date
        start, before = add_months(at, -whole), add_months(at, -(whole + 1))
        return whole + (start - date) / (start - before)

    return _apply(count, dates, index)


def months_from_to(start, end) -> np.ndarray:
    """Calendar months counted forward from ``start``: whole months, and a fraction of the next one.

    ``months_from_to <= N`` exactly when ``end`` is not after "start plus N months"; negative when it is before start.

    >>> months_from_to("2023-08-31", ["2024-08-31", "2024-09-01"]).round(3).tolist()
    [12.0, 12.033]
    """

    def count(first, last):
        whole = (last.astype(MONTH) - first.astype(MONTH)).astype("int64")
        whole -= add_months(first, whole) > last
        reached, following = add_months(first, whole), add_months(first, whole + 1)
        return whole + (last - reached) / (following - reached)

    return _apply(count, start, end)


def completed_years(birth, index, leap_day: str = LEAP_DAY) -> np.ndarray:
    """Completed years of age at the index date; who was born on 29 February turns a year older on 28 February.

    >>> completed_years(["1954-06-30", "1954-07-01", "2008-02-29"], "2025-06-30").tolist()
    [71.0, 70.0, 17.0]
    >>> [completed_years("2008-02-29", "2026-02-28", day).item() for day in (LEAP_DAY, "1 March in common years")]
    [18.0, 17.0]
    """
    return np.floor(exact_years(birth, index, leap_day))


def exact_years(birth, index, leap_day: str = LEAP_DAY) -> np.ndarray:
    """Age with its fraction of a year; a whole number on a birthday.

    >>> exact_years("2000-01-01", ["2020-01-01", "2020-07-02"]).tolist()
    [20.0, 20.5]
    """

    if leap_day not in (LEAP_DAY, "1 March in common years"):
        raise CohortError(f"leap_day_birthday is {leap_day!r}, not {LEAP_DAY!r} or '1 March in common years'.")

    def birthday_of(born, years):
        day = add_months(born, 12 * years)
        # Clamped to 28 February: one day later is 1 March.
        clamped = (leap_day != LEAP_DAY) & (day - day.astype(MONTH) < born - born.astype(MONTH))
        return day + clamped.astype("timedelta64[D]")

    def count(born, at):
        years = (at.astype("datetime64[Y]") - born.astype("datetime64[Y]")).astype("int64")
        years -= birthday_of(born, years) > at
        birthday, following = birthday_of(born, years), birthday_of(born, years + 1)
        return years + (at - birthday) / (following - birthday)

    return _apply(count, birth, index)


def months_before(index, months) -> np.ndarray:
    """The first day of the closed window "within ``months`` calendar months before the index date"."""
    return add_months(index, -np.asarray(months))


def _apply(count, first, second) -> np.ndarray:
    first, second = np.broadcast_arrays(to_days(first), to_days(second))
    known = ~(np.isnat(first) | np.isnat(second))
    result = np.full(first.shape, np.nan)
    if known.any():
        result[known] = count(first[known], second[known])
    return result
