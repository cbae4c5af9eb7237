"""From a synthetic hospital's event tables to arrivals, spells and bounds, against a loop over days and the truth.

Patients come in groups: each group is worked up in one month, so that newly eligible patients appear over half a year.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.enrollment.arrival_bounds import arrivals_bounds, arrivals_imputed
from feasibility.enrollment.arrivals import arrivals
from feasibility.enrollment.dated import screen_dates
from feasibility.enrollment.exits import cumulative_incidence, exits, half_life, observation
from feasibility.enrollment.periods import lab_lag
from feasibility.enrollment.snapshots import snapshot_bias
from feasibility.enrollment.spells import spells
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events import Problems
from feasibility.trials.aml_events_native import LAYOUT, write_native
from feasibility.trials.aml_registry import synthetic_registry

from ..properties.oracle_spells import oracle_arrivals, oracle_spells

GROUPS = ("2025-01-20", "2025-03-24", "2025-04-14", "2025-06-16")
EACH = 45
EVENTS = fz.at_changes("2024-12-01", "2025-06-30", observed_months=12)
MONTHLY = fz.monthly("2024-12-01", "2025-06-30")
DEATHS = {"0-P0000001": "2025-03-10", "2-P0000004": "2025-04-30"}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """(extract, {patient: day and status in truth}); two deaths and three patients of another trial are added."""
    folder = tmp_path_factory.mktemp("hospital")
    truth, parts = {}, {name: [] for name in LAYOUT}
    protocol = fz.load_trial("NCT06642025")
    for k, day in enumerate(GROUPS):
        registry = synthetic_registry(EACH, seed=40 + k, index_date=day, holes=k % 2 == 0)
        write_native(registry, folder / str(k), Problems.none())
        statuses = fz.screen(registry.truth.droplevel("index_date"), protocol).status
        truth |= {f"{k}-{p}": (pd.Timestamp(day), s) for p, s in statuses.items()}
        for name in LAYOUT:
            table = pd.read_csv(folder / str(k) / f"{name}.csv", dtype=str, keep_default_na=False)
            parts[name].append(table.assign(pid=f"{k}-" + table["pid"]))
    for name, tables in parts.items():
        table = pd.concat(tables)
        if name == "patients":
            table["death_date"] = table["pid"].map(DEATHS).fillna("")
        table.to_csv(folder / f"{name}.csv", index=False)
    return fz.read_extract(folder), truth


@pytest.fixture(scope="module")
def screened(hospital):
    protocol = fz.load_trial("NCT06642025")
    return {
        rule.policy: screen_dates(fz.build_cohort(hospital[0], rule, AML_COLUMNS), protocol, rule)
        for rule in (EVENTS, MONTHLY)
    }


@pytest.fixture(scope="module")
def gone(hospital):
    other = pd.DataFrame({"patient_id": ["1-P0000002"], "date": ["2025-03-01"], "how": ["another trial"]})
    return exits(hospital[0], more=other)


@pytest.fixture(scope="module")
def watched(hospital):
    return observation(hospital[0])


def test_exits_are_those_of_the_tables(hospital, gone):
    assert dict(gone[gone.how == "death"][["patient_id", "date"]].values) == {
        p: pd.Timestamp(d) for p, d in DEATHS.items()
    }
    table = hospital[0].tables["transplants"]
    assert (gone.how == "transplant").sum() == table.select("pid", "date").distinct().count().to_pyarrow().as_py()
    assert (gone.how == "another trial").sum() == 1
    assert "transplant" not in set(exits(hospital[0], transplants=False).how)


def test_observation_is_the_rule_of_the_index_dates(hospital, watched):
    """The dates kept by observed_months=12 are those within the periods, and no others."""
    every = fz.at_changes("2024-12-01", "2025-06-30").pairs(hospital[0])
    kept = EVENTS.pairs(hospital[0])
    by_patient = {p: g[["start", "end"]].to_numpy("datetime64[D]") for p, g in watched.groupby("patient_id")}
    inside = [
        (p, d) for p, d in zip(every[0], every[1], strict=True)
        if p in by_patient and ((by_patient[p][:, 0] <= d) & (d <= by_patient[p][:, 1])).any()
    ]  # fmt: skip
    assert inside == list(zip(kept[0], kept[1], strict=True))
    assert 0 < len(inside) < len(every[0])


def test_spells_and_arrivals_are_those_of_a_walk_through_the_days(screened, gone, watched):
    dated = screened["at_changes"]
    rows = [(p, d.date(), s) for (p, d), s in dated.status.items()]
    out = [(p, d.date(), h) for p, d, h in gone.itertuples(index=False)]
    seen = [(p, a.date(), b.date()) for p, a, b in watched.itertuples(index=False)]
    found = spells(dated, exits=gone, observation=watched)
    counted = arrivals(dated, data_start="2023-01-01", washout_days=20, exits=gone, observation=watched)
    opening = dt.date.fromisoformat(counted.stated["opening"])
    assert counted.stated["lookback_days"] == 372
    for level in ("confirmed", "possible"):
        expected = oracle_spells(rows, dt.date(2025, 6, 30), level, out, seen)
        own = found[found.level == level]
        got = zip(own.patient_id, own.start.dt.date, own.end.dt.date, own.ended, strict=True)
        assert sorted(got) == sorted(expected)
        stock, flow = oracle_arrivals(expected, opening, dt.date(2025, 6, 30), 20)
        assert counted.totals[[f"stock_{level}", f"n_{level}"]].values.tolist() == [[stock, len(flow)]]
    assert (found.level == "confirmed").sum() > 3
    assert {"lost", "censored", "transplant"} <= set(found.ended)


def test_the_truth_lies_between_confirmed_and_possible(hospital, screened, gone, watched):
    found = spells(screened["at_changes"], observation=watched)
    n_eligible = 0
    for patient, (day, status) in hospital[1].items():
        if patient in DEATHS:
            continue
        on = found[(found.patient_id == patient) & (found.start <= day) & (day < found.end)]
        n_eligible += status == "eligible"
        assert status == "eligible" or "confirmed" not in set(on.level), (patient, day)
        assert status != "eligible" or "possible" in set(on.level), (patient, day)
    assert n_eligible > 5


def test_bounds_hold_for_imputations(screened, gone, watched):
    dated = screened["at_changes"]
    more = {"data_start": "2023-01-01", "exits": gone, "observation": watched}
    rng = np.random.default_rng(2)
    # One draw a patient, carried over all rows, as an imputation of records would.
    drawn = (rng.random((39, len(dated.people))) < 0.3)[:, dated.person]
    matrix = dated.mask("confirmed") | ((dated.code == 1) & drawn)
    counts = arrivals_imputed(dated, matrix, **more).drop(columns=["stock", "pool"]).to_numpy()
    bounds = arrivals_bounds(dated, **more)
    assert (bounds.n_at_least.to_numpy() <= counts).all()
    assert (counts <= bounds.n_at_most.to_numpy()).all()
    assert counts.std(axis=0).max() > 0


def test_monthly_dates_miss_spells_and_agree_where_they_look(screened, gone, watched):
    found = snapshot_bias(screened["at_changes"], screened["monthly"], exits=gone, observation=watched)
    assert (found.n_seen + found.n_missed == found.n_spells).all()
    assert found.loc["confirmed", "n_missed"] > 0
    assert found.loc["confirmed", "share_missed"] > found.loc["possible", "share_missed"] > 0


def test_how_spells_end_and_how_fast(screened, gone, watched):
    found = spells(screened["at_changes"], exits=gone, observation=watched)
    shares = cumulative_incidence(found, "possible")
    ways = shares.attrs["ways"]
    assert (shares[ways].sum(axis=1) + shares.still_eligible).to_numpy() == pytest.approx(np.ones(len(shares)))
    assert (shares[ways].diff().iloc[1:] >= 0).all(axis=None)
    rate = half_life(found, "possible")
    assert rate.low < rate.rate < rate.high
    assert sum(rate.by_way.values()) == pytest.approx(rate.rate)


def test_arrivals_by_site_add_up(screened, watched):
    found = arrivals(
        screened["at_changes"], data_start="2023-01-01", stratum="site_id", observation=watched, by="quarter"
    )
    assert set(found.totals.index) >= {"main campus", "east campus"}
    assert found.by_stratum.groupby("period").n_possible.sum().tolist() == found.table.n_possible.tolist()


def test_the_last_month_of_results(hospital):
    full = lab_lag(hospital[0], "2025-06-30")
    labs = hospital[0].tables["labs"]
    assert full["n_last"] == labs.filter(labs.date >= dt.date(2025, 6, 1), labs.date <= dt.date(2025, 6, 30)).count(
    ).to_pyarrow().as_py()  # fmt: skip
    assert full["ratio"] == full["n_last"] / full["median_before"]
    assert lab_lag(hospital[0], "2025-12-31")["lags"]
