"""Commands on giving way: relax, near-misses."""

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
    ScenarioOpt,
    SetOpt,
    TrialOpt,
    WaiveOpt,
    console_of,
    print_notes,
    print_table,
    protocol_of,
    screen_table,
)
from feasibility.errors import ProtocolError

app = typer.Typer()

LoosenOpt = Annotated[
    list[str], typer.Option("--loosen", help="Limits you can live with, name=value or name=20,10. Repeatable.")
]
KeepOpt = Annotated[list[str], typer.Option("--keep", help="A criterion or clause never to waive. Repeatable.")]


@app.command()
def relax(
    file: FileArg,
    trial: TrialOpt,
    drop: Annotated[int, typer.Option("--drop", "-k", help="How many criteria to waive together, or changes.")] = 2,
    top: Annotated[int, typer.Option(help="How many sets to list.")] = 10,
    objective: Annotated[str, typer.Option(help="possible or confirmed: which count to raise.")] = "possible",
    level: Annotated[str, typer.Option(help="criterion or clause: what is waived.")] = "criterion",
    keep: KeepOpt = [],  # noqa: B006
    loosen: LoosenOpt = [],  # noqa: B006
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    as_json: JsonOpt = False,
) -> None:
    """Which criteria to waive, or thresholds to loosen, for the most patients."""
    from feasibility.analysis.pareto import pareto
    from feasibility.analysis.relaxation import relaxations

    limits = dict(_limits(text) for text in loosen)
    protocol = protocol_of(trial, scenario, set_, waive)
    cohort, screening = screen_table(file, protocol, mapping, index_date, missing_columns)
    if limits:
        table = pareto(screening, cohort, loosen=limits, changes=drop, keep=keep)
    else:
        table = relaxations(screening, drop, top, objective, level=level, keep=keep)
    patterns = screening.patterns()
    if as_json:
        found = json.loads(table.reset_index().to_json(orient="records"))
        now = {
            "n_patients": patterns.n_patients,
            "n_confirmed": patterns.n_confirmed,
            "n_possible": patterns.n_possible,
        }
        print(json.dumps({"trial": protocol.id, **now, "sets": found}, ensure_ascii=False, indent=1))
        return
    console = console_of()
    print_notes(console, cohort, screening)
    print_table(
        console, _fronts(table) if limits else _sets(table, objective), f"{protocol.id}: patients gained by giving way"
    )
    console.print(
        f"Today {patterns.n_confirmed:,} confirmed and {patterns.n_possible:,} possible of {patterns.n_patients:,}."
    )
    if not limits and len(table) and table.remark.iloc[0]:
        console.print(f"The best set ranks {table.remark.iloc[0]}.", markup=False, style="yellow")
    console.print(
        "Gains are exact for this table; the 95 % intervals (pointwise) say what another one like it could show,"
        " corrected is the gain without the luck of the best of many.", markup=False)  # fmt: skip


@app.command("near-misses")
def near_misses(
    file: FileArg,
    trial: TrialOpt,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    as_json: JsonOpt = False,
    patients: Annotated[
        Path | None, typer.Option(help="Also write who they are to this CSV. PATIENT-LEVEL: internal only.")
    ] = None,
    calls: Annotated[
        Path | None, typer.Option(help="Also write who is one record away to this CSV. PATIENT-LEVEL: internal only.")
    ] = None,
) -> None:
    """Patients whom one criterion keeps out and by how much; patients whom one more record would settle."""
    from feasibility.analysis import call_list as called
    from feasibility.analysis import near_miss

    protocol = protocol_of(trial, scenario, set_, waive)
    cohort, screening = screen_table(file, protocol, mapping, index_date, missing_columns)
    missed = near_miss.near_misses(cohort, screening)
    settle = called.call_list(cohort, screening)
    if patients:
        near_miss.near_misses(cohort, screening, patient_level=True).to_csv(patients)
    if calls:
        called.call_list(cohort, screening, patient_level=True).to_csv(calls)
    if as_json:
        both = {"near_misses": missed, "call_list": settle}
        print(json.dumps({"trial": protocol.id, **{
            k: json.loads(v.reset_index().to_json(orient="records")) for k, v in both.items()}},
            ensure_ascii=False, indent=1))  # fmt: skip
    console = console_of() if not as_json else _stderr()
    if not as_json:
        print_notes(console, cohort, screening)
        narrow = missed.drop(columns="name").reset_index()
        narrow["missed"] = [_band(row) for row in narrow.itertuples()]
        print_table(console, narrow[["criterion", "threshold", "missed", "gain_possible", "gain_confirmed"]],
                    f"{protocol.id}: patients who fail one criterion only")  # fmt: skip
        counts = ["n_patients", "n_surely", "n_perhaps", "n_with_others"]
        title = f"{settle.attrs['n_patients']:,} patients fail nothing and have one unknown: what would settle them"
        print_table(console, settle.reset_index()[["column", "criteria", *counts]], title)
    for path in (patients, calls):
        if path:
            console.print(f"[bold red]Patient-level file written: {path}. It must not leave the hospital.")


def _stderr():
    from rich.console import Console

    return Console(stderr=True)


def _limits(text: str) -> tuple[str, list[float]]:
    name, equals, values = text.partition("=")
    try:
        if not equals:
            raise ValueError
        numbers = [float(v) for v in values.split(",")]
    except ValueError:
        raise ProtocolError(f"--loosen needs name=value or name=20,10 with numbers, got {text!r}.") from None
    return name.strip(), [int(v) if v.is_integer() else v for v in numbers]


def _band(row) -> str:
    if row.missed_over != row.missed_over:
        return row.band
    # The last band is open.
    if row.missed_up_to == float("inf"):
        return f"over {row.missed_over:g} {row.unit}".strip()
    return f"{row.missed_over:g} to {row.missed_up_to:g} {row.unit}".strip()


def _interval(table, name: str) -> list[str]:
    return [f"{lo:,.0f} to {hi:,.0f}" for lo, hi in zip(table[f"{name}_low"], table[f"{name}_high"], strict=True)]


def _sets(table, objective: str):
    out = table.reset_index()[["rank", "gain_confirmed", "gain_possible", "corrected"]]
    out.insert(1, "waive", [" + ".join(w) for w in table.waived])
    out["interval"] = _interval(table, objective)
    out["first"] = [f"{s:.0%}" for s in table.first_share]
    return out


def _fronts(table):
    out = table[["gain_confirmed", "gain_possible", "front"]].copy()
    changes = [", ".join([*(f"without {w}" for w in row.waived), *(f"{k}={v:g}" for k, v in row.loosened.items())])
               for row in table.itertuples()]  # fmt: skip
    out.insert(0, "change", changes)
    out["confirmed"], out["possible"] = _interval(table, "confirmed"), _interval(table, "possible")
    return out
