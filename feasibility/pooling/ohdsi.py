"""OHDSI inclusion-rule masks (ATLAS, CohortGenerator) as counts that are labelled for what they are.

A row of ``cohort_inclusion_result`` says how many people meet exactly the rules whose bits are set: bit i, of value
2^i, is the rule with ``rule_sequence`` i in ``cohort_inclusion``. Three things differ from a pattern table. A rule is
met or not: no record counts as not met (``unknown_as_fail``). Each person is judged at the entry event that meets most
rules (mode 1; mode 0 counts events). Counts below the site's minimum are censored: -5 stands for 1 to 4.

Source: OHDSI circe-be, cohortInclusionAnalysis.sql, and CohortGenerator's results data model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.pattern_headers import UNKNOWN_AS_FAIL
from feasibility.patterns import PatternTable, count, pack

MOST_RULES = 63
"""Bits of the database's signed 64-bit mask."""
BEST_EVENT, EVENTS = 1, 0
COHORT_IDS = ("cohort_definition_id", "cohort_id")


@dataclass(frozen=True, eq=False)
class RuleMasks:
    """People by the inclusion rules they meet; a censored count is the range from ``low`` to ``high``.

    ``rules`` are the rules' names in order; bit i of ``masks`` (uint64) is set where rule i is met. What a record does
    not say counts as not met (``answers`` is "unknown_as_fail").
    """

    rules: tuple[str, ...]
    masks: np.ndarray
    low: np.ndarray
    high: np.ndarray
    answers: str = UNKNOWN_AS_FAIL

    @property
    def n_censored(self) -> int:
        """Rows whose count is a range."""
        return int((self.low != self.high).sum())

    @property
    def n_people(self) -> tuple[int, int]:
        """The fewest and the most people there can be."""
        return int(self.low.sum()), int(self.high.sum())

    def met(self, i: int) -> np.ndarray:
        """Which rows meet rule ``i``."""
        return (self.masks >> np.uint64(i)) & np.uint64(1) == 1

    def funnel(self) -> pd.DataFrame:
        """The funnel in the order of the rules, every count as a range, ``*_low`` to ``*_high``; index rule number.

        Columns name, n_entering, n_excluded, n_remaining. The ends of the ranges add up row by row: what enters at its
        lowest is what is excluded and what remains at their lowest.
        """
        inside = np.ones(len(self.masks), dtype=bool)
        rows = []
        for i, name in enumerate(self.rules):
            out = inside & ~self.met(i)
            row: dict[str, object] = {"name": name}
            for what, which in (("entering", inside), ("excluded", out), ("remaining", inside & ~out)):
                row |= {f"n_{what}_low": int(self.low[which].sum()), f"n_{what}_high": int(self.high[which].sum())}
            rows.append(row)
            inside &= ~out
        return pd.DataFrame(rows, index=pd.Index(range(len(self.rules)), name="rule"))

    def patterns(self, like: PatternTable, rules: Mapping[str, str]) -> PatternTable:
        """The people as a two-valued pattern table, labelled ``unknown_as_fail``, to be added to others so labelled.

        ``rules`` says which rule stands for which criterion of ``like``, {"I4": "Age of 18 or more"}: every criterion
        has one rule and every rule is used. That they mean the same is the caller's word; the header keeps it
        (``matched``). Build settings, code lists and index dates are taken to be those of ``like``.

        Raises FeasibilityError for censored counts (use ``funnel``), and where rules and criteria do not match up.
        """
        if self.n_censored:
            raise FeasibilityError(
                f"{self.n_censored} of {len(self.masks)} counts are censored (between {self.n_people[0]:,} and"
                f" {self.n_people[1]:,} people in all): they cannot be added to exact counts. funnel() gives the"
                " ranges; inside the hospital, export again with minCellCount = 0."
            )
        for label in like.labels:
            if label.id not in rules:
                raise FeasibilityError(f"No rule is named for criterion {label.id} ({label.name}).")
        for key, rule in rules.items():
            if key not in like.ids:
                raise FeasibilityError(f"There is no criterion {key!r}.{did_you_mean(key, like.ids)}")
            if rule not in self.rules:
                raise FeasibilityError(f"There is no rule {rule!r} for {key}.{did_you_mean(rule, self.rules)}")
        unused = [rule for rule in self.rules if rule not in rules.values()]
        if unused:
            raise FeasibilityError(
                f"The rule {unused[0]!r} stands for no criterion: people were excluded by it whom the protocol keeps."
            )
        failed = pack([~self.met(self.rules.index(rules[key])) for key in like.ids], len(self.masks))
        kept = {k: v for k, v in like.header.items() if k not in ("file", "parts", "part", "route", "absent")}
        header = kept | {"answers": UNKNOWN_AS_FAIL, "matched": dict(rules), "route": "OHDSI inclusion-rule masks"}
        return count(like.labels, failed, np.zeros_like(failed), None, self.low, header)


