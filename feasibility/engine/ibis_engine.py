"""Counting patterns where the table lives: the same criteria on Ibis columns (DuckDB, PostgreSQL, Spark).

SQL's NULL logic is the three-valued logic of the pandas reference. Two things are made alike first: NaN becomes NULL
(``NaN > 60`` is true in these databases), and one missing end of a bounded value becomes an infinite one.
"""

from __future__ import annotations

import numpy as np

from feasibility.bounded import UPPER, Range
from feasibility.errors import ScreeningError

STATUS_BITS = 31
"""Criteria per integer of two-bit status codes."""


def hand_out(table, names) -> dict:
    """The named columns of an Ibis table as criteria see them."""
    columns = {}
    for name in names:
        lower = _clean(table[name])
        if name + UPPER in table.columns:
            import ibis

            upper = _clean(table[name + UPPER])
            inf = ibis.literal(float("inf"))
            both = lower.cast("float64"), upper.cast("float64")
            lo = ibis.ifelse(both[0].isnull() & both[1].notnull(), -inf, both[0])
            hi = ibis.ifelse(both[1].isnull() & both[0].notnull(), inf, both[1])
            columns[name] = Range(lo, hi)
        else:
            columns[name] = lower
    return columns


def _clean(column):
    return column.nullif(float("nan")) if column.type().is_floating() else column


class _Absent:
    """A column that the readings in force do not read: unknown, whatever it is compared with."""

    __hash__ = None

    def _unknown(self, *_):
        import ibis

        return ibis.null("boolean")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __invert__ = _unknown

    def __and__(self, other):
        return self._unknown() & other

    def __or__(self, other):
        return self._unknown() | other

    __rand__, __ror__ = __and__, __or__


def masks(table, protocol) -> dict:
    """One three-valued Ibis expression per assessable criterion: whether it is met as worded."""
    absent = [c for c in protocol.reads if c not in table.columns]
    if absent:
        raise ScreeningError(f"The table has no column {absent[0]!r}, which {protocol.reads[absent[0]][0]} needs.")
    columns = hand_out(table, protocol.reads)
    answers = {}
    for criterion in protocol.assessable:
        unread = {c: _Absent() for c in criterion.columns if c not in columns}
        try:
            answers[criterion.id] = criterion.evaluate(columns | unread)
        except Exception as error:
            raise ScreeningError(
                f"Criterion {criterion.id} ({criterion.name}) does not run on a database: {error}."
                " Use comparisons, &, |, ~, + - * with thresholds and the kleene helpers only."
            ) from error
    return answers


def count_statuses(table, protocol):
    """Packed failed and unknown words and their counts, computed by the database; no patient row leaves it."""
    import ibis

    answers = masks(table, protocol)
    codes: dict[str, object] = {}
    for i, criterion in enumerate(protocol.assessable):
        met = answers[criterion.id]
        # Status codes: 0 satisfied, 1 unknown, 2 failed.
        if_met, if_not = (2, 0) if criterion.kind == "exclusion" else (0, 2)
        one = ibis.cases((met.isnull(), 1), (met, if_met), else_=if_not)
        name = f"s{i // STATUS_BITS}"
        part = one.cast("int64") * ibis.literal(4 ** (i % STATUS_BITS), type="int64")
        codes[name] = part if name not in codes else codes[name] + part
    counted = table.select(**codes).group_by(list(codes)).aggregate(n=lambda t: t.count())
    return _unpack(counted.to_pyarrow(), len(protocol.assessable))


def _unpack(arrow, n_criteria: int):
    from feasibility.patterns import pack

    failed, unknown = [], []
    for i in range(n_criteria):
        code = arrow[f"s{i // STATUS_BITS}"].to_numpy()
        status = (code >> np.int64(2 * (i % STATUS_BITS))) & 3
        failed.append(status == 2)
        unknown.append(status == 1)
    rows = arrow.num_rows
    return pack(failed, rows), pack(unknown, rows), arrow["n"].to_numpy()
