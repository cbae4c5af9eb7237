"""The quality report counts what a small table shows."""

from __future__ import annotations

import pandas as pd
import pytest

import feasibility as fz
from feasibility.cohort.common import GENERAL
from feasibility.report.quality_page import _by, render_quality

COLUMNS = GENERAL.select(
    ["site_id", "age_years", "sex", "hemoglobin_g_l", "platelets_10e9_l", "childbearing_potential", "pregnancy_test"]
)


@pytest.fixture
def cohort():
    frame = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c", "d"],
            "site": ["x", "x", "y", "y"],
            "age_years": [30, 40, 60, 200],
            "sex": ["f", "m", "w", ""],
            "hb": ["9", "", "<8", "99999"],
            "pregnancy_test": ["neg", "", "", ""],
        }
    )
    mapping = {
        "file": {"index_date": "2025-06-30"},
        "columns": {"hemoglobin_g_l": {"from": "hb", "unit": "g/dL", "days_since": 0}, "site_id": {"from": "site"}},
    }
    return fz.as_cohort(frame, COLUMNS, mapping=mapping)


def test_known_and_unknown_by_reason(cohort):
    found = fz.quality_report(cohort, COLUMNS)
    hb = found.columns.loc["hemoglobin_g_l"]
    assert hb[["n_known", "n_bounded", "n_unknown", "missing", "out_of_range", "n_quarantined"]].tolist() == [
        2, 1, 2, 1, 1, 1,
    ]  # fmt: skip
    assert found.columns.loc["age_years", "out_of_range"] == 1
    assert found.columns.loc["platelets_10e9_l", "not_in_file"] == 4
    # b is a man and c is past childbearing: not asked; d's sex is unknown, so the test is missing.
    test = found.columns.loc["pregnancy_test"]
    assert test[["n_known", "not_applicable", "missing"]].tolist() == [1, 2, 1]
    assert found.columns.loc["childbearing_potential", "n_filled"] == 3


def test_every_row_adds_up(cohort):
    table = fz.quality_report(cohort, COLUMNS).columns
    reasons = [c for c in fz.cohort.quality.REASONS if c in table]
    assert (table.n_known + table[reasons].sum(axis=1) == 4).all()
    assert (table.n_known + table.n_unknown == 4).all()


def test_completeness_by_site(cohort):
    found = fz.quality_report(cohort, COLUMNS)
    assert found.known_by("site_id").loc["hemoglobin_g_l"].to_dict() == {"x": 0.5, "y": 0.5}
    assert found.known_over_time().shape[1] == 0
    with pytest.raises(fz.CohortError, match="no column 'site'. Did you mean 'site_id'"):
        found.known_by("site")


def test_over_time_by_month_of_the_index_date(cohort):
    later = cohort.copy()
    dates = pd.to_datetime(["2025-05-01", "2025-05-31", "2025-06-01", "2025-06-30"])
    later.index = pd.MultiIndex.from_arrays([list("abcd"), dates], names=["patient_id", "index_date"])
    table = fz.quality_report(later, COLUMNS).known_over_time()
    assert table.columns.tolist() == ["2025-05", "2025-06"]
    assert table.loc["sex"].tolist() == [1.0, 0.5]


def test_histograms_count_every_value_known_exactly(cohort):
    found = fz.quality_report(cohort, COLUMNS)
    bins = found.histograms()
    for name, part in bins.groupby("column"):
        row = found.columns.loc[name]
        assert part.n.sum() == row["n_known"] - row["n_never"] - row["n_bounded"]
    # "9" g/dL is one value; "<8" lies between bounds and has no place of its own.
    hb = bins[bins["column"] == "hemoglobin_g_l"]
    assert hb[["left", "right", "n"]].to_numpy().tolist() == [[90.0, 90.0, 1]]
    assert found.columns.loc["hemoglobin_g_l", ["minimum", "median", "maximum"]].tolist() == [90.0, 90.0, 90.0]


def test_the_page_is_self_contained_and_the_same_twice(cohort):
    found = fz.quality_report(cohort, COLUMNS)
    page = render_quality(found)
    assert page == render_quality(found)
    assert "Internal: not checked for disclosure" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "not in the table" in page


def test_the_dictionary_names_every_column(tmp_path):
    from feasibility.report.dictionary_page import render_dictionary

    protocol = fz.load_trial("NCT06642025")
    table = protocol.columns.dictionary()
    table.insert(0, "criteria", [", ".join(protocol.reads.get(c, ())) for c in table.index])
    page = render_dictionary(table, title="Data dictionary")
    assert page.count("<article") == len(protocol.columns)


def test_what_does_not_apply_is_no_gap_on_the_page(cohort):
    page = " ".join(render_quality(fz.quality_report(cohort, COLUMNS)).split())
    # One known, one missing, two (a man, a woman past childbearing) not asked.
    row = page[page.index('class="columns"') :]
    row = row[row.index("pregnancy_<wbr>test") :]
    assert row.index("1 <small>50 %</small>") < row.index("1 missing") < row.index('<td class="n">2</td>')
    assert "known never to have had the event" in page
    assert "known only between two limits" in page


def test_shares_by_site_are_of_those_asked(cohort):
    shares = _by(fz.quality_report(cohort, COLUMNS))["by-site"]
    assert shares.loc["hemoglobin_g_l"].to_dict() == {"x": 0.5, "y": 0.5}
    assert shares.loc["pregnancy_test"].to_dict() == {"x": 1.0, "y": 0.0}


def test_synthetic_rows_are_said_on_the_quality_page(cohort):
    made = cohort.assign(synthetic=pd.array([True] * 4, dtype="boolean"))
    assert "Synthetic data: nobody on this page is a patient." in render_quality(fz.quality_report(made, COLUMNS))


def test_the_dictionary_speaks_in_words():
    from feasibility.report.dictionary_page import render_dictionary

    table = COLUMNS.dictionary()
    table.insert(0, "criteria", ["I4" if c == "age_years" else "" for c in table.index])
    page = render_dictionary(table, title="Demo")
    assert "built-in" not in page
    assert "female, male, other" in page
    assert "10*9/L" not in page
    assert "Int64" not in page
    assert "Whole number" in page
    assert page.index("Columns this trial reads") < page.index("Other columns")


def test_a_page_for_a_table_with_no_value_of_a_kind():
    """A column that exists only as a stated constant, or that nobody has a value of, must not break the page."""
    frame = pd.DataFrame({"patient_id": ["a", "b"], "sex": ["f", "m"], "hemoglobin_g_l": ["", ""]})
    mapping = {
        "file": {"index_date": "2025-06-30"},
        "columns": {"hemoglobin_g_l": {"from": "hemoglobin_g_l", "days_since": 0}, "age_years": {"constant": 40}},
    }
    found = fz.quality_report(fz.as_cohort(frame, COLUMNS, mapping=mapping), COLUMNS)
    assert found.ages().empty
    assert "<table" in render_quality(found)
    stated = found.events[found.events.kind == "stated"]
    assert stated.column.tolist() == ["age_years"]
    assert stated.n.tolist() == [2]
