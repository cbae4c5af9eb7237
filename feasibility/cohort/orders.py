"""Orders of steroids and other immunosuppressants: which drug, from when to when, how much a day, and for what."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from feasibility.cohort import codelists
from feasibility.cohort.event_rows import Rows, folded
from feasibility.cohort.once import no_events

GIVEN = ("administered", "given", "completed", "已执行", "执行", "verabreicht", "in-progress")
CANCELLED = (
    "cancelled",
    "canceled",
    "entered-in-error",
    "entered_in_error",
    "not-done",
    "draft",
    "已取消",
    "作废",
    "撤销",
)
NOT_SYSTEMIC = ("topical", "inhal", "ophthalm", "eye", "nasal", "otic", "skin", "cream", "ointment", "intra-articular",
                "intraarticular", "intravitreal", "intrathecal", "rectal_foam", "外用", "吸入", "滴眼", "鼻",
                "关节腔", "雾化", "皮肤",
                "鞘内")  # fmt: skip
PER_DAY = {
    "qd": 1, "od": 1, "daily": 1, "once_daily": 1, "q24h": 1, "qn": 1, "qam": 1, "qpm": 1, "1/d": 1, "每日一次": 1,
    "bid": 2,
    "q12h": 2, "twice_daily": 2, "每日两次": 2, "tid": 3, "q8h": 3, "每日三次": 3, "qid": 4, "q6h": 4, "q4h": 6,
    "qod": 0.5,
    "q48h": 0.5, "eod": 0.5, "隔日": 0.5, "隔日一次": 0.5, "biw": 2 / 7, "tiw": 3 / 7, "qw": 1 / 7, "weekly": 1 / 7,
    "每周一次": 1 / 7, "once": 1, "st": 1, "stat": 1,
}  # fmt: skip
TO_MG = {"mg": 1.0, "": 1.0, "g": 1000.0, "ug": 0.001, "µg": 0.001, "mcg": 0.001, "毫克": 1.0, "克": 1000.0}
REPLACEMENT = re.compile(r"replacement|adrenal_insuff|addison|替代|肾上腺皮质功能")
_ORGAN = ("kidney|renal|nieren?|liver|hepatic|leber|lungs?|lungen|pulmonary|heart|cardiac|herz|cornea[ls]?|corneal|"
          "hornhaut|pancreas|pancreatic|islets?|solid|organ|bowel|intestin(?:e|al)|"
          "[肾肝肺心]脏?|角膜|胰腺?|器官")  # fmt: skip
ORGAN_TRANSPLANT = re.compile(
    rf"(?<![a-z])(?:{_ORGAN})(?:[_\-/,]|and|und|allo|graft|(?:{_ORGAN}))*(?:transplant[a-z]*|移植)"
    rf"|transplant(?:ation|ed)?_(?:of_)?(?:the_|a_)?(?:{_ORGAN})(?![a-z])|transplantierten?_(?:{_ORGAN})"
)
"""The transplantation of an organ, on folded text: another disease even where stem cells are the table's own."""
NO_DAY = np.datetime64("NaT", "D")


