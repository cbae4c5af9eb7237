"""The registry as events: the ledger explains every difference, and only what is meant to lies after the index."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from feasibility.bounded import UPPER
from feasibility.cohort import codelists
from feasibility.cohort.windows import months_since
from feasibility.synthetic import SyntheticError
from feasibility.trials.aml import AML_COLUMNS, REMISSION
from feasibility.trials.aml_events import OUTCOMES, Problems, registry_events
from feasibility.trials.aml_events_labs import CBC, CD3, LIVER, TESTS
from feasibility.trials.aml_events_native import LAYOUT
from feasibility.trials.aml_registry import synthetic_registry

N = 6000


@pytest.fixture(scope="module")
def registry():
    return synthetic_registry(N, seed=7)


@pytest.fixture(scope="module")
def events(registry):
    return registry_events(registry)


@pytest.fixture(scope="module")
def clean(registry):
    return registry_events(registry, Problems.none())


def before(events, name, date="date"):
    table = events.tables[name]
    return table[~(table[date].to_numpy().astype("M8[D]") > events.registry.index_date)]


def latest(events, name, column, date="date"):
    """Per patient the value of the latest row on or before the index date."""
    table = before(events, name, date).sort_values([date], kind="stable")
    return table.groupby("row")[column].last()


def age(events, dates):
    return (events.registry.index_date - dates.to_numpy().astype("M8[D]")).astype(int)


def truth(events, column):
    return events.registry.truth[column].reset_index(drop=True)


def expected(events, column):
    return events.expected()[column].reset_index(drop=True)


def dates_of(table):
    return [c for c in table if table[c].dtype.kind == "M"]


def test_ledger_has_one_row_a_cell_and_known_outcomes(events):
    ledger = events.ledger
    assert list(ledger) == ["patient_id", "row", "column", "kind", "outcome", "value", "upper", "reason"]
    assert not ledger.duplicated(["row", "column"]).any()
    assert set(ledger["outcome"]) <= set(OUTCOMES)
    assert set(ledger["column"]) <= set(AML_COLUMNS)
    ids = events.registry.truth.index.get_level_values(0)
    assert (ids[ledger["row"].to_numpy(int)] == ledger["patient_id"]).all()


def test_expected_values_are_the_truth_or_explained(events):
    """Where the expected cell is known and the ledger names no other value, it is the truth's."""
    frame, whole = events.expected(), events.registry.truth
    for column in AML_COLUMNS:
        got, want = frame[column].reset_index(drop=True), whole[column].reset_index(drop=True)
        noted = events.ledger[(events.ledger["column"] == column) & events.ledger["outcome"].isin(["value", "bounds"])]
        bounded = frame[column + UPPER].reset_index(drop=True) if column + UPPER in frame else got
        same = got.notna() & want.notna() & ~got.index.isin(noted["row"])
        if column + UPPER in frame:
            assert ((got <= want) & (want <= bounded))[same].all(), column
        else:
            assert (got == want)[same].all(), column
        bounds = noted[noted["outcome"] == "bounds"].set_index("row")
        value = want[bounds.index].to_numpy(float, na_value=np.nan)
        assert ((bounds["value"] <= value) & (value <= bounds["upper"])).all(), column


def test_nothing_lies_after_the_index_date_but_the_injected_results(events, clean):
    index = events.registry.index_date
    for one in (events, clean):
        for name, table in one.tables.items():
            for date in dates_of(table):
                if (name, date) == ("medications", "stop"):  # a plan, not an event
                    continue
                after = table[date].to_numpy().astype("M8[D]") > index
                if name == "labs" and one is events:
                    assert (after == (table["date"].to_numpy().astype("M8[D]") > index)).all()
                else:
                    assert not after.any(), (name, date)
    late = events.tables["labs"]["date"].to_numpy().astype("M8[D]") > index
    healthy = events.tables["labs"][late].drop_duplicates(["row", "test"])
    per_patient = healthy.groupby("row")["test"].agg(set)
    n = sum((CBC[0] in t) + (CD3[0] in t) + (LIVER[0] in t) + ("hbsag" in t) for t in per_patient)
    assert n == events.counts["post_index"]


