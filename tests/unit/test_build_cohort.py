"""From small literal events to cells: windows, ties, units, silence, index dates and the reasons of unknown cells."""

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import after_event, as_of, at_changes, monthly
from feasibility.errors import CohortError
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


def test_at_changes_has_the_events_and_the_days_after_their_windows(tmp_path):
    extract = read_extract(write(tmp_path, labs=[lab("", "718-7", "85", "g/L", "2025-06-03")]))
    rule = at_changes("2025-06-01", "2025-06-30", days=(14,), months=())
    _, days, _ = rule.pairs(extract)
    assert [str(d) for d in days] == ["2025-06-01", "2025-06-03", "2025-06-18", "2025-06-25"]


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
