"""From small literal events to cells: windows, ties, units, silence, index dates and the reasons of unknown cells."""

import json

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import after_event, as_of, at_changes, monthly
from feasibility.enrollment.dated import screen_dates
from feasibility.errors import CohortError
from feasibility.protocol.loading import load_trial
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS

from ..spec.test_vectors_from_events import INDEX, built, lab, write


def cell(cohort, name):
    value = cohort[name].iloc[0]
    return None if value is pd.NA else value


def reason(cohort, name):
    return cohort.attrs["feasibility"]["unknown"].get(name, {})


def notes(cohort, column):
    return {(e["kind"], e["reason"]): e["n"] for e in cohort.attrs["feasibility"]["events"] if e["column"] == column}


def platelets(tmp_path, *labs):
    return built(tmp_path, labs=[lab("", "777-3", value, unit, day) for value, unit, day in labs])


def test_the_latest_valid_value_counts_and_has_its_age(tmp_path):
    cohort = platelets(
        tmp_path, ("50", "10*9/L", "2025-06-01"), ("20", "10*9/L", "2025-06-20"), ("90", "10*9/L", "2025-07-01")
    )
    assert (cell(cohort, "platelets_10e9_l"), cell(cohort, "days_since_platelets_10e9_l")) == (20.0, 10.0)


def test_of_one_day_the_worse_value_counts(tmp_path):
    cohort = platelets(tmp_path, ("50", "10*9/L", "2025-06-20"), ("35", "10*9/L", "2025-06-20"))
    assert cell(cohort, "platelets_10e9_l") == 35.0


def test_an_impossible_value_is_set_aside_and_counted(tmp_path):
    cohort = platelets(tmp_path, ("50", "10*9/L", "2025-06-19"), ("9000", "10*9/L", "2025-06-20"))
    assert cell(cohort, "platelets_10e9_l") == 50.0
    assert notes(cohort, "platelets_10e9_l") == {("quarantined", "impossible value, outside the declared range"): 1}


@pytest.mark.parametrize(("labs", "why"), [
    ([("50", "10*9/L", "2025-03-31")], "stale"), ([("50", "mmol/L", "2025-06-20")], "unit_unknown"),
    ([("9000", "10*9/L", "2025-06-20")], "out_of_range"), ([("50", "10*9/L", "")], "date_missing"),
    ([("50", "10*9/L", "2025-06")], "date_imprecise"), ([], "missing"),
])  # fmt: skip
def test_an_unknown_value_has_its_reason(tmp_path, labs, why):
    cohort = platelets(tmp_path, *labs)
    assert cell(cohort, "platelets_10e9_l") is None
    assert reason(cohort, "platelets_10e9_l") == {why: 1}


def test_a_result_that_may_be_later_than_the_chosen_one_leaves_it_open(tmp_path):
    cohort = platelets(tmp_path, ("50", "10*9/L", "2025-06-20"), ("20", "10*9/L", "2025-06"))
    assert reason(cohort, "platelets_10e9_l") == {"date_imprecise": 1}


@pytest.mark.parametrize(("value", "expected"), [("85", 85.0), ("8.5", None), ("6.0", None)])
def test_a_blank_unit_is_inferred_only_if_one_fits(tmp_path, value, expected):
    cohort = built(tmp_path, labs=[lab("", "718-7", value, "")])
    assert cell(cohort, "hemoglobin_g_l") == expected
    assert reason(cohort, "hemoglobin_g_l") == ({} if expected else {"unit_unknown": 1})


def test_a_converted_unit_is_counted_with_its_spelling(tmp_path):
    cohort = built(tmp_path, labs=[lab("", "718-7", "8.5", "g/dl")])
    assert cell(cohort, "hemoglobin_g_l") == 85.0
    assert notes(cohort, "hemoglobin_g_l") == {("converted", "g/dl -> g/L"): 1}


def test_percent_and_absolute_cd3_never_mix(tmp_path):
    cohort = built(tmp_path, labs=[lab("", "8124-0", "60", "10*9/L"), lab("", "8122-4", "0.7", "10*9/L")])
    assert cell(cohort, "cd3_10e9_l") == 0.7
    assert cell(cohort, "cd3_percent_of_lymphocytes") is None


def test_a_local_chinese_name_is_found_without_a_code(tmp_path):
    assert cell(built(tmp_path, labs=[lab("血红蛋白 HGB", "", "85", "g/L")]), "hemoglobin_g_l") == 85.0


