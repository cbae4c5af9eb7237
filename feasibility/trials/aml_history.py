"""Remissions, relapses and courses: the history of the leukaemia as the clinical specification, 9.5, defines it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort import windows
from feasibility.cohort.event_rows import STALE, Rows, each
from feasibility.cohort.once import dated_events
from feasibility.cohort.parse import MISSING
from feasibility.cohort.words import fold
from feasibility.errors import CohortError, did_you_mean
from feasibility.trials.aml_courses import count_courses, last_relapse, phase_of, read_courses

REMISSION = ("CR_MRDneg", "CR", "CRh", "CRi")
SITES = ("all including CNS", "non_cns")
RANKED = (*REMISSION, "MLFS", "PR", "NR", "PD")
_SPELLINGS = {
    "cr_mrd-": "CR_MRDneg", "cr_mrdneg": "CR_MRDneg", "cr_mrd_neg": "CR_MRDneg", "crmrd-": "CR_MRDneg", "cr": "CR",
    "crh": "CRh",
    "cri": "CRi", "mlfs": "MLFS", "pr": "PR", "nr": "NR", "sd": "NR", "rd": "NR", "pd": "PD", "relapse": "relapse",
    "relapsed": "relapse", "复发": "relapse", "完全缓解": "CR", "部分缓解": "PR", "未缓解": "NR", "cr_mrd+": "CR",
    "cr_mrdpos": "CR",
}  # fmt: skip
_MRD = {
    "positive": True,
    "pos": True,
    "+": True,
    "阳性": True,
    "negative": False,
    "neg": False,
    "-": False,
    "阴性": False,
}


def build_history(rows: Rows) -> None:
    """Fill relapses, remissions, courses, disease state and extramedullary disease."""
    responses = _responses(rows)
    relapses, adrift = pd.DataFrame(), None
    if responses is not None:
        relapses = _remissions_and_relapses(rows, responses)
        adrift, responses = responses[~responses["placed"]], responses[responses["placed"]]
        _extramedullary(rows, responses)
    courses = read_courses(rows)
    if courses is not None:
        count_courses(rows, courses, relapses, responses is not None)
    if responses is not None:
        _best(rows, responses, adrift, relapses)
        _months(rows, relapses, courses)
        _state(rows, responses, adrift)


def _responses(rows: Rows) -> pd.DataFrame | None:
    """Assessments in order, with ``response``, ``relapse_sign`` and ``doubt``; undated ones stand by their course."""
    events = rows.events("responses", "assess_date", undated=True)
    if events is None:
        return None
    events["response"] = each(events["response_eln"], lambda t: _SPELLINGS.get(fold(t)))
    events["response"] = events["response"].astype(object)
    events["phase"] = each(events["phase"], phase_of, "")
    events["blasts"] = events["bm_blast_pct"].astype("float64")
    events["lesion"] = events["emd_flag"] == True  # noqa: E712  (objects: True, False, None)
    events["undated"] = events["first"].isna()
    events = events[events["surely"] | events["undated"]]
    events = _placed(rows, events)
    count_lesions = bool(rows.setting("n_relapses", "count_extramedullary_only", True))
    signs = (events["blasts"] >= 5) | (events["lesion"] if count_lesions else False) | (events["response"] == "relapse")
    if rows.setting("n_relapses", "count_molecular", False):
        signs |= each(events["mrd"], lambda t: _MRD.get(fold(t), False), False).astype(bool)
    events["remission"] = events["response"].isin(_remissions(rows))
    events["relapse_sign"] = signs & ~events["remission"]
    # Progression without a blast count is no proof of a relapse, and no proof against one.
    events["doubt"] = (events["response"] == "PD") & ~events["relapse_sign"] & events["blasts"].isna()
    return events


def _remissions(rows: Rows) -> tuple[str, ...]:
    """The responses that count as a remission, by the run's setting."""
    stated = rows.setting("n_relapses", "remissions", REMISSION)
    stated = tuple(w.strip() for w in stated.split(",")) if isinstance(stated, str) else tuple(stated)
    for one in stated:
        if one not in RANKED:
            raise CohortError(f"Setting n_relapses.remissions: {one!r} is no response.{did_you_mean(one, RANKED)}")
    return stated


