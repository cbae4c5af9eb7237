"""The mapping of a file's columns to the declared ones: a small TOML file, or the same as a dict.

::

    [file]
    patient_id = "pid"
    index_date = "2025-06-30"        # a date, or the name of a file column

    [columns.hemoglobin_g_l]
    from = "HGB"
    unit = "g/dL"
    date = "HGB_DATE"                # becomes days_since_hemoglobin_g_l

    [columns.sex]
    from = "gender"
    codes = { M = "male", F = "female" }
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from feasibility.cohort.schema import CohortTable
from feasibility.cohort.words import fold
from feasibility.errors import CohortError, did_you_mean


@dataclass(frozen=True)
class FileOptions:
    """What is said about the file as a whole. Everything may be left out; what is left out is looked for.

    ``rows`` states how many patients' rows the file has, ``complete`` that it really ends where it ends although its
    last line has no line end.
    """

    patient_id: str = "patient_id"
    index_date: Any = None
    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    date_format: str = ""
    missing: tuple[str, ...] = ()
    sheet: str | int | None = None
    duplicates: str = "error"
    order_by: str = ""
    rows: int | None = None
    complete: bool = False


@dataclass(frozen=True)
class ColumnOptions:
    """Where one declared column comes from. At most one of the sources is given."""

    name: str
    from_: str = ""
    constant: Any = None
    unit: Any = ""
    unit_column: str = ""
    uln: Any = None
    codes: MappingType[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    decimal: str = ""
    date_format: str = ""
    date: str = ""
    days_since: Any = None
    months_since: Any = None
    birth_date: str = ""
    birth_year: str = ""
    from_date: str = ""
    to_date: str = ""
    blank: Any = None
    observed: Any = None

    def file_columns(self) -> list[str]:
        """Every file column this entry reads."""
        names = [
            self.from_,
            self.unit_column,
            self.date,
            self.birth_date,
            self.birth_year,
            self.from_date,
            self.to_date,
        ]
        names += [x for x in (self.uln, self.days_since, self.months_since, self.observed) if isinstance(x, str)]
        return [n for n in names if n]


@dataclass(frozen=True)
class Mapping:
    """A checked mapping."""

    file: FileOptions
    columns: MappingType[str, ColumnOptions]
    where: str = "the mapping"


_SOURCES = ("from_", "constant", "birth_date", "birth_year", "from_date")


def load_mapping(mapping: str | Path | MappingType | None, columns: CohortTable) -> Mapping:
    """Read and check a mapping.

    Raises
    ------
    CohortError
        For a file that is not TOML, an unknown key, a column that is not declared, or keys that exclude each other.
    """
    if mapping is None:
        return Mapping(FileOptions(), {})
    if isinstance(mapping, Mapping):
        return mapping
    where = "the mapping"
    if isinstance(mapping, str | Path):
        where = f"mapping {Path(mapping).name!r}"
        mapping = _load_toml(Path(mapping), where)
    unknown = [key for key in mapping if key not in ("file", "columns")]
    if unknown:
        raise CohortError(
            f"{where}: {unknown[0]!r} is no section of a mapping.{did_you_mean(unknown[0], ('file', 'columns'))} "
            "Columns are written as [columns.NAME]."
        )
    options = _options(FileOptions, dict(mapping.get("file", {})), f"{where}, [file]")
    _check_file(options, f"{where}, [file]")
    entries = {}
    for name, entry in dict(mapping.get("columns", {})).items():
        here = f"{where}, [columns.{name}]"
        if CohortTable.base_name(name) not in columns:
            raise CohortError(f"{here}: no column of this name is declared.{did_you_mean(name, columns)}")
        entry = {"from": entry} if isinstance(entry, str) else dict(entry)
        entry = {("from_" if key == "from" else key): value for key, value in entry.items()}
        entries[name] = _options(ColumnOptions, {"name": name} | entry, here)
        _check_column(entries[name], columns, here)
    return Mapping(options, entries, where)


def _load_toml(path: Path, where: str) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CohortError(f"There is no {where} at {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CohortError(f"{where} is not valid TOML in UTF-8: {error}.") from None


def _options(kind, given: dict, where: str):
    names = {f.name for f in fields(kind)}
    for key in given:
        if key not in names:
            known = sorted(n.rstrip("_") for n in names if n != "name")
            raise CohortError(f"{where}: {key!r} is not known.{did_you_mean(key, known, show_all_up_to=30)}")
    if "missing" in given:
        words = given["missing"]
        given["missing"] = tuple(fold(str(w)) for w in ([words] if isinstance(words, str | int | float) else words))
    if "codes" in given:
        given["codes"] = {str(k): v for k, v in given["codes"].items()}
    return kind(**given)


def _check_file(options: FileOptions, where: str) -> None:
    if options.duplicates not in ("error", "latest"):
        raise CohortError(f"{where}: duplicates is {options.duplicates!r}, not 'error' or 'latest'.")
    if options.duplicates == "latest" and not options.order_by:
        raise CohortError(f"{where}: duplicates = 'latest' needs order_by, the column that says which row is latest.")
    _check_marks(options, where)
    if options.rows is not None and (not isinstance(options.rows, int) or options.rows < 0):
        raise CohortError(f"{where}: rows is {options.rows!r}, not a number of rows.")


def _check_marks(options, where: str) -> None:
    if options.decimal not in ("", ".", ","):
        raise CohortError(f"{where}: decimal is {options.decimal!r}, not '.' or ','.")
    if options.date_format not in ("", "dmy", "mdy", "excel"):
        raise CohortError(
            f"{where}: date_format is {options.date_format!r}, not 'dmy' (day first), 'mdy' (month first) or 'excel'."
        )


def _check_column(entry: ColumnOptions, columns: CohortTable, where: str) -> None:
    column = columns[entry.name]
    _check_marks(entry, where)
    sources = [s.rstrip("_") for s in _SOURCES if getattr(entry, s) not in ("", None)]
    if len(sources) > 1:
        raise CohortError(f"{where}: {' and '.join(sources)} are both given; a column has one source.")
    if (entry.birth_date or entry.birth_year) and column.unit != "a":
        raise CohortError(f"{where}: birth_date and birth_year give an age, but {entry.name} is no age.")
    if bool(entry.from_date) != bool(entry.to_date):
        raise CohortError(f"{where}: from_date and to_date are needed together.")
    if entry.uln is not None and not column.upper_limit:
        raise CohortError(f"{where}: uln is for columns that are a multiple of the upper limit, such as ast_x_uln.")
    if column.upper_limit and entry.from_ and entry.uln is None and entry.from_ != entry.name and not entry.unit:
        raise CohortError(
            f"{where}: {entry.name} is a multiple of the upper limit of normal: give uln (a file column or a number), "
            'or unit = "1" if the file already holds the multiple.'
        )
    ages = [x for x in (entry.date, entry.days_since, entry.months_since) if x not in ("", None)]
    if len(ages) > 1:
        raise CohortError(f"{where}: give the age of the value once: date, days_since or months_since.")
    since = entry.name.startswith(("days_since_", "months_since_"))
    if ages and not since and not column.dated:
        raise CohortError(f"{where}: {entry.name} has no date: it has no column days_since_{entry.name}.")
    if since and entry.date and sources:
        raise CohortError(f"{where}: {' and '.join(sources)} and date are both given; a column has one source.")
    if entry.days_since is not None and column.dated == "months":
        raise CohortError(f"{where}: the age of {entry.name} is counted in months: use date or months_since.")
    if entry.months_since is not None and column.dated == "days":
        raise CohortError(f"{where}: the age of {entry.name} is counted in days: use date or days_since.")
    if entry.blank is not None and entry.observed is None:
        raise CohortError(
            f"{where}: blank = {entry.blank!r} needs observed = the file column with the date of the last visit "
            "(or true, if every patient was observed in the 12 months before the index date): "
            "without it a blank cell is unknown."
        )


def parse_index_date(text) -> dt.date | None:
    """A stated index date; None where the text is no date (it may name a column)."""
    if isinstance(text, dt.datetime):
        return text.date()
    if isinstance(text, dt.date):
        return text
    try:
        return dt.date.fromisoformat(str(text).strip()[:10])
    except ValueError:
        return None
