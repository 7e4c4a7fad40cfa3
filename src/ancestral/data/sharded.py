"""Images in several files that stay on disk, used like one array."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

PAGE = 4096  # bytes; smallest unit that is read from a disk


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of an array. Do not write to it: the array may be a memory-mapped file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


class ShardedImages:
    """Images of several memory-mapped arrays, numbered from the first image of the first array.

    A slice or a set of rows is a copy in memory (a slice of one array is a view), so use blocks.

    Args:      pieces: at least one array, shape (n, C, H, W), with equal C, H, W and type.

    Attributes: shape: (N, C, H, W). dtype: of the pixels. nbytes: of all pixels.
    """

    def __init__(self, pieces: Sequence[np.ndarray]) -> None:
        self.pieces = tuple(pieces)
        self._starts = np.cumsum([0, *map(len, self.pieces)])
        self.shape = (int(self._starts[-1]), *self.pieces[0].shape[1:])
        self.dtype, self.ndim = self.pieces[0].dtype, len(self.shape)
        self._tensors = [as_tensor(piece) for piece in self.pieces]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        bounds = zip(self.pieces, self._starts[:-1], strict=True)
        parts = [piece[max(0, start - first) : max(0, stop - first)] for piece, first in bounds]
        parts = [part for part in parts if len(part)] or [self.pieces[0][:0]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """The images at some rows, shape (B, C, H, W)."""
        assert dim == 0
        ordered, places = rows.sort()
        found = torch.empty(len(rows), *self.shape[1:], dtype=self._tensors[0].dtype)
        for piece, here, inside in self._by_piece(ordered):
            torch.index_select(piece, 0, inside, out=found[here])
        return found.index_select(0, places.argsort())

    def touch(self, rows: Tensor) -> None:
        """As the function `touch`, for images in several files."""
        for piece, _, inside in self._by_piece(rows.sort().values):
            touch(piece, inside)

    def _by_piece(self, ordered: Tensor) -> Iterator[tuple[Tensor, slice, Tensor]]:
        """Each array that has some of the rows, their places in `ordered`, and their places in the array."""
        ends = np.searchsorted(ordered.numpy(), self._starts)
        for number in np.flatnonzero(np.diff(ends)).tolist():
            here = slice(int(ends[number]), int(ends[number + 1]))
            yield self._tensors[number], here, ordered[here] - int(self._starts[number])


def touch(stored: Tensor | ShardedImages, rows: Tensor) -> None:
    """Read one value of each page of some images, in the order of the file, so that they are in the page cache."""
    if isinstance(stored, ShardedImages):
        stored.touch(rows)
        return
    step = PAGE // stored.element_size()
    pages = -(-math.prod(stored.shape[1:]) // step)
    stored.as_strided((len(stored), pages), (stored.stride(0), step)).index_select(0, rows.sort().values)


def joined_pieces(arrays: Sequence[np.ndarray | ShardedImages]) -> ShardedImages:
    """Several sources of images as one, without a copy."""
    return ShardedImages([piece for array in arrays for piece in _pieces(array)])


def _pieces(array: np.ndarray | ShardedImages) -> Iterator[np.ndarray]:
    yield from array.pieces if isinstance(array, ShardedImages) else (array,)
