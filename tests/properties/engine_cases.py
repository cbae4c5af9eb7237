"""What every engine must count alike: each trial of the repository on cohorts with holes, and awkward criteria.

Used by the tests of DuckDB, PostgreSQL and Spark; the reference is ``screen`` on pandas.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from functools import cache
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
from helpers import ROOT

import feasibility as fz
from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES
from feasibility.trials.aml_registry import synthetic_registry

EMPEROR = ROOT / "examples" / "emperor" / "emperor_reduced.py"


def tidy(patterns) -> pd.DataFrame:
    """The tidy view, in an order of its own."""
    frame = patterns.to_frame()
    return frame.sort_values(list(frame.columns), kind="stable").reset_index(drop=True)


def trial_names() -> list[str]:
    """Every trial that is installed, and every trial file among the examples."""
    files = sorted(p for p in (ROOT / "examples").rglob("*.py") if "\nprotocol = " in p.read_text(encoding="utf-8"))
    assert EMPEROR in files
    return [*fz.installed_trials(), *(str(p.relative_to(ROOT)) for p in files)]


@cache
def trial(name: str):
    return fz.load_trial(ROOT / name if name.endswith(".py") else name)


def synthetic(name: str, n: int) -> pd.DataFrame | None:
    """The trial's own synthetic patients, as recorded, where it has some."""
    if name == "NCT06642025":
        return synthetic_registry(n, seed=3).observed
    if name.endswith("emperor_reduced.py"):
        sys.path.insert(0, str(EMPEROR.parent))
        try:
            return importlib.import_module("emperor_synthetic").synthetic(n)[0]
        finally:
            sys.path.remove(str(EMPEROR.parent))
            for module in ("emperor_synthetic", "emperor_reduced"):
                sys.modules.pop(module, None)
    return None


def awkward(name: str, n: int = 600, seed: int = 11) -> pd.DataFrame:
    """Patients about the trial's limits: each column holed, on a threshold, infinite, or known only between bounds."""
    protocol, rng = trial(name), np.random.default_rng(seed)
    limits = sorted({float(v) for v in protocol.settings.values() if isinstance(v, int | float) and np.isfinite(v)})
    made: dict[str, object] = {}
    for column in protocol.reads:
        declared = protocol.columns[column]
        hole = rng.random(n) < 0.3
        if declared.dtype in ("boolean", "string"):
            # One declared code is nobody's: it must not turn up.
            values = [True, False] if declared.dtype == "boolean" else list(declared.values[:-1]) or ["A", "B"]
            cells = rng.choice(np.array(values, dtype=object), n)
            made[column] = pd.array(np.where(hole, None, cells), dtype=DTYPES[declared.dtype])
            continue
        low, high = declared.hard or (0.0, 1000.0)
        pool = np.array([x for v in limits for x in (v, v - 1, v + 0.5, v + 1) if low <= x <= high] + [low, high])
        lower = rng.choice(pool, n)
        if declared.dtype == "Int64":
            made[column] = pd.array(np.where(hole | np.isinf(lower), None, np.floor(lower)), dtype="Int64")
            continue
        if _may_be_bounded(protocol, column):
            upper = np.minimum(np.where(rng.random(n) < 0.3, lower + rng.choice([0.5, 2.0, 50.0], n), lower), high)
            # Only one end known: "<10" or ">10".
            made[column] = _floats(lower, hole & (rng.random(n) < 0.8) | (rng.random(n) < 0.1))
            made[column + UPPER] = _floats(upper, hole | (rng.random(n) < 0.1))
        else:
            made[column] = _floats(lower, hole)
    return pd.DataFrame(made)


def _floats(values: np.ndarray, hole: np.ndarray):
    return pd.arrays.FloatingArray(np.where(hole, 0.0, values), hole)


def _may_be_bounded(protocol, column: str) -> bool:
    """Arithmetic on a value known only between bounds is an error on every engine."""
    one = pd.array([None], dtype="Float64")
    from feasibility.bounded import Range

    for criterion in protocol.assessable:
        if column in criterion.columns:
            cells = {c: pd.Series([pd.NA], dtype=DTYPES[protocol.columns[c].dtype]) for c in criterion.columns}
            try:
                criterion.evaluate(cells | {column: Range(pd.Series(one), pd.Series(one))})
            except TypeError:
                return False
    return True


