"""If untested patients are not like tested ones: how far they may differ before the answer changes.

The same random numbers serve every shift, so that curves are smooth and differences are the shift's alone. Source:
Carpenter and Kenward, Multiple Imputation and its Application (2013), 10.3 (delta adjustment, tipping point).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.analysis.screened import fails, statuses, unknowns
from feasibility.bounded import UPPER
from feasibility.errors import FeasibilityError
from feasibility.missing.estimands import check_within
from feasibility.missing.imputations import Imputations
from feasibility.missing.structure import AGE

DELTAS = (-np.inf, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, np.inf)
FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)
FAR = 10**9
"""A whole number beyond any limit, where a column declares none."""


@dataclass(frozen=True, eq=False)
class Departure:
    """The eligible patients of this extract against how far untested patients differ from tested ones.

    ``table`` has one row a shift: estimate (mean of the counts), low_95 and high_95 (smallest and largest of 39).
    ``of`` is the column or criterion, ``unit`` what a shift of 1 is, ``neutral`` the shift at which untested patients
    are like tested ones. ``bounds`` are confirmed and possible, which no shift leaves.
    """

    of: str
    kind: str
    unit: str
    neutral: float
    table: pd.DataFrame
    bounds: tuple[int, int]
    _count: Callable[[float], pd.DataFrame] = field(repr=False)

    def tipping_point(self, target: float) -> float | None:
        """The shift nearest to none at which the estimate crosses ``target``; None if no shift takes it there.

        Found by bisection to 0.001, assuming the count moves one way.
        """
        at = self._estimate(self.neutral)
        found = [self._crossing(target, at, end) for end in (-np.inf, np.inf)]
        found = [x for x in found if x is not None]
        if not found:
            return None
        best = min(found, key=abs)
        return float(np.exp(best)) if self.kind == "odds" else best

    def _estimate(self, shift: float) -> float:
        return float(self._count(shift)["n_confirmed"].mean())

    def _at(self, x: float) -> float:
        """The estimate at a shift on the scale that is searched: itself, or its logarithm for odds."""
        return self._estimate(np.exp(x) if self.kind == "odds" else x)

    def _crossing(self, target: float, start: float, end: float) -> float | None:
        def beyond(value):
            return value < target if start >= target else value >= target

        if not beyond(self._at(end)):
            return None
        inner, outer = 0.0, np.copysign(0.5, end)
        while not beyond(self._at(outer)):
            inner, outer = outer, outer * 2
            if abs(outer) > 600:
                return float(end)
        while abs(outer - inner) > 1e-3:
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if beyond(self._at(middle)) else (middle, outer)
        return float(outer)


def delta_curve(
    imputations: Imputations, column: str, deltas: Iterable[float] = DELTAS, *, seed: int = 1,
    progress: Callable[[str, float], None] | None = None,
) -> Departure:  # fmt: skip
    """What follows if the true values of one column are higher or lower than imputed, by so much.

    ``deltas`` are in residual standard deviations for a number (what is left of its spread once the other columns are
    known) and in log odds for a yes or no; ``-inf`` and ``inf`` set the column to its lowest and highest possible
    value (within what is recorded of the patient), so for a criterion that only falls or rises with it, to its worst
    and best case exactly. Times since an event that may be "never" move in their days and in the odds of never alike.
    Other columns stay as imputed.

    Raises FeasibilityError for a column that was not imputed, and for a coded one (see ``untested_odds``).
    """
    shifted, unit = _shifter(imputations, column, seed)
    criteria = imputations.screening.protocol.assessable
    failed, unknown = imputations.verdicts
    parts = [p for p in imputations.observed.columns if p.removesuffix(UPPER) == column]
    asked = []
    for i, criterion in enumerate(criteria):
        if column in criterion.reads:
            at = unknowns(imputations.screening, i)[imputations.rows]
            at = np.intersect1d(np.flatnonzero(at), shifted.at)
            if len(at):
                asked.append((i, criterion, at))
    every = np.arange(imputations.m)
    kept = [imputations.stacked(criterion.reads, at, every) for _, criterion, at in asked]

    def count(delta: float) -> pd.DataFrame:
        out, open_ = failed.copy(), unknown.copy()
        values = shifted(delta)
        for (i, criterion, at), frame in zip(asked, kept, strict=True):
            place = np.full(len(imputations.rows), -1)
            place[at] = np.arange(len(at))
            here = place[shifted.at] >= 0
            target = (every[:, None] * len(at) + place[shifted.at][here]).ravel()
            changed = {}
            for part in parts:
                changed[part] = frame[part].array.copy()
                changed[part][target] = values.take(np.flatnonzero(np.tile(here, imputations.m)))
            no, hole = statuses(criterion, frame.assign(**changed))
            out[:, i, at], open_[:, i, at] = (x.reshape(imputations.m, -1) for x in (no & ~hole, hole))
        return _counts(imputations, out, open_)

    return _departure(imputations, column, "delta", unit, 0.0, deltas, count, progress)


def untested_odds(
    imputations: Imputations, criterion: str | None = None, factors: Iterable[float] = FACTORS, *, seed: int = 1
) -> Departure:
    """What follows if untested patients pass a criterion half, or twice, as often as tested patients like them.

    ``factors`` multiply the odds that a patient for whom the criterion (by id or name; None: every one) is unknown
    passes it; 0 and inf are its worst and best case. The odds without a factor are the share of imputations in which
    the patient passes, drawn a little towards the share among the tested.

    Raises ProtocolError for an unknown criterion, FeasibilityError for one that is known for every undetermined
    patient, and for a negative factor.
    """
    screening = imputations.screening
    criteria = list(screening.protocol.assessable)
    chosen = criteria if criterion is None else [screening.protocol[criterion]]
    failed, unknown = imputations.verdicts
    rng = np.random.default_rng([seed, 0])
    coupled = []
    for i, one in enumerate(criteria):
        at = np.flatnonzero(unknowns(screening, i)[imputations.rows])
        if one not in chosen or not len(at):
            continue
        tested = ~unknowns(screening, i)
        usual = float((~fails(screening, i))[tested].mean()) if tested.any() else 0.5
        passes = ~failed[:, i, at]
        coupled.append((i, at, *_coupled(rng, passes, usual)))
    if not coupled:
        raise FeasibilityError(
            f"Criterion {criterion} is known for every undetermined patient: there is nothing to shift."
        )
    factors = list(factors)
    if not factors or any(not f >= 0 for f in factors):
        raise FeasibilityError(f"factors multiply odds: numbers from 0 up; got {factors}.")

    def count(factor: float) -> pd.DataFrame:
        out, open_ = failed.copy(), unknown.copy()
        for i, at, u, p in coupled:
            out[:, i, at] = ~_happens(u, p, factor)
            # What could not be imputed stays open, but for the two ends, which need no imputation.
            if factor in (0, np.inf):
                open_[:, i, at] = False
            out[:, i, at] &= ~open_[:, i, at]
        return _counts(imputations, out, open_)

    of = "every criterion" if criterion is None else chosen[0].id
    return _departure(imputations, of, "odds", "times the odds of passing", 1.0, factors, count, None)


def tipping_point(departure: Departure, target: float) -> float | None:
    """The shift at which the estimate crosses ``target``, or None; see ``Departure.tipping_point``."""
    return departure.tipping_point(target)


def _coupled(rng, yes: np.ndarray, usual: float) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers and probabilities under which what was imputed happens: u < p exactly where it did."""
    p = np.clip((yes.sum(axis=0) + usual) / (len(yes) + 1), 1e-6, 1 - 1e-6)
    u = rng.random(yes.shape)
    return np.where(yes, u * p, p + u * (1 - p)), p


