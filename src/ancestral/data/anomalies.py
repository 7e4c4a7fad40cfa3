"""Out-of-distribution images: changed held-out images, or other images of the same shape. All are stored levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError, refusal
from ancestral.core.random import seed_for
from ancestral.data.datasets import Split, dataset_names, load_dataset
from ancestral.data.storage import refuse_at_once
from ancestral.settings.data import MEMORY


class Spliced(NamedTuple):
    """Frankenstein images, shape (N, C, H, W), and the rows of the images of their left and right halves."""

    images: Tensor
    left: Tensor
    right: Tensor


def frankenstein(source: Split, seed: int = 0, count: int | None = None) -> Spliced:
    """Frankenstein images: the left half of one image and the right half of an image of another class.

    The halves meet at column W // 2, so for an odd width the right half is wider. Each image is used for a left half
    once before any is used twice. Right halves are sampled uniformly from all images of other classes.

    Args:      source: held-out images with labels. seed: random seed. count: number of images; default: as in `source`.
    Raises:    InputError: no labels, or only one class.
    Reference: `uva2018`.
    Example:
        >>> source = Split(torch.tensor([[1, 1, 1], [2, 2, 2]], dtype=torch.uint8).view(2, 1, 1, 3), torch.arange(2))
        >>> frankenstein(source).images.flatten(1).tolist()
        [[1, 2, 2], [2, 1, 1]]
    """
    if source.labels is None:
        raise InputError("Frankenstein images need labels, but these images have none: choose another --against")
    if bool((source.labels < 0).any()):  # without a label, the class is unknown
        source = source.where(source.labels >= 0)
        assert source.labels is not None
    if len(source.labels.unique()) < 2:
        raise InputError("Frankenstein images need at least two classes, but these have one: choose another --against")
    count = len(source) if count is None else count
    generator = torch.Generator().manual_seed(seed_for(seed, "frankenstein"))
    left = torch.arange(count) % len(source)
    right = left.clone()
    while len(wrong := (source.labels[left] == source.labels[right]).nonzero()[:, 0]):
        right[wrong] = torch.randint(len(source), (len(wrong),), generator=generator)
    images = source.at(left).clone()
    middle = images.shape[-1] // 2
    images[..., middle:] = source.at(right)[..., middle:]
    return Spliced(images, left, right)


def noise(source: Split, levels: int, seed: int = 0) -> Tensor:
    """Noise: every pixel is sampled uniformly from all levels."""
    generator = torch.Generator().manual_seed(seed_for(seed, "noise"))
    images = source.images
    return torch.randint(levels, images.shape, generator=generator).to(images.dtype)


def constant(source: Split, levels: int, seed: int = 0) -> Tensor:
    """Constant images: one level per image, sampled uniformly."""
    generator = torch.Generator().manual_seed(seed_for(seed, "constant"))
    images = source.images
    drawn = torch.randint(levels, (len(source), 1, 1, 1), generator=generator).to(images.dtype)
    return drawn.expand_as(images).clone()


def shuffled(source: Split, levels: int, seed: int = 0) -> Tensor:
    """Images with shuffled pixels, in a different order for each image. The channels of a pixel stay together."""
    generator = torch.Generator().manual_seed(seed_for(seed, "shuffled"))
    images = source.images
    flat = images.flatten(2)
    order = torch.rand(len(flat), 1, flat.shape[2], generator=generator).argsort(2)
    return flat.gather(2, order.expand_as(flat)).view_as(images)


def rotated(source: Split, levels: int, seed: int = 0) -> Tensor:
    """Images rotated by 90 degrees.

    Raises:    InputError: the images are not square, so their shape would change.
    """
    if source.event_shape[-1] != source.event_shape[-2]:
        raise InputError("rotated needs square images, because other images change their shape: choose upside-down")
    return source.images.rot90(1, (2, 3)).contiguous()


def upside_down(source: Split, levels: int, seed: int = 0) -> Tensor:
    """Images rotated by 180 degrees. Some digits (0, 1, 8) look the same."""
    return source.images.rot90(2, (2, 3)).contiguous()


def _spliced(source: Split, levels: int, seed: int = 0) -> Tensor:
    """Frankenstein images, see `frankenstein`."""
    return frankenstein(source, seed).images


# name -> function (held-out images, levels, seed) -> equally many out-of-distribution images
ANOMALIES: dict[str, Callable[[Split, int, int], Tensor]] = {
    "frankenstein": _spliced,
    "noise": noise,
    "shuffled": shuffled,
    "constant": constant,
    "rotated": rotated,
    "upside-down": upside_down,
}


def other_images(source: str, shape: tuple[int, ...], levels: int, pad_to: int | None = None) -> Tensor:
    """Other images of the same shape: the test images of a named data set, or all of a file or folder.

    Args:      source: as in `load_dataset`. shape: required (C, H, W). levels: required number of levels; other ranges
               are scaled to 0..levels-1 and rounded. pad_to: pad with zeros to this height and width.
    Returns:   uint8, shape (N, C, H, W).
    Raises:    InputError: an unknown name, a damaged file, or images of another shape.
    """
    named = source in dataset_names() or source.startswith(MEMORY)
    if not named and not Path(source).expanduser().exists():
        known = ", ".join((*ANOMALIES, *dataset_names()))
        raise refusal(f"--against {source}", "unknown", f"choose {known}, or a .npz/.npy file or a folder of images")
    found = load_dataset(source, pad_to=pad_to, fetch=False)
    parts = [found.test] if source in dataset_names() else [found.train, found.valid, found.test]
    if found.event_shape != tuple(shape):
        sizes = ["x".join(map(str, size)) for size in (found.event_shape, shape)]
        raise refusal(source, f"images of {sizes[0]}", f"this model needs {sizes[1]} (channels x height x width)")
    refuse_at_once("detect", (sum(map(len, parts)), *shape), f"give fewer images in {source}")
    images = torch.cat([part.images for part in parts])
    if found.levels == levels:
        return images
    return (images.double() * ((levels - 1) / (found.levels - 1))).round().to(torch.uint8)


def refuse_training_images(images: Tensor, training: Split, source: str) -> None:
    """Check that no image was in the training data, because training images are not out-of-distribution.

    Args:      images: uint8, shape (N, C, H, W). training: uint8, read in blocks.
    Raises:    InputError: some images are equal to training images, byte for byte.
    """
    rows = [row.tobytes() for row in images.numpy()]
    wanted = set(rows)
    known = {found for block in training.blocks() for row in block.numpy() if (found := row.tobytes()) in wanted}
    again = sum(row in known for row in rows)
    if again:
        raise refusal(source, f"{again} of its {len(images)} images are training images", "give other images")
