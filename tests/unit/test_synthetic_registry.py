"""The AML registry keeps its promises: same seed same bytes, prefix, holes, and rules between the columns."""

import json

import numpy as np
import pandas as pd
import pytest

from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES
from feasibility.synthetic import BLOCK, SyntheticError
from feasibility.trials.aml import AML_COLUMNS, REMISSION
from feasibility.trials.aml_registry import (
    ERASED,
    default_parameters,
    registry_blocks,
    registry_holes,
    synthetic_registry,
)

INF = np.inf


@pytest.fixture(scope="module")
def registry():
    return synthetic_registry(60_000, seed=5)


@pytest.fixture(scope="module")
def truth(registry):
    return registry.truth.reset_index(drop=True)


def holds(mask) -> bool:
    return bool(mask.fillna(False).all()) if mask.dtype == "boolean" else bool(np.all(mask))


def test_declared_columns_dtypes_and_index(registry):
    truth, observed = registry.truth, registry.observed
    assert list(truth) == list(AML_COLUMNS)
    assert all(truth[name].dtype == DTYPES[AML_COLUMNS[name].dtype] for name in truth)
    assert [c for c in observed if not c.endswith(UPPER)] == list(truth)
    assert all(observed[name].dtype == DTYPES[AML_COLUMNS[name].dtype] for name in observed)
    assert observed.index.equals(truth.index)
    assert truth.index.names == ["patient_id", "index_date"]
    assert truth.index.is_unique
    assert truth.index[0] == ("P0000001", pd.Timestamp("2025-06-30"))
    assert truth.index.levels[0].dtype == pd.StringDtype("python")


def test_truth_is_within_the_declared_ranges(truth):
    for column in AML_COLUMNS.columns:
        if column.hard:
            assert truth[column.name].dropna().between(*column.hard).all(), column.name
        if column.values:
            assert set(truth[column.name].dropna()) <= set(column.values), column.name


def test_truth_is_complete_but_where_a_value_means_nothing(truth):
    meaningless = {
        **dict.fromkeys(("ex02_positive", "ex02_percent", "days_since_ex02_positive"), truth.index >= 0),
        **dict.fromkeys(("pregnancy_test", "days_since_pregnancy_test"), ~truth["childbearing_potential"]),
        **dict.fromkeys(("infection_severe", "infection_controlled"), ~truth["active_infection"]),
        "viral_infection_controlled": ~(truth["hbsag"] | truth["anti_hcv"] | truth["hiv"])
        & (truth["months_since_hav_igm_positive"] > 6),
        "nonischemic_cardiomyopathy_severe": ~truth["nonischemic_cardiomyopathy"],
        "hsct_type": ~truth["hsct"],
        "best_response_salvage": truth["n_salvage_courses"] == 0,
    }
    for name in truth:
        if "consolidation_to" in name or "consolidation_to_first" in name:  # relapsed without that consolidation
            assert holds(~truth[name].isna() | (truth["n_relapses"] > 0)), name
            assert holds(truth[name].isna() | (truth["n_consolidation_courses"] > 0) | (truth["n_relapses"] == 0)), name
        else:
            assert np.array_equal(truth[name].isna(), meaningless.get(name, np.zeros(len(truth), bool))), name


def test_metadata_is_plain_json_and_says_synthetic(registry):
    for frame in (registry.truth, registry.observed):
        facts = json.loads(json.dumps(frame.attrs["feasibility"]))
        assert facts["source"] == "synthetic, not patients"
        assert (facts["n"], facts["seed"], facts["index_date"]) == (60_000, 5, "2025-06-30")
        assert facts["parameters"] == default_parameters().fingerprint()
        assert facts["copula_repaired"] == 0


def test_same_seed_same_patients_and_another_seed_others(registry):
    again = synthetic_registry(1_000, seed=5)
    pd.testing.assert_frame_equal(again.truth, registry.truth.head(1_000), check_exact=True)
    assert not again.truth["hemoglobin_g_l"].equals(synthetic_registry(1_000, seed=6).truth["hemoglobin_g_l"])
    twice = synthetic_registry(1_000, seed=5)
    assert pd.util.hash_pandas_object(again.truth).equals(pd.util.hash_pandas_object(twice.truth))


