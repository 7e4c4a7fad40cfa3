"""Settings of the data: source, split and kind of pixels."""

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
SAMPLED_SETS = ("synthetic-circuit", "synthetic-pixelcnn")
"""Named sets of images that are sampled from a model of this package, so their distribution is known."""
IMAGE_SETS = ("digits", "mnist", "fashion", "kmnist", *SAMPLED_SETS)
"""Named sets of images. `digits` comes with scikit-learn, which is required; the next three are downloaded."""
POINT_SETS = ("two-gaussians", "moons", "rings", "pinwheel", "spirals", "checkerboard")
"""Two-dimensional densities. Their data are sampled points, not images read from files."""
ARRAY_FILES, TABLE_FILES = (".npz", ".npy", ".mat", ".pt", ".pth"), (".csv", ".tsv")
FILE_TYPES = (*ARRAY_FILES, *TABLE_FILES)
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
"""Types of a file with one image. Such a file cannot be trained on, but a trained model can be used on it."""
MEMORY = "memory:"
"""Prefix of the names of data in memory."""
MAX_LEVELS = 65_536
MOST_CONDITIONS = 1024
"""The largest number of entries of a condition vector."""
LARGEST = {
    **dict.fromkeys(("train_size", "valid_size"), LARGEST_COUNT),
    **dict.fromkeys(("pad_to", "resize"), 4096),  # pixels a side
    "split_seed": LARGEST_SEED,
    "value_range": 1e300,
}


class ReadOptions(NamedTuple):
    """How to read the user's own files.

    Args:      levels: number of values of a stored pixel; None: inferred from the values. value_range: (low, high) of
               the stored values; low becomes level 0 and high the last level; None: the range of the array's type.
               array: name of the array that holds the images or points. grey: convert colour images to one channel.
               crop: cut out the central square. resize: height and width in pixels, after the crop. background: colour
               behind transparent pixels. infer: False reads levels as earlier versions did (bytes have 256). missing:
               treat NaN, transparent pixels and masks of the file as missing; by default NaN is an error and
               transparent pixels are shown on the background. columns: names of a table's dimensions, if a model knows
               them; a column with one of these names is never used as the class. weights: name of the array or column
               with the weights of the rows; None: an array `weights`. conditions: names of the arrays or columns
               with the vector of each row that the model is conditioned on; empty: none.
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
    weights: str | None = None
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """How to read your own file or folder."""

    levels: int | None = None
    """number N of values of a stored pixel, 0 to N-1 (default: inferred from the data)"""
    value_range: tuple[float, float] | None = None
    """lowest and highest possible stored value; needed for floats outside [0, 1], for example --value-range -1 1"""
    array: str | None = None
    """name of the array in the file that holds the images or points (default: found by common names)"""
    grey: bool = False
    """convert colour images to one grey channel"""
    crop: bool = False
    """cut out the central square of each image"""
    resize: int | None = None
    """scale each image to this height and width, in pixels"""
    background: str | None = None
    """colour behind transparent pixels: a colour name or #rrggbb (default: white)"""
    missing: bool = False
    """leave out missing values: NaN, empty cells of a table, transparent pixels, and pixels outside the array `seen` or
    under the array `mask` of the file"""

    @property
    def read_options(self) -> ReadOptions:
        """These settings as the options of the readers."""
        return ReadOptions(
            self.levels,
            self.value_range,
            self.array,
            self.grey,
            self.crop,
            self.resize,
            self.background or ReadOptions().background,
            missing=self.missing,
        )


