"""Yes/no words and codes: what the distinct texts of a column stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from feasibility.cohort.parse import KNOWN, MISSING, NOT_TESTED, UNREADABLE
from feasibility.cohort.schema import Column
from feasibility.cohort.words import NO, NOT_DETECTED, YES, absent, fold


def read_flags(texts: list[str | None], codes: Mapping[str, object], missing: frozenset[str]):
    """Yes/no words of the distinct texts: (truth as 0/1, status)."""
    folded = {fold(k): v for k, v in codes.items()}
    words = [fold(t) if t is not None else "" for t in texts]
    values, status = np.zeros(len(words), dtype=bool), np.full(len(words), UNREADABLE, dtype="uint8")
    dash_is_no = "+" in words or "(+)" in words
    for i, word in enumerate(words):
        if word in folded:
            value = folded[word]
            word = fold(str(value)) if value is not None else ""
        if dash_is_no and word == "-":
            status[i] = KNOWN
        elif word in missing or absent(word):
            status[i] = NOT_TESTED if absent(word) == "not_tested" else MISSING
        elif word in YES or word in ("1.0", "true"):
            values[i], status[i] = True, KNOWN
        elif word in NO or word == "0.0":
            status[i] = KNOWN
    return values, status


def read_codes(column: Column, texts: list[str | None], codes: Mapping[str, object], missing: frozenset[str]):
    """Coded or free text of the distinct values: (text, status, was it another spelling)."""
    lookup = {fold(v): v for v in column.values}
    lookup |= {fold(k): v for k, v in column.codes.items() if fold(k) not in lookup}
    lookup |= {fold(k): (v if v not in ("", "unknown") else None) for k, v in codes.items()}
    values = np.full(len(texts), None, dtype=object)
    status = np.full(len(texts), MISSING, dtype="uint8")
    spelled = np.zeros(len(texts), dtype=bool)
    for i, text in enumerate(texts):
        word = fold(text) if text is not None else ""
        if word in missing:
            continue
        if word in lookup:
            value = lookup[word]
            values[i] = value
            status[i] = MISSING if value is None else KNOWN
            spelled[i] = value != text
        elif absent(word):
            status[i] = NOT_TESTED if absent(word) == "not_tested" else MISSING
        elif column.values and word.endswith(".0") and lookup.get(word[:-2]):
            values[i], status[i], spelled[i] = lookup[word[:-2]], KNOWN, True
        elif column.values:
            status[i] = MISSING if word in NOT_DETECTED and "negative" not in column.values else UNREADABLE
        else:
            values[i], status[i] = text, KNOWN
    return values, status, spelled
