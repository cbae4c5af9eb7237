"""Values that decide as firmly as right ones: each is refused, with the column, the count and what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT, column

import feasibility as fz


@pytest.fixture(scope="module")
def protocol():
    return fz.load_trial("NCT06642025")


@pytest.fixture
def cohort(protocol):
    return fz.read_cohort(ROOT / "synthetic_data" / "registry_sample.csv", protocol.columns).head(3)


def nan_array(n):
    return pd.arrays.FloatingArray(np.full(n, np.nan), np.zeros(n, dtype=bool))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("creatinine_umol_l", nan_array(3), "'creatinine_umol_l': 3 patients have NaN that is not <NA>"),
        ("best_response_salvage", column("string", "NE", "CR", None), "a code that is not declared"),
        ("aml_subtype", column("string", "", "apl", None), "a code that is not declared"),
        ("pregnancy_test", column("string", "Negative", None, None), "a code that is not declared"),
        ("days_since_hemoglobin_g_l", column("Float64", -5, 1, 2), "outside 0 to inf, which is impossible"),
        ("hemoglobin_g_l", column("Float64", -5, 80, 90), "outside 10 to 250"),
        ("age_years", column("Float64", 70.5, 30, None), "a fraction where whole numbers are declared"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_it_decides(protocol, cohort, name, values, message):
    with pytest.raises(fz.CohortError, match=message):
        fz.screen(cohort.assign(**{name: values}), protocol)


def test_bounds_the_wrong_way_round(protocol, cohort):
    bounds = {"hemoglobin_g_l": column("Float64", 70, 80, 90), "hemoglobin_g_l__upper": column("Float64", 50, 80, 90)}
    with pytest.raises(fz.CohortError, match="1 patients have a lower bound above the upper one"):
        fz.screen(cohort.assign(**bounds), protocol)


def read(protocol, **cells):
    frame = pd.DataFrame({"patient_id": ["A"], **{k: [v] for k, v in cells.items()}})
    return fz.as_cohort(frame, protocol.columns, index_date="2025-06-30")


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ({"hbsag": "no", "anti_hbc": "no", "hbv_dna_iu_ml": "5000 foo"}, "hbv_dna_iu_ml"),
        ({"hbsag": "no", "anti_hbc": "indeterminate", "hbv_dna_iu_ml": ""}, "hbv_dna_iu_ml"),
        ({"anti_hcv": "no", "hcv_rna_detected": "??!"}, "hcv_rna_detected"),
        ({"alt_x_uln": 1, "days_since_alt_x_uln": 1, "months_since_hav_igm_positive": "pos"},
         "months_since_hav_igm_positive"),
        ({"lymphocytes_10e9_l": 2, "days_since_lymphocytes_10e9_l": 1, "cd3_percent_of_lymphocytes": 60,
          "days_since_cd3_percent_of_lymphocytes": 1, "cd3_10e9_l": "0.2 foo"}, "cd3_10e9_l"),
        ({"sex": "female", "age_years": 60, "childbearing_potential": "maybe"}, "childbearing_potential"),
    ],
)  # fmt: skip
def test_a_cell_that_was_set_aside_is_not_filled_as_if_never_tested(protocol, cells, name, tmp_path):
    cohort = read(protocol, **cells)
    assert cohort[name].isna().all()
    for suffix in (".csv", ".parquet"):
        fz.write_cohort(cohort, tmp_path / f"cohort{suffix}")
        again = fz.read_cohort(tmp_path / f"cohort{suffix}", protocol.columns)
        assert again[name].isna().all(), suffix
    empty = read(protocol, **{k: "" if k == name else v for k, v in cells.items()})
    filled = "indeterminate" not in cells.values()
    assert empty[name].notna().all() == filled, "an empty cell is what the rule is for"


def test_hepatitis_a_needs_a_recent_alt(protocol):
    fresh, old = (read(protocol, alt_x_uln=1, days_since_alt_x_uln=d) for d in (14, 15))
    assert fresh["months_since_hav_igm_positive"].tolist() == [np.inf]
    assert old["months_since_hav_igm_positive"].isna().all()


def test_a_product_is_as_old_as_the_older_factor(protocol):
    cells = {"lymphocytes_10e9_l": 2, "days_since_lymphocytes_10e9_l": 2, "cd3_percent_of_lymphocytes": 60}
    cohort = read(protocol, **cells, days_since_cd3_percent_of_lymphocytes=81)
    assert cohort["cd3_10e9_l"].tolist() == [1.2]
    assert cohort["days_since_cd3_10e9_l"].tolist() == [81]
    unknown = read(protocol, **cells)
    assert "days_since_cd3_10e9_l" not in unknown or unknown["days_since_cd3_10e9_l"].isna().all()


def test_lymphocytes_bound_t_cells_with_and_without_a_blast_column(protocol):
    base = {"lymphocytes_10e9_l": 0.48, "days_since_lymphocytes_10e9_l": 2}
    few, many = base | {"pb_blast_percent": 5}, base | {"pb_blast_percent": 6}
    for cells, decided in ((base, True), (few, True), (many, False)):
        cohort = read(protocol, **cells)
        passes = protocol["I5.2"].passes(cohort.assign(**{} if decided else {"days_since_cd3_10e9_l": 1.0}))
        assert passes.tolist() == [False if decided else pd.NA]


def test_which_columns_there_are_does_not_depend_on_the_patients(protocol):
    woman = read(protocol, sex="female", age_years=51)
    assert woman["childbearing_potential"].isna().all()
