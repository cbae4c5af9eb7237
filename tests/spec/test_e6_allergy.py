"""E6: a severe allergic reaction to a drug planned for the study. Met means excluded."""

import pytest

from .patients import met, table

CLASS = {"allergy_match": "class"}
ALLERGY = {
    "none": ({}, False),
    "severe, to a planned drug": ({"severe_allergy": True, "severe_allergy_class": True}, True),
    "unknown": ({"severe_allergy": None, "severe_allergy_class": None}, None),
    "to a drug of the same class": ({"severe_allergy_class": True}, False),
    "to a drug of the same class, where that counts": ({"severe_allergy_class": True}, True, CLASS),
    "class unknown, not asked": ({"severe_allergy_class": None}, False),
    "class unknown, asked": ({"severe_allergy_class": None}, None, CLASS),
    "none of the class": ({}, False, CLASS),
    "the planned drug itself, class not filled in": (
        {"severe_allergy": True, "severe_allergy_class": None}, True, CLASS),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ALLERGY))
def test_allergy(cells, expected, settings):
    assert met("E6", cells, **settings) is expected
