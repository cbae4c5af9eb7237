"""Measures what ``bench/RESULTS.md`` holds and writes it, with the picture ``docs/gallery/screening-time.png``.

``python -m bench.results`` measures from a hundred thousand to ten million patients (an hour or more on two cores);
``--write`` only writes anew from what was kept of the last measurement, whatever part of it there is.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from bench import build, criteria, derived, peers, questions, release, scaling, streaming

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "gallery" / "screening-time.png"
SIZES = (100_000, 1_000_000, 10_000_000)
SHOWN = {"prepared": "prepared cohort (ours)", "streamed": "Parquet, batch by batch (ours)",
         "polars": "Polars, same functions", "raw": "raw pandas columns (ours)", "kleene": "pandas Kleene masks",
         "duckdb": "DuckDB, same functions"}  # fmt: skip
MARKS = {"prepared": ("o", "-"), "streamed": ("s", "-"), "raw": ("^", "-"), "polars": ("o", "--"),
         "kleene": ("^", "--"), "duckdb": ("s", "--")}  # fmt: skip
INTRODUCTION = """\
All patients are synthetic, with holes (seed 1). Each contender runs in a process of its own, round after round, and
ours runs beside every one of them, so that "/ ours" compares the same minutes; wall-clock times grow with the load
stated, processor time hardly does (it adds up both cores). Every contender's pattern table has the same checksum, but
for naive pandas, whose number of eligible patients is wrong and stands beside it. "MB more" is what the process needed
at most beyond its loaded data and the pages of mapped files."""
TEXTS = {
    "criteria": ("Against the number of criteria", lambda: criteria.run(1_000_000)),
    "questions": ("What-ifs on a prepared cohort", lambda: questions.run(1_000_000)),
    "streaming": ("A hundred million, streamed from Parquet", lambda: streaming.run(10_000_000, 10)),
    "derived": ("Derived from the patterns", derived.run),
    "build": ("From events to the cohort", lambda: build.run(1_000_000, 20_000_000, 2)),
    "release": ("A release, after the screen", lambda: release.run()),
    "peers": ("Flow trackers", lambda: peers.run(100_000)),
}


def machine() -> str:
    """The processor, memory and versions, in words."""
    from importlib.metadata import version

    model = "processor unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (OSError, StopIteration, ValueError):
        memory = "memory unknown"
    packages = ", ".join(f"{p} {version(p)}" for p in ("numpy", "pandas", "polars", "duckdb", "pyarrow"))
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {memory}; {system}; {packages}"


def measured() -> list[dict]:
    """What is kept of each size, smallest first."""
    files = [scaling.FOLDER / f"{n}.json" for n in SIZES]
    return [json.loads(f.read_text(encoding="utf-8")) for f in files if f.exists()]


def screening_table(result: dict) -> str:
    lines = [
        f"### {result['n']:,} patients",
        "",
        f"{result['rounds']} rounds; load {result['load']:.1f} on {os.cpu_count()} cores while it ran. Reading the"
        f" prepared bytes once took {1e3 * result['floor']:,.0f} ms (the floor), the bitmaps alone"
        f" {1e3 * result['floor_bits']:,.0f} ms.",
        "",
        "| contender | ms | / ours beside it | processor ms | / ours | / floor beside it | MB more |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in result["contenders"].items():
        if "failed" in one:
            lines.append(f"| {scaling.CONTENDERS[name]} | not measured: {one['failed']} | | | | | |")
            continue
        said = f" ({one['sum']})" if name == "naive" else ""
        lines.append(
            f"| {scaling.CONTENDERS[name]}{said} | {1e3 * one['seconds']:,.0f} | {one['ratio']:.1f}"
            f" | {1e3 * one['cpu']:,.0f} | {one['cpu_ratio']:.1f} | {one['floors']:.1f} | {one['peak']:,.0f} |"
        )
    return "\n".join(lines)


def targets(results: list[dict]) -> list[tuple[str, str, str, bool]]:
    """(what, goal, measured, met) at the largest size that has it."""
    found = []

    def at(*names):
        return next((r for r in reversed(results) if all("cpu" in r["contenders"].get(x, {}) for x in names)), None)

    def add(what, goal, names, value, met, unit=" x"):
        result = at(*names)
        if result is not None:
            got = value(result["contenders"], result)
            found.append((f"{what}, {result['n']:,} patients", goal, f"{got:,.1f}{unit}", bool(met(got))))

    add("prepared cohort / memory floor", "at most 4.5 x", ["prepared"], lambda c, _: c["prepared"]["floors"],
        lambda v: v <= 4.5)  # fmt: skip
    add("Polars / prepared", "at least 1.5 x", ["prepared", "polars"], lambda c, _: c["polars"]["ratio"],
        lambda v: v >= 1.5)  # fmt: skip
    add("pandas Kleene masks / prepared", "at least 6.5 x", ["kleene"], lambda c, _: c["kleene"]["ratio"],
        lambda v: v >= 6.5)  # fmt: skip
    add("memory beyond the cohort", "under 100 MB", ["prepared"], lambda c, _: c["prepared"]["peak"],
        lambda v: v < 100, " MB")  # fmt: skip
    add("Polars' Parquet scan / prepared file opened anew", "at least 4 x", ["opened", "polars_scan"],
        lambda c, _: c["polars_scan"]["ratio"] / c["opened"]["ratio"], lambda v: v >= 4)  # fmt: skip
    add("Parquet, ours / Polars' scan", "at most 1.4 x", ["streamed", "polars_scan"],
        lambda c, _: c["streamed"]["ratio"] / c["polars_scan"]["ratio"], lambda v: v <= 1.4)  # fmt: skip
    add("Parquet, ours / Polars' scan, processor time", "at most 1.4 x", ["streamed", "polars_scan"],
        lambda c, _: c["streamed"]["cpu"] / c["polars_scan"]["cpu"], lambda v: v <= 1.4)  # fmt: skip
    add("raw pandas columns / Polars, processor time", "near 1 x", ["raw", "polars"],
        lambda c, _: c["raw"]["cpu"] / c["polars"]["cpu"], lambda v: v <= 1.2)  # fmt: skip
    return found


def picture(results: list[dict]) -> None:
    """Seconds against patients, both logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4.4), dpi=160, layout="constrained")
    ends = []
    for name, title in SHOWN.items():
        points = [(r["n"], r["contenders"][name]["cpu"]) for r in results if "cpu" in r["contenders"].get(name, {})]
        if len(points) < 2:
            continue
        marker, line = MARKS[name]
        ours = "(ours)" in title
        ax.plot(*zip(*points, strict=True), marker=marker, linestyle=line, color="#1b4f72" if ours else "#6b6b6b",
                linewidth=1.8 if ours else 1.2, markersize=5, markerfacecolor=None if ours else "white")  # fmt: skip
        ends.append([*points[-1], title, ours])
    floors = [(r["n"], r["floor_cpu"]) for r in results]
    ax.plot(*zip(*floors, strict=True), color="#9a9a9a", linestyle=":", linewidth=1.2)
    ends.append([*floors[-1], "reading the bytes once", False])
    ax.set_xscale("log")
    ax.set_yscale("log")
    largest = max(r["n"] for r in results)
    last: dict[int, float] = {}  # labels keep their distance
    for n, seconds, title, ours in sorted(ends, key=lambda e: e[1]):
        y = last[n] = max(seconds, 1.45 * last.get(n, 0))
        ax.text(n * 1.2, y, title, fontsize=8, va="center", color="#1b4f72" if ours else "#444444")
    ax.set_xticks([r["n"] for r in results], [f"{r['n']:,}" for r in results])
    ax.minorticks_off()
    ax.set_xlim(min(r["n"] for r in results) * 0.8, largest * 14)
    ax.set_xlabel("patients", loc="left")
    ax.set_ylabel("processor seconds")
    ax.set_title("Screening the seed trial, 27 criteria, to the table of patterns", loc="left", fontsize=10)
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE)
    plt.close(figure)


