"""Commands between hospitals: vector, combine, and by secret shares share, collect, join."""

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
    progress,
    protocol_of,
)
from feasibility.commands.pooling import names_of, print_counts
from feasibility.errors import FeasibilityError

app = typer.Typer()

SiteOpt = Annotated[str, typer.Option("--site", help="Name of the hospital, as the others will read it.")]
PolicyOpt = Annotated[str, typer.Option("--policy", help="Disclosure policy: nhs, cms, omop or dp.")]
AcceptOpt = Annotated[
    list[str], typer.Option("--accept", help="A difference to accept: build settings, code lists, index dates.")
]
LedgerOpt = Annotated[
    Path | None, typer.Option("--ledger", help="File of earlier releases of these patients; this one is entered.")
]
DatedOpt = Annotated[str | None, typer.Option("--date", help="Day of the release for the ledger; default today.")]


@app.command()
def vector(
    file: Annotated[
        Path, typer.Argument(help="Patient table, pattern file, or the released file (.json) of a report.")
    ],
    site: SiteOpt,
    output: Annotated[Path, typer.Option("--output", "-o", help="Protected vector to write, .json.")],
    trial: Annotated[str, typer.Option("--trial", "-t", help="Trial id or its file; not for a released file.")] = "",
    policy: PolicyOpt = "nhs",
    ledger: LedgerOpt = None,
    dated: DatedOpt = None,
    mapping: MappingOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    missing_columns: MissingOpt = "error",
    as_json: JsonOpt = False,
) -> None:
    """A hospital's protected counts, to be sent and added to those of others: funnel, bounds, only-reason table."""
    from feasibility.pooling.vectors import ProtectedVector

    if file.suffix == ".json":
        made = ProtectedVector.of(_released(file), site)
    else:
        if not trial:
            raise FeasibilityError("A patient table or pattern file needs --trial; only a released file says its own.")
        protocol = protocol_of(trial, scenario, set_, waive)
        with progress() as show:
            source, header = _patients(file, protocol, mapping, index_date, missing_columns, show)
            made = _protected(source, header, protocol, site, policy, ledger, dated, index_date, show)
    output.parent.mkdir(parents=True, exist_ok=True)
    made.save(output)
    _print_vector(made, output, as_json)


@app.command()
def combine(
    files: Annotated[list[Path], typer.Argument(help="Protected vectors, one a hospital.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Sum to write, .json.")] = None,
    accept: AcceptOpt = [],  # noqa: B006
    as_json: JsonOpt = False,
) -> None:
    """Add up the protected vectors of several hospitals and print the funnel of all of them."""
    from feasibility.pooling.vectors import ProtectedVector, add_vectors

    made = add_vectors([ProtectedVector.load(f) for f in files], names=names_of(files), accept=accept)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        made.save(output)
    _print_vector(made, output, as_json)


@app.command()
def share(
    file: Annotated[Path, typer.Argument(help="Pattern file of this hospital, made by `feasibility counts`.")],
    site: SiteOpt,
    sites: Annotated[str, typer.Option("--sites", help="All hospitals of the round, at least three: A,B,C.")],
    round_: Annotated[str, typer.Option("--round", help="Name of the round, the same at every hospital.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the two shares to.")] = Path("."),
) -> None:
    """Split a hospital's counts into two random shares, one for each of two collectors who do not work together."""
    from feasibility.patterns import PatternTable
    from feasibility.pooling.groups import GroupCounts
    from feasibility.pooling.shares import split

    groups = GroupCounts.of(PatternTable.load(file))
    shares = split(groups, site, sites.split(","), round_)
    output.mkdir(parents=True, exist_ok=True)
    console = console_of()
    for one in shares:
        path = output / f"{_file_name(round_)}_{_file_name(site)}_collector_{one.collector}.json"
        one.save(path)
        console.print(f"For collector {one.collector} alone: {path}", markup=False)
    console.print(
        f"{len(groups.n):,} numbers each, as many for every hospital. One share alone is random; the two together give"
        " this hospital's counts, so send them to different people by different ways and delete them here.",
        markup=False)  # fmt: skip


@app.command()
def collect(
    files: Annotated[list[Path], typer.Argument(help="The shares this collector got, one from every hospital.")],
    collector: Annotated[str, typer.Option("--collector", help="A or B.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Sum to write, .json.")],
    accept: AcceptOpt = [],  # noqa: B006
) -> None:
    """Add the shares of one collector. The sum stays random until the other collector's is added."""
    from feasibility.pooling.shares import Share
    from feasibility.pooling.shares import collect as collected

    total = collected([Share.load(f) for f in files], collector, accept=accept)
    output.parent.mkdir(parents=True, exist_ok=True)
    total.save(output)
    console_of().print(
        f"Round {total.round}: the shares of {', '.join(total.sites)} for collector {collector} are in {output}. Join"
        " it with the other collector's sum; delete the shares.", markup=False)  # fmt: skip


