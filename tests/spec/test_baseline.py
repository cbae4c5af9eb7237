"""The patient that every truth table starts from is eligible, so a row fails for the cells it changes alone."""

import feasibility

from .patients import ELIGIBLE_PATIENT, PROTOCOL, WITH_ANTIGEN, cohort_of


def test_the_starting_patient_satisfies_every_criterion():
    screening = feasibility.screen(cohort_of({}), WITH_ANTIGEN)
    assert screening.passes.all(axis=None)
    assert screening.status.tolist() == ["eligible"]


def test_the_starting_patient_has_every_column_that_any_reading_asks_for():
    assert {c for one in WITH_ANTIGEN for c in one.columns} == set(ELIGIBLE_PATIENT)


def test_a_patient_about_whom_nothing_is_known_is_undetermined_and_fails_nothing():
    nobody = dict.fromkeys(ELIGIBLE_PATIENT)
    screening = feasibility.screen(cohort_of(nobody), WITH_ANTIGEN)
    assert screening.status.tolist() == ["undetermined"]
    assert screening.passes.isna().all(axis=None)


def test_one_failure_outweighs_every_unknown():
    nobody = dict.fromkeys(ELIGIBLE_PATIENT) | {"age_years": 71}
    assert feasibility.screen(cohort_of(nobody), PROTOCOL).status.tolist() == ["ineligible"]


def test_one_unknown_is_enough_to_be_undetermined():
    assert feasibility.screen(cohort_of({"ecog": None}), PROTOCOL).status.tolist() == ["undetermined"]
