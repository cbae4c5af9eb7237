"""Records as numbers: what is predicted, and what others are predicted from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.missing.structure import Record

LEAST = 10
"""Known values below which a column is not modelled."""
LEVELS = 12


@dataclass(eq=False)
class Variable:
    """A record ready to be imputed.

    Its *pool* is the rows at work on, then one slot for "not applicable" and one for each declared fill: what a hole
    receives is always the number of a place in the pool. ``features`` are its numbers as a predictor, ``targets`` what
    is predicted of it: (numbers of the pool, donors), two for a record that may be "never".
    """

    record: Record
    features: np.ndarray = field(repr=False)
    targets: list[tuple[np.ndarray, np.ndarray]] = field(repr=False)
    never: np.ndarray | None = field(default=None, repr=False)
    values: np.ndarray | None = field(default=None, repr=False)
    first: int = 0
    predictors: np.ndarray | None = None
    rules: list[tuple] = field(default_factory=list)
    parent: tuple | None = None

    @property
    def own(self) -> slice:
        return slice(self.first, self.first + len(self.features))


def pool(record: Record, frame: pd.DataFrame, part: str) -> pd.api.extensions.ExtensionArray:
    """The values of one part of a record for every place in its pool."""
    base, dtype = part.removesuffix(UPPER), frame[part].dtype
    values = [fill.value if base == record.column else fill.age for fill in record.fills]
    values = [pd.NA if v is None or callable(v) else v for v in values]
    extra = pd.Series(pd.array([pd.NA, *values], dtype=dtype))
    return pd.concat([frame[part], extra], ignore_index=True).array


def variable(record: Record, frame: pd.DataFrame) -> Variable | None:
    """The record as numbers; None if nothing can be predicted of it nor from it."""
    n, places = len(frame), len(frame) + 1 + len(record.fills)
    known = np.zeros(places, dtype=bool)
    known[:n] = record.known
    donors = np.flatnonzero(record.donors)
    values = pool(record, frame, record.column)
    if record.numeric:
        number = values.to_numpy(dtype=float, na_value=np.nan)
        never = np.isinf(number)
        finite = known & ~never & ~np.isnan(number)
        score = _scores(number, finite)
        features = [score] if finite.any() and np.ptp(number[finite]) > 0 else []
        targets = [(score, donors)]
        if never[donors].any():
            targets = [(never.astype(float), donors), (score, donors[~never[donors]])]
        if _both(never[known]):
            features.append(_centred(never.astype(float), known))
        return Variable(record, _stacked(features, places), targets, never, number)
    if record.dtype == "boolean":
        yes = values.to_numpy(dtype=float, na_value=0.0)
        features = [_centred(yes, known)] if _both(yes[known] > 0) else []
        return Variable(record, _stacked(features, places), [(yes, donors)])
    codes, levels = pd.factorize(values)
    counts = np.bincount(codes[known][codes[known] >= 0], minlength=len(levels)) if known.any() else np.zeros(0)
    common = np.argsort(-counts, kind="stable")[:LEVELS]
    if len(levels) > 4 * LEVELS:  # names or free text: no pattern that others share
        common = common[:0]
    features = [_centred((codes == c).astype(float), known) for c in common[: len(common) - (len(common) > 1)]
                if _both(codes[known] == c)]  # fmt: skip
    return Variable(record, _stacked(features, places), [(codes.astype(float), donors)])


def _both(yes: np.ndarray) -> bool:
    """Whether enough patients say yes, and no, to learn anything from it."""
    return LEAST <= yes.sum() <= len(yes) - LEAST


def _stacked(features: list[np.ndarray], places: int) -> np.ndarray:
    return np.stack(features) if features else np.empty((0, places))


def _centred(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    if not known.any():
        return np.zeros(len(x))
    mean, sd = x[known].mean(), x[known].std()
    return np.where(known, (x - mean) / (sd or 1.0), 0.0)


def _scores(number: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Normal scores of the finite values: laboratory values are skewed, and prediction is linear."""
    from scipy.special import ndtri

    score = np.zeros(len(number))
    if finite.any():
        distinct, inverse, counts = np.unique(number[finite], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - counts / 2
        at = ndtri(middle / counts.sum())
        score[finite] = at[inverse]
        rest = ~finite & np.isfinite(number)
        score[rest] = np.interp(number[rest], distinct, at)
    return score
