"""The leukaemia's history as events: diagnosis, courses, responses, remissions, relapses, extramedullary disease."""

from __future__ import annotations

import numpy as np

from feasibility.trials.aml import RESPONSES
from feasibility.trials.aml_events import NO_DATE, Rows, Source
from feasibility.trials.aml_patient import CYCLES, PATTERNS

CR_MRDNEG, PD, NR, PR = (RESPONSES.index(name) for name in ("CR_MRDneg", "PD", "NR", "PR"))
WORDS = np.array([*RESPONSES], dtype=object)
ON_DATES = ("n_relapses", "n_consolidation_courses", "n_salvage_courses", "best_response_salvage", "disease_status",
            "best_response_induction", "cr_ever")  # fmt: skip
"""Columns that a reader may have to leave unknown when a remission or relapse has no day."""


def write(s: Source, rows: Rows) -> None:
    remission, relapse, consolidated = (
        np.stack([s[f"{name}_{c + 1}"] for c in range(CYCLES)], axis=1)
        for name in ("remission_date", "relapse_date", "end_of_consolidation")
    )
    _diagnosis(s, rows, remission)
    courses = _courses(s, remission, relapse, consolidated)
    _number(s, rows, courses)
    _responses(s, rows, remission, relapse)
    _ledger(s, rows, consolidated)


def is_(s: Source, *names: str) -> np.ndarray:
    return np.isin(s["pattern"], [PATTERNS.index(name) for name in names])


