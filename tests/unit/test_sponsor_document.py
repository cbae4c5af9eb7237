"""Only protected numbers enter the sponsor's report, and small ones are never printed."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from sponsor_examples import bare, document, forecast, release, trial

import feasibility as fz
from feasibility.disclosure.policy import POLICIES
from feasibility.disclosure.release import NOISY, NOT_PROMISED, NOT_PROMISED_DP, PROMISE, PROMISE_DP, Release
from feasibility.disclosure.table import RoundedMargin
from feasibility.enrollment.assumptions import plan_from_protocol
from feasibility.errors import FeasibilityError
from feasibility.sponsor import forecast_tables, tables, views
from feasibility.sponsor.branding import Branding
from feasibility.sponsor.document import Count, SponsorDocument
from feasibility.sponsor.render import _printed, markdown
from feasibility.sponsor.sentences import Sentences
from feasibility.sponsor.wording import Wording, strings

NHS = POLICIES["nhs"]


def changed(**parts) -> Release:
    return dataclasses.replace(release(), **parts)


@pytest.mark.parametrize("given", [pd.DataFrame({"n": [97, 3]}), 97, {"n": 3}, [97, 3]])
def test_a_plain_table_or_number_is_refused(given):
    with pytest.raises(FeasibilityError, match="prints protected numbers only: the report is a"):
        SponsorDocument.of(given, trial())


def test_a_release_with_a_plain_core_is_refused():
    with pytest.raises(FeasibilityError, match="the core of the release is a DataFrame"):
        SponsorDocument.of(changed(core=pd.DataFrame({"n": [3]})), trial())


def test_a_release_with_a_plain_margin_is_refused():
    margins = {**release().margins, "sites": pd.DataFrame({"n": [3]})}
    with pytest.raises(FeasibilityError, match="the table 'sites' of the release is a DataFrame"):
        SponsorDocument.of(changed(margins=margins), trial())


def test_a_margin_that_was_not_rounded_is_refused():
    exact = RoundedMargin("sites", pd.DataFrame({"n": [37]}, index=["A"]), NHS)
    with pytest.raises(FeasibilityError, match="table 'sites' of the release is not rounded: n of 'A' is 37"):
        SponsorDocument.of(changed(margins={"sites": exact}), trial())


def test_a_core_that_was_not_rounded_is_refused():
    exact = dataclasses.replace(release().core, n=release().core.n + 1)
    with pytest.raises(FeasibilityError, match="core of the release holds numbers that are no multiples of 5"):
        SponsorDocument.of(changed(core=exact), trial())


def test_a_release_of_another_protocol_is_refused():
    with pytest.raises(FeasibilityError, match="release was made for another protocol"):
        SponsorDocument.of(release(), trial().with_thresholds(min_platelets=20))


def test_a_forecast_from_exact_arrivals_is_refused():
    site = fz.Site("Hefei", arrivals=6, months=24)
    made = fz.forecast(plan_from_protocol(trial(), site, 9), months=24, draws=50)
    with pytest.raises(FeasibilityError, match="'Hefei': arrivals = 6 is no protected number"):
        SponsorDocument.of(release(), trial(), forecast=made)
    rounded = fz.Site("Hefei", arrivals=5, months=24)
    made = fz.forecast(plan_from_protocol(trial(), rounded, 9), months=24, draws=50)
    assert SponsorDocument.of(release(), trial(), forecast=made).forecast is made


def test_a_forecast_is_a_forecast():
    with pytest.raises(FeasibilityError, match="needs the Forecast .* got dict"):
        SponsorDocument.of(release(), trial(), forecast={"median": 33.7})


@pytest.mark.parametrize("number", [3, 3.0, np.int64(3), pd.Series([3]), True])
def test_the_template_prints_no_bare_number(number):
    with pytest.raises(FeasibilityError, match="prints protected numbers only"):
        _printed(number)


def test_tables_print_no_bare_number():
    with pytest.raises(TypeError, match="Only protected numbers"):
        tables.shown(document(), 3)


def test_an_unknown_language_is_refused():
    with pytest.raises(FeasibilityError, match="speaks en and zh, not 'de'"):
        SponsorDocument.of(release(), trial(), language="de")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_count_below_the_threshold_is_printed(language):
    """Every number that stands as a cell of a table of counts is a multiple of 5, from 10 on, or "<8" or "<13"."""
    made = document(language)
    cells = []
    for table in (tables.funnel(made), tables.known(made), tables.missing(made), tables.quality(made),
                  forecast_tables.arrivals(made), tables.scenarios(made)):  # fmt: skip
        for line in table.splitlines()[2:]:
            cells += [c.strip().lstrip("\\+") for c in line.split("|") if re.fullmatch(r"[ \\+<\d,]*\d ?", c)]
    numbers = [int(c.replace("\\,", "")) for c in cells if "<" not in c]
    assert {c.replace("\\", "") for c in cells if "<" in c} == {"<8", "<13"}
    assert len(numbers) > 60
    assert all(n % 5 == 0 and n >= 8 for n in numbers)


def test_printed_counts_are_those_of_the_release():
    """The funnel on the page, read back, is the release's own funnel."""
    own = release().core.attrition()
    rows = [line.split("|")[1:-1] for line in tables.funnel(document()).splitlines() if line.startswith("|")]
    found = {r[0].strip().replace("\\", ""): [c.strip().replace("\\", "") for c in r[2:]] for r in rows}
    for key, row in own.iterrows():
        expected = [NHS.shown(row[c]) for c in ("n_excluded", "n_remaining", "n_confirmed", "n_undetermined")]
        assert found[key] == expected


