"""Would it have been right? Fit on the first months of a registry, score the forecast on those that followed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.enrollment.calibration import randomised_pit
from feasibility.enrollment.forecast import SEED, _quantile, forecast, whole
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import Gamma
from feasibility.enrollment.sites import MIN_MONTHS, Site
from feasibility.errors import FeasibilityError

ALL = "all sites"


def backtest(
    arrivals: pd.DataFrame | pd.Series, train: int, test: int = 12, *, step: int | None = None,
    window: int | None = None, prior: Gamma | None = None, draws: int = 2_000, seed: int = SEED,
) -> pd.DataFrame:  # fmt: skip
    """Forecast the ``test`` months after the first ``train`` of a registry, then move on by ``step`` and repeat.

    ``window`` fits on the latest so many months only, which follows a trend at the price of fewer patients.

    ``arrivals`` has one row a month, in order, and one column a site (or is a Series): patients newly eligible. Index
    (origin, site): origin is the number of months fitted; site is each column and, of several, "all sites". Columns
    observed, mean, low_80, high_80, low_95, high_95, pit (randomised), score_80 and score_95 (interval score, smaller
    is better: width plus a penalty for missing; Gneiting and Raftery 2007) and naive_80, naive_95 (the interval score
    of a Poisson forecast at the fitted mean, which leaves out that the rate is uncertain).

    Raises FeasibilityError for too few months, counts that are negative, missing or not whole.

    >>> table = backtest(pd.Series([1, 0, 2, 0, 1, 1] * 6, name="Hefei"), train=24, test=12, draws=500)
    >>> int(table.loc[(24, "Hefei"), "observed"])
    10
    """
    table = arrivals.to_frame(arrivals.name or "site") if isinstance(arrivals, pd.Series) else arrivals
    train, test = whole(train, "train", MIN_MONTHS), whole(test, "test")
    step = test if step is None else whole(step, "step")
    counts = _counts(table)
    if len(counts) < train + test:
        raise FeasibilityError(
            f"backtest: {len(counts)} months are too few to fit {train} and score {test}; use fewer of one of them."
        )
    names = [str(c) for c in table.columns]
    rng = np.random.default_rng([seed, 5])
    rows = {}
    for origin in range(train, len(counts) - test + 1, step):
        seen = origin if window is None else min(origin, whole(window, "window", MIN_MONTHS))
        past, future = counts[origin - seen : origin].sum(axis=0), counts[origin : origin + test].sum(axis=0)
        sites = [Site(n, int(c), seen) for n, c in zip(names, past, strict=True)]
        made = forecast(Plan(sites, 1, prior=prior), test, draws=draws, seed=seed + origin)
        for i, name in enumerate(names):
            rows[origin, name] = _scored(made.by_site[:, i], int(future[i]), past[i] / seen * test, rng)
        if len(names) > 1:
            rows[origin, ALL] = _scored(made.enrolled_by(test), int(future.sum()), past.sum() / seen * test, rng)
    result = pd.DataFrame.from_dict(rows, orient="index")
    result.index = pd.MultiIndex.from_tuples(rows, names=["origin", "site"])
    result.attrs |= {"train": train, "test": test, "step": step}
    return result


def backtest_summary(scored: pd.DataFrame) -> pd.DataFrame:
    """A back-test in one row a site: forecasts, share covered, mean scores against the naive ones, PIT."""
    from scipy.stats import kstest

    rows = {}
    for site, part in scored.groupby(level="site", sort=False):
        inside = {f"covered_{n}": part.observed.between(part[f"low_{n}"], part[f"high_{n}"]).mean() for n in (80, 95)}
        scores = {c: part[c].mean() for c in ("score_80", "naive_80", "score_95", "naive_95")}
        p = kstest(part["pit"], "uniform").pvalue if len(part) >= 5 else np.nan
        rows[site] = {"forecasts": len(part), **inside, **scores, "pit_mean": part["pit"].mean(), "pit_ks_p": p}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("site")


def interval_score(low: float, high: float, observed: float, level: float) -> float:
    """Width plus 2/(1 - level) times the distance by which the interval misses.

    >>> round(interval_score(1, 6, 8, 0.8), 6)
    25.0
    """
    return (high - low) + 2 / (1 - level) * (max(low - observed, 0) + max(observed - high, 0))


def _scored(values: np.ndarray, observed: int, naive: float, rng) -> dict:
    from scipy.stats import poisson

    row = {"observed": observed, "mean": values.mean()}
    scores = {}
    for level in (0.8, 0.95):
        n, tails = f"{100 * level:.0f}", [(1 - level) / 2, (1 + level) / 2]
        low, high = _quantile(values, tails)
        row |= {f"low_{n}": low, f"high_{n}": high}
        plain = poisson.ppf(tails, naive) if naive else (0.0, 0.0)
        scores |= {f"score_{n}": interval_score(low, high, observed, level)}
        scores |= {f"naive_{n}": interval_score(*plain, observed, level)}
    return row | {"pit": randomised_pit(values, observed, rng.random())} | scores


def _counts(table: pd.DataFrame) -> np.ndarray:
    values = table.to_numpy(dtype=float, na_value=np.nan)
    if not len(values) or not values.shape[1]:
        raise FeasibilityError("backtest: the table of arrivals is empty.")
    if not np.isfinite(values).all() or (values < 0).any() or (values % 1).any():
        raise FeasibilityError("backtest: arrivals must be whole numbers of 0 or more in every month; 0, not a blank.")
    return values.astype(int)
