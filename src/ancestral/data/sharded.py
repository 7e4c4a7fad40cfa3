"""Images in several files that stay on disk, used like one array."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


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
        """The images at some rows, shape (B, C, H, W). Rows in increasing order are read file by file."""
        assert dim == 0
        number = torch.from_numpy(np.searchsorted(self._starts, rows.numpy(), "right")) - 1
        present, sizes = number.unique_consecutive(return_counts=True)
        found, first = list[Tensor](), 0
        for piece, size in zip(present.tolist(), sizes.tolist(), strict=True):
            inside = rows[first : first + size] - int(self._starts[piece])
            found.append(as_tensor(self.pieces[piece]).index_select(0, inside))
            first += size
        return torch.cat(found) if found else as_tensor(self.pieces[0][:0])


def gathered(stored: Tensor | ShardedImages, rows: Tensor) -> Tensor:
    """The images at some rows, shape (B, C, H, W). They are read in the order of the file, as a disk reads faster."""
    ordered, places = rows.sort()
    return stored.index_select(0, ordered).index_select(0, places.argsort())


def joined_pieces(arrays: Sequence[np.ndarray | ShardedImages]) -> ShardedImages:
    """Several sources of images as one, without a copy."""
    return ShardedImages([piece for array in arrays for piece in _pieces(array)])


def _pieces(array: np.ndarray | ShardedImages) -> Iterator[np.ndarray]:
    yield from array.pieces if isinstance(array, ShardedImages) else (array,)
