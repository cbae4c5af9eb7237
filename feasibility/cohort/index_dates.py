"""When each patient is screened: at one date, after an event, every month, or whenever a verdict can change.

A rule yields (patient, index date) pairs. Patients who died on or before an index date have no row for it. Only events
on or before an index date decide whether the patient counts as observed there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feasibility.cohort import change_dates
from feasibility.cohort.seen import MAIN_DATE, days_of, observed, positions
from feasibility.cohort.windows import add_months
from feasibility.errors import CohortError, did_you_mean


@dataclass(frozen=True)
class IndexDates:
    """A rule that gives every patient zero, one or many index dates; made by the functions below."""

    policy: str
    stated: Mapping[str, Any] = field(default_factory=dict)
    alive: bool = True
    observed_months: int | None = None

    def __str__(self) -> str:
        stated = ", ".join(f"{name}={value}" for name, value in self.stated.items() if name != "windows")
        return f"index dates: {self.policy}({stated})"

    def for_columns(self, columns, settings: Mapping[str, Any] | None = None) -> IndexDates:
        """The same rule with the windows these columns declare; only dates of changes depend on them."""
        if self.policy != "at_changes" or "windows" in self.stated:
            return self
        windows = change_dates.windows_of(self.stated.get("days"), self.stated.get("months"), columns, settings)
        return replace(self, stated={**self.stated, "windows": windows})

    @property
    def record(self) -> dict[str, Any]:
        """What the rule states, in plain words and numbers, as a build's record keeps it."""
        stated = {n: v.isoformat() if isinstance(v, dt.date) else v for n, v in self.stated.items()}
        return stated | {"alive": self.alive, "observed_months": self.observed_months}

    def pairs(self, extract) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """(patient ids as objects, index dates, how many pairs were left out and why), sorted by both."""
        people, deaths, births = _people(extract)
        who, when = _RULES[self.policy](extract, people, **self.stated)
        unborn = births[who] > when
        left_out = {"born after the index date": int(unborn.sum())}
        if unborn.any():
            who, when = who[~unborn], when[~unborn]
        if self.alive:
            died = deaths[who]
            dead = ~np.isnat(died) & (died <= when)
            left_out["died on or before the index date"] = int(dead.sum())
            who, when = who[~dead], when[~dead]
        if self.observed_months is not None and len(who):
            seen = observed(extract, people, who, when, self.observed_months)
            left_out[f"not observed in the {self.observed_months} months before"] = int((~seen).sum())
            who, when = who[seen], when[seen]
        if not _ascending(who, when):
            order = np.lexsort((when, who))
            who, when = who[order], when[order]
        return people[who] if len(who) != len(people) or (who != np.arange(len(who))).any() else people, when, left_out


def as_of(date: str | dt.date, *, alive: bool = True, observed_months: int | None = None) -> IndexDates:
    """Everyone at one date, who is alive then (and, if stated, was observed in the months before).

    >>> as_of("2025-06-30").stated["date"]
    datetime.date(2025, 6, 30)
    """
    return IndexDates("as_of", {"date": _day(date)}, alive, observed_months)


def monthly(start, end, *, alive: bool = True, observed_months: int | None = 12) -> IndexDates:
    """Everyone once a month from ``start`` to ``end``, while alive and observed."""
    start, end = _day(start), _day(end)
    if end < start:
        raise CohortError(f"monthly: the end {end} is before the start {start}.")
    return IndexDates("monthly", {"start": start, "end": end}, alive, observed_months)


def after_event(
    table: str,
    where: Mapping[str, Any] | None = None,
    *,
    days: int = 0,
    which: str = "each",
    alive: bool = True,
    observed_months: int | None = None,
) -> IndexDates:
    """``days`` after an event: ``after_event("responses", {"response_eln": "PD"}, days=7, which="last")``.

    ``where`` maps columns of the table to the value (or values) they must have; ``which`` is first, last or each.
    Events whose day is not known exactly give no index date.
    """
    if table not in MAIN_DATE:
        raise CohortError(f"after_event: no event table is called {table!r}.{did_you_mean(table, MAIN_DATE)}")
    if which not in ("first", "last", "each"):
        raise CohortError(f"after_event: which is {which!r}, not first, last or each.")
    if days < 0:
        raise CohortError("after_event: an index date before its event would look ahead; days is 0 or more.")
    stated = {"table": table, "where": dict(where or {}), "days": days, "which": which}
    return IndexDates("after_event", stated, alive, observed_months)


