"""The figures of the sponsor's report: bars as long as the protected numbers, small ones not drawn."""

from __future__ import annotations

import re

import pytest
from matplotlib.text import Text
from sponsor_examples import bare, document, release

from feasibility.errors import FeasibilityError
from feasibility.sponsor import captions, pictures, views


def texts(ax):
    return [t.get_text() for t in ax.figure.findobj(Text) if t.get_text().strip()]


def widths(ax, label):
    return [c.patches[0].get_width() for c in ax.containers if c.get_label() == label]


def test_the_answer_shows_the_protocol_and_every_scenario():
    ax = pictures.answer(document())
    core = release().core
    possible = [core.n_possible, *core.scenarios()["n_possible"]]
    confirmed = [core.n_confirmed, *core.scenarios()["n_confirmed"]]
    drawn = [n if n >= 8 else 0 for n in confirmed]
    assert widths(ax, "confirmed") == drawn
    assert [a + b for a, b in zip(drawn, widths(ax, "undetermined"), strict=True)] == possible


def test_numbers_too_small_to_print_are_not_drawn():
    ax = pictures.arrivals(document())
    table = release().margins["arrivals"].frame
    expected = [int(n) if n >= 8 else 0 for n in table["n_confirmed"]]
    assert widths(ax, "confirmed") == expected
    assert 0 in expected
    assert any("<8" in t for t in texts(ax))


def test_the_flow_adds_up():
    steps = views.funnel(document())
    found = texts(pictures.flow_diagram(document()))
    assert f"n = {document().n_patients}" in found
    for kind in ("inclusion", "exclusion"):
        lost = sum(s.excluded.value for s in steps if s.kind == kind)
        assert f"n = {lost:,}" in found
    assert f"n = {document().n_confirmed}" in found or document().n_confirmed.small


def test_the_flow_without_bounds_ends_with_the_possible():
    found = texts(pictures.flow_diagram(bare()))
    assert not any(t.startswith("Confirmed") for t in found)
    assert f"n = {bare().n_possible}" in found


def test_thresholds_show_each_value_of_the_grid_once():
    host = pictures.thresholds(document())
    curves = views.curves(document())
    assert len(host.child_axes) == len(curves)
    for ax, curve in zip(host.child_axes, curves.values(), strict=True):
        assert [t.get_text() for t in ax.get_xticklabels()] == [f"{v:,.10g}" for v in curve.index]
        heights = [p.get_height() for c in ax.containers if c.get_label() == "possible" for p in c.patches]
        assert heights == curve["n_possible"].tolist()
        assert len({a.get_ylim() for a in host.child_axes}) == 1


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sorted(pictures.PICTURES))
def test_nothing_is_cut_off(name, language):
    ax = pictures.PICTURES[name](document(language))
    figure = ax.figure
    figure.canvas.draw()
    frame = figure.bbox
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent()
            assert box.x0 >= frame.x0 - 1, text.get_text()
            assert box.x1 <= frame.x1 + 1, text.get_text()
            assert box.y0 >= frame.y0 - 1, text.get_text()
            assert box.y1 <= frame.y1 + 1, text.get_text()


@pytest.mark.parametrize("name", ["answer", "thresholds"])
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_same_document_same_picture(name, kind):
    assert pictures.draw(document(), name, kind) == pictures.draw(document(), name, kind)


def test_vector_figures_need_no_font():
    drawn = pictures.draw(document("zh"), "answer", "svg").decode()
    assert "<text" not in drawn
    assert "<path" in drawn
    assert not re.search(r"\d{4}-\d\d-\d\dT", drawn)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_figure_is_told_in_words(language):
    for name in pictures.PICTURES:
        assert len(captions.alt(document(language), name)) > 20
        assert captions.caption(document(language), name)


def test_an_unknown_figure_is_an_error():
    with pytest.raises(FeasibilityError, match="has no figure 'pie'"):
        pictures.draw(document(), "pie", "svg")
