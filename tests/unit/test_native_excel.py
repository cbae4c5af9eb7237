"""Excel files in the native layout: what a clinic's export holds gives the tables that the same CSV gives."""

import datetime as dt

import pytest
from openpyxl import Workbook

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.errors import ReadError
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS

DAY = dt.datetime(2025, 6, 20)
SHEETS = {
    "patients": [["pid", "birth_date", "sex", "last_visit"], ["007", dt.date(1980, 1, 1), "女", DAY],
                 [8, "1970", 1.0, None]],
    "diagnoses": [["pid", "dx_date", "icd10"], ["007", DAY, "C92.0"], [8.0, "2024-05", "C92.0"]],
    "labs": [["pid", " sample_datetime ", "local_name", "value_text", "value_num", "unit", "ref_high"],
             ["007", dt.datetime(2025, 6, 20, 7, 30), "血红蛋白 HGB", None, 0.1 + 0.2 + 80, "g/L", None],
             ["007", DAY, "谷草 AST", "<20", None, "U/L", 40], [8, DAY, "乙肝表面抗原 HBsAg", "阴性", None, None, None],
             [None] * 7],
    "infections": [["pid", "date", "active", "severity", "controlled"], ["007", DAY, False, "NA", None],
                   [8, DAY, True, "severe", False]],
    "courses": [["pid", "course_no", "phase", "start", "stop", "intensity"], ["007", 1, "诱导", DAY, None, "强化"]],
}  # fmt: skip


def save(folder, **changed):
    for name, lines in (SHEETS | changed).items():
        book = Workbook()
        for line in lines:
            book.active.append(line)
        book.save(folder / f"{name}.xlsx")
    return folder


def table(extract, name):
    return extract.tables[name].order_by("row_id").to_pyarrow().to_pylist()


def test_cells_keep_their_meaning(tmp_path):
    extract = read_extract(save(tmp_path))
    people = table(extract, "patients")
    assert [p["pid"] for p in people] == ["007", "8"]
    assert [str(p["birth_date"]) for p in people] == ["1980-01-01", "1970-01-01"]
    assert str(people[1]["birth_date_last"]) == "1970-12-31"
    first, second = table(extract, "labs")[:2]
    assert (str(first["date"]), first["value_num"], first["local_name"]) == ("2025-06-20", 80.3, "血红蛋白 HGB")
    assert (second["comparator"], second["value_num"], second["ref_high"]) == ("<", 20.0, 40.0)
    assert [i["active"] for i in table(extract, "infections")] == [False, True]
    assert extract.facts["files"]["labs"] == {"file": "labs.xlsx", "rows": 3}


def test_the_cohort_is_that_of_the_same_csv_files(tmp_path):
    (tmp_path / "sheets").mkdir()
    (tmp_path / "text").mkdir()
    save(tmp_path / "sheets")
    text = {
        "patients": "pid,birth_date,sex,last_visit\n007,1980-01-01,女,2025-06-20\n8,1970,1,\n",
        "diagnoses": "pid,dx_date,icd10\n007,2025-06-20,C92.0\n8,2024-05,C92.0\n",
        "labs": "pid,sample_datetime,local_name,value_text,value_num,unit,ref_high\n"
        "007,2025-06-20,血红蛋白 HGB,,80.3,g/L,\n007,2025-06-20,谷草 AST,<20,,U/L,40\n"
        "8,2025-06-20,乙肝表面抗原 HBsAg,阴性,,,\n",
        "infections": "pid,date,active,severity,controlled\n007,2025-06-20,0,,\n8,2025-06-20,1,severe,0\n",
        "courses": "pid,course_no,phase,start,stop,intensity\n007,1,诱导,2025-06-20,,强化\n",
    }
    for name, lines in text.items():
        (tmp_path / "text" / f"{name}.csv").write_text(lines, encoding="utf-8")
    one, other = (
        build_cohort(read_extract(tmp_path / f), as_of("2025-06-30"), AML_COLUMNS) for f in ("sheets", "text")
    )
    assert one.equals(other)
    assert one["hemoglobin_g_l"].iloc[0] == 80.3


def test_a_named_sheet_and_its_nearest_name(tmp_path):
    save(tmp_path)
    book = Workbook()
    book.active.title = "说明"
    sheet = book.create_sheet("results")
    for line in SHEETS["labs"]:
        sheet.append(line)
    book.save(tmp_path / "labs.xlsx")
    extract = read_extract(tmp_path, {"tables": {"labs": {"sheet": "results"}}})
    assert len(table(extract, "labs")) == 3
    with pytest.raises(ReadError, match=r"labs.xlsx: there is no sheet 'result'; it has 说明, results. Did you mean"):
        read_extract(tmp_path, {"tables": {"labs": {"sheet": "result"}}})


@pytest.mark.parametrize("cut", [0, 50, 2000])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, cut):
    save(tmp_path)
    whole = (tmp_path / "labs.xlsx").read_bytes()
    (tmp_path / "labs.xlsx").write_bytes(whole[:cut])
    with pytest.raises(ReadError, match=r"labs.xlsx is (cut off or )?no Excel file"):
        read_extract(tmp_path)


def test_a_sheet_without_patient_ids_is_an_error(tmp_path):
    with pytest.raises(ReadError, match="labs.xlsx: there is no column 'pid'"):
        read_extract(save(tmp_path, labs=[["病历号", "date"], ["007", DAY]]))
