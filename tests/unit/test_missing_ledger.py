"""The missing-data ledger, completeness, tested against untested, worst and best case: by hand and by other methods."""

import numpy as np
import pandas as pd
import pytest
from helpers import frame
from scipy import stats

import feasibility as fz
from feasibility.analysis.why_unknown import why_unknown
from feasibility.cohort.schema import CohortTable, Column
from feasibility.missing import tested as tested_module
from feasibility.missing.completeness import completeness
from feasibility.missing.ledger import missing_ledger
from feasibility.missing.worst_case import worst_best_case
from feasibility.protocol.loading import trial_module

compare = tested_module.tested_versus_untested


@fz.inclusion("I1", "platelets of the last 14 days")
def platelets(plt, days_since_plt, *, min_plt: float = 30, max_days: float = 14):
    """Recent and above."""
    return fz.kleene.only_if(days_since_plt <= max_days, plt > min_plt)


@fz.exclusion("E1", "either")
def either(a, b):
    """Exactly one."""
    return (a & ~b) | (~a & b)


@pytest.fixture(scope="module")
def registry():
    cohort = trial_module("NCT06642025").synthetic(300, seed=3).observed
    return fz.screen(cohort, fz.load_trial("NCT06642025")), cohort


# --- ledger ----------------------------------------------------------------------------------------------------


def test_each_unknown_patient_counts_once_by_cause():
    cohort = frame(
        # passes, fails, missing, too old, no date, between bounds
        plt=("Float64", 50, 20, None, 50, 50, 20),
        days_since_plt=("Float64", 1, 1, None, 60, None, 1),
        a=("boolean", True, True, None, None, None, True), b=("boolean", True, False, None, True, None, True),
    )  # fmt: skip
    cohort.insert(1, "plt__upper", pd.array([50, 20, None, 50, 50, 90], dtype="Float64"))
    ledger = missing_ledger(fz.screen(cohort, fz.Protocol("d", "D", [platelets, either])), cohort)
    row = ledger.criteria.loc["I1"]
    assert row[["n_passing", "n_failing", "n_unknown", "n_blocking"]].tolist() == [1, 1, 4, 4]
    assert row[["not recorded", "too old", "without a date", "only bounds known"]].tolist() == [1, 1, 1, 1]
    assert ledger.criteria.loc["E1", ["not recorded", "several values together"]].tolist() == [1, 2]
    columns = ledger.columns
    assert columns.loc["plt", ["known", "bounded", "n_unknown", "missing"]].tolist() == [5, 1, 1, 1]
    assert columns.loc["days_since_plt", ["known", "n_unknown"]].tolist() == [4, 2]
    assert columns.loc["a", "criteria"] == "E1"
    assert set(ledger.causes["column"]) == {"plt", "a", ""}


def test_causes_are_those_of_why_unknown_and_three_of_each_patient_count_three_times(registry):
    screening, cohort = registry
    once = missing_ledger(screening, cohort)
    other = why_unknown(screening, cohort)
    other = other[other.level == "criterion"].groupby(["id", "column"]).n.sum()
    mine = once.causes.groupby(["criterion", "column"]).n.sum()
    assert mine.to_dict() == other.to_dict()
    thrice = pd.concat([cohort] * 3)
    thrice.index = pd.Index([f"Q{i}" for i in range(len(thrice))], name="patient_id")
    triple = missing_ledger(fz.screen(thrice, screening.protocol), thrice)
    numbers = once.criteria.columns[2:]
    assert (triple.criteria[numbers] == 3 * once.criteria[numbers]).all().all()
    impact = fz.impact(screening)
    assert (once.criteria["n_unknown"] == impact["n_unknown"]).all()
    assert (once.criteria["n_failing"] == impact["n_failing"]).all()


COLUMNS = CohortTable([
    Column(name="hb", dtype="Float64", doc="Haemoglobin.", unit="g/L", hard=(0, 300)),
    Column(name="hsct", dtype="boolean", doc="Transplant."),
    Column(name="gvhd", dtype="boolean", doc="GvHD.", asked_if=("hsct", True)),
])  # fmt: skip


@fz.inclusion("I1", "haemoglobin above 60")
def haemoglobin(hb, *, min_hb: float = 60):
    """Latest."""
    return hb > min_hb


@fz.exclusion("E1", "transplant and GvHD")
def transplant(hsct, gvhd):
    """Both."""
    return hsct & gvhd


@fz.exclusion("E2", "severe")
def severe_infection(severe):
    """A column the file lacks."""
    return severe


