"""Arrivals where data are missing: what is certain, what is possible, and what each imputation gives."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.enrollment.arrivals import classify, in_pool
from feasibility.enrollment.dated import DatedScreening
from feasibility.enrollment.periods import Window
from feasibility.enrollment.spells import Lines
from feasibility.errors import FeasibilityError, ScreeningError

NEVER = np.datetime64("9999-12-31", "D")


def arrivals_bounds(
    dated: DatedScreening,
    *,
    by: str = "month",
    lookback_days: int | None = None,
    data_start=None,
    drop_last: bool = False,
    exits: pd.DataFrame | None = None,
    observation: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Between which numbers the newly eligible of each period lie, whatever the missing values are.

    A patient counts once, on the first eligible day. That day is not before the first possible and not after the first
    confirmed one, so a patient surely arrives in a period that holds both, and may arrive in any period with a
    possible row up to the first confirmed one. Arguments as in ``arrivals``.

    Returns, by period: exposure_months, n_at_least, n_at_most, and n_at_least_so_far, n_at_most_so_far (arrivals from
    the opening to the end of the period). The upper ends of single periods do not add up: one patient may be in
    several. Every ``arrivals_imputed`` lies within.

    >>> from feasibility.enrollment.dated import dated_statuses
    >>> rows = pd.DataFrame([("A", "2024-01-01", "ineligible"), ("A", "2024-02-10", "undetermined"),
    ...                      ("A", "2024-03-01", "eligible")], columns=["patient_id", "index_date", "status"])
    >>> found = arrivals_bounds(dated_statuses(rows, end="2024-03-31"), lookback_days=0)
    >>> found[["n_at_least", "n_at_most", "n_at_least_so_far"]].to_numpy().tolist()
    [[0, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    window = Window.of(dated, by, lookback_days, data_start, drop_last)
    lines = Lines.of(dated, exits, observation)
    possible, confirmed = (dated.mask(level)[lines.order] & lines.watched for level in ("possible", "confirmed"))
    n = len(dated.people)
    first_possible, first_confirmed = (_first(lines, mask, n) for mask in (possible, confirmed))
    # Rows on which the patient may become eligible for the first time, within the days of flow.
    inside = (lines.day > window.opening) & (lines.day <= window.last)
    may = possible & inside & (lines.day <= first_confirmed[lines.person])
    person, at = lines.person[may], window.position(lines.day[may])
    surely = (first_possible > window.opening) & (first_confirmed <= window.last)
    p, c = (window.position(d[surely]) for d in (first_possible, first_confirmed))
    k = len(window.periods)
    earliest = np.full(n, k)
    np.minimum.at(earliest, person, at)
    cells = np.unique(person * k + at) % k
    table = pd.DataFrame(
        {
            "exposure_months": window.exposure,
            "n_at_least": np.bincount(p[p == c], minlength=k),
            "n_at_most": np.bincount(cells, minlength=k),
            "n_at_least_so_far": np.cumsum(np.bincount(c, minlength=k)),
            "n_at_most_so_far": np.cumsum(np.bincount(earliest[earliest < k], minlength=k)),
        },
        index=pd.Index(window.periods, name="period"),
    )
    table.attrs |= window.stated
    return table


def arrivals_imputed(
    dated: DatedScreening,
    eligible: np.ndarray,
    *,
    by: str = "month",
    washout_days: int | None = None,
    lookback_days: int | None = None,
    data_start=None,
    drop_last: bool = False,
    stratum: str | None = None,
    exits: pd.DataFrame | None = None,
    observation: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Newly eligible patients per period in each of m imputed data sets, counted as ``arrivals`` counts.

    ``eligible`` is a boolean matrix, one row an imputation and one column a row of the cohort, in its order. Returns
    one row an imputation (``imputation``, from 0; with ``stratum`` one an imputation and stratum): stock, pool (as in
    ``Arrivals.totals``) and one column a period. ``attrs["exposure_months"]`` goes with the periods.

    Draw a missing record once per imputation, and carry it over the index dates on which it counts. Drawn anew for
    every row, a patient of many rows becomes eligible by chance sooner or later: arrivals come out too many, too early.

    Raises ScreeningError for a matrix that does not fit, or that changes a verdict already known.
    """
    matrix = np.asarray(eligible)
    if matrix.ndim != 2 or matrix.shape[1] != len(dated) or matrix.dtype != bool:
        raise ScreeningError(
            f"Imputed statuses are {matrix.dtype} of shape {matrix.shape}; a boolean matrix (imputations, {len(dated)}"
            " rows) is needed, True for eligible."
        )
    changed = (matrix != dated.mask("confirmed")) & (dated.code != 1)
    if changed.any():
        raise ScreeningError(
            f"{int(changed.any(axis=0).sum())} rows with a known verdict have another one in an imputation; only"
            " undetermined rows may be imputed."
        )
    window = Window.of(dated, by, lookback_days, data_start, drop_last)
    window.check_washout(washout_days)
    lines = Lines.of(dated, exits, observation)
    groups = np.array(["all"] * len(dated), dtype=object) if stratum is None else dated.stratum(stratum)
    group, names = pd.factorize(groups, sort=True)
    k, g = len(window.periods), len(names)
    # Two columns before the periods: stock and pool.
    counts = np.zeros((len(matrix), g, 2 + k), dtype="int64")
    for i, mask in enumerate(matrix):
        runs = lines.runs(mask)
        kind, of = classify(runs, window, washout_days), group[runs["row"]]
        flow = np.isin(kind, ("first", "return"))
        at = window.position(runs["start"].to_numpy()[flow])
        counts[i, :, 0] = np.bincount(of[kind == "stock"], minlength=g)
        counts[i, :, 1] = np.bincount(of[in_pool(runs, window)], minlength=g)
        counts[i, :, 2:] = np.bincount(of[flow] * k + at, minlength=g * k).reshape(g, k)
        same(f"imputation {i}: arrivals by period", counts[i, :, 2:].sum(), flow.sum())
    index = pd.RangeIndex(len(matrix), name="imputation")
    if stratum is not None:
        index = pd.MultiIndex.from_product([index, names], names=["imputation", stratum])
    columns = ["stock", "pool", *window.periods.astype(str)]
    table = pd.DataFrame(counts.reshape(-1, 2 + k), columns=columns, index=index)
    table.attrs |= window.stated | {"exposure_months": window.exposure.tolist(), "washout_days": washout_days}
    return table


