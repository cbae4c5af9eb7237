"""What is imputed, from which other columns, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.missing.features import LEAST, Variable, pool, variable
from feasibility.missing.structure import ALL, Record, View, holds

PREDICTORS = 25
"""At most so many predictors a column: 15 to 25 are enough (van Buuren, Flexible Imputation of Missing Data, 6.3)."""
CORRELATED = 0.05
SCREENED = 5_000
"""Patients on whom predictors are chosen (every so many of the sample)."""


@dataclass(eq=False)
class Plan:
    """Which records are imputed, in which order, and the numbers everything is predicted from.

    ``panels`` are the positions of the variables that are imputed together: records missing for the very same
    patients (one tube, one visit) come from one donor, so that they keep to each other.
    """

    variables: list[Variable]
    open: dict[str, str]
    X: np.ndarray = field(repr=False)
    n: int
    frame: pd.DataFrame = field(repr=False)
    panels: list[list[int]] = field(default_factory=list)

    def place(self, name: str) -> int | None:
        """The position of the variable that a column (or its age) belongs to."""
        for i, v in enumerate(self.variables):
            if name == v.record.column or name in v.record.ages:
                return i
        return None


def make_plan(records: list[Record], frame: pd.DataFrame, fit: np.ndarray, wanted: np.ndarray) -> Plan:
    """Decide what is imputed: the read columns with holes among the ``wanted`` rows, and what these depend on."""
    by_name = {r.column: r for r in records} | {a: r for r in records for a in r.ages}
    need, open_ = [], {}
    queue = [r for r in records if r.read and wanted[r.holes].any()]
    while queue:
        record = queue.pop(0)
        if record in need or not len(record.holes):
            continue
        # A record that follows from others by rule needs no donors of its own.
        if record.donors.sum() < LEAST and not record.fills:
            n = int(record.donors.sum())
            open_[record.column] = "no known value" if not n else f"only {n} known value{'s' * (n > 1)}"
            continue
        need.append(record)
        queue += [by_name[c] for c in _depends_on(record) if c in by_name]
    made = {id(r): variable(r, frame) for r in records if r.column not in open_}
    able = [r for r in records if id(r) in made and len(made[id(r)].features)]
    chosen = _choose(need, able, need, made, fit)
    helpers = [r for r in able if r not in need and any(id(r) in one for one in chosen.values())]
    aided = [r for r in helpers if len(r.holes)]
    chosen |= _choose(aided, [*need, *helpers], need, made, fit)
    order = _ordered([*need, *aided], by_name)
    blocks, first = [], 0
    for record in (*order, *(r for r in helpers if not len(r.holes)), *(r for r in able if r.read and r not in need)):
        made[id(record)].first = first
        blocks.append(made[id(record)].features[:, : len(frame)])
        first += len(blocks[-1])
    X = np.concatenate(blocks) if blocks else np.empty((0, len(frame)))
    plan = Plan([made[id(r)] for r in order], open_, X, len(frame), frame)
    for v in plan.variables:
        spots = [made[i].first + k for i, part in chosen[id(v.record)].items() for k in part]
        v.predictors = np.array(sorted(spots), dtype=int)
    _rules(plan)
    plan.panels.extend(_panels(plan))
    return plan


def _panels(plan: Plan) -> list[list[int]]:
    """Variables with the same holes and the same donors, together; nothing that has a rule or a bound."""
    found: dict[tuple, list[int]] = {}
    for i, v in enumerate(plan.variables):
        r = v.record
        free = not v.rules and v.parent is None and not (r.lacks != ALL).any()
        free &= bool((np.isinf(r.lo) & np.isinf(r.hi)).all()) and len(v.targets) == 1
        key = (r.holes.tobytes(), r.donors.tobytes()) if free else (i,)
        found.setdefault(key, []).append(i)
    return list(found.values())


def _choose(targets, records, need, made, fit) -> dict[int, dict[int, list[int]]]:
    """For each record to impute, the numbers most correlated with it or with its being missing.

    The rule of mice's quickpred. A column no criterion reads helps only if it is known for half of the holes, and if
    it has holes itself, which cost time and add noise, only if its correlation is 0.2 at least.
    """
    owners = [(r, k) for r in records for k in range(len(made[id(r)].features))]
    if not owners or not targets:
        return {id(r): {} for r in targets}
    rows = np.flatnonzero(fit)
    rows = rows[:: max(1, len(rows) // SCREENED)]
    Z = np.stack([made[id(r)].features[k][rows] for r, k in owners])
    K = np.stack([r.known[rows] for r, _ in owners]).astype(float)
    Z *= K
    chosen, everyone = {}, [*dict.fromkeys([*records, *need, *targets])]
    for record in targets:
        v = made[id(record)]
        hole = np.zeros(len(record.known), dtype=bool)
        hole[record.holes] = True
        best = np.zeros(len(owners))
        of = [(hole[rows].astype(float), np.ones(len(rows)))]
        for y, donors in v.targets:
            mask = np.isin(rows, donors).astype(float)
            columns = (y,) if record.numeric or record.dtype == "boolean" else tuple(
                (y == c).astype(float) for c in np.unique(y[donors]))  # fmt: skip
            of += [(column[rows], mask) for column in columns]
        for y, mask in of:
            best = np.maximum(best, np.abs(_correlation(y, mask, Z, K)))
        barred = {id(r) for r in records if _follows(r, record, everyone)}
        for j, (r, _) in enumerate(owners):
            helps = r in need or r.read or r.known[record.holes].mean() >= 0.5 and (not len(r.holes) or best[j] >= 0.2)
            # What follows from this record by rule would only confirm the last guess.
            if id(r) in barred or not helps or (r not in need and len(r.holes) and r.donors.sum() < LEAST):
                best[j] = -1
        most = int(min(PREDICTORS, max(3, record.donors.sum() // 10)))
        top = [j for j in np.argsort(-best, kind="stable")[:most] if best[j] >= CORRELATED]
        mine: dict[int, list[int]] = {}
        for j in _independent(Z, K, top):
            r, k = owners[j]
            mine.setdefault(id(r), []).append(k)
        chosen[id(record)] = mine
    return chosen


def _follows(record: Record, other: Record, records) -> bool:
    """Whether a record is another one, or depends on it by a declared rule, directly or through further ones."""
    names, grew = {other.column, *other.ages}, True
    while grew:
        more = {c for r in records if not names.isdisjoint(_depends_on(r)) for c in (r.column, *r.ages)}
        grew = not more <= names
        names |= more
    return record.column in names


def _depends_on(record: Record) -> list[str]:
    return [*((record.asked_if[0],) if record.asked_if else ()), *(c for f in record.fills for c in f.reads)]


def _correlation(y, mask, Z, K) -> np.ndarray:
    """Correlation of y (where the mask is set) with every row of Z (where known)."""
    both = K * mask
    n = np.maximum(both.sum(axis=1), 1)
    my, mz = (both @ y) / n, (Z @ mask) / n
    vy = np.maximum((both @ y**2) / n - my**2, 0)
    vz = np.maximum((Z**2 @ mask) / n - mz**2, 0)
    cov = (Z @ (mask * y)) / n - my * mz
    with np.errstate(invalid="ignore", divide="ignore"):
        r = cov / np.sqrt(vy * vz)
    return np.where((n < LEAST) | ~np.isfinite(r), 0.0, r)


def _independent(Z, K, top: list[int]) -> list[int]:
    """The chosen numbers without those that others already hold (correlated above 0.99)."""
    kept: list[int] = []
    for j in top:
        if not kept or np.abs(_correlation(Z[j], K[j], Z[kept], K[kept])).max() < 0.99:
            kept.append(j)
    return kept


def _ordered(records, by_name) -> list[Record]:
    """Fewest holes first, but a fact before what depends on it."""
    order: list[Record] = []

    def visit(record, seen=()):
        if record in order or record not in records or record in seen:
            return
        for name in _depends_on(record):
            if name in by_name:
                visit(by_name[name], (*seen, record))
        order.append(record)

    for record in sorted(records, key=lambda r: len(r.holes)):
        visit(record)
    return order


def _rules(plan: Plan) -> None:
    """For each variable, the holes whose declared rules hang on something that is imputed itself."""
    for v in plan.variables:
        record = v.record
        if record.asked_if and (p := plan.place(record.asked_if[0])) is not None:
            parent = plan.variables[p]
            arises = pool(parent.record, plan.frame, record.asked_if[0]) == record.asked_if[1]
            v.parent = (p, pd.array(arises, dtype="boolean").fillna(False).to_numpy(dtype=bool))
        for j, fill in enumerate(record.fills):
            moving = [(c, p) for c in fill.reads if (p := plan.place(c)) is not None]
            if moving:
                _, unsure = holds(fill, plan.frame)
                where = np.flatnonzero(unsure[record.holes])
                if len(where):
                    v.rules.append((j, where, _reader(plan, fill, record.holes[where])))


def _reader(plan: Plan, fill, rows: np.ndarray):
    """The columns a fill reads, for some rows: as known, or what is imputed at the moment."""
    fixed = {c + s: plan.frame[c + s].array[rows] for c in (*fill.reads, *fill.optional) for s in ("", UPPER)
             if c + s in plan.frame}  # fmt: skip
    moving = []
    for c in fixed:
        p = plan.place(c.removesuffix(UPPER))
        if p is not None:
            moving.append((c, p, pool(plan.variables[p].record, plan.frame, c)))

    def condition(current: list[np.ndarray]) -> np.ndarray:
        columns = fixed | {c: values.take(current[p][rows]) for c, p, values in moving}
        mask = fill.when(View(pd.DataFrame(columns))).astype("boolean")
        return mask.fillna(False).to_numpy(dtype=bool)

    return condition
