"""Sheets of the first training and test images, stored with a run for its page if the data are missing later."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ancestral.core.files import write_atomically
from ancestral.runs.run_data import RunData

FOLDER = "thumbnails"
SPLITS = {"train": "training", "test": "test"}
COUNT, COLUMNS, GAP = 64, 8, 2  # images, images in a row, and pixels between them
SMALLEST, LARGEST = 32, 64  # size of one image in the sheet, in pixels
LEVELS = 32  # grey levels of interpolated images; more would make larger files


def thumbnails_of(folder: Path) -> dict[str, Path]:
    """The paths of the sheets of a run, by split."""
    paths = {split: folder / FOLDER / f"{split}.png" for split in SPLITS}
    return {split: path for split, path in paths.items() if path.is_file()}


def write_thumbnails(folder: Path, data: RunData) -> None:
    """Write the missing sheets of a run; only for images with 1 or 3 channels.

    Args:      folder: of the run. data: of the run.
    """
    if data.space.noun != "images" or data.event_shape[0] not in (1, 3):
        return
    for split in SPLITS.keys() - thumbnails_of(folder).keys():
        images = data.stored(split).first(COUNT).images[:COUNT]
        if len(images):
            write_atomically(folder / FOLDER / f"{split}.png", _png(sheet(images.float() / (data.space.levels - 1))))


def sheet(images: Tensor) -> Tensor:
    """Images in rows of `COLUMNS` on white; small ones are enlarged by bicubic interpolation, large ones are reduced.

    Args:      images: values in [0, 1], shape (N, C, H, W).
    Returns:   uint8, shape (H', W', C).
    """
    height, width = images.shape[-2:]
    if max(height, width) > LARGEST:
        factor = LARGEST / max(height, width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        images = F.interpolate(images, size=size, mode="area")
    else:
        factor = max(1, SMALLEST // max(height, width))
        if factor > 1:  # interpolated, since small images of large squares are hard to recognise
            images = F.interpolate(images, scale_factor=factor, mode="bicubic").clamp(0, 1)
            images = (images * (LEVELS - 1)).round() / (LEVELS - 1)
    tiles = F.pad(images, (0, GAP, 0, GAP), value=1.0)
    rows = -(-len(tiles) // COLUMNS)
    tiles = torch.cat([tiles, tiles.new_ones(rows * COLUMNS - len(tiles), *tiles.shape[1:])])
    _, channels, height, width = tiles.shape
    whole = tiles.view(rows, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    return (whole.reshape(rows * height, COLUMNS * width, channels) * 255).round().to(torch.uint8)


def _png(pixels: Tensor) -> bytes:
    """Pixels, shape (H, W, 1 or 3), as a PNG file, without importing an image library."""
    height, width, channels = pixels.shape
    rows = F.pad(pixels.flatten(1), (1, 0)).contiguous()  # a zero before each row means "no filter"
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.numpy().tobytes())), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