def test_reasons_kept_when_the_table_was_read(tmp_path):
    file = tmp_path / "cohort.csv"
    file.write_text("patient_id,hb,hsct,gvhd\n1,100,true,false\n2,,false,\n3,9000,true,\n4,50,,\n", encoding="utf-8")
    cohort = fz.read_cohort(file, COLUMNS)
    protocol = fz.Protocol("d", "D", [haemoglobin, transplant, severe_infection], columns=COLUMNS)
    screening = fz.screen(cohort, protocol, missing_columns="unknown")
    columns = missing_ledger(screening, cohort).columns
    assert columns.loc["hb", ["known", "n_unknown", "missing", "out of range"]].tolist() == [2, 2, 1, 1]
    # Of the second patient GvHD is not asked; of the third and fourth it is unknown.
    assert columns.loc["gvhd", ["known", "not applicable", "n_unknown", "missing"]].tolist() == [1, 1, 2, 2]
    assert columns.loc["severe", ["known", "n_unknown", "not in file"]].tolist() == [0, 4, 4]
    criteria = missing_ledger(screening, cohort).criteria
    assert criteria.loc["E2", "not in the file"] == 4
    # Reasons kept of more patients say nothing about these two.
    some = cohort.iloc[1:3]
    part = missing_ledger(fz.screen(some, protocol, missing_columns="unknown"), some).columns
    assert part.loc["hb", ["n_unknown", "reason not kept"]].tolist() == [2, 2]


def test_reasons_of_a_built_cohort_are_kept():
    cohort = frame(hb=("Float64", 100, None, None, None), hsct=("boolean", *[False] * 4), gvhd=("boolean", *[None] * 4))
    reasons = {"stale": 1, "unit_unknown": 1, "date_imprecise": 1}
    cohort.attrs["feasibility"] = {"unknown": {"hb": reasons}, "n_rows": 4}
    screening = fz.screen(cohort, fz.Protocol("d", "D", [haemoglobin, transplant], columns=COLUMNS))
    columns = missing_ledger(screening, cohort).columns
    assert columns.loc["hb", ["stale", "unit unknown", "date imprecise"]].tolist() == [1, 1, 1]
    assert "conflicting" not in columns


# --- completeness ------------------------------------------------------------------------------------------------


def test_completeness_by_site_and_month_counts_by_hand():
    cohort = frame(
        site_id=("string", "A", "A", "B", "B", None), hb=("Float64", 1, None, None, None, 2),
        hsct=("boolean", True, True, False, None, False), gvhd=("boolean", None, True, None, None, None),
    )  # fmt: skip
    dates = pd.to_datetime(["2024-01-31", "2024-02-29", "2024-04-30", "2024-04-30", "2024-04-30"])
    cohort.index = pd.MultiIndex.from_arrays([cohort.index, dates], names=["patient_id", "index_date"])
    table = completeness(cohort, COLUMNS).set_index(["column", "site_id"])
    assert table.loc[("gvhd", "A")].tolist() == [2, 0, 1, 1, 0.5]
    assert table.loc[("gvhd", "B"), ["n", "n_not_applicable", "n_known", "n_unknown"]].tolist() == [2, 1, 0, 1]
    assert np.isnan(table.loc[("gvhd", "unknown"), "share"])
    quarter = completeness(cohort, ["hb"], by=(), time="quarter").set_index("period")
    assert quarter["n_known"].to_dict() == {"2024Q1": 1, "2024Q2": 1}
    month = completeness(cohort, "hb", by=(), time="month")
    assert month["period"].tolist() == ["2024-01", "2024-02", "2024-04"]
    both = completeness(cohort, ["hb"], time="year")
    assert both[["site_id", "period", "n"]].to_numpy().tolist() == [["A", "2024", 2], ["B", "2024", 2],
                                                                   ["unknown", "2024", 1]]  # fmt: skip
    named = completeness(cohort, ["hb"], by=(), time="site_id")
    assert named["n"].tolist() == [2, 2, 1]
    whole = completeness(cohort, ["hb"], by=())
    assert whole[["n", "n_known", "share"]].to_numpy().tolist() == [[5, 2, 0.4]]


def test_completeness_agrees_with_the_quality_report(registry):
    _, cohort = registry
    report = fz.quality_report(cohort)
    table = completeness(cohort, by=()).set_index("column")
    for name in ("ecog", "gvhd_active", "nyha_class", "hiv"):
        row = report.columns.loc[name]
        assert table.loc[name, "n_known"] == row["n_known"]
        assert table.loc[name, "n_not_applicable"] == row.get("not_applicable", 0)


# --- tested against untested -------------------------------------------------------------------------------------


def test_shares_have_newcombes_published_interval():
    # Newcombe 1998, table II (a): 56/70 against 48/80, difference 0.2, interval 0.0524 to 0.3339.
    known = [1.0] * 70 + [None] * 80
    sick = [True] * 56 + [False] * 14 + [True] * 48 + [False] * 32
    cohort = frame(lab=("Float64", *known), sick=("boolean", *sick))
    row = compare(cohort, "lab").loc[("sick", "yes")]
    assert row[["n_tested", "n_untested"]].tolist() == [70, 80]
    assert row[["difference", "low", "high"]].astype(float).round(4).tolist() == [0.2, 0.0524, 0.3339]
    assert row["smd"] == pytest.approx(0.2 / np.sqrt((0.8 * 0.2 + 0.6 * 0.4) / 2))
    assert row["says"] == "differs"


