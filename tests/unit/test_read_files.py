"""Files of every kind: delimiters, encodings, ragged rows, several rows per patient, spreadsheets, statistics files."""

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.read import as_cohort, installed_columns, read_cohort
from feasibility.errors import ReadError
from feasibility.trials.aml import AML_COLUMNS


def read(tmp_path, text, name="t.csv", columns=None, **file):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cohort(path, AML_COLUMNS, mapping={"file": file, "columns": columns or {}})


def events(cohort, kind):
    return [e for e in cohort.attrs["feasibility"]["events"] if e["kind"] == kind]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found_with_evidence(tmp_path, delimiter):
    cohort = read(tmp_path, f"patient_id{delimiter}age_years\nP1{delimiter}50\nP2{delimiter}60\n")
    assert cohort["age_years"].tolist() == [50, 60]
    assert cohort.attrs["feasibility"]["delimiter"] == delimiter
    assert "2 fields in the header and in 100%" in cohort.attrs["feasibility"]["delimiter_evidence"]


def test_decimal_commas_do_not_confuse_the_delimiter(tmp_path):
    cohort = read(tmp_path, "patient_id;platelets_10e9_l;age_years\nP1;7,1;50\nP2;12,5;60\nP3;100;1\n")
    assert cohort["platelets_10e9_l"].tolist() == [7.1, 12.5, 100]


def test_sep_line_of_spreadsheets(tmp_path):
    assert read(tmp_path, "sep=;\npatient_id;age_years\nP1;50\n")["age_years"].tolist() == [50]


def test_rows_with_another_number_of_fields_are_counted_with_their_lines(tmp_path):
    text = "patient_id,age_years,ecog\nP1,50,1\nP2,60\nP3,70,1,9\n\nP4,80,0\nP5,81,0\n"
    cohort = read(tmp_path, text)
    assert cohort.index.get_level_values(0).tolist() == ["P1", "P4", "P5"]
    assert cohort.attrs["feasibility"]["n_rows_rejected"] == 2
    assert cohort.attrs["feasibility"]["n_rows_in_file"] == 5
    assert events(cohort, "quarantined")[0]["rows"] == [3, 4]


def test_an_open_quote_takes_only_its_own_row(tmp_path):
    rows = "".join(f"P{i},{i},ok\n" for i in range(10, 60))
    cohort = read(tmp_path, f'patient_id,age_years,note\nP1,50,"open\n{rows}P2,60,"fine, really"\nP3,61,"two\nlines"\n')
    assert len(cohort) == 52
    assert events(cohort, "quarantined")[0]["rows"] == [2]


def test_line_numbers_are_those_of_the_file(tmp_path):
    text = 'patient_id,age_years,note\n\nP1,x,"two\nlines"\n\nP2,y,\nP3,5,\n'
    assert events(read(tmp_path, text), "quarantined")[0]["rows"] == [3, 6]


def test_quoted_delimiters_and_doubled_quotes(tmp_path):
    cohort = read(tmp_path, 'patient_id,site_id,age_years\nP1,"A, ""B""",50\n"P2",C,60\n')
    assert cohort["site_id"].tolist() == ['A, "B"', "C"]


def test_a_header_over_two_lines(tmp_path):
    columns = {"hemoglobin_g_l": "Hb (g/dL)"}
    cohort = read(tmp_path, 'patient_id,"Hb\n(g/dL)",note\nP1,7.5,\nP2,8,"a\nb"\n', columns=columns)
    assert cohort["hemoglobin_g_l"].tolist() == [75.0, 80.0]


def test_old_macintosh_line_ends(tmp_path):
    assert read(tmp_path, "patient_id,age_years\rP1,50\rP2,60\r")["age_years"].tolist() == [50, 60]


def test_the_last_value_without_line_end_is_set_aside_unless_stated(tmp_path):
    text = "patient_id,age_years\nP1,50\nP2,61"
    cohort = read(tmp_path, text)
    assert cohort["age_years"].isna().tolist() == [False, True]
    assert "no line end" in events(cohort, "quarantined")[0]["reason"]
    assert read(tmp_path, text, complete=True)["age_years"].tolist() == [50, 61]


