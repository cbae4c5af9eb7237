"""Whether an imputation can be believed: what was filled, how it differs from what is known, whether chains agree."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.missing.imputations import Imputations
from feasibility.missing.structure import AGE

BINS = 20


def imputation_summary(imputations: Imputations) -> pd.DataFrame:
    """One row an imputed column: how much of it was imputed, from whom, and how it compares with the known values.

    Columns: n_imputed (undetermined patients with a hole there) and their share of the undetermined, n_donors (known
    values it could come from), share_not_applicable (found not to apply once other columns were imputed),
    mean_known and mean_imputed (of finite numbers, or the share of yes; NaN for codes), share_never_known and
    share_never_imputed, and r_hat (see ``r_hat``). A difference between known and imputed is no error: untested
    patients differ in the other columns too.
    """
    rows = {}
    hats = r_hat(imputations)
    for name in imputations.columns:
        v = imputations._plan.variables[imputations._variable(name)]
        at, hole = imputations._target[name]
        mine = v.record.lacks[hole] != AGE
        known = _numbers(v, np.flatnonzero(v.record.donors))
        places = imputations._places[name][:, mine]
        filled = _numbers(v, places[places != imputations._plan.n])
        rows[name] = {
            "n_imputed": len(at), "share": len(at) / len(imputations.rows), "n_donors": int(v.record.donors.sum()),
            "share_not_applicable": float((places == imputations._plan.n).mean()) if places.size else 0.0,
            "mean_known": _mean(known), "mean_imputed": _mean(filled),
            "share_never_known": _never(known), "share_never_imputed": _never(filled), "r_hat": hats[name],
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("column")


def observed_and_imputed(imputations: Imputations, columns=None) -> pd.DataFrame:
    """How the known and the imputed values of columns are distributed, for ``plot_observed_imputed``.

    One row a bin (or code, yes or no, "never"): column, label, left, right (NaN where it is no interval),
    share_known and share_imputed, each adding up to 1 in a column. Known are the values of everyone fitted on.

    Raises FeasibilityError for a column that was not imputed.
    """
    made = []
    for name in imputations.columns if columns is None else columns:
        v = imputations._plan.variables[imputations._variable(name)]
        places = imputations._places[name][:, v.record.lacks[imputations._target[name][1]] != AGE]
        known, filled = np.flatnonzero(v.record.donors), places[places != imputations._plan.n]
        if not len(known) or not len(filled):
            continue
        made += _bins(imputations, name, v, known, filled)
    columns = ["column", "label", "left", "right", "share_known", "share_imputed"]
    return pd.DataFrame(made, columns=columns)


def chain_trace(imputations: Imputations, column: str) -> pd.DataFrame:
    """The mean and spread of a column's imputed values after each cycle (rows) of each chain, in its normal scores.

    Columns ("mean", k) and ("sd", k) for chain k. Lines that mix without a trend are what one wants to see.
    """
    if column not in imputations.trace:
        raise FeasibilityError(f"No column {column!r} was imputed.{did_you_mean(column, imputations.trace)}")
    trace = imputations.trace[column]
    names = pd.MultiIndex.from_product([["mean", "sd"], range(imputations.m)])
    cycles = pd.RangeIndex(1, imputations.cycles + 1, name="cycle")
    return pd.DataFrame(np.concatenate([trace[:, :, 0].T, trace[:, :, 1].T], axis=1), index=cycles, columns=names)


def r_hat(imputations: Imputations) -> pd.Series:
    """Gelman and Rubin's factor for the mean of each column's imputed values, over the cycles after the first.

    Near 1 where chains agree; with so few cycles a rough guide, and values up to about 1.2 are common. NaN where
    nothing varies, or fewer than 3 cycles were run. Source: Gelman and Rubin (1992), Statistical Science 7, 457.
    """
    found = {}
    for name, trace in imputations.trace.items():
        x = trace[:, 1:, 0]
        n = x.shape[1]
        found[name] = np.nan
        if n >= 2:
            within, between = x.var(axis=1, ddof=1).mean(), n * x.mean(axis=1).var(ddof=1)
            if within > 0:
                found[name] = float(np.sqrt(((n - 1) / n * within + between / n) / within))
    return pd.Series(found, name="r_hat", dtype=float)


def _numbers(v, places: np.ndarray) -> np.ndarray:
    if v.record.numeric:
        return v.values[places]
    return v.targets[0][0][places] if v.record.dtype == "boolean" else np.full(len(places), np.nan)


def _mean(x: np.ndarray) -> float:
    x = x[np.isfinite(x)]
    return float(x.mean()) if len(x) else np.nan


def _never(x: np.ndarray) -> float:
    return float(np.isinf(x).mean()) if len(x) else np.nan


def _bins(imputations: Imputations, name: str, v, known: np.ndarray, filled: np.ndarray) -> list[tuple]:
    if not v.record.numeric:
        codes = v.targets[0][0]
        array = imputations._pool(name, name)
        kinds = np.unique(codes[np.concatenate([known, filled])])
        words = [str(array[int(np.flatnonzero(codes == c)[0])]) for c in kinds]
        if v.record.dtype == "boolean":
            words = ["yes" if c else "no" for c in kinds]
        return [(name, w, np.nan, np.nan, (codes[known] == c).mean(), (codes[filled] == c).mean())
                for w, c in zip(words, kinds, strict=True)]  # fmt: skip
    a, b = v.values[known], v.values[filled]
    made = []
    finite = a[np.isfinite(a)]
    if len(finite):
        low, high = np.quantile(finite, [0.005, 0.995])
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        if v.record.dtype == "Int64" and high - low <= BINS:
            edges = np.arange(low, high + 2) - 0.5
        # The outermost bins take what lies beyond them.
        shares = [np.histogram(np.clip(x[np.isfinite(x)], edges[0], edges[-1]), edges)[0] / len(x) for x in (a, b)]
        made = [(name, "", *row) for row in zip(edges[:-1], edges[1:], *shares, strict=True)]
    if np.isinf(a).any() or np.isinf(b).any():
        made.append((name, "never", np.nan, np.nan, np.isinf(a).mean(), np.isinf(b).mean()))
    return made