def test_means_have_welchs_interval_and_never_is_its_own_part():
    a, b = [1.0, 2.0, 4.0, np.inf], [3.0, 7.0, 8.0, 10.0, None]
    cohort = frame(lab=("Float64", *[1.0] * 4, *[None] * 5), months=("Float64", *a, *b))
    table = compare(cohort, "lab")
    row = table.loc[("months", "mean")]
    x, y = np.array(a[:3]), np.array(b[:4])
    vx, vy = x.var(ddof=1) / 3, y.var(ddof=1) / 4
    df = (vx + vy) ** 2 / (vx**2 / 2 + vy**2 / 3)
    half = stats.t.ppf(0.975, df) * np.sqrt(vx + vy)
    difference = x.mean() - y.mean()
    assert row[["low", "high"]].astype(float).tolist() == pytest.approx([difference - half, difference + half])
    assert row[["n_tested", "n_untested", "unknown_tested", "unknown_untested"]].tolist() == [3, 4, 1, 1]
    assert table.loc[("months", "never"), ["tested", "untested"]].tolist() == [0.25, 0.0]


def test_small_groups_cannot_be_told_and_large_equal_ones_are_alike():
    few = frame(lab=("Float64", 1, 1, None), age_years=("Int64", 30, 31, 60))
    row = compare(few, "lab").loc[("age_years", "mean")]
    assert row["says"] == "cannot be told"
    assert np.isnan(row["low"])
    ages = list(range(20, 80)) * 100
    same = frame(lab=("Float64", *([1.0] * 60 + [None] * 60) * 50), age_years=("Int64", *ages))
    assert compare(same, "lab").loc[("age_years", "mean"), "says"] == "alike"


def test_groups_leave_out_to_whom_it_does_not_apply_and_criteria_that_read_the_column():
    cohort = frame(
        hb=("Float64", 100, 50, None, 80), hsct=("boolean", True, True, True, False),
        gvhd=("boolean", False, True, None, None),
    )  # fmt: skip
    screening = fz.screen(cohort, fz.Protocol("d", "D", [haemoglobin, transplant], columns=COLUMNS))
    table = compare(cohort, "gvhd", screening)
    assert [table.attrs[k] for k in ("n_tested", "n_untested", "n_not_applicable")] == [2, 1, 1]
    assert [v for v, level in table.index if level == "fails"] == ["any other criterion", "I1 haemoglobin"]
    assert table.loc[("I1 haemoglobin", "fails"), ["n_tested", "n_untested", "tested"]].tolist() == [2, 0, 0.5]
    assert table.loc[("any other criterion", "fails"), ["n_tested", "n_untested", "untested"]].tolist() == [2, 1, 0.0]


def test_informative_testing_in_the_synthetic_registry_is_found():
    cohort = trial_module("NCT06642025").synthetic(4000, seed=8).observed.copy()
    rng = np.random.default_rng(4)
    sick = cohort["ecog"].fillna(1).to_numpy(dtype=float)
    hidden = rng.random(len(cohort)) < np.where(sick >= 2, 0.6, 0.2)
    cohort["lactating"] = cohort["lactating"].mask(pd.Series(hidden, index=cohort.index))
    table = compare(cohort, "lactating", variables=["ecog", "sex"])
    assert table.loc[("ecog", "mean"), "says"] == "differs"
    assert table.loc[("ecog", "mean"), "smd"] < -0.3
    assert abs(table.loc[("sex", "female"), "smd"]) < 0.1


# --- worst and best case -----------------------------------------------------------------------------------------


def test_worst_and_best_case_are_those_of_a_screening_with_the_answers_put_in(registry):
    screening, _ = registry
    table = worst_best_case(screening)
    passes = screening.passes
    fail = (~passes.fillna(True)).any(axis=1)
    for name in passes.columns:
        for answer, word in ((False, "fail"), (True, "pass")):
            put = passes.assign(**{name: passes[name].fillna(answer)})
            assert table.loc[name, f"possible_if_{word}"] == (~(~put.fillna(True)).any(axis=1)).sum()
            assert table.loc[name, f"confirmed_if_{word}"] == put.fillna(False).all(axis=1).sum()
    confirmed = passes.fillna(False).all(axis=1).sum()
    assert table.loc["all"].tolist()[2:] == [
        passes.isna().any(axis=1).sum(),
        confirmed,
        confirmed,
        *[(~fail).sum()] * 2,
    ]


def test_worst_case_of_clauses(toy_cohort, toy_protocol):
    screening = fz.screen(toy_cohort, toy_protocol)
    table = worst_best_case(screening, toy_cohort, level="clause")
    # Confirmed P0; possible P0, P3, P6, P7.
    assert table.loc["I1", ["possible_if_fail", "confirmed_if_pass"]].tolist() == [2, 2]
    assert table.loc["I2", ["possible_if_fail", "confirmed_if_pass"]].tolist() == [3, 1]
    assert table.loc["E1", ["possible_if_fail", "confirmed_if_pass"]].tolist() == [2, 2]
    assert table.loc["all", ["possible_if_fail", "confirmed_if_pass"]].tolist() == [1, 4]
