"""Untrusted files -> arrays of pixels: IDX, and the checks that every reader shares.

Every size that a header promises is held against `MAX_BYTES` and against the file before memory is asked for,
and whatever is wrong becomes an `InputError` of one line that names the file.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.data.imported import Part

MAX_BYTES = 4 * 2**30  # what one source may unpack to
DEFLATE_RATIO = 1032  # gzip and zip cannot unpack to more than this many times their size
PART_NAMES = ("train", "valid", "test")

_IDX_UNSIGNED_BYTE = 0x08


@contextlib.contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever reading the file raises into an `InputError` that names it."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise refusal(path, "no such file", "check the path") from error
    except PermissionError as error:
        raise refusal(path, "may not be read", "check its permissions") from error
    except Exception as error:  # damaged bytes make the parsers below raise nearly anything
        cause = str(error)[:160] or type(error).__name__
        raise refusal(
            path, f"not a readable {kind} ({cause})", "the file is damaged or of another kind: replace it"
        ) from error


def check_size(subject: object, promised: int) -> None:
    """Refuse what would take more than `MAX_BYTES`."""
    if promised > MAX_BYTES:
        raise refusal(
            subject,
            f"would take {promised:,} bytes, more than the cap of {MAX_BYTES:,}",
            "give fewer or smaller images",
        )


def is_gzip(path: Path) -> bool:
    """Whether a file is gzipped, by its first bytes, since names lie."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, gzipped or not: the format of MNIST and its kin.

    Args:
        path: the file.
        dimensions: 3 for images (N, H, W), 1 for labels (N,).

    Returns: uint8 array of that many dimensions, writable.
    Raises: InputError for a missing, truncated, overlong, foreign or oversized file.
    """
    with parsing(path, "IDX file"), open(path, "rb") as raw:
        zipped = is_gzip(path)
        possible = os.fstat(raw.fileno()).st_size * (DEFLATE_RATIO if zipped else 1)
        with gzip.open(raw) if zipped else contextlib.nullcontext(raw) as stream:
            return _read_idx_stream(path, stream, dimensions, possible)


def _read_idx_stream(path: Path, stream: BinaryIO | gzip.GzipFile, dimensions: int, possible: int) -> np.ndarray:
    again = "fetch or copy the file again"
    header = stream.read(4 + 4 * dimensions)
    expected = bytes((0, 0, _IDX_UNSIGNED_BYTE, dimensions))
    if header[:4] != expected:
        raise refusal(
            path,
            f"wrong magic number 0x{header[:4].hex() or '00'}, expected 0x{expected.hex()}",
            f"this is not an IDX file of {'images' if dimensions == 3 else 'labels'}: {again}",
        )
    if len(header) < 4 + 4 * dimensions:
        raise refusal(path, "truncated within its header", again)
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    promised = math.prod(shape)
    check_size(path, promised)
    # Held against the file's own size first, so that a few bytes cannot make us reserve gigabytes.
    data = stream.read(promised) if promised <= possible else b""
    if len(data) < promised:
        raise refusal(path, f"truncated, its header promises {promised:,} bytes of data", again)
    # Reading on to the end also makes gzip compare its checksum.
    if stream.read(1):
        raise refusal(path, f"longer than the {promised:,} bytes of data its header promises", again)
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def read_idx_part(images: Path, labels: Path) -> Part:
    """Read a pair of IDX files, images and their labels.

    Args:
        images: the IDX file of images.
        labels: the IDX file of labels.

    Returns: the part, images of shape (N, 1, H, W).
    Raises: InputError for a bad file, or where the counts differ.
    """
    pixels = read_idx(images, 3)
    check_images(images, pixels)
    return Part(pixels[:, None], as_labels(labels, "labels", read_idx(labels, 1), len(pixels)))


def check_images(subject: object, images: np.ndarray) -> None:
    """Refuse an array without a single pixel."""
    if 0 in images.shape:
        raise refusal(subject, f"no pixels, the shape is {images.shape}", "give at least one image")


def as_labels(path: Path, name: str, labels: np.ndarray | None, count: int) -> np.ndarray | None:
    """Labels as int64, shape (count,); InputError for other shapes and for what is no whole number."""
    if labels is None:
        return None
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise refusal(
            path,
            f"{name} of type {labels.dtype} and shape {labels.shape} beside {count} images",
            "give one whole number per image",
        )
    if labels.dtype.kind == "u" and count and int(labels.max()) > np.iinfo(np.int64).max:
        raise refusal(path, f"{name} exceeds the range of int64", "number the classes from 0")
    return labels.astype(np.int64)
