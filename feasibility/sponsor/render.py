"""The document as files: one Markdown text through pandoc to HTML and DOCX, and through Typst to PDF."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2

from feasibility.errors import FeasibilityError, did_you_mean
from feasibility.sponsor import captions, fonts, forecast_tables, pictures, reference, tables, views
from feasibility.sponsor.document import Count, SponsorDocument
from feasibility.sponsor.sentences import Sentences
from feasibility.sponsor.wording import Md, escape

FORMATS = ("html", "pdf", "docx")
PICTURE = {"html": "svg", "pdf": "svg", "docx": "png"}
READER = "markdown-smart-auto_identifiers-implicit_figures+implicit_figures"
EPOCH = 946684800
"""The time stamped into files (1 January 2000), so that the same document gives the same bytes."""


def write_documents(
    document: SponsorDocument,
    stem: Path | str,
    formats: Iterable[str] = FORMATS,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the report as ``stem``.html, .pdf and .docx; returns the files.

    Each file is complete or not there: it is written beside its place and moved. The same document gives the same
    bytes. ``progress`` is called with the name of each file before it is made. Raises FeasibilityError for an unknown
    format, a missing package of ``trial-feasibility[report]``, and letters that no font has.
    """
    formats = [formats] if isinstance(formats, str) else list(formats)
    for one in formats:
        if one not in FORMATS:
            raise FeasibilityError(f"The report cannot be written as {one!r}.{did_you_mean(one, FORMATS)}")
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    made, drawn = [], {}
    for one in formats:
        target = stem.with_name(f"{stem.name}.{one}")
        if progress:
            progress(target.name)
        _replace(target, rendered(document, one, drawn))
        made.append(target)
    return made