def at_changes(
    start,
    end,
    *,
    days: Iterable[int] | None = None,
    months: Iterable[int] | None = None,
    alive: bool = True,
    observed_months: int | None = None,
) -> IndexDates:
    """Every date from ``start`` to ``end`` on which a verdict can change: events, birthdays and passing windows.

    ``days`` and ``months`` are the windows of the protocol, counted from every date in every event table. Without them
    each table has its own (``feasibility.cohort.change_dates.WINDOWS``), and ``build_cohort`` adds those its columns
    declare. A mean dose that drifts from day to day within the window of a changing treatment has no such dates.

    >>> at_changes("2025-01-01", "2025-06-30", days=(7, 28)).stated["days"]
    (7, 28)
    """
    stated: dict[str, Any] = {"start": _day(start), "end": _day(end)}
    if stated["end"] < stated["start"]:
        raise CohortError(f"at_changes: the end {stated['end']} is before the start {stated['start']}.")
    for name, given in (("days", days), ("months", months)):
        if given is not None:
            stated[name] = tuple(given)
    return IndexDates("at_changes", stated, alive, observed_months)


def _people(extract) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sorted patient ids, date of death or NaT, date of birth or NaT).

    Of a partial death the last possible day, of a partial birth the first one: neither takes a patient out who may be
    alive. Of several births the earliest.
    """
    table = extract.tables["patients"]
    table = table.filter(table.pid.notnull())
    got = None
    if table.get_backend().name == "duckdb":  # most tables list each patient once, in order: nothing to group or sort
        got = table.select("pid", died=table.death_date_last, born=table.birth_date).to_pyarrow().combine_chunks()
        ids = got["pid"].combine_chunks().cast(pa.string())
        if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
            got = None
    if got is None:
        got = table.group_by("pid").aggregate(died=table.death_date_last.min(), born=table.birth_date.min())
        got = got.order_by("pid").to_pyarrow().combine_chunks()
    ids = got["pid"].combine_chunks().cast(pa.string())
    died, born = days_of(got["died"]), days_of(got["born"])
    people = ids.to_numpy(zero_copy_only=False)
    # Databases have orders of their own; ours is that of the code points.
    if len(people) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        order = np.argsort(people, kind="stable")
        people, died, born = people[order], died[order], born[order]
    return people, died, born


def _ascending(who: np.ndarray, when: np.ndarray) -> bool:
    step = np.diff(who)
    return bool(((step > 0) | ((step == 0) & (np.diff(when) >= np.timedelta64(0, "D")))).all())


def _day(value) -> dt.date:
    try:
        return value if type(value) is dt.date else dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        raise CohortError(f"{value!r} is no date; write it like 2025-06-30.") from None


def _everyone(people, days: np.ndarray):
    return np.repeat(np.arange(len(people)), len(days)), np.tile(days, len(people))


def _as_of(extract, people, *, date):
    return _everyone(people, np.array([date], dtype="datetime64[D]"))


def _monthly(extract, people, *, start, end):
    count = (end.year - start.year) * 12 + end.month - start.month + 1
    days = add_months(np.datetime64(start, "D"), np.arange(count))
    return _everyone(people, days[days <= np.datetime64(end, "D")])


def _after_event(extract, people, *, table, where, days, which):
    if table not in extract.tables:
        raise CohortError(f"after_event: this extract has no table {table!r}; it has {', '.join(extract.tables)}.")
    events, column = extract.tables[table], MAIN_DATE[table]
    for name, values in where.items():
        if name not in events.columns:
            raise CohortError(f"after_event: {table!r} has no column {name!r}.{did_you_mean(name, events.columns)}")
        values = list(values) if isinstance(values, list | tuple | set) else [values]
        events = events.filter(events[name].isin(values))
    events = events.filter(events[column].notnull(), events[column] == events[column + "_last"])
    got = events.select(pid=events.pid, day=events[column]).distinct().to_pyarrow()
    person, day = positions(got["pid"], people), days_of(got["day"])
    order = np.lexsort((day, person))
    order = order[person[order] >= 0]
    person, day = person[order], day[order]
    if which != "each" and len(person):
        edge = np.r_[True, person[1:] != person[:-1]] if which == "first" else np.r_[person[1:] != person[:-1], True]
        person, day = person[edge], day[edge]
    return person, day + np.timedelta64(days, "D")


def _at_changes(extract, people, *, start, end, days=None, months=None, windows=None):
    windows = windows if windows is not None else change_dates.windows_of(days, months)
    return change_dates.change_dates(extract, people, np.datetime64(start, "D"), np.datetime64(end, "D"), windows)


_RULES = {"as_of": _as_of, "monthly": _monthly, "after_event": _after_event, "at_changes": _at_changes}
