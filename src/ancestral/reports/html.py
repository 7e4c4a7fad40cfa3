"""Scores and figures as one self-contained HTML page.

Images are embedded. The page has no scripts and loads nothing; its Content-Security-Policy forbids both. What a caller
passes is text, never markup.
"""

from __future__ import annotations

import base64
import csv
import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.figures.png import PLACES

CONTENTS_FROM = 4  # sections; a page with fewer needs no contents list
CARDS_FROM = 4  # columns; tables with fewer columns stay tables on a phone
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
        alt: description for readers who cannot see the picture; default: the caption.
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
        row_links: rows whose first cell is a link, and the number of the section that it leads to.
    """

    header: list[str]
    rows: list[list[str]]
    caption: str = ""
    numeric: set[int] = field(default_factory=set)
    row_links: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Notice:
    """An important sentence, in a colour of its own.

    Args:
        text: marks as in captions.
        tone: its colour.
    """

    text: str
    tone: Literal["good", "warning", "failure"]


@dataclass
class Section:
    """A heading and its content, in this order: what was asked, a notice, text, tables, figures, links, commands.

    Args:
        title: the heading.
        text: paragraphs separated by blank lines; marks as in captions.
        tables: shown after the text.
        figures: shown after the tables.
        links: (text, file) of pages beside this one, shown after the figures.
        commands: shell commands, shown last, in a block that one click selects.
        asked: the task that the section answers, where it answers one.
        notice: an important sentence.
    """

    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    asked: str = ""
    notice: Notice | None = None


@dataclass
class Report:
    """One page.

    Args:
        title: the name of the study.
        subtitle: one line under it.
        lead: the result in a few sentences.
        notice: an important sentence after the lead.
        facts: (name, value) of the numbers to remember, such as ("Test bound", "-93.2 nats").
        sections: the body.
        footer: how the page was made.
        refresh: seconds after which a browser loads the page again; None: never.
        guide: whether the contents also say what each section was asked, with links to its tables and figures.
    """

    title: str
    subtitle: str = ""
    lead: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    footer: str = ""
    guide: bool = False
    notice: Notice | None = None
    refresh: int | None = None


def render_report(report: Report) -> str:
    """Turn a report into one self-contained HTML page.

    Args:
        report: what to show. All its text is escaped.

    Returns: the page; the same report and figures give the same page.
    Raises: InputError for a figure that is missing or not a PNG file, or a table row of the wrong length.
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
        "csv": _csv,
    }
    environment.filters.update(filters)
    return environment.from_string(template).render(
        report=report,
        entries=_entries(report) if len(report.sections) >= CONTENTS_FROM else [],
        cards_from=CARDS_FROM,
    )


def write_report(report: Report, path: str | Path) -> None:
    """Write a report as one HTML file, atomically.

    Args:
        report: what to show.
        path: the file; a missing folder is created.

    Raises: InputError as `render_report`, or where the place cannot be written.
    """
    page = render_report(report).encode("utf-8", "replace")
    try:
        write_atomically(path, page)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


@dataclass
class _Entry:
    """A section in the contents list: its place, what was asked, and links to its tables and figures.

    Args:      links: (target, text) of tables and figures. numbers: the same for rows of other tables.
    """

    target: str
    title: str
    asked: str
    links: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[tuple[str, str]] = field(default_factory=list)


def _entries(report: Report) -> list[_Entry]:
    """The entries of the contents list, in the order of the sections, with the numbers that the page uses."""
    entries = [_Entry(f"section-{i}", one.title, one.asked) for i, one in enumerate(report.sections, 1)]
    tables = figures = 0
    for entry, section in zip(entries, report.sections, strict=True):
        for table in section.tables:
            tables += 1
            entry.links.append((f"table-{tables}", f"Table {tables}"))
            for row, to in sorted(table.row_links.items()):
                entries[to - 1].numbers.append((f"table-{tables}-row-{row + 1}", table.rows[row][0]))
        for _ in section.figures:
            figures += 1
            entry.links.append((f"figure-{figures}", f"Figure {figures}"))
    return entries


@dataclass
class _Picture:
    source: str
    width: int
    height: int
    name: str
    around: str | None  # CSS: the part of the picture around its images; empty: it has none; None: not known


def _picture(figure: Figure) -> _Picture:
    """The image as a data URI, with the size it has on the page, so that nothing jumps while it loads."""
    try:
        content = Path(figure.path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the figure {figure.path}: {error.strerror or error}") from error
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 33:
        raise InputError(f"the figure {figure.path} is not a PNG file")
    width, height = struct.unpack(">II", content[16:24])
    density = re.search(rb"pHYs(.{8})\x01", content[: content.find(b"IDAT")], re.DOTALL)
    per_metre = struct.unpack(">I", density[1][:4])[0] if density else 0
    scale = PIXELS_PER_INCH / (per_metre * 0.0254) if per_metre else 1.0
    source = "data:image/png;base64," + base64.b64encode(content).decode("ascii")
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return _Picture(source, *size, Path(figure.path).name, _around(content))


def _around(content: bytes) -> str | None:
    """All of a PNG file but its images, as a CSS polygon: there the page changes colours in dark mode."""
    start = content.find(b"tEXt" + PLACES.encode() + b"\0", 0, content.find(b"IDAT"))
    if start < 4:
        return None
    (length,) = struct.unpack(">I", content[start - 4 : start])  # what follows the text is its checksum, any bytes
    places = content[start + 4 : start + 4 + length].partition(b"\0")[2].decode("ascii", "replace")
    if not re.fullmatch(r"[\d.,;]+", places):
        return ""
    corners = ["0 0,100% 0,100% 100%,0 100%,0 0"]
    for box in places.split(";"):
        left, top, right, bottom = (f"{100 * float(side):.2f}%" for side in box.split(","))
        corners.append(f"{left} {top},{right} {top},{right} {bottom},{left} {bottom},{left} {top},0 0")
    return f"polygon(evenodd,{','.join(corners)})"


def _csv(table: Table) -> str:
    """The table as a data URI of comma-separated values."""
    written = io.StringIO()
    csv.writer(written).writerows([[_plain(cell) for cell in row] for row in (table.header, *table.rows)])
    return "data:text/csv;charset=utf-8," + quote(written.getvalue())


def _check_table(table: Table) -> None:
    for row in table.rows:
        if len(row) != len(table.header):
            raise InputError(f"table {table.caption!r}: {len(table.header)} columns but a row of {len(row)}")
    if not all(0 <= column < len(table.header) for column in table.numeric):
        raise InputError(f"table {table.caption!r}: numeric has the index of a column that does not exist")


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of a tag (`code`, `sub`, `sup` or nothing) and its text; a single backtick stays a backtick."""
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
    """The text with a capital first letter, unless it begins with a symbol or a name in code."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]{2}", text) else text


def _plain(text: str) -> str:
    """The text without marks of code; marks of subscripts and superscripts stay."""
    return re.sub(r"`([^`\n]+)`", r"\1", text)