def site_counts(imputed: pd.DataFrame) -> dict[str, dict]:
    """What a forecast needs of each site, from ``arrivals_imputed``: ``Site(name, **counts)``.

    Maps each stratum (or ``all``) to arrivals and stock, lists with one number an imputation, and months. The stock is
    the pool on the last day, with which a trial that opens then starts.

    >>> table = pd.DataFrame({"stock": [0, 0], "pool": [2, 3], "2024-01": [1, 0], "2024-02": [4, 4]})
    >>> table.attrs["exposure_months"] = [0.5, 1.0]
    >>> site_counts(table)
    {'all': {'arrivals': [5, 4], 'stock': [2, 3], 'months': 1.5}}
    """
    for name in ("stock", "pool"):
        if name not in imputed.columns or "exposure_months" not in imputed.attrs:
            raise FeasibilityError("site_counts needs the table of arrivals_imputed as it was returned.")
    groups = [("all", imputed)] if imputed.index.nlevels == 1 else imputed.groupby(level=1, sort=True)
    months = float(sum(imputed.attrs["exposure_months"]))
    return {
        str(name): {
            "arrivals": part.drop(columns=["stock", "pool"]).sum(axis=1).tolist(),
            "stock": part["pool"].tolist(),
            "months": months,
        }
        for name, part in groups
    }


def _first(lines: Lines, mask: np.ndarray, n: int) -> np.ndarray:
    """The first day of each person on which the mask holds; far in the future if never."""
    days = np.full(n, NEVER)
    np.minimum.at(days, lines.person[mask], lines.day[mask])
    return days
