"""How an extract says that a generator made it, so that nobody reads a rehearsal as a hospital's result."""

from __future__ import annotations

from pathlib import Path

FILE = "SYNTHETIC.txt"
TEXT = (
    "Synthetic: a generator made this extract, and nobody in it is a patient.\n"
    f"Programs read the first line of this file ({FILE}); keep it with the others.\n"
)
TAG = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST", "display": "test health data"}
"""What a FHIR resource carries in ``meta.tag`` if it is test data."""


def mark(folder: Path) -> None:
    """Put the mark into a folder of event tables."""
    (folder / FILE).write_text(TEXT, encoding="utf-8", newline="\n")


def marked(folder: Path) -> bool:
    """Whether the folder holds a file SYNTHETIC.txt whose first line says synthetic."""
    path = folder / FILE
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return "synthetic" in stream.readline(400).casefold()
