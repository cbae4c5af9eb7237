"""What went wrong, where, and what to do about it.

Every error a user can cause is a ``FeasibilityError`` whose message names the file, criterion or column, what was
found, and the nearest thing that would have worked.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FeasibilityError(Exception):
    """Base class of every error this package raises on purpose."""


class CohortError(FeasibilityError):
    """The patient table, or a column declaration, is not as declared."""


class ReadError(CohortError):
    """A file cannot be read as a patient table."""


class ProtocolError(FeasibilityError):
    """A criterion, threshold, reading, clause or trial is not as it should be."""


class ScreeningError(FeasibilityError):
    """A criterion and a cohort do not fit together, or a criterion is not three-valued."""


class ReconciliationError(FeasibilityError):
    """Numbers that must add up do not: a defect of this package, never of the data. Please report it."""


def did_you_mean(name: str, known: Iterable[str], *, show_all_up_to: int = 12) -> str:
    """A sentence that points at the nearest known name.

    >>> did_you_mean("min_hemoglobine", ["min_hemoglobin", "max_age"])
    " Did you mean 'min_hemoglobin'?"
    """
    known = [str(k) for k in known]
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if near:
        return " Did you mean " + " or ".join(repr(n) for n in near) + "?"
    if known and len(known) <= show_all_up_to:
        return " Known: " + ", ".join(known) + "."
    return ""
