"""Which images or points, how they are split, and what a pixel is."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ancestral.core.errors import InputError, refusal
from ancestral.settings.checks import check_choices, check_numbers

PixelSpaceName = Literal["binary", "static", "threshold", "levels", "unit"]
IMAGE_SETS = ("digits", "mnist", "fashion", "kmnist")
"""Sets of images that have names; the first comes with a package that is required, the others are downloaded."""
POINT_SETS = ("two-gaussians", "moons", "rings", "pinwheel", "spirals", "checkerboard")
"""Densities of the plane that are drawn from, not read: they have points instead of pixels."""
FORMER_NAMES = {"split": "protocol"}
"""Settings by names that they once had; recipes, commands, calls of `fit` and stored runs may still use them."""


@dataclass(frozen=True)
class DataSettings:
    """Which images, how they are split, and what a pixel is."""

    data: str = "digits"
    """digits, mnist, fashion, kmnist, a .npz or .npy file, or a folder of images; or points of the plane:
    two-gaussians, moons, rings, pinwheel, spirals, checkerboard"""
    pixels: PixelSpaceName | None = None
    """binary: drawn afresh each epoch with probability = grey value; static: drawn once; threshold: above one
    half; levels: whole numbers; unit: real numbers in [0, 1] (default: what suits the family)"""
    protocol: Literal["uva2018", "uva2020", "tue2024", "csds600"] | None = None
    """a coursework's own division of the MNIST training images"""
    train_size: int | None = None
    """use only the first so many training images"""
    valid_size: int | None = None
    """hold out so many training images for validation"""
    split_seed: int | None = None
    """shuffle before splitting (default: the files' order)"""
    pad_to: int | None = None
    """pad images with black to this many pixels a side"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.data in POINT_SETS and (self.pixels, self.protocol, self.pad_to) != (None, None, None):
            raise InputError(f"--data {self.data} are points of the plane: leave out --pixels, --protocol and --pad-to")
        check_numbers(self, "train_size pad_to", 1)
        check_numbers(self, "valid_size split_seed", 0)


def check_source(source: str) -> None:
    """Refuse a source of images that is neither a named set nor a file or folder here; nothing is read.

    Raises:    InputError: there is no such source.
    """
    path = Path(os.path.expanduser(source))
    if source in IMAGE_SETS or (source and os.path.isdir(path)):
        return
    if path.suffix.lower() not in (".npz", ".npy"):
        known = f"choose one of {', '.join(IMAGE_SETS)}, or a .npz/.npy file or a folder of images"
        raise refusal(f"data source {source!r}", "unknown", known)
    if not os.path.isfile(path):
        raise refusal(path, "no such file", "check the path")


def present_name(name: str, known: Container[str]) -> str:
    """The present name of a setting that is given by a former one.

    Args:      known: present names; one of them is left as it is.
    """
    return name if name in known else FORMER_NAMES.get(name, name)
