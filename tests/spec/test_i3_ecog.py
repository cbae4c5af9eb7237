"""I3: ECOG performance status 0 to 2, of the last 28 days."""

import pytest

from .patients import met, table

ECOG = {
    "0": ({"ecog": 0}, True),
    "1": ({"ecog": 1}, True),
    "2 is included": ({"ecog": 2}, True),
    "3 is not": ({"ecog": 3}, False),
    "4 is not": ({"ecog": 4}, False),
    "not recorded": ({"ecog": None, "days_since_ecog": None}, None),
    "recorded without a date": ({"ecog": 1, "days_since_ecog": None}, None),
    "a date without a score": ({"ecog": None, "days_since_ecog": 3.0}, None),
    "28 days ago": ({"days_since_ecog": 28.0}, True),
    "29 days ago": ({"days_since_ecog": 29.0}, None),
    "bad, but 29 days ago": ({"ecog": 4, "days_since_ecog": 29.0}, None),
    "29 days accepted": ({"days_since_ecog": 29.0}, True, {"max_days_since_ecog": 29}),
    "1 to 2": ({"ecog": (1, 2)}, True),
    "2 to 3": ({"ecog": (2, 3)}, None),
    "3 to 4": ({"ecog": (3, 4)}, False),
    "at least 2": ({"ecog": (2, None)}, None),
    "3 by another threshold": ({"ecog": 3}, True, {"max_ecog": 3}),
    "2 by a stricter one": ({"ecog": 2}, False, {"max_ecog": 1}),
}


@pytest.mark.parametrize(("cells", "expected", "settings"), table(ECOG))
def test_performance_status(cells, expected, settings):
    assert met("I3", cells, **settings) is expected
