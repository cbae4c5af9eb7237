"""A product that is coded as a product counts as its ingredient, whatever the source; a cream counts as a cream."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import feasibility as fz
from feasibility.cohort import codelists
from feasibility.sources import drug_names
from feasibility.trials.aml import AML_COLUMNS


@pytest.mark.parametrize(
    ("product", "names"),
    [
        ("predniSONE 5 MG Oral Tablet", ("prednisone",)),
        ("MethylPREDNISolone Sodium Succ", ("methylprednisolone",)),
        ("Methylprednisolone Na Succ.", ("methylprednisolone",)),
        ("24 HR tacrolimus 1 MG Extended Release Oral Tablet", ("tacrolimus",)),
        ("0.4 ML adalimumab 100 MG/ML Prefilled Syringe", ("adalimumab",)),
        ("甲泼尼龙琥珀酸钠注射剂", ("甲泼尼龙琥珀酸钠",)),
        ("泼尼松龙片", ("泼尼松龙",)),
        ("Fludrocortisone Acetate", ()),
        ("Acetaminophen 325 MG Oral Tablet", ()),
        ("ibuprofen 200 MG / prednisone 5 MG", ("prednisone",)),
        ("MTXlike", ()),
    ],
)
def test_names_are_found_as_whole_words_and_the_longest_wins(product, names):
    assert drug_names.ingredients(product) == names


def test_every_name_found_is_on_a_list():
    lists = {n: codelists.matches(n)["local"][0] for n in drug_names.LISTS}
    for names in lists.values():
        for name in names:
            (found,) = drug_names.ingredients(f"{name} 5 mg")
            assert any(codelists.contains(n, "local", found) for n in lists)


def test_the_route_is_read_only_where_the_name_gives_a_local_one():
    assert drug_names.local_route("Hydrocortisone 10 MG/ML Topical Cream") == "topical"
    assert drug_names.local_route("PrednisoLONE Acetate 1% Ophth. Susp.") == "ophthalmic"
    assert drug_names.local_route("triamcinolone 0.055 MG/ACTUAT Nasal Spray") == "nasal"
    assert drug_names.local_route("Methotrexate 2.5 MG Oral Tablet") is None
    assert drug_names.local_route("narcotic analgesic") is None  # "otic" is no word of its own there


def exposures(extract):
    cohort = fz.build_cohort(extract, fz.as_of("2025-06-30"), AML_COLUMNS)
    low, other = cohort["steroid_days"], cohort["nonsteroid_is_days"]
    high = cohort.get("steroid_days__upper", low)
    high = high.where(high.notna(), low)
    return {p: tuple(map(int, v)) for (p, _), *v in zip(cohort.index, low, high, other, strict=True)}


EXPECTED = {"tablet": (60, 60, 0), "cream": (0, 0, 0), "none": (0, 0, 0)}
PRODUCTS = {"tablet": ("312617", "predniSONE 20 MG Oral Tablet"),
            "cream": ("106258", "Hydrocortisone 10 MG/ML Topical Cream"),
            "none": ("313782", "Acetaminophen 325 MG Oral Tablet")}  # fmt: skip


def test_fhir_clinical_drugs(tmp_path):
    lines = []
    for pid, (code, name) in PRODUCTS.items():
        person = {"reference": f"Patient/{pid}"}
        coding = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code, "display": name}
        lines += [
            {"resourceType": "Patient", "id": pid, "birthDate": "1970-01-01", "gender": "male"},
            {"resourceType": "Encounter", "id": f"e{pid}", "subject": person,
             "period": {"start": "2025-06-01", "end": "2025-06-02"}},
            {"resourceType": "MedicationRequest", "id": f"m{pid}", "subject": person, "authoredOn": "2025-05-02",
             "intent": "order", "medicationCodeableConcept": {"coding": [coding]},
             "reasonCode": [{"text": "rheumatoid arthritis"}],
             "dosageInstruction": [{"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d",
                                    "boundsPeriod": {"start": "2025-05-02", "end": "2025-06-30"}}}}]},
        ]  # fmt: skip
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert exposures(fz.fhir(tmp_path)) == EXPECTED


def native(folder, **tables):
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return fz.read_extract(folder, {"extract": {"absent": ["courses", "responses"]}})


def test_native_products_coded_as_products(tmp_path):
    rows = "".join(f"{p},2025-05-02,2025-06-30,{c},{n},arthritis\n" for p, (c, n) in PRODUCTS.items())
    extract = native(
        tmp_path,
        patients="pid,birth_date,sex,last_visit\n" + "".join(f"{p},1970-01-01,M,2025-06-02\n" for p in PRODUCTS),
        diagnoses="pid,dx_date,icd10\ntablet,2025-06-01,M06.9\n",
        labs="pid,sample_datetime,local_name,value_num,unit\ntablet,2025-06-01,HGB,120,g/L\n",
        medications="pid,order_start,order_stop,rxnorm,generic,indication\n" + rows,
    )
    assert exposures(extract) == EXPECTED


def test_omop_without_the_tables_from_product_to_ingredient(tmp_path):
    frames = {
        "person": {"person_id": [1, 2], "gender_concept_id": 8507, "year_of_birth": 1970, "month_of_birth": 1,
                   "day_of_birth": 1},
        "observation_period": {"observation_period_id": [1, 2], "person_id": [1, 2],
                               "observation_period_start_date": "2025-01-01",
                               "observation_period_end_date": "2025-06-30"},
        "condition_occurrence": {"condition_occurrence_id": [1], "person_id": 1, "condition_concept_id": 80809,
                                 "condition_start_date": "2025-06-01"},
        "drug_exposure": {"drug_exposure_id": [1, 2], "person_id": [1, 2], "drug_concept_id": [1551192, 19008572],
                          "drug_exposure_start_date": "2025-05-02", "drug_exposure_end_date": "2025-06-30"},
        "concept": {"concept_id": [1551192, 19008572], "vocabulary_id": "RxNorm", "concept_code": ["312617", "106258"],
                    "concept_name": ["Prednisone 5 MG Oral Tablet", "Hydrocortisone 10 MG/ML Topical Cream"]},
    }  # fmt: skip
    for name, columns in frames.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
    found = exposures(fz.omop(tmp_path))
    assert found == {"1": (0, 60, 0), "2": (0, 0, 0)}  # OMOP gives no reason for an order


def test_a_product_already_listed_by_its_code_gets_no_second_coding(tmp_path):
    extract = native(
        tmp_path,
        patients="pid,birth_date,sex\nA,1970-01-01,M\n",
        diagnoses="pid,dx_date,icd10\nA,2025-06-01,M06.9\n",
        labs="pid,sample_datetime,local_name,value_num,unit\nA,2025-06-01,HGB,120,g/L\n",
        medications="pid,order_start,rxnorm,generic\nA,2025-06-01,8640,prednisone 5 mg\nA,2025-06-01,,prednisone\n",
    )
    assert extract.tables["medications"].code.to_pyarrow().to_pylist() == ["8640", None]
