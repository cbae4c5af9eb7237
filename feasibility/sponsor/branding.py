"""Whose report it is: names, logo, language and colours, from a TOML file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from feasibility.errors import FeasibilityError, did_you_mean

LANGUAGES = ("en", "zh")
LOGOS = (".png", ".svg")
WHITE = (255, 255, 255)
CONTRAST = 4.5
"""Least contrast of text against white: WCAG 2.2, level AA."""


@dataclass(frozen=True)
class Colours:
    """``primary`` for headings and rules, ``accent`` for the banner; each "#rrggbb", dark enough to read on white."""

    primary: str = "#00568a"
    accent: str = "#1c2126"

    def __post_init__(self):
        for one in fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
                raise FeasibilityError(f"Branding: colours.{one.name} is {value!r}; write it as #rrggbb.")
            ratio = contrast(value)
            if ratio < CONTRAST:
                raise FeasibilityError(
                    f"Branding: colours.{one.name} = {value} has a contrast of {ratio:.1f} against white, text needs"
                    f" {CONTRAST}; choose a darker colour."
                )


@dataclass(frozen=True)
class Branding:
    """What a report says about who made it and for whom. Everything may be left out.

    ``logo`` is a PNG or SVG file, ``organisation`` stands beside it; ``sponsor``, ``site`` and ``contact`` are printed
    on the first page. ``language`` ("en" or "zh") is used where the caller names none.
    """

    organisation: str = ""
    sponsor: str = ""
    site: str = ""
    contact: str = ""
    language: str = ""
    logo: Path | None = None
    colours: Colours = field(default_factory=Colours)


def load_branding(path: Path | str) -> Branding:
    """Read names, logo, language and colours of a report from a TOML file.

    The keys are organisation, sponsor, site, contact, language, logo (a path seen from the file) and a table
    ``[colours]`` with primary and accent. Raises FeasibilityError for an unknown key (with the nearest known one), a
    value of the wrong kind, a logo that is not there, and a colour too light to read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "branding.toml")
    ...     _ = file.write_text('organisation = "Example Hospital"', encoding="utf-8")
    ...     load_branding(file).organisation
    'Example Hospital'
    """
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeasibilityError(f"Branding: there is no file {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FeasibilityError(f"Branding: {path} is not TOML in UTF-8: {error}.") from None
    known = [f.name for f in fields(Branding)]
    _known(given, known, path, "")
    colours = given.pop("colours", {})
    if not isinstance(colours, dict):
        raise FeasibilityError(f"Branding: colours in {path} is a table, [colours] with primary and accent.")
    _known(colours, [f.name for f in fields(Colours)], path, "colours.")
    for key, value in given.items():
        if not isinstance(value, str):
            raise FeasibilityError(f"Branding: {key} in {path} is text in quotes, got {value!r}.")
    language = given.get("language", "")
    if language and language not in LANGUAGES:
        raise FeasibilityError(
            f"Branding: language in {path} is {language!r}.{did_you_mean(language, LANGUAGES)} Known: en, zh."
        )
    logo = given.pop("logo", "")
    return Branding(**given, logo=_logo(path.parent / logo, path) if logo else None, colours=Colours(**colours))


def _known(given: dict, known: list[str], path: Path, prefix: str) -> None:
    for key in given:
        if key not in known:
            raise FeasibilityError(f"Branding: {path} has an unknown key {prefix + key!r}.{did_you_mean(key, known)}")


def _logo(logo: Path, path: Path) -> Path:
    if not logo.is_file():
        raise FeasibilityError(f"Branding: the logo {logo} named in {path} is not there.")
    if logo.suffix.lower() not in LOGOS:
        raise FeasibilityError(f"Branding: the logo {logo} is {logo.suffix or 'no'} file; PNG and SVG can be used.")
    return logo


def contrast(colour: str) -> float:
    """The contrast ratio of a colour against white (WCAG 2.2).

    >>> round(contrast("#000000")), contrast("#ffffff")
    (21, 1.0)
    """

    def luminance(rgb) -> float:
        parts = [c / 255 for c in rgb]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return (luminance(WHITE) + 0.05) / (luminance(rgb) + 0.05)
