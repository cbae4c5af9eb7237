"""Every declared build setting changes the column it is declared for: none may be ignored.

For each setting: another value than the default, and the events of a patient whose cell of that column then differs.
"""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.errors import CohortError
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS

from ..spec.test_vectors_from_events import HEADERS, INDEX, write
from ..spec.test_vectors_from_events import lab as lab_of_p1

LABS = {  # LOINC code, unit, two values, upper limit
    "hemoglobin_g_l": ("718-7", "g/L", "80", "90", ""), "platelets_10e9_l": ("777-3", "10*9/L", "20", "50", ""),
    "lymphocytes_10e9_l": ("731-0", "10*9/L", "0.4", "2", ""), "ast_x_uln": ("1920-8", "U/L", "40", "80", "40"),
    "alt_x_uln": ("1742-6", "U/L", "40", "80", "40"), "bilirubin_x_uln": ("14631-6", "umol/L", "20", "40", "20"),
    "bilirubin_direct_x_uln": ("1968-7", "umol/L", "5", "9", "5"),
    "creatinine_umol_l": ("14682-9", "umol/L", "80", "150", ""),
    "cd3_percent_of_lymphocytes": ("8124-0", "%", "40", "60", ""), "pb_blast_percent": ("26446-5", "%", "1", "9", ""),
    "cd3_10e9_l": ("8122-4", "10*9/L", "0.3", "0.9", ""), "hbv_dna_iu_ml": ("42595-9", "[IU]/mL", "100", "900", ""),
}  # fmt: skip
TESTS = {"pregnancy_test": "2118-8", "hbsag": "5196-1", "anti_hbc": "13952-7", "anti_hcv": "13955-0",
         "hcv_rna_detected": "11259-9", "hiv_viraemic": "20447-9"}  # fmt: skip
P = "{p}"
STEROID = "{p},2025-05-01,2025-06-30,H02AB07,,prednisone,20,mg,qd,po,,%s,ordered"
IN_ASTHMA, IN_LEUKAEMIA = STEROID % "asthma", STEROID % "AML"
REPLACEMENT = (STEROID % "adrenal insufficiency").replace(",20,", ",5,")
AGENT = "{p},%s,%s,L04AD02,,tacrolimus,1,mg,bid,po,,%s,ordered"
ANTIGEN = "EX02,%s,%s,2025-06-01"
REMISSION = "{p},2024-01-10,1,induction,DA,%s,2,,0"
RELAPSE = "{p},2025-01-10,2,,,%s,%s,%s,%s"
ECHO = "{p},2025-03-01,60,echo"
ORDERS_ELSEWHERE = "{p},2025-05-01,2025-05-02,,,penicillin,1,g,qd,po,,,ordered"


def lab(*args, **more):
    return "{p}" + lab_of_p1(*args, **more).removeprefix("P1")


def old(days):
    return str(np.datetime64(INDEX, "D") - days)


