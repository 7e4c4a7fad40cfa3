"""Reading arrays of numbers and text from untrusted MATLAB files (versions 5 to 7), without cells and structs.

SciPy is not used, because its compiled reader accesses memory outside of its buffers if a file is damaged. An element
is a tag (type and number of bytes) and its data; an array is an element of elements: flags, dimensions, name and
numbers. A compressed element is one array in zlib's format.
"""

from __future__ import annotations

import functools
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.text import with_article
from ancestral.data.names import Member
from ancestral.data.numpy_files import MAX_MEMBERS, check_names, unreadable
from ancestral.data.readers import DEFLATE_RATIO, parsing

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEADER_BYTES, _TAG_BYTES, _MAX_DIMENSIONS, _MAX_NAME = 128, 8, 32, 256
_BLOCK = 1 << 16
_MATRIX, _COMPRESSED = 14, 15
# element types and array classes of the format, as NumPy's types
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_CHAR = 4
_OTHERS = {1: "cell", 2: "struct", 3: "object", 5: "sparse matrix", 16: "function", 17: "object"}
_LOGICAL, _COMPLEX = 0x0200, 0x0800


class _Reader(Protocol):
    def read(self, count: int, /) -> bytes: ...


class _Inflated:
    """The bytes of a compressed element, decompressed as they are read.

    Args:      stream: at the first byte. length: compressed length in bytes.
    """

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self.stream, self.left, self.pending = stream, length, b""
        self.inflate = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """`count` bytes, or fewer at the end."""
        result = bytearray()
        while len(result) < count and not self.inflate.eof:
            if not self.pending:
                self.pending = self.stream.read(min(_BLOCK, self.left))
                self.left -= len(self.pending)
                if not self.pending:
                    raise ValueError("a compressed array is truncated")
            result += self.inflate.decompress(self.pending, count - len(result))
            self.pending = self.inflate.unconsumed_tail
        return bytes(result)


class _Element(NamedTuple):
    """An array of the file: its position, and the byte order."""

    at: int
    length: int
    compressed: bool
    order: str


class _Head(NamedTuple):
    name: str
    shape: tuple[int, ...]
    kind: int
    flags: int


def open_mat(path: Path) -> list[Member]:
    """The arrays of a .mat file.

    Raises: InputError for a damaged file and for versions 4 and 7.3. An array that cannot be read raises when it is
        loaded.
    """
    members = []
    with parsing(path, ".mat file"), open(path, "rb") as stream:
        order = _byte_order(path, stream.read(_HEADER_BYTES + 512))
        for element in _elements(stream, order):
            head = _head(*_opened(stream, element))
            if head.name:  # an array without a name has internal data of MATLAB
                members.append(_member(path, element, head))
    check_names(path, [member.name for member in members])
    return members


def _byte_order(path: Path, head: bytes) -> str:
    """Raises:    InputError: another version, or not a MATLAB file."""
    advice = "save it in MATLAB with save(..., '-v7'), or as .npz with numpy.savez"
    # MATLAB 7.3 writes HDF5 after a text of 512 bytes
    if _HDF5 in (head[:8], head[512:520]):
        raise refusal(path, "a MATLAB 7.3 (HDF5) file, which is not supported", advice)
    if len(head) < _HEADER_BYTES:
        raise refusal(path, "truncated header, or not a MATLAB file", "download or copy the file again")
    if 0 in head[:4]:
        raise refusal(path, "a MATLAB file of version 4, which is not supported", advice)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
    if order is None or struct.unpack(f"{order}H", head[124:126])[0] != 0x0100:
        raise refusal(path, "not a MATLAB file of version 5 to 7", advice)
    return order


def _elements(stream: BinaryIO, order: str) -> Iterator[_Element]:
    """The arrays of a file, one after the other. Other elements are skipped."""
    size = stream.seek(0, 2)
    at = _HEADER_BYTES
    for _ in range(MAX_MEMBERS + 1):
        if at + _TAG_BYTES > size:
            return
        stream.seek(at)
        kind, length = struct.unpack(f"{order}2I", stream.read(_TAG_BYTES))
        at += _TAG_BYTES
        if length > size - at:
            raise ValueError(f"an array of {length:,} bytes is truncated")
        if kind in (_MATRIX, _COMPRESSED):
            yield _Element(at, length, kind == _COMPRESSED, order)
        at += length


def _opened(stream: BinaryIO, element: _Element) -> tuple[_Reader, str]:
    """The content of an array, starting at its flags."""
    stream.seek(element.at)
    if not element.compressed:
        return stream, element.order
    reader = _Inflated(stream, element.length)
    kind, _ = struct.unpack(f"{element.order}2I", _exactly(reader, _TAG_BYTES))
    if kind != _MATRIX:
        raise ValueError("a compressed element is not an array")
    return reader, element.order


