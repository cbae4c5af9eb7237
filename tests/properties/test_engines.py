"""One criterion, every engine: whole pandas columns, numpy blocks and DuckDB agree, NA for NA."""

from __future__ import annotations

import operator as op
from dataclasses import replace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import feasibility as fz
from feasibility.cohort.prepared import open_prepared, prepare, prepare_files, write_prepared
from feasibility.cohort.schema import DTYPES
from feasibility.engine.arrow import Batch
from feasibility.engine.blocks import Pandas, Prepared, count_codes, statuses, unpack
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


SOURCES = {
    "pandas": lambda cohort, names: Pandas(cohort, names),
    "prepared": lambda cohort, names: Prepared(prepare(cohort), names),
    "arrow": lambda cohort, names: Batch(pa.Table.from_pandas(cohort, preserve_index=False), names),
}


@pytest.fixture(scope="module")
def two_blocks():
    """Two blocks, the second not full, and every tenth haemoglobin too precise for a rank."""
    cohort = synthetic_registry(70_000, seed=9).observed
    fine = np.random.default_rng(1).uniform(40, 160, len(cohort))
    return cohort.assign(hemoglobin_g_l=cohort["hemoglobin_g_l"].where(np.arange(len(cohort)) % 2 == 0, fine))


@pytest.mark.parametrize("how", SOURCES)
@pytest.mark.parametrize("change", READINGS, ids=lambda c: next(iter(c), "protocol"))
def test_blocks_equal_pandas_for_every_criterion(change, how, two_blocks):
    protocol = fz.load_trial("NCT06642025").with_thresholds(**change)
    cohort = two_blocks.drop(columns="hemoglobin_g_l__upper", errors="ignore")
    names = [n for n in protocol.reads if n in cohort]
    codes, on_pandas = statuses(SOURCES[how](cohort, names), protocol.assessable, small=0)
    failed, unknown = unpack(codes, len(protocol))
    for i, criterion in enumerate(protocol.assessable):
        passes = criterion.passes(cohort)
        bit = np.uint64(i)
        np.testing.assert_array_equal(unknown[:, 0] >> bit & 1 == 1, passes.isna().to_numpy(), err_msg=criterion.id)
        expected = (passes == False).fillna(False).to_numpy(bool)  # noqa: E712
        np.testing.assert_array_equal(failed[:, 0] >> bit & 1 == 1, expected, err_msg=criterion.id)
    assert on_pandas == []


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


def test_every_route_counts_the_same_patterns(tmp_path):
    protocol = fz.load_trial("NCT06642025")
    cohort = synthetic_registry(30_000, seed=4).observed
    reference = fz.screen(cohort, protocol).patterns()
    write_prepared(cohort, tmp_path / "cohort.arrow", protocol.columns)
    folder = tmp_path / "parts"
    folder.mkdir()
    for k, part in enumerate((cohort.iloc[:11_000], cohort.iloc[11_000:])):
        fz.write_cohort(part, folder / f"{k}.parquet", protocol.columns)
    routes = {
        "pandas": cohort, "prepared": tmp_path / "cohort.arrow", "Parquet, batch by batch": folder,
    }  # fmt: skip
    for route, source in routes.items():
        found = fz.count_patterns(source, protocol)
        assert found.header["route"] == route
        pd.testing.assert_frame_equal(tidy(found), tidy(reference))


def test_a_prepared_cohort_gives_the_cohort_back(tmp_path):
    cohort = synthetic_registry(3_000, seed=5).observed
    cohort.attrs["feasibility"] = {"settings": {"a.b": 1}, "events": []}
    again = open_prepared(write_prepared(cohort, tmp_path / "c.arrow"))
    frame = again.frame()
    pd.testing.assert_frame_equal(frame[cohort.columns], cohort, check_index_type=False)
    assert again.record["settings"] == {"a.b": 1}
    part = again.frame(np.array([5, 2_999, 7]))
    pd.testing.assert_frame_equal(part[cohort.columns], cohort.iloc[[5, 2_999, 7]], check_index_type=False)


