"""I1: acute myeloid leukaemia, refractory or relapsed by any of five routes, and active."""

import pytest

from .patients import NEVER, met, table

# No route holds: one induction course led to a remission that lasts.
IN_FIRST_REMISSION = {
    "n_induction_courses": 1, "n_induction_courses_intensive": 1, "n_induction_courses_any": 1, "cr_ever": True,
    "n_relapses": 0, "n_consolidation_courses": 0, "consolidation_failed": False,
    "months_from_cr_to_relapse": NEVER, "months_from_first_cr_to_first_relapse": NEVER,
    "shortest_months_from_cr_to_relapse": NEVER, "months_from_consolidation_to_relapse": NEVER,
    "months_from_first_consolidation_to_first_relapse": NEVER, "shortest_months_from_consolidation_to_relapse": NEVER,
    "n_salvage_courses": 0, "best_response_salvage": None, "em_active": False, "em_ever": False,
}  # fmt: skip
# One relapse, 18 months after remission, consolidated once, no salvage yet.
RELAPSED_LATE = IN_FIRST_REMISSION | {
    "n_relapses": 1, "n_consolidation_courses": 1,
    "months_from_cr_to_relapse": 18.0, "months_from_first_cr_to_first_relapse": 18.0,
    "shortest_months_from_cr_to_relapse": 18.0, "months_from_consolidation_to_relapse": 14.0,
    "months_from_first_consolidation_to_first_relapse": 14.0, "shortest_months_from_consolidation_to_relapse": 14.0,
}  # fmt: skip
NEVER_IN_REMISSION = IN_FIRST_REMISSION | {"n_induction_courses": 2, "cr_ever": False, "best_response_induction": "NR"}

AML = {
    "AML": ({"aml_subtype": "aml_non_apl"}, True),
    "promyelocytic leukaemia": ({"aml_subtype": "apl"}, False),
    "mixed phenotype": ({"aml_subtype": "mpal"}, False),
    "another disease": ({"aml_subtype": "other"}, False),
    "not recorded": ({"aml_subtype": None}, None),
    "promyelocytic, included by a reading": ({"aml_subtype": "apl"}, True, {"include_apl": True}),
    "mixed phenotype, included by a reading": ({"aml_subtype": "mpal"}, True, {"include_mpal": True}),
    "including APL does not include mixed phenotype": ({"aml_subtype": "mpal"}, False, {"include_apl": True}),
    "not recorded stays unknown with every inclusion": (
        {"aml_subtype": None}, None, {"include_apl": True, "include_mpal": True}),
}  # fmt: skip

ACTIVE = {
    "primary refractory": ({"disease_status": "primary_refractory"}, True),
    "relapsed": ({"disease_status": "relapsed"}, True),
    "active": ({"disease_status": "active"}, True),
    "in remission": ({"disease_status": "remission"}, False),
    "measurable residual disease only": ({"disease_status": "mrd_only"}, False),
    "not recorded": ({"disease_status": None}, None),
    "residual disease counted": ({"disease_status": "mrd_only"}, True, {"mrd_counts_active": True}),
    "remission is none, even where residual disease counts": (
        {"disease_status": "remission"}, False, {"mrd_counts_active": True}),
    "not asked: remission does not matter": ({"disease_status": "remission"}, True, {"require_active": False}),
    "not asked: nor does a missing status": ({"disease_status": None}, True, {"require_active": False}),
}  # fmt: skip

