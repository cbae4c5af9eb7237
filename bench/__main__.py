"""``python -m bench``: every benchmark in one run."""

from __future__ import annotations

import importlib
import sys

ALL = ("screening", "read_table", "build", "what_if", "relaxation", "imputation", "enrollment")

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        print(importlib.import_module(f"bench.{name}").run(), flush=True)
