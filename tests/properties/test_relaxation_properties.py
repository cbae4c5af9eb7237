"""Relaxations equal brute force: every set of criteria waived and the cohort really screened again."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import feasibility as fz
from feasibility.analysis.near_miss import near_misses
from feasibility.analysis.pareto import pareto
from feasibility.analysis.relaxation import relaxations
from feasibility.patterns import CriterionLabel, count, pack
from feasibility.trials.aml_registry import synthetic_registry


def threshold_criteria():
    """Eight criteria, each on a column of its own; every third is an exclusion."""
    inclusion, exclusion = fz.inclusion, fz.exclusion

    @inclusion("I0", "above")
    def c0(x0, *, min_x0: float = 5):
        return x0 > min_x0

    @inclusion("I1", "above")
    def c1(x1, *, min_x1: float = 5):
        return x1 > min_x1

    @exclusion("E2", "above")
    def c2(x2, *, max_x2: float = 7):
        return x2 > max_x2

    @inclusion("I3", "above")
    def c3(x3, *, min_x3: float = 5):
        return x3 > min_x3

    @inclusion("I4", "above")
    def c4(x4, *, min_x4: float = 5):
        return x4 > min_x4

    @exclusion("E5", "above, twice the limit or both columns")
    def c5(x5, x4, *, max_x5: float = 3):
        return (x5 > 2 * max_x5) & (x4 > max_x5)

    @inclusion("I6", "above")
    def c6(x6, *, min_x6: float = 5):
        return x6 > min_x6

    @exclusion("E7", "above")
    def c7(x7, *, max_x7: float = 7):
        return x7 > max_x7

    return [c0, c1, c2, c3, c4, c5, c6, c7]


CRITERIA = threshold_criteria()


def cohort_of(n_criteria, n, seed, holes):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, (n, n_criteria)).astype(float)
    values[:, ::2] = np.maximum(values[:, ::2], rng.integers(0, 12, values[:, ::2].shape))
    values[rng.random(values.shape) < holes] = np.nan
    columns = {
        f"x{i}": pd.array([None if np.isnan(v) else v for v in values[:, i]], dtype="Float64")
        for i in range(n_criteria)
    }
    return pd.DataFrame(columns, index=pd.Index([f"P{i}" for i in range(n)], name="patient_id"))


def counts_of(cohort, protocol):
    if not len(protocol):
        return len(cohort), len(cohort)
    patterns = fz.screen(cohort, protocol, check=False).patterns()
    return patterns.n_confirmed, patterns.n_possible


def brute(cohort, protocol, drop, column):
    """Every set of up to ``drop`` criteria with its gain; sets with a member that adds nobody left out."""
    now = counts_of(cohort, protocol)[column]
    gains = {(): 0}
    for k in range(1, drop + 1):
        for ids in combinations([c.id for c in protocol], k):
            gains[ids] = counts_of(cohort, protocol.without(*ids))[column] - now
    useful = [
        ids for ids, gain in gains.items()
        if ids and all(gains[tuple(x for x in ids if x != member)] < gain for member in ids)
    ]  # fmt: skip
    return gains, useful


@settings(max_examples=25, deadline=None)
@given(
    n_criteria=st.integers(1, 8), n=st.integers(1, 60), seed=st.integers(0, 10_000), drop=st.integers(1, 4),
    objective=st.sampled_from(["possible", "confirmed"]), holes=st.sampled_from([0.0, 0.15]),
)  # fmt: skip
def test_relaxations_equal_real_rescreens(n_criteria, n, seed, drop, objective, holes):
    cohort, drop = cohort_of(n_criteria, n, seed, holes), min(drop, n_criteria)
    protocol = fz.Protocol("demo", "Demo", CRITERIA[:n_criteria])
    found = relaxations(fz.screen(cohort, protocol), drop, 1000, objective, resamples=3)
    gains, useful = brute(cohort, protocol, drop, 1 if objective == "possible" else 0)
    assert dict(zip(found.waived, found[f"gain_{objective}"], strict=True)) == {ids: gains[ids] for ids in useful}
    assert found[f"gain_{objective}"].is_monotonic_decreasing
    if len(found):
        assert found[f"gain_{objective}"].iloc[0] == max(gains.values())
        other = counts_of(cohort, protocol.without(*found.waived.iloc[0]))
        now = counts_of(cohort, protocol)
        assert (found.gain_confirmed.iloc[0], found.gain_possible.iloc[0]) == (other[0] - now[0], other[1] - now[1])


@pytest.fixture(scope="module")
def seed_trial():
    cohort = synthetic_registry(600, seed=3).observed
    return cohort, fz.load_trial("NCT06642025")


@pytest.mark.parametrize("objective", ["possible", "confirmed"])
def test_relaxations_of_the_seed_trial_equal_rescreens(seed_trial, objective):
    cohort, protocol = seed_trial
    screening = fz.screen(cohort, protocol)
    column = 1 if objective == "possible" else 0
    ones = relaxations(screening, 1, 1000, objective)
    gains, useful = brute(cohort, protocol, 1, column)
    assert dict(zip(ones.waived, ones[f"gain_{objective}"], strict=True)) == {ids: gains[ids] for ids in useful}
    pairs = relaxations(screening, 2, 1000, objective)
    tidy, now = screening.passes, counts_of(cohort, protocol)
    # All pairs from the statuses, and a real screen of the best of them and of some others.
    for ids in combinations(tidy.columns, 2):
        rest = tidy.drop(columns=list(ids))
        none_failed = ~(rest == False).fillna(False).any(axis=1)  # noqa: E712
        known = none_failed & rest.notna().all(axis=1)
        gains[ids] = int((none_failed if column else known).sum()) - now[column]
    useful = [ids for ids in gains if ids and all(gains[tuple(x for x in ids if x != m)] < gains[ids] for m in ids)]
    assert dict(zip(pairs.waived, pairs[f"gain_{objective}"], strict=True)) == {ids: gains[ids] for ids in useful}
    for ids in pairs.waived.iloc[[0, 1, len(pairs) // 2, -1]]:
        assert counts_of(cohort, protocol.without(*ids))[column] - now[column] == gains[ids]


def random_patterns(n_criteria, rows, seed, p=0.04):
    rng = np.random.default_rng(seed)
    rates = rng.uniform(p / 2, 2 * p, n_criteria)
    failed = rng.random((rows, n_criteria)) < rates
    labels = tuple(CriterionLabel(f"I{i}", "inclusion", f"c{i}", "") for i in range(n_criteria))
    words = pack(list(failed.T), rows)
    return count(labels, words, np.zeros_like(words)), failed


@pytest.mark.parametrize(("n_criteria", "drop"), [(70, 2), (30, 3), (24, 4), (12, 6), (16, 5)])
def test_branching_and_all_subsets_equal_enumeration(n_criteria, drop):
    patterns, failed = random_patterns(n_criteria, 3_000, seed=n_criteria, p=0.05 if n_criteria > 20 else 0.2)
    found = relaxations(patterns, drop, 5, resamples=20)
    sets = np.array(list(combinations(range(n_criteria), drop)))
    rows, n = np.unique(failed[(failed.sum(axis=1) <= drop) & failed.any(axis=1)], axis=0, return_counts=True)
    gains = np.zeros(len(sets), dtype=int)
    member = np.zeros((len(sets), n_criteria), dtype=bool)
    member[np.arange(len(sets))[:, None], sets] = True
    for row, weight in zip(rows, n, strict=True):
        gains += weight * member[:, row].all(axis=1)
    assert found.gain_possible.iloc[0] == gains.max()
    full = found[[len(w) == drop for w in found.waived]]
    assert full.gain_possible.tolist() == sorted(gains.tolist(), reverse=True)[: len(full)]


def test_a_pruned_search_ranks_every_resample_as_a_full_one(monkeypatch):
    from feasibility.analysis import subsets

    patterns, _ = random_patterns(40, 2_000, seed=1, p=0.05)
    pruned = relaxations(patterns, 3, 8, resamples=50)
    monkeypatch.setattr(subsets, "FEW", 10**9)
    pd.testing.assert_frame_equal(pruned, relaxations(patterns, 3, 8, resamples=50))


LIMITS = {"min_x0": [4, 2], "min_x1": [3], "max_x2": [9, 11]}


@settings(max_examples=8, deadline=None)
@given(n=st.integers(5, 60), seed=st.integers(0, 10_000))
def test_the_front_equals_real_rescreens(n, seed):
    cohort = cohort_of(4, n, seed, 0.1)
    protocol = fz.Protocol("demo", "Demo", CRITERIA[:4])
    found = pareto(fz.screen(cohort, protocol), cohort, loosen=LIMITS, changes=2, resamples=5)
    now = counts_of(cohort, protocol)
    best: dict = {}
    options = [("waive", c.id, None, 0) for c in protocol]
    options += [("loosen", t, v, k + 1) for t, values in LIMITS.items() for k, v in enumerate(values)]
    for chosen in [(o,) for o in options] + list(combinations(options, 2)):
        waived = [name for what, name, *_ in chosen if what == "waive"]
        loosened = {name: value for what, name, value, _ in chosen if what == "loosen"}
        if len(waived) + len(loosened) < len(chosen):
            continue
        after = counts_of(cohort, protocol.with_thresholds(**loosened).without(*waived))
        cell = (len(waived), sum(o[3] for o in chosen))
        gain = (after[0] - now[0], after[1] - now[1])
        best[cell] = tuple(map(max, best.get(cell, (0, 0)), gain))
    for column, name in ((0, "confirmed"), (1, "possible")):
        on = found[found.front.isin([name, "both"])]
        mine = {(r.n_waived, r.n_steps): getattr(r, f"gain_{name}") for r in on.itertuples()}
        expected = {}
        for cell in product(range(3), range(5)):
            smaller = max(
                [best[c][column] for c in best if c != cell and c[0] <= cell[0] and c[1] <= cell[1]], default=0
            )
            if cell in best and best[cell][column] > smaller:
                expected[cell] = best[cell][column]
        assert mine == expected
    for row in found.itertuples():
        after = counts_of(cohort, protocol.with_thresholds(**row.loosened).without(*row.waived))
        assert after == (row.n_confirmed, row.n_possible)


def test_the_front_of_the_seed_trial_equals_rescreens(seed_trial):
    cohort, protocol = seed_trial
    limits = {"min_platelets": [20, 10], "max_age": [75], "max_ast": [5], "max_alt": [5]}
    found = pareto(fz.screen(cohort, protocol), cohort, loosen=limits, changes=3, resamples=0)
    assert (found.n_loosened > 0).any()
    for row in found.itertuples():
        after = counts_of(cohort, protocol.with_thresholds(**row.loosened).without(*row.waived))
        assert after == (row.n_confirmed, row.n_possible)


def test_a_near_miss_passes_just_beyond_what_it_needs_and_not_before(seed_trial):
    cohort, protocol = seed_trial
    screening = fz.screen(cohort, protocol)
    missed = near_misses(cohort, screening, patient_level=True)
    with_number = missed[missed.missed_by.notna()]
    assert len(with_number) > 50
    for patient, row in with_number.iterrows():
        one = cohort[cohort.index.get_level_values("patient_id") == patient]
        criterion = protocol[row.criterion]
        setting = criterion.setting(row.threshold)
        way, needs = setting.direction, float(row.needs.split()[-1])
        room = 1 if setting.whole else 1e-6 * max(1, abs(needs))
        assert criterion.with_thresholds(**{row.threshold: needs + way * room}).passes(one).fillna(True).iloc[0]
        short = needs - way * room
        if (short - row.limit) * way > 0:
            assert not criterion.with_thresholds(**{row.threshold: short}).passes(one).fillna(True).iloc[0]
        assert row.missed_by == pytest.approx(abs(needs - row.limit))
    costs = fz.impact(screening)
    by = (
        near_misses(cohort, screening)
        .groupby(level=0)[["gain_possible", "gain_confirmed"]]
        .sum()
        .reindex(costs.index)
        .fillna(0)
    )
    assert (by.gain_possible == costs.gain_possible).all()
    assert (by.gain_confirmed == costs.n_only_reason).all()
