"""How every figure looks: colours, fonts and numbers, chosen once.

Colours are from Okabe and Ito's colour-blind safe set, darkened where text needs contrast. Every pair that must be told
apart also differs in lightness or hatching, so a black-and-white copy loses nothing.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache, lru_cache
from importlib import metadata

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch

INK = "#1c2126"
MUTED = "#59636e"
RULE = "#d3d8de"
PAPER = "#ffffff"
BLUE = "#00568a"
VERMILLION = "#b04600"

#: One look per meaning; a figure never picks colours of its own.
LOOKS: dict[str, dict] = {
    "cohort": {"facecolor": "#6b747e", "edgecolor": "#6b747e"},
    "confirmed": {"facecolor": BLUE, "edgecolor": BLUE},
    "undetermined": {"facecolor": "#dcebf6", "edgecolor": "#3f87b5", "hatch": "/////"},
    "excluded": {"facecolor": "#ffffff", "edgecolor": "#d58a55"},
    "failing": {"facecolor": "#f6dfcf", "edgecolor": "#d58a55"},
    "shapley": {"facecolor": VERMILLION, "edgecolor": VERMILLION},
    "known": {"facecolor": BLUE, "edgecolor": BLUE},
    "unknown": {"facecolor": "#dcebf6", "edgecolor": "#3f87b5", "hatch": "/////"},
    "not assessable": {"facecolor": "#f1f2f4", "edgecolor": "#9aa3ac", "hatch": "....."},
}

#: Looks for the reasons a value is unknown, in the order the reasons come.
REASON_LOOKS: tuple[dict, ...] = (
    {"facecolor": "#dcebf6", "edgecolor": "#3f87b5", "hatch": "/////"},
    {"facecolor": "#eef1f4", "edgecolor": "#8a939c", "hatch": "|||"},
    {"facecolor": "#f3c9a6", "edgecolor": "#b0601e"},
    {"facecolor": "#fbf3c4", "edgecolor": "#a08f1c", "hatch": "....."},
    {"facecolor": "#c9e4d9", "edgecolor": "#1f7a5c", "hatch": "|||||"},
    {"facecolor": "#ecd3e2", "edgecolor": "#9a5c80", "hatch": "xxxxx"},
    {"facecolor": "#9aa3ac", "edgecolor": "#59636e"},
    {"facecolor": "#ffffff", "edgecolor": "#1c2126", "hatch": "-----"},
    {"facecolor": "#d5d0ea", "edgecolor": "#5b4d94", "hatch": "\\\\\\\\\\"},
    {"facecolor": "#ffffff", "edgecolor": "#b0601e", "hatch": "ooo"},
    {"facecolor": "#4a525b", "edgecolor": "#1c2126"},
)

#: The reasons of the quality page, each with one of those looks whatever else its figure shows.
REASONS: tuple[str, ...] = (
    "missing", "not tested", "stale", "unit unknown", "date imprecise", "conflicting", "out of range", "date missing",
    "unreadable", "after index", "not in file",
)  # fmt: skip

SIZE = 8.5
SMALL = 7.5

# Short names are snake_case, which loses the capitals readers expect.
_CAPITALS = frozenset(
    """af aids alc alt aml apl ast bmi bnp cabg cr dna ecg ecog egfr em gvhd hav hb hbv hcv hf hiv hla hsct lvef mds
    mi mrd nt nyha pb qtc rna sbp tb uln""".split()
)
_SPELLED = {"probnp": "proBNP"}
# Codes of drugs, antigens and cells: cd3, ex02, il6.
_CODE = re.compile(r"[a-z]{2,4}\d{1,3}")
_CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "WenQuanYi Zen Hei",
)


@cache
def families() -> tuple[str, ...]:
    """DejaVu Sans, and behind it the first font with Chinese that this computer has.

    The optional wheel ``mpl-font`` carries Noto Sans CJK; its files are used without importing it, because the import
    changes matplotlib's global settings.
    """
    try:
        files = metadata.files("mpl-font") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".otf" and "NotoSansCJKsc" in file.name:
            font_manager.fontManager.addfont(str(file.locate()))
    present = {font.name for font in font_manager.fontManager.ttflist}
    cjk = [family for family in _CJK_FAMILIES if family in present][:1]
    return ("DejaVu Sans", *cjk)


def font(*, size: float = SIZE, bold: bool = False) -> FontProperties:
    """The font of every text in every figure."""
    return FontProperties(family=list(families()), size=size, weight="bold" if bold else "normal")


@cache
def _ruler():
    figure = Figure(figsize=(1, 1), dpi=72)
    return FigureCanvasAgg(figure).get_renderer()


@lru_cache(maxsize=4096)
def text_width(text: str, *, size: float = SIZE, bold: bool = False) -> float:
    """Width in points of one line of text as drawn."""
    # Measured ten times as large, because small sizes are hinted to whole pixels.
    width, _, _ = _ruler().get_text_width_height_descent(text, font(size=size * 10, bold=bold), ismath=False)
    return width / 10


def _pieces(text: str) -> list[str]:
    """The parts between which a line may break: after blanks, and around each East Asian character.

    No-break spaces hold. A closing mark stays with what it follows, an opening bracket with what it precedes.
    """
    parts: list[str] = []
    for word in re.findall(r"[^ \t\n]+[ \t\n]*", text):
        run = ""
        for char in word:
            closing = unicodedata.category(char) in ("Pe", "Pf", "Po") or char.isspace()
            after_opening = run != "" and unicodedata.category(run[-1]) in ("Ps", "Pi")
            if run and not closing and not after_opening and (_wide(char) or _wide(run[-1])):
                parts.append(run)
                run = ""
            run += char
        parts.append(run)
    return parts


def _wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def wrap(text: str, width: float, *, size: float = SIZE, bold: bool = False, lines: int | None = None) -> list[str]:
    """Break a text, English or Chinese, into lines no wider than ``width`` points; beyond ``lines`` it ends in …"""
    out: list[str] = []
    line = ""
    for piece in _pieces(str(text)):
        if line and text_width((line + piece).rstrip(), size=size, bold=bold) > width:
            out.append(line.rstrip())
            line = ""
        line += piece
        while text_width(line.rstrip(), size=size, bold=bold) > width and len(line.rstrip()) > 1:
            fits = max(n for n in range(1, len(line)) if n == 1 or text_width(line[:n], size=size, bold=bold) <= width)
            out.append(line[:fits])
            line = line[fits:]
    if line.strip():
        out.append(line.rstrip())
    if lines is not None and len(out) > lines:
        out = out[:lines]
        while out[-1] and text_width(out[-1] + " …", size=size, bold=bold) > width:
            out[-1] = out[-1][:-1]
        out[-1] = out[-1].rstrip() + " …"
    return out or [""]


def count(n) -> str:
    """A whole number with thousands separators.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{int(n):,}"


