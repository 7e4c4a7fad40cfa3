"""The pixels of a source as they are stored, before they become levels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ancestral.data.arrays import members_of
from ancestral.data.imported import Imported
from ancestral.data.layouts import channels_first
from ancestral.data.memory import held_members
from ancestral.data.names import choose
from ancestral.settings.data import ARRAY_FILES, MEMORY, ReadOptions

AXES = ("NHW", "NCHW", "NHWC")


@dataclass(frozen=True, eq=False)
class Original:
    """Pixels with their type and layout in the source.

    Args:      pixels: shape (N, C, H, W). axes: of the source, one of `AXES`. dtype: of the source, as in a .npy file.
    """

    pixels: np.ndarray
    axes: str
    dtype: str


def original_pixels(source: str, options: ReadOptions, found: Imported, part: str) -> Original:
    """The stored pixels of one part of a source. Pixels of image files are whole numbers.

    Args:      found: the source as it was read. part: a key of its parts.
    """
    path = Path(source)
    if source.startswith(MEMORY):
        members = held_members(source)
    elif path.suffix.lower() in ARRAY_FILES and path.is_file():
        members, _ = members_of(path)
    else:
        members = []
    if not members:
        images = found.parts[part].array
        return Original(images, "NHW" if images.shape[1] == 1 else "NHWC", np.dtype(images.dtype).str)
    chosen = choose(path, members, options.array, options.infer)
    stored = chosen.images[part].load()
    pixels, _ = channels_first(source, stored, len(found.parts[part]), path.suffix.lower() == ".mat")
    return Original(pixels, _axes(stored, pixels), stored.dtype.str)


def _axes(stored: np.ndarray, pixels: np.ndarray) -> str:
    """The layout of an array, from its view as (N, C, H, W)."""
    if stored.ndim == 3:
        return "NHW"
    return "NHWC" if stored.strides == pixels.transpose(0, 2, 3, 1).strides else "NCHW"
