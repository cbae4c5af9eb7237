"""The data-quality page: what the table knows, what was converted and what was set aside, column by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from feasibility.figures import plot_completeness
from feasibility.figures.ages import plot_value_ages
from feasibility.figures.distributions import plot_distributions, plot_known_by
from feasibility.figures.style import count
from feasibility.report import words
from feasibility.report.html import environment
from feasibility.report.svg import inline_svg

ROWS, HISTOGRAMS, AGES = 28, 28, 18
"""Rows of one figure, and histograms of one: what stays readable on a printed page."""


def render_quality(quality: Any, *, source: str = "") -> str:
    """The quality report as one self-contained HTML page; internal, since minima and maxima are patients' values."""
    table = quality.completeness()
    asked = table.drop(columns="not applicable", errors="ignore").sum(axis=1)
    full = table.index[table["known"] == asked]
    figures = {
        "completeness": _pieces(
            table.drop(index=full), "completeness", lambda part: plot_completeness(part, title=""),
            "Bars of the share of known values in the columns with gaps, and why the others are unknown; in the table.",
        )
    }  # fmt: skip
    histograms = quality.histograms()
    usual = quality.usual_ranges()
    bounded = quality.columns["n_bounded"].to_dict()
    names = list(dict.fromkeys(histograms["column"]))
    figures["distributions"] = [
        inline_svg(
            plot_distributions(histograms[histograms["column"].isin(names[i : i + HISTOGRAMS])], usual, bounded)[0],
            f"distributions{i}", "Small histograms of exactly known values, their usual ranges shaded.",
        )
        for i in range(0, len(names), HISTOGRAMS)
    ]  # fmt: skip
    ages = quality.ages()
    aged = list(ages.index[ages["n_known"] > 0]) if len(ages) else []
    figures["ages"] = [
        inline_svg(
            plot_value_ages(quality, aged[i : i + AGES])[0], f"ages{i}",
            "Small histograms of the age of dated values with their look-back as a dashed line; numbers in the table.",
        )
        for i in range(0, len(aged), AGES)
    ]  # fmt: skip
    for key, shares in _by(quality).items():
        gaps = shares[(shares < 1).any(axis=1) & shares.index.isin(table.index)]
        figures[key] = _pieces(
            gaps, key, lambda part: plot_known_by(part, title=""), "Share of known values; numbers in each cell."
        )
    columns = quality.columns.reset_index().to_dict("records")
    for row in columns:
        row["asked"] = quality.n_patients - row.get("not_applicable", 0)
        row["why"] = [(r.replace("_", " "), row[r]) for r in quality.reasons if r != "not_applicable" and row.get(r)]
    unknown = quality.unknown()
    events = quality.events.assign(says=quality.events["kind"].map(words.event))
    return environment().get_template("quality.html").render(
        quality=quality, source=source or quality.source, figures=figures,
        columns=columns, span=(quality.time_bins() or (None, ""))[1],
        full=list(full), n_synthetic=_synthetic(quality.cohort),
        absent=[c for c in quality.columns.index if c not in quality.present and c != "synthetic"],
        events=_once_each(events),
        ages=_ages(quality, ages), unknown=unknown.reset_index().to_dict("records"),
        unknown_reasons=[c for c in unknown if c not in ("unknown", "not applicable")],
        units=_units(quality.units), **_sites(quality.sites),
    )  # fmt: skip


def _once_each(events: pd.DataFrame) -> list[dict]:
    """The events by kind and column, those of one column and reason as one with their first lines."""
    keys = ["kind", "column", "file_column", "reason", "says"]
    rows = []
    for values, part in events.groupby(keys, dropna=False, sort=False):
        lines = sorted({line for some in part["rows"] if isinstance(some, list) for line in some})
        rows.append(dict(zip(keys, values, strict=True)) | {"n": int(part["n"].sum()), "rows": lines})
    return sorted(rows, key=lambda row: (str(row["kind"]), str(row["column"])))


def _pieces(table: pd.DataFrame, name: str, plot, alt: str) -> list:
    """Figures of as many rows as a printed page can hold."""
    n = -(-len(table) // ROWS)
    edges = [round(len(table) * i / n) for i in range(n + 1)] if n else []
    return [inline_svg(plot(table.iloc[a:b]), f"{name}{a}", alt) for a, b in zip(edges, edges[1:], strict=False)]


def _by(quality) -> dict:
    """Shares known by site and by span of time, of the patients to whom a column applies."""
    found = {}
    if "site_id" in quality.present and quality.cohort["site_id"].nunique() > 1:
        found["by-site"] = _asked_only(quality, quality.cohort["site_id"].astype(object).fillna("unknown"))
    spans = quality.time_bins()
    if spans is not None and spans[0].nunique() > 1:
        found["over-time"] = _asked_only(quality, spans[0])
    return found


def _ages(quality, ages: pd.DataFrame) -> list[dict]:
    shorter = quality.tighter_windows()
    rows = ages.reset_index().to_dict("records")
    for row in rows:
        row["shorter"] = shorter[(shorter["column"] == row["column"]) & (shorter["n_lost"] > 0)].to_dict("records")
    return rows


def _units(units: pd.DataFrame | None) -> list[dict]:
    """One row per column, unit and handling, the sites' counts in one text."""
    if units is None:
        return []
    rows = []
    keys = ["column", "unit", "handling", "factor"]
    for values, part in units.groupby(keys, dropna=False, sort=True):
        by_site = ", ".join(f"{s} {count(n)}" for s, n in zip(part["site_id"], part["n_results"], strict=True))
        rows.append(dict(zip(keys, values, strict=True)) | {"n_results": part["n_results"].sum(), "by_site": by_site})
    return rows


def _sites(sites: pd.DataFrame | None) -> dict:
    if sites is None:
        return {"flagged": [], "sites_compared": ""}
    flagged = sites[sites["flagged"]]
    flagged = flagged.assign(within=np.exp(2 * flagged["uncertainty"]))
    n, columns = len(sites), sites["column"].nunique()
    text = f"{count(n)} comparisons in {count(columns)} columns" if n else "no two sites or units could be compared"
    return {"flagged": flagged.to_dict("records"), "sites_compared": text}


def _asked_only(quality, groups: pd.Series) -> pd.DataFrame:
    parts = {}
    for name in quality.present:
        column, cohort = quality.table[name], quality.cohort
        known = cohort[name].notna().astype(float).reset_index(drop=True)
        if column.asked_if is not None and column.asked_if[0] in cohort:
            asked = (cohort[column.asked_if[0]] == column.asked_if[1]).fillna(True).to_numpy(dtype=bool)
            known = known.where(asked | known.to_numpy(dtype=bool))
        parts[name] = known.groupby(groups.to_numpy(), sort=True).mean()
    return pd.DataFrame(parts).T.rename_axis("column")


def _synthetic(cohort) -> int:
    return int(cohort["synthetic"].fillna(False).astype(bool).sum()) if "synthetic" in cohort.columns else 0
