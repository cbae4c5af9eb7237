"""What goes wrong with patient tables, and what the message says about it."""

import gzip

import pandas as pd
import pytest

from feasibility.cohort.read import as_cohort, installed_columns, read_cohort
from feasibility.cohort.write import write_cohort
from feasibility.errors import CohortError, ReadError
from feasibility.trials.aml import AML_COLUMNS


def read(tmp_path, text, name="t.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cohort(path, options.pop("columns", AML_COLUMNS), **options)


def mapped(columns=None, **file):
    return {"mapping": {"file": file, "columns": columns or {}}}


GOOD = "patient_id,age_years\nP1,50\nP2,60\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv: the file is empty"),
        ("\n\n  \n", "the file is empty"),
        ("patient_id,age_years\n", "a header but no row"),
        ("patient_id\nP1\n", "only one column was found"),
        ("patient_id^age\nP1^3\n", r"no comma, semicolon, tab or bar.*delimiter"),
        ("patientid,age_years\nP1,50\n", r"no column 'patient_id'.*Did you mean 'patientid'.*patient_id = "),
        ("patient_id,age_years\n,50\n ,60\n", "no row has a patient identifier"),
        ("patient_id,age_years\nP1,50\nP2", "looks cut off: line 3 has no line end and only 1 of 2 fields"),
        ('patient_id,age_years\nP1,50\nP2,"6', "looks cut off: line 3.*open quotation mark"),
        ("patient_id,age_years\nP1,50,1\nP2,50,1\nP3,50,1\n", r"3 of 3 rows do not have the 2 fields.*line 2"),
        (
            "patient_id,age_years\nP1,50\nP1,60\nP2,1\n",
            r"1 patients have more than one row \(2 rows, first on lines 2, 3\)",
        ),
        (b"patient_id,site_id\nP1,M\xfcnchen\n", r"encoding cannot be told.*line 2.*cp1252"),
        ("patient_id,site_id\nP1,Zürich".encode()[:-5], "cut off: it ends in the middle of a character"),
        (bytes(range(256)) * 4, "not a text file"),
        ('"patient_id,age_years\nP1,50\n', "quotation mark in the header"),
    ],
)
def test_unreadable_text(tmp_path, text, message):
    with pytest.raises(ReadError, match=message):
        read(tmp_path, text)


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(ReadError, match=r"There is no file .*nowhere.csv"):
        read_cohort(tmp_path / "nowhere.csv", AML_COLUMNS)
    with pytest.raises(ReadError, match=r"There is no file"):
        read_cohort(tmp_path / "nowhere.xlsx", AML_COLUMNS)
    with pytest.raises(ReadError, match=r"files of this kind are not read.*xlsx"):
        read(tmp_path, GOOD, "t.xls")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ReadError, match="is a folder"):
        read_cohort(tmp_path / "folder.csv", AML_COLUMNS)


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.sav", "t.dta", "t.sas7bdat"])
def test_damaged_binary_files(tmp_path, name):
    with pytest.raises(ReadError, match=rf"{name}: .*cut off"):
        read(tmp_path, b"PK this is no such file", name)


def test_truncated_gzip(tmp_path):
    packed = gzip.compress((GOOD * 500).encode())
    with pytest.raises(ReadError, match=r"t.csv.gz: the packed file is cut off or damaged"):
        read(tmp_path, packed[:-9], "t.csv.gz")


def test_stated_encoding_that_is_not_so(tmp_path):
    bad = "patient_id,site_id\nP1,München\n".encode("cp1252")
    with pytest.raises(ReadError, match=r"line 2 is not valid utf-8 \(byte 0xfc\)"):
        read(tmp_path, bad, **mapped(encoding="utf-8"))
    with pytest.raises(ReadError, match=r"encoding 'klingon' is not known"):
        read(tmp_path, bad, **mapped(encoding="klingon"))
    with pytest.raises(ReadError, match="byte-order mark says utf-16-le"):
        read(tmp_path, GOOD.encode("utf-16"), **mapped(encoding="utf-8"))


