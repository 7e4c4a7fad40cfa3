"""Data sets and their training, validation and test splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ancestral.core.errors import refusal
from ancestral.data.readers import PART_NAMES
from ancestral.data.sharded import ShardedImages


class Split:
    """Images or points of one split.

    Args:
        images: whole numbers 0..levels-1, shape (N, C, H, W): uint8, or int16 or int32 for more than 256 levels; points
            are float32, shape (N, D). Images in several files are given with `chosen`.
        labels: int64, shape (N,), -1 for an image without a label; None if there are no labels.
        names: names of the image files, if each image has its own file.
        rows: rows of the images in their file, shape (N,); None for all images in order.
        seen: boolean, shape of `images`, False for missing pixels; None if there are none.
        weights: float64, shape (N,), weights of the images in training; None if they are equal.
        conditions: float64, shape (N, K), the vector of each image that a model is conditioned on; None: no vectors.
        chosen: rows of `images` in the split, if a large source is not copied; None for all.

    Attributes: stored: the argument `images`. images: the chosen images; this copies them.
    """

    def __init__(
        self,
        images: torch.Tensor | ShardedImages,
        labels: torch.Tensor | None,
        names: tuple[str, ...] | None = None,
        rows: np.ndarray | None = None,
        seen: torch.Tensor | None = None,
        chosen: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
        conditions: torch.Tensor | None = None,
    ) -> None:
        if chosen is None and isinstance(images, ShardedImages):
            chosen = torch.arange(len(images))
        self.stored, self.labels, self.names, self.rows = images, labels, names, rows
        self.seen, self.chosen, self.weights, self.conditions = seen, chosen, weights, conditions

    @property
    def images(self) -> torch.Tensor:
        return self.at(slice(None))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape (C, H, W) of one image, or (D,) of one point."""
        return tuple(self.stored.shape[1:])

    def at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """The images at some rows of the split, shape (B, C, H, W)."""
        if self.chosen is not None:
            return self.stored.index_select(0, self.chosen[rows])
        assert isinstance(self.stored, torch.Tensor)  # images in several files are always chosen
        return self.stored[rows]

    def blocks(self, size: int = 4096) -> Iterator[torch.Tensor]:
        """The images in order, in blocks."""
        return (self.at(slice(first, first + size)) for first in range(0, max(1, len(self)), size))

    def first(self, count: int | None) -> Split:
        """The first `count` images, or all."""
        if count is None:
            return self
        return self.take(slice(count))

    def where(self, kept: torch.Tensor) -> Split:
        """The images for which `kept`, boolean, shape (N,), is True."""
        return self.take(kept.nonzero()[:, 0])

    def take(self, rows: slice | torch.Tensor) -> Split:
        """The images at some rows of the split, without their names."""
        labels, seen, weights, vectors = (
            None if of is None else of[rows] for of in (self.labels, self.seen, self.weights, self.conditions)
        )
        stored, chosen = (self.at(rows), None) if self.chosen is None else (self.stored, self.chosen[rows])
        places = None if self.rows is None else self.rows[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        return Split(stored, labels, rows=places, seen=seen, chosen=chosen, weights=weights, conditions=vectors)

    @property
    def condition_statistics(self) -> tuple[tuple[float, float], ...]:
        """The mean and the standard deviation (with divisor N) of each entry of the vectors; () without vectors."""
        if self.conditions is None:
            return ()
        deviation, mean = torch.std_mean(self.conditions, 0, correction=0)
        return tuple(zip(mean.tolist(), deviation.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.stored if self.chosen is None else self.chosen)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images or points of one source, split into training, validation and test.

    Args:
        name: the named set, or the file name without its suffix.
        levels: number of values of a pixel, 0..levels-1; 0 for points.
        train, valid, test: the splits; `valid` may be empty.
        sha256: hash of all images and labels as read, before the split and padding, in hexadecimal; None if the data
            differ each time they are read.
        value_range: the stored values that correspond to level 0 and level levels-1; None for points.
        classes: names of the classes, if they have names.
        columns: names of the columns of points, if they have names.
        assumptions: notices about guesses and ignored parts of the source, one sentence each.
        conditions: names of the K entries of the condition vectors; empty without vectors.
        own: whether the source is the user's own, not a named set.
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
    conditions: tuple[str, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape (C, H, W) of one image, or (D,) of one point."""
        return self.train.event_shape

    @property
    def kind(self) -> Literal["images", "points"]:
        """`images` or `points`."""
        return "points" if self.levels == 0 else "images"

    @property
    def class_count(self) -> int | None:
        """Number of classes; None if there are no labels."""
        if self.classes is not None:
            return len(self.classes)
        largest = [
            int(part.labels.max())
            for part in (self.train, self.valid, self.test)
            if part.labels is not None and len(part)
        ]
        return max(largest) + 1 if largest and max(largest) >= 0 else None

    def split(self, name: str) -> Split:
        """The split with this name: "train", "valid" or "test"; InputError for other names."""
        if name not in PART_NAMES:
            raise refusal(f"split {name!r}", "unknown", f"choose one of {', '.join(PART_NAMES)}")
        return getattr(self, name)
