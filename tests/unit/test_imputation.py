"""Imputation: what is filled, from whom, and what stays as it is; the fast path against the reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import column

import feasibility as fz
from feasibility.cohort.schema import CohortTable, Column, Fill
from feasibility.kleene import is_in, only_if
from feasibility.missing.diagnostics import chain_trace, imputation_summary, observed_and_imputed, r_hat
from feasibility.missing.impute import impute

N = 240


@fz.inclusion("I1", "marker above 1")
def marker_high(marker, days_since_marker, *, min_marker: float = 1, max_days_since_marker: float = 14):
    return only_if(days_since_marker <= max_days_since_marker, marker > min_marker)


@fz.inclusion("I2", "score of 2 or less")
def low_score(score, *, max_score: int = 2):
    return score <= max_score


@fz.exclusion("E1", "infarction in the last 6 months")
def infarction(months_since_mi, *, min_months_since_mi: float = 6):
    return months_since_mi <= min_months_since_mi


@fz.exclusion("E2", "active graft-versus-host disease after transplantation")
def gvhd_now(hsct, gvhd):
    return hsct & gvhd


@fz.inclusion("I3", "responded")
def responded(response):
    return is_in(response, ("CR", "PR"))


TABLE = CohortTable(
    [
        Column(name="marker", dtype="Float64", doc="", dated="days", hard=(0, 500)),
        Column(name="score", dtype="Int64", doc="", hard=(0, 4)),
        Column(name="months_since_mi", dtype="Float64", doc="", hard=(0, float("inf"))),
        Column(name="hsct", dtype="boolean", doc=""),
        Column(name="gvhd", dtype="boolean", doc="", fills=(Fill(False, lambda c: ~c["hsct"], "no", ("hsct",)),)),
        Column(name="response", dtype="string", doc="", values=("CR", "PR", "PD")),
        Column(name="helper", dtype="Float64", doc=""),
    ]
)
PROTOCOL = fz.Protocol("T", "T", [marker_high, low_score, responded, infarction, gvhd_now], columns=TABLE)


def patients(seed=0, n=N):
    """A cohort with a hole of every kind, and the complete truth."""
    rng = np.random.default_rng(seed)
    helper = rng.normal(size=n)
    truth = pd.DataFrame(
        {
            "marker": pd.array(np.round(np.exp(1 + 0.8 * helper + rng.normal(size=n) / 2), 3), dtype="Float64"),
            "days_since_marker": pd.array(rng.integers(0, 15, n).astype(float), dtype="Float64"),
            "score": pd.array(rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]), dtype="Int64"),
            "months_since_mi": pd.array(np.where(rng.random(n) < 0.7, np.inf, rng.uniform(0, 40, n)), dtype="Float64"),
            "hsct": pd.array(rng.random(n) < 0.4, dtype="boolean"),
            "response": column("string", *rng.choice(["CR", "PR", "PD"], n, p=[0.5, 0.4, 0.1])),
            "helper": pd.array(helper, dtype="Float64"),
        }
    )
    truth["gvhd"] = pd.array((rng.random(n) < 0.4) & truth["hsct"].to_numpy(dtype=bool), dtype="boolean")
    cohort = truth.copy()
    for name in ("marker", "score", "months_since_mi", "hsct", "response"):
        hole = rng.random(n) < 0.25
        cohort[name] = cohort[name].mask(hole)
        if name == "marker":
            cohort["days_since_marker"] = cohort["days_since_marker"].mask(hole)
        if name == "hsct":
            cohort["gvhd"] = cohort["gvhd"].mask(hole)
    cohort["gvhd"] = cohort["gvhd"].mask((rng.random(n) < 0.3) & truth["hsct"].to_numpy(dtype=bool))
    index = pd.Index([f"P{i}" for i in range(n)], name="patient_id")
    return cohort.set_axis(index), truth.set_axis(index)


@pytest.fixture(scope="module")
def made():
    cohort, truth = patients()
    screening = fz.screen(cohort, PROTOCOL)
    return cohort, truth, screening, impute(cohort, screening, method="pmm", seed=3)


def test_only_holes_are_filled_and_dtypes_stay(made):
    cohort, _, screening, imputations = made
    assert imputations.m == 39
    assert screening.status.iloc[imputations.rows].eq("undetermined").all()
    assert len(imputations.rows) == (screening.status == "undetermined").sum()
    pd.testing.assert_frame_equal(imputations.observed, cohort.iloc[imputations.rows])
    for k in (0, 17, 38):
        completed = imputations.completed(k)
        assert completed.dtypes.equals(cohort.dtypes)
        assert completed.index.equals(imputations.observed.index)
        for name in cohort.columns:
            known = imputations.observed[name].notna()
            pd.testing.assert_series_equal(completed[name][known], imputations.observed[name][known])
        read = ["marker", "days_since_marker", "score", "months_since_mi", "hsct", "gvhd", "response"]
        assert not completed[read].isna().any().any()


def test_every_value_is_one_that_somebody_has_and_its_age_comes_with_it(made):
    cohort, _, _, imputations = made
    pairs = set(zip(cohort["marker"].dropna(), cohort["days_since_marker"].dropna(), strict=True))
    hole = imputations.observed["marker"].isna()
    for k in range(0, 39, 6):
        completed = imputations.completed(k)
        filled = completed[hole.to_numpy()]
        assert set(zip(filled["marker"], filled["days_since_marker"], strict=True)) <= pairs
        for name in ("score", "months_since_mi", "response"):
            assert set(completed[name]) <= set(cohort[name].dropna())


def test_a_declared_rule_decides_where_its_condition_was_imputed(made):
    _, _, _, imputations = made
    hole = imputations.observed["gvhd"].isna().to_numpy()
    after, both = 0, 0
    for k in range(39):
        completed = imputations.completed(k)[hole]
        without = ~completed["hsct"].to_numpy(dtype=bool)
        assert not completed["gvhd"].to_numpy(dtype=bool)[without].any()
        after += completed["gvhd"].to_numpy(dtype=bool)[~without].sum()
        both += (~without).sum()
    # Donors are the transplanted, of whom two in five have it: those whom the rule answers must not lend theirs.
    assert 0.25 < after / both < 0.55


def test_never_is_decided_apart_from_when(made):
    cohort, _, _, imputations = made
    hole = imputations.observed["months_since_mi"].isna().to_numpy()
    filled = np.concatenate([imputations.completed(k)["months_since_mi"].to_numpy(float)[hole] for k in range(39)])
    known = cohort["months_since_mi"].dropna().to_numpy(float)
    assert abs(np.isinf(filled).mean() - np.isinf(known).mean()) < 0.1
    assert 10 < filled[np.isfinite(filled)].mean() < 30


def test_a_predictor_is_used(made):
    _, truth, _, imputations = made
    hole = imputations.observed["marker"].isna().to_numpy()
    filled = np.mean([imputations.completed(k)["marker"].to_numpy(float)[hole] for k in range(39)], axis=0)
    true = truth["marker"].iloc[imputations.rows].to_numpy(float)[hole]
    assert np.corrcoef(np.log(filled), np.log(true))[0, 1] > 0.6


def test_the_same_seed_gives_the_same_and_another_something_else(made):
    cohort, _, screening, imputations = made
    again = impute(cohort, screening, m=2, method="pmm", seed=3)
    other = impute(cohort, screening, m=2, method="pmm", seed=4)
    pd.testing.assert_frame_equal(again.completed(1), imputations.completed(1))
    assert not again.completed(1).equals(other.completed(1))


def test_bounds_on_record_are_kept_and_an_old_value_is_drawn_anew():
    cohort, _ = patients(1)
    cohort["marker__upper"] = cohort["marker"]
    known = np.flatnonzero(cohort["marker"].notna())
    bounded, old = known[:30], known[30:60]
    cohort.iloc[bounded, cohort.columns.get_loc("marker")] = 0.5
    cohort.iloc[bounded, cohort.columns.get_loc("marker__upper")] = 2.0
    cohort.iloc[old, cohort.columns.get_loc("days_since_marker")] = 40.0
    screening = fz.screen(cohort, PROTOCOL)
    imputations = impute(cohort, screening, m=10, method="pmm")
    assert imputations.look_backs == {"marker": 14.0}
    among = np.isin(imputations.rows, bounded)
    stale = np.isin(imputations.rows, old)
    assert among.sum() > 5
    assert stale.sum() > 5
    seen = set()
    for k in range(10):
        completed = imputations.completed(k)
        inside = completed[among]
        assert inside["marker"].between(0.5, 2.0).all()
        assert (inside["marker"] == inside["marker__upper"]).all()
        kept = imputations.observed["days_since_marker"][among]
        pd.testing.assert_series_equal(inside["days_since_marker"], kept)
        seen |= set(inside["marker"])
        assert (completed["days_since_marker"] <= 14).all()
    assert len(seen) > 10
    assert not imputations.verdicts[1].any()


def test_a_column_without_known_values_stays_unknown_and_is_named():
    cohort, _ = patients(2)
    cohort["score"] = column("Int64", *[None] * N)
    screening = fz.screen(cohort, PROTOCOL)
    imputations = impute(cohort, screening, m=39, method="pmm")
    assert imputations.open == {"score": "no known value"}
    assert imputations.completed(0)["score"].isna().all()
    counts = imputations.counts
    assert (counts["n_confirmed"] == 0).all()
    assert (counts["n_possible"] > 0).all()
    with pytest.raises(fz.FeasibilityError, match="'score' could not be imputed: it has no known value"):
        imputations.imputed("score", 0)


def test_a_question_that_does_not_arise_is_not_answered():
    @fz.exclusion("E1", "severe infection")
    def severe(infection, severity):
        return infection & severity

    table = CohortTable(
        [
            Column(name="infection", dtype="boolean", doc=""),
            Column(name="severity", dtype="boolean", doc="", asked_if=("infection", True)),
        ]
    )
    rng = np.random.default_rng(0)
    infection = pd.Series(pd.array(rng.random(200) < 0.5, dtype="boolean"))
    severity = pd.Series(pd.array(rng.random(200) < 0.5, dtype="boolean")).mask(~infection)
    cohort = pd.DataFrame({"infection": infection.mask(rng.random(200) < 0.3), "severity": severity})
    cohort["severity"] = cohort["severity"].mask(cohort["infection"].isna())
    screening = fz.screen(cohort, fz.Protocol("T", "T", [severe], columns=table))
    imputations = impute(cohort, screening, m=5, method="pmm")
    some_empty = False
    for k in range(5):
        completed = imputations.completed(k)
        asked = completed["infection"].to_numpy(dtype=bool)
        assert completed["severity"].isna().to_numpy()[~asked].all()
        assert completed["severity"].notna().to_numpy()[asked].all()
        some_empty |= (~asked).any()
    assert some_empty
    assert not imputations.verdicts[1].any()


def test_fitting_on_everyone_not_on_the_undetermined():
    """The trap: whoever is undetermined has not failed what is known, so their known values all pass."""
    cohort, _ = patients(4, 600)
    screening = fz.screen(cohort, PROTOCOL)
    everyone = impute(cohort, screening, m=15, method="pmm")
    trapped = impute(cohort, screening, m=15, method="pmm", fit_rows=everyone.rows)
    fails = [
        one.verdicts[0][:, [label.id for label in screening.labels].index("I1")].sum() for one in (everyone, trapped)
    ]
    assert fails[0] > 0
    assert fails[1] == 0


def test_a_sample_of_everyone_is_stated():
    cohort, _ = patients(5)
    made = impute(cohort, fz.screen(cohort, PROTOCOL), m=2, method="pmm", fit_rows=100)
    assert made.n_fit == 100
    assert made.sampled


def test_the_fast_path_agrees_with_statsmodels():
    """Same cohort, both methods: means of what is imputed agree within the spread between imputations."""
    pytest.importorskip("statsmodels")
    cohort, _ = patients(6)
    screening = fz.screen(cohort, PROTOCOL)
    fast = impute(cohort, screening, m=39, method="pmm", seed=1)
    reference = impute(cohort, screening, m=20, method="statsmodels", cycles=3, seed=2)
    assert (fast.method, reference.method) == ("pmm", "statsmodels")
    a, b = (x.counts["n_confirmed"].to_numpy() for x in (fast, reference))
    assert abs(a.mean() - b.mean()) < 3 * np.sqrt(a.var() / 39 + b.var() / 20) + 1
    assert 0.4 < b.std() / a.std() < 2.5
    for name in ("marker", "score"):
        hole = fast.observed[name].isna().to_numpy()
        means = [
            np.array([x.completed(k)[name].to_numpy(float)[hole].mean() for k in range(x.m)]) for x in (fast, reference)
        ]
        assert abs(means[0].mean() - means[1].mean()) < 4 * np.sqrt(means[0].var() / 39 + means[1].var() / 20)


def test_auto_takes_the_reference_for_a_small_table():
    pytest.importorskip("statsmodels")
    cohort, _ = patients(7, 60)
    assert impute(cohort, fz.screen(cohort, PROTOCOL), m=2, cycles=1).method == "statsmodels"


def test_progress_ends_at_the_whole():
    cohort, _ = patients(8)
    told = []
    impute(
        cohort, fz.screen(cohort, PROTOCOL), m=3, method="pmm", progress=lambda what, share: told.append((what, share))
    )
    assert told[0] == ("imputation 1 of 3, cycle 1", 0.0)
    assert told[-1] == ("done", 1.0)
    assert [s for _, s in told] == sorted(s for _, s in told)


def test_diagnostics_say_what_was_filled(made):
    cohort, _, _, imputations = made
    summary = imputation_summary(imputations)
    hole = imputations.observed["score"].isna()
    assert summary.loc["score", "n_imputed"] == hole.sum()
    assert summary.loc["score", "share"] == pytest.approx(hole.mean())
    assert summary.loc["score", "mean_known"] == pytest.approx(cohort["score"].mean())
    values = np.concatenate([imputations.completed(k)["score"].to_numpy(float)[hole] for k in range(39)])
    assert summary.loc["score", "mean_imputed"] == pytest.approx(values.mean())
    shares = observed_and_imputed(imputations).groupby("column")[["share_known", "share_imputed"]].sum()
    np.testing.assert_allclose(shares, 1.0)
    trace = chain_trace(imputations, "marker")
    assert trace.shape == (5, 78)
    assert (r_hat(imputations).dropna() < 1.5).all()
