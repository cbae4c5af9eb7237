"""The comparison of a built cohort with the registry finds what is wrong and excuses what is explained."""

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.fills import apply_fills
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events import registry_events
from feasibility.trials.aml_events_compare import unexplained
from feasibility.trials.aml_registry import synthetic_registry


@pytest.fixture(scope="module")
def events():
    return registry_events(synthetic_registry(3000, seed=9))


@pytest.fixture
def cohort(events):
    return apply_fills(events.expected(), AML_COLUMNS, AML_COLUMNS.settings())


def put(cohort, column, rows, value):
    changed = cohort[column].copy()
    changed.iloc[rows] = value
    return cohort.assign(**{column: changed})


def known(events, cohort, column):
    noted = events.ledger.loc[events.ledger["column"] == column, "row"]
    return np.setdiff1d(np.flatnonzero(cohort[column].notna()), noted)[:5]


def test_the_expected_cohort_has_nothing_unexplained(events, cohort):
    assert len(unexplained(events, cohort)) == 0
    assert len(unexplained(events, cohort.sample(frac=1, random_state=1))) == 0


@pytest.mark.parametrize("column", ["hemoglobin_g_l", "n_prior_courses", "hbsag", "aml_subtype", "days_since_ecog"])
def test_a_lost_cell_is_found(events, cohort, column):
    rows = known(events, cohort, column)
    found = unexplained(events, put(cohort, column, rows, pd.NA))
    assert found["column"].tolist() == [column] * 5
    assert (found["problem"] == "lost").all()
    assert found["patient_id"].tolist() == events.patient_ids[rows].tolist()


@pytest.mark.parametrize(("column", "value"), [("hemoglobin_g_l", 11.0), ("aml_subtype", "mpal"), ("n_relapses", 9)])
def test_a_wrong_value_is_found(events, cohort, column, value):
    found = unexplained(events, put(cohort, column, known(events, cohort, column), value))
    assert (found["problem"] == "different").all()
    assert len(found) == 5


def test_an_unknown_that_the_ledger_explains_is_excused(events, cohort):
    rows = events.ledger.query("column == 'n_relapses' and outcome == 'contains'")["row"].to_numpy(int)
    assert len(unexplained(events, put(cohort, "n_relapses", rows, pd.NA))) == 0
    assert len(unexplained(events, put(cohort, "n_relapses", rows, 9))) == len(rows)


def test_a_truth_that_was_hidden_is_no_difference(events, cohort):
    rows = np.flatnonzero(cohort["ecog"].isna())
    same = events.registry.truth["ecog"].iloc[rows]
    assert len(unexplained(events, put(cohort, "ecog", rows, same.array))) == 0
    assert len(unexplained(events, put(cohort, "ecog", rows, 4))) == int((same != 4).sum())


def test_what_a_format_cannot_carry_may_be_bounds(events, cohort):
    upper = pd.Series(2000.0, index=cohort.index, dtype="Float64")
    wide = cohort.assign(steroid_mg_day_mean=cohort["steroid_mg_day_mean"] * 0, steroid_mg_day_mean__upper=upper)
    assert len(unexplained(events, wide)) > 2000
    assert len(unexplained(events, wide, cannot=["steroid_mg_day_mean"])) == 0
