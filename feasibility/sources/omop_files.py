"""A folder of OMOP files (CSV or Parquet, packed or not) as typed tables in an embedded DuckDB."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from feasibility.errors import ReadError
from feasibility.sources.extract import event
from feasibility.sources.omop_cdm import CDM, EVENT_TABLES, NEEDED
from feasibility.sources.packed import first_line, scan

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")
_IN_MEMORY = 1 << 30
"""Folders larger than this many bytes, as they lie there, are loaded into a temporary database file."""
_SQL = {"key": "VARCHAR", "string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "date": "DATE"}


def files_of(folder: Path, renamed: dict[str, str]) -> dict[str, Path]:
    """CDM table to its file; names in upper or lower case; a table with two files is an error."""
    result: dict[str, Path] = {}
    wanted = {renamed.get(t, t).lower(): t for t in CDM}
    for path in sorted(folder.iterdir()):
        ending = next((e for e in sorted(_ENDINGS, key=len, reverse=True) if path.name.lower().endswith(e)), None)
        table = wanted.get(path.name.lower().removesuffix(ending)) if ending else None
        if table is None:
            continue
        if table in result:
            raise ReadError(f"{folder.name}: {table} is there twice, {result[table].name} and {path.name}. Keep one.")
        result[table] = path
    for table in renamed:
        if table not in result:
            raise ReadError(f"{folder.name}: the mapping says {table} is {renamed[table]!r}, which is not there.")
    return result


def load_folder(folder: Path, renamed: dict[str, str], progress) -> tuple[object, dict, list[dict], dict]:
    """(Ibis connection, CDM tables in it, quality events, facts about each file)."""
    paths = files_of(folder, renamed)
    if "person" not in paths:
        seen = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ReadError(
            f"{folder.name}: there is no person file (person.csv, PERSON.csv.gz, person.parquet), so this is not an "
            f"OMOP folder. It has: {seen}."
        )
    con = _connect(sum(p.stat().st_size for p in paths.values()))
    quality: list[dict] = []
    facts: dict[str, dict] = {}
    for done, (table, path) in enumerate(paths.items()):
        progress(path.name, 0.8 * done / len(paths))
        if path.suffix.lower() == ".parquet":
            con.raw_sql(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({_quoted(str(path))})")
            facts[table] = {"file": path.name}
        else:
            facts[table] = _load_csv(con.con, table, path, quality)
    return con, {t: con.table(t) for t in paths if facts[t].get("loaded", True)}, quality, facts


def _connect(size: int):
    """An embedded database in memory, or in a temporary file for a large folder, removed with the connection."""
    import ibis

    if size <= _IN_MEMORY:
        return ibis.duckdb.connect()
    temporary = tempfile.mkdtemp(prefix="feasibility-omop-")
    con = ibis.duckdb.connect(Path(temporary) / "extract.duckdb")
    weakref.finalize(con, shutil.rmtree, temporary, True)
    return con


def _load_csv(duck, table: str, path: Path, quality: list[dict]) -> dict:
    whole = scan(path)
    header, delimiter = _header(path)
    lower = [h.strip().strip('"').lower() for h in header]
    lacking = [c for c in NEEDED[table] if c not in lower]
    target = EVENT_TABLES.get(table, "")
    if lacking:
        if table == "person":
            raise ReadError(f"{path.name}: the header lacks {', '.join(lacking)}; it has {', '.join(lower[:8])}.")
        quality.append(event(target, path.name, "table_unusable", f"no column {lacking[0]}", max(whole.lines - 1, 0)))
        return {"file": path.name, "loaded": False, "columns": lower}
    doubled = {c for c in lower if lower.count(c) > 1 and c in CDM[table]}
    if doubled:
        raise ReadError(f"{path.name}: column {sorted(doubled)[0]!r} is there twice.")
    names = [f"c{i}" for i in range(len(lower))]
    columns = {c: (names[lower.index(c)], t) for c, t in CDM[table].items() if c in lower}
    quote = "''" if delimiter == "\t" and whole.quotes % 2 else "'\"'"
    columns_sql = "{" + ", ".join(f"'{n}': 'VARCHAR'" for n in names) + "}"
    reader = (
        f"read_csv({_quoted(str(path))}, auto_detect=false, header=true, delim={_quoted(delimiter)}, quote={quote}, "
        f"escape={quote}, columns={columns_sql}, nullstr='', max_line_size=16777216, store_rejects=true, "
        f"rejects_table='r_{table}', rejects_scan='s_{table}', rejects_limit=0)"
    )
    typed, faults = [], []
    for position, (column, (raw, dtype)) in enumerate(columns.items()):
        value = _value(raw, dtype)
        typed.append(f"{value} AS {column}")
        if dtype not in ("string", "key"):
            faults.append(f"(CASE WHEN {raw} IS NOT NULL AND {value} IS NULL THEN {1 << position} ELSE 0 END)")
    mask = " + ".join(faults) or "0"
    try:
        duck.execute(f"CREATE TABLE {table} AS SELECT {', '.join(typed)}, ({mask})::BIGINT AS faults_ FROM {reader}")
    except Exception as error:  # DuckDB's own classes; the text names the file and the reason
        if "nicode" in str(error) or "utf-8" in str(error).lower():
            raise ReadError(f"{path.name}: the text is not UTF-8. Convert the file to UTF-8 first.") from None
        raise ReadError(f"{path.name}: cannot be read as a table: {str(error).splitlines()[0]}") from None
    n = duck.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    rejected = _rejected(duck, table, path, quality, whole.unfinished)
    missing = whole.lines - 1 - n - rejected
    if missing and whole.quotes % 2 and delimiter != "\t":
        raise ReadError(
            f"{path.name}: {whole.lines - 1} lines were counted but {n + rejected} rows could be told apart. A "
            "quotation mark is probably not closed; nothing was read."
        )
    if missing > 0:
        reason = "line end within quotation marks" if whole.quotes else "blank line"
        quality.append(event(target, path.name, "joined_lines" if whole.quotes else "quarantined", reason, missing))
    for position, (column, (_, dtype)) in enumerate(columns.items()):
        if dtype in ("string", "key"):
            continue
        bad = duck.execute(f"SELECT count(*), list(rowid + 2)[:100] FROM {table} WHERE faults_ & {1 << position} != 0")
        count, lines = bad.fetchone()
        if count:
            quality.append(event(target, f"{path.name}:{column}", "cell_unreadable", f"not a {dtype}", count, lines))
    duck.execute(f"ALTER TABLE {table} DROP COLUMN faults_")
    return {"file": path.name, "rows": n, "lines": whole.lines, "rejected": rejected, "delimiter": delimiter}


def _value(raw: str, dtype: str) -> str:
    if dtype == "key":
        return f"regexp_replace(trim({raw}), '\\.0+$', '')"
    if dtype == "date":
        return f"coalesce(try_cast({raw} AS DATE), try_strptime({raw}, '%Y%m%d')::DATE)"
    if dtype == "int64":  # 1.0 is an id that pandas wrote; 1.5 is none
        number = f"try_cast({raw} AS DOUBLE)"
        return f"(CASE WHEN {number} = floor({number}) THEN try_cast({raw} AS BIGINT) END)"
    return raw if dtype == "string" else f"try_cast({raw} AS {_SQL[dtype]})"


def _rejected(duck, table: str, path: Path, quality: list[dict], unfinished: bool) -> int:
    """Lines DuckDB could not split; a last line that is too short without a line end means the file was cut off."""
    errors = duck.execute(
        f"SELECT line, min(error_type::VARCHAR), count(*) OVER () FROM r_{table} GROUP BY line ORDER BY line"
    ).fetchall()
    last = duck.execute(f"SELECT max(line) FROM r_{table} WHERE error_type = 'MISSING COLUMNS'").fetchone()[0]
    if any("ENCODING" in kind or "UNICODE" in kind for _, kind, _ in errors):
        raise ReadError(f"{path.name}: the text is not UTF-8. Convert the file to UTF-8 first.")
    if unfinished and last is not None and last == scan(path).lines:
        raise ReadError(
            f"{path.name}: the file looks cut off: its last line ends in the middle. Ask for the file again; nothing "
            "was read."
        )
    kinds: dict[str, list[int]] = {}
    for line, kind, _ in errors:
        kinds.setdefault(kind.lower(), []).append(line)
    for kind, lines in kinds.items():
        quality.append(event(EVENT_TABLES.get(table, ""), path.name, "quarantined", kind, len(lines), lines))
    return len(errors)


def _header(path: Path) -> tuple[list[str], str]:
    line = first_line(path)
    if not line:
        raise ReadError(f"{path.name}: the file is empty.")
    delimiter = max(_DELIMITERS, key=line.count)
    if not line.count(delimiter):
        raise ReadError(
            f"{path.name}: the header {line[:60]!r} is one column; fields must be separated by "
            f"{', '.join(_DELIMITERS.values())}."
        )
    return line.split(delimiter), delimiter


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
