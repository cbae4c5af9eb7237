"""Code lists: which codes and local names mean haemoglobin, a stem cell transplantation, a steroid ...

One reviewed CSV file a list, with the columns system, code, term, source and certainty. A code that ends in ``*`` is a
prefix. ``certainty`` is that of the clinical specification: S sourced, R+ recalled with high certainty, R~ with medium,
D derived. A hospital adds lists in a folder of its own and never touches code: ``<name>.csv`` there is a new list or
replaces the shipped one, ``<name>.add.csv`` adds rows to it.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

import pandas as pd

from feasibility.errors import CohortError, did_you_mean

COLUMNS = ("system", "code", "term", "source", "certainty")
SYSTEMS = (
    "icd10", "icd9cm", "icd9proc", "icd10pcs", "loinc", "atc", "rxnorm", "snomed", "omop", "cpt", "local",
)  # fmt: skip
CERTAINTIES = ("S", "R+", "R~", "D")
ADD = ".add"

DISJOINT = (
    ("cd3_absolute", "cd3_percent", "lymphocytes"),
    ("aml", "apl", "mpal"),
    ("hemoglobin", "platelets", "lymphocytes", "pb_blasts", "creatinine", "alt", "ast", "hcg"),
    ("bilirubin_total", "bilirubin_direct"),
    ("hbsag", "anti_hbc", "hbv_dna", "anti_hcv", "hcv_rna", "hiv", "hiv_rna", "hav_igm"),
    ("steroids", "immunosuppressants"),
    ("hsct_autologous", "hsct_allogeneic"),
    ("rbc_transfusion", "platelet_transfusion"),
    ("pregnancy", "lactation"),
    ("heart_failure", "acute_mi", "ventricular_arrhythmia", "syncope", "nonischemic_cardiomyopathy"),
    ("hepatitis_a", "hepatitis_b", "hepatitis_c", "hiv"),
    ("ecog", "kps", "nyha", "lvef"),
)
"""Lists that may share no code, since one result must never count as two things."""


class CodeListError(CohortError):
    """A code list is not as it should be."""


def folder() -> Path:
    """The folder of the shipped lists."""
    return Path(str(resources.files(__name__)))


def names(extra_folders: Iterable[str | os.PathLike] = ()) -> list[str]:
    """Names of all lists, those of the given folders included.

    >>> {"hemoglobin", "aml", "steroids"} <= set(names())
    True
    """
    found = set()
    for place in (folder(), *_folders(extra_folders)):
        found |= {file.stem.removesuffix(ADD) for file in place.glob("*.csv")}
    return sorted(found)


def load(name: str, extra_folders: Iterable[str | os.PathLike] = ()) -> pd.DataFrame:
    """One code list: columns system, code, term, source, certainty; later folders replace or add.

    >>> load("cd3_absolute")["code"].head(2).tolist()
    ['8122-4', '3011412']
    """
    rows = _rows(name, _folders(extra_folders))
    return pd.DataFrame(list(rows), columns=list(COLUMNS), dtype="object").astype(str)


def matches(name: str, extra_folders: Iterable[str | os.PathLike] = ()) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The list as ``{system: (exact codes, prefixes)}``, as written in the file; compare by ``normal``.

    >>> matches("apl")["icd10"]
    ((), ('C92.4',))
    """
    result: dict[str, tuple[list[str], list[str]]] = {}
    for system, code, *_ in _rows(name, _folders(extra_folders)):
        exact, prefixes = result.setdefault(system, ([], []))
        if code.endswith("*"):
            prefixes.append(code[:-1])
        else:
            exact.append(code)
    return {system: (tuple(exact), tuple(prefixes)) for system, (exact, prefixes) in result.items()}


def contains(name: str, system: str, code: str, extra_folders: Iterable[str | os.PathLike] = ()) -> bool:
    """Whether a code belongs to a list, however it is written.

    >>> contains("aml", "icd10", "c92000"), contains("aml", "icd10", "C92.4"), contains("hemoglobin", "local", "hgb")
    (True, False, True)
    """
    exact, prefixes = matches(name, extra_folders).get(system, ((), ()))
    code = normal(system, code)
    return code in {normal(system, k) for k in exact} or any(code.startswith(normal(system, p)) for p in prefixes)


def listed(system: str, code: str, extra_folders: Iterable[str | os.PathLike] = ()) -> bool:
    """Whether a code is on any list at all.

    >>> listed("loinc", "718-7"), listed("loinc", "99999-9")
    (True, False)
    """
    folders = _folders(extra_folders)
    exact, prefixes = _everything(system, folders, tuple(_stamps(folders)))
    code = normal(system, code)
    return code in exact or code.startswith(prefixes)


def _stamps(folders: tuple[Path, ...]) -> Iterable[tuple[str, int]]:
    """The files of the folders and when they changed: what is kept of them must not outlive a change."""
    return ((str(file), file.stat().st_mtime_ns) for place in folders for file in sorted(place.glob("*.csv")))


