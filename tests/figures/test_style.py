"""Text and numbers as figures show them."""

import warnings

import pytest
from matplotlib import rcParams

from feasibility.figures import plot_attrition, style

CHINESE = "血红蛋白 > 60g/L，正常T淋巴细胞计数（CD3+）> 0.5×10^9/L，血小板计数 > 30×10^9/L"
ENGLISH = "aspartate aminotransferase (AST) and alanine aminotransferase (ALT) levels exceeding 3 times the upper limit"


@pytest.mark.parametrize("text", [CHINESE, ENGLISH, "Donaudampfschifffahrtsgesellschaft" * 3])
@pytest.mark.parametrize("width", [60, 120, 170])
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    lines = style.wrap(text, width)
    assert max(style.text_width(line) for line in lines) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_line_never_begins_with_a_closing_mark_or_ends_with_an_opening_bracket():
    for width in range(70, 200, 7):
        lines = style.wrap(CHINESE, width)
        assert not any(line[0] in "，）。；" for line in lines)
        assert not any(line[-1] in "（" for line in lines)


def test_a_no_break_space_holds():
    assert style.wrap("Platelets\u00a01,628 Age\u00a03", 70) == ["Platelets\u00a01,628", "Age\u00a03"]


def test_too_many_lines_end_in_an_ellipsis():
    lines = style.wrap(ENGLISH, 100, lines=2)
    assert len(lines) == 2
    assert lines[1].endswith(" …")
    assert style.text_width(lines[1]) <= 100


def test_chinese_is_drawn_with_a_font_that_has_it(attrition):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns about each missing glyph
        plot_attrition(attrition.assign(name=CHINESE)).get_figure().canvas.draw()


def test_without_any_chinese_font_dejavu_remains(monkeypatch):
    def absent(name):
        raise style.metadata.PackageNotFoundError(name)

    style.families.cache_clear()
    monkeypatch.setattr(style.metadata, "files", absent)
    monkeypatch.setattr(style, "_CJK_FAMILIES", ("No such font",))
    assert style.families() == ("DejaVu Sans",)
    style.families.cache_clear()


def test_no_global_setting_is_touched(attrition):
    before = dict(rcParams)
    plot_attrition(attrition)
    assert dict(rcParams) == before


def test_no_pyplot_figure_is_left_open(attrition):
    from matplotlib import pyplot

    plot_attrition(attrition)
    assert pyplot.get_fignums() == []


def _lightness(color):
    from matplotlib.colors import to_rgb

    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(color), strict=True))


def test_looks_differ_without_colour():
    looks = style.LOOKS
    for a, b in (
        ("confirmed", "undetermined"),
        ("undetermined", "excluded"),
        ("failing", "shapley"),
        ("known", "unknown"),
    ):
        lighter = abs(_lightness(looks[a]["facecolor"]) - _lightness(looks[b]["facecolor"])) > 0.25
        assert lighter or looks[a].get("hatch") != looks[b].get("hatch")
    plain = [(round(_lightness(x["facecolor"]), 1), x.get("hatch")) for x in style.REASON_LOOKS]
    assert len(set(plain)) == len(plain)


def _contrast(one, two):
    def linear(c):
        return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4

    from matplotlib.colors import to_rgb

    light, dark = sorted(
        (sum(w * linear(c) for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(x), strict=True)) for x in (one, two)),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("color", [style.INK, style.MUTED, style.BLUE, style.VERMILLION])
def test_text_colours_have_the_contrast_small_text_needs(color):
    assert _contrast(color, style.PAPER) >= 4.5