def _replace(target: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def rendered(document: SponsorDocument, kind: str, drawn: dict | None = None) -> bytes:
    """The document as the bytes of one format. ``drawn`` keeps figures of the same document for the next format."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        text = markdown(document, kind, place, drawn)
        _check_letters(document, text)
        return {"html": _html, "pdf": _pdf, "docx": _docx}[kind](document, text, place)


def markdown(document: SponsorDocument, kind: str, folder: Path | None = None, drawn: dict | None = None) -> str:
    """The Markdown text of the report for one format; with ``folder`` its figures are drawn there."""

    drawn = {} if drawn is None else drawn

    def figure(name: str) -> Md:
        file = f"{name}.{PICTURE[kind]}"
        if folder is not None:
            if file not in drawn:
                drawn[file] = pictures.draw(document, name, PICTURE[kind])
            (folder / file).write_bytes(drawn[file])
        alt, caption = captions.alt(document, name), captions.caption(document, name)
        if kind == "pdf":
            width = "90%" if name == "flow" else "100%"
            return Md(f'```{{=typst}}\n#figure(image("{file}", width: {width}, alt: {_quoted(alt)}), kind: image, '
                      f"caption: {_quoted(caption)})\n```")  # fmt: skip
        width = " width=6.3in" if kind == "docx" else ""
        return Md(f"![{escape(caption)}]({file}){{alt={_quoted(alt)}{width}}}")

    def contents() -> Md:
        title = document.words.plain("nav.contents")
        return Md(f"```{{=typst}}\n#contents-page({_quoted(title)})\n```" if kind == "pdf" else "")

    def logo() -> Md:
        if kind != "docx" or not document.branding.logo:
            return Md("")
        name = _logo(document, folder, "png") if folder is not None else "logo.png"
        return Md(f"![{escape(document.branding.organisation)}]({name}){{height=1.6cm}}\\")

    def interactive() -> Md:
        if kind != "html" or not document.interactive_html:
            return Md("")
        return Md(INTERACTIVE)

    def block(name: str, content: Md) -> Md:
        return Md(f"::: {{.{name}}}\n{escape(content)}\n:::")

    def head_of(*parts: str) -> Md:
        gap = "" if document.language == "zh" else " "
        return Md(f"**{' '.join(map(escape, parts))}{document.words.t('word.stop_head')}**{gap}")

    def head(key: str) -> Md:
        return head_of(document.words.t(key))

    sentences = Sentences(document)
    template = _environment().get_template("template.md.jinja")
    text = template.render(
        bounds=all(step.confirmed for step in views.funnel(document)), d=document, t=document.words.t,
        s=sentences, flow=sentences.flow, tables=tables, forecasts=forecast_tables,
        views=views, figure=figure, contents=contents, logo=logo,
        interactive=interactive, block=block, head=head, head_of=head_of,
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


INTERACTIVE = "INTERACTIVE-FRAGMENT-GOES-HERE"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("feasibility", "sponsor"),
        undefined=jinja2.StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


def _printed(value):
    """What an expression of the template becomes: text is escaped, and a number must be a protected one."""
    if isinstance(value, (Md, Count)):
        return escape(value)
    if isinstance(value, str) or value is None or isinstance(value, jinja2.Undefined):
        return escape(value) if isinstance(value, str) else value
    raise FeasibilityError(
        f"The sponsor's report prints protected numbers only, and its template was given a {type(value).__name__}."
    )


def _quoted(text: str) -> str:
    """Text in double quotes, for Typst and for attributes of Markdown."""
    plain = re.sub(r"\s+", " ", str(text))
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_letters(document: SponsorDocument, text: str) -> None:
    lacking = fonts.missing(text)
    if lacking:
        raise FeasibilityError(
            f"No font of the report has {' '.join(f'{c} (U+{ord(c):04X})' for c in lacking[:10])}; they would print as"
            " boxes. Chinese needs mpl-font: pip install 'trial-feasibility[report]'."
        )


def _pandoc(text: str, to: str, arguments: list[str], output: Path | None = None) -> str:
    try:
        import pypandoc
    except ImportError:
        raise FeasibilityError("The sponsor's report needs pandoc: pip install 'trial-feasibility[report]'.") from None
    arguments = ["--wrap=none", "--columns=10", f"--lua-filter={_file('rows.lua')}", "--fail-if-warnings", *arguments]
    with _epoch():
        return pypandoc.convert_text(text, to, format=READER, extra_args=arguments, outputfile=output)


@contextmanager
def _epoch():
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(EPOCH)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before


def _file(name: str) -> Path:
    return Path(str(files("feasibility.sponsor").joinpath(name)))


SHOWN = ("title", "subtitle", "lang")
"""The facts a DOCX keeps; the others would become properties of the file."""


def _facts(document: SponsorDocument, logo: str = "", only: Iterable[str] | None = None) -> list[str]:
    """Facts for the page templates, as pandoc's metadata."""
    p, brand = document.words.plain, document.branding
    values = {
        "title": document.title,
        "subtitle": p("subtitle"),
        "lang": p("language"),
        "textlang": document.language,
        "region": p("region"),
        "trial": document.protocol.id,
        "date": document.words.date(document.dated),
        "banner": p("banner.short") if document.synthetic else "",
        "organisation": brand.organisation,
        "page": p("footer.page"),
        "of": p("footer.of"),
        "pages": p("footer.pages"),
        "contents": p("nav.contents"),
        "skip": p("nav.skip"),
        "logoalt": brand.organisation or p("facts.sponsor"),
        "logo": logo,
    }
    return [f"--metadata={key}={value}" for key, value in values.items() if value and key in (only or values)]


def _logo(document: SponsorDocument, folder: Path, kind: str) -> str:
    """The logo in the folder of the figures, as PNG where a format cannot show SVG; its name there."""
    source = document.branding.logo
    if source is None:
        return ""
    given = source.suffix.lower().lstrip(".")
    (folder / f"logo.{given}").write_bytes(source.read_bytes())
    if kind == "png" and given == "svg":
        page = '#set page(width: auto, height: auto, margin: 0pt, fill: none)\n#image("logo.svg", height: 16mm)'
        (folder / "logo.typ").write_text(page, encoding="utf-8")
        (folder / "logo.png").write_bytes(_typst(folder / "logo.typ", folder, format="png", ppi=300))
        given = "png"
    return f"logo.{given}"


def _html(document: SponsorDocument, text: str, folder: Path) -> bytes:
    css = _file("sponsor.css").read_text(encoding="utf-8")
    colours, date = document.branding.colours, document.words.date(document.dated)
    foot = " · ".join(x for x in (document.protocol.id, date) if x)
    banner = document.words.plain("banner.short") if document.synthetic else ""
    for mark, value in (("PRIMARY", colours.primary), ("ACCENT", colours.accent), ("FOOTER", foot), ("BANNER", banner)):
        css = css.replace(mark, value)
    made = _pandoc(text, "html5", [
        "--standalone", "--embed-resources", "--number-sections", "--toc", "--toc-depth=2",
        "--shift-heading-level-by=1", f"--resource-path={folder}", f"--template={_file('page.html')}",
        f"--variable=styles={css}", *_facts(document, _logo(document, folder, "svg")),
    ])  # fmt: skip
    made = re.sub(r"<thead>.*?</thead>", lambda m: m.group().replace("<th", '<th scope="col"').replace(
        '<th scope="col"ead', "<thead"), made, flags=re.DOTALL)  # fmt: skip
    made = re.sub(r"<th(?= style| *>)(?! scope)", '<th scope="row"', made)
    made = re.sub(rf"<p>{INTERACTIVE}</p>", lambda _: document.interactive_html, made)
    if document.language == "zh":  # put in last: it is longer than an argument to pandoc may be
        made = made.replace("<style>", "<style>\n" + fonts.web_face("".join(sorted(set(made)))), 1)
    return made.encode("utf-8")


def _pdf(document: SponsorDocument, text: str, folder: Path) -> bytes:
    return _typst(typst_source(document, text, folder), folder, format="pdf", pdf_standards=["ua-1"])


def typst_source(document: SponsorDocument, text: str, folder: Path) -> Path:
    """The Typst file the PDF is made from, in the folder that holds the figures."""
    colours = document.branding.colours
    arguments = [
        "--standalone", f"--template={_file('page.typ')}", *_facts(document, _logo(document, folder, "svg")),
        f"--variable=primary={colours.primary}", f"--variable=accent={colours.accent}", f"--variable=mono={fonts.MONO}",
        *(f"--variable=fonts={name}" for name in fonts.typst_families(document.language)),
    ]  # fmt: skip
    source = folder / "report.typ"
    source.write_text(_pandoc(text, "typst", arguments), encoding="utf-8")
    return source


def _typst(source: Path, folder: Path, **settings) -> bytes:
    try:
        import typst
    except ImportError:
        raise FeasibilityError("The sponsor's PDF needs typst: pip install 'trial-feasibility[report]'.") from None
    return typst.compile(
        source, root=folder, font_paths=fonts.folders(), ignore_system_fonts=True, timestamp=EPOCH, **settings
    )


def _docx(document: SponsorDocument, text: str, folder: Path) -> bytes:
    (folder / "reference.docx").write_bytes(reference.reference(document))
    output = folder / "report.docx"
    _pandoc(text, "docx", [
        "--standalone", "--number-sections", f"--resource-path={folder}",
        f"--reference-doc={folder / 'reference.docx'}", *_facts(document, only=SHOWN),
    ], output)  # fmt: skip
    return output.read_bytes()
