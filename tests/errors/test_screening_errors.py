"""What a beginner does wrong with a criterion or a cohort, and what the message tells them to do."""

from __future__ import annotations

import pandas as pd
import pytest

import feasibility as fz
from feasibility.protocol.protocol import Protocol


def protocol_of(*criteria):
    return Protocol("T", "t", criteria)


def declared(body, text="x"):
    return fz.inclusion("I1", text)(body)


def test_missing_column_names_criterion_column_and_nearest(toy_cohort, toy_protocol):
    with pytest.raises(
        fz.ScreeningError, match=r"Criterion I2 \(platelets\) needs the column 'platelets_10e9_l'.*Did you mean"
    ):
        fz.screen(toy_cohort.rename(columns={"platelets_10e9_l": "platelets_10e9"}), toy_protocol)


def test_missing_column_may_be_unknown_for_everyone(toy_cohort, toy_protocol):
    screening = fz.screen(toy_cohort.drop(columns="pregnant"), toy_protocol, missing_columns="unknown")
    assert screening.missing_columns == {"pregnant": ("E1",)}
    assert screening.passes["E1"].isna().all()
    assert screening.patterns().n_confirmed == 0


def test_unknown_option_for_missing_columns(toy_cohort, toy_protocol):
    with pytest.raises(fz.ScreeningError, match="'error' or 'unknown'"):
        fz.screen(toy_cohort, toy_protocol, missing_columns="ignore")


@pytest.mark.parametrize("dtype", ["float64", "Int64[pyarrow]", "object", "category"])
def test_wrong_dtype(toy_cohort, toy_protocol, dtype):
    with pytest.raises(fz.ScreeningError, match="'age_years' has dtype .*as_cohort"):
        fz.screen(toy_cohort.assign(age_years=toy_cohort.age_years.astype(dtype)), toy_protocol)


def test_duplicate_patient(toy_cohort, toy_protocol):
    with pytest.raises(fz.ScreeningError, match="2 rows belong to patients that occur more than once.*'P0'"):
        fz.screen(pd.concat([toy_cohort, toy_cohort.head(1)]), toy_protocol)


def test_empty_cohort(toy_cohort, toy_protocol):
    with pytest.raises(fz.ScreeningError, match="cohort is empty"):
        fz.screen(toy_cohort.head(0), toy_protocol)


def test_not_a_frame(toy_protocol):
    with pytest.raises(fz.ScreeningError, match="must be a pandas DataFrame, got list"):
        fz.screen([], toy_protocol)


def test_unknown_trial():
    with pytest.raises(fz.ProtocolError, match="No trial 'NCT06642052' is installed. Did you mean 'NCT06642025'"):
        fz.load_trial("NCT06642052")


def test_unknown_trial_file(tmp_path):
    with pytest.raises(fz.ProtocolError, match="No trial file"):
        fz.load_trial(tmp_path / "nothing.py")


def test_unknown_threshold_name(toy_protocol):
    with pytest.raises(fz.ProtocolError, match="no threshold or reading 'min_platelet'. Did you mean 'min_platelets'"):
        toy_protocol.with_thresholds(min_platelet=20)


@pytest.mark.parametrize("value", ["20", None, float("nan"), True])
def test_threshold_of_the_wrong_kind(toy_protocol, value):
    with pytest.raises(fz.ProtocolError, match="'min_platelets' .*needs a number"):
        toy_protocol.with_thresholds(min_platelets=value)


def test_unknown_reading_choice():
    with pytest.raises(fz.ProtocolError, match="cannot be 'some'. Choices: 'any', 'ast_and_alt', 'hepatic_all'"):
        fz.load_trial("NCT06642025").with_thresholds(liver_combination="some")


def test_unknown_criterion(toy_protocol):
    with pytest.raises(fz.ProtocolError, match="has no criterion 'platelet'. Did you mean 'platelets'"):
        toy_protocol.without("platelet")


