"""E5: transaminases or bilirubin above 3 x ULN, or creatinine of 178 and more. Met means excluded."""

import pytest

from .patients import met, table

NO_AST = {"ast_x_uln": None, "days_since_ast_x_uln": None}
HIGH_TOTAL = {"bilirubin_x_uln": 4.0, "bilirubin_direct_x_uln": 0.5}
LIVER = {
    "normal": ({}, False),
    "AST 3 x ULN is not above": ({"ast_x_uln": 3.0}, False),
    "AST 120.1 of 40": ({"ast_x_uln": 120.1 / 40}, True),
    "ALT 3 x ULN is not above": ({"alt_x_uln": 3.0}, False),
    "ALT above": ({"alt_x_uln": 3.01}, True),
    "bilirubin 3 x ULN is not above": ({"bilirubin_x_uln": 3.0}, False),
    "bilirubin above": ({"bilirubin_x_uln": 3.01}, True),
    "AST missing, the rest normal": (NO_AST, None),
    "AST missing, bilirubin decides": (NO_AST | {"bilirubin_x_uln": 4.0}, True),
    "AST 15 days old": ({"days_since_ast_x_uln": 15.0}, None),
    "AST high, but 15 days old": ({"ast_x_uln": 9.0, "days_since_ast_x_uln": 15.0}, None),
    "AST high, 14 days old": ({"ast_x_uln": 9.0, "days_since_ast_x_uln": 14.0}, True),
    "ALT high, 14 days old": ({"alt_x_uln": 9.0, "days_since_alt_x_uln": 14.0}, True),
    "ALT high, but 15 days old": ({"alt_x_uln": 9.0, "days_since_alt_x_uln": 15.0}, None),
    "bilirubin high, 14 days old": ({"bilirubin_x_uln": 9.0, "days_since_bilirubin_x_uln": 14.0}, True),
    "bilirubin high, but 15 days old": ({"bilirubin_x_uln": 9.0, "days_since_bilirubin_x_uln": 15.0}, None),
    "28 days accepted": ({"ast_x_uln": 9.0, "days_since_ast_x_uln": 28.0}, True, {"max_days_since_liver": 28}),
    "AST 2 to 4": ({"ast_x_uln": (2.0, 4.0)}, None),
    "AST 3 to 4": ({"ast_x_uln": (3.0, 4.0)}, None),
    "AST 2 to 3": ({"ast_x_uln": (2.0, 3.0)}, False),
    "AST 5 allowed": ({"ast_x_uln": 5.0}, False, {"max_ast": 5}),
    "ALT 5 allowed": ({"alt_x_uln": 5.0}, False, {"max_alt": 5}),
    "bilirubin 2 allowed at most": ({"bilirubin_x_uln": 2.5}, True, {"max_bilirubin": 2}),
    "AST alone, both asked for": ({"ast_x_uln": 9.0}, False, {"liver_combination": "ast_and_alt"}),
    "AST and ALT, both asked for": (
        {"ast_x_uln": 9.0, "alt_x_uln": 9.0}, True, {"liver_combination": "ast_and_alt"}),
    "bilirubin alone, both transaminases asked for": (
        {"bilirubin_x_uln": 9.0}, True, {"liver_combination": "ast_and_alt"}),
    "AST missing, ALT normal, both asked for": (NO_AST, False, {"liver_combination": "ast_and_alt"}),
    "AST missing, ALT high, both asked for": (
        NO_AST | {"alt_x_uln": 9.0}, None, {"liver_combination": "ast_and_alt"}),
    "all three asked for": (
        {"ast_x_uln": 9.0, "alt_x_uln": 9.0, "bilirubin_x_uln": 9.0}, True, {"liver_combination": "hepatic_all"}),
    "all three asked for, bilirubin normal": (
        {"ast_x_uln": 9.0, "alt_x_uln": 9.0}, False, {"liver_combination": "hepatic_all"}),
    "all three asked for, AST missing, bilirubin normal": (NO_AST, False, {"liver_combination": "hepatic_all"}),
    "Gilbert's syndrome is not excepted": (HIGH_TOTAL | {"gilbert": True}, True),
    "Gilbert's syndrome: direct bilirubin counts": (
        HIGH_TOTAL | {"gilbert": True}, False, {"gilbert_direct": True}),
    "no Gilbert's syndrome: total bilirubin counts": (HIGH_TOTAL, True, {"gilbert_direct": True}),
    "Gilbert's syndrome unknown": (HIGH_TOTAL | {"gilbert": None}, None, {"gilbert_direct": True}),
    "Gilbert's syndrome unknown, both high": (
        {"bilirubin_x_uln": 4.0, "bilirubin_direct_x_uln": 4.0, "gilbert": None}, True, {"gilbert_direct": True}),
    "Gilbert's syndrome unknown, both normal": ({"gilbert": None}, False, {"gilbert_direct": True}),
    "Gilbert's syndrome, direct exactly 3 x ULN": (
        {"bilirubin_direct_x_uln": 3.0, "gilbert": True}, False, {"gilbert_direct": True}),
    "Gilbert's syndrome, direct high, 14 days old": (
        {"bilirubin_direct_x_uln": 4.0, "days_since_bilirubin_direct_x_uln": 14.0, "gilbert": True}, True,
        {"gilbert_direct": True}),
    "Gilbert's syndrome, direct 15 days old": (
        {"days_since_bilirubin_direct_x_uln": 15.0, "gilbert": True}, None, {"gilbert_direct": True}),
    "Gilbert's syndrome, direct unknown": (
        HIGH_TOTAL | {"gilbert": True, "bilirubin_direct_x_uln": None}, None, {"gilbert_direct": True}),
}  # fmt: skip

