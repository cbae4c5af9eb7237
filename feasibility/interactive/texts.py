"""The words of the interactive part, in English or Chinese, and the names, units and numbers in them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any

from feasibility.disclosure.policy import Policy
from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures.style import title_case
from feasibility.report.words import unit

LANGUAGES = ("en", "zh")


def strings_of(language: str, strings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The texts of a language, some of them replaced.

    Raises FeasibilityError for an unknown language or text, and a text with other braces than the original.

    >>> strings_of("en", {"reset": "Start again"})["reset"], strings_of("zh")["reset"]
    ('Start again', '恢复为方案原样')
    """
    if language not in LANGUAGES:
        raise FeasibilityError(f"There are no texts in {language!r}.{did_you_mean(language, LANGUAGES)}")
    own, strings = _texts(language), strings or {}
    for key, text in strings.items():
        if key not in own:
            raise FeasibilityError(f"The interactive part has no text {key!r}.{did_you_mean(key, own)}")
        if isinstance(own[key], str) and _braces(text) != _braces(own[key]):
            raise FeasibilityError(f"Text {key!r} must have the same braces as the original: {own[key]!r}.")
    return own | {key: own[key] | text if isinstance(own[key], dict) else text for key, text in strings.items()}


@cache
def _texts(language: str) -> dict[str, Any]:
    return tomllib.loads(files("feasibility.interactive").joinpath(f"strings/{language}.toml").read_text("utf-8"))


def _braces(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def name_of(name: str, texts: Mapping[str, Any]) -> str:
    """A criterion's or threshold's name as a reader would write it.

    >>> name_of("hiv_infection", strings_of("en")), name_of("platelets", strings_of("zh"))
    ('HIV infection', '血小板')
    """
    return texts["names"].get(name) or title_case(name)


def threshold_of(name: str, texts: Mapping[str, Any]) -> str:
    """A threshold's name as a reader would write it.

    >>> threshold_of("min_hemoglobin", strings_of("en")), threshold_of("max_age", strings_of("zh"))
    ('Minimum hemoglobin', '年龄上限')
    """
    way, _, rest = name.partition("_")
    key = {"min": "minimum", "max": "maximum"}.get(way, "other_threshold")
    words = texts["names"].get(name) or name_of(name if key == "other_threshold" else rest, texts)
    if key != "other_threshold" and words[1:2].islower():
        words = words[:1].lower() + words[1:]
    before, _, after = texts[key].partition("{name}")
    # Chinese has no spaces, but one stands between a Latin word and what follows it.
    gap = " " if words[-1:].isascii() and not (after or "a").isascii() else ""
    return f"{before}{words}{gap}{after}"


def number_of(value: float, texts: Mapping[str, Any]) -> str:
    return texts["no_limit"] if math.isinf(value) else f"{value:g}"


def unit_of(text: str, texts: Mapping[str, Any]) -> str:
    return texts["units"].get(text) or unit(text)


def between(policy: Policy, low: int, high: int, texts: Mapping[str, Any]) -> str:
    """A range as it is printed; one number where both ends read the same.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> [between(POLICIES["nhs"], *ends, strings_of("en")) for ends in ((5, 5), (5, 20), (20, 20))]
    ['<8', '<8 to 20', '20']
    """
    ends = policy.shown(int(low)), policy.shown(int(high))
    return ends[0] if ends[0] == ends[1] else texts["range"].format(low=ends[0], high=ends[1])


def rounding_of(policy: Policy, texts: Mapping[str, Any]) -> str:
    """How far the printed numbers may be from the true ones."""
    how = "noise" if policy.epsilon is not None else "all" if policy.every_cell else "small"
    values = {"base": policy.base, "error": policy.cell_error, "twice": 2 * policy.base, "epsilon": policy.epsilon}
    return texts[f"rounding_{how}"].format(**values, small=policy.shown(0))
