"""CSV and TSV files: every physical line becomes a row, a counted quarantine or an error; none disappears.

The lines are counted first, in the bytes; quotes that do not close are found there, because a parser would swallow
the patients after them. pyarrow then splits what is sound, and the row totals are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from feasibility.cohort.encodings import to_utf8
from feasibility.cohort.lines import MAX_SPAN, Lines, fields_of, line_ends
from feasibility.cohort.mapping import FileOptions
from feasibility.cohort.raw import RawTable, encode_text
from feasibility.errors import ReadError

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_delimited(
    data: bytes, name: str, options: FileOptions, wanted: Callable[[list[str]], set[str]], progress=lambda s, f: None
) -> RawTable:
    """Read delimited text whose bytes are ``data``; only the ``wanted`` columns are kept."""
    if not data[:4096].strip() and not data.strip():
        raise ReadError(f"{name}: the file is empty.")
    text, encoding, evidence = to_utf8(data, name, options.encoding)
    facts = {"encoding": encoding, "encoding_evidence": evidence}
    progress("lines", 0.1)
    text, unfinished = line_ends(text)
    unfinished = unfinished and not options.complete
    lines = Lines(text)
    header, first, delimiter, why = _header(lines, name, options.delimiter)
    facts |= {"delimiter": delimiter, "delimiter_evidence": why}
    records, rejected = lines.records(first, len(header), delimiter, name, unfinished)
    table, extra = _parse(text, lines, records, header, delimiter, wanted(header), name, progress)
    rejected |= extra
    records = records[~np.isin(records[:, 0], list(extra))] if extra else records
    if table.num_rows != len(records):
        raise ReadError(
            f"{name}: {len(records)} rows were counted in the file but {table.num_rows} could be split into fields. "
            "A quotation mark is probably not closed; nothing was read."
        )
    result = RawTable(name, {}, records[:, 0] + 1, facts)
    _reject(result, rejected, len(records), len(lines), unfinished, name, len(header))
    for column in table.column_names:
        result.columns[column] = encode_text(column, table[column])
    if unfinished and len(records):
        _last_cell(result, header[-1], len(lines))
    result.facts["n_rows_in_file"] = len(records) + len(rejected)
    result.facts["file_columns"] = header
    return result


def _header(lines: Lines, name: str, stated: str) -> tuple[list[str], int, str, str]:
    """(column names, line of the first row, delimiter, why this delimiter)."""
    first = int(np.flatnonzero(~lines.is_blank())[0])
    start = lines.get(first)
    if start.lower().startswith("sep=") and len(start) == 5:
        stated, first = start[4], first + 1
    last = first
    if lines.quotes is not None:
        while lines.quotes[first : last + 1].sum() % 2 and last + 1 < len(lines) and last - first < MAX_SPAN:
            last += 1
    text = lines.get(first, last)
    if stated:
        delimiter, why = {"\\t": "\t", "tab": "\t"}.get(stated, stated), "stated"
        if len(delimiter.encode()) != 1:
            raise ReadError(f"{name}: the delimiter {stated!r} is not one plain character.")
    else:
        delimiter, why = _find_delimiter(lines, text, last + 1, name)
    fields = fields_of(text, delimiter)
    if fields is None:
        raise ReadError(f"{name}: a quotation mark in the header line is not closed.")
    if len(fields) < 2:
        found = next((d for d in _DELIMITERS if d in text and d != delimiter), "")
        raise ReadError(
            f"{name}: only one column was found with the delimiter {delimiter!r}."
            + (f" The header line has {_DELIMITERS[found]}s: state [file] delimiter = {found!r}." if found else "")
        )
    return _names(fields), last + 1, delimiter, why


def _find_delimiter(lines: Lines, header: str, first: int, name: str) -> tuple[str, str]:
    sample = [lines.get(i) for i in range(first, min(first + 200, len(lines)))]
    sample = [s for s in sample if s.strip()]
    best: list[tuple[float, int, str]] = []
    for delimiter in _DELIMITERS:
        fields = fields_of(header, delimiter)
        if fields and len(fields) > 1:
            same = sum(len(fields_of(row, delimiter) or ()) == len(fields) for row in sample)
            best.append((same / max(len(sample), 1), len(fields), delimiter))
    if not best:
        if header.count('"') % 2:
            raise ReadError(f"{name}: a quotation mark in the header line is not closed.")
        raise ReadError(
            f"{name}: only one column was found: the header line has no comma, semicolon, tab or bar. If it is a table "
            'of several columns, state [file] delimiter = "..." in the mapping.'
        )
    share, n, delimiter = max(best)
    return delimiter, f"{_DELIMITERS[delimiter]}: {n} fields in the header and in {share:.0%} of the first rows"


def _names(fields: list[str]) -> list[str]:
    """Column names, trimmed; nameless columns are numbered, and a name used again keeps a number as well."""
    names: list[str] = []
    for i, field in enumerate(fields, 1):
        field = " ".join(field.replace("\ufeff", "").split()) or f"column {i}"
        names.append(field if field not in names else f"{field} (column {i})")
    return names


def _parse(text, lines: Lines, records, header, delimiter, wanted, name, progress):
    """pyarrow's table of the wanted columns, and the lines with another number of fields."""
    if not len(records):
        return pa.table({c: pa.array([], pa.string()) for c in header if c in wanted}), set()
    buffer = _cut_out(text, lines, records)
    progress("fields", 0.2)
    multiline = bool((records[:, 0] != records[:, 1]).any())
    bad: list = []

    def parse(threads: bool, on_bad):
        return pacsv.read_csv(
            pa.BufferReader(buffer),
            read_options=pacsv.ReadOptions(column_names=header, use_threads=threads, block_size=4 << 20),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter, newlines_in_values=multiline, ignore_empty_lines=True, invalid_row_handler=on_bad
            ),
            convert_options=pacsv.ConvertOptions(
                include_columns=[c for c in header if c in wanted] or header[:1],
                column_types={c: pa.dictionary(pa.int32(), pa.string()) for c in header},
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )

    def skip(row):
        bad.append(row.number)
        return "skip"

    try:
        table = parse(True, skip)
        if bad:  # only a single thread knows the line numbers
            bad.clear()
            table = parse(False, skip)
    except pa.ArrowInvalid as error:
        raise ReadError(f"{name}: the rows cannot be split into fields ({str(error).splitlines()[0][:120]}).") from None
    return table, {int(records[number - 1, 0]) for number in bad}


