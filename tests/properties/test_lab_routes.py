"""Picking laboratory results by arrays, by SQL and by a plain loop over the events gives the same cohort."""

import dataclasses
import datetime as dt
import random
from collections import Counter

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal

from feasibility.cohort import lab_pick, window_events
from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import after_event, as_of, at_changes, monthly
from feasibility.cohort.schema import CohortTable
from feasibility.sources.events import TABLES
from feasibility.sources.extract import Extract
from feasibility.trials.aml import AML_COLUMNS

DAY, BORN = dt.date(2025, 6, 30), dt.date(1960, 3, 1)
NAMES = ("hemoglobin_g_l", "platelets_10e9_l", "creatinine_umol_l", "creatinine_earlier_umol_l", "alt_x_uln",
         "pb_blast_percent", "hbv_dna_iu_ml")  # fmt: skip
WRITTEN = {
    "718-7": ["g/L", "g/dL", "", None, "mmol/L", "furlong"], "777-3": ["10*9/L", "K/uL", None, "g/L"],
    "2160-0": ["umol/L", "mg/dL", None], "1742-6": ["U/L", "ukat/L", None], "26446-5": ["%", None],
    "11258-0": ["IU/mL", "copies/mL", "log IU/mL", None], "2345-7": ["mmol/L"], None: ["g/L", None],
}  # fmt: skip
PEOPLE = [f"P{i:02d}" for i in range(25)]


def a_lab(rng, row_id, limits=True):
    code = rng.choice(list(WRITTEN))
    first = DAY - dt.timedelta(days=rng.choice([0, 1, 5, 5, 20, 60, 89, 90, 91, 120, 200, 400, -3, -40]))
    last = first + dt.timedelta(days=rng.choice([0] * 9 + [1, 29, 364]))
    undated = rng.random() < 0.07
    mark = rng.choice([None] * 6 + ["<", ">", "<=", ">="]) if limits else None
    value = rng.choice([None, 0.0, 0.5, 7.1, 8.5, 85.0, 85.0, 120.0, 900.0, 5e5, -1.0, round(rng.uniform(1, 200), 2)])
    return {
        "row_id": row_id, "fact_id": str(row_id), "pid": rng.choice([*PEOPLE, "stranger", None]),
        "date": None if undated else first, "date_last": None if undated else last,
        "system": "loinc" if code else rng.choice([None, "local"]), "code": code,
        "local_name": rng.choice([None, "HGB", "血红蛋白", "glucose"]) if code is None else "glucose",
        "value_num": value,
        "value_text": None if value is not None else rng.choice([None, "not detected", "haemolysed"]),
        "comparator": mark, "unit": rng.choice(WRITTEN[code]),
        "ref_high": rng.choice([None, 40.0, 35.0, 0.0]),
    }  # fmt: skip


def arrow(name, rows):
    schema = ibis.schema(TABLES[name].physical()).to_pyarrow()
    return pa.Table.from_pylist([{n: r.get(n) for n in schema.names} for r in rows], schema=schema)


def extract(seed, n=1200, people=PEOPLE, limits=True):
    rng = random.Random(seed)
    con = ibis.duckdb.connect()
    data = {
        "patients": [{"row_id": i, "pid": p, "birth_date": BORN, "birth_date_last": BORN}
                     for i, p in enumerate(people)],
        "labs": [a_lab(rng, i, limits) for i in range(n)],
        "diagnoses": [{"row_id": i, "pid": rng.choice(people), "dx_date": day, "dx_date_last": day, "system": "icd10",
                       "code": "C92.0"} for i in range(12) for day in [DAY - dt.timedelta(days=i)]],
    }  # fmt: skip
    for name, rows in data.items():
        con.create_table(name, arrow(name, rows))
    return Extract({name: con.table(name) for name in data}, "messy")


def columns(**changes):
    """The declared columns, some with another statistic."""
    chosen = AML_COLUMNS.select([n for n in NAMES if n in AML_COLUMNS])
    return CohortTable([dataclasses.replace(c, **changes.get(c.name, {})) for c in chosen.columns
                        if not c.name.startswith("days_since_")])  # fmt: skip


def both(monkeypatch, source, index, table, settings=None):
    """The cohort by arrays, and by SQL."""
    made = [build_cohort(source, index, table, settings)]
    monkeypatch.setattr(window_events, "picks", lab_pick.SqlPicks)
    return [*made, build_cohort(source, index, table, settings)]


