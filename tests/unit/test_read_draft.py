"""The draft of a mapping: guesses from names, units and values."""

import tomllib

import pandas as pd
import pytest

from feasibility.cohort.draft import draft_mapping
from feasibility.cohort.read import read_cohort
from feasibility.errors import CohortError
from feasibility.trials.aml import AML_COLUMNS


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "export.csv"
    pd.DataFrame({
        "病历号": ["A1", "A2", "A3"], "DOB": ["1960-01-02", "1970-05", "1980-12-31"], "Geschlecht": ["M", "W", "X"],
        "HGB": [-1, 7.9, 12.1], "HGB_DATE": ["2025-06-01", "2025-06-20", ""], "PLT (10^3/uL)": [35, 120, 99],
        "Crea": [70, 80, 90], "Crea_unit": ["umol/l", "umol/l", "mg/dL"], "AST": [30, 40, 50], "AST_ULN": [40, 40, 35],
        "transplant": ["ja", "nein", "k.A."], "names": ["x", "y", "z"],
    }).to_csv(path, index=False)  # fmt: skip
    return path


def test_guesses(file):
    text = draft_mapping(file, AML_COLUMNS)
    draft = tomllib.loads(text)
    columns = draft["columns"]
    assert draft["file"] == {"patient_id": "病历号", "rows": 3}
    assert columns["age_years"] == {"birth_date": "DOB"}
    assert columns["sex"] == {"from": "Geschlecht", "codes": {"X": "unknown"}}
    assert columns["hemoglobin_g_l"] == {"from": "HGB", "missing": ["-1"], "unit": "CHECK", "date": "HGB_DATE"}
    assert columns["platelets_10e9_l"] == {"from": "PLT (10^3/uL)", "unit": "10^3/uL"}
    assert columns["creatinine_umol_l"] == {"from": "Crea", "unit_column": "Crea_unit"}
    assert columns["ast_x_uln"] == {"from": "AST", "uln": "AST_ULN"}
    assert columns["hsct"] == {"from": "transplant", "codes": {"k.A.": "unknown"}}
    assert '"names": codes x, y, z' in text


def test_an_unsettled_unit_has_to_be_decided_before_the_draft_can_be_used(file, tmp_path):
    draft = tmp_path / "draft.toml"
    draft.write_text(draft_mapping(file, AML_COLUMNS), encoding="utf-8")
    with pytest.raises(CohortError, match=r"unit 'CHECK' does not convert to g/L. Accepted: g/L, g/dL"):
        read_cohort(file, AML_COLUMNS, mapping=draft, index_date="2025-06-30")
    draft.write_text(draft.read_text(encoding="utf-8").replace('"CHECK"', '"g/dL"'), encoding="utf-8")
    cohort = read_cohort(file, AML_COLUMNS, mapping=draft, index_date="2025-06-30")
    assert cohort["hemoglobin_g_l"].tolist() == [pd.NA, 79.0, 121.0]


def test_declared_names_win(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,age_years,age\nP1,50,51\n")
    assert tomllib.loads(draft_mapping(path, AML_COLUMNS))["columns"]["age_years"] == {"from": "age_years"}
