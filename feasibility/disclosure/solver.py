"""The attacker's solver: how far a group's count can move while everything published stays true.

One linear programme in the changes from the true counts (HiGHS, Huangfu and Hall 2018). Asked for the smallest change
that brings a group to a given count, it needs few steps and mostly finds whole numbers; asked for the extremes, it
gives bounds beyond which no whole numbers can lie.
"""

from __future__ import annotations

import time

import numpy as np

from feasibility.errors import ReconciliationError

NEAR = 1e-6
OPEN = 2**53
"""Ends beyond it are open."""


class Clock:
    """How much of a time budget is left, in seconds."""

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - time.monotonic()


class Solver:
    """Whole numbers of 0 or more, one a column, with ``lo <= rows @ x <= hi``; asked about sums over ``wanted``.

    ``rows`` and ``wanted`` are sparse matrices of zeros and ones, ``n`` one solution. No column goes beyond ``most``:
    if that is above every ``lo``, a larger number would satisfy nothing more. With ``columns`` only those may differ
    from ``n``: what is found then is still possible, but what is not found may be, too.
    """

    def __init__(self, rows, lo, hi, wanted, n: np.ndarray, most: int, clock: Clock, columns=None):
        import highspy
        from scipy.sparse import hstack, vstack

        self._hs, self.clock, self.n, self.facts = highspy, clock, n, rows.shape[0]
        self.free = np.arange(len(n)) if columns is None else columns
        self._held = self.free[n[self.free] > 0]
        signs = np.r_[np.ones(len(self.free)), -np.ones(len(self._held))]
        both = vstack([rows, wanted]).tocsc()
        matrix = hstack([both[:, self.free], both[:, self._held]]).tocsr()
        matrix.data = matrix.data * signs[matrix.indices]
        self._matrix, self._wanted_now = matrix, wanted @ n
        inf = highspy.kHighsInf
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = matrix.shape
        lp.col_cost_ = np.ones(matrix.shape[1])
        lp.col_lower_ = np.zeros(matrix.shape[1])
        lp.col_upper_ = np.r_[np.maximum(most - n[self.free], 0), n[self._held]].astype(float)
        now, free = rows @ n, np.full(wanted.shape[0], inf)
        lp.row_lower_ = np.r_[(lo - now).astype(float), -free]
        lp.row_upper_ = np.r_[np.where(hi >= OPEN, inf, (np.minimum(hi, OPEN) - now).astype(float)), free]
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = matrix.indptr.astype(np.int32)
        lp.a_matrix_.index_ = matrix.indices.astype(np.int32)
        lp.a_matrix_.value_ = matrix.data.astype(float)
        self._lp, self._integer = lp, None
        self._all = np.arange(matrix.shape[1], dtype=np.int32)
        self._model = self._opened({"presolve": "off", "solver": "simplex"})

    def _opened(self, options):
        model = self._hs.Highs()
        for name, value in ({"output_flag": False, "threads": 1} | options).items():
            model.setOptionValue(name, value)
        model.passModel(self._lp)
        return model

    def reach(self, j: int, count: int, weights: np.ndarray | None = None) -> np.ndarray | None | bool:
        """A solution near the true one in which group ``j`` has ``count`` patients, perhaps in fractions.

        False where there is none, None when the time is over. ``weights`` (one a column) prefer other solutions.
        """
        return self._moved(self._model, j, count, np.inf, weights)

    def reach_whole(self, j: int, count: int, seconds: float) -> np.ndarray | None | bool:
        """The same in whole numbers."""
        if self._integer is None:
            self._integer = self._opened({"mip_rel_gap": 1e9, "mip_heuristic_effort": 0.2})
            kind = np.full(len(self._all), int(self._hs.HighsVarType.kInteger), dtype=np.uint8)
            self._integer.changeColsIntegrality(len(self._all), self._all, kind)
        return self._moved(self._integer, j, count, seconds, None)

    def _moved(self, model, j, count, seconds, weights):
        row, move = self.facts + j, float(count - self._wanted_now[j])
        model.changeRowBounds(row, move, move)
        cost = np.ones(len(self._all)) if weights is None else np.r_[weights[self.free], weights[self._held]]
        status = self._run(model, cost, False, seconds)
        inf = self._hs.kHighsInf
        model.changeRowBounds(row, -inf, inf)
        return self._solution(model) if status else status

    def bound(self, j: int, largest: bool) -> tuple[float, np.ndarray] | None:
        """The extreme of group ``j`` in fractions, and the weight of each fact in it; None when the time is over."""
        cost = np.zeros(len(self._all))
        row = slice(self._matrix.indptr[self.facts + j], self._matrix.indptr[self.facts + j + 1])
        cost[self._matrix.indices[row]] = self._matrix.data[row]
        if not self._run(self._model, cost, largest, np.inf):
            return None
        value = self._model.getInfo().objective_function_value + self._wanted_now[j]
        return value, np.array(self._model.getSolution().row_dual)[: self.facts]

    def _solution(self, model) -> np.ndarray | None:
        change = np.array(model.getSolution().col_value)
        if len(change) != len(self._all):
            return None
        x = self.n.astype(float)
        x[self.free] += change[: len(self.free)]
        x[self._held] -= change[len(self.free) :]
        return x

    def _run(self, model, cost, largest: bool, seconds: float) -> bool | None:
        seconds = min(seconds, self.clock.left)
        if seconds <= 0:
            return None
        # Each question starts from the true counts, so that no answer depends on those before it.
        model.clearSolver()
        # HiGHS counts the time of all its runs together.
        model.setOptionValue("time_limit", model.getRunTime() + seconds)
        sense = self._hs.ObjSense.kMaximize if largest else self._hs.ObjSense.kMinimize
        model.changeObjectiveSense(sense)
        model.changeColsCost(len(cost), self._all, cost)
        model.run()
        status, known = model.getModelStatus(), self._hs.HighsModelStatus
        if status == known.kOptimal:
            return True
        if status == known.kInfeasible:
            return False
        if status in (known.kUnbounded, known.kUnboundedOrInfeasible):
            raise ReconciliationError("The attack on the release has no limits: a defect of this package.")
        return None
