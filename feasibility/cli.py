"""The command line: ``feasibility screen | report | quality | trials | dictionary | mapping | synthetic``.

Exit codes: 0 done, 2 bad input (the message says what to do), 1 a defect of this program.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from feasibility import __version__
from feasibility.errors import FeasibilityError, ProtocolError

app = typer.Typer(
    name="feasibility", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="How many of our patients could join this trial, which criteria cost us the rest, and what if one moved?",
)  # fmt: skip

FileArg = Annotated[Path, typer.Argument(help="Patient table, one row a patient: CSV, Parquet, Excel, SPSS, Stata, SAS.")]
TrialOpt = Annotated[str, typer.Option("--trial", "-t", help="Trial id (see `feasibility trials`) or path of its file.")]
MappingOpt = Annotated[Path | None, typer.Option("--mapping", "-m", help="TOML file: other column names, units, codes.")]
DateOpt = Annotated[str | None, typer.Option("--index-date", help="Day of screening, YYYY-MM-DD.")]
ScenarioOpt = Annotated[Path | None, typer.Option("--scenario", "-s", help="TOML file: changed thresholds, readings.")]
SetOpt = Annotated[list[str], typer.Option("--set", help="One changed threshold or reading, name=value. Repeatable.")]
WaiveOpt = Annotated[list[str], typer.Option("--waive", help="A criterion or clause to leave out. Repeatable.")]
MissingOpt = Annotated[str, typer.Option("--missing-columns", help="error, or unknown: unknown for every patient.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]


@app.command()
def screen(
    file: FileArg,
    trial: TrialOpt,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    level: Annotated[str, typer.Option(help="criterion or clause: one row of the funnel each.")] = "criterion",
    by: Annotated[str, typer.Option(help="A stratum to split the funnel by, such as site_id or sex.")] = "",
    as_json: JsonOpt = False,
    patient_status: Annotated[
        Path | None, typer.Option(help="Also write each patient's status to this CSV. PATIENT-LEVEL: internal only.")
    ] = None,
) -> None:
    """Print the attrition funnel of a patient table."""
    import feasibility as fz

    protocol = _protocol(trial, scenario, set_, waive)
    cohort, screening = _screen(file, protocol, mapping, index_date, missing_columns)
    funnel = fz.attrition(screening, level=level, by=by)
    if patient_status:
        screening.status.to_frame().to_csv(patient_status)
    if as_json:
        print(json.dumps(_as_json(screening, funnel, fz.impact(screening, level=level)), ensure_ascii=False, indent=1))
        return
    from rich.console import Console

    console = Console()
    _print_notes(console, cohort, screening)
    _print_funnel(console, funnel, screening)
    if patient_status:
        console.print(f"[bold red]Patient-level file written: {patient_status}. It must not leave the hospital.")


@app.command()
def report(
    file: FileArg,
    trial: TrialOpt,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("reports/report.html"),
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    report_date: Annotated[str | None, typer.Option("--date", help="Date printed on the report; default today.")] = None,
) -> None:
    """Write the feasibility report as one self-contained HTML page (internal: not checked for disclosure)."""
    from feasibility.report.build import build_report
    from feasibility.report.html import render_html

    protocol = _protocol(trial, scenario, set_, waive)
    cohort, screening = _screen(file, protocol, mapping, index_date, missing_columns)
    page = build_report(
        screening, cohort, title=title, generated_on=report_date or date.today().isoformat(), source=file.name
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(render_html(page), encoding="utf-8")
    from rich.console import Console

    console = Console()
    _print_notes(console, cohort, screening)
    patterns = screening.patterns()
    console.print(
        f"[bold]{patterns.n_confirmed:,}[/] confirmed and [bold]{patterns.n_possible:,}[/] possible"
        f" of {patterns.n_patients:,} patients. Report: {output}"
    )


@app.command()
def quality(
    file: FileArg,
    trial: TrialOpt,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write an HTML page.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Say what was known, missing, converted and set aside in each column of a patient table."""
    import feasibility as fz

    protocol = fz.load_trial(trial)
    cohort = _read(file, protocol, mapping, index_date)
    found = fz.quality_report(cohort, protocol.columns)
    if as_json:
        print(found.to_json())
    if output:
        from feasibility.report.quality_page import render_quality

        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(render_quality(found, source=file.name), encoding="utf-8")
    if not as_json:
        from rich.console import Console

        console = Console()
        _print_table(console, found.columns.reset_index(), f"{file.name}: {found.n_patients:,} patients")
        for event in found.events.itertuples():
            console.print(f"  {event.column}: {event.kind} {event.n:,} ({event.reason})", markup=False)
        if output:
            console.print(f"Page: {output}")


@app.command()
def trials(as_json: JsonOpt = False) -> None:
    """List the installed trials."""
    import feasibility as fz

    found = [fz.load_trial(name) for name in fz.trials()]
    if as_json:
        print(json.dumps([{"id": p.id, "title": p.title, "criteria": len(p)} for p in found], ensure_ascii=False))
        return
    for p in found:
        print(f"{p.id}  {p.title}  ({len(p)} assessable criteria, {len(p.not_assessable)} not assessable)")


