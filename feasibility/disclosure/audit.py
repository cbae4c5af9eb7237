"""The audit: everything published is turned against the small groups, as someone who wants their counts would do it.

The attacker knows every published number, the earlier releases in the ledger, the total, and which memberships a
patient can have. For each small group the audit finds the smallest and the largest count that fits all of this.
A linear programme gives bounds that nobody can go beyond, which proves a leak; whole-number solutions that fit
everything published, found on the way, prove that a group is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from feasibility.disclosure.attacker import Attacker
from feasibility.disclosure.facts import Facts, sparse
from feasibility.errors import FeasibilityError, ReconciliationError

PRIORITY = (
    "funnel", "only-reason", "bounds", "scenarios", "curves", "failing", "columns", "overlaps", "arrivals", "strata",
)  # fmt: skip
"""Named tables of a release, the one kept longest first."""
CORE = ("funnel", "only-reason", "bounds", "scenarios", "curves")


@dataclass(frozen=True, eq=False)
class Targets:
    """The groups an attacker may want: a matrix groups x columns as in Facts, with the table each belongs to."""

    members: Any
    names: tuple[str, ...]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """What the attack found about one small group.

    ``lo`` and ``hi`` are the counts an attacker cannot rule out (for a safe group at least these); ``verdict`` is
    ``safe``, ``leaks`` or ``unfinished``; ``blame`` names the tables whose numbers give the bounds.
    """

    name: str
    table: str
    lo: int
    hi: int
    verdict: str
    blame: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditResult:
    """What the attack on a release found.

    ``findings`` has one entry a small group, ``n_groups`` counts the groups looked at, small or not; ``dropped`` lists
    (table, why) for tables taken out before the rest passed.
    """

    findings: tuple[Finding, ...]
    n_groups: int
    n_columns: int
    dropped: tuple[tuple[str, str], ...] = ()

    @property
    def passed(self) -> bool:
        return all(f.verdict == "safe" for f in self.findings)

    @property
    def leaks(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict == "leaks")

    @property
    def unfinished(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict == "unfinished")

    @property
    def blame(self) -> tuple[str, ...]:
        """Tables without which an attack that worked, or could not be finished, would not have."""
        return tuple(dict.fromkeys(table for f in self.findings if f.verdict != "safe" for table in f.blame))

    def summary(self) -> str:
        """One sentence for the methods section; it names no group and no true count."""
        text = f"{len(self.findings):,} small groups attacked, {len(self.leaks):,} given away"
        if self.unfinished:
            text += f", {len(self.unfinished):,} not finished in time and so refused"
        return text + "".join(f"; {table} left out ({why})" for table, why in self.dropped) + "."


def audit(facts: Facts, targets: Targets, n: np.ndarray, policy) -> AuditResult:
    """Attack a release: the interval of counts an outsider cannot rule out, for every truly small group.

    Parameters
    ----------
    facts: everything the attacker knows, about columns (possible memberships of a patient).
    targets: the groups to find out about.
    n: the patients who truly are in each column; only tells which groups are small, and starts the search.
    policy: ``threshold``, ``min_width`` and ``seconds`` of a Policy.

    A group of 1 to ``threshold`` - 1 leaks if its interval lies inside 1 to ``threshold`` - 1 or holds fewer than
    ``min_width`` whole numbers. One that is not settled within ``seconds`` is ``unfinished``, which counts as refused.

    Raises FeasibilityError if an earlier release cannot be of these patients, ReconciliationError if a number of this
    one is not.

    >>> import numpy as np
    >>> from feasibility.disclosure.facts import exact
    >>> from feasibility.disclosure.policy import POLICIES
    >>> columns = np.array([[True, True], [False, True]])
    >>> facts = exact("funnel", ["entering", "remaining"], columns, [100, 97])
    >>> excluded = Targets([[True, False]], ("excluded",), ("funnel",))
    >>> audit(facts, excluded, np.array([3, 97]), POLICIES["nhs"]).findings[0]
    Finding(name='excluded', table='funnel', lo=3, hi=3, verdict='leaks', blame=('funnel',))
    """
    n = np.asarray(n, dtype=np.int64)
    _true(facts, n)
    wanted = sparse(targets.members)
    counts = wanted @ n
    small = np.flatnonzero((counts > 0) & (counts < policy.threshold))
    if not len(small):
        return AuditResult((), len(targets.names), len(n))
    attack = Attacker(facts, wanted[small], n, policy)
    found = [attack.settle(j) for j in range(len(attack.now))]
    findings = tuple(
        Finding(targets.names[i], targets.tables[i], *attack.interval(j), *found[j])
        for i, j in zip(small, attack.place, strict=True)
    )
    return AuditResult(findings, len(targets.names), len(n))


def drop_until_safe(
    attack: Callable[[tuple[str, ...]], AuditResult],
    tables: Iterable[str],
    priority: Sequence[str] = PRIORITY,
    core: Sequence[str] = CORE,
) -> tuple[AuditResult, tuple[str, ...]]:
    """Leave out tables in the declared order until the audit passes: (its result, the tables left).

    ``attack`` builds the release from the named tables and audits it. Of the tables that an attack needs, the one that
    stands last in ``priority`` goes (one that is not listed goes before all). The ``core`` tables come from one
    protected table, so where that is needed the last of them goes. Findings name the core as ``core``.

    Raises FeasibilityError when nothing is left that would help.
    """
    rank = {table: i for i, table in enumerate(priority)}
    left = tuple(sorted(tables, key=lambda table: rank.get(table, len(rank))))
    dropped: list[tuple[str, str]] = []
    while True:
        result = replace(attack(left), dropped=tuple(dropped))
        if result.passed:
            return result, left
        blamed = {x for b in result.blame for x in (core if b == "core" else (b,))}
        last = next((table for table in reversed(left) if table in blamed), None)
        if last is None or len(left) == 1:
            raise FeasibilityError(
                f"This release is refused: {result.summary()} Leaving out tables does not help. Release fewer"
                " scenarios or thresholds, a larger base, or one release for several sites together."
            )
        why = "it gives a small group away" if result.leaks else "its audit was not finished in time"
        dropped.append((last, why))
        left = tuple(table for table in left if table != last)


def _true(facts: Facts, n: np.ndarray) -> None:
    counts = facts.members @ n
    wrong = np.flatnonzero((counts < facts.lo) | (counts > facts.hi))
    if len(wrong):
        i = wrong[0]
        if facts.tables[i] == "earlier":
            raise FeasibilityError(
                f"{facts.names[i]} of an earlier release does not fit these patients. If they have changed since, by"
                " new data or another extract, give the ledger's cohort another name."
            )
        raise ReconciliationError(f"{facts.names[i]} ({facts.tables[i]}): that is not the patients' number.")
