"""What must hold of imputation whatever the data: bounds, coverage under MAR, extremes of a departure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import feasibility as fz
from feasibility.missing.estimands import estimates, in_extract, in_source, per_month
from feasibility.missing.impute import impute
from feasibility.missing.intervals import clopper_pearson
from feasibility.missing.mnar import delta_curve, tipping_point, untested_odds


@fz.inclusion("I1", "marker above 0.3")
def marker_high(marker, *, min_marker: float = 0.3):
    return marker > min_marker


@fz.inclusion("I2", "score of 2 or less")
def low_score(score, *, max_score: int = 2):
    return score <= max_score


@fz.exclusion("E1", "infection")
def infected(infection):
    return infection


COHORTS = 40
PROTOCOL = fz.Protocol("P", "P", [marker_high, low_score, infected])


def mar(seed, n=200, share=0.5, mnar=0.0):
    """A marker tested where a known fact says so (MAR), or the less the higher it is itself (MNAR)."""
    rng = np.random.default_rng(seed)
    fit, flag = rng.normal(size=n), rng.random(n) < 0.4
    marker = 0.8 * fit + 0.5 * flag + rng.normal(size=n)
    logit = np.log(share / (1 - share)) + 0.6 * fit + mnar * (marker - marker.mean())
    truth = pd.DataFrame(
        {
            "marker": pd.array(marker, dtype="Float64"), "score": pd.array(rng.integers(0, 4, n), dtype="Int64"),
            "infection": pd.array(rng.random(n) < 0.15, dtype="boolean"),
            "fit": pd.array(fit, dtype="Float64"), "flag": pd.array(flag, dtype="boolean"),
        }
    )  # fmt: skip
    observed = truth.copy()
    observed["marker"] = observed["marker"].mask(rng.random(n) < 1 / (1 + np.exp(-logit)))
    if not mnar:
        for name in ("score", "infection"):
            observed[name] = observed[name].mask(rng.random(n) < 0.1)
    return observed, truth


def eligible(cohort):
    return int((fz.screen(cohort, PROTOCOL).status == "eligible").sum())


@pytest.fixture(scope="module")
def runs():
    """40 seeded cohorts; the benchmark does a thousand."""
    found = []
    for seed in range(COHORTS):
        observed, truth = mar(seed)
        made = impute(observed, fz.screen(observed, PROTOCOL, check=False), method="pmm", cycles=2, seed=seed)
        found.append((in_extract(made), in_source(made), eligible(truth)))
    return found


def test_the_truth_lies_within_the_bounds_always(runs):
    assert all(here.n_confirmed <= true <= here.n_possible for here, _, true in runs)


def test_the_interval_covers_the_true_count_under_mar(runs):
    """Nominal 0.95: as few as this would happen once in two hundred times by chance; all is allowed."""
    inside = sum(here.interval_95[0] <= true <= here.interval_95[1] for here, _, true in runs)
    assert inside >= stats.binom.ppf(0.005, COHORTS, 0.95)
    # And it is no wider than it must be: the 80 % interval leaves some out.
    assert sum(here.interval_80[0] <= true <= here.interval_80[1] for here, _, true in runs) < COHORTS


def test_the_estimate_has_no_bias_to_speak_of(runs):
    misses = np.array([here.estimate - true for here, _, true in runs])
    assert abs(misses.mean()) < 3.0
    assert abs(misses.mean()) < np.mean([here.n_possible - here.n_confirmed for here, _, _ in runs]) / 20


def test_intervals_nest_and_stay_within_the_bounds(runs):
    for here, source, _ in runs:
        low, high = here.bounds
        assert low <= here.interval_95[0] <= here.interval_80[0] <= here.estimate
        assert here.estimate <= here.interval_80[1] <= here.interval_95[1] <= high
        assert low <= here.rubin_95[0] <= here.rubin_95[1] <= high
        counts = sorted(here.counts)
        assert here.interval_95 == (counts[0], counts[-1])
        assert here.interval_80 == (counts[3], counts[35])
        assert source.interval_95[1] - source.interval_95[0] > (here.interval_95[1] - here.interval_95[0]) / 200


def test_the_source_interval_is_the_pooled_beta():
    observed, _ = mar(3)
    made = impute(observed, fz.screen(observed, PROTOCOL), method="pmm", cycles=2)
    source = in_source(made)
    counts = made.counts["n_confirmed"].to_numpy()
    rng = np.random.default_rng(0)
    draws = np.concatenate([rng.beta(c + 0.5, 200 - c + 0.5, 20_000) for c in counts])
    np.testing.assert_allclose(source.interval_95, np.quantile(draws, [0.025, 0.975]), atol=0.002)
    np.testing.assert_allclose(source.interval_80, np.quantile(draws, [0.1, 0.9]), atol=0.002)


def test_sites_are_the_unit_where_there_are_several():
    observed, _ = mar(4, n=300)
    sites = pd.array(np.repeat(["a", "b", "c", "d", "e"], 60), dtype=pd.StringDtype("python"))
    observed = observed.assign(site_id=sites, marker=observed["marker"] + np.repeat([-2, -1, 0, 1, 2], 60))
    made = impute(observed, fz.screen(observed, PROTOCOL, strata=["site_id"]), method="pmm", cycles=2)
    by_site, by_patient = in_source(made), in_source(made, sites=None)
    assert (by_site.by_sites, by_patient.by_sites) == (5, 0)
    assert np.ptp(by_site.interval_95) > 1.3 * np.ptp(by_patient.interval_95)
    assert "5 sites were resampled" in by_site.note


def test_nothing_unknown_is_a_point_and_clopper_pearson():
    _, truth = mar(5)
    screening = fz.screen(truth, PROTOCOL)
    here, source = in_extract(screening), in_source(screening)
    k = eligible(truth)
    assert here.interval_95 == (k, k) == here.bounds
    ends = stats.binomtest(k, 200).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose(source.interval_95, ends)
    assert source.leaves_bounds
    assert "leaves the bounds" in source.note
    np.testing.assert_allclose(clopper_pearson(6, 200), (0.0111, 0.0642), atol=5e-5)
    assert clopper_pearson(0, 10)[0] == 0.0
    assert clopper_pearson(10, 10)[1] == 1.0


def test_per_month_is_the_pooled_gamma():
    one = per_month([6], 24)
    np.testing.assert_allclose(one.interval_95, stats.gamma.ppf([0.025, 0.975], 6.5, scale=1 / 24), rtol=1e-6)
    pooled = per_month([4, 6, 9], 24)
    draws = pooled.draws(200_000, seed=1)
    np.testing.assert_allclose(pooled.interval_95, np.quantile(draws, [0.025, 0.975]), rtol=0.02)
    np.testing.assert_allclose(pooled.estimate, draws.mean(), rtol=0.01)
    assert (per_month([0], 12).interval_95[0], per_month([0], 12).estimate) == pytest.approx(
        (4.09e-5, 1 / 24), rel=0.01
    )


def test_the_three_are_never_one():
    observed, _ = mar(6)
    made = impute(observed, fz.screen(observed, PROTOCOL), method="pmm", cycles=2)
    table = estimates(in_extract(made), in_source(made), per_month([3] * 39, 12))
    assert table.index.tolist() == ["in_extract", "in_source", "per_month"]
    assert table["unit"].tolist() == ["patients", "share", "patients a month"]


@pytest.fixture(scope="module")
def shifted():
    observed, truth = mar(7)
    return observed, truth, impute(observed, fz.screen(observed, PROTOCOL), method="pmm", cycles=3, seed=7)


@pytest.mark.parametrize(
    ("column", "worst", "best"), [("marker", -1e6, 1e6), ("score", 10**6, 0), ("infection", True, False)]
)
def test_infinite_shifts_are_the_worst_and_the_best_case_of_a_column(shifted, column, worst, best):
    observed, _, made = shifted
    curve = delta_curve(made, column, (-np.inf, 0.0, np.inf))
    found = curve.table.loc[[-np.inf, np.inf], "estimate"]
    expected = []
    for value in (worst, best):
        counts = []
        for k in range(39):
            whole = observed.copy()
            completed = made.completed(k)
            hole = made.observed[column].isna()
            whole.loc[completed.index, completed.columns] = completed.assign(
                **{column: completed[column].mask(hole, value).astype(observed[column].dtype)}
            )
            counts.append(eligible(whole))
        expected.append(np.mean(counts))
    np.testing.assert_allclose(sorted(found), expected)
    assert curve.table.loc[0.0, "estimate"] == made.counts["n_confirmed"].mean()


def test_a_shift_moves_the_count_one_way_and_never_out_of_the_bounds(shifted):
    _, _, made = shifted
    for column, sign in (("marker", 1), ("score", -1), ("infection", -1)):
        curve = delta_curve(made, column)
        assert (sign * curve.table["estimate"].diff().dropna() >= 0).all()
        assert curve.table["low_95"].min() >= curve.bounds[0]
        assert curve.table["high_95"].max() <= curve.bounds[1]


def test_odds_of_nothing_and_of_everything_are_the_bounds(shifted):
    _, _, made = shifted
    odds = untested_odds(made, factors=(0, 0.5, 1, 2, np.inf))
    assert odds.table.loc[0, "estimate"] == odds.bounds[0]
    assert odds.table.loc[np.inf, "estimate"] == odds.bounds[1]
    assert odds.table.loc[1, "estimate"] == made.counts["n_confirmed"].mean()
    assert odds.table["estimate"].is_monotonic_increasing


def test_the_tipping_point_is_where_the_estimate_crosses(shifted):
    _, _, made = shifted
    for curve in (delta_curve(made, "marker"), untested_odds(made)):
        at_neutral = curve.table.loc[curve.neutral, "estimate"]
        target = at_neutral - 8
        tip = tipping_point(curve, target)
        factor = 1.02 if curve.kind == "odds" else 1.0
        step = 0.0 if curve.kind == "odds" else 0.02
        assert curve._estimate(tip / factor - step) < target <= curve._estimate(tip * factor + step)
        assert tipping_point(curve, curve.bounds[1] + 1) is None


def test_not_at_random_fails_without_a_shift_and_the_curve_reaches_the_truth():
    """Untested the more the higher the marker: delta 0 counts too few, some positive delta is right."""
    outside, reached = 0, 0
    for seed in range(3):
        observed, truth = mar(100 + seed, n=400, mnar=1.5)
        made = impute(observed, fz.screen(observed, PROTOCOL), method="pmm", cycles=2, seed=seed)
        here, true = in_extract(made), eligible(truth)
        assert here.n_confirmed <= true <= here.n_possible
        outside += not here.interval_95[0] <= true <= here.interval_95[1]
        tip = delta_curve(made, "marker", (0.0,)).tipping_point(true)
        reached += tip is not None and tip > 0
    assert outside == 3
    assert reached == 3


def test_on_the_synthetic_registry_the_truth_is_within_the_bounds_and_known_verdicts_stay():
    registry = pytest.importorskip("feasibility.trials.aml_registry").synthetic_registry(
        300, seed=11, parameters={"missing.mechanism": "mar"}
    )
    protocol = fz.load_trial("NCT06642025")
    screening = fz.screen(registry.observed, protocol, check=False)
    made = impute(registry.observed, screening, m=39, method="pmm", cycles=1)
    here = in_extract(made)
    true = int((fz.screen(registry.truth, protocol, check=False).status == "eligible").sum())
    assert here.n_confirmed <= true <= here.n_possible
    before = screening.passes.iloc[made.rows].reset_index(drop=True)
    for k in (0, 20):
        after = fz.screen(made.completed(k), protocol, check=False).passes.reset_index(drop=True)
        known = before.notna().to_numpy()
        assert after.to_numpy()[known].tolist() == before.to_numpy()[known].tolist()
        assert (after.all(axis=1)).sum() + made.n_confirmed == made.counts["n_confirmed"][k]
