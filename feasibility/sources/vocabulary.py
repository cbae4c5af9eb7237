"""The reviewed tables that turn concept ids, code-system addresses and coded answers into the words of the events."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from feasibility.errors import ReadError, did_you_mean
from feasibility.sources.events import SYSTEMS


def rows(name: str) -> list[dict[str, str]]:
    """The rows of one of the CSV files that lie beside this module."""
    text = (files("feasibility.sources") / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def concept_texts(use: str) -> dict[int, str]:
    """OMOP concept id to text, for one use: sex, unit, comparator, answer, drug_status, diagnosis_type.

    >>> concept_texts("sex")[8507]
    'male'
    """
    return {int(r["concept_id"]): r["text"] for r in rows("omop_concepts") if r["use"] == use}


def code_systems(kind: str) -> dict[str, str]:
    """Vocabulary id (kind ``omop``) or system address (kind ``fhir``) to the name of the code system."""
    return {r["name"]: r["system"] for r in rows("vocabularies") if r["kind"] == kind}


def answers() -> dict[tuple[str, str], str]:
    """(system, code) of a coded answer to its text.

    >>> answers()["loinc", "LA6577-6"]
    'negative'
    """
    return {(r["system"], r["code"]): r["text"] for r in rows("answers")}


def codelist_concepts() -> set[int]:
    """Every OMOP concept id that some code list of this package names; their descendants count as the concept."""
    result = set()
    folder = files("feasibility.cohort") / "codelists"
    if not folder.is_dir():
        return result
    for entry in folder.iterdir():
        if entry.name.endswith(".csv"):
            for row in csv.DictReader(entry.read_text(encoding="utf-8").splitlines()):
                if row.get("system") == "omop" and str(row.get("code", "")).isdigit():
                    result.add(int(row["code"]))
    return result


def read_mapping(mapping: Mapping | str | Path | None, known: Iterable[str]) -> dict:
    """The settings of a source: a dict, or a TOML file; an unknown setting is an error that names the nearest one."""
    if mapping is None:
        return {}
    if isinstance(mapping, str | Path):
        path = Path(mapping)
        try:
            mapping = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ReadError(f"There is no mapping file {str(path)!r}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ReadError(f"{path.name}: not a valid TOML file ({error}).") from None
    known = list(known)
    for name in mapping:
        if name not in known:
            raise ReadError(f"The mapping has an unknown setting {name!r}.{did_you_mean(name, known)}")
    return dict(mapping)


def check_system(system: str, where: str) -> str:
    """``system`` if it is one of the code systems events may name."""
    if system not in SYSTEMS:
        raise ReadError(f"The mapping's {where} names code system {system!r}.{did_you_mean(system, SYSTEMS)}")
    return system
