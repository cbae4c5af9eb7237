"""What each criterion costs, whatever its place in the funnel."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.analysis.attrition import at_level
from feasibility.analysis.reconcile import labelled, patterns_of, same


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
    n, n_failed, n_unknown = patterns.n, patterns.n_failed, patterns.n_unknown
    known_rest = n_unknown == 0
    share = n / np.maximum(n_failed, 1)
    rows: dict[str, list] = {
        name: []
        for name in ("n_failing", "n_unknown", "n_only_reason", "n_only_unknown", "gain_confirmed", "gain_possible")
    }
    shapley = []
    for i in range(len(patterns.labels)):
        fails, unknown = patterns.fails(i), patterns.unknowns(i)
        only_fails = fails & (n_failed == 1)
        rows["n_failing"].append(patterns.count(fails))
        rows["n_unknown"].append(patterns.count(unknown))
        rows["n_only_reason"].append(patterns.count(only_fails & known_rest))
        rows["n_only_unknown"].append(patterns.count(unknown & (n_failed == 0) & (n_unknown == 1)))
        rows["gain_confirmed"].append(patterns.count((fails | unknown) & (n_failed + n_unknown == 1)))
        rows["gain_possible"].append(patterns.count(only_fails))
        shapley.append(float(share[fails].sum()))
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
    fails = np.stack([patterns.fails(i) for i in range(len(ids))], axis=1)
    out = fails.any(axis=1)
    distinct, inverse = np.unique(fails[out], axis=0, return_inverse=True)
    n = np.bincount(inverse.ravel(), weights=patterns.n[out], minlength=len(distinct)).astype(np.int64)
    same("the overlaps add up to the ineligible", n.sum(), patterns.n_patients - patterns.n_possible)
    index = pd.Index([tuple(ids[row]) for row in distinct], name="reasons", tupleize_cols=False)
    table = pd.DataFrame({"n": n, "n_reasons": distinct.sum(axis=1)}, index=index)
    table = table.sort_values(["n", "n_reasons"], ascending=[False, True], kind="stable")
    table = table if top is None else table.head(top)
    table.attrs = {"total": int(n.sum()), "names": {x.id: x.name for x in patterns.labels}}
    return table
