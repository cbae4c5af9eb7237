"""Trials are found by the path of their file, or by the entry point of an installed distribution."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

import feasibility as fz
from feasibility.errors import ProtocolError
from feasibility.protocol.loading import GROUP

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "emperor"
FILE = FOLDER / "emperor_reduced.py"

TOY = '''
from feasibility.protocol.criterion import inclusion
from feasibility.protocol.protocol import Protocol

@inclusion("I1", "age of {age} years or more")
def adult(age_years, *, min_age: int = {age}):
    """Completed years."""
    return age_years >= min_age

protocol = Protocol("{id}", "A toy trial", [adult])
'''


def install(folder: Path, entry_points: str, name: str = "demo") -> None:
    """What an installer leaves behind: a dist-info folder with its metadata and entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the import path, as site-packages is; what was imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def emperor_installed(tmp_path, monkeypatch):
    """The example as pip would install it: its modules on the path, its entry points from its own pyproject.toml."""
    declared = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = declared["entry-points"][GROUP]
    install(tmp_path, f"[{GROUP}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()), declared["name"])
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("emperor_reduced", None)


def test_by_path():
    protocol = fz.load_trial(FILE)
    assert protocol.id == "NCT03057977"
    assert fz.load_trial(str(FILE)).fingerprint() == protocol.fingerprint()


def test_by_a_path_relative_to_the_working_folder(monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert fz.load_trial("emperor_reduced.py").id == "NCT03057977"
    monkeypatch.chdir(FOLDER.parent)
    assert fz.load_trial("emperor/emperor_reduced.py").id == "NCT03057977"


def test_a_trial_given_by_its_path_is_not_installed():
    fz.load_trial(FILE)
    assert "NCT03057977" not in fz.installed_trials()


def test_by_entry_point(emperor_installed):
    assert fz.installed_trials()["NCT03057977"] == "emperor_reduced"
    assert "NCT06642025" in fz.installed_trials(), "the package's own trial stays known"
    protocol = fz.load_trial("NCT03057977")
    assert protocol.fingerprint() == fz.load_trial(FILE).fingerprint(), "the same trial either way"
    assert fz.load_trial("nct03057977").id == "NCT03057977", "upper and lower case are one"


def test_the_columns_travel_with_the_protocol(emperor_installed):
    assert "nt_probnp_pg_ml" in fz.load_trial("NCT03057977").columns
    assert "nt_probnp_pg_ml" not in fz.load_trial("NCT06642025").columns


def test_two_files_of_one_name_are_two_trials(tmp_path):
    for k, age in enumerate((18, 21)):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "trial.py").write_text(TOY.format(id=f"TOY{k}", age=age), encoding="utf-8")
    first, second = (fz.load_trial(tmp_path / str(k) / "trial.py") for k in (0, 1))
    assert (first.id, second.id) == ("TOY0", "TOY1")
    assert (first["I1"].values, second["I1"].values) == ({"min_age": 18}, {"min_age": 21})


def test_a_file_is_read_again_when_it_changed(tmp_path):
    file = tmp_path / "trial.py"
    file.write_text(TOY.format(id="TOY", age=18), encoding="utf-8")
    before = fz.load_trial(file).fingerprint()
    file.write_text(TOY.format(id="TOY", age=65), encoding="utf-8")
    assert fz.load_trial(file)["I1"].values == {"min_age": 65}
    assert fz.load_trial(file).fingerprint() != before


def test_an_unknown_id_names_the_nearest_installed_one(emperor_installed):
    with pytest.raises(ProtocolError, match=r"No trial 'NCT03057979' is installed\. Did you mean .*'NCT03057977'"):
        fz.load_trial("NCT03057979")


def test_an_unknown_id_says_that_a_path_would_do():
    with pytest.raises(ProtocolError, match=r"A trial file can be given by its path"):
        fz.load_trial("EMPEROR")


def test_no_such_file(tmp_path):
    with pytest.raises(ProtocolError, match=r"No trial file .*absent\.py"):
        fz.load_trial(tmp_path / "absent.py")


def test_a_file_without_a_protocol(tmp_path):
    (tmp_path / "notes.py").write_text("criteria = []\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"notes\.py: no Protocol named 'protocol' in that file"):
        fz.load_trial(tmp_path / "notes.py")


def test_a_protocol_that_is_none(tmp_path):
    (tmp_path / "notes.py").write_text("protocol = {'id': 'NCT1'}\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"no Protocol named 'protocol'"):
        fz.load_trial(tmp_path / "notes.py")


def test_an_installed_module_without_a_protocol(site):
    (site / "empty_trial.py").write_text("", encoding="utf-8")
    install(site, f"[{GROUP}]\nEMPTY1 = empty_trial\n")
    with pytest.raises(ProtocolError, match=r"EMPTY1: no Protocol named 'protocol'"):
        fz.load_trial("EMPTY1")


def test_a_syntax_error_names_the_line(tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\nprotocol = Protocol(\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"broken\.py, line 2: "):
        fz.load_trial(tmp_path / "broken.py")


def test_a_wrong_quotation_is_refused_when_the_file_is_loaded(tmp_path):
    text = FILE.read_text(encoding="utf-8")
    wrong = text.replace(
        "6. eGFR below 20 mL/min/1.73 m2, or dialysis.", "6. eGFR below 30 mL/min/1.73 m2, or dialysis."
    )
    assert wrong != text
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"the text of E6 \(kidney\) is not in clause E6 as registered"):
        fz.load_trial(tmp_path / "wrong.py")


def test_a_clause_nobody_covers_is_refused(tmp_path):
    text = FILE.read_text(encoding="utf-8")
    longer = text.replace("who plan a pregnancy.\n", "who plan a pregnancy.\n13. Cardiac amyloidosis.\n")
    (tmp_path / "longer.py").write_text(longer, encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"no criterion covers E13"):
        fz.load_trial(tmp_path / "longer.py")
