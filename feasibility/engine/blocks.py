"""All criteria over one block of patients after the other, on bare columns, packed to a code a patient.

The same functions as everywhere. Each criterion is first compared with the pandas reference on a sample of the very
cohort, unknown for unknown; one that differs, or uses something these columns do not offer, runs on pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from feasibility.engine.compact import NotCompactError, Nothing, Tri
from feasibility.engine.packed import pack
from feasibility.engine.packed import unpack as unpacked
from feasibility.engine.pandas_engine import evaluate_on
from feasibility.engine.readers import Pandas, Prepared
from feasibility.engine.tally import Tally, count_codes
from feasibility.engine.transpose import transposed

__all__ = ["Pandas", "Prepared", "Tally", "bitmaps", "count_codes", "count_statuses", "statuses", "unable", "unpack"]

SMALL = 20_000
"""Below this many rows whole pandas columns are as quick."""
SAMPLE = 2_000
CHUNK = 500_000
"""Rows handed to pandas at a time for a criterion that needs it."""
COUNTED = 1 << 20
"""Patients whose codes are made before they are counted, while the next ones are evaluated."""
UNABLE = (NotCompactError, AttributeError, TypeError, ValueError)
_NOTHING = Nothing()


@dataclass(frozen=True)
class Answered:
    """A criterion whose answers are there already, as packed bits of all patients."""

    kind: str
    id: str
    yes: np.ndarray
    no: np.ndarray


def statuses(source, criteria, small: int = SMALL, slow=None, progress: Callable[[str, float], None] | None = None):
    """(codes, ids of criteria that ran on pandas): packed statuses of every patient, one row of 64-bit words each.

    The bytes of failed come first, then those of unknown; bit i of byte j is criterion 8 j + i. Up to ``small``
    patients pandas does it all. ``slow`` are the ids that need it where that is known already.
    """
    ready, slow = _ready(source, criteria, small, slow)
    codes = np.empty((-(-source.n // 64) * 64, words_of(len(criteria))), dtype=np.uint64)
    for rows, planes in _planes(source, ready, progress):
        _write(planes, codes[rows])
    return codes[: source.n], [c.id for c in criteria if c.id in slow]


def count_statuses(source, criteria, slow=None, progress: Callable[[str, float], None] | None = None):
    """(distinct codes, patients of each), as ``statuses`` and ``count_codes`` find them, in the memory of a part."""
    ready, _ = _ready(source, criteria, SMALL, slow)
    with Tally(len(criteria)) as tally:
        codes, filled = None, 0
        for rows, planes in _planes(source, ready, progress):
            if codes is None:
                size = min(-(-source.n // 64) * 64, COUNTED)
                codes, filled = np.empty((size, words_of(len(criteria))), dtype=np.uint64), 0
            length = rows.stop - rows.start
            _write(planes, codes[filled : filled + length])
            filled += length
            if filled >= len(codes) or rows.stop >= source.n:
                tally.add(codes[: filled - max(0, rows.stop - source.n)])
                codes = None
        return tally.result()


def bitmaps(source, criterion) -> tuple[np.ndarray, np.ndarray]:
    """Who fails one criterion and for whom it is unknown, as packed bits in 64-bit words, zeros after the last patient.

    Raises what the criterion does that these columns cannot (``UNABLE``).
    """
    failed, unknown = (np.zeros(-(-source.n // 64), dtype=np.uint64) for _ in range(2))
    for rows, planes in _planes(source, [criterion], None):
        at = slice(rows.start // 64, rows.stop // 64)
        failed[at], unknown[at] = planes[0], planes[8]
    if source.n % 64:
        for words in (failed, unknown):
            words[-1] &= np.uint64((1 << source.n % 64) - 1)
    return failed, unknown


def _ready(source, criteria, small: int, slow) -> tuple[list, set]:
    """The criteria as blocks can evaluate them, those that need pandas answered already."""
    whole = source.n <= small
    if slow is None:
        slow = set() if whole else unable(source, criteria)
    return [c if not whole and c.id not in slow else _on_pandas(source, c) for c in criteria], slow


def unable(source, criteria) -> set[str]:
    """The criteria that do not run on bare columns, or do not agree with pandas on a sample of the patients."""
    positions = np.unique(np.linspace(0, source.n - 1, SAMPLE).astype(int))
    sample, part = source.rows(positions), source.part(positions)
    return {c.id for c in criteria if not _runs(part, c, sample)}


def _runs(part, criterion, sample: dict) -> bool:
    """Whether the criterion runs on bare columns and agrees with pandas on the sample."""
    try:
        met = criterion.evaluate(_columns(part, [criterion], slice(0, part.n)))
    except UNABLE:
        return False
    if not isinstance(met, Tri):
        return False
    expected = evaluate_on(criterion, sample, part.n)
    hole = expected.isna().to_numpy()
    holds = expected.to_numpy(dtype=bool, na_value=False)
    yes, no = (unpacked(_as_bits(rail, part.n), part.n) for rail in (met.yes, met.no))
    return np.array_equal(yes, holds) and np.array_equal(no, ~holds & ~hole)


def _on_pandas(source, criterion) -> Answered:
    yes, no = np.zeros(source.n, dtype=bool), np.zeros(source.n, dtype=bool)
    for block in blocks(source.n, CHUNK):
        mask = evaluate_on(criterion, source.rows(block), block.stop - block.start)
        yes[block] = mask.to_numpy(dtype=bool, na_value=False)
        no[block] = ~yes[block] & ~mask.isna().to_numpy()
    return Answered(criterion.kind, criterion.id, pack(yes), pack(no))


def blocks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def width(criteria: int) -> int:
    """Bytes of one status (failed, or unknown) of a patient."""
    return -(-criteria // 8)


def words_of(criteria: int) -> int:
    """64-bit words of a patient's code."""
    return max(1, -(-2 * width(criteria) // 8))


def _columns(source, criteria, block: slice) -> dict:
    names = {name: None for c in criteria if not isinstance(c, Answered) for name in c.columns}
    return dict.fromkeys(names, _NOTHING) | source.columns([n for n in names if source.has(n)], block)


def _planes(source, criteria, progress) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, one bitmap a bit of the code) block by block; the rows are filled up to a multiple of 64."""
    second = 8 * width(len(criteria))
    room = -(-min(source.block, source.n) // 64)
    planes = np.zeros((64 * words_of(len(criteria)), room), dtype=np.uint64)
    for block in blocks(source.n, source.block):
        words = -(-(block.stop - block.start) // 64)
        columns = _columns(source, criteria, block)
        as_bytes = planes[:, :words].view(np.uint8)[:, : -(-(block.stop - block.start) // 8)]
        at = slice(block.start // 8, -(-block.stop // 8))
        for i, criterion in enumerate(criteria):
            if isinstance(criterion, Answered):
                yes, no = criterion.yes[at], criterion.no[at]
            else:
                met = criterion.evaluate({c: columns[c] for c in criterion.columns})
                yes, no = met.yes, met.no
            as_bytes[i] = _rail(no if criterion.kind == "inclusion" else yes)
            np.bitwise_or(_rail(yes), _rail(no), out=as_bytes[second + i])
            np.invert(as_bytes[second + i], out=as_bytes[second + i])
        yield slice(block.start, block.start + 64 * words), planes[:, :words]
        if progress:
            progress("criteria", block.stop / source.n)


def _rail(rail):
    return rail if isinstance(rail, np.ndarray) and rail.ndim else np.uint8(255 if rail else 0)


def _as_bits(rail, n: int) -> np.ndarray:
    return np.broadcast_to(_rail(rail), -(-n // 8))


def _write(planes: np.ndarray, codes: np.ndarray) -> None:
    for word in range(codes.shape[1]):
        transposed(planes[64 * word : 64 * word + 64], codes[:, word])


def unpack(codes: np.ndarray, criteria: int) -> tuple[np.ndarray, np.ndarray]:
    """(failed, unknown) as rows of 64-bit words, one bit a criterion, as ``PatternTable`` holds them."""
    size, words = width(criteria), max(1, -(-criteria // 64))
    if codes.shape[1] == 1:
        return codes & np.uint64((1 << 8 * size) - 1), codes >> np.uint64(8 * size)
    as_bytes = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
    result = []
    for start in (0, size):
        packed = np.zeros((len(codes), 8 * words), dtype=np.uint8)
        packed[:, :size] = as_bytes[:, start : start + size]
        result.append(packed.view(np.uint64))
    return result[0], result[1]
