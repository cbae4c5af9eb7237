"""Disclosure: random cohorts are released under each policy, and an attack of its own tries to get small groups back.

``python -m bench.disclosure 1000`` takes the number of cohorts, spread over 200, 2,000 and 20,000 patients and 11 and
24 criteria. The attack shares nothing with the package's audit: it reads the released numbers by their names, works out
by itself who they count and which patients are possible, and bounds small groups from interval sums (the core alone,
where that is exact) or with scipy's linear programming (with the second block; a sample of the groups). It knows the
number of patients. The same attack is run on cells suppressed and on numbers rounded one by one, as is usual; those it
must be able to break.
"""

from __future__ import annotations

import sys
import time
import types
from collections import defaultdict
from itertools import product

import numpy as np

import feasibility as fz
from bench.disclosure_attack import (
    FAIL,
    PASS,
    UNKNOWN,
    Broken,
    People,
    attack_all,
    attack_core,
    attack_plain,
    possible_statuses,
)
from feasibility.disclosure.plan import Plan
from feasibility.disclosure.policy import POLICIES, Policy
from feasibility.disclosure.release import Extended, Release, protected_core, rounded_margins
from feasibility.errors import FeasibilityError
from feasibility.patterns import CriterionLabel, PatternTable, count, pack
from feasibility.protocol.protocol import Protocol

SIZES, CRITERIA, NAMES = (200, 2_000, 20_000), (11, 24), ("nhs", "cms", "omop")
CORE = ("funnel", "only-reason", "bounds", "scenarios", "curves")
STEPS = (3.0, 4.0)
"""Two looser values of the threshold of each of the first three criteria."""
BLOCKS = {"+ failing": ("failing",), "+ failing, pairs": ("failing", "overlaps")}


def _one_column(x):
    return x > 5


def _one_threshold(x, *, limit=5.0):
    return x > limit


def protocol_of(criteria: int) -> Protocol:
    """A protocol of made-up criteria, the first three with a threshold; they are never evaluated."""
    made = []
    for i in range(criteria):
        shape, names = (_one_threshold, (f"x{i}", f"min_x{i}")) if i < 3 else (_one_column, (f"x{i}",))
        code = shape.__code__.replace(co_varnames=names)
        function = types.FunctionType(code, globals(), f"c{i}")
        if i < 3:
            function.__kwdefaults__ = {f"min_x{i}": 5.0}
        made.append(fz.inclusion(f"I{i}", "above")(function))
    return Protocol("MADE-UP", "Made-up criteria", made)


def plan_of(criteria: int) -> Plan:
    """Two scenarios that waive criteria, and a curve of three points for each threshold."""
    protocol = protocol_of(criteria)
    waived = {"without two": protocol.without("c3", "c5"), "without one": protocol.without(f"c{criteria - 1}")}
    return Plan.of(protocol, waived, {f"min_x{i}": STEPS for i in range(3)})


def statuses(patients: int, criteria: int, rng) -> np.ndarray:
    """Random statuses, patients x (criteria, then two looser variants of the first three).

    Failing 2 to 25 % and unknown up to 20 % of the patients, graded over the criteria in random order; both go
    together within a patient (a common factor each), as ill and little examined patients do.
    """
    fails = rng.permutation(np.geomspace(0.02, 0.25, criteria))
    holes = rng.permutation(np.linspace(0.0, 0.20, criteria))
    ill, unseen = rng.normal(size=(2, patients, 1))
    loading = rng.uniform(0.2, 0.7)
    rank = _uniform(loading * ill + np.sqrt(1 - loading**2) * rng.normal(size=(patients, criteria)))
    hole = _uniform(0.6 * unseen + 0.8 * rng.normal(size=(patients, criteria))) < holes
    looser = [np.where(hole[:, i], UNKNOWN, rank[:, i] < fails[i] * part) for i in range(3) for part in (0.4, 0.7)]
    return np.column_stack([np.where(hole, UNKNOWN, rank < fails), *looser]).astype(np.int8)


def _uniform(normal: np.ndarray) -> np.ndarray:
    return (np.argsort(np.argsort(normal, axis=0), axis=0) + 0.5) / len(normal)


def patterns_of(status: np.ndarray, columns) -> PatternTable:
    labels = tuple(CriterionLabel(name, "inclusion", name, "") for name in columns)
    return count(labels, pack(list((status == FAIL).T), len(status)), pack(list((status == UNKNOWN).T), len(status)))


def released(status, plan: Plan, policy: Policy, tables):
    """(core, second block, seconds) of a release that has not been attacked yet."""
    start = time.perf_counter()
    extended = Extended.of(plan, patterns_of(status, plan.columns))
    core, _ = protected_core(plan, extended, policy, tables)
    margins = rounded_margins(plan, extended, policy, tables)
    return core, margins, time.perf_counter() - start


def one_cohort(seed: int, sample: int, second: bool, audited: bool, sizes=SIZES, criteria=CRITERIA) -> list[dict]:
    """One random cohort of the shape that is this seed's turn, released under each policy and attacked."""
    shapes = list(product(sizes, criteria))
    patients, k = shapes[seed % len(shapes)]
    rng = np.random.default_rng([seed, patients, k])
    plan = plan_of(k)
    status = statuses(patients, k, rng)
    people = People.of(status, possible_statuses(k))
    names = [q.name for q in plan.core(CORE)]
    groups, n = people.columns(names, plan)
    rows = []
    for name in NAMES:
        policy = POLICIES[name]
        at = {"patients": patients, "criteria": k, "policy": name}
        core, margins, seconds = released(status, plan, policy, (*CORE, "failing", "overlaps"))
        broken, errors = attack_core(core, names, groups, n, policy)
        more = {"groups": len(core.n), "error": errors, "ms": 1000 * seconds}
        rows.append(at | {"release": "core", "broken": broken} | more)
        for label, keys in BLOCKS.items() if second else ():
            margin = {key: margins[key] for key in keys}
            broken = attack_all(core, margin, plan, people, policy, rng, sample)
            rows.append(at | {"release": label, "broken": broken})
        if audited:
            rows.append(at | {"release": "as released"} | as_released(status, people, plan, policy, rng, sample))
    return rows


