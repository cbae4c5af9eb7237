"""Sites whose laboratory values look off by the factor between two units: flagged for a person to look at.

A wrong unit moves a site's whole distribution by one known factor. Patients differ between sites by much less than
that, and their differences change the shape of the distribution. So a site is flagged only if the quartiles of its
values all lie the same known factor away from those of the other sites, and far from no difference. Nothing is ever
converted because of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from feasibility.cohort.event_rows import to_frame
from feasibility.cohort.lab_units import coded_labs
from feasibility.cohort.schema import Column
from feasibility.cohort.units import snap, tidy_unit, unit_factor

COLUMNS = ("column", "site_id", "unit", "n_results", "n_patients", "ratio", "uncertainty", "factor", "flagged", "says")
_QUARTILES = {"q1": 0.25, "median": 0.5, "q3": 0.75}
MIN_PATIENTS = 20
"""A site's quartiles are not worth comparing below this."""
USUAL_SPREAD = 0.25
"""Standard deviation of honest differences of site medians, in logarithms (some 25 %), where too few sites show it."""
WIDTHS_DIFFER = 0.25
"""Standard deviation of honest differences of the widths of the sites' distributions, as a share of the width."""
SPREAD_LIMITS = (0.1, 0.4)
"""What is believed of the spread that the sites themselves show: between about 10 and 50 %."""
NEAR, FAR = 3.0, 5.0
"""A ratio is a factor within NEAR standard deviations of it, and no honest difference beyond FAR of them."""
LEAST = 3.0
"""Factors smaller than this are indistinguishable from a difference between the patients of two sites."""
SLIPS = {10.0: "a decimal point moved", 1000.0: "thousands mixed up with single units"}
"""Mistakes that need no other unit; a percentage may be mixed up with a fraction as well."""


def site_check(
    extract, columns=None, codelists: Iterable[str] = (), *, until=None, min_patients: int = MIN_PATIENTS
) -> pd.DataFrame:
    """Which sites (or units within a site) report values that look off by a known factor.

    Every patient counts once, with the geometric mean of his or her results in one unit, converted as the unit says.
    Compared are its quartiles with the median over the sites of the same quartiles (over the units, for a single site).
    Results without a unit, logarithms, censored ones and zeros are left out.

    Parameters
    ----------
    extract : what ``read_extract``, ``omop`` or ``fhir`` returned.
    columns, codelists, until : as for ``unit_counts``.
    min_patients : the fewest patients of a site and unit that are compared.

    Returns
    -------
    DataFrame with a row per column, site and unit that could be compared: n_results, n_patients, ratio (of the median
    to that of the sites), uncertainty (standard deviation of the ratio's logarithm, honest differences included),
    factor (the known factor it lies at, NaN for none), flagged, and what it would mean. With two sites both are
    flagged, since neither is known to be right.
    """
    labs = coded_labs(extract, columns, codelists, until)
    return _empty() if labs is None else flag_sites(_quartiles(labs), labs.measured, min_patients)


def flag_sites(quartiles: pd.DataFrame, columns, min_patients: int = MIN_PATIENTS) -> pd.DataFrame:
    """``site_check`` on a table of quartiles: column, site_id, unit, n_results, n_patients, q1, median, q3.

    Quartiles are of logarithms of the values in the declared unit; ``columns`` maps a name to its declaration.
    """
    rows = []
    enough = quartiles[quartiles["n_patients"] >= min_patients]
    for name, groups in enough.groupby("column", sort=True):
        by = "site_id" if groups["site_id"].nunique() > 1 else "unit"
        # A site stands for itself by the unit of most of its patients, however many patients it has.
        main = groups.sort_values("n_patients", ascending=False, kind="stable").drop_duplicates(by).set_index(by)
        if len(main) > 1:
            factors = {unit: known_factors(columns[name], unit) for unit in groups["unit"].unique()}
            rows += [_compare(one, main, one[by], factors[one["unit"]]) for one in groups.to_dict("records")]
    if not rows:
        return _empty()
    return pd.DataFrame(rows)[list(COLUMNS)].astype(_empty().dtypes.to_dict())


def known_factors(column: Column, unit: str) -> dict[float, str]:
    """Factor by which values are too high, and the mistake it betrays, for values written in ``unit``.

    >>> creatinine = Column(name="c", dtype="Float64", doc="", unit="umol/L", units={"mg/dL": 88.42})
    >>> known_factors(creatinine, "umol/L")[0.0113096584483]
    'mg/dL recorded as umol/L'
    """
    found: dict[float, str] = {}
    written = unit_factor(column, unit) if unit else 1.0
    for other, factor in {column.unit: 1.0, **column.units}.items():
        if written and other:
            ratio = float(snap(np.array([written / factor]))[0])
            if abs(np.log(ratio)) >= np.log(LEAST):
                found.setdefault(ratio, f"{other} recorded as {unit or column.unit}")
    slips = SLIPS | ({100.0: "a fraction mixed up with a percentage"} if column.unit == "%" else {})
    for size, says in slips.items():
        for ratio, way in ((size, "high"), (float(snap(np.array([1 / size]))[0]), "low")):
            if not any(np.isclose(ratio, known, rtol=0.01) for known in found):
                found[ratio] = f"values {size:g} times too {way}: {says}"
    return found


