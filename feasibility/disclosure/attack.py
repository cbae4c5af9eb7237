"""The attack on a release: which numbers it shows, which groups they could give away, and what was shown before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from feasibility.disclosure.audit import AuditResult, Targets, audit
from feasibility.disclosure.columns import Space, core_facts, looseness_of, margin_facts, one_each, space_of
from feasibility.disclosure.facts import known_total, sparse, together
from feasibility.disclosure.ledger import Earlier
from feasibility.disclosure.protect import collapsed
from feasibility.disclosure.queries import Query
from feasibility.errors import FeasibilityError

FEWEST = 5
"""Fewer small groups than this, and rounding only them can be run backwards."""
WHAT = {
    "failing": {"n_failing": "failing", "n_unknown": "unknown"},
    "strata": {"n_patients": "patients", "n_possible": "possible", "n_confirmed": "confirmed"},
}


def attack(plan, extended, core, margins: Mapping, policy, earlier: Sequence[Earlier] = ()) -> AuditResult:
    """Attack a finished release with everything it shows, the earlier releases and the known total.

    Parameters
    ----------
    plan, extended: what the release asks, and the patients' patterns over it (the true counts).
    core, margins: the protected table, and the tables of numbers rounded one by one.
    policy: its ``threshold``, ``min_width`` and ``seconds`` say what a small group is and how long to try.
    earlier: releases of the same patients, from the ledger.

    Under differential privacy nothing is excluded by a number, so there is nothing to attack.
    """
    if policy.epsilon is not None:
        return AuditResult((), 0, 0)
    shown = shown_numbers(margins, policy)
    second = [q for q in plan.second(margins, extended.flags) if q.name in shown]
    before = [q for release in earlier for q in release.queries]
    patterns = extended.failed, extended.unknown, extended.n
    if not second and not before:
        patterns = collapsed(plan.ids, core.queries, *patterns)
    loose = looseness_of(plan.protocol, plan.variants)
    space = space_of([*core.queries, *second, *before], extended.columns, *patterns, loose)
    facts = [core_facts(space, core.queries, core.members, core.n, policy), known_total(space.n_patients, len(space.n))]
    if second:
        facts.append(margin_facts(space, second, [shown[q.name] for q in second], policy))
    facts += [one for release in earlier for one in release.facts(space)]
    return audit(together(facts), targets_of(space, core.queries, second, earlier), space.n, policy)


def targets_of(space: Space, core: Sequence[Query], second: Sequence[Query], earlier: Sequence[Earlier] = ()):
    """What an attacker may want: every count, what two of them differ by, every group of the core.

    With earlier releases also what a count differs by from the same one before, and the groups that all of them make.
    """
    from scipy.sparse import vstack

    queries = [*core, *second]
    members = space.of(queries)
    rows, names, tables = [members], [q.name for q in queries], [q.table for q in queries]
    place = {q.name: i for i, q in enumerate(queries)}
    for i, query in enumerate(core):
        kind, _, rest = query.name.partition(":")
        wider, smaller, name = i, None, ""
        if kind == "remaining":
            smaller, name = place.get(f"confirmed:{rest}"), f"undetermined:{rest}"
        elif "@" in query.name:
            smaller, name = _last(core, query.name.split("@")[0]), f"gain of {query.name}"
        if smaller is not None:
            rows += [(members[wider] & ~members[smaller])[None], (members[smaller] & ~members[wider])[None]]
            names += [name, f"loss, {name}"]
            tables += [query.table] * 2
    for release in earlier:
        old = {query.name: query for query in release.queries}
        both = [query for query in queries if query.name in old]
        now, then = space.of(both), space.of([old[query.name] for query in both])
        rows += [now & ~then, then & ~now]
        names += [f"{word} {q.name} of {release.date}" for word in ("more than", "less than") for q in both]
        tables += [q.table for q in both] * 2
    answers, of_column = space.cells([*core, *(query for release in earlier for query in release.core)])
    rows.append(one_each(of_column, len(answers)))
    names += [f"group {i + 1} of the core" for i in range(len(answers))]
    tables += ["core"] * len(answers)
    return Targets(vstack([sparse(row) for row in rows]).tocsr(), tuple(names), tuple(tables))


def _last(core: Sequence[Query], kind: str) -> int | None:
    """The query of the protocol itself: possible or confirmed after the last criterion."""
    wanted = {"possible": "remaining:", "confirmed": "confirmed:"}[kind]
    return max((i for i, q in enumerate(core) if q.name.startswith(wanted)), default=None)


def shown_numbers(margins: Mapping, policy) -> dict[str, int | None]:
    """The numbers of the second block by the name of their query; None where "<13" is printed."""
    numbers: dict[str, int | None] = {}
    for name, margin in margins.items():
        if name == "overlaps":
            rows = {"both:" + "&".join(key): n for key, n in margin.frame["n"].items()}
        else:
            columns = WHAT.get(name, {})
            rows = {f"{kind}:{key}": n for column, kind in columns.items() for key, n in margin.frame[column].items()}
        numbers |= {key: None if pd.isna(n) else int(n) for key, n in rows.items()}
    return numbers


def check_small_cells(policy, groups: Iterable[int], ledger_given: bool) -> None:
    """Refuse what rounding only the small groups cannot protect.

    ``groups`` are the true counts of the core's groups. Raises FeasibilityError without a ledger (the difference of two
    such releases is exact), and with fewer than five small groups (the rounding can be run backwards).
    """
    if policy.every_cell or policy.epsilon is not None:
        return
    if not ledger_given:
        raise FeasibilityError(
            f"Policy {policy.name!r} rounds small groups only, so two releases of the same patients give their exact"
            " difference. Give the ledger of earlier releases (a new file if there were none), or take policy 'nhs'."
        )
    small = sum(1 for n in groups if 0 < n < policy.threshold)
    if small < FEWEST:
        raise FeasibilityError(
            f"Policy {policy.name!r} rounds small groups only, and this release has fewer than {FEWEST} of them: which"
            " was rounded how could be worked out. Take policy 'nhs', which rounds every group."
        )
