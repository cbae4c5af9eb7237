"""measurement and observation as labs, statements, performance, ejection fractions, allergies and local events."""

from __future__ import annotations

import ibis

from feasibility.sources.events import TABLES
from feasibility.sources.omop_cdm import Cdm
from feasibility.sources.omop_rows import choose, coded, fact_id, shape, with_name
from feasibility.sources.vocabulary import answers, concept_texts, rows

_SIGN = r"^\s*(<=|>=|≤|≥|<|>)"
_NUMBER = r"^\s*[-+]?([0-9]{1,18}([.][0-9]{0,18})?|[.][0-9]{1,18})([eE][-+]?[0-9]{1,2})?\s*$"
LOCAL = "feasibility:"


def _answer(cdm: Cdm, table):
    """``table`` with ``answer_``: the text of value_as_concept_id (positive, negative, an ECOG grade, a name)."""
    known = choose(table.value_as_concept_id, concept_texts("answer"))
    if "concept" not in cdm:
        return table.mutate(answer_=known)
    concept = cdm.table("concept").filter(lambda c: c.concept_id != 0)
    codes_of = [((concept.vocabulary_id.lower() == s) & (concept.concept_code == c), ibis.literal(text))
                for (s, c), text in answers().items()]  # fmt: skip
    concept = concept.select(
        answer_id=concept.concept_id, answer_name=ibis.cases(*codes_of, else_=concept.concept_name)
    )
    joined = table.left_join(concept, table.value_as_concept_id == concept.answer_id).drop("answer_id")
    return joined.mutate(answer_=ibis.coalesce(known, joined.answer_name)).drop("answer_name")


def _unit(cdm: Cdm, table):
    """``table`` with ``ucum_``: the UCUM text of unit_concept_id, else the source's own unit."""
    known = choose(table.unit_concept_id, concept_texts("unit"))
    if "concept" not in cdm:
        return table.mutate(ucum_=ibis.coalesce(known, table.unit_source_value))
    concept = cdm.table("concept").filter(lambda c: (c.vocabulary_id == "UCUM") & (c.concept_id != 0))
    concept = concept.select(unit_id=concept.concept_id, unit_code=concept.concept_code)
    joined = table.left_join(concept, table.unit_concept_id == concept.unit_id).drop("unit_id")
    return joined.mutate(ucum_=ibis.coalesce(known, joined.unit_code, joined.unit_source_value)).drop("unit_code")


def measurements(cdm: Cdm):
    """measurement as lab facts, still with their concepts; a sign in front of the source's value is a comparator."""
    t = _unit(cdm, _answer(cdm, cdm.table("measurement")))
    sign = ibis.ifelse(
        t.value_source_value.re_search(_SIGN), t.value_source_value.re_extract(_SIGN, 1), ibis.null("string")
    )
    sign = choose(sign, {"≤": "<=", "≥": ">="}, sign)
    return t.select(
        row_id=t.measurement_id * 2,
        fact_id=fact_id("measurement", t.measurement_id),
        pid=t.person_id,
        date=t.measurement_date,
        local_name=t.measurement_source_value,
        value_text=ibis.coalesce(
            t.answer_, ibis.ifelse(t.value_as_number.isnull(), t.value_source_value, ibis.null("string"))
        ),
        value_num=t.value_as_number,
        comparator=ibis.coalesce(
            choose(t.operator_concept_id, concept_texts("comparator")),
            ibis.ifelse(t.value_as_number.notnull(), sign, ibis.null("string")),
        ),
        unit=t.ucum_,
        ref_low=t.range_low,
        ref_high=t.range_high,
        concept_=t.measurement_concept_id,
        source_concept_=t.measurement_source_concept_id,
        source_value_=t.measurement_source_value,
    )


