"""The seed trial's criteria against the independent oracle: NA for NA, for every reading and look-back."""

import functools

import numpy as np
import pandas as pd
import pytest

import feasibility
from feasibility.bounded import UPPER
from feasibility.cohort.schema import DTYPES
from feasibility.trials import nct06642025

from .oracle_nct06642025 import ORACLE, oracle

INF = float("inf")
PROTOCOL = feasibility.load_trial("NCT06642025").adding(nct06642025.ex02_measured)
CRITERIA = {c.id: c for c in PROTOCOL}
N_DEFAULT, N_SETTING = 10_000, 1_000

# Values at, just below and just above each limit of the protocol and of its readings; "never" where it can be.
DAYS = [0, 6, 7, 8, 13, 14, 15, 20, 27, 28, 29, 41, 42, 43, 55, 56, 57, 179, 400]
MONTHS = [0, 5.97, 6, 6.03, 11.97, 12, 12.03, 13, 17.9, 18, 18.1, 40, INF]
RATIO = [0, 0.5, 1, 2, 2.99, 3, 3.000001, 3.01, 4.99, 5, 5.01, 20]
DOSE = [0, 7.5, 9.99, 10, 10.01, 14.99, 15, 15.01, 20, 80]
EXPOSURE = [0, 1, 13, 14, 15, 27, 28, 29, 89, 90, 91, 3000]
COURSES = [0, 0, 1, 1, 2, 2, 3, 6]
PERCENT = [5, 34.9, 35, 35.1, 39.9, 40, 40.1, 44.9, 45, 45.1, 50, 65]
VALUES = {
    "age_years": [0, 16, 17, 18, 19, 40, 64, 65, 69, 70, 71, 75, 76, 99],
    "age_exact_years": [17.99, 18, 18.01, 40, 64.99, 65, 65.01, 69.99, 70, 70.01, 70.99, 71, 75, 75.1],
    "ecog": [0, 1, 2, 3, 4],
    "nyha_class": [1, 2, 3, 4],
    "nyha_class_worst": [1, 2, 3, 4],
    "hemoglobin_g_l": [10, 59.9, 60, 60.0001, 69, 70, 71, 79.9, 80, 80.1, 130],
    "platelets_10e9_l": [0, 19, 20, 21, 29.9, 30, 30.1, 49, 50, 51, 200],
    "cd3_10e9_l": [0, 0.149, 0.15, 0.151, 0.3, 0.499, 0.5, 0.501, 1.2],
    "creatinine_umol_l": [20, 131, 132, 133, 177.99, 178, 178.01, 300],
    "creatinine_earlier_umol_l": [20, 131, 132, 133, 177.99, 178, 178.01, 300],
    "hbv_dna_iu_ml": [0, 19.9, 20, 20.1, 199, 200, 201, 1999, 2000, 2001, 1e6],
    "ex02_percent": [0, 19.9, 20, 20.1, 49.9, 50, 50.1, 100],
    "days_since_immunosuppressant": [*DAYS, INF, INF, INF],
    "days_since_rbc_transfusion": [0, 2, 3, 4, 6, 7, 8, 30, INF, INF],
    "days_since_platelet_transfusion": [0, 2, 3, 4, 6, 7, 8, 30, INF, INF],
}


def values_of(name: str) -> list:
    """Plausible values of a column, crowded around the limits."""
    column = PROTOCOL.columns[name]
    if name in VALUES:
        return VALUES[name]
    if column.dtype == "boolean":
        return [True, False]
    if column.dtype == "string":
        return list(column.values)
    if name.startswith("days_since_"):
        return DAYS
    if "months_" in name:
        return MONTHS
    endings = {"_x_uln": RATIO, "_pct": PERCENT, "_courses": COURSES}
    for ending, values in endings.items():
        if name.endswith(ending):
            return values
    if "is_days" in name or "steroid_days" in name:
        return EXPOSURE
    if "steroid_mg_day" in name:
        return DOSE
    if name.startswith("n_"):
        return COURSES
    raise AssertionError(f"No values for {name!r}: a new column needs some here.")


def draw(columns, n: int, seed: int, holes: float = 0.2, bounded: float = 0.15) -> pd.DataFrame:
    """A random cohort: independent cells, so that contradictory records occur as well."""
    rng = np.random.default_rng(seed)
    frame = {}
    for name in columns:
        column = PROTOCOL.columns[name]
        pool = np.array(values_of(name), dtype=object)
        cells = pool[rng.integers(len(pool), size=n)]
        hole = rng.random(n) < holes
        if column.numeric:
            other = pool[rng.integers(len(pool), size=n)]
            between = rng.random(n) < bounded
            low = np.where(between, np.minimum(cells, other), cells)
            high = np.where(between, np.maximum(cells, other), cells)
            # Some limits are open at one end: "> 20" has no upper bound, "< 10" no lower one.
            low = np.where(hole | (between & (rng.random(n) < 0.15)), None, low)
            high = np.where(hole | (between & (rng.random(n) < 0.15)), None, high)
            frame[name] = pd.array(list(low), dtype=DTYPES[column.dtype])
            frame[name + UPPER] = pd.array(list(high), dtype=DTYPES[column.dtype])
        else:
            frame[name] = pd.array(list(np.where(hole, None, cells)), dtype=DTYPES[column.dtype])
    return pd.DataFrame(frame, index=[f"P{i}" for i in range(n)])


