"""Small tables of our own beside a hospital's events, for as long as a build takes."""

from __future__ import annotations


def create(backend, name: str, table):
    """An Arrow table as a temporary table of the backend (in Spark, which has none, a temporary view); an Ibis table.

    Nothing is written to the database's own storage.
    """
    if backend.name != "pyspark":
        return backend.create_table(name, table, temp=True)
    session(backend).createDataFrame(table).createOrReplaceTempView(name)
    return backend.table(name)


def drop(backend, name: str) -> None:
    """Take it away again."""
    if backend.name != "pyspark":
        backend.drop_table(name, force=True)
    else:
        session(backend).catalog.dropTempView(name)


def session(backend):
    """The Spark session of an Ibis connection."""
    return backend.raw_sql("SELECT 1").sparkSession