def test_clean_events_give_the_truth_of_latest_results(clean):
    for test in (*CBC, *CD3, "creatinine"):
        column = TESTS[test].column
        table = before(clean, "labs")
        table = table[(table["test"] == test) & (age(clean, table["date"]) <= 90)].sort_values("date", kind="stable")
        got = table.groupby("row").agg(value=("value_num", "last"), date=("date", "last"))
        want = truth(clean, column)
        seen = clean.registry.unfilled()[column].notna().to_numpy()
        assert np.array_equal(np.flatnonzero(seen), got.index)
        assert np.array_equal(got["value"], want[got.index].to_numpy(float))
        assert np.array_equal(age(clean, got["date"]), truth(clean, f"days_since_{column}")[got.index].to_numpy(float))


def test_ratios_come_from_the_row_and_its_own_limit(clean):
    for test in LIVER:
        table = before(clean, "labs")
        table = table[(table["test"] == test) & table["ref_high"].notna()].sort_values("date").groupby("row").last()
        seen = clean.registry.unfilled()[TESTS[test].column].notna().to_numpy()
        assert np.array_equal(np.flatnonzero(seen), table.index)
        ratio = table["value_num"] / table["ref_high"]
        assert np.array_equal(ratio, truth(clean, TESTS[test].column)[table.index].to_numpy(float))


def test_units_convert_back_to_the_truth(events):
    table = before(events, "labs").drop_duplicates(["row", "test", "date"])
    for test, unit, factor in (("hemoglobin", "g/dL", 10), ("creatinine", "mg/dL", 88.42), ("cd3", "cells/uL", 0.001)):
        rows = table[(table["test"] == test) & (table["unit"] == unit)]
        want = truth(events, TESTS[test].column)[rows["row"]].to_numpy(float)
        assert len(rows) > 50
        assert np.allclose(rows["value_num"] * factor, want, rtol=1e-10, atol=0)


def test_counts_agree_with_the_tables_and_the_ledger(events):
    table, ledger = before(events, "labs").drop_duplicates(["row", "test", "date"]), events.ledger

    def noted(kind, column=None):
        rows = ledger[(ledger["kind"] == kind) & ledger["outcome"].isin(["unknown", "bounds"])]
        return len(rows if column is None else rows[rows["column"] == column])

    assert (table["unit"] == "g/dL").sum() == events.counts["hemoglobin_g_dl"]
    assert (table["unit"] == "mg/dL").sum() == events.counts["creatinine_mg_dl"]
    assert (
        noted("cd3_wrong_label", "cd3_10e9_l")
        + sum(
            1
            for row in set(ledger[(ledger["column"] == "cd3_10e9_l") & (ledger["kind"] == "stale")]["row"])
            & set(ledger[ledger["kind"] == "cd3_wrong_label"]["row"])
        )
        == events.counts["cd3_wrong_label"]
    )
    assert noted("typos") == events.counts["typos"]
    assert noted("month_dates") == events.counts["month_dates"]
    stale = [noted("stale", c) for c in ("hemoglobin_g_l", "cd3_10e9_l", "ast_x_uln")]
    assert sum(stale) == events.counts["stale"]
    twice = events.tables["labs"].duplicated().sum() + events.tables["diagnoses"].duplicated().sum()
    assert twice == events.counts["duplicates"]


def test_shares_are_those_asked_for(events):
    n = (before(events, "labs")["test"] == "hemoglobin").sum()
    assert abs(events.counts["stale"] / (N * (0.98 + 0.55 + 0.95)) - 0.10) < 0.01
    assert abs(events.counts["hemoglobin_g_dl"] / (0.9 * 0.98 * N) - 0.05) < 0.01
    assert n > N


def test_unusable_results_are_out_of_range_and_alone(events):
    for kind in ("typos", "cd3_wrong_label"):
        rows = events.ledger[(events.ledger["kind"] == kind) & (events.ledger["outcome"] == "unknown")]
        for column, some in rows.groupby("column"):
            test = next(k for k, t in TESTS.items() if t.column == column)
            table = before(events, "labs")
            table = table[(table["test"] == test) & table["row"].isin(some["row"])]
            table = table[age(events, table["date"]) <= 90]
            assert (table["value_num"] > AML_COLUMNS[column].hard[1]).all()
            assert set(table["row"]) == set(some["row"])


def test_stale_panels_have_nothing_in_the_window(events):
    rows = events.ledger[(events.ledger["kind"] == "stale") & (events.ledger["outcome"] == "unknown")]
    for column, some in rows.groupby("column"):
        test = next(k for k, t in TESTS.items() if t.column == column)
        table = before(events, "labs")
        table = table[(table["test"] == test) & table["row"].isin(some["row"])]
        assert (age(events, table["date"]) > 90).all()
        assert set(table["row"]) == set(some["row"])


