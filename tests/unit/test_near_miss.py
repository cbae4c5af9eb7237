"""Near misses and call lists against patients whose distances can be read off by eye."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.analysis.call_list import call_list
from feasibility.analysis.near_miss import near_misses
from feasibility.kleene import at_least_k_of, is_in, only_if

from ..conftest import frame


@fz.inclusion("I1", "platelets above 30")
def platelets(platelets_10e9_l, *, min_platelets: Annotated[float, "10*9/L"] = 30):
    """Strict."""
    return platelets_10e9_l > min_platelets


@fz.inclusion("I2", "age 18 to 70")
def age(age_years, *, min_age: Annotated[float, "a"] = 18, max_age: Annotated[float, "a"] = 70):
    """Both ends."""
    return (age_years >= min_age) & (age_years <= max_age)


@fz.exclusion("E1", "AST or ALT above 3 x ULN")
def liver(ast, alt, *, max_ast: float = 3, max_alt: float = 3):
    """Either."""
    return (ast > max_ast) | (alt > max_alt)


@fz.exclusion("E2", "HIV")
def hiv(hiv_infection):
    """Any."""
    return hiv_infection


PROTOCOL = fz.Protocol("demo", "Demo", [platelets, age, liver, hiv])


def patients(**columns):
    n = len(next(iter(columns.values())))
    plain = {
        "platelets_10e9_l": [90] * n,
        "age_years": [50] * n,
        "ast": [1] * n,
        "alt": [1] * n,
        "hiv_infection": [False] * n,
    }
    kinds = dict.fromkeys(plain, "Float64") | {"hiv_infection": "boolean"}
    return frame(**{k: (kinds.get(k, "Float64"), *v) for k, v in (plain | columns).items()})


def missed(cohort, protocol=PROTOCOL):
    return near_misses(cohort, fz.screen(cohort, protocol), patient_level=True)


def test_distance_in_the_unit_of_the_threshold():
    found = missed(patients(platelets_10e9_l=[28, 90, 30, 90], age_years=[50, 73, 50, 16]))
    assert found.threshold.tolist() == ["min_platelets", "max_age", "min_platelets", "min_age"]
    assert found.missed_by.tolist() == [2.0, 3.0, 0.0, 2.0]
    assert found.needs.tolist() == ["min_platelets < 28", "max_age >= 73", "min_platelets < 30", "min_age <= 16"]
    assert found.unit.tolist() == ["10*9/L", "a", "10*9/L", "a"]
    assert found.limit.tolist() == [30, 70, 30, 18]
    assert found.index.tolist() == ["P0", "P1", "P2", "P3"]


def test_only_patients_with_one_failure_are_near():
    found = missed(patients(platelets_10e9_l=[28, 28, 90, None], hiv_infection=[False, True, False, True]))
    assert found.index.tolist() == ["P0", "P3"]
    assert found.criterion.tolist() == ["I1", "E2"]
    assert found.n_unknown.tolist() == [0, 1]


def test_no_threshold_means_no_distance():
    found = missed(patients(hiv_infection=[True]))
    assert found.threshold.tolist() == [""]
    assert found.missed_by.isna().all()


def test_two_thresholds_that_must_move_together():
    found = missed(patients(ast=[4, 4, 1], alt=[1, 6, 3.5]))
    assert found.threshold.tolist() == ["max_ast", "max_ast + max_alt", "max_alt"]
    assert found.needs.iloc[1] == "max_ast >= 4, max_alt >= 6"
    assert found.missed_by.iloc[[0, 2]].tolist() == [1.0, 0.5]
    assert math.isnan(found.missed_by.iloc[1])


def test_a_bounded_value_counts_from_its_nearer_end():
    cohort = patients(age_years=[72]).assign(age_years__upper=pd.array([75], dtype="Float64"))
    found = missed(cohort)
    assert (found.needs.iloc[0], found.missed_by.iloc[0]) == ("max_age >= 72", 2.0)


@fz.inclusion("I3", "a product and two comparisons of one limit")
def ratio(ast, alt, *, min_ratio: float = 4):
    """Twice the limit in one place."""
    return (ast >= 2 * min_ratio) & (alt >= min_ratio)


def test_thresholds_in_products_and_used_twice():
    protocol = fz.Protocol("demo", "Demo", [ratio])
    found = missed(frame(ast=("Float64", 7, 20, 5, 8), alt=("Float64", 9, 3, 1, 4)), protocol)
    assert found.missed_by.tolist() == pytest.approx([0.5, 1.0, 3.0])
    assert found.needs.tolist() == ["min_ratio <= 3.5", "min_ratio <= 3", "min_ratio <= 1"]


@fz.inclusion("I4", "two of three")
def counts(a, b, c, *, min_signs: int = 2):
    """A limit that cannot be handed over as a column."""
    return at_least_k_of(min_signs, a, b, c)


def test_a_limit_that_counts_criteria():
    cohort = frame(a=("boolean", True, False), b=("boolean", False, False), c=("boolean", False, False))
    found = missed(cohort, fz.Protocol("demo", "Demo", [counts]))
    assert found.missed_by.iloc[0] == 1.0
    assert math.isnan(found.missed_by.iloc[1])


def test_counts_by_band_add_up_to_impact_and_hold_no_patient():
    cohort = patients(platelets_10e9_l=[28, 27, 26, 10, 90, 90], hiv_infection=[None, False, False, False, True, False])
    screening = fz.screen(cohort, PROTOCOL)
    table = near_misses(cohort, screening)
    assert table.index.names == ["criterion", "threshold", "band"]
    assert table.loc["I1"].gain_possible.tolist() == [2, 1, 1]
    assert table.loc["I1"].gain_confirmed.tolist() == [1, 1, 1]
    assert table.loc["I1"].missed_up_to.tolist() == [3.0, 7.5, np.inf]
    assert table.loc["E2"].index.tolist() == [("", "no threshold")]
    by = table.groupby(level=0).gain_possible.sum()
    assert by.to_dict() == {k: v for k, v in fz.impact(screening).gain_possible.items() if v}
    assert not any("P0" in str(v) for v in table.reset_index().to_numpy().ravel())
    assert len(near_misses(patients(age_years=[50]), fz.screen(patients(age_years=[50]), PROTOCOL))) == 0


def test_patient_rows_are_marked_internal_in_every_file(tmp_path):
    cohort = patients(platelets_10e9_l=[28, None])
    screening = fz.screen(cohort, PROTOCOL)
    for table in (missed(cohort), call_list(cohort, screening, patient_level=True)):
        assert table.columns[0] == "marking"
        assert table.marking.str.startswith("INTERNAL").all()
        assert "INTERNAL" in table.attrs["internal"]
        table.to_csv(tmp_path / "who.csv")
        assert "INTERNAL: patient-level" in (tmp_path / "who.csv").read_text(encoding="utf-8")
    assert "marking" not in near_misses(cohort, screening)
    assert "marking" not in call_list(cohort, screening)


@fz.inclusion("I5", "response CR, seen in the last 14 days")
def response(best, days_since_best, given, *, max_days_since_best: int = 14):
    """Fresh and good, or given anyway."""
    return only_if(days_since_best <= max_days_since_best, is_in(best, ["CR", "PR"])) | given


def test_the_record_that_would_settle_a_patient():
    cohort = frame(
        best=("string", None, "CR", "CR", "NR", "CR"),
        days_since_best=("Float64", None, 30, 3, None, 3),
        given=("boolean", False, False, False, None, None),
    )
    screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [response]))
    found = call_list(cohort, screening, patient_level=True)
    assert found.index.tolist() == ["P0", "P1", "P3"]
    assert found.column.tolist() == ["best", "best", "best"]
    assert found.state.tolist() == ["missing", "too old", "missing"]
    assert found.settles.tolist() == ["surely", "surely", "perhaps"]
    assert found.also.tolist() == ["", "", "given"]
    table = call_list(cohort, screening)
    assert table.attrs["n_patients"] == 3
    assert table.loc["best", ["n_patients", "n_surely", "n_perhaps", "n_missing", "n_too_old"]].tolist() == [
        3,
        2,
        1,
        2,
        1,
    ]
    assert table.loc["given", ["n_patients", "n_perhaps"]].tolist() == [1, 1]


@fz.inclusion("I6", "a reading that drops a column")
def by_reading(a, b, *, both: bool = False):
    """Reads b only if asked."""
    return (a & b) if both else a


def test_columns_nobody_asks_for_are_not_on_the_list():
    cohort = frame(a=("boolean", None, True), b=("boolean", None, None))
    protocol = fz.Protocol("demo", "Demo", [by_reading])
    assert call_list(cohort, fz.screen(cohort, protocol)).index.tolist() == ["a"]
    both = protocol.with_thresholds(both=True)
    table = call_list(cohort, fz.screen(cohort, both), patient_level=True)
    assert table.loc["P0", ["column", "also"]].tolist() == ["a", "b"]
    assert table.loc["P1", ["column", "settles"]].tolist() == ["b", "surely"]


def test_a_missing_column_and_a_bounded_value():
    cohort = (
        patients(age_years=[69]).assign(age_years__upper=pd.array([75], dtype="Float64")).drop(columns="hiv_infection")
    )
    screening = fz.screen(cohort, PROTOCOL.without("E2"))
    found = call_list(cohort, screening, patient_level=True).iloc[0]
    assert (found.column, found.state, found.settles) == ("age_years", "inexact", "surely")
    known = patients(age_years=[50]).drop(columns="hiv_infection")
    screening = fz.screen(known, PROTOCOL, missing_columns="unknown")
    found = call_list(known, screening, patient_level=True).iloc[0]
    assert (found.column, found.state, found.settles) == ("hiv_infection", "missing", "surely")
    assert len(near_misses(known, screening)) == 0


def test_one_unknown_and_nothing_failed_are_called_once():
    cohort = patients(platelets_10e9_l=[None, None, 28, 90], hiv_infection=[False, None, None, False])
    screening = fz.screen(cohort, PROTOCOL)
    assert call_list(cohort, screening, patient_level=True).index.tolist() == ["P0"]
    nobody = patients(age_years=[50])
    empty = call_list(nobody, fz.screen(nobody, PROTOCOL))
    assert (len(empty), empty.attrs["n_patients"]) == (0, 0)
    assert len(call_list(nobody, fz.screen(nobody, PROTOCOL), patient_level=True)) == 0