def _quartiles(labs) -> pd.DataFrame:
    """Quartiles of the patients' mean logarithms per column, site and unit, spellings of one unit together."""
    import ibis
    import pyarrow as pa

    known = labs.combos["factor"].notna() & (labs.combos["unit"] != "") & (labs.combos["log"] == "")
    combos = labs.combos[known].copy()
    if combos.empty:
        return _empty_quartiles()
    combos["kind"] = combos.groupby(["item", combos["unit"].map(tidy_unit)], sort=True).ngroup()
    small = ibis.memtable(
        pa.table({
            "k_combo": pa.array(combos.index.to_numpy("int64")), "kind": pa.array(combos["kind"].to_numpy("int64")),
            "shift": pa.array(np.log(combos["factor"].to_numpy("float64"))),
        })
    )  # fmt: skip
    table = labs.results.filter(labs.results["comparator"].isnull(), labs.results["value_num"] > 0)
    table = table.join(small, table["combo"] == small["k_combo"])
    one = table.group_by(["kind", "site", "pid"]).aggregate(
        x=(table["value_num"].ln() + table["shift"]).mean(), n=table.count()
    )
    got = one.group_by(["kind", "site"]).aggregate(
        n_results=one["n"].sum(), n_patients=one.count(),
        **{name: one["x"].quantile(at) for name, at in _QUARTILES.items()},
    )  # fmt: skip
    got = to_frame(got.to_pyarrow())
    first = combos.drop_duplicates("kind").set_index("kind")
    got["column"] = got["kind"].astype("int64").map(first["item"])
    got["unit"] = got["kind"].astype("int64").map(first["unit"].map(tidy_unit))
    return got.rename(columns={"site": "site_id"}).sort_values(["column", "site_id", "unit"], ignore_index=True)


def _compare(one: dict, main: pd.DataFrame, own: str, factors: dict[float, str]) -> dict:
    # The median of all sites, itself included, is an honest one if one of three is wrong; between two there is none.
    sites = main[list(_QUARTILES)] if len(main) > 2 else main.loc[main.index != own, list(_QUARTILES)]
    sites = np.sort(sites.to_numpy(dtype="float64"), axis=0)
    # Always a site's own value, never half-way between two: where half of them are wrong, either may be the honest one.
    ways = [_against(one, sites, at, factors) for at in ((len(sites) - 1) // 2, len(sites) // 2)]
    return ways[1] if ways[1]["flagged"] and not ways[0]["flagged"] else ways[0]


def _against(one: dict, sites: np.ndarray, at: int, factors: dict[float, str]) -> dict:
    reference = dict(zip(_QUARTILES, sites[at], strict=True))
    spread = USUAL_SPREAD
    if len(sites) >= 5:
        apart = np.abs(sites[:, 1] - reference["median"])
        spread = float(np.clip(1.4826 * np.median(apart), *SPREAD_LIMITS))
    width = max(one["q3"] - one["q1"], 1e-9) / 1.349
    # Standard errors of the quartiles of a normal sample, in units of its standard deviation.
    error, shape = width / np.sqrt(one["n_patients"]), 0.674 * WIDTHS_DIFFER * width
    sd = {"q1": (1.363, shape), "median": (1.253, 0.0), "q3": (1.363, shape)}
    sd = {name: float(np.sqrt(spread**2 + (k * error) ** 2 + more**2)) for name, (k, more) in sd.items()}
    shift = {name: float(one[name] - reference[name]) for name in sd}
    # At most half-way to no difference at all, however uncertain the ratio is.
    near = [
        factor for factor in factors
        if all(abs(shift[q] - np.log(factor)) <= min(NEAR * sd[q], abs(np.log(factor)) / 2) for q in sd)
    ]  # fmt: skip
    # A mistaken unit is the likelier story wherever there is one.
    near = [f for f in near if " recorded as " in factors[f]] or near
    near = sorted(near, key=lambda factor: abs(shift["median"] - np.log(factor)))
    flagged = bool(near) and abs(shift["median"]) > FAR * sd["median"]
    return {
        "column": one["column"], "site_id": one["site_id"], "unit": one["unit"], "n_results": int(one["n_results"]),
        "n_patients": int(one["n_patients"]), "ratio": float(np.exp(shift["median"])), "uncertainty": sd["median"],
        "factor": near[0] if flagged else np.nan, "flagged": flagged,
        "says": _says([factors[f] for f in near], len(sites)) if flagged else "",
    }  # fmt: skip


def _says(mistakes: list[str], n_others: int) -> str:
    text = "looks like " + ", or ".join(mistakes)
    return text if n_others > 1 else f"{text}; or the one group it is compared with is wrong"


def _empty_quartiles() -> pd.DataFrame:
    names = ("column", "site_id", "unit", "n_results", "n_patients", "q1", "median", "q3")
    return pd.DataFrame({name: pd.Series(dtype=object if name in names[:3] else "float64") for name in names})


def _empty() -> pd.DataFrame:
    kinds = {"n_results": "int64", "n_patients": "int64", "ratio": "float64", "uncertainty": "float64",
             "factor": "float64", "flagged": "bool"}  # fmt: skip
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, object)) for name in COLUMNS})