def _happens(u: np.ndarray, p: np.ndarray, factor: float) -> np.ndarray:
    if np.isinf(factor):
        return np.ones(u.shape, dtype=bool)
    if factor == 0:
        return np.zeros(u.shape, dtype=bool)
    return u < factor * p / (1 - p + factor * p) if factor != 1 else u < p


class _Shift:
    """The imputed values of a column, shifted: ``at`` the positions; called with a shift, all imputations in a row."""

    def __init__(self, at, values):
        self.at, self._values = at, values

    def __call__(self, delta: float):
        return self._values(delta)


def _shifter(imputations: Imputations, column: str, seed: int) -> tuple[_Shift, str]:
    v = imputations._plan.variables[imputations._variable(column)]
    record = v.record
    if record.dtype == "string":
        raise FeasibilityError(
            f"Column {column!r} is coded: a code has no more and less. Use untested_odds(imputations, criterion)."
        )
    at, hole = imputations._target[column]
    mine = record.lacks[hole] != AGE
    at, hole = at[mine], hole[mine]
    rng = np.random.default_rng([seed, 1])
    drawn = [imputations.imputed(column, k)[column][1] for k in range(imputations.m)]
    if record.dtype == "boolean":
        known = np.stack([d.to_numpy(dtype=bool, na_value=False) for d in drawn])
        empty = np.stack([pd.isna(d) for d in drawn])
        u, p = _coupled(rng, known, float(v.targets[0][0][: len(record.donors)][record.donors].mean()))

        def flipped(delta):
            return pd.arrays.BooleanArray(_happens(u, p, np.exp(delta)).ravel(), empty.ravel().copy())

        return _Shift(at, flipped), "log odds"
    numbers = np.stack([d.to_numpy(dtype=float, na_value=np.nan) for d in drawn])
    low, high = record.hard or ((-np.inf, np.inf) if record.dtype == "Float64" else (-FAR, FAR))
    if record.dtype == "Int64":
        low, high = max(low, -FAR), min(high, FAR)
    lo, hi = np.maximum(record.lo[hole], low), np.minimum(record.hi[hole], high)
    known = v.values[: len(record.donors)][record.donors]
    sd = _residual_sd(imputations, v)
    never = np.isinf(numbers)
    may = np.isinf(known).any()
    if may:
        u, p = _coupled(rng, never, float(np.isinf(known).mean()))
        finite = known[np.isfinite(known)]
        instead = rng.choice(finite, numbers.shape) if len(finite) else np.zeros(numbers.shape)
        numbers = np.where(never, instead, numbers)
    dtype = "Int64" if record.dtype == "Int64" else "Float64"
    between = rng.random(numbers.shape)

    def moved(delta):
        if np.isinf(delta):
            values = np.where(np.isnan(numbers), np.nan, hi if delta > 0 else lo)
        else:
            values = numbers + delta * sd
            # Whole numbers move one by one, each patient's at another shift, so that the curve has no steps.
            values = np.clip(np.floor(values + between) if dtype == "Int64" else values, lo, hi)
            if may:
                values = np.where(_happens(u, p, np.exp(delta)) & (hi == np.inf), np.inf, values)
        values = values.ravel()
        missing = np.isnan(values)
        return pd.Series(pd.array(np.where(missing, 0.0, values), dtype="Float64")).mask(missing).astype(dtype).array

    return _Shift(at, moved), f"{sd:.3g} (one residual standard deviation)"


