"""Code lists: every declared list is there, well formed, disjoint where it must be, and extensible by a folder."""

from itertools import combinations

import pytest

from feasibility.cohort import codelists
from feasibility.cohort.codelists import CodeListError
from feasibility.trials.aml import AML_COLUMNS

DECLARED = sorted({c.codelist for c in AML_COLUMNS.columns if c.codelist})
HEADER = "system,code,term,source,certainty\n"


@pytest.mark.parametrize("name", DECLARED)
def test_every_declared_code_list_is_shipped(name):
    assert len(codelists.load(name)) > 0


@pytest.mark.parametrize("name", codelists.names())
def test_every_list_is_well_formed(name):
    table = codelists.load(name)
    assert list(table) == list(codelists.COLUMNS)
    assert set(table["system"]) <= set(codelists.SYSTEMS)
    assert set(table["certainty"]) <= set(codelists.CERTAINTIES)
    assert (table[["code", "term", "source"]] != "").all(axis=None)
    keys = [(s, codelists.normal(s, c)) for s, c in zip(table["system"], table["code"], strict=True)]
    assert len(set(table[["system", "code"]].itertuples(index=False))) == len(keys)


def test_percent_and_absolute_cd3_share_no_code():
    assert codelists.overlaps("cd3_absolute", "cd3_percent") == []
    assert codelists.contains("cd3_absolute", "loinc", "8122-4")
    assert not codelists.contains("cd3_percent", "loinc", "8122-4")
    assert codelists.contains("cd3_percent", "loinc", "8124-0")
    assert not codelists.contains("cd3_absolute", "loinc", "8124-0")


@pytest.mark.parametrize("group", codelists.DISJOINT, ids="-".join)
def test_lists_that_must_be_disjoint_are(group):
    assert codelists.overlaps(*group) == []


def test_overlaps_sees_prefixes(tmp_path):
    (tmp_path / "leukaemia.csv").write_text(HEADER + "icd10,C92*,Myeloid leukaemia,ours,R+\n", encoding="utf-8")
    found = codelists.overlaps("apl", "leukaemia", extra_folders=[tmp_path])
    assert ("icd10", "C92.4*", "apl", "leukaemia") in found


def test_local_names_mean_one_laboratory_test():
    names = {}
    for name in ("hemoglobin", "platelets", "lymphocytes", "cd3_absolute", "cd3_percent", "ast", "alt",
                 "creatinine", "bilirubin_total", "bilirubin_direct", "hbsag", "anti_hbc", "hbv_dna", "hcg",
                 "pb_blasts"):  # fmt: skip
        table = codelists.load(name)
        names[name] = {codelists.normal("local", c) for c in table.loc[table["system"] == "local", "code"]}
    for a, b in combinations(names, 2):
        assert not names[a] & names[b], (a, b)


@pytest.mark.parametrize(
    ("name", "system", "code"),
    [
        ("hemoglobin", "loinc", "718-7"), ("hemoglobin", "omop", "3000963"), ("hemoglobin", "local", "血红蛋白 HGB"),
        ("aml", "icd10", "C92.000"), ("aml", "icd10", "C9200"), ("apl", "icd10", "C92.400"), ("mpal", "icd10", "C95.0"),
        ("acute_mi", "icd10", "I21.4"), ("cabg", "icd9proc", "36.11"), ("cabg", "cpt", "33533"),
        ("steroids", "atc", "H02AB04"), ("immunosuppressants", "atc", "L04AB02"), ("hsct", "icd9proc", "41.05"),
        ("hbv_dna", "loinc", "42595-9"), ("planned_drugs", "local", "异丙嗪"), ("gilbert", "icd10", "E80.4"),
        ("pregnancy", "icd10", "Z33.1"), ("lactation", "icd10", "O92.7"), ("aids", "icd10", "B24"),
    ],
)  # fmt: skip
def test_codes_of_the_specification_are_listed(name, system, code):
    assert codelists.contains(name, system, code)


