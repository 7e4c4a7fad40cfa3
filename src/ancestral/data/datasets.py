"""Loading named sets, files and folders as tensors of stored values, split into training, validation and test."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ancestral.core.errors import refusal
from ancestral.data.division import Division, divide
from ancestral.data.imported import Imported, Part
from ancestral.data.notes import class_notes, column_notes, missing_notes, repetitions
from ancestral.data.readers import check_size
from ancestral.data.sharded import ShardedImages, as_tensor
from ancestral.data.sources import (
    DatasetStatus,
    dataset_names,
    dataset_status,
    digest,
    fetch_dataset,
    missing_places,
    read_named,
    verify_dataset,
)
from ancestral.data.splits import Dataset, Split
from ancestral.data.storage import COPIED, compact
from ancestral.settings.data import ARRAY_FILES, IMAGE_FILES, MEMORY, ReadOptions, check_source

__all__ = [
    "PROTOCOLS",
    "READING",
    "Dataset",
    "DatasetStatus",
    "Split",
    "dataset_names",
    "dataset_status",
    "fetch_dataset",
    "load_dataset",
    "padded",
    "padded_seen",
    "read_source",
    "verify_dataset",
    "why_missing",
]

# (training, validation) images of the 60,000 for each coursework; the test set is the official one.
PROTOCOLS: dict[str, tuple[int, int]] = {
    "uva2018": (60_000, 0),
    "uva2020": (45_000, 5_000),
    "tue2024": (50_000, 10_000),
    "csds600": (60_000, 0),
}
READING = 2
"""Version of reading, splitting and sampling of pixels. `settings.json` records it, so older runs keep their version.

