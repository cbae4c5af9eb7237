"""Things that happen or do not: diagnoses, procedures, transfusions and allergies, as "ever" or "time since the last".

No record means "no" or "never" only for a patient who was observed in the 12 months before the index date. An event
without a date, of an imprecise date around the index date, or only suspected, leaves the answer open.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort import windows
from feasibility.cohort.event_rows import CONFLICTING, DATE_IMPRECISE, DATE_MISSING, Rows, folded
from feasibility.cohort.parse import MISSING

RULED_OUT = ("refuted", "entered-in-error", "entered_in_error", "ruled_out", "excluded", "family_history", "排除",
             "除外",
             "已排除", "否认", "家族史")  # fmt: skip
SUSPECTED = ("suspected", "provisional", "differential", "unconfirmed", "possible", "probable", "疑似", "待查",
             "可疑", "可能",
             "待排")  # fmt: skip
EVER = {
    "gilbert": ("diagnoses",), "heart_failure": ("diagnoses",), "aids_history": ("diagnoses",),
    "nonischemic_cardiomyopathy": ("diagnoses",),
}  # fmt: skip
SINCE = {
    "months_since_hepatitis_a": ("diagnoses",), "months_since_mi": ("diagnoses",),
    "months_since_cabg": ("procedures", "diagnoses"), "months_since_ventricular_arrhythmia": ("diagnoses",),
    "months_since_unexplained_syncope": ("diagnoses",),
    "days_since_rbc_transfusion": ("transfusions", "procedures"),
    "days_since_platelet_transfusion": ("transfusions", "procedures"),
}  # fmt: skip
"""Columns and the tables their events are in; without the first of these tables nothing is known."""
LISTS = {"days_since_rbc_transfusion": "rbc_transfusion", "days_since_platelet_transfusion": "platelet_transfusion"}
OTHER_BLOOD_CANCER = ("C81", "C82", "C83", "C84", "C85", "C86", "C88", "C90", "C91", "C92", "C93", "C94", "C95", "C96",
                      "D45", "D46", "D47")  # fmt: skip


def build_once(rows: Rows) -> None:
    """Fill the columns of this module from diagnoses, procedures, transfusions and allergies."""
    items = {n: tables for n, tables in (EVER | SINCE).items() if n in rows.columns}
    found = {name: [] for name in items}
    for table in ("diagnoses", "procedures", "transfusions"):
        mine = {n: _lists(rows, n) for n, tables in items.items() if table in tables}
        events = dated_events(rows, table, mine)
        if events is not None:
            for name in mine:
                found[name].append(_meant(rows, name, events[events["item"] == name]))
    for name, tables in items.items():
        if rows.has(tables[0]):
            events = pd.concat(found[name]) if found[name] else no_events()
            (_since if name in SINCE else _ever)(rows, name, events)
    _subtype(rows)
    _severe_cardiomyopathy(rows)


def _lists(rows: Rows, name: str) -> list[str]:
    lists = [LISTS.get(name) or rows.columns[name].codelist]
    return (
        [*lists, "acute_mi_type2"] if name == "months_since_mi" and rows.setting(name, "include_type2", True) else lists
    )


def no_events() -> pd.DataFrame:
    return pd.DataFrame({"row": np.zeros(0, "int64"), "first": np.zeros(0, "datetime64[s]"),
                         "last": np.zeros(0, "datetime64[s]"), "surely": np.zeros(0, bool), "open": np.zeros(0,
                                                                                                             "uint8"),
                         "text": np.zeros(0, object), "item": np.zeros(0, object)})  # fmt: skip


def dated_events(rows: Rows, table: str, items: dict[str, list[str]]) -> pd.DataFrame | None:
    """The coded events of a table: row, item, first and last day, and ``open``: 0 for sure, or why it is not."""
    if not rows.has(table) or not items:
        return None
    date = "dx_date" if table == "diagnoses" else "date"
    source = rows.matched(table, items, ("product",) if table == "transfusions" else ())
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


def _meant(rows: Rows, name: str, events: pd.DataFrame) -> pd.DataFrame:
    """Those events that mean what the column asks, by their text."""
    if name not in ("months_since_unexplained_syncope", "months_since_ventricular_arrhythmia"):
        return events
    text = folded(events["text"])
    if name == "months_since_unexplained_syncope":
        blank = text.isin(["", "syncope", "syncope_and_collapse", "晕厥"])
        unexplained = text.str.contains("unexplained|unknown|不明|unclear")
        events = events.assign(open=np.where(blank & (events["open"] == 0), CONFLICTING, events["open"]))
        return events[blank | unexplained]
    if rows.setting(name, "count_pvc_and_nsvt", False):
        return events
    return events[~text.str.contains("non-?_?sustained|nsvt|非持续|pvc|室性早搏")]


def _ever(rows: Rows, name: str, events: pd.DataFrame) -> None:
    yes, maybe, status = ever(rows, events)
    rows.put_plain(name, yes, ~yes & (maybe | ~rows.observed()), status)


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


def _since(rows: Rows, name: str, events: pd.DataFrame) -> None:
    count = windows.days_since if name.startswith("days_") else windows.months_since
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
    low[unplaced] = 0.0
    never = ~yes & ~maybe & rows.observed()
    low[never] = high[never] = np.inf
    unknown = ~yes & ~never
    rows.put(name, np.where(unknown, np.nan, low), np.where(unknown, np.nan, high), status)


def latest(rows: Rows, events: pd.DataFrame, end: str) -> np.ndarray:
    """Per row, the latest first (or last) day of its events; NaT for none."""
    result = np.full(rows.n, np.datetime64("NaT"), dtype="datetime64[D]")
    if len(events):
        days = events.groupby("row")[end].max()
        result[days.index.to_numpy().astype("int64")] = days.to_numpy().astype("datetime64[D]")
    return result


def _subtype(rows: Rows) -> None:
    """APL decides over MPAL over AML; another blood cancer alone is "other"."""
    if "aml_subtype" not in rows.columns or not rows.has("diagnoses"):
        return
    kinds = {"apl": ["apl"], "mpal": ["mpal"], "aml_non_apl": ["aml"]}
    events = dated_events(rows, "diagnoses", kinds)
    result = np.full(rows.n, None, dtype=object)
    status = np.full(rows.n, MISSING, dtype="uint8")
    result[_other_cancer(rows)] = "other"
    if events is not None:
        for kind in ("aml_non_apl", "mpal", "apl"):
            yes, maybe, why = ever(rows, events[events["item"] == kind])
            # A possible APL beside a sure AML leaves the subtype open.
            open_ = maybe & ~yes
            result[open_], status[open_] = None, why[open_]
            result[yes] = kind
    rows.put_plain("aml_subtype", result, pd.isna(result), status)


def _other_cancer(rows: Rows) -> np.ndarray:
    table = rows.extract.tables["diagnoses"]
    head = table.code.upper()
    mine = table.filter((table.system == "icd10") & head.left(3).isin(OTHER_BLOOD_CANCER))
    events = rows.fetch(mine.select("pid", "row_id", "dx_date", "dx_date_last"), "dx_date")
    result = np.zeros(rows.n, dtype=bool)
    result[events.loc[events["surely"], "row"].to_numpy().astype("int64")] = True
    return result


def _severe_cardiomyopathy(rows: Rows) -> None:
    name = "nonischemic_cardiomyopathy_severe"
    if name not in rows.columns or not rows.has("diagnoses"):
        return
    events = dated_events(rows, "diagnoses", {name: ["nonischemic_cardiomyopathy"]})
    yes, no = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
    if events is not None:
        events = events[events["open"] == 0]
        text = folded(events["text"])
        at = events["row"].to_numpy().astype("int64")
        severe = text.str.contains("severe|重度|严重|schwer").to_numpy(dtype=bool)
        not_severe = text.str.contains("mild|moderate|轻度|中度|leicht|not_severe|non-severe").to_numpy(dtype=bool)
        yes[at[severe & ~not_severe]] = True
        no[at[not_severe]] = True
    rows.put_plain(name, yes, ~yes & ~no)
