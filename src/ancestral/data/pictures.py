"""Reading image files as arrays of pixels, upright and without transparency; and scaling images or making them grey."""

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

MAX_IMAGE_PIXELS = 2**24  # largest image; these models are for small images

# Pillow's other decoders (PostScript, PDF, FITS, ...) would only give malicious files more code to attack.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MANY_FRAMES = ("PNG", "GIF", "TIFF", "WEBP")  # further pictures in a JPEG file are previews
_GREY_MODES = ("1", "L")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_COLOUR_MODES = ("P", "PA", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
_ORIENTATION = 0x0112  # tag of EXIF and TIFF
_LUMA = (19595, 38470, 7471)  # of red, green and blue in 2**16, the weights of ITU-R BT.601
_LOBES = 3  # number of lobes of the Lanczos kernel
_BLOCK_VALUES = 1 << 20  # numbers per block, so that copies as floats are small


class Picture(NamedTuple):
    """One image as read from a file.

    Args:
        pixels: uint8, uint16, int32 or float32, shape (C, H, W) with one channel or three.
        opaque: boolean, shape (H, W), False for transparent pixels; None if there are none.
        bits: whether the file has one bit per pixel.
        coloured: whether the file has three channels or a palette, even if its pixels are grey.
        remarks: conversions: "turned", "transparent", "CMYK", "deep".
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
    """Context without Pillow's warnings and log messages; important problems are errors or notices of this package."""
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
    """Height and width of an image file from its header, before it is rotated.

    Raises:    InputError: not an image, or too large.
    """
    from PIL import Image

    with parsing(path, "image"), quietly(), Image.open(path, formats=_FORMATS) as image:
        _check_header(path, image)
        return image.height, image.width


def open_picture(path: Path, background: str, former: bool = False) -> Picture:
    """Read an image file. It is rotated by its EXIF orientation, with transparent pixels on a background.

    Args:      background: colour behind transparent pixels. former: read as earlier versions did: grey or colour by the
               mode of the file, without rotation and transparency.
    Raises:    InputError: not an image, several images in one file, or a damaged or too large image.
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
    """One image file as grey: the maximum over the channels, with black for transparent pixels; shape (H, W).

    Raises:    InputError: not an image, or a damaged or too large image.
    """
    with quietly():
        return open_picture(path, "black").pixels.max(0)


@contextlib.contextmanager
def _without_messages(image: Image.Image) -> Iterator[None]:
    """Context in which messages of libtiff about a TIFF file are not written to stderr."""
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
    """Raises:    InputError: an image that is not supported. Checked before memory is allocated."""
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise refusal(path, f"more than {MAX_IMAGE_PIXELS:,} pixels", "give smaller images")
    if image.format in _MANY_FRAMES and getattr(image, "is_animated", False):
        kind = "a TIFF file of several pages" if image.format == "TIFF" else f"an animated {image.format}"
        raise refusal(path, kind, "save each image in its own file")
    if "transparency" in image.info and (image.mode in _DEEP_MODES or _deep_colour(image)):
        raise refusal(path, "16 bits with a transparent colour", "save it without transparency, or with 8 bits")


def _deep_colour(image: Image.Image) -> bool:
    """Whether the file has colours of 16 bits, which Pillow reads as 8."""
    if image.mode not in ("RGB", "RGBA"):
        return False
    coding = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PPM":
        return any(isinstance(args, tuple) and args[-1] > 255 for args in coding)
    return any(";16" in str(args) for args in coding)


def is_coloured(image: Image.Image) -> bool:
    """Whether an image has three channels or a palette, even if its pixels are grey."""
    return image.mode not in (*_GREY_MODES, *_DEEP_MODES, "LA", "F")


def upright_image(image: Image.Image, said: list[str]) -> Image.Image:
    """The image, rotated by its EXIF orientation. Remarks of `Picture` are added to `said`."""
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
    if tags is not None:  # Pillow rotates TIFF files itself, and removes the tag
        said += ["turned"] if tags.get(_ORIENTATION) in turns else []
        return image
    method = turns.get(image.getexif().get(_ORIENTATION, 1))
    if method is None:
        return image
    said.append("turned")
    return image.transpose(method)


def _without_transparency(image: Image.Image, background: str) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB pixels on the background, and a mask of opaque pixels; None if all are opaque."""
    rgba = np.asarray(image.convert("RGBA")).transpose(2, 0, 1)
    opaque = rgba[3] == 255
    if opaque.all():
        return rgba[:3], None
    return composited(rgba[None], 256, background_colour(background))[0], opaque


def pixels_of(subject: object, image: Image.Image) -> np.ndarray:
    """Pixels, shape (C, H, W); InputError for a mode that is not supported."""
    if image.mode in ("L", "F"):
        return np.asarray(image)[None]
    if image.mode == "1":
        return np.asarray(image.convert("L"))[None]
    if image.mode in _DEEP_MODES:
        values = np.asarray(image)[None]
        # Pillow reads a 16-bit .pgm file as 32 bits
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
    """Crop images to their central square, make them grey, and scale them, as the options state.

    Scaling uses a Lanczos kernel, whose width depends on the smaller of the two sizes. Results are clipped to the
    lowest and highest value of each channel of each image, and rounded if the pixels are whole numbers.

    Args:      images: numbers of any real type, shape (N, C, H, W).
    Returns:   the same type, shape (N, C', H', W'); `images` itself without such options.
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
    """Notices about side effects of scaling in `transform`.

    Args:      height, width: of the stored images. levels: number of levels of their pixels.
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
    """Weights of the `size` stored pixels of a line for each of the `side` new pixels, shape (side, size)."""
    scale = size / side
    centres, places = (np.arange(side) + 0.5) * scale, np.arange(size) + 0.5
    offsets = (places - centres[:, None]) / max(scale, 1.0)
    weights = np.where(np.abs(offsets) < _LOBES, np.sinc(offsets) * np.sinc(offsets / _LOBES), 0.0)
    return weights / weights.sum(1, keepdims=True)
