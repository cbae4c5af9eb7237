"""Nothing dated after the index date is ever read: deleting, shuffling or inventing later events changes nothing."""

import csv
import datetime as dt
import random

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from feasibility.cohort import codelists, window_events
from feasibility.cohort.build import build_cohort
from feasibility.cohort.event_rows import Rows
from feasibility.cohort.index_dates import as_of, monthly
from feasibility.sources.events import TABLES
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events_native import LAYOUT, write_native
from feasibility.trials.aml_registry import synthetic_registry

INDEX = dt.date(2025, 6, 30)
WHEN = {
    "diagnoses": "dx_date", "labs": "sample_datetime", "medications": "order_start", "courses": "start",
    "responses": "assess_date", "flow": "date",
}  # fmt: skip
PLANS = {"is_stop_date", "order_stop", "stop"}
"""A stop date after the index date is a plan made before it (specification, 9.3)."""


def later(text: str) -> bool:
    return text[:10] > INDEX.isoformat()


def changed(folder, target, change):
    """Copy an extract; ``change(table, header, row)`` gives the rows that stand for a row after the index date."""
    target.mkdir()
    for name, columns in LAYOUT.items():
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as source:
            header, *rows = list(csv.reader(source))
        date = WHEN.get(name, "date")
        at = header.index(date) if date in header else None
        kept = []
        for row in rows:
            kept += change(name, header, row) if at is not None and later(row[at]) else [row]
        with (target / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([list(columns), *kept])
    return target


@pytest.fixture(scope="module")
def extract_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extract") / "full"
    write_native(synthetic_registry(300, seed=11), folder)
    (folder / "SYNTHETIC.txt").unlink()  # a copy of the tables does not carry it
    rng = random.Random(3)
    _invent_events(folder, lambda: INDEX + dt.timedelta(days=rng.randint(1, 200)))
    return folder


WITHOUT_EVENTS = {"synthetic", "site_id", "age_years", "age_exact_years", "sex"}
"""Columns that no dated event goes into."""


def test_every_table_and_column_has_something_to_leak(extract_folder, whole, tmp_path):
    """The invented events matter: before the index date they change every column that is made from events."""
    assert set(extreme_lines()) == set(LAYOUT) == set(TABLES) - {"observed"}
    for name in set(LAYOUT) - {"patients"}:
        with (extract_folder / f"{name}.csv").open(encoding="utf-8", newline="") as source:
            header, *rows = list(csv.reader(source))
        assert any(later(row[header.index(WHEN.get(name, "date"))]) for row in rows), name
    earlier = changed(extract_folder, tmp_path / "earlier", lambda *_: [])
    _invent_events(earlier, lambda: INDEX - dt.timedelta(days=2))
    other = cohort(earlier)
    same = {name for name in AML_COLUMNS if whole[name].equals(other[name])}
    assert same == WITHOUT_EVENTS


@pytest.mark.parametrize("leak", ["events", "laboratory"])
def test_a_planted_leak_is_found(extract_folder, whole, tmp_path, monkeypatch, leak):
    def looking_ahead(function):
        def run(rows, *args, **more):
            if leak == "events" and args[1] != "dx_date":
                return function(rows, *args, **more)
            ahead = rows.index + np.timedelta64(100, "D")
            other = Rows(rows.extract, rows.ids, ahead, rows.columns, rows.settings, rows.folders)
            try:
                return function(other, *args, **more)
            finally:
                other.close()

        return run

    if leak == "events":
        monkeypatch.setattr(Rows, "fetch", looking_ahead(Rows.fetch))
    else:
        monkeypatch.setattr(window_events, "picks", looking_ahead(window_events.picks))
    assert not whole.equals(cohort(extract_folder))


def _one_of(column, system):
    """A code of the column's list in that system, or a local name."""
    found = codelists.matches(column.codelist)
    exact, prefixes = found.get(system, ((), ()))
    code = next(iter(exact + prefixes), "")
    return code, next(iter(found.get("local", (("",), ()))[0]), "") if not code else ""


def extreme_lines():
    """Lines of every table, as extreme as possible, with {d} for the day: each declared column has its event."""
    lines = {
        "patients": [],
        "diagnoses": ["{d},C92.4,acute promyelocytic leukaemia,primary,confirmed", "{d},B18.1,hepatitis B controlled,,",
                      "{d},I42.0,severe,,", "{d},R55,unexplained,,", "{d},O92.1,,,", "{d},A41.9,,,"],
        "labs": [], "procedures": ["{d},36.10,bypass", "{d},41.05,transplant"],
        "medications": ["{d},,H02AB07,,prednisone,100,mg,qd,po,0,asthma,ordered",
                        "{d},2026-06-01,H02AB07,,prednisone,100,mg,qd,po,0,asthma,ordered",
                        "{d},,L04AD02,,tacrolimus,2,mg,bid,po,0,lupus,ordered",
                        "{d},{d},J01DH02,,meropenem,1,g,q8h,iv,0,sepsis,ordered"],
        "courses": [f"99,{phase},{{d}},,intensive" for phase in ("induction", "consolidation", "salvage")],
        "responses": ["{d},98,induction,DA,CR_MRDneg,1,negative,0", "{d},98,salvage,DA,CR_MRDneg,1,negative,0",
                      "{d},99,consolidation,DA,relapse,90,positive,1"],
        "transplants": ["{d},allogeneic,sibling,Flu/Bu,ongoing,IV,severe,active,{d}"],
        "echo": ["{d},6,echo"], "performance": ["{d},ECOG,4", "{d},NYHA,IV"], "infections": ["{d},1,severe,0"],
        "allergies": ["{d},fludarabine,severe,active", "{d},chlorpromazine,severe,active"],
        "flow": ["EX02,0,blood,{d}"], "repro": ["{d},1,1,1"], "transfusions": ["{d},red cells", "{d},platelets"],
    }  # fmt: skip
    for column in AML_COLUMNS.columns:
        if "labs" in column.tables and column.codelist:
            loinc, local = _one_of(column, "loinc")
            number = column.statistic == "latest"
            low = (column.measured or column).hard[0] if number and (column.measured or column).hard else 0
            unit = ((column.measured.unit if column.measured else "") or column.unit) if number else ""
            value = f",{low + 0.5},,{unit},,{low + 0.5}" if number else "positive,,,,,"
            lines["labs"].append(f"{{d}},{{d}},,{local},{loinc},{value},,")
        if column.statistic == "ever":
            lines["diagnoses"].append(f"{{d}},{_one_of(column, 'icd10')[0]},,,confirmed")
        if column.statistic == "months_since" and "diagnoses" == column.tables[0]:
            text = "" if column.words is None else "sustained, unexplained"
            lines["diagnoses"].append(f'{{d}},{_one_of(column, "icd10")[0]},"{text}",,confirmed')
    return lines


def _invent_events(folder, day):
    """The extreme lines for every fourth patient, on the days that ``day`` gives."""
    ids = [f"P{i:07d}" for i in range(1, 301, 4)]
    for name, lines in extreme_lines().items():
        with (folder / f"{name}.csv").open("a", encoding="utf-8") as out:
            for pid in ids:
                for line in lines:
                    out.write(pid + "," + line.format(d=day().isoformat()) + "\n")


def cohort(folder, index=None):
    return build_cohort(read_extract(folder), index or as_of(INDEX), AML_COLUMNS)


def unknown(frame):
    return frame.attrs["feasibility"]["unknown"]


@pytest.fixture(scope="module")
def whole(extract_folder):
    return cohort(extract_folder)


def test_deleting_later_events_changes_nothing(extract_folder, whole, tmp_path):
    without = cohort(changed(extract_folder, tmp_path / "without", lambda *_: []))
    assert_frame_equal(whole, without)
    assert unknown(whole) == unknown(without)


def test_shuffling_later_events_changes_nothing(extract_folder, whole, tmp_path):
    rng = random.Random(5)

    def elsewhere(name, header, row):
        row = list(row)
        for i, column in enumerate(header):
            if column == "pid":
                row[i] = f"P{rng.randint(1, 300):07d}"
            elif column in ("value_num", "bm_blast_pct", "lvef", "score", "dose"):
                row[i] = str(rng.randint(0, 90))
            elif column not in PLANS and len(row[i]) >= 10 and row[i][:2] == "20" and later(row[i]):
                row[i] = (INDEX + dt.timedelta(days=rng.randint(1, 900))).isoformat()
        return [row] * rng.randint(0, 3)

    assert_frame_equal(whole, cohort(changed(extract_folder, tmp_path / "shuffled", elsewhere)))


def test_the_order_of_the_lines_changes_nothing_but_ties_of_identical_rows(extract_folder, whole, tmp_path):
    target = tmp_path / "reversed"
    target.mkdir()
    for name in LAYOUT:
        header, *lines = (extract_folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        if name in ("labs", "echo", "performance", "diagnoses", "medications", "patients"):
            lines.reverse()
        (target / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    assert_frame_equal(whole, cohort(target))


def test_each_of_several_index_dates_gives_what_it_gives_alone(extract_folder):
    several = cohort(extract_folder, monthly("2025-04-30", "2025-06-30", observed_months=None))
    for day in ("2025-04-30", "2025-05-30", "2025-06-30"):
        alone = cohort(extract_folder, as_of(day))
        mine = several[several.index.get_level_values("index_date") == day]
        common = [c for c in mine.columns if c in alone.columns]
        exact = [c for c in common if not c.endswith("__upper")]
        assert_frame_equal(mine[exact], alone[exact], obj=day)
