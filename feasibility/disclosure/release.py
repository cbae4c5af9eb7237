"""A release: everything a report will show, collected, protected once, attacked, and only then given out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from feasibility.counting import count_patterns
from feasibility.disclosure.noise import every_group, noisy_counts, noisy_queries
from feasibility.disclosure.plan import CHANGE, Plan
from feasibility.disclosure.policy import Policy, policy_of
from feasibility.disclosure.protect import groups_of, protected_counts
from feasibility.disclosure.queries import CORE, TABLES, Query
from feasibility.disclosure.table import ProtectedTable, RoundedMargin
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.patterns import PatternTable, pack
from feasibility.protocol.protocol import Protocol
from feasibility.screening import labels_of, screen

FORMAT = "feasibility release 1"
PROMISE = (
    "Nobody can compute a small group's count for certain by adding, subtracting or bounding the numbers in this"
    " release and the earlier ones in the ledger, even knowing the total."
)
NOT_PROMISED = (
    "protection from someone who knows nearly all the other patients",
    "protection from many releases that were not entered in the ledger",
    'protection of "all of them" groups, where everybody of a known group fails the same criterion',
    "protection from someone who runs the rounding backwards over every possible table",
)
NOISY = "only the funnel and what each criterion alone costs are paid for by this release's epsilon"
PROMISE_DP = (
    "Random noise was added once to every group, so that the release as a whole is differentially private with epsilon"
    " = {epsilon:g}: whether any one patient is in the data changes the chance of any result by at most a factor of e"
    " to the epsilon."
)
NOT_PROMISED_DP = (
    "exact totals: the number of patients is noisy as well",
    "the same protection after further releases: their epsilons add up",
)


@dataclass(frozen=True, eq=False)
class Extended:
    """What touches patients: their patterns over the plan's columns, then over one flag a stratum value."""

    columns: tuple[str, ...]
    flags: tuple[str, ...]
    failed: np.ndarray
    unknown: np.ndarray
    n: np.ndarray

    @classmethod
    def of(cls, plan: Plan, patterns: PatternTable) -> Extended:
        """The patterns of the plan's extended protocol, with the values of its strata as flags."""
        if patterns.ids != plan.columns:
            raise FeasibilityError("The patterns were counted over other criteria than the release asks for.")
        masks, flags = [], []
        for stratum in plan.strata:
            column = patterns._stratum_column(stratum)
            for value in sorted(column.dropna().unique(), key=str):
                flags.append(f"{stratum}={value}")
                masks.append((column == value).fillna(False).to_numpy(dtype=bool))
            if column.isna().any():
                flags.append(f"{stratum}=unknown")
                masks.append(column.isna().to_numpy(dtype=bool))
        failed, unknown, k = patterns.failed, patterns.unknown, len(plan.columns)
        if masks:
            failed = pack([*(patterns.fails(i) for i in range(k)), *masks], len(patterns))
            none = np.zeros(len(patterns), dtype=bool)
            unknown = pack([*(patterns.unknowns(i) for i in range(k)), *(none for _ in masks)], len(patterns))
        return cls((*plan.columns, *flags), tuple(flags), failed, unknown, patterns.n)

    def counts(self, queries: Iterable[Query]) -> dict[str, int]:
        """The true count of each query."""
        bound = [q.bind(self.columns) for q in queries]
        return {b.query.name: int(self.n[b.members(self.failed, self.unknown)].sum()) for b in bound}

    def groups(self, queries: Iterable[Query]) -> tuple[np.ndarray, np.ndarray]:
        """(answers, counts) of the groups of patients with the same answer to every query."""
        return groups_of([q.bind(self.columns) for q in queries], self.failed, self.unknown, self.n)


@dataclass(frozen=True, eq=False)
class Release:
    """What leaves the building. Every number in it comes from ``core`` (additive) or ``margins`` (not additive).

    ``dropped`` maps the named tables that were left out to the reason; ``audit`` is what the attack found.
    """

    protocol: Protocol
    policy: Policy
    core: ProtectedTable
    margins: Mapping[str, RoundedMargin]
    audit: Any = None
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def promise(self) -> str:
        """What the release promises, to be printed with it."""
        if self.policy.epsilon is not None:
            return PROMISE_DP.format(epsilon=self.policy.epsilon)
        return PROMISE

    @property
    def not_promised(self) -> tuple[str, ...]:
        """What the release does not promise, to be printed with it."""
        return NOT_PROMISED_DP if self.policy.epsilon is not None else NOT_PROMISED

    def to_json(self) -> str:
        """The released file: every number that may leave, and nothing else. The same release gives the same text."""
        return json.dumps(released(self), ensure_ascii=False, indent=1, sort_keys=True) + "\n"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the released file: of what leaves, never of what it was made from."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def collect(
        cls,
        source,
        protocol: Protocol,
        policy: Policy | str = "nhs",
        *,
        scenarios: Iterable[CHANGE] | Mapping[str, CHANGE] | None = None,
        grids: Mapping[str, Iterable[float]] | None = None,
        strata: Iterable[str] = (),
        tables: Iterable[str] = ("funnel", "only-reason", "bounds", "scenarios", "curves", "failing", "strata"),
        counts: Mapping[str, pd.DataFrame] | None = None,
        missing_columns: str = "error",
        progress: Callable[[str, float], None] | None = None,
    ) -> Release:
        """Collect everything the release will show, protect it, and attack it."""
        policy = policy_of(policy)
        for name in tables:
            if name not in TABLES:
                raise FeasibilityError(f"A release has no table {name!r}.{did_you_mean(name, TABLES)}")
        plan = Plan.of(protocol, scenarios, grids, strata)
        extended = extended_of(source, plan, missing_columns, progress)
        core = protected_core(plan, extended, policy, tables)
        if policy.epsilon is not None:
            left_out = [t for t in tables if t in ("bounds", "scenarios", "curves", "failing", "overlaps", "strata")]
            return cls(protocol, policy, core, {}, dropped=dict.fromkeys([*left_out, *(counts or {})], NOISY))
        margins = rounded_margins(plan, extended, policy, tables) | {
            name: RoundedMargin.of(name, frame, policy) for name, frame in (counts or {}).items()
        }
        return cls(protocol, policy, core, margins)