@pytest.mark.parametrize(
    ("hole", "test"),
    [("cbc", "hemoglobin"), ("cd3", "cd3"), ("chemistry", "ast"), ("hav_igm", "hav_igm"), ("pregnancy_test", "hcg"),
     ("serology", "hbsag"), ("hbv_dna_hbsag", "hbv_dna"), ("hcv_rna", "hcv_rna")],
)  # fmt: skip
def test_a_hole_has_no_result_in_its_window(events, hole, test):
    hidden = np.flatnonzero(events.registry.holes[hole])
    table = before(events, "labs")
    assert len(hidden)
    assert not table[table["test"] == test]["row"].isin(hidden).any()


@pytest.mark.parametrize(("hole", "name"), [("courses", "courses"), ("allergy", "allergies")])
def test_a_hole_has_no_row(events, hole, name):
    assert not events.tables[name]["row"].isin(np.flatnonzero(events.registry.holes[hole])).any()


def test_a_hidden_day_is_blank_and_a_rough_one_a_month(events):
    holes, table = events.registry.holes, events.tables["responses"]
    relapse = table[(table["response_eln"] == "PD") & table["bm_blast_pct"].notna()]
    hidden = relapse["row"].isin(np.flatnonzero(holes["relapse_date"]))
    assert (relapse["assess_date"].isna() == hidden).all()
    rough = relapse["row"].isin(np.flatnonzero(holes["relapse_month_only"]))
    assert (relapse["month_only"] == rough).all()


def test_never_has_no_event(clean):
    diagnoses = before(clean, "diagnoses", "dx_date")
    for column, name in (("months_since_mi", "acute_mi"), ("months_since_unexplained_syncope", "syncope"),
                         ("months_since_ventricular_arrhythmia", "ventricular_arrhythmia")):  # fmt: skip
        codes = pd.Series({c: codelists.contains(name, "icd10", c) for c in diagnoses["code"].unique()})
        rows = diagnoses[diagnoses["code"].map(codes)].groupby("row")["dx_date"].last()
        want = truth(clean, column).to_numpy(float)
        assert np.array_equal(np.flatnonzero(np.isfinite(want)), rows.index)
        months = months_since(rows.to_numpy(), clean.registry.index_date)
        assert np.array_equal(months, want[rows.index])
    people = clean.tables["patients"]
    assert (age(clean, people["last_visit"]) <= 300).all()
    since = truth(clean, "days_since_rbc_transfusion").to_numpy(float)
    blood = clean.tables["transfusions"]
    blood = blood[[codelists.contains("rbc_transfusion", "local", p) for p in blood["product"]]]
    assert np.array_equal(np.flatnonzero(np.isfinite(since)), blood["row"])


def test_courses_and_responses_recount_the_history(clean):
    courses, holes = clean.tables["courses"], clean.registry.holes
    induction = courses[courses["phase"] == "induction"]
    known = ~holes["courses"].to_numpy()
    for column, rows in (
        ("n_prior_courses", courses),
        ("n_consolidation_courses", courses[courses["phase"] == "consolidation"]),
        ("n_induction_courses_any", induction),
        ("n_induction_courses", induction[induction["intensity"] != "low"]),
        ("n_induction_courses_intensive", induction[induction["intensity"] == "intensive"]),
    ):  # fmt: skip
        counted = rows.groupby("row").size().reindex(range(N), fill_value=0)
        assert (counted == truth(clean, column))[known].all(), column
    assert (courses["start"] <= courses["stop"]).all()
    numbered = courses.sort_values(["row", "start"], kind="stable")
    assert (numbered.groupby("row").cumcount() + 1 == numbered["course_no"]).all()
    responses = clean.tables["responses"]
    relapses = responses[(responses["response_eln"] == "PD") & responses["bm_blast_pct"].notna()]
    counted = relapses.groupby("row").size().reindex(range(N), fill_value=0)
    assert (counted == truth(clean, "n_relapses")).all()
    remitted = responses[responses["response_eln"].isin(REMISSION)]["row"]
    assert np.array_equal(np.unique(remitted), np.flatnonzero(truth(clean, "cr_ever")))
    dated = remitted.index.size and responses[responses["assess_date"].notna()]
    assert len(dated) < len(responses)


