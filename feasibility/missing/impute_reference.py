"""The reference: the same chained equations, statsmodels' MICEData doing the fitting, the draws and the matching."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError
from feasibility.missing.features import Variable
from feasibility.missing.impute_pmm import DONORS, answers_of, within

ABSENT = (
    "Imputing with method='statsmodels' needs statsmodels 0.15 or later, which is not installed."
    " Install it (pip install 'statsmodels>=0.15'), or use method='pmm', which needs nothing more."
)


def _library():
    try:
        from statsmodels.imputation.mice import MICEData
    except ImportError:
        raise FeasibilityError(ABSENT) from None

    class Given(MICEData):
        """MICEData with the design matrix given, which spares parsing a formula for every update."""

        def __init__(self, y, design, k_pmm, rng):
            self._design = np.column_stack([np.ones(design.shape[1]), design.T])
            super().__init__(pd.DataFrame({"y": y}).assign(any=0.0), k_pmm=k_pmm, rng=rng)
            self.k_pmm = k_pmm

        def get_fitting_data(self, vname):
            at = self.ix_obs[vname]
            return self.data[vname].to_numpy()[at], self._design[at], {}, {}

        def get_split_data(self, vname):
            known, holes = self.ix_obs[vname], self.ix_miss[vname]
            return self.data[vname].to_numpy()[known], self._design[known], self._design[holes], {}, {}

    return Given


def predictor(chain):
    """How a ``Chain`` imputes one panel with statsmodels: takes the place of ``Chain.predicted``.

    statsmodels is given the panel as the chain holds all the others: it fits the regression, draws the coefficients
    and finds the donors. Values carry a tiny unique offset by which the donor is known again, so that the whole record
    comes from one patient. As in the fast path donors are resampled first. A panel of several numbers is matched on
    the one combination of them that the predictors tell most about.
    """
    library, rng = _library(), chain.rng

    def predicted(together: list[Variable], which: np.ndarray) -> list[np.ndarray]:
        v = together[0]
        rows = v.record.holes[which]
        joint = len(together) > 1 or v.record.dtype == "string"
        design = chain.X[chain.predictors_of(together)]
        chosen = np.empty(len(which), dtype=np.int64)
        left = np.arange(len(which))
        for part, (y, donors) in enumerate(v.targets):
            if not len(donors) or not len(left):  # it never happened to anybody who is known, or to nobody here
                break
            pooled = donors[rng.integers(0, len(donors), len(donors))]
            answer = y[pooled]
            if joint:
                answers = np.concatenate([answers_of(one, pooled) for one in together])
                answer = _leading(answers, design[:, pooled])
            at = _one(library, answer, design[:, pooled], design[:, rows[left]], rng)
            chosen[left] = pooled[at]
            if part < len(v.targets) - 1:
                left = left[~v.never[chosen[left]] | (v.record.hi[which[left]] < np.inf)]
        if joint:
            return [chosen] * len(together)
        return [within(rng, v, which, chosen, np.flatnonzero(v.record.donors))]

    return predicted


def _leading(answers: np.ndarray, donors: np.ndarray) -> np.ndarray:
    """The leading canonical variate of several numbers on their predictors."""
    answers = answers[np.ptp(answers, axis=1) > 0] if len(answers) else answers
    if not len(answers) or not len(donors):
        return np.zeros(donors.shape[1])
    y = answers - answers.mean(axis=1, keepdims=True)
    x = donors - donors.mean(axis=1, keepdims=True)
    fitted = np.linalg.lstsq(x.T, y.T, rcond=None)[0].T @ x
    spread = y @ y.T
    spread[np.diag_indices(len(spread))] *= 1 + 1e-6
    values, vectors = np.linalg.eig(np.linalg.solve(spread, fitted @ fitted.T))
    return vectors[:, np.argmax(values.real)].real @ y


def _independent(X: np.ndarray) -> np.ndarray:
    """The predictors that say something the others do not: dependent ones leave no covariance to draw from."""
    from scipy.linalg import qr

    centred = X - X.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1))
    varies = np.flatnonzero(spread > 1e-9)
    most = max(X.shape[1] - 2, 1)  # as many as leave a residual
    _, r, order = qr((centred[varies] / spread[varies, None]).T, mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    return np.sort(varies[order[: len(size)][size > 1e-6 * max(size.max(initial=0.0), 1e-300)][:most]])


def _one(library, y: np.ndarray, donors: np.ndarray, holes: np.ndarray, rng) -> np.ndarray:
    """One update of one variable; the numbers of the donors statsmodels chose."""
    n, h = len(y), holes.shape[1]
    if np.ptp(y) == 0 or not h:
        return rng.integers(0, n, h)
    step = 1e-7 * float(np.ptp(y)) / n
    marked = y + step * rng.permutation(n)
    X = np.concatenate([donors, holes], axis=1)
    # A number that says nothing breaks ties: statsmodels takes the same few donors of many with equal predictions.
    X = np.concatenate([X, rng.standard_normal((1, n + h))])
    data = library(np.concatenate([marked, np.full(h, np.nan)]), X[_independent(X[:, :n])], min(DONORS, n), rng)
    data.update("y")
    found = data.data["y"].to_numpy()[n:]
    order = np.argsort(marked)
    at = np.clip(np.searchsorted(marked[order], found), 0, n - 1)
    return order[at]
