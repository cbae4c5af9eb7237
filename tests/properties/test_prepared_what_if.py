"""What-ifs on a prepared cohort: every answer is that of the same patients in pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.trials.aml_registry import synthetic_registry
from feasibility.widgets.state import PanelState

N = 24_000
TRIAL = fz.load_trial("NCT06642025")


@fz.inclusion("X1", "more than operators")
def beyond_operators(ecog, *, max_worst_ecog: int = 1):
    return ecog.between(0, max_worst_ecog)


@pytest.fixture(scope="module")
def cohort():
    return synthetic_registry(N, seed=12).observed


@pytest.fixture(scope="module")
def both(cohort, tmp_path_factory):
    """The same patients in pandas, and prepared, written and mapped again."""
    path = tmp_path_factory.mktemp("prepared") / "cohort.arrow"
    fz.write_cohort(cohort, path, TRIAL.columns)
    return fz.WhatIf(cohort, TRIAL), fz.WhatIf(fz.open_prepared(path), TRIAL)


def alike(both, ask):
    expected, found = (ask(one) for one in both)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    else:
        assert found == expected


CHANGES = [
    None,
    {"min_hemoglobin": 80, "max_age": 75},
    {"liver_combination": "ast_and_alt", "transfusion_rule": "transfusion_free"},
    {"min_cd3": 0.2, "min_hemoglobin": 47.5, "relapse_anchor": "end_of_consolidation"},
    TRIAL.without("E7", "I1.2"),
    TRIAL.adding(beyond_operators),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_counts_funnels_and_screenings_are_alike(both, change):
    alike(both, lambda one: one.counts(change))
    alike(both, lambda one: one.attrition(change))
    alike(both, lambda one: fz.impact(one.screen(change)))


def test_curves_sweeps_surfaces_and_batches_are_alike(both):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"min_hemoglobin": rng.uniform(50, 90, 40), "max_ecog": rng.integers(0, 4, 40)})
    alike(both, lambda one: fz.curve(one, "min_hemoglobin"))
    alike(both, lambda one: fz.curve(one, "early_relapse_months"))  # a bounded column
    alike(both, lambda one: fz.curve(one, "max_days_since_liver"))
    alike(both, lambda one: fz.sweep(one, hepatitis_b_rule=["dna", "hbsag"]))
    alike(both, lambda one: fz.surface(one, min_platelets=[10, 30, 50.5], min_cd3=[0.1, 0.5]))
    alike(both, lambda one: fz.batch(one, table))
    alike(both, lambda one: fz.compare([{"min_hemoglobin": 50}, {"max_age": 80}], one))
    alike(both, lambda one: fz.waterfall({"min_hemoglobin": 50, "max_age": 80}, one))
    alike(both, lambda one: fz.tornado(one))


def test_the_panel_shows_the_same(both):
    states = [PanelState(one) for one in both]
    assert states[0].controls == states[1].controls
    for state in states:
        state.set("min_platelets", 20)
        state.switch("E3.3", False)
    alike(states, lambda state: state.counts)
    alike(states, lambda state: state.funnel)
    alike(states, lambda state: state.what_if.patients.n_true("synthetic"))


def test_no_call_turns_the_whole_cohort_into_pandas(cohort, monkeypatch):
    ready = fz.prepare(cohort, TRIAL.columns)
    made, frame = [], type(ready).frame

    def noted(self, where=slice(None), names=None, *, ids=True):
        part = frame(self, where, names, ids=ids)
        made.append(part.size)
        return part

    monkeypatch.setattr(type(ready), "frame", noted)
    what_if = fz.WhatIf(ready, TRIAL)
    PanelState(what_if)
    fz.curve(what_if, "min_hemoglobin")
    fz.batch(what_if, [{"min_hemoglobin": 50}, {"max_age": 80}])
    assert made  # samples, for the guard
    assert max(made) < cohort.size / 4


def test_a_missing_column_is_an_error_or_unknown_for_everyone(cohort):
    less = cohort.drop(columns="ecog")
    ready = fz.prepare(less, TRIAL.columns)
    with pytest.raises(fz.ScreeningError, match="needs the column 'ecog'"):
        fz.WhatIf(ready, TRIAL)
    options = {"missing_columns": "unknown", "check": False}
    alike([fz.WhatIf(less, TRIAL, **options), fz.WhatIf(ready, TRIAL, **options)], lambda one: one.attrition())


def test_the_same_patient_twice_is_refused(cohort):
    twice = pd.concat([cohort.iloc[:30], cohort.iloc[:1]])
    with pytest.raises(fz.ScreeningError, match="2 rows belong to patients that occur more than once"):
        fz.WhatIf(fz.prepare(twice, TRIAL.columns), TRIAL)