def test_files_are_prepared_column_by_column_as_the_cohort_is(tmp_path):
    protocol = fz.load_trial("NCT06642025")
    cohort = synthetic_registry(3_000, seed=6).observed
    for k, part in enumerate((cohort.iloc[:1_100], cohort.iloc[1_100:])):
        fz.write_cohort(part, tmp_path / f"{k}.parquet", protocol.columns)
    whole, again = prepare(cohort, protocol.columns), prepare_files(tmp_path, protocol.columns)
    assert list(again) == list(whole)
    for name in whole:
        for one, two in zip(vars(whole[name]).values(), vars(again[name]).values(), strict=True):
            assert str(one) == str(two), name
            for a, b in zip(one, two, strict=True) if name in whole and isinstance(one, tuple) else [(one, two)]:
                np.testing.assert_array_equal(a, b, err_msg=name)
    path = write_prepared(again, tmp_path / "cohort.arrow")
    pd.testing.assert_frame_equal(open_prepared(path).frame(), whole.frame())
    fz.write_cohort(cohort.iloc[:5], tmp_path / "2.parquet", protocol.columns)
    with pytest.raises(fz.ScreeningError, match="10 rows belong to patients that occur more than once"):
        fz.count_patterns(prepare_files(tmp_path, protocol.columns), protocol)


numbers = st.one_of(st.none(), st.sampled_from([-3.0, 0.0, 0.5, 1.0, 7.0, float("inf")]), st.integers(-5, 9).map(float))


@settings(deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), st.sampled_from([-4, 0, 0.5, 0.7, 7, np.inf, 99])
)
def test_ranks_compare_like_pandas(pairs, limit):
    low = pd.array([a for a, _ in pairs], dtype="Float64")
    high = pd.array([b if a is None or b is None else max(a, b) for a, b in pairs], dtype="Float64")
    plain = pd.DataFrame({"x": low})
    bounded = pd.DataFrame({"x": low, "x__upper": high})
    for cohort in (plain, bounded):
        reader = Prepared(prepare(cohort), ["x"])
        everybody = slice(0, len(cohort))
        fast, slow = reader.columns(["x"], everybody)["x"], reader.rows(everybody)["x"]
        for how in (op.lt, op.le, op.gt, op.ge, op.eq, op.ne):
            answer = how(fast, limit)
            bits = (np.broadcast_to(np.uint8(255 * r if isinstance(r, bool) else r), -(-len(cohort) // 8))
                    for r in (answer.yes, answer.no))  # fmt: skip
            yes, no = (np.unpackbits(b, count=len(cohort), bitorder="little") == 1 for b in bits)
            expected = how(slow, limit)
            assert yes.tolist() == expected.fillna(False).tolist(), how
            assert no.tolist() == (~expected).fillna(False).tolist(), how


@fz.inclusion("I0", "the answer is yes")
def holds(c0):
    return c0 == True  # noqa: E712


@pytest.mark.parametrize("criteria", [5, 31, 33, 64, 65, 120])
def test_any_number_of_criteria_is_packed_and_counted(criteria):
    rng = np.random.default_rng(criteria)
    names = [f"c{i}" for i in range(criteria)]
    table = pd.DataFrame({n: pd.array(rng.choice([True, False, None], 40), dtype="boolean") for n in names})
    cohort = table.iloc[rng.integers(0, 40, 25_000)].reset_index(drop=True)
    made = [replace(holds, id=f"I{i}", columns=(name,)) for i, name in enumerate(names)]
    codes, _ = statuses(Prepared(prepare(cohort), names), made, small=0)
    failed, unknown = unpack(codes, criteria)
    for i, name in enumerate(names):
        bit = np.uint64(i % 64)
        assert ((failed[:, i // 64] >> bit & 1 == 1) == (cohort[name] == False).fillna(False)).all()  # noqa: E712
        assert ((unknown[:, i // 64] >> bit & 1 == 1) == cohort[name].isna()).all()
    keys, n = count_codes(codes)
    assert len(keys) == len(cohort.drop_duplicates())
    assert n.sum() == len(cohort)
