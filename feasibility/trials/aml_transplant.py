"""Stem cell transplants, the last immunosuppressant after them, and graft-versus-host disease (E7 and 9.13)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort.event_rows import STALE, Rows, each
from feasibility.cohort.once import dated_events, ever
from feasibility.cohort.orders import orders
from feasibility.cohort.parse import MISSING
from feasibility.cohort.words import fold

ALLOGENEIC = ("allo", "异基因", "haplo", "半相合", "cord", "脐血", "mud", "msd", "unrelated", "sibling")
AUTOLOGOUS = ("auto", "自体")
_GRADES = {"0": 0, "none": 0, "no": 0, "无": 0, "i": 1, "1": 1, "ii": 2, "2": 2, "iii": 3, "3": 3, "iv": 4, "4": 4}
_CHRONIC = {"none": 0, "no": 0, "0": 0, "无": 0, "mild": 1, "轻": 1, "轻度": 1, "limited": 1, "局限": 1,
            "moderate": 2, "mod": 2,
            "中": 2, "中度": 2, "severe": 3, "重": 3, "重度": 3, "extensive": 3, "广泛": 3}  # fmt: skip
_STATUS = {"active": 1.0, "活动": 1.0, "yes": 1.0, "resolved": 0.0, "none": 0.0, "no": 0.0, "inactive": 0.0, "无": 0.0,
           "缓解": 0.0, "已缓解": 0.0}  # fmt: skip


def build_transplant(rows: Rows) -> None:
    """Fill hsct, its type, the last immunosuppressant and graft-versus-host disease."""
    if not (rows.has("transplants") or rows.has("procedures")) or not rows.wants("hsct"):
        return
    table = rows.events("transplants", "date", undated=True)
    yes, maybe, status = (
        np.zeros(rows.n, dtype=bool),
        np.zeros(rows.n, dtype=bool),
        np.full(rows.n, MISSING, dtype="uint8"),
    )
    kinds = np.full(rows.n, None, dtype=object)
    for name in ("procedures", "diagnoses"):
        events = dated_events(rows, name, {"hsct": ["hsct"], "allo": ["hsct_allogeneic"], "auto": ["hsct_autologous"]})
        if events is not None:
            sure, open_, why = ever(rows, events)
            yes, maybe, status = yes | sure, maybe | open_, np.where(open_, why, status)
            for item, kind in (("auto", "autologous"), ("allo", "allogeneic")):
                known = ever(rows, events[events["item"] == item])[0]
                kinds[known] = kind
    if table is None:
        unknown = ~yes & (maybe | ~rows.observed())
        rows.put_plain("hsct", yes, unknown, status)
        rows.put_plain("hsct_type", kinds, pd.isna(kinds))
        return
    sure = table[table["surely"]].reset_index(drop=True)
    at = sure["row"].to_numpy().astype("int64")
    yes[at] = True
    open_ = table.loc[~table["surely"], "row"].to_numpy().astype("int64")
    maybe[open_] = True
    rows.put_plain("hsct", yes, ~yes & (maybe | ~rows.observed()), status)
    kind = each(sure["type"], _kind)
    kinds[at[(kind == "autologous").to_numpy()]] = "autologous"
    unnamed = at[kind.isna().to_numpy()]
    kinds[unnamed] = None
    kinds[at[(kind == "allogeneic").to_numpy()]] = "allogeneic"
    rows.put_plain("hsct_type", kinds, pd.isna(kinds))
    _last_immunosuppressant(rows, sure, yes, kinds)
    _gvhd(rows, sure)


def _kind(text):
    word = fold(text) if isinstance(text, str) else ""
    if any(part in word for part in AUTOLOGOUS):
        return "autologous"
    return "allogeneic" if any(part in word for part in ALLOGENEIC) else None


def _last_immunosuppressant(rows: Rows, table: pd.DataFrame, hsct: np.ndarray, kinds: np.ndarray) -> None:
    """Days since the last day with an immunosuppressant: as recorded with the transplant, or a later order."""
    if "days_since_immunosuppressant" not in rows.columns:
        return
    at = table["row"].to_numpy().astype("int64")
    index = rows.index[at]
    ongoing = np.array([v is True for v in table["is_ongoing"]], dtype=bool)
    ends = [table[c].to_numpy().astype("datetime64[D]") for c in ("is_stop_date", "is_stop_date_last")]
    blank = np.isnat(ends[0]) & ~ongoing
    low, high = np.full(rows.n, np.inf), np.full(rows.n, np.inf)
    for rail, end in ((high, ends[0]), (low, ends[1])):
        days = (index - np.minimum(end, index)).astype("float64")
        days = np.where(ongoing, 0.0, np.where(np.isnat(end), np.inf, days))
        np.minimum.at(rail, at, days)
    blanks = np.zeros(rows.n, dtype=bool)
    autologous = (each(table["type"], _kind) == "autologous").to_numpy()
    blanks[at[blank & ~autologous]] = True
    drugs = orders(rows)
    ordered = np.zeros(rows.n, dtype=bool)
    if drugs is not None and len(drugs):
        floor = float(rows.setting("days_since_immunosuppressant", "steroid_floor_mg", 7.5))
        enough = np.where(drugs["kind"] == "other", 1.0, np.where(drugs["dose"].isna(), np.nan, drugs["dose"] > floor))
        row = drugs["row"].to_numpy().astype("int64")
        ended = drugs["end"].notna()
        last = (drugs["at"] - drugs["end"].fillna(drugs["begin"])).dt.days.to_numpy().astype("float64")
        sure = (enough == 1) & drugs["sure"].to_numpy() & ended.to_numpy()
        np.minimum.at(high, row[sure], last[sure])
        np.minimum.at(low, row[sure], last[sure])
        ordered[row[sure]] = True
        # Not known to have ended: any day from its start to the index date may be the last.
        open_ = (enough != 0) & ~sure
        np.minimum.at(low, row[open_], np.where(ended, last, 0.0)[open_])
        begun = open_ & (enough == 1) & drugs["sure"].to_numpy()
        np.minimum.at(high, row[begun], last[begun])
        ordered[row[begun]] = True
    without = blanks & ~ordered
    low[without] = 0.0
    never = np.isinf(low) & np.isinf(high) & (kinds == "autologous") & rows.has("medications") & rows.observed()
    unknown = ~hsct | (np.isinf(high) & ~never)
    rows.put("days_since_immunosuppressant", np.where(unknown, np.nan, low), np.where(unknown, np.nan, high))


def _grade(text, table: dict) -> float:
    word = fold(text) if isinstance(text, str) else ""
    for part in ("grade_", "grade", "级", "度", "°"):
        if word not in table:
            word = word.replace(part, "")
    return float(table.get(word, np.nan))


def _gvhd(rows: Rows, table: pd.DataFrame) -> None:
    """Any transplant with active disease decides; none if all were assessed without; its age is that assessment's."""
    at = table["row"].to_numpy().astype("int64")
    status = table["gvhd_status"].map(lambda t: _STATUS.get(fold(t), np.nan) if isinstance(t, str) else np.nan)
    status = status.to_numpy(dtype="float64").copy()
    days = [(rows.index[at] - table[c].to_numpy().astype("datetime64[D]")) for c in ("gvhd_date_last", "gvhd_date")]
    days = [np.where(np.isnat(d), np.nan, d.astype("float64")) for d in days]
    # An assessment after the index date is not read.
    later = days[1] < 0
    partly = (days[0] < 0) & ~later
    status[later | partly] = np.nan
    acute = table["agvhd_max"].map(lambda t: _grade(t, _GRADES)).to_numpy(dtype="float64")
    chronic = table["cgvhd"].map(lambda t: _grade(t, _CHRONIC)).to_numpy(dtype="float64")
    grades = np.where(later | partly, np.nan, acute), np.where(later | partly, np.nan, chronic)
    significant = _either(grades[0] >= 2, grades[1] >= 2, np.isnan(grades[0]), np.isnan(grades[1]))
    ever_ = _either((grades[0] >= 1) | (status == 1), grades[1] >= 1, np.isnan(grades[0]), np.isnan(grades[1]))
    active = _any(rows.n, at, status)
    rows_days = []
    for d in days:
        decides = np.where(status == active[at], d, np.nan)
        one = np.full(rows.n, np.inf)
        np.minimum.at(one, at[~np.isnan(decides)], decides[~np.isnan(decides)])
        rows_days.append(np.where(np.isinf(one), np.nan, one))
    stale = rows_days[0] > rows.setting("gvhd_active", "window_days", 180)
    unknown = np.isnan(active) | stale
    why = np.where(stale, STALE, MISSING)
    rows.put_plain("gvhd_active", active == 1, unknown, why)
    rows.put("days_since_gvhd_active", *(np.where(unknown, np.nan, d) for d in rows_days), why)
    both = np.where(status == 1, significant, status)
    for name, values in (("gvhd_significant", _any(rows.n, at, both)), ("gvhd_ever", _any(rows.n, at, ever_))):
        rows.put_plain(name, values == 1, np.isnan(values))


def _either(a, b, a_unknown, b_unknown) -> np.ndarray:
    """Three-valued OR as 1, 0, NaN."""
    yes = a | b
    return np.where(yes, 1.0, np.where(a_unknown | b_unknown, np.nan, 0.0))


def _any(n: int, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Three-valued OR over the events of each row; NaN for a row without any."""
    result = np.full(n, np.nan)
    result[at[values == 0]] = 0.0
    result[at[np.isnan(values)]] = np.nan
    result[at[values == 1]] = 1.0
    return result
