"""E2: AIDS ever, or long-term immunosuppression for another disease. Met means excluded."""

import pytest

from .patients import met, table

AIDS = {
    "never": ({"aids_history": False}, False),
    "ever": ({"aids_history": True}, True),
    "unknown": ({"aids_history": None}, None),
    "HIV alone is not AIDS": ({"hiv": True}, False),
}

STEROID = {"steroid_days": 60, "steroid_mg_day_mean": 20.0, "steroid_mg_day_current": 20.0,
           "steroid_mg_day_max": 20.0}  # fmt: skip
PAST_STEROID = {"steroid_days_ever": 60, "steroid_mg_day_max_ever": 20.0}
EVER = {"immunosuppression_timing": "ever"}
LONG_TERM = {
    "none": ({}, False),
    "20 mg for 60 days": (STEROID, True),
    "15 mg is not above 15 mg": (STEROID | {"steroid_mg_day_mean": 15.0}, False),
    "15.125 mg is": (STEROID | {"steroid_mg_day_mean": 15.125}, True),
    "28 days are long-term": (STEROID | {"steroid_days": 28}, True),
    "27 days are not": (STEROID | {"steroid_days": 27}, False),
    "dose unknown": (STEROID | {"steroid_mg_day_mean": None}, None),
    "dose unknown, but for 5 days only": (STEROID | {"steroid_days": 5, "steroid_mg_day_mean": None}, False),
    "days unknown": (STEROID | {"steroid_days": None}, None),
    "days unknown, but 10 mg only": (STEROID | {"steroid_days": None, "steroid_mg_day_mean": 10.0}, False),
    "between 10 and 15 mg": (STEROID | {"steroid_mg_day_mean": (10.0, 15.0)}, False),
    "between 10 and 20 mg": (STEROID | {"steroid_mg_day_mean": (10.0, 20.0)}, None),
    "another agent for 28 days, any dose": ({"nonsteroid_is_days": 28}, True),
    "another agent for 27 days": ({"nonsteroid_is_days": 27}, False),
    "another agent unknown": ({"nonsteroid_is_days": None}, None),
    "another agent unknown, steroid decides": (STEROID | {"nonsteroid_is_days": None}, True),
    "steroid unknown, the other agent decides": (
        {"nonsteroid_is_days": 90, "steroid_days": None, "steroid_mg_day_mean": None}, True),
    "20 mg allowed": (STEROID, False, {"max_prednisone": 20}),
    "90 days asked for": (STEROID, False, {"max_immunosuppression_days": 90}),
    "14 days asked for": (STEROID | {"steroid_days": 14}, True, {"max_immunosuppression_days": 14}),
    "in the past only": (PAST_STEROID, False),
    "in the past, where ever counts": (PAST_STEROID, True, EVER),
    "in the past, dose unknown": (PAST_STEROID | {"steroid_mg_day_max_ever": None}, None, EVER),
    "another agent in the past": ({"nonsteroid_is_days_ever": 90}, True, EVER),
    "another agent in the past, where only now counts": ({"nonsteroid_is_days_ever": 90}, False),
    "mean 10, today 20": (STEROID | {"steroid_mg_day_mean": 10.0}, False),
    "mean 10, today 20: today counts": (STEROID | {"steroid_mg_day_mean": 10.0}, True, {"dose_statistic": "current"}),
    "mean 10, highest 20: the highest counts": (
        STEROID | {"steroid_mg_day_mean": 10.0, "steroid_mg_day_current": 10.0}, True, {"dose_statistic": "max"}),
    "today unknown": (STEROID | {"steroid_mg_day_current": None}, None, {"dose_statistic": "current"}),
    "limit on every agent: without a dose the other agent does not count": (
        {"nonsteroid_is_days": 90}, False, {"dose_scope": "all"}),
    "limit on every agent: steroid counts": (STEROID, True, {"dose_scope": "all"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(AIDS))
def test_aids(cells, expected, settings):
    assert met("E2.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(LONG_TERM))
def test_long_term_immunosuppression(cells, expected, settings):
    assert met("E2.2", cells, **settings) is expected
