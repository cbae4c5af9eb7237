"""I7: consent is assumed at a rate, never inferred."""

from .patients import PROTOCOL


def test_consent_is_an_assumed_rate():
    assumed = PROTOCOL["I7"]
    assert not assumed.assessable
    assert assumed.kind == "inclusion"
    assert (assumed.rate.a, assumed.rate.b) == (7, 3)
    assert assumed.source
