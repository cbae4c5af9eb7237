"""The picks of laboratory results as arrays, for events in the embedded DuckDB.

The database filters and joins the codes, twice. Results in reach of a window come with their values; of those long
before it, nothing matters but that they exist, and they come as a stream that is worked on while it is made. A sort of
all results is never needed: the latest day of each row is a running maximum, and only results that tie on it are
compared further.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from feasibility.cohort.event_rows import DAYS, Rows
from feasibility.cohort.id_lookup import IdLookup, hashed
from feasibility.cohort.index_dates import days_of
from feasibility.cohort.lab_pick import KINDS, NO_DAY, NO_NUMBER, NO_UNIT, OUTSIDE, Coded, Pick

BATCH = 1 << 20
BUFFER = "128MB"
"""How far the database may run ahead of the arrays; with its own 1 MB the two would only wait for each other."""
WORKERS = 2
NEVER = np.int32(2**30)


class ArrayPicks:
    """The picks of all columns from the events in memory that are in reach of a window."""

    def __init__(self, rows: Rows, coded: Coded, lookup: IdLookup):
        self.rows, self.coded = rows, coded
        self.at = rows.index.astype("datetime64[D]").astype("int32")
        # A row per patient, as at one index date: then a person is its row.
        self.single = rows.n == len(rows.people)
        numbers = int(coded.found["number"].max()) + 1
        low = (np.datetime64(rows.first, "D") - coded.longest).astype(object)
        far, near = coded.table["date"] < low, coded.table["date"] >= low
        if coded.apart:
            apart = coded.table["number"].isin(sorted(coded.apart))
            far, near = far & ~apart, near | apart
        self.marks: list[str | None] = [None]
        self.begun: dict[int, Future] | None = None
        self.flags = self._before(far, lookup, numbers)
        self._load(near, lookup)

    def _before(self, far, lookup: IdLookup, numbers: int) -> np.ndarray:
        """Per column, twice: which patients have a number before every window, and which one without a date."""
        table = self.coded.table
        undated = table["date"].isnull()
        table = table.filter(far | undated, table["value_num"].notnull())
        slot = table["number"].cast("int16") * 2 + undated.cast("int16")
        people = len(self.rows.people)
        flags = np.zeros((2 * numbers, people), dtype=bool)
        flat = flags.reshape(-1)
        for batch in self._stream(table.select(h=hashed(table["pid"]), slot=slot)):
            person = lookup.find(batch["h"].to_numpy())
            cell = np.multiply(batch["slot"].to_numpy(), people, dtype="int64")
            cell += person
            flat[cell if len(person) and person.min() >= 0 else cell[person >= 0]] = True
        return flags

    def _stream(self, query):
        """The batches of a query, prepared by the database while earlier ones are worked on."""
        backend = self.rows.backend
        before = backend.con.execute("SELECT current_setting('streaming_buffer_size')").fetchone()[0]
        backend.con.execute(f"SET streaming_buffer_size = '{BUFFER}'")
        try:
            yield from backend.to_pyarrow_batches(query, chunk_size=BATCH)
        finally:
            backend.con.execute(f"SET streaming_buffer_size = '{before}'")

    def _load(self, near, lookup: IdLookup) -> None:
        """The results in reach, sorted by column."""
        table = self.coded.table
        table = table.filter(table["date"] <= self.rows.last, near)
        more = {"factor": table["factor"]} if self.coded.own_factor else {}
        query = table.select(
            "date", "date_last", "value_num", "comparator", "ref_high", "row_id",
            h=hashed(table["pid"]), combo=table["combo"].cast("int32"), **more,
        )  # fmt: skip
        # In one piece: it is kept as a whole anyway, and so the database's threads prepare it side by side.
        got = self.rows.backend.to_pyarrow(query)
        number = self.coded.found["number"].to_numpy()
        person = lookup.find(got["h"].to_numpy())
        combo = got["combo"].to_numpy()
        of = number.astype("int16")[combo]
        self.order = np.argsort(of, kind="stable")
        if len(person) and person.min() < 0:
            self.order = self.order[person[self.order] >= 0]
        self.bounds = np.searchsorted(of[self.order], np.arange(int(number.max()) + 2))
        self.events = {
            "person": person, "combo": combo, "row_id": got["row_id"].to_numpy(),
            "day": days_of(got["date"]).astype("int32"), "last": days_of(got["date_last"]).astype("int32"),
            "mark": np.concatenate([np.zeros(0, "int8"), *map(self._marked, got["comparator"].chunks)]),
        }  # fmt: skip
        for name, column in [("value", "value_num"), ("limit", "ref_high"), *((n, n) for n in more)]:
            self.events[name] = got[column].to_numpy().astype("float64", copy=False)

    def _marked(self, comparators) -> np.ndarray:
        """A number for each comparator, 0 for none; ``marks`` are their texts."""
        if comparators.null_count == len(comparators):
            return np.zeros(len(comparators), dtype="int8")
        coded = comparators.dictionary_encode()
        for text in coded.dictionary.to_pylist():
            if text not in self.marks:
                self.marks.append(text)
        known = np.array([self.marks.index(t) for t in coded.dictionary.to_pylist()] + [0], dtype="int8")
        return known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]

    def _of(self, number: int) -> dict[str, np.ndarray]:
        """The results of one column, with what their code and unit mean."""
        here = self.order[self.bounds[number] : self.bounds[number + 1]]
        if not len(here):
            kinds = dict.fromkeys(("person", "day", "last", "combo"), "int32") | {"row_id": "int64", "mark": "int8"}
            return {n: np.zeros(0, kinds.get(n, "float64")) for n in (*kinds, "value", "limit", "factor", "x")}
        one = {name: array[here] for name, array in self.events.items()}
        if "factor" not in one:
            one["factor"] = self.coded.found["factor"].to_numpy(dtype="float64")[one["combo"]]
        one["x"] = one["value"] * one["factor"]
        return one

    def pick(self, number: int) -> Pick:
        """The pick of one column; the first call begins with those of all, as most of the work leaves Python's lock."""
        if self.begun is None:
            pool = ThreadPoolExecutor(WORKERS)
            self.begun = {n: pool.submit(self._pick, n) for n in sorted(set(self.coded.found["number"]))}
            pool.shutdown(wait=False)
        begun = self.begun.pop(number, None)
        return self._pick(number) if begun is None else begun.result()

    def _pick(self, number: int) -> Pick:
        facts = self.coded.found[self.coded.found["number"] == number].iloc[0]
        events, n = self._of(number), self.rows.n
        window, order = int(facts["window"]), int(facts["order"])
        old, undated = self._elsewhere(number, events, window)
        bad = _bad(events, float(facts["low"]), float(facts["high"]))
        events["worse"] = float(facts["sign"]) * events["x"]
        aside, partial = self._aside(events, bad, window)
        if bad.any():
            events = {name: array[bad == 0] for name, array in events.items()}
        if facts["mean"]:
            _mean(events)
        if not self.single:  # of one day one result, before a row is made for every index date
            keep = _last_of(events["combo"], events["row_id"], events["worse"], events["day"], events["person"])
            events = {name: array[keep] for name, array in events.items()}
        event, row, age = self._pairs(events["person"], events["day"], window)
        first = order * age if order else np.zeros(0)
        keys = ([first] if order else []) + [
            events["worse"][event], -age, events["row_id"][event], events["combo"][event],
        ]  # fmt: skip
        best = _greatest(row, n, keys)
        event, row, age = event[best], row[best], age[best]
        return Pick(
            row, *(events[k][event] for k in ("value", "factor")),
            np.array(self.marks, dtype=object)[events["mark"][event]], events["limit"][event], age.astype("int64"),
            events["combo"][event].astype("int64"), partial[row].astype("datetime64[D]"), aside, old, undated,
        )  # fmt: skip

    def _elsewhere(self, number: int, events, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Per row: is there a number before the window, and one without a date?"""
        old, undated = self.flags[2 * number], self.flags[2 * number + 1]
        if not self.single:
            old, undated = old[self.rows.person], undated[self.rows.person]
        # Only what lies before the window of the latest row can lie before that of any.
        some = np.flatnonzero((events["day"] < self.at.max(initial=0) - window) & ~np.isnan(events["value"]))
        if not len(some):
            return old, undated
        first = np.full(len(self.rows.people), NEVER, dtype="int32")
        np.minimum.at(first, events["person"][some], events["day"][some])
        return old | ((first if self.single else first[self.rows.person]) < self.at - window), undated

    def _pairs(self, person, day, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(event, row, age in days) of every event in the window of a row."""
        if self.single:
            age = self.at[person] - day
            event = np.flatnonzero((age >= 0) & (age <= window))
            return event, person[event].astype("int64"), age[event]
        rows = self.rows.person.astype("int64") * DAYS + self.at
        key = person.astype("int64") * DAYS + day
        begin = np.searchsorted(rows, key)
        count = np.searchsorted(rows, key + window, side="right") - begin
        event = np.repeat(np.arange(len(key)), count)
        row = np.arange(len(event)) + np.repeat(begin - np.cumsum(count) + count, count)
        return event, row, self.at[row] - day[event]

    def _aside(self, events, bad, window: int):
        """Rows with results in the window that cannot be used, by kind; the last day one of no known day may have."""
        partial = np.full(self.rows.n, np.iinfo("int64").min)  # NaT
        result = {}
        for kind in KINDS if bad.any() else ():
            here = bad == kind
            if not here.any():
                continue
            event, row, _ = self._pairs(events["person"][here], events["day"][here], window)
            which, count = np.unique(row, return_counts=True)
            if len(which):
                result[kind] = which, count
            if kind == NO_DAY:
                np.maximum.at(partial, row, events["last"][here][event].astype("int64"))
        return result, partial

    def earlier(self, number: int, rows_: np.ndarray, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, values) of the latest exact result at least so many days old, per row asked for."""
        facts = self.coded.found[self.coded.found["number"] == number].iloc[0]
        events = self._of(number)
        usable = (events["day"] == events["last"]) & (events["x"] >= facts["low"]) & (events["x"] <= facts["high"])
        usable &= events["mark"] == 0
        events = {name: events[name][usable] for name in ("person", "day", "x", "row_id")}
        keep = _last_of(events["row_id"], events["x"], events["day"], events["person"])
        key = events["person"][keep].astype("int64") * DAYS + events["day"][keep]
        person = self.rows.person[rows_].astype("int64")
        at = np.searchsorted(key, person * DAYS + self.at[rows_] - ages, side="right") - 1
        hit = at >= 0
        hit[hit] = events["person"][keep][at[hit]] == person[hit]
        return rows_[hit], events["x"][keep][at[hit]]


def _bad(events, low: float, high: float) -> np.ndarray:
    """Why each result cannot be used, 0 if it can."""
    inside = (events["x"] >= low * (1 - 1e-9)) & (events["x"] <= high * (1 + 1e-9))
    outside = ~inside & (events["mark"] == 0)
    choices = [np.isnan(events["value"]), events["day"] != events["last"], np.isnan(events["factor"]), outside]
    result = np.zeros(len(outside), dtype="int8")
    for kind, here in reversed(list(zip((NO_NUMBER, NO_DAY, NO_UNIT, OUTSIDE), choices, strict=True))):
        result[here] = kind  # the first that applies is written last
    return result


def _mean(events: dict[str, np.ndarray]) -> None:
    """The results of one day as their mean; one below a limit has no mean, and counts only if there is no other."""
    good = events["mark"] == 0
    key = events["person"][good].astype("int64") * DAYS + events["day"][good]
    _, place, count = np.unique(key, return_inverse=True, return_counts=True)
    events["value"][good] = (np.bincount(place, events["x"][good], len(count)) / np.maximum(count, 1))[place]
    events["limit"][good] *= events["factor"][good]
    events["factor"][good] = 1.0
    events["worse"] = good.astype("float64")


def _last_of(*keys: np.ndarray) -> np.ndarray:
    """Of every (day, person), the last two keys, the position of the entry that is greatest by the keys before them."""
    order = np.lexsort(keys)
    day, person = keys[-2][order], keys[-1][order]
    final = np.ones(len(order), dtype=bool)
    final[:-1] = (day[1:] != day[:-1]) | (person[1:] != person[:-1])
    return order[final]


def _greatest(row: np.ndarray, n: int, keys: list[np.ndarray]) -> np.ndarray:
    """For every row that occurs, in order, the position of its greatest entry: by the first key, then the next."""
    place = np.full(n, -1, dtype="int64")
    left = np.arange(len(row))
    for key in keys:
        mine, key = row[left], key[left]
        best = np.full(n, key.min() if len(key) else 0, dtype=key.dtype)
        np.maximum.at(best, mine, key)
        left = left[key == best[mine]]
        place[row[left]] = left
        tied = place[row[left]] != left
        if not tied.any():
            break
        # Only rows that still have several entries are compared by the next key.
        again = np.zeros(n, dtype=bool)
        again[row[left[tied]]] = True
        left = left[again[row[left]]]
    return place[place >= 0]
