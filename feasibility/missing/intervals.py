"""Quantiles and intervals behind the estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, did_you_mean

RESAMPLES = 200
"""Resamples of the sites for each imputation."""


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share.

    >>> [round(x, 4) for x in clopper_pearson(6, 200)]
    [0.0111, 0.0642]
    """
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    return low, float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0


def pooled(cdf, values: np.ndarray, q: float, low: float, high: float) -> float:
    """A quantile of equal shares of several distributions: exact, where pooled draws would have noise."""
    from scipy.optimize import brentq

    distinct, times = np.unique(values, return_counts=True)
    return float(brentq(lambda x: np.average(cdf(x, distinct), weights=times) - q, low, high, xtol=1e-10))


def rubin(sure, maybe, low: int, high: int) -> tuple[float, float]:
    from scipy.stats import t

    m = len(sure)
    reach = [t.ppf(0.975, m - 1) * np.sqrt((1 + 1 / m) * c.var(ddof=1)) for c in (sure, maybe)]
    return max(float(sure.mean() - reach[0]), float(low)), min(float(maybe.mean() + reach[1]), float(high))


def site_of_each(screening, sites: str | None) -> np.ndarray | None:
    """The site of each patient as a number, where there are at least two."""
    if sites is None:
        return None
    known = [] if screening.strata is None else list(screening.strata.columns)
    if sites not in known:
        if sites == "site_id":
            return None
        raise FeasibilityError(
            f"in_source: the screening has no stratum {sites!r}.{did_you_mean(sites, known)}"
            " Strata are declared columns, or named in screen(..., strata=[...])."
        )
    codes, names = pd.factorize(screening.strata[sites], use_na_sentinel=False)
    return codes if len(names) > 1 else None


def by_sites(screening, groups, undetermined, eligible, m: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sure = (screening.status == "eligible").to_numpy()
    s = int(groups.max()) + 1
    size, known = np.bincount(groups, minlength=s), np.bincount(groups[sure], minlength=s)
    made = []
    for k in range(m):
        found = known + np.bincount(groups[undetermined[eligible[k]]], minlength=s)
        times = rng.multinomial(s, np.full(s, 1 / s), RESAMPLES)
        c, n = times @ found, times @ size
        made.append(rng.beta(c + 0.5, n - c + 0.5))
    return np.concatenate(made)