def as_released(status, people: People, plan: Plan, policy: Policy, rng, sample: int) -> dict:
    """What the package lets out after its own audit, attacked."""
    changes = {c.name: c for c in plan.changes if c.table == "scenarios"}
    scenarios = {name: plan.protocol.without(*c.waived) for name, c in changes.items()}
    start = time.perf_counter()
    try:
        release = Release.collect(
            patterns_of(status, plan.columns), plan.protocol, policy, scenarios=scenarios,
            grids={f"min_x{i}": STEPS for i in range(3)}, tables=(*CORE, "failing", "overlaps"), earlier=(),
        )  # fmt: skip
    except FeasibilityError as error:
        return {"broken": Broken(), "refused": str(error)[:60], "ms": 1000 * (time.perf_counter() - start)}
    took = 1000 * (time.perf_counter() - start)
    broken = attack_all(release.core, release.margins, plan, people, policy, rng, sample)
    return {"broken": broken, "dropped": tuple(release.dropped), "ms": took}


def summed(rows: list[dict], *keys: str) -> list[str]:
    """A text table: for each group of runs the small groups, the shares given back, and errors where known."""
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    width = [max(len(str(x)) for x in (key, *(g[i] for g in groups))) for i, key in enumerate(keys)]
    head = "  ".join(f"{key:<{w}}" for key, w in zip(keys, width, strict=True))
    lines = [
        f"  {head}  cohorts  small groups   exact  any exact  <=2 values  worst error  SD      ms  left out or refused"
    ]
    for group, found in groups.items():
        small, exact, two = (sum(getattr(r["broken"], x) for r in found) for x in ("small", "exact", "two"))
        some = np.mean([r["broken"].exact > 0 for r in found])
        errors = [r["error"] for r in found if "error" in r]
        worst = (
            f"{max(np.abs(e).max() for e in errors):11.0f}  {np.std(np.concatenate(errors)):4.1f}"
            if errors
            else " " * 17
        )
        times = [r["ms"] for r in found if "ms" in r]
        ms = f"{np.median(times):6.0f}" if times else " " * 6
        out = defaultdict(int)
        for row in found:
            for table in (*row.get("dropped", ()), *(["refused"] if "refused" in row else [])):
                out[table] += 1
        said = ", ".join(f"{table} {n}" for table, n in out.items())
        name = "  ".join(f"{x!s:<{w}}" for x, w in zip(group, width, strict=True))
        share = [100 * x / max(small, 1) for x in (exact, two)]
        lines.append(
            f"  {name}  {len(found):7,}  {small:12,}  {share[0]:4.1f} %  {some:9.0%}  {share[1]:8.1f} %  {worst}  {ms}"
            f"  {said}"
        )
    return lines


def plain(cohorts: int, patients: int = 200, criteria: int = 8, sample: int = 12, most: int = 3) -> list[dict]:
    """The same attack on what is common practice; patients with an unknown count as not failing it."""
    plan = Plan.of(protocol_of(criteria), {}, {})
    made_up = possible_statuses(criteria, most, two_valued=True)
    rows = []
    for seed in range(cohorts):
        rng = np.random.default_rng([seed, 77])
        people = People.of(np.where(statuses(patients, criteria, rng)[:, :criteria] == FAIL, FAIL, PASS), made_up)
        for how in ("hide 1 to 10", "round to 5"):
            for what in ("table", "table and waived", "table and two sites"):
                broken = attack_plain(how, what, people, plan, rng, sample)
                rows.append({"how": how, "numbers": what, "broken": broken})
    return rows


def run(cohorts: int = 30, second: int = 6, audited: int = 2, sample: int = 6) -> str:
    """The comparison as text; raises if anything that is let out gives a small group back.

    The second block is attacked in the first ``second`` cohorts, ``sample`` small groups of each; the first ``audited``
    are also released with the package's own audit, and that attacked.
    """
    rows = [row for seed in range(cohorts) for row in one_cohort(seed, sample, seed < second, seed < audited)]
    usual = plain(max(4, cohorts // 10))
    for row in rows:
        if row["release"] in ("core", "as released") and row["broken"].exact:
            raise AssertionError(f"A small group was given back: {row}")
    core, others = ([r for r in rows if (r["release"] == "core") == which] for which in (True, False))
    return "\n".join([
        f"Releases of {cohorts:,} random cohorts under each policy, attacked knowing the number of patients",
        *summed(core, "patients", "criteria", "policy"),
        f"With the second block ({second} cohorts), as the audit lets it out ({audited}); {sample} small groups each",
        *summed(others, "release", "policy"),
        "The same attack on numbers hidden or rounded one by one (200 patients, 8 criteria, 12 small groups of each)",
        *summed(usual, "how", "numbers"),
    ])  # fmt: skip


if __name__ == "__main__":
    values = [int(a) for a in sys.argv[1:]]
    sys.stdout.write(run(*values) + "\n")
