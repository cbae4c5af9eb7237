"""Streams a file once before it is loaded: is it whole, how many lines has it, where does it end?

DuckDB reads a gzip file that was cut off without a word (half of the lines, no error), so every packed file is read
to its trailer first.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from feasibility.errors import ReadError

_CHUNK = 4 << 20


@dataclass(frozen=True)
class Scan:
    """What one pass over the bytes showed: size when unpacked, line ends, quotation marks, an unfinished last line."""

    size: int
    lines: int
    quotes: int
    unfinished: bool


def scan(path: Path) -> Scan:
    """Read ``path`` to its end (unpacking .gz) and count.

    Raises
    ------
    ReadError
        If a .gz file is cut off or damaged; nothing of it may be used then.
    """
    size = lines = quotes = 0
    last = b"\n"
    for chunk in _pieces(path):
        if not chunk:
            continue
        size += len(chunk)
        lines += chunk.count(b"\n")
        quotes += chunk.count(b'"')
        last = chunk[-1:]
    unfinished = size > 0 and last != b"\n"
    return Scan(size, lines + unfinished, quotes, unfinished)


def first_line(path: Path, limit: int = 1 << 20) -> str:
    """The first line that is not blank, without its byte-order mark; at most ``limit`` bytes of it."""
    head = b""
    for chunk in _pieces(path):
        head += chunk
        if b"\n" in head.lstrip(b"\xef\xbb\xbf \t\r\n") or len(head) > limit:
            break
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    return text.split("\n", 1)[0].rstrip("\r")


def _pieces(path: Path):
    with path.open("rb") as stream:
        if path.suffix.lower() != ".gz":
            while chunk := stream.read(_CHUNK):
                yield chunk
            return
        unpack = zlib.decompressobj(31)
        empty = True
        try:
            while chunk := stream.read(_CHUNK):
                empty = False
                while chunk:  # several gzip members may follow each other
                    if unpack.eof:
                        unpack = zlib.decompressobj(31)
                    yield unpack.decompress(chunk)
                    chunk = unpack.unused_data if unpack.eof else b""
        except zlib.error as error:
            raise _damaged(path, str(error)) from None
        if empty or not unpack.eof:
            raise _damaged(path, "the end of the packed data is missing")


def _damaged(path: Path, why: str) -> ReadError:
    return ReadError(
        f"{path.name}: the packed file is cut off or damaged ({why}). Ask for the file again; nothing was read."
    )
