"""Interleaved timing: every contender once per round, so that a busy minute hits all alike; medians and ratios."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def interleaved(contenders: Mapping[str, Callable], rounds: int = 5) -> tuple[dict[str, float], dict]:
    """Median seconds of each contender, and each one's last answer."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    answers = {}
    for _ in range(rounds):
        for name, run in contenders.items():
            gc.collect()
            start = time.perf_counter()
            answers[name] = run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}, answers


def table(title: str, seconds: Mapping[str, float], base: str, notes: Mapping[str, str] | None = None) -> str:
    """A text table of times and of ratios to ``base``."""
    width = max(len(n) for n in seconds)
    lines = [title, f"  {'':{width}}  {'ms':>9}  {'ratio':>7}"]
    for name, t in seconds.items():
        note = f"  {notes[name]}" if notes and name in notes else ""
        lines.append(f"  {name:{width}}  {1000 * t:9.1f}  {t / seconds[base]:7.2f}{note}")
    return "\n".join(lines)


def extra_peak(run: Callable) -> float:
    """Megabytes by which the process grew at its highest while ``run`` ran (Linux; NaN elsewhere).

    Pages of mapped files do not count: the system takes them back when it wants to.
    """
    try:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
    except OSError:
        return float("nan")
    before, mapped = _status("VmRSS"), _status("RssFile")
    run()
    return max(0.0, (_status("VmHWM") - before - max(0, _status("RssFile") - mapped)) / 1024)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))
