"""Every what-if shortcut equals screening again from scratch, with holes in the data."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import feasibility as fz
from feasibility import at_least_k_of, exclusion, inclusion, only_if, when
from feasibility.analysis.batch import batch
from feasibility.analysis.curve import curve, curve_at
from feasibility.analysis.sweep import surface, sweep
from feasibility.analysis.what_if import WhatIf
from feasibility.cohort.schema import DTYPES
from feasibility.protocol.protocol import Protocol
from feasibility.protocol.scenario import Scenario

# --- awkward criteria: each does something else with its threshold ------------------------------------------------


@inclusion("I1", "a strict comparison of a bounded value")
def strict(x, *, min_x: float = 3):
    return x > min_x


@inclusion("I2", "used twice, in both directions, with a look-back")
def band(y, days_since_y, *, max_y: float = 4, min_y: float = 1, max_days_since_y: float = 5):
    return only_if(days_since_y <= max_days_since_y, (y >= min_y) & (y <= max_y))


@exclusion("E1", "multiplied and shifted, in another unit")
def scaled(z, *, max_z: float = 2):
    return (z >= 1.1 * max_z) | (z == max_z - 1) | (0.1 + max_z * 3 < z)


@exclusion("E2", "no direction: early or late")
def split(months, given_early, given_late, *, early_months: float = 3):
    return when(months <= early_months, given_early, given_late)


@exclusion("E3", "branches on the threshold, and shares one with E4")
def branching(z, *, limit: float = 2, shared: float = 1):
    if limit > 3:
        return (z > limit) | (z < shared)
    if limit == 3:
        return z >= shared
    return z >= limit


@exclusion("E4", "the other owner, and a bounded value again")
def sharing(x, *, shared: float = 1, strictness: Literal["gt", "ge"] = "gt"):
    return x < shared if strictness == "gt" else x <= shared


@inclusion("I3", "k of n, codes, and columns against each other")
def several(x, y, z, group, *, min_any: int = 2):
    return at_least_k_of(2, y >= min_any, z >= min_any, group == "a") | (y != z)


CRITERIA = (strict, band, scaled, split, branching, sharing, several)
THRESHOLDS = ("min_x", "max_y", "min_y", "max_days_since_y", "max_z", "early_months", "limit", "shared", "min_any")
PROTOCOL = Protocol("AWKWARD", "Awkward", CRITERIA)
SMALL = st.sampled_from([0.0, 0.3, 1.0, 1.1, 2.0, 2.2, 3.0, 3.3, 4.0, 6.1, math.inf])
WHOLE = st.integers(0, 4)


def hole(strategy):
    return st.one_of(st.none(), strategy)


ROW = st.tuples(
    hole(SMALL), hole(SMALL), hole(SMALL), hole(WHOLE), hole(SMALL), hole(SMALL), hole(st.booleans()),
    hole(st.booleans()), hole(st.sampled_from("ab")),
)  # fmt: skip


def cohort_of(rows) -> pd.DataFrame:
    kinds = {"x": "Float64", "x__upper": "Float64", "y": "Float64", "days_since_y": "Int64", "z": "Float64",
             "months": "Float64", "given_early": "boolean", "given_late": "boolean", "group": "string"}  # fmt: skip
    frame = pd.DataFrame({n: pd.array([r[i] for r in rows], dtype=DTYPES[k]) for i, (n, k) in enumerate(kinds.items())})
    both = frame.x.notna() & frame.x__upper.notna()
    low, high = frame[["x", "x__upper"]].min(axis=1), frame[["x", "x__upper"]].max(axis=1)
    return frame.assign(x=frame.x.mask(both, low), x__upper=frame.x__upper.mask(both, high))


def fresh(cohort, protocol):
    patterns = fz.screen(cohort, protocol, check=False).patterns()
    return patterns.n_confirmed, patterns.n_possible


COHORTS = st.lists(ROW, min_size=1, max_size=12).map(cohort_of)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(COHORTS, st.sampled_from(THRESHOLDS))
@example(cohort_of([(None, 0.0, *[None] * 7)]), "max_z")  # another criterion excludes everybody: nobody to follow
def test_a_curve_is_a_fresh_screening_at_between_and_around_every_step(cohort, name):
    table = curve(cohort, PROTOCOL, name, check=False)
    steps = [v for v in table.index if np.isfinite(v)]
    asked = {v for s in steps for v in (s, np.nextafter(s, -np.inf), np.nextafter(s, np.inf))}
    asked |= {(a + b) / 2 for a, b in zip(steps, steps[1:], strict=False)} | {-1e9, 1e9, 0.3, 2.0}
    if PROTOCOL.setting(name).whole:
        asked = {float(round(v)) for v in asked}
    values = sorted(asked)
    got = curve_at(table, values)
    for value, counts in zip(values, got.to_numpy(), strict=True):
        assert tuple(counts) == fresh(cohort, PROTOCOL.with_thresholds(**{name: value})), (name, value)


@QUICK
@given(COHORTS, st.lists(st.sampled_from(THRESHOLDS), min_size=2, max_size=2, unique=True))
def test_a_surface_is_a_fresh_screening_at_every_point(cohort, names):
    values = [0, 1, 2, 3, 4]
    grid = surface(cohort, PROTOCOL, check=False, **dict.fromkeys(names, values))
    for pair, counts in zip(grid.index, grid.to_numpy(), strict=True):
        assert tuple(counts) == fresh(cohort, PROTOCOL.with_thresholds(**dict(zip(names, pair, strict=True))))


CHANGES = st.fixed_dictionaries(
    {},
    optional={n: (WHOLE if PROTOCOL.setting(n).whole else SMALL) for n in THRESHOLDS}
    | {"strictness": st.sampled_from(["gt", "ge"])},
)  # fmt: skip
WAIVED = st.lists(st.sampled_from([c.id for c in CRITERIA]), max_size=2, unique=True)


def is_reading(name):
    return PROTOCOL.setting(name).is_reading


@QUICK
@given(COHORTS, st.lists(st.tuples(CHANGES, WAIVED), min_size=1, max_size=8))
def test_a_batch_and_single_evaluations_are_fresh_screenings(cohort, asked):
    what_if = WhatIf(cohort, PROTOCOL, check=False)
    scenarios = [
        Scenario(
            f"s{i}",
            {n: v for n, v in change.items() if not is_reading(n)},
            {n: v for n, v in change.items() if is_reading(n)},
            tuple(waive),
        )
        for i, (change, waive) in enumerate(asked)
    ]
    table = batch(what_if, scenarios)
    for scenario, counts in zip(scenarios, table.to_numpy(), strict=True):
        changed = scenario.apply(PROTOCOL)
        screening = fz.screen(cohort, changed, check=False)
        expected = screening.patterns().n_confirmed, screening.patterns().n_possible
        assert tuple(counts) == tuple(what_if.counts(scenario)) == expected
        again = what_if.screen(scenario)
        assert np.array_equal(again.failed, screening.failed)
        assert np.array_equal(again.unknown, screening.unknown)
        pd.testing.assert_frame_equal(what_if.attrition(scenario), fz.attrition(screening))


# --- the seed trial ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial():
    return fz.load_trial("NCT06642025")


def observed(n, seed):
    from feasibility.trials.aml_registry import synthetic_registry

    return synthetic_registry(n, seed=seed).observed


def random_changes(protocol, rng, n):
    """Scenarios over thresholds, look-backs and readings, with waived criteria among them."""
    table = protocol.thresholds()
    for i in range(n):
        values = {}
        for name in rng.choice(table.index.unique(), rng.integers(0, 9), replace=False):
            setting = protocol.setting(name)
            if setting.is_reading:
                values[name] = setting.choices[rng.integers(len(setting.choices))]
            else:
                own = float(setting.default) or 1.0
                drawn = own * rng.choice([0, 0.5, 0.9, 1, 1.1, 2, 5]) if np.isfinite(own) else rng.integers(100)
                values[name] = round(drawn) if setting.whole else float(drawn)
        waive = rng.choice([c.id for c in protocol.assessable], rng.choice([0, 0, 0, 1, 2]), replace=False)
        readings = {k: v for k, v in values.items() if protocol.setting(k).is_reading}
        yield Scenario(
            f"s{i}", {k: v for k, v in values.items() if k not in readings}, readings, tuple(map(str, waive))
        )


def test_a_thousand_random_scenarios_of_the_seed_trial(trial):
    rng = np.random.default_rng(20240901)
    cohort = observed(250, 5)
    what_if = WhatIf(cohort, trial, check=False)
    scenarios = list(random_changes(trial, rng, 1000))
    table = batch(what_if, scenarios)
    answers = {}  # the pandas reference, once for each distinct variant of a criterion
    for i, (scenario, counts) in enumerate(zip(scenarios, table.to_numpy(), strict=True)):
        changed = scenario.apply(trial)
        possible, confirmed = np.ones(len(cohort), dtype=bool), np.ones(len(cohort), dtype=bool)
        for criterion in changed.assessable:
            key = criterion.id, repr(criterion.values)
            if key not in answers:
                passes = criterion.passes(cohort)
                answers[key] = passes.fillna(True).to_numpy(bool), passes.fillna(False).to_numpy(bool)
            possible &= answers[key][0]
            confirmed &= answers[key][1]
        expected = int(confirmed.sum()), int(possible.sum())
        assert tuple(counts) == tuple(what_if.counts(changed)) == expected, scenario
        if i % 20 == 0:
            assert expected == fresh(cohort, changed), scenario


def test_every_curve_of_the_seed_trial_at_every_step_and_between(trial):
    changed = trial.with_thresholds(
        transfusion_rule="transfusion_free", creatinine_cause="chronic_only", transplant_reading="literal_exclusion",
        consolidation="documented_failure", gilbert_direct=True,
    )  # fmt: skip
    cohort = observed(150, 6)
    rng = np.random.default_rng(7)
    for protocol in (trial, changed):
        what_if = WhatIf(cohort, protocol, check=False)
        for name, row in protocol.thresholds().iterrows():
            if row["kind"] == "reading":
                continue
            table = curve(what_if, name)
            steps = np.array([v for v in table.index if np.isfinite(v)])
            asked = np.concatenate([steps, np.nextafter(steps, np.inf), (steps[1:] + steps[:-1]) / 2])
            asked = np.unique(np.rint(asked) if protocol.setting(name).whole else asked)
            got = curve_at(table, asked)
            for value, counts in zip(asked, got.to_numpy(), strict=True):
                assert tuple(counts) == tuple(what_if.counts({name: value})), (name, value)
            value = rng.choice(asked)
            expected = fresh(cohort, protocol.with_thresholds(**{name: value}))
            assert tuple(curve_at(table, [value]).iloc[0]) == expected
            pd.testing.assert_frame_equal(
                sweep(what_if, **{name: asked[:3].tolist()}), got.iloc[:3], check_index_type=False
            )


def test_looking_back_further_never_loses_a_confirmed_patient(trial):
    what_if = WhatIf(observed(2000, 8), trial, check=False)
    for name, row in trial.thresholds().iterrows():
        if row["kind"] == "look-back":
            assert curve(what_if, name)["n_confirmed"].is_monotonic_increasing, name


def test_thresholds_are_monotone_in_the_direction_of_their_name(trial):
    what_if = WhatIf(observed(2000, 8), trial, check=False)
    for name in trial.thresholds().index.unique():
        direction = trial.setting(name).direction
        if direction:
            table = curve(what_if, name)
            for count in ("n_confirmed", "n_possible"):
                numbers = table[count] if direction > 0 else table[count][::-1]
                assert numbers.is_monotonic_increasing, (name, count)


def test_a_user_written_criterion_on_the_seed_trial(trial):
    @inclusion("X1", "blasts, in a unit of its own")
    def blasts(hemoglobin_g_l, cd3_10e9_l, *, min_score: Annotated[float, "1"] = 50):
        return (hemoglobin_g_l * 0.5 > min_score) | (cd3_10e9_l > 0.01 * min_score)

    protocol = trial.adding(blasts)
    cohort = observed(300, 9)
    table = curve(cohort, protocol, "min_score")
    assert len(table) > 20
    for value in np.random.default_rng(1).choice(table.index[np.isfinite(table.index)], 12):
        for near in (value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf)):
            expected = fresh(cohort, protocol.with_thresholds(min_score=near))
            assert tuple(curve_at(table, [near]).iloc[0]) == expected
