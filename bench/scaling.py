"""Screening from a hundred thousand to ten million patients, each contender in a process of its own.

At ten million patients the contenders' tables do not fit into one process side by side, so each is loaded, warmed up
and timed by itself, one after the other, round after round; ours runs before and after every other, and every process
reads the prepared bytes as well (the memory floor of that very moment). All count the patterns of the same patients;
their tables are compared by checksum. ``python -m bench.scaling 1e6`` prints one size.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import feasibility as fz
from bench.timing import extra_peak
from feasibility.bounded import UPPER

TRIAL = "NCT06642025"
FOLDER = Path(os.environ.get("FEASIBILITY_BENCH", Path(tempfile.gettempdir()) / "feasibility_bench"))
"""Where the synthetic patients are kept from one run to the next."""


def patients(n: int) -> Path:
    """A folder of Parquet files with ``n`` synthetic patients, and beside it the prepared cohort; made once."""
    from feasibility.cohort.prepared import prepare_files, write_prepared
    from feasibility.trials.aml_registry import registry_blocks

    folder, protocol = FOLDER / f"{n}", fz.load_trial(TRIAL)
    if not folder.with_suffix(".arrow").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for k, block in enumerate(registry_blocks(n, seed=1)):
            observed = block.observed
            kept = observed[[c for c in observed.columns if c.removesuffix(UPPER) in protocol.reads]]
            fz.write_cohort(kept, folder / f"{k:03d}.parquet", protocol.columns)
        done = folder.with_suffix(".part")
        write_prepared(prepare_files(folder, protocol.columns), done)
        done.rename(folder.with_suffix(".arrow"))
    return folder


def floors(prepared) -> tuple[float, float]:
    """Seconds to read, once, what the prepared cohort holds of the patients, and the bitmaps that screening reads."""
    found = []
    for kinds in ("lower", "upper", "other"), ("planes",):
        start = time.perf_counter()
        total = 0
        for one in prepared.stored.values():
            for array in one.planes if kinds == ("planes",) else (getattr(one, k) for k in kinds):
                if array is not None and array.nbytes >= 8:
                    words = array.view(np.uint8)[: array.nbytes // 8 * 8].view(np.uint64)
                    total ^= int(np.bitwise_or.reduce(words))
        found.append(time.perf_counter() - start)
    return found[0], found[1]


def checksum(failed, unknown, n) -> str:
    rows = np.stack([np.asarray(a).astype(np.uint64).ravel() for a in (failed, unknown, n)], axis=1)
    rows = rows[np.lexsort(rows.T[::-1])]
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]


def _of_table(patterns) -> str:
    return checksum(patterns.failed[:, 0], patterns.unknown[:, 0], patterns.n)


def _pandas(folder: Path, protocol):
    from feasibility.cohort.batches import ParquetCohort

    return ParquetCohort(folder, protocol.columns).whole(protocol.reads)


def prepared(folder, protocol):
    cohort = fz.open_prepared(folder.with_suffix(".arrow"))
    return lambda: _of_table_later(fz.count_patterns(cohort, protocol, check=False))


def opened(folder, protocol):
    """From the file on disk, opened anew each time (its pages may be in the system's cache)."""
    return lambda: _of_table_later(fz.count_patterns(folder.with_suffix(".arrow"), protocol, check=False))


def streamed(folder, protocol):
    return lambda: _of_table_later(fz.count_patterns(folder, protocol, check=False))


def raw(folder, protocol):
    cohort = _pandas(folder, protocol)
    return lambda: _of_table_later(fz.screen(cohort, protocol, check=False).patterns())


def guarded(folder, protocol):
    cohort = _pandas(folder, protocol)
    return lambda: _of_table_later(fz.screen(cohort, protocol).patterns())


def kleene(folder, protocol):
    from bench.screening import kleene_masks
    from feasibility.engine.blocks import unpack

    cohort = _pandas(folder, protocol)

    def run():
        codes, n = kleene_masks(cohort, protocol)
        return lambda: checksum(*unpack(codes, len(protocol)), n)

    return run


def naive(folder, protocol):
    import pandas as pd

    from bench.screening import naive_columns, naive_funnel
    from feasibility.cohort.batches import ParquetCohort

    source = ParquetCohort(folder, protocol.columns)
    plain = {n: naive_columns(source.whole([n]))[n].array for n in protocol.reads if n in source}
    plain = pd.DataFrame(plain, copy=False)
    return lambda: _said(naive_funnel(plain)[-1])


def _said(eligible: int):
    return lambda: f"{eligible:,} eligible"


def polars(folder, protocol):
    import polars as pl

    from bench.screening import polars_patterns

    frame = pl.read_parquet(folder / "*.parquet", columns=_columns(folder, protocol)).rechunk()
    return lambda: _of_polars(polars_patterns(frame, protocol))


def polars_scan(folder, protocol):
    import polars as pl

    from bench.screening import polars_patterns

    return lambda: _of_polars(polars_patterns(pl.scan_parquet(folder / "*.parquet"), protocol))


def duckdb(folder, protocol):
    import ibis

    con = ibis.duckdb.connect()
    con.raw_sql("SET enable_progress_bar = false")
    con.raw_sql(f"CREATE TABLE cohort AS SELECT * FROM read_parquet('{folder}/*.parquet')")
    table = con.table("cohort")
    return lambda: _of_table_later(fz.count_patterns(table, protocol))


def duckdb_scan(folder, protocol):
    import ibis

    con = ibis.duckdb.connect()
    con.raw_sql("SET enable_progress_bar = false")
    return lambda: _of_table_later(fz.count_patterns(con.read_parquet(f"{folder}/*.parquet"), protocol))


def _columns(folder, protocol) -> list[str]:
    from feasibility.cohort.batches import ParquetCohort

    return ParquetCohort(folder, protocol.columns).physical(protocol.reads)


def _of_table_later(patterns):
    return lambda: _of_table(patterns)


def _of_polars(found):
    return lambda: checksum(found["f"].to_numpy(), found["u"].to_numpy(), found["len"].to_numpy())


CONTENDERS = {
    "prepared": "prepared cohort (ours)",
    "polars": "Polars, same functions",
    "raw": "raw pandas columns (ours, `screen`)",
    "guarded": "the same with the guard against holes",
    "kleene": "pandas Kleene masks",
    "naive": "naive pandas, funnel only, wrong",
    "duckdb": "DuckDB table, same functions",
    "opened": "prepared file, opened anew (ours)",
    "streamed": "Parquet, batch by batch (ours)",
    "polars_scan": "Polars, Parquet scan, same functions",
    "duckdb_scan": "DuckDB, Parquet scan, same functions",
}
SLOW = ("kleene", "naive", "duckdb", "duckdb_scan", "guarded")
"""Timed once a round, at first call, instead of three times after one."""


def child(name: str, n: int) -> dict:
    """Load, warm up, time; what the parent reads from standard output."""
    folder, protocol = FOLDER / f"{n}", fz.load_trial(TRIAL)
    cohort = fz.open_prepared(folder.with_suffix(".arrow"))
    run = globals()[name](folder, protocol)
    floors(cohort)  # brings the pages in
    spent = time.process_time()
    whole, bits = floors(cohort)
    share = (time.process_time() - spent) / (whole + bits)  # of a processor, on a busy machine
    times, cpu, reads, answers = [], [], [], []

    def timed():
        start, spent = time.perf_counter(), time.process_time()
        answers.append(run())
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - spent)

    reads.append(floors(cohort))
    peak = extra_peak(timed)
    for _ in range(0 if name in SLOW else 3):
        reads.append(floors(cohort))
        timed()
    reads.append(floors(cohort))
    times, cpu = (t if name in SLOW else t[1:] for t in (times, cpu))  # the first is the warm-up
    found = {"times": times, "cpu": cpu, "floors": reads, "peak": peak, "sum": answers[-1]()}
    return found | {"load": os.getloadavg()[0], "floor_cpu": whole * share}


