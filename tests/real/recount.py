"""Recounts cohort columns and criteria from plain Python facts, by the clinical specification and none of our code.

A test reads the raw files with csv or json into ``Facts``; a diagnosis, procedure or result is a tuple with its day
first. Days are ``datetime.date``; what is unknown is None, what never happened ``NEVER``.
"""

from __future__ import annotations

import calendar
import csv
import datetime as dt
import math
from dataclasses import dataclass, field
from pathlib import Path

NEVER = math.inf


@dataclass
class Facts:
    """``people``: id to (birth day or (first, last), sex); ``index``: id to index date; the rest id to a list."""

    people: dict
    index: dict
    coded: dict = field(default_factory=dict)  # (day, code, text)
    labs: dict = field(default_factory=dict)  # (day, item, value, limit of normal or None)
    seen: dict = field(default_factory=dict)  # days with any record
    periods: dict = field(default_factory=dict)  # (start, stop)

    def add(self, kind: str, pid: str, fact) -> None:
        getattr(self, kind).setdefault(pid, []).append(fact)


def day(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text[:10]) if text else None


def months_before(at: dt.date, n: int) -> dt.date:
    year, month = divmod(at.year * 12 + at.month - 1 - n, 12)
    return dt.date(year, month + 1, min(at.day, calendar.monthrange(year, month + 1)[1]))


def years(born: dt.date, at: dt.date) -> int:
    """Completed years; somebody born on 29 February has a birthday on 28 February of a common year."""
    birthday = min(born.day, calendar.monthrange(at.year, born.month)[1])
    return at.year - born.year - ((at.month, at.day) < (born.month, birthday))


def age(facts: Facts, pid: str):
    """(least, greatest) completed years."""
    born = facts.people[pid][0]
    first, last = born if isinstance(born, tuple) else (born, born)
    return years(last, facts.index[pid]), years(first, facts.index[pid])


def observed(facts: Facts, pid: str) -> bool:
    at = facts.index[pid]
    begin = months_before(at, 12)
    return any(begin <= d <= at for d in facts.seen.get(pid, ())) or any(
        start <= at and (stop is None or stop >= begin) for start, stop in facts.periods.get(pid, ())
    )


def events(facts: Facts, pid: str, *codes: str) -> list:
    """Coded facts up to the index date; a code ending in * is a prefix."""
    exact = {c for c in codes if not c.endswith("*")}
    heads = tuple(c[:-1] for c in codes if c.endswith("*"))
    return [
        e for e in facts.coded.get(pid, ())
        if e[0] <= facts.index[pid] and (e[1] in exact or (heads and e[1].startswith(heads)))
    ]  # fmt: skip


def ever(facts: Facts, pid: str, *codes: str) -> bool | None:
    if events(facts, pid, *codes):
        return True
    return False if observed(facts, pid) else None


def last_day(facts: Facts, pid: str, *codes: str):
    found = events(facts, pid, *codes)
    if found:
        return max(e[0] for e in found)
    return NEVER if observed(facts, pid) else None


def within(last, at: dt.date, n_months: int) -> bool | None:
    """Whether an event of that last day lies in the months up to the index date, both ends counted."""
    if last is None or last is NEVER:
        return None if last is None else False
    return last >= months_before(at, n_months)


def latest(facts: Facts, pid: str, items, window: int, low: float, high: float, worse=max):
    """(value, days old, limit) of the latest possible result in the window, of one day the worst; or None."""
    at = facts.index[pid]
    good = [
        r for r in facts.labs.get(pid, ())
        if r[1] in items and 0 <= (at - r[0]).days <= window and r[2] is not None and low <= r[2] <= high
    ]  # fmt: skip
    if not good:
        return None
    newest = max(r[0] for r in good)
    best = worse((r for r in good if r[0] == newest), key=lambda r: r[2])
    return best[2], (at - newest).days, best[3] if len(best) > 3 else None


def longest_run(orders, at: dt.date, gap: int = 7, recent: int | None = 28) -> int:
    """Most days from the first to the last of orders that are no more than ``gap`` days apart, both ends counted.

    ``orders`` are (start, stop) up to ``at``; with ``recent`` only runs that reach into the last so many days count.
    """
    runs: list[list[dt.date]] = []
    for start, stop in sorted((s, min(e, at)) for s, e in orders if s <= at and s <= e):
        if runs and (start - runs[-1][1]).days <= gap + 1:
            runs[-1][1] = max(runs[-1][1], stop)
        else:
            runs.append([start, stop])
    return max(((e - s).days + 1 for s, e in runs if recent is None or (at - e).days <= recent), default=0)


