"""Spells, arrivals and their bounds against a loop over days, and against every completion of the unknowns."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from feasibility.enrollment.arrival_bounds import arrivals_bounds, arrivals_imputed
from feasibility.enrollment.arrivals import arrivals
from feasibility.enrollment.dated import dated_statuses
from feasibility.enrollment.spells import spells

from .oracle_spells import oracle_arrivals, oracle_spells

START = dt.date(2024, 1, 15)
LONG = 130
WORDS = ("eligible", "undetermined", "ineligible")


def day(k):
    return START + dt.timedelta(days=int(k))


@st.composite
def histories(draw, patients=4, rows=7):
    """(rows, exits, observation, last day) of a few patients."""
    made, exits, observed = [], [], []
    for p in [f"P{i}" for i in range(draw(st.integers(1, patients)))]:
        days = draw(st.lists(st.integers(0, LONG), min_size=1, max_size=rows, unique=True))
        made += [(p, day(k), draw(st.sampled_from(WORDS))) for k in sorted(days)]
        # Half of all other days are those of rows or next to them, where off-by-one errors show.
        near = st.one_of(st.integers(1, LONG + 20), st.sampled_from([d + x for d in days for x in (-1, 0, 1)]))
        for k in draw(st.lists(near, max_size=2, unique=True)):
            exits.append((p, day(k), draw(st.sampled_from(["transplant", "another trial"]))))
        if draw(st.booleans()):
            death = draw(st.one_of(st.just(max(days) + 1), st.integers(max(days) + 1, LONG + 30)))
            exits.append((p, day(death), "death"))
        for _ in range(draw(st.integers(0, 3))):
            a, b = draw(near), draw(near)
            observed.append((p, day(min(a, b)), day(max(a, b))))
    return made, exits, observed, day(LONG)


def screened(rows, end):
    table = pd.DataFrame(rows, columns=["patient_id", "index_date", "status"])
    return dated_statuses(table, start=START, end=end)


def table_of(rows, *columns):
    return pd.DataFrame(rows, columns=["patient_id", *columns])


@settings(max_examples=80, deadline=None)
@given(histories(), st.booleans(), st.booleans(), st.sampled_from([None, 1, 10, 40]), st.integers(0, 60))
def test_spells_and_arrivals_are_those_of_a_walk_through_the_days(history, with_exits, watched, washout, lookback):
    rows, exits, observed, end = history
    exits, observed = exits if with_exits else [], observed if watched else None
    dated = screened(rows, end)
    more = {
        "exits": table_of(exits, "date", "how"),
        "observation": None if observed is None else table_of(observed, "start", "end"),
    }
    found = spells(dated, **more)
    counted = arrivals(dated, lookback_days=lookback, washout_days=washout, **more)
    for level in ("confirmed", "possible"):
        expected = oracle_spells(rows, end, level, exits, observed)
        own = found[found.level == level]
        got = list(zip(own.patient_id, own.start.dt.date, own.end.dt.date, own.ended, strict=True))
        assert sorted(got) == sorted(expected)
        stock, flow = oracle_arrivals(expected, day(lookback), end, washout)
        assert counted.table.attrs["stock"][level] == stock
        assert counted.totals[f"pool_{level}"].sum() == sum(a <= end < b for _, a, b, _ in expected)
        by_month = {
            str(m): n for m, n in pd.Series(flow, dtype=object).map(lambda d: f"{d:%Y-%m}").value_counts().items()
        }
        assert {str(p): n for p, n in counted.table[f"n_{level}"].items() if n} == by_month


@settings(max_examples=60, deadline=None)
@given(histories(patients=2, rows=4), st.sampled_from(["month", "quarter"]), st.booleans())
def test_every_completion_of_the_unknowns_lies_within_the_bounds(history, by, watched):
    rows, exits, observed, end = history
    dated = screened(rows, end)
    settings_ = {"by": by, "lookback_days": 20, "exits": table_of(exits, "date", "how")}
    if watched:
        settings_["observation"] = table_of(observed, "start", "end")
    open_rows = np.flatnonzero(dated.code == 1)[:7]
    # Beyond seven unknown rows the rest stays ineligible: still completions, if not all of them.
    completions = np.tile(dated.mask("confirmed"), (2 ** len(open_rows), 1))
    for k, values in enumerate(itertools.product([False, True], repeat=len(open_rows))):
        completions[k, open_rows] = values
    counts = arrivals_imputed(dated, completions, **settings_).drop(columns=["stock", "pool"]).to_numpy()
    bounds = arrivals_bounds(dated, **settings_)
    assert (counts >= bounds.n_at_least.to_numpy()).all()
    assert (counts <= bounds.n_at_most.to_numpy()).all()
    so_far = counts.cumsum(axis=1)
    assert (so_far >= bounds.n_at_least_so_far.to_numpy()).all()
    assert (so_far <= bounds.n_at_most_so_far.to_numpy()).all()
    if (dated.code == 1).sum() <= 7:  # all completions: the bounds are reached
        assert (counts.min(axis=0) == bounds.n_at_least.to_numpy()).all()
        assert (counts.max(axis=0) == bounds.n_at_most.to_numpy()).all()
        assert (so_far.min(axis=0) == bounds.n_at_least_so_far.to_numpy()).all()
        assert (so_far.max(axis=0) == bounds.n_at_most_so_far.to_numpy()).all()


@settings(max_examples=20, deadline=None)
@given(histories(), st.sampled_from([None, 5]))
def test_imputed_arrivals_count_as_arrivals_do(history, washout):
    rows, exits, _, end = history
    dated = screened(rows, end)
    more = {"exits": table_of(exits, "date", "how"), "lookback_days": 0, "washout_days": washout}
    counted = arrivals(dated, **more)
    ends = np.stack([dated.mask("confirmed"), dated.mask("possible")])
    imputed = arrivals_imputed(dated, ends, **more)
    for k, level in enumerate(("confirmed", "possible")):
        ends_ = [counted.totals[f"{what}_{level}"].sum() for what in ("stock", "pool")]
        assert imputed.loc[k].tolist() == [*ends_, *counted.table[f"n_{level}"]]


@settings(max_examples=20, deadline=None)
@given(histories(), st.randoms())
def test_the_order_of_the_rows_does_not_matter(history, random):
    rows, exits, _, end = history
    mixed = list(rows)
    random.shuffle(mixed)
    exits = table_of(exits, "date", "how")
    pd.testing.assert_frame_equal(spells(screened(rows, end), exits=exits), spells(screened(mixed, end), exits=exits))
