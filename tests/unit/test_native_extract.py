"""What goes wrong with a hospital's files, and that every line and cell of them is accounted for."""

import gzip

import pandas as pd
import pytest

from feasibility.errors import ReadError
from feasibility.sources.native import read_extract

PATIENTS = "pid,birth_date,sex\nP1,1980-01-01,F\nP2,1970-05,M\n"
LABS = "pid,sample_datetime,loinc,local_name,value_text,value_num,unit,ref_low,ref_high\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "patients.csv").write_text(PATIENTS, encoding="utf-8")
    (tmp_path / "diagnoses.csv").write_text("pid,dx_date,icd10\nP1,2024-01-01,C92.0\n", encoding="utf-8")
    (tmp_path / "labs.csv").write_text(LABS + "P1,2025-06-01 07:30,718-7,,,80,g/L,,\n", encoding="utf-8")
    (tmp_path / "courses.csv").write_text("pid,course_no,phase,start,stop,intensity\n", encoding="utf-8")
    return tmp_path


def rows(extract, name: str) -> pd.DataFrame:
    return extract.tables[name].order_by("row_id").to_pyarrow().to_pandas()


def kinds(extract) -> dict:
    return {(e["column"], e["kind"]): e["n"] for e in extract.quality}


def test_dates_keep_their_day_and_partial_ones_their_last_day(folder):
    extract = read_extract(folder)
    patients = rows(extract, "patients")
    assert patients["birth_date"].astype(str).tolist() == ["1980-01-01", "1970-05-01"]
    assert patients["birth_date_last"].astype(str).tolist() == ["1980-01-01", "1970-05-31"]
    assert rows(extract, "labs")["date"].astype(str).tolist() == ["2025-06-01"]


def test_an_absent_file_is_an_absent_table(folder):
    assert "echo" not in read_extract(folder)


@pytest.mark.parametrize(("cells", "value", "comparator", "unit"), [
    ("<10,,10*9/L,,", 10.0, "<", "10*9/L"), (",≥30,,,", 30.0, ">=", None), ("7.5 g/dL,,,,", 7.5, None, "g/dL"),
    (",1.5e3,/uL,,", 1500.0, None, "/uL"), ("阴性,,,,", None, None, None),
])  # fmt: skip
def test_numbers_comparators_and_units_wherever_they_stand(folder, cells, value, comparator, unit):
    (folder / "labs.csv").write_text(LABS + f"P1,2025-06-01,777-3,,{cells}\n", encoding="utf-8")
    row = rows(read_extract(folder), "labs").iloc[0]
    got = [None if v is None or v != v else v for v in row[["value_num", "comparator", "unit"]]]
    assert got == [value, comparator, unit]


def test_a_reference_range_in_one_cell(folder):
    (folder / "labs.csv").write_text(LABS + "P1,2025-06-01,1920-8,,,30,U/L,9--50,\n", encoding="utf-8")
    assert rows(read_extract(folder), "labs")[["ref_low", "ref_high"]].iloc[0].tolist() == [9.0, 50.0]


def test_a_bad_cell_is_counted_and_costs_nothing_else(folder):
    (folder / "labs.csv").write_text(
        LABS + "P1,tomorrow,718-7,,,abc,g/L,,\nP1,2025-06-02,718-7,,,81,g/L,,\n", encoding="utf-8"
    )
    extract = read_extract(folder)
    assert len(rows(extract, "labs")) == 2
    assert kinds(extract)["labs.sample_datetime", "quarantined"] == 1
    assert kinds(extract)["labs.value_num", "quarantined"] == 1


def test_a_line_with_too_few_or_too_many_fields_is_set_aside(folder):
    text = LABS + "P1,2025-06-02\nP1,2025-06-02,718-7,,,81,g/L,,,a,b\nP1,2025-06-03,718-7,,,82,g/L,,\n"
    (folder / "labs.csv").write_text(text, encoding="utf-8")
    extract = read_extract(folder)
    assert rows(extract, "labs")["value_num"].tolist() == [82.0]
    assert extract.facts["files"]["labs"]["rejected"] == 2


def test_an_event_of_an_unknown_patient_is_counted(folder):
    (folder / "labs.csv").write_text(LABS + "P9,2025-06-02,718-7,,,81,g/L,,\n", encoding="utf-8")
    assert kinds(read_extract(folder))["labs", "unknown_patient"] == 1


def test_two_patients_with_one_id_are_counted(folder):
    (folder / "patients.csv").write_text(PATIENTS + "P1,1981-01-01,F\n", encoding="utf-8")
    assert kinds(read_extract(folder))["patients", "duplicate_patient"] == 1


