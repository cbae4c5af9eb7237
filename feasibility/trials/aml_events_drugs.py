"""Steroids and other immunosuppressants of the synthetic registry as orders with doses and indications."""

from __future__ import annotations

import numpy as np

from feasibility.trials.aml_events import Rows, Source

ANY_DOSE = 2000.0
"""Prednisone equivalent that an order without a dose may reach: the hard range of the columns."""
WINDOW = 28
"""Days before the index date over which steroid doses are averaged."""
OTHER_DISEASE = ("rheumatoid arthritis", "systemic lupus erythematosus", "类风湿关节炎", "肾病综合征")
AGENTS = {
    "methotrexate": ("L04AX03", "6851", 15.0, "qw"), "azathioprine": ("L04AX01", "1256", 100.0, "qd"),
    "ciclosporin": ("L04AD01", "3008", 100.0, "bid"), "tacrolimus": ("L04AD02", "42316", 1.0, "bid"),
    "mycophenolate mofetil": ("L04AA06", "68149", 500.0, "bid"),
}  # fmt: skip
STEROIDS = {"prednisone": ("H02AB07", "8640", 1.0), "prednisolone": ("H02AB06", "8638", 1.0),
            "methylprednisolone": ("H02AB04", "6902", 1.25)}  # fmt: skip


def write(s: Source, rows: Rows) -> None:
    _steroids(s, rows)
    _agents(s, rows)
    _other_disease(s, rows, s["hsct"], s["days_since_immunosuppressant"])


def order(s: Source, rows: Rows, who, generic, start, stop, dose, freq, indication, codes, **more) -> None:
    text = dict(unit="mg", route="po", prn=False, status="ordered") | more
    atc, rxnorm = codes
    rows.add("medications", who, start=start, stop=stop, atc=atc, rxnorm=rxnorm, generic=generic, dose=dose, freq=freq,
             indication=indication, **text)  # fmt: skip


def _steroids(s: Source, rows: Rows) -> None:
    D, hidden = s.index_date, s.hole("steroid")
    current, length = s["steroid_days"] > 0, s["steroid_days"].astype(int)
    name = s.pick("which steroid", STEROIDS)
    codes = [np.array([STEROIDS[k][j] for k in name], dtype=object) for j in (0, 1)]
    factor = np.array([STEROIDS[k][2] for k in name])
    freq = s.pick("how often", ["qd", "bid", "qod"])
    times = np.select([freq == "bid", freq == "qod"], [2.0, 0.5], 1.0)
    indication = np.where(hidden, "", s.pick("other disease", OTHER_DISEASE)).astype(object)

    def course(who, start, stop, per_day):
        dose = np.where(hidden, np.nan, np.round(per_day / factor / times, 6))
        order(s, rows, who, name, start, stop, dose, freq, indication, codes)

    today = np.full(s.size, D)
    start = today - (length - 1).clip(0)
    inside = np.maximum(start, today - WINDOW)
    mean, peak, now, ever = (s[f"steroid_{k}"] for k in ("mean", "max", "current", "max_ever"))
    tapered = current & (now < mean)
    plan = today + s.whole("steroid planned", 5, 60)
    course(current & ~tapered, inside, plan, mean)
    course(tapered, inside, inside + 9, peak)
    course(tapered, inside + 10, today - 10, mean)
    course(tapered, today - 9, plan, now)
    longer = current & (start < inside)
    course(longer, start, inside - 1, ever)
    # A course that began at a higher dose and leaves no room for it: the higher dose was an earlier course.
    before = start - 60
    course(current & ~longer & (ever > peak), before - 27, before, ever)
    past = ~current & (s["steroid_days_ever"] > 0)
    stop = s.ago(_past_stop(s))
    course(past, stop - (s["steroid_days_ever"].astype(int) - 1).clip(0), stop, ever)
    # Of the others whose steroids are not clear: an order without dose and without indication.
    vague = hidden & ~current & ~past
    blank = np.full(s.size, np.nan)
    few = s.whole("vague steroid", 1, 6)
    order(s, rows, vague, "dexamethasone", today - few, today, blank, "qd", "", ("H02AB02", "3264"))
    # Kleene: such an order may count or not, with any dose; it cannot make a long course of a short one.
    longest = np.where(vague, few + 1, s["steroid_days_ever"].astype(int))
    lately = np.select([vague, current], [few + 1, length], 0)
    upper = {"steroid_days": lately, "steroid_days_ever": longest,
             "steroid_mg_day_max_ever": np.where(longest >= WINDOW, ANY_DOSE, 0.0)}  # fmt: skip
    for column in ("steroid_mg_day_mean", "steroid_mg_day_current", "steroid_mg_day_max"):
        upper[column] = np.where(lately > 0, ANY_DOSE, 0.0)
    for column, most in upper.items():
        rows.note(hidden, column, "steroid", "bounds", "an order without dose and indication", np.zeros(s.size),
                  most.astype(float))  # fmt: skip
    # Such an order may count as the immunosuppressant of a transplant recipient, too.
    rows.note(hidden & s["hsct"], "days_since_immunosuppressant", "steroid", "contains", "steroid without dose")
    rows.note(hidden & s["hsct"] & (current | past), "days_since_immunosuppressant", "steroid", "any",
              "steroid without dose")  # fmt: skip
    inhaled = s.happens("inhaled steroid", s.problems.decoys)
    rows.count("decoys", inhaled)
    order(s, rows, inhaled, "budesonide", today - 40, today, np.full(s.size, 0.4), "bid", "asthma",
          ("R03BA02", "19831"), route="inhaled")  # fmt: skip


