"""Newly eligible patients, spells and what ends them, on histories that can be read off by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import feasibility as fz
from feasibility.enrollment.arrival_bounds import arrivals_bounds, arrivals_imputed, site_counts
from feasibility.enrollment.arrivals import arrivals
from feasibility.enrollment.dated import dated_statuses, screen_dates
from feasibility.enrollment.exits import cumulative_incidence, enrolled_before_lost, half_life
from feasibility.enrollment.sites import Site
from feasibility.enrollment.snapshots import snapshot_bias, snapshot_missed_share
from feasibility.enrollment.spells import spells
from feasibility.enrollment.trend import steadiness

E, U, I = "eligible", "undetermined", "ineligible"  # noqa: E741
HISTORY = {
    "stock": [("2024-01-01", E), ("2024-02-20", I)],
    "new": [("2024-01-01", I), ("2024-02-10", E)],
    "back": [("2024-01-01", I), ("2024-02-01", E), ("2024-02-15", I), ("2024-05-01", E), ("2024-05-02", I)],
    "flicker": [("2024-01-01", I), ("2024-03-01", E), ("2024-03-05", I), ("2024-03-08", E), ("2024-03-31", I)],
    "unknown": [("2024-01-01", I), ("2024-04-01", U), ("2024-05-20", E), ("2024-06-01", I)],
    "dies": [("2024-01-01", I), ("2024-06-03", E)],
    "never": [("2024-01-01", I), ("2024-03-03", I)],
}
EXITS = pd.DataFrame({"patient_id": ["dies"], "date": ["2024-06-10"], "how": ["death"]})


def rows_of(history):
    rows = [(p, d, s) for p, steps in history.items() for d, s in steps]
    return pd.DataFrame(rows, columns=["patient_id", "index_date", "status"])


@pytest.fixture
def dated():
    table = rows_of(HISTORY).assign(site_id="north")
    table.loc[table.patient_id == "back", "site_id"] = "south"
    table.loc[table.patient_id == "never", "site_id"] = None
    return dated_statuses(table, start="2024-01-01", end="2024-06-30")


def test_spells_say_how_they_ended(dated):
    found = spells(dated, exits=EXITS)
    confirmed = found[found.level == "confirmed"].set_index(["patient_id", "number"])
    assert confirmed.ended.to_dict() == {
        ("back", 1): "lost", ("back", 2): "lost", ("dies", 1): "death", ("flicker", 1): "lost", ("flicker", 2): "lost",
        ("new", 1): "censored", ("stock", 1): "lost", ("unknown", 1): "lost",
    }  # fmt: skip
    assert confirmed.days.to_dict()[("dies", 1)] == 7
    assert confirmed.days.to_dict()[("new", 1)] == 142  # 10 February to 30 June, both included
    assert confirmed.in_progress.sum() == 1
    possible = found[(found.level == "possible") & (found.patient_id == "unknown")].iloc[0]
    assert (str(possible.start.date()), str(possible.end.date())) == ("2024-04-01", "2024-06-01")
    assert set(found.site_id) == {"north", "south"}


@pytest.mark.parametrize(
    ("exits", "days", "ended"),
    [
        ([("2024-02-10", "transplant")], 20, "lost"),  # on the first day: before it, in effect
        ([("2024-02-11", "transplant")], 1, "transplant"),
        ([("2024-03-01", "transplant")], 20, "transplant"),  # on the day of the loss: the way is known
        ([("2024-03-02", "transplant")], 20, "lost"),
        ([("2024-02-20", "transplant"), ("2024-02-20", "death")], 10, "death"),
        ([("2024-02-25", "another trial"), ("2024-02-20", "transplant")], 10, "transplant"),
    ],
)
def test_exits_on_the_edges_of_a_spell(exits, days, ended):
    history = {"a": [("2024-01-01", I), ("2024-02-10", E), ("2024-03-01", I)]}
    if exits[-1][1] == "death":
        history["a"].pop()
    table = pd.DataFrame([("a", d, h) for d, h in exits], columns=["patient_id", "date", "how"])
    found = spells(dated_statuses(rows_of(history), start="2024-01-01", end="2024-06-30"), exits=table)
    assert found.loc[found.level == "confirmed", ["days", "ended"]].values.tolist() == [[days, ended]]


def test_an_exit_after_the_last_day_is_not_known_yet():
    rows = rows_of({"a": [("2024-01-01", I), ("2024-02-10", E)]})
    late = pd.DataFrame({"patient_id": ["a"], "date": ["2024-07-01"], "how": ["death"]})
    found = spells(dated_statuses(rows, end="2024-06-30"), exits=late)
    assert found.ended.tolist() == ["censored", "censored"]


def test_observation_that_touches_is_one_and_that_lapses_censors():
    rows = rows_of({"a": [("2024-01-01", I), ("2024-02-10", E), ("2024-04-20", E)]})
    dated = dated_statuses(rows, end="2024-06-30")

    def confirmed(*periods):
        table = pd.DataFrame([("a", *p) for p in periods], columns=["patient_id", "start", "end"])
        found = spells(dated, observation=table)
        own = found[found.level == "confirmed"]
        return list(zip(own.start.dt.strftime("%m-%d"), own.end.dt.strftime("%m-%d"), own.ended, strict=True))

    assert confirmed(("2024-01-01", "2024-03-31"), ("2024-04-01", "2024-06-30")) == [("02-10", "07-01", "censored")]
    assert confirmed(("2024-01-01", "2024-03-30"), ("2024-04-01", "2024-06-30")) == [
        ("02-10", "03-31", "censored"), ("04-20", "07-01", "censored"),
    ]  # fmt: skip
    # Observed up to the day of a row, included; a row the day after is not seen.
    assert confirmed(("2024-01-01", "2024-02-10")) == [("02-10", "02-11", "censored")]
    assert confirmed(("2024-01-01", "2024-02-09")) == []
    assert confirmed() == []


def test_arrivals_by_month_stock_apart(dated):
    found = arrivals(dated, lookback_days=0, exits=EXITS, stratum="site_id")
    assert found.table.n_confirmed.tolist() == [0, 2, 1, 0, 1, 1]
    assert found.table.n_possible.tolist() == [0, 2, 1, 1, 0, 1]
    assert found.table.attrs["stock"] == {"confirmed": 1, "possible": 1}
    assert found.table.exposure_months.tolist() == pytest.approx([30 / 31, 1, 1, 1, 1, 1])
    assert found.totals.n_confirmed.to_dict() == {"north": 4, "south": 1, "not recorded": 0}
    assert found.totals.pool_confirmed.to_dict() == {"north": 1, "south": 0, "not recorded": 0}  # new; dies is dead
    assert found.totals.stock_confirmed.to_dict() == {"north": 1, "south": 0, "not recorded": 0}
    assert found.by_stratum.loc[("south", pd.Period("2024-02", "M")), "n_confirmed"] == 1
    assert found.by_stratum.n_possible.sum() == found.table.n_possible.sum()
    assert found.ledger.patients_confirmed.to_dict() == {
        "before": 0, "stock": 1, "first": 5, "return": 0, "continued": 0, "late": 0, "total": 6,
    }  # fmt: skip


def test_a_return_counts_after_the_washout_and_says_so(dated):
    found = arrivals(dated, lookback_days=0, washout_days=30)
    assert found.table.n_confirmed.tolist() == [0, 2, 1, 0, 2, 1]
    assert found.table.n_return_confirmed.tolist() == [0, 0, 0, 0, 1, 0]
    assert found.ledger.spells_confirmed["continued"] == 1  # the flicker of three days
    short = arrivals(dated, lookback_days=0, washout_days=3)
    assert short.ledger.spells_confirmed["continued"] == 0
    assert arrivals(dated, lookback_days=0, washout_days=4).ledger.spells_confirmed["continued"] == 1


def test_before_the_longest_window_has_passed_it_is_stock(dated):
    found = arrivals(dated, lookback_days=45)  # 15 February: new, stock are eligible; back was until the day before
    assert found.stated["opening"] == "2024-02-15"
    assert found.table.attrs["stock"]["confirmed"] == 2
    assert found.ledger.spells_confirmed["before"] == 1
    assert found.table.n_confirmed.tolist() == [0, 1, 0, 1, 1]
    assert found.table.exposure_months.iloc[0] == pytest.approx(14 / 29)
    # Records complete from an earlier day: no look-back is lost.
    assert arrivals(dated, lookback_days=45, data_start="2023-06-01").stated["opening"] == "2024-01-01"


def test_the_last_month_is_dropped_if_asked(dated):
    found = arrivals(dated, lookback_days=0, drop_last=True, exits=EXITS)
    assert str(found.table.index[-1]) == "2024-05"
    assert found.ledger.spells_confirmed["late"] == 1
    cut = dated_statuses(rows_of(HISTORY), end="2024-06-12")
    assert arrivals(cut, lookback_days=0, drop_last=True).stated["last"] == "2024-05-31"


def test_quarters_and_years_hold_the_same_patients(dated):
    months = arrivals(dated, lookback_days=0)
    quarters = arrivals(dated, lookback_days=0, by="quarter").table
    assert quarters.n_confirmed.tolist() == [3, 2]
    assert quarters.exposure_months.tolist() == pytest.approx([3 * 90 / 91, 3])
    year = arrivals(dated, lookback_days=0, by="year").table
    assert year.n_confirmed.tolist() == [months.table.n_confirmed.sum()]
    assert year.exposure_months.tolist() == pytest.approx([12 * 181 / 366])


def test_nobody_eligible_is_a_count_of_zero(dated):
    nobody = dated_statuses(rows_of({"a": [("2024-01-01", I), ("2024-03-01", I)]}), end="2024-06-30")
    found = arrivals(nobody, lookback_days=0, stratum=None)
    assert found.table[["n_confirmed", "n_possible"]].to_numpy().sum() == 0
    assert found.totals.exposure_months.tolist() == pytest.approx([5 + 30 / 31])
    assert np.isnan(found.steadiness.dispersion_p).all()
    assert len(spells(nobody)) == 0


def test_bounds_of_a_period_and_so_far(dated):
    found = arrivals_bounds(dated, lookback_days=0)
    assert found.n_at_least.tolist() == [0, 2, 1, 0, 0, 1]
    assert found.n_at_most.tolist() == [0, 2, 1, 1, 1, 1]
    assert found.n_at_least_so_far.tolist() == [0, 2, 3, 3, 4, 5]
    assert found.n_at_most_so_far.tolist() == [0, 2, 3, 4, 4, 5]


def test_an_imputation_decides_the_undetermined(dated):
    base = dated.mask("confirmed")
    filled = np.stack([base, base | (dated.code == 1)])
    found = arrivals_imputed(dated, filled, lookback_days=0)
    assert found.loc[0].tolist() == [1, 2, 0, 2, 1, 0, 1, 1]  # stock, pool (new, dies), six months
    assert found.loc[1].tolist() == [1, 2, 0, 2, 1, 1, 0, 1]
    assert len(found.attrs["exposure_months"]) == 6
    by_site = arrivals_imputed(dated, filled, lookback_days=0, stratum="site_id")
    assert by_site.loc[(1, "south")].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    sites = {name: Site(name, **counts) for name, counts in site_counts(by_site).items()}
    assert (list(sites["north"].arrivals), list(sites["north"].stock)) == ([4, 4], [2, 2])
    assert sites["south"].months == pytest.approx(5 + 30 / 31)
    assert by_site.groupby("imputation").sum().to_numpy().tolist() == found.to_numpy().tolist()


def test_monthly_dates_give_no_stock_after_the_first_and_end_a_gap():
    rows = rows_of({"a": [("2024-01-01", I), ("2024-02-01", E), ("2024-04-01", E)], "b": [
        (f"2024-0{m}-01", I) for m in range(1, 5)]})  # fmt: skip
    found = spells(dated_statuses(rows, policy="monthly"))
    own = found[found.level == "confirmed"]
    # In March the patient was not there: what lies between is not known.
    assert own.ended.tolist() == ["censored", "censored"]
    assert [str(d.date()) for d in own.end] == ["2024-03-01", "2024-04-02"]


def test_monthly_stock_is_seen_on_an_index_date():
    days = pd.date_range("2024-01-10", "2024-06-10", freq=pd.DateOffset(months=1))
    rows = pd.DataFrame({"patient_id": "a", "index_date": days, "status": [I, I, E, E, I, I]})
    dated = dated_statuses(rows, policy="monthly")
    # 20 days after the first date the next snapshot is the opening, and it does not show the patient.
    found = arrivals(dated, lookback_days=20)
    assert (found.stated["opening"], found.table.attrs["stock"]["confirmed"]) == ("2024-02-10", 0)
    assert found.table.n_confirmed.sum() == 1
    later = arrivals(dated, lookback_days=40)
    assert (later.stated["opening"], later.table.attrs["stock"]["confirmed"]) == ("2024-03-10", 1)
    assert later.table.n_confirmed.sum() == 0


def test_screen_dates_keeps_dates_strata_and_the_reach_of_the_windows(toy_protocol, toy_cohort):
    later = toy_cohort.assign(platelets_10e9_l=pd.array([10] * 8, dtype="Float64"))
    days = pd.to_datetime(["2024-01-01", "2024-02-01"])
    both = pd.concat([toy_cohort, later], keys=days, names=["index_date"]).swaplevel()
    both["ward"] = pd.array(["w"] * 16, dtype=pd.StringDtype("python"))
    rule = fz.at_changes("2024-01-01", "2024-06-30", days=(14, 200), months=(6,))
    dated = screen_dates(both, toy_protocol, rule, strata=["ward"])
    assert (dated.lookback_days, str(dated.end), dated.policy) == (200, "2024-06-30", "at_changes")
    first = dated.status.xs("2024-01-01", level="index_date")
    assert first.to_dict() == fz.screen(toy_cohort, toy_protocol).status.to_dict()
    assert set(dated.status.xs("2024-02-01", level="index_date")) == {"ineligible"}
    assert arrivals(dated, stratum="ward", lookback_days=0).totals.stock_confirmed.to_dict() == {"w": 1}


# What ends spells


def test_cumulative_incidence_by_hand():
    # At 10 one of 5 is lost; at 20 one dies, one is censored after it; at 30 one of 2 is lost, at 40 one dies.
    table = pd.DataFrame({"level": "confirmed", "days": [10, 20, 20, 30, 40], "in_progress": False,
                          "ended": ["lost", "death", "censored", "lost", "death"]})  # fmt: skip
    found = cumulative_incidence(table, causes=["transplant"])
    assert found.lost.tolist() == pytest.approx([0, 0.2, 0.2, 0.5, 0.5])
    assert found.death.tolist() == pytest.approx([0, 0, 0.2, 0.2, 0.5])
    assert found.transplant.tolist() == [0] * 5
    assert found.still_eligible.tolist() == pytest.approx([1, 0.8, 0.6, 0.3, 0])
    assert found.n_at_risk.tolist() == [5, 5, 4, 2, 1]
    # One minus Kaplan-Meier of deaths alone would be 1 - 3/4 * 0 = 1, twice the truth.
    assert found.death.iloc[-1] < 1


def test_cumulative_incidence_of_known_hazards():
    rng = np.random.default_rng(5)
    n = 4000
    loss, death, stop = rng.exponential(60, n), rng.exponential(180, n), rng.uniform(30, 200, n)
    times = np.stack([stop, loss, death])
    first = times.argmin(axis=0)
    table = pd.DataFrame({"level": "possible", "days": np.ceil(times.min(axis=0)).astype(int), "in_progress": False,
                          "ended": np.array(["censored", "lost", "death"])[first]})  # fmt: skip
    found = cumulative_incidence(table, "possible")
    at = found.index[found.index <= 100][-1]
    total = 1 / 60 + 1 / 180
    for way, hazard in (("lost", 1 / 60), ("death", 1 / 180)):
        truth = hazard / total * (1 - np.exp(-total * at))
        assert abs(found.loc[at, way] - truth) < 4 * found.loc[at, way + "_se"]
    rate = half_life(table, "possible")
    assert rate.low < total * 365.25 / 12 < rate.high
    assert rate.half_life == pytest.approx(np.log(2) / rate.rate)
    assert rate.median_months == pytest.approx(rate.half_life, rel=0.1)
    assert sum(rate.by_way.values()) == pytest.approx(rate.rate)


def test_spells_in_progress_count_in_the_rate_but_not_in_the_incidence():
    table = pd.DataFrame({"level": "confirmed", "days": [100, 10, 10], "in_progress": [True, False, False],
                          "ended": ["lost", "lost", "censored"]})  # fmt: skip
    assert cumulative_incidence(table).attrs["n_spells"] == 2
    assert half_life(table).person_months == pytest.approx(120 / 30.4375)


def test_nobody_lost_gives_an_upper_limit_only():
    table = pd.DataFrame({"level": "confirmed", "days": [30, 40], "in_progress": False, "ended": "censored"})
    found = half_life(table)
    assert (found.rate, found.low, found.half_life) == (0, 0, np.inf)
    assert found.high == pytest.approx(-np.log(0.025) / found.person_months)  # Poisson: 3.69 events
    assert cumulative_incidence(table).still_eligible.tolist() == [1, 1, 1]


def test_the_pool_at_opening():
    assert enrolled_before_lost(0.5, np.log(2) / 5) == pytest.approx(0.7829, abs=5e-5)
    rng = np.random.default_rng(11)
    n = 200_000
    won = (rng.exponential(2, n) < rng.exponential(5 / np.log(2), n)).mean()
    assert abs(won - 0.7829) < 4 * np.sqrt(0.7829 * 0.2171 / n)


# Snapshots


@pytest.mark.parametrize(
    ("mean", "spacing", "share"),
    [(0.5, 1, 0.5677), (1, 1, 0.3679), (2, 1, 0.2131), (5 / np.log(2), 1, 0.0662), (1, 7 / 30.4375, 0.1067)],
)
def test_share_of_spells_missed_closed_form_and_simulated(mean, spacing, share):
    assert snapshot_missed_share(mean, spacing) == pytest.approx(share, abs=5e-5)
    rng = np.random.default_rng(3)
    n = 100_000
    start, length = rng.uniform(0, spacing, n), rng.exponential(mean, n)
    missed = (start + length < spacing).mean()  # the next snapshot is at `spacing`
    assert abs(missed - share) < 4 * np.sqrt(share * (1 - share) / n) + 5e-5


def simulated_registry(n=3000, months=24, mean=1.0, seed=1):
    """One spell a patient, exponential, on days; event-driven rows and monthly rows of the same patients."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2023-01-01")
    begin = rng.integers(1, months * 30, n)
    # A spell of whole days is seen by a snapshot on any of its days.
    length = np.maximum(1, np.ceil(rng.exponential(mean * 30.4375, n))).astype(int)
    end = start + pd.Timedelta(days=months * 31)
    grid = pd.date_range(start, end, freq="MS")
    events, monthly = [], []
    for k in range(n):
        first, after = start + pd.Timedelta(days=int(begin[k])), start + pd.Timedelta(days=int(begin[k] + length[k]))
        events += [(k, start, I), (k, first, E)] + ([(k, after, I)] if after <= end else [])
        monthly += [(k, day, E if first <= day < after else I) for day in grid]
    columns = ["patient_id", "index_date", "status"]
    return (
        dated_statuses(pd.DataFrame(events, columns=columns), end=end),
        dated_statuses(pd.DataFrame(monthly, columns=columns), policy="monthly"),
        begin, length, grid,
    )  # fmt: skip


