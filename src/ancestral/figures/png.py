"""Figures as small PNG files: few colours, and a note of where the images in them are.

A page shows figures in dark mode by changing the colours around the images, never those of the images. It reads the
places of the images from the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image as Picture

PLACES = "ancestral-images"  # key of the text in the file, which is empty where a figure shows no images
MOST_COLOURS = 256
FEWEST_FREE = 32  # colours that text around images needs at least
COMPRESSION = 8  # 9 takes twice as long, for files that are 2% smaller
Box = tuple[float, float, float, float]  # left, top, right, bottom, from 0 to 1
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_MARK = "_ancestral_images"


def mark_images(axes: Axes, boxes: list[Box]) -> None:
    """Note where images are shown in some axes, in shares of the axes from their top left."""
    setattr(axes, _MARK, boxes)


def places_of(figure: Figure) -> list[Box]:
    """The places of the images in a figure, in shares of the figure from its top left."""
    found = []
    for axes in figure.axes:
        at = axes.get_position()
        found += within((at.x0, 1 - at.y1, at.x1, 1 - at.y0), getattr(axes, _MARK, ()))
    return found


def within(outer: Box, boxes: Iterable[Box]) -> list[Box]:
    """Boxes given in shares of an outer box, in the shares in which the outer box is given."""
    x, y, right, bottom = outer
    width, height = right - x, bottom - y
    return [(x + a * width, y + b * height, x + c * width, y + d * height) for a, b, c, d in boxes]


def png_bytes(figure: Figure, dpi: float) -> bytes:
    """The figure as PNG, as `png_of_pixels` writes it.

    Args:      dpi: resolution.
    """
    from PIL import Image

    raw = BytesIO()
    figure.savefig(raw, format="tiff", dpi=dpi)  # not compressed; its size in pixels is known to matplotlib only
    return png_of_pixels(np.array(Image.open(raw)), places_of(figure), dpi)


def png_of_pixels(pixels: np.ndarray, places: list[Box], dpi: float) -> bytes:
    """Pixels as PNG: with a palette where 256 colours show them, and every colour of the images kept exactly.

    Args:      pixels: uint8, (H, W, 4), red, green, blue and opacity. places: of the images, in shares from the top
               left. dpi: resolution, which the file states.
    """
    from PIL import Image, PngImagePlugin

    image = _with_palette(_packed(pixels), places) or Image.fromarray(pixels[..., :3])
    facts = PngImagePlugin.PngInfo()
    facts.add_text(PLACES, ";".join(",".join(f"{side:.5f}" for side in box) for box in places))
    written = BytesIO()
    image.save(written, "PNG", dpi=(dpi, dpi), pnginfo=facts, compress_level=COMPRESSION)
    return written.getvalue()


def _with_palette(packed: np.ndarray, places: list[Box]) -> Picture | None:
    """The picture with a palette; None where its images have too many colours for one. packed: colours, (H, W)."""
    from PIL import Image

    height, width = packed.shape
    inside = np.zeros((height, width), bool)
    for left, top, right, bottom in places:
        inside[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    colours = _distinct(packed)
    palette = colours
    if len(colours) > MOST_COLOURS:
        exact = _distinct(packed[inside])
        free = MOST_COLOURS - len(exact)
        if free < FEWEST_FREE and not (free >= 0 and _are_grey(exact)):  # greys show the text as well
            return None
        around = packed[~inside]
        background = packed[:1, 0]  # most pixels have its colour; without them the others are chosen faster
        palette = np.concatenate([exact, background])[:MOST_COLOURS]
        if free > 1:
            others = _apart(around[around != background]).astype(np.uint8)
            chosen = Image.fromarray(others[None]).quantize(free - 1, dither=Image.Dither.NONE)
            some = np.array(chosen.getpalette(), np.uint32).reshape(-1, 3) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
            palette = np.concatenate([palette, some])
    nearest = _apart(colours)[:, None] - _apart(palette)[None]
    entries = np.empty(1 << 24, np.uint8)  # of each colour; only those of the picture are set
    entries[colours] = (nearest**2).sum(-1).argmin(1)
    image = Image.fromarray(entries[packed])
    image.putpalette(_apart(palette).astype(np.uint8).tobytes())
    return image


def _packed(pixels: np.ndarray) -> np.ndarray:
    """Each colour as one number, shape (H, W). pixels: red, green, blue and opacity, (H, W, 4)."""
    return pixels.view("<u4")[..., 0] & 0xFFFFFF


def _are_grey(packed: np.ndarray) -> bool:
    return bool((np.ptp(_apart(packed), axis=1) == 0).all())


def _distinct(packed: np.ndarray) -> np.ndarray:
    """The colours that occur, in order; a table of all 2^24 is faster than sorting a million pixels."""
    seen = np.zeros(1 << 24, bool)
    seen[packed.ravel()] = True
    return np.flatnonzero(seen).astype(np.uint32)


def _apart(packed: np.ndarray) -> np.ndarray:
    """Red, green and blue of packed colours, shape (N, 3)."""
    return np.stack([packed & 255, packed >> 8 & 255, packed >> 16], -1).astype(np.int32)
