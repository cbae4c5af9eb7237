"""Where a cohort and a protocol meet: every criterion evaluated for every patient, three-valued."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.batches import ParquetCohort, repeated
from feasibility.cohort.prepared import PreparedCohort, open_prepared
from feasibility.cohort.schema import DTYPES, STRING
from feasibility.cohort.values import check_values
from feasibility.engine.arrow import Batch
from feasibility.engine.blocks import SMALL, Pandas, Prepared, count_codes, statuses, unable, unpack
from feasibility.engine.guards import check_criteria, sample_prepared, sample_rows
from feasibility.engine.pandas_engine import missing_column_message
from feasibility.errors import ScreeningError
from feasibility.patterns import CriterionLabel, PatternTable, count
from feasibility.protocol.protocol import Protocol

TWICE = (
    "{n} rows belong to patients that occur more than once{example}."
    " A screening counts patients: keep one row, at one index date, for each."
)
MERGE_AT = 4_000_000
"""Patterns of single batches that may wait before they are added up."""
ELIGIBLE, UNDETERMINED, INELIGIBLE = "eligible", "undetermined", "ineligible"


@dataclass(frozen=True, eq=False)
class Screening:
    """The verdicts of a protocol on a cohort.

    ``failed`` and ``unknown`` hold one packed row a patient (see ``PatternTable``). ``missing_columns`` maps each
    column the cohort lacks, and that was therefore unknown for everyone, to the criteria that read it. ``on_pandas``
    names criteria that use more than operators and the kleene helpers, and so ran on slower pandas columns.
    """

    protocol: Protocol
    index: pd.Index
    labels: tuple[CriterionLabel, ...]
    failed: np.ndarray = field(repr=False)
    unknown: np.ndarray = field(repr=False)
    missing_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strata: pd.DataFrame | None = field(default=None, repr=False)
    header: dict = field(default_factory=dict, repr=False)
    on_pandas: tuple[str, ...] = ()

    @cached_property
    def passes(self) -> pd.DataFrame:
        """One ``boolean`` column per assessable criterion; True = satisfied (for an exclusion: not met)."""
        table = _all_rows(self)
        columns = {
            label.id: pd.arrays.BooleanArray(~table.fails(i) & ~table.unknowns(i), table.unknowns(i))
            for i, label in enumerate(self.labels)
        }
        return pd.DataFrame(columns, index=self.index)

    @cached_property
    def status(self) -> pd.Series:
        """``eligible``, ``undetermined`` or ``ineligible`` for each patient; one failure outweighs any unknown."""
        words = np.select([self.failed.any(axis=1), self.unknown.any(axis=1)], [INELIGIBLE, UNDETERMINED], ELIGIBLE)
        return pd.Series(pd.array(words.astype(object), dtype=STRING), index=self.index, name="status")

    @property
    def n_patients(self) -> int:
        return len(self.index)

    def patterns(self, by: str | Iterable[str] = ()) -> PatternTable:
        """The pattern table; ``by`` names strata (columns such as site_id) to count apart."""
        by = [by] if isinstance(by, str) else list(by)
        if not by:
            return self._patterns
        for name in by:
            if self.strata is None or name not in self.strata:
                known = [] if self.strata is None else list(self.strata.columns)
                raise ScreeningError(
                    f"The cohort has no stratum {name!r}. Strata are declared columns such as site_id;"
                    f" this cohort has: {', '.join(known) or 'none'}."
                )
        return count(self.labels, self.failed, self.unknown, self.strata[by], header=self.header)

    @cached_property
    def _patterns(self) -> PatternTable:
        return count(self.labels, self.failed, self.unknown, header=self.header)


def _all_rows(screening: Screening) -> PatternTable:
    """The patients as an uncounted pattern table, to read single bits."""
    ones = np.ones(len(screening.failed), dtype=np.int8)
    return PatternTable(screening.labels, screening.failed, screening.unknown, ones)


def screen(
    cohort: pd.DataFrame,
    protocol: Protocol,
    *,
    missing_columns: str = "error",
    strata: Iterable[str] = (),
    check: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Screening:
    """Evaluate every assessable criterion for every patient.

    ``cohort`` has one row a patient and nullable columns (``read_cohort`` and ``as_cohort`` make one). A column that
    is needed and absent is an error, or with ``missing_columns="unknown"`` unknown for everyone, which the result
    says. ``strata`` are further columns to count by; declared strata that the cohort has are kept anyway.
    ``check=False`` skips the sampled guard that no missing value decides; ``progress(what, share)`` is called as work
    proceeds.

    Raises ScreeningError for a cohort or criterion that cannot be screened honestly.

    >>> import pandas as pd
    >>> from feasibility.protocol.criterion import inclusion
    >>> @inclusion("I1", "platelets > 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([31, 30, None], dtype="Float64")})
    >>> screen(cohort, Protocol("demo", "Demo", [platelets])).status.tolist()
    ['eligible', 'ineligible', 'undetermined']
    """
    if missing_columns not in ("error", "unknown"):
        raise ScreeningError(f"missing_columns is {missing_columns!r}; it can be 'error' or 'unknown'.")
    index = _check_rows(cohort)
    absent = _absent(cohort, protocol, missing_columns)
    needed = cohort[_physical(cohort, protocol)]
    _check_dtypes(needed, protocol)
    check_values(needed, protocol.columns)
    if absent:
        needed = needed.assign(**{name: _all_unknown(protocol, name, needed.index) for name in absent})
    criteria = protocol.assessable
    if check:
        check_criteria(criteria, sample_rows(needed), progress)
    codes, on_pandas = statuses(Pandas(needed, protocol.reads), criteria, progress=progress)
    failed, unknown = unpack(codes, len(criteria))
    if progress:
        progress("done", 1.0)
    return Screening(
        protocol=protocol,
        index=index,
        labels=_labels(protocol),
        failed=failed,
        unknown=unknown,
        missing_columns=absent,
        on_pandas=tuple(on_pandas),
        strata=_strata(cohort, protocol, strata),
        header=_header(cohort.attrs.get("feasibility", {}), protocol),
    )


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
        _absent(source, protocol, missing_columns)
        (codes, n), record, route = _count_prepared(source, protocol, check, progress), source.record, "prepared"
        failed, unknown = unpack(codes, len(protocol.assessable))
    elif isinstance(source, ParquetCohort):
        _absent(source, protocol, missing_columns)
        (codes, n), record, route = _count_parquet(source, protocol, check, progress), {}, "Parquet, batch by batch"
        failed, unknown = unpack(codes, len(protocol.assessable))
    else:
        from feasibility.engine.ibis_engine import count_statuses

        failed, unknown, n = count_statuses(source, protocol)
        record, route = {}, f"database ({source.get_backend().name})"
    if progress:
        progress("done", 1.0)
    header = _header(record, protocol) | {"route": route}
    return PatternTable(_labels(protocol), failed, unknown, np.asarray(n, dtype=np.int64), header)


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


def _labels(protocol: Protocol) -> tuple[CriterionLabel, ...]:
    return tuple(CriterionLabel(c.id, c.kind, c.name, c.text) for c in protocol.assessable)


def _check_rows(cohort) -> pd.Index:
    if not isinstance(cohort, pd.DataFrame):
        raise ScreeningError(f"The cohort must be a pandas DataFrame, got {type(cohort).__name__}.")
    if not len(cohort):
        raise ScreeningError("The cohort is empty: there is no patient to screen.")
    if cohort.columns.has_duplicates:
        twice = cohort.columns[cohort.columns.duplicated()][0]
        raise ScreeningError(f"The cohort has the column {twice!r} more than once.")
    index = cohort.index
    if isinstance(index, pd.MultiIndex) and "patient_id" in index.names:
        index = index.get_level_values("patient_id")
    if index.has_duplicates:
        twice = int(index.duplicated(keep=False).sum())
        example = f" (for example {index[index.duplicated()][0]!r})"
        raise ScreeningError(TWICE.format(n=twice, example=example))
    return index


def _absent(cohort, protocol: Protocol, missing_columns: str) -> dict[str, tuple[str, ...]]:
    absent = {name: ids for name, ids in protocol.reads.items() if name not in cohort.columns}
    if absent and missing_columns == "error":
        name, ids = next(iter(absent.items()))
        message = missing_column_message(protocol[ids[0]], name, cohort.columns)
        more = f" ({len(absent)} needed columns are missing in all: {', '.join(absent)}.)" if len(absent) > 1 else ""
        raise ScreeningError(message + more)
    return absent


def _physical(cohort, protocol: Protocol) -> list[str]:
    return [c for name in protocol.reads for c in (name, name + UPPER) if c in cohort.columns]


def _check_dtypes(cohort: pd.DataFrame, protocol: Protocol) -> None:
    for name in cohort.columns:
        dtype = cohort[name].dtype
        declared = protocol.columns[name].dtype if protocol.columns is not None and name in protocol.columns else None
        good = dtype in DTYPES.values()
        if good and declared:
            numeric = ("Float64", "Int64")
            good = dtype == DTYPES[declared] or (str(dtype) in numeric and declared in numeric)
        if not good:
            want = f"it is declared as {declared}" if declared else f"use one of {', '.join(DTYPES)}"
            raise ScreeningError(
                f"Column {name!r} has dtype {_spelled(dtype)}, but {want}: only nullable dtypes keep 'unknown' apart"
                " from False. read_cohort(file) and as_cohort(frame) convert."
            )


def _all_unknown(protocol: Protocol, name: str, index: pd.Index) -> pd.Series:
    known = protocol.columns is not None and name in protocol.columns
    declared = protocol.columns[name].dtype if known else "boolean"
    return pd.Series(pd.array([pd.NA] * len(index), dtype=DTYPES[declared]), index=index)


def _strata(cohort, protocol: Protocol, extra: Iterable[str]) -> pd.DataFrame | None:
    names = [c for c in cohort.columns if protocol.columns is not None and c in protocol.columns
             and protocol.columns[c].stratum]  # fmt: skip
    for name in extra:
        if name not in cohort.columns:
            raise ScreeningError(f"Stratum {name!r} is not a column of the cohort.")
        names += [name] if name not in names else []
    return cohort[names].reset_index(drop=True) if names else None


def _header(built: dict, protocol: Protocol) -> dict:
    from feasibility import __version__

    return {
        "protocol": protocol.id,
        "fingerprint": protocol.fingerprint(),
        "criteria": {c.id: _short_hash(c.signature()) for c in protocol.assessable},
        "clauses": protocol.clauses(),
        "build": built.get("build_fingerprint"),
        "version": __version__,
    }


def _short_hash(value) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def _spelled(dtype) -> str:
    return f"string[{dtype.storage}]" if isinstance(dtype, pd.StringDtype) else str(dtype)
