"""Newly eligible patients per month: whom to expect, apart from those who were eligible already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.enrollment.dated import LEVELS, DatedScreening
from feasibility.enrollment.periods import Window
from feasibility.enrollment.spells import Lines
from feasibility.enrollment.trend import steadiness_table

KINDS = ("before", "stock", "first", "return", "continued", "late")
"""What a spell is to the arrivals: over before the opening; running at it; a patient's first; a return after the
washout; a return within it, not counted again; after the last period."""


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Newly eligible patients per period, confirmed and possible.

    ``table`` by period: exposure_months, n_confirmed, n_possible, of which n_return_confirmed and n_return_possible had
    been eligible before. ``by_stratum`` is the same by (stratum, period), if one was asked for, and ``totals`` by
    stratum (or one row ``all``): stock_confirmed, stock_possible, n_confirmed, n_possible, pool_confirmed,
    pool_possible (eligible on the last day: with whom a trial that opens then starts), exposure_months. ``ledger``
    says by kind of spell how many spells there were and how many patients began with one. ``steadiness`` tests for a
    constant rate. ``stated`` holds the settings in force.
    """

    table: pd.DataFrame
    totals: pd.DataFrame
    ledger: pd.DataFrame
    steadiness: pd.DataFrame
    stated: dict[str, Any]
    by_stratum: pd.DataFrame | None = field(default=None)


def arrivals(
    dated: DatedScreening,
    *,
    by: str = "month",
    washout_days: int | None = None,
    lookback_days: int | None = None,
    data_start=None,
    drop_last: bool = False,
    stratum: str | None = None,
    exits: pd.DataFrame | None = None,
    observation: pd.DataFrame | None = None,
) -> Arrivals:
    """Count newly eligible patients per month, quarter or year, apart from the stock at opening.

    Parameters
    ----------
    dated : what ``screen_dates`` returned.
    by : ``month``, ``quarter`` or ``year``, of the calendar; the first and last may be cut, see exposure_months.
    washout_days : a patient counts once, on the first eligible day. With a washout, again after that many days without
        being eligible.
    lookback_days : the longest window of the protocol; by default that of the dates rule, else it must be stated.
    data_start : the day from which the records are complete; by default the first day asked for. Until the longest
        window has passed since then, eligibility shows because records begin: that is stock, not flow.
    drop_last : leave out the last calendar month, whose results may still be on their way (``lab_lag`` tells).
    stratum : a column to count by as well, such as ``site_id``: the one on the first day of the spell.
    exits, observation : as in ``spells``.

    Returns Arrivals. The confirmed and possible counts of one period are each right for their level but are no interval
    for the truth in that period, because a patient can be possible in May and confirmed in June;
    ``arrivals_bounds`` gives the interval.

    Raises FeasibilityError for settings that leave no period, ReconciliationError if patients do not add up.

    >>> from feasibility.enrollment.dated import dated_statuses
    >>> rows = pd.DataFrame([("A", "2024-01-01", "eligible"), ("B", "2024-01-01", "ineligible"),
    ...                      ("B", "2024-02-10", "undetermined"), ("B", "2024-03-01", "eligible")],
    ...                     columns=["patient_id", "index_date", "status"])
    >>> found = arrivals(dated_statuses(rows, end="2024-03-31"), lookback_days=0)
    >>> found.table[["n_confirmed", "n_possible"]].to_numpy().tolist(), found.totals.stock_confirmed.tolist()
    ([[0, 0], [0, 1], [1, 0]], [1])
    """
    window = Window.of(dated, by, lookback_days, data_start, drop_last)
    window.check_washout(washout_days)
    groups = np.array(["all"] * len(dated), dtype=object) if stratum is None else dated.stratum(stratum)
    lines = Lines.of(dated, exits, observation)
    names = sorted(set(groups[lines.order][lines.watched])) or sorted(set(groups))
    periods = window.periods
    parts, ledger, stock, pool = {}, {}, {}, {}
    for level in LEVELS:
        mask = dated.mask(level)
        runs = lines.runs(mask)
        kind = classify(runs, window, washout_days)
        ledger |= _ledger(runs, kind, level, lines.n_ever(mask))
        group = groups[runs["row"]]
        for name, kinds in ((f"n_{level}", ("first", "return")), (f"n_return_{level}", ("return",))):
            chosen = np.isin(kind, kinds)
            at = window.position(runs["start"].to_numpy()[chosen])
            cells = pd.DataFrame(0, index=names, columns=periods)
            np.add.at(cells.values, (pd.Index(names).get_indexer(group[chosen]), at), 1)
            parts[name] = cells
        stock[f"stock_{level}"] = [int((kind[group == name] == "stock").sum()) for name in names]
        here = in_pool(runs, window)
        pool[f"pool_{level}"] = [int(here[group == name].sum()) for name in names]
        flow = ledger[f"spells_{level}"]
        same(
            f"{level} arrivals by period and stratum",
            int(parts[f"n_{level}"].values.sum()),
            flow["first"] + flow["return"],
        )
        same(f"{level} stock by stratum", sum(stock[f"stock_{level}"]), flow["stock"])
    index = pd.Index(periods, name="period")
    table = pd.DataFrame(
        {"exposure_months": window.exposure} | {c: p.sum().to_numpy() for c, p in parts.items()}, index=index
    )
    totals = pd.DataFrame(
        stock | {f"n_{level}": parts[f"n_{level}"].sum(axis=1).to_numpy() for level in LEVELS} | pool,
        index=pd.Index(names, name=stratum or "stratum"),
    ).assign(exposure_months=window.months)
    stated = window.stated | {"washout_days": washout_days, "stratum": stratum, "policy": dated.policy}
    table.attrs |= {"stock": {level: int(sum(stock[f"stock_{level}"])) for level in LEVELS}} | stated
    by_stratum = None
    if stratum is not None:
        wide = {c: p.rename_axis(index=stratum, columns="period").stack() for c, p in parts.items()}
        by_stratum = pd.DataFrame({"exposure_months": np.tile(window.exposure, len(names))} | wide)
    return Arrivals(
        table,
        totals,
        pd.DataFrame(ledger).reindex([*KINDS, "total"]).rename_axis("kind"),
        steadiness_table(table),
        stated,
        by_stratum,
    )


