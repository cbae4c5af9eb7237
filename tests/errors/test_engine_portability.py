"""What a database is not asked: criteria on which engines would differ, columns of another kind, impossible values."""

from __future__ import annotations

from dataclasses import replace

import ibis
import pandas as pd
import pyarrow as pa
import pytest

import feasibility as fz
from feasibility.cohort.schema import DTYPES
from feasibility.engine.ibis_engine import count_strata, masks


@pytest.fixture
def con():
    return ibis.duckdb.connect()


@pytest.fixture
def unasked():
    """A table that exists nowhere: whoever runs a query on it fails otherwise than by our errors."""
    return ibis.table({"ecog": "int64", "hemoglobin_g_l": "float64", "aml_subtype": "string"}, name="nowhere")


def starting_with(aml_subtype):
    return aml_subtype.startswith("a")


def as_pandas_texts(aml_subtype):
    return aml_subtype.str.upper() == "AML"


def ordered(aml_subtype):
    return aml_subtype >= "m"


def filled(ecog):
    return ecog.fill_null(0) <= 1


def floored(hemoglobin_g_l):
    return hemoglobin_g_l.floor() > 60


def a_number(ecog):
    return ecog + 1


def one_answer(ecog):
    return True


def protocol_of(function, **more):
    """A protocol of one criterion that nobody checked when it was declared, as where no source is at hand."""
    name = function.__code__.co_varnames[0]

    @fz.inclusion("T1", "a test")
    def fine(x):
        return x == 1

    made = replace(fine, function=function, name=function.__name__, columns=(name,))
    return fz.Protocol("T", "t", [made], **more)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (starting_with, r"Criterion T1 \(starting_with\) uses the operation StartsWith, on which engines differ"),
        (as_pandas_texts, r"Criterion T1 \(as_pandas_texts\) does not run on a database: .*'str'"),
        (ordered, r"Criterion T1 \(ordered\) uses the operation GreaterEqual on texts, whose order depends"),
        (filled, r"Criterion T1 \(filled\) uses the operation Coalesce"),
        (floored, r"Criterion T1 \(floored\) uses the operation Floor"),
        (a_number, r"Criterion T1 \(a_number\) does not answer with truth values on a database, but with int64"),
        (one_answer, r"Criterion T1 \(one_answer\) does not answer with truth values on a database, but with bool"),
    ],
)
def test_the_operation_is_named_before_anything_runs(function, message, unasked):
    with pytest.raises(fz.ScreeningError, match=message):
        fz.count_patterns(unasked, protocol_of(function))


def test_an_operation_in_the_source_is_refused_when_it_is_declared():
    with pytest.raises(fz.ProtocolError, match=r"T2 \(ratio\) uses '/': division differs between engines"):

        @fz.inclusion("T2", "a ratio")
        def ratio(x, y):
            return x / y > 2


@fz.inclusion("T1", "hb")
def hemoglobin(hemoglobin_g_l, *, min_hemoglobin=60):
    return hemoglobin_g_l > min_hemoglobin


@fz.inclusion("T3", "ecog")
def ecog(ecog):
    return ecog <= 1


@fz.exclusion("T4", "site")
def subtype(aml_subtype):
    return aml_subtype == "apl"


@fz.exclusion("T5", "pregnant")
def pregnant(pregnant):
    return pregnant


COLUMNS = fz.load_trial("NCT06642025").columns
DECLARED = fz.Protocol("T", "t", [hemoglobin, ecog, subtype, pregnant], columns=COLUMNS)
GOOD = {
    "hemoglobin_g_l": pa.array([70.0, float("nan")]), "ecog": pa.array([1, None], pa.int64()),
    "aml_subtype": pa.array(["apl", None]), "pregnant": pa.array([None, True]),
}  # fmt: skip


def table(con, **changed):
    return con.create_table("t", pa.table(GOOD | changed), overwrite=True)


def test_the_good_table_counts(con):
    assert fz.count_patterns(table(con), DECLARED).n_patients == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pregnant": pa.array([0, 1])}, "'pregnant' is int64 in the database, but it is declared as boolean"),
        ({"ecog": pa.array(["0", "1"])}, "'ecog' is string in the database, but it is declared as Int64"),
        ({"aml_subtype": pa.array([1, 2])}, "'aml_subtype' is int64 in the database, but it is declared as string"),
        ({"patient_id": pa.array(["P", "P"])}, "1 rows belong to patients that occur more than once"),
    ],
)
def test_what_screening_refuses_of_columns_a_database_is_refused(con, changed, message):
    with pytest.raises(fz.ScreeningError, match=message):
        fz.count_patterns(table(con, **changed), DECLARED)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hemoglobin_g_l": pa.array([7000.0, 70.0])}, "'hemoglobin_g_l': 1 patients have a value outside"),
        ({"aml_subtype": pa.array(["ALL", "apl"])}, "'aml_subtype': 1 patients have a code that is not declared"),
        ({"ecog": pa.array([0.5, 1.0])}, "'ecog': 1 patients have a fraction where whole numbers are declared"),
        ({"hemoglobin_g_l__upper": pa.array([60.0, 70.0])}, "'hemoglobin_g_l': 1 patients have a lower bound above"),
        ({"hemoglobin_g_l__upper": pa.array([9000.0, 70.0])}, "'hemoglobin_g_l': 1 patients have a value outside"),
    ],
)
def test_and_so_are_impossible_values(con, changed, message):
    with pytest.raises(fz.CohortError, match=message):
        fz.count_patterns(table(con, **changed), DECLARED)


def test_nobody_at_all(con):
    with pytest.raises(fz.ScreeningError, match="The cohort is empty"):
        fz.count_patterns(table(con).limit(0), DECLARED)


def test_a_missing_column_names_the_nearest(con):
    with pytest.raises(fz.ScreeningError, match="no column 'ecog', which T3 needs. Did you mean 'ecog_ps'"):
        fz.count_patterns(table(con).rename(ecog_ps="ecog"), DECLARED)


def test_or_is_unknown_for_everyone(con):
    frame = pd.DataFrame({"hemoglobin_g_l": pd.array([70.0, None], dtype=DTYPES["Float64"])})
    got = count_strata(con.create_table("u", pa.Table.from_pandas(frame)), DECLARED, missing_columns="unknown")
    ours = fz.screen(frame, DECLARED, missing_columns="unknown").patterns()
    assert (got[0] == ours.failed).all()
    assert (got[1] == ours.unknown).all()
    assert (got[2] == ours.n).all()


def test_a_stratum_that_is_not_there(con):
    with pytest.raises(fz.ScreeningError, match="Stratum 'site' is not a column of the table"):
        count_strata(table(con), DECLARED, ["site"])


def test_masks_ask_nothing(unasked):
    assert list(masks(unasked, fz.Protocol("T", "t", [hemoglobin]))) == ["T1"]
