"""Small SQL functions (DuckDB macros) that every FHIR query uses: references, dates, code systems, answers."""

from __future__ import annotations

from collections.abc import Mapping

from feasibility.sources.events import TABLES
from feasibility.sources.vocabulary import answers, code_systems

EVENT_SYSTEM, COLUMN_SYSTEM = "urn:feasibility:event", "urn:feasibility:column"


def quoted(text: str) -> str:
    """``text`` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def define(duck, systems: Mapping[str, str], timezone: str) -> None:
    """Define the macros in this connection.

    ``fz_id`` the id in a reference; ``fz_day`` / ``fz_last`` the first and last possible day of a FHIR date;
    ``fz_system`` the code system of an address; ``fz_text`` the words of a CodeableConcept; ``fz_codings`` its codings,
    or its text as one local coding.
    """
    known = code_systems("fhir") | dict(systems)
    branches = " ".join(f"WHEN {quoted(address)} THEN {quoted(name)}" for address, name in known.items())
    told = " ".join(f"WHEN {quoted(code)} THEN {quoted(text)}" for (_, code), text in answers().items())
    # A date with an offset is the hospital's own day as written, unless the run names a time zone to convert to.
    day = "s[1:10]"
    if timezone:
        day = (
            "CASE WHEN length(s) > 10 AND regexp_matches(s, '(Z|[+-]\\d\\d:?\\d\\d)$') "
            f"THEN (try_cast(s AS TIMESTAMPTZ) AT TIME ZONE {quoted(timezone)})::DATE::VARCHAR ELSE s[1:10] END"
        )
    for macro in (
        "fz_id(r) AS CASE WHEN r LIKE 'urn:uuid:%' THEN r[10:] WHEN r LIKE 'Patient/%' AND NOT contains(r[9:], '/') "
        "THEN r[9:] ELSE nullif(regexp_extract(regexp_replace(r, '/_history/.*$', ''), "
        "'^(?:.*/)?(?:urn:oid:)?([^/:?#|]+)$', 1), '') END",
        "fz_number(x) AS regexp_replace(x::VARCHAR, '[.]0$', '')",
        f"fz_day(s) AS CASE length(s) WHEN 4 THEN try_cast(s || '-01-01' AS DATE) WHEN 7 THEN try_cast(s || '-01' AS "
        f"DATE) ELSE try_cast({day} AS DATE) END",
        f"fz_last(s) AS CASE length(s) WHEN 4 THEN try_cast(s || '-12-31' AS DATE) WHEN 7 THEN last_day(try_cast(s || "
        f"'-01' AS DATE)) ELSE try_cast({day} AS DATE) END",
        f"fz_system(s) AS CASE s {branches} ELSE 'local' END",
        f"fz_told(c) AS CASE c {told} END",
        "fz_text(c) AS coalesce(c.text, c.coding[1].display, c.coding[1].code)",
        "fz_answer(c) AS coalesce(fz_told(c.coding[1].code), fz_told(c.coding[2].code), c.text, c.coding[1].display, "
        "c.coding[1].code)",
        "fz_codings(c) AS CASE WHEN len(c.coding) > 0 THEN c.coding ELSE [{'system': NULL::VARCHAR, 'code': c.text, "
        "'display': c.text}] END",
        "fz_unit(q) AS coalesce(CASE WHEN q.system IS NULL OR q.system = 'http://unitsofmeasure.org' THEN q.code END, "
        "q.unit, q.code)",
    ):
        duck.execute(f"CREATE OR REPLACE MACRO {macro}")


def create(duck, name: str, columns: Mapping[str, str], source: str) -> None:
    """``CREATE TABLE`` of event table ``name``: ``columns`` maps its columns to SQL, the others are NULL.

    A date column's ``_last`` companion repeats it unless given.
    """
    duck.execute(f"CREATE TABLE {name} AS {select(name, columns, source)}")


def select(name: str, columns: Mapping[str, str], source: str) -> str:
    """The SELECT behind ``create``."""
    types = {"string": "VARCHAR", "date": "DATE", "float64": "DOUBLE", "int64": "BIGINT", "boolean": "BOOLEAN"}
    parts = []
    for column, dtype in TABLES[name].physical().items():
        value = columns.get(column)
        if value is None and column.endswith("_last"):
            value = columns.get(column.removesuffix("_last"))
        parts.append(f"({value or 'NULL'})::{types[dtype]} AS {column}")
    return f"SELECT {', '.join(parts)} FROM {source}"
