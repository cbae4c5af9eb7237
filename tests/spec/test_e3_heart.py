"""E3: five conditions of the heart. Met means excluded."""

import pytest

from .patients import NEVER, met, table

FAILURE = {"heart_failure": True, "nyha_class": 3}
HEART_FAILURE = {
    "none": ({}, False),
    "class II": (FAILURE | {"nyha_class": 2}, False),
    "class III": (FAILURE, True),
    "class IV": (FAILURE | {"nyha_class": 4}, True),
    "class unknown": (FAILURE | {"nyha_class": None, "months_since_nyha_class": None}, None),
    "no heart failure, class unknown does not matter": (
        {"nyha_class": None, "months_since_nyha_class": None}, False),
    "heart failure unknown, class II": ({"heart_failure": None, "nyha_class": 2}, False),
    "heart failure unknown, class III": (FAILURE | {"heart_failure": None}, None),
    "12 months ago": (FAILURE | {"months_since_nyha_class": 12.0}, True),
    "12 months and a day ago": (FAILURE | {"months_since_nyha_class": 12.03}, None),
    "class I, 13 months ago": (FAILURE | {"nyha_class": 1, "months_since_nyha_class": 13.0}, None),
    "24 months accepted": (FAILURE | {"months_since_nyha_class": 13.0}, True, {"max_months_since_nyha_class": 24}),
    "class II to III": (FAILURE | {"nyha_class": (2, 3)}, None),
    "class III once, II now": (FAILURE | {"nyha_class": 2, "nyha_class_worst": 3}, False),
    "class III once, where ever counts": (
        FAILURE | {"nyha_class": 2, "nyha_class_worst": 3}, True, {"nyha_window": "ever"}),
    "class II at worst": (FAILURE | {"nyha_class_worst": 2}, False, {"nyha_window": "ever"}),
    "worst class unknown": (FAILURE | {"nyha_class_worst": None}, None, {"nyha_window": "ever"}),
    "class II by a stricter threshold": (FAILURE | {"nyha_class": 2}, True, {"max_nyha_class": 1}),
}  # fmt: skip

INFARCTION = {
    "never": ({}, False),
    "infarction exactly 6 months ago": ({"months_since_mi": 6.0}, True),
    "infarction 6 months and a day ago": ({"months_since_mi": 6.03}, False),
    "infarction today": ({"months_since_mi": 0.0}, True),
    "infarction, undated": ({"months_since_mi": None}, None),
    "infarction in a month that straddles": ({"months_since_mi": (5.9, 6.9)}, None),
    "bypass exactly 6 months ago": ({"months_since_cabg": 6.0}, True),
    "bypass 6 months and a day ago": ({"months_since_cabg": 6.03}, False),
    "bypass undated": ({"months_since_cabg": None}, None),
    "infarction undated, bypass last month": ({"months_since_mi": None, "months_since_cabg": 1.0}, True),
    "3 months asked for": ({"months_since_mi": 4.0}, False, {"min_months_since_mi_or_cabg": 3}),
}

RHYTHM = {
    "never": ({}, False),
    "ventricular tachycardia long ago": ({"months_since_ventricular_arrhythmia": 300.0}, True),
    "syncope long ago": ({"months_since_unexplained_syncope": 300.0}, True),
    "arrhythmia unknown": ({"months_since_ventricular_arrhythmia": None}, None),
    "syncope, cause unknown": ({"months_since_unexplained_syncope": None}, None),
    "syncope unknown, arrhythmia known": (
        {"months_since_ventricular_arrhythmia": 2.0, "months_since_unexplained_syncope": None}, True),
    "recently or never": ({"months_since_unexplained_syncope": (0.0, NEVER)}, None),
    "date vague, but it happened": ({"months_since_unexplained_syncope": (1.0, 90.0)}, True),
    "12 months ago": ({"months_since_ventricular_arrhythmia": 12.0}, True, {"arrhythmia_window": "12_months"}),
    "12 months and a day ago": (
        {"months_since_ventricular_arrhythmia": 12.03}, False, {"arrhythmia_window": "12_months"}),
    "6 months ago": ({"months_since_unexplained_syncope": 6.0}, True, {"arrhythmia_window": "6_months"}),
    "6 months and a day ago": ({"months_since_unexplained_syncope": 6.03}, False, {"arrhythmia_window": "6_months"}),
}  # fmt: skip

