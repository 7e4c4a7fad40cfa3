"""Reading tables of pandas and similar libraries as points, with the rules for table files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.imported import Imported, Part
from ancestral.data.table_columns import Columns
from ancestral.data.tables import points_of, refuse_image_options
from ancestral.settings.data import ReadOptions

SUBJECT = "the table in memory"
ABSENT = ("<NA>", "NaT", "None", "nan")  # texts of missing values
LABELS = "label"  # name of the column of labels that are given separately


def is_frame(data: Any) -> bool:
    """Whether data are a table with named columns. pandas is not imported."""
    return all(hasattr(data, name) for name in ("columns", "dtypes", "to_numpy", "__getitem__", "__len__"))


def frame_columns(frame: Any, labels: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The columns of a table by name: float64, or text if a column has other values than numbers.

    Args:      frame: the table. labels: labels of its rows, if given separately.
    Raises:    InputError: no rows, two columns with the same name, or a wrong number of labels.
    """
    names = list(frame.columns)
    words = list(map(str, names))
    if not len(frame) or not names:
        raise refusal(SUBJECT, f"has {len(frame)} rows and {len(names)} columns", "give at least one of each")
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise refusal(SUBJECT, f"has two columns {twice[0]!r}", "name them differently")
    found = {word: _column(np.asarray(frame[name])) for word, name in zip(words, names, strict=True)}
    if labels is None:
        return found
    if len(labels) != len(frame) or labels.ndim != 1:
        raise refusal(SUBJECT, f"labels of shape {labels.shape} for {len(frame)} rows", "give one label per row")
    if LABELS in found:
        raise refusal(SUBJECT, f"has a column {LABELS!r}, and labels are given too", "give one of them")
    return {**found, LABELS: _column(labels)}


def _column(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return np.array(["" if str(value) in ABSENT else str(value) for value in values.tolist()])


def import_frames(parts: Mapping[str, Mapping[str, np.ndarray]], options: ReadOptions) -> Imported:
    """Points from the columns of tables.

    Args:
        parts: columns by name, see `frame_columns`; "train" and "test" (and "valid"), or "all".
        options: how they are read.

    Returns: the points as these parts.
    Raises: InputError for tables of different columns, and as `points_of`.
    """
    refuse_image_options(SUBJECT, options)
    first, *others = parts
    names = list(parts[first])
    for other in others:
        if sorted(parts[other]) != sorted(names):
            odd = sorted(set(parts[other]) ^ set(names))
            raise refusal(SUBJECT, f"{first} and {other} differ in the column {odd[0]!r}", "give both the same columns")
    counts = {part: len(columns[names[0]]) for part, columns in parts.items()}
    columns = Columns(SUBJECT, names)
    for name in names:
        pieces = [parts[part][name] for part in parts]
        if len({piece.dtype.kind for piece in pieces}) > 1:
            raise refusal(SUBJECT, f"the column {name!r} has numbers in one part, text in another", "correct it")
        columns.fill(name, np.concatenate(pieces))
    found = points_of(SUBJECT, columns, True, options, [], lambda row: f"row {row} (from 0)")
    whole, divided, start = found.parts["all"], {}, 0
    for part, count in counts.items():
        rows = slice(start, start + count)
        labels, seen, weights, vectors = (
            None if of is None else of[rows] for of in (whole.labels, whole.seen, whole.weights, whole.conditions)
        )
        divided[part] = Part(whole.images[rows], labels, seen=seen, weights=weights, conditions=vectors)
        start += count
    return dataclasses.replace(found, parts=divided)
