"""The same patients under the protocol as written, and under every other reading of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from feasibility.analysis.what_if import WhatIf
from feasibility.protocol.protocol import Protocol
from feasibility.report.data import AssumedRow, ReadingRow
from feasibility.screening import Screening, screen

PATIENTS = 20_000
"""Above so many patients the other readings are left out: a report should not take minutes."""

DRAWS = 100_000
SEED = 20240901


def written(protocol: Protocol) -> Protocol:
    """The protocol with every threshold and reading as written, nothing waived and nothing added."""
    criteria = tuple(
        replace(c, changed={}) if c.assessable else c for c in protocol.all_criteria if c.id not in protocol.added
    )
    # An added criterion may have replaced a clause, which would then be uncovered: the text is not checked again.
    return Protocol(protocol.id, protocol.title, criteria, columns=protocol.columns)


def counts_as_written(screening: Screening, cohort: pd.DataFrame) -> tuple[int, int]:
    """Confirmed and possible of the unchanged protocol."""
    patterns = screen(cohort, written(screening.protocol), missing_columns="unknown", check=False).patterns()
    return patterns.n_confirmed, patterns.n_possible


def other_readings(screening: Screening, cohort: pd.DataFrame | None) -> tuple[ReadingRow, ...]:
    """Every reading other than the one in force, everything else as it is; what moves the possible most comes first."""
    if cohort is None or len(cohort) > PATIENTS:
        return ()
    protocol, base = screening.protocol, screening.patterns()
    what_if = WhatIf(cohort, protocol, screening=screening, missing_columns="unknown")
    owners: dict[str, list[str]] = {}
    settings = {}
    for criterion in protocol.assessable:
        for setting in criterion.settings:
            if setting.is_reading:
                owners.setdefault(setting.name, []).append(criterion.id)
                settings[setting.name] = (setting, criterion.values[setting.name])
    rows = []
    for name, (setting, in_force) in settings.items():
        for choice in (c for c in setting.choices if c != in_force):
            other = protocol.with_thresholds(**{name: choice})
            found = what_if.counts(other)
            lacks = tuple(c for c in other.reads if c not in cohort.columns and c not in screening.missing_columns)
            rows.append(
                ReadingRow(
                    name,
                    tuple(owners[name]),
                    choice,
                    in_force,
                    found.n_confirmed,
                    found.n_possible,
                    found.n_confirmed - base.n_confirmed,
                    found.n_possible - base.n_possible,
                    lacks,
                )  # fmt: skip
            )
    return tuple(sorted(rows, key=lambda r: (-abs(r.more_possible), -abs(r.more_confirmed))))


def together(assumed: tuple[AssumedRow, ...], rates: dict) -> tuple[float, float, float] | None:
    """Mean and 90 % range of the share that satisfies every one of them, each fact once, taken as independent."""
    if not assumed:
        return None
    rng = np.random.default_rng(SEED)
    product = np.ones(DRAWS)
    mean = 1.0
    for row in assumed:
        product *= rng.beta(rates[row.id].a, rates[row.id].b, DRAWS)
        mean *= rates[row.id].mean
    low, high = np.quantile(product, [0.05, 0.95])
    return mean, float(low), float(high)