def test_the_upper_limit_is_that_of_the_own_row_or_of_the_settings(tmp_path):
    extract = read_extract(
        write(tmp_path, labs=[lab("", "1742-6", "100", "U/L"), lab("", "1920-8", "100", "U/L", high="50")])
    )
    cohort = build_cohort(extract, as_of(INDEX), AML_COLUMNS)
    assert (cell(cohort, "alt_x_uln"), cell(cohort, "ast_x_uln")) == (None, 2.0)
    flagged = build_cohort(extract, as_of(INDEX), AML_COLUMNS, {"alt_x_uln.uln_fallback": 40})
    assert cell(flagged, "alt_x_uln") == 2.5
    assert ("uln_fallback", "upper limit of the run's settings, U/L") in notes(flagged, "alt_x_uln")


def test_an_unknown_setting_names_the_nearest(tmp_path):
    extract = read_extract(write(tmp_path))
    with pytest.raises(CohortError, match=r"Did you mean 'alt_x_uln\.uln_fallback'"):
        build_cohort(extract, as_of(INDEX), AML_COLUMNS, {"alt_x_uln.uln_falback": 40})


def test_the_window_is_a_setting(tmp_path):
    extract = read_extract(write(tmp_path, labs=[lab("", "718-7", "85", "g/L", "2025-01-01")]))
    wide = build_cohort(extract, as_of(INDEX), AML_COLUMNS, {"hemoglobin_g_l.window_days": 365})
    assert cell(wide, "days_since_hemoglobin_g_l") == 180.0


@pytest.mark.parametrize(("score", "scale", "expected"), [
    ("0-1", "ECOG", 1), ("2", "ecog", 2), ("≥2", "ECOG", None), ("80", "KPS", 1), ("5", "ECOG", None),
])  # fmt: skip
def test_performance_status(tmp_path, score, scale, expected):
    assert cell(built(tmp_path, performance=[f"P1,2025-06-20,{scale},{score}"]), "ecog") == expected


def test_a_patient_listed_twice_with_two_birth_dates_has_none(tmp_path):
    cohort = built(tmp_path, patients=["P1,1980-01-01,M,,,", "P1,1981-01-01,M,,,"])
    assert len(cohort) == 1
    assert reason(cohort, "age_years") == {"conflicting": 1}
    assert cell(cohort, "sex") == "male"


def test_the_dead_have_no_row(tmp_path):
    cohort = built(tmp_path, patients=["P1,1980-01-01,M,2025-06-30,,", "P2,1980-01-01,M,2025-07-01,,"])
    assert cohort.index.get_level_values("patient_id").tolist() == ["P2"]


def test_a_table_the_extract_lacks_makes_its_columns_unknown(tmp_path):
    write(tmp_path)
    (tmp_path / "transplants.csv").unlink()
    (tmp_path / "procedures.csv").unlink()
    (tmp_path / "medications.csv").unlink()
    cohort = build_cohort(read_extract(tmp_path), as_of(INDEX), AML_COLUMNS)
    assert [cell(cohort, c) for c in ("hsct", "months_since_cabg", "steroid_days")] == [None, None, None]
    assert cell(cohort, "months_since_mi") == np.inf


@pytest.mark.parametrize(("dx_status", "expected"), [("confirmed", True), ("疑似", None), ("ruled_out", False)])
def test_a_suspected_diagnosis_is_neither_yes_nor_no(tmp_path, dx_status, expected):
    cohort = built(tmp_path, diagnoses=[f"P1,2024-01-01,I50.9,,primary,{dx_status}"])
    assert cell(cohort, "heart_failure") == expected


def test_apl_decides_over_aml(tmp_path):
    cohort = built(tmp_path, diagnoses=["P1,2024-01-01,C92.0,,,", "P1,2024-01-05,C924,,,"])
    assert cell(cohort, "aml_subtype") == "apl"


@pytest.mark.parametrize(("rows", "agent"), [
    (["P1,,fludarabine,severe,active"], True), (["P1,,fludarabine,mild,active"], False), (["P1,,fludarabine,,active"],
                                                                                          None),
    (["P1,2024-01-01,,,NKDA"], False), (["P1,,penicillin,severe,active"], False), ([], None),
])  # fmt: skip
def test_allergies(tmp_path, rows, agent):
    assert cell(built(tmp_path, allergies=rows), "severe_allergy") == agent


@pytest.mark.parametrize(("orders", "days"), [
    (["2025-05-01,2025-05-20", "2025-05-27,2025-06-20"], 51),  # 6 days between: bridged
    (["2025-05-01,2025-05-20", "2025-05-29,2025-06-20"], 23),  # 8 days between: not
    (["2025-05-01,2025-06-01"], 0),  # ended 29 days before
    (["2025-05-01,2025-06-02"], 33),
])  # fmt: skip
def test_exposure_bridges_a_week(tmp_path, orders, days):
    lines = [f"P1,{o},L04AD02,,tacrolimus,1,mg,bid,po,,nephrotic syndrome,ordered" for o in orders]
    assert cell(built(tmp_path, medications=lines), "nonsteroid_is_days") == days


