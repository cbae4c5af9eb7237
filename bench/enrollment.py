"""The enrollment forecast: against closed forms, against truths drawn from its prior, on years it has not seen, timed.

Prints Markdown, kept as ``docs/enrollment_checks.md``: ``python -m bench.enrollment > docs/enrollment_checks.md``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bench.timing import interleaved
from feasibility.enrollment.answers import planner_answers, smallest_number_of_sites
from feasibility.enrollment.assumptions import assumptions, plan_from_protocol
from feasibility.enrollment.backtest import backtest, backtest_summary
from feasibility.enrollment.calibration import calibrate, rates_per_site
from feasibility.enrollment.differences import compare_plans, difference_in_words, rate_tornado
from feasibility.enrollment.forecast import forecast
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import Gamma
from feasibility.enrollment.progress import Progress
from feasibility.enrollment.sites import Site
from feasibility.enrollment.steps import Competing, Slots, Step
from feasibility.protocol.criterion import Beta
from feasibility.protocol.protocol import Protocol

DRAWS = 100_000
SEEN = Site("one site", arrivals=6, months=24)
TYPICAL = Site("typical", prior=Gamma(1.2, 12))
CONSENT = Step("consent", Beta(7, 3), reaches="consented")
REGISTRY = Path(__file__).resolve().parents[2] / "shared" / "data" / "omop_gibleed" / "condition_occurrence.csv.gz"
GI_BLEED = 192671
SHARED = "50 sites, Gamma(1.2, 12) each, opened in months 0 to 12, patients by month 36."
CALIBRATION = """Truth drawn from the prior, simulated patient by patient by other code; 199 draws a forecast. Counts
may cover more often than the level, because they are whole numbers. Bounds are those of 99 % of correct models; a model
counts as calibrated when the PIT is even and it covers often enough. A trial under way may have met its target, and
then its month is a tie at 0, so that it covers more often."""
BACKTEST = """Fitted on at least the first 36 months, scored on the next 12, moving on by 12. Interval scores: smaller
is better; naive is a Poisson forecast at the fitted mean. The registry whose rates halve is there to show that the
scores notice what the model cannot know. The persons of Eunomia GiBleed are synthetic, made by others; an arrival is
the first gastrointestinal bleeding of a person."""


def staggered(n: int = 50) -> list[Site]:
    return [replace(TYPICAL, name=f"site {i}", opens=float(o)) for i, o in enumerate(np.linspace(0, 12, n))]


def closed_forms(draws: int = DRAWS) -> pd.DataFrame:
    """Simulated against exact: shares, with the distance in Monte Carlo standard errors."""
    rows = []

    def add(what, exact, share, n=draws):
        rows.append((what, exact, share, (share - exact) / np.sqrt(exact * (1 - exact) / n)))

    one = forecast(Plan([SEEN], 9), 200, draws=draws)
    months = 24 * stats.betaprime(9, 6.5).ppf([0.1, 0.5, 0.9])
    for level, month in zip((0.1, 0.5, 0.9), months, strict=True):
        add(f"6 in 24 months: nine by month {month:.2f}", level, np.mean(one.times <= month))
    add("nine by month 36", stats.nbinom(6.5, 24 / 60).sf(8), one.probability_by(36))
    add("nobody in the next 12", stats.nbinom(6.5, 24 / 36).pmf(0), np.mean(one.enrolled_by(12) == 0))
    later = forecast(Plan([SEEN], 9), 150, draws=draws, progress=Progress(10, 3))
    for level, month in zip((0.025, 0.5, 0.975), 34 * stats.betaprime(6, 9.5).ppf([0.025, 0.5, 0.975]), strict=True):
        add(f"after 3 in 10 months: six more by month {month:.2f}", level, np.mean(later.times <= month))
    few = draws // 5
    for n in (25, 30, 31, 32, 33):
        sites = [replace(TYPICAL, name=str(i)) for i in range(n)]
        share = forecast(Plan(sites, 60), 24, draws=few).probability_by(24)
        add(f"60 in 24 months from {n} sites", stats.nbinom(1.2 * n, 12 / 36).sf(59), share, few)
    for rate in (0.1709, 0.2735):
        made = forecast(Plan([Site("centre", rate=rate)], 9), 120, draws=draws, seed=int(1e4 * rate))
        for level in (0.1, 0.5, 0.9):
            month = stats.gamma(9, scale=1 / rate).ppf(level)
            add(f"nine at {rate} a month by month {month:.1f}", level, np.mean(made.times <= month))
    stock = Plan([Site("centre", rate=0.0, stock=1)], 1, stock_rate=0.5, stock_half_life=5)
    add(
        "stock enrolled before lost",
        0.5 / (0.5 + np.log(2) / 5),
        np.isfinite(forecast(stock, 200, draws=draws).times).mean(),
    )
    return pd.DataFrame(rows, columns=["what", "exact", "simulated", "standard errors"]).set_index("what")


def widths(draws: int = 40_000) -> pd.DataFrame:
    """The 95 % interval of 50 staggered sites at month 36: what drawing a shared rate per site would do."""
    plan = Plan(staggered(), 100, [CONSENT])
    fixed = plan.with_rates(consent=0.7)
    wrong = rates_per_site(plan, 36, 36, draws // 4, 1).counts
    rows = {
        "consent drawn once per trial": forecast(plan, 36, draws=draws).interval(36, 0.95),
        "consent drawn per site (wrong)": tuple(np.quantile(wrong, [0.025, 0.975], method="inverted_cdf")),
        "consent fixed at 0.7 (wrong)": forecast(fixed, 36, draws=draws).interval(36, 0.95),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["low_95", "high_95"]).rename_axis("model").astype(int)


def calibrated(runs: int = 1000) -> pd.DataFrame:
    """Simulation-based calibration of six plans, and two harness self-tests that must fail."""
    consent_matters = Plan([Site(str(i), prior=Gamma(20, 40)) for i in range(12)], 60, [CONSENT])
    shared = Plan([Site(str(i), 0, 24) if i < 5 else Site(str(i)) for i in range(8)], 20, [CONSENT])
    everything = Plan(
        [Site(str(i), 0, 24, prior=Gamma(2, 4), opens=(0, 2, 6), ramp_up=4) for i in range(3)], 9,
        [CONSENT, Step("product", Beta(22, 8), months=1.5, reaches="infused"),
         Step("evaluable", Beta(19, 1), reaches="evaluable")],
        slots=Slots(0.7, half_life=5, max_wait=6, patients=6), calendar=((12, 1.3), (18, 0.8)), calendar_sd=0.2,
        competing=[Competing("other", Beta(2, 8), 6, 18, ["1", "2"])], attractiveness_sd=0.3,
    )  # fmt: skip
    plans = {
        "one site, 24 months seen, consent": (Plan([Site("A", 0, 24, prior=Gamma(1.2, 4))], 4, [CONSENT]), 24, 480, {}),
        "12 sites, no data, consent": (consent_matters, 36, 96, {}),
        "50 staggered sites, no data, consent": (Plan(staggered(), 60, [CONSENT]), 36, 84, {}),
        "8 sites, 5 with data, prior estimated": (shared, 24, 120, {}),
        "3 sites with everything": (everything, 24, 60, {}),
        "6 sites under way for 12 months": (Plan(staggered(12)[:6], 20, [CONSENT]), 12, 120, {"after": 12}),
        "MUST FAIL: consent drawn per site": (consent_matters, 36, 36, {"forecaster": rates_per_site}),
        "MUST FAIL: prior rate four times too sure": (consent_matters, 36, 36, {"forecaster": _too_sure}),
    }
    parts = []
    for name, (plan, month, horizon, options) in plans.items():
        table = calibrate(plan, month, horizon=horizon, runs=runs, **options).reset_index()
        table.insert(0, "plan", name)
        table.insert(2, "runs", runs)
        parts.append(table)
    return pd.concat(parts).set_index("plan")


def _too_sure(plan, month, horizon, draws, seed, so_far):
    from feasibility.enrollment.calibration import Numbers

    sites = [replace(s, prior=Gamma(4 * s.prior.shape, 4 * s.prior.months)) for s in plan.sites]
    sure = replace(plan, sites=sites).with_rates(consent=Beta(28, 12))
    return Numbers(forecast(sure, month, draws=draws, seed=seed).enrolled_by(month), None)


def simulated_registry(years: int = 12, falls: float = 1.0, seed: int = 4) -> pd.DataFrame:
    """Monthly arrivals at six sites of very different size; halfway the rates are multiplied by ``falls``."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.2, 1 / 3, 6)
    month = np.arange(12 * years)[:, None]
    return pd.DataFrame(
        rng.poisson(rates * np.where(month >= 6 * years, falls, 1.0)), columns=[f"s{i}" for i in range(6)]
    )


