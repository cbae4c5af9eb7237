"""What the data can say about each clause of the protocol."""

from __future__ import annotations

import pandas as pd

from feasibility.analysis.impact import impact

SAYS = {"assessable": "yes", "added": "yes", "partly": "partly"}


def assessability(screening) -> pd.DataFrame:
    """The assessability matrix: one row a clause of the registered text, in its order.

    Columns: kind; name (the short names of its criteria); assessable ("yes", "partly" where a part is not for data to
    say, "no", or "waived"); n_known and n_unknown, patients for whom the part the data can decide is decided or not
    (0 and 0 where nothing is decided by data); share_unknown.
    """
    protocol = screening.protocol
    costs = impact(screening, level="clause")
    names = {c.id: c.name for c in protocol.criteria}
    rows = []
    for clause, row in protocol.coverage().iterrows():
        parts = [i for i in f"{row.criteria}, {row.not_assessable}".split(", ") if i]
        unknown = int(costs.n_unknown.get(clause, 0))
        decided = bool(row.criteria)
        rows.append(
            {
                "clause": clause,
                "kind": row.kind,
                "name": ", ".join(names[i] for i in parts) or "waived",
                "assessable": SAYS.get(row.status, "no" if row.status == "not assessable" else row.status),
                "n_known": screening.n_patients - unknown if decided else 0,
                "n_unknown": unknown if decided else 0,
                "share_unknown": unknown / screening.n_patients if decided else 1.0,
            }
        )
    return pd.DataFrame(rows).set_index("clause")
