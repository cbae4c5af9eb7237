"""One criterion, every engine: whole pandas columns, numpy blocks and DuckDB agree, NA for NA."""

from __future__ import annotations

from dataclasses import replace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import feasibility as fz
from feasibility.cohort.schema import DTYPES
from feasibility.engine.blocks import Evaluator
from feasibility.trials.aml_registry import synthetic_registry


def in_duckdb(frame: pd.DataFrame):
    return ibis.duckdb.connect().create_table("cohort", pa.Table.from_pandas(frame.reset_index(drop=True)))


def tidy(patterns):
    frame = patterns.to_frame()
    return frame.sort_values([*patterns.ids, "n"]).reset_index(drop=True)


@pytest.mark.parametrize("holes", [True, False])
def test_the_registry_counts_alike(holes):
    registry = synthetic_registry(3_000, seed=3)
    cohort = registry.observed if holes else registry.truth
    protocol = fz.load_trial("NCT06642025")
    ours = fz.screen(cohort, protocol).patterns()
    theirs = fz.count_patterns(in_duckdb(cohort), protocol)
    pd.testing.assert_frame_equal(tidy(ours), tidy(theirs))
    assert theirs.header["fingerprint"] == ours.header["fingerprint"]


@pytest.mark.parametrize(
    "change",
    [
        {"liver_combination": "ast_and_alt", "gilbert_direct": True},
        {"lvef_statistic": "latest", "arrhythmia_window": "6_months"},
        {"relapse_anchor": "end_of_consolidation", "extramedullary": "off", "require_active": False},
        {"hepatitis_b_rule": "hbsag_or_anti_hbc", "controlled_scope": "all", "hiv_rule": "viraemic_only"},
    ],
)
def test_readings_count_alike(change):
    cohort = synthetic_registry(2_000, seed=4).observed
    protocol = fz.load_trial("NCT06642025").with_thresholds(**change)
    pd.testing.assert_frame_equal(
        tidy(fz.screen(cohort, protocol).patterns()), tidy(fz.count_patterns(in_duckdb(cohort), protocol))
    )


def test_nan_null_infinity_and_half_open_bounds():
    """NaN > 60 is true in these databases; it must read as unknown."""
    protocol = fz.load_trial("NCT06642025")
    keep = [c.id for c in protocol.assessable if c.id not in ("I5.1", "E1.2")]
    # Without declarations, so that an infinite haemoglobin is compared and not refused.
    protocol = replace(protocol.without(*keep), columns=None)
    cells = {
        "hemoglobin_g_l": [70.0, None, np.inf, 50.0, None, 70.0],
        "hemoglobin_g_l__upper": [None, 60.0, None, 60.1, None, 80.0],
        "days_since_hemoglobin_g_l": [1.0, 1.0, 14.0, 14.0, 1.0, 15.0],
        "hbv_dna_iu_ml": [20.0, 19.9, None, np.inf, 0.0, 20.0],
    }
    frame = pd.DataFrame({k: pd.array(v, dtype=DTYPES["Float64"]) for k, v in cells.items()})
    ours = fz.screen(frame, protocol)
    assert ours.passes["I5.1"].tolist() == [True, False, True, pd.NA, pd.NA, pd.NA]
    arrow = pa.table({k: pa.array([float("nan") if x is None else x for x in v]) for k, v in cells.items()})
    table = ibis.duckdb.connect().create_table("t", arrow)
    pd.testing.assert_frame_equal(tidy(ours.patterns()), tidy(fz.count_patterns(table, protocol)))


def test_a_missing_column_in_the_database_names_the_criterion():
    table = in_duckdb(pd.DataFrame({"ecog": pd.array([1], dtype="Int64")}))
    with pytest.raises(fz.ScreeningError, match="no column 'aml_subtype', which I1.1 needs"):
        fz.count_patterns(table, fz.load_trial("NCT06642025"))


READINGS = [
    {},
    {"liver_combination": "ast_and_alt", "gilbert_direct": True, "transfusion_rule": "transfusion_free"},
    {"lvef_statistic": "latest", "arrhythmia_window": "12_months", "nyha_window": "ever", "any_severity": True},
    {"relapse_anchor": "end_of_consolidation", "extramedullary": "ever", "consolidation": "documented_failure"},
    {"hepatitis_b_rule": "hbsag", "controlled_scope": "all", "creatinine_cause": "chronic_only"},
    {"transplant_reading": "literal_exclusion", "gvhd_rule": "ever", "require_active": False},
]


@pytest.mark.parametrize("change", READINGS, ids=lambda c: next(iter(c), "protocol"))
def test_blocks_equal_pandas_for_every_criterion(change):
    cohort = synthetic_registry(70_000, seed=9).observed  # two blocks, the second not full
    protocol = fz.load_trial("NCT06642025").with_thresholds(**change)
    evaluator = Evaluator(cohort, protocol.reads, small=0)
    for criterion in protocol.assessable:
        failed, unknown = evaluator.statuses(criterion)
        passes = criterion.passes(cohort)
        np.testing.assert_array_equal(unknown, passes.isna().to_numpy(), err_msg=criterion.id)
        np.testing.assert_array_equal(failed, (passes == False).fillna(False).to_numpy(bool), err_msg=criterion.id)  # noqa: E712
    assert evaluator.on_pandas == []


@fz.inclusion("X1", "arithmetic with thresholds, k of n, a threshold used twice")
def awkward(hemoglobin_g_l, platelets_10e9_l, ecog, sex, *, min_sum: float = 100, factor: float = 2):
    low = hemoglobin_g_l + platelets_10e9_l * factor > min_sum
    return fz.at_least_k_of(2, low, ecog <= 1, sex != "male", hemoglobin_g_l * 2 - min_sum >= platelets_10e9_l)


@fz.inclusion("X2", "more than operators")
def beyond_operators(ecog):
    return ecog.between(0, 1)


def test_a_criterion_beyond_the_operators_runs_on_pandas_and_the_screening_says_so():
    cohort = synthetic_registry(30_000, seed=2).observed
    protocol = fz.Protocol("T", "t", [awkward, beyond_operators])
    screening = fz.screen(cohort, protocol)
    assert screening.on_pandas == ("X2",)
    for criterion in (awkward, beyond_operators):
        assert screening.passes[criterion.id].array.equals(criterion.passes(cohort).array)