def test_steroid_orders_average_to_the_dose(clean):
    factor = codelists.steroid_equivalents().drop_duplicates("drug").set_index("drug")["factor"]
    orders = clean.tables["medications"]
    orders = orders[orders["generic"].isin(factor.index) & orders["dose"].notna()].copy()
    times = orders["freq"].map({"qd": 1.0, "bid": 2.0, "qod": 0.5})
    orders["per_day"] = orders["dose"] * times * orders["generic"].map(factor).astype(float)
    index = np.datetime64(clean.registry.index_date, "D")
    visible = clean.registry.unfilled()["steroid_mg_day_mean"].notna().to_numpy()
    users = 0
    for row, some in orders.groupby("row"):
        start, stop = (some[c].to_numpy().astype("M8[D]") for c in ("start", "stop"))
        days = {}
        for first, last, dose in zip(start, np.minimum(stop, index), some["per_day"], strict=True):
            for day in range(int((index - last).astype(int)), int((index - first).astype(int)) + 1):
                assert day not in days
                days[day] = dose
        recent = [dose for day, dose in days.items() if day <= 28]
        assert visible[row]
        users += 1
        want = {c: truth(clean, f"steroid_mg_day_{c}")[row] for c in ("mean", "current", "max", "max_ever")}
        assert np.isclose(np.mean(recent) if recent else 0, want["mean"], rtol=1e-12)
        assert np.isclose(days.get(0, 0), want["current"])
        assert np.isclose(max(recent, default=0), want["max"])
        assert np.isclose(max(days.values()), want["max_ever"])
        run = 0
        while run in days:
            run += 1
        assert run == truth(clean, "steroid_days")[row]
    assert users > 50


def test_codes_used_are_in_the_code_lists(events):
    for name, test in TESTS.items():
        rows = events.tables["labs"][events.tables["labs"]["test"] == name]
        for system, column in (("loinc", "loinc"), ("local", "local_name"), ("local", "local_code")):
            for code in set(rows[column]) - {""}:
                assert codelists.contains(test.codelist, system, code), (name, code)
    drugs = events.tables["medications"].drop_duplicates(["atc", "generic"])
    for _, row in drugs[drugs["generic"] != "budesonide"].iterrows():
        hits = [n for n in ("steroids", "immunosuppressants") if codelists.contains(n, "atc", row["atc"])]
        assert len(hits) == 1
        assert codelists.contains(hits[0], "rxnorm", row["rxnorm"])
        assert codelists.contains(hits[0], "local", row["generic"])
    for code in events.tables["procedures"]["code"].unique():
        assert codelists.contains("cabg", "icd9proc", code) or codelists.contains("hsct", "icd9proc", code)
    severe = events.tables["allergies"].query("severity == 'severe'")["agent"].unique()
    assert all(codelists.contains("planned_drug_classes", "local", agent) for agent in severe)


def test_same_seed_same_events_and_prefix(registry, events):
    again = registry_events(synthetic_registry(N, seed=7))
    fewer = registry_events(synthetic_registry(500, seed=7))
    for name, table in events.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])
        start = table[table["row"] < 500].reset_index(drop=True)
        pd.testing.assert_frame_equal(start, fewer.tables[name], check_dtype=False)
    some = events.ledger[events.ledger["row"] < 500].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, fewer.ledger, check_dtype=False)


def test_every_table_of_the_layout_is_made_in_patient_order(events):
    assert set(events.tables) == set(LAYOUT)
    for table in events.tables.values():
        assert table["row"].is_monotonic_increasing


def test_problems_are_switches():
    registry = synthetic_registry(1500, seed=2)
    for one in fields(Problems):
        events = registry_events(
            registry, Problems(**dict.fromkeys((f.name for f in fields(Problems)), 0.0) | {one.name: 1.0})
        )
        kind = [k for k, n in events.counts.items() if n]
        assert set(kind) <= {one.name}, one.name
    assert not any(registry_events(registry, Problems.none()).counts.values())
    with pytest.raises(SyntheticError, match="'stale' is a share between 0 and 1; got 3"):
        Problems(stale=3)


def test_complete_registry_and_decoys_can_be_written():
    registry = synthetic_registry(800, seed=4, parameters={"disease.decoys": 0.3}, holes=False)
    events = registry_events(registry, Problems.none())
    assert (events.tables["courses"]["start"] <= events.tables["courses"]["stop"]).all()
    index = np.datetime64(registry.index_date, "D")
    assert (events.tables["responses"]["assess_date"].to_numpy().astype("M8[D]") <= index).all()
