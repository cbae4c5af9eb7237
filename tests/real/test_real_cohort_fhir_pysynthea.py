"""Bulk NDJSON of sixty patients with leukaemia to the funnel, recounted with nothing but the json module."""

from __future__ import annotations

import pytest
from helpers import ROOT, SHARED
from real import recount as rc
from real import recount_fhir

import feasibility as fz

DATA = SHARED / "data" / "fhir_pysynthea_aml60"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data set fhir_pysynthea_aml60 is not here")
INDEX = rc.day("2025-11-01")
LABS = {
    "hemoglobin_g_l": ({"718-7"}, 10, 10, 250, min), "platelets_10e9_l": ({"777-3"}, 1, 0, 3000, min),
    "creatinine_umol_l": ({"2160-0", "38483-4"}, 88.42, 10, 2500, max),
}  # fmt: skip
OVER_LIMIT = {"ast_x_uln": "1920-8", "alt_x_uln": "1742-6", "bilirubin_x_uln": "1975-2"}
GRAFT = "ea2c5a"
"""The end of the id of a kidney recipient on tacrolimus."""


@pytest.fixture(scope="module")
def both():
    return recount_fhir.read(DATA, INDEX)


@pytest.fixture(scope="module")
def facts(both):
    return both[0]


@pytest.fixture(scope="module")
def cohort():
    extract = fz.fhir(DATA, ROOT / "examples" / "fhir_pysynthea_aml60.toml")
    return fz.build_cohort(extract, fz.as_of(INDEX), fz.load_trial("NCT06642025").columns)


@pytest.fixture(scope="module")
def screening(cohort):
    return fz.screen(cohort, fz.load_trial("NCT06642025"))


@pytest.fixture(scope="module")
def immunosuppressants(both):
    return recount_fhir.orders(*both, "methotrexate", "adalimumab", "cyclosporine", "tacrolimus")


def pick(facts, pid, column, window):
    items, factor, low, high, worse = LABS[column]
    found = rc.latest(facts, pid, items, window, low / factor, high / factor, worse)
    return None if found is None else (found[0] * factor, found[1])


def over_limit(facts, pid, column, window):
    low, high = (0.5 / 17.104, 1200 / 17.104) if column == "bilirubin_x_uln" else (1, 20000)
    found = rc.latest(facts, pid, {OVER_LIMIT[column]}, window, low, high)
    return None if found is None or found[2] is None else (found[0] / found[2], found[1])


def test_people(cohort, facts):
    assert len(facts.people) - len(facts.index) == 12  # who had died
    assert rc.cells(cohort, "age_years") == {p: rc.age(facts, p)[0] for p in facts.index}
    assert rc.cells(cohort, "sex") == {p: facts.people[p][1] for p in facts.index}
    assert set(rc.cells(cohort, "aml_subtype").values()) == {"aml_non_apl"}


@pytest.mark.parametrize("column", [*LABS, *OVER_LIMIT])
def test_latest_values(cohort, facts, column):
    found, days = rc.cells(cohort, column), rc.cells(cohort, f"days_since_{column}")
    find = pick if column in LABS else over_limit
    expected = {p: find(facts, p, column, 90) for p in facts.index}
    assert any(expected.values())
    for pid, one in expected.items():
        assert found[pid] == (None if one is None else pytest.approx(one[0], rel=1e-9)), pid
        assert days[pid] == (one and one[1]), pid


def test_the_lowest_ejection_fraction_ever(cohort, facts):
    expected = {}
    for pid in facts.index:
        values = [r[2] for r in facts.labs[pid] if r[1] == "10230-1" and r[0] <= INDEX]
        expected[pid] = min(values) if values else None
    assert rc.cells(cohort, "lvef_lowest_ever_pct") == expected


@pytest.mark.parametrize(
    ("column", "codes"),
    [("heart_failure", ["C88805009", "C84114007"]), ("hsct", ["P234336002"]), ("gilbert", ["C27503000"])],
)
def test_ever(cohort, facts, column, codes):
    assert rc.cells(cohort, column) == {p: rc.ever(facts, p, *codes) for p in facts.index}


