"""Public tables, read with the mappings under examples/ and checked with plain Python that shares no code with us."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from feasibility.cohort.read import read_cohort
from feasibility.trials.aml import AML_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
EXAMPLES = ROOT / "examples"


def data(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the public data set {name} is not here")
    return path


def plain_rows(path: Path) -> list[dict]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as stream:
        return list(csv.DictReader(stream))


def column(cohort: pd.DataFrame, name: str) -> dict:
    values = cohort[name]
    return {pid: None if pd.isna(v) else v for (pid, _), v in zip(values.index, values.tolist(), strict=True)}


def test_tcga_laml():
    path = data("tcga_laml/tcga_laml_clinical.csv")
    cohort = read_cohort(path, AML_COLUMNS, mapping=EXAMPLES / "tcga_laml.toml")
    rows = {r["bcr_patient_barcode"]: r for r in plain_rows(path)}
    hb = "lab_procedure_hemoglobin_result_specified_value"
    number = lambda text: None if text in ("", "NA") else float(text)  # noqa: E731
    assert len(cohort) == 200
    assert column(cohort, "age_years") == {p: int(r["age_at_initial_pathologic_diagnosis"]) for p, r in rows.items()}
    assert column(cohort, "hemoglobin_g_l") == {
        p: None if number(r[hb]) is None else number(r[hb]) * 10 for p, r in rows.items()
    }
    assert column(cohort, "platelets_10e9_l") == {
        p: number(r["lab_procedure_platelet_result_specified_value"]) for p, r in rows.items()
    }
    ages = column(cohort, "days_since_hemoglobin_g_l")
    assert {p: v is None for p, v in ages.items()} == {p: number(r[hb]) is None for p, r in rows.items()}
    assert set(cohort) == {
        "age_years", "hemoglobin_g_l", "days_since_hemoglobin_g_l", "platelets_10e9_l", "days_since_platelets_10e9_l",
    }  # fmt: skip
    facts = cohort.attrs["feasibility"]
    assert facts["unknown"] == {"hemoglobin_g_l": {"missing": 1}, "days_since_hemoglobin_g_l": {"missing": 1}}
    assert [(e["kind"], e["column"], e["n"]) for e in facts["events"]] == [
        ("converted", "hemoglobin_g_l", 199),
        ("stated", "days_since_hemoglobin_g_l", 199),
        ("stated", "days_since_platelets_10e9_l", 200),
    ]


@pytest.mark.parametrize(
    ("file", "mapping", "key", "age", "proof"),
    [
        ("KMsurv_bmt.csv", "haematology_bmt.toml", "rownames", "z1", "dc"),
        ("medicaldata_cytomegalovirus.csv", "haematology_cmv.toml", "ID", "age", "agvhd"),
    ],
)
def test_haematology_teaching(file, mapping, key, age, proof):
    path = data(f"haematology_teaching/{file}")
    cohort = read_cohort(path, AML_COLUMNS, mapping=EXAMPLES / mapping)
    rows = {r[key]: r for r in plain_rows(path)}
    assert column(cohort, "age_years") == {p: int(r[age]) for p, r in rows.items()}
    sex = "z3" if "bmt" in file else "sex"
    assert column(cohort, "sex") == {p: {"1": "male", "0": "female"}[r[sex]] for p, r in rows.items()}
    assert set(column(cohort, "hsct").values()) == {True}
    assert column(cohort, "gvhd_ever") == {p: True if r[proof] == "1" else None for p, r in rows.items()}
    acute_myeloid = [
        p for p, r in rows.items() if r.get("diagnosis") == "acute myeloid leukemia" or r.get("group") in ("2", "3")
    ]
    assert {p for p, v in column(cohort, "aml_subtype").items() if v is None} == set(acute_myeloid)
    assert not [e for e in cohort.attrs["feasibility"]["events"] if e["kind"] == "quarantined"]


def test_clinosim_joined_to_one_row_per_person(tmp_path):
    folder = data("clinosim_us_2000")
    spec = importlib.util.spec_from_file_location("clinosim_join", EXAMPLES / "clinosim_join.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    cohort = read_cohort(
        script.join(folder, tmp_path / "persons.csv"), AML_COLUMNS, mapping=EXAMPLES / "clinosim_patients.toml"
    )

    persons = {r["patient_id"]: r for r in plain_rows(folder / "patients.csv")}
    assert column(cohort, "age_years") == {p: int(r["age"]) for p, r in persons.items()}
    index = dt.datetime(2025, 6, 30, 23, 59, 59)
    latest: dict = {}
    for r in plain_rows(folder / "lab_results.csv.gz"):
        at = dt.datetime.fromisoformat(r["result_datetime"])
        if at <= index and r["lab_name"] in ("Hb", "AST"):
            latest.setdefault((r["lab_name"], r["patient_id"]), []).append((at, float(r["value"])))
    for lab, name, scale in (("Hb", "hemoglobin_g_l", 10), ("AST", "ast_x_uln", 1 / 40)):
        newest = {p: max(v) for (which, p), v in latest.items() if which == lab}
        expected = {p: newest[p][1] * scale if p in newest else None for p in persons}
        assert column(cohort, name) == {p: pytest.approx(v) if v is not None else None for p, v in expected.items()}
        days = {p: (index.date() - newest[p][0].date()).days if p in newest else None for p in persons}
        assert column(cohort, f"days_since_{name}") == days
    assert cohort["heart_failure"].notna().all()  # everyone was seen in the half year
