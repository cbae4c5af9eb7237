"""The forecast is honest: against truths simulated patient by patient, and wrong models are caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from feasibility.enrollment.calibration import Numbers, calibrate, randomised_pit, rates_per_site, true_trial
from feasibility.enrollment.forecast import forecast
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import Gamma
from feasibility.enrollment.sites import Site
from feasibility.enrollment.steps import Competing, Slots, Step
from feasibility.protocol.criterion import Beta

CONSENT = Step("consent", Beta(7, 3), reaches="consented")
ONE = Plan([Site("A", 0, 24, prior=Gamma(1.2, 4))], 4, [CONSENT])
MANY = Plan([Site(str(i), prior=Gamma(1.2, 6), opens=i / 2) for i in range(24)], 60, [CONSENT])
SHARED = Plan([Site(str(i), 0, 24) if i < 4 else Site(str(i)) for i in range(6)], 20, [CONSENT])
EVERYTHING = Plan(
    [Site(str(i), 0, 24, prior=Gamma(2, 4), opens=(0, 2, 6), ramp_up=4) for i in range(3)],
    9,
    [CONSENT, Step("product", Beta(22, 8), months=1.5, reaches="infused"), Step("e", Beta(19, 1), reaches="evaluable")],
    slots=Slots(0.7, half_life=5, max_wait=6, patients=6),
    competing=[Competing("other", Beta(2, 8), 6, 18, ["1", "2"])],
    calendar=((12, 1.3), (18, 0.8)),
    calendar_sd=0.2,
    attractiveness_sd=0.3,
)


@pytest.mark.parametrize(("plan", "month"), [(ONE, 24), (MANY, 24), (SHARED, 24), (EVERYTHING, 24)])
def test_truths_drawn_from_the_prior_rank_evenly(plan, month):
    table = calibrate(plan, month, runs=150, seed=3)
    assert (table["pit_chi2_p"] > 0.001).all(), table
    assert (table["cover_80"] >= table["low_80"]).all()
    assert (table["cover_95"] >= table["low_95"]).all()


def test_truths_under_way_rank_evenly():
    plan = replace(MANY, sites=MANY.sites[:6], target=25)
    table = calibrate(plan, 12, after=12, runs=150, seed=4)
    assert (table["pit_chi2_p"] > 0.001).all(), table
    assert (table["cover_80"] >= table["low_80"]).all()


def test_a_consent_rate_drawn_per_site_is_caught():
    plan = Plan([Site(str(i), prior=Gamma(20, 40)) for i in range(12)], 60, [CONSENT])
    wrong = calibrate(plan, 36, runs=100, seed=5, forecaster=rates_per_site)
    assert not wrong.loc["enrolled", "calibrated"]
    assert wrong.loc["enrolled", "cover_80"] < wrong.loc["enrolled", "low_80"]
    assert wrong.loc["enrolled", "pit_chi2_p"] < 1e-6
    assert calibrate(plan, 36, runs=100, seed=5).loc["enrolled", "calibrated"]


def test_a_forecast_without_the_uncertainty_of_the_rate_is_caught():
    def plug_in(plan, month, horizon, draws, seed, so_far):
        sites = [replace(s, rate=s.prior.update(s.arrivals[0], s.months).mean, arrivals=None, months=None, prior=None)
                 for s in plan.sites]  # fmt: skip
        made = forecast(replace(plan, sites=sites), month, draws=draws, seed=seed)
        return Numbers(made.enrolled_by(month), None)

    plan = Plan([Site("A", 0, 6, prior=Gamma(1.2, 2))], 9)
    table = calibrate(plan, 48, runs=150, seed=6, forecaster=plug_in)
    assert not table.loc["enrolled", "calibrated"]


def test_the_simulation_agrees_with_one_trial_at_a_time():
    sites = [replace(s, arrivals=None, months=None, prior=None, rate=r) for s, r in zip(EVERYTHING.sites, (0.5, 1, 0.2),
                                                                                       strict=True)]  # fmt: skip
    plan = replace(EVERYTHING, sites=sites)
    made = forecast(plan, 36, draws=4000)
    rng = np.random.default_rng(8)
    trials = [true_trial(plan, (0.5, 1, 0.2), 36, rng)[0] for _ in range(2000)]
    for month in (12, 24, 36):
        truth = np.array([(t <= month).sum() for t in trials])
        mine = made.enrolled_by(month)
        assert abs(mine.mean() - truth.mean()) <= 4 * np.sqrt(mine.var() / 4000 + truth.var() / 2000)
        assert stats.ks_2samp(mine, truth).pvalue > 0.001
    nine = np.array([t[8] if len(t) > 8 else np.inf for t in trials])
    assert stats.ks_2samp(np.minimum(made.times, 99), np.minimum(nine, 99)).pvalue > 0.001


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(1, 60), st.integers(0, 10), st.integers(0, 2**20))
def test_more_patients_or_more_sites_never_delay_the_target(arrivals, target, more, seed):
    site = Site("A", arrivals, 24)
    few = forecast(Plan([site], target), 60, draws=50, seed=seed)
    prior = Gamma(1.2, 12)
    alone = forecast(Plan([replace(site, prior=prior)], target), 60, draws=50, seed=seed)
    both = forecast(Plan([replace(site, prior=prior), Site("B", prior=prior)], target), 60, draws=50, seed=seed)
    richer = forecast(Plan([replace(site, arrivals=arrivals + more)], target), 60, draws=50, seed=seed)
    assert (richer.times <= few.times).all()
    assert (both.times <= alone.times).all()
    assert (np.diff(few.counts, axis=1) >= 0).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(-1, 6), st.floats(0, 1))
def test_the_randomised_pit_stays_within_0_and_1_and_orders_truths(values, truth, u):
    pit = randomised_pit(np.array(values), truth, u)
    assert 0 <= pit <= 1
    assert pit <= randomised_pit(np.array(values), truth + 1, u) + 1e-12
