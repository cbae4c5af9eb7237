"""For hospitals too small to show anything: additive secret shares to two collectors, by files.

Every hospital writes the counts of the fixed list of groups as the sum, modulo 2^64, of two vectors: random numbers
for one collector, the counts minus these for the other. Either vector alone is uniformly random and says nothing. Each
collector adds what it got; only the two sums together give the counts, of all hospitals together. Those are protected
once more before anything is shown.

The promise holds while the two collectors do not show each other what they received. With two hospitals each could
subtract itself from the sum, so at least three must take part.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from feasibility.errors import FeasibilityError, ReconciliationError, did_you_mean
from feasibility.pattern_headers import (
    check_acceptable,
    check_build,
    listed,
    protocol_differences,
    sentence,
    short,
)
from feasibility.patterns import CriterionLabel
from feasibility.pooling import files
from feasibility.pooling.groups import GroupCounts, groups
from feasibility.pooling.vectors import asked_of

COLLECTORS = ("A", "B")
LEAST = 3
"""Hospitals that must take part."""
MODULUS = 2**64
MOST = 2**53
"""More patients than this in a sum are no sum of counts: shares of different runs were mixed."""
SHARE, SUM = "feasibility share 1", "feasibility sum of shares 1"


@dataclass(frozen=True)
class Share:
    """What one hospital gives one collector: ``values`` are uniformly random numbers modulo 2^64.

    ``sites`` are all hospitals of the round; ``pair`` is a random word that the two shares of one run have in common.
    """

    round: str
    site: str
    sites: tuple[str, ...]
    collector: str
    pair: str
    values: tuple[int, ...]
    labels: tuple[CriterionLabel, ...]
    header: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the share as JSON, for its collector alone."""
        files.write(path, SHARE, _plain(self))

    @classmethod
    def load(cls, path: str | Path) -> Share:
        """Read a share; a file that was edited, cut off or is something else is refused."""
        return _from(cls, files.read(path, SHARE))


