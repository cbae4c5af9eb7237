"""FHIR resources as plain facts, read with the json module alone. Coded facts are C (condition) or P (procedure)."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path

from real import recount as rc


def resources(folder: Path):
    for path in sorted(folder.glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            if ".ndjson" in path.name:
                yield from (json.loads(line) for line in stream)
            else:
                yield from (entry["resource"] for entry in json.load(stream)["entry"])


def of(item) -> str:
    return (item.get("subject") or item.get("patient"))["reference"].removeprefix("urn:uuid:").split("/")[-1]


def limit(item):
    """The upper limit of normal of a result: the only one there is, in the result's own unit."""
    ranges, unit = item.get("referenceRange", ()), item.get("valueQuantity", {}).get("code")
    highs = [r["high"] for r in ranges if "high" in r]
    return highs[0]["value"] if len(highs) == 1 and highs[0].get("code") == unit else None


def read(folder: Path, index=None) -> tuple[rc.Facts, list]:
    """Everybody alive at the index date (None: at the day of the last observation), and all resources."""
    everything = list(resources(folder))
    kinds: dict[str, list] = {}
    for item in everything:
        kinds.setdefault(item["resourceType"], []).append(item)
    people = {p["id"]: (rc.day(p["birthDate"]), p["gender"]) for p in kinds["Patient"]}
    dead = {p["id"]: rc.day(p["deceasedDateTime"]) for p in kinds["Patient"] if "deceasedDateTime" in p}
    last = dict.fromkeys(people, index)
    if index is None:
        for item in kinds["Observation"]:
            pid = of(item)
            last[pid] = max(last[pid] or dt.date.min, rc.day(item["effectiveDateTime"]))
    alive = {p: at for p, at in last.items() if at is not None and (p not in dead or dead[p] > at)}
    result = rc.Facts(people, alive)
    for item in kinds["Condition"]:
        on = rc.day(item["onsetDateTime"])
        result.add("seen", of(item), on)
        for coding in item["code"]["coding"]:
            result.add("coded", of(item), (on, "C" + coding["code"]))
    for item in kinds["Procedure"]:
        on = rc.day(item.get("performedDateTime") or item["performedPeriod"]["start"])
        result.add("seen", of(item), on)
        for coding in item["code"]["coding"]:
            result.add("coded", of(item), (on, "P" + coding["code"]))
    for item in kinds["Observation"]:
        on = rc.day(item["effectiveDateTime"])
        result.add("seen", of(item), on)
        value = item.get("valueQuantity", {}).get("value")
        result.add("labs", of(item), (on, item["code"]["coding"][0]["code"], value, limit(item)))
    for item in kinds["MedicationRequest"]:
        result.add("seen", of(item), rc.day(item["authoredOn"]))
    for item in kinds["AllergyIntolerance"]:
        result.add("seen", of(item), rc.day(item["recordedDate"]))
    for item in kinds["Encounter"]:
        result.add("periods", of(item), (rc.day(item["period"]["start"]), rc.day(item["period"]["end"])))
    return result, everything


def orders(facts: rc.Facts, everything: list, *words: str) -> dict:
    """(start, stop) of every request by patient whose product's name contains a word and is no cream.

    The stop is the last day of a supply in days without repeats, else the index date.
    """
    result: dict = {}
    for item in everything:
        if item["resourceType"] == "MedicationRequest" and of(item) in facts.index:
            name = item["medicationCodeableConcept"]["coding"][0]["display"].lower()
            if any(w in name for w in words) and "topical" not in name:
                start, stop = rc.day(item["authoredOn"]), facts.index[of(item)]
                dispense = item.get("dispenseRequest", {})
                if "expectedSupplyDuration" in dispense and not dispense.get("numberOfRepeatsAllowed"):
                    assert dispense["expectedSupplyDuration"]["code"] == "d"
                    days = int(dispense["expectedSupplyDuration"]["value"])
                    stop = min(stop, start + dt.timedelta(days=days - 1))
                result.setdefault(of(item), []).append((start, stop))
    return result
