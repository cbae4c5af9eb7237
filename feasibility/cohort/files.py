"""Files of every kind a hospital sends, opened as columns of raw cells: CSV, TSV, Parquet, Excel, SPSS, Stata, SAS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.cohort.delimited import read_delimited
from feasibility.cohort.encodings import read_bytes
from feasibility.cohort.mapping import FileOptions
from feasibility.cohort.raw import Raw, RawTable, encode_arrow, encode_objects, encode_series
from feasibility.errors import ReadError

TEXT = (".csv", ".tsv", ".txt", ".tab", ".dat")
PACKED = (".gz", ".bz2", ".xz")
EXCEL = (".xlsx", ".xlsm")
STATISTICS = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
    ".xpt": "read_xport",
}
PARQUET = (".parquet", ".pq")

Wanted = Callable[[list[str]], set[str]]


def open_table(path: str | Path, options: FileOptions, wanted: Wanted, progress=lambda s, f: None) -> RawTable:
    """Open a file by its suffix and keep the ``wanted`` columns.

    Raises
    ------
    ReadError
        For a file that is missing, of an unknown kind, damaged, cut off or empty.
    """
    path = Path(path)
    progress("open", 0.0)
    suffixes = [s.lower() for s in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    kind = suffixes[-2] if packed and len(suffixes) > 1 else suffixes[-1] if suffixes else ""
    if kind in TEXT:
        return read_delimited(read_bytes(path), path.name, options, wanted, progress)
    if not path.exists():
        raise ReadError(f"There is no file {str(path)!r}.")
    if not packed:
        if kind in PARQUET:
            return _parquet(path, wanted)
        if kind in EXCEL:
            return _excel(path, options, wanted)
        if kind in STATISTICS:
            return _statistics(path, STATISTICS[kind], options, wanted)
    if path.is_dir():
        raise ReadError(
            f"{path.name} is a folder; a table with one row a patient is needed. From a hospital's events make one with"
            f" feasibility build {path.name} --trial ... --index-date ... --output cohort.parquet."
        )
    hint = " Save an old .xls workbook as .xlsx." if kind == ".xls" else ""
    known = ", ".join((*TEXT, *PARQUET, *EXCEL, *STATISTICS))
    raise ReadError(f"{path.name}: files of this kind are not read.{hint} Known: {known}; text files also as .gz.")


def from_frame(frame: pd.DataFrame, source: str, wanted: Wanted) -> RawTable:
    """A DataFrame in memory; its index counts as columns if it has names. Rows are numbered from 1."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(c) for c in frame.columns]
    repeated = sorted({n for n in names if names.count(n) > 1})
    chosen = wanted(names)
    if set(repeated) & chosen:
        raise ReadError(f"{source}: column {repeated[0]!r} occurs more than once; rename one of them.")
    table = RawTable(source, {}, np.arange(1, len(frame) + 1), {"file_columns": names}, attrs=dict(frame.attrs))
    for i, name in enumerate(names):
        if name in chosen:
            table.columns[name] = encode_series(name, frame.iloc[:, i], source)
    return table


def _parquet(path: Path, wanted: Wanted) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        chosen = wanted(names)
        data = file.read(columns=[n for n in names if n in chosen])
    except (pa.ArrowException, OSError) as error:
        raise ReadError(
            f"{path.name}: not a whole Parquet file, perhaps cut off ({str(error).splitlines()[0][:100]}). "
            "Nothing was read."
        ) from None
    table = RawTable(path.name, {}, np.arange(1, data.num_rows + 1), {"file_columns": list(names)})
    pandas_notes = (file.schema_arrow.metadata or {}).get(b"pandas")
    if pandas_notes:
        table.attrs = json.loads(pandas_notes).get("attributes") or {}
    for name in data.column_names:
        table.columns[name] = encode_arrow(name, data[name], path.name)
    return table


