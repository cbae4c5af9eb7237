"""What a beginner does wrong when counting arrivals."""

from __future__ import annotations

from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.enrollment.arrival_bounds import arrivals_bounds, arrivals_imputed, site_counts
from feasibility.enrollment.arrivals import arrivals
from feasibility.enrollment.dated import dated_statuses, screen_dates
from feasibility.enrollment.exits import cumulative_incidence, enrolled_before_lost, exits, half_life, observation
from feasibility.enrollment.periods import lab_lag
from feasibility.enrollment.snapshots import snapshot_bias, snapshot_missed_share
from feasibility.enrollment.spells import spells
from feasibility.enrollment.trend import steadiness
from feasibility.errors import CohortError, FeasibilityError, ScreeningError


def table(*rows):
    return pd.DataFrame(list(rows), columns=["patient_id", "index_date", "status"])


ROWS = table(("A", "2024-01-01", "ineligible"), ("A", "2024-03-01", "undetermined"), ("B", "2024-01-01", "ineligible"))


@pytest.fixture
def dated():
    return dated_statuses(ROWS, end="2024-12-31")


def test_no_index_dates(toy_cohort, toy_protocol):
    with pytest.raises(ScreeningError, match="has no index dates: arrivals need rows by"):
        screen_dates(toy_cohort, toy_protocol)


def test_a_single_date(toy_cohort, toy_protocol):
    one = pd.concat([toy_cohort], keys=pd.to_datetime(["2024-01-01"]), names=["index_date"]).swaplevel()
    with pytest.raises(ScreeningError, match="All rows have the same index date"):
        screen_dates(one, toy_protocol)
    with pytest.raises(ScreeningError, match="Index dates by 'as_of' say nothing about when"):
        screen_dates(one, toy_protocol, fz.as_of("2024-01-01"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS.rename(columns={"status": "state"}), "no column 'status'. Did you mean 'state'"),
        (ROWS.head(0), "no patient has an index date"),
        (ROWS.assign(status="maybe"), "Status 'maybe' is none of"),
        (pd.concat([ROWS, ROWS]), "two rows at the same index date"),
        (ROWS.assign(index_date=[None, "2024-01-01", "2024-01-02"]), "1 rows have no index date"),
    ],
)
def test_statuses_that_are_none(rows, message):
    with pytest.raises(ScreeningError, match=message):
        dated_statuses(rows)


def test_dates_outside_the_stated_period():
    with pytest.raises(ScreeningError, match="run from 2024-01-01 to 2024-03-01, outside the stated"):
        dated_statuses(ROWS, end="2024-02-01")
    with pytest.raises(CohortError, match="'soon' is no date"):
        dated_statuses(ROWS, end="soon")


def test_too_few_months(dated):
    with pytest.raises(
        FeasibilityError, match="Too few months: records count from 2024-01-01, the longest window is 365"
    ):
        arrivals(dated, lookback_days=365)
    with pytest.raises(FeasibilityError, match="Too few months"):
        arrivals_bounds(dated, lookback_days=10, data_start="2024-12-01")


def test_the_look_back_must_be_known(dated):
    with pytest.raises(FeasibilityError, match="lookback_days is not known: state the longest window"):
        arrivals(dated)
    with pytest.raises(FeasibilityError, match="lookback_days is -1; it is a whole number of days"):
        arrivals(dated, lookback_days=-1)


@pytest.mark.parametrize("days", [0, 400])
def test_a_washout_that_leaves_nothing_to_count(dated, days):
    with pytest.raises(
        FeasibilityError, match=f"washout_days is {days}; it must be at least 1 and shorter than the 365"
    ):
        arrivals(dated, lookback_days=0, washout_days=days)


def test_a_washout_that_is_no_number(dated):
    with pytest.raises(FeasibilityError, match="washout_days is 1.5; it is a whole number"):
        arrivals(dated, lookback_days=0, washout_days=1.5)


def test_periods_and_strata_that_are_not_there(dated):
    with pytest.raises(FeasibilityError, match="by is 'months'; .* Did you mean 'month'"):
        arrivals(dated, lookback_days=0, by="months")
    with pytest.raises(ScreeningError, match="no stratum 'site_id', such as site_id. This one has none"):
        arrivals(dated, lookback_days=0, stratum="site_id")
    sited = dated_statuses(ROWS.assign(site_id="x"), end="2024-12-31")
    with pytest.raises(ScreeningError, match="no stratum 'site'.* Did you mean 'site_id'"):
        arrivals(sited, lookback_days=0, stratum="site")
    with pytest.raises(ScreeningError, match="level is 'posible'.* Did you mean 'possible'"):
        dated.mask("posible")


def test_exits_that_cannot_be(dated):
    good = pd.DataFrame({"patient_id": ["A"], "date": ["2024-05-01"], "how": ["death"]})
    with pytest.raises(CohortError, match="exits has no column 'how'"):
        spells(dated, exits=good.drop(columns="how"))
    with pytest.raises(CohortError, match="1 patients have an index date on or after their death"):
        spells(dated, exits=good.assign(date="2024-03-01"))
    with pytest.raises(CohortError, match="exits has 1 rows without a date"):
        spells(dated, exits=good.assign(date=pd.NaT))
    with pytest.raises(CohortError, match="exits has a date that cannot be read"):
        spells(dated, exits=good.assign(date="next year"))
    with pytest.raises(CohortError, match="exits says how = 'censored'"):
        spells(dated, exits=good.assign(how="censored"))


