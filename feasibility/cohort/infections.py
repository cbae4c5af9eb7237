"""Active infections: the latest assessment, or a treatment that proves one where nobody assessed it."""

from __future__ import annotations

import numpy as np

from feasibility.cohort.allergies import severity_of
from feasibility.cohort.event_rows import Rows, each
from feasibility.cohort.function import pick, truth
from feasibility.cohort.once import dated_events, no_events
from feasibility.cohort.orders import orders_of

IN_VEIN = r"^i\.?v|intraven|infusion|drip|静"


def build_infections(rows: Rows) -> None:
    """Fill active_infection, infection_severe and infection_controlled (clinical specification, E1 and 9.9)."""
    names = ("active_infection", "infection_severe", "infection_controlled")
    if not rows.wants(*names):
        return
    window = int(rows.setting("active_infection", "window_days", 28))
    proxy = rows.setting("active_infection", "iv_proxy_proves_presence", True)
    proved = _treated_in_vein(rows, window) if proxy else np.zeros(rows.n, dtype=bool)
    if not rows.has("infections") and not proved.any():
        return
    events = rows.events("infections", "date", undated=True) if rows.has("infections") else no_events()
    severe, active, controlled = (np.zeros(0) for _ in range(3))
    if len(events):
        severe = each(events["severity"], severity_of, np.nan).to_numpy(dtype="float64")
        active, controlled = (truth(events[c]) for c in ("active", "controlled"))
    worse = np.nan_to_num(active) * 4 + np.nan_to_num(severe) * 2 + (1 - np.nan_to_num(controlled))
    chosen, least, most, status = pick(rows, events, ~np.isnan(active), worse, window)

    def of(values):
        return np.where(chosen >= 0, values[chosen] if len(values) else np.nan, np.nan)

    # Where nobody assessed it, the treatment proves an infection that is severe and not controlled, never absence.
    proved &= chosen < 0
    least[proved] = most[proved] = 0.0
    present = np.where(proved, 1.0, of(active))
    rows.put_plain(names[0], present == 1, np.isnan(present), status)
    rows.put("days_since_active_infection", least, most, status)
    for name, values, given in zip(names[1:], (severe, controlled), (1.0, 0.0), strict=True):
        one = np.where(proved, given, of(values))
        rows.put_plain(name, one == 1, np.isnan(one) | (present != 1), status)


def _treated_in_vein(rows: Rows, window: int) -> np.ndarray:
    """An anti-infective into a vein that goes on at the index date, and a severe infection coded in the window."""
    at = orders_of(rows, "anti_infectives", IN_VEIN, ongoing=True)
    coded = dated_events(rows, "diagnoses", {"infection": ["severe_infection"]})
    treated, infected = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
    treated[at["row"].to_numpy().astype("int64")] = True
    if coded is not None:
        coded = coded[coded["open"] == 0]
        row = coded["row"].to_numpy().astype("int64")
        recent = coded["first"].to_numpy().astype("datetime64[D]") >= rows.index[row] - np.timedelta64(window, "D")
        infected[row[recent]] = True
    return treated & infected
