"""The data-quality page: what the table knows, what was converted and what was set aside, column by column."""

from __future__ import annotations

from typing import Any

from feasibility.figures import plot_completeness
from feasibility.figures.distributions import plot_distributions, plot_known_by
from feasibility.report import words
from feasibility.report.html import environment
from feasibility.report.svg import inline_svg

def render_quality(quality: Any, *, source: str = "") -> str:
    """The quality report as one self-contained HTML page; internal, since minima and maxima are patients' values."""
    figures = {
        "completeness": inline_svg(
            plot_completeness(quality.completeness(), title=""), "completeness",
            "Bars of the share of known values in every column, and why the others are unknown; in the table below.",
        )
    }  # fmt: skip
    histograms = quality.histograms()
    if len(histograms):
        axes = plot_distributions(histograms, quality.usual_ranges())
        figures["distributions"] = inline_svg(
            axes[0], "distributions", "Small histograms of every number column with its usual range shaded."
        )
    for key, table in _by(quality).items():
        figures[key] = inline_svg(plot_known_by(table, title=""), key, "Share of known values; numbers in each cell.")
    events = quality.events.assign(says=quality.events["kind"].map(words.event))
    return environment().get_template("quality.html").render(
        quality=quality, source=source or quality.source, figures=figures,
        columns=quality.columns.reset_index().to_dict("records"),
        reasons=quality.reasons,
        absent=[c for c in quality.columns.index if c not in quality.present],
        events=events.sort_values(["kind", "column"], kind="stable").to_dict("records"),
        ages=quality.ages().rename_axis("column").reset_index().to_dict("records"),
    )  # fmt: skip


def _by(quality) -> dict:
    found = {}
    if "site_id" in quality.present and quality.cohort["site_id"].nunique() > 1:
        found["by site"] = quality.known_by("site_id")
    over_time = quality.known_over_time()
    if over_time.shape[1] > 1:
        found["over time"] = over_time
    return {key.replace(" ", "-"): table for key, table in found.items()}
