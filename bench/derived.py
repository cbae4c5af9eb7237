"""What follows from a table of half a million patterns without touching a patient again."""

from __future__ import annotations

import numpy as np

import feasibility as fz
from bench.relaxation import patterns_of
from bench.timing import interleaved, table


def run(rows: int = 500_000, rounds: int = 5) -> str:
    """Milliseconds of each derived result, as text."""
    patterns = patterns_of(rows)
    ids = list(patterns.ids)
    order = [ids[i] for i in np.random.default_rng(2).permutation(len(ids))]
    mixed = patterns.failed.copy(), patterns.unknown.copy()

    def fresh():
        """The same table without anything kept from an earlier question."""
        return type(patterns)(patterns.labels, *mixed, patterns.n, patterns.header)

    seconds, answers = interleaved(
        {
            "read the table once": lambda: int(mixed[0].sum() + mixed[1].sum() + patterns.n.sum()),
            "attrition": lambda: fz.attrition(fresh()),
            "attrition, another order": lambda: fz.attrition(fresh(), order=order),
            "impact: alone, gains, Shapley": lambda: fz.impact(fresh()),
            "overlaps of every pair": lambda: fz.overlaps(fresh()),
            "best two to waive, no resamples": lambda: fz.relaxations(fresh(), drop=2, resamples=0),
        },
        rounds,
    )
    first, second = answers["attrition"], answers["attrition, another order"]
    if not (first.iloc[-1][["n_confirmed", "n_remaining"]] == second.iloc[-1][["n_confirmed", "n_remaining"]]).all():
        raise AssertionError("the order of the funnel changes its end")
    title = f"Derived from {len(patterns):,} patterns of {len(ids)} criteria (medians of {rounds} interleaved rounds)"
    return table(title, seconds, "read the table once")


if __name__ == "__main__":
    import sys

    sys.stdout.write(run() + "\n")