def _head(reader: _Reader, order: str) -> _Head:
    _, flags = _small(reader, order, 8)
    word = struct.unpack(f"{order}I", flags[:4])[0]
    _, dimensions = _small(reader, order, 4 * _MAX_DIMENSIONS)
    _, name = _small(reader, order, _MAX_NAME)
    shape = np.frombuffer(dimensions, f"{order}i4").tolist()
    return _Head(name.decode("latin-1"), tuple(shape), word & 0xFF, word & 0xFF00)


def _tag(reader: _Reader, order: str) -> tuple[int, int, bytes | None]:
    """Type and number of bytes of an element, and its data if they are in the tag."""
    tag = _exactly(reader, _TAG_BYTES)
    kind, length = struct.unpack(f"{order}2I", tag)
    if kind >> 16:  # up to four bytes are in the tag
        kind, length = kind & 0xFFFF, kind >> 16
        if length > 4:
            raise ValueError("a short element has more than 4 bytes")
        return kind, length, tag[4 : 4 + length]
    return kind, length, None


def _small(reader: _Reader, order: str, most: int) -> tuple[int, bytes]:
    """Type and data of an element that describes an array."""
    kind, length, data = _tag(reader, order)
    if data is None:
        if length > most:
            raise ValueError(f"{length:,} bytes describe an array")
        data = _exactly(reader, -(-length // 8) * 8)[:length]
    return kind, data


def _exactly(reader: _Reader, count: int) -> bytes:
    data = reader.read(count)
    if len(data) < count:
        raise ValueError("an array is truncated")
    return data


def _member(path: Path, element: _Element, head: _Head) -> Member:
    name, again = head.name, "the file is damaged: save it again"
    if head.kind not in _CLASSES and head.kind != _CHAR:
        kind = _OTHERS.get(head.kind, f"class {head.kind}")
        return unreadable(name, refusal(path, f"{name} is {with_article(kind)}", "store a plain array of numbers"))
    if head.flags & _COMPLEX:
        return unreadable(name, refusal(path, f"{name} is complex", "store real numbers"))
    count = math.prod(head.shape)
    held = element.length * (DEFLATE_RATIO if element.compressed else 1)
    if len(head.shape) < 2 or min(head.shape) < 0 or count > held:
        problem = f"{name} has shape {head.shape}, but not enough bytes for it"
        return unreadable(name, refusal(path, problem, again))
    size = 4 if head.kind == _CHAR else np.dtype(_CLASSES[head.kind]).itemsize
    shape = head.shape[:1] if head.kind == _CHAR else head.shape
    return Member(name, shape, count * size, functools.partial(_load, path, element))


def _load(path: Path, element: _Element) -> np.ndarray:
    with parsing(path, ".mat file"), open(path, "rb") as stream:
        reader, order = _opened(stream, element)
        head = _head(reader, order)
        kind, length, data = _tag(reader, order)
        held = element.length * (DEFLATE_RATIO if element.compressed else 1)
        count = math.prod(head.shape)
        width = 4 if kind in _TEXT else np.dtype(_STORED[kind]).itemsize
        if length > min(held, count * width):  # too few bytes are found when the array is reshaped
            raise ValueError(f"{head.name} has {length:,} bytes for {count:,} numbers")
        if data is None:
            data = _exactly(reader, length)
        # zlib checks its checksum at the end, after the padding to eight bytes
        if element.compressed and len(reader.read(_TAG_BYTES)) == _TAG_BYTES:
            raise ValueError(f"{head.name} is longer than its numbers")
        if head.kind == _CHAR:
            return _text(head, kind, order, data)
        stored = np.frombuffer(data, order + _STORED[kind]).astype(_CLASSES[head.kind], copy=False)
        array = stored.reshape(head.shape, order="F")
        return array != 0 if head.flags & _LOGICAL else array


def _text(head: _Head, kind: int, order: str, data: bytes) -> np.ndarray:
    """The rows of a matrix of characters."""
    if kind in _TEXT:
        little = "" if kind == 16 else "-le" if order == "<" else "-be"
        letters = np.array(list(data.decode(_TEXT[kind] + little)), "U1")
    else:
        letters = np.array([chr(code) for code in np.frombuffer(data, order + _STORED[kind]).tolist()], "U1")
    rows = letters.reshape(head.shape[0], -1, order="F").tolist()
    return np.array(["".join(row) for row in rows])
