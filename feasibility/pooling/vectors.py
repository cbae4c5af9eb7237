"""Between hospitals: each sends the protected counts of one fixed list of queries, and the lists are added up.

Every hospital protects its own patients before anything leaves it; what is added up is already rounded. A sum of
numbers that were each computed from one table of disjoint groups is again additive: the funnel of the sum adds up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from feasibility.analysis.reconcile import same
from feasibility.disclosure.ledger import Earlier
from feasibility.disclosure.policy import Policy
from feasibility.disclosure.release import FORMAT as RELEASED
from feasibility.disclosure.release import Release, released
from feasibility.errors import FeasibilityError, ReconciliationError, did_you_mean
from feasibility.pattern_headers import (
    check_acceptable,
    check_build,
    described,
    listed,
    protocol_differences,
    sentence,
)
from feasibility.patterns import CriterionLabel, PatternTable
from feasibility.pooling import files
from feasibility.pooling.groups import GroupCounts
from feasibility.protocol.protocol import Protocol
from feasibility.screening import header_of, labels_of

VECTOR_TABLES = ("funnel", "only-reason", "bounds")
KIND = "feasibility protected vector 1"
ASKED = (
    "protocol", "fingerprint", "criteria", "asked", "assumed", "build", "build_settings", "code_lists", "index",
    "version", "synthetic",
)  # fmt: skip
"""What a vector says of the protocol and the build: what was asked, nothing that a patient answered."""


@dataclass(frozen=True)
class ProtectedVector:
    """The protected counts of a fixed list of queries: of one hospital's release, or of several added up.

    ``names`` are the queries in order, ``counts`` their protected counts, ``n_patients`` the protected total.
    ``sites`` are the hospitals in it. ``header`` says what was asked (protocol, build settings, index dates).
    ``accepted`` lists the differences between hospitals that a person accepted, ``roundings`` says how often a count in
    it was rounded: once for each hospital that protected its own.
    """

    labels: tuple[CriterionLabel, ...]
    policy: Policy
    names: tuple[str, ...]
    counts: tuple[int, ...]
    n_patients: int
    sites: tuple[str, ...]
    header: Mapping[str, Any] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    roundings: int = 1

    def __post_init__(self):
        if len(self.names) != len(self.counts):
            raise ReconciliationError(f"{len(self.names)} queries, but {len(self.counts)} counts.")
        self.funnel()

    @classmethod
    def of(cls, release: Release | Mapping[str, Any], site: str, header: Mapping[str, Any] = MappingProxyType({})):
        """The vector of a hospital's release, or of its released file as read from JSON.

        ``header`` is that of the hospital's pattern table: what was asked, and how the patients were prepared. Of the
        index dates only a stated rule or one common day is kept: first and last days are patients' days.
        """
        if not site.strip():
            raise FeasibilityError("A protected vector needs the name of its hospital.")
        values = released(release) if isinstance(release, Release) else release
        if values.get("format") != RELEASED:
            raise FeasibilityError(f"A released file ({RELEASED}) is needed, got {values.get('format')!r}.")
        names = tuple(query["name"] for query in values["queries"])
        counts = [0] * len(names)
        for group in values["groups"]:
            for place in group["counts_for"]:
                counts[place] += group["n"]
        return cls(
            labels=tuple(CriterionLabel(**x) for x in values["criteria"]), policy=Policy(**values["policy"]),
            names=names, counts=tuple(counts), n_patients=sum(group["n"] for group in values["groups"]),
            sites=(site.strip(),),
            header={"protocol": values["trial"], "fingerprint": values["protocol"]} | asked_of(header),
        )  # fmt: skip

    def count(self, name: str) -> int:
        """The protected count of a query."""
        if name not in self.names:
            raise FeasibilityError(f"The vector holds no count {name!r}.{did_you_mean(name, self.names)}")
        return self.counts[self.names.index(name)]

    @property
    def expected_error(self) -> float:
        """The standard deviation of a count from the truth, if each hospital's was rounded (or noised) once.

        Rounding to the nearest multiple of b leaves an error of SD sqrt((b^2 - 1) / 12), 1.41 for b = 5; those of
        different hospitals are independent, so it grows with the square root of their number: 3.2 for five. A count
        that sums many groups errs more (measured with 24 criteria and base 5: 1.7 in a hospital of 200 patients, 2.8
        of 2,000, 7.8 of a million).
        """
        return expected_error(self.policy, self.roundings)

    def funnel(self) -> pd.DataFrame:
        """The funnel, with the columns of ``feasibility.attrition``, in protected patients; its rows add up."""
        table = {"kind": [x.kind for x in self.labels], "name": [x.name for x in self.labels]}
        table["reason"] = [x.reason for x in self.labels]
        rows: dict[str, list[int]] = {name: [] for name in ("n_entering", "n_excluded", "n_remaining")}
        bounds = all(f"confirmed:{x.id}" in self.names for x in self.labels)
        entering = self.n_patients
        for label in self.labels:
            if f"remaining:{label.id}" not in self.names:
                return pd.DataFrame(index=pd.Index([], name="criterion"))
            rows["n_entering"].append(entering)
            rows["n_excluded"].append(self.count(f"excluded:{label.id}"))
            entering = self.count(f"remaining:{label.id}")
            rows["n_remaining"].append(entering)
        if bounds:
            rows["n_confirmed"] = [self.count(f"confirmed:{x.id}") for x in self.labels]
            rows["n_undetermined"] = [r - c for r, c in zip(rows["n_remaining"], rows["n_confirmed"], strict=True)]
        frame = pd.DataFrame(table | rows, index=pd.Index([x.id for x in self.labels], name="criterion"))
        same("n_remaining = n_entering - n_excluded", frame.n_remaining, frame.n_entering - frame.n_excluded)
        return frame

    def save(self, path: str | Path) -> None:
        """Write the vector as JSON: protected counts, to be sent."""
        files.write(path, KIND, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        policy = {k: v for k, v in asdict(self.policy).items() if k != "seconds"}
        return asdict(self) | {"policy": policy, "counts": list(self.counts), "header": dict(self.header)}

    @classmethod
    def load(cls, path: str | Path) -> ProtectedVector:
        """Read a vector; a file that was edited, cut off or is something else is refused."""
        values = files.read(path, KIND)
        values.pop("format")
        return cls(
            labels=tuple(CriterionLabel(**x) for x in values.pop("labels")),
            policy=Policy(**values.pop("policy")),
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()},
        )


def asked_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """What may leave of a pattern table's header: what was asked, nothing that a patient answered."""
    said = {name: header[name] for name in ASKED if header.get(name) is not None}
    if "index" in said:
        days = said["index"].get("days") or []
        said["index"] = {**said["index"], "days": days if len(days) == 1 else None}
    return said