@pytest.mark.parametrize(
    ("name", "system", "code"),
    [
        ("acute_mi", "icd10", "I25.2"), ("nonischemic_cardiomyopathy", "icd10", "I25.5"), ("aml", "icd10", "C92.4"),
        ("ventricular_arrhythmia", "icd10", "I49.3"), ("aids", "icd10", "Z21"), ("pregnancy", "icd10", "O92.7"),
        ("bilirubin_total", "loinc", "1968-7"), ("steroids", "atc", "R03BA02"), ("hemoglobin", "icd10", "718-7"),
    ],
)  # fmt: skip
def test_look_alikes_are_not(name, system, code):
    assert not codelists.contains(name, system, code)


def test_matches_separates_prefixes():
    found = codelists.matches("cabg")
    assert found["icd9proc"] == ((), ("36.1",))
    assert "33510" in found["cpt"][0]


def test_steroid_equivalents_are_those_of_the_specification():
    table = codelists.steroid_equivalents()
    factors = table.groupby("drug")["factor"].unique().map(lambda v: v.item()).to_dict()
    assert factors == {
        "prednisone": 1, "prednisolone": 1, "methylprednisolone": 1.25, "dexamethasone": 6.667, "betamethasone": 6.667,
        "hydrocortisone": 0.25, "cortisone": 0.2, "triamcinolone": 1.25, "deflazacort": 0.833,
    }  # fmt: skip
    listed = codelists.load("steroids")[["system", "code"]]
    assert set(listed.itertuples(index=False, name=None)) == set(
        table[["system", "code"]].itertuples(index=False, name=None)
    )
    assert 12 * factors["methylprednisolone"] == 15


def test_a_folder_adds_replaces_and_extends(tmp_path):
    (tmp_path / "ferritin.csv").write_text(HEADER + "loinc,2276-4,Ferritin,ours,R+\n", encoding="utf-8-sig")
    (tmp_path / "gilbert.csv").write_text(HEADER + "local,吉尔伯特,Gilbert,ours,R+\n", encoding="utf-8")
    (tmp_path / "platelets.add.csv").write_text(HEADER + "local,Thrombozyten,Platelets,ours,R+\n", encoding="utf-8")
    assert "ferritin" in codelists.names([tmp_path])
    assert "ferritin" not in codelists.names()
    assert codelists.load("ferritin", [tmp_path])["code"].tolist() == ["2276-4"]
    assert codelists.matches("gilbert", [tmp_path]) == {"local": (("吉尔伯特",), ())}
    assert codelists.contains("platelets", "local", "thrombozyten", [tmp_path])
    assert codelists.contains("platelets", "loinc", "777-3", [tmp_path])
    assert not codelists.contains("platelets", "local", "thrombozyten")


def test_a_changed_file_is_read_again(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + "local,a,A,ours,D\n", encoding="utf-8")
    assert codelists.load("mine", [tmp_path])["code"].tolist() == ["a"]
    file.write_text(HEADER + "local,a,A,ours,D\nlocal,b,B,ours,D\n", encoding="utf-8")
    import os

    os.utime(file, ns=(1, 1))
    assert codelists.load("mine", [tmp_path])["code"].tolist() == ["a", "b"]


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(CodeListError, match="no code list 'haemoglobin'.* Did you mean 'hemoglobin'"):
        codelists.load("haemoglobin")
    with pytest.raises(CodeListError, match="no folder of code lists"):
        codelists.load("hemoglobin", [tmp_path / "nowhere"])
    for text, message in (
        ("system,code\nloinc,1\n", "needs a row and the columns system, code, term"),
        (HEADER, "needs a row"),
        (HEADER + "lonic,1-1,x,ours,D\n", "line 2: no code system 'lonic'. Did you mean 'loinc'"),
        (HEADER + "loinc,*,x,ours,D\n", "line 2: the code is blank"),
        (HEADER + "loinc,1-1,x,ours,sure\n", "line 2: certainty 'sure' is not one of"),
    ):
        (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
        codelists._read.cache_clear()
        with pytest.raises(CodeListError, match=message):
            codelists.load("bad", [tmp_path])
    (tmp_path / "bad.csv").write_bytes("名称".encode("gbk"))
    codelists._read.cache_clear()
    with pytest.raises(CodeListError, match="not UTF-8"):
        codelists.load("bad", [tmp_path])