CASES = {
    "age_years.leap_day_birthday": ("1 March in common years", {"patients": ["{p},2004-02-29,M,,2025-02-20,"]}),
    "ecog.window_days": (120, {"performance": [f"{P},{old(100)},ECOG,1"]}),
    "ecog.from_kps": (False, {"performance": ["{p},2025-06-20,KPS,80"]}),
    "creatinine_earlier_umol_l.apart_days": (
        30, {"labs": [lab("", "14682-9", "80", "umol/L", old(5)), lab("", "14682-9", "90", "umol/L", old(60))]}),
    "childbearing_potential.age_proxy": (False, {"patients": ["{p},1990-01-01,F,,2025-06-25,"]}),
    "pregnant.test_window_days": (
        30, {"patients": ["{p},1990-01-01,F,,2025-06-25,"], "labs": [lab("", "2118-8", text="negative", day=old(20))]}),
    "pregnant.coded_days": (
        100, {"patients": ["{p},1990-01-01,F,,2025-06-25,"], "diagnoses": [f"{P},{old(200)},O09.9,,,"]}),
    "months_since_mi.include_type2": (False, {"diagnoses": ["{p},2025-03-01,I21.A1,,,"]}),
    "months_since_ventricular_arrhythmia.count_pvc_and_nsvt": (True, {"diagnoses": ["{p},2025-03-01,I47.2,NSVT,,"]}),
    "lvef_min_pct.window_days": (90, {"echo": [f"{P},{old(70)},40,echo"]}),
    "lvef_min_pct.carry_forward": (True, {"echo": [ECHO]}),
    "lvef_latest_pct.window_days": (90, {"echo": [f"{P},{old(70)},40,echo"]}),
    "months_since_hav_igm_positive.closed_world": (False, {"labs": [lab("", "1742-6", "30", "U/L", old(3), "40")]}),
    "months_since_hav_igm_positive.validity_months": (
        24, {"labs": [lab("", "22314-9", text="negative", day=old(400))]}),
    "anti_hbc.negative_after_hbsag": (False, {"labs": [lab("", "5196-1", text="negative")]}),
    "hiv.validity_months": (24, {"labs": [lab("", "56888-1", text="negative", day=old(400))]}),
    "active_infection.window_days": (60, {"infections": [f"{P},{old(40)},1,severe,0"]}),
    "active_infection.iv_proxy_proves_presence": (
        False, {"diagnoses": [f"{P},{old(3)},A41.9,sepsis,,confirmed"],
                "medications": [f"{P},{old(3)},2025-07-05,J01DH02,,meropenem,1,g,q8h,iv,,sepsis,ordered"]}),
    "cd3_10e9_l.derive_from_percent": (
        False, {"labs": [lab("", "731-0", "1", "10*9/L"), lab("", "8124-0", "60", "%")]}),
    "cd3_10e9_l.bound_by_lymphocytes": (False, {"labs": [lab("", "731-0", "0.4", "10*9/L")]}),
    "cd3_10e9_l.leukaemic_cd3_gate": (
        "excluded", {"labs": [lab("", "8122-4", "0.9", "10*9/L")], "diagnoses": ["{p},2024-01-01,C95.0,,,"]}),
    "n_relapses.count_extramedullary_only": (
        False, {"responses": [REMISSION % "CR", RELAPSE % ("", "", "", 1)]}),
    "n_relapses.count_molecular": (True, {"responses": [REMISSION % "CR", RELAPSE % ("", "", "positive", 0)]}),
    "n_relapses.remissions": (("CR_MRDneg", "CR"), {"responses": [REMISSION % "CRi", RELAPSE % ("PD", 40, "", 0)]}),
    "em_active.window_days": (365, {"responses": [f"{P},{old(200)},1,,,,,,1"]}),
    "em_active.sites": ("non_cns", {"responses": [f"{P},{old(20)},1,,,,,,1"]}),
    "em_active.nodes_liver_spleen": (
        True, {"responses": [f"{P},{old(20)},1,,,,,,0"], "diagnoses": [f"{P},{old(10)},R16.2,,,"]}),
    "ex02_positive.specimens": (("blood",), {"flow": ["{p}," + ANTIGEN % (0, "bone marrow")]}),
    "ex02_percent.specimens": (("marrow",), {"flow": ["{p}," + ANTIGEN % (60, "外周血")]}),
    "days_since_immunosuppressant.steroid_floor_mg": (
        25, {"transplants": ["{p},2024-01-01,allogeneic,,,,,,,"], "medications": [IN_ASTHMA]}),
    "gvhd_active.window_days": (365, {"transplants": [f"{P},2024-01-01,allo,,,2024-06-01,I,none,active,{old(200)}"]}),
}  # fmt: skip

for name in ("hbsag", "anti_hbc", "anti_hcv", "hcv_rna_detected", "hiv_viraemic", "pregnancy_test"):
    CASES[f"{name}.window_days"] = (900, {"labs": [lab("", TESTS[name], text="positive", day=old(500))]})
for name, (code, unit, low, high, limit) in LABS.items():
    CASES[f"{name}.window_days"] = (120, {"labs": [lab("", code, low, unit, old(100), limit)]})
    CASES[f"{name}.ties"] = ("best", {"labs": [lab("", code, v, unit, old(5), limit) for v in (low, high)]})
    CASES[f"{name}.uln_fallback"] = (35, {"labs": [lab("", code, low, unit, old(5), "")]})
MEDICATION = ("nonsteroid_is_days", "nonsteroid_is_days_ever", "steroid_days", "steroid_days_ever",
              "steroid_mg_day_mean", "steroid_mg_day_current", "steroid_mg_day_max",
              "steroid_mg_day_max_ever")  # fmt: skip
