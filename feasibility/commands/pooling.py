"""Commands on adding up inside one hospital: counts, pool; and OHDSI's inclusion-rule masks: rule-masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from feasibility.commands.common import (
    DateOpt,
    JsonOpt,
    MappingOpt,
    MissingOpt,
    ScenarioOpt,
    SetOpt,
    TrialOpt,
    WaiveOpt,
    console_of,
    print_table,
    progress,
    protocol_of,
)
from feasibility.errors import FeasibilityError, ScreeningError

app = typer.Typer()

PatientsArg = Annotated[
    Path, typer.Argument(help="Patient table, one row a patient: CSV, Excel, Parquet, .arrow, or a folder of Parquet.")
]
InternalOpt = Annotated[
    bool, typer.Option("--internal", help="I know that the file is as confidential as the patients.")
]
ByOpt = Annotated[list[str], typer.Option("--by", help="A stratum to count apart, such as site_id. Repeatable.")]

WHY_INTERNAL = (
    "A pattern file is as confidential as the patients: with two dozen criteria most patients of a hospital are alone"
    " in their pattern ({share}), so whoever knows a few facts about a patient finds the rest. It may be added up"
    " inside one hospital and must not leave it. Say that you know with --internal. Between hospitals use"
    " `feasibility vector` and `feasibility combine`, or `feasibility share` where a hospital has too few patients to"
    " show anything."
)
DUPLICATES = "A patient who is in two of the parts counts twice: nothing in the counts can tell."


@app.command()
def counts(
    file: PatientsArg,
    trial: TrialOpt,
    output: Annotated[Path, typer.Option("--output", "-o", help="Pattern file to write, .parquet.")],
    internal: InternalOpt = False,
    by: ByOpt = [],  # noqa: B006
    part: Annotated[str, typer.Option(help="What this part is called; by default the name of its file.")] = "",
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    as_json: JsonOpt = False,
) -> None:
    """Count the patterns of one part of a hospital's patients into a file that can be added up. INTERNAL."""
    from feasibility.pooling.parts import count_part

    protocol = protocol_of(trial, scenario, set_, waive)
    try:
        with progress() as show:
            table = count_part(file, protocol, by=by, part=part or file.stem, mapping=mapping, index_date=index_date,
                               missing_columns=missing_columns, progress=show)  # fmt: skip
    except ScreeningError as error:
        if 'missing_columns="unknown"' in str(error):
            raise ScreeningError(f"{error} On the command line: --missing-columns unknown.") from None
        raise
    if not internal:
        raise FeasibilityError(WHY_INTERNAL.format(share=f"here {table.share_alone():.1%}"))
    output.parent.mkdir(parents=True, exist_ok=True)
    table.save(output)
    if as_json:
        print(json.dumps(_facts(table) | {"output": str(output)}, ensure_ascii=False, indent=1))
        return
    console = console_of()
    _print_notes(console, table)
    console.print(f"{protocol.id}: {table.n_patients:,} patients in {len(table):,} patterns of {len(table.labels)}"
                  " criteria.", markup=False)  # fmt: skip
    _print_exposure(console, table)
    console.print(f"[bold red]INTERNAL: {output}. It must not leave the hospital.")


@app.command("pool")
def pool_files(
    files: Annotated[list[Path], typer.Argument(help="Pattern files of parts of one hospital's patients.")],
    internal: InternalOpt = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Pattern file to write, .parquet.")] = None,
    answers: Annotated[str, typer.Option(help="Label of the result where two-valued tables are added.")] = "",
    by: Annotated[str, typer.Option(help="A stratum to split the funnel by.")] = "",
    as_json: JsonOpt = False,
) -> None:
    """Add up pattern files of one hospital, as if all patients had been screened together. INTERNAL."""
    import feasibility as fz
    from feasibility.patterns import PatternTable, pool

    if not internal:
        raise FeasibilityError(WHY_INTERNAL.format(share="96 % of 200 patients with 24 criteria, 29 % of a million"))
    tables = [PatternTable.load(file) for file in files]
    pooled = pool(tables, names=names_of(files), answers=answers)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        pooled.save(output)
    funnel = fz.attrition(pooled, by=by)
    if as_json:
        rows = json.loads(funnel.reset_index().to_json(orient="records"))
        print(json.dumps(_facts(pooled) | {"parts": len(files), "attrition": rows}, ensure_ascii=False, indent=1))
        return
    console = console_of()
    _print_notes(console, pooled)
    trial = pooled.header.get("protocol")
    print_counts(console, funnel, f"{trial}: {pooled.n_patients:,} patients in {len(files)} parts")
    if pooled.header.get("answers") == "unknown_as_fail":
        console.print("Unknown counts as failed (unknown_as_fail): these are lower bounds of who could join.",
                      style="yellow", markup=False)  # fmt: skip
    console.print(
        f"[bold]{pooled.n_confirmed:,}[/] confirmed (everything known, nothing against),"
        f" [bold]{pooled.n_possible:,}[/] possible at most (nothing known excludes them)."
    )
    _print_exposure(console, pooled)
    console.print(DUPLICATES, markup=False)
    if output is not None:
        console.print(f"[bold red]INTERNAL: {output}. It must not leave the hospital.")


