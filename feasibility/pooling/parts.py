"""The counts of one part of a hospital's patients, with all that must agree before parts are added up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from feasibility.cohort import codelists
from feasibility.cohort.batches import ParquetCohort
from feasibility.cohort.prepared import PreparedCohort, open_prepared
from feasibility.counting import count_patterns
from feasibility.errors import CohortError
from feasibility.pattern_headers import described
from feasibility.patterns import PatternTable
from feasibility.protocol.protocol import Protocol
from feasibility.screening import screen

PARQUET = (".parquet", ".pq")


def count_part(
    source,
    protocol: Protocol,
    *,
    by: Iterable[str] = (),
    part: str = "",
    mapping: str | Path | None = None,
    index_date: str | None = None,
    missing_columns: str = "error",
    progress: Callable[[str, float], None] | None = None,
) -> PatternTable:
    """The pattern table of one part of a hospital's patients, saying what was asked and how the patients were prepared.

    ``source`` is a cohort, the path of a table with a row a patient (as for ``read_cohort``), of a prepared cohort
    (.arrow), or of a folder of Parquet files. A Parquet file written by this program, and a folder, are read batch by
    batch and need not fit in memory, unless they are counted ``by`` strata such as site_id. ``part`` names the part in
    the file.

    Raises the errors of ``read_cohort``, ``screen`` and ``count_patterns``.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 30, None], dtype="Float64")})
    >>> count_part(cohort, Protocol("demo", "Demo", [platelets]), part="east").header["asked"]["I1"]["settings"]
    {'min_platelets': 30}
    """
    by = [by] if isinstance(by, str) else list(by)
    if isinstance(source, str | Path):
        source = _opened(Path(source), protocol, bool(by), mapping, index_date, progress)
    if isinstance(source, ParquetCohort):
        if by:
            raise CohortError(
                f"{source.path}: a folder is counted batch by batch, and not by {', '.join(by)}. Count each stratum's"
                " files apart, or give one file."
            )
    record, facts = told_of(source)
    if by and isinstance(source, PreparedCohort):
        source = source.frame()
    if by:
        screening = screen(source, protocol, missing_columns=missing_columns, strata=by, progress=progress)
        table = screening.patterns(by)
    else:
        table = count_patterns(source, protocol, missing_columns=missing_columns, progress=progress)
    said = described(protocol, record | {"code_lists": record.get("code_lists") or _shipped_lists(protocol, record)})
    said["index"] |= {"days": facts["days"]}
    absent = {name: list(ids) for name, ids in protocol.reads.items() if not _has(source, name)}
    more = {"part": part, "synthetic": facts["synthetic"], "absent": absent}
    return replace(table, header={**table.header, **said, **more})


def _opened(path: Path, protocol: Protocol, by: bool, mapping, index_date, progress):
    """The source behind a path: what this program wrote is taken as it is, everything else is read as a table."""
    from feasibility.cohort.read import read_cohort

    if path.suffix == ".arrow" or path.is_dir():
        if mapping is not None or index_date is not None:
            raise CohortError(
                f"{path.name}: a prepared cohort or a folder of Parquet files is counted as it is; a mapping and an"
                " index date are for single tables."
            )
        return open_prepared(path) if path.suffix == ".arrow" else ParquetCohort(path, protocol.columns)
    plain = mapping is None and index_date is None and not by
    if plain and path.suffix in PARQUET and path.is_file():
        found = ParquetCohort(path, protocol.columns)
        if "settings" in _notes(found.files[0]):
            return found
    cohort = read_cohort(path, protocol.columns, mapping=mapping, index_date=index_date, progress=progress)
    if path.suffix in PARQUET:  # reading keeps less of the record than the file says
        notes = _notes(ParquetCohort(path).files[0])
        kept = {k: notes[k] for k in ("index_policy", "index_stated", "code_lists") if k in notes}
        cohort.attrs["feasibility"] = {**kept, **cohort.attrs["feasibility"]}
    return cohort


def _has(source, name: str) -> bool:
    return name in (source.columns if isinstance(source, pd.DataFrame | ParquetCohort) else source)


def _notes(file) -> dict[str, Any]:
    """What ``write_cohort`` left in a Parquet file about how its cohort was made."""
    notes = (file.schema_arrow.metadata or {}).get(b"PANDAS_ATTRS")
    try:
        return dict(json.loads(notes).get("feasibility") or {}) if notes else {}
    except (ValueError, AttributeError, TypeError):
        return {}


def told_of(source) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a source says of itself: its record (how it was built), and the days and whether its patients are made up.

    ``source`` is a cohort in memory, prepared, or Parquet files; of anything else nothing is known.
    """
    if isinstance(source, ParquetCohort):
        return _record_of_files(source), _facts_of_files(source)
    if isinstance(source, PreparedCohort):
        return dict(source.record), _facts(source.ids[1], _flag(source, "synthetic"))
    if not isinstance(source, pd.DataFrame):
        return {}, _facts([], False)
    days = source.index.get_level_values("index_date") if "index_date" in source.index.names else []
    made_up = "synthetic" in source and bool(source["synthetic"].fillna(False).any())
    return dict(source.attrs.get("feasibility", {})), _facts(days, made_up)


def _record_of_files(source: ParquetCohort) -> dict[str, Any]:
    """The record that all files share; where they were made differently they are not one table."""
    first, *others = (_notes(file) for file in source.files)
    for notes in others:
        for what, word in (
            ("settings", "build settings"), ("index_policy", "index dates"), ("index_stated", "index dates"),
            ("code_lists", "code lists"),
        ):  # fmt: skip
            if notes.get(what) != first.get(what):
                raise CohortError(f"{source.path}: the files of this folder were built with different {word}.")
    return first


def _facts_of_files(source: ParquetCohort) -> dict[str, Any]:
    import pyarrow.compute as pc

    days: set = set()
    made_up = False
    for file in source.files:
        for batch in file.iter_batches(columns=[c for c in ("index_date", "synthetic") if c in source.columns]):
            if "index_date" in batch.schema.names:
                days |= set(pc.unique(batch["index_date"]).to_pylist())
            if "synthetic" in batch.schema.names:
                made_up |= bool(pc.any(batch["synthetic"]).as_py())
    return _facts(list(days), made_up)


def _facts(days, made_up: bool) -> dict[str, Any]:
    """The one index date, or the first and last; and whether the patients are made up."""
    known = pd.DatetimeIndex(pd.to_datetime(pd.Series(list(days), dtype="object")).dropna().unique()).sort_values()
    words = [f"{day:%Y-%m-%d}" for day in known]
    return {"days": words if len(words) < 2 else [words[0], words[-1]], "synthetic": made_up}


def _flag(source: PreparedCohort, name: str) -> bool:
    return name in source and bool(source[name].lower.any())


def _shipped_lists(protocol: Protocol, record: Mapping[str, Any]) -> dict[str, str] | None:
    """Hashes of the shipped code lists, for a cohort that was built from events; a plain table used none."""
    if protocol.columns is None or not record.get("built_from"):
        return None
    return codelists.hashes(protocol.columns)
