"""I6: a negative pregnancy test of women of childbearing potential; the promise of contraception is assumed."""

import pytest

from .patients import PROTOCOL, met, table

NO_TEST = {"pregnancy_test": None, "days_since_pregnancy_test": None}
TEST = {
    "negative": ({}, True),
    "positive": ({"pregnancy_test": "positive"}, False),
    "no test": (NO_TEST, None),
    "a man needs none": (NO_TEST | {"childbearing_potential": False}, True),
    "a man, whatever was tested": ({"childbearing_potential": False, "pregnancy_test": "positive"}, True),
    "potential unknown, no test": (NO_TEST | {"childbearing_potential": None}, None),
    "potential unknown, negative": ({"childbearing_potential": None}, True),
    "potential unknown, positive": ({"childbearing_potential": None, "pregnancy_test": "positive"}, None),
    "14 days ago": ({"days_since_pregnancy_test": 14.0}, True),
    "15 days ago": ({"days_since_pregnancy_test": 15.0}, None),
    "positive 15 days ago": ({"pregnancy_test": "positive", "days_since_pregnancy_test": 15.0}, None),
    "date unknown": ({"days_since_pregnancy_test": None}, None),
    "28 days accepted": ({"days_since_pregnancy_test": 28.0}, True, {"max_days_since_pregnancy_test": 28}),
    "7 days asked for": ({"days_since_pregnancy_test": 8.0}, None, {"max_days_since_pregnancy_test": 7}),
}


@pytest.mark.parametrize(("cells", "expected", "settings"), table(TEST))
def test_pregnancy_test(cells, expected, settings):
    assert met("I6.1", cells, **settings) is expected


def test_contraception_is_assumed_once_for_both_clauses():
    of_i6 = [c for c in PROTOCOL.not_assessable if c.clause == "I6"]
    of_e4 = [c for c in PROTOCOL.not_assessable if c.clause == "E4"]
    assert [(c.rate.a, c.rate.b) for c in of_i6] == [(98, 2)]
    assert len(of_e4) == 1
    assert of_e4[0].same_as in (of_i6[0].id, of_i6[0].name)