def test_observation_that_cannot_be(dated):
    good = pd.DataFrame({"patient_id": ["A"], "start": ["2024-01-01"], "end": ["2024-05-01"]})
    with pytest.raises(CohortError, match="observation has no column 'end'"):
        spells(dated, observation=good.drop(columns="end"))
    with pytest.raises(CohortError, match="ends before it starts"):
        spells(dated, observation=good.assign(end="2023-01-01"))


def test_no_spell_says_nothing_about_how_they_end(dated):
    found = spells(dated)
    with pytest.raises(FeasibilityError, match="No confirmed spell starts after the first day.*level='possible'"):
        cumulative_incidence(found)
    with pytest.raises(FeasibilityError, match="There is no confirmed spell"):
        half_life(found)
    with pytest.raises(FeasibilityError, match="spells has no column 'ended'"):
        half_life(found.drop(columns="ended"))
    with pytest.raises(FeasibilityError, match="level is 'sure'"):
        half_life(found, "sure")


def test_rates_and_lengths_that_are_none():
    with pytest.raises(FeasibilityError, match="loss_rate is -1; it is a rate per month"):
        enrolled_before_lost(1, -1)
    with pytest.raises(FeasibilityError, match="Both rates are 0"):
        enrolled_before_lost(0, 0)
    for wrong in (0, -1, float("nan"), "2", True):
        with pytest.raises(FeasibilityError, match="mean_spell_months is .* above 0"):
            snapshot_missed_share(wrong)
    with pytest.raises(FeasibilityError, match="spacing_months is 0"):
        snapshot_missed_share(1, 0)
    with pytest.raises(FeasibilityError, match="one of each a period"):
        steadiness([1, 2], [1])
    with pytest.raises(FeasibilityError, match="exposures above 0"):
        steadiness([1, 2], [1, 0])


def test_imputed_statuses_that_do_not_fit(dated):
    with pytest.raises(ScreeningError, match=r"boolean matrix \(imputations, 3 rows\) is needed"):
        arrivals_imputed(dated, np.ones((2, 5), dtype=bool), lookback_days=0)
    with pytest.raises(ScreeningError, match="Imputed statuses are float64"):
        arrivals_imputed(dated, np.ones((2, 3)), lookback_days=0)
    with pytest.raises(ScreeningError, match="2 rows with a known verdict have another one"):
        arrivals_imputed(dated, np.ones((2, 3), dtype=bool), lookback_days=0)


def test_site_counts_need_their_table():
    with pytest.raises(FeasibilityError, match="needs the table of arrivals_imputed as it was returned"):
        site_counts(pd.DataFrame({"stock": [1], "pool": [1], "2024-01": [3]}))


def test_snapshots_and_events_must_match(dated):
    monthly = dated_statuses(ROWS.replace("2024-03-01", "2024-02-01"), policy="monthly")
    with pytest.raises(ScreeningError, match="event_driven has index dates by 'monthly', not 'at_changes'"):
        snapshot_bias(monthly, monthly)
    with pytest.raises(ScreeningError, match="monthly has index dates by 'at_changes'"):
        snapshot_bias(dated, dated)
    with pytest.raises(ScreeningError, match="1 patients have monthly but no event-driven index dates"):
        snapshot_bias(dated_statuses(ROWS[ROWS.patient_id == "A"], end="2024-12-31"), monthly)
    early = dated_statuses(ROWS.replace("2024-01-01", "2023-12-01"), policy="monthly")
    with pytest.raises(ScreeningError, match="snapshots run from 2023-12-01"):
        snapshot_bias(dated, early)


def extract_of(**tables):
    made = {
        name: ibis.memtable(
            [dict.fromkeys(columns, None) | {"pid": "A"}], schema=dict.fromkeys(columns, "date") | {"pid": "string"}
        )
        for name, columns in tables.items()
    }
    return SimpleNamespace(source="ward 3", tables=made)


def test_extracts_that_do_not_say():
    nobody = extract_of(patients=["pid", "death_date", "death_date_last"])
    with pytest.raises(CohortError, match="further exits have no column 'how'. Did you mean 'who'"):
        exits(nobody, more=pd.DataFrame({"patient_id": ["A"], "date": ["2024-01-01"], "who": ["x"]}))
    assert len(exits(nobody)) == 0
    with pytest.raises(CohortError, match="months is 0; it is a whole number of 1 or more"):
        observation(nobody, months=0)
    with pytest.raises(FeasibilityError, match="ward 3: there is no table of laboratory results"):
        lab_lag(nobody)
    with pytest.raises(FeasibilityError, match="ward 3: no laboratory result has a date"):
        lab_lag(extract_of(labs=["pid", "date"]))
