"""What-ifs on a prepared cohort, against one screening of it: asked for the first time, and again."""

from __future__ import annotations

import statistics
import time

import numpy as np

import feasibility as fz
from bench.scaling import TRIAL, patients
from bench.what_if import scenarios


def measure(n: int = 1_000_000, rounds: int = 3) -> dict:
    """Wall and processor seconds of each question, medians of interleaved rounds."""
    protocol = fz.load_trial(TRIAL)
    cohort = fz.open_prepared(patients(n).with_suffix(".arrow"))
    fz.count_patterns(cohort, protocol, check=False)
    start = time.perf_counter()
    what_if = fz.WhatIf(cohort, protocol, check=False)
    opened = time.perf_counter() - start
    table = scenarios()
    grid = {"min_platelets": np.linspace(5, 100, 100), "min_cd3": np.linspace(0.1, 1.0, 100)}
    moves = iter(np.linspace(5.01, 99.01, 10 * rounds + 10))
    questions = {
        "screening (patterns counted)": lambda: fz.count_patterns(cohort, protocol, check=False),
        "exact curve": lambda: fz.curve(what_if, "min_hemoglobin"),
        "surface 100 x 100": lambda: fz.surface(what_if, **grid),
        "1,000 scenarios of 8 thresholds": lambda: fz.batch(what_if, table),
        "slider move with its funnel": lambda: what_if.attrition({"min_platelets": float(next(moves))}),
    }
    what_if.prepare()
    found = {name: {"first": [], "again": [], "first_cpu": [], "again_cpu": []} for name in questions}
    for _ in range(rounds):
        for name, ask in questions.items():
            what_if.forget()
            for when in ("first", "again"):
                start, spent = time.perf_counter(), time.process_time()
                answer = ask()
                found[name][when].append(time.perf_counter() - start)
                found[name][when + "_cpu"].append(time.process_time() - spent)
            if name.startswith("1,000"):
                for row in range(0, len(table), 250):
                    if tuple(what_if.counts(table.iloc[row].to_dict())) != tuple(answer.iloc[row]):
                        raise AssertionError("the batch and a single evaluation differ")
    medians = {name: {k: statistics.median(v) for k, v in one.items()} for name, one in found.items()}
    return {"n": n, "rounds": rounds, "opened": opened, "questions": medians}


def text(result: dict) -> str:
    lines = [
        f"What-ifs on {result['n']:,} prepared patients (medians of {result['rounds']} interleaved rounds;"
        f" WhatIf itself once {result['opened']:.1f} s)",
        f"  {'':34}  {'first ms':>9}  {'again ms':>9}  {'first CPU':>9}  {'/ screening':>11}  {'again CPU':>9}"
        f"  {'/ screening':>11}",
    ]
    screen = result["questions"]["screening (patterns counted)"]["again_cpu"]
    for name, one in result["questions"].items():
        lines.append(
            f"  {name:34}  {1e3 * one['first']:9.1f}  {1e3 * one['again']:9.1f}  {1e3 * one['first_cpu']:9.1f}"
            f"  {one['first_cpu'] / screen:11.2f}  {1e3 * one['again_cpu']:9.1f}  {one['again_cpu'] / screen:11.2f}"
        )
    return "\n".join(lines)


def run(n: int = 1_000_000, rounds: int = 3) -> str:
    return text(measure(n, rounds))


if __name__ == "__main__":
    import sys

    sys.stdout.write(run(int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000) + "\n")
