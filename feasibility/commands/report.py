"""The command that writes what may leave the building: ``feasibility report``."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.common import (
    DateOpt,
    FileArg,
    MappingOpt,
    MissingOpt,
    ScenarioOpt,
    SetOpt,
    TrialOpt,
    WaiveOpt,
    console_of,
    progress,
    protocol_of,
    read_events,
    read_table,
)
from feasibility.errors import CohortError, FeasibilityError, ProtocolError

app = typer.Typer()


@app.command()
def report(
    file: FileArg,
    trial: TrialOpt,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Path without ending: .html, .pdf, .docx are added.")
    ] = Path("reports/report"),
    language: Annotated[str, typer.Option(help="en, zh, or both: en,zh.")] = "en",
    formats: Annotated[str, typer.Option(help="html, pdf, docx; several with commas.")] = "html,pdf,docx",
    policy: Annotated[str, typer.Option(help="Disclosure policy: nhs, cms, omop or dp.")] = "nhs",
    base: Annotated[int | None, typer.Option(help="Your own base instead of a named policy's.", min=1)] = None,
    threshold: Annotated[int | None, typer.Option(help="Smallest count shown, with --base.", min=1)] = None,
    epsilon: Annotated[float | None, typer.Option(help="Of policy dp, for the whole release.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Time the audit may take, per attempt.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="JSON file of earlier releases of these patients.")] = None,
    registry: Annotated[str, typer.Option(help="Name of these patients in the ledger.")] = "this registry",
    compare: Annotated[list[Path], typer.Option("--compare", help="Scenario file to show. Repeatable.")] = [],  # noqa: B006
    grid: Annotated[list[str], typer.Option("--grid", help="A curve, name=10,20,25. Repeatable.")] = [],  # noqa: B006
    by: Annotated[list[str], typer.Option("--by", help="A stratum to show, such as site_id. Repeatable.")] = [],  # noqa: B006
    branding: Annotated[Path | None, typer.Option(help="TOML file: organisation, logo, colours, ...")] = None,
    source: Annotated[str, typer.Option(help="Where the patients come from, in words.")] = "",
    plan: Annotated[Path | None, typer.Option(help="TOML file of the enrolment plan: target, sites, rates.")] = None,
    months: Annotated[int, typer.Option(help="Months the forecast looks ahead.", min=1)] = 60,
    events: Annotated[Path | None, typer.Option(help="The hospital's events, for arrivals by quarter.")] = None,
    layout: Annotated[str, typer.Option("--format", "-f", help="Of the events: native, omop or fhir.")] = "native",
    start: Annotated[str | None, typer.Option("--from", help="First day of the arrivals, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day of the arrivals, YYYY-MM-DD.")] = None,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    report_date: Annotated[str | None, typer.Option("--date", help="Date printed on it; default today.")] = None,
) -> None:
    """Write the report that may leave the building: every number protected, the whole release attacked first."""
    import feasibility as fz
    from feasibility.sponsor.report import sponsor_report

    protocol = protocol_of(trial, scenario, set_, waive)
    dated = report_date or date.today().isoformat()
    cohort = file if file.suffix == ".arrow" or file.is_dir() else read_table(file, protocol, mapping, index_date)
    with progress() as show:
        arrivals = _arrivals(events, layout, protocol, start, end, missing_columns, show)
        made = sponsor_report(
            cohort, protocol, output,
            languages=_several(language), formats=_several(formats),
            policy=_policy(policy, base, threshold, epsilon, seconds),
            scenarios=[fz.Scenario.from_toml(path) for path in compare] or None, grids=_grids(grid) or None, strata=by,
            ledger=ledger, registry=registry, index_date=index_date or "", dated=dated, branding=branding,
            source_words=source, plan=plan, months=months, arrivals=arrivals, missing_columns=missing_columns,
            progress=show,
        )  # fmt: skip
    console = console_of()
    core = made.release.core
    if made.synthetic:
        console.print("[bold]Synthetic data: these are not patients.[/]")
    confirmed = "no bound for" if core.n_confirmed is None else core.policy.shown(core.n_confirmed)
    console.print(
        f"[bold]{confirmed}[/] confirmed and [bold]{core.policy.shown(core.n_possible)}[/] possible of"
        f" {core.policy.shown(core.n_patients)} patients, protected by policy {core.policy.name}."
    )
    if made.release.audit is not None:
        console.print(f"Audit: {made.release.audit.summary()}", markup=False)
    for name, why in made.release.dropped.items():
        console.print(f"Left out: {name} ({why}).", markup=False)
    for note in made.notes:
        print(note, file=sys.stderr)
    for path in made.files:
        console.print(str(path), markup=False)


def _several(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _policy(name: str, base, threshold, epsilon, seconds):
    from dataclasses import replace

    from feasibility.disclosure.policy import Policy, policy_of

    if threshold is not None and base is None:
        raise FeasibilityError("--threshold needs --base: the policy is then your own.")
    policy = policy_of(name) if base is None else Policy("own", base, threshold or base)
    if epsilon is not None:
        if policy.epsilon is None:
            raise FeasibilityError(f"--epsilon belongs to --policy dp, not to {policy.name}.")
        policy = replace(policy, epsilon=epsilon)
    return policy if seconds is None else replace(policy, seconds=seconds)


def _grids(given: list[str]) -> dict[str, tuple[float, ...]]:
    grids = {}
    for one in given:
        name, equals, values = one.partition("=")
        try:
            grids[name.strip()] = tuple(float(v) for v in values.split(","))
        except ValueError:
            equals = ""
        if not equals:
            raise ProtocolError(f"--grid needs name=value,value, got {one!r}.")
    return grids


def _arrivals(events, layout, protocol, start, end, missing_columns, show):
    if events is None:
        return None
    if start is None or end is None:
        raise CohortError("--events needs --from and --to: the first and the last day whose arrivals count.")
    import feasibility as fz

    tables = read_events(events, layout, None, show)
    dates = fz.at_changes(start, end)
    cohort = fz.build_cohort(tables, dates, protocol.columns, progress=show)
    dated = fz.screen_dates(cohort, protocol, dates, missing_columns=missing_columns, progress=show)
    return fz.arrivals(dated, by="quarter", exits=fz.exits(tables), observation=fz.observation(tables))
