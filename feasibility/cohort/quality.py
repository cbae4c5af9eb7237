"""What a cohort knows, what it lacks and why, what was converted and set aside: one row a column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.schema import CohortTable, Column
from feasibility.cohort.time_bins import time_bins
from feasibility.cohort.value_ages import QUARTILES, age_bins, tighter_windows, value_ages
from feasibility.errors import CohortError, did_you_mean

REASONS = (
    "not_in_file", "not_applicable", "missing", "not_tested", "stale", "unreadable", "unit_unknown", "out_of_range",
    "date_missing", "date_imprecise", "after_index", "conflicting",
)  # fmt: skip
"""Why a value is unknown (clinical specification, 0.8). not_in_file: the file has no such column, or the extract no
table to make it of; not_applicable: the question does not arise for these patients."""

COUNTED = {
    "converted": "n_converted", "inferred_unit": "n_inferred", "quarantined": "n_quarantined", "filled": "n_filled",
}  # fmt: skip
MAX_BINS = 24


@dataclass(frozen=True)
class QualityReport:
    """The quality of one cohort.

    ``columns`` has one row a declared column: dtype, unit, n_known, n_bounded (known between bounds), n_unknown, one
    count per reason that occurs, n_never (known never to have happened), n_converted, n_inferred, n_quarantined,
    n_filled, n_unusual (surely outside the usual range), five-number summary of the finite values that are known
    exactly. ``events`` lists every conversion, quarantine and fill with its reason and count. All counts are patients.
    ``built_from`` says from what and at which index dates a cohort was built, "" for a table that was read. Where the
    extract was given, ``units`` is its ``unit_counts`` and ``sites`` its ``site_check``, else both are None.
    """

    source: str
    n_patients: int
    n_rows_rejected: int
    columns: pd.DataFrame
    events: pd.DataFrame
    ignored: tuple[str, ...] = ()
    settings: Mapping = field(default_factory=dict)
    build_fingerprint: str = ""
    built_from: str = ""
    encoding: str = ""
    units: pd.DataFrame | None = None
    sites: pd.DataFrame | None = None
    cohort: pd.DataFrame = field(default=None, repr=False)
    table: CohortTable = field(default=None, repr=False)

    def completeness(self, *, declared_only: bool = False) -> pd.DataFrame:
        """Counts known and unknown by reason, one row a column.

        Left out: columns the file or extract lacks (unless ``declared_only``), and the age of a value where it is known
        whenever the value is.
        """
        reasons = [r for r in REASONS if r in self.columns]
        frame = self.columns[["n_known", *reasons]].rename(columns={"n_known": "known"})
        aged = [c for n in self.present if (c := self.table[n].companion) in frame.index
                and frame.loc[c, "known"] == frame.loc[n, "known"]]  # fmt: skip
        frame = frame.drop(index=aged)
        if not declared_only and "not_in_file" in frame:
            frame = frame.loc[[n for n in frame.index if n in set(self.present)]]
            frame = frame.drop(columns="not_in_file") if not frame["not_in_file"].any() else frame
        return frame.rename(columns=lambda c: str(c).replace("_", " ")).astype("int64")

    def known_by(self, stratum: str) -> pd.DataFrame:
        """Share of patients with a known value: one row a column, one column per value of a stratum (site_id, sex)."""
        if stratum not in self.cohort.columns:
            raise CohortError(f"The cohort has no column {stratum!r}.{did_you_mean(stratum, self.cohort.columns)}")
        groups = self.cohort[stratum].astype("object").where(self.cohort[stratum].notna(), "unknown")
        return self._known_by(groups.to_numpy())

    def known_over_time(self) -> pd.DataFrame:
        """Share known by month of the index date, by quarter or years where there are more than 12.

        Empty where the cohort has a single index date, or none.
        """
        spans = self.time_bins()
        return pd.DataFrame(index=self.present) if spans is None else self._known_by(spans[0].to_numpy())

    def time_bins(self) -> tuple[pd.Series, str] | None:
        """(the span of each row's index date, what the spans are); None where there are not two index dates."""
        dates = _index_dates(self.cohort)
        return None if dates is None or dates.dropna().nunique() < 2 else time_bins(dates)

    def ages(self) -> pd.DataFrame:
        """How old the values are at the index date, one row a dated column.

        unit (days or months), n_known (values with an age), n_never (known never to have happened), n_stale (unknown
        because the latest value is older than the look-back), window (that look-back, NaN for none), five-number
        summary.
        """
        return value_ages(self)

    def age_bins(self) -> pd.DataFrame:
        """Counts of the ages in equal bins: column, left, right, n; a bin includes its right end, the first also 0."""
        return age_bins(self)

    def tighter_windows(self) -> pd.DataFrame:
        """How many values a shorter look-back would turn unknown: column, unit, window, n_lost, share_lost."""
        return tighter_windows(self)

    def unknown(self) -> pd.DataFrame:
        """Counts of unknown cells by reason, one row a column with any, and their total in ``unknown``.

        Left out: the age of a value where it is known whenever the value is.
        """
        table = self.columns.loc[[n for n in self.completeness().index if n in self.present]]
        counts = table[self.reasons].astype("int64")
        asked = [r for r in counts if r != "not_applicable"]
        counts.insert(0, "unknown", counts[asked].sum(axis=1))
        return counts[counts["unknown"] > 0].rename(columns=lambda c: str(c).replace("_", " "))

    def histograms(self) -> pd.DataFrame:
        """Counts of finite values in equal bins: column, left, right, n; of one value only, left and right are it.

        Values known between bounds are left out; ``columns`` counts them in n_bounded.
        """
        parts = []
        for name in self.present:
            if self.table[name].numeric:
                values = _exact(self.cohort, name)
                distinct = len(np.unique(values))
                if distinct == 1:
                    one = {"column": [name], "left": values[0], "right": values[0], "n": len(values)}
                    parts.append(pd.DataFrame(one))
                elif distinct:
                    n, edges = np.histogram(values, bins=min(MAX_BINS, distinct))
                    parts.append(pd.DataFrame({"column": name, "left": edges[:-1], "right": edges[1:], "n": n}))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["column", "left", "right", "n"])

    def usual_ranges(self) -> dict[str, tuple[float, float]]:
        """The range in which a column's values usually lie, as declared."""
        return {n: self.table[n].soft or self.table[n].hard for n in self.present if self.table[n].numeric
                and (self.table[n].soft or self.table[n].hard)}  # fmt: skip

    @property
    def reasons(self) -> list[str]:
        """The reasons for unknown values that occur in the columns the cohort has."""
        present = self.columns.loc[self.present]
        return [r for r in REASONS if r in present and present[r].any()]

    @property
    def present(self) -> list[str]:
        """The declared columns the cohort has, and the extract had a table for (or a rule gave some value)."""
        absent = self.columns.get("not_in_file", pd.Series(0, index=self.columns.index))
        lacking = (absent > 0) & (self.columns["n_known"] == 0)
        return [n for n in self.columns.index if n in self.cohort.columns and not lacking[n]]

    def to_json(self) -> str:
        """The tables as JSON text; counts only, no patient's value but the five-number summaries."""
        return json.dumps(
            {
                "source": self.source,
                "n_patients": self.n_patients,
                "n_rows_rejected": self.n_rows_rejected,
                "built_from": self.built_from,
                "columns": json.loads(self.columns.reset_index().to_json(orient="records")),
                "events": json.loads(self.events.drop(columns="rows", errors="ignore").to_json(orient="records")),
                "ignored": list(self.ignored),
                "ages": json.loads(self.ages().reset_index().to_json(orient="records")),
                "units": None if self.units is None else json.loads(self.units.to_json(orient="records")),
                "sites": None if self.sites is None else json.loads(self.sites.to_json(orient="records")),
            },
            ensure_ascii=False,
        )

    def _known_by(self, groups: np.ndarray) -> pd.DataFrame:
        known = self.cohort[self.present].notna().groupby(groups, sort=True).mean().T
        known.index.name = "column"
        return known


