"""E4: pregnant or lactating. Met means excluded."""

import pytest

from .patients import met, table

PREGNANT = {
    "not pregnant": ({}, False),
    "pregnant": ({"pregnant": True}, True),
    "unknown": ({"pregnant": None}, None),
    "a man, unknown does not matter": ({"childbearing_potential": False, "pregnant": None}, False),
    "past childbearing, not pregnant": ({"childbearing_potential": False}, False),
    "potential unknown, not pregnant": ({"childbearing_potential": None}, False),
    "potential and pregnancy unknown": ({"childbearing_potential": None, "pregnant": None}, None),
}

LACTATING = {
    "not lactating": ({}, False),
    "lactating": ({"lactating": True}, True),
    "unknown": ({"lactating": None}, None),
    "a man, unknown does not matter": ({"childbearing_potential": False, "lactating": None}, False),
    "potential unknown, not lactating": ({"childbearing_potential": None}, False),
    "potential and lactation unknown": ({"childbearing_potential": None, "lactating": None}, None),
}


@pytest.mark.parametrize(("cells", "expected", "settings"), table(PREGNANT))
def test_pregnancy(cells, expected, settings):
    assert met("E4.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(LACTATING))
def test_lactation(cells, expected, settings):
    assert met("E4.2", cells, **settings) is expected
