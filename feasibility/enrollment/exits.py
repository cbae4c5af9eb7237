"""What ends eligibility: deaths, transplants and other trials from an extract, and how fast eligible patients go."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.cohort.index_dates import MAIN_DATE
from feasibility.cohort.windows import add_months
from feasibility.enrollment.dated import DAY, LEVELS
from feasibility.enrollment.periods import MONTH_DAYS
from feasibility.enrollment.spells import CENSORED
from feasibility.errors import CohortError, FeasibilityError, did_you_mean

OPEN = np.datetime64("2200-01-01", "D")
"""Where a stated observation period has no end."""


def exits(extract, *, transplants: bool = True, more: pd.DataFrame | None = None) -> pd.DataFrame:
    """Deaths and transplants of an extract, and exits known from elsewhere, as ``spells`` reads them.

    ``more`` adds rows of patient_id, date, how, for example of patients who went to ``another trial``. Returns
    patient_id, date, how (``death``, ``transplant``, ...), by patient and date. A date known to the month counts as its
    last possible day, as it does when index dates are made.

    Raises CohortError where ``more`` lacks a column.
    """
    people = extract.tables["patients"]
    parts = [_dates(people, "death_date", "death")]
    if transplants and "transplants" in extract.tables:
        parts.append(_dates(extract.tables["transplants"], "date", "transplant"))
    if more is not None:
        for name in ("patient_id", "date", "how"):
            if name not in more.columns:
                raise CohortError(f"The further exits have no column {name!r}.{did_you_mean(name, more.columns)}")
        parts.append(more[["patient_id", "date", "how"]].assign(date=pd.to_datetime(more["date"])))
    table = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True).drop_duplicates()
    return table.sort_values(["patient_id", "date", "how"], ignore_index=True)


def observation(extract, *, months: int = 12) -> pd.DataFrame:
    """When each patient counts as observed: from every dated record until ``months`` calendar months after it.

    Returns patient_id, start, end (both days included), periods of one patient apart or overlapping. It is the rule of
    ``observed_months`` of the index dates; a stated observation period counts as records on each of its days.
    """
    if isinstance(months, bool) or not isinstance(months, int) or months < 1:
        raise CohortError(f"observation: months is {months!r}; it is a whole number of 1 or more.")
    parts = []
    for name, column in [*MAIN_DATE.items(), ("patients", "last_visit")]:
        if name in extract.tables:
            table = extract.tables[name]
            got = table.select(pid=table.pid, first=table[column], last=table[column + "_last"])
            pid, first, last = _columns(got.filter(got.pid.notnull(), got["first"].notnull(), got["last"].notnull()))
            # A date known to the month counts once all of it is past, and while its first day is in reach.
            parts.append((pid, last, _in_reach(first, months)))
    if "observed" in extract.tables:
        got = extract.tables["observed"].select("pid", "start", "stop")
        pid, start, stop = _columns(got.filter(got.pid.notnull(), got.start.notnull()))
        parts.append((pid, start, np.where(np.isnat(stop), OPEN, _in_reach(stop, months))))
    pid, start, end = (np.concatenate(one) for one in zip(*parts, strict=True))
    table = pd.DataFrame({"patient_id": pid, "start": start, "end": end})
    table = table[table["end"] >= table["start"]]
    return table.sort_values(["patient_id", "start"], ignore_index=True)


def _columns(table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    got = table.distinct().to_pyarrow()
    dates = (got.column(i).to_numpy().astype("datetime64[D]") for i in (1, 2))
    return np.array(got.column(0).to_pylist(), dtype=object), *dates


def _in_reach(day: np.ndarray, months: int) -> np.ndarray:
    """The last index date from which ``months`` calendar months back include the day."""
    month_end = (day + DAY).astype("datetime64[M]") > day.astype("datetime64[M]")
    far = day.astype("datetime64[M]") + np.timedelta64(months, "M")
    # The end of a shorter month is reached from every day up to the end of the later one.
    return np.where(month_end, (far + 1).astype("datetime64[D]") - DAY, add_months(day, months))


def cumulative_incidence(spells: pd.DataFrame, level: str = "confirmed", *, causes: Iterable[str] = ()) -> pd.DataFrame:
    """What share of eligible patients has left by which way, so many days after becoming eligible (Aalen-Johansen).

    Each way out takes patients from the others, so the shares and those still eligible add up to one; one minus
    Kaplan-Meier of each way alone would add up to more. Spells already running on the first day are left out: their
    true start is not known.

    Returns
    -------
    DataFrame by ``days`` from 0: one column a way out and ``still_eligible`` (shares), ``<way>_se`` (standard errors,
    missing where not defined), n_at_risk. ``causes`` names ways to list even if nobody took them.

    Raises FeasibilityError where there is no spell of that level. Source: Aalen and Johansen 1978; computed by
    statsmodels' ``CumIncidenceRight``.

    >>> rows = pd.DataFrame({"level": "confirmed", "days": [10, 20, 30, 40], "in_progress": False,
    ...                      "ended": ["lost", "death", "lost", "censored"]})
    >>> cumulative_incidence(rows).loc[30, ["lost", "death", "still_eligible"]].tolist()
    [0.5, 0.25, 0.25]
    """
    from statsmodels.duration.survfunc import CumIncidenceRight

    new = _of_level(spells, level)
    new = new[~new["in_progress"].astype(bool)]
    if not len(new):
        raise FeasibilityError(
            f"No {level} spell starts after the first day, so nothing says how they end."
            " Ask for a longer period, or for level='possible'."
        )
    ways = sorted(set(new["ended"]) - {CENSORED} | set(causes))
    code = new["ended"].map({w: i + 1 for i, w in enumerate(ways)}).fillna(0).to_numpy(dtype="int64")
    days = new["days"].to_numpy(dtype="float64")
    # Where everybody still there leaves on the last day, the library divides by zero for the standard error.
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = CumIncidenceRight(days, code) if code.any() else None
    times = np.unique(days)
    columns: dict[str, np.ndarray] = {}
    for i, way in enumerate(ways):
        there = fit is not None and i < len(fit.cinc)
        columns[way] = np.r_[0.0, fit.cinc[i] if there else np.zeros(len(times))]
        columns[way + "_se"] = np.r_[0.0, fit.cinc_se[i] if there else np.zeros(len(times))]
    table = pd.DataFrame(columns, index=pd.Index(np.r_[0, times].astype("int64"), name="days"))
    table["still_eligible"] = 1 - table[ways].sum(axis=1) if ways else 1.0
    table["n_at_risk"] = len(days) - np.searchsorted(np.sort(days), table.index, side="left")
    table.attrs.update(level=level, ways=ways, n_spells=len(new), n_censored=int((code == 0).sum()))
    return table


@dataclass(frozen=True)
class ExitRate:
    """How fast eligible patients are lost: per month ``rate`` with a 95 % interval, and ``half_life`` in months.

    ``by_way`` splits the rate by how spells ended; ``median_months`` is the Kaplan-Meier median of new spells, which
    assumes no constant rate (missing if fewer than half have ended). The interval assumes one, so compare both.
    """

    level: str
    n_spells: int
    n_ended: int
    person_months: float
    rate: float
    low: float
    high: float
    half_life: float
    median_months: float
    by_way: dict[str, float]


def half_life(spells: pd.DataFrame, level: str = "confirmed") -> ExitRate:
    """How long it takes until half of the eligible patients are lost, whatever the way.

    The rate is spells ended by person-months eligible, with the exact Poisson interval (Garwood 1936). Spells running
    on the first day count from that day on, which a constant rate allows.

    Raises FeasibilityError where there is no spell of that level.

    >>> rows = pd.DataFrame({"level": "confirmed", "days": [60, 60, 60], "in_progress": False,
    ...                      "ended": ["lost", "death", "censored"]})
    >>> found = half_life(rows)
    >>> round(found.rate, 4), round(found.half_life, 2)
    (0.3382, 2.05)
    """
    from scipy.stats import chi2
    from statsmodels.duration.survfunc import SurvfuncRight

    chosen = _of_level(spells, level)
    if not len(chosen):
        raise FeasibilityError(f"There is no {level} spell, so nothing says how fast eligible patients are lost.")
    gone = (chosen["ended"] != CENSORED).to_numpy()
    months, n = float(chosen["days"].sum()) / MONTH_DAYS, int(gone.sum())
    low, high = (float(chi2.ppf(0.025, 2 * n)) / 2 if n else 0.0), float(chi2.ppf(0.975, 2 * n + 2)) / 2
    new = ~chosen["in_progress"].to_numpy(dtype=bool)
    median = math.nan
    if (gone & new).any():
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = SurvfuncRight(chosen["days"].to_numpy(dtype="float64")[new], gone[new].astype("int64"))
        median = float(fit.quantile(0.5)) / MONTH_DAYS
    by_way = chosen.loc[gone, "ended"].value_counts().sort_index() / months
    return ExitRate(
        level, len(chosen), n, months, n / months, low / months, high / months,
        math.log(2) * months / n if n else math.inf, median, {str(k): float(v) for k, v in by_way.items()},
    )  # fmt: skip


def enrolled_before_lost(enrollment_rate: float, loss_rate: float) -> float:
    """The chance that a patient who is eligible today is enrolled before being lost, both at constant rates.

    Both rates per month: nu / (nu + mu). ``half_life(spells).rate`` is the loss rate.

    >>> round(enrolled_before_lost(0.5, math.log(2) / 5), 4)
    0.7829
    """
    for name, rate in (("enrollment_rate", enrollment_rate), ("loss_rate", loss_rate)):
        if not (isinstance(rate, (int, float)) and rate >= 0 and math.isfinite(rate)):
            raise FeasibilityError(f"{name} is {rate!r}; it is a rate per month of 0 or more.")
    if enrollment_rate + loss_rate == 0:
        raise FeasibilityError("Both rates are 0: nobody is ever enrolled or lost.")
    return enrollment_rate / (enrollment_rate + loss_rate)


def _of_level(spells: pd.DataFrame, level: str) -> pd.DataFrame:
    for name in ("level", "days", "ended", "in_progress"):
        if name not in spells.columns:
            raise FeasibilityError(f"The table of spells has no column {name!r}.{did_you_mean(name, spells.columns)}")
    if level not in LEVELS:
        raise FeasibilityError(f"level is {level!r}; it can be confirmed or possible.{did_you_mean(level, LEVELS)}")
    return spells[spells["level"] == level]


def _dates(table, column: str, how: str) -> pd.DataFrame:
    got = table.select(patient_id=table.pid, date=table[column + "_last"])
    got = got.filter(got.patient_id.notnull(), got.date.notnull())
    got = got.group_by("patient_id").aggregate(date=got.date.min()) if how == "death" else got.distinct()
    frame = got.to_pyarrow().to_pandas()
    return frame.assign(date=pd.to_datetime(frame["date"]), how=how)