def expected_error(policy: Policy, roundings: int) -> float:
    """The standard deviation of a sum of counts that were rounded (or noised) as often, in patients.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> [round(expected_error(POLICIES["nhs"], n), 2) for n in (1, 5)]
    [1.41, 3.16]
    """
    if policy.epsilon is not None:
        a = math.exp(-policy.epsilon)
        one = math.sqrt(2 * a) / (1 - a)
    else:
        one = math.sqrt((policy.base**2 - 1) / 12)
    return one * math.sqrt(roundings)


def protected_vector(
    source,
    protocol: Protocol,
    site: str,
    policy: Policy | str = "nhs",
    *,
    header: Mapping[str, Any],
    earlier: Iterable[Earlier] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> tuple[ProtectedVector, Release]:
    """A hospital's funnel, bounds and only-reason table as a protected vector, and the audited release behind it.

    ``source`` is anything that ``Release.collect`` takes, or the joined ``GroupCounts`` of a round of shares, whose
    hospitals then are the vector's. ``header`` is that of the pattern table (``count_part``). Without scenarios and
    curves every hospital asks the same. ``earlier`` is as for ``Release.collect``.

    Raises FeasibilityError if the counts belong to another protocol, and the errors of ``Release.collect``.
    """
    groups = isinstance(source, GroupCounts)
    mine = header_of({}, protocol) | described(protocol)
    labels = {label.id: label for label in labels_of(protocol)}
    theirs = {label.id: label for label in source.labels} if groups or isinstance(source, PatternTable) else labels
    found = protocol_differences((theirs, header), (labels, mine), ("the file", "this protocol"))
    if found:
        raise FeasibilityError(f"{sentence(listed(found))} Give the trial, scenario and settings that were counted.")
    table = source.patterns() if groups else source
    release = Release.collect(table, protocol, policy, scenarios=(), grids={}, tables=VECTOR_TABLES, earlier=earlier,
                              progress=progress)  # fmt: skip
    vector = ProtectedVector.of(release, site, header)
    if groups:
        vector = replace(vector, sites=tuple(header.get("sites", (site,))), accepted=tuple(header.get("accepted", ())))
    return vector, release


def add_vectors(
    vectors: Iterable[ProtectedVector], *, names: Sequence[str] = (), accept: Iterable[str] = ()
) -> ProtectedVector:
    """The sum of several hospitals' protected vectors.

    ``names`` is what messages call them. ``accept`` names differences that are accepted and then noted in the result:
    "build settings", "code lists", "index dates". A patient known to two hospitals counts twice.

    Raises FeasibilityError if a hospital occurs twice, or if the vectors differ in the query list, the policy, the
    protocol (saying which criterion and how) or, unless accepted, in how the patients were prepared.
    """
    vectors = list(vectors)
    if not vectors:
        raise FeasibilityError("There is no protected vector to add up.")
    accept = check_acceptable(accept)
    names = list(names) or [" and ".join(v.sites) for v in vectors]
    first, sites, noted = vectors[0], [], []
    for vector, name in zip(vectors, names, strict=True):
        twice = sorted(set(vector.sites) & set(sites))
        if twice:
            raise FeasibilityError(f"{name}: {', '.join(twice)} is in the sum already; a hospital counts once.")
        sites += vector.sites
        noted += vector.accepted
    for i, j in combinations(range(len(vectors)), 2):
        _check_alike(vectors[i], vectors[j], (names[i], names[j]), accept, noted)
    return ProtectedVector(
        labels=first.labels, policy=first.policy, names=first.names,
        counts=tuple(int(sum(c)) for c in zip(*(v.counts for v in vectors), strict=True)),
        n_patients=sum(v.n_patients for v in vectors), sites=tuple(sites), header=first.header,
        accepted=tuple(dict.fromkeys(noted)),
        roundings=sum(v.roundings for v in vectors),
    )  # fmt: skip


def _check_alike(first: ProtectedVector, other: ProtectedVector, names, accept, noted: list[str]) -> None:
    one, two = (({label.id: label for label in v.labels}, v.header) for v in (first, other))
    found = protocol_differences(one, two, names)
    if found:
        raise FeasibilityError(f"{sentence(listed(found))} Only releases for the same protocol are added up.")
    check_policy(first.policy, other.policy, names)
    if first.names != other.names:
        raise FeasibilityError(_queries(first.names, other.names, names))
    if bool(first.header.get("synthetic")) != bool(other.header.get("synthetic")):
        made = names[0] if first.header.get("synthetic") else names[1]
        raise FeasibilityError(f"{made} holds synthetic patients, the other does not: they are not added up.")
    noted += check_build(first.header, other.header, names, accept)


def check_policy(mine: Policy, theirs: Policy, names) -> None:
    """Refuse two policies that protect otherwise, saying in what."""
    for what in ("base", "threshold", "every_cell", "min_width", "epsilon"):
        left, right = getattr(mine, what), getattr(theirs, what)
        if left != right:
            raise FeasibilityError(
                f"The policies differ: {what} is {left} in {names[0]} ({mine.name}) against {right} in {names[1]}"
                f" ({theirs.name}). Release both under the same policy."
            )


def _queries(mine: Sequence[str], theirs: Sequence[str], names) -> str:
    advice = " Release both with the same tables, grids and scenarios."
    for have, lack, has, lacks in ((mine, theirs, *names), (theirs, mine, *reversed(names))):
        only = [n for n in have if n not in set(lack)]
        if only:
            lacking = f"{has} holds {len(only)} counts that {lacks} does not, such as {only[0]!r}"
            return f"The query lists differ: {lacking}.{advice}"
    where = next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    return (
        f"The query lists differ in their order: number {where + 1} is {mine[where]!r} in {names[0]} against"
        f" {theirs[where]!r} in {names[1]}.{advice}"
    )
