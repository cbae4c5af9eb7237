"""What a beginner does wrong with imputation and its estimates."""

from __future__ import annotations

import builtins

import numpy as np
import pandas as pd
import pytest
from helpers import frame

import feasibility as fz
from feasibility.errors import FeasibilityError, ProtocolError, ReconciliationError
from feasibility.missing.diagnostics import chain_trace
from feasibility.missing.estimands import check_within, estimates, in_extract, in_source, per_month
from feasibility.missing.impute import impute
from feasibility.missing.mnar import delta_curve, untested_odds


@fz.inclusion("I1", "platelets above 30")
def platelets(platelets_10e9_l, *, min_platelets: float = 30):
    return platelets_10e9_l > min_platelets


@fz.inclusion("I2", "in remission")
def remission(state):
    return state == "CR"


PROTOCOL = fz.Protocol("T", "T", [platelets, remission])


def small(n=60, holes=10, states=("CR", "PD")):
    values = [None if i < holes else float(10 + i) for i in range(n)]
    return frame(
        platelets_10e9_l=("Float64", *values), state=("string", *[None, *[states[i % 2] for i in range(n - 1)]])
    )


@pytest.fixture(scope="module")
def made():
    cohort = small()
    return impute(cohort, fz.screen(cohort, PROTOCOL), m=39, method="pmm", cycles=1)


def test_nobody_undetermined():
    cohort = small(holes=0).iloc[1:]
    with pytest.raises(FeasibilityError, match="Nobody is undetermined, so there is nothing to impute"):
        impute(cohort, fz.screen(cohort, PROTOCOL))


@pytest.mark.parametrize("m", [1, 0, 2.5, True])
def test_too_few_imputations(m):
    cohort = small()
    with pytest.raises(FeasibilityError, match="m is a whole number of at least 2; got .*One imputation says nothing"):
        impute(cohort, fz.screen(cohort, PROTOCOL), m=m)


def test_unknown_method():
    cohort = small()
    with pytest.raises(FeasibilityError, match="Method 'statmodels' is not one of .* Did you mean 'statsmodels'"):
        impute(cohort, fz.screen(cohort, PROTOCOL), method="statmodels")


def test_too_few_known_values():
    cohort = small(60, 55).assign(state=pd.array(["CR"] * 60, dtype=pd.StringDtype("python")))
    screening = fz.screen(cohort, PROTOCOL)
    with pytest.raises(
        FeasibilityError, match=r"Too few known values to fit: .*platelets_10e9_l has only 5 known values"
    ):
        impute(cohort, screening, method="pmm")
    few = small(12, 3)
    with pytest.raises(FeasibilityError, match="the cohort has 12 patients, at least 20 are needed"):
        impute(few, fz.screen(few, PROTOCOL), method="pmm")


@pytest.mark.parametrize("rows", [5, [1, 2, 3], np.arange(100)])
def test_unusable_fit_rows(rows):
    cohort = small()
    with pytest.raises(FeasibilityError, match="fit_rows"):
        impute(cohort, fz.screen(cohort, PROTOCOL), method="pmm", fit_rows=rows)


def test_another_cohort_than_the_one_screened():
    cohort = small()
    with pytest.raises(FeasibilityError, match="does not hold the 60 patients that were screened"):
        impute(cohort.iloc[:50], fz.screen(cohort, PROTOCOL))


def test_statsmodels_absent(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("statsmodels"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    cohort = small()
    with pytest.raises(FeasibilityError, match="needs statsmodels 0.15 or later.*pip install"):
        impute(cohort, fz.screen(cohort, PROTOCOL), method="statsmodels")


def test_unknown_columns_and_numbers(made):
    with pytest.raises(FeasibilityError, match="numbered 0 to 38; got 39"):
        made.completed(39)
    with pytest.raises(FeasibilityError, match="No column 'platelets' was imputed. Did you mean 'platelets_10e9_l'"):
        delta_curve(made, "platelets")
    with pytest.raises(FeasibilityError, match="No column 'stat' was imputed. Did you mean 'state'"):
        chain_trace(made, "stat")
    with pytest.raises(FeasibilityError, match="Column 'state' is coded.*untested_odds"):
        delta_curve(made, "state")
    with pytest.raises(FeasibilityError, match="At least one shift is needed"):
        delta_curve(made, "platelets_10e9_l", [])


def test_untested_odds_refuses(made):
    with pytest.raises(ProtocolError, match="no criterion 'platelet'. Did you mean 'platelets'"):
        untested_odds(made, "platelet")
    with pytest.raises(FeasibilityError, match="numbers from 0 up"):
        untested_odds(made, factors=[-1])


def test_a_criterion_with_nothing_unknown():
    cohort = small().assign(state=pd.array(["CR"] * 60, dtype=pd.StringDtype("python")))
    made = impute(cohort, fz.screen(cohort, PROTOCOL), m=2, method="pmm", cycles=1)
    with pytest.raises(FeasibilityError, match="remission is known for every undetermined patient"):
        untested_odds(made, "remission")


def test_estimates_refuse_what_is_none(made):
    cohort = small()
    for ask in (in_extract, in_source):
        with pytest.raises(FeasibilityError, match=r"patients are undetermined. Impute first"):
            ask(fz.screen(cohort, PROTOCOL))
        with pytest.raises(FeasibilityError, match="the result of impute.. is needed"):
            ask(cohort)
        with pytest.raises(FeasibilityError, match="2 imputations cannot give a 95 % interval, 39 are needed"):
            ask(impute(cohort, fz.screen(cohort, PROTOCOL), m=2, method="pmm", cycles=1))
    with pytest.raises(FeasibilityError, match="no stratum 'sites'"):
        in_source(made, sites="sites")
    with pytest.raises(FeasibilityError, match=r"estimates\(\) takes what"):
        estimates(3)


@pytest.mark.parametrize("arrivals", [[-1], [2.5], [], [np.nan]])
def test_arrivals_that_are_no_counts(arrivals):
    with pytest.raises(FeasibilityError, match="whole numbers of patients, not negative"):
        per_month(arrivals, 24)


@pytest.mark.parametrize("exposure", [0, -3, np.inf])
def test_exposure_must_be_positive(exposure):
    with pytest.raises(FeasibilityError, match="exposure is the months of observation, above 0"):
        per_month([6], exposure)


def test_a_count_outside_the_bounds_is_a_defect():
    for counts in ([4, 12], [2, 6]):
        with pytest.raises(ReconciliationError, match="leave the bounds, 3 confirmed and 10 possible"):
            check_within(counts, counts, 3, 10)
