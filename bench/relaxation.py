"""The best sets of criteria to waive, from a table of half a million patterns.

Against it: a scan of the whole table for every set (what "try all pairs" comes to on packed words, already 8 bytes a
pattern), and the library's own ``patterns.without(...)`` for each set, timed on a few and multiplied.
"""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np

from bench.timing import interleaved, table
from feasibility.analysis.relaxation import relaxations
from feasibility.patterns import CriterionLabel, PatternTable, count, pack


def patterns_of(rows: int = 500_000, criteria: int = 27, seed: int = 1) -> PatternTable:
    """Distinct patterns of independent criteria, 4 to 25 % failing and 1 to 25 % unknown."""
    rng = np.random.default_rng(seed)
    labels = tuple(CriterionLabel(f"I{i}", "inclusion", f"c{i}", "") for i in range(criteria))
    fail, hole = np.linspace(0.04, 0.25, criteria), np.roll(np.linspace(0.01, 0.25, criteria), 9)
    n, found = 2 * rows, None
    while found is None or len(found) < rows:
        u = rng.random((n, criteria), dtype=np.float32)
        failed = pack(list((u < fail).T), n)
        unknown = pack(list(((u >= fail) & (u < fail + hole)).T), n)
        found = count(labels, failed, unknown)
        n *= 2
    return PatternTable(labels, found.failed[:rows], found.unknown[:rows], found.n[:rows])


def naive(patterns: PatternTable, drop: int) -> tuple[int, tuple]:
    """Scan every pattern for every set."""
    failed, n, now = patterns.failed[:, 0], patterns.n, patterns.n_possible
    best = (-1, ())
    for one in combinations(range(len(patterns.labels)), drop):
        mask = np.uint64(sum(1 << i for i in one))
        gain = int(n[(failed & ~mask) == 0].sum()) - now
        best = max(best, (gain, one), key=lambda b: b[0])
    return best


def run(rows: int = 500_000, rounds: int = 3) -> str:
    """The comparison as text; raises if the best sets differ."""
    patterns = patterns_of(rows)
    lines = []
    for drop in (2, 3):
        contenders = {
            f"ours, k={drop}, search alone": lambda d=drop: relaxations(patterns, d, resamples=0),
            f"ours, k={drop}, with 200 resamples": lambda d=drop: relaxations(patterns, d),
            f"ours, k={drop}, confirmed, 200": lambda d=drop: relaxations(patterns, d, objective="confirmed"),
            f"scan per set, k={drop}": lambda d=drop: naive(patterns, d),
        }
        seconds, answers = interleaved(contenders, rounds)
        gain, one = answers[f"scan per set, k={drop}"]
        best = answers[f"ours, k={drop}, search alone"].iloc[0]
        if best.gain_possible != gain:
            raise AssertionError(f"k={drop}: {best.waived} gains {best.gain_possible}, the scan finds {gain} for {one}")
        start = time.perf_counter()
        for ids in (("I0", "I1", "I2"), ("I3", "I4", "I5")):
            assert patterns.without(*ids[:drop]).n_possible >= patterns.n_possible
        once = (time.perf_counter() - start) / 2
        sets = sum(1 for _ in combinations(range(len(patterns.labels)), drop))
        seconds[f"patterns.without per set, k={drop}"] = once * sets
        lines.append(
            table(
                f"Best {drop} of {len(patterns.labels)} criteria, {len(patterns):,} patterns, {sets:,} sets",
                seconds,
                f"ours, k={drop}, with 200 resamples",
                {f"patterns.without per set, k={drop}": "2 measured, multiplied"},
            )  # fmt: skip
        )
    return "\n".join(lines)
