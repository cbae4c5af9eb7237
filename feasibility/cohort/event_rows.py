"""The (patient, index date) rows a cohort is built for, and how event tables are joined to them.

Everything a column is made from goes through ``Rows.events``: it joins a table to the rows and keeps what lies on or
before each index date, so that no column can look ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.cohort import codelists
from feasibility.cohort.index_dates import days_of, observed, positions
from feasibility.cohort.parse import KNOWN, MISSING, REASONS
from feasibility.cohort.schema import CohortTable
from feasibility.cohort.time_values import Values
from feasibility.cohort.words import fold

STALE, DATE_MISSING, DATE_IMPRECISE, CONFLICTING, OUT_OF_RANGE, UNIT_UNKNOWN = 20, 9, 10, 8, 5, 6
BUILD_REASONS = REASONS | {STALE: ("stale", "the latest value is older than the window")}


class Rows:
    """Rows 0 to n-1, one per patient and index date; ``built`` collects their columns, ``log`` what was noticed."""

    def __init__(self, extract, ids: np.ndarray, index: np.ndarray, columns: CohortTable, settings, folders=()):
        self.extract, self.ids, self.index = extract, ids, index
        self.columns, self.settings, self.folders = columns, settings, tuple(folders)
        self.n = len(ids)
        self.built: dict[str, Values] = {}
        self.log: list[dict] = []
        # The rows come sorted by patient.
        new = np.r_[True, ids[1:] != ids[:-1]].astype(bool)[: self.n]
        self.people, self.person = ids[new], np.cumsum(new) - 1
        self._at = None
        self._observed = None

    # -- settings and notes ---------------------------------------------------------------------------------------
    def setting(self, column: str, name: str, default: Any = None) -> Any:
        return self.settings.get(f"{column}.{name}", default)

    def note(self, column: str, kind: str, reason: str, n: int, file_column: str = "") -> None:
        if n:
            self.log.append(
                {"column": column, "file_column": file_column, "kind": kind, "reason": reason, "n": int(n), "rows": []}
            )

    def has(self, name: str) -> bool:
        return name in self.extract.tables

    def wants(self, *names: str) -> bool:
        return any(name in self.columns for name in names)

    # -- joining --------------------------------------------------------------------------------------------------
    @property
    def first(self):
        return self.index.min().astype(object) if self.n else None

    @property
    def last(self):
        return self.index.max().astype(object) if self.n else None

    @property
    def one_date(self) -> bool:
        return self.n > 0 and bool((self.index == self.index[0]).all())

    def at(self):
        """The rows as a temporary table of the extract's backend: row, pid, at."""
        if self._at is None:
            import ibis

            table = pa.table(
                {
                    "row": pa.array(np.arange(self.n, dtype="int64")),
                    "pid": pa.array(self.ids.tolist(), pa.string()),
                    "at": pa.array(self.index.astype("datetime64[D]"), pa.date32()),
                }
            )
            backend = self.extract.tables["patients"].get_backend()
            self._backend = backend
            self._at = backend.create_table(ibis.util.gen_name("feasibility_rows"), table, temp=True)
        return self._at

    def close(self) -> None:
        if self._at is not None:
            self._backend.drop_table(self._at.get_name(), force=True)
            self._at = None

    def joined(self, table, date: str):
        """The table's rows of these patients with ``row`` and ``at``, dated on or before the index date."""
        import ibis

        table = table.filter(table[date] <= self.last)
        at = self.at()
        if self.one_date:
            result = table.join(at.select("row", "pid"), "pid")
            return result.mutate(at=ibis.literal(self.last))
        result = table.join(at, "pid")
        return result.filter(result[date] <= result["at"])

    def events(self, name: str, date: str, undated: bool = False) -> pd.DataFrame | None:
        """An event table (or a filtered part of it) in memory, one line per event and row it may be read for.

        Columns of the table, ``row``, and for its date ``first`` and ``last`` as days; ``surely`` says that the whole
        of the date lies on or before the index date. With ``undated`` events without a date are kept (NaT).
        """
        table = self.extract.tables.get(name)
        return None if table is None else self.fetch(table, date, undated)

    def fetch(self, table, date: str, undated: bool = False) -> pd.DataFrame:
        import ibis

        keep = table[date] <= self.last
        table = table.filter(keep | table[date].isnull() if undated else keep)
        at = self.at()
        result = table.join(at if not self.one_date else at.select("row", "pid"), "pid").drop("pid")
        if not self.one_date:
            result = result.filter((result[date] <= result["at"]) | result[date].isnull() if undated
                                   else result[date] <= result["at"]).drop("at")  # fmt: skip
        order = [result["row"], result[date], result["row_id"]] if "row_id" in table.columns else [result["row"]]
        got = result.order_by([ibis.asc(o) for o in order]).to_pyarrow()
        frame = to_frame(got)
        frame["first"], frame["last"] = frame[date], frame[date + "_last"]
        at_row = self.index[frame["row"].to_numpy()]
        frame["surely"] = frame["last"].to_numpy().astype("datetime64[D]") <= at_row
        return frame

    def observed(self) -> np.ndarray:
        """Whether the patient was seen in the 12 months before the index date, which makes silence mean "no"."""
        if self._observed is None:
            self._observed = observed(self.extract, self.people, self.person, self.index)
        return self._observed

    def coded(self, name: str, items: Mapping[str, Iterable[str]], text: tuple[str, ...] = (), more: tuple = ()):
        """Distinct (system, code, texts, more) of a table that belong to an item: a DataFrame with column ``item``.

        ``items`` maps an item to the code lists that mean it. The code decides; a text column is looked up among local
        names only where the code is blank, local, or the text is all there is.
        """
        table = self.extract.tables[name]
        keys = [c for c in ("system", "code", *text, *more) if c in table.columns]
        got = to_frame(table.group_by(keys).aggregate(n=table.count()).order_by(keys).to_pyarrow())
        finder = Finder(items, self.folders)
        # A column with one value for all needs no comparison in the join that follows.
        varying = [k for k in keys if got[k].nunique(dropna=False) > 1] or keys[:1]
        found = []
        for i, record in enumerate(got[keys].itertuples(index=False, name=None)):
            row = dict(zip(keys, record, strict=True))
            system, code = row.get("system") or "local", row.get("code")
            hits = finder.items(system, code) if code else set()
            if not hits and (not code or system == "local"):
                for column in text:
                    hits = hits or (finder.items("local", row[column]) if row[column] else set())
            found += [(i, item) for item in sorted(hits)]
        result = got.iloc[[i for i, _ in found]].reset_index(drop=True)
        result["item"] = pd.Series([item for _, item in found], dtype=object)
        return result, varying

    def matched(self, name: str, items, text: tuple[str, ...] = (), source=None):
        """The table joined with ``item``; None if the table is absent or no code fits."""
        if not self.has(name):
            return None
        found, keys = self.coded(name, items, text)
        if not len(found):
            return None
        return join_keys(self.extract.tables[name] if source is None else source, found, keys, ["item"])

    # -- results --------------------------------------------------------------------------------------------------
    def put(self, name: str, lo, hi=None, status=None) -> None:
        """A number column: bounds (``hi`` None: exact) with NaN where unknown; ``status`` says why."""
        if name not in self.columns:
            return
        lo = np.asarray(lo, dtype="float64")
        hi = lo if hi is None else np.asarray(hi, dtype="float64")
        unknown = np.isnan(lo) | np.isnan(hi)
        status = self._status(status, unknown)
        self.built[name] = Values(status, np.where(unknown, np.nan, lo), np.where(unknown, np.nan, hi))

    def put_plain(self, name: str, values, unknown, status=None) -> None:
        """A truth or text column; ``unknown`` marks the cells without a value."""
        if name not in self.columns:
            return
        unknown = np.asarray(unknown, dtype=bool)
        self.built[name] = Values(self._status(status, unknown), plain=np.asarray(values))

    def _status(self, status, unknown) -> np.ndarray:
        status = np.full(self.n, MISSING) if status is None else np.asarray(status)
        status = np.where(unknown & (status == KNOWN), MISSING, status)
        return np.where(unknown, status, KNOWN).astype("uint8")


