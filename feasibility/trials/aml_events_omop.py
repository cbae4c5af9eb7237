"""The synthetic registry's events as a folder of OMOP CDM v5.4 tables.

What the model has no table for (responses, courses, transplant details, infections, allergies with their severity ...)
travels as local observations: ``observation_source_value`` is ``feasibility:<table>.<column>`` and the rows of one
event share ``observation_event_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from feasibility.cohort.codelists import contains, load
from feasibility.cohort.made_up import mark
from feasibility.trials.aml_events import Problems, RegistryEvents
from feasibility.trials.aml_events_labs import TESTS
from feasibility.trials.aml_events_native import CANNOT as CANNOT_NATIVE
from feasibility.trials.aml_events_native import LAYOUT, as_events, as_text, iso, native_table, write_table
from feasibility.trials.aml_registry import Registry

LOCAL = "feasibility:"
FIRST_LOCAL_CONCEPT = 2_000_000_001
ORDERED, EHR = 32838, 32817
UNITS = {"g/L": 8636, "g/dL": 8713, "umol/L": 8749, "mg/dL": 8840, "U/L": 8645, "%": 8554, "10^9/L": 9444,
         "×10^9/L": 9444, "10*9/L": 9444, "cells/uL": 8784, "IU/mL": 8985}  # fmt: skip
ANSWERS = {"positive": 9191, "阳性": 9191, "阳性(+)": 9191, "+": 9191, "negative": 9189, "阴性": 9189, "阴性(-)": 9189,
           "-": 9189, "未检出": 9190}  # fmt: skip
SCALES = {"ECOG": "89247-1", "KPS": "89243-0", "NYHA": "88020-3"}
LVEF = "18043-0"
PER_DAY = {"qd": 1.0, "bid": 2.0, "qod": 0.5, "qw": 1 / 7}
# Lists whose OMOP concept the writer uses; others stay unmapped, as in a real database, and keep their own words.
MAPPED = ("aml", "heart_failure", "acute_mi", "hepatitis_a", "hepatitis_b", "hepatitis_c", "hiv")
AS_OBSERVATIONS = ("courses", "responses", "transplants", "infections", "allergies", "flow", "repro", "transfusions")

NEEDS_INDICATION = (
    "nonsteroid_is_days", "nonsteroid_is_days_ever", "steroid_days", "steroid_days_ever", "steroid_mg_day_mean",
    "steroid_mg_day_current", "steroid_mg_day_max", "steroid_mg_day_max_ever",
)  # fmt: skip
CANNOT: Mapping[str, str] = (
    dict(CANNOT_NATIVE)
    | dict.fromkeys(NEEDS_INDICATION, "drug_exposure has no indication: unknown for patients with an order")
    | {"site_id": "the number of the care site; its name is in care_site"}
)
"""Columns this format does not carry, and why. Months without a day cannot be written: the true day is."""


def write_omop(registry: Registry | RegistryEvents, folder: str | Path, problems: Problems | None = None):
    """Write the OMOP CDM v5.4 tables as CSV files; returns the ``RegistryEvents`` with ledger and counts.

    ``person_id`` is the number of the patient, its name is ``person_source_value``.
    """
    events = as_events(registry, problems)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark(folder)
    concepts = _Concepts()
    tables = _people(events)
    for step in (_conditions, _drugs, _measurements, _procedures):
        name, table = step(events, concepts)
        tables[name] = table
    tables["observation"] = _observations(events)
    tables["concept"] = concepts.table()
    for name, columns in tables.items():
        write_table(folder / f"{name}.csv", columns, tuple(columns))
    return events


class _Concepts:
    """Concept ids of source codes, numbered from two billion, and of the standard concepts in use."""

    def __init__(self):
        self.known: dict[tuple[str, str], int] = {}
        self.standard: dict[int, str] = {}

    def of(self, vocabulary: str, codes: np.ndarray) -> np.ndarray:
        """The concept of each code; 0 for a blank one."""
        positions, distinct = pd.factorize(pd.Series(codes, dtype=object), use_na_sentinel=True)
        ids = [self._one(vocabulary, code) if code else 0 for code in distinct]
        return np.array([*ids, 0])[positions]

    def _one(self, vocabulary: str, code: str) -> int:
        return self.known.setdefault((vocabulary, code), FIRST_LOCAL_CONCEPT + len(self.known))

    def mapped(self, lists, system: str, codes: np.ndarray) -> np.ndarray:
        """The standard concept of the first list that holds the code, 0 for none."""
        positions, distinct = pd.factorize(pd.Series(codes, dtype=object), use_na_sentinel=True)
        ids = [self._standard(lists, system, code) for code in distinct]
        return np.array([*ids, 0])[positions]

    def _standard(self, lists, system: str, code: str) -> int:
        for name in lists:
            if contains(name, system, code):
                table = load(name)
                term = table.loc[(table["system"] == system) & (table["code"] == code), "term"]
                rows = table[table["system"] == "omop"]
                # Of a list of several drugs, the one of the same name.
                same = rows[rows["term"].isin(term)] if len(rows) > 1 and len(term) else rows
                if len(same):
                    self.standard[int(same["code"].iloc[0])] = same["term"].iloc[0]
                    return int(same["code"].iloc[0])
        return 0

    def table(self) -> dict[str, np.ndarray]:
        rows = [(k, term, "", "OMOP", str(k)) for k, term in sorted(self.standard.items())]
        rows += [(k, code, "", vocabulary, code) for (vocabulary, code), k in self.known.items()]
        names = ("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_code")
        columns = {name: np.array([row[j] for row in rows], dtype=object) for j, name in enumerate(names)}
        return columns | {"concept_id": columns["concept_id"].astype(np.int64)}


def _number(n: int) -> np.ndarray:
    return np.arange(1, n + 1)


def _people(events: RegistryEvents) -> dict[str, dict[str, np.ndarray]]:
    people = events.tables["patients"]
    n = len(people)
    birth = people["birth_date"].to_numpy().astype("M8[D]")
    year, month = birth.astype("M8[Y]").astype(int) + 1970, birth.astype("M8[M]").astype(int) % 12 + 1
    day = (birth - birth.astype("M8[M]").astype("M8[D]")).astype(int) + 1
    male = np.isin(people["sex"].to_numpy(object), ["M", "男"])
    sites, site_names = pd.factorize(people["site_id"], sort=True)
    regions, region_names = pd.factorize(people["region"], sort=True)
    visit = people["last_visit"].to_numpy().astype("M8[D]")
    start = iso(np.maximum(visit - 3650, birth))
    return {
        "person": {
            "person_id": people["row"].to_numpy() + 1, "gender_concept_id": np.where(male, 8507, 8532),
            "year_of_birth": year, "month_of_birth": month, "day_of_birth": day, "birth_datetime": iso(birth),
            "race_concept_id": np.zeros(n, int), "ethnicity_concept_id": np.zeros(n, int),
            "location_id": regions + 1, "care_site_id": sites + 1, "person_source_value": events.patient_ids,
            "gender_source_value": people["sex"].to_numpy(object),
        },
        "location": {"location_id": _number(len(region_names)), "state": region_names.to_numpy(object)},
        "care_site": {"care_site_id": _number(len(site_names)), "care_site_name": site_names.to_numpy(object)},
        "observation_period": {
            "observation_period_id": _number(n), "person_id": people["row"].to_numpy() + 1,
            "observation_period_start_date": start, "observation_period_end_date": iso(visit),
            "period_type_concept_id": np.full(n, EHR),
        },
        "visit_occurrence": {
            "visit_occurrence_id": _number(n), "person_id": people["row"].to_numpy() + 1,
            "visit_concept_id": np.full(n, 9202), "visit_start_date": iso(visit), "visit_end_date": iso(visit),
            "visit_type_concept_id": np.full(n, EHR),
        },
    }  # fmt: skip


def _conditions(events: RegistryEvents, concepts: _Concepts):
    t = events.tables["diagnoses"]
    codes, n = t["code"].to_numpy(object), len(t)
    kinds = {"primary": 32902, "secondary": 32908, "admission": 32890}
    return "condition_occurrence", {
        "condition_occurrence_id": _number(n), "person_id": t["row"].to_numpy() + 1,
        "condition_concept_id": concepts.mapped(MAPPED, "icd10", codes),
        "condition_start_date": iso(t["dx_date"].to_numpy()),
        "condition_type_concept_id": np.full(n, EHR),
        "condition_status_concept_id": t["type"].map(kinds).fillna(0).to_numpy(int),
        "condition_source_value": as_text(t["text"]), "condition_source_concept_id": concepts.of("ICD10", codes),
    }  # fmt: skip


def _drugs(events: RegistryEvents, concepts: _Concepts):
    t = events.tables["medications"]
    n, atc = len(t), t["atc"].to_numpy(object)
    start, stop = (t[k].to_numpy().astype("M8[D]") for k in ("start", "stop"))
    days = (stop - start).astype(int) + 1
    dose = t["dose"].to_numpy(float)
    known = np.isfinite(dose)
    return "drug_exposure", {
        "drug_exposure_id": _number(n), "person_id": t["row"].to_numpy() + 1,
        "drug_concept_id": concepts.mapped(("steroids", "immunosuppressants"), "atc", atc),
        "drug_exposure_start_date": iso(start), "drug_exposure_end_date": iso(stop),
        "drug_type_concept_id": np.full(n, ORDERED), "quantity": dose * t["freq"].map(PER_DAY).to_numpy(float) * days,
        "days_supply": days, "sig": as_text(t["freq"]), "route_concept_id": np.zeros(n, int),
        "drug_source_value": as_text(t["generic"]), "drug_source_concept_id": concepts.of("ATC", atc),
        "route_source_value": as_text(t["route"]),
        "dose_unit_source_value": np.where(known, as_text(t["unit"]), None),
    }  # fmt: skip


def _measurements(events: RegistryEvents, concepts: _Concepts):
    labs, echo, performance = (events.tables.get(k) for k in ("labs", "echo", "performance"))
    tests, names = pd.factorize(labs["test"])
    standard = np.array([_standard_test(concepts, TESTS[name]) for name in names])[tests]
    loinc = labs["loinc"].to_numpy(object)
    score = performance["score"].to_numpy(object)
    numbers = pd.to_numeric(pd.Series(score, dtype=object), errors="coerce").to_numpy(float)
    unit = labs["unit"].to_numpy(object)
    blank = np.zeros(len(echo) + len(performance), dtype=int)
    other = [np.full(len(echo), LVEF, dtype=object), performance["scale"].map(SCALES).to_numpy(object)]
    text = as_text(labs["value_text"])
    rows = np.concatenate([k["row"].to_numpy() for k in (labs, echo, performance)]) + 1
    dates = np.concatenate([k["date"].to_numpy().astype("M8[D]") for k in (labs, echo, performance)])
    return "measurement", {
        "measurement_id": _number(len(rows)), "person_id": rows,
        "measurement_concept_id": np.concatenate([np.where(loinc == "", 0, standard), blank]),
        "measurement_date": iso(dates), "measurement_type_concept_id": np.full(len(rows), EHR),
        "operator_concept_id": np.concatenate([np.where(labs["comparator"] == "<", 4171756, 0), blank]),
        "value_as_number": np.concatenate([labs["value_num"], echo["lvef"], numbers]),
        "value_as_concept_id": np.concatenate([_look_up(text, ANSWERS), blank]),
        "unit_concept_id": np.concatenate([_look_up(unit, UNITS), np.full(len(echo), 8554), blank[len(echo):]]),
        "range_high": np.concatenate([labs["ref_high"], np.full(len(blank), np.nan)]),
        "measurement_source_value": np.concatenate([labs["local_name"].to_numpy(object), *other]),
        "measurement_source_concept_id": concepts.of("LOINC", np.concatenate([loinc, *other])),
        "unit_source_value": np.concatenate([as_text(labs["unit"]), np.full(len(echo), "%", dtype=object),
                                             np.full(len(performance), None, dtype=object)]),
        "value_source_value": np.concatenate([text, np.full(len(echo), None, dtype=object),
                                              np.where(np.isnan(numbers), score, None)]),
    }  # fmt: skip


def _standard_test(concepts: _Concepts, test) -> int:
    # The list of HIV tests names the disease, too.
    wanted = {"hiv": 40760007, "hcg": 3011149}.get(test.codelist)
    rows = load(test.codelist)
    rows = rows[rows["system"] == "omop"]
    if wanted is None:
        wanted = int(rows["code"].iloc[0]) if len(rows) else 0
    if wanted:
        concepts.standard[wanted] = rows.loc[rows["code"] == str(wanted), "term"].iloc[0]
    return wanted


def _look_up(texts: np.ndarray, ids: Mapping[str, int]) -> np.ndarray:
    return pd.Series(texts, dtype=object).map(ids).fillna(0).to_numpy(int)


def _procedures(events: RegistryEvents, concepts: _Concepts):
    t = events.tables["procedures"]
    n, codes = len(t), t["code"].to_numpy(object)
    return "procedure_occurrence", {
        "procedure_occurrence_id": _number(n), "person_id": t["row"].to_numpy() + 1,
        "procedure_concept_id": np.zeros(n, int), "procedure_date": iso(t["date"].to_numpy()),
        "procedure_type_concept_id": np.full(n, EHR), "procedure_source_value": as_text(t["text"]),
        "procedure_source_concept_id": concepts.of("ICD9Proc", codes),
    }  # fmt: skip


def _observations(events: RegistryEvents) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {k: [] for k in ("who", "event", "date", "word", "number", "text")}
    first = 0
    for name in AS_OBSERVATIONS:
        table = events.tables.get(name)
        if table is None:
            continue
        columns = native_table(events, name)
        key = {"courses": "start", "responses": "assess_date"}.get(name, "date")
        # Months cannot be written: the day itself is.
        dates = iso(table[key].to_numpy())
        if name == "transplants":
            ongoing = columns["is_stop_date"] == "ongoing"
            columns |= {"is_ongoing": np.where(ongoing, "true", None),
                        "is_stop_date": np.where(ongoing, None, columns["is_stop_date"])}  # fmt: skip
        numbered = _number(len(table)) + first
        first += len(table)
        for column in (*LAYOUT[name][1:], *(("is_ongoing",) if name == "transplants" else ())):
            values = columns[column]
            if column == key:
                continue
            numeric = values.dtype.kind == "f"
            here = np.isfinite(values) if numeric else values != np.array(None)
            blank = np.full(int(here.sum()), np.nan)
            parts["who"].append(table["row"].to_numpy()[here] + 1)
            parts["event"].append(numbered[here])
            parts["date"].append(dates[here])
            parts["word"].append(np.full(len(blank), f"{LOCAL}{name}.{column}", dtype=object))
            parts["number"].append(values[here] if numeric else blank)
            parts["text"].append(np.full(len(blank), None, dtype=object) if numeric else values[here])
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    n = len(joined["who"])
    return {
        "observation_id": _number(n), "person_id": joined["who"], "observation_concept_id": np.zeros(n, int),
        "observation_date": joined["date"], "observation_type_concept_id": np.full(n, EHR),
        "value_as_number": joined["number"], "value_as_string": joined["text"],
        "observation_source_value": joined["word"], "observation_event_id": joined["event"],
    }  # fmt: skip