MUSCLE = {"nonischemic_cardiomyopathy": True}
CARDIOMYOPATHY = {
    "none": ({}, False),
    "severe": (MUSCLE | {"nonischemic_cardiomyopathy_severe": True}, True),
    "not severe": (MUSCLE, False),
    "severity not recorded": (MUSCLE | {"nonischemic_cardiomyopathy_severe": None}, None),
    "severity not recorded, no echocardiogram": (
        MUSCLE | {"nonischemic_cardiomyopathy_severe": None, "lvef_lowest_ever_pct": None}, None),
    "severity not recorded, fraction once 35 %": (
        MUSCLE | {"nonischemic_cardiomyopathy_severe": None, "lvef_lowest_ever_pct": 35.0}, True),
    "fraction once 35.1 %": (MUSCLE | {"lvef_lowest_ever_pct": 35.1}, False),
    "recorded as not severe, fraction unknown": (MUSCLE | {"lvef_lowest_ever_pct": None}, None),
    "no cardiomyopathy, the rest unknown does not matter": (
        {"nonischemic_cardiomyopathy_severe": None, "lvef_lowest_ever_pct": None}, False),
    "a low fraction alone is no cardiomyopathy": ({"lvef_lowest_ever_pct": 20.0}, False),
    "unknown, severe": ({"nonischemic_cardiomyopathy": None, "nonischemic_cardiomyopathy_severe": True}, None),
    "unknown, not severe": ({"nonischemic_cardiomyopathy": None}, False),
    "any severity": (MUSCLE, True, {"any_severity": True}),
    "any severity, severity unknown": (
        MUSCLE | {"nonischemic_cardiomyopathy_severe": None, "lvef_lowest_ever_pct": None}, True,
        {"any_severity": True}),
    "40 % by another threshold": (MUSCLE | {"lvef_lowest_ever_pct": 40.0}, True, {"min_lvef_ever": 40}),
}  # fmt: skip

FRACTION = {
    "60 %": ({}, False),
    "45 % is not below": ({"lvef_min_pct": 45.0}, False),
    "44.9 %": ({"lvef_min_pct": 44.9}, True),
    "no echocardiogram": ({"lvef_min_pct": None, "days_since_lvef_min_pct": None}, None),
    "56 days ago": ({"lvef_min_pct": 44.9, "days_since_lvef_min_pct": 56.0}, True),
    "57 days ago": ({"lvef_min_pct": 40.0, "days_since_lvef_min_pct": 57.0}, None),
    "good, 57 days ago": ({"days_since_lvef_min_pct": 57.0}, None),
    "40 to 50 %": ({"lvef_min_pct": (40.0, 50.0)}, None),
    "45 to 50 %": ({"lvef_min_pct": (45.0, 50.0)}, False),
    "once low, now good": ({"lvef_min_pct": 40.0, "lvef_latest_pct": 55.0}, True),
    "once low, now good, the latest counts": (
        {"lvef_min_pct": 40.0, "lvef_latest_pct": 55.0},
        False,
        {"lvef_statistic": "latest"},
    ),
    "latest 45 %": ({"lvef_latest_pct": 45.0}, False, {"lvef_statistic": "latest"}),
    "latest of 56 days ago": ({"days_since_lvef_latest_pct": 56.0}, False, {"lvef_statistic": "latest"}),
    "latest unknown": ({"lvef_latest_pct": None}, None, {"lvef_statistic": "latest"}),
    "latest too old": ({"days_since_lvef_latest_pct": 57.0}, None, {"lvef_statistic": "latest"}),
    "40 % allowed": ({"lvef_min_pct": 40.0}, False, {"min_lvef": 40}),
    "84 days accepted": ({"lvef_min_pct": 40.0, "days_since_lvef_min_pct": 57.0}, True, {"max_days_since_lvef": 84}),
}


@pytest.mark.parametrize(("cells", "expected", "settings"), table(HEART_FAILURE))
def test_a_heart_failure(cells, expected, settings):
    assert met("E3.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(INFARCTION))
def test_b_infarction_or_bypass(cells, expected, settings):
    assert met("E3.2", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(RHYTHM))
def test_c_arrhythmia_or_syncope(cells, expected, settings):
    assert met("E3.3", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(CARDIOMYOPATHY))
def test_d_cardiomyopathy(cells, expected, settings):
    assert met("E3.4", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(FRACTION))
def test_e_ejection_fraction(cells, expected, settings):
    assert met("E3.5", cells, **settings) is expected
