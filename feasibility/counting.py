"""Counting patterns wherever the patients are: in memory, prepared, in Parquet files, or in a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.batches import ParquetCohort, repeated
from feasibility.cohort.prepared import PreparedCohort, open_prepared
from feasibility.engine.arrow import Batch
from feasibility.engine.blocks import SMALL, Prepared, count_codes, statuses, unable, unpack
from feasibility.engine.guards import check_criteria, sample_prepared, sample_rows
from feasibility.errors import ScreeningError
from feasibility.patterns import PatternTable
from feasibility.protocol.protocol import Protocol
from feasibility.screening import TWICE, absent_columns, check_kind, header_of, labels_of, screen

MERGE_AT = 4_000_000
"""Patterns of single batches that may wait before they are added up."""


def count_patterns(
    source,
    protocol: Protocol,
    *,
    missing_columns: str = "error",
    check: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> PatternTable:
    """The pattern table of patients wherever they are: nothing but counts is kept.

    ``source`` is a cohort (pandas, or prepared), the path of a prepared cohort (.arrow), of a Parquet file or a folder
    of them (read batch by batch, so that it need not fit in memory), or an Ibis table (DuckDB, PostgreSQL, Spark: the
    database counts). One row a patient, with the declared column names. ``header["route"]`` says which way was taken.
    ``missing_columns`` and ``check`` are as for ``screen``; a database is not sampled.

    Raises ScreeningError for a missing column, for patients that occur twice, and for a criterion that a database
    cannot express.
    """
    if isinstance(source, pd.DataFrame):
        screening = screen(source, protocol, missing_columns=missing_columns, check=check, progress=progress)
        return replace(screening.patterns(), header=screening.header | {"route": "pandas"})
    if missing_columns not in ("error", "unknown"):
        raise ScreeningError(f"missing_columns is {missing_columns!r}; it can be 'error' or 'unknown'.")
    if isinstance(source, str | Path):
        path = Path(source)
        source = open_prepared(path) if path.suffix == ".arrow" else ParquetCohort(path, protocol.columns)
    if isinstance(source, PreparedCohort):
        absent_columns(source.columns, protocol, missing_columns)
        for name in protocol.reads:
            if name in source:
                check_kind(name, source[name].dtype, source[name].dtype, protocol)
        (codes, n), record, route = _count_prepared(source, protocol, check, progress), source.record, "prepared"
        failed, unknown = unpack(codes, len(protocol.assessable))
    elif isinstance(source, ParquetCohort):
        absent_columns(source.columns, protocol, missing_columns)
        for name in source.physical(protocol.reads):
            kind, spelled = source.kind(name)
            if kind != "null":  # nothing in it: unknown for everyone
                check_kind(name, kind, spelled, protocol)
        (codes, n), record, route = _count_parquet(source, protocol, check, progress), {}, "Parquet, batch by batch"
        failed, unknown = unpack(codes, len(protocol.assessable))
    else:
        from feasibility.engine.ibis_engine import count_statuses

        failed, unknown, n = count_statuses(source, protocol)
        record, route = {}, f"database ({source.get_backend().name})"
    if progress:
        progress("done", 1.0)
    header = header_of(record, protocol) | {"route": route}
    return PatternTable(labels_of(protocol), failed, unknown, np.asarray(n, dtype=np.int64), header)


def _count_prepared(source: PreparedCohort, protocol: Protocol, check: bool, progress):
    if source.repeated:
        raise ScreeningError(TWICE.format(n=source.repeated, example=""))
    criteria = protocol.assessable
    keys = {c.id: repr(c.signature()) for c in criteria}
    unproved = [c for c in criteria if keys[c.id] not in source.guarded]
    if check and unproved:
        check_criteria(unproved, sample_prepared(source, protocol.reads), progress)
        source.guarded.update(keys.values())
    reader = Prepared(source, protocol.reads)
    new = [c for c in criteria if keys[c.id] not in source.on_blocks]
    if new and source.n > SMALL:
        slow = unable(reader, new)
        source.on_blocks.update({keys[c.id]: c.id not in slow for c in new})
    slow = {c.id for c in criteria if not source.on_blocks.get(keys[c.id], True)}
    codes, _ = statuses(reader, criteria, slow=slow, progress=progress)
    return count_codes(codes)


def _count_parquet(source: ParquetCohort, protocol: Protocol, check: bool, progress):
    """Batch by batch; what is kept grows with the patterns, not with the patients (with the guard, 8 bytes a patient
    more, to see that none occurs twice)."""
    criteria, slow, hashes, found, waiting = protocol.assessable, None, [], [], 0
    for table, done in source.batches(protocol.reads, ids=check):
        if check and "patient_id" in table.column_names:
            hashes.append(pd.util.hash_array(table["patient_id"].to_numpy()))
        batch = Batch(table, protocol.reads)
        if slow is None:
            slow = unable(batch, criteria)
            if check:
                check_criteria(criteria, sample_rows(batch.frame(slice(0, min(batch.n, 100_000)))[_names(batch)]))
        codes, _ = statuses(batch, criteria, small=0, slow=slow)
        found.append(count_codes(codes))
        waiting += len(found[-1][1])
        if waiting > MERGE_AT:
            found, waiting = [_merged(found)], 0
        if progress:
            progress("counting", done)
    n = repeated(hashes)
    if n:
        raise ScreeningError(TWICE.format(n=n, example=""))
    if not found:
        raise ScreeningError("The cohort is empty: there is no patient to screen.")
    return _merged(found)


def _names(batch: Batch) -> list[str]:
    return [p for n in batch.names for p in (n, n + UPPER) if batch.has(p)]


def _merged(found: list) -> tuple[np.ndarray, np.ndarray]:
    return count_codes(np.concatenate([k for k, _ in found]), np.concatenate([n for _, n in found]))
