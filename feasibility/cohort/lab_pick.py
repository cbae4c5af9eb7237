"""Which laboratory result counts for each row and column, and what there was besides it.

Two routes give the same answer: one aggregation in SQL on whatever database holds the events, and arrays for the
embedded DuckDB (``lab_arrays``), which is several times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from feasibility.cohort.event_rows import Rows, to_frame

NO_NUMBER, NO_DAY, NO_UNIT, OUTSIDE = 1, 2, 3, 4
"""Why a result in the window is not used."""
KINDS = (NO_NUMBER, NO_DAY, NO_UNIT, OUTSIDE)
MARKS = np.array([None, "<", "<=", ">", ">=", "?"], dtype=object)
NO_LIMIT = -1.0
"""Stands for a missing upper limit of normal on its way out of the database; no limit is below zero."""


@dataclass(frozen=True)
class Pick:
    """The chosen results of one column, one per entry of ``row`` (ascending), and what was not chosen.

    ``value``, ``factor``, ``comparator``, ``limit`` (of normal), ``age`` in days and ``combo`` (its code and unit) are
    of the chosen result, ``partial`` the last possible day of a result in the window whose day is not known. ``aside``
    maps a kind of unusable result to (rows, how many in the window of each). ``old`` and ``undated`` say which of all
    rows have a number before the window, or one without any date.
    """

    row: np.ndarray
    value: np.ndarray
    factor: np.ndarray
    comparator: np.ndarray
    limit: np.ndarray
    age: np.ndarray
    combo: np.ndarray
    partial: np.ndarray
    aside: dict[int, tuple[np.ndarray, np.ndarray]]
    old: np.ndarray
    undated: np.ndarray

    @classmethod
    def none(cls, n: int) -> Pick:
        """The pick of a column that no event belongs to."""
        whole, real = np.zeros(0, "int64"), np.zeros(0)
        texts, days, no = np.zeros(0, object), np.zeros(0, "datetime64[D]"), np.zeros(n, bool)
        return cls(whole, real, real, texts, real, whole, whole, days, {}, no, no)


@dataclass(frozen=True)
class Coded:
    """The laboratory events that belong to columns, as an Ibis table, and what their codes and units mean.

    ``found`` has a row per combination of code, unit and column: combo, number (of the column), factor, window, low,
    high, sign, order, mean. ``table`` is the events joined with it; ``keys`` are the columns it was joined on.
    ``own_factor`` says that a factor can differ from that of its combination, being inferred from the value.
    ``apart`` are the numbers of the columns of which an earlier value is wanted.
    """

    found: pd.DataFrame
    table: object
    own_factor: bool = False
    apart: frozenset[int] = field(default_factory=frozenset)

    @property
    def longest(self) -> int:
        return int(self.found["window"].max())

    @property
    def means(self) -> bool:
        return bool(self.found["mean"].any())


class SqlPicks:
    """The picks of all columns by one aggregation over the events of the rows."""

    def __init__(self, rows: Rows, coded: Coded):
        self.rows, self.coded = rows, coded
        self.frame = to_frame(_aggregated(rows, coded).to_pyarrow())

    def pick(self, number: int) -> Pick:
        here = self.frame[(self.frame["number"] == number).to_numpy()].sort_values("row")
        row = here["row"].to_numpy().astype("int64")
        counts = {k: np.nan_to_num(here[f"bad{k}"].to_numpy(dtype="float64")) for k in KINDS}
        aside = {k: (row[n > 0], n[n > 0].astype("int64")) for k, n in counts.items() if (n > 0).any()}
        flags = []
        for name in ("old", "undated"):
            flag = np.zeros(self.rows.n, dtype=bool)
            flag[row[np.nan_to_num(here[name].to_numpy(dtype="float64")) > 0]] = True
            flags.append(flag)
        here = here[here["v"].notna()]
        days, limit = here["d"].to_numpy(dtype="float64").astype("int64"), here["u"].to_numpy(dtype="float64")
        return Pick(
            here["row"].to_numpy().astype("int64"), here["v"].to_numpy(dtype="float64"),
            here["f"].to_numpy(dtype="float64"), MARKS[here["c"].to_numpy(dtype="int64")],
            np.where(limit == NO_LIMIT, np.nan, limit), days, here["k"].to_numpy(dtype="int64"),
            here["partial"].to_numpy().astype("datetime64[D]"), aside, *flags,
        )  # fmt: skip

    def earlier(self, number: int, rows_: np.ndarray, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, values) of the latest exact result at least so many days old, per row asked for."""
        import ibis

        base, rows = self.coded.table, self.rows
        asked = ibis.memtable(pa.table({"l_row": pa.array(rows_, pa.int64()), "l_age": pa.array(ages, pa.int64())}))
        lab = rows.joined(base.filter(base["number"] == number, base["date"] == base["date_last"]), "date")
        lab = lab.mutate(age=lab["at"].delta(lab["date"], unit="day"), x=lab["value_num"] * lab["factor"])
        lab = lab.join(asked, lab["row"] == asked["l_row"]).filter(lambda t: t["age"] >= t["l_age"])
        usable = lab["comparator"].isnull() & lab["x"].between(lab["low"], lab["high"])
        order = ibis.struct({"d": -lab["age"], "w": lab["x"], "r": lab["row_id"]})
        got = lab.filter(usable).group_by("row").aggregate(v=lab["x"].argmax(order)).order_by("row")
        got = to_frame(got.to_pyarrow())
        return got["row"].to_numpy().astype("int64"), got["v"].to_numpy(dtype="float64")


