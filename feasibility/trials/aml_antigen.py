"""The trial's antigen on leukaemic cells, from flow cytometry, and the kind of leukaemia from the coded diagnoses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort.event_rows import Rows, each, folded
from feasibility.cohort.function import LONG_AGO, pick
from feasibility.cohort.once import dated_events, ever
from feasibility.cohort.parse import MISSING
from feasibility.cohort.words import fold
from feasibility.errors import CohortError

ANTIGEN = ("ex02", "ex-02")
SPECIMENS = ("blood", "marrow", "extramedullary")
_SPECIMEN = (("blood", ("blood", "pb", "外周血", "blut")),
             ("marrow", ("marrow", "bm", "bma", "骨髓", "knochenmark")))  # fmt: skip
GATES = ("ignored", "excluded")
KINDS = {"aml_non_apl": "aml", "mpal": "mpal", "apl": "apl"}
"""Subtypes and their code lists; the last that fits decides."""


def build_antigen(rows: Rows) -> None:
    """Fill ex02_percent and ex02_positive from the declared specimens: the latest day, its highest share.

    The layout holds a share and not the laboratory's verdict, and the protocol names no cut-off (clinical
    specification, I2): whether that is positive is unknown, unless no cell carries the antigen. A cut-off is a
    threshold of the optional criterion, on ex02_percent.
    """
    if not rows.has("flow") or not rows.wants("ex02_positive", "ex02_percent"):
        return
    events = rows.events("flow", "date", undated=True)
    events = events[folded(events["antigen"]).isin(ANTIGEN).to_numpy()]
    specimen = each(events["specimen"], _specimen_of, "")
    percent = events["pct"].to_numpy(dtype="float64")
    for name in ("ex02_percent", "ex02_positive"):
        if name not in rows.columns:
            continue
        wanted = _wanted(name, rows.setting(name, "specimens", SPECIMENS))
        # A result of no named specimen counts where every specimen does.
        mine = specimen.isin([*wanted, *([""] if set(SPECIMENS) <= set(wanted) else [])]).to_numpy(dtype=bool)
        good = (percent >= 0) & (percent <= 100) & mine
        chosen, least, most, status = pick(rows, events, good, percent, LONG_AGO)
        value = np.where(chosen >= 0, percent[chosen] if len(percent) else np.nan, np.nan)
        if name == "ex02_percent":
            rows.put(name, value, None, status)
            continue
        rows.put_plain(name, np.zeros(rows.n, dtype=bool), value != 0, status)
        rows.put("days_since_ex02_positive", least, most, status)  # the age of the sample, whatever it says


def _wanted(column: str, specimens) -> tuple[str, ...]:
    wanted = tuple(w.strip() for w in specimens.split(",")) if isinstance(specimens, str) else tuple(specimens)
    for one in wanted:
        if one not in SPECIMENS:
            raise CohortError(f"Setting {column}.specimens: {one!r} is not one of {', '.join(SPECIMENS)}.")
    return wanted


def _specimen_of(text: str) -> str:
    word = fold(text)
    for kind, parts in _SPECIMEN:
        if any(part in word if len(part) > 3 or not part.isascii() else part in word.split("_") for part in parts):
            return kind
    return "extramedullary" if word else ""


def build_subtype(rows: Rows) -> None:
    """Fill aml_subtype: APL decides over MPAL, that over AML; who has another blood cancer alone is "other"."""
    if "aml_subtype" not in rows.columns or not rows.has("diagnoses"):
        return
    lists = {"other": "blood_cancers"} | KINDS
    events = dated_events(rows, "diagnoses", {kind: [name] for kind, name in lists.items()})
    result = np.full(rows.n, None, dtype=object)
    status = np.full(rows.n, MISSING, dtype="uint8")
    if events is not None:
        result[ever(rows, events[events["item"] == "other"])[0]] = "other"
        for kind in KINDS:
            yes, maybe, why = ever(rows, events[events["item"] == kind])
            # A possible APL beside a sure AML leaves the subtype open.
            open_ = maybe & ~yes
            result[open_], status[open_] = None, why[open_]
            result[yes] = kind
    rows.put_plain("aml_subtype", result, pd.isna(result), status)


def gate_t_cells(rows: Rows) -> None:
    """Where leukaemic CD3+ cells are to be excluded, T cells of a mixed leukaemia are at most what was measured."""
    gate = rows.setting("cd3_10e9_l", "leukaemic_cd3_gate", GATES[0])
    if gate not in GATES:
        raise CohortError(f"Setting cd3_10e9_l.leukaemic_cd3_gate: {gate!r} is not one of {', '.join(GATES)}.")
    if gate == GATES[0] or "aml_subtype" not in rows.built:
        return
    mixed = rows.built["aml_subtype"].plain == "mpal"
    for name in ("cd3_10e9_l", "cd3_percent_of_lymphocytes"):
        if name in rows.built:
            cells = rows.built[name]
            rows.put(name, np.where(mixed & ~np.isnan(cells.lo), 0.0, cells.lo), cells.hi, cells.status)
