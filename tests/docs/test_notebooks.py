"""The notebooks run from top to bottom, are stored without output, and define nothing but the custom criterion."""

from __future__ import annotations

import re
import warnings

import nbformat
import pytest
from helpers import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_is_tidy(path):
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    for cell in cells:
        if cell.cell_type == "code":
            assert not cell.outputs, "stored output"
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 22, "a cell too long to read"
    functions = re.findall(r"^def (\w+)", "\n".join(c.source for c in cells if c.cell_type == "code"), re.MULTILINE)
    assert len(functions) <= 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_runs(path):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the kernel's own libraries warn about is not ours
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
        ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
