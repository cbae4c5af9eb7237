"""Figures: a result table in, a matplotlib Axes out.

They count nothing and know no protocol, touch no global matplotlib setting, and show nothing by themselves. In a
notebook the returned Axes is displayed as a picture, elsewhere use ``ax.figure.savefig("funnel.svg")``.
"""

from feasibility.figures.attrition import plot_attrition
from feasibility.figures.completeness import plot_assessability, plot_completeness
from feasibility.figures.flow import plot_flow
from feasibility.figures.impact import plot_impact
from feasibility.figures.overlap import plot_overlap
from feasibility.figures.strata import plot_attrition_by, plot_demographics

__all__ = [
    "plot_assessability",
    "plot_attrition",
    "plot_attrition_by",
    "plot_completeness",
    "plot_demographics",
    "plot_flow",
    "plot_impact",
    "plot_overlap",
]