NO_CREATININE = {"creatinine_umol_l": None, "days_since_creatinine_umol_l": None}
CHRONIC = {"creatinine_cause": "chronic_only"}
KIDNEY = {
    "normal": ({}, False),
    "177.99": ({"creatinine_umol_l": 177.99}, False),
    "178 itself excludes": ({"creatinine_umol_l": 178.0}, True),
    "missing": (NO_CREATININE, None),
    "14 days old": ({"creatinine_umol_l": 178.0, "days_since_creatinine_umol_l": 14.0}, True),
    "15 days old": ({"creatinine_umol_l": 178.0, "days_since_creatinine_umol_l": 15.0}, None),
    "normal, 15 days old": ({"days_since_creatinine_umol_l": 15.0}, None),
    "28 days accepted": (
        {"creatinine_umol_l": 178.0, "days_since_creatinine_umol_l": 15.0}, True, {"max_days_since_creatinine": 28}),
    "170 to 180": ({"creatinine_umol_l": (170.0, 180.0)}, None),
    "more than 177": ({"creatinine_umol_l": (178.0, None)}, True),
    "150 by another threshold": ({"creatinine_umol_l": 150.0}, True, {"max_creatinine": 150}),
    "acute, whatever the cause": ({"creatinine_umol_l": 300.0}, True),
    "acute, chronic asked for": ({"creatinine_umol_l": 300.0}, False, CHRONIC),
    "chronic": ({"creatinine_umol_l": 300.0, "creatinine_earlier_umol_l": 178.0}, True, CHRONIC),
    "no earlier value": ({"creatinine_umol_l": 300.0, "creatinine_earlier_umol_l": None}, None, CHRONIC),
    "normal now, no earlier value": ({"creatinine_earlier_umol_l": None}, False, CHRONIC),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(LIVER))
def test_liver(cells, expected, settings):
    assert met("E5.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(KIDNEY))
def test_kidney(cells, expected, settings):
    assert met("E5.2", cells, **settings) is expected


def test_a_missing_transaminase_does_not_hide_the_kidneys():
    assert met("E5.1", NO_AST | {"creatinine_umol_l": 200.0}) is None
    assert met("E5.2", NO_AST | {"creatinine_umol_l": 200.0}) is True
