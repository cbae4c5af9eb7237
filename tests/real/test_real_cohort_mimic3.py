"""Intensive care patients (MIMIC-III demo) from raw tables to the funnel, recounted with nothing but the csv module."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import sys

import pytest
from helpers import ROOT, SHARED
from real import recount as rc

import feasibility as fz

DATA = SHARED / "data" / "mimic3_demo"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data set mimic3_demo is not here")
HB, PLT, CREATININE, HBSAG, ANTI_HCV = "51222", "51265", "50912", "50941", "50943"


def table(name):
    path = next(DATA.glob(f"{name}.csv*"))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def value(row):
    text = row["valuenum"] or row["value"].lstrip("<")
    try:
        return float(text)
    except ValueError:
        return None


@pytest.fixture(scope="module")
def facts():
    gas = {r["itemid"] for r in table("d_labitems") if r["category"] == "Blood Gas"}
    index, labs = {}, [r for r in table("labevents") if r["itemid"] not in gas]
    for r in labs:
        index[r["subject_id"]] = max(index.get(r["subject_id"], dt.date.min), rc.day(r["charttime"]))
    stays = {r["hadm_id"]: (rc.day(r["admittime"]), rc.day(r["dischtime"])) for r in table("admissions")}
    first = {}
    for r in table("admissions"):
        first[r["subject_id"]] = min(first.get(r["subject_id"], dt.date.max), rc.day(r["admittime"]))
    people = {}
    for r in table("patients"):
        pid, born = r["subject_id"], rc.day(r["dob"])
        if first[pid].year - born.year > 200:  # older than 89: at least 90 on the first day
            born = (
                rc.months_before(first[pid], 116 * 12) + dt.timedelta(days=1),
                rc.months_before(first[pid], 90 * 12),
            )
        people[pid] = (born, {"F": "female", "M": "male"}[r["gender"]])
    result = rc.Facts(people, index)
    for name in ("diagnoses_icd", "procedures_icd"):
        for r in table(name):
            kind = "D" if name == "diagnoses_icd" else "P"
            result.add("coded", r["subject_id"], (stays[r["hadm_id"]][1], kind + r["icd9_code"]))
    for r in labs:
        result.add("labs", r["subject_id"], (rc.day(r["charttime"]), r["itemid"], value(r), r["value"]))
        result.add("seen", r["subject_id"], rc.day(r["charttime"]))
    return result


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "examples"))
    from mimic3_events import events

    folder = events(DATA, tmp_path_factory.mktemp("mimic3"))
    extract = fz.read_extract(folder, ROOT / "examples" / "mimic3.toml")
    last = fz.after_event("labs", which="last", alive=False)
    return fz.build_cohort(extract, last, fz.load_trial("NCT06642025").columns)


@pytest.fixture(scope="module")
def screening(cohort):
    return fz.screen(cohort, fz.load_trial("NCT06642025"))


def test_the_index_date_is_the_last_result(cohort, facts):
    assert {p: d.date() for p, d in cohort.index} == facts.index


def test_ages_and_those_over_89(cohort, facts):
    found = rc.cells(cohort, "age_years")
    expected = {p: rc.age(facts, p) for p in facts.people}
    assert found == {p: a if a == b else (a, b) for p, (a, b) in expected.items()}
    old = {p for p, a in found.items() if isinstance(a, tuple)}
    assert len(old) == 8
    assert all(found[p][0] >= 90 for p in old)
    assert rc.cells(cohort, "sex") == {p: sex for p, (_, sex) in facts.people.items()}


@pytest.mark.parametrize(
    ("column", "item", "factor", "low", "high", "worse"),
    [
        ("hemoglobin_g_l", HB, 10, 10, 250, min),
        ("platelets_10e9_l", PLT, 1, 0, 3000, min),
        ("creatinine_umol_l", CREATININE, 88.42, 10, 2500, max),
    ],
)
def test_latest_values(cohort, facts, column, item, factor, low, high, worse):
    picked = {p: rc.latest(facts, p, {item}, 90, low / factor, high / factor, worse) for p in facts.people}
    found, days = rc.cells(cohort, column), rc.cells(cohort, f"days_since_{column}")
    for pid, pick in picked.items():
        if pick is None:
            assert found[pid] is None, pid
        else:
            assert found[pid] == pytest.approx(pick[0] * factor, rel=1e-9), pid
            assert days[pid] == pick[1], pid


def test_a_dictionary_that_exchanges_shares_and_counts_does_no_harm(cohort, tmp_path, monkeypatch):
    """Uncorrected, the lymphocytes' share stands under the code of their count: its unit sets it aside."""
    import mimic3_events

    monkeypatch.setattr(mimic3_events, "WRONG_LOINC", {"0": ""})
    extract = fz.read_extract(mimic3_events.events(DATA, tmp_path), ROOT / "examples" / "mimic3.toml")
    last = fz.after_event("labs", which="last", alive=False)
    raw = fz.build_cohort(extract, last, fz.load_trial("NCT06642025").columns)
    for column in ("lymphocytes_10e9_l", "cd3_10e9_l", "cd3_percent_of_lymphocytes", "pb_blast_percent"):
        assert raw[column].isna().all()
    assert raw.attrs["feasibility"]["unknown"]["lymphocytes_10e9_l"]["unit_unknown"] == 84
    for column in ("hemoglobin_g_l", "platelets_10e9_l"):  # words such as LOW and DONE take no value's place
        assert rc.cells(raw, column) == rc.cells(cohort, column)
    assert cohort["pb_blast_percent"].notna().sum() == 3


