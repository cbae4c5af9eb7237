"""An extract that a generator made says so in every format, and so does what is built of it."""

from __future__ import annotations

import json

import pytest

import feasibility as fz
from feasibility.report.quality_page import render_quality
from feasibility.sources.fhir import fhir
from feasibility.sources.native import read_extract
from feasibility.sources.omop import omop
from feasibility.trials.aml_events_fhir import write_fhir
from feasibility.trials.aml_events_native import write_native
from feasibility.trials.aml_events_omop import write_omop
from feasibility.trials.aml_registry import synthetic_registry

FORMATS = {"native": (write_native, read_extract), "omop": (write_omop, omop), "fhir": (write_fhir, fhir)}
DAY = "2025-06-30"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = synthetic_registry(12, index_date=DAY, seed=4)
    folder = tmp_path_factory.mktemp("made")
    for name, (write, _) in FORMATS.items():
        write(made, folder / name)
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_carries_the_mark(folders, name):
    folder = folders / name
    assert (folder / "SYNTHETIC.txt").read_text(encoding="utf-8").startswith("Synthetic")
    extract = FORMATS[name][1](folder)
    assert extract.facts["synthetic"] is True
    cohort = fz.build_cohort(extract, fz.as_of(DAY))
    assert cohort["synthetic"].tolist() == [True] * len(cohort)
    assert "nobody on this page is a patient" in render_quality(fz.quality_report(cohort))
    screening = fz.screen(cohort, fz.load_trial("NCT06642025"))
    plain = fz.screen(cohort.drop(columns="synthetic"), fz.load_trial("NCT06642025"), missing_columns="unknown")
    assert (screening.patterns().n_confirmed, screening.patterns().n_possible) == (
        plain.patterns().n_confirmed, plain.patterns().n_possible)  # fmt: skip
    assert fz.attrition(screening).equals(fz.attrition(plain))


def test_without_the_mark_nobody_says_whether_patients_are_real(folders):
    path = folders / "native" / "SYNTHETIC.txt"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text("Notes of the data manager\nnot synthetic\n", encoding="utf-8")
        extract = read_extract(folders / "native")
        assert "synthetic" not in extract.facts
        assert fz.build_cohort(extract, fz.as_of(DAY))["synthetic"].isna().all()
    finally:
        path.write_text(text, encoding="utf-8")


def test_a_fhir_export_is_made_up_if_every_patient_is_tagged(folders, tmp_path):
    lines = (folders / "fhir" / "Patient.ndjson").read_text(encoding="utf-8").splitlines()
    tag = json.loads(lines[0])["meta"]["tag"][0]
    assert (tag["system"], tag["code"]) == ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
    file = tmp_path / "Patient.ndjson"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert fhir(tmp_path).facts["synthetic"] is True
    one = {k: v for k, v in json.loads(lines[0]).items() if k != "meta"}
    file.write_text("\n".join([json.dumps(one), *lines[1:]]) + "\n", encoding="utf-8")
    assert "synthetic" not in fhir(tmp_path).facts
