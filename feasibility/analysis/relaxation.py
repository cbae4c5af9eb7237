"""Which criteria would be worth waiving together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.analysis.attrition import at_level
from feasibility.analysis.gains import (
    RESAMPLES,
    SEED,
    check_objective,
    intervals,
    optimism,
    relative_gain,
    remarks,
    resampled,
)
from feasibility.analysis.reconcile import patterns_of, same
from feasibility.analysis.subsets import best_sets, blocking
from feasibility.errors import FeasibilityError
from feasibility.patterns import PatternTable, pack


def relaxations(
    result,
    drop: int = 2,
    top: int = 10,
    objective: str = "possible",
    *,
    level: str = "criterion",
    keep: Iterable[str] = (),
    months: float | None = None,
    interval: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> pd.DataFrame:
    """The best sets of at most ``drop`` criteria (or clauses) to waive together: exact, one row a set, best first.

    ``result`` is a Screening or a PatternTable. A set is listed only if every member of it counts: one that could be
    kept without losing a patient is not waived, so a set may be smaller than ``drop``. Criteria named in ``keep`` (id,
    name or clause) are never waived.

    Columns, in patients unless said otherwise:

    waived, names
        the set: a tuple of ids, and their names in words.
    gain_confirmed, gain_possible
        patients gained in this extract, exactly; each with its exact Poisson interval (``confirmed_low`` ...), which
        is pointwise and says what another extract like this could show.
    needs_all
        those of the gained patients whom no smaller set would bring (by the objective).
    percent, percent_low, percent_high
        the gain by the objective in percent of today's count, with the exact interval of a nested difference.
    corrected
        the gain by the objective without the winner's curse: the best of many is chosen partly for its luck. Each of
        ``resamples`` Poisson resamples of the patterns is searched in the same way, and what the set at the same rank
        gains there beyond its gain in the extract is taken off. Not below 0, nor above the gain.
    first_share
        share of the resamples in which exactly this set ranks first.
    remark
        if the best set ranks first in less than half of them: which sets it cannot be told apart from.
    per_month, per_month_low, per_month_high
        with ``months`` (how long the extract collected these patients): the gain by the objective per month.

    Why not greedily, the best criterion first and then the best to go with it: a patient who fails two criteria is
    gained only when both are waived, so gains grow together (they are supermodular). The best pair may consist of two
    criteria that gain nobody alone, and a greedy choice has no guarantee at all. Here every set is considered: all
    subsets while at most 20 criteria are in play, beyond that sets of up to 4 by branch and bound.

    Raises FeasibilityError if ``drop`` is below 1 or above the number of criteria, for an unknown objective, level or
    name, and for more than 4 of more than 20 criteria in play. Sources: statistics of gains, Garwood 1936 and
    Clopper and Pearson 1934; rank-wise bootstrap of selection bias, Simon and Simon 2013.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "age of 18 years or more")
    ... def adult(age_years, *, min_age=18):
    ...     return age_years >= min_age
    >>> @fz.inclusion("I2", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"age_years": pd.array([17, 17, 40, 50], dtype="Int64"),
    ...                        "platelets_10e9_l": pd.array([20, 20, 20, 90], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [adult, platelets]))
    >>> relaxations(screening)[["waived", "gain_possible", "needs_all"]].values.tolist()
    [[('I1', 'I2'), 3, 2], [('I2',), 1, 1]]
    """
    check_objective(objective)
    patterns = at_level(patterns_of(result), level)
    _check_drop(drop, top, patterns, level)
    kept = positions(patterns, keep)
    blocked = {"possible": patterns.failed, "confirmed": patterns.failed | patterns.unknown}
    by = {name: blocking(patterns, words, drop, kept) for name, words in blocked.items()}
    other = "confirmed" if objective == "possible" else "possible"
    weights = resampled(by[objective].n, resamples, seed)
    best = best_sets(by[objective], weights, drop, top, by[other])
    chosen = best.ranked[:, 0]
    waived = best.waived
    gains = {
        objective: best.raw[chosen],
        other: np.array([_gain(patterns, blocked[other], w) for w in waived], dtype=int),
    }
    if waived:
        same("the gain is that of a second count", gains[objective][0], _gain(patterns, blocked[objective], waived[0]))
    curse = optimism(best.gains[:, 1:], best.raw[best.ranked[:, 1:]])
    first = (best.ranked[:1, 1:] == chosen[:, None]).mean(axis=1) if resamples else np.full(len(chosen), np.nan)
    ids = [tuple(patterns.ids[i] for i in one) for one in waived]
    own = dict(zip(by[objective].sets, by[objective].n.tolist(), strict=True))
    table = {"waived": pd.Series(ids, dtype=object), "names": [_names(patterns, one) for one in waived]}
    for name in ("confirmed", "possible"):
        table = intervals(table, name, gains[name], interval)
    today = {"possible": patterns.n_possible, "confirmed": patterns.n_confirmed}
    share = relative_gain(gains[objective], today[objective], interval)
    table |= {"needs_all": [own.get(one, 0) for one in waived]}
    table |= {name: 100 * x for name, x in zip(("percent", "percent_low", "percent_high"), share, strict=True)}
    table |= {
        "corrected": np.clip(gains[objective] - curse, 0.0, gains[objective]),
        "first_share": first,
        "remark": remarks(ids, first),
    }
    if months is not None:
        table |= _per_month(table, objective, months)
    frame = pd.DataFrame(table)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="rank")
    frame.attrs |= {"objective": objective, "drop": drop, "n_patients": patterns.n_patients, "resamples": resamples,
                    "n_confirmed": today["confirmed"], "n_possible": today["possible"]}  # fmt: skip
    return frame


def positions(patterns: PatternTable, names: Iterable[str]) -> list[int]:
    """Positions of criteria by id, name, or whole clause."""
    if isinstance(names, str):
        raise FeasibilityError(f"keep is a list of criteria, such as keep=[{names!r}], not one text.")
    found: list[int] = []
    for name in names:
        whole = [i for i, label in enumerate(patterns.labels) if label.clause == name]
        found += whole or [patterns.position(name)]
    return found


def _check_drop(drop, top, patterns: PatternTable, level: str) -> None:
    what = "clauses" if level == "clause" else "criteria"
    if not isinstance(drop, (int, np.integer)) or isinstance(drop, bool) or drop < 1:
        raise FeasibilityError(f"drop is {drop!r}; it is how many {what} to waive together: 1, 2, 3, ...")
    if drop > len(patterns.labels):
        raise FeasibilityError(f"drop is {drop}, but only {len(patterns.labels)} {what} were screened.")
    if not isinstance(top, (int, np.integer)) or isinstance(top, bool) or top < 1:
        raise FeasibilityError(f"top is {top!r}; it is how many sets to list: 1 or more.")


def _gain(patterns: PatternTable, blocked: np.ndarray, waived) -> int:
    """The gain of one set, counted over the whole table and not by blocking sets."""
    closed = blocked & ~pack([np.array([i in waived]) for i in range(len(patterns.labels))], 1)
    return patterns.count(blocked.any(axis=1) & ~closed.any(axis=1))


def _names(patterns: PatternTable, waived) -> str:
    return " + ".join(patterns.labels[i].name for i in waived)


def _per_month(table: dict, objective: str, months: float) -> dict:
    if not months > 0:
        raise FeasibilityError(f"months is {months!r}; it is how long the extract collected patients, above 0.")
    sides = {
        "per_month": f"gain_{objective}",
        "per_month_low": f"{objective}_low",
        "per_month_high": f"{objective}_high",
    }
    return {name: np.asarray(table[column]) / months for name, column in sides.items()}
