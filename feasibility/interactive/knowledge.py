"""What the released numbers say about each protected group: at which settings it passes, stays in or falls out.

A *column* is one criterion at one setting: as in the protocol (``I5.1``) or with other thresholds
(``I5.1|min_hemoglobin=70``). Every query of a release joins columns, and each group either counts for it or does not.
That is knowledge of two kinds, all of it about the group as a whole, because its patients answer alike:

- a group that counts for a query passes, stays in ("does not fail"), fails or is unknown in each of its columns;
- a group that does not count contradicts it in at least one of them: a *clause*, "fails here, or there, or there".

Three rules complete it. Along the settings of one criterion "passes" and "stays in" carry over to every looser one,
"fails" and "does not pass" to every stricter one (relaxing never loses a patient). Passing implies staying in, and
failing implies not passing. A clause of which all but one possibility are excluded makes the last one certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from feasibility.disclosure.table import ProtectedTable
from feasibility.errors import ReconciliationError
from feasibility.interactive.columns import Column, Slider, columns_of, order_of, sliders_of
from feasibility.patterns import CriterionLabel


@dataclass(frozen=True)
class Group:
    """A protected group: its count, the strictest columns known to be passed and to be stayed in, and its clauses."""

    n: int
    passes: tuple[int, ...]
    stays: tuple[int, ...]
    clauses: tuple[int, ...]


@dataclass(frozen=True)
class Clause:
    """The group fails one of ``fails`` or does not pass one of ``doubts`` (positions of columns)."""

    fails: tuple[int, ...]
    doubts: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Everything the interactive page knows: labels, sliders, columns, clauses and protected groups."""

    labels: tuple[CriterionLabel, ...]
    sliders: tuple[Slider, ...]
    columns: tuple[Column, ...]
    clauses: tuple[Clause, ...]
    groups: tuple[Group, ...]

    @cached_property
    def slider(self) -> dict[str, Slider]:
        return {one.name: one for one in self.sliders}

    @property
    def n_patients(self) -> int:
        return sum(group.n for group in self.groups)


def knowledge_of(core: ProtectedTable) -> Knowledge:
    """What a protected table says about its groups; groups that nothing tells apart are joined.

    A threshold whose curve falls somewhere (so that "looser" has no meaning) keeps its grid but orders nothing.
    """
    occupied = np.asarray(core.n) != 0
    members, n = np.asarray(core.members)[occupied], np.asarray(core.n)[occupied]
    order = np.lexsort(members.T) if members.shape[1] else slice(None)  # in no order of the patients' making
    members, n = members[order], n[order]
    names = list(dict.fromkeys([*(label.id for label in core.labels), *(c for q in core.queries for c in q.columns)]))
    columns = columns_of(core, names)
    sliders = sliders_of(core, dict(zip(names, columns, strict=True)))
    for _ in range(len(sliders) + 1):
        looser = order_of(columns, sliders)
        known, wrong = _known(core, names, members, looser)
        if not len(wrong):
            return _compact(core, sliders, columns, looser, known, n)
        guilty = {name for j in wrong for name, _ in columns[j].settings}
        if not any(s.direction for s in sliders if s.name in guilty):
            break
        sliders = [replace(s, direction=0) if s.name in guilty else s for s in sliders]
    raise ReconciliationError("The protected groups contradict each other; this is a defect, please report it.")


@dataclass(frozen=True, eq=False)
class _Known:
    """Boolean matrices, groups x columns, and for each group its open clauses as (fails, doubts) over columns."""

    passes: np.ndarray
    stays: np.ndarray
    fails: np.ndarray
    doubts: np.ndarray
    open: list[list[tuple[np.ndarray, np.ndarray]]]


def _known(core, names, members, looser) -> tuple[_Known, np.ndarray]:
    """What follows for each group, and the columns in which it contradicts itself."""
    place = {name: j for j, name in enumerate(names)}
    parts = {}
    for kind in ("passes", "stays", "fails", "unknown"):
        parts[kind] = np.zeros((len(core.queries), len(names)), dtype=np.float32)
        for q, query in enumerate(core.queries):
            parts[kind][q, [place[c] for c in getattr(query, kind)]] = 1
    up, down = looser.T.astype(np.float32), looser.astype(np.float32)
    inside = members.astype(np.float32)
    passes, stays = inside @ parts["passes"] > 0, inside @ (parts["stays"] + parts["unknown"]) > 0
    fails, doubts = inside @ parts["fails"] > 0, inside @ parts["unknown"] > 0
    while True:
        before = sum(x.sum() for x in (passes, stays, fails, doubts))
        passes = passes @ up > 0
        stays = (stays | passes) @ up > 0
        fails = fails @ down > 0
        doubts = (doubts | fails) @ down > 0
        # What could contradict a query the group does not count for: one possibility left is certain.
        left = {
            "passes": ~passes, "stays": ~stays, "fails": ~fails,
            "unknown": np.where(doubts & stays, 0, np.where(doubts | stays, 1, 2)),
        }  # fmt: skip
        count = sum(left[kind].astype(np.float32) @ parts[kind].T for kind in left)
        single = ((count == 1) & ~members).astype(np.float32)
        for kind, certain in (("passes", doubts), ("stays", fails), ("fails", stays)):
            certain |= (single @ parts[kind] > 0) & left[kind].astype(bool)
        unknown = single @ parts["unknown"] > 0
        passes, fails = passes | (unknown & stays & ~doubts), fails | (unknown & doubts & ~stays)
        if sum(x.sum() for x in (passes, stays, fails, doubts)) == before:
            break
    # A group that does not count although nothing is left to contradict, or of which two things hold at once.
    refuted = ((count == 0) & ~members).any(axis=0)
    wrong = ((passes & doubts) | (stays & fails)).any(axis=0) | (refuted @ sum(parts.values()) > 0)
    known = _Known(passes, stays, fails, doubts, [])
    for g in range(len(members)):
        known.open.append(list(_open_clauses(parts, members[g], passes[g], stays[g], fails[g], doubts[g])))
    return known, np.flatnonzero(wrong)


