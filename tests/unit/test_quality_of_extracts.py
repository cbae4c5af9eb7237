"""The quality page of a built cohort: what the extract lacks, long spans of index dates, rules that are no values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import column

import feasibility as fz
from feasibility.cohort.quality import REASONS
from feasibility.figures import style
from feasibility.report.quality_page import _by, render_quality
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS

from ..spec.test_vectors_from_events import INDEX, write

ABSENT = ("echo", "transplants", "labs")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("extract"), performance=["P1,2025-06-20,ECOG,1"])
    for name in ABSENT:
        (folder / f"{name}.csv").unlink()
    extract = read_extract(folder, mapping={"extract": {"absent": ["labs"]}})
    return fz.build_cohort(extract, fz.as_of(INDEX), AML_COLUMNS)


def test_what_no_table_says_is_not_in_the_extract_and_not_missing(cohort):
    found = fz.quality_report(cohort, AML_COLUMNS)
    table = found.columns
    for name in ("lvef_latest_pct", "platelets_10e9_l", "hbsag"):
        assert table.loc[name, ["not_in_file", "missing", "n_unknown"]].tolist() == [1, 0, 1]
        assert name not in found.present
    assert table.loc["ecog", ["n_known", "not_in_file"]].tolist() == [1, 0]
    assert len(found.present) < len(table)
    reasons = [r for r in REASONS if r in table]
    assert (table["n_known"] + table[reasons].sum(axis=1) == 1).all()
    assert "lvef_latest_pct" not in found.completeness().index
    assert found.completeness(declared_only=True).loc["lvef_latest_pct", "not in file"] == 1


def test_the_page_says_what_the_extract_lacks_and_how_patients_were_indexed(cohort):
    found = fz.quality_report(cohort, AML_COLUMNS)
    page = " ".join(render_quality(found).split())
    assert f"{len(found.present)} of {len(AML_COLUMNS)} declared columns present" in page
    assert "declared columns are not in the extract" in page
    assert "as_of(date=2025-06-30)" in page


def test_a_written_cohort_still_says_what_the_extract_lacked(cohort, tmp_path):
    path = fz.write_cohort(cohort, tmp_path / "cohort.parquet", AML_COLUMNS)
    again = fz.quality_report(fz.read_cohort(path, AML_COLUMNS), AML_COLUMNS)
    before = fz.quality_report(cohort, AML_COLUMNS)
    assert again.present == before.present
    assert again.columns["not_in_file"].equals(before.columns["not_in_file"])
    assert again.built_from == before.built_from


def test_a_rule_is_no_value_with_an_age():
    """Patients without a transplant have no active disease of the graft, and no assessment of today either."""
    table = AML_COLUMNS.select(["hsct", "hsct_type", "gvhd_active"])
    made = {
        "hsct": column("boolean", True, False, False, True),
        "hsct_type": column("string", "allogeneic", None, None, "allogeneic"),
        "gvhd_active": column("boolean", False, False, False, True),
        "days_since_gvhd_active": column("Float64", 30, 0, 0, 0),
    }
    cohort = pd.DataFrame(made, index=pd.Index(list("abcd"), name="patient_id"))
    ages = fz.quality_report(cohort, table).ages()
    assert ages.loc["gvhd_active", ["n_known", "minimum", "maximum"]].tolist() == [2, 0.0, 30.0]


@pytest.mark.parametrize(("start", "end", "n", "what", "last"), [
    ("2025-01-01", "2025-12-31", 12, "month", "2025-12"), ("2024-11-01", "2025-12-31", 5, "quarter", "2025 Q4"),
    ("2016-01-01", "2025-12-31", 10, "year", "2025"), ("2008-06-01", "2025-12-31", 9, "2 years", "2024-2025"),
    ("2101-01-01", "2200-06-30", 11, "10 years", "2200-2209"),
])  # fmt: skip
def test_many_months_become_quarters_or_years(start, end, n, what, last):
    dates = pd.date_range(start, end, freq="15D")
    index = pd.MultiIndex.from_arrays([[f"P{i}" for i in range(len(dates))], dates], names=["patient_id", "index_date"])
    cohort = pd.DataFrame({"sex": column("string", *["male", None] * (len(dates) // 2), *["male"] * (len(dates) % 2)),
                           "age_years": column("Int64", *[50] * len(dates))}, index=index)  # fmt: skip
    report = fz.quality_report(cohort, AML_COLUMNS.select(["sex", "age_years"]))
    table = report.known_over_time()
    assert table.shape[1] == n
    assert table.columns[-1] == last
    assert _by(report)["over-time"].columns.tolist() == table.columns.tolist()
    assert f"Share known by {what} of the index date" in render_quality(report)
    years = np.array([int(str(c)[:4]) for c in table.columns])
    assert years.min() <= int(start[:4]) <= int(end[:4]) <= years.max() + 9


def test_every_reason_of_the_page_has_a_look_of_its_own():
    assert sorted(style.REASONS) == sorted(r.replace("_", " ") for r in REASONS if r != "not_applicable")
    assert len(style.REASONS) == len(style.REASON_LOOKS)
