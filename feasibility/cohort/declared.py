"""How a declared column is made from a hospital's events, and the steps for those that need more than a declaration."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

STATISTICS = {
    "": "a step of the table fills it, or nothing does",
    "latest": "the latest valid laboratory number within window_days (90 unless declared)",
    "worst": "the worst valid laboratory number within window_days",
    "first": "the earliest valid laboratory number within window_days",
    "earlier": "the latest value of the column `of` at least apart_days before its latest one",
    "reactive": "whether the latest test within window_days (180 unless declared) is positive",
    "months_since_reactive": "calendar months since the last positive test; never after a negative one that is valid",
    "confirmed": "a disease that a diagnosis or a confirming test proves and a recent negative test excludes",
    "ever": "whether an event of the code list ever happened",
    "count": "days with an event of the code list, within window_days if that is declared",
    "days_since": "days since the last event of the code list",
    "months_since": "calendar months since the last event of the code list",
    "in_words": "what the text beside the events of the code list says",
    "severe_reaction": "a severe allergic reaction to an agent of the code list",
}
"""What a column can be made of events without any code of its own."""

LAB_NUMBERS = ("latest", "worst", "first")
OF_EVENTS = ("ever", "count", "days_since", "months_since", "in_words")
KINDS = {"ever": "boolean", "in_words": "boolean", "severe_reaction": "boolean", "confirmed": "boolean",
         "days_since": "Float64", "months_since": "Float64", "months_since_reactive": "Float64",
         "earlier": "Float64", "latest": "Float64", "worst": "Float64", "first": "Float64"}  # fmt: skip
TABLES = {"latest": "labs", "worst": "labs", "first": "labs", "earlier": "labs", "reactive": "labs",
          "months_since_reactive": "labs", "confirmed": "labs", "severe_reaction": "allergies"}  # fmt: skip
CODED = ("diagnoses", "procedures", "transfusions", "medications")
"""Event tables in which things that happen are coded."""


@dataclass(frozen=True)
class Measured:
    """What a laboratory reports, where it is not what the column holds (a ratio to the upper limit, a yes or no).

    ``unit`` and ``units`` are as in ``Column``, ``hard`` is the possible range. A factor may be a pair: the result is
    then known between its two multiples. ``log10`` maps a unit whose number is the decimal logarithm of the value to
    the unit of the value, ``log10_codes`` a code that means the logarithm when no unit is given. ``positive_from`` is
    the number from which a test is positive, in ``unit``; 0 means any number above 0, in whatever unit.
    """

    unit: str = ""
    units: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)
    hard: tuple[float, float] | None = None
    log10: Mapping[str, str] = field(default_factory=dict)
    log10_codes: Mapping[str, str] = field(default_factory=dict)
    positive_from: float | None = None


@dataclass(frozen=True)
class Words:
    """What the text beside a coded event adds, as regular expressions on the folded text ("" for a blank one).

    Of events that ``only`` is given for, others do not count; one that matches ``open`` leaves the answer open;
    ``ignored`` ones do not count unless the build setting ``unless`` is on. ``yes`` and ``no`` are for the statistic
    "in_words"; where both match one text, ``no`` decides, and where events disagree, ``both`` (None: unknown).
    """

    only: str = ""
    open: str = ""
    ignored: str = ""
    unless: str = ""
    yes: str = ""
    no: str = ""
    both: bool | None = True


@dataclass(frozen=True)
class BuildStep:
    """How columns that need more than a declaration are made from events: ``run(rows)`` fills some of ``rows.built``.

    Declared beside the columns it fills, so that a trial brings its own medicine and the builder knows none of it.
    ``name`` is what the progress bar shows. See ``feasibility.cohort.event_rows.Rows`` for what ``rows`` offers.
    """

    name: str
    run: Callable[[Any], None]

    def fingerprint(self) -> str:
        """Name and a hash of the source file of ``run``: a changed step is another build."""
        try:
            source = inspect.getsource(inspect.getmodule(self.run) or self.run)
        except (OSError, TypeError):  # typed into an interactive session
            source = getattr(self.run, "__qualname__", repr(self.run))
        return f"{self.name}:{hashlib.sha256(source.encode()).hexdigest()[:16]}"


def fault(column) -> str:
    """What is wrong with how a column says it is made, or ''."""
    how = column.statistic
    if how not in STATISTICS:
        return f"statistic {how!r} is not one of {', '.join(s for s in STATISTICS if s)}."
    if not how:
        return ""
    if not column.codelist and how != "earlier":
        return f"the statistic {how!r} needs a `codelist` that says which events are meant."
    if KINDS.get(how, column.dtype) != column.dtype:
        return f"the statistic {how!r} gives a {KINDS[how]} column, not {column.dtype}."
    if how == "count" and not column.numeric:
        return f"the statistic 'count' gives a number, not {column.dtype}."
    if how in TABLES and TABLES[how] not in column.tables:
        return f"the statistic {how!r} is made from {TABLES[how]}: say so in `events`."
    if how in OF_EVENTS and (not column.tables or set(column.tables) - set(CODED)):
        return f"the statistic {how!r} is made from {', '.join(CODED)}: `events` names {column.events!r}."
    if how == "earlier" and not column.of:
        return "the statistic 'earlier' needs `of`, the column whose earlier value it is."
    if how == "in_words" and not (column.words and column.words.yes):
        return "the statistic 'in_words' needs `words` with what means yes (and no)."
    return ""