def _excel(path: Path, options: FileOptions, wanted: Wanted) -> RawTable:
    """The stated sheet, or the only one that has anything in it."""
    import zipfile

    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = book.sheetnames
        sheet = _sheet(book, sheets, options.sheet, path.name)
        rows = list(sheet.iter_rows(values_only=True))
        book.close()
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
        raise ReadError(
            f"{path.name}: not a whole Excel workbook, perhaps cut off ({error}). Nothing was read."
        ) from None
    filled = [i for i, row in enumerate(rows) if any(c is not None and str(c).strip() for c in row)]
    if not filled:
        raise ReadError(f"{path.name}: sheet {sheet.title!r} is empty.")
    header = rows[filled[0]]
    body = [rows[i] for i in filled[1:]]
    # Columns to the right of the table that are empty throughout do not belong to it.
    width = max(max((j + 1 for j, c in enumerate(row) if c is not None), default=0) for row in (header, *body))
    names = [" ".join(str(c).split()) if c is not None else f"column {j + 1}" for j, c in enumerate(header[:width])]
    names += [f"column {j + 1}" for j in range(len(names), width)]
    names = [n if n not in names[:j] else f"{n} (column {j + 1})" for j, n in enumerate(names)]
    chosen = wanted(names)
    table = RawTable(path.name, {}, np.array([i + 1 for i in filled[1:]], dtype="int64"))
    table.facts = {"file_columns": names, "sheet": sheet.title}
    for j, name in enumerate(names):
        if name in chosen:
            cells = np.array([row[j] if j < len(row) else None for row in body] + [None], dtype=object)[:-1]
            table.columns[name] = encode_objects(name, cells, pd.isna(cells))
    return table


def _sheet(book, sheets: list[str], stated, name: str):
    if stated is not None:
        if isinstance(stated, int) and 0 <= stated < len(sheets):
            return book[sheets[stated]]
        if stated in sheets:
            return book[stated]
        raise ReadError(f"{name}: there is no sheet {stated!r}. Sheets: {', '.join(sheets)}.")
    filled = [
        s for s in sheets if any(any(c is not None for c in r) for r in book[s].iter_rows(max_row=20, values_only=True))
    ]
    if len(filled) > 1:
        raise ReadError(
            f'{name}: several sheets hold something ({", ".join(filled)}). State [file] sheet = "..." in the mapping.'
        )
    return book[(filled or sheets)[0]]


def _statistics(path: Path, reader: str, options: FileOptions, wanted: Wanted) -> RawTable:
    """SPSS, Stata and SAS: value labels are read as text, dates as dates, user-defined missing values as missing."""
    try:
        import pyreadstat
    except ImportError:
        raise ReadError(
            f"{path.name}: reading SPSS, Stata and SAS files needs pyreadstat: "
            "pip install 'trial-feasibility[stat-files]'."
        ) from None
    more = {"encoding": options.encoding} if options.encoding else {}
    try:
        data, notes = getattr(pyreadstat, reader)(str(path), **more)
    except Exception as error:  # its own class of error is not public in all versions
        raise ReadError(
            f"{path.name}: cannot be read, perhaps cut off ({str(error)[:100]}). Nothing was read."
        ) from None
    if reader == "read_xport" and path.stat().st_size % 80:  # the format has no row count, only records of 80 bytes
        raise ReadError(f"{path.name}: the file looks cut off: it ends in the middle of a record. Nothing was read.")
    labels = getattr(notes, "variable_value_labels", {}) or {}
    chosen = wanted([str(c) for c in data.columns])
    table = RawTable(path.name, {}, np.arange(1, len(data) + 1), {"file_columns": [str(c) for c in data.columns]})
    for name in data.columns:
        if name in chosen:
            table.columns[name] = _labelled(name, data[name], labels.get(name, {}), path.name)
    table.facts["value_labels"] = sorted(set(labels) & chosen)
    return table


def _labelled(name: str, series: pd.Series, labels: dict, source: str) -> Raw:
    if labels and series.isin(list(labels)).any():
        series = series.astype(object).map(lambda v: labels.get(v, v))
    return encode_series(name, series, source)