@pytest.mark.parametrize("n", [1, 10, 1_000])
def test_a_patient_is_the_same_whatever_the_number_of_patients(registry, n):
    few = synthetic_registry(n, seed=5)
    assert len(few) == n
    pd.testing.assert_frame_equal(few.truth, registry.truth.head(n), check_exact=True)
    pd.testing.assert_frame_equal(few.holes, registry.holes.head(n), check_exact=True)
    wide = registry.unfilled().head(n)
    pd.testing.assert_frame_equal(few.unfilled(), wide, check_exact=True)


def test_prefix_holds_across_blocks():
    large, small = synthetic_registry(BLOCK + 50, seed=2), synthetic_registry(BLOCK + 5, seed=2)
    pd.testing.assert_frame_equal(small.truth.tail(10), large.truth.iloc[BLOCK - 5 : BLOCK + 5], check_exact=True)
    pd.testing.assert_frame_equal(small.holes.tail(10), large.holes.iloc[BLOCK - 5 : BLOCK + 5], check_exact=True)
    assert not large.truth["age_exact_years"].iloc[:50].equals(large.truth["age_exact_years"].iloc[BLOCK:])


def test_blocks_are_the_same_patients():
    whole = synthetic_registry(BLOCK + 50, seed=2)
    first, second = registry_blocks(BLOCK + 50, seed=2)
    assert (len(first), len(second)) == (BLOCK, 50)
    for part in ("truth", "holes"):
        pd.testing.assert_frame_equal(getattr(second, part), getattr(whole, part).tail(50), check_exact=True)
    pd.testing.assert_frame_equal(second.latent(), whole.latent().tail(50), check_exact=True)


def test_ten_patients():
    assert synthetic_registry(10).observed.shape[0] == 10


def test_without_holes_everything_is_observed():
    registry = synthetic_registry(50, holes=False)
    pd.testing.assert_frame_equal(registry.observed, registry.truth)
    assert registry.holes.shape == (50, 0)


def test_changing_the_holes_leaves_the_truth_alone(registry):
    other = synthetic_registry(500, seed=5, parameters={"missing.mechanism": "mcar", "missing.ecog.rate": 0.6})
    pd.testing.assert_frame_equal(other.truth, registry.truth.head(500), check_exact=True)


def test_writing_to_the_truth_does_not_reach_the_observed():
    registry = synthetic_registry(20)
    observed = registry.unfilled()
    before = observed["age_years"].tolist()
    registry.truth.loc[:, "age_years"] = 1
    registry.truth.iloc[0, registry.truth.columns.get_loc("age_exact_years")] = 1.0
    assert observed["age_years"].tolist() == before
    assert observed["age_exact_years"].iloc[0] != 1.0


@pytest.mark.parametrize("filled", [False, True])
def test_observed_never_contradicts_the_truth(registry, filled):
    observed = registry.observed if filled else registry.unfilled()
    for name, true in registry.truth.items():
        seen = observed[name]
        if filled and name == "days_since_cd3_10e9_l":
            continue  # a count bounded by the lymphocytes takes their age
        if name + UPPER in observed:
            high = observed[name + UPPER]
            assert seen.isna().equals(high.isna()), name
            assert holds(((seen <= true) & (true <= high)) | seen.isna() | true.isna()), name
        else:
            assert holds((seen == true) | seen.isna() | true.isna()), name


def test_month_precision_widens_times_to_relapse(registry):
    seen = registry.unfilled()
    low, high = seen["months_from_cr_to_relapse"], seen["months_from_cr_to_relapse" + UPPER]
    wide = (high - low)[np.isfinite(low.fillna(INF))]
    blurred = registry.holes["cr_month_only"] | registry.holes["relapse_month_only"]
    assert ((wide > 0) == blurred[wide.index]).all()
    assert wide.max() <= 2.1
    both = registry.holes["cr_month_only"] & registry.holes["relapse_month_only"]
    assert wide[both[wide.index]].mean() > 1.8


def test_every_parameter_has_a_source_and_a_note():
    p = default_parameters()
    keys = {"spec", "ours", "R", "M2", *(f"E{k}" for k in range(1, 21))}
    table = p.table()
    assert set(table["source"]) <= keys
    assert (table["note"].str.len() > 0).all()
    assert set(registry_holes(p)) == set(ERASED) | {"cr_month_only", "relapse_month_only"}