def test_unknown_criterion_in_an_order(toy_cohort, toy_protocol):
    with pytest.raises(fz.ProtocolError, match="No criterion 'I9' was screened"):
        fz.attrition(fz.screen(toy_cohort, toy_protocol), order=["I9"])


def test_unknown_level(toy_cohort, toy_protocol):
    with pytest.raises(fz.FeasibilityError, match="level is 'clauses'. Did you mean 'clause'"):
        fz.attrition(fz.screen(toy_cohort, toy_protocol), level="clauses")


def test_unknown_stratum(toy_cohort, toy_protocol):
    with pytest.raises(fz.ScreeningError, match="no stratum 'site'"):
        fz.attrition(fz.screen(toy_cohort, toy_protocol), by="site")


# --- a criterion that would count a missing value ---------------------------------------------------------------


def uses_isin(sex):
    return sex.isin(["female"])


def uses_fillna(age_years):
    return (age_years > 18).fillna(False)


def uses_division(ast, uln):
    return ast / uln < 3


def uses_floor_division(days):
    return days // 7 < 2


def uses_modulo(days):
    return days % 7 == 2


def uses_numpy(age_years):
    return np.where(age_years > 18, True, False)  # noqa: F821


def uses_pandas(age_years):
    return pd.isna(age_years)


def uses_and(age_years, ecog):
    return age_years > 18 and ecog < 2


def uses_not(pregnant):
    return not pregnant


def uses_chained(age_years):
    return 18 <= age_years <= 70


def uses_if(age_years):
    if age_years > 18:
        return age_years > 20
    return age_years > 30


def uses_isna(age_years):
    return age_years.isna()


def uses_dropna(age_years):
    return age_years.dropna() > 18


def uses_abs(days):
    return abs(days) < 3


def uses_in(sex):
    return sex in ("female",)


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        (uses_isin, r"\.isin\(\): it says False for a missing value; use kleene.is_in"),
        (uses_fillna, r"\.fillna\(\): it turns unknown into an answer"),
        (uses_division, "'/': division differs between engines: declare the ratio as a cohort column"),
        (uses_floor_division, "'//'"),
        (uses_modulo, "'%'"),
        (uses_numpy, r"np.where\(\): a criterion calls no numpy function"),
        (uses_pandas, r"pd.isna\(\): a criterion calls no pandas function"),
        (uses_and, "'and'/'or' on columns: use & and |"),
        (uses_not, "'not' on a column: use ~"),
        (uses_chained, "a chained comparison"),
        (uses_if, "'if' on a column: use kleene.when"),
        (uses_isna, r"\.isna\(\): a hole must not decide"),
        (uses_dropna, r"\.dropna\(\): it drops patients"),
        (uses_abs, r"abs\(\)"),
        (uses_in, "'in' on a column: use kleene.is_in"),
    ],
)
def test_operations_a_criterion_may_not_use(body, advice):
    with pytest.raises(fz.ProtocolError, match=rf"Criterion I1 \({body.__name__}\) uses {advice}"):
        declared(body)


def helper_with_division(a, b):
    return a / b > 3


def calls_a_helper(ast, uln):
    return helper_with_division(ast, uln)


def test_operations_in_a_helper_are_found():
    with pytest.raises(fz.ProtocolError, match=r"in helper_with_division\(\) uses '/'"):
        declared(calls_a_helper)


def without_source(code, name):
    """A function whose source cannot be read, as typed at a bare prompt: only the run-time guards see it."""
    space = {"pd": pd}
    exec(code, space)  # noqa: S102
    return space[name]


def test_a_mask_of_plain_bool(toy_cohort):
    body = without_source("def f(age_years):\n return (age_years > 18).to_numpy(bool, na_value=False)", "f")
    with pytest.raises(fz.ScreeningError, match="returned ndarray, not a column of answers"):
        fz.screen(toy_cohort, protocol_of(declared(body)))
    body = without_source("def f(age_years):\n return (age_years > 18).fillna(False).astype(bool)", "f")
    with pytest.raises(fz.ScreeningError, match="dtype bool; plain bool cannot say 'unknown'"):
        fz.screen(toy_cohort, protocol_of(declared(body)))


