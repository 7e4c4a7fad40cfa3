"""Image files -> arrays of pixels the right way up, without transparency; arrays -> another size or one channel."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.layouts import composited
from ancestral.data.readers import check_size, parsing
from ancestral.settings.data import ReadOptions

if TYPE_CHECKING:
    from PIL import Image

MAX_IMAGE_PIXELS = 2**24  # one image of a folder; these models are for small images

# Pillow's other decoders (PostScript, PDF, FITS, ...) only widen what a hostile file can reach.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MANY_FRAMES = ("PNG", "GIF", "TIFF", "WEBP")  # a JPEG's further pictures are previews of the first
_GREY_MODES = ("1", "L")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_COLOUR_MODES = ("P", "PA", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
_ORIENTATION = 0x0112  # tag of EXIF and TIFF
_LUMA = (19595, 38470, 7471)  # of red, green and blue in 2**16, the weights of ITU-R BT.601
_LOBES = 3  # of the Lanczos kernel
_BLOCK_VALUES = 1 << 20  # numbers that are scaled together, so that no copy in floats is large


class Picture(NamedTuple):
    """One image as it is read.

    Args:
        pixels: uint8, uint16, int32 or float32, shape (C, H, W) with one channel or three.
        opaque: boolean, shape (H, W), false where the file is transparent; None where it is not.
        bits: the file has one bit for each pixel.
        coloured: the file has three channels or a palette, whatever its pixels are.
        remarks: what was done: "turned", "transparent", "CMYK", "deep".
    """

    pixels: np.ndarray
    opaque: np.ndarray | None = None
    bits: bool = False
    coloured: bool = False
    remarks: tuple[str, ...] = ()


@functools.lru_cache(maxsize=16)
def background_colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a colour by name or as #rrggbb.

    Raises:    InputError: no such colour, or one with transparency.
    """
    from PIL import ImageColor

    try:
        colour = ImageColor.getrgb(name)
    except ValueError:
        colour = ()
    if len(colour) != 3:  # unknown, or with transparency
        raise refusal(f"--background {name}", "no such colour", "give a name such as white or black, or #rrggbb")
    return colour


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep Pillow's warnings and log messages from the terminal: what matters of them is refused or said."""
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file by its header, before it is turned.

    Raises:    InputError: no image, or one that is too large.
    """
    from PIL import Image

    with parsing(path, "image"), quietly(), Image.open(path, formats=_FORMATS) as image:
        _check_header(path, image)
        return image.height, image.width


def open_picture(path: Path, background: str, former: bool = False) -> Picture:
    """Read an image file: turned as its EXIF orientation says, transparent pixels on a plain background.

    Args:      background: colour behind transparent pixels. former: as earlier versions read: grey or colour by the
               mode of the file, not turned, transparency dropped.
    Raises:    InputError: no image, several images in one file, a damaged or oversized one.
    """
    from PIL import Image

    with parsing(path, "image"), Image.open(path, formats=_FORMATS) as image, _without_messages(image):
        _check_header(path, image)
        if former:
            return _former(path, image)
        said = ["deep"] if _deep_colour(image) else []
        bits, coloured = image.mode == "1", is_coloured(image)
        upright = upright_image(image, said)
        if upright.has_transparency_data:
            pixels, opaque = _without_transparency(upright, background)
            said += ["transparent"] if opaque is not None else []
            return Picture(pixels, opaque, coloured=coloured, remarks=tuple(said))
        return Picture(pixels_of(path, upright), None, bits, coloured, tuple(said))


def read_picture(path: Path) -> np.ndarray:
    """One image file as grey, the brightest channel of each pixel, transparent pixels black; shape (H, W).

    Raises:    InputError: no image, or a damaged or oversized one.
    """
    with quietly():
        return open_picture(path, "black").pixels.max(0)


@contextlib.contextmanager
def _without_messages(image: Image.Image) -> Iterator[None]:
    """Keep from the terminal what libtiff writes to stderr as it decodes a TIFF file."""
    if image.format != "TIFF" or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_header(path: Path, image: Image.Image) -> None:
    """Raises:    InputError: what will not be decoded, before memory is asked for."""
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise refusal(path, f"more than {MAX_IMAGE_PIXELS:,} pixels", "give smaller images")
    if image.format in _MANY_FRAMES and getattr(image, "is_animated", False):
        kind = "a TIFF file of several pages" if image.format == "TIFF" else f"an animated {image.format}"
        raise refusal(path, kind, "save one image to a file")
    if "transparency" in image.info and (image.mode in _DEEP_MODES or _deep_colour(image)):
        raise refusal(path, "16 bits with a transparent colour", "save it without, or with 8 bits")


def _deep_colour(image: Image.Image) -> bool:
    """Whether the file has colours of 16 bits, which Pillow reads as 8."""
    if image.mode not in ("RGB", "RGBA"):
        return False
    coding = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PPM":
        return any(isinstance(args, tuple) and args[-1] > 255 for args in coding)
    return any(";16" in str(args) for args in coding)


def is_coloured(image: Image.Image) -> bool:
    """Whether an image has three channels or a palette, whatever its pixels are."""
    return image.mode not in (*_GREY_MODES, *_DEEP_MODES, "LA", "F")


def upright_image(image: Image.Image, said: list[str]) -> Image.Image:
    """The image as its EXIF orientation says; remarks of `Picture` are added to `said`."""
    from PIL import Image as pillow

    said += ["CMYK"] if image.mode == "CMYK" else []
    turn = pillow.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    tags = getattr(image, "tag_v2", None)
    if tags is not None:  # Pillow turns a TIFF file as it decodes it, and removes the tag
        said += ["turned"] if tags.get(_ORIENTATION) in turns else []
        return image
    method = turns.get(image.getexif().get(_ORIENTATION, 1))
    if method is None:
        return image
    said.append("turned")
    return image.transpose(method)


def _without_transparency(image: Image.Image, background: str) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB pixels on the background, and which of them were opaque; None if all were."""
    rgba = np.asarray(image.convert("RGBA")).transpose(2, 0, 1)
    opaque = rgba[3] == 255
    if opaque.all():
        return rgba[:3], None
    return composited(rgba[None], 256, background_colour(background))[0], opaque


