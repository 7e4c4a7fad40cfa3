"""A table with one row for each image or point: its name, label and computed values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.files import write_csv
from ancestral.data.splits import Split
from ancestral.runs.run_data import RunData


def names_of(split: Split, count: int) -> list[str]:
    """The names of the first images: the file, or the row in the source."""
    if split.names is not None:
        return list(split.names[:count])
    return [str(row) for row in (range(count) if split.rows is None else split.rows[:count].tolist())]


def labels_of(data: RunData, split: Split, count: int) -> list[str] | None:
    """The classes of the first images, by name if known; "" for an image without a label; None without labels."""
    if split.labels is None:
        return None
    names = data.classes
    numbers = split.labels[:count].tolist()
    return ["" if n < 0 else names[n] if names and n < len(names) else str(n) for n in numbers]


def write_items(
    path: Path, data: RunData, split: str, columns: Mapping[str, Tensor], order: Tensor | None = None
) -> None:
    """Write a .csv file with `file` or `index`, `label` if there are labels, and the columns.

    Args:      path: of the file. data: of the run. split: of the values, which start at its first image. columns:
               values by name, each of shape (N,). order: of the rows in the file; default: the order of the data.
    Raises:    InputError: the name does not end in .csv.
    """
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: give a file name that ends in .csv")
    stored, count = data.stored(split), len(next(iter(columns.values())))
    names, labels = names_of(stored, count), labels_of(data, stored, count)
    header = ["file" if stored.names is not None else "index", *(["label"] if labels else []), *columns]
    values = [column.tolist() for column in columns.values()]
    rows = [[names[i], *([labels[i]] if labels else []), *(repr(column[i]) for column in values)] for i in range(count)]
    write_csv(path, header, rows if order is None else [rows[i] for i in order.tolist()])