def _placed(rows: Rows, events: pd.DataFrame) -> pd.DataFrame:
    """Put undated assessments among the dated ones by course number; drop those that nothing proves to be earlier."""
    last = events[~events["undated"]].groupby("row")["course_no"].max()
    courses = rows.events("courses", "start")
    if courses is not None and len(courses):
        last = pd.concat([last, courses[courses["surely"]].groupby("row")["course_no"].max()]).groupby(level=0).max()
    reached = events["row"].map(last)
    numbered = events["undated"] & (events["course_no"] <= reached).fillna(False).astype(bool)
    events = events.sort_values(["row", "course_no", "first", "row_id"], na_position="last", kind="stable")
    place = events["first"].groupby(events["row"]).cummax().groupby(events["row"]).ffill()
    events["place"] = events["first"].where(events["first"].notna(), place.where(numbered))
    if courses is not None and len(courses):
        # The answer to induction comes before the first course of a later phase.
        later = courses[courses["surely"] & each(courses["phase"], phase_of, "").isin(["consolidation", "salvage"])]
        begin = later.groupby("row")["first"].min().reindex(events["row"]).set_axis(events.index)
        induction = events["undated"] & ~numbered & (events["phase"] == "induction")
        events["place"] = events["place"].where(~induction, begin)
    # Beside a dated assessment of the same course the order is not known either.
    dated = events.loc[~events["undated"], ["row", "course_no"]].dropna().drop_duplicates().assign(beside=True)
    beside = events.merge(dated, on=["row", "course_no"], how="left")["beside"].notna().to_numpy()
    events["placed"] = events["place"].notna() & ~(events["undated"] & beside)
    rows.note("responses", "set_aside", "an assessment without date or known course", int((~events["placed"]).sum()))
    return events.sort_values(["row", "place", "undated", "course_no", "row_id"], na_position="first", kind="stable")


def _remissions_and_relapses(rows: Rows, events: pd.DataFrame) -> pd.DataFrame:
    """One line per relapse: its days, those of the remission before it; counts go to the rows."""
    # What cannot be placed may be anywhere, even after the index date: it adds possible relapses, and nothing sure.
    adrift = events[~events["placed"] & (events["remission"] | events["relapse_sign"] | events["doubt"])]
    events = events[events["placed"]]
    kept = events[events["remission"] | events["relapse_sign"] | events["doubt"]]
    sure = kept[~kept["doubt"]].copy()
    before = sure.groupby("row")["remission"].shift(1)
    starts = sure["remission"] & ~before.fillna(False).astype(bool)
    relapsed = sure["relapse_sign"] & before.fillna(False).astype(bool)
    for end in ("first", "last"):
        start = sure[end].where(starts)
        # Within one remission the start is carried along, even where its day is unknown.
        episode = starts.groupby(sure["row"]).cumsum()
        sure["cr_" + end] = start.groupby([sure["row"], episode]).transform("first")
    relapses = sure[relapsed]
    has = np.zeros(rows.n, dtype=bool)
    answered = events[events["response"].notna() | events["blasts"].notna() | events["lesion"]]
    has[answered["row"].to_numpy().astype("int64")] = True
    count = np.bincount(relapses["row"].to_numpy().astype("int64"), minlength=rows.n).astype("float64")
    more = count.copy()
    previous = kept.groupby("row")["remission"].shift(1)
    doubtful = kept[kept["doubt"] & previous.fillna(False).astype(bool)]
    more[doubtful["row"].unique().astype("int64")] += 1
    more += np.bincount(adrift["row"].to_numpy().astype("int64"), minlength=rows.n)
    rows.put("n_relapses", np.where(has, count, np.nan), np.where(has, more, np.nan))
    reached = np.zeros(rows.n, dtype=bool)
    reached[events.loc[events["remission"], "row"].to_numpy().astype("int64")] = True
    graded = np.zeros(rows.n, dtype=bool)
    graded[events.loc[events["response"].notna(), "row"].to_numpy().astype("int64")] = True
    maybe = np.zeros(rows.n, dtype=bool)
    maybe[adrift.loc[adrift["remission"], "row"].to_numpy().astype("int64")] = True
    rows.put_plain("cr_ever", reached, ~reached & (~graded | maybe))
    failed = np.zeros(rows.n, dtype=bool)
    final = relapses.groupby("row").tail(1)
    failed[final.loc[final["phase"] == "consolidation", "row"].to_numpy().astype("int64")] = True
    rows.put_plain("consolidation_failed", failed, ~failed)  # that it did not fail is never recorded
    return relapses