def orders(rows: Rows) -> pd.DataFrame | None:
    """One line per order: row, kind (steroid or other), drug, begin, end (NaT: not known), dose a day, purpose.

    ``dose`` is in mg of prednisone a day (NaN: not known); ``purpose`` is "other" disease, "own" (the table's
    ``own_words``: the disease under study and its treatment) or "" if not recorded or both. Orders that began after
    the index date are not read; an end after it is cut there.
    """
    source = rows.matched("medications", {"steroid": ["steroids"], "other": ["immunosuppressants"]}, ("generic",))
    if source is None:
        return _none() if rows.has("medications") else None
    keep = ["pid", "row_id", "fact_id", "item", "start", "start_last", "stop", "stop_last", "system", "code",
            "generic", "dose",
            "unit", "freq", "route", "prn", "indication", "status"]  # fmt: skip
    events = rows.fetch(source.select(*keep), "start", undated=True)
    rows.note("medications", "set_aside", "an order without a known start", int((~events["surely"]).sum()))
    events["drug"], events["factor"] = _drugs(events)
    events = events.drop_duplicates(["row", "fact_id", "item"])
    words = {c: folded(events[c]) for c in
             ("route", "freq", "status", "unit", "indication")}  # fmt: skip
    local = words["route"].str.contains("|".join(NOT_SYSTEMIC))
    gone = words["status"].isin(CANCELLED)
    given = words["status"].isin(GIVEN)
    replaced = ~given & given.groupby([events["row"], events["drug"]]).transform("any")
    frame = pd.DataFrame({"row": events["row"].astype("int64"), "kind": events["item"], "drug": events["drug"]})
    frame["sure"] = events["surely"].to_numpy()
    frame["begin"] = events["first"].to_numpy().astype("datetime64[D]").astype("datetime64[s]")
    frame["begin_last"] = events["last"].to_numpy().astype("datetime64[D]").astype("datetime64[s]")
    at = rows.index[frame["row"].to_numpy()].astype("datetime64[s]")
    frame["at"] = at
    stop = events["stop_last"].to_numpy().astype("datetime64[s]")
    frame["end"] = np.where(stop > at, at, stop)
    per_day = words["freq"].map(PER_DAY).to_numpy(dtype="float64")
    per_day = np.where(np.isnan(per_day) & given.to_numpy() & (words["freq"] == "").to_numpy(), 1.0, per_day)
    dose = events["dose"].to_numpy(dtype="float64") * words["unit"].map(TO_MG).to_numpy(dtype="float64") * per_day
    needed = np.array([v is True for v in events["prn"]], dtype=bool)
    frame["dose"] = np.where(needed, np.nan, dose * events["factor"].to_numpy(dtype="float64"))
    organ = words["indication"].str.contains(ORGAN_TRANSPLANT)
    rest = words["indication"].str.replace(ORGAN_TRANSPLANT, "", regex=True)
    own = rest.str.contains("|".join(map(re.escape, rows.columns.own_words)) or "(?!)")
    # Of an indication that names an organ transplant and the own disease, either may be the reason.
    open_ = (words["indication"] == "") | (organ & own)
    frame["purpose"] = np.where(open_, "", np.where(own, "own", "other"))
    frame["replacement"] = words["indication"].str.contains(REPLACEMENT).to_numpy()
    return frame[(~(local | gone | replaced)).to_numpy()].reset_index(drop=True)


def orders_of(rows: Rows, codelist: str, route: str = "", ongoing: bool = False) -> pd.DataFrame:
    """Orders of the drugs of a list that surely began: not cancelled, by the route, going on at the index date."""
    source = rows.matched("medications", {"drug": [codelist]}, ("generic",))
    if source is None:
        return no_events()
    events = rows.fetch(source.select("pid", "row_id", "start", "start_last", "stop", "route", "status"), "start")
    keep = events["surely"].to_numpy() & ~folded(events["status"]).isin(CANCELLED).to_numpy()
    if route:
        keep &= folded(events["route"]).str.contains(route).to_numpy(dtype=bool)
    if ongoing:
        keep &= events["stop"].to_numpy().astype("datetime64[D]") >= rows.index[events["row"].to_numpy("int64")]
    return events[keep]


def _none() -> pd.DataFrame:
    days = np.zeros(0, "datetime64[s]")
    return pd.DataFrame({"row": np.zeros(0, "int64"), "kind": [], "drug": [], "sure": np.zeros(0, bool), "begin": days,
                         "begin_last": days, "at": days, "end": days, "dose": np.zeros(0), "purpose": [],
                         "replacement": np.zeros(0, bool)})  # fmt: skip


def _drugs(events: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """(one name per drug whatever its coding, milligrams of prednisone per milligram)."""
    table = codelists.steroid_equivalents()
    known = {
        (s, codelists.normal(s, c)): (drug, factor)
        for drug, factor, s, c in zip(table["drug"], table["factor"], table["system"], table["code"], strict=True)
    }
    terms = codelists.load("immunosuppressants")
    for system, code, term in zip(terms["system"], terms["code"], terms["term"], strict=True):
        known.setdefault((system, codelists.normal(system, code)), (term, np.nan))
    found = {}
    keys = list(zip(events["system"], events["code"], events["generic"], strict=True))
    for system, code, generic in set(keys):
        hit = known.get((system, codelists.normal(system, code))) if system and code else None
        if hit is None and generic:
            hit = known.get(("local", codelists.normal("local", generic)))
        found[system, code, generic] = hit or (generic or code, np.nan)
    return (pd.Series([found[k][0] for k in keys], index=events.index, dtype=object),
            pd.Series([found[k][1] for k in keys], index=events.index, dtype="float64"))  # fmt: skip
