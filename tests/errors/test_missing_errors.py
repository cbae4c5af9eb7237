"""What can go wrong with the missing-data tables, and what the message says."""

import numpy as np
import pandas as pd
import pytest
from helpers import frame

import feasibility as fz
from feasibility.errors import FeasibilityError, ReconciliationError
from feasibility.missing import ledger as ledger_module
from feasibility.missing import tested as tested_module
from feasibility.missing.completeness import completeness
from feasibility.missing.information import value_of_information
from feasibility.missing.ledger import missing_ledger
from feasibility.missing.worst_case import worst_best_case


class Given:
    def __init__(self, rows, observed, m=1):
        self.rows, self.observed, self.m = rows, observed, m

    def completed(self, k):
        return self.observed


@pytest.fixture
def screening(toy_cohort, toy_protocol):
    return fz.screen(toy_cohort, toy_protocol)


def test_nothing_is_unknown(toy_cohort, toy_protocol):
    known = toy_cohort.iloc[:3]
    with pytest.raises(FeasibilityError, match="Nobody is undetermined .nothing is unknown in this table"):
        value_of_information(fz.screen(known, toy_protocol), known)
    ledger = missing_ledger(fz.screen(known, toy_protocol), known)
    assert ledger.criteria[["n_unknown", "n_blocking"]].to_numpy().sum() == 0
    assert not len(ledger.causes)


def test_whoever_has_an_unknown_fails(toy_cohort, toy_protocol):
    some = toy_cohort.iloc[[0, 4]]
    with pytest.raises(FeasibilityError, match="Nobody is undetermined .whoever has an unknown fails"):
        value_of_information(fz.screen(some, toy_protocol), some)


@pytest.mark.parametrize("analysis", [value_of_information, missing_ledger])
def test_another_cohort(analysis, screening, toy_cohort):
    with pytest.raises(FeasibilityError, match="does not hold the 8 patients that were screened"):
        analysis(screening, toy_cohort.iloc[:5])


def test_counts_instead_of_a_screening(screening, toy_cohort):
    with pytest.raises(FeasibilityError, match="A Screening is needed"):
        value_of_information(screening.patterns(), toy_cohort)


def test_a_column_nobody_waits_for(screening, toy_cohort):
    with pytest.raises(FeasibilityError, match="waits for a column 'platelets'.*Did you mean 'platelets_10e9_l'"):
        value_of_information(screening, toy_cohort, columns=["platelets"])


@pytest.mark.parametrize("most", [0, 2.5, "3"])
def test_how_many_columns(screening, toy_cohort, most):
    with pytest.raises(FeasibilityError, match="most is .*largest number of columns"):
        value_of_information(screening, toy_cohort, most=most)
    with pytest.raises(FeasibilityError, match="top is .*largest number of sets"):
        value_of_information(screening, toy_cohort, top=most)


def test_objectives(screening, toy_cohort):
    with pytest.raises(FeasibilityError, match="objective is 'expectd'.*Did you mean 'expected'"):
        value_of_information(screening, toy_cohort, objective="expectd")
    with pytest.raises(FeasibilityError, match="objective 'gain' needs imputations"):
        value_of_information(screening, toy_cohort, objective="gain")


def test_imputations_of_other_patients(screening, toy_cohort):
    with pytest.raises(FeasibilityError, match="imputations are of 2 patients, but 3 are undetermined"):
        value_of_information(screening, toy_cohort, Given(np.array([3, 6]), toy_cohort.iloc[[3, 6]]))
    with pytest.raises(FeasibilityError, match="imputations hold 0 completed tables"):
        value_of_information(screening, toy_cohort, Given(np.array([3, 6, 7]), toy_cohort.iloc[[3, 6, 7]], m=0))


def test_rows_that_do_not_add_up_are_an_error(screening, toy_cohort, monkeypatch):
    monkeypatch.setattr(ledger_module, "_by_cause", lambda *_: {("age_years", "not recorded"): 1})
    with pytest.raises(ReconciliationError, match="unknown by cause"):
        missing_ledger(screening, toy_cohort)


def test_completeness_names_the_nearest(toy_cohort):
    with pytest.raises(FeasibilityError, match="no column 'age_year'.*Did you mean 'age_years'"):
        completeness(toy_cohort, ["age_year"])
    with pytest.raises(FeasibilityError, match="no column 'pregnnt'.*Did you mean 'pregnant'"):
        completeness(toy_cohort, by=["pregnnt"])
    with pytest.raises(FeasibilityError, match="time is 'months'.*Did you mean 'month'"):
        completeness(toy_cohort, time="months")
    with pytest.raises(FeasibilityError, match="time is 'month', but the cohort has no index_date"):
        completeness(toy_cohort, time="month")
    with pytest.raises(FeasibilityError, match="at least one patient"):
        completeness(toy_cohort.iloc[:0])
    with pytest.raises(FeasibilityError, match="no column is left"):
        completeness(toy_cohort[["pregnant"]], by=["pregnant"])


def test_tested_versus_untested_needs_two_groups(toy_cohort):
    compare = tested_module.tested_versus_untested
    with pytest.raises(FeasibilityError, match="no column 'platelets_10e9'.*Did you mean 'platelets_10e9_l'"):
        compare(toy_cohort, "platelets_10e9")
    with pytest.raises(FeasibilityError, match="no column 'agee_years'.*Did you mean 'age_years'"):
        compare(toy_cohort, "pregnant", variables=["agee_years"])
    whole = toy_cohort.assign(pregnant=pd.array([True] * 8, dtype="boolean"))
    with pytest.raises(FeasibilityError, match="'pregnant' is known for everyone it applies to: there are no two"):
        compare(whole, "pregnant")
    empty = toy_cohort.assign(pregnant=pd.array([None] * 8, dtype="boolean"))
    with pytest.raises(FeasibilityError, match="'pregnant' is known for nobody"):
        compare(empty, "pregnant")
    with pytest.raises(FeasibilityError, match="nothing to compare"):
        compare(frame(ecog=("Int64", 1, None)), "ecog")


def test_worst_case_levels(screening, toy_cohort):
    with pytest.raises(FeasibilityError, match="level is 'clauses'"):
        worst_best_case(screening, level="clauses")
    with pytest.raises(FeasibilityError, match="3 rows, but 8 patients were screened"):
        worst_best_case(screening, toy_cohort.iloc[:3])
