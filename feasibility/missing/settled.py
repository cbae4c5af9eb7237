"""Undetermined patients by what it takes to settle them, counted over groups of equal patients."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.analysis.screened import unknowns
from feasibility.bounded import UPPER
from feasibility.missing.settling import (
    FAILS,
    PASSES,
    UNDECIDED,
    Family,
    outcomes,
    settles,
    smallest,
    sure_sets,
    union,
    verdict_of,
)  # fmt: skip
from feasibility.missing.states import NA, States, distinct, owners, states_of


@dataclass(frozen=True)
class Open:
    """One criterion that is unknown for some undetermined patients.

    ``at`` are these patients (positions among the undetermined), ``rows`` their distinct states and ``which`` the
    state of each. ``before`` and ``after`` are the distinct pairs of a state and a completed one, ``pair`` the pair of
    each patient in each imputation (imputation by patient). ``records`` maps its records to those of all criteria.
    """

    states: States
    records: tuple[int, ...]
    at: np.ndarray
    rows: np.ndarray
    which: np.ndarray
    before: np.ndarray
    after: np.ndarray
    pair: np.ndarray
    _seen: dict = field(default_factory=dict)

    def inside(self, chosen) -> tuple[int, ...]:
        """Its own records among the chosen ones."""
        return tuple(j for j, owner in enumerate(self.records) if owner in chosen)

    def surely(self, chosen) -> np.ndarray:
        """Which of its patients the chosen records settle whatever they say."""
        own = self.inside(chosen)
        if ("surely", own) not in self._seen:
            self._seen["surely", own] = settles(self.states, self.rows, own)
        return self._seen["surely", own][self.which]

    def filled(self, chosen, k: int) -> np.ndarray:
        """What becomes of each of its patients once the chosen records are filled as imputation ``k`` has them."""
        own = self.inside(chosen)
        if ("filled", own) not in self._seen:
            self._seen["filled", own] = verdict_of(self.states, self.before, self.after, own).astype(np.int8)
        return self._seen["filled", own][self.pair[k]]


@dataclass(frozen=True)
class Settled:
    """Everything the value of information is counted from.

    ``families`` are three counts of patients (in the last two of patients in all imputations together) by the
    smallest sets of records that settle them surely, settle them as imputed, and confirm them as imputed.
    """

    names: list[str]
    n: int
    m: int
    open: tuple[Open, ...]
    families: tuple[dict, dict, dict]
    not_imputed: list[str]
    approximate: list[str]

    @property
    def seen(self) -> range:
        """Positions of the numbers that are known: without imputations the first alone."""
        return range(3 if self.m else 1)

    @staticmethod
    def of(screening, cohort: pd.DataFrame, rows: np.ndarray, imputations, most: int, progress=None) -> Settled:
        some, columns = cohort.iloc[rows], screening.protocol.columns
        owner = owners(screening.protocol, cohort.columns)
        seen, used = [], {}
        for i, criterion in enumerate(screening.protocol.assessable):
            at = np.flatnonzero(unknowns(screening, i)[rows])
            if not len(at):
                continue
            states = states_of(criterion, cohort, columns)
            # Which records are spent is judged on the states themselves, so by criterion.
            kinds, kind = distinct(states.encode(_part(some, states, at)))
            kinds, which = _again(states.forget_spent(kinds), kind)
            open_ = [states.open(kinds, j).any() for j in range(len(states.known))]
            used |= {owner[r.column]: True for r, o in zip(states.known, open_, strict=True) if o}
            seen.append((states, at, kinds, which))
        names = [name for name in dict.fromkeys(owner.values()) if name in used]
        completed = _completed(seen, imputations, some, progress)
        everything, gaps = [], set()
        for (states, at, kinds, which), pairs in zip(seen, completed, strict=True):
            # A record that is open for nobody is no one's business here: it is left as it is.
            records = tuple(names.index(owner[r.column]) if owner[r.column] in names else -1 for r in states.known)
            before, after, pair = _pairs(states, kinds, which, pairs)
            everything.append(Open(states, records, at, kinds, which, before, after, pair))
            gaps |= {owner[states.known[j].column] for j in _gaps(states, before, after)}
        m = int(imputations.m) if imputations is not None else 0
        families = _families(everything, len(rows), m, most)
        approximate = [o.states.criterion.id for o in everything if not o.states.exact]
        not_imputed = [name for name in names if name in gaps]
        return Settled(names, len(rows), m, tuple(everything), families, not_imputed, approximate)

    def counts(self, chosen) -> list[float]:
        """Settled surely, and with imputations settled and gained on average, by filling in the chosen records."""
        chosen = set(chosen)
        sure = np.ones(self.n, dtype=bool)
        for one in self.open:
            sure[one.at] &= one.surely(chosen)
        found = [float(sure.sum())]
        settled = gained = 0
        for k in range(self.m):
            fails, passes = np.zeros(self.n, dtype=bool), np.ones(self.n, dtype=bool)
            for one in self.open:
                verdict = one.filled(chosen, k)
                fails[one.at] |= verdict == FAILS
                passes[one.at] &= verdict == PASSES
            settled += int((fails | passes | sure).sum())
            gained += int(passes.sum())
        return [*found, settled / self.m, gained / self.m] if self.m else found

    def numbers(self, chosen) -> tuple:
        """As ``counts``, whole patients and NA for what is not known."""
        return self.known(self.counts(chosen))

    def known(self, numbers) -> tuple:
        rest = [float(x) for x in numbers[1:3]] if self.m else [pd.NA, pd.NA]
        return (round(float(numbers[0])), *rest)


def _part(some: pd.DataFrame, states: States, at: np.ndarray) -> pd.DataFrame:
    """What a criterion needs of some patients: with a hundred columns, copying all of them is what takes the time."""
    asked = [name for name, _ in states.asked_if.values()]
    names = dict.fromkeys([*asked, *(n for c in states.cells for n in (c, c + UPPER))])
    return pd.DataFrame({n: some[n].array.take(at) for n in names if n in some})


def _again(rows: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows once more, after some became equal."""
    kinds, merged = distinct(rows)
    return kinds, merged[kind]


