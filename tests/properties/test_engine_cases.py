"""Every trial of the repository counts alike on pandas, on the blocks and inside DuckDB, pattern for pattern."""

from __future__ import annotations

import ibis
import pandas as pd
import pytest
from properties.engine_cases import as_arrow, cases, engine_cohort, engine_protocol, reference, tidy

import feasibility as fz
from feasibility.engine.ibis_engine import count_strata
from feasibility.patterns import count
from feasibility.screening import labels_of

CASES = cases()


@pytest.mark.parametrize("case", CASES)
def test_duckdb_and_blocks_count_what_pandas_screens(case):
    cohort, protocol = CASES[case]
    expected = reference(cohort, protocol)
    got = fz.count_patterns(ibis.duckdb.connect().create_table("t", as_arrow(cohort)), protocol)
    pd.testing.assert_frame_equal(expected.to_frame(), got.to_frame())
    assert got.header["route"] == "database (duckdb)"
    blocks = fz.count_patterns(fz.prepare(cohort), protocol, check=False)
    pd.testing.assert_frame_equal(tidy(expected), tidy(blocks))


@pytest.mark.parametrize("by", [["site"], ["flag", "site"]])
def test_strata_count_alike(by):
    cohort, protocol = engine_cohort(), engine_protocol()
    table = ibis.duckdb.connect().create_table("t", as_arrow(cohort))
    failed, unknown, n, strata = count_strata(table, protocol, by)
    got = count(labels_of(protocol), failed, unknown, strata, n)
    pd.testing.assert_frame_equal(reference(cohort, protocol, by).to_frame(), got.to_frame())
