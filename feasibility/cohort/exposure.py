"""Long-term steroids and immunosuppressants, as clinical specification E2 and 9.11 define them.

Every number is evaluated twice, with the orders that surely count and with all that may (no stop date: until the index
date; no start: since long before; no indication: for another disease; no dose: any), and kept as bounds where the two
differ.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort.event_rows import Rows
from feasibility.cohort.orders import orders
from feasibility.cohort.units import snap

RECENT = 28
"""Days of "the last 28 days" and of long-term use; both ends counted."""
ANY_DOSE = 2000.0
LONGEST = 40_000
"""Days on a drug that an order of unknown start may have lasted: the declared range of the columns."""
COLUMNS = ("nonsteroid_is_days", "nonsteroid_is_days_ever", "steroid_days", "steroid_days_ever", "steroid_mg_day_mean",
           "steroid_mg_day_current", "steroid_mg_day_max", "steroid_mg_day_max_ever")  # fmt: skip


def build_exposure(rows: Rows) -> None:
    """Fill days on and doses of steroids, and days on other immunosuppressants, each by its own settings."""
    if not rows.has("medications") or not rows.wants(*COLUMNS):
        return
    everything = orders(rows)
    none = _nothing(rows)
    parts: dict[tuple, pd.DataFrame] = {}
    runs: dict[tuple, list] = {}

    def counted(name: str, kind: str) -> tuple[tuple, pd.DataFrame]:
        key = (kind, bool(rows.setting(name, "other_disease_only", True)),
               float(rows.setting(name, "physiologic_replacement_mg", 7.5)))  # fmt: skip
        if key not in parts:
            parts[key] = _relevant(everything, *key)
        return key, parts[key]

    def rails(name: str, kind: str) -> list:
        key, mine = counted(name, kind)
        gap = int(rows.setting(name, "bridge_gap_days", 7))
        if (*key, gap) not in runs:
            runs[*key, gap] = [_runs(rows, part, gap) for part in _rails(mine)]
        return runs[*key, gap]

    for kind, (days, ever) in (("other", COLUMNS[:2]), ("steroid", COLUMNS[2:4])):
        for name, which in ((days, "current"), (ever, "longest")):
            if name in rows.columns:
                _put(rows, name, *(r[which] for r in rails(name, kind)), none)
    doses: dict[tuple, list] = {}
    for name, which in (("steroid_mg_day_mean", "mean"), ("steroid_mg_day_current", "current"),
                        ("steroid_mg_day_max", "max")):  # fmt: skip
        if name in rows.columns:
            key, mine = counted(name, "steroid")
            if key not in doses:
                doses[key] = _doses(rows, mine)
            ends = [known[which] for known in doses[key]]
            # A mean may fall when an order without a dose is added: all three ways are tried.
            ends = [np.minimum.reduce(ends), np.maximum.reduce(ends)] if which == "mean" else [ends[0], ends[2]]
            _put(rows, name, *ends, none)
    name = "steroid_mg_day_max_ever"
    if name in rows.columns:
        ends = []
        for part, run, fill in zip(_rails(counted(name, "steroid")[1]), rails(name, "steroid"), (0.0, ANY_DOSE),
                                   strict=True):  # fmt: skip
            dose = np.nan_to_num(part["dose"].to_numpy(), nan=fill)
            ends.append(_highest_ever(rows, part, dose, run["runs"]))
        _put(rows, name, *ends, none)


def _nothing(rows: Rows) -> np.ndarray:
    """What a row without any order has: 0 if the patient was observed, unknown otherwise."""
    return np.where(rows.observed(), 0.0, np.nan)


def _relevant(everything: pd.DataFrame, kind: str, other_only: bool, floor: float) -> pd.DataFrame:
    mine = everything[everything["kind"] == kind]
    if other_only:
        mine = mine[mine["purpose"] != "own"]
    else:  # whatever it was given for
        mine = mine.assign(purpose="other")
    return mine[~(mine["replacement"] & (mine["dose"] <= floor))] if kind == "steroid" else mine


def _rails(mine: pd.DataFrame) -> list[pd.DataFrame]:
    """(orders that surely count, all that may) with their last day."""
    sure = mine[mine["sure"] & (mine["purpose"] == "other")]
    sure = sure.assign(begin=sure["begin_last"], end=sure["end"].fillna(sure["begin_last"]))
    # An order whose start nobody knows may have begun at any time: leaving it out would say that there was none.
    earliest = mine["at"] - pd.Timedelta(days=LONGEST - 1)
    may = mine.assign(begin=mine["begin"].fillna(earliest), end=mine["end"].fillna(mine["at"]))
    return [part[part["end"] >= part["begin"]] for part in (sure, may)]


def _runs(rows: Rows, part: pd.DataFrame, gap: int) -> dict[str, np.ndarray]:
    """Longest run of days per row, bridging gaps, and the longest of those that reach into the last 28 days."""
    result = {"current": np.zeros(rows.n), "longest": np.zeros(rows.n)}
    if not len(part):
        return result | {"runs": pd.DataFrame({"row": [], "begin": [], "end": [], "length": []})}
    part = part.sort_values(["row", "begin", "end"], kind="stable")
    reached = part.groupby("row")["end"].cummax().groupby(part["row"]).shift(1)
    new = reached.isna() | ((part["begin"] - reached).dt.days > gap + 1)
    runs = part.groupby(new.cumsum()).agg(
        row=("row", "first"), begin=("begin", "min"), end=("end", "max"), at=("at", "first")
    )
    runs["length"] = (runs["end"] - runs["begin"]).dt.days + 1
    recent = (runs["at"] - runs["end"]).dt.days <= RECENT
    for name, some in (("current", runs[recent]), ("longest", runs)):
        longest = some.groupby("row")["length"].max()
        result[name][longest.index.to_numpy().astype("int64")] = longest.to_numpy()
    return result | {"runs": runs}


def _put(rows: Rows, name: str, low, high, none) -> None:
    """Bounds; a row without orders has nothing, if it was observed."""
    nothing = (low == 0) & (high == 0)
    low, high = np.where(nothing, none, np.minimum(low, high)), np.where(nothing, none, np.maximum(low, high))
    rows.put(name, low, high)


def _doses(rows: Rows, mine: pd.DataFrame) -> list[dict[str, np.ndarray]]:
    """Doses of the orders that surely count; of all that may, without and with the doses that are not known."""
    sure, may = _rails(mine)
    return [_daily(rows, part, np.nan_to_num(part["dose"].to_numpy(), nan=fill))
            for part, fill in ((sure, 0.0), (may, 0.0), (may, ANY_DOSE))]  # fmt: skip


def _daily(rows: Rows, part: pd.DataFrame, dose: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over the days with a steroid, highest and last of the daily sums of the 29 days up to the index date."""
    result = {k: np.zeros(rows.n) for k in ("mean", "max", "current")}
    if not len(part):
        return result
    first = np.clip((part["at"] - part["begin"]).dt.days.to_numpy(), None, RECENT)
    last = (part["at"] - part["end"]).dt.days.to_numpy()
    inside = (last <= RECENT) & (first >= last)
    first, last, dose, row = first[inside], last[inside], dose[inside], part["row"].to_numpy()[inside]
    which, place = np.unique(row, return_inverse=True)
    count = (first - last + 1).astype("int64")
    # One cell per patient and day: day 0 is the index date.
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    cell = np.repeat(place, count) * (RECENT + 1) + np.repeat(last, count).astype("int64") + step
    size = len(which) * (RECENT + 1)
    total = np.bincount(cell, np.repeat(dose, count), minlength=size).reshape(-1, RECENT + 1)
    exposed = np.bincount(cell, minlength=size).reshape(-1, RECENT + 1) > 0
    result["mean"][which] = np.minimum(snap(total.sum(axis=1) / np.maximum(exposed.sum(axis=1), 1)), ANY_DOSE)
    result["max"][which] = np.minimum(snap(total.max(axis=1)), ANY_DOSE)
    result["current"][which] = np.minimum(snap(total[:, 0]), ANY_DOSE)
    return result


def _highest_ever(rows: Rows, part: pd.DataFrame, dose: np.ndarray, runs: pd.DataFrame) -> np.ndarray:
    """Highest daily sum within any run of at least 28 days."""
    result = np.zeros(rows.n)
    long = runs[runs["length"] >= RECENT]
    if not len(part) or not len(long):
        return result
    part = part.assign(dose=dose).merge(
        long[["row", "begin", "end"]].rename(columns={"begin": "from", "end": "to"}), on="row"
    )
    part = part[(part["begin"] >= part["from"]) & (part["end"] <= part["to"])]
    day = pd.Timedelta(days=1)
    steps = pd.concat([part[["row", "begin", "dose"]].rename(columns={"begin": "day"}),
                       part.assign(day=part["end"] + day, dose=-part["dose"])[["row", "day", "dose"]]])  # fmt: skip
    steps = steps.groupby(["row", "day"])["dose"].sum().reset_index()
    steps["level"] = steps.groupby("row")["dose"].cumsum()
    highest = steps.groupby("row")["level"].max()
    result[highest.index.to_numpy().astype("int64")] = np.minimum(snap(highest.to_numpy()), ANY_DOSE)
    return result
