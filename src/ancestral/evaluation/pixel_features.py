"""Features for data without labels: principal components of the pixels.

The components are fitted to the training images only. All are divided by the same number, so that their mean variance
over the training images is 1. So values do not depend on the size of the images, and distances between features are
proportional to distances between pixels. The components are not whitened: after whitening, the 64th component, which is
often noise of a few pixels, would count as much as the first, and rare pixels would be outliers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ancestral.core.dividing import in_blocks
from ancestral.core.errors import InputError
from ancestral.core.random import lasting_permutation
from ancestral.data.splits import Split
from ancestral.evaluation.recogniser import Recogniser, check_images

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

COMPONENTS = 64  # the number of features of the MNIST classifier
RECIPE = 1  # version of the features: increase it with any change below
LARGEST_SIDE = 2048  # largest size of the matrix whose eigenvectors are computed
MOST_FITTED = 65_536  # images; up to this number, sums of products of 16-bit pixels are exact in float64
NEGLIGIBLE = 1e-9  # relative to the largest variance; smaller components are rounding errors
BLOCK = 1024  # images or pixels per matrix product


class Projection(NamedTuple):
    """Features of images without classes: shape (N, F), float64."""

    features: Tensor
    logits: None = None


@dataclass(frozen=True, eq=False)
class FeaturesOnly:
    """The features of a classifier, for images with other classes than those it was trained on.

    Args:      recogniser: a classifier of other images of the same shape.
    """

    recogniser: Recogniser

    @property
    def name(self) -> str:
        return f"features of the {self.recogniser.name}, which was trained on other images"

    @property
    def sha256(self) -> str:
        return self.recogniser.sha256

    @property
    def in_shape(self) -> tuple[int, ...]:
        return self.recogniser.in_shape

    @property
    def num_features(self) -> int:
        return self.recogniser.num_features

    @property
    def accuracy(self) -> dict[str, float]:
        return {}  # unknown for these images

    def __call__(self, images: Tensor) -> Projection:
        return Projection(self.recogniser(images).features)


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """Projection of grey values on the first principal components of training images.

    Args:      name: description of the features. sha256: hash of the fitted sums, in hexadecimal. in_shape: (C, H, W).
               mean: of the training images, shape (D,) with D = C H W. components: shape (D, F), orthogonal, divided
               by the root mean square of the F standard deviations.
    """

    name: str
    sha256: str
    in_shape: tuple[int, ...]
    mean: Tensor
    components: Tensor
    accuracy: dict[str, float] = field(default_factory=dict)  # a projection is not a classifier

    @property
    def num_features(self) -> int:
        return self.components.shape[1]

    def __call__(self, images: Tensor) -> Projection:
        """Features of images, shape (N, F), float64. The features of an image do not depend on other images.

        Args:      images: grey values in [0, 1], shape (N, C, H, W).
        Raises:    InputError: another shape, no images, NaN, or values outside [0, 1].
        """
        check_images(images, self.in_shape, self.name)
        flat = images.flatten(1)
        found = in_blocks(len(flat), BLOCK, lambda _, rows: (flat[rows].double() - self.mean) @ self.components)
        return Projection(found)


def fit_pixels(training: Split, levels: int, name: str) -> PixelFeatures:
    """The principal components of the grey values of training images.

    The sums of whole numbers are exact, so `sha256` does not depend on the machine or the number of threads.

    Args:      training: images with values 0..levels-1. At most 65,536 images are used, or 2048 if an image has more
               than 2048 pixels; the same images in each call. levels: number of values of a stored pixel. name: of the
               data.
    Returns:   up to 64 components; fewer if there are fewer pixels or images.
    Raises:    InputError: fewer than two training images, or all are equal.
    Reference: Turk and Pentland, 1991, Eigenfaces for recognition, section 2, also for few images of many pixels.
    """
    shape = training.event_shape
    many_pixels = math.prod(shape) > LARGEST_SIDE
    count = min(len(training), LARGEST_SIDE if many_pixels else MOST_FITTED)
    if count < 2:
        raise InputError(f"{name} has {count} training images: principal components need at least 2")
    blocks = (training.at(rows).flatten(1) for rows in _places(training, count).split(BLOCK))
    total = hashlib.sha256(f"{RECIPE} {COMPONENTS} {levels} {shape} {count}".encode())
    mean, variances, vectors = (_of_images if many_pixels else _of_pixels)(blocks, count, total)
    kept = min(COMPONENTS, int((variances > NEGLIGIBLE * variances[0].clamp(min=NEGLIGIBLE)).sum()))
    if not kept:
        raise InputError(f"all training images of {name} are equal: principal components need different images")
    scale = variances[:kept].mean().sqrt() / (levels - 1)
    return PixelFeatures(
        f"{kept} principal components of the pixels of {name}'s training images",
        total.hexdigest(),
        shape,
        mean / (levels - 1),
        vectors[:, :kept] / scale,
    )


def rows_of(split: Split, count: int) -> Tensor:
    """`count` stored images of a split, the same in each call, shape (count, C, H, W)."""
    return split.at(_places(split, count))


def _places(split: Split, count: int) -> Tensor:
    """Rows of the split, shape (count,)."""
    return torch.from_numpy(lasting_permutation(len(split), 0)[:count].copy())


def _of_pixels(blocks: Iterator[Tensor], count: int, total: Hash) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), variances (D,), largest first, and vectors (D, D), from the sums of products of D pixels."""
    summed, products = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for block in blocks:
        x = block.double()
        summed, products = summed + x.sum(0), products + x.T @ x
    for sums in (summed, products):
        total.update(sums.numpy().astype("<f8").data)
    mean = summed / count
    variances, vectors = torch.linalg.eigh((products - count * torch.outer(mean, mean)) / (count - 1))
    return mean, variances.flip(0), vectors.flip(1)


def _of_images(blocks: Iterator[Tensor], count: int, total: Hash) -> tuple[Tensor, Tensor, Tensor]:
    """The same, with the first vectors only, shape (D, up to 64), from the products of N images of D > N pixels."""
    images = torch.cat(list(blocks))
    total.update(images.contiguous().numpy().data)
    columns = images.split(BLOCK, dim=1)
    mean = torch.cat([x.double().mean(0) for x in columns])
    centred = torch.eye(count, dtype=torch.float64) - 1 / count
    products = sum((x.double() @ x.double().T for x in columns), torch.zeros((), dtype=torch.float64))
    squares, rows = torch.linalg.eigh(centred @ products @ centred)
    squares, rows = squares.flip(0), centred @ rows.flip(1)[:, :COMPONENTS]
    lengths = squares[: rows.shape[1]].clamp(min=squares[0] * NEGLIGIBLE + NEGLIGIBLE).sqrt()
    return mean, squares / (count - 1), torch.cat([x.double().T @ rows for x in columns]) / lengths
