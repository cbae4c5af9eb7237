"""Childbearing potential, breast-feeding and pregnancy (clinical specification, I6, E4 and 9.10)."""

from __future__ import annotations

import numpy as np

from feasibility.cohort import windows
from feasibility.cohort.event_rows import Rows
from feasibility.cohort.function import LONG_AGO, pick, truth
from feasibility.cohort.once import dated_events, latest


def build_reproduction(rows: Rows) -> None:
    """Fill childbearing_potential, lactating and pregnant."""
    _childbearing(rows)
    _pregnant(rows)


def _childbearing(rows: Rows) -> None:
    if not rows.has("repro") or not rows.wants("childbearing_potential", "lactating"):
        return
    events = rows.events("repro", "date", undated=True)
    female = rows.built["sex"].plain == "female" if "sex" in rows.built else np.ones(rows.n, dtype=bool)
    state = {}
    for name in ("menopause", "sterilised", "lactating"):
        values = truth(events[name])
        window = 366 if name == "lactating" else LONG_AGO
        # A state once reached (menopause, sterilisation) is the worse of two of one day only for breast-feeding.
        chosen = pick(rows, events, ~np.isnan(values), values, window)[0]
        state[name] = np.where(chosen >= 0, values[chosen] if len(values) else np.nan, np.nan)
    past = (state["menopause"] == 1) | (state["sterilised"] == 1)
    fertile = (state["menopause"] == 0) & (state["sterilised"] == 0)
    rows.put_plain("childbearing_potential", fertile & female, ~(past | fertile) | ~female)
    lactating = state["lactating"] == 1
    not_lactating = (state["lactating"] == 0) | (np.isnan(state["lactating"]) & rows.observed() & ~_delivered(rows))
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


def _pregnant(rows: Rows) -> None:
    """A pregnancy coded in the last coded_days, unless a later test is negative; tests are added by the fills."""
    if "pregnant" not in rows.columns or not rows.has("diagnoses"):
        return
    events = dated_events(rows, "diagnoses", {"pregnant": [rows.columns["pregnant"].codelist]})
    yes = np.zeros(rows.n, dtype=bool)
    if events is not None:
        last = latest(rows, events[events["open"] == 0], "first")
        days = windows.days_since(last, rows.index)
        yes = days <= rows.setting("pregnant", "coded_days", 280)
        if "days_since_pregnancy_test" in rows.built:
            test = rows.built["days_since_pregnancy_test"].lo
            negative = rows.built["pregnancy_test"].plain == "negative"
            yes &= ~(negative & (test < days))
    rows.put_plain("pregnant", yes, ~yes)