@app.command()
def dictionary(
    trial: TrialOpt,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a CSV or HTML file.")] = None,
) -> None:
    """The data dictionary of a trial's patient table: every column, unit, range and what a missing record means."""
    import feasibility as fz

    protocol = fz.load_trial(trial)
    table = protocol.columns.dictionary()
    table.insert(0, "criteria", [", ".join(protocol.reads.get(c, ())) for c in table.index])
    if output is None:
        print(table.to_csv())
    elif output.suffix == ".html":
        from feasibility.report.dictionary_page import render_dictionary

        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(render_dictionary(table, title=f"Data dictionary of {protocol.id}"), encoding="utf-8")
    else:
        table.to_csv(output)


@app.command()
def mapping(file: FileArg, trial: TrialOpt) -> None:
    """Draft a mapping file for a patient table, for you to correct: printed as TOML."""
    import feasibility as fz
    from feasibility.cohort.draft import draft_mapping

    print(draft_mapping(file, fz.load_trial(trial).columns))


@app.command()
def synthetic(
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV or Parquet file to write.")],
    patients: Annotated[int, typer.Option("--patients", "-n", min=1, help="How many patients.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Same seed, same patients.")] = 1,
    complete: Annotated[bool, typer.Option("--complete", help="Without holes: the truth behind the registry.")] = False,
    index_date: Annotated[str, typer.Option("--index-date", help="Day of screening.")] = "2025-06-30",
) -> None:
    """Write a synthetic registry of relapsed or refractory AML. Not patients."""
    import feasibility as fz
    from feasibility.trials.aml_registry import synthetic_registry

    registry = synthetic_registry(patients, seed=seed, index_date=index_date)
    output.parent.mkdir(parents=True, exist_ok=True)
    fz.write_cohort(registry.truth if complete else registry.observed, output)
    print(f"{patients:,} synthetic patients written to {output}.")


def _protocol(trial: str, scenario: Path | None, changes: list[str], waive: list[str]):
    import feasibility as fz

    protocol = fz.load_trial(trial)
    if scenario is not None:
        protocol = fz.Scenario.from_toml(scenario).apply(protocol)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ProtocolError(f"--set needs name=value, got {change!r}.")
        protocol = protocol.with_thresholds(**{name.strip(): _value(text.strip())})
    return protocol.without(*waive) if waive else protocol


def _value(text: str):
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read(file: Path, protocol, mapping: Path | None, index_date: str | None):
    import feasibility as fz

    with _progress() as show:
        return fz.read_cohort(file, protocol.columns, mapping=mapping, index_date=index_date, progress=show)


def _screen(file, protocol, mapping, index_date, missing_columns):
    import feasibility as fz

    cohort = _read(file, protocol, mapping, index_date)
    with _progress() as show:
        return cohort, fz.screen(cohort, protocol, missing_columns=missing_columns, progress=show)


class _progress:  # noqa: N801
    """A progress bar on a terminal, nothing where the output is read by a program."""

    def __enter__(self):
        if not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.start()
        task = self.bar.add_task("", total=1.0)
        return lambda what, share: self.bar.update(task, description=what[:40], completed=share)

    def __exit__(self, *_):
        if hasattr(self, "bar"):
            self.bar.stop()


def _as_json(screening, funnel, costs) -> dict:
    patterns = screening.patterns()
    return {
        "trial": screening.protocol.id,
        "fingerprint": screening.protocol.fingerprint(),
        "version": __version__,
        "n_patients": patterns.n_patients,
        "n_confirmed": patterns.n_confirmed,
        "n_possible": patterns.n_possible,
        "missing_columns": {name: list(ids) for name, ids in screening.missing_columns.items()},
        "attrition": json.loads(funnel.reset_index().to_json(orient="records")),
        "impact": json.loads(costs.reset_index().to_json(orient="records")),
    }


def _print_notes(console, cohort, screening) -> None:
    absent = screening.missing_columns
    if absent:
        console.print(
            f"[bold yellow]The file lacks {len(absent)} of the {len(screening.protocol.reads)} columns this trial reads;"
            " they are unknown for every patient:[/]"
        )
        console.print(", ".join(absent), style="yellow", markup=False)
    for event in cohort.attrs.get("feasibility", {}).get("events", ()):
        if event["kind"] == "quarantined":
            console.print(f"{event['column']}: {event['n']:,} values set aside, {event['reason']}", markup=False)


def _print_funnel(console, funnel, screening) -> None:
    table = funnel.drop(columns=["reason"]).reset_index()
    patterns = screening.patterns()
    _print_table(console, table, f"{screening.protocol.id}: {patterns.n_patients:,} patients")
    console.print(
        f"[bold]{patterns.n_confirmed:,}[/] confirmed (everything known and met),"
        f" [bold]{patterns.n_possible:,}[/] possible (nothing failed)."
    )
    assumed = ", ".join(f"{c.id} {c.name}" for c in screening.protocol.not_assessable)
    if assumed:
        console.print(f"Not decided by data, and not counted here: {assumed}.", markup=False)


def _print_table(console, frame, title: str) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        number = frame[name].dtype.kind in "iuf"
        table.add_column(str(name).removeprefix("n_"), justify="right" if number else "left", no_wrap=number)
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(v) for v in row))
    console.print(table)


def _cell(value) -> str:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return f"{value:,.1f}" if isinstance(value, float) else str(value)
    return f"{int(value):,}"


def main() -> None:
    """Entry point: user errors become one clear message and exit code 2."""
    try:
        app(standalone_mode=True)
    except FeasibilityError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
