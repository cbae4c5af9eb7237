"""E1: active hepatitis A, B, C, HIV, or another severe active infection that is not controlled. Met means excluded."""

import pytest

from .patients import NEVER, met, table

ALL = {"controlled_scope": "all"}
CONTROLLED, UNCONTROLLED = {"viral_infection_controlled": True}, {"viral_infection_controlled": False}

HEPATITIS_A = {
    "never": ({}, False),
    "reactive IgM 6 months ago": ({"months_since_hav_igm_positive": 6.0}, True),
    "reactive IgM 6 months and a day ago": ({"months_since_hav_igm_positive": 6.03}, False),
    "diagnosed 6 months ago": ({"months_since_hepatitis_a": 6.0}, True),
    "diagnosed 6 months and a day ago": ({"months_since_hepatitis_a": 6.03}, False),
    "test unknown": ({"months_since_hav_igm_positive": None}, None),
    "test unknown, diagnosed": ({"months_since_hav_igm_positive": None, "months_since_hepatitis_a": 1.0}, True),
    "diagnosis unknown": ({"months_since_hepatitis_a": None}, None),
    "both long ago": ({"months_since_hav_igm_positive": 100.0, "months_since_hepatitis_a": 100.0}, False),
    "some time in the last year": ({"months_since_hepatitis_a": (0.0, 12.0)}, None),
    "12 months by another threshold": ({"months_since_hepatitis_a": 12.0}, True, {"min_months_since_hepatitis_a": 12}),
    "controlled does not matter": ({"months_since_hepatitis_a": 1.0} | CONTROLLED, True),
    "controlled, where that is asked of every infection": (
        {"months_since_hepatitis_a": 1.0} | CONTROLLED, False, ALL),
    "uncontrolled, where it is asked": ({"months_since_hepatitis_a": 1.0} | UNCONTROLLED, True, ALL),
    "control unknown, where it is asked": (
        {"months_since_hepatitis_a": 1.0, "viral_infection_controlled": None}, None, ALL),
    "no infection, control unknown does not matter": ({"viral_infection_controlled": None}, False, ALL),
}  # fmt: skip

HEPATITIS_B = {
    "no DNA": ({}, False),
    "19.9 IU/mL": ({"hbv_dna_iu_ml": 19.9}, False),
    "20 IU/mL is active": ({"hbv_dna_iu_ml": 20.0}, True),
    "DNA unknown": ({"hbv_dna_iu_ml": None}, None),
    "between 10 and 30": ({"hbv_dna_iu_ml": (10.0, 30.0)}, None),
    "carrier without DNA": ({"hbsag": True, "hbv_dna_iu_ml": 0.0}, False),
    "DNA whatever the serology": ({"hbsag": False, "anti_hbc": False, "hbv_dna_iu_ml": 500.0}, True),
    "199 allowed": ({"hbv_dna_iu_ml": 199.0}, False, {"max_hbv_dna": 200}),
    "200 not": ({"hbv_dna_iu_ml": 200.0}, True, {"max_hbv_dna": 200}),
    "surface antigen": ({"hbsag": True}, True, {"hepatitis_b_rule": "hbsag"}),
    "no surface antigen": ({"hbsag": False}, False, {"hepatitis_b_rule": "hbsag"}),
    "surface antigen unknown": ({"hbsag": None}, None, {"hepatitis_b_rule": "hbsag"}),
    "core antibody alone": ({"anti_hbc": True}, False, {"hepatitis_b_rule": "hbsag"}),
    "core antibody counted": ({"anti_hbc": True}, True, {"hepatitis_b_rule": "hbsag_or_anti_hbc"}),
    "core antibody counted, antigen unknown": (
        {"anti_hbc": True, "hbsag": None},
        True,
        {"hepatitis_b_rule": "hbsag_or_anti_hbc"},
    ),
    "core antibody unknown": ({"anti_hbc": None}, None, {"hepatitis_b_rule": "hbsag_or_anti_hbc"}),
    "controlled, where that is asked of every infection": ({"hbv_dna_iu_ml": 500.0} | CONTROLLED, False, ALL),
    "controlled does not matter": ({"hbv_dna_iu_ml": 500.0} | CONTROLLED, True),
}

