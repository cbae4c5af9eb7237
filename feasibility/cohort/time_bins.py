"""Index dates in a few spans of time, so that a table of them can be read."""

from __future__ import annotations

import pandas as pd

MOST = 12
"""Spans that one table shows side by side."""
_YEARS = (1, 2, 5, 10, 25, 50, 100)


def time_bins(dates: pd.Series) -> tuple[pd.Series, str]:
    """(the span of each date as text, what the spans are): months, quarters or years, the shortest with at most 12.

    >>> spans, what = time_bins(pd.Series(pd.to_datetime(["2025-01-31", "2025-02-01", None])))
    >>> spans.tolist(), what
    (['2025-01', '2025-02', 'unknown'], 'month')
    >>> spans, what = time_bins(pd.Series(pd.date_range("2101-01-15", "2199-12-15", freq="MS")))
    >>> spans.iloc[[0, -1]].tolist(), what
    (['2100-2109', '2190-2199'], '10 years')
    """
    spans, what = dates.dt.strftime("%Y-%m"), "month"
    if spans.nunique() > MOST:
        year, quarter = (part.astype("Int64").astype("string") for part in (dates.dt.year, dates.dt.quarter))
        spans, what = year + " Q" + quarter, "quarter"
    for years in _YEARS:
        if spans.nunique() <= MOST:
            break
        first = (dates.dt.year // years * years).astype("Int64")
        spans, what = first.astype("string"), "year"
        if years > 1:
            spans, what = spans + "-" + (first + years - 1).astype("string"), f"{years} years"
    return spans.astype(object).where(dates.notna(), "unknown"), what
