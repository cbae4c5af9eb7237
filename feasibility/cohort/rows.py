"""Which row is which patient: identifiers, index dates, and patients with several rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort.dates import NEVER_DATE, from_days, parse_dates
from feasibility.cohort.parse import KNOWN, from_floats, parse_numbers
from feasibility.cohort.raw import LONGEST_EXACT, Raw, RawTable
from feasibility.errors import ReadError


def patient_rows(table: RawTable, plan) -> tuple[np.ndarray, np.ndarray | None, RawTable]:
    """(patient ids, index date: one, one a row, or None, and the table reduced to those rows).

    Raises
    ------
    ReadError
        For an empty table, rows without a patient, another number of rows than stated, and patients with several rows
        unless the mapping says which one counts.
    """
    file = plan.mapping.file
    n = len(table.lines) + table.facts.get("n_rows_rejected", 0)
    if file.rows is not None and n != file.rows:
        raise ReadError(
            f"{table.source}: the mapping states {file.rows} rows, the file has {n}. Is it cut off, or the wrong file?"
        )
    if not len(table.lines):
        raise ReadError(f"{table.source}: there is a header but no row of a patient.")
    ids = _ids(table.columns[file.patient_id], table.source)
    nobody = np.array([not i for i in ids])
    if nobody.any():
        table.note(
            "quarantined",
            "no patient identifier on this row",
            table.lines[nobody].tolist(),
            file_column=file.patient_id,
        )
        table.facts["n_rows_rejected"] = table.facts.get("n_rows_rejected", 0) + int(nobody.sum())
        if nobody.all():
            raise ReadError(f"{table.source}: no row has a patient identifier in column {file.patient_id!r}.")
        ids, table = ids[~nobody], _take(table, np.flatnonzero(~nobody))
    index = _index(table, plan)
    keep = _one_row_each(ids, index, table, file)
    if keep is not None:
        ids, table = ids[keep], _take(table, keep)
        index = index[keep] if index is not None and index.ndim else index
    return ids, index, table


def _ids(raw: Raw, source: str) -> np.ndarray:
    if raw.kind == "number" and (np.abs(raw.values[~np.isnan(raw.values)]) >= LONGEST_EXACT).any():
        raise ReadError(
            f"{source}: the patient identifiers in {raw.name!r} are decimal numbers so long that their last digits are "
            "lost; export them as text."
        )
    texts = np.array([*[(t or "").strip() for t in raw.texts()], ""], dtype=object)
    return texts[raw.codes]


def _take(table: RawTable, rows: np.ndarray) -> RawTable:
    columns = {name: raw.take(rows) for name, raw in table.columns.items()}
    return RawTable(table.source, columns, table.lines[rows], table.facts, table.events, table.attrs)


def _index(table: RawTable, plan) -> np.ndarray | None:
    if plan.index_day is not None:
        return np.array(plan.index_day, dtype="datetime64[D]")
    if not plan.index_column:
        return None
    raw = table.columns[plan.index_column]
    if raw.kind == "date":
        dates = from_days(raw.values)
    else:
        raw = raw.as_text()
        dates = parse_dates(raw.values, order=plan.mapping.file.date_format)
    unusable = (dates.status == KNOWN) & ((dates.first != dates.last) | (dates.first == NEVER_DATE))
    dates.first[unusable] = np.datetime64("NaT", "D")
    days = dates.take(raw.codes).first
    missing = np.isnat(days)
    if missing.any():
        table.note(
            "quarantined",
            "no full index date on this row",
            table.lines[missing].tolist(),
            file_column=plan.index_column,
        )
    if missing.all():
        return None
    known = np.unique(days[~missing])
    # One date for everyone lets dates be converted once per distinct date.
    return known[0] if len(known) == 1 and not missing.any() else days


def _one_row_each(ids, index, table: RawTable, file) -> np.ndarray | None:
    """The rows to keep where patients have several; None if every patient has one."""
    keys = pd.factorize(ids)[0].astype("int64")
    if index is not None and index.ndim:
        day = np.unique(index, return_inverse=True)[1]
        keys = keys * (day.max() + 1) + day
    counts = np.bincount(pd.factorize(keys)[0])
    if counts.max() == 1:
        return None
    repeated = pd.Series(keys).duplicated(keep=False).to_numpy()
    n_patients, lines = int((counts > 1).sum()), table.lines[repeated]
    if file.duplicates == "error":
        raise ReadError(
            f"{table.source}: {n_patients} patients have more than one row ({int(repeated.sum())} rows, first on lines "
            f'{", ".join(map(str, lines[:6]))}). State which one counts: [file] duplicates = "latest" and order_by = '
            "the column with its date."
        )
    rank = _rank(table.columns[file.order_by], file)
    if index is not None and np.issubdtype(rank.dtype, np.datetime64):
        rank = _not_later(rank, index, repeated, table)
    order = np.lexsort((rank, keys))
    last = np.append(keys[order][1:] != keys[order][:-1], True)
    before = np.append(False, ~last[:-1])  # the row before belongs to the same patient
    tied = last & before & (rank[order] == np.roll(rank[order], 1))
    unordered = last & before & _is_low(rank[order])
    if unordered.any():
        raise ReadError(
            f"{table.source}: {int(unordered.sum())} patients have several rows and none with a usable "
            f"{file.order_by!r} (first: line {np.sort(table.lines[order[unordered]])[0]})."
        )
    if tied.any():
        lines = np.sort(table.lines[order[tied]])
        raise ReadError(
            f"{table.source}: {int(tied.sum())} patients have two latest rows by {file.order_by!r} "
            f"(first: line {lines[0]}); which one counts cannot be told."
        )
    keep = np.sort(order[last])
    dropped = np.setdiff1d(np.arange(len(ids)), keep)
    table.note("superseded", f"an earlier row of the same patient by {file.order_by}", table.lines[dropped].tolist(),
               file_column=file.order_by)  # fmt: skip
    table.facts["n_rows_superseded"] = len(dropped)
    return keep


_LOW_DATE = np.datetime64("0001-01-01", "D")


def _rank(raw: Raw, file) -> np.ndarray:
    """Dates (or numbers) to order by; a missing one comes first."""
    if raw.kind == "date":
        days = np.append(raw.values, np.datetime64("NaT", "D"))[raw.codes]
        return np.where(np.isnat(days), _LOW_DATE, days)
    if raw.kind == "number":
        return np.nan_to_num(from_floats(raw.values, frozenset(), False).take(raw.codes).lo, nan=-np.inf)
    dates = parse_dates(raw.values, order=file.date_format)
    numbers = parse_numbers(raw.values)
    if (dates.status == KNOWN).sum() >= (numbers.status == KNOWN).sum():
        days = dates.take(raw.codes).first
        return np.where(np.isnat(days), _LOW_DATE, days)
    return np.nan_to_num(numbers.take(raw.codes).lo, nan=-np.inf)


def _is_low(rank: np.ndarray) -> np.ndarray:
    return rank == (_LOW_DATE if np.issubdtype(rank.dtype, np.datetime64) else -np.inf)


def _not_later(rank, index, repeated, table: RawTable) -> np.ndarray:
    """Rows dated after the index date never count as the latest."""
    later = repeated & (rank > index)
    table.note("quarantined", "a row dated after the index date", table.lines[later].tolist())
    return np.where(later, _LOW_DATE, rank)