def test_errors():
    with pytest.raises(SyntheticError, match="at least 1; got 0"):
        synthetic_registry(0)
    with pytest.raises(SyntheticError, match="no parameter 'age.mena'"):
        synthetic_registry(10, parameters={"age.mena": 3})
    with pytest.raises(SyntheticError, match="no profile 'eastern'"):
        synthetic_registry(10, parameters="eastern")
    with pytest.raises(SyntheticError, match="such as '2025-06-30'; got 'soon'"):
        synthetic_registry(10, index_date="soon")


def test_western_patients_are_older():
    western = synthetic_registry(5_000, parameters="western").truth
    assert western["age_years"].mean() > synthetic_registry(5_000).truth["age_years"].mean() + 10
    assert western.attrs["feasibility"]["profile"] == "western"


def test_index_date_moves_the_dates_not_the_ages():
    a, b = synthetic_registry(500, index_date="2024-02-29"), synthetic_registry(500)
    assert np.abs(a.truth["age_exact_years"].to_numpy() - b.truth["age_exact_years"].to_numpy()).max() < 0.02
    assert a.latent()["birth_date"].max() < b.latent()["birth_date"].max()


def test_latent_dates_are_in_order_and_agree_with_the_columns(registry):
    f, truth = registry.latent(), registry.truth
    index_date = np.datetime64("2025-06-30")
    assert f.index.equals(truth.index)
    before = [f["birth_date"], f["diagnosis_date"]]
    for c in (1, 2, 3):
        had = (truth["n_relapses"] >= c).to_numpy()
        cr, relapse, end = (f[f"{name}_{c}"] for name in ("remission_date", "relapse_date", "end_of_consolidation"))
        assert cr.notna().to_numpy().tolist() == had.tolist()
        assert (cr[had] < relapse[had]).all()
        assert (relapse[had] < index_date).all()
        assert (end.isna() | ((cr <= end) & (end < relapse))).all()
        assert (before[-1][had] < cr[had]).all()
        before.append(relapse)
    assert (f["birth_date"] < f["diagnosis_date"]).all()
    assert (f["diagnosis_date"] <= index_date).all()
    assert (f["hsct_date"].isna() | (f["hsct_date"] >= f["diagnosis_date"])).all()
    on = truth["days_since_immunosuppressant"]
    since_hsct = (pd.Timestamp(index_date) - f["hsct_date"]).dt.days
    assert holds((on <= since_hsct.clip(lower=42).to_numpy()) | np.isinf(on.to_numpy()))
    assert np.allclose(truth["ast_x_uln"].to_numpy(), (f["ast"] / f["ast_uln"]).to_numpy())