def _past_stop(s: Source) -> np.ndarray:
    """Days since a past course ended: never inside the last 28, never later than a transplant's immunosuppressants."""
    days = s.whole("past course ended", 29, 500)
    last = s["days_since_immunosuppressant"]
    return np.where(np.isfinite(last), np.maximum(days, last), days)


def _agents(s: Source, rows: Rows) -> None:
    today = np.full(s.size, s.index_date)
    current, ever = s["nonsteroid_days"] > 0, s["nonsteroid_days_ever"] > 0
    length = s["nonsteroid_days_ever"].astype(int)
    name = s.pick("which agent", ["methotrexate", "azathioprine", "ciclosporin"])
    codes = [np.array([AGENTS[k][j] for k in name], dtype=object) for j in (0, 1)]
    dose = np.array([AGENTS[k][2] for k in name])
    freq = np.array([AGENTS[k][3] for k in name], dtype=object)
    indication = s.pick("disease of agent", OTHER_DISEASE)
    plan = today + s.whole("agent planned", 5, 90)
    order(s, rows, current, name, today - (length - 1).clip(0), plan, dose, freq, indication, codes)
    stop = s.ago(_past_stop(s))
    order(s, rows, ever & ~current, name, stop - (length - 1).clip(0), stop, dose, freq, indication, codes)


def _other_disease(s: Source, rows: Rows, hsct, last) -> None:
    """Immunosuppressants for another disease are immunosuppressants after a transplantation, too."""
    reason = "immunosuppressant for another disease"
    clear = ~s.hole("steroid")
    current = (s["nonsteroid_days"] > 0) | ((s["steroid_days"] > 0) & (s["steroid_current"] > 7.5) & clear)
    rows.note(hsct & current, "days_since_immunosuppressant", "other disease", "value", reason,
              np.zeros(s.size))  # fmt: skip
    below = (s["steroid_days"] > 0) & (s["steroid_current"] <= 7.5) & (s["steroid_max"] > 7.5) & clear
    said = np.where(np.isfinite(last) & ~s.hole("immunosuppressant_stop"), last, 10.0)
    rows.note(hsct & below & (said != 0), "days_since_immunosuppressant", "other disease", "value", reason,
              np.minimum(said, 10.0))  # fmt: skip
    past = ((s["nonsteroid_days_ever"] > 0) | (s["steroid_days_ever"] > 0)) & ~current & ~below
    stop = _past_stop(s)
    unsaid = s.hole("immunosuppressant_stop") | ~np.isfinite(last)
    for who, outcome in ((clear, "value"), (~clear, "any")):
        rows.note(hsct & past & unsaid & who, "days_since_immunosuppressant", "other disease", outcome, reason, stop)
