"""The chart of the interactive part: a Bokeh plot without data, and Bokeh itself, read from its wheel.

Bokeh rather than Plotly: a quarter of the size in the page (1.3 against 4.8 MB), a plot that is described in Python
and needs no code of ours to redraw, and bars with hatching, which a black-and-white print needs. Neither library's
output can be read by a screen reader, so the page has the same numbers as a table.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from feasibility.errors import FeasibilityError

ROW = 23
"""Height of a criterion's row in pixels."""
FONT = "sans-serif"


@cache
def library() -> str:
    """Bokeh's script with its licence, from the installed package: nothing of it is kept in ours.

    Raises FeasibilityError where Bokeh is not installed.
    """
    try:
        import bokeh
    except ModuleNotFoundError:
        raise FeasibilityError("The interactive part needs Bokeh: pip install 'trial-feasibility[report]'.") from None
    path = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
    # A closing script tag inside a string would end the script of the page.
    return re.sub(r"</(script)", r"<\\/\1", path.read_text(encoding="utf-8"), flags=re.IGNORECASE)


def chart(steps: int, n_patients: int, axis: str) -> dict:
    """The plot as Bokeh's plain values: ``steps`` rows, patients from 0 to ``n_patients``, no data. Always the same."""
    library()
    from bokeh.core.properties import value
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, FixedTicker, Range1d
    from bokeh.plotting import figure

    columns = ("y", "low", "high", "sure", "perhaps", "before", "top", "bottom", "text")
    source = ColumnDataSource({name: [] for name in columns}, name="fz-ranges")
    plot = figure(
        height=ROW * steps + 46, sizing_mode="stretch_width", toolbar_location=None, tools="", output_backend="svg",
        x_range=Range1d(0, max(n_patients, 1) * 1.18), y_range=Range1d(-steps + 0.4, 0.6), min_border_left=0,
        background_fill_color="#ffffff", outline_line_color=None,
    )  # fmt: skip
    blue, ink = "#00568a", "#1c2126"
    plot.hbar("y", left=0, right="low", height=0.74, source=source, fill_color="#8fbbd9", line_color=blue)
    plot.hbar("y", left="low", right="high", height=0.74, source=source, fill_color="#ffffff", line_color=blue,
              hatch_pattern="/", hatch_color=blue, hatch_scale=7, hatch_weight=1)  # fmt: skip
    plot.hbar("y", left=0, right="sure", height=0.3, source=source, fill_color=blue, line_color=blue)
    plot.hbar("y", left="sure", right="perhaps", height=0.3, source=source, fill_color="#ffffff", line_color=blue)
    plot.segment("before", "top", "before", "bottom", source=source, line_color=ink, line_width=3)
    plot.text("high", "y", "text", source=source, x_offset=8, text_baseline="middle", text_font=value(FONT),
              text_font_size="11px", text_color=ink)  # fmt: skip
    names, patients = plot.yaxis[0], plot.xaxis[0]
    names.name, names.ticker = "fz-names", FixedTicker(ticks=[-k for k in range(steps)])
    names.major_tick_line_color = names.axis_line_color = None
    patients.axis_label, patients.axis_label_text_font_style = axis, "normal"
    patients.minor_tick_line_color = None
    for one in (names, patients):
        one.major_label_text_font = one.axis_label_text_font = FONT
        one.major_label_text_font_size = one.axis_label_text_font_size = "11px"
        one.major_label_text_color = one.axis_label_text_color = ink
    plot.ygrid.grid_line_color = None
    plot.xgrid.grid_line_color = "#e3e7eb"
    return json.loads(_renumbered(json.dumps(json_item(plot), ensure_ascii=False)))


def _renumbered(text: str) -> str:
    """Bokeh's ids counted anew, so that the same page has the same bytes."""
    ids: dict[str, str] = {}
    pattern = r'"(p\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"'
    return re.sub(pattern, lambda m: f'"fz{ids.setdefault(m[1], str(len(ids) + 1))}"', text)
