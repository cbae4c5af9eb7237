"""From lab rows to the laboratory columns: ours against two hand-written DuckDB queries and a pandas sort-and-groupby.

``run(1_000_000, 20_000_000)`` is the large run. All start from one typed table in DuckDB, answer for the same analytes
and 90 days, and must agree on the number of cells; once with the results in any order, once sorted by patient. Medians
of three interleaved runs. The bare query and pandas take the latest number and nothing else. The other query does what
ours does for these columns: it converts by unit, sets aside what cannot be used and counts it, breaks ties by a rule,
keeps a row for every patient and says why a cell is unknown (it must agree with ours on the number of stale cells too).
Ours finds out by itself which codes and units there are; the queries are told. Memory is what the process needs at most
beyond the events themselves, where the system tells (Linux).
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import ibis
import numpy as np
import pyarrow.compute as pc

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
STALE = 5
"""Why a cell is unknown, in the query that does as much: no number, no exact day, 4 impossible, stale, no date."""
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


def like_for_like(extract: Extract) -> tuple[int, int]:
    """The query with all that is done to the results: (cells, stale cells); wide, in Arrow.

    Left out, as these data have none of it: results without a unit, those given as a limit ("<10"), and local names.
    """
    con = extract.tables["labs"].get_backend()
    table = con.raw_sql(_query_alike()).fetch_arrow_table()
    names = [name for name, *_ in CODES.values()]
    stale = sum(pc.sum(pc.equal(table[f"why_{name}"], STALE)).as_py() or 0 for name in names)
    return sum(table.num_rows - table[name].null_count for name in names), stale


def _query_alike() -> str:
    meant, near, wide = [], [], []
    for i, (code, (name, unit, _, factor, limit)) in enumerate(CODES.items()):
        column = AML_COLUMNS[name]
        low, high = (column.measured or column).hard or (-1e300, 1e300)
        worse = -1 if column.lower_is_worse else 1
        numbers = f"{1 if limit else factor}::DOUBLE, {low}::DOUBLE, {high}::DOUBLE, {worse}"
        meant.append(f"('{code}', '{unit}', {i}, {numbers})")
        mine, value = f"FILTER (number = {i})", "p.x / p.u" if limit else "p.x"
        near.append(f"max(CASE WHEN NOT unsure THEN {value} END) {mine} AS v{i}, max(why) {mine} AS r{i}, "
                    f"max(CASE WHEN NOT unsure THEN p.age END) {mine} AS d{i}")  # fmt: skip
        wide.append(f"v{i} AS {name}, d{i} AS d_{name}, CASE WHEN v{i} IS NOT NULL THEN NULL "
                    f"WHEN r{i} IS NOT NULL THEN r{i} WHEN old & {1 << i} <> 0 THEN {STALE}::TINYINT "
                    f"WHEN undated & {1 << i} <> 0 THEN 6 ELSE 1 END AS why_{name}")  # fmt: skip
    return f"""
        WITH meant(code, unit, number, factor, low, high, worse) AS (VALUES {", ".join(meant)}),
        results AS (
            SELECT pid, number, row_id, value_num * factor AS x, ref_high * factor AS u, date_last, worse,
                   (DATE '{INDEX}' - date)::INTEGER AS age,
                   CASE WHEN value_num IS NULL THEN 1 WHEN date <> date_last THEN 2
                        WHEN value_num * factor NOT BETWEEN low AND high THEN 4 ELSE 0 END AS bad
            FROM labs JOIN meant USING (code, unit)
            WHERE date <= DATE '{INDEX}' AND date >= DATE '{INDEX}' - 90),
        picked AS (
            SELECT pid, number, max(date_last) FILTER (bad = 2) AS partial,
                   arg_max({{'x': x, 'u': u, 'age': age}}, {{'a': -age, 'w': worse * x, 'r': row_id}})
                       FILTER (bad = 0) AS p,
                   count(*) FILTER (bad = 1) AS n1, count(*) FILTER (bad = 2) AS n2, count(*) FILTER (bad = 4) AS n4
            FROM results GROUP BY pid, number),
        told AS (
            SELECT *, coalesce(partial > DATE '{INDEX}' - p.age, false) AS unsure,
                   CASE WHEN p IS NOT NULL THEN CASE WHEN unsure THEN 2::TINYINT END WHEN n1 > 0 THEN 1::TINYINT
                        WHEN n2 > 0 THEN 2 ELSE 4 END AS why
            FROM picked),
        near AS (SELECT pid, {", ".join(near)} FROM told GROUP BY pid),
        far AS (
            SELECT pid, coalesce(bit_or(1 << number) FILTER (date IS NOT NULL), 0) AS old,
                   coalesce(bit_or(1 << number) FILTER (date IS NULL), 0) AS undated
            FROM labs JOIN meant USING (code, unit)
            WHERE (date < DATE '{INDEX}' - 90 OR date IS NULL) AND value_num IS NOT NULL GROUP BY pid)
        SELECT pid, {", ".join(wide)} FROM patients LEFT JOIN near USING (pid) LEFT JOIN far USING (pid)"""


def by_pandas(extract: Extract) -> int:
    labs = extract.tables["labs"]
    frame = labs.select("pid", "date", "code", "value_num", "ref_high").to_pyarrow().to_pandas()
    day = np.datetime64(INDEX, "D")
    frame["date"] = frame["date"].astype("datetime64[s]")
    age = (day - frame["date"].to_numpy().astype("datetime64[D]")).astype("int64")
    frame = frame[(age >= 0) & (age <= 90) & frame["code"].isin(list(CODES))]
    last = frame.sort_values("date", kind="stable").groupby(["pid", "code"])[["value_num", "ref_high"]].last()
    return int(last["value_num"].unstack("code").notna().sum().sum())


def ours(extract: Extract) -> tuple[int, int]:
    wanted = AML_COLUMNS.select([name for name, *_ in CODES.values()])
    cohort = build_cohort(extract, as_of(INDEX), wanted, {"cd3_10e9_l.derive_from_percent": False,
                                                          "cd3_10e9_l.bound_by_lymphocytes": False})  # fmt: skip
    names = [name for name, *_ in CODES.values()]
    stale = sum(cohort.attrs["feasibility"]["unknown"].get(name, {}).get("stale", 0) for name in names)
    return int(sum(cohort[name].notna().sum() for name in names)), stale


def _memory(field: str) -> float:
    """A line of the process's status in MB; NaN where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))
    except (OSError, StopIteration):
        return float("nan")


