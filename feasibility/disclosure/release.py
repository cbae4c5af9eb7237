"""A release: everything a report will show, collected, protected once, attacked, and only then given out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from feasibility.counting import count_patterns
from feasibility.disclosure.attack import attack, check_small_cells, shown_numbers
from feasibility.disclosure.audit import AuditResult, drop_until_safe
from feasibility.disclosure.ledger import Earlier, groups_of_table
from feasibility.disclosure.noise import every_group, noisy_counts, noisy_queries
from feasibility.disclosure.plan import CHANGE, Plan
from feasibility.disclosure.policy import Policy, policy_of
from feasibility.disclosure.protect import collapsed, groups_of, protected_counts
from feasibility.disclosure.queries import (
    CORE,
    TABLES,
    Query,
    failing_queries,
    overlap_queries,
    stratum_queries,
)
from feasibility.disclosure.table import ProtectedTable, RoundedMargin
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.patterns import PatternTable, pack
from feasibility.protocol.protocol import Protocol
from feasibility.screening import labels_of

FORMAT = "feasibility release 1"
SHOWN = ("funnel", "only-reason", "bounds", "scenarios", "curves", "failing", "strata")
"""The tables a release shows unless asked otherwise; overlaps take long to attack."""
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
    """What touches patients: their patterns over the plan's columns, then over one flag a stratum value.

    ``flags`` are those the release shows.
    """

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
        for stratum in (*plan.strata, *plan.more_strata):
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
        shown = tuple(flag for flag in flags if flag.split("=")[0] in plan.strata)
        return cls((*plan.columns, *flags), shown, failed, unknown, patterns.n)

    def counts(self, queries: Iterable[Query]) -> dict[str, int]:
        """The true count of each query."""
        bound = [q.bind(self.columns) for q in queries]
        return {b.query.name: int(self.n[b.members(self.failed, self.unknown)].sum()) for b in bound}

    def groups(self, queries: Sequence[Query], ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(answers, counts) of the groups of patients with the same answer to every query of the core.

        ``ids`` are the protocol's criteria.
        """
        rows = collapsed(ids, queries, self.failed, self.unknown, self.n)
        return groups_of([q.bind(self.columns) for q in queries], *rows)


@dataclass(frozen=True, eq=False)
class Release:
    """What leaves the building. Every number in it comes from ``core`` (additive) or ``margins`` (not additive).

    ``dropped`` maps the named tables that were left out to the reason; ``audit`` is what the attack found; ``settings``
    are the thresholds and readings behind each column of statuses.
    """

    protocol: Protocol
    policy: Policy
    core: ProtectedTable
    margins: Mapping[str, RoundedMargin]
    audit: Any = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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
        tables: Iterable[str] = SHOWN,
        counts: Mapping[str, pd.DataFrame | RoundedMargin] | None = None,
        earlier: Iterable[Earlier] | None = None,
        missing_columns: str = "error",
        progress: Callable[[str, float], None] | None = None,
    ) -> Release:
        """Collect everything a report will show, protect it once, and attack it before anything is given out.

        Parameters
        ----------
        source: the patients, as ``count_patterns`` takes them (a cohort, a prepared file, Parquet, a database table).
        policy: "nhs" (base 5, every group), "cms" (11) or "omop" (5) for small groups only, "dp", or a ``Policy``.
        scenarios, grids: what is shown beside the protocol; by default what the protocol declares. Curves hold the
            values of a grid that relax the protocol.
        strata: columns such as site_id whose values are counted apart (a cohort in memory only).
        tables: the named tables wanted; those the audit cannot let out are left out, the last of
            ``disclosure.queries.TABLES`` first, and ``dropped`` says so.
        counts: further tables: of true counts (columns ``n_*``), which are rounded number by number, or protected.
        earlier: what was released of the same patients before (``Ledger.of``); needed, if only as (), for a policy that
            rounds small groups only.

        Raises FeasibilityError where no part of the release is safe, and for names the protocol does not have.

        >>> import pandas as pd
        >>> from feasibility.protocol.criterion import inclusion
        >>> @inclusion("I1", "platelets > 30")
        ... def platelets(platelets_10e9_l, *, min_platelets=30):
        ...     return platelets_10e9_l > min_platelets
        >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([35] * 93 + [None] * 4 + [20] * 3, dtype="Float64")})
        >>> release = Release.collect(cohort, Protocol("demo", "Demo", [platelets]))
        >>> release.core.attrition()[["n_entering", "n_excluded", "n_undetermined", "n_confirmed"]].values.tolist()
        [[100, 5, 5, 90]]
        """
        policy = policy_of(policy)
        tables = tuple(dict.fromkeys(tables))
        for name in tables:
            if name not in TABLES:
                raise FeasibilityError(f"A release has no table {name!r}.{did_you_mean(name, TABLES)}")
        given = () if earlier is None else tuple(earlier)
        plan, before = Plan.of(protocol, scenarios, grids, strata).beside(given)
        extended = extended_of(source, plan, missing_columns, progress)
        if policy.epsilon is not None:
            core = noisy_core(plan, extended, policy)
            left_out = [t for t in tables if t not in ("funnel", "only-reason")]
            dropped = dict.fromkeys([*left_out, *(counts or {})], NOISY)
            return cls(protocol, policy, core, {}, None, dropped, plan.settings)
        made: dict[tuple, tuple] = {}

        def attacked(shown: tuple[str, ...]) -> AuditResult:
            core, groups = protected_core(plan, extended, policy, shown)
            check_small_cells(policy, groups, earlier is not None)
            margins = rounded_margins(plan, extended, policy, shown)
            made[shown] = core, margins
            release = cls(protocol, policy, core, margins, settings=plan.settings)
            return attack(plan, extended, core, margins, policy, [e for e in before if not release.repeats(e)])

        if progress:
            progress("attacking the release", 0.5)
        asked = tuple(t for t in tables if t != "strata" or extended.flags)
        found, shown = drop_until_safe(attacked, asked)
        core, margins = made[shown]
        margins |= {name: _rounded(name, table, policy) for name, table in (counts or {}).items()}
        if progress:
            progress("done", 1.0)
        return cls(protocol, policy, core, margins, found, dict(found.dropped), plan.settings)

    def repeats(self, earlier: Earlier) -> bool:
        """Whether an earlier release showed exactly the same: it then tells an attacker nothing more."""
        mine = self.entry(dated=earlier.date, cohort=earlier.cohort, index_date=earlier.index_date)
        return replace(mine, fingerprint="", settings={}) == replace(earlier, fingerprint="", settings={})

    def entry(self, *, dated: str, cohort: str, index_date: str) -> Earlier:
        """What the ledger keeps of this release: what it asked and what it answered, nothing unprotected.

        ``cohort`` is a name for the patients that stays the same from release to release, ``index_date`` the day they
        were screened at, ``dated`` the day of the release.
        """
        shown = shown_numbers(self.margins, self.policy)
        known = {q.name: q for q in second_block(self.protocol, self.settings, self.margins)}
        used = {c for q in (*self.core.queries, *known.values()) for c in q.columns}
        return Earlier(
            dated, cohort, index_date, self.protocol.id, self.fingerprint, self.policy,
            {column: dict(values) for column, values in self.settings.items() if column in used},
            self.core.queries, groups_of_table(self.core.members, self.core.n),
            tuple((known[name], n) for name, n in shown.items() if name in known),
        )  # fmt: skip


