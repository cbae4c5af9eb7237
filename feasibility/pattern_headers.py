"""What counted patients say of themselves: protocol, build, code lists, index dates; and whether two say the same.

A header is plain JSON. It tells what was asked of the patients, never what a patient answered.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feasibility.errors import FeasibilityError, did_you_mean

THREE_VALUED = "three-valued"
UNKNOWN_AS_FAIL = "unknown_as_fail"
ANSWERS = (THREE_VALUED, UNKNOWN_AS_FAIL)
"""How a hole in the data was answered: kept as unknown, or counted as a failure (as OHDSI's inclusion rules do)."""

ACCEPTABLE = ("build settings", "code lists", "index dates")
"""Differences that a person may accept by name; a different protocol is never added up."""


def described(protocol, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a header says beyond the fingerprints, so that a difference can be named and not only noticed.

    ``record`` is what ``cohort.attrs["feasibility"]`` holds: how the cohort was built. What it does not say stays None.
    The build settings are those of the trial's own columns, whichever other trials the cohort was built for.
    """
    record = dict(record or {})
    criteria = {}
    for one in protocol.assessable:
        criteria[one.id] = {
            "settings": {name: plain(value) for name, value in sorted(one.values.items())},
            "units": {s.name: s.unit for s in one.settings if s.unit},
            "readings": [s.name for s in one.settings if s.is_reading],
            "columns": list(one.columns),
            "code": short(one.signature()[-1]),
        }
    columns = protocol.columns
    written = dict(record.get("settings") or {})
    known = {} if columns is None else columns.settings()
    settings = {name: value for name, value in written.items() if name in known}
    assumed = {c.id: [c.name, c.rate.a, c.rate.b] for c in protocol.not_assessable}
    return {
        "asked": criteria,
        "assumed": assumed,
        "build": None if columns is None or "settings" not in record else columns.fingerprint(settings),
        "build_settings": None
        if not written
        else {name: plain(known[name]) for name in sorted(known)}
        | {name: plain(value) for name, value in sorted(settings.items())},
        "code_lists": record.get("code_lists"),
        "index": {"policy": record.get("index_policy"), "stated": record.get("index_stated")},
        "answers": THREE_VALUED,
    }


def plain(value) -> Any:
    """A setting as JSON keeps it: tuples as lists, infinity as a word."""
    if isinstance(value, float) and math.isinf(value):
        return "no limit" if value > 0 else "-no limit"
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def short(value) -> str:
    """A short hash of a text or a plain structure."""
    return hashlib.sha256((value if isinstance(value, str) else repr(value)).encode()).hexdigest()[:12]


def protocol_differences(one, other, names: tuple[str, str]) -> list[str]:
    """What two protocols do not share, criterion by criterion; each is (labels by id, header).

    The order of criteria is no difference: it does not change who is eligible.
    """
    (mine, a), (theirs, b) = one, other
    first, second = names
    if a.get("protocol") != b.get("protocol"):
        return [f"the trial is {a.get('protocol')} in {first} against {b.get('protocol')} in {second}"]
    found = []
    for ids, has, lacks in ((mine, first, second), (theirs, second, first)):
        for key in ids:
            if key not in (theirs if has == first else mine):
                found.append(f"criterion {key} ({ids[key].name}) is in {has}, but not in {lacks} (waived there?)")
    for key in (k for k in mine if k in theirs):
        found += [
            f"criterion {key} differs ({mine[key].name}): {what}"
            for what in _criterion_differences(mine[key], theirs[key], key, a, b, names)
        ]
    if not found and a.get("fingerprint") != b.get("fingerprint"):
        found.append(_assumed(a, b, names))
    return found


def _criterion_differences(mine, theirs, key: str, a: Mapping, b: Mapping, names) -> Iterator[str]:
    first, second = names
    for what, word in (("kind", "kind"), ("name", "name"), ("reason", "text")):
        left, right = getattr(mine, what), getattr(theirs, what)
        if left != right:
            yield f"its {word} is {left[:80]!r} in {first} against {right[:80]!r} in {second}"
    said = False
    x, y = (h.get("asked", {}).get(key) for h in (a, b))
    if x and y:
        for name in sorted({*x["settings"], *y["settings"]}):
            left, right = x["settings"].get(name, "absent"), y["settings"].get(name, "absent")
            if left != right:
                said = True
                word = "reading" if name in (*x["readings"], *y["readings"]) else "threshold"
                unit = x["units"].get(name) or y["units"].get(name) or ""
                yield f"{word} {name} is {left} in {first} against {right} in {second}" + (f" ({unit})" if unit else "")
        if x["columns"] != y["columns"]:
            said = True
            yield f"it reads {', '.join(x['columns'])} in {first} against {', '.join(y['columns'])} in {second}"
        if x["code"] != y["code"]:
            said = True
            yield f"its code is another in {first} than in {second} (another version of the trial's file)"
    if not said and a.get("criteria", {}).get(key) != b.get("criteria", {}).get(key) and mine == theirs:
        yield "threshold, reading or code (the older file does not say which)"


def _assumed(a: Mapping, b: Mapping, names) -> str:
    first, second = names
    mine, theirs = (h.get("assumed") or {} for h in (a, b))
    for key in sorted({*mine, *theirs}):
        if mine.get(key) != theirs.get(key):
            words = [f"{m[0]} Beta({m[1]:g}, {m[2]:g})" if m else "absent" for m in (mine.get(key), theirs.get(key))]
            return f"clause {key}, which no data decides, is {words[0]} in {first} against {words[1]} in {second}"
    return f"the protocol fingerprint is {a.get('fingerprint')} in {first} against {b.get('fingerprint')} in {second}"


def build_differences(a: Mapping, b: Mapping, names: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """(kind, words) of each way in which the patients were prepared differently; kinds as in ``ACCEPTABLE``."""
    first, second = names
    if a.get("build") != b.get("build"):
        yield "build settings", _build(a, b, names)
    x, y = a.get("code_lists") or {}, b.get("code_lists") or {}
    if x and y:
        for name in sorted({*x, *y}):
            if x.get(name) != y.get(name):
                yield "code lists", f"the code list {name} holds other codes in {first} than in {second}"
    yield from (("index dates", words) for words in _index(a.get("index") or {}, b.get("index") or {}, names))


def _build(a: Mapping, b: Mapping, names) -> str:
    first, second = names
    for header, name in ((a, first), (b, second)):
        if header.get("build") is None:
            return f"the build settings of {name} are not known"
    x, y = a.get("build_settings") or {}, b.get("build_settings") or {}
    changed = [
        f"{name} is {x.get(name, 'absent')} in {first} against {y.get(name, 'absent')} in {second}"
        for name in sorted({*x, *y})
        if x.get(name) != y.get(name)
    ]
    if changed:
        return "build setting " + listed(changed, 3)
    versions = f"{a.get('version')} against {b.get('version')}"
    return f"the columns are declared or built differently in {first} than in {second} (version {versions})"


def _index(x: Mapping, y: Mapping, names) -> Iterator[str]:
    first, second = names
    for what in ("policy", "stated"):
        if x.get(what) and y.get(what) and x[what] != y[what]:
            yield f"the index dates are {_rule(x)} in {first} against {_rule(y)} in {second}"
            return
    days = [h.get("days") for h in (x, y)]
    if all(days) and days[0] != days[1] and not (x.get("policy") == y.get("policy") == "after_event"):
        if len(days[0]) == 1 or len(days[1]) == 1:
            yield f"the index date is {_days(days[0])} in {first} against {_days(days[1])} in {second}"


def _rule(index: Mapping) -> str:
    stated = ", ".join(f"{k}={v}" for k, v in (index.get("stated") or {}).items() if v is not None)
    return f"{index['policy']}({stated})"


def _days(days: list) -> str:
    return days[0] if len(days) == 1 else f"from {days[0]} to {days[-1]}"


def listed(found: Iterable[str], most: int = 5) -> str:
    """The first few of a list in words, with how many more there are."""
    found = list(found)
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more


def check_acceptable(accept: Iterable[str]) -> list[str]:
    """The differences a person accepts, by name."""
    accept = [accept] if isinstance(accept, str) else list(accept)
    for kind in accept:
        if kind not in ACCEPTABLE:
            raise FeasibilityError(f"{kind!r} cannot be accepted as different.{did_you_mean(kind, ACCEPTABLE)}")
    return accept


def check_build(a: Mapping, b: Mapping, names: tuple[str, str], accept: Iterable[str]) -> list[str]:
    """The accepted differences in how two hospitals prepared their patients; any other is refused."""
    noted = []
    for kind, words in build_differences(a, b, names):
        if kind not in accept:
            raise FeasibilityError(
                f"{sentence(words)} Agree on it and release again, or accept it by name, accept=[{kind!r}] (--accept"
                f' "{kind}"); the sum then says so.'
            )
        noted.append(words)
    return noted


def check_parts(all_headers: list[Mapping], objects: list[int], names: list[str]) -> list[str]:
    """The files behind the tables; one that occurs twice, itself or in a pooled file, is refused."""
    seen: dict[Any, tuple[str, bool]] = {}
    parts: list[str] = []
    for header, this, name in zip(all_headers, objects, names, strict=True):
        mine = header.get("parts") or ([header["file"]] if "file" in header else [])
        for key in (this, *mine):
            if key in seen:
                before, pooled = seen[key]
                if name == before:
                    raise FeasibilityError(f"{name} is given twice: its patients would count twice.")
                inside = " (or a part of it, pooled before)" if pooled or header.get("parts") else ""
                raise FeasibilityError(
                    f"{name} holds the same counts as {before}{inside}: its patients would count twice. Give each part"
                    " once. If they are other patients with the very same counts, count them again with --part and a"
                    " name of their own."
                )
        seen |= dict.fromkeys((this, *mine), (name, bool(header.get("parts"))))
        parts += mine
    return parts


def check_answers(all_headers: list[Mapping], names: list[str], answers: str) -> list[str]:
    """The kind of answers of each table; different ones are refused unless the result is labelled."""
    if answers not in ("", *ANSWERS):
        raise FeasibilityError(f"answers is {answers!r}.{did_you_mean(answers, ANSWERS)}")
    kinds = [header.get("answers", THREE_VALUED) for header in all_headers]
    if answers == UNKNOWN_AS_FAIL:
        return kinds
    for name, kind in zip(names, kinds, strict=True):
        if kind != (answers or kinds[0]):
            against = f"{names[0]} is {kinds[0]}" if not answers else f"the result is to be {answers}"
            raise FeasibilityError(
                f"{name} is {kind} and {against}: unknown and failed patients would be mixed. To add them, label the"
                f" result: answers={UNKNOWN_AS_FAIL!r} (--answers {UNKNOWN_AS_FAIL}), which counts what is unknown as"
                " failed everywhere."
            )
    return kinds


def check_alike(first, other, names: tuple[str, str]) -> None:
    """Refuse two pattern tables whose counts do not mean the same, saying in what they differ."""
    one, two = (({label.id: label for label in t.labels}, t.header) for t in (first, other))
    found = protocol_differences(one, two, names)
    if found:
        raise FeasibilityError(
            f"{sentence(listed(found))} The tables come from different protocols; count both with the same trial file,"
            " thresholds and readings."
        )
    for kind, words in build_differences(one[1], two[1], names):
        raise FeasibilityError(
            f"{sentence(words)} With other {kind} the same record could count otherwise: build and count both parts the"
            " same way."
        )
    if bool(first.header.get("synthetic")) != bool(other.header.get("synthetic")):
        made = names[0] if first.header.get("synthetic") else names[1]
        raise FeasibilityError(f"{made} holds synthetic patients, the other table does not: they are not added up.")
    by = [[] if t.strata is None else list(t.strata.columns) for t in (first, other)]
    if by[0] != by[1]:
        said = [", ".join(b) or "nothing" for b in by]
        raise FeasibilityError(
            f"{names[0]} was counted by {said[0]}, {names[1]} by {said[1]}: count both with the same --by."
        )


def sentence(words: str) -> str:
    """Words with a capital and a full stop.

    >>> sentence("it differs")
    'It differs.'
    """
    return words[:1].upper() + words[1:] + "."
