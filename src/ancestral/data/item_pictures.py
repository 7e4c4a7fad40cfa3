"""Converting Pillow images in a dataset to one array, with the rules for image files in a folder."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.layouts import WITH_ALPHA
from ancestral.data.pictures import Picture, is_coloured, pixels_of, quietly, upright_image
from ancestral.data.storage import Rows, row_blocks

if TYPE_CHECKING:
    from PIL import Image

SUBJECT = "the data in memory"


def is_picture(item: Any) -> bool:
    """Whether an item is a Pillow image. Pillow is not imported."""
    return any(base.__module__.startswith("PIL.") and base.__name__ == "Image" for base in type(item).__mro__)


def as_picture(image: Image.Image) -> Picture:
    """An image, rotated by its EXIF orientation; with four channels if some pixels are transparent.

    Raises:    InputError: a mode that is not supported.
    """
    said: list[str] = []
    bits, coloured = image.mode == "1", is_coloured(image)
    with quietly():
        upright = upright_image(image, said)
        if not upright.has_transparency_data:
            return Picture(pixels_of(SUBJECT, upright), None, bits, coloured, tuple(said))
        rgba = np.asarray(upright.convert("RGBA")).transpose(2, 0, 1)
    return Picture(rgba[:3] if (rgba[3] == 255).all() else rgba, coloured=coloured, remarks=tuple(said))


class PictureRows:
    """Images of one size in one array. Channels for colour and transparency are added when an image needs them.

    Args:      count: expected number of images; None if not known.
    """

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._rows: Rows | None = None
        self._done: Counter[str] = Counter()

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def add(self, picture: Picture) -> None:
        """Add an image.

        Raises:    InputError: its size or depth differs from that of the first image.
        """
        pixels = picture.pixels
        if self._rows is None:
            self._rows = Rows(pixels, self._count)
        known = self._rows.row
        if pixels.shape[1:] != known.shape[1:] or pixels.dtype != known.dtype:
            shown = [f"{one.shape[2]}x{one.shape[1]} pixels of {one.dtype}" for one in (pixels, known)]
            raise refusal(
                SUBJECT,
                f"item {len(self)} has {shown[0]}, item 0 has {shown[1]}",
                "make all items of one size and type",
            )
        channels = max(len(pixels), len(known))
        if channels > len(known):
            self._rows = _widened(self._rows.array, channels, self._count)
        self._rows.add(_with_channels(pixels[None], channels)[0])
        self._done.update(picture.remarks)
        self._done["bits"] += picture.bits
        self._done["single"] += len(pixels) == 1
        self._done["coloured"] += picture.coloured
        self._done["grey"] += len(pixels) == 1 or bool((pixels[:3] == pixels[:1]).all())

    def finished(self) -> tuple[np.ndarray, list[str]]:
        """All images, shape (N, C, H, W), boolean if all have one bit per pixel; and notices about conversions."""
        assert self._rows is not None
        images, done = self._rows.array, self._done
        count = f"of {len(images):,} images"
        sentences = {
            "turned": "are rotated by their EXIF orientation",
            "CMYK": "are CMYK: converted to RGB without a colour profile",
        }
        said = [f"{done[kind]:,} {count} {words}" for kind, words in sentences.items() if done[kind]]
        if done["bits"] == len(images):
            return images != 0, said
        if images.shape[1] <= 3 and done["grey"] == len(images):
            if done["coloured"]:
                words = "are stored with colour channels, but all are grey: one channel"
                said.append(f"{done['coloured']:,} {count} {words}")
            return images[:, :1], said
        if images.shape[1] > 1 and done["single"]:
            said.append(f"{done['single']:,} {count} are grey, others have colour: three equal channels")
        return images, said


def _widened(stored: np.ndarray, channels: int, count: int | None) -> Rows:
    """The images that were already added, with more channels."""
    wide = Rows(np.empty((channels, *stored.shape[2:]), stored.dtype), count)
    for _, block in row_blocks(stored):
        for row in _with_channels(block, channels):
            wide.add(row)
    return wide


def _with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Images, shape (N, C, H, W), with more channels: grey becomes three equal channels, transparency is opaque."""
    if images.shape[1] == 1 and channels > 1:
        images = images.repeat(3, 1)
    if images.shape[1] == 3 and channels == WITH_ALPHA:
        opaque = np.full((len(images), 1, *images.shape[2:]), np.iinfo(images.dtype).max, images.dtype)
        images = np.concatenate([images, opaque], 1)
    return images
