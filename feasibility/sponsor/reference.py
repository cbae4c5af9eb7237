"""The style of the DOCX: pandoc's own reference file with our fonts, colours, page, header and footer."""

from __future__ import annotations

import io
import re
import subprocess
import zipfile
from html import escape

from feasibility.sponsor.document import SponsorDocument

STAMP = (1980, 1, 1, 0, 0, 0)
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT = "application/vnd.openxmlformats-officedocument.wordprocessingml"
FONTS = '<w:rFonts w:ascii="Arial" w:hAnsi="Arial" w:eastAsia="Microsoft YaHei" w:cs="Arial"/>'
SECTION = (
    '<w:sectPr><w:headerReference w:type="default" r:id="rId91"/><w:footerReference w:type="default" r:id="rId92"/>'
    '<w:footnotePr><w:numRestart w:val="eachSect"/></w:footnotePr><w:pgSz w:w="11906" w:h="16838"/>'
    '<w:pgMar w:top="1247" w:right="1134" w:bottom="1134" w:left="1134" w:header="567" w:footer="510" w:gutter="0"/>'
    "</w:sectPr>"
)
TABLE_BORDERS = (
    '<w:tblBorders><w:bottom w:val="single" w:sz="4" w:color="C9D0D7"/>'
    '<w:insideH w:val="single" w:sz="4" w:color="C9D0D7"/></w:tblBorders>'
)


def reference(document: SponsorDocument) -> bytes:
    """The reference file that pandoc takes styles, page, header and footer from."""
    import pypandoc

    command = [pypandoc.get_pandoc_path(), "--print-default-data-file", "reference.docx"]
    given = subprocess.run(command, capture_output=True, check=True).stdout
    with zipfile.ZipFile(io.BytesIO(given)) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    edits = {
        "word/styles.xml": lambda text: _styles(text, document),
        "word/document.xml": lambda text: re.sub(r"<w:sectPr>.*?</w:sectPr>", SECTION, text, flags=re.DOTALL),
        "word/_rels/document.xml.rels": _relations,
        "[Content_Types].xml": _types,
    }
    for name, edit in edits.items():
        parts[name] = edit(parts[name].decode("utf-8")).encode("utf-8")
    parts["word/header1.xml"] = _header(document).encode("utf-8")
    parts["word/footer1.xml"] = _footer(document).encode("utf-8")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(zipfile.ZipInfo(name, STAMP), content)
    return buffer.getvalue()


def _styles(text: str, document: SponsorDocument) -> str:
    colour, accent = (
        c.lstrip("#").upper() for c in (document.branding.colours.primary, document.branding.colours.accent)
    )
    text = re.sub(r"<w:rFonts\s+[^>]*Theme[^>]*/>", FONTS, text)
    text = re.sub(
        r'<w:color w:val="(?:0F4761|595959|272727|365F91|4F81BD)"[^>]*/>', f'<w:color w:val="{colour}"/>', text
    )
    sizes = r'<w:sz w:val="24" />\s*<w:szCs w:val="24" />'
    text = re.sub(f"(<w:rPrDefault>.*?){sizes}", r'\1<w:sz w:val="20"/><w:szCs w:val="20"/>', text, flags=re.DOTALL)
    for style, size, bold in (
        ("Title", 40, True),
        ("Heading1", 30, True),
        ("Heading2", 23, True),
        ("Subtitle", 21, False),
    ):
        text = _style(text, style, lambda s, size=size, bold=bold: _sized(s, size, bold, colour))
    text = _style(text, "Title", lambda s: s.replace('<w:jc w:val="center" />', ""))
    text = _style(text, "Heading1", lambda s: s.replace("<w:keepLines />", "<w:keepLines />" + TOP_RULE.format(colour)))
    text = _style(text, "BodyText", lambda s: s.replace('w:before="180" w:after="180"', 'w:before="60" w:after="110"'))
    text = _style(text, "Compact", lambda s: s.replace("</w:style>", '<w:rPr><w:sz w:val="17"/></w:rPr></w:style>'))
    text = _style(text, "VerbatimChar", lambda s: s.replace('<w:sz w:val="22" />', '<w:sz w:val="16"/>'))
    text = _style(text, "Caption", lambda s: s.replace("<w:i />", '<w:color w:val="56606B"/><w:sz w:val="17"/>'))
    text = _style(
        text,
        "BlockText",
        lambda s: s.replace("<w:pPr>", "<w:pPr>" + QUOTE_RULE).replace('w:right="480"', 'w:right="0"'),
    )
    text = _style(text, "Table", _bordered)
    return text.replace("</w:styles>", OWN_STYLES.format(accent=accent, colour=colour) + "</w:styles>")


def _bordered(style: str) -> str:
    indent, first = '<w:tblInd w:w="0" w:type="dxa" />', '<w:tblStylePr w:type="firstRow">'
    style = style.replace(indent, indent + TABLE_BORDERS).replace(first, first + "<w:rPr><w:b/></w:rPr>")
    return re.sub(r'<w:(top|bottom) w:w="0"', r'<w:\1 w:w="30"', style)


