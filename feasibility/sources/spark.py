"""Building a cohort inside Spark: every worker builds the patients of its own part, and only counts come back.

A patient's columns depend on that patient's events alone, so patients can be dealt into parts. Spark sorts the events
into parts and writes them as Parquet; a task then gets the *number* of its part, not its rows, reads the files itself
and builds with the embedded DuckDB, the same code as on a laptop. Handing frames from the JVM to Python instead costs
four to eight times as much, and joining events AS OF a date three to ten times.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feasibility.bounded import UPPER
from feasibility.cohort import temporary
from feasibility.cohort.build import build_cohort
from feasibility.cohort.read import installed_columns, read_cohort
from feasibility.cohort.write import write_cohort
from feasibility.errors import CohortError, FeasibilityError
from feasibility.sources.events import TABLES
from feasibility.sources.extract import Extract

PATIENTS_A_PART = 50_000
LEAST_PARTS = 8
AT_ONCE = 4
"""Event tables that are dealt at the same time: a small one leaves most of a cluster idle."""
RECORD = "record.json"
PER_CODE = ("found_by_name",)
"""Notes that count codes, not patients: parts that share a code do not add up."""


@dataclass(frozen=True)
class SparkCohort:
    """A cohort that lies in Spark: ``table`` is an Ibis table with a row per patient and index date.

    ``record`` is what ``cohort.attrs["feasibility"]`` of a cohort in memory holds: counts, settings, fingerprint.
    """

    table: Any
    folder: Path
    record: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class _Plan:
    """What a task needs to know; it travels to the workers."""

    folder: str
    tables: tuple[str, ...]
    source: str
    facts: Mapping[str, Any]
    index: Any
    columns: Any
    settings: Any
    codelists: tuple[str, ...]


def build_on_spark(
    extract: Extract,
    index,
    folder: str | Path,
    columns=None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
    *,
    codelists: Iterable[str] = (),
    parts: int | None = None,
) -> SparkCohort:
    """The cohort of an extract in Spark, built by its workers and left in Spark, cell for cell as ``build_cohort``'s.

    Parameters
    ----------
    extract : event tables in Spark: ``omop(con)`` or ``read_events(con)`` with an Ibis Spark connection.
    index, columns, settings, progress, codelists : as for ``build_cohort``; ``codelists`` are paths on the workers.
    folder : new or empty, on storage that the driver and every worker see under this path. It will hold patients:
        ``cohort`` (Parquet, one file a part) and ``record.json`` (counts). The events are removed from it at the end.
    parts : into how many parts patients are dealt; by default 50,000 a part, at least 8. A worker holds one at a time.

    Returns
    -------
    SparkCohort; ``count_patterns(built.table, protocol)`` then counts in Spark. The driver sees counts only.

    Raises
    ------
    CohortError
        For an extract that is not in Spark, a folder in use, or an index that yields nobody.
    """
    import ibis

    con = extract.tables["patients"].get_backend()
    if con.name != "pyspark":
        raise CohortError(f"{extract.source} is in {con.name}, not in Spark: use build_cohort.")
    folder = Path(folder).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise CohortError(f"{folder}: the folder is not empty; a cohort is built into a folder of its own.")
    columns = installed_columns() if columns is None else columns
    report = progress or (lambda stage, share: None)
    (folder / "cohort").mkdir(parents=True, exist_ok=True)
    session = temporary.session(con)
    parts = parts or max(LEAST_PARTS, -(-extract.tables["patients"].count().to_pyarrow().as_py() // PATIENTS_A_PART))
    facts = {"synthetic": True} if extract.facts.get("synthetic") else {}
    plan = _Plan(
        str(folder), tuple(extract.tables), extract.source, facts, index, columns, settings, tuple(map(str, codelists))
    )
    try:
        report("dealing events", 0.0)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = pool.map(lambda one: _deal(con, session, *one, parts, folder), extract.tables.items())
            for i, name in enumerate(done):
                report(name, 0.5 * (i + 1) / len(extract.tables))
        report("building", 0.5)
        told = _run(session, plan, "build", {part: {} for part in range(parts)})
    finally:
        shutil.rmtree(folder / "events", ignore_errors=True)
    built = {part: one for part, one in told.items() if one["columns"]}
    if not built:
        raise CohortError(f"{extract.source}: nobody is left to screen by {index}.")
    every = {name for one in built.values() for name in one["columns"]}
    # A column has an upper bound in the parts where some value is not exact; files of one table have the same columns.
    order = [p for name in columns for p in (name, name + UPPER) if p in every]
    narrow = {part: {"order": order} for part, one in built.items() if one["columns"] != order}
    if narrow:
        _run(session, plan, "widen", narrow)
    record = merged([one["record"] for one in built.values()], extract.quality)
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    report("done", 1.0)
    # Not con.read_parquet: it drops file://, and a cluster would look in its own file system.
    name = ibis.util.gen_name("feasibility_cohort")
    session.read.parquet((folder / "cohort").as_uri()).createOrReplaceTempView(name)
    return SparkCohort(con.table(name), folder, record)


def _deal(con, session, name: str, table, parts: int, folder: Path) -> str:
    """One event table as Parquet, a file a part, each sorted by patient."""
    from pyspark.sql import functions as f

    view = f"feasibility_events_{name}"
    con.create_view(view, table, overwrite=True)
    part = f.expr(f"pmod(xxhash64(coalesce(pid, '')), {parts})")
    events = session.table(view).withColumn("part", part).repartition(parts, "part")
    target = folder / "events" / name
    events.sortWithinPartitions("part", "pid").write.partitionBy("part").parquet(target.as_uri())
    session.catalog.dropTempView(view)
    return name


def _run(session, plan: _Plan, what: str, jobs: dict[int, dict]) -> dict[int, dict]:
    """What every part's task told; a task knows its part by number and reads its files itself."""
    rows = [(part, json.dumps(job)) for part, job in jobs.items()]
    frame = session.createDataFrame(rows, "part long, job string").repartitionByRange(len(rows), "part")
    done = frame.mapInArrow(functools.partial(_task, plan, what), "part long, told string").collect()
    told = {row["part"]: json.loads(row["told"]) for row in done}
    wrong = next((one["error"] for one in told.values() if "error" in one), None)
    if wrong:
        raise CohortError(wrong)
    return told


