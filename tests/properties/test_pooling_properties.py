"""Adding up parts equals screening the union; a damaged file is refused or unharmed; group counts keep the funnel."""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import feasibility as fz
from feasibility import exclusion, inclusion
from feasibility.patterns import CriterionLabel, PatternTable, count, pack
from feasibility.pooling.groups import GroupCounts, groups
from feasibility.pooling.parts import count_part
from feasibility.pooling.shares import COLLECTORS, Share, collect, join, split

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@inclusion("I1", "age of 18 years or more")
def adult(age_years, *, min_age: Annotated[int, "a"] = 18):
    """Completed years."""
    return age_years >= min_age


@inclusion("I2", "platelets above 30 or a transfusion")
def platelets(platelets_10e9_l, transfused, *, min_platelets: Annotated[float, "10^9/L"] = 30):
    """Latest value; a transfusion makes up for it."""
    return (platelets_10e9_l > min_platelets) | transfused


@exclusion("E1", "pregnant women")
def pregnant_now(pregnant):
    """At the index date."""
    return pregnant


SMALL = fz.Protocol("SMALL", "A small protocol", [adult, platelets, pregnant_now])
ONE = fz.Protocol("ONE", "One criterion", [adult])


def cell(*values):
    return st.sampled_from([*values, None])


ROWS = st.lists(
    st.tuples(cell(17, 18, 60), cell(29.0, 30.0, 31.0), cell(True, False), cell(True, False), cell("A", "B", "C")),
    min_size=1, max_size=30,
)  # fmt: skip


def table(rows) -> pd.DataFrame:
    dtypes = {"age_years": "Int64", "platelets_10e9_l": "Float64", "transfused": "boolean", "pregnant": "boolean"}
    columns = list(zip(*rows, strict=True))
    data = {name: pd.array(list(v), dtype=t) for (name, t), v in zip(dtypes.items(), columns, strict=False)}
    data["site"] = pd.array(list(columns[-1]), dtype=pd.StringDtype("python"))
    return pd.DataFrame(data, index=pd.Index([f"P{i}" for i in range(len(rows))], name="patient_id"))


def cells(patterns: PatternTable) -> dict:
    """Patients by status and stratum, whatever the order of the rows."""
    frame = patterns.to_frame().astype(object)
    rows = [tuple(None if pd.isna(v) else v for v in row) for row in frame.drop(columns="n").to_numpy()]
    assert len(set(rows)) == len(rows)
    return dict(zip(rows, patterns.n.tolist(), strict=True))


@QUICK
@given(rows=ROWS, cuts=st.lists(st.integers(0, 3), min_size=30, max_size=30), by=st.sampled_from([(), ("site",)]),
       protocol=st.sampled_from([SMALL, ONE, SMALL.with_thresholds(min_age=60), SMALL.without("I2")]))  # fmt: skip
def test_pooling_files_of_parts_is_screening_the_union(tmp_path_factory, rows, cuts, by, protocol):
    cohort = table(rows)
    where = np.array(cuts[: len(cohort)])
    whole = fz.screen(cohort, protocol, strata=by).patterns(by)
    folder, tables = tmp_path_factory.mktemp("parts"), []
    for part in np.unique(where):
        path = folder / f"{part}.parquet"
        count_part(cohort[where == part], protocol, by=by, part=str(part)).save(path)
        tables.append(PatternTable.load(path))
    pooled = fz.pool(tables)
    pooled.save(folder / "pooled.parquet")
    again = PatternTable.load(folder / "pooled.parquet")
    assert cells(again) == cells(pooled) == cells(whole)
    pd.testing.assert_frame_equal(fz.attrition(again), fz.attrition(whole))
    pd.testing.assert_frame_equal(fz.impact(again), fz.impact(whole))


@pytest.fixture(scope="module")
def registry():
    from feasibility.trials.aml_registry import synthetic_registry

    return synthetic_registry(150, seed=3).observed


@pytest.mark.parametrize(("suffix", "by"), [("parquet", ()), ("csv", ("site_id", "sex")), ("arrow", ("site_id",))])
def test_pooling_the_shipped_trial_is_screening_the_union(registry, tmp_path, by, suffix):
    protocol = fz.load_trial("NCT06642025")
    protocol = protocol.without("E1", "E2", "E3", "E5") if by else protocol
    where = np.random.default_rng(1).integers(0, 2, len(registry))
    tables = []
    for part in range(2):
        fz.write_cohort(registry[where == part], tmp_path / f"{part}.{suffix}")
        counted = count_part(tmp_path / f"{part}.{suffix}", protocol, by=by, part=str(part))
        counted.save(tmp_path / f"counts_{part}.parquet")
        tables.append(PatternTable.load(tmp_path / f"counts_{part}.parquet"))
    pooled, whole = fz.pool(tables), fz.screen(registry, protocol).patterns(by)
    assert cells(pooled) == cells(whole)
    pd.testing.assert_frame_equal(fz.attrition(pooled), fz.attrition(whole))


def test_a_flipped_bit_anywhere_is_refused_or_harmless(tmp_path):
    """No damaged pattern file is ever read as other counts."""
    path = tmp_path / "counts.parquet"
    cohort = table([(17, 29.0, None, False, "A"), (60, None, True, None, "B"), (None, 31.0, False, True, None)])
    written = count_part(cohort, SMALL, by=["site"])
    written.save(path)
    whole, damaged, refused = path.read_bytes(), tmp_path / "damaged.parquet", 0
    rng = np.random.default_rng(5)
    for place in rng.choice(len(whole), 150, replace=False):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(bytes(data))
        try:
            found = PatternTable.load(damaged)
        except fz.FeasibilityError:
            refused += 1
            continue
        assert cells(found) == cells(written)
        assert found.header["criteria"] == written.header["criteria"]
    assert refused > 60
    for size in range(0, len(whole), 97):
        damaged.write_bytes(whole[:size])
        with pytest.raises(fz.FeasibilityError, match="empty|cut off|not a readable pattern file"):
            PatternTable.load(damaged)


