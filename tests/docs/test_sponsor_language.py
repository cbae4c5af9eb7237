"""English and Chinese say the same, each in its own language."""

from __future__ import annotations

import re
import string

import pytest
from matplotlib.text import Text
from sponsor_examples import document, trial

from feasibility.sponsor import pictures
from feasibility.sponsor.render import markdown
from feasibility.sponsor.wording import strings, trial_words

ENGLISH = re.compile(r"(?:[A-Za-z]{2,}[ ,;:]+){2,}[A-Za-z]{2,}")
"""Three words of English in a row: more than an abbreviation or a unit."""
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def plain(text: str) -> str:
    """The report's own words: without quotations, names of columns, raw parts and what a user gave."""
    text = re.sub(r"^> .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    text = re.sub(r"\\(.)", r"\1", text)
    text = re.sub(r"^\|.*pandas.*$", "", text, flags=re.MULTILINE)
    return text.replace("Example Hospital", "").replace("only-reason", "")


def test_both_languages_have_the_same_strings():
    assert list(strings("en")) == list(strings("zh"))


def test_both_languages_put_in_the_same_values():
    def values(text):
        return {name for _, name, _, _ in string.Formatter().parse(text.replace("{.br}", "")) if name}

    for key, english in strings("en").items():
        assert values(english) == values(strings("zh")[key]), key


def test_every_string_in_chinese_is_chinese_or_a_sign():
    same = {"language", "region", "month", "picture.n", "picture.band_95", "word.none", "unit"}
    for key, text in strings("zh").items():
        if key in same or key.split(".")[0] in same or not re.search(r"[a-z]{3,}", re.sub(r"\{[^}]*\}", "", text)):
            continue
        assert CHINESE.search(text), key


def test_no_english_sentence_remains_in_the_chinese_report():
    text = plain(markdown(document("zh"), "html"))
    assert len(CHINESE.findall(text)) > 3000
    assert ENGLISH.findall(text) == []


def test_the_check_finds_english_where_there_is_some():
    assert ENGLISH.search(plain("受试者 must be met 等"))
    assert len(ENGLISH.findall(plain(markdown(document("en"), "html")))) > 100


def test_no_chinese_stands_in_the_english_report():
    assert not CHINESE.search(markdown(document("en"), "html"))


@pytest.mark.parametrize("name", sorted(pictures.PICTURES))
def test_figures_speak_chinese(name):
    texts = [t.get_text() for t in pictures.PICTURES[name](document("zh")).figure.findobj(Text)]
    assert any(CHINESE.search(t) for t in texts)
    assert not [t for t in texts if ENGLISH.search(t.replace("Example Hospital", ""))]


def test_the_trial_has_chinese_for_every_criterion_clause_and_assumption():
    own, protocol = trial_words("NCT06642025", "zh"), trial()
    for one in protocol.all_criteria:
        assert CHINESE.search(own["names"][one.name]), one.name
        if one.assessable:
            assert CHINESE.search(own["readings"][one.name]), one.name
        elif not one.same_as:
            assert CHINESE.search(own["sources"][one.name]), one.name
    assert list(own["clauses"]) == list(protocol.clauses())
    assert {s.name for s in protocol.scenarios} == set(own["scenarios"])
    for setting in protocol.thresholds().query("kind == 'threshold'").index:
        assert CHINESE.search(own["settings"][setting]), setting


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_trial_s_words_name_only_what_there_is(language):
    """A name with a typo would silently never be shown."""
    own, protocol = trial_words("NCT06642025", language), trial()
    criteria = {c.name for c in protocol.all_criteria} | {"ex02_measured"}
    for section in ("names", "readings", "sources"):
        assert set(own.get(section, {})) <= criteria
    assert set(own["settings"]) <= set(protocol.settings) | {"min_ex02_percent"}
    assert set(own["columns"]) <= set(protocol.columns)


def test_numbers_in_readings_agree_with_the_english_ones():
    """Every number of an English reading stands in the Chinese one."""
    own = trial_words("NCT06642025", "zh")["readings"]
    words = {"six": "六"}
    for one in trial().assessable:
        for number in re.findall(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*st|th)", one.reading):
            assert number in own[one.name], (one.name, number)
        for english, chinese in words.items():
            if re.search(rf"\b{english}\b", one.reading):
                assert chinese in own[one.name], one.name
