"""Memory for large arrays. Arrays that exceed a share of the free memory are memory-mapped temporary files."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.free_memory import available_memory
from ancestral.data.sharded import ShardedImages, joined_pieces

SHARE = 0.25  # largest share of the free memory for one array
COPIED = 2**28  # bytes; splits of a larger array are not copied but refer to its rows
BLOCK_BYTES = 32 << 20  # bytes of rows that are hashed or copied at once
MOST_AT_ONCE = 2**31  # bytes; a command that needs all images of a split in memory refuses more


def allocated(shape: Sequence[int], dtype: Any, most: float = math.inf) -> np.ndarray:
    """An empty array: in memory, or in a memory-mapped temporary file if it exceeds a share of the free memory.

    The file has no name, so it is deleted with the array, even if the process is killed.

    Args:      shape: at least one number. dtype: type of the numbers. most: bytes; a larger array is in a file too.
    Raises:    InputError: there is not enough space in the folder of temporary files.
    """
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if wanted <= min(most, SHARE * available_memory()):
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise refusal(
            f"data of {wanted:,} bytes",
            f"more than the free memory, and {folder} has only {free:,} bytes left",
            "set TMPDIR to a folder with more space, or give fewer or smaller items",
        )
    file = tempfile.TemporaryFile(prefix="ancestral-")  # noqa: SIM115  (the mapping keeps it open)
    return np.memmap(file, dtype, "w+", shape=tuple(shape))


def refuse_at_once(subject: object, shape: Sequence[int], advice: str, size: int = 1) -> None:
    """Raises: InputError if images of this shape, with `size` bytes for each value, are too many to hold in memory."""
    wanted = math.prod(shape) * size
    if wanted > MOST_AT_ONCE:
        raise refusal(
            subject,
            f"needs {shape[0]:,} images in memory at once, {wanted:,} bytes, more than the limit of {MOST_AT_ONCE:,}",
            advice,
        )


def is_mapped(array: np.ndarray) -> bool:
    """Whether an array, or the array that it is a view of, is memory-mapped."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


def row_blocks(array: np.ndarray | ShardedImages) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of an array in blocks, each with the number of its first row."""
    step = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def compact(array: np.ndarray) -> np.ndarray:
    """The array in row-major order. A large array is not changed, because this would copy it."""
    return array if array.nbytes > COPIED else np.ascontiguousarray(array)


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenation of arrays, shape (N, ...). A single array is not copied."""
    if len(arrays) == 1:
        return arrays[0]
    shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
    return np.concatenate(arrays, out=allocated(shape, np.result_type(*arrays)))


def joined_images(arrays: Sequence[np.ndarray | ShardedImages]) -> np.ndarray | ShardedImages:
    """The images of several parts. Images in several files stay there."""
    in_memory = [array for array in arrays if not isinstance(array, ShardedImages)]
    return joined(in_memory) if len(in_memory) == len(arrays) else joined_pieces(arrays)


class Rows:
    """Rows of one shape and type, added one by one.

    Args:      first: a row with this shape and type; it is not added. count: expected number of rows; None if not
               known.
    """

    def __init__(self, first: np.ndarray, count: int | None = None) -> None:
        self._array = allocated((count or 256, *first.shape), first.dtype)
        self._filled = 0

    def __len__(self) -> int:
        return self._filled

    def add(self, row: np.ndarray) -> None:
        """Add a row at the end."""
        if self._filled == len(self._array):
            larger = allocated((2 * self._filled, *self._array.shape[1:]), self._array.dtype)
            larger[: self._filled] = self._array
            self._array = larger
        self._array[self._filled] = row
        self._filled += 1

    @property
    def row(self) -> np.ndarray:
        """A row, perhaps not filled, with the shape and type of all rows."""
        return self._array[0]

    @property
    def array(self) -> np.ndarray:
        """The rows so far, shape (N, ...)."""
        return self._array[: self._filled]
