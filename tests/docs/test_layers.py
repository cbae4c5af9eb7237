"""Imports go one way, along the flow of the data; cohort and protocol meet only in screening."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "feasibility"
BASE = {"errors", "kleene", "bounded"}
MAY_IMPORT = {
    "errors": set(),
    "kleene": set(),
    "bounded": {"kleene"},
    "patterns": {"errors", "pattern_files", "pattern_headers"},
    "pattern_files": {*BASE, "patterns", "pattern_headers"},
    "pattern_headers": {*BASE, "patterns"},
    "engine": {*BASE, "patterns"},
    "cohort": BASE,
    "protocol": {*BASE, "engine"},
    "sources": {*BASE, "cohort"},
    "synthetic": {*BASE, "cohort"},
    "screening": {*BASE, "patterns", "engine", "cohort", "protocol"},
    "counting": {*BASE, "patterns", "engine", "cohort", "protocol", "screening"},
    "analysis": {*BASE, "patterns", "engine", "screening", "protocol"},
    "missing": {*BASE, "patterns", "engine", "cohort", "screening", "protocol", "analysis"},
    "enrollment": {*BASE, "patterns", "cohort", "screening", "protocol", "analysis", "missing", "sources"},
    "disclosure": {*BASE, "patterns", "counting", "cohort", "analysis", "screening", "protocol"},
    "pooling": {
        *BASE,
        "patterns",
        "pattern_files",
        "pattern_headers",
        "cohort",
        "counting",
        "analysis",
        "screening",
        "protocol",
        "disclosure",
    },
    "figures": {"errors"},
    "interactive": {*BASE, "patterns", "disclosure", "protocol", "figures", "report"},
    "sponsor": {
        *BASE,
        "patterns",
        "engine",
        "cohort",
        "pooling",
        "disclosure",
        "enrollment",
        "protocol",
        "figures",
        "interactive",
        "report",
    },
    "report": {*BASE, "patterns", "analysis", "missing", "enrollment", "figures", "screening", "protocol"},
    "trials": {*BASE, "cohort", "protocol", "synthetic"},
    "widgets": {*BASE, "cohort", "analysis", "figures", "protocol", "screening", "report"},
}
FREE = {"cli", "commands", "__init__", "__main__"}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("feasibility"):
            parts = node.module.split(".")
            yield parts[1] if len(parts) > 1 else "feasibility"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("feasibility."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in FREE:
        return
    allowed = MAY_IMPORT.get(room, set()) | {room, "feasibility"}
    wrong = set(imports(path)) - allowed
    assert not wrong, f"{room} may not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_does_not_print_execute_or_look_at_the_clock(path):
    if path.name == "cli.py" or path.parent.name == "commands":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exec", "eval"), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in ("today", "now", "utcnow") and _is_clock(node.value):
            raise AssertionError(f"{path.name}:{node.lineno} looks at the clock")


@pytest.mark.parametrize("path", [p for p in modules() if "figures" in p.parts], ids=lambda p: p.name)
def test_figures_never_show(path):
    assert "plt.show" not in path.read_text(encoding="utf-8")


def _is_clock(node) -> bool:
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name in ("date", "datetime", "dt", "Timestamp")
