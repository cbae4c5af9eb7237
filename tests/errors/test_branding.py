"""A wrong branding file says which key, file or colour is wrong."""

from __future__ import annotations

import pytest
from helpers import ROOT

from feasibility.errors import FeasibilityError
from feasibility.sponsor.branding import contrast, load_branding


def written(folder, text):
    file = folder / "branding.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_shipped_example_is_read():
    made = load_branding(ROOT / "examples" / "branding.toml")
    assert made.organisation.startswith("Example Hospital")
    assert made.colours.primary == "#00568a"
    assert made.logo is None


def test_a_logo_is_found_beside_the_file(tmp_path):
    (tmp_path / "mark.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    assert load_branding(written(tmp_path, 'logo = "mark.svg"')).logo == tmp_path / "mark.svg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('organization = "X"', "unknown key 'organization'. Did you mean 'organisation'"),
        ('[colours]\nprimery = "#000000"', "unknown key 'colours.primery'. Did you mean 'primary'"),
        ('logo = "nowhere.png"', "the logo .*nowhere.png named in .*branding.toml is not there"),
        ('[colours]\nprimary = "blue"', "colours.primary is 'blue'; write it as #rrggbb"),
        ('[colours]\naccent = "#ffdd00"', "accent = #ffdd00 has a contrast of 1.3 against white"),
        ('language = "de"', "language in .* is 'de'"),
        ("sponsor = 3", "sponsor in .* is text in quotes, got 3"),
        ('colours = "blue"', "colours in .* is a table"),
        ("sponsor = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    with pytest.raises(FeasibilityError, match=message):
        load_branding(written(tmp_path, text))


def test_a_logo_of_another_kind_is_refused(tmp_path):
    (tmp_path / "logo.gif").write_bytes(b"GIF89a")
    with pytest.raises(FeasibilityError, match="is .gif file; PNG and SVG can be used"):
        load_branding(written(tmp_path, 'logo = "logo.gif"'))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FeasibilityError, match="there is no file .*none.toml"):
        load_branding(tmp_path / "none.toml")


def test_contrast_agrees_with_published_ratios():
    # WCAG's own examples: #767676 is the lightest grey that passes AA on white, #777777 just fails.
    assert contrast("#767676") >= 4.5 > contrast("#777777")
