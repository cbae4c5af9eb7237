"""Counting and building on Spark: one process and one session for all checks (``spark_checks``), one verdict a test."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("spark_checks.py")
MINUTES = 10
"""After that long something hangs; on a quiet machine it takes about one."""


def _unavailable(why: str):
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must run the Spark tests: {why}")
    pytest.skip(f"no Spark: {why} (pip install 'trial-feasibility[spark]'; apt-get install openjdk-17-jre-headless)")


def _checks() -> list[str]:
    """The names of the checks, from the source: importing it would import pyspark."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    found = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("check_")]
    return [name.removeprefix("check_") for name in found]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict:
    if importlib.util.find_spec("pyspark") is None:
        _unavailable("pyspark is not installed")
    java = os.environ.get("JAVA_HOME")
    if not shutil.which("java") and not (java and (Path(java) / "bin" / "java").exists()):
        _unavailable("there is no Java")
    folder = tmp_path_factory.mktemp("spark")
    # Spark's own settings on this machine are no part of the test.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], cwd=folder, env=environment | {"SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True, text=True, timeout=60 * MINUTES,
    )  # fmt: skip
    result = folder / "result.json"
    assert result.exists(), f"the process with Spark ended early:\n{done.stderr[-3000:]}"
    return json.loads(result.read_text(encoding="utf-8"))


def test_there_are_checks():
    assert len(_checks()) >= 8


@pytest.mark.parametrize("check", _checks())
def test_on_spark(check, verdicts):
    assert check in verdicts, f"the process with Spark ended before this check, after {', '.join(verdicts)}"
    assert not verdicts[check]["error"], verdicts[check]["error"]
