"""Small images made larger: each pixel a square, or interpolated."""

from __future__ import annotations

import math

import numpy as np

SMALL = 16  # pixels a side: enlarged as squares, such images look like patterns of blocks
SMOOTH_TILE, SMOOTH_PIXELS, SMOOTH_LEVELS = 72, 400_000, 32  # interpolated images make large files


def enlarge(pixels: np.ndarray, scale: int, smooth: bool) -> np.ndarray:
    """(N, C, H, W) to (N, C, scale H, scale W): each pixel becomes a square, or small images are interpolated."""
    if not (smooth and is_small(pixels)):
        return pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    from PIL import Image

    height, width = pixels.shape[2:]
    size, bicubic = (scale * width, scale * height), Image.Resampling.BICUBIC
    planes = [np.asarray(Image.fromarray(plane).resize(size, bicubic)) for plane in pixels.reshape(-1, height, width)]
    smooth_pixels = np.stack(planes).reshape(*pixels.shape[:2], *size[::-1]).clip(0, 1)
    return np.rint(smooth_pixels * (SMOOTH_LEVELS - 1)) / (SMOOTH_LEVELS - 1)


def smooth_scale(pixels: np.ndarray) -> int:
    """By how much interpolated images are enlarged at most."""
    count, _, height, width = pixels.shape
    return max(1, min(SMOOTH_TILE // max(height, width), math.isqrt(SMOOTH_PIXELS // (count * height * width))))


def is_small(pixels: np.ndarray) -> bool:
    """Whether images (N, C, H, W) are small enough to be interpolated."""
    return max(pixels.shape[2:]) <= SMALL


def smooth_note(pixels: np.ndarray) -> str:
    """What a reader has to know of interpolated images; nothing where each pixel is a square."""
    height, width = pixels.shape[2:]
    return f"Images of {height} by {width} pixels, enlarged by bicubic interpolation." if is_small(pixels) else ""