for name in MEDICATION:
    own = AGENT % ("2025-05-01", "2025-06-30", "AML") if name.startswith("non") else IN_LEUKAEMIA
    CASES[f"{name}.other_disease_only"] = (False, {"medications": [own]})
    CASES[f"{name}.physiologic_replacement_mg"] = (2.5, {"medications": [REPLACEMENT]})
    gap = [AGENT % (a, b, "nephrosis") for a, b in (("2025-05-01", "2025-05-20"), ("2025-05-29", "2025-06-20"))]
    if name.startswith("steroid"):
        gap = [line.replace("L04AD02,,tacrolimus", "H02AB07,,prednisone") for line in gap]
    CASES[f"{name}.bridge_gap_days"] = (14, {"medications": gap})
SETTINGS = AML_COLUMNS.settings()
CASES = {name: case for name, case in CASES.items() if name in SETTINGS}
IDS = {name: f"P{i:03d}" for i, name in enumerate(CASES)}


def test_every_setting_has_a_case():
    assert set(CASES) == set(SETTINGS)
    for name, (value, _) in CASES.items():
        assert value != SETTINGS[name]


@pytest.fixture(scope="module")
def extract(tmp_path_factory):
    """One extract with a patient for every setting."""
    files = defaultdict(list)
    for name, (_, tables) in CASES.items():
        for table, lines in {"patients": ["{p},1980-01-01,M,,2025-06-25,"], **tables}.items():
            files[table] += [line.replace("{p}", IDS[name]) for line in lines]
    folder = tmp_path_factory.mktemp("settings")
    flow = files.pop("flow")
    write(folder, **files)
    (folder / "flow.csv").write_text("\n".join(["pid,antigen,pct,specimen,date", *flow]) + "\n", encoding="utf-8")
    return read_extract(folder)


def day_of(name):
    """The leap day shows on 28 February of a common year only."""
    return "2025-02-28" if name.startswith("age_years.") else INDEX


def cells(cohort, name):
    """The column of a setting, of its patient: value, upper bound and age."""
    column = name.split(".")[0]
    row = cohort.xs(IDS[name], level="patient_id").iloc[0]
    wanted = [c for c in (column, column + "__upper", AML_COLUMNS[column].companion) if c and c in row]
    return {c: None if row[c] is pd.NA else row[c] for c in wanted}


def build(extract, name, value):
    return cells(build_cohort(extract, as_of(day_of(name)), AML_COLUMNS, {name: value}), name)


def groups():
    """Settings that may be changed in one build: never two of columns that are made from the same orders or notes."""
    found = []
    for name in CASES:
        column = AML_COLUMNS[name.split(".")[0]]
        family = column.name if column.tables == ("labs",) else column.events
        family = day_of(name) if day_of(name) != INDEX else family
        fits = (g for g in found if family not in g and not {family, *g} & {"2025-02-28"})
        group = next(fits, None)
        if group is None:
            found.append(group := {})
        group[family] = name
    return [tuple(g.values()) for g in found]


GROUP = {name: group for group in groups() for name in group}


@pytest.fixture(scope="module")
def usual(extract):
    return {day: build_cohort(extract, as_of(day), AML_COLUMNS) for day in (INDEX, "2025-02-28")}


@pytest.fixture(scope="module")
def changed(extract):
    """The cohort built with another value of a setting, and of others that have nothing to do with it."""
    made = {}

    def cohort(name):
        group = GROUP[name]
        if group not in made:
            made[group] = build_cohort(extract, as_of(day_of(name)), AML_COLUMNS, {n: CASES[n][0] for n in group})
        return made[group]

    return cohort


@pytest.mark.parametrize("name", CASES)
def test_a_setting_changes_its_column(usual, changed, name):
    before, after = cells(usual[day_of(name)], name), cells(changed(name), name)
    column = name.split(".")[0]
    ends = (column, column + "__upper")
    assert [before.get(c) for c in ends] != [after.get(c) for c in ends], before


@pytest.mark.parametrize(("ties", "expected"), [("worst", 80.0), ("best", 90.0), ("last", 90.0), ("mean", 85.0)])
def test_ties(extract, ties, expected):
    name = "hemoglobin_g_l.ties"
    assert build(extract, name, ties)["hemoglobin_g_l"] == expected


def test_the_mean_of_a_ratio_is_over_each_row_s_own_limit(extract):
    assert build(extract, "ast_x_uln.ties", "mean")["ast_x_uln"] == 1.5