INDICES = {
    "one date": as_of(DAY), "every month": monthly("2025-03-30", "2025-06-30", observed_months=None),
    "after a diagnosis": after_event("diagnoses", which="first"), "each change": at_changes("2025-05-01", "2025-06-30"),
}  # fmt: skip
SETTINGS = {
    "declared": {}, "best of a day": {"hemoglobin_g_l.ties": "best", "platelets_10e9_l.ties": "last"},
    "means": {"hemoglobin_g_l.ties": "mean", "platelets_10e9_l.ties": "mean", "alt_x_uln.ties": "mean"},
    "wide": {"hemoglobin_g_l.window_days": 365, "creatinine_umol_l.window_days": 10, "alt_x_uln.uln_fallback": 40},
}  # fmt: skip


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_arrays_and_sql_give_the_same_cohort_and_reasons(monkeypatch, index, settings):
    seed = 10 * list(INDICES).index(index) + list(SETTINGS).index(settings)
    mine, sql = both(monkeypatch, extract(seed), INDICES[index], columns(), SETTINGS[settings])
    assert_frame_equal(mine, sql, rtol=1e-12 if settings == "means" else 0, atol=0, check_exact=settings != "means")
    facts, others = mine.attrs["feasibility"], sql.attrs["feasibility"]
    assert facts["unknown"] == others["unknown"]
    assert facts["events"] == others["events"]
    assert len({r for reasons in facts["unknown"].values() for r in reasons}) >= 4


@pytest.mark.parametrize("index", INDICES)
def test_first_and_worst_are_the_same_by_both(monkeypatch, index):
    changed = {"hemoglobin_g_l": {"statistic": "worst"}, "platelets_10e9_l": {"statistic": "first"},
               "alt_x_uln": {"statistic": "worst"}}  # fmt: skip
    mine, sql = both(monkeypatch, extract(77), INDICES[index], columns(**changed))
    assert_frame_equal(mine, sql)
    assert mine.attrs["feasibility"]["unknown"] == sql.attrs["feasibility"]["unknown"]


FACTORS = {"g/L": 1.0, "g/dL": 10.0, "mmol/L": 16.114}


def by_loop(labs, person, at):
    """(haemoglobin, its age, why it is unknown) by the declared rules, one result after the other."""
    best, old, undated, seen, partial = None, False, False, set(), None
    for lab in labs:
        named = lab["code"] is None and lab["local_name"] in ("HGB", "血红蛋白")
        if lab["pid"] != person or not (lab["code"] == "718-7" or named):
            continue
        value, unit = lab["value_num"], lab["unit"]
        if lab["date"] is None:
            undated |= value is not None
            continue
        age = (at - lab["date"]).days
        if age < 0:
            continue
        if age > 90:
            old |= value is not None
            continue
        if value is not None and lab["date"] == lab["date_last"] and not unit:
            fits = [u for u, f in FACTORS.items() if 10 <= round(value * f, 9) <= 250]
            unit = fits[0] if len(fits) == 1 else None
        if value is None:
            seen.add(0)
        elif lab["date"] != lab["date_last"]:
            seen.add(1)
            partial = max(partial or lab["date_last"], lab["date_last"])
        elif unit not in FACTORS:
            seen.add(2)
        elif not 10 <= value * FACTORS[unit] <= 250:
            seen.add(3)
        else:
            key = -age, -value * FACTORS[unit], lab["row_id"]
            best = max(best or key, key)
    if best is None:
        whys = "missing", "date_imprecise", "unit_unknown", "out_of_range"
        why = whys[min(seen)] if seen else "stale" if old else "date_missing" if undated else "missing"
        return None, None, why
    if partial and partial > at + dt.timedelta(days=best[0]):
        return None, None, "date_imprecise"
    return -best[1], -best[0], None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_haemoglobin_is_what_a_loop_over_the_results_finds(seed):
    source = extract(seed, 700, [f"P{i:02d}" for i in range(60)], limits=False)
    labs = source.tables["labs"].to_pyarrow().to_pylist()
    cohort = build_cohort(source, as_of(DAY), columns())
    reasons = Counter()
    for (person, _), row in cohort.iterrows():
        value, age, why = by_loop(labs, person, DAY)
        reasons[why] += 1
        if why:
            assert row["hemoglobin_g_l"] is pd.NA
        else:
            assert row["hemoglobin_g_l"] == pytest.approx(value, rel=1e-11)
            assert row["days_since_hemoglobin_g_l"] == age
    assert reasons.pop(None) >= 3
    assert cohort.attrs["feasibility"]["unknown"]["hemoglobin_g_l"] == reasons


def test_the_order_of_the_patients_table_and_strangers_do_not_matter(monkeypatch):
    usual, other = (build_cohort(extract(5, people=p), as_of(DAY), columns()) for p in (PEOPLE, PEOPLE[::-1]))
    assert_frame_equal(usual, other)
