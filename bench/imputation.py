"""Imputation: does the interval hold the truth, and how long does it take.

``python -m bench.imputation`` runs everything; ``coverage``, ``registry`` or ``timing`` one part, with the
number of cohorts (or patients) after it. Coverage is that of the true count in the extract by the smallest and largest
of 39 counts, and of the population's rate by the pooled Beta.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

import feasibility as fz
from feasibility.missing.estimands import in_extract, in_source
from feasibility.missing.impute import impute

SHAPES = ((200, 0.5), (2000, 0.2), (60, 0.5))


@fz.inclusion("I1", "marker above 0.3")
def marker_high(marker, *, min_marker: float = 0.3):
    return marker > min_marker


@fz.inclusion("I2", "age of 60 years or less")
def not_old(age_years, *, max_age: float = 75):
    return age_years <= max_age


PROTOCOL = fz.Protocol("MAR", "One marker, tested where the patient looks fit", [marker_high, not_old])


def cohort_and_truth(n: int, share: float, rng) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A marker that depends on age, fitness and a flag; untested more often where fitness and the flag say so (MAR)."""
    age = np.round(rng.normal(60, 12, n))
    fit, flag = rng.normal(size=n), rng.random(n) < 0.4
    marker = 0.8 * fit + 0.5 * flag - 0.02 * (age - 60) + rng.normal(size=n)
    odds = np.exp(0.8 * fit + 0.4 * flag + _intercept(share))
    untested = rng.random(n) < odds / (1 + odds)
    truth = pd.DataFrame(
        {
            "age_years": pd.array(age, dtype="Float64"), "fit": pd.array(fit, dtype="Float64"),
            "flag": pd.array(flag, dtype="boolean"), "marker": pd.array(marker, dtype="Float64"),
        }
    )  # fmt: skip
    return truth.assign(marker=truth["marker"].mask(untested)), truth


def _intercept(share: float) -> float:
    return float(np.log(share / (1 - share)) * 1.12 - 0.16)


def population_rate(size: int = 4_000_000) -> float:
    _, truth = cohort_and_truth(size, 0.5, np.random.default_rng(99))
    return float(((truth["marker"] > 0.3) & (truth["age_years"] <= 75)).mean())


def one_cohort(n: int, share: float, seed: int, rate: float, method: str = "pmm") -> dict:
    """One cohort imputed: is the true count inside each interval, and the rate inside the pooled Beta's."""
    observed, truth = cohort_and_truth(n, share, np.random.default_rng([seed, n]))
    screening = fz.screen(observed, PROTOCOL, check=False)
    true = int((fz.screen(truth, PROTOCOL, check=False).status == "eligible").sum())
    made = impute(observed, screening, method=method, seed=seed)
    here, source = in_extract(made), in_source(made)
    return {
        "in [min, max]": here.interval_95[0] <= true <= here.interval_95[1],
        "in 80 %": here.interval_80[0] <= true <= here.interval_80[1],
        "Rubin W=0": here.rubin_95[0] <= true <= here.rubin_95[1],
        "truth in bounds": here.n_confirmed <= true <= here.n_possible,
        "rate in Beta": source.interval_95[0] <= rate <= source.interval_95[1],
        "leaves bounds": source.leaves_bounds,
        "bias": here.estimate - true,
        "untested": float(observed["marker"].isna().mean()),
    }


def coverage(cohorts: int = 1_000, method: str = "pmm") -> str:
    rate = population_rate()
    lines = [f"Coverage over {cohorts:,} cohorts (MAR, method {method}); wanted 0.94 to 0.98, within bounds 1"]
    for n, share in SHAPES:
        table = pd.DataFrame([one_cohort(n, share, seed, rate, method) for seed in range(cohorts)])
        lines.append(f"  N={n:,}, {share:.0%} untested:  " + "  ".join(f"{k} {v:.3f}" for k, v in table.mean().items()))
    return "\n".join(lines)


def registry(cohorts: int = 100, n: int = 500, mechanism: str = "mar", profile: dict | None = None) -> str:
    """The synthetic registry with every field missing by one mechanism: is the true count in the bounds, the interval.

    The complete truth is the registry's own, the same patients without holes.
    """
    from feasibility.trials.aml_registry import synthetic_registry

    protocol = fz.load_trial("NCT06642025")
    rows = []
    for seed in range(cohorts):
        made = synthetic_registry(n, seed=1000 + seed, parameters={"missing.mechanism": mechanism} | (profile or {}))
        observed = made.observed
        screening = fz.screen(observed, protocol, check=False)
        true = int((fz.screen(made.truth, protocol, check=False).status == "eligible").sum())
        here = in_extract(impute(observed, screening, method="pmm", seed=seed))
        rows.append(
            {
                "truth in bounds": here.n_confirmed <= true <= here.n_possible,
                "in [min, max]": here.interval_95[0] <= true <= here.interval_95[1],
                "bias": here.estimate - true, "width": here.interval_95[1] - here.interval_95[0],
                "confirmed": here.n_confirmed, "possible": here.n_possible, "true": true,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows).mean()
    shown = "  ".join(f"{k} {v:.3f}" for k, v in table.items())
    return f"Synthetic registry, {mechanism}, {cohorts} cohorts of {n:,}:  {shown}"


def timing(n: int = 100_000) -> str:
    """All of it on a large registry: 117 columns, of which about 40 are imputed or helped with."""
    from feasibility.trials.aml_registry import synthetic_registry

    protocol = fz.load_trial("NCT06642025")
    observed = synthetic_registry(n, seed=1).observed
    screening = fz.screen(observed, protocol, check=False)
    start = time.perf_counter()
    made = impute(observed, screening, method="pmm")
    took = time.perf_counter() - start
    start = time.perf_counter()
    here = in_extract(made)
    counted = time.perf_counter() - start
    return (
        f"{n:,} patients, {observed.shape[1]} columns, {len(made.rows):,} undetermined, m={made.m},"
        f" {made.cycles} cycles,"
        f" fitted on {made.n_fit:,}, {len(made._plan.variables)} columns in the chain: imputed in {took:.0f} s,"
        f" counted in {counted:.0f} s; estimate {here.estimate:,.0f}, 95 % {here.interval_95[0]:,.0f} to"
        f" {here.interval_95[1]:,.0f}"
    )


def run(cohorts: int = 60) -> str:
    """Small versions of all parts; ``python -m bench.imputation coverage 1000`` and the like are the large ones."""
    return "\n".join([coverage(cohorts), registry(10, 300), registry(10, 300, "mnar"), timing(20_000)])


if __name__ == "__main__":
    parts = {"coverage": coverage, "registry": registry, "timing": timing}
    arguments = sys.argv[1:]
    if not arguments:
        sys.stdout.write(run() + "\n")
    else:
        values = [int(a) if a.isdigit() else a for a in arguments[1:]]
        sys.stdout.write(parts[arguments[0]](*values) + "\n")
