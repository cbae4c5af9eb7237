"""Commands on a patient table: screen, report, quality, trials, dictionary, mapping, synthetic."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.common import (
    FORMATS,
    DateOpt,
    FileArg,
    JsonOpt,
    MappingOpt,
    MissingOpt,
    ScenarioOpt,
    SetOpt,
    TrialOpt,
    WaiveOpt,
    console_of,
    file_hash,
    print_funnel,
    print_notes,
    print_table,
    progress,
    protocol_of,
    read_events,
    read_table,
    screen_table,
    screening_json,
    short_quality,
)
from feasibility.errors import CohortError, FeasibilityError, ProtocolError, ReconciliationError, did_you_mean

app = typer.Typer()


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

    protocol = protocol_of(trial, scenario, set_, waive)
    cohort, screening = screen_table(file, protocol, mapping, index_date, missing_columns)
    funnel = fz.attrition(screening, level=level, by=by)
    if patient_status:
        screening.status.to_frame().to_csv(patient_status)
    if as_json:
        numbers = screening_json(screening, funnel, fz.impact(screening, level=level))
        print(json.dumps(numbers, ensure_ascii=False, indent=1))
        return
    console = console_of()
    print_notes(console, cohort, screening)
    print_funnel(console, funnel, screening, level)
    if patient_status:
        console.print(f"[bold red]Patient-level file written: {patient_status}. It must not leave the hospital.")


@app.command()
def worksheet(
    file: FileArg,
    trial: TrialOpt,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("reports/internal.html"),
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    site: Annotated[str, typer.Option(help="Hospital or site named on the report.")] = "",
    sponsor: Annotated[str, typer.Option(help="Sponsor named on the report.")] = "",
    contact: Annotated[str, typer.Option(help="Whom to ask about the report.")] = "",
    report_date: Annotated[str | None, typer.Option("--date", help="Date printed on it; default today.")] = None,
    imputations: Annotated[int, typer.Option(help="How often to impute what is unknown; 0: bounds alone.")] = 39,
    events: Annotated[Path | None, typer.Option(help="The hospital's events, for arrivals and a forecast.")] = None,
    layout: Annotated[str, typer.Option("--format", "-f", help="Of the events: native, omop or fhir.")] = "native",
    start: Annotated[str | None, typer.Option("--from", help="First day of the arrivals, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day of the arrivals, YYYY-MM-DD.")] = None,
    target: Annotated[int, typer.Option(help="Patients to reach, without --plan.", min=1)] = 9,
    plan: Annotated[Path | None, typer.Option(help="TOML file: target, sites, rates.")] = None,
    months: Annotated[int, typer.Option(help="Months the forecast looks ahead.", min=1)] = 60,
) -> None:
    """Write the hospital's own page with every exact count (internal: small counts can identify patients)."""
    from feasibility.report.build import build_report
    from feasibility.report.html import render_html

    protocol = protocol_of(trial, scenario, set_, waive)
    cohort, screening = screen_table(file, protocol, mapping, index_date, missing_columns)
    with progress() as show:
        unknowns = _unknowns(screening, cohort, imputations, show)
        forecast = _forecast(
            events, layout, protocol, start, end, target, plan, months, imputations, missing_columns, show
        )
    page = build_report(
        screening, cohort, title=title, generated_on=report_date or date.today().isoformat(), source=file.name,
        site=site, sponsor=sponsor, contact=contact, source_sha256=file_hash(file), unknowns=unknowns,
        enrollment=forecast,
    )  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(render_html(page), encoding="utf-8")
    console = console_of()
    print_notes(console, cohort, screening)
    patterns = screening.patterns()
    console.print(
        f"[bold]{patterns.n_confirmed:,}[/] confirmed and [bold]{patterns.n_possible:,}[/] possible"
        f" of {patterns.n_patients:,} patients. Report: {output}"
    )


