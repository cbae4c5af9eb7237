"""What real extracts write and synthetic ones did not: blank starts, organ transplants, denials, odd units."""

import pandas as pd
import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.cohort.serology import _word
from feasibility.cohort.units import unit_factor
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS

from ..spec.test_vectors_from_events import INDEX, PROTOCOL, answer, built, lab, write

PREDNISONE = "H02AB07,,prednisone,40,mg,qd,po,,{why},ordered"
TACROLIMUS = "P1,2025-01-01,2025-07-30,L04AD02,,tacrolimus,1,mg,bid,po,,{why},ordered"


def bounds(cohort, name):
    row = cohort.iloc[0]
    return row[name], row.get(f"{name}__upper", row[name])


@pytest.mark.parametrize("stop", ["", "2025-07-10"])
def test_an_order_without_a_start_may_have_run_for_long(tmp_path, stop):
    lines = [f"P1,,{stop}," + PREDNISONE.format(why="rheumatoid arthritis")]
    cohort = built(tmp_path, medications=lines)
    for name, most in (("steroid_days", 40_000), ("steroid_days_ever", 40_000), ("steroid_mg_day_mean", 40),
                       ("steroid_mg_day_current", 40), ("steroid_mg_day_max_ever", 40)):  # fmt: skip
        assert bounds(cohort, name) == (0, most)
    assert PROTOCOL["E2.2"].met(cohort).isna().all()


def test_an_order_without_a_start_that_ended_long_ago_is_not_current(tmp_path):
    cohort = built(tmp_path, medications=["P1,,2025-03-01," + PREDNISONE.format(why="rheumatoid arthritis")])
    assert bounds(cohort, "steroid_days") == (0, 0)
    assert bounds(cohort, "steroid_days_ever")[0] == 0
    assert bounds(cohort, "steroid_days_ever")[1] > 28


def test_an_order_without_a_start_adds_nothing_to_what_is_certain(tmp_path):
    lines = ["P1,2025-05-01,2025-07-01," + PREDNISONE.format(why="lupus"), "P1,,," + PREDNISONE.format(why="lupus")]
    low, high = bounds(built(tmp_path, medications=lines), "steroid_days")
    assert (low, high) == (61, 40_000)


@pytest.mark.parametrize("why", [
    "History of renal transplant", "kidney transplantation", "Liver transplant rejection prophylaxis",
    "status post heart/lung transplant", "heart and lung transplantation", "corneal transplant",
    "cardiac allograft transplant",
    "Transplantation of kidney", "transplanted liver", "Z. n. Nierentransplantation",
    "肾移植术后", "肝脏移植", "肺移植", "心脏移植",
    "solid organ transplant",
])  # fmt: skip
def test_an_organ_transplant_is_another_disease(tmp_path, why):
    cohort = built(tmp_path, medications=[TACROLIMUS.format(why=why)])
    assert bounds(cohort, "nonsteroid_is_days") == (181, 181)


@pytest.mark.parametrize("why", [
    "allogeneic stem cell transplant", "HSCT",
    "造血干细胞移植", "hepatic VOD after transplantation", "GVHD of the lung",
    "cord blood transplant", "bone marrow transplant", "conditioning", "异基因移植后肝GVHD",
])  # fmt: skip
def test_stem_cells_are_the_own_treatment(tmp_path, why):
    assert bounds(built(tmp_path, medications=[TACROLIMUS.format(why=why)]), "nonsteroid_is_days") == (0, 0)


def test_both_transplants_in_one_indication_leave_it_open(tmp_path):
    cohort = built(tmp_path, medications=[TACROLIMUS.format(why="renal transplant; stem cell transplant 2024")])
    assert bounds(cohort, "nonsteroid_is_days") == (0, 181)


