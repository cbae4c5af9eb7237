"""The data dictionary as a page: every declared column, in the words of its declaration."""

from __future__ import annotations

import pandas as pd

from feasibility.report.html import environment


def render_dictionary(table: pd.DataFrame, *, title: str) -> str:
    """One self-contained HTML page from ``CohortTable.dictionary()``, with the criteria that read each column."""
    rows = table.reset_index().to_dict("records")
    for row in rows:
        row.setdefault("criteria", "")
    read = [row for row in rows if row["criteria"]]
    rest = [row for row in rows if not row["criteria"]]
    groups = [("Columns this trial reads", read), ("Other columns" if read else "Columns", rest)]
    return environment().get_template("dictionary.html").render(title=title, n=len(rows), groups=groups)
