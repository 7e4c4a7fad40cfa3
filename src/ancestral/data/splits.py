"""Images or points of one source, divided for training, validation and test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ancestral.core.errors import refusal
from ancestral.data.readers import PART_NAMES


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """An array as a tensor that shares its memory, to be read only: that of a memory-mapped file may not be written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


class Split:
    """Images or points for one purpose.

    Args:
        images: whole numbers 0..levels-1, shape (N, C, H, W): uint8, or int16 or int32 for more than 256 levels; points
            are float32, shape (N, D).
        labels: int64, shape (N,), -1 where an image has none; None where no image has one.
        names: of the image files, where each has its own.
        rows: of the images in their file, shape (N,); None for all of them in order.
        seen: boolean, the shape of `images`, false where a pixel is missing; None where none is.
        chosen: rows of `images` that are in the split, where a large source is not copied; None for all.

    Attributes: stored: `images` as they were given. images: those that are chosen, which copies them.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor | None,
        names: tuple[str, ...] | None = None,
        rows: np.ndarray | None = None,
        seen: torch.Tensor | None = None,
        chosen: torch.Tensor | None = None,
    ) -> None:
        self.stored, self.labels, self.names, self.rows = images, labels, names, rows
        self.seen, self.chosen = seen, chosen

    @property
    def images(self) -> torch.Tensor:
        return self.stored if self.chosen is None else self.stored.index_select(0, self.chosen)

    def blocks(self, size: int = 4096) -> Iterator[torch.Tensor]:
        """The images in order, some at a time."""
        if self.chosen is None:
            yield from self.stored.split(size)
        else:
            yield from (self.stored.index_select(0, rows) for rows in self.chosen.split(size))

    def first(self, count: int | None) -> Split:
        """The first `count` images, or all."""
        if count is None:
            return self
        labels = None if self.labels is None else self.labels[:count]
        if self.chosen is None:
            return Split(self.stored[:count], labels)
        return Split(self.stored, labels, chosen=self.chosen[:count])

    def __len__(self) -> int:
        return len(self.stored if self.chosen is None else self.chosen)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images or points of one source, divided for training, validation and test.

    Args:
        name: the named set, or the stem of the file.
        levels: how many values a pixel may have: it is one of 0..levels-1; 0 for points.
        train, valid, test: the splits; `valid` may be empty.
        sha256: of all images and labels as read, before dividing and padding, in hex; None where reading them again
            gives others.
        value_range: the stored values that became level 0 and level levels-1; None for points.
        classes: names of the classes, where they have names.
        columns: names of the columns of points, where they have names.
        assumptions: what was guessed or ignored as the source was read, one sentence each.
        own: it is a person's own file or folder, not a named set.
    """

    name: str
    levels: int
    train: Split
    valid: Split
    test: Split
    sha256: str | None
    value_range: tuple[float, float] | None = None
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    assumptions: tuple[str, ...] = ()
    own: bool = False

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape (C, H, W) of one image, or (D,) of one point."""
        return tuple(self.train.stored.shape[1:])

    @property
    def kind(self) -> Literal["images", "points"]:
        """What the data are."""
        return "points" if self.levels == 0 else "images"

    @property
    def class_count(self) -> int | None:
        """Number of classes; None where there are no labels."""
        if self.classes is not None:
            return len(self.classes)
        largest = [
            int(part.labels.max())
            for part in (self.train, self.valid, self.test)
            if part.labels is not None and len(part)
        ]
        return max(largest) + 1 if largest and max(largest) >= 0 else None

    def split(self, name: str) -> Split:
        """The split of that name, "train", "valid" or "test"; InputError for another name."""
        if name not in PART_NAMES:
            raise refusal(f"split {name!r}", "unknown", f"choose one of {', '.join(PART_NAMES)}")
        return getattr(self, name)
