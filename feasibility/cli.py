"""The command line: ``feasibility build | screen | report | missing | enroll | quality | sweep | trials | ...``.

Exit codes: 0 done, 2 bad input (the message says what to do), 1 a defect of this program.
"""

from __future__ import annotations

import sys

import typer

from feasibility.commands import build, forecast, pooling, relax, report, sharing, tables, what_if
from feasibility.errors import FeasibilityError

app = typer.Typer(
    name="feasibility", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="How many of our patients could join this trial, which criteria cost us the rest, and what if one moved?",
)  # fmt: skip

for module in (build, tables, report, what_if, relax, forecast, pooling, sharing):
    app.add_typer(module.app)


def main() -> None:
    """Entry point: user errors become one clear message and exit code 2."""
    try:
        app(standalone_mode=True)
    except FeasibilityError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
