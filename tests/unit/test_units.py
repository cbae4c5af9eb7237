"""Units as laboratories spell them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feasibility.cohort.common import GENERAL
from feasibility.cohort.units import infer_factor, snap, unit_factor, widen

HB, PLT, CREA, HBV, AGE = (
    GENERAL[n] for n in ("hemoglobin_g_l", "platelets_10e9_l", "creatinine_umol_l", "hbv_dna_iu_ml", "age_years")
)


@pytest.mark.parametrize(
    ("column", "unit", "factor"),
    [
        (HB, "g/L", 1), (HB, "g/dl", 10), (HB, "G/DL", 10), (HB, " g / dL ", 10), (HB, "mmol/L", 16.114),
        (HB, "mg/mL", 1), (HB, "g/100mL", 10),
        (PLT, "10^9/L", 1), (PLT, "×10⁹/L", 1), (PLT, "x10E9/l", 1), (PLT, "10**9/L", 1), (PLT, "K/µL", 1),
        (PLT, "K/μl", 1), (PLT, "Gpt/l", 1), (PLT, "G/l", 1), (PLT, "10*3/mm3", 1), (PLT, "/µl", 0.001),
        (PLT, "cells/uL", 0.001), (PLT, "/mm³", 0.001), (PLT, "万/μL", 10), (PLT, "10^4/uL", 10), (PLT, "Tsd/µl", 1),
        (CREA, "µmol/l", 1), (CREA, "umol/L", 1), (CREA, "mg/dl", 88.42), (CREA, "mmol/L", 1000),
        (HBV, "IU/mL", 1), (HBV, "iu/ml", 1), (AGE, "岁", 1), (AGE, "Jahre", 1), (AGE, "mo", 1 / 12),
    ],
)  # fmt: skip
def test_spellings_of_accepted_units(column, unit, factor):
    assert unit_factor(column, unit) == pytest.approx(factor, rel=1e-11)


@pytest.mark.parametrize(
    ("column", "unit"), [(HB, "U/L"), (HB, "mmol"), (PLT, "g/dL"), (CREA, "%"), (HB, "??"), (HB, "")]
)
def test_units_that_do_not_fit_are_none(column, unit):
    assert unit_factor(column, unit) is None


def test_snap_puts_converted_values_on_the_threshold():
    assert snap(np.array([6.0 * 10, 0.1 * 3, 6.1 * 10, 120 / 40])).tolist() == [60.0, 0.3, 61.0, 3.0]
    assert 2.01 * 88.42 < 178 < 2.02 * 88.42


@given(st.floats(1e-6, 1e9), st.sampled_from([10, 0.001, 16.114, 88.42]))
def test_snap_moves_nothing_by_more_than_half_a_unit_in_the_twelfth_digit(x, factor):
    value = x * factor
    assert abs(snap(np.array([value]))[0] - value) <= 0.51e-11 * abs(value)


@given(st.integers(1, 10**11), st.integers(0, 6))
def test_snap_leaves_short_decimals_alone(digits, places):
    value = float(f"{digits}e-{places}")
    assert snap(np.array([value]))[0] == value


@given(st.floats(0.0078125, 1e6, width=32))
def test_widen_keeps_the_shortest_decimal_text(x):
    single = np.float32(x)
    assert widen(np.array([single]))[0] == float(str(single))


def test_a_unit_is_inferred_only_if_exactly_one_is_plausible():
    got = infer_factor(PLT, np.array([35_000.0, 250.0]))
    assert got.tolist() == [0.001, 1.0]
    # 7.5 may be g/dL or mmol/L; with the candidates named, one is left.
    assert np.isnan(infer_factor(HB, np.array([7.5]))).all()
    assert infer_factor(HB, np.array([7.5, 75.0, 5000.0]), ("g/L", "g/dL")).tolist()[:2] == [10.0, 1.0]
    assert np.isnan(infer_factor(HB, np.array([5000.0]), ("g/L", "g/dL"))).all()
