"""Reading points from untrusted tables (.csv, .tsv) and arrays of two dimensions: one point per row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.text import close_matches
from ancestral.data.conditions import columns_of, joined_with
from ancestral.data.imported import Imported, Part
from ancestral.data.masked_arrays import checked_weights, weights_note
from ancestral.data.readers import check_size, parsing
from ancestral.data.storage import row_blocks
from ancestral.data.table_columns import INDEX_NAMES, Columns, chosen_labels, listed
from ancestral.data.table_text import MOST_COLUMNS, open_table
from ancestral.settings.checks import flag
from ancestral.settings.data import ReadOptions

ROUNDING = 1e-3  # relative to the standard deviation of a column; larger rounding errors cause a notice
EXACT = 2.0**24  # whole numbers up to this are exact in single precision


def read_table(path: Path, options: ReadOptions) -> Imported:
    """Read a table of numbers: each row is a point, each column of numbers a dimension.

    The separator is a comma, a semicolon or a tab. A first row with words in columns of numbers is a header. A column
    with few values whose name is label, class, target or species, for example, is used as classes. Other columns of
    text, columns without values, and columns that number the rows are ignored, with a notice.

    Args:
        path: the file.
        options: how it is read; options for images are an error.

    Returns: the points as the part "all".
    Raises: InputError for a damaged or too large file, rows of different lengths, and missing or infinite numbers.
    """
    refuse_image_options(path, options)
    with parsing(path, "table"), open_table(path) as table:
        names, said = table.names, list(table.assumptions)
        columns = Columns(path, names or _numbered(table.width))
        for block in table.blocks:
            columns.add(block)
    return points_of(path, columns, names is not None, options, said, lambda row: f"line {columns.line(row)}")


def points_of(
    subject: object, columns: Columns, named: bool, options: ReadOptions, said: list[str], place: Callable[[int], str]
) -> Imported:
    """The points and classes in the columns of a table.

    Args:
        subject: the file, for errors.
        columns: the columns of the table.
        named: whether the columns have names in the file.
        options: how it is read.
        said: notices so far.
        place: returns the position of a row in the file, as text.

    Returns: the points as the part "all".
    Raises: InputError for missing or infinite numbers, and if no column has numbers.
    """
    weights = _weights(subject, columns, options, said)
    vectors = columns_of(subject, columns.numbers(), options.conditions, place) if options.conditions else None
    for name in options.conditions:
        columns.take(name)
    labels, classes, more = chosen_labels(subject, columns, options.columns)
    said += more
    numbers = columns.numbers()
    unknown = {name: values for name, values in numbers.items() if name not in options.columns}
    empty = [name for name, values in unknown.items() if np.isnan(values).all()]
    index = [name for name, values in unknown.items() if _counts_rows(name, values)]
    for what, left_out in (
        ("columns of text are ignored", columns.text()),
        ("columns without values are ignored", empty),
        ("columns that number the rows are ignored", index),
    ):
        said += [f"{what}: {listed(left_out)}"] if left_out else []
    kept = [name for name in numbers if name not in (*empty, *index)]
    if not kept:
        raise refusal(subject, "no column of numbers", "give columns of numbers, in a file separated by commas")
    points = np.stack([numbers[name] for name in kept], 1)
    found = _as_points(subject, points, kept, options.missing, place)
    part = Part(found.parts["all"].images, labels, seen=found.parts["all"].seen, weights=weights)
    result = Imported(
        {"all": part},
        0,
        None,
        classes,
        tuple(kept) if named else None,
        assumptions=(*said, *found.assumptions),
        kind="points",
    )
    return result if vectors is None else joined_with(subject, result, {"all": vectors}, options.conditions)


def _weights(subject: object, columns: Columns, options: ReadOptions, said: list[str]) -> np.ndarray | None:
    """The weights of the rows, from the column that the options name; the column is removed."""
    if options.weights is None:
        return None
    numbers = columns.numbers()
    if options.weights not in numbers:
        raise refusal(subject, f"no column {options.weights} of numbers", close_matches(options.weights, numbers))
    columns.take(options.weights)
    values = numbers[options.weights]
    weights = checked_weights(subject, options.weights, values, len(values))
    if weights is not None:
        said.append(weights_note(f"the column {options.weights}", weights))
    return weights


def as_points(
    subject: object, array: np.ndarray, columns: Sequence[str] | None = None, missing: bool = False
) -> Imported:
    """Rows of an array as points.

    Args:
        subject: the file, for errors.
        array: numbers, shape (N, D).
        columns: names of the D columns, if they have names.
        missing: whether NaN means a missing number; otherwise NaN is an error.

    Returns: the points as the part "all", float32, shape (N, D), with all rows.
    Raises: InputError for other arrays, for infinite numbers and, unless `missing` is set, for NaN.
    """
    if array.dtype.kind not in "biuf" or array.ndim != 2 or 0 in array.shape:
        raise refusal(subject, f"an array of {array.dtype} and shape {array.shape}, not a table", "give (N, D) numbers")
    if array.shape[1] > MOST_COLUMNS:
        raise refusal(subject, f"{array.shape[1]:,} columns", f"choose up to {MOST_COLUMNS:,}")
    return _as_points(subject, array, columns, missing, lambda row: f"row {row} (from 0)")


def matched_columns(
    subject: object, part: Part, columns: Sequence[str] | None, wanted: Sequence[str] | None
) -> tuple[Part, list[str]]:
    """Points with the columns of a model, in its order, and notices.

    Args:
        subject: the file, for errors.
        part: the points.
        columns: names of their columns, if they have names.
        wanted: names of the model's columns, if they have names. Without names on one side, columns are matched by
            their order.

    Raises: InputError for a missing column.
    """
    if not wanted or not columns or list(columns) == list(wanted):
        unnamed = bool(wanted) and part.images.shape[1] == len(wanted or ()) and not columns
        return part, [f"columns without names are used as {listed(list(wanted or ()))}"] if unnamed else []
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise refusal(subject, f"no column {absent[0]}, which the model needs", close_matches(absent[0], columns))
    places = [list(columns).index(name) for name in wanted]
    more = [name for name in columns if name not in wanted]
    seen = None if part.seen is None else part.seen[:, places]
    matched = dataclasses.replace(part, images=np.ascontiguousarray(part.array[:, places]), seen=seen)
    return matched, [f"columns that the model does not have are ignored: {listed(more)}"] if more else []


def _as_points(
    subject: object, array: np.ndarray, columns: Sequence[str] | None, missing: bool, place: Callable[[int], str]
) -> Imported:
    """As `as_points`. place: returns the position of a row in the file, as text."""
    check_size(subject, 0 if array.dtype == np.float32 else array.size * 4)
    names = columns or _numbered(array.shape[1])
    seen = ~np.isnan(array) if missing and array.dtype.kind == "f" else None
    if seen is not None:
        array = np.where(seen, array, 0)
    rows = np.zeros(len(array), np.bool_)
    for start, block in row_blocks(array):
        rows[start : start + len(block)] = ~np.isfinite(block).all(1)
    if rows.any():
        row = int(rows.argmax())
        raise refusal(
            subject,
            f"{int(rows.sum()):,} of {len(array):,} rows have a missing or infinite value, the first in {place(row)}, "
            f"column {names[int((~np.isfinite(array[row])).argmax())]}",
            "fill them in, remove these rows or columns, or use --missing for missing values",
        )
    with np.errstate(over="ignore"):
        points = array.astype(np.float32, copy=False)
    if points is not array and not np.isfinite(points).all():
        raise refusal(subject, "numbers beyond 3e38", "scale the columns")
    if seen is not None and not seen.all():
        said = (f"{int((~seen).sum()):,} of {seen.size:,} values are missing",)
    else:
        seen, said = None, ()
    part = Part(points, None, seen=seen)
    return Imported(
        {"all": part},
        0,
        None,
        None,
        tuple(columns) if columns else None,
        (*said, *_rounding(array, points, names)),
        "points",
    )


def _rounding(array: np.ndarray, points: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """A notice about columns whose numbers change in single precision."""
    if array.dtype.kind not in "iuf" or (array.dtype.itemsize <= 4 and array.dtype.kind == "f"):
        return ()
    changed = []
    for name, stored, kept in zip(names, array.T, points.T, strict=True):
        error = float(np.abs(stored.astype(np.float64) - kept).max())
        whole = array.dtype.kind != "f" or (error > 0 and bool((stored == np.rint(stored)).all()))
        if error > ROUNDING * float(stored.std(dtype=np.float64)) > 0 or (whole and error > 0):
            changed.append(name)
    if not changed:
        return ()
    return (
        f"numbers are rounded to single precision, which keeps whole numbers up to {EXACT:,.0f}: this changes "
        f"{listed(changed)}",
    )


def _counts_rows(name: str, values: np.ndarray) -> bool:
    """Whether a column numbers the rows: its name is that of an index, and its values are different whole numbers."""
    if name.lower() not in INDEX_NAMES or not bool((values == np.rint(values)).all()):
        return False
    distinct = np.unique(values)
    if name.lower() in ("id", "index"):
        return len(distinct) == len(values)
    return len(distinct) == len(values) == distinct[-1] - distinct[0] + 1


def _numbered(width: int) -> list[str]:
    return [f"x{place + 1}" for place in range(width)]


def refuse_image_options(path: object, options: ReadOptions) -> None:
    """Raises:    InputError: an option that applies to images or arrays only."""
    of_tables = ("infer", "missing", "columns", "weights", "conditions")
    usual = ReadOptions()
    given = [
        name for name in ReadOptions._fields if name not in of_tables and getattr(options, name) != getattr(usual, name)
    ]
    if given:
        raise refusal(path, f"{', '.join(map(flag, given))} cannot be used with a table", "remove these options")
