"""Cells of a table -> columns of numbers, columns of text, and the classes of the rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.labels import as_classes
from ancestral.data.readers import check_size
from ancestral.data.table_text import DECIMAL_COMMA, Block, is_missing, number

MOST_CLASSES, MOST_NUMBERED = 1000, 100  # classes that are words; that are whole numbers
FEW_ROWS = 20  # up to here each row may be a class of its own
LABEL_NAMES = ("label", "labels", "class", "classes", "target", "species", "category")
INDEX_NAMES = ("id", "index", "row", "column 1", "unnamed: 0")
SHOWN = 6


class Columns:
    """The columns of a table, filled block by block.

    A column is one of text if more than half of the values of the first block are no numbers. In a column of numbers
    every later value must be one, or missing.

    Args:      path: the file, for errors. names: of the columns.
    """

    def __init__(self, path: object, names: Sequence[str]) -> None:
        self.path, self.lines = path, list[np.ndarray]()
        self.columns = [_Column(path, name) for name in names]

    def add(self, block: Block) -> None:
        """Take in some rows.

        Raises:    InputError: a word in a column of numbers, or more values than memory is meant to hold.
        """
        self.lines.append(np.array(block.lines))
        rows = sum(map(len, self.lines))
        check_size(self.path, rows * (len(self.columns) + 1) * np.dtype(np.float64).itemsize)
        for column, cells in zip(self.columns, block.columns, strict=True):
            column.add(cells, block.lines)

    def fill(self, name: str, values: np.ndarray) -> None:
        """Give a column all its values at once: float64, NaN where one is missing, or text; shape (N,)."""
        column = next(column for column in self.columns if column.name == name)
        if values.dtype.kind == "f":
            column.text, column.parts = False, [values]
        else:
            column.add(tuple(values.tolist()), range(1, len(values) + 1))

    def line(self, row: int) -> int:
        """Number of the line of a row in the file, from 1."""
        return int(np.concatenate(self.lines)[row])

    def take(self, name: str) -> None:
        """Leave a column out of numbers and text."""
        self.columns = [column for column in self.columns if column.name != name]

    def numbers(self) -> dict[str, np.ndarray]:
        """The columns of numbers by name, float64, NaN where a value is missing."""
        return {column.name: column.values() for column in self.columns if not column.text}

    def text(self) -> list[str]:
        """Names of the columns of text."""
        return [column.name for column in self.columns if column.text]


class _Column:
    """One column; a column by the name of labels keeps its words too."""

    def __init__(self, path: object, name: str) -> None:
        self.path, self.name = path, name
        self.is_label = name.lower() in LABEL_NAMES
        self.text: bool | None = None  # not known yet
        self.parts: list[np.ndarray] = []
        self.codes: dict[str, int] = {}  # of a label column: number of each word, in the order of their appearance
        self.words: list[np.ndarray] = []
        self.mixed = False  # a label column of numbers and words

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
        """Take in cells of which some are no numbers."""
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
                f"column {self.name} is one of numbers, but line {lines[wrong[0]]} has {cells[wrong[0]][:40]!r}",
                "write decimal points, not commas" if commas else "correct it, or leave out those rows or the column",
            )
        self.mixed = self.mixed or bool(wrong)
        self.parts.append(np.array([np.nan if value is None else value for value in found]))

    def values(self) -> np.ndarray:
        return np.concatenate(self.parts)

    def classes(self) -> np.ndarray | None:
        """Labels as `as_classes` takes them, shape (N,); None where the values are too many or no classes."""
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
    """Classes from the column that is called so, one of words before one of numbers; it is taken from the others.

    Other columns of labels are left out too, since they hold the class as well.

    Args:      known: names of dimensions, which hold no classes.
    Returns:   int64 labels, shape (N,), or None; names of the classes, or None; what was assumed.
    Raises:    InputError: as `as_classes`; too many values in a column of labels that has numbers and words.
    """
    said: list[str] = []
    found: list[tuple[str, np.ndarray]] = []
    candidates = [column for column in columns.columns if column.is_label and column.name not in known]
    for column in sorted(candidates, key=lambda each: not each.text):
        labels = column.classes()
        if labels is not None:
            found.append((column.name, labels))
        elif column.mixed:
            raise refusal(
                path, f"column {column.name} has numbers and words", "leave it out, or give up to 1,000 words"
            )
        elif not column.text:
            said.append(f"the column {column.name} has too many values for classes: it is a dimension of the points")
    if not found:
        return None, None, said
    for name, _ in found:
        columns.take(name)
    (name, raw), *others = found
    counts = {"all": len(raw)}
    by_part, classes, assumed = as_classes(path, {"all": raw}, counts)
    said = [f"the column {name} holds the classes", *assumed, *said]
    if others:
        said.append(f"other columns of classes are ignored: {listed([other for other, _ in others])}")
    return by_part["all"], classes, said


def listed(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join(itertools.islice(map(str, names), SHOWN)) + (", ..." if len(names) > SHOWN else "")
