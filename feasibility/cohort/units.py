"""Units as laboratories write them, and the factor that converts each to the unit a column is declared in."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np

from feasibility.cohort.schema import Column

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SYNONYMS = {
    "10*9/l": "10*9/L", "g/l(giga)": "10*9/L", "10*3/ul": "10*3/uL", "k/ul": "10*3/uL", "thou/ul": "10*3/uL",
    "tsd/ul": "10*3/uL", "10*3/mm3": "10*3/uL", "10*12/l": "10*12/L", "10*4/ul": "10*4/uL", "万/ul": "10*4/uL",
    "k/mm3": "10*3/uL", "k/cumm": "10*3/uL", "thou/mm3": "10*3/uL", "thou/cumm": "10*3/uL", "10*3/cumm": "10*3/uL",
    "thousand/ul": "10*3/uL", "/ul": "/uL", "1/ul": "/uL",
    "/mm3": "/uL", "/cumm": "/uL", "/cmm": "/uL", "mio/l": "10*6/L", "gpt/l": "10*9/L",
    "iu/l": "U/L", "u/l": "U/L", "ie/l": "U/L", "[iu]/l": "U/L", "iu/ml": "[IU]/mL", "ie/ml": "[IU]/mL",
    "[iu]/ml": "[IU]/mL", "years": "a", "year": "a", "yrs": "a", "yr": "a", "y": "a", "jahre": "a", "jahr": "a",
    "岁": "a", "周岁": "a", "年": "a", "a": "a", "months": "mo", "month": "mo", "mths": "mo", "monate": "mo",
    "monat": "mo", "个月": "mo", "月": "mo", "mo": "mo", "weeks": "wk", "week": "wk", "wochen": "wk",
    "周": "wk", "wk": "wk",
    "days": "d", "day": "d", "tage": "d", "tag": "d", "天": "d", "日": "d", "d": "d", "percent": "%", "prozent": "%",
    "g/100ml": "g/dL", "mg/100ml": "mg/dL", "g%": "g/dL", "mg%": "mg/dL",
    "fraction": "1", "ratio": "1", "xuln": "1", "uln": "1", "mg/day": "mg/d", "mg/tag": "mg/d", "mg/天": "mg/d",
}  # fmt: skip


def tidy_unit(text: str) -> str:
    """One spelling for the many of the same unit: no spaces, ``u`` for micro, ``10*9`` for every power of ten.

    What is counted is left out: "#/uL" and "cells/uL" are "/uL".

    >>> [tidy_unit(t) for t in ("×10^9 / L", "x10⁹/L", "10E9/L", "µmol/L", "％", "# / µL")]
    ['10*9/L', '10*9/L', '10*9/L', 'umol/L', '%', '/uL']
    """
    text = re.sub(r"(?<=10)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: "*" + m[0].translate(_SUPERSCRIPT), text)
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\s+", "", text).replace("μ", "u").replace("mcg/", "ug/").replace("mcL", "uL")
    text = re.sub(r"^(?:#|cells?|counts?|zellen|个)(?=/)|^#(?=[kKxX×1])", "", text, flags=re.IGNORECASE)
    text = re.sub(r"^[×x✕*·](?=10)", "", text)
    text = re.sub(r"^10(?:\*\*|\^|\*|E|e|EXP)?([1-9]|1[0-2])(?=/)", r"10*\1", text)
    return text


def accepted_units(column: Column) -> str:
    """The units a column accepts, as a phrase for error messages."""
    return ", ".join(dict.fromkeys([column.unit, *column.units]))


def unit_factor(column: Column, unit: str) -> float | None:
    """What a value in ``unit`` is multiplied by to be in the column's unit; None for a unit that does not fit.

    The column's own table comes first, then laboratory spellings of its units, then UCUM arithmetic for a unit of the
    same dimension. Case decides only where it matters: "g/l" is g/L for haemoglobin and 10*9/L for platelets if only
    one of both is accepted there.

    >>> hb = Column(name="hb", dtype="Float64", doc="", unit="g/L", units={"g/dL": 10, "mmol/L": 16.114})
    >>> [unit_factor(hb, u) for u in ("g/l", "G/DL", "mg/mL", "U/L")]
    [1.0, 10.0, 1.0, None]
    """
    table = {"": None, column.unit: 1.0} | {name: float(factor) for name, factor in column.units.items()}
    if unit in table:
        return table[unit]
    return _spelled(tidy_unit(unit), tuple(table.items()), column.unit)


@lru_cache(maxsize=4096)
def _spelled(unit: str, table: tuple, canonical: str) -> float | None:
    exact: dict[str, float] = {}
    folded: dict[str, set[float]] = {}
    for name, factor in table:
        if name:
            tidy = tidy_unit(name)
            exact.setdefault(tidy, factor)
            for spelling in (tidy, _SYNONYMS.get(tidy.casefold(), tidy)):
                folded.setdefault(spelling.casefold(), set()).add(factor)
    if unit in exact:
        return exact[unit]
    for spelling in (unit, _SYNONYMS.get(unit.casefold(), unit)):
        factors = folded.get(spelling.casefold(), set())
        if len(factors) == 1:
            return next(iter(factors))
        if len(factors) > 1:
            return None
    return _ucum_factor(_SYNONYMS.get(unit.casefold(), unit), canonical) if canonical else None


@lru_cache(maxsize=4096)
def _ucum_factor(unit: str, canonical: str) -> float | None:
    """UCUM arithmetic between units of one dimension; None where there is none."""
    if unit.casefold() == canonical.casefold():
        return 1.0
    if unit in ("", "1") or canonical in ("", "1"):  # a bare number must not turn into a percentage unnoticed
        return None
    registry = _registry()
    try:
        factor = registry.from_ucum(unit).to(registry.from_ucum(canonical)).magnitude
    except Exception:  # the parser raises its own kinds for text that is no unit, pint others for another dimension
        return None
    return float(snap(np.array([float(factor)]))[0])


@lru_cache(maxsize=1)
def _registry():
    # Building the registry takes over half a second: only on the first unusual unit.
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def snap(values: np.ndarray) -> np.ndarray:
    """Round to 12 significant digits, so that a conversion lands on the threshold it should: 6.0 g/dL is 60 g/L.

    >>> snap(np.array([3.0 * 0.1, 1234.5])).tolist()
    [0.3, 1234.5]
    """
    values = np.asarray(values, dtype="float64")
    result = values.copy()
    usable = np.isfinite(values) & (values != 0)
    some = values[usable]
    if some.size:
        digits = 11 - np.floor(np.log10(np.abs(some)))
        scale = 10.0 ** np.minimum(np.abs(digits), 300)
        # Powers of ten up to 1e22 are exact, so the last step is one correctly rounded operation.
        result[usable] = np.where(digits >= 0, np.round(some * scale) / scale, np.round(some / scale) * scale)
    return result


def widen(values: np.ndarray) -> np.ndarray:
    """float32 to float64 by the shortest decimal text, so that 60.1 stays 60.1 at a strict limit.

    >>> widen(np.array([60.1], dtype="float32")).tolist()
    [60.1]
    """
    if values.dtype != np.float32 and values.dtype != np.float16:
        return values.astype("float64")
    distinct, where = np.unique(values, return_inverse=True)
    return np.array([float(str(v)) for v in distinct], dtype="float64")[where.reshape(values.shape)]


def infer_factor(column: Column, values: np.ndarray, units: tuple[str, ...] = ()) -> np.ndarray:
    """Per value, the factor of the only unit that makes it plausible; NaN where none or several do.

    The candidates are ``units``, or all accepted ones. Plausible means inside the hard range, or, where several units
    pass that, inside the usual (soft) range.

    >>> hb = Column(name="hb", dtype="Float64", doc="", unit="g/L", units={"g/dL": 10}, hard=(10, 250), soft=(30, 180))
    >>> infer_factor(hb, np.array([7.5, 75.0, 12.0, 2000.0])).tolist()
    [10.0, 1.0, 10.0, nan]
    """
    candidates = (unit_factor(column, u) for u in units) if units else (1.0, *column.units.values())
    factors = np.array(sorted({float(f) for f in candidates}))
    chosen = np.full(values.shape, np.nan)
    if column.hard is None:
        return chosen
    converted = snap(values[:, None] * factors[None, :])
    for low_high in (column.hard, column.soft):
        if low_high is None:
            break
        inside = (converted >= low_high[0]) & (converted <= low_high[1])
        one = (inside.sum(axis=1) == 1) & np.isnan(chosen)
        chosen[one] = factors[inside[one].argmax(axis=1)]
    return chosen