@pytest.mark.parametrize(
    ("column", "codes"), [("months_since_cabg", ["P232717009"]), ("months_since_mi", ["C22298006"])]
)
def test_time_since(cohort, facts, column, codes):
    last = {p: rc.last_day(facts, p, *codes) for p in facts.index}
    found = rc.cells(cohort, column)
    for n in (6, 113, 114, 154, 155):
        expected = {p: rc.within(d, INDEX, n) for p, d in last.items()}
        assert {p: None if v is None else v <= n for p, v in found.items()} == expected


def exposure(facts, orders, pid, recent=28):
    """All of these requests have a reason: to the end of its supply one surely counts, without it on its first day."""
    mine = orders.get(pid, ())
    sure = rc.longest_run([(start, stop if stop < INDEX else start) for start, stop in mine], INDEX, recent=recent)
    most = rc.longest_run(mine, INDEX, recent=recent)
    return (sure, most) if sure < most else most or (0 if rc.observed(facts, pid) else None)


def test_products_are_read_as_their_ingredient(cohort, facts, immunosuppressants):
    for column, recent in (("nonsteroid_is_days", 28), ("nonsteroid_is_days_ever", None)):
        found = rc.cells(cohort, column)
        expected = {p: exposure(facts, immunosuppressants, p, recent) for p in facts.index}
        differing = {p[-6:] for p in found if found[p] != expected[p]}
        assert differing == set(), column
    assert sum(isinstance(v, tuple) for v in expected.values()) >= 3


def test_a_kidney_recipient_takes_tacrolimus_for_another_disease(cohort, facts):
    (pid,) = (p for p in facts.index if p.endswith(GRAFT))
    # One supply of 90 days, long before the index date.
    assert (rc.cells(cohort, "nonsteroid_is_days")[pid], rc.cells(cohort, "nonsteroid_is_days_ever")[pid]) == (0, 90)


def test_allergy_lists(cohort, both):
    facts, everything = both
    listed = {recount_fhir.of(i) for i in everything if i["resourceType"] == "AllergyIntolerance"}
    assert rc.cells(cohort, "severe_allergy") == {p: False if p in listed else None for p in facts.index}


def test_every_verdict_and_the_funnel(screening, facts, immunosuppressants):
    names = ("I1.1", "I4", "I5.1", "I5.3", "E2.2", "E3.1", "E3.2", "E4.1", "E5.1", "E5.2")
    expected = {c: {} for c in names}
    for pid in facts.index:
        hb, plt, creatinine = (pick(facts, pid, c, 14) for c in LABS)
        liver = [over_limit(facts, pid, c, 14) for c in OVER_LIMIT]
        expected["I1.1"][pid] = bool(rc.events(facts, pid, "C91861009"))
        expected["I4"][pid] = rc.age_18_to_70(facts, pid)
        expected["I5.1"][pid] = hb and hb[0] > 60
        expected["I5.3"][pid] = plt and plt[0] > 30
        expected["E2.2"][pid] = rc.long_use(facts, pid, immunosuppressants, {})
        expected["E3.1"][pid] = rc.negated(rc.ever(facts, pid, "C88805009", "C84114007"))
        expected["E3.2"][pid] = rc.heart_attack_or_bypass(facts, pid, ["C22298006"], ["P232717009"])
        expected["E4.1"][pid] = rc.not_pregnant(facts, pid, "C72892002", "C77386006")
        expected["E5.1"][pid] = rc.negated(rc.any_of(*(v and v[0] > 3 for v in liver)))
        expected["E5.2"][pid] = creatinine and creatinine[0] < 178
    for criterion, verdict in expected.items():
        found = rc.verdicts(screening, criterion)
        differing = {p[-6:] for p in verdict if found[p] != verdict[p]}
        assert differing == set(), criterion
    funnel = fz.attrition(screening)
    assert rc.counted(funnel, expected) == rc.funnel(facts.index, expected)
    excluded = funnel["n_excluded"]
    assert excluded[excluded > 0].to_dict() == {"E4.1": 2, "E5.2": 2}
    assert funnel["n_remaining"].iloc[-1] == 44


def test_three_cells_of_every_column(cohort):
    assert len(rc.frozen("fhir_pysynthea_aml60")) == 47
    assert rc.differing(cohort, "fhir_pysynthea_aml60") == []
