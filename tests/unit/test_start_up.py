"""What is slow to import is imported on use: neither ``import feasibility`` nor ``feasibility --help`` loads it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import feasibility

HEAVY = {
    "pandas", "numpy", "scipy", "matplotlib", "ibis", "duckdb", "pandera", "pyarrow", "polars", "statsmodels", "pint",
    "pyspark", "ipywidgets", "highspy",
}  # fmt: skip
HELP = """
from typer.testing import CliRunner
from feasibility.cli import app
said = CliRunner().invoke(app, ["--help"])
assert said.exit_code == 0 and "screen" in said.output, said.output
"""


def loaded(code: str) -> set[str]:
    code += "\nimport json, sys\nsys.stdout.write('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(made.stdout.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import feasibility\nassert feasibility.__version__", HELP], ids=["import", "help"])
def test_nothing_heavy_is_imported_at_the_start(code):
    assert loaded(code) & HEAVY == set()


def test_the_list_would_be_noticed():
    """The same look finds pandas once a cohort is made, so an empty answer above means something."""
    assert "pandas" in loaded("import feasibility\nfeasibility.prepare")
    assert set(dir(feasibility)) >= {"prepare", "screen"}
