"""Vectors of real numbers that images or points are conditioned on: reading them from files, and their checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.text import close_matches
from ancestral.data.imported import Imported
from ancestral.data.names import PARTS, Member
from ancestral.data.readers import check_size
from ancestral.settings.data import MOST_CONDITIONS

_FORMS = ("{part}_{name}", "{name}_{part}")


def without_conditions(members: Sequence[Member], names: Sequence[str]) -> tuple[list[Member], list[Member]]:
    """The arrays of the conditions with these names, of any part, and all other arrays."""
    wanted = {form for name in names for part in PARTS for form in _forms(part, name)}
    wanted |= {name.lower() for name in names}
    found = [member for member in members if member.name.lower() in wanted]
    return found, [member for member in members if member.name.lower() not in wanted]


def with_conditions(subject: object, found: Imported, members: Sequence[Member], names: Sequence[str]) -> Imported:
    """Images or points with the vectors in the arrays of a file.

    An array has one number or one row of numbers for each image. The name of the part comes before or after, as in
    `train_NAME`. A source of one part has `NAME` alone. Several arrays are joined to one vector.

    Args:
        subject: the file, for errors.
        found: the images or points of its parts.
        members: the arrays that `without_conditions` found.
        names: from --conditions; none returns `found`.

    Raises: InputError for a part without an array, another number of rows, text, NaN or infinite numbers, and vectors
        of different lengths.
    """
    if not names:
        return found
    check_size(subject, sum(member.nbytes for member in members))
    vectors: dict[str, np.ndarray] = {}
    entries: dict[str, tuple[str, ...]] = {}
    for part, content in found.parts.items():
        columns, titles = [], []
        for name in names:
            member = _member(subject, part, name, members)
            values = _checked(subject, member.name, member.load(), len(content))
            columns.append(values)
            titles += _titles(name, values.shape[1])
        vectors[part], entries[part] = np.concatenate(columns, 1), tuple(titles)
    if len(set(entries.values())) > 1:
        sizes = ", ".join(f"{part} {values.shape[1]}" for part, values in vectors.items())
        raise refusal(subject, f"conditions of different lengths ({sizes} numbers)", "give all parts the same numbers")
    return joined_with(subject, found, vectors, next(iter(entries.values())))


def joined_with(
    subject: object, found: Imported, vectors: Mapping[str, np.ndarray], entries: tuple[str, ...]
) -> Imported:
    """Images or points with vectors, float64, shape (N, K), by part; entries: names of the K numbers."""
    if len(entries) > MOST_CONDITIONS:
        raise refusal(subject, f"{len(entries):,} numbers as conditions", f"give at most {MOST_CONDITIONS:,}")
    parts = {part: dataclasses.replace(content, conditions=vectors[part]) for part, content in found.parts.items()}
    return dataclasses.replace(found, parts=parts, conditions=entries)


def columns_of(
    subject: object, numbers: Mapping[str, np.ndarray], names: Sequence[str], place: Callable[[int], str]
) -> np.ndarray:
    """The vectors in columns of a table, float64, shape (N, K).

    Args:
        subject: the file, for errors.
        numbers: all columns of numbers by name.
        names: of the columns.
        place: returns the position of a row in the file, as text.

    Raises: InputError for a missing column, or a value that is missing or infinite.
    """
    for name in names:
        if name not in numbers:
            raise refusal(subject, f"no column {name} of numbers", close_matches(name, numbers))
        _refuse_infinite(subject, f"column {name}", numbers[name], place)
    return np.stack([numbers[name] for name in names], 1).astype(np.float64)


def _forms(part: str, name: str) -> list[str]:
    return [form.format(part=alias, name=name.lower()) for form in _FORMS for alias in PARTS[part]]


def _member(subject: object, part: str, name: str, members: Sequence[Member]) -> Member:
    """The array of a part."""
    # a training part alone is the whole source
    wanted = [name.lower(), *_forms("train", name)] if part == "all" else _forms(part, name)
    own = [member for member in members if member.name.lower() in wanted]
    if not own:
        expected = name if part == "all" else f"{part}_{name}"
        there = f", only {', '.join(member.name for member in members)}" if members else ""
        raise refusal(subject, f"no array {expected} with conditions{there}", "--conditions names an array of the file")
    if len(own) > 1:
        both = " and ".join(member.name for member in own)
        raise refusal(subject, f"two arrays of conditions for one part ({both})", "give one of them")
    return own[0]


def _checked(subject: object, name: str, values: Any, count: int) -> np.ndarray:
    """Values as float64, shape (count, k)."""
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise refusal(subject, f"the conditions {name} are not numbers ({values.dtype})", "give real numbers")
    if values.ndim == 2 and values.shape[0] == 1 != count and values.shape[1] == count:
        values = values.T  # the row of a .mat file
    if values.ndim not in (1, 2) or len(values) != count or 0 in values.shape[1:]:
        shape = "x".join(map(str, values.shape))
        raise refusal(
            subject, f"conditions {name} of shape {shape} for {count:,} rows", f"give shape ({count},) or ({count}, K)"
        )
    rows = values.reshape(count, -1).astype(np.float64)
    _refuse_infinite(subject, name, rows, lambda row: f"row {row} (from 0)")
    return rows


def _refuse_infinite(subject: object, name: str, values: np.ndarray, place: Callable[[int], str]) -> None:
    wrong = ~np.isfinite(values.reshape(len(values), -1)).all(1)
    if wrong.any():
        raise refusal(
            subject,
            f"{int(wrong.sum()):,} of {len(values):,} conditions ({name}) are missing or infinite, the first in "
            f"{place(int(wrong.argmax()))}",
            "give a finite number for each image, or remove these rows",
        )


def _titles(name: str, size: int) -> list[str]:
    return [name] if size == 1 else [f"{name} {place}" for place in range(1, size + 1)]