CR_MONTHS = (
    "months_from_cr_to_relapse", "months_from_first_cr_to_first_relapse", "shortest_months_from_cr_to_relapse",
)  # fmt: skip
END_MONTHS = (
    "months_from_consolidation_to_relapse", "months_from_first_consolidation_to_first_relapse",
    "shortest_months_from_consolidation_to_relapse",
)  # fmt: skip


@functools.cache
def draw_histories(n: int, seed: int) -> pd.DataFrame:
    """The columns of I1.2, with courses of disease that can occur: each relapse follows a remission, and so on."""
    rng = np.random.default_rng(seed)
    frame = draw(CRITERIA["I1.2"].columns, n, seed, holes=0.15, bounded=0)
    frame = frame[[c for c in frame if not c.endswith(UPPER)]]
    finite = [m for m in MONTHS if m < INF]
    rows = []
    for _ in range(n):
        relapses = int(rng.choice([0, 1, 1, 1, 2, 3]))
        from_cr = [float(rng.choice(finite)) for _ in range(relapses)]
        given = [int(rng.choice([0, 1, 2])) for _ in range(relapses)]
        # Consolidation ends after the remission, so it is nearer to the relapse; without one there is no such time.
        from_end = [
            max(0.0, m - float(rng.choice([0, 0.03, 1, 3]))) if k else None for m, k in zip(from_cr, given, strict=True)
        ]
        known = [m for m in from_end if m is not None]
        rows.append(
            {
                "n_relapses": relapses,
                "n_consolidation_courses": given[-1] if relapses else int(rng.choice([0, 1, 2])),
                "consolidation_failed": bool(relapses and given[-1] and rng.random() < 0.5),
                "months_from_cr_to_relapse": from_cr[-1] if relapses else INF,
                "months_from_first_cr_to_first_relapse": from_cr[0] if relapses else INF,
                "shortest_months_from_cr_to_relapse": min(from_cr, default=INF),
                "months_from_consolidation_to_relapse": from_end[-1] if relapses else INF,
                "months_from_first_consolidation_to_first_relapse": from_end[0] if relapses else INF,
                "shortest_months_from_consolidation_to_relapse": (min(known) if known else None) if relapses else INF,
            }
        )
    for row in rows:
        # Columns about the same date are known or unknown together, unless there are several such dates.
        one = row["n_relapses"] == 1
        for group in (CR_MONTHS, END_MONTHS, ("n_relapses",), ("n_consolidation_courses",), ("consolidation_failed",)):
            hidden = rng.random(len(group)) < 0.12
            for name, hide in zip(group, hidden, strict=True):
                row[name] = None if (hidden[0] if one else hide) else row[name]
    for name in rows[0]:
        frame[name] = pd.array([row[name] for row in rows], dtype=DTYPES[PROTOCOL.columns[name].dtype])
    # Where the other routes are shut, routes 2 and 3 decide.
    return frame.assign(cr_ever=pd.array([True] * n, dtype="boolean"), em_active=pd.array([False] * n, dtype="boolean"),
                        days_since_em_active=pd.array([1.0] * n, dtype="Float64"))  # fmt: skip


def cells_of(cohort: pd.DataFrame, name: str) -> list:
    """One cell a patient as the oracle reads it."""
    low = [None if v is pd.NA else v for v in cohort[name].tolist()]
    if name + UPPER not in cohort:
        return low
    high = [None if v is pd.NA else v for v in cohort[name + UPPER].tolist()]
    return [_cell(a, b) for a, b in zip(low, high, strict=True)]


def _cell(low, high):
    if low is None and high is None:
        return None
    low, high = (-INF if low is None else low), (INF if high is None else high)
    return low if low == high else (low, high)


def expected(criterion, cohort: pd.DataFrame, **settings) -> list:
    columns = [cells_of(cohort, name) for name in criterion.columns]
    rows = (dict(zip(criterion.columns, cells, strict=True)) for cells in zip(*columns, strict=True))
    return [oracle(criterion.id, row, **settings) for row in rows]


def assert_agree(criterion, cohort: pd.DataFrame, **settings):
    wanted = expected(criterion, cohort, **settings)
    got = [None if v is pd.NA else v for v in criterion.with_thresholds(**settings).met(cohort).tolist()]
    wrong = [i for i, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] is not pair[1]]
    shown = [(got[i], wanted[i], {c: _cell_of(cohort, c, i) for c in criterion.columns}) for i in wrong[:3]]
    assert not wrong, f"{criterion.id} {settings}: {len(wrong)} of {len(got)} differ; (mask, oracle, row): {shown}"
    return wanted


def _cell_of(cohort, name, i):
    return cells_of(cohort[[c for c in (name, name + UPPER) if c in cohort]].iloc[i : i + 1], name)[0]


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    return draw(sorted({c for one in PROTOCOL for c in one.columns}), N_DEFAULT, seed=1)