def test_every_percentage_comes_from_protected_numbers():
    made = document()
    whole = made.n_patients.value
    for cost in views.costs(made).values():
        if cost.unknown.value is None:
            assert tables.known_share(cost.unknown, made.n_patients) == f">{100 - -(-100 * 13 // whole)}%"
        else:
            expected = round(100 * (whole - cost.unknown.value) / whole)
            shown = tables.known_share(cost.unknown, made.n_patients)
            assert abs(int(shown.strip("<>%")) - expected) <= 1


def test_shares_are_whole_and_never_claim_too_much():
    n = lambda v: Count(v, NHS)  # noqa: E731
    assert [n(v).share(n(1000)) for v in (1000, 995, 990, 10, 5, 0)] == ["100%", ">99%", "99%", "1%", "<1%", "<1%"]
    assert n(10).share(n(0)) == "–"


def test_sections_without_data_are_left_out():
    text = markdown(bare(), "html")
    heads = re.findall(r"^# (.*?) \{", text, flags=re.MULTILINE)
    gone = {strings("en")[f"{k}.title"] for k in ("known", "thresholds", "missing", "enrollment", "quality")}
    assert not gone & set(heads)
    assert [h for h in heads] == [strings("en")[f"{k}.title"] for k in
                                  ("summary", "funnel", "clauses", "methods", "provenance")]  # fmt: skip
    assert text.count(strings("en")["reasons.leak"].replace(",", "\\,")) == 6


def test_the_full_report_has_every_section_in_order():
    heads = re.findall(r"^# (.*?) \{", markdown(document(), "html"), flags=re.MULTILINE)
    order = ("summary", "funnel", "clauses", "known", "thresholds", "missing", "enrollment", "quality", "methods",
             "provenance")  # fmt: skip
    assert heads == [strings("en")[f"{k}.title"] for k in order]


def test_the_costliest_are_those_whose_waiving_adds_most():
    gains = release().core.only_reason()["gain_possible"].sort_values(ascending=False, kind="stable")
    found = [c.id for c in views.costliest(document())]
    assert found[0] == gains.index[0]
    assert [release().core.only_reason().loc[i, "gain_possible"] for i in found] == gains.head(3).tolist()


def test_the_best_scenario_is_the_one_with_most_possible():
    best = views.best_scenario(document())
    assert best.possible.value == release().core.scenarios()["n_possible"].max()
    assert str(best.possible) in Sentences(document()).change()


def test_every_clause_is_quoted_as_registered():
    from feasibility.protocol.clauses import normalise

    text = markdown(document("zh"), "html")
    quoted = [normalise(re.sub(r"\\(.)", r"\1", q)) for q in re.findall(r"^> \[(.*)\]\{lang=en", text, re.MULTILINE)]
    assert quoted == list(trial().clauses().values())


