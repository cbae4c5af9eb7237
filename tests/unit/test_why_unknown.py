"""Why a criterion is unknown: counted by hand on few patients."""

import pandas as pd
import pytest

import feasibility as fz
from feasibility.analysis import why_unknown as module
from feasibility.analysis.why_unknown import why_unknown
from feasibility.cohort.schema import CohortTable, Column


def floats(*values):
    return pd.array(values, dtype="Float64")


def bools(*values):
    return pd.array(values, dtype="boolean")


@fz.inclusion("I1", "platelets in the last 14 days")
def platelets(platelets_10e9_l, days_since_platelets_10e9_l, *, min_platelets=30, max_days_since_platelets=14):
    """Recent and above."""
    recent = days_since_platelets_10e9_l <= max_days_since_platelets
    return fz.kleene.only_if(recent, platelets_10e9_l > min_platelets)


@fz.exclusion("E1.1", "transplant and active disease")
def transplant(hsct, gvhd):
    """Both."""
    return hsct & gvhd


@fz.exclusion("E1.2", "severe infection")
def infection(severe):
    """As recorded."""
    return severe


def counts(table, id_):
    part = table[table.id == id_]
    return {(row.column, row.cause): row.n for row in part.itertuples()}


def screened(frame, *criteria, columns=None):
    return fz.screen(frame, fz.Protocol("demo", "Demo", list(criteria), columns=columns), missing_columns="unknown")


def test_missing_old_and_undated():
    frame = pd.DataFrame(
        {
            # known, missing, old, old, no date, missing with a date
            "platelets_10e9_l": floats(50, None, 50, 10, 50, None),
            "days_since_platelets_10e9_l": floats(3, None, 60, 60, None, 5),
        }
    )
    table = why_unknown(screened(frame, platelets), frame)
    assert counts(table[table.level == "criterion"], "I1") == {
        ("platelets_10e9_l", "not recorded"): 2,
        ("platelets_10e9_l", "too old"): 2,
        ("platelets_10e9_l", "without a date"): 1,
    }


def test_a_hole_that_cannot_decide_is_no_cause():
    frame = pd.DataFrame(
        {
            # gvhd cannot matter where there was no transplant; where it was, only gvhd can
            "hsct": bools(False, True, None, None, None),
            "gvhd": bools(None, None, True, False, None),
            "severe": bools(False, False, False, False, True),
        }
    )
    table = why_unknown(screened(frame, transplant, infection), frame)
    criterion, clause = (table[table.level == level] for level in ("criterion", "clause"))
    assert counts(criterion, "E1.1") == {("hsct", "not recorded"): 2, ("gvhd", "not recorded"): 1}
    # The patient who is excluded by the infection is not among the clause's unknown.
    assert counts(clause, "E1") == {("hsct", "not recorded"): 1, ("gvhd", "not recorded"): 1}


def test_bounds_that_do_not_decide():
    @fz.inclusion("I1", "count above 30")
    def enough(n_cells, *, min_cells=30):
        """Above."""
        return n_cells > min_cells

    frame = pd.DataFrame(
        {"n_cells": floats(0, 20, 40, 20, None), "n_cells__upper": floats(50, 50, 90, float("inf"), None)}
    )
    table = why_unknown(screened(frame, enough), frame)
    assert counts(table[table.level == "criterion"], "I1") == {
        ("n_cells", "only an upper limit"): 1,
        ("n_cells", "known only between two limits"): 1,
        ("n_cells", "only a lower limit"): 1,
        ("n_cells", "not recorded"): 1,
    }


def test_a_column_the_file_lacks_and_one_that_does_not_apply():
    columns = CohortTable(
        [
            Column(name="hsct", dtype="boolean", doc="Transplant."),
            Column(name="gvhd", dtype="boolean", doc="GvHD.", asked_if=("hsct", True)),
            Column(name="severe", dtype="boolean", doc="Severe."),
        ]
    )
    frame = pd.DataFrame({"hsct": bools(True, None), "gvhd": bools(None, None)})
    table = why_unknown(screened(frame, transplant, infection, columns=columns), frame)
    assert counts(table[table.level == "criterion"], "E1.2") == {("severe", "not in the file"): 2}

    @fz.exclusion("E2", "gvhd asked of everybody")
    def gvhd_alone(hsct, gvhd):
        """Unknown where it is."""
        return gvhd | (hsct & gvhd)

    frame = pd.DataFrame({"hsct": bools(False, True), "gvhd": bools(None, None)})
    table = why_unknown(screened(frame, gvhd_alone, columns=columns), frame)
    assert counts(table[table.level == "criterion"], "E2") == {
        ("", "several values together"): 1,
        ("gvhd", "not recorded"): 1,
    }


def test_two_values_needed_together():
    @fz.inclusion("I1", "either rises, not both")
    def either(a, b):
        """Exactly one."""
        return (a & ~b) | (~a & b)

    frame = pd.DataFrame({"a": bools(None, None, True), "b": bools(None, True, True)})
    table = why_unknown(screened(frame, either), frame)
    assert counts(table[table.level == "criterion"], "I1") == {
        ("a", "not recorded"): 1,
        ("", "several values together"): 1,
    }


@pytest.mark.parametrize("rows", [20_000, 100])
def test_parts_add_up_to_the_unknown_of_every_criterion_and_clause(monkeypatch, rows):
    monkeypatch.setattr(module, "ROWS", rows)
    protocol = fz.load_trial("NCT06642025")
    from feasibility.protocol.loading import trial_module

    cohort = trial_module("NCT06642025").synthetic(300, seed=3).observed
    screening = fz.screen(cohort, protocol)
    table = why_unknown(screening, cohort)
    assert (table.n > 0).all()
    for level in ("criterion", "clause"):
        parts = table[table.level == level].groupby("id").n.sum()
        whole = fz.impact(screening, level=level).n_unknown
        whole = whole[whole > 0]
        if rows > 300:
            assert parts.to_dict() == whole.to_dict()
        else:
            assert table.attrs["sample"] == 100
            assert (parts <= whole.reindex(parts.index)).all()