def quality_report(
    cohort: pd.DataFrame, columns: CohortTable | None = None, extract=None, *, codelists: Iterable[str] = ()
) -> QualityReport:
    """What is known in each column of a cohort, why the rest is unknown, and what was done to its values.

    ``cohort`` comes from ``read_cohort`` or ``as_cohort``, which keep the record of conversions and quarantines.
    ``columns`` is the declared table; by default that of every installed trial, as far as the cohort has it.
    ``extract``, if the cohort was built from one, adds the units each site writes and the sites whose values look off
    by a known factor, of results up to the last index date; ``codelists`` are those given to ``build_cohort``.
    """
    facts = dict(cohort.attrs.get("feasibility", {}))
    if columns is None:
        from feasibility.cohort.read import installed_columns

        everything = installed_columns()
        columns = CohortTable(everything[n] for n in everything if n in cohort.columns)
    events = pd.DataFrame(facts.get("events", []), columns=["column", "file_column", "kind", "reason", "n", "rows"])
    rows = {name: _describe(cohort, columns[name], facts, events) for name in columns}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "column"
    for reason in REASONS:
        if reason in table and not table[reason].any():
            table = table.drop(columns=reason)
    units, sites = (None, None) if extract is None else _of_extract(cohort, columns, extract, codelists)
    return QualityReport(
        source=facts.get("source", "the table"),
        n_patients=len(cohort),
        n_rows_rejected=int(facts.get("n_rows_rejected", 0)),
        columns=table,
        events=events,
        ignored=tuple(facts.get("columns_ignored", ())),
        settings=facts.get("settings", {}),
        build_fingerprint=facts.get("build_fingerprint", ""),
        built_from=str(facts.get("built_from", "")),
        encoding=str(facts.get("encoding_evidence", "")),
        units=units,
        sites=sites,
        cohort=cohort,
        table=columns,
    )