@pytest.mark.parametrize(
    ("data", "encoding", "evidence"),
    [
        (b"patient_id,site_id\nA,x\n", "ascii", "plain"),
        ("patient_id,site_id\nA,Zürich\n".encode(), "utf-8", "valid UTF-8"),
        ("patient_id,site_id\nA,Zürich\n".encode("utf-8-sig"), "utf-8", "byte-order mark"),
        ("patient_id,site_id\nA,Zürich\n".encode("utf-16"), "utf-16-le", "byte-order mark"),
        ("patient_id,site_id\nA,Zürich\n".encode("utf-16-be"), "utf-16-be", "every other byte"),
        ("patient_id,site_id\nA,安徽省立医院血液科\n".encode("gb18030"), "gb18030", "common Chinese characters"),
    ],
)
def test_encodings_are_shown_by_evidence(tmp_path, data, encoding, evidence):
    facts = read(tmp_path, data).attrs["feasibility"]
    assert facts["encoding"] == encoding
    assert evidence in facts["encoding_evidence"]


def test_several_rows_per_patient_latest_by_date(tmp_path):
    text = "patient_id,age_years,visit\nP1,50,2025-01-01\nP1,51,2025-06-01\nP1,52,2025-07-15\n"
    text += "P2,60,\nP1,9,\nP3,1,2025-01-01\n"
    cohort = read(tmp_path, text, duplicates="latest", order_by="visit", index_date="2025-06-30")
    assert cohort["age_years"].tolist() == [51, 60, 1]
    assert cohort.attrs["feasibility"]["n_rows_superseded"] == 3
    assert events(cohort, "superseded")[0]["rows"] == [2, 4, 6]
    assert events(cohort, "quarantined")[0]["rows"] == [4]  # the row after the index date
    by_number = text.replace("2025-01-01", "1").replace("2025-06-01", "2").replace("2025-07-15", "3")
    assert read(tmp_path, by_number, duplicates="latest", order_by="visit")["age_years"].tolist() == [52, 60, 1]


def test_rows_without_a_patient_are_counted(tmp_path):
    cohort = read(tmp_path, "patient_id,age_years\nP1,50\n,60\n  ,70\n")
    assert len(cohort) == 1
    assert cohort.attrs["feasibility"]["n_rows_rejected"] == 2


