"""What is refused before a database counts: criteria and columns on which engines would differ, impossible values."""

from __future__ import annotations

import numpy as np

from feasibility.bounded import UPPER
from feasibility.errors import CohortError, ScreeningError

ADVICE = "Correct them in the table, or read it with read_cohort, which sets such values aside and counts them."
KINDS = {"boolean": "is_boolean", "string": "is_string", "Int64": "is_numeric", "Float64": "is_numeric"}
PORTABLE = (
    "Field", "Literal", "Equals", "NotEquals", "Less", "LessEqual", "Greater", "GreaterEqual", "Between", "And", "Or",
    "Not", "Xor", "Add", "Subtract", "Multiply", "Negate", "IfElse", "SearchedCase",
)  # fmt: skip
"""Operations of Ibis that answer alike, NULL for NULL, on DuckDB, PostgreSQL, Spark and pandas."""
ORDERED = ("Less", "LessEqual", "Greater", "GreaterEqual", "Between")


def portable(answer, criterion):
    """The answer, if every operation in it is the same on all engines; else ScreeningError names the operation."""
    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    where = f"Criterion {criterion.id} ({criterion.name})"
    if not isinstance(answer, ir.BooleanValue):
        got = answer.type() if isinstance(answer, ir.Value) else type(answer).__name__
        raise ScreeningError(f"{where} does not answer with truth values on a database, but with {got}.")
    waiting, seen = [answer.op()], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        name = type(node).__name__
        if name not in PORTABLE:
            raise ScreeningError(
                f"{where} uses the operation {name}, on which engines differ."
                " Use comparisons, &, |, ~, + - * with thresholds and the kleene helpers only."
            )
        if name in ORDERED and any(a.dtype.is_string() for a in node.args if hasattr(a, "dtype")):
            raise ScreeningError(
                f"{where} uses the operation {name} on texts, whose order depends on the database's collation."
                " Compare codes with == or kleene.is_in."
            )
        if name != "Field":
            waiting += [
                a for one in node.args for a in (one if isinstance(one, tuple) else [one]) if isinstance(a, ops.Node)
            ]
    return answer


def check_kinds(table, protocol) -> None:
    """Refuse a column of another kind than declared: no engine is asked to guess what 0 or '1' means."""
    for name in protocol.reads:
        for column in (name, name + UPPER):
            if column not in table.columns:
                continue
            kind = table[column].type()
            declared = protocol.columns[name].dtype if protocol.columns is not None and name in protocol.columns else ""
            known = getattr(kind, KINDS[declared])() if declared else any(getattr(kind, k)() for k in KINDS.values())
            if not known and not kind.is_null():
                want = f"it is declared as {declared}" if declared else "use a number, a truth value or a text"
                raise ScreeningError(
                    f"Column {column!r} is {kind} in the database, but {want}. Make a view in which it has that type."
                )


def check_table(table, raw, protocol) -> None:
    """Refuse what ``screen`` refuses: one query for values outside declarations, one for patients that occur twice.

    ``raw`` has the columns of the criteria with NaN as NULL.
    """
    from feasibility.engine.ibis_engine import fetch

    counts: dict[str, object] = {}
    wrong: list[tuple[str, str]] = []

    def count(name: str, mask, what: str) -> None:
        counts[f"w{len(wrong)}"] = mask.cast("int32").sum()
        wrong.append((name, what))

    for name in protocol.reads:
        if name not in raw.columns:
            continue
        lower, upper = raw[name], raw[name + UPPER] if name + UPPER in raw.columns else None
        declared = protocol.columns[name] if protocol.columns is not None and name in protocol.columns else None
        if upper is not None:
            count(name, lower > upper, "a lower bound above the upper one")
        if declared is None:
            continue
        if lower.type().is_numeric() and declared.hard is not None:
            low, high = declared.hard
            what = f"a value outside {low:g} to {high:g}, which is impossible"
            count(name, (lower < low) | (lower > high), what)
            if upper is not None:  # infinite: not known from above
                count(name, ((upper < low) | (upper > high)) & (upper != np.inf), what)
        if declared.dtype == "Int64" and lower.type().is_floating():
            finite = (lower != np.inf) & (lower != -np.inf)
            count(name, finite & (lower != lower.floor()), "a fraction where whole numbers are declared")
        if lower.type().is_string() and declared.values:
            known = ", ".join(declared.values)
            count(name, ~lower.isin(list(declared.values)), f"a code that is not declared (known: {known})")
    if counts:
        got = fetch(raw.aggregate(**counts)).to_pylist()[0]
        for i, (name, what) in enumerate(wrong):
            if got[f"w{i}"]:
                raise CohortError(f"Column {name!r}: {int(got[f'w{i}']):,} patients have {what}. {ADVICE}")
    if "patient_id" in table.columns:
        ids = table["patient_id"]
        got = fetch(table.aggregate(n=ids.count(), different=ids.nunique())).to_pylist()[0]
        if got["n"] != got["different"]:
            raise ScreeningError(
                f"{got['n'] - got['different']:,} rows belong to patients that occur more than once. A screening counts"
                " patients: keep one row, at one index date, for each."
            )