def observations(cdm: Cdm):
    """observation with its answer, unit, concept name and vocabulary; local events of this package left out."""
    t = _unit(cdm, _answer(cdm, cdm.table("observation")))
    t = t.filter(~t.observation_source_value.fill_null("").startswith(LOCAL))
    t = with_name(cdm, t, "observation_concept_id", "name")
    if "concept" in cdm:
        concept = cdm.table("concept").select(vocabulary_="vocabulary_id", concept_key="concept_id")
        t = t.left_join(concept, t.observation_concept_id == concept.concept_key).drop("concept_key")
    else:
        t = t.mutate(vocabulary_=ibis.null("string"))
    valued = t.value_as_number.notnull() | t.value_as_string.notnull() | t.answer_.notnull()
    return t.mutate(question_=valued | (t.vocabulary_.fill_null("") == "LOINC"))


def labs(cdm: Cdm, stated: str):
    """measurement, and the observations that answer a question (have a value, or a LOINC concept)."""
    parts = []
    if "measurement" in cdm:
        parts.append(measurements(cdm))
    if "observation" in cdm:
        t = observations(cdm)
        t = t.filter(t.question_)
        parts.append(
            t.select(
                row_id=t.observation_id * 2 + 1,
                fact_id=fact_id("observation", t.observation_id),
                pid=t.person_id,
                date=t.observation_date,
                local_name=t.observation_source_value,
                value_text=ibis.coalesce(
                    t.answer_, t.value_as_string,
                    ibis.ifelse(t.value_as_number.isnull(), t.value_source_value, ibis.null("string")),
                ),
                value_num=t.value_as_number,
                comparator=ibis.null("string"),
                unit=t.ucum_,
                ref_low=ibis.null("float64"),
                ref_high=ibis.null("float64"),
                concept_=t.observation_concept_id,
                source_concept_=t.observation_source_concept_id,
                source_value_=t.observation_source_value,
            )
        )  # fmt: skip
    arms = [coded(cdm, part, "labs", stated) for part in parts]
    return ibis.union(*arms, distinct=False) if len(arms) > 1 else arms[0]


def statements(cdm: Cdm, stated: str):
    """Observations that state something without a value (a history of, a status) as diagnoses of type observation."""
    t = observations(cdm)
    t = t.filter(~t.question_)
    facts = t.select(
        row_id=t.observation_id * 2 + 1,
        fact_id=fact_id("observation", t.observation_id),
        pid=t.person_id,
        dx_date=t.observation_date,
        text=ibis.coalesce(t.name_name, t.observation_source_value),
        type=ibis.literal("observation"),
        concept_=t.observation_concept_id,
        source_concept_=t.observation_source_concept_id,
        source_value_=t.observation_source_value,
    )
    return coded(cdm, facts, "diagnoses", stated)


def allergies(cdm: Cdm):
    """Observations whose concept is called an allergy; the agent is the rest of the name, or the coded value."""
    t = observations(cdm)
    name = t.name_name.lower()
    t = t.filter(name.re_search(r"^(allergy to |allergic reaction to |.* allergy$)"))
    agent = t.name_name.re_replace(r"(?i)^allerg(y|ic reaction) to ", "").re_replace(r"(?i) allergy$", "")
    rows_ = t.select(
        row_id=t.observation_id, pid=t.person_id, date=t.observation_date,
        agent=ibis.coalesce(t.answer_, t.value_as_string, agent), status=ibis.literal("active"),
    )  # fmt: skip
    return shape(rows_, "allergies")


def routed(lab_table, name: str):
    """Rows of labs whose code is that of a performance scale or an ejection fraction, as that event table."""
    routes = [r for r in rows("routes") if r["table"] == name]
    t = lab_table
    hit = [(t.system == r["system"]) & (t.code == r["code"]) for r in routes]
    label = ibis.cases(
        *[(h, ibis.literal(r["label"] or None, type="string")) for h, r in zip(hit, routes, strict=True)],
        else_=ibis.null("string"),
    )
    t = t.mutate(label_=label).filter(ibis.or_(*hit))
    common = {"row_id": t.row_id, "pid": t.pid, "date": t.date, "date_last": t.date_last}
    if name == "echo":
        return shape(t.filter(t.value_num.notnull()).select(**common, lvef=t.value_num, method=t.label_), name)
    number = t.value_num.round().cast("int64").cast("string")
    scored = t.select(**common, scale=t.label_, score=ibis.coalesce(t.value_text, number))
    return shape(scored.filter(scored.score.notnull()), name)