class Finder:
    """Which items a code belongs to."""

    def __init__(self, items: Mapping[str, Iterable[str]], folders=()):
        self.exact: dict[tuple[str, str], set[str]] = {}
        self.prefixes: list[tuple[str, str, str]] = []
        for item, lists in items.items():
            for name in lists:
                for system, (codes, prefixes) in codelists.matches(name, folders).items():
                    for code in codes:
                        self.exact.setdefault((system, codelists.normal(system, code)), set()).add(item)
                    self.prefixes += [(system, codelists.normal(system, p), item) for p in prefixes]

    def items(self, system: str, code: str) -> set[str]:
        code = codelists.normal(system, code)
        found = set(self.exact.get((system, code), ()))
        return found | {item for s, p, item in self.prefixes if s == system and code.startswith(p)}


def join_keys(table, found: pd.DataFrame, keys: list[str], values: list[str]):
    """Join small per-code facts to an event table; a blank matches a blank."""
    import ibis

    small = {f"k_{k}": pa.array(["" if v is None else v for v in found[k]], pa.string()) for k in keys}
    for v in values:
        values = found[v].to_numpy()
        small[v] = pa.array(values if values.dtype.kind in "if" else values.tolist(), from_pandas=True)
    small = ibis.memtable(pa.table(small))
    on = [table[k].fill_null("") == small[f"k_{k}"] for k in keys]
    return table.join(small, on).drop(*[f"k_{k}" for k in keys])


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Arrow to pandas: dates as datetime64[s], texts as objects, truth values as objects with None."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_date(kind):
            columns[name] = days_of(column.combine_chunks()).astype("datetime64[s]")
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            filled = column.cast(pa.float64()) if column.null_count else column
            columns[name] = filled.to_numpy()
        else:
            columns[name] = pd.Series(column.to_pylist(), dtype=object)
    return pd.DataFrame(columns)


def each(texts: pd.Series, what: Callable[[str], Any], blank: Any = None) -> pd.Series:
    """``what(text)`` for every text, computed once per distinct one; ``blank`` where there is none."""
    codes, distinct = pd.factorize(texts, use_na_sentinel=True)
    values = pd.Series([what(t) for t in distinct] + [blank], dtype=object)
    return pd.Series(values.to_numpy()[codes], index=texts.index, dtype=object)


def folded(texts: pd.Series) -> pd.Series:
    """Each text as words are compared; "" for none."""
    return each(texts, lambda t: fold(str(t)), "")


__all__ = ["BUILD_REASONS", "Finder", "Rows", "each", "folded", "join_keys", "positions", "to_frame"]
