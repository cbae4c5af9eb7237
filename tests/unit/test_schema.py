"""Column declarations: what they refuse, and the pandera schema made from them."""

from __future__ import annotations

import pandera.errors
import pytest
from helpers import ROOT

import feasibility as fz
from feasibility.cohort.common import GENERAL
from feasibility.cohort.schema import DTYPES, CohortTable, Column

AGE = Column(name="age_years", dtype="Int64", doc="Age.", hard=(0, 120))


@pytest.fixture(scope="module")
def columns():
    return fz.load_trial("NCT06642025").columns


@pytest.fixture(scope="module")
def cohort(columns):
    return fz.read_cohort(ROOT / "synthetic_data" / "registry_sample.csv", columns)


def test_the_shipped_cohort_fits_the_schema(columns, cohort):
    columns.schema(cohort.columns.intersection(list(columns))).validate(cohort, lazy=True)
    assert {str(d) for d in cohort.dtypes} <= {"Float64", "Int64", "boolean", "string"}
    assert all(d in DTYPES.values() for d in cohort.dtypes)


def test_the_schema_finds_an_impossible_value_and_an_unknown_code(columns, cohort):
    with pytest.raises(pandera.errors.SchemaErrors):
        columns.schema(["hemoglobin_g_l"]).validate(cohort.assign(hemoglobin_g_l=9999.0), lazy=True)
    with pytest.raises(pandera.errors.SchemaErrors):
        columns.schema(["sex"]).validate(cohort.assign(sex="m").astype({"sex": DTYPES["string"]}), lazy=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float64"}, "dtype 'float64' is not one of Float64, Int64, boolean, string"),
        ({"absence": "none"}, "absence 'none'"),
        ({"absence": "closed"}, "say in `why`"),
        ({"dated": "weeks"}, "dated is 'weeks'"),
        ({"values": ("a",)}, "only a string column has coded values"),
    ],
)
def test_a_declaration_that_says_too_little_is_refused(change, message):
    with pytest.raises(fz.CohortError, match=message):
        Column(**({"name": "x", "dtype": "Int64", "doc": "X."} | change))


def test_one_column_is_declared_once():
    with pytest.raises(fz.CohortError, match="'age_years' is declared twice, differently"):
        CohortTable([AGE, Column(name="age_years", dtype="Float64", doc="Age.")])
    assert len(CohortTable([AGE, AGE])) == 1


def test_dated_columns_bring_their_companion():
    table = GENERAL.select(["hemoglobin_g_l"])
    assert list(table) == ["hemoglobin_g_l", "days_since_hemoglobin_g_l"]
    assert "hemoglobin_g_l__upper" in table
    with pytest.raises(fz.CohortError, match="Did you mean 'hemoglobin_g_l'"):
        table["hemoglobin"]


def test_the_build_fingerprint_changes_with_a_setting_and_a_declaration(columns):
    setting = next(iter(columns.settings()))
    assert columns.fingerprint({setting: "another"}) != columns.fingerprint()
    assert GENERAL.fingerprint() != columns.fingerprint()


def test_every_column_says_what_it_is(columns):
    table = columns.dictionary()
    assert (table.meaning.str.len() > 5).all()
    assert not table.index.duplicated().any()
    structural = table[table.absence.str.startswith(("no record means it", "the fact"))]
    assert structural.absence.str.contains(":").all()


def test_no_column_of_the_core_knows_leukaemia():
    words = ("leuk", "aml", "blast", "remission", "relapse", "transplant", "gvhd")
    for name, row in GENERAL.dictionary().iterrows():
        text = f"{name} {row.meaning} {row.fills}".lower()
        assert not any(w in text for w in words), name
