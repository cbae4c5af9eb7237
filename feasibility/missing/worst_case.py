"""What each criterion's unknowns could cost or bring: all of them fail, or all of them pass."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import labelled, patterns_of, same
from feasibility.errors import FeasibilityError

ALL = "all"
COLUMNS = ["n_unknown", "confirmed_if_fail", "possible_if_fail", "confirmed_if_pass", "possible_if_pass"]


def worst_best_case(screening, cohort: pd.DataFrame | None = None, *, level: str = "criterion") -> pd.DataFrame:
    """For each criterion, confirmed and possible if everyone for whom it is unknown failed it, or passed it.

    ``screening`` is a Screening or a PatternTable; ``cohort`` is not needed (counts decide this). Index: the
    criterion (with ``level="clause"`` the clause), and last "all": every criterion at once. Columns: kind, name,
    n_unknown, confirmed_if_fail, possible_if_fail, confirmed_if_pass, possible_if_pass; other criteria stay as they
    are. attrs: n_confirmed, n_possible.

    If all fail, nobody becomes confirmed, and possible loses its undetermined patients; if all pass, nobody stops
    being possible, and confirmed gains those for whom nothing else is unknown. With all criteria at once both end at
    confirmed, and at possible: these identities are checked.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, None, None], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets]))
    >>> worst_best_case(screening).loc["I1", ["possible_if_fail", "confirmed_if_pass"]].tolist()
    [1, 3]
    """
    if level not in ("criterion", "clause"):
        raise FeasibilityError(f"level is {level!r}; it can be 'criterion' or 'clause'.")
    if cohort is not None and hasattr(screening, "n_patients") and len(cohort) != screening.n_patients:
        raise FeasibilityError(
            f"The cohort has {len(cohort):,} rows, but {screening.n_patients:,} patients were screened."
        )
    patterns = patterns_of(screening)
    patterns = patterns.by_clause() if level == "clause" else patterns
    possible, n_unknown = patterns.n_failed == 0, patterns.n_unknown
    confirmed = patterns.n_confirmed
    rows = {name: [] for name in COLUMNS}
    for i in range(len(patterns.labels)):
        unknown = patterns.unknowns(i)
        rows["n_unknown"].append(patterns.count(unknown))
        rows["confirmed_if_fail"].append(patterns.count(possible & ~unknown & (n_unknown == 0)))
        rows["possible_if_fail"].append(patterns.count(possible & ~unknown))
        rows["confirmed_if_pass"].append(patterns.count(possible & (n_unknown - unknown == 0)))
        rows["possible_if_pass"].append(patterns.n_possible)
    table = labelled(patterns, rows).rename_axis(level)
    every = [
        patterns.count(n_unknown > 0),
        confirmed,
        patterns.count(possible & (n_unknown == 0)),
        *[patterns.n_possible] * 2,
    ]
    table.loc[ALL] = {"kind": "", "name": "every criterion"} | dict(zip(COLUMNS, every, strict=True))
    table = table.astype(dict.fromkeys(COLUMNS, "int64"))
    same("all fail: confirmed, and nobody else possible", table.loc[ALL, "possible_if_fail"], confirmed)
    same("failing an unknown criterion confirms nobody", table["confirmed_if_fail"], np.full(len(table), confirmed))
    gained = table.loc[table.index != ALL, "confirmed_if_pass"] - confirmed
    undetermined = patterns.n_possible - confirmed
    same("gains of single criteria within the undetermined", max(int(gained.sum()) - undetermined, 0), 0)
    table.attrs |= {"n_confirmed": confirmed, "n_possible": patterns.n_possible}
    return table
