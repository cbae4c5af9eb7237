"""Whatever the laboratory results, arrays and SQL choose the same ones for the same reasons, in any order of rows."""

import datetime as dt

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from feasibility.cohort import lab_pick, window_events
from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of, monthly
from feasibility.sources.events import TABLES
from feasibility.sources.extract import Extract
from feasibility.trials.aml import AML_COLUMNS

DAY = dt.date(2025, 6, 30)
COLUMNS = AML_COLUMNS.select(["hemoglobin_g_l", "creatinine_umol_l", "creatinine_earlier_umol_l", "alt_x_uln",
                              "hbv_dna_iu_ml"])  # fmt: skip
UNITS = {
    "718-7": ["g/L", "g/dL", None, "furlong"], "2160-0": ["umol/L", "mg/dL", None], "1742-6": ["U/L", None],
    "11258-0": ["IU/mL", "log IU/mL"], "2345-7": ["mmol/L"],
}  # fmt: skip
INDICES = {"one": as_of(DAY), "months": monthly("2025-05-31", DAY, observed_months=None)}
# Few people, days and values, so that most results meet others of the same day, number or both.
RESULTS = st.lists(
    st.sampled_from(sorted(UNITS)).flatmap(
        lambda code: st.fixed_dictionaries(
            {
                "pid": st.sampled_from(["A", "B", "C", "C", "C", "stranger", None]),
                "code": st.just(code),
                "unit": st.sampled_from(UNITS[code]),
                "age": st.sampled_from([-1, 0, 0, 7, 7, 7, 90, 91, 120, 400, None]),
                "vague": st.sampled_from([0, 0, 0, 0, 5, 200]),
                "value_num": st.sampled_from([None, -1.0, 0.0, 7.0, 8.5, 10.0, 70.0, 85.0, 85.0, 1e9]),
                "comparator": st.sampled_from([None, None, None, "<", ">", "<=", ">="]),
                "ref_high": st.sampled_from([None, 0.0, 35.0, 40.0]),
            }
        )
    ),
    min_size=20,
    max_size=60,
)


def arrow(name, rows):
    schema = ibis.schema(TABLES[name].physical()).to_pyarrow()
    return pa.Table.from_pylist([{n: r.get(n) for n in schema.names} for r in rows], schema=schema)


def dated(row_id, result):
    day = None if result["age"] is None else DAY - dt.timedelta(days=result["age"])
    last = day and day + dt.timedelta(days=result["vague"])
    return result | {"row_id": row_id, "date": day, "date_last": last, "system": "loinc", "local_name": None,
                     "value_text": "not detected" if result["value_num"] is None else None}  # fmt: skip


@pytest.fixture(scope="module")
def backend():
    con = ibis.duckdb.connect()
    con.create_table("patients", arrow("patients", [{"row_id": i, "pid": p} for i, p in enumerate("ABCD")]))
    return con


def built(con, labs, index, by_sql=False):
    """The cohort of these results in this order."""
    con.create_table("labs", arrow("labs", labs), overwrite=True)
    source = Extract({name: con.table(name) for name in ("patients", "labs")}, "drawn")
    with pytest.MonkeyPatch.context() as patch:
        if by_sql:
            patch.setattr(window_events, "picks", lab_pick.SqlPicks)
        return build_cohort(source, index, COLUMNS)


@settings(max_examples=12, deadline=None)
@given(results=RESULTS, index=st.sampled_from(sorted(INDICES)))
def test_arrays_and_sql_agree_in_every_order_of_the_results(backend, results, index):
    labs = [dated(i, r) for i, r in enumerate(results)]
    by_patient = sorted(labs, key=lambda r: (r["pid"] or "", str(r["date"])))
    sql = built(backend, labs, INDICES[index], by_sql=True)
    for order in (labs, by_patient):
        cohort = built(backend, order, INDICES[index])
        assert_frame_equal(cohort, sql)
        for fact in ("unknown", "events"):
            assert cohort.attrs["feasibility"][fact] == sql.attrs["feasibility"][fact]


def test_the_settings_of_the_database_stay_as_they_were(backend):
    con = backend.con
    before = con.execute("SELECT current_setting('streaming_buffer_size')").fetchone()
    result = {"pid": "A", "code": "718-7", "unit": "g/L", "vague": 0, "value_num": 90.0, "comparator": None,
              "ref_high": None}  # fmt: skip
    cohort = built(backend, [dated(i, result | {"age": i}) for i in (3, 300)], INDICES["one"])
    assert cohort["hemoglobin_g_l"].tolist()[0] == 90.0
    assert con.execute("SELECT current_setting('streaming_buffer_size')").fetchone() == before
