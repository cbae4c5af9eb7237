"""E8: the investigator's judgement is an assumed rate, never inferred; the rate is that of satisfying the clause."""

import pytest

from .patients import PROTOCOL


def test_judgement_is_an_assumed_rate():
    assumed = PROTOCOL["E8"]
    assert not assumed.assessable
    assert assumed.kind == "exclusion"
    assert (assumed.rate.a, assumed.rate.b) == (38, 2)
    assert assumed.rate.mean == pytest.approx(1 - 0.05)


def test_only_what_no_registry_knows_is_assumed():
    assert {c.clause for c in PROTOCOL.not_assessable} == {"I2", "I6", "I7", "E4", "E8"}
