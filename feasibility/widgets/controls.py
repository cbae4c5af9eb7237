"""What the panel shows for each threshold and reading: its name in words, its unit, and a sensible range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from feasibility.analysis.curve import compared_with
from feasibility.analysis.what_if import WhatIf
from feasibility.figures.style import title_case
from feasibility.protocol.criterion import Setting
from feasibility.report import words

SAMPLE = 100_000
STEPS = 120
"""Positions a slider has at most: an arrow key should matter, and the range be crossed in reasonable time."""

TIMES = ("a", "mo", "wk", "d")
"""Units in which nobody moves a limit by fractions."""
PREFIXES = {
    "max_days_since_": "Look back for",
    "max_months_since_": "Look back for",
    "min_": "Minimum",
    "max_": "Maximum",
}


@dataclass(frozen=True)
class Control:
    """One threshold or reading: ``value`` is that of the protocol given, ``criteria`` the ids that use it."""

    setting: Setting
    criteria: tuple[str, ...]
    value: Any
    low: float = 0.0
    high: float = 1.0
    step: float = 1.0

    @property
    def name(self) -> str:
        return self.setting.name

    @property
    def unit(self) -> str:
        return words.unit(self.setting.unit).replace("x ULN", "× ULN")

    @property
    def is_ours(self) -> bool:
        """Whether the number in force is ours because the protocol states none."""
        return self.setting.origin == "ours" and not self.setting.is_reading

    @property
    def label(self) -> str:
        """The name in words.

        >>> Control(Setting("max_days_since_cd3", 14, "d"), ("I5.2",), 14).label
        'Look back for CD3'
        >>> Control(Setting("min_hemoglobin", 60, "g/L"), ("I5.1",), 60).label
        'Minimum hemoglobin'
        """
        if not self.setting.is_reading:
            for prefix, word in PREFIXES.items():
                if self.name.startswith(prefix):
                    return f"{word} {_inside(title_case(self.name.removeprefix(prefix)))}"
        return title_case(self.name)

    def words(self, value) -> str:
        """A value as a reader would write it."""
        return words.value(value)

    def check(self, value):
        """The value as the criterion wants it: free of the slider's rounding, whole where it is whole."""
        if not self.setting.is_reading and isinstance(value, float) and math.isfinite(value):
            value = float(f"{value:.10g}")
            value = int(value) if value.is_integer() else value
        return self.setting.check(value)


def controls_of(what_if: WhatIf) -> dict[str, Control]:
    """One control for each threshold and reading, in protocol order; a shared name is one control."""
    protocol = what_if.protocol
    found: dict[str, Control] = {}
    for criterion in protocol.assessable:
        for setting in criterion.settings:
            if setting.name in found:
                continue
            owners = tuple(c.id for c in protocol.assessable if setting.name in c.values)
            value = criterion.values[setting.name]
            span = (0.0, 1.0, 1.0) if setting.is_reading else _span(what_if, setting, value)
            found[setting.name] = Control(setting, owners, value, *span)
    return found


def _span(what_if: WhatIf, setting: Setting, value) -> tuple[float, float, float]:
    """Where the slider begins and ends, and its step: the values patients have, and room around the protocol's own."""
    columns = sorted(c for c in compared_with(what_if, setting.name) if c in what_if.patients)
    seen = _seen(what_if.patients, columns, upto=1.0 if setting.is_lookback else 0.99)
    declared = _declared(what_if.protocol.columns, columns)
    own = float(value) if value is not None and math.isfinite(value) else None
    low, high = seen or declared["soft"] or declared["hard"] or (0.0, 2 * own if own else 1.0)
    if declared["soft"] and not setting.is_lookback:
        low, high = max(low, declared["soft"][0]), min(high, declared["soft"][1])
    if setting.is_lookback:
        low = 0.0
    if own is not None:
        if own > 0:
            low, high = min(low, own / 2), max(min(high, 5 * own), 1.5 * own)
        low, high = min(low, own), max(high, own, low + (1 if setting.whole else 0))
    hard_low, hard_high = declared["hard"] or (-math.inf, math.inf)
    low, high = (
        max(low, min(hard_low, low if own is None else own)),
        min(high, max(hard_high, high if own is None else own)),
    )
    high = high if high > low else low + 1
    step = step_for(low, high, own, whole=setting.whole or (setting.unit in TIMES and float(own or 0).is_integer()))
    return _tidy(math.floor(low / step + 1e-9) * step), _tidy(math.ceil(high / step - 1e-9) * step), step


def step_for(low: float, high: float, own: float | None, *, whole: bool = False) -> float:
    """A round step of which the protocol's own value is a multiple, so that a slider can come back to it.

    >>> step_for(0, 100, 30), step_for(0, 400, 178), step_for(0, 2.5, 0.5), step_for(0, 4, 2, whole=True)
    (1.0, 2.0, 0.05, 1.0)
    """
    power = math.floor(math.log10((high - low) / STEPS))
    nice = [_tidy(m * 10.0**p) for p in (power + 1, power, power - 1) for m in (5, 2, 1)]
    fitting = [s for s in nice if not whole or s >= 1] or [1.0]
    enough = min((s for s in fitting if (high - low) / s <= STEPS), default=fitting[0])
    for step in (s for s in fitting if s <= enough):
        if own is None or abs(own / step - round(own / step)) < 1e-9:
            return step
    return 1.0 if whole else enough


def _seen(patients, columns, upto: float) -> tuple[float, float] | None:
    """The middle 98 % of the numbers that patients have in these columns, or with ``upto=1`` all but the lowest."""
    parts = [patients.numbers(c, SAMPLE) for c in columns]
    values = np.concatenate([p[np.isfinite(p)] for p in parts]) if parts else np.zeros(0)
    return tuple(map(float, np.quantile(values, [0.01, upto]))) if len(values) else None


def _declared(table, columns) -> dict[str, tuple[float, float] | None]:
    found = {}
    for which in ("hard", "soft"):
        ranges = [getattr(table[c], which) for c in columns if table is not None and c in table]
        known = [r for r in ranges if r is not None and all(math.isfinite(x) for x in r)]
        found[which] = (min(r[0] for r in known), max(r[1] for r in known)) if known else None
    return found


def _inside(title: str) -> str:
    """A title as it stands inside a sentence: its capital goes, unless it belongs to an abbreviation."""
    first = title.split(" ")[0]
    return title if first.upper() == first else title[:1].lower() + title[1:]


def _tidy(value: float) -> float:
    return float(f"{value:.10g}")
