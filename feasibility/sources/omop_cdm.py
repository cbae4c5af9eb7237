"""The OMOP CDM tables an extract needs, typed the same on every engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import ibis

from feasibility.errors import ReadError


@ibis.udf.scalar.builtin
def convert_to(text: str, encoding: str) -> bytes:
    """PostgreSQL's own function: the bytes of a text."""


def _columns(spec: str) -> dict[str, str]:
    return dict(word.partition(":")[::2] for word in spec.split())


CDM: Mapping[str, Mapping[str, str]] = {
    name: _columns(spec)
    for name, spec in {
        "person": "person_id:key gender_concept_id:int64 year_of_birth:int64 month_of_birth:int64 day_of_birth:int64 "
        "birth_datetime:date gender_source_value:string location_id:key care_site_id:key",
        "death": "person_id:key death_date:date",
        "observation_period": "observation_period_id:int64 person_id:key observation_period_start_date:date "
        "observation_period_end_date:date",
        "visit_occurrence": "visit_occurrence_id:int64 person_id:key visit_start_date:date visit_end_date:date",
        "condition_occurrence": "condition_occurrence_id:int64 person_id:key condition_concept_id:int64 "
        "condition_start_date:date condition_source_value:string condition_source_concept_id:int64 "
        "condition_status_concept_id:int64 condition_status_source_value:string",
        "procedure_occurrence": "procedure_occurrence_id:int64 person_id:key procedure_concept_id:int64 "
        "procedure_date:date procedure_source_value:string procedure_source_concept_id:int64",
        "drug_exposure": "drug_exposure_id:int64 person_id:key drug_concept_id:int64 drug_exposure_start_date:date "
        "drug_exposure_end_date:date verbatim_end_date:date drug_type_concept_id:int64 quantity:float64 "
        "days_supply:int64 sig:string route_concept_id:int64 drug_source_value:string drug_source_concept_id:int64 "
        "route_source_value:string dose_unit_source_value:string",
        "measurement": "measurement_id:int64 person_id:key measurement_concept_id:int64 measurement_date:date "
        "operator_concept_id:int64 value_as_number:float64 value_as_concept_id:int64 unit_concept_id:int64 "
        "range_low:float64 range_high:float64 measurement_source_value:string measurement_source_concept_id:int64 "
        "unit_source_value:string value_source_value:string",
        "observation": "observation_id:int64 person_id:key observation_concept_id:int64 observation_date:date "
        "value_as_number:float64 value_as_string:string value_as_concept_id:int64 unit_concept_id:int64 "
        "observation_source_value:string observation_source_concept_id:int64 unit_source_value:string "
        "value_source_value:string observation_event_id:int64",
        "episode": "episode_id:int64 person_id:key episode_concept_id:int64 episode_start_date:date "
        "episode_end_date:date episode_number:int64 episode_source_value:string",
        "concept": "concept_id:int64 concept_name:string domain_id:string vocabulary_id:string "
        "concept_class_id:string concept_code:string",
        "concept_ancestor": "ancestor_concept_id:int64 descendant_concept_id:int64",
        "drug_strength": "drug_concept_id:int64 ingredient_concept_id:int64 amount_value:float64 "
        "amount_unit_concept_id:int64",
        "location": "location_id:key state:string",
        "care_site": "care_site_id:key care_site_name:string",
    }.items()
}
"""Tables of the CDM (5.3 and 5.4) and their columns that are read, with types; ``key`` is an id kept as text."""

NEEDED: Mapping[str, tuple[str, ...]] = {
    "person": ("person_id", "gender_concept_id"),
    "death": ("person_id", "death_date"),
    "observation_period": ("person_id", "observation_period_start_date", "observation_period_end_date"),
    "visit_occurrence": ("person_id", "visit_start_date"),
    "condition_occurrence": ("person_id", "condition_concept_id", "condition_start_date"),
    "procedure_occurrence": ("person_id", "procedure_concept_id", "procedure_date"),
    "drug_exposure": ("person_id", "drug_concept_id", "drug_exposure_start_date"),
    "measurement": ("person_id", "measurement_concept_id", "measurement_date"),
    "observation": ("person_id", "observation_concept_id", "observation_date"),
    "episode": ("person_id", "episode_concept_id", "episode_start_date"),
    "concept": ("concept_id", "vocabulary_id", "concept_code"),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id"),
    "drug_strength": ("drug_concept_id", "ingredient_concept_id"),
    "location": ("location_id",),
    "care_site": ("care_site_id",),
}
"""Columns without which a table says nothing."""

