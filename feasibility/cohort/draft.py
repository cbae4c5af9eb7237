"""A first draft of a mapping from a file's column names and values, for a person to correct."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from feasibility.bounded import UPPER
from feasibility.cohort.codes import read_codes, read_flags
from feasibility.cohort.column_values import _HEADER_UNIT
from feasibility.cohort.dates import parse_dates
from feasibility.cohort.files import open_table
from feasibility.cohort.mapping import FileOptions
from feasibility.cohort.parse import KNOWN, from_floats, parse_numbers
from feasibility.cohort.raw import Raw, RawTable
from feasibility.cohort.schema import CohortTable, Column
from feasibility.cohort.units import accepted_units, unit_factor

_ID = ("patient_id", "patientid", "pid", "subject_id", "usubjid", "mrn", "patient", "id", "case_id", "fallnummer",
       "patnr", "病历号", "住院号", "患者编号", "barcode")  # fmt: skip
_WORDS = {
    "age_years": ("age", "alter", "年龄"), "sex": ("sex", "gender", "geschlecht", "性别"),
    "site_id": ("site", "center", "centre", "hospital", "zentrum", "klinik", "中心", "医院"),
    "ecog": ("ecog", "ps"), "hemoglobin": ("hb", "hgb", "hemoglobin", "haemoglobin", "hämoglobin", "血红蛋白"),
    "platelets": ("plt", "platelets", "platelet", "thrombozyten", "thrombos", "血小板"),
    "lymphocytes": ("alc", "lymphocytes", "lymphozyten", "淋巴细胞"),
    "creatinine": ("crea", "creatinine", "kreatinin", "肌酐"),
    "ast": ("ast", "got", "sgot", "谷草转氨酶"), "alt": ("alt", "gpt", "sgpt", "谷丙转氨酶"),
    "bilirubin": ("bili", "tbil", "bilirubin", "总胆红素"), "lvef_latest": ("lvef", "ef", "射血分数"),
    "nyha_class": ("nyha",), "hsct": ("hsct", "sct", "transplant", "移植"), "hbsag": ("hbsag", "乙肝表面抗原"),
    "months_since_mi": ("mi", "infarct", "infarkt", "心肌梗死"), "pregnant": ("pregnant", "schwanger", "妊娠"),
}  # fmt: skip
_BIRTH = ("birth", "dob", "geburt", "出生")
_DATE = re.compile(r"[\s_.-]*(?:date|datum|dt|day|日期|时间)$", re.IGNORECASE)
_SUFFIX = re.compile(r"_(?:g_l|10e9_l|umol_l|x_uln|pct|percent|iu_ml|years|class|id)$")
_SENTINELS = (-1, -9, -99, 99, 999, 9999, -999, -9999)


def draft_mapping(path: str | Path, columns: CohortTable) -> str:
    """Mapping text (TOML) with guesses from names, units and values, and what was seen as comments.

    Every guess needs a person's eye. A unit that the values do not settle is written as ``"CHECK"``, so that the file
    cannot be read before someone has decided it.
    """
    table = open_table(path, FileOptions(complete=True), lambda names: set(names))
    kinds = {name: _look(raw) for name, raw in table.columns.items()}
    patient = _patient_column(table)
    lines = [
        f"# Draft of a mapping for {table.source}: {len(table.lines)} rows. Check every line; delete what is wrong."
    ]
    lines += [
        f"# {key}: {table.facts[key]}" for key in ("encoding_evidence", "delimiter_evidence") if key in table.facts
    ]
    lines += ["", "[file]", f"patient_id = {_quote(patient or 'CHECK')}", f"rows = {len(table.lines)}"]
    if patient and len(table.columns[patient].values) < len(table.lines):
        lines += ["# Some patients have several rows:", '# duplicates = "latest"', '# order_by = "..."']
    lines.append('# index_date = "YYYY-MM-DD"   # needed as soon as a date is used')
    used = {patient}
    for column in columns.columns:
        if column.name.startswith("days_since_") and column.name[11:] in columns:
            continue
        name = _best(column, table, kinds, used)
        if name:
            used.add(name)
            lines += ["", *_entry(column, name, table, kinds, used)]
    rest = [n for n in table.columns if n not in used]
    if rest:
        lines += ["", "# Not used:", *[f"#   {_quote(n)}: {kinds[n][1]}" for n in rest]]
    return "\n".join(lines) + "\n"


def _look(raw: Raw) -> tuple[str, str]:
    """(what the column seems to hold, a description without any patient's row)."""
    n = int((raw.codes >= 0).sum())
    if not n:
        return "empty", "empty"
    raw_text = raw.as_text()
    texts = [t for t in raw_text.texts() if t]
    values = from_floats(raw.values, frozenset(), False) if raw.kind == "number" else parse_numbers(raw_text.values)
    numeric = values.lo[(values.status == KNOWN) & np.isfinite(values.lo)]
    if raw.kind == "date":
        return "date", "dates"
    sample = pa.array(texts[:2000], pa.string())
    if texts and (parse_dates(sample).status == KNOWN).mean() > 0.8 and not (numeric.size > 0.8 * len(texts)):
        return "date", "dates"
    if numeric.size > 0.8 * max(len(texts), 1):
        return "number", f"numbers {numeric.min():g} to {numeric.max():g}"
    if len(texts) <= 12:
        return "code", "codes " + ", ".join(sorted(texts))
    return "text", f"text, {len(texts)} different values"


def _patient_column(table: RawTable) -> str:
    ranked = [(_likeness(name, _ID), len(raw.values), name) for name, raw in table.columns.items()]
    good = [r for r in ranked if r[0] >= 0.8]
    return max(good)[2] if good else ""


def _words(name: str) -> list[str]:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _HEADER_UNIT.sub("", name))
    return [w for w in re.split(r"[\W_]+", name.casefold()) if w]


