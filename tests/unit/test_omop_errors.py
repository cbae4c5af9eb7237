"""What goes wrong with OMOP files: said with the file, the line and what to do, or counted; never silent."""

from __future__ import annotations

import gzip

import pytest
from postgres.tiny_cdm import TABLES, write_folder

from feasibility.errors import ReadError
from feasibility.sources.omop import omop

NOT_NEEDED = ("observation", "drug_exposure", "drug_strength", "concept_ancestor", "visit_occurrence", "location",
              "condition_occurrence", "observation_period")  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "cdm", without=NOT_NEEDED)


def noted(extract, kind):
    return [(e["file_column"], e["reason"], e["n"], e["rows"]) for e in extract.quality if e["kind"] == kind]


def test_no_person(folder):
    (folder / "person.csv").unlink()
    with pytest.raises(ReadError, match="no person file .* It has: care_site.csv"):
        omop(folder)


def test_nothing_there(tmp_path):
    with pytest.raises(ReadError, match="There is no folder or file"):
        omop(tmp_path / "nowhere")


def test_no_database(tmp_path):
    (tmp_path / "notes.txt").write_text("hello " * 2000)
    with pytest.raises(ReadError, match="neither a folder of OMOP files nor a DuckDB file"):
        omop(tmp_path / "notes.txt")


def test_packed_file_cut_off(folder):
    data = gzip.compress((TABLES["measurement"] * 200).encode())
    (folder / "measurement.csv").unlink()
    (folder / "measurement.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match=r"measurement.csv.gz: the packed file is cut off or damaged .* nothing was"):
        omop(folder)


def test_packed_file_that_is_none(folder):
    (folder / "measurement.csv").rename(folder / "measurement.csv.gz")
    with pytest.raises(ReadError, match=r"measurement.csv.gz: the packed file is cut off or damaged"):
        omop(folder)


def test_plain_file_cut_off_in_the_middle_of_a_line(folder):
    text = TABLES["measurement"]
    (folder / "measurement.csv").write_text(text[: text.index("HBsAg")])
    with pytest.raises(ReadError, match=r"measurement.csv: the file looks cut off"):
        omop(folder)


def test_a_line_with_too_many_fields_is_set_aside_and_counted(folder):
    lines = TABLES["measurement"].splitlines()
    lines.insert(3, lines[1] + ",extra,fields")
    (folder / "measurement.csv").write_text("\n".join(lines) + "\n")
    found = omop(folder)
    assert noted(found, "quarantined") == [("measurement.csv", "too many columns", 1, [4])]
    assert found.facts["rows"]["measurement"] == 6


def test_unreadable_cells_are_counted_with_their_lines_and_the_row_stays(folder):
    text = TABLES["measurement"].replace("2025-04-01,0,6.1", "2025-13-45,0,six")
    (folder / "measurement.csv").write_text(text)
    found = omop(folder)
    assert noted(found, "cell_unreadable") == [
        ("measurement.csv:measurement_date", "not a date", 1, [2]),
        ("measurement.csv:value_as_number", "not a float64", 1, [2]),
    ]
    assert noted(found, "undated") == [("measurement.measurement_date", "date_missing", 1, [])]
    labs = found.tables["labs"].to_pyarrow().to_pylist()
    assert {(r["date"], r["value_num"], r["value_text"]) for r in labs if r["fact_id"] == "measurement:41"} == {
        (None, None, "6.1")
    }


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_seen_in_the_header(folder, delimiter):
    (folder / "death.csv").write_text(TABLES["death"].replace(",", delimiter))
    patients = omop(folder).tables["patients"].to_pyarrow().to_pylist()
    assert str(next(r["death_date"] for r in patients if r["pid"] == "1")) == "2025-05-01"


def test_a_header_of_one_column_is_a_wrong_delimiter(folder):
    (folder / "person.csv").write_text(TABLES["person"].replace(",", "~"))
    with pytest.raises(ReadError, match=r"person.csv: the header 'person_id~.*' is one column; fields must be sep"):
        omop(folder)


def test_dates_without_dashes(folder):
    (folder / "death.csv").write_text("person_id,death_date\n1,20250501\n")
    patients = omop(folder).tables["patients"].to_pyarrow().to_pylist()
    assert str(next(r["death_date"] for r in patients if r["pid"] == "1")) == "2025-05-01"


def test_not_utf8(folder):
    (folder / "person.csv").write_bytes(TABLES["person"].replace("女", "女性患者").encode("gb18030"))
    with pytest.raises(ReadError, match=r"person.csv: the text is not UTF-8"):
        omop(folder)


def test_a_quotation_mark_that_is_not_closed(folder):
    (folder / "procedure_occurrence.csv").write_text(
        TABLES["procedure_occurrence"].replace("41.05", '"41.05')
        + TABLES["procedure_occurrence"].splitlines()[1]
        + "\n"
    )
    try:
        found = omop(folder)
    except ReadError as error:
        assert "procedure_occurrence.csv" in str(error)  # noqa: PT017
    else:
        assert noted(found, "quarantined")


def test_a_table_with_a_wrong_header_is_not_used_and_said(folder):
    (folder / "death.csv").write_text("column0,column1\nPERSON_ID,DEATH_DATE\n")
    found = omop(folder)
    assert noted(found, "table_unusable") == [("death.csv", "no column person_id", 1, [])]
    assert "death" not in [file for file, *_ in noted(found, "table_absent")]


def test_one_table_in_two_files(folder):
    (folder / "PERSON.csv.gz").write_bytes(gzip.compress(TABLES["person"].encode()))
    with pytest.raises(ReadError, match="person is there twice"):
        omop(folder)


def test_an_empty_file(folder):
    (folder / "death.csv").write_text("")
    with pytest.raises(ReadError, match="death.csv: the file is empty"):
        omop(folder)


def test_two_persons_with_one_id_and_a_fact_of_nobody_are_counted(folder):
    (folder / "person.csv").write_text(TABLES["person"] + "1,8532,1990,1,1,,F,,\n")
    (folder / "death.csv").write_text("person_id,death_date\n,2025-05-01\n")
    found = omop(folder)
    assert noted(found, "duplicate") == [("person.person_id", "conflicting", 1, [])]
    assert found.tables["patients"].count().to_pyarrow().as_py() == 4


def test_keys_written_as_decimals_are_ids(folder):
    (folder / "person.csv").write_text(TABLES["person"].replace("\n1,", "\n1.0,"))
    assert "1" in omop(folder).tables["patients"].pid.to_pyarrow().to_pylist()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"shema": "cdm"}, "unknown setting 'shema'. Did you mean 'schema'"),
        ({"tables": {"persons": "x"}}, "names 'persons'. Did you mean 'person'"),
        ({"tables": {"person": "people"}}, "the mapping says person is 'people', which is not there"),
        ({"source_vocabulary": {"measurement": "loync"}}, "code system 'loync'. Did you mean 'loinc'"),
    ],
)
def test_settings_that_do_not_exist(folder, mapping, message):
    with pytest.raises(ReadError, match=message):
        omop(folder, mapping)


def test_mapping_file(folder, tmp_path):
    (tmp_path / "m.toml").write_text('[source_vocabulary]\nmeasurement = "loinc"\n')
    assert omop(folder, tmp_path / "m.toml")
    (tmp_path / "m.toml").write_text("[source_vocabulary\n")
    with pytest.raises(ReadError, match="m.toml: not a valid TOML file"):
        omop(folder, tmp_path / "m.toml")
    with pytest.raises(ReadError, match="There is no mapping file"):
        omop(folder, tmp_path / "other.toml")
