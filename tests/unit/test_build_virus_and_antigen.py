"""Units of virus DNA, tests for pregnancy below a limit, viral control in words, the antigen, the kind of leukaemia."""

import pandas as pd
import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.sources.native import read_extract
from feasibility.trials.aml import AML_COLUMNS

from ..spec.test_vectors_from_events import INDEX, lab, write


def built(folder, settings=None, flow=None, **files):
    write(folder, **files)
    if flow is not None:
        (folder / "flow.csv").write_text("\n".join(["pid,antigen,pct,specimen,date", *flow]) + "\n", encoding="utf-8")
    return build_cohort(read_extract(folder), as_of(INDEX), AML_COLUMNS, settings)


def cell(cohort, name):
    value = cohort[name].iloc[0]
    return None if value is pd.NA else value


@pytest.mark.parametrize(("code", "value", "unit", "low", "high"), [
    ("42595-9", "2000", "IU/mL", 2000, 2000), ("42595-9", "3", "log10 IU/mL", 1000, 1000),
    ("42595-9", "3", "lg IU/mL", 1000, 1000), ("48398-2", "3", "", 1000, 1000),
    ("48398-2", "3", "Log10 [IU]/mL", 1000, 1000), ("42595-9", "5800", "copies/mL", 1000, 1160),
    ("42595-9", "5800", "cp/mL", 1000, 1160), ("42595-9", "2", "log10 copies/mL", 100 / 5.8, 20),
    ("42595-9", "<20", "IU/mL", 0, 0), ("42595-9", "<100", "copies/mL", 0, 0), ("42595-9", "<20", "", 0, 0),
    ("48398-2", "<1.3", "", 0, 0),
])  # fmt: skip
def test_virus_dna(tmp_path, code, value, unit, low, high):
    cohort = built(tmp_path, labs=[lab("", code, value, unit)])
    upper = cohort["hbv_dna_iu_ml__upper"] if "hbv_dna_iu_ml__upper" in cohort else cohort["hbv_dna_iu_ml"]
    assert (cell(cohort, "hbv_dna_iu_ml"), upper.iloc[0]) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(("code", "unit"), [("42595-9", ""), ("42595-9", "PEI-U"), ("42595-9", "ng/mL")])
def test_virus_dna_of_an_ambiguous_or_strange_unit_is_unknown(tmp_path, code, unit):
    cohort = built(tmp_path, labs=[lab("", code, "3.2", unit)])
    assert cell(cohort, "hbv_dna_iu_ml") is None
    assert cohort.attrs["feasibility"]["unknown"]["hbv_dna_iu_ml"] == {"unit_unknown": 1}


@pytest.mark.parametrize(("value", "unit", "expected"), [
    ("4.9", "mIU/mL", "negative"), ("5", "mIU/mL", "positive"), ("<5", "IU/L", "negative"), ("<10", "mIU/mL", None),
    ("0.004", "IU/mL", "negative"), ("3", "", None),
])  # fmt: skip
def test_quantitative_hcg(tmp_path, value, unit, expected):
    cohort = built(tmp_path, patients=["P1,1990-01-01,F,,2025-06-25,"], labs=[lab("", "19080-1", value, unit)])
    assert cell(cohort, "pregnancy_test") == expected


@pytest.mark.parametrize(("texts", "expected"), [
    (["chronic hepatitis B, controlled"], True), (["慢性乙型肝炎，已控制"], True), (["not controlled"], False),
    (["病毒未控制"], False), (["chronic hepatitis B"], None), (["controlled", "uncontrolled"], None), ([], None),
])  # fmt: skip
def test_control_of_a_viral_infection_is_in_words(tmp_path, texts, expected):
    lines = [f'P1,2024-01-0{i + 1},B18.{1 + i},"{text}",,' for i, text in enumerate(texts)]
    assert cell(built(tmp_path, diagnoses=lines), "viral_infection_controlled") == expected


@pytest.mark.parametrize(("flow", "specimens", "percent", "verdict", "days"), [
    (["P1,EX02,60,bone marrow,2025-06-20"], None, 60.0, None, 10.0),
    (["P1,EX02,0,PB,2025-06-20"], None, 0.0, False, 10.0),
    (["P1,EX02,0,PB,2025-06-20", "P1,EX-02,30,骨髓,2025-06-20"], None, 30.0, None, 10.0),
    (["P1,EX02,0,PB,2025-06-20", "P1,EX02,30,BM,2025-06-20"], "blood", 0.0, False, 10.0),
    (["P1,EX02,30,skin lesion,2025-06-20"], "blood, marrow", None, None, None),
    (["P1,EX02,30,,2025-06-20"], None, 30.0, None, 10.0), (["P1,EX02,30,,2025-06-20"], "blood", None, None, None),
    (["P1,CD33,60,bone marrow,2025-06-20"], None, None, None, None),
])  # fmt: skip
def test_the_antigen_is_a_share_and_no_verdict(tmp_path, flow, specimens, percent, verdict, days):
    chosen = {f"ex02_{c}.specimens": specimens for c in ("percent", "positive")} if specimens else None
    cohort = built(tmp_path, chosen, flow)
    cells = tuple(cell(cohort, c) for c in ("ex02_percent", "ex02_positive", "days_since_ex02_positive"))
    assert cells == (percent, verdict, days)


@pytest.mark.parametrize(("lines", "expected"), [
    (["P1,2024-01-01,C91.0,,,"], "other"), (["P1,2024-01-01,C91.0,,,ruled out"], None),
    (["P1,2024-01-01,C92.0,,,", "P1,2024-01-02,C92.4,,,suspected"], None),
    (["P1,2024-01-01,C92.0,,,", "P1,2020-01-02,D46.9,,,"], "aml_non_apl"), (["P1,2024-01-01,I50.9,,,"], None),
])  # fmt: skip
def test_the_kind_of_leukaemia(tmp_path, lines, expected):
    assert cell(built(tmp_path, diagnoses=lines), "aml_subtype") == expected


@pytest.mark.parametrize(("include", "months"), [(True, 0.5), (False, None)])
def test_an_infarction_of_type_2_counts_as_the_setting_says(tmp_path, include, months):
    lines = ["P1,2025-06-15,I21.A1,,,", "P1,2020-06-30,I21.4,,,"]
    cohort = built(tmp_path, {"months_since_mi.include_type2": include}, diagnoses=lines)
    assert cell(cohort, "months_since_mi") == pytest.approx(months or 60.0, abs=0.02)