def released(release: Release) -> dict:
    """The plain values of the released file."""
    core, policy = release.core, release.policy
    return {
        "format": FORMAT,
        "trial": release.protocol.id,
        "protocol": release.protocol.fingerprint(),
        "policy": {key: value for key, value in asdict(policy).items() if key != "seconds"},
        "criteria": [asdict(label) for label in core.labels],
        "queries": [query.to_dict() for query in core.queries],
        "groups": [
            {"n": int(n), "counts_for": np.flatnonzero(row).tolist()}
            for n, row in zip(core.n, core.members, strict=True)
        ],
        "changes": [asdict(change) for change in core.changes if core.has(f"possible@{change.name}")],
        "scales": {name: dict(scale) for name, scale in core.scales.items()},
        "margins": {
            name: json.loads(margin.frame.reset_index().to_json(orient="records"))
            for name, margin in release.margins.items()
        },
        "dropped": dict(release.dropped),
    }


def extended_of(source, plan: Plan, missing_columns: str, progress) -> Extended:
    """The extended patterns of patients wherever they are."""
    if isinstance(source, PatternTable):
        return Extended.of(plan, source)
    if plan.strata:
        if not isinstance(source, pd.DataFrame):
            raise FeasibilityError("Strata can be released for a cohort in memory only; leave strata out.")
        screening = screen(source, plan.extended, missing_columns=missing_columns, strata=plan.strata,
                           progress=progress)  # fmt: skip
        return Extended.of(plan, screening.patterns(by=plan.strata))
    return Extended.of(plan, count_patterns(source, plan.extended, missing_columns=missing_columns, progress=progress))


def protected_core(plan: Plan, extended: Extended, policy: Policy, tables: Iterable[str]) -> ProtectedTable:
    """Everything additive, computed from one table of disjoint groups."""
    if policy.epsilon is None:
        queries = plan.core([t for t in tables if t in CORE])
        answers, groups = extended.groups(queries)
        n = protected_counts(groups, answers, policy)
        answers, n = answers[n > 0], n[n > 0]
    else:
        queries = noisy_queries(plan.ids)
        answers = every_group(plan.ids, queries)
        n = noisy_counts(answers, *extended.groups(queries), policy.epsilon)
    scales = {}
    for change in plan.changes:
        if change.table == "curves":
            name = next(iter(change.settings))
            owners = [c.id for c in plan.protocol.assessable if any(s.name == name for s in c.settings)]
            setting = plan.protocol.setting(name)
            scales[name] = {"unit": setting.unit, "protocol": plan.protocol.settings[name], "criteria": owners}
    return ProtectedTable(labels_of(plan.protocol), policy, tuple(queries), answers, n, plan.changes, scales)


def rounded_margins(plan: Plan, extended: Extended, policy: Policy, tables: Iterable[str]) -> dict[str, RoundedMargin]:
    """The second block: each count rounded by itself."""
    margins = {}
    if "failing" in tables:
        counts = extended.counts(plan.second(["failing"], ()))
        rows = {c.id: [c.kind, c.name, counts[f"failing:{c.id}"], counts[f"unknown:{c.id}"]] for c in
                plan.protocol.assessable}  # fmt: skip
        margins["failing"] = _margin("failing", rows, ["kind", "name", "n_failing", "n_unknown"], "criterion", policy)
    if "overlaps" in tables:
        counts = extended.counts(plan.second(["overlaps"], ()))
        rows = {tuple(name.removeprefix("both:").split("&")): [n] for name, n in counts.items()}
        margins["overlaps"] = _margin("overlaps", rows, ["n_both"], "reasons", policy)
    if "strata" in tables and extended.flags:
        counts = extended.counts(plan.second(["strata"], extended.flags))
        rows = {flag: [counts[f"{what}:{flag}"] for what in ("patients", "possible", "confirmed")] for flag in
                extended.flags}  # fmt: skip
        columns = ["n_patients", "n_possible", "n_confirmed"]
        margins["strata"] = _margin("strata", rows, columns, "stratum", policy)
    return margins


def _margin(name: str, rows: dict, columns: list[str], index: str, policy: Policy) -> RoundedMargin:
    places = pd.Index(list(rows), name=index, tupleize_cols=False)
    return RoundedMargin.of(name, pd.DataFrame(list(rows.values()), columns=columns, index=places), policy)
