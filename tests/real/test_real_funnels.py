"""The funnel of public tables, recounted with nothing but the csv module; and the pages made of them."""

from __future__ import annotations

import csv
import datetime as dt
import subprocess
import sys

import pytest
from helpers import ROOT, SHARED

import feasibility as fz
from feasibility.report.build import build_report
from feasibility.report.html import render_html
from feasibility.report.quality_page import render_quality

DATA = SHARED / "data"
INDEX = dt.date(2025, 6, 30)
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public data sets are kept outside the project")


def number(text):
    return float(text) if text.strip() not in ("", "NA") else None


def age_ok(text):
    value = number(text)
    return value is None or 18 <= value <= 70


def recent(row, lab):
    day = row[f"{lab}_date"]
    value = number(row[lab])
    fresh = day and (INDEX - dt.date.fromisoformat(day)).days <= 14
    return value if fresh else None


def tcga(row):
    hb = number(row["lab_procedure_hemoglobin_result_specified_value"])
    plt = number(row["lab_procedure_platelet_result_specified_value"])
    if not age_ok(row["age_at_initial_pathologic_diagnosis"]):
        return "I4"
    if hb is not None and not hb * 10 > 60:
        return "I5.1"
    return "I5.3" if plt is not None and not plt > 30 else ""


def bmt(row):
    return "I1.1" if row["group"] == "1" else "" if age_ok(row["z1"]) else "I4"


def cmv(row):
    return "I1.1" if row["diagnosis"] != "acute myeloid leukemia" else "" if age_ok(row["age"]) else "I4"


def clinosim(row):
    if not age_ok(row["age"]):
        return "I4"
    if (hb := recent(row, "Hb")) is not None and not round(hb * 10, 9) > 60:
        return "I5.1"
    if (plt := recent(row, "Plt")) is not None and not plt > 30:
        return "I5.3"
    if any((v := recent(row, lab)) is not None and v / 40 > 3 for lab in ("AST", "ALT")):
        return "E5.1"
    creatinine = recent(row, "Creatinine")
    return "E5.2" if creatinine is not None and creatinine * 88.42 >= 178 else ""


@pytest.mark.parametrize(
    ("file", "mapping", "reason"),
    [
        ("tcga_laml/tcga_laml_clinical.csv", "tcga_laml", tcga),
        ("haematology_teaching/KMsurv_bmt.csv", "haematology_bmt", bmt),
        ("haematology_teaching/medicaldata_cytomegalovirus.csv", "haematology_cmv", cmv),
        ("clinosim_us_2000", "clinosim_patients", clinosim),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_the_funnel_equals_a_plain_recount(file, mapping, reason, tmp_path):
    path = DATA / file
    if path.is_dir():
        joined = tmp_path / "joined.csv"
        subprocess.run([sys.executable, ROOT / "examples" / "clinosim_join.py", path, joined], check=True)
        path = joined
    protocol = fz.load_trial("NCT06642025")
    cohort = fz.read_cohort(path, protocol.columns, mapping=ROOT / "examples" / f"{mapping}.toml")
    screening = fz.screen(cohort, protocol, missing_columns="unknown")
    funnel = fz.attrition(screening)
    with path.open(encoding="utf-8", newline="") as stream:
        reasons = [reason(row) for row in csv.DictReader(stream)]
    expected = {r: reasons.count(r) for r in set(reasons) if r}
    assert funnel.n_excluded[funnel.n_excluded > 0].to_dict() == expected
    assert funnel.n_remaining.iloc[-1] == reasons.count("")
    assert len(screening.missing_columns) > 40
    page = render_html(build_report(screening, cohort, generated_on="2026-11-22"))
    assert "The file lacks" in page
    assert "<table" in render_quality(fz.quality_report(cohort, protocol.columns))
