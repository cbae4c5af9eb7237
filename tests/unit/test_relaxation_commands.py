"""The commands relax and near-misses."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from feasibility.commands.relax import app
from feasibility.errors import ProtocolError

runner = CliRunner()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    import feasibility as fz
    from feasibility.trials.aml_registry import synthetic_registry

    path = tmp_path_factory.mktemp("relax") / "registry.csv"
    fz.write_cohort(synthetic_registry(300, seed=1).observed, path)
    return str(path)


def call(*arguments):
    result = runner.invoke(app, [*arguments, "--trial", "NCT06642025"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_relax_prints_sets(file):
    printed = call("relax", file, "--drop", "2", "--top", "3").stdout
    assert "patients gained by giving way" in printed
    assert "I5.3" in printed
    assert "Gains are exact for this table" in printed


def test_relax_as_json_is_the_table(file):
    found = json.loads(call("relax", file, "--drop", "2", "--json", "--keep", "I5.3").stdout)
    assert found["trial"] == "NCT06642025"
    assert len(found["sets"]) == 10
    assert not any("I5.3" in one["waived"] for one in found["sets"])


def test_relax_with_limits_shows_the_front(file):
    printed = call("relax", file, "--drop", "2", "--loosen", "min_platelets=20,10").stdout
    assert "min_platelets=10" in printed
    with pytest.raises(ProtocolError, match="--loosen needs name=value or name=20,10"):
        call("relax", file, "--loosen", "min_platelets")


def test_near_misses_write_patients_only_by_name(file, tmp_path):
    quiet = call("near-misses", file)
    assert "P0000" not in quiet.stdout
    assert "Patient-level" not in quiet.stdout
    who, calls = tmp_path / "who.csv", tmp_path / "calls.csv"
    said = call("near-misses", file, "--patients", str(who), "--calls", str(calls)).stdout
    assert " ".join(said.split()).count("must not leave the hospital") == 2
    assert pd.read_csv(who).marking.str.startswith("INTERNAL").all()
    assert pd.read_csv(calls).marking.str.startswith("INTERNAL").all()


def test_near_misses_as_json(file):
    found = json.loads(call("near-misses", file, "--json").stdout)
    assert set(found) == {"trial", "near_misses", "call_list"}