def measured(contender, extract: Extract, peaks: list[tuple[float, float]]) -> int | tuple[int, int]:
    """Run it and note (MB more than before at most, MB of the process at most)."""
    before = _memory("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest mark
    cells = contender(extract)
    peaks.append((_memory("VmHWM") - before, _memory("VmHWM")))
    return cells


BARE, ALIKE, OURS, PANDAS = ("bare DuckDB query", "DuckDB query that does as much", "build_cohort",
                             "pandas sort and group")  # fmt: skip
DOES = {
    BARE: "latest number, no checks", ALIKE: "units, checks, ties, reasons; codes and units given",
    OURS: "units, checks, ties, reasons; finds codes and units", PANDAS: "latest number, no checks",
}  # fmt: skip


def run(patients: int = 200_000, rows: int = 4_000_000, rounds: int = 3) -> str:
    """Building the laboratory columns against hand-written DuckDB queries and pandas, as text."""
    contenders = {BARE: by_hand, ALIKE: like_for_like, OURS: ours, PANDAS: by_pandas}
    texts = []
    for order, by_patient in (("in any order", False), ("sorted by patient", True)):
        extract = make(patients, rows, by_patient)
        peaks: dict[str, list] = {name: [] for name in contenders}
        calls = {name: partial(measured, one, extract, peaks[name]) for name, one in contenders.items()}
        seconds, answers = interleaved(calls, rounds=rounds)
        cells = {name: answer[0] if isinstance(answer, tuple) else answer for name, answer in answers.items()}
        if len(set(cells.values())) != 1 or answers[ALIKE] != answers[OURS]:
            raise AssertionError(f"the contenders fill different numbers of cells, or stale cells: {answers}")
        notes = {}
        for name, peak in peaks.items():
            against = "" if name in (BARE, ALIKE) else f"{seconds[name] / seconds[ALIKE]:.2f} x the query alike; "
            notes[name] = (f"{against}{max(p[0] for p in peak):,.0f} MB more, {max(p[1] for p in peak) / 1024:.1f} GB "
                           f"in all; {DOES[name]}")  # fmt: skip
        title = f"Building laboratory columns, {patients:,} patients, {rows:,} results {order}"
        texts.append(table(title, seconds, BARE, notes))
        extract.tables["labs"].get_backend().disconnect()
    return "\n".join(texts)
