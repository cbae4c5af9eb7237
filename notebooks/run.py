"""Execute every notebook from top to bottom in a fresh kernel; stop at the first error. Nothing is written back."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def run(path: Path) -> nbformat.NotebookNode:
    """The executed notebook."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": HERE}}).execute()
    return notebook


if __name__ == "__main__":
    chosen = [Path(a) for a in sys.argv[1:]] or sorted(HERE.glob("[0-9]*.ipynb"))
    for path in chosen:
        run(path)
        print(f"{path.name}: ran from top to bottom")