def test_wrong_delimiter_is_named(tmp_path):
    with pytest.raises(ReadError, match=r"only one column.*has commas: state \[file\] delimiter = ','"):
        read(tmp_path, GOOD, **mapped(delimiter=";"))
    with pytest.raises(ReadError, match="not one plain character"):
        read(tmp_path, GOOD, **mapped(delimiter="||"))


def test_stated_number_of_rows(tmp_path):
    with pytest.raises(ReadError, match="states 3 rows, the file has 2"):
        read(tmp_path, GOOD, **mapped(rows=3))


def test_duplicates_latest_needs_an_order_without_ties(tmp_path):
    text = "patient_id,age_years,visit\nP1,50,2025-01-01\nP1,51,2025-01-01\nP2,1,2025-01-01\n"
    with pytest.raises(ReadError, match=r"1 patients have two latest rows by 'visit' \(first: line \d\)"):
        read(tmp_path, text, **mapped(duplicates="latest", order_by="visit"))
    with pytest.raises(CohortError, match="needs order_by"):
        read(tmp_path, text, **mapped(duplicates="latest"))
    with pytest.raises(CohortError, match="duplicates is 'first'"):
        read(tmp_path, text, **mapped(duplicates="first"))
    with pytest.raises(ReadError, match=r"order_by is 'visits'.*Did you mean 'visit'"):
        read(tmp_path, text, **mapped(duplicates="latest", order_by="visits"))
    unordered = "patient_id,age_years,visit\nP1,50,\nP1,51,\n"
    with pytest.raises(ReadError, match="none with a usable 'visit'"):
        read(tmp_path, unordered, **mapped(duplicates="latest", order_by="visit"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"hemoglobin_g": {"from": "HGB"}}, r"\[columns.hemoglobin_g\].*no column of this name.*'hemoglobin_g_l'"),
        ({"hemoglobin_g_l": {"form": "HGB"}}, r"'form' is not known.*Did you mean 'from'"),
        ({"hemoglobin_g_l": {"from": "HG"}}, r"reads file column 'HG', which is not there.*Did you mean 'HGB'"),
        ({"hemoglobin_g_l": {"from": "HGB"}}, r"state the unit of file column 'HGB'.*g/dL.*mmol/L.*unit_column"),
        (
            {"hemoglobin_g_l": {"from": "HGB", "unit": "U/L"}},
            r"unit 'U/L' does not convert to g/L. Accepted: g/L, g/dL",
        ),
        ({"hemoglobin_g_l": {"from": "HGB", "unit": ["g/L", "x"]}}, r"unit 'x' does not convert"),
        ({"hemoglobin_g_l": {"unit": "g/L"}}, r"not said where the value comes from"),
        ({"hemoglobin_g_l": {"from": "HGB", "constant": 3}}, r"from and constant are both given"),
        (
            {"hemoglobin_g_l": {"from": "HGB", "unit": "g/L", "date": "D"}},
            r"from the dates in 'D'.*no index date is known",
        ),
        ({"hemoglobin_g_l": {"from": "HGB", "date": "D", "days_since": 0}}, r"the age of the value once"),
        ({"hemoglobin_g_l": {"from": "HGB", "months_since": 0}}, r"counted in days"),
        ({"nyha_class": {"from": "HGB", "days_since": 0}}, r"counted in months"),
        ({"sex": {"from": "HGB", "date": "D"}}, r"sex has no date"),
        ({"sex": {"birth_date": "D"}}, r"sex is no age"),
        ({"sex": {"from": "HGB", "uln": 40}}, r"uln is for columns that are a multiple"),
        ({"ast_x_uln": {"from": "HGB"}}, r"multiple of the upper limit of normal: give uln"),
        ({"months_from_cr_to_relapse": {"from_date": "D"}}, r"from_date and to_date are needed together"),
        ({"months_since_mi": {"date": "D", "blank": "never"}}, r"blank = 'never' needs observed"),
        ({"hsct": {"from": "HGB", "blank": "perhaps", "observed": True}}, r"blank = 'perhaps' is no value"),
        ({"hemoglobin_g_l": {"from": "HGB", "decimal": ";"}}, r"decimal is ';'"),
        ({"months_since_mi": {"date": "D", "date_format": "ymd"}}, r"date_format is 'ymd'"),
    ],
)
def test_mappings_that_do_not_fit(columns, message):
    frame = pd.DataFrame({"patient_id": ["A"], "HGB": [7.5], "D": ["2025-01-01"]})
    with pytest.raises(CohortError, match=message):
        as_cohort(frame, AML_COLUMNS, mapping={"columns": columns})