def pixels_of(subject: object, image: Image.Image) -> np.ndarray:
    """Pixels, shape (C, H, W); InputError for a mode that is not understood."""
    if image.mode in ("L", "F"):
        return np.asarray(image)[None]
    if image.mode == "1":
        return np.asarray(image.convert("L"))[None]
    if image.mode in _DEEP_MODES:
        values = np.asarray(image)[None]
        # a .pgm file of 16 bits comes as 32
        return values.astype(np.uint16) if image.mode != "I" or image.format == "PPM" else values
    if image.mode not in _COLOUR_MODES:
        raise refusal(subject, f"pixels of mode {image.mode}", "convert it to 8-bit grey or RGB")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")).transpose(2, 0, 1)


def _former(path: Path, image: Image.Image) -> Picture:
    if image.mode in _GREY_MODES:
        return Picture(np.asarray(image.convert("L"))[None])
    if image.mode not in (*_COLOUR_MODES, "LAB"):
        raise refusal(path, f"pixels of mode {image.mode}, not 8 bits deep", "convert it to 8-bit grey or RGB")
    return Picture(np.asarray(image.convert("RGB")).transpose(2, 0, 1), coloured=True)


def transform(images: np.ndarray, options: ReadOptions) -> np.ndarray:
    """Images cut to their central square, scaled, and made grey, as far as the options ask for it.

    Scaling is by a Lanczos kernel as wide as the smaller of the two sizes needs; results stay within the least and
    greatest value of each channel of each image, and are whole where the pixels are.

    Args:      images: numbers of any real type, shape (N, C, H, W).
    Returns:   the same type, shape (N, C', H', W'); `images` itself where nothing is asked for.
    Raises:    InputError: the result would be too large.
    """
    if options.crop:
        side = min(images.shape[2:])
        top, left = (images.shape[2] - side) // 2, (images.shape[3] - side) // 2
        images = images[:, :, top : top + side, left : left + side]
    if options.grey and images.shape[1] == 3:
        images = _grey(images)
    if options.resize is not None and images.shape[2:] != (options.resize, options.resize):
        images = _resized(images, options.resize)
    return images


def transform_notes(options: ReadOptions, height: int, width: int, levels: int) -> list[str]:
    """Sentences on what `transform` changes beyond the size.

    Args:      height, width: of the stored images. levels: of their pixels.
    """
    if options.resize is None:
        return []
    said = []
    if height != width and not options.crop:
        said.append(f"images of {height}x{width} are scaled to a square: their proportions change (--crop keeps them)")
    if levels < 32 and (height, width) != (options.resize, options.resize):
        said.append(f"scaled pixels are rounded to the {levels} levels")
    return said


def _grey(images: np.ndarray) -> np.ndarray:
    if images.dtype.kind == "f":
        return np.tensordot(images, np.array(_LUMA, images.dtype) / 2**16, (1, 0))[:, None].astype(images.dtype)
    wide = np.uint32 if images.dtype.itemsize <= 2 else np.int64
    total = np.full((len(images), *images.shape[2:]), 2**15, wide)
    for channel, weight in enumerate(_LUMA):
        total += images[:, channel] * wide(weight)
    return (total >> 16).astype(images.dtype)[:, None]


def _resized(images: np.ndarray, side: int) -> np.ndarray:
    count, channels, height, width = images.shape
    check_size("the scaled images", count * channels * side**2 * images.itemsize)
    check_size(f"--resize {side}", 8 * side * max(height, width, side))
    number = np.float32 if images.dtype.itemsize <= 2 else np.float64
    rows, columns = _lanczos(height, side).astype(number), _lanczos(width, side).astype(number)
    result = np.empty((count, channels, side, side), images.dtype)
    step = max(1, _BLOCK_VALUES // (channels * max(height * width, side * side)))
    for start in range(0, count, step):
        block = images[start : start + step].astype(number)
        low, high = block.min((2, 3), keepdims=True), block.max((2, 3), keepdims=True)
        scaled = np.clip(rows @ (block @ columns.T), low, high)
        result[start : start + step] = scaled if images.dtype.kind == "f" else np.rint(scaled)
    return result


@functools.lru_cache(maxsize=64)
def _lanczos(size: int, side: int) -> np.ndarray:
    """Weights of the `size` stored pixels of a line in each of the `side` new ones, shape (side, size)."""
    scale = size / side
    centres, places = (np.arange(side) + 0.5) * scale, np.arange(size) + 0.5
    offsets = (places - centres[:, None]) / max(scale, 1.0)
    weights = np.where(np.abs(offsets) < _LOBES, np.sinc(offsets) * np.sinc(offsets / _LOBES), 0.0)
    return weights / weights.sum(1, keepdims=True)
