"""The interactive part without a browser: ranges on small populations, errors, and what the page holds."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from helpers import ROOT
from interactive_toy import ANY, DEFAULTS, FAILS, GRIDS, IDS, PASSES, UNKNOWN, change, protected

from feasibility.disclosure.policy import POLICIES, Policy
from feasibility.errors import FeasibilityError, ProtocolError, ReconciliationError
from feasibility.interactive.chart import library
from feasibility.interactive.knowledge import knowledge_of
from feasibility.interactive.page import interactive_fragment
from feasibility.interactive.ranges import Range, funnel_ranges, ranges
from feasibility.interactive.texts import LANGUAGES, strings_of

IN = {"x": (3, 3), "y": (1, 1), "z": (3, 3), "w": (3, 3), "first": PASSES, "second": PASSES}


def patient(**values) -> dict:
    return IN | values


def test_two_failures_that_were_waived_one_by_one_leave_a_range():
    both = patient(x=(0, 0), first=FAILS)
    three = patient(x=(0, 0), y=(9, 9), first=FAILS)
    core = protected([patient(), both, both, three])
    assert ranges(core, ["I1"]) == Range(1, 1, 1, 1)
    # "both" and "three" answer every question of the release alike: no single change lets any of them in.
    assert ranges(core, ["I1", "E1"]) == Range(1, 4, 1, 4)
    assert ranges(core, ["I1", "I2", "E1"]) == Range(1, 4, 1, 4)
    assert ranges(core, IDS) == Range(4, 4, 4, 4)


def test_a_scenario_of_two_changes_closes_the_range():
    both = patient(x=(0, 0), first=FAILS)
    core = protected([patient(), both, both], [change("wide", "scenarios", {"min_a": 0}, ["E1"])])
    assert ranges(core, ["E1"], {"min_a": 0}) == Range(3, 3, 3, 3)
    assert ranges(core, ["E1"], {"min_a": 1}) == Range(1, 3, 1, 3)
    # The scenario moved I3 as well, which reads the same threshold: what I3 says in the protocol is not known.
    assert ranges(core, ["I1", "E1"]) == Range(1, 3, 1, 3)
    assert ranges(core, ["I1", "I3", "E1"]) == Range(3, 3, 3, 3)


def test_what_is_known_of_two_criteria_holds_for_both_together():
    # Passes I1 and I3 at 3 and I2 at 1: each was released by itself, both together follow.
    core = protected([patient()] * 3)
    assert ranges(core, thresholds={"min_a": 3, "max_b": 1}) == Range(3, 3, 3, 3)
    # At 3 the first fails I1, at 1 the second fails I2: both are out of any state that makes both stricter.
    core = protected([patient(x=(2, 2)), patient(y=(2, 2)), patient()])
    assert ranges(core, thresholds={"min_a": 3, "max_b": 1}) == Range(1, 1, 1, 1)


def test_an_unknown_is_possible_and_not_confirmed_until_its_criterion_is_left_out():
    core = protected([patient(), patient(first=UNKNOWN), patient(first=UNKNOWN)])
    assert ranges(core) == Range(3, 3, 1, 1)
    assert ranges(core, ["E1"]) == Range(3, 3, 3, 3)


def test_the_funnel_of_the_protocol_is_the_released_one():
    people = [patient(), patient(x=(0, 0)), patient(y=ANY), patient(first=FAILS, w=ANY), patient(z=(0, 0))]
    core = protected(people)
    released, got = core.attrition(), funnel_ranges(core)
    for end in ("low", "high"):
        assert got[f"remaining_{end}"].tolist() == released.n_remaining.tolist() == [4, 3, 3, 2]
        assert got[f"confirmed_{end}"].tolist() == released.n_confirmed.tolist()
    assert funnel_ranges(core, ["rule_i2"]).in_force.tolist() == [True, False, True, True]


def test_a_group_is_out_only_after_the_last_criterion_it_may_fall_at():
    # With I1 left out, the release says that one of I2, I3 and E1 fails, not which.
    got = funnel_ranges(protected([patient(x=(0, 0), first=FAILS)]), ["I1"])
    assert got.remaining_low.tolist() == [1, 0, 0, 0]
    assert got.remaining_high.tolist() == [1, 1, 1, 0]


def test_a_tighter_scenario_becomes_a_place_on_the_slider():
    core = protected([patient()], [change("strict", "scenarios", {"min_a": 4})])
    known = knowledge_of(core)
    assert known.slider["min_a"].values == (0, 1, 2, 3, 4)
    assert known.slider["min_a"].criteria == (0, 2)
    assert ranges(known, thresholds={"min_a": 4}) == Range(0, 0, 0, 0)


def test_a_threshold_whose_curve_falls_orders_nothing_but_keeps_its_numbers():
    core = protected([patient()] * 4)
    place = [q.name for q in core.queries].index("possible@min_a=0")
    members = core.members.copy()
    members[:, place] = False  # looser, and yet nobody is left
    members[:, [q.name for q in core.queries].index("confirmed@min_a=0")] = False
    odd = replace(core, members=members)
    assert knowledge_of(odd).slider["min_a"].direction == 0
    assert knowledge_of(odd).slider["max_b"].direction == 1
    assert ranges(odd, thresholds={"min_a": 0}) == Range(0, 0, 0, 0)
    assert ranges(odd, thresholds={"min_a": 1}) == Range(4, 4, 4, 4)


def test_groups_that_contradict_themselves_are_a_defect():
    core = protected([patient()])
    members = core.members.copy()
    members[:, [q.name for q in core.queries].index("excluded:I1")] = True
    with pytest.raises(ReconciliationError, match="contradict each other"):
        knowledge_of(replace(core, members=members))


def test_noise_below_zero_widens_and_never_turns_a_range_round():
    core = protected([patient(), patient(x=(0, 0), first=FAILS)])
    core = replace(core, n=np.where(core.first_failing < 0, 20, -3))
    assert ranges(core) == Range(20, 20, 20, 20)
    assert ranges(core, ["I1", "E1"]) == Range(17, 20, 17, 20)


def test_errors_name_what_there_is():
    core = protected([patient()])
    with pytest.raises(ProtocolError, match="no criterion 'rule_i9'.* Did you mean 'rule_i"):
        ranges(core, ["rule_i9"])
    with pytest.raises(ProtocolError, match="no grid for a threshold 'min_aa'.* Did you mean 'min_a'"):
        ranges(core, thresholds={"min_aa": 1})
    with pytest.raises(FeasibilityError, match=r"2.5 is not on the released grid of 'min_a'. Its values: 0, 1, 2, 3."):
        ranges(core, thresholds={"min_a": 2.5})
    with pytest.raises(FeasibilityError, match=r"off is a list of criteria, got the text 'I1'; write \['I1'\]"):
        ranges(core, "I1")
    with pytest.raises(FeasibilityError, match="no texts in 'de'"):
        interactive_fragment(core, language="de")
    with pytest.raises(FeasibilityError, match="no text 'rest'. Did you mean 'reset'"):
        interactive_fragment(core, strings={"rest": "x"})
    with pytest.raises(FeasibilityError, match="'range' must have the same braces"):
        interactive_fragment(core, strings={"range": "{low} or so"})


# --- the page ---------------------------------------------------------------------------------------------------------

NHS = POLICIES["nhs"]


def nearest(n: int) -> int:
    return NHS.rounded(n)


@pytest.fixture(scope="module")
def people():
    """Unequal groups, with counts that appear nowhere rounded."""
    return [
        *[patient()] * 143, *[patient(first=UNKNOWN)] * 61, *[patient(x=(1, 1))] * 29, *[patient(x=(0, 0))] * 18,
        *[patient(y=(3, 3))] * 17, *[patient(x=(0, 0), first=FAILS)] * 13, *[patient(w=ANY, z=(0, 0))] * 8,
        *[patient(z=(1, 1))] * 4, *[patient(first=FAILS)] * 2,
    ]  # fmt: skip


def facts_in(page: str) -> dict:
    return json.loads(re.search(r"<script[^>]*data-facts>(.*?)</script>", page, re.DOTALL)[1])


def test_the_page_is_a_function_of_the_protected_table_alone(people):
    # 143 and 144 patients, and 2 and 1 in a group that rounds to nothing, in another order: the same protected table.
    one = interactive_fragment(protected(people, policy=NHS, round_to=nearest))
    other = interactive_fragment(protected([*people[-2::-1], people[0]], policy=NHS, round_to=nearest))
    assert one == other


def test_the_numbers_in_the_page_are_protected_counts_and_the_grid(people):
    core = protected(people, policy=NHS, round_to=nearest)
    facts = facts_in(interactive_fragment(core))
    assert set(facts) == {"small", "criteria", "sliders", "columns", "clauses", "groups", "words"}
    assert sum(group[0] for group in facts["groups"]) == core.n_patients
    assert all(group[0] % 5 == 0 and group[0] > 0 and len(group) == 4 for group in facts["groups"])
    # Everything else is a position in another list, the direction of a slider, or the policy's threshold.
    columns, clauses = len(facts["columns"]), len(facts["clauses"])
    for _, *lists in facts["groups"]:
        for places, end in zip(lists, (columns, columns, clauses), strict=True):
            assert all(0 <= place < end for place in places)
    assert all(0 <= j < columns for clause in facts["clauses"] for part in clause for j in part)
    for criterion, settings in facts["columns"]:
        assert 0 <= criterion < len(IDS)
        assert all(0 <= int(k) < 3 and v in facts["sliders"][int(k)]["scale"] for k, v in settings.items())
    assert facts["small"] == {"below": 8, "text": "<8"}
    for slider in facts["sliders"]:
        assert set(slider) == {"name", "direction", "protocol", "scale", "texts", "criteria"}
        shown = [float(text.split()[0]) for text in slider["texts"]]
        assert shown == sorted({DEFAULTS[slider["name"]], *GRIDS[slider["name"]]})
    assert all(set(one) == {"id", "name"} for one in facts["criteria"])
    assert all(isinstance(text, str) and not re.search(r"\d", text) for text in facts["words"].values())


def test_no_number_below_the_threshold_is_shown(people):
    core = protected([*people[143:], *[patient()] * 6], policy=NHS, round_to=nearest)
    page = re.sub(r"<(script|style)\b.*?</\1>", "", interactive_fragment(core), flags=re.DOTALL)
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert "&lt;8" in cells
    numbers = [int(n.replace(",", "")) for cell in cells for n in re.findall(r"\d[\d,]*", cell.replace("&lt;8", ""))]
    assert numbers
    assert all(n % 5 == 0 and n >= 8 for n in numbers)
    assert "multiple of 5, by at most 4 patients" in page


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (POLICIES["cms"], "Groups of 1 to 10 patients .* set to 0 or 11"),
        (replace(POLICIES["dp"], epsilon=0.5), "epsilon 0.5"),
        (Policy("mine", base=10, threshold=10), "multiple of 10, by at most 9 patients"),
    ],
)
def test_the_page_says_how_its_numbers_were_protected(policy, words, people):
    assert re.search(words, interactive_fragment(protected(people, policy=policy)))


def test_the_page_needs_nothing_else_and_has_the_same_bytes_each_time(people):
    core = protected(people, policy=NHS, round_to=nearest)
    page = interactive_fragment(core)
    assert page == interactive_fragment(core)
    own = re.sub(r"<script>'use strict';.*?</script>", "", page, flags=re.DOTALL)
    assert len(own) < 90_000
    assert not re.search(r"https?:|\bsrc=|@import|url\(|\bfetch\(|XMLHttpRequest", own)
    assert page.count("<script") == page.count("</script>") == 4
    assert "Anaconda, Inc., and Bokeh Contributors" in page  # the library's licence stays with it


def test_without_bokeh_the_error_says_what_to_install(people, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    library.cache_clear()
    with pytest.raises(FeasibilityError, match=r"needs Bokeh: pip install 'trial-feasibility\[report\]'"):
        interactive_fragment(protected(people, policy=NHS, round_to=nearest))


def test_a_release_without_some_tables_leaves_those_controls_out(people):
    core = protected(people, policy=NHS, round_to=nearest, tables={"funnel", "bounds"})
    page = interactive_fragment(core)
    assert "data-switch" in page
    assert 'type="range"' not in page
    assert "Not part of this release." in page


def test_texts_are_escaped(people):
    core = protected(people, policy=NHS, round_to=nearest)
    labels = tuple(replace(label, reason='a < b & "c"</script><b>') for label in core.labels)
    page = interactive_fragment(replace(core, labels=labels), strings={"intro": "1 < 2 </script>"})
    assert "a &lt; b &amp; &#34;c&#34;&lt;/script&gt;" in page
    assert "1 &lt; 2 &lt;/script&gt;" in page
    assert page.count("</script>") == 4


def test_every_language_has_the_same_keys_and_braces():
    own = {x: tomllib.loads((ROOT / f"feasibility/interactive/strings/{x}.toml").read_text("utf-8")) for x in LANGUAGES}
    for language in LANGUAGES:
        assert list(own[language]) == list(own["en"])
        for key, text in own["en"].items():
            if isinstance(text, str):
                assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", own[language][key])), key
    assert strings_of("en", {"names": {"age": "Years"}})["names"]["age"] == "Years"


def test_names_and_units_can_be_translated(people):
    core = protected(people, policy=NHS, round_to=nearest)
    page = interactive_fragment(
        core, language="zh", strings={"names": {"rule_i1": "血红蛋白"}, "units": {"g/L": "克/升"}}
    )
    assert "血红蛋白" in page
    assert "2 克/升" in page
    assert 'lang="zh"' in page
