"""The commands on what is unknown and what follows from it: missing, enroll."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.build import BuildSetOpt, EventsMapOpt, FormatOpt, ListsOpt
from feasibility.commands.common import (
    DateOpt,
    FileArg,
    JsonOpt,
    MappingOpt,
    MissingOpt,
    ScenarioOpt,
    SetOpt,
    TrialOpt,
    WaiveOpt,
    build_settings,
    console_of,
    print_notes,
    print_table,
    progress,
    protocol_of,
    read_events,
    screen_table,
)
from feasibility.errors import FeasibilityError

app = typer.Typer()
SeedOpt = Annotated[int, typer.Option(help="Same seed, same numbers.")]


@app.command()
def missing(
    file: FileArg,
    trial: TrialOpt,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    imputations: Annotated[int, typer.Option(help="How often to impute; 0 to give the bounds alone.")] = 39,
    method: Annotated[str, typer.Option(help="auto, pmm (fast) or statsmodels (the reference, slow).")] = "auto",
    most: Annotated[int, typer.Option(help="Largest set of columns to look for.", min=1, max=3)] = 3,
    seed: SeedOpt = 1,
    as_json: JsonOpt = False,
) -> None:
    """Say what the table cannot say, which records would settle most, and estimate what lies between the bounds."""
    import feasibility as fz
    from feasibility.report.forecasts import estimate_line

    protocol = protocol_of(trial, scenario, set_, waive)
    cohort, screening = screen_table(file, protocol, mapping, index_date, missing_columns)
    ledger = fz.missing_ledger(screening, cohort)
    undetermined = bool((screening.status == "undetermined").any())
    made = None
    with progress() as show:
        if imputations and undetermined:
            made = fz.impute(cohort, screening, m=imputations, method=method, seed=seed, progress=show)
        worth = fz.value_of_information(screening, cohort, made, most, progress=show) if undetermined else None
    source = made if made is not None else screening if not undetermined else None
    estimates = fz.estimates(fz.in_extract(source), fz.in_source(source, seed=seed)) if source is not None else None
    patterns = screening.patterns()
    if as_json:
        tables = {"criteria": ledger.criteria, "columns": ledger.columns, "information": worth, "estimates": estimates}
        numbers = {k: json.loads(t.reset_index().to_json(orient="records")) for k, t in tables.items() if t is not None}
        bounds = {"n_confirmed": patterns.n_confirmed, "n_possible": patterns.n_possible}
        print(json.dumps(bounds | numbers, ensure_ascii=False, indent=1))
        return
    console = console_of()
    print_notes(console, cohort, screening)
    print_table(console, _open_criteria(ledger.criteria), "Criteria with something unknown (patients)")
    if worth is not None:
        worth = worth.assign(columns=[_set(row) for row in worth.itertuples()])
        print_table(console, worth.reset_index(drop=True), "What it would be worth to fill in (patients settled)")
    console.print(
        f"Whatever is assumed: between {patterns.n_confirmed:,} (confirmed) and {patterns.n_possible:,} (possible)"
        f" of {patterns.n_patients:,} patients."
    )
    if source is not None:
        console.print("Estimates: different questions, never one interval for two of them.")
        for one in (fz.in_extract(source), fz.in_source(source, seed=seed)):
            line = estimate_line(one)
            console.print(
                f"[bold]{one.name}[/]: {line.cells[0]}, 80 % {line.cells[1]}, 95 % {line.cells[2]}. {one.note}"
            )


def _open_criteria(criteria):
    """One row a criterion: how many are unknown, how many of them fail nothing, and why."""
    table = criteria.loc[criteria["n_unknown"] > 0]
    causes = [c for c in table.columns if not c.startswith("n_") and c not in ("kind", "name")]
    why = [", ".join(f"{c} {int(n):,}" for c, n in row.items() if n) for _, row in table[causes].iterrows()]
    return table[["name", "n_unknown", "n_blocking"]].assign(why=why).reset_index()


def _set(row) -> str:
    return f"all {row.size} columns" if row.method == "all" else " + ".join(row.columns)


@app.command()
def enroll(
    extract: Annotated[Path, typer.Argument(help="Folder (or DuckDB or bundle file) with the hospital's events.")],
    trial: TrialOpt,
    start: Annotated[str, typer.Option("--from", help="First day whose arrivals count, YYYY-MM-DD.")],
    end: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")],
    target: Annotated[int, typer.Option(help="Patients to reach.", min=1)] = 9,
    goal: Annotated[str, typer.Option(help="consented, enrolled, leukapheresed, infused or evaluable.")] = "infused",
    plan_file: Annotated[Path | None, typer.Option("--plan", help="TOML file: sites, rates, slots.")] = None,
    months: Annotated[int, typer.Option(help="How far the forecast looks.", min=1)] = 60,
    records_from: Annotated[str | None, typer.Option(help="Day from which the records are complete.")] = None,
    source: FormatOpt = "native",
    mapping: EventsMapOpt = None,
    scenario: ScenarioOpt = None,
    waive: WaiveOpt = [],  # noqa: B006
    changes: BuildSetOpt = [],  # noqa: B006
    codelists: ListsOpt = [],  # noqa: B006
    imputations: Annotated[int, typer.Option(help="How often to impute; 0: arrivals confirmed and possible.")] = 39,
    seed: SeedOpt = 1,
    figure: Annotated[Path | None, typer.Option(help="Write the fan chart here (.png, .svg, .pdf).")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Count newly eligible patients per month and forecast enrolment, with every assumption listed."""
    from feasibility.enrollment.route import enrollment_of

    protocol = protocol_of(trial, scenario, [], waive)
    with progress() as show:
        events = read_events(extract, source, mapping, show)
        found = enrollment_of(
            events, protocol, start, end, target=target, goal=goal, plan_file=plan_file, months=months,
            settings=build_settings(changes), codelists=codelists, m=imputations, seed=seed,
            records_from=records_from, progress=show,
        )  # fmt: skip
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
        return
    console = console_of()
    print_table(console, found.arrivals.table.reset_index().astype({"period": str}), "Newly eligible patients")
    for line in found.notes:
        console.print(line, markup=False)
    print_table(console, found.assumptions.reset_index(), "Everything the forecast assumes")
    for name, made in found.forecasts.items():
        console.print(f"[bold]{name}[/]: {made.summary()}")
        for note in made.notes:
            console.print(note, markup=False)
    if figure is not None:
        _write_fan(figure, found)
        console.print(f"Figure: {figure}")


def _write_fan(path: Path, found) -> None:
    import feasibility as fz

    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise FeasibilityError(f"--figure {path.name}: write a picture as .png, .svg or .pdf.")
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = fz.plot_fan(next(iter(found.forecasts.values())).fan())
    axes.figure.savefig(path, dpi=160, bbox_inches="tight")
