"""Names for data in memory. Settings refer to data by text, so arrays and datasets get a name from their content.

The name is `memory:` and the first digits of their SHA-256. A run that was trained on them stores the name; if it needs
the data again, the user must give them again. The data stay available by name as long as the object that `hold`
returned exists (a run that was trained in this process keeps it). The data that were held last also stay available.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.data.findings import Findings, as_array
from ancestral.data.frames import import_frames
from ancestral.data.imported import Imported
from ancestral.data.item_pictures import SUBJECT
from ancestral.data.memory_forms import arrays_of
from ancestral.data.names import Member
from ancestral.data.storage import COPIED, is_mapped, row_blocks
from ancestral.settings.data import MEMORY, ReadOptions

WEIGHTS = "weights"  # name of the array or column of weights that are given separately
CONDITIONS = "conditions"  # the same for condition vectors; columns of a table have a number after it
DIGITS = 16  # number of SHA-256 digits in the name
DIFFERING = (
    "items differ when they are read again (random transforms?): they are read once and not changed in this run; "
    "the data have no SHA-256, and scores on them are not reproducible"
)


@dataclass(frozen=True, eq=False)
class Held:
    """Data in memory.

    Args:      arrays: arrays by the names of a file; for tables, columns by part. notes: notices. repeatable: whether
               the data were equal when they were read again (some items are checked). later: data with the same content
               that were held later, so that they stay available by the name.
    """

    arrays: dict[str, Any]
    notes: tuple[str, ...]
    repeatable: bool
    later: list[Held] = dataclasses.field(default_factory=list)


class MemoryName(str):
    """The name of data in memory. The object keeps the data available. Copies are the same object; pickles are text."""

    held: Held

    def __copy__(self) -> MemoryName:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryName:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


_held: weakref.WeakValueDictionary[str, Held] = weakref.WeakValueDictionary()
_last: list[Held] = []  # the data that were held last


def hold(data: Any, weights: Any = None, conditions: Any = None) -> MemoryName:
    """The name of data in memory, for use in settings.

    Arrays of up to `COPIED` bytes in total are copied, so that later changes have no effect. Larger arrays and
    memory-mapped files are not copied.

    Args:      data: an array or tensor; a pair of images and labels; two or three such pairs, or datasets, for
               training, validation and test; a dict of arrays by common names, or of parts; a dataset with
               `__getitem__` and `__len__`, or with `__iter__`, whose items are images, or pairs or dicts of images and
               labels; a `DataLoader`, whose dataset is used; a pandas table. weights: of all images or rows, or of
               those for training, shape (N,); None if they are equal. conditions: the vectors of all images or rows,
               shape (N,) or (N, K), or a dict of them by part; None for none.
    Raises:    InputError: none of these, or the content cannot be read.
    """
    found = Findings()
    arrays = arrays_of(data, found)
    if weights is not None:
        arrays = _with_weights(arrays, weights)
    if conditions is not None:
        arrays = _with_conditions(arrays, conditions)
    if not found.repeatable:
        found.say(DIFFERING)
    name = MemoryName(MEMORY + _digest(arrays)[:DIGITS])
    former = _held.get(name)
    held = Held(former.arrays if former else _private(arrays), tuple(found.notes), found.repeatable)
    if former:
        former.later.append(held)
    name.held = _held[str(name)] = held  # plain text as key: a MemoryName would keep the data for ever
    _last[:] = [held]
    return name


def _with_weights(arrays: dict[str, Any], weights: Any) -> dict[str, Any]:
    """The arrays with one more, or the table with one more column, named `WEIGHTS`."""
    values = as_array(weights).reshape(-1)
    table = arrays.get("all") if _has_frames(arrays) else arrays
    if table is None:
        raise refusal(SUBJECT, "weights for a table in several parts", "store them in a column and name it")
    if WEIGHTS in table:
        raise refusal(SUBJECT, f"has {WEIGHTS!r} already, and weights are given too", "give one of them")
    if _has_frames(arrays):
        rows = len(next(iter(table.values())))
        if len(values) != rows:
            raise refusal(SUBJECT, f"{len(values):,} weights for {rows:,} rows", "give one weight for each row")
        return {"all": {**table, WEIGHTS: values.astype(np.float64)}}
    return {**arrays, WEIGHTS: values}


def _with_conditions(arrays: dict[str, Any], conditions: Any) -> dict[str, Any]:
    """The arrays with those of the vectors, or the tables with more columns; see `conditions_names`."""
    parts = conditions if isinstance(conditions, Mapping) else {"all": conditions}
    found = dict(arrays)
    for part, given in parts.items():
        values = as_array(given)
        key = CONDITIONS if part == "all" else f"{part}_{CONDITIONS}"
        if not _has_frames(arrays):
            if key in found:
                raise refusal(SUBJECT, f"has {key!r} already, and conditions are given too", "give one of them")
            found[key] = values
            continue
        table = arrays.get(part)
        rows = None if table is None else len(next(iter(table.values())))
        if table is None or values.ndim not in (1, 2) or len(values) != rows:
            words = (
                f"conditions of shape {values.shape} for {'no table' if rows is None else f'{rows:,} rows'} ({part})"
            )
            raise refusal(SUBJECT, words, "give one row of numbers for each row of each table")
        columns = values.reshape(len(values), -1).astype(np.float64).T
        found[part] = {**table, **dict(zip(conditions_names(conditions), columns, strict=True))}
    return found


def conditions_names(conditions: Any, table: bool = True) -> tuple[str, ...]:
    """The names for `ReadOptions.conditions` of vectors that are given separately.

    Args:      conditions: see `hold`. table: whether the data are a table.
    """
    if not table:
        return (CONDITIONS,)
    first = as_array(next(iter(conditions.values())) if isinstance(conditions, Mapping) else conditions)
    size = first.shape[1] if first.ndim == 2 else 1
    return tuple(f"{CONDITIONS} {place}" for place in range(1, size + 1))


def is_held(name: str) -> bool:
    """Whether data are available by this name."""
    return name in _held


def read_memory(name: str, options: ReadOptions) -> tuple[str, Imported]:
    """The name of held data, for records, and their content in the form of a reader of files.

    Raises:    InputError: the data are not held in this process, or as in a reader of files.
    """
    from ancestral.data.arrays import import_members

    held = _found(name)
    try:
        if _has_frames(held.arrays):
            found = import_frames(held.arrays, options)
            found = dataclasses.replace(found, assumptions=(*held.notes, *found.assumptions))
        else:
            found = import_members(Path(SUBJECT), held_members(name), options, list(held.notes))
    except InputError as error:
        raise InputError(in_python(str(error))) from error
    said = tuple(map(in_python, found.assumptions))
    found = dataclasses.replace(found, repeatable=held.repeatable, assumptions=said)
    return (name if held.repeatable else f"{name} (data not reproducible)"), found


def held_members(name: str) -> list[Member]:
    """The arrays of held data; none for tables.

    Raises:    InputError: the data are not held in this process.
    """
    held = _found(name)
    return [] if _has_frames(held.arrays) else [_member(key, array) for key, array in held.arrays.items()]


def _found(name: str) -> Held:
    held = name.held if isinstance(name, MemoryName) else _held.get(name)
    if held is None:
        raise InputError(f"{name}: these data were in memory and are no longer available: give them again, data=...")
    return held


def _has_frames(arrays: Mapping[str, Any]) -> bool:
    return any(isinstance(value, dict) for value in arrays.values())


def in_python(text: str) -> str:
    """A sentence with command-line flags replaced by Python keywords.

    Example:
        >>> in_python("state --value-range -1 1, --levels 5 or --grey")
        'state value_range=(-1, 1), levels=5 or grey=...'
    """

    def keyword(found: re.Match[str]) -> str:
        values = found[2].split()
        value = f"({', '.join(values)})" if len(values) > 1 else values[0] if values else "..."
        return f"{found[1].replace('-', '_')}={value}"

    return re.sub(r"--([a-z][a-z-]*)((?: -?\d[\d.e+-]*\b)*)", keyword, text)


def _digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of all arrays with their names, in hexadecimal."""
    total = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        if isinstance(value, dict):
            total.update(f"{name}: {_digest(value)};".encode())
            continue
        total.update(f"{name} {value.shape} {value.dtype};".encode())
        for _, block in row_blocks(value):
            total.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _member(name: str, array: np.ndarray) -> Member:
    """An array as a member of a file, without a copy."""
    return Member(name, array.shape, 0, lambda: array)


def _private(arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays, copied unless they are large or memory-mapped."""
    if any(isinstance(value, dict) for value in arrays.values()):
        return arrays  # made from tables, so already copies
    if sum(array.nbytes for array in arrays.values()) > COPIED:
        return arrays
    return {name: array if is_mapped(array) else array.copy() for name, array in arrays.items()}
