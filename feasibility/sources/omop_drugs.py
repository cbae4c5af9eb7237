"""drug_exposure as medications: ingredients and classes over concept_ancestor, strengths over drug_strength."""

from __future__ import annotations

import ibis

from feasibility.sources.drug_names import named
from feasibility.sources.omop_cdm import Cdm
from feasibility.sources.omop_rows import choose, coded, codes, fact_id, shape, with_name
from feasibility.sources.vocabulary import concept_texts

_TO_MG = {8576: 1.0, 8504: 1000.0, 9655: 0.001}


def medications(cdm: Cdm, stated: str):
    """One row per exposure and coding: OMOP drug, RxNorm, source code, ingredient (with daily dose) and ATC class.

    A daily dose is amount x quantity / days_supply where drug_strength gives the amount, or quantity / days_supply in
    ``dose_unit_source_value``; without these it is NULL.
    """
    t = with_name(cdm, cdm.table("drug_exposure"), "drug_concept_id", "name")
    t = with_name(cdm, t, "route_concept_id", "route")
    span = t.drug_exposure_end_date.delta(t.drug_exposure_start_date, unit="day") + 1
    days = ibis.cases((t.days_supply > 0, t.days_supply), (span > 0, span), else_=ibis.null("int64"))
    per_day = ibis.ifelse(t.quantity > 0, t.quantity, ibis.null("float64")) / days
    stated_unit = t.dose_unit_source_value.notnull() & per_day.notnull()
    facts = t.select(
        row_id=t.drug_exposure_id,
        fact_id=fact_id("drug_exposure", t.drug_exposure_id),
        pid=t.person_id,
        start=t.drug_exposure_start_date,
        stop=t.drug_exposure_end_date,
        generic=ibis.coalesce(t.name_name, t.drug_source_value),
        dose=ibis.ifelse(stated_unit, per_day, ibis.null("float64")),
        unit=t.dose_unit_source_value,
        freq=ibis.ifelse(stated_unit, ibis.literal("qd"), t.sig),
        route=ibis.coalesce(t.route_name, t.route_source_value),
        status=choose(t.drug_type_concept_id, concept_texts("drug_status")),
        per_day_=per_day,
        concept_=t.drug_concept_id,
        source_concept_=t.drug_source_concept_id,
        source_value_=t.drug_source_value,
    )
    if "drug_strength" in cdm:
        strength = _strength(cdm)
        facts = _with_dose(facts, strength.filter(strength.parts_ == 1), "left")
    parts = [coded(cdm, facts, "medications", stated)]
    if "drug_strength" in cdm:
        both = _with_dose(facts.drop("ingredient_"), strength, "inner")
        each = both.fact_id + ibis.literal("#") + both.ingredient_.cast("string")
        parts += _ingredient_rows(cdm, both.mutate(fact_id=ibis.ifelse(both.parts_ == 1, both.fact_id, each)))
    elif "concept_ancestor" in cdm and "concept" in cdm:
        parts += _ingredients(cdm, facts)
    if "concept_ancestor" in cdm and "concept" in cdm:
        parts.append(_classes(cdm, facts))
    if "drug_strength" not in cdm and "concept_ancestor" not in cdm:
        parts += _by_name(facts)
    return ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]


def _by_name(facts) -> list:
    """Without the tables that lead from a product to its ingredient, its name does, for listed ingredients."""
    products = facts.select("generic").distinct().to_pyarrow().column(0).to_pylist()
    arms: list[dict] = []
    for product, ingredient, form in named(products):
        arm = next((a for a in arms if product not in a), None)
        if arm is None:
            arms.append(arm := {})
        arm[product] = ingredient, form
    result = []
    for arm in arms:
        mine = facts.filter(facts.generic.isin(list(arm)))
        forms = {p: form for p, (_, form) in arm.items() if form}
        route = ibis.coalesce(mine.route, choose(mine.generic, forms)) if forms else mine.route
        code = choose(mine.generic, {p: ingredient for p, (ingredient, _) in arm.items()})
        result.append(shape(mine.mutate(system=ibis.literal("local"), code=code, route=route), "medications"))
    return result


def _strength(cdm: Cdm):
    """Each drug with its ingredients, their name and amount in mg, and how many of them there are."""
    t = cdm.table("drug_strength").filter(lambda s: s.drug_concept_id != s.ingredient_concept_id)
    count = t.group_by("drug_concept_id").aggregate(parts_=lambda s: s.count())
    t = with_name(cdm, t.join(count, "drug_concept_id"), "ingredient_concept_id", "ingredient")
    factor = ibis.cases(*[(t.amount_unit_concept_id == u, f) for u, f in _TO_MG.items()], else_=ibis.null("float64"))
    return t.select(
        drug_="drug_concept_id", ingredient_="ingredient_concept_id", ingredient_name_="ingredient_name",
        amount_=t.amount_value * factor, parts_="parts_",
    )  # fmt: skip


def _with_dose(facts, strength, how: str):
    """``facts`` with the ingredient's name and the daily dose its strength gives."""
    extra = ["parts_", "drug_", "amount_", "ingredient_name_"]
    j = facts.drop(*[c for c in extra if c in facts.columns])
    j = j.join(strength, j.concept_ == strength.drug_, how=how)
    dose = j.amount_ * j.per_day_
    return j.mutate(
        generic=ibis.coalesce(j.ingredient_name_, j.generic),
        dose=ibis.coalesce(dose, j.dose),
        unit=ibis.ifelse(dose.notnull(), ibis.literal("mg"), j.unit),
        freq=ibis.ifelse(dose.notnull(), ibis.literal("qd"), j.freq),
    )


def _ingredients(cdm: Cdm, facts) -> list:
    concept = cdm.table("concept")
    ingredient = concept.filter(concept.concept_class_id == "Ingredient").select(
        ingredient_id="concept_id", generic_name="concept_name"
    )
    tree = cdm.table("concept_ancestor")
    tree = tree.filter(tree.ancestor_concept_id != tree.descendant_concept_id)
    tree = tree.join(ingredient, tree.ancestor_concept_id == ingredient.ingredient_id)
    j = facts.join(tree, facts.concept_ == tree.descendant_concept_id)
    return _ingredient_rows(cdm, j.mutate(generic=j.generic_name, ingredient_=j.ingredient_id))


def _ingredient_rows(cdm: Cdm, rows) -> list:
    result = [shape(rows.mutate(system=ibis.literal("omop"), code=rows.ingredient_.cast("string")), "medications")]
    known = codes(cdm)
    if known is not None:
        result.append(shape(rows.join(known, rows.ingredient_ == known.code_concept), "medications"))
    return result


def _classes(cdm: Cdm, facts):
    known = codes(cdm)
    classes = known.filter(known.system == "atc")
    tree = cdm.table("concept_ancestor")
    tree = tree.join(classes, tree.ancestor_concept_id == classes.code_concept)
    return shape(facts.join(tree, facts.concept_ == tree.descendant_concept_id), "medications")
