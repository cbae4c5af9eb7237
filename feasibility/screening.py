"""Where a cohort and a protocol meet: every criterion evaluated for every patient, three-valued."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES, STRING
from feasibility.cohort.values import check_values
from feasibility.engine.blocks import Pandas, statuses, unpack
from feasibility.engine.guards import check_criteria, sample_rows
from feasibility.engine.pandas_engine import missing_column_message
from feasibility.errors import ScreeningError
from feasibility.patterns import CriterionLabel, PatternTable, count
from feasibility.protocol.protocol import Protocol

TWICE = (
    "{n} rows belong to patients that occur more than once{example}."
    " A screening counts patients: keep one row, at one index date, for each."
)
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
    absent = absent_columns(cohort.columns, protocol, missing_columns)
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
        labels=labels_of(protocol),
        failed=failed,
        unknown=unknown,
        missing_columns=absent,
        on_pandas=tuple(on_pandas),
        strata=_strata(cohort, protocol, strata),
        header=header_of(cohort.attrs.get("feasibility", {}), protocol),
    )


def labels_of(protocol: Protocol) -> tuple[CriterionLabel, ...]:
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


def absent_columns(have, protocol: Protocol, missing_columns: str) -> dict[str, tuple[str, ...]]:
    """Columns the protocol reads and the source lacks, with the criteria that read them; an error unless allowed."""
    absent = {name: ids for name, ids in protocol.reads.items() if name not in have}
    if absent and missing_columns == "error":
        name, ids = next(iter(absent.items()))
        message = missing_column_message(protocol[ids[0]], name, have)
        more = f" ({len(absent)} needed columns are missing in all: {', '.join(absent)}.)" if len(absent) > 1 else ""
        raise ScreeningError(message + more)
    return absent


def _physical(cohort, protocol: Protocol) -> list[str]:
    return [c for name in protocol.reads for c in (name, name + UPPER) if c in cohort.columns]


def _check_dtypes(cohort: pd.DataFrame, protocol: Protocol) -> None:
    for name in cohort.columns:
        dtype = cohort[name].dtype
        kind = next((kind for kind, known in DTYPES.items() if dtype == known), "")
        check_kind(name, kind, _spelled(dtype), protocol)


def check_kind(name: str, kind: str, spelled: str, protocol: Protocol) -> None:
    """Refuse a column that is not one of the cohort's dtypes (``kind`` is then ""), or another than declared."""
    declared = protocol.columns[name].dtype if protocol.columns is not None and name in protocol.columns else None
    numeric = ("Float64", "Int64")
    if not kind or (declared and kind != declared and not (kind in numeric and declared in numeric)):
        want = f"it is declared as {declared}" if declared else f"use one of {', '.join(DTYPES)}"
        raise ScreeningError(
            f"Column {name!r} has dtype {spelled}, but {want}: only nullable dtypes keep 'unknown' apart"
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


def header_of(built: dict, protocol: Protocol) -> dict:
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
