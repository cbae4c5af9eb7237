"""The back-test on a registry that others made: first gastrointestinal bleedings in Eunomia GiBleed (public, OMOP)."""

from __future__ import annotations

import pandas as pd
import pytest
from helpers import SHARED
from scipy.stats import binom

from feasibility.enrollment.backtest import backtest, backtest_summary

FILE = SHARED / "data" / "omop_gibleed" / "condition_occurrence.csv.gz"
GI_BLEED = 192671

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the public data omop_gibleed is not here")


def monthly():
    rows = pd.read_csv(FILE).rename(columns=str.lower)
    rows = rows[rows["condition_concept_id"] == GI_BLEED]
    first = pd.to_datetime(rows["condition_start_date"]).groupby(rows["person_id"]).min().dt.to_period("M")
    return first.value_counts().reindex(pd.period_range("1990-01", "2018-12", freq="M"), fill_value=0)


def test_years_it_has_not_seen_fall_into_its_intervals():
    counts = monthly()
    scored = backtest(counts.rename("GiBleed"), 36, 12, window=60, draws=1000)
    assert len(scored) == 26
    by_year = counts.groupby(counts.index.year).sum()
    assert scored["observed"].tolist() == by_year.loc[1993:].tolist()
    summary = backtest_summary(scored).loc["GiBleed"]
    assert summary.covered_80 * 26 >= binom.ppf(0.005, 26, 0.8)
    assert summary.covered_95 * 26 >= binom.ppf(0.005, 26, 0.95)
    assert summary.pit_ks_p > 0.01
    assert summary.score_95 < summary.naive_95  # leaving out that the rate is uncertain costs more than it saves
