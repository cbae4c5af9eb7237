"""Which codes of an event table belong to which item, and the join that brings what is known of them to the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.cohort import codelists


class Finder:
    """Which items a code belongs to."""

    def __init__(self, items: Mapping[str, Iterable[str]], folders=()):
        self.exact: dict[tuple[str, str], set[str]] = {}
        self.prefixes: list[tuple[str, str, str]] = []
        for item, lists in items.items():
            for name in lists:
                for system, (codes, prefixes) in codelists.matches(name, folders).items():
                    for code in codes:
                        self.exact.setdefault((system, codelists.normal(system, code)), set()).add(item)
                    self.prefixes += [(system, codelists.normal(system, p), item) for p in prefixes]

    def items(self, system: str, code: str) -> set[str]:
        code = codelists.normal(system, code)
        found = set(self.exact.get((system, code), ()))
        return found | {item for s, p, item in self.prefixes if s == system and code.startswith(p)}


def telling(got: pd.DataFrame, keys: list[str], found: set[int]) -> list[str]:
    """As few of the keys as tell the combinations found from each other and from all others: the rest is not joined."""
    if not found:
        return keys[:1]
    mine = np.isin(np.arange(len(got)), list(found))
    for key in reversed(keys):
        fewer = [k for k in keys if k != key]
        if fewer and not (got[fewer].duplicated(keep=False).to_numpy() & mine).any():
            keys = fewer
    return keys


def join_keys(table, found: pd.DataFrame, keys: list[str], values: list[str]):
    """Join small per-code facts to an event table; a blank matches a blank."""
    import ibis

    small = {f"k_{k}": pa.array(["" if v is None else v for v in found[k]], pa.string()) for k in keys}
    for v in values:
        values = found[v].to_numpy()
        small[v] = pa.array(values if values.dtype.kind in "if" else values.tolist(), from_pandas=True)
    small = ibis.memtable(pa.table(small))
    # Filling blanks costs as much as the join: only where a blank is looked for.
    blank = {k: bool(found[k].isna().any()) for k in keys}
    on = [(table[k].fill_null("") if blank[k] else table[k]) == small[f"k_{k}"] for k in keys]
    return table.join(small, on).drop(*[f"k_{k}" for k in keys])
