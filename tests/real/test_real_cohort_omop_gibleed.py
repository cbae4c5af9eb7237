"""OMOP CDM 5.3 (Eunomia GiBleed) to the funnel, recounted with nothing but the csv module."""

from __future__ import annotations

import re

import pytest
from helpers import ROOT, SHARED
from real import recount as rc
from real import recount_omop

import feasibility as fz

DATA = SHARED / "data" / "omop_gibleed"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data set omop_gibleed is not here")
INDEX = rc.day("2019-06-30")
INFARCTION, BYPASS, FAILURE = ["C4329847", "C312327"], ["P4336464"], ["C316139", "C4229440", "C319835"]


@pytest.fixture(scope="module")
def facts():
    return recount_omop.read(DATA, INDEX)


@pytest.fixture(scope="module")
def cohort():
    extract = fz.omop(DATA, ROOT / "examples" / "omop_gibleed.toml")
    return fz.build_cohort(extract, fz.as_of(INDEX), fz.load_trial("NCT06642025").columns)


@pytest.fixture(scope="module")
def screening(cohort):
    return fz.screen(cohort, fz.load_trial("NCT06642025"))


@pytest.fixture(scope="module")
def drugs():
    steroids = recount_omop.orders(DATA, "prednisone", "hydrocortisone")
    return recount_omop.orders(DATA, "cyclosporine", "methotrexate"), steroids


def test_people(cohort, facts):
    assert rc.cells(cohort, "age_years") == {p: rc.age(facts, p)[0] for p in facts.index}
    assert rc.cells(cohort, "sex") == {p: facts.people[p][1] for p in facts.index}
    assert len(facts.index) == 2694


@pytest.mark.parametrize(("column", "codes"), [("months_since_mi", INFARCTION), ("months_since_cabg", BYPASS)])
def test_time_since(cohort, facts, column, codes):
    last = {p: rc.last_day(facts, p, *codes) for p in facts.index}
    found = rc.cells(cohort, column)
    assert sum(d not in (None, rc.NEVER) for d in last.values()) == 67
    for n in (0, 1, 6, 12, 60, 240):
        assert {p: None if v is None else v <= n for p, v in found.items()} == {
            p: rc.within(d, INDEX, n) for p, d in last.items()
        }


@pytest.mark.parametrize("column", ["heart_failure", "nonischemic_cardiomyopathy", "aids_history", "gilbert", "hsct"])
def test_none_has_it_and_only_those_observed_are_known_not_to(cohort, facts, column):
    codes = FAILURE if column == "heart_failure" else ["C40479589"]
    expected = {p: rc.ever(facts, p, *codes) for p in facts.index}
    assert rc.cells(cohort, column) == expected
    assert set(expected.values()) == {False, None}


def test_products_are_read_as_their_ingredient(cohort, facts, drugs):
    """The extract codes "Prednisone 5 MG Oral Tablet" and has no table that leads from it to prednisone."""
    for column, orders in zip(("nonsteroid_is_days", "steroid_days"), drugs, strict=True):
        for suffix, recent in (("", 28), ("_ever", None)):
            expected = {}
            for pid in facts.index:
                n = rc.longest_run(orders.get(pid, ()), INDEX, recent=recent)
                expected[pid] = (0, n) if n else 0 if rc.observed(facts, pid) else None
            assert rc.cells(cohort, column + suffix) == expected, column + suffix
    assert sum(isinstance(v, tuple) for v in rc.cells(cohort, "steroid_days_ever").values()) > 100


def test_allergy_lists(cohort, facts):
    names = {r["concept_id"]: r["concept_name"] for r in recount_omop.table(DATA, "concept")}
    listed = {
        r["person_id"] for r in recount_omop.table(DATA, "observation")
        if re.search(r"^Allergy to | allergy$", names.get(r["observation_concept_id"], ""))
        and rc.day(r["observation_date"]) <= INDEX
    }  # fmt: skip
    assert rc.cells(cohort, "severe_allergy") == {p: False if p in listed else None for p in facts.index}


def test_measurements_without_a_value_stay_unknown(cohort):
    values = {r["value_as_number"] for r in recount_omop.table(DATA, "measurement")}
    assert values == {""}
    assert cohort[["hemoglobin_g_l", "platelets_10e9_l", "creatinine_umol_l", "ast_x_uln"]].isna().all(axis=None)


def test_every_verdict_and_the_funnel(screening, facts, drugs):
    expected = {c: {} for c in ("I4", "I5.1", "E2.2", "E3.1", "E3.2", "E4.1", "E5.2")}
    for pid in facts.index:
        expected["I4"][pid] = rc.age_18_to_70(facts, pid)
        expected["I5.1"][pid] = expected["E5.2"][pid] = None
        expected["E2.2"][pid] = rc.long_use(facts, pid, *drugs)
        expected["E3.1"][pid] = rc.negated(rc.ever(facts, pid, *FAILURE))
        expected["E3.2"][pid] = rc.heart_attack_or_bypass(facts, pid, INFARCTION, BYPASS)
        expected["E4.1"][pid] = rc.not_pregnant(facts, pid, "C4299535", "C4217975")
    for criterion, verdict in expected.items():
        assert rc.verdicts(screening, criterion) == verdict, criterion
    funnel = fz.attrition(screening)
    assert rc.counted(funnel, expected) == rc.funnel(facts.index, expected)
    excluded = funnel["n_excluded"]
    assert excluded[excluded > 0].to_dict() == {"I4": 597, "E3.2": 1}
    assert funnel["n_remaining"].iloc[-1] == 2096


def test_three_cells_of_every_column(cohort):
    assert len(rc.frozen("omop_gibleed")) == 31
    assert rc.differing(cohort, "omop_gibleed") == []
