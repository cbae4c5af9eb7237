"""All criteria over one block of patients after the other, on bare numpy columns, packed to a code a patient.

The same functions as everywhere. Each criterion is first compared with the pandas reference on a sample of the very
cohort, unknown for unknown; one that differs, or uses something these columns do not offer, runs on pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feasibility.engine.compact import NotCompactError, Nothing, Tri, compact, take
from feasibility.engine.pandas_engine import evaluate_on, hand_out
from feasibility.engine.ranks import column_of

BLOCK = 1 << 16
"""Rows a block: its columns stay in the processor's cache from one criterion to the next."""
SMALL = 20_000
"""Below this many rows whole pandas columns are as quick."""
SAMPLE = 2_000
CHUNK = 500_000
"""Rows handed to pandas at a time for a criterion that needs it."""
UNABLE = (NotCompactError, AttributeError, TypeError, ValueError)
_NOTHING = Nothing()


class Pandas:
    """A cohort of nullable pandas columns, as the engine reads it."""

    def __init__(self, cohort: pd.DataFrame, names: Iterable[str]):
        self.cohort, self.names, self.n = cohort, list(names), len(cohort)

    def has(self, name: str) -> bool:
        return name in self.cohort.columns

    def column(self, name: str):
        return compact(self.cohort, name)

    def rows(self, where) -> dict:
        return hand_out(self.cohort.iloc[where], [n for n in self.names if self.has(n)])


class Prepared:
    """A prepared cohort (``feasibility.cohort.prepared``), as the engine reads it."""

    def __init__(self, cohort, names: Iterable[str]):
        self.cohort, self.names, self.n = cohort, list(names), cohort.n

    def has(self, name: str) -> bool:
        return name in self.cohort

    def column(self, name: str):
        return column_of(self.cohort[name], name)

    def rows(self, where) -> dict:
        names = [n for n in self.names if self.has(n)]
        return hand_out(self.cohort.frame(where, names), names)


@dataclass(frozen=True)
class Answered:
    """A criterion whose answers are there already, one a patient."""

    kind: str
    id: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (f"answers of {self.id}",)

    def evaluate(self, columns: dict):
        return columns[self.columns[0]]


def statuses(source, criteria, small: int = SMALL, slow=None, progress: Callable[[str, float], None] | None = None):
    """(codes, ids of criteria that ran on pandas): packed statuses of every patient, see ``write_block``.

    Up to ``small`` patients pandas does it all. ``slow`` are the ids that need it where that is known already.
    """
    columns, ready = {}, []
    if slow is None:
        slow = set() if source.n <= small else unable(source, criteria)
    whole = source.n <= small
    for criterion in criteria:
        if not whole and criterion.id not in slow:
            columns |= {n: source.column(n) for n in criterion.columns if n not in columns and source.has(n)}
            ready.append(criterion)
        else:
            answered = Answered(criterion.kind, criterion.id)
            columns[answered.columns[0]] = _on_pandas(source, criterion)
            ready.append(answered)
    return codes_of(ready, columns, source.n, progress), [c.id for c in criteria if c.id in slow]


def unable(source, criteria) -> set[str]:
    """The criteria that do not run on bare columns, or do not agree with pandas on a sample of the patients."""
    positions = np.unique(np.linspace(0, source.n - 1, SAMPLE).astype(int))
    sample, columns = source.rows(positions), {}
    return {c.id for c in criteria if not _runs(source, c, columns, positions, sample)}


def _runs(source, criterion, columns: dict, positions, sample) -> bool:
    """Whether the criterion runs on bare columns and agrees with pandas on the sample; fetches its columns."""
    try:
        for name in criterion.columns:
            if name not in columns and source.has(name):
                columns[name] = source.column(name)
        mine = {n: take(columns[n], positions) if n in columns else _NOTHING for n in criterion.columns}
        met = criterion.evaluate(mine)
    except UNABLE:
        return False
    if not isinstance(met, Tri):
        return False
    expected = evaluate_on(criterion, sample, len(positions))
    hole = expected.isna().to_numpy()
    holds = expected.to_numpy(dtype=bool, na_value=False)
    yes, no = met.rails(len(positions))
    return np.array_equal(yes, holds) and np.array_equal(no, ~holds & ~hole)


