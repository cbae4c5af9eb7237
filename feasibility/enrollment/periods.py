"""The months, quarters or years in which arrivals are counted, and how much of each was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from feasibility.enrollment.dated import DAY, DatedScreening, as_day
from feasibility.errors import FeasibilityError, did_you_mean

PERIODS = {"month": ("M", 1), "quarter": ("Q", 3), "year": ("Y", 12)}
MONTH_DAYS = 365.25 / 12
"""Days in a month, where days become months."""


@dataclass(frozen=True, eq=False)
class Window:
    """The days counted as flow: after ``opening`` up to ``last``, cut into calendar periods."""

    opening: np.datetime64
    last: np.datetime64
    periods: pd.PeriodIndex
    exposure: np.ndarray
    stated: dict[str, Any]

    @classmethod
    def of(cls, dated: DatedScreening, by: str, lookback_days, data_start, drop_last: bool) -> Window:
        if by not in PERIODS:
            raise FeasibilityError(f"by is {by!r}; it can be month, quarter or year.{did_you_mean(by, PERIODS)}")
        lookback = dated.lookback_days if lookback_days is None else lookback_days
        if lookback is None:
            raise FeasibilityError(
                "lookback_days is not known: state the longest window of the protocol in days, or give screen_dates the"
                " rule at_changes(...) the cohort was built with."
            )
        _whole("lookback_days", lookback)
        begin = as_day(data_start, dated.start)
        opening = max(dated.start, begin + np.timedelta64(int(lookback), "D"))
        if dated.policy == "monthly" and opening > dated.start:
            # On a grid the stock is seen on an index date only.
            grid = np.unique(dated.day)
            opening = grid[min(np.searchsorted(grid, opening), len(grid) - 1)]
        last = (dated.end + DAY).astype("datetime64[M]").astype("datetime64[D]") - DAY if drop_last else dated.end
        if drop_last and last == dated.end:
            last = dated.end.astype("datetime64[M]").astype("datetime64[D]") - DAY
        months_left = (last - opening).astype(int) / MONTH_DAYS
        if months_left < 1:
            raise FeasibilityError(
                f"Too few months: records count from {begin}, the longest window is {lookback} days, so arrivals begin"
                f" after {opening}, and the last day is {last}. Ask for a longer period, or state an earlier data_start"
                " if the records are complete before it."
            )
        code, months = PERIODS[by]
        periods = pd.period_range(pd.Timestamp(opening + DAY), pd.Timestamp(last), freq=code)
        starts, ends = (
            periods.start_time.to_numpy().astype("datetime64[D]"),
            periods.end_time.to_numpy().astype("datetime64[D]"),
        )
        inside = (np.minimum(ends, last) - np.maximum(starts, opening + DAY) + DAY).astype("int64")
        exposure = months * inside / (ends - starts + DAY).astype("int64")
        stated = {
            "by": by, "opening": str(opening), "last": str(last), "lookback_days": int(lookback),
            "data_start": str(begin), "drop_last": bool(drop_last),
        }  # fmt: skip
        return cls(opening, last, periods, exposure, stated)

    @property
    def months(self) -> float:
        return float(self.exposure.sum())

    def check_washout(self, days) -> None:
        if days is None:
            return
        _whole("washout_days", days)
        span = int((self.last - self.opening).astype(int))
        if not 1 <= days < span:
            raise FeasibilityError(
                f"washout_days is {days}; it must be at least 1 and shorter than the {span} days of flow, else no"
                " return could be counted. Leave it out to count each patient once."
            )

    def position(self, days: np.ndarray) -> np.ndarray:
        """In which period each day lies."""
        starts = self.periods.start_time.to_numpy().astype("datetime64[D]")
        return np.searchsorted(starts, days.astype("datetime64[D]"), side="right") - 1


def lab_lag(extract, last=None, *, months: int = 12, share: float = 0.8) -> dict[str, Any]:
    """Whether the last month of laboratory results looks incomplete, and should be dropped.

    Compares the results sampled in the month of ``last`` (a day, best the last of a month; by default the latest month
    with any result) with the median of the ``months`` before it. Returns last_month, n_last, median_before, ratio, and
    lags: ratio below ``share`` (0.8 is our judgement).

    Raises FeasibilityError where there is no dated result.
    """
    labs = extract.tables.get("labs")
    if labs is None:
        raise FeasibilityError(f"{extract.source}: there is no table of laboratory results, so no lag can be seen.")
    got = labs.filter(labs.date.notnull()).select(day=labs.date).to_pyarrow()
    day = got["day"].to_numpy().astype("datetime64[M]")
    if not len(day):
        raise FeasibilityError(f"{extract.source}: no laboratory result has a date, so no lag can be seen.")
    last = as_day(last, day.max()).astype("datetime64[M]")
    before = [int((day == last - k).sum()) for k in range(1, months + 1)]
    n_last, median = int((day == last).sum()), float(np.median(before))
    ratio = n_last / median if median else float("nan")
    return {"last_month": str(last), "n_last": n_last, "median_before": median, "ratio": ratio, "lags": ratio < share}


def _whole(name: str, value) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise FeasibilityError(f"{name} is {value!r}; it is a whole number of days, 0 or more.")
