"""Counting patterns wherever the patients are: in memory, prepared, in Parquet files, or in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.batches import ParquetCohort, repeated
from feasibility.cohort.prepared import PreparedCohort, open_prepared
from feasibility.engine.arrow import Batch
from feasibility.engine.blocks import SMALL, Prepared, Tally, count_statuses, statuses, unable, unpack
from feasibility.engine.guards import check_criteria, sample_prepared, sample_rows
from feasibility.errors import ScreeningError
from feasibility.patterns import PatternTable, count
from feasibility.protocol.protocol import Protocol
from feasibility.screening import TWICE, absent_columns, check_kind, header_of, labels_of, screen

PROTOCOLS = 8
"""Protocols that a prepared cohort remembers having been asked for."""


def count_patterns(
    source,
    protocol: Protocol,
    *,
    by: str | Iterable[str] = (),
    missing_columns: str = "error",
    check: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> PatternTable:
    """The pattern table of patients wherever they are: nothing but counts is kept.

    ``source`` is a cohort (pandas, or prepared), the path of a prepared cohort (.arrow), of a Parquet file or a folder
    of them (read batch by batch, so that it need not fit in memory), or an Ibis table (DuckDB, PostgreSQL, Spark: the
    database counts). One row a patient, with the declared column names. ``header["route"]`` says which way was taken.
    ``by`` names strata (columns such as site_id) to count apart, for a cohort in memory or in a database.
    ``missing_columns`` and ``check`` are as for ``screen``; in a database ``check`` looks for repeated patients and
    values that cannot be.

    Raises ScreeningError for a missing column, for patients that occur twice, and for a criterion that a database
    cannot express.
    """
    by = [by] if isinstance(by, str) else list(by)
    if isinstance(source, pd.DataFrame):
        options = {"strata": by, "missing_columns": missing_columns, "check": check, "progress": progress}
        screening = screen(source, protocol, **options)
        return replace(screening.patterns(by=by), header=screening.header | {"route": "pandas"})
    if missing_columns not in ("error", "unknown"):
        raise ScreeningError(f"missing_columns is {missing_columns!r}; it can be 'error' or 'unknown'.")
    if isinstance(source, str | Path):
        path = Path(source)
        source = open_prepared(path) if path.suffix == ".arrow" else ParquetCohort(path, protocol.columns)
    if by and isinstance(source, PreparedCohort | ParquetCohort):
        raise ScreeningError(
            f"Strata ({', '.join(by)}) are counted for a cohort in memory or in a database; read the file with"
            " read_cohort, or leave them out."
        )
    if isinstance(source, PreparedCohort):
        absent_columns(source.columns, protocol, missing_columns)
        for name in protocol.reads:
            if name in source:
                check_kind(name, source[name].dtype, source[name].dtype, protocol)
        if id(protocol) not in source.asked:  # what a protocol's words and code come to takes longer than counting
            while len(source.asked) >= PROTOCOLS:
                source.asked.pop(next(iter(source.asked)))
            keys = {c.id: repr(c.signature()) for c in protocol.assessable}
            source.asked[id(protocol)] = protocol, keys, header_of(source.record, protocol)
        _, keys, header = source.asked[id(protocol)]
        (codes, n), route = _count_prepared(source, protocol, keys, check, progress), "prepared"
        failed, unknown = unpack(codes, len(protocol.assessable))
    elif isinstance(source, ParquetCohort):
        absent_columns(source.columns, protocol, missing_columns)
        for name in source.physical(protocol.reads):
            kind, spelled = source.kind(name)
            if kind != "null":  # nothing in it: unknown for everyone
                check_kind(name, kind, spelled, protocol)
        (codes, n), route = _count_parquet(source, protocol, check, progress), "Parquet, batch by batch"
        header = header_of({}, protocol)
        failed, unknown = unpack(codes, len(protocol.assessable))
    else:
        from feasibility.engine.ibis_engine import count_strata

        options = {"missing_columns": missing_columns, "check": check}
        failed, unknown, n, strata = count_strata(source, protocol, by, **options)
        header, route = header_of({}, protocol), f"database ({source.get_backend().name})"
        if by:
            return count(labels_of(protocol), failed, unknown, strata, n, header | {"route": route})
    if progress:
        progress("done", 1.0)
    return PatternTable(labels_of(protocol), failed, unknown, np.asarray(n, dtype=np.int64), header | {"route": route})


def _count_prepared(source: PreparedCohort, protocol: Protocol, keys: dict, check: bool, progress):
    if source.repeated:
        raise ScreeningError(TWICE.format(n=source.repeated, example=""))
    criteria = protocol.assessable
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
    return count_statuses(reader, criteria, slow=slow, progress=progress)


def _count_parquet(source: ParquetCohort, protocol: Protocol, check: bool, progress):
    """Batch by batch; what is kept grows with the patterns, not with the patients (with the guard, 8 bytes a patient
    more, to see that none occurs twice)."""
    criteria, slow, hashes = protocol.assessable, None, []
    with Tally(len(criteria)) as tally:
        for table, done in source.batches(protocol.reads, ids=check):
            if check and "patient_id" in table.column_names:
                hashes.append(pd.util.hash_array(table["patient_id"].to_numpy()))
            batch = Batch(table, protocol.reads)
            if slow is None:
                slow = unable(batch, criteria)
                if check:
                    check_criteria(criteria, sample_rows(batch.frame(slice(0, min(batch.n, 100_000)))[_names(batch)]))
            tally.add(statuses(batch, criteria, small=0, slow=slow)[0])
            if progress:
                progress("counting", done)
        if slow is None:
            raise ScreeningError("The cohort is empty: there is no patient to screen.")
        n = repeated(hashes)
        if n:
            raise ScreeningError(TWICE.format(n=n, example=""))
        return tally.result()


def _names(batch: Batch) -> list[str]:
    return [p for n in batch.names for p in (n, n + UPPER) if batch.has(p)]
