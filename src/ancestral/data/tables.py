"""Untrusted tables (.csv, .tsv) and arrays of two dimensions -> points, one for each row, with names of the columns."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.imported import Imported, Part
from ancestral.data.labels import as_classes
from ancestral.data.readers import check_size, parsing
from ancestral.settings.data import ReadOptions

MAX_TABLE_BYTES = 2**30  # text is read at once
MOST_COLUMNS = 10_000
MOST_CLASSES = 1000
FEW_VALUES = 20  # distinct values of a column below which it is called discrete
EXACT = 2.0**24  # whole numbers up to here are exact in single precision
LABEL_NAMES = ("label", "labels", "class", "classes", "target", "species", "category")
INDEX_NAMES = ("", "id", "index", "row", "unnamed: 0")
SHOWN = 6


def read_table(path: Path, options: ReadOptions) -> Imported:
    """Read a table of numbers: each row is a point, each column of numbers a dimension.

    The separator is a comma, a semicolon or a tab; a first row that is not all numbers names the columns. A column
    called label, class, target or species holds classes; other columns of text, and columns that count the rows, are
    left out, and named.

    Args:
        path: the file.
        options: how it is read; those of images are refused.

    Returns: the points as the part "all".
    Raises: InputError for a damaged or oversized file, rows of several lengths, missing or infinite numbers.
    """
    _refuse_options(path, options)
    with parsing(path, "table"):
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise refusal(path, f"larger than {MAX_TABLE_BYTES >> 20} MiB", "store the numbers as a .npy file")
        text, said = _decoded(path.read_bytes())
        names, rows = _parsed(path, text)
    columns, words = _numbers(path, names, rows, options.missing)
    labels, classes, more = _labels(path, words, columns, len(rows))
    said += more
    kept = _kept(columns, len(rows), said)
    if not kept:
        raise refusal(path, "no column of numbers", "a table of points has one at least")
    points = np.stack([columns[name] for name in kept], 1)
    found = as_points(path, points, kept if names is not None else None, options.missing)
    part = Part(found.parts["all"].images, labels, seen=found.parts["all"].seen)
    return Imported(
        {"all": part}, 0, None, classes, found.columns, assumptions=(*said, *found.assumptions), kind="points"
    )


def as_points(
    subject: object, array: np.ndarray, columns: Sequence[str] | None = None, missing: bool = False
) -> Imported:
    """Rows of an array as points.

    Args:
        subject: the file, for errors.
        array: numbers, shape (N, D).
        columns: names of the D columns, where they have names.
        missing: NaN are missing numbers, not refused.

    Returns: the points as the part "all", float32, shape (N, D); no row is left out.
    Raises: InputError for no number, and for a column that is constant.
    """
    if array.dtype.kind not in "biuf" or array.ndim != 2 or 0 in array.shape:
        raise refusal(subject, f"an array of {array.dtype} and shape {array.shape} is no table", "give (N, D) numbers")
    if array.shape[1] > MOST_COLUMNS:
        raise refusal(subject, f"{array.shape[1]:,} columns", f"choose up to {MOST_COLUMNS:,}")
    check_size(subject, array.size * 4)
    names = list(columns) if columns is not None else [f"x{place + 1}" for place in range(array.shape[1])]
    seen = ~np.isnan(array) if missing and array.dtype.kind == "f" else None
    if seen is not None:
        array = np.where(seen, array, 0)
    bad = np.argwhere(~np.isfinite(array)) if array.dtype.kind == "f" else np.empty((0, 2), int)
    if len(bad):
        row, column = bad[0]
        raise refusal(
            subject,
            f"{len(np.unique(bad[:, 0])):,} of {len(array):,} rows hold NaN or infinity, the first in row {row}, "
            f"column {names[column]}",
            "fill them in or leave those rows out",
        )
    points = array.astype(np.float32)
    if not np.isfinite(points).all():
        raise refusal(subject, "numbers beyond 3e38", "scale the columns")
    constant = (
        [] if missing else [name for name, spread in zip(names, np.ptp(points, axis=0), strict=True) if not spread > 0]
    )
    if constant:
        raise refusal(
            subject, f"constant columns ({_listed(constant)})", "leave them out: the density of a constant is infinite"
        )
    return Imported(
        {"all": Part(points, None, seen=None if seen is None or seen.all() else seen)},
        0,
        None,
        None,
        tuple(names) if columns is not None else None,
        assumptions=tuple(_notes(array, points, names)),
        kind="points",
    )


def _refuse_options(path: Path, options: ReadOptions) -> None:
    """Raises:    InputError: an option of images or of arrays."""
    usual = ReadOptions(infer=options.infer, missing=options.missing)
    given = [name for name in ReadOptions._fields if getattr(options, name) != getattr(usual, name)]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise refusal(path, f"a table has no use for {flags}", "leave them out")


def _decoded(raw: bytes) -> tuple[str, list[str]]:
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return raw.decode("latin-1"), ["the text is not UTF-8: read as Latin-1"]


def _parsed(path: Path, text: str) -> tuple[list[str] | None, list[list[str]]]:
    """Names of the columns, where the first row has some, and the other rows as text."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = max(";\t,", key=first.count)
    rows = [
        [cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator) if any(map(str.strip, row))
    ]
    if len(rows) < 2:
        raise refusal(path, "fewer than two rows", "a table has one row for each point")
    width = len(rows[0])
    odd = next((place for place, row in enumerate(rows) if len(row) != width), None)
    if odd is not None:
        raise refusal(
            path, f"row {odd + 1} has {len(rows[odd])} columns where the first has {width}", "make them equal"
        )
    if all(_number(cell) is not None for cell in rows[0]):
        return None, rows
    names = [name or f"column {place + 1}" for place, name in enumerate(rows[0])]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise refusal(path, f"two columns with the name {twice[0]!r}", "rename one")
    return names, rows[1:]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(
    path: Path, names: list[str] | None, rows: list[list[str]], missing: bool
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """The columns of numbers as float64, and the others as text.

    Raises:    InputError: a column of numbers has an empty cell or a word.
    """
    columns: dict[str, np.ndarray] = {}
    words: dict[str, list[str]] = {}
    for name, cells in zip(names or [f"x{i + 1}" for i in range(len(rows[0]))], zip(*rows, strict=True), strict=True):
        if missing:
            cells = tuple(cell or "nan" for cell in cells)
        try:
            columns[name] = np.array(cells, dtype=np.float64)
        except ValueError:
            wrong = [place for place, cell in enumerate(cells) if _number(cell) is None]
            commas = all(_number(cells[place].replace(",", ".")) is not None for place in wrong)
            if not commas and (2 * len(wrong) > len(cells) or name.lower() in LABEL_NAMES):
                words[name] = list(cells)
                continue
            raise refusal(
                path,
                f"{len(wrong):,} cells of the column {name} are no numbers, the first is {cells[wrong[0]]!r} in row "
                f"{wrong[0] + 1}",
                "write decimal points, not commas" if commas else "fill them in or leave those rows out",
            ) from None
    return columns, words


def _labels(
    path: Path, words: dict[str, list[str]], columns: dict[str, np.ndarray], count: int
) -> tuple[np.ndarray | None, tuple[str, ...] | None, list[str]]:
    """Classes from the column that is called so, which is taken from the others; and what is ignored."""
    name = next((name for name in [*words, *columns] if name.lower() in LABEL_NAMES), None)
    raw = None
    if name in words:
        raw = np.array(words.pop(name), np.str_)
    elif name is not None and _few_whole(columns[name]):
        raw = columns.pop(name)
    said = [f"columns of text are ignored: {_listed(list(words))}"] if words else []
    if raw is None or len(np.unique(raw)) > MOST_CLASSES:
        return None, None, said
    labels, classes, assumed = as_classes(path, {"all": raw}, {"all": count})
    return labels["all"], classes, [f"the column {name} holds the classes", *assumed, *said]


def _few_whole(values: np.ndarray) -> bool:
    return (
        bool(np.isfinite(values).all()) and bool((values == np.rint(values)).all()) and len(np.unique(values)) <= 1000
    )


def _kept(columns: dict[str, np.ndarray], count: int, said: list[str]) -> list[str]:
    """The columns but for those that count the rows."""
    counting = [np.arange(count), np.arange(1, count + 1)]
    index = [
        name
        for name, values in columns.items()
        if name.lower() in (*INDEX_NAMES, "column 1") and any(np.array_equal(values, rows) for rows in counting)
    ]
    if index:
        said.append(f"columns that count the rows are ignored: {_listed(index)}")
    return [name for name in columns if name not in index]


def _notes(array: np.ndarray, points: np.ndarray, names: list[str]) -> list[str]:
    said = []
    few = [
        name
        for name, column in zip(names, points.T, strict=True)
        if bool((column == np.rint(column)).all()) and len(np.unique(column)) <= FEW_VALUES
    ]
    if few:
        said.append(
            f"columns with few whole numbers ({_listed(few)}): their values are discrete, and the density of such a "
            "column can grow without bound"
        )
    if array.dtype.kind in "iuf" and array.dtype.itemsize > 4 and float(np.abs(array).max()) > EXACT:
        said.append("numbers beyond 16,777,216 are rounded to single precision")
    return said


def _listed(names: Sequence[str]) -> str:
    return ", ".join(itertools.islice(map(str, names), SHOWN)) + (", ..." if len(names) > SHOWN else "")