def local_events(cdm: Cdm, name: str):
    """An event table that travels as local observations: ``feasibility:<table>.<column>`` grouped by event number."""
    spec = TABLES[name]
    t = cdm.table("observation")
    prefix = f"{LOCAL}{name}"
    source = t.observation_source_value
    t = t.filter((source == prefix) | source.startswith(prefix + "."))
    word = t.observation_source_value
    text = ibis.coalesce(t.value_as_string, _number_text(t.value_as_number))
    found = {}
    for column in spec:
        if column.name in ("pid", spec.date):
            continue
        here = word == f"{prefix}.{column.name}"
        value = text
        if column.dtype in ("float64", "int64"):
            value = ibis.coalesce(t.value_as_number, _text_number(t.value_as_string))
        # Of several the last entered: which text is greatest depends on the database's collation.
        found[column.name] = value.argmax(t.observation_id, where=here & value.notnull())
    grouped = t.group_by("person_id", "observation_event_id", "observation_date").aggregate(
        row_id=t.observation_id.min(), **found
    )
    columns = {"row_id": grouped.row_id, "pid": grouped.person_id}
    if spec.date:
        columns[spec.date] = grouped.observation_date
    for column in spec:
        if column.name not in found:
            continue
        value = grouped[column.name]
        if column.dtype == "date":
            first, last = _partial(value)
            columns |= {column.name: first, f"{column.name}_last": last}
        elif column.dtype == "boolean":
            yes, no = value.lower().isin(["true", "1", "1.0"]), value.lower().isin(["false", "0", "0.0"])
            columns[column.name] = ibis.cases((yes, True), (no, False), else_=ibis.null("boolean"))
        else:
            if column.dtype == "int64":  # beyond that a cast fails, or a number is not the one that was written
                value = ibis.ifelse(value.abs() < 1e15, value, ibis.null("float64"))
            columns[column.name] = value.cast(column.dtype)
    return shape(grouped.select(**columns), name)


def _text_number(text):
    """The number a text is, NULL for any other text: no engine but DuckDB can try a cast."""
    return ibis.ifelse(text.re_search(_NUMBER), text, ibis.null("string")).cast("float64")


def _number_text(number):
    """A number as text, a whole one without a decimal point: engines differ in how they write it."""
    whole = (number.abs() < 1e15) & (number == number.round())
    small = ibis.ifelse(whole, number, ibis.null("float64"))
    return ibis.ifelse(whole, small.cast("int64").cast("string"), number.cast("string"))


def _partial(text):
    """First and last possible day of 2024-05-01, 2024-05 or 2024 as text; NULL for anything else."""
    full = ibis.ifelse(text.re_search(r"^\d{4}-\d{2}-\d{2}"), text, ibis.null("string"))
    month = ibis.ifelse(text.re_search(r"^\d{4}-\d{2}$"), text + ibis.literal("-01"), ibis.null("string"))
    year = ibis.ifelse(text.re_search(r"^\d{4}$"), text + ibis.literal("-01-01"), ibis.null("string"))
    full, month, year = full.left(10).cast("date"), month.cast("date"), year.cast("date")
    month_end = (month + ibis.interval(months=1) - ibis.interval(days=1)).cast("date")
    year_end = (year + ibis.interval(months=12) - ibis.interval(days=1)).cast("date")
    return ibis.coalesce(full, month, year), ibis.coalesce(full, month_end, year_end)
