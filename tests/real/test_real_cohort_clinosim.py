"""A community hospital (clinosim) from its event tables to the funnel, recounted with nothing but the csv module."""

from __future__ import annotations

import csv
import gzip
import sys

import pytest
from helpers import ROOT, SHARED
from real import recount as rc

import feasibility as fz

DATA = SHARED / "data" / "clinosim_us_2000"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data set clinosim_us_2000 is not here")
INDEX = rc.day("2025-06-30")
ULN = 40.0


def table(name):
    path = next(DATA.glob(f"{name}.csv*"))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def facts():
    ages = {r["patient_id"]: int(r["age"]) for r in table("patients")}
    sexes = {r["patient_id"]: {"F": "female", "M": "male"}[r["sex"]] for r in table("patients")}
    stays = {r["encounter_id"]: r for r in table("encounters")}
    dead = {r["patient_id"] for r in table("diagnoses") if r["deceased"] == "True"}
    result = rc.Facts({p: (ages[p], sexes[p]) for p in ages}, {p: INDEX for p in ages if p not in dead})
    first = {}
    for r in stays.values():
        start, stop = rc.day(r["admission_datetime"]), rc.day(r["discharge_datetime"])
        result.add("periods", r["patient_id"], (start, stop))
        first[r["patient_id"]] = min(first.get(r["patient_id"], start), start)
    for r in table("diagnoses"):
        stay = stays[r["encounter_id"]]
        ended = stay["discharge_datetime"]
        when = rc.day(ended or stay["admission_datetime"])
        code = r["discharge_diagnosis_code"] if ended else r["admission_diagnosis_code"]
        result.add("coded", r["patient_id"], (when, code))
    for r in table("patients"):
        for code in filter(None, r["chronic_conditions"].split("|")):
            result.add("coded", r["patient_id"], (first[r["patient_id"]], code))
    for r in table("procedures"):
        result.add("coded", r["patient_id"], (rc.day(r["start_datetime"]), "P" + r["procedure_code"]))
    for r in table("lab_results"):
        result.add("labs", r["patient_id"], (rc.day(r["result_datetime"]), r["lab_name"], float(r["value"])))
    return result


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "examples"))
    from clinosim_events import events

    folder = events(DATA, tmp_path_factory.mktemp("clinosim"))
    extract = fz.read_extract(folder, ROOT / "examples" / "clinosim_events.toml")
    limits = {"ast_x_uln.uln_fallback": ULN, "alt_x_uln.uln_fallback": ULN}
    columns = fz.load_trial("NCT06642025").columns
    return fz.build_cohort(extract, fz.as_of(INDEX), columns, settings=limits)


@pytest.fixture(scope="module")
def screening(cohort):
    return fz.screen(cohort, fz.load_trial("NCT06642025"))


def test_one_row_a_person_alive(cohort, facts):
    assert sorted(p for p, _ in cohort.index) == sorted(facts.index)
    assert len(facts.people) - len(facts.index) == 7
    assert rc.cells(cohort, "age_years") == {p: facts.people[p][0] for p in facts.index}
    assert rc.cells(cohort, "sex") == {p: facts.people[p][1] for p in facts.index}


LABS = {
    "hemoglobin_g_l": ("Hb", 10, 10, 250, min), "platelets_10e9_l": ("Plt", 1, 0, 3000, min),
    "creatinine_umol_l": ("Creatinine", 88.42, 10, 2500, max), "ast_x_uln": ("AST", 1 / ULN, 1 / ULN, 2000, max),
    "alt_x_uln": ("ALT", 1 / ULN, 1 / ULN, 2000, max),
}  # fmt: skip


def pick(facts, pid, column, window):
    item, factor, low, high, worse = LABS[column]
    found = rc.latest(facts, pid, {item}, window, low / factor, high / factor, worse)
    return None if found is None else (found[0] * factor, found[1])


@pytest.mark.parametrize("column", LABS)
def test_latest_values(cohort, facts, column):
    found, days = rc.cells(cohort, column), rc.cells(cohort, f"days_since_{column}")
    for pid in facts.index:
        expected = pick(facts, pid, column, 90)
        assert (found[pid] is None) == (expected is None), pid
        if expected:
            assert found[pid] == pytest.approx(expected[0], rel=1e-9), pid
            assert days[pid] == expected[1], pid