def _aggregated(rows: Rows, coded: Coded):
    """One row per (row, number): the chosen result, and counts of the others."""
    import ibis

    lab = rows.joined(coded.table, "date", undated=True)
    age = lab["at"].delta(lab["date"], unit="day")
    x = lab["value_num"] * lab["factor"]
    outside = lab["comparator"].isnull() & ~x.between(lab["low"] * (1 - 1e-9), lab["high"] * (1 + 1e-9))
    bad = ibis.cases(
        (lab["value_num"].isnull(), NO_NUMBER), (lab["date"] != lab["date_last"], NO_DAY),
        (lab["factor"].isnull(), NO_UNIT), (outside, OUTSIDE), else_=0,
    )  # fmt: skip
    lab = lab.mutate(age=age, bad=bad, worse=lab["sign"] * x, inside=(age <= lab["window"]).fill_null(False))
    if coded.means:
        lab = _means(lab)
    order = ibis.struct(
        {"d": lab["order"] * lab["age"], "w": lab["worse"], "a": -lab["age"], "r": lab["row_id"], "k": lab["combo"]}
    )
    # PostgreSQL hands the fields of a row over as JSON: numbers only, and none of them missing.
    mark = lab["comparator"]
    mark = ibis.cases(
        (mark.isnull(), 0), (mark == "<", 1), (mark.startswith("<"), 2), (mark == ">", 3), (mark.startswith(">"), 4),
        else_=5,
    )  # fmt: skip
    payload = ibis.struct(
        {"v": lab["value_num"], "f": lab["factor"], "c": mark, "u": lab["ref_high"].fill_null(NO_LIMIT),
         "d": lab["age"], "k": lab["combo"]}
    )  # fmt: skip
    number = lab["value_num"].notnull()
    picked = lab.group_by(["row", "number"]).aggregate(
        pick=payload.argmax(order, where=lab["inside"] & (lab["bad"] == 0)),
        partial=lab["date_last"].max(where=lab["inside"] & (lab["bad"] == NO_DAY)),
        old=(number & lab["date"].notnull() & ~lab["inside"]).sum(),
        undated=(number & lab["date"].isnull()).sum(),
        **{f"bad{k}": (lab["inside"] & (lab["bad"] == k)).sum() for k in KINDS},
    )
    return picked.mutate(**{name: picked["pick"][name] for name in "vfcudk"}).drop("pick")


def _means(lab):
    """The results of one day as their mean, for the columns that ask for it; one below a limit has no mean."""
    import ibis

    good = (lab["mean"] == 1) & lab["inside"] & (lab["bad"] == 0) & lab["comparator"].isnull()
    day = ibis.window(group_by=[lab["row"], lab["number"], lab["date"]])
    mean = (lab["value_num"] * lab["factor"]).mean(where=good).over(day)
    return lab.mutate(
        value_num=good.ifelse(mean, lab["value_num"]),
        ref_high=good.ifelse(lab["ref_high"] * lab["factor"], lab["ref_high"]),
        factor=good.ifelse(1.0, lab["factor"]),
        worse=(lab["mean"] == 1).ifelse(lab["comparator"].isnull().cast("float64"), lab["worse"]),
    )


def picks(rows: Rows, coded: Coded):
    """The picks of every column, by arrays where the events are in the embedded DuckDB, else by SQL."""
    from feasibility.cohort import lab_arrays

    lookup = rows.lookup()
    return SqlPicks(rows, coded) if lookup is None else lab_arrays.ArrayPicks(rows, coded, lookup)
