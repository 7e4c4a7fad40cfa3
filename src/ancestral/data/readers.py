"""Reading untrusted IDX files, and the checks that all readers use.

Every size in a header is compared with `MAX_BYTES` and with the size of the file before memory is allocated. Every
error becomes an `InputError` of one line that names the file.
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

MAX_BYTES = 4 * 2**30  # largest unpacked size of a source
DEFLATE_RATIO = 1032  # largest possible ratio of unpacked and packed size in gzip and zip
PART_NAMES = ("train", "valid", "test")

_IDX_UNSIGNED_BYTE = 0x08


@contextlib.contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Context in which every error of reading a file becomes an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise refusal(path, "no such file", "check the path") from error
    except PermissionError as error:
        raise refusal(path, "no permission to read it", "check its permissions") from error
    except Exception as error:  # damaged bytes may make parsers raise anything
        cause = str(error)[:160] or type(error).__name__
        raise refusal(
            path, f"not a readable {kind} ({cause})", "the file is damaged or of another kind: replace it"
        ) from error


def check_size(subject: object, promised: int) -> None:
    """Raises: InputError if `promised` bytes are more than `MAX_BYTES`."""
    if promised > MAX_BYTES:
        raise refusal(
            subject,
            f"needs {promised:,} bytes, more than the limit of {MAX_BYTES:,}",
            "give fewer or smaller images",
        )


def is_gzip(path: Path) -> bool:
    """Whether a file is gzipped, by its first bytes, because its name may be wrong."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, gzipped or not: the format of MNIST and similar sets.

    Args:
        path: the file.
        dimensions: 3 for images (N, H, W), 1 for labels (N,).

    Returns: uint8 array with this number of dimensions, writable.
    Raises: InputError for a missing, truncated, too long, unknown or too large file.
    """
    with parsing(path, "IDX file"), open(path, "rb") as raw:
        zipped = is_gzip(path)
        possible = os.fstat(raw.fileno()).st_size * (DEFLATE_RATIO if zipped else 1)
        with gzip.open(raw) if zipped else contextlib.nullcontext(raw) as stream:
            return _read_idx_stream(path, stream, dimensions, possible)


def _read_idx_stream(path: Path, stream: BinaryIO | gzip.GzipFile, dimensions: int, possible: int) -> np.ndarray:
    again = "download or copy the file again"
    header = stream.read(4 + 4 * dimensions)
    expected = bytes((0, 0, _IDX_UNSIGNED_BYTE, dimensions))
    if header[:4] != expected:
        raise refusal(
            path,
            f"wrong magic number 0x{header[:4].hex() or '00'}, expected 0x{expected.hex()}",
            f"this is not an IDX file of {'images' if dimensions == 3 else 'labels'}: {again}",
        )
    if len(header) < 4 + 4 * dimensions:
        raise refusal(path, "truncated header", again)
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    promised = math.prod(shape)
    check_size(path, promised)
    # compared with the size of the file first, so that a tiny file cannot reserve gigabytes
    data = stream.read(promised) if promised <= possible else b""
    if len(data) < promised:
        raise refusal(path, f"truncated, its header states {promised:,} bytes of data", again)
    # reading to the end makes gzip check its checksum
    if stream.read(1):
        raise refusal(path, f"longer than the {promised:,} bytes of data stated in its header", again)
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def read_idx_part(images: Path, labels: Path) -> Part:
    """Read a pair of IDX files, images and their labels.

    Args:
        images: the IDX file of images.
        labels: the IDX file of labels.

    Returns: the part, images of shape (N, 1, H, W).
    Raises: InputError for a damaged file, or if the numbers of images and labels differ.
    """
    pixels = read_idx(images, 3)
    check_images(images, pixels)
    return Part(pixels[:, None], as_labels(labels, "labels", read_idx(labels, 1), len(pixels)))


def check_images(subject: object, images: np.ndarray) -> None:
    """Raises: InputError for an array without pixels."""
    if 0 in images.shape:
        raise refusal(subject, f"no pixels, the shape is {images.shape}", "give at least one image")


def as_labels(path: Path, name: str, labels: np.ndarray | None, count: int) -> np.ndarray | None:
    """Labels as int64, shape (count,); InputError for other shapes and for values that are not whole numbers."""
    if labels is None:
        return None
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise refusal(
            path,
            f"{name} of type {labels.dtype} and shape {labels.shape} for {count} images",
            "give one whole number per image",
        )
    if labels.dtype.kind == "u" and count and int(labels.max()) > np.iinfo(np.int64).max:
        raise refusal(path, f"{name} exceeds the range of int64", "number the classes from 0")
    return labels.astype(np.int64)
