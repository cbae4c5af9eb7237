"""OMOP files as plain facts, read with the csv module: codes are C (condition, observation), P or L and the concept."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from real import recount as rc


def table(folder: Path, name: str) -> list[dict]:
    path = next(p for p in folder.iterdir() if p.name.lower().removesuffix(".gz") == f"{name}.csv")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as stream:
        return [{k.lower(): v for k, v in row.items()} for row in csv.DictReader(stream)]


def read(folder: Path, index) -> rc.Facts:
    """Everybody born and alive at the index date; index dates are the same for all."""
    dead = {r["person_id"]: rc.day(r["death_date"]) for r in table(folder, "death") if "person_id" in r}
    people = {
        r["person_id"]: (
            rc.day(f"{int(r['year_of_birth']):04}-{int(r['month_of_birth']):02}-{int(r['day_of_birth']):02}"),
            {"M": "male", "F": "female"}[r["gender_source_value"]],
        )
        for r in table(folder, "person")
    }
    result = rc.Facts(people, {p: index for p in people if p not in dead or dead[p] > index})
    for name, kind, stem in (
        ("condition_occurrence", "C", "condition"), ("observation", "C", "observation"),
        ("procedure_occurrence", "P", "procedure"), ("measurement", "L", "measurement"),
        ("drug_exposure", "", "drug"),
    ):  # fmt: skip
        for r in table(folder, name):
            on = r.get(f"{stem}_date") or r.get(f"{stem}_start_date") or r.get(f"{stem}_exposure_start_date")
            pid, on = r["person_id"], rc.day(on)
            result.add("seen", pid, on)
            if kind in ("C", "P"):
                result.add("coded", pid, (on, kind + r[f"{stem}_concept_id"]))
            elif kind == "L":
                number = r["value_as_number"]
                result.add("labs", pid, (on, r["measurement_concept_id"], float(number) if number else None))
    for r in table(folder, "observation_period"):
        span = r["observation_period_start_date"], r["observation_period_end_date"]
        result.add("periods", r["person_id"], tuple(map(rc.day, span)))
    for r in table(folder, "visit_occurrence"):
        result.add("periods", r["person_id"], (rc.day(r["visit_start_date"]), rc.day(r["visit_end_date"])))
    return result


def orders(folder: Path, *words: str) -> dict:
    """(start, stop) of every exposure by person whose drug's name contains a word and is no cream."""
    names = {r["concept_id"]: r["concept_name"].lower() for r in table(folder, "concept")}
    result: dict = {}
    for r in table(folder, "drug_exposure"):
        name = names.get(r["drug_concept_id"], "")
        if any(w in name for w in words) and not any(w in name for w in ("topical", "cream", "ophth")):
            span = rc.day(r["drug_exposure_start_date"]), rc.day(r["drug_exposure_end_date"])
            result.setdefault(r["person_id"], []).append(span)
    return result
