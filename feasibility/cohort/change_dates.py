"""The days on which something about a patient can change: events and their ends, birthdays, and windows that pass.

Counted from a date d, "within N days" ends after d + N, "at least N days ago" begins on d + N, and the N-th day of a
treatment that began on d is d + N - 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from feasibility.cohort.declared import CODED, LAB_NUMBERS
from feasibility.cohort.seen import days_of, periods, positions, seen_days
from feasibility.cohort.windows import add_months, to_days

DAY = np.timedelta64(1, "D")
SPAN = 1 << 22
"""More days than lie between any two dates: (person, day) as one number."""
OBSERVED_MONTHS = 12
"""How long silence means "no" after a patient was last seen."""
WINDOWS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "diagnoses": ((14, 28, 180), (6, 12)), "labs": ((7, 14, 28, 90, 180), (6, 12)),
    "medications": ((7, 14, 28, 42, 56, 90), ()), "procedures": ((14, 28, 42, 90), (6, 12)),
    "courses": ((14, 28), ()), "responses": ((28, 56, 180), ()),
    "transplants": ((28, 42, 56, 90, 180), (6, 12)), "echo": ((28, 56, 90), ()),
    "performance": ((7, 14, 28, 90), (12,)), "infections": ((7, 14, 28), ()), "allergies": ((), ()),
    "flow": ((28, 56, 90), ()), "repro": ((14, 28), ()), "transfusions": ((7, 14, 28), ()),
}  # fmt: skip
"""Per event table, the (days, months) that protocols look back or ask to have passed since its dates."""
RESULTS = ("labs", "echo", "performance", "flow")
"""What is measured is looked back for, never waited after: of its windows only the end counts."""
TREATMENTS = ("medications",)
"""Tables whose days are added up."""
UNREAD = {("labs", "report_date")}
"""Dates no column is made from: a result counts from the day of its sample."""
ASSUMED = dict.fromkeys(LAB_NUMBERS, ("window_days", 90)) | {
    "reactive": ("window_days", 180), "months_since_reactive": ("validity_months", 6),
    "confirmed": ("validity_months", 12),
}  # fmt: skip
"""The windows of statistics that do not declare theirs."""


def windows_of(
    days: Iterable[int] | None = None,
    months: Iterable[int] | None = None,
    columns=None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, list[int]]]:
    """{event table: {days, months}}: those given, else the table's own and what the columns declare.

    >>> windows_of(days=(14,))["transfusions"]
    {'days': [14], 'months': [], 'exact': ['days']}
    """
    declared = _declared(columns, settings or {}) if columns is not None else {}
    given = {"days": days, "months": months}
    result: dict[str, dict[str, list]] = {}
    for table, own in WINDOWS.items():
        mine: dict[str, list] = {}
        for unit, usual in zip(given, own, strict=True):
            found = {*usual, *declared.get((table, unit), ())} if given[unit] is None else set(given[unit])
            mine[unit] = sorted(int(n) for n in found)
        result[table] = mine | {"exact": [unit for unit in given if given[unit] is not None]}
    return result


def longest(windows: Mapping[str, Mapping[str, list]]) -> int:
    """The longest of the windows, in days."""
    return max((n for w in windows.values() for n in (*w["days"], *(31 * m for m in w["months"]))), default=0)


def _declared(columns, settings: Mapping[str, Any]) -> dict[tuple[str, str], set[int]]:
    result: dict[tuple[str, str], set[int]] = {}
    for column in columns.columns:
        name, usual = ASSUMED.get(column.statistic, ("", 0))
        stated = ({name: usual} if name else {}) | dict(column.settings)
        for setting in stated:
            unit = "days" if setting.endswith(("window_days", "coded_days")) else "months"
            value = settings.get(f"{column.name}.{setting}", stated[setting])
            if (unit == "months" and not setting.endswith("_months")) or not isinstance(value, int | float):
                continue
            for table in column.tables:
                only = {"coded": table in CODED, "test": table == "labs"}.get(setting.partition("_")[0], True)
                if only and 0 < value < 10_000:
                    result.setdefault((table, unit), set()).add(int(value))
    return result


def change_dates(extract, people: np.ndarray, low, high, windows) -> tuple[np.ndarray, np.ndarray]:
    """(positions of patients, dates) from ``low`` to ``high``, each pair once, sorted; ``low`` for everyone."""
    found = _Found(low, high)
    found.add(np.arange(len(people)), np.full(len(people), low))
    for name, table in extract.tables.items():
        if name not in WINDOWS:
            continue
        window = windows[name]
        reach = max([1, *window["days"], *(31 * m for m in window["months"])]) + 2
        # A date column is one whose last possible day stands beside it; the end of a treatment is one too.
        for column in [c for c in table.columns if c + "_last" in table.columns]:
            if (name, column) not in UNREAD:
                person, ends = _days(table, column, people, low - reach * DAY, high)
                for day in ends:
                    _shifts(found, person, day, window, name)
    _unseen(found, extract, people)
    _birthdays(found, extract, people)
    return found.pairs()


class _Found:
    """Pairs collected so far, as one number each: position of the patient and day."""

    def __init__(self, low, high):
        self.low, self.high, self.span = low, high, int((high - low) / DAY) + 1
        self.keys: list[np.ndarray] = []

    def add(self, person: np.ndarray, day: np.ndarray) -> None:
        inside = (day >= self.low) & (day <= self.high)  # False for a day that is not known
        place = ((day[inside] - self.low) / DAY).astype("int64")
        self.keys.append(np.unique(person[inside].astype("int64") * self.span + place))

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        keys = np.unique(np.concatenate(self.keys))
        return keys // self.span, self.low + (keys % self.span) * DAY


def _days(table, column: str, people, begin, end):
    """(positions of patients, [first, last possible day]) of a date column's days from ``begin`` to ``end``."""
    first, last = table[column], table[column + "_last"]
    got = table.select(pid=table.pid, first=first, last=last)
    got = got.filter(got["last"] >= begin.astype(object), got["first"] <= end.astype(object)).distinct().to_pyarrow()
    person = positions(got["pid"], people)
    known, first, last = person >= 0, days_of(got["first"]), days_of(got["last"])
    partial = known & (first != last)
    person = np.concatenate([person[known], person[partial]])
    return person, [np.concatenate([first[known], last[partial]])]


