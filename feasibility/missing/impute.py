"""Multiple imputation of what is unknown about the undetermined patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from feasibility.analysis.screened import screened_cohort
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.missing.features import LEAST
from feasibility.missing.imputations import Imputations
from feasibility.missing.impute_pmm import Chain
from feasibility.missing.plan import Plan, make_plan
from feasibility.missing.structure import records

METHODS = ("auto", "statsmodels", "pmm")
REFERENCE_ROWS = 200
"""Patients to work on up to which "auto" is statsmodels: 39 imputations of 500 take it a minute, "pmm" seconds."""
FIT_ROWS = 20_000
"""The size of the sample that a larger table is fitted on."""
M = 39
"""So many imputations make the range of their counts a 95 % interval: 1 - 2/40."""


def impute(
    cohort: pd.DataFrame,
    screening,
    *,
    m: int = M,
    method: str = "auto",
    cycles: int = 5,
    seed: int = 1,
    fit_rows=None,
    progress: Callable[[str, float], None] | None = None,
) -> Imputations:
    """Fill what is unknown about the undetermined patients, ``m`` times, with what is known of patients like them.

    ``cohort`` is the table that was screened. Chained equations by predictive mean matching, fitted on everyone (or on
    a simple random sample of everyone: ``fit_rows`` patients, by default 20,000; or the positions in ``fit_rows``),
    never on the undetermined alone, who have passed whatever is known of them. Only undetermined patients' cells are
    imputed. ``method`` is "statsmodels" (the reference), "pmm" (the same in numpy, much faster) or "auto": the
    reference up to 200 patients to work on.

    A value comes from a patient who has it, with its age, so it is possible by construction; "never" is decided before
    when; bounds on record are kept; a rule the column declares (no transplant, no graft-versus-host disease) decides
    where it applies; a value older than the look-back is drawn anew. What is not assessable is no column and is never
    imputed. Columns with fewer than 10 known values stay unknown: see ``Imputations.open``.

    Missing at random is assumed: given the other columns, untested patients are like tested ones. ``delta_curve`` and
    ``untested_odds`` say what follows if they are not. ``progress(what, share)`` is called as work proceeds.

    Raises FeasibilityError where nothing is unknown, for fewer than 2 imputations, an unknown method, and where too
    little is known to fit anything. Source: van Buuren, Flexible Imputation of Missing Data, 2nd ed., 3.4 and 4.5.

    >>> import numpy as np, pandas as pd, feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> values = pd.array([*range(10, 60), *[None] * 10], dtype="Float64")
    >>> cohort = pd.DataFrame({"platelets_10e9_l": values})
    >>> made = impute(cohort, fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets])), method="pmm")
    >>> made.m, len(made.rows), made.completed(0)["platelets_10e9_l"].isna().any().item()
    (39, 10, False)
    """
    cohort = screened_cohort(cohort, screening)
    method = _check(cohort, m, method, cycles, seed)
    undetermined = np.flatnonzero(~screening.failed.any(axis=1) & screening.unknown.any(axis=1))
    if not len(undetermined):
        raise FeasibilityError(
            "Nobody is undetermined, so there is nothing to impute: the count is known. in_extract(screening) and"
            " in_source(screening) take the screening itself."
        )
    fit = _fit_rows(len(cohort), fit_rows, seed)
    rows = np.union1d(fit, undetermined)
    frame = cohort.iloc[rows].reset_index(drop=True)
    wanted, fitted = np.isin(rows, undetermined), np.isin(rows, fit)
    found = records(cohort, screening, rows, fitted)
    plan = make_plan(found, frame, fitted, wanted)
    targets = _targets(plan, rows, undetermined)
    if not targets:
        named = "; ".join(f"{c} has {why}" for c, why in plan.open.items()) or "no column has a hole to fill"
        raise FeasibilityError(
            f"Too few known values to fit: at least {LEAST} are needed in a column ({named})."
            " Give a larger cohort, or report the bounds alone."
        )
    if method == "auto":
        method = "statsmodels" if len(rows) <= REFERENCE_ROWS else "pmm"
    places = {name: np.empty((m, len(at)), dtype=np.int32) for name, (at, _) in targets.items()}
    trace = {name: np.full((m, cycles, 2), np.nan) for name in targets}
    for k in range(m):
        _run(plan, np.random.default_rng([seed, k]), method, cycles, k, targets, places, trace, progress, m)
    if progress:
        progress("done", 1.0)
    return Imputations(
        screening, undetermined, cohort.iloc[undetermined], m, method, cycles, seed, len(fit), len(fit) < len(cohort),
        plan.open, trace, {r.column: r.limit for r in found if np.isfinite(r.limit)}, plan, places, targets,
    )  # fmt: skip


def _run(plan, rng, method, cycles, k, targets, places, trace, progress, m) -> None:
    chain = Chain(plan, rng)
    predict = None
    if method == "statsmodels":
        from feasibility.missing.impute_reference import predictor

        predict = predictor(chain)
    for cycle in range(cycles):
        if progress:
            progress(f"imputation {k + 1} of {m}, cycle {cycle + 1}", (k * cycles + cycle) / (m * cycles))
        chain.cycle(predict)
        for name, (_, hole) in targets.items():
            i = plan.place(name)
            v = plan.variables[i]
            chosen = chain.current[i][v.record.holes[hole]]
            y = v.targets[-1][0][chosen]
            trace[name][k, cycle] = y.mean(), y.std()
    for name, (_, hole) in targets.items():
        i = plan.place(name)
        places[name][k] = chain.current[i][plan.variables[i].record.holes[hole]]


def _targets(plan: Plan, rows: np.ndarray, undetermined: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each read column: the undetermined patients with a hole (positions among them), and which hole it is."""
    place = np.full(len(rows), -1)
    place[np.isin(rows, undetermined)] = np.arange(len(undetermined))
    found = {}
    for v in plan.variables:
        at = place[v.record.holes]
        if v.record.read and (at >= 0).any():
            found[v.record.column] = at[at >= 0], np.flatnonzero(at >= 0)
    return found


def _fit_rows(n: int, fit_rows, seed: int) -> np.ndarray:
    least = 2 * LEAST
    if fit_rows is None:
        fit_rows = FIT_ROWS
    if isinstance(fit_rows, (int, np.integer)) and not isinstance(fit_rows, bool):
        if fit_rows < least:
            raise FeasibilityError(f"fit_rows is {fit_rows}: at least {least} patients are needed to fit on.")
        if fit_rows >= n:
            return np.arange(n)
        return np.sort(np.random.default_rng([seed, 2**31]).choice(n, int(fit_rows), replace=False))
    at = np.unique(np.asarray(fit_rows))
    if at.dtype.kind not in "iu" or len(at) < least or at[0] < 0 or at[-1] >= n:
        raise FeasibilityError(
            f"fit_rows are positions of patients, 0 to {n - 1}, at least {least} of them; or one number: how many."
        )
    return at


def _check(cohort, m, method, cycles, seed) -> str:
    for name, value, least in (("m", m, 2), ("cycles", cycles, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            why = " One imputation says nothing about its own uncertainty." if name == "m" else ""
            raise FeasibilityError(f"{name} is a whole number of at least {least}; got {value!r}.{why}")
    if method not in METHODS:
        raise FeasibilityError(f"Method {method!r} is not one of {', '.join(METHODS)}.{did_you_mean(method, METHODS)}")
    if len(cohort) < 2 * LEAST:
        raise FeasibilityError(
            f"Too few known values to fit: the cohort has {len(cohort)} patients, at least {2 * LEAST} are needed."
            " Report the bounds alone."
        )
    return method