def _extramedullary(rows: Rows, events: pd.DataFrame) -> None:
    known = events[events["emd_flag"].notna()]
    at = known["row"].to_numpy().astype("int64")
    flag = known["lesion"].to_numpy()
    ever, assessed = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
    ever[at[flag]] = True
    assessed[at] = True
    rows.put_plain("em_ever", ever, ~assessed)
    dated = known[~known["undated"]].sort_values(["row", "last", "lesion", "row_id"], kind="stable")
    final = dated.groupby("row").tail(1)
    at = final["row"].to_numpy().astype("int64")
    active, low, high = np.zeros(rows.n, dtype=bool), np.full(rows.n, np.nan), np.full(rows.n, np.nan)
    active[at] = final["lesion"].to_numpy()
    low[at] = windows.days_since(final["last"].to_numpy(), rows.index[at])
    high[at] = windows.days_since(final["first"].to_numpy(), rows.index[at])
    if rows.setting("em_active", "nodes_liver_spleen", False):
        _enlarged(rows, active, low, high)
    stale = low > rows.setting("em_active", "window_days", 180)
    sites = rows.setting("em_active", "sites", SITES[0])
    if sites not in SITES:
        raise CohortError(f"Setting em_active.sites: {sites!r} is not one of {', '.join(SITES)}.")
    # No table says where a lesion is: whether it is one outside the central nervous system is not known.
    elsewhere = active if sites == "non_cns" else np.zeros(rows.n, dtype=bool)
    unknown = np.isnan(low) | stale | elsewhere
    status = np.where(stale, STALE, MISSING)
    rows.put_plain("em_active", active, unknown, status)
    rows.put("days_since_em_active", np.where(unknown, np.nan, low), np.where(unknown, np.nan, high), status)