def _on_pandas(source, criterion) -> Tri:
    yes, no = np.zeros(source.n, dtype=bool), np.zeros(source.n, dtype=bool)
    for block in blocks(source.n, CHUNK):
        mask = evaluate_on(criterion, source.rows(block), block.stop - block.start)
        yes[block] = mask.to_numpy(dtype=bool, na_value=False)
        no[block] = ~yes[block] & ~mask.isna().to_numpy()
    return Tri(yes, no)


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def width(criteria: int) -> int:
    """Bytes of one status (failed, or unknown) of a patient."""
    return -(-criteria // 8)


def codes_of(criteria, columns: dict, n: int, progress: Callable[[str, float], None] | None = None) -> np.ndarray:
    """Packed statuses, one row of 64-bit words a patient: the bytes of failed, then those of unknown."""
    size = width(len(criteria))
    codes = np.zeros((n, max(1, -(-2 * size // 8))), dtype=np.uint64)
    as_bytes = codes.view(np.uint8).reshape(n, -1)
    for block in blocks(n):
        write_block(criteria, {k: take(c, block) for k, c in columns.items()}, as_bytes[block], size)
        if progress:
            progress("criteria", block.stop / n)
    return codes


def write_block(criteria, columns: dict, out: np.ndarray, size: int) -> None:
    """The statuses of one block into ``out``, a row of bytes a patient; bit i of byte j is criterion 8 j + i."""
    rows = len(out)
    failed, known = np.empty(rows, dtype=np.uint8), np.empty(rows, dtype=np.uint8)
    either = np.empty(rows, dtype=bool)
    for byte in range(size):
        group = criteria[8 * byte : 8 * byte + 8]
        failed.fill(0)
        known.fill(0)
        for criterion in reversed(group):  # the last one pushed is bit 0
            met = criterion.evaluate({c: columns.get(c, _NOTHING) for c in criterion.columns})
            yes, no = met.yes, met.no
            _push(failed, no if criterion.kind == "inclusion" else yes)
            if isinstance(yes, np.ndarray) and isinstance(no, np.ndarray):
                _push(known, np.logical_or(yes, no, out=either))
            else:
                _push(known, True if yes is True or no is True else no if yes is False else yes)
        out[:, byte] = failed
        np.invert(known, out=known)
        known &= np.uint8((1 << len(group)) - 1)
        out[:, size + byte] = known


def _push(bits: np.ndarray, mask) -> None:
    np.add(bits, bits, out=bits)
    if isinstance(mask, np.ndarray) and mask.ndim:
        np.bitwise_or(bits, mask.view(np.uint8), out=bits)
    elif mask:
        np.bitwise_or(bits, np.uint8(1), out=bits)


def count_codes(codes: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows and how many patients each has; ``codes`` is used up (sorted where it lies).

    One word a patient is sorted (fast where numpy sorts with SIMD); several are numbered word by word, so the cost
    grows with the criteria and no further.
    """
    if codes.shape[1] == 1 and weights is None:
        keys = codes[:, 0]
        keys.sort()
        new = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        return keys[starts][:, None], np.diff(np.append(starts, len(keys)))
    ids = pd.factorize(codes[:, 0])[0]
    for word in codes.T[1:]:
        more, distinct = pd.factorize(word)
        ids = pd.factorize(ids * np.int64(len(distinct)) + more)[0]
    n = np.bincount(ids, weights=weights).astype(np.int64)
    first = np.empty(len(n), dtype=np.int64)
    first[ids[::-1]] = np.arange(len(ids) - 1, -1, -1)
    return codes[first], n


def unpack(codes: np.ndarray, criteria: int) -> tuple[np.ndarray, np.ndarray]:
    """(failed, unknown) as rows of 64-bit words, one bit a criterion, as ``PatternTable`` holds them."""
    size, words = width(criteria), max(1, -(-criteria // 64))
    as_bytes = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
    result = []
    for start in (0, size):
        packed = np.zeros((len(codes), 8 * words), dtype=np.uint8)
        packed[:, :size] = as_bytes[:, start : start + size]
        result.append(packed.view(np.uint64))
    return result[0], result[1]