def test_extra_columns_are_listed(folder):
    (folder / "diagnoses.csv").write_text("pid,dx_date,icd10,doctor\nP1,2024-01-01,C92.0,Li\n", encoding="utf-8")
    reasons = [e["reason"] for e in read_extract(folder).quality if e["kind"] == "ignored_columns"]
    assert reasons == ["columns not used: doctor"]


def test_gbk_is_found_and_transcoded(folder):
    text = LABS + "".join(f"P1,2025-06-0{i},,血红蛋白,,8{i},克每升,,\n" for i in range(1, 9))
    (folder / "labs.csv").write_bytes(text.encode("gb18030"))
    extract = read_extract(folder)
    assert rows(extract, "labs")["local_name"].unique().tolist() == ["血红蛋白"]
    assert extract.facts["files"]["labs"]["encoding"] == "gb18030"


def test_a_packed_file_that_is_cut_off_is_an_error(folder):
    (folder / "labs.csv").unlink()
    packed = gzip.compress((LABS + "P1,2025-06-02,718-7,,,81,g/L,,\n" * 5000).encode())
    (folder / "labs.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ReadError, match=r"labs\.csv\.gz: the packed file is cut off"):
        read_extract(folder)


def test_a_packed_file_is_read(folder):
    (folder / "labs.csv").unlink()
    (folder / "labs.csv.gz").write_bytes(gzip.compress((LABS + "P1,2025-06-02,718-7,,,81,g/L,,\n" * 50).encode()))
    assert read_extract(folder).facts["files"]["labs"]["rows"] == 50


def test_a_file_cut_off_in_the_middle_loses_one_line_and_says_so(folder):
    (folder / "labs.csv").write_text(LABS + "P1,2025-06-02,718-7,,,81,g/L,,\nP1,2025-06-0", encoding="utf-8")
    extract = read_extract(folder)
    assert len(rows(extract, "labs")) == 1
    assert {("labs", "rejected_line"), ("labs", "open_end")} <= kinds(extract).keys()


def test_the_delimiter_is_found(folder):
    (folder / "labs.csv").write_text((LABS + "P1,2025-06-02,718-7,,,81,g/L,,\n").replace(",", ";"), encoding="utf-8")
    assert rows(read_extract(folder), "labs")["value_num"].tolist() == [81.0]


def test_a_wrong_delimiter_is_an_error(folder):
    with pytest.raises(ReadError, match="only one column was found"):
        read_extract(folder, {"tables": {"labs": {"delimiter": ";"}}})


def test_missing_mandatory_files_are_named(folder):
    (folder / "labs.csv").unlink()
    (folder / "courses.csv").unlink()
    with pytest.raises(ReadError, match=r"labs, courses \(or responses\) are missing"):
        read_extract(folder)


def test_a_mapping_names_files_and_columns(folder):
    (folder / "labs.csv").unlink()
    (folder / "检验.csv").write_text("病历号;采样;项目;结果\nP1;02.06.2025;HGB;8,1\n", encoding="utf-8")
    mapping = folder / "mapping.toml"
    mapping.write_text(
        '[tables.labs]\nfile = "检验.csv"\ndelimiter = ";"\ndecimal = ","\n[tables.labs.columns]\npid = "病历号"\n'
        'date = "采样"\nlocal_name = "项目"\nvalue_num = "结果"\n',
        encoding="utf-8",
    )
    row = rows(read_extract(folder, mapping), "labs").iloc[0]
    assert (row["pid"], str(row["date"]), row["local_name"], row["value_num"]) == ("P1", "2025-06-02", "HGB", 8.1)


def test_a_mapping_to_a_column_that_is_not_there_names_the_nearest(folder):
    with pytest.raises(ReadError, match="Did you mean 'value_num'"):
        read_extract(folder, {"tables": {"labs": {"columns": {"value_num": "value_nun"}}}})


def test_parquet_and_csv_give_the_same_table(folder, tmp_path):
    before = rows(read_extract(folder), "labs")
    pd.read_csv(folder / "labs.csv").to_parquet(folder / "labs.parquet")
    (folder / "labs.csv").unlink()
    pd.testing.assert_frame_equal(rows(read_extract(folder), "labs"), before)


def test_a_drug_with_two_codes_is_two_rows_of_one_fact(folder):
    text = "pid,order_start,order_stop,atc,rxnorm,generic\n"
    text += "P1,2025-01-01,,H02AB07,8640,prednisone\nP1,2025-01-02,,,,aspirin\n"
    (folder / "medications.csv").write_text(text, encoding="utf-8")
    got = rows(read_extract(folder), "medications")
    assert sorted(got["system"].fillna("").tolist()) == ["", "atc", "rxnorm"]
    assert got["fact_id"].nunique() == 2
