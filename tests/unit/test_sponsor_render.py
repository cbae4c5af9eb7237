"""The sponsor's files: self-contained, accessible, the same bytes each time, whole or not there."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import zipfile
import zlib
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from sponsor_examples import DATED, bare, document, forecast, release, trial

from feasibility.errors import FeasibilityError
from feasibility.sponsor import fonts, render
from feasibility.sponsor.branding import Branding, Colours
from feasibility.sponsor.document import SponsorDocument
from feasibility.sponsor.render import FORMATS, markdown, rendered, write_documents

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20" fill="#00568a"/></svg>'
)


DRAWN: dict[str, dict] = {"en": {}, "zh": {}}
"""Figures of the two documents, drawn once."""


@cache
def page(language: str = "en") -> str:
    return rendered(document(language), "html", DRAWN[language]).decode("utf-8")


@cache
def word() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(rendered(document(), "docx", DRAWN["en"])))


@cache
def pdf() -> bytes:
    return rendered(document("zh"), "pdf", DRAWN["zh"])


class Tags(HTMLParser):
    """Every opening tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, *names):
        return [(tag, attrs) for tag, attrs in self.tags if tag in names]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_needs_nothing_else(language):
    tags = Tags(page(language)).tags
    links = [value for _, attrs in tags for key, value in attrs.items() if key in ("src", "href", "srcset", "data")]
    assert len(links) > 12
    assert all(link.startswith(("#", "data:")) for link in links)
    styles = re.findall(r"url\((.{0,30})", page(language))
    assert all(link.startswith("data:font/woff;base64,") for link in styles)
    assert len(styles) == (2 if language == "zh" else 0)
    assert "@import" not in page(language)
    assert not Tags(page(language)).of("script", "link", "iframe", "object")


@pytest.mark.parametrize(("language", "lang"), [("en", "en"), ("zh", "zh-Hans")])
def test_the_page_can_be_read_aloud(language, lang):
    tags = Tags(page(language))
    assert tags.of("html")[0][1]["lang"] == lang
    assert all(attrs.get("alt") for _, attrs in tags.of("img"))
    assert len(tags.of("img")) == 6
    headers = tags.of("th")
    assert {attrs.get("scope") for _, attrs in headers} == {"col", "row"}
    levels = [int(tag[1]) for tag, _ in tags.of("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = [attrs["id"] for _, attrs in tags.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"][1:] for _, attrs in tags.of("a")}
    assert targets <= set(ids)
    assert len(targets) >= 10


def test_the_chinese_page_brings_its_own_letters():
    from fontTools.ttLib import TTFont

    told = {c for c in re.sub(r"<style>.*?</style>|<[^>]*>", "", page("zh"), flags=re.DOTALL) if c > "\u2e80"}
    for data in re.findall(r"data:font/woff;base64,([\w+/=]+)", page("zh")):
        with TTFont(io.BytesIO(base64.b64decode(data))) as font:
            have = set(map(chr, font.getBestCmap()))
        assert len(told) > 500
        assert told <= have


def test_the_registered_text_is_marked_as_english():
    quotes = [attrs for _, attrs in Tags(page("zh")).of("span") if "verbatim" in attrs.get("class", "")]
    assert len(quotes) == len(trial().clauses())
    assert all(attrs["lang"] == "en" for attrs in quotes)


def test_the_interactive_part_stands_in_the_page_alone_after_the_thresholds():
    fragment = '<div id="try-it"><p>1 < 2</p></div>'
    made = dataclasses.replace(document(), interactive_html=fragment)
    text = rendered(made, "html", DRAWN["en"]).decode("utf-8")
    assert text.count(fragment) == 1
    assert text.index('id="thresholds"') < text.index(fragment) < text.index('id="missing"')
    assert "try-it" not in markdown(made, "pdf")
    assert "try-it" not in markdown(made, "docx")
    assert render.INTERACTIVE not in page()


@pytest.mark.parametrize("kind", FORMATS)
def test_same_document_same_bytes(kind):
    again = SponsorDocument.of(bare().release, trial(), dated=DATED)
    assert rendered(bare(), kind) == rendered(again, kind)


def test_the_word_file_has_headings_headers_and_alternative_texts():
    body = ElementTree.fromstring(word().read("word/document.xml"))
    styles = [e.get(f"{W}val") for e in body.iter(f"{W}pStyle")]
    heads = [int(s[-1]) for s in styles if s.startswith("Heading")]
    assert heads.count(1) == 10
    assert all(after - before <= 1 for before, after in zip(heads, heads[1:], strict=False))
    rows = body.findall(f".//{W}tbl")
    assert len(rows) > 20
    assert all(t.find(f"{W}tr/{W}trPr/{W}tblHeader") is not None for t in rows)
    texts = [e.get("descr") for e in body.iter() if e.tag.endswith("}docPr")]
    assert len(texts) == 6
    assert all(len(t) > 30 for t in texts)


def test_the_word_file_carries_banner_date_and_pictures_for_every_word():
    names = word().namelist()
    assert "SYNTHETIC DATA" in word().read("word/header1.xml").decode()
    assert "31 January 2026" in word().read("word/footer1.xml").decode()
    assert {n.rsplit(".", 1)[1] for n in names if n.startswith("word/media/")} == {"png"}
    for name in names:
        if name.endswith((".xml", ".rels")):
            ElementTree.fromstring(word().read(name))
    assert re.findall('name="(.*?)"', word().read("docProps/custom.xml").decode()) == ["subtitle"]


