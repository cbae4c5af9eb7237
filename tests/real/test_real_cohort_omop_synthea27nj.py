"""OMOP CDM 5.4 (Eunomia Synthea27Nj) to the funnel, recounted with nothing but the csv module."""

from __future__ import annotations

import pytest
from helpers import ROOT, SHARED
from real import recount as rc
from real import recount_omop

import feasibility as fz

DATA = SHARED / "data" / "omop_synthea27nj"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data set omop_synthea27nj is not here")
INDEX = rc.day("2022-06-30")
LABS = {
    "hemoglobin_g_l": ({"3000963"}, 10, 10, 250, min), "platelets_10e9_l": ({"3024929"}, 1, 0, 3000, min),
    "creatinine_umol_l": ({"3016723", "3051825"}, 88.42, 10, 2500, max),
}  # fmt: skip
PREGNANCY = ("C4217975", "C4299535")


@pytest.fixture(scope="module")
def facts():
    return recount_omop.read(DATA, INDEX)


@pytest.fixture(scope="module")
def cohort():
    extract = fz.omop(DATA, ROOT / "examples" / "omop_synthea27nj.toml")
    return fz.build_cohort(extract, fz.as_of(INDEX), fz.load_trial("NCT06642025").columns)


@pytest.fixture(scope="module")
def screening(cohort):
    return fz.screen(cohort, fz.load_trial("NCT06642025"))


@pytest.fixture(scope="module")
def drugs():
    return recount_omop.orders(DATA, "cyclosporine", "methotrexate"), recount_omop.orders(DATA, "prednis", "cortisone")


def pick(facts, pid, column, window):
    items, factor, low, high, worse = LABS[column]
    found = rc.latest(facts, pid, items, window, low / factor, high / factor, worse)
    return None if found is None else (found[0] * factor, found[1])


def test_people(cohort, facts):
    assert rc.cells(cohort, "age_years") == {p: rc.age(facts, p)[0] for p in facts.index}
    assert rc.cells(cohort, "sex") == {p: facts.people[p][1] for p in facts.index}
    assert len(facts.index) == 25


@pytest.mark.parametrize("column", LABS)
def test_latest_values(cohort, facts, column):
    found, days = rc.cells(cohort, column), rc.cells(cohort, f"days_since_{column}")
    expected = {p: pick(facts, p, column, 90) for p in facts.index}
    assert any(expected.values())
    for pid, one in expected.items():
        assert found[pid] == (None if one is None else pytest.approx(one[0], rel=1e-9)), pid
        assert days[pid] == (one and one[1]), pid


@pytest.mark.parametrize(
    ("column", "codes"),
    [("heart_failure", ["C4229440", "C316139"]), ("hsct", ["C4120445"]), ("nonischemic_cardiomyopathy", ["C40479589"])],
)
def test_ever(cohort, facts, column, codes):
    assert rc.cells(cohort, column) == {p: rc.ever(facts, p, *codes) for p in facts.index}


def test_products_are_read_as_their_ingredient(cohort, facts, drugs):
    for column, orders in zip(("nonsteroid_is_days", "steroid_days"), drugs, strict=True):
        for suffix, recent in (("", 28), ("_ever", None)):
            runs = {p: rc.longest_run(orders.get(p, ()), INDEX, recent=recent) for p in facts.index}
            assert rc.cells(cohort, column + suffix) == {
                p: (0, n) if n else 0 if rc.observed(facts, p) else None for p, n in runs.items()
            }


def test_every_verdict_and_the_funnel(screening, facts, drugs):
    names = ("I4", "I5.1", "I5.3", "E2.2", "E3.1", "E3.2", "E4.1", "E5.2")
    expected = {c: {} for c in names}
    for pid in facts.index:
        hb, plt, creatinine = (pick(facts, pid, c, 14) for c in LABS)
        expected["I4"][pid] = rc.age_18_to_70(facts, pid)
        expected["I5.1"][pid] = hb and hb[0] > 60
        expected["I5.3"][pid] = plt and plt[0] > 30
        expected["E2.2"][pid] = rc.long_use(facts, pid, *drugs)
        expected["E3.1"][pid] = rc.negated(rc.ever(facts, pid, "C4229440", "C316139"))
        expected["E3.2"][pid] = rc.heart_attack_or_bypass(facts, pid, ["C4329847"], ["P4336464"])
        expected["E4.1"][pid] = rc.not_pregnant(facts, pid, *PREGNANCY)
        expected["E5.2"][pid] = creatinine and creatinine[0] < 178
    for criterion, verdict in expected.items():
        assert rc.verdicts(screening, criterion) == verdict, criterion
    funnel = fz.attrition(screening)
    assert rc.counted(funnel, expected) == rc.funnel(facts.index, expected)
    excluded = funnel["n_excluded"]
    assert excluded[excluded > 0].to_dict() == {"I4": 6}
    assert funnel["n_remaining"].iloc[-1] == 19


def test_three_cells_of_every_column(cohort):
    assert len(rc.frozen("omop_synthea27nj")) == 36
    assert rc.differing(cohort, "omop_synthea27nj") == []