def test_rules_between_columns(truth):
    t = truth
    relapsed, allo = t["n_relapses"] >= 1, (t["hsct_type"] == "allogeneic").fillna(False)
    finite = np.isfinite(t["months_from_cr_to_relapse"].to_numpy())
    rules = {
        "relapse has a time": relapsed.to_numpy() == finite,
        "relapse follows a remission": ~relapsed | t["cr_ever"],
        "shortest": t["shortest_months_from_cr_to_relapse"] <= t["months_from_cr_to_relapse"],
        "one relapse, one time": (t["n_relapses"] != 1)
        | (t["months_from_cr_to_relapse"] == t["months_from_first_cr_to_first_relapse"]),
        "consolidation ends after remission": t["months_from_consolidation_to_relapse"].fillna(0)
        <= t["months_from_cr_to_relapse"],
        "courses": (t["n_induction_courses_intensive"] <= t["n_induction_courses"])
        & (t["n_induction_courses"] <= t["n_induction_courses_any"]),
        "prior courses": t["n_prior_courses"]
        >= t["n_induction_courses_any"] + t["n_consolidation_courses"] + t["n_salvage_courses"],
        "salvage needs relapse": (t["n_salvage_courses"] == 0) | relapsed,
        "refractory never in remission": (t["disease_status"] != "primary_refractory")
        | (~t["cr_ever"] & (t["n_induction_courses"] >= 2)),
        "remission was reached": (t["disease_status"] != "remission") | t["cr_ever"],
        "salvage response decides the status": t["best_response_salvage"].isna()
        | (t["best_response_salvage"].isin(REMISSION) == t["disease_status"].isin(["remission", "mrd_only"])),
        "extramedullary is active disease": ~t["em_active"] | ~t["disease_status"].isin(["remission", "mrd_only"]),
        "extramedullary ever": ~t["em_active"] | t["em_ever"],
        "gvhd needs allogeneic": ~t["gvhd_ever"] | allo,
        "gvhd nested": (~t["gvhd_significant"] | t["gvhd_active"]) & (~t["gvhd_active"] | t["gvhd_ever"]),
        "no transplant": t["hsct"] | np.isinf(t["days_since_immunosuppressant"].to_numpy()),
        "pregnant": ~(t["pregnant"] | t["lactating"]) | t["childbearing_potential"],
        "childbearing": ~t["childbearing_potential"] | ((t["sex"] == "female") & t["age_years"].between(15, 49)),
        "test": t["pregnancy_test"].isna() | ((t["pregnancy_test"] == "positive") == t["pregnant"]),
        "t cells": t["cd3_10e9_l"] <= t["lymphocytes_10e9_l"],
        "age": np.floor(t["age_exact_years"]) == t["age_years"],
        "hbv": (t["hbv_dna_iu_ml"] == 0) | t["hbsag"],
        "core": ~t["hbsag"] | t["anti_hbc"],
        "hcv": ~t["hcv_rna_detected"] | t["anti_hcv"],
        "hiv": ~(t["hiv_viraemic"] | t["aids_history"]) | t["hiv"],
        "hav shows": (t["months_since_hav_igm_positive"] > 6) | (t["alt_x_uln"] > 3),
        "nyha": (t["nyha_class"] <= t["nyha_class_worst"]) & (t["heart_failure"] | (t["nyha_class_worst"] == 1)),
        "lvef": (t["lvef_lowest_ever_pct"] <= t["lvef_min_pct"]) & (t["lvef_min_pct"] <= t["lvef_latest_pct"]),
        "cardiomyopathy": ~t["nonischemic_cardiomyopathy"]
        | ((t["lvef_lowest_ever_pct"] <= 35) == t["nonischemic_cardiomyopathy_severe"]),
        "bypass after infarction": np.isinf(t["months_since_cabg"].to_numpy())
        | (t["months_since_cabg"] <= t["months_since_mi"]),
        "steroid dose": ((t["steroid_mg_day_mean"] > 0) == (t["steroid_days"] > 0))
        & (t["steroid_mg_day_current"] <= t["steroid_mg_day_max"])
        & (t["steroid_mg_day_mean"] <= t["steroid_mg_day_max"])
        & (t["steroid_mg_day_max"] <= t["steroid_mg_day_max_ever"]),
        "exposure ever": (t["steroid_days"] <= t["steroid_days_ever"])
        & (t["nonsteroid_is_days"] <= t["nonsteroid_is_days_ever"]),
        "allergy class": ~t["severe_allergy"] | t["severe_allergy_class"],
        "direct bilirubin raised only with total": t["bilirubin_direct_x_uln"] >= 0,
        "whole numbers": (t["hemoglobin_g_l"] % 1 == 0) & (t["platelets_10e9_l"] % 1 == 0),
    }
    assert {name for name, mask in rules.items() if not holds(pd.Series(mask))} == set()
    assert t["hemoglobin_g_l"].notna().all()


def test_decoys_are_neither_relapsed_nor_refractory():
    truth = synthetic_registry(20_000, parameters={"disease.decoys": 0.3}).truth
    decoy = (truth["n_relapses"] == 0) & (truth["cr_ever"] | (truth["n_induction_courses"] == 0))
    assert 0.30 < decoy.mean() < 0.34  # with the refractory patients now in remission
    assert (truth["n_prior_courses"][truth["n_induction_courses"] == 0] == 0).all()


def test_mnar_and_mcar_are_one_switch_with_the_same_rates():
    n, worse = 100_000, {}
    for mechanism in ("as listed", "mar", "mcar", "mnar"):
        registry = synthetic_registry(n, parameters={"missing.mechanism": mechanism})
        missing = registry.holes["ecog"].to_numpy()
        assert abs(missing.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / n)
        poor = (registry.truth["ecog"] > 2).to_numpy(dtype=bool)
        worse[mechanism] = missing[poor].mean() - missing[~poor].mean()
    assert abs(worse["mcar"]) < 0.015
    # Inpatients are sicker, so a mechanism that knows only where patients lie already depends on ECOG a little.
    assert 0 < worse["mar"] < 0.06
    assert worse["mnar"] > 0.2
    assert worse["as listed"] == worse["mnar"]
