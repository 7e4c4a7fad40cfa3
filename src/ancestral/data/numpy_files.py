"""Reading arrays from untrusted .npy and .npz files, without pickle. Headers are checked before memory is allocated."""

from __future__ import annotations

import functools
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.core.free_memory import available_memory
from ancestral.data.layouts import CHANNELS
from ancestral.data.names import Member
from ancestral.data.readers import DEFLATE_RATIO, parsing

MAX_MEMBERS = 10_000
MAPPED_SHARE = 0.25  # of the available memory; larger arrays are memory-mapped
MAPPED_BYTES = 2**30  # larger arrays are memory-mapped, whatever the available memory


class Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def open_npy(path: Path) -> tuple[Member, list[str]]:
    """The array of a .npy file, and notices. A large array of bytes is memory-mapped, not read.

    Raises: InputError for a damaged, unknown or too large file.
    """
    header = npy_header(path)
    if _is_mapped(header):
        said = f"the array of {header.nbytes:,} bytes stays in its file (memory-mapped)"
        return Member("array", header.shape, 0, functools.partial(_map_npy, path, header)), [said]
    return Member("array", header.shape, header.nbytes, functools.partial(load_npy, path)), []


def npy_header(path: Path) -> Header:
    """Shape and type of the array of a .npy file.

    Raises: InputError for a damaged or unknown file, or one that has not as many bytes as its header states.
    """
    with parsing(path, ".npy file"), open(path, "rb") as stream:
        return _header(path, stream, os.fstat(stream.fileno()).st_size)


def holds_image_bytes(header: Header) -> bool:
    """Whether the bytes of an array in its file can be used as images without conversion."""
    shape = header.shape
    channels = len(shape) == 3 or (len(shape) == 4 and (shape[1] in CHANNELS or shape[3] in CHANNELS))
    return header.dtype == np.uint8 and not header.fortran and channels


def _map_npy(path: Path, header: Header) -> np.ndarray:
    with parsing(path, ".npy file"):
        return np.memmap(path, header.dtype, "c", header.offset, header.shape).view(np.ndarray)


def load_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, in memory.

    Raises: InputError for a damaged file.
    """
    with parsing(path, ".npy file"), open(path, "rb") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def open_npz(path: Path) -> list[Member]:
    """The arrays of a .npz file.

    Raises: InputError for a damaged file. An array that cannot be read raises when it is loaded.
    """
    with parsing(path, ".npz file"), zipfile.ZipFile(path) as archive:
        entries = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        names = [info.filename.removesuffix(".npy") for info in entries]
        check_names(path, names)
        return [_member(path, archive, info, name) for info, name in zip(entries, names, strict=True)]


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raises: InputError for too many arrays, or two arrays with the same name."""
    if len(names) > MAX_MEMBERS:
        raise refusal(path, f"has {len(names):,} arrays, more than {MAX_MEMBERS:,}", "stack them into one array")
    if len(set(names)) < len(names):
        raise refusal(path, "has two arrays with the same name", "save the file again")


def unreadable(name: str, error: InputError) -> Member:
    """An array that raises the error when it is loaded."""

    def load() -> np.ndarray:
        raise error

    return Member(name, (), 0, load, readable=False)


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Member:
    try:
        header = _member_header(path, archive, info, name)
    except InputError as error:
        return unreadable(name, error)

    def load() -> np.ndarray:
        with parsing(path, ".npz file"), zipfile.ZipFile(path) as again, again.open(info) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    return Member(name, header.shape, header.nbytes, load)


def _member_header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Header:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refusal(path, f"{name} has an unsupported compression", "write it with np.savez_compressed")
    if info.file_size > DEFLATE_RATIO * info.compress_size:
        raise refusal(path, f"{name} states more bytes than the file has", "the file is damaged: save it again")
    with parsing(path, ".npz file"), archive.open(info) as stream:
        return _header(path, stream, info.file_size, name)


def _header(path: Path, stream: IO[bytes], size: int, name: str = "array") -> Header:
    """Raises:    InputError: Python objects, another type than numbers or text, or a size unlike that of the file."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        # version 3 is only for named fields, which image arrays do not have
        raise refusal(path, f"{name} has .npy version {version}", "store a plain array of numbers")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise refusal(path, f"{name} has pickled Python objects, which are never loaded", "store plain numbers")
    if dtype.kind not in "biufcMmUS" or dtype.itemsize == 0:
        raise refusal(path, f"{name} is of type {dtype}", "store plain numbers")
    header = Header(tuple(map(int, shape)), fortran, dtype, stream.tell())
    held = size - header.offset
    if min(header.shape, default=0) < 0 or header.nbytes != held:
        raise refusal(
            path,
            f"{name} states {header.nbytes:,} bytes but has {held:,}",
            "the file is damaged: save it again",
        )
    return header


def _is_mapped(header: Header) -> bool:
    """Whether an array is large, and its bytes in the file can be used as images without conversion."""
    return holds_image_bytes(header) and header.nbytes > min(MAPPED_BYTES, MAPPED_SHARE * available_memory())
