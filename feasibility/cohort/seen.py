"""When a patient was seen: the dated rows, visits and observation periods that make silence mean "no"."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feasibility.cohort.windows import months_before

MAIN_DATE = {
    "diagnoses": "dx_date", "labs": "date", "medications": "start", "procedures": "date", "courses": "start",
    "responses": "assess_date", "transplants": "date", "echo": "date", "performance": "date", "infections": "date",
    "allergies": "date", "flow": "date", "repro": "date", "transfusions": "date",
}  # fmt: skip
"""The date column of each event table that says when the patient was seen."""


def observed(extract, people: np.ndarray, who: np.ndarray, when: np.ndarray, months: int = 12) -> np.ndarray:
    """Per pair, whether any dated row, visit or observation period lies within the months before the index date.

    A partial date counts if the whole of it does.
    """
    result = np.zeros(len(who), dtype=bool)
    if not len(who):
        return result
    begin = months_before(when, months)
    day, n_days = np.datetime64(0, "D"), np.timedelta64(1, "D")
    person, first, last = seen_days(extract, people, begin.min(), when.max())
    # Sorted by person and last day, the latest first day of what ended by the index date is found by bisection.
    key = person.astype("int64") * 200_000 + ((last - day) // n_days)
    order = np.argsort(key, kind="stable")
    start = np.maximum.accumulate(person.astype("int64")[order] * 200_000 + ((first[order] - day) // n_days))
    at = np.searchsorted(key[order], who.astype("int64") * 200_000 + ((when - day) // n_days), side="right") - 1
    if len(key):
        usable = at >= 0
        result = usable & (start[np.where(usable, at, 0)] >= who.astype("int64") * 200_000 + ((begin - day) // n_days))
    if "observed" in extract.tables:
        result |= _in_period(extract, people, who, begin, when)
    return result


def seen_days(extract, people, begin, end):
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


def periods(extract, people: np.ndarray, end):
    """(position of the person, first day, last day) of the stated periods; one still open lasts until ``end``."""
    got = extract.tables["observed"].select("pid", "start", "stop").to_pyarrow()
    person, start, stop = positions(got["pid"], people), days_of(got["start"]), days_of(got["stop"])
    known = (person >= 0) & ~np.isnat(start)
    return person[known], start[known], np.where(np.isnat(stop[known]), end, stop[known])


def _in_period(extract, people, who, begin, when) -> np.ndarray:
    # A period still open when the extract was made reaches the index date.
    person, start, stop = periods(extract, people, when.max())
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