EVER = {"heart_failure": ["I50*", "I11.0*"], "gilbert": ["E80.4*"], "aids_history": ["B20*", "B24*"],
        "nonischemic_cardiomyopathy": ["I42*"], "hsct": ["Z94.8*", "T86.0*", "P38240", "P38241"]}  # fmt: skip
SINCE = {"months_since_mi": ["I21*", "I22*"], "months_since_hepatitis_a": ["B15*"],
         "months_since_cabg": [f"P335{n}*" for n in (1, 2, 3)],
         "months_since_ventricular_arrhythmia": ["I47.2*", "I49.0*"]}  # fmt: skip


@pytest.mark.parametrize("column", EVER)
def test_ever_diagnosed(cohort, facts, column):
    assert rc.cells(cohort, column) == {p: rc.ever(facts, p, *EVER[column]) for p in facts.index}


@pytest.mark.parametrize("column", SINCE)
def test_time_since(cohort, facts, column):
    last = {p: rc.last_day(facts, p, *SINCE[column]) for p in facts.index}
    found = rc.cells(cohort, column)
    for n in (0, 1, 2, 3, 6, 1e9):
        expected = {p: d is not rc.NEVER if n == 1e9 else rc.within(d, INDEX, n) for p, d in last.items()}
        assert {p: v <= n for p, v in found.items()} == expected


def test_undated_prescriptions_say_nothing(cohort):
    """The source gives prescriptions without a date, so nobody is known to take nothing."""
    assert cohort["steroid_days"].isna().all()
    assert cohort["nonsteroid_is_days"].isna().all()


def expected_verdicts(facts):
    names = ("I4", "I5.1", "I5.3", "E3.1", "E3.2", "E3.3", "E4.1", "E5.1", "E5.2")
    result = {c: {} for c in names}
    pregnant = [f"O{n}*" for n in (0, 1, 2, 3, 4, 6, 7, 8)] + ["O9A*", "Z33*", "Z34*"]
    for pid in facts.index:
        age, sex = facts.people[pid]
        now = {c: (p or (None,))[0] for c in LABS if (p := pick(facts, pid, c, 14)) or True}
        hb, plt, creatinine = now["hemoglobin_g_l"], now["platelets_10e9_l"], now["creatinine_umol_l"]
        liver = [now["ast_x_uln"], now["alt_x_uln"]]
        result["I4"][pid] = 18 <= age <= 70
        result["I5.1"][pid] = None if hb is None else hb > 60
        result["I5.3"][pid] = None if plt is None else plt > 30
        result["E3.1"][pid] = None if rc.ever(facts, pid, *EVER["heart_failure"]) else True
        result["E3.2"][pid] = not rc.within(rc.last_day(facts, pid, *SINCE["months_since_mi"]), INDEX, 6)
        result["E3.3"][pid] = None if rc.events(facts, pid, "R55*") else True
        fertile = False if sex == "male" or age >= 55 else True if 18 <= age <= 49 else None
        coded = [e for e in rc.events(facts, pid, *pregnant) if (INDEX - e[0]).days <= 280]
        expecting = True if coded else False if fertile is False else None
        result["E4.1"][pid] = True if fertile is False else False if fertile and expecting else None
        # Bilirubin has no limit of normal, so nobody can be known to be free of liver disease.
        result["E5.1"][pid] = False if any(v is not None and v > 3 for v in liver) else None
        result["E5.2"][pid] = None if creatinine is None else creatinine < 178
    return result


def test_every_verdict_and_the_funnel(screening, facts):
    expected = expected_verdicts(facts)
    for criterion, verdict in expected.items():
        assert rc.verdicts(screening, criterion) == verdict, criterion
    funnel = fz.attrition(screening)
    assert rc.counted(funnel, expected) == rc.funnel(facts.index, expected)
    excluded = funnel["n_excluded"]
    assert excluded[excluded > 0].to_dict() == {"I4": 422, "E4.1": 4, "E5.1": 4, "E5.2": 3}


def test_three_cells_of_every_column(cohort):
    assert len(rc.frozen("clinosim_us_2000")) == 33
    assert rc.differing(cohort, "clinosim_us_2000") == []