def second_block(protocol: Protocol, settings: Mapping, margins: Mapping[str, RoundedMargin]) -> list[Query]:
    """The queries behind the tables that are rounded number by number."""
    ids = [c.id for c in protocol.assessable]
    flags = list(margins["strata"].frame.index) if "strata" in margins else []
    return [q for q in [*failing_queries(ids), *overlap_queries(ids), *stratum_queries(flags, ids)]
            if q.table in margins]  # fmt: skip


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
    options = {"by": (*plan.strata, *plan.more_strata), "missing_columns": missing_columns, "progress": progress}
    return Extended.of(plan, count_patterns(source, plan.extended, **options))


def protected_core(plan: Plan, extended: Extended, policy: Policy, tables: Iterable[str]):
    """(everything additive, computed from one table of disjoint groups; the true counts of these groups)."""
    queries = plan.core([t for t in tables if t in CORE])
    answers, groups = extended.groups(queries, plan.ids)
    n = protected_counts(groups, answers, policy)
    return _table(plan, policy, queries, answers[n > 0], n[n > 0]), groups


def noisy_core(plan: Plan, extended: Extended, policy: Policy) -> ProtectedTable:
    """The core under differential privacy: noise on every group there can be."""
    queries = noisy_queries(plan.ids)
    every = every_group(plan.ids, queries)
    return _table(
        plan, policy, queries, every, noisy_counts(every, *extended.groups(queries, plan.ids), policy.epsilon)
    )


def _table(plan: Plan, policy: Policy, queries, members, n) -> ProtectedTable:
    scales = {}
    for change in plan.changes:
        if change.table == "curves":
            name = next(iter(change.settings))
            owners = [c.id for c in plan.protocol.assessable if any(s.name == name for s in c.settings)]
            setting = plan.protocol.setting(name)
            scales[name] = {"unit": setting.unit, "protocol": plan.protocol.settings[name], "criteria": owners}
    return ProtectedTable(labels_of(plan.protocol), policy, tuple(queries), members, n, plan.changes, scales)


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
        margins["overlaps"] = _margin("overlaps", rows, ["n"], "reasons", policy)
    if "strata" in tables and extended.flags:
        counts = extended.counts(plan.second(["strata"], extended.flags))
        rows = {flag: [counts[f"{what}:{flag}"] for what in ("patients", "possible", "confirmed")] for flag in
                extended.flags}  # fmt: skip
        columns = ["n_patients", "n_possible", "n_confirmed"]
        margins["strata"] = _margin("strata", rows, columns, "stratum", policy)
    return margins


def _rounded(name: str, table, policy: Policy) -> RoundedMargin:
    """A table of true counts, rounded; one that is protected already stays as it is."""
    if isinstance(table, RoundedMargin):
        if table.policy != policy:
            raise FeasibilityError(f"The table {name!r} was protected by policy {table.policy.name!r}.")
        return table
    return RoundedMargin.of(name, table, policy)


def _margin(name: str, rows: dict, columns: list[str], index: str, policy: Policy) -> RoundedMargin:
    places = pd.Index(list(rows), name=index, tupleize_cols=False)
    return RoundedMargin.of(name, pd.DataFrame(list(rows.values()), columns=columns, index=places), policy)
