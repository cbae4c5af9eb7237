"""A sample of a FHIR export, checked against the R4B specification by a FHIR library.

Reading does not need it: it takes the fields it knows and counts what it cannot use. The check answers another
question, whether what the hospital's system calls FHIR is FHIR, before anybody wonders about missing facts.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import floor, log
from pathlib import Path

import pandas as pd

from feasibility.errors import ReadError

COLUMNS = ("resource_type", "n_found", "n_checked", "n_invalid", "commonest_problem", "n_with_problem")
PROBLEMS = {
    "missing": "required, but missing", "extra_forbidden": "holds a field that FHIR R4B does not know",
    "list_type": "must be a list", "value_error": "no valid value", "json_invalid": "no valid JSON",
}  # fmt: skip
_EXTENSION = re.compile(r"__ext$")


def validate_sample(source: str | Path, n: int = 200, seed: int = 0) -> pd.DataFrame:
    """How many of a random sample of each resource type break the FHIR R4B specification, and how most of them do.

    Parameters
    ----------
    source : a file or folder of NDJSON or bundles, packed with .gz or not, as ``fhir`` reads it.
    n : how many resources of each type to check (all if there are fewer).
    seed : of the sample; the same seed and files give the same sample. Every file is read once, to its end.

    Returns
    -------
    DataFrame with one row a resource type that ``fhir`` reads: resource_type, n_found, n_checked, n_invalid,
    commonest_problem (where and of what kind, such as "Observation.status: required, but missing"; never a value) and
    n_with_problem (resources with it). Codes of required value sets are not checked, because the library does not.

    Raises
    ------
    ReadError
        If the library ``fhir.resources`` is not installed, ``n`` is no positive number, or the files cannot be read.
    """
    from feasibility.sources.fhir_files import find

    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ReadError(f"n is how many resources of each type to check, a whole number of at least 1; got {n!r}.")
    model_of = _library()
    folder = Path(tempfile.mkdtemp(prefix="feasibility-fhir-"))
    try:
        found = find(Path(source), folder, lambda stage, share: None)
        rows = [_check(kind, paths, model_of(kind), n, seed) for kind, paths in sorted(found.files.items())]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    kinds = {c: "int64" for c in COLUMNS if c.startswith("n_")}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(kinds)


def _library():
    try:
        from fhir.resources.R4B import get_fhir_model_class
    except ImportError:
        raise ReadError(
            "Checking a sample needs the library fhir.resources (version 8 or later): "
            "pip install 'trial-feasibility[fhir]'. Reading FHIR does not need it."
        ) from None
    return get_fhir_model_class


def _check(kind: str, paths: list[Path], model, n: int, seed: int) -> tuple:
    sample, total = _sample(_lines(paths), n, random.Random(f"{seed}/{kind}"))
    invalid, problems = 0, Counter()
    for line in sample:
        found = _problems(kind, model, line)
        invalid += bool(found)
        problems.update(found)
    # The first by name of the commonest, whatever order the sample came in.
    commonest = min(problems, key=lambda p: (-problems[p], p)) if problems else ""
    return kind, total, len(sample), invalid, commonest, problems[commonest]


def _lines(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield from (line for line in stream if line.strip())


def _sample(lines: Iterator[bytes], n: int, draw: random.Random) -> tuple[list[bytes], int]:
    """``n`` lines, each as likely as any other, and how many there were (reservoir sampling, Li's algorithm L)."""
    kept = list(islice(lines, n))
    total, weight = len(kept), 1.0
    while len(kept) == n:
        weight *= draw.random() ** (1 / n)
        skip = floor(log(1 - draw.random()) / log(1 - weight)) if weight < 1 else 0
        passed = sum(1 for _ in islice(lines, skip))
        line = next(lines, None) if passed == skip else None
        if line is None:
            return kept, total + passed
        total += skip + 1
        kept[draw.randrange(n)] = line
    return kept, total


def _problems(kind: str, model, line: bytes) -> set[str]:
    """Where one resource breaks the specification: paths and kinds of fault only, since values are a patient's."""
    try:
        resource = json.loads(line.decode("utf-8-sig"))
    except ValueError:
        return {f"{kind}: {PROBLEMS['json_invalid']}"}
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        return {f"{kind}: another resource in its file"}
    try:
        model.model_validate(resource)
    except ValueError as error:  # pydantic's ValidationError is one
        faults = getattr(error, "errors", None)
        if faults is None:
            return {f"{kind}: no valid resource"}
        return {_says(kind, fault) for fault in faults(include_url=False, include_context=False, include_input=False)}
    return set()


def _says(kind: str, fault: dict) -> str:
    path = [p for p in fault["loc"] if isinstance(p, str)]
    if fault["type"] == "extra_forbidden":
        path = path[:-1]  # the name of an unknown field may be anything, even a patient's
    path = ".".join([kind, *(_EXTENSION.sub("", p) for p in path)])
    fault_kind = fault["type"].rsplit(".", 1)[-1]  # the FHIR layer adds kinds of its own, such as "...missing"
    says = PROBLEMS.get(fault_kind) or ("of the wrong type" if fault_kind.endswith("_type") else "no valid value")
    return f"{path}: {says}"
