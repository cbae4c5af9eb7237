"""The page's ranges always hold the true count, say no more than the release tells, and no less."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interactive_toy import ANY, DEFAULTS, FAILS, GRIDS, IDS, PASSES, UNKNOWN, change, protected, status, truth

from feasibility.interactive.knowledge import knowledge_of
from feasibility.interactive.ranges import funnel_ranges, ranges

QUICK = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
POINT = st.integers(-1, 4).map(lambda v: (v, v))
BOUNDED = st.tuples(st.integers(-1, 4), st.integers(0, 3)).map(lambda v: (v[0], v[0] + v[1]))
VALUE = st.one_of(POINT, POINT, BOUNDED, st.just(ANY))
STATUS = st.sampled_from([FAILS, UNKNOWN, PASSES, PASSES])
FIELDS = {"x": VALUE, "y": VALUE, "z": VALUE, "w": VALUE, "first": STATUS, "second": STATUS}
PASSING = {"x": (3, 3), "y": (1, 1), "z": (3, 3), "w": (3, 3), "first": PASSES, "second": PASSES}
# Patients who fail everything teach nothing: most have one or two things wrong.
FEW = st.sets(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: FIELDS[name] for name in sorted(names)})
)
PATIENT = st.one_of(st.fixed_dictionaries(FIELDS), *[FEW.map(lambda wrong: PASSING | wrong)] * 3)
OFF = st.sets(st.sampled_from(IDS), max_size=3)
CHOSEN = st.fixed_dictionaries({}, optional={k: st.sampled_from([*v, DEFAULTS[k]]) for k, v in GRIDS.items()})
SCENARIO = st.tuples(
    st.fixed_dictionaries(
        {}, optional={"min_a": st.sampled_from([0, 1, 3, 4]), "max_b": st.sampled_from([1, 3, 4]),
                      "min_c": st.sampled_from([0, 1, 3]), "which": st.just("second")}
    ),
    st.sets(st.sampled_from(IDS), max_size=2),
)  # fmt: skip


def as_changes(scenarios):
    return [change(f"s{i}", "scenarios", s, sorted(w)) for i, (s, w) in enumerate(scenarios)]


@QUICK
@given(st.lists(PATIENT, min_size=1, max_size=14), st.lists(SCENARIO, max_size=3), OFF, CHOSEN)
def test_the_true_count_is_always_within_the_range_at_every_step(patients, scenarios, off, chosen):
    funnel = funnel_ranges(protected(patients, as_changes(scenarios)), off, chosen)
    for k, row in enumerate(funnel.itertuples()):
        possible, confirmed = truth(patients, off, chosen, k + 1)
        assert row.remaining_low <= possible <= row.remaining_high
        assert row.confirmed_low <= confirmed <= row.confirmed_high


@QUICK
@given(st.lists(PATIENT, min_size=1, max_size=14), st.lists(SCENARIO, max_size=3))
def test_what_was_released_comes_back_without_any_width(patients, scenarios):
    known = knowledge_of(protected(patients, as_changes(scenarios)))
    states = [((), {})] + [([key], {}) for key in IDS] + [((), {k: v}) for k, grid in GRIDS.items() for v in grid]
    # A scenario is a state of the page if its thresholds stand on the page's grid.
    grid = {s.name: s.values for s in known.sliders}
    states += [(w, s) for s, w in scenarios if all(k in grid and v in grid[k] for k, v in s.items())]
    for off, chosen in states:
        got = ranges(known, off, chosen)
        want = truth(patients, off, chosen)
        assert (got.possible_low, got.possible_high, got.confirmed_low, got.confirmed_high) == (
            want[0], want[0], want[1], want[1],
        )  # fmt: skip


@QUICK
@given(st.lists(PATIENT, min_size=1, max_size=14), OFF, CHOSEN, st.sampled_from(IDS))
def test_leaving_one_more_criterion_out_never_lowers_an_end(patients, off, chosen, more):
    known = knowledge_of(protected(patients))
    before, after = ranges(known, off, chosen), ranges(known, off | {more}, chosen)
    for name in ("possible_low", "possible_high", "confirmed_low", "confirmed_high"):
        assert getattr(after, name) >= getattr(before, name)
    assert after.confirmed_low <= after.possible_low
    assert after.confirmed_high <= after.possible_high


# --- no more and no less than the release tells ---------------------------------------------------------------------

LIMITED = {"min_a": GRIDS["min_a"]}
THREE = ("I1", "I3", "E1")
SPANS = [(lo, hi) for lo in range(-1, 4) for hi in range(lo, 4)]
ALL_PATIENTS = [
    {"x": x, "w": w, "y": ANY, "z": ANY, "first": e, "second": e}
    for x, w, e in product(SPANS, SPANS, (FAILS, UNKNOWN, PASSES))
]


def answers(patient) -> bytes:
    return protected([patient], grids=LIMITED, ids=THREE).members.tobytes()


ALIKE: dict[bytes, list] = {}
for one in ALL_PATIENTS:
    ALIKE.setdefault(answers(one), []).append(one)


@settings(QUICK, max_examples=60)
@given(
    st.lists(st.sampled_from(ALL_PATIENTS), min_size=1, max_size=6),
    st.sets(st.sampled_from(THREE)),
    st.sampled_from([0, 1, 2, 3]),
)
def test_each_end_is_reached_by_patients_who_give_the_same_release(patients, off, limit):
    """Each group is exchanged for any patients with its answers: the extremes of the true count are the range."""
    low, high = [0, 0], [0, 0]
    for patient in patients:
        alike = ALIKE[answers(patient)]
        got = [[status(p, key, {"min_a": limit}) for key in THREE if key not in off] for p in alike]
        for k, inside in enumerate(([FAILS not in g for g in got], [set(g) <= {PASSES} for g in got])):
            low[k] += all(inside)
            high[k] += any(inside)
    found = ranges(protected(patients, grids=LIMITED, ids=THREE), off, {"min_a": limit})
    assert (found.possible_low, found.possible_high) == (low[0], high[0])
    assert (found.confirmed_low, found.confirmed_high) == (low[1], high[1])


@QUICK
@given(st.lists(PATIENT, min_size=1, max_size=30), OFF, CHOSEN)
def test_protected_counts_take_the_place_of_the_patients(patients, off, chosen):
    """Rounding changes how often a group counts, not what is known of it."""
    core = protected(patients, round_to=lambda n: 5 * ((n + 2) // 5))
    want = [0, 0, 0, 0]
    for row, n in zip(core.members, core.n, strict=True):
        one = replace(core, members=row[None, :], n=np.array([1]))
        for k, end in enumerate(astuple(ranges(one, off, chosen))):
            want[k] += int(n) * end
    assert astuple(ranges(core, off, chosen)) == tuple(want)


@pytest.mark.parametrize("table", ["only-reason", "curves", "bounds", "scenarios"])
def test_a_release_that_tells_less_gives_wider_ranges(table):
    patients = [p | {"y": (1, 1), "z": (3, 3)} for p in ALL_PATIENTS]
    scenarios = [change("both", "scenarios", {"min_a": 1, "max_b": 3}, ["E1"])]
    every = {"funnel", "bounds", "only-reason", "curves", "scenarios"}
    full = protected(patients, scenarios)
    less = protected(patients, scenarios, tables=every - {table})
    for off, chosen in (((), {}), (["E1"], {}), (["I1"], {}), (["E1", "I1"], {})):
        wide, narrow = ranges(less, off, chosen), ranges(full, off, chosen)
        assert wide.possible_low <= narrow.possible_low <= narrow.possible_high <= wide.possible_high
        assert wide.confirmed_low <= narrow.confirmed_low <= narrow.confirmed_high <= wide.confirmed_high