TOP_RULE = '<w:pBdr><w:top w:val="single" w:sz="8" w:space="6" w:color="{}"/></w:pBdr>'
QUOTE_RULE = '<w:pBdr><w:left w:val="single" w:sz="16" w:space="8" w:color="C9D0D7"/></w:pBdr>'
BOX = "".join(
    f'<w:{side} w:val="single" w:sz="8" w:space="5" w:color="{{accent}}"/>'
    for side in ("top", "left", "bottom", "right")
)
STYLE = (
    '<w:style w:type="paragraph" w:customStyle="1" w:styleId="{0}"><w:name w:val="{0}"/><w:basedOn w:val="BodyText"/>'
)
OWN_STYLES = (
    STYLE.format("Banner") + f"<w:pPr><w:pBdr>{BOX}</w:pBdr></w:pPr><w:rPr><w:b/></w:rPr></w:style>"
    + STYLE.format("Small") + '<w:rPr><w:color w:val="56606B"/><w:sz w:val="17"/></w:rPr></w:style>'
    + STYLE.format("Label") + "<w:pPr><w:keepNext/></w:pPr>"
    + '<w:rPr><w:color w:val="56606B"/><w:sz w:val="17"/></w:rPr></w:style>'
    + STYLE.format("Keys") + '<w:rPr><w:b/><w:color w:val="{colour}"/><w:sz w:val="32"/></w:rPr></w:style>'
)  # fmt: skip
XML = '<?xml version="1.0" encoding="UTF-8"?>'


def _style(text: str, name: str, edit) -> str:
    """The style sheet with one style changed."""
    pattern = rf'<w:style [^>]*w:styleId="{name}">.*?</w:style>'
    return re.sub(pattern, lambda m: edit(m.group()), text, count=1, flags=re.DOTALL)


def _sized(style: str, size: int, bold: bool, colour: str) -> str:
    style = re.sub(r'<w:(sz|szCs) w:val="\d+" />', lambda m: f'<w:{m.group(1)} w:val="{size}"/>', style)
    if "<w:color" not in style:  # before spacing and size: the order of elements is part of the format
        first = '<w:spacing w:val="15" />' if '<w:spacing w:val="15" />' in style else "<w:sz "
        style = style.replace(first, f'<w:color w:val="{colour}"/>{first}', 1)
    return style.replace("<w:color", "<w:b/><w:color", 1) if bold else style


def _relations(text: str) -> str:
    more = "".join(
        f'<Relationship Type="{RELATION}/{kind}" Id="{key}" Target="{kind}1.xml"/>'
        for kind, key in (("header", "rId91"), ("footer", "rId92"))
    )
    return text.replace("</Relationships>", more + "</Relationships>")


def _types(text: str) -> str:
    more = "".join(
        f'<Override PartName="/word/{kind}1.xml" ContentType="{CONTENT}.{kind}+xml"/>' for kind in ("header", "footer")
    )
    return text.replace("</Types>", more + "</Types>")


def _run(text: str, extra: str = "") -> str:
    look = f'<w:rPr>{extra}<w:color w:val="56606B"/><w:sz w:val="16"/></w:rPr>'
    return f'<w:r>{look}<w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def _header(document: SponsorDocument) -> str:
    accent = document.branding.colours.accent.lstrip("#").upper()
    text = document.words.plain("banner.short") if document.synthetic else ""
    look = '<w:rPr><w:b/><w:color w:val="FFFFFF"/><w:sz w:val="17"/></w:rPr>'
    shade = f'<w:shd w:val="clear" w:color="auto" w:fill="{accent}"/>' if text else ""
    run = f"<w:r>{look}<w:t>{escape(text)}</w:t></w:r>" if text else ""
    body = f'<w:p><w:pPr>{shade}<w:jc w:val="center"/></w:pPr>{run}</w:p>'
    return f"{XML}<w:hdr {W} {R}>{body}</w:hdr>"


def _footer(document: SponsorDocument) -> str:
    words = document.words
    left = " · ".join(x for x in (document.protocol.id, words.date(document.dated),
                                  words.plain("banner.short") if document.synthetic else "") if x)  # fmt: skip
    field = '<w:fldSimple w:instr=" {} "><w:r><w:rPr><w:sz w:val="16"/></w:rPr><w:t>1</w:t></w:r></w:fldSimple>'
    pages = (
        _run(f"{words.plain('footer.page')} ") + field.format("PAGE") + _run(f" {words.plain('footer.of')} ")
        + field.format("NUMPAGES") + _run(f" {words.plain('footer.pages')}")
    )  # fmt: skip
    tab = '<w:pPr><w:tabs><w:tab w:val="right" w:pos="9638"/></w:tabs></w:pPr>'
    return f"{XML}<w:ftr {W} {R}><w:p>{tab}{_run(left)}<w:r><w:tab/></w:r>{pages}</w:p></w:ftr>"