def dated_registry(first: str = "1990-01", last: str = "2018-12") -> pd.Series | None:
    """First gastrointestinal bleedings per month in a public OMOP database, Eunomia GiBleed; None if it is absent."""
    if not REGISTRY.exists():
        return None
    rows = pd.read_csv(REGISTRY).rename(columns=str.lower)
    rows = rows[rows["condition_concept_id"] == GI_BLEED]
    start = pd.to_datetime(rows["condition_start_date"]).groupby(rows["person_id"]).min().dt.to_period("M")
    return start.value_counts().reindex(pd.period_range(first, last, freq="M"), fill_value=0).rename("GiBleed")


def backtests() -> pd.DataFrame:
    steady, falling, dated = simulated_registry(40), simulated_registry(12, 0.5), dated_registry()
    cases = {"steady, 6 sites": (steady, {}), "rates halve midway, 6 sites": (falling, {})}
    if dated is not None:
        cases["Eunomia GiBleed 1990 to 2018"] = (dated, {})
        cases["the same, latest 60 months fitted"] = (dated, {"window": 60})
    parts = []
    for name, (arrivals, options) in cases.items():
        table = backtest_summary(backtest(arrivals, 36, 12, draws=4000, **options)).iloc[[-1]].reset_index()
        parts.append(table.assign(registry=name).set_index("registry"))
    return pd.concat(parts).drop(columns="site")


