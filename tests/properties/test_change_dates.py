"""Event-driven index dates miss no change: on every day the status is that of the latest index date before it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.cohort.index_dates import IndexDates
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events_native import write_native
from feasibility.trials.aml_registry import synthetic_registry


@dataclass(frozen=True)
class Daily(IndexDates):
    """Every patient on every day, made without any of the code under test."""

    def pairs(self, extract):
        people = np.array(sorted(extract.tables["patients"].pid.to_pyarrow().to_pylist()), dtype=object)
        days = np.arange(np.datetime64(self.stated["start"]), np.datetime64(self.stated["end"]) + 1)
        return np.repeat(people, len(days)), np.tile(days, len(people)), {}


def wrong_days(extract, start, end, protocol):
    """Per criterion and for the status, the days on which the latest event-driven row says something else."""
    tables = []
    rules = (Daily("monthly", {"start": start, "end": end}), fz.at_changes(start, end, alive=False))
    for rule in rules:
        cohort = fz.build_cohort(extract, rule, AML_COLUMNS)
        screening = fz.screen(cohort.set_axis(pd.RangeIndex(len(cohort))), protocol)
        verdicts = pd.DataFrame({"status": screening.status.to_numpy(dtype=object)})
        for one in screening.passes:
            verdicts[one] = screening.passes[one].astype(object).fillna("unknown").to_numpy()
        verdicts["pid"], verdicts["day"] = (cohort.index.get_level_values(i) for i in (0, 1))
        tables.append(verdicts.sort_values("day", kind="stable"))
    every, changes = tables
    held = pd.merge_asof(every[["pid", "day"]], changes, on="day", by="pid")
    names = [n for n in every.columns if n not in ("pid", "day")]
    return {n: int((held[n].to_numpy() != every[n].to_numpy()).sum()) for n in names}, len(every), len(changes)


@pytest.mark.parametrize(("seed", "start", "end"), [(5, "2025-03-01", "2025-06-30"), (23, "2024-08-15", "2024-11-15")])
def test_no_day_has_another_status_than_the_latest_change(tmp_path, seed, start, end):
    write_native(synthetic_registry(60, seed=seed), tmp_path)
    extract = fz.read_extract(tmp_path)
    start, end = dt.date.fromisoformat(start), dt.date.fromisoformat(end)
    wrong, n_days, n_changes = wrong_days(extract, start, end, fz.load_trial("NCT06642025"))
    assert {name: n for name, n in wrong.items() if n} == {}
    assert n_days == 60 * ((end - start).days + 1)
    assert n_changes < 0.55 * n_days