def test_provenance_names_the_released_file_and_nothing_of_the_patients():
    made = document()
    text = tables.provenance(made)
    assert made.release.fingerprint in text
    assert trial().fingerprint() in text
    hashes = set(re.findall(r"[0-9a-f]{12,}", text))
    assert hashes == {made.release.fingerprint, trial().fingerprint()}


def test_the_promise_is_the_release_s_own():
    assert strings("en")["promise.rounding"] == PROMISE
    assert [strings("en")[f"not_promised.{i + 1}"] for i in range(len(NOT_PROMISED))] == list(NOT_PROMISED)
    assert strings("en")["promise.dp"] == PROMISE_DP.replace("{epsilon:g}", "{epsilon}")
    assert [strings("en")[f"not_promised_dp.{i + 1}"] for i in range(len(NOT_PROMISED_DP))] == list(NOT_PROMISED_DP)


def test_what_was_left_out_is_said_with_the_reason():
    made = SponsorDocument.of(changed(dropped={"strata": NOISY, "overlaps": "it gives a small group away"}), trial())
    text = tables.dropped(made)
    assert strings("en")["reasons.noise"].split(" ")[0] in text
    assert strings("en")["tables.overlaps"] in text


def test_the_forecast_is_told_in_whole_months():
    made = document()
    months = np.ceil(forecast().when(0.1))
    assert f"{months:.0f} months" in forecast_tables.months_to_target(made)


def test_dates_and_lists_follow_the_language():
    assert Wording("en").date("2026-02-03") == "3 February 2026"
    assert Wording("zh").date("2026-02-03") == "2026年2月3日"
    assert Wording("en").listed(["a"]) == "a"


def test_user_text_is_never_read_as_markdown():
    nasty = "A | B *bold* <script>alert(1)</script> [x](http://y) $x$ `c` {{ d }}"
    made = dataclasses.replace(bare(), source_words=nasty)
    from feasibility.sponsor.render import rendered

    page = rendered(made, "html").decode()
    assert "<script>" not in page
    assert "A | B *bold* &lt;script&gt;alert(1)&lt;/script&gt; [x](http://y) $x$ `c` {{ d }}" in page


def test_a_trial_without_chinese_words_says_so():
    made = dataclasses.replace(bare("zh"), words=Wording("zh"))
    told = strings("zh")["clauses.only_english"]
    assert told in markdown(made, "html")
    assert told not in markdown(bare("zh"), "html")


def test_a_summary_instead_of_the_registered_text_is_called_one():
    summary = dataclasses.replace(trial(), verbatim=False)
    made = dataclasses.replace(bare(), protocol=summary)
    text = markdown(made, "html")
    labels = set(re.findall(r"^::: \{\.label\}\n(.*)$", text, flags=re.MULTILINE))
    assert labels == {strings("en")["clauses.quote_summary"]}


def test_without_gains_the_funnel_says_what_costs_most():
    lines = Sentences(bare()).costs()
    worst = release().core.attrition()["n_excluded"].sort_values(ascending=False, kind="stable").index[0]
    assert f"({worst})" in lines[0].replace("\\", "")
    assert Sentences(bare()).cost_lead() == strings("en")["summary.cost_funnel"]
    assert Sentences(bare()).change() == strings("en")["summary.change_dropped"]


def test_the_user_s_own_words_for_a_trial_are_read(tmp_path):
    own = tmp_path / "words.toml"
    own.write_text('[names]\nplatelets = "Thrombocytes"', encoding="utf-8")
    made = SponsorDocument.of(release(), trial(), trial_file=own)
    assert "Thrombocytes" in tables.funnel(made)
    with pytest.raises(FeasibilityError, match="There is no file .* with the trial's words"):
        SponsorDocument.of(release(), trial(), trial_file=tmp_path / "none.toml")
    own.write_text("[names", encoding="utf-8")
    with pytest.raises(FeasibilityError, match="words.toml is not TOML"):
        SponsorDocument.of(release(), trial(), trial_file=own)


def test_the_branding_s_language_is_used_unless_another_is_asked_for():
    brand = Branding(language="zh")
    assert SponsorDocument.of(release(), trial(), branding=brand).language == "zh"
    assert SponsorDocument.of(release(), trial(), branding=brand, language="en").language == "en"
    assert SponsorDocument.of(release(), trial()).language == "en"
