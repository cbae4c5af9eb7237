"""Nothing dated after the index date is ever read: deleting, shuffling or inventing later events changes nothing."""

import csv
import datetime as dt
import random

import pytest
from pandas.testing import assert_frame_equal

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of, monthly
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
    _invent_later_events(folder)
    return folder


def _invent_later_events(folder):
    """One event of every table after the index date, for every fourth patient, as extreme as possible."""
    rng = random.Random(3)
    ids = [f"P{i:07d}" for i in range(1, 301, 4)]
    lines = {
        "diagnoses": "{d},C92.4,acute promyelocytic leukaemia,primary,confirmed",
        "labs": "{d},,,,718-7,,20,,g/L,,,,",
        "medications": "{d},,H02AB07,,prednisone,100,mg,qd,po,0,asthma,ordered",
        "procedures": "{d},36.10,bypass",
        "courses": "99,induction,{d},,intensive",
        "responses": "{d},99,salvage,DA,CR,1,negative,1",
        "transplants": "{d},allogeneic,sibling,Flu/Bu,ongoing,IV,severe,active,{d}",
        "echo": "{d},20,echo",
        "performance": "{d},ECOG,4",
        "infections": "{d},1,severe,0",
        "allergies": "{d},fludarabine,severe,active",
        "repro": "{d},1,1,1",
        "transfusions": "{d},red cells",
    }
    for name, line in lines.items():
        with (folder / f"{name}.csv").open("a", encoding="utf-8") as out:
            for pid in ids:
                day = INDEX + dt.timedelta(days=rng.randint(1, 200))
                out.write(pid + "," + line.format(d=day.isoformat()) + "\n")


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