def _completed(seen: list, imputations, some: pd.DataFrame, progress) -> list[list]:
    """For each criterion and imputation the distinct completed states, and which of them each patient has."""
    pairs: list[list] = [[] for _ in seen]
    m = int(imputations.m) if imputations is not None else 0
    for k in range(m):
        if progress:
            progress(f"imputation {k + 1} of {m}", k / m)
        table = imputations.completed(k)
        for found, (states, at, _, _) in zip(pairs, seen, strict=True):
            # What the imputation does not hold stays as it was screened.
            part = _part(some, states, at)
            part = part.assign(**{n: table[n].array.take(at) for n in part if n in table})
            found.append(distinct(states.encode(part)))
    return pairs


def _pairs(states: States, kinds, which, completed: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct pairs (state, completed state) over all imputations."""
    width = kinds.shape[1]
    found, codes, start = [], [], 0
    for rows, inverse in completed:
        both, pair = distinct(np.column_stack([which, inverse]))
        found.append(np.column_stack([kinds[both[:, 0]], rows[both[:, 1]]]))
        codes.append(pair + start)
        start += len(both)
    if not found:
        empty = np.empty((0, width), dtype=np.int16)
        return empty, empty, np.empty((0, len(which)), dtype=np.int32)
    unique, merged = distinct(np.concatenate(found))
    return unique[:, :width], unique[:, width:], np.stack([merged[c] for c in codes]).astype(np.int32)


def _gaps(states: States, before: np.ndarray, after: np.ndarray) -> list[int]:
    """Records that an imputation left open although their question arises."""
    return [
        j
        for j in range(len(states.known))
        if len(before)
        and (states.open(before, j) & (after[:, states.places(j)[0]] == NA) & (states.asked(after, j) == 1)).any()
    ]


def _families(everything: list[Open], n: int, m: int, most: int) -> tuple[dict, dict, dict]:
    """Patients by the smallest sets of at most ``most`` records that settle or gain them."""
    sure = np.zeros((n, len(everything)), dtype=np.int32)
    tables: list[list[Family]] = []
    imputed: list[tuple[np.ndarray, list]] = []
    for c, one in enumerate(everything):
        table, codes = _numbered([(0, _bits(one, f)) for f in sure_sets(one.states, one.rows, most)])
        sure[one.at, c] = codes[one.which]
        tables.append(table)
        outcome, sets = outcomes(one.states, one.before, one.after, most)
        imputed.append(_numbered([(int(o), _bits(one, f)) for o, f in zip(outcome, sets, strict=True)])[::-1])
    surely: Counter = Counter()
    groups, group = distinct(sure)
    own = []
    for row, size in zip(groups, np.bincount(group, minlength=len(groups)), strict=True):
        family = union([tables[c][i][1] for c, i in enumerate(row) if i], most)
        own.append(family)
        surely[family] += int(size)
    settled, gained = Counter(), Counter()
    for k in range(m):
        rows = np.zeros((n, len(everything) + 1), dtype=np.int32)
        rows[:, -1] = group
        for c, one in enumerate(everything):
            rows[one.at, c] = imputed[c][0][one.pair[k]]
        keys, inverse = distinct(rows)
        for row, size in zip(keys, np.bincount(inverse, minlength=len(keys)), strict=True):
            parts = [imputed[c][1][i] for c, i in enumerate(row[:-1]) if i]
            fails = [s for outcome, family in parts if outcome == FAILS for s in family]
            gain = () if any(o != PASSES for o, _ in parts) else union([f for _, f in parts], most)
            settled[smallest([*fails, *gain, *own[row[-1]]])] += int(size)
            gained[gain] += int(size)
    return surely, settled, gained


def _numbered(found: list) -> tuple[list, np.ndarray]:
    """The distinct entries with 0 for none, and the number of each."""
    table: dict = {}
    codes = np.array([table.setdefault(f, len(table) + 1) for f in found], dtype=np.int32)
    return [(UNDECIDED, ()), *table], codes


def _bits(one: Open, sets: list[tuple[int, ...]]) -> Family:
    return smallest(sum(1 << one.records[j] for j in chosen) for chosen in sets)
