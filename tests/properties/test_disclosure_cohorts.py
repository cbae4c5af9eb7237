"""Random cohorts released and attacked: by enumeration, by formulas, by another linear programme than the audit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bench import disclosure as bench
from bench import disclosure_attack as other
from feasibility.disclosure.attack import attack, shown_numbers, targets_of
from feasibility.disclosure.audit import Targets, audit
from feasibility.disclosure.columns import (
    core_facts,
    looseness_of,
    made_up_patterns,
    margin_facts,
    space_of,
)
from feasibility.disclosure.facts import known_total, made, together
from feasibility.disclosure.policy import POLICIES, Policy
from feasibility.disclosure.release import Extended, protected_core, rounded_margins
from feasibility.patterns import pack


@pytest.mark.parametrize("block", range(10))
def test_verdicts_equal_those_of_trying_every_table(block):
    """Up to 4 columns and 16 patients: every way to spread them is tried."""
    leaks = safe = 0
    for seed in range(12 * block, 12 * block + 12):
        rng = np.random.default_rng(seed)
        columns, facts = rng.integers(2, 5), rng.integers(1, 6)
        n = rng.integers(0, 5, columns)
        members = np.vstack([rng.random((facts, columns)) < 0.6, np.ones(columns, dtype=bool)])
        true, slack = members @ n, rng.integers(0, 4, (2, facts + 1))
        slack[:, -1] = 0
        lo, hi = np.maximum(true - slack[0], 0), true + slack[1]
        wanted = rng.random((4, columns)) < 0.5
        policy = Policy("ours", base=3, threshold=int(rng.integers(3, 7)))
        known = made("core", [str(i) for i in range(facts + 1)], members, (lo, hi))
        found = audit(known, Targets(wanted, tuple("abcd"), ("core",) * 4), n, policy)
        every = np.array([x for x in product(range(n.sum() + 1), repeat=columns) if sum(x) == n.sum()])
        sums = every @ members.T
        every = every[((sums >= lo) & (sums <= hi)).all(axis=1)]
        by_name = {f.name: f for f in found.findings}
        for name, row in zip("abcd", wanted, strict=True):
            if not 0 < row @ n < policy.threshold:
                assert name not in by_name
                continue
            values = every @ row
            smallest, largest = values.min(), values.max()
            away = largest - smallest + 1 < 3 or (smallest >= 1 and largest < policy.threshold)
            finding = by_name[name]
            assert finding.verdict == ("leaks" if away else "safe")
            if away:
                assert (finding.lo, finding.hi) == (smallest, largest)
                leaks += 1
            else:
                assert smallest <= finding.lo <= finding.hi <= largest
                safe += 1
    assert leaks
    assert safe


def released(patients: int, criteria: int, seed: int, policy):
    """A cohort of the benchmark and its release, not yet attacked."""
    rng = np.random.default_rng(seed)
    plan, status = bench.plan_of(criteria), bench.statuses(patients, criteria, rng)
    tables = (*bench.CORE, "failing", "overlaps")
    extended = Extended.of(plan, bench.patterns_of(status, plan.columns))
    core, _ = protected_core(plan, extended, policy, tables)
    return plan, status, extended, core, rounded_margins(plan, extended, policy, tables)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_possible_memberships_equal_an_enumeration_of_patterns(most):
    """The product makes patterns of packed words from blocks, the benchmark one by one in plain arrays."""
    plan, status, extended, core, _ = released(300, 6, most, POLICIES["nhs"])
    queries = [*core.queries, *plan.second(("failing", "overlaps"), ())]
    space = space_of(
        queries, extended.columns, extended.failed, extended.unknown, extended.n,
        looseness_of(plan.protocol, plan.variants), depth=most,
    )  # fmt: skip
    people = other.People.of(status, other.possible_statuses(6, most))
    columns, n = people.columns([q.name for q in queries], plan)
    mine = {row.tobytes(): k for row, k in zip(space.members, space.n, strict=True)}
    assert mine == {row.tobytes(): k for row, k in zip(columns, n, strict=True)}
    assert space.n_patients == 300


def test_a_looser_variant_never_fails_where_a_tighter_passes():
    plan, _, extended, _, _ = released(300, 6, 4, POLICIES["nhs"])
    failed, unknown = made_up_patterns(
        extended.columns, extended.failed, extended.unknown, extended.n, looseness_of(plan.protocol, plan.variants)
    )
    bit = {name: (failed[:, 0] >> np.uint64(i)) & np.uint64(1) for i, name in enumerate(extended.columns)}
    for i in range(3):
        own, less, least = (bit[x] == 1 for x in (f"I{i}", f"I{i}|min_x{i}=4.0", f"I{i}|min_x{i}=3.0"))
        assert not (less & ~own).any()
        assert not (least & ~less).any()
        assert (own & ~less).any()
        assert (less & ~least).any()
    assert not (failed & unknown).any()


def test_too_many_patterns_are_cut_to_fewer_criteria():
    plan, _, extended, core, _ = released(300, 11, 5, POLICIES["nhs"])
    statuses = (extended.columns, extended.failed, extended.unknown, extended.n)
    loose = looseness_of(plan.protocol, plan.variants)
    sizes = [len(made_up_patterns(*statuses, loose, limit=limit)[0]) for limit in (100_000, 2_000, 300)]
    assert sizes[0] > 2_000 >= sizes[1] > 300 >= sizes[2] > 11
    for limit in (2_000, 300):
        space = space_of(core.queries, *statuses, loose, limit=limit)
        core_facts(space, core.queries, core.members, core.n, POLICIES["nhs"])


def test_made_up_patterns_are_at_every_site():
    status = np.zeros((10, 4), dtype=bool)
    status[:6, 2], status[6:, 3] = True, True
    words = pack(list(status.T), 10)
    failed, _ = made_up_patterns(
        ("I1", "E1", "site_id=A", "site_id=B"), words, np.zeros_like(words), np.ones(10, int), {}
    )
    # Each criterion passed, failed or unknown, at either site and never at both.
    assert len(failed) == 9 * 2
    assert set((failed[:, 0] >> np.uint64(2)).tolist()) == {1, 2}


@pytest.mark.parametrize("name", ["nhs", "cms", "omop"])
def test_the_audit_agrees_with_a_separate_linear_programme(name):
    policy = POLICIES[name]
    plan, status, extended, core, margins = released(200, 6, 6, policy)
    result = attack(plan, extended, core, margins, policy)
    second = plan.second(("failing", "overlaps"), ())
    people = other.People.of(status, other.possible_statuses(6, 3))
    columns, n = people.columns([q.name for q in (*core.queries, *second)], plan)
    space = space_of([*core.queries, *second], extended.columns, extended.failed, extended.unknown, extended.n,
                     looseness_of(plan.protocol, plan.variants))  # fmt: skip
    order = {row.tobytes(): i for i, row in enumerate(columns)}
    place = [order[row.tobytes()] for row in space.members]
    assert (n[place] == space.n).all()
    targets = targets_of(space, core.queries, second)
    shown = shown_numbers(margins, policy)
    facts = together([
        core_facts(space, core.queries, core.members, core.n, policy), known_total(200, len(space.n)),
        margin_facts(space, second, [shown[q.name] for q in second], policy),
    ])  # fmt: skip
    row = {key: i for i, key in enumerate(targets.names)}
    for finding in result.findings[::9]:
        wanted = targets.members[[row[finding.name]]].toarray() > 0
        low, high = other.by_programme(facts.members.toarray(), facts.lo, np.minimum(facts.hi, 10**6), wanted)
        assert low[0] <= finding.lo
        assert finding.hi <= high[0]
        away = high[0] - low[0] + 1 < 3 or (low[0] >= 1 and high[0] < policy.threshold)
        assert finding.verdict == ("leaks" if away else "safe")
    assert len(result.findings) > 40


def test_a_hundred_cohorts_give_no_small_group_back():
    """200 and 2,000 patients, 6 and 11 criteria (24 and 20,000 are in the benchmark), three policies: 300 releases."""
    found = [row for seed in range(100) for row in bench.one_cohort(seed, 0, False, False, (200, 2_000), (6, 11))]
    assert len(found) == 300
    small, exact, two = (sum(getattr(row["broken"], x) for row in found) for x in ("small", "exact", "two"))
    assert small > 10_000
    assert exact == 0
    assert two <= 0.01 * small
    for row in found:
        policy = POLICIES[row["policy"]]
        assert abs(row["error"]).max() <= 4 * policy.base


def test_the_second_block_gives_no_small_group_back():
    found = [row for seed in range(3) for row in bench.one_cohort(seed, 3, True, False, (200,), (6, 11))]
    found = [row["broken"] for row in found if row["release"] != "core"]
    assert sum(b.small for b in found) > 40
    assert sum(b.exact for b in found) == 0


def test_the_same_attack_breaks_what_is_usual():
    found = bench.plain(3, criteria=6, sample=6)

    def share(how, what, of):
        rows = [row["broken"] for row in found if (row["how"], row["numbers"]) == (how, what)]
        return sum(getattr(b, of) for b in rows) / sum(b.small for b in rows)

    assert share("hide 1 to 10", "table", "exact") > 0.2
    assert share("round to 5", "table", "exact") == 0
    assert share("round to 5", "table and waived", "two") > 0.1
