"""Execute notebooks from top to bottom in a fresh kernel, stopping at the first error; nothing is written back.

``python notebooks/run.py``            all of them
``python notebooks/run.py --gallery``  and write the pictures of tagged cells to docs/gallery/, with docs/gallery.md
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

# Frozen modules make the kernel warn that breakpoints may be missed; nobody debugs here.
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"


def notebooks() -> list[Path]:
    """The numbered notebooks in reading order."""
    return sorted(HERE.glob("[0-9]*.ipynb"))


def run(path: Path) -> nbformat.NotebookNode:
    """The executed notebook."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    return notebook


def pictures(notebook: nbformat.NotebookNode) -> list[tuple[str, str, bytes]]:
    """(name, caption, PNG) of the cells tagged for the gallery."""
    found = []
    for cell in notebook.cells:
        tag = cell.metadata.get("gallery")
        if tag:
            png = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            found.append((tag["name"], tag["caption"], base64.b64decode(png)))
    return found


def write_gallery(executed: list[tuple[Path, nbformat.NotebookNode]]) -> None:
    """docs/gallery.md and its pictures."""
    (DOCS / "gallery").mkdir(parents=True, exist_ok=True)
    lines = [
        "# Gallery",
        "",
        "Made by `make gallery` from the notebooks, on the synthetic registry. Nobody is a patient.",
    ]
    for path, notebook in executed:
        found = pictures(notebook)
        if found:
            lines += ["", f"## From `notebooks/{path.name}`"]
        for name, caption, png in found:
            (DOCS / "gallery" / f"{name}.png").write_bytes(png)
            lines += ["", f"### {caption}", "", f"![{caption}](gallery/{name}.png)"]
    (DOCS / "gallery.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    done = []
    for one in [Path(a) for a in arguments] or notebooks():
        done.append((one, run(one)))
        print(f"{one.name}: ran from top to bottom", flush=True)
    if "--gallery" in sys.argv:
        write_gallery(done)
