"""The command that turns a hospital's extract into a cohort table: build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.common import TrialOpt, console_of, print_table, progress, short_quality

app = typer.Typer()
FORMATS = ("native", "omop", "fhir")


@app.command()
def build(
    extract: Annotated[Path, typer.Argument(help="Folder (or DuckDB or bundle file) with the hospital's events.")],
    trial: TrialOpt,
    index_date: Annotated[str, typer.Option("--index-date", help="Day of screening, YYYY-MM-DD.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Cohort to write: .parquet or .csv.")],
    source: Annotated[str, typer.Option("--format", "-f", help="native (CSV folder), omop or fhir.")] = "native",
    mapping: Annotated[Path | None, typer.Option("--mapping", "-m", help="TOML file: file and column names.")] = None,
) -> None:
    """Build the cohort table of a trial from a hospital's events, reading nothing after the index date."""
    import feasibility as fz
    from feasibility.errors import CohortError, did_you_mean

    if source not in FORMATS:
        raise CohortError(f"--format is {source!r}; it can be native, omop or fhir.{did_you_mean(source, FORMATS)}")
    protocol = fz.load_trial(trial)
    read = {"native": fz.read_extract, "omop": fz.omop, "fhir": fz.fhir}[source]
    with progress() as show:
        events = read(extract, mapping=mapping, progress=show)
        cohort = fz.build_cohort(events, fz.as_of(index_date), protocol.columns, progress=show)
    output.parent.mkdir(parents=True, exist_ok=True)
    fz.write_cohort(cohort, output, protocol.columns)
    found = fz.quality_report(cohort, protocol.columns)
    console = console_of()
    print_table(console, short_quality(found), f"{extract.name}: {found.n_patients:,} patients on {index_date}")
    console.print(f"Cohort: {output}. PATIENT-LEVEL: it must not leave the hospital.", style="bold red")