def _unknowns(screening, cohort, imputations: int, show):
    import feasibility as fz
    from feasibility.report.forecasts import missing_section

    made = None
    if imputations and bool((screening.status == "undetermined").any()):
        try:
            made = fz.impute(cohort, screening, m=imputations, progress=show)
        except ReconciliationError:
            raise
        except FeasibilityError as error:
            print(f"No estimate between the bounds: {error}", file=sys.stderr)
    return missing_section(screening, cohort, made, progress=show)


def _forecast(events, layout, protocol, start, end, target, plan, months, imputations, missing_columns, show):
    if events is None:
        return None
    if start is None or end is None:
        raise CohortError("--events needs --from and --to: the first and the last day whose arrivals count.")
    import feasibility as fz
    from feasibility.report.forecasts import enrollment_section

    tables = read_events(events, layout, None, show)
    found = fz.enrollment_of(
        tables, protocol, start, end, target=target, plan_file=plan, months=months, m=imputations,
        missing_columns=missing_columns, progress=show,
    )  # fmt: skip
    return enrollment_section(found)


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
    cohort = read_table(file, protocol, mapping, index_date)
    found = fz.quality_report(cohort, protocol.columns)
    if as_json:
        print(found.to_json())
    if output:
        from feasibility.report.quality_page import render_quality

        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(render_quality(found, source=file.name), encoding="utf-8")
    if not as_json:
        console = console_of()
        print_table(console, short_quality(found), f"{file.name}: {found.n_patients:,} patients")
        for event in found.events.itertuples():
            where = event.column or event.file_column
            console.print(f"{where}: {event.kind} {event.n:,} ({event.reason})", markup=False)
        if output:
            console.print(f"Page: {output}")


@app.command()
def trials(as_json: JsonOpt = False) -> None:
    """List the installed trials."""
    import feasibility as fz

    found = [fz.load_trial(name) for name in fz.installed_trials()]
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
    """The data dictionary of a trial's patient table: every column, unit, range and what a missing record means.

    The columns the trial reads come first.
    """
    import feasibility as fz

    protocol = fz.load_trial(trial)
    table = protocol.columns.dictionary()
    reads = protocol.reads
    table.insert(0, "criteria", [", ".join(reads.get(c, ())) for c in table.index])
    table = table.loc[[*(c for c in reads if c in table.index), *(c for c in table.index if c not in reads)]]
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
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV or Parquet file, or a folder with --events.")],
    trial: TrialOpt = "NCT06642025",
    patients: Annotated[int, typer.Option("--patients", "-n", min=1, help="How many patients.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Same seed, same patients.")] = 1,
    complete: Annotated[bool, typer.Option("--complete", help="Without holes: the truth behind the registry.")] = False,
    index_date: Annotated[str, typer.Option("--index-date", help="Day of screening.")] = "2025-06-30",
    events: Annotated[str, typer.Option("--events", help="Dated events in a folder: native, omop or fhir.")] = "",
) -> None:
    """Write a synthetic registry for a trial that has one: a row per patient, or dated events. Not patients."""
    import feasibility as fz
    from feasibility.protocol.loading import trial_module

    module = trial_module(trial)
    make, write = getattr(module, "synthetic", None), getattr(module, "synthetic_events", None)
    if make is None or (events and write is None):
        lacking = "synthetic(n, ...)" if make is None else "synthetic_events(registry, folder, layout)"
        raise ProtocolError(f"{trial} has no such synthetic registry: its file defines no `{lacking}`.")
    if events not in ("", *FORMATS):
        raise CohortError(f"--events is {events!r}; it can be native, omop or fhir.{did_you_mean(events, FORMATS)}")
    registry = make(patients, seed=seed, index_date=index_date)
    if events:
        write(registry, output, events)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        fz.write_cohort(registry.truth if complete else registry.observed, output)
    print(f"{patients:,} synthetic patients written to {output}.")
