"""From a screening of a small protocol to the report's values, counted by hand."""

from typing import Annotated, Literal

import pandas as pd
import pytest

import feasibility as fz
from feasibility.report.build import build_report
from feasibility.report.html import render_html

TEXT = """Inclusion Criteria:
1. hemoglobin > 60g/L and platelets > 30
2. signed consent
Exclusion Criteria:
1. severe allergy
"""


@fz.inclusion("I1.1", "hemoglobin > 60g/L")
def hemoglobin(hemoglobin_g_l, *, min_hemoglobin: Annotated[float, "g/L"] = 60):
    """Strictly above."""
    return hemoglobin_g_l > min_hemoglobin


@fz.inclusion("I1.2", "platelets > 30")
def platelets(platelets_10e9_l, *, min_platelets: Annotated[float, "10*9/L"] = 30):
    """Strictly above."""
    return platelets_10e9_l > min_platelets


@fz.exclusion("E1", "severe allergy")
def allergy(severe_allergy, mild_allergy, *, allergy_rule: Literal["severe", "any"] = "severe"):
    """Severe only."""
    return severe_allergy if allergy_rule == "severe" else severe_allergy | mild_allergy


CONSENT = fz.not_assessable("I2", "consent", "inclusion", "signed consent", rate=fz.Beta(7, 3), source="our assumption")


@pytest.fixture
def protocol():
    return fz.Protocol(
        "DEMO", "A demo", [hemoglobin, platelets, CONSENT, allergy], eligibility_text=TEXT, source="2025"
    )


@pytest.fixture
def cohort():
    frame = pd.DataFrame(
        {
            "hemoglobin_g_l": pd.array([61, 60, None, 90, None], dtype="Float64"),
            "platelets_10e9_l": pd.array([31, 31, 31, 20, 20], dtype="Float64"),
            "severe_allergy": pd.array([False, False, None, True, False], dtype="boolean"),
            "mild_allergy": pd.array([False] * 5, dtype="boolean"),
        },
        index=pd.Index(list("abcde"), name="patient_id"),
    )
    frame.attrs["feasibility"] = {
        "index_date": "2025-06-30",
        "events": [
            {
                "column": "hemoglobin_g_l",
                "file_column": "Hb",
                "kind": "converted",
                "reason": "g/dL",
                "n": 3,
                "rows": [1],
            }
        ],
    }
    return frame


@pytest.fixture
def report(protocol, cohort):
    return build_report(fz.screen(cohort, protocol), cohort, generated_on="2025-07-01", source="demo.csv")


def test_counts(report):
    assert (report.n_patients, report.n_confirmed, report.n_possible) == (5, 1, 2)
    counts = {c.id: (c.n_pass, c.n_fail, c.n_unknown) for c in report.criteria}
    assert counts == {"I1.1": (2, 1, 2), "I1.2": (3, 2, 0), "E1": (3, 1, 1)}
    clauses = {c.id: (c.says, c.n_pass, c.n_fail, c.n_unknown) for c in report.clauses}
    assert clauses == {"I1": ("yes", 1, 3, 1), "I2": ("no", 0, 0, 0), "E1": ("yes", 3, 1, 1)}


def test_clauses_carry_the_registered_words_and_the_parts(report):
    assert [c.id for c in report.clauses] == ["I1", "I2", "E1"]
    assert report.clauses[0].text == "hemoglobin > 60g/L and platelets > 30"
    assert [c.reading for c in report.clauses[0].criteria] == ["Strictly above."] * 2
    assumed = report.assumed[0]
    assert (assumed.id, assumed.mean, assumed.source) == ("I2", 0.7, "our assumption")
    assert 0.4 < assumed.low < 0.7 < assumed.high < 0.95


def test_why_unknown_names_the_empty_column(report):
    why = {c.id: c.why_unknown for c in report.criteria}
    assert why == {"I1.1": "hemoglobin_g_l is empty", "I1.2": "", "E1": "severe_allergy is empty"}
    assert report.clauses[0].why_unknown == "Hemoglobin 40\u00a0%: hemoglobin_g_l is empty"


def test_only_columns_that_matter_are_listed(report):
    assert {c.id: c.columns for c in report.criteria}["E1"] == ("severe_allergy",)


def test_events_and_provenance(report):
    event = report.quality[0]
    assert (event.column, event.kind, event.reason, event.n) == (
        "hemoglobin_g_l", "converted to the declared unit", "g/dL", 3,
    )  # fmt: skip
    assert report.index_date == "2025-06-30"
    assert report.provenance["Patient table"] == "demo.csv"
    assert len(report.provenance["Protocol fingerprint"]) == 16
    assert len(report.provenance["Patient table fingerprint"]) == 16


def test_data_fingerprint_changes_with_a_cell(protocol, cohort, report):
    other = cohort.copy()
    other.loc["a", "hemoglobin_g_l"] = 62
    changed = build_report(fz.screen(other, protocol), other, generated_on="2025-07-01")
    key = "Patient table fingerprint"
    assert changed.provenance[key] != report.provenance[key]


def test_missing_columns_changed_thresholds_and_waived_criteria(protocol, cohort):
    changed = protocol.with_thresholds(min_hemoglobin=80).without("E1")
    screening = fz.screen(cohort.drop(columns="platelets_10e9_l"), changed, missing_columns="unknown")
    report = build_report(screening, cohort.drop(columns="platelets_10e9_l"), generated_on="2025-07-01")
    assert [(m.column, m.criteria) for m in report.missing_columns] == [("platelets_10e9_l", ("I1.2",))]
    assert [(s.name, s.value, s.protocol) for s in report.changed] == [("min_hemoglobin", 80, 60)]
    assert report.waived == ("E1",)
    assert [c.says for c in report.clauses] == ["partly", "no", "waived"]
    assert report.clauses[0].why_unknown == "Platelets 100\u00a0%: the file lacks platelets_10e9_l"
    assert "waived in this run" in render_html(report)


def test_a_pattern_of_dates_is_told(protocol, cohort):
    days = pd.to_datetime(["2025-01-01", "2025-02-01", "2025-01-15", None, "2025-01-31"])
    dated = cohort.set_axis(pd.MultiIndex.from_arrays([cohort.index, days], names=["patient_id", "index_date"]))
    report = build_report(fz.screen(dated, protocol), dated, generated_on="2025-07-01")
    assert report.index_date == "2025-01-01 to 2025-02-01"


def test_added_criteria_are_shown(protocol, cohort):
    @fz.exclusion("E9", "mild allergy, our own")
    def mild(mild_allergy):
        """Ours."""
        return mild_allergy

    report = build_report(fz.screen(cohort, protocol.adding(mild)), cohort, generated_on="2025-07-01")
    assert (report.clauses[-1].id, report.clauses[-1].status, report.clauses[-1].n_pass) == ("E9", "added", 5)
    assert "added in this run" in render_html(report)


def test_without_the_cohort_and_in_the_same_bytes(protocol, cohort):
    def page():
        return render_html(build_report(fz.screen(cohort, protocol), generated_on="2025-07-01"))

    assert page() == page()
    assert "Feasibility of DEMO: A demo" in page()
