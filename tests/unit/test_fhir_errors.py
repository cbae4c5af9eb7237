"""What goes wrong with FHIR files: said with the file and the line, or set aside and counted; never silent."""

from __future__ import annotations

import gzip
import json

import pytest

from feasibility.errors import ReadError
from feasibility.sources.fhir import fhir

PATIENT = '{"resourceType":"Patient","id":"p1","gender":"male","birthDate":"1960-01-01"}\n'
LINE = (
    '{"resourceType":"Observation","id":"%d","status":"final","subject":{"reference":"Patient/p1"},'
    '"effectiveDateTime":"2025-06-20","code":{"text":"Hb"},"valueQuantity":{"value":%s,"unit":"g/L"}}\n'
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Patient.ndjson").write_text(PATIENT)
    return tmp_path


def lines(n):
    return [LINE % (i, i) for i in range(1, n + 1)]


def noted(extract, kind):
    return [(e["file_column"], e["reason"], e["n"], e["rows"]) for e in extract.quality if e["kind"] == kind]


def values(extract):
    return sorted(extract.tables["labs"].value_num.to_pyarrow().to_pylist(), key=repr)


@pytest.mark.parametrize("packed", [False, True])
def test_an_invalid_line_is_set_aside_and_the_rest_loads(folder, packed):
    text = lines(5)
    text[2] = text[2][:50] + "\n"
    text.insert(1, "\n")  # a blank line is none
    data = "".join(text).encode()
    path = folder / ("Observation.ndjson.gz" if packed else "Observation.ndjson")
    path.write_bytes(gzip.compress(data) if packed else data)
    extract = fhir(folder)
    assert values(extract) == [1.0, 2.0, 4.0, 5.0]
    assert noted(extract, "quarantined") == [(path.name, "invalid JSON", 1, [4])]
    assert extract.facts["resources"]["Observation"] == 4


def test_json_that_is_no_resource_is_set_aside(folder):
    text = [*lines(2), '{"hello": 1}\n', "[1, 2]\n"]
    (folder / "Observation.ndjson").write_text("".join(text))
    extract = fhir(folder)
    assert values(extract) == [1.0, 2.0]
    assert noted(extract, "quarantined") == [("Observation.ndjson", "no resourceType", 2, [3, 4])]


def test_an_invalid_line_in_a_mixed_file(folder):
    (folder / "Patient.ndjson").unlink()
    (folder / "all.ndjson").write_text(PATIENT + lines(1)[0] + "{oops\n" + lines(2)[1])
    extract = fhir(folder)
    assert values(extract) == [1.0, 2.0]
    assert noted(extract, "quarantined") == [("all.ndjson", "invalid JSON", 1, [3])]


def test_a_field_of_the_wrong_kind_is_missing_and_the_row_stays(folder):
    (folder / "Observation.ndjson").write_text(LINE % (1, '"high"') + LINE % (2, "2"))
    assert values(fhir(folder)) == [2.0, None]


def test_packed_file_cut_off(folder):
    data = gzip.compress("".join(lines(3000)).encode())
    (folder / "Observation.ndjson.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match=r"Observation.ndjson.gz: the packed file is cut off or damaged"):
        fhir(folder)


@pytest.mark.parametrize("packed", [False, True])
def test_lines_cut_off_in_the_middle(folder, packed):
    data = "".join(lines(3)).encode()[:-40]
    path = folder / ("Observation.ndjson.gz" if packed else "Observation.ndjson")
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(ReadError, match="the file looks cut off: its last line ends in the middle"):
        fhir(folder)


def test_a_last_line_without_an_end_is_whole_if_it_is_json(folder):
    (folder / "Observation.ndjson").write_text("".join(lines(3)).rstrip("\n"))
    assert values(fhir(folder)) == [1.0, 2.0, 3.0]


def test_bundle_cut_off(folder):
    text = json.dumps({"resourceType": "Bundle", "entry": [{"resource": json.loads(lines(1)[0])}]}, indent=1)
    (folder / "b.json").write_text(text[:-30])
    with pytest.raises(ReadError, match=r"b.json: the file is cut off or not valid JSON \(line \d+"):
        fhir(folder)


def test_no_patient(tmp_path):
    (tmp_path / "Observation.ndjson").write_text(lines(1)[0])
    with pytest.raises(ReadError, match="there is no Patient resource.* It has: Observation"):
        fhir(tmp_path)


def test_nothing_to_read(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ReadError, match=r"there is no .ndjson or .json file"):
        fhir(tmp_path)
    with pytest.raises(ReadError, match="There is no folder or file"):
        fhir(tmp_path / "nowhere")


def test_an_absent_type_is_unknown_and_said(folder):
    extract = fhir(folder)
    assert set(extract.tables) == {"patients"}
    absent = {file for file, *_ in noted(extract, "table_absent")}
    assert absent == {
        "Condition", "Observation", "MedicationRequest", "Procedure", "AllergyIntolerance", "Encounter",
    }  # fmt: skip


def test_the_same_resource_twice_counts_once_in_its_latest_version(folder):
    old = json.loads(lines(1)[0]) | {"meta": {"lastUpdated": "2025-01-01T00:00:00Z"}}
    new = old | {"meta": {"lastUpdated": "2025-02-01T00:00:00Z"}, "valueQuantity": {"value": 9, "unit": "g/L"}}
    (folder / "Observation_1.ndjson").write_text(json.dumps(new) + "\n")
    (folder / "Observation_2.ndjson").write_text(json.dumps(old) + "\n")
    extract = fhir(folder)
    assert values(extract) == [9.0]
    assert noted(extract, "repeated") == [("Observation.id", "same id, latest version kept", 1, [])]


def test_a_fact_without_a_patient_is_counted(folder):
    (folder / "Observation.ndjson").write_text(lines(1)[0].replace('"reference"', '"display"'))
    assert noted(fhir(folder), "no_patient") == [("Observation.subject", "missing", 1, [])]


def test_types_that_are_not_read_are_listed(folder):
    (folder / "Claim.ndjson").write_text('{"resourceType":"Claim","id":"1"}\n' * 3)
    assert fhir(folder).facts["ignored_resources"] == {"Claim": 3}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"system": {}}, "unknown setting 'system'. Did you mean 'systems'"),
        ({"systems": {"urn:x": "icd11"}}, "code system 'icd11'. Did you mean 'icd10'"),
    ],
)
def test_settings_that_do_not_exist(folder, mapping, message):
    with pytest.raises(ReadError, match=message):
        fhir(folder, mapping)
