"""What a reader finds in a file or folder, before it is divided for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, eq=False)
class Part:
    """Images or points of one origin with their labels.

    Args:
        images: uint8 or uint16, shape (N, C, H, W); points are float32, shape (N, D).
        labels: int64, shape (N,), numbers of classes from 0, -1 where an image has no label; None where none has.
        names: file names of the images, where each has its own.
        seen: boolean, the shape of `images`, false where a pixel is missing; None where none is, or where missing
            pixels were not asked for.
    """

    images: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...] | None = None
    seen: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Imported:
    """All that a reader found.

    Args:
        parts: "train", "valid" and "test" as far as the source has them, or "all" where it is not divided.
        levels: number of values of a stored pixel, which is one of 0..levels-1; 0 for points.
        value_range: the stored values that became level 0 and level levels-1; None for points.
        classes: names of the classes in the order of their numbers, where they have names.
        columns: names of the D columns of points, where they have names.
        assumptions: what was guessed or ignored, one sentence each, to be printed and recorded.
        kind: what the data are.
        repeatable: reading them again gives the same; only then does their SHA-256 mean something.
    """

    parts: dict[str, Part]
    levels: int
    value_range: tuple[float, float] | None = None
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    assumptions: tuple[str, ...] = ()
    kind: Literal["images", "points"] = "images"
    repeatable: bool = True