def _likeness(name: str, wanted: tuple[str, ...]) -> float:
    """1 for a name that is one of the words, less for one that holds it or is spelled nearly so."""
    words, whole = _words(name), "_".join(_words(name))
    best = 0.0
    for word in wanted:
        if whole == word or name.casefold() == word:
            return 1.0
        if word in words or (len(word) > 1 and not word.isascii() and word in whole):
            best = max(best, 0.9 - 0.01 * len(words))
        elif len(word) > 4:
            best = max(best, 0.85 * difflib.SequenceMatcher(None, whole, word).ratio())
    return best


def _best(column: Column, table: RawTable, kinds, used) -> str:
    """The file column most likely meant, or ''."""
    if column.name in table.columns:
        return column.name
    base = _SUFFIX.sub("", column.name)
    wanted = (column.name, base, *_WORDS.get(base, ()), *_WORDS.get(column.name, ()))
    scored = []
    for name in table.columns:
        kind = kinds[name][0]
        if name in used or kind == "empty" or name.endswith(UPPER):
            continue
        fits = {"Float64": ("number", "text"), "Int64": ("number", "code", "text"), "boolean": ("code", "number"),
                "string": ("code", "text", "number")}[column.dtype]  # fmt: skip
        dated = kind == "date" and (column.name.startswith(("days_since_", "months_since_")) or column.unit == "a")
        if kind == "number" and column.numeric and not _possible(column, table.columns[name]):
            continue
        if kind in fits or dated:
            birth = _BIRTH if kind == "date" and column.name == "age_years" else ()
            scored.append((_likeness(name, wanted + birth), name))
    best = max(scored, default=(0, ""))
    return best[1] if best[0] >= 0.75 else ""


def _numbers(raw: Raw) -> np.ndarray:
    """The known, finite numbers among the distinct values."""
    numbers = (
        from_floats(raw.values, frozenset(), False) if raw.kind == "number" else parse_numbers(raw.as_text().values)
    )
    return numbers.lo[(numbers.status == KNOWN) & np.isfinite(numbers.lo)]


def _possible(column: Column, raw: Raw) -> bool:
    """Whether most values can be values of the column in one of its units."""
    low, high = column.hard or (-np.inf, np.inf)
    values = _numbers(raw)
    shares = [np.mean((values * f >= low) & (values * f <= high)) for f in (1.0, *column.units.values())]
    return values.size > 0 and max(shares) > 0.5