def last_of(dates: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The n-th of each patient's dates, NaT for none."""
    found = dates[np.arange(len(n)), (n - 1).clip(0)]
    return np.where(n > 0, found, NO_DATE)


def _diagnosis(s: Source, rows: Rows, remission: np.ndarray) -> None:
    everybody = np.ones(s.size, dtype=bool)
    # A diagnosis after the first remission is impossible and harmless: no column reads its day.
    late = s.happens("impossible order", s.problems.impossible_order) & ~np.isnat(remission[:, 0])
    date = np.where(late, remission[:, 0] + 10, s["diagnosis_date"])
    date = np.minimum(date, s.index_date)
    rows.count("impossible_order", late)
    rows.note(late, "aml_subtype", "impossible_order", "same", "diagnosed after the first remission")
    code = np.where(s["apl"], s.pick("code of APL", ["C92.4", "C92.400", "C924"]),
                    s.pick("code of AML", ["C92.0", "C92.000", "C920", "C92.500", "C93.000"]))  # fmt: skip
    text = np.where(s["apl"], "急性早幼粒细胞白血病", "急性髓系白血病").astype(object)
    rows.add("diagnoses", everybody, dx_date=date, code=code, text=text, type="primary", dx_status="confirmed")
    first = s["apl"] & s.happens("coded AML before APL", 0.5)
    rows.add("diagnoses", first, dx_date=s["diagnosis_date"] - 3, code="C92.0", text="AML", type="admission",
             dx_status="confirmed")  # fmt: skip
    double = s.happens("duplicate diagnosis", s.problems.duplicates)
    rows.add("diagnoses", double, dx_date=date, code=code, text=text, type="primary", dx_status="confirmed")
    rows.count("duplicates", double)


def _courses(s: Source, remission, relapse, consolidated) -> dict[str, list]:
    parts: dict[str, list] = {"who": [], "phase": [], "start": [], "stop": [], "intensity": []}

    def add(who, phase, start, stop, intensity):
        rows = np.flatnonzero(who)
        parts["who"].append(rows)
        parts["start"].append(start[rows])
        parts["stop"].append(np.minimum(stop[rows], s.index_date))
        parts["phase"].append(np.full(len(rows), phase, dtype=object))
        chosen = intensity[rows] if isinstance(intensity, np.ndarray) else np.full(len(rows), intensity, dtype=object)
        parts["intensity"].append(chosen)

    induction, diagnosis = s["induction"].astype(int), s["diagnosis_date"]
    for k in range(4):
        start = diagnosis + 3 + 40 * k
        intensity = np.where(s["induction_intensive"] > k, "intensive", "ven_hma").astype(object)
        add(induction > k, "induction", start, start + 7, intensity)
    extra = s["induction_any"].astype(int) > induction
    start = diagnosis + 3 + 40 * (induction - 1).clip(0) + 12
    add(extra, "induction", start, start + 5, "low")
    n = s["n_relapses"].astype(int)
    for c in range(CYCLES):
        given = ~np.isnat(consolidated[:, c])
        days = np.where(given, consolidated[:, c] - remission[:, c], np.timedelta64(0, "D")).astype(int)
        courses = np.where(given, np.maximum(-(-days // 30), 1), 0)
        for k in range(int(courses.max(initial=0))):
            stop = np.where(courses == k + 1, consolidated[:, c], remission[:, c] + 30 * (k + 1))
            add(courses > k, "consolidation", stop - 5, stop, "intensive")
        add(n > c + 1, "salvage", relapse[:, c] + 5, relapse[:, c] + 12, "intensive")
    last, salvage = last_of(relapse, n), s["salvage"].astype(int)
    for k in range(int(salvage.max(initial=0))):
        start = last + 3 + 32 * k
        add(salvage > k, "salvage", start, start + 7, s.pick(f"salvage {k}", ["intensive", "ven_hma"]))
    rescued = is_(s, "primary_refractory") & ~s["active"]
    start = diagnosis + 40 * induction + 1
    add(rescued, "salvage", start, start + 5, "intensive")
    return parts


def _number(s: Source, rows: Rows, parts: dict[str, list]) -> None:
    """Course numbers in the order of their start; nothing of patients whose courses are not recorded."""
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    order = np.lexsort((joined["start"], joined["who"]))
    joined = {name: values[order] for name, values in joined.items()}
    first = np.searchsorted(joined["who"], joined["who"], side="left")
    joined["course_no"] = np.arange(len(order)) - first + 1
    keep = ~s.hole("courses")[joined["who"]]
    joined = {name: values[keep] for name, values in joined.items()}
    rows.parts.setdefault("courses", []).append({"row": joined.pop("who"), **joined})


def _responses(s: Source, rows: Rows, remission, relapse) -> None:
    n, induction, diagnosis = s["n_relapses"].astype(int), s["induction"].astype(int), s["diagnosis_date"]
    best, after, salvage = s["best_induction"].astype(int), s["best_salvage"].astype(int), s["salvage"].astype(int)
    active, mrd_only = s["active"], s["disease_status"] == 3
    no_cr, no_relapse = s.hole("cr_date"), s.hole("relapse_date")
    cr_month, relapse_month = s.hole("cr_month_only"), s.hole("relapse_month_only")
    words = dict(regimen=s.pick("regimen", ["DA 3+7", "IA", "CLAG", "VA", "FLAG-IDA"]))

    def add(who, date, response, phase="", hidden=None, **more):
        """``day`` is the day that the course of a response is found by, hidden or not."""
        text = WORDS[np.asarray(response).clip(0)] if isinstance(response, np.ndarray) else response
        shown = date if hidden is None else np.where(hidden, NO_DATE, date)
        rows.add("responses", who, assess_date=shown, day=date, phase=phase, response_eln=text, **words, **more)

    def remitted(who, date, response, phase):
        """A last remission, and the day when minimal residual disease came back after a remission without it."""
        clear = mrd_only & (response == CR_MRDNEG)
        mrd = np.where(response == CR_MRDNEG, "negative", np.where(mrd_only, "positive", "")).astype(object)
        add(who, date, response, phase, bm_blast_pct=2.0, mrd=mrd)
        add(who & clear, date + 7, "CR", mrd="positive", bm_blast_pct=2.0)

    # The month of a remission may begin before the diagnosis: then what the diagnosis found would look like a relapse.
    clean = ~(cr_month & (remission[:, 0].astype("M8[M]") == diagnosis.astype("M8[M]")))
    em_at_diagnosis, em_at_relapse = _extramedullary(s, rows, last_of(relapse, n), clean)
    blasts = np.where(clean, s.whole("blasts at diagnosis", 25, 95), np.nan)
    add(np.ones(s.size, dtype=bool), diagnosis, "", bm_blast_pct=blasts, emd_flag=em_at_diagnosis)

    relapsed, first_remission = n > 0, is_(s, "first_remission")
    add((relapsed | first_remission) & (induction > 1), diagnosis + 33, "PR", "induction")
    resistant = is_(s, "primary_refractory", "one_course")
    for k in range(4):
        answer = np.where(induction == k + 1, best, np.where(best == PD, PD, NR))
        add(resistant & (induction > k), diagnosis + 33 + 40 * k, answer, "induction")
    add(relapsed, remission[:, 0], best, "induction", no_cr, bm_blast_pct=2.0, month_only=cr_month,
        mrd=np.where(best == CR_MRDNEG, "negative", "").astype(object))  # fmt: skip
    remitted(first_remission, diagnosis + 40 * induction, best, "induction")
    rescued = resistant & ~active
    phase = np.where(is_(s, "primary_refractory"), "salvage", "").astype(object)
    remitted(rescued, diagnosis + 40 * induction + 7, np.full(s.size, 1), phase)
    for c in range(CYCLES):
        had = n > c
        if c:
            add(had, remission[:, c], "CR", "salvage", no_cr, bm_blast_pct=2.0, month_only=cr_month)
        failed = np.where(s["consolidation_failed"] & (n == c + 1), "consolidation", "").astype(object)
        flag = np.where(n == c + 1, em_at_relapse, np.nan)
        add(had, relapse[:, c], "PD", failed, no_relapse, month_only=relapse_month,
            bm_blast_pct=s.whole(f"blasts at relapse {c}", 12, 90), emd_flag=flag)  # fmt: skip
    last = last_of(relapse, n)
    add(salvage > 1, last + 30, np.where(active, np.where(after == PD, PD, NR), PR), "salvage")
    failed, worked = (salvage > 0) & active, (salvage > 0) & ~active & relapsed
    add(failed, last + 32 * salvage, after, "salvage")
    remitted(worked, last + 32 * salvage, after, "salvage")
    # An undated relapse leaves the remission as the last dated assessment: say that the disease is there.
    add(no_relapse & active & (salvage == 0), np.full(s.size, s.index_date - 1), "NR")


def _extramedullary(
    s: Source, rows: Rows, last_relapse: np.ndarray, clean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The assessment in the window, and the flags (1, 0, NaN) to put on the diagnosis and on the last relapse."""
    assessed, active, ever = ~s.hole("em"), s["em_active"], s["em_ever"]
    date, relapsed = s.ago(s.days("em_active")), ~np.isnat(last_relapse)
    hidden = s.hole("relapse_date") | s.hole("relapse_month_only")
    # A lesion seen between a remission and the relapse would itself be the relapse.
    too_early = assessed & active & relapsed & ((date <= last_relapse) | hidden)
    # "Absent" today would say "never" of a lesion that no earlier assessment can record.
    old = s["diagnosis_date"] < s.index_date - 180
    unsayable = assessed & ever & ~active & ~(clean & (old | (s["diagnosis_date"] < date)))
    written = assessed & ~too_early & ~unsayable
    rows.note(unsayable, "em_active", "not expressible", "unknown", "it would deny the earlier lesion")
    rows.add("responses", written, assess_date=date, day=date, emd_flag=active.astype(float), phase="", response_eln="")
    at_relapse = too_early & ~hidden
    rows.note(too_early & hidden, "em_active", "not expressible", "unknown", "the lesion would date the hidden relapse")
    since = (s.index_date - last_relapse).astype("m8[D]").astype(float)
    # Of a patient without relapse this is NaN, and never read.
    rows._entry(np.flatnonzero(at_relapse), "days_since_em_active", "moved", "value",
                "the lesion is recorded on the day of the relapse", since, np.nan)  # fmt: skip
    shown = (written & active) | at_relapse
    earlier = clean & (old | (written & (s["diagnosis_date"] < date)))
    at_diagnosis = np.full(s.size, np.nan)
    at_diagnosis[ever & ~shown & earlier] = 1.0
    at_diagnosis[~ever & old] = 0.0
    known = shown | (ever & earlier) | (~ever & (written | old))
    rows.note(~known, "em_ever", "not expressible", "unknown", "an assessment would fall into the window")
    return at_diagnosis, np.where(at_relapse, 1.0, np.nan)


def _ledger(s: Source, rows: Rows, consolidated: np.ndarray) -> None:
    unclear = s.hole("cr_date") | s.hole("relapse_date") | s.hole("cr_month_only") | s.hole("relapse_month_only")
    for column in (*ON_DATES, "consolidation_failed"):
        rows.note(unclear, column, "undated", "contains", "a remission or relapse without its day")
    unsure = s.hole("courses") & (s["n_relapses"] == 0) & s["active"]
    rows.note(unsure, "disease_status", "undated", "contains", "refractory or not: the courses are not recorded")
    rows.note(~s["consolidation_failed"], "consolidation_failed", "not expressible", "may_be_unknown",
              "nobody documents that a consolidation did not fail")  # fmt: skip
    for end in ("months_from_{}", "months_from_first_{}", "shortest_months_from_{}"):
        column = end.format("consolidation") + "_to_" + ("first_relapse" if "first" in end else "relapse")
        rows.note(np.isnan(s.truth(column)), column, "undefined", "any", "no consolidation to count from")
    new = s["newly_diagnosed"]
    for column in (*ON_DATES, "n_induction_courses", "n_induction_courses_intensive", "n_induction_courses_any",
                   "n_prior_courses", "em_ever"):  # fmt: skip
        rows.note(new, column, "not expressible", "may_be_unknown", "newly diagnosed: no course and no response yet")
    for name in ("cr", "consolidation"):
        for column in (f"months_from_{name}_to_relapse", f"months_from_first_{name}_to_first_relapse",
                       f"shortest_months_from_{name}_to_relapse"):  # fmt: skip
            rows.note(new, column, "not expressible", "may_be_unknown", "follows from the number of relapses")
            rows.note(unclear & (s["n_relapses"] > 0), column, "undated", "contains", "depends on hidden days")
