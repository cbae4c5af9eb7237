"""Whether arrivals come at one steady rate: more scatter than chance, or a break in the calendar."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from feasibility.enrollment.dated import LEVELS
from feasibility.errors import FeasibilityError

ENOUGH_EXPECTED = 5.0
"""Expected arrivals in the leanest period from which the chi-squared distribution is trusted; below, simulation."""
MIN_PERIODS = 3
MIN_PERIODS_FOR_BREAK = 6
_DRAWS, _SEED = 9_999, 20_250_630


def steadiness(n, exposure, periods=None) -> dict:
    """Whether counts per period fit one constant rate.

    Returns n_periods, n, dispersion (Pearson's chi-squared by its degrees of freedom: 1 for a steady Poisson rate,
    more for clumps), dispersion_p (one-sided, for more scatter than chance), dispersion_by (``chi2``, or ``simulation``
    of the same number of arrivals spread by chance, where fewer than 5 a period are expected), break_at (the first
    period after the likeliest change) and break_p (CUSUM test of the Pearson residuals, Ploberger and Kramer 1992;
    asymptotic and cautious with few periods). Missing where there are too few periods or no arrival.

    A low p says that a forecast from one constant rate is too narrow; a high one does not prove the rate constant.

    >>> found = steadiness([10, 10, 10, 10], [1, 1, 1, 1])
    >>> found["dispersion"], found["dispersion_by"]
    (0.0, 'chi2')
    """
    n, exposure = np.asarray(n, dtype="float64"), np.asarray(exposure, dtype="float64")
    if n.shape != exposure.shape or n.ndim != 1:
        raise FeasibilityError(f"steadiness: {n.shape} counts and {exposure.shape} exposures; one of each a period.")
    if (n < 0).any() or (exposure <= 0).any():
        raise FeasibilityError("steadiness: counts are 0 or more and exposures above 0.")
    labels = np.arange(len(n)) if periods is None else np.asarray(periods, dtype=object)
    total = n.sum()
    found = {
        "n_periods": len(n), "n": int(total), "dispersion": math.nan, "dispersion_p": math.nan, "dispersion_by": "",
        "break_at": None, "break_p": math.nan,
    }  # fmt: skip
    if len(n) < MIN_PERIODS or total == 0:
        return found
    share = exposure / exposure.sum()
    expected = total * share
    statistic = ((n - expected) ** 2 / expected).sum()
    found["dispersion"] = float(statistic / (len(n) - 1))
    found |= _scatter(n, expected, statistic, share)
    if len(n) >= MIN_PERIODS_FOR_BREAK:
        found |= _break((n - expected) / np.sqrt(expected), labels)
    return found


def _scatter(n, expected, statistic, share) -> dict:
    from scipy.stats import chisquare

    if expected.min() >= ENOUGH_EXPECTED:
        return {"dispersion_p": float(chisquare(n, expected).pvalue), "dispersion_by": "chi2"}
    draws = np.random.default_rng(_SEED).multinomial(int(n.sum()), share, size=_DRAWS)
    simulated = ((draws - expected) ** 2 / expected).sum(axis=1)
    # A tie counts as extreme; the observed table is one of the draws, so p is never 0.
    extreme = int((simulated >= statistic * (1 - 1e-12)).sum())
    return {"dispersion_p": (extreme + 1) / (_DRAWS + 1), "dispersion_by": "simulation"}


def _break(residuals: np.ndarray, labels) -> dict:
    from statsmodels.stats.diagnostic import breaks_cusumolsresid

    if not residuals.any():
        return {"break_p": 1.0}
    _, p, _ = breaks_cusumolsresid(residuals, ddof=1)
    at = int(np.abs(np.cumsum(residuals))[:-1].argmax()) + 1
    return {"break_at": labels[at], "break_p": float(p)}


def steadiness_table(table: pd.DataFrame) -> pd.DataFrame:
    """``steadiness`` of the confirmed and the possible arrivals of a table of periods, one row a level."""
    labels = [str(p) for p in table.index]
    rows = [steadiness(table[f"n_{level}"], table["exposure_months"], labels) for level in LEVELS]
    return pd.DataFrame(rows, index=pd.Index(LEVELS, name="level"))
