"""The synthetic AML registry as a hospital would hold it: dated events instead of one row per patient.

``registry_events`` turns the latent patients of a registry into event tables, damaged as real extracts are, and keeps a
ledger of every cell of the patient table that the events do not say as the registry's ``observed`` table says it. The
writers put the tables on disk: ``write_native``, ``write_omop``, ``write_fhir``. Synthetic, not patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.synthetic import Draws, SyntheticError, blocks
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_registry import Registry

NO_DATE = np.datetime64("NaT", "D")
OUTCOMES = ("any", "unknown", "value", "bounds", "contains", "may_be_unknown", "same")
"""What the ledger says of a cell before the declared fills: not to be compared (the truth is undefined there); unknown;
this value; between these values; whatever is known of it contains the truth; unknown or as observed; as observed
although the row is damaged."""


@dataclass(frozen=True)
class Problems:
    """How often each problem of a real extract is injected; 0 switches one off, ``Problems.none()`` all of them.

    Shares of patients (per kind of test). The defaults are those of the clinical specification, section 4.
    """

    hemoglobin_g_dl: float = 0.05
    creatinine_mg_dl: float = 0.03
    cd3_per_ul: float = 0.20
    cd3_wrong_label: float = 0.02
    typos: float = 0.005
    duplicates: float = 0.01
    post_index: float = 0.05
    stale: float = 0.10
    impossible_order: float = 0.005
    month_dates: float = 0.05
    chinese_names: float = 0.70
    loinc_missing: float = 0.30
    earlier_results: float = 0.50
    decoys: float = 0.02
    text_scores: float = 0.30

    def __post_init__(self):
        for one in fields(self):
            share = getattr(self, one.name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise SyntheticError(f"Problem {one.name!r} is a share between 0 and 1; got {share!r}.")

    @classmethod
    def none(cls) -> Problems:
        """A clean extract: English names, LOINC codes, one unit per test."""
        return cls(**{one.name: 0.0 for one in fields(cls)})


@dataclass(frozen=True)
class RegistryEvents:
    """Event tables of synthetic patients, with a ledger of what was done to them.

    ``tables`` maps the names of the native layout to frames whose column ``row`` is the number of the patient;
    ``ledger`` has patient_id, column, kind, outcome (``OUTCOMES``), value, upper and reason, one row per cell;
    ``counts`` says how many rows or patients each problem hit.
    """

    registry: Registry
    problems: Problems
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    ledger: pd.DataFrame = field(repr=False)
    counts: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def patient_ids(self) -> np.ndarray:
        return self.registry.truth.index.get_level_values("patient_id").to_numpy(object)

    def expected(self) -> pd.DataFrame:
        """The patient table these events should give, before the declared fills; others as observed."""
        frame = self.registry.unfilled()
        for column, part in self.ledger.groupby("column", sort=False):
            if column not in frame:
                continue
            series = frame[column].copy()
            for outcome, some in part.groupby("outcome", sort=False):
                if outcome in ("unknown", "any"):
                    series.iloc[some["row"]] = pd.NA
                elif outcome in ("value", "bounds"):
                    values = some["value"].to_numpy()
                    series.iloc[some["row"]] = values > 0 if series.dtype == "boolean" else values
            frame[column] = series
            upper = part[part["outcome"] == "bounds"]
            if len(upper):
                bound = frame.get(column + UPPER, series).copy()
                bound.iloc[upper["row"]] = upper["upper"].to_numpy()
                frame[column + UPPER] = bound
        return frame


class Source:
    """What the steps read: facts, truth, holes and random streams of every patient, as arrays."""

    def __init__(self, registry: Registry, problems: Problems):
        self.registry, self.problems, self.size = registry, problems, len(registry)
        self.index_date = np.datetime64(registry.index_date, "D")
        latent = registry.latent()
        self.facts = {}
        for name, series in latent.items():
            values = series.to_numpy()
            self.facts[name] = values.astype("M8[D]") if values.dtype.kind == "M" else values

    def __getitem__(self, fact: str) -> np.ndarray:
        return self.facts[fact]

    def hole(self, name: str) -> np.ndarray:
        holes = self.registry.holes
        return holes[name].to_numpy(bool) if name in holes else np.zeros(self.size, dtype=bool)

    def truth(self, name: str) -> np.ndarray:
        """A column of the truth as floats, NaN where it means nothing."""
        return self.registry.truth[name].to_numpy(float, na_value=np.nan)

    def days(self, name: str) -> np.ndarray:
        """Whole days of a dated column's age."""
        return np.nan_to_num(self.truth(f"days_since_{name}")).astype(int)

    def ago(self, days) -> np.ndarray:
        """The day that many days before the index date; NaT for never."""
        days = np.asarray(days, dtype=float)
        known = np.isfinite(days)
        return np.where(known, self.index_date - np.where(known, days, 0).astype(int), NO_DATE)

    def uniform(self, name: str) -> np.ndarray:
        """One number a patient from the stream of that name; patient k has the same whatever the number of patients."""
        first = self.registry.first_block
        parts = [
            Draws(self.registry.seed, first + block, rows.stop - rows.start).uniform(f"events {name}")
            for block, rows in blocks(self.size)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def happens(self, name: str, share) -> np.ndarray:
        return self.uniform(name) < share

    def whole(self, name: str, low, high) -> np.ndarray:
        return (low + np.floor((np.asarray(high) - low + 1) * self.uniform(name))).astype(int)

    def pick(self, name: str, options: Iterable[Any]) -> np.ndarray:
        """One of the options for each patient."""
        options = np.array([*options], dtype=object)
        return options[np.minimum((self.uniform(name) * len(options)).astype(int), len(options) - 1)]


class Rows:
    """Collects rows of event tables and entries of the ledger."""

    def __init__(self, source: Source):
        self.source = source
        self.parts: dict[str, list[dict[str, Any]]] = {}
        self.entries: list[pd.DataFrame] = []
        self.counts: dict[str, int] = {}

    def add(self, table: str, who: np.ndarray, **columns) -> None:
        """Rows for the patients of a mask; columns are scalars or have one value a patient."""
        rows = np.flatnonzero(who)
        part: dict[str, Any] = {"row": rows}
        for name, values in columns.items():
            part[name] = values[rows] if isinstance(values, np.ndarray) and values.ndim else values
        self.parts.setdefault(table, []).append(part)

    def note(self, who, column: str, kind: str, outcome: str, reason: str = "", value=np.nan, upper=np.nan) -> None:
        """An entry of the ledger for the patients of a mask; the companion of a dated column follows it."""
        rows = np.flatnonzero(who)
        self._entry(rows, column, kind, outcome, reason, value, upper)
        companion = AML_COLUMNS[column].companion
        if companion and outcome == "unknown":
            self._entry(rows, companion, kind, "any", reason, np.nan, np.nan)
        elif companion and outcome in ("may_be_unknown", "contains"):
            self._entry(rows, companion, kind, outcome, reason, np.nan, np.nan)

    def _entry(self, rows, column, kind, outcome, reason, value, upper) -> None:
        if not len(rows):
            return
        at = [v[rows].astype(float) if isinstance(v, np.ndarray) and v.ndim else float(v) for v in (value, upper)]
        self.entries.append(
            pd.DataFrame(
                {
                    "row": rows, "column": column, "kind": kind, "outcome": outcome, "value": at[0], "upper": at[1],
                    "reason": reason,
                }
            )
        )  # fmt: skip

    def count(self, problem: str, n) -> None:
        self.counts[problem] = self.counts.get(problem, 0) + int(np.sum(n))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table, its rows in the order of the patients; responses in the order of their days, hidden or not."""
        tables = {name: _join(parts) for name, parts in self.parts.items()}
        responses = tables["responses"]
        order = np.lexsort((responses["day"].to_numpy().astype("int64"), responses["row"].to_numpy()))
        return tables | {"responses": responses.take(order).reset_index(drop=True)}

    def ledger(self, ids: np.ndarray) -> pd.DataFrame:
        """One row a cell: where two steps noted the same cell, the less comparable outcome stays."""
        columns = ["row", "column", "kind", "outcome", "value", "upper", "reason"]
        frame = pd.concat(self.entries, ignore_index=True) if self.entries else pd.DataFrame(columns=columns)
        rank = frame["outcome"].map({outcome: k for k, outcome in enumerate(OUTCOMES)})
        frame = frame.assign(rank=rank.astype("int64")).sort_values(["row", "column", "rank"], kind="stable")
        frame = frame.drop_duplicates(["row", "column"]).drop(columns="rank").reset_index(drop=True)
        frame.insert(0, "patient_id", ids[frame["row"].to_numpy(int)])
        return frame


def _join(parts: list[dict[str, Any]]) -> pd.DataFrame:
    names = list(dict.fromkeys(name for part in parts for name in part))
    sizes = [len(part["row"]) for part in parts]
    order = np.argsort(np.concatenate([part["row"] for part in parts]), kind="stable")
    columns: dict[str, np.ndarray] = {}
    columns["row"] = np.concatenate([part["row"] for part in parts])[order].astype(np.int64)
    for name in names[1:]:
        pieces = [_piece(part.get(name), size) for part, size in zip(parts, sizes, strict=True)]
        kind = next((p.dtype for p in pieces if p is not None), np.dtype(object))
        if any(p is not None and p.dtype.kind == "O" for p in pieces):
            kind = np.dtype(object)
        blank = {"M": NO_DATE, "f": np.nan, "b": False}.get(kind.kind)
        pieces = [
            np.full(size, blank, dtype=kind) if p is None else p.astype(kind, copy=False)
            for p, size in zip(pieces, sizes, strict=True)
        ]
        columns[name] = np.concatenate(pieces)[order]
    return pd.DataFrame({k: pd.Series(v, dtype=object) if v.dtype.kind == "O" else v for k, v in columns.items()})


def _piece(value, size: int) -> np.ndarray | None:
    if value is None:
        return None
    if isinstance(value, np.ndarray) and value.ndim:
        return value.astype(float) if value.dtype.kind in "iu" and len(value) == size else value
    if isinstance(value, str):
        return np.full(size, value, dtype=object)
    if isinstance(value, (bool, np.bool_)):
        return np.full(size, value, dtype=bool)
    if isinstance(value, np.datetime64):
        return np.full(size, value, dtype="M8[D]")
    return np.full(size, float(value))


def registry_events(registry: Registry, problems: Problems | None = None) -> RegistryEvents:
    """Event tables of a registry's patients; ``problems`` defaults to the shares of the specification."""
    from feasibility.trials import aml_events_care, aml_events_drugs, aml_events_history, aml_events_labs

    problems = Problems() if problems is None else problems
    source = Source(registry, problems)
    rows = Rows(source)
    _people(source, rows)
    for step in (aml_events_history.write, aml_events_labs.write, aml_events_care.write, aml_events_drugs.write):
        step(source, rows)
    ids = registry.truth.index.get_level_values("patient_id").to_numpy(object)
    return RegistryEvents(registry, problems, rows.tables(), rows.ledger(ids), dict(sorted(rows.counts.items())))


def _people(s: Source, rows: Rows) -> None:
    from feasibility.trials.aml_registry import SITES

    everybody = np.ones(s.size, dtype=bool)
    chinese = s.happens("sex in Chinese", s.problems.chinese_names)
    sex = np.where(s["male"], np.where(chinese, "男", "M"), np.where(chinese, "女", "F")).astype(object)
    rows.add(
        "patients", everybody, birth_date=s["birth_date"], sex=sex, death_date=np.full(s.size, NO_DATE),
        last_visit=s.ago(s.whole("last visit", 0, 300)), region=s.pick("region", ["Hefei", "Anhui", "other"]),
        site_id=np.array(SITES, dtype=object)[s["site"]],
    )  # fmt: skip
    # What no table of the layout can say.
    rows.note(
        np.isfinite(s.truth("viral_infection_controlled")), "viral_infection_controlled", "not in the layout",
        "may_be_unknown", "only as words in the text of the diagnosis",
    )  # fmt: skip