def _residual_sd(imputations: Imputations, v) -> float:
    """Spread of the known values that the other columns leave unexplained."""
    donors = np.flatnonzero(v.record.donors)
    y = v.values[donors]
    donors, y = donors[np.isfinite(y)], y[np.isfinite(y)]
    if len(y) < 3:
        return 0.0
    X = np.column_stack([np.ones(len(y)), imputations._plan.X[v.predictors][:, donors].T])
    slopes = np.linalg.lstsq(X, y, rcond=None)[0]
    rest = float(((y - X @ slopes) ** 2).sum())
    return float(np.sqrt(rest / max(len(y) - X.shape[1], 1)))


def _counts(imputations: Imputations, failed: np.ndarray, unknown: np.ndarray) -> pd.DataFrame:
    out, open_ = failed.any(axis=1), unknown.any(axis=1)
    possible = imputations.n_confirmed + (~out).sum(axis=1)
    return pd.DataFrame({"n_confirmed": possible - (~out & open_).sum(axis=1), "n_possible": possible})


def _departure(imputations, of, kind, unit, neutral, shifts, count, progress) -> Departure:
    shifts = [float(x) for x in shifts]
    if not shifts or np.isnan(shifts).any():
        raise FeasibilityError(f"At least one shift is needed, each a number; got {shifts}.")
    low, high = imputations.n_confirmed, imputations.n_confirmed + len(imputations.rows)
    rows = []
    for j, shift in enumerate(shifts):
        if progress:
            progress(f"shift {shift:g}", j / len(shifts))
        counts = count(shift)
        check_within(counts["n_confirmed"], counts["n_possible"], low, high)
        rows.append((counts["n_confirmed"].mean(), counts["n_confirmed"].min(), counts["n_possible"].max()))
    table = pd.DataFrame(rows, columns=["estimate", "low_95", "high_95"], index=pd.Index(shifts, name=kind))
    return Departure(of, kind, unit, neutral, table.sort_index(), (low, high), count)
