"""Which images or points, how they are split, and what a pixel is."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple

from ancestral.core.errors import InputError, refusal
from ancestral.core.text import closest
from ancestral.settings.checks import LARGEST_COUNT, LARGEST_SEED, check_fields, check_numbers, flag, shown

PixelSpaceName = Literal["binary", "static", "threshold", "levels", "unit"]
IMAGE_SETS = ("digits", "mnist", "fashion", "kmnist")
"""Sets of images that have names; the first comes with a package that is required, the others are downloaded."""
POINT_SETS = ("two-gaussians", "moons", "rings", "pinwheel", "spirals", "checkerboard")
"""Densities of the plane that are drawn from, not read: they have points instead of pixels."""
ARRAY_FILES, TABLE_FILES = (".npz", ".npy", ".mat", ".pt", ".pth"), (".csv", ".tsv")
FILE_TYPES = (*ARRAY_FILES, *TABLE_FILES)
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
"""One image: it cannot be trained on, but a trained model can be used on it."""
MEMORY = "memory:"
"""Beginning of the names of data in memory."""
MAX_LEVELS = 65_536
LARGEST = {
    **dict.fromkeys(("train_size", "valid_size"), LARGEST_COUNT),
    **dict.fromkeys(("pad_to", "resize"), 4096),  # pixels a side
    "split_seed": LARGEST_SEED,
    "value_range": 1e300,
}


class ReadOptions(NamedTuple):
    """How files of a person's own are read.

    Args:      levels: number of values of a stored pixel; None to infer it from the values. value_range: (low, high) of
               the stored values, low becomes level 0 and high the last level; None for what the type means.
               array: name of the array that holds the images or points. grey: make one channel of colour.
               crop: cut the central square. resize: height and width after the cut. background: colour behind
               transparent pixels. missing: NaN and transparent pixels are missing, and are reported as such, where they
               would be refused or composited. infer: False reads levels as earlier versions did (bytes have 256).
               columns: names of a table's dimensions, where a model knows them: none of them is taken for classes.
    """

    levels: int | None = None
    value_range: tuple[float, float] | None = None
    array: str | None = None
    grey: bool = False
    crop: bool = False
    resize: int | None = None
    background: str = "white"
    infer: bool = True
    missing: bool = False
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """How a file or folder of one's own is read."""

    levels: int | None = None
    """number of values of a stored pixel, 0 to N-1, where it is not to be inferred"""
    value_range: tuple[float, float] | None = None
    """lowest and highest stored value, for floats outside [0, 1]: --value-range -1 1"""
    array: str | None = None
    """name of the array in the file that holds the images or points, where it has no usual name"""
    grey: bool = False
    """make one channel of colour images"""
    crop: bool = False
    """cut the central square out of each image"""
    resize: int | None = None
    """scale each image to this many pixels a side"""
    background: str | None = None
    """colour behind transparent pixels: a name or #rrggbb (default: white)"""

    @property
    def read_options(self) -> ReadOptions:
        """The same as the readers take it."""
        return ReadOptions(
            self.levels,
            self.value_range,
            self.array,
            self.grey,
            self.crop,
            self.resize,
            self.background or ReadOptions().background,
        )


@dataclass(frozen=True)
class DataSettings(FileSettings):
    """Which images, how they are split, and what a pixel is."""

    data: str = "digits"
    """digits, mnist, fashion, kmnist; a .npz, .npy, .mat or .pt file, a .csv table, or a folder of images; or points
    of the plane: two-gaussians, moons, rings, pinwheel, spirals, checkerboard"""
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
        check_fields(self, LARGEST)
        check_numbers(self, "train_size pad_to resize", 1)
        check_numbers(self, "valid_size split_seed", 0)
        check_numbers(self, "levels", 2)
        self._check_named_set()
        if self.value_range is not None:
            self._check_range(self.value_range)
        if self.levels is not None and self.levels > MAX_LEVELS:
            raise InputError(f"--levels {self.levels}: give a whole number from 2 to {MAX_LEVELS}")

    def _check_named_set(self) -> None:
        """Raises:    InputError: a setting that only files have, beside a set that has a name."""
        if self.data in POINT_SETS and (self.pixels, self.protocol, self.pad_to) != (None, None, None):
            raise InputError(f"--data {self.data} are points of the plane: leave out --pixels, --protocol and --pad-to")
        if self.data in (*IMAGE_SETS, *POINT_SETS) and self.read_options != ReadOptions():
            names = ", ".join(flag(name) for name in ReadOptions._fields if getattr(self, name, None))
            raise InputError(f"--data {self.data} is a named set, read as it was published: leave out {names}")

    def _check_range(self, bounds: tuple[float, float]) -> None:
        """Raises:    InputError: the bounds are not two finite numbers in order."""
        numbers = [value for value in bounds if isinstance(value, int | float) and math.isfinite(value)]
        if len(bounds) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
            raise InputError(f"--value-range {shown(bounds)}: give two finite numbers, the lower one first")


@dataclass(frozen=True)
class OtherData(FileSettings):
    """Data in place of the run's own, read as those were unless these flags say otherwise."""

    data: str | None = None
    """a named set, a file or a folder in place of the run's own data"""

    def __post_init__(self) -> None:
        if self.data is None:
            given = [field.name for field in fields(self) if getattr(self, field.name)]
            if given:
                raise InputError(f"{', '.join(map(flag, given))} say how --data is read: give --data PATH")
            return
        # the checks of a training's data: one rule for both
        DataSettings(**{field.name: getattr(self, field.name) for field in fields(self)})


def is_named(source: str) -> bool:
    """Whether data are known by a name, not by a path: a named set, a density, or data in memory."""
    return source in (*IMAGE_SETS, *POINT_SETS) or source.startswith(MEMORY)


def check_source(source: str) -> None:
    """Refuse a source of images that is neither a named set nor a file or folder here; nothing is read.

    Raises:    InputError: there is no such source.
    """
    path = Path(os.path.expanduser(source))
    if source.startswith(MEMORY) or source in IMAGE_SETS or (source and os.path.isdir(path)):
        return
    if path.suffix.lower() not in (*FILE_TYPES, *IMAGE_FILES):
        close = closest(source, (*IMAGE_SETS, *POINT_SETS))
        names = ", ".join((*IMAGE_SETS, *POINT_SETS))
        known = f"choose one of {names}, a folder of images, or a file {' '.join(FILE_TYPES)}"
        raise refusal(f"data source {source!r}", "unknown", f"did you mean {close}?" if close else known)
    if not os.path.isfile(path):
        raise refusal(path, "no such file", "check the path")
