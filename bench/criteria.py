"""The cost of screening against the number of criteria: the seed trial's, then copies of them with other thresholds."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import feasibility as fz
from bench.scaling import TRIAL, patients

COUNTS = (15, 27, 40, 120)


def protocol_of(count: int) -> fz.Protocol:
    """The first ``count`` criteria of the trial, and once these are used up, copies with every threshold moved."""
    trial = fz.load_trial(TRIAL)
    made, given = [], trial.assessable
    for i in range(count):
        one, times = given[i % len(given)], i // len(given)
        moved = {
            s.name: type(one.values[s.name])(one.values[s.name] * (1 + times / 10) + (times if s.whole else 0))
            for s in one.settings
            if s.kind == "threshold" and times and abs(one.values[s.name]) < 1e6
        }
        made.append(replace(one.with_thresholds(**moved), id=f"C{i}", name=f"{one.name}_{i}"))
    return fz.Protocol("C", "made from the seed trial", made, columns=trial.columns)


def measure(n: int = 1_000_000, rounds: int = 3, counts=COUNTS) -> list[dict]:
    """Seconds, processor seconds and patterns for each number of criteria, rounds interleaved."""
    cohort = fz.open_prepared(patients(n).with_suffix(".arrow"))
    protocols = {count: protocol_of(count) for count in counts}
    found = {count: {"wall": [], "cpu": []} for count in counts}
    for round_ in range(rounds + 1):
        for count, protocol in protocols.items():
            start, spent = time.perf_counter(), time.process_time()
            patterns = fz.count_patterns(cohort, protocol, check=False)
            if round_:  # the first is a warm-up
                found[count]["wall"].append(time.perf_counter() - start)
                found[count]["cpu"].append(time.process_time() - spent)
            found[count]["patterns"] = len(patterns)
    return [
        {"criteria": count, "wall": statistics.median(f["wall"]), "cpu": statistics.median(f["cpu"]),
         "patterns": f["patterns"], "n": n}
        for count, f in found.items()
    ]  # fmt: skip


def run(n: int = 1_000_000, rounds: int = 3) -> str:
    rows = measure(n, rounds)
    lines = [
        f"Screening {n:,} prepared patients by the number of criteria (medians of {rounds} interleaved rounds)",
        f"  {'criteria':>8}  {'ms':>8}  {'CPU ms':>8}  {'CPU ms / criterion':>18}  {'patterns':>10}",
    ]
    lines += [
        f"  {r['criteria']:8}  {1e3 * r['wall']:8.0f}  {1e3 * r['cpu']:8.0f}  {1e3 * r['cpu'] / r['criteria']:18.2f}"
        f"  {r['patterns']:10,}"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(run(int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000) + "\n")