@dataclass(frozen=True)
class DataSettings(FileSettings):
    """Source, split and kind of pixels of the data."""

    data: str = "digits"
    """images: digits, mnist, fashion, kmnist, synthetic-circuit or synthetic-pixelcnn (sampled from a known
    distribution), an array file (.npz, .npy, .mat, .pt), a .csv table, or a folder of images; points of the plane:
    two-gaussians, moons, rings, pinwheel, spirals, checkerboard"""
    pixels: PixelSpaceName | None = None
    """binary: 0 or 1, sampled again in each epoch with probability = grey value; static: the same, but sampled once;
    threshold: 1 if the grey value is above 1/2; levels: whole numbers 0 to N-1; unit: real numbers in [0, 1]
    (default: depends on the family and the data)"""
    protocol: Literal["uva2018", "uva2020", "tue2024", "csds600"] | None = None
    """how a coursework splits the MNIST training images (default: the usual split)"""
    train_size: int | None = None
    """use only the first N training images (default: all)"""
    valid_size: int | None = None
    """number of training images that are held out for validation (default: those of the source; without
    them, a tenth to a sixth of the images)"""
    split_seed: int | None = None
    """random seed of a shuffle before the data are split (default: no shuffle)"""
    pad_to: int | None = None
    """pad each image with black to this height and width, in pixels"""
    weights: str | None = None
    """name of the column of a table, or of the array of a file, with the weight of each row in training (default: an
    array `weights`, if there is one)"""
    conditions: tuple[str, ...] = ()
    """learn p(x | c) for a vector c of real numbers: names of the arrays of a file (train_NAME and test_NAME for its
    parts), or of the columns of a table, with the numbers of each row"""

    @property
    def read_options(self) -> ReadOptions:
        return super().read_options._replace(weights=self.weights, conditions=self.conditions)

    def __post_init__(self) -> None:
        check_fields(self, LARGEST)
        check_numbers(self, "train_size pad_to resize", 1)
        check_numbers(self, "valid_size split_seed", 0)
        check_numbers(self, "levels", 2)
        if len(set(self.conditions)) < len(self.conditions):
            raise InputError(f"--conditions {shown(self.conditions)}: name each array or column once")
        self._check_named_set()
        if self.value_range is not None:
            self._check_range(self.value_range)
        if self.levels is not None and self.levels > MAX_LEVELS:
            raise InputError(f"--levels {self.levels}: give a whole number from 2 to {MAX_LEVELS}")

    def _check_named_set(self) -> None:
        """Raises:    InputError: a named set is combined with a setting that applies to files only."""
        if self.data in POINT_SETS and (self.pixels, self.protocol, self.pad_to) != (None, None, None):
            raise InputError(f"--data {self.data} has points, not images: remove --pixels, --protocol and --pad-to")
        if self.data in (*IMAGE_SETS, *POINT_SETS) and self.read_options != ReadOptions():
            names = ", ".join(flag(name) for name in ReadOptions._fields if getattr(self, name, None))
            raise InputError(f"--data {self.data} is a named set, which needs no reading options: remove {names}")

    def _check_range(self, bounds: tuple[float, float]) -> None:
        """Raises:    InputError: the bounds are not two finite numbers in order."""
        numbers = [value for value in bounds if isinstance(value, int | float) and math.isfinite(value)]
        if len(bounds) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
            raise InputError(f"--value-range {shown(bounds)}: give two finite numbers, the lower one first")


@dataclass(frozen=True)
class OtherData(FileSettings):
    """Other data than those of the run. They are read with the run's options unless these flags change them."""

    data: str | None = None
    """use this named set, file or folder instead of the run's data"""

    def __post_init__(self) -> None:
        if self.data is None:
            given = [field.name for field in fields(self) if getattr(self, field.name)]
            if given:
                raise InputError(f"{', '.join(map(flag, given))}: only used with --data: add --data PATH")
            return
        # the same checks as for the data of a training
        DataSettings(**{field.name: getattr(self, field.name) for field in fields(self)})


def is_named(source: str) -> bool:
    """Whether a source is a name (a named set, a density, or data in memory) and not a path."""
    return source in (*IMAGE_SETS, *POINT_SETS) or source.startswith(MEMORY)


def check_source(source: str) -> None:
    """Check that a source of images is a named set or an existing file or folder. Nothing is read.

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
