"""Performance status, NYHA class and ejection fraction: the latest assessment of each."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.cohort import windows
from feasibility.cohort.event_rows import DATE_IMPRECISE, DATE_MISSING, OUT_OF_RANGE, STALE, Rows, folded
from feasibility.cohort.once import dated_events
from feasibility.cohort.orders import orders_of
from feasibility.cohort.parse import KNOWN, MISSING, parse_numbers
from feasibility.cohort.settle import Unit, settle_numbers

KPS = {100: 0, 90: 1, 80: 1, 70: 2, 60: 2, 50: 3, 40: 3, 30: 4, 20: 4, 10: 4}
"""Karnofsky to ECOG; clinical specification, I3."""
LONG_AGO = 100 * 366
CARRIED = 182
"""Days that a normal ejection fraction is carried forward at most: 26 weeks; clinical specification, E3e."""
CARRIED_FROM = 50.0


def build_function(rows: Rows) -> None:
    """Fill performance status, NYHA class and ejection fractions."""
    _performance(rows)
    _echo(rows)


def pick(rows: Rows, events: pd.DataFrame, good: np.ndarray, worse: np.ndarray, window: int):
    """(index of the chosen event of each row or -1, its days since at least and at most, why there is none).

    The latest good event whose whole date lies in the window; of one day the worse one, then the last row.
    """
    at = events["row"].to_numpy().astype("int64")
    status = np.full(rows.n, MISSING, dtype="uint8")
    status[at[events["first"].isna().to_numpy()]] = DATE_MISSING
    status[at[(events["first"].notna() & ~events["surely"]).to_numpy()]] = DATE_IMPRECISE
    use = good & events["surely"].to_numpy()
    place = np.flatnonzero(use)
    at = at[place]
    low = (rows.index[at] - events["last"].to_numpy()[place].astype("datetime64[D]")).astype("float64")
    high = (rows.index[at] - events["first"].to_numpy()[place].astype("datetime64[D]")).astype("float64")
    status[at[low > window]] = STALE
    inside = low <= window
    place, at, low, high = place[inside], at[inside], low[inside], high[inside]
    order = np.lexsort((events["row_id"].to_numpy()[place], worse[place], -low, at))
    place, at, low, high = place[order], at[order], low[order], high[order]
    final = np.r_[at[1:] != at[:-1], True] if len(at) else np.zeros(0, dtype=bool)
    chosen, least, most = np.full(rows.n, -1), np.full(rows.n, np.nan), np.full(rows.n, np.nan)
    chosen[at[final]], least[at[final]], most[at[final]] = place[final], low[final], high[final]
    return chosen, least, most, status


def _dated(rows: Rows, name: str, chosen, values, least, most, status) -> None:
    """A column and its age, from the chosen events."""
    column = rows.columns[name]
    some = chosen >= 0
    if column.dtype == "boolean":
        rows.put_plain(
            name, np.where(some, values[chosen] if len(values) else False, False).astype(bool), ~some, status
        )
    else:
        rows.put(name, np.where(some, values[chosen] if len(values) else np.nan, np.nan), None, status)
    if column.companion:
        rows.put(column.companion, least, most, status)


def _performance(rows: Rows) -> None:
    if not rows.has("performance") or not rows.wants("ecog", "nyha_class", "nyha_class_worst"):
        return
    events = rows.events("performance", "date", undated=True)
    scale = folded(events["scale"]).to_numpy(dtype=object)
    if "ecog" in rows.columns:
        kps = np.isin(scale, ["kps", "karnofsky", "卡氏"])
        mine = np.isin(scale, ["ecog", "who", "zubrod", "ps", ""]) | (
            kps & bool(rows.setting("ecog", "from_kps", True))
        )
        values = _scores(rows, "ecog", events["score"], mine & ~kps)
        number = _plain_numbers(events["score"])
        mapped = np.array([KPS.get(v, np.nan) for v in number])
        values = np.where(kps & mine, mapped, values)
        wrong = mine & np.isnan(values)
        rows.note("ecog", "quarantined", "no score of 0 to 4", int(wrong.sum()))
        chosen = pick(rows, events, ~np.isnan(values), values, int(rows.setting("ecog", "window_days", 90)))
        _dated(rows, "ecog", chosen[0], values, *chosen[1:])
    if rows.wants("nyha_class", "nyha_class_worst"):
        values = _scores(rows, "nyha_class", events["score"], np.isin(scale, ["nyha"]))
        good = ~np.isnan(values)
        chosen, _, _, status = pick(rows, events, good, values, LONG_AGO)
        some = chosen >= 0
        rows.put("nyha_class", np.where(some, values[chosen] if len(values) else np.nan, np.nan), None, status)
        ends = [np.full(rows.n, np.datetime64("NaT"), dtype="datetime64[D]") for _ in range(2)]
        for end, column in zip(ends, ("last", "first"), strict=True):
            end[some] = events[column].to_numpy().astype("datetime64[D]")[chosen[some]]
        rows.put("months_since_nyha_class", *(windows.months_since(end, rows.index) for end in ends), status)
        worst = (
            events[good & events["surely"]].assign(value=values[good & events["surely"]]).groupby("row")["value"].max()
        )
        result = np.full(rows.n, np.nan)
        result[worst.index.to_numpy().astype("int64")] = worst.to_numpy()
        rows.put("nyha_class_worst", result)


def _scores(rows: Rows, name: str, texts: pd.Series, mine: np.ndarray) -> np.ndarray:
    """Scores as numbers by the rules of the column: a range reads as its maximum, an open end is unknown."""
    distinct = sorted({t for t in texts[mine] if isinstance(t, str)})
    column = rows.columns[name]
    marks = {k.casefold(): v for k, v in column.codes.items()}
    numbers = settle_numbers(column, parse_numbers(pa.array(distinct, pa.string()), marks=marks), Unit(ratio=True),
                             lambda kind, reason, mask: None)  # fmt: skip
    known = numbers.status == KNOWN
    value = dict(zip(distinct, np.where(known, numbers.hi, np.nan), strict=True))
    return np.where(mine, np.array([value.get(t, np.nan) if isinstance(t, str) else np.nan for t in texts]), np.nan)


def _plain_numbers(texts: pd.Series) -> np.ndarray:
    pattern = re.compile(r"\s*(\d+)(?:\.0+)?\s*%?\s*")
    found = [pattern.fullmatch(t) if isinstance(t, str) else None for t in texts]
    return np.array([float(m[1]) if m else np.nan for m in found])


def _echo(rows: Rows) -> None:
    names = ("lvef_min_pct", "lvef_latest_pct", "lvef_lowest_ever_pct")
    if not rows.has("echo") or not rows.wants(*names):
        return
    events = rows.events("echo", "date", undated=True)
    value = events["lvef"].to_numpy(dtype="float64")
    value = np.where(value <= 1.0, value * 100, value)
    good = (value >= 5) & (value <= 90)
    bad = ~good & ~np.isnan(value)
    rows.note("lvef_min_pct", "quarantined", "impossible, outside 5 to 90 %", int(bad.sum()))
    for name in names[:2]:
        if name not in rows.columns:
            continue
        window = int(rows.setting(name, "window_days", 56))
        chosen, least, most, status = pick(rows, events, good, -value, window)
        status[(chosen < 0) & (np.bincount(events["row"].to_numpy().astype("int64")[bad], minlength=rows.n) > 0)] = (
            OUT_OF_RANGE
        )
        result = np.where(chosen >= 0, value[chosen] if len(value) else np.nan, np.nan)
        if name == "lvef_min_pct":  # the lowest of the window, with the age of the latest measurement
            at = events["row"].to_numpy().astype("int64")
            age = (rows.index[at] - events["last"].to_numpy().astype("datetime64[D]")).astype("float64")
            inside = good & events["surely"].to_numpy() & (age <= window)
            result = np.where(chosen >= 0, _least(rows.n, at[inside], value[inside]), np.nan)
        if rows.setting(name, "carry_forward", False):
            _carry_forward(rows, events, good, value, result, least, most)
        rows.put(name, result, None, status)
        rows.put(f"days_since_{name}", least, most, status)
    sure = good & events["surely"].to_numpy()
    rows.put("lvef_lowest_ever_pct", _least(rows.n, events["row"].to_numpy().astype("int64")[sure], value[sure]))


def _carry_forward(rows: Rows, events: pd.DataFrame, good, value, result, least, most) -> None:
    """Fill an empty window with a normal earlier value, if nothing harmed the heart since; it keeps its true age.

    Needs the orders and the diagnoses: without them nobody knows that there was no anthracycline and no heart failure.
    """
    if not rows.has("medications") or not rows.has("diagnoses"):
        return
    chosen, low, high, _ = pick(rows, events, good, -value, CARRIED)
    use = np.isnan(result) & (chosen >= 0) & rows.observed()
    use[use] = value[chosen[use]] >= CARRIED_FROM
    harm = [(orders_of(rows, "anthracyclines"), "stop"),
            (dated_events(rows, "diagnoses", {"failure": ["heart_failure"]}), "last")]  # fmt: skip
    for harmed, end in harm:
        if harmed is None or not len(harmed):
            continue
        row = harmed["row"].to_numpy().astype("int64")
        # Of an order or a diagnosis whose end is not known, it may lie after the measurement.
        until = harmed[end].to_numpy().astype("datetime64[D]")
        age = (rows.index[row] - np.where(np.isnat(until), rows.index[row], until)).astype("float64")
        use[row[age <= high[row]]] = False
    result[use], least[use], most[use] = value[chosen[use]], low[use], high[use]


def _least(n: int, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    result = np.full(n, np.inf)
    np.minimum.at(result, at, values)
    return np.where(np.isinf(result), np.nan, result)


def truth(values: pd.Series) -> np.ndarray:
    """1, 0 and NaN for true, false and blank."""
    return np.array([np.nan if v is None or v != v else float(bool(v)) for v in values], dtype="float64")