def streams(content: bytes) -> bytes:
    """Everything compressed in a PDF, unpacked."""
    parts = []
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", content, flags=re.DOTALL):
        try:
            parts.append(zlib.decompress(match.group(1)))
        except zlib.error:
            continue
    return content + b"\n".join(parts)


def test_the_pdf_is_tagged_titled_and_has_its_own_fonts():
    content = streams(pdf())
    embedded = {m.decode() for m in re.findall(rb"/BaseFont\s*/[A-Z]{6}\+([\w-]+)", content)}
    assert {"NotoSansCJKsc-Regular", "NotoSansCJKsc-Bold", "DejaVuSansMono"} <= {
        e.split("-Identity")[0] for e in embedded
    }
    assert all(e.startswith(("NotoSansCJKsc", "DejaVuSans")) for e in embedded)
    for mark in (b"/StructTreeRoot", b"/MarkInfo", b"/Lang", b"pdfuaid", b"/TH", b"/Figure", b"/Alt"):
        assert mark in content, mark
    assert "试验 NCT06642025 可行性评估报告".encode() in content


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_summary_fits_one_page(language, tmp_path):
    import typst

    source = render.typst_source(
        document(language), markdown(document(language), "pdf", tmp_path, DRAWN[language]), tmp_path
    )
    found = typst.query(source, "<summary-ends>", field="value", one=True, root=tmp_path, font_paths=fonts.folders(),
                        ignore_system_fonts=True)  # fmt: skip
    assert found == "1"


def test_english_does_without_the_chinese_font(monkeypatch):
    monkeypatch.setattr(fonts, "cjk_files", lambda: ())
    content = streams(rendered(bare(), "pdf"))
    assert all(m.startswith(b"DejaVuSans") for m in re.findall(rb"/BaseFont\s*/[A-Z]{6}\+([\w-]+)", content))


def test_chinese_without_its_font_is_an_error(monkeypatch):
    monkeypatch.setattr(fonts, "cjk_files", lambda: ())
    with pytest.raises(FeasibilityError, match="No font of the report has .* mpl-font"):
        rendered(bare("zh"), "pdf")
    with pytest.raises(FeasibilityError, match="A report in Chinese needs the font of mpl-font"):
        fonts.families("zh")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_fonts_have_every_letter_of_the_report(language):
    assert fonts.missing(markdown(document(language), "html")) == ""


def test_a_letter_no_font_has_is_found_and_named():
    assert fonts.missing("abc\u1200中") == "\u1200"
    made = dataclasses.replace(bare(), source_words="Registry \u1200")
    with pytest.raises(FeasibilityError, match=r"No font of the report has .* \(U\+1200\)"):
        rendered(made, "pdf")


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(FeasibilityError, match="cannot be written as 'pfd'. Did you mean 'pdf'"):
        write_documents(bare(), tmp_path / "report", ("pfd",))


def test_files_are_named_written_and_told(tmp_path):
    told = []
    made = write_documents(bare(), tmp_path / "deep" / "report.v1", ("html", "docx"), progress=told.append)
    assert made == [tmp_path / "deep" / "report.v1.html", tmp_path / "deep" / "report.v1.docx"]
    assert told == ["report.v1.html", "report.v1.docx"]
    assert all(path.stat().st_size > 10_000 for path in made)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["report.v1.docx", "report.v1.html"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old", encoding="utf-8")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(render.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_documents(bare(), tmp_path / "report", "html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text(encoding="utf-8") == "old"


def test_the_branding_stands_in_all_three(tmp_path):
    (tmp_path / "mark.svg").write_text(SVG, encoding="utf-8")
    brand = Branding("Example Hospital", "Example Biotech", "Ward 3", "trials@example.org", logo=tmp_path / "mark.svg",
                     colours=Colours(primary="#5b2a86"))  # fmt: skip
    made = dataclasses.replace(bare(), branding=brand)
    text = rendered(made, "html").decode()
    for part in ("Example Hospital", "Example Biotech", "Ward 3", "trials@example.org", "#5b2a86"):
        assert part in text
    assert Tags(text).of("img")[0][1]["alt"] == "Example Hospital"
    assert rendered(made, "pdf").startswith(b"%PDF")
    with zipfile.ZipFile(io.BytesIO(rendered(made, "docx"))) as file:
        assert "5B2A86" in file.read("word/styles.xml").decode()
        assert 'descr="Example Hospital"' in file.read("word/document.xml").decode()


def test_a_report_without_synthetic_data_has_no_banner():
    made = dataclasses.replace(bare(), synthetic=False)
    assert "SYNTHETIC" not in rendered(made, "html").decode()
    with zipfile.ZipFile(io.BytesIO(rendered(made, "docx"))) as file:
        assert "SYNTHETIC" not in file.read("word/header1.xml").decode()


def test_the_example_really_holds_all_parts():
    """The checks above mean something only if the document has a forecast, arrivals and columns."""
    assert document().forecast is forecast()
    assert {"failing", "columns", "arrivals"} <= set(release().margins)
