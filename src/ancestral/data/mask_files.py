"""Reading masks of missing pixels from a file or folder: one mask for all images, or one for each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import refusal
from ancestral.data.imported import Imported
from ancestral.settings.data import ReadOptions


def read_masks(path: Path, count: int, event_shape: tuple[int, ...]) -> Tensor:
    """Masks of observed pixels, from files in which missing pixels are white (not zero).

    Args:      path: an image file; a folder of image files, in the order of their names; or a file with one array of
               shape (H, W), (N, H, W) or (N, C, H, W). count: number of images. event_shape: (C, H, W).
    Returns:   boolean, shape (count, C, H, W), True for observed pixels.
    Raises:    InputError: no such file, a wrong shape, a wrong number of masks, or no missing pixels.
    """
    if len(event_shape) != 3:
        raise refusal(path, "masks can be used for images only", "use --columns for points")
    missing = _arrays(path) != 0
    channels, height, width = event_shape
    if missing.ndim == 2:
        missing = missing[None]
    if missing.ndim == 3:
        missing = missing[:, None]
    if missing.ndim != 4 or missing.shape[1] not in (1, channels) or missing.shape[2:] != (height, width):
        found = "x".join(map(str, missing.shape[-2:]))
        raise refusal(path, f"masks of {found} pixels", f"give masks of {height}x{width}, the size of the images")
    if len(missing) not in (1, count):
        raise refusal(path, f"{len(missing)} masks for {count} images", "give one mask, or one for each image")
    if not missing.any():
        raise refusal(path, "no pixel is missing", "make missing pixels white (not zero) in the mask")
    return torch.from_numpy(~missing).expand(count, channels, height, width)


def _arrays(path: Path) -> np.ndarray:
    """The masks as stored."""
    from ancestral.data.datasets import read_source
    from ancestral.data.pictures import read_picture

    if os.path.isfile(path) and path.suffix.lower() not in (".npy", ".npz", ".mat", ".pt", ".pth"):
        return read_picture(path)
    if path.suffix.lower() == ".npy" and os.path.isfile(path):
        from ancestral.data.arrays import read_npy

        return read_npy(path)
    _, found = read_source(str(path), ReadOptions())
    return _only(path, found)


def _only(path: Path, found: Imported) -> np.ndarray:
    if "all" not in found.parts:
        raise refusal(path, "masks with training and test parts", "give one array or one folder of masks")
    return found.parts["all"].array