def test_a_missing_stop_is_evaluated_as_stopped_and_as_ongoing(tmp_path):
    cohort = built(tmp_path, medications=["P1,2025-05-01,,L04AD02,,tacrolimus,1,mg,bid,po,,nephrotic syndrome,ordered"])
    assert (cell(cohort, "nonsteroid_is_days"), cell(cohort, "nonsteroid_is_days__upper")) == (0, 61)


def test_concurrent_steroids_add_up_and_administered_replaces_ordered(tmp_path):
    lines = [
        "P1,2025-05-01,2025-06-30,H02AB07,,prednisone,10,mg,qd,po,,asthma,ordered",
        "P1,2025-05-01,2025-06-30,H02AB07,,prednisone,5,mg,qd,po,,asthma,administered",
        "P1,2025-05-01,2025-06-30,H02AB02,,dexamethasone,0.75,mg,bid,po,,asthma,ordered",
    ]
    assert cell(built(tmp_path, medications=lines), "steroid_mg_day_mean") == pytest.approx(5 + 1.5 * 6.667)


def test_monthly_rows_need_a_living_observed_patient(tmp_path):
    patients = ["P1,1980-01-01,M,2025-05-15,2025-04-01,", "P2,1980-01-01,F,,2020-01-01,"]
    cohort = build_cohort(
        read_extract(write(tmp_path, patients=patients)), monthly("2025-04-30", "2025-06-30"), AML_COLUMNS
    )
    assert [str(d.date()) for _, d in cohort.index] == ["2025-04-30"]


def test_after_event_gives_each_patient_a_date_of_their_own(tmp_path):
    responses = ["P1,2025-01-10,1,,,PD,30,,", "P1,2025-03-10,2,,,PD,30,,", "P2,2025-02-01,1,,,CR,2,,"]
    extract = read_extract(write(tmp_path, patients=["P1,1980-01-01,M,,,", "P2,1980-01-01,M,,,"], responses=responses))
    rule = after_event("responses", {"response_eln": "PD"}, days=7, which="last")
    cohort = build_cohort(extract, rule, AML_COLUMNS)
    assert [(p, str(d.date())) for p, d in cohort.index] == [("P1", "2025-03-17")]


@pytest.mark.parametrize(("name", "specimen", "value"), [
    ("HGB", "arterial blood", 120), ("HGB", "动脉血", 120), ("血红蛋白", "Blutgasanalyse", 120), ("HGB", "BGA", 120),
    ("动脉血气 血红蛋白", "", 120), ("HGB", "", 55), ("HGB", "venous blood", 55), ("HGB", "blood bgaX", 55),
])  # fmt: skip
def test_haemoglobin_of_a_blood_gas_is_no_blood_count(tmp_path, name, specimen, value):
    labs = [lab("HGB", "718-7", "120", "g/L"), lab(name, "718-7", "55", "g/L").removesuffix(",") + f",{specimen}"]
    cohort = built(tmp_path, labs=labs)
    assert cell(cohort, "hemoglobin_g_l") == value  # the lower of one day counts, where both are blood counts
    aside = [e["n"] for e in cohort.attrs["feasibility"]["events"] if "blood gas" in e["reason"]]
    assert aside == ([1] if value == 120 else [])


def test_a_blood_gas_alone_is_no_haemoglobin_and_other_tests_keep_their_specimen(tmp_path):
    labs = [lab("HGB", "718-7", "55", "g/L"), lab("", "2160-0", "80", "umol/L")]
    cohort = built(tmp_path, labs=[line.removesuffix(",") + ",arterial" for line in labs])
    assert cell(cohort, "hemoglobin_g_l") is None
    assert cell(cohort, "creatinine_umol_l") == 80


def test_at_changes_has_the_events_and_the_days_about_the_end_of_their_windows(tmp_path):
    extract = read_extract(write(tmp_path, labs=[lab("", "718-7", "85", "g/L", "2025-06-03")]))
    rule = at_changes("2025-06-01", "2025-06-30", days=(14,), months=())
    _, days, _ = rule.pairs(extract)
    assert [d.item().day for d in days] == [1, 3, 16, 17, 18, 25]  # on 25 June P1 was seen
    usual = at_changes("2025-06-01", "2025-06-30").pairs(extract)[1]  # a result is only looked back for
    assert [d.item().day for d in usual] == [1, 3, 11, 18, 25]


def test_at_changes_counts_from_the_end_of_a_treatment_too(tmp_path):
    order = "P1,2025-04-09,2025-05-30,H02AB07,,prednisone,10,mg,qd,po,,asthma,ordered"
    extract = read_extract(write(tmp_path, medications=[order]))
    days = at_changes("2025-04-01", "2025-06-30", days=(28,), months=()).pairs(extract)[1]
    # On 6 May it is given for the 28th day; from 27 June it ended 28 days ago, on 28 June longer ago than that.
    assert [str(d)[5:] for d in days] == ["04-01", "04-09", "04-10", "05-06", "05-07", "05-08", "05-30", "05-31",
                                          "06-25", "06-26", "06-27", "06-28"]  # fmt: skip


