"""Chained equations by predictive mean matching, in numpy: parameters from the normal equations, donors by search."""

from __future__ import annotations

import numpy as np

from feasibility.missing.features import Variable
from feasibility.missing.plan import Plan
from feasibility.missing.structure import AGE

DONORS = 5
"""A value comes from one of so many nearest patients (the default of mice)."""
WINDOW = 64
"""Among so many nearest patients a value within recorded bounds is looked for before all are."""


class Chain:
    """One chain of imputations: the state of every hole, and one cycle after another.

    Everything is a place in a variable's pool, so a value always is one that somebody has.
    """

    def __init__(self, plan: Plan, rng: np.random.Generator):
        self.plan, self.rng = plan, rng
        self.X = plan.X.copy()
        rows = np.arange(plan.n)
        self.current = [rows.copy() for _ in plan.variables]
        for i in range(len(plan.variables)):
            self._put([i], [self._decided(i)], lambda together, which: [self.random(together[0], which)])

    def cycle(self, predict=None) -> None:
        """Impute every variable once, given all the others as they are now."""
        for panel in self.plan.panels:
            self._put(panel, [self._decided(i) for i in panel], predict or self.predicted)

    def _decided(self, i: int) -> np.ndarray:
        """For every hole of a variable the place that the declared rules give it, or -1 where they leave it open."""
        v, n = self.plan.variables[i], self.plan.n
        places = np.full(len(v.record.holes), -1)
        if v.parent is not None:
            p, arises = v.parent
            places[~arises[self.current[p][v.record.holes]]] = n
        for j, where, condition in v.rules:
            free = places[where] == -1
            places[where[free & condition(self.current)]] = n + 1 + j
        # A record that is there and lacks only its age keeps its value whatever the rules say.
        places[v.record.lacks == AGE] = -1
        if not v.record.donors.any():
            places[places == -1] = n
        return places

    def _put(self, panel: list[int], decided: list[np.ndarray], draw) -> None:
        together = [self.plan.variables[i] for i in panel]
        which = np.flatnonzero(decided[0] == -1)
        drawn = draw(together, which) if len(which) else []
        for i, v, places, more in zip(panel, together, decided, drawn or [None] * len(panel), strict=True):
            if more is not None:
                places[which] = more
            self.current[i][v.record.holes] = places
            self.X[v.own, v.record.holes] = v.features[:, places]

    def random(self, v: Variable, which: np.ndarray) -> np.ndarray:
        """Any donor within the bounds: where a chain begins."""
        donors = np.flatnonzero(v.record.donors)
        return within(self.rng, v, which, donors[self.rng.integers(0, len(donors), len(which))], donors)

    def predicted(self, together: list[Variable], which: np.ndarray) -> list[np.ndarray]:
        """Predictive mean matching: one donor for a whole panel; "never" in two parts, ever, then when."""
        v = together[0]
        if len(together) > 1 or v.record.dtype == "string":
            return [self.panel(together, which)] * len(together)
        rows = v.record.holes[which]
        design = self.X[v.predictors]
        chosen = np.empty(len(which), dtype=np.int64)
        left = np.arange(len(which))
        for part, (y, donors) in enumerate(v.targets):
            if not len(donors) or not len(left):  # it never happened to anybody who is known, or to nobody here
                break
            last = part == len(v.targets) - 1
            # Donors are resampled first (approximate Bayesian bootstrap): how many of them say yes is uncertain too.
            pooled = donors[self.rng.integers(0, len(donors), len(donors))]
            bounds = None if not last else (v.record.lo[which[left]], v.record.hi[which[left]], v.values)
            at = matched(self.rng, y[pooled], design[:, pooled], design[:, rows[left]], bounds, pooled)
            chosen[left] = pooled[at]
            if not last:
                ever = ~v.never[chosen[left]] | (v.record.hi[which[left]] < np.inf)
                left = left[ever]
        return [within(self.rng, v, which, chosen, np.flatnonzero(v.record.donors))]

    def panel(self, together: list[Variable], which: np.ndarray) -> np.ndarray:
        """The same for several numbers at once: nearest by the Mahalanobis distance of predictions (Little 1988)."""
        rows, donors = together[0].record.holes[which], np.flatnonzero(together[0].record.donors)
        pooled = donors[self.rng.integers(0, len(donors), len(donors))]
        design = self.X[self.predictors_of(together)]
        answers = np.concatenate([answers_of(v, pooled) for v in together])
        return pooled[jointly(self.rng, answers, design[:, pooled], design[:, rows])]

    @staticmethod
    def predictors_of(together: list[Variable]) -> np.ndarray:
        """What a panel is predicted from: the predictors of its members that are none of it themselves."""
        spots = np.concatenate([v.predictors for v in together])
        own = np.concatenate([np.arange(v.own.start, v.own.stop) for v in together])
        return np.setdiff1d(spots, own)


