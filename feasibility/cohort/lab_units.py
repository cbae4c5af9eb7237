"""Which unit each site writes its laboratory results in, and what becomes of it when a cohort is built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from feasibility.cohort.event_rows import Rows, join_keys, to_frame
from feasibility.cohort.read import installed_columns
from feasibility.cohort.schema import CohortTable, Column
from feasibility.cohort.units import infer_factor
from feasibility.cohort.window_events import _factor, _log10, _measured, lab_columns
from feasibility.errors import CohortError, did_you_mean

AS_DECLARED, CONVERTED, INFERRED = "as declared", "converted", "inferred"
NOT_NEEDED, UNKNOWN = "not needed", "unknown unit"
HANDLING = (AS_DECLARED, CONVERTED, INFERRED, NOT_NEEDED, UNKNOWN)
"""What building does with a unit: the declared one, however spelled; another that is converted; none, but only one is
possible for the value; none, and the value is compared with the limit of its own report; none that fits."""
COLUMNS = ("column", "unit", "site_id", "n_results", "factor", "handling")
NO_SITE = "unknown"


@dataclass(frozen=True)
class CodedLabs:
    """The laboratory numbers of an extract that belong to declared columns.

    ``results`` is an Ibis table with fact_id, pid, site, value_num, comparator and combo; ``combos`` has one row per
    column and unit: item (the column), unit (as written, "" for none), factor to the unit of the measurement (NaN for
    none) and log (the unit of the value where the number is its decimal logarithm, else ""); ``measured`` maps a
    column to the declaration of what is measured (U/L for a ratio to the upper limit).
    """

    results: Any
    combos: pd.DataFrame
    measured: dict[str, Column]


def unit_counts(
    extract, columns: CohortTable | Iterable[str] | None = None, codelists: Iterable[str] = (), *, until=None
) -> pd.DataFrame:
    """How many results each site reports in which unit, and what building a cohort does with that unit.

    Parameters
    ----------
    extract : what ``read_extract``, ``omop`` or ``fhir`` returned.
    columns : the declared columns, or names of laboratory columns; by default those of every installed trial.
    codelists : folders with further code lists, as given to ``build_cohort``.
    until : count results of samples up to this day only; by default all.

    Returns
    -------
    DataFrame with column, unit (as written, "" for none), site_id (the patient's; "unknown" where there is none),
    n_results (results with a number, those without a day included unless ``until`` is given), factor (to the declared
    unit; for a ratio to the upper limit, to the unit of the measurement; of a logarithm, that of its power of ten; NaN
    for none) and handling (``HANDLING``).

    Raises
    ------
    CohortError
        For a name that is no laboratory number column.
    """
    labs = coded_labs(extract, columns, codelists, until)
    if labs is None:
        return _empty()
    import ibis

    blank = labs.combos.index[_blank(labs.combos) & labs.combos["factor"].isna()].tolist()
    value = labs.results["value_num"]
    value = ibis.ifelse(labs.results["combo"].isin(blank), value, None) if blank else ibis.null("float64")
    table = labs.results.mutate(value=value)
    # A result with several codes is several rows with one fact_id.
    counted = table.group_by(["combo", "site", "value"]).aggregate(n=table["fact_id"].nunique())
    got = to_frame(counted.to_pyarrow())
    if not len(got):
        return _empty()
    facts = labs.combos.loc[got["combo"].astype("int64")].reset_index(drop=True)
    got = pd.concat([got[["site", "value", "n"]], facts], axis=1)
    got["handling"] = np.where(got["factor"].isna(), UNKNOWN, np.where(got["factor"] == 1, AS_DECLARED, CONVERTED))
    got.loc[_blank(got) & (got["factor"] == 1), "handling"] = NOT_NEEDED
    got.loc[got["log"] != "", "handling"] = CONVERTED
    valued = _blank(got) & got["value"].notna()
    for item in got.loc[valued, "item"].unique():
        here = (valued & (got["item"] == item)).to_numpy()
        strict = replace(labs.measured[item], soft=None)  # one accepted unit inside the hard range, or none
        got.loc[here, "factor"] = infer_factor(strict, got.loc[here, "value"].to_numpy(dtype="float64"))
    got.loc[valued & got["factor"].notna(), "handling"] = INFERRED
    keys = ["item", "unit", "site", "factor", "handling"]
    summed = got.groupby(keys, dropna=False, sort=True)["n"].sum().reset_index()
    summed["n"] = summed["n"].astype("int64")
    return summed.rename(columns={"item": "column", "site": "site_id", "n": "n_results"})[list(COLUMNS)]


def coded_labs(extract, columns=None, codelists: Iterable[str] = (), until=None) -> CodedLabs | None:
    """The laboratory numbers of the declared columns with their site and unit factor; None if there are none."""
    columns = _columns(columns)
    nobody = np.empty(0, dtype=object), np.empty(0, dtype="datetime64[D]")
    rows = Rows(extract, *nobody, columns, {}, codelists)
    wanted = lab_columns(rows)
    if not rows.has("labs") or not wanted:
        return None
    measured = {c.name: _measured(c) for c in wanted}
    found, keys = rows.coded("labs", {c.name: [c.codelist] for c in wanted}, ("local_name",), ("unit",))
    if not len(found):
        return None
    found["written"] = ["" if u is None else str(u).strip() for u in found["unit"]]
    # The unit of the value, where the number is its decimal logarithm; else "".
    what = zip(found["item"], found["code"], found["unit"], strict=True)
    found["log"] = [_log10(measured[i], code, unit) or "" for i, code, unit in what]
    found["combo"] = found.groupby(["item", "written", "log"], sort=True).ngroup()
    labs = extract.tables["labs"]
    labs = labs.filter(labs["value_num"].notnull())
    if until is not None:
        labs = labs.filter(labs["date"] <= np.datetime64(until, "D").astype(object))
    results = join_keys(labs, found, keys, ["combo"])
    people = extract.tables["patients"]
    people = people.filter(people["pid"].notnull()).group_by("pid")
    # A patient listed at two sites belongs to neither.
    people = people.aggregate(low=lambda t: t["site_id"].min(), high=lambda t: t["site_id"].max())
    people = people.select(person="pid", site=(people["low"] == people["high"]).ifelse(people["low"], None))
    results = results.left_join(people, results["pid"] == people["person"])
    results = results.mutate(site=results["site"].fill_null(NO_SITE))
    combos = found.drop_duplicates("combo").set_index("combo").sort_index()
    combos = combos[["item", "written", "log"]].rename(columns={"written": "unit"})
    meant = combos["unit"].mask(combos["log"] != "", combos["log"])
    combos["factor"] = [_factor(measured[i], u) for i, u in zip(combos["item"], meant, strict=True)]
    kept = results.select("fact_id", "pid", "site", "value_num", "comparator", "combo")
    return CodedLabs(kept, combos, measured)


def _columns(columns) -> CohortTable:
    if columns is None or isinstance(columns, CohortTable):
        return installed_columns() if columns is None else columns
    known = installed_columns()
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names:
        if name not in known or known[name].events != "labs" or known[name].dtype != "Float64":
            labs = [n for n in known if known[n].events == "labs" and known[n].dtype == "Float64"]
            raise CohortError(f"{name!r} is no column of laboratory numbers.{did_you_mean(name, labs)}")
    return known.select(names)


def _blank(table: pd.DataFrame) -> pd.Series:
    return table["unit"] == ""


def _empty() -> pd.DataFrame:
    kinds = {"n_results": "int64", "factor": "float64"}
    return pd.DataFrame({c: pd.Series(dtype=kinds.get(c, object)) for c in COLUMNS})