def test_months_back_from_a_longer_month_reach_the_end_of_a_shorter_one(tmp_path):
    """From 31 August six calendar months back are 28 February: only on 1 September is the event out of reach."""
    extract = read_extract(write(tmp_path, procedures=["P1,2025-02-28,33533,bypass"]))
    days = at_changes("2025-08-01", "2025-10-01", days=(), months=(6,)).pairs(extract)[1]
    assert [str(d)[5:] for d in days] == ["08-01", "08-28", "08-29", "08-31", "09-01"]


def test_the_columns_windows_join_the_usual_ones_and_the_settings_count(tmp_path):
    rule = at_changes("2025-01-01", "2025-06-30")
    usual = rule.for_columns(AML_COLUMNS).stated["windows"]
    assert {90, 180, 365} <= set(usual["labs"]["days"])
    assert {6, 12} <= set(usual["labs"]["months"])
    other = rule.for_columns(AML_COLUMNS, {"ecog.window_days": 33}).stated["windows"]
    assert 33 in other["performance"]["days"]
    assert 33 not in usual["performance"]["days"]
    given = at_changes("2025-01-01", "2025-06-30", days=(5,), months=()).for_columns(AML_COLUMNS)
    assert {tuple(w["days"]) for w in given.stated["windows"].values()} == {(5,)}
    assert as_of(INDEX).for_columns(AML_COLUMNS) == as_of(INDEX)


def test_who_is_born_after_the_index_date_has_no_row(tmp_path):
    patients = ["P1,1980-01-01,M,,,", "P2,2025-07-01,F,,,", "P3,2025,F,,,", "P4,,F,,,"]
    cohort = build_cohort(read_extract(write(tmp_path, patients=patients)), as_of("2025-06-30"), AML_COLUMNS)
    assert list(cohort.index.get_level_values("patient_id")) == ["P1", "P3", "P4"]
    events = cohort.attrs["feasibility"]["events"]
    assert [(e["reason"], e["n"]) for e in events if e["kind"] == "left_out"] == [("born after the index date", 1)]
    assert not [e for e in events if e["reason"] == "impossible date of birth"]
    every = monthly("2025-06-30", "2025-08-30", observed_months=None).pairs(
        read_extract(write(tmp_path, patients=patients[1:2]))
    )
    assert ([str(d) for d in every[1]], every[2]["born after the index date"]) == (["2025-07-30", "2025-08-30"], 1)


def test_the_cohort_keeps_what_its_rule_states(tmp_path):
    rule = at_changes("2025-04-01", "2025-06-30", days=(14, 200), months=())
    cohort = build_cohort(read_extract(write(tmp_path, labs=[lab()])), rule, AML_COLUMNS)
    stated = cohort.attrs["feasibility"]["index_stated"]
    assert (stated["start"], stated["end"], stated["alive"]) == ("2025-04-01", "2025-06-30", True)
    assert stated["windows"]["labs"]["days"] == [14, 200]
    json.dumps(stated)


def test_an_index_before_its_event_is_refused():
    with pytest.raises(CohortError, match="look ahead"):
        after_event("responses", days=-1)


def test_progress_ends_at_one(tmp_path):
    seen = []
    build_cohort(
        read_extract(write(tmp_path)), as_of(INDEX), AML_COLUMNS, progress=lambda stage, share: seen.append(share)
    )
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


def test_dated_screening_needs_no_rule_beside_the_cohort(tmp_path):
    rule = at_changes("2025-04-01", "2025-06-30", days=(14, 200), months=(6,))
    cohort = build_cohort(read_extract(write(tmp_path, labs=[lab()])), rule, AML_COLUMNS)
    protocol = load_trial("NCT06642025")
    kept = cohort[cohort.index.get_level_values("index_date") > "2025-05-01"]  # not even the first day is there
    for dated in (screen_dates(cohort, protocol), screen_dates(cohort, protocol, rule), screen_dates(kept, protocol)):
        assert (str(dated.start), str(dated.end), dated.lookback_days) == ("2025-04-01", "2025-06-30", 200)
    usual = build_cohort(read_extract(write(tmp_path / "usual")), at_changes("2025-04-01", "2025-06-30"), AML_COLUMNS)
    assert screen_dates(usual, protocol).lookback_days == 372
    months = build_cohort(
        read_extract(write(tmp_path / "months")), monthly("2025-04-01", "2025-06-30", observed_months=None), AML_COLUMNS
    )
    dated = screen_dates(months, protocol)
    assert (dated.policy, str(dated.end), dated.lookback_days) == ("monthly", "2025-06-30", None)