def test_patient_ids_stay_as_they_are_written(tmp_path):
    assert read(tmp_path, "patient_id,age_years\n007,50\n7,60\nNA,70\n").index.get_level_values(0).tolist() == [
        "007",
        "7",
        "NA",
    ]
    pd.DataFrame({"patient_id": [7.0, 8.0], "age_years": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    assert read_cohort(tmp_path / "t.parquet", AML_COLUMNS).index.get_level_values(0).tolist() == ["7", "8"]


def test_long_numeric_identifiers_keep_every_digit(tmp_path):
    ids = [340101195406300011, 340101195406300012]
    frame = pd.DataFrame({"patient_id": ids, "age_years": [1, 2]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    for cohort in (read_cohort(tmp_path / n, AML_COLUMNS) for n in ("t.parquet", "t.csv")):
        assert cohort.index.get_level_values(0).tolist() == [str(i) for i in ids]
    assert as_cohort(frame, AML_COLUMNS).index.get_level_values(0).tolist() == [str(i) for i in ids]
    with pytest.raises(ReadError, match="last digits are lost"):
        as_cohort(frame.astype({"patient_id": "float64"}), AML_COLUMNS)


def test_a_cohort_is_a_cohort():
    frame = pd.DataFrame({"patient_id": ["A", "B"], "platelets_10e9_l": ["<10", 30], "hsct": ["no", None]})
    cohort = as_cohort(frame, AML_COLUMNS, index_date="2025-06-30")
    pd.testing.assert_frame_equal(as_cohort(cohort, AML_COLUMNS), cohort)


def test_excel_with_real_dates_blank_rows_and_numbers(tmp_path):
    path = tmp_path / "t.xlsx"
    frame = pd.DataFrame(
        {
            "patient_id": [1, 2, None, 3],
            "MI": pd.to_datetime(["2024-12-30", None, None, "2025-01-30"]),
            "age_years": [50, 60.5, None, "k.A."],
        }
    )
    frame.to_excel(path, index=False)
    cohort = read_cohort(
        path, AML_COLUMNS, index_date="2025-06-30", mapping={"columns": {"months_since_mi": {"date": "MI"}}}
    )
    assert cohort.index.get_level_values(0).tolist() == ["1", "2", "3"]
    assert cohort["months_since_mi"].tolist() == [6.0, pd.NA, 5.0]
    assert cohort["age_years"].tolist() == [50, 60, pd.NA]
    assert cohort.attrs["feasibility"]["sheet"] == "Sheet1"


def test_excel_serials_in_a_number_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,MI\nP1,45656\nP2,45687\n")
    cohort = read_cohort(
        path, AML_COLUMNS, index_date="2025-06-30", mapping={"columns": {"months_since_mi": {"date": "MI"}}}
    )
    assert cohort["months_since_mi"].tolist() == [6.0, 5.0]


def test_value_labels_of_statistics_files_are_codes(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    frame = pd.DataFrame({"patient_id": ["A", "B", "C"], "sex": [1.0, 2.0, 9.0], "age_years": [50.0, np.nan, 60.0]})
    labels = {"sex": {1: "Male", 2: "weiblich", 9: "unknown"}}
    pyreadstat.write_sav(frame, str(tmp_path / "t.sav"), variable_value_labels=labels)
    pyreadstat.write_dta(frame.astype({"sex": "int64"}), str(tmp_path / "t.dta"), variable_value_labels=labels)
    pyreadstat.write_xport(frame[["patient_id", "age_years"]], str(tmp_path / "t.xpt"))
    for name in ("t.sav", "t.dta"):
        cohort = read_cohort(tmp_path / name, AML_COLUMNS)
        assert cohort["sex"].tolist() == ["male", "female", pd.NA]
        assert cohort["age_years"].tolist() == [50, pd.NA, 60]
    assert read_cohort(tmp_path / "t.xpt", AML_COLUMNS)["age_years"].tolist() == [50, pd.NA, 60]


def test_parquet_of_every_type(tmp_path):
    import decimal

    frame = pd.DataFrame({
        "patient_id": pd.Categorical(["A", "B"]), "hemoglobin_g_l": np.array([60.1, np.nan], dtype="float32"),
        "ecog": pd.array([1, None], dtype="Int8"), "hsct": pd.array([True, None], dtype="boolean"),
        "sex": pd.Categorical(["m", None]), "platelets_10e9_l": [decimal.Decimal("30.10"), None],
        "days_since_rbc_transfusion": pd.to_datetime(["2025-06-29 23:30", None]).tz_localize("Asia/Shanghai"),
    })  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    cohort = read_cohort(tmp_path / "t.parquet", AML_COLUMNS, index_date="2025-06-30")
    row = cohort.iloc[0]
    assert (row["hemoglobin_g_l"], row["ecog"], row["hsct"], row["sex"], row["platelets_10e9_l"]) == (
        60.1,
        1,
        True,
        "male",
        30.1,
    )
    assert row["days_since_rbc_transfusion"] == 1
    assert cohort.iloc[1][["hemoglobin_g_l", "ecog", "hsct", "sex", "platelets_10e9_l"]].isna().all()


def test_progress_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,age_years\nP1,50\n")
    seen = []
    read_cohort(path, AML_COLUMNS, progress=lambda stage, share: seen.append((stage, share)))
    assert seen[-1] == ("done", 1.0)
    assert [s for _, s in seen] == sorted(s for _, s in seen)


def test_columns_of_installed_trials_are_the_default(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,age_years\nP1,50\n")
    assert read_cohort(path)["age_years"].tolist() == [50]
    assert "platelets_10e9_l" in installed_columns()