def test_snapshot_bias_finds_the_share_missed():
    events, monthly, begin, length, grid = simulated_registry()
    found = snapshot_bias(events, monthly).loc["confirmed"]
    days = (grid - grid[0]).days.to_numpy()
    seen = np.array([((days >= b) & (days < b + x)).any() for b, x in zip(begin, length, strict=True)])
    inside = begin <= days[-1]
    assert found.n_spells == inside.sum()
    assert found.n_missed == (inside & ~seen).sum()
    assert found.n_patients_missed == found.n_missed
    # Whole days make spells half a day longer on average, hence the small allowance.
    assert found.share_missed == pytest.approx(0.3679, abs=4 * np.sqrt(0.3679 * 0.6321 / found.n_spells) + 0.01)
    assert found.share_missed_expected == pytest.approx(found.share_missed, abs=0.03)
    assert found.mean_days_missed < found.mean_days_seen
    assert 0 < found.mean_days_late < 31
    assert found.n_disagree == 0


def test_snapshot_bias_by_hand():
    history = {
        "there": [("2024-01-01", E), ("2024-01-20", I)],  # running at the first snapshot: no start is seen
        "between": [("2024-01-01", I), ("2024-01-05", E), ("2024-02-01", I)],  # lost on the day of a snapshot
        "shown": [("2024-01-01", I), ("2024-01-20", E), ("2024-02-02", I)],
        "last": [("2024-01-01", I), ("2024-03-01", E)],
        "after": [("2024-01-01", I), ("2024-03-02", E)],
    }
    grid = ["2024-01-01", "2024-02-01", "2024-03-01"]
    monthly = {p: [(g, [s for d, s in steps if d <= g][-1]) for g in grid] for p, steps in history.items()}
    found = snapshot_bias(
        dated_statuses(rows_of(history), end="2024-03-31"), dated_statuses(rows_of(monthly), policy="monthly")
    ).loc["confirmed"]
    assert found[["n_spells", "n_seen", "n_missed", "n_patients", "n_patients_missed"]].tolist() == [3, 2, 1, 3, 1]
    assert (found.mean_days_missed, found.mean_days_late) == (27, 6)  # late: 12 days and 0
    assert found.mean_spell_months == pytest.approx((27 + 13 + 31) / 2 / 30.4375)
    assert (found.n_disagree, found.n_snapshots) == (0, 15)


