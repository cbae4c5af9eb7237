"""Eligibility spells: from when to when each patient could have joined, and what ended it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.enrollment.dated import DAY, LEVELS, DatedScreening
from feasibility.errors import CohortError, did_you_mean

LOST, CENSORED = "lost", "censored"
FAR = np.datetime64("9999-12-31", "D")
_SPAN = 10_000_000  # more than there are days in any calendar, so that (person, day) is one sortable number


def spells(
    dated: DatedScreening,
    *,
    exits: pd.DataFrame | None = None,
    observation: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """From when to when each patient was eligible, confirmed and possible, and how it ended.

    Parameters
    ----------
    dated : what ``screen_dates`` returned, best of a cohort built with ``at_changes``.
    exits : what ends eligibility besides the criteria: patient_id, date, how (``exits(extract)`` makes it).
    observation : when each patient was observed: patient_id, start, end, both days included
        (``observation(extract)``). Outside it nothing is counted and a spell is censored. Without it a status holds
        until the next row or the end.

    Returns
    -------
    DataFrame, one row a spell, by level, patient and start: level, patient_id, number (1, 2, ...), start (first day),
    end (first day no longer eligible, or no longer known), days (end - start), ended (``lost``: a criterion turned;
    the word of the exit, such as ``death``; or ``censored``), in_progress (eligible on the first day asked for, so
    the true start is earlier), and the strata at the start.

    An exit ends the spell and what is left of it: the patient comes back with a new one, after being ineligible. An
    exit on the first day of a spell, or before, does not end it.

    Raises CohortError for exits or observation without the columns, and for index dates after a death.

    >>> from feasibility.enrollment.dated import dated_statuses
    >>> rows = pd.DataFrame({"patient_id": ["A"] * 3, "index_date": ["2024-01-01", "2024-03-05", "2024-03-20"],
    ...                      "status": ["ineligible", "eligible", "ineligible"]})
    >>> found = spells(dated_statuses(rows, end="2024-12-31"))
    >>> found.loc[found.level == "confirmed", ["days", "ended"]].values.tolist()
    [[15, 'lost']]
    """
    lines = Lines.of(dated, exits, observation)
    parts = []
    for level in LEVELS:
        runs = lines.runs(dated.mask(level))
        part = pd.DataFrame(
            {
                "level": level,
                "patient_id": dated.people[runs["person"]],
                "number": runs.groupby("person").cumcount() + 1,
                "start": pd.DatetimeIndex(runs["start"]),
                "end": pd.DatetimeIndex(runs["end"]),
                "days": (runs["end"] - runs["start"]).dt.days,
                "ended": runs["ended"].astype(object),
                "in_progress": runs["start"] == pd.Timestamp(dated.start),
            }
        )
        if dated.strata is not None:
            for name in dated.strata:
                part[name] = dated.stratum(name)[runs["row"]]
        same(f"patients with a {level} spell", part["patient_id"].nunique(), lines.n_ever(dated.mask(level)))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Lines:
    """The rows of a dated screening by patient and date, with how long each holds; made once, used for many masks."""

    order: np.ndarray
    person: np.ndarray
    day: np.ndarray
    until: np.ndarray  # first day the row no longer holds when the patient has no next one
    joined: np.ndarray  # whether the row holds until the next one
    watched: np.ndarray  # whether the patient was observed then
    exits: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, dated: DatedScreening, exits=None, observation=None) -> Lines:
        order = dated.order
        person, day = dated.person[order], dated.day[order]
        end = dated.end + DAY
        until = np.full(len(day), end)
        joined = np.r_[person[1:] == person[:-1], False] if len(day) else np.zeros(0, bool)
        if dated.policy == "monthly" and len(day):
            # On a grid a missing row means that the patient was not there: nothing is known after the next grid date.
            grid = np.unique(day)
            following = np.r_[grid[1:], end][np.searchsorted(grid, day)]
            until = following
            joined &= np.r_[day[1:], end] == following
        watched = np.ones(len(day), bool)
        if observation is not None:
            who, start, stop = _periods(observation, dated.people)
            at = np.searchsorted(_key(who, start), _key(person, day), side="right") - 1
            found = np.maximum(at, 0)
            watched = (at >= 0) & (who[found] == person) & (day < stop[found]) if len(who) else np.zeros(len(day), bool)
            until = np.where(watched, np.minimum(until, stop[found]) if len(who) else until, until)
            joined &= np.r_[at[1:] == at[:-1], False] & watched & np.r_[watched[1:], False]
        lines = cls(order, person, day, until, joined, watched, _exits(exits, dated.people, dated.end))
        lines._check_deaths()
        return lines

    def n_ever(self, mask: np.ndarray) -> int:
        """Patients for whom the mask holds on some row while observed; counted without making spells."""
        return len(np.unique(self.person[mask[self.order] & self.watched]))

    def runs(self, mask: np.ndarray) -> pd.DataFrame:
        """The spells of any mask over the rows: person, start, end, ended, row (in the cohort's order)."""
        state = mask[self.order] & self.watched
        going_on = self.joined & state & np.r_[state[1:], False]
        first = np.flatnonzero(state & ~np.r_[False, going_on[:-1]])
        last = np.flatnonzero(state & ~going_on)
        start = self.day[first]
        lost = self.joined[last]
        end = np.where(lost, np.r_[self.day[1:], FAR][last], self.until[last])
        ended = np.where(lost, LOST, CENSORED).astype(object)
        who, when, how = self.exits
        if len(who):
            at = np.searchsorted(_key(who, when), _key(self.person[first], start), side="right")
            found = np.minimum(at, len(who) - 1)
            out = (at < len(who)) & (who[found] == self.person[first]) & (when[found] <= end)
            end, ended = np.where(out, when[found], end), np.where(out, how[found], ended)
        return pd.DataFrame(
            {"person": self.person[first], "start": start, "end": end, "ended": ended, "row": self.order[first]}
        )

    def _check_deaths(self) -> None:
        who, when, how = self.exits
        dead = np.flatnonzero(how == "death")
        if not len(dead) or not len(self.person):
            return
        last = np.flatnonzero(np.r_[self.person[1:] != self.person[:-1], True])
        latest = dict(zip(self.person[last].tolist(), self.day[last], strict=True))
        late = [i for i in dead if who[i] in latest and latest[who[i]] >= when[i]]
        if late:
            raise CohortError(
                f"{len(late)} patients have an index date on or after their death in the table of exits."
                " Take both from the same extract: exits(extract)."
            )


def _key(person, day) -> np.ndarray:
    return person.astype("int64") * _SPAN + (day - np.datetime64("1800-01-01", "D")).astype("int64")


def _need(table: pd.DataFrame, columns, what: str) -> None:
    for name in columns:
        if name not in getattr(table, "columns", ()):
            known = [str(c) for c in getattr(table, "columns", ())]
            raise CohortError(f"The table of {what} has no column {name!r}.{did_you_mean(name, known)}")


def _days(values, what: str) -> np.ndarray:
    try:
        days = pd.to_datetime(pd.Series(values)).to_numpy().astype("datetime64[D]")
    except (ValueError, TypeError) as problem:
        raise CohortError(f"The table of {what} has a date that cannot be read; write it like 2025-06-30.") from problem
    if np.isnat(days).any():
        raise CohortError(f"The table of {what} has {int(np.isnat(days).sum())} rows without a date; leave them out.")
    return days


def _exits(table, people: pd.Index, end):
    """(person, day, how) by person and day up to the end; of two exits on one day a death comes first."""
    if table is None or not len(table):
        if table is not None:
            _need(table, ("patient_id", "date", "how"), "exits")
        return np.empty(0, "int64"), np.empty(0, "datetime64[D]"), np.empty(0, object)
    _need(table, ("patient_id", "date", "how"), "exits")
    taken = set(table["how"]) & {LOST, CENSORED}
    if taken or table["how"].isna().any():
        got = sorted(taken)[0] if taken else "nothing"
        raise CohortError(
            f"The table of exits says how = {got!r}; use a word such as death, transplant, another trial."
        )
    who = people.get_indexer(table["patient_id"])
    day, how = _days(table["date"], "exits"), table["how"].to_numpy(dtype=object)
    order = np.lexsort((how != "death", day, who))
    order = order[(who[order] >= 0) & (day[order] <= end)]
    return who[order].astype("int64"), day[order], how[order]


def _periods(table, people: pd.Index):
    """(person, first day, first day after) of the times of observation, merged where they touch."""
    _need(table, ("patient_id", "start", "end"), "observation")
    who = people.get_indexer(table["patient_id"])
    start, stop = _days(table["start"], "observation"), _days(table["end"], "observation") + DAY
    if (stop <= start).any():
        raise CohortError("The table of observation has a period that ends before it starts.")
    order = np.lexsort((start, who))
    order = order[who[order] >= 0]
    who, start, stop = who[order].astype("int64"), start[order], stop[order]
    if not len(who):
        return who, start, stop
    # The running latest end within a patient, by one cumulative maximum over (person, day).
    reach = np.maximum.accumulate(_key(who, stop))
    fresh = np.r_[True, _key(who[1:], start[1:]) > reach[:-1]]
    ends = np.r_[np.flatnonzero(fresh)[1:] - 1, len(who) - 1]
    latest = np.datetime64("1800-01-01", "D") + (reach[ends] - who[ends] * _SPAN)
    return who[fresh], start[fresh], latest
