"""Numbers that must add up are checked each time they are made."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.errors import ReconciliationError
from feasibility.patterns import PatternTable


def patterns_of(result) -> PatternTable:
    """The pattern table behind a Screening or a PatternTable."""
    if isinstance(result, PatternTable):
        return result
    if hasattr(result, "patterns"):
        return result.patterns()
    raise TypeError(f"Expected a Screening or a PatternTable, got {type(result).__name__}.")


def same(what: str, left, right, tolerance: float = 0.0) -> None:
    """Raise ReconciliationError unless both sides agree, row by row."""
    left, right = np.atleast_1d(np.asarray(left)), np.atleast_1d(np.asarray(right))
    if left.shape != right.shape or (np.abs(left - right) > tolerance).any():
        raise ReconciliationError(f"{what}: {left.tolist()} against {right.tolist()}.")


def labelled(patterns: PatternTable, columns: dict) -> pd.DataFrame:
    """A result table with one row a criterion: kind and name first."""
    frame = {"kind": [x.kind for x in patterns.labels], "name": [x.name for x in patterns.labels]}
    return pd.DataFrame(frame | columns, index=pd.Index(patterns.ids, name="criterion"))
