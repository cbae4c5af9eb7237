"""Any cohort, written and read back, is the same; and typed input reads as text input does."""

import math
import tempfile
from pathlib import Path

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from feasibility.cohort.read import as_cohort, read_cohort
from feasibility.cohort.schema import CohortTable, Column
from feasibility.cohort.write import write_cohort

TABLE = CohortTable(
    [
        Column(name="x", dtype="Float64", doc="A number.", unit="g/L", units={"g/dL": 10}, hard=(0, 1e6), dated="days"),
        Column(name="n", dtype="Int64", doc="A count.", hard=(0, 50)),
        Column(name="months_since_e", dtype="Float64", doc="An event.", unit="mo", hard=(0, math.inf)),
        Column(name="b", dtype="boolean", doc="A flag."),
        Column(name="s", dtype="string", doc="A code.", values=("one", "two")),
        Column(name="free", dtype="string", doc="A text."),
    ]
)
number = st.one_of(st.none(), st.floats(0, 1e6), st.integers(0, 10**6).map(float))
time = st.one_of(st.none(), st.just(math.inf), st.floats(0, 2000))
rows = st.lists(
    st.tuples(
        number, number, time, time, st.one_of(st.none(), st.integers(0, 50)), st.one_of(st.none(), st.booleans()),
        st.sampled_from([None, "one", "two"]), st.sampled_from([None, "Zürich", "合肥, 2", 'a "b"', "0012", "1,5"]),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


def cohort_of(cells):
    lower = [None if a is None or b is None else min(a, b) for a, b, *_ in cells]
    upper = [None if a is None or b is None else max(a, b) for a, b, *_ in cells]
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(len(cells))],
            "x": lower, "x__upper": upper, "days_since_x": [c[2] for c in cells],
            "months_since_e": [c[3] for c in cells], "n": [c[4] for c in cells],
            "b": pd.array([c[5] for c in cells], dtype="boolean"),
            "s": [c[6] for c in cells], "free": [c[7] for c in cells],
        }
    )  # fmt: skip
    return as_cohort(frame, TABLE, index_date="2025-06-30")


@given(rows)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(cells):
    cohort = cohort_of(cells)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("c.csv", "c.tsv", "c.parquet", "c.arrow"):
            again = read_cohort(write_cohort(cohort, Path(folder) / name), TABLE)
            pd.testing.assert_frame_equal(again, cohort)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_text_reads_as_typed_cells_do(cells):
    typed = pd.DataFrame({"patient_id": [f"P{i}" for i in range(len(cells))], "x": [c[0] for c in cells],
                          "n": [c[4] for c in cells], "months_since_e": [c[3] for c in cells]})  # fmt: skip
    text = typed.map(lambda v: "" if v is None or v != v else "never" if v == math.inf else repr(v).strip("'"))
    left, right = as_cohort(typed, TABLE), as_cohort(text, TABLE)
    pd.testing.assert_frame_equal(left, right)


@given(st.lists(st.text(max_size=10), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_cell_is_lost_without_a_count(texts):
    cells = {name: texts for name in ("x", "n", "months_since_e", "b", "s", "free")}
    cohort = as_cohort(pd.DataFrame({"patient_id": [f"P{i}" for i in range(len(texts))], **cells}), TABLE)
    unknown = cohort.attrs["feasibility"]["unknown"]
    assert len(cohort) == len(texts)
    for name in cells:
        assert cohort[name].isna().sum() == sum(unknown.get(name, {}).values())


def test_a_synthetic_registry_comes_back_exactly(tmp_path):
    from feasibility.trials.aml import AML_COLUMNS
    from feasibility.trials.aml_registry import synthetic_registry

    registry = synthetic_registry(500, seed=3)
    for cohort in (registry.observed, registry.truth):
        for name in ("c.csv", "c.parquet"):
            again = read_cohort(write_cohort(cohort, tmp_path / name), AML_COLUMNS)
            pd.testing.assert_frame_equal(again[list(cohort.columns)], cohort)
            assert set(again) == set(cohort)


def test_a_written_cohort_shows_no_setting_as_changed(tmp_path):
    from feasibility.trials.aml import AML_COLUMNS

    frame = pd.DataFrame({"patient_id": ["A"], "age_years": [50]})
    cohort = as_cohort(frame, AML_COLUMNS, index_date="2025-06-30")
    again = read_cohort(write_cohort(cohort, tmp_path / "c.parquet", AML_COLUMNS), AML_COLUMNS)
    assert again.attrs["feasibility"]["settings"] == AML_COLUMNS.settings()