def test_a_mask_that_drops_rows(toy_cohort):
    body = without_source("def f(age_years):\n return age_years.dropna() > 18", "f")
    with pytest.raises(fz.ScreeningError, match="A criterion never drops or reorders rows"):
        fz.screen(toy_cohort, protocol_of(declared(body)))


@pytest.mark.parametrize(
    "code",
    [
        "def f(age_years):\n return (age_years > 18).fillna(False)",
        "def f(age_years):\n return (age_years > 18).fillna(True)",
        "def f(age_years):\n return age_years.isin([30, 40]).astype('boolean')",
        "def f(age_years):\n return age_years.isna().astype('boolean')",
        "def f(age_years):\n return (age_years > 200).fillna(False)",
    ],
)
def test_a_hole_that_decides_is_found_at_run_time(toy_cohort, code):
    body = without_source(code, "f")
    with pytest.raises(fz.ScreeningError, match="with 'age_years' missing it still answers"):
        fz.screen(toy_cohort, protocol_of(declared(body)))


def test_a_hole_that_decides_is_found_where_the_cohort_is_complete():
    cohort = pd.DataFrame({"sex": pd.array(["male"] * 5, dtype=pd.StringDtype("python"))})
    body = without_source("def f(sex):\n return sex.isin(['female']).astype('boolean')", "f")
    with pytest.raises(fz.ScreeningError, match="with 'sex' missing"):
        fz.screen(cohort, protocol_of(declared(body)))


def test_a_pyarrow_mask_gets_advice(toy_cohort):
    body = without_source("def f(age_years):\n return (age_years > 18).astype('bool[pyarrow]')", "f")
    with pytest.raises(fz.ScreeningError, match=r"string\[python\]"):
        fz.screen(toy_cohort, protocol_of(declared(body)))


def test_truth_value_of_a_column_gets_advice(toy_cohort):
    body = without_source("def f(age_years):\n return 18 <= age_years <= 70", "f")
    with pytest.raises(fz.ScreeningError, match=r"Write \(18 <= x\) & \(x <= 70\)"):
        fz.screen(toy_cohort, protocol_of(declared(body)))


def test_a_threshold_without_star():
    def body(age_years, min_age=18):
        return age_years > min_age

    with pytest.raises(fz.ProtocolError, match=r"'min_age' has a default.*after '\*'"):
        declared(body)


def test_a_threshold_without_the_protocols_value():
    def body(age_years, *, min_age):
        return age_years > min_age

    with pytest.raises(fz.ProtocolError, match="needs the protocol's value as its default"):
        declared(body)


def test_a_criterion_that_reads_nothing():
    def body(*, min_age=18):
        return min_age

    with pytest.raises(fz.ProtocolError, match="reads no cohort column; use not_assessable"):
        declared(body)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("threshold = 3", "unknown key 'threshold'. Did you mean 'thresholds'"),
        ("[thresholds]\nmin_platelet = 20", "'min_platelet'. Did you mean 'min_platelets'"),
        ('[readings]\nliver_combination = "none"', "cannot be 'none'"),
        ("[readings]\nmin_platelets = 20", r"'min_platelets' belongs under \[thresholds\]"),
        ('waive = "E7"', "waive must be a list"),
        ('waive = ["E9"]', "no criterion 'E9'"),
        ('trial = "NCT1"', "is written for NCT1"),
        ("name = ", "not a readable TOML file"),
    ],
)
def test_scenario_files_with_a_mistake(tmp_path, text, advice):
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(fz.ProtocolError, match=advice):
        fz.Scenario.from_toml(path).apply(fz.load_trial("NCT06642025"))


def test_a_range_does_no_arithmetic():
    value = fz.Range(pd.Series([1.0], dtype="Float64"), pd.Series([2.0], dtype="Float64"))
    with pytest.raises(TypeError, match="Arithmetic on a bounded value"):
        value * 2
    with pytest.raises(ValueError, match="with & and brackets"):
        bool(value)
