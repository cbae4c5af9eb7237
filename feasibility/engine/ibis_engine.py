"""Counting patterns where the table lives: the same criteria on Ibis columns (DuckDB, PostgreSQL, Spark).

SQL's NULL logic is the three-valued logic of the pandas reference. Before a criterion sees a column the engines are
made alike: NaN becomes NULL (``NaN > 60`` is true in these databases), every number is a double or a 64-bit integer,
and one missing end of a bounded value becomes an infinite one. What cannot be made alike is refused before any query.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER, Range
from feasibility.engine.ibis_checks import check_kinds, check_table, portable
from feasibility.errors import ScreeningError, did_you_mean

STATUS_BITS = 31
"""Criteria per integer of two-bit status codes: 62 bits, so that the sign of a 64-bit integer is never touched."""
STATUS = {"inclusion": (0, 2), "exclusion": (2, 0)}
"""Status codes of a criterion that is met, and of one that is not: 0 satisfied, 2 failed; 1 is unknown."""


def cleaned(table, names: Iterable[str]):
    """The named columns (and their upper bounds) of an Ibis table, the same on every engine."""
    import ibis

    columns = {}
    for name in names:
        if name not in table.columns:
            continue
        lower = _clean(table[name])
        if name + UPPER in table.columns:
            lower, upper = lower.cast("float64"), _clean(table[name + UPPER]).cast("float64")
            inf = ibis.literal(float("inf"))
            columns[name] = ibis.ifelse(lower.isnull() & upper.notnull(), -inf, lower)
            columns[name + UPPER] = ibis.ifelse(upper.isnull() & lower.notnull(), inf, upper)
        else:
            columns[name] = lower
    # Criteria without a column of this table (all of them unread) still need its rows.
    return table.select(**columns) if columns else table


def hand_out(clean, names: Iterable[str]) -> dict:
    """The columns of a cleaned table as criteria see them."""
    return {
        name: Range(clean[name], clean[name + UPPER]) if name + UPPER in clean.columns else clean[name]
        for name in names
        if name in clean.columns
    }


def _clean(column):
    kind = column.type()
    if kind.is_floating() or kind.is_decimal():
        return column.cast("float64").nullif(float("nan"))
    return column.cast("int64") if kind.is_integer() else column


class _Absent:
    """A column that the readings in force do not read, or that is missing: unknown, whatever it is compared with."""

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

    def _itself(self, *_):
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _itself


def masks(table, protocol, missing_columns: str = "error") -> dict:
    """One three-valued Ibis expression per assessable criterion: whether it is met as worded.

    Raises ScreeningError for a column that is missing or of another kind than declared, and for a criterion that is not
    the same on every engine; nothing is asked of the database.
    """
    return _masks(cleaned(table, protocol.reads), table, protocol, missing_columns)


def _masks(clean, table, protocol, missing_columns: str) -> dict:
    absent = [c for c in protocol.reads if c not in table.columns]
    if absent and missing_columns == "error":
        raise ScreeningError(
            f"The table has no column {absent[0]!r}, which {protocol.reads[absent[0]][0]} needs."
            f"{did_you_mean(absent[0], table.columns)}"
        )
    check_kinds(table, protocol)
    columns = hand_out(clean, protocol.reads)
    answers = {}
    for criterion in protocol.assessable:
        unread = {c: _Absent() for c in criterion.columns if c not in columns}
        try:
            answer = criterion.evaluate(columns | unread)
        except Exception as error:
            raise ScreeningError(
                f"Criterion {criterion.id} ({criterion.name}) does not run on a database: {error}."
                " Use comparisons, &, |, ~, + - * with thresholds and the kleene helpers only."
            ) from error
        answers[criterion.id] = portable(answer._unknown() if isinstance(answer, _Absent) else answer, criterion)
    return answers


def count_statuses(table, protocol, *, missing_columns: str = "error", check: bool = True):
    """Packed failed and unknown words and their counts, computed by the database; no patient row leaves it."""
    failed, unknown, n, _ = count_strata(table, protocol, (), missing_columns=missing_columns, check=check)
    return failed, unknown, n


def count_strata(table, protocol, by: Iterable[str] = (), *, missing_columns: str = "error", check: bool = True):
    """The same per stratum: (failed, unknown, n, strata); ``strata`` is None without ``by``.

    With ``check`` one query before looks whether patients occur twice and values are as declared, as ``screen`` does.
    """
    by = list(by)
    for name in by:
        if name not in table.columns:
            raise ScreeningError(f"Stratum {name!r} is not a column of the table.{did_you_mean(name, table.columns)}")
    clean = cleaned(table, [*protocol.reads, *(name for name in by if name not in protocol.reads)])
    answers = _masks(clean, table, protocol, missing_columns)
    if check:
        raw = [p for name in protocol.reads for p in (name, name + UPPER) if p in table.columns]
        check_table(table, table.select(**{p: _clean(table[p]) for p in raw}) if raw else table, protocol)
    codes: dict[str, object] = {}
    for i, criterion in enumerate(protocol.assessable):
        name = f"s{i // STATUS_BITS}"
        part = _status(answers[criterion.id], criterion.kind) * _int(4 ** (i % STATUS_BITS))
        codes[name] = part if name not in codes else codes[name] + part
    strata = {f"g{i}": clean[name] for i, name in enumerate(by)}
    keys = [*strata, *codes]
    counted = clean.select(**strata, **codes).group_by(keys).aggregate(n=lambda t: t.count())
    arrow = fetch(counted)
    if not arrow.num_rows:
        raise ScreeningError("The cohort is empty: there is no patient to screen.")
    failed, unknown = _unpack(arrow, len(protocol.assessable))
    n = arrow["n"].to_numpy().astype(np.int64)
    if by:
        return failed, unknown, n, _strata(arrow, clean, by)
    order = _order(failed, unknown, len(protocol.assessable))
    return failed[order], unknown[order], n[order], None


def _status(met, kind: str):
    """The status code of each patient; the answer is written once, since SQL repeats what is named twice."""
    if_met, if_not = STATUS[kind]
    # A truth value becomes a number in two steps: PostgreSQL knows no cast to a 64-bit one.
    code = met.cast("int32").cast("int64") * _int(if_met - if_not) + _int(if_not)
    return code.fill_null(_int(1))


def _int(value: int):
    import ibis

    return ibis.literal(value, type="int64")


def fetch(expression):
    """The result of a query as an Arrow table; from Spark without its detour over pandas."""
    backend = expression.get_backend()
    if backend.name == "pyspark":
        frame = backend.raw_sql(backend.compile(expression))
        if hasattr(frame, "toArrow"):  # Spark 4
            with _compiled_in_pieces(frame.sparkSession):
                return frame.toArrow()
    return expression.to_pyarrow()


@contextlib.contextmanager
def _compiled_in_pieces(session):
    """Spark makes one Java method of a stage, and Java does not compile one above 8,000 bytes: it is then interpreted.

    Without it Spark compiles dozens of criteria expression by expression, and is three times as fast.
    """
    name = "spark.sql.codegen.wholeStage"
    try:
        before = session.conf.get(name)
        session.conf.set(name, "false")
    except Exception:  # noqa: BLE001 - where a session may not change its settings it is only slower
        yield
        return
    try:
        yield
    finally:
        session.conf.set(name, before)


def _unpack(arrow, n_criteria: int):
    from feasibility.patterns import pack

    failed, unknown = [], []
    for i in range(n_criteria):
        code = arrow[f"s{i // STATUS_BITS}"].to_numpy()
        status = (code >> np.int64(2 * (i % STATUS_BITS))) & 3
        failed.append(status == 2)
        unknown.append(status == 1)
    rows = arrow.num_rows
    return pack(failed, rows), pack(unknown, rows)


def _order(failed: np.ndarray, unknown: np.ndarray, n_criteria: int) -> np.ndarray:
    """The order in which screening lists patterns: a database returns groups in any."""
    from feasibility.patterns import WORD

    if n_criteria <= WORD // 2:
        return np.lexsort((failed[:, 0], unknown[:, 0]))
    return np.lexsort([*failed.T, *unknown.T][::-1])


def _strata(arrow, clean, by: list[str]) -> pd.DataFrame:
    """The strata in the dtypes of a cohort."""
    result = {}
    for i, name in enumerate(by):
        kind = clean[name].type()
        dtype = (
            pd.BooleanDtype() if kind.is_boolean() else pd.Int64Dtype() if kind.is_integer()
            else pd.Float64Dtype() if kind.is_floating() else pd.StringDtype("python")
        )  # fmt: skip
        result[name] = pd.array(arrow[f"g{i}"].to_pylist(), dtype=dtype)
    return pd.DataFrame(result)
