"""The patient table: every column declared once.

From a declaration come the pandera schema, the reading of files, the data-quality report and the data dictionary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.declared import STATISTICS, BuildStep, Measured, Words, fault
from feasibility.errors import CohortError, did_you_mean

STRING = pd.StringDtype("python")
"""The only text dtype whose ``==`` is three-valued with ``&`` and ``|`` whether or not pyarrow is installed."""

DTYPES = {"Float64": pd.Float64Dtype(), "Int64": pd.Int64Dtype(), "boolean": pd.BooleanDtype(), "string": STRING}
ABSENCE = {
    "open": "no record means unknown",
    "closed": "no record means it did not happen, for a patient who was observed",
    "structural": "the fact cannot exist for some patients, and says so for them",
}


@dataclass(frozen=True)
class Fill:
    """A declared rule by which the cohort, and nothing else, turns a missing cell into a value.

    ``when(cohort)`` is a three-valued mask; the cell is filled where it is missing and the mask is True.
    ``value`` is a scalar, or a function of the cohort that returns a Series or a ``Range``; ``age`` (days or months,
    as the column's companion counts) likewise fills the companion of a dated column. Columns in ``optional`` are read
    as unknown where the cohort lacks them. ``takes`` names a build setting of the column whose value ``when`` gets as
    its second argument.
    """

    value: Any
    when: Callable[..., pd.Series]
    why: str
    reads: tuple[str, ...]
    setting: str = ""
    age: Any = None
    optional: tuple[str, ...] = ()
    takes: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the patient table.

    ``unit`` is a UCUM code, ``units`` maps every other accepted spelling to the factor that converts to it. ``hard``
    is the range outside which a value is impossible and is quarantined; ``soft`` the one outside which it is unusual.
    ``values`` are the codes of a coded column, ``codes`` maps other common spellings to them. ``dated`` ("days" or
    "months") gives the column a companion ``days_since_<name>`` / ``months_since_<name>``: the age of the value at
    the index date. ``settings`` are the build settings with their defaults: how a value is chosen from the events.
    ``asked_if`` names the column and value without which the question does not arise (a pregnancy test: of women of
    childbearing potential): a missing cell then counts as not applicable in the quality report.
    ``below_limit`` says what "<x" becomes: "bounded" (0 to x) or "zero" (not detected). ``range_reads`` says what
    "50-55" becomes: "both" ends as bounds, "min" or "max" alone; ``decimal_reads`` what 64.7 becomes in a whole-number
    column: an "error", or its "floor".

    ``statistic`` says how the builder makes the column from the event tables named in ``events`` (the first of them
    must be in the extract) with the code list ``codelist``: see ``feasibility.cohort.declared.STATISTICS``; without one
    a ``BuildStep`` fills it. ``lists`` are further code lists: under the name of a setting, one that counts while the
    setting is on; under the name of a table, one that confirms; under any other name, one that always counts.
    ``lower_is_worse``, ``measured``, ``words`` and ``of`` refine the statistic.

    >>> Column(name="stroke_ever", dtype="boolean", doc="A stroke.", statistic="ever", events="diagnoses",
    ...        codelist="stroke").statistic
    'ever'
    """

    name: str
    dtype: str
    doc: str
    unit: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    hard: tuple[float, float] | None = None
    soft: tuple[float, float] | None = None
    values: tuple[str, ...] = ()
    codes: Mapping[str, Any] = field(default_factory=dict)
    dated: str = ""
    absence: str = "open"
    why: str = ""
    window: str = ""
    events: str = ""
    codelist: str = ""
    statistic: str = ""
    lists: Mapping[str, str] = field(default_factory=dict)
    lower_is_worse: bool = False
    measured: Measured | None = None
    words: Words | None = None
    of: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    fills: tuple[Fill, ...] = ()
    stratum: bool = False
    upper_limit: bool = False
    below_limit: str = "bounded"
    range_reads: str = "both"
    decimal_reads: str = "error"
    asked_if: tuple[str, Any] | None = None
    source: str = ""

    def __post_init__(self):
        where = f"Column {self.name!r}"
        if self.dtype not in DTYPES:
            raise CohortError(f"{where}: dtype {self.dtype!r} is not one of {', '.join(DTYPES)}.")
        if self.absence not in ABSENCE:
            raise CohortError(f"{where}: absence {self.absence!r} is not one of {', '.join(ABSENCE)}.")
        if self.absence != "open" and not self.why:
            raise CohortError(f"{where}: say in `why` what a missing record means and what proves it.")
        if self.dated not in ("", "days", "months"):
            raise CohortError(f"{where}: dated is {self.dated!r}, not 'days' or 'months'.")
        if self.range_reads not in ("both", "min", "max") or self.decimal_reads not in ("error", "floor"):
            raise CohortError(f"{where}: range_reads is both, min or max, and decimal_reads error or floor.")
        if self.values and self.dtype != "string":
            raise CohortError(f"{where}: only a string column has coded values.")
        if wrong := fault(self):
            raise CohortError(f"{where}: {wrong}")

    @property
    def tables(self) -> tuple[str, ...]:
        """The event tables the column is made from."""
        return tuple(t.strip() for t in self.events.split(",") if t.strip())

    @property
    def numeric(self) -> bool:
        return self.dtype in ("Float64", "Int64")

    @property
    def companion(self) -> str:
        """Name of the column that holds the age of this column's value, or ''."""
        return f"{self.dated}_since_{self.name}" if self.dated else ""

    def _companion(self) -> Column:
        return Column(
            name=self.companion,
            dtype="Float64",
            doc=f"{self.dated.capitalize()} from the value of {self.name} to the index date.",
            asked_if=self.asked_if,
            unit="d" if self.dated == "days" else "mo",
            hard=(0, float("inf")),
            window=self.window,
            events=self.events,
        )


@dataclass(frozen=True)
class CohortTable:
    """A set of declared columns, with the steps that build those which need more than their declaration says.

    ``own_words`` are words of an indication that say a drug was given for the disease under study or its treatment,
    not for another disease.

    >>> table = CohortTable([Column(name="age_years", dtype="Int64", doc="Completed years at the index date.")])
    >>> list(table)
    ['age_years']
    """

    columns: tuple[Column, ...]
    steps: tuple[BuildStep, ...] = ()
    own_words: tuple[str, ...] = ()

    def __init__(self, columns: Iterable[Column], steps: Iterable[BuildStep] = (), own_words: Iterable[str] = ()):
        by_name: dict[str, Column] = {}
        for column in columns:
            for one in (column, column._companion()) if column.dated else (column,):
                if by_name.setdefault(one.name, one) != one:
                    raise CohortError(f"Column {one.name!r} is declared twice, differently.")
        object.__setattr__(self, "columns", tuple(by_name.values()))
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "steps", tuple(dict.fromkeys(steps)))
        object.__setattr__(self, "own_words", tuple(dict.fromkeys(own_words)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name) -> bool:
        return self.base_name(name) in self._by_name

    def __getitem__(self, name: str) -> Column:
        try:
            return self._by_name[self.base_name(name)]
        except KeyError:
            raise CohortError(f"No column {name!r} is declared.{did_you_mean(name, self._by_name)}") from None

    def __or__(self, other: CohortTable) -> CohortTable:
        return CohortTable(
            (*self.columns, *other.columns), (*self.steps, *other.steps), (*self.own_words, *other.own_words)
        )

    @staticmethod
    def base_name(name: str) -> str:
        """The declared name behind a physical one: ``x`` for ``x__upper``."""
        return name.removesuffix(UPPER) if isinstance(name, str) else name

    def select(self, names: Iterable[str]) -> CohortTable:
        """The named columns only; companions follow their column."""
        return CohortTable((self[name] for name in names), self.steps, self.own_words)

    def settings(self) -> dict[str, Any]:
        """Every build setting with its default, named ``column.setting``."""
        return {f"{c.name}.{key}": value for c in self.columns for key, value in c.settings.items()}

    def fingerprint(self, settings: Mapping[str, Any] | None = None) -> str:
        """A short hash of the declarations, the build steps and the settings in force (not of any data)."""
        plain = [
            (
                (c.name, c.dtype, c.unit, c.hard, c.values, c.dated, c.absence, c.window, [f.why for f in c.fills]),
                (c.statistic, c.events, c.codelist, dict(c.lists), c.lower_is_worse, c.of, c.below_limit),
                dict(c.units),
                [asdict(one) if one else None for one in (c.measured, c.words)],
            )
            for c in sorted(self.columns, key=lambda c: c.name)
        ]
        facts = [plain, [s.fingerprint() for s in self.steps], sorted(self.own_words)]
        text = json.dumps([facts, self.settings() | dict(settings or {})], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def dictionary(self) -> pd.DataFrame:
        """The data dictionary: one row a column."""
        rows = [
            {
                "column": c.name,
                "dtype": c.dtype,
                "unit": c.unit,
                "range": "" if c.hard is None else f"{c.hard[0]:g} to {c.hard[1]:g}",
                "usual": "" if c.soft is None else f"{c.soft[0]:g} to {c.soft[1]:g}",
                "values": ", ".join(c.values),
                "absence": ABSENCE[c.absence] + (f": {c.why}" if c.why else ""),
                "window": c.window,
                "events": c.events,
                "statistic": STATISTICS[c.statistic] if c.statistic else "",
                "settings": ", ".join(f"{k} = {v}" for k, v in c.settings.items()),
                "fills": "; ".join(f.why for f in c.fills),
                "meaning": c.doc,
                "source": c.source,
            }
            for c in self.columns
        ]
        return pd.DataFrame(rows).set_index("column")

    def schema(self, names: Iterable[str] | None = None):
        """The pandera schema of a cohort: an assertion after quarantine, never a filter."""
        import pandera.pandas as pa

        columns = {}
        for name in self if names is None else names:
            column = self[name]
            checks = []
            if column.hard is not None:
                checks.append(pa.Check.in_range(*column.hard))
            if column.values:
                checks.append(pa.Check.isin(column.values))
            columns[name] = pa.Column(
                DTYPES[column.dtype], checks, nullable=True, required=False, description=column.doc
            )
        return pa.DataFrameSchema(columns)
