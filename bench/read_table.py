"""Reading a messy table of 1 million patients and 60 columns, against DuckDB's plain typed read of the same rows.

Run: python bench/read_table.py [rows]. DuckDB reads a clean twin of the file (it cannot type the messy one), so it does
less: no units, bounds, dates, missing codes, checks or counts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from bench.timing import interleaved, table
from feasibility.cohort.read import read_cohort
from feasibility.cohort.schema import CohortTable, Column

N_COLUMNS = 60


def declared() -> tuple[CohortTable, dict]:
    """60 file columns: 24 laboratory values in two units, 12 dates, 12 flags, 12 codes, and the mapping for them."""
    columns, entries = [], {}
    for i in range(24):
        name = f"lab_{i}"
        columns.append(
            Column(name=name, dtype="Float64", doc="A laboratory value.", unit="g/L", units={"g/dL": 10}, hard=(1, 300))
        )
        entries[name] = {"from": f"L{i}", "unit": "g/dL" if i % 2 else "g/L", "missing": ["-1"]}
    for i in range(12):
        columns.append(
            Column(name=f"days_since_event_{i}", dtype="Float64", doc="An event.", unit="d", hard=(0, np.inf))
        )
        entries[f"days_since_event_{i}"] = {"date": f"D{i}"}
        columns.append(Column(name=f"flag_{i}", dtype="boolean", doc="A yes or no."))
        entries[f"flag_{i}"] = {"from": f"F{i}"}
        columns.append(Column(name=f"code_{i}", dtype="string", doc="A code.", values=("CR", "PR", "NR")))
        entries[f"code_{i}"] = {"from": f"C{i}", "codes": {"remission": "CR"}}
    return CohortTable(columns), {"file": {"patient_id": "pid", "index_date": "2025-06-30"}, "columns": entries}


def write_files(folder: Path, rows: int) -> tuple[Path, Path]:
    """The messy file and its clean twin."""
    rng = np.random.default_rng(7)
    messy: dict[str, pa.Array] = {"pid": pa.array([f"P{i:08d}" for i in range(rows)])}
    clean = dict(messy)
    day = np.datetime64("2010-01-01") + rng.integers(0, 5600, (12, rows))
    for i in range(24):
        values = np.round(rng.normal(120, 20, rows).clip(20, 250) / (10 if i % 2 else 1), 2 if i % 3 else 3)
        text = values.astype("U8").astype(object)
        for share, word in ((0.05, ""), (0.02, "-1"), (0.01, "<30"), (0.01, "n/a"), (0.005, "＞200"), (0.001, "9999")):
            text[rng.random(rows) < share] = word
        messy[f"L{i}"] = pa.array(text, pa.string())
        clean[f"L{i}"] = pa.array(values)
    for i in range(12):
        text = day[i].astype(str).astype(object)
        text[rng.random(rows) < 0.3] = ""
        text[rng.random(rows) < 0.02] = "2019-05"
        messy[f"D{i}"], clean[f"D{i}"] = pa.array(text, pa.string()), pa.array(day[i])
        words = np.array(["yes", "no", "ja", "nein", "阳性", "阴性", "", "unknown"], dtype=object)
        messy[f"F{i}"] = pa.array(words[rng.integers(0, 8, rows)], pa.string())
        clean[f"F{i}"] = pa.array(rng.random(rows) < 0.5)
        codes = np.array(["CR", "PR", "NR", "remission", "NA", "?", "cr"], dtype=object)
        messy[f"C{i}"] = pa.array(codes[rng.integers(0, 7, rows)], pa.string())
        clean[f"C{i}"] = pa.array(codes[rng.integers(0, 3, rows)], pa.string())
    paths = folder / "messy.csv", folder / "clean.csv"
    for path, columns in zip(paths, (messy, clean), strict=True):
        pacsv.write_csv(pa.table(columns), path, pacsv.WriteOptions(quoting_style="needed"))
    return paths


def run(rows: int = 1_000_000) -> str:
    """Reading a messy table against DuckDB's typed read of a clean twin, as text."""
    columns, mapping = declared()
    with tempfile.TemporaryDirectory() as folder:
        messy, clean = write_files(Path(folder), rows)
        size = messy.stat().st_size / 1e6
        seconds, answers = interleaved(
            {
                "DuckDB, typed read of a clean twin": lambda: duckdb.sql(
                    f"create or replace temp table t as from read_csv('{clean}')"
                ),
                "read_cohort, everything counted": lambda: read_cohort(messy, columns, mapping=mapping),
            },
            rounds=3,
        )
    events = answers["read_cohort, everything counted"].attrs["feasibility"]["events"]
    title = f"Reading {rows:,} rows x {N_COLUMNS + 1} columns, {size:.0f} MB of messy CSV"
    note = f"  {len(events)} kinds of event, {sum(e['n'] for e in events):,} cells"
    return table(title, seconds, "DuckDB, typed read of a clean twin") + "\n" + note
