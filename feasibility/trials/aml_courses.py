"""Treatment courses before the index date, counted by phase and intensity (clinical specification, I1 and 9.5)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort.event_rows import Rows, each, folded
from feasibility.cohort.words import fold

INTENSIVE = ("intensive", "强化", "标准", "standard")
VEN_HMA = ("ven_hma", "ven+hma", "ven-hma", "venhma", "ven/hma", "venetoclax+hma", "venetoclax_hma")
LOW = ("low", "low_intensity", "低强度", "hma", "ldac", "supportive", "palliative", "reduced")
PHASES = {"诱导": "induction", "巩固": "consolidation", "挽救": "salvage", "再诱导": "salvage", "维持": "maintenance",
          "reinduction": "salvage", "re-induction": "salvage", "intensification": "consolidation"}  # fmt: skip


def phase_of(text) -> str:
    """The phase of treatment a text names."""
    word = fold(text) if isinstance(text, str) else ""
    return PHASES.get(word, word)


def read_courses(rows: Rows) -> pd.DataFrame | None:
    """Courses that began on or before the index date; ``sure`` is False where that is not known."""
    events = rows.events("courses", "start", undated=True)
    if events is None:
        return None
    events["phase"] = each(events["phase"], phase_of, "")
    at = rows.index[events["row"].to_numpy().astype("int64")]
    ended = events["stop_last"].to_numpy().astype("datetime64[D]") <= at
    later = events["stop"].to_numpy().astype("datetime64[D]") > at
    events["sure"] = events["surely"] | ended
    undated = events["first"].isna()
    # Without a start, a stop after the index date says nothing about the start; it is not read.
    events["later"] = undated & later
    word = folded(events["intensity"])
    events["intensive"] = np.select([word.isin(INTENSIVE), word.isin([*VEN_HMA, *LOW])], [1.0, 0.0], np.nan)
    events["effective"] = np.select([word.isin([*INTENSIVE, *VEN_HMA]), word.isin(LOW)], [1.0, 0.0], np.nan)
    events["any"] = 1.0
    named = events[events["course_no"].notna()] if len(events) else events
    twice = named.duplicated(["row", "course_no", "phase", "start"], keep="first")
    return events.drop(named.index[twice])


def count_courses(rows: Rows, courses: pd.DataFrame, relapses: pd.DataFrame, assessed: bool) -> None:
    known = np.zeros(rows.n, dtype=bool)
    known[courses["row"].to_numpy().astype("int64")] = True

    def put(name, sure, maybe):
        low = np.bincount(courses.loc[sure, "row"].to_numpy().astype("int64"), minlength=rows.n).astype("float64")
        high = np.bincount(courses.loc[sure | maybe, "row"].to_numpy().astype("int64"), minlength=rows.n).astype(
            "float64"
        )
        rows.put(name, np.where(known, low, np.nan), np.where(known, high, np.nan))

    induction = courses["phase"] == "induction"
    unnamed = courses["phase"] == ""
    for name, kind in (("n_induction_courses", "effective"), ("n_induction_courses_intensive", "intensive"),
                       ("n_induction_courses_any", "any")):  # fmt: skip
        fits, open_ = courses[kind] == 1, courses[kind].isna()
        put(name, induction & fits & courses["sure"], (induction | unnamed) & (fits | open_))
    put("n_prior_courses", courses["sure"], courses["sure"] | True)
    relapse = last_relapse(rows, relapses)
    row = courses["row"].to_numpy().astype("int64")
    has, first, last = (relapse[k][row] for k in ("has", "first", "last"))
    none = relapse["none"][row] if assessed else np.zeros(len(row), dtype=bool)
    begin, begun = (courses[c].to_numpy().astype("datetime64[D]") for c in ("first", "last"))
    before, maybe_before = begun < first, ~(begin >= last)
    after, maybe_after = begin >= last, ~(begun < first)
    sure = courses["sure"].to_numpy()
    consolidation = (courses["phase"] == "consolidation").to_numpy()
    salvage = (courses["phase"] == "salvage").to_numpy()
    put("n_consolidation_courses", pd.Series(consolidation & sure & (none | has & before), index=courses.index),
        pd.Series(consolidation & (none | ~has | maybe_before), index=courses.index))  # fmt: skip
    put("n_salvage_courses", pd.Series(salvage & sure & has & after, index=courses.index),
        pd.Series(salvage & ~none & (~has | maybe_after), index=courses.index))  # fmt: skip


def last_relapse(rows: Rows, relapses: pd.DataFrame) -> dict[str, np.ndarray]:
    """Per row: is there a relapse, is there surely none, and the days of the last one (NaT if not known)."""
    nat = np.full(rows.n, np.datetime64("NaT"), dtype="datetime64[D]")
    result = {
        "has": np.zeros(rows.n, dtype=bool),
        "none": np.zeros(rows.n, dtype=bool),
        "first": nat,
        "last": nat.copy(),
    }
    if "n_relapses" in rows.built:
        result["none"] = rows.built["n_relapses"].hi == 0
    if len(relapses):
        final = relapses.groupby("row").tail(1)
        at = final["row"].to_numpy().astype("int64")
        result["has"][at] = True
        for end in ("first", "last"):
            result[end][at] = final[end].to_numpy().astype("datetime64[D]")
        if "n_relapses" in rows.built:  # a relapse that cannot be placed may be the last
            count = rows.built["n_relapses"]
            result["has"] &= count.lo == count.hi
            result["first"][~result["has"]] = result["last"][~result["has"]] = np.datetime64("NaT")
    return result