@app.command("join")
def join_sums(
    one: Annotated[Path, typer.Argument(help="The sum of collector A.")],
    other: Annotated[Path, typer.Argument(help="The sum of collector B.")],
    trial: TrialOpt,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Protected vector to write, .json.")] = None,
    policy: PolicyOpt = "nhs",
    ledger: LedgerOpt = None,
    dated: DatedOpt = None,
    index_date: DateOpt = None,
    scenario: ScenarioOpt = None,
    set_: SetOpt = [],  # noqa: B006
    waive: WaiveOpt = [],  # noqa: B006
    as_json: JsonOpt = False,
) -> None:
    """Join the two collectors' sums, protect the counts of all hospitals together, and print their funnel."""
    from feasibility.pooling.shares import CollectedSum, join

    groups = join(CollectedSum.load(one), CollectedSum.load(other))
    protocol = protocol_of(trial, scenario, set_, waive)
    together = " + ".join(groups.header["sites"])
    with progress() as show:
        made = _protected(groups, groups.header, protocol, together, policy, ledger, dated, index_date, show)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        made.save(output)
    _print_vector(made, output, as_json)


def _released(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeasibilityError(f"{file}: there is no such file.") from None
    except (OSError, ValueError):
        raise FeasibilityError(f"{file.name}: not a released file: no JSON, or cut off.") from None


def _patients(file: Path, protocol, mapping, index_date, missing_columns, show):
    """(what a release is collected from, the header of its pattern table): a pattern file, or a patient table."""
    from feasibility.pattern_files import is_pattern_file
    from feasibility.patterns import PatternTable
    from feasibility.pooling.parts import count_part

    if is_pattern_file(file):
        table = PatternTable.load(file)
    else:
        table = count_part(file, protocol, part=file.stem, mapping=mapping, index_date=index_date,
                           missing_columns=missing_columns, progress=show)  # fmt: skip
    return table, table.header


def _protected(source, header, protocol, site, policy, ledger, dated, index_date, show):
    """The protected vector, audited against the ledger and then entered in it."""
    from datetime import date

    from feasibility.disclosure.ledger import Ledger
    from feasibility.pooling.vectors import protected_vector

    if ledger is None:
        return protected_vector(source, protocol, site, policy, header=header, progress=show)[0]
    days = (header.get("index") or {}).get("days") or []
    day = index_date or (days[0] if len(days) == 1 else None)
    if day is None:
        raise FeasibilityError("The ledger keeps releases by index date, and these patients have several or none: give"
                               " --index-date.")  # fmt: skip
    book = Ledger.open(ledger)
    earlier = book.of(site, day)
    made, release = protected_vector(source, protocol, site, policy, header=header, earlier=earlier, progress=show)
    book.append(release.entry(dated=dated or date.today().isoformat(), cohort=site, index_date=day))
    return made


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "-" for c in text.strip())


def _print_vector(made, output: Path | None, as_json: bool) -> None:
    funnel = made.funnel()
    if as_json:
        rows = json.loads(funnel.reset_index().to_json(orient="records"))
        facts = {"trial": made.header.get("protocol"), "sites": list(made.sites), "policy": made.policy.name,
                 "n_patients": made.n_patients, "expected_error": round(made.expected_error, 2),
                 "accepted": list(made.accepted)}  # fmt: skip
        print(json.dumps(facts | {"attrition": rows}, ensure_ascii=False, indent=1))
        return
    console = console_of()
    if made.header.get("synthetic"):
        console.print("[bold]Synthetic data: these are not patients.[/]")
    for name in (n for n in funnel if n.startswith("n_")):
        funnel[name] = [made.policy.shown(n) for n in funnel[name]]
    where = made.sites[0] if len(made.sites) == 1 else f"{len(made.sites)} hospitals"
    title = f"{made.header.get('protocol')}, {where}: {made.policy.shown(made.n_patients)} patients, protected"
    print_counts(console, funnel, f"{title} ({made.policy.name})")
    times = "once" if made.roundings == 1 else f"at each of {made.roundings} hospitals"
    console.print(
        f"Counts were protected {times}: expect an error of about {made.expected_error:.1f} patients (standard"
        " deviation) a number, more where it adds up many groups of a large hospital.", markup=False)  # fmt: skip
    for words in made.accepted:
        console.print(f"Accepted: {words}.", style="yellow", markup=False)
    if len(made.sites) > 1:
        console.print("A patient known to two of the hospitals counts twice: nothing in the counts can tell.",
                      markup=False)  # fmt: skip
    if output is not None:
        console.print(f"Written: {output}", markup=False)
