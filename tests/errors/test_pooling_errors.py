"""What is refused when counts are added up, and what the message says to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import frame

import feasibility as fz
from feasibility import inclusion
from feasibility.errors import FeasibilityError
from feasibility.patterns import PatternTable, pool
from feasibility.pooling.ohdsi import read_rule_masks
from feasibility.pooling.parts import count_part


@inclusion("I5.1", "hemoglobin above 60 g/L")
def hemoglobin(hemoglobin_g_l, *, min_hemoglobin: Annotated[float, "g/L"] = 60, either: bool = False):
    """Latest value."""
    return hemoglobin_g_l > min_hemoglobin


@inclusion("I5.1", "hemoglobin above 60 g/L")
def stricter(hemoglobin_g_l, *, min_hemoglobin: Annotated[float, "g/L"] = 60, either: bool = False):
    """Latest value."""
    return hemoglobin_g_l > min_hemoglobin + 1


stricter = replace(stricter, name="hemoglobin")


@inclusion("I4", "age of 18 years or more")
def adult(age_years, *, min_age: int = 18):
    """Completed years."""
    return age_years >= min_age


CONSENT = fz.not_assessable("I7", "consent", "inclusion", "consent", rate=fz.Beta(7, 3), source="assumed")
TRIAL = fz.Protocol("DEMO", "Demo", [adult, hemoglobin, CONSENT])
COHORT = frame(age_years=("Int64", 17, 18, 60, None), hemoglobin_g_l=("Float64", 61, 60, None, 100))


def made(protocol=TRIAL, part="a", cohort=COHORT, **header):
    table = count_part(cohort, protocol, part=part)
    return replace(table, header={**table.header, **header})


def refused(other, match, one=None, **options):
    with pytest.raises(FeasibilityError, match=match):
        pool([one or made(), other], names=["a.parquet", "b.parquet"], **options)


# Protocols and builds that differ ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "match"),
    [
        (TRIAL.with_thresholds(min_hemoglobin=70),
         r"Criterion I5.1 differs \(hemoglobin\): threshold min_hemoglobin is 60 in a.parquet against 70 in b.parquet"
         r" \(g/L\)"),
        (TRIAL.with_thresholds(either=True), "reading either is False in a.parquet against True in b.parquet"),
        (fz.Protocol("DEMO", "Demo", [adult, stricter, CONSENT]), "I5.1 differs .* its code is another in a.parquet"),
        (fz.Protocol("DEMO", "Demo", [adult, replace(hemoglobin, text="Hb > 60"), CONSENT]),
         "its text is 'hemoglobin above 60 g/L' in a.parquet against 'Hb > 60' in b.parquet"),
        (fz.Protocol("DEMO", "Demo", [adult, replace(hemoglobin, name="hb"), CONSENT]), "its name is 'hemoglobin'"),
        (TRIAL.without("I4"), r"Criterion I4 \(adult\) is in a.parquet, but not in b.parquet \(waived there\?\)"),
        (fz.Protocol("OTHER", "Other", [adult, hemoglobin]), "The trial is DEMO in a.parquet against OTHER in b"),
        (TRIAL.with_rates(consent=(1, 1)), r"Clause I7, which no data decides, is consent Beta\(7, 3\) in a.parquet"),
    ],
)  # fmt: skip
def test_another_protocol_is_refused_saying_what_differs(protocol, match):
    refused(made(protocol, "b"), f"[Cc]riterion {match}" if match.startswith("I") else match)


def test_the_order_of_criteria_is_no_difference():
    turned = made(TRIAL.reordered("I5.1"), "b")
    assert pool([made(), turned]).to_frame()["I4"].isna().sum() == 1
    assert pool([made(), turned]).n_patients == 8


def test_an_older_file_without_settings_still_names_the_criterion():
    bare = replace(made(), header={k: v for k, v in made().header.items() if k != "asked"})
    refused(made(TRIAL.with_thresholds(min_age=20)), "I4 differs .*threshold, reading or code", one=bare)


@pytest.mark.parametrize(
    ("mine", "theirs", "match"),
    [
        ({"build": "x", "build_settings": {"hb.days": 14}}, {"build": "y", "build_settings": {"hb.days": 28}},
         "Build setting hb.days is 14 in a.parquet against 28 in b.parquet"),
        ({"build": "x", "build_settings": {}}, {"build": "y", "build_settings": {}}, "declared or built differently"),
        ({"build": "x"}, {"build": None}, "The build settings of b.parquet are not known"),
        ({"code_lists": {"aml": "1"}}, {"code_lists": {"aml": "2"}}, "The code list aml holds other codes"),
        ({"index": {"days": ["2025-06-30"]}}, {"index": {"days": ["2025-07-31"]}},
         "index date is 2025-06-30 in a.parquet against 2025-07-31 in b.parquet.*build and count both parts the same"),
        ({"index": {"days": ["2025-06-30"]}}, {"index": {"days": ["2025-01-31", "2025-07-31"]}},
         "against from 2025-01-31 to 2025-07-31"),
        ({"index": {"policy": "as_of", "stated": {"alive": True}}}, {"index": {"policy": "as_of", "stated":
         {"alive": False}}}, r"index dates are as_of\(alive=True\) in a.parquet against as_of\(alive=False\)"),
        ({"synthetic": True}, {}, "a.parquet holds synthetic patients"),
    ],
)  # fmt: skip
def test_patients_prepared_otherwise_are_refused(mine, theirs, match):
    refused(made(part="b", **theirs), match, one=made(**mine))


def test_the_index_date_of_a_cohort_reaches_the_header():
    tables = []
    for day in ("2025-06-30", "2025-09-30"):
        dated = COHORT.assign(index_date=pd.Timestamp(day)).set_index("index_date", append=True)
        tables.append(count_part(dated, TRIAL, part=day))
    with pytest.raises(FeasibilityError, match="index date is 2025-06-30 in table 1 against 2025-09-30 in table 2"):
        pool(tables)


def test_strata_that_differ_are_refused():
    cohort = COHORT.assign(site=pd.array(["A", "A", "B", None], dtype=pd.StringDtype("python")))
    refused(count_part(cohort, TRIAL, by=["site"]), "a.parquet was counted by nothing, b.parquet by site")


def test_the_same_part_twice_is_refused(tmp_path):
    one = made()
    with pytest.raises(FeasibilityError, match="table 2 holds the same counts as table 1"):
        pool([one, one])
    for name, table in (("a", one), ("b", made(part="b")), ("copy", one)):
        table.save(tmp_path / f"{name}.parquet")
    a, b, copy = (PatternTable.load(tmp_path / f"{n}.parquet") for n in ("a", "b", "copy"))
    with pytest.raises(FeasibilityError, match="copy holds the same counts as a: its patients would count twice"):
        pool([a, copy], names=["a", "copy"])
    pool([a, b]).save(tmp_path / "pooled.parquet")
    pooled = PatternTable.load(tmp_path / "pooled.parquet")
    with pytest.raises(FeasibilityError, match=r"b holds the same counts as pooled \(or a part of it, pooled before\)"):
        pool([pooled, b], names=["pooled", "b"])
    with pytest.raises(FeasibilityError, match="a is given twice"):
        pool([a, a], names=["a", "a"])
    assert pool([a, b]).n_patients == 8


def test_every_part_is_compared_with_every_other():
    """The first says nothing about its code lists; the others contradict each other."""
    parts = [made(part="a"), made(part="b", code_lists={"aml": "1"}), made(part="c", code_lists={"aml": "2"})]
    with pytest.raises(FeasibilityError, match="code list aml holds other codes in table 2 than in table 3"):
        pool(parts)


def test_what_one_part_lacks_is_said_of_the_whole():
    pooled = pool([made(), made(part="b", absent={"hemoglobin_g_l": ["I5.1"]})])
    assert pooled.header["absent"] == {"hemoglobin_g_l": ["I5.1"]}


def test_nothing_to_pool():
    with pytest.raises(FeasibilityError, match="nothing to pool"):
        pool([])


# Files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "counts.parquet"
    made().save(path)
    return path


def edited(file, change):
    """The file as somebody would leave it who edits it with an ordinary Parquet program."""
    table = pq.read_table(file)
    pq.write_table(change(table), file)


def load_refused(file, match):
    with pytest.raises(FeasibilityError, match=match):
        PatternTable.load(file)


def test_a_changed_count_is_refused(file):
    edited(file, lambda t: t.set_column(0, "n", pa.array(np.r_[99, t["n"].to_numpy()[1:]])))
    load_refused(file, "counts.parquet: its counts or patterns were changed after it was written. Count it again")


def test_a_changed_status_is_refused(file):
    edited(file, lambda t: t.set_column(1, "failed_0", pa.array(t["failed_0"].to_numpy()[::-1])))
    load_refused(file, "its counts or patterns were changed after it was written")


def test_a_removed_row_is_refused(file):
    edited(file, lambda t: t.slice(1))
    load_refused(file, "it has 3 patterns where 4 were written, so rows were removed")


def test_a_changed_header_is_refused(file):
    def change(table):
        header = json.loads(table.schema.metadata[b"feasibility"])
        header["asked"]["I5.1"]["settings"]["min_hemoglobin"] = 70
        return table.replace_schema_metadata({"feasibility": json.dumps(header)})

    edited(file, change)
    load_refused(file, "its header was changed after it was written")


def test_a_broken_header_is_refused(file):
    edited(file, lambda t: t.replace_schema_metadata({"feasibility": "{"}))
    load_refused(file, "its header was changed after it was written, or is no pattern file's")


def test_another_version_is_refused(file):
    edited(file, lambda t: t.replace_schema_metadata({"feasibility": '{"format": "feasibility patterns 1"}'}))
    load_refused(file, "its format is 'feasibility patterns 1'; this version reads 'feasibility patterns 2'")


def test_a_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-20])
    load_refused(file, r"cut off after [\d,]+ bytes .* Copy it again, whole")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "the file is empty"),
        (b'{"n": 3}', "not a readable pattern file, but JSON. Make one with `feasibility counts"),
        (b"patient_id,age\nP1,30\n", "a text file such as CSV"),
        (b"PK\x03\x04" + bytes(50), "an Excel or zip file"),
        (b"ARROW1\x00\x00" + bytes(50), "a prepared cohort"),
        (bytes(range(200, 256)) * 3, "a file of another kind"),
        (b"PAR1" + bytes(40) + b"PAR1", "not a readable pattern file, damaged inside"),
    ],
)
def test_other_files_are_refused_for_what_they_are(tmp_path, content, match):
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    load_refused(path, match)


def test_a_foreign_parquet_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": [1]}), path)
    load_refused(path, "a Parquet file from elsewhere, not a pattern file")
    pq.write_table(pa.table({"patient_id": ["P1"]}), path)
    load_refused(path, "a table with a row a patient, not a pattern file.*Make a pattern file of it")


def test_no_file_and_a_folder(tmp_path):
    load_refused(tmp_path / "absent.parquet", "there is no such file")
    load_refused(tmp_path, "a folder; name one pattern file")
    with pytest.raises(FeasibilityError, match="the pattern file cannot be written"):
        made().save(tmp_path / "absent" / "x.parquet")


# OHDSI ------------------------------------------------------------------------------------------------------------

RULES = pd.DataFrame({"rule_sequence": [0, 1], "name": ["adult", "Hb"]})
ROWS = pd.DataFrame({"inclusion_rule_mask": [3, 1, 0], "person_count": [40, 5, 7], "mode_id": 1})


@pytest.mark.parametrize(
    ("rows", "rules", "match"),
    [
        (ROWS.rename(columns={"person_count": "personen"}), RULES, "no column 'person_count'.*Known|Did you mean"),
        (ROWS.drop(columns="mode_id"), RULES, "no column 'mode_id'.*people or events.*--best-event"),
        (ROWS.assign(mode_id=0), RULES, r"counts events only \(mode_id 0\), and a patient can have several"),
        (ROWS.assign(mode_id=2), RULES, "mode_id 2; it is 0"),
        (ROWS.assign(inclusion_rule_mask=[4, 1, 0]), RULES, r"mask 4 has bits of rules .* does not name \(2 rules\)"),
        (ROWS.assign(inclusion_rule_mask=[-1, 1, 0]), RULES, "mask -1 has bits"),
        (ROWS.assign(inclusion_rule_mask=[1, 1, 0]), RULES, "a mask occurs twice"),
        (ROWS.assign(inclusion_rule_mask=["9.223372036854775e18", "1", "0"]), RULES, "is '9.22.*not a whole number"),
        (ROWS.assign(person_count=["<5", "3", "4"]), RULES, "person_count is '<5', not a whole number"),
        (ROWS.assign(person_count=[-1, 3, 4]), RULES, "person_count -1 stands for no count"),
        (ROWS.assign(cohort_definition_id=[1, 2, 2]), RULES, r"2 cohorts \(1, 2\); say which: cohort="),
        (ROWS.assign(database_id=["a", "b", "b"]), RULES, r"2 databases \(a, b\); say which: database="),
        (ROWS, RULES.assign(rule_sequence=[0, 2]), "rule_sequence is 0, 2; it counts 0, 1, 2"),
        (ROWS, RULES.assign(name="same"), "two rules are called 'same'"),
        (ROWS, pd.DataFrame({"rule_sequence": range(64), "name": map(str, range(64))}), "64 rules; a 64-bit mask"),
        (ROWS.head(0), RULES, "there is no row in it"),
    ],
)  # fmt: skip
def test_rule_masks_that_cannot_be_read(rows, rules, match):
    with pytest.raises(FeasibilityError, match=match):
        read_rule_masks(rows, rules)


def test_rule_masks_of_a_cohort_that_is_not_there(tmp_path):
    with pytest.raises(FeasibilityError, match="no cohort 3"):
        read_rule_masks(ROWS.assign(cohort_definition_id=[1, 2, 2]), RULES, cohort=3)
    with pytest.raises(FeasibilityError, match="there is no such file"):
        read_rule_masks(tmp_path / "absent.csv", RULES)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FeasibilityError, match="not a readable CSV file"):
        read_rule_masks(tmp_path / "binary.csv", RULES)


def test_rule_masks_and_criteria_that_do_not_match():
    masks, like = read_rule_masks(ROWS, RULES), made()
    both = {"I4": "adult", "I5.1": "Hb"}
    for rules, match in (
        ({"I4": "adult"}, r"No rule is named for criterion I5.1 \(hemoglobin\)"),
        (both | {"I9": "Hb"}, "There is no criterion 'I9'"),
        (both | {"I5.1": "Hgb"}, "There is no rule 'Hgb' for I5.1"),
        (both | {"I5.1": "adult"}, "The rule 'Hb' stands for no criterion"),
    ):
        with pytest.raises(FeasibilityError, match=match):
            masks.patterns(like, rules)
    censored = read_rule_masks(ROWS.assign(person_count=[40, -5, 7]), RULES)
    with pytest.raises(FeasibilityError, match="1 of 3 counts are censored .between 48 and 51 people in all"):
        censored.patterns(like, both)


def test_two_valued_and_three_valued_are_not_mixed_unlabelled():
    masks = read_rule_masks(ROWS, RULES).patterns(made(), {"I4": "adult", "I5.1": "Hb"})
    refused(masks, "b.parquet is unknown_as_fail and a.parquet is three-valued: unknown and failed patients would be")
    refused(masks, "is three-valued and the result is to be unknown_as_fail|mixed", answers="three-valued")
    refused(masks, "answers is 'two-valued'", answers="two-valued")
    labelled = pool([made(), masks], answers="unknown_as_fail")
    assert labelled.header["answers"] == "unknown_as_fail"
    assert labelled.n_unknown.sum() == 0
    assert (labelled.n_patients, labelled.n_confirmed, labelled.n_possible) == (56, 40, 40)
