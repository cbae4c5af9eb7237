"""Things that happen or do not: coded diagnoses, procedures, drugs, transfusions, as "ever" or "time since the last".

No record means "no" or "never" only for a patient who was observed in the 12 months before the index date. An event
without a date, of an imprecise date around the index date, or only suspected, leaves the answer open.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort import windows
from feasibility.cohort.declared import CODED, OF_EVENTS
from feasibility.cohort.event_rows import CONFLICTING, DATE_IMPRECISE, DATE_MISSING, Rows, folded
from feasibility.cohort.parse import MISSING
from feasibility.cohort.schema import Column

RULED_OUT = ("refuted", "entered-in-error", "entered_in_error", "ruled_out", "excluded", "family_history", "排除",
             "除外",
             "已排除", "否认", "家族史")  # fmt: skip
SUSPECTED = ("suspected", "provisional", "differential", "unconfirmed", "possible", "probable", "疑似", "待查",
             "可疑", "可能",
             "待排")  # fmt: skip
DATES = {"diagnoses": "dx_date", "medications": "start"}
ANY_TABLE = ("ever", "days_since", "months_since")
"""What an event of any table of the column settles, though the first of them is absent: it did happen."""
OFF = " switched off"
NAMES = {"transfusions": ("product",), "medications": ("generic",)}
"""Columns that name a thing in words, where it may have no code."""


def build_once(rows: Rows) -> None:
    """Fill the columns declared as made of coded events: ever, count, days or months since the last, in words."""
    wanted = [c for c in rows.columns.columns if c.statistic in OF_EVENTS and any(
        rows.has(t) for t in (c.tables if c.statistic in ANY_TABLE else c.tables[:1]))]  # fmt: skip
    found = {c.name: [] for c in wanted}
    for table in CODED:
        here = [c for c in wanted if table in c.tables]
        off = {c.name + OFF: lists for c in here if (lists := _switched_off(rows, c))}
        events = dated_events(rows, table, {c.name: _lists(rows, c) for c in here} | off)
        if events is not None:
            for column in here:
                mine = events[events["item"] == column.name]
                if column.name + OFF in off:  # though a wider code of the column's list may cover them
                    not_meant = events.loc[events["item"] == column.name + OFF, ["row", "row_id"]]
                    keys = pd.MultiIndex.from_frame(mine[["row", "row_id"]])
                    mine = mine[~keys.isin(pd.MultiIndex.from_frame(not_meant))]
                found[column.name].append(_meant(rows, column, mine))
    for column in wanted:
        some = [part for part in found[column.name] if len(part)]
        if some or rows.has(column.tables[0]):
            FILL[column.statistic](rows, column, pd.concat(some, ignore_index=True) if some else no_events())


def _lists(rows: Rows, column: Column) -> list[str]:
    """The column's code list, and the further ones that no setting switches off."""
    added = [name for key, name in column.lists.items() if rows.setting(column.name, key, True)]
    return [column.codelist, *added]


def _switched_off(rows: Rows, column: Column) -> list[str]:
    return [name for key, name in column.lists.items() if key in column.settings and not rows.setting(column.name, key)]


def no_events() -> pd.DataFrame:
    """What ``dated_events`` returns when there are none."""
    days, texts = np.zeros(0, "datetime64[s]"), np.zeros(0, object)
    return pd.DataFrame({"row": np.zeros(0, "int64"), "row_id": np.zeros(0, "int64"), "first": days, "last": days,
                         "surely": np.zeros(0, bool), "open": np.zeros(0, "uint8"), "text": texts,
                         "item": texts})  # fmt: skip


def dated_events(rows: Rows, table: str, items: dict[str, list[str]]) -> pd.DataFrame | None:
    """The coded events of a table: row, item, first and last day, and ``open``: 0 for sure, or why it is not."""
    if not rows.has(table) or not items:
        return None
    date = DATES.get(table, "date")
    source = rows.matched(table, items, NAMES.get(table, ()))
    if source is None:
        return None
    wanted = ["pid", "row_id", "item", date, date + "_last", *(c for c in ("text", "dx_status") if c in source.columns)]
    events = rows.fetch(source.select(*wanted), date, undated=True)
    events["text"] = events["text"] if "text" in events else None
    undated = events["first"].isna().to_numpy()
    events["open"] = np.where(undated, DATE_MISSING, np.where(events["surely"], 0, DATE_IMPRECISE)).astype("uint8")
    if "dx_status" in events:
        words = folded(events["dx_status"])
        rows.note(table, "set_aside", "ruled out, or of a relative", int(words.isin(RULED_OUT).sum()))
        suspected = words.isin(SUSPECTED)
        events.loc[suspected & (events["open"] == 0), "open"] = CONFLICTING
        events = events[~words.isin(RULED_OUT)]
    return events


def _meant(rows: Rows, column: Column, events: pd.DataFrame) -> pd.DataFrame:
    """Those events that mean what the column asks, by their text."""
    words = column.words
    if words is None or not len(events):
        return events
    text = folded(events["text"])
    kept = text.str.contains(words.only) if words.only else np.ones(len(events), dtype=bool)
    if words.ignored and not (words.unless and rows.setting(column.name, words.unless, False)):
        kept &= ~text.str.contains(words.ignored)
    if words.open:
        vague = text.str.contains(words.open) & (events["open"] == 0)
        events = events.assign(open=np.where(vague, CONFLICTING, events["open"]))
    return events[kept]