def _shifts(found: _Found, person: np.ndarray, day: np.ndarray, window, name: str) -> None:
    """The day itself, the next (a last day has passed), and the days about each window's end."""
    for n in (0, 1) if name not in RESULTS else (0,):
        found.add(person, day + n * DAY)
    for n in window["days"]:
        # Whoever names a window may ask for anything; of the usual ones only what such events are asked.
        every = "days" in window["exact"] or name in TREATMENTS
        for more in (-1, 0, 1) if every else (1,) if name in RESULTS else (0, 1):
            found.add(person, day + (n + more) * DAY)
    for m in window["months"]:
        whole, last = add_months(day, m), _last_within(day, m)
        for one in (
            (last + DAY,)
            if name in RESULTS and "months" not in window["exact"]
            else (whole, whole + DAY, last, last + DAY)
        ):
            found.add(person, to_days(one))


def _last_within(day: np.ndarray, months: int) -> np.ndarray:
    """The last day from which ``months`` calendar months back reach ``day``: of a month's last day, a month's end."""
    month_end = (day.astype("datetime64[M]") + 1).astype("datetime64[D]") - DAY
    following = (day.astype("datetime64[M]") + months + 1).astype("datetime64[D]") - DAY
    return np.where(day == month_end, following, add_months(day, months))


def _unseen(found: _Found, extract, people: np.ndarray) -> None:
    """The days from which a patient counts as observed, and those on which silence stops meaning "no"."""
    reach = 31 * (OBSERVED_MONTHS + 1) * DAY
    # A partial date is seen once the whole of it is past, and in reach while its first day is.
    person, first, last = seen_days(extract, people, found.low - reach, found.high)
    begin, over = last, _last_within(first, OBSERVED_MONTHS) + DAY
    if "observed" in extract.tables:
        more, start, stop = periods(extract, people, found.high)
        person, begin = np.concatenate([person, more]), np.concatenate([begin, start])
        over = np.concatenate([over, _last_within(stop, OBSERVED_MONTHS) + DAY])
    if not len(person):
        return
    found.add(person, begin)
    order = np.lexsort((over, person))
    person, begin, over = person[order], begin[order], over[order]
    # It stops unless something that lasts longer began by then: the least beginning among those that end later.
    key = person * SPAN + (begin - found.low) // DAY
    following = np.r_[np.minimum.accumulate(key[::-1])[::-1][1:], np.iinfo("int64").max]
    final = following > person * SPAN + (over - found.low) // DAY
    found.add(person[final], over[final])


def _birthdays(found: _Found, extract, people: np.ndarray) -> None:
    born = extract.tables["patients"].select("pid", "birth_date", "birth_date_last").to_pyarrow()
    for name in ("birth_date", "birth_date_last"):
        person, birth = positions(born["pid"], people), days_of(born[name])
        known = ~np.isnat(birth) & (person >= 0)
        person, birth = person[known], birth[known]
        for year in range(found.low.astype(object).year, found.high.astype(object).year + 1):
            day = add_months(birth, 12 * (year - birth.astype("datetime64[Y]").astype("int64") - 1970))
            found.add(person, to_days(day))
            leap = day.astype("datetime64[M]").astype("int64") % 12 == 1  # a birthday of 29 February may be 1 March
            found.add(person[leap], to_days(day)[leap] + DAY)