def test_mapping_files(tmp_path):
    path = tmp_path / "map.toml"
    frame = pd.DataFrame({"patient_id": ["A"], "age_years": [3]})
    with pytest.raises(CohortError, match=r"There is no mapping 'map.toml'"):
        as_cohort(frame, AML_COLUMNS, mapping=path)
    path.write_text("[file\n")
    with pytest.raises(CohortError, match=r"mapping 'map.toml' is not valid TOML"):
        as_cohort(frame, AML_COLUMNS, mapping=path)
    path.write_text("[colums.sex]\nfrom = 'x'\n")
    with pytest.raises(CohortError, match=r"'colums' is no section.*Did you mean 'columns'"):
        as_cohort(frame, AML_COLUMNS, mapping=path)


def test_unknown_setting_and_index_date(tmp_path):
    with pytest.raises(CohortError, match=r"no build setting 'ecog.window'.*Did you mean 'ecog.window_days'"):
        read(tmp_path, GOOD, settings={"ecog.window": 3})
    with pytest.raises(ReadError, match=r"index_date is 'visit', which is neither a date nor a column"):
        read(tmp_path, GOOD, index_date="visit")


def test_repeated_column_names():
    frame = pd.DataFrame([["A", 1, 2]], columns=["patient_id", "age_years", "age_years"])
    with pytest.raises(ReadError, match="'age_years' occurs more than once"):
        as_cohort(frame, AML_COLUMNS)


def test_columns_of_a_type_that_cannot_be_a_value(tmp_path):
    with pytest.raises(ReadError, match="'age_years' is of type timedelta"):
        as_cohort(pd.DataFrame({"patient_id": ["A"], "age_years": pd.to_timedelta([1], unit="D")}), AML_COLUMNS)
    path = tmp_path / "t.parquet"
    pd.DataFrame({"patient_id": ["A"], "age_years": [[1, 2]]}).to_parquet(path)
    with pytest.raises(ReadError, match="'age_years' holds list"):
        read_cohort(path, AML_COLUMNS)


def test_excel_sheets(tmp_path):
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"patient_id": ["A"]}).to_excel(book, sheet_name="one", index=False)
        pd.DataFrame({"patient_id": ["B"]}).to_excel(book, sheet_name="two", index=False)
    with pytest.raises(ReadError, match=r"several sheets hold something \(one, two\)"):
        read_cohort(path, AML_COLUMNS)
    with pytest.raises(ReadError, match=r"no sheet 'three'. Sheets: one, two"):
        read_cohort(path, AML_COLUMNS, mapping={"file": {"sheet": "three"}})
    assert read_cohort(path, AML_COLUMNS, mapping={"file": {"sheet": "two"}}).index[0][0] == "B"
    empty = tmp_path / "empty.xlsx"
    pd.DataFrame().to_excel(empty)
    with pytest.raises(ReadError, match="is empty"):
        read_cohort(empty, AML_COLUMNS)


def test_writing_what_cannot_be_read_back(tmp_path):
    cohort = as_cohort(pd.DataFrame({"patient_id": ["A"], "site_id": ["Ward 3"]}), AML_COLUMNS)
    with pytest.raises(CohortError, match=r"\.csv, \.tsv, \.parquet or \.arrow"):
        write_cohort(cohort, tmp_path / "c.json")
    with pytest.raises(CohortError, match="needs a cohort"):
        write_cohort(cohort.reset_index(), tmp_path / "c.csv")
    cohort["site_id"] = cohort["site_id"].replace("Ward 3", "NA")
    with pytest.raises(CohortError, match="write .parquet instead"):
        write_cohort(cohort, tmp_path / "c.csv")


def test_all_read_errors_are_cohort_errors():
    assert issubclass(ReadError, CohortError)


def test_no_trials_no_columns(monkeypatch):
    monkeypatch.setattr("feasibility.cohort.read.entry_points", lambda group: ())
    with pytest.raises(CohortError, match="no installed trial was found"):
        installed_columns()
