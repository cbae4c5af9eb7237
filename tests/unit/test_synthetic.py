"""The generic parts: streams, marginals, copula, parameters, holes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.schema import CohortTable, Column
from feasibility.synthetic import (
    Copula,
    Draws,
    Hole,
    Parameters,
    SyntheticError,
    blocks,
    cohort_index,
    empty_store,
    erase,
    expit,
    load_parameters,
    ordinal,
    to_extension,
    truncated_lognormal,
    truncated_normal,
)

N = 200_000
DRAWS = Draws(seed=7, block=0, size=N)


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    short, long = Draws(3, 2, 10), Draws(3, 2, 1000)
    assert np.array_equal(short.uniform("a"), long.uniform("a")[:10])
    assert np.array_equal(short.normal("a"), long.normal("a")[:10])
    assert np.array_equal(short.normal("a", 9), long.normal("a", 9)[:10])


def test_streams_differ_by_name_block_and_seed():
    first = Draws(1, 0, 5).uniform("a")
    for other in (Draws(1, 0, 5).uniform("b"), Draws(1, 1, 5).uniform("a"), Draws(2, 0, 5).uniform("a")):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("n", [0, -1, 2.5, "10", True, None])
def test_number_of_patients_is_checked(n):
    with pytest.raises(SyntheticError, match="at least 1; got"):
        list(blocks(n))


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_seed_is_checked(seed):
    with pytest.raises(SyntheticError, match="seed must be a whole number"):
        Draws(seed, 0, 1)


def test_contradicting_probability_is_an_error():
    with pytest.raises(SyntheticError, match="'relapse' would happen with probability -0.1 to 0.5"):
        DRAWS.happens("relapse", np.r_[-0.1, np.full(N - 1, 0.5)])


def test_ordinal_shares_and_bad_probabilities():
    codes = ordinal(DRAWS.uniform("o"), [0.2, 0.5, 0.3])
    assert np.abs(np.bincount(codes) / N - [0.2, 0.5, 0.3]).max() < 0.005
    with pytest.raises(SyntheticError, match="add up to 1"):
        ordinal(np.array([0.5]), [0.2, 0.5])


def test_truncated_marginals_stay_inside_and_keep_their_shape():
    values = truncated_normal(DRAWS.uniform("t"), 50, 16, 14, 90)
    assert values.min() >= 14
    assert values.max() <= 90
    assert abs(np.median(values) - 50) < 0.3
    months = truncated_lognormal(DRAWS.uniform("m"), 8, 0.8, 1, 12)
    assert months.min() >= 1
    assert months.max() <= 12


def test_copula_has_the_given_correlations():
    z = Copula.from_pairs("abc", {"a b": 0.6, "b c": -0.3}).draw(DRAWS)
    assert abs(np.corrcoef(z["a"], z["b"])[0, 1] - 0.6) < 0.01
    assert abs(np.corrcoef(z["b"], z["c"])[0, 1] + 0.3) < 0.01
    assert abs(np.corrcoef(z["a"], z["c"])[0, 1]) < 0.01
    assert abs(z["a"].std() - 1) < 0.01


def test_copula_is_repaired_only_when_it_must_be_and_says_so():
    assert Copula.from_pairs("ab", {"a b": 0.9}).repaired == 0
    broken = Copula.from_pairs("abc", {"a b": 0.9, "b c": 0.9, "a c": -0.9})
    assert broken.repaired > 0.1
    assert np.linalg.eigvalsh(broken.matrix).min() > 0
    assert np.allclose(np.diag(broken.matrix), 1)


@pytest.mark.parametrize("pair", [{"a z": 0.1}, {"a": 0.1}, {"a b": 1.5}])
def test_copula_pairs_are_checked(pair):
    with pytest.raises(SyntheticError, match="write two of a, b"):
        Copula.from_pairs("ab", pair)


def odds_of(missing):
    """The odds of being missing."""
    return missing.mean() / (1 - missing.mean())


@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
@pytest.mark.parametrize("rate", [0.02, 0.35, 0.9])
def test_rate_is_met_whatever_the_mechanism(mechanism, rate):
    facts = {"seen": DRAWS.happens("seen", 0.3), "hidden": DRAWS.happens("hidden", 0.1)}
    hole = Hole("x", rate, mechanism, mar={"seen": 1.5}, mnar={"hidden": -2.0})
    missing = hole.punch(DRAWS, facts, hole.intercept(hole.score(facts, N)))
    assert abs(missing.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / N)
    odds = {name: np.log(odds_of(missing[f]) / odds_of(missing[~f])) for name, f in facts.items()}
    assert abs(odds["seen"] - (1.5 if mechanism != "mcar" else 0)) < 0.25
    assert abs(odds["hidden"] - (-2.0 if mechanism == "mnar" else 0)) < 0.5


def test_rates_zero_and_one():
    for rate in (0, 1):
        hole = Hole("x", rate)
        assert (hole.punch(DRAWS, {}, hole.intercept(np.zeros(N))) == bool(rate)).all()
    assert expit(np.array([-np.inf, 0, np.inf])).tolist() == [0, 0.5, 1]


def test_holes_are_checked():
    with pytest.raises(SyntheticError, match="'x': mechanism 'random' is not one of"):
        Hole("x", 0.1, "random")
    with pytest.raises(SyntheticError, match="between 0 and 1; got 1.2"):
        Hole("x", 1.2)
    with pytest.raises(SyntheticError, match="no fact 'ecogg' is known. Did you mean 'ecog'"):
        Hole("x", 0.1, "mar", mar={"ecogg": 1}).score({"ecog": np.zeros(2)}, 2)


TOML = """
[profiles.usual]
[profiles.older]
age = { source = "S2", note = "older", mean = 63 }
[age]
source = "S1"
note = "normal"
mean = 50
sd = 16
[sex]
male = { value = 0.56, source = "S3", note = "men" }
"""


@pytest.fixture
def parameters(tmp_path) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(TOML)
    return path


def test_parameters_profiles_and_changes(parameters):
    usual, older = load_parameters(parameters), load_parameters(parameters, "older")
    assert (usual["age.mean"], older["age.mean"], older["age.sd"], usual.profile) == (50, 63, 16, "usual")
    assert usual.section("age") == {"mean": 50, "sd": 16}
    assert older.table().loc["age.mean", "source"] == "S2"
    assert usual.table().loc["sex.male", "note"] == "men"
    assert usual.fingerprint() != older.fingerprint()
    assert usual == usual.replace({"age.mean": 50})
    assert isinstance(usual.replace({"age.mean": 51}), Parameters)


def test_parameter_errors(parameters):
    with pytest.raises(SyntheticError, match="no parameter 'age.meen'. Did you mean 'age.mean'"):
        load_parameters(parameters).replace({"age.meen": 1})
    with pytest.raises(SyntheticError, match="'age.mean' must be like 50; got 'old'"):
        load_parameters(parameters).replace({"age.mean": "old"})
    with pytest.raises(SyntheticError, match="no profile 'odler'. Did you mean 'older'"):
        load_parameters(parameters, "odler")


def test_arrays_become_the_cohorts_dtypes_and_erasing_leaves_nothing():
    table = CohortTable(
        Column(name=n, dtype=d, doc="x", values=("no", "yes") if d == "string" else ())
        for n, d in [("f", "Float64"), ("i", "Int64"), ("b", "boolean"), ("s", "string")]
    )
    store = empty_store(table, 3)
    assert all(pd.isna(to_extension(store[c.name], c.dtype, c.values)).all() for c in table.columns)
    for name, values in {"f": [1.5, 2, np.nan], "i": [4, 5, -1], "b": [1, 0, -1], "s": [1, 0, -1]}.items():
        store[name][:] = values
    arrays = {c.name: to_extension(store[c.name], c.dtype, c.values) for c in table.columns}
    assert {str(a.dtype) for a in arrays.values()} == {"Float64", "Int64", "boolean", "string"}
    assert [list(a[:2]) for a in arrays.values()] == [[1.5, 2.0], [4, 5], [True, False], ["yes", "no"]]
    assert all(a[2] is pd.NA for a in arrays.values())
    for name, array in arrays.items():
        erased = erase(array, np.array([True, False, False]))
        assert erased.isna().tolist() == [True, False, True], name
        assert erased[1] == array[1]
        assert array[0] is not pd.NA
        assert not hasattr(erased, "_data") or erased._data[0] != array[0]


def test_index_names_patients():
    index = cohort_index(2, np.datetime64("2025-06-30"), start=9_999_998)
    assert index.names == ["patient_id", "index_date"]
    assert index.get_level_values(0).tolist() == ["P9999999", "P10000000"]
    assert index.get_level_values(1).tolist() == [pd.Timestamp("2025-06-30")] * 2
