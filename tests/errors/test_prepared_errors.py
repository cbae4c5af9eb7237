"""A prepared cohort or a folder of Parquet files that is not what it should be."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import frame

import feasibility as fz


@fz.inclusion("I1", "platelets above 30")
def platelets(platelets_10e9_l, *, min_platelets=30):
    return platelets_10e9_l > min_platelets


COLUMNS = fz.CohortTable(
    [fz.Column(name="platelets_10e9_l", dtype="Float64", unit="10*9/L", hard=(0, 3000), doc="Platelets.")]
)
PROTOCOL = fz.Protocol("T", "t", [platelets], columns=COLUMNS)


def cohort(*values):
    made = frame(platelets_10e9_l=("Float64", *values))
    made.index = pd.MultiIndex.from_arrays(
        [made.index, pd.DatetimeIndex(["2025-06-30"] * len(made))], names=["patient_id", "index_date"]
    )
    return made


def test_a_file_cut_off(tmp_path):
    path = fz.write_cohort(cohort(31, None), tmp_path / "c.arrow")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(fz.CohortError, match=r"c\.arrow is no whole prepared cohort.*feasibility build"):
        fz.open_prepared(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(fz.CohortError, match="there is no such file"):
        fz.open_prepared(tmp_path / "none.arrow")
    with pytest.raises(fz.CohortError, match="there is no such file"):
        fz.count_patterns(tmp_path / "none.parquet", PROTOCOL)


def test_another_arrow_file(tmp_path):
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, pa.schema([])) as writer:
        writer.write_table(pa.table({}))
    with pytest.raises(fz.CohortError, match="no whole prepared cohort"):
        fz.open_prepared(tmp_path / "x.arrow")


def test_settings_come_too_late_for_a_prepared_cohort(tmp_path):
    path = fz.write_cohort(cohort(31), tmp_path / "c.arrow")
    with pytest.raises(fz.CohortError, match="were applied when it was written"):
        fz.read_cohort(path, COLUMNS, index_date="2025-01-01")


def test_impossible_values_are_refused_when_it_is_prepared():
    with pytest.raises(fz.CohortError, match="'platelets_10e9_l': 1 patients have a value outside 0 to 3000"):
        fz.prepare(cohort(31, 9000), COLUMNS)


def test_a_column_it_does_not_have():
    with pytest.raises(fz.CohortError, match="no column 'platelets'.*Did you mean 'platelets_10e9_l'"):
        fz.prepare(cohort(31))["platelets"]
    with pytest.raises(fz.ScreeningError, match="needs the column 'platelets_10e9_l'"):
        fz.count_patterns(fz.prepare(cohort(31).rename(columns={"platelets_10e9_l": "plt"})), PROTOCOL)


@pytest.mark.parametrize("how", ["prepared", "parquet"])
def test_a_patient_twice(how, tmp_path):
    twice = pd.concat([cohort(31, 40), cohort(31)])
    source = fz.prepare(twice)
    if how == "parquet":
        source = fz.write_cohort(twice, tmp_path / "c.parquet")
    with pytest.raises(fz.ScreeningError, match="2 rows belong to patients that occur more than once"):
        fz.count_patterns(source, PROTOCOL)


def test_folders_of_parquet(tmp_path):
    with pytest.raises(fz.CohortError, match=r"there is no \.parquet file in this folder"):
        fz.count_patterns(tmp_path, PROTOCOL)
    fz.write_cohort(cohort(31), tmp_path / "a.parquet")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "b.parquet")
    with pytest.raises(fz.CohortError, match=r"b\.parquet has other columns than a\.parquet"):
        fz.count_patterns(tmp_path, PROTOCOL)
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:100])
    with pytest.raises(fz.CohortError, match=r"b\.parquet: not a whole Parquet file"):
        fz.count_patterns(tmp_path, PROTOCOL)


def test_impossible_values_in_parquet(tmp_path):
    path = fz.write_cohort(cohort(31, 9000), tmp_path / "c.parquet")
    with pytest.raises(fz.CohortError, match="1 patients have a value outside 0 to 3000"):
        fz.count_patterns(path, PROTOCOL)


@pytest.mark.parametrize("how", ["prepared", "parquet"])
def test_a_hole_that_decides_is_found(how, tmp_path):
    names: dict = {}
    exec("def careless(platelets_10e9_l):\n return (platelets_10e9_l > 30).fillna(False)", names)  # no source to read
    careless = fz.Protocol("T", "t", [fz.inclusion("I1", "x")(names["careless"])], columns=COLUMNS)
    source = fz.prepare(cohort(31, None))
    if how == "parquet":
        source = fz.write_cohort(cohort(31, None), tmp_path / "c.parquet")
    with pytest.raises(fz.ScreeningError, match="with 'platelets_10e9_l' missing it still answers"):
        fz.count_patterns(source, careless)
    assert fz.count_patterns(source, careless, check=False).n_confirmed == 1


@pytest.mark.parametrize("how", ["prepared", "parquet"])
def test_a_column_of_another_kind(how, tmp_path):
    wrong = frame(platelets_10e9_l=("string", "31", None))
    source = fz.prepare(wrong)
    if how == "parquet":
        source = tmp_path / "c.parquet"
        pq.write_table(pa.table({"platelets_10e9_l": ["31", None]}), source)
    with pytest.raises(fz.ScreeningError, match="'platelets_10e9_l' has dtype string, but it is declared as Float64"):
        fz.count_patterns(source, PROTOCOL)


def test_a_parquet_column_with_nothing_in_it_is_unknown_for_everyone(tmp_path):
    pq.write_table(pa.table({"platelets_10e9_l": pa.nulls(3)}), tmp_path / "c.parquet")
    found = fz.count_patterns(tmp_path / "c.parquet", PROTOCOL)
    assert (found.n_confirmed, found.n_possible) == (0, 3)


def test_whole_numbers_too_large_to_be_kept_exactly():
    with pytest.raises(fz.CohortError, match="'x' holds whole numbers too large"):
        fz.prepare(frame(x=("Int64", 2**53 + 1, 1)))
