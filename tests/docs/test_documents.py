"""The README's commands exist, the public names are documented, the trial's text is the registered one."""

from __future__ import annotations

import inspect
import re

import pytest
from helpers import ROOT, SHARED

import feasibility as fz

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))
    assert {"report", "test", "lint", "notebooks", "bench"} <= targets
    assert named <= targets


def test_every_command_of_the_readme_exists():
    from feasibility.cli import app

    known = {c.name or c.callback.__name__ for g in app.registered_groups for c in g.typer_instance.registered_commands}
    named = set(re.findall(r"(?:^|`)feasibility ([a-z-]+) ", README, re.MULTILINE))
    assert named
    assert named <= known


@pytest.mark.parametrize("name", fz.__all__)
def test_every_public_name_says_what_it_is(name):
    assert len(inspect.getdoc(getattr(fz, name)) or "") > 20, f"{name} has no docstring"


def test_python_blocks_of_the_readme_run():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    space: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), space)  # noqa: S102


def test_the_packages_trial_text_is_the_registered_one():
    if not SHARED.exists():
        pytest.skip("the registered text is kept outside the project")
    registered = (SHARED / "trial" / "NCT06642025-clinconnect.txt").read_text(encoding="utf-8")
    ours = (ROOT / "feasibility" / "trials" / "nct06642025.txt").read_text(encoding="utf-8")
    for line in ours.splitlines():
        assert line in registered


def test_constraints_hold_no_index_address():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--" not in text
    assert "pandas==3" in text
