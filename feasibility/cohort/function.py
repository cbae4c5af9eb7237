"""Performance, ejection fraction, infections, antigen and childbearing potential: the latest assessment of each."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.cohort import windows
from feasibility.cohort.allergies import severity_of
from feasibility.cohort.event_rows import DATE_IMPRECISE, DATE_MISSING, OUT_OF_RANGE, STALE, Rows, each, folded
from feasibility.cohort.once import dated_events
from feasibility.cohort.parse import KNOWN, MISSING, parse_numbers
from feasibility.cohort.settle import Unit, settle_numbers

KPS = {100: 0, 90: 1, 80: 1, 70: 2, 60: 2, 50: 3, 40: 3, 30: 4, 20: 4, 10: 4}
"""Karnofsky to ECOG; clinical specification, I3."""
LONG_AGO = 100 * 366


def build_function(rows: Rows) -> None:
    """Fill the columns of the assessments that come with a day and a value."""
    _performance(rows)
    _echo(rows)
    _infections(rows)
    _antigen(rows)
    _childbearing(rows)


def pick(rows: Rows, name: str, events: pd.DataFrame, good: np.ndarray, worse: np.ndarray, window: int):
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
        chosen = pick(rows, "ecog", events, ~np.isnan(values), values, int(rows.setting("ecog", "window_days", 90)))
        _dated(rows, "ecog", chosen[0], values, *chosen[1:])
    if rows.wants("nyha_class", "nyha_class_worst"):
        values = _scores(rows, "nyha_class", events["score"], np.isin(scale, ["nyha"]))
        good = ~np.isnan(values)
        chosen, _, _, status = pick(rows, "nyha_class", events, good, values, LONG_AGO)
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
        chosen, least, most, status = pick(rows, name, events, good, -value, window)
        status[(chosen < 0) & (np.bincount(events["row"].to_numpy().astype("int64")[bad], minlength=rows.n) > 0)] = (
            OUT_OF_RANGE
        )
        result = np.where(chosen >= 0, value[chosen] if len(value) else np.nan, np.nan)
        if name == "lvef_min_pct":  # the lowest of the window, with the age of the latest measurement
            at = events["row"].to_numpy().astype("int64")
            age = (rows.index[at] - events["last"].to_numpy().astype("datetime64[D]")).astype("float64")
            inside = good & events["surely"].to_numpy() & (age <= window)
            result = np.where(chosen >= 0, _least(rows.n, at[inside], value[inside]), np.nan)
        rows.put(name, result, None, status)
        rows.put(f"days_since_{name}", least, most, status)
    sure = good & events["surely"].to_numpy()
    rows.put("lvef_lowest_ever_pct", _least(rows.n, events["row"].to_numpy().astype("int64")[sure], value[sure]))


def _least(n: int, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    result = np.full(n, np.inf)
    np.minimum.at(result, at, values)
    return np.where(np.isinf(result), np.nan, result)


def _infections(rows: Rows) -> None:
    names = ("active_infection", "infection_severe", "infection_controlled")
    if not rows.has("infections") or not rows.wants(*names):
        return
    events = rows.events("infections", "date", undated=True)
    severe = each(events["severity"], severity_of, np.nan).to_numpy(dtype="float64")
    active, controlled = (_truth(events[c]) for c in ("active", "controlled"))
    worse = np.nan_to_num(active) * 4 + np.nan_to_num(severe) * 2 + (1 - np.nan_to_num(controlled))
    window = int(rows.setting("active_infection", "window_days", 28))
    chosen, least, most, status = pick(rows, names[0], events, ~np.isnan(active), worse, window)
    _dated(rows, names[0], chosen, active == 1, least, most, status)
    none = (chosen >= 0) & ~np.where(chosen >= 0, active[chosen] == 1 if len(active) else False, False)
    for name, values in zip(names[1:], (severe, controlled), strict=True):
        one = np.where(chosen >= 0, values[chosen] if len(values) else np.nan, np.nan)
        rows.put_plain(name, one == 1, np.isnan(one) | none, status)


def _truth(values: pd.Series) -> np.ndarray:
    return np.array([np.nan if v is None or v != v else float(bool(v)) for v in values], dtype="float64")


def _antigen(rows: Rows) -> None:
    if not rows.has("flow") or not rows.wants("ex02_positive", "ex02_percent"):
        return
    events = rows.events("flow", "date", undated=True)
    mine = folded(events["antigen"]).isin(["ex02", "ex-02"]).to_numpy()
    events = events[mine]
    percent = events["pct"].to_numpy(dtype="float64")
    good = (percent >= 0) & (percent <= 100)
    chosen, least, most, status = pick(rows, "ex02_percent", events, good, percent, LONG_AGO)
    value = np.where(chosen >= 0, percent[chosen] if len(percent) else np.nan, np.nan)
    rows.put("ex02_percent", value, None, status)
    # The native layout holds a share, not the laboratory's verdict; 20 % of blasts is the usual one.
    rows.put_plain("ex02_positive", value >= 20, np.isnan(value), status)
    rows.put("days_since_ex02_positive", least, most, status)


def _childbearing(rows: Rows) -> None:
    if not rows.has("repro") or not rows.wants("childbearing_potential", "lactating"):
        return
    events = rows.events("repro", "date", undated=True)
    female = rows.built["sex"].plain == "female" if "sex" in rows.built else np.ones(rows.n, dtype=bool)
    latest = {}
    for name in ("menopause", "sterilised", "lactating"):
        values = _truth(events[name])
        window = 366 if name == "lactating" else LONG_AGO
        # A state once reached (menopause, sterilisation) is the worse of two of one day only for breast-feeding.
        chosen = pick(rows, name, events, ~np.isnan(values), values, window)[0]
        latest[name] = np.where(chosen >= 0, values[chosen] if len(values) else np.nan, np.nan)
    past = (latest["menopause"] == 1) | (latest["sterilised"] == 1)
    fertile = (latest["menopause"] == 0) & (latest["sterilised"] == 0)
    rows.put_plain("childbearing_potential", fertile & female, ~(past | fertile) | ~female)
    lactating = latest["lactating"] == 1
    not_lactating = (latest["lactating"] == 0) | (np.isnan(latest["lactating"]) & rows.observed() & ~_delivered(rows))
    rows.put_plain("lactating", lactating & female, ~(lactating | not_lactating) | ~female)


def _delivered(rows: Rows) -> np.ndarray:
    """A pregnancy or lactation coded in the last 12 months: then no record of breast-feeding says nothing."""
    events = dated_events(rows, "diagnoses", {"any": ["pregnancy", "lactation"]})
    result = np.zeros(rows.n, dtype=bool)
    if events is not None:
        at = events["row"].to_numpy().astype("int64")
        recent = ~(events["last"].to_numpy().astype("datetime64[D]") < windows.months_before(rows.index[at], 12))
        result[at[recent]] = True
    return result
