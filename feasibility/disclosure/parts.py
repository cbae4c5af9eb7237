"""Further protected tables of a release: arrivals by quarter, and what is unknown in each column."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.cohort.quality import quality_report
from feasibility.disclosure.policy import Policy
from feasibility.disclosure.protect import protected_counts
from feasibility.disclosure.table import RoundedMargin
from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol


def protected_arrivals(table: pd.DataFrame, policy: Policy) -> RoundedMargin:
    """Newly eligible patients by period, protected as disjoint groups so that their total follows from them.

    ``table`` has one row a period (a quarter or longer: months are too small to show) and the columns n_confirmed and
    n_possible, patients. A forecast takes the total of the protected column, never that of the patients.

    Raises FeasibilityError for months, and under differential privacy, whose epsilon does not pay for arrivals.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> quarters = pd.PeriodIndex(["2024Q1", "2024Q2", "2024Q3"], freq="Q")
    >>> table = pd.DataFrame({"n_confirmed": [1, 1, 0], "n_possible": [7, 12, 4]}, index=quarters)
    >>> protected_arrivals(table, POLICIES["nhs"]).frame.sum().tolist()
    [0, 25]
    """
    if policy.epsilon is not None:
        raise FeasibilityError("A differentially private release does not show arrivals; take another policy.")
    if isinstance(table.index, pd.PeriodIndex) and table.index.freqstr.startswith("M"):
        raise FeasibilityError("Arrivals by month are too small to show; count them by quarter or year.")
    frame = pd.DataFrame(index=table.index.astype(str).rename("period"))
    for column in ("n_possible", "n_confirmed"):
        groups = table[column].to_numpy(dtype=np.int64)
        made = protected_counts(groups, np.ones((len(groups), 1), dtype=bool), policy)
        frame[column] = pd.array(made, dtype="Int64")
    return RoundedMargin("arrivals", frame[["n_confirmed", "n_possible"]], policy)


def unknown_by_column(cohort: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """For each column the protocol reads, patients whose value is not on record, and whose value was set aside.

    True counts, to be rounded. A value that does not apply (a pregnancy test in men) is not counted as unknown. How
    many are known is left out on purpose: beside the number of all patients it would narrow a small unknown down.
    Index ``column``, columns n_unknown, n_set_aside.
    """
    if protocol.columns is None:
        rows = {name: [int(cohort[name].isna().sum()) if name in cohort else len(cohort), 0] for name in protocol.reads}
    else:
        found = quality_report(cohort, protocol.columns).columns
        rows = {}
        for name in protocol.reads:
            unknown, aside = int(found.loc[name, "n_unknown"]), int(found.loc[name, "n_quarantined"])
            rows[name] = [unknown - int(found.loc[name].get("not_applicable", 0)), min(aside, len(cohort))]
    index = pd.Index(list(rows), name="column")
    return pd.DataFrame(list(rows.values()), columns=["n_unknown", "n_set_aside"], index=index)
