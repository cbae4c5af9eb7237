"""What the commands share: options, reading and screening with progress, tables on the terminal."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from feasibility import __version__
from feasibility.errors import CohortError, ProtocolError, ScreeningError, did_you_mean

FileArg = Annotated[Path, typer.Argument(help="Patient table, one row a patient: CSV, Parquet, Excel, SPSS, SAS.")]
TrialOpt = Annotated[str, typer.Option("--trial", "-t", help="Trial id (see `feasibility trials`) or its file.")]
MappingOpt = Annotated[Path | None, typer.Option("--mapping", "-m", help="TOML file: column names, units, codes.")]
DateOpt = Annotated[str | None, typer.Option("--index-date", help="Day of screening, YYYY-MM-DD.")]
ScenarioOpt = Annotated[Path | None, typer.Option("--scenario", "-s", help="TOML file: changed thresholds, readings.")]
SetOpt = Annotated[list[str], typer.Option("--set", help="One changed threshold or reading, name=value. Repeatable.")]
WaiveOpt = Annotated[list[str], typer.Option("--waive", help="A criterion or clause to leave out. Repeatable.")]
MissingOpt = Annotated[str, typer.Option("--missing-columns", help="error, or unknown: unknown for every patient.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]

FORMATS = ("native", "omop", "fhir")
"""The layouts of a hospital's events that can be read."""


def protocol_of(trial: str, scenario: Path | None, changes: list[str], waive: list[str]):
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


def read_table(file: Path, protocol, mapping: Path | None, index_date: str | None):
    import feasibility as fz

    with progress() as show:
        return fz.read_cohort(file, protocol.columns, mapping=mapping, index_date=index_date, progress=show)


def screen_table(file, protocol, mapping, index_date, missing_columns):
    import feasibility as fz

    cohort = read_table(file, protocol, mapping, index_date)
    try:
        with progress() as show:
            return cohort, fz.screen(cohort, protocol, missing_columns=missing_columns, progress=show)
    except ScreeningError as error:
        if 'missing_columns="unknown"' in str(error):
            raise ScreeningError(f"{error} On the command line: --missing-columns unknown.") from None
        raise


def read_events(folder: Path, layout: str, mapping: Path | None, show):
    """The event tables of a hospital, whatever their layout."""
    import feasibility as fz

    if layout not in FORMATS:
        raise CohortError(f"--format is {layout!r}; it can be native, omop or fhir.{did_you_mean(layout, FORMATS)}")
    read = {"native": fz.read_extract, "omop": fz.omop, "fhir": fz.fhir}[layout]
    return read(folder, mapping=mapping, progress=show)


def build_settings(changes: list[str]) -> dict:
    """``--set column.setting=value`` as build settings."""
    settings = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise CohortError(f"--set needs column.setting=value, got {change!r}.")
        settings[name.strip()] = _value(text.strip())
    return settings


def file_hash(file: Path) -> str:
    """SHA-256 of the bytes of a file; of a folder, nothing."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class progress:  # noqa: N801
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


def screening_json(screening, funnel, costs) -> dict:
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


def print_notes(console, cohort, screening) -> None:
    if "synthetic" in cohort.columns and bool(cohort["synthetic"].fillna(False).any()):
        console.print("[bold]Synthetic data: these are not patients.[/]")
    absent = screening.missing_columns
    if absent:
        console.print(
            f"[bold yellow]The file lacks {len(absent)} of the {len(screening.protocol.reads)} columns this trial"
            " reads; they are unknown for every patient:[/]"
        )
        console.print(", ".join(absent), style="yellow", markup=False)
    for event in cohort.attrs.get("feasibility", {}).get("events", ()):
        if event["kind"] == "quarantined":
            console.print(f"{event['column']}: {event['n']:,} values set aside, {event['reason']}", markup=False)


def print_funnel(console, funnel, screening, level: str = "criterion") -> None:
    from feasibility.figures.style import title_case

    table = funnel.reset_index()
    names = [n for n in table.columns if n not in ("kind", "reason") and not n.startswith("n_")]
    counts = {"n_entering": "entering", "n_excluded": "excluded", "n_confirmed": "confirmed so far",
              "n_undetermined": "undetermined", "n_remaining": "possible"}  # fmt: skip
    table["name"] = table["name"].map(title_case)
    shown = table[[*names, *counts]].rename(columns=counts | {"criterion": level})
    patterns = screening.patterns()
    print_table(console, shown, f"{screening.protocol.id}: {patterns.n_patients:,} patients")
    console.print(
        f"[bold]{patterns.n_confirmed:,}[/] confirmed (everything known, nothing against),"
        f" [bold]{patterns.n_possible:,}[/] possible at most (nothing known excludes them)."
    )
    assumed = ", ".join(f"{c.id} {title_case(c.name)}" for c in screening.protocol.not_assessable)
    if assumed:
        console.print(f"Not decided by data, and not counted here: {assumed}.", markup=False)


def short_quality(found):
    """One narrow row a column the file has: known, unknown with its reasons, set aside, filled."""
    table = found.columns.loc[found.present]
    reasons = found.reasons
    why = [
        ", ".join(f"{reason.replace('_', ' ')} {int(n):,}" for reason, n in row.items() if n)
        for _, row in table[reasons].iterrows()
    ]
    short = table[["n_known", "n_unknown", "n_quarantined", "n_filled"]].assign(why_unknown=why)
    return short.reset_index()


def console_of():
    """A terminal as wide as it is; where the output goes to a file or a pipe, wide enough for a funnel."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def print_table(console, frame, title: str) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        number = frame[name].dtype.kind in "iuf"
        table.add_column(str(name).removeprefix("n_").replace("_", " "), justify="right" if number else "left",
                         no_wrap=number or name in ("criterion", "clause"), overflow="fold")  # fmt: skip
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(v) for v in row))
    console.print(table)


def _cell(value) -> str:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return f"{value:,.1f}" if isinstance(value, float) else str(value)
    return f"{int(value):,}"
