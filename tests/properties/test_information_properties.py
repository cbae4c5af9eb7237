"""The value of information against brute force: every set of columns, every value of every hole."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import feasibility as fz
from feasibility.cohort.schema import DTYPES, CohortTable, Column
from feasibility.missing.information import value_of_information
from feasibility.protocol.loading import trial_module

# --- a protocol with every kind of hole: bounded, dated, bounded and dated, coded, conditional, two together ---------


@fz.inclusion("I1", "adult")
def adult(age_years, *, min_age: int = 18, max_age: int = 70):
    """Both ends."""
    return (age_years >= min_age) & (age_years <= max_age)


@fz.inclusion("I2", "platelets")
def platelets(plt, days_since_plt, *, min_plt: float = 30, max_days: float = 14):
    """Recent."""
    return fz.kleene.only_if(days_since_plt <= max_days, plt > min_plt)


@fz.inclusion("I3", "response")
def response(status):
    """Coded."""
    return fz.is_in(status, ("CR", "CRi"))


@fz.exclusion("E1", "transplant not settled")
def transplant(hsct, days_since_is, gvhd, *, min_washout: float = 42):
    """Of recipients only."""
    return hsct & ((days_since_is < min_washout) | gvhd)


@fz.exclusion("E2", "exactly one of two")
def either(a, b):
    """Neither alone decides."""
    return (a & ~b) | (~a & b)


@fz.exclusion("E3", "platelets far back, or a")
def old_platelets(plt, days_since_plt, a, *, min_plt_ever: float = 10, max_days_ever: float = 60):
    """The same record with a longer look-back."""
    return fz.kleene.only_if(days_since_plt <= max_days_ever, plt <= min_plt_ever) & a


CRITERIA = (adult, platelets, response, transplant, either, old_platelets)
TABLE = CohortTable(
    [
        Column(name="age_years", dtype="Int64", doc="Age.", hard=(0, 120)),
        Column(name="plt", dtype="Float64", doc="Platelets.", hard=(0, 2000), dated="days"),
        Column(name="status", dtype="string", doc="Response.", values=("CR", "CRi", "PR", "NR")),
        Column(name="hsct", dtype="boolean", doc="Transplant."),
        Column(name="days_since_is", dtype="Float64", doc="Washout.", hard=(0, float("inf"))),
        Column(name="gvhd", dtype="boolean", doc="GvHD.", asked_if=("hsct", True)),
        Column(name="a", dtype="boolean", doc="One."),
        Column(name="b", dtype="boolean", doc="Other."),
    ]
)
PROTOCOL = fz.Protocol("demo", "Demo", list(CRITERIA), columns=TABLE)
RECORDS = {"age_years": {}, "plt": {"age": "days_since_plt"}, "status": {}, "hsct": {}, "days_since_is": {},
           "gvhd": {}, "a": {}, "b": {}}  # fmt: skip
READS = {"I1": ("age_years",), "I2": ("plt",), "I3": ("status",), "E1": ("hsct", "days_since_is", "gvhd"),
         "E2": ("a", "b"), "E3": ("plt", "a")}  # fmt: skip
WINDOW = {"I2": 14, "E3": 60}
# Finer than the limits of the criteria, so that no representative of the code under test is the only witness.
VALUES = {
    "age_years": [0, 5, 17, 18, 19, 44, 69, 70, 71, 72, 120],
    "plt": [0.0, 3.0, 10.0, 10.5, 29.9, 30.0, 30.1, 200.0, 2000.0],
    "status": ["CR", "CRi", "PR", "NR"],
    "days_since_is": [0.0, 41.0, 41.9, 42.0, 43.0, 900.0, np.inf],
    **{name: [True, False] for name in ("hsct", "gvhd", "a", "b")},
}


def frame(rows):
    names = ["age_years", "age_years__upper", "plt", "plt__upper", "days_since_plt", "status", "hsct", "days_since_is",
             "gvhd", "a", "b"]  # fmt: skip
    data = {}
    for name in names:
        dtype = TABLE[name].dtype
        data[name] = pd.array([row[name] for row in rows], dtype=DTYPES[dtype])
    return pd.DataFrame(data, index=pd.Index([f"P{i}" for i in range(len(rows))], name="patient_id"))


def criterion_of(cid):
    return next(c for c in CRITERIA if c.id == cid)


def met(cid, rows):
    """The verdicts on literal rows, by the criterion's own function on pandas columns."""
    return [None if v is pd.NA else bool(v) for v in criterion_of(cid).passes(frame(rows)).tolist()]


def is_na(value):
    return value is None or value is pd.NA


