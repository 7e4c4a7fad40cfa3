"""Reading a folder of shards: .npy files with the images of one data set, numbered from 0 or 1."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ancestral.core.errors import refusal
from ancestral.data.arrays import import_members
from ancestral.data.folder_layout import SPLITS, listed, printable
from ancestral.data.imported import Imported
from ancestral.data.layouts import channels_first
from ancestral.data.names import Member
from ancestral.data.numpy_files import Header, holds_image_bytes, load_npy, npy_header
from ancestral.data.readers import PART_NAMES, check_size, parsing
from ancestral.data.sharded import ShardedImages
from ancestral.data.storage import COPIED, joined
from ancestral.settings.data import IMAGE_FILES, ReadOptions

ENDING, LABELS = ".npy", "labels"
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)")


@dataclass(frozen=True)
class _Shards:
    """The shards of one folder: images in the order of their numbers, and files of labels, one or one for each."""

    files: list[Path]
    labels: list[Path]
    others: list[str]


def has_shards(folder: Path) -> bool:
    """Whether a folder, or its sub-folders that are splits, have .npy files and no image files."""
    return bool(_folders(folder))


def read_shards(folder: Path, options: ReadOptions = ReadOptions()) -> Imported:  # noqa: B008  (immutable)
    """Read a folder of shards as one data set.

    `shard-0.npy`, `shard-1.npy`, ... have the images in any layout of a .npy file, all with the same shape and type.
    The labels are in `labels.npy`, one for each image, or in `shard-0.labels.npy`, ... First-level folders `train`,
    `valid` and `test` with shards are splits. Bytes stay in their files (memory-mapped) if they are more than `COPIED`;
    other types are read into memory.

    Raises: InputError for a missing number, a shard of another shape or type, a damaged file, or wrong labels.
    """
    said: list[str] = []
    members: list[Member] = []
    for part, inner in _folders(folder).items():
        found = _shards_in(inner)
        if found.others:
            said.append(f"files in {printable(inner.name)} that are not shards: ignored ({listed(found.others)})")
        members += _members(inner, part, found, options, said)
    return import_members(folder, members, options, said)


def _folders(folder: Path) -> dict[str, Path]:
    """The folders with shards, by part; empty if there are none, or if there are images."""
    if _has_arrays(folder):
        return {"images": folder}
    splits = {
        SPLITS[entry.name.lower()]: entry
        for entry in sorted(folder.iterdir())
        if entry.name.lower() in SPLITS and entry.is_dir() and _has_arrays(entry)
    }
    if splits and "train" not in splits:
        raise refusal(folder, f"a folder {' and '.join(splits)} but no folder train", "add train")
    return {part: splits[part] for part in PART_NAMES if part in splits}


def _has_arrays(folder: Path) -> bool:
    """Whether a folder has .npy files and no image files."""
    arrays = False
    with parsing(folder, "folder"), os.scandir(folder) as entries:
        for entry in entries:
            ending = os.path.splitext(entry.name)[1].lower()
            if ending in IMAGE_FILES:
                return False
            arrays = arrays or (ending == ENDING and not entry.name.startswith("."))
    return arrays


def _shards_in(folder: Path) -> _Shards:
    """The shards of a folder, in the order of their numbers.

    Raises:    InputError: names without a number or with several stems, or a number that is missing or occurs twice.
    """
    numbered: dict[int, Path] = {}
    stems: dict[str, Path] = {}
    labels: list[Path] = []
    others: list[str] = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith("."):
            continue
        if file.suffix.lower() != ENDING or not file.is_file():
            others.append(file.name)
            continue
        if file.stem == LABELS or file.stem.endswith(f".{LABELS}"):
            labels.append(file)
            continue
        name = _NUMBERED.fullmatch(file.stem)
        if name is None:
            raise refusal(file, "its name has no number", "name the shards shard-00000.npy, shard-00001.npy, ...")
        stems.setdefault(name["stem"], file)
        number = int(name["number"])
        if number in numbered:
            raise refusal(file, f"has the same number as {numbered[number].name}", "give each shard its own number")
        numbered[number] = file
    if not numbered:
        raise refusal(folder, "has labels but no shards", "add shard-00000.npy, ...")
    if len(stems) > 1:
        names = listed(sorted(file.name for file in stems.values()))
        raise refusal(folder, f"two series of shards ({names})", "keep one in each folder")
    first = min(min(numbered), 1)
    missing = [number for number in range(first, max(numbered)) if number not in numbered]
    if missing:
        raise refusal(
            folder,
            f"shard number {missing[0]} is missing; the numbers go up to {max(numbered)}",
            "copy the missing file, or number the shards from 0 without gaps",
        )
    return _Shards([numbered[number] for number in sorted(numbered)], labels, others)


def _members(folder: Path, part: str, found: _Shards, options: ReadOptions, said: list[str]) -> list[Member]:
    """The images and labels of one folder as arrays of a file."""
    headers = _headers(found.files)
    shape = (sum(header.shape[0] for header in headers), *headers[0].shape[1:])
    total = sum(header.nbytes for header in headers)
    name = {"images": LABELS}.get(part, f"{part}_labels")
    labels = _labels(folder, found, [header.shape[0] for header in headers])
    beside = [] if labels is None else [Member(name, labels.shape, labels.nbytes, lambda: labels)]
    if total <= COPIED or not holds_image_bytes(headers[0]):
        check_size(folder, total)
        return [Member(part, shape, total, functools.partial(_read, found.files)), *beside]
    if changed := [f"--{name}" for name in ("grey", "crop", "resize", "missing") if getattr(options, name)]:
        raise refusal(
            folder, f"{changed[0]} changes {total:,} bytes of shards, which stay on disk", "store changed images"
        )
    said.append(f"{len(headers):,} shards of {total:,} bytes stay in their files (memory-mapped)")
    load = functools.partial(_map, found.files, headers, said)
    return [Member(part, shape, 0, load), *beside]


def _headers(files: Sequence[Path]) -> list[Header]:
    """Shape and type of every shard.

    Raises:    InputError: a damaged file, or images of another shape or type than in the first shard.
    """
    headers = [npy_header(file) for file in files]
    first = headers[0]
    for file, header in zip(files, headers, strict=True):
        if len(header.shape) < 3:
            raise refusal(file, f"shape {header.shape} is not a set of images", "store (n, H, W), (n, C, H, W) or ...")
        same = header.shape[1:] == first.shape[1:] and header.dtype == first.dtype and header.fortran == first.fortran
        if not same or not header.shape[0]:
            sizes = [f"{one.shape[0]:,} images {one.shape[1:]} of type {one.dtype}" for one in (header, first)]
            raise refusal(file, f"{sizes[0]}, but {files[0].name} has {sizes[1]}", "store all shards in one form")
    return headers


def _labels(folder: Path, found: _Shards, counts: Sequence[int]) -> np.ndarray | None:
    """The labels of all images, from one file or one for each shard; None if there are none."""
    if not found.labels:
        return None
    own = [file.with_name(f"{file.stem}.{LABELS}{ENDING}") for file in found.files]
    if len(found.labels) == 1 and found.labels[0].stem == LABELS:
        own, counts = found.labels, [sum(counts)]
    elif found.labels != sorted(own):
        wrong = sorted({*own} ^ {*found.labels})[0]
        problem = "missing" if wrong in own else "not the labels of one shard"
        raise refusal(wrong, problem, f"give one {LABELS}{ENDING}, or labels for each shard")
    arrays = [load_npy(file) for file in own]
    for file, array, count in zip(own, arrays, counts, strict=True):
        if array.shape[:1] != (count,):
            raise refusal(file, f"shape {array.shape} for {count:,} images", "give one label for each image")
    return np.concatenate(arrays)


def _read(files: Sequence[Path]) -> np.ndarray:
    """The arrays of all files, in memory."""
    return joined([load_npy(file) for file in files])


def _map(files: Sequence[Path], headers: Sequence[Header], said: list[str]) -> ShardedImages:
    """The images of all shards, memory-mapped."""
    pieces: list[np.ndarray] = []
    for file, header in zip(files, headers, strict=True):
        with parsing(file, ".npy file"):
            # a mapping by numpy would keep a file open for each shard, and processes may open only about a thousand
            stored = torch.from_file(str(file), False, header.offset + header.nbytes, dtype=torch.uint8)
        images, assumed = channels_first(file, stored[header.offset :].view(header.shape).numpy())
        said += [line for line in assumed if line not in said]
        pieces.append(images)
    return ShardedImages(pieces)
