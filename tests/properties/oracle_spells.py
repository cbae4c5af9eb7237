"""Spells and arrivals by a plain loop over patients and days; shares no code with the package."""

from __future__ import annotations

import datetime as dt

ONE = dt.timedelta(days=1)
GOOD = {"confirmed": {"eligible"}, "possible": {"eligible", "undetermined"}}


def statuses(own, end, periods=None):
    """{day: status} of one patient, each carried to the next row; only days known to be observed since that row."""
    at, found, status, day = dict(own), {}, None, min(own)[0]
    while day <= end:
        if periods is not None and not any(a <= day <= b for a, b in periods):
            status = None
        else:
            status = at.get(day, status)
            if status is not None:
                found[day] = status
        day += ONE
    return found


def oracle_spells(rows, end, level, exits=(), observed=None):
    """[(patient, start, first day after, how)] from walking through the days one by one."""
    found = []
    for patient in sorted({r[0] for r in rows}):
        periods = None if observed is None else [(a, b) for p, a, b in observed if p == patient]
        own = statuses([r[1:] for r in rows if r[0] == patient], end, periods)
        ways = {}
        for who, day, how in exits:
            if who == patient and day <= end and (day not in ways or how == "death"):
                ways[day] = how
        start, previous, gone = None, None, False
        for day in [*sorted(own), None]:
            ok = day is not None and own[day] in GOOD[level]
            if start is not None and not gone and day is not None and day - previous == ONE and day in ways:
                found.append((patient, start, day, ways[day]))
                gone = True
            if start is not None and (not ok or day - previous != ONE):
                after = previous + ONE
                if not gone and after in ways:
                    found.append((patient, start, after, ways[after]))
                elif not gone:
                    found.append((patient, start, after, "lost" if day == after else "censored"))
                start, gone = None, False
            if ok and start is None:
                start = day
            previous = day
    return found


def oracle_arrivals(found, opening, last, washout=None):
    """(stock, first eligible days counted as arrivals) from the spells of one level."""
    stock, flow = 0, []
    for patient in sorted({f[0] for f in found}):
        own = sorted(f[1:3] for f in found if f[0] == patient)
        for i, (start, end) in enumerate(own):
            stock += start <= opening < end
            again = i > 0 and washout is not None and (start - own[i - 1][1]).days >= washout
            if opening < start <= last and (i == 0 or again):
                flow.append(start)
    return stock, sorted(flow)