@functools.lru_cache(maxsize=64)
def _everything(system: str, folders: tuple[Path, ...], stamps: tuple) -> tuple[frozenset[str], tuple[str, ...]]:
    codes = [row[1] for name in names(folders) for row in _rows(name, folders) if row[0] == system]
    exact = frozenset(normal(system, c) for c in codes if not c.endswith("*"))
    return exact, tuple(normal(system, c[:-1]) for c in codes if c.endswith("*"))


def normal(system: str, code: str) -> str:
    """A code as it is compared: dots of ICD codes are optional, local names lose case, width and spaces.

    >>> normal("icd10", "c92.0"), normal("local", "血红蛋白　HGB"), normal("loinc", " 718-7")
    ('C920', '血红蛋白hgb', '718-7')
    """
    code = unicodedata.normalize("NFKC", str(code)).strip()
    if system == "local":
        return "".join(code.split()).casefold()
    return code.replace(".", "").upper() if system.startswith("icd") else code.upper()


def overlaps(*lists: str, extra_folders: Iterable[str | os.PathLike] = ()) -> list[tuple[str, str, str, str]]:
    """Codes that two of the lists share, as (system, code, list, list); prefixes are compared as prefixes."""
    found, seen = [], []
    for name in lists:
        for system, code, *_ in _rows(name, _folders(extra_folders)):
            seen.append((system, normal(system, code.removesuffix("*")), code.endswith("*"), name, code))
    for k, (system, code, prefix, name, written) in enumerate(seen):
        for other_system, other, other_prefix, other_name, _ in seen[k + 1 :]:
            if system != other_system or name == other_name:
                continue
            if code == other or (prefix and other.startswith(code)) or (other_prefix and code.startswith(other)):
                found.append((system, written, name, other_name))
    return found


@functools.lru_cache(maxsize=1)
def _equivalents() -> tuple[tuple[str, ...], ...]:
    with open(folder().parent / "prednisone_equivalents.csv", encoding="utf-8", newline="") as file:
        return tuple(tuple(row) for row in csv.reader(file))


def steroid_equivalents() -> pd.DataFrame:
    """Milligrams of prednisone that one milligram of each systemic steroid stands for; one row a code.

    Columns drug, factor, system, code, source, certainty. Source: clinical specification, section 0.1.

    >>> table = steroid_equivalents()
    >>> float(table.loc[table["code"] == "H02AB04", "factor"].item())
    1.25
    """
    header, *rows = _equivalents()
    return pd.DataFrame(rows, columns=list(header)).astype({"factor": float})


def _folders(extra: Iterable[str | os.PathLike]) -> tuple[Path, ...]:
    if isinstance(extra, (str, os.PathLike)):
        extra = (extra,)
    places = tuple(Path(place) for place in extra)
    for place in places:
        if not place.is_dir():
            raise CodeListError(f"There is no folder of code lists {str(place)!r}.")
    return places


def _rows(name: str, extra: tuple[Path, ...]) -> tuple[tuple[str, ...], ...]:
    rows: tuple[tuple[str, ...], ...] | None = None
    for place in (folder(), *extra):
        for file, adds in ((place / f"{name}.csv", False), (place / f"{name}{ADD}.csv", True)):
            if file.is_file():
                read = _read(file, file.stat().st_mtime_ns)
                rows = tuple(dict.fromkeys((rows or ()) + read)) if adds else read
    if rows is None:
        raise CodeListError(f"There is no code list {name!r}.{did_you_mean(name, names(extra))}")
    return rows


@functools.lru_cache(maxsize=512)
def _read(file: Path, changed: int) -> tuple[tuple[str, ...], ...]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CodeListError(f"Code list {file.name}: not UTF-8; save it as UTF-8.") from None
    lines = list(csv.DictReader(text.splitlines()))
    header: Mapping | tuple = lines[0] if lines else ()
    lacking = [c for c in COLUMNS if c not in header]
    if not lines or lacking:
        raise CodeListError(f"Code list {file.name}: it needs a row and the columns {', '.join(COLUMNS)}.")
    rows = []
    for k, line in enumerate(lines, start=2):
        row = tuple((line[c] or "").strip() for c in COLUMNS)
        system, code, _, _, certainty = row
        if system not in SYSTEMS:
            raise CodeListError(
                f"Code list {file.name}, line {k}: no code system {system!r}.{did_you_mean(system, SYSTEMS)}"
            )
        if not code.removesuffix("*"):
            raise CodeListError(f"Code list {file.name}, line {k}: the code is blank.")
        if certainty not in CERTAINTIES:
            raise CodeListError(
                f"Code list {file.name}, line {k}: certainty {certainty!r} is not one of {', '.join(CERTAINTIES)}."
            )
        rows.append(row)
    return tuple(dict.fromkeys(rows))


def hashes(columns, folders: Iterable[str | Path] = ()) -> dict[str, str]:
    """A short hash of the codes of every list that these columns name, by the list's name.

    >>> from feasibility import load_trial
    >>> len(hashes(load_trial("NCT06642025").columns)["hemoglobin"])
    12
    """
    named = {name for c in columns.columns for name in (c.codelist, *map(str, dict(c.lists).values()))}
    found = {}
    for name in sorted(named & set(names(folders))):
        rows = sorted(load(name, folders)[["system", "code"]].itertuples(index=False, name=None))
        found[name] = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]
    return found
