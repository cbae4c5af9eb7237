"""A folder of CSV, Parquet or Excel files, one a subject, becomes the canonical event tables.

The layout is that of the clinical specification, section 9.1; a TOML mapping says which file and column is which
where names differ::

    [extract]
    encoding = "gb18030"          # otherwise UTF-8, or shown by the bytes
    delimiter = ";"
    decimal = ","
    date_format = "dmy"
    absent = ["courses", "responses"]  # mandatory tables this hospital does not have: their columns are unknown

    [tables.labs]
    file = "检验.csv"
    [tables.labs.columns]
    pid = "病历号"
    date = "采样时间"
"""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
import weakref
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from feasibility.cohort.made_up import marked
from feasibility.errors import ReadError, did_you_mean
from feasibility.sources.drug_names import add_ingredients
from feasibility.sources.events import LAST, MANDATORY, TABLES, EventTable
from feasibility.sources.extract import Extract, event
from feasibility.sources.text_files import prepare
from feasibility.sources.typed import ONGOING, Typer, quoted

PACKED = (".gz", ".bz2", ".xz")
TEXT, SHEETS = (".csv", ".tsv", ".txt"), (".xlsx", ".xls")
IN_MEMORY = 2 << 30
"""Extracts larger than this many bytes are kept in a temporary database file."""

NAMES = {"labs": {"date": ("sample_datetime",), "report_date": ("report_datetime",)},
         "medications": {"start": ("order_start",), "stop": ("order_stop",)}}  # fmt: skip
"""Names of the native layout that differ from those of the event tables."""

CODINGS = {
    "diagnoses": {"icd10": "icd10", "icd9cm": "icd9cm", "icd9": "icd9cm", "snomed": "snomed"},
    "labs": {"loinc": "loinc", "local_code": "local"},
    "medications": {"atc": "atc", "rxnorm": "rxnorm"},
    "procedures": {"icd9proc": "icd9proc", "icd10pcs": "icd10pcs", "cpt": "cpt", "snomed": "snomed"},
}
"""File columns that hold a code, and the system it belongs to."""

SHAPED = "CASE WHEN regexp_full_match({0}, '[0-9]{{1,7}}-[0-9]') THEN {0} END"
BY_SHAPE = """CASE WHEN regexp_full_match({0}, '[0-9]{{2}}([.][0-9x]{{0,4}})?|[0-9]{{3,4}}') THEN 'icd9proc'
 WHEN regexp_full_match({0}, '[0-9]{{5}}') THEN 'cpt' WHEN regexp_full_match({0},
                                                                             '[0-9][0-9A-HJ-NP-Z]{{6}}') THEN 'icd10pcs'
 ELSE 'local' END"""
"""The system of a procedure code that comes without one."""


