"""The patients behind a what-if: a pandas cohort, or a prepared one, which is never turned into pandas as a whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.engine.blocks import Prepared, bitmaps, statuses, unpack
from feasibility.engine.compact import compact
from feasibility.engine.guards import check_criteria, sample_prepared
from feasibility.engine.ranks import column_of
from feasibility.errors import ScreeningError
from feasibility.protocol.protocol import Protocol
from feasibility.screening import TWICE, Screening, absent_columns, check_kind, header_of, labels_of, screen


def patients_of(cohort) -> PandasPatients:
    """``cohort`` is a patient table, or a prepared cohort (``fz.prepare``, ``fz.open_prepared``)."""
    return PreparedPatients(cohort) if hasattr(cohort, "stored") else PandasPatients(cohort)


class PandasPatients:
    """Nullable pandas columns."""

    def __init__(self, cohort: pd.DataFrame):
        self.cohort = cohort

    @property
    def n(self) -> int:
        return len(self.cohort)

    def __contains__(self, name) -> bool:
        return name in self.cohort.columns

    def screen(self, protocol: Protocol, **options) -> Screening:
        return screen(self.cohort, protocol, **options)

    def compact(self, name: str):
        """A column as bare arrays."""
        return compact(self.cohort, name)

    def rows(self, where=slice(None), names=None) -> pd.DataFrame:
        """Some patients (a slice or positions) with nullable columns, all or those named."""
        part = self.cohort.iloc[where]
        return part if names is None else part[[c for n in names for c in (n, n + UPPER) if c in part.columns]]

    def bitmaps(self, criterion) -> tuple[np.ndarray, np.ndarray] | None:
        """Who fails a criterion and for whom it is unknown, straight from packed columns; None without these."""
        return None

    def numbers(self, name: str, most: int) -> np.ndarray:
        """The values of up to about ``most`` patients, evenly picked; NaN where unknown."""
        return self.cohort[name].iloc[:: max(1, self.n // most)].to_numpy(dtype=float, na_value=np.nan)

    def n_true(self, name: str) -> int:
        """For how many patients a yes/no column is known to be yes; 0 without the column."""
        return int(self.cohort[name].fillna(False).sum()) if name in self else 0


class PreparedPatients(PandasPatients):
    """Bare arrays, in memory or mapped from a file."""

    @property
    def n(self) -> int:
        return self.cohort.n

    def __contains__(self, name) -> bool:
        return name in self.cohort

    def screen(
        self,
        protocol: Protocol,
        missing_columns: str = "error",
        check: bool = True,
        progress: Callable[[str, float], None] | None = None,
    ) -> Screening:
        """As ``screen`` of the same patients in pandas; the index counts them."""
        if missing_columns not in ("error", "unknown"):
            raise ScreeningError(f"missing_columns is {missing_columns!r}; it can be 'error' or 'unknown'.")
        cohort = self.cohort
        if cohort.repeated:
            raise ScreeningError(TWICE.format(n=cohort.repeated, example=""))
        absent = absent_columns(cohort.columns, protocol, missing_columns)
        for name in protocol.reads:
            if name in cohort:
                check_kind(name, cohort[name].dtype, cohort[name].dtype, protocol)
        criteria = protocol.assessable
        if check:
            check_criteria(criteria, sample_prepared(cohort, protocol.reads), progress)
        codes, on_pandas = statuses(Prepared(cohort, protocol.reads), criteria, progress=progress)
        failed, unknown = unpack(codes, len(criteria))
        declared = protocol.columns
        strata = [n for n in cohort if declared is not None and n in declared and declared[n].stratum]
        return Screening(
            protocol, pd.RangeIndex(cohort.n, name="row"), labels_of(protocol), failed, unknown, absent,
            cohort.frame(names=strata, ids=False) if strata else None, header_of(cohort.record, protocol),
            tuple(on_pandas),
        )  # fmt: skip

    def compact(self, name: str):
        return column_of(self.cohort[name], name)

    def rows(self, where=slice(None), names=None) -> pd.DataFrame:
        names = None if names is None else [n for n in names if n in self.cohort]
        return self.cohort.frame(where, names, ids=False)

    def bitmaps(self, criterion) -> tuple[np.ndarray, np.ndarray] | None:
        return bitmaps(Prepared(self.cohort, criterion.columns), criterion)

    def numbers(self, name: str, most: int) -> np.ndarray:
        thin = self.cohort.frame(slice(None, None, max(1, self.n // most)), [name], ids=False)
        return thin[name].to_numpy(dtype=float, na_value=np.nan)

    def n_true(self, name: str) -> int:
        return int(self.cohort[name].lower.sum()) if name in self.cohort else 0
