"""What must hold for any cohort: knowledge is monotone, thresholds relax, order is irrelevant, numbers add up."""

import itertools
import math
from dataclasses import replace as dataclass_replace
from functools import reduce
from operator import and_

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import feasibility as fz
from feasibility.bounded import UPPER
from feasibility.engine.pandas_engine import evaluate_on, hand_out
from feasibility.screening import ELIGIBLE, INELIGIBLE, UNDETERMINED

from .test_oracle import PROTOCOL, draw

QUICK = settings(
    max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
THOROUGH = settings(QUICK, max_examples=40)
SETTINGS = {s.name: (c.id, s) for c in PROTOCOL for s in c.settings}
COLUMNS = sorted({c for one in PROTOCOL for c in one.columns})


# A protocol of six criteria: short enough to try every order ------------------------------------------------------


@fz.inclusion("I1", "between 18 and 70 years")
def of_age(age, *, min_age: float = 18, max_age: float = 70):
    return (age >= min_age) & (age <= max_age)


@fz.inclusion("I2.1", "haemoglobin above 60")
def red(hemoglobin, days_since_hemoglobin, *, min_hb: float = 60, max_days_since_hemoglobin: float = 14):
    return fz.only_if(days_since_hemoglobin <= max_days_since_hemoglobin, hemoglobin > min_hb)


@fz.inclusion("I2.2", "platelets above 30")
def clotting(platelets, *, min_plt: float = 30):
    return platelets > min_plt


@fz.exclusion("E1", "infection")
def infected(infection):
    return infection


@fz.exclusion("E2.1", "creatinine of 178 or more")
def kidneys(creatinine, *, max_crea: float = 178):
    return creatinine >= max_crea


@fz.exclusion("E2.2", "transplanted and not settled")
def unsettled(transplanted, washout, *, min_wash: float = 42):
    return transplanted & (washout < min_wash)


TOY = fz.Protocol("TOY", "Toy", [of_age, red, clotting, infected, kidneys, unsettled])
NUMBERS = {
    "age": [17, 18, 40, 70, 71],
    "hemoglobin": [59, 60, 61, 90],
    "days_since_hemoglobin": [0, 14, 15, 40],
    "platelets": [29, 30, 31],
    "creatinine": [177, 178, 179],
    "washout": [0, 41, 42, math.inf],
}
FLAGS = ["infection", "transplanted"]


@st.composite
def cohorts(draw_value, max_patients=12):
    """A small cohort with holes and bounded values."""
    n = draw_value(st.integers(1, max_patients))
    frame = {}
    for name, values in NUMBERS.items():
        cells = draw_value(st.lists(st.sampled_from([*values, None]), min_size=n, max_size=n))
        frame[name] = pd.array(cells, dtype="Float64")
        if draw_value(st.booleans()):
            ends = draw_value(st.lists(st.sampled_from(values), min_size=n, max_size=n))
            high = [None if c is None else max(c, e) for c, e in zip(cells, ends, strict=True)]
            frame[name + UPPER] = pd.array(high, dtype="Float64")
    for name in FLAGS:
        cells = draw_value(st.lists(st.sampled_from([True, False, None]), min_size=n, max_size=n))
        frame[name] = pd.array(cells, dtype="boolean")
    return pd.DataFrame(frame, index=pd.Index([f"P{i}" for i in range(n)], name="patient_id"))


def screened(cohort, protocol=TOY):
    return fz.screen(cohort, protocol, check=False)


def failed(screening) -> pd.DataFrame:
    return ~screening.passes.fillna(True)


# Knowledge is monotone --------------------------------------------------------------------------------------------


def assert_only_forgets(before: pd.Series, after: pd.Series, what: str):
    """With less known a verdict may become unknown; it never turns round, and nothing unknown becomes known."""
    reversed_ = after.notna() & (before.isna() | (before != after).fillna(True))
    assert not reversed_.any(), f"{what}: {reversed_.sum()} verdicts were decided by a hole"


@pytest.mark.parametrize("criterion", list(PROTOCOL), ids=lambda c: c.id)
def test_forgetting_a_cell_never_decides_a_criterion(criterion):
    cohort = draw(criterion.columns, 300, seed=11, holes=0.1)
    before = criterion.met(cohort)
    for name in criterion.columns:
        cells = [c for c in (name, name + UPPER) if c in cohort]
        forgotten = cohort.assign(**{c: pd.array([pd.NA] * len(cohort), dtype=cohort[c].dtype) for c in cells})
        assert_only_forgets(before, criterion.met(forgotten), f"{criterion.id} without {name}")


def _reading_choices():
    return [
        pytest.param(c, {s.name: choice}, id=f"{c.id}-{choice}")
        for c in PROTOCOL
        for s in c.settings
        for choice in s.choices
        if choice != s.default
    ]


@pytest.mark.parametrize(("criterion", "chosen"), _reading_choices())
def test_forgetting_a_cell_never_decides_another_reading(criterion, chosen):
    criterion = criterion.with_thresholds(**chosen)
    cohort = draw(criterion.columns, 120, seed=12, holes=0.1)
    before = criterion.met(cohort)
    for name in criterion.reads:
        cells = [c for c in (name, name + UPPER) if c in cohort]
        forgotten = cohort.assign(**{c: pd.array([pd.NA] * len(cohort), dtype=cohort[c].dtype) for c in cells})
        assert_only_forgets(before, criterion.met(forgotten), f"{criterion.id} {chosen} without {name}")


@pytest.mark.parametrize(("criterion", "chosen"), _reading_choices())
def test_columns_that_a_reading_does_not_read_change_nothing(criterion, chosen):
    criterion = criterion.with_thresholds(**chosen)
    cohort = draw(criterion.columns, 60, seed=13)
    kept = [c for c in cohort if c.removesuffix(UPPER) in criterion.reads]
    # Evaluated on every column and on those it says it reads.
    everything = evaluate_on(criterion, hand_out(cohort, criterion.columns), len(cohort)).tolist()
    assert criterion.met(cohort[kept]).tolist() == everything


@pytest.mark.parametrize("criterion", list(PROTOCOL), ids=lambda c: c.id)
def test_widening_a_bound_never_decides_a_criterion(criterion):
    cohort = draw(criterion.columns, 200, seed=14, holes=0.05, bounded=0.2)
    before = criterion.met(cohort)
    for name in (n for n in criterion.columns if n + UPPER in cohort):
        top = cohort[name + UPPER]
        wider = cohort.assign(**{name + UPPER: (top + 5).where(top < math.inf, top)})
        assert_only_forgets(before, criterion.met(wider), f"{criterion.id}, {name} less precise")


@QUICK
@given(seed=st.integers(0, 10_000), data=st.data())
def test_forgetting_cells_never_reverses_a_status(seed, data):
    cohort = draw(COLUMNS, 40, seed=seed, holes=0.02, bounded=0.02)
    # Most cells satisfy nothing at random, so leave the criteria that decide to chance.
    kept = data.draw(st.lists(st.sampled_from([c.id for c in PROTOCOL]), min_size=1, max_size=4, unique=True))
    protocol = PROTOCOL.without(*(c.id for c in PROTOCOL if c.id not in kept))
    names = sorted(protocol.reads)
    gone = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
    cells = [c for name in gone for c in (name, name + UPPER) if c in cohort]
    forgotten = cohort.assign(**{c: pd.array([pd.NA] * len(cohort), dtype=cohort[c].dtype) for c in cells})
    before, after = screened(cohort, protocol), screened(forgotten, protocol)
    changed = before.status != after.status
    assert (after.status[changed] == UNDETERMINED).all()
    for name in kept:
        assert_only_forgets(before.passes[name], after.passes[name], name)


@THOROUGH
@given(cohort=cohorts())
def test_filling_the_holes_gives_a_verdict_between_the_bounds(cohort):
    """Whatever the missing values are, confirmed patients are eligible and impossible ones are not."""
    before = screened(cohort)
    rng = np.random.default_rng(len(cohort))
    full = cohort[[c for c in cohort if not c.endswith(UPPER)]].copy()
    for name, values in NUMBERS.items():
        picks = pd.Series(rng.choice(values, len(cohort)), index=cohort.index)
        high = cohort.get(name + UPPER, cohort[name])
        inside = cohort[name].where(pd.Series(rng.random(len(cohort)) < 0.5, index=cohort.index), high)
        full[name] = inside.fillna(picks.astype("Float64"))
    for name in FLAGS:
        full[name] = cohort[name].fillna(pd.Series(rng.random(len(cohort)) < 0.5, index=cohort.index))
    after = screened(full)
    assert (after.status[before.status == ELIGIBLE] == ELIGIBLE).all()
    assert (after.status[before.status == INELIGIBLE] == INELIGIBLE).all()


# Thresholds relax -------------------------------------------------------------------------------------------------


def _directed():
    return [name for name, (_, s) in SETTINGS.items() if s.direction]


def _steps(setting):
    """Values from strict to relaxed."""
    value = setting.default
    spread = [value * f for f in (0.5, 0.8, 1, 1.25, 2)]
    if isinstance(value, int):
        spread = sorted({*(round(v) for v in spread), value - 1, value, value + 1})
    return spread if setting.direction > 0 else spread[::-1]


@pytest.mark.parametrize("name", _directed())
def test_relaxing_a_threshold_never_loses_a_patient(name):
    owner, setting = SETTINGS[name]
    variants = [{}]
    if name == "min_transfusion_free_days":
        variants = [{"transfusion_rule": "transfusion_free"}]
    if name == "min_ex02_percent":
        variants = [{"antigen_cutoff": "percent"}]
    for variant in variants:
        criterion = PROTOCOL[owner].with_thresholds(**variant)
        cohort = draw(criterion.columns, 400, seed=21)
        before = None
        for value in _steps(setting):
            after = criterion.with_thresholds(**{name: value}).passes(cohort)
            if before is not None:
                assert not (before.fillna(False) & ~after.fillna(False)).any(), f"{name}={value} lost a confirmed one"
                assert not (before.fillna(True) & ~after.fillna(True)).any(), f"{name}={value} lost a possible one"
            before = after


def _lookbacks():
    return [name for name, (_, s) in SETTINGS.items() if s.is_lookback]


@pytest.mark.parametrize("name", _lookbacks())
def test_looking_back_further_only_turns_unknown_into_known(name):
    owner, setting = SETTINGS[name]
    criterion = PROTOCOL[owner]
    cohort = draw(criterion.columns, 400, seed=22)
    values = [1, 7, 14, 28, 56, 365, math.inf]
    before, learned = None, 0
    for value in values:
        after = criterion.with_thresholds(**{name: value}).passes(cohort)
        if before is not None:
            known = before.notna()
            assert (after[known] == before[known]).all(), f"{name}={value} changed or forgot a known verdict"
            learned += int((after.notna() & ~known).sum())
        before = after
    assert learned, "the ages must try the look-back"


@THOROUGH
@given(cohort=cohorts(), name=st.sampled_from(["min_age", "max_age", "min_hb", "min_plt", "max_crea", "min_wash"]),
       step=st.sampled_from([1, 2, 1000]))  # fmt: skip
def test_relaxing_never_loses_a_patient_of_the_whole_screening(cohort, name, step):
    setting = TOY.setting(name)
    before = screened(cohort)
    after = screened(cohort, TOY.with_thresholds(**{name: setting.default + setting.direction * step}))
    assert (after.status[before.status == ELIGIBLE] == ELIGIBLE).all()
    assert not (after.status[before.status != INELIGIBLE] == INELIGIBLE).any()


# Counts -----------------------------------------------------------------------------------------------------------


@THOROUGH
@given(cohort=cohorts())
def test_status_follows_from_the_verdicts(cohort):
    screening = screened(cohort)
    out = failed(screening).any(axis=1)
    sure = screening.passes.fillna(False).all(axis=1)
    assert (screening.status == INELIGIBLE).tolist() == out.tolist()
    assert (screening.status == ELIGIBLE).tolist() == sure.tolist()
    assert (screening.status == UNDETERMINED).tolist() == (~out & ~sure).tolist()
    patterns = screening.patterns()
    assert (patterns.n_patients, patterns.n_possible, patterns.n_confirmed) == (len(cohort), (~out).sum(), sure.sum())


@THOROUGH
@given(cohort=cohorts(), order=st.permutations([c.id for c in TOY]))
def test_attrition_rows_are_plain_counts_in_any_order(cohort, order):
    screening = screened(cohort)
    table = fz.attrition(screening, order=order)
    passes = screening.passes[list(order)]
    fails = ~passes.fillna(True)
    assert table.index.tolist() == list(order)
    for i, name in enumerate(order):
        entering = ~fails.iloc[:, :i].any(axis=1)
        remaining = ~fails.iloc[:, : i + 1].any(axis=1)
        sure = passes.iloc[:, : i + 1].fillna(False).all(axis=1)
        row = table.loc[name]
        assert row.n_entering == entering.sum()
        assert row.n_excluded == (entering & fails[name]).sum()
        assert row.n_remaining == remaining.sum()
        assert row.n_confirmed == sure.sum()
        assert row.n_undetermined == (remaining & ~sure).sum()
    straight = fz.attrition(screening)
    for name in ("n_remaining", "n_confirmed", "n_undetermined"):
        assert table[name].iloc[-1] == straight[name].iloc[-1]
    assert table.n_entering.iloc[0] == straight.n_entering.iloc[0] == len(cohort)
    assert table.n_excluded.sum() == straight.n_excluded.sum()


@QUICK
@given(cohort=cohorts(), order=st.permutations([c.id for c in TOY]))
def test_a_reordered_protocol_has_the_same_patients_and_fingerprint(cohort, order):
    protocol = TOY.reordered(*order)
    assert [c.id for c in protocol] == list(order)
    assert protocol.fingerprint() == TOY.fingerprint()
    assert screened(cohort, protocol).status.tolist() == screened(cohort).status.tolist()
    pd.testing.assert_frame_equal(fz.attrition(screened(cohort, protocol)), fz.attrition(screened(cohort), order=order))


@THOROUGH
@given(cohort=cohorts())
def test_impact_is_what_plain_pandas_counts_and_a_waiver_gives(cohort):
    screening = screened(cohort)
    table = fz.impact(screening)
    passes, fails = screening.passes, failed(screening)
    for criterion in TOY:
        name, rest = criterion.id, passes.drop(columns=criterion.id)
        rest_sure, rest_possible = rest.fillna(False).all(axis=1), rest.fillna(True).all(axis=1)
        row = table.loc[name]
        assert row.n_failing == fails[name].sum()
        assert row.n_unknown == passes[name].isna().sum()
        assert row.n_only_reason == (fails[name] & rest_sure).sum()
        assert row.n_only_unknown == (passes[name].isna() & rest_sure).sum()
        assert row.gain_possible == (fails[name] & rest_possible).sum()
        waived = screened(cohort, TOY.without(name)).patterns()
        assert row.gain_confirmed == waived.n_confirmed - screening.patterns().n_confirmed
        assert row.gain_possible == waived.n_possible - screening.patterns().n_possible
        dropped = screening.patterns().without(name)
        assert (dropped.n_confirmed, dropped.n_possible) == (waived.n_confirmed, waived.n_possible)


@settings(QUICK, max_examples=8)
@given(cohort=cohorts())
def test_shapley_is_the_average_over_every_order(cohort):
    fails = failed(screened(cohort))
    columns = {name: fails[name].to_numpy(dtype=bool) for name in fails}
    total = dict.fromkeys(fails, 0)
    orders = list(itertools.permutations(fails))
    for order in orders:
        inside = np.ones(len(fails), dtype=bool)
        for name in order:
            total[name] += int((inside & columns[name]).sum())
            inside &= ~columns[name]
    shares = fz.impact(screened(cohort)).shapley
    for name in fails:
        assert shares[name] == pytest.approx(total[name] / len(orders))
    assert shares.sum() == pytest.approx(fails.any(axis=1).sum())


@QUICK
@given(cohort=cohorts())
def test_overlaps_count_each_set_of_reasons(cohort):
    fails = failed(screened(cohort))
    sets = [tuple(fails.columns[row]) for row in fails.to_numpy()]
    table = fz.overlaps(screened(cohort))
    expected = {s: sets.count(s) for s in sets if s}
    assert dict(zip(table.index, table.n, strict=True)) == expected


# Pattern tables ---------------------------------------------------------------------------------------------------


def cells(frame: pd.DataFrame) -> list[tuple]:
    """The rows of a frame of truth values, unknown as None."""
    return [tuple(None if v is pd.NA else v for v in row) for row in frame.astype(object).to_numpy()]


def as_counts(patterns) -> dict:
    frame = patterns.to_frame()
    keys = cells(frame.drop(columns="n"))
    assert len(set(keys)) == len(keys), "each pattern occurs once"
    return dict(zip(keys, frame.n.tolist(), strict=True))


@THOROUGH
@given(cohort=cohorts(), parts=st.integers(1, 4))
def test_pooling_parts_is_screening_the_whole(cohort, parts):
    whole = screened(cohort).patterns()
    pieces = [cohort.iloc[i::parts] for i in range(parts) if len(cohort.iloc[i::parts])]
    pooled = fz.pool([screened(piece).patterns() for piece in pieces])
    assert as_counts(pooled) == as_counts(whole)
    pd.testing.assert_frame_equal(fz.attrition(pooled), fz.attrition(whole))
    pd.testing.assert_frame_equal(fz.impact(pooled), fz.impact(whole))


@THOROUGH
@given(cohort=cohorts())
def test_patterns_are_the_distinct_rows_of_passes(cohort):
    screening = screened(cohort)
    rows = cells(screening.passes)
    assert as_counts(screening.patterns()) == {row: rows.count(row) for row in rows}


@THOROUGH
@given(cohort=cohorts())
def test_a_clause_is_the_and_of_its_criteria(cohort):
    screening = screened(cohort)
    clauses: dict[str, list[str]] = {}
    for criterion in TOY:
        clauses.setdefault(criterion.clause, []).append(criterion.id)
    whole = pd.DataFrame({k: reduce(and_, (screening.passes[i] for i in ids)) for k, ids in clauses.items()})
    rows = cells(whole)
    assert as_counts(screening.patterns().by_clause()) == {row: rows.count(row) for row in rows}


@pytest.mark.parametrize("k", [31, 32, 33, 63, 64, 65, 130])
def test_any_number_of_criteria(k, tmp_path):
    """Words of 64 bits hold the statuses: nothing may be lost at their edges."""
    rng = np.random.default_rng(k)
    cohort = pd.DataFrame(
        {f"x{i}": pd.array(rng.choice([True, False, None], 40, p=[0.9, 0.05, 0.05]), dtype="boolean") for i in range(k)}
    )

    def made(i):
        def criterion(x):
            return x

        criterion.__name__ = f"c{i}"
        made_one = fz.inclusion(f"I{i + 1}", f"criterion {i}")(criterion)
        return dataclass_replace(made_one, columns=(f"x{i}",))

    protocol = fz.Protocol("MANY", "Many", [made(i) for i in range(k)])
    screening = screened(cohort, protocol)
    assert cells(screening.passes) == cells(cohort)
    fails = ~cohort.fillna(True)
    shares = fz.impact(screening).shapley.to_numpy()
    assert shares == pytest.approx((fails.div(fails.sum(axis=1).replace(0, 1), axis=0)).sum().to_numpy())
    assert fz.attrition(screening).n_remaining.iloc[-1] == (~fails.any(axis=1)).sum()
    path = tmp_path / "patterns.parquet"
    screening.patterns().save(path)
    assert as_counts(fz.PatternTable.load(path)) == as_counts(screening.patterns())
    kept = [f"I{k}", "I1"]
    assert as_counts(screening.patterns().keep(kept)) == as_counts(
        screened(cohort, protocol.without(*(c.id for c in protocol if c.id not in kept)).reordered(*kept)).patterns()
    )


# Three-valued helpers, against every completion -------------------------------------------------------------------

VALUES = [True, False, None]


def completions(values):
    """Every way the unknown truth values could turn out."""
    return itertools.product(*([v] if v is not None else [True, False] for v in values))


def decided(outcomes):
    outcomes = set(outcomes)
    return outcomes.pop() if len(outcomes) == 1 else None


def masks(rows):
    return [pd.Series(pd.array(list(column), dtype="boolean")) for column in zip(*rows, strict=True)]


def plain(mask) -> list:
    return [None if v is pd.NA else bool(v) for v in mask.tolist()]


def test_when_decides_exactly_what_every_completion_agrees_on():
    rows = list(itertools.product(VALUES, repeat=3))
    wanted = [decided(b if a else c for a, b, c in completions(row)) for row in rows]
    assert plain(fz.when(*masks(rows))) == wanted


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_at_least_k_decides_exactly_what_every_completion_agrees_on(n):
    rows = list(itertools.product(VALUES, repeat=n))
    for k in range(1, n + 1):
        wanted = [decided(sum(c) >= k for c in completions(row)) for row in rows]
        assert plain(fz.at_least_k_of(k, *masks(rows))) == wanted, k


@pytest.mark.parametrize("k", [0, -1, 3])
def test_at_least_k_refuses_a_k_out_of_reach(k):
    with pytest.raises(ValueError, match=f"k is {k}"):
        fz.at_least_k_of(k, *masks([(True, False)]))


def test_only_if_is_the_value_where_the_condition_is_known_to_hold():
    rows = list(itertools.product(VALUES, repeat=2))
    assert plain(fz.only_if(*masks(rows))) == [value if condition is True else None for condition, value in rows]


@pytest.mark.parametrize("codes", [["CR"], ["CR", "PR"], ["XX"]])
def test_is_in_is_unknown_for_a_missing_code(codes):
    cells = ["CR", "PR", "NR", None]
    column = pd.Series(pd.array(cells, dtype=pd.StringDtype("python")))
    assert plain(fz.is_in(column, codes)) == [None if c is None else c in codes for c in cells]


def test_is_in_needs_a_value():
    with pytest.raises(ValueError, match="at least one"):
        fz.is_in(pd.Series(["CR"], dtype=pd.StringDtype("python")), [])


ENDS = [-math.inf, 0, 1, 2, 3, math.inf]


@pytest.mark.parametrize("operator", ["__gt__", "__ge__", "__lt__", "__le__", "__eq__", "__ne__"])
@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_a_bounded_value_is_compared_as_every_value_within(operator, limit):
    pairs = [(a, b) for a in ENDS for b in ENDS if a <= b]
    bounded = fz.Range(
        pd.Series([a for a, _ in pairs] + [None], dtype="Float64"),
        pd.Series([b for _, b in pairs] + [None], dtype="Float64"),
    )
    fine = np.array([-math.inf, *np.arange(-1, 5, 0.25), math.inf])
    wanted = []
    for low, high in pairs:
        inside = fine[(fine >= low) & (fine <= high)]
        wanted.append(decided(bool(getattr(np.float64(v), operator)(limit)) for v in inside))
    assert plain(getattr(bounded, operator)(limit)) == [*wanted, None]