def share(part, whole) -> str:
    """A percentage that never claims more than it knows: '<0.1 %' and '>99 %' instead of a false 0 or 100.

    Halves round up; below 10 % one decimal is kept. A no-break space keeps the sign with its number.

    >>> [share(n, 2000).replace("\\xa0", " ") for n in (1, 0, 1999, 30, 309, 3)]
    ['<0.1 %', '0 %', '>99 %', '1.5 %', '15 %', '0.2 %']
    """
    if not whole:
        return "–"
    percent = 100 * float(part) / float(whole)
    if percent == 0:
        text = "0"
    elif percent < 0.1:
        text = "<0.1"
    elif 99 < percent < 100:
        text = ">99"
    elif percent < 9.95:
        text = f"{whole_number(10 * percent) / 10:.1f}"
    else:
        text = str(whole_number(percent))
    return f"{text}\u00a0%"


def whole_number(x) -> int:
    """The nearest whole number, halves up (Python's own rounding takes the even neighbour).

    >>> [whole_number(x) for x in (0.5, 1.5, 2.4999)]
    [1, 2, 2]
    """
    # What binary fractions leave behind is no part of the number: 100 * 0.285 must count as 28.5.
    return math.floor(round(float(x), 9) + 0.5)


def title_case(name: str) -> str:
    """A snake_case name, or several joined by commas, as a reader would write it.

    >>> title_case("hiv_infection"), title_case("hemoglobin"), title_case("心功能")
    ('HIV infection', 'Hemoglobin', '心功能')
    >>> title_case("hepatitis_a, hepatitis_b"), title_case("cd3_t_cells")
    ('Hepatitis A, hepatitis B', 'CD3 T cells')
    """
    text = ", ".join(_readable(part) for part in str(name).split(", "))
    return text[:1].upper() + text[1:]


def _readable(name: str) -> str:
    words = name.replace("_", " ").split()
    # A single letter is a name ("hepatitis A", "T cells"), unless it is an article in the middle.
    return " ".join(
        _SPELLED[w]
        if w in _SPELLED
        else w.upper()
        if w in _CAPITALS or _CODE.fullmatch(w) or (len(w) == 1 and (w != "a" or i == len(words) - 1))
        else w
        for i, w in enumerate(words)
    )


_SUFFIXES = re.compile(r"_(10e9_l|g_l|umol_l|x_uln|iu_ml|pct|years|id|mg_day)(?=_|$)")


def column_title(name: str) -> str:
    """The name of a column of the patient table as a reader would write it, without its unit.

    >>> column_title("site_id"), column_title("age_years"), column_title("platelets_10e9_l")
    ('Site', 'Age', 'Platelets')
    """
    return title_case(_SUFFIXES.sub("", str(name)) or name)


def look(name: str) -> dict:
    """Keyword arguments for bars that mean ``name``."""
    return {"linewidth": 0.6, **LOOKS[name]}


def reason_looks(names) -> dict[str, dict]:
    """A look per reason: always the same one for those of the quality page, the next free one for any other."""
    own = {name: REASON_LOOKS[REASONS.index(name)] for name in names if name in REASONS}
    free = [look for look in REASON_LOOKS if look not in own.values()] or list(REASON_LOOKS)
    others = [name for name in names if name not in own]
    return own | {name: free[i % len(free)] for i, name in enumerate(others)}


def soften(patches) -> None:
    """Thin hatching: matplotlib's default is as heavy as an outline."""
    for patch in patches:
        if isinstance(patch, Patch) and hasattr(patch, "set_hatch_linewidth"):  # matplotlib 3.10 and later
            patch.set_hatch_linewidth(0.5)
