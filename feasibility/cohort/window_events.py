"""The latest valid laboratory number within its window before the index date, one per patient and column.

A result is valid if its number can be read, its day is known, its unit fits and it is possible; what is set aside is
counted and the latest valid one is used. Among several of one day the worst counts, then the last row: the choice never
depends on the order in which rows are read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from feasibility.cohort.blood_gas import without_blood_gas
from feasibility.cohort.declared import LAB_NUMBERS
from feasibility.cohort.event_rows import (
    DATE_IMPRECISE,
    DATE_MISSING,
    OUT_OF_RANGE,
    STALE,
    UNIT_UNKNOWN,
    Rows,
    join_keys,
    to_frame,
)
from feasibility.cohort.lab_pick import NO_DAY, NO_NUMBER, NO_UNIT, OUTSIDE, Coded, Pick, picks
from feasibility.cohort.parse import CENSORED, KNOWN, MISSING, OPEN_HIGH, OPEN_LOW, Numbers
from feasibility.cohort.schema import Column
from feasibility.cohort.settle import Unit, settle_numbers
from feasibility.cohort.units import infer_factor, snap, unit_factor
from feasibility.cohort.words import NOT_DETECTED, fold
from feasibility.errors import CohortError

TIES = {"worst": 1.0, "best": -1.0, "last": 0.0, "mean": 0.0}
"""Which of several results of one day counts; "last" is the last line of the extract."""
AGES = {"latest": -1, "first": 1, "worst": 0}
VALUES = ["number", "combo", "factor", "window", "low", "high", "sign", "order", "mean", "log"]
"""What the events are joined with, per combination of code and unit."""
BAD = {NO_NUMBER: (MISSING, "no number"), NO_DAY: (DATE_IMPRECISE, "the day of the sample is not known exactly"),
       NO_UNIT: (UNIT_UNKNOWN, "the unit is missing or does not fit"),
       OUTSIDE: (OUT_OF_RANGE, "impossible value, outside the declared range")}  # fmt: skip


def lab_columns(rows: Rows) -> list[Column]:
    """The declared columns this module fills."""
    return [c for c in rows.columns.columns if c.statistic in LAB_NUMBERS]


def build_labs(rows: Rows) -> None:
    """Fill every latest-value laboratory column and its age."""
    wanted = lab_columns(rows)
    if not rows.has("labs") or not wanted or not rows.n:
        return
    facts = {c.name: _measured(c) for c in wanted}
    found, keys = rows.coded("labs", {c.name: [c.codelist] for c in wanted}, ("local_name",), ("unit",))
    if not len(found):
        return
    number = {c.name: i for i, c in enumerate(wanted)}
    found["number"] = found["item"].map(number).astype("int64")
    found["combo"] = np.arange(len(found))
    found["factor"] = [_factor(facts[i], u) for i, u in zip(found["item"], found["unit"], strict=True)]
    found["window"] = [int(rows.setting(i, "window_days", 90)) for i in found["item"]]
    found["low"], found["high"] = zip(*[facts[i].hard or (-1e300, 1e300) for i in found["item"]], strict=True)
    found["sign"] = [_sign(rows, facts[i]) for i in found["item"]]
    found["order"] = [AGES[facts[i].statistic] for i in found["item"]]
    found["mean"] = [int(rows.setting(i, "ties", "worst") == "mean") for i in found["item"]]
    logs = [_log10(facts[i], c, u) for i, c, u in found[["item", "code", "unit"]].itertuples(index=False)]
    found["log"] = [int(unit is not None) for unit in logs]
    for k in np.flatnonzero(found["log"]):
        found.loc[k, "factor"] = _factor(facts[found.at[k, "item"]], logs[k])
    found["spread"] = [_spread(facts[i], f) for i, f in zip(found["item"], found["factor"], strict=True)]
    picked = picks(rows, _coded(rows, facts, found, keys))
    some = set(found["item"])
    earlier = [c for c in rows.columns.columns if c.statistic == "earlier" and c.of in some]
    chosen = {name: picked.pick(number[name]) for name in {c.of for c in earlier}}
    for column in earlier:
        _earlier(rows, column, picked, number[column.of], chosen[column.of])
    for column in wanted:  # column by column: what is picked for the next may be under way while one is settled
        pick = chosen.pop(column.name, None)
        if pick is None:
            pick = picked.pick(number[column.name]) if column.name in some else Pick.none(rows.n)
        _settle(rows, column, facts[column.name], pick, found)


def _sign(rows: Rows, column: Column) -> float:
    """1 if of two results of one day the higher counts, -1 if the lower, 0 if the last."""
    ties = rows.setting(column.name, "ties", "worst")
    if ties not in TIES:
        raise CohortError(f"Column {column.name!r}: ties {ties!r} is not one of {', '.join(TIES)}.")
    worse = -1.0 if column.lower_is_worse else 1.0
    return worse * (1.0 if column.statistic == "worst" else TIES[ties])


def _earlier(rows: Rows, column: Column, picked, number: int, latest: Pick) -> None:
    """The latest value of another column at least ``apart_days`` before its latest one."""
    apart = int(rows.setting(column.name, "apart_days", 90))
    at, values = picked.earlier(number, latest.row, latest.age + apart)
    result = np.full(rows.n, np.nan)
    result[at] = snap(values)
    rows.put(column.name, result)


def _measured(column: Column) -> Column:
    """The declaration of what is measured; of a factor that is only known between two ends, the middle."""
    what = column.measured
    if what is None:
        return column
    units = {u: f if isinstance(f, (int, float)) else (f[0] * f[1]) ** 0.5 for u, f in what.units.items()}
    return replace(column, unit=what.unit or column.unit, units=units, hard=what.hard or column.hard, soft=None)


def _log10(column: Column, code, unit) -> str | None:
    """The unit of the value, where a number of this code and unit is its decimal logarithm."""
    what = column.measured
    if what is None or not what.log10:
        return None
    if unit is None or not str(unit).strip():
        return what.log10_codes.get(code)
    word = fold(str(unit)).replace("_", "")
    return next((base for name, base in what.log10.items() if fold(name).replace("_", "") == word), None)


def _spread(column: Column, factor: float) -> float:
    """How far the ends of a factor that is only known between two ends lie from its middle; 1 for an exact one."""
    pairs = [f for f in column.measured.units.values() if isinstance(f, tuple)] if column.measured else []
    return next(((b / a) ** 0.5 for a, b in pairs if np.isclose(factor, (a * b) ** 0.5)), 1.0)


def _factor(column: Column, unit) -> float:
    if unit is None or not str(unit).strip():
        # A ratio to the limit of the same report needs no unit; anything else is inferred per value, or unknown.
        return 1.0 if column.upper_limit else np.nan
    factor = unit_factor(column, str(unit))
    return np.nan if factor is None else factor


def _coded(rows: Rows, facts, found, keys) -> Coded:
    """The labs joined with what their code and unit mean; where the unit is blank, the factor only the value allows."""
    import ibis

    labs = rows.extract.tables["labs"]
    base = without_blood_gas(rows, facts, found, join_keys(labs, found, keys, VALUES))
    apart = {c.of for c in rows.columns.columns if c.statistic == "earlier"}
    apart = frozenset(int(n) for n in found.loc[found["item"].isin(apart), "number"].unique())
    if found["log"].any():
        base = base.mutate(value_num=(base["log"] == 1).ifelse(10 ** base["value_num"], base["value_num"]))
    zero = [int(n) for n in found.loc[[facts[i].below_limit == "zero" for i in found["item"]], "number"].unique()]
    if zero:  # "not detected" instead of a number
        text = base["value_text"].strip().lower().replace(" ", "_")
        none = (
            base["number"].isin(zero)
            & base["value_num"].isnull()
            & text.isin(sorted(NOT_DETECTED | {"阴性", "negative"}))
        )
        # Below the limit of the assay is below it in any unit.
        none |= base["number"].isin(zero) & base["factor"].isnull() & base["comparator"].startswith("<")
        base = base.mutate(value_num=none.ifelse(0.0, base["value_num"]), factor=none.ifelse(1.0, base["factor"]))
    nameless = np.array([u is None or not str(u).strip() for u in found["unit"]])
    blank = found[nameless & found["factor"].isna().to_numpy()]
    if not len(blank):
        return Coded(found, base, bool(zero), apart)
    unnamed = base.filter(base["combo"].isin(blank["combo"].tolist()), base.value_num.notnull())
    seen = to_frame(unnamed.select("number", "value_num").distinct().order_by(["number", "value_num"]).to_pyarrow())
    seen["guess"] = np.nan
    names = dict(zip(blank["number"], blank["item"], strict=True))
    for number, name in names.items():
        here = (seen["number"] == number).to_numpy()
        strict = replace(facts[name], soft=None)  # one accepted unit inside the hard range, or none
        seen.loc[here, "guess"] = infer_factor(strict, seen.loc[here, "value_num"].to_numpy())
    seen = seen[seen["guess"].notna()]
    guesses = ibis.memtable(
        pa.table(
            {
                "g_number": pa.array(seen["number"].astype("int64")),
                "g_value": pa.array(seen["value_num"].astype("float64")),
                "guess": pa.array(seen["guess"].astype("float64")),
            }
        )
    )
    on = [base["number"] == guesses["g_number"], base["value_num"] == guesses["g_value"], base["factor"].isnull(),
          base["unit"].fill_null("").strip() == ""]  # fmt: skip
    joined = base.left_join(guesses, on).drop("g_number", "g_value")
    joined = joined.mutate(factor=joined["factor"].coalesce(joined["guess"])).drop("guess")
    return Coded(found, joined, True, apart)


def _settle(rows: Rows, column: Column, measured: Column, pick: Pick, found) -> None:
    """The picked results of one column as numbers, with the reasons of the cells that stay unknown."""
    n, at = rows.n, pick.row
    status = np.full(n, MISSING, dtype="uint8")
    status[pick.undated] = DATE_MISSING
    status[pick.old] = STALE
    for k, (code, reason) in reversed(BAD.items()):
        where, count = pick.aside.get(k, (np.zeros(0, "int64"), np.zeros(0, "int64")))
        status[where] = code
        rows.note(column.name, "quarantined", reason, int(count.sum()))
    # A result whose day is only known to a month could be later than the chosen one: then nothing is known.
    chosen = rows.index[at] - pick.age.astype("timedelta64[D]")
    unsure = ~np.isnat(pick.partial) & ((pick.partial > chosen) | (column.statistic != "latest"))
    values, factors = pick.value, pick.factor
    _count_units(rows, column, pick.combo, factors, found)
    numbers = _numbers(values, pick.comparator)
    change = factors != 1
    for rail in (numbers.lo, numbers.hi):
        rail[change] = snap(rail[change] * factors[change])
    spread = found["spread"].to_numpy(dtype="float64")[pick.combo]
    wide = spread != 1
    numbers.lo[wide], numbers.hi[wide] = snap(numbers.lo[wide] / spread[wide]), snap(numbers.hi[wide] * spread[wide])

    def note(kind, reason, mask):
        rows.note(column.name, kind, reason, int(mask.sum()))

    if column.upper_limit:
        numbers = settle_numbers(measured, numbers, Unit(ratio=True), note)
        numbers = _over_limit(rows, column, measured, numbers, pick.limit, factors, at)
    numbers = settle_numbers(column, numbers, Unit(ratio=True), note)
    numbers.status[unsure & (numbers.status == KNOWN)] = DATE_IMPRECISE
    status[at] = numbers.status
    ok = numbers.status == KNOWN
    at, low, high = at[ok], numbers.lo[ok], numbers.hi[ok]
    rows.put_at(column.name, at, low, None if np.array_equal(low, high) else high, status)
    if column.companion:
        rows.put_at(column.companion, at, pick.age[ok], None, status)


def _numbers(values: np.ndarray, comparators: np.ndarray) -> Numbers:
    numbers = Numbers.empty(len(values))
    numbers.lo[:] = numbers.hi[:] = values
    numbers.status[:] = KNOWN
    for mark in set(comparators.tolist()) - {None, ""}:
        here = comparators == mark
        if mark.startswith("<"):
            numbers.lo[here] = -np.inf
            numbers.flags[here] |= CENSORED | (OPEN_HIGH if mark == "<" else 0)
        elif mark.startswith(">"):
            numbers.hi[here] = np.inf
            numbers.flags[here] |= CENSORED | (OPEN_LOW if mark == ">" else 0)
    return numbers


def _over_limit(rows: Rows, column, measured, numbers: Numbers, limits, factors, at) -> Numbers:
    """Each value over the upper limit of its own report; a fallback only if the run's settings give one."""
    limits = np.where(limits > 0, snap(limits * factors), np.nan)
    fallback = rows.setting(column.name, "uln_fallback", "none")
    lacking = np.isnan(limits)
    if fallback not in ("none", None, ""):
        if isinstance(fallback, dict):
            sex = rows.built["sex"].plain if "sex" in rows.built else np.full(rows.n, None, dtype=object)
            limits = np.where(lacking, np.array([fallback.get(s, np.nan) for s in sex], dtype="float64")[at], limits)
        else:
            limits = np.where(lacking, float(fallback), limits)
        used = lacking & ~np.isnan(limits)
        rows.note(column.name, "uln_fallback", f"upper limit of the run's settings, {measured.unit}", int(used.sum()))
    known = numbers.status == KNOWN
    without = known & np.isnan(limits)
    rows.note(column.name, "quarantined", "no upper limit of normal on this row", int(without.sum()))
    numbers.status[without] = MISSING
    use = known & ~without
    for rail in (numbers.lo, numbers.hi):
        rail[use] = snap(rail[use] / limits[use])
    numbers.flags[:] = 0
    return numbers


def _count_units(rows: Rows, column: Column, combos, factors, found) -> None:
    """One event per unit whose values were converted, or inferred."""
    units = found.set_index("combo")["unit"]
    for combo in np.unique(combos):
        unit, mine = units[combo], combos == combo
        if unit is None or not str(unit).strip():
            if not column.upper_limit:
                for factor in np.unique(factors[mine]):
                    n = int((mine & (factors == factor)).sum())
                    rows.note(column.name, "inferred_unit", f"x {factor:g} -> {column.unit}", n)
        elif (factors[mine] != 1).any() and not column.upper_limit:
            rows.note(column.name, "converted", f"{unit} -> {column.unit}", int(mine.sum()), str(unit))
