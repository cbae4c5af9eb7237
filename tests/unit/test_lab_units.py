"""Units are counted as each site writes them, with what building a cohort does to them."""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from feasibility.cohort.common import GENERAL
from feasibility.cohort.lab_units import HANDLING, unit_counts
from feasibility.cohort.quality import quality_report
from feasibility.cohort.site_check import known_factors, site_check
from feasibility.errors import CohortError
from feasibility.report.quality_page import render_quality
from feasibility.sources.events import TABLES
from feasibility.sources.extract import Extract

LABS = GENERAL.select(["site_id", "hemoglobin_g_l", "platelets_10e9_l", "creatinine_umol_l", "alt_x_uln"])
CODES = {"hb": "718-7", "plt": "777-3", "crea": "14682-9", "alt": "1742-6"}
DAY = dt.date(2025, 6, 20)


def table(name, rows):
    physical = TABLES[name].physical()
    frame = pd.DataFrame([{c: row.get(c) for c in physical} for row in rows], columns=list(physical), dtype=object)
    schema = ibis.schema(physical)
    return pa.Table.from_pylist(frame.to_dict("records"), schema=schema.to_pyarrow())


def extract(patients, labs):
    """``patients`` maps a patient to a site; ``labs`` are (patient, test, value, unit) or dicts."""
    people = [{"row_id": i, "pid": p, "site_id": s} for i, (p, s) in enumerate(patients)]
    rows = []
    for i, one in enumerate(labs):
        if not isinstance(one, dict):
            pid, test, value, unit = one
            one = {"pid": pid, "code": CODES[test], "value_num": value, "unit": unit}
        rows.append({"row_id": i, "fact_id": f"f{i}", "date": DAY, "date_last": DAY, "system": "loinc"} | one)
    con = ibis.duckdb.connect()
    tables = {"patients": table("patients", people), "labs": table("labs", rows)}
    return Extract({name: con.create_table(name, rows) for name, rows in tables.items()}, "test")


SITES = [("a", "A"), ("b", "B"), ("c", "B"), ("d", None), ("e", "A"), ("e", "B")]


def counted(labs, **more):
    got = unit_counts(extract(SITES, labs), LABS, **more)
    assert set(got["handling"]) <= set(HANDLING)
    return {
        (r.column, r.unit, r.site_id, r.handling, None if pd.isna(r.factor) else r.factor): r.n_results
        for r in got.itertuples()
    }


def test_every_handling_of_a_unit():
    got = counted(
        [
            ("a", "hb", 97.0, "g/L"), ("a", "hb", 9.7, "g/dL"), ("b", "hb", 9.1, " g/dL "), ("c", "hb", 9.9, "g/dL"),
            ("b", "hb", 7.5, ""), ("b", "hb", 8.5, None), ("c", "hb", 180.0, None), ("c", "hb", 3000.0, None),
            ("b", "hb", 12.0, "U/L"), ("a", "plt", 35.0, "×10^9/L"), ("a", "alt", 30.0, ""), ("d", "alt", 30.0, "U/L"),
            ("e", "crea", 1.0, "mg/dL"),
        ]
    )  # fmt: skip
    # 7.5 and 8.5 are possible as g/dL or mmol/L alone; 180 is possible in g/L alone; 3000 in nothing.
    inferred = {k: n for k, n in got.items() if k[3] == "inferred" or (k[1] == "" and k[3] == "unknown unit")}
    assert sum(n for k, n in inferred.items() if k[2] == "B") == 4
    assert inferred[("hemoglobin_g_l", "", "B", "inferred", 1.0)] == 1
    rest = {k: n for k, n in got.items() if k not in inferred}
    assert rest == {
        ("hemoglobin_g_l", "g/L", "A", "as declared", 1.0): 1,
        ("hemoglobin_g_l", "g/dL", "A", "converted", 10.0): 1,
        ("hemoglobin_g_l", "g/dL", "B", "converted", 10.0): 2,
        ("hemoglobin_g_l", "U/L", "B", "unknown unit", None): 1,
        ("platelets_10e9_l", "×10^9/L", "A", "as declared", 1.0): 1,
        ("alt_x_uln", "", "A", "not needed", 1.0): 1,
        ("alt_x_uln", "U/L", "unknown", "as declared", 1.0): 1,
        ("creatinine_umol_l", "mg/dL", "unknown", "converted", 88.42): 1,
    }