def test_the_oracle_knows_every_assessable_criterion():
    assert set(ORACLE) == set(CRITERIA)


@pytest.mark.parametrize("name", CRITERIA)
def test_default_reading_agrees_for_ten_thousand_patients(patients, name):
    answers = assert_agree(CRITERIA[name], patients)
    assert {True, False, None} == set(answers), "the patients must try every answer"


def _other_values():
    """Every reading's every choice, and for each threshold and look-back two other values."""
    for criterion in PROTOCOL:
        for one in criterion.settings:
            for value in one.choices or _near(one):
                yield pytest.param(criterion.id, {one.name: value}, id=f"{criterion.id}-{one.name}-{value}")


def _near(setting):
    value = setting.default
    if setting.is_lookback:
        return (7, 28) if value == INF else (value / 2, value * 2, INF)
    if value in (1, 2):
        return (value - 1, value + 1)
    if isinstance(value, int):
        return (value - max(1, value // 5), value + max(1, value // 5))
    return (value * 0.3, value * 0.5, value * 2)


@pytest.mark.parametrize(("name", "settings"), list(_other_values()))
def test_every_reading_and_threshold_agrees(name, settings):
    criterion = CRITERIA[name]
    if "relapse_anchor" in settings or "which_relapse" in settings:
        # Contradictory dates have no right answer under these.
        assert_agree(criterion, draw_histories(N_SETTING, seed=2), **settings)
    else:
        assert_agree(criterion, draw(criterion.columns, N_SETTING, seed=2), **settings)


HISTORIES = [
    {"relapse_anchor": anchor, "which_relapse": which, "consolidation": how}
    for anchor in ("cr_date", "end_of_consolidation")
    for which in ("latest", "any", "first")
    for how in ("received_before_relapse", "ignore", "documented_failure", "independent_or")
]


@pytest.mark.parametrize("settings", HISTORIES, ids=lambda v: "-".join(v.values()))
def test_relapse_readings_agree_on_histories_that_can_occur(settings):
    assert_agree(CRITERIA["I1.2"], draw_histories(N_SETTING, seed=6), **settings)


COMBINED = [
    ("I5.1", {"transfusion_rule": "transfusion_free", "min_transfusion_free_days": 3}),
    ("I5.3", {"transfusion_rule": "transfusion_free", "min_transfusion_free_days": 3}),
    *[
        ("E2.2", {"immunosuppression_timing": when, "dose_statistic": dose, "dose_scope": scope})
        for when in ("current", "ever")
        for dose in ("mean", "current", "max")
        for scope in ("steroids_only", "all")
    ],
    *[
        ("E1.2", {"hepatitis_b_rule": rule, "controlled_scope": "all"})
        for rule in ("dna", "hbsag", "hbsag_or_anti_hbc")
    ],
    ("E1.3", {"hepatitis_c_rule": "antibody", "controlled_scope": "all"}),
    ("E1.4", {"hiv_rule": "viraemic_only", "controlled_scope": "all"}),
    *[
        ("E5.1", {"liver_combination": how, "gilbert_direct": True, "max_bilirubin": 5})
        for how in ("any", "ast_and_alt", "hepatic_all")
    ],
    *[
        ("E7", {"transplant_reading": reading, "gvhd_rule": rule})
        for reading in ("requirement_violated", "literal_exclusion", "inclusion_style")
        for rule in ("any_active", "grade_ge2_or_mod_severe", "ever")
    ],
    ("I2", {"antigen_cutoff": "percent", "min_ex02_percent": 50, "max_days_since_ex02_positive": 28}),
]


@pytest.mark.parametrize(("name", "settings"), COMBINED, ids=lambda v: v if isinstance(v, str) else str(v))
def test_combined_readings_agree(name, settings):
    criterion = CRITERIA[name]
    assert_agree(criterion, draw(criterion.columns, N_SETTING, seed=3), **settings)


@pytest.mark.parametrize("name", CRITERIA)
def test_columns_without_bounds_agree(name):
    criterion = CRITERIA[name]
    cohort = draw(criterion.columns, N_SETTING, seed=4, bounded=0)
    assert_agree(criterion, cohort[[c for c in cohort if not c.endswith(UPPER)]])


def test_screening_is_the_oracle_with_exclusions_turned_round(patients):
    few_holes = draw(patients.columns[~patients.columns.str.endswith(UPPER)], 500, seed=5, holes=0.02, bounded=0.02)
    screening = feasibility.screen(few_holes, PROTOCOL)
    table = {}
    for criterion in PROTOCOL:
        met = expected(criterion, few_holes)
        table[criterion.id] = [None if v is None else (v if criterion.kind == "inclusion" else not v) for v in met]
        got = [None if v is pd.NA else v for v in screening.passes[criterion.id].tolist()]
        assert got == table[criterion.id], criterion.id
    for i, status in enumerate(screening.status):
        verdicts = [column[i] for column in table.values()]
        wanted = "ineligible" if False in verdicts else "undetermined" if None in verdicts else "eligible"
        assert status == wanted
