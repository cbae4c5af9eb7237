"""Small literal cohorts and protocols shared by the tests."""

from __future__ import annotations

import pytest
from helpers import frame

from feasibility import exclusion, inclusion
from feasibility.protocol.protocol import Protocol


@inclusion("I1", "age of 18 years or more")
def adult(age_years, *, min_age: int = 18):
    """Completed years."""
    return age_years >= min_age


@inclusion("I2", "platelets above 30")
def platelets(platelets_10e9_l, *, min_platelets: float = 30):
    """Latest value."""
    return platelets_10e9_l > min_platelets


@exclusion("E1", "pregnant women")
def pregnant_now(pregnant):
    """At the index date."""
    return pregnant


@pytest.fixture
def toy_protocol():
    return Protocol("TOY", "A toy trial", [adult, platelets, pregnant_now])


@pytest.fixture
def toy_cohort():
    """Eight patients whose verdicts can be read off by eye."""
    return frame(
        age_years=("Int64", 30, 17, 40, None, 50, 17, 60, None),
        platelets_10e9_l=("Float64", 31, 31, 30, 31, None, 30, 100, None),
        pregnant=("boolean", False, False, False, False, True, True, None, None),
    )  # fmt: skip
    # eligible: P0; P1 fails I1; P2 fails I2; P3 unknown I1; P4 unknown I2, fails E1; P5 fails all; P6 unknown E1;
    # P7 unknown everywhere.
