"""Severe allergic reactions to declared agents, such as those planned for a study (clinical specification, 9.14)."""

from __future__ import annotations

import numpy as np

from feasibility.cohort import codelists
from feasibility.cohort.event_rows import Finder, Rows, each, folded
from feasibility.cohort.once import RULED_OUT
from feasibility.cohort.words import fold

SEVERE = frozenset({"3", "4", "5", "sjs", "ten", "high"})
SEVERE_PARTS = (
    "severe",
    "grade_3",
    "grade_4",
    "grade_5",
    "anaphyla",
    "stevens",
    "life-threat",
    "fatal",
    "重",
    "严重",
    "休克",
)
MILD = frozenset({"1", "2", "low"})
MILD_PARTS = ("mild", "moderate", "grade_1", "grade_2", "rash", "non-severe", "not_severe", "轻", "中度", "皮疹")


def severity_of(text) -> float:
    word = fold(text) if isinstance(text, str) else ""
    if word in MILD or any(part in word for part in MILD_PARTS):
        return 0.0
    return 1.0 if word in SEVERE or any(part in word for part in SEVERE_PARTS) else np.nan


def build_allergies(rows: Rows) -> None:
    """Severe reactions to a column's agents; a list with any row counts as taken, whatever the date of its rows."""
    wanted = [c for c in rows.columns.columns if c.statistic == "severe_reaction"]
    if not rows.has("allergies") or not wanted:
        return
    source = rows.extract.tables["allergies"].select(
        "pid", "row_id", "date", "date_last", "agent", "severity", "status"
    )
    events = rows.fetch(source, "date", undated=True)
    listed = np.zeros(rows.n, dtype=bool)
    listed[events["row"].to_numpy().astype("int64")] = True
    word = folded(events["status"])
    events = events[~word.isin([*RULED_OUT, "nkda", "reviewed", "inactive"]) & events["agent"].notna()]
    severity = each(events["severity"], severity_of, np.nan).to_numpy(dtype="float64")
    at = events["row"].to_numpy().astype("int64")
    for column in wanted:
        lists = [column.codelist, *(name for key, name in column.lists.items() if rows.setting(column.name, key, True))]
        finder = Finder({column.name: lists}, rows.folders)
        terms = {codelists.normal("local", t) for n in lists for t in codelists.load(n, rows.folders)["term"]}
        agents = {
            a: bool(finder.items("local", a)) or codelists.normal("local", a) in terms for a in set(events["agent"])
        }
        mine = events["agent"].map(agents).to_numpy(dtype=bool)
        yes, open_ = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
        yes[at[mine & (severity == 1)]] = True
        open_[at[mine & np.isnan(severity)]] = True
        rows.put_plain(column.name, yes, ~yes & (open_ | ~listed))