def _enlarged(rows: Rows, active: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Count a coded enlargement of nodes, liver or spleen as a lesion, from the day it was coded."""
    events = dated_events(rows, "diagnoses", {"enlarged": ["enlarged_nodes_liver_spleen"]})
    if events is None:
        return
    final = events[events["open"] == 0].groupby("row").tail(1)
    at = final["row"].to_numpy().astype("int64")
    days = [windows.days_since(final[end].to_numpy(), rows.index[at]) for end in ("last", "first")]
    newer = ~(low[at] < days[0]) & ~active[at]
    active[at[newer]], low[at[newer]], high[at[newer]] = True, days[0][newer], days[1][newer]


def _best(rows: Rows, events: pd.DataFrame, adrift: pd.DataFrame, relapses: pd.DataFrame) -> None:
    relapse = last_relapse(rows, relapses)
    row = events["row"].to_numpy().astype("int64")
    after = events["place"].to_numpy().astype("datetime64[D]") > relapse["last"][row]
    for name, which in (("best_response_induction", events["phase"] == "induction"),
                        ("best_response_salvage", (events["phase"] == "salvage") & after)):  # fmt: skip
        mine = events[which & events["response"].isin(RANKED)]
        rank = mine["response"].map({r: i for i, r in enumerate(RANKED)}).astype("int64").groupby(mine["row"]).min()
        values = np.full(rows.n, None, dtype=object)
        values[rank.index.to_numpy().astype("int64")] = np.array(RANKED, dtype=object)[rank.to_numpy()]
        # An assessment that cannot be placed could be a better answer.
        other = adrift[adrift["phase"].isin([name.rsplit("_", 1)[1], ""]) & adrift["response"].isin(RANKED)]
        better = other["response"].map(RANKED.index) < other["row"].map(rank).fillna(len(RANKED))
        values[other.loc[better, "row"].to_numpy().astype("int64")] = None
        rows.put_plain(name, values, pd.isna(values))


def _months(rows: Rows, relapses: pd.DataFrame, courses: pd.DataFrame | None) -> None:
    """Months from a remission, or from the end of consolidation, to the relapse after it: last, first, shortest."""
    open_ = (
        rows.built["n_relapses"].lo != rows.built["n_relapses"].hi
        if "n_relapses" in rows.built
        else np.zeros(rows.n, bool)
    )
    if not len(relapses):
        relapses = pd.DataFrame(
            {c: [] for c in ("row", "first", "last", "cr_first", "cr_last", "stop", "stop_last", "given")}
        )
    elif courses is not None:
        relapses = _consolidation_before(relapses, courses)
    for start, names in (
        (("cr_first", "cr_last"), ("months_from_cr_to_relapse", "months_from_first_cr_to_first_relapse",
                                   "shortest_months_from_cr_to_relapse")),
        (("stop", "stop_last"), ("months_from_consolidation_to_relapse",
                                 "months_from_first_consolidation_to_first_relapse",
                                 "shortest_months_from_consolidation_to_relapse")),
    ):  # fmt: skip
        if start[0] not in relapses:
            continue
        days = [relapses[c].to_numpy().astype("datetime64[D]") for c in (*start, "first", "last")]
        low = np.maximum(windows.months_from_to(days[1], days[2]), 0)
        high = np.maximum(windows.months_from_to(days[0], days[3]), 0)
        row = relapses["row"].to_numpy().astype("int64")
        # A relapse without a consolidation before it has no such time; one of unknown days may have any.
        none = ~relapses["given"].to_numpy(dtype=bool) if start[0] == "stop" else np.zeros(len(row), dtype=bool)
        ends = pd.DataFrame({"row": row, "low": low, "high": high, "open": np.isnan(high) & ~none})
        grouped = ends.groupby("row")
        for name, part in zip(names, (grouped.tail(1), grouped.head(1), None), strict=True):
            lows, highs = np.full(rows.n, np.nan), np.full(rows.n, np.nan)
            if part is None:  # the shortest is known only if all are, or as a bound
                part = grouped.agg(low=("low", "min"), high=("high", "min"), open=("open", "max")).reset_index()
                part["low"] = np.where(part["high"].isna(), np.nan, np.where(part["open"], 0.0, part["low"]))
            at = part["row"].to_numpy().astype("int64")
            lows[at], highs[at] = part["low"], part["high"]
            lows[open_] = highs[open_] = np.nan
            rows.put(name, lows, highs)


def _consolidation_before(relapses: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    """The end of the last consolidation course between a relapse and the remission before it."""
    mine = courses[(courses["phase"] == "consolidation") & courses["sure"]]
    pairs = relapses.reset_index(names="relapse")[["relapse", "row", "first", "last", "cr_first"]].merge(
        mine[["row", "first", "stop", "stop_last"]].rename(columns={"first": "begin"}), on="row"
    )
    fits = (pairs["begin"] < pairs["last"]) & ~(pairs["begin"] < pairs["cr_first"])
    final = pairs[fits].sort_values(["relapse", "begin"], kind="stable").groupby("relapse").tail(1).set_index("relapse")
    ends = final[["stop", "stop_last"]].reindex(relapses.index)
    return relapses.assign(stop=ends["stop"], stop_last=ends["stop_last"], given=relapses.index.isin(final.index))


def _state(rows: Rows, events: pd.DataFrame, adrift: pd.DataFrame) -> None:
    """The state at the last assessment that says anything; fewer blasts without a grade leave an active state open."""
    told = events[events["response"].notna() | events["blasts"].notna() | events["lesion"]]
    final = told.groupby("row").tail(1)
    at = final["row"].to_numpy().astype("int64")
    ungraded = (final["response"].isna() & ~final["relapse_sign"]).to_numpy()
    graded = told[told["response"].notna() | told["relapse_sign"]].groupby("row").tail(1).set_index("row")["remission"]
    remission = np.zeros(rows.n, dtype=bool)
    remission[graded.index.to_numpy().astype("int64")] = graded.to_numpy()
    mrd = each(final["mrd"], lambda t: _MRD.get(fold(t), False), False).to_numpy(dtype=bool)
    values = np.full(rows.n, None, dtype=object)
    count = rows.built["n_relapses"] if "n_relapses" in rows.built else None
    relapsed = (count.lo >= 1) if count is not None else np.zeros(rows.n, dtype=bool)
    refractory = np.zeros(rows.n, dtype=bool)
    if "n_induction_courses" in rows.built and "cr_ever" in rows.built:
        cr = rows.built["cr_ever"]
        refractory = (rows.built["n_induction_courses"].lo >= 2) & ~cr.plain & (cr.status == 0)
    active = np.where(relapsed, "relapsed", np.where(refractory, "primary_refractory", "active")).astype(object)
    # Whether it came back, or resisted two courses, is not known: then neither is which of the active states it is.
    if count is not None:
        active[~relapsed & (count.hi > 0)] = None
    if "n_induction_courses" not in rows.built or "cr_ever" not in rows.built:
        active[~relapsed] = None
    else:
        courses = rows.built["n_induction_courses"]
        active[~relapsed & ~refractory & (courses.status != 0) & ~(rows.built["cr_ever"].plain)] = None
    values[at] = np.where(remission[at], np.where(mrd, "mrd_only", "remission"), active[at])
    values[at[ungraded & ~remission[at]]] = None
    told = adrift[adrift["response"].notna() | adrift["relapse_sign"]]
    course = pd.Series(final["course_no"].to_numpy(dtype="float64"), index=at)
    later = ~(told["course_no"].astype("float64") < told["row"].map(course))
    values[told.loc[later, "row"].to_numpy().astype("int64")] = None
    rows.put_plain("disease_status", values, pd.isna(values))
