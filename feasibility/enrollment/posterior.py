"""How many patients a month, with its uncertainty: Gamma priors, their update by counts, a prior shared by sites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feasibility.errors import FeasibilityError

MEAN_OF_SITES = (0.3, 1.5)
"""The prior of the mean rate over sites: median in patients a month, SD of its logarithm (95 %: 0.016 to 5.7)."""

SHAPE_OF_SITES = (1.2, 0.7)
"""The prior of the Gamma shape between sites: median, SD of its logarithm (95 %: 0.30 to 4.7)."""


@dataclass(frozen=True)
class Gamma:
    """A rate per month with its uncertainty: Gamma(shape, months), mean ``shape / months``.

    ``months`` is the rate parameter: the update by ``n`` patients in ``t`` months is Gamma(shape + n, months + t).
    ``months=0`` is allowed for a prior that gets data (Jeffreys: Gamma(1/2, 0)). Raises FeasibilityError for a shape
    that is not above 0 or negative months.

    >>> Gamma(0.5, 0).update(6, 24)
    Gamma(shape=6.5, months=24)
    >>> Gamma(6.5, 24).update(3, 10)
    Gamma(shape=9.5, months=34)
    """

    shape: float
    months: float
    source: str = ""

    def __post_init__(self):
        good = all(isinstance(v, (int, float, np.number)) and math.isfinite(v) for v in (self.shape, self.months))
        if not good or self.shape <= 0 or self.months < 0:
            raise FeasibilityError(
                f"Gamma({self.shape}, {self.months}): the shape must be above 0 and the months 0 or more."
            )

    def __repr__(self) -> str:
        return f"Gamma(shape={self.shape:g}, months={self.months:g})"

    @property
    def proper(self) -> bool:
        return self.months > 0

    @property
    def mean(self) -> float:
        return self.shape / self.months if self.proper else math.nan

    def update(self, n: float, months: float) -> Gamma:
        """What is known after seeing ``n`` patients in ``months`` months."""
        return Gamma(self.shape + n, self.months + months, self.source)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The central interval of the rate, in patients a month."""
        from scipy.stats import gamma

        low, high = gamma.ppf([(1 - level) / 2, (1 + level) / 2], self.shape, scale=1 / self.months)
        return float(low), float(high)

    @classmethod
    def between(cls, low: float, high: float, *, level: float = 0.9, source: str = "") -> Gamma:
        """The Gamma whose central interval is ``low`` to ``high`` patients a month.

        >>> centre = Gamma.between(25 / 12, 40 / 12)
        >>> [round(12 * rate, 1) for rate in centre.interval(0.9)]
        [25.0, 40.0]
        """
        from scipy.optimize import brentq
        from scipy.stats import gamma

        if not 0 < low < high:
            raise FeasibilityError(f"Gamma.between({low}, {high}): two rates above 0 are needed, the lower one first.")
        tails = [(1 - level) / 2, (1 + level) / 2]

        def miss(log_shape):
            a, b = gamma.ppf(tails, math.exp(log_shape))
            return math.log(b / a) - math.log(high / low)

        shape = math.exp(brentq(miss, math.log(0.05), math.log(1e7)))
        return cls(shape, float(gamma.ppf(tails[1], shape)) / high, source)


JEFFREYS = Gamma(0.5, 0, "Jeffreys prior: as little as possible is assumed; needs observed months")
ADMIRAL_LIKE = Gamma(
    1.2, 12, "ADMIRAL, relapsed or refractory FLT3 AML: about 0.10 randomised a site and month; shape our assumption"
)
CARTITUDE_4_LIKE = Gamma(
    1.2, 4, "CARTITUDE-4, CAR-T in myeloma: about 0.30 randomised a site and month; shape our assumption"
)
"""Typical sites of two trials. They count *enrolled* patients: use them in a plan with ``counts="enrolled"``."""


def common_prior(counts: Sequence, months: Sequence, u_mean: np.ndarray, u_shape: np.ndarray):
    """Draws of the (shape, months) that sites share, given the sites with data.

    ``counts`` and ``months`` have one entry a site; ``u_mean`` and ``u_shape`` are uniform draws, so that the same
    draws give neighbouring answers for neighbouring data. Nothing is plugged in: the pair is drawn from its posterior
    (a grid over mean and shape; negative binomial likelihood; priors ``MEAN_OF_SITES`` and ``SHAPE_OF_SITES``),
    however few sites there are. Without sites these are draws from the prior.
    """
    counts, months = np.asarray(counts, float), np.asarray(months, float)
    box = [
        [math.log(m) - 5 * sd, math.log(m) + 5 * sd] for m, sd in (MEAN_OF_SITES, SHAPE_OF_SITES)
    ]  # of log mean, log shape
    for _ in range(3):  # narrowed twice to where the mass is
        axes = [np.linspace(low, high, 81) for low, high in box]
        weight = _grid(counts, months, *axes)
        for k in (0, 1):
            margin = weight.sum(axis=1 - k)
            held = np.flatnonzero(margin > 1e-9 * margin.max())
            first, last = max(held[0] - 1, 0), min(held[-1] + 1, len(margin) - 1)
            box[k] = [axes[k][first], axes[k][last]]
    row, log_mean = _inverse(weight.sum(axis=1), axes[0], u_mean)
    log_shape = np.empty_like(log_mean)
    for i in np.unique(row):
        mine = row == i
        log_shape[mine] = _inverse(weight[i], axes[1], u_shape[mine])[1]
    shape = np.exp(log_shape)
    return shape, shape / np.exp(log_mean)


def _grid(counts, months, log_mean, log_shape) -> np.ndarray:
    from scipy.special import gammaln

    a = np.exp(log_shape)[None, :]
    log_b = log_shape[None, :] - log_mean[:, None]
    b = np.exp(log_b)
    total = np.zeros((len(log_mean), len(log_shape)))
    for n, t in zip(counts, months, strict=True):
        total += gammaln(a + n) - gammaln(a) + a * log_b - (a + n) * np.log(b + t)
    for value, (median, sd) in ((log_mean[:, None], MEAN_OF_SITES), (log_shape[None, :], SHAPE_OF_SITES)):
        total += -0.5 * ((value - math.log(median)) / sd) ** 2
    return np.exp(total - total.max())


def _inverse(weight, x, u):
    """Draws from a density given at equally spaced points, spread evenly over each point's cell."""
    edges = np.concatenate([[0.0], np.cumsum(weight)])
    at = np.clip(u, 0, 1 - 1e-12) * edges[-1]
    cell = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(weight) - 1)
    inside = (at - edges[cell]) / np.maximum(edges[cell + 1] - edges[cell], 1e-300)
    return cell, x[cell] + (inside - 0.5) * (x[1] - x[0])