def write() -> str:
    results = measured()
    goals = [f"| {what} | {goal} | {got} | {'met' if met else 'missed'} |" for what, goal, got, met in targets(results)]
    parts = [
        "# Benchmarks",
        "",
        f"Made by `python -m bench.results`. {machine()}.",
        "",
        INTRODUCTION,
        "",
        "![Processor time against patients](../docs/gallery/screening-time.png)",
        "",
        "## Targets",
        "",
        "| what | goal | measured | |", "|---|---|---:|---|", *goals,
        "",
        "## Screening",
        "",
        *(part for result in results for part in (screening_table(result), "")),
    ]  # fmt: skip
    for name, (title, _) in TEXTS.items():
        kept = scaling.FOLDER / f"{name}.txt"
        if kept.exists():
            parts += [f"## {title}", "", "```", kept.read_text(encoding="utf-8").rstrip(), "```", ""]
    notes = HERE / "notes.md"
    if notes.exists():
        parts += [notes.read_text(encoding="utf-8").rstrip(), ""]
    (HERE / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
    if results:
        picture(results)
    return f"{HERE / 'RESULTS.md'} and {PICTURE}"


def run() -> str:
    """Measure everything, in processes of their own, and write it down."""
    for n in SIZES:
        subprocess.run([sys.executable, "-m", "bench.scaling", str(n)], check=True)
    for name, (_, text) in TEXTS.items():
        (scaling.FOLDER / f"{name}.txt").write_text(f"{text()}\n(load {os.getloadavg()[0]:.1f})", encoding="utf-8")
    return write()


if __name__ == "__main__":
    sys.stdout.write((write() if "--write" in sys.argv else run()) + "\n")
