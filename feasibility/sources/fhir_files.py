"""FHIR files into DuckDB: bulk NDJSON is read as it is, bundles are flattened to NDJSON first."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from feasibility.errors import ReadError
from feasibility.sources.extract import event
from feasibility.sources.fhir_types import EVENT_TABLES, RESOURCES, duckdb_columns
from feasibility.sources.packed import scan

_LINES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_ENDINGS = (*_LINES, ".json", ".json.gz")
_PEEK = 50


@dataclass
class Found:
    """Files by resource type, resources that are not read, and what was noticed."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    ignored: Counter = field(default_factory=Counter)
    quality: list[dict] = field(default_factory=list)
    size: int = 0


def find(source: Path, temporary: Path, progress: Callable[[str, float], None]) -> Found:
    """Look at every file below ``source``; bundles and mixed files are split by type into ``temporary``."""
    if not source.exists():
        raise ReadError(f"There is no folder or file {str(source)!r}.")
    paths = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    paths = [p for p in paths if p.name.lower().endswith(_ENDINGS)]
    if not paths:
        raise ReadError(f"{source.name}: there is no .ndjson or .json file (packed with .gz or not).")
    found, split = Found(), _Split(temporary)
    for done, path in enumerate(paths):
        progress(path.name, 0.4 * done / len(paths))
        found.size += path.stat().st_size
        if path.name.lower().endswith(_LINES):
            _lines(path, found, split)
        else:
            _whole(path, found, split)
    split.close()
    for kind, path in split.paths.items():
        found.files.setdefault(kind, []).append(path)
    found.ignored += split.ignored
    return found


def _lines(path: Path, found: Found, split: _Split) -> None:
    unfinished = scan(path).unfinished if path.suffix.lower() == ".gz" else _last_byte(path) not in (b"\n", b"")
    if unfinished and not _last_line_sound(path):
        raise ReadError(
            f"{path.name}: the file looks cut off: its last line ends in the middle. Ask for the file again; nothing "
            "was read."
        )
    with _open(path) as stream:
        kinds = {_kind(line) for line in islice(stream, _PEEK)} - {""}
    if len(kinds) > 1 or "Bundle" in kinds:
        with _open(path) as stream:
            bad = [n for n, line in enumerate(stream, 1) if line.strip() and not split.add_text(line)]
        if bad:
            found.quality.append(event("", path.name, "quarantined", "invalid JSON", len(bad), bad))
    elif kinds:
        kind = kinds.pop()
        if kind in RESOURCES:
            found.files.setdefault(kind, []).append(path)
        else:
            found.ignored[kind] += scan(path).lines
    elif path.stat().st_size > 0:
        found.quality.append(event("", path.name, "table_unusable", "no FHIR resource in its first lines", 0))


def _whole(path: Path, found: Found, split: _Split) -> None:
    if path.suffix.lower() == ".gz":
        scan(path)
    with _open(path) as stream:
        text = stream.read()
    try:
        resource = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            _lines(path, found, split)
            return
        raise ReadError(
            f"{path.name}: the file is cut off or not valid JSON (line {error.lineno}: {error.msg}). Ask for the file "
            "again; nothing was read."
        ) from None
    if not isinstance(resource, dict) or "resourceType" not in resource:
        found.quality.append(event("", path.name, "table_unusable", "no FHIR resource", 0))
        return
    split.add(resource)