def _entry(column: Column, name: str, table: RawTable, kinds, used) -> list[str]:
    kind, seen = kinds[name]
    raw = table.columns[name]
    lines = [f"[columns.{column.name}]", f"# {column.doc}", f"# {_quote(name)} holds {seen}"]
    if kind == "date":
        lines.append(f"{'birth_date' if column.unit == 'a' else 'date'} = {_quote(name)}")
        if column.absence == "closed":
            lines.append('# blank = "never"; observed = "..."   # only with proof that the patient was seen')
        return lines
    lines.append(f"from = {_quote(name)}")
    if column.numeric:
        lines += _unit_lines(column, name, raw, table, used)
    else:
        lines += _code_lines(column, raw)
    if column.upper_limit and name != column.name:
        limit = next((n for n in table.columns if n not in used and n.casefold().startswith(name.casefold())
                      and re.search(r"uln|upper|ref_?high|上限", n.casefold())), "")  # fmt: skip
        used.add(limit)
        lines.append(f"uln = {_quote(limit or 'CHECK')}")
    if column.dated:
        when = next((n for n in table.columns if n not in used and _DATE.search(n)
                     and _DATE.sub("", n).casefold() == name.casefold()), "")  # fmt: skip
        used.add(when)
        lines.append(
            f"date = {_quote(when)}" if when else f'# date = "..."   # or {column.dated}_since = 0 if taken then'
        )
    return lines


def _unit_lines(column: Column, name: str, raw: Raw, table: RawTable, used) -> list[str]:
    values = _numbers(raw)
    lines = []
    low, high = column.hard or (-np.inf, np.inf)
    odd = [s for s in _SENTINELS if (values == s).any() and not low <= s <= high]
    if odd:
        lines.append(f"missing = {json.dumps([str(s) for s in odd])}   # out of range: probably codes for missing")
    if not column.units or column.upper_limit or name == column.name:
        return lines
    header = _HEADER_UNIT.search(name)
    if header and unit_factor(column, header[1]) is not None:
        return [*lines, f"unit = {_quote(header[1])}   # from the name of the file column"]
    by_row = next((n for n in table.columns if n not in used and n.casefold().startswith(name.casefold())
                   and re.search(r"unit|einheit|单位", n.casefold())), "")  # fmt: skip
    if by_row:
        used.add(by_row)
        return [*lines, f"unit_column = {_quote(by_row)}"]
    usable = values[~np.isin(values, odd)]
    plausible = {}
    for unit, factor in {column.unit: 1.0, **column.units}.items():
        share = np.mean((usable * factor >= low) & (usable * factor <= high)) if usable.size else 0
        soft_low, soft_high = column.soft or (low, high)
        middle = np.median(usable) * factor if usable.size else np.nan
        if share >= 0.95 and soft_low <= middle <= soft_high:
            plausible.setdefault(float(factor), unit)
    if len(plausible) == 1:
        return [*lines, f"unit = {_quote(*plausible.values())}   # guessed from the values: check"]
    among = " or ".join(plausible.values()) or accepted_units(column)
    return [*lines, f'unit = "CHECK"   # {among}?']


def _code_lines(column: Column, raw: Raw) -> list[str]:
    texts = [t for t in raw.as_text().texts() if t]
    if column.dtype == "boolean":
        _, status = read_flags(texts, column.codes, frozenset())
        known = status == KNOWN
    elif column.values:
        _, status, _ = read_codes(column, texts, {}, frozenset())
        known = status == KNOWN
    else:
        return []
    # A digit means something else in every file, so it is always asked.
    foreign = [t for t, ok in zip(texts, known, strict=True) if not ok or (column.values and t.isdigit())][:12]
    if not foreign:
        return []
    values = "yes or no" if column.dtype == "boolean" else ", ".join(column.values)
    return [f"# codes: each of these is {values}, or \"unknown\"",
            "codes = { " + ", ".join(f'{_quote(t)} = "unknown"' for t in sorted(foreign)) + " }"]  # fmt: skip


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