def answers_of(v: Variable, places: np.ndarray) -> np.ndarray:
    """What is predicted of a variable without bounds: its number, or one indicator for each of its codes."""
    y = v.targets[0][0][places]
    return (y == np.unique(y)[1:, None]).astype(float) if v.record.dtype == "string" else y[None]


def within(rng, v: Variable, which: np.ndarray, chosen: np.ndarray, donors: np.ndarray) -> np.ndarray:
    """Replace donors outside the bounds of a hole by a random one inside, or by the nearest where none is."""
    if not v.record.numeric:
        return chosen
    lo, hi = v.record.lo[which], v.record.hi[which]
    out = np.flatnonzero((v.values[chosen] < lo) | (v.values[chosen] > hi))
    if len(out):
        ranked = donors[np.argsort(v.values[donors], kind="stable")]
        first = np.searchsorted(v.values[ranked], lo[out], "left")
        last = np.searchsorted(v.values[ranked], hi[out], "right")
        some = last > first
        at = first + np.floor(rng.random(len(out)) * np.maximum(last - first, 1)).astype(int)
        at = np.where(some, at, np.clip(first, 0, len(ranked) - 1))
        chosen = chosen.copy()
        chosen[out] = ranked[at]
    return chosen


def matched(rng, y, donors: np.ndarray, holes: np.ndarray, bounds=None, pooled=None) -> np.ndarray:
    """For each hole the number of a donor whose predicted value is near the hole's.

    ``donors`` and ``holes`` have one row a predictor, one column a patient. Donors are predicted with the fitted
    coefficients, holes with a draw from their posterior by the normal equations (type 1 matching, as in mice).
    """
    n = len(y)
    if not len(donors) or np.ptp(y) == 0:
        score, wanted = np.zeros(n), np.zeros(holes.shape[1])
    else:
        slope, drawn, _ = (one[0] for one in _slopes(rng, y[None], donors))
        # Both pass through the means of the donors: only the slopes are uncertain here, the level is by resampling.
        score, wanted = slope @ donors, drawn @ holes + (slope - drawn) @ donors.mean(axis=1)
    return nearest(rng, score, wanted, bounds, pooled)


def jointly(rng, answers: np.ndarray, donors: np.ndarray, holes: np.ndarray, k: int = DONORS) -> np.ndarray:
    """``matched`` for several numbers at once, one row each: the number of a donor for each hole.

    Both sides are predicted with the drawn coefficients (type 2): with other coefficients the holes would leave the
    surface on which the predictions of the donors lie, and most would get the same few donors.
    """
    from scipy.spatial import KDTree

    n, h = donors.shape[1], holes.shape[1]
    answers = answers[np.ptp(answers, axis=1) > 0] if len(answers) else answers
    if not len(donors) or not len(answers):
        return rng.integers(0, n, h)
    _, drawn, rest = _slopes(rng, answers, donors)
    spread = rest @ rest.T / n
    spread[np.diag_indices(len(spread))] *= 1 + 1e-6
    white = np.linalg.inv(np.linalg.cholesky(spread))
    score, wanted = (white @ (drawn @ donors)).T, (white @ (drawn @ holes)).T
    # Ties are broken at random; the noise is far below any real difference.
    score += 1e-7 * rng.standard_normal(score.shape)
    wanted += 1e-7 * rng.standard_normal(wanted.shape)
    near = KDTree(score).query(wanted, k=min(k, n))[1].reshape(h, -1)
    return near[np.arange(h), rng.integers(0, near.shape[1], h)]


