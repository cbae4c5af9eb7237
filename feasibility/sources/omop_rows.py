"""OMOP CDM tables as canonical events: people, observation periods, diagnoses, procedures, medications, courses.

Everything is an Ibis expression that runs unchanged on DuckDB and PostgreSQL.
"""

from __future__ import annotations

import ibis

from feasibility.sources.events import TABLES
from feasibility.sources.omop_cdm import Cdm
from feasibility.sources.vocabulary import code_systems, concept_texts

_CODE = r"^[A-Za-z]{0,4}-?[0-9][-A-Za-z0-9.]*$"
"""A source value of this shape is a code; anything else is what the doctor wrote, better than a concept's name."""


def shape(table, name: str):
    """``table`` with exactly the columns of event table ``name``: missing ones NULL, full dates repeated as last."""
    columns = {}
    for column, dtype in TABLES[name].physical().items():
        if column in table.columns:
            columns[column] = table[column].cast(dtype)
        elif column.endswith("_last") and column.removesuffix("_last") in table.columns:
            columns[column] = table[column.removesuffix("_last")].cast("date")
        else:
            columns[column] = ibis.null(dtype)
    return table.select(**columns)


def choose(value, texts: dict, default=None):
    """The text of each concept id that has one, else ``default`` (an Ibis value), else NULL."""
    branches = [(value == key, ibis.literal(text)) for key, text in texts.items()]
    return ibis.cases(*branches, else_=ibis.null("string") if default is None else default)


def codes(cdm: Cdm):
    """concept_id with the code system and code it stands for; None without a concept table."""
    if "concept" not in cdm:
        return None
    concept = cdm.table("concept")
    systems = code_systems("omop")
    concept = concept.filter(concept.vocabulary_id.isin(list(systems)) & concept.concept_code.notnull())
    return concept.select(
        code_concept=concept.concept_id, system=choose(concept.vocabulary_id, systems), code=concept.concept_code
    )


def names(cdm: Cdm, prefix: str):
    """concept_id and name, as ``<prefix>_id`` and ``<prefix>_name``; None without a concept table."""
    if "concept" not in cdm:
        return None
    concept = cdm.table("concept").filter(lambda t: t.concept_id != 0)
    return concept.select(**{f"{prefix}_id": concept.concept_id, f"{prefix}_name": concept.concept_name})


def with_name(cdm: Cdm, table, column: str, prefix: str):
    """``table`` with the concept's name as ``<prefix>_name``, NULL where it has none."""
    known = names(cdm, prefix)
    if known is None:
        return table.mutate(**{f"{prefix}_name": ibis.null("string")})
    return table.left_join(known, table[column] == known[f"{prefix}_id"]).drop(f"{prefix}_id")


def coded(cdm: Cdm, facts, name: str, stated: str = "local"):
    """One row per fact and coding: the OMOP concept, its own code, the source's code, listed ancestors, local text.

    ``facts`` has the event columns plus concept_, source_concept_ and source_value_. A fact without any concept keeps
    its row under system ``stated`` with the source's text, so nothing unmapped is lost.
    """
    filled = facts.mutate(concept_=facts.concept_.fill_null(0), source_concept_=facts.source_concept_.fill_null(0))
    mapped = filled.filter(filled.concept_ != 0)
    arms = [mapped.mutate(system=ibis.literal("omop"), code=mapped.concept_.cast("string"))]
    known = codes(cdm)
    unresolved = filled
    if known is not None:
        arms.append(filled.join(known, filled.concept_ == known.code_concept))
        other = filled.filter((filled.source_concept_ != 0) & (filled.source_concept_ != filled.concept_))
        arms.append(other.join(known, other.source_concept_ == known.code_concept))
        unresolved = filled.anti_join(known, filled.source_concept_ == known.code_concept)
    text = unresolved.source_value_
    arms.append(
        unresolved.filter(text.notnull() | (unresolved.concept_ == 0)).mutate(
            system=ibis.ifelse(text.notnull(), ibis.literal(stated), ibis.null("string")), code=text
        )
    )
    wanted = cdm.facts.get("ancestors") or ()
    if "concept_ancestor" in cdm and wanted:
        tree = cdm.table("concept_ancestor")
        tree = tree.filter(
            tree.ancestor_concept_id.isin(sorted(wanted)) & (tree.ancestor_concept_id != tree.descendant_concept_id)
        )
        above = mapped.join(tree, mapped.concept_ == tree.descendant_concept_id)
        arms.append(above.mutate(system=ibis.literal("omop"), code=above.ancestor_concept_id.cast("string")))
    return ibis.union(*[shape(arm, name) for arm in arms], distinct=False)


def fact_id(table, key) -> object:
    """``table:key`` as text, the same for all codings of a fact."""
    return ibis.literal(f"{table}:") + key.cast("string")


