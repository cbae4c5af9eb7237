"""Where things are, and a short way to write a literal cohort."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from feasibility.cohort.schema import DTYPES

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def column(dtype, *values):
    return pd.array(list(values), dtype=DTYPES[dtype])


def frame(**columns):
    """A cohort: each keyword is (dtype, values...)."""
    made = {name: column(*values) for name, values in columns.items()}
    n = len(next(iter(made.values())))
    return pd.DataFrame(made, index=pd.Index([f"P{i}" for i in range(n)], name="patient_id"))
