"""Honest sites are not accused; a wrong unit is found; the answer depends on nothing but the values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.schema import Column
from feasibility.cohort.site_check import flag_sites

COUNT = {"10*3/uL": 1, "/uL": 0.001, "10*4/uL": 10}
# Middle and standard deviation of the logarithm, about as in patients with leukaemia.
LABS = {
    "hb": ("g/L", {"g/dL": 10, "mmol/L": 16.114}, 80, 0.22), "plt": ("10*9/L", COUNT, 60, 1.0),
    "alc": ("10*9/L", COUNT, 1.0, 0.7), "cd3": ("10*9/L", COUNT, 0.7, 0.6),
    "crea": ("umol/L", {"mg/dL": 88.42}, 75, 0.35), "bili": ("umol/L", {"mg/dL": 17.104}, 11, 0.5),
    "ast": ("U/L", {"ukat/L": 60}, 26, 0.55),
}  # fmt: skip
COLUMNS = {
    name: Column(name=name, dtype="Float64", doc="", unit=unit, units=units)
    for name, (unit, units, *_) in LABS.items()
}  # fmt: skip
MISTAKES = {"hb": 0.1, "plt": 1000, "alc": 1000, "cd3": 1000, "crea": 1 / 88.42, "bili": 1 / 17.104, "ast": 1 / 60}
ROUNDS = 15


def sites(rng, k, shift, *, planted=False, heavy=False):
    """Quartiles of k sites of 20 to 2,000 patients, their medians shifted and their widths stretched at random."""
    rows = []
    for name, (unit, _, middle, sd) in LABS.items():
        for site in range(k):
            n = int(np.exp(rng.uniform(np.log(20), np.log(2000))))
            moved = shift * (rng.standard_t(3) if heavy else rng.standard_normal())
            x = np.log(middle) + moved + sd * np.exp(0.2 * rng.standard_normal()) * rng.standard_normal(n)
            x += np.log(MISTAKES[name]) * (planted and site == 0)
            rows.append((name, f"s{site}", unit, n, n, *np.quantile(x, [0.25, 0.5, 0.75])))
    names = ["column", "site_id", "unit", "n_results", "n_patients", "q1", "median", "q3"]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize("k", [2, 3, 4, 12])
def test_honest_sites_are_not_flagged(k):
    """Site medians that differ by 20 % (one standard deviation): not one comparison is flagged."""
    rng = np.random.default_rng(k)
    found = [flag_sites(sites(rng, k, 0.2), COLUMNS) for _ in range(ROUNDS)]
    assert sum(len(one) for one in found) == ROUNDS * k * len(LABS)
    assert sum(one["flagged"].sum() for one in found) == 0


@pytest.mark.parametrize("k", [3, 5, 12])
def test_sites_with_very_unlike_patients_are_rarely_flagged(k):
    """Shifts with heavy tails (t with 3 degrees of freedom times 0.25): below 1 % of comparisons are flagged."""
    rng = np.random.default_rng(k)
    found = pd.concat([flag_sites(sites(rng, k, 0.25, heavy=True), COLUMNS) for _ in range(ROUNDS)])
    assert found["flagged"].mean() < 0.01


@pytest.mark.parametrize("k", [3, 4, 12])
def test_a_wrong_unit_is_found_and_only_there(k):
    rng = np.random.default_rng(100 + k)
    found = pd.concat([flag_sites(sites(rng, k, 0.2, planted=True), COLUMNS) for _ in range(ROUNDS)])
    wrong = found["site_id"] == "s0"
    assert found.loc[wrong, "flagged"].mean() > 0.95
    assert not found.loc[~wrong, "flagged"].any()
    hit = found[wrong & found["flagged"]]
    right = np.isclose(hit["factor"], hit["column"].map(MISTAKES), rtol=1e-6)
    assert right[(hit["column"] != "hb").to_numpy()].mean() > 0.95
    # g/dL and mmol/L are a factor of 1.6 apart: both are named where the site could be either.
    assert hit.loc[hit["column"] == "hb", "says"].str.contains("g/dL recorded as g/L").mean() > 0.9


def test_half_of_the_sites_wrong_accuses_no_half_way_factor():
    table = sites(np.random.default_rng(5), 4, 0.05)
    wrong = (table["column"] == "crea") & table["site_id"].isin(["s0", "s1"])
    table.loc[wrong, ["q1", "median", "q3"]] -= np.log(88.42)
    found = flag_sites(table, COLUMNS)
    assert found.loc[found["flagged"], "factor"].round(3).isin([88.42, round(1 / 88.42, 3)]).all()
    assert found["flagged"].sum() == 2


def test_neither_scale_nor_order_nor_names_of_sites_matter():
    rng = np.random.default_rng(6)
    table = sites(rng, 5, 0.2, planted=True)
    first = flag_sites(table, COLUMNS)
    assert first["flagged"].any()
    scaled = table.assign(**{q: table[q] + np.log(7.3) for q in ("q1", "median", "q3")})
    renamed = table.sample(frac=1, random_state=1).assign(site_id=lambda t: "site " + t["site_id"])
    for other in (scaled, renamed):
        got = flag_sites(other, COLUMNS).assign(site_id=lambda t: t["site_id"].str.removeprefix("site "))
        keys = ["column", "site_id"]
        a, b = (t.sort_values(keys).reset_index(drop=True) for t in (first, got))
        pd.testing.assert_frame_equal(a, b)