def as_arrow(cohort: pd.DataFrame) -> pa.Table:
    """The cohort as a database may hold it: every second unknown number is NaN instead of NULL."""
    columns = {}
    for name in cohort.columns:
        cells = [None if v is pd.NA else v for v in cohort[name].astype(object)]
        if isinstance(cohort[name].dtype, pd.Float64Dtype):
            cells = [float("nan") if v is None and i % 2 else v for i, v in enumerate(cells)]
            columns[name] = pa.array(cells, pa.float64(), from_pandas=False)
        else:
            kind = {"boolean": pa.bool_(), "Int64": pa.int64()}.get(str(cohort[name].dtype), pa.string())
            columns[name] = pa.array(cells, kind)
    return pa.table(columns)


# --- criteria that test the engine, not a trial -------------------------------------------------------------------


@fz.inclusion("X1", "arithmetic with thresholds, k of n, a threshold used twice")
def arithmetic(x, y, whole, code, *, min_sum: float = 100, factor: Annotated[float, "1"] = 0.1 + 0.2):
    low = x + y * factor > min_sum
    return fz.at_least_k_of(2, low, whole <= 1, code != "b", x * 2 - min_sum >= y)


@fz.exclusion("X2", "limits that floating point cannot hold, and no limit at all")
def fine(x, whole, *, max_x: float = 1e-7, max_days: int = float("inf"), half: Annotated[float, "1"] = 2.5):
    return (x <= max_x) | (whole > max_days) | (whole < half)


@fz.inclusion("X3", "a case split")
def split(code, flag, x, y):
    return fz.when(code == "a", flag, fz.only_if(flag, x > y))


@fz.inclusion("X4", "one of some codes, of which one is nobody's")
def listed(code):
    return fz.is_in(code, ["a", "nobody's", "O'Hara \\ é 血"])


def engine_protocol():
    return fz.Protocol("ENGINE", "for engines", [arithmetic, fine, split, listed])


def engine_cohort(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    numbers = np.array([None, -np.inf, -1.0, 0.0, 1e-7, 1e-7 + 1e-22, 0.1, 0.3, 60.0, 99.99999999999999, 100.0, np.inf],
                       dtype=object)  # fmt: skip
    texts = np.array([None, "a", "b", "", "O'Hara \\ é 血"], dtype=object)
    return pd.DataFrame({
        "x": pd.array(rng.choice(numbers, n), dtype="Float64"),
        "y": pd.array(rng.choice(numbers[:-1], n), dtype="Float64").fillna(0),
        "whole": pd.array(rng.choice(np.array([None, -2, 0, 1, 2, 3, 2**40], dtype=object), n), dtype="Int64"),
        "code": pd.array(rng.choice(texts, n), dtype=DTYPES["string"]),
        "flag": pd.array(rng.choice(np.array([None, True, False], dtype=object), n), dtype="boolean"),
        "site": pd.array(rng.choice(np.array([None, "S1", "S2"], dtype=object), n), dtype=DTYPES["string"]),
    })  # fmt: skip


@fz.inclusion("I0", "the answer is yes")
def holds(c0):
    return c0 == True  # noqa: E712


def many(criteria: int, n: int = 300):
    """(cohort, protocol) with that many criteria, each of a column of its own."""
    rng = np.random.default_rng(criteria)
    names = [f"c{i}" for i in range(criteria)]
    cells = np.array([True, False, None], dtype=object)
    cohort = pd.DataFrame(
        {name: pd.array(rng.choice(cells, n, p=[0.9, 0.05, 0.05]), dtype="boolean") for name in names}
    )
    # All failed and all unknown: the largest words there are.
    cohort.loc[0], cohort.loc[1] = False, pd.NA
    made = [replace(holds, id=f"I{i}", name=f"holds{i}", columns=(name,)) for i, name in enumerate(names)]
    return cohort.astype("boolean"), fz.Protocol("MANY", "many", made)


def cases(sizes=(64, 65, 120)) -> dict[str, tuple[pd.DataFrame, object]]:
    """Name to (cohort, protocol)."""
    found = {"awkward criteria": (engine_cohort(), engine_protocol())}
    for name in trial_names():
        odd, own = awkward(name), synthetic(name, 1500)
        if own is not None:
            exact = {c: own[c.removesuffix(UPPER)] for c in odd if c.endswith(UPPER) and c not in own}
            odd = pd.concat([own.assign(**exact).reset_index(drop=True), odd.reindex(columns=[*own, *exact])])
            odd = odd.astype({c: own[c.removesuffix(UPPER)].dtype for c in odd}).reset_index(drop=True)
        found[name] = odd, trial(name)
    for criteria in sizes:
        found[f"{criteria} criteria"] = many(criteria)
    return found


def reference(cohort, protocol, by=()):
    return fz.screen(cohort, protocol, check=False, strata=by).patterns(by)
