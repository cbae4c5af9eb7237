"""Criteria under looser thresholds: each variant is one more criterion bit of every patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from feasibility.analysis.screened import fails, screened_cohort, statuses, unknowns
from feasibility.errors import FeasibilityError, ProtocolError

VARIANTS = 64
"""Variants of one criterion at most."""


@dataclass(frozen=True, eq=False)
class Variants:
    """The variants of each criterion: a dict of loosened thresholds with its (failed, unknown); the first is as it is.

    ``reach`` is how many criteria one change can touch.
    """

    limits: dict[str, tuple[float, ...]]
    owners: dict[str, tuple[int, ...]]
    of: tuple[tuple[tuple[dict, np.ndarray | None, np.ndarray | None], ...], ...]
    reach: int = 1

    @classmethod
    def none(cls, criteria: int) -> Variants:
        return cls({}, {}, ((({}, None, None),),) * criteria)

    def bits(self, i: int):
        """(failed, unknown) of each variant of criterion ``i``; None stands for the screening's own."""
        return [(failed, unknown) for _, failed, unknown in self.of[i]]

    def sensible(self, chosen) -> bool:
        """One limit a threshold, and none loosened for criteria that are waived anyway."""
        loosened = [c.threshold for c in chosen if c.threshold]
        waived = {c.criterion for c in chosen if not c.threshold}
        return len(set(loosened)) == len(loosened) and all(set(self.owners[t]) - waived for t in loosened)

    def required(self, chosen, words: int) -> np.ndarray:
        """For each combination the bits that must be clear: packed words, (combinations, words)."""
        first = np.cumsum([0, *(len(one) for one in self.of)])
        place = [
            {tuple(sorted(v.items())): first[i] + k for k, (v, *_) in enumerate(one)} for i, one in enumerate(self.of)
        ]
        plain = np.zeros(words, dtype=np.uint64)
        for i in range(len(self.of)):
            plain[first[i] // 64] |= np.uint64(1) << np.uint64(first[i] % 64)
        out = np.tile(plain, (len(chosen), 1))
        for row, one in zip(out, chosen, strict=True):
            waived = {c.criterion for c in one if not c.threshold}
            values = {c.threshold: c.value for c in one if c.threshold}
            touched = {i for t in values for i in self.owners[t]} - waived
            for i in waived | touched:
                row[first[i] // 64] &= ~(np.uint64(1) << np.uint64(first[i] % 64))
            for i in touched:
                mine = tuple(sorted((t, v) for t, v in values.items() if i in self.owners[t]))
                bit = place[i][mine]
                row[bit // 64] |= np.uint64(1) << np.uint64(bit % 64)
        return out


def check_limits(screening, loosen: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """The limits of each threshold, nearest first; refuses what would not loosen."""
    if not hasattr(screening, "protocol"):
        raise FeasibilityError(
            "To loosen a threshold a Screening is needed, made by screen(cohort, protocol); counted patterns do not"
            " know the patients' values."
        )
    protocol, limits = screening.protocol, {}
    for name, values in loosen.items():
        setting = protocol.setting(name)
        if setting.direction == 0:
            raise ProtocolError(
                f"{name!r} of {setting.criterion} is a {setting.kind} and cannot be loosened: only a min_* or max_*"
                " threshold says which way admits more patients. Compare its values as scenarios instead."
            )
        values = [values] if isinstance(values, (int, float)) else list(values)
        if not values:
            raise ProtocolError(f"loosen={{{name!r}: []}}: give at least one limit you can live with.")
        now = protocol.settings[name]
        way, word, word2 = ("lower", "above", "below") if setting.direction < 0 else ("higher", "below", "above")
        for value in values:
            setting.check(value)
            if (value - now) * setting.direction <= 0:
                raise ProtocolError(
                    f"{name}={value:g} does not loosen {setting.criterion}: the protocol has {now:g}, and a"
                    f" {name.split('_')[0]}_* threshold is loosened by a {way} value. {value:g} is"
                    f" {'the same' if value == now else word + ' what it must be'}; give values {word2} {now:g}."
                )
        values = [v.item() if hasattr(v, "item") else v for v in values]
        limits[name] = tuple(sorted(set(values), key=lambda v: abs(v - now)))
    return limits


def variants_of(cohort, screening, limits: Mapping[str, tuple[float, ...]]) -> Variants:
    """Every criterion under every combination of its loosened thresholds, evaluated anew for every patient."""
    cohort = screened_cohort(cohort, screening)
    criteria = screening.protocol.assessable
    owners = {t: tuple(i for i, c in enumerate(criteria) if any(s.name == t for s in c.settings)) for t in limits}
    made = []
    for i, criterion in enumerate(criteria):
        mine = [t for t in limits if i in owners[t]]
        total = int(np.prod([1 + len(limits[t]) for t in mine]))
        if total > VARIANTS:
            raise FeasibilityError(
                f"Criterion {criterion.id} ({criterion.name}) would have {total} variants; give fewer limits for"
                f" {', '.join(mine)} (at most {VARIANTS} variants of one criterion)."
            )
        made.append(tuple(_evaluated(cohort, screening, i, mine, limits)))
    return Variants(dict(limits), owners, tuple(made), max([1, *(len(o) for o in owners.values())]))


def _evaluated(cohort: pd.DataFrame, screening, i: int, thresholds, limits):
    yield {}, None, None
    if not thresholds:
        return
    criterion = screening.protocol.assessable[i]
    failed, unknown = statuses(criterion, cohort)
    if (failed != fails(screening, i)).any() or (unknown != unknowns(screening, i)).any():
        raise FeasibilityError(
            f"Criterion {criterion.id} ({criterion.name}) answers otherwise on this cohort than in the screening: hand"
            " over the very table and protocol that were screened."
        )
    for choice in product(*((None, *limits[t]) for t in thresholds)):
        values = {t: v for t, v in zip(thresholds, choice, strict=True) if v is not None}
        if not values:
            continue
        looser, hole = statuses(criterion, cohort, **values)
        if (looser & ~failed).any() or ((looser | hole) & ~(failed | unknown)).any():
            said = ", ".join(f"{t}={v:g}" for t, v in values.items())
            raise ProtocolError(
                f"Criterion {criterion.id} ({criterion.name}): {said} makes patients fail who passed, so it does not"
                " loosen. A min_* or max_* threshold says what an eligible patient may have; check its name or reading."
            )
        yield values, looser, hole
