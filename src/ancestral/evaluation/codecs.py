"""The size of images under general codecs: file formats of pictures, and general compressors. For comparison."""

from __future__ import annotations

import bz2
import io
import lzma
import math
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

EFFORT = {"zlib": 9, "bz2": 9, "xz": 9 | lzma.PRESET_EXTREME, "zstd": 19}
SECONDS = 600  # limit for one program


class Codec(NamedTuple):
    """A codec and its bits for all images; None if the codec is not installed, and then what is missing.

    Args:      name: with the arrangement of the images. bits: of the files together. absent: the missing program.
    """

    name: str
    bits: int | None
    absent: str = ""


Pack = Callable[[bytes], bytes]


def codecs_of(levels: np.ndarray, count: int) -> list[Codec]:
    """The size of the same pixels under other codecs, for each the smaller of the forms that it has.

    Pictures have one byte for each value (binary ones one bit, black and white). `sheet` is one picture of all images
    side by side. General compressors get the values in order, one byte each, or eight binary values in a byte.

    Args:      levels: whole numbers, shape (N, C, H, W), C of 1 or 3. count: number of levels, at most 256.
    """
    levels = levels.astype(np.uint8)
    return [*_general(levels, count), *_pictures(levels, count)]


def _general(levels: np.ndarray, count: int) -> list[Codec]:
    forms = [levels.tobytes()] + ([np.packbits(levels).tobytes()] if count == 2 else [])
    packs: dict[str, Pack] = {
        "zlib": lambda data: zlib.compress(data, EFFORT["zlib"]),
        "bz2": lambda data: bz2.compress(data, EFFORT["bz2"]),
        "xz": lambda data: lzma.compress(data, preset=EFFORT["xz"]),
    }
    found = [Codec(name, 8 * min(len(pack(data)) for data in forms)) for name, pack in packs.items()]
    if shutil.which("zstd") is None:
        return [*found, Codec("zstd", None, "zstd")]
    ends = [_output(["zstd", f"-{EFFORT['zstd']}", "-c"], data) for data in forms]
    return [*found, Codec("zstd", 8 * min(map(len, ends)))]


def _output(command: Sequence[str], data: bytes) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=SECONDS).stdout


def _pictures(levels: np.ndarray, count: int) -> list[Codec]:
    from PIL import features

    if levels.shape[1] not in (1, 3):
        return []
    sheet = _picture(_sheet(levels), count)
    each = sum(len(_saved(_picture(image, count), "png", optimize=True)) for image in levels)
    found = [
        Codec("PNG, each", 8 * each),
        Codec("PNG, sheet", 8 * len(_saved(sheet, "png", optimize=True))),
        _by_pillow("WebP lossless, sheet", sheet, "webp", lossless=True, quality=100, method=6),
        _by_program("JPEG XL lossless, sheet", sheet, ["cjxl", "{}.png", "{}.out", "-d", "0", "-e", "7"]),
    ]
    if count == 2 and levels.shape[1] == 1:
        found.append(_by_program("JBIG1, sheet", sheet, ["pbmtojbg", "-q", "{}.pbm", "{}.out"]))
        fax = Codec("TIFF G4, sheet", None, "libtiff")
        if features.check("libtiff"):
            fax = Codec(fax.name, 8 * len(_saved(sheet, "tiff", compression="group4")))
        found.append(fax)
    return found


def _sheet(levels: np.ndarray) -> np.ndarray:
    """All images in rows of equal length, shape (C, height, width); a part of the last row may be 0."""
    n, channels, height, width = levels.shape
    across = math.isqrt(n - 1) + 1
    down = -(-n // across)
    whole = np.zeros((down * across, channels, height, width), np.uint8)
    whole[:n] = levels
    rows = whole.reshape(down, across, channels, height, width).transpose(2, 0, 3, 1, 4)
    return rows.reshape(channels, down * height, across * width)


def _picture(levels: np.ndarray, count: int) -> Image:
    """A picture of levels, shape (C, H, W); ones are black in a binary picture, as text is in a fax."""
    from PIL.Image import fromarray

    if levels.shape[0] == 3:
        return fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
    return fromarray(levels[0] == 0) if count == 2 else fromarray(levels[0])


def _saved(picture: Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _by_pillow(name: str, picture: Image, format: str, **options: object) -> Codec:
    from PIL import features

    if not features.check(format):
        return Codec(name, None, f"{format} in Pillow")
    try:
        return Codec(name, 8 * len(_saved(picture.convert("RGB"), format, **options)))
    except (OSError, ValueError):  # WebP pictures have at most 16,383 pixels a side
        return Codec(name, None, "a format for sheets of this size")


def _by_program(name: str, picture: Image, command: Sequence[str]) -> Codec:
    """The size of the file that a program writes; `{}` in the command is a path without its ending."""
    if shutil.which(command[0]) is None:
        return Codec(name, None, command[0])
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "sheet")
        words = [word.replace("{}", place) for word in command]
        source = next(word for word in words[1:] if word.endswith((".png", ".pbm")))
        picture.save(source)
        subprocess.run(words, capture_output=True, check=True, timeout=SECONDS)
        return Codec(name, 8 * Path(f"{place}.out").stat().st_size)
