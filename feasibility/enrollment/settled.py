"""Undetermined index dates settled patient by patient, with the shares that an imputation of one table gives."""

from __future__ import annotations

import numpy as np

from feasibility.enrollment.dated import DatedScreening
from feasibility.errors import FeasibilityError
from feasibility.missing.impute import Imputations


def settle_dates(dated: DatedScreening, imputations: Imputations, *, seed: int = 1) -> np.ndarray:
    """Which rows are eligible in each imputation: a boolean matrix (imputations, rows) for ``arrivals_imputed``.

    Of the undetermined patients of the imputed table a share is eligible in imputation k. Each patient of the dated
    screening draws once, and keeps the answer on all dates: with that share, undetermined dates are eligible. A known
    verdict stays. An approximation that is stated: it takes undetermined dates for like those of the imputed table,
    whatever is missing.

    Raises FeasibilityError where the imputations leave something open, for then no share is known.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> from feasibility.enrollment.dated import dated_statuses
    >>> from feasibility.missing.impute import impute
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> values = pd.array([*range(10, 60), *[None] * 10], dtype="Float64")
    >>> cohort = pd.DataFrame({"platelets_10e9_l": values})
    >>> made = impute(cohort, fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets])), method="pmm")
    >>> rows = pd.DataFrame({"patient_id": ["A", "A", "B"], "index_date": ["2024-01-01", "2024-03-05", "2024-01-01"],
    ...                      "status": ["undetermined", "undetermined", "eligible"]})
    >>> settled = settle_dates(dated_statuses(rows), made)
    >>> settled.shape, bool((settled[:, 0] == settled[:, 1]).all()), bool(settled[:, 2].all())
    ((39, 3), True, True)
    """
    if imputations.open:
        raise FeasibilityError(
            f"{', '.join(imputations.open)} could not be imputed, so no share of the undetermined is known to be"
            " eligible. Give the arrivals as bounds: arrivals_bounds."
        )
    n = max(len(imputations.rows), 1)
    share = (imputations.counts["n_confirmed"].to_numpy() - imputations.n_confirmed) / n
    draws = np.random.default_rng(seed).random((len(share), len(dated.people)))
    settled = draws < share[:, None]
    return dated.mask("confirmed") | (dated.mask("possible") & settled[:, dated.person])