@app.command("rule-masks")
def rule_masks(
    result: Annotated[Path, typer.Argument(help="OHDSI's cohort_inclusion_result as CSV.")],
    rules: Annotated[Path, typer.Argument(help="OHDSI's cohort_inclusion as CSV: the rules' names.")],
    cohort: Annotated[
        int | None, typer.Option("--cohort", help="cohort_definition_id, where there are several.")
    ] = None,
    database: Annotated[str | None, typer.Option("--database", help="database_id, where there are several.")] = None,
    best_event: Annotated[
        bool, typer.Option("--best-event", help="A table without mode_id counts people at their best event.")
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """The funnel of OHDSI inclusion-rule masks (ATLAS, CohortGenerator); censored counts stay ranges."""
    from feasibility.pooling.ohdsi import read_rule_masks

    masks = read_rule_masks(result, rules, cohort=cohort, database=database, best_event=best_event)
    funnel = masks.funnel()
    low, high = masks.n_people
    if as_json:
        rows = json.loads(funnel.reset_index().to_json(orient="records"))
        facts = {"answers": masks.answers, "n_people_low": low, "n_people_high": high, "n_censored": masks.n_censored}
        print(json.dumps(facts | {"funnel": rows}, ensure_ascii=False, indent=1))
        return
    shown = funnel[["name"]].reset_index()
    for what in ("entering", "excluded", "remaining"):
        pairs = zip(funnel[f"n_{what}_low"], funnel[f"n_{what}_high"], strict=True)
        shown[what] = [f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b in pairs]
    console = console_of()
    people = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    print_table(console, shown, f"{people} people at their best event, unknown as failed")
    console.print(
        "A rule without a record counts as not met (unknown_as_fail): what remains is a lower bound of who could join."
        + (f" {masks.n_censored} small counts are censored; -5 stands for 1 to 4." if masks.n_censored else ""),
        markup=False)  # fmt: skip


def _facts(table) -> dict:
    return {
        "trial": table.header.get("protocol"),
        "fingerprint": table.header.get("fingerprint"),
        "answers": table.header.get("answers"),
        "n_patients": table.n_patients,
        "n_patterns": len(table),
        "share_alone": round(table.share_alone(), 4),
        "share_in_fewer_than_11": round(table.share_alone(11), 4),
        "n_confirmed": table.n_confirmed,
        "n_possible": table.n_possible,
    }


def _print_notes(console, table) -> None:
    if table.header.get("synthetic"):
        console.print("[bold]Synthetic data: these are not patients.[/]")
    absent = table.header.get("absent") or {}
    if absent:
        console.print(f"Unknown for every patient of a part, for want of a column: {', '.join(absent)}.",
                      style="yellow", markup=False)  # fmt: skip


def _print_exposure(console, table) -> None:
    alone, few = table.share_alone(), table.share_alone(11)
    console.print(
        f"{alone:.1%} of the patients are alone in their pattern; {few:.1%} have fewer than ten others in theirs.",
        style="red", markup=False)  # fmt: skip


def print_counts(console, funnel, title: str) -> None:
    from feasibility.figures.style import title_case

    table = funnel.reset_index()
    table["name"] = table["name"].map(title_case)
    table = table.drop(columns=["kind", "reason"], errors="ignore")
    words = {"n_entering": "entering", "n_excluded": "excluded", "n_confirmed": "confirmed so far",
             "n_undetermined": "undetermined", "n_remaining": "possible"}  # fmt: skip
    shown = [*(c for c in table if c not in words), *(c for c in words if c in table)]
    print_table(console, table[shown].rename(columns=words), title)


def names_of(files: list[Path]) -> list[str]:
    """File names, with their folder where two are called the same."""
    plain = [file.name for file in files]
    return [str(file) if plain.count(file.name) > 1 else file.name for file in files]