def classify(runs: pd.DataFrame, window: Window, washout_days: int | None) -> np.ndarray:
    """The kind of each spell (``KINDS``); spells are sorted by person and start."""
    start, end = (runs[c].to_numpy().astype("datetime64[D]") for c in ("start", "end"))
    person = runs["person"].to_numpy()
    again = np.r_[False, person[1:] == person[:-1]] if len(runs) else np.zeros(0, bool)
    gap = np.zeros(len(runs), dtype="int64")
    gap[1:] = (start[1:] - end[:-1]).astype("int64")
    returns = again & (gap >= washout_days) if washout_days is not None else np.zeros(len(runs), bool)
    conditions = [end <= window.opening, start <= window.opening, start > window.last, ~again, returns]
    return np.select(conditions, ["before", "stock", "late", "first", "return"], "continued").astype(object)


def in_pool(runs: pd.DataFrame, window: Window) -> np.ndarray:
    """Whether each spell runs on the last day of the window."""
    start, end = (runs[c].to_numpy().astype("datetime64[D]") for c in ("start", "end"))
    return (start <= window.last) & (window.last < end)


def _ledger(runs: pd.DataFrame, kind: np.ndarray, level: str, n_ever: int) -> dict[str, dict[str, int]]:
    spells = {k: int((kind == k).sum()) for k in KINDS}
    begins = kind[~runs["person"].duplicated().to_numpy()]
    patients = {k: int((begins == k).sum()) for k in KINDS}
    same(f"{level} spells of every kind", sum(spells.values()), len(runs))
    same(f"patients ever {level}: before + stock + first + late", sum(patients.values()), n_ever)
    same(f"patients who begin with a {level} return", patients["return"] + patients["continued"], 0)
    same(f"first {level} spells are first of a patient", spells["first"], patients["first"])
    return {
        f"spells_{level}": spells | {"total": len(runs)},
        f"patients_{level}": patients | {"total": n_ever},
    }
