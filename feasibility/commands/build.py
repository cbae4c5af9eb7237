"""The command that turns a hospital's extract into a cohort table: build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.common import (
    TrialOpt,
    build_settings,
    console_of,
    print_table,
    progress,
    read_events,
    short_quality,
)
from feasibility.errors import CohortError

app = typer.Typer()
ExtractArg = Annotated[Path, typer.Argument(help="Folder (or DuckDB or bundle file) with the hospital's events.")]
FormatOpt = Annotated[str, typer.Option("--format", "-f", help="native (CSV folder), omop or fhir.")]
EventsMapOpt = Annotated[Path | None, typer.Option("--mapping", "-m", help="TOML file: file and column names.")]
BuildSetOpt = Annotated[list[str], typer.Option("--set", help="A build setting, column.setting=value. Repeatable.")]
ListsOpt = Annotated[list[str], typer.Option("--codelists", help="Folder with further code lists. Repeatable.")]

IndexOpt = Annotated[str | None, typer.Option("--index-date", help="Day of screening of everyone, YYYY-MM-DD.")]
EventOpt = Annotated[
    str | None, typer.Option("--after-event", help="Instead: the event table after whose events a patient is screened.")
]
WhereOpt = Annotated[list[str], typer.Option("--where", help="Only events with this column=value. Repeatable.")]
WhichOpt = Annotated[str | None, typer.Option("--which", help="Of those events: first, last or each (the default).")]
DaysOpt = Annotated[int | None, typer.Option("--days", help="How many days after the event; 0 unless given.")]


def index_rule(index_date: str | None, event: str | None, where: list[str], which: str | None, days: int | None):
    """The index dates that the options mean: exactly one of --index-date and --after-event."""
    import feasibility as fz

    if (index_date is None) == (event is None):
        got = "neither" if event is None else "both"
        raise CohortError(
            f"Give one of --index-date YYYY-MM-DD (one day for everyone) and --after-event TABLE (a day for each "
            f"patient); got {got}."
        )
    if event is None:
        used = [name for name, given in (("--where", where), ("--which", which), ("--days", days)) if given]
        if used or days is not None:
            raise CohortError(f"{', '.join(used) or '--days'} belongs to --after-event, not to --index-date.")
        return fz.as_of(index_date)
    wanted: dict[str, list[str]] = {}
    for one in where:
        name, equals, value = one.partition("=")
        if not equals:
            raise CohortError(f"--where needs column=value, got {one!r}.")
        wanted.setdefault(name.strip(), []).append(value.strip())
    return fz.after_event(event, wanted, days=days or 0, which=which or "each")


def _rows(cohort) -> str:
    n_patients = cohort.index.get_level_values("patient_id").nunique()
    text = f"{n_patients:,} patients"
    return text if n_patients == len(cohort) else f"{text}, {len(cohort):,} index dates"


@app.command()
def build(
    extract: ExtractArg,
    trial: TrialOpt,
    output: Annotated[Path, typer.Option("--output", "-o", help="Cohort to write: .parquet or .csv.")],
    index_date: IndexOpt = None,
    event: EventOpt = None,
    where: WhereOpt = [],  # noqa: B006
    which: WhichOpt = None,
    days: DaysOpt = None,
    source: FormatOpt = "native",
    mapping: EventsMapOpt = None,
    changes: BuildSetOpt = [],  # noqa: B006
    codelists: ListsOpt = [],  # noqa: B006
    quality: Annotated[Path | None, typer.Option("--quality", help="Also write the data-quality page, .html.")] = None,
) -> None:
    """Build the cohort table of a trial from a hospital's events, reading nothing after the index date.

    Say either one day for everyone (--index-date), or an event after which each patient is screened (--after-event).
    """
    import feasibility as fz
    from feasibility.report.quality_page import render_quality

    index = index_rule(index_date, event, where, which, days)
    protocol = fz.load_trial(trial)
    settings = build_settings(changes)
    with progress() as show:
        events = read_events(extract, source, mapping, show)
        cohort = fz.build_cohort(events, index, protocol.columns, settings, progress=show, codelists=codelists)
    output.parent.mkdir(parents=True, exist_ok=True)
    fz.write_cohort(cohort, output, protocol.columns)
    # Units by site and the look for sites off by a factor read all results once more: only for the page.
    found = fz.quality_report(cohort, protocol.columns, events if quality else None, codelists=codelists)
    console = console_of()
    when = f"on {index_date}" if index_date else f"by {index}"
    if events.facts.get("synthetic"):
        console.print("[bold]Synthetic data: these are not patients.[/]")
    print_table(console, short_quality(found), f"{extract.name}: {_rows(cohort)} {when}")
    for event in events.quality:
        if event["kind"] not in ("converted", "inferred_unit"):
            console.print(f"{event['column']}: {event['n']:,} {event['reason']}", markup=False)
    lacking = [n for n in found.columns.index if n not in found.present and n != "synthetic"]
    if lacking:
        console.print(f"No table of the extract says anything about {len(lacking)} columns; unknown for everyone:")
        console.print(", ".join(lacking), markup=False)
    if quality is not None:
        quality.parent.mkdir(parents=True, exist_ok=True)
        quality.write_text(render_quality(found, source=extract.name), encoding="utf-8")
        console.print(f"Data-quality page: {quality}")
    console.print(f"Cohort: {output}. PATIENT-LEVEL: it must not leave the hospital.", style="bold red")