def cells(cohort, name: str) -> dict:
    """A column of the cohort by patient: None where unknown, (low, high) where known between bounds."""
    import pandas as pd

    ids = [str(i[0]) for i in cohort.index]
    low = cohort[name].tolist()
    high = cohort[name + "__upper"].tolist() if name + "__upper" in cohort else low
    return {
        pid: None if pd.isna(a) else a if pd.isna(b) or a == b else (a, b)
        for pid, a, b in zip(ids, low, high, strict=True)
    }


def verdicts(screening, criterion: str) -> dict:
    """passes of one criterion by patient: True, False or None."""
    import pandas as pd

    column = screening.passes[criterion]
    ids = [str(i[0]) if isinstance(i, tuple) else str(i) for i in column.index]
    return {pid: None if pd.isna(v) else bool(v) for pid, v in zip(ids, column.tolist(), strict=True)}


def funnel(ids, criteria: dict) -> dict:
    """Criterion to (entering, excluded, remaining), in the order of the protocol.

    ``criteria`` maps a criterion to the verdict of each patient; those not named are taken to exclude nobody, so every
    one that does must be named.
    """
    left, result = list(ids), {}
    for name, verdict in criteria.items():
        staying = [p for p in left if verdict[p] is not False]
        result[name] = (len(left), len(left) - len(staying), len(staying))
        left = staying
    return result


def counted(attrition, names) -> dict:
    """The same three numbers out of our funnel."""
    table = attrition[["n_entering", "n_excluded", "n_remaining"]]
    return {n: tuple(int(v) for v in table.loc[n]) for n in names}


def any_of(*values):
    """Three-valued or: True if any is, else None if any is unknown."""
    return True if any(v is True for v in values) else None if any(v is None for v in values) else False


def negated(value):
    return None if value is None else not value


def fertile(facts: Facts, pid: str) -> bool | None:
    """Childbearing potential by sex and age alone: 18 to 49 yes, from 55 no, otherwise not known."""
    low, high = age(facts, pid)
    if facts.people[pid][1] == "male" or low >= 55:
        return False
    return True if 18 <= low and high <= 49 else None


def not_pregnant(facts: Facts, pid: str, *codes: str) -> bool | None:
    """Criterion E4.1 without tests: a pregnancy coded in the last 280 days proves one, only age or sex excludes it."""
    coded = [e for e in events(facts, pid, *codes) if (facts.index[pid] - e[0]).days <= 280]
    can = fertile(facts, pid)
    return True if can is False else False if coded and can else None


def heart_attack_or_bypass(facts: Facts, pid: str, attack, bypass) -> bool | None:
    """Criterion E3.2: passes (True) without either in the six months up to the index date."""
    at = facts.index[pid]
    return negated(any_of(*(within(last_day(facts, pid, *c), at, 6) for c in (attack, bypass))))


def age_18_to_70(facts: Facts, pid: str) -> bool | None:
    low, high = age(facts, pid)
    return True if low >= 18 and high <= 70 else False if high < 18 or low > 70 else None


def long_use(facts: Facts, pid: str, others: dict, steroids: dict) -> bool | None:
    """Criterion E2.2 where no order says what for or how much: under 28 days of either passes, else it is open."""
    at = facts.index[pid]
    runs = [longest_run(orders.get(pid, ()), at) for orders in (others, steroids)]
    if any(n >= 28 for n in runs):
        return None
    return True if observed(facts, pid) or all(runs) else None


def frozen(data: str) -> dict:
    """Three cells or so of every column that is not empty, read off the raw files: column to patient to value.

    Laboratory values, ages, dates and exposures were recomputed from the raw rows; serology, blasts and what follows
    from them were looked up by eye.
    """
    result: dict = {}
    with (Path(__file__).parent / "cells.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["data"] == data:
                ends = [_literal(part) for part in row["value"].split("..")]
                result.setdefault(row["column"], {})[row["patient"]] = ends[0] if len(ends) == 1 else tuple(ends)
    return result


def _literal(text: str):
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)
    except ValueError:
        return text.strip("'")


def differing(cohort, data: str) -> list:
    """(column, patient, raw, cohort) of the frozen cells that are not as they were read off the raw files."""
    result = []
    for name, expected in frozen(data).items():
        found = cells(cohort, name)
        result += [(name, p, v, found.get(p)) for p, v in expected.items() if not _same(v, found.get(p))]
    return result


def _same(a, b) -> bool:
    if isinstance(a, tuple) or isinstance(b, tuple):
        return isinstance(a, tuple) and isinstance(b, tuple) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, int | float) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=1e-6)
    return type(a) is type(b) and a == b
