"""What is refused between hospitals: vectors that do not fit, shares that are missing, mixed up or edited."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers import frame

import feasibility as fz
from feasibility import inclusion
from feasibility.disclosure.policy import POLICIES
from feasibility.errors import FeasibilityError, ReconciliationError
from feasibility.pooling.groups import GroupCounts
from feasibility.pooling.parts import count_part
from feasibility.pooling.shares import CollectedSum, Share, collect, join, split
from feasibility.pooling.vectors import ProtectedVector, add_vectors, protected_vector


@inclusion("I4", "age of 18 years or more")
def adult(age_years, *, min_age: int = 18):
    """Completed years."""
    return age_years >= min_age


@inclusion("I5", "hemoglobin above 60 g/L")
def hemoglobin(hemoglobin_g_l, *, min_hemoglobin: float = 60):
    """Latest value."""
    return hemoglobin_g_l > min_hemoglobin


TRIAL = fz.Protocol("DEMO", "Demo", [adult, hemoglobin])
STRICT = TRIAL.with_thresholds(min_hemoglobin=70)
COHORT = frame(age_years=("Int64", *[17] * 9, *[18] * 30), hemoglobin_g_l=("Float64", *[61] * 20, *[None] * 19))


def counted(protocol=TRIAL, **header):
    table = count_part(COHORT, protocol)
    return replace(table, header={**table.header, **header})


def vector(site, protocol=TRIAL, **header):
    table = counted(protocol, **header)
    return protected_vector(table, protocol, site, header=table.header)[0]


@pytest.fixture(scope="module")
def east():
    return vector("East")


# Vectors ----------------------------------------------------------------------------------------------------------


def adding(one, other, match, **options):
    with pytest.raises(FeasibilityError, match=match):
        add_vectors([one, other], **options)


def test_vectors_of_other_protocols_policies_and_builds_are_refused(east):
    adding(
        east, vector("West", STRICT), "I5 differs .hemoglobin.: threshold min_hemoglobin is 60 in East against 70 in W"
    )
    omop = replace(east, sites=("West",), policy=POLICIES["omop"])
    adding(east, omop, r"policies differ: threshold is 8 in East \(nhs\) against 5 in West")
    adding(
        east, replace(east, sites=("West",), policy=replace(POLICIES["nhs"], base=10)), "base is 5 in East .* 10 in W"
    )
    adding(east, vector("West", synthetic=True), "West holds synthetic patients, the other does not")
    other = vector("West", code_lists={"aml": "2"})
    mine = vector("East", code_lists={"aml": "1"})
    adding(mine, other, 'code list aml holds other codes in East than in West. Agree on it .*--accept "code lists"')
    assert add_vectors([mine, other], accept=["code lists"]).accepted == (
        "the code list aml holds other codes in East than in West",
    )
    adding(add_vectors([mine, vector("North")]), other, "code list aml holds other codes")
    with pytest.raises(FeasibilityError, match="code list aml holds other codes in East than in West"):
        add_vectors([vector("North"), mine, other])
    adding(mine, other, "'codes' cannot be accepted as different. .*code lists", accept=["codes"])


def test_vectors_of_another_query_list_are_refused(east):
    fewer = replace(east, sites=("West",), names=east.names[:-1], counts=east.counts[:-1])
    adding(east, fewer, "query lists differ: East holds 1 counts that West does not, such as 'gain_possible:I5'")
    names, counts = list(east.names), list(east.counts)
    for pair in (names, counts):
        pair[-1], pair[-2] = pair[-2], pair[-1]
    turned = replace(east, sites=("West",), names=tuple(names), counts=tuple(counts))
    adding(east, turned, r"differ in their order: number \d+ is 'only_unknown:I5' in East against 'gain_possible:I5'")


def test_a_hospital_counts_once(east):
    adding(east, east, "East is in the sum already; a hospital counts once")
    pooled = add_vectors([east, vector("West")])
    adding(pooled, east, "East: East is in the sum already")
    with pytest.raises(FeasibilityError, match="no protected vector to add up"):
        add_vectors([])
    with pytest.raises(FeasibilityError, match="needs the name of its hospital"):
        vector(" ")
    with pytest.raises(FeasibilityError, match="holds no count 'excluded:I55'. Did you mean 'excluded:I5'"):
        east.count("excluded:I55")


def test_a_vector_that_does_not_add_up_is_refused(east):
    place = east.names.index("excluded:I5")
    counts = [n + 5 * (i == place) for i, n in enumerate(east.counts)]
    with pytest.raises(ReconciliationError, match="n_remaining = n_entering - n_excluded"):
        replace(east, counts=tuple(counts))
    with pytest.raises(ReconciliationError, match="queries, but"):
        replace(east, counts=east.counts[1:])


def test_counts_of_another_protocol_are_not_released():
    table = counted(STRICT)
    with pytest.raises(
        FeasibilityError, match="min_hemoglobin is 70 in the file against 60 in this protocol. Give the tr"
    ):
        protected_vector(table, TRIAL, "East", header=table.header)


def test_a_released_file_is_needed():
    with pytest.raises(FeasibilityError, match=r"A released file \(feasibility release 1\) is needed, got 'x'"):
        ProtectedVector.of({"format": "x"}, "East")


def test_vector_files(east, tmp_path):
    path = tmp_path / "east.json"
    east.save(path)
    assert ProtectedVector.load(path) == east
    text = path.read_text()
    for content, match in (
        (text.replace('"East"', '"Eest"'), "east.json: it was changed after it was written, or damaged on the way"),
        (text[: len(text) // 2], "not a feasibility protected vector 1 file: no JSON of this program, or cut off"),
        ("", "the file is empty"),
        ("[1, 2]", "not a feasibility protected vector 1 file"),
        ('{"format": "feasibility share 1"}', "this is a feasibility share 1 file; a feasibility protected vector 1"),
    ):
        path.write_text(content)
        with pytest.raises(FeasibilityError, match=match):
            ProtectedVector.load(path)
    counted().save(path)
    with pytest.raises(FeasibilityError, match="but a pattern file or another Parquet file|but no text|no JSON"):
        ProtectedVector.load(path)
    with pytest.raises(FeasibilityError, match="there is no such file"):
        ProtectedVector.load(tmp_path / "absent.json")
    with pytest.raises(FeasibilityError, match="cannot be written"):
        east.save(tmp_path / "absent" / "x.json")


# Shares -----------------------------------------------------------------------------------------------------------

SITES = ("A-town", "B-town", "C-town")


def shares(protocol=TRIAL, sites=SITES, name="r1", **header):
    groups = GroupCounts.of(counted(protocol, **header))
    return {site: split(groups, site, sites, name) for site in sites}


@pytest.fixture
def all_shares():
    return shares()


def for_a(pairs):
    return [pair[0] for pair in pairs.values()]


def collecting(given, match, collector="A", **options):
    with pytest.raises(FeasibilityError, match=match):
        collect(given, collector, **options)


def test_too_few_or_wrong_hospitals_cannot_split():
    groups = GroupCounts.of(counted())
    for sites, match in (
        (("a", "b"), "at least 3 hospitals, got 2: with two, each could subtract"),
        (("a", "b", "b"), "have different names"),
        (("a", "b", " "), "none of them empty"),
        (("x", "y", "z"), "'a' is not one of the hospitals of this round. Known: x, y, z"),
    ):
        with pytest.raises(FeasibilityError, match=match):
            split(groups, "a", sites, "r")
    with pytest.raises(FeasibilityError, match="needs a name, the same at every hospital"):
        split(groups, "a", ("a", "b", "c"), " ")
    with pytest.raises(ReconciliationError, match="whole numbers of patients"):
        split(replace(groups, n=groups.n - 100), "a", ("a", "b", "c"), "r")


def test_a_missing_share_is_refused(all_shares):
    collecting(for_a(all_shares)[:2], "The share of C-town is missing: without it the sum stays random")
    collecting([], "There is no share to add up")
    collecting(for_a(all_shares), "The collector is A or B, got 'C'", collector="C")


def test_a_share_that_comes_twice_is_refused(all_shares):
    collecting([*for_a(all_shares), all_shares["B-town"][0]], r"two shares of B-town \(the same share\)")
    again = shares()["B-town"][0]
    collecting([*for_a(all_shares), again], r"two shares of B-town \(from two runs; keep the one whose twin")


def test_a_share_of_the_other_collector_is_refused(all_shares):
    mixed = [all_shares["A-town"][0], all_shares["B-town"][1], all_shares["C-town"][0]]
    collecting(mixed, "share of B-town is for collector B, this is collector A. Delete it and tell the hospital")


def test_shares_of_another_round_list_protocol_or_length_are_refused(all_shares):
    def instead(**changed):
        return [*for_a(all_shares)[:2], shares(**changed)["C-town"][0]]

    collecting(instead(name="r2"), "The round is 'r1' for A-town, but 'r2' for C-town")
    collecting(instead(sites=(*SITES, "D")), "list of hospitals is 'A-town, B-town, C-town' for A-town, but .*D")
    collecting(instead(protocol=STRICT), "min_hemoglobin is 60 in A-town against 70 in C-town .*|Every hospital counts")
    collecting(instead(protocol=TRIAL.reordered("I5")), "criteria stand in another order for C-town than for A-town")
    collecting(instead(synthetic=True), "C-town holds synthetic patients")
    collecting(instead(build="b"), "The build settings of A-town are not known. Agree")
    assert collect(instead(build="b"), "A", accept=["build settings"]).header["accepted"]
    short = replace(all_shares["C-town"][0], values=all_shares["C-town"][0].values[1:])
    collecting([*for_a(all_shares)[:2], short], "C-town holds 8 numbers where this protocol has 9 groups")
    stranger = replace(all_shares["C-town"][0], site="X")
    collecting([*for_a(all_shares)[:2], stranger], "'X' is not one of the hospitals")
    two = [replace(s, sites=SITES[:2]) for s in for_a(all_shares)[:2]]
    collecting(two, "at least 3 hospitals")


def test_sums_that_do_not_fit_are_not_joined(all_shares):
    one, other = (collect([pair[i] for pair in all_shares.values()], c) for i, c in enumerate("AB"))
    assert join(one, other).n.sum() == 3 * len(COHORT)
    with pytest.raises(FeasibilityError, match="Both sums are of collector A"):
        join(one, one)
    rerun = shares()
    mixed = collect([all_shares["A-town"][1], rerun["B-town"][1], all_shares["C-town"][1]], "B")
    with pytest.raises(FeasibilityError, match="shares of different runs of B-town: they do not fit together"):
        join(one, mixed)
    with pytest.raises(FeasibilityError, match="The round is 'r1' for the sum of collector A, but 'r2'"):
        join(one, replace(other, round="r2"))
    with pytest.raises(FeasibilityError, match="add up to more patients than there can be"):
        join(one, replace(other, values=tuple(reversed(one.values))))


def test_share_and_sum_files(all_shares, tmp_path):
    path = tmp_path / "share.json"
    share = all_shares["A-town"][0]
    share.save(path)
    assert Share.load(path) == share
    values = json.loads(path.read_text())
    values["values"][0] = str((int(values["values"][0]) + 1) % 2**64)
    path.write_text(json.dumps(values))
    with pytest.raises(FeasibilityError, match="share.json: it was changed after it was written"):
        Share.load(path)
    total = collect(for_a(all_shares), "A")
    total.save(path)
    assert CollectedSum.load(path) == total
    with pytest.raises(FeasibilityError, match="this is a feasibility sum of shares 1 file; a feasibility share 1"):
        Share.load(path)


def test_a_share_of_another_version_is_refused(all_shares, tmp_path):
    from feasibility.pooling import files

    path = tmp_path / "share.json"
    all_shares["A-town"][0].save(path)
    values = files.read(path, "feasibility share 1")
    files.write(path, "feasibility share 1", values | {"queries": "0"})
    with pytest.raises(FeasibilityError, match="lists other groups than this version"):
        Share.load(path)
