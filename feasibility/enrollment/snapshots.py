"""What looking once a month misses: eligibility that comes and goes between two snapshots."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.enrollment.dated import LEVELS, DatedScreening
from feasibility.enrollment.periods import MONTH_DAYS
from feasibility.enrollment.spells import CENSORED, Lines
from feasibility.errors import FeasibilityError, ScreeningError


def snapshot_missed_share(mean_spell_months: float, spacing_months: float = 1.0) -> float:
    """The share of eligibility spells that snapshots at equal distances never see.

    Spells with exponential lengths of mean ``mean_spell_months``, starting at any time between two snapshots:
    1 - d (1 - exp(-1/d)), with d the mean in units of the distance. Weekly snapshots are ``7 / 30.4375`` months apart.

    >>> [round(snapshot_missed_share(d), 4) for d in (0.5, 1, 2)]
    [0.5677, 0.3679, 0.2131]
    """
    for name, value in (("mean_spell_months", mean_spell_months), ("spacing_months", spacing_months)):
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise FeasibilityError(f"{name} is {value!r}; it is a number of months above 0.")
    d = mean_spell_months / spacing_months
    return 1 + d * math.expm1(-1 / d)


def snapshot_bias(
    event_driven: DatedScreening,
    monthly: DatedScreening,
    *,
    exits: pd.DataFrame | None = None,
    observation: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What monthly index dates miss, against event-driven ones of the same patients and protocol.

    Spells that start after the first snapshot and up to the last are looked at. Returns one row a level:

    n_spells, n_seen and n_missed (no snapshot lies within the spell), share_missed; mean_spell_months (days eligible by
    spells ended, censored ones included) and share_missed_expected (``snapshot_missed_share`` of that mean: it holds
    for exponential lengths); mean_days_seen and mean_days_missed (the snapshots favour the stable); n_patients (first
    eligible in that time), n_patients_missed (never seen eligible), mean_days_late (from the first eligible day to the
    snapshot that shows it); n_disagree (snapshots whose status differs from the event-driven one: above 0 the
    event-driven dates leave out a change, see the windows of ``at_changes``), n_snapshots.

    Raises ScreeningError for screenings of the wrong policies or of different patients.
    """
    for one, policy, name in ((event_driven, "at_changes", "event_driven"), (monthly, "monthly", "monthly")):
        if one.policy != policy:
            raise ScreeningError(f"snapshot_bias: {name} has index dates by {one.policy!r}, not {policy!r}.")
    strangers = ~monthly.people.isin(event_driven.people)
    if strangers.any():
        raise ScreeningError(
            f"snapshot_bias: {int(strangers.sum())} patients have monthly but no event-driven index dates; build both"
            " cohorts from one extract, with the same rule for who is observed."
        )
    grid = np.unique(monthly.day)
    if grid[0] < event_driven.start or grid[-1] > event_driven.end:
        raise ScreeningError(
            f"snapshot_bias: snapshots run from {grid[0]} to {grid[-1]}, outside the event-driven"
            f" {event_driven.start} to {event_driven.end}."
        )
    lines = Lines.of(event_driven, exits, observation)
    snapshots = _Snapshots(event_driven, monthly, lines)
    spacing = float(np.diff(grid).astype("int64").mean()) / MONTH_DAYS
    rows = [_compare(lines.runs(event_driven.mask(level)), snapshots, level, grid, spacing) for level in LEVELS]
    return pd.DataFrame(rows, index=pd.Index(LEVELS, name="level"))


class _Snapshots:
    """The monthly rows, sorted, on the patient numbers of the event-driven screening."""

    def __init__(self, event_driven: DatedScreening, monthly: DatedScreening, lines: Lines):
        person = event_driven.people.get_indexer(monthly.people)[monthly.person]
        self.order = np.lexsort((monthly.day, person))
        self.person, self.day = person[self.order], monthly.day[self.order]
        self.key = _number(self.person, self.day)
        code = event_driven.code[lines.order]
        at = np.searchsorted(_number(lines.person, lines.day), self.key, side="right") - 1
        self.known = (at >= 0) & (lines.person[np.maximum(at, 0)] == self.person)
        self.n_disagree = int((self.known & (code[np.maximum(at, 0)] != monthly.code[self.order])).sum())
        self.mask = {level: monthly.mask(level)[self.order] for level in LEVELS}


def _compare(runs: pd.DataFrame, snapshots: _Snapshots, level: str, grid: np.ndarray, spacing: float) -> dict:
    start, end = (runs[c].to_numpy().astype("datetime64[D]") for c in ("start", "end"))
    person = runs["person"].to_numpy()
    begun = ~runs["person"].duplicated().to_numpy()
    new = (start > grid[0]) & (start <= grid[-1])
    nearest = np.searchsorted(snapshots.key, _number(person, start))
    found = np.minimum(nearest, len(snapshots.key) - 1)
    seen = (nearest < len(snapshots.key)) & (snapshots.person[found] == person) & (snapshots.day[found] < end)
    days = (end - start).astype("int64")
    gone = int((runs["ended"].to_numpy()[new] != CENSORED).sum())
    mean = days[new].sum() / gone / MONTH_DAYS if gone else math.nan
    n, n_seen = int(new.sum()), int((new & seen).sum())
    # Patients first eligible in that time, and the first snapshot that shows them so.
    first = pd.Series(start[begun & new], index=person[begun & new])
    shown_rows = snapshots.mask[level]
    shown = pd.Series(snapshots.day[shown_rows], index=snapshots.person[shown_rows])
    shown = shown[~shown.index.duplicated()].reindex(first.index)
    late = (shown - first).dt.days.dropna() if len(first) else pd.Series(dtype=float)
    same(f"{level} spells seen and missed", n_seen + int((new & ~seen).sum()), n)
    return {
        "n_spells": n,
        "n_seen": n_seen,
        "n_missed": n - n_seen,
        "share_missed": (n - n_seen) / n if n else math.nan,
        "mean_spell_months": mean,
        "share_missed_expected": snapshot_missed_share(mean, spacing) if gone else math.nan,
        "mean_days_seen": _mean(days[new & seen]),
        "mean_days_missed": _mean(days[new & ~seen]),
        "n_patients": len(first),
        "n_patients_missed": int(shown.isna().sum()),
        "mean_days_late": float(late.mean()) if len(late) else math.nan,
        "n_disagree": snapshots.n_disagree,
        "n_snapshots": len(snapshots.key),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _number(person: np.ndarray, day: np.ndarray) -> np.ndarray:
    return person.astype("int64") * 10_000_000 + day.astype("int64")
