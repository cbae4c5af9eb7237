"""Criteria evaluated on bare numpy columns, block by block; pandas where a criterion needs it.

The same functions as everywhere. Each criterion is first compared with the pandas reference on a sample of the very
cohort, unknown for unknown; one that differs, or uses something these columns do not offer, runs on pandas.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.engine.compact import NotCompactError, Nothing, Tri, compact, take
from feasibility.engine.pandas_engine import evaluate_on, hand_out

BLOCK = 1 << 16
"""Rows a block: small enough for the processor's cache, large enough that numpy's call overhead does not count."""
SMALL = 20_000
"""Below this many rows whole pandas columns are as quick."""
SAMPLE = 2_000


class Evaluator:
    """Answers "who fails, for whom is it unknown" for the criteria of one cohort.

    ``on_pandas`` names the criteria that could not run on bare columns. ``cohort`` has the columns that are read, in
    nullable dtypes. ``small`` is the number of rows up to which pandas is used anyway.
    """

    def __init__(self, cohort: pd.DataFrame, names, small: int = SMALL):
        self._cohort, self._names = cohort, list(names)
        self._n = len(cohort)
        self._compact: dict = {}
        self._pandas: dict | None = None
        self._fast = self._n > small
        self.on_pandas: list[str] = []
        if self._fast:
            positions = np.unique(np.linspace(0, self._n - 1, SAMPLE).astype(int))
            self._sample = hand_out(cohort.iloc[positions], self._names)
            self._positions = positions

    def statuses(self, criterion) -> tuple[np.ndarray, np.ndarray]:
        """Two boolean arrays, one entry a patient: fails the criterion, and it cannot be decided."""
        if self._fast:
            found = self._on_blocks(criterion)
            if found is not None and self._agrees(criterion, found):
                return found
            self.on_pandas.append(criterion.id)
        if self._pandas is None:
            self._pandas = hand_out(self._cohort, self._names)
        return _rails(criterion, evaluate_on(criterion, self._pandas, self._n))

    def _on_blocks(self, criterion) -> tuple[np.ndarray, np.ndarray] | None:
        failed, unknown = np.empty(self._n, dtype=bool), np.empty(self._n, dtype=bool)
        try:
            columns = {name: self._column(name) for name in criterion.columns}
            for start in range(0, self._n, BLOCK):
                stop = min(start + BLOCK, self._n)
                block = slice(start, stop)
                met = criterion.evaluate({name: take(column, block) for name, column in columns.items()})
                if not isinstance(met, Tri):
                    return None
                yes, no = met.rails(stop - start)
                failed[block] = no if criterion.kind == "inclusion" else yes
                np.logical_not(yes | no, out=unknown[block])
        except (NotCompactError, AttributeError, TypeError, ValueError):
            return None
        return failed, unknown

    def _column(self, name: str):
        if name not in self._cohort.columns:
            return Nothing()
        if name not in self._compact:
            self._compact[name] = compact(self._cohort, name)
        return self._compact[name]

    def _agrees(self, criterion, found) -> bool:
        expected = _rails(criterion, evaluate_on(criterion, self._sample, len(self._positions)))
        return all(np.array_equal(a[self._positions], b) for a, b in zip(found, expected, strict=True))


def _rails(criterion, mask: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    hole = mask.isna().to_numpy()
    met = mask.to_numpy(dtype=bool, na_value=False)
    return ((~met & ~hole) if criterion.kind == "inclusion" else met), hole
