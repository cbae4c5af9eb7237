"""From lab rows to the laboratory columns: ours against a hand-written DuckDB query and a pandas sort-and-groupby.

``run(1_000_000, 20_000_000)`` is the large run. All three start from one typed table in DuckDB, answer for the same
analytes and 90 days, and must agree on the number of cells; once with the results in any order, once sorted by patient.
Medians of three interleaved runs. Ours also converts units per spelling, sets impossible values aside, breaks ties, and
tells stale from missing: the others do not. Memory is what the process needs at most beyond the events themselves,
where the system tells (Linux).
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import ibis
import numpy as np

from bench.timing import interleaved, table
from feasibility.cohort.build import build_cohort
from feasibility.cohort.index_dates import as_of
from feasibility.sources.events import TABLES, empty_table
from feasibility.sources.extract import Extract
from feasibility.trials.aml import AML_COLUMNS

INDEX = "2025-06-30"
CODES = {
    "718-7": ("hemoglobin_g_l", "g/L", 80, 1, None), "777-3": ("platelets_10e9_l", "10*9/L", 60, 1, None),
    "731-0": ("lymphocytes_10e9_l", "10*9/L", 1.2, 1, None), "1920-8": ("ast_x_uln", "U/L", 30, 1, 40),
    "1742-6": ("alt_x_uln", "U/L", 30, 1, 40), "14631-6": ("bilirubin_x_uln", "umol/L", 10, 1, 21),
    "2160-0": ("creatinine_umol_l", "mg/dL", 0.9, 88.42, None), "8122-4": ("cd3_10e9_l", "/uL", 700, 0.001, None),
    "8124-0": ("cd3_percent_of_lymphocytes", "%", 60, 1, None), "26446-5": ("pb_blast_percent", "%", 5, 1, None),
    "1968-7": ("bilirubin_direct_x_uln", "umol/L", 3, 1, 7),
}  # fmt: skip
OTHER = ("2345-7", "2823-3", "2951-2", "6690-2", "751-8")


def make(patients: int, rows: int, by_patient: bool = False) -> Extract:
    con = ibis.duckdb.connect()
    con.raw_sql("SET enable_progress_bar = false")
    codes = [*CODES, *OTHER]
    units = [CODES[c][1] if c in CODES else "mmol/L" for c in codes]
    middle = [CODES[c][2] if c in CODES else 5.0 for c in codes]
    limits = [CODES[c][4] if c in CODES else None for c in codes]
    high = "[" + ",".join("NULL" if v is None else f"{v}::DOUBLE" for v in limits) + "]"
    con.raw_sql("SELECT setseed(0.42)")
    con.raw_sql(
        "CREATE TABLE drawn AS SELECT i AS row_id, 'P' || lpad((random() * "
        + str(patients)
        + ")::BIGINT::VARCHAR, 7, '0')"
        f" AS pid, DATE '{INDEX}' - (random() * 700 - 20)::INTEGER AS date, "
        f"1 + floor(random() * {len(codes)})::INTEGER AS k,"
        f" exp(random() - 0.5) AS x FROM range({rows}) t(i)"
    )
    con.raw_sql(
        "CREATE TABLE labs AS SELECT row_id, row_id::VARCHAR AS fact_id, pid, date, date AS date_last, NULL::DATE AS "
        f"report_date, NULL::DATE AS report_date_last, 'loinc' AS system, {codes!r}[k] AS code, "
        f"NULL::VARCHAR AS local_name, "
        f"NULL::VARCHAR AS value_text, round({middle!r}[k] * x, 3) AS value_num, NULL::VARCHAR AS comparator, "
        f"{units!r}[k] AS unit, NULL::DOUBLE AS ref_low, {high}[k] AS ref_high, "
        f"NULL::VARCHAR AS flag, NULL::VARCHAR AS specimen FROM drawn{' ORDER BY pid, date' if by_patient else ''}"
    )
    con.raw_sql("DROP TABLE drawn")
    names = ", ".join(f"NULL::{'DATE' if t == 'date' else 'VARCHAR'} AS {n}" for n,
                      t in TABLES["patients"].physical().items()
                      if n not in ("row_id", "pid"))  # fmt: skip
    con.raw_sql(f"CREATE TABLE patients AS SELECT i AS row_id, 'P' || lpad(i::VARCHAR, 7, '0') AS pid, {names} "
                f"FROM range({patients + 1}) t(i)")  # fmt: skip
    empty = con.create_table("diagnoses", empty_table("diagnoses").to_pyarrow())
    return Extract({"patients": con.table("patients"), "labs": con.table("labs"), "diagnoses": empty}, "bench")


def by_hand(extract: Extract) -> int:
    """What somebody who knows DuckDB would write for these columns; wide, in Arrow."""
    con = extract.tables["labs"].get_backend()
    parts, known = [], ", ".join(f"'{c}'" for c in CODES)
    for code, (name, _, _, factor, limit) in CODES.items():
        value = "value_num / ref_high" if limit else f"value_num * {factor}"
        parts += [f"max({value}) FILTER (code = '{code}') AS {name}", f"max(age) FILTER (code = '{code}') AS d_{name}"]
    columns = ", ".join(parts)
    table = con.raw_sql(
        f"SELECT pid, {columns} FROM (SELECT pid, code, arg_max(value_num, date) AS value_num, "
        f"arg_max(ref_high, date) AS ref_high, DATE '{INDEX}' - max(date) AS age FROM labs "
        f"WHERE code IN ({known}) AND date <= DATE '{INDEX}' AND "
        f"date >= DATE '{INDEX}' - 90 AND value_num IS NOT NULL GROUP BY pid, code) GROUP BY pid"
    ).fetch_arrow_table()
    return sum(table.num_rows - table[name].null_count for name, *_ in CODES.values())


def by_pandas(extract: Extract) -> int:
    labs = extract.tables["labs"]
    frame = labs.select("pid", "date", "code", "value_num", "ref_high").to_pyarrow().to_pandas()
    day = np.datetime64(INDEX, "D")
    frame["date"] = frame["date"].astype("datetime64[s]")
    age = (day - frame["date"].to_numpy().astype("datetime64[D]")).astype("int64")
    frame = frame[(age >= 0) & (age <= 90) & frame["code"].isin(list(CODES))]
    last = frame.sort_values("date", kind="stable").groupby(["pid", "code"])[["value_num", "ref_high"]].last()
    return int(last["value_num"].unstack("code").notna().sum().sum())


def ours(extract: Extract) -> int:
    wanted = AML_COLUMNS.select([name for name, *_ in CODES.values()])
    cohort = build_cohort(extract, as_of(INDEX), wanted, {"cd3_10e9_l.derive_from_percent": False,
                                                          "cd3_10e9_l.bound_by_lymphocytes": False})  # fmt: skip
    return int(sum(cohort[name].notna().sum() for name, *_ in CODES.values()))


def _memory(field: str) -> float:
    """A line of the process's status in MB; NaN where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))
    except (OSError, StopIteration):
        return float("nan")


