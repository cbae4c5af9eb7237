"""The protected table: disjoint groups of patients with protected counts, and what is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from feasibility.analysis.attrition import reconcile_attrition
from feasibility.analysis.reconcile import same
from feasibility.disclosure.plan import Change
from feasibility.disclosure.policy import Policy
from feasibility.disclosure.queries import Query
from feasibility.errors import FeasibilityError
from feasibility.patterns import CriterionLabel


@dataclass(frozen=True, eq=False)
class ProtectedTable:
    """Groups of patients, each with a protected count: the only place from which the core of a release is computed.

    ``members`` says for every group (row) whether it counts for each query (column); ``n`` holds the protected counts.
    Groups whose protected count is 0 are left out: that they exist would say something. ``changes`` are the curves'
    points and scenarios; ``scales`` a threshold's unit and value in the protocol.
    """

    labels: tuple[CriterionLabel, ...]
    policy: Policy
    queries: tuple[Query, ...]
    members: np.ndarray
    n: np.ndarray
    changes: tuple[Change, ...] = ()
    scales: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_patients(self) -> int:
        """All patients, as the protected counts have it."""
        return int(self.n.sum())

    @cached_property
    def _place(self) -> dict[str, int]:
        return {query.name: j for j, query in enumerate(self.queries)}

    def has(self, name: str) -> bool:
        return name in self._place

    def count(self, name: str) -> int:
        """The protected count of a query, by its name."""
        if name not in self._place:
            raise FeasibilityError(f"{name!r} is not part of this release.")
        return int(self.n @ self.members[:, self._place[name]])

    def member(self, name: str) -> np.ndarray:
        """Which groups count for a query (bool, one a group)."""
        return self.members[:, self._place[name]]

    @cached_property
    def first_failing(self) -> np.ndarray:
        """Position of the first criterion each group fails, -1 where none."""
        return self._first("excluded:{}")

    @cached_property
    def first_unknown(self) -> np.ndarray:
        """Position of the first criterion unknown in each group before the first failing one, -1 where none."""
        first = np.full(len(self.n), -1)
        for i, label in reversed(list(enumerate(self.labels))):
            if self.has(f"confirmed:{label.id}"):
                first[self.member(f"remaining:{label.id}") & ~self.member(f"confirmed:{label.id}")] = i
        return first

    def _first(self, name: str) -> np.ndarray:
        first = np.full(len(self.n), -1)
        for i, label in reversed(list(enumerate(self.labels))):
            first[self.member(name.format(label.id))] = i
        return first

    @cached_property
    def _has_bounds(self) -> bool:
        return all(self.has(f"confirmed:{label.id}") for label in self.labels)

    @property
    def n_possible(self) -> int:
        """Patients who fail nothing, protected."""
        return self.count(f"remaining:{self.labels[-1].id}") if self.labels else self.n_patients

    @property
    def n_confirmed(self) -> int | None:
        """Patients of whom everything is known and met, protected; None where the bounds were dropped."""
        last = f"confirmed:{self.labels[-1].id}" if self.labels else ""
        return self.count(last) if self.has(last) else None

    def attrition(self) -> pd.DataFrame:
        """The funnel, with the columns and the identities of ``feasibility.attrition``, in protected patients."""
        rows = {name: [] for name in ("n_entering", "n_excluded", "n_undetermined", "n_confirmed", "n_remaining")}
        entering = self.n_patients
        for label in self.labels:
            remaining = self.count(f"remaining:{label.id}")
            rows["n_entering"].append(entering)
            rows["n_excluded"].append(self.count(f"excluded:{label.id}"))
            rows["n_remaining"].append(remaining)
            if self._has_bounds:
                rows["n_confirmed"].append(self.count(f"confirmed:{label.id}"))
                rows["n_undetermined"].append(remaining - rows["n_confirmed"][-1])
            entering = remaining
        table = self._labelled({name: values for name, values in rows.items() if values})
        table.insert(2, "reason", [label.reason for label in self.labels])
        if "n_confirmed" in table:
            reconcile_attrition(table, self.n_patients)
        else:
            same("n_remaining = n_entering - n_excluded", table.n_remaining, table.n_entering - table.n_excluded)
        return table

    def only_reason(self) -> pd.DataFrame:
        """What each criterion alone costs: n_only_reason, n_only_unknown, gain_confirmed, gain_possible, protected."""
        rows: dict[str, list[int]] = {}
        for column, query in (("n_only_reason", "only_reason"), ("n_only_unknown", "only_unknown")):
            rows[column] = [self.count(f"{query}:{label.id}") for label in self.labels]
        rows["gain_confirmed"] = [a + b for a, b in zip(*rows.values(), strict=True)]
        rows["gain_possible"] = [self.count(f"gain_possible:{label.id}") for label in self.labels]
        return self._labelled(rows)

    def scenarios(self) -> pd.DataFrame:
        """The scenarios beside the protocol: n_confirmed, n_possible, gain_confirmed, gain_possible, changes."""
        rows = {}
        for change in self.changes:
            if change.table == "scenarios" and self.has(f"possible@{change.name}"):
                rows[change.name] = [*self.pair(change), change.words]
        columns = ["n_confirmed", "n_possible", "changes"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("scenario")
        base = self.n_confirmed, self.n_possible
        table.insert(2, "gain_confirmed", table["n_confirmed"] - base[0] if base[0] is not None else 0)
        table.insert(3, "gain_possible", table["n_possible"] - base[1])
        return table

    def pair(self, change: Change) -> tuple[int, int]:
        """Confirmed and possible under a change, protected."""
        return self.count(f"confirmed@{change.name}"), self.count(f"possible@{change.name}")

    def curves(self) -> dict[str, pd.DataFrame]:
        """For each threshold its coarse grid, the protocol's value included: n_confirmed, n_possible, protected.

        ``attrs`` holds the unit, the protocol's value and the criteria that read it.
        """
        points: dict[str, dict[float, tuple]] = {}
        for change in self.changes:
            if change.table == "curves" and self.has(f"possible@{change.name}"):
                name, value = next(iter(change.settings.items()))
                points.setdefault(name, {})[value] = self.pair(change)
        tables = {}
        for name, rows in points.items():
            scale = self.scales[name]
            rows[scale["protocol"]] = (self.n_confirmed or 0, self.n_possible)
            table = pd.DataFrame.from_dict(dict(sorted(rows.items())), orient="index")
            table.columns = ["n_confirmed", "n_possible"]
            table.index.name = name
            table.attrs = dict(scale)
            tables[name] = table
        return tables

    def _labelled(self, columns: dict) -> pd.DataFrame:
        index = pd.Index([label.id for label in self.labels], name="criterion")
        kinds = {"kind": [x.kind for x in self.labels], "name": [x.name for x in self.labels]}
        return pd.DataFrame(kinds | columns, index=index)


@dataclass(frozen=True, eq=False)
class RoundedMargin:
    """A table of the second block: each number rounded by itself, so that nothing in it need add up.

    Columns of ``frame`` called ``n`` or ``n_*`` are patients, Int64; NA is a number below the policy's
    ``margin_threshold`` ("<13"), which is not told apart from 0.
    """

    name: str
    frame: pd.DataFrame
    policy: Policy
    additive = False

    @classmethod
    def of(cls, name: str, exact: pd.DataFrame, policy: Policy) -> RoundedMargin:
        """Round a table of true counts (its columns ``n_*``).

        >>> from feasibility.disclosure.policy import POLICIES
        >>> exact = pd.DataFrame({"n_failing": [0, 12, 13, 97]})
        >>> RoundedMargin.of("failing", exact, POLICIES["nhs"]).frame["n_failing"].tolist()
        [<NA>, <NA>, 15, 95]
        """
        frame = exact.copy()
        for column in frame.columns:
            if column == "n" or str(column).startswith("n_"):
                rounded = [policy.rounded(n) for n in frame[column]]
                shown = [n if n >= policy.margin_threshold else pd.NA for n in rounded]
                frame[column] = pd.array(shown, dtype="Int64")
        return cls(name, frame, policy)

    def shown(self, n) -> str:
        """A number of the table as it is printed."""
        return f"<{self.policy.margin_threshold}" if pd.isna(n) else f"{int(n):,}"
