"""E7: transplant recipients still on immunosuppressants, or with graft-versus-host disease. Met means excluded."""

import pytest

from .patients import NEVER, met, table

RECIPIENT = {"hsct": True, "days_since_immunosuppressant": 42.0, "gvhd_active": False, "days_since_gvhd_active": 7.0}
LITERAL = {"transplant_reading": "literal_exclusion"}
GRADED = {"gvhd_rule": "grade_ge2_or_mod_severe"}
TRANSPLANT = {
    "no transplant": ({}, False),
    "no transplant, the rest unknown does not matter": (
        {"days_since_immunosuppressant": None, "gvhd_active": None, "days_since_gvhd_active": None}, False),
    "transplant unknown, immunosuppressed": ({"hsct": None, "days_since_immunosuppressant": 3.0}, None),
    "transplant unknown, settled": ({"hsct": None}, False),
    "stopped exactly 42 days ago is settled": (RECIPIENT, False),
    "stopped 41 days ago is not": (RECIPIENT | {"days_since_immunosuppressant": 41.0}, True),
    "still taking": (RECIPIENT | {"days_since_immunosuppressant": 0.0}, True),
    "never given": (RECIPIENT | {"days_since_immunosuppressant": NEVER}, False),
    "stop date unknown": (RECIPIENT | {"days_since_immunosuppressant": None}, None),
    "stop date unknown, but GVHD": (
        RECIPIENT | {"days_since_immunosuppressant": None, "gvhd_active": True}, True),
    "stopped 30 to 60 days ago": (RECIPIENT | {"days_since_immunosuppressant": (30.0, 60.0)}, None),
    "stopped 42 to 60 days ago": (RECIPIENT | {"days_since_immunosuppressant": (42.0, 60.0)}, False),
    "28 days asked for": (RECIPIENT | {"days_since_immunosuppressant": 28.0}, False, {"min_washout": 28}),
    "GVHD": (RECIPIENT | {"gvhd_active": True}, True),
    "GVHD not assessed": (RECIPIENT | {"gvhd_active": None, "days_since_gvhd_active": None}, None),
    "GVHD not assessed, but immunosuppressed": (
        RECIPIENT | {"gvhd_active": None, "days_since_gvhd_active": None, "days_since_immunosuppressant": 1.0}, True),
    "no GVHD 28 days ago": (RECIPIENT | {"days_since_gvhd_active": 28.0}, False),
    "no GVHD 29 days ago": (RECIPIENT | {"days_since_gvhd_active": 29.0}, None),
    "GVHD 29 days ago": (RECIPIENT | {"gvhd_active": True, "days_since_gvhd_active": 29.0}, None),
    "60 days accepted": (RECIPIENT | {"days_since_gvhd_active": 29.0}, False, {"max_days_since_gvhd": 60}),
    "mild GVHD": (RECIPIENT | {"gvhd_active": True, "gvhd_significant": False}, True),
    "mild GVHD, where only significant counts": (
        RECIPIENT | {"gvhd_active": True, "gvhd_significant": False}, False, GRADED),
    "significant GVHD": (RECIPIENT | {"gvhd_active": True, "gvhd_significant": True}, True, GRADED),
    "grade unknown": (RECIPIENT | {"gvhd_active": True, "gvhd_significant": None}, None, GRADED),
    "significant GVHD 29 days ago": (
        RECIPIENT | {"gvhd_active": True, "gvhd_significant": True, "days_since_gvhd_active": 29.0}, None, GRADED),
    "resolved GVHD": (RECIPIENT | {"gvhd_ever": True}, False),
    "resolved GVHD, where ever counts": (RECIPIENT | {"gvhd_ever": True}, True, {"gvhd_rule": "ever"}),
    "GVHD ever unknown": (RECIPIENT | {"gvhd_ever": None}, None, {"gvhd_rule": "ever"}),
    "read as an inclusion: the same": (
        RECIPIENT | {"days_since_immunosuppressant": 41.0}, True, {"transplant_reading": "inclusion_style"}),
    "read as an inclusion: settled": (RECIPIENT, False, {"transplant_reading": "inclusion_style"}),
    "taken literally: the settled are excluded": (RECIPIENT, True, LITERAL),
    "taken literally: the unsettled are not": (RECIPIENT | {"days_since_immunosuppressant": 41.0}, False, LITERAL),
    "taken literally: no transplant": ({}, False, LITERAL),
    "taken literally: stop date unknown": (RECIPIENT | {"days_since_immunosuppressant": None}, None, LITERAL),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(TRANSPLANT))
def test_transplant_not_settled(cells, expected, settings):
    assert met("E7", cells, **settings) is expected
