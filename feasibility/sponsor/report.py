"""From patients to the sponsor's files in one call: what the command line and the notebook use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from feasibility.cohort.batches import ParquetCohort
from feasibility.cohort.prepared import open_prepared
from feasibility.disclosure.ledger import Ledger
from feasibility.disclosure.parts import protected_arrivals, unknown_by_column
from feasibility.disclosure.policy import Policy, policy_of
from feasibility.disclosure.release import Release
from feasibility.enrollment.assumptions import plan_from_protocol
from feasibility.enrollment.forecast import Forecast, forecast
from feasibility.enrollment.plan_file import load_plan
from feasibility.enrollment.sites import Site
from feasibility.errors import FeasibilityError
from feasibility.interactive.page import interactive_fragment
from feasibility.pooling.parts import told_of
from feasibility.protocol.protocol import Protocol
from feasibility.sponsor.branding import Branding, load_branding
from feasibility.sponsor.document import SponsorDocument
from feasibility.sponsor.render import FORMATS, write_documents

OTHER_DATES = (
    "The ledger holds releases of the same patients at another date ({dates}): their counts are others, so the audit"
    " cannot use them, and the promise does not cover what both together may tell."
)


@dataclass(frozen=True, eq=False)
class SponsorReport:
    """What ``sponsor_report`` made: the release, the files, and what the user should know."""

    release: Release
    files: tuple[Path, ...]
    synthetic: bool = False
    notes: tuple[str, ...] = ()


def sponsor_report(
    source,
    protocol: Protocol,
    output: Path | str,
    *,
    languages: Iterable[str] = ("en",),
    formats: Iterable[str] = FORMATS,
    policy: Policy | str = "nhs",
    scenarios=None,
    grids: Mapping[str, Iterable[float]] | None = None,
    strata: Iterable[str] = (),
    ledger: Path | str | None = None,
    registry: str = "this registry",
    index_date: str = "",
    dated: str,
    branding: Branding | Path | str | None = None,
    source_words: str = "",
    plan: Path | str | None = None,
    months: int = 60,
    arrivals=None,
    target: int = 9,
    missing_columns: str = "error",
    progress: Callable[[str, float], None] | None = None,
) -> SponsorReport:
    """Protect, attack and write the report of one registry on one protocol.

    ``source`` is what ``Release.collect`` takes; from a cohort in memory the report also says what is unknown column
    by column. Files are ``output``.html, .pdf, .docx, for a second language with ``-zh`` (or ``-en``) before the dot,
    and ``output``-release.json, the numbers that leave. ``plan`` is a TOML plan for the forecast, ``arrivals`` what
    ``feasibility.arrivals(..., by="quarter")`` found; with neither there is no forecast. With ``ledger`` the release is
    attacked together with the earlier ones of ``registry`` at the same date, and entered before a file is written.
    ``dated`` is the date printed, year first; nothing here reads a clock.

    Raises FeasibilityError where no part of the release is safe, and what reading a plan, a ledger or the branding
    raises.
    """
    policy = policy_of(policy)
    output = Path(output)
    branding = branding if isinstance(branding, Branding | None) else load_branding(branding)
    counts, notes = {}, []
    if isinstance(source, pd.DataFrame):
        counts["columns"] = unknown_by_column(source, protocol)
    if arrivals is not None:
        counts["arrivals"] = protected_arrivals(arrivals.table, policy)
    if isinstance(source, str | Path):
        source = open_prepared(source) if Path(source).suffix == ".arrow" else ParquetCohort(source, protocol.columns)
    record, told = told_of(source)
    known = Ledger.open(ledger) if ledger is not None else None
    day = index_date or (told["days"][0] if len(told["days"]) == 1 else str(record.get("index_date") or "")[:10])
    if known is not None and not day:
        raise FeasibilityError("The ledger needs the day of screening; give --index-date (index_date=).")
    earlier = known.of(registry, day) if known is not None else None
    if known is not None and known.at_other_dates(registry, day):
        dates = ", ".join(sorted({e.index_date for e in known.at_other_dates(registry, day)}))
        notes.append(OTHER_DATES.format(dates=dates))
    release = Release.collect(
        source, protocol, policy, scenarios=scenarios, grids=grids, strata=strata, counts=counts, earlier=earlier,
        missing_columns=missing_columns, progress=progress,
    )  # fmt: skip
    looked_ahead = _forecast(protocol, release, arrivals, plan, months, target)
    if known is not None and release.fingerprint not in {e.fingerprint for e in earlier}:
        known.append(release.entry(dated=dated, cohort=registry, index_date=day))
    synthetic = told["synthetic"]
    files = [_write_json(release, output)]
    languages = list(dict.fromkeys(languages))
    for i, language in enumerate(languages):
        document = SponsorDocument.of(
            release, protocol, language=language, branding=branding, forecast=looked_ahead, dated=dated,
            synthetic=synthetic, source_words=source_words, build=str(record.get("build_fingerprint") or ""),
            interactive_html=_interactive(release, language) if "html" in formats else "",
        )  # fmt: skip
        stem = output if i == 0 else output.with_name(f"{output.name}-{language}")
        told = (lambda name, i=i: progress(f"writing {name}", 0.6 + 0.4 * i / len(languages))) if progress else None
        files += write_documents(document, stem, formats, progress=told)
    return SponsorReport(release, tuple(files), synthetic, tuple(notes))


def _write_json(release: Release, output: Path) -> Path:
    path = output.with_name(f"{output.name}-release.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(release.to_json(), encoding="utf-8")
    beside.replace(path)
    return path


def _interactive(release: Release, language: str) -> str:
    return (
        ""
        if release.core.n_confirmed is None or release.policy.epsilon is not None
        else interactive_fragment(release.core, language=language)
    )


def _forecast(protocol: Protocol, release: Release, arrivals, plan, months: int, target: int) -> Forecast | None:
    """The forecast from the plan as given, or from protected arrivals; never from the patients."""
    if plan is None and arrivals is None:
        return None
    seen = {}
    if arrivals is not None:
        frame = release.margins["arrivals"].frame
        pool = int(arrivals.totals["pool_possible"].sum())
        exposure = float(arrivals.totals["exposure_months"].max())
        total = int(frame["n_possible"].sum())
        seen["this hospital"] = {"arrivals": total, "months": exposure, "stock": release.policy.rounded(pool)}
    if plan is not None:
        return forecast(load_plan(plan, protocol, seen or None), months)
    sites = [Site(name, **one) for name, one in seen.items()]
    return forecast(plan_from_protocol(protocol, sites, target), months)
