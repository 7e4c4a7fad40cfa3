"""Named sets of images, files and folders -> uint8 tensors in a training, a validation and a test split."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ancestral.core.errors import refusal
from ancestral.core.random import lasting_permutation
from ancestral.data.arrays import read_arrays
from ancestral.data.readers import PART_NAMES, Part, check_size, read_folder
from ancestral.data.sources import (
    DatasetStatus,
    dataset_names,
    dataset_status,
    digest,
    fetch_dataset,
    read_named,
    verify_dataset,
)
from ancestral.settings.data import check_source

__all__ = [
    "PROTOCOLS",
    "DatasetStatus",
    "ImageDataset",
    "Split",
    "dataset_names",
    "dataset_status",
    "fetch_dataset",
    "load_dataset",
    "verify_dataset",
]

# (training, validation) images of the 60,000 by coursework; the test set is the official one.
PROTOCOLS: dict[str, tuple[int, int]] = {
    "uva2018": (60_000, 0),
    "uva2020": (45_000, 5_000),
    "tue2024": (50_000, 10_000),
    "csds600": (60_000, 0),
}


@dataclass(frozen=True, eq=False)
class Split:
    """Images for one purpose.

    Args:
        images: uint8, shape (N, C, H, W).
        labels: int64, shape (N,), or None.
    """

    images: torch.Tensor
    labels: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images of one source, divided for training, validation and test.

    Args:
        name: the named set, or the stem of the file.
        levels: how many values a pixel may have: it is one of 0..levels-1.
        train, valid, test: the splits; `valid` may be empty.
        sha256: of all images and labels as read, before dividing and padding, in hex.
    """

    name: str
    levels: int
    train: Split
    valid: Split
    test: Split
    sha256: str

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def split(self, name: str) -> Split:
        """The split of that name, "train", "valid" or "test"; InputError for another name."""
        if name not in PART_NAMES:
            raise refusal(f"split {name!r}", "unknown", f"choose one of {', '.join(PART_NAMES)}")
        return getattr(self, name)


def load_dataset(
    source: str,
    *,
    protocol: str | None = None,
    train_size: int | None = None,
    valid_size: int | None = None,
    split_seed: int | None = None,
    pad_to: int | None = None,
) -> ImageDataset:
    """Load images by name, from a .npz or .npy file, or from a folder, divided in three.

    A source comes as a training pool and a test set. The pool's first images are `train`, the next `valid`.
    By default digits has 1000 and 350 (test 447); a source with its own test set but no `valid` gives the
    last sixth of its pool, of MNIST's 60,000 the last 10,000; a source without a test set is shuffled, by
    `split_seed` or else 0, and divided 80/10/10.

    Args:
        source: a name of `dataset_names()`, a .npz or .npy file, or a folder of images.
        protocol: a coursework's division of MNIST and its kin, a key of `PROTOCOLS`, instead of the next three.
        train_size: images for training; default as above, or what `valid_size` leaves.
        valid_size: images for validation; default as above, or what `train_size` leaves if that is less.
        split_seed: shuffles the training pool before it is divided.
        pad_to: height and width to reach with zeros on all sides.

    Returns: the dataset, uint8 in memory.
    Raises: InputError for an unknown source, a damaged file, a division or padding that does not fit.
    Example:
        >>> data = load_dataset("digits", valid_size=100)
        >>> data.event_shape, data.levels, len(data.train), len(data.valid), len(data.test)
        ((1, 8, 8), 17, 1250, 100, 447)
    """
    _check_protocol(protocol, train_size, valid_size, split_seed)
    name, parts, levels = _read_source(source)
    sha256 = digest(parts)
    pool, test, default_valid = _pool_and_test(name, parts, split_seed)
    if protocol is not None:
        train_size, valid_size = _protocol_sizes(name, protocol, len(pool), len(test))
    first, second = _sizes(name, len(pool), train_size, valid_size, default_valid)
    return ImageDataset(
        name=name,
        levels=levels,
        train=_as_split(name, _taken(pool, slice(first)), pad_to),
        valid=_as_split(name, _taken(pool, slice(first, first + second)), pad_to),
        test=_as_split(name, test, pad_to),
        sha256=sha256,
    )


