"""An OMOP Common Data Model, from files or a database, as canonical event tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from feasibility.cohort.made_up import marked
from feasibility.errors import ReadError
from feasibility.sources.extract import Extract, event

_SETTINGS = ("schema", "tables", "source_vocabulary", "ancestors")
_LOCAL = ("courses", "responses", "transplants", "infections", "flow", "repro", "transfusions", "performance", "echo",
          "allergies")  # fmt: skip
_CONCEPTS = {
    "condition_occurrence": ("diagnoses", "condition_concept_id", "condition_start_date"),
    "measurement": ("labs", "measurement_concept_id", "measurement_date"),
    "observation": ("labs", "observation_concept_id", "observation_date"),
    "drug_exposure": ("medications", "drug_concept_id", "drug_exposure_start_date"),
    "procedure_occurrence": ("procedures", "procedure_concept_id", "procedure_date"),
}


def omop(
    source,
    mapping: Mapping | str | Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Extract:
    """The event tables of an OMOP CDM v5.3 or v5.4.

    Parameters
    ----------
    source:
        A folder of CSV or Parquet files named like the CDM tables (any case, .gz allowed), a DuckDB file, or any Ibis
        connection (PostgreSQL, DuckDB, ...). Only ``person`` must be there; what else is absent makes its columns
        unknown and is listed in ``quality``.
    mapping:
        A dict or TOML file with any of: ``schema`` (where the CDM lies in a database), ``tables`` (CDM name to the name
        used), ``source_vocabulary`` (CDM table to the code system of its ``*_source_value``, e.g.
        ``condition_occurrence = "icd10"``; without it such codes are ``local``), ``ancestors`` (OMOP concept ids whose
        descendants count as them; by default those named in the code lists; needs ``concept_ancestor``).
    progress:
        Called with what is being read and the fraction done.

    Raises
    ------
    ReadError
        If there is no person table, a file is cut off or packed badly, or a setting is unknown.
    """
    from feasibility.sources.omop_cdm import CDM, EVENT_TABLES, NEEDED, Cdm
    from feasibility.sources.vocabulary import check_system, codelist_concepts, read_mapping

    settings = read_mapping(mapping, _SETTINGS)
    stated = {t: check_system(s, "source_vocabulary") for t, s in settings.get("source_vocabulary", {}).items()}
    for group in ("tables", "source_vocabulary"):
        for table in settings.get(group, {}):
            if table not in CDM:
                from feasibility.errors import did_you_mean

                raise ReadError(f"The mapping's {group} names {table!r}.{did_you_mean(table, CDM)}")
    progress = progress or (lambda stage, fraction: None)
    con, tables, quality, facts, name = _open(source, settings, progress)
    ancestors = settings.get("ancestors")
    facts["ancestors"] = set(codelist_concepts() if ancestors is None else ancestors)
    cdm = Cdm(con, tables, name, quality, facts)
    for table, needed in NEEDED.items():
        if table in tables:
            lacking = [c for c in needed if c not in tables[table].columns]
            if lacking:
                raise ReadError(f"{name}: table {table} has no column {', '.join(lacking)}; it is not an OMOP table.")
        elif table in EVENT_TABLES and table not in facts.get("files", {}):
            quality.append(event(EVENT_TABLES[table], table, "table_absent", "missing", 0))
    progress("events", 0.9)
    _count_quality(cdm)
    result = _events(cdm, stated, own=isinstance(source, str | Path) and Path(source).is_dir())
    progress("done", 1.0)
    facts.pop("ancestors")
    return Extract(result, name, quality, facts)


def _open(source, settings: dict, progress) -> tuple:
    """(connection, CDM tables with columns in lower case, quality, facts, name)."""
    import ibis

    from feasibility.sources.omop_cdm import find_tables, lower_columns
    from feasibility.sources.omop_files import load_folder

    renamed = settings.get("tables", {})
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            con, tables, quality, facts = load_folder(path, renamed, progress)
            tables = {t: lower_columns(table, f"{path.name}/{t}") for t, table in tables.items()}
            told = {"synthetic": True} if marked(path) else {}
            return con, tables, quality, {"files": facts} | told, f"OMOP folder {path.name}"
        if not path.exists():
            raise ReadError(f"There is no folder or file {str(path)!r}.")
        try:
            con = ibis.duckdb.connect(path, read_only=True)
        except Exception as error:  # DuckDB's own class
            raise ReadError(
                f"{path.name}: neither a folder of OMOP files nor a DuckDB file ({str(error).splitlines()[0]})."
            ) from None
        name = f"OMOP database {path.name}"
    else:
        con, name = source, f"OMOP in {source.name}"
    schema = settings.get("schema")
    available = {}
    for given in con.list_tables(database=schema) if schema else con.list_tables():
        available.setdefault(given, given)
    found = find_tables(available, renamed, name)
    if "person" not in found:
        where = f"schema {schema!r}" if schema else "the default schema (name another with schema = ... in the mapping)"
        raise ReadError(f"{name}: there is no table person in {where}.")
    tables = {t: con.table(given, database=schema) if schema else con.table(given) for t, given in found.items()}
    return con, {t: lower_columns(table, f"{name}/{t}") for t, table in tables.items()}, [], {}, name


def _events(cdm, stated: dict[str, str], own: bool) -> dict:
    import ibis

    from feasibility.sources import omop_drugs, omop_labs, omop_rows

    result: dict = {}

    def add(name: str, expression, keep_if_empty: bool = True) -> None:
        settled = _settle(cdm.con, name, expression, own)
        # A table derived from others is there only if it holds something: none found says nothing.
        if keep_if_empty or settled.limit(1).count().to_pyarrow().as_py():
            result[name] = settled

    add("patients", omop_rows.patients(cdm))
    if "condition_occurrence" in cdm:
        parts = [omop_rows.conditions(cdm, stated.get("condition_occurrence", "local"))]
        if "observation" in cdm:
            parts.append(omop_labs.statements(cdm, stated.get("observation", "local")))
        add("diagnoses", ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0])
    if "drug_exposure" in cdm:
        add("medications", omop_drugs.medications(cdm, stated.get("drug_exposure", "local")))
    if "procedure_occurrence" in cdm:
        add("procedures", omop_rows.procedures(cdm, stated.get("procedure_occurrence", "local")))
    observed = omop_rows.observed(cdm)
    if observed is not None:
        add("observed", observed)
    derived: dict = {}
    if "measurement" in cdm:
        add("labs", omop_labs.labs(cdm, stated.get("measurement", "local")))
        derived |= {name: [omop_labs.routed(result["labs"], name)] for name in ("performance", "echo")}
    if "episode" in cdm:
        derived["courses"] = [omop_rows.courses(cdm)]
    if "observation" in cdm:
        derived["allergies"] = [omop_labs.allergies(cdm)]
        for name in _local_names(cdm):
            derived.setdefault(name, []).append(omop_labs.local_events(cdm, name))
    for name, parts in derived.items():
        add(name, ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0], keep_if_empty=False)
    return result


_LARGE = ("diagnoses", "labs", "medications", "procedures")


def _settle(con, name: str, expression, own: bool):
    """The expression as something short to refer to, so that later queries need not translate it again.

    In our own database small tables are made and large ones are views; in a hospital's nothing is created.
    """
    if own and name in _LARGE:
        return con.create_view(name, expression)
    if own:
        return con.create_table(name, expression)
    return con.sql(con.compile(expression), schema=expression.schema())


def _local_names(cdm) -> list[str]:
    from feasibility.sources.omop_labs import LOCAL

    t = cdm.table("observation")
    t = t.filter(t.observation_source_value.startswith(LOCAL))
    words = t.select("observation_source_value").distinct().to_pyarrow().column(0).to_pylist()
    found = {w.removeprefix(LOCAL).split(".")[0] for w in words}
    return [name for name in _LOCAL if name in found]


def _count_quality(cdm) -> None:
    """Rows without a concept or a date, repeated persons, imprecise birth dates: counted by the database itself."""
    from feasibility.sources.omop_labs import LOCAL

    for table, (target, concept, date) in _CONCEPTS.items():
        if table not in cdm:
            continue
        t = cdm.table(table)
        if table == "observation":
            t = t.filter(~t.observation_source_value.fill_null("").startswith(LOCAL))
        key = t[f"{table}_id"]
        counted = t.aggregate(
            n=t.count(),
            keys=key.nunique(),
            unmapped=(t[concept].fill_null(0) == 0).sum(),
            undated=t[date].isnull().sum(),
            anonymous=t.person_id.isnull().sum(),
        )
        row = counted.to_pyarrow().to_pylist()[0]
        cdm.facts.setdefault("rows", {})[table] = row["n"]
        if row["keys"] != row["n"]:
            cdm.renumber.add(table)
            repeated = row["n"] - row["keys"]
            _note(cdm, f"{target}.row_id", f"{table}.{table}_id", "key_repeated", "numbered anew", repeated)
        _note(cdm, f"{target}.code", f"{table}.{concept}", "unmapped", "concept 0", row["unmapped"])
        _note(cdm, f"{target}.{date}", f"{table}.{date}", "undated", "date_missing", row["undated"])
        _note(cdm, f"{target}.pid", f"{table}.person_id", "no_patient", "missing", row["anonymous"])
    p = cdm.table("person")
    imprecise = p.year_of_birth.notnull() & (p.month_of_birth.isnull() | p.day_of_birth.isnull())
    counted = p.aggregate(
        n=p.count(),
        different=p.person_id.nunique(),
        imprecise=imprecise.sum(),
        unmapped=(p.gender_concept_id.fill_null(0) == 0).sum(),
    )
    row = counted.to_pyarrow().to_pylist()[0]
    cdm.facts.setdefault("rows", {})["person"] = row["n"]
    _note(cdm, "patients.pid", "person.person_id", "duplicate", "conflicting", row["n"] - row["different"])
    _note(cdm, "patients.birth_date", "person.year_of_birth", "partial", "date_imprecise", row["imprecise"])
    _note(cdm, "patients.sex", "person.gender_concept_id", "unmapped", "concept 0", row["unmapped"])


def _note(cdm, column: str, file_column: str, kind: str, reason: str, n) -> None:
    if n:
        cdm.quality.append(event(column, file_column, kind, reason, n))