ROUTE_1 = {
    "two courses, no remission": ({}, True),
    "one course": ({"n_induction_courses": 1}, False),
    "three courses": ({"n_induction_courses": 3}, True),
    "a remission ends it": ({"cr_ever": True}, False),
    "courses unknown": ({"n_induction_courses": None}, None),
    "remission unknown": ({"cr_ever": None}, None),
    "one course, remission unknown does not matter": ({"n_induction_courses": 1, "cr_ever": None}, False),
    "a remission, courses unknown do not matter": ({"n_induction_courses": None, "cr_ever": True}, False),
    "two or three courses": ({"n_induction_courses": (2, 3)}, True),
    "one or two courses": ({"n_induction_courses": (1, 2)}, None),
    "one course is enough by another threshold": ({"n_induction_courses": 1}, True, {"min_induction_courses": 1}),
    "a partial response is no remission": ({"best_response_induction": "PR"}, True),
    "a partial response is a response": (
        {"best_response_induction": "PR"}, False, {"response_floor": "literal_no_response"}),
    "a leukaemia-free marrow is no remission": ({"best_response_induction": "MLFS"}, True),
    "a leukaemia-free marrow is a response": (
        {"best_response_induction": "MLFS"}, False, {"response_floor": "mlfs_is_response"}),
    "a partial response is less than a leukaemia-free marrow": (
        {"best_response_induction": "PR"}, True, {"response_floor": "mlfs_is_response"}),
    "no response by every floor": ({"best_response_induction": "NR"}, True, {"response_floor": "literal_no_response"}),
    "the best response is asked for only by another floor": ({"best_response_induction": None}, True),
    "and then unknown": ({"best_response_induction": None}, None, {"response_floor": "literal_no_response"}),
    "but a remission decides": (
        {"best_response_induction": None, "cr_ever": True}, False, {"response_floor": "literal_no_response"}),
    "two mild courses do not count": (
        {"n_induction_courses": 0, "n_induction_courses_intensive": 0, "n_induction_courses_any": 2}, False),
    "unless any intensity counts": (
        {"n_induction_courses": 0, "n_induction_courses_intensive": 0, "n_induction_courses_any": 2}, True,
        {"induction_intensity": "any"}),
    "venetoclax counts": ({"n_induction_courses": 2, "n_induction_courses_intensive": 0}, True),
    "unless only intensive courses count": (
        {"n_induction_courses": 2, "n_induction_courses_intensive": 0}, False,
        {"induction_intensity": "intensive_only"}),
}  # fmt: skip

EARLY = {"months_from_cr_to_relapse": 6.0}
ROUTE_2 = {
    "six months after remission, consolidated": (EARLY, True),
    "exactly 12 months is within": ({"months_from_cr_to_relapse": 12.0}, True),
    "a day more is not": ({"months_from_cr_to_relapse": 12.033}, False),
    "not consolidated": (EARLY | {"n_consolidation_courses": 0}, False),
    "consolidation unknown": (EARLY | {"n_consolidation_courses": None}, None),
    "months unknown, consolidated, no salvage": ({"months_from_cr_to_relapse": None}, None),
    "months unknown, not consolidated, no salvage: nothing left": (
        {"months_from_cr_to_relapse": None, "n_consolidation_courses": 0}, False),
    "11 to 12 months": ({"months_from_cr_to_relapse": (11.0, 12.0)}, True),
    "11 to 13 months": ({"months_from_cr_to_relapse": (11.0, 13.0)}, None),
    "never relapsed": (IN_FIRST_REMISSION | {"n_consolidation_courses": 2}, False),
    "18 months count by another threshold": ({}, True, {"early_relapse_months": 18}),
    "consolidation ignored, but late and without salvage": ({}, False, {"consolidation": "ignore"}),
    "consolidation ignored": (EARLY | {"n_consolidation_courses": 0}, True, {"consolidation": "ignore"}),
    "consolidation ignored, unknown does not matter": (
        EARLY | {"n_consolidation_courses": None}, True, {"consolidation": "ignore"}),
    "given, but its failure is not documented": (EARLY, False, {"consolidation": "documented_failure"}),
    "its failure is documented": (
        EARLY | {"consolidation_failed": True}, True, {"consolidation": "documented_failure"}),
    "documentation unknown": (EARLY | {"consolidation_failed": None}, None, {"consolidation": "documented_failure"}),
    "a documented failure does not make a late relapse early": (
        {"consolidation_failed": True}, False, {"consolidation": "documented_failure"}),
    "failure or early relapse: late with failure": (
        {"consolidation_failed": True}, True, {"consolidation": "independent_or"}),
    "failure or early relapse: early without failure": (EARLY, True, {"consolidation": "independent_or"}),
    "failure or early relapse: neither": ({}, False, {"consolidation": "independent_or"}),
    "counted from the end of consolidation": (
        {"months_from_consolidation_to_relapse": 11.0}, True, {"relapse_anchor": "end_of_consolidation"}),
    "counted from remission it was late": ({"months_from_consolidation_to_relapse": 11.0}, False),
    "the first relapse was early": (
        {"months_from_first_cr_to_first_relapse": 6.0}, True, {"which_relapse": "first"}),
    "the shortest remission counts": ({"shortest_months_from_cr_to_relapse": 6.0}, True, {"which_relapse": "any"}),
    "only the latest relapse counts": (
        {"months_from_first_cr_to_first_relapse": 6.0, "shortest_months_from_cr_to_relapse": 6.0}, False),
}  # fmt: skip

