"""``python -m bench``: every benchmark in one run; ``--large`` at ten million patients; or name those wanted.

``python -m bench.results`` measures what ``bench/RESULTS.md`` holds and writes it anew.
"""

from __future__ import annotations

import importlib
import sys

ALL = (
    "screening", "scaling", "criteria", "derived", "questions", "what_if", "relaxation", "peers", "read_table", "build",
    "disclosure", "release", "imputation", "enrollment",
)  # fmt: skip
LARGE = {
    "scaling": (10_000_000,),
    "criteria": (10_000_000,),
    "what_if": (10_000_000,),
    "build": (1_000_000, 20_000_000),
}

if __name__ == "__main__":
    large = "--large" in sys.argv
    for name in [a for a in sys.argv[1:] if a != "--large"] or (LARGE if large else ALL):
        module = importlib.import_module(f"bench.{name}")
        print(module.run(*(LARGE.get(name, ()) if large else ())), flush=True)
