"""The ledger: what was released about the same patients before, so that no later release completes the picture.

A small JSON file beside the data. It holds what has left the building and nothing else: protected counts, the
questions they answer, and the policy. Each entry is sealed with the one before it, so that a change, a lost entry or
half a file is noticed.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from feasibility.disclosure.facts import Facts, cell_interval, margin_interval
from feasibility.disclosure.policy import Policy
from feasibility.disclosure.queries import Query
from feasibility.errors import FeasibilityError, ReconciliationError

FORMAT = "feasibility ledger 1"
START = "0" * 64


@dataclass(frozen=True)
class Earlier:
    """One release: what it asked and what it answered.

    ``cohort`` and ``index_date`` say of which patients; ``settings`` holds, for each status column that the queries
    name, the thresholds and readings behind it. ``core`` are the queries of the protected table and ``groups`` its
    published groups: (count, places of the queries it counts for). ``margins`` are (query, rounded count or None where
    "below the threshold" was printed). ``date`` is text, year first; ``fingerprint`` that of the released file.
    """

    date: str
    cohort: str
    index_date: str
    trial: str
    fingerprint: str
    policy: Policy
    settings: Mapping[str, Mapping[str, Any]]
    core: tuple[Query, ...]
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    margins: tuple[tuple[Query, int | None], ...] = ()

    def __post_init__(self):
        for name in ("date", "index_date"):
            try:
                datetime.date.fromisoformat(getattr(self, name))
            except (TypeError, ValueError):
                raise FeasibilityError(
                    f"A ledger entry needs {name} as year-month-day (2025-06-30), got {getattr(self, name)!r}."
                ) from None
        try:
            cell_interval([n for n, _ in self.groups], self.policy)
            if self.policy.epsilon is None:
                margin_interval([n for _, n in self.margins], self.policy)
        except ReconciliationError as error:
            raise FeasibilityError(f"The ledger takes protected counts only. {error}") from None

    @property
    def queries(self) -> tuple[Query, ...]:
        return (*self.core, *(query for query, _ in self.margins))

    def renamed(self, names: Mapping[str, str]) -> Earlier:
        """The same release with its status columns under the names they have now."""

        def new(query: Query) -> Query:
            lists = {
                key: tuple(names.get(x, x) for x in getattr(query, key))
                for key in ("passes", "stays", "fails", "unknown")
            }
            return replace(query, **lists)

        return replace(
            self,
            core=tuple(new(q) for q in self.core),
            margins=tuple((new(q), n) for q, n in self.margins),
            settings={names.get(k, k): v for k, v in self.settings.items()},
        )

    def facts(self, space) -> list[Facts]:
        """What this release told about the columns of today's attack."""
        from feasibility.disclosure.columns import core_facts, margin_facts

        facts = []
        if self.core:
            answers = np.zeros((len(self.groups), len(self.core)), dtype=bool)
            for i, (_, places) in enumerate(self.groups):
                answers[i, list(places)] = True
            counts = np.array([n for n, _ in self.groups], dtype=np.int64)
            facts.append(core_facts(space, self.core, answers, counts, self.policy, "earlier"))
        if self.margins:
            queries, shown = zip(*self.margins, strict=True)
            facts.append(margin_facts(space, queries, shown, self.policy, "earlier"))
        return facts

    def to_dict(self) -> dict:
        """Plain values, as they stand in the file."""
        return {
            "date": self.date, "cohort": self.cohort, "index_date": self.index_date, "trial": self.trial,
            "fingerprint": self.fingerprint, "policy": asdict(self.policy),
            "settings": {k: dict(v) for k, v in self.settings.items()},
            "core": [q.to_dict() for q in self.core],
            "groups": [{"n": int(n), "counts_for": list(map(int, places))} for n, places in self.groups],
            "margins": [{"query": q.to_dict(), "n": None if n is None else int(n)} for q, n in self.margins],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping) -> Earlier:
        plain = {k: values[k] for k in ("date", "cohort", "index_date", "trial", "fingerprint", "settings")}
        return cls(
            **plain,
            policy=Policy(**values["policy"]),
            core=tuple(Query.from_dict(q) for q in values["core"]),
            groups=tuple((g["n"], tuple(g["counts_for"])) for g in values["groups"]),
            margins=tuple((Query.from_dict(m["query"]), m["n"]) for m in values["margins"]),
        )