def turns_out(row, name, cid):
    """By hand: what looking up one record can bring, as changes of the row; [{}] where there is nothing to get."""
    value = row[name]
    if name == "gvhd":
        if not is_na(value) or (not is_na(row["hsct"]) and not row["hsct"]):
            return [{}]
        return [{"gvhd": v} for v in (True, False)] + ([{}] if is_na(row["hsct"]) else [])
    if name == "plt":
        age = row["days_since_plt"]
        spent = is_na(value) or is_na(age) or age > WINDOW[cid]
        if spent:
            return [{"plt": v, "plt__upper": v, "days_since_plt": 0.0} for v in VALUES["plt"]]
        low, high = value, row["plt__upper"]
        return [{"plt": v, "plt__upper": v} for v in VALUES["plt"] if low <= v <= high] if low != high else [{}]
    if name == "age_years":
        low, high = value, row["age_years__upper"]
        if is_na(low):
            return [{name: v, "age_years__upper": v} for v in VALUES[name]]
        return [{name: v, "age_years__upper": v} for v in VALUES[name] if low <= v <= high] if low != high else [{}]
    return [{name: v} for v in VALUES[name]] if is_na(value) else [{}]


def surely(row, cid, chosen):
    """Whether the criterion is decided for every combination of values of the chosen records."""
    rows = [dict(row)]
    # hsct before gvhd, since the second depends on the first.
    for name in [n for n in RECORDS if n in chosen and n in READS[cid]]:
        rows = [r | change for r in rows for change in turns_out(r, name, cid)]
    return all(v is not None for v in met(cid, rows))


def filled(row, cid, chosen, completed):
    """The verdict once the chosen records that are open hold what the completed row has."""
    made = dict(row)
    for name in [n for n in RECORDS if n in chosen and n in READS[cid]]:
        if turns_out(row, name, cid) == [{}]:
            continue
        made[name] = completed[name]
        if name + "__upper" in made:
            made[name + "__upper"] = completed[name]
        if name == "plt" and turns_out(row, name, cid)[0].get("days_since_plt") == 0.0:
            made["days_since_plt"] = 0.0
    return met(cid, [made])[0]


class Fake:
    """Imputations drawn from the lists of values, whatever a model would say."""

    def __init__(self, screening, cohort, m, seed):
        self.rows = np.flatnonzero((screening.status == "undetermined").to_numpy())
        self.observed, self.m, self.seed = cohort.iloc[self.rows], m, seed

    def completed(self, k):
        rng = np.random.default_rng([self.seed, k])
        rows = []
        for row in self.observed.to_dict("records"):
            made = dict(row)
            for name, values in VALUES.items():
                low, high = row[name], row.get(name + "__upper", row[name])
                inside = values if is_na(low) else [v for v in values if low <= v <= high]
                if is_na(low) or low != high or (name == "plt" and stale(row)):
                    pool = values if name == "plt" and stale(row) else inside
                    made[name] = pool[rng.integers(len(pool))]
                    if name + "__upper" in made:
                        made[name + "__upper"] = made[name]
            rows.append(made)
        table = frame(rows)
        return table.set_index(self.observed.index)


def stale(row):
    return is_na(row["days_since_plt"]) or row["days_since_plt"] > 14


def brute(cohort, fake, most):
    """(surely, expected, gained) for every set of up to ``most`` records."""
    rows = cohort.iloc[fake.rows].to_dict("records")
    open_ = [[c.id for c in CRITERIA if met(c.id, [row])[0] is None] for row in rows]
    completed = [fake.completed(k).to_dict("records") for k in range(fake.m)]
    seen = {}

    def once(what, i, cid, chosen, k=None):
        own = tuple(n for n in chosen if n in READS[cid])
        if (what, i, cid, own, k) not in seen:
            seen[what, i, cid, own, k] = (
                surely(rows[i], cid, own) if k is None else filled(rows[i], cid, own, completed[k][i])
            )
        return seen[what, i, cid, own, k]

    found = {}
    for chosen in (c for size in range(1, most + 1) for c in combinations(RECORDS, size)):
        sure = [all(once("surely", i, c, chosen) for c in ids) for i, ids in enumerate(open_)]
        decided = gained = 0
        for k, (i, ids) in product(range(fake.m), enumerate(open_)):
            verdicts = [once("filled", i, c, chosen, k) for c in ids]
            decided += False in verdicts or None not in verdicts
            gained += all(v is True for v in verdicts)
        found[frozenset(chosen)] = (sum(sure), decided / fake.m, gained / fake.m)
    return found


ages = st.sampled_from([(None, None), (30, 30), (17, 18), (18, 25), (69, 71), (17, 17)])
counts = st.sampled_from([(None, None), (0.0, 20.0), (0.0, 90.0), (50.0, 50.0), (8.0, 8.0), (20.0, 20.0)])
truths = st.sampled_from([None, True, False])


@st.composite
def patients(draw):
    (age, age_upper), (plt, plt_upper) = draw(ages), draw(counts)
    return {
        "age_years": age, "age_years__upper": age_upper, "plt": plt, "plt__upper": plt_upper,
        "days_since_plt": None if plt is None else draw(st.sampled_from([None, 3.0, 30.0, 100.0])),
        "status": draw(st.sampled_from([None, "CR", "CR", "NR"])), "hsct": draw(truths),
        "days_since_is": draw(st.sampled_from([None, 10.0, np.inf])), "gvhd": draw(truths),
        "a": draw(truths), "b": draw(truths),
    }  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(st.lists(patients(), min_size=1, max_size=6), st.integers(0, 99))