def _ask(name: str, n: int) -> dict:
    made = subprocess.run(
        [sys.executable, "-m", "bench.scaling", "--child", name, str(n)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        return {"failed": made.stderr.strip().splitlines()[-1][:200] if made.stderr.strip() else "ended by the system"}
    return json.loads(made.stdout.splitlines()[-1])


def measure(n: int, rounds: int = 3, names=tuple(CONTENDERS)) -> dict:
    """Per contender: median seconds, ratio to ours beside it, megabytes, checksum; and the floors."""
    patients(n)
    found: dict[str, list] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            one = _ask(name, n)
            beside = _ask("prepared", n) if "failed" not in one else one
            if "failed" in beside:
                one = beside
            else:
                one |= {"ours": statistics.median(beside["times"]), "ours_cpu": statistics.median(beside["cpu"])}
            found[name].append(one)
            sys.stderr.write(f"{n:,} {name}: {one}\n")
    return summary(n, found)


def summary(n: int, found: dict[str, list]) -> dict:
    """Medians over the rounds; raises if two contenders count different patterns."""
    every = [one for all_ in found.values() for one in all_ if "failed" not in one]
    reads = [read for one in every for read in one["floors"]]
    result = {"n": n, "rounds": max(map(len, found.values())), "contenders": {}}
    result["load"] = statistics.median(one["load"] for one in every)
    result["floor"], result["floor_bits"] = (statistics.median(r[i] for r in reads) for i in (0, 1))
    result["floor_cpu"] = statistics.median(one.get("floor_cpu", result["floor"]) for one in every)
    for name, all_ in found.items():
        good = [one for one in all_ if "failed" not in one]
        if not good:
            result["contenders"][name] = {"failed": all_[0]["failed"] if all_ else "left out"}
            continue
        result["contenders"][name] = {
            "seconds": statistics.median(t for one in good for t in one["times"]),
            "ratio": statistics.median(statistics.median(one["times"]) / one["ours"] for one in good),
            "cpu": statistics.median(t for one in good for t in one["cpu"]),
            "cpu_ratio": statistics.median(statistics.median(one["cpu"]) / one["ours_cpu"] for one in good),
            "floors": statistics.median(
                t / statistics.median(r[0] for r in one["floors"]) for one in good for t in one["times"]
            ),
            "peak": min(one["peak"] for one in good), "sum": good[-1]["sum"],
        }  # fmt: skip
    sums = {name: one["sum"] for name, one in result["contenders"].items() if "sum" in one and name != "naive"}
    if len(set(sums.values())) > 1:
        raise AssertionError(f"the contenders count different patterns: {sums}")
    return result


def text(result: dict) -> str:
    n, width = result["n"], max(map(len, CONTENDERS.values()))
    lines = [
        f"Screening {n:,} patients, seed trial, one process each, {result['rounds']} interleaved rounds;"
        f" load {result['load']:.1f}",
        f"  {'':{width}}  {'ms':>9}  {'/ ours':>7}  {'CPU ms':>9}  {'/ ours':>7}  {'/ floor':>7}  {'MB more':>8}",
        f"  {'floor: read the prepared bytes once':{width}}  {1e3 * result['floor']:9.0f}",
        f"  {'floor: read the bitmaps once':{width}}  {1e3 * result['floor_bits']:9.0f}",
    ]
    for name, one in result["contenders"].items():
        if "failed" in one:
            lines.append(f"  {CONTENDERS[name]:{width}}  failed: {one['failed']}")
            continue
        note = f"  {one['sum']}" if name == "naive" else ""
        lines.append(
            f"  {CONTENDERS[name]:{width}}  {1e3 * one['seconds']:9.0f}  {one['ratio']:7.2f}  {1e3 * one['cpu']:9.0f}"
            f"  {one['cpu_ratio']:7.2f}  {one['floors']:7.1f}  {one['peak']:8,.0f}{note}"
        )
    return "\n".join(lines)


def run(n: int = 1_000_000, rounds: int = 3) -> str:
    return text(measure(n, rounds))


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        sys.stdout.write(json.dumps(child(sys.argv[2], int(sys.argv[3]))) + "\n")
    else:
        chosen = sys.argv[2].split(",") if len(sys.argv) > 2 else tuple(CONTENDERS)
        result = measure(int(float(sys.argv[1])), int(sys.argv[3]) if len(sys.argv) > 3 else 3, chosen)
        (FOLDER / f"{result['n']}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        sys.stdout.write(text(result) + "\n")