EVENT_TABLES = {
    "condition_occurrence": "diagnoses",
    "measurement": "labs",
    "drug_exposure": "medications",
    "procedure_occurrence": "procedures",
    "death": "patients",
    "observation": "labs",
    "observation_period": "observed",
    "visit_occurrence": "observed",
}
"""Which event table loses something when a CDM table is not there."""


@dataclass(frozen=True)
class Cdm:
    """The CDM tables found, each an Ibis table with the columns of ``CDM`` that it has, in lower case."""

    con: object
    tables: Mapping[str, object]
    name: str
    quality: list[dict] = field(default_factory=list)
    facts: dict = field(default_factory=dict)
    renumber: set = field(default_factory=set)
    """Tables whose own keys are repeated or blank: their rows are numbered anew, always in the same order."""

    def __contains__(self, table: str) -> bool:
        return table in self.tables

    def table(self, name: str):
        """The table with every declared column, typed; a column the source lacks is NULL throughout."""
        source = self.tables[name]
        columns = {}
        for column, dtype in CDM[name].items():
            plain = "string" if dtype == "key" else dtype
            if column in source.columns:
                columns[column] = self._typed(source[column], dtype, f"{name}.{column}")
            else:
                columns[column] = ibis.null(plain)
        result = source.select(**columns)
        key = f"{name}_id"
        if CDM[name].get(key) != "int64" or (key in source.columns and name not in self.renumber):
            return result
        order = [key, *NEEDED[name], *(c for c in CDM[name] if c != key and c not in NEEDED[name])]
        numbered = ibis.row_number().over(order_by=[self.code_points(result[c]) for c in order])
        return result.mutate(**{key: numbered.cast("int64") + 1})

    def code_points(self, value):
        """What to order by so that a text stands where its code points put it, whatever the database's collation."""
        return convert_to(value, "UTF8") if self.con.name == "postgres" and value.type().is_string() else value

    def _typed(self, value, dtype: str, where: str):
        kind = value.type()
        if dtype == "key":
            return value.cast("int64").cast("string") if kind.is_numeric() else value.cast("string")
        if dtype == "string":
            return value.cast("string")
        if kind.is_string():
            if self.con.name != "duckdb":
                raise ReadError(
                    f"{self.name}: {where} is text in the database, and reading it as {dtype} could fail half-way. "
                    "Make a view in which it has its CDM type and name the view's schema in the mapping."
                )
            return value.try_cast(dtype)
        if dtype == "date" and not (kind.is_date() or kind.is_timestamp()):
            raise ReadError(f"{self.name}: {where} is of type {kind}, not a date.")
        return value.cast(dtype)


def find_tables(available: Mapping[str, object], renamed: Mapping[str, str], name: str) -> dict[str, object]:
    """The CDM tables among ``available`` (any case), columns in lower case; checked for what they cannot do without.

    ``renamed`` gives the name of a table where it is not that of the CDM.
    """
    lower = {}
    for given in available:
        if given.lower() in lower and given.lower() in CDM:
            raise ReadError(f"{name}: there are two tables {lower[given.lower()]!r} and {given!r}. Keep one.")
        lower.setdefault(given.lower(), given)
    found = {}
    for table in CDM:
        given = lower.get(renamed.get(table, table).lower())
        if given is None:
            if table in renamed:
                raise ReadError(f"{name}: the mapping says {table} is {renamed[table]!r}, which is not there.")
            continue
        found[table] = available[given]
    return found


def lower_columns(table, name: str):
    """``table`` with its column names in lower case."""
    names: dict[str, str] = {}
    for column in table.columns:
        if column.lower() in names:
            raise ReadError(f"{name}: two columns are called {column.lower()!r} but for upper and lower case.")
        names[column.lower()] = column
    return table.select(**{lower: table[column] for lower, column in names.items()})
