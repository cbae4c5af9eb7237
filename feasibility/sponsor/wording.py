"""Words of the report in its language, and how numbers, dates and other people's text are written into Markdown."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.figures.style import title_case
from feasibility.sponsor.branding import LANGUAGES

BREAK = "[]{.br}"
"""A line break inside a table cell; the filter of the writers turns it into one."""
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


class Md(str):
    """Text that is Markdown already; every other text is escaped when it is written."""


def escape(text) -> Md:
    r"""Other people's text, so that no character of it is read as Markdown.

    >>> escape("CD3+ > 0.5×10^9/L | *x*")
    'CD3\\+ \\> 0\\.5×10\\^9\\/L \\| \\*x\\*'
    """
    if isinstance(text, Md):
        return text
    return Md(_PUNCTUATION.sub(r"\\\1", re.sub(r"\s+", " ", str(text)).strip()))


def _keep(part: str) -> str:
    """A part of a sentence, escaped, with the blanks at its ends."""
    before, after = (" " if part[:1].isspace() else ""), (" " if part[-1:].isspace() and part.strip() else "")
    return before + escape(part) + after


def code(name) -> Md:
    """The name of a column or setting.

    >>> code("hemoglobin_g_l")
    '`hemoglobin_g_l`'
    """
    return Md("`" + str(name).replace("`", "'").replace("|", "/") + "`")


def join(parts: Iterable, between: str = ", ") -> Md:
    """Several texts, each escaped unless it is Markdown already."""
    return Md(between.join(escape(p) for p in parts))


def table(heads: Sequence, rows: Iterable[Sequence], widths: Sequence[int], *, align: str = "", caption="") -> Md:
    """A Markdown table: ``widths`` are relative, ``align`` has one letter (l, r, c) a column."""
    align = align or "l" * len(heads)
    rules = {"l": ":{}-", "r": "-{}:", "c": ":{}:"}
    lines = [
        "| " + " | ".join(escape(h) or " " for h in heads) + " |",
        "|" + "|".join(rules[a].format("-" * max(w - 2, 1)) for a, w in zip(align, widths, strict=True)) + "|",
    ]
    for row in rows:
        if len(row) != len(heads):
            raise ValueError(f"A row of {len(row)} cells under {len(heads)} headings.")
        lines.append("| " + " | ".join(escape(cell) or " " for cell in row) + " |")
    if caption:
        lines += ["", f": {escape(caption)}"]
    return Md("\n".join(lines))


@cache
def strings(language: str) -> Mapping[str, str]:
    """Every string of a language by its dotted key."""
    text = files("feasibility.sponsor").joinpath("strings", f"{language}.toml").read_text(encoding="utf-8")
    return dict(_flat(tomllib.loads(text)))


def _flat(tables: Mapping, prefix: str = ""):
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@dataclass(frozen=True)
class Wording:
    """The words of one report: the strings of its language, and the trial's own words in it (``trial``)."""

    language: str
    trial: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.language not in LANGUAGES:
            raise FeasibilityError(
                f"The report speaks {' and '.join(LANGUAGES)}, not {self.language!r}."
                f"{did_you_mean(self.language, LANGUAGES)}"
            )

    def t(self, key: str, /, **values) -> Md:
        """The string of a key, as Markdown, with the values put in (escaped unless they are Markdown)."""
        text = strings(self.language)[key]
        return Md(text.format(**{k: escape(v) for k, v in values.items()}) if values else text)

    def plain(self, key: str, /, **values) -> str:
        """The string of a key without Markdown: for figures, alternative texts and file properties."""
        text = strings(self.language)[key].replace("**", "")
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        return key in strings(self.language)

    def date(self, text: str) -> str:
        """A date as the language writes it; anything that is no date stays as it is.

        >>> Wording("en").date("2026-01-31"), Wording("zh").date("2026-01-31"), Wording("zh").date("")
        ('31 January 2026', '2026年1月31日', '')
        """
        found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", str(text))
        if not found:
            return str(text)
        year, month, day = map(int, found.groups())
        if self.language == "zh":
            return f"{year}年{month}月{day}日"
        return f"{day} {strings('en')[f'month.{month}']} {year}"

    def number(self, value: float, digits: int = 10) -> str:
        """A number of a threshold or a forecast.

        >>> Wording("en").number(60.0), Wording("en").number(1234.5), Wording("zh").number(float("inf"))
        ('60', '1,234.5', '不限')
        """
        if math.isinf(value):
            return self.plain("word.no_limit")
        return f"{value:,.{digits}g}"

    def listed(self, parts: Iterable) -> Md:
        """Several things in a sentence: "a, b and c".

        >>> Wording("en").listed(["a", "b", "c"]), Wording("zh").listed(["a", "b", "c"])
        ('a, b and c', 'a、b和c')
        """
        parts = [escape(p) for p in parts]
        if len(parts) < 2:
            return Md("".join(parts))
        comma, last = strings(self.language)["word.comma"], strings(self.language)["word.and"]
        return Md(comma.join(parts[:-1]) + last + parts[-1])

    def joined(self, parts: Iterable) -> Md:
        """Several things one after another, as the language separates them."""
        return join(parts, strings(self.language)["word.comma"])

    # --- the trial's own words -----------------------------------------------------------------------------------

    def name(self, criterion) -> str:
        """Short name of a criterion (or of a clause no data decides)."""
        return self._own("names", criterion.name) or self._own("names", criterion.id) or title_case(criterion.name)

    def reading(self, criterion) -> Md:
        """How the criterion is read, in a sentence or two; what stands in backquotes is set as a name."""
        text = self._own("readings", criterion.name) or getattr(criterion, "reading", "")
        parts = re.split(r"``([^`]+)``", text)
        return Md("".join(code(part) if i % 2 else _keep(part) for i, part in enumerate(parts)).strip())

    def clause(self, clause: str) -> str:
        """Short name of a clause, or ''."""
        return self._own("clauses", clause)

    def source(self, name: str, given: str) -> str:
        """Where an assumed rate comes from."""
        return self._own("sources", name) or given

    def setting(self, name: str) -> str:
        """A threshold in words, or ''."""
        return self._own("settings", name)

    def column(self, name: str) -> str:
        """A column in words, or ''."""
        return self._own("columns", name)

    def title(self, given: str) -> str:
        return self._own("trial", "title") or given

    def register(self, given: str) -> str:
        """Where the trial's text comes from."""
        return self._own("trial", "source") or given

    def _own(self, section: str, key: str) -> str:
        return str(self.trial.get(section, {}).get(key, ""))


def trial_words(trial_id: str, language: str, file: Path | str | None = None) -> dict:
    """The trial's own words in a language: from a file of the user's, else those that come with the trial, else none.

    >>> trial_words("NCT06642025", "zh")["names"]["hemoglobin"]
    '血红蛋白'
    """
    if file is not None:
        source = Path(file)
        if not source.is_file():
            raise FeasibilityError(f"There is no file {source} with the trial's words.")
    else:
        source = files("feasibility.trials").joinpath(f"{trial_id.lower()}.{language}.toml")
        if not source.is_file():
            return {}
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise FeasibilityError(f"{source} is not TOML: {error}.") from None
