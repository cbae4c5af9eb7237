"""The page a coordinator or sponsor reads: complete, self-contained, safe, readable by everyone."""

import dataclasses
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from feasibility.report import html
from feasibility.report.data import (
    AssumedRow,
    CauseRow,
    ClauseRow,
    CriterionRow,
    MissingColumn,
    QualityEvent,
    ReportData,
    SettingRow,
)
from feasibility.report.html import folded_columns, merged_settings, render_html

EMPTY = (CauseRow("hemoglobin_g_l", "Haemoglobin.", ((320, "not recorded"),)),)
VOID = {"meta", "br", "wbr", "link", "img", "hr"}


class Page(HTMLParser):
    """Elements in order with their attributes, and whether every one is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"b", "i", "code", "wbr", "small"}:
            self.text.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def words(self):
        return " ".join("".join(self.text).split())


def funnel():
    return pd.DataFrame(
        [
            ("I4", "inclusion", "age", "Age ≥18 and ≤70 years, any gender;", 1200, 200, 0, 1000, 1000),
            ("I5.1", "inclusion", "hemoglobin", "hemoglobin > 60g/L", 1000, 100, 300, 600, 900),
            ("E7", "exclusion", "transplant_not_settled", "Recipients <of> transplantation", 900, 0, 870, 30, 900),
        ],
        columns=["criterion", "kind", "name", "reason", "n_entering", "n_excluded", "n_undetermined", "n_confirmed",
                 "n_remaining"],
    ).set_index("criterion")  # fmt: skip


def costs():
    return pd.DataFrame(
        [
            ("I4", "inclusion", "age", 200, 0, 120, 0, 120, 150, 175.0),
            ("I5.1", "inclusion", "hemoglobin", 150, 320, 70, 10, 80, 100, 125.0),
            ("E7", "exclusion", "transplant_not_settled", 0, 1100, 0, 500, 500, 0, 0.0),
        ],
        columns=["criterion", "kind", "name", "n_failing", "n_unknown", "n_only_reason", "n_only_unknown",
                 "gain_confirmed", "gain_possible", "shapley"],
    ).set_index("criterion")  # fmt: skip


@pytest.fixture
def report():
    hb = SettingRow("min_hemoglobin", "I5.1", "threshold", 80, 60, "g/L")
    back = SettingRow("max_days_back", "I5.1", "look-back", 14, 14, "d")
    criteria = {
        "I4": CriterionRow("I4", "age", "Age ≥18 and ≤70 years, any gender;", "Completed years.", 1000, 200, 0),
        "I5": CriterionRow(
            "I5.1", "hemoglobin", "hemoglobin > 60g/L", "Strictly above.\n\nNot ``carried_forward``.", 730, 150, 320,
            columns=("hemoglobin_g_l",), settings=(hb, back), causes=EMPTY,
        ),
        "E7": CriterionRow("E7", "transplant_not_settled", "Recipients", "Settled.", 100, 0, 1100,
                           settings=(dataclasses.replace(back, criterion="E7"),)),
    }  # fmt: skip
    assumed = AssumedRow("I7", "consent", "inclusion", "Voluntary <participation>", 0.7, 0.45, 0.9, "our assumption")
    return ReportData(
        title="Could patients join <EX02>?",
        trial_id="NCT06642025",
        generated_on="2025-07-01",
        n_patients=1200,
        n_confirmed=30,
        n_possible=900,
        attrition=funnel(),
        attrition_by_clause=funnel(),
        impact=costs(),
        clauses=(
            ClauseRow("I4", "inclusion", "Age ≥18 and ≤70 years, any gender;", "assessable", (criteria["I4"],),
                      n_pass=1000, n_fail=200),
            ClauseRow("I5", "inclusion", "hemoglobin > 60g/L & more", "assessable", (criteria["I5"],), waived=("I5.2",),
                      n_pass=730, n_fail=150, n_unknown=320, causes=EMPTY),
            ClauseRow("I7", "inclusion", "Voluntary <participation>", "not assessable", assumed=(assumed,)),
            ClauseRow("E7", "exclusion", "Recipients <of> transplantation", "assessable", (criteria["E7"],),
                      n_pass=100, n_unknown=1100),
        ),
        index_date="2025-06-30",
        source="registry.csv",
        columns_read=9,
        provenance={"Protocol fingerprint": "abc123"},
    )  # fmt: skip


@pytest.fixture
def lacking(report):
    gone = dataclasses.replace(report.clauses[3].criteria[0], n_pass=0, n_unknown=1200)
    clauses = (*report.clauses[:3], dataclasses.replace(report.clauses[3], criteria=(gone,), n_pass=0, n_unknown=1200))
    return dataclasses.replace(
        report,
        clauses=clauses,
        missing_columns=(
            MissingColumn("gvhd_active", ("E7",)),
            MissingColumn("days_since_gvhd_active", ("E7",)),
            MissingColumn("hsct", ("E7",)),
        ),
        quality=(QualityEvent("hemoglobin_g_l", "converted", "from g/dL", 1180),),
    )


def test_every_element_is_closed_and_ids_are_unique(report, lacking):
    for one in (report, lacking):
        page = Page(render_html(one))
        assert page.open == []
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        targets = {a.get("href", "#")[1:] for tag, a in page.elements if tag == "use"} - {""}
        assert targets <= set(ids)


def test_nothing_is_loaded_from_anywhere(lacking):
    text = render_html(lacking)
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|@import|\ssrc=", text)
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{i}" for i in re.findall(r'id="([^"]+)"', text)}


def test_same_report_same_bytes(lacking):
    assert render_html(lacking) == render_html(lacking)


def test_banner_comes_first(report):
    assert (
        Page(render_html(report))
        .words()
        .startswith(
            "Could patients join <EX02>? Internal: not checked for disclosure. Do not send outside the hospital."
        )
    )


def test_text_from_outside_is_escaped(report):
    text = render_html(report)
    assert "<EX02>" not in text
    assert "<of>" not in text
    assert "<participation>" not in text
    assert "Voluntary &lt;participation&gt;" in text


def test_sections_stand_in_order_with_their_headings(report):
    page = Page(render_html(report))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    named = [a["aria-labelledby"] for tag, a in page.elements if tag == "section"]
    assert named == [
        "variant",
        "summary",
        "matrix",
        "funnel",
        "flow",
        "clauses",
        "impact",
        "assumed",
        "settings",
        "data",
        "provenance",
    ]
    assert set(named) <= {a.get("id") for _, a in page.elements}


def test_missing_columns_are_said_before_any_number(lacking, report):
    words = Page(render_html(lacking)).words()
    notice = words.index("The file lacks 3 of the 9 columns this trial reads")
    assert notice < words.index("How many patients could join")
    assert "1 of 3 criteria can therefore be decided for nobody (E7)" in words
    assert "not in this file" in words
    assert "The file lacks" not in Page(render_html(report)).words()


def test_a_missing_value_and_its_date_are_one_line(lacking):
    assert [(row["column"], row["dated"]) for row in folded_columns(lacking)] == [
        ("gvhd_active", True),
        ("hsct", False),
    ]


def test_summary_says_the_pair_and_defines_the_words(report):
    words = Page(render_html(report)).words()
    assert words.index("Confirmed 30 2.5 %") < words.index("Possible at most 900 75 %")
    assert "An upper limit, not an estimate; poorer records raise it." in words
    assert "all inclusion criteria are met and no exclusion criterion applies" in words
    assert "Age (I4): 200 patients excluded by it, 58 % of the loss; waived alone: +120 confirmed" in words
    assert "is not yet applied to any number above" in words
    assert "Index date: not stated" not in words
    assert "A count on one day, not a rate per month" in words
    assert "Transplant not settled (E7): unknown for 1,100 of 1,200 patients (92 %)" in words


def test_figures_are_described_and_tables_have_headers(report):
    page = Page(render_html(report))
    figures = [a for tag, a in page.elements if tag == "svg"]
    assert len(figures) == 3
    assert all(a["role"] == "img" and len(a["aria-label"]) > 60 for a in figures)
    headers = [a for tag, a in page.elements if tag == "th"]
    assert {a.get("scope") for a in headers} == {"col", "row", "rowgroup"}


def test_clauses_carry_words_reading_and_counts(report):
    text = render_html(report)
    words = Page(text).words()
    assert "<blockquote>hemoglobin &gt; 60g/L &amp; more</blockquote>" in text
    assert "Strictly above." in words
    assert "<code>carried_<wbr>forward</code>" in text
    assert "730 pass, 150 excluded, 320 unknown. Unknown because: Haemoglobin hemoglobin_g_l: 320 not recorded" in words
    assert "I5.2 is left out of this run." in words


def test_changed_thresholds_are_marked_and_come_first(report):
    rows = merged_settings(report)
    assert [row["setting"].name for row in rows] == ["min_hemoglobin", "max_days_back"]
    assert rows[1]["criteria"] == ["I5.1", "E7"]
    words = Page(render_html(report)).words()
    assert "A variant, not the protocol as written" in words
    assert "hemoglobin: lower limit 80 instead of 60 g/L" in words


def test_assumptions_stand_apart_with_their_rates(report):
    words = Page(render_html(report)).words()
    assert "70 % 45–90 % our assumption" in words


def test_data_notes_and_provenance(lacking, report):
    assert "converted from g/dL 1,180" in Page(render_html(lacking)).words()
    words = Page(render_html(report)).words()
    assert "names no value that was converted, filled or set aside" in words
    assert "Protocol fingerprint abc123" in words


def test_a_report_of_nobody_eligible_and_nothing_unknown(report):
    none = dataclasses.replace(
        report, n_possible=0, n_confirmed=0, clauses=report.clauses[:1], impact=costs().assign(gain_possible=0)
    )
    words = Page(render_html(none)).words()
    assert "Possible at most 0 0 %" in words
    assert "waived alone: +120 confirmed, 0 possible" in words
    assert "0 of the 1,200 excluded (0 %) fail exactly one criterion" in words
    assert "Everything is known." in words
    assert "What no patient table can tell" not in words


@pytest.mark.parametrize(
    ("status", "fails", "unknown", "says"),
    [("assessable", 1, 1, "yes"), ("partly", 1, 1, "partly"), ("assessable", 0, 10, "not in this file")],
)
def test_what_the_data_can_say(status, fails, unknown, says):
    row = CriterionRow("E4.1", "pregnant", "t", "r", 0 if unknown == 10 else 8, fails, unknown)
    assumed = (AssumedRow("E4.3", "x", "exclusion", "t", 0.5, 0.1, 0.9, "s"),) if status == "partly" else ()
    assert ClauseRow("E4", "exclusion", "t", status, (row,), assumed).says == says


def test_colours_of_the_style_sheet_have_contrast():
    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    found = dict(re.findall(r"--(\w[\w-]*): (#[0-9a-f]{6})", html.css()))
    for ink in ("ink", "muted", "rust", "blue"):
        for paper in ("#ffffff", found["sand"], found["faint"]):
            assert (luminance(paper) + 0.05) / (luminance(found[ink]) + 0.05) >= 4.5


def test_words_that_belong_to_inclusions_are_kept_from_exclusions(lacking):
    text = Page(render_html(lacking)).words()
    assert not re.search(r"satisf|\bfailed\b|must not be met|Shapley value of the loss", text)
    assert "Exclusion criteria, must not apply" in text


def test_only_one_reason_is_counted_not_claimed(report):
    words = Page(render_html(report)).words()
    assert "250 of the 300 excluded (83 %) fail exactly one criterion" in words
    assert "175 58 %" in words


def test_counts_stand_beside_their_shares(report):
    assert "1,000 83 % 200 17 % 0 0 %" in Page(render_html(report)).words()


def test_without_an_index_date_the_page_says_so(report):
    words = Page(render_html(dataclasses.replace(report, index_date=""))).words()
    assert "Index date: not stated" in words


def test_the_footer_of_printed_pages_cannot_break_out_of_the_style_sheet(report):
    rule = str(html.running_footer("a", '</style><b>"', "f"))
    assert "<" not in rule
    assert '"a"' in rule
    assert "counter(page)" in rule