def test_every_set_of_columns_has_the_numbers_of_brute_force(rows, seed):
    cohort = frame(rows)
    screening = fz.screen(cohort, PROTOCOL)
    if not (screening.status == "undetermined").any():
        return
    fake = Fake(screening, cohort, m=2, seed=seed)
    table = value_of_information(screening, cohort, fake, most=3, top=10_000)
    shown = numbers_of(table[table.method == "exact"])
    candidates = set().union(*shown)
    for chosen, numbers in brute(cohort, fake, 3).items():
        # A record with nothing to get for anybody is no candidate, and adds nothing to a set.
        inside = chosen & candidates
        assert (shown[inside] if inside else (0, 0, 0)) == pytest.approx(numbers), sorted(chosen)


@settings(max_examples=10, deadline=None)
@given(st.lists(patients(), min_size=1, max_size=30))
def test_all_columns_settle_whoever_can_be_settled_and_more_columns_never_settle_fewer(rows):
    cohort = frame(rows)
    screening = fz.screen(cohort, PROTOCOL)
    if not (screening.status == "undetermined").any():
        return
    fake = Fake(screening, cohort, m=3, seed=1)
    table = value_of_information(screening, cohort, fake, top=10_000)
    everything = table[table.method == "all"].iloc[0]
    # Every hole of this protocol can be looked up, and a full record decides every criterion.
    assert everything.n_settled_surely == everything.n_settled_expected == len(fake.rows)
    shown = numbers_of(table[table.method == "exact"])
    for small, large in product(shown, shown):
        if small < large:
            assert all(x <= y + 1e-9 for x, y in zip(shown[small], shown[large], strict=True))
    assert all(sure <= expected + 1e-9 >= gained for sure, expected, gained in shown.values())
    confirmed = sum(
        all(met(c.id, [made])[0] for c in CRITERIA) for k in range(3) for made in fresh(fake.completed(k), cohort, fake)
    )
    assert everything.n_gain_expected == pytest.approx(confirmed / 3)


def fresh(completed, cohort, fake):
    """The completed rows with the age of every new platelet count set to today."""
    for row, before in zip(completed.to_dict("records"), cohort.iloc[fake.rows].to_dict("records"), strict=True):
        yield row | ({"days_since_plt": 0.0} if is_na(before["plt"]) or stale(before) else {})


def numbers_of(table):
    numbers = table[["n_settled_surely", "n_settled_expected", "n_gain_expected"]].astype(float).to_numpy()
    return {frozenset(names): tuple(row) for names, row in zip(table["columns"], numbers, strict=True)}


@pytest.fixture(scope="module")
def registry():
    cohort = trial_module("NCT06642025").synthetic(250, seed=5).observed
    return fz.screen(cohort, fz.load_trial("NCT06642025")), cohort


def test_in_the_real_protocol_whoever_is_settled_surely_is_decided_by_any_filling(registry):
    screening, cohort = registry
    whole = value_of_information(screening, cohort, most=2, top=10_000)
    names = whole[whole.method == "all"]["columns"].iloc[0]
    for size in (1, 2):
        assert whole[whole["size"] == size]["n_settled_surely"].is_monotonic_decreasing
    rng = np.random.default_rng(2)
    undetermined = cohort[(screening.status == "undetermined").to_numpy()]
    shown = {frozenset(c): n for c, n in zip(whole["columns"], whole["n_settled_surely"], strict=True)}
    best = whole[(whole["size"] == 2) & (whole.method == "exact")]["columns"].iloc[0]
    for chosen in (best, *rng.choice(np.array([*combinations(names, 2)], dtype=object), 2)):
        decided = np.ones(len(undetermined), dtype=bool)
        for _ in range(4):
            table = undetermined.copy()
            for name in chosen:
                pool = cohort[name].dropna().to_numpy()
                hole = table[name].isna().to_numpy()
                if name + "__upper" in table:
                    hole = hole | (table[name] != table[name + "__upper"]).fillna(True).to_numpy()
                values = table[name].copy()
                values[hole] = pool[rng.integers(len(pool), size=hole.sum())]
                table[name] = values
                if name + "__upper" in table:
                    table[name + "__upper"] = values.astype(table[name + "__upper"].dtype)
                for age in (f"days_since_{name}", f"months_since_{name}"):
                    if age in table:
                        table[age] = table[age].mask(pd.Series(hole, index=table.index), 0.0)
            again = fz.screen(table, screening.protocol, check=False)
            still = again.unknown & screening.unknown[(screening.status == "undetermined").to_numpy()]
            decided &= ~still.any(axis=1)
        assert shown[frozenset(chosen)] <= decided.sum()


def test_larger_sets_are_greedy_and_say_so(registry):
    screening, cohort = registry
    table = value_of_information(screening, cohort, most=5, top=1)
    assert table.method.tolist() == ["exact"] * 3 + ["greedy"] * 2 + ["all"]
    assert table["size"].tolist()[:5] == [1, 2, 3, 4, 5]
    assert table.n_settled_surely.is_monotonic_increasing
    assert set(table["columns"].iloc[2]) < set(table["columns"].iloc[3]) < set(table["columns"].iloc[4])