def _open_clauses(parts, member, passes, stays, fails, doubts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The clauses of one group that are not settled and speak of failing or not passing only."""
    for q in np.flatnonzero(~member):
        must, keep, fall, hole = (parts[kind][q] > 0 for kind in ("passes", "stays", "fails", "unknown"))
        if (must & doubts).any() or (keep & fails).any():  # contradicted for certain
            continue
        if (fall & ~fails).any() or (hole & ~(doubts & stays)).any():  # may be contradicted by passing
            continue
        yield keep & ~stays, must & ~passes


def _compact(core, sliders, columns, looser, known: _Known, n) -> Knowledge:
    """Only what a state of the page can use: columns at slider settings, the strongest facts, equal groups joined."""
    names = {s.name for s in sliders}
    usable = np.array([not c.opaque and c.criterion >= 0 and all(k in names for k, _ in c.settings) for c in columns])
    kept = np.flatnonzero(usable)
    place = {int(j): k for k, j in enumerate(kept)}
    strictly = looser & ~looser.T
    first = np.array([not (looser[j, :j] & looser[:j, j]).any() for j in range(len(columns))])  # of equal columns one
    implies = _implications(looser)
    pooled: dict[Clause, int] = {}
    counts: dict[tuple, int] = {}
    for g in range(len(n)):
        strongest = []
        for facts in (known.passes[g], known.stays[g]):
            # A column is left out if a stricter one is known as well.
            weaker = strictly[:, facts & usable].any(axis=1)
            strongest.append(tuple(place[int(j)] for j in np.flatnonzero(facts & usable & first & ~weaker)))
        clauses = []
        for fails, doubts in _minimal(known, g, implies, usable):
            clause = Clause(*(tuple(place[int(j)] for j in np.flatnonzero(x)) for x in (fails, doubts)))
            clauses.append(pooled.setdefault(clause, len(pooled)))
        key = (*strongest, tuple(sorted(clauses)))
        counts[key] = counts.get(key, 0) + int(n[g])
    groups = tuple(Group(count, *key) for key, count in counts.items())
    return Knowledge(core.labels, tuple(sliders), tuple(columns[j] for j in kept), tuple(pooled), groups)


def _implications(looser: np.ndarray) -> np.ndarray:
    """``implies[a, b]`` over "fails column" then "does not pass column": a makes b certain."""
    stricter = looser  # failing a looser setting is failing every stricter one
    return np.block([[stricter, stricter], [np.zeros_like(stricter), stricter]])


def _minimal(known: _Known, g: int, implies, usable) -> list[tuple[np.ndarray, np.ndarray]]:
    """The clauses of a group that no other one contains; certain failures are clauses of one."""
    width = len(usable)
    units = np.r_[known.fails[g] & usable, known.doubts[g] & usable]
    rows = [np.arange(2 * width) == j for j in np.flatnonzero(units)]
    rows += [np.r_[fails, doubts] for fails, doubts in known.open[g] if usable[fails | doubts].all()]
    if not rows:
        return []
    matrix = np.unique(np.array(rows), axis=0)
    matrix = matrix[np.argsort(matrix.sum(axis=1), kind="stable")]
    # a contains b when each literal of a makes some literal of b certain
    makes = matrix.astype(np.float32) @ implies.T.astype(np.float32) > 0
    stronger = ~((matrix.astype(np.float32) @ (~makes).T.astype(np.float32)) > 0)
    kept: list[int] = []
    for b in range(len(matrix)):
        others = np.flatnonzero(stronger[:, b])
        if not any(a != b and (not stronger[b, a] or a < b) for a in others):
            kept.append(b)
    return [(matrix[b, :width], matrix[b, width:]) for b in kept]
