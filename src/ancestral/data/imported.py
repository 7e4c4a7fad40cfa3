"""The content of a file or folder, as returned by a reader, before it is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ancestral.data.sharded import ShardedImages


@dataclass(frozen=True, eq=False)
class Part:
    """Images or points of one part of a source, with their labels.

    Args:
        images: uint8 or uint16, shape (N, C, H, W); points are float32, shape (N, D). `ShardedImages` stay on disk.
        labels: int64, shape (N,), class numbers from 0; -1 for an image without a label; None if there are no labels.
        names: file names of the images, if each has its own file.
        seen: boolean, shape of `images`, False for missing pixels; None if there are none, or without
            `ReadOptions.missing`.
        weights: float64, shape (N,), weights of the images in training; None if they are equal.
        conditions: float64, shape (N, K), the vector of each image that a model is conditioned on; None: no vectors.
    """

    images: np.ndarray | ShardedImages
    labels: np.ndarray | None
    names: tuple[str, ...] | None = None
    seen: np.ndarray | None = None
    weights: np.ndarray | None = None
    conditions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def array(self) -> np.ndarray:
        """The images as one array; this reads those that stay on disk."""
        return self.images[:] if isinstance(self.images, ShardedImages) else self.images


@dataclass(frozen=True, eq=False)
class Imported:
    """The content of a source.

    Args:
        parts: "train", "valid" and "test", as far as the source has them, or "all" if it has no parts.
        levels: number of values of a stored pixel, which is one of 0..levels-1; 0 for points.
        value_range: the stored values that correspond to level 0 and level levels-1; None for points.
        classes: names of the classes in the order of their numbers, if they have names.
        columns: names of the D columns of points, if they have names.
        assumptions: notices about guesses and ignored parts, one sentence each, to be printed and recorded.
        kind: images or points.
        repeatable: whether reading the data again gives the same values, so that their SHA-256 is useful.
        conditions: names of the K entries of the condition vectors; empty without vectors.
        losses: what files of images have and the pixels do not, one sentence each.
    """

    parts: dict[str, Part]
    levels: int
    value_range: tuple[float, float] | None = None
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    assumptions: tuple[str, ...] = ()
    kind: Literal["images", "points"] = "images"
    repeatable: bool = True
    losses: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
