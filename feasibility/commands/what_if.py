"""Commands on changed protocols: sweep and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.common import (
    DateOpt,
    FileArg,
    JsonOpt,
    MappingOpt,
    MissingOpt,
    SetOpt,
    TrialOpt,
    WaiveOpt,
    console_of,
    print_table,
    progress,
    protocol_of,
    read_table,
)
from feasibility.errors import FeasibilityError

app = typer.Typer()
VaryArg = Annotated[
    list[str],
    typer.Option(
        "--vary",
        help="name=from:to:step (both ends included) or name=a,b,c: a threshold or reading. Once or twice.",
    ),
]
MAX_VALUES = 10_000


@app.command()
def sweep(
    file: FileArg,
    trial: TrialOpt,
    vary: VaryArg,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: Annotated[Path | None, typer.Option("--scenario", "-s", help="TOML file to start from.")] = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    exact: Annotated[bool, typer.Option("--exact", help="Every value at which a count changes (--vary name).")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the numbers as CSV.")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Also draw them: PNG, SVG or PDF.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Print the counts at chosen values of one or two thresholds or readings."""
    from feasibility.analysis.curve import curve as exact_curve
    from feasibility.analysis.sweep import sweep as over

    protocol = protocol_of(trial, scenario, set_, waive)
    asked = {} if exact else dict(parse_range(text) for text in vary)
    if exact and (len(vary) != 1 or "=" in vary[0]):
        raise FeasibilityError("--exact takes one threshold without values: --vary min_platelets --exact.")
    if len(asked) < len(vary) and not exact:
        raise FeasibilityError("--vary names one threshold twice.")
    cohort = read_table(file, protocol, mapping, index_date)
    with progress() as show:
        options = {"missing_columns": missing_columns, "progress": show}
        if exact:
            table = exact_curve(cohort, protocol, vary[0], **options)
        else:
            table = over(cohort, protocol, **asked, **options)
    _give(table, f"{protocol.id}: {len(cohort):,} patients", output, as_json)
    if figure:
        _draw(table, figure)


@app.command()
def compare(
    file: FileArg,
    trial: TrialOpt,
    scenario: Annotated[list[Path], typer.Option("--scenario", "-s", help="TOML file of a scenario. Repeatable.")],
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    missing_columns: MissingOpt = "error",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the numbers as CSV.")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Also draw them: PNG, SVG or PDF.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Print the counts of scenarios beside those of the protocol."""
    import feasibility as fz
    from feasibility.analysis.scenarios import compare as against

    protocol = fz.load_trial(trial)
    scenarios = [fz.Scenario.from_toml(path) for path in scenario]
    for one in scenarios:
        one.apply(protocol)  # a typo should not wait for the screening
    cohort = read_table(file, protocol, mapping, index_date)
    with progress() as show:
        table = against(scenarios, cohort, protocol, missing_columns=missing_columns, progress=show)
    _give(table, f"{protocol.id}: {len(cohort):,} patients", output, as_json)
    if figure:
        from feasibility.figures.scenarios import plot_waterfall

        _save(plot_waterfall(table), figure)


def parse_range(text: str) -> tuple[str, list]:
    """``name=from:to:step`` or ``name=a,b,c`` as a name and its values.

    >>> parse_range("min_hemoglobin=60:80:10")
    ('min_hemoglobin', [60, 70, 80])
    >>> parse_range("liver_combination=any,hepatic_all")[1]
    ['any', 'hepatic_all']
    """
    name, equals, given = text.partition("=")
    if not equals or not given.strip():
        raise FeasibilityError(f"--vary needs name=from:to:step or name=a,b,c, got {text!r}.")
    if ":" not in given:
        return name.strip(), [_value(part.strip()) for part in given.split(",")]
    parts = [_value(part.strip()) for part in given.split(":")]
    if len(parts) not in (2, 3) or not all(isinstance(p, (int, float)) and not isinstance(p, bool) for p in parts):
        raise FeasibilityError(f"--vary {text!r}: a range is from:to:step, three numbers.")
    low, high, step = (*parts, 1)[:3]
    if step <= 0 or high < low:
        raise FeasibilityError(f"--vary {text!r}: the range of {name} is empty; it counts up, with a step above 0.")
    n = int((high - low) / step + 1e-9) + 1
    if n > MAX_VALUES:
        raise FeasibilityError(f"--vary {text!r}: {n:,} values; {MAX_VALUES:,} at most. Take a larger step.")
    # Rounded, because 0.1 + 2 * 0.1 is not 0.3 to a computer and the printed value is the one that counts.
    return name.strip(), [round(low + i * step, 12) for i in range(n)]


def _value(text: str):
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _give(table, title: str, output: Path | None, as_json: bool) -> None:
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(output)
    flat = table.reset_index()
    if as_json:
        # Infinite values are words, because JSON has no numbers for them.
        flat = flat.replace({float("inf"): "inf", float("-inf"): "-inf"})
        print(json.dumps(flat.to_dict(orient="records"), ensure_ascii=False))
        return
    for name in table.index.names:
        flat[name] = [f"{v:g}" if isinstance(v, float) else str(v) for v in flat[name]]
    print_table(console_of(), flat, title)


def _draw(table, figure: Path) -> None:
    from feasibility.figures.curve import plot_curve, plot_surface

    numbers = all(table.index.get_level_values(i).dtype.kind in "if" for i in range(table.index.nlevels))
    if not numbers:
        raise FeasibilityError("--figure draws thresholds (numbers), not readings.")
    _save(plot_surface(table) if table.index.nlevels == 2 else plot_curve(table), figure)


def _save(ax, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ax.figure.savefig(path, dpi=144)
