"""How far the protocol must give way for how many patients: criteria waived, thresholds loosened, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np
import pandas as pd

from feasibility.analysis.gains import RESAMPLES, SEED, intervals, optimism, resampled
from feasibility.analysis.loosening import Variants, check_limits, variants_of
from feasibility.analysis.reconcile import patterns_of
from feasibility.analysis.relaxation import positions
from feasibility.errors import FeasibilityError
from feasibility.patterns import PatternTable, count, pack

MOST = 250_000
"""Combinations enumerated at most."""


@dataclass(frozen=True)
class Change:
    """One thing given up: a criterion waived (``criterion``), or a threshold at its ``step``-th limit."""

    criterion: int = -1
    threshold: str = ""
    value: float = 0.0
    step: int = 0


@dataclass(frozen=True, eq=False)
class Rail:
    """Patients who could be gained: packed words of what blocks them under every variant, and how many they are."""

    words: np.ndarray
    n: np.ndarray


def pareto(
    result,
    cohort: pd.DataFrame | None = None,
    *,
    loosen: Mapping[str, Sequence[float]] | None = None,
    changes: int = 3,
    waive: bool = True,
    keep: Iterable[str] = (),
    interval: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> pd.DataFrame:
    """The front of giving way: no row can be had with less waived and less loosened, or gains less than another.

    ``result`` is a Screening or, where nothing is loosened, a PatternTable; ``cohort`` the patients that were
    screened, needed for ``loosen``: the limits you can live with for each threshold, nearest first, such as
    ``{"min_platelets": [20, 10], "max_age": [75]}``. Combinations of up to ``changes`` changes are all tried, each
    change a waived criterion (none with ``waive=False``; never those in ``keep``) or one threshold at one limit. A
    threshold that several criteria read counts once.

    One row a combination: n_waived, n_loosened, n_steps (a threshold at its second limit counts 2), waived (tuple of
    ids), loosened (dict of thresholds), gain_confirmed and gain_possible (exact, in patients) with exact Poisson
    intervals, n_confirmed and n_possible (patients then), front: "possible", "confirmed" or "both", by which count no
    other combination with at most as many waived and at most as many steps does as well; corrected_possible and
    corrected_confirmed: the gain without the winner's curse (Poisson resamples, the same search for the best of the
    same n_waived and n_steps), missing where the row is not on that front.

    ``screening.protocol.with_thresholds(**row.loosened).without(*row.waived)`` is the protocol of a row.

    Why every combination and not step by step: gains are supermodular (see ``relaxations``), and two thresholds of
    one criterion, or one criterion each of a patient with two failures, help only together.

    Raises FeasibilityError for an unknown threshold, one loosened in the wrong direction, a reading or look-back, a
    cohort that was not the one screened, and more combinations than can be tried.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, 25, 15, 5], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets]))
    >>> front = pareto(screening, cohort, loosen={"min_platelets": [20, 10]})
    >>> front[["waived", "loosened", "gain_possible"]].values.tolist()
    [[(), {'min_platelets': 20}, 1], [(), {'min_platelets': 10}, 2], [('I1',), {}, 3]]
    """
    if not isinstance(changes, (int, np.integer)) or isinstance(changes, bool) or changes < 1:
        raise FeasibilityError(f"changes is {changes!r}; it is how many changes to combine at most: 1, 2, 3, ...")
    patterns, variants = _rows(result, cohort, loosen)
    kept = positions(patterns, keep)
    possible = (
        [] if not waive else [Change(criterion=i) for i in _in_play(patterns, variants, changes) if i not in kept]
    )
    possible += [Change(-1, t, v, k + 1) for t, values in variants.limits.items() for k, v in enumerate(values)]
    chosen = _combinations(possible, changes, variants)
    parts, tables = {}, {}
    for name, words in (("possible", patterns.failed), ("confirmed", patterns.failed | patterns.unknown)):
        rail = _rail(patterns, words, name, variants, changes)
        parts[name] = _gains(rail, chosen, variants, resamples, seed)
        tables[name] = parts[name][0]
    frame = _front(chosen, tables, parts, patterns)
    for name, today in (("confirmed", patterns.n_confirmed), ("possible", patterns.n_possible)):
        columns = intervals({}, name, frame[f"gain_{name}"].to_numpy(), interval)
        frame = frame.assign(**columns, **{f"n_{name}": frame[f"gain_{name}"] + today})
    order = ["n_waived", "n_loosened", "n_steps", "waived", "loosened",
             *(c for n in ("confirmed", "possible") for c in (f"gain_{n}", f"{n}_low", f"{n}_high", f"n_{n}")),
             "front", "corrected_confirmed", "corrected_possible"]  # fmt: skip
    frame = frame[order].reset_index(drop=True)
    frame.attrs |= {"n_confirmed": patterns.n_confirmed, "n_possible": patterns.n_possible, "changes": int(changes)}
    return frame


def _rows(result, cohort, loosen) -> tuple[PatternTable, Variants]:
    if not loosen:
        patterns = patterns_of(result)
        return patterns, Variants.none(len(patterns.labels))
    limits = check_limits(result, loosen)
    if cohort is None:
        raise FeasibilityError("To loosen a threshold the patients' values are needed: pareto(screening, cohort, ...).")
    variants = variants_of(cohort, result, limits)
    rows = PatternTable(result.labels, result.failed, result.unknown, np.ones(len(result.failed), dtype=np.int64))
    return rows, variants


def _in_play(patterns: PatternTable, variants: Variants, changes: int) -> list[int]:
    """Criteria that block somebody who could be gained."""
    blocked = patterns.failed | patterns.unknown
    near = np.bitwise_count(patterns.failed).sum(axis=1) <= changes * variants.reach
    return [i for i in range(len(patterns.labels)) if patterns.bits(blocked, i)[near].any()]


def _combinations(possible: list[Change], changes: int, variants: Variants) -> list[tuple[Change, ...]]:
    total, n = 0, len(possible)
    for k in range(1, min(changes, n) + 1):
        total += comb(n, k)
    if total > MOST:
        raise FeasibilityError(
            f"{n} possible changes make {total:,} combinations of up to {changes}; at most {MOST:,} are tried."
            " Allow fewer changes, give fewer limits, or name criteria to keep (keep=[...])."
        )
    sets = [one for k in range(1, min(changes, n) + 1) for one in combinations(possible, k)]
    return [one for one in sets if variants.sensible(one)]


def _rail(patterns: PatternTable, blocked, name: str, variants: Variants, changes: int) -> Rail:
    """Distinct rows of "what would block this patient under which variant", of patients who could be gained."""
    how_many = np.bitwise_count(blocked).sum(axis=1, dtype=np.int64)
    near = np.flatnonzero((how_many > 0) & (how_many <= changes * variants.reach))
    masks = []
    for i in range(len(patterns.labels)):
        for failed, unknown in variants.bits(i):
            if failed is None:
                masks.append(patterns.bits(blocked, i)[near])
            else:
                masks.append(failed[near] if name == "possible" else (failed | unknown)[near])
    words = pack(masks, len(near))
    table = count((), words, np.zeros_like(words), weights=patterns.n[near])
    return Rail(table.failed, table.n)


def _gains(rail: Rail, chosen, variants: Variants, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patients gained by each combination: in the extract, and in each resample."""
    from scipy.sparse import csr_matrix, vstack

    required = variants.required(chosen, rail.words.shape[1])
    step = max(1, 20_000_000 // max(1, len(rail.words)))
    parts = [csr_matrix((0, len(rail.words)), dtype=np.int64)]
    for a in range(0, len(chosen), step):
        open_ = np.ones((len(required[a : a + step]), len(rail.words)), dtype=bool)
        for w in range(rail.words.shape[1]):
            open_ &= (rail.words[:, w][None, :] & required[a : a + step, w][:, None]) == 0
        parts.append(csr_matrix(open_, dtype=np.int64))
    weights = resampled(rail.n, resamples, seed)
    counts = vstack(parts, format="csr") @ weights
    return counts[:, 0], counts[:, 1:]


def _front(chosen, gains, parts, patterns: PatternTable) -> pd.DataFrame:
    """For each n_waived and n_steps the best combination by either count, where nothing smaller does as well."""
    waived = np.array([sum(c.criterion >= 0 for c in one) for one in chosen], dtype=int)
    steps = np.array([sum(c.step for c in one) for one in chosen], dtype=int)
    on: dict[int, list[str]] = {}
    corrected: dict[tuple[int, str], float] = {}
    for name, other in (("possible", "confirmed"), ("confirmed", "possible")):
        best = np.zeros((waived.max(initial=0) + 1, steps.max(initial=0) + 1), dtype=np.int64)
        for w, s in product(*map(range, best.shape)):
            cell = np.flatnonzero((waived == w) & (steps == s))
            smaller = max(best[w - 1, s] if w else 0, best[w, s - 1] if s else 0)
            best[w, s] = smaller
            if not len(cell) or gains[name][cell].max() <= smaller:
                continue
            sizes = np.array([len(chosen[i]) for i in cell])
            row = cell[np.lexsort([sizes, -gains[other][cell], -gains[name][cell]])[0]]
            best[w, s] = gains[name][row]
            on.setdefault(row, []).append(name)
            shown = parts[name][1][cell]
            winner = cell[shown.argmax(axis=0)] if shown.shape[1] else cell[:0]
            curse = optimism(shown.max(axis=0)[None, :], gains[name][winner][None, :])[0] if shown.shape[1] else np.nan
            corrected[row, name] = float(np.clip(gains[name][row] - curse, 0, gains[name][row]))
    rows = sorted(on, key=lambda i: (waived[i], steps[i], gains["possible"][i]))
    table = {
        "n_waived": waived[rows],
        "n_loosened": [sum(c.criterion < 0 for c in chosen[i]) for i in rows],
        "n_steps": steps[rows],
        "waived": pd.Series([_ids(patterns, chosen[i]) for i in rows], dtype=object),
        "loosened": pd.Series([{c.threshold: c.value for c in chosen[i] if c.threshold} for i in rows], dtype=object),
        "gain_confirmed": gains["confirmed"][rows],
        "gain_possible": gains["possible"][rows],
        "front": ["both" if len(on[i]) == 2 else on[i][0] for i in rows],
    }  # fmt: skip
    for name in ("confirmed", "possible"):
        table[f"corrected_{name}"] = np.array([corrected.get((i, name), np.nan) for i in rows], dtype=float)
    return pd.DataFrame(table)


def _ids(patterns: PatternTable, chosen) -> tuple[str, ...]:
    return tuple(patterns.ids[c.criterion] for c in chosen if c.criterion >= 0)
