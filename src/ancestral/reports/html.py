"""Scores and figures of a study as one self-contained HTML page, to be read anywhere and kept.

Images travel inside the page; it has no scripts, asks the network for nothing and says so to the browser
(its Content-Security-Policy). What a caller hands in is text, never markup.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically

CONTENTS_FROM = 4  # sections; fewer are seen at a glance
# x_1, z_{i-1}, f_n^{-1}, 2^M, IWAE_100: marks behind one letter, capitals, a number or a bracket
MARK = r"[_^](?:\{[^{}]+\}|-?[^\W_]+|\*)"
MARKED = re.compile(rf"(?:(?<=\b[^\W\d_])|(?<=[A-Z]{{2}})|(?<=[\d)\]|]))((?:{MARK})+)")
PIXELS_PER_INCH = 150  # of the page: figures of one resolution appear in one size of type


@dataclass
class Figure:
    """One picture.

    Args:
        path: a PNG file.
        caption: what it shows; backticks mark code, `_` and `^` sub- and superscripts.
        alt: what a reader who cannot see it should know; the caption unless given.
    """

    path: Path
    caption: str
    alt: str | None = None


@dataclass
class Table:
    """Rows of text under a header.

    Args:
        header: the names of the columns.
        rows: each as long as the header.
        caption: what it shows; may be empty.
        numeric: indices of the columns of numbers, which are aligned at the right.
    """

    header: list[str]
    rows: list[list[str]]
    caption: str = ""
    numeric: set[int] = field(default_factory=set)


@dataclass
class Section:
    """A heading and what stands below it, in this order: what was asked, text, tables, figures, commands.

    Args:
        title: the heading.
        text: paragraphs separated by blank lines; marks as in captions.
        tables: shown after the text.
        figures: shown after the tables.
        links: (text, file) of pages beside this one, shown after the figures.
        commands: shell commands, shown last, in a block that one click selects.
        asked: the task that the section answers, where it answers one.
    """

    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    asked: str = ""


@dataclass
class Report:
    """One page.

    Args:
        title: the name of the study.
        subtitle: one line under it.
        lead: the result in a few sentences.
        facts: (name, value) of the numbers to remember, such as ("Test bound", "-93.2 nats").
        sections: the body.
        footer: how the page came to be.
    """

    title: str
    subtitle: str = ""
    lead: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    footer: str = ""


def render_report(report: Report) -> str:
    """Turn a report into one self-contained HTML page.

    Args:
        report: what to show. All its text is escaped.

    Returns: the page; the same report and figures give the same page.
    Raises: InputError for a figure that is missing or no PNG file, or a table row of the wrong length.
    """
    import jinja2

    for section in report.sections:
        for table in section.tables:
            _check_table(table)
    template = resources.files("ancestral.reports").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = {
        "paragraphs": _paragraphs,
        "pieces": _pieces,
        "plain": _plain,
        "sentence": _sentence,
        "picture": _picture,
    }
    environment.filters.update(filters)
    return environment.from_string(template).render(report=report, contents_from=CONTENTS_FROM)


def write_report(report: Report, path: str | Path) -> None:
    """Write a report as one HTML file, all of it or nothing.

    Args:
        report: what to show.
        path: the file; its folder is made where it is missing.

    Raises: InputError as `render_report`, or where the place cannot be written.
    """
    page = render_report(report).encode("utf-8", "replace")
    try:
        write_atomically(path, page)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


@dataclass
class _Picture:
    source: str
    width: int
    height: int


def _picture(figure: Figure) -> _Picture:
    """The image as a data URI, with the size it has on the page, so that nothing jumps while it loads."""
    try:
        content = Path(figure.path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the figure {figure.path}: {error.strerror or error}") from error
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 33:
        raise InputError(f"the figure {figure.path} is not a PNG file")
    width, height = struct.unpack(">II", content[16:24])
    density = re.search(rb"pHYs(.{8})\x01", content[:1024], re.DOTALL)
    per_metre = struct.unpack(">I", density[1][:4])[0] if density else 0
    scale = PIXELS_PER_INCH / (per_metre * 0.0254) if per_metre else 1.0
    source = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
    return _Picture(source, max(1, round(width * scale)), max(1, round(height * scale)))


def _check_table(table: Table) -> None:
    for row in table.rows:
        if len(row) != len(table.header):
            raise InputError(f"table {table.caption!r}: {len(table.header)} columns but a row of {len(row)}")
    if not all(0 <= column < len(table.header) for column in table.numeric):
        raise InputError(f"table {table.caption!r}: numeric names a column that is not there")


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """(`code`, `sub`, `sup` or nothing, text) in turn; a backtick without a partner is just a backtick."""
    for i, part in enumerate(re.split(r"`([^`\n]+)`", text)):
        if i % 2:
            yield "code", part
            continue
        for j, piece in enumerate(MARKED.split(part)):
            if j % 2 == 0:
                yield "", piece
                continue
            for mark in re.findall(MARK, piece):
                yield "sup" if mark[0] == "^" else "sub", mark[1:].strip("{}").replace("-", "\N{MINUS SIGN}")


def _sentence(text: str) -> str:
    """The same with a capital, if it begins with a word (and not with a symbol or a name in code)."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]{2}", text) else text


def _plain(text: str) -> str:
    """The same without marks of code; subscripts and superscripts as they were written."""
    return re.sub(r"`([^`\n]+)`", r"\1", text)