def patients(cdm: Cdm):
    """person with death and the end of the last visit; a birth date without day or month keeps both possible ends."""
    person = cdm.table("person")
    year, month, day = person.year_of_birth, person.month_of_birth, person.day_of_birth
    sound = year.between(1850, 2150)
    month_known = sound & month.between(1, 12)
    first = ibis.date(ibis.ifelse(sound, year, 2000), ibis.ifelse(month_known, month, 1), 1)
    full_day = first + day.fill_null(1).cast("int64").as_interval("D") - ibis.interval(days=1)
    month_end = first + ibis.interval(months=1) - ibis.interval(days=1)
    year_end = first + ibis.interval(months=12) - ibis.interval(days=1)
    day_known = month_known & day.between(1, 31) & (full_day.cast("date").month() == month)
    recorded = person.birth_datetime
    born = ibis.cases((day_known, full_day.cast("date")), (sound, first), else_=recorded)
    last = ibis.cases(
        (day_known, full_day.cast("date")), (month_known, month_end.cast("date")), (sound, year_end.cast("date")),
        else_=recorded,
    )  # fmt: skip
    result = person.select(
        person_id=person.person_id,
        birth_date=born,
        birth_date_last=last,
        sex=choose(person.gender_concept_id, concept_texts("sex"), person.gender_source_value),
        site_id=person.care_site_id,
        location_id=person.location_id,
    )
    if "death" in cdm:
        death = cdm.table("death").group_by("person_id").aggregate(death_date=lambda t: t.death_date.min())
        result = result.left_join(death, "person_id").drop("person_id_right")
    if "visit_occurrence" in cdm:
        visit = cdm.table("visit_occurrence")
        visit = visit.group_by("person_id").aggregate(
            last_visit=ibis.coalesce(visit.visit_end_date, visit.visit_start_date).max()
        )
        result = result.left_join(visit, "person_id").drop("person_id_right")
    if "care_site" in cdm:
        site = cdm.table("care_site").select("care_site_id", site_name="care_site_name")
        result = result.left_join(site, result.site_id == site.care_site_id).drop("care_site_id")
        result = result.mutate(site_id=ibis.coalesce(result.site_name, result.site_id))
    if "location" in cdm:
        place = cdm.table("location").select("location_id", region=lambda t: t.state)
        result = result.left_join(place, "location_id").drop("location_id_right")
    number = ibis.row_number().over(order_by=cdm.code_points(result.person_id))
    numbered = result.mutate(pid=result.person_id, row_id=number)
    return shape(numbered, "patients")


def observed(cdm: Cdm):
    """observation_period, and every visit: both show that the patient was seen."""
    parts = []
    if "observation_period" in cdm:
        t = cdm.table("observation_period")
        parts.append(
            t.select(
                row_id=t.observation_period_id * 2, pid=t.person_id, start=t.observation_period_start_date,
                stop=t.observation_period_end_date,
            )
        )  # fmt: skip
    if "visit_occurrence" in cdm:
        t = cdm.table("visit_occurrence")
        stop = ibis.coalesce(t.visit_end_date, t.visit_start_date)
        parts.append(
            t.select(row_id=t.visit_occurrence_id * 2 + 1, pid=t.person_id, start=t.visit_start_date, stop=stop)
        )
    return ibis.union(*[shape(p, "observed") for p in parts], distinct=False) if parts else None


def conditions(cdm: Cdm, stated: str):
    """condition_occurrence as diagnoses."""
    t = with_name(cdm, cdm.table("condition_occurrence"), "condition_concept_id", "name")
    facts = t.select(
        row_id=t.condition_occurrence_id * 2,
        fact_id=fact_id("condition_occurrence", t.condition_occurrence_id),
        pid=t.person_id,
        dx_date=t.condition_start_date,
        text=ibis.coalesce(
            ibis.ifelse(t.condition_source_value.re_search(_CODE), ibis.null("string"), t.condition_source_value),
            t.name_name,
            t.condition_source_value,
        ),
        type=choose(t.condition_status_concept_id, concept_texts("diagnosis_type")),
        dx_status=t.condition_status_source_value,
        concept_=t.condition_concept_id,
        source_concept_=t.condition_source_concept_id,
        source_value_=t.condition_source_value,
    )
    return coded(cdm, facts, "diagnoses", stated)


def procedures(cdm: Cdm, stated: str):
    """procedure_occurrence as procedures."""
    t = with_name(cdm, cdm.table("procedure_occurrence"), "procedure_concept_id", "name")
    facts = t.select(
        row_id=t.procedure_occurrence_id,
        fact_id=fact_id("procedure_occurrence", t.procedure_occurrence_id),
        pid=t.person_id,
        date=t.procedure_date,
        text=ibis.coalesce(t.name_name, t.procedure_source_value),
        concept_=t.procedure_concept_id,
        source_concept_=t.procedure_source_concept_id,
        source_value_=t.procedure_source_value,
    )
    return coded(cdm, facts, "procedures", stated)


def courses(cdm: Cdm):
    """episode (CDM 5.4): treatment regimens, concept 32531, as courses."""
    t = cdm.table("episode").filter(lambda e: e.episode_concept_id == 32531)
    rows = t.select(
        row_id=t.episode_id, pid=t.person_id, course_no=t.episode_number, phase=t.episode_source_value,
        start=t.episode_start_date, stop=t.episode_end_date,
    )  # fmt: skip
    return shape(rows, "courses")
