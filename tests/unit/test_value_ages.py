"""The age of values against their look-back, counted on a literal cohort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import column

from feasibility.cohort.common import GENERAL
from feasibility.cohort.quality import quality_report
from feasibility.report.quality_page import render_quality

INF = float("inf")
COLUMNS = GENERAL.select(["hemoglobin_g_l", "days_since_hemoglobin_g_l", "lvef_latest_pct", "nyha_class", "sex"])


@pytest.fixture
def cohort():
    made = {
        "hemoglobin_g_l": column("Float64", 90, 91, 92, 93, 94, None, None, None),
        "days_since_hemoglobin_g_l": column("Float64", 0, 7, 8, 28, 90, None, None, None),
        "lvef_latest_pct": column("Float64", 50, 51, *[None] * 6),
        "days_since_lvef_latest_pct": column("Float64", INF, 56, *[None] * 6),
        "nyha_class": column("Int64", 1, 2, 3, *[None] * 5),
        "months_since_nyha_class": column("Float64", 0.5, 1.0, 13.5, *[None] * 5),
        "sex": column("string", *["male"] * 8),
    }
    frame = pd.DataFrame(made, index=pd.Index(list("abcdefgh"), name="patient_id"))
    unknown = {
        "hemoglobin_g_l": {"stale": 2, "missing": 1}, "days_since_hemoglobin_g_l": {"stale": 2, "missing": 1},
        "lvef_latest_pct": {"stale": 5, "date_imprecise": 1},
        "nyha_class": {"conflicting": 1, "unit_unknown": 1, "date_missing": 1, "not_tested": 1, "out_of_range": 1},
    }  # fmt: skip
    frame.attrs["feasibility"] = {"unknown": unknown, "settings": {"hemoglobin_g_l.window_days": 120}}
    return frame


def test_ages_count_known_never_and_stale_apart(cohort):
    ages = quality_report(cohort, COLUMNS).ages()
    numbers = ["n_known", "n_never", "n_stale", "window"]
    assert ages.loc["hemoglobin_g_l", numbers].tolist() == [5, 0, 2, 120]  # the run's window, not the declared one
    assert ages.loc["lvef_latest_pct", numbers].tolist() == [1, 1, 5, 56]
    assert ages.loc["nyha_class", ["unit", "n_known", "n_stale"]].tolist() == ["months", 3, 0]
    assert np.isnan(ages.loc["nyha_class", "window"])
    assert ages.loc["hemoglobin_g_l", ["minimum", "q1", "median", "q3", "maximum"]].tolist() == [0, 7, 8, 28, 90]


def test_bins_include_their_right_end_and_hold_every_age(cohort):
    bins = quality_report(cohort, COLUMNS).age_bins()
    hb = bins[bins["column"] == "hemoglobin_g_l"]
    assert hb["right"].iloc[[0, -1]].tolist() == [7, 126]
    assert dict(zip(hb["right"], hb["n"], strict=True)) | {7: 2, 14: 1, 28: 1, 91: 1} == dict(
        zip(hb["right"], hb["n"], strict=True)
    )
    assert bins.groupby("column")["n"].sum().to_dict() == {"hemoglobin_g_l": 5, "lvef_latest_pct": 1, "nyha_class": 3}
    # A value on the last day of its window is inside the last bin, not beyond it.
    assert bins.loc[bins["column"] == "lvef_latest_pct", "right"].max() == 56


def test_what_shorter_look_backs_lose(cohort):
    table = quality_report(cohort, COLUMNS).tighter_windows()
    lost = {(r.column, r.window): r.n_lost for r in table.itertuples()}
    assert lost == {
        ("hemoglobin_g_l", 7): 3, ("hemoglobin_g_l", 14): 2, ("hemoglobin_g_l", 28): 1, ("hemoglobin_g_l", 56): 1,
        ("lvef_latest_pct", 7): 1, ("lvef_latest_pct", 14): 1, ("lvef_latest_pct", 28): 1,
        ("nyha_class", 1): 1, ("nyha_class", 3): 1, ("nyha_class", 6): 1, ("nyha_class", 12): 1,
    }  # fmt: skip
    assert table.loc[table["column"] == "hemoglobin_g_l", "share_lost"].tolist() == [0.6, 0.4, 0.2, 0.2]


def test_unknown_cells_by_reason(cohort):
    table = quality_report(cohort, COLUMNS).unknown()
    assert table.loc["hemoglobin_g_l"][["unknown", "missing", "stale"]].tolist() == [3, 1, 2]
    assert table.loc["lvef_latest_pct"][["unknown", "stale", "date imprecise"]].tolist() == [6, 5, 1]
    nyha = table.loc["nyha_class"]
    for reason in ("conflicting", "unit unknown", "date missing", "not tested", "out of range"):
        assert nyha[reason] == 1, reason
    assert "sex" not in table.index
    # The age is known whenever the value is: it is not listed twice.
    assert "days_since_hemoglobin_g_l" not in table.index
    reasons = table.drop(columns=["unknown", "not applicable"], errors="ignore")
    assert (reasons.sum(axis=1) == table["unknown"]).all()


def test_the_page_shows_ages_and_reasons(cohort):
    page = render_quality(quality_report(cohort, COLUMNS))
    assert page == render_quality(quality_report(cohort, COLUMNS))
    ages = page[page.index("How old the values are") :]
    row = ages[ages.index("hemoglobin_<wbr>g_<wbr>l</th>") :]
    assert "120&nbsp;days" in row[:800]
    assert "7&nbsp;days:&nbsp;3&nbsp;" in row[:800]
    assert 'aria-label="Unknown cells by reason"' in page
    assert "date imprecise" in page
    assert "Small histograms of the age of dated values" in page


def test_a_bounded_age_counts_as_its_older_bound():
    frame = pd.DataFrame(
        {
            "nyha_class": column("Int64", 1, 2),
            "months_since_nyha_class": column("Float64", 1.0, 2.0),
            "months_since_nyha_class__upper": column("Float64", 5.0, 2.0),
        },
        index=pd.Index(["a", "b"], name="patient_id"),
    )
    found = quality_report(frame, GENERAL.select(["nyha_class"]))
    assert found.ages().loc["nyha_class", "maximum"] == 5
    assert found.tighter_windows().set_index("window")["n_lost"].to_dict() == {1: 2, 3: 1, 6: 0, 12: 0}


def test_the_synthetic_events_give_ages_within_their_windows(tmp_path):
    """Independent count: the age of each stale patient's latest haemoglobin is recounted from the written file."""
    import feasibility as fz
    from feasibility.trials.aml import AML_COLUMNS
    from feasibility.trials.aml_events_native import write_native
    from feasibility.trials.aml_registry import synthetic_registry

    write_native(synthetic_registry(300, index_date="2025-06-30", seed=3), tmp_path)
    source = fz.read_extract(tmp_path)
    wanted = AML_COLUMNS.select(["hemoglobin_g_l", "site_id"])
    cohort = fz.build_cohort(source, fz.as_of("2025-06-30"), wanted)
    found = quality_report(cohort, wanted, source)
    labs = pd.read_csv(tmp_path / "labs.csv", dtype=str, keep_default_na=False)
    hb = labs[(labs["local_code"] == "LIS-HGB") & (labs["value_num"] != "") & (labs["sample_datetime"] <= "2025-06-30")]
    age = (pd.Timestamp("2025-06-30") - pd.to_datetime(hb["sample_datetime"].str[:10])).dt.days
    latest = age.groupby(hb["pid"]).min()
    ages = found.ages().loc["hemoglobin_g_l"]
    assert ages["n_stale"] == (latest > 90).sum() > 0
    assert ages["maximum"] <= 90
    assert ages["n_known"] + ages["n_stale"] + found.columns.loc["hemoglobin_g_l"].get("out_of_range", 0) == len(latest)
    # Units of the whole file, up to the index date, by pandas.
    people = pd.read_csv(tmp_path / "patients.csv", dtype=str, keep_default_na=False).set_index("pid")["site_id"]
    want = hb.groupby([hb["unit"], hb["pid"].map(people)]).size().to_dict()
    units = found.units[found.units["column"] == "hemoglobin_g_l"]
    assert units.set_index(["unit", "site_id"])["n_results"].to_dict() == want
    assert not found.sites["flagged"].any()