def _check_protocol(protocol: str | None, *choices: int | None) -> None:
    if protocol is None:
        return
    if protocol not in PROTOCOLS:
        raise refusal(f"protocol {protocol!r}", "unknown", f"choose one of {', '.join(PROTOCOLS)}")
    if any(choice is not None for choice in choices):
        raise refusal(f"protocol {protocol!r}", "fixes the division", "leave out train_size, valid_size and split_seed")


def _protocol_sizes(name: str, protocol: str, pool: int, test: int) -> tuple[int, int]:
    if (pool, test) != (60_000, 10_000):
        raise refusal(
            f"protocol {protocol!r}",
            f"divides 60,000 + 10,000 images, {name} has {pool:,} + {test:,}",
            "give train_size and valid_size",
        )
    return PROTOCOLS[protocol]


def _read_source(source: str) -> tuple[str, dict[str, Part], int]:
    check_source(source)
    if source in dataset_names():
        return source, *read_named(source)
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        return path.resolve().name, {"all": read_folder(path)}, 256
    parts, levels = read_arrays(path)
    return path.stem, parts, levels


def _permutation(count: int, seed: int) -> np.ndarray:
    if seed < 0:
        raise refusal(f"split_seed {seed}", "negative", "give 0 or more")
    return lasting_permutation(count, seed)


def _taken(part: Part, rows: slice | np.ndarray) -> Part:
    return Part(part.images[rows], None if part.labels is None else part.labels[rows])


def _joined(first: Part, second: Part | None) -> Part:
    if second is None:
        return first
    labels = None
    if first.labels is not None and second.labels is not None:
        labels = np.concatenate((first.labels, second.labels))
    return Part(np.concatenate((first.images, second.images)), labels)


def _pool_and_test(name: str, parts: dict[str, Part], seed: int | None) -> tuple[Part, Part, int]:
    """The training pool in its final order, the test set, and the default size of `valid`."""
    if "all" not in parts:
        pool = _joined(parts["train"], parts.get("valid"))
        default_valid = len(parts["valid"]) if "valid" in parts else len(pool) // 6
        order = slice(None) if seed is None else _permutation(len(pool), seed)
        return _taken(pool, order), parts["test"], default_valid
    whole = parts["all"]
    if len(whole) < 3:
        raise refusal(name, f"{len(whole)} images cannot be divided in three", "give at least 3, better thousands")
    order = _permutation(len(whole), 0 if seed is None else seed)
    tenth = max(1, len(whole) // 10)
    return _taken(whole, order[:-tenth]), _taken(whole, order[-tenth:]), tenth


def _sizes(name: str, pool: int, train: int | None, valid: int | None, default_valid: int) -> tuple[int, int]:
    if train is None:
        valid = default_valid if valid is None else valid
        train = pool - valid
    elif valid is None:
        valid = max(0, min(default_valid, pool - train))
    if valid < 0 or train < 1 or train + valid > pool:
        raise refusal(
            name,
            f"cannot give {train:,} training and {valid:,} validation images out of {pool:,}",
            "choose a train_size of at least 1 and a valid_size of at least 0 that fit",
        )
    return train, valid


def _as_split(name: str, part: Part, pad_to: int | None) -> Split:
    images = torch.from_numpy(np.ascontiguousarray(part.images))
    if pad_to is not None:
        count, channels, height, width = images.shape
        if pad_to < max(height, width):
            raise refusal(name, f"images of {height}x{width} do not fit in {pad_to}", "choose a larger pad_to")
        check_size(name, count * channels * pad_to**2)
        top, left = (pad_to - height) // 2, (pad_to - width) // 2
        images = torch.nn.functional.pad(images, (left, pad_to - width - left, top, pad_to - height - top))
    return Split(images, None if part.labels is None else torch.from_numpy(part.labels))