1: bytes always have 256 levels, the user's files are split without stratification, and the binary pixels of all splits
have the same random seed. 2: levels are inferred, splits are stratified by class, and each split has its own seed.
"""
INT16_LEVELS = 2**15
LONG_READING = 2**30  # bytes; reading more may take long, so it is said
log = logging.getLogger("ancestral")


def load_dataset(
    source: str,
    *,
    protocol: str | None = None,
    train_size: int | None = None,
    valid_size: int | None = None,
    split_seed: int | None = None,
    pad_to: int | None = None,
    options: ReadOptions = ReadOptions(),  # noqa: B008  (immutable)
    version: int = READING,
    fetch: bool = True,
    notes: bool = True,
) -> Dataset:
    """Load images or points by name, from a file or from a folder, split into training, validation and test.

    A source has a training pool and a test set. The first images of the pool are `train`, the next `valid`. Default
    sizes: digits has 1000 training, 350 validation and 447 test images. MNIST and similar sets use the last 10,000 of
    60,000 images for validation. For the user's own source with a test set, a random sixth of the pool is for
    validation. A source without a test set is split 80/10/10 at random. Random splits are stratified by class.

    Args:
        source: a name of `dataset_names()`, a file of arrays, a table, or a folder of images.
        protocol: how a coursework splits MNIST and similar sets, a key of `PROTOCOLS`; excludes the next three.
        train_size: number of training images; default as above, or all that `valid_size` leaves.
        valid_size: number of validation images; default as above, or what `train_size` leaves if that is less.
        split_seed: random seed to shuffle the training pool before it is split.
        pad_to: pad with zeros on all sides to this height and width.
        options: how to read the user's own file.
        version: of reading, see `READING`.
        fetch: download a missing named set; if False, a missing set is an error.
        notes: add notices about unusual properties of the user's data (copies, missing classes, discrete columns).

    Returns: the dataset, in memory.
    Raises: InputError for an unknown source, a damaged file, or a split or padding that does not fit.
    Example:
        >>> data = load_dataset("digits", valid_size=100)
        >>> data.event_shape, data.levels, len(data.train), len(data.valid), len(data.test)
        ((1, 8, 8), 17, 1250, 100, 447)
    """
    _check_protocol(protocol, train_size, valid_size, split_seed)
    name, found = read_source(source, options._replace(infer=version > 1), fetch)
    own = source not in dataset_names()
    if (stored := sum(part.images.nbytes for part in found.parts.values())) > LONG_READING:
        log.info("computing the SHA-256 of %s bytes, in blocks", f"{stored:,}")
    sha256 = digest(found.parts) if found.repeatable else None
    divided = divide(name, found, split_seed, in_order=not own or protocol is not None, by_class=own and version > 1)
    if protocol is not None:
        train_size, valid_size = _protocol_sizes(name, protocol, len(divided.pool), _test_size(divided))
    first, second = _sizes(name, len(divided.order), train_size, valid_size, divided.valid_size)
    rows = (divided.order[:first], divided.order[first : first + second], divided.test_rows)
    pools = (divided.pool, divided.pool, divided.test)
    train, valid, test = (
        _as_split(name, pool, chosen, found.levels, pad_to) for pool, chosen in zip(pools, rows, strict=True)
    )
    said = [*found.assumptions, *([in_words_of(source, divided.words)] if own and divided.words else [])]
    if own and notes:
        said += repetitions(divided, len(train), len(valid), found.kind)
        said += class_notes(found.classes, train, valid, test, found.kind)
        said += column_notes(name, train, found.columns) if found.kind == "points" else []
        said += missing_notes(train, found.kind)
    return Dataset(
        name,
        found.levels,
        train,
        valid,
        test,
        sha256,
        found.value_range,
        found.classes,
        found.columns,
        tuple(said),
        own,
        found.conditions,
    )


def in_words_of(source: str, text: str) -> str:
    """A sentence with command-line flags; for data in memory, the flags are replaced by keywords."""
    if not source.startswith(MEMORY):
        return text
    from ancestral.data.memory import in_python

    return in_python(text)


def read_source(source: str, options: ReadOptions, fetch: bool = True) -> tuple[str, Imported]:
    """The name of a source and its content, before it is split.

    Raises:    InputError: the source is unknown, missing or damaged.
    """
    check_source(source)
    if source.startswith(MEMORY):
        from ancestral.data.memory import read_memory

        return read_memory(source, options)
    if source in dataset_names():
        parts, levels = read_named(source, fetch)
        return source, Imported(parts, levels, (0.0, levels - 1.0))
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        from ancestral.data.shards import has_shards, read_shards

        if has_shards(path):
            return path.resolve().name, read_shards(path, options)
        from ancestral.data.folders import read_folder

        return path.resolve().name, read_folder(path, options)
    if path.suffix.lower() in IMAGE_FILES:
        from ancestral.data.folders import read_file

        return path.stem, read_file(path, options)
    if path.suffix.lower() in ARRAY_FILES:
        from ancestral.data.arrays import read_arrays

        return path.stem, read_arrays(path, options)
    from ancestral.data.tables import read_table

    return path.stem, read_table(path, options)


def why_missing(source: str) -> str:
    """Why a named set or data in memory cannot be read, and what to do; empty if they can be read.

    Nothing is read or downloaded. The text follows "the data are not".
    """
    if source.startswith(MEMORY):
        from ancestral.data.memory import is_held

        return "" if is_held(source) else f"at hand, they were in memory ({source}): give data=..., or --data PATH"
    looked = missing_places(source) if source in dataset_names() else ""
    return looked and f"at {looked}: give --data PATH, or fetch them by ancestral data {source} --fetch"


def _test_size(divided: Division) -> int:
    return len(divided.test if divided.test_rows is None else divided.test_rows)


def _check_protocol(protocol: str | None, *choices: int | None) -> None:
    if protocol is None:
        return
    if protocol not in PROTOCOLS:
        raise refusal(f"protocol {protocol!r}", "unknown", f"choose one of {', '.join(PROTOCOLS)}")
    if any(choice is not None for choice in choices):
        raise refusal(f"protocol {protocol!r}", "fixes the split", "remove train_size, valid_size and split_seed")


def _protocol_sizes(name: str, protocol: str, pool: int, test: int) -> tuple[int, int]:
    if (pool, test) != (60_000, 10_000):
        raise refusal(
            f"protocol {protocol!r}",
            f"needs 60,000 + 10,000 images, but {name} has {pool:,} + {test:,}",
            "give train_size and valid_size",
        )
    return PROTOCOLS[protocol]


def _sizes(name: str, pool: int, train: int | None, valid: int | None, default_valid: int) -> tuple[int, int]:
    if train is None:
        valid = default_valid if valid is None else valid
        train = pool - valid
    elif valid is None:
        valid = max(0, min(default_valid, pool - train))
    if valid < 0 or train < 1 or train + valid > pool:
        raise refusal(
            name,
            f"{train:,} training and {valid:,} validation images do not fit into {pool:,} images",
            "give a smaller train_size (at least 1) or valid_size (at least 0)",
        )
    return train, valid


def _as_split(name: str, part: Part, rows: np.ndarray | None, levels: int, pad_to: int | None) -> Split:
    places: Any = slice(None) if rows is None else rows
    whole = part.images
    if isinstance(whole, ShardedImages):
        return _sharded_split(name, whole, part, rows, pad_to)
    if whole.dtype == np.uint16 and levels <= INT16_LEVELS:
        whole = whole.view(np.int16)  # torch supports few operations with uint16
    in_place = rows is not None and whole.nbytes > COPIED and pad_to is None and whole.dtype != np.uint16
    stored = whole if in_place else whole[places]
    images = as_tensor(compact(stored.astype(np.int32) if stored.dtype == np.uint16 else stored))
    if pad_to is not None:
        images = _padded_checked(name, images, pad_to)
    labels = None if part.labels is None else torch.from_numpy(np.ascontiguousarray(part.labels[places]))
    names = part.names
    if names is not None and rows is not None:
        names = tuple(names[row] for row in rows)
    chosen = torch.from_numpy(rows) if in_place and rows is not None else None
    seen, weights, vectors = (
        None if of is None else torch.from_numpy(np.ascontiguousarray(of[places]))
        for of in (part.seen, part.weights, part.conditions)
    )
    if seen is not None:
        seen = None if bool(seen.all()) else seen if pad_to is None else padded_seen(seen, pad_to)
    return Split(images, labels, names, rows, seen, chosen, weights, vectors)


def _sharded_split(name: str, images: ShardedImages, part: Part, rows: np.ndarray | None, pad_to: int | None) -> Split:
    """The images at some rows, which stay in their files."""
    if pad_to is not None:
        raise refusal(name, "images in shards cannot be padded when they are read", "store padded images")
    chosen = np.arange(len(images)) if rows is None else rows
    labels = None if part.labels is None else torch.from_numpy(part.labels[chosen])
    return Split(images, labels, rows=rows, chosen=torch.from_numpy(chosen))


def _padded_checked(name: str, images: torch.Tensor, pad_to: int) -> torch.Tensor:
    if images.ndim != 4:
        raise refusal(name, "points have no height and width", "remove pad_to")
    count, channels, height, width = images.shape
    if pad_to < max(height, width):
        raise refusal(name, f"images of {height}x{width} do not fit in {pad_to}", "choose a larger pad_to")
    check_size(name, count * channels * pad_to**2 * images.element_size())
    return padded(images, pad_to)


def padded_seen(seen: torch.Tensor, side: int) -> torch.Tensor:
    """Masks of observed pixels for padded images: the padding is observed, because it is black."""
    return ~padded((~seen).to(torch.uint8), side).bool()


def padded(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images, shape (..., H, W), padded with zeros on all sides to height and width `side`."""
    height, width = images.shape[-2:]
    top, left = (side - height) // 2, (side - width) // 2
    return torch.nn.functional.pad(images, (left, side - width - left, top, side - height - top))
