"""The file format of compressed images, byte by byte. All numbers are unsigned and little-endian.

    bytes    content
    8        magic: 89 41 4E 43 0D 0A 1A 0A
    4        number of bytes H of the header
    H        header: canonical JSON (sorted keys, no spaces, ASCII), see `Header`, as a raw deflate stream with the
             preset dictionary `DICTIONARY`
    4        CRC-32 of all bytes before
    then, for each block:
    4        number of words W of the content
    4        lowest: number of words of the generator below the content
    4 W      content of the stack, the bottom first
    4        CRC-32 of the number of the block, from 0, as 4 bytes, and of the block without these four bytes

Nothing follows the last block. Blocks are independent: each has its own stack.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ancestral.compression.stack import Array
from ancestral.core.errors import InputError

MAGIC = b"\x89ANC\r\n\x1a\n"
FORMAT = 1
AXES = ("NHW", "NCHW", "NHWC")
MOST_HEADER_BYTES = 1 << 22  # the stored values of 65,536 levels need half of it
MOST_BLOCK_IMAGES = 1 << 20
MOST_BLOCK_VALUES = 1 << 32
DICTIONARY = (
    b"pixel by pixel, in reading order"
    b"bits-back over the order of the pixels"
    b"bits-back over the latents"
    b"bits-back with the exact posterior over the states"
    b"float64the machine that wrote the fileNCHWNHWC<u265536"
    b"fashion, 256 levelsdigits, 17 levels, each pixel drawn with probability = its grey value"
    b"PixelCNNVAEMixtureOfBernoullis0123456789abcdef"
    b'{"arithmetic":"fixed-point-16","axes":"NHW","block":2500,"borrowed":0,"canary":"'
    b'","code":"pixel by pixel, in the model\'s order","coder":"ans-32-64-24","content_sha256":"'
    b'","dtype":"|u1","format":1,"guarantee":"any machine","images":10000,"levels":2,"model":"MADE'
    b'","model_sha256":"","shape":[1,28,28],"space":"mnist, binary, threshold 0.5","values":null}'
)
"""Text that headers share, so that they need few bytes; a part of the format."""
_NUMBERS = struct.Struct("<2I")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Header:
    """What a reader needs to know.

    Attributes: format: version of the format. model: class of the model. model_sha256: of its weights (`core.digest`).
                canary: hash of rounded numbers of the model for a probe image (its first 64 bits); differs if
                the arithmetic differs.
                arithmetic: of the model. guarantee: where the file can be read. code: how images are coded. coder: the
                entropy coder. borrowed: words of the generator on an empty stack. images: number of all images.
                block: images of a block; the last may have fewer. shape: of an image. levels: of a pixel. space: pixel
                space. values: pixel value in the output for each level, if not the level itself. dtype, axes: of the
                output, as in a .npy file; see `Form`. content_sha256: of all levels, one byte each (two if there are
                more than 256), images in order.
    """

    model: str
    model_sha256: str
    canary: str
    arithmetic: str
    guarantee: str
    code: str
    coder: str
    borrowed: int
    images: int
    block: int
    shape: tuple[int, ...]
    levels: int
    space: str
    content_sha256: str
    values: tuple[float, ...] | None = None
    dtype: str = "|u1"
    axes: str = "NCHW"
    format: int = FORMAT

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.images // self.block)

    def images_in(self, number: int) -> int:
        """Number of images in a block."""
        return min(self.block, self.images - number * self.block)


class Form(NamedTuple):
    """What the images are when they are read again.

    Args:      values: pixel value for each level; None: the level itself. dtype: of the array, as in a .npy file. axes:
               NCHW, the shape of the model, NHWC, or NHW for one channel.
    """

    values: tuple[float, ...] | None = None
    dtype: str = "|u1"
    axes: str = "NCHW"

    @classmethod
    def of_levels(cls, levels: int, shape: tuple[int, ...]) -> Form:
        """The levels themselves, in the smallest type; images of one channel have no axis for it."""
        return cls(None, "|u1" if levels <= 256 else "<u2", "NHW" if len(shape) == 3 and shape[0] == 1 else "NCHW")


class Block(NamedTuple):
    """One block: its number, number of images, and what `Stack.from_content` needs."""

    number: int
    images: int
    lowest: int
    words: Array


def header_bytes(header: Header) -> bytes:
    """The start of a file, with its CRC."""
    text = json.dumps(asdict(header), sort_keys=True, separators=(",", ":")).encode("ascii")
    packer = zlib.compressobj(
        9, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, DICTIONARY
    )
    text = packer.compress(text) + packer.flush()
    start = MAGIC + _CRC.pack(len(text)) + text
    return start + _CRC.pack(zlib.crc32(start))


def content_bits(block: bytes) -> int:
    """Bits of the content of a block from `block_bytes`, without its numbers and its CRC."""
    return 8 * (len(block) - _NUMBERS.size - _CRC.size)


def block_bytes(block: Block) -> bytes:
    """One block, with its CRC."""
    words = np.ascontiguousarray(block.words, dtype="<u4")
    content = _NUMBERS.pack(len(words), block.lowest) + words.tobytes()
    return content + _CRC.pack(_checksum(block.number, content))


def _checksum(number: int, content: bytes | memoryview) -> int:
    return zlib.crc32(content, zlib.crc32(_CRC.pack(number)))


class CompressedFile:
    """A file that was read into memory, its header checked.

    Raises:    InputError: not such a file, of a later version, or damaged.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, memoryview(content)
        if content[: len(MAGIC)] != MAGIC:
            raise InputError(f"{path}: not a file of `ancestral compress`: give the .anc file")
        size = self._number(len(MAGIC))
        if size > MOST_HEADER_BYTES:
            raise self._damaged("its header is too long")
        self.start = len(MAGIC) + _CRC.size + size
        if self._number(self.start) != zlib.crc32(self.content[: self.start]):
            raise self._damaged("the checksum of its header differs")
        text = bytes(self.content[len(MAGIC) + _CRC.size : self.start])
        self.start += _CRC.size
        self.header = self._header(text)

    def blocks(self) -> Iterator[Block]:
        """All blocks in order, each checked before it is returned.

        Raises:    InputError: a block is missing or damaged; its number is in the message.
        """
        at = self.start
        for number in range(self.header.blocks):
            block, at = self._block(number, at)
            yield block
        if at != len(self.content):
            raise self._damaged("bytes follow its last block")

    def block(self, number: int) -> Block:
        """One block; the others are skipped without a check."""
        at = self.start
        for before in range(number):
            at = self._end(before, at)
        return self._block(number, at)[0]

    def _block(self, number: int, at: int) -> tuple[Block, int]:
        end = self._end(number, at)
        content = self.content[at : end - _CRC.size]
        if self._number(end - _CRC.size) != _checksum(number, content):
            raise self._damaged(f"the checksum of block {number} differs")
        _, lowest = _NUMBERS.unpack(content[: _NUMBERS.size])
        words = np.frombuffer(content[_NUMBERS.size :], dtype="<u4").astype(np.uint32)
        return Block(number, self.header.images_in(number), lowest, words), end

    def _end(self, number: int, at: int) -> int:
        """Where a block ends."""
        if at + _NUMBERS.size > len(self.content):
            raise self._damaged(f"it ends before block {number} of {self.header.blocks}")
        words = self._number(at)
        end = at + _NUMBERS.size + 4 * words + _CRC.size
        if end > len(self.content):
            raise self._damaged(f"it ends within block {number} of {self.header.blocks}")
        return end

    def _number(self, at: int) -> int:
        if at + _CRC.size > len(self.content):
            raise self._damaged("it ends within its header")
        return int(_CRC.unpack(self.content[at : at + _CRC.size])[0])

    def _header(self, text: bytes) -> Header:
        try:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS, DICTIONARY)
            record = json.loads(unpacker.decompress(text, MOST_HEADER_BYTES))
            if record.get("format") != FORMAT:
                raise self._damaged(f"its format {record.get('format')!r} needs another version of ancestral")
            names = {field.name for field in fields(Header)}
            header = Header(**{name: _tuple(record[name]) for name in names})
            whole = (header.images, header.block, header.levels, header.borrowed, *header.shape)
            sound = all(type(number) is int and number >= 0 for number in whole)
        except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
            if isinstance(error, InputError):
                raise
            raise self._damaged("its header is incomplete") from error
        if not (sound and 1 <= header.block <= MOST_BLOCK_IMAGES and header.levels >= 1 and header.borrowed <= 1 << 20):
            raise self._damaged("numbers of its header are not possible")
        if not _is_form(header):
            raise self._damaged("the form of its images is not possible")
        if header.block * prod(header.shape) > MOST_BLOCK_VALUES:
            raise self._damaged("its blocks have more pixels than can be read")
        return header

    def _damaged(self, problem: str) -> InputError:
        return InputError(f"{self.path} is damaged or is no compressed file: {problem}")


def _is_form(header: Header) -> bool:
    """Whether the pixels can be returned in the form that the header states."""
    try:
        kind = np.dtype(header.dtype).kind
        values = None if header.values is None else np.array(header.values, header.dtype)
    except (TypeError, ValueError, OverflowError):
        return False
    if kind not in "biuf" or header.axes not in AXES or (values is not None and values.shape != (header.levels,)):
        return False
    return header.axes == "NCHW" or (len(header.shape) == 3 and (header.axes == "NHWC" or header.shape[0] == 1))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
