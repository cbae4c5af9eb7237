"""JSON files between hospitals: marked with what they are and a checksum, so that an edited one is noticed.

What they hold is already protected or random, so the checksum gives nothing away; it is no signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feasibility.errors import FeasibilityError


def dumps(kind: str, values: Mapping[str, Any]) -> str:
    """The text of a file; the same values give the same text."""
    body = json.loads(json.dumps({"format": kind, **values}))
    return json.dumps({**body, "checksum": _checksum(body)}, ensure_ascii=False, indent=1) + "\n"


def write(path: str | Path, kind: str, values: Mapping[str, Any]) -> None:
    try:
        Path(path).write_text(dumps(kind, values), encoding="utf-8")
    except OSError as error:
        raise FeasibilityError(f"{path}: the file cannot be written ({error.strerror}).") from None


def read(path: str | Path, kind: str) -> dict[str, Any]:
    """The values of a file of this kind.

    Raises FeasibilityError for a file that is missing, empty, no JSON, of another kind, or was changed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FeasibilityError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        what = "a pattern file or another Parquet file" if _starts(path, b"PAR1") else "no text"
        raise FeasibilityError(f"{path}: not a {kind} file, but {what} ({type(error).__name__}).") from None
    return loads(text, kind, path.name)


def loads(text: str, kind: str, name: str) -> dict[str, Any]:
    """The values in the text of a file of this kind; ``name`` is what messages call it."""
    if not text.strip():
        raise FeasibilityError(f"{name}: the file is empty. Copy it again.")
    try:
        values = json.loads(text)
        found = values["format"]
    except (ValueError, KeyError, TypeError):
        raise FeasibilityError(
            f"{name}: not a {kind} file: no JSON of this program, or cut off. Copy it again."
        ) from None
    if found != kind:
        raise FeasibilityError(f"{name}: this is a {found} file; a {kind} file is needed here.")
    expected = values.pop("checksum", None)
    if expected != _checksum(values):
        raise FeasibilityError(
            f"{name}: it was changed after it was written, or damaged on the way. Ask for it again; such a file is"
            " never edited."
        )
    return values


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _starts(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as data:
            return data.read(len(magic)) == magic
    except OSError:
        return False
