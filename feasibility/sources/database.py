"""Event tables that lie in a database in the canonical layout, as a warehouse or a Spark catalogue holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feasibility.errors import ReadError, did_you_mean
from feasibility.sources.events import LAST, MANDATORY, TABLES, EventTable
from feasibility.sources.extract import Extract

KINDS = {"string": "is_string", "float64": "is_numeric", "int64": "is_integer", "boolean": "is_boolean"}


def read_events(
    con,
    schema: str | None = None,
    *,
    tables: Mapping[str, str] | None = None,
    absent: Iterable[str] = (),
) -> Extract:
    """The event tables of a database whose tables have the names and columns of the canonical layout.

    For a warehouse that offers its events as views of that layout; nothing is copied and nothing is created.

    Parameters
    ----------
    con : an Ibis connection (Spark, PostgreSQL, DuckDB).
    schema : where the tables lie, if not in the default schema.
    tables : the name of a table where it is not that of the layout (``{"labs": "lab_results_2025"}``).
    absent : mandatory tables this hospital does not have; the columns made from them are unknown for everyone.

    Returns
    -------
    Extract. Columns are typed (dates as DATE, numbers as numbers); ``row_id`` numbers the rows of each table, since
    it decides among equal results. A missing ``d_last`` of a date ``d`` means that ``d`` is exact; any other column
    a table lacks is unknown throughout.

    Raises
    ------
    ReadError
        For a missing mandatory table, a table without ``pid`` or ``row_id``, or a column of another type.

    >>> import ibis
    >>> con = ibis.duckdb.connect()
    >>> _ = con.raw_sql("CREATE TABLE patients AS SELECT 1 AS row_id, 'p1' AS pid, DATE '1960-02-29' AS birth_date")
    >>> read_events(con, absent=["diagnoses", "labs", "courses"])
    Extract('events in duckdb', tables: patients)
    """
    source = f"events in {con.name}"
    renamed, absent = dict(tables or {}), set(absent)
    for name in (*renamed, *absent):
        if name not in TABLES:
            raise ReadError(f"{source}: no event table is called {name!r}.{did_you_mean(name, TABLES)}")
    there = {given.lower(): given for given in (con.list_tables(database=schema) if schema else con.list_tables())}
    result = {}
    for name, table in TABLES.items():
        given = there.get(renamed.get(name, name).lower())
        if given is None and name in renamed:
            raise ReadError(f"{source}: table {name!r} is said to be {renamed[name]!r}, which is not there.")
        if given is not None and name not in absent:
            result[name] = _shaped(con.table(given, database=schema) if schema else con.table(given), table, source)
    lacking = [n for n in MANDATORY if n not in result and n not in absent - {"patients"}]
    if not {"courses", "responses"} & (result.keys() | absent):
        lacking.append("courses (or responses)")
    if lacking:
        where = f"schema {schema!r}" if schema else "the default schema"
        raise ReadError(
            f"{source}: there is no table {', '.join(lacking)} in {where}. Say with tables= which it is, or with"
            " absent= that the source has none."
        )
    return Extract(result, source)


def _shaped(source, table: EventTable, where: str):
    """The table with exactly the columns of the layout, each of its declared type."""
    import ibis

    have = {column.lower(): source[column] for column in source.columns}
    for needed in ("pid", "row_id"):
        if needed not in have:
            raise ReadError(f"{where}: table {table.name!r} has no column {needed!r}.{did_you_mean(needed, have)}")
    columns = {}
    for name, dtype in table.physical().items():
        base = name.removesuffix(LAST)
        given = name if name in have else base if base in table.dates else ""
        if given in have:
            _check_type(have[given].type(), given, dtype, f"{where}: {table.name}.{given}")
            columns[name] = have[given].cast(dtype)
        elif name == "fact_id":
            columns[name] = ibis.literal(f"{table.name}:") + have["row_id"].cast("string")
        else:
            columns[name] = ibis.null(dtype)
    return source.select(**columns)


def _check_type(kind, column: str, dtype: str, where: str) -> None:
    fits = kind.is_date() or kind.is_timestamp() if dtype == "date" else getattr(kind, KINDS[dtype])()
    if not fits and not kind.is_null() and not (column == "pid" and kind.is_integer()):
        raise ReadError(
            f"{where} is {kind} in the database, not {dtype}; casting could fail half-way."
            " Make a view in which it has that type."
        )
