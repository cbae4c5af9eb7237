"""I4: 18 to 70 completed years, both ends included; sex does not matter."""

import pytest

from .patients import met, table

AGE = {
    "17": ({"age_years": 17}, False),
    "18": ({"age_years": 18}, True),
    "70": ({"age_years": 70}, True),
    "the day before the 71st birthday": ({"age_years": 70, "age_exact_years": 70.99}, True),
    "71": ({"age_years": 71}, False),
    "unknown": ({"age_years": None}, None),
    "the fraction is not needed": ({"age_years": 40, "age_exact_years": None}, True),
    "year of birth only: 17 or 18": ({"age_years": (17, 18)}, None),
    "year of birth only: 18 or 19": ({"age_years": (18, 19)}, True),
    "year of birth only: 70 or 71": ({"age_years": (70, 71)}, None),
    "year of birth only: 69 or 70": ({"age_years": (69, 70)}, True),
    "year of birth only: 71 or 72": ({"age_years": (71, 72)}, False),
    "more than 89": ({"age_years": (90, None)}, False),
    "at least 60": ({"age_years": (60, None)}, None),
    "16 by another threshold": ({"age_years": 16}, True, {"min_age": 16}),
    "75 by another threshold": ({"age_years": 75}, True, {"max_age": 75}),
    "70th birthday, read exactly": (
        {"age_years": 70, "age_exact_years": 70.0}, True, {"age_upper": "exact_birthday"}),
    "the day after, read exactly": (
        {"age_years": 70, "age_exact_years": 70.003}, False, {"age_upper": "exact_birthday"}),
    "fraction unknown, read exactly": (
        {"age_years": 70, "age_exact_years": None}, None, {"age_upper": "exact_birthday"}),
    "too young, fraction unknown does not matter": (
        {"age_years": 17, "age_exact_years": None}, False, {"age_upper": "exact_birthday"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(AGE))
def test_age(cells, expected, settings):
    assert met("I4", cells, **settings) is expected
