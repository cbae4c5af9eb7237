"""Columns read through a mapping: literal frames, values worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.read import as_cohort
from feasibility.cohort.schema import DTYPES, STRING, CohortTable, Column
from feasibility.trials.aml import AML_COLUMNS

INDEX = "2025-06-30"


def read(mapping=None, index_date=INDEX, columns=AML_COLUMNS, **cells):
    n = len(next(iter(cells.values())))
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(n)]} | cells)
    return as_cohort(frame, columns, mapping={"columns": mapping or {}}, index_date=index_date)


def values(cohort, name):
    return [None if pd.isna(v) else v for v in cohort[name].tolist()]


def bounds(cohort, name):
    return list(zip(values(cohort, name), values(cohort, name + "__upper"), strict=True))


def events(cohort, kind, column=None):
    found = [e for e in cohort.attrs["feasibility"]["events"] if e["kind"] == kind]
    return [e for e in found if column is None or e["column"] == column]


def test_shape_of_the_result():
    cohort = read(age_years=[64.7, None], sex=["F", "男"], hsct=["ja", ""], hemoglobin_g_l=[80, 90], extra=[1, 2])
    assert cohort.index.names == ["patient_id", "index_date"]
    assert cohort.index.get_level_values("patient_id").dtype == STRING
    assert str(cohort.index.get_level_values("index_date").dtype).startswith("datetime64")
    assert cohort["age_years"].dtype == DTYPES["Int64"]
    assert cohort["hemoglobin_g_l"].dtype == DTYPES["Float64"]
    assert cohort["hsct"].dtype == DTYPES["boolean"]
    assert cohort["sex"].dtype == STRING
    assert values(cohort, "age_years") == [64, None]
    assert values(cohort, "sex") == ["female", "male"]
    facts = cohort.attrs["feasibility"]
    assert facts["columns_ignored"] == ["extra"]
    assert "platelets_10e9_l" in facts["columns_absent"]
    assert facts["unknown"]["hsct"] == {"missing": 1}
    assert facts["n_rows"] == facts["n_patients"] == 2


def test_without_index_date_there_is_none():
    assert pd.isna(read(index_date=None, age_years=[50]).index[0][1])


def test_units_land_exactly_on_the_threshold():
    cohort = read({"hemoglobin_g_l": {"from": "HGB", "unit": "g/dL"}}, HGB=["6.0", "6,0", "60 g/L", "3.7235 mmol/L"])
    assert values(cohort, "hemoglobin_g_l") == [60.0, 60.0, 60.0, pytest.approx(60.000479, rel=1e-9)]


def test_unit_column_row_by_row():
    mapping = {"platelets_10e9_l": {"from": "PLT", "unit_column": "U"}}
    cohort = read(mapping, PLT=["31000", "35", "30", "5"], U=["/µL", "10^9/L", "", "mg/dL"])
    assert values(cohort, "platelets_10e9_l") == [31.0, 35.0, None, None]
    assert cohort.attrs["feasibility"]["unknown"]["platelets_10e9_l"] == {"unit_unknown": 2}
    assert events(cohort, "converted")[0]["n"] == 1


def test_inferred_units_are_counted_and_the_undecided_unknown():
    cohort = read({"platelets_10e9_l": {"from": "PLT", "unit": "infer"}}, PLT=[35000, 250, 9e9])
    assert values(cohort, "platelets_10e9_l") == [35.0, 250.0, None]
    assert sum(e["n"] for e in events(cohort, "inferred_unit")) == 2
    cohort = read({"hemoglobin_g_l": {"from": "HGB", "unit": ["g/L", "g/dL"]}}, HGB=[7.5, 75, 5000])
    assert values(cohort, "hemoglobin_g_l") == [75.0, 75.0, None]


def test_unit_in_the_header_of_the_file_column():
    cohort = as_cohort(
        pd.DataFrame({"patient_id": ["A"], "HGB [g/dl]": [7.5]}), AML_COLUMNS,
        mapping={"columns": {"hemoglobin_g_l": "HGB [g/dl]"}},
    )  # fmt: skip
    assert values(cohort, "hemoglobin_g_l") == [75.0]


def test_censored_values_and_ranges_become_bounds():
    cohort = read(platelets_10e9_l=["<10", "＞500", "≤20", "30–35", "40"])
    below = math.nextafter(10, -math.inf)
    above = math.nextafter(500, math.inf)
    assert bounds(cohort, "platelets_10e9_l") == [(0, below), (above, 3000), (0, 20), (30, 35), (40, 40)]
    assert events(cohort, "censored")[0]["n"] == 3


def test_a_column_without_bounds_has_no_upper_column():
    assert "platelets_10e9_l__upper" not in read(platelets_10e9_l=[10, 20])


def test_censored_values_are_converted_before_the_limit_is_moved():
    cohort = read({"hemoglobin_g_l": {"from": "H", "unit": "g/dL"}}, H=["<6", ">6"])
    assert bounds(cohort, "hemoglobin_g_l")[0] == (10, math.nextafter(60, 0))
    assert values(cohort, "hemoglobin_g_l")[1] == math.nextafter(60, 100)


def test_ages():
    cohort = read(age_years=[">89", "90+", "65岁", "64,9", "130", "-1", "18 months"])
    assert bounds(cohort, "age_years") == [(90, 120), (90, 120), (65, 65), (64, 64), (None, None), (None, None), (1, 1)]
    assert cohort.attrs["feasibility"]["unknown"]["age_years"] == {"out_of_range": 2}


def test_ages_from_birth_dates_and_years():
    cohort = read({"age_years": {"birth_date": "dob"}}, dob=["1954-06-30", "1954-07-01", "1954", "2026-01-01", "?"])
    assert bounds(cohort, "age_years") == [(71, 71), (70, 70), (70, 71), (None, None), (None, None)]
    assert cohort.attrs["feasibility"]["unknown"]["age_years"] == {"missing": 1, "after_index": 1}
    cohort = read({"age_years": {"birth_year": "yob"}}, yob=[1954, 1955])
    assert bounds(cohort, "age_years") == [(70, 71), (69, 70)]


def test_scores_given_as_ranges_read_as_the_declaration_says():
    cohort = read(ecog=["0-1", "2-3", ">=2", "5", "1.5", "ECOG 1"],
                  nyha_class=["II", "II-III", "NYHA III", 4, "V", None],
                  lvef_latest_pct=["50–55", "<45", "45 %", "0.45", ">70", "55"])  # fmt: skip
    assert values(cohort, "ecog") == [1, 3, None, None, None, 1]
    assert values(cohort, "nyha_class") == [2, 3, 3, 4, None, None]
    assert bounds(cohort, "lvef_latest_pct")[:4] == [(50, 50), (5, math.nextafter(45, 0)), (45, 45), (None, None)]


def test_below_the_limit_of_detection_is_zero_where_declared():
    cohort = read(hbv_dna_iu_ml=["<20", "未检出", "1.2×10^3", "2E3 IU/mL", "not detected"])
    assert values(cohort, "hbv_dna_iu_ml") == [0, 0, 1200, 2000, 0]
    assert values(read(platelets_10e9_l=["未检出"]), "platelets_10e9_l") == [None]


def test_upper_limit_of_the_same_row():
    mapping = {"ast_x_uln": {"from": "AST", "uln": "ULN"}}
    cohort = read(mapping, AST=[120, 120.1, 50, "<60", "NA"], ULN=[40, 40, None, 40, 40])
    assert values(cohort, "ast_x_uln")[:3] == [3.0, 3.0025, None]
    assert bounds(cohort, "ast_x_uln")[3] == (0, math.nextafter(1.5, 0))
    assert values(read({"ast_x_uln": {"from": "AST", "uln": 40}}, AST=[0.1 * 3 * 40]), "ast_x_uln") == [0.3]


def test_yes_and_no_in_three_languages_and_as_types():
    words = ["yes", "Nein", "是", "阴性", "Y", "0", "未检出", "maybe", "", "unknown"]
    assert values(read(hsct=words), "hsct") == [True, False, True, False, True, False, False, None, None, None]
    assert events(read(hsct=words), "quarantined")[0]["n"] == 1
    assert values(read(hsct=[1.0, 0.0, np.nan, 2.0]), "hsct") == [True, False, None, None]
    assert values(read(hsct=pd.array([True, None], dtype="boolean")), "hsct") == [True, None]
    assert values(read(hsct=["+", "-", ""]), "hsct") == [True, False, None]
    assert values(read({"hsct": {"from": "tx", "codes": {"2": "no", "1": "yes", "9": ""}}}, tx=[1, 2, 9]), "hsct") == [
        True, False, None,
    ]  # fmt: skip


def test_codes_of_the_file_win_over_the_declared_ones():
    cohort = read({"sex": {"from": "g", "codes": {"1": "female", "2": "male", "9": "unknown"}}}, g=[1, 2.0, 9])
    assert values(cohort, "sex") == ["female", "male", None]
    cohort = read(best_response_induction=["CR", "cri", "CR_MRD-", "NE", "great"])
    assert values(cohort, "best_response_induction") == ["CR", "CRi", "CR_MRDneg", None, None]


def test_events_before_the_index_date():
    cohort = read(
        {"months_since_mi": {"date": "MI"}}, MI=["2024-12-30", "2024-12-29", "2024-12", "", "2025-07-01", "never"]
    )
    got = bounds(cohort, "months_since_mi")
    assert got[0] == (6, 6)
    assert got[1][0] > 6
    assert got[2][0] < 6 < got[2][1]
    assert got[3:] == [(None, None), (None, None), (math.inf, math.inf)]
    assert cohort.attrs["feasibility"]["unknown"]["months_since_mi"] == {"missing": 1, "after_index": 1}


def test_blank_is_never_only_for_observed_patients():
    mapping = {"months_since_mi": {"date": "MI", "blank": "never", "observed": "seen"}}
    cohort = read(mapping, MI=["", "", "", "unknown", ""], seen=["2024-06-30", "2024-06-29", "", INDEX, "2025-07-02"])
    assert values(cohort, "months_since_mi") == [math.inf, None, None, None, None]
    cohort = read({"hsct": {"from": "tx", "blank": "no", "observed": True}}, tx=["yes", None])
    assert values(cohort, "hsct") == [True, False]


def test_a_value_is_never_read_from_after_the_index_date():
    mapping = {"hemoglobin_g_l": {"from": "H", "unit": "g/L", "date": "D"}}
    cohort = read(mapping, H=[80, 81, 82, 83], D=["2025-06-16", "2025-07-01", None, "2025-06"])
    assert values(cohort, "hemoglobin_g_l") == [80, None, 82, 83]
    assert bounds(cohort, "days_since_hemoglobin_g_l") == [(14, 14), (None, None), (None, None), (0, 29)]
    own = read(hemoglobin_g_l=[80, 81], days_since_hemoglobin_g_l=[14, -1])
    assert values(own, "hemoglobin_g_l") == [80, None]


def test_age_of_a_value_as_a_statement():
    cohort = read({"hemoglobin_g_l": {"from": "H", "unit": "g/L", "days_since": 0}}, H=[80, None])
    assert values(cohort, "days_since_hemoglobin_g_l") == [0, None]


def test_age_of_a_value_from_a_column_of_days():
    mapping = {"hemoglobin_g_l": {"from": "H", "unit": "g/L", "days_since": "age"}}
    cohort = read(mapping, H=[80, 81, 82, 83], age=[14, "3 weeks", -2, None])
    assert values(cohort, "days_since_hemoglobin_g_l") == [14, 21, None, None]
    assert values(cohort, "hemoglobin_g_l") == [80, 81, None, 83]


def test_time_between_two_dates():
    mapping = {"months_from_cr_to_relapse": {"from_date": "cr", "to_date": "rel"}}
    cohort = read(mapping, cr=["2023-08-31", "2023-08-31", "2024-01-01", "2023", None], rel=["2024-08-31", "2024-09-01",
                  "2023-01-01", "2024-01-31", "2024-01-01"])  # fmt: skip
    got = bounds(cohort, "months_from_cr_to_relapse")
    assert got[0] == (12, 12)
    assert got[1][0] > 12
    assert got[2] == got[4] == (None, None)
    assert got[3] == (1, pytest.approx(12 + 30 / 31))


def test_constant_for_everyone():
    assert values(read({"aml_subtype": {"constant": "aml_non_apl"}}, x=[1, 2]), "aml_subtype") == ["aml_non_apl"] * 2
    assert values(read({"n_relapses": {"constant": 1}, "hsct": {"constant": False}}, x=[1]), "hsct") == [False]


def test_float32_noise_does_not_cross_a_strict_limit():
    cohort = read(hemoglobin_g_l=np.array([60.1, 60.0], dtype="float32"))
    assert values(cohort, "hemoglobin_g_l") == [60.1, 60.0]


def test_infinity_only_means_never():
    cohort = read(hemoglobin_g_l=[np.inf, 80], days_since_rbc_transfusion=[np.inf, 3], months_since_mi=["inf", "1"])
    assert values(cohort, "hemoglobin_g_l") == [None, 80]
    assert values(cohort, "days_since_rbc_transfusion") == [math.inf, 3]
    assert values(cohort, "months_since_mi") == [math.inf, 1]
    late = read(months_since_mi=[">6"])
    assert late["months_since_mi__upper"].iloc[0] < math.inf


def test_typed_dates_in_a_column_of_days():
    cohort = read(days_since_rbc_transfusion=pd.to_datetime(["2025-06-27", None]))
    assert values(cohort, "days_since_rbc_transfusion") == [3, None]


def test_one_index_date_a_row():
    frame = pd.DataFrame(
        {
            "patient_id": ["A", "A", "B"],
            "at": ["2025-01-31", "2025-06-30", ""],
            "mi": ["2024-12-31", "2024-12-31", "2020-01-01"],
        }
    )
    cohort = as_cohort(frame, AML_COLUMNS, index_date="at", mapping={"columns": {"months_since_mi": {"date": "mi"}}})
    assert values(cohort, "months_since_mi") == [1.0, pytest.approx(5 + 30 / 31), None]
    assert cohort.attrs["feasibility"]["unknown"]["months_since_mi"] == {"date_missing": 1}


def test_fills_are_declared_counted_and_leave_known_cells_alone():
    cohort = read(sex=["male", "female", "female", None], age_years=[40, 30, 60, 40],
                  childbearing_potential=[None, "no", None, None])  # fmt: skip
    assert values(cohort, "childbearing_potential") == [False, False, False, None]
    assert values(cohort, "pregnant") == [False, False, False, None]
    assert sum(e["n"] for e in events(cohort, "filled", "childbearing_potential")) == 2


def test_fills_can_be_switched_off():
    frame = pd.DataFrame({"patient_id": ["A"], "sex": ["female"], "age_years": [30]})
    off = as_cohort(frame, AML_COLUMNS, settings={"childbearing_potential.age_proxy": False})
    on = as_cohort(frame, AML_COLUMNS)
    assert off["childbearing_potential"].isna().all()
    assert on["childbearing_potential"].tolist() == [True]
    facts = [c.attrs["feasibility"] for c in (on, off)]
    assert facts[0]["build_fingerprint"] != facts[1]["build_fingerprint"]


def test_fills_from_bounded_columns_are_bounded():
    cohort = read(
        lymphocytes_10e9_l=["<0.4", "1–2", "2"], cd3_percent_of_lymphocytes=[50, 50, None], pb_blast_percent=[0] * 3
    )
    low = math.nextafter(0.4, 0)
    assert bounds(cohort, "cd3_10e9_l") == [(0, pytest.approx(low / 2)), (0.5, 1.0), (0, 2)]


def test_settings_and_attrs_are_json():
    import json

    json.dumps(read(platelets_10e9_l=["<10", "x"]).attrs)


def test_declared_names_only():
    table = CohortTable([Column(name="x", dtype="Float64", doc="A number.")])
    cohort = read(columns=table, x=["1", "2,5"], y=[1, 2])
    assert list(cohort) == ["x"]
    assert values(cohort, "x") == [1, 2.5]
