"""From a screening of a small protocol to the report's values, counted by hand."""

import dataclasses
from typing import Annotated, Literal

import pandas as pd
import pytest

import feasibility as fz
from feasibility.report import words
from feasibility.report.alternatives import together
from feasibility.report.build import _assumed, build_report
from feasibility.report.data import ClauseRow, ReportData
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


BLANK = ReportData("t", "T", "2025-07-01", 5, 1, 2, pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), ())

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
    why = {c.id: words.why(c.causes) for c in report.criteria}
    assert why == {"I1.1": "hemoglobin_g_l: 2 not recorded", "I1.2": "", "E1": "severe_allergy: 1 not recorded"}
    # Of the two without haemoglobin, one is excluded from the clause by platelets.
    assert words.why(report.clauses[0].causes) == "hemoglobin_g_l: 1 not recorded"


def test_the_undetermined_by_how_much_is_unknown(report):
    assert report.unknown_criteria == {"2": 1}
    assert words.unknown_criteria(report) == (
        "Of the 1 undetermined (possible, not confirmed), 1 has 2 criteria unknown."
    )


def test_what_no_table_can_tell_is_counted_once():
    def part(id_, name, rate, same_as=""):
        return fz.not_assessable(id_, name, "exclusion", name, rate=rate, source="s", same_as=same_as)

    parts = [part("E1", "a", fz.Beta(8, 2)), part("E2", "b", fz.Beta(5, 5)), part("E3", "c", fz.Beta(8, 2), "a")]
    assumed = tuple(_assumed(one) for one in parts)
    report = dataclasses.replace(BLANK, clauses=(ClauseRow("E1", "exclusion", "t", "not assessable", assumed=assumed),))
    assert [(row.id, row.also) for row in report.assumed_once] == [("E1", ("E3",)), ("E2", ())]
    mean, low, high = together(report.assumed_once, {one.id: one.rate for one in parts})
    assert mean == pytest.approx(0.4)
    # The product's moments: E(X^2) of a Beta is (a + 1) / (a + b + 1) times its mean.
    sd = (0.8 * 9 / 11 * 0.5 * 6 / 11 - 0.16) ** 0.5
    assert low == pytest.approx(0.4 - 1.645 * sd, abs=0.03)
    assert high == pytest.approx(0.4 + 1.645 * sd, abs=0.03)
    assert together(report.assumed_once, {one.id: one.rate for one in parts}) == (mean, low, high)
    assert together((), {}) is None


def test_a_variant_is_set_against_the_protocol_as_written(protocol, cohort):
    @fz.exclusion("E9", "mild allergy, our own")
    def mild(mild_allergy):
        """Ours."""
        return mild_allergy

    changed = protocol.with_thresholds(min_platelets=10, allergy_rule="any").without("E1").adding(mild)
    report = build_report(fz.screen(cohort, changed), cohort, generated_on="2025-07-01")
    plain = build_report(fz.screen(cohort, protocol), cohort, generated_on="2025-07-01")
    assert report.as_written == (1, 2) == (plain.n_confirmed, plain.n_possible)
    assert plain.as_written is None
    assert report.title.endswith("(variant)")
    assert [(w.id, w.name, w.before) for w in report.waived_rows] == [("E1", "allergy", "E9")]
    page = " ".join(render_html(report).split())
    assert "<title>Feasibility of DEMO: A demo (variant)</title>" in page
    assert "Protocol as written: 1 confirmed, 2 possible." in page
    assert "platelets: lower limit 10 instead of 30 ×10⁹/L" in page
    assert "waived: E1 Allergy" in page
    assert "waived in this run: excludes nobody" in page
    assert page.index("Protocol as written:") < page.index("How many patients could join")


def test_added_criteria_may_replace_a_clause_in_a_variant(protocol, cohort):
    @fz.inclusion("I2", "signed consent")
    def consent(mild_allergy):
        """Ours."""
        return ~mild_allergy

    report = build_report(fz.screen(cohort, protocol.adding(consent)), cohort, generated_on="2025-07-01")
    assert report.as_written == (1, 2)


def test_other_readings_one_at_a_time(protocol, cohort):
    allergic = cohort.assign(mild_allergy=pd.array([True, False, None, False, False], dtype="boolean"))
    (row,) = build_report(fz.screen(allergic, protocol), allergic, generated_on="2025-07-01").readings
    assert (row.name, row.value, row.in_force, row.criteria) == ("allergy_rule", "any", "severe", ("E1",))
    assert (row.n_confirmed, row.n_possible, row.more_confirmed, row.more_possible) == (0, 1, -1, -1)
    without = allergic.drop(columns="mild_allergy")
    (row,) = build_report(fz.screen(without, protocol), without, generated_on="2025-07-01").readings
    assert row.lacks == ("mild_allergy",)


def test_origin_and_the_choices_left(report):
    settings = {s.name: s for s in report.settings}
    assert [settings[n].ours for n in ("min_hemoglobin", "allergy_rule")] == [False, True]
    assert settings["allergy_rule"].choices == "any"
    assert "1 of the 3 thresholds and readings are ours: the text leaves them open." in render_html(report)


def test_synthetic_rows_are_said(protocol, cohort):
    made = cohort.assign(synthetic=pd.array([True] * 5, dtype="boolean"))
    report = build_report(fz.screen(made, protocol), made, generated_on="2025-07-01")
    page = render_html(report)
    assert "Synthetic data: nobody on this page is a patient." in page
    assert report.provenance["Synthetic rows"] == "5 of 5: made by a generator, not patients"
    some = made.assign(synthetic=pd.array([True, None, False, False, False], dtype="boolean"))
    page = render_html(build_report(fz.screen(some, protocol), some, generated_on="2025-07-01"))
    assert "Synthetic rows: 1 of the 5 on this page are no patients." in page


def test_a_summary_is_never_called_the_registered_text(protocol, cohort):
    summary = dataclasses.replace(protocol, verbatim=False)
    page = render_html(build_report(fz.screen(cohort, summary), cohort, generated_on="2025-07-01"))
    assert "A summary in our words, not the registered text." in page
    assert "Summary of the protocol" in page
    for claim in ("word for word", "The protocol says", "Registered text", "the protocol’s words", "are quoted"):
        assert claim not in page


def test_ready_made_columns_are_the_hospitals_statement(report):
    assert not report.built
    assert report.build_settings == ()
    assert "The columns came ready-made" in render_html(report)


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
    assert report.clauses[0].causes[0].parts == ((3, "not in the file"),)
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
