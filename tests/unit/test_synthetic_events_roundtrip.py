"""From the registry to files and back: every cell of the built cohort is the registry's, or the ledger explains it."""

import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.sources.fhir import fhir
from feasibility.sources.native import read_extract
from feasibility.sources.omop import omop
from feasibility.trials import aml_events_fhir, aml_events_native, aml_events_omop
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events_compare import unexplained
from feasibility.trials.aml_registry import synthetic_registry

FORMATS = {
    "native": (aml_events_native.write_native, read_extract, aml_events_native.CANNOT),
    "omop": (aml_events_omop.write_omop, omop, aml_events_omop.CANNOT),
    "fhir": (aml_events_fhir.write_fhir, fhir, aml_events_fhir.CANNOT),
}


def round_trip(name, folder, date="2025-06-30", **registry):
    write, read, cannot = FORMATS[name]
    events = write(synthetic_registry(1500, index_date=date, **registry), folder)
    cohort = build_cohort(read(folder), as_of(date), AML_COLUMNS)
    if name == "omop":  # person_id is the number of the patient
        ids = [f"P{int(one):07d}" for one in cohort.index.get_level_values(0)]
        cohort = cohort.set_axis(cohort.index.set_codes([range(len(ids)), [0] * len(ids)]).set_levels(ids, level=0))
    return cohort, unexplained(events, cohort, cannot)


@pytest.mark.parametrize("name", FORMATS)
def test_every_cell_is_the_truth_or_explained(name, tmp_path):
    cohort, found = round_trip(name, tmp_path, seed=17)
    assert len(cohort) == 1500
    assert found.empty, found.head(20).to_string()


def test_another_day_and_newly_diagnosed_patients(tmp_path):
    parameters = {"disease.decoys": 0.3, "missing.childbearing.rate": 0.2, "missing.infection.rate": 0.3}
    _, found = round_trip("native", tmp_path, "2024-02-29", seed=18, parameters=parameters)
    assert found.empty, found.head(20).to_string()
