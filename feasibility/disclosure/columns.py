"""Which memberships a patient can have: the unknowns of the attack.

The patients' own patterns, and every logically possible pattern with at most three criteria that are not simply
passed. Leaving others out only makes the audit stricter: it gives the attacker knowledge that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from feasibility.disclosure.facts import Facts, cell_interval, made, margin_interval, sparse
from feasibility.disclosure.protect import groups_of
from feasibility.disclosure.queries import Query
from feasibility.errors import ReconciliationError
from feasibility.patterns import WORD

DEPTH = 3
"""At most so many criteria of a made-up pattern are failed or unknown."""
LIMIT = 40_000
"""Made-up patterns at most; beyond it, fewer criteria at a time."""


@dataclass(frozen=True, eq=False)
class Space:
    """The distinct memberships: ``members`` is boolean, columns x queries, ``n`` the patients who have each."""

    queries: tuple[Query, ...]
    members: np.ndarray
    n: np.ndarray

    def of(self, queries: Sequence[Query]) -> np.ndarray:
        """Boolean matrix, queries x columns."""
        place = {query: j for j, query in enumerate(self.queries)}
        return self.members[:, [place[query] for query in queries]].T

    @property
    def n_patients(self) -> int:
        return int(self.n.sum())

    def cells(self, queries: Sequence[Query]) -> tuple[np.ndarray, np.ndarray]:
        """(answers, cell of each column): the disjoint groups that the queries make of the columns."""
        packed = np.packbits(self.of(queries).T, axis=1)
        if not packed.shape[1]:
            return np.zeros((1, 0), dtype=bool), np.zeros(len(self.n), dtype=np.int64)
        keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
        rows, which = np.unique(keys, return_inverse=True)
        answers = np.unpackbits(rows.view(np.uint8).reshape(len(rows), -1), axis=1, count=len(queries))
        return answers.astype(bool), which.ravel()


def space_of(
    queries: Sequence[Query],
    columns: Sequence[str],
    failed: np.ndarray,
    unknown: np.ndarray,
    n: np.ndarray,
    looseness: Mapping[str, Mapping[str, float]] | None = None,
    depth: int = DEPTH,
    limit: int = LIMIT,
) -> Space:
    """The memberships in the queries that a patient can have.

    Parameters
    ----------
    queries: of this release and the earlier ones.
    columns: names of the extended statuses: criteria, variants of them (``I5.1|min_hemoglobin=70``), flags
        (``site_id=A``).
    failed, unknown: packed words, patterns x words (as in a PatternTable); ``n`` the patients of each.
    looseness: for a criterion and its variants, how loose each threshold is (larger is looser), where that is known.
    """
    made_up = made_up_patterns(columns, failed, unknown, n, looseness or {}, depth, limit)
    queries = tuple(dict.fromkeys(queries))
    bound = [query.bind(columns) for query in queries]
    members, counts = groups_of(
        bound,
        np.concatenate([failed, made_up[0]]),
        np.concatenate([unknown, made_up[1]]),
        np.concatenate([n, np.zeros(len(made_up[0]), dtype=np.int64)]),
    )
    return Space(queries, members, counts)


def core_facts(space: Space, queries: Sequence[Query], answers: np.ndarray, n: np.ndarray, policy, table="core"):
    """What the protected table tells: one fact a group; groups that it does not list are protected counts of 0.

    ``answers`` (bool, groups x queries) and ``n`` are the published groups.
    """
    cells, of_column = space.cells(queries)
    published = {np.packbits(row).tobytes(): int(count) for row, count in zip(answers, n, strict=True)}
    keys = [np.packbits(row).tobytes() for row in cells]
    missing = set(published) - set(keys)
    if missing:
        raise ReconciliationError("A published group is not among the memberships that a patient can have.")
    members = one_each(of_column, len(cells))
    names = [f"group {i + 1} of the core" for i in range(len(cells))]
    return made(table, names, members, cell_interval([published.get(key, 0) for key in keys], policy))


def margin_facts(space: Space, queries: Sequence[Query], shown: Sequence[int | None], policy, table="") -> Facts:
    """What numbers rounded one by one tell; None is one printed as "below the threshold"."""
    lo, hi = margin_interval(list(shown), policy)
    tables = tuple(table or query.table for query in queries)
    return Facts(sparse(space.of(queries)), lo, hi, tuple(query.name for query in queries), tables)


def one_each(cell_of_column: np.ndarray, cells: int):
    """Sparse matrix, cells x columns, of which cell each column is in."""
    from scipy.sparse import csr_array

    places = np.arange(len(cell_of_column))
    return csr_array((np.ones(len(places), dtype=np.int64), (cell_of_column, places)), shape=(cells, len(places)))


def made_up_patterns(columns, failed, unknown, n, looseness, depth: int = DEPTH, limit: int = LIMIT):
    """Patterns that a patient can have: at most ``depth`` criteria not passed, in every way each can be.

    How a criterion and its variants can go together is taken from the patients, from "all unknown", and from the order
    of the thresholds; the largest sets of criteria, if there would be too many, are failed or unknown in every variant.
    (failed, unknown) are packed as those given.
    """
    words = failed.shape[1]
    blocks, flags = _blocks(columns)
    states = [_states(block, columns, failed, unknown, looseness, words) for block in blocks]
    plain = [_plain(block, words) for block in blocks]
    strata = _strata(flags, failed, n, words)
    in_every_way = everywhere = depth
    while in_every_way > 1 and _number([len(s) for s in states], in_every_way) > limit:
        in_every_way -= 1
    while everywhere > 0 and _number([len(s) for s in states], everywhere) * len(strata) > limit:
        everywhere -= 1
    while depth > in_every_way and _number([2] * len(blocks), depth) > limit:
        depth -= 1
    parts = []
    for d in range(depth + 1):
        for chosen in _combined(states if d <= in_every_way else plain, d, words):
            for row in strata if d <= everywhere else strata[:1]:
                part = chosen.copy()
                part[:, 0] |= row
                parts.append(part)
    both = np.concatenate(parts)
    return both[:, 0], both[:, 1]


def looseness_of(protocol, variants: Mapping) -> dict[str, dict[str, float]]:
    """How loose each threshold of a criterion and of its variants is; a variant that changes more is left out."""
    loose: dict[str, dict[str, float]] = {}
    own = {c.id: c for c in protocol.assessable}
    for name, criterion in [*own.items(), *variants.items()]:
        original = own.get(name.split("|")[0])
        if original is None or criterion.function is not original.function:
            continue
        moved = [k for k, v in criterion.values.items() if original.values.get(k) != v]
        ways = {k: original.setting(k).direction for k in original.values}
        if all(ways.get(k) for k in moved):
            loose[name] = {k: float(v) * ways[k] for k, v in criterion.values.items() if ways.get(k)}
    return loose


def _number(sizes: Sequence[int], depth: int) -> int:
    """How many patterns have at most ``depth`` criteria not passed."""
    ways = np.zeros(depth + 1)
    ways[0] = 1
    for size in sizes:
        ways[1:] += ways[:-1] * size
    return int(ways.sum())


def _combined(states: list[np.ndarray], depth: int, words: int):
    """All patterns with exactly ``depth`` criteria not passed: arrays patterns x (failed, unknown) x words."""
    if depth == 0:
        yield np.zeros((1, 2, words), dtype=np.uint64)
        return
    for chosen in combinations(range(len(states)), depth):
        part = np.zeros((1, 2, words), dtype=np.uint64)
        for b in chosen:
            part = (part[:, None] | states[b][None]).reshape(-1, 2, words)
        yield part


def _blocks(columns: Sequence[str]) -> tuple[list[list[int]], dict[str, list[int]]]:
    """Each criterion with its variants, and the flags of each stratum."""
    blocks: dict[str, list[int]] = {}
    flags: dict[str, list[int]] = {}
    for i, name in enumerate(columns):
        if "|" not in name and "=" in name:
            flags.setdefault(name.split("=")[0], []).append(i)
        else:
            blocks.setdefault(name.split("|")[0], []).append(i)
    return list(blocks.values()), flags


def _states(block, columns, failed, unknown, looseness, words: int) -> np.ndarray:
    """The ways in which a criterion and its variants are not simply passed: states x (failed, unknown) x words."""
    mask = _mask(block, words)
    seen = np.concatenate([failed & mask, unknown & mask], axis=1)
    seen = seen[~pd.DataFrame(seen).duplicated()].reshape(-1, 2, words)
    nothing = np.zeros(words, dtype=np.uint64)
    states = [*seen, np.stack([nothing, mask]), np.stack([mask, nothing])]
    names = [columns[i] for i in block]
    if all(name in looseness for name in names):
        for setting in looseness[names[0]]:
            values = np.array([looseness[name].get(setting, -np.inf) for name in names])
            for cut in np.unique(values):
                states.append(
                    np.stack([_mask([i for i, v in zip(block, values, strict=True) if v <= cut], words), nothing])
                )
    states = np.unique(np.array(states).reshape(-1, 2 * words), axis=0).reshape(-1, 2, words)
    return states[states.any(axis=(1, 2))]


def _plain(block, words: int) -> np.ndarray:
    """A criterion failed however it is varied, or unknown."""
    mask, nothing = _mask(block, words), np.zeros(words, dtype=np.uint64)
    return np.stack([np.stack([mask, nothing]), np.stack([nothing, mask])])


def _strata(flags: Mapping[str, list[int]], failed, n, words: int) -> np.ndarray:
    """Combinations of flags that patients have, the commonest first."""
    if not flags:
        return np.zeros((1, words), dtype=np.uint64)
    mask = _mask([i for one in flags.values() for i in one], words)
    rows, which = np.unique(failed & mask, axis=0, return_inverse=True)
    if not len(rows):
        return np.zeros((1, words), dtype=np.uint64)
    return rows[np.argsort(-np.bincount(which.ravel(), weights=n, minlength=len(rows)), kind="stable")]


def _mask(places: Sequence[int], words: int) -> np.ndarray:
    mask = np.zeros(words, dtype=np.uint64)
    for i in places:
        mask[i // WORD] |= np.uint64(1) << np.uint64(i % WORD)
    return mask
