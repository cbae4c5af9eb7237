"""Thirty FHIR bundles to the funnel, each patient at his last observation, recounted with the json module alone."""

from __future__ import annotations

import pytest
from helpers import ROOT, SHARED
from real import recount as rc
from real import recount_fhir

import feasibility as fz

DATA = SHARED / "data" / "fhir_synthea_r4_sof"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data set fhir_synthea_r4_sof is not here")
LABS = {
    "hemoglobin_g_l": ({"718-7"}, 10, 10, 250, min), "platelets_10e9_l": ({"777-3"}, 1, 0, 3000, min),
    "creatinine_umol_l": ({"2160-0", "38483-4"}, 88.42, 10, 2500, max),
    "lvef_latest_pct": ({"10230-1"}, 1, 5, 90, min),
}  # fmt: skip
FAILURE, PREGNANCY = ("C88805009", "C84114007"), ("C72892002", "C77386006")


@pytest.fixture(scope="module")
def both():
    return recount_fhir.read(DATA)


@pytest.fixture(scope="module")
def facts(both):
    return both[0]


@pytest.fixture(scope="module")
def cohort():
    extract = fz.fhir(DATA, ROOT / "examples" / "fhir_synthea_r4_sof.toml")
    return fz.build_cohort(extract, fz.after_event("labs", which="last"), fz.load_trial("NCT06642025").columns)


@pytest.fixture(scope="module")
def screening(cohort):
    return fz.screen(cohort, fz.load_trial("NCT06642025"))


def pick(facts, pid, column, window):
    items, factor, low, high, worse = LABS[column]
    found = rc.latest(facts, pid, items, window, low / factor, high / factor, worse)
    return None if found is None else (found[0] * factor, found[1])


def test_people_and_their_index_dates(cohort, facts):
    assert {p: d.date() for p, d in cohort.index} == facts.index
    assert len(facts.people) - len(facts.index) == 2  # whose last observation is from the day of death
    assert rc.cells(cohort, "age_years") == {p: rc.age(facts, p)[0] for p in facts.index}
    assert rc.cells(cohort, "sex") == {p: facts.people[p][1] for p in facts.index}


@pytest.mark.parametrize("column", LABS)
def test_latest_values(cohort, facts, column):
    found, days = rc.cells(cohort, column), rc.cells(cohort, f"days_since_{column}")
    for pid in facts.index:
        one = pick(facts, pid, column, 56 if column.startswith("lvef") else 90)
        assert found[pid] == (None if one is None else pytest.approx(one[0], rel=1e-9)), pid
        assert days[pid] == (one and one[1]), pid


def test_heart_failure_and_the_lowest_ejection_fraction(cohort, facts):
    assert rc.cells(cohort, "heart_failure") == {p: rc.ever(facts, p, *FAILURE) for p in facts.index}
    lowest = {}
    for pid, at in facts.index.items():
        values = [r[2] for r in facts.labs[pid] if r[1] == "10230-1" and r[0] <= at]
        lowest[pid] = min(values) if values else None
    assert rc.cells(cohort, "lvef_lowest_ever_pct") == lowest
    # Everyone with a reduced ejection fraction was picked for heart failure: a list that misses its code says "no".
    assert all(rc.cells(cohort, "heart_failure")[p] for p, v in lowest.items() if v is not None)


def test_a_cream_is_no_systemic_steroid(cohort, both):
    facts, everything = both
    creams = [i for i in everything if i["resourceType"] == "MedicationRequest"
              and "Topical Cream" in i["medicationCodeableConcept"]["text"]]  # fmt: skip
    assert len(creams) == 3
    expected = {p: 0 if rc.observed(facts, p) else None for p in facts.index}
    assert rc.cells(cohort, "steroid_days_ever") == expected


def test_every_verdict_and_the_funnel(screening, facts):
    expected = {c: {} for c in ("I4", "I5.1", "I5.3", "E3.1", "E3.2", "E3.5", "E4.1", "E5.2")}
    for pid in facts.index:
        hb, plt, creatinine = (pick(facts, pid, c, 14) for c in list(LABS)[:3])
        lvef = rc.latest(facts, pid, {"10230-1"}, 56, 5, 90, min)
        expected["I4"][pid] = rc.age_18_to_70(facts, pid)
        expected["I5.1"][pid] = hb and hb[0] > 60
        expected["I5.3"][pid] = plt and plt[0] > 30
        failing = rc.ever(facts, pid, *FAILURE)
        expected["E3.1"][pid] = True if failing is False else None  # no class is recorded
        expected["E3.2"][pid] = rc.heart_attack_or_bypass(facts, pid, ["C22298006"], ["P232717009"])
        expected["E3.5"][pid] = lvef and lvef[0] >= 45
        expected["E4.1"][pid] = rc.not_pregnant(facts, pid, *PREGNANCY)
        expected["E5.2"][pid] = creatinine and creatinine[0] < 178
    for criterion, verdict in expected.items():
        assert rc.verdicts(screening, criterion) == verdict, criterion
    funnel = fz.attrition(screening)
    assert rc.counted(funnel, expected) == rc.funnel(facts.index, expected)
    excluded = funnel["n_excluded"]
    assert excluded[excluded > 0].to_dict() == {"I4": 12}
    assert funnel["n_remaining"].iloc[-1] == 16


def test_three_cells_of_every_column(cohort):
    assert len(rc.frozen("fhir_synthea_r4_sof")) == 39
    assert rc.differing(cohort, "fhir_synthea_r4_sof") == []
