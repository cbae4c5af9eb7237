"""The sentences of the report that depend on its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feasibility.sponsor import tables, views
from feasibility.sponsor.document import SponsorDocument
from feasibility.sponsor.wording import Md


@dataclass(frozen=True)
class Sentences:
    """The sentences of one document, as Markdown in its language."""

    document: SponsorDocument

    def t(self, key: str, /, **values) -> Md:
        return self.document.words.t(key, **values)

    def lead(self) -> Md:
        d = self.document
        share = d.n_possible.share(d.n_patients)
        if d.n_confirmed is None:
            return self.t("summary.lead_no_bounds", patients=d.n_patients, possible=d.n_possible, possible_share=share)
        return self.t(
            "summary.lead", patients=d.n_patients, possible=d.n_possible, possible_share=share, confirmed=d.n_confirmed
        )

    def sure(self) -> Md:
        """How much is undetermined, and what would settle it."""
        d = self.document
        parts = []
        if d.n_undetermined is not None:
            small = d.n_undetermined.small
            parts.append(self.t("summary.sure_all") if small else self.t(
                "summary.sure", undetermined=d.n_undetermined, possible=d.n_possible,
                share=d.n_undetermined.share(d.n_possible),
            ))  # fmt: skip
        for key, rows, number in (
            ("summary.settle", views.deciding(d), "only_unknown"),
            ("summary.unknown_most", views.most_unknown(d), "unknown"),
        ):
            if rows:
                items = [
                    self.t("summary.settle_item", name=d.words.name(c.criterion), unknown=getattr(c, number))
                    for c in rows
                ]
                parts.append(self.t(key, criteria=d.words.listed(items)))
        return self.flow(*parts)

    def cost_lead(self) -> Md:
        if not views.knows_costs(self.document):
            return self.t("summary.cost_funnel")
        return self.t("summary.cost_lead" if views.costliest(self.document) else "summary.cost_none")

    def costs(self) -> list[Md]:
        d = self.document
        if not views.knows_costs(d):
            steps = sorted(views.funnel(d), key=lambda step: -step.excluded.drawn)[:3]
            return [
                self.t("summary.cost_item_short", number=s.excluded, name=d.words.name(s.criterion), id=s.id)
                for s in steps
                if not s.excluded.small
            ]
        lines = []
        for c in views.costliest(d):
            values = {"name": d.words.name(c.criterion), "id": c.id}
            if c.gain_possible is None or c.failing is None:
                n = c.gain_possible or c.failing
                lines.append(self.t("summary.cost_item_short", number=n, **values))
                continue
            key = "summary.cost_item_plain" if c.gain_possible.small else "summary.cost_item"
            lines.append(self.t(key, gain=c.gain_possible, failing=c.failing, **values))
        return lines

    def change(self) -> Md:
        d = self.document
        if not views.scenarios(d):
            left_out = "scenarios" in d.release.dropped
            return self.t("summary.change_dropped" if left_out else "summary.change_no_scenarios")
        best = views.best_scenario(d)
        if best is None:
            return self.t("summary.change_none")
        values = {"name": best.name, "said": d.words.joined(best.said), "before": d.n_possible, "after": best.possible,
                  "gain": best.gain_possible}  # fmt: skip
        if d.n_confirmed is None or best.confirmed is None or best.confirmed.small:
            return self.t("summary.change_best_no_bounds", **values)
        return self.t("summary.change_best", **values, confirmed_before=d.n_confirmed, confirmed_after=best.confirmed)

    def forecast(self) -> Md:
        """The forecast in one sentence."""
        f = self.document.forecast
        low, median, high = f.months_to_target([0.1, 0.5, 0.9])
        values = {"target": str(f.plan.target), "goal": self.goal()}
        if np.isinf(high):
            return self.t(
                "summary.forecast_later", months=str(f.months), chance=chance(f.probability_by(f.months)), **values
            )
        ends = {k: f"{np.ceil(v - 1e-9):.0f}" for k, v in (("low", low), ("median", median), ("high", high))}
        return self.t("summary.forecast_line", **ends, **values)

    def goal(self) -> str:
        """The milestone that counts, in words."""
        goal, words = self.document.forecast.plan.goal, self.document.words
        return words.plain(f"goal.{goal}") if words.has(f"goal.{goal}") else goal

    def enrollment_lead(self) -> Md:
        f = self.document.forecast
        return self.t(
            "enrollment.lead", draws=f"{f.draws:,}", months=str(f.months), goal=self.goal(), target=str(f.plan.target)
        )

    def enrollment_chance(self) -> Md:
        f = self.document.forecast
        low, high = f.interval(f.months, 0.8)
        return self.t(
            "enrollment.chance_line", months=str(f.months), chance=chance(f.probability_by(f.months)), low=str(low),
            high=str(high), goal=self.goal(),
        )  # fmt: skip

    def caveat(self) -> Md:
        p = self.document.policy
        if p.threshold > 1:
            return self.t("summary.caveat", threshold=str(p.threshold), margin=str(p.margin_threshold))
        return self.t("summary.caveat_policy")

    def clause_title(self, one: views.Clause) -> Md:
        kind = self.t(f"kind.{one.kind}")
        name = one.name or (self.document.words.name(one.costs[0].criterion) if len(one.costs) == 1 else "")
        title = [one.id, name] if name else [one.id]
        return self.t("clauses.heading", title=" ".join(title), kind=kind)

    def coverage(self) -> Md:
        table = self.document.protocol.coverage()
        n = table["status"].value_counts()
        return self.t(
            "known.coverage", clauses=str(len(table)), decided=str(n.get("assessable", 0)),
            partly=str(n.get("partly", 0)), assumed=str(n.get("not assessable", 0)),
        )  # fmt: skip

    def policy(self) -> Md:
        """The disclosure policy in words."""
        p = self.document.policy
        values = {"base": str(p.base), "threshold": str(p.threshold), "margin": str(p.margin_threshold)}
        if p.epsilon is not None:
            return self.t("methods.policy_dp", epsilon=f"{p.epsilon:g}")
        return self.t("methods.policy_rounding" if p.every_cell else "methods.policy_small", **values)

    def additive(self) -> Md:
        names = [tables.table_name(self.document, name) for name in self.document.release.margins
                 if name != "arrivals"]  # fmt: skip
        if not names:
            return self.t("methods.additive_all")
        return self.t("methods.additive", tables=self.document.words.listed(names))

    def promise(self) -> Md:
        d = self.document
        if d.policy.epsilon is not None:
            return self.t("promise.dp", epsilon=f"{d.policy.epsilon:g}")
        return self.t("promise.rounding")

    def not_promised(self) -> list[Md]:
        prefix = "not_promised_dp" if self.document.policy.epsilon is not None else "not_promised"
        return [self.t(f"{prefix}.{i}") for i in range(1, len(self.document.release.not_promised) + 1)]

    def flow(self, *parts: Md) -> Md:
        """Sentences after one another, with the blank that the language puts between them."""
        return Md(("" if self.document.language == "zh" else " ").join(p for p in parts if p))


def chance(p: float) -> str:
    """A chance in whole percent that never reads as certain.

    >>> chance(0.5), chance(0.999), chance(0.0001)
    ('50%', '>99%', '<1%')
    """
    if 0.995 <= p:
        return ">99%"
    return "<1%" if p < 0.005 else f"{100 * p:.0f}%"
