"""The file of a pattern table: Parquet with a header and checksums, so that a damaged or edited one is refused.

The checksums find accidents and hand edits. They are no signature: who recomputes them can write any file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from feasibility.errors import FeasibilityError

FORMAT = "feasibility patterns 2"
KEY = b"feasibility"
MAGIC = b"PAR1"
MARKING = "INTERNAL: as confidential as the patients. It must not leave the hospital."
STRATUM = "stratum:"


def write_file(path: str | Path, columns: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Write columns and a header; the header gets the marking, the number of rows and the checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.table({name: pa.array(values) for name, values in columns.items()})
    # What the reader adds is not written again.
    full = {k: v for k, v in header.items() if k != "file"} | {"format": FORMAT, "marking": MARKING}
    full |= {"rows": arrow.num_rows, "counts_checksum": _of_columns(arrow)}
    full = json.loads(json.dumps(full, default=str))
    full["checksum"] = _of_header(full)
    try:
        pq.write_table(arrow.replace_schema_metadata({KEY: json.dumps(full)}), path, write_page_checksum=True)
    except OSError as error:
        raise FeasibilityError(f"{path}: the pattern file cannot be written ({_short(error)}).") from None


def read_file(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """(Arrow table, header) of a pattern file.

    Raises FeasibilityError saying why a file is refused: not there, empty, of another kind, cut off, made by another
    version, or changed after it was written (and then whether the counts, the rows or the header).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    _look(path)
    try:
        arrow = pq.read_table(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
        notes = (arrow.schema.metadata or {}).get(KEY)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise FeasibilityError(
            f"{path.name}: not a readable pattern file, damaged inside ({_short(error)}). Copy or count it again."
        ) from None
    header = _header(path, notes, arrow.column_names)
    expected, counts = header.get("checksum"), header.get("counts_checksum")
    rows = header.get("rows")
    again = "Count it again with `feasibility counts`; a pattern file is never edited."
    if expected != _of_header({k: v for k, v in header.items() if k != "checksum"}):
        raise FeasibilityError(f"{path.name}: its header was changed after it was written. {again}")
    arrow = arrow.replace_schema_metadata(None)
    if rows != arrow.num_rows:
        raise FeasibilityError(
            f"{path.name}: changed after it was written: it has {arrow.num_rows:,} patterns where {rows:,} were"
            f" written, so rows were {'removed' if arrow.num_rows < rows else 'added'}. {again}"
        )
    if counts != _of_columns(arrow):
        raise FeasibilityError(f"{path.name}: its counts or patterns were changed after it was written. {again}")
    for name in ("format", "marking", "rows", "counts_checksum", "checksum"):
        header.pop(name)
    return arrow, header | {"file": expected}


def is_pattern_file(path: str | Path) -> bool:
    """Whether a file is a Parquet file that says it is a pattern file, whole or not; anything else is not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _look(path: Path) -> None:
    """Refuse what is plainly something else, saying what."""
    if path.is_dir():
        raise FeasibilityError(f"{path}: a folder; name one pattern file (.parquet), made by `feasibility counts`.")
    try:
        data = path.open("rb")
    except FileNotFoundError:
        raise FeasibilityError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise FeasibilityError(f"{path}: the file cannot be opened ({_short(error)}).") from None
    with data:
        start = data.read(512)
        size = data.seek(0, 2)
        data.seek(max(0, size - 4))
        end = data.read(4)
    if not size:
        raise FeasibilityError(f"{path.name}: the file is empty. Copy or count it again.")
    if start[:4] != MAGIC:
        raise FeasibilityError(
            f"{path.name}: not a readable pattern file, but {_kind(start)}. Make one with"
            " `feasibility counts TABLE --trial TRIAL --internal -o counts.parquet`."
        )
    if end != MAGIC or size < 12:
        raise FeasibilityError(
            f"{path.name}: not a readable pattern file: cut off after {size:,} bytes (a Parquet file ends with PAR1)."
            " Copy it again, whole."
        )


def _kind(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    if text[:1] in (b"{", b"["):
        return "JSON"
    if start[:2] == b"PK":
        return "an Excel or zip file"
    if start[:6] == b"ARROW1":
        return "a prepared cohort (.arrow), a row a patient"
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            return "a file of another kind"
    return "a text file such as CSV"


def _header(path: Path, notes, columns) -> dict[str, Any]:
    advice = "Make a pattern file of it with `feasibility counts`." if "patient_id" in columns else ""
    what = "a table with a row a patient" if "patient_id" in columns else "a Parquet file from elsewhere"
    if notes is None:
        raise FeasibilityError(
            f"{path.name}: {what}, not a pattern file: it has no header of this program. {advice}".rstrip()
        )
    try:
        header = json.loads(notes)
        version = header["format"]
    except (ValueError, KeyError, TypeError):
        raise FeasibilityError(
            f"{path.name}: its header was changed after it was written, or is no pattern file's. Count it again."
        ) from None
    if version != FORMAT:
        raise FeasibilityError(
            f"{path.name}: it says its format is {version!r}; this version reads {FORMAT!r}. Count the patients again."
        )
    return header


def _of_header(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def _of_columns(arrow) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrow.column_names):
        column = arrow[name]
        digest.update(f"{name}:{column.type}:".encode())
        if name.startswith(STRATUM):
            digest.update(json.dumps(column.to_pylist(), default=str).encode())
        else:
            digest.update(np.ascontiguousarray(column.to_numpy()).tobytes())
    return digest.hexdigest()


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:90]
