"""An attack on releases that shares nothing with the package's own audit.

It knows the names of the released numbers, works out by itself who they count and which patients are possible, and
bounds small groups by interval sums or by scipy's linear programming.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from scipy.sparse import csr_array

from feasibility.disclosure.plan import Plan
from feasibility.disclosure.policy import Policy

COLUMNS = 20_000
"""Free in a linear programme; the attacker is told the patients of any beyond it, more than anybody could know."""
PASS, FAIL, UNKNOWN = 0, 1, 2


def counted(name: str, status: np.ndarray, plan: Plan) -> np.ndarray:
    """Who is counted by a number of that name (bool, one a row of statuses)."""
    ids = plan.ids
    fail, unknown = status == FAIL, status == UNKNOWN
    own = slice(0, len(ids))
    if "@" in name:
        kind, change = name.split("@")
        columns = [plan.columns.index(c) for c in next(c for c in plan.changes if c.name == change).columns]
        inside = ~fail[:, columns].any(axis=1)
        return inside & ~unknown[:, columns].any(axis=1) if kind == "confirmed" else inside
    kind, key = name.split(":")
    if kind == "both":
        a, b = (ids.index(x) for x in key.split("&"))
        return fail[:, a] & fail[:, b]
    i = ids.index(key)
    others = [j for j in range(len(ids)) if j != i]
    return {
        "excluded": lambda: fail[:, i] & ~fail[:, :i].any(axis=1),
        "remaining": lambda: ~fail[:, : i + 1].any(axis=1),
        "confirmed": lambda: (status[:, : i + 1] == PASS).all(axis=1),
        "undetermined": lambda: ~fail[:, : i + 1].any(axis=1) & unknown[:, : i + 1].any(axis=1),
        "only_reason": lambda: fail[:, i] & (status[:, others] == PASS).all(axis=1),
        "only_unknown": lambda: unknown[:, i] & (status[:, others] == PASS).all(axis=1),
        "gain_possible": lambda: fail[:, i] & ~fail[:, others].any(axis=1),
        "waived": lambda: ~fail[:, others].any(axis=1),
        "failing": lambda: fail[:, i],
        "unknown": lambda: unknown[:, i],
        "possible": lambda: ~fail[:, own].any(axis=1),
    }[kind]()


def possible_statuses(criteria: int, most: int = 2, two_valued: bool = False) -> np.ndarray:
    """Every pattern with at most ``most`` criteria not passed; a looser variant never fails where a tighter passes."""
    width = criteria if two_valued else criteria + 6
    ways = []
    for i in range(criteria):
        if two_valued:
            ways.append([{i: FAIL}])
            continue
        a, b = criteria + 2 * i, criteria + 2 * i + 1
        looser = [{}, {b: FAIL}, {a: FAIL, b: FAIL}] if i < 3 else [{}]
        ways.append([{i: FAIL} | one for one in looser] + [{i: UNKNOWN} | ({a: UNKNOWN, b: UNKNOWN} if i < 3 else {})])
    rows = []
    for k in range(most + 1):
        for chosen in combinations(ways, k):
            for one in product(*chosen):
                row = np.zeros(width, dtype=np.int8)
                for states in one:
                    row[list(states)] = list(states.values())
                rows.append(row)
    return np.array(rows)


@dataclass
class Broken:
    """Intervals of the small groups of one cohort: how many there are, given back exactly, and left two values."""

    small: int = 0
    exact: int = 0
    two: int = 0

    def add(self, lo: np.ndarray, hi: np.ndarray) -> None:
        self.small += len(lo)
        self.exact += int((lo == hi).sum())
        self.two += int((hi - lo <= 1).sum())


def by_sums(lo, hi, total: int, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of unions of disjoint groups with their own bounds and a known total; no attack can do better.

    ``wanted`` is boolean, unions x groups.
    """
    low, high = wanted @ lo, wanted @ hi
    return np.maximum(low, total - (hi.sum() - high)), np.minimum(high, total - (lo.sum() - low))


