"""What a beginner does wrong with relaxations, loosened thresholds and near misses: the message says what to do."""

from __future__ import annotations

import numpy as np
import pytest

import feasibility as fz
from feasibility.analysis.call_list import call_list
from feasibility.analysis.gains import gain_interval, relative_gain
from feasibility.analysis.near_miss import near_misses
from feasibility.analysis.pareto import pareto
from feasibility.analysis.relaxation import relaxations
from feasibility.errors import FeasibilityError, ProtocolError
from feasibility.patterns import CriterionLabel, count, pack

from ..conftest import frame


@pytest.fixture
def screening(toy_cohort, toy_protocol):
    return fz.screen(toy_cohort, toy_protocol)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop": 0}, "drop is 0; it is how many criteria to waive together: 1, 2, 3"),
        ({"drop": -1}, "drop is -1"),
        ({"drop": 1.5}, "drop is 1.5"),
        ({"drop": True}, "drop is True"),
        ({"drop": 4}, "drop is 4, but only 3 criteria were screened"),
        ({"drop": 4, "level": "clause"}, "only 3 clauses were screened"),
        ({"top": 0}, "top is 0; it is how many sets to list"),
        ({"objective": "confirmd"}, "objective is 'confirmd'. Did you mean 'confirmed'"),
        ({"level": "clauses"}, "level is 'clauses'. Did you mean 'clause'"),
        ({"keep": ["platlets"]}, "No criterion 'platlets' was screened. Did you mean 'platelets'"),
        ({"keep": "I1"}, r"keep is a list of criteria, such as keep=\['I1'\]"),
        ({"resamples": -1}, "resamples is -1; it is 0"),
        ({"interval": 95}, "level is 95; an interval holds a share between 0 and 1"),
        ({"months": 0}, "months is 0; it is how long the extract collected"),
    ],
)
def test_relaxations(screening, arguments, message):
    with pytest.raises(FeasibilityError, match=message):
        relaxations(screening, **({"drop": 1} | arguments))


def test_not_a_screening():
    with pytest.raises(TypeError, match="Expected a Screening or a PatternTable, got dict"):
        relaxations({}, 1)


def test_too_many_criteria_in_play():
    rng = np.random.default_rng(1)
    labels = tuple(CriterionLabel(f"I{i}", "inclusion", f"c{i}", "") for i in range(25))
    words = pack(list((rng.random((500, 25)) < 0.1).T), 500)
    patterns = count(labels, words, np.zeros_like(words))
    with pytest.raises(
        FeasibilityError, match='25 criteria are in play; beyond 20 .* drop=4, got drop=5.*level="clause"'
    ):
        relaxations(patterns, 5)
    assert len(relaxations(patterns, 5, keep=[f"I{i}" for i in range(6)], resamples=0)) == 10


def test_impossible_gains():
    with pytest.raises(FeasibilityError, match="0 or more; got -1"):
        gain_interval(-1)
    with pytest.raises(FeasibilityError, match="numbers of patients, 0 or more"):
        relative_gain(3, -1)


@pytest.mark.parametrize(
    ("loosen", "message"),
    [
        ({"min_platelet": [20]}, "no threshold or reading 'min_platelet'. Did you mean 'min_platelets'"),
        ({"min_platelets": [40]}, "min_platelets=40 does not loosen I2 .* has 30, and a min_.* loosened by a lower"
                                  " value. 40 is above what it must be; give values below 30"),
        ({"min_age": [20]}, "a lower value"),
        ({"min_platelets": [20, 30]}, "30 is the same; give values below 30"),
        ({"min_platelets": []}, "give at least one limit you can live with"),
        ({"min_platelets": ["low"]}, "needs a number"),
    ],
)  # fmt: skip
def test_loosening(toy_cohort, screening, loosen, message):
    with pytest.raises(ProtocolError, match=message):
        pareto(screening, toy_cohort, loosen=loosen)


def test_readings_and_lookbacks_do_not_loosen():
    @fz.inclusion("I1", "albumin above 25")
    def albumin(albumin_g_l, days_since_albumin_g_l, *, min_albumin=25, max_days_since_albumin=14, strict: bool = True):
        recent = days_since_albumin_g_l <= max_days_since_albumin
        return recent & ((albumin_g_l > min_albumin) if strict else (albumin_g_l >= min_albumin))

    cohort = frame(albumin_g_l=("Float64", 20, 30), days_since_albumin_g_l=("Float64", 3, 3))
    screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [albumin]))
    for name, kind in (("max_days_since_albumin", "look-back"), ("strict", "reading")):
        with pytest.raises(ProtocolError, match=f"{name}.* is a {kind} and cannot be loosened.*scenarios"):
            pareto(screening, cohort, loosen={name: [28]})


def test_a_threshold_with_the_wrong_name_is_found_out():
    @fz.inclusion("I1", "albumin above 25")
    def albumin(albumin_g_l, *, max_albumin=25):
        return albumin_g_l > max_albumin

    cohort = frame(albumin_g_l=("Float64", 20, 26, 30))
    screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [albumin]))
    with pytest.raises(ProtocolError, match="max_albumin=27 makes patients fail who passed.*check its name"):
        pareto(screening, cohort, loosen={"max_albumin": [27]})


def test_counts_alone_cannot_be_loosened(toy_cohort, screening):
    with pytest.raises(FeasibilityError, match="a Screening is needed, made by screen"):
        pareto(screening.patterns(), loosen={"min_platelets": [20]})
    with pytest.raises(FeasibilityError, match=r"patients' values are needed: pareto\(screening, cohort"):
        pareto(screening, loosen={"min_platelets": [20]})
    with pytest.raises(FeasibilityError, match="changes is 0"):
        pareto(screening, changes=0)


def test_too_many_combinations(toy_cohort, screening):
    limits = {"min_platelets": list(range(29, -31, -1))}
    with pytest.raises(FeasibilityError, match="combinations of up to 6; at most 250,000 .*Allow fewer changes"):
        pareto(screening, toy_cohort, loosen=limits, changes=6)


@pytest.mark.parametrize("analysis", [near_misses, call_list])
def test_another_cohort(analysis, toy_cohort, screening):
    with pytest.raises(FeasibilityError, match="does not hold the 8 patients that were screened"):
        analysis(toy_cohort.iloc[::-1], screening)
    with pytest.raises(FeasibilityError, match=r"The cohort \(3 rows\)"):
        analysis(toy_cohort.head(3), screening)
    with pytest.raises(FeasibilityError, match="A Screening is needed.*got PatternTable"):
        analysis(toy_cohort, screening.patterns())
    with pytest.raises(FeasibilityError, match="must be a pandas DataFrame, got list"):
        analysis([], screening)


def test_loosening_on_changed_values(toy_cohort, screening):
    changed = toy_cohort.assign(platelets_10e9_l=toy_cohort.platelets_10e9_l + 50)
    with pytest.raises(FeasibilityError, match="answers otherwise on this cohort than in the screening"):
        pareto(screening, changed, loosen={"min_platelets": [20]})


def test_patient_rows_cannot_be_released(toy_cohort, screening):
    with pytest.raises(FeasibilityError, match="Patient-level rows are internal"):
        near_misses(toy_cohort, screening, patient_level=True, internal=False)
    with pytest.raises(FeasibilityError, match="rising shares of the threshold"):
        near_misses(toy_cohort, screening, bands=(0.5, 0.1))