def _slopes(rng, answers: np.ndarray, donors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the regression of each answer: slopes as fitted, the same drawn from their posterior, and residuals."""
    n, p = donors.shape[1], len(donors)
    middle = donors.mean(axis=1)
    gram = donors @ donors.T - n * np.outer(middle, middle)
    # Predictors have variance 1 among everyone: one that hardly varies among the donors says nothing about the holes.
    varies = np.diag(gram) > 0.01 * n
    gram[~varies], gram[:, ~varies] = 0.0, 0.0
    # The ridge of mice, for predictors that have come to say the same.
    gram[np.diag_indices(p)] = np.where(varies, np.diag(gram) * (1 + 1e-5), 1.0)
    inverse = np.linalg.inv(np.linalg.cholesky(gram))
    centred = answers - answers.mean(axis=1, keepdims=True)
    slope = ((centred @ donors.T) @ inverse.T @ inverse) * varies
    rest = centred - (slope @ donors - (slope @ middle)[:, None])
    freedom = rng.chisquare(max(n - p - 1, 1), len(answers))
    sigma = np.sqrt(np.maximum((rest**2).sum(axis=1), 1e-12) / freedom)
    return slope, slope + sigma[:, None] * (rng.standard_normal(slope.shape) @ inverse) * varies, rest


def nearest(rng, score: np.ndarray, wanted: np.ndarray, bounds=None, pooled=None, k: int = DONORS) -> np.ndarray:
    """One of the k nearest donors of each hole, each as likely; among donors of one and the same score any of them."""
    n = len(score)
    k = min(k, n)
    scale = float(np.abs(score).max()) or 1.0
    # Sums in another order differ in the last digits: equal predictions must be ties.
    score, wanted = np.round(score / scale, 9), np.round(wanted / scale, 9)
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    at = np.searchsorted(ranked, wanted)
    before = np.clip(at - 1, 0, n - 1)
    after = np.clip(at, 0, n - 1)
    closest = np.where(wanted - ranked[before] < ranked[after] - wanted, before, after)
    first = np.searchsorted(ranked, ranked[closest], "left")
    ties = np.searchsorted(ranked, ranked[closest], "right") - first
    chosen = first + np.floor(rng.random(len(wanted)) * ties).astype(int)
    few = np.flatnonzero(ties < k)
    if len(few):
        chosen[few] = _window(rng, ranked, wanted[few], at[few], k)
    if bounds is not None:
        lo, hi, values = bounds
        bounded = np.flatnonzero(np.isfinite(lo) | np.isfinite(hi))
        if len(bounded):
            limits = lo[bounded], hi[bounded]
            chosen[bounded] = _inside(rng, ranked, wanted[bounded], at[bounded], k, limits, values[pooled[order]],
                                      chosen[bounded])  # fmt: skip
    return order[chosen]


def _window(rng, ranked, wanted, at, k: int) -> np.ndarray:
    near = at[:, None] + np.arange(-k, k)
    distance = np.abs(ranked[np.clip(near, 0, len(ranked) - 1)] - wanted[:, None])
    distance[(near < 0) | (near >= len(ranked))] = np.inf
    best = np.argpartition(distance, k - 1, axis=1)[:, :k]
    rows = np.arange(len(at))
    return near[rows, best[rows, rng.integers(0, k, len(at))]]


def _inside(rng, ranked, wanted, at, k: int, limits, values, fallback) -> np.ndarray:
    """The same among donors whose value lies within the bounds of the hole."""
    half = min(WINDOW // 2, len(ranked))
    near = at[:, None] + np.arange(-half, half)
    clipped = np.clip(near, 0, len(ranked) - 1)
    distance = np.abs(ranked[clipped] - wanted[:, None])
    here = values[clipped]
    bad = (near < 0) | (near >= len(ranked)) | (here < limits[0][:, None]) | (here > limits[1][:, None])
    distance[bad] = np.inf
    best = np.argsort(distance, axis=1, kind="stable")[:, :k]
    rows = np.arange(len(at))
    able = np.minimum((~bad).sum(axis=1), k)
    pick = best[rows, np.floor(rng.random(len(at)) * np.maximum(able, 1)).astype(int)]
    return np.where(able > 0, clipped[rows, pick], fallback)