def by_programme(facts: np.ndarray, lo, hi, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of sums over columns, given sums between ``lo`` and ``hi``: two linear programmes each."""
    rows = csr_array(facts.astype(float))
    limits = {"A_ub": csr_array(np.vstack([facts, -facts.astype(float)])), "b_ub": np.r_[hi, -np.asarray(lo, float)]}
    equal = lo == hi
    if equal.any():
        free = csr_array(np.vstack([facts[~equal], -facts[~equal].astype(float)]))
        limits = {
            "A_ub": free,
            "b_ub": np.r_[hi[~equal], -lo[~equal].astype(float)],
            "A_eq": rows[equal],
            "b_eq": lo[equal],
        }
    ends = []
    for cost in wanted.astype(float):
        found = [linprog(sign * cost, **limits, method="highs") for sign in (1, -1)]
        if any(f.status != 0 for f in found):
            raise AssertionError(f"The attack failed: {found[0].message} {found[1].message}")
        ends.append((np.ceil(found[0].fun - 1e-6), np.floor(-found[1].fun + 1e-6)))
    return tuple(np.array(ends).reshape(-1, 2).T)


def cell_ends(shown: np.ndarray, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """By trying every count: which can a group of patients have whose protected count is this."""
    ends = []
    for value in shown:
        near = range(max(0, int(value) - 2 * policy.base), int(value) + 2 * policy.base)
        fits = []
        for t in near:
            if policy.every_cell or 0 < t < policy.threshold:
                down = t // policy.base * policy.base
                fits += [t] if value in (down, down + policy.base * (t % policy.base > 0)) else []
            else:
                fits += [t] if t == value else []
        ends.append((fits[0], fits[-1]))
    return tuple(np.array(ends, dtype=np.int64).reshape(-1, 2).T)


def margin_ends(n, policy: Policy) -> tuple[int, int]:
    """The counts that a number rounded by itself can stand for, by trying; NA is any that is not shown."""
    if pd.isna(n):
        return 0, policy.margin_threshold - 1
    fits = [t for t in range(max(0, int(n) - policy.base), int(n) + policy.base) if policy.rounded(t) == n]
    return fits[0], fits[-1]


@dataclass(frozen=True, eq=False)
class People:
    """Distinct statuses, those of patients first, with the number of patients of each."""

    status: np.ndarray
    n: np.ndarray

    @classmethod
    def of(cls, status: np.ndarray, made_up: np.ndarray) -> People:
        rows, n = np.unique(status, axis=0, return_counts=True)
        return cls(np.concatenate([rows, made_up]), np.r_[n, np.zeros(len(made_up), dtype=int)])

    def columns(self, names, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """(who is counted, patients): the distinct memberships in the numbers."""
        told = np.array([counted(name, self.status, plan) for name in names]).T
        rows, which = np.unique(np.packbits(told, axis=1), axis=0, return_inverse=True)
        n = np.bincount(which.ravel(), weights=self.n, minlength=len(rows)).astype(int)
        return np.unpackbits(rows, axis=1, count=len(names)).astype(bool), n


def attack_core(core, names, groups, n, policy: Policy) -> tuple[Broken, np.ndarray]:
    """Attack the protected table alone: every number, every difference of bounds, every group. (found, errors)"""
    published = {row.tobytes(): int(k) for row, k in zip(core.members, core.n, strict=True)}
    shown = np.array([published.pop(row.tobytes(), 0) for row in groups])
    if published:
        raise AssertionError("A published group cannot exist.")
    lo, hi = cell_ends(shown, policy)
    if ((n < lo) | (n > hi)).any():
        raise AssertionError("A protected count is too far from the truth.")
    place = {name: j for j, name in enumerate(names)}
    wanted = [*groups.T, *np.eye(len(groups), dtype=bool)]
    wanted += [groups[:, j] & ~groups[:, place[f"confirmed:{name[10:]}"]] for name, j in place.items()
               if name.startswith("remaining:") and f"confirmed:{name[10:]}" in place]  # fmt: skip
    wanted = np.array(wanted)
    true = wanted @ n
    small = (true > 0) & (true < policy.threshold)
    broken = Broken()
    broken.add(*by_sums(lo, hi, int(n.sum()), wanted[small]))
    return broken, groups.T @ (shown - n)


def attack_all(core, margins, plan: Plan, people: People, policy: Policy, rng, sample: int) -> Broken:
    """Attack the protected table and the second block together, for a sample of small groups."""
    kinds = {"n_failing": "failing", "n_unknown": "unknown", "n": "both"}
    shown = {}
    for margin in margins.values():
        for column in set(margin.frame.columns) & set(kinds):
            for key, value in margin.frame[column].items():
                shown[f"{kinds[column]}:{'&'.join(key) if isinstance(key, tuple) else key}"] = value
    first = [q.name for q in core.queries]
    columns, n = people.columns([*first, *shown], plan)
    cells, which = np.unique(columns[:, : len(first)], axis=0, return_inverse=True)
    which = which.ravel()
    published = {row.tobytes(): int(k) for row, k in zip(core.members, core.n, strict=True)}
    lo, hi = cell_ends(np.array([published.get(row.tobytes(), 0) for row in cells]), policy)
    ends = np.array([margin_ends(v, policy) for v in shown.values()]).reshape(-1, 2)
    one_cell = which == np.arange(len(cells))[:, None]
    facts = np.concatenate([one_cell, columns[:, len(first) :].T, np.ones((1, len(n)), bool)])
    lo, hi = np.r_[lo, ends[:, 0], n.sum()], np.r_[hi, ends[:, 1], n.sum()]
    wanted = np.concatenate([columns.T, one_cell])
    return _sampled(facts, lo, hi, wanted, n, policy.threshold, rng, sample)


def attack_plain(how: str, what: str, people: People, plan: Plan, rng, sample: int, threshold: int = 11) -> Broken:
    """Attack numbers that were suppressed or rounded one by one, as is common practice."""
    kinds = ["excluded", "remaining", "only_reason", "failing", *(["waived"] if "waived" in what else [])]
    names = [f"{kind}:{key}" for kind in kinds for key in plan.ids]
    columns, n = people.columns(names, plan)
    if "sites" in what:
        # Every membership at each of two sites, every number for both together and for each.
        here = np.repeat(np.eye(2, dtype=bool), len(n), axis=0)
        at_one = rng.binomial(n, 0.6)
        columns, n = np.tile(columns, (2, 1)), np.r_[at_one, n - at_one]
        columns = np.hstack([columns, *(np.c_[columns & here[:, [i]], here[:, i]] for i in range(2))])
    true = columns.T @ n
    if how == "hide 1 to 10":
        hidden = (true > 0) & (true < threshold)
        lo, hi = np.where(hidden, 1, true), np.where(hidden, threshold - 1, true)
    else:
        near = (2 * true + 5) // 10 * 5
        lo, hi = np.maximum(near - 2, 0), near + 2
    facts = np.concatenate([columns.T, np.ones((1, len(n)), bool)])
    return _sampled(facts, np.r_[lo, n.sum()], np.r_[hi, n.sum()], columns.T, n, threshold, rng, sample)


def _sampled(facts, lo, hi, wanted, n, threshold: int, rng, sample: int) -> Broken:
    true = facts @ n
    if ((true < lo) | (true > hi)).any():
        raise AssertionError("A released number does not fit the patients.")
    true = wanted @ n
    small = np.flatnonzero((true > 0) & (true < threshold))
    if len(small) > sample:
        small = rng.choice(small, sample, replace=False)
    broken = Broken()
    if len(small):
        free = np.arange(len(n))
        if len(n) > COLUMNS:
            free = np.sort(
                rng.choice(len(n), COLUMNS, replace=False, p=(n == 0) * 0.5 / (n == 0).sum() + n / n.sum() / 2)
            )
        fixed = np.where(np.isin(np.arange(len(n)), free), 0, n)
        rest = facts @ fixed
        low, high = by_programme(facts[:, free], lo - rest, hi - rest, wanted[small][:, free])
        low, high = low + wanted[small] @ fixed, high + wanted[small] @ fixed
        if ((low > true[small]) | (high < true[small])).any():
            raise AssertionError("The attack is wrong.")
        broken.add(low, high)
    return broken
