"""Haemoglobin of a blood gas analyser is rougher than that of a blood count, and is not mixed with it.

Clinical specification, 3.1: specimens that are arterial are left out.
"""

from __future__ import annotations

import re

import numpy as np

from feasibility.cohort.event_rows import Rows

BLOOD_COUNTS = ("hemoglobin",)
"""Code lists of what a blood count measures and a blood gas analyser estimates."""
BLOOD_GAS = re.compile(r"arteri|动脉|blood[\s_-]?gas|blutgas|血气|\b(?:abg|bga|vbg)\b", re.IGNORECASE)
"""A specimen or a local name that says so."""


def without_blood_gas(rows: Rows, facts, found, base):
    """``base``, the events of the combinations ``found``, without blood gases; those are set aside and counted."""
    import ibis

    counted = found["item"].map(lambda name: facts[name].codelist in BLOOD_COUNTS).to_numpy(dtype=bool)
    if not counted.any():
        return base
    labs = rows.extract.tables["labs"]
    taken = labs.filter(labs["specimen"].notnull()).select("specimen").distinct().to_pyarrow()["specimen"].to_pylist()
    specimens = sorted(s for s in taken if BLOOD_GAS.search(s))
    named = counted & np.array([bool(n) and bool(BLOOD_GAS.search(n)) for n in found["local_name"]])
    if not specimens and not named.any():
        return base
    said = []
    if specimens:
        mine = base["number"].isin(found.loc[counted, "number"].unique().tolist())
        said.append(mine & base["specimen"].fill_null("").isin(specimens))
    if named.any():
        said.append(base["combo"].isin(found.loc[named, "combo"].tolist()))
    gas = ibis.or_(*said)
    aside = base.filter(gas, base["date"] <= rows.last).group_by("number").aggregate(n=lambda t: t.count())
    names = dict(zip(found["number"], found["item"], strict=True))
    for number, n in sorted((r["number"], r["n"]) for r in aside.to_pyarrow().to_pylist()):
        rows.note(names[number], "set_aside", "from a blood gas, not a blood count", n)
    return base.filter(~gas)