# Groups and shares ------------------------------------------------------------------------------------------------


@st.composite
def patterns(draw, criteria=st.integers(1, 5)):
    """Any pattern table at all: statuses are drawn, not evaluated."""
    k, rows = draw(criteria), draw(st.integers(0, 12))
    state = np.array(draw(st.lists(st.integers(0, 2), min_size=k * rows, max_size=k * rows))).reshape(rows, k)
    n = np.array(draw(st.lists(st.integers(1, 2**40), min_size=rows, max_size=rows)), dtype=np.int64)
    labels = tuple(CriterionLabel(f"I{i + 1}", "inclusion", f"c{i}", f"criterion {i}") for i in range(k))
    return count(labels, pack(list((state == 1).T), rows), pack(list((state == 2).T), rows), None, n)


ONLY = ["n_only_reason", "n_only_unknown", "gain_confirmed", "gain_possible"]


@QUICK
@given(patterns())
def test_the_fixed_groups_keep_the_funnel_and_the_only_reasons(table):
    made = GroupCounts.of(table)
    assert len(made.n) == len(groups(len(table.labels)))
    short = made.patterns()
    pd.testing.assert_frame_equal(fz.attrition(short), fz.attrition(table))
    pd.testing.assert_frame_equal(fz.impact(short)[ONLY], fz.impact(table)[ONLY])
    assert (GroupCounts.of(short).n == made.n).all()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_fixed_groups_are_all_there_can_be_and_no_others(k):
    """Every combination of statuses, written out, falls into one group, and every group is hit."""
    states = np.array(np.meshgrid(*[[0, 1, 2]] * k, indexing="ij")).reshape(k, -1).T
    labels = tuple(CriterionLabel(f"I{i + 1}", "inclusion", f"c{i}", "") for i in range(k))
    made = count(labels, pack(list((states == 1).T), len(states)), pack(list((states == 2).T), len(states)))
    counted = GroupCounts.of(made)
    assert counted.n.sum() == 3**k
    assert (counted.n > 0).all()


@QUICK
@given(st.lists(patterns(criteria=st.just(3)), min_size=3, max_size=6))
def test_shares_of_any_counts_add_up_exactly(tables):
    sites = [f"hospital {i}" for i in range(len(tables))]
    made = [split(GroupCounts.of(t), site, sites, "round 1") for t, site in zip(tables, sites, strict=True)]
    sums = [collect([pair[i] for pair in made], collector) for i, collector in enumerate(COLLECTORS)]
    whole = GroupCounts.of(fz.pool(tables))
    assert join(*sums).n.tolist() == whole.n.tolist()
    assert join(*reversed(sums)).n.tolist() == whole.n.tolist()


def test_a_share_alone_is_uniform_and_says_nothing(monkeypatch):
    """Bytes of one collector's numbers are uniform for empty and for huge counts alike, whichever collector."""
    from scipy.stats import chisquare

    rng = np.random.default_rng(12)
    monkeypatch.setattr(
        "feasibility.pooling.shares.secrets.randbits", lambda bits: int.from_bytes(rng.bytes(bits // 8))
    )
    labels = tuple(CriterionLabel(f"I{i + 1}", "inclusion", f"c{i}", "") for i in range(27))
    size = len(groups(27))
    for n in (np.zeros(size, dtype=np.int64), np.full(size, 2**40)):
        for share in split(GroupCounts(labels, n), "a", ["a", "b", "c"], "r"):
            data = b"".join(v.to_bytes(8, "little") for v in share.values)
            assert chisquare(np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)).pvalue > 1e-4
            # Each place of the eight bytes too: the high bytes of a count are always 0.
            for place in range(8):
                low = np.frombuffer(data[place::8], dtype=np.uint8) >= 128
                assert abs(low.mean() - 0.5) < 4 * 0.5 / np.sqrt(size)


def test_collector_b_gets_the_same_shares_whatever_the_counts(monkeypatch):
    """For every pair of counts there is noise that gives collector B the very same numbers, as likely as any other."""
    labels = tuple(CriterionLabel(f"I{i + 1}", "inclusion", f"c{i}", "") for i in range(3))
    size = len(groups(3))
    few, many = np.arange(size, dtype=np.int64), np.arange(size, dtype=np.int64) * 1_000_003
    noise = [int(x) for x in np.random.default_rng(2).integers(0, 2**63, size)]

    def shares(n, numbers):
        draws = iter(numbers)
        monkeypatch.setattr("feasibility.pooling.shares.secrets.randbits", lambda bits: next(draws))
        return split(GroupCounts(labels, n), "a", ["a", "b", "c"], "r")

    seen = shares(few, noise)[1]
    shifted = [(r + int(m) - int(f)) % 2**64 for r, f, m in zip(noise, few, many, strict=True)]
    assert shares(many, shifted)[1].values == seen.values


def test_the_length_of_a_share_depends_on_the_protocol_alone(tmp_path):
    sizes = set()
    for n in (1, 200):
        cohort = table([(17, 29.0, None, False, "A")] * n)
        a, b = split(GroupCounts.of(count_part(cohort, SMALL)), "a", ["a", "b", "c"], "r")
        a.save(tmp_path / "a.json")
        said = json.loads((tmp_path / "a.json").read_text())
        assert Share.load(tmp_path / "a.json") == a
        sizes |= {len(a.values), len(b.values), len(said["values"])}
        assert "n_patients" not in (tmp_path / "a.json").read_text()
    assert sizes == {len(groups(3))}