def _of_extract(cohort: pd.DataFrame, columns: CohortTable, extract, codelists) -> tuple[pd.DataFrame, pd.DataFrame]:
    from feasibility.cohort.lab_units import unit_counts
    from feasibility.cohort.site_check import site_check

    dates = _index_dates(cohort)
    until = None if dates is None else dates.max()
    codelists = tuple(codelists)
    return unit_counts(extract, columns, codelists, until=until), site_check(extract, columns, codelists, until=until)


def _describe(cohort: pd.DataFrame, column: Column, facts: Mapping, events: pd.DataFrame) -> dict:
    name, n = column.name, len(cohort)
    row = {"dtype": column.dtype, "unit": column.unit, "n_known": 0, "n_bounded": 0, "n_unknown": n}
    reasons = dict.fromkeys(REASONS, 0)
    counted = {key: int(events.loc[(events.column == name) & (events.kind == kind), "n"].sum())
               for kind, key in COUNTED.items()}  # fmt: skip
    if name not in cohort.columns:
        return row | reasons | {"not_in_file": n, "n_never": 0} | counted | {"n_unusual": 0}
    known = cohort[name].notna()
    row["n_known"], row["n_unknown"] = int(known.sum()), int((~known).sum())
    if name + UPPER in cohort.columns:
        row["n_bounded"] = int((cohort[name] != cohort[name + UPPER]).fillna(False).sum())
    if column.asked_if is not None and column.asked_if[0] in cohort.columns:
        asked = (cohort[column.asked_if[0]] == column.asked_if[1]).fillna(True)
        reasons["not_applicable"] = int((~known & ~asked).sum())
    # Reading counted the reasons before fills; what fills settled no longer has one, and "missing" is the rest.
    left = row["n_unknown"] - reasons["not_applicable"]
    for reason, count in facts.get("unknown", {}).get(name, {}).items():
        if reason in reasons and reason != "missing":
            reasons[reason] = min(int(count), left)
            left -= reasons[reason]
    # What no table of the extract could say, whatever a rule filled of it, is not missing in a record.
    lacking = "index_policy" in facts and name in facts.get("columns_absent", ())
    reasons["not_in_file" if lacking else "missing"] = left
    summary, never, unusual = {}, 0, 0
    if column.numeric:
        low, high = _ends(cohort, name)
        summary = _summary(_exact(cohort, name))
        never = int(np.isinf(low).sum())
        if column.soft:
            unusual = int((np.isfinite(low) & ((high < column.soft[0]) | (low > column.soft[1]))).sum())
    return row | reasons | {"n_never": never} | counted | {"n_unusual": unusual} | summary


def _ends(cohort: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    low = cohort[name].to_numpy(dtype=float, na_value=np.nan)
    if name + UPPER not in cohort.columns:
        return low, low
    return low, cohort[name + UPPER].to_numpy(dtype=float, na_value=np.nan)


def _exact(cohort: pd.DataFrame, name: str) -> np.ndarray:
    """The finite values that are known exactly."""
    low, high = _ends(cohort, name)
    return low[np.isfinite(low) & (low == high)]


def _summary(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    return dict(zip(QUARTILES, np.quantile(values, list(QUARTILES.values())).round(6).tolist(), strict=True))


def _index_dates(cohort: pd.DataFrame) -> pd.Series | None:
    if "index_date" not in (cohort.index.names or ()):
        return None
    return pd.Series(cohort.index.get_level_values("index_date"))