HEPATITIS_C = {
    "no RNA": ({}, False),
    "RNA": ({"hcv_rna_detected": True}, True),
    "antibody, RNA unknown": ({"anti_hcv": True, "hcv_rna_detected": None}, None),
    "antibody, cured": ({"anti_hcv": True, "hcv_rna_detected": False}, False),
    "antibody counted": ({"anti_hcv": True, "hcv_rna_detected": None}, True, {"hepatitis_c_rule": "antibody"}),
    "antibody unknown": ({"anti_hcv": None}, None, {"hepatitis_c_rule": "antibody"}),
    "controlled, where that is asked of every infection": ({"hcv_rna_detected": True} | CONTROLLED, False, ALL),
    "RNA unknown, controlled, where it is asked": ({"hcv_rna_detected": None} | CONTROLLED, False, ALL),
}

HIV = {
    "none": ({}, False),
    "confirmed": ({"hiv": True}, True),
    "unknown, or reactive and unconfirmed": ({"hiv": None}, None),
    "treated, without viraemia": ({"hiv": True, "hiv_viraemic": False}, True),
    "treated, viraemia asked for": ({"hiv": True, "hiv_viraemic": False}, False, {"hiv_rule": "viraemic_only"}),
    "viraemic": ({"hiv": True, "hiv_viraemic": True}, True, {"hiv_rule": "viraemic_only"}),
    "viraemia unknown": ({"hiv": True, "hiv_viraemic": None}, None, {"hiv_rule": "viraemic_only"}),
    "viraemia not asked for": ({"hiv": True, "hiv_viraemic": None}, True),
    "controlled, where that is asked of every infection": ({"hiv": True} | CONTROLLED, False, ALL),
}

SEVERE = {"active_infection": True, "infection_severe": True, "infection_controlled": False}
OTHER = {
    "none": ({}, False),
    "active, severe, uncontrolled": (SEVERE, True),
    "controlled": (SEVERE | {"infection_controlled": True}, False),
    "not severe": (SEVERE | {"infection_severe": False}, False),
    "severity unknown": (SEVERE | {"infection_severe": None}, None),
    "control unknown": (SEVERE | {"infection_controlled": None}, None),
    "controlled, severity unknown does not matter": (
        SEVERE | {"infection_severe": None, "infection_controlled": True}, False),
    "none active, the rest unknown does not matter": ({"infection_severe": None, "infection_controlled": None}, False),
    "not assessed": ({"active_infection": None, "days_since_active_infection": None}, None),
    "assessed 7 days ago": (SEVERE | {"days_since_active_infection": 7.0}, True),
    "assessed 8 days ago": (SEVERE | {"days_since_active_infection": 8.0}, None),
    "none 8 days ago": ({"days_since_active_infection": 8.0}, None),
    "controlled 8 days ago says nothing about today": (
        SEVERE | {"infection_controlled": True, "days_since_active_infection": 8.0}, None),
    "not severe 8 days ago says nothing about today": (
        SEVERE | {"infection_severe": False, "days_since_active_infection": 8.0}, None),
    "14 days accepted": (
        SEVERE | {"days_since_active_infection": 8.0}, True, {"max_days_since_active_infection": 14}),
    "controlled viral infection does not matter": (SEVERE | CONTROLLED, True),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(HEPATITIS_A))
def test_hepatitis_a(cells, expected, settings):
    assert met("E1.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(HEPATITIS_B))
def test_hepatitis_b(cells, expected, settings):
    assert met("E1.2", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(HEPATITIS_C))
def test_hepatitis_c(cells, expected, settings):
    assert met("E1.3", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(HIV))
def test_hiv(cells, expected, settings):
    assert met("E1.4", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(OTHER))
def test_other_severe_infection(cells, expected, settings):
    assert met("E1.5", cells, **settings) is expected


def test_never_is_not_unknown():
    assert met("E1.1", {"months_since_hepatitis_a": NEVER, "months_since_hav_igm_positive": NEVER}) is False
