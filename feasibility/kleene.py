"""Three-valued helpers that pandas lacks: each is built from ``&``, ``|``, ``~`` and ``==``, so that the same
criterion runs on pandas columns, on Ibis columns (DuckDB, PostgreSQL, Spark) and on the block engine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

import pandas as pd


def unknown_like(mask):
    """The unknown truth value of the engine that ``mask`` belongs to."""
    if isinstance(mask, pd.Series):
        return pd.NA
    if hasattr(mask, "unknown"):
        return mask.unknown()
    if type(mask).__module__.startswith("polars"):
        import polars

        return polars.lit(None, dtype=polars.Boolean)
    import ibis

    return ibis.null("boolean")


def is_in(column, values: Iterable):
    """True where the value is one of ``values``; unknown where it is missing (``.isin`` would say False).

    >>> is_in(pd.Series(["CR", None, "PR"], dtype=pd.StringDtype("python")), ["CR", "CRi"]).tolist()
    [True, <NA>, False]
    """
    values = tuple(values)
    if not values:
        raise ValueError("is_in needs at least one value.")
    return reduce(or_, (column == value for value in values))


def when(condition, then, otherwise):
    """``then`` where the condition holds, ``otherwise`` where it does not; decided as well where both agree.

    Without the third term a case split loses patients whose condition is unknown but does not matter.

    >>> b = lambda *v: pd.Series(v, dtype="boolean")
    >>> when(b(True, None, None), b(False, True, True), b(True, True, False)).tolist()
    [False, True, <NA>]
    """
    return (condition & then) | (~condition & otherwise) | (then & otherwise)


def only_if(condition, value):
    """``value`` where the condition is known to hold, unknown elsewhere: a stale value says nothing.

    >>> b = lambda *v: pd.Series(v, dtype="boolean")
    >>> only_if(b(True, False, None), b(False, False, False)).tolist()
    [False, <NA>, <NA>]
    """
    unknown = unknown_like(condition)
    return (condition & value) | (~condition & unknown) | (value & unknown)


def at_least_k_of(k: int, *masks):
    """True where at least ``k`` masks are True, False where so many are False that ``k`` is out of reach.

    >>> b = lambda *v: pd.Series(v, dtype="boolean")
    >>> at_least_k_of(2, b(True, True, None), b(True, None, False), b(None, False, None)).tolist()
    [True, <NA>, <NA>]
    """
    if not 1 <= k <= len(masks):
        raise ValueError(f"k is {k}; with {len(masks)} masks it can be 1 to {len(masks)}.")
    # reached[j]: at least j of the masks seen so far. Counting needs k * n steps; expanding into all k-subsets would
    # need n choose k.
    reached: list = [None] * (k + 1)
    for mask in masks:
        for j in range(k, 0, -1):
            if j == 1:
                step = mask
            elif reached[j - 1] is None:
                continue
            else:
                step = mask & reached[j - 1]
            reached[j] = step if reached[j] is None else reached[j] | step
    return reached[k]