EVER = {
    "gilbert": ["D2774"], "aids_history": ["D042*"], "nonischemic_cardiomyopathy": ["D425*"],
    "heart_failure": ["D428*", "D39891", *(f"D{c}" for c in "40201 40211 40291 40401 40403".split()),
                      *(f"D{c}" for c in "40411 40413 40491 40493".split())],
    "hsct": ["P410*", "DV4281", "DV4282", "D99685"],
}  # fmt: skip
SINCE = {
    "months_since_mi": ["D410*"], "months_since_cabg": ["P361*"], "months_since_hepatitis_a": ["D0700", "D0701"],
    "months_since_ventricular_arrhythmia": ["D4271", "D4274*"],
}  # fmt: skip


@pytest.mark.parametrize("column", EVER)
def test_ever_diagnosed(cohort, facts, column):
    assert rc.cells(cohort, column) == {p: rc.ever(facts, p, *EVER[column]) for p in facts.people}


@pytest.mark.parametrize("column", SINCE)
def test_time_since(cohort, facts, column):
    last = {p: rc.last_day(facts, p, *SINCE[column]) for p in facts.people}
    found = rc.cells(cohort, column)
    assert {p: v == rc.NEVER for p, v in found.items()} == {p: d is rc.NEVER for p, d in last.items()}
    for n in (0, 1, 3, 6, 7):
        inside = {p: v <= n for p, v in found.items()}
        assert inside == {p: rc.within(d, facts.index[p], n) for p, d in last.items()}


@pytest.mark.parametrize(("column", "item", "window"), [("hbsag", HBSAG, 180), ("anti_hcv", ANTI_HCV, 180)])
def test_serology(cohort, facts, column, item, window):
    expected = {}
    for pid, at in facts.index.items():
        mine = [r for r in facts.labs[pid] if r[1] == item and (at - r[0]).days <= window]
        newest = max((r[0] for r in mine), default=None)
        texts = {r[3] for r in mine if r[0] == newest}
        expected[pid] = True if "POSITIVE" in texts else False if texts == {"NEGATIVE"} else None
    assert rc.cells(cohort, column) == expected
    assert False in expected.values()


def test_days_on_steroids_are_at_most_those_ordered(cohort, facts):
    """No order says what for, so the days on steroids for another disease lie between none and all of them."""
    drugs = ("prednis", "methylpredn", "dexameth", "hydrocort")
    orders = {p: [] for p in facts.people}
    for r in table("prescriptions"):
        local = any(w in r["drug"].lower() for w in ("ophth", "neomycin")) or r["route"] == "IT"
        if r["drug"].lower().startswith(drugs) and not local:
            orders[r["subject_id"]].append((rc.day(r["startdate"]), rc.day(r["enddate"])))
    most = {p: rc.longest_run(o, facts.index[p]) for p, o in orders.items()}
    assert rc.cells(cohort, "steroid_days") == {p: 0 if n == 0 else (0, n) for p, n in most.items()}
    ever = {p: rc.longest_run(o, facts.index[p], recent=None) for p, o in orders.items()}
    assert rc.cells(cohort, "steroid_days_ever") == {p: 0 if n == 0 else (0, n) for p, n in ever.items()}
    assert sum(n > 0 for n in most.values()) > 20


def recent(facts, pid, item, factor, low, high, worse):
    pick = rc.latest(facts, pid, {item}, 14, low / factor, high / factor, worse)
    return None if pick is None else pick[0] * factor


def expected_verdicts(facts):
    result = {c: {} for c in ("I4", "I5.1", "I5.3", "E3.2", "E3.3", "E5.2")}
    for pid, at in facts.index.items():
        low, high = rc.age(facts, pid)
        result["I4"][pid] = True if low >= 18 and high <= 70 else False if high < 18 or low > 70 else None
        hb = recent(facts, pid, HB, 10, 10, 250, min)
        plt = recent(facts, pid, PLT, 1, 0, 3000, min)
        creatinine = recent(facts, pid, CREATININE, 88.42, 10, 2500, max)
        result["I5.1"][pid] = None if hb is None else hb > 60
        result["I5.3"][pid] = None if plt is None else plt > 30
        result["E5.2"][pid] = None if creatinine is None else creatinine < 178
        heart = [rc.within(rc.last_day(facts, pid, c), at, 6) for c in ("D410*", "P361*")]
        result["E3.2"][pid] = not any(heart)
        rhythm = rc.ever(facts, pid, "D4271", "D4274*")
        faint = bool(rc.events(facts, pid, "D7802"))  # its cause is not recorded
        result["E3.3"][pid] = False if rhythm else None if faint else True
    return result


def test_every_verdict_and_the_funnel(screening, facts):
    expected = expected_verdicts(facts)
    for criterion, verdict in expected.items():
        assert rc.verdicts(screening, criterion) == verdict, criterion
    funnel = fz.attrition(screening)
    assert rc.counted(funnel, expected) == rc.funnel(facts.people, expected)
    excluded = funnel["n_excluded"]
    assert excluded[excluded > 0].to_dict() == {"I4": 65, "I5.3": 2, "E3.2": 2, "E3.3": 1, "E5.2": 7}
    assert funnel["n_remaining"].iloc[-1] == 23


def test_three_cells_of_every_column(cohort):
    assert len(rc.frozen("mimic3_demo")) == 45
    assert rc.differing(cohort, "mimic3_demo") == []