@pytest.mark.parametrize(("text", "sign"), [
    ("not positive", -1), ("Non-Reactive", -1), ("non reactive", -1), ("NONREACTIVE", -1), ("HCV RNA undetected", -1),
    ("no antibodies detected", -1), ("None detected", -1), ("HBsAg: non reactive", -1), ("nicht reaktiv", -1),
    ("NEGATIVE (not reactive)", -1), ("not detected by PCR", -1),
    ("未见阳性", -1), ("未检出HBV DNA", -1), ("HIV抗体阴性", -1),
    ("unreactive", -1), ("no evidence of reactivity", -1), ("seronegative", -1),
    ("BORDERLINE POSITIVE", 0), ("positive (borderline)", 0), ("Equivocal/Reactive", 0),
    ("indeterminate - negative", 0),
    ("presumptive positive", 0), ("false positive", 0), ("可疑阳性", 0), ("阳性(可疑)", 0), ("gray-zone reactive", 0),
    ("HBsAg negative, anti-HBc positive", 0), ("not negative", 0),
    ("POSITIVE", 1), ("repeatedly reactive", 1), ("Detected, 1200 copies", 1), ("阳性(+)", 1), ("HIV抗体阳性", 1),
    ("strongly positive", 1), ("weakly reactive", 1), ("confirmed positive", 1), ("positive, notified", 1),
])  # fmt: skip
def test_words_of_a_serology(text, sign):
    assert _word(text) == sign


@pytest.mark.parametrize("text", ["see comment", "not tested", "not done", "haemolysed", "no sample"])
def test_no_answer_in_words(text):
    assert pd.isna(_word(text))


@pytest.mark.parametrize(("text", "expected"), [("not positive", True), ("BORDERLINE POSITIVE", None)])
def test_a_denial_passes_and_a_doubt_stays_open(tmp_path, text, expected):
    cohort = built(tmp_path, labs=[lab("HBsAg", "5196-1", text=text)])
    found = cohort["hbsag"].iloc[0]
    assert (None if found is pd.NA else not found) is expected


@pytest.mark.parametrize(("unit", "factor"), [
    ("#/uL", 0.001), ("# / µL", 0.001), ("#/mm3", 0.001), ("#/mL", 1e-6), ("cells/uL", 0.001), ("Cells/mcL", 0.001),
    ("cell/mm3", 0.001), ("Zellen/µl", 0.001), ("个/uL", 0.001), ("/cumm", 0.001), ("cells/cumm", 0.001), ("K/uL", 1),
    ("K/mcL", 1), ("k/mm3", 1), ("K/cumm", 1), ("Thousand/uL", 1), ("thou/mm3", 1), ("10^3/uL", 1), ("x10E3/uL", 1),
    ("#x10^3/uL", 1), ("10*9/L", 1), ("cells/L", 1e-9), ("#", None), ("#/kg", None), ("cells/HPF", None),
])  # fmt: skip
def test_counts_are_understood_however_they_are_written(unit, factor):
    found = unit_factor(AML_COLUMNS["platelets_10e9_l"], unit)
    assert found == (factor if factor is None else pytest.approx(factor, rel=1e-12))


def test_a_count_per_microlitre_with_a_hash(tmp_path):
    assert answer("I5.3", tmp_path, labs=[lab("", "777-3", "45000", "#/uL")]) is True


def without(tmp_path, table, **files):
    folder = write(tmp_path, **files)
    (folder / f"{table}.csv").unlink()
    return build_cohort(read_extract(folder), as_of(INDEX), AML_COLUMNS)


def test_a_transfusion_known_as_a_procedure_is_known_without_a_table_of_transfusions(tmp_path):
    cohort = without(tmp_path, "transfusions", procedures=["P1,2025-06-27,99.04,Transfusion of packed cells"])
    # A later one may be in the table nobody gave: at most three days ago.
    assert bounds(cohort, "days_since_rbc_transfusion") == (0, 3)
    assert cohort["days_since_platelet_transfusion"].isna().all()


def test_no_transfusion_is_not_known_without_a_table_of_transfusions(tmp_path):
    cohort = without(tmp_path, "transfusions", procedures=["P1,2025-06-27,36.10,CABG"])
    assert cohort["days_since_rbc_transfusion"].isna().all()
    assert "days_since_rbc_transfusion" in cohort.attrs["feasibility"]["columns_absent"]
