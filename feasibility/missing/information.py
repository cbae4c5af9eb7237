"""Which columns are worth filling in: how many undetermined patients each set of them would settle."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.analysis.screened import counted, screened_cohort
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.missing.settled import Settled

EXACT = 3
"""The largest sets searched exactly: settling is no sum over columns, so larger ones would take a search of all."""
ORDER = ("surely", "expected", "gain")
"""What can be asked for, in the order of the numbers."""
NUMBERS = ["n_settled_surely", "n_settled_expected", "n_gain_expected"]
COLUMNS = ["size", "method", "columns", *NUMBERS]


def value_of_information(
    screening,
    cohort: pd.DataFrame,
    imputations=None,
    most: int = 3,
    *,
    columns=None,
    objective: str = "",
    top: int = 5,
    progress=None,
) -> pd.DataFrame:
    """Which columns, were they filled in, would settle the most undetermined patients.

    ``cohort`` is the table that was screened, ``imputations`` the multiple imputation of its undetermined patients
    (``rows``, ``observed``, ``m``, ``completed(k)``). One row a set of columns, the best ``top`` of each size up to
    ``most``, and last all columns together. A column stands for its record: with its upper bound and its age.

    size; method: "exact" (no set of this size is better), "greedy" (above 3 columns: the best set of 3, and from
    there one column after the other) or "all"; columns;

    n_settled_surely: undetermined patients all of whose unknown criteria are decided, each by itself, whatever values
    the columns turn out to have; n_settled_expected: the mean over the imputations of the patients decided (failing
    one criterion, or passing all that were unknown) once the columns are filled in; n_gain_expected: the mean of
    those who become confirmed. Without imputations the last two are NA. A column that no imputation fills
    (``attrs["not_imputed"]``) settles only where any value of it would.

    To fill in a record is to learn: its value, of today, where it is missing or where it is so old or undated that it
    says no more than a missing one; its value between the bounds where it is bounded; its age where that alone is
    missing. A record that a criterion can use is not asked for again by it, nor one whose question does not arise
    (``asked_if``). "Whatever values" means every value in the declared range or list, told apart by the limits the
    criterion compares with; ``attrs["approximate"]`` names criteria that hide these, judged on values that occur.

    ``columns`` restricts the search, ``objective`` says what is best: "expected" (with imputations), "surely" or
    "gain"; ``progress(what, share)`` is called as work proceeds. attrs: n_undetermined, m, objective.

    Raises FeasibilityError for a cohort that was not the one screened, where nobody is undetermined, for a column
    nobody waits for, and for imputations of other patients.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, None, None], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets]))
    >>> value_of_information(screening, cohort)[["columns", "n_settled_surely"]].head(1).to_dict("records")
    [{'columns': ('platelets_10e9_l',), 'n_settled_surely': 2}]
    """
    cohort = screened_cohort(cohort, screening)
    objective = _objective(objective, imputations)
    for name, value, what in (("most", most, "columns to fill in together"), ("top", top, "sets of each size")):
        if not isinstance(value, int) or value < 1:
            raise FeasibilityError(f"{name} is {value!r}: the largest number of {what}, 1 or more.")
    rows = np.flatnonzero((counted(screening.failed) == 0) & (counted(screening.unknown) > 0))
    if not len(rows):
        known = "nothing is unknown in this table" if not screening.unknown.any() else "whoever has an unknown fails"
        raise FeasibilityError(f"Nobody is undetermined ({known}), so no column is worth filling in.")
    if imputations is not None:
        _check(imputations, rows, cohort)
    settled = Settled.of(screening, cohort, rows, imputations, min(most, EXACT), progress)
    allowed = _allowed(settled.names, columns)
    lines = []
    for size, chosen, numbers in _exact(settled, allowed, min(most, EXACT), objective, top):
        lines.append((size, "exact", chosen, *numbers))
    lines += [(len(s), "greedy", s, *n) for s, n in _greedy(settled, allowed, lines, most, objective)]
    if len(allowed):
        everything = tuple(allowed)
        lines.append((len(allowed), "all", everything, *settled.numbers(everything)))
    table = pd.DataFrame(lines, columns=COLUMNS)
    table["columns"] = [tuple(settled.names[j] for j in chosen) for chosen in table["columns"]]
    table = table.astype({"size": "int64", NUMBERS[0]: "int64", NUMBERS[1]: "Float64", NUMBERS[2]: "Float64"})
    _reconcile(table, len(rows))
    if progress:
        progress("done", 1.0)
    table.attrs |= {
        "n_undetermined": len(rows), "m": settled.m, "objective": objective,
        "not_imputed": settled.not_imputed, "approximate": settled.approximate,
    }  # fmt: skip
    return table


def _objective(objective: str, imputations) -> str:
    objective = objective or ("expected" if imputations is not None else "surely")
    if objective not in ORDER:
        raise FeasibilityError(f"objective is {objective!r}.{did_you_mean(objective, ORDER)}")
    if imputations is None and objective != "surely":
        raise FeasibilityError(f"objective {objective!r} needs imputations; without them only 'surely' is known.")
    return objective


def _check(imputations, rows: np.ndarray, cohort: pd.DataFrame) -> None:
    given = np.asarray(imputations.rows)
    if not np.array_equal(given, rows):
        raise FeasibilityError(
            f"The imputations are of {len(given):,} patients, but {len(rows):,} are undetermined in this screening, or"
            " they are others. Impute the cohort with the very screening that is analysed."
        )
    if int(imputations.m) < 1 or len(imputations.observed) != len(rows):
        raise FeasibilityError(
            f"The imputations hold {int(imputations.m)} completed tables of {len(imputations.observed):,} rows;"
            f" at least one of {len(rows):,} is needed."
        )


def _allowed(names: list[str], columns) -> list[int]:
    if columns is None:
        return list(range(len(names)))
    found = []
    for name in [columns] if isinstance(columns, str) else columns:
        if name not in names:
            raise FeasibilityError(
                f"No criterion that is unknown for an undetermined patient waits for a column {name!r}."
                f"{did_you_mean(name, names)}"
            )
        found.append(names.index(name))
    return sorted(set(found))


def _exact(settled: Settled, allowed: list[int], most: int, objective: str, top: int):
    """The best sets of each size, of all there are: every family of sufficient sets counts for all that hold one."""
    sets = [c for size in range(1, most + 1) for c in combinations(allowed, size)]
    if not sets:
        return
    at = {sum(1 << j for j in chosen): i for i, chosen in enumerate(sets)}
    numbers = np.column_stack([_counted(sets, at, allowed, most, f) for f in settled.families])
    if settled.m:
        numbers[:, 1:] /= settled.m
    sizes = np.array([len(c) for c in sets])
    by = numbers[:, ORDER.index(objective)]
    # Of equally good sets the one that is surer, then brings more, then comes first.
    order = np.lexsort((np.arange(len(sets)), -numbers[:, 2], -numbers[:, 0], -by))
    for size in range(1, most + 1):
        chosen = [i for i in order if sizes[i] == size][:top]
        for rank, i in enumerate(chosen):
            if not rank:
                same("settled by the best columns", numbers[i][: len(settled.seen)], settled.counts(sets[i]), 1e-6)
            yield size, sets[i], settled.known(numbers[i])


def _counted(sets, at: dict[int, int], allowed: list[int], most: int, families: dict) -> np.ndarray:
    """For each set the patients of whom one sufficient set lies within it."""
    total = np.zeros(len(sets))
    within: dict[int, np.ndarray] = {}
    bits = [1 << j for j in allowed]
    for family, n in families.items():
        hit: list[np.ndarray] = []
        for need in family:
            if need not in within:
                within[need] = _supersets(need, bits, at, most)
            hit.append(within[need])
        if len(hit) == 1:
            total[hit[0]] += n
        elif hit:
            total[np.unique(np.concatenate(hit))] += n
    return total


def _supersets(need: int, bits: list[int], at: dict[int, int], most: int) -> np.ndarray:
    rest = [b for b in bits if not b & need]
    more = range(max(0, 1 - need.bit_count()), most - need.bit_count() + 1)
    found = [at.get(need + sum(extra), -1) for k in more for extra in combinations(rest, k)]
    return np.array([i for i in found if i >= 0], dtype=int)


def _greedy(settled: Settled, allowed: list[int], lines: list, most: int, objective: str):
    """From the best exact set on, the column that adds the most, one after the other."""
    start = [line[2] for line in lines if line[0] == EXACT]
    chosen = start[0] if start else ()
    rank = ORDER.index(objective)
    while start and len(chosen) < min(most, len(allowed)):
        options = [tuple(sorted((*chosen, j))) for j in allowed if j not in chosen]
        chosen = max(options, key=lambda s: (settled.counts(s)[rank], *settled.counts(s)))
        yield chosen, settled.numbers(chosen)


def _reconcile(table: pd.DataFrame, n: int) -> None:
    """Surely settled patients are settled in every imputation; nobody is gained who is not settled."""
    for low, high in ((NUMBERS[0], NUMBERS[1]), (NUMBERS[2], NUMBERS[1])):
        both = table[[low, high]].dropna().astype(float)
        same(f"{low} beyond {high}", np.maximum(both[low] - both[high], 0), np.zeros(len(both)), 1e-6)
    same("more settled than undetermined", (table[NUMBERS[:2]].fillna(0) > n + 1e-6).to_numpy().sum(), 0)
