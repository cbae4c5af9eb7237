"""A protocol's verdict on every patient at every index date: what arrivals and spells are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from feasibility.cohort.change_dates import longest, windows_of
from feasibility.cohort.index_dates import IndexDates
from feasibility.errors import CohortError, ScreeningError, did_you_mean
from feasibility.screening import ELIGIBLE, INELIGIBLE, UNDETERMINED, Screening, screen

LEVELS = ("confirmed", "possible")
POLICIES = ("at_changes", "monthly")
_CODES = {INELIGIBLE: 0, UNDETERMINED: 1, ELIGIBLE: 2}
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class DatedScreening:
    """The status of each patient at each index date, one entry a row of the cohort and in its order.

    ``person`` points into ``people`` (patient ids), ``day`` is the index date, ``code`` 0 ineligible, 1 undetermined,
    2 eligible. ``start`` and ``end`` are the first and the last day asked for, both included. With ``at_changes`` a
    status holds until the patient's next row; with ``monthly`` it is known on the index dates only.
    """

    people: pd.Index
    person: np.ndarray = field(repr=False)
    day: np.ndarray = field(repr=False)
    code: np.ndarray = field(repr=False)
    policy: str
    start: np.datetime64
    end: np.datetime64
    lookback_days: int | None = None
    strata: pd.DataFrame | None = field(default=None, repr=False)
    screening: Screening | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.person)

    def mask(self, level: str) -> np.ndarray:
        """Per row whether the patient is ``confirmed`` (eligible) or ``possible`` (not ineligible)."""
        if level not in LEVELS:
            raise ScreeningError(f"level is {level!r}; it can be confirmed or possible.{did_you_mean(level, LEVELS)}")
        return self.code == 2 if level == "confirmed" else self.code >= 1

    @cached_property
    def order(self) -> np.ndarray:
        """The rows by patient and date."""
        return np.lexsort((self.day, self.person))

    @property
    def status(self) -> pd.Series:
        """The statuses as words, indexed by (patient_id, index_date)."""
        words = np.array([INELIGIBLE, UNDETERMINED, ELIGIBLE], dtype=object)[self.code]
        index = pd.MultiIndex.from_arrays(
            [self.people[self.person], pd.DatetimeIndex(self.day)], names=["patient_id", "index_date"]
        )
        return pd.Series(words, index=index, name="status")

    def stratum(self, name: str) -> np.ndarray:
        """The value of a stratum on every row, ``not recorded`` where it is missing."""
        known = [] if self.strata is None else list(self.strata.columns)
        if name not in known:
            hint = did_you_mean(name, known) or " This one has none: the cohort had no column of that kind."
            raise ScreeningError(f"The dated screening has no stratum {name!r}, such as site_id.{hint}")
        values = self.strata[name]
        return values.astype(object).where(values.notna(), "not recorded").to_numpy(dtype=object)


def screen_dates(
    cohort: pd.DataFrame,
    protocol,
    dates: IndexDates | None = None,
    *,
    missing_columns: str = "error",
    strata: Iterable[str] = (),
    progress: Callable[[str, float], None] | None = None,
) -> DatedScreening:
    """Screen every patient at every index date of a cohort built with ``at_changes`` or ``monthly``.

    ``dates`` is the rule the cohort was built with; it says which period was asked for and how far back the windows
    reach. Without it the cohort's own record of the rule is taken (``build_cohort`` keeps it), and for a cohort without
    one the first and the last index date are the ends.
    The other arguments are those of ``screen``. ``len()`` of the result counts rows, never patients.

    Raises ScreeningError for a cohort without index dates, with a single one, or with dates of another policy.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> days = pd.to_datetime(["2024-01-01", "2024-03-05", "2024-01-01"])
    >>> index = pd.MultiIndex.from_arrays([["A", "A", "B"], days], names=["patient_id", "index_date"])
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([20, 50, None], dtype="Float64")}, index=index)
    >>> protocol = fz.Protocol("demo", "Demo", [platelets])
    >>> screen_dates(cohort, protocol, fz.at_changes("2024-01-01", "2024-12-31")).status.tolist()
    ['ineligible', 'eligible', 'undetermined']
    """
    if not isinstance(cohort, pd.DataFrame) or list(cohort.index.names) != ["patient_id", "index_date"]:
        raise ScreeningError(
            "This cohort has no index dates: arrivals need rows by (patient_id, index_date), as"
            " build_cohort(extract, at_changes(start, end)) or monthly(start, end) makes them."
        )
    built = cohort.attrs.get("feasibility", {})
    policy = dates.policy if dates is not None else built.get("index_policy", "at_changes")
    flat = cohort.set_axis(pd.RangeIndex(len(cohort)))
    screening = screen(flat, protocol, missing_columns=missing_columns, strata=strata, progress=progress)
    table = pd.DataFrame(
        {
            "patient_id": cohort.index.get_level_values("patient_id"),
            "index_date": cohort.index.get_level_values("index_date"),
            "status": screening.status.to_numpy(dtype=object),
        }
    )
    stated = dict(dates.stated) if dates is not None else dict(built.get("index_stated", {}))
    result = dated_statuses(table, policy=policy, start=stated.get("start"), end=stated.get("end"))
    more = {"strata": screening.strata, "screening": screening, "lookback_days": _reach(policy, stated)}
    return DatedScreening(**(vars_of(result) | more))


def dated_statuses(table: pd.DataFrame, *, policy: str = "at_changes", start=None, end=None) -> DatedScreening:
    """The same from statuses made elsewhere: one row a patient and index date.

    ``table`` has patient_id, index_date and status (eligible, undetermined, ineligible); further columns are strata.

    >>> table = pd.DataFrame({"patient_id": ["A", "A"], "index_date": ["2024-01-01", "2024-03-05"],
    ...                       "status": ["ineligible", "eligible"]})
    >>> dated_statuses(table, end="2024-12-31").end
    np.datetime64('2024-12-31')
    """
    for name in ("patient_id", "index_date", "status"):
        if name not in table.columns:
            raise ScreeningError(f"The statuses have no column {name!r}.{did_you_mean(name, map(str, table.columns))}")
    if policy not in POLICIES:
        raise ScreeningError(
            f"Index dates by {policy!r} say nothing about when patients become eligible; use at_changes or monthly."
        )
    if not len(table):
        raise ScreeningError("There are no statuses: no patient has an index date.")
    day = pd.to_datetime(table["index_date"]).to_numpy().astype("datetime64[D]")
    if np.isnat(day).any():
        raise ScreeningError(f"{int(np.isnat(day).sum())} rows have no index date.")
    code = table["status"].map(_CODES)
    if code.isna().any():
        odd = table.loc[code.isna(), "status"].iloc[0]
        raise ScreeningError(f"Status {odd!r} is none of eligible, undetermined and ineligible.")
    if table.duplicated(["patient_id", "index_date"]).any():
        raise ScreeningError("A patient has two rows at the same index date.")
    first, last = day.min(), day.max()
    low, high = as_day(start, first), as_day(end, last)
    if first == last and low == high:
        raise ScreeningError(
            f"All rows have the same index date ({first}): newly eligible patients show only when each patient is seen"
            " at several dates. Build the cohort with at_changes(start, end) or monthly(start, end)."
        )
    if first < low or last > high:
        raise ScreeningError(f"Index dates run from {first} to {last}, outside the stated {low} to {high}.")
    person, people = pd.factorize(table["patient_id"], sort=True)
    extra = [c for c in table.columns if c not in ("patient_id", "index_date", "status")]
    strata = table[extra].reset_index(drop=True) if extra else None
    return DatedScreening(
        pd.Index(people, name="patient_id"), person.astype("int64"), day, code.to_numpy().astype("int8"), policy,
        low, high, strata=strata,
    )  # fmt: skip


def vars_of(one: DatedScreening) -> dict[str, Any]:
    """The fields of a dated screening, to make another from them."""
    return {name: getattr(one, name) for name in DatedScreening.__dataclass_fields__}


def as_day(value, default=None):
    """A day as ``datetime64[D]``, from a date, timestamp or ISO text."""
    if value is None:
        return default
    try:
        return np.datetime64(pd.Timestamp(value).date(), "D")
    except (ValueError, TypeError):
        raise CohortError(f"{value!r} is no date; write it like 2025-06-30.") from None


def _reach(policy: str, stated: Mapping[str, Any]) -> int | None:
    """The longest window of the index rule, in days: how long the data must have run before a verdict is sound."""
    if policy != "at_changes" or "start" not in stated:
        return None
    return longest(stated.get("windows") or windows_of(stated.get("days"), stated.get("months"))) or None
