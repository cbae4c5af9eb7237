"""What a planner gets wrong: every message names the thing and says what to do."""

from __future__ import annotations

import pandas as pd
import pytest

import feasibility as fz
from feasibility.enrollment.answers import closure_rule, futility, smallest_number_of_sites, success_by_sites
from feasibility.enrollment.assumptions import plan_from_protocol
from feasibility.enrollment.backtest import backtest
from feasibility.enrollment.calibration import calibrate
from feasibility.enrollment.differences import compare_plans, difference_in_words, rate_tornado
from feasibility.enrollment.forecast import forecast
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import JEFFREYS, Gamma
from feasibility.enrollment.progress import Progress
from feasibility.enrollment.sites import Site, copies
from feasibility.enrollment.steps import Competing, Slots, Step
from feasibility.errors import FeasibilityError
from feasibility.protocol.criterion import Beta

SEEN = Site("Hefei", arrivals=6, months=24)
CONSENT = Step("consent", Beta(7, 3), reaches="consented")


def refused(match):
    return pytest.raises(FeasibilityError, match=match)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"arrivals": -1, "months": 24}, "Site 'x': arrivals must be whole numbers of 0 or more, got -1"),
        ({"arrivals": 2.5, "months": 24}, "whole numbers"),
        ({"arrivals": [], "months": 24}, "the list is empty"),
        ({"arrivals": 3, "months": -2}, "months must be 0 or more, got -2"),
        ({"arrivals": 3}, "go together; one is missing"),
        ({"arrivals": 3, "months": 2}, "2 observed months are too few for a rate .at least 3."),
        ({"arrivals": 3, "months": 24, "rate": 0.1}, "leaves no room"),
        ({"rate": -0.1}, "rate must be 0 or more"),
        ({"rate": float("nan")}, "rate must be 0 or more"),
        ({"prior": 0.3}, "prior must be a Gamma"),
        ({"prior": JEFFREYS}, "is no prior without observed months"),
        ({"rate": 1, "opens": (3, 1, 6)}, "earliest, likely, latest"),
        ({"rate": 1, "opens": -1}, "opens must be a month of 0 or more"),
        ({"rate": 1, "opens": 5, "closes": 4}, "closes in month 4, before it has opened"),
        ({"rate": 1, "stock": -3}, "stock must be whole numbers"),
    ],
)
def test_sites(settings, match):
    with refused(match):
        Site("x", **settings)


def test_a_site_needs_a_name():
    with refused("needs a name"):
        Site("")
    with refused("at least one site"):
        copies(SEEN, 0)


@pytest.mark.parametrize("rate", [1.2, -0.1, "0.5", True, None, [0.2, 0.3], float("nan")])
def test_a_rate_outside_0_to_1(rate):
    with refused("Step 'consent': the rate must be a Beta.a, b. or a number from 0 to 1"):
        Step("consent", rate)
    with refused("Competing trial 'other': the rate must be"):
        Competing("other", rate)


def test_steps_slots_and_competing_trials():
    with refused("months must be 0 or more"):
        Step("consent", 0.5, months=-1)
    with refused("start must be 0 or more and before end"):
        Competing("other", 0.5, start=5, end=5)
    with refused("gap must be 0 or more months, got -1"):
        Slots(-1)
    with refused("half_life must be above 0"):
        Slots(1, half_life=0)


@pytest.mark.parametrize(
    ("sites", "settings", "match"),
    [
        ([], {}, "at least one site"),
        ([SEEN, SEEN], {}, "Two sites are called 'Hefei'"),
        ([SEEN], {"target": 0}, "at least 1 patient, got 0"),
        ([SEEN], {"target": 2.5}, "whole number"),
        ([SEEN], {"target": -3}, "at least 1 patient"),
        ([SEEN], {"goal": "infuse", "steps": [CONSENT, Step("p", 0.5, reaches="infused")]}, "Did you mean 'infused'"),
        ([SEEN], {"steps": [CONSENT, CONSENT]}, "Two steps have the name or milestone 'consent'"),
        ([SEEN], {"steps": [CONSENT, Step("late", 0.5)]}, "Step 'late' is the last and leads nowhere"),
        ([SEEN], {"attractiveness_sd": -1}, "attractiveness_sd must be 0 or more"),
        ([SEEN], {"stock_half_life": 0}, "stock_half_life must be above 0"),
        ([SEEN], {"calendar": ((12, 0.5), (6, 1))}, "in order"),
        ([SEEN], {"competing": [Competing("o", 0.5, sites=["Hefe"])]}, "no site 'Hefe'. Did you mean 'Hefei'"),
        ([Site("x")], {}, "nothing says how many patients it has"),
        ([Site("x"), SEEN], {"prior": JEFFREYS}, "need a proper prior"),
        ([SEEN], {"slots": Slots(1)}, "no step reaches"),
        ([Site("x", [1, 2], 24), Site("y", [1, 2, 3], 24)], {}, "2, 3 imputations do not go together"),
    ],
)
def test_plans(sites, settings, match):
    with refused(match):
        Plan(sites, **{"target": 9, **settings})