def test_a_result_with_two_codes_counts_once_and_one_without_a_number_not():
    one = {"pid": "a", "value_num": 97.0, "unit": "g/L", "fact_id": "x"}
    got = counted(
        [
            one | {"code": CODES["hb"]}, one | {"system": "local", "code": "HGB"},
            one | {"fact_id": "y", "code": CODES["hb"], "value_num": None, "value_text": "see remark"},
            one | {"fact_id": "z", "code": "9999-9"},
        ]
    )  # fmt: skip
    assert got == {("hemoglobin_g_l", "g/L", "A", "as declared", 1.0): 1}


def test_a_logarithm_is_converted_and_not_judged():
    virus = GENERAL.select(["hbv_dna_iu_ml"])
    one = {"pid": "a", "code": "42595-9", "value_num": 3.2}
    source = extract(SITES, [one | {"unit": "log10 IU/mL"}, one | {"unit": "IU/mL"}, one | {"unit": "IU/mL"}])
    got = unit_counts(source, virus)
    assert got[["unit", "n_results", "factor", "handling"]].to_numpy().tolist() == [
        ["IU/mL", 2, 1.0, "as declared"], ["log10 IU/mL", 1, 1.0, "converted"],
    ]  # fmt: skip


def test_until_counts_no_later_sample():
    late = {"date": DAY + dt.timedelta(1), "date_last": DAY + dt.timedelta(1), "code": CODES["hb"]}
    labs = [("a", "hb", 97.0, "g/L"), late | {"pid": "a", "value_num": 97.0, "unit": "g/dL"}]
    assert len(counted(labs)) == 2
    assert [k[1] for k in counted(labs, until="2025-06-20")] == ["g/L"]


def test_an_extract_without_laboratory_results_has_no_units():
    empty = extract(SITES, [])
    assert unit_counts(empty, LABS).empty
    assert site_check(empty, LABS).empty
    assert unit_counts(Extract({"patients": empty.tables["patients"]}, "test"), LABS).empty


def test_columns_by_name_and_a_name_that_is_none():
    some = extract(SITES, [("a", "hb", 97.0, "g/L"), ("a", "plt", 35.0, "10*9/L")])
    assert unit_counts(some, ["hemoglobin_g_l"])["column"].tolist() == ["hemoglobin_g_l"]
    with pytest.raises(CohortError, match="'haemoglobin_g_l' is no column of laboratory numbers. Did you mean 'hemogl"):
        unit_counts(some, ["haemoglobin_g_l"])
    with pytest.raises(CohortError, match="'sex' is no column of laboratory numbers"):
        site_check(some, "sex")


# -- sites that look off ------------------------------------------------------------------------------------------
def spread(site, test, middle, unit, n=40):
    """n patients of a site with values evenly spread around a middle, half to double."""
    return [(f"{site}{i}", test, middle * 2 ** (2 * i / (n - 1) - 1), unit) for i in range(n)]


def flagged(*groups):
    labs = [row for group in groups for row in group]
    people = sorted({(row[0], row[0][0]) for row in labs})
    got = site_check(extract(people, labs), LABS)
    return [(r.column, r.site_id, r.unit, r.says) for r in got[got["flagged"]].itertuples()], got


def test_a_site_that_records_mg_dl_as_umol_l_is_flagged_and_nothing_else():
    found, got = flagged(
        spread("A", "crea", 80.0, "umol/L"), spread("B", "crea", 0.95, "umol/L"), spread("C", "crea", 1.0, "mg/dL"),
        *(spread(s, "plt", 60.0, "10*9/L") for s in "ABC"),
    )  # fmt: skip
    assert found == [("creatinine_umol_l", "B", "umol/L", "looks like mg/dL recorded as umol/L")]
    row = got[got["flagged"]].iloc[0]
    assert row["n_patients"] == 40
    assert row["factor"] == pytest.approx(1 / 88.42)
    assert row["ratio"] == pytest.approx(0.95 / 80, rel=0.01)
    assert len(got) == 6