def anchor_plan(protocol: Protocol, goal: str = "enrolled", eligible: int = 32, of: int = 200) -> Plan:
    """One centre with 25 to 40 relapsed or refractory patients a year, of whom 16 % are eligible by the registry."""
    rate = Gamma.between(25 / 12, 40 / 12, source="25 to 40 relapsed or refractory patients a year (90 %)")
    share = Beta(eligible + 0.5, of - eligible + 0.5)
    return plan_from_protocol(protocol, Site("one centre", prior=rate), 9, goal=goal, eligible_share=share)


def timings(rounds: int = 3) -> pd.DataFrame:
    product = Step("product", Beta(22, 8), reaches="infused")
    sites = [replace(s, ramp_up=3) for s in staggered()]
    plain = Plan(sites, 100, [CONSENT, product], calendar=((12, 0.9),), attractiveness_sd=0.2)
    mixed = [Site(f"s{i}", 3, 24) if i < 20 else Site(f"s{i}") for i in range(50)]
    plans = {
        "50 sites": plain,
        "50 sites, places and patience": plain.change(slots=Slots(0.25, half_life=5)),
        "50 sites, prior estimated from 20": Plan(mixed, 100, [CONSENT, product]),
        "one site": Plan([SEEN], 9),
    }
    processor: dict[str, list[float]] = {name: [] for name in plans}

    def once(name):
        start = time.process_time()
        forecast(plans[name], 60, draws=10_000)
        processor[name].append(time.process_time() - start)

    seconds, _ = interleaved({name: (lambda name=name: once(name)) for name in plans}, rounds)
    table = pd.DataFrame({"elapsed": seconds, "processor": {k: float(np.median(v)) for k, v in processor.items()}})
    return table.rename_axis("seconds for 60 months, 10,000 draws")


def run(runs: int = 200) -> str:
    import feasibility as fz

    begun = time.perf_counter()
    protocol = fz.load_trial("NCT06642025")
    parts = [
        "# Checks of the enrollment forecast\n\nMade by `python -m bench.enrollment`; smaller versions are tests.\n"
    ]

    def part(title, text, table):
        parts.append(f"## {title}\n\n{text}\n\n{markdown(table) if isinstance(table, pd.DataFrame) else table}\n")

    part("Closed forms", "All must lie within 4 standard errors.", closed_forms())
    part("What is shared is drawn once", SHARED, widths())
    found = smallest_number_of_sites(Plan([TYPICAL], 60), 24, draws=40_000)
    part("Smallest number of sites", "60 patients in 24 months, Gamma(1.2, 12) each; exact: 31 and 33.", found)
    part("Calibration", CALIBRATION, calibrated(runs))
    part("Back-test", BACKTEST, backtests())
    plan = anchor_plan(protocol)
    made = forecast(plan, 240, draws=20_000)
    part("The seed trial: 9 patients at one centre", made.summary(), planner_answers(made).set_index("question"))
    infused = anchor_plan(protocol, "infused").change(slots=Slots(1, half_life=5, patients=3))
    part("The same until infusion, first three a month apart", forecast(infused, 240, draws=20_000).summary(),
         assumptions(infused))  # fmt: skip
    part("Which assumption matters (target by month 60, one at a time)", "10 % and 90 % quantile of each.",
         rate_tornado(infused, 60))  # fmt: skip
    now = Plan([Site("centre", 12, 24)], 9, [CONSENT])
    wider = now.change(sites=[Site("centre", 17, 24)])
    table = compare_plans(now, {"platelets > 20": wider}, 360, draws=20_000)
    words = difference_in_words(table, "platelets > 20") + " (12 and 17 eligible in 24 months, for illustration)"
    part("A scenario", words, table)
    part("Time", "Median of 3, interleaved, on a 2-core machine shared with other work at the time.", timings())
    parts.append(f"All of this took {(time.perf_counter() - begun) / 60:.1f} minutes.")
    return "\n".join(parts)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    table = table.reset_index()

    def cell(value):
        if isinstance(value, (bool, np.bool_)):
            return "yes" if value else "**no**"
        if isinstance(value, (float, np.floating)):
            return "" if np.isnan(value) else f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"
        return "" if value is pd.NA else str(value).replace("|", "/")

    rows = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    rows += [[cell(v) for v in record] for record in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    import sys

    sys.stdout.write(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000) + "\n")