def read_rule_masks(
    result, inclusion, *, cohort: int | None = None, database: str | None = None, best_event: bool = False
) -> RuleMasks:
    """The inclusion-rule masks of one cohort definition.

    Parameters
    ----------
    result: ``cohort_inclusion_result`` as a CSV file or a table: inclusion_rule_mask, person_count, mode_id, and where
        there are several, cohort_definition_id and database_id. Names in camelCase are understood.
    inclusion: ``cohort_inclusion``: rule_sequence, name.
    cohort, database: which one, where the tables hold several.
    best_event: an older table has no mode_id and its counts are of people, each at the best event.

    Raises FeasibilityError for unknown columns, more than 63 rules, counts of events (mode 0) alone, masks of unknown
    rules, and counts that are no whole numbers.

    >>> rules = pd.DataFrame({"rule_sequence": [0, 1], "name": ["adult", "platelets"]})
    >>> rows = pd.DataFrame({"inclusion_rule_mask": [3, 1, 0], "person_count": [40, -5, 7], "mode_id": 1})
    >>> read_rule_masks(rows, rules).funnel()[["n_remaining_low", "n_remaining_high"]].values.tolist()
    [[41, 44], [40, 40]]
    """
    rules, where = _table(inclusion, "cohort_inclusion", ("rule_sequence", "name"))
    rows, what = _table(result, "cohort_inclusion_result", ("inclusion_rule_mask", "person_count"))
    rows, cohort = _chosen(rows, what, "cohort", COHORT_IDS, cohort)
    rules, _ = _chosen(rules, where, "cohort", COHORT_IDS, cohort)
    rows, _ = _chosen(rows, what, "database", ("database_id",), database)
    rows = _people(rows, what, best_event)
    order = _whole(rules["rule_sequence"], where, "rule_sequence")
    names = [str(name) for _, name in sorted(zip(order, rules["name"], strict=True))]
    if len(names) > MOST_RULES:
        raise FeasibilityError(
            f"{where}: {len(names)} rules; a 64-bit mask holds {MOST_RULES}, so later ones are lost."
        )
    if sorted(order) != list(range(len(names))):
        raise FeasibilityError(
            f"{where}: rule_sequence is {', '.join(map(str, sorted(order)))}; it counts 0, 1, 2 ... with no gap and"
            " none twice (choose one cohort if the file holds several)."
        )
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise FeasibilityError(f"{where}: two rules are called {twice!r}; give each a name of its own.")
    masks = _whole(rows["inclusion_rule_mask"], what, "inclusion_rule_mask")
    counts = _whole(rows["person_count"], what, "person_count")
    if len(set(masks)) < len(masks):
        raise FeasibilityError(f"{what}: a mask occurs twice; choose one cohort and one database.")
    for mask in masks:
        if not 0 <= mask < 2 ** len(names):
            raise FeasibilityError(
                f"{what}: mask {mask} has bits of rules that {where} does not name ({len(names)} rules)."
            )
    if -1 in counts:
        raise FeasibilityError(f"{what}: person_count -1 stands for no count: -5 is 1 to 4, -2 is 1.")
    low = [n if n >= 0 else 1 for n in counts]
    high = [n if n >= 0 else -n - 1 for n in counts]
    return RuleMasks(
        tuple(names), np.array(masks, dtype=np.uint64), np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)
    )