def read_extract(
    folder: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Extract:
    """Read a hospital's extract: a folder with one CSV, Parquet or Excel file per subject.

    Parameters
    ----------
    folder : where the files are, named like the event tables (``patients.csv``, ``labs.csv.gz``, ``echo.xlsx``).
    mapping : a TOML file (or a dict) with other file and column names, encoding, delimiter, decimal mark, date order.
    progress : called with (file, share done).

    Returns
    -------
    Extract whose tables live in DuckDB; ``quality`` counts every cell and line that could not be read.

    Raises
    ------
    ReadError
        For a folder without the mandatory files, or a file that is cut off or no such table.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReadError(f"There is no folder {str(folder)!r}.")
    mapping = _mapping(mapping)
    files = _files(folder, mapping)
    return _Reader(folder, mapping, files, progress or (lambda stage, share: None)).read()


def _mapping(mapping) -> dict[str, Any]:
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        try:
            mapping = tomllib.loads(Path(mapping).read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ReadError(f"The mapping {str(mapping)!r} cannot be read: {error}.") from None
    for name in mapping.get("tables", {}):
        if name not in TABLES:
            raise ReadError(f"The mapping names a table {name!r}, which is none.{did_you_mean(name, TABLES)}")
    return dict(mapping)


def _files(folder: Path, mapping: dict) -> dict[str, Path]:
    """Which file holds which table."""
    found: dict[str, Path] = {}
    kinds = [*TEXT, *(t + p for t in TEXT for p in PACKED), ".parquet", *SHEETS]
    for name in TABLES:
        stated = mapping.get("tables", {}).get(name, {}).get("file")
        if stated:
            if not (folder / stated).exists():
                present = [p.name for p in folder.iterdir()]
                raise ReadError(
                    f"{folder.name}: the mapping says table {name!r} is in {stated!r}, which is not there."
                    f"{did_you_mean(stated, present)}"
                )
            found[name] = folder / stated
            continue
        here = [folder / (name + kind) for kind in kinds if (folder / (name + kind)).exists()]
        if len(here) > 1:
            raise ReadError(f"{folder.name}: {here[0].name} and {here[1].name} are both there; which one is it?")
        if here:
            found[name] = here[0]
    absent = set(mapping.get("extract", {}).get("absent", ()))
    for name in absent:
        if name not in TABLES:
            raise ReadError(f"The mapping's absent names a table {name!r}.{did_you_mean(name, TABLES)}")
        if name in found:
            raise ReadError(
                f"{folder.name}: the mapping says table {name!r} is absent, but {found[name].name} is there."
            )
    lacking = [n for n in MANDATORY if n not in found and n not in absent - {"patients"}]
    if not {"courses", "responses"} & (found.keys() | absent):
        lacking.append("courses (or responses)")
    if lacking:
        present = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise ReadError(
            f"{folder.name}: the file(s) for {', '.join(lacking)} are missing; found: {present}. Name them like the "
            "tables (patients.csv), say in the mapping which file is which, or that the source has no such table: "
            '[extract] absent = ["courses", "responses"].'
        )
    return found


class _Reader:
    def __init__(self, folder: Path, mapping: dict, files: dict[str, Path], progress):
        import ibis

        self.folder, self.mapping, self.files, self.progress = folder, mapping, files, progress
        self.options = mapping.get("extract", {})
        self.scratch = Path(tempfile.mkdtemp(prefix="feasibility-"))
        size = sum(f.stat().st_size for f in files.values())
        self.ibis = ibis.duckdb.connect(str(self.scratch / "extract.duckdb") if size > IN_MEMORY else ":memory:")
        # The tables of the extract hold the connection; the scratch folder goes with it.
        weakref.finalize(self.ibis, shutil.rmtree, self.scratch, ignore_errors=True)
        self.con = self.ibis.con
        self.con.execute("SET preserve_insertion_order = true")
        self.quality: list[dict] = []
        self.facts: dict[str, Any] = {"files": {}}

    def read(self) -> Extract:
        for i, (name, path) in enumerate(self.files.items()):
            self.progress(path.name, i / len(self.files))
            self._table(TABLES[name], path)
        self._patients()
        if "medications" in self.files:
            add_ingredients(self.con)
        self.progress("done", 1.0)
        tables = {name: self.ibis.table(name) for name in self.files}
        if marked(self.folder):
            self.facts["synthetic"] = True
        return Extract(tables, self.folder.name, self.quality, self.facts)

    def _table(self, table: EventTable, path: Path) -> None:
        stated = self.mapping.get("tables", {}).get(table.name, {})
        header = self._raw(table, path, stated)
        names = self._names(table, path, header, stated.get("columns", {}))
        typer = Typer(self.con, f"raw_{table.name}", table.name, stated.get("decimal", self.options.get("decimal", "")),
                      stated.get("date_format", self.options.get("date_format", "")))  # fmt: skip
        expressions = self._expressions(table, names, typer)
        codings = self._codings(table, names, typer) if table.coded else [("NULL", "NULL")]
        conditions = [f"{code} IS NOT NULL" for _, code in codings]
        if len(codings) > 1:  # a row without any code keeps its text
            codings = [*codings, ("NULL", "NULL")]
            conditions.append(" AND ".join(f"{code} IS NULL" for _, code in codings[:-1]))
        queries = []
        for (system, code), condition in zip(codings, conditions, strict=True):
            chosen = expressions | ({"system": system, "code": code} if table.coded else {})
            select = ", ".join(f"CAST({chosen[c]} AS {_SQL[t]}) AS {quoted(c)}" for c, t in table.physical().items())
            where = f" WHERE {condition}" if len(codings) > 1 else ""
            queries.append(f"SELECT {select} FROM raw_{table.name} r {' '.join(typer.joins)}{where}")
        self.con.execute(f"CREATE TABLE {table.name} AS {' UNION ALL '.join(queries)}")
        self.con.execute(f"DROP TABLE raw_{table.name}")
        self.quality += typer.events
        self._without_patient(table)

    def _raw(self, table: EventTable, path: Path, stated: dict) -> tuple[str, ...]:
        """All columns of the file as text in ``raw_<table>``; returns their names."""
        raw, suffix = f"raw_{table.name}", path.suffix.lower()
        if suffix == ".parquet":
            self.con.execute(f"CREATE TABLE {raw} AS SELECT COLUMNS(*)::VARCHAR FROM read_parquet({_literal(path)})")
        elif suffix in SHEETS:
            import pyarrow as pa

            sheet = _sheet(path, stated.get("sheet", 0))
            columns = {
                str(c).strip(): pa.array([None if v is None or v != v else _cell(v) for v in sheet[c]], pa.string())
                for c in sheet
            }
            self.con.register("sheet", pa.table(columns))
            self.con.execute(f"CREATE TABLE {raw} AS SELECT * FROM sheet")
            self.con.unregister("sheet")
        else:
            return self._text(table, path, stated, raw)
        rows = self.con.sql(f"SELECT count(*) FROM {raw}").fetchone()[0]
        self.facts["files"][table.name] = {"file": path.name, "rows": rows}
        return tuple(self.con.table(raw).columns)

    def _text(self, table: EventTable, path: Path, stated: dict, raw: str) -> tuple[str, ...]:
        pick = {k: stated.get(k, self.options.get(k, "")) for k in ("encoding", "delimiter")}
        text = prepare(path, self.scratch, **pick)
        columns = ", ".join(f"{_literal(h)}: 'VARCHAR'" for h in text.header)
        rejects = f"rejects_{table.name}"
        self.con.execute(
            f"CREATE TABLE {raw} AS SELECT * FROM read_csv({_literal(text.path)}, auto_detect=false, header=true, "
            f"delim={_literal(text.delimiter)}, quote='\"', escape='\"', columns={{{columns}}}, strict_mode=true, "
            f"max_line_size=8000000, store_rejects=true, rejects_table='{rejects}', rejects_scan='{rejects}_scan')"
        )
        bad = self.con.sql(f"SELECT line, any_value(error_type) FROM {rejects} GROUP BY line ORDER BY line").fetchall()
        for kind in sorted({k for _, k in bad}, key=str):
            lines = [line for line, k in bad if k == kind]
            reason = f"line set aside: {str(kind).lower()}"
            self.quality.append(event(table.name, path.name, "rejected_line", reason, len(lines), lines[:20]))
        rows = self.con.sql(f"SELECT count(*) FROM {raw}").fetchone()[0]
        self._reconcile(text, raw, rows, len(bad))
        if text.open_end:
            reason = "the last line has no line end: the file may be cut off"
            self.quality.append(event(table.name, path.name, "open_end", reason, 1, [text.lines]))
        self.facts["files"][table.name] = {
            "file": path.name, "lines": text.lines, "rows": rows, "rejected": len(bad), "encoding": text.encoding,
            "encoding_evidence": text.evidence, "delimiter": text.delimiter,
        }  # fmt: skip
        return text.header

    def _reconcile(self, text, raw: str, rows: int, rejected: int) -> None:
        expected = text.lines - 1
        if rows + rejected == expected:
            return
        parts = [f"coalesce(length(regexp_replace({c}, '[^\\n]', '', 'g')), 0)" for c in map(quoted, text.header)]
        inside = self.con.sql(f"SELECT coalesce(sum({' + '.join(parts)}), 0) FROM {raw}").fetchone()[0]
        if rows + rejected + inside != expected:
            raise ReadError(
                f"{text.name}: {expected} lines were counted after the header, but {rows} rows were read and "
                f"{rejected} set aside. A quotation mark is probably not closed; nothing was read."
            )

    def _names(self, table: EventTable, path: Path, header, stated: Mapping[str, str]) -> dict[str, str]:
        """Which file column each event column (or coding) is read from."""
        folded = {h.casefold(): h for h in header}
        wanted = {c.name: (c.name, *NAMES.get(table.name, {}).get(c.name, ())) for c in table}
        wanted |= {c: (c,) for c in CODINGS.get(table.name, {})}
        for key, column in stated.items():
            if key not in wanted:
                raise ReadError(f"The mapping of {table.name!r} names column {key!r}.{did_you_mean(key, wanted)}")
            if column not in header:
                raise ReadError(f"{path.name}: there is no column {column!r}.{did_you_mean(column, header)}")
        names = {
            key: stated.get(key) or next(folded[c] for c in choices if c in folded)
            for key, choices in wanted.items()
            if key in stated or any(c in folded for c in choices)
        }
        if "pid" not in names:
            raise ReadError(
                f"{path.name}: there is no column 'pid' that says which patient a row is about."
                f"{did_you_mean('pid', header)}"
                f' State it in the mapping: [tables.{table.name}.columns] pid = "...".'
            )
        ignored = [h for h in header if h not in names.values()]
        if ignored:
            reason = "columns not used: " + ", ".join(ignored)
            self.quality.append(event(table.name, path.name, "ignored_columns", reason, len(ignored)))
        return names

    def _expressions(self, table: EventTable, names: dict[str, str], typer: Typer) -> dict[str, str]:
        result = {"row_id": "r.rowid + 2", "fact_id": f"'{table.name}:' || (r.rowid + 2)"}
        for column in table:
            name = column.name
            if name not in names:
                result[name] = result[name + LAST] = "NULL"
            elif column.dtype == "date":
                result[name], result[name + LAST] = typer.day(names[name], names[name])
            elif column.dtype == "boolean":
                result[name] = typer.truth(names[name], names[name])
            elif column.dtype == "string":
                result[name] = typer.text(names[name])
            else:
                number = typer.number(names[name], names[name])
                result[name] = number["hi"] if name == "ref_high" else f"coalesce({number['lo']}, {number['hi']})"
                if name == "value_num":
                    result |= {"value_num.comparator": number["comparator"], "value_num.rest": number["rest"]}
        if table.name == "labs":
            _lab_values(result, names, typer)
        if table.name == "transplants" and "is_stop_date" in names and "is_ongoing" not in names:
            words = ", ".join(_literal(w) for w in ONGOING)
            result["is_ongoing"] = f"CASE WHEN lower({typer.text(names['is_stop_date'])}) IN ({words}) THEN true END"
        return result

    def _codings(self, table: EventTable, names: dict[str, str], typer: Typer) -> list[tuple[str, str]]:
        """(system, code) expressions: one row each; a result's LOINC code goes before its local one."""
        codings = [(f"'{s}'", typer.text(names[c])) for c, s in CODINGS[table.name].items() if c in names]
        if "code" in names:
            code = typer.text(names["code"])
            system = typer.text(names["system"]) if "system" in names else "NULL"
            guess = BY_SHAPE.format(code) if table.name == "procedures" else "'local'"
            codings.insert(0, (f"coalesce(lower({system}), {guess})", code))
        if not codings:
            return [("'local'" if table.name == "labs" else "NULL", "NULL")]
        if table.name == "labs":
            # What does not look like a LOINC code ("-", "unmapped") is none: the local code or name decides.
            codings = [(s, SHAPED.format(c) if s == "'loinc'" else c) for s, c in codings]
            cases = " ".join(f"WHEN {code} IS NOT NULL THEN {system}" for system, code in codings)
            return [(f"CASE {cases} ELSE 'local' END", f"coalesce({', '.join(c for _, c in codings)})")]
        return codings

    def _without_patient(self, table: EventTable) -> None:
        if table.name == "patients":
            return
        listed = "(SELECT pid FROM patients WHERE pid IS NOT NULL)"
        (n,) = self.con.sql(f"SELECT count(*) FROM {table.name} WHERE pid IS NULL OR pid NOT IN {listed}").fetchone()
        if n:
            self.quality.append(
                event(table.name, "pid", "unknown_patient", "an event of no listed patient: not used", n)
            )

    def _patients(self) -> None:
        (n,) = self.con.sql("SELECT count(*) - count(DISTINCT pid) FROM patients").fetchone()
        if n:
            self.quality.append(
                event("patients", "pid", "duplicate_patient", "further rows of a listed patient, or no id", n)
            )


_SQL = {"string": "VARCHAR", "date": "DATE", "float64": "DOUBLE", "int64": "BIGINT", "boolean": "BOOLEAN"}


def _lab_values(result: dict[str, str], names: dict[str, str], typer: Typer) -> None:
    """A number, its comparator and its unit wherever the file has them: value_num, or inside value_text."""
    if "local_code" in names:  # a row keeps one code; the other is found by its name
        result["local_name"] = f"coalesce({result['local_name']}, {typer.text(names['local_code'])})"
    comparator, unit = [result["comparator"], result.pop("value_num.comparator", "NULL")], [result["unit"]]
    unit.append(result.pop("value_num.rest", "NULL"))
    if "value_text" in names:
        number = typer.number(names["value_text"], names["value_text"], faults=False)
        result["value_num"] = f"coalesce({result['value_num']}, {number['lo']}, {number['hi']})"
        comparator.append(number["comparator"])
        unit.append(number["rest"])
    first = f"coalesce({', '.join(comparator)})"
    result["comparator"] = f"translate(replace(replace({first}, '≤', '<='), '≥', '>='), '＜＞', '<>')"
    result["unit"] = f"coalesce({', '.join(unit)})"
    if "ref_low" in names and "ref_high" not in names:
        result["ref_high"] = typer.number(names["ref_low"], names["ref_low"], faults=False)["hi"]
    elif "ref_low" in names:
        low = typer.number(names["ref_low"], names["ref_low"], faults=False)
        result["ref_high"] = f"coalesce({result['ref_high']}, CASE WHEN {low['hi']} > {low['lo']} THEN {low['hi']} END)"


def _literal(value) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _sheet(path: Path, sheet):
    """One sheet of an Excel file with its cells as they are; a blank cell is NaN."""
    import pandas as pd

    try:
        with pd.ExcelFile(path) as book:
            present = book.sheet_names
            return pd.read_excel(book, sheet_name=sheet, dtype=object, keep_default_na=False, na_values=[""])
    except ImportError as error:
        raise ReadError(f"{path.name}: {error} Or save the sheet as CSV.") from None
    except ValueError as error:
        if "Worksheet" not in str(error):
            raise ReadError(f"{path.name} is no Excel file: {error}") from None
        raise ReadError(
            f"{path.name}: there is no sheet {sheet!r}; it has {', '.join(present)}.{did_you_mean(str(sheet), present)}"
        ) from None
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ReadError(f"{path.name} is cut off or no Excel file: {error}.") from None


def _cell(value) -> str:
    """A cell as CSV has it: whole numbers without decimals, numbers as Excel shows them, dates as days."""
    if hasattr(value, "isoformat"):
        return value.isoformat()[:10]
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.15g}"
    return re.sub(r"\s+", " ", str(value))
