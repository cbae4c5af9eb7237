"""Is testing informative? Patients with a value known against those without it, on everything else."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.analysis.call_list import AGES, records
from feasibility.analysis.screened import fails, screened_cohort, unknowns
from feasibility.bounded import UPPER
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.missing.ledger import asked_of

LEVEL = 0.95
ALIKE = 0.1
"""A standardised difference up to this size is usually called balanced (Austin 2009)."""
ANY = "any other criterion"
DIFFERS, SAME, UNCLEAR = "differs", "alike", "cannot be told"
CATEGORIES = 12
COLUMNS = [
    "n_tested", "n_untested", "unknown_tested", "unknown_untested", "tested", "untested", "difference", "low", "high",
    "smd", "smd_low", "smd_high", "says",
]  # fmt: skip


def tested_versus_untested(cohort: pd.DataFrame, column: str, screening=None, *, variables=None) -> pd.DataFrame:  # noqa: PT028
    """Is testing informative: do patients with ``column`` known differ from those without it?

    If the untested differ in what is known, they may differ in what is not: an imputation then has to use these
    variables, and "missing at random" deserves doubt. Patients to whom the column does not apply are in neither group.

    ``variables`` are cohort columns; by default age, sex and site first, then every other column but those of the same
    record. With ``screening`` also the share failing each criterion that does not read the column (of those for whom
    it is decided), and the share known to fail any of these (of all).

    Index (variable, level); level is "mean" for a number, "never" for the share to whom an event never happened (the
    mean is then of the others), "yes" for a yes-or-no column, "fails" for a criterion, and the category otherwise.
    Columns: n_tested, n_untested (patients with the variable known), unknown_tested, unknown_untested (without),
    tested, untested (mean or share), difference (tested minus untested) with low and high, its 95 % interval (Welch
    for means, Newcombe for shares), smd: the difference over the root of the mean of both variances, smd_low and
    smd_high: the interval's ends over the same; NaN where nothing varies or a group is too small. says: "differs" (the
    interval leaves out 0 and the SMD exceeds 0.1), "alike" (the whole interval lies within 0.1), or "cannot be told",
    which small groups deserve.
    Intervals are pointwise: of 20 variables that do not matter one is expected to differ. attrs: column, n_tested,
    n_untested, n_not_applicable.

    Raises FeasibilityError for a column the cohort lacks, and one that is known for everyone or for nobody.

    >>> import pandas as pd
    >>> cohort = pd.DataFrame({
    ...     "cd3": pd.array([1, 2, 1, 2] + [None] * 4, dtype="Float64"),
    ...     "age_years": pd.array([30, 40, 35, 45, 70, 60, 65, 75], dtype="Int64")})
    >>> tested_versus_untested(cohort, "cd3")[["tested", "untested", "says"]].to_dict("records")
    [{'tested': 37.5, 'untested': 67.5, 'says': 'differs'}]
    """
    if screening is not None:
        cohort = screened_cohort(cohort, screening)
    for name in (column, *(variables or ())):
        if name not in cohort.columns:
            raise FeasibilityError(f"The cohort has no column {name!r}.{did_you_mean(name, cohort.columns)}")
    tested, untested = _groups(cohort, column, screening)
    rows = {}
    for name in _variables(cohort, column) if variables is None else list(variables):
        for level, values, share in _levels(cohort, name):
            rows[name, level] = _compare(values, tested, untested, share)
    for name, values in _criteria(screening, column):
        rows[name, "fails"] = _compare(values, tested, untested, True)
    if not rows:
        raise FeasibilityError(f"The cohort has nothing to compare the patients with {column!r} known by.")
    index = pd.MultiIndex.from_tuples(rows, names=["variable", "level"])
    table = pd.DataFrame(list(rows.values()), index=index, columns=COLUMNS)
    table.attrs |= {
        "column": column, "n_tested": int(tested.sum()), "n_untested": int(untested.sum()),
        "n_not_applicable": len(cohort) - int(tested.sum() + untested.sum()),
    }  # fmt: skip
    return table


# A name that begins like a test; pytest would take it for one where it is imported.
tested_versus_untested.__test__ = False


def _groups(cohort: pd.DataFrame, column: str, screening) -> tuple[np.ndarray, np.ndarray]:
    if screening is not None:
        columns = screening.protocol.columns
    else:
        from feasibility.cohort.read import installed_columns

        columns = installed_columns()
    known = cohort[column].notna().to_numpy()
    if column + UPPER in cohort:
        known = known | cohort[column + UPPER].notna().to_numpy()
    untested = ~known & asked_of(cohort, column, columns)
    for mask, word in ((known, "nobody"), (untested, "everyone it applies to")):
        if not mask.any():
            raise FeasibilityError(f"Column {column!r} is known for {word}: there are no two groups to compare.")
    return known, untested


def _variables(cohort: pd.DataFrame, column: str) -> list[str]:
    base = next((column.removeprefix(a) for a in AGES if column.startswith(a)), column)
    own = {base, *(a + base for a in AGES)}
    ages = {c for c in cohort.columns for a in AGES if c.startswith(a) and c.removeprefix(a) in cohort.columns}
    first = [c for c in ("age_years", "sex", "site_id") if c in cohort.columns]
    rest = [c for c in cohort.columns if not c.endswith(UPPER) and c not in ages and c != "synthetic"]
    return [c for c in dict.fromkeys([*first, *rest]) if c not in own]


def _levels(cohort: pd.DataFrame, name: str):
    """(level, values with NaN for unknown, whether it is a share) of one variable."""
    column = cohort[name]
    if isinstance(column.dtype, pd.BooleanDtype):
        yield "yes", column.to_numpy(dtype=float, na_value=np.nan), True
    elif pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        if name + UPPER in cohort:
            # A bounded value has no number; its patients count as without one.
            values = np.where((column != cohort[name + UPPER]).fillna(True).to_numpy(dtype=bool), np.nan, values)
        never = np.isinf(values)
        if never.any():
            yield "never", np.where(np.isnan(values), np.nan, never.astype(float)), True
        yield "mean", np.where(never, np.nan, values), False
    else:
        codes, categories = pd.factorize(column, sort=True)
        if len(categories) <= CATEGORIES:
            for k, category in enumerate(categories):
                yield str(category), np.where(codes < 0, np.nan, (codes == k).astype(float)), True


def _criteria(screening, column: str):
    """Whether each patient fails a criterion that does not read the column, and whether any of them."""
    if screening is None:
        return
    anything, found = np.zeros(screening.n_patients, dtype=bool), []
    for i, criterion in enumerate(screening.protocol.assessable):
        reads = {c for r in records(criterion, criterion.reads) for c in (r.column, r.age)}
        if column in reads:
            continue
        failed, unknown = fails(screening, i), unknowns(screening, i)
        found.append((f"{criterion.id} {criterion.name}", np.where(unknown, np.nan, failed.astype(float))))
        anything = anything | failed
    if found:
        yield ANY, anything.astype(float)
    yield from found


def _compare(values: np.ndarray, tested: np.ndarray, untested: np.ndarray, share: bool) -> tuple:
    a, b = values[tested], values[untested]
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    counts = (len(a), len(b), int(tested.sum()) - len(a), int(untested.sum()) - len(b))
    means = tuple(float(x.mean()) if len(x) else np.nan for x in (a, b))
    difference = means[0] - means[1]
    low, high = _interval(a, b, share)
    spread = float(np.sqrt((a.var() + b.var()) / 2)) if len(a) and len(b) else np.nan
    smd = np.array([difference, low, high]) / (spread if spread > 0 else np.nan)
    return (*counts, *means, difference, low, high, *smd, _says(*smd))


def _interval(a: np.ndarray, b: np.ndarray, share: bool) -> tuple[float, float]:
    if share and len(a) and len(b):
        from statsmodels.stats.proportion import confint_proportions_2indep

        low, high = confint_proportions_2indep(
            a.sum(), len(a), b.sum(), len(b), compare="diff", method="newcomb", alpha=1 - LEVEL
        )
        return float(low), float(high)
    if share or min(len(a), len(b)) < 2 or not a.var() + b.var():
        return np.nan, np.nan
    from scipy.stats import ttest_ind

    found = ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
    return float(found.low), float(found.high)


def _says(smd: float, low: float, high: float) -> str:
    if np.isnan([smd, low, high]).any():
        return UNCLEAR
    if (low > 0 or high < 0) and abs(smd) > ALIKE:
        return DIFFERS
    return SAME if -ALIKE <= low and high <= ALIKE else UNCLEAR
