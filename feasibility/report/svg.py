"""Figures as inline SVG: real text, no external reference, the same bytes for the same input."""

from __future__ import annotations

import io
import re
from html import escape

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes


def inline_svg(ax: Axes, name: str, alt: str) -> Markup:
    """The figure of an Axes as an SVG element to be put into a page.

    ``name`` keeps the ids of several figures on one page apart; ``alt`` says in words what the figure shows.
    """
    buffer = io.StringIO()
    # Text stays text: it can be searched and selected, and takes the page's font. Widths were measured with a font
    # wider than those of most pages, so it fits.
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        ax.get_figure().savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace("xlink:href", "href")
    view = re.search(r'viewBox="[^"]*"', svg).group(0)
    head = f'<svg {view} class="figure-svg" role="img" aria-label="{escape(alt)}" preserveAspectRatio="xMinYMin meet">'
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    # The background is the page's.
    svg = re.sub(rf'<g id="{name}-patch_1">.*?</g>', "", svg, count=1, flags=re.DOTALL)
    return Markup(re.sub(r"\n\s*", "\n", svg).strip())
