"""I2: no registry records EX02, so it is an assumed rate, unless a hospital measured it."""

import pytest

import feasibility

from .patients import NEVER, PROTOCOL, WITH_ANTIGEN, cohort_of, met, table

REPORTED = {
    "positive": ({"ex02_positive": True}, True),
    "negative on every specimen": ({"ex02_positive": False}, False),
    "not tested": ({"ex02_positive": None, "days_since_ex02_positive": None}, None),
    "positive long ago still counts: no validity is stated": ({"days_since_ex02_positive": 4000.0}, True),
    "too old by a look-back": ({"days_since_ex02_positive": 29.0}, None, {"max_days_since_ex02_positive": 28}),
    "on the last day of the look-back": (
        {"days_since_ex02_positive": 28.0}, True, {"max_days_since_ex02_positive": 28}),
    "reported negative at 60 %": ({"ex02_positive": False, "ex02_percent": 60.0}, False),
    "60 % reaches a cut-off of 50 %": (
        {"ex02_positive": False, "ex02_percent": 60.0}, True,
        {"antigen_cutoff": "percent", "min_ex02_percent": 50}),
    "exactly the cut-off": ({"ex02_percent": 50.0}, True, {"antigen_cutoff": "percent", "min_ex02_percent": 50}),
    "just below the cut-off": ({"ex02_percent": 49.9}, False, {"antigen_cutoff": "percent", "min_ex02_percent": 50}),
    "share unknown": ({"ex02_percent": None}, None, {"antigen_cutoff": "percent"}),
    "share between 15 and 25 %": ({"ex02_percent": (15.0, 25.0)}, None, {"antigen_cutoff": "percent"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(REPORTED))
def test_measured_antigen(cells, expected, settings):
    assert met("I2", cells, **settings) is expected


def test_the_assumed_rate_is_the_specified_one():
    assumed = PROTOCOL["I2"]
    assert not assumed.assessable
    assert (assumed.rate.a, assumed.rate.b) == (8, 2)
    assert assumed.kind == "inclusion"


def test_unmeasured_antigen_makes_nobody_undetermined():
    untested = cohort_of({"ex02_positive": None, "ex02_percent": None, "days_since_ex02_positive": None})
    assert feasibility.screen(untested, PROTOCOL).status.tolist() == ["eligible"]
    assert feasibility.screen(untested, WITH_ANTIGEN).status.tolist() == ["undetermined"]


def test_a_measured_antigen_replaces_the_assumption():
    assert [c.id for c in WITH_ANTIGEN.not_assessable].count("I2") == 0
    assert WITH_ANTIGEN["I2"].values["max_days_since_ex02_positive"] == NEVER