class _Split:
    """Writes resources to one NDJSON file per type."""

    def __init__(self, folder: Path):
        self.folder, self.paths, self.streams = folder, {}, {}
        self.ignored: Counter = Counter()

    def add_text(self, line: str) -> bool:
        try:
            resource = json.loads(line)
        except json.JSONDecodeError:
            return False
        if not isinstance(resource, dict):
            return False
        self.add(resource)
        return True

    def add(self, resource: dict) -> None:
        if resource.get("resourceType") != "Bundle":
            self._write(resource)
            return
        entries = [e for e in resource.get("entry") or () if isinstance(e.get("resource"), dict)]
        alias = {}
        for entry in entries:  # a reference may name the entry's address instead of the resource's id
            inner, url = entry["resource"], entry.get("fullUrl", "")
            tail = url.rsplit(":", 1)[-1] if url.startswith("urn:") else url.rsplit("/", 1)[-1]
            if "id" not in inner and tail:
                inner["id"] = tail
            elif tail and tail != inner.get("id"):
                alias[url] = f"{inner.get('resourceType')}/{inner['id']}"
        for entry in entries:
            inner = entry["resource"]
            if inner.get("resourceType") == "Bundle":
                self.add(inner)
                continue
            for name in ("subject", "patient", "medicationReference"):
                reference = inner.get(name)
                if isinstance(reference, dict) and reference.get("reference") in alias:
                    inner[name] = reference | {"reference": alias[reference["reference"]]}
            self._write(inner)

    def _write(self, resource: dict) -> None:
        kind = str(resource.get("resourceType"))
        if kind not in RESOURCES:
            self.ignored[kind] += 1
            return
        if kind not in self.streams:
            self.paths[kind] = self.folder / f"{kind}.ndjson"
            self.streams[kind] = self.paths[kind].open("w", encoding="utf-8")
        json.dump(resource, self.streams[kind], ensure_ascii=False, separators=(",", ":"))
        self.streams[kind].write("\n")

    def close(self) -> None:
        for stream in self.streams.values():
            stream.close()


def load(duck, kind: str, paths: list[Path], quality: list[dict]) -> int:
    """Read the files of one resource type into the table ``raw_<kind>``; lines that are no JSON are set aside.

    A resource that comes more than once (the same id) counts once, in its latest version.
    """
    names = "[" + ", ".join("'" + str(p).replace("'", "''") + "'" for p in paths) + "]"
    try:
        duck.execute(
            f"CREATE TABLE raw_{kind} AS SELECT * FROM read_ndjson({names}, columns={duckdb_columns(kind)}, "
            "ignore_errors=true, maximum_object_size=67108864)"
        )
    except Exception as error:  # DuckDB's own class
        raise ReadError(f"{kind}: cannot be read ({str(error).splitlines()[0]}).") from None
    invalid, other, n, ids, repeated = duck.execute(
        f"SELECT count(*) FILTER (resourceType IS NULL), count(*) FILTER (resourceType != '{kind}'), count(*), "
        f"count(id), count(id) - count(DISTINCT id) FROM raw_{kind}"
    ).fetchone()
    target = EVENT_TABLES[kind]
    if invalid:
        for path in paths:
            _quarantine(duck, path, target, quality)
    if other:
        quality.append(event(target, kind, "other_resource", "not of the type of its file", other))
    if repeated:
        duck.execute(
            f"CREATE OR REPLACE TABLE raw_{kind} AS SELECT * FROM raw_{kind} QUALIFY id IS NULL OR row_number() OVER "
            "(PARTITION BY id ORDER BY meta.lastUpdated DESC NULLS LAST, rowid DESC) = 1 ORDER BY rowid"
        )
        quality.append(event(target, f"{kind}.id", "repeated", "same id, latest version kept", repeated))
    return n - invalid


def _quarantine(duck, path: Path, target: str, quality: list[dict]) -> None:
    """Line numbers of the lines that are no JSON object with a resourceType."""
    name = "'" + str(path).replace("'", "''") + "'"
    line = (
        f"SELECT row_number() OVER () AS n, line FROM read_csv({name}, columns={{line: 'VARCHAR'}}, delim='', "
        "quote='', escape='', header=false, auto_detect=false, max_line_size=67108864)"
    )
    for reason, test in (
        ("invalid JSON", "NOT json_valid(line)"),
        ("no resourceType", "json_valid(line) AND json_extract_string(line, '$.resourceType') IS NULL"),
    ):
        count, lines = duck.execute(
            f"SELECT count(*), list(n ORDER BY n)[:100] FROM ({line}) WHERE trim(coalesce(line, '')) != '' AND {test}"
        ).fetchone()
        if count:
            quality.append(event(target, path.name, "quarantined", reason, count, lines))


def _kind(line: str) -> str:
    try:
        return str(json.loads(line).get("resourceType", ""))
    except (json.JSONDecodeError, AttributeError):
        return ""


def _open(path: Path):
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix.lower() == ".gz" else path.open(
        encoding="utf-8-sig"
    )  # fmt: skip


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as stream:
        if not stream.seek(0, 2):
            return b""
        stream.seek(-1, 2)
        return stream.read(1)


def _last_line_sound(path: Path) -> bool:
    last = ""
    with _open(path) as stream:
        for line in stream:
            last = line
    try:
        json.loads(last)
    except json.JSONDecodeError:
        return False
    return True
