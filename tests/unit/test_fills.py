"""Filling makes a new cohort and leaves the one it was given as it was."""

from __future__ import annotations

import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.fills import apply_fills
from feasibility.cohort.schema import CohortTable, Column, Fill

AGED = Fill(2.0, lambda c: c["tested"], "a negative test", ("tested",), age=lambda c: c["age_of_test"])
WIDE = Fill(lambda c: c["a"], lambda c: c["tested"], "from a", ("a", "tested"))
TABLE = CohortTable(
    [
        Column(name="a", dtype="Float64", doc="A bounded number."),
        Column(name="tested", dtype="boolean", doc="Whether there was a test."),
        Column(name="age_of_test", dtype="Float64", doc="Its age."),
        Column(name="b", dtype="Float64", doc="Filled with a constant.", dated="days", fills=(AGED,)),
        Column(name="c", dtype="Float64", doc="Filled from bounds.", fills=(WIDE,)),
    ]
)


def cohort():
    return pd.DataFrame(
        {
            "a": pd.array([1, 2, 3], dtype="Float64"), "a" + UPPER: pd.array([1, 5, 3], dtype="Float64"),
            "tested": pd.array([True, True, pd.NA], dtype="boolean"),
            "age_of_test": pd.array([7, 8, 9], dtype="Float64"),
            "b": pd.array([pd.NA, 9, pd.NA], dtype="Float64"),
            "days_since_b": pd.array([pd.NA, 1, pd.NA], dtype="Float64"),
            "c": pd.array([pd.NA, pd.NA, pd.NA], dtype="Float64"),
        },
        index=pd.Index(["p", "q", "r"], name="patient_id"),
    )  # fmt: skip


def test_the_given_cohort_is_not_written_into():
    given, copy = cohort(), cohort()
    filled = apply_fills(given, TABLE)
    pd.testing.assert_frame_equal(given, copy)
    assert given.attrs == {}
    assert filled["b"].tolist() == [2.0, 9.0, pd.NA]
    assert filled["days_since_b"].tolist() == [7.0, 1.0, pd.NA]
    assert (filled["c"].tolist(), filled["c" + UPPER].tolist()) == ([1.0, 2.0, pd.NA], [1.0, 5.0, pd.NA])
    assert [(e["column"], e["n"]) for e in filled.attrs["feasibility"]["events"]] == [("b", 1), ("c", 2)]


def test_writing_into_the_filled_cohort_leaves_the_given_one():
    given, copy = cohort(), cohort()
    filled = apply_fills(given, TABLE)
    for name in filled.columns:
        filled.loc["p", name] = True if name == "tested" else 99.0
    pd.testing.assert_frame_equal(given, copy)
