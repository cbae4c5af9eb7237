"""The flow trackers equiflow and ehrapy's CohortTracker, beside a funnel counted here.

Neither evaluates a criterion: both are handed the rows that survive each step, and both also make summary tables that a
funnel does not need. They know no third truth value, so a mask says "not known to fail". They may need other
versions of pandas than this project: give the interpreter that has them, ``FEASIBILITY_PEERS=/path/to/python``;
without it the one in use is tried. What cannot be imported is a row that says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import feasibility as fz
from bench.screening import registry

SCRIPT = """
import json, sys, time, warnings
import numpy as np, pandas as pd
warnings.simplefilter("ignore")
name, path = sys.argv[1:]
kept = np.load(path)["kept"]
frame = pd.DataFrame({"age_years": np.load(path)["age"]})
def equiflow():
    from equiflow import EquiFlow
    flow = EquiFlow(data=frame, initial_cohort_label="all")
    left = frame
    for i in range(len(kept)):
        left = left[kept[i][left.index.to_numpy()]]
        flow.add_exclusion(new_cohort=left, exclusion_reason=f"step {i}", new_cohort_label=f"after {i}")
    flow.view_table_flows()
    return len(left)
def ehrapy():
    import ehrapy, anndata
    data = anndata.AnnData(X=frame.to_numpy(), obs=frame.copy())
    data.obs.index = data.obs.index.astype(str)
    tracker = ehrapy.tl.CohortTracker(data, columns=["age_years"])
    tracker(data, label="all")
    inside = np.ones(len(frame), dtype=bool)
    for i in range(len(kept)):
        inside &= kept[i]
        tracker(data[inside], label=f"step {i}")
    return int(inside.sum())
run = {"equiflow": equiflow, "ehrapy": ehrapy}[name]
run_first = time.perf_counter(); run(); first = time.perf_counter() - run_first
start = time.perf_counter(); left = run(); again = time.perf_counter() - start
print(json.dumps({"first": first, "again": again, "left": left, "version": __import__(name).__version__}))
"""


def _ask(name: str, path: Path, python: str) -> dict:
    made = subprocess.run([python, "-c", SCRIPT, name, str(path)], capture_output=True, text=True, check=False)
    if made.returncode:
        said = [line for line in made.stderr.splitlines() if line and not line.startswith(" ")]
        return {"failed": (said or ["ended"])[-1][:160]}
    return json.loads(made.stdout.splitlines()[-1])


def run(n: int = 100_000) -> str:
    """The comparison as text; raises if a tracker ends with another number of patients."""
    protocol, cohort = fz.load_trial("NCT06642025"), registry(n)
    screening = fz.screen(cohort, protocol, check=False)
    kept = np.stack([screening.passes[i].to_numpy(dtype=bool, na_value=True) for i in screening.passes])
    start = time.perf_counter()
    funnel = fz.attrition(screening)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    fz.screen(cohort, protocol, check=False)
    screened = time.perf_counter() - start
    python = os.environ.get("FEASIBILITY_PEERS", sys.executable)
    lines = [
        f"A funnel of {len(kept)} steps over {n:,} patients, the masks ready",
        f"  ours, from the patterns, three-valued      {1e3 * ours:9.0f} ms",
        f"  ours, evaluating every criterion as well   {1e3 * (ours + screened):9.0f} ms",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.npz"
        np.savez(path, kept=kept, age=cohort["age_years"].to_numpy(dtype=float, na_value=np.nan))
        trackers = (("equiflow", "equiflow", "counts only"),
                    ("ehrapy", "ehrapy CohortTracker", "one variable summarised at each step"))  # fmt: skip
        for name, title, does in trackers:
            found = _ask(name, path, python)
            if "failed" in found:
                lines.append(f"  {title:42} not measured: {found['failed']}")
                continue
            if found["left"] != int(funnel.n_remaining.iloc[-1]):
                raise AssertionError(f"{title} ends with {found['left']}, ours with {funnel.n_remaining.iloc[-1]}")
            lines.append(
                f"  {title + ' ' + found['version']:42} {1e3 * found['again']:9.0f} ms"
                f"  (first call {1e3 * found['first']:,.0f} ms; {does})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(run(int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000) + "\n")
