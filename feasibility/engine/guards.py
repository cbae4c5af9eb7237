"""Guard (b): a hole must not decide.

On a sample of rows every column a criterion reads is erased in turn. A verdict on an erased row may become unknown;
where it stays decided it must be the verdict under *every* value the cell could have held. ``.fillna``, ``.isin``
and a comparison on a two-valued dtype all break this, and so would silently count a missing value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.engine.pandas_engine import evaluate_on, hand_out
from feasibility.errors import ScreeningError

ROWS = 2_000
SWAPPED_ROWS = 250
VALUES_PER_COLUMN = 12
SEED = 20240901


def sample_rows(cohort: pd.DataFrame, rows: int = ROWS, seed: int = SEED) -> pd.DataFrame:
    """Up to ``rows`` seeded rows, one row for each distinct code, and one row about which nothing is known."""
    coded = [
        np.flatnonzero(~cohort[c].duplicated().to_numpy())[:50]
        for c in cohort.columns
        if isinstance(cohort[c].dtype, pd.StringDtype) and len(cohort) > rows
    ]
    return with_empty_row(cohort.iloc[_positions(len(cohort), coded, rows, seed)])


def sample_prepared(cohort, names, rows: int = ROWS, seed: int = SEED) -> pd.DataFrame:
    """The same of a prepared cohort (``feasibility.cohort.prepared``)."""
    names = [n for n in names if n in cohort]
    coded = [
        np.array([int((one.lower == code).argmax()) for code in range(len(one.words[:50]))], dtype=int)
        for one in (cohort[n] for n in names)
        if one.kind == "code" and cohort.n > rows
    ]
    return with_empty_row(cohort.frame(_positions(cohort.n, coded, rows, seed), names, ids=False))


def _positions(n: int, coded: list[np.ndarray], rows: int, seed: int) -> np.ndarray:
    chosen = np.arange(n) if n <= rows else np.sort(np.random.default_rng(seed).choice(n, rows, replace=False))
    return np.unique(np.concatenate([chosen, *coded]))


def with_empty_row(sample: pd.DataFrame) -> pd.DataFrame:
    """The rows, and one about which nothing is known."""
    sample = sample.reset_index(drop=True)
    return pd.concat([sample, _empty_row(sample)], ignore_index=True)


def _empty_row(cohort: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({c: pd.array([pd.NA], dtype=cohort[c].dtype) for c in cohort.columns})


def check_criteria(criteria, sample: pd.DataFrame, progress: Callable[[str, float], None] | None = None) -> None:
    """``check_holes`` for each criterion."""
    for i, criterion in enumerate(criteria):
        if progress:
            progress(f"{criterion.id} {criterion.name}", i / len(criteria))
        check_holes(criterion, sample)


def check_holes(criterion, sample: pd.DataFrame) -> None:
    """Raise ScreeningError if a missing cell decides this criterion anywhere in the sample."""
    reads = criterion.reads
    physical = [c for name in reads for c in (name, name + UPPER) if c in sample.columns]
    frame = sample[physical]
    full = _verdicts(criterion, frame)
    small = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(SWAPPED_ROWS, len(frame))).astype(int))]
    for name in reads:
        cells = [c for c in (name, name + UPPER) if c in physical]
        erased = _verdicts(criterion, _with_cells(frame, cells, pd.NA))
        _compare(criterion, name, erased, full)
        pool = _other_values(criterion, frame[name])
        if not len(pool):
            continue
        held = erased.loc[small.index]
        for start in range(0, len(pool), VALUES_PER_COLUMN):
            values = pool[start : start + VALUES_PER_COLUMN]
            stacked = pd.concat([_with_cells(small, cells, v) for v in values], ignore_index=True)
            swapped = _verdicts(criterion, stacked)
            _compare(criterion, name, pd.concat([held] * len(values), ignore_index=True), swapped)


def _verdicts(criterion, frame: pd.DataFrame) -> pd.Series:
    return evaluate_on(criterion, hand_out(frame, [c for c in criterion.reads]), len(frame))


def _with_cells(frame: pd.DataFrame, cells, value) -> pd.DataFrame:
    return frame.assign(**{c: pd.array([value] * len(frame), dtype=frame[c].dtype) for c in cells})


def _compare(criterion, column, erased: pd.Series, known: pd.Series) -> None:
    # Less knowledge can never say more: decided without the value means decided, and alike, with it.
    broken = erased.notna() & (known.isna() | (erased != known).fillna(False))
    if broken.any():
        raise ScreeningError(
            f"Criterion {criterion.id} ({criterion.name}): with {column!r} missing it still answers, and answers"
            f" differently from a value that could stand there ({int(broken.sum())} of {len(broken)} sampled cases)."
            " A missing value must not decide. Use comparisons, &, |, ~ and the kleene helpers only."
        )


def _other_values(criterion, column: pd.Series) -> list:
    """Values the cell could have held: a spread of those present, the thresholds and their neighbours, all codes."""
    present = column.dropna()
    if isinstance(column.dtype, pd.StringDtype):
        return sorted({*present.unique()[:24], *(c for c in _constants(criterion.function) if isinstance(c, str))})
    if isinstance(column.dtype, pd.BooleanDtype):
        return [True, False]
    quantiles = present.drop_duplicates().sort_values()
    spread = quantiles.iloc[np.unique(np.linspace(0, len(quantiles) - 1, 5).astype(int))] if len(quantiles) else []
    limits = {v for v in (*criterion.values.values(), *_constants(criterion.function)) if _is_number(v)}
    near = {float(x) for v in sorted(limits)[:40] for x in (v, v - 1, v + 1)} | {0.0}
    pool = {float(v) for v in spread} | near
    if isinstance(column.dtype, pd.Int64Dtype):
        return sorted({int(v) for v in pool if np.isfinite(v)})
    return sorted(pool)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _constants(function, seen=None) -> set:
    """Every constant in the code of a function and its helpers: values its columns may be compared with."""
    seen = set() if seen is None else seen
    if function in seen or not inspect.isfunction(function):
        return set()
    seen.add(function)
    found: set = set()
    waiting = list(function.__code__.co_consts)
    while waiting:
        one = waiting.pop()
        if isinstance(one, (tuple, frozenset)):
            waiting += one
        elif inspect.iscode(one):
            waiting += one.co_consts
        elif _is_number(one) or (isinstance(one, str) and one != function.__doc__ and len(one) <= 30):
            found.add(one)
    names = inspect.getclosurevars(function)
    for value in (*names.globals.values(), *names.nonlocals.values()):
        if inspect.isfunction(value) and value.__module__ != "feasibility.kleene":
            found |= _constants(value, seen)
        elif isinstance(value, (tuple, frozenset, list)):
            found |= {v for v in value if isinstance(v, (int, float, str))}
    return found
