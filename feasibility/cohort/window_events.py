"""The latest valid laboratory number within its window before the index date, one per patient and column.

A result is valid if its number can be read, its day is known, its unit fits and it is possible; what is set aside is
counted and the latest valid one is used. Among several of one day the worst counts, then the last row: the choice never
depends on the order in which rows are read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

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
from feasibility.cohort.parse import CENSORED, KNOWN, MISSING, OPEN_HIGH, OPEN_LOW, Numbers
from feasibility.cohort.schema import Column
from feasibility.cohort.settle import Unit, settle_numbers
from feasibility.cohort.units import infer_factor, snap, unit_factor
from feasibility.cohort.words import NOT_DETECTED

LOW_IS_WORSE = {"hemoglobin_g_l", "platelets_10e9_l", "lymphocytes_10e9_l", "cd3_10e9_l", "cd3_percent_of_lymphocytes"}
"""Columns whose lower value is the less safe one; of all others the higher."""

_ENZYME = {"unit": "U/L", "units": {"ukat/L": 60.0}, "hard": (1, 20000)}
_BILIRUBIN = {"unit": "umol/L", "units": {"mg/dL": 17.104, "mg/L": 1.7104}, "hard": (0.5, 1200)}
MEASURED = {
    "ast_x_uln": _ENZYME, "alt_x_uln": _ENZYME, "bilirubin_x_uln": _BILIRUBIN,
    "bilirubin_direct_x_uln": _BILIRUBIN | {"hard": (0, 1200)},
}  # fmt: skip
"""Unit and possible range of what is measured, for columns that hold its ratio to the upper limit."""
EXTRA = {"creatinine_umol_l": {"mg/L": 8.842}, "hbv_dna_iu_ml": {"IU/mL": 1.0}}
BAD = {1: (MISSING, "no number"), 2: (DATE_IMPRECISE, "the day of the sample is not known exactly"),
       3: (UNIT_UNKNOWN, "the unit is missing or does not fit"),
       4: (OUT_OF_RANGE, "impossible value, outside the declared range")}  # fmt: skip
ARTERIAL = ("arterial", "动脉", "blood gas", "血气")


def lab_columns(rows: Rows) -> list[Column]:
    """The declared columns this module fills."""
    return [
        c for c in rows.columns.columns
        if c.events == "labs" and c.dtype == "Float64" and c.codelist and "window_days" in c.settings
    ]  # fmt: skip


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
    found["sign"] = [-1.0 if i in LOW_IS_WORSE else 1.0 for i in found["item"]]
    values = ["number", "combo", "factor", "window", "low", "high", "sign"]
    base = _with_factors(rows, facts, found, keys, values)
    picked = to_frame(_pick(rows, base, int(found["window"].max())).to_pyarrow())
    old, undated = _not_in_window(rows, base)
    _earlier_creatinine(rows, base, picked, number, facts)
    for column in wanted:
        here = picked[picked["number"] == number[column.name]]
        late = (old >> number[column.name]) & 1 == 1, (undated >> number[column.name]) & 1 == 1
        _settle(rows, column, facts[column.name], here, found, late)


def _earlier_creatinine(rows: Rows, base, picked, number, facts) -> None:
    """The latest creatinine at least ``apart_days`` before the latest one."""
    name, of = "creatinine_earlier_umol_l", "creatinine_umol_l"
    if name not in rows.columns or of not in number:
        return
    import ibis

    apart = int(rows.setting(name, "apart_days", 90))
    latest = picked[(picked["number"] == number[of]) & picked["v"].notna()]
    ages = pa.table({"l_row": pa.array(latest["row"].astype("int64")), "l_age": pa.array(latest["d"].astype("int64"))})
    lab = rows.joined(base.filter(base["number"] == number[of], base["date"] == base["date_last"]), "date")
    age = lab["at"].delta(lab["date"], unit="day")
    lab = lab.mutate(age=age, x=lab["value_num"] * lab["factor"])
    ages = ibis.memtable(ages)
    lab = lab.join(ages, lab["row"] == ages["l_row"]).filter(lambda t: t["age"] >= t["l_age"] + apart)
    usable = lab["comparator"].isnull() & lab["x"].between(lab["low"], lab["high"])
    order = ibis.struct({"d": -lab["age"], "w": lab["x"], "r": lab["row_id"]})
    got = to_frame(lab.filter(usable).group_by("row").aggregate(v=lab["x"].argmax(order)).to_pyarrow())
    result = np.full(rows.n, np.nan)
    result[got["row"].to_numpy().astype("int64")] = snap(got["v"].to_numpy(dtype="float64"))
    rows.put(name, result)


def _measured(column: Column) -> Column:
    more = MEASURED.get(column.name)
    if more:
        return replace(column, **more, soft=None)
    return replace(column, units=dict(column.units) | EXTRA.get(column.name, {}))


def _factor(column: Column, unit) -> float:
    if unit is None or not str(unit).strip():
        # A ratio to the limit of the same report needs no unit; anything else is inferred per value, or unknown.
        return 1.0 if column.upper_limit else np.nan
    factor = unit_factor(column, str(unit))
    return np.nan if factor is None else factor


def _with_factors(rows: Rows, facts, found, keys, values):
    """The labs joined with what their code and unit mean; where the unit is blank, the factor only the value allows."""
    import ibis

    labs = rows.extract.tables["labs"]
    base = join_keys(labs, found, keys, values)
    zero = [int(n) for n in found.loc[[facts[i].below_limit == "zero" for i in found["item"]], "number"].unique()]
    if zero:  # "not detected" instead of a number
        text = base["value_text"].strip().lower().replace(" ", "_")
        none = (
            base["number"].isin(zero)
            & base["value_num"].isnull()
            & text.isin(sorted(NOT_DETECTED | {"阴性", "negative"}))
        )
        base = base.mutate(value_num=none.ifelse(0.0, base["value_num"]), factor=none.ifelse(1.0, base["factor"]))
    nameless = np.array([u is None or not str(u).strip() for u in found["unit"]])
    blank = found[nameless & found["factor"].isna().to_numpy()]
    if not len(blank):
        return base
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
    return joined.mutate(factor=joined["factor"].coalesce(joined["guess"])).drop("guess")


def _pick(rows: Rows, base, longest: int):
    """One row per (row, number): the latest valid result, and what was set aside in its window."""
    import ibis

    span = base.filter(base.date >= (np.datetime64(rows.first, "D") - longest).astype(object))
    lab = rows.joined(span, "date")
    age = lab["at"].delta(lab["date"], unit="day")
    x = lab["value_num"] * lab["factor"]
    outside = lab["comparator"].isnull() & ~x.between(lab["low"] * (1 - 1e-9), lab["high"] * (1 + 1e-9))
    bad = ibis.cases(
        (lab["value_num"].isnull(), 1), (lab["date"] != lab["date_last"], 2), (lab["factor"].isnull(), 3), (outside, 4),
        else_=0,
    )  # fmt: skip
    lab = lab.mutate(age=age, bad=bad, worse=lab["sign"] * x).filter(age <= lab["window"])
    order = ibis.struct({"d": -lab["age"], "w": lab["worse"], "r": lab["row_id"]})
    payload = ibis.struct(
        {"v": lab["value_num"], "f": lab["factor"], "c": lab["comparator"], "u": lab["ref_high"], "d": lab["age"],
         "k": lab["combo"]}
    )  # fmt: skip
    picked = lab.group_by(["row", "number"]).aggregate(
        pick=payload.argmax(order, where=lab["bad"] == 0),
        partial=(lab["date_last"]).max(where=lab["bad"] == 2),
        **{f"bad{k}": (lab["bad"] == k).sum() for k in BAD},
    )
    parts = {name: picked["pick"][name] for name in "vfcudk"}
    return picked.mutate(**parts).drop("pick")


def _not_in_window(rows: Rows, base) -> tuple[np.ndarray, np.ndarray]:
    """Per row, one bit per column number: a result before its window; a result without a day."""
    import ibis

    bit = ibis.literal(1, "int64") << base["number"].cast("int64")
    table = base.filter(base.value_num.notnull()).mutate(bit=bit)
    old = rows.joined(table, "date")
    old = old.filter(old["at"].delta(old["date"], unit="day") > old["window"])
    undated = table.filter(table.date.isnull()).join(rows.at().select("row", "pid"), "pid")
    result = []
    for part in (old, undated):
        got = to_frame(part.group_by("row").aggregate(bits=part["bit"].bit_or()).to_pyarrow())
        bits = np.zeros(rows.n, dtype="int64")
        bits[got["row"].to_numpy().astype("int64")] = got["bits"].to_numpy().astype("int64")
        result.append(bits)
    return tuple(result)


def _settle(rows: Rows, column: Column, measured: Column, here, found, late) -> None:
    """The picked results of one column as numbers, with the reasons of the cells that stay unknown."""
    n = rows.n
    status = np.full(n, MISSING, dtype="uint8")
    status[late[1]] = DATE_MISSING
    status[late[0]] = STALE
    at = here["row"].to_numpy().astype("int64")
    for k, (code, reason) in reversed(BAD.items()):
        count = here[f"bad{k}"].to_numpy()
        status[at[count > 0]] = code
        rows.note(column.name, "quarantined", reason, int(count.sum()))
    known = here["v"].notna().to_numpy()
    at, here = at[known], here[known]
    days = here["d"].to_numpy(dtype="float64")
    # A result whose day is only known to a month could be later than the chosen one: then nothing is known.
    partial = here["partial"].to_numpy().astype("datetime64[D]")
    chosen = rows.index[at] - days.astype("int64").astype("timedelta64[D]")
    unsure = ~np.isnat(partial) & (partial > chosen)
    values, factors = here["v"].to_numpy(dtype="float64"), here["f"].to_numpy(dtype="float64")
    _count_units(rows, column, here, factors, found)
    numbers = _numbers(values, here["c"].to_numpy())
    change = factors != 1
    for rail in (numbers.lo, numbers.hi):
        rail[change] = snap(rail[change] * factors[change])

    def note(kind, reason, mask):
        rows.note(column.name, kind, reason, int(mask.sum()))

    if column.upper_limit:
        numbers = settle_numbers(measured, numbers, Unit(ratio=True), note)
        numbers = _over_limit(rows, column, measured, numbers, here["u"].to_numpy(dtype="float64"), factors, at)
    numbers = settle_numbers(column, numbers, Unit(ratio=True), note)
    numbers.status[unsure & (numbers.status == KNOWN)] = DATE_IMPRECISE
    ok = numbers.status == KNOWN
    lo, hi, age = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    status[at] = numbers.status
    lo[at[ok]], hi[at[ok]], age[at[ok]] = numbers.lo[ok], numbers.hi[ok], days[ok]
    rows.put(column.name, lo, hi, status)
    if column.companion:
        rows.put(column.companion, age, None, status)


def _numbers(values: np.ndarray, comparators: np.ndarray) -> Numbers:
    numbers = Numbers.empty(len(values))
    numbers.lo[:] = numbers.hi[:] = values
    numbers.status[:] = KNOWN
    for mark in {c for c in comparators if c}:
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


def _count_units(rows: Rows, column: Column, here, factors, found) -> None:
    """One event per unit whose values were converted, or inferred."""
    combos = here["k"].to_numpy(dtype="int64")
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