@dataclass(frozen=True)
class Ledger:
    """The earlier releases of one file; ``Ledger.open`` reads it, ``append`` adds one.

    >>> import tempfile, pathlib
    >>> ledger = Ledger.open(pathlib.Path(tempfile.mkdtemp()) / "ledger.json")
    >>> len(ledger.entries), ledger.of("registry A", "2025-06-30")
    (0, ())
    """

    path: Path
    entries: tuple[Earlier, ...] = field(default=())

    @classmethod
    def open(cls, path: str | Path) -> Ledger:
        """Read a ledger; a file that does not exist is an empty one.

        Raises FeasibilityError for a file that was changed, shortened or damaged after it was written.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path)
        except (OSError, UnicodeDecodeError) as error:
            raise FeasibilityError(f"{path}: the ledger cannot be read ({error}).") from None
        try:
            content = json.loads(text)
            rows, last = content["entries"], content["seal"]
            if content["format"] != FORMAT:
                raise FeasibilityError(f"{path}: this is {content['format']!r}, expected {FORMAT!r}.")
            if not isinstance(rows, list):
                raise TypeError("entries")
        except (ValueError, KeyError, TypeError) as error:
            raise FeasibilityError(
                f"{path}: this is no complete ledger ({error!r}). Restore the last good copy; a release made without"
                " its earlier ones could give patients away."
            ) from None
        seal = START
        for i, row in enumerate(rows):
            seal = _seal(row, seal)
            if not isinstance(row, dict) or row.get("seal") != seal:
                raise FeasibilityError(
                    f"{path}: entry {i + 1} of {len(rows)} was changed, moved or taken out after it was written."
                    " Restore the last good copy."
                )
        if seal != last:
            raise FeasibilityError(f"{path}: entries are missing at the end. Restore the last good copy.")
        return cls(path, tuple(Earlier.from_dict(row) for row in rows))

    def of(self, cohort: str, index_date: str) -> tuple[Earlier, ...]:
        """The releases of these patients at this date, which an attacker can subtract from the next one."""
        return tuple(e for e in self.entries if (e.cohort, e.index_date) == (cohort, index_date))

    def at_other_dates(self, cohort: str, index_date: str) -> tuple[Earlier, ...]:
        """Releases of the same patients at another date: their counts are others, so the audit cannot use them."""
        return tuple(e for e in self.entries if e.cohort == cohort and e.index_date != index_date)

    def epsilon_spent(self, cohort: str) -> float:
        """The sum of epsilon over the differentially private releases of these patients."""
        return sum(e.policy.epsilon for e in self.entries if e.cohort == cohort and e.policy.epsilon is not None)

    def append(self, entry: Earlier) -> Ledger:
        """The ledger with one more release, written at once or not at all.

        Reads the file again first, so that a release added meanwhile is kept. Raises FeasibilityError while another
        release is being entered.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(self.path.with_name(self.path.name + ".lock")):
            now = Ledger.open(self.path)
            if now.entries[: len(self.entries)] != self.entries:
                raise FeasibilityError(
                    f"{self.path}: the ledger was replaced since it was read. Start the release again."
                )
            entries = (*now.entries, entry)
            _write(self.path, entries)
        return Ledger(self.path, entries)


def _write(path: Path, entries: Sequence[Earlier]) -> None:
    rows, seal = [], START
    for entry in entries:
        row = entry.to_dict()
        seal = _seal(row, seal)
        rows.append(row | {"seal": seal})
    text = json.dumps({"format": FORMAT, "entries": rows, "seal": seal}, ensure_ascii=False, indent=1, sort_keys=True)
    beside = path.with_name(path.name + ".new")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _seal(row, before: str) -> str:
    """SHA-256 of an entry and of the seal before it; what is sealed has already been released."""
    plain = {k: v for k, v in row.items() if k != "seal"} if isinstance(row, dict) else row
    return hashlib.sha256((before + json.dumps(plain, sort_keys=True)).encode()).hexdigest()


@contextlib.contextmanager
def _only_one(lock: Path):
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise FeasibilityError(
            f"Another release is being entered in this ledger. If none is, one was interrupted: delete {lock.name} and"
            " start again."
        ) from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def groups_of_table(members: np.ndarray, n: Iterable[int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Published groups as a ledger entry holds them, from the protected table's members and counts."""
    return tuple((int(c), tuple(np.flatnonzero(row).tolist())) for c, row in zip(n, members, strict=True))
