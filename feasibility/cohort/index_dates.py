"""When each patient is screened: at one date, after an event, every month, or whenever a verdict can change.

A rule yields (patient, index date) pairs. Patients who died on or before an index date have no row for it. Only events
on or before an index date decide whether the patient counts as observed there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feasibility.cohort.windows import add_months, months_before, to_days
from feasibility.errors import CohortError, did_you_mean

MAIN_DATE = {
    "diagnoses": "dx_date", "labs": "date", "medications": "start", "procedures": "date", "courses": "start",
    "responses": "assess_date", "transplants": "date", "echo": "date", "performance": "date", "infections": "date",
    "allergies": "date", "flow": "date", "repro": "date", "transfusions": "date",
}  # fmt: skip
"""The date column of each event table that says when the patient was seen."""


@dataclass(frozen=True)
class IndexDates:
    """A rule that gives every patient zero, one or many index dates; made by the functions below."""

    policy: str
    stated: Mapping[str, Any] = field(default_factory=dict)
    alive: bool = True
    observed_months: int | None = None

    def pairs(self, extract) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """(patient ids as objects, index dates, how many pairs were left out and why), sorted by both."""
        people, deaths = _people(extract)
        who, when = _RULES[self.policy](extract, people, **self.stated)
        left_out = {}
        if self.alive:
            died = deaths[who]
            dead = ~np.isnat(died) & (died <= when)
            left_out["died on or before the index date"] = int(dead.sum())
            who, when = who[~dead], when[~dead]
        if self.observed_months is not None and len(who):
            seen = observed(extract, people, who, when, self.observed_months)
            left_out[f"not observed in the {self.observed_months} months before"] = int((~seen).sum())
            who, when = who[seen], when[seen]
        order = np.lexsort((when, who))
        return people[who[order]], when[order], left_out


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
    start, end, *, days=(7, 14, 28, 42, 56, 90), months=(6, 12), alive: bool = True, observed_months: int | None = None
) -> IndexDates:
    """Every date from ``start`` to ``end`` on which a verdict can change: events, birthdays and expiring windows.

    ``days`` and ``months`` are the windows of the protocol: the day after each has passed since an event is a date.
    """
    stated = {"start": _day(start), "end": _day(end), "days": tuple(days), "months": tuple(months)}
    return IndexDates("at_changes", stated, alive, observed_months)


def observed(extract, people: np.ndarray, who: np.ndarray, when: np.ndarray, months: int = 12) -> np.ndarray:
    """Per pair, whether any dated row, visit or observation period lies within the months before the index date.

    A partial date counts if the whole of it does.
    """
    result = np.zeros(len(who), dtype=bool)
    if not len(who):
        return result
    begin = months_before(when, months)
    day, n_days = np.datetime64(0, "D"), np.timedelta64(1, "D")
    person, first, last = _seen(extract, people, begin.min(), when.max())
    # Sorted by person and day, the latest day at or before the index date is found by bisection.
    key = person.astype("int64") * 200_000 + ((last - day) // n_days)
    order = np.argsort(key, kind="stable")
    key, first = key[order], first[order]
    at = np.searchsorted(key, who.astype("int64") * 200_000 + ((when - day) // n_days), side="right") - 1
    usable = at >= 0
    found = np.where(usable, at, 0)
    result = usable & (person[order][found] == who) & (first[found] >= begin) if len(key) else result
    periods = extract.tables.get("observed")
    if periods is not None:
        result |= _in_period(periods, people, who, begin, when)
    return result


def _seen(extract, people, begin, end):
    """(position of the person, first day, last day) of everything that happened in the span."""
    parts = []
    low, high = begin.astype(object), end.astype(object)
    for name, column in [*MAIN_DATE.items(), ("patients", "last_visit")]:
        table = extract.tables.get(name)
        if table is None:
            continue
        part = table.select(pid=table.pid, first=table[column], last=table[column + "_last"])
        parts.append(part.filter(part["first"] >= low, part["last"] <= high).distinct())
    got = [p.to_pyarrow() for p in parts]
    merged = pa.concat_tables(got) if got else pa.table({"pid": [], "first": [], "last": []})
    person = positions(merged["pid"], people)
    known = person >= 0
    return person[known], days_of(merged["first"])[known], days_of(merged["last"])[known]


def _in_period(periods, people, who, begin, when) -> np.ndarray:
    got = periods.select("pid", "start", "stop").to_pyarrow()
    person = positions(got["pid"], people)
    start, stop = days_of(got["start"]), days_of(got["stop"])
    known = (person >= 0) & ~np.isnat(start)
    person, start = person[known], start[known]
    # A period still open when the extract was made reaches the index date.
    stop = np.where(np.isnat(stop[known]), when.max(), stop[known])
    order = np.lexsort((start, person))
    result = np.zeros(len(who), dtype=bool)
    bounds = np.searchsorted(person[order], who), np.searchsorted(person[order], who, side="right")
    for step in range(int((bounds[1] - bounds[0]).max(initial=0))):  # as many steps as one patient has periods
        at = np.minimum(bounds[0] + step, len(order) - 1)
        one = order[at]
        result |= (bounds[0] + step < bounds[1]) & (start[one] <= when) & (stop[one] >= begin)
    return result


def positions(values, people: np.ndarray) -> np.ndarray:
    """Where each patient id stands among ``people``; -1 for one that is not there."""
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    found = pc.index_in(values.cast(pa.string()), value_set=pa.array(people, pa.string()))
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype("int64")


def days_of(values) -> np.ndarray:
    """A date column of Arrow as ``datetime64[D]``."""
    return values.cast(pa.date32()).to_numpy(zero_copy_only=False).astype("datetime64[D]")


def _people(extract) -> tuple[np.ndarray, np.ndarray]:
    """(sorted patient ids, date of death or NaT; the last possible day of a partial one)."""
    table = extract.tables["patients"]
    got = table.filter(table.pid.notnull()).group_by("pid").aggregate(died=table.death_date_last.min()).to_pyarrow()
    people = np.array(got["pid"].to_pylist(), dtype=object)
    order = np.argsort(people, kind="stable")
    return people[order], days_of(got["died"])[order]


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


def _at_changes(extract, people, *, start, end, days, months):
    low, high = np.datetime64(start, "D"), np.datetime64(end, "D")
    reach = max([*days, 0, *(31 * m for m in months)]) + 2
    person, first, last = _seen(extract, people, low - np.timedelta64(reach, "D"), high)
    who, when = [np.arange(len(people))], [np.full(len(people), low)]
    for one in (first, last):
        shifted = [one, *(one + np.timedelta64(d + 1, "D") for d in days)]
        shifted += [add_months(one, m) + np.timedelta64(1, "D") for m in months]
        who += [person] * len(shifted)
        when += shifted
    born = extract.tables["patients"].select("pid", "birth_date", "birth_date_last").to_pyarrow()
    for name in ("birth_date", "birth_date_last"):
        person, birth = positions(born["pid"], people), days_of(born[name])
        known = ~np.isnat(birth) & (person >= 0)
        for year in range(start.year, end.year + 1):
            ages = year - birth[known].astype("datetime64[Y]").astype("int64") - 1970
            who.append(person[known])
            when.append(add_months(birth[known], 12 * ages))
    who, when = np.concatenate(who), np.concatenate([to_days(w) for w in when])
    inside = (when >= low) & (when <= high)
    pairs = np.unique(np.rec.fromarrays([who[inside], when[inside].astype("int64")], names="who,when"))
    return pairs["who"].astype("int64"), pairs["when"].astype("datetime64[D]")


_RULES = {"as_of": _as_of, "monthly": _monthly, "after_event": _after_event, "at_changes": _at_changes}
