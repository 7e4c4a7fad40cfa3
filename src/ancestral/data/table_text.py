"""Reading the text of an untrusted table as blocks of rows, with the line number of each row."""

from __future__ import annotations

import codecs
import contextlib
import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ancestral.core.errors import refusal

MAX_TABLE_BYTES = 2**30
MOST_COLUMNS = 10_000
BLOCK_CELLS, BLOCK_ROWS = 2**14, 200  # approximate cells per block of text; least rows per block
SAMPLE = 100  # rows that are used to find the separator and the header
SEPARATORS = "\t;,"
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", "."))
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")
_CHUNK = 1 << 20


def is_missing(cell: str) -> bool:
    """Whether a cell means a missing value."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """The number in a cell; None if it is not a number."""
    try:
        return float(cell)
    except ValueError:
        return None


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Args:      columns: the cells of each column. lines: number of the last line of each row in the file, from 1.
    """

    columns: list[tuple[str, ...]]
    lines: list[int]


@dataclass(frozen=True)
class TableText:
    """The text of a table, before its cells are converted to numbers.

    Args:      names: names of the columns, if there is a header. width: number of columns. blocks: blocks of the rows
               below the header. assumptions: notices.
    """

    names: list[str] | None
    width: int
    blocks: Iterator[Block]
    assumptions: tuple[str, ...]


@contextlib.contextmanager
def open_table(path: Path) -> Iterator[TableText]:
    """The rows of a file of comma-, semicolon- or tab-separated values.

    The first row is a header if it has a word in a column of numbers.

    Raises:    InputError: larger than `MAX_TABLE_BYTES`, not text, no rows, too many columns, or two columns with the
               same name; while blocks are read, a row of another length. csv.Error: damaged quotes.
    """
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise refusal(path, f"larger than {MAX_TABLE_BYTES >> 20} MiB", "store the numbers as a .npy file")
    encoding, said = _encoding(path)
    with open(path, encoding=encoding, newline="") as stream:
        separator = _separator(path, list(itertools.islice(stream, SAMPLE)))
        stream.seek(0)
        rows = _rows(path, stream, separator)
        first = list(itertools.islice(rows, SAMPLE))
        if not first:
            raise refusal(path, "no rows", "give one row for each point")
        width = len(first[0][1])
        if width > MOST_COLUMNS:
            raise refusal(path, f"{width:,} columns", f"give at most {MOST_COLUMNS:,}")
        names = None
        if _is_header(first[0][1], [row for _, row in first[1:]]):
            names = _names(path, first.pop(0)[1])
        if not first:
            raise refusal(path, "only a header", "give one row for each point")
        yield TableText(names, width, _blocks(itertools.chain(first, rows), width), tuple(said))


def _encoding(path: Path) -> tuple[str, list[str]]:
    """The encoding of the text, and notices. The whole file is read.

    Raises:    InputError: zero bytes, which text does not have.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding, said = "utf-8-sig", []
    with open(path, "rb") as stream:
        if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16", []
        stream.seek(0)
        chunk = b"."
        while chunk:
            chunk = stream.read(_CHUNK)
            if b"\0" in chunk:
                raise refusal(path, "not a text file", "export the table as comma-separated values")
            if not said:
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError:
                    encoding, said = "latin-1", ["the text is not UTF-8: read as Latin-1"]
    return encoding, said


def _separator(path: Path, lines: Sequence[str]) -> str:
    """The separator with rows of equal length and the largest share of numbers; a comma if there is none."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    best, most = ",", 0.0
    for separator in SEPARATORS:
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(map(str.strip, row))]
        if len(lines) == SAMPLE:
            rows = rows[:-1]  # the last row may be incomplete
        if not rows or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
            continue
        cells = [cell for row in rows for cell in row]
        share = (1 + sum(_like_number(cell) for cell in cells)) / (1 + len(cells))
        if share > most:
            best, most = separator, share
    return best


def _like_number(cell: str) -> bool:
    return number(cell) is not None or DECIMAL_COMMA.fullmatch(cell) is not None


def _rows(path: Path, stream: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row that is not empty.

    Raises:    InputError: a row of another length than the first.
    """
    reader = csv.reader(stream, delimiter=separator, strict=True)
    width = 0
    for row in reader:
        if not any(map(str.strip, row)):
            continue
        width = width or len(row)
        if len(row) != width:
            raise refusal(
                path,
                f"line {reader.line_num} has {len(row)} columns, but the first line has {width}",
                "give all rows the same number of columns, separated by commas, semicolons or tabs",
            )
        yield reader.line_num, row


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether a row is a header: it has a word in a column of numbers. The only row is a header if it has no number."""
    if not others:
        return not any(_like_number(cell) for cell in first)
    for place, cell in enumerate(first):
        below = [row[place] for row in others if not is_missing(row[place])]
        numeric = bool(below) and 2 * sum(map(_like_number, below)) >= len(below)
        if numeric and not _like_number(cell) and not is_missing(cell):
            return True
    # no column has numbers: the row may be names or text; the table is an error in both cases
    return not any(_like_number(cell) for row in (first, *others) for cell in row)


def _names(path: Path, row: Sequence[str]) -> list[str]:
    """Names of the columns. Columns without a name are numbered.

    Raises:    InputError: two columns have the same name.
    """
    cells = [cell.strip() for cell in row]
    cells[0] = cells[0].removeprefix("#").strip()  # NumPy writes # before a header
    names = [cell or f"column {place + 1}" for place, cell in enumerate(cells)]
    known: set[str] = set()
    for name in names:
        if name in known:
            raise refusal(path, f"two columns with the name {name!r}", "rename one")
        known.add(name)
    return names


def _blocks(rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[Block]:
    size = max(BLOCK_ROWS, BLOCK_CELLS // width)
    while some := list(itertools.islice(rows, size)):
        lines, cells = zip(*some, strict=True)
        yield Block(list(zip(*cells, strict=True)), list(lines))