def test_a_unit_within_a_site_and_counts_per_microlitre():
    found, _ = flagged(
        spread("A", "hb", 95.0, "g/L"), spread("B", "hb", 100.0, "g/L"), spread("C", "hb", 90.0, "g/L"),
        spread("Cx", "hb", 92.0, "g/dL"),
        spread("A", "plt", 60.0, "10*9/L"), spread("B", "plt", 55000.0, "×10^9/L"), spread("C", "plt", 64.0, "K/uL"),
    )  # fmt: skip
    assert [(c, s, u) for c, s, u, _ in found] == [
        ("hemoglobin_g_l", "C", "g/dL"), ("platelets_10e9_l", "B", "10*9/L"),
    ]  # fmt: skip
    assert "g/L recorded as g/dL" in found[0][3]
    assert "/uL recorded as 10*9/L" in found[1][3]


def test_of_two_sites_neither_is_known_to_be_right():
    found, _ = flagged(spread("A", "hb", 95.0, "g/L"), spread("B", "hb", 9.5, "g/L"))
    assert [s for _, s, _, _ in found] == ["A", "B"]
    assert all("or the one group it is compared with is wrong" in says for *_, says in found)


def test_two_units_of_a_single_site_are_compared():
    found, got = flagged(spread("A", "hb", 95.0, "g/L"), spread("Ax", "hb", 95.0, "g/dL"))
    assert len(got) == 2
    assert ("hemoglobin_g_l", "A", "g/dL") in [row[:3] for row in found]


def test_few_patients_and_censored_values_are_not_judged():
    _, got = flagged(spread("A", "hb", 95.0, "g/L"), spread("B", "hb", 9.5, "g/L", n=19))
    assert got.empty
    labs = [dict(zip(("pid", "code", "value_num", "unit"), (p, CODES["hb"], v, u), strict=True)) | {"comparator": "<"}
            for p, _, v, u in spread("A", "hb", 95.0, "g/L") + spread("B", "hb", 9.5, "g/L")]  # fmt: skip
    assert site_check(extract(sorted({(x["pid"], x["pid"][0]) for x in labs}), labs), LABS).empty


def test_a_difference_of_three_times_is_a_difference_of_patients():
    found, _ = flagged(*(spread(s, "plt", m, "10*9/L") for s, m in zip("ABCD", (30, 60, 90, 180), strict=True)))
    assert found == []


def test_known_factors_come_from_the_declaration():
    known = known_factors(LABS["hemoglobin_g_l"], "g/L")
    assert known[0.1] == "g/dL recorded as g/L"
    assert known[10.0].startswith("values 10 times too high")
    assert known_factors(LABS["hemoglobin_g_l"], "g/dL")[10.0] == "g/L recorded as g/dL"
    # g/dL and mmol/L lie too close together to be told apart.
    assert not any("mmol/L recorded as g/dL" in says for says in known_factors(LABS["hemoglobin_g_l"], "g/dL").values())


# -- in the quality report ----------------------------------------------------------------------------------------
def test_the_quality_report_of_a_built_cohort_shows_both(tmp_path):
    import feasibility as fz

    labs = spread("A", "crea", 80.0, "umol/L") + spread("B", "crea", 0.95, "umol/L") + spread("C", "crea", 1, "mg/dL")
    source = extract(sorted({(row[0], row[0][0]) for row in labs}), labs)
    cohort = fz.build_cohort(source, fz.as_of("2025-06-30"), LABS)
    without = quality_report(cohort, LABS)
    assert without.units is None
    assert "Units, as each site writes them" not in render_quality(without)
    found = quality_report(cohort, LABS, source)
    assert found.units["n_results"].sum() == 120
    assert found.sites["flagged"].sum() == 1
    page = render_quality(found)
    assert "looks like mg/dL recorded as umol/L" in page
    assert "Nothing was converted because of this" in page
    assert "Units, as each site writes them" in page
    assert '"handling":"converted"' in found.to_json().replace(" ", "")
    # Only results up to the index date are looked at.
    early = quality_report(fz.build_cohort(source, fz.as_of("2025-06-01"), LABS), LABS, source)
    assert early.units.empty
    assert early.sites.empty
    assert "no two sites or units could be compared" in render_quality(early)
