"""A trial of another disease gets its columns by declaring them with code lists of its own."""

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.build import build_cohort
from feasibility.cohort.declared import BuildStep, Measured, Words
from feasibility.cohort.index_dates import as_of, monthly
from feasibility.cohort.schema import CohortTable, Column
from feasibility.errors import CohortError
from feasibility.sources.native import read_extract

from ..spec.test_vectors_from_events import INDEX, lab, write

LISTS = {
    "stroke": ["icd10,I63*", "icd10,I64"],
    "stent": ["icd9proc,36.06", "icd9proc,36.07"],
    "nt_probnp": ["loinc,33762-6", "local,NT-proBNP"],
    "troponin": ["loinc,6598-7"],
    "bleeding": ["icd10,K92.2", "icd10,I61*"],
    "anticoagulants": ["atc,B01AA*", "local,warfarin", "local,华法林"],
    "her2": ["local,HER2 IHC"],
    "cytomegalovirus_igm": ["loinc,5124-3"],
    "tuberculosis_test": ["local,IGRA"],
    "tuberculosis_culture": ["local,TB culture"],
    "tuberculosis": ["icd10,A15*"],
    "contrast_media": ["local,iohexol"],
}
OBSERVED = {"absence": "closed", "why": "seen in the 12 months before"}
TOY = CohortTable(
    [
        Column(name="stroke_ever", dtype="boolean", doc="A stroke ever.", statistic="ever", events="diagnoses",
               codelist="stroke", **OBSERVED),
        Column(name="months_since_stroke", dtype="Float64", doc="Months since a stroke.", statistic="months_since",
               events="diagnoses", codelist="stroke", unit="mo", **OBSERVED),
        Column(name="stroke_noted", dtype="boolean", doc="A stroke, silence unknown.", statistic="ever",
               events="diagnoses", codelist="stroke"),
        Column(name="days_since_stent", dtype="Float64", doc="Days since a stent.", statistic="days_since", unit="d",
               events="procedures", codelist="stent", **OBSERVED),
        Column(name="days_since_anticoagulant", dtype="Float64", doc="Days since an order of one began.", unit="d",
               statistic="days_since", events="medications", codelist="anticoagulants", **OBSERVED),
        Column(name="bleedings", dtype="Int64", doc="Days with a bleeding in 720 days.", statistic="count",
               events="diagnoses", codelist="bleeding", settings={"window_days": 720}, **OBSERVED),
        Column(name="bleeding_severe", dtype="boolean", doc="A bleeding was severe.", statistic="in_words",
               events="diagnoses", codelist="bleeding", words=Words(yes="severe|major", no="minor")),
        Column(name="nt_probnp_ng_l", dtype="Float64", doc="NT-proBNP.", statistic="latest", events="labs",
               codelist="nt_probnp", unit="ng/L", units={"pg/mL": 1, "pmol/L": 8.457}, hard=(1, 1e6), dated="days",
               settings={"window_days": 60, "ties": "worst"}),
        Column(name="troponin_peak_ng_l", dtype="Float64", doc="Highest troponin.", statistic="worst", events="labs",
               codelist="troponin", unit="ng/L", hard=(0, 1e6), dated="days", settings={"window_days": 365}),
        Column(name="troponin_first_ng_l", dtype="Float64", doc="First troponin.", statistic="first", events="labs",
               codelist="troponin", unit="ng/L", hard=(0, 1e6), settings={"window_days": 365}),
        Column(name="troponin_earlier_ng_l", dtype="Float64", doc="The one before.", statistic="earlier",
               events="labs", of="nt_probnp_ng_l", unit="ng/L", settings={"apart_days": 7}),
        Column(name="her2", dtype="string", values=("negative", "positive"), doc="HER2.", statistic="reactive",
               events="labs", codelist="her2", dated="days", settings={"window_days": 3650}),
        Column(name="cmv_igm", dtype="boolean", doc="CMV IgM.", statistic="reactive", events="labs",
               codelist="cytomegalovirus_igm", measured=Measured(unit="[arb'U]/mL", units={"AU/mL": 1},
               positive_from=30.0)),
        Column(name="tuberculosis", dtype="boolean", doc="Tuberculosis.", statistic="confirmed",
               events="labs, diagnoses", codelist="tuberculosis_test",
               lists={"labs": "tuberculosis_culture", "diagnoses": "tuberculosis"}),
        Column(name="contrast_allergy", dtype="boolean", doc="Severe reaction to contrast.", events="allergies",
               statistic="severe_reaction", codelist="contrast_media", **OBSERVED),
    ]
)  # fmt: skip


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    for name, rows in LISTS.items():
        lines = ["system,code,term,source,certainty", *(f"{row},{name},test,R+" for row in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def built(tmp_path, lists, table=TOY, settings=None, **files):
    extract = read_extract(write(tmp_path / "extract", **files))
    cohort = build_cohort(extract, as_of(INDEX), table, settings, codelists=[lists])
    return {n: None if v is pd.NA else v for n, v in cohort.iloc[0].items()} | {"": cohort}


def test_an_observed_patient_without_events(tmp_path, lists):
    cells = built(tmp_path, lists)
    assert list(cells[""].columns) == list(TOY)
    assert (cells["stroke_ever"], cells["months_since_stroke"], cells["days_since_stent"]) == (False, np.inf, np.inf)
    assert (cells["bleedings"], cells["stroke_noted"], cells["her2"], cells["contrast_allergy"]) == (
        0,
        None,
        None,
        None,
    )


def test_diagnoses_procedures_drugs_and_words(tmp_path, lists):
    cells = built(
        tmp_path, lists,
        diagnoses=["P1,2024-12-30,I63.9,,primary,confirmed", "P1,2025-01-02,K92.2,major bleeding,,",
                   "P1,2025-01-02,I61.0,,,", "P1,2024-03-01,K922,,,", "P1,2020-03-01,K922,,,",
                   "P1,2025-07-01,I64,,,"],
        procedures=["P1,2025-06-20,36.07,"], medications=["P1,2025-06-10,,,,华法林,3,mg,qd,po,,,ordered"],
        allergies=["P1,2020-01-01,Iohexol,anaphylaxis,active"],
    )  # fmt: skip
    assert cells["stroke_ever"] is True or cells["stroke_ever"] == True  # noqa: E712
    assert cells["months_since_stroke"] == 6.0
    assert (cells["days_since_stent"], cells["days_since_anticoagulant"]) == (10.0, 20.0)
    assert (cells["bleedings"], cells["bleeding_severe"], cells["contrast_allergy"]) == (2, True, True)


def test_laboratory_numbers(tmp_path, lists):
    labs = [lab("", "33762-6", "100", "pmol/L", "2025-06-20"), lab("", "33762-6", "900", "ng/L", "2025-06-20"),
            lab("NT-proBNP", "", "500", "pg/mL", "2025-06-01"),
            lab("", "6598-7", "14", "ng/L", "2025-06-20"), lab("", "6598-7", "700", "ng/L", "2025-02-01"),
            lab("", "6598-7", "20", "ng/L", "2025-01-01"), lab("", "6598-7", "9000", "ng/L", "2025-07-01")]  # fmt: skip
    cells = built(tmp_path, lists, labs=labs)
    assert (cells["nt_probnp_ng_l"], cells["days_since_nt_probnp_ng_l"]) == (900.0, 10.0)  # 100 pmol/L is 846 ng/L
    assert (cells["troponin_peak_ng_l"], cells["days_since_troponin_peak_ng_l"]) == (700.0, 149.0)
    assert (cells["troponin_first_ng_l"], cells["troponin_earlier_ng_l"]) == (20.0, 500.0)


@pytest.mark.parametrize(("labs", "diagnoses", "expected"), [
    ([lab("IGRA", text="negative")], [], False), ([lab("IGRA", text="positive")], [], None),
    ([lab("IGRA", text="positive"), lab("TB culture", text="positive", day="2024-01-01")], [], True),
    ([], ["P1,2010-01-01,A15.0,,,"], True), ([], [], None),
])  # fmt: skip
def test_a_disease_that_is_confirmed_or_excluded(tmp_path, lists, labs, diagnoses, expected):
    assert built(tmp_path, lists, labs=labs, diagnoses=diagnoses)["tuberculosis"] == expected


@pytest.mark.parametrize(("value", "unit", "expected"), [
    ("29", "AU/mL", False), ("30", "AU/mL", True), ("<10", "AU/mL", False), ("<50", "AU/mL", None), ("40", "", None),
])  # fmt: skip
def test_a_test_with_a_declared_cut_off(tmp_path, lists, value, unit, expected):
    assert built(tmp_path, lists, labs=[lab("", "5124-3", value, unit)])["cmv_igm"] == expected


def test_a_coded_answer(tmp_path, lists):
    cells = built(tmp_path, lists, labs=[lab("HER2 IHC", text="3+", day="2024-06-30")])
    assert (cells["her2"], cells["days_since_her2"]) == ("positive", 365.0)


def test_a_count_is_bounded_by_what_is_not_sure(tmp_path, lists):
    lines = ["P1,2025-01-02,K92.2,,,", "P1,2023-07,K92.2,,,", "P1,2025-02-02,K92.2,,,suspected", "P1,,K92.2,,,"]
    cells = built(tmp_path, lists, diagnoses=lines)
    assert (cells["bleedings"], cells["bleedings__upper"]) == (1, 4)
    wide = built(tmp_path, lists, settings={"bleedings.window_days": 3650}, diagnoses=lines)
    assert (wide["bleedings"], wide["bleedings__upper"]) == (2, 4)


def test_a_step_of_the_trial_s_own(tmp_path, lists):
    def risk(rows):
        rows.put("score", rows.built["stroke_ever"].plain * 2.0)

    table = TOY | CohortTable([Column(name="score", dtype="Float64", doc="Two points a stroke.")],
                              [BuildStep("score", risk)])  # fmt: skip
    cells = built(tmp_path, lists, table, diagnoses=["P1,2020-01-01,I64,,,"])
    assert cells["score"] == 2.0
    assert table.fingerprint() != (TOY | CohortTable([table["score"]])).fingerprint()


def test_words_of_the_own_disease_belong_to_the_table():
    one, other = CohortTable([], own_words=["cancer"]), CohortTable([], own_words=["stroke", "cancer"])
    assert (one | other).own_words == ("cancer", "stroke")
    assert (one | other).fingerprint() != one.fingerprint()


def test_absent_tables_leave_the_columns_unknown(tmp_path, lists):
    write(tmp_path / "extract")
    for name in ("procedures", "medications", "allergies"):
        (tmp_path / "extract" / f"{name}.csv").unlink()
    cohort = build_cohort(read_extract(tmp_path / "extract"), as_of(INDEX), TOY, codelists=[lists])
    assert cohort[["days_since_stent", "days_since_anticoagulant", "contrast_allergy"]].isna().all(axis=None)
    assert not cohort["stroke_ever"].isna().any()


def test_several_index_dates_see_only_their_past(tmp_path, lists):
    extract = read_extract(
        write(tmp_path / "extract", diagnoses=["P1,2025-05-15,I64,,,"], procedures=["P1,2025-06-20,36.07,"])
    )
    cohort = build_cohort(extract, monthly("2025-04-30", "2025-06-30", observed_months=None), TOY, codelists=[lists])
    # Without a visit in the year before nobody knows that nothing happened.
    assert [None if v is pd.NA else bool(v) for v in cohort["stroke_ever"]] == [None, True, True]
    assert [None if v is pd.NA else v for v in cohort["days_since_stent"]][-1] == 10.0


@pytest.mark.parametrize(("change", "message"), [
    ({"statistic": "mode"}, "Column 'x': statistic 'mode' is not one of latest, worst"),
    ({"statistic": "ever", "events": "diagnoses"}, "'ever' needs a `codelist`"),
    ({"statistic": "ever", "events": "echo", "codelist": "a"}, "'ever' is made from diagnoses, procedures"),
    ({"statistic": "ever", "events": "diagnoses", "codelist": "a", "dtype": "Int64"}, "gives a boolean column"),
    ({"statistic": "count", "events": "diagnoses", "codelist": "a"}, "'count' gives a number, not boolean"),
    ({"statistic": "reactive", "events": "diagnoses", "codelist": "a"}, "'reactive' is made from labs: say so"),
    ({"statistic": "earlier", "events": "labs", "dtype": "Float64"}, "'earlier' needs `of`"),
    ({"statistic": "in_words", "events": "diagnoses", "codelist": "a"}, "'in_words' needs `words`"),
])  # fmt: skip
def test_a_declaration_that_cannot_be_built_is_refused(change, message):
    with pytest.raises(CohortError, match=message):
        Column(**({"name": "x", "dtype": "boolean", "doc": "X."} | change))


def test_a_declared_list_that_is_nowhere_is_an_error(tmp_path):
    with pytest.raises(CohortError, match="no code list .nt_probnp."):
        build_cohort(read_extract(write(tmp_path, diagnoses=["P1,2024-12-30,I63.9,,,"])), as_of(INDEX), TOY)