def _table(given, kind: str, needed: tuple[str, ...]) -> tuple[pd.DataFrame, str]:
    """A table with snake_case column names, and what messages call it."""
    if isinstance(given, pd.DataFrame):
        frame, name = given, kind
    else:
        name = Path(given).name
        try:
            frame = pd.read_csv(given, dtype=str, keep_default_na=False)
        except FileNotFoundError:
            raise FeasibilityError(f"{given}: there is no such file.") from None
        except (OSError, ValueError) as error:
            raise FeasibilityError(f"{name}: not a readable CSV file ({str(error).splitlines()[0][:80]}).") from None
    snake = ["".join("_" + c.lower() if c.isupper() else c for c in str(n)).lstrip("_") if str(n).upper() != str(n)
             else str(n).lower() for n in frame.columns]  # fmt: skip
    frame = frame.set_axis(snake, axis=1)
    for column in needed:
        if column not in frame:
            raise FeasibilityError(f"{name}: no column {column!r}, which {kind} has.{did_you_mean(column, snake)}")
    if frame.empty:
        raise FeasibilityError(f"{name}: there is no row in it.")
    return frame, name


def _chosen(frame: pd.DataFrame, name: str, what: str, columns: tuple[str, ...], wanted):
    """The rows of one cohort or database, and which it is; several need a choice."""
    column = next((c for c in columns if c in frame), None)
    if column is None:
        return frame, wanted
    found = frame[column].astype(str)
    known = sorted(found.unique())
    if wanted is None and len(known) > 1:
        raise FeasibilityError(f"{name}: {len(known)} {what}s ({', '.join(known[:12])}); say which: {what}=...")
    if wanted is not None and str(wanted) not in known:
        raise FeasibilityError(f"{name}: no {what} {wanted!r}.{did_you_mean(str(wanted), known)}")
    chosen = known[0] if wanted is None else str(wanted)
    return frame[found == chosen], chosen


def _people(rows: pd.DataFrame, name: str, best_event: bool) -> pd.DataFrame:
    """The rows that count people, each at the best event."""
    if "mode_id" not in rows:
        if best_event:
            return rows
        raise FeasibilityError(
            f"{name}: no column 'mode_id', so it does not say whether it counts people or events. If these are people,"
            " each at the event that meets most rules, say best_event=True (--best-event)."
        )
    modes = pd.Series(_whole(rows["mode_id"], name, "mode_id"), index=rows.index)
    strange = sorted(set(modes) - {BEST_EVENT, EVENTS})
    if strange:
        raise FeasibilityError(f"{name}: mode_id {strange[0]}; it is 0 (all events) or 1 (each person's best event).")
    if not (modes == BEST_EVENT).any():
        raise FeasibilityError(
            f"{name}: it counts events only (mode_id 0), and a patient can have several. Export the rows of mode_id 1"
            " (each person's best event)."
        )
    return rows[modes == BEST_EVENT]


def _whole(values, name: str, column: str) -> list[int]:
    """Whole numbers of any size, however they were written."""
    found = []
    for value in values:
        try:
            number = Decimal(str(value).strip())
            whole = int(number) if number == number.to_integral_value() else None
        except (InvalidOperation, ValueError, OverflowError):
            whole = None
        if whole is None or ("e" in str(value).lower() and abs(whole) >= 2**53):  # 9.2e18 has lost its last digits
            raise FeasibilityError(f"{name}: {column} is {str(value)!r}, not a whole number.")
        found.append(whole)
    return found
