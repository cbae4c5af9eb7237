"""The physical lines of a text table: which belong together, and which hide others behind an open quotation mark."""

from __future__ import annotations

import csv
import io

import numpy as np

from feasibility.errors import ReadError

MAX_SPAN = 100
"""A quoted text longer than this many lines is taken for a quote that was never closed."""


def line_ends(text: bytes) -> tuple[bytes, bool]:
    """One kind of line end; and whether the last line has none."""
    if b"\r" in text:
        if b"\n" not in text:
            text = text.replace(b"\r", b"\n")
        else:
            text = text.replace(b"\r\n", b"\n")
            cut = text.endswith(b"\r")  # between the two characters of a line end
            text = text.replace(b"\r", b" ").rstrip(b" ") if cut else text.replace(b"\r", b" ")
    return (text, False) if text.endswith(b"\n") else (text + b"\n", True)


def _positions(text, byte: int, step: int = 1 << 20) -> np.ndarray:
    """Where a byte occurs; piece by piece, which stays in the processor's cache."""
    buffer = np.frombuffer(text, dtype="uint8")
    pieces = [np.flatnonzero(buffer[i : i + step] == byte) + i for i in range(0, len(buffer), step)]
    return np.concatenate(pieces) if pieces else np.array([], dtype="int64")


class Lines:
    """Where each physical line starts and ends, and how many quotation marks it has."""

    def __init__(self, text: bytes):
        self.text = text
        self.ends = _positions(text, 10)
        self.starts = np.concatenate([[0], self.ends[:-1] + 1])
        self.quotes = None
        if b'"' in text:
            marks = _positions(memoryview(text)[: text.rfind(b'"') + 1], 34)  # often only the header has any
            self.quotes = np.diff(np.concatenate([[0], np.searchsorted(marks, self.ends)]))

    def __len__(self) -> int:
        return len(self.ends)

    def get(self, first: int, last: int | None = None) -> str:
        return self.text[self.starts[first] : self.ends[first if last is None else last]].decode("utf-8")

    def is_blank(self) -> np.ndarray:
        """Lines of nothing but spaces; the few short ones are looked at one by one."""
        blank = self.ends == self.starts
        short = np.flatnonzero((self.ends - self.starts < 20) & ~blank)
        for i in short if len(short) < 100_000 else ():
            blank[i] = not self.text[self.starts[i] : self.ends[i]].strip()
        return blank

    def records(self, first: int, n_fields: int, delimiter: str, name: str, unfinished: bool):
        """Rows as (first line, last line), and the lines set aside because a quotation mark does not close."""
        blank = self.is_blank()
        start = np.flatnonzero(~blank[first:]) + first
        rejected: set[int] = set()
        if unfinished:
            fields = fields_of(self.get(len(self) - 1), delimiter) if not self._odd(len(self) - 1) else None
            if len(self) > first and (fields is None or len(fields) < n_fields):
                raise ReadError(
                    f"{name}: the file looks cut off: line {len(self)} has no line end and "
                    f"{'an open quotation mark' if fields is None else f'only {len(fields)} of {n_fields} fields'}. "
                    "Ask for the file again; nothing was read."
                )
        last = start.copy()
        if self.quotes is not None and (self.quotes[first:] % 2).any():
            drop = np.zeros(len(self), dtype=bool)
            odd = [int(i) for i in np.flatnonzero(self.quotes % 2) if i >= first]
            position = {line: k for k, line in enumerate(start)}
            k = 0
            while k < len(odd):
                line = odd[k]
                if fields_of(self.get(line), delimiter, n_fields):
                    k += 1
                    continue
                closing = odd[k + 1] if k + 1 < len(odd) else None
                if closing is not None and self._is_one_row(line, closing, delimiter, n_fields):
                    drop[line + 1 : closing + 1] = True
                    last[position[line]] = closing
                    k += 2
                else:
                    drop[line] = True
                    rejected.add(line)
                    k += 1
            keep = ~drop[start]
            start, last = start[keep], last[keep]
        return np.column_stack([start, last]).astype("int64").reshape(-1, 2), rejected

    def _odd(self, line: int) -> bool:
        return self.quotes is not None and bool(self.quotes[line] % 2) and not self.get(line).count('"') == 0

    def _is_one_row(self, first: int, last: int, delimiter: str, n_fields: int) -> bool:
        """A text in quotes that spans lines, and not a lost quotation mark that hides the rows between."""
        if last - first > MAX_SPAN:
            return False
        fields = fields_of(self.get(first, last), delimiter, n_fields)
        # A swallowed row leaves as many delimiters in the text as a row has.
        return bool(fields) and max(f.count(delimiter) for f in fields if "\n" in f) < n_fields - 1


def fields_of(text: str, delimiter: str, expected: int | None = None) -> list[str] | None:
    """The fields of one row; None if its quotation marks do not close or the number is not the expected one."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    if len(rows) != 1 or (expected is not None and len(rows[0]) != expected):
        return None
    return rows[0]