SALVAGE_FAILED = {"n_salvage_courses": 1, "best_response_salvage": "NR"}
NOT_CONSOLIDATED = {
    "n_consolidation_courses": 0, "months_from_consolidation_to_relapse": None,
    "months_from_first_consolidation_to_first_relapse": None, "shortest_months_from_consolidation_to_relapse": None,
}  # fmt: skip
ROUTE_3 = {
    "late relapse, salvage failed": (SALVAGE_FAILED, True),
    "late relapse, no salvage": ({}, False),
    "salvage led to a remission": (SALVAGE_FAILED | {"best_response_salvage": "CRi"}, False),
    "to one without measurable residual disease": (SALVAGE_FAILED | {"best_response_salvage": "CR_MRDneg"}, False),
    "partial response: resistant": (SALVAGE_FAILED | {"best_response_salvage": "PR"}, True),
    "leukaemia-free marrow: resistant": (SALVAGE_FAILED | {"best_response_salvage": "MLFS"}, True),
    "partial response as a response": (
        SALVAGE_FAILED | {"best_response_salvage": "PR"}, False, {"response_floor": "literal_no_response"}),
    "leukaemia-free marrow as a response": (
        SALVAGE_FAILED | {"best_response_salvage": "MLFS"}, False, {"response_floor": "mlfs_is_response"}),
    "12 months and a day": (SALVAGE_FAILED | {"months_from_cr_to_relapse": 12.033}, True),
    "exactly 12 months is early": (
        SALVAGE_FAILED | {"months_from_cr_to_relapse": 12.0, "n_consolidation_courses": 0}, False),
    "response unknown": (SALVAGE_FAILED | {"best_response_salvage": None}, None),
    "salvage unknown": (SALVAGE_FAILED | {"n_salvage_courses": None}, None),
    "salvage unknown, remission: the number does not matter": (
        {"n_salvage_courses": None, "best_response_salvage": "CR"}, False),
    "never relapsed: salvage is no route": (IN_FIRST_REMISSION | SALVAGE_FAILED, False),
    "one course is not two": (SALVAGE_FAILED, False, {"min_salvage_courses": 2}),
    "never consolidated: route 3 counts from remission even where route 2 counts from consolidation": (
        SALVAGE_FAILED | NOT_CONSOLIDATED, True, {"relapse_anchor": "end_of_consolidation"}),
    "never consolidated, early: no route": (
        SALVAGE_FAILED | NOT_CONSOLIDATED | {"months_from_cr_to_relapse": 6.0}, False,
        {"relapse_anchor": "end_of_consolidation"}),
    "two are": (SALVAGE_FAILED | {"n_salvage_courses": 2}, True, {"min_salvage_courses": 2}),
}  # fmt: skip

CASE_SPLIT = {
    "date of remission missing, consolidated, salvage failed": (
        SALVAGE_FAILED | {"months_from_cr_to_relapse": None}, True),
    "imprecise date, consolidated, salvage failed": (
        SALVAGE_FAILED | {"months_from_cr_to_relapse": (10.0, 14.0)}, True),
    "consolidated, but salvage worked": (
        {"months_from_cr_to_relapse": None, "n_salvage_courses": 1, "best_response_salvage": "CR"}, None),
    "salvage failed, but not consolidated": (
        SALVAGE_FAILED | {"months_from_cr_to_relapse": None, "n_consolidation_courses": 0}, None),
    "neither": ({"months_from_cr_to_relapse": None, "n_consolidation_courses": 0}, False),
    "consolidation unknown": (
        SALVAGE_FAILED | {"months_from_cr_to_relapse": None, "n_consolidation_courses": None}, None),
    "relapse unknown": (SALVAGE_FAILED | {"months_from_cr_to_relapse": None, "n_relapses": None}, None),
}  # fmt: skip

