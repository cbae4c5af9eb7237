"""Bytes to UTF-8: the encoding is stated or shown by evidence, and the evidence is reported; it is never guessed."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from pathlib import Path

import pyarrow as pa

from feasibility.errors import ReadError

_CHUNK = 16 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def read_bytes(path: Path) -> bytes:
    """The whole file, unpacked; a packed file that is cut off or damaged is an error, never a shorter table."""
    opener = _OPENERS.get(path.suffix.lower())
    try:
        if opener is None:
            return path.read_bytes()
        with opener(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise ReadError(f"There is no file {str(path)!r}.") from None
    except IsADirectoryError:
        raise ReadError(f"{str(path)!r} is a folder; read_cohort reads one file with one row per patient.") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError, ValueError) as error:
        raise ReadError(
            f"{path.name}: the packed file is cut off or damaged ({error}). Ask for the file again; nothing was read."
        ) from None


def to_utf8(data: bytes, name: str, stated: str = "") -> tuple[bytes, str, str]:
    """(the text as UTF-8 without byte-order mark, the encoding, the evidence for it).

    Raises
    ------
    ReadError
        If the bytes are not what was stated, end in the middle of a character, or show no encoding by themselves.
    """
    if stated:
        return _stated(data, name, stated)
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decode(data[len(bom) :], encoding, name), encoding, "byte-order mark"
    if b"\x00" in data[:4096]:
        encoding = _wide(data[:4096])
        if encoding:
            return _decode(data, encoding, name), encoding, "every other byte is zero, as in UTF-16"
        raise ReadError(f"{name}: this is not a text file (it has zero bytes).")
    if data.isascii():
        return data, "ascii", "only plain characters: the same in every encoding"
    if _is_utf8(data):
        return data, "utf-8", "characters beyond ASCII, all valid UTF-8"
    try:
        _decode(data, "utf-8", name)
    except ReadError as error:
        if "middle of a character" in str(error):
            raise
    return _chinese(data, name)


def _is_utf8(data: bytes) -> bool:
    """pyarrow's check is three times as fast as decoding."""
    try:
        pa.array([data], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _stated(data: bytes, name: str, stated: str) -> tuple[bytes, str, str]:
    try:
        encoding = codecs.lookup(stated).name
    except LookupError:
        raise ReadError(
            f"{name}: encoding {stated!r} is not known. Usual ones: utf-8, utf-16, gb18030 (Chinese), "
            "cp1252 or latin-1 (Western European)."
        ) from None
    if encoding.startswith("utf-16") or encoding in ("utf-8", "utf-8-sig"):
        for bom, found in _BOMS:
            if data.startswith(bom):
                if found[:6] != encoding[:6]:
                    raise ReadError(f"{name}: encoding {stated!r} is stated, but the byte-order mark says {found}.")
                return _decode(data[len(bom) :], found, name), found, "stated, and byte-order mark"
        encoding = {"utf-16": _wide(data[:4096]) or "utf-16-le", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    return _decode(data, encoding, name), encoding, "stated in the mapping"


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: in a table, delimiters and digits leave a zero in every other byte."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.3 * len(head) / 2 and even < 0.05 * odd:
        return "utf-16-le"
    if even > 0.3 * len(head) / 2 and odd < 0.05 * even:
        return "utf-16-be"
    return ""


def _decode(data: bytes, encoding: str, name: str) -> bytes:
    """Transcode in pieces; plain UTF-8 is only checked."""
    decoder = codecs.getincrementaldecoder(encoding)()
    pieces, position = [], 0
    try:
        for position in range(0, max(len(data), 1), _CHUNK):
            piece = data[position : position + _CHUNK]
            text = decoder.decode(piece)
            if encoding != "utf-8":
                pieces.append(text.encode("utf-8"))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        # These reasons are only given when the bytes end, whatever the encoding.
        if any(word in error.reason for word in ("unexpected end", "truncated", "incomplete")):
            raise ReadError(
                f"{name}: the file looks cut off: it ends in the middle of a character ({encoding}). "
                "Ask for the file again; nothing was read."
            ) from None
        at = position + error.start
        line = data.count(b"\n", 0, min(at, len(data))) + 1
        raise ReadError(
            f"{name}: line {line} is not valid {encoding} (byte {error.object[error.start]:#04x}). State the encoding "
            'in the mapping, [file] encoding = "gb18030" (Chinese), "cp1252" (Western European) or what it is.'
        ) from None
    except UnicodeEncodeError:
        raise ReadError(f"{name}: the text is not valid {encoding} (half a character).") from None
    return data if encoding == "utf-8" else b"".join(pieces)


def _chinese(data: bytes, name: str) -> tuple[bytes, str, str]:
    """GB18030, only on the evidence that nearly every pair of high bytes is one of the common Chinese characters.

    Western text can decode as GB18030 by accident, but then its letters do not come in pairs of high bytes.
    """
    try:
        text = _decode(data, "gb18030", name)
    except ReadError:
        text = b""
    if text:
        common = total = position = 0
        while position < len(data) and total < 20_000:
            byte = data[position]
            if byte < 0x80:
                position += 1
                continue
            pair = data[position : position + 2]
            total += 1
            # Symbols in rows A1-A9, the 6,763 common characters of GB2312 in rows B0-F7.
            common += len(pair) == 2 and (0xA1 <= pair[0] <= 0xA9 or (0xB0 <= pair[0] <= 0xF7 and pair[1] >= 0xA1))
            position += 2
        if total >= 4 and common >= 0.95 * total:
            return text, "gb18030", f"{common} of {total} double bytes are common Chinese characters; not valid UTF-8"
    raise ReadError(
        f"{name}: the encoding cannot be told: not UTF-8 (line {_bad_line(data)} is not), and no clear sign of Chinese "
        'GB18030. State it in the mapping: [file] encoding = "cp1252" (Western European), "gb18030", ...'
    )


def _bad_line(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    return 0
