"""Conversion of the cells of a table to columns of numbers, columns of text, and classes of the rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.labels import as_classes
from ancestral.data.readers import check_size
from ancestral.data.table_text import DECIMAL_COMMA, Block, is_missing, number

MOST_CLASSES, MOST_NUMBERED = 1000, 100  # most classes if they are words; if they are whole numbers
FEW_ROWS = 20  # with at most this many rows, each row may be its own class
LABEL_NAMES = ("label", "labels", "class", "classes", "target", "species", "category")
INDEX_NAMES = ("id", "index", "row", "column 1", "unnamed: 0")
SHOWN = 6


class Columns:
    """The columns of a table, filled block by block.

    A column is text if more than half of its values in the first block are not numbers. In a column of numbers, every
    later value must be a number or missing.

    Args:      path: the file, for errors. names: names of the columns.
    """

    def __init__(self, path: object, names: Sequence[str]) -> None:
        self.path, self.lines = path, list[np.ndarray]()
        self.columns = [_Column(path, name) for name in names]

    def add(self, block: Block) -> None:
        """Add some rows.

        Raises:    InputError: a word in a column of numbers, or more values than allowed.
        """
        self.lines.append(np.array(block.lines))
        rows = sum(map(len, self.lines))
        check_size(self.path, rows * (len(self.columns) + 1) * np.dtype(np.float64).itemsize)
        for column, cells in zip(self.columns, block.columns, strict=True):
            column.add(cells, block.lines)

    def fill(self, name: str, values: np.ndarray) -> None:
        """Set all values of a column: float64, NaN for missing values, or text; shape (N,)."""
        column = next(column for column in self.columns if column.name == name)
        if values.dtype.kind == "f":
            column.text, column.parts = False, [values]
        else:
            column.add(tuple(values.tolist()), range(1, len(values) + 1))

    def line(self, row: int) -> int:
        """Line number of a row in the file, from 1."""
        return int(np.concatenate(self.lines)[row])

    def take(self, name: str) -> None:
        """Remove a column."""
        self.columns = [column for column in self.columns if column.name != name]

    def numbers(self) -> dict[str, np.ndarray]:
        """The columns of numbers by name, float64, NaN for missing values."""
        return {column.name: column.values() for column in self.columns if not column.text}

    def text(self) -> list[str]:
        """Names of the columns of text."""
        return [column.name for column in self.columns if column.text]


class _Column:
    """One column. A column whose name is in `LABEL_NAMES` also keeps its words."""

    def __init__(self, path: object, name: str) -> None:
        self.path, self.name = path, name
        self.is_label = name.lower() in LABEL_NAMES
        self.text: bool | None = None  # not known yet
        self.parts: list[np.ndarray] = []
        self.codes: dict[str, int] = {}  # for a label column: number of each word, in order of appearance
        self.words: list[np.ndarray] = []
        self.mixed = False  # whether a label column has numbers and words

    def add(self, cells: tuple[str, ...], lines: Sequence[int]) -> None:
        if self.is_label and len(self.codes) <= MOST_CLASSES:
            known = self.codes
            coded = (known.setdefault("" if is_missing(cell) else cell.strip(), len(known)) for cell in cells)
            self.words.append(np.fromiter(coded, np.int64, len(cells)))
        if self.text:
            return
        try:
            self.parts.append(np.fromiter(map(float, cells), np.float64, len(cells)))
        except ValueError:
            self._add_slowly(cells, lines)
        else:
            self.text = False

    def _add_slowly(self, cells: tuple[str, ...], lines: Sequence[int]) -> None:
        """Add cells if some of them are not numbers."""
        found = [np.nan if is_missing(cell) else number(cell) for cell in cells]
        wrong = [place for place, value in enumerate(found) if value is None]
        there = sum(not is_missing(cell) for cell in cells)
        commas = bool(wrong) and all(DECIMAL_COMMA.fullmatch(cells[place]) for place in wrong)
        if self.text is None and 2 * len(wrong) > there and not commas:
            self.text = True
            return
        self.text = False
        if wrong and not self.is_label:
            raise refusal(
                self.path,
                f"column {self.name} has numbers, but line {lines[wrong[0]]} has {cells[wrong[0]][:40]!r}",
                "write decimal points, not commas" if commas else "correct it, or remove these rows or the column",
            )
        self.mixed = self.mixed or bool(wrong)
        self.parts.append(np.array([np.nan if value is None else value for value in found]))

    def values(self) -> np.ndarray:
        return np.concatenate(self.parts)

    def classes(self) -> np.ndarray | None:
        """Labels as input of `as_classes`, shape (N,); None if there are too many values, or they are not classes."""
        if self.text or self.mixed:
            words = list(self.codes)
            count = len(set(words) - {""})
            rows = sum(map(len, self.words))
            if count > MOST_CLASSES or (count == rows > FEW_ROWS):
                return None
            return np.array(words, np.str_)[np.concatenate(self.words)]
        values = self.values()
        labels = np.where(np.isnan(values), -1, values)
        whole = bool(np.isfinite(labels).all()) and bool((labels == np.rint(labels)).all())
        few = len(np.unique(labels)) <= MOST_NUMBERED
        return labels if whole and few and labels.min() >= -1 else None


def chosen_labels(
    path: object, columns: Columns, known: Sequence[str] = ()
) -> tuple[np.ndarray | None, tuple[str, ...] | None, list[str]]:
    """The classes, from a column with a name of labels. Columns of words are preferred. The column is removed.

    Other columns with a name of labels are removed too, because they also determine the class.

    Args:      known: names of dimensions, which are never used as classes.
    Returns:   int64 labels, shape (N,), or None; names of the classes, or None; notices.
    Raises:    InputError: as `as_classes`, or too many values in a column of labels with numbers and words.
    """
    said: list[str] = []
    found: list[tuple[str, np.ndarray]] = []
    candidates = [column for column in columns.columns if column.is_label and column.name not in known]
    for column in sorted(candidates, key=lambda each: not each.text):
        labels = column.classes()
        if labels is not None:
            found.append((column.name, labels))
        elif column.mixed:
            raise refusal(path, f"column {column.name} has numbers and words", "remove it, or give at most 1,000 words")
        elif not column.text:
            said.append(f"the column {column.name} has too many values for classes: used as a dimension of the points")
    if not found:
        return None, None, said
    for name, _ in found:
        columns.take(name)
    (name, raw), *others = found
    counts = {"all": len(raw)}
    by_part, classes, assumed = as_classes(path, {"all": raw}, counts)
    said = [f"the column {name} is used as the classes", *assumed, *said]
    if others:
        said.append(f"other columns of classes are ignored: {listed([other for other, _ in others])}")
    return by_part["all"], classes, said


def listed(names: Sequence[str]) -> str:
    """The first six names."""
    return ", ".join(itertools.islice(map(str, names), SHOWN)) + (", ..." if len(names) > SHOWN else "")