def measured(contender, extract: Extract, peaks: list[tuple[float, float]]) -> int:
    """Run it and note (MB more than before at most, MB of the process at most)."""
    before = _memory("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest mark
    cells = contender(extract)
    peaks.append((_memory("VmHWM") - before, _memory("VmHWM")))
    return cells


def run(patients: int = 200_000, rows: int = 4_000_000) -> str:
    """Building the laboratory columns against a hand-written DuckDB query and pandas, as text."""
    contenders = {"hand-written DuckDB query": by_hand, "build_cohort": ours, "pandas sort and group": by_pandas}
    texts = []
    for order, by_patient in (("in any order", False), ("sorted by patient", True)):
        extract = make(patients, rows, by_patient)
        peaks: dict[str, list] = {name: [] for name in contenders}
        calls = {name: partial(measured, one, extract, peaks[name]) for name, one in contenders.items()}
        seconds, cells = interleaved(calls, rounds=3)
        if len(set(cells.values())) != 1:
            raise AssertionError(f"the contenders fill different numbers of cells: {cells}")
        notes = {n: f"{max(p[0] for p in peak):6,.0f} MB more, {max(p[1] for p in peak) / 1024:.1f} GB in all"
                 for n, peak in peaks.items()}  # fmt: skip
        notes["pandas sort and group"] += f"; {seconds['pandas sort and group'] / seconds['build_cohort']:.1f} x ours"
        title = f"Building laboratory columns, {patients:,} patients, {rows:,} results {order}"
        texts.append(table(title, seconds, "hand-written DuckDB query", notes))
        extract.tables["labs"].get_backend().disconnect()
    return "\n".join(texts)
