"""Remissions, relapses and courses from literal assessments."""

import pandas as pd
import pytest

from ..spec.test_vectors_from_events import built

COURSES = ["P1,1,induction,2024-01-01,2024-01-07,intensive", "P1,2,consolidation,2024-04-01,2024-04-05,intensive",
           "P1,3,salvage,2024-12-01,2024-12-07,ven_hma"]  # fmt: skip


def history(tmp_path, responses, courses=()):
    cohort = built(tmp_path, responses=[f"P1,{r}" for r in responses], courses=list(courses))
    return {n: None if v is pd.NA else v for n, v in cohort.iloc[0].items()}


def test_a_relapse_is_blasts_after_a_remission_and_each_remission_counts_once(tmp_path):
    row = history(tmp_path, ["2024-01-01,,,,,60,,", "2024-02-10,1,induction,,CR,2,,", "2024-03-10,1,,,CR,1,,",
                             "2024-11-10,2,,,PD,40,,", "2024-12-01,2,,,PD,60,,", "2025-01-10,3,salvage,,CRi,3,,",
                             "2025-05-10,3,,,,8,,"], COURSES)  # fmt: skip
    assert (row["n_relapses"], row["cr_ever"], row["disease_status"]) == (2, True, "relapsed")
    assert (row["months_from_first_cr_to_first_relapse"], row["months_from_cr_to_relapse"]) == (9.0, 4.0)
    assert row["shortest_months_from_cr_to_relapse"] == 4.0
    assert row["best_response_induction"] == "CR"
    assert (row["n_consolidation_courses"], row["n_salvage_courses"], row["n_prior_courses"]) == (1, 0, 3)


def test_blasts_without_a_remission_before_are_no_relapse(tmp_path):
    row = history(tmp_path, ["2024-02-10,1,induction,,NR,30,,", "2024-03-20,2,induction,,PD,50,,"], [
        COURSES[0], "P1,2,induction,2024-02-15,2024-02-20,intensive"])  # fmt: skip
    assert (row["n_relapses"], row["cr_ever"], row["disease_status"]) == (0, False, "primary_refractory")
    assert (row["n_induction_courses"], row["best_response_induction"]) == (2, "NR")


def test_a_lesion_after_remission_is_a_relapse(tmp_path):
    row = history(tmp_path, ["2024-02-10,1,induction,,CR,2,,0", "2025-06-10,2,,,,,,1"], COURSES)
    assert (row["n_relapses"], row["em_active"], row["days_since_em_active"], row["em_ever"]) == (1, True, 20.0, True)


def test_progression_without_a_blast_count_leaves_the_relapse_open(tmp_path):
    row = history(tmp_path, ["2024-02-10,1,induction,,CR,2,,", "2024-11-10,2,,,PD,,,"], COURSES)
    assert (row["n_relapses"], row["n_relapses__upper"]) == (0, 1)
    assert row["months_from_cr_to_relapse"] is None


def test_a_month_becomes_bounds(tmp_path):
    row = history(tmp_path, ["2024-02,1,induction,,CR,2,,", "2024-11-10,2,,,PD,40,,"], COURSES)
    low, high = row["months_from_cr_to_relapse"], row["months_from_cr_to_relapse__upper"]
    assert low < 9 < high


def test_an_undated_remission_stands_before_the_consolidation(tmp_path):
    row = history(tmp_path, [",,induction,,CR,2,,", "2024-11-10,2,,,PD,40,,"], COURSES)
    assert (row["n_relapses"], row["cr_ever"], row["months_from_cr_to_relapse"]) == (1, True, None)


def test_an_undated_assessment_nobody_can_place_proves_nothing(tmp_path):
    row = history(tmp_path, ["2024-01-01,,,,,60,,", ",,,,CR,2,,"])
    assert row["cr_ever"] is None
    assert row["disease_status"] is None


def test_remission_with_residual_disease(tmp_path):
    row = history(tmp_path, ["2024-02-10,1,induction,,CR,2,positive,"], COURSES)
    assert row["disease_status"] == "mrd_only"


@pytest.mark.parametrize(("intensity", "counts"), [
    ("intensive", (1, 1, 1)), ("ven_hma", (1, 0, 1)), ("low", (0, 0, 1)), ("", (0, 0, 1)),
])  # fmt: skip
def test_courses_count_by_their_intensity(tmp_path, intensity, counts):
    row = history(tmp_path, [], [f"P1,1,induction,2024-01-01,2024-01-07,{intensity}"])
    names = ("n_induction_courses", "n_induction_courses_intensive", "n_induction_courses_any")
    assert tuple(row[n] for n in names) == counts
    if not intensity:
        assert row["n_induction_courses__upper"] == 1


def test_without_a_course_row_nothing_is_counted(tmp_path):
    assert history(tmp_path, ["2024-02-10,1,induction,,CR,2,,"])["n_prior_courses"] is None