def _task(plan: _Plan, what: str, batches):
    """Runs on a worker."""
    import pyarrow as pa

    for batch in batches:
        for one in batch.to_pylist():
            try:
                told = _WORK[what](plan, one["part"], **json.loads(one["job"]))
            except FeasibilityError as error:
                told = {"error": str(error)}
            yield pa.RecordBatch.from_pylist([{"part": one["part"], "told": json.dumps(told)}])


def _build(plan: _Plan, part: int) -> dict:
    import ibis

    # Spark runs one task a core: each keeps to one thread.
    con = ibis.duckdb.connect(threads=1)
    tables = {}
    for name in plan.tables:
        files = sorted((Path(plan.folder) / "events" / name / f"part={part}").glob("*.parquet"))
        physical = TABLES[name].physical()
        if files:
            tables[name] = con.read_parquet(files, table_name=name, hive_partitioning=False).select(*physical)
        else:
            tables[name] = con.create_table(name, schema=ibis.schema(physical))
    extract = Extract(tables, plan.source, [], plan.facts)
    ids = plan.index.for_columns(plan.columns, plan.columns.settings() | dict(plan.settings or {})).pairs(extract)[0]
    if not len(ids):
        return {"columns": []}
    frame = build_cohort(extract, plan.index, plan.columns, plan.settings, codelists=plan.codelists)
    _write(frame, plan, part)
    return {"columns": list(frame.columns), "record": dict(frame.attrs["feasibility"])}


def _widen(plan: _Plan, part: int, order: list[str]) -> dict:
    """The part with the upper bounds that other parts have: of an exact value, the value."""
    frame = read_cohort(_path(plan, part), columns=plan.columns)
    for name in order:
        if name not in frame:
            frame[name] = frame[name.removesuffix(UPPER)]
    attrs = frame.attrs
    frame = frame[order]
    frame.attrs = attrs
    _write(frame, plan, part)
    return {}


_WORK = {"build": _build, "widen": _widen}


def _path(plan: _Plan, part: int) -> Path:
    return Path(plan.folder) / "cohort" / f"part-{part:05d}.parquet"


def _write(frame, plan: _Plan, part: int) -> None:
    """Whole or not at all: a task may run twice."""
    path = _path(plan, part)
    unfinished = path.with_name(f"_{path.stem}-{os.getpid()}.parquet")
    write_cohort(frame, unfinished, plan.columns)
    os.replace(unfinished, path)


def merged(records: list[dict], quality: list[dict]) -> dict:
    """One record from those of the parts: what counts patients, cells or events is added up."""
    events: dict[tuple, dict] = {}
    for one in (event for record in records for event in record["events"]):
        key = tuple(one[k] for k in ("column", "file_column", "kind", "reason"))
        seen = events.setdefault(key, one | {"n": 0, "rows": []})
        seen["n"] = max(seen["n"], one["n"]) if one["kind"] in PER_CODE else seen["n"] + one["n"]
    unknown: dict[str, dict[str, int]] = {}
    for record in records:
        for name, reasons in record["unknown"].items():
            mine = unknown.setdefault(name, {})
            for reason, n in reasons.items():
                mine[reason] = mine.get(reason, 0) + n
    absent = [set(record["columns_absent"]) for record in records]
    return records[0] | {
        "n_rows": sum(record["n_rows"] for record in records),
        "n_patients": sum(record["n_patients"] for record in records),
        "columns_absent": [n for n in records[0]["columns_absent"] if all(n in one for one in absent)],
        "events": [*quality, *events.values()],
        "unknown": unknown,
    }
