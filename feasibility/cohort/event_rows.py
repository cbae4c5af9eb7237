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

from feasibility.cohort import codelists, temporary
from feasibility.cohort.code_finder import Finder, join_keys, telling
from feasibility.cohort.frames import each, folded, to_frame
from feasibility.cohort.id_lookup import IdLookup
from feasibility.cohort.index_dates import observed, positions
from feasibility.cohort.parse import KNOWN, MISSING, REASONS
from feasibility.cohort.schema import CohortTable
from feasibility.cohort.time_values import Values

STALE, DATE_MISSING, DATE_IMPRECISE, CONFLICTING, OUT_OF_RANGE, UNIT_UNKNOWN = 20, 9, 10, 8, 5, 6
DAYS = 1 << 22
"""More days than lie between any two dates: (person, day) as one number."""
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
        self._made: dict[str, Any] = {}
        self._observed = None
        self._lookup = None
        self._codes: dict[str, pd.DataFrame] = {}

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

    @property
    def backend(self):
        return self.extract.tables["patients"].get_backend()

    def lookup(self) -> IdLookup | None:
        """The people by the bits of their ids, for events in the embedded DuckDB; None elsewhere."""
        if self._lookup is None and self.backend.name == "duckdb":
            self._lookup = IdLookup(self.backend, self.people)
        return self._lookup if self._lookup is not None and self._lookup.unique else None

    def at(self):
        """The rows as a temporary table of the extract's backend: row, pid, at."""
        days = pa.array(self.index.astype("datetime64[D]"), pa.date32())
        return self._temporary("rows", lambda: {"row": np.arange(self.n), "pid": self.ids, "at": days})

    def _people(self):
        """The people likewise: row (their number), pid."""
        return self._temporary("people", lambda: {"row": np.arange(len(self.people)), "pid": self.people})

    def _temporary(self, name: str, columns: Callable[[], dict]):
        if name not in self._made:
            import ibis

            table = pa.table(columns(), schema=pa.schema({"row": pa.int64(), "pid": pa.string()} |
                                                         ({"at": pa.date32()} if name == "rows" else {})))  # fmt: skip
            self._made[name] = temporary.create(self.backend, ibis.util.gen_name(f"feasibility_{name}"), table)
        return self._made[name]

    def close(self) -> None:
        while self._made:
            temporary.drop(self.backend, self._made.popitem()[1].get_name())

    def joined(self, table, date: str, undated: bool = False):
        """The table's rows of these patients with ``row`` and ``at``, dated on or before the index date.

        With ``undated`` those without a date are kept.
        """
        import ibis

        def read(until):
            return (result[date] <= until) | result[date].isnull() if undated else result[date] <= until

        result = table
        result, at = result.filter(read(self.last)), self.at()
        if self.one_date:
            result = result.join(at.select("row", "pid"), "pid")
            return result.mutate(at=ibis.literal(self.last))
        result = result.join(at, "pid")
        return result.filter(read(result["at"]))

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
        several = self.n > len(self.people)
        if several or self.one_date:
            result = table.join((self._people if several else self.at)().select("row", "pid"), "pid").drop("pid")
        else:
            result = table.join(self.at(), "pid").drop("pid")
            early = result[date] <= result["at"]
            result = result.filter(early | result[date].isnull() if undated else early).drop("at")
        order = [result["row"], result[date], result["row_id"]] if "row_id" in table.columns else [result["row"]]
        frame = to_frame(result.order_by([ibis.asc(o) for o in order]).to_pyarrow())
        if several:
            frame = self._per_row(frame, date)
        frame["first"], frame["last"] = frame[date], frame[date + "_last"]
        at_row = self.index[frame["row"].to_numpy()]
        frame["surely"] = frame["last"].to_numpy().astype("datetime64[D]") <= at_row
        return frame

    def _per_row(self, frame: pd.DataFrame, date: str) -> pd.DataFrame:
        """Events that are read once a patient, repeated for each of the patient's rows they may be read for."""
        person = frame["row"].to_numpy().astype("int64")
        day = frame[date].to_numpy().astype("datetime64[D]")
        day = np.where(np.isnat(day), -DAYS // 2, day.astype("int64"))
        keys = self.person.astype("int64") * DAYS + self.index.astype("datetime64[D]").astype("int64")
        begin = np.searchsorted(keys, person * DAYS + day)
        count = np.searchsorted(self.person, person, side="right") - begin
        event = np.repeat(np.arange(len(person)), count)
        row = np.arange(len(event)) + np.repeat(begin - np.cumsum(count) + count, count)
        order = np.argsort(row, kind="stable")
        return frame.take(event[order]).assign(row=row[order]).reset_index(drop=True)

    def observed(self) -> np.ndarray:
        """Whether the patient was seen in the 12 months before the index date, which makes silence mean "no"."""
        if self._observed is None:
            self._observed = observed(self.extract, self.people, self.person, self.index)
        return self._observed

    def coded(self, name: str, items: Mapping[str, Iterable[str]], text: tuple[str, ...] = (), more: tuple = ()):
        """Distinct (system, code, texts, more) of a table that belong to an item: a DataFrame with column ``item``.

        ``items`` maps an item to the code lists that mean it. The code decides; a text column is looked up among local
        names only where the code is blank or local, or a LOINC code that is on no list at all: a code that is known to
        mean something else is never overruled by a name.
        """
        keys = [c for c in ("system", "code", *text, *more) if c in self.extract.tables[name].columns]
        got = self._distinct(name, keys)
        finder = Finder(items, self.folders)
        found = []
        for i, record in enumerate(got[keys].itertuples(index=False, name=None)):
            row = dict(zip(keys, record, strict=True))
            system, code = row.get("system") or "local", row.get("code")
            hits = finder.items(system, code) if code else set()
            strange = bool(code) and not hits and system == "loinc"
            strange = strange and not codelists.listed(system, code, self.folders)
            if not hits and (not code or system == "local" or strange):
                for column in text:
                    hits = hits or (finder.items("local", row[column]) if row[column] else set())
                for item in sorted(hits) if strange else ():
                    self.note(item, "found_by_name", f"the code {code} is on no list; its local name is", 1)
            found += [(i, item) for item in sorted(hits)]
        result = got.iloc[[i for i, _ in found]].reset_index(drop=True)
        result["item"] = pd.Series([item for _, item in found], dtype=object)
        return result, telling(got, keys, {i for i, _ in found})

    def _distinct(self, name: str, keys: list[str]) -> pd.DataFrame:
        """The distinct combinations of some columns of a table; those of fewer columns come from those of more."""
        if name == "labs" and name not in self._codes:
            every = ["system", "code", "local_name", "unit"]
            self._codes[name] = self._read_distinct(name, [*every, *(k for k in keys if k not in every)])
        if name in self._codes and set(keys) <= set(self._codes[name].columns):
            got = self._codes[name][keys].drop_duplicates()
            return got.sort_values(keys, na_position="first", kind="stable").reset_index(drop=True)
        return self._read_distinct(name, keys)

    def _read_distinct(self, name: str, keys: list[str]) -> pd.DataFrame:
        got = to_frame(self.extract.tables[name].select(keys).distinct().to_pyarrow())
        # A blank text is none: both are joined alike.
        got = got.where(got.notna() & (got != ""), None).drop_duplicates()
        return got.sort_values(keys, na_position="first", kind="stable").reset_index(drop=True)

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
        lo = np.array(lo, dtype="float64")
        if hi is None:
            self.built[name] = Values(self._status(status, np.isnan(lo)), lo, lo)
            return
        hi = np.array(hi, dtype="float64")
        unknown = np.isnan(lo) | np.isnan(hi)
        lo[unknown] = hi[unknown] = np.nan
        self.built[name] = Values(self._status(status, unknown), lo, hi)

    def put_at(self, name: str, at: np.ndarray, lo, hi, status: np.ndarray) -> None:
        """As ``put``, of the values of the rows ``at`` alone, where the status says that they are known."""
        if name not in self.columns:
            return
        rails = []
        for values in (lo,) if hi is None else (lo, hi):
            rails.append(np.full(self.n, np.nan))
            rails[-1][at] = values
        status = status.copy()
        lost = at[np.isnan(lo) if hi is None else np.isnan(lo) | np.isnan(hi)]
        status[lost] = MISSING
        for rail in rails:
            rail[lost] = np.nan
        self.built[name] = Values(status, rails[0], rails[-1])

    def put_plain(self, name: str, values, unknown, status=None) -> None:
        """A truth or text column; ``unknown`` marks the cells without a value."""
        if name not in self.columns:
            return
        unknown = np.asarray(unknown, dtype=bool)
        self.built[name] = Values(self._status(status, unknown), plain=np.asarray(values))

    def _status(self, status, unknown) -> np.ndarray:
        result = np.full(self.n, MISSING, dtype="uint8") if status is None else np.array(status, dtype="uint8")
        result[unknown & (result == KNOWN)] = MISSING
        result[~unknown] = KNOWN
        return result


__all__ = ["BUILD_REASONS", "Finder", "Rows", "each", "folded", "join_keys", "positions", "to_frame"]
