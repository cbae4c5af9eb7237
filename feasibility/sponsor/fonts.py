"""The fonts of the PDF and the figures, and which letters they lack."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from feasibility.errors import FeasibilityError

WEB = "Report Sans"
CJK, LATIN, MONO = "Noto Sans CJK SC", "DejaVu Sans", "DejaVu Sans Mono"
SIGNS = "×≥≤±·°²³⁹µμ→−…“”‘’–"
INVISIBLE = frozenset("\n\r\t\u200b\u00ad\ufeff")


@cache
def cjk_files() -> tuple[Path, ...]:
    """The Chinese font of the wheel ``mpl-font``, where it is installed; it is used without being imported."""
    try:
        files = metadata.files("mpl-font") or []
    except metadata.PackageNotFoundError:
        return ()
    return tuple(Path(str(f.locate())) for f in files if f.suffix == ".otf" and "NotoSansCJKsc" in f.name)


def latin_folder() -> Path:
    """The fonts that come with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf")


def families(language: str) -> tuple[str, ...]:
    """Fonts of the text, the first that has a letter wins.

    Raises FeasibilityError for a report in Chinese without a Chinese font.
    """
    if cjk_files():
        return (CJK, LATIN)
    if language == "zh":
        raise FeasibilityError(
            "A report in Chinese needs the font of mpl-font: pip install 'trial-feasibility[report]'."
        )
    return (LATIN,)


def typst_families(language: str) -> tuple[str, ...]:
    """The same as Typst writes them; signs that a Chinese font sets full width come from the Latin one in English."""
    named = tuple(f'"{name}"' for name in families(language))
    if language == "zh" or len(named) == 1:
        return named
    return (f'(name: "{LATIN}", covers: regex("[{SIGNS}]"))', *named)


def folders() -> list[Path]:
    """Folders the typesetter looks for fonts in; those of the system are left alone, so that every machine agrees."""
    return [*{f.parent: None for f in cjk_files()}, latin_folder()]


@cache
def letters(files: tuple[Path, ...]) -> frozenset[int]:
    """Every character that at least one of the font files has."""
    from fontTools.ttLib import TTFont

    found: set[int] = set()
    for file in files:
        with TTFont(file, lazy=True) as font:
            found |= set(font.getBestCmap())
    return frozenset(found)


@cache
def web_face(text: str) -> str:
    """CSS with the Chinese font cut down to the characters of a text, so that a page needs no font of its reader's.

    The licence of Noto Sans CJK (OFL 1.1) allows it. Empty where the font is not installed.
    """
    import base64
    import io

    from fontTools import subset

    rules = []
    for file in cjk_files():
        weight = {"Regular": 400, "Bold": 700}.get(file.stem.rsplit("-", 1)[-1])
        if weight is None:
            continue
        options = subset.Options(recalc_timestamp=False, layout_features=["kern", "locl"], notdef_outline=True)
        font = subset.load_font(str(file), options)
        cut = subset.Subsetter(options)
        cut.populate(text=text)
        cut.subset(font)
        buffer = io.BytesIO()
        font.flavor = "woff"
        font.save(buffer)
        font.close()
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        rules.append(
            f'@font-face {{ font-family: "{WEB}"; font-weight: {weight}; src: url(data:font/woff;base64,{data})'
            ' format("woff"); }'
        )
    return "\n".join(rules)


def missing(text: Iterable[str]) -> str:
    """The characters of a text that no font of the report has: they would print as boxes.

    >>> missing("Hemoglobin ≥ 60 g/L")
    ''
    """
    regular = tuple(f for f in cjk_files() if "Regular" in f.name)
    have = letters((*regular, latin_folder() / "DejaVuSans.ttf"))
    return "".join(sorted({c for c in text if c not in INVISIBLE and ord(c) not in have}))