@dataclass(frozen=True)
class CollectedSum:
    """The sum of the shares one collector got, one from every hospital; random as long as the other is not added.

    ``pairs`` has the word of each hospital's run, so that sums of different runs are not joined.
    """

    round: str
    sites: tuple[str, ...]
    collector: str
    pairs: tuple[str, ...]
    values: tuple[int, ...]
    labels: tuple[CriterionLabel, ...]
    header: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the sum as JSON, for whoever joins the two."""
        files.write(path, SUM, _plain(self))

    @classmethod
    def load(cls, path: str | Path) -> CollectedSum:
        """Read a sum; a file that was edited, cut off or is something else is refused."""
        return _from(cls, files.read(path, SUM))


def split(counts: GroupCounts, site: str, sites: Iterable[str], round: str) -> tuple[Share, Share]:  # noqa: A002
    """The two shares of a hospital's counts, for collector A and collector B.

    ``sites`` are the names of all hospitals of the round, ``round`` its name: every hospital gives the same. The random
    numbers come from the operating system (``secrets``); there is no seed, and no two runs give the same shares.

    Raises FeasibilityError for fewer than three hospitals, and for a hospital that is not one of them.
    """
    sites = tuple(sorted(name.strip() for name in sites))
    if not round.strip():
        raise FeasibilityError("A round of shares needs a name, the same at every hospital, such as 2025-Q3.")
    _check_sites(sites)
    if site not in sites:
        raise FeasibilityError(f"{site!r} is not one of the hospitals of this round.{did_you_mean(site, sites)}")
    true = [int(n) for n in counts.n]
    if min(true, default=0) < 0 or sum(true) >= MOST:
        raise ReconciliationError("Counts to be shared must be whole numbers of patients.")
    noise = [secrets.randbits(64) for _ in true]
    rest = [(n - r) % MODULUS for n, r in zip(true, noise, strict=True)]
    header = asked_of(counts.header)
    pair = secrets.token_hex(16)
    a, b = (
        Share(round.strip(), site, sites, collector, pair, tuple(values), counts.labels, header)
        for collector, values in zip(COLLECTORS, (noise, rest), strict=True)
    )
    return a, b


def _check_sites(sites: Sequence[str]) -> None:
    if len(set(sites)) != len(sites) or not all(sites):
        raise FeasibilityError(
            f"The hospitals of a round have different names, none of them empty: {', '.join(sites)}."
        )
    if len(sites) < LEAST:
        raise FeasibilityError(
            f"A round of shares needs at least {LEAST} hospitals, got {len(sites)}: with two, each could subtract its"
            " own counts from the sum and read the other's."
        )


def collect(shares: Iterable[Share], collector: str, *, accept: Iterable[str] = ()) -> CollectedSum:
    """Add the shares of one collector, one from every hospital of the round.

    ``accept`` names differences between hospitals that are accepted and noted: "build settings", "code lists", "index
    dates".

    Raises FeasibilityError for a share of the other collector, a missing hospital, one that occurs twice, and shares
    of another round, other hospitals, another protocol or another length, or (unless accepted) built otherwise.
    """
    shares, noted = list(shares), []
    accept = check_acceptable(accept)
    if collector not in COLLECTORS:
        raise FeasibilityError(f"The collector is A or B, got {collector!r}.")
    if not shares:
        raise FeasibilityError("There is no share to add up.")
    first, seen = shares[0], {}
    _check_sites(first.sites)
    for share in shares:
        if share.collector != collector:
            raise FeasibilityError(
                f"The share of {share.site} is for collector {share.collector}, this is collector {collector}. Delete"
                " it and tell the hospital: who holds both shares of a hospital can read its counts."
            )
        _check_round(first, share, (first.site, share.site))
        if share.site in seen:
            same_run = share.pair == seen[share.site]
            why = "the same share" if same_run else "from two runs; keep the one whose twin the other collector has"
            raise FeasibilityError(f"There are two shares of {share.site} ({why}): a hospital counts once.")
        if share.site not in first.sites:
            raise FeasibilityError(f"{share.site!r} is not one of the hospitals of this round.")
        seen[share.site] = share.pair
    for a, b in combinations(shares, 2):
        noted += check_build(a.header, b.header, (a.site, b.site), accept)
    missing = [name for name in first.sites if name not in seen]
    if missing:
        raise FeasibilityError(
            f"The share of {', '.join(missing)} is missing: without it the sum stays random. If a hospital drops out,"
            " the others split again, naming those that are left."
        )
    values = tuple(sum(column) % MODULUS for column in zip(*(s.values for s in shares), strict=True))
    pairs = tuple(seen[name] for name in first.sites)
    header = {**first.header, "accepted": sorted(set(noted))}
    return CollectedSum(first.round, first.sites, collector, pairs, values, first.labels, header)


def join(one: CollectedSum, other: CollectedSum) -> GroupCounts:
    """The counts of all hospitals together, from the two collectors' sums. Exact and internal: protect before showing.

    Raises FeasibilityError if both are of one collector, of different rounds, or made from different runs.
    """
    if one.collector == other.collector:
        raise FeasibilityError(
            f"Both sums are of collector {one.collector}: one of A and one of B give the counts, no other two do."
        )
    _check_sites(one.sites)
    names = tuple(f"the sum of collector {s.collector}" for s in (one, other))
    _check_round(one, other, names)
    runs = [site for site, a, b in zip(one.sites, one.pairs, other.pairs, strict=True) if a != b]
    if runs:
        raise FeasibilityError(
            f"The collectors hold shares of different runs of {', '.join(runs)}: they do not fit together. That"
            " hospital splits once more and sends both shares again."
        )
    totals = [(a + b) % MODULUS for a, b in zip(one.values, other.values, strict=True)]
    if sum(totals) >= MOST:
        raise FeasibilityError(
            "The two sums do not fit together: they add up to more patients than there can be. A share was changed, or"
            " made by another program; start a new round."
        )
    header = {**one.header, "sites": list(one.sites), "round": one.round}
    return GroupCounts(one.labels, np.array(totals, dtype=np.int64), header)


def _check_round(first: Share | CollectedSum, other: Share | CollectedSum, names: tuple[str, str]) -> None:
    """Refuse what is not of the same round, hospitals, protocol, and length."""
    for what, left, right in (
        ("round", first.round, other.round),
        ("list of hospitals", ", ".join(first.sites), ", ".join(other.sites)),
    ):
        if left != right:
            raise FeasibilityError(f"The {what} is {left!r} for {names[0]}, but {right!r} for {names[1]}.")
    one, two = (({label.id: label for label in s.labels}, s.header) for s in (first, other))
    found = protocol_differences(one, two, names)
    if found:
        raise FeasibilityError(f"{sentence(listed(found))} Every hospital counts with the same protocol.")
    if [x.id for x in first.labels] != [x.id for x in other.labels]:
        raise FeasibilityError(f"The criteria stand in another order for {names[1]} than for {names[0]}.")
    if bool(first.header.get("synthetic")) != bool(other.header.get("synthetic")):
        made = names[0] if first.header.get("synthetic") else names[1]
        raise FeasibilityError(f"{made} holds synthetic patients, the other does not: they are not added up.")
    due = len(groups(len(first.labels)))
    for s, name in ((first, names[0]), (other, names[1])):
        if len(s.values) != due:
            raise FeasibilityError(f"{name} holds {len(s.values)} numbers where this protocol has {due} groups.")


def _plain(one: Share | CollectedSum) -> dict[str, Any]:
    # 64-bit numbers as text: not every JSON reader keeps them whole.
    plain = asdict(one) | {"values": [str(v) for v in one.values], "header": dict(one.header)}
    return plain | {"queries": short([list(g) for g in groups(len(one.labels))])}


def _from(cls, values: dict[str, Any]):
    values.pop("format")
    labels = tuple(CriterionLabel(**x) for x in values.pop("labels"))
    if values.pop("queries") != short([list(g) for g in groups(len(labels))]):
        raise FeasibilityError("The file lists other groups than this version: every hospital uses the same version.")
    numbers = tuple(int(v) for v in values.pop("values"))
    lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
    return cls(**(values | lists), labels=labels, values=numbers)
