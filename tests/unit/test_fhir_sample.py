"""A sample of a FHIR export checked by a FHIR library: counted, located, and never quoted."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import Counter

import pytest

from feasibility.errors import ReadError
from feasibility.sources.fhir_sample import _sample, validate_sample

NAME = "Mary Secretperson"
PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-02"}
GOOD = {
    "resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "Hb"},
    "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2025-06-20",
    "valueQuantity": {"value": 97, "unit": "g/L"},
}  # fmt: skip


def write(path, *resources):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in resources), encoding="utf-8")
    return path


@pytest.fixture
def library():
    pytest.importorskip("fhir.resources", reason="the optional library fhir.resources is not installed")


@pytest.mark.usefixtures("library")
def test_what_is_wrong_is_counted_and_located_and_never_quoted(tmp_path):
    without = {k: v for k, v in GOOD.items() if k != "status"}
    odd = {k: v for k, v in GOOD.items() if k != "valueQuantity"} | {"valueQuantity": {"value": NAME}, NAME: NAME}
    write(tmp_path / "Observation.ndjson", GOOD, without | {"id": "2"}, without | {"id": "3"}, odd)
    write(tmp_path / "Patient.ndjson", PATIENT, PATIENT | {"id": "p2", "birthDate": NAME})
    table = validate_sample(tmp_path).set_index("resource_type")
    assert table.loc["Observation"].tolist() == [4, 4, 3, "Observation.status: required, but missing", 2]
    assert table.loc["Patient"].tolist() == [2, 2, 1, "Patient.birthDate: no valid value", 1]
    assert "Secretperson" not in table.to_string()
    only = validate_sample(write(tmp_path / "one" / "Observation.ndjson", GOOD | {NAME: NAME}))
    assert only["commonest_problem"].tolist() == ["Observation: holds a field that FHIR R4B does not know"]


@pytest.mark.usefixtures("library")
def test_bundles_and_packed_files_are_read(tmp_path):
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in (PATIENT, GOOD)]}
    with gzip.open(tmp_path / "b.json.gz", "wt", encoding="utf-8") as stream:
        json.dump(bundle, stream)
    with gzip.open(tmp_path / "Condition.ndjson.gz", "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"resourceType": "Condition", "id": "c"}) + "\n" + "{not json\n")
    table = validate_sample(tmp_path).set_index("resource_type")
    assert table.loc[["Patient", "Observation"], "n_invalid"].tolist() == [0, 0]
    assert table.loc["Condition", ["n_found", "n_checked", "n_invalid"]].tolist() == [2, 2, 2]


@pytest.mark.usefixtures("library")
def test_a_sample_is_seeded_and_no_larger_than_asked(tmp_path):
    bad = [PATIENT | {"id": str(k), **({"gender": 7} if k % 2 else {})} for k in range(60)]
    path = write(tmp_path / "Patient.ndjson", *bad)
    first = validate_sample(path, n=20, seed=1)
    assert first[["n_found", "n_checked"]].iloc[0].tolist() == [60, 20]
    assert first.equals(validate_sample(path, n=20, seed=1))
    drawn = {int(validate_sample(path, n=20, seed=s)["n_invalid"].iloc[0]) for s in range(8)}
    assert len(drawn) > 1
    assert all(2 < k < 18 for k in drawn)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_every_line_is_as_likely_to_be_sampled(n):
    """Of 10 lines each is drawn n/10 of the time: 3,000 draws, five standard deviations."""
    lines = [str(k).encode() for k in range(10)]
    seen, draws = Counter(), 3000
    for seed in range(draws):
        kept, total = _sample(iter(lines), n, random.Random(seed))
        assert total == 10
        assert len(set(kept)) == len(kept) == n
        seen.update(kept)
    share = n / 10
    allowed = 5 * (draws * share * (1 - share)) ** 0.5
    assert all(abs(seen[line] - draws * share) <= allowed for line in lines)


def test_fewer_lines_than_asked_are_all_taken():
    assert _sample(iter([b"a", b"b"]), 5, random.Random(0)) == ([b"a", b"b"], 2)
    assert _sample(iter([]), 5, random.Random(0)) == ([], 0)


@pytest.mark.usefixtures("library")
def test_the_synthetic_export_is_checked(tmp_path):
    from feasibility.trials.aml_events_fhir import write_fhir
    from feasibility.trials.aml_registry import synthetic_registry

    write_fhir(synthetic_registry(40, index_date="2025-06-30", seed=4), tmp_path)
    table = validate_sample(tmp_path, n=30).set_index("resource_type")
    assert table.loc["Patient", ["n_found", "n_checked", "n_invalid"]].tolist() == [40, 30, 0]
    assert (table["n_checked"] <= 30).all()
    assert table["n_invalid"].to_dict() == dict.fromkeys(table.index, 0)


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fhir.resources.R4B", None)
    with pytest.raises(ReadError, match=r"pip install 'trial-feasibility\[fhir\]'"):
        validate_sample(write(tmp_path / "Patient.ndjson", PATIENT))


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_sample_of_nothing_is_refused(tmp_path, n):
    with pytest.raises(ReadError, match="whole number of at least 1"):
        validate_sample(tmp_path, n=n)


@pytest.mark.usefixtures("library")
def test_a_missing_or_cut_off_file_is_an_error(tmp_path):
    with pytest.raises(ReadError, match="no folder or file"):
        validate_sample(tmp_path / "nowhere")
    (tmp_path / "Patient.ndjson").write_text(json.dumps(PATIENT) + "\n" + '{"resourceType": "Pat')
    with pytest.raises(ReadError, match="cut off"):
        validate_sample(tmp_path)
