"""Counting from Parquet files for more patients than fit in memory: time and memory as the files go by.

The files of ``scaling.patients(n)`` are listed ``times`` over: the same patients again, so the patterns stay those of
``n``, and every count is a multiple. ``python -m bench.streaming 1e7 10`` streams a hundred million.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import feasibility as fz
from bench.scaling import FOLDER, TRIAL, patients
from bench.timing import extra_peak


def measure(n: int = 1_000_000, times: int = 10) -> dict:
    """Wall and processor seconds at each tenth, and megabytes beyond the start."""
    source, protocol, seen = patients(n), fz.load_trial(TRIAL), []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(times):
            for file in sorted(source.glob("*.parquet")):
                (Path(folder) / f"{k:03d}_{file.name}").symlink_to(file.resolve())
        start, spent = time.perf_counter(), time.process_time()
        answers = []

        def note(what: str, share: float) -> None:
            if what == "counting" and share * 10 >= len(seen) + 1 - 1e-9:
                seen.append((share * n * times, time.perf_counter() - start, time.process_time() - spent))

        peak = extra_peak(lambda: answers.append(fz.count_patterns(folder, protocol, check=False, progress=note)))
    once = fz.count_patterns(FOLDER / f"{n}.arrow", protocol, check=False)
    if answers[0].n_patients != times * once.n_patients or answers[0].n_possible != times * once.n_possible:
        raise AssertionError("streaming counts other patients")
    return {"n": n * times, "patterns": len(once), "seen": seen, "peak": peak, "load": os.getloadavg()[0]}


def text(result: dict) -> str:
    lines = [
        f"Counting {result['n']:,} patients from Parquet files, batch by batch; load {result['load']:.1f}",
        f"  {'patients':>13}  {'s':>8}  {'processor s':>11}  {'processor s / million':>21}",
    ]
    lines += [f"  {n:13,.0f}  {wall:8.1f}  {cpu:11.1f}  {1e6 * cpu / n:21.3f}" for n, wall, cpu in result["seen"]]
    return "\n".join([*lines, f"  {result['peak']:,.0f} MB beyond the start at most; {result['patterns']:,} patterns"])


def run(n: int = 1_000_000, times: int = 3) -> str:
    return text(measure(n, times))


if __name__ == "__main__":
    result = measure(int(float(sys.argv[1])), int(sys.argv[2]))
    (FOLDER / "streaming.json").write_text(json.dumps(result), encoding="utf-8")
    sys.stdout.write(text(result) + "\n")
