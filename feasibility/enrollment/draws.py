"""What is drawn once per simulated trial and once per site, each from a random stream of its own.

A stream is found by the seed and a name, so two plans that share a site or a step share its random numbers: their
difference is then not blurred by chance.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, fields

import numpy as np

from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import JEFFREYS, common_prior
from feasibility.enrollment.sites import Site


def stream(seed: int, chunk: int, *names: str) -> np.random.Generator:
    """The random stream of one thing in one chunk of simulated trials."""
    return np.random.default_rng([seed, chunk, *(zlib.crc32(n.encode()) for n in names)])


@dataclass
class Common:
    """Factors shared by all sites, one value a simulated trial; arrays end in the draws."""

    imputation: np.ndarray
    rates: dict[str, np.ndarray]
    shares: list[np.ndarray]
    attractiveness: np.ndarray
    years: np.ndarray
    prior: tuple[np.ndarray, np.ndarray] | None
    opens: np.ndarray
    extra: np.ndarray | None = field(default=None)

    def take(self, chosen: np.ndarray) -> Common:
        """The same with draws chosen, some maybe repeatedly."""

        def pick(value):
            if isinstance(value, dict):
                return {k: v[chosen] for k, v in value.items()}
            if isinstance(value, (list, tuple)):
                return type(value)(v[chosen] for v in value)
            return None if value is None else value[..., chosen]

        return Common(**{f.name: pick(getattr(self, f.name)) for f in fields(self)})

    def passing(self, steps) -> np.ndarray:
        """The share who pass all of some steps."""
        out = np.ones(len(self.imputation))
        for step in steps:
            out = out * self.rates[step.name]
        return out


def draw_common(plan: Plan, first: int, n: int, months: float, seed: int, chunk: int) -> Common:
    """The common factors of ``n`` simulated trials, the first of which has number ``first``."""

    def u(*names):
        return stream(seed, chunk, *names).random(n)

    imputation = (first + np.arange(n)) % plan.imputations
    years = np.ones((int(months // 12) + 1, n))
    if plan.calendar_sd:
        years = np.stack([_factor(plan.calendar_sd, u("year", str(y))) for y in range(len(years))])
    opens = [s.draw_opening(u("opening", s.name) if isinstance(s.opens, tuple) else imputation) for s in plan.sites]
    return Common(
        imputation=imputation,
        rates={s.name: _rate(s.rate, u("step", s.name), imputation) for s in plan.active_steps},
        shares=[_rate(c.share, u("competing", c.name), imputation) for c in plan.competing],
        attractiveness=_factor(plan.attractiveness_sd, u("attractiveness")),
        years=years,
        prior=_shared(plan, imputation, u),
        opens=np.array(opens),
    )


def draw_site_rates(plan: Plan, common: Common, seed: int, chunk: int, seen=None) -> np.ndarray:
    """Patients a month at each site, one row a site; ``seen`` adds (patients, exposure of each draw) by site name."""
    rows = []
    for site in plan.sites:
        rng = stream(seed, chunk, "rate", site.name)
        base, added = rng.random(len(common.imputation)), stream(seed, chunk, "rate, more", site.name)
        if site.rate is not None:
            rows.append(np.full(len(base), float(site.rate)))
            continue
        shape, months = site_prior(plan, site, common)
        n = np.zeros(len(base), int)
        if site.has_data:
            n = np.asarray(site.arrivals)[common.imputation % len(site.arrivals)]
            months = months + site.months
        if seen and site.name in seen:
            n, months = n + seen[site.name][0], months + seen[site.name][1]
        rows.append(_gamma(shape, base, n, added) / months)
    return np.array(rows)


def site_prior(plan: Plan, site: Site, common: Common):
    """Shape and months of the Gamma a site's rate has before its own data."""
    prior = site.prior or plan.prior
    if prior is None:
        prior = JEFFREYS if common.prior is None else None
    n = len(common.imputation)
    if prior is not None:
        return np.full(n, float(prior.shape)), np.full(n, float(prior.months))
    return common.prior


def shares_a_prior(plan: Plan) -> bool:
    """Whether the sites' common prior is estimated."""
    return plan.prior is None and len(plan.sites) > 1 and any(s.prior is None and s.rate is None for s in plan.sites)


def _shared(plan: Plan, imputation: np.ndarray, u):
    if not shares_a_prior(plan):
        return None
    known = [s for s in plan.sites if s.has_data and s.prior is None]
    u_mean, u_shape = u("mean of sites"), u("shape of sites")
    m = plan.imputations
    counts = np.array([np.resize(s.arrivals, m) for s in known]).reshape(len(known), m)
    shape, months = np.empty(len(u_mean)), np.empty(len(u_mean))
    _, same = np.unique(counts, axis=1, return_inverse=True)
    for group in np.unique(same):
        mine = np.isin(imputation, np.flatnonzero(same == group))
        if mine.any():
            column = counts[:, np.flatnonzero(same == group)[0]]
            shape[mine], months[mine] = common_prior(column, [s.months for s in known], u_mean[mine], u_shape[mine])
    return shape, months


def _gamma(shape, u, n, rng) -> np.ndarray:
    """Gamma(shape + n) as Gamma(shape) plus n exponentials, so that patients gained add to the rate they add to."""
    from scipy.special import gammaincinv

    total = gammaincinv(shape, u)
    most, width = int(n.max()), max(1, 2_000_000 // len(u))
    for start in range(0, most, width):
        rows = min(width, most - start)
        counted = np.arange(start, start + rows)[:, None] < n[None, :]
        total = total + (rng.standard_exponential((rows, len(u))) * counted).sum(axis=0)
    return total


def _rate(rate, u, imputation) -> np.ndarray:
    from scipy.special import betaincinv

    if isinstance(rate, float):
        return np.full(len(u), rate)
    if isinstance(rate, tuple):
        a, b = (np.array([getattr(r, p) for r in rate], float)[imputation % len(rate)] for p in "ab")
        return betaincinv(a, b, u)
    return betaincinv(rate.a, rate.b, u)


def _factor(sd: float, u: np.ndarray) -> np.ndarray:
    """A log-normal factor with mean 1."""
    from scipy.special import ndtri

    return np.exp(sd * ndtri(np.clip(u, 1e-12, 1 - 1e-12)) - sd * sd / 2)
