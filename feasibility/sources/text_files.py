"""Delimited files of any size before DuckDB reads them: read once to the last byte, checked, counted, made UTF-8."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from dataclasses import dataclass
from pathlib import Path

from feasibility.cohort.encodings import to_utf8
from feasibility.errors import ReadError

_CHUNK = 16 << 20
_HEAD = 4 << 20
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class TextFile:
    """A delimited file that is whole and UTF-8: ``path`` is what DuckDB reads (the file itself, or a transcoded copy).

    ``lines`` counts the physical lines that are not blank, the header among them; ``open_end`` says that the last one
    has no line end.
    """

    path: Path
    name: str
    header: tuple[str, ...]
    delimiter: str
    lines: int
    open_end: bool
    encoding: str
    evidence: str


def prepare(path: Path, scratch: Path, *, encoding: str = "", delimiter: str = "") -> TextFile:
    """Read the file to its end, count its lines and find (or check) its encoding and delimiter.

    Raises
    ------
    ReadError
        For a packed file that is cut off, bytes that are not in the stated or found encoding, an empty file, or a
        header line in which no delimiter is found.
    """
    try:
        with _open(path) as stream:
            head = stream.read(_HEAD)
    except _BROKEN as error:
        raise _cut_off(path, error) from None
    if not head.strip():
        raise ReadError(f"{path.name}: the file is empty.")
    whole = len(head) < _HEAD
    sample = head if whole else head[: head.rfind(b"\n") + 1] or head
    text, found, evidence = to_utf8(sample, path.name, encoding)
    plain = found in ("ascii", "utf-8") and not head.startswith(codecs.BOM_UTF8)
    target = path
    if plain and path.suffix.lower() not in (".bz2", ".xz"):
        lines, open_end, valid = _count(path)
        if valid is not None:
            raise ReadError(
                f"{path.name}: line {valid} is not valid UTF-8, though the beginning of the file is. State the "
                'encoding in the mapping: [file] encoding = "gb18030" (Chinese), "cp1252" (Western European), ...'
            )
    else:
        target = scratch / f"{path.name}.utf8"
        _transcode(path, target, found)
        lines, open_end, _ = _count(target)
    first = text.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")
    rows = text[:200_000].decode("utf-8", "ignore").splitlines()[1:101]
    mark = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter) or _find_delimiter(first, rows, path.name)
    header = tuple(
        " ".join(f.replace("\ufeff", "").split()) for f in next(csv.reader(io.StringIO(first), delimiter=mark))
    )
    if len(header) < 2:
        raise ReadError(f"{path.name}: only one column was found with the delimiter {mark!r}.{_other(first, mark)}")
    if len(set(header)) < len(header):
        twice = next(h for h in header if header.count(h) > 1)
        raise ReadError(f"{path.name}: two columns are called {twice!r}.")
    return TextFile(target, path.name, header, mark, lines, open_end, found, evidence)


_BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError)


def _open(path: Path):
    opener = _OPENERS.get(path.suffix.lower())
    return path.open("rb") if opener is None else opener(path, "rb")


def _cut_off(path: Path, error) -> ReadError:
    return ReadError(
        f"{path.name}: the packed file is cut off or damaged ({error}). Ask for the file again; nothing was read."
    )


def _count(path: Path) -> tuple[int, bool, int | None]:
    """(lines that are not blank, is the last one without a line end, first line that is not UTF-8 or None)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, blank, last, wrong = 0, 0, b"\n", None
    try:
        with _open(path) as stream:
            while chunk := stream.read(_CHUNK):
                if wrong is None and not (chunk.isascii() and not decoder.getstate()[0]):
                    try:
                        decoder.decode(chunk)
                    except UnicodeDecodeError as error:
                        wrong = lines + chunk.count(b"\n", 0, error.start) + 1
                lines += chunk.count(b"\n")
                blank += _blank_lines(last + chunk)
                last = chunk[-1:] if chunk[-2:] != b"\n\r" else chunk[-2:]
    except _BROKEN as error:
        raise _cut_off(path, error) from None
    open_end = not last.endswith(b"\n")
    return lines + open_end - blank, open_end, wrong


def _blank_lines(piece: bytes) -> int:
    """Line ends that directly follow a line end; the first byte belongs to the piece before."""
    if b"\n\n" not in piece and b"\n\r\n" not in piece:
        return 0
    ends = piece.replace(b"\r\n", b"\n").split(b"\n")
    return sum(not e for e in ends[1:-1])


def _transcode(path: Path, target: Path, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding in ("ascii", "utf-8") else encoding)()
    done = 0
    try:
        with _open(path) as stream, target.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                out.write(decoder.decode(chunk).lstrip("\ufeff" if not done else "").encode("utf-8"))
                done += len(chunk)
            out.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeDecodeError as error:
        raise ReadError(
            f"{path.name}: not valid {encoding} near byte {done + error.start}, or cut off in the middle of a "
            "character. State the right encoding in the mapping, or ask for the file again; nothing was read."
        ) from None
    except _BROKEN as error:
        raise _cut_off(path, error) from None


def _find_delimiter(header: str, rows: list[str], name: str) -> str:
    best = []
    for mark in _DELIMITERS:
        fields = len(next(csv.reader(io.StringIO(header), delimiter=mark)))
        if fields > 1:
            same = sum(len(r) == fields for r in csv.reader(rows, delimiter=mark))
            best.append((same / max(len(rows), 1), fields, mark))
    if not best:
        raise ReadError(
            f"{name}: only one column was found: the header line has no comma, semicolon, tab or bar. "
            'State delimiter = "..." in the mapping if another mark separates the columns.'
        )
    return max(best)[2]


def _other(header: str, mark: str) -> str:
    found = next((d for d in _DELIMITERS if d in header and d != mark), "")
    return f" The header line has {found!r}: state delimiter = {found!r} in the mapping." if found else ""