def _silence(rows: Rows, column: Column) -> np.ndarray:
    """Where no record means that nothing happened: never without the table in which it would be recorded first."""
    closed = column.absence == "closed" and rows.has(column.tables[0])
    return rows.observed() if closed else np.zeros(rows.n, dtype=bool)


def _ever(rows: Rows, column: Column, events: pd.DataFrame) -> None:
    yes, maybe, status = ever(rows, events)
    rows.put_plain(column.name, yes, ~yes & (maybe | ~_silence(rows, column)), status)


def _count(rows: Rows, column: Column, events: pd.DataFrame) -> None:
    """Different days with an event; what is not sure, or may lie outside the window, counts at most."""
    at = events["row"].to_numpy().astype("int64")
    first, last = (events[c].to_numpy().astype("datetime64[D]") for c in ("first", "last"))
    window = rows.setting(column.name, "window_days", None)
    oldest = rows.index - np.timedelta64(int(window if window is not None else 400_000), "D")
    sure = (events["open"].to_numpy() == 0) & (first >= oldest[at])
    may = ~(last < oldest[at])
    days = pd.DataFrame({"row": at, "day": first, "last": last})
    low = days[sure].drop_duplicates(["row", "day"]).groupby("row").size()
    high = low.add(days[may & ~sure].groupby("row").size(), fill_value=0)
    ends = []
    for count in (low, high):
        end = np.zeros(rows.n)
        end[count.index.to_numpy().astype("int64")] = count.to_numpy()
        ends.append(end)
    unknown = ~_silence(rows, column) & (ends[1] == 0)
    rows.put(column.name, *(np.where(unknown, np.nan, end) for end in ends), ever(rows, events)[2])


def _in_words(rows: Rows, column: Column, events: pd.DataFrame) -> None:
    """What the texts say; an event that is not sure says nothing, and silence is unknown."""
    events = events[events["open"] == 0]
    text = folded(events["text"])
    at = events["row"].to_numpy().astype("int64")
    no = text.str.contains(column.words.no).to_numpy(dtype=bool) if column.words.no else np.zeros(len(at), bool)
    yes = text.str.contains(column.words.yes).to_numpy(dtype=bool) & ~no
    said, denied = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
    said[at[yes]] = True
    denied[at[no]] = True
    both = said & denied
    if column.words.both is not None:
        said[both], denied[both] = column.words.both, not column.words.both
        both[:] = False
    rows.put_plain(column.name, said & ~both, both | (~said & ~denied), np.where(both, CONFLICTING, MISSING))


def ever(rows: Rows, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per row: a sure event, an event that leaves it open, and the reason for the latter."""
    yes, status = np.zeros(rows.n, dtype=bool), np.full(rows.n, MISSING, dtype="uint8")
    sure = (events["open"] == 0).to_numpy()
    at = events["row"].to_numpy().astype("int64")
    yes[at[sure]] = True
    maybe = np.zeros(rows.n, dtype=bool)
    maybe[at[~sure]] = True
    status[at[~sure]] = events["open"].to_numpy()[~sure]
    return yes, maybe, status


def _since(rows: Rows, column: Column, events: pd.DataFrame) -> None:
    count = windows.days_since if column.statistic == "days_since" else windows.months_since
    yes, maybe, status = ever(rows, events)
    sure = events[events["open"] == 0]
    last = latest(rows, sure, "last")
    first = latest(rows, sure, "first")
    low, high = count(last, rows.index), count(first, rows.index)
    # A suspected event of a known day may be the last one; one of no known day may be from today.
    open_ = events[events["open"] != 0]
    placed = open_[open_["surely"].to_numpy() & open_["first"].notna().to_numpy()]
    reach = count(latest(rows, placed, "last"), rows.index)
    low = np.where(np.isnan(reach), low, np.fmin(low, reach))
    unplaced = np.zeros(rows.n, dtype=bool)
    unplaced[open_.loc[~open_.index.isin(placed.index), "row"].to_numpy().astype("int64")] = True
    # So may one be in the table the extract lacks, of which this event is only a trace.
    low[unplaced | (yes if not rows.has(column.tables[0]) else False)] = 0.0
    never = ~yes & ~maybe & _silence(rows, column)
    low[never] = high[never] = np.inf
    unknown = ~yes & ~never
    rows.put(column.name, np.where(unknown, np.nan, low), np.where(unknown, np.nan, high), status)


def latest(rows: Rows, events: pd.DataFrame, end: str) -> np.ndarray:
    """Per row, the latest first (or last) day of its events; NaT for none."""
    result = np.full(rows.n, np.datetime64("NaT"), dtype="datetime64[D]")
    if len(events):
        days = events.groupby("row")[end].max()
        result[days.index.to_numpy().astype("int64")] = days.to_numpy().astype("datetime64[D]")
    return result


FILL = {"ever": _ever, "count": _count, "days_since": _since, "months_since": _since, "in_words": _in_words}
