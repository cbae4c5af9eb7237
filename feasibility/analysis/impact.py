"""What each criterion costs, whatever its place in the funnel."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.analysis.attrition import at_level
from feasibility.analysis.bits import sums_by_bit
from feasibility.analysis.reconcile import labelled, patterns_of, same
from feasibility.patterns import PatternTable


def impact(result, *, level: str = "criterion") -> pd.DataFrame:
    """What each criterion (or clause) costs; none of these numbers depends on the order of the protocol.

    n_failing
        patients known to fail it, whatever else they fail.
    n_unknown
        patients for whom it cannot be decided.
    n_only_reason
        patients who fail it and are known to satisfy everything else.
    n_only_unknown
        patients for whom it alone is unknown and everything else is known to be satisfied.
    gain_confirmed
        confirmed patients gained if it were waived (n_only_reason + n_only_unknown).
    gain_possible
        possible patients gained if it were waived: they fail nothing else.
    shapley
        its fair share of the ineligible: a patient failing k criteria counts 1/k to each. Sums to the ineligible.

    Leave-one-out gains come from OHDSI Circe's "percent to gain"; the shares are the Shapley values of the number
    excluded, exact because each patient's contribution has a closed form.
    """
    patterns = at_level(patterns_of(result), level)
    n, k, n_failed, n_unknown = patterns.n, len(patterns.labels), patterns.n_failed, patterns.n_unknown

    def sums(words, where, weights=n):
        return sums_by_bit(words[where], weights[where], k)

    alone = n_failed == 1
    one_in_doubt = (n_failed == 0) & (n_unknown == 1)
    either = patterns.failed | patterns.unknown
    counted = {
        "n_failing": sums(patterns.failed, n_failed > 0),
        "n_unknown": sums(patterns.unknown, n_unknown > 0),
        "n_only_reason": sums(patterns.failed, alone & (n_unknown == 0)),
        "n_only_unknown": sums(patterns.unknown, one_in_doubt),
        "gain_confirmed": sums(either, n_failed + n_unknown == 1),
        "gain_possible": sums(patterns.failed, alone),
    }
    rows = {name: np.rint(values).astype(np.int64) for name, values in counted.items()}
    shapley = sums(patterns.failed, n_failed > 0, n / np.maximum(n_failed, 1))
    table = labelled(patterns, {**rows, "shapley": shapley})
    ineligible = patterns.n_patients - patterns.n_possible
    same("the shares add up to the ineligible", table.shapley.sum(), ineligible, tolerance=1e-6 * max(1, ineligible))
    same("gain_confirmed = n_only_reason + n_only_unknown", table.gain_confirmed,
         table.n_only_reason + table.n_only_unknown)  # fmt: skip
    return table


def overlaps(result, *, level: str = "criterion", top: int | None = None) -> pd.DataFrame:
    """How often each combination of reasons excludes patients: index ``reasons`` (tuple of ids), columns n, n_reasons.

    Counts ineligible patients by the exact set of criteria they are known to fail, largest first. All rows together
    are the ineligible; with ``top`` the rest is left out. ``attrs`` keeps their total and the criteria's names.
    """
    patterns = at_level(patterns_of(result), level)
    ids = np.array(patterns.ids, dtype=object)
    out = patterns.n_failed > 0
    bare = PatternTable(patterns.labels, patterns.failed[out], np.zeros_like(patterns.failed[out]), patterns.n[out])
    merged = bare.keep(bare.ids)
    n = merged.n
    same("the overlaps add up to the ineligible", n.sum(), patterns.n_patients - patterns.n_possible)
    n_reasons = merged.n_failed
    # Largest first, then the fewer reasons; among equals as the reasons' places in the protocol say, the last first.
    places = [merged.fails(i) for i in reversed(range(len(ids)))]
    order = np.lexsort([*places, n_reasons, -n])
    order = order if top is None else order[:top]
    fails = np.stack([merged.fails(i)[order] for i in range(len(ids))], axis=1)
    index = pd.Index([tuple(ids[row]) for row in fails], name="reasons", tupleize_cols=False)
    table = pd.DataFrame({"n": n[order], "n_reasons": n_reasons[order]}, index=index)
    table.attrs = {"total": int(n.sum()), "names": {x.id: x.name for x in patterns.labels}}
    return table
