"""Untrusted .npy and .npz files -> images: no pickle, and headers are checked before memory is asked for."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from ancestral.data.readers import (
    DEFLATE_RATIO,
    PART_NAMES,
    Part,
    as_labels,
    check_images,
    check_size,
    parsing,
    refusal,
)


def read_arrays(path: Path) -> tuple[dict[str, Part], int]:
    """Read images from a .npy or .npz file of NumPy, without pickle.

    A .npz holds `images` (and `labels`), or `train`, `test` and perhaps `valid` (and `train_labels`, ...),
    or `train` alone, or a single array; a whole number `levels` may say that the bytes are 0..levels-1.
    Arrays are (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels C: channels come last if the last
    dimension is 1 or 3 and the second is not. Types: uint8 (256 levels), bool (2 levels), or floats in
    [0, 1], which are rounded to 256 levels.

    Args:
        path: the file; its suffix says which kind.

    Returns: the parts by name, "train" and "test" (and "valid") or "all", and the number of levels.
    Raises: InputError for anything else, objects, NaN and oversized headers included.
    """
    arrays = _read_npz(path) if path.suffix.lower() == ".npz" else {"images": _read_npy(path)}
    names = [name for name in PART_NAMES if name in arrays]
    declared = arrays.get("levels")
    if not names:
        # _read_npz stores what is not divided as "images", whatever its name.
        images, levels = _as_pixels(path, "images", arrays["images"], declared)
        return {"all": Part(images, as_labels(path, "labels", arrays.get("labels"), len(images)))}, levels
    if "train" not in names or "test" not in names:
        raise refusal(path, f"holds {' and '.join(names)} only", "give train and test, or one array `images`")
    parts: dict[str, Part] = {}
    depths: dict[str, int] = {}
    for name in names:
        images, depths[name] = _as_pixels(path, name, arrays[name], declared)
        labels = as_labels(path, f"{name}_labels", arrays.get(f"{name}_labels"), len(images))
        parts[name] = Part(images, labels)
    _check_parts(path, parts, depths)
    return parts, depths["train"]


def _check_parts(path: Path, parts: dict[str, Part], depths: dict[str, int]) -> None:
    """Refuse parts that are not of one shape and one number of levels, or of which only some have labels."""
    if len({part.images.shape[1:] for part in parts.values()}) > 1:
        shapes = ", ".join(f"{name} {part.images.shape}" for name, part in parts.items())
        raise refusal(path, f"images of different shapes ({shapes})", "make them all the same")
    if len(set(depths.values())) > 1:
        raise refusal(path, "parts of different types (bool beside others)", "store all parts as uint8")
    if len({part.labels is None for part in parts.values()}) > 1:
        raise refusal(path, "labels for some parts only", "give labels for every part or for none")


def _read_npy(path: Path) -> np.ndarray:
    with parsing(path, ".npy file"), open(path, "rb") as stream:
        _check_npy_header(path, stream, os.fstat(stream.fileno()).st_size)
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with parsing(path, ".npz file"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        wanted = _wanted_members(path, list(members))
        check_size(path, sum(members[name].file_size for name in wanted))
        arrays = {}
        for name, key in wanted.items():
            info = members[name]
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise refusal(path, f"{name} has an unusual compression", "write it by np.savez_compressed")
            if info.file_size > DEFLATE_RATIO * info.compress_size:
                raise refusal(path, f"{name} cannot hold the bytes it promises", "the file is damaged: save it again")
            with archive.open(info) as stream:
                _check_npy_header(path, stream, info.file_size, name)
            with archive.open(info) as stream:
                arrays[key] = np.lib.format.read_array(stream, allow_pickle=False)
        return arrays


def _wanted_members(path: Path, names: list[str]) -> dict[str, str]:
    """The members to read, each with the key under which `read_arrays` looks for it."""
    keys = {**_image_members(path, names), "levels": "levels"}
    return {name: key for name, key in keys.items() if name in names}


def _image_members(path: Path, names: list[str]) -> dict[str, str]:
    """Possible members for images and labels, each with its key."""
    parts = [name for name in PART_NAMES if name in names]
    if "images" in names:
        return {"images": "images", "labels": "labels"}
    if parts == ["train"]:
        return {"train": "images", "train_labels": "labels"}
    if parts:
        return {key: key for name in PART_NAMES for key in (name, f"{name}_labels")}
    candidates = [name for name in names if name not in ("labels", "levels")]
    if len(candidates) == 1:
        return {candidates[0]: "images", "labels": "labels"}
    found = ", ".join(sorted(names)[:8]) or "nothing"
    raise refusal(path, f"which arrays are the images? found {found}", "name them images, or train and test")


def _check_npy_header(path: Path, stream: IO[bytes], size: int, name: str = "array") -> None:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        # Version 3 exists for named fields only, which no image array has.
        raise refusal(path, f"{name} has .npy version {version}", "store a plain array of numbers")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if dtype.hasobject:
        raise refusal(path, f"{name} holds pickled Python objects", "pickle is never loaded: store plain numbers")
    if dtype.kind not in "biuf":
        raise refusal(path, f"{name} is of type {dtype}", "store plain numbers")
    promised = math.prod(shape) * dtype.itemsize
    check_size(path, promised)
    held = size - stream.tell()
    if min(shape, default=0) < 0 or promised != held:
        raise refusal(
            path,
            f"{name} promises {promised:,} bytes and holds {held:,}",
            "the file is damaged: save it again",
        )


def _as_pixels(path: Path, name: str, array: np.ndarray, declared: np.ndarray | None) -> tuple[np.ndarray, int]:
    subject = f"{path}, {name}"
    images = _channels_first(subject, array)
    check_images(subject, images)
    if declared is not None and array.dtype != np.uint8:
        raise refusal(path, f"`levels` goes with uint8 only, not {array.dtype}", "leave out `levels`")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(images), _checked_levels(path, images, declared)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(images).view(np.uint8), 2
    if array.dtype.kind != "f":
        raise refusal(
            subject,
            f"pixels of type {array.dtype}",
            "store uint8, bool, or floats in [0, 1]: .astype(np.uint8)",
        )
    # The extremes carry a NaN on, so no array of flags is needed.
    with np.errstate(invalid="ignore"):
        low, high = float(images.min()), float(images.max())
    if math.isnan(low) or math.isnan(high):
        raise refusal(subject, "holds NaN", "clean the array first")
    if low < 0 or high > 1:
        raise refusal(subject, f"floats from {low:g} to {high:g}", "scale them to [0, 1] or store uint8")
    return np.ascontiguousarray(np.rint(images * 255).astype(np.uint8)), 256


def _channels_first(subject: object, array: np.ndarray) -> np.ndarray:
    shape = array.shape
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and shape[1] in (1, 3):
        return array
    if array.ndim == 4 and shape[3] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    raise refusal(
        subject,
        f"shape {shape} is no set of images",
        "give (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3",
    )


def _checked_levels(path: Path, images: np.ndarray, declared: np.ndarray | None) -> int:
    if declared is None:
        return 256
    if declared.ndim != 0 or declared.dtype.kind not in "iu" or not 2 <= int(declared) <= 256:
        raise refusal(path, "`levels` is not a whole number from 2 to 256", "store np.array(17), say")
    if int(images.max()) >= int(declared):
        raise refusal(path, f"a pixel of {int(images.max())} where levels is {int(declared)}", "pixels are 0..levels-1")
    return int(declared)