def test_a_wrong_name_is_answered_with_the_nearest():
    plan = Plan([SEEN], 9, [CONSENT])
    with refused("no rate 'consnt'. Did you mean 'consent'"):
        plan.with_rates(consnt=0.5)
    with refused("no setting 'targte'. Did you mean 'target'"):
        plan.change(targte=5)
    with refused("No step reaches 'infused'"):
        plan.steps_to("infused")
    protocol = fz.load_trial("NCT06642025")
    with refused("same fact as 'contraception', counted once"):
        plan_from_protocol(protocol, SEEN, 9, rates={"unwilling_contraception": 0.9})
    with refused("no rate 'consnt'. Did you mean 'consent'"):
        plan_from_protocol(protocol, SEEN, 9, rates={"consnt": 0.9})
    with refused("from 0 to 1"):
        plan_from_protocol(protocol, SEEN, 9, rates={"consent": 1.9})


def test_priors():
    with refused("shape must be above 0"):
        Gamma(0, 12)
    with refused("months 0 or more"):
        Gamma(1, -1)
    with refused("two rates above 0 are needed, the lower one first"):
        Gamma.between(3, 2)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"months": -5}, "months must be a whole number of at least 1, got -5"),
        ({"months": 2.5}, "months must be a whole number"),
        ({"months": 12, "draws": 0}, "draws must be"),
        ({"months": 12, "seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_forecasts(settings, match):
    with refused(match):
        forecast(Plan([SEEN], 9), **settings)


def test_questions_outside_the_forecast():
    made = forecast(Plan([SEEN], 9), 12, draws=100)
    with refused("looks at months 0 to 12, not at 13"):
        made.probability_by(13)
    with refused("whole month from 0 to 12"):
        made.enrolled_by(3.5)
    with refused("between 0 and 1"):
        made.when(80)
    with refused("level must lie between 0 and 1"):
        made.interval(12, 95)
    with refused("0 <= after < by <= 12"):
        futility(made, 6, 24)
    with refused("threshold must lie"):
        futility(made, 3, 12, threshold=10)


def test_progress():
    with refused("months must be above 0"):
        Progress(0, 3)
    with refused("whole numbers"):
        Progress(10, -3)
    plan = Plan([SEEN], 9, [CONSENT, Step("p", 0.5, reaches="infused")])
    with refused("no site 'Hefe'. Did you mean 'Hefei'"):
        forecast(plan, 12, draws=100, progress=Progress(10, {"Hefe": 3}))
    with refused("say how many have reached 'infused'"):
        forecast(plan, 12, draws=100, progress=Progress(10, 3, at="consented"))
    with refused("count the patients at an earlier milestone"):
        forecast(plan.change(slots=Slots(1)), 12, draws=100, progress=Progress(10, 3))
    with refused("so far from the plan"):
        forecast(Plan([SEEN], 9, [Step("c", Beta(700, 300), reaches="in")], attractiveness_sd=1), 12, draws=100,
                 progress=Progress(10, 900))  # fmt: skip
    with refused("impossible"):
        forecast(Plan([Site("x", rate=0.5, opens=12)], 9), 12, draws=100, progress=Progress(10, 3))


def test_answers():
    plan = Plan([SEEN], 9)
    with refused("say what the others are like"):
        success_by_sites(plan, [12], [3])
    with refused("at least one month"):
        success_by_sites(plan, [], [1])
    with refused("probabilities must lie"):
        smallest_number_of_sites(plan, 12, [80])
    with refused("months above 0"):
        closure_rule(plan, [0])
    with refused("at least one other plan"):
        compare_plans(plan, {})
    with refused("other than 'as planned'"):
        compare_plans(plan, {"as planned": plan})
    with refused("No plan 'x' in the table"):
        difference_in_words(compare_plans(plan, {"y": plan}, 12, draws=100), "x")
    with refused("Nothing in this plan is uncertain"):
        rate_tornado(Plan([Site("x", rate=0.5)], 9), 12, draws=100)


def test_checks():
    with refused("which must be proper"):
        calibrate(Plan([SEEN], 9), 12, runs=20)
    with refused("no opening stock and no imputed counts"):
        calibrate(Plan([Site("x", prior=Gamma(1, 12), stock=2)], 9), 12, runs=20)
    with refused("20 months are too few to fit 12 and score 12"):
        backtest(pd.Series([1] * 20), 12)
    with refused("0, not a blank"):
        backtest(pd.Series([1, None] * 20), 12)
    with refused("train must be a whole number of at least 3"):
        backtest(pd.Series([1] * 20), 2)
    with refused("the table of arrivals is empty"):
        backtest(pd.DataFrame(), 12)
