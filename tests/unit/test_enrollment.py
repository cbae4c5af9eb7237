"""The forecast against closed forms worked out here with scipy, and against plain one-trial-at-a-time reasoning."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import feasibility as fz
from feasibility.enrollment.answers import (
    closure_rule,
    futility,
    planner_answers,
    smallest_number_of_sites,
    start_up,
    success_by_sites,
)
from feasibility.enrollment.assumptions import CAR_T_STEPS, assumptions, clause_steps, plan_from_protocol
from feasibility.enrollment.backtest import backtest, backtest_summary
from feasibility.enrollment.differences import compare_plans, difference_in_words, rate_tornado
from feasibility.enrollment.draws import draw_common, draw_site_rates
from feasibility.enrollment.forecast import forecast
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import ADMIRAL_LIKE, CARTITUDE_4_LIKE, Gamma, common_prior
from feasibility.enrollment.progress import Progress
from feasibility.enrollment.sites import Site, copies
from feasibility.enrollment.steps import Competing, Slots, Step
from feasibility.protocol.criterion import Beta, inclusion, not_assessable
from feasibility.protocol.protocol import Protocol

DRAWS = 20_000
SEEN = Site("Hefei", arrivals=6, months=24)
TYPICAL = Site("typical", prior=Gamma(1.2, 12))
CONSENT = Step("consent", Beta(7, 3), reaches="consented")


def near(share, exact, n=DRAWS, errors=4.0):
    """A simulated share within so many Monte Carlo standard errors of the exact one."""
    assert abs(share - exact) <= errors * sqrt(exact * (1 - exact) / n), (share, exact)


def quantiles_near(times, level, exact):
    """The share of times below the exact quantile is the level."""
    near(np.mean(times <= exact), level, len(times))


def staggered(n=50):
    return [replace(TYPICAL, name=f"site {i}", opens=float(o)) for i, o in enumerate(np.linspace(0, 12, n))]


def test_next_twelve_months_after_six_in_twenty_four_are_negative_binomial():
    exact = stats.nbinom(6.5, 24 / 36)
    made = forecast(Plan([SEEN], 9), 12, draws=DRAWS)
    counts = made.enrolled_by(12)
    for n in range(12):
        near(np.mean(counts <= n), exact.cdf(n))
    near(np.mean(counts == 0), exact.pmf(0))
    assert exact.pmf(0) == pytest.approx(0.0717, abs=5e-5)
    assert abs(counts.mean() - 3.25) <= 4 * exact.std() / sqrt(DRAWS)
    assert made.interval(12, 0.8) == (1, 6)
    assert made.interval(12, 0.95) == (0, 8)


@pytest.mark.parametrize(
    ("level", "anchor"), [(0.025, 12.17), (0.1, 17.35), (0.5, 33.72), (0.9, 67.22), (0.975, 99.14)]
)
def test_months_to_nine_are_beta_prime(level, anchor):
    exact = 24 * stats.betaprime(9, 6.5).ppf(level)
    assert exact == pytest.approx(anchor, abs=0.005)
    quantiles_near(forecast(Plan([SEEN], 9), 200, draws=DRAWS).times, level, exact)


def test_probability_of_nine_by_month_thirty_six():
    exact = stats.nbinom(6.5, 24 / 60).sf(8)
    assert exact == pytest.approx(0.5496, abs=5e-5)
    near(forecast(Plan([SEEN], 9), 36, draws=DRAWS).probability_by(36), exact)


@pytest.mark.parametrize(("level", "anchor"), [(0.025, 6.95), (0.5, 21.03), (0.975, 58.40)])
def test_reforecast_after_three_in_ten_months(level, anchor):
    exact = 34 * stats.betaprime(6, 9.5).ppf(level)
    assert exact == pytest.approx(anchor, abs=0.005)
    made = forecast(Plan([SEEN], 9), 150, draws=DRAWS, progress=Progress(10, 3))
    assert made.reached == 3
    quantiles_near(made.times, level, exact)


def test_reforecast_by_the_total_agrees_with_the_exact_one():
    # Two sites of known equal prior and one clock: their sum is one Gamma, so the total tells all.
    plan = Plan([replace(TYPICAL, name="a"), replace(TYPICAL, name="b")], 9)
    made = forecast(plan, 200, draws=DRAWS, progress=Progress(10, 3))
    exact = stats.betaprime(6, 2.4 + 3)
    for level in (0.1, 0.5, 0.9):
        share = np.mean(made.times <= (12 + 10) * exact.ppf(level))
        near(share, level, DRAWS, errors=8)  # resampled candidates repeat, so the error is larger


def test_fifty_staggered_sites_have_the_closed_mean_and_spread():
    plan = Plan(staggered(), 100)
    n = 8000
    counts = forecast(plan, 36, draws=n).enrolled_by(36)
    months = 36 - np.linspace(0, 12, 50)
    mean, var = 0.1 * months.sum(), (0.1 * months + 1.2 / 144 * months**2).sum()
    assert (mean, sqrt(var)) == pytest.approx((150.0, 23.03), abs=0.005)
    assert abs(counts.mean() - mean) <= 4 * sqrt(var / n)
    assert abs(counts.std() - sqrt(var)) <= 4 * sqrt(var / (2 * n)) * 1.05


def test_a_shared_consent_rate_keeps_the_width_that_a_rate_per_site_averages_away():
    shared = forecast(Plan(staggered(), 100, [CONSENT]), 36, draws=8000).interval(36, 0.95)
    fixed = forecast(Plan(staggered(), 100, [replace(CONSENT, rate=0.7)]), 36, draws=8000).interval(36, 0.95)
    per_site = sum(
        forecast(Plan([s], 1, [CONSENT]), 36, draws=4000, seed=i).enrolled_by(36) for i, s in enumerate(staggered())
    )
    low, high = np.quantile(per_site, [0.025, 0.975])
    assert np.allclose(shared, (54, 160), atol=2.5)
    assert np.allclose((low, high), (73, 142), atol=2.5)
    assert np.allclose(fixed, (74, 141), atol=2.5)


@pytest.mark.parametrize(("n", "anchor"), [(25, 0.490), (30, 0.799), (31, 0.842), (32, 0.878), (33, 0.907)])
def test_sixty_patients_in_twenty_four_months_by_number_of_sites(n, anchor):
    exact = stats.nbinom(1.2 * n, 12 / 36).sf(59)
    assert exact == pytest.approx(anchor, abs=5e-4)
    near(success_by_sites(Plan([TYPICAL], 60), [24], [n], TYPICAL, draws=10_000).loc[n, 24], exact, 10_000)


def test_smallest_number_of_sites():
    found = smallest_number_of_sites(Plan([TYPICAL], 60), 24, draws=DRAWS)
    assert found.loc[0.8, "sites_low"] <= 31 <= found.loc[0.8, "sites_high"]
    assert found.loc[0.9, "sites_low"] <= 33 <= found.loc[0.9, "sites_high"]
    assert found.loc[0.8, "sites_high"] - found.loc[0.8, "sites_low"] <= 2
    assert (found["reached"] >= found.index.to_numpy()).all()


def test_too_few_sites_are_said_to_be_too_few():
    found = smallest_number_of_sites(Plan([TYPICAL], 60), 12, [0.9], most=10, draws=2000)
    assert found["sites"].isna().all()


def test_places_are_counted_by_the_same_search():
    plan = Plan([TYPICAL], 10, [Step("dose", 1.0, reaches="infused")], slots=Slots(0.5))
    found = smallest_number_of_sites(plan, 12, [0.8], draws=2000)
    n = int(found.loc[0.8, "sites"])
    grid = success_by_sites(plan, [12], [n - 1, n], TYPICAL, draws=2000)[12]
    assert grid[n - 1] < 0.8 <= grid[n]


@pytest.mark.parametrize(
    ("rate", "anchor"), [(25 / 12 * 0.159 * 0.516, (31.8, 50.7, 76.0)), (40 / 12 * 0.159 * 0.516, (19.9, 31.7, 47.5))]
)
def test_the_anchor_at_a_known_rate_is_a_gamma(rate, anchor):
    exact = stats.gamma(9, scale=1 / rate).ppf([0.1, 0.5, 0.9])
    assert exact == pytest.approx(anchor, abs=0.06)
    times = forecast(Plan([Site("centre", rate=rate)], 9), 120, draws=DRAWS).times
    for level, quantile in zip((0.1, 0.5, 0.9), exact, strict=True):
        quantiles_near(times, level, quantile)


def test_stock_is_enrolled_before_it_is_lost():
    mu = log(2) / 5
    exact = 0.5 / (0.5 + mu)
    assert exact == pytest.approx(0.7829, abs=5e-5)
    plan = Plan([Site("centre", rate=0.0, stock=1)], 1, stock_rate=0.5, stock_half_life=5)
    times = forecast(plan, 200, draws=DRAWS).times
    near(np.isfinite(times).mean(), exact)
    near((times <= 1.0).mean(), exact * stats.expon(scale=1 / (0.5 + mu)).cdf(1))


def test_nobody_waits_in_a_dead_time_and_everybody_in_a_queue():
    step = Step("dose", 1.0, reaches="infused")
    plan = Plan([Site("centre", rate=1.0)], 9, [step], slots=Slots(1.0, max_wait=0))
    times = forecast(plan, 60, draws=DRAWS).times
    exact = stats.gamma(9)  # nine waits for an arrival and eight dead times
    for level in (0.1, 0.5, 0.9):
        quantiles_near(times, level, exact.ppf(level) + 8)
    free = forecast(plan.change(slots=Slots(1.0)), 60, draws=5000)
    rng = np.random.default_rng(1)
    oracle = []
    for _ in range(4000):
        start = -np.inf
        for t in np.cumsum(rng.exponential(size=9)):
            start = max(t, start + 1)
        oracle.append(start)
    assert stats.ks_2samp(free.times, oracle).pvalue > 0.001
    only_first = forecast(plan.change(slots=Slots(1.0, max_wait=0, patients=3)), 60, draws=DRAWS).times
    quantiles_near(only_first, 0.5, stats.gamma(9).ppf(0.5) + 2)


def test_delays_shift_and_steps_thin():
    plan = Plan([Site("centre", rate=1.0)], 9, [Step("a", 0.5, reaches="x", months=2), Step("b", 0.5, reaches="y")])
    quantiles_near(forecast(plan, 200, draws=DRAWS).times, 0.5, stats.gamma(9, scale=4).ppf(0.5) + 2)
    counts = forecast(plan.change(goal="x"), 12, draws=DRAWS).enrolled_by(12)
    near(np.mean(counts == 0), np.exp(-5))


def test_ramp_up_calendar_and_competing_trials_lower_the_rate_as_they_should():
    site = Site("centre", rate=0.5, opens=2, ramp_up=4, closes=20)
    plan = Plan([site], 1, calendar=((10, 0.5),), competing=[Competing("other", 0.4, start=8, end=14)])
    mean = 0.5 * (
        2 + (8 - 6) + 2 * 0.6 + 4 * 0.5 * 0.6 + 6 * 0.5
    )  # ramp area 2, full, shared, shared and halved, halved
    counts = forecast(plan, 30, draws=DRAWS).enrolled_by(30)
    assert abs(counts.mean() - mean) <= 4 * sqrt(mean / DRAWS)
    near(np.mean(counts == 0), np.exp(-mean))


def test_common_factors_have_mean_one_and_their_own_spread():
    plan = Plan([Site("centre", rate=2.0)], 1, attractiveness_sd=0.3, calendar_sd=0.4)
    counts = forecast(plan, 24, draws=DRAWS).enrolled_by(24)
    a, y = np.exp(0.3**2), 1 + (np.exp(0.4**2) - 1) / 2  # second moments; two years' factors averaged
    var = 48 + 48**2 * (a * y - 1)
    assert abs(counts.mean() - 48) <= 4 * sqrt(var / DRAWS)
    assert counts.var() == pytest.approx(var, rel=0.06)


def test_imputed_arrivals_are_a_mixture():
    plan = Plan([Site("centre", arrivals=[2, 6, 10], months=24)], 9)
    counts = forecast(plan, 12, draws=21_000).enrolled_by(12)
    for n in (0, 2, 5, 8):
        near(np.mean(counts <= n), np.mean([stats.nbinom(a + 0.5, 2 / 3).cdf(n) for a in (2, 6, 10)]), 21_000)


def test_imputations_of_several_sites_go_together():
    def rates(*counts):
        plan = Plan([*(Site(str(i), c, 24) for i, c in enumerate(counts)), Site("new")], 9)
        return draw_site_rates(plan, draw_common(plan, 0, 400, 12, 1, 0), 1, 0)

    mixed = rates([3, 9], [0, 5])
    assert mixed[:, 0::2] == pytest.approx(rates(3, 0)[:, 0::2])
    assert mixed[:, 1::2] == pytest.approx(rates(9, 5)[:, 1::2])


def test_a_mixture_of_betas_is_carried_through():
    betas = [Beta(40, 160), Beta(80, 120)]
    plan = Plan([Site("centre", rate=1.0)], 1, [Step("eligible", betas, reaches="in")])
    share = np.mean(forecast(plan, 3, draws=DRAWS).enrolled_by(3) == 0)
    p = np.concatenate([np.random.default_rng(0).beta(b.a, b.b, 200_000) for b in betas])
    near(share, np.exp(-3 * p).mean())


def test_sites_share_a_prior_that_is_estimated_and_never_plugged_in():
    u = np.random.default_rng(0).random((2, 40_000))
    shape, months = common_prior([], [], *u)
    assert np.median(shape / months) == pytest.approx(0.3, rel=0.03)
    assert np.median(shape) == pytest.approx(1.2, rel=0.03)
    # Brute force over a plain grid, for three sites.
    counts, t = [0, 3, 9], [24, 24, 24]
    shape, months = common_prior(counts, t, *u)
    log_mean, log_shape = np.meshgrid(np.linspace(-7, 5, 500), np.linspace(-3.5, 4, 500), indexing="ij")
    a = np.exp(log_shape)
    weight = stats.norm.pdf(log_mean, log(0.3), 1.5) * stats.norm.pdf(log_shape, log(1.2), 0.7)
    for n, m in zip(counts, t, strict=True):
        weight = weight * stats.nbinom.pmf(n, a, 1 / (1 + m * np.exp(log_mean) / a))
    weight /= weight.sum()
    assert np.log(shape / months).mean() == pytest.approx((weight * log_mean).sum(), abs=0.02)
    assert np.log(shape / months).std() == pytest.approx(
        sqrt((weight * log_mean**2).sum() - (weight * log_mean).sum() ** 2), rel=0.03
    )
    assert np.log(shape).mean() == pytest.approx((weight * log_shape).sum(), abs=0.02)


def test_a_site_without_data_gets_the_prior_predictive():
    seen = [Site(str(i), n, 24) for i, n in enumerate((1, 4, 12))]
    plan = Plan([*seen, Site("new")], 5)
    common = draw_common(plan, 0, 20_000, 12, 1, 0)
    rates = draw_site_rates(plan, common, 1, 0)
    shape, months = common.prior
    assert rates[3].mean() == pytest.approx((shape / months).mean(), rel=0.05)
    assert rates[3].std() > 1.5 * rates[1].std()  # wider than a site with data, and no plug-in mean
    assert rates[2].mean() < 12.5 / 24  # the best site is shrunk towards the others


def test_typical_sites_count_enrolled_patients_and_are_not_thinned_again():
    assert ADMIRAL_LIKE.mean == pytest.approx(0.10)
    assert CARTITUDE_4_LIKE.mean == pytest.approx(0.30)
    steps = [CONSENT, Step("screening", 0.5, reaches="enrolled"), Step("product", 0.8, reaches="infused")]
    plan = Plan(copies(Site("site", prior=ADMIRAL_LIKE), 30), 9, steps, counts="enrolled")
    assert plan.milestones == ("enrolled", "infused")
    assert forecast(plan, 12, draws=4000).enrolled_by(12).mean() == pytest.approx(30 * 0.1 * 12 * 0.8, rel=0.03)


def test_the_closure_rule_is_exact_for_a_gamma():
    table = closure_rule(Plan([TYPICAL], 9), (6, 12), good=0.1, draws=50_000)
    for x in (6, 12):
        exact = (12 / (12 + x)) ** 1.2
        good = exact * stats.gamma(1.2, scale=1 / (12 + x)).sf(0.1) / stats.gamma(1.2, scale=1 / 12).sf(0.1)
        assert table.loc[x, "closed"] == pytest.approx(exact, abs=0.01)
        assert table.loc[x, "good_closed"] == pytest.approx(good, abs=0.01)


def test_start_up_rows_are_in_the_order_of_time():
    plan = Plan([replace(s, opens=(0, 3, 9)) for s in copies(TYPICAL, 20)], 30)
    table = start_up(plan, 24, [4], draws=4000)
    p = table["probability"]
    assert p["all at their earliest"] > p["all at their likely"] > p["as planned"] > p["all at their latest"]
    assert p["every site 4 months later"] < p["as planned"]
    assert table.loc["every site 4 months later", "median"] == pytest.approx(
        table.loc["as planned", "median"] + 4, abs=1
    )


def test_futility_agrees_with_the_closed_reforecast():
    made = forecast(Plan([SEEN], 9), 36, draws=40_000)
    table = futility(made, 12, 36)
    for m in (0, 2, 4):
        n = round(table.loc[m, "share"] * 40_000)
        near(table.loc[m, "probability"], stats.nbinom(6.5 + m, 36 / 60).sf(8 - m), n)
    assert table.attrs["stop_at"] == 0
    assert table.loc[9, "probability"] == 1.0


def test_a_gain_of_two_on_six_keeps_the_six_and_has_the_uncertainty_of_two():
    base, wider = Plan([SEEN], 9), Plan([replace(SEEN, arrivals=8)], 9)
    table = compare_plans(base, {"wider": wider}, 600, draws=DRAWS)
    for row, n in ((0, 6.5), (1, 8.5)):
        exact = 24 * stats.betaprime(9, n).ppf(0.5)
        assert table["median"].iloc[row] == pytest.approx(exact, rel=0.04)
    # The same by plain means: nine patients of the first kind, or the nine first of both kinds.
    rng = np.random.default_rng(3)
    first = rng.gamma(6.5, 1 / 24, 20_000)
    more = rng.gamma(2.0, 1 / 24, 20_000)
    saved = []
    for a, b in zip(first, more, strict=True):
        t = np.cumsum(rng.exponential(1 / a, 9))
        gained = np.cumsum(rng.exponential(1 / b, 9))
        saved.append(t[8] - np.sort(np.concatenate([t, gained]))[8])
    low, median, high = np.quantile(saved, [0.1, 0.5, 0.9])
    assert table["sooner"].iloc[1] == pytest.approx(median, rel=0.06)
    assert table["sooner_low"].iloc[1] == pytest.approx(low, abs=0.2)
    assert table["sooner_high"].iloc[1] == pytest.approx(high, rel=0.06)
    assert "9 patients eligible in 26 instead of 34 months, " in difference_in_words(table, "wider")


def test_nothing_gained_is_no_difference_at_all():
    table = compare_plans(Plan([SEEN], 9), {"same": Plan([SEEN], 9)}, 120, draws=2000)
    assert table.loc["same", ["sooner", "sooner_low", "sooner_high"]].tolist() == [0, 0, 0]
    assert table["median"].nunique() == 1


def test_differences_that_do_not_end_in_time_have_no_interval():
    table = compare_plans(Plan([SEEN], 9), {"wider": Plan([replace(SEEN, arrivals=7)], 9)}, 24, draws=2000)
    assert np.isnan(table.loc["wider", "sooner"])
    assert "too many simulated trials" in difference_in_words(table, "wider")


def test_the_tornado_puts_the_least_certain_rate_first():
    steps = [Step("sure", Beta(980, 20)), Step("wide", Beta(3, 2)), Step("known", 0.9, reaches="in")]
    table = rate_tornado(Plan([Site("centre", 100, 24)], 60, steps), 24, draws=4000)
    assert table.index[0] == "wide"
    assert "known" not in table.index
    row = table.loc["wide"]
    assert [row.low_value, row.high_value] == pytest.approx(stats.beta(3, 2).ppf([0.1, 0.9]), abs=0.01)
    assert row.probability_low < table.attrs["probability"] < row.probability_high


def test_the_tornado_varies_openings_competing_trials_and_common_factors():
    sites = [Site("a", 20, 24, opens=(0, 2, 9)), Site("b", 30, 24, opens=(1, 6, 12), prior=Gamma(1, 12))]
    plan = Plan(sites, 30, [CONSENT], competing=[Competing("other", Beta(2, 8))], attractiveness_sd=0.3)
    table = rate_tornado(plan, 24, draws=2000)
    assert set(table.index) == {
        "consent", "other", "patients a month (eligible)", "attractiveness", "opening month (mean)"
    }  # fmt: skip
    for harmful in ("other", "opening month (mean)"):
        assert table.loc[harmful, "probability_low"] > table.loc[harmful, "probability_high"]
    for helpful in ("consent", "patients a month (eligible)", "attractiveness"):
        assert table.loc[helpful, "probability_low"] < table.loc[helpful, "probability_high"]
    draw = np.random.default_rng(0).triangular
    ends = [np.mean([np.quantile(draw(*s.opens, 200_000), q) for s in sites]) for q in (0.1, 0.9)]
    row = table.loc["opening month (mean)"]
    assert [row.low_value, row.high_value] == pytest.approx(ends, abs=0.05)


def test_the_seed_trial_end_to_end_lists_every_assumption():
    protocol = fz.load_trial("NCT06642025")
    centre = Site("one centre", prior=Gamma.between(25 / 12, 40 / 12))
    plan = plan_from_protocol(protocol, centre, 9, goal="enrolled", eligible_share=Beta(32, 168))
    made = forecast(plan, 240, draws=4000)
    table = assumptions(plan)
    assert table.loc[["consent", "ex02_antigen", "contraception", "investigator"], "value"].prod() == pytest.approx(
        0.7 * 0.8 * 0.98 * 0.95
    )
    assert "unwilling_contraception" not in table.index
    assert table.loc["contraception", "used"].endswith("clause I6.2, E4.3")
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert (table["source"] != "").all()
    # The anchor is 9 in 2.7 to 4.4 years at fixed rates; its interval is wider on both sides.
    low, median, high = made.months_to_target([0.1, 0.5, 0.9])
    assert low < 12 * 2.7 < median < 12 * 4.4 < high
    answers = planner_answers(made, [36])
    assert answers["answer"].iloc[0] == made.probability_by(36)


def test_a_fact_in_two_clauses_is_counted_once_and_waiving_one_keeps_the_other():
    protocol = fz.load_trial("NCT06642025")
    names = [s.name for s in clause_steps(protocol)]
    assert names[0] == "consent"
    assert sorted(names) == ["consent", "contraception", "ex02_antigen", "investigator"]
    less = protocol.without("contraception", "ex02_antigen")
    assert [(s.name, s.clause) for s in clause_steps(less)][1] == ("unwilling_contraception", "E4.3")
    loop = [
        not_assessable("I1", "a", "inclusion", "x", rate=Beta(1, 1), source="s", same_as="b"),
        not_assessable("I2", "b", "inclusion", "x", rate=Beta(1, 1), source="s", same_as="a"),
    ]
    assert [s.clause for s in clause_steps(Protocol("demo", "Demo", loop))] == ["I1, I2"]


def test_a_fact_that_a_criterion_decides_is_no_assumption_any_more():
    @inclusion("I6.2", "agreement to use effective contraception")
    def contraception(signed):
        return signed

    protocol = fz.load_trial("NCT06642025").adding(contraception)
    assert "unwilling_contraception" not in [s.name for s in clause_steps(protocol)]
    assert len(clause_steps(protocol)) == 3


def test_rates_are_overridden_by_name():
    protocol = fz.load_trial("NCT06642025")
    plan = plan_from_protocol(protocol, SEEN, 9, rates={"consent": (9, 1), "manufacturing": 0.75})
    rates = {s.name: s.mean for s in plan.steps}
    assert (rates["consent"], rates["manufacturing"]) == (0.9, 0.75)
    assert plan.milestones == ("eligible", "consented", "enrolled", "leukapheresed", "infused", "evaluable")
    assert plan.goal == "infused"
    assert "replaced by a later patient" in plan.replacement


def test_the_treatment_steps_lie_where_the_literature_puts_them():
    u = np.random.default_rng(0)
    passed = np.prod([u.beta(s.rate.a, s.rate.b, 100_000) for s in CAR_T_STEPS[:3]], axis=0)
    low, high = np.quantile(passed, [0.025, 0.975])
    assert passed.mean() == pytest.approx(0.68, abs=0.01)
    assert (low, high) == pytest.approx((0.49, 0.83), abs=0.02)


def test_progress_counts_those_on_the_way():
    steps = [Step("consent", 1.0, reaches="consented"), Step("product", 0.5, reaches="infused", months=2)]
    plan = Plan([Site("centre", rate=1e-9)], 9, steps)
    made = forecast(plan, 6, draws=DRAWS, progress=Progress(10, 8, at="consented", reached=3, waiting=4))
    counts = made.enrolled_by(6)
    assert made.enrolled_by(1).max() == 3
    for n in range(4):
        near(np.mean(counts <= 3 + n), stats.binom(4, 0.5).cdf(n))


def test_patients_dosed_before_today_count_among_the_first():
    steps = [Step("consent", 1.0, reaches="consented"), Step("dose", 1.0, reaches="infused")]
    plan = Plan([Site("centre", rate=1e-9)], 9, steps, slots=Slots(2.0, patients=3))
    made = forecast(plan, 12, draws=100, progress=Progress(10, 6, at="consented", reached=2, waiting=4))
    # The third dose today ends the staggering; with nobody dosed yet, the second and third would wait 2 and 4 months.
    assert made.enrolled_by(0).min() == 6
    fresh = forecast(plan, 12, draws=100, progress=Progress(10, 4, at="consented", reached=0, waiting=4))
    assert [int(fresh.enrolled_by(m).min()) for m in (0, 2, 4)] == [1, 2, 4]


def test_patients_who_arrived_too_lately_to_be_counted_are_still_expected():
    plan = Plan([Site("centre", rate=1.0)], 9, [Step("product", 1.0, reaches="infused", months=3)])
    counts = forecast(plan, 3, draws=DRAWS, progress=Progress(12, 2)).enrolled_by(3)
    near(np.mean(counts == 2), np.exp(-3))


def test_a_target_already_met_is_a_clear_result():
    made = forecast(Plan([SEEN], 9), 12, draws=500, progress=Progress(40, 11))
    assert made.probability_by(0) == 1.0
    assert made.when(0.9) == 0.0
    assert "already met (11)" in made.notes[0]


def test_no_patient_at_all_still_gives_a_proper_forecast():
    made = forecast(Plan([Site("empty", 0, 24)], 2), 240, draws=DRAWS)
    near(np.mean(made.enrolled_by(12) == 0), stats.nbinom(0.5, 24 / 36).pmf(0))
    assert "no eligible patient in 24 months" in made.notes[0]


def test_the_same_seed_gives_the_same_numbers_and_progress_is_told():
    told = []
    one = forecast(Plan([SEEN], 9), 60, draws=4500, on_progress=lambda *a: told.append(a))
    two = forecast(Plan([SEEN], 9), 60, draws=4500)
    assert (one.times == two.times).all()
    assert told == [(2000, 4500), (4000, 4500), (4500, 4500)]
    assert (forecast(Plan([SEEN], 9), 60, draws=4500, seed=2).times != one.times).any()


def test_tables_of_a_forecast_agree_with_each_other():
    plan = Plan([SEEN, Site("other", 12, 24, opens=3)], 12, [CONSENT])
    made = forecast(plan, 36, draws=3000)
    assert (made.by_site.sum(axis=1) == made.enrolled_by(36)).all()
    assert ((made.enrolled_by(24) >= 12) == (made.times <= 24)).all()
    fan = made.fan()
    assert (np.diff(fan[["low_95", "low_80", "median", "high_80", "high_95"]].to_numpy(), axis=1) >= 0).all()
    assert fan.attrs == {"target": 12, "goal": "consented"}
    assert made.site_contributions()["share"].sum() == pytest.approx(1)
    assert made.when(0.5) == made.months_to_target([0.5]).iloc[0]
    assert made.probabilities([36]).loc[36, "probability"] == made.probability_by(36)
    assert "12 patients consented after" in made.summary()


def test_a_forecast_that_does_not_get_there_says_so():
    made = forecast(Plan([SEEN], 200), 24, draws=500)
    assert made.when(0.5) == np.inf
    assert "more than 24" in made.summary()


def test_backtest_scores_the_months_it_has_not_seen():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(rng.poisson([0.2, 0.5, 1.0], (60, 3)), columns=["a", "b", "c"])
    scored = backtest(table, 24, 12, draws=500)
    assert sorted(set(scored.index.get_level_values("origin"))) == [24, 36, 48]
    row = scored.loc[(36, "b")]
    assert row.observed == table["b"].iloc[36:48].sum()
    miss = max(row.low_80 - row.observed, 0) + max(row.observed - row.high_80, 0)
    assert row.score_80 == pytest.approx(row.high_80 - row.low_80 + 10 * miss)
    assert scored["pit"].between(0, 1).all()
    summary = backtest_summary(scored)
    assert summary.loc["all sites", "forecasts"] == 3
    # Nothing of the scored months may reach the fit.
    changed = table.copy()
    changed.iloc[36:] = 0
    again = backtest(changed, 24, 12, draws=500)
    pd.testing.assert_series_equal(again.loc[36]["mean"], scored.loc[36]["mean"])