def test_a_normal_ejection_fraction_carried_forward_keeps_its_age(changed):
    name = "lvef_min_pct.carry_forward"
    assert cells(changed(name), name) == {"lvef_min_pct": 60.0, "days_since_lvef_min_pct": 121.0}


@pytest.mark.parametrize(("tables", "expected"), [
    ({}, 60.0), ({"diagnoses": ["P1,2025-04-01,I50.9,,,"]}, None), ({"diagnoses": ["P1,2024-04-01,I50.9,,,"]}, 60.0),
    ({"medications": ["P1,2025-04-01,2025-04-03,L01DB06,,idarubicin,12,mg,qd,iv,,AML,ordered"]}, None),
    ({"medications": ["P1,2024-04-01,2024-04-03,L01DB06,,idarubicin,12,mg,qd,iv,,AML,ordered"]}, 60.0),
    ({"medications": ["P1,2024-04-01,,,,柔红霉素,60,mg,qd,iv,,AML,ordered"]}, None),
    ({"echo": ["P1,2025-03-01,49,echo"]}, None), ({"echo": ["P1,2024-12-01,60,echo"]}, None),
])  # fmt: skip
def test_what_forbids_carrying_forward(tmp_path, tables, expected):
    files = {"echo": ["P1,2025-03-01,60,echo"]} | tables
    cohort = build_cohort(
        read_extract(write(tmp_path, **files)), as_of(INDEX), AML_COLUMNS, {"lvef_min_pct.carry_forward": True}
    )
    value = cohort["lvef_min_pct"].iloc[0]
    assert (None if value is pd.NA else value) == expected


SEPSIS = "P1,2025-06-20,A41.9,sepsis,,confirmed"
MEROPENEM = "P1,2025-06-20,2025-07-02,J01DH02,,meropenem,1,g,q8h,iv drip,,sepsis,ordered"


@pytest.mark.parametrize(("diagnosis", "order", "assessed", "expected"), [
    (SEPSIS, MEROPENEM, "", (True, True, False)),
    (SEPSIS, MEROPENEM.replace("iv drip", "po"), "", (None, None, None)),
    (SEPSIS, MEROPENEM.replace("2025-07-02", "2025-06-29"), "", (None, None, None)),
    (SEPSIS, MEROPENEM.replace("2025-07-02", ""), "", (None, None, None)),
    (SEPSIS, MEROPENEM.replace("ordered", "cancelled"), "", (None, None, None)),
    (SEPSIS.replace("confirmed", "suspected"), MEROPENEM, "", (None, None, None)),
    (SEPSIS.replace("2025-06-20", "2025-05-20"), MEROPENEM, "", (None, None, None)),
    (SEPSIS, MEROPENEM, "P1,2025-06-28,0,,", (False, None, None)),
])  # fmt: skip
def test_treatment_in_the_vein_proves_an_infection_that_nobody_assessed(tmp_path, diagnosis, order, assessed, expected):
    files = {"diagnoses": [diagnosis], "medications": [order], "infections": [assessed] if assessed else []}
    cohort = build_cohort(read_extract(write(tmp_path, **files)), as_of(INDEX), AML_COLUMNS)
    cells = cohort[["active_infection", "infection_severe", "infection_controlled"]].iloc[0]
    assert tuple(None if v is pd.NA else bool(v) for v in cells) == expected


@pytest.mark.parametrize(("setting", "value", "message"), [
    ("hemoglobin_g_l.ties", "median", "ties 'median' is not one of worst, best"),
    ("em_active.sites", "brain", "'brain' is not one of all including CNS, non_cns"),
    ("ex02_percent.specimens", "liver", "'liver' is not one of blood, marrow"),
    ("n_relapses.remissions", "CRR", "'CRR' is no response. Did you mean 'CR'"),
    ("cd3_10e9_l.leukaemic_cd3_gate", "on", "'on' is not one of ignored, excluded"),
    ("age_years.leap_day_birthday", "today", "leap_day_birthday is 'today'"),
])  # fmt: skip
def test_a_value_that_a_setting_does_not_have(extract, setting, value, message):
    with pytest.raises(CohortError, match=message):
        build_cohort(extract, as_of(INDEX), AML_COLUMNS, {setting: value})


def test_no_case_needs_a_table_that_is_not_written():
    assert {table for _, tables in CASES.values() for table in tables} <= {*HEADERS, "flow"}