def test_snapshot_bias_notices_dates_that_leave_out_a_change():
    events, monthly, *_ = simulated_registry(n=60)
    odd = monthly.code.copy()
    odd[odd == 2] = 1
    wrong = dated_statuses(
        pd.DataFrame({"patient_id": monthly.people[monthly.person], "index_date": monthly.day,
                      "status": np.array([I, U, E], dtype=object)[odd]}), policy="monthly",
    )  # fmt: skip
    assert snapshot_bias(events, wrong).n_disagree.tolist() == [(monthly.code == 2).sum()] * 2


# One steady rate?


def test_dispersion_is_pearsons():
    n = np.array([12, 30, 14, 25, 9, 28])
    found = steadiness(n, np.ones(6))
    statistic = ((n - n.mean()) ** 2 / n.mean()).sum()
    assert found["dispersion"] == pytest.approx(statistic / 5)
    assert found["dispersion_p"] == pytest.approx(stats.chi2.sf(statistic, 5))
    small = steadiness([0, 0, 6, 0, 0, 0], np.ones(6))
    assert small["dispersion_by"] == "simulation"
    # All six in one of six months: 6 * (1/6)^6.
    assert small["dispersion_p"] == pytest.approx(6 / 6**6, abs=3e-4)


def test_exposure_counts():
    assert steadiness([20, 20, 10], [1, 1, 0.5])["dispersion"] == pytest.approx(0)


def test_a_break_is_found_where_it_is_and_seldom_where_none_is():
    rng = np.random.default_rng(8)
    found = [steadiness(np.r_[rng.poisson(10, 12), rng.poisson(20, 12)], np.ones(24)) for _ in range(60)]
    assert np.mean([f["break_p"] < 0.05 for f in found]) > 0.8
    assert abs(np.median([f["break_at"] for f in found]) - 12) <= 1
    null = [steadiness(rng.poisson(8, 24), np.ones(24)) for _ in range(400)]
    for test in ("break_p", "dispersion_p"):
        false = np.mean([f[test] < 0.05 for f in null])
        assert false < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_too_few_periods_are_not_tested():
    found = steadiness([3, 5], [1, 1])
    assert np.isnan(found["dispersion_p"])
    assert np.isnan(steadiness([3, 5, 4, 2], [1] * 4)["break_p"])
    assert np.isnan(steadiness([0] * 12, [1] * 12)["dispersion"])