ROUTE_4 = {
    "two relapses": ({"n_relapses": 2}, True),
    "one relapse": ({"n_relapses": 1}, False),
    "one or two": ({"n_relapses": (1, 2)}, None),
    "two or three": ({"n_relapses": (2, 3)}, True),
    "at least two": ({"n_relapses": (2, None)}, True),
    "unknown": ({"n_relapses": None}, None),
    "unknown, but refractory anyway": ({"n_relapses": None, "n_induction_courses": 2, "cr_ever": False}, True),
    "two relapses decide though all else is unknown": (
        {"n_relapses": 2, "months_from_cr_to_relapse": None, "n_consolidation_courses": None, "cr_ever": None,
         "n_salvage_courses": None, "em_active": None, "n_induction_courses": None}, True),
    "three asked for": ({"n_relapses": 2}, False, {"min_relapses": 3}),
}  # fmt: skip

LESION = {"em_active": True, "days_since_em_active": 10.0}
ROUTE_5 = {
    "a lesion that persists after chemotherapy": (LESION, True),
    "a lesion after a single course": (LESION | {"n_prior_courses": 1}, True),
    "a lesion, never treated": (LESION | {"n_prior_courses": 0}, False),
    "a lesion, treatment unknown": (LESION | {"n_prior_courses": None}, None),
    "no lesion, treatment unknown does not matter": ({"em_active": False, "n_prior_courses": None}, False),
    "not assessed": ({"em_active": None, "days_since_em_active": None}, None),
    "assessed 56 days ago": (LESION | {"days_since_em_active": 56.0}, True),
    "assessed 57 days ago": (LESION | {"days_since_em_active": 57.0}, None),
    "no lesion 57 days ago": ({"em_active": False, "days_since_em_active": 57.0}, None),
    "stale, but never treated": (LESION | {"days_since_em_active": 57.0, "n_prior_courses": 0}, False),
    "date of assessment missing": (LESION | {"days_since_em_active": None}, None),
    "assessed 50 to 60 days ago": (LESION | {"days_since_em_active": (50.0, 60.0)}, None),
    "60 days accepted": (LESION | {"days_since_em_active": 60.0}, True, {"max_days_since_em_active": 60}),
    "active, whether treated or not": (LESION | {"n_prior_courses": 0}, True, {"extramedullary": "active_any"}),
    "active, but stale": (LESION | {"days_since_em_active": 57.0}, None, {"extramedullary": "active_any"}),
    "ever": ({"em_active": False, "em_ever": True}, True, {"extramedullary": "ever"}),
    "never": ({"em_active": False, "em_ever": False}, False, {"extramedullary": "ever"}),
    "ever unknown": ({"em_active": False, "em_ever": None}, None, {"extramedullary": "ever"}),
    "switched off": (LESION, False, {"extramedullary": "off"}),
    "switched off, a former lesion does not matter": ({"em_ever": True}, False, {"extramedullary": "off"}),
    "switched off, unknown does not matter": (
        {"em_active": None, "days_since_em_active": None}, False, {"extramedullary": "off"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(AML))
def test_leukemia(cells, expected, settings):
    assert met("I1.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ACTIVE))
def test_active_now(cells, expected, settings):
    assert met("I1.3", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ROUTE_1))
def test_route_1_primary_refractory(cells, expected, settings):
    assert met("I1.2", NEVER_IN_REMISSION | cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ROUTE_2))
def test_route_2_early_relapse_despite_consolidation(cells, expected, settings):
    assert met("I1.2", RELAPSED_LATE | cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ROUTE_3))
def test_route_3_late_relapse_that_resists_salvage(cells, expected, settings):
    assert met("I1.2", RELAPSED_LATE | cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(CASE_SPLIT))
def test_routes_2_and_3_when_it_is_unknown_whether_the_relapse_was_early(cells, expected, settings):
    assert met("I1.2", RELAPSED_LATE | cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ROUTE_4))
def test_route_4_two_relapses(cells, expected, settings):
    assert met("I1.2", RELAPSED_LATE | cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ROUTE_5))
def test_route_5_persistent_extramedullary_disease(cells, expected, settings):
    assert met("I1.2", IN_FIRST_REMISSION | cells, **settings) is expected


def test_no_route_holds_in_a_lasting_first_remission():
    assert met("I1.2", IN_FIRST_REMISSION) is False


def test_nothing_known_is_unknown():
    assert met("I1.2", dict.fromkeys(IN_FIRST_REMISSION)) is None