def _cut_out(text: bytes, lines: Lines, records):
    """The bytes of the sound rows; without a copy where nothing has to be left out."""
    begin, end = lines.starts[records[0, 0]], lines.ends[records[-1, 1]] + 1
    whole = memoryview(text)[begin:end]
    covered = (lines.ends[records[:, 1]] - lines.starts[records[:, 0]] + 1).sum()
    if covered == end - begin:
        return pa.py_buffer(whole)
    gaps = np.flatnonzero(records[1:, 0] != records[:-1, 1] + 1)
    firsts = np.concatenate([[0], gaps + 1])
    lasts = np.concatenate([gaps, [len(records) - 1]])
    pieces = [
        text[lines.starts[records[a, 0]] : lines.ends[records[b, 1]] + 1] for a, b in zip(firsts, lasts, strict=True)
    ]
    return pa.py_buffer(b"".join(pieces))


def _reject(result: RawTable, rejected: set[int], n_good: int, n_lines: int, unfinished, name: str, n_fields: int):
    rows = sorted(line + 1 for line in rejected)
    result.facts["n_rows_rejected"] = len(rows)
    if not rows:
        return
    if len(rows) > max(1, n_good):
        raise ReadError(
            f"{name}: {len(rows)} of {len(rows) + n_good} rows do not have the {n_fields} fields of the header (first: "
            f"line {rows[0]}). Is the delimiter {result.facts['delimiter']!r} right? State it in the mapping."
        )
    result.note("quarantined", f"row without the {n_fields} fields of the header, or with an open quotation mark", rows)


def _last_cell(result: RawTable, column: str, line: int) -> None:
    """The last cell of a file without a final line end may be cut: it is set aside, and said so."""
    raw = result.columns.get(column)
    if raw is not None:
        codes = raw.codes.copy()
        codes[-1] = -1
        result.columns[column] = replace(raw, codes=codes)
    result.note(
        "quarantined",
        "the last line has no line end: its last value may be cut and is set aside "
        "(if the file is complete: [file] complete = true)",
        [line],
        file_column=column,
    )
