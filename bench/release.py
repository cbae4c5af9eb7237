"""What a release costs after the screen: the core should not grow with the patients; the second block has a budget."""

from __future__ import annotations

import time

import numpy as np

import feasibility as fz
from bench import scaling
from feasibility.disclosure.attack import attack
from feasibility.disclosure.plan import Plan
from feasibility.disclosure.policy import POLICIES
from feasibility.disclosure.queries import CORE
from feasibility.disclosure.release import extended_of, protected_core, rounded_margins


def run(sizes=(100_000, 1_000_000)) -> str:
    """Seconds of each part by the number of patients, as text."""
    protocol, policy = fz.load_trial(scaling.TRIAL), POLICIES["nhs"]
    plan = Plan.of(protocol)
    lines = [
        f"A release of {len(plan.ids)} criteria with {len(plan.changes)} changed protocols, policy nhs",
        f"  {'patients':>12} {'screen s':>9} {'core s':>7} {'audit of core s':>15} {'with failing s':>14} {'groups':>7}"
        f" {'worst error':>11}",
    ]
    for n in sizes:
        scaling.patients(n)
        source = fz.open_prepared((scaling.FOLDER / f"{n}").with_suffix(".arrow"))
        start = time.perf_counter()
        extended = extended_of(source, plan, "error", None)
        screened = time.perf_counter()
        core, groups = protected_core(plan, extended, policy, CORE)
        core.attrition(), core.only_reason(), core.scenarios(), core.curves()
        made = time.perf_counter()
        attack(plan, extended, core, {}, policy)
        audited = time.perf_counter()
        tables = (*CORE, "failing")
        attack(plan, extended, core, rounded_margins(plan, extended, policy, tables), policy)
        second = time.perf_counter()
        true = extended.counts(core.queries)
        worst = max(abs(core.count(name) - count) for name, count in true.items())
        lines.append(
            f"  {n:12,} {screened - start:9.2f} {made - screened:7.2f} {audited - made:15.1f} {second - audited:14.1f}"
            f" {int(np.count_nonzero(groups)):7,} {worst:11}"
        )
    return "\n".join(lines)
